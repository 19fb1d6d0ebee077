"""Limits that were reached, and time that has passed.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = [
    "BacklogFull",
    "Banned",
    "Busy",
    "BytesGone",
    "LimitReached",
    "LinkTimeout",
    "MessageCancelled",
    "MessageTooBig",
    "OutboxFull",
    "PairingStopped",
    "SourceFailed",
    "SpoolFull",
]


class LimitReached(NetstructerError):
    """A stated limit was reached; `limit` and `found` are in the unit that the text names."""

    limit: int = 0
    found: int = 0


class MessageTooBig(LimitReached, ValueError):
    """A message is over a budget of this end or of the peer."""

    path: str = ""


class MessageCancelled(NetstructerError):
    """One message was given up by the end that sent it or the end that received it; the link lives."""

    code: int = 0


class SourceFailed(MessageCancelled, OSError):
    """The bytes of a blob broke off: its source failed at the sender, or the disk on which they waited here gave back
    others.  What was read is not the whole."""


class SpoolFull(LimitReached, OSError):
    """The bytes of a message found no room; the link lives."""


class BytesGone(LimitReached, OSError):
    """Bytes of a blob that were read once are not kept any more: they made room for others."""


class BacklogFull(LimitReached):
    """Too much is waiting for the peer."""


class OutboxFull(BacklogFull, OSError):
    """The disk takes no more of an outbox; nothing of the message was kept."""


class Busy(LimitReached, ConnectionRefusedError):
    """The server takes no more links now."""


class Banned(LimitReached, PermissionError):
    """The server does not talk to this source or this account."""


class PairingStopped(LimitReached):
    """So many codes were tried in vain that no further one is shown."""


class LinkTimeout(NetstructerError, TimeoutError):
    """The time that the caller allowed has passed."""
