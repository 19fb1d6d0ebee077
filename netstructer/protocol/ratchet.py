"""The ratchet: record keys that move on and cannot be wound back.  Floor: PROTOCOL.  Spec: protocol.md, "Handshake".

Each direction of a transport has a traffic secret of its own.  The Fernet key that seals records is derived from it,
and so is the secret that follows it; both by one-way functions, and the old secret is dropped.  Who takes the memory
of an end learns nothing of what it said before its last `advance()`.
"""

from __future__ import annotations

from netstructer.errors import Misuse
from netstructer.protocol.noise import expand

__all__ = ["Ratchet"]

SECRET_BYTES = 32


class Ratchet:
    """One direction's traffic secret, 32 bytes; both ends turn theirs at the same record.  Shows nothing of it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise Misuse(f"expected a traffic secret of {SECRET_BYTES} bytes, found {len(secret)}")
        self._secret = bytes(secret)

    @property
    def key(self) -> bytes:
        """The 32 raw bytes of the Fernet key that seals records now."""
        return expand(self._secret, b"ns1 key", 32)

    def advance(self) -> None:
        """Go on to the next secret and drop this one; there is no way back."""
        self._secret = expand(self._secret, b"ns1 next", SECRET_BYTES)
