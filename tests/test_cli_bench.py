"""`netstructer bench` through real processes, and its parts: what is raced, and what it is told by."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import test_cli
from netstructer.cli import races, rivals
from netstructer.cli.certificates import write_certificates
from netstructer.cli.contest import Connection, Framed, client_context, serve_secured, server_context
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.races import RACES, run_races
from netstructer.cli.rivals import JSON_SMALL, RIVALS, contestants, json_bytes, json_value
from netstructer.cli.walk import STEPS
from netstructer.errors import BadValue, LinkLost
from test_cli import SECONDS, finished, run, start_afresh


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow more than other commands have: this one works as fast as the machine lets it."""
    monkeypatch.setattr(test_cli, "SECONDS", 100.0)


def test_the_facts_have_every_race_and_every_step() -> None:
    code, out, err = run("bench", "--quick", "--rounds", "1", "--json")

    assert (code, err) == (ExitCode.OK, "starting\n" if err else "")
    facts = json.loads(out)
    assert list(facts["races"]) == list(RACES)
    for name, race in facts["races"].items():
        assert {"netstructer", "ssl+json"} <= set(race["medians"])
        assert ("netstructer send_many" in race["medians"]) == (name == "oneway")
        assert all(figure > 0 for figures in race["rounds"].values() for figure in figures)
    assert list(facts["steps"]) == ["small message", "64 KiB record", "1000 dict rows"]
    for steps in facts["steps"].values():
        assert list(steps) == [step.name for step in STEPS]
    assert facts["steps"]["1000 dict rows"]["encode"] > facts["steps"]["small message"]["encode"] > 0


def test_the_tables_are_for_people() -> None:
    code, out, _ = run("bench", "--quick", "--rounds", "1")

    assert code == ExitCode.OK
    for race in RACES.values():
        assert race.words in out
    for step in STEPS:
        assert f" {step.name} " in out
    assert "ratio: netstructer to ssl+json" in out
    assert max(map(len, out.splitlines())) <= 80


def test_ctrl_c_ends_it_and_its_servers() -> None:
    process = start_afresh("bench", start_new_session=True)
    children: list[str] = []
    deadline = time.monotonic() + SECONDS
    while len(children) < len(RIVALS) and time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        children = found.stdout.split()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)

    code, out, err = finished(process)

    assert (code, out) == (ExitCode.INTERRUPTED, "")
    assert err.endswith("interrupted\n")
    assert len(children) == len(RIVALS)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.parametrize("arguments", [("--rounds", "0"), ("--rounds", "many"), ("somewhere",)])
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert run("bench", *arguments)[0] == ExitCode.USAGE


def test_an_answer_that_was_changed_is_no_figure(tmp_path: Path) -> None:
    class Liar(Connection):
        def send(self, value: Any) -> None: ...
        def recv(self) -> Any:
            return [4, 5]

        def close(self) -> None: ...

    contestant = rivals.Contestant("netstructer", {}, 0)
    for race in (races.round_trip, races.one_way, races.rows, races.text):
        with pytest.raises(BadValue, match="not what was sent"):
            race(contestant, Liar(), 4)


def test_a_race_is_run_in_turns(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    with contestants(["netstructer", "ssl+json"], tmp_path) as entered:
        found = run_races(entered, rounds=2, told=lambda race, name: heard.append((race, name)), divisor=100)

    assert heard == [(race, name) for race in RACES for name in ("netstructer", "ssl+json")] * 2
    assert all(len(figures) == 2 for by_name in found.values() for figures in by_name.values())


def test_a_server_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals.sys, "executable", "/bin/true")

    with pytest.raises(LinkLost, match="did not start"), contestants(["netstructer"], tmp_path):
        raise AssertionError("it did start")


def test_json_keeps_bytes_as_they_are() -> None:
    assert json_value(json_bytes(b"\x00\xff")) == b"\x00\xff"
    assert json_value(json_bytes(JSON_SMALL)) == JSON_SMALL
    assert json_value(json_bytes("é")) == "é"


def test_who_has_no_certificate_is_not_served_where_both_are_asked(tmp_path: Path) -> None:
    import socket
    import ssl

    paths = write_certificates(tmp_path)
    ports: list[int] = []
    began = threading.Event()

    def framed(transport: socket.socket) -> Framed:
        return Framed(transport, json_bytes, json_value)

    def ready(port: int) -> None:
        ports.append(port)
        began.set()

    context = server_context(paths, mutual=True)
    threading.Thread(target=serve_secured, args=(context, framed, b"", ready), daemon=True).start()
    assert began.wait(SECONDS)
    for mutual in (True, False):
        transport = socket.create_connection(("127.0.0.1", ports[0]), timeout=SECONDS)
        secured = client_context(paths, mutual=mutual).wrap_socket(transport, server_hostname="localhost")
        connection = framed(secured)
        if mutual:
            assert connection.echo([1, 2]) == [1, 2]
        else:
            with pytest.raises((ssl.SSLError, OSError, EOFError)):
                connection.echo([1, 2])
        connection.close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
