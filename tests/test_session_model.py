"""The session against a model: whatever two ends do, in whatever order, everything arrives once, whole and in order.

The model of a direction is the list of what was sent.  A value that was not cancelled before its last record was sealed
arrives in the place that that record had on the wire; small values among themselves arrive as they were sent.  Of a
blob its reader gets the beginning, in order: all of it, or then an error that says why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netstructer.codec.blob import Blob
from netstructer.errors import LinkClosed, LinkTimeout, MessageCancelled, NetstructerError, SourceFailed
from netstructer.limits import Limits
from netstructer.protocol.events import Ended
from netstructer.protocol.outgoing import Batch, Outgoing
from netstructer.protocol.states import CancelCode, Flag, State
from pair import End, Here, Pair, feed, send

LIMITS = Limits(
    value_bytes=1 << 17,
    message_bytes=1 << 23,
    body_bytes=1024,
    credit_bytes=64 << 10,
    streams=4,
    spool_memory_bytes=128 << 10,
    dead_seconds=86_400.0,
)
WHO = st.sampled_from([0, 1])


@dataclass
class Sent:
    """One value on its way, and the message or the batch that carries it."""

    value: object
    carrier: Outgoing | Batch
    place: int = 0
    small: bool = False
    contents: tuple[bytes, ...] = ()
    """What its blobs would bring, all in all."""

    @property
    def number(self) -> int:
        return self.carrier.last_number if isinstance(self.carrier, Batch) else self.carrier.value_number


class SourceBroke(Exception):
    pass


@dataclass
class Reading:
    """A blob that has come with its value, and what its reader has taken out of it."""

    sent: Sent
    content: bytes
    here: Here
    got: bytes = b""
    error: NetstructerError | None = None
    ended: bool = False
    dropped: bool = False

    def __post_init__(self) -> None:
        self.pieces = iter(Blob._of(self.here))

    def take(self, most: int) -> bool:
        """Take out as many pieces as are here, and say whether there were any."""
        before = len(self.got)
        while most > 0 and not (self.ended or self.error or self.dropped):
            most -= 1
            try:
                piece = next(self.pieces, None)
            except LinkTimeout:
                break
            except NetstructerError as error:
                self.error = error.with_traceback(None)  # its frames hold the blob
                break
            self.ended = piece is None
            self.got += piece or b""
        return len(self.got) > before

    def check(self) -> None:
        assert self.content.startswith(self.got)
        assert not self.ended or self.got == self.content


@dataclass
class Direction:
    """What one end has sent, and what the other has read."""

    sent: list[Sent] = field(default_factory=list)
    read: list[object] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    unheard: bool = False
    """The reader has said farewell: what arrives from then on is dropped."""

    def arrived(self) -> list[Sent]:
        return sorted((one for one in self.sent if one.carrier.sealed), key=lambda one: (one.number, one.place))

    def expected(self) -> list[object]:
        return [sent.value for sent in self.arrived()]


class Conversation(RuleBasedStateMachine):
    """Two sessions, two directions, and a wire that carries as many bytes as it likes."""

    @initialize(padding=st.sampled_from([None, None, "bucket", "full"]), features=st.sampled_from([7, 6]))
    def begin(self, padding: str | None, features: int) -> None:
        self.pair = Pair(limits=LIMITS, padding=padding, features=features)
        self.directions = (Direction(), Direction())
        self.count = 0

    def _end(self, who: int) -> End:
        return self.pair.ends[who]

    def _may_send(self, who: int) -> bool:
        return self._end(who).session.outflow.farewell is None

    def _send(
        self,
        who: int,
        value: object,
        plain: object = None,
        *,
        small: bool = False,
        compress: bool = True,
        contents: tuple[bytes, ...] = (),
    ) -> None:
        flags = (0, int(Flag.ACKNOWLEDGE), int(Flag.TAKEN))[self.count % 3]
        self.count += 1
        plain = value if plain is None else plain
        if not self._may_send(who):
            with pytest.raises(LinkClosed):
                send(self._end(who).session, value)
            return
        outgoing = send(self._end(who).session, value, compress=compress, flags=flags)
        self.directions[who].sent.append(Sent(plain, outgoing, small=small, contents=contents))

    @rule(who=WHO, times=st.integers(1, 12))
    def send_small(self, who: int, times: int) -> None:
        for _ in range(times):
            self._send(who, ["small", self.count], small=True)

    @rule(who=WHO)
    def send_small_at_once(self, who: int) -> None:
        session = self._end(who).session
        if not self._may_send(who):
            return
        value = ["at once", self.count]
        self.count += 1
        single = session.payloads.single(session.payloads.encode(value))
        assert single is not None
        sealed = session.seal_now(single, 0, self.pair.now)
        if sealed is None:
            return
        self._end(who).wire += sealed[0]
        outgoing = single.outgoing()
        outgoing.sealed, outgoing.value_number = True, sealed[1]
        self.directions[who].sent.append(Sent(value, outgoing, small=True))

    @rule(who=WHO, size=st.integers(1000, 100_000), compress=st.booleans())
    def send_large(self, who: int, size: int, compress: bool) -> None:
        self._send(who, f"{self.count} ".encode().ljust(size, bytes([self.count % 256])), compress=compress)

    @rule(
        who=WHO,
        sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=6),
        kind=st.sampled_from(["known", "unknown", "failing"]),
        compress=st.booleans(),
    )
    def send_blobs(self, who: int, sizes: list[int], kind: str, compress: bool) -> None:
        contents = tuple(_content(size) for size in sizes)
        blobs = [Blob(content) if kind == "known" else Blob.from_iter(_twice(content)) for content in contents]
        if kind == "failing":
            blobs[-1] = Blob.from_iter(_broken(contents[-1]))
        count = self.count
        self._send(who, [count, *blobs], count, compress=compress, contents=contents)

    @rule(who=WHO, size=st.sampled_from([200_000, 262_144, 300_000, 700_000]), known=st.booleans())
    def send_large_blob(self, who: int, size: int, known: bool) -> None:
        content = _content(size)
        blob = Blob(content) if known else Blob.from_iter(_twice(content))
        self._send(who, [self.count, blob], self.count, compress=False, contents=(content,))

    @rule(who=WHO, rows=st.integers(1, 30))
    def send_batch(self, who: int, rows: int) -> None:
        if not self._may_send(who):
            return
        session, batch, values = self._end(who).session, Batch(), []
        for _ in range(rows):
            encoded = session.payloads.encode({"row": self.count})
            if session.fits(batch, encoded):
                batch.add(encoded)
                values.append({"row": self.count})
                self.count += 1
        session.queue(batch)
        self.directions[who].sent += [Sent(value, batch, place, small=True) for place, value in enumerate(values)]

    @rule(who=WHO, room=st.sampled_from([1, 1000, 5000, 100_000, 1 << 20]), feeding=st.booleans())
    def seal(self, who: int, room: int, feeding: bool) -> None:
        self.pair.seal(self._end(who), room, feeding=feeding)

    @rule(who=WHO, most=st.integers(1, 9))
    def feed(self, who: int, most: int) -> None:
        feed(self._end(who).session, most)

    @rule(who=WHO, count=st.sampled_from([1, 3, 50, 1100, 10_000, 1 << 20]))
    def carry(self, who: int, count: int) -> None:
        self.pair.carry(self._end(who), count)

    @rule(who=WHO, count=st.integers(1, 50))
    def read(self, who: int, count: int) -> None:
        end, direction = self._end(who), self.directions[1 - who]
        for _ in range(min(count, len(end.inbox))):
            message = end.inbox.pop(0)
            end.session.take(message)
            sent = direction.arrived()[len(direction.read)]
            here = [Here(end.session, message, place) for place in range(message.blob_count)]
            value = end.session.payloads.read(message, lambda _, place, here=here: Blob._of(here[place]))
            if sent.contents:
                assert isinstance(value, list)
                value = value[0]
            direction.read.append(value)
            direction.readings += [Reading(sent, *one) for one in zip(sent.contents, here, strict=True)]

    def _readings(self, who: int) -> list[Reading]:
        return self.directions[1 - who].readings

    @rule(who=WHO, pick=st.integers(0, 1000), most=st.sampled_from([1, 3, 1000]))
    def read_blob(self, who: int, pick: int, most: int) -> None:
        if readings := self._readings(who):
            readings[pick % len(readings)].take(most)

    @rule(who=WHO, pick=st.integers(0, 1000))
    def drop_blob(self, who: int, pick: int) -> None:
        if readings := self._readings(who):
            reading = readings[pick % len(readings)]
            reading.dropped = True
            arrivals = self._end(who).session.arrivals
            reading.here.spool.close()
            arrivals.refuse(reading.here.arrival, CancelCode.ABANDONED, LinkClosed("nobody wanted the blob"))

    @rule(who=WHO)
    def forget(self, who: int) -> None:
        """Take what has come and want none of its blobs, as of a value that is none here."""
        end, direction = self._end(who), self.directions[1 - who]
        if end.inbox:
            message = end.inbox.pop(0)
            end.session.take(message)
            end.session.forget(message)
            direction.read.append(direction.arrived()[len(direction.read)].value)

    @rule(who=WHO, pick=st.integers(0, 1000))
    def cancel(self, who: int, pick: int) -> None:
        sent = self.directions[who].sent
        if sent and isinstance(carrier := sent[pick % len(sent)].carrier, Outgoing):
            self._end(who).session.abandon(carrier)

    @rule(who=WHO)
    def ping(self, who: int) -> None:
        self._end(who).session.ping(self.pair.now)

    @rule(seconds=st.floats(0.01, 30.0))
    def wait(self, seconds: float) -> None:
        self.pair.now += seconds
        for end in self.pair.ends:
            assert end.session.tick(self.pair.now) == []

    @precondition(lambda self: self.count > 15)
    @rule(who=WHO)
    def farewell(self, who: int) -> None:
        end = self._end(who)
        for message in end.inbox:
            end.session.take(message)
            end.session.forget(message)
        end.inbox.clear()
        end.session.say_farewell()
        self.directions[1 - who].unheard = True

    @invariant()
    def nothing_is_wrong(self) -> None:
        for who, end in enumerate(self.pair.ends):
            direction = self.directions[who]
            assert end.session.error is None
            assert end.state is not State.FAILED
            assert direction.read == direction.expected()[: len(direction.read)]
            for reading in direction.readings:
                reading.check()

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        busy = True
        while busy:
            self.pair.pump()
            came = [len(end.inbox) for end in self.pair.ends]
            for who in (0, 1):
                self.read(who, came[who])
            taken = [one.take(1 << 30) for direction in self.directions for one in direction.readings]
            busy = any(came) or any(taken)
        for direction in self.directions:
            expected = direction.expected()
            assert direction.read == (expected[: len(direction.read)] if direction.unheard else expected)
            assert all(sent.carrier.done for sent in direction.sent)
            self._check_order(direction)
            self._check_blobs(direction)
            direction.readings.clear()
        for end in self.pair.ends:
            end.events = end.of(Ended)  # what has arrived is held nowhere any more
            session, lanes = end.session, end.session.outflow.lanes
            assert (len(session.inflow.assembly), session.arrivals._live) == (0, set())
            room = session.arrivals.room
            assert (room.promised_bytes, room.memory_bytes, room.disk_bytes) == (0, 0, 0)
            assert (len(lanes), lanes._most, lanes._parents, lanes._blobs) == (0, 4, 4, 3)
            assert (lanes._begun, lanes.waiting_bytes) == ({}, 0)
        for end in self.pair.ends:
            end.session.say_farewell()
        self.pair.pump()
        for end in self.pair.ends:
            assert end.state is State.CLOSED
            assert end.of(Ended) == [Ended(error=None)]

    def _check_blobs(self, direction: Direction) -> None:
        """Every blob that was read to its end is whole, or told why it is not; and that has a reason."""
        for reading in direction.readings:
            reading.check()
            if reading.dropped or reading.ended:
                continue
            error, given_up = reading.error, reading.sent.carrier.error
            assert isinstance(error, (LinkClosed, MessageCancelled, SourceFailed)), error
            assert direction.unheard if isinstance(error, LinkClosed) else given_up is not None, (error, given_up)
            assert isinstance(error, SourceFailed) == isinstance(given_up, SourceBroke) or direction.unheard

    def _check_order(self, direction: Direction) -> None:
        small = [sent.value for sent in direction.sent if sent.small and sent.carrier.sealed]
        read = [value for value in direction.read if value in small]
        assert read == (small[: len(read)] if direction.unheard else small)


def _twice(content: bytes) -> Iterator[bytes]:
    half = len(content) // 2
    yield content[:half]
    yield content[half:]


def _broken(content: bytes) -> Iterator[bytes]:
    yield content
    raise SourceBroke


@cache
def _content(size: int) -> bytes:
    """Return bytes that are nowhere the same: what is lost, doubled or moved is seen."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


SUITE = settings(max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(SUITE, max_examples=3000, stateful_step_count=120)

TestConversation = Conversation.TestCase
TestConversation.settings = SUITE


@pytest.mark.long
def test_many_conversations() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Conversation, settings=LONG)
