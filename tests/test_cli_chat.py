"""The chat at the command line: what is typed and shown, through pipes and in a real terminal, by several people."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts_support import PASSWORD, open_accounts
from chat_support import chatting, guests, place_of
from loopback import KEY, PATIENCE_SECONDS, ROOT, Relay, Task, eventually
from netstructer import Link, Server
from netstructer.errors import BadValue, LinkClosed, LinkTimeout, MissingDependency, Misuse, RemoteError
from netstructer.services.audit_reader import AuditReader
from netstructer.services.chat import SHAPES, Chat, ChatLimits, History
from netstructer.services.chat.pushed import pushed
from netstructer.services.hall import Hall
from netstructer.services.notices import Notice
from netstructer.services.signin import SignIn

pytest.importorskip("typer")
pytest.importorskip("prompt_toolkit")

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from netstructer.cli.chat.commands import COMMANDS, Command, help_lines, parse
from netstructer.cli.chat.entry import Wishes, come_in
from netstructer.cli.chat.lines import Line, line_of, named, with_time
from netstructer.cli.chat.mailbox import MOST_LINES, Mailbox
from netstructer.cli.chat.visit import Visit
from netstructer.cli.outcomes import ExitCode

NETSTRUCTER = [sys.executable, "-W", "error", "-m", "netstructer"]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "NETSTRUCTER_KEY": KEY.reveal(), "PYTHONIOENCODING": "utf-8"}


# --- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hello there", Command("say", "hello there")),
        ("  indented\n", Command("say", "  indented")),
        ("//etc is a directory", Command("say", "/etc is a directory")),
        ("exit", Command("exit")),
        (" EXIT \n", Command("exit")),
        ("disconnect", Command("exit")),
        ("exit, he said", Command("say", "exit, he said")),
        ("/rooms", Command("rooms")),
        ("/JOIN  the garden ", Command("join", "the garden")),
        ("/history 5", Command("history", "5")),
        ("", None),
        (" \t\n", None),
    ],
)
def test_a_line_wants_one_thing(line: str, command: Command | None) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "hint"), [("/jion x", "did you mean /join?"), ("/", "/help"), ("/" + "z" * 9999, "/help")]
)
def test_a_command_that_there_is_not_is_refused(line: str, hint: str) -> None:
    with pytest.raises(Misuse, match="no such command") as caught:
        parse(line)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 100


def test_names_with_spaces_stand_in_quotes_where_something_follows() -> None:
    assert Command("tell", '"Ada Lovelace" good morning').two("") == ("Ada Lovelace", "good morning")
    assert Command("tell", "Ada good morning").two("") == ("Ada", "good morning")
    assert Command("name", "Ada Lovelace").one("") == Command("name", '"Ada Lovelace"').one("") == "Ada Lovelace"
    for rest in ("", "Ada", '"Ada'):
        with pytest.raises(Misuse, match="expected a name and a text: /tell NAME TEXT"):
            Command("tell", rest).two("a name and a text")
    with pytest.raises(Misuse, match="/join ROOM"):
        Command("join").one("a room")


def test_help_has_a_line_for_each_command() -> None:
    assert [line.split()[0] for line in help_lines()] == [f"/{word}" for word in COMMANDS]


# --- what is shown ----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.text(max_size=30), st.text(min_size=1, max_size=12))
def test_nothing_that_somebody_says_or_is_called_steers_a_terminal_or_begins_a_line(text: str, name: str) -> None:
    value = {"chat": "said", "room": name, "n": 1, "at": 0.0, "name": name, "text": text}
    line = line_of(value).text

    assert all(character.isprintable() or character in "\u200c\u200d" for character in line)
    assert line.encode()
    assert line.startswith(f"[{named(name)}] {named(name)}: ")
    assert not set(':[]\\"') & set(named(name)) or named(name).startswith('"')


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x07\r\n\t\x9b31m", "\\x1b[2J\\x07\\r\\n\\t\\x9b31m"),
        ("abc\u202etxt.exe\u2066", "abc\\u202etxt.exe\\u2066"),
        ("Zürich 東京 👩\u200d💻", "Zürich 東京 👩\u200d💻"),
        ("e\u0301\u0302\u0303\u0304", "e\u0301\u0302\u0303\\u0304"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_a_text_is_made_harmless(text: str, safe: str) -> None:
    assert line_of(pushed("told", at=0.0, name="Ada", text=text)).text == f"Ada to you alone: {safe}"


def test_there_is_a_line_for_whatever_is_pushed() -> None:
    facts: dict[type, Any] = {str: "Ada", int: 7, float: 60.0}
    lines = {kind: line_of(pushed(kind, **{name: facts[of] for name, of in SHAPES[kind].items()})) for kind in SHAPES}

    assert lines["connected"].text == "[ CONNECTED ] Ada"
    assert lines["disconnected"].text == "[ DISCONNECTED ] Ada"
    assert lines["said"].text == "[Ada] Ada: Ada"
    assert lines["muted"].text.endswith("60 s")
    assert len({line.text for line in lines.values()}) == len(SHAPES)
    assert line_of(pushed("said", room="lobby", n=1, at=0.0, name="[ DISCONNECTED ] Bob", text="hi")).text == (
        '[lobby] "[ DISCONNECTED ] Bob": hi'
    )


@pytest.mark.parametrize(
    ("at", "shape"), [(0.0, r"\d{4}-\d\d-\d\d \d\d:\d\d x"), (1e300, "--:-- x"), (float("nan"), "--:-- x")]
)
def test_a_time_is_shown_whatever_it_is(at: float, shape: str) -> None:
    assert re.fullmatch(shape, with_time({"at": at}, Line("x"), time.time()).text)


def test_lines_wait_in_order_and_are_so_many() -> None:
    mailbox = Mailbox()
    for number in range(MOST_LINES):
        assert mailbox.offer(str(number))
    assert not mailbox.offer("one too many")
    waiting = Task(mailbox.put, "last")
    lines = iter(mailbox)
    assert next(lines) == "0"
    assert waiting.result()
    mailbox.end()
    assert not mailbox.put("after the end")
    assert [*lines] == [*(str(number) for number in range(1, MOST_LINES)), "last"]
    closed = Mailbox()
    closed.offer("dropped")
    closed.close()
    assert (list(closed), closed.put("x"), closed.offer("x")) == ([], False, False)


# --- a visit ----------------------------------------------------------------------------------------------------------


class Shown:
    """What a visit has shown."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def __call__(self, line: Line, value: dict[str, Any] | None) -> None:
        self.lines.append(line)

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    def has(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in self.texts)


@contextmanager
def visiting(place: Any, name: str | None = "Ada", *, recent: int = 0) -> Iterator[tuple[Visit, Shown]]:
    """Give somebody who is in a chat, and what he sees."""
    seen = Shown()
    with Link(place, key=KEY) as link:
        visit = Visit(link, seen, patience=PATIENCE_SECONDS, recent=recent)
        visit.enter(name)
        visit.join(None)
        visit.start()
        yield visit, seen
        visit.leave()


def test_whoever_visits_does_everything_by_typing(tmp_path: Path) -> None:
    options = {"open_permissions": {"chat.say", "chat.moderate"}, "limits": ChatLimits(per_second=1e5, burst=100_000)}
    with (
        chatting(history=tmp_path / "chat.db", **options) as chat,
        guests(chat, "Bob Miller") as (bob,),
        visiting(place_of(chat)) as (visit, seen),
    ):
        assert seen.texts.pop(0) == "[ YOU ARE IN ] lobby, with Ada, Bob Miller"
        for line in ("hello", "/who", "/who lobby", "/who nowhere", "/rooms", "/history", '/tell "Bob Miller" hm'):
            assert visit.line(line)
        assert seen.texts[1:] == [
            "[lobby] Ada: hello",
            "here: Ada, Bob Miller",
            "lobby: Ada, Bob Miller",
            "nowhere: nobody",
            "* lobby  2",
            "[lobby] Ada: hello",
            "to Bob Miller alone: hm",
        ]
        assert [line.kind for line in seen.lines[1:3]] == ["own", "answer"]
        assert (bob.heard("said")["text"], bob.heard("told")["text"]) == ("hello", "hm")
        for line in ("/join the garden", "alone", "/leave", "/name Ada Lovelace", "/help"):
            assert visit.line(line)
        assert (visit.room, visit.name) == ("lobby", "Ada Lovelace")
        assert seen.has("[ YOU ARE IN ] the garden, with Ada")()
        assert seen.has("[ YOU ARE ] Ada Lovelace")()
        for line in (
            "/mute Bob Miller 60",
            "/unmute bob miller",
            "/mute Bob Miller",
            "/kick Bob Miller",
            "/erase 1",
            "/erase all",
        ):
            assert visit.line(line)
        assert [bob.heard(kind)["chat"] for kind in ("muted", "unmuted", "muted", "kicked")]
        eventually(seen.has("[ ERASED ] lobby: all that was said before"))
        assert visit.refused == 0
        chat.kick("lobby", "Ada Lovelace")
        eventually(seen.has("[ PUT OUT ] Ada Lovelace: lobby"))
        for line, told in {
            "hello?": "you are in no room: /join ROOM",
            "/tell Nobody hi": "nobody of that name is here",
            "/nonsense": "there is no such command",
            "/history many": "expected a number of messages",
            "/history 999": "you are in no room",
            "/erase it": "expected the number of a message",
            "/join": "expected a room",
        }.items():
            assert visit.line(line)
            assert told in [text for text in seen.texts if "NOT DONE" in text][-1], line
        assert visit.refused == 7
        assert not visit.line("exit")


def test_what_is_too_fast_is_said_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.cli.chat.visit.PACE_SECONDS", 0.02)
    limits = ChatLimits(per_second=200.0, burst=4)
    with chatting(limits=limits) as chat, visiting(place_of(chat)) as (visit, _), Link(place_of(chat), key=KEY):
        for number in range(12):
            visit.line(f"line {number}")

        assert (visit.refused, chat.stats.said) == (0, 12)


def test_what_was_missed_is_counted_and_own_words_are_not() -> None:
    with chatting() as chat, guests(chat, "Bob") as (bob,), visiting(place_of(chat)) as (visit, seen):
        (far,) = [link for link in chat._hall.links() if link.id == visit.link.id]
        visit.line("one")
        bob.call("say", "lobby", "two")
        eventually(seen.has("Bob: two"))
        chat._groups.leave(far, "chat room lobby")  # as if it had no room for these
        for text in ("three", "four"):
            bob.call("say", "lobby", text)
        chat._groups.join(far, "chat room lobby")
        visit.line("five")
        bob.call("say", "lobby", "six")
        eventually(seen.has("Bob: six"))

        assert [text for text in seen.texts if "MISSED" in text] == [
            "[ MISSED ] 2 messages of lobby: /history shows them"
        ]


def test_a_visit_goes_on_after_a_cut_and_shows_it() -> None:
    with (
        chatting() as chat,
        guests(chat, "Bob") as (bob,),
        Relay(place_of(chat)) as relay,
        visiting(relay.address) as (visit, seen),
    ):
        relay.held.set()
        relay.cut()
        eventually(seen.has("[ CONNECTION LOST ]"))
        bob.call("say", "lobby", "are you there?")
        saying = Task(visit.line, "yes")
        relay.held.clear()
        assert saying.result()
        eventually(seen.has("Bob: are you there?"))
        eventually(seen.has("[ CONNECTED AGAIN ]"))
        assert bob.heard("said")["text"] == "yes"
        assert visit.refused == 0


def test_a_visit_is_over_with_its_server() -> None:
    with chatting() as chat, visiting(place_of(chat)) as (visit, _):
        ended = []
        visit.on_over = lambda: ended.append(True)
        chat._hall.server.close()
        assert visit.over.wait(PATIENCE_SECONDS)
        assert type(visit.error) is LinkClosed
        eventually(lambda: ended)
        with pytest.raises(LinkClosed):
            visit.line("hello?")


def test_what_an_administrator_tells_is_shown() -> None:
    with chatting() as chat, visiting(place_of(chat)) as (_, seen):
        notice = Notice(kind="maintenance", text="back at\nnoon", sender="root", at=0.0)
        chat._hall.post(notice.value(), chat._hall.links())
        eventually(seen.has(r"[ MAINTENANCE ] root: back at\nnoon"))


def test_a_visit_ends_where_nobody_looks_any_more() -> None:
    def show(line: Line, value: object) -> None:
        if line.kind == "said":
            raise BrokenPipeError

    with chatting() as chat, guests(chat, "Bob") as (bob,), Link(place_of(chat), key=KEY) as link:
        visit = Visit(link, show, patience=PATIENCE_SECONDS, recent=0)
        visit.enter("Ada")
        visit.join(None)
        visit.start()
        bob.call("say", "lobby", "hello")
        assert visit.over.wait(PATIENCE_SECONDS)
        assert type(visit.error) is BrokenPipeError
        visit.leave()


GARBAGE: list[Any] = [None, 7, "\x1b[2J", [], {}, {"room": 7}, {"login": "yes"}, [{"room": "x"}], b"\xff"]


def test_a_server_that_answers_and_pushes_nonsense_is_told_from_a_chat() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        seen = Shown()
        visit = Visit(link, seen, patience=PATIENCE_SECONDS, recent=0)
        with pytest.raises(Misuse, match="there is no chat at"):
            visit.about()
        answers: list[Any] = []
        for word in ("about", "enter", "join", "who", "rooms", "say", "history", "tell", "leave", "name"):
            server.actions.add(f"chat.{word}", lambda *args: answers[0])
        far = next(iter(server))
        visit.room = "lobby"
        visit.start()
        for answer in GARBAGE:
            answers[:] = [answer]
            with pytest.raises(BadValue):
                visit.about()
            for line in ("hello", "/who", "/rooms", "/history", "/join x", "/tell a b"):
                assert visit.line(line)
            far.send(answer)
            far.send({"chat": "said", "room": answer})
        far.send(pushed("said", room="\x1b[31m", n=-5, at=float("inf"), name="", text="\u202e"))
        eventually(seen.has(r'["\\x1b[31m"] "": \u202e'))
        assert all(text.isprintable() for text in seen.texts)
        visit.leave()


def wishes(**given: Any) -> Wishes:
    return Wishes(patience=PATIENCE_SECONDS, prompt_seconds=1.0, connect_seconds=1.0, **given)


def test_a_name_and_a_password_are_asked_for_where_they_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_accounts(tmp_path, registration="open") as accounts:
        accounts.create("Bob", PASSWORD)
        with chatting(make=lambda server: Chat(server, account_of=SignIn(Hall(server), accounts).account_of)) as chat:
            for typed, given, name in [
                (["bob", "wrong", "Bob", PASSWORD], {}, "Bob"),
                (["wrong", "bob", PASSWORD], {"name": "Bob"}, "Bob"),
                ([], {"name": "Bob", "password": PASSWORD}, "Bob"),
                (["bob", PASSWORD, "Carl", PASSWORD], {"register": True}, "Carl"),
                (["x", "1", "x", "2", "x", "3"], {}, RemoteError),
                ([], {"name": "Bob", "password": "wrong"}, RemoteError),
            ]:
                answers = list(typed)
                with Link(place_of(chat), key=KEY) as link:
                    visit = Visit(link, Shown(), patience=PATIENCE_SECONDS, recent=0)
                    password = given.pop("password", None)
                    told = (visit, wishes(**given), password, lambda *_, answers=answers, **__: answers.pop(0))
                    if isinstance(name, str):
                        assert come_in(*told)["room"] == "lobby"
                        assert visit.name == name
                    else:
                        with pytest.raises(name, match="was not accepted"):
                            come_in(*told)
                assert answers == []
            with Link(place_of(chat), key=KEY) as link:
                visit = Visit(link, Shown(), patience=PATIENCE_SECONDS, recent=0)
                with pytest.raises(Misuse, match="--password-file"):
                    come_in(visit, wishes(name="Bob"), None, None)
    assert PASSWORD not in "".join(capsys.readouterr())


def test_who_names_himself_is_asked_again_where_the_name_is_taken() -> None:
    with chatting() as chat, guests(chat, "Bob"):
        for name, typed, expected in [(None, ["bob", "Carl"], "Carl"), ("Bob", ["Dora"], "Dora")]:
            answers = list(typed)
            with Link(place_of(chat), key=KEY) as link:
                visit = Visit(link, Shown(), patience=PATIENCE_SECONDS, recent=0)
                come_in(visit, wishes(name=name), None, lambda _, answers=answers: answers.pop(0))
                assert visit.name == expected
        with Link(place_of(chat), key=KEY) as link:
            visit = Visit(link, Shown(), patience=PATIENCE_SECONDS, recent=0)
            with pytest.raises(RemoteError, match="NameTaken"):
                come_in(visit, wishes(name="Bob"), None, None)


# --- processes --------------------------------------------------------------------------------------------------------


PROCESS_SECONDS = 60.0
"""How long a process may take to start, or to do something, on a machine that has ten times as much to do as it can."""


def in_time(holds: Callable[[], object]) -> None:
    """Return as soon as `holds()` does; fail where it does not in time."""
    deadline = time.monotonic() + PROCESS_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Running:
    """A command in a process; its outputs go into files, so they can be looked at while it runs."""

    def __init__(self, directory: Path, name: str, *arguments: str) -> None:
        self._out, self._err = (directory / f"{name}.{what}" for what in ("out", "err"))
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*NETSTRUCTER, *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                encoding="utf-8",
                env=os.environ | ENVIRONMENT,
            )

    @property
    def out(self) -> list[str]:
        return self._out.read_text("utf-8").splitlines()

    @property
    def err(self) -> list[str]:
        return self._err.read_text("utf-8").splitlines()

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end_of_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def code(self) -> int:
        return self.process.wait(PROCESS_SECONDS)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)


def test_two_people_talk_through_pipes_at_a_server_that_is_then_killed(tmp_path: Path) -> None:
    history = tmp_path / "chat.db"
    with Running(
        *(tmp_path, "server", "chat", "serve", "127.0.0.1:0", "--history", str(history), "--greeting", "be kind")
    ) as server:
        in_time(lambda: server.out or server.process.poll())
        said = re.fullmatch(r"clients type: netstructer chat join (127\.0\.0\.1:\d+)", server.out[0])
        assert said is not None
        quick = ("chat", "join", said[1], "--patience", "0.5")
        with (
            Running(tmp_path, "ada", *quick, "--name", "Ada", "--stay") as ada,
            Running(tmp_path, "bob", *quick, "--name", "Bob") as bob,
        ):
            in_time(lambda: "be kind" in ada.err and any(line.startswith("[ YOU ARE IN ]") for line in ada.err))
            bob.type("good morning\n\x1b[2Jforged\r\n/tell Ada between us\n")
            in_time(lambda: len(ada.out) == 3)
            assert ada.out == [
                *("[lobby] Bob: good morning", "[lobby] Bob: \\x1b[2Jforged"),
                "Bob to you alone: between us",
            ]
            ada.type("and to you")  # no end of the line: the end of stdin is one
            ada.end_of_input()
            in_time(lambda: "[lobby] Ada: and to you" in bob.out)
            bob.type("/who")
            bob.end_of_input()
            assert bob.code() == ExitCode.OK, bob.err
            assert bob.out[-1] == "here: Ada, Bob"
            in_time(lambda: "[ DISCONNECTED ] Bob" in ada.err)
            assert "[ CONNECTED ] Bob" in ada.err or "[ YOU ARE IN ] lobby, with Ada, Bob" in ada.err
            assert {re.sub(r"\d+$", "", line) for line in server.out[1:]} == {
                *(f"+ {name} connected from 127.0.0.1:" for name in ("Ada", "Bob")),
                "- Bob disconnected from 127.0.0.1:",
            }
            server.process.kill()
            assert ada.code() == ExitCode.PEER
            assert any(line.startswith("[ CONNECTION LOST ]") for line in ada.err)
            assert ada.err[-1].startswith("netstructer: ")
            assert "Traceback" not in "".join(ada.err)
    with History(history) as kept:
        assert [row["message"] for row in kept.rows()] == ["good morning", "\x1b[2Jforged", "and to you"]


def test_a_server_with_accounts_and_an_audit_ends_in_order(tmp_path: Path) -> None:
    with open_accounts(tmp_path) as accounts:
        accounts.create("Ada", PASSWORD)
    places = ("--accounts", str(tmp_path / "accounts.db"), "--audit", str(tmp_path / "audit.db"))
    with Running(
        tmp_path, "server", "chat", "serve", "127.0.0.1:0", "--no-history", "--json", "--room", "Garden", *places
    ) as server:
        in_time(lambda: server.out or server.process.poll())
        facts = json.loads(server.out[0])
        assert (facts["event"], facts["login"], facts["history"]) == ("listening", True, None)
        with Link(("127.0.0.1", facts["port"]), key=KEY) as link:
            link.call("accounts.login", "ada", PASSWORD, timeout=PATIENCE_SECONDS)
            assert link.call("chat.enter", timeout=PATIENCE_SECONDS) == "Ada"
            assert link.call("chat.join", timeout=PATIENCE_SECONDS)["room"] == "Garden"
            server.process.send_signal(signal.SIGTERM)
            assert link.recv(timeout=PATIENCE_SECONDS)["text"] == "the server closes"
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        assert server.code() == ExitCode.OK, server.err

    actions = [json.loads(line).get("action") for line in server.out]
    assert actions == [None, "chat.enter", "chat.announce", "chat.exit"]
    assert server.err[-1] == "closed"
    with AuditReader(tmp_path / "audit.db") as audit:
        assert audit.verify().sound
        assert [(row.action, row.actor, row.result) for row in audit.rows()] == [
            *(("login", "ada", "ok"), ("chat.enter", "Ada", "ok")),
            *(("chat.announce", "operator", "ok"), ("chat.exit", "Ada", "ok")),
        ]


# --- a terminal -------------------------------------------------------------------------------------------------------


def test_who_is_asked_and_types_nothing_waits_not_for_ever() -> None:
    from netstructer.cli.chat.terminal import ask

    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("Ada\n")
        assert ask("name: ", PATIENCE_SECONDS) == "Ada"
        typed.send_text("secret\n")
        assert ask("password: ", PATIENCE_SECONDS, hidden=True) == "secret"
        for key in ("\x03", "\x04"):
            typed.send_text(key)
            with pytest.raises(KeyboardInterrupt):
                ask("name: ", PATIENCE_SECONDS)
        with pytest.raises(LinkTimeout, match=r"nothing was typed within 0\.05 seconds"):
            ask("name: ", 0.05)


def test_a_terminal_client_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.delitem(sys.modules, "netstructer.cli.chat.terminal", raising=False)
    with pytest.raises(MissingDependency, match=r"pip install 'netstructer\[chat\]'.*--plain"):
        importlib.import_module("netstructer.cli.chat.terminal")


class Terminal:
    """A window of tmux, with a program in it."""

    def __init__(self, directory: str, name: str, *arguments: str) -> None:
        self._socket, self._name = os.path.join(directory, name), name
        words = ["env", *(f"{key}={value}" for key, value in ENVIRONMENT.items()), "TERM=screen-256color"]
        program = shlex.join([*words, *NETSTRUCTER, *arguments])
        self._tmux(
            "-f", os.devnull, "new-session", "-d", "-s", name, "-x", "100", "-y", "24", f"{program}; echo code=$?; cat"
        )

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments], capture_output=True, encoding="utf-8", timeout=PROCESS_SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def type(self, text: str, *keys: str) -> None:
        self._tmux("send-keys", "-t", self._name, "-l", text)
        self._tmux("send-keys", "-t", self._name, *(keys or ("Enter",)))

    def screen(self) -> list[str]:
        return [line.rstrip() for line in self._tmux("capture-pane", "-p", "-t", self._name).splitlines()]

    def shows(self, pattern: str) -> None:
        """Wait until a line of the screen is as the pattern says."""
        found: list[str] = []

        def look() -> bool:
            found[:] = self.screen()
            return any(re.fullmatch(pattern, line) for line in found)

        deadline = time.monotonic() + PROCESS_SECONDS
        while not look():
            assert time.monotonic() < deadline, (pattern, found)
            time.sleep(0.05)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="takes tmux, which shows what a terminal would")
def test_two_people_talk_in_a_terminal_and_what_comes_leaves_what_is_typed_alone(tmp_path: Path) -> None:
    with (
        open_accounts(tmp_path) as accounts,
        chatting(
            make=lambda server: Chat(server, account_of=SignIn(Hall(server), accounts).account_of, greeting="be kind")
        ) as chat,
        Relay(place_of(chat)) as relay,
    ):
        for name in ("Ada", "Bob"):
            accounts.create(name, PASSWORD)
        with (
            tempfile.TemporaryDirectory(prefix="ns") as short,  # the path of a socket may have a hundred characters
            Terminal(short, "ada", "chat", "join", str(relay.address)) as ada,
            Terminal(short, "bob", "chat", "join", str(place_of(chat)), "--name", "Bob") as bob,
        ):
            ada.shows("name:")
            ada.type("ada")
            ada.shows("password:")
            ada.type("wrong")
            ada.shows(r"the name or the password was not accepted")
            ada.type("ada")
            ada.shows("password:")
            ada.type(PASSWORD)
            bob.shows("password:")
            bob.type(PASSWORD)
            ada.shows(r"\[ JOINED \] Bob: lobby|\[ YOU ARE IN \] lobby, with Ada, Bob")
            ada.shows(r"lobby>")
            ada.type("half a sen", "Left")
            bob.shows(r"lobby>")
            bob.type("\N{SNOWMAN} good morning")
            ada.shows(r"\d\d:\d\d \[lobby\] Bob: \N{SNOWMAN} good morning")
            ada.shows(r"lobby> half a sen")  # untouched
            ada.type("", "End")
            ada.type("tence")
            ada.shows(r"\d\d:\d\d \[lobby\] Ada: half a sentence")
            bob.shows(r"\d\d:\d\d \[lobby\] Ada: half a sentence")

            relay.held.set()
            relay.cut()
            ada.shows(r"\[ CONNECTION LOST \].*")
            ada.shows(r" Ada at .*: looking for the server ….*")
            bob.type("are you there?")
            ada.type("wait for me")
            relay.held.clear()
            ada.shows(r"\d\d:\d\d \[lobby\] Bob: are you there\?")
            bob.shows(r"\d\d:\d\d \[lobby\] Ada: wait for me")
            ada.shows(r" Ada at .*: connected   /help")

            ada.type("/wh", "Tab")
            ada.type("")
            ada.shows("here: Ada, Bob")
            ada.type("exit")
            ada.shows("code=0")
            bob.shows(r"\[ DISCONNECTED \] Ada")
            bob.type("I am al", "C-c")
            bob.shows("code=130")
            eventually(lambda: chat.stats.people == 0)
            assert not any(PASSWORD in line for one in (ada, bob) for line in one.screen())
