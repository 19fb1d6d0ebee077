"""Records: header and body under one seal, in order, under keys that move on.  Floor: PROTOCOL.

Law: a sequence number is used once.  Spec: protocol.md, "Records", "Rekey", "Padding".

    record = seq u64 | kind u8 | flags u8 | pad u16 | stream u32 | body | pad zero bytes

One `RecordWriter` and one `RecordReader` serve one transport: a new transport has new keys, and both count from 0
again.

Rekey.  After 2^20 records, 64 GiB or an hour the writer seals a REKEY record as the last one under its key, and both
ends step their ratchet: what was sealed before can no longer be opened with what either end remembers.  The reader
holds the writer to the first two (it can not know the writer's clock), and refuses a writer that steps for sport.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import NamedTuple

from netstructer.codec.ciphers import FERNET, Cipher, Sealer
from netstructer.errors import BadSeal, IllegalFrame, OutOfOrder, RekeyOverdue
from netstructer.limits import Limits
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.states import Kind

__all__ = ["HEADER_BYTES", "MOST_PADDING", "Draft", "Record", "RecordReader", "RecordWriter", "padding_bytes"]

HEADER = Struct(">QBBHI")
HEADER_BYTES = HEADER.size
Buffer = bytes | bytearray | memoryview

MOST_RECORDS = 1 << 20
MOST_BYTES = 64 << 30
FLOOD_RECORDS = 1024
FLOOD_SECONDS = 1.0
MOST_PADDING = (1 << 16) - 1
_ZERO = memoryview(bytes(MOST_PADDING))


class Record(NamedTuple):
    """One verified record.  `body` is a view of the plaintext, without the padding."""

    kind: int
    flags: int
    stream: int
    body: memoryview


class Draft(NamedTuple):
    """A record that has its number and is not sealed yet, for one of two who seal at the same time: hand 0 or hand 1.

    Two sealers with one key know nothing of each other, and need not (codec/tokens.py).
    """

    sealers: tuple[Sealer, Sealer]
    parts: tuple[Buffer, ...]
    seconds: int
    token_bytes: int

    def seal(self, hand: int) -> bytes | bytearray:
        """Return the token.  No two threads may use one hand at the same time."""
        return self.sealers[hand].seal_parts(self.parts, self.seconds)


_record: Callable[[tuple[int, int, int, memoryview]], Record] = partial(tuple.__new__, Record)
"""Makes a record without the call in Python that a named tuple's own way is."""
_pack_header, _read_header = HEADER.pack, HEADER.unpack_from


class RecordWriter:
    """Seals the records of one direction of one transport.  Single owner."""

    __slots__ = ("_bytes", "_cipher", "_limits", "_ratchet", "_sealer", "_sealers", "_since", "_start", "sequence")

    def __init__(self, secret: bytes, limits: Limits, now: float, cipher: Cipher = FERNET) -> None:
        self._limits = limits
        self._cipher = cipher
        self._ratchet = Ratchet(secret, cipher)
        self._sealer = self._ratchet.sealer(0)
        self._sealers: tuple[Sealer, Sealer] | None = None
        """It and another one with its key, once there was a draft under this key."""
        self.sequence = 0
        self._start = self._bytes = 0
        self._since = now

    def write(
        self, kind: int, flags: int, stream: int, *body: Buffer, seconds: int, pad_bytes: int = 0
    ) -> bytes | bytearray:
        """Return the token of the next record, its body in parts; `seconds` is the clock that it states in the
        clear."""
        header = _pack_header(self.sequence, kind, flags, pad_bytes, stream)
        if pad_bytes:
            body = (*body, _ZERO[:pad_bytes])
        token = self._sealer.seal_parts((header, *body), seconds)
        self.sequence += 1
        self._bytes += len(token)
        return token

    def draft(self, kind: int, flags: int, stream: int, *body: Buffer, seconds: int, pad_bytes: int = 0) -> Draft:
        """Return the next record, to be sealed before what follows it is sent; see `write`.

        Raises `Misuse` under a cipher that has no drafts.
        """
        header = HEADER.pack(self.sequence, kind, flags, pad_bytes, stream)
        parts = (header, *body, _ZERO[:pad_bytes])
        if self._sealers is None:
            self._sealers = (self._sealer, self._ratchet.further_sealer(self.sequence))
        token_bytes = self._cipher.sealed_bytes(sum(map(len, parts)))
        self.sequence += 1
        self._bytes += token_bytes
        return Draft(self._sealers, parts, seconds, token_bytes)

    def rekey_due(self, now: float) -> bool:
        """Say whether the next record must be REKEY: by count, by bytes (a record's room left) or by age."""
        limits = self._limits
        return (
            self.sequence - self._start >= limits.rekey_records - 1
            or self._bytes >= limits.rekey_bytes - (2 << 20)
            or now - self._since >= limits.rekey_seconds
        )

    def rekey(self, *, seconds: int, now: float, pad_bytes: int = 0) -> bytes | bytearray:
        """Return the token of a REKEY record, the last one under the old key, and step to the new one."""
        token = self.write(Kind.REKEY, 0, 0, b"", seconds=seconds, pad_bytes=pad_bytes)
        self._ratchet.advance()
        self._sealer, self._sealers = self._ratchet.sealer(self.sequence), None
        self._start, self._bytes, self._since = self.sequence, 0, now
        return token


class RecordReader:
    """Opens the records of one direction of one transport, in order.  Single owner."""

    __slots__ = ("_bytes", "_opener", "_ratchet", "_since", "_start", "sequence")

    def __init__(self, secret: bytes, now: float, cipher: Cipher = FERNET) -> None:
        self._ratchet = Ratchet(secret, cipher)
        self._opener = self._ratchet.opener(0)
        self.sequence = 0
        self._start = self._bytes = 0
        self._since = now - FLOOD_SECONDS

    def read(self, token: bytes | memoryview) -> Record:
        """Return the record of the next token.

        Raises, in this order: `BadSeal`, `OutOfOrder` for any other sequence number than the next, `IllegalFrame` for
        padding that does not fit or is not zero, `RekeyOverdue`.
        """
        plain = self._opener.open(token)
        if len(plain) < HEADER_BYTES:
            raise BadSeal("the seal of a record does not verify")
        sequence, kind, flags, pad_bytes, stream = _read_header(plain)
        if sequence != self.sequence:
            raise OutOfOrder(f"expected record {self.sequence}, found record {sequence}")
        self.sequence += 1
        body = memoryview(plain)[HEADER_BYTES:]
        if pad_bytes:
            if pad_bytes > len(body) or body[len(body) - pad_bytes :] != _ZERO[:pad_bytes]:
                raise IllegalFrame("padding does not fit or is not zero")
            body = body[: len(body) - pad_bytes]
            if pad_bytes > len(body):  # A view would keep all of it for as long as the body waits to be read.
                body = memoryview(bytes(body))
        self._bytes += len(token)
        if (sequence - self._start >= MOST_RECORDS - 1 or self._bytes > MOST_BYTES) and kind != Kind.REKEY:
            raise RekeyOverdue(f"the peer sealed {sequence - self._start + 1} records under one key")
        return _record((kind, flags, stream, body))

    def rekey(self, now: float) -> None:
        """Step to the next key, after a REKEY record.  Raises `RekeyOverdue` for a peer that steps for sport."""
        if self.sequence - self._start < FLOOD_RECORDS and now - self._since < FLOOD_SECONDS:
            raise RekeyOverdue("the peer changes its key too often")
        self._ratchet.advance()
        self._opener = self._ratchet.opener(self.sequence)
        self._start, self._bytes, self._since = self.sequence, 0, now


def padding_bytes(policy: str | None, body_bytes: int, most_bytes: int) -> int:
    """Return how many zero bytes to add to a body, `most_bytes` being the longest body that the peer takes.

    `None`: none.  `"bucket"`: to the next power of two up to 4 KiB, above that to Padmé's lengths (Nikitin et al.,
    "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019).  `"full"`: always the
    longest.  At most 65,535, which is what the header can state.
    """
    if policy is None:
        return 0
    wanted = most_bytes if policy == "full" else min(most_bytes, _bucket(body_bytes))
    return min(max(0, wanted - body_bytes), MOST_PADDING)


def _bucket(length: int) -> int:
    if length <= 4096:
        return max(32, 1 << (length - 1).bit_length()) if length else 32
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    return (length + (1 << low_bits) - 1) >> low_bits << low_bits
