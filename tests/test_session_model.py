"""The session against a model: whatever two ends do, in whatever order, everything arrives once, whole and in order.

The model of a direction is the list of what was sent.  A message that was not cancelled arrives in the place that its
last record had on the wire; small messages among themselves arrive as they were sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netstructer.codec.blob import Blob
from netstructer.errors import LinkClosed
from netstructer.limits import Limits
from netstructer.protocol.events import Ended
from netstructer.protocol.outgoing import Batch, Outgoing
from netstructer.protocol.states import Flag, State
from pair import End, Pair, send

LIMITS = Limits(
    value_bytes=1 << 17,
    message_bytes=1 << 20,
    body_bytes=1024,
    credit_bytes=64 << 10,
    streams=4,
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


@dataclass
class Direction:
    """What one end has sent, and what the other has read."""

    sent: list[Sent] = field(default_factory=list)
    read: list[object] = field(default_factory=list)
    unheard: bool = False
    """The reader has said farewell: what arrives from then on is dropped."""

    def expected(self) -> list[object]:
        arrived = [sent for sent in self.sent if sent.carrier.done and sent.carrier.error is None]
        return [sent.value for sent in sorted(arrived, key=lambda sent: (sent.carrier.last_number, sent.place))]


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
        return self._end(who).session._outflow.farewell is None

    def _send(
        self, who: int, value: object, plain: object = None, *, small: bool = False, compress: bool = True
    ) -> None:
        flags = (0, int(Flag.ACKNOWLEDGE), int(Flag.TAKEN))[self.count % 3]
        self.count += 1
        plain = value if plain is None else plain
        if not self._may_send(who):
            with pytest.raises(LinkClosed):
                send(self._end(who).session, value)
            return
        outgoing = send(self._end(who).session, value, compress=compress, flags=flags)
        self.directions[who].sent.append(Sent(plain, outgoing, small=small))

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
        outgoing.sealed, outgoing.last_number = True, sealed[1]
        self.directions[who].sent.append(Sent(value, outgoing, small=True))

    @rule(who=WHO, size=st.integers(1000, 100_000), compress=st.booleans())
    def send_large(self, who: int, size: int, compress: bool) -> None:
        self._send(who, f"{self.count} ".encode().ljust(size, bytes([self.count % 256])), compress=compress)

    @rule(who=WHO, sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=6), known=st.booleans())
    def send_blobs(self, who: int, sizes: list[int], known: bool) -> None:
        contents = [bytes([place]) * size for place, size in enumerate(sizes)]
        blobs = [Blob(content) if known else Blob.from_iter(_twice(content)) for content in contents]
        self._send(who, [self.count, *blobs], [self.count, *contents], compress=False)

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

    @rule(who=WHO, room=st.sampled_from([1, 1000, 5000, 100_000]))
    def seal(self, who: int, room: int) -> None:
        self.pair.seal(self._end(who), room)

    @rule(who=WHO, count=st.sampled_from([1, 3, 50, 1100, 10_000, 1 << 20]))
    def carry(self, who: int, count: int) -> None:
        self.pair.carry(self._end(who), count)

    @rule(who=WHO, count=st.integers(1, 50))
    def read(self, who: int, count: int) -> None:
        end = self._end(who)
        rest, end.inbox = end.inbox[count:], end.inbox[:count]
        self.directions[1 - who].read += [_plain(value) for value in end.read()]
        end.inbox = rest

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
        self._end(who).session.say_farewell()
        self.directions[1 - who].unheard = True

    @invariant()
    def nothing_is_wrong(self) -> None:
        for who, end in enumerate(self.pair.ends):
            direction = self.directions[who]
            assert end.session.error is None
            assert end.state is not State.FAILED
            assert direction.read == direction.expected()[: len(direction.read)]

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        for _ in range(3):
            self.pair.exchange()
            for who in (0, 1):
                self.directions[1 - who].read += [_plain(value) for value in self.pair.values[who]]
        for who, direction in enumerate(self.directions):
            expected = direction.expected()
            assert direction.read == (expected[: len(direction.read)] if direction.unheard else expected)
            assert all(sent.carrier.done for sent in direction.sent)
            self._check_order(direction)
            held = self._end(who).session._inflow._assembly
            assert (len(held), held._held) == (0, 0)
        for end in self.pair.ends:
            end.session.say_farewell()
        self.pair.pump()
        for end in self.pair.ends:
            assert end.state is State.CLOSED
            assert end.of(Ended) == [Ended(error=None)]

    def _check_order(self, direction: Direction) -> None:
        small = [sent.value for sent in direction.sent if sent.small and sent.carrier.error is None]
        read = [value for value in direction.read if value in small]
        assert read == (small[: len(read)] if direction.unheard else small)


def _twice(content: bytes) -> Iterator[bytes]:
    half = len(content) // 2
    yield content[:half]
    yield content[half:]


def _plain(value: object) -> object:
    return [bytes(item) if isinstance(item, Blob) else item for item in value] if isinstance(value, list) else value


SUITE = settings(max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(SUITE, max_examples=3000, stateful_step_count=120)

TestConversation = Conversation.TestCase
TestConversation.settings = SUITE


@pytest.mark.long
def test_many_conversations() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Conversation, settings=LONG)
