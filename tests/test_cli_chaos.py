"""`netstructer chaos`: what it passes on, what it breaks, what it says of it, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, raw_server, read_to_end
from test_cli import closed_port, finished, start

pytest.importorskip("typer")
import typer

from netstructer.cli.chaos import chaos
from netstructer.cli.outcomes import ExitCode


def echo(transport: socket.socket) -> None:
    while data := transport.recv(4096):
        transport.sendall(data)
    transport.shutdown(socket.SHUT_WR)


@contextmanager
def proxying(*options: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Run the command in front of an echo server; give it, and where it listens."""
    with raw_server(echo) as upstream:
        process = start("chaos", "0", f"127.0.0.1:{upstream.port}", *options)
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            line = process.stdout.readline() if "--json" in options else process.stderr.readline()
            found = re.search(r'127\.0\.0\.1:(\d+), passing|"port": (\d+)', line)
            assert found, line
            yield process, ("127.0.0.1", int(found[1] or found[2]))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def said(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes, say that these were all, and return what comes back."""
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as transport:
        transport.sendall(data)
        transport.shutdown(socket.SHUT_WR)
        return read_to_end(transport)


@pytest.mark.skipif(os.name != "posix", reason="signals cannot be sent to one process on Windows")
def test_it_breaks_what_it_is_told_to_and_says_so_as_json() -> None:
    with proxying("--json", "--cut-at", "4", "--fault", "1/flip@0:in,bit=1") as (process, address):
        assert said(address, b"abcdefgh") == b""  # a cut lets nothing back that is not back already
        assert said(address, b"ab") == b"cb"
        process.send_signal(signal.SIGINT)
        code, out, err = finished(process)
    lines = [json.loads(line) for line in out.splitlines()]
    counters = lines.pop()

    assert code == ExitCode.INTERRUPTED
    assert err.endswith("interrupted\n")
    assert {line["event"] for line in lines} == {"opened", "fault", "closed"}
    assert [line["fault"] for line in lines if line["event"] == "fault"] == ["cut@4:out", "flip@0:in,bit=1"]
    assert sorted(line["connection"] for line in lines if line["event"] == "closed") == [0, 1]
    assert (counters["event"], counters["connections"], counters["cuts"]) == ("counters", 2, 1)
    assert counters["faults"] == {"Cut": 1, "Flip": 1}
    assert (counters["bytes_out"], counters["bytes_in"]) == (6, 2)


@pytest.mark.skipif(os.name != "posix", reason="signals cannot be sent to one process on Windows")
def test_it_sums_up_for_people_and_takes_its_plan_from_a_file(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "duplicate"\nat = 2\n', "utf-8")
    with proxying("--plan", str(plan)) as (process, address):
        assert said(address, b"ab") == b"abb"
        process.send_signal(signal.SIGTERM)
        code, out, err = finished(process)

    assert code == ExitCode.INTERRUPTED
    assert err.endswith("interrupted\n")
    assert re.search(r"^\+ 0 from 127\.0\.0\.1:\d+$", out, re.M)
    assert "! 0 duplicate@2:out,count=1 after 0 B out, 0 B in" in out
    assert out.endswith("1 connection, 0 cut, 0 unreachable; 1 Duplicate; 3 B out, 3 B in\n")


def test_it_ends_by_itself_after_the_seconds_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    chaos("0", closed_port(), mean_bytes=1000.0, seconds=0.0)
    out, err = capsys.readouterr()

    assert out == "0 connections, 0 cut, 0 unreachable; no fault; 0 B out, 0 B in\n"
    assert re.fullmatch(r"listening on 127\.0\.0\.1:\d+, passing on to 127\.0\.0\.1:\d+\n", err)


@pytest.mark.parametrize(
    ("arguments", "options", "code", "text"),
    [
        (("0", "5001"), {"fault": ["slice@3"]}, ExitCode.USAGE, "expected one of cut, reset"),
        (("0", "5001"), {"most": 3}, ExitCode.USAGE, "together with --mean-bytes"),
        (("0", "5001"), {"plan": "missing.toml"}, ExitCode.USAGE, "missing.toml: No such file"),
        (("0", "nowhere:x"), {}, ExitCode.USAGE, "port"),
        (("192.0.2.1:0", "5001"), {}, ExitCode.UNREACHABLE, "cannot bind"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_an_exit_code(
    arguments: tuple[str, str], options: dict[str, Any], code: ExitCode, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        chaos(*arguments, **options)
    out, err = capsys.readouterr()

    assert (caught.value.exit_code, out) == (code, "")
    assert text in err
    assert len(err.splitlines()) == 1
