"""What the world does to a link, and how one ends.  Floor: GROUND."""

from __future__ import annotations

from typing import Any

from netstructer.errors.root import NetstructerError

__all__ = [
    "AnswerRefused",
    "ConnectionCut",
    "LinkClosed",
    "LinkLost",
    "PortClosed",
    "SessionLost",
    "Stalled",
    "Unreachable",
]


class LinkLost(NetstructerError, ConnectionError):
    """The link broke without a farewell: what was under way may or may not have arrived."""


class Unreachable(LinkLost):
    """No transport could be opened; `stage` is `"name"`, `"route"` or `"port"`."""

    stage: str = ""


class PortClosed(Unreachable, ConnectionRefusedError):
    """The host answered that nothing listens on that port."""


class ConnectionCut(LinkLost, ConnectionResetError):
    """The transport ended without the authenticated farewell."""


class AnswerRefused(ConnectionCut):
    """At a server: the client took the answer and left before it proved its key.  It may expect another identity; a
    hello that is played back ends so, too."""


class Stalled(LinkLost):
    """The peer has sent nothing, not even an answer to a ping, for as long as a live peer may be silent."""


class SessionLost(LinkLost):
    """The session cannot go on; `unacknowledged` lists the messages of unknown fate."""

    unacknowledged: tuple[Any, ...] = ()


class LinkClosed(NetstructerError, ConnectionError, EOFError):
    """The conversation is over: the peer said farewell, or this end was closed."""
