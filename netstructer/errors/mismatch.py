"""What both ends do not agree on.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = [
    "Downgrade",
    "IdentityChanged",
    "KeyRefused",
    "LoginFailed",
    "Mismatch",
    "PairingRefused",
    "VersionMismatch",
    "WrongCode",
]


class Mismatch(NetstructerError, ConnectionError):
    """Both ends are sound and do not agree."""


class KeyRefused(Mismatch, PermissionError):
    """The two ends do not hold the same key."""


class VersionMismatch(Mismatch):
    """The two ends have no protocol version, or no suite, in common."""


class Downgrade(VersionMismatch):
    """Somebody between the ends lowered the version."""


class IdentityChanged(Mismatch):
    """The server is not the one that was pinned."""

    expected: str = ""
    found: str = ""


class LoginFailed(Mismatch, PermissionError):
    """The user name or the password was not accepted; the text is the same whatever is wrong with them.
    `retry_seconds` is how long the next try has to wait: known and unknown names wait alike."""

    retry_seconds: float = 0.0


class WrongCode(Mismatch, PermissionError):
    """The two ends of a pairing had different codes, or somebody was between them.  The code is dead."""


class PairingRefused(Mismatch):
    """The other end of a pairing does not go on: the code was used, is dead, or something failed there."""
