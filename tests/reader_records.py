"""A second reader of tokens, frames, records and payloads, made from docs/protocol.md alone, or `Refused`.

Law: nothing of netstructer is imported here.  Everything happens at one moment, as it does in the vectors, so that a
second REKEY is excused by the records before it and by no time.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from struct import unpack
from typing import NamedTuple

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from reader_gcm import open_gcm_token
from reader_structs import Refused, expect

REKEY = 3
MOST_RECORDS, MOST_BYTES, LEAST_RECORDS = 1 << 20, 1 << 36, 1024
HEADER, LEAST_TOKEN, OPEN_BODY = 16, 89, 92
GCM = 0x10
"""From here on suites seal records with AES-256-GCM."""
BLOCK, WINDOW, EMPTY_BLOCKS = 1 << 17, 1 << 20, 8
UNKNOWN = (1 << 64) - 1


class Record(NamedTuple):
    kind: int
    flags: int
    stream: int
    body: bytes


def expand_secret(secret: bytes, label: bytes) -> bytes:
    """HKDF-Expand for 32 bytes is one HMAC."""
    return hmac.digest(secret, label + b"\1", sha256)


def record_key(secret: bytes, suite: int) -> bytes:
    """The key of records; HKDF-Expand for 44 bytes is two HMACs."""
    if suite < GCM:
        return expand_secret(secret, b"ns1 key")
    first = expand_secret(secret, b"ns1 gcm")
    return first + hmac.digest(secret, first + b"ns1 gcm\2", sha256)[:12]


def open_token(key: bytes, token: bytes) -> bytes:
    expect(len(token) >= 73 and len(token) % 16 == 9, "the length of a token", "BadSeal")
    expect(token[0] == 0x80, "the version of Fernet", "BadSeal")
    tag = hmac.digest(key[:16], token[:-32], sha256)
    expect(hmac.compare_digest(tag, token[-32:]), "the tag", "BadSeal")
    plain = Cipher(algorithms.AES(key[16:]), modes.CBC(token[9:25])).decryptor().update(token[25:-32])
    expect(1 <= plain[-1] <= 16 and plain.endswith(bytes([plain[-1]]) * plain[-1]), "PKCS7", "BadSeal")
    return plain[: -plain[-1]]


class Records:
    """One direction of one transport: frames in, records out."""

    def __init__(
        self, secret: bytes, body_bytes: int = 1 << 16, sequence: int = 0, *, suite: int = 1, before_open: bool = False
    ) -> None:
        self.secret, self.key, self.suite = secret, record_key(secret, suite), suite
        self.body_bytes, self.sequence, self.before_open = body_bytes, sequence, before_open
        self.under_key, self.bytes_under_key, self.rekeys = sequence, 0, 0
        self.buffer = b""

    def feed(self, data: bytes) -> None:
        self.buffer += data

    def next(self) -> Record | None:
        """Return the next record; None where its frame is not whole."""
        if len(self.buffer) < 4:
            return None
        size = int.from_bytes(self.buffer[:4])
        body = OPEN_BODY if self.before_open else self.body_bytes
        if self.suite < GCM:
            expect(size <= 57 + 16 * ((HEADER + body) // 16 + 1), "the length of a frame", "FrameTooBig")
            expect(size >= LEAST_TOKEN and size % 16 == 9, "the length of a token", "BadFrame")
        else:
            expect(size <= 17 + HEADER + body, "the length of a frame of GCM", "FrameTooBig")
            expect(size >= 17 + HEADER, "the length of a token of GCM", "BadFrame")
        if len(self.buffer) < 4 + size:
            return None
        token, self.buffer = self.buffer[4 : 4 + size], self.buffer[4 + size :]
        self.before_open = False
        return self.open(token)

    def open(self, token: bytes) -> Record:
        plain = open_token(self.key, token) if self.suite < GCM else open_gcm_token(self.key, self.sequence, token)
        expect(len(plain) >= HEADER, "a whole header", "BadSeal")
        sequence, kind, flags, padding, stream = unpack(">QBBHI", plain[:HEADER])
        expect(sequence == self.sequence, "the sequence has no gaps", "OutOfOrder")
        end = len(plain) - padding
        expect(end >= HEADER and not any(plain[end:]), "padding fits and is zero", "IllegalFrame")
        self.sequence += 1
        self.under_key += 1
        self.bytes_under_key += len(token)
        if kind != REKEY:
            expect(
                self.under_key < MOST_RECORDS and self.bytes_under_key <= MOST_BYTES, "the age of a key", "RekeyOverdue"
            )
        return Record(kind, flags, stream, plain[HEADER:end])

    def rekey(self) -> None:
        """Step: to be called when a REKEY was found legal."""
        expect(not self.rekeys or self.under_key >= LEAST_RECORDS, "keys for sport", "RekeyOverdue")
        self.secret = expand_secret(self.secret, b"ns1 next")
        self.key = record_key(self.secret, self.suite)
        self.rekeys += 1
        self.under_key = self.bytes_under_key = 0


def expand(payload: bytes, total: int, *, stated: bool) -> bytes:
    """Return what one zstd frame holds, block by block, so that no figure in it decides about memory."""
    try:
        found = b"".join(blocks(payload, total, stated=stated))
    except (zstandard.ZstdError, IndexError) as error:
        raise Refused("BadCompression", str(error)) from error
    legal(len(found) == total, "the total is what comes out")
    return found


def legal(true: object, rule: str) -> None:
    expect(true, rule, "BadCompression")


def head_of(payload: bytes, total: int, *, stated: bool) -> int:
    """Check the head of a zstd frame; return its length."""
    legal(payload[:4] == b"\x28\xb5\x2f\xfd", "the magic of zstd")
    descriptor = payload[4]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    legal(descriptor & 0b00011011 == 0 and checksum, "a checksum, no dictionary, spare bits zero")
    at, window = 5, 0
    if not single:
        exponent, mantissa = payload[at] >> 3, payload[at] & 7
        window, at = (1 << 10 + exponent) * (8 + mantissa) // 8, at + 1
    width = (single, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(payload[at : at + width], "little") + (256 if width == 2 else 0)
    legal(bool(width) == stated and (not stated or content == total), "the content size is what the message states")
    legal(max(window, content if single else 0) <= WINDOW, "the window")
    return at + width


def blocks(payload: bytes, total: int, *, stated: bool) -> Iterator[bytes]:
    at, came, empty, last = head_of(payload, total, stated=stated), 0, 0, 0
    unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    yield unpacker.decompress(payload[:at])
    while not last:
        legal(at + 3 <= len(payload), "whole blocks")
        header = int.from_bytes(payload[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        legal(kind < 3 and size <= BLOCK, "the kind and size of a block")
        end = at + 3 + (1 if kind == 1 else size)
        legal(end + 4 * last <= len(payload), "whole blocks")
        piece = unpacker.decompress(payload[at : end + 4 * last])
        came, at, empty = came + len(piece), end, 0 if piece else empty + 1
        legal(came <= total and empty <= EMPTY_BLOCKS, "no more than was stated, and few empty blocks")
        yield piece
    legal(unpacker.eof and at + 4 == len(payload), "nothing follows the checksum")
