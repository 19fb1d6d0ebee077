"""What a session tells its façade.  Floor: PROTOCOL.  Law: frozen, keyword-only, valid once born.

A façade feeds bytes in and gets a list of these back, in the order in which they happened.
"""

from __future__ import annotations

from dataclasses import dataclass

from netstructer.errors import NetstructerError
from netstructer.protocol.assembly import Message, Whole

__all__ = ["Ended", "Event", "MessageArrived", "Opened", "PeerLeft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The peer has proved that it holds the key, and is there now: data may flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageArrived:
    """A message is whole, its seals verified; `session.read(message)` makes the value of it."""

    message: Message | Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLeft:
    """The peer said farewell: nothing more will come from it."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The transport is of no more use; `error` is None after both farewells."""

    error: NetstructerError | None


Event = Opened | MessageArrived | PeerLeft | Ended
