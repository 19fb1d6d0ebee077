"""What a session tells its façade.  Floor: PROTOCOL.  Law: frozen, keyword-only, valid once born.

A façade feeds bytes in and gets a list of these back, in the order in which they happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from netstructer.errors import NetstructerError
from netstructer.keys import Key
from netstructer.protocol.assembly import Message, Whole

__all__ = [
    "Draining",
    "Ended",
    "Event",
    "MessageArrived",
    "NewKeyCame",
    "Opened",
    "PeerLeft",
    "ResumeAsked",
    "Resumed",
    "Suspended",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The peer has proved that it holds the key, and is there now: data may flow."""


class MessageArrived(NamedTuple):
    """A message is whole, its seals verified; `session.read(message)` makes the value of it.

    A tuple, because one is made for every small value: a third of what a frozen dataclass costs.
    """

    message: Message | Whole


arrived: Callable[[tuple[Message | Whole]], MessageArrived] = partial(tuple.__new__, MessageArrived)
"""Makes one of `(message,)`, without a call in Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLeft:
    """The peer said farewell: nothing more will come from it."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """The server will say farewell within so many seconds: what is under way is finished, nothing more is begun."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeyCame:
    """The server gives a key for the next handshake, in the place of the one that this client has."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The transport is of no more use; the session waits to be taken up again on another one."""

    error: NetstructerError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked:
    """At a server: the client proved its key, and wants the session of that id; see `Session.adopt`."""

    session_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The session goes on, on a new transport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session is over, and its transport of no more use; `error` is None after both farewells."""

    error: NetstructerError | None


Event = Opened | MessageArrived | PeerLeft | Draining | NewKeyCame | Suspended | ResumeAsked | Resumed | Ended
