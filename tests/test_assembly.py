"""Assembly: nothing is whole before its LAST, nothing grows over its limits, and what is refused is forgotten."""

from __future__ import annotations

import tracemalloc

import pytest

from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.assembly import Assembly, Message
from netstructer.protocol.delivery import MESSAGE_CHARGE
from netstructer.protocol.states import CancelCode, Flag, Role
from pair import BOTH, TINY

FIRST, LAST = int(Flag.FIRST), int(Flag.LAST)
U64 = bodies.UNKNOWN


class Sender:
    """Writes DATA to an assembly, and numbers what it writes."""

    def __init__(self, limits: Limits = TINY, role: Role = Role.SERVER) -> None:
        self.assembly = Assembly(role, limits)
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

    def blob(self, chunk: bytes, parent: int, place: int, *, stream: int = 1, codec: int = NONE) -> Message | None:
        return self.first(chunk, len(chunk), stream=stream, codec=codec, place=place, parent=parent, total=len(chunk))

    def more(self, chunk: bytes, *, stream: int = 1, total: int | None = None) -> Message | None:
        if total is None:
            return self.send(0, stream, chunk)
        return self.send(LAST, stream, chunk + bodies.total(total))

    @property
    def held(self) -> int:
        return self.assembly._held

    @property
    def code(self) -> CancelCode | None:
        return self.assembly.refusal[1] if self.assembly.refusal else None


def test_a_message_of_many_records() -> None:
    sender = Sender()
    assert sender.first(b"abc", 8) is None
    assert sender.more(b"de") is None
    assert sender.held == MESSAGE_CHARGE + 5
    message = sender.more(b"fgh", total=8)

    assert message is not None
    assert b"".join(message.chunks) == b"abcdefgh"
    assert (message.number, message.last_number, message.plain_bytes) == (1, 3, 8)
    assert message.total_charge() == MESSAGE_CHARGE + 8
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_messages_of_many_streams_interleave() -> None:
    sender, streams = Sender(), (1, 3, 5, 7)
    for stream in streams:
        sender.first(bytes([stream]), 3, stream=stream)
    for stream in streams:
        sender.more(bytes([stream]), stream=stream)
    found = [sender.more(bytes([stream]), stream=stream, total=3) for stream in streams]

    assert [b"".join(message.chunks) for message in found if message] == [bytes([stream]) * 3 for stream in streams]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_value_is_whole_when_its_blobs_are(order: tuple[int, ...]) -> None:
    sender = Sender()
    parent = sender.value(blobs=3)
    found = [sender.blob(b"blob%d" % place, parent, place) for place in order]

    assert found[:2] == [None, None]
    message = found[2]
    assert message is not None
    assert [b"".join(message.blobs[place].chunks) for place in range(3)] == [b"blob0", b"blob1", b"blob2"]
    assert message.last_number == sender.number
    assert message.total_plain_bytes() == 1 + 15
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_blobs_interleave_too_and_may_be_empty_or_of_unknown_length() -> None:
    sender = Sender()
    parent = sender.value(blobs=3)
    sender.first(b"a", U64, parent=parent, place=0, stream=1)
    sender.first(b"b", 2, parent=parent, place=1, stream=3)
    sender.more(b"a", stream=1, total=2)
    assert sender.first(b"", U64, parent=parent, place=2, stream=1, total=0) is None
    message = sender.more(b"b", stream=3, total=2)

    assert message is not None
    assert [b"".join(message.blobs[place].chunks) for place in range(3)] == [b"aa", b"bb", b""]
    assert [message.blobs[place].stated for place in range(3)] == [False, True, False]


# --- what is illegal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [16, 128, 17, 4, 8, 5, 9, 13])
def test_flags_that_no_record_has(flags: int) -> None:
    with pytest.raises(IllegalFrame, match="flags"):
        Sender().send(flags, 1, bodies.First(1, 0, 0, 5, 0).pack() + b"a")


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


@pytest.mark.parametrize("total", [0, 1, 3, 1 << 62])
def test_a_total_that_is_not_what_was_declared_or_came(total: int) -> None:
    with pytest.raises(IllegalFrame, match="total"):
        Sender().first(b"ab", 2, total=total)
    sender = Sender()
    parent = sender.value(blobs=1)
    with pytest.raises(IllegalFrame, match="total"):
        sender.first(b"ab", U64, parent=parent, total=total)


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


def test_a_blob_comes_once() -> None:
    sender = Sender()
    parent = sender.value(blobs=2)
    sender.blob(b"a", parent, 0)
    with pytest.raises(IllegalFrame, match="no value waits for"):
        sender.blob(b"a", parent, 0)


def test_a_cancel_of_what_was_not_begun() -> None:
    sender = Sender()
    sender.value()
    for number in (0, 1, 99):
        with pytest.raises(IllegalFrame, match="not begun"):
            sender.assembly.cancelled(1, number)


def test_a_cancel_on_another_stream_than_the_message() -> None:
    for blobs in (0, 1):
        sender = Sender()
        if blobs:
            sender.value(blobs=1)
        else:
            sender.first(b"a", 5)
        with pytest.raises(IllegalFrame, match="on stream 3, which is on stream 1"):
            sender.assembly.cancelled(3, 1)


def test_a_codec_that_was_not_agreed_on() -> None:
    with pytest.raises(IllegalFrame, match="codec 1"):
        Assembly(Role.SERVER, TINY, compressing=False).data(
            FIRST, 1, 1, memoryview(bodies.First(bodies.VALUE, ZSTD, 0, 5, 0).pack() + b"a")
        )


# --- cancelled by the sender ------------------------------------------------------------------------------------------


def test_a_value_is_cancelled_before_its_last() -> None:
    sender = Sender()
    sender.first(b"abc", 10)
    sender.assembly.cancelled(1, 1)

    assert (len(sender.assembly), sender.held) == (0, 0)
    assert sender.first(b"new", 3, total=3) is not None


@pytest.mark.parametrize("begun", [0, 1, 2])
@pytest.mark.parametrize("finished", [0, 1])
def test_a_value_is_cancelled_while_its_blobs_come(begun: int, finished: int) -> None:
    sender = Sender()
    parent = sender.value(blobs=4)
    for place in range(finished):
        sender.blob(b"done", parent, place)
    for place in range(begun):
        sender.first(b"part", 9, parent=parent, place=3 - place, stream=1 + 2 * place)
    other = 7
    sender.first(b"other", 6, stream=other)
    sender.assembly.cancelled(1, parent)

    assert (len(sender.assembly), sender.held) == (1, MESSAGE_CHARGE + 5)
    assert sender.more(b"!", stream=other, total=6) is not None
    assert sender.held == 0


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
    sender.first(b"a", size, place=2, total=size)
    parent = sender.number
    assert (sender.code, len(sender.assembly)) == (CancelCode.TOO_BIG, 1)
    assert sender.blob(b"x", parent, 0) is None
    assert sender.first(b"y", 9, parent=parent, place=1) is None
    assert sender.more(b"y", total=9) is None

    assert (len(sender.assembly), sender.held) == (0, 0)


def test_a_refused_value_has_no_more_blobs_than_it_said() -> None:
    sender = Sender()
    sender.first(b"a", TINY.value_bytes + 1, place=2, total=TINY.value_bytes + 1)
    parent = sender.number
    for stream in (1, 3):
        sender.first(b"x", 9, parent=parent, place=0, stream=stream)
    with pytest.raises(IllegalFrame, match="more blobs than it said"):
        sender.first(b"z", 9, parent=parent, place=1, stream=5)


def test_a_refused_value_is_forgotten_when_its_sender_gives_it_up() -> None:
    sender = Sender()
    sender.first(b"a", TINY.value_bytes + 1)
    sender.assembly.cancelled(1, 1)

    assert (len(sender.assembly), sender.held) == (0, 0)


@pytest.mark.parametrize("sizes", [(8193,), (8192, 1), (4096, 4097), (1, 1, 8191)])
@pytest.mark.parametrize("known", [True, False])
def test_blobs_together_over_the_limit_are_refused(sizes: tuple[int, ...], known: bool) -> None:
    # They are compressed: what counts is what they expand to, not the few bytes that came.
    sender = Sender()
    parent = sender.value(blobs=len(sizes))
    codes = []
    for place, size in enumerate(sizes):
        stated = size if known else U64
        assert sender.first(b"zip", stated, parent=parent, place=place, codec=ZSTD, total=size) is None
        codes.append(sender.code)

    assert codes == [None] * (len(sizes) - 1) + [CancelCode.TOO_BIG]
    assert (len(sender.assembly), sender.held) == (0, 0)


def test_blobs_at_the_limit_are_taken() -> None:
    sender = Sender()
    parent = sender.value(blobs=2)
    sender.first(b"zip", U64, parent=parent, place=0, codec=ZSTD, total=8191)

    assert sender.first(b"zip", 1, parent=parent, place=1, codec=ZSTD, total=1) is not None


def test_one_message_too_many_bytes_on_the_way() -> None:
    sender = Sender()
    most = TINY.message_bytes + TINY.credit_bytes
    parent = sender.value(blobs=1)
    sender.first(b"a" * 1000, U64, parent=parent, codec=ZSTD)
    while sender.code is None:
        assert sender.held <= most
        sender.more(b"a" * 1000)

    assert (sender.code, sender.held) == (CancelCode.NO_ROOM, 0)
    assert sender.more(b"a", total=5) is None
    assert len(sender.assembly) == 0


def test_empty_blobs_are_not_free() -> None:
    limits = Limits(message_bytes=1 << 16, credit_bytes=64 << 10, streams=4)
    sender = Sender(limits)
    parents = [sender.value(blobs=65_535, stream=1) for _ in range(4)]
    refused = 0
    tracemalloc.start()
    for place in range(3000):
        for parent in parents:
            sender.blob(b"", parent, place)
            refused += sender.code is CancelCode.NO_ROOM
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert refused == 4
    assert peak < 2 << 20  # 12,000 blobs of a kibibyte each would be six times that
    assert sender.held == 0


def test_a_value_without_blobs_takes_none() -> None:
    sender = Sender()
    parent = sender.value()
    with pytest.raises(IllegalFrame):
        sender.blob(b"a", parent, 0)
