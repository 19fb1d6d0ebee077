"""`netstructer pair` in real processes, two homes with nothing in them: from nothing to a working, pinned link."""

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

import pytest

from commands import start_python
from netstructer import Key

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("spake2")

from netstructer.cli.outcomes import ExitCode, code_of
from netstructer.errors import InvalidCode, PairingRefused, PairingStopped, WrongCode
from netstructer.identity import Identity
from netstructer.user_keys import UserKeys

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60.0
WRONG = "10-abbey-acorn"
KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{43}=")


class Machine:
    """A home with nothing in it, and the commands that are typed there."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("NETSTRUCTER_", "XDG_"))}
        self.environment = kept | {
            "HOME": str(home),
            "USERPROFILE": str(home),
            "APPDATA": str(home),
            "LOGNAME": "ada",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "error",
        }

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        command = ("-m", "netstructer", *arguments)
        return start_python(*command, environment=self.environment, directory=self.home, stdin=stdin)

    def run(self, *arguments: str, typed: str | None = None) -> tuple[int, str, str]:
        stdin = subprocess.DEVNULL if typed is None else subprocess.PIPE
        return ended(self.start(*arguments, stdin=stdin), typed)

    def files(self) -> dict[str, Path]:
        """Return the files of netstructer in this home, but for locks, by their names."""
        return {path.name: path for path in self.home.rglob("*") if path.is_file() and path.suffix != ".lock"}


def ended(process: subprocess.Popen[str], typed: str | None = None) -> tuple[int, str, str]:
    """Wait for a command; return its exit code, stdout and stderr, which hold no key and no traceback."""
    with process:
        out, err = process.communicate(typed, timeout=SECONDS)
    for text in (out, err):
        assert "Traceback" not in text
        assert "\x1b" not in text
        assert not KEY_TEXT.search(text)
    return process.returncode, out, err


class Listening:
    """`pair --listen --json` on a free port, and what it says."""

    def __init__(self, machine: Machine, *arguments: str) -> None:
        self.process = machine.start("pair", "--listen", "127.0.0.1:0", "--json", *arguments)
        self.place = "127.0.0.1:{port}".format(**self.next("listening"))

    def next(self, event: str) -> dict[str, object]:
        """Return the facts of the next line, which must be of that event."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=SECONDS)[1]
        facts: dict[str, object] = json.loads(line)
        assert facts["event"] == event
        return facts

    def code(self) -> str:
        return str(self.next("code")["code"])


@contextmanager
def listening(machine: Machine, *arguments: str) -> Iterator[Listening]:
    waiting = Listening(machine, *arguments)
    try:
        yield waiting
    finally:
        if waiting.process.poll() is None:
            waiting.process.kill()
        waiting.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "server")


@pytest.fixture
def client(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "client")


@contextmanager
def serving(machine: Machine, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve --json` on a free port; yield the process and its port."""
    process = machine.start("serve", "0", "--json", *arguments)
    assert process.stdout is not None
    try:
        yield process, str(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


def test_from_nothing_to_a_working_pinned_link(server: Machine, client: Machine) -> None:
    """A server that runs already and knows nobody; a code; a value.  Nothing is started again, nothing copied."""
    with serving(server) as (serve, port):
        with listening(server, "--server", port) as waiting:
            code, out, err = client.run("pair", waiting.place, waiting.code().upper(), "--user", "ada")
            assert (code, err.splitlines()) == (ExitCode.OK, [f"now: netstructer send 127.0.0.1:{port} \"'hello'\""])
            paired = waiting.next("paired")
            assert ended(waiting.process)[0] == ExitCode.OK
        assert paired["user"] == "ada"
        assert sorted(client.files()) == ["key", "known_servers"]
        assert "users" in server.files()

        code, _, err = client.run("send", f"127.0.0.1:{port}", "'hello'")
        assert code == ExitCode.OK
        assert err.startswith("sent str: 6 B plain")
        assert serve.stdout is not None
        events = [json.loads(serve.stdout.readline()) for _ in range(3)]
        assert [event["event"] for event in events] == ["joined", "value", "left"]
        assert events[1]["value"] == "hello"

    key = Key.load(client.files()["key"])
    identity = Identity.load(server.files()["identity"])
    assert f"paired      as ada with 127.0.0.1:{port}\nserver      {identity.fingerprint}, pinned\n" in out
    assert key.fingerprint in out
    assert UserKeys(server.files()["users"]).mapping(now=0) == {"ada": key}
    # Another server in its place, with the same users but another identity, is told from it.
    os.unlink(server.files()["identity"])
    with serving(server) as (_, other):
        known = client.files()["known_servers"]
        known.write_text(known.read_text().replace(f'"port":{port}', f'"port":{other}'))
        code, out, err = client.run("send", f"127.0.0.1:{other}", "'secret'")
        assert (code, out) == (ExitCode.KEY, "")
        assert identity.fingerprint in err


def test_the_screen_says_what_to_type_at_the_other_machine(server: Machine, client: Machine) -> None:
    process = server.start("pair", "--listen", "127.0.0.1:0")
    assert process.stderr is not None
    typed = next(line for line in process.stderr if "at the other machine" in line)
    words = typed.split("netstructer pair ")[1].split()

    code, out, _ = client.run("pair", words[0], typed=words[1] + "\n")
    _, shown, err = ended(process)

    assert code == ExitCode.OK
    assert "paired      as ada with 127.0.0.1:5000\n" in out
    assert shown.splitlines()[0] == f"code        {words[1]}"
    assert shown.splitlines()[1] == "paired      ada, at 127.0.0.1"
    assert err == "now, unless it runs already: netstructer serve 0.0.0.0:5000\n"


def test_a_key_that_is_there_stays_and_the_new_one_lies_beside_it(server: Machine, client: Machine) -> None:
    assert client.run("keygen")[0] == ExitCode.OK
    before = client.files()["key"].read_bytes()
    with listening(server) as waiting:
        code, out, err = client.run("pair", waiting.place, waiting.code(), "--json")

    facts = json.loads(out)
    assert (code, err) == (ExitCode.OK, "")
    assert client.files()["key"].read_bytes() == before
    assert facts["key_file"] == str(client.files()["key-127.0.0.1"])
    assert facts["usage"].endswith(f"--key-file {facts['key_file']}")
    assert Key.load(facts["key_file"]).fingerprint == facts["fingerprint"]


def test_a_wrong_code_ends_the_client_with_3_and_three_of_them_the_server_with_7(
    server: Machine, client: Machine
) -> None:
    with listening(server) as waiting:
        for _ in range(3):
            waiting.code()
            code, out, err = client.run("pair", waiting.place, WRONG)
            assert (code, out) == (ExitCode.KEY, "")
            assert "this code is dead" in err
            assert waiting.next("failed")["error"] == "WrongCode"
        code, _, err = ended(waiting.process)

    assert code == ExitCode.LIMIT
    assert err.splitlines()[-1].startswith("netstructer: 3 codes were tried in vain")
    assert client.files() == {}
    assert "users" not in server.files()


def test_nobody_comes_and_the_server_ends_with_5(server: Machine) -> None:
    code, _, err = server.run("pair", "--listen", "127.0.0.1:0", "--timeout", "0.3")

    assert code == ExitCode.TIMEOUT
    assert "nobody came with the code within 0.3 seconds" in err


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_is_no_fault(server: Machine) -> None:
    with listening(server) as waiting:
        waiting.code()
        waiting.process.send_signal(signal.SIGINT)
        code, out, err = ended(waiting.process)

    assert (code, out) == (ExitCode.INTERRUPTED, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "users" not in server.files()


def test_nothing_listens_and_the_client_ends_with_4(client: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"

    code, _, err = client.run("pair", place, WRONG)

    assert code == ExitCode.UNREACHABLE
    assert "nothing listens" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("127.0.0.1", "7-guitar-orbit"),
        ("127.0.0.1:1", "47 guitar"),
        ("127.0.0.1:1", WRONG, "--users", "x"),
        ("127.0.0.1:1", WRONG, "--user", "no name"),
        ("--listen", "127.0.0.1:0", WRONG),
        ("--listen", "127.0.0.1:0", "--server", "0"),
        ("--listen", "127.0.0.1:0", "--server", "host:port"),
        ("--listen", "127.0.0.1:0", "--key-file", "x"),
    ],
)
def test_wrong_usage_is_2(client: Machine, arguments: tuple[str, ...]) -> None:
    code, out, err = client.run("pair", *arguments)

    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("netstructer: ")
    assert "users" not in client.files()


def test_serve_takes_users_from_a_file_that_is_named_and_says_when_there_is_none(
    server: Machine, client: Machine
) -> None:
    code, _, err = server.run("serve", "0", "--users", "mine")
    assert code == ExitCode.KEY
    assert "netstructer pair --listen --users mine" in err
    with listening(server, "--users", "mine", "--user", "lab") as waiting:
        assert client.run("pair", waiting.place, *waiting.code().split("-"), "--key-file", "k")[0] == ExitCode.OK
        assert waiting.next("paired")["user"] == "lab"

    process = server.start("serve", "0", "--users", "mine")
    assert process.stderr is not None
    said = next(line for line in process.stderr if line.startswith("listening"))
    process.kill()
    process.communicate()

    assert said.endswith(", 1 key of users from mine\n")
    assert "key" not in server.files()


def test_each_error_of_pairing_has_its_exit_code() -> None:
    codes = {error: code_of(error()) for error in (InvalidCode, WrongCode, PairingRefused, PairingStopped)}

    assert codes == {
        InvalidCode: ExitCode.USAGE,
        WrongCode: ExitCode.KEY,
        PairingRefused: ExitCode.PEER,
        PairingStopped: ExitCode.LIMIT,
    }
