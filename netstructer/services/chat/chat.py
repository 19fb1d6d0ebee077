"""The chat: all of it together, on one server.  Floor: SERVICES.  Docs: docs/chat.md.

    with Server(("0.0.0.0", 8080)) as server, Chat(server, history="chat.db") as chat:
        ...
        chat.announce("the server is restarted at noon")

For a server of asyncio it is made in the loop of that server, and called from threads, as `Hall` is.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NoReturn

from netstructer.actions import Actions
from netstructer.errors import Misuse, NotPermitted
from netstructer.private_files import Path
from netstructer.services.chat.desk import MODERATE, SAY, Desk
from netstructer.services.chat.history import History
from netstructer.services.chat.hub import Count, Note
from netstructer.services.chat.limits import ChatLimits
from netstructer.services.chat.moderation import TARGET_CHARACTERS, Moderation
from netstructer.services.chat.mutes import Mutes
from netstructer.services.chat.people import People
from netstructer.services.chat.rooms import GROUP_OF_ALL, Rooms
from netstructer.services.chat.speech import Speech
from netstructer.services.chat.texts import check_text, name_of_room
from netstructer.services.hall import Hall
from netstructer.services.printing import cut

__all__ = ["Chat", "ChatStats", "Presence"]

PREFIX = "chat."
"""What the names of the actions begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Somebody who is here, as the operator sees it."""

    name: str
    user: str | None
    """The account, or whose key it is; None for somebody who named himself."""
    since: float
    """Seconds since 1970."""
    peers: tuple[str, ...]
    """From where, for each link."""
    rooms: tuple[str, ...]
    muted_seconds: float
    """For how much longer he is muted; 0 where he is not."""
    figures: dict[str, int]
    """What was counted since he came: `said`, `told`, `joined`, `connected`, `disconnected`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStats:
    """What one chat has seen since it began."""

    people: int
    links: int
    rooms: int
    connected: int
    disconnected: int
    joined: int
    said: int
    told: int


class Chat(Speech, Moderation):
    """A chat on a server of either façade.  Thread-safe; `with` closes it, and leaves the server alone.

    `history` is the file that keeps what is said in rooms, or an open `History`; without one nothing is kept.  With
    `account_of`, as `SignIn.account_of`, only who has logged in may enter, and has the name of his account; without,
    who has a key of his own has its user's name, and everybody else names himself.  `room` is the one that clients join
    first.

    `open_permissions` are given to everybody; others are those that the server's table of actions permits.  Where it
    is not said, everybody may say something where no login is wanted, and nobody may moderate whom nobody permits to.

    `note(actor, source, action, target, result)` is told what an audit keeps, `count(user, statistic)` what is counted
    of each user; what they raise is logged, and stops nothing.  `clock` and `wall` are the time.

    Raises `InvalidName`, `InvalidText`, `Misuse`, and what opening a `Store` raises.
    """

    def __init__(
        self,
        server: Any,
        *,
        history: Path | History | None = None,
        account_of: Callable[[Any], Any] | None = None,
        room: str = "lobby",
        greeting: str = "",
        limits: ChatLimits | None = None,
        open_permissions: Collection[str] | None = None,
        note: Note | None = None,
        count: Count | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits or ChatLimits()
        self.room = name_of_room(room).written
        """The room that clients join first."""
        self.greeting = check_text(greeting, self._limits.text_characters) if greeting else ""
        """What clients show to who enters."""
        self._account_of = account_of
        opened = (
            frozenset([SAY] if account_of is None else []) if open_permissions is None else frozenset(open_permissions)
        )
        if not opened <= {SAY, MODERATE}:
            raise Misuse(f"expected open_permissions of {SAY!r} and {MODERATE!r}")
        self.open_permissions = opened
        """The permissions that everybody has."""
        self._note, self._count, self._clock, self._wall = note, count, clock, wall
        self._hall, self._groups = Hall(server), server.groups
        self._people, self._mutes = People(), Mutes()
        self._figures: dict[str, int] = {}
        self._figures_lock = threading.Lock()
        if any(name.startswith(PREFIX) for name in server.actions):
            raise Misuse(f"the server has actions already whose names begin with {PREFIX!r}")
        self._owns_history = not isinstance(history, History)
        self._history = (
            History(history, self._limits, wall=wall) if isinstance(history, (str, os.PathLike)) else history
        )
        self._rooms = Rooms(
            self._groups,
            most=self._limits.rooms,
            waiting=self._limits.waiting,
            last=lambda folded: None if self._history is None else self._history.last(folded),
        )
        self._actions = Actions()
        self._actions.add_object(Desk(self), prefix=PREFIX)
        server.actions.include(self._actions)
        self._observer = server.observers.add(self._happened)

    def _happened(self, happening: Any) -> None:
        if happening.what == "ended":
            self._has_ended(happening.link_id, happening.error)

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def limits(self) -> ChatLimits:
        """What it bounds."""
        return self._limits

    @property
    def wants_login(self) -> bool:
        """Whether only who has logged in may enter."""
        return self._account_of is not None

    @property
    def history(self) -> History | None:
        """What keeps the messages; None where nothing does."""
        return self._history

    def now(self) -> float:
        """Return the time of the monotonic clock."""
        return self._clock()

    def name_on(self, link: Any) -> str | None:
        """Return the name of who is on a link; None where nobody has entered there."""
        visit = self._people.on(link)
        return None if visit is None else visit.person.name.written

    def known_name(self, link: Any) -> str | None:
        """Return the name that an account or a key gives who is on a link; None where neither does."""
        try:
            return self._known_as(link)[1] or None
        except NotPermitted:
            return None

    def expect_entered(self, link: Any) -> str:
        """Return the name of who is on a link.  Raises `NotHere`, `NotPermitted`."""
        return self._visit(link).person.name.written

    def people(self) -> tuple[Presence, ...]:
        """Return everybody who is here, by names."""
        now = self._clock()
        with self._figures_lock:
            figures = {person: dict(person.figures) for person in self._people.all()}
        return tuple(
            Presence(
                name=person.name.written,
                user=person.user,
                since=person.since,
                peers=tuple(str(link.peer) for link in person.links),
                rooms=tuple(dict.fromkeys(room.name.written for link in person.links for room in self._rooms.of(link))),
                muted_seconds=self._mutes.seconds_left(person.name.folded, now),
                figures=counted,
            )
            for person, counted in figures.items()
        )

    @property
    def stats(self) -> ChatStats:
        """What it has seen since it began."""
        with self._figures_lock:
            figures = dict(self._figures)
        return ChatStats(
            people=len(self._people),
            links=self._groups.count(GROUP_OF_ALL),
            rooms=len(self._rooms.all()),
            **{name: figures.get(name, 0) for name in ("connected", "disconnected", "joined", "said", "told")},
        )

    def note_refusal(self, actor: str, source: str, action: str, target: object, error: Exception) -> None:
        """Note what somebody would have done who may not."""
        self._noted(actor, source, action, cut(str(target), TARGET_CHARACTERS), type(error).__name__)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take the actions off the server, and close the history that was opened here.  May be called twice."""
        with contextlib.suppress(Misuse):  # A server that is gone has no actions.
            server = self._hall.server
            server.observers.remove(self._observer)
            for name in self._actions:
                if server.actions.find_or_none(name) is self._actions.find_or_none(name):
                    server.actions.remove(name)
        if self._owns_history and self._history is not None:
            self._history.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Misuse("a chat cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<Chat with {len(self._people)} people in {len(self._rooms.all())} rooms>"
