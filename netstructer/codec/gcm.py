"""AES-256-GCM: the other cipher of records, for links whose two ends ask for it.  Floor: CODEC.

Law: under one key a nonce is used once.

    81 | AES-256-GCM(record) | tag 16        nonce = iv 12 xor the number of the record, additional data = the byte 81

Key and iv come from the ratchet together; the nonce is RFC 8446's (5.3).  The iv of GCM may be known, but two records
under one nonce would tell what they differ in, and the key of the tags.  So there is no way to state a nonce here: a
`Sealer` counts, and it has counted before it seals.  It begins at the number of its first record, and goes on as the
sequence in the records' headers does (protocol.md, "Records").  Nor may a forked child go on with it, where two
processes would count alike: there it raises `Misuse`.

An `Opener` counts what it has opened, so a token opens in its place and in no other.  Nothing of a record is handed out
before its tag has been compared, in constant time and by the library.

No clock is in such a token, and no padding: it is as long as its record and 17 bytes.

One call for a record measures best (a cipher object costs 5 microseconds to build, and GCM's can not be used again);
above 16 KiB it writes into the token, where the library can (cryptography 47), and saves one copy of it.

Neither object may be used by two threads at once.
"""

from __future__ import annotations

import contextlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netstructer.errors import BadSeal, Misuse

__all__ = ["KEY_BYTES", "TOKEN_OVERHEAD", "Opener", "Sealer", "sealed_bytes"]

KEY_BYTES = 44
"""What one key is: 32 bytes for AES, then the iv of 12."""
TOKEN_OVERHEAD = 17
"""Bytes of a token besides its record: version 1, tag 16."""

Buffer = bytes | bytearray | memoryview

_AES_BYTES = 32
_NONCE_BYTES = 12
_VERSION = 0x81
_HEAD = b"\x81"
_JOINED_BYTES = 16 * 1024
"""Up to here one more copy is cheaper than one more object; above it the other way round (equal at 16 KiB)."""
_IN_PLACE = hasattr(AESGCM, "encrypt_into")
_forks = 0
"""How many forks lie between the process that imported this and this one."""


def sealed_bytes(record_bytes: int) -> int:
    """Return the length of the token of a record of that length."""
    return TOKEN_OVERHEAD + record_bytes


class Sealer:
    """Seals the records of one key of 44 raw bytes, the first one under the number `sequence`.  For one thread at a
    time, in the process that made it.  Shows no key."""

    __slots__ = ("_aead", "_forks", "_iv", "_sequence")

    def __init__(self, key: bytes, sequence: int) -> None:
        self._aead, self._iv = _parts(key)
        self._sequence = sequence
        self._forks = _forks

    def seal_parts(self, parts: tuple[Buffer, ...], seconds: int) -> bytes | bytearray:
        """Return the token of the record that `parts` make together; `seconds` are for ciphers that state a clock.

        Raises `Misuse` in a process that was forked from the one which made this.
        """
        if self._forks != _forks:
            raise Misuse("a forked process may not go on with the nonces of its parent")
        record = b"".join(parts)
        sequence = self._sequence
        self._sequence = sequence + 1
        nonce = (self._iv ^ sequence).to_bytes(_NONCE_BYTES, "big")
        if len(record) <= _JOINED_BYTES or not _IN_PLACE:
            return _HEAD + self._aead.encrypt(nonce, record, _HEAD)
        token = bytearray(TOKEN_OVERHEAD + len(record))
        token[0] = _VERSION
        self._aead.encrypt_into(nonce, record, _HEAD, memoryview(token)[1:])
        return token


class Opener:
    """Opens the tokens of one key of 44 raw bytes, in their order, from the number `sequence` on.  For one thread at a
    time.  Shows no key."""

    __slots__ = ("_aead", "_iv", "_sequence")

    def __init__(self, key: bytes, sequence: int) -> None:
        self._aead, self._iv = _parts(key)
        self._sequence = sequence

    def open(self, token: Buffer) -> bytes:
        """Return the record of the next token.

        Raises `BadSeal`, always with the same text, for what is shorter than any token, for another version, and for a
        tag that is not that of this record in this place.  The opener still waits for the same token then.
        """
        if len(token) < TOKEN_OVERHEAD or token[0] != _VERSION:
            raise _bad_seal()
        nonce = (self._iv ^ self._sequence).to_bytes(_NONCE_BYTES, "big")
        try:
            record = self._aead.decrypt(nonce, memoryview(token)[1:], _HEAD)
        except InvalidTag:
            raise _bad_seal() from None
        self._sequence += 1
        return record


def _bad_seal() -> BadSeal:
    return BadSeal("the seal of a record does not verify")


def _parts(key: bytes) -> tuple[AESGCM, int]:
    if len(key) != KEY_BYTES:
        raise Misuse(f"expected a sealing key of {KEY_BYTES} bytes, found {len(key)}")
    return AESGCM(bytes(key[:_AES_BYTES])), int.from_bytes(key[_AES_BYTES:], "big")


def _after_fork() -> None:
    global _forks
    _forks += 1


with contextlib.suppress(AttributeError):  # a system without fork
    os.register_at_fork(after_in_child=_after_fork)
