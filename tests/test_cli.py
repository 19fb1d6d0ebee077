"""The command line through real processes: what it prints, what it exits with, and what it never prints.

Some are started as a shell would start them (`start_afresh`); the others are forked (commands.py).

Every run goes through `finished`, which holds for all of them: no traceback, no control code in a pipe, no key on
either output unless it was asked for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from commands import start_python
from netstructer import Key, Limits, Link, Server
from netstructer.codec.acceleration import CHOICE
from netstructer.credentials import default_key_path
from netstructer.errors import LinkClosed

pytest.importorskip("typer")
pytest.importorskip("rich")

from netstructer.cli.eavesdropper import entropy, frames_of, occurrences
from netstructer.cli.literals import facts_of, from_literal, same
from netstructer.cli.outcomes import ExitCode, code_of, sentence_of
from netstructer.cli.screen import rate, seconds, size
from netstructer.services.printing import one_line

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    *("demo", "keygen", "pair", "recv", "send", "serve", "put", "get", "ls"),
    *("report", "doctor", "bench", "chaos", "config", "audit", "chat", "users", "admin"),
)
THE_LIST = "['hi', 128, {b'gg': 'gg'}, {1, 2, 4, 6}, (False, True)]"
SECONDS = 30.0
KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{43}=")


# --- the harness ------------------------------------------------------------------------------------------------------


def start(*arguments: str, key: Key | None = None, **more: Any) -> subprocess.Popen[Any]:
    """Start a command, its outputs piped; it is forked, from what has read its modules (commands.py)."""
    command = ("-m", "netstructer", *arguments)
    return start_python(*command, environment=environment_with(key), **({"stdin": subprocess.DEVNULL} | more))


def start_afresh(
    *arguments: str, key: Key | None = None, warnings: str = "error", **more: Any
) -> subprocess.Popen[str]:
    """Start a command as a shell would."""
    piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    command = [sys.executable, "-m", "netstructer", *arguments]
    return subprocess.Popen(command, env=environment_with(key, warnings), **(piped | more))


def environment_with(key: Key | None, warnings: str = "error") -> dict[str, str]:
    """Return the environment of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": warnings}
    environment.pop("NETSTRUCTER_KEY", None)
    return environment | ({} if key is None else {"NETSTRUCTER_KEY": key.reveal()})


def finished(process: subprocess.Popen[Any], *, given: str | None = None) -> tuple[int, str, str]:
    """Wait for a command; return its exit code, stdout and stderr, held to what is true of all commands."""
    with process:
        out, err = process.communicate(given, timeout=SECONDS)
    for text in (out, err):
        assert "Traceback" not in text
        assert "\x1b" not in text
        assert not KEY_TEXT.search(text)
    return process.returncode, out, err


def run(*arguments: str, key: Key | None = None) -> tuple[int, str, str]:
    """Run a command to its end."""
    return finished(start(*arguments, key=key))


def run_afresh(*arguments: str, key: Key | None = None) -> tuple[int, str, str]:
    """Run a command to its end, as a shell would."""
    return finished(start_afresh(*arguments, key=key))


@contextmanager
def listening(
    *arguments: str, key: Key | None, start: Callable[..., subprocess.Popen[str]] = start
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `serve` or `recv` on a free port; yield the process and the address it says that it listens at."""
    process = start(*arguments, key=key)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.match(r"listening on (\S+), key", line):
                yield process, found[1]
                return
        raise AssertionError("it does not listen")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def fake(attend: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen with something that is no netstructer server: `attend` is called with each transport in turn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    transport, _ = listener.accept()
                except OSError:
                    return
                with transport, contextlib.suppress(ConnectionError):
                    attend(transport)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "{}:{}".format(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(SECONDS)


def taking(key: Key, **more: object) -> Server:
    """Return a server that takes what comes and says nothing."""
    return Server(key=key, handler=lambda link: [None for _ in link], **more)  # type: ignore[arg-type]


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "{}:{}".format(*listener.getsockname())


def silent(transport: socket.socket) -> None:
    transport.settimeout(SECONDS)
    while transport.recv(1024):
        pass


def http(transport: socket.socket) -> None:
    """Wait for the end of a line, as HTTP servers do, and answer."""
    heard = b""
    while b"\r\n" not in heard and (data := transport.recv(1024)):
        heard += data
    if heard:
        transport.sendall(b"HTTP/1.0 200 OK\r\n\r\n")


def ssh(transport: socket.socket) -> None:
    transport.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    silent(transport)


def hang_up(transport: socket.socket) -> None:
    transport.recv(128)


def version_2(transport: socket.socket) -> None:
    transport.recv(128)
    transport.sendall(struct.pack(">4sBBH", b"NSTR", 2, 0, 1))
    silent(transport)


# --- all commands -----------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_every_exit_code() -> None:
    code, out, _ = run_afresh("--help")

    assert code == ExitCode.OK
    assert all(re.search(rf"^  {name} ", out, re.M) for name in COMMANDS)
    assert all(f"{one.value} {one.meaning.split()[0]}" in " ".join(out.split()) for one in ExitCode)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    code, out, err = run(name, "--help")

    assert code == ExitCode.OK
    assert err == ""
    assert out.startswith(f"Usage: netstructer {name}")
    assert "--json" in out
    assert "Exit codes: 0 done" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("send",),
        ("send", "127.0.0.1:1"),
        ("send", "127.0.0.1:1", "1", "--text", "--file"),
        ("send", "127.0.0.1:99999", "1"),
        ("send", "::1", "1"),
        ("recv", "0", "--raw", "--json"),
        ("recv", "0", "-n", "0"),
        ("serve", "host with spaces:1"),
        ("doctor", "127.0.0.1:port"),
        ("keygen", "--stdout", "somewhere"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments, key=Key.generate())

    assert code == ExitCode.USAGE
    assert out == ""
    assert err != ""


def test_without_the_extra_it_says_how_to_install_it() -> None:
    source = (
        "import sys; sys.modules['typer'] = None; from netstructer.cli import main; "
        "sys.argv = ['netstructer', 'demo']; sys.exit(main())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=environment, timeout=SECONDS
    )

    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert "pip install 'netstructer[cli]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_version() -> None:
    code, out, _ = run_afresh("--version")

    assert code == ExitCode.OK
    assert re.fullmatch(r"netstructer \d\S+\n", out)


# --- keygen -----------------------------------------------------------------------------------------------------------


def test_keygen_makes_the_default_key_file_for_its_owner_alone() -> None:
    code, out, err = run("keygen")
    key = Key.load(default_key_path())

    assert code == ExitCode.OK
    assert default_key_path() in out
    assert key.fingerprint in out
    assert key.reveal() not in out + err
    if os.name == "posix":
        assert os.stat(default_key_path()).st_mode & 0o777 == 0o600


def test_keygen_overwrites_nothing(tmp_path: Path) -> None:
    place = tmp_path / "key"
    first, out, _ = run("keygen", str(place), "--json")
    before = place.read_bytes()
    second, _, err = run("keygen", str(place))

    assert (first, second) == (ExitCode.OK, ExitCode.USAGE)
    assert json.loads(out) == {"path": str(place), "fingerprint": Key.load(place).fingerprint}
    assert place.read_bytes() == before
    assert "is there already" in err


def test_keygen_prints_the_key_only_when_asked() -> None:
    with start("keygen", "--stdout") as process:
        out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == ExitCode.OK
    assert Key(out.strip()).fingerprint in err
    assert out.strip() not in err
    assert not os.path.exists(default_key_path())


# --- send, recv, serve ------------------------------------------------------------------------------------------------


def test_send_and_recv_talk_out_of_the_box() -> None:
    with listening("recv", "0", key=None, start=start_afresh) as (receiver, address):
        code, out, err = run_afresh("send", address, THE_LIST, "--", "-0.5", "None")
        received, got, _ = finished(receiver)

    assert (code, received) == (ExitCode.OK, ExitCode.OK)
    assert out == ""
    assert re.search(r"sent list: \d+ B plain, \d+ B on the wire", err)
    assert got.splitlines() == [THE_LIST, "-0.5", "None"]


def test_recv_ends_after_a_count_and_prints_json() -> None:
    key = Key.generate()
    with listening("recv", "0", "-n", "3", "--json", key=key) as (receiver, address):
        run("send", address, "{'a': [1, None]}", key=key)
        run("send", address, "--json-value", '["x", 1e400]', "[1.0]", key=key)
        code, out, _ = finished(receiver)
    facts = [json.loads(line) for line in out.splitlines()]

    assert code == ExitCode.OK
    assert facts == [
        {"type": "dict", "literal": "{'a': [1, None]}", "value": {"a": [1, None]}},
        {"type": "list", "literal": "['x', inf]"},
        {"type": "list", "literal": "[1.0]", "value": [1.0]},
    ]


def test_files_and_texts_travel_raw(tmp_path: Path) -> None:
    key, content = Key.generate(), bytes(range(256)) * 4
    (tmp_path / "file").write_bytes(content)
    with raw_receiver(key) as (receiver, address):
        run("send", address, "--file", str(tmp_path / "file"), key=key)
        out, _ = receiver.communicate(timeout=SECONDS)

    assert receiver.returncode == ExitCode.OK
    assert out == content


@contextmanager
def raw_receiver(key: Key) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    process = start("recv", "0", "--raw", key=key, encoding=None)
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith(b"listening"))  # type: ignore[arg-type]
    address = line.split()[2].rstrip(b",").decode()  # type: ignore[attr-defined]
    try:
        yield process, address  # type: ignore[misc]
    finally:
        process.kill()
        process.communicate()


def test_what_has_no_raw_form_is_refused() -> None:
    key = Key.generate()
    with listening("recv", "0", "--raw", key=key) as (receiver, address):
        run("send", address, "[1]", key=key)
        code, out, err = finished(receiver)

    assert code == ExitCode.USAGE
    assert out == ""
    assert "a list has no raw form" in err


def test_values_come_from_stdin_a_line_each() -> None:
    key = Key.generate()
    with listening("recv", "0", key=key) as (receiver, address):
        sender = start("send", address, "-", key=key, stdin=subprocess.PIPE)
        code, _, _ = finished(sender, given="{1, 2}\n\n(3,)\n")
        _, out, _ = finished(receiver)

    assert code == ExitCode.OK
    assert out.splitlines() == ["{1, 2}", "(3,)"]


def test_serve_echoes_and_send_prints_the_reply() -> None:
    key = Key.generate()
    with listening("serve", "0", "--echo", "--once", "--json", key=key) as (server, address):
        code, out, _ = run("send", address, THE_LIST, "--reply", "--json", key=key)
        served, events, _ = finished(server)
    facts = json.loads(out)
    events_by_name = {event["event"]: event for event in map(json.loads, events.splitlines())}

    assert (code, served) == (ExitCode.OK, ExitCode.OK)
    assert facts["fingerprint"] == key.fingerprint
    assert facts["sent"][0]["type"] == "list"
    assert facts["sent"][0]["plain_bytes"] < facts["sent"][0]["wire_bytes"]
    assert facts["sent"][0]["reply"] == {"type": "list", "literal": THE_LIST}
    assert list(events_by_name) == ["listening", "joined", "value", "left"]
    assert events_by_name["value"]["literal"] == THE_LIST
    assert events_by_name["left"]["values"] == 1


def test_both_ends_ask_for_a_cipher(tmp_path: Path) -> None:
    key, asked = Key.generate(), ("--cipher", "aes-256-gcm")
    (tmp_path / "file").write_bytes(b"content")
    with listening("serve", "0", "--files", str(tmp_path), *asked, key=key) as (_, address):
        plain = run("send", address, "1", "--json", key=key)
        other = run("send", address, "1", "--json", *asked, key=key)
        listed = run("ls", f"{address}/", "--json", *asked, key=key)
        put = run("put", str(tmp_path / "file"), f"{address}/copy", *asked, key=key)
        got = run("get", f"{address}/copy", str(tmp_path / "back"), *asked, key=key)
    lengths = [json.loads(out)["sent"][0]["wire_bytes"] for _, out, _ in (plain, other)]

    assert [code for code, _, _ in (plain, other, listed, put, got)] == [ExitCode.OK] * 5
    assert lengths == [125, 70]  # 57 bytes around whole blocks, and 17 around the record
    assert "file" in listed[1]
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"content"] * 3


def test_a_server_that_was_not_asked_for_a_cipher_does_not_offer_it() -> None:
    key = Key.generate()
    with listening("recv", "0", key=key) as (_, address):
        code, _, err = run("send", address, "1", "--cipher", "aes-256-gcm", key=key)

    assert code == ExitCode.PEER
    assert "this server does not offer aes-256-gcm" in err
    assert run("send", address, "1", "--cipher", "rot13", key=key)[0] == ExitCode.USAGE
    assert run("serve", "0", "--cipher", "rot13", key=key)[0] == ExitCode.USAGE


def test_serve_shows_hostile_text_without_obeying_it() -> None:
    key = Key.generate()
    hostile = "\x1b[2J\r\u202e[bold]x[/bold]:smile:"
    with listening("serve", "0", "--once", key=key) as (server, address):
        run("send", address, "--text", hostile, key=key)
        _, out, _ = finished(server)  # holds that there is no escape character

    assert r"'\x1b[2J\r\u202e[bold]x[/bold]:smile:'" in out
    assert "\u202e" not in out


def test_an_int_of_19_000_digits_is_sent_and_printed() -> None:
    key = Key.generate()
    digits = "9" * 19_000
    with listening("recv", "0", key=key) as (receiver, address):
        run("send", address, digits, key=key)
        code, out, _ = finished(receiver)

    assert code == ExitCode.OK
    assert out.strip() == digits


def test_recv_survives_a_reader_that_leaves() -> None:
    key = Key.generate()
    with listening("recv", "0", key=key) as (receiver, address):
        assert receiver.stdout is not None
        receiver.stdout.close()
        with Link(address, key=key) as link:
            link.send(["x" * 100_000])
            with pytest.raises(LinkClosed):
                link.recv(timeout=SECONDS)
        code = receiver.wait(SECONDS)
        assert receiver.stderr is not None
        err = receiver.stderr.read()
        receiver.stdout = None

    assert code == ExitCode.FAULT
    assert "Traceback" not in err


# --- exit codes -------------------------------------------------------------------------------------------------------


def test_no_key_is_3_and_says_what_to_do() -> None:
    code, _, err = run("send", "127.0.0.1:1", "1")

    assert code == ExitCode.KEY
    assert default_key_path() in err


def test_another_key_is_3() -> None:
    with Server(key=Key.generate()) as server:
        code, _, err = run("send", str(server.address), "1", key=Key.generate())

    assert code == ExitCode.KEY
    assert "does not accept this key" in err


def test_a_closed_port_is_4() -> None:
    code, _, err = run("send", closed_port(), "1", key=Key.generate())

    assert code == ExitCode.UNREACHABLE
    assert len(err.splitlines()) == 1


def test_a_port_that_is_taken_is_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "{}:{}".format(*taken.getsockname()), key=Key.generate())

    assert code == ExitCode.UNREACHABLE
    assert "cannot bind" in err


def test_silence_is_5() -> None:
    with fake(silent) as address:
        code, _, _ = run("send", address, "1", "--timeout", "0.3", key=Key.generate())
    waited, _, err = run("recv", "0", "--timeout", "0.3", key=Key.generate())

    assert (code, waited) == (ExitCode.TIMEOUT, ExitCode.TIMEOUT)
    assert "nothing came within 0.3 seconds" in err


def test_a_peer_that_is_something_else_is_6() -> None:
    with fake(ssh) as address:
        code, _, err = run("send", address, "1", key=Key.generate())

    assert code == ExitCode.PEER
    assert "does not speak netstructer" in err


def test_no_reply_is_6() -> None:
    key = Key.generate()
    with Server(key=key, handler=lambda link: link.recv(timeout=SECONDS)) as server:
        code, _, err = run("send", str(server.address), "1", "--reply", key=key)

    assert code == ExitCode.PEER
    assert "without an answer" in err


def test_a_value_over_the_peers_limit_is_7(tmp_path: Path) -> None:
    key = Key.generate()
    (tmp_path / "big").write_bytes(bytes(17 << 20))
    with taking(key, limits=Limits.SMALL) as server:
        code, _, err = run("send", str(server.address), "--file", str(tmp_path / "big"), key=key)

    assert code == ExitCode.LIMIT
    assert "limit" in err


def test_a_value_or_a_file_that_is_none_is_2() -> None:
    key = Key.generate()
    with taking(key) as server:
        address = str(server.address)
        outcomes = [
            run("send", address, "hello", key=key),
            run("send", address, "[1, 2", key=key),
            run("send", address, "--json-value", "{", key=key),
            run("send", address, "--file", "/does/not/exist", key=key),
        ]

    assert [code for code, _, _ in outcomes] == [ExitCode.USAGE] * 4
    assert all(len(err.splitlines()) == 1 for _, _, err in outcomes)
    assert "'hello' is no Python literal" in outcomes[0][2]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows")
@pytest.mark.parametrize("name", ["serve", "recv"])
def test_ctrl_c_is_130(name: str) -> None:
    key = Key.generate()
    keep, begin = (["--keep"], start) if name == "recv" else ([], start_afresh)
    with listening(name, "0", *keep, key=key, start=begin) as (process, address):
        with Link(address, key=key) as link:
            link.send("still there?", wait="consumed", timeout=SECONDS)
            process.send_signal(signal.SIGINT)
            with pytest.raises(LinkClosed):  # a farewell, not a cut
                link.recv(timeout=SECONDS)
        code, _, err = finished(process)

    assert code == ExitCode.INTERRUPTED
    assert err == "interrupted\n" or err.endswith("\ninterrupted\n")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the child in /proc")
def test_ctrl_c_ends_the_demo_and_its_server() -> None:
    process = start_afresh(
        "demo", warnings="ignore"
    )  # Ctrl-C may strike inside a constructor, where nobody can close yet
    assert process.stdout is not None
    found = next(match for line in process.stdout if (match := re.search(r"process (\d+) at", line)))
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)

    assert code == ExitCode.INTERRUPTED
    assert err == "interrupted\n"
    assert not Path("/proc", found[1]).exists()


def test_every_error_has_a_code_and_a_sentence() -> None:
    from netstructer import errors

    kinds = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), errors.NetstructerError)]

    assert all(code_of(kind("why")) not in (ExitCode.OK, ExitCode.FAULT) for kind in kinds)
    assert all(sentence_of(kind("why\x1b")) == "why\\x1b" for kind in kinds)
    assert sentence_of(errors.LinkClosed()) == "LinkClosed"
    assert code_of(ZeroDivisionError()) == ExitCode.FAULT
    assert sentence_of(FileNotFoundError(2, "No such file", "place")) == "place: No such file"


# --- doctor -----------------------------------------------------------------------------------------------------------


def doctor(*arguments: str, key: Key | None) -> tuple[int, dict[str, object]]:
    code, out, _ = run("doctor", *arguments, "--json", key=key)
    facts = json.loads(out)
    assert facts["exit"] == code
    assert all(step["advice"] for step in facts["steps"] if step["passed"] is False)
    return code, facts


@pytest.mark.parametrize(
    ("behaviour", "wrong", "exit_code", "said"),
    [
        (silent, "protocol", ExitCode.TIMEOUT, "nothing was said"),
        (hang_up, "protocol", ExitCode.PEER, "closed without a word"),
        (http, "protocol", ExitCode.PEER, "an HTTP server answers"),
        (ssh, "protocol", ExitCode.PEER, "an SSH server answers"),
        (version_2, "version", ExitCode.PEER, "version 2"),
    ],
)
def test_doctor_names_a_stranger(
    behaviour: Callable[[socket.socket], None], wrong: str, exit_code: ExitCode, said: str
) -> None:
    with fake(behaviour) as address:
        code, facts = doctor(address, "--timeout", "0.5", key=Key.generate())

    assert (code, facts["wrong"]) == (exit_code, wrong)
    assert said in facts["steps"][-1]["found"]  # type: ignore[index]


def test_doctor_names_a_wrong_name_and_a_closed_port() -> None:
    key = Key.generate()
    name = doctor("no-such-host.invalid:5000", key=key)
    port = doctor(closed_port(), key=key)

    assert [(code, facts["wrong"]) for code, facts in (name, port)] == [(4, "name"), (4, "port")]


def test_doctor_names_the_key() -> None:
    with Server(key=Key.generate()) as server:
        other = doctor(str(server.address), key=Key.generate())
        missing = doctor(str(server.address), key=None)

    assert [(code, facts["wrong"]) for code, facts in (other, missing)] == [(3, "key"), (3, "key")]
    assert "no key" in missing[1]["steps"][-1]["found"]  # type: ignore[index]


def test_doctor_names_a_full_server() -> None:
    key = Key.generate()
    with taking(key, max_links=1) as server, Link(server.address, key=key):
        code, facts = doctor(str(server.address), key=key)

    assert (code, facts["wrong"]) == (ExitCode.LIMIT, "limits")


def test_doctor_finds_nothing_wrong_and_leaves_with_manners() -> None:
    key = Key.generate()
    with Server(key=key, limits=Limits.SMALL) as server:  # in which nobody receives: pings are answered all the same
        code, facts = doctor(str(server.address), key=key)
    steps = {step["name"]: step for step in facts["steps"]}  # type: ignore[attr-defined]

    assert (code, facts["wrong"]) == (ExitCode.OK, None)
    assert list(steps) == ["name", "port", "protocol", "version", "key", "limits", "clock", "ping", "identity"]
    assert steps["limits"]["value_bytes"] == Limits.SMALL.value_bytes
    assert "less than the defaults" in steps["limits"]["advice"]
    assert abs(steps["clock"]["server_ahead_seconds"]) <= 2
    assert 0 < steps["ping"]["median_seconds"] < SECONDS
    assert server.stats.handshakes_refused == 1  # it was asked which server it is, and has no identity to prove
    assert server.stats.links_accepted == 1


def test_doctor_speaks_to_people() -> None:
    key = Key.generate()
    with taking(key, hide_clock=True) as server:
        code, out, _ = run("doctor", str(server.address), key=key)
        wrong, complaint, _ = run("doctor", str(server.address), key=Key.generate())

    assert code == ExitCode.OK
    assert "does not show its clock" in out
    assert out.endswith("nothing is wrong\n")
    assert wrong == ExitCode.KEY
    assert "→" in complaint
    assert complaint.endswith("wrong: key\n")


def test_doctor_examines_this_machine(tmp_path: Path) -> None:
    code, facts = doctor(key=None)
    held, with_key = doctor(key=Key.generate())
    place = tmp_path / "key"
    place.write_text("no key at all")
    broken, bad = doctor("--key-file", str(place), key=None)
    names = [step["name"] for step in facts["steps"]]  # type: ignore[attr-defined]

    assert (code, facts["wrong"], held) == (ExitCode.OK, None, ExitCode.OK)
    assert names == ["python", "packages", "key", "identity", "known", "processor", "values", "seals", "loopback"]
    assert facts["steps"][6]["compiled"] == (CHOICE.compiled is not None)  # type: ignore[index]
    assert "the variable NETSTRUCTER_KEY" in with_key["steps"][2]["found"]  # type: ignore[index]
    assert (broken, bad["wrong"]) == (ExitCode.KEY, "key")
    assert not os.path.exists(default_key_path())


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_doctor_sees_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    place = tmp_path / "key"
    Key.generate().save(place)
    place.chmod(0o644)
    code, facts = doctor("--key-file", str(place), key=None)

    assert (code, facts["wrong"]) == (ExitCode.KEY, "key")
    assert facts["steps"][2]["advice"] == f"chmod 600 {place}"  # type: ignore[index]


# --- demo -------------------------------------------------------------------------------------------------------------


def test_the_demo_shows_what_it_promises(tmp_path: Path, empty_home: Path) -> None:
    code, out, err = run_afresh("demo", "--svg", str(tmp_path / "demo.svg"))
    drawn = (tmp_path / "demo.svg").read_text("utf-8")

    assert code == ExitCode.OK
    assert err == ""
    assert "✗" not in out
    assert "tuple[bool, bool]" in out
    assert "dict[bytes, str]" in out
    assert "plaintext found: no" in out
    assert "KeyRefused" in out
    assert all(f"server.{call}" in out for call in ("get(", "pop(", "clear()"))
    assert "all as it should be" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert list(empty_home.rglob("*")) == []
    assert "tuple[bool" in drawn.replace("&#160;", " ")
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", drawn)


def test_the_demo_tells_its_facts() -> None:
    code, out, err = run("demo", "--json")
    facts = json.loads(out)

    assert (code, err) == (ExitCode.OK, "")
    assert facts["passed"] is True
    assert facts["list"]["arrived"] == ["'hi'", "128", "{b'gg': 'gg'}", "{1, 2, 4, 6}", "(False, True)"]
    assert facts["list"]["types"] == ["str", "int", "dict[bytes, str]", "set[int]", "tuple[bool, bool]"]
    assert facts["table"]["rows"] > 10_000
    assert facts["table"]["compressed_bytes"] < facts["table"]["wire_bytes"] < facts["table"]["plain_bytes"]
    for moved in facts["files"].values():
        assert moved["bytes"] > 1 << 20 or moved["values"] == 1
        assert moved["compressed_bytes"] < moved["wire_bytes"] < moved["plain_bytes"]
    assert facts["eavesdropper"]["plaintext_found"] == 0
    assert facts["eavesdropper"]["control_found"] > 1000
    assert facts["eavesdropper"]["bits_per_byte"] > 7.9
    assert facts["wrong_key"] == {"refused": True, "error": "KeyRefused"}
    assert facts["registry"]["closed_by_clear"] == 2


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ([1], (1,)),
        ({1}, {True}),
        ({1}, frozenset({1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([[1]], [[1.0]]),
    ],
)
def test_same_sees_what_equality_does_not(one: object, other: object) -> None:
    assert not same(one, other)
    assert same(one, from_literal(repr(one)))


@pytest.mark.parametrize("text", ["", "x", "f()", "1 +", "[" * 5000, "__import__('os')", "(lambda: 1)()", "{[]: 1}"])
def test_a_literal_runs_nothing(text: str) -> None:
    from netstructer.errors import Misuse

    with pytest.raises(Misuse, match="no Python literal"):
        from_literal(text)


def test_json_facts_hold_a_value_only_where_json_loses_nothing() -> None:
    assert "value" in facts_of({"a": [1, "x", None, 1.5, True]})
    assert all("value" not in facts_of(value) for value in (b"x", (1,), {1: 2}, [float("nan")], {1}, {"a": (1,)}))


def test_figures_are_written_for_people() -> None:
    assert [size(0), size(1023), size(1024), size(5 << 20), size(3 << 40)] == [
        "0 B",
        "1,023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3,072.0 GiB",
    ]
    assert [seconds(5e-6), seconds(0.0123), seconds(2.5)] == ["5 µs", "12.3 ms", "2.5 s"]
    assert (rate(1 << 20, 2), rate(1, 0)) == ("512.0 KiB/s", "–")
    assert one_line("a\nb\x1b\ud800é") == "a\\nb\\x1b\\ud800é"


def test_the_eavesdropper_would_find_what_is_there() -> None:
    words = [b"LATIN SMALL LETTER A", b"short", b"DIGIT NINE"]
    noise = os.urandom(5000)

    assert occurrences(words, noise) == 0
    assert occurrences(words, noise + words[0] + noise + words[2]) == 2
    assert entropy(b"\0" * 100) == 0
    assert entropy(bytes(range(256))) == 8
    assert frames_of(bytes(128) + b"\0\0\0\2ab" + b"\0\0\0\1c") == [b"\0\0\0\2ab", b"\0\0\0\1c"]


def test_the_key_pattern_of_these_tests_finds_keys() -> None:
    assert KEY_TEXT.search("x " + base64.urlsafe_b64encode(os.urandom(32)).decode())
    assert KEY_TEXT.search(Key.generate().reveal())


def test_the_table_of_exit_codes_in_the_documents_is_this_one() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")

    assert re.findall(r"^\| (\d+) \| (.+) \|$", text, re.M) == [(str(one.value), one.meaning) for one in ExitCode]
