"""The ratchet: record keys that move on and cannot be wound back.  Floor: PROTOCOL.  Spec: protocol.md, "Handshake".

Each direction of a transport has a traffic secret of its own.  The key that seals records is derived from it,
and so is the secret that follows it; both by one-way functions, and the old secret is dropped.  Who takes the memory
of an end learns nothing of what it said before its last `advance()`.
"""

from __future__ import annotations

from netstructer.codec.ciphers import FERNET, Cipher, Opener, Sealer
from netstructer.errors import Misuse
from netstructer.protocol.noise import expand

__all__ = ["Ratchet"]

SECRET_BYTES = 32


class Ratchet:
    """One direction's traffic secret, 32 bytes; both ends turn theirs at the same record.  Shows nothing of it."""

    __slots__ = ("_cipher", "_secret")

    def __init__(self, secret: bytes, cipher: Cipher = FERNET) -> None:
        if len(secret) != SECRET_BYTES:
            raise Misuse(f"expected a traffic secret of {SECRET_BYTES} bytes, found {len(secret)}")
        self._cipher = cipher
        self._secret = bytes(secret)

    @property
    def key(self) -> bytes:
        """The raw bytes of the key that seals records now: 32 for Fernet, 44 for AES-256-GCM."""
        return expand(self._secret, self._cipher.label, self._cipher.key_bytes)

    def sealer(self, sequence: int) -> Sealer:
        """Return what seals records under the key of now, from that number on.  Ask once for each key."""
        return self._cipher.sealer(self.key, sequence)

    def further_sealer(self, sequence: int) -> Sealer:
        """Return another sealer under the key of now, beside the one that there is.  Raises `Misuse` under a cipher
        whose sealers count."""
        if not self._cipher.side_by_side:
            raise Misuse(f"two sealers of {self._cipher.name} would seal under one nonce")
        return self.sealer(sequence)

    def opener(self, sequence: int) -> Opener:
        """Return what opens records under the key of now, from that number on."""
        return self._cipher.opener(self.key, sequence)

    def advance(self) -> None:
        """Go on to the next secret and drop this one; there is no way back."""
        self._secret = expand(self._secret, b"ns1 next", SECRET_BYTES)
