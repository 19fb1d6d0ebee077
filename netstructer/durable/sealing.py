"""Sealing: what lies on the disk tells nothing.  Floor: COMMONS.

Law: the link's key seals one thing, the file's secret.

An outbox draws a secret of 32 bytes when it is made.  It lies in the file, sealed under a key that is derived from the
link's (`HKDF(key, "netstructer/1 outbox")`), so the link's key can change without a row being sealed again.  From the
secret come the key of the chain, the key of the state, and a key for each row:

    row key    = HMAC-SHA256(HMAC-SHA256(secret, "rows"), salt ‖ n u64)        salt: 16 bytes of chance
    sealed row = salt ‖ AES-256-GCM under the row key, nonce zero, over outbox id ‖ n u64

A key for each row instead of a nonce for each: no count of rows has to be kept below what random nonces of 12 bytes
would allow, and a file that was put back to an earlier state does not use a nonce again.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netstructer.keys import Key

__all__ = ["ID_BYTES", "OVERHEAD_BYTES", "WRAPPED_BYTES", "FileKeys", "new_secret", "unwrap", "wrap"]

Buffer = bytes | bytearray | memoryview

ID_BYTES = 16
SECRET_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SALT_BYTES = 16
WRAPPED_BYTES = _NONCE_BYTES + SECRET_BYTES + _TAG_BYTES
OVERHEAD_BYTES = _SALT_BYTES + _TAG_BYTES
"""What a sealed row has beside its bytes."""
_ZERO = bytes(_NONCE_BYTES)


def new_secret(draw: Callable[[int], bytes]) -> bytes:
    """Return a fresh secret of a file."""
    return draw(SECRET_BYTES)


def wrap(key: Key, outbox: bytes, secret: bytes, draw: Callable[[int], bytes]) -> bytes:
    """Return a file's secret, sealed under a link's key."""
    nonce = draw(_NONCE_BYTES)
    return nonce + AESGCM(key.derive("outbox")).encrypt(nonce, secret, outbox)


def unwrap(key: Key, outbox: bytes, wrapped: bytes) -> bytes | None:
    """Return a file's secret, None where it does not open under this key."""
    try:
        return AESGCM(key.derive("outbox")).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], outbox)
    except InvalidTag:
        return None


class FileKeys:
    """The keys of one outbox file.  Immutable; has no face."""

    __slots__ = ("_outbox", "_rows", "chain", "state")

    def __init__(self, outbox: bytes, secret: bytes) -> None:
        self._outbox = outbox
        self._rows = hmac.digest(secret, b"rows", "sha256")
        self.chain = hmac.digest(secret, b"chain", "sha256")
        self.state = hmac.digest(secret, b"state", "sha256")

    def seal(self, row: int, plain: Buffer, draw: Callable[[int], bytes]) -> bytes:
        """Return the bytes of a row, sealed."""
        salt = draw(_SALT_BYTES)
        return salt + self._cipher(salt, row).encrypt(_ZERO, plain, self._place(row))

    def open(self, row: int, sealed: bytes) -> bytes | None:
        """Return the bytes of a sealed row, None where they are not what was sealed as that row."""
        salt = sealed[:_SALT_BYTES]
        try:
            return self._cipher(salt, row).decrypt(_ZERO, memoryview(sealed)[_SALT_BYTES:], self._place(row))
        except InvalidTag:
            return None

    def _cipher(self, salt: bytes, row: int) -> AESGCM:
        return AESGCM(hmac.digest(self._rows, salt + row.to_bytes(8, "big"), "sha256"))

    def _place(self, row: int) -> bytes:
        return self._outbox + row.to_bytes(8, "big")

    def __repr__(self) -> str:
        return "<FileKeys>"
