"""`netstructer config`, and `serve` as files, variables and flags tell it: as somebody types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner

from netstructer import Key, Limits, Link
from netstructer.cli.app import app
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.readiness import notify
from netstructer.cli.told import place
from netstructer.errors import Busy, InvalidAddress
from netstructer.lan import lan_addresses
from netstructer.services.configuration import SECTIONS, Given, load
from test_cli import KEY_TEXT, SECONDS, finished, listening, start


def config(*arguments: str) -> tuple[int, str, str]:
    """Run a command of `config` in this process."""
    done = CliRunner().invoke(app, ["config", *arguments])
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert not KEY_TEXT.search(text)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


# --- config -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_right_is_said_to_be(file: Path) -> None:
    file.write_text("[server]\nport = 0\nmax_links = 3\n")

    assert config("check", str(file)) == (ExitCode.OK, f"{file}: nothing is wrong, 2 options given\n", "")
    code, out, _ = config("check", str(file), "--json")
    assert (code, json.loads(out)) == (
        ExitCode.OK,
        {"file": str(file), "ok": True, "options": 2, "problems": [], "notes": []},
    )


def test_each_problem_has_a_line_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[server]\nprot = 0\nmax_links = '\x1b[2J'\n".replace("\x1b", "\\u001b").replace("'", '"'))
    monkeypatch.setenv("NETSTRUCTER_FILES_READ_ONLY", "perhaps")
    code, out, err = config("check", str(file))
    facts = json.loads(config("check", str(file), "--json")[1])

    assert (code, out) == (ExitCode.USAGE, "")
    assert err.splitlines() == [
        f"{file}, line 2: server.prot: there is no such option; did you mean port?",
        f"{file}, line 3: server.max_links: found the text '?[2J', no number; expected a whole number of links from 1 "
        "to 1,000,000",
        "the variable NETSTRUCTER_FILES_READ_ONLY: files.read_only: found the text 'perhaps'; expected true or false",
    ]
    assert not facts["ok"]
    assert [(problem["origin"], problem["line"]) for problem in facts["problems"]] == [
        ("file", 2),
        ("file", 3),
        ("environment", None),
    ]


def test_files_that_are_named_and_not_there_are_noted(file: Path) -> None:
    file.write_text("[server]\nkey_file = 'nokey'\nbans_file = 'bans'\nidentity = 'default'\n")
    code, _, err = config("check", str(file))

    assert code == ExitCode.OK
    assert err == f"note: {file}, line 2: server.key_file: there is no {file.parent / 'nokey'}\n"


def test_the_file_may_be_named_by_a_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config("check")[0] == ExitCode.USAGE
    file.write_text("[server]\nport = 7\n")
    monkeypatch.setenv("NETSTRUCTER_CONFIG", str(file))

    assert config("check")[0] == ExitCode.OK
    assert f"port = 7              # {file}, line 2" in config("show")[1]
    assert config("check", str(file.parent / "none.toml"))[2].endswith("none.toml: No such file or directory\n")


def test_what_counts_is_shown_with_where_it_is_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[server]\nport = 7\nstealth = true\n")
    monkeypatch.setenv("NETSTRUCTER_SERVER_PORT", "8")
    arguments = ("show", "--config", str(file), "--set", "limits.profile=small")
    code, out, _ = config(*arguments)
    facts = json.loads(config(*arguments, "--json")[1])
    shown = file.parent / "shown.toml"
    shown.write_text(out)

    assert code == ExitCode.OK
    assert set(facts["options"]) == set(SECTIONS.options)
    assert facts["options"]["server.port"] == {
        "value": 8,
        "origin": "environment",
        "where": "NETSTRUCTER_SERVER_PORT",
    }
    assert facts["options"]["server.stealth"] == {"value": True, "origin": "file", "where": str(file), "line": 3}
    assert facts["options"]["limits.streams"] == {
        "value": Limits.SMALL.streams,
        "origin": "default",
        "where": "the profile small",
    }
    assert config("check", str(shown))[0] == ExitCode.OK
    assert load(shown, environ={})["server.port"] == 8


def test_what_cannot_be_assigned_is_2() -> None:
    assert config("show", "--set", "server.port")[2].startswith("netstructer: expected --set SECTION.NAME=VALUE")
    code, _, err = config("show", "--set", "server.prot=5")

    assert code == ExitCode.USAGE
    assert err == "netstructer: --set: server.prot: there is no such option; did you mean port?\n"


def test_the_examples_are_files_that_are_right(file: Path) -> None:
    file.write_text(config("example")[1])
    as_json = file.with_suffix(".json")
    as_json.write_text(config("example", "--json")[1])

    assert config("check", str(file))[1] == f"{file}: nothing is wrong, 0 options given\n"
    assert config("check", str(as_json))[0] == ExitCode.OK
    assert load(as_json, environ={}).values == load(environ={}).values


def test_names_of_predecessors_are_noted(tmp_path: Path) -> None:
    old = tmp_path / "config.json"
    old.write_text('{"server_ip": "127.0.0.1", "server_port": 0, "buffer_size": 1024, "max_clients": 5}')
    code, _, err = config("check", str(old))

    assert code == ExitCode.OK
    assert f"note: {old}, line 1: max_clients is called server.max_links here\n" in err


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (None, {}),
        ("7", {"server.port": "7"}),
        ("host", {"server.host": "host"}),
        ("host:7", {"server.host": "host", "server.port": 7}),
        ("[::1]", {"server.host": "::1"}),
        ("[::1]:7", {"server.host": "::1", "server.port": 7}),
        ("0.0.0.0:0", {"server.host": "0.0.0.0", "server.port": 0}),
    ],
)
def test_a_place_says_a_host_a_port_or_both(text: str | None, given: dict[str, object]) -> None:
    assert {name: value for name, value, _ in place(text)} == given


@pytest.mark.parametrize("text", ["a b", "::1", "host:99999", "host:port", "[::1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        place(text)
    assert [given for given in place("99999") if isinstance(given, Given)] == [("server.port", "99999", "PLACE")]


# --- serve ------------------------------------------------------------------------------------------------------------


def test_a_server_does_as_its_file_says(file: Path) -> None:
    key = Key.generate()
    key.save(file.parent / "key")
    (file.parent / "shared").mkdir()
    file.write_text(
        "[server]\nport = 0\nhandler = 'echo'\nmax_links = 1\nkey_file = 'key'\n"
        "[limits]\nprofile = 'small'\n[files]\ndirectory = 'shared'\nread_only = true\n"
    )
    with listening("serve", "--config", str(file), "--set", "limits.value_depth=7", key=None) as (server, address):
        assert server.stderr is not None
        serving = list(until(server.stderr, "serving"))[-1]
        with Link(address, key=key) as link:
            link.send([1])
            assert link.recv(timeout=SECONDS) == [1]
            assert link.peer_limits.value_bytes == Limits.SMALL.value_bytes
            assert link.peer_limits.value_depth == 7
            with pytest.raises(Busy):  # who comes beyond max_links is told so
                Link(address, key=key)
        server.send_signal(signal.SIGINT) if os.name == "posix" else server.kill()
        code, _, _ = finished(server)

    assert serving == f"serving the files in {file.parent / 'shared'}, read only\n"
    assert code == ExitCode.INTERRUPTED or os.name != "posix"


def test_flags_go_before_variables_and_those_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(f"[server]\nport = {taken.getsockname()[1]}\nhost = 'no-such-name.invalid'\n")
        monkeypatch.setenv("NETSTRUCTER_SERVER_HOST", "127.0.0.1")
        arguments = ("serve", "--config", str(file), "--port-range", "20100-20200", "--json", "--once")
        with listening(*arguments, key=Key.generate()) as (server, address):
            port = int(address.rpartition(":")[2])
            assert server.stdout is not None
            facts = json.loads(server.stdout.readline())

    assert port in range(20100, 20201)
    assert facts["clients_dial"] == [address]


def test_a_port_in_use_is_noted_where_another_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("serve", str(port), "--port-range", "20200-20300", key=Key.generate())
        try:
            assert process.stderr is not None
            notes = list(until(process.stderr, "listening on"))
        finally:
            process.kill()
            process.communicate()

    assert re.fullmatch(rf"note: the port {port} is in use: listening at port 20[23]\d\d\n", notes[-2])
    assert notes[-1].startswith("listening on 127.0.0.1:20")


def until(lines: Iterator[str], begins: str) -> Iterator[str]:
    """Give lines up to the one that begins so."""
    for line in lines:
        yield line
        if line.startswith(begins):
            return


def test_a_server_in_all_networks_says_what_clients_dial() -> None:
    process = start("serve", "0.0.0.0:0", "--json", key=Key.generate())
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        said = next(line for line in process.stderr if line.startswith("clients reach it at "))
        facts = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()

    assert said == f"clients reach it at {' or '.join(facts['clients_dial'])}\n"
    assert all(place.endswith(f":{facts['port']}") for place in facts["clients_dial"])
    assert [host for host in lan_addresses() if ":" not in host] in (
        [],
        [place.rpartition(":")[0] for place in facts["clients_dial"]],
    )


def test_a_server_listens_in_the_local_network_on_request() -> None:
    if not lan_addresses():
        pytest.skip("this machine is alone")
    with listening("serve", "0", "--lan", key=Key.generate()) as (_, address):
        host = address.rpartition(":")[0].strip("[]")

    assert host == lan_addresses()[0]
    done = CliRunner().invoke(app, ["serve", "127.0.0.1:0", "--lan"])
    assert (done.exit_code, "expected a host or lan, not both" in done.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0", "--max-links", "0"), "--max-links: server.max_links: found 0; expected a whole number of links from 1"),
        (("0", "--port-range", "9-8"), "--port-range: server.port_range: expected a range of ports"),
        (("99999",), "PLACE: server.port: found the text '99999'"),
    ],
)
def test_a_flag_that_is_wrong_is_named(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["serve", *arguments])

    assert done.exit_code == ExitCode.USAGE
    assert done.stderr.startswith(f"netstructer: {said}")


def test_a_file_that_is_wrong_is_said_in_one_line(file: Path) -> None:
    file.write_text("[server]\nport = -1\nmax_links = 0\n")
    done = CliRunner().invoke(app, ["serve", "--config", str(file)])

    assert done.exit_code == ExitCode.USAGE
    assert done.stderr == (
        f"netstructer: {file}, line 2: server.port: found -1; expected a whole number from 0 to 65,535 "
        "(and 1 more: see netstructer config check)\n"
    )


# --- who started it is told -------------------------------------------------------------------------------------------


needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs a Unix socket")


@contextlib.contextmanager
def told_at(place: str) -> Iterator[socket.socket]:
    """Listen where a service manager would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        manager.settimeout(SECONDS)
        yield manager


@needs_unix
def test_whoever_started_it_is_told_when_it_serves_and_when_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.environ["HOME"]
    monkeypatch.chdir(home)  # the name of a Unix socket is short
    with told_at("notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", os.path.join(home, "notify"))
        with listening("serve", "0", key=Key.generate()) as (server, address):
            assert manager.recv(1000).decode() == f"READY=1\nSTATUS=listening on {address}"
            server.send_signal(signal.SIGTERM)
            assert manager.recv(1000) == b"STOPPING=1"
            code, _, _ = finished(server)

    assert code == ExitCode.INTERRUPTED


@needs_unix
def test_nobody_is_told_who_does_not_want_to_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": "relative"})
    assert not notify("READY=1", {"NOTIFY_SOCKET": "/does/not/exist"})
    assert capsys.readouterr().err == "note: NOTIFY_SOCKET takes no message: No such file or directory\n"
    assert not notify("READY=1", {"NOTIFY_SOCKET": "/" + "x" * 200})


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="names without a file are Linux's")
def test_a_socket_without_a_file_is_told() -> None:
    with told_at(f"\0netstructer-test-{os.getpid()}") as manager:
        assert notify("READY=1", {"NOTIFY_SOCKET": f"@netstructer-test-{os.getpid()}"})
        assert manager.recv(1000) == b"READY=1"
