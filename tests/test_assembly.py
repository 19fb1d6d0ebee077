"""Assembly: nothing is whole before its LAST, nothing grows over its limits, and what is refused is forgotten."""

from __future__ import annotations

import dataclasses
import tracemalloc

import pytest

from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import (
    IllegalFrame,
    LinkClosed,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    SourceFailed,
    SpoolFull,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.assembly import SHORT_BYTES, Assembly, Message, Whole
from netstructer.protocol.delivery import MESSAGE_CHARGE
from netstructer.protocol.states import CancelCode, Flag, Role
from pair import BOTH, TINY, Told

FIRST, LAST = int(Flag.FIRST), int(Flag.LAST)
U64 = bodies.UNKNOWN


class Sender:
    """Writes DATA to an assembly, and numbers what it writes."""

    def __init__(self, limits: Limits = TINY, role: Role = Role.SERVER) -> None:
        self.told = Told(limits)
        self.assembly = Assembly(role, limits, self.told.arrivals)
        self.number = 0

    def send(self, flags: int, stream: int, body: bytes) -> Message | None:
        self.number += 1
        return self.assembly.data(flags, stream, self.number, memoryview(body))

    def first(
        self,
        chunk: bytes,
        plain_bytes: int,
        *,
        stream: int = 1,
        codec: int = NONE,
        place: int = 0,
        parent: int | None = None,
        total: int | None = None,
    ) -> Message | None:
        kind = bodies.VALUE if parent is None else bodies.BLOB
        head = bodies.First(kind, codec, place, plain_bytes, parent or 0).pack()
        if total is None:
            return self.send(FIRST, stream, head + chunk)
        return self.send(BOTH, stream, head + chunk + bodies.total(total))

    def value(self, chunk: bytes = b"v", *, blobs: int = 0, stream: int = 1) -> int:
        """Send a whole value and return its number."""
        self.first(chunk, len(chunk), stream=stream, place=blobs, total=len(chunk))
        return self.number

    def whole(self, *, blobs: int = 0, stream: int = 1) -> Message:
        """Send a whole value and return it."""
        message = self.first(b"v", 1, stream=stream, place=blobs, total=1)
        assert message is not None
        return message

    def blob(self, chunk: bytes, parent: int, place: int, *, stream: int = 1, codec: int = NONE) -> None:
        found = self.first(chunk, len(chunk), stream=stream, codec=codec, place=place, parent=parent, total=len(chunk))
        assert found is None  # a blob completes no value

    def more(self, chunk: bytes, *, stream: int = 1, total: int | None = None) -> Message | None:
        if total is None:
            return self.send(0, stream, chunk)
        return self.send(LAST, stream, chunk + bodies.total(total))

    @property
    def held(self) -> int:
        return self.told.arrivals.room.memory_bytes

    @property
    def code(self) -> CancelCode | None:
        return self.assembly.refusal[1] if self.assembly.refusal else None


def content(arrival: Arrival) -> bytes:
    """Take out what has come of a blob."""
    return b"".join(map(bytes, arrival.spool))


def test_a_message_of_many_records() -> None:
    sender = Sender()
    assert sender.first(b"abc", 8) is None
    assert sender.more(b"de") is None
    assert sender.held == 5
    message = sender.more(b"fgh", total=8)

    assert message is not None
    assert sender.held == 8
    assert b"".join(map(bytes, message.chunks)) == b"abcdefgh"
    assert (message.number, message.last_number, message.plain_bytes) == (1, 3, 8)
    assert (message.total_charge(), message.total_plain_bytes()) == (MESSAGE_CHARGE + 8, 8)
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_messages_of_many_streams_interleave() -> None:
    sender, streams = Sender(), (1, 3, 5, 7)
    for stream in streams:
        sender.first(bytes([stream]), 3, stream=stream)
    for stream in streams:
        sender.more(bytes([stream]), stream=stream)
    found = [sender.more(bytes([stream]), stream=stream, total=3) for stream in streams]

    assert [b"".join(map(bytes, message.chunks)) for message in found if message] == [
        bytes([stream]) * 3 for stream in streams
    ]


def test_a_value_is_whole_before_its_blobs() -> None:
    sender = Sender()
    message = sender.whole(blobs=3)

    assert (message.blob_count, message.missing_blobs, message.arrivals) == (3, 3, {})
    assert (message.last_number, message.total_plain_bytes(), len(sender.assembly)) == (1, 1, 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("asked", [(), (0,), (2, 1, 0)])
def test_blobs_come_in_any_order_whether_they_are_asked_for_or_not(
    order: tuple[int, ...], asked: tuple[int, ...]
) -> None:
    sender = Sender()
    root = sender.whole(blobs=3)
    before = {place: sender.assembly.arrival(root, place) for place in asked}
    assert not any(arrival.begun or arrival.over for arrival in before.values())
    for place in order:
        sender.blob(b"blob%d" % place, root.number, place)

    after = [before.get(place) or sender.assembly.arrival(root, place) for place in range(3)]
    assert [content(arrival) for arrival in after] == [b"blob0", b"blob1", b"blob2"]
    assert all(arrival.whole and arrival.plain_bytes == 5 for arrival in after)
    assert root.arrivals == {}  # who holds them has them
    assert b"".join(map(bytes, root.chunks)) == b"v"
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_blobs_interleave_too_and_may_be_empty_or_of_unknown_length() -> None:
    sender = Sender()
    root = sender.whole(blobs=3)
    parent = root.number
    sender.first(b"a", U64, parent=parent, place=0, stream=1)
    sender.first(b"b", 2, parent=parent, place=1, stream=3)
    blobs = [sender.assembly.arrival(root, place) for place in range(3)]
    assert [(blob.plain_bytes, blob.stated, blob.stream) for blob in blobs] == [
        (None, False, 1),
        (2, True, 3),
        (None, False, 0),
    ]
    sender.more(b"a", stream=1, total=2)
    assert sender.first(b"", U64, parent=parent, place=2, stream=1, total=0) is None
    sender.more(b"b", stream=3, total=2)

    assert [content(blob) for blob in blobs] == [b"aa", b"bb", b""]
    assert [(blob.plain_bytes, blob.whole) for blob in blobs] == [(2, True), (2, True), (0, True)]
    assert len(sender.assembly) == 0


def test_a_message_of_a_conversation_says_so() -> None:
    sender = Sender()
    head = bodies.First(bodies.ASIDE, NONE, 1, 1, 0, 7).pack()
    message = sender.send(BOTH, 1, head + b"v" + bodies.total(1))

    assert message is not None
    assert (message.conversation, message.blob_count) == (7, 1)
    assert sender.whole().conversation == 0


# --- what is illegal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [16, 128, 17, 4, 8, 5, 9, 13])
def test_flags_that_no_record_has(flags: int) -> None:
    with pytest.raises(IllegalFrame, match="flags"):
        Sender().send(flags, 1, bodies.First(1, 0, 0, 5, 0).pack() + b"a")


@pytest.mark.parametrize(("size", "kind"), [(0, bytes), (SHORT_BYTES - 1, bytes), (SHORT_BYTES, memoryview)])
def test_a_short_message_keeps_no_record_alive_and_a_long_one_is_not_copied(size: int, kind: type) -> None:
    (chunk,) = Whole(memoryview(bytes(size)), NONE, size, 1, 256 + size, 0).chunks

    assert (type(chunk), len(chunk)) == (kind, size)


@pytest.mark.parametrize(("role", "stream"), [(Role.SERVER, 0), (Role.SERVER, 2), (Role.CLIENT, 1), (Role.CLIENT, 0)])
def test_a_stream_that_is_not_the_peers(role: Role, stream: int) -> None:
    with pytest.raises(IllegalFrame, match="cannot be begun"):
        Sender(role=role).first(b"a", 2, stream=stream)


def test_a_stream_is_begun_once_at_a_time_and_before_it_goes_on() -> None:
    sender = Sender()
    with pytest.raises(IllegalFrame, match="was not begun"):
        sender.more(b"a")
    sender.first(b"a", 5)
    with pytest.raises(IllegalFrame, match="cannot be begun"):
        sender.first(b"a", 5)


def test_no_more_streams_than_allowed() -> None:
    sender = Sender()
    for stream in range(1, 2 * TINY.streams, 2):
        sender.first(b"a", 5, stream=stream)
    with pytest.raises(IllegalFrame, match="more than 4 unfinished"):
        sender.first(b"a", 5, stream=99)


def test_no_more_values_that_wait_for_blobs_than_allowed() -> None:
    sender = Sender()
    for _ in range(TINY.streams):
        sender.value(blobs=1)
    with pytest.raises(IllegalFrame, match="more than 4 values"):
        sender.value(blobs=1)


@pytest.mark.parametrize("codec", [2, 3, 255])
def test_an_unknown_codec(codec: int) -> None:
    with pytest.raises(IllegalFrame, match=f"codec {codec}"):
        Sender().first(b"a", 5, codec=codec)


def test_an_empty_chunk_is_only_that_of_an_empty_payload() -> None:
    with pytest.raises(IllegalFrame, match="empty"):
        Sender().first(b"", 5)
    for tail in (None, 1):
        sender = Sender()
        sender.first(b"a", 1)
        with pytest.raises(IllegalFrame, match="empty"):
            sender.more(b"", total=tail)


def test_the_last_chunk_of_a_blob_may_be_empty_and_no_other() -> None:
    sender = Sender()
    root = sender.whole(blobs=2)
    sender.first(b"ab", U64, parent=root.number, place=0, stream=1)
    assert sender.more(b"", stream=1, total=2) is None
    sender.first(b"ab", 2, parent=root.number, place=1, stream=1)
    with pytest.raises(IllegalFrame, match="empty"):
        sender.more(b"", stream=1)

    blob = sender.assembly.arrival(root, 0)
    assert blob.whole
    assert content(blob) == b"ab"


@pytest.mark.parametrize("total", [0, 1, 3, 1 << 62])
def test_a_total_that_is_not_what_was_declared_or_came(total: int) -> None:
    with pytest.raises(IllegalFrame, match="total"):
        Sender().first(b"ab", 2, total=total)
    with pytest.raises(IllegalFrame, match="total"):
        Sender().first(b"ab", 2, codec=ZSTD, total=total)
    sender = Sender()
    parent = sender.value(blobs=1)
    with pytest.raises(IllegalFrame, match="total"):
        sender.first(b"ab", U64, parent=parent, total=total)
    sender = Sender()
    parent = sender.value(blobs=1)
    with pytest.raises(IllegalFrame, match="total"):
        sender.first(b"ab", 2, codec=ZSTD, parent=parent, total=total)


def test_more_bytes_than_declared_and_fewer() -> None:
    sender = Sender()
    sender.first(b"ab", 3)
    with pytest.raises(IllegalFrame, match="has more"):
        sender.more(b"cd")
    sender = Sender()
    sender.first(b"ab", 4)
    with pytest.raises(IllegalFrame, match="total"):
        sender.more(b"c", total=4)


@pytest.mark.parametrize(("parent", "place"), [(0, 0), (2, 0), (1, 2), (1, 65_535)])
def test_a_blob_that_nobody_waits_for(parent: int, place: int) -> None:
    sender = Sender()
    sender.value(blobs=2)
    with pytest.raises(IllegalFrame, match="no value waits for"):
        sender.first(b"a", 5, parent=parent, place=place)


@pytest.mark.parametrize("asked", ["before", "after", "never"])
def test_a_blob_comes_once_whoever_holds_it(asked: str) -> None:
    sender = Sender()
    root = sender.whole(blobs=2)
    if asked == "before":
        sender.assembly.arrival(root, 0)
    sender.blob(b"a", root.number, 0)
    if asked == "after":
        sender.assembly.arrival(root, 0)
    with pytest.raises(IllegalFrame, match="no value waits for"):
        sender.blob(b"a", root.number, 0)


def test_a_cancel_of_what_was_not_begun() -> None:
    sender = Sender()
    sender.value()
    for number in (0, 1, 99):
        with pytest.raises(IllegalFrame, match="not begun"):
            sender.assembly.cancelled(1, number, 4)


@pytest.mark.parametrize("what", ["value", "value with blobs", "blob"])
def test_a_cancel_on_another_stream_than_the_message(what: str) -> None:
    sender = Sender()
    if what == "value":
        sender.first(b"a", 5)
    else:
        parent = sender.value(blobs=1, stream=5)
    if what == "blob":
        sender.first(b"a", 5, parent=parent)
    stream = 5 if what == "value with blobs" else 1
    with pytest.raises(IllegalFrame, match=f"on stream 3, which is on stream {stream}"):
        sender.assembly.cancelled(3, sender.number, 4)


def test_a_codec_that_was_not_agreed_on() -> None:
    with pytest.raises(IllegalFrame, match="codec 1"):
        Assembly(Role.SERVER, TINY, Told(TINY).arrivals, compressing=False).data(
            FIRST, 1, 1, memoryview(bodies.First(bodies.VALUE, ZSTD, 0, 5, 0).pack() + b"a")
        )


# --- cancelled by the sender ------------------------------------------------------------------------------------------


def test_a_value_is_cancelled_before_its_last() -> None:
    sender = Sender()
    sender.first(b"abc", 10)
    sender.assembly.cancelled(1, 1, 4)

    assert (len(sender.assembly), sender.held) == (0, 0)
    assert sender.first(b"new", 3, total=3) is not None


CODES = [(CancelCode.SOURCE_FAILED, SourceFailed), (CancelCode.ABANDONED, MessageCancelled), (77, MessageCancelled)]


@pytest.mark.parametrize("begun", [0, 1, 2])
@pytest.mark.parametrize("finished", [0, 1])
@pytest.mark.parametrize(("code", "error"), CODES)
def test_a_value_is_cancelled_while_its_blobs_come(
    begun: int, finished: int, code: int, error: type[NetstructerError]
) -> None:
    sender = Sender()
    root = sender.whole(blobs=4)
    asked = sender.assembly.arrival(root, 3)
    for place in range(finished):
        sender.blob(b"done", root.number, place)
    for place in range(begun):
        sender.first(b"part", 9, parent=root.number, place=3 - place, stream=1 + 2 * place)
    other = 7
    sender.first(b"other", 6, stream=other)
    sender.assembly.cancelled(1, root.number, code)

    blobs = [sender.assembly.arrival(root, place) for place in range(4)]
    assert blobs[3] is asked
    assert [type(blob.error) for blob in blobs] == [type(None)] * finished + [error] * (4 - finished)
    assert all(blob.whole for blob in blobs[:finished])
    assert [content(blob) for blob in blobs[4 - begun :]] == [b"part"] * begun  # what came can still be read
    assert len(sender.assembly) == 1
    assert sender.more(b"!", stream=other, total=6) is not None
    with pytest.raises(IllegalFrame, match="no value waits for"):
        sender.first(b"late", 9, parent=root.number, place=1)


@pytest.mark.parametrize(("code", "error"), CODES)
def test_one_blob_is_cancelled_and_the_others_come(code: int, error: type[NetstructerError]) -> None:
    sender = Sender()
    root = sender.whole(blobs=2)
    sender.first(b"part", 9, parent=root.number, place=0, stream=3)
    sender.assembly.cancelled(3, sender.number, code)
    with pytest.raises(IllegalFrame, match="no value waits for"):
        sender.first(b"again", 9, parent=root.number, place=0, stream=3)
    sender.blob(b"whole", root.number, 1, stream=3)

    assert type(sender.assembly.arrival(root, 0).error) is error
    assert content(sender.assembly.arrival(root, 1)) == b"whole"
    assert len(sender.assembly) == 0


# --- refused here -----------------------------------------------------------------------------------------------------


def test_a_value_over_the_limit_is_refused_and_its_rest_dropped() -> None:
    sender = Sender()
    size = TINY.value_bytes + 1
    assert sender.first(b"a" * 900, size) is None
    assert sender.code is CancelCode.TOO_BIG
    assert sender.held == 0
    for _ in range(3):
        assert sender.more(b"a" * 900) is None
        assert sender.code is None
    assert sender.more(b"a", total=size) is None
    assert (len(sender.assembly), sender.held) == (0, 0)
    assert sender.first(b"next", 4, total=4) is not None


def test_a_refused_value_with_blobs_is_forgotten_after_all_of_them() -> None:
    sender = Sender()
    size = TINY.value_bytes + 1
    assert sender.first(b"a", size, place=2, total=size) is None
    parent = sender.number
    assert (sender.code, len(sender.assembly)) == (CancelCode.TOO_BIG, 1)
    sender.blob(b"x", parent, 0)
    assert sender.first(b"y", 9, parent=parent, place=1) is None
    assert sender.more(b"12345678", total=9) is None

    assert (len(sender.assembly), sender.held) == (0, 0)
    # Each of them was asked to stop, too.
    assert sender.told.cancels == [(1, parent + 1, CancelCode.ABANDONED), (1, parent + 2, CancelCode.ABANDONED)]


def test_a_refused_value_is_forgotten_when_its_sender_gives_it_up() -> None:
    sender = Sender()
    sender.first(b"a", TINY.value_bytes + 1)
    sender.assembly.cancelled(1, 1, 4)

    assert (len(sender.assembly), sender.held) == (0, 0)


@pytest.mark.parametrize("sizes", [(8193,), (8192, 1), (4096, 4097), (1, 1, 8191)])
def test_blobs_stated_to_be_over_the_limit_together_are_refused(sizes: tuple[int, ...]) -> None:
    # They are compressed: what counts is what they expand to, not the few bytes that came.
    sender = Sender()
    root = sender.whole(blobs=len(sizes))
    for place, size in enumerate(sizes):
        assert sender.told.cancels == []
        assert sender.first(b"zip", size, parent=root.number, place=place, codec=ZSTD) is None
        sender.more(b"zip", total=size)

    assert sender.told.cancels == [(1, sender.number - 1, CancelCode.TOO_BIG)]
    *good, bad = (sender.assembly.arrival(root, place) for place in range(len(sizes)))
    assert all(blob.whole for blob in good)
    assert (type(bad.error), bad.whole) == (MessageTooBig, False)
    assert len(sender.assembly) == 0
    assert content(bad) == b""


def test_a_blob_of_unknown_length_is_refused_where_its_payload_is_over_the_limit() -> None:
    sender = Sender()
    root = sender.whole(blobs=2)
    sender.first(b"a" * 1000, U64, parent=root.number)
    while sender.told.cancels == []:
        assert sender.told.arrivals.room.memory_bytes <= TINY.message_bytes
        sender.more(b"a" * 1000)
    blob = sender.assembly.arrival(root, 0)

    assert (type(blob.error), blob.spool.byte_count) == (MessageTooBig, 9000)
    assert sender.told.cancels == [(1, root.number + 1, CancelCode.TOO_BIG)]
    sender.more(b"a" * 1000)
    sender.more(b"a", total=10_001)
    assert blob.spool.byte_count == 9000
    assert len(sender.told.cancels) == 1
    sender.blob(b"next", root.number, 1)
    assert len(sender.assembly) == 0


def test_blobs_at_the_limit_are_taken() -> None:
    sender = Sender()
    root = sender.whole(blobs=2)
    sender.first(b"zip", 8191, parent=root.number, place=0, codec=ZSTD, total=8191)
    sender.first(b"zip", 1, parent=root.number, place=1, codec=ZSTD, total=1)

    assert [sender.assembly.arrival(root, place).whole for place in (0, 1)] == [True, True]
    assert sender.told.cancels == []


CRAMPED = dataclasses.replace(
    TINY, spool_memory_bytes=1000, spool_link_bytes=2000, value_bytes=1 << 20, message_bytes=1 << 20
)


def test_a_value_for_which_there_is_no_room_is_refused() -> None:
    sender = Sender(CRAMPED)
    sender.first(b"a" * 900, 9000)
    while sender.code is None:
        assert sender.held <= 3000
        sender.more(b"a" * 900)
    assert (sender.code, sender.held) == (CancelCode.NO_ROOM, 0)
    for _ in range(9):
        sender.more(b"a" * 900)
        assert sender.code is None
    assert sender.more(b"a", total=9000) is None

    assert (len(sender.assembly), sender.held) == (0, 0)
    assert sender.whole().number == sender.number


def test_a_blob_for_which_there_is_no_room_is_refused_alone() -> None:
    sender = Sender(CRAMPED)
    root = sender.whole(blobs=2)
    sender.first(b"a" * 900, U64, parent=root.number)
    while sender.told.cancels == []:
        assert sender.held <= 3000
        sender.more(b"a" * 900)
    blob = sender.assembly.arrival(root, 0)

    assert sender.told.cancels == [(1, root.number + 1, CancelCode.NO_ROOM)]
    assert type(blob.error) is SpoolFull
    assert set(content(blob)) == {97}
    sender.assembly.cancelled(1, root.number + 1, CancelCode.ABANDONED)
    assert type(blob.error) is SpoolFull
    sender.blob(b"b" * 900, root.number, 1)
    assert content(sender.assembly.arrival(root, 1)) == b"b" * 900


@pytest.mark.parametrize("begun", [False, True])
def test_blobs_of_what_nobody_takes_are_asked_to_stop(begun: bool) -> None:
    sender = Sender()
    root = sender.whole(blobs=3)
    sender.blob(b"whole", root.number, 0)
    asked = [sender.assembly.arrival(root, place) for place in (1, 2)]
    if begun:
        sender.first(b"part", 9, parent=root.number, place=1)
    sender.assembly.forget(root)
    assert sender.held == 0
    if not begun:
        assert sender.told.cancels == []
        sender.first(b"part", 9, parent=root.number, place=1)
    number = sender.number
    assert sender.told.cancels == [(1, number, CancelCode.ABANDONED)]
    sender.more(b"more!", total=9)  # it crossed ours
    sender.first(b"last", U64, parent=root.number, place=2)
    assert sender.told.cancels[1:] == [(1, sender.number, CancelCode.ABANDONED)]
    sender.assembly.cancelled(1, sender.number, CancelCode.ABANDONED)

    assert [type(blob.error) for blob in asked] == [LinkClosed, LinkClosed]
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_empty_blobs_cost_their_records_and_little_more() -> None:
    sender = Sender()
    root = sender.whole(blobs=65_535)
    tracemalloc.start()
    for place in range(10_000):
        sender.blob(b"", root.number, place)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    # They count 256 each against the credit until the application has the value: not many more can be there.
    assert held < 12 << 20
    assert root.missing_blobs == 55_535


def test_a_value_without_blobs_takes_none() -> None:
    sender = Sender()
    parent = sender.value()
    with pytest.raises(IllegalFrame):
        sender.blob(b"a", parent, 0)
