"""A second reader, made from docs/protocol.md and docs/values.md alone: secrets and a recording in, values out.

Law: nothing of netstructer is imported here, so that what it shares with the package is the specification alone.  It
reads what honest ends have sent, and is strict about framing, order, numbers and the grants of blobs; it answers
nothing, so the session's credit and time are not its business.  Of the values it reads scalars, texts, containers, bulk
forms and blobs.  A value with a struct (`ff`), a record, a member or a custom type (`fa`, `fb`, `fc`, or a table of
records) stays `Opaque`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import accumulate, pairwise
from struct import calcsize, unpack
from typing import Any, NamedTuple

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HELLO, ANSWERS = 128, {1: 120, 2: 168}
OPEN, ACCEPT, REKEY, PING, PONG, ACK, DRAIN, ALERT, GRANT, NEW_KEY = range(1, 11)
BLOB, VALUE, ASIDE, DURABLE, FREE_BYTES = 0, 1, 2, 3, 256 << 10
DATA, CANCEL, FAREWELL, BATCH = 0x10, 0x11, 0x12, 0x15
LENGTHS = {OPEN: (92, 92), ACCEPT: (64, 64), REKEY: (0, 0), PING: (8, 8), PONG: (8, 8), ACK: (24, 24), ALERT: (2, 202)}
LENGTHS |= {DRAIN: (4, 4), GRANT: (16, 16), NEW_KEY: (44, 44), CANCEL: (18, 18), FAREWELL: (10, 210)}
LENGTHS |= dict.fromkeys((DATA, BATCH), (8, 1 << 20))
FIRST, LAST, ACKNOWLEDGE, TAKEN, UNKNOWN = 1, 2, 4, 8, (1 << 64) - 1
unsigned, signed = (partial(int.from_bytes, byteorder="big", signed=sign) for sign in (False, True))


class Unreadable(Exception):
    """The recording breaks a rule of the specification."""


def expect(true: object, rule: str) -> None:
    if not true:
        raise Unreadable(rule)


class Opaque(NamedTuple):
    encoded: bytes


class BlobBytes(NamedTuple):
    name: str | None
    data: bytes | None  # where it was given up


class Durable(NamedTuple):
    outbox: bytes
    row: int
    value: Any


@dataclass
class Part:
    number: int
    stream: int
    codec: int
    place: int
    plain_bytes: int
    parent: Part | None
    conversation: int = 0
    durable: bool = False
    payload: bytearray = field(default_factory=bytearray)
    blobs: dict[int, Part] = field(default_factory=dict)
    over: bool = False  # whole, or given up
    whole: bool = False

    def value(self) -> Any:
        if self.durable:
            found = Durable(*unpack(">16sQ", self.plain()[:24]), read_value(self.plain()[24:], []))
            expect(found.row, "the rows of an outbox begin with 1")
            return found
        blobs = [self.blobs.get(place) for place in range(self.place)]
        return read_value(self.plain(), [blob.plain() if blob and blob.whole else None for blob in blobs])

    def plain(self) -> bytes:
        found = bytes(self.payload)
        if self.codec:
            unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 20).decompressobj()
            found = unpacker.decompress(found)
            expect(unpacker.eof and not unpacker.unused_data, "one zstd frame, and nothing after it")
        expect(len(found) == self.plain_bytes, "the total is what comes out")
        return found


def read_session(c2s: bytes, s2c: bytes, client: bytes, server: bytes) -> tuple[Direction, Direction]:
    """Return what the client and the server said.  The recordings begin with hello and answer, or after them."""
    if client[:4] == b"NSTR":
        expect(server[:8] == b"NSTR\1" + client[5:6] + bytes(2), "the answer says: go on")
        client, server = client[HELLO:], server[ANSWERS[client[5]] :]
    said = Direction(OPEN, 1), Direction(ACCEPT, 0)
    for direction, secret, recording in ((said[0], c2s, client), (said[1], s2c, server)):
        for record in read_records(secret, recording):
            direction.take(*record)
    return agree(*said)


def goes_on(client: Direction, server: Direction, binding: bytes) -> bool:
    """Hold OPEN and ACCEPT against each other and what was said before; return whether there is a session now."""
    asked, answered = client.opening, server.opening
    expect(answered.status != 2 - asked.status, "what was asked for is answered: a new session, or one that goes on")
    if asked.status == 1 or answered.status != 1:
        return answered.status < 2
    proof, answer = (hmac.digest(client.secret, label + binding, sha256) for label in (b"ns1 open", b"ns1 accept"))
    expect(asked.secret == proof and answered.session == answer[:16], "both have the secret of the session")
    expect(asked.instance == answered.instance, "it is this session")
    for one, other in ((client, server), (server, client)):
        had = range(max(1, one.acknowledged[0]), other.next_number + 1)
        expect(one.opening.expected in had, "what it has was sent, and what it acknowledged it has")
        expect(one.opening.following >= one.next_number, "a number is given once")
        expect(one.opening.limit >= one.limit, "credit is not taken back")
        other.again, one.limit = one.opening.expected, one.opening.limit
    return True


def agree(*said: Direction) -> tuple[Direction, ...]:
    """Hold what the two ends said of each other against each other; read the values."""
    for one, other in (said, said[::-1]):
        expect(one.acknowledged[2] < one.acknowledged[0] <= other.next_number, "what is acknowledged was sent")
        blobs = {number: part for number, part in other.parts.items() if part.parent}
        expect(set(one.granted) <= set(blobs), "a grant is for a blob")
        for number, blob in blobs.items():
            expect(len(blob.payload) <= one.granted.get(number, FREE_BYTES), "what is sent of a blob was granted")
        for number, stream in one.unwanted:
            expect(number in other.parts and other.parts[number].stream == stream, "what is not wanted began there")
    for one in said:
        one.values = [part.value() if isinstance(part, Part) else part for part in one.values]
        one.asides = [(part.conversation, part.value()) for part in one.asides]
    return said


class Opening(NamedTuple):
    status: int  # of ACCEPT; the mode of OPEN
    session: bytes
    secret: bytes
    instance: bytes
    expected: int
    following: int
    limit: int


class Direction:
    """What one end said: its values in the order in which they became whole, and what else was remarkable.

    `again` is the number of the next numbered record: one below `next_number` was said before, on another transport.
    """

    def __init__(self, first: int, parity: int) -> None:
        self.values: list[Any] = []
        self.asides: list[Any] = []
        self.granted: dict[int, int] = {}
        self.parts: dict[int, Part] = {}
        self.unwanted: list[tuple[int, int]] = []
        self.kinds: list[int] = []
        self.cancelled: list[tuple[int, int]] = []
        self.acknowledged = (1, 0, 0)
        self.farewell: tuple[int, str] | None = None
        self.next_number = self.again = 1
        self.opening = Opening(0, b"", b"", b"", 1, 1, 0)
        self.secret, self.limit = b"", 0
        self._said: list[tuple[int, int, int, bytes]] = []
        self._begins, self._over = True, False
        self._first, self._parity = first, parity
        self._open: dict[int, Part] = {}
        self._parents: dict[int, Part] = {}

    def begin(self) -> None:
        """Take in that another transport begins."""
        self._begins = True

    def _opening(self, body: bytes) -> None:
        before = self.opening
        if self._first == OPEN:
            mode, zero, session, secret, expected, following, limit, instance = unpack(">B3s16s32sQQQ16s", body)
            self.opening = Opening(mode, session, secret, instance, expected, following, limit)
            expect(mode in (1, 2) and (mode == 2 or instance == bytes(16)), "a known mode, and no instance of its own")
            expect(mode == 1 or before.session in (b"", session), "a session has one name")
            self.secret = secret if mode == 1 else self.secret
        else:
            mode, zero, session, instance, expected, following, limit, _ = unpack(">B3s16s16sQQQI", body)
            self.opening = Opening(mode, session, b"", instance, expected, following, limit)
            expect(mode < 4, "a known status")
        expect(zero == bytes(3), "the spare bytes are zero")
        if mode == (self._first == OPEN):
            expect((expected, following) == (1, 1), "a new session begins at its beginning")
            self.limit = limit

    def take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        expect((kind == self._first) == self._begins, "OPEN or ACCEPT is the first record, and no other")
        expect(kind in LENGTHS and LENGTHS[kind][0] <= len(body) <= LENGTHS[kind][1], "a known kind, and its length")
        expect(kind == DATA or not (flags or (stream and kind != CANCEL)), "only DATA has flags")
        expect(not self._over, "nothing follows an ALERT that ends the session")
        expect(kind not in (DRAIN, NEW_KEY) or self._first == ACCEPT, "a server drains, and gives keys")
        self.kinds.append(kind)
        if self._begins:
            self._opening(body)
        self._begins, self._over = False, kind == ALERT and body[:2] != b"\0\3"
        if kind == ACK:
            figures = unpack(">QQQ", body)
            expect(all(old <= new for old, new in zip(self.acknowledged, figures, strict=True)), "an ACK goes on")
            self.acknowledged = figures
        if kind == GRANT:
            message, limit = unpack(">QQ", body)
            expect(limit >= self.granted.get(message, FREE_BYTES), "a GRANT takes nothing back")
            self.granted[message] = limit
        if kind == GRANT:
            expect(self.farewell is None, "no GRANT follows FAREWELL")
        if kind in (DATA, CANCEL, FAREWELL, BATCH):
            expect(unsigned(body[:8]) == self.again, "delivery numbers have no gaps")
            self._numbered(kind, flags, stream, body)
            self.again += 1

    def _numbered(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if self.again < self.next_number:
            expect(self._said[self.again - 1] == (kind, flags, stream, body), "what is said again is what was said")
            return
        expect(self.farewell is None, "nothing numbered follows FAREWELL")
        self._said.append((kind, flags, stream, body))
        self._say(kind, flags, stream, body[8:])
        self.next_number += 1

    def _say(self, kind: int, flags: int, stream: int, rest: bytes) -> None:
        if kind == DATA:
            self._data(flags, stream, rest)
        elif kind == BATCH:
            self._batch(rest)
        elif kind == FAREWELL:
            expect(not self._open and not self._parents, "no message is unfinished")
            self.farewell = unsigned(rest[:2]), rest[2:].decode()
        elif stream % 2 == self._parity:
            self._cancel(stream, *unpack(">QH", rest))
        else:
            self.unwanted.append((unsigned(rest[:8]), stream))

    def _data(self, flags: int, stream: int, rest: bytes) -> None:
        expect(not flags & ~15 and (flags & LAST or not flags & (ACKNOWLEDGE | TAKEN)), "the flags of DATA")
        if flags & FIRST:
            expect(stream and stream % 2 == self._parity and stream not in self._open, "a free stream of the sender's")
            self._open[stream], rest = self._begin(stream, rest)
            self.parts[self.next_number] = self._open[stream]
        expect(stream in self._open, "a message is under way on the stream")
        part = self._open[stream]
        if flags & LAST:
            total, rest = unsigned(rest[-8:]), rest[:-8]
            expect(part.plain_bytes in (UNKNOWN, total), "the total is what was stated")
            part.plain_bytes = total
        alone = flags & LAST and (flags & FIRST or part.parent)
        expect(rest or alone, "a chunk is not empty, unless the last one of a blob, or the only one")
        part.payload += rest
        expect(part.codec or len(part.payload) <= part.plain_bytes, "not more than was stated")
        if flags & LAST:
            expect(part.codec or len(part.payload) == part.plain_bytes, "the total is what came")
            part.whole = True
            self._end(part)
            if not part.parent:
                (self.asides if part.conversation else self.values).append(part)

    def _begin(self, stream: int, rest: bytes) -> tuple[Part, bytes]:
        kind, codec, place, conversation, plain_bytes = unpack(">BBHIQ", rest[:16])
        expect(kind in (BLOB, VALUE, ASIDE, DURABLE) and codec in (0, 1), "the head of a message")
        expect(kind != DURABLE or (place == 0 and plain_bytes > 24), "a durable message has a row, and no blobs")
        expect((kind == ASIDE) == (conversation != 0), "an aside has a conversation, and nothing else has")
        if kind != BLOB:
            expect(plain_bytes != UNKNOWN, "the length of a value is known")
            found = Part(self.next_number, stream, codec, place, plain_bytes, None, conversation, kind == DURABLE)
            return found, rest[16:]
        parent = self._parents.get(unsigned(rest[16:24]))
        expect(parent and place < parent.place and place not in parent.blobs, "a value waits for this blob")
        parent.blobs[place] = Part(self.next_number, stream, codec, 0, plain_bytes, parent)
        return parent.blobs[place], rest[24:]

    def _end(self, part: Part) -> None:
        part.over = self._open.pop(part.stream) is part
        root = part.parent or part
        if root.place and root.whole:
            self._parents[root.number] = root
            if len(root.blobs) == root.place and all(blob.over for blob in root.blobs.values()):
                del self._parents[root.number]

    def _batch(self, rest: bytes) -> None:
        expect(rest, "a batch is not empty")
        while rest:
            size = unsigned(rest[:4])
            expect(0 < size <= len(rest) - 4, "the lengths of a batch add up")
            self.values.append(read_value(rest[4 : 4 + size], []))
            rest = rest[4 + size :]

    def _cancel(self, stream: int, message: int, code: int) -> None:
        parts = [part for part in (*self._open.values(), *self._parents.values()) if part.number == message]
        expect([part.stream for part in parts] == [stream], "what is cancelled is under way, and began there")
        self.cancelled.append((message, code))
        if parts[0].parent:
            return self._end(parts[0])
        self._parents.pop(message, None)
        self._open = {at: part for at, part in self._open.items() if parts[0] not in (part, part.parent)}
        return None


def read_records(secret: bytes, recording: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Return kind, flags, stream and body of each record.  HKDF-Expand for 32 bytes is one HMAC."""
    at, count, key = 0, 0, hmac.digest(secret, b"ns1 key\1", sha256)
    while at < len(recording):
        size = unsigned(recording[at : at + 4])
        expect(size >= 89 and size % 16 == 9, "the length of a token")
        record = open_token(key, recording[at + 4 : at + 4 + size])
        at += 4 + size
        sequence, kind, flags, padding, stream = unpack(">QBBHI", record[:16])
        end = len(record) - padding
        expect(sequence == count, "the sequence has no gaps")
        expect(end >= 16 and not any(record[end:]), "padding fits and is zero")
        yield kind, flags, stream, record[16:end]
        count += 1
        if kind == REKEY:
            secret = hmac.digest(secret, b"ns1 next\1", sha256)
            key = hmac.digest(secret, b"ns1 key\1", sha256)


def open_token(key: bytes, token: bytes) -> bytes:
    expect(hmac.compare_digest(hmac.digest(key[:16], token[:-32], sha256), token[-32:]), "the seal")
    expect(token[0] == 0x80, "the version of Fernet")
    plain = Cipher(algorithms.AES(key[16:]), modes.CBC(token[9:25])).decryptor().update(token[25:-32])
    expect(1 <= plain[-1] <= 16 and plain.endswith(bytes([plain[-1]]) * plain[-1]), "PKCS7")
    return plain[: -plain[-1]]


def read_value(encoded: bytes, blobs: list[bytes | None]) -> Any:
    values = Values(encoded, blobs)
    try:
        found = values.node()
    except NotImplementedError:
        return Opaque(encoded)
    expect(values.at == len(encoded) and not values.blobs, "nothing follows a value")
    return found


class Values:
    def __init__(self, encoded: bytes, blobs: list[bytes | None]) -> None:
        self.encoded, self.at, self.blobs = encoded, 0, blobs

    def take(self, count: int) -> bytes:
        self.at += count
        expect(self.at <= len(self.encoded), "the value is whole")
        return self.encoded[self.at - count : self.at]

    def length(self) -> int:
        first = self.take(1)[0]
        return first if first < 248 else unsigned(self.take(first - 247))

    def nodes(self, count: int) -> list[Any]:
        return [self.node() for _ in range(count)]

    def node(self) -> Any:
        tag = self.take(1)[0]
        if tag < 0x80:
            return tag
        if tag < 0x90:
            return {self.node(): self.node() for _ in range(tag - 0x80)}
        if tag < 0xA0:
            return self.nodes(tag - 0x90)
        if tag < 0xC0:
            return self.take(tag - 0xA0).decode()
        if tag < 0xD0:
            return tuple(self.nodes(tag - 0xC0))
        if tag < 0xE0:
            return tag - 0xE0
        if tag < 0xE8:
            return signed(self.take(tag - 0xDF))
        if tag in OF_BYTES:
            return OF_BYTES[tag](self.take(self.length()))
        if tag in OF_NODES:
            return OF_NODES[tag](self.nodes(self.length()))
        if tag in OF_A_LIST:
            return OF_A_LIST[tag](self.node())
        if tag not in OTHERS:
            raise NotImplementedError
        return OTHERS[tag](self)

    def blob(self) -> BlobBytes:
        size, name = self.length(), self.length()
        found = BlobBytes(self.take(name - 1).decode() if name else None, self.blobs.pop(0))
        expect(found.data is None or size in (0, len(found.data) + 1), "the size of a blob")
        return found

    def run(self) -> list[Any]:
        kind, count = self.take(1)[0], self.length()
        if kind < 9:
            layout = f"<{count}{'BHIQbhiqd'[kind]}"
            return list(unpack(layout, self.take(calcsize(layout))))
        if kind == 9:
            return self.bits(count)
        texts: list[Any] = [None] * count if kind == 10 else self.take(self.length()).decode().split("\0")
        expect(len(texts) == count, "the count of texts")
        return texts

    def bits(self, count: int) -> list[bool]:
        return [bool(byte >> bit & 1) for byte in self.take((count + 7) // 8) for bit in range(8)][:count]

    def table(self) -> list[Any]:
        rows = self.take(1)[0]
        if rows > 2:
            raise NotImplementedError
        width = self.length()
        keys = self.nodes(width) if rows == 2 else []
        make = (list, tuple, lambda row: dict(zip(keys, row, strict=True)))[rows]
        return [make(row) for row in zip(*self.nodes(width), strict=True)]

    def ragged(self) -> list[Any]:
        make, lengths, items = (list, tuple)[self.take(1)[0]], self.node(), self.node()
        return [make(items[start:end]) for start, end in pairwise(accumulate(lengths, initial=0))]

    def holes(self) -> list[Any]:
        present, items = self.bits(self.length()), iter(self.node())
        return [next(items) if there else None for there in present]


OF_BYTES: dict[int, Any] = {0xE8: signed, 0xED: bytes.decode, 0xEE: bytes, 0xFE: bytearray}
OF_NODES: dict[int, Any] = {0xEF: list, 0xF1: set, 0xF3: frozenset}
OF_A_LIST: dict[int, Any] = {0xF0: tuple, 0xF2: set, 0xF4: frozenset}
OTHERS: dict[int, Any] = {0xF6: Values.run, 0xF7: Values.table, 0xF8: Values.ragged, 0xF9: Values.holes}
OTHERS |= {0xFD: Values.blob, 0xE9: lambda values: unpack(">d", values.take(8))[0]}
OTHERS |= {0xEA: lambda _: None, 0xEB: lambda _: False, 0xEC: lambda _: True}
OTHERS |= {0xF5: lambda values: dict(zip(values.node(), values.node(), strict=True))}
