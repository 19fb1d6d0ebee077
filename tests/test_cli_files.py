"""Files from the command line, through real processes: put, get, ls, and the server that has them.

One server process for all tests that need no other; each test has a directory of its own in the served one.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from loopback import Relay
from netstructer import Blob, Key, Link, Server
from netstructer.address import Address, parse_address
from netstructer.conversation import Conversation
from netstructer.errors import (
    InvalidAddress,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    TransferRefused,
    UnsafeName,
)

pytest.importorskip("typer")
pytest.importorskip("rich")

from rich.console import Console
from typer.testing import CliRunner

from netstructer.cli.app import app
from netstructer.cli.bars import Bars, drawn
from netstructer.cli.closing import facts_of_transfer, line_of, planned, sentence
from netstructer.cli.fileroom import FileRoom
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.places import Place, parse_place, split_get
from netstructer.services.patience import READ_BYTES_PER_SECOND, Patient
from netstructer.services.room import Answered
from netstructer.transfer import Entry, Outcome, Progress, Transfer, listing, offer
from netstructer.transfer.body import piece_of, start_of_file
from netstructer.transfer.wording import Offer, check_refusal
from test_cli import SECONDS, closed_port, finished, listening, run, start

KEY = Key.generate()
PIECE = 1 << 20
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals, symbolic links and modes of POSIX")


# --- the harness ------------------------------------------------------------------------------------------------------


class Served:
    """A running `serve --files --json`: where, what directory, and what it has told so far."""

    def __init__(self, process: subprocess.Popen[str], address: str, directory: Path) -> None:
        self.address, self.directory = address, directory
        self._events: list[dict[str, Any]] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._told:
                self._events.append(json.loads(line))
                self._told.notify_all()

    def event(self, **facts: object) -> dict[str, Any]:
        """Wait for an event with these facts."""

        def found() -> dict[str, Any] | None:
            return next((one for one in self._events if facts.items() <= one.items()), None)

        with self._told:
            event = self._told.wait_for(found, SECONDS)

        assert event is not None, f"no {facts} among {self._events}"
        return event


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    with listening("serve", "127.0.0.1:0", "--files", str(directory), "--json", key=KEY) as (process, address):
        yield Served(process, address, directory)
        process.kill()
        process.wait()


def facts_of(out: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of `--json`, the last one by itself."""
    *before, last = [json.loads(line) for line in out.splitlines()]
    assert last["event"] == "done"
    return before, last


def make_tree(top: Path) -> Path:
    """Make a tree with files of several sizes, an empty directory, and on POSIX modes and a link."""
    (top / "leaf" / "deep").mkdir(parents=True)
    (top / "void").mkdir()
    (top / "read.me").write_text("hello\n")
    (top / "leaf" / "empty").touch()
    (top / "leaf" / "deep" / "größe.bin").write_bytes(os.urandom(300_000))
    (top / "leaf" / "notes.md").write_text("# notes\n" * 1000)
    os.utime(top / "read.me", ns=(1_000_000_000_000_000_000, 1_000_000_000_000_000_000))
    if os.name == "posix":
        (top / "read.me").chmod(0o640)
        (top / "leaf" / "link").symlink_to("deep/größe.bin")
    return top


def contents(top: Path) -> dict[str, object]:
    """Return all that is below a directory: bytes and time of files, targets of links, None for directories."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
    return found


def stopping(served: Served, direction: str, after: int) -> Relay:
    """Return a relay to a server that passes on so many bytes one way, and then nothing any more."""

    def hold(way: str, offset: int, data: bytes) -> bytes:
        if way == direction and offset + len(data) > after:
            relay.held.set()
        return data

    relay = Relay(parse_address(served.address), tamper=hold)
    return relay


@contextmanager
def stopped(served: Served, direction: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Relay]]:
    """Start a command whose transfer stops in the middle, and yield it and what holds it up; AT is the server."""
    with stopping(served, direction, 3 * PIECE) as relay:
        process = start(*(one.replace("AT", str(relay.address)) for one in arguments), key=KEY)
        try:
            assert relay.held.wait(SECONDS)
            yield process, relay
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
            relay.held.clear()


# --- there and back ---------------------------------------------------------------------------------------------------


def test_files_and_trees_go_there_and_back(served: Served, tmp_path: Path) -> None:
    tree, one = make_tree(tmp_path / "tree"), tmp_path / "one.bin"
    one.write_bytes(os.urandom(PIECE))
    first, out, err = run("put", str(tree), str(one), f"{served.address}/both/here", "--json", key=KEY)
    lines, done = facts_of(out)
    again, out_again, err_again = run("put", str(tree), str(one), f"{served.address}/both/here/", key=KEY)
    back, out_back, err_back = run(
        "get", f"{served.address}/both/here/tree", f"{served.address}/both/here/one.bin", str(tmp_path / "new"), key=KEY
    )
    there = served.directory / "both" / "here"

    assert (first, again, back) == (ExitCode.OK,) * 3
    assert err == ""
    assert contents(there / "tree") == contents(tree) == contents(tmp_path / "new" / "tree")
    assert one.read_bytes() == (there / "one.bin").read_bytes() == (tmp_path / "new" / "one.bin").read_bytes()
    assert (done["files"], done["directories"], done["same"], done["missing"], done["error"]) == (5, 4, 0, {}, None)
    assert done["bytes"] == PIECE + 300_000 + 8000 + 6 < done["wire_bytes"] + 8000
    steps = [line for line in lines if line["event"] == "progress"]
    assert {step["name"] for step in steps} >= {"one.bin", "tree/read.me", "tree/leaf/deep/größe.bin"}
    assert all(step.keys() >= {"done", "total", "rate", "wire", "whole_done", "whole_total"} for step in steps)
    assert (steps[-1]["files_done"], steps[-1]["whole_done"]) == (5, done["bytes"])
    assert {line["name"]: line["status"] for line in lines if line["event"] == "file"}["one.bin"] == "sent"
    # What people see: one line at the end, on stderr.
    assert (out_again, out_back) == ("", "")
    assert "5 unchanged" in err_again
    assert err_back.startswith("received 5 files")
    assert len(err_back.splitlines()) == len(err_again.splitlines()) == 1
    assert served.event(event="listening")["files"] == os.path.realpath(served.directory)
    told = served.event(event="files", command="put", subject="both/here/tree, both/here/one.bin", same=0)
    assert (told["files"], told["bytes"], told["error"]) == (5, done["bytes"], None)


def test_patterns_and_lists_are_of_the_serving_end(served: Served, tmp_path: Path) -> None:
    make_tree(served.directory / "patterns" / "tree")
    place = f"{served.address}/patterns"
    listed, table, _ = run("ls", place + "/tree", key=KEY)
    found, lines, _ = run("ls", f"{place}/**/*.m?", "--json", key=KEY)
    got, _, err = run("get", f"{place}/tree/**/*.m[de]", str(tmp_path / "new"), key=KEY)
    none, _, complaint = run("get", f"{place}/*.none", str(tmp_path / "not"), key=KEY)

    assert (listed, found, got, none) == (ExitCode.OK, ExitCode.OK, ExitCode.OK, ExitCode.FILE)
    rows = {row[30:] for row in table.splitlines()}
    assert rows == {"patterns/tree/read.me", "patterns/tree/leaf/", "patterns/tree/void/"}
    assert "       6 B  2001-09-09" in table
    facts = [json.loads(line) for line in lines.splitlines()]
    assert [(one["name"], one["kind"], one["size"]) for one in facts] == [
        ("patterns/tree/read.me", "file", 6),
        ("patterns/tree/leaf/notes.md", "file", 8000),
    ]
    assert sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.*")) == [
        "leaf/notes.md",
        "read.me",
    ]
    assert err.startswith("received 2 files")
    assert "there is no such file" in complaint
    assert not (tmp_path / "not").exists()


def test_pipes_carry_the_bytes_and_nothing_else(served: Served, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(make_tree(tmp_path / "tree"), "tree")
    raw = {"encoding": None, "stdin": subprocess.PIPE}
    place = f"{served.address}/pipes/tree.tar"
    with start("put", "-", place, key=KEY, **raw) as process:
        out, err = process.communicate(packed.getvalue(), timeout=SECONDS)  # type: ignore[arg-type]
    with start("get", place, "-", "--json", key=KEY, **raw) as back:
        bytes_back, told = back.communicate(timeout=SECONDS)

    assert (process.returncode, out) == (ExitCode.OK, b"")
    assert err.startswith(b"sent 1 file, ")  # type: ignore[arg-type]
    assert (served.directory / "pipes" / "tree.tar").read_bytes() == packed.getvalue()
    assert back.returncode == ExitCode.OK
    assert bytes_back == packed.getvalue()
    lines, done = facts_of(told.decode())  # type: ignore[attr-defined]
    assert done["bytes"] == lines[-2]["done"] == len(packed.getvalue())


@POSIX
def test_a_terminal_has_bars_while_a_pipe_has_bytes(served: Served) -> None:
    import pty

    (served.directory / "bars.bin").write_bytes(noise := os.urandom(PIECE))
    screen, stderr = pty.openpty()
    shown = b""
    with start("get", f"{served.address}/bars.bin", "-", key=KEY, encoding=None, stderr=stderr) as process:
        os.close(stderr)
        assert process.stdout is not None
        out: list[Any] = []
        reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
        reader.start()
        try:
            while piece := os.read(screen, 65536):
                shown += piece
        except OSError:  # what Linux says when the last process has closed the terminal
            pass
        reader.join(SECONDS)
        process.wait(SECONDS)
    os.close(screen)

    assert process.returncode == ExitCode.OK
    assert out == [noise]
    assert b"bars.bin" in shown
    assert "━".encode() in shown
    assert b"1.0 MiB of 1.0 MiB" in shown
    assert shown.rstrip().endswith(b"on the wire")


def test_a_dry_run_moves_nothing(served: Served, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (served.directory / "dry").mkdir()
    (served.directory / "dry" / "there.txt").write_text("there")
    put, out, err = run("put", str(tree), f"{served.address}/dry", "--dry-run", key=KEY)
    get, out_back, _ = run("get", f"{served.address}/dry", str(tmp_path / "new"), "--dry-run", "--json", key=KEY)
    lines, done = facts_of(out_back)

    assert (put, get) == (ExitCode.OK, ExitCode.OK)
    assert "send            6 B  tree/read.me\n" in out
    assert "send      293.0 KiB  tree/leaf/deep/größe.bin\n" in out
    assert err.startswith("would have sent 4 files")
    assert [path.name for path in (served.directory / "dry").iterdir()] == ["there.txt"]
    assert (done["dry_run"], done["files"], done["bytes"]) == (True, 1, 5)
    assert lines[0]["status"] == "sent"
    assert not (tmp_path / "new").exists()


# --- what is cut off --------------------------------------------------------------------------------------------------


@POSIX
def test_a_put_that_was_killed_continues(served: Served, tmp_path: Path) -> None:
    source = tmp_path / "cut.bin"
    source.write_bytes(os.urandom(8 * PIECE))
    there = served.directory / "killed"
    with stopped(served, "out", "put", str(source), "AT/killed", "--json") as (process, _):
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        process.kill()
    served.event(event="files", command="put", subject="killed/cut.bin")
    before = [path.name for path in there.iterdir()]
    code, out, _ = run("put", str(source), f"{served.address}/killed", "--json", key=KEY)
    _, done = facts_of(out)

    assert (begun["name"], begun["done"], begun["total"]) == ("cut.bin", 0, 8 * PIECE)
    assert len(before) == 1
    assert before[0].endswith(".part")
    assert code == ExitCode.OK
    assert (done["resumed"], done["bytes"] + done["resumed_bytes"]) == (1, 8 * PIECE)
    assert done["resumed_bytes"] >= 2 * PIECE
    assert [path.name for path in there.iterdir()] == ["cut.bin"]
    assert (there / "cut.bin").read_bytes() == source.read_bytes()


@POSIX
def test_ctrl_c_says_that_the_same_command_continues(served: Served, tmp_path: Path) -> None:
    (served.directory / "stop.bin").write_bytes(os.urandom(8 * PIECE))
    with stopped(served, "in", "get", "AT/stop.bin", str(tmp_path)) as (process, _):
        process.send_signal(signal.SIGINT)
        code, out, err = finished(process)
    again, _, said = run("get", f"{served.address}/stop.bin", str(tmp_path), key=KEY)

    assert (code, out) == (ExitCode.INTERRUPTED, "")
    assert err == "interrupted; the same command continues where it stopped\n"
    assert again == ExitCode.OK
    assert "1 continued" in said
    assert [path.name for path in tmp_path.iterdir()] == ["stop.bin"]
    assert (tmp_path / "stop.bin").read_bytes() == (served.directory / "stop.bin").read_bytes()


def test_a_cut_says_that_the_same_command_continues(served: Served, tmp_path: Path) -> None:
    (tmp_path / "cable.bin").write_bytes(os.urandom(8 * PIECE))
    with stopped(served, "out", "put", str(tmp_path / "cable.bin"), "AT") as (process, relay):
        relay.cut()
        code, out, err = finished(process)

    assert (code, out) == (ExitCode.PEER, "")
    assert err.endswith("; the same command continues where it stopped\n")
    assert len(err.splitlines()) == 1
    assert served.event(event="files", subject="cable.bin")["error"] is not None


def test_a_link_that_waits_holds_no_other_up(served: Served, tmp_path: Path) -> None:
    (served.directory / "offered.txt").write_text("offered")
    (tmp_path / "quick.txt").write_text("quick")
    with Link(served.address, key=KEY) as slow, slow.conversation() as waiting:
        waiting.send(("get", {"patterns": [""]}))
        assert waiting.recv(timeout=SECONDS)[0] == "offer"  # and is not answered
        with Link(served.address, key=KEY) as quick, quick.conversation() as asking:
            done = offer(asking, tmp_path / "quick.txt", into="quick", clock=lambda: 0.0)

    assert done.counts["sent"] == 1
    assert (served.directory / "quick" / "quick.txt").read_text() == "quick"


def test_nonsense_is_refused_and_the_next_request_answered(served: Served) -> None:
    nonsense = [5, (), ("refused",), ("x", 1), ("refused", {"kind": 1, "name": "x"}), ("get", {"patterns": 7})]
    nonsense += [([1], {}), ("offer", {"names": [None, 3, "x\x1b"]}), ("ls", {"path": 7}), ("get", 1)]
    with Link(served.address, key=KEY) as link:
        for value in nonsense:
            with link.conversation() as asking:
                asking.send(value)
                answer = asking.recv(timeout=SECONDS)
            with pytest.raises(TransferRefused, match="did not understand"):
                check_refusal(answer)
        (served.directory / "listed").mkdir()
        with link.conversation() as asking:
            assert [entry.name for entry in listing(asking, "list*")] == ["listed"]


# --- what would not end -----------------------------------------------------------------------------------------------


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    done = CliRunner(env={"NETSTRUCTER_KEY": KEY.reveal()}).invoke(app, arguments)
    return done.exit_code, done.stdout, done.stderr


@contextmanager
def answering(answer: Callable[[Conversation, threading.Event], None]) -> Iterator[str]:
    """Serve each conversation by `answer`, which may wait for the event: it is set in the end."""
    over = threading.Event()

    def attend(link: Link) -> None:
        with suppress(LinkClosed, LinkLost), link.accept_conversation() as asked:
            asked.recv()
            answer(asked, over)

    with Server("127.0.0.1:0", key=KEY, handler=attend) as server:
        try:
            yield str(server.address)
        finally:
            over.set()


@pytest.mark.parametrize("command", ["serve 0", "recv 0 --keep"])
def test_a_server_without_files_says_so_at_once(command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with listening(*command.split(), key=KEY) as (_, address):
        code, out, err = invoke("put", str(tmp_path / "mine.txt"), address)
        told = json.loads(invoke("put", str(tmp_path / "mine.txt"), address, "--json")[1])

    assert (code, out) == (ExitCode.FILE, "")
    assert err == "netstructer: the other end refused: this server serves no files: start it with --files DIR\n"
    assert (told["event"], told["error"]) == ("done", "TransferRefused")


@pytest.mark.parametrize("command", ["put", "get", "pour", "ls"])
def test_a_server_that_never_answers_is_not_waited_for(command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with answering(lambda asked, over: over.wait(SECONDS)) as address:  # type: ignore[arg-type, return-value]
        arguments = {
            "put": ["put", str(tmp_path / "mine.txt"), address],
            "get": ["get", f"{address}/x", str(tmp_path)],
            "pour": ["get", f"{address}/x", "-"],
            "ls": ["ls", address],
        }
        code, out, err = invoke(*arguments[command], "--stall", "0.2")

    assert (code, out) == (ExitCode.TIMEOUT, "")
    assert "the other end lives, but nothing has moved for 0.2 seconds; --stall SECONDS waits longer" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("directory", ["here", "-"])
def test_a_server_that_stops_in_the_middle_is_not_waited_for(directory: str, tmp_path: Path) -> None:
    def stop(asked: Conversation, over: threading.Event) -> None:
        asked.send(Offer(entries=[Entry(name="x", size=PIECE)]).value())
        asked.recv()

        def part() -> Iterator[bytes]:
            yield start_of_file(0) + b"".join(piece_of(bytes(1000)))
            over.wait(SECONDS)

        with suppress(MessageCancelled):
            asked.send(("body", {"bytes": Blob.from_iter(part())}))

    with answering(stop) as address:
        where = directory if directory == "-" else str(tmp_path / directory)
        code, _, err = invoke("get", f"{address}/x", where, "--stall", "0.2")

    assert code == ExitCode.TIMEOUT
    assert "nothing has moved for 0.2 seconds" in err


def test_an_asker_that_stops_in_the_middle_keeps_no_file_locked(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    told: list[Answered] = []
    over = threading.Event()

    def part() -> Iterator[bytes]:
        yield start_of_file(0) + b"".join(piece_of(bytes(1000)))
        over.wait(SECONDS)

    def attend(link: Link) -> None:
        with room.answering(link, told.append), suppress(LinkClosed, LinkLost):
            link.recv()

    room = FileRoom(str(tmp_path / "served"), writable=True, stall=0.2)
    with (
        Server("127.0.0.1:0", key=KEY, handler=attend) as server,
        Link(str(server.address), key=KEY) as link,
        link.conversation() as asking,
    ):
        asking.send(Offer(entries=[Entry(name="x", size=PIECE)]).value())
        asking.recv(timeout=SECONDS)

        def send() -> None:
            with suppress(MessageCancelled, LinkClosed, LinkLost):
                asking.send(("body", {"bytes": Blob.from_iter(part())}))

        sender = threading.Thread(target=send)
        sender.start()
        with pytest.raises(TransferRefused):
            check_refusal(asking.recv(timeout=SECONDS))
        over.set()
        sender.join(SECONDS)

    assert [type(one.error) for one in told] == [LinkTimeout]


def test_who_has_to_read_its_disk_is_waited_for_longer() -> None:
    class Asked:
        def __init__(self) -> None:
            self.waits: list[float | None] = []

        def wire_bytes(self) -> int:
            return 0

        def send(self, value: object, *, timeout: float | None = None) -> None:
            self.waits.append(timeout)

        def recv(self, *, timeout: float | None = None) -> object:
            self.waits.append(timeout)
            return ("offer", {"kinds": "f", "sizes": [None]})

    asked = Asked()
    patient = Patient(asked, 10.0)
    patient.send(("offer", {"sizes": [100 * READ_BYTES_PER_SECOND, None]}))
    patient.recv()
    patient.send(("answer", {"prefixes": {0: (5 * READ_BYTES_PER_SECOND, b"")}}))
    patient.recv()
    patient.send(("refused", {}), timeout=1.0)
    serving = Patient(asked, 10.0, serving=True)
    serving.send(("body", {}))

    assert asked.waits == [10.0, 110.0, 10.0, 15.0, 1.0, None]


# --- what is refused --------------------------------------------------------------------------------------------------


@POSIX
def test_nothing_outside_of_the_directory_is_reached(served: Served, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (served.directory / "way-out").symlink_to(outside)
    (served.directory / "secret-link").symlink_to(outside / "secret")
    (tmp_path / "mine.txt").write_text("mine")
    written, _, complaint = run("put", str(tmp_path / "mine.txt"), f"{served.address}/way-out", key=KEY)
    codes = [
        run("get", f"{served.address}/{path}", str(tmp_path / "new"), key=KEY)[0]
        for path in ("way-out/secret", "secret-link", "../outside/secret")
    ]
    refused = []
    with Link(served.address, key=KEY) as link:  # what the command would not even ask for
        for into in ("../outside", "/etc", "a/../../outside", "C:", "way-out", "a\\..\\b", "nul"):
            with link.conversation() as asking, pytest.raises((TransferRefused, UnsafeName)) as caught:
                offer(asking, tmp_path / "mine.txt", into=into, clock=lambda: 0.0)
            refused.append(caught.type)

    assert written == ExitCode.FILE
    assert complaint.startswith("mine.txt: refused: ")
    assert codes == [ExitCode.FILE] * 3
    assert len(refused) == 7
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert not (tmp_path / "new").exists()
    assert served.event(event="files", command="get", subject="secret-link")["error"] == "TransferRefused"


@POSIX
def test_a_read_only_server_gives_and_takes_not(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "given.txt").write_text("given")
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ("serve", "0", "--files", str(tmp_path / "served"), "--read-only")
    with listening(*arguments, key=KEY) as (process, address):
        assert process.stderr is not None
        serving = next(line for line in process.stderr if line.startswith("serving the files"))
        put, _, complaint = run("put", str(tmp_path / "mine.txt"), address, key=KEY)
        get, out, _ = run("get", f"{address}/given.txt", "-", key=KEY)
        sent, _, _ = run("send", address, "42", key=KEY)
        process.send_signal(signal.SIGINT)
        code, shown, _ = finished(process)

    assert (put, get, sent) == (ExitCode.FILE, ExitCode.OK, ExitCode.OK)
    assert "it takes no files" in complaint
    assert out == "given"
    assert [path.name for path in (tmp_path / "served").iterdir()] == ["given.txt"]
    assert code == ExitCode.INTERRUPTED
    assert serving == f"serving the files in {tmp_path / 'served'}, read only\n"
    lines = [line.split(" ", 3) for line in shown.splitlines()]  # one for each request: mark, link, peer, what
    assert [line[0] for line in lines] == ["!", "=", "<", "42"]
    assert lines[0][3] == "put mine.txt: it takes no files"
    assert lines[1][3].startswith("get given.txt: sent 1 file, 5 B ")


@POSIX
def test_what_does_not_go_is_named_and_the_rest_goes(served: Served, tmp_path: Path) -> None:
    tree = tmp_path / "odd"
    tree.mkdir()
    for name in ("fine", "bad\x1b[31m", "a:b"):
        (tree / name).write_text(name)
    (tree / "away").symlink_to("/etc")
    os.mkfifo(tree / "pipe")
    code, out, err = run("put", str(tree), served.address, key=KEY)

    assert (code, out) == (ExitCode.FILE, "")
    assert "odd/bad\\x1b[31m: not offered: " in err
    assert "odd/pipe: skipped: a pipe\n" in err
    assert err.splitlines()[-1].startswith("sent 1 file, 4 B ")
    assert err.endswith("; 2 unsafe; 2 skipped\n")
    assert [path.name for path in (served.directory / "odd").iterdir()] == ["fine"]


@POSIX
def test_one_bad_path_does_not_stop_the_others(served: Served, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(name)
    (tmp_path / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / name) for name in ("nowhere", "a", "pipe", "a")]
    code, _, err = invoke("put", *paths, f"{served.address}/bad-paths")
    both = invoke("put", str(tmp_path / "a" / "same"), str(tmp_path / "b" / "same"), served.address)
    empty = invoke("put", *map(str, make_empty(tmp_path)), f"{served.address}/bad-paths")

    assert code == ExitCode.OK
    assert f"{paths[0]}: skipped: a link that leads nowhere\n{paths[2]}: skipped: no file or directory\n" in err
    assert err.splitlines()[-1].startswith("sent 1 file, 1 B ")
    assert (served.directory / "bad-paths" / "a" / "same").read_text() == "a"
    assert both[0] == ExitCode.USAGE
    assert both[2].endswith("/b/same would both arrive as same\n")
    assert empty[2].startswith("sent 2 directories in ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("put", "no-such-file", "5000"), "FileNotFoundError"),
        (("put", __file__, "HERE"), "PortClosed"),
        (("get", "5000"), "Misuse"),
        (("get", "HERE/x", "-"), "PortClosed"),
        (("ls", "HERE"), "PortClosed"),
        (("ls", "somewhere"), "InvalidAddress"),
    ],
)
def test_json_tells_a_failure_too(arguments: tuple[str, ...], error: str) -> None:
    address = closed_port()
    code, out, err = invoke(*(one.replace("HERE", address) for one in arguments), "--json")
    facts, *rest = [json.loads(line) for line in (err if "-" in arguments else out).splitlines() if line[0] == "{"]

    assert (rest, code) == ([], ExitCode.UNREACHABLE if error == "PortClosed" else ExitCode.USAGE)
    assert (facts["event"], facts["error"]) == ("done", error)
    assert f"netstructer: {facts['text']}\n" in err


@POSIX
def test_what_the_serving_end_leaves_out_is_named(served: Served, tmp_path: Path) -> None:
    (served.directory / "lacking").mkdir()
    for name in ("fine", "bad\x1b[31m"):
        (served.directory / "lacking" / name).write_text(name)
    got = invoke("get", f"{served.address}/lacking", str(tmp_path))
    listed = invoke("ls", f"{served.address}/lacking")
    facts = invoke("ls", f"{served.address}/lacking", "--json")
    poured = invoke("get", f"{served.address}/lacking/*", "-")

    assert [code for code, _, _ in (got, listed, facts, poured)] == [ExitCode.FILE] * 4
    assert all("31m: not offered: its name" in err for _, _, err in (got, listed, poured))
    assert (tmp_path / "lacking" / "fine").read_text() == "fine"
    assert listed[1].endswith("  lacking/fine\n")
    assert poured[1] == "fine"
    assert [json.loads(line).get("status") for line in facts[1].splitlines()] == [None, "unsafe"]


def test_what_is_here_is_kept_if_that_is_asked_for(served: Served, tmp_path: Path) -> None:
    (served.directory / "kept.txt").write_text("theirs")
    (tmp_path / "kept.txt").write_text("mine")
    left = invoke("get", f"{served.address}/kept.txt", str(tmp_path), "--no-replace")
    here = (tmp_path / "kept.txt").read_text()
    beside = invoke("get", f"{served.address}/kept.txt", str(tmp_path), "--keep")
    to_a_file = invoke("get", f"{served.address}/kept.txt", str(tmp_path / "kept.txt"))

    assert (left[0], beside[0], to_a_file[0]) == (ExitCode.FILE, ExitCode.OK, ExitCode.USAGE)
    assert left[2].startswith("kept.txt: not written: a file of that name is there\n")
    assert here == (tmp_path / "kept.txt").read_text() == "mine"
    assert (tmp_path / "kept (2).txt").read_text() == "theirs"
    assert to_a_file[2].endswith(
        f"kept.txt is no directory; one file under another name: netstructer get PLACE - > {tmp_path}/kept.txt\n"
    )


def test_a_full_disk_is_named(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> Transfer:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("netstructer.cli.get.fetch", full)
    code, _, err = invoke("get", f"{served.address}/x", str(tmp_path / "new"))

    assert code == ExitCode.FILE
    assert err == (
        f"netstructer: {tmp_path / 'new'}: {os.strerror(errno.ENOSPC)}; the same command continues where it stopped\n"
    )


def make_empty(top: Path) -> list[Path]:
    """Make two empty directories."""
    made = [top / "empty", top / "void"]
    for one in made:
        one.mkdir()
    return made


def test_no_key_and_no_server_have_their_codes(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    keyless, _, no_key = run("put", str(tmp_path / "mine.txt"), "127.0.0.1:1")
    nobody, _, no_server = run("get", f"{closed_port()}/x", str(tmp_path / "new"), key=KEY)

    assert (keyless, nobody) == (ExitCode.KEY, ExitCode.UNREACHABLE)
    assert "no key" in no_key
    assert "nothing listens" in no_server
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["put", "here.txt", "there.txt"], "expected HOST:PORT"),
        (["put", "no-such-file", "5000"], "no-such-file: No such file"),
        (["put", os.devnull, "5000"], "is no file or directory"),
        (["put", "", "5000"], "an empty one"),
        (["put", __file__, f"{os.path.dirname(__file__)}/../pyproject.toml", "no/such", "5000"], "no/such: No such"),
        (["put", "-", "5000"], "expected a name"),
        (["put", "-", "5000/directory/"], "expected a name"),
        (["put", "-", "x", "5000/name"], "expected - alone"),
        (["get", "5000"], "5000/ gets all"),
        (["get", "5000", "somewhere"], "5000/ gets all"),
        (["get", "a:1/x", "b:1/x"], "expected one server"),
        (["get", "a:1/x", "-", "--dry-run"], "expected --dry-run or -"),
        (["get", "a:1/x", "2024/"], "a directory here is ./2024/"),
        (["get", "a:1/x", "--keep", "--no-replace"], "expected --keep or --no-replace"),
        (["ls", "somewhere"], "expected HOST:PORT"),
        (["serve", "0", "--read-only"], "together with files.directory"),
        (["serve", "0", "--files", "no-such-directory"], "no-such-directory: No such file"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_connected(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == ExitCode.USAGE
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- the parts --------------------------------------------------------------------------------------------------------

HERE = Address("127.0.0.1", 5000)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("5000", Place(HERE, None)),
        ("5000/", Place(HERE, "")),
        ("5000/a/b", Place(HERE, "a/b")),
        ("127.0.0.1:5000", Place(HERE, None)),
        ("127.0.0.1:5000/a:b/c", Place(HERE, "a:b/c")),
        ("[::1]:5000/dir", Place(Address("::1", 5000), "dir")),
        ("server.example:1/*.md", Place(Address("server.example", 1), "*.md")),
        ("a:5000//x", Place(Address("a", 5000), "/x")),
        ("a:5000/x\ny", Place(Address("a", 5000), "x\ny")),
    ],
)
def test_a_place_is_read(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *(
            "C:\\x",
            "C:/x",
            "c:",
            "C:\\5000\\x",
            "\\\\server\\share",
            "dir",
            "dir/5000",
            "./5000/x",
            "/5000",
            "-",
            "",
            ".",
        ),
        *(
            "host:/path",
            "host:name/5000",
            "::1",
            "::1/x",
            "[::1]",
            "[::1]/x",
            "host:123456",
            "host:5000\\x",
            "x/y:5000",
        ),
        *("host:99999", ":5000", "host:0", "a b:5000/x"),
    ],
)
def test_what_is_no_place_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_place(text)


@pytest.mark.parametrize("text", ["C:\\x", "C:/x", "dir", "./5000/x", "5000", "host:5000", ".", "-", "/5000/x"])
def test_the_last_argument_of_get_is_a_directory_unless_it_is_a_place_with_a_path(text: str) -> None:
    assert split_get(["5000/a", "5000/b", text]) == (HERE, ["a", "b"], text)
    assert split_get(["5000/a", "127.0.0.1:5000/b"]) == (HERE, ["a", "b"], None)


@pytest.mark.parametrize("path", ["../x", "a/../x", "/x", "a//b", "a/./b", "nul", "a\\b", "C:", "x\0", "~/", "a."])
def test_a_directory_to_put_into_is_below(path: str) -> None:
    if path == "~/":
        assert parse_place(f"5000/{path}").directory == "~"  # a name like any other: no shell reads it there
        return
    with pytest.raises(UnsafeName, match="is no path below the served directory"):
        _ = parse_place(f"5000/{path}").directory


def test_a_directory_called_like_a_place_is_one_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "2024").mkdir()
    monkeypatch.chdir(tmp_path)

    assert split_get(["5000/a", "2024/"]) == (HERE, ["a"], "2024/")
    assert split_get(["127.0.0.1:2024/a", "2024/"]) == (Address("127.0.0.1", 2024), ["a", ""], None)


def progress(**facts: Any) -> Progress:
    usual: dict[str, Any] = {"name": "a", "done": 0, "total": 0, "rate": 0.0, "wire": 0, "files_done": 0}
    usual |= {"files_total": 1, "whole_done": 0, "whole_total": 0}
    return Progress(**(usual | facts))


def lines_of(event: Progress | None, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(drawn(event, width))
    return console.file.getvalue().rstrip("\n").split("\n")  # type: ignore[attr-defined]


def test_bars_fit_and_show_the_end_of_a_long_name() -> None:
    deep = progress(name="d/" * 100 + "largé \x1b[31m漢字", done=1 << 20, total=4 << 20, rate=float(1 << 20))
    several = progress(name="b", files_done=3, files_total=20_000, whole_done=1, whole_total=7300 << 30, rate=1e9)
    stream = progress(done=5000, total=None, whole_total=None)

    for width in (80, 100):
        one = lines_of(deep, width)
        assert [len(line) <= width for line in one] == [True]
        assert "\\x1b[31m漢字" in one[0]
        assert one[0].startswith("…")
        assert "1.0 MiB of 4.0 MiB   1.0 MiB/s    0:03" in one[0]
        two = lines_of(several, width)
        assert len(two) == 2
        assert two[1].startswith("3 of 20,000")
        assert two[1].endswith("2:10:38")
        assert "4.9 KiB" in lines_of(stream, width)[0]
    assert lines_of(None, 80) == [""]
    assert "0 B of 0 B" in lines_of(progress(), 80)[0]


def test_a_narrow_terminal_has_the_name_and_the_figures() -> None:
    event = progress(name="holiday/photo.jpg", done=1 << 20, total=4 << 20, rate=float(1 << 20))

    for width, shown in ((36, "…ay/photo.jpg"), (60, "holiday/photo.jpg"), (20, "")):
        (line,) = lines_of(event, width)
        assert len(line) <= width
        assert "━" not in line
        assert shown in line
        assert "1.0 MiB of 4.0 MiB" in line or width == 20


def test_what_is_compared_is_said_after_a_moment() -> None:
    now = [0.0]
    bars = Bars(Console(file=io.StringIO()), clock=lambda: now[0])

    def seen(seconds: float) -> str:
        now[0] += seconds
        console = Console(file=io.StringIO(), width=80)
        console.print(bars.frame(80))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert seen(0.5).strip() == ""
    assert seen(65).strip() == "comparing what is there: 1:06"
    bars.report(progress(name="one", done=5, total=5, files_done=1, files_total=2))
    assert "one" in seen(0.5)
    assert "comparing what is there" in seen(2)
    bars.report(progress(name="two", done=1, total=5, files_done=1, files_total=2))
    assert "two" in seen(100)


def test_bars_show_the_latest_event() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Bars(console) as bars:
        bars.report(progress(name="first"))
        bars.report(progress(name="second", done=1, total=2))

    assert "second" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_closing_line_says_all_of_it() -> None:
    done = Transfer(wire=900, seconds=2.0)
    done.outcomes = [
        Outcome(name="a", status="sent", size=1024, moved=1024),
        Outcome(name="b", status="resumed", size=4096, moved=1024),
        Outcome(name="c", status="same", size=5, moved=0),
        Outcome(name="l", status="sent", kind="link"),
        Outcome(name="d\n", status="refused", reason="a directory is in the way"),
        Outcome(name="e", status="changed", size=9, moved=9),
    ]
    said = sentence(done, verb="sent")
    facts = facts_of_transfer(done)

    assert said == (
        "sent 2 files, 1 link, 2.0 KiB in 2.0 s (1.0 KiB/s), 900 B on the wire; "
        "1 continued (3.0 KiB were there); 1 unchanged; 1 refused; 1 changed"
    )
    assert (facts["files"], facts["links"], facts["resumed_bytes"]) == (2, 1, 3072)
    assert facts["missing"] == {"refused": 1, "changed": 1}
    assert [line_of(outcome) for outcome in done.missing] == [
        "d\\n: refused: a directory is in the way",
        "e: dropped, it changed while it was read; one that grows goes through a pipe: "
        "cat FILE | netstructer put - HOST:PORT/NAME",
    ]
    assert sentence(done, verb="received").endswith("; 1 unchanged; 1 changed; 1 not written")
    assert [line_of(outcome, verb="received") for outcome in done.missing] == [
        "d\\n: not written: a directory is in the way",
        "e: dropped, it changed while it was read",
    ]
    assert planned(done.outcomes[1]) == "continue    1.0 KiB  b (3.0 KiB there before)"
    assert planned(Outcome(name="-", status="sent")) == "send         stream  -"
    assert sentence(Transfer(dry=True), verb="sent") == "would have sent nothing"


def test_a_file_room_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        FileRoom(str(tmp_path / "file"), writable=True)

    assert FileRoom(str(tmp_path), writable=False).path == os.path.realpath(tmp_path)
