"""Tokens: seal a record, open a token.  Floor: CODEC.  Law: the seal is verified before one byte is decrypted.

A token is a Fernet token without its base64 (protocol.md, "Tokens"; github.com/fernet/spec):

    80 | seconds u64 | iv 16 | AES-128-CBC(PKCS7(record)) | HMAC-SHA256 over all before it, 32

Stock `Fernet` opens it once the base64 is put back, and what stock `Fernet` makes opens here once it is taken off.
Why not `Fernet` itself: it holds the GIL for the base64, copies every token several times, and on the way in accepts
many spellings of one token.  There is nothing to choose in this file: key, iv, version and order are fixed.

The theory of the long-lived cipher
-----------------------------------
To build a cipher object costs 2.5 microseconds, to seal a small record with one that exists costs 1.2.  So a `Sealer`
keeps one CBC encryptor for its life, and an `Opener` one CBC decryptor, and tokens pass through them one after the
other.

*Sealing.*  CBC encrypts a block P as E(P xor C), where C is the cipher block before it.  For every token the sealer
draws a fresh block R from the operating system and feeds R, record, padding.  The first block that comes out is E(R
xor C), and it is the token's iv.  R is uniform, secret and independent of everything before it, so R xor C is, and so
is E(R xor C), for E is a permutation: the iv has the distribution of one drawn directly (NIST SP 800-38A, appendix C,
makes an unpredictable iv the same way, by encrypting).  What follows is E(P1 xor iv), ... as CBC with that iv
demands.  R itself never leaves, so an eavesdropper sees exactly what he would see of a sealer that draws its iv, and
nothing ties a token to the one before it: C only masks a block that is uniform already.  That also answers `os.fork`:
both processes own the same C, and draw different R.

*Opening.*  CBC decrypts a block as D(C) xor the cipher block before it.  Fed with iv and cipher blocks, the decryptor
gives one block that mixes the iv with what came before (dropped here), and then the record, whatever came before.  A
decryptor that was fed anything at all, in whole blocks, opens the next token rightly; tokens may be dropped, repeated
or come in any order.

Both hold only while the encryptor is fed whole blocks, so every call to it here is one call with whole blocks: an
exception between two calls (Ctrl-C in a main thread) leaves a chain that is still good.

Neither object may be used by two threads at once; two objects with one key may.
"""

from __future__ import annotations

import os
from struct import Struct, error

import cryptography
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from netstructer.errors import BadSeal, Misuse

__all__ = ["KEY_BYTES", "SIDE_BY_SIDE", "TOKEN_OVERHEAD", "Opener", "Sealer", "sealed_bytes"]

KEY_BYTES = 32
"""A Fernet key: 16 bytes for the HMAC, then 16 for AES."""
TOKEN_OVERHEAD = 57
"""Bytes of a token besides its cipher blocks: version 1, seconds 8, iv 16, HMAC 32."""

SIDE_BY_SIDE = int(cryptography.__version__.split(".")[0]) >= 50
"""Whether two threads seal at the same time: from this release on the library lets go of the interpreter while it
computes."""

Buffer = bytes | bytearray | memoryview

_BLOCK = 16
_HEAD = Struct(">BQ")
_TAG = 32
_NO_TAG = bytes(_TAG)
_VERSION = 0x80
_SMALLEST = TOKEN_OVERHEAD + _BLOCK
_PADDINGS = tuple(bytes([count]) * count for count in range(_BLOCK + 1))
_JOINED_BYTES = 16 * 1024
"""Up to here one more copy is cheaper than one more object; above it the other way round (equal at 16 KiB)."""


def sealed_bytes(record_bytes: int) -> int:
    """Return the length of the token of a record of that length."""
    return TOKEN_OVERHEAD + record_bytes // _BLOCK * _BLOCK + _BLOCK


class Sealer:
    """Seals records under one Fernet key of 32 raw bytes.  For one thread at a time.  Shows no key."""

    __slots__ = ("_draw", "_encryptor", "_signer")

    def __init__(self, key: bytes) -> None:
        signing_key, cipher_key = _halves(key)
        self._signer = HMAC(signing_key, SHA256())
        self._encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(bytes(_BLOCK))).encryptor()
        self._draw = os.urandom

    def seal(self, record: Buffer, seconds: int) -> bytes | bytearray:
        """Return the raw token of `record`, `sealed_bytes(len(record))` long, that states `seconds` since 1970 in the
        clear.

        Any record of bytes seals, the empty one too.  Raises `Misuse` for seconds that are no u64 and for a view of
        anything but single bytes; the sealer is good for the next record all the same.
        """
        return self.seal_parts((record,), seconds)

    def seal_parts(self, parts: tuple[Buffer, ...], seconds: int) -> bytes | bytearray:
        """Return the raw token of the record that `parts` make together: the same as `seal`, with one copy less."""
        try:
            head = _HEAD.pack(_VERSION, seconds)
        except error:
            raise Misuse("expected seconds from 0 to 2^64 - 1") from None
        record_bytes = sum(map(len, parts))
        blocks = (self._draw(_BLOCK), *parts, _PADDINGS[_BLOCK - record_bytes % _BLOCK])
        if record_bytes > _JOINED_BYTES:
            return self._seal_in_place(head, blocks)
        plain = b"".join(blocks)
        if len(plain) % _BLOCK:
            raise _not_single()
        signer = self._signer.copy()
        token = head + self._encryptor.update(plain)
        signer.update(token)
        return token + signer.finalize()

    def _seal_in_place(self, head: bytes, blocks: tuple[Buffer, ...]) -> bytearray:
        """Encrypt where the token will be: a long record is copied once, and touches as little memory as it can."""
        room = bytearray().join((head, *blocks, _NO_TAG))
        end = len(room) - _TAG
        if (end - len(head)) % _BLOCK:
            raise _not_single()
        view = memoryview(room)
        self._encryptor.update_into(view[len(head) : end], view[len(head) :])
        signer = self._signer.copy()
        signer.update(view[:end])
        room[end:] = signer.finalize()
        return room


class Opener:
    """Opens tokens that were sealed under one Fernet key of 32 raw bytes.  For one thread at a time.  Shows no key."""

    __slots__ = ("_decryptor", "_signer")

    def __init__(self, key: bytes) -> None:
        signing_key, cipher_key = _halves(key)
        self._signer = HMAC(signing_key, SHA256())
        self._decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(bytes(_BLOCK))).decryptor()

    def open(self, token: Buffer) -> bytes | memoryview:
        """Return the record of a raw token.  The clock in it is not looked at: sequence and keys give freshness.

        Raises `BadSeal`, always with the same text, for a length that no token has, another version, a tag that is not
        ours (compared in constant time, before anything is decrypted), and padding that is not PKCS7.  The opener is
        good for the next token all the same.
        """
        size = len(token)
        if size < _SMALLEST or (size - TOKEN_OVERHEAD) % _BLOCK or token[0] != _VERSION:
            raise _bad_seal()
        view = memoryview(token)
        signer = self._signer.copy()
        signer.update(view[:-_TAG])
        try:
            signer.verify(bytes(view[-_TAG:]))
        except InvalidSignature:
            raise _bad_seal() from None
        plain = self._decryptor.update(view[_HEAD.size : -_TAG])
        count = plain[-1]
        if not 1 <= count <= _BLOCK or plain[-count:] != _PADDINGS[count]:
            raise _bad_seal()
        return plain[_BLOCK:-count] if size <= _JOINED_BYTES else memoryview(plain)[_BLOCK:-count]


def _not_single() -> Misuse:
    return Misuse("expected a record of single bytes")


def _bad_seal() -> BadSeal:
    return BadSeal("the seal of a record does not verify")


def _halves(key: bytes) -> tuple[bytes, bytes]:
    if len(key) != KEY_BYTES:
        raise Misuse(f"expected a sealing key of {KEY_BYTES} bytes, found {len(key)}")
    return bytes(key[:16]), bytes(key[16:])


def _draw_for_iv(key: bytes, iv: bytes, before: bytes = bytes(_BLOCK)) -> bytes:
    """Return the block that a sealer must draw for its next token to carry `iv`: for tests of known answers, not for
    use.

    `before` is the last cipher block that the sealer made, zeros while it has made none.
    """
    decryptor = Cipher(algorithms.AES(_halves(key)[1]), modes.CBC(before)).decryptor()
    return decryptor.update(iv)
