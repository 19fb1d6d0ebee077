"""Ciphers: by which of them the records of a link are sealed.  Floor: CODEC.  Law: one shape, and nothing to tune.

`FERNET` is what every link has unless both of its ends ask for another one (protocol.md, "Handshake").  A cipher is
chosen once, for the life of a session; what it needs to know of a record is how long it is and which number it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from netstructer.codec import gcm, tokens
from netstructer.errors import Misuse

__all__ = ["AES_256_GCM", "FERNET", "Cipher", "CipherName", "Opener", "Sealer", "cipher_named"]

Buffer = bytes | bytearray | memoryview
CipherName = Literal["fernet", "aes-256-gcm"]


class Sealer(Protocol):
    """Seals the records of one key, one after the other.  Single owner."""

    def seal_parts(self, parts: tuple[Buffer, ...], seconds: int) -> bytes | bytearray:
        """Return the token of the record that `parts` make together; `seconds` since 1970 may be stated in it."""


class Opener(Protocol):
    """Opens the tokens of one key, one after the other.  Single owner."""

    def open(self, token: Buffer) -> bytes | memoryview:
        """Return the record of the next token.  Raises `BadSeal`, always with the same text."""


class Cipher(NamedTuple):
    """One way to seal records."""

    name: CipherName
    label: bytes
    """Under which the ratchet derives its key: no two ciphers share key bytes."""
    key_bytes: int
    sealed_bytes: Callable[[int], int]
    """`sealed_bytes(record_bytes)` is the length of the token."""
    token_step: int
    """By how much the lengths of its tokens are apart."""
    side_by_side: bool
    """Whether two sealers of one key may seal the records of one direction, each some of them."""
    sealer: Callable[[bytes, int], Sealer]
    """`sealer(key, sequence)`: the number is that of the first record under the key."""
    opener: Callable[[bytes, int], Opener]


FERNET = Cipher(
    name="fernet",
    label=b"ns1 key",
    key_bytes=tokens.KEY_BYTES,
    sealed_bytes=tokens.sealed_bytes,
    token_step=16,
    side_by_side=True,
    sealer=lambda key, sequence: tokens.Sealer(key),
    opener=lambda key, sequence: tokens.Opener(key),
)
AES_256_GCM = Cipher(
    name="aes-256-gcm",
    label=b"ns1 gcm",
    key_bytes=gcm.KEY_BYTES,
    sealed_bytes=gcm.sealed_bytes,
    token_step=1,
    side_by_side=False,
    sealer=gcm.Sealer,
    opener=gcm.Opener,
)
_BY_NAME: dict[str, Cipher] = {cipher.name: cipher for cipher in (FERNET, AES_256_GCM)}


def cipher_named(name: str) -> Cipher:
    """Return the cipher of that name.  Raises `Misuse` where there is none."""
    if name not in _BY_NAME:
        raise Misuse(f"expected cipher= {' or '.join(map(repr, _BY_NAME))}")
    return _BY_NAME[name]
