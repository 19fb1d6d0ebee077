"""The visit: a client in a chat, whatever shows it.  Floor: ROOF.  Law: what the server sends is checked, then shown.

Two threads: one takes what was typed, line by line, and waits for each answer; one receives what is pushed.  What a
call brings (the past of a room that was joined, the number of what was said) is shown and known before what is pushed
after it: one lock is held from the question to there, and for whatever is pushed.  That the link is lost is shown
without it.

A link that has lost its transport finds another by itself; what was typed meanwhile waits for it.  It is shown that it
was lost, and that it is back.  Messages that the server could not keep for this link meanwhile are missing in the
numbers of their room, and it is said how many.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from netstructer import Link
from netstructer.cli.chat.commands import Command, help_lines, parse
from netstructer.cli.chat.lines import Line, line_of, line_of_notice, named
from netstructer.cli.outcomes import sentence_of
from netstructer.errors import (
    BadValue,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    Misuse,
    NetstructerError,
    RemoteError,
    UnknownAction,
)
from netstructer.services.chat import read_pushed, shown
from netstructer.services.chat.pushed import pushed
from netstructer.services.notices import notice_in

__all__ = ["Visit", "why"]

LOOK_SECONDS = 0.2
"""How often the receiver looks whether the link has a transport, where nothing comes."""
ANSWER_SECONDS = 20.0
"""How long an answer may take, beside the time for which a server that was lost is looked for."""
HISTORY_COUNT = 20
"""Messages of `/history`, where no number is given: a screen."""
PACE_TRIES = 30
"""How often something is said again that was too fast: half a minute, at a server that takes one a second."""
PACE_SECONDS = 1.0
"""How long is waited before that."""

Show = Callable[[Line, dict[str, Any] | None], object]
"""`show(line, value)`: shows a line; `value` is the pushed one that it tells of, if it tells of one."""


class Visit:
    """A client in a chat, on a link that its caller opened and closes."""

    def __init__(self, link: Link, show: Show, *, patience: float, recent: int, wall: Callable[[], float] = time.time):
        self.link, self._show, self._patience, self._recent, self._wall = link, show, patience, recent, wall
        self.name = ""
        self.room: str | None = None
        """The room that one talks in."""
        self.refused = 0
        """Lines that were not taken."""
        self.over = threading.Event()
        """Set when there is nothing more to come."""
        self.error: Exception | None = None
        """What ended it, where it was not this end."""
        self.on_over: Callable[[], object] = lambda: None
        self._order = threading.RLock()
        self._showing = threading.Lock()
        self._seen: dict[str, int] = {}
        self._own: dict[str, set[int]] = {}
        self._leaving = False
        self._receiver = threading.Thread(target=self._receive, name="netstructer-chat", daemon=True)

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(self, action: str, *args: Any, kind: type[Any] = object, **kwargs: Any) -> Any:
        """Call an action of the server's, and return its answer, of a kind.  Raises as `Link.call` does."""
        answer = self.link.call(action, *args, timeout=self._patience + ANSWER_SECONDS, **kwargs)
        if not isinstance(answer, kind):
            raise BadValue(f"expected another answer to {action}, found a {type(answer).__name__}")
        return answer

    def about(self) -> dict[str, Any]:
        """Return what the server says of its chat.  Raises `Misuse` where it has none."""
        try:
            about = self.call("chat.about", kind=dict)
        except UnknownAction:
            raise Misuse(f"there is no chat at {self.link.peer}: netstructer chat serve makes one") from None
        match about:
            case {"login": bool(), "room": str(), "greeting": str(), "known_as": str() | None}:
                return dict(about)
        raise BadValue("expected what a chat says of itself, found something else")

    def enter(self, name: str | None) -> str:
        """Enter, and return the name that one has."""
        self.name = self.call("chat.enter", name, kind=str)
        return self.name

    def start(self) -> None:
        """Begin to receive."""
        self._receiver.start()

    def line(self, text: str) -> bool:
        """Do what a line wants; say whether to go on.  What is refused is shown, and counted.

        Raises what ends the link.
        """
        try:
            command = parse(text)
            if command is None:
                return True
            if command.word == "exit":
                return False
            self._do(command)
        except (LinkClosed, LinkLost):
            raise
        except NetstructerError as error:
            self.refused += 1
            self._say(Line(f"[ NOT DONE ] {why(error)}", "warning"))
        return True

    def _do(self, command: Command) -> None:
        getattr(self, f"_{command.word}_")(command)  # only words of the table come here

    def _say_(self, command: Command) -> None:
        room = self._current()
        for attempt in range(PACE_TRIES):
            try:
                with self._order:
                    n = self.call("chat.say", room, command.rest, kind=int)
                    self._own.setdefault(room, set()).add(n)
                    self._advance(room)
                    said = pushed("said", room=room, n=n, at=self._wall(), name=self.name, text=command.rest)
                    self._say(line_of(said)._replace(kind="own"), said)
                return
            except RemoteError as error:
                if error.name != "TooFast" or attempt + 1 == PACE_TRIES:
                    raise
            self.over.wait(PACE_SECONDS)

    def _tell_(self, command: Command) -> None:
        name, text = command.two("a name and a text")
        told = self.call("chat.tell", name, text, kind=str)
        self._say(Line(f"to {named(told)} alone: {shown(text)}", "told"))

    def _rooms_(self, command: Command) -> None:
        for room in self.call("chat.rooms", kind=list):
            match room:
                case {"room": str() as name, "members": int() as members}:
                    mark = "*" if name == self.room else " "
                    self._say(Line(f"{mark} {named(name)}  {members}", "answer"))

    def _who_(self, command: Command) -> None:
        room = command.rest or None
        names = self.call("chat.who", room, kind=list)
        told = ", ".join(named(name) for name in names if isinstance(name, str))
        self._say(Line(f"{'here' if room is None else named(room)}: {told or 'nobody'}", "answer"))

    def _join_(self, command: Command) -> None:
        self.join(command.one("a room"))

    def join(self, room: str | None) -> None:
        """Join a room, the one that the chat has for all where none is named, and talk there from now on."""
        with self._order:
            found = self.call("chat.join", room, self._recent, kind=dict)
            match found:
                case {
                    "room": str() as name,
                    "members": list() as members,
                    "last": int() as last,
                    "recent": list() as past,
                }:
                    pass
                case _:
                    raise BadValue("expected what is found in a room, found something else")
            self.room = name
            self._seen[name] = last
            self._show_past(past)
            told = ", ".join(named(member) for member in members if isinstance(member, str))
            self._say(Line(f"[ YOU ARE IN ] {named(name)}, with {told}", "notice"))

    def _leave_(self, command: Command) -> None:
        left = self.call("chat.leave", command.rest or self._current(), kind=str)
        with self._order:
            self._seen.pop(left, None)
            if left == self.room:
                self.room = next(iter(self._seen), None)
        self._say(Line(f"[ YOU HAVE LEFT ] {named(left)}", "notice"))

    def _history_(self, command: Command) -> None:
        count = HISTORY_COUNT
        if command.rest:
            if not (command.rest.isascii() and command.rest.isdigit() and len(command.rest) < 9):
                raise Misuse("expected a number of messages: /history [COUNT]")
            count = int(command.rest)
        with self._order:
            past = self.call("chat.history", self._current(), count, kind=list)
            self._show_past(past)
            if not past:
                self._say(Line("[ NOTHING IS KEPT ]", "answer"))

    def _show_past(self, past: list[Any]) -> None:
        for message in past:
            value = read_pushed(message)
            if value is not None and value["chat"] == "said":
                self._say(line_of(value)._replace(kind="past"), value)

    def _name_(self, command: Command) -> None:
        self.name = self.call("chat.name", command.one("a name"), kind=str)
        self._say(Line(f"[ YOU ARE ] {named(self.name)}", "notice"))

    def _mute_(self, command: Command) -> None:
        before, _, last = command.rest.rpartition(" ")
        timed = bool(before) and last.isascii() and last.isdigit() and len(last) < 10
        name = Command("mute", before.strip() if timed else command.rest).one("a name")
        self.call("chat.mute", name, float(last) if timed else None)
        self._say(Line(f"[ MUTED ] {named(name)}", "notice"))

    def _unmute_(self, command: Command) -> None:
        self.call("chat.unmute", command.one("a name"))

    def _kick_(self, command: Command) -> None:
        self.call("chat.kick", self._current(), command.one("a name"))

    def _erase_(self, command: Command) -> None:
        word = command.one("a number, or all")
        if word != "all" and not (word.isascii() and word.isdigit() and len(word) < 18):
            raise Misuse("expected the number of a message, or all: /erase NUMBER|all")
        self.call("chat.erase", self._current(), None if word == "all" else int(word))

    def _help_(self, command: Command) -> None:
        for line in help_lines():
            self._say(Line(line, "answer"))

    def _current(self) -> str:
        if self.room is None:
            raise Misuse("you are in no room: /join ROOM")
        return self.room

    def _say(self, line: Line, value: dict[str, Any] | None = None) -> None:
        with self._showing:
            self._show(line, value)

    # --- what comes -------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        suspended, resumes = False, self.link.stats.resumes
        try:
            while True:
                try:
                    value = self.link.recv(timeout=0.0 if self._leaving else LOOK_SECONDS)
                except LinkTimeout:
                    if self._leaving:
                        return
                    value = None
                except BadValue:
                    continue  # No value here, and so none of a chat's.
                now_suspended, now_resumes = self.link.suspended, self.link.stats.resumes
                if now_suspended and not suspended:
                    self._say(Line("[ CONNECTION LOST ] looking for the server; what you say waits", "warning"))
                elif now_resumes > resumes:
                    self._say(Line("[ CONNECTED AGAIN ] nothing that you said was lost", "warning"))
                suspended, resumes = now_suspended, now_resumes
                if value is not None:
                    self._take(value)
        except (NetstructerError, OSError) as error:  # the link's, or that of whatever shows
            self.error = None if self._leaving else error
        finally:
            self.over.set()
            self.on_over()

    def _take(self, value: object) -> None:
        notice = notice_in(value)
        if notice is not None:
            self._say(line_of_notice(notice))
        news = read_pushed(value)
        if news is None:
            return
        with self._order:
            if news["chat"] == "said":
                self._note_missing(news["room"], news["n"])
            elif news["chat"] == "kicked" and news["name"] == self.name:
                self._seen.pop(news["room"], None)
                if news["room"] == self.room:
                    self.room = next(iter(self._seen), None)
            self._say(line_of(news), news)

    def _note_missing(self, room: str, n: int) -> None:
        """Say how many messages of a room have not come: the server had no room for them."""
        if room not in self._seen:
            return  # It was left, and this was on its way.
        seen, own = self._seen[room], self._own.get(room, ())
        missing = n - seen - 1 - sum(seen < number < n for number in own)
        self._seen[room] = max(seen, n)
        self._advance(room)
        if missing > 0:
            self._say(Line(f"[ MISSED ] {missing:,} messages of {named(room)}: /history shows them", "warning"))

    def _advance(self, room: str) -> None:
        """Take the numbers of one's own words for seen, as far as they follow what was seen."""
        seen = self._seen.get(room, 0)
        own = {number for number in self._own.get(room, ()) if number > seen}
        while seen + 1 in own:
            seen += 1
            own.remove(seen)
        self._own[room] = own
        self._seen[room] = seen

    # --- the end ----------------------------------------------------------------------------------------------------

    def leave(self, *, seconds: float = 5.0) -> None:
        """Leave the chat, and show what has come until then.  The link is its caller's to close."""
        if self.link.suspended:
            self.link.abort()  # There is nobody to take leave of, and nothing to wait for.
        try:
            self.link.call("chat.exit", timeout=seconds)
        except NetstructerError:
            pass  # It is over already, or will be noticed by the server.
        self._leaving = True
        if self._receiver.ident is not None:
            self._receiver.join(seconds)


def why(error: NetstructerError) -> str:
    """Return why something was refused, in one line: what the server says, where it was the server."""
    text = sentence_of(error)
    if isinstance(error, RemoteError):
        text = text.partition(f" failed at the peer: {error.name}: ")[2] or text
    return shown(text)
