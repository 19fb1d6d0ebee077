"""What a session is made of, as the second reader sees it: kinds, limits, parts of messages.  From docs/protocol.md.

Law: nothing of netstructer is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

from reader_handshake import read_key
from reader_records import expand
from reader_structs import Refused, expect


class Kind(IntEnum):
    """What a record is."""

    OPEN, ACCEPT, REKEY, PING, PONG, ACK, DRAIN, ALERT, GRANT, NEW_KEY = range(1, 11)
    DATA, CANCEL, FAREWELL, BATCH = 0x10, 0x11, 0x12, 0x15


BLOB, VALUE, ASIDE, DURABLE = range(4)
FIRST, LAST, MOST_FLAGS = 1, 2, 15
LENGTHS = {
    Kind.OPEN: (92, 92),
    Kind.ACCEPT: (64, 64),
    Kind.REKEY: (0, 0),
    Kind.PING: (8, 8),
    Kind.PONG: (8, 8),
    Kind.ACK: (24, 24),
    Kind.DRAIN: (4, 4),
}
LENGTHS |= {
    Kind.ALERT: (2, 202),
    Kind.GRANT: (16, 16),
    Kind.NEW_KEY: (44, 44),
    Kind.CANCEL: (18, 18),
    Kind.FAREWELL: (10, 210),
}
LENGTHS |= dict.fromkeys((Kind.DATA, Kind.BATCH), (8, 1 << 20))
AFTER_FAREWELL = {Kind.ACK, Kind.PING, Kind.PONG, Kind.REKEY, Kind.DRAIN, Kind.NEW_KEY, Kind.ALERT}
CHARGE, FREE_BYTES, MOST_PINGS = 256, 256 << 10, 10
ALERTS = {3: "Stalled", 4: "ConnectionCut"}

unsigned = partial(int.from_bytes, byteorder="big")
legal = partial(expect, name="IllegalFrame")


class Limits(NamedTuple):
    """What an end states of what it takes."""

    value_bytes: int = (1 << 30) + (1 << 16)
    message_bytes: int = 1 << 40
    body_bytes: int = 1 << 16
    credit_bytes: int = 8 << 20
    streams: int = 64


class Durable(NamedTuple):
    outbox: bytes
    row: int
    value: Any


class Stated(NamedTuple):
    """What an ACK says; the limit of OPEN or ACCEPT before."""

    expected: int = 1
    limit: int = 0
    taken: int = 0


@dataclass
class Part:
    """A value or a blob, as far as it has come."""

    number: int
    stream: int
    kind: int
    codec: int
    place: int
    """Of a value: how many blobs it has."""
    conversation: int
    plain_bytes: int
    parent: Part | None = None
    payload: bytearray = field(default_factory=bytearray)
    blobs: dict[int, Part] = field(default_factory=dict)
    granted: int = FREE_BYTES
    whole: bool = False
    over: bool = False
    """Whole, or given up by its sender."""
    refused: bool = False
    """Not wanted by who hears it; what still comes of it is dropped."""
    stated: bool = True
    """Whether its head says how long it is."""
    counts: bool = False
    """Of a blob: whether it was wanted as it began, so that its length counts for the others."""

    def plain(self) -> bytes:
        payload = bytes(self.payload)
        return expand(payload, self.plain_bytes, stated=self.stated) if self.codec else payload

    def refuse(self) -> None:
        """Take in that it is not wanted, with all blobs of it that are not whole."""
        self.refused = True
        for blob in self.blobs.values():
            blob.refused = blob.refused or not blob.over


class Message(NamedTuple):
    """A value that was delivered: its encoding, itself, and the part that it came as, if it was in no BATCH."""

    encoded: bytes
    value: Any
    part: Part | None


def text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("IllegalFrame", "a text is UTF-8") from None


def heard_alert(direction: object, body: bytes) -> None:
    text_of(body[2:])
    raise Refused(ALERTS.get(unsigned(body[:2]), "LinkLost"), "the peer says that it is over")


def heard_key(direction: object, body: bytes) -> None:
    try:
        read_key(body.decode("latin-1"))
    except Refused as refused:
        raise Refused("IllegalFrame", refused.rule) from refused
