"""What the peer got wrong, or what was changed on the way.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = [
    "BadCompression",
    "BadFrame",
    "BadSeal",
    "BadValue",
    "CreditExceeded",
    "FrameTooBig",
    "Gap",
    "IllegalFrame",
    "InboxGap",
    "NotNetstructer",
    "OutOfOrder",
    "PeerFault",
    "RekeyOverdue",
]


class PeerFault(NetstructerError, ConnectionError):
    """The peer broke the protocol, or the bytes were changed on the way."""


class NotNetstructer(PeerFault):
    """What answered does not speak this protocol."""


class BadSeal(PeerFault):
    """A record did not verify.  Wrong tag and wrong padding are the same error, on purpose."""


class OutOfOrder(BadSeal):
    """A sealed record came twice, came late, or one before it is missing."""


class IllegalFrame(PeerFault):
    """A verified record is not legal here: kind, flags, stream, length or order."""


class BadFrame(IllegalFrame):
    """A frame's length cannot be the length of a token."""


class FrameTooBig(BadFrame):
    """A frame is longer than the state it came in allows."""

    limit: int = 0
    found: int = 0


class RekeyOverdue(IllegalFrame):
    """The peer kept one record key for longer than the protocol allows, or changed it too often."""


class Gap(IllegalFrame):
    """A reliable record is missing: a delivery number was skipped."""


class InboxGap(PeerFault):
    """A durable message does not follow the last one whose effects are in this database: rows between are not here."""

    expected: int = 0
    found: int = 0


class CreditExceeded(IllegalFrame):
    """The peer sent more than it had credit for."""


class BadValue(PeerFault, ValueError):
    """The bytes of a message are no value: not canonical, unknown, or over a budget."""


class BadCompression(PeerFault, ValueError):
    """The compressed payload is broken, incomplete, or not what was declared."""
