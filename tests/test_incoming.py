"""Incoming: what a reader waits for, what it says of how far it is, and what it is told at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from netstructer.codec.blob import Blob
from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import BadValue, LinkTimeout, SourceFailed
from netstructer.incoming import STEP_BYTES, Incoming
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode
from pair import Pair, send

KIB = 1 << 10


@dataclass
class Counter:
    """Stands where an exchange would, without a socket: counts how often it is asked, and waits for nothing."""

    session: Session
    waits: list[tuple[int, bool]] = field(default_factory=list)
    """Position, and whether there was a deadline."""
    told: list[tuple[int, bool]] = field(default_factory=list)
    dropped: list[Arrival] = field(default_factory=list)

    def arrival(self, message: Any, place: int) -> Arrival:
        return self.session.arrival(message, place)

    def await_blob(self, arrival: Arrival, position: int, deadline: float | None) -> None:
        self.waits.append((position, deadline is not None))
        arrival.reading = True
        if not arrival.reaches(position):
            raise LinkTimeout("nothing more is here")

    def consumed(self, arrival: Arrival, position: int, *, keep: bool) -> None:
        self.told.append((position, keep))
        self.session.arrivals.consumed(arrival, position)

    def drop(self, arrival: Arrival) -> None:
        self.dropped.append(arrival)


@dataclass
class Coming:
    """A pair of sessions with a blob on its way, and what reads it."""

    pair: Pair
    outgoing: Any
    counter: Counter
    incoming: Incoming

    def more(self, records: int = 1 << 20) -> None:
        """Let some records come."""
        while records and self.pair.seal(self.pair.client, 1):
            self.pair.carry(self.pair.client)
            records -= 1


def coming(blob: Blob, *, compress: bool = False) -> Coming:
    pair = Pair()
    outgoing = send(pair.client.session, blob, compress=compress)
    pair.seal(pair.client, 1)
    pair.carry(pair.client)
    session = pair.server.session
    [message] = pair.server.inbox
    session.take(message)
    counter = Counter(session)
    return Coming(pair, outgoing, counter, Incoming(counter, message, 0, owner=pair))  # type: ignore[arg-type]


def test_a_reader_asks_the_link_only_where_nothing_more_is_here() -> None:
    it = coming(Blob(bytes(200 * KIB)))
    with pytest.raises(LinkTimeout):
        it.incoming.wait(0, 0.5)
    it.more(2)
    here = it.incoming.spool.byte_count
    assert here > 64 * KIB
    assert all(it.incoming.wait(position, None) for position in (0, 1, here - 1))
    with pytest.raises(LinkTimeout):
        it.incoming.wait(here, None)
    it.more()

    assert [it.incoming.wait(position, None) for position in (here, 200 * KIB)] == [True, False]
    assert it.counter.waits == [(0, True), (here, False)]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_what_is_known_of_a_blob_before_and_after_it_began(compress: bool, known: bool) -> None:
    content = b"compressible " * 10_000
    it = coming(Blob(content) if known else Blob.from_iter(iter([content])), compress=compress)
    assert it.incoming.size is None
    it.incoming.expect(len(content) if known else None)
    assert it.incoming.size == (len(content) if known else None)
    it.more(1)
    assert it.incoming.wait(0, None)
    assert (it.incoming.codec, it.incoming.stated) == (ZSTD if compress else NONE, known)
    it.more()
    while it.incoming.wait(it.incoming.spool.byte_count, None):
        pass

    assert it.incoming.size == len(content)


@pytest.mark.parametrize("said", [0, 4, 6])
@pytest.mark.parametrize("known", [False, True])
def test_a_blob_of_another_size_than_its_value_says_is_none(said: int, known: bool) -> None:
    it = coming(Blob(b"12345") if known else Blob.from_iter(iter([b"12345"])))
    it.incoming.expect(said)
    it.more()
    for _ in range(2):
        with pytest.raises(BadValue, match=f"a Blob of {said} bytes came with 5"):
            it.incoming.wait(0, None)


def test_a_reader_says_how_far_it_is_in_steps() -> None:
    it = coming(Blob(bytes(250 * KIB)))
    it.more(3)
    for position in range(0, 150 * KIB, 10_000):
        it.incoming.consumed(position, keep=position < 100_000)
    said = [position for position, _ in it.counter.told]
    assert [after - before for before, after in zip([0, *said], said, strict=False)] == [70_000, 70_000]
    assert STEP_BYTES <= 70_000
    assert it.counter.told == [(70_000, True), (140_000, False)]
    assert it.incoming.spool.start == 150_000
    it.more()
    it.incoming.consumed(250 * KIB, keep=False)

    assert len(it.counter.told) == 2  # nothing more comes: there is nothing to say
    assert it.incoming.spool.start == 250 * KIB


def test_an_error_comes_after_all_that_came_before_it() -> None:
    def source() -> Any:
        yield bytes(100 * KIB)
        raise OSError("disk gone")

    it = coming(Blob.from_iter(source()))
    it.more()
    here = it.incoming.spool.byte_count
    assert all(it.incoming.wait(position, None) for position in range(0, here, 10_000))
    found = []
    for _ in range(2):
        with pytest.raises(SourceFailed) as caught:
            it.incoming.wait(here, None)
        found.append(caught.value)

    assert found[0] is not found[1]  # each reader has an error of its own
    assert found[0].code == CancelCode.SOURCE_FAILED


def test_what_is_kept_of_a_file_lies_in_the_links_room() -> None:
    it = coming(Blob(b"12345"))
    room = it.counter.session.arrivals.room
    before = room.memory_bytes
    spool = it.incoming.new_spool()
    spool.add(b"plain")
    assert room.memory_bytes == before + 5
    spool.close()

    assert room.memory_bytes == before


def test_what_nobody_holds_is_given_up() -> None:
    it = coming(Blob(b"12345"))
    it.incoming.give_up()

    assert it.counter.dropped == [it.incoming._arrival]
    assert it.incoming.most_bytes == it.counter.session.limits.message_bytes
