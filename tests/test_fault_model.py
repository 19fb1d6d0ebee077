"""Sessions under faults of the wire, against a model: what is changed under way is never taken for what was said.

The conversations of `test_session_model.py` and `test_resume_model.py`, whose model is the list of what was sent.  Now
and then what is under way is changed: bits flip, bytes and records are dropped, doubled, put in or exchanged, records
said before, by the other end or by another session come again.  From the first record on that is not as it was said
nothing may be handed over, by no split of what follows, and the end either says so or waits for more.  Then:

- a session that cannot go on is over: what was read is a beginning of what was sent, and nothing comes later;
- one that can go on on another transport does, and in the end everything has arrived once, whole and in order.

Two drivers, as there: Hypothesis, and a loop by seeds.  `WEAKENED` takes each safeguard away, and the loop must notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from integrity import error_of, long_wire
from netstructer.errors import BadFrame, BadSeal, LinkClosed, NetstructerError
from netstructer.protocol import kept
from netstructer.protocol.session import Session
from netstructer.protocol.states import DEAF_STATES, Role, State
from pair import End, messages_in, tokens_of
from roaming import RoamingPair
from test_integrity import SEALS, SEQUENCE
from test_resume_model import KEPT_MEMORY_BYTES, Loop, Roaming
from test_session_model import LONG, SUITE, WHO, Conversation

Patch = tuple[Any, str, Callable[..., Any]]


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """Keep what is to be sent again in spools."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "KEPT_MEMORY_BYTES", KEPT_MEMORY_BYTES)
        yield


# --- what happens to bytes under way ----------------------------------------------------------------------------------


class UnderWay:
    """Bytes on their way to a session, and where frames begin in them."""

    def __init__(self, receiver: Session, wire: bytearray, strangers: list[bytes]) -> None:
        self.data, self.strangers = bytes(wire), strangers
        frames = receiver.frames
        held = bytes(frames._view[frames._start : frames._end])
        whole, at = held + self.data, 0
        self.begins: list[int] = []
        while at + 4 <= len(whole):
            if at >= len(held):
                self.begins.append(at - len(held))
            at += 4 + int.from_bytes(whole[at : at + 4], "big")
        self.end = at - len(held) if len(held) <= at <= len(whole) else None
        """Where the last whole frame ends, where nothing stands behind it."""

    def changed(self, name: str, chance: Random) -> bytes:
        """Return the bytes after a fault."""
        return FAULTS[name](self, chance)

    def intact(self, changed: bytes) -> int:
        """Return how much of it is whole frames that are as they were said; a frame that has begun to come is one."""
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.data, changed, strict=False)))
        marks = [*self.begins, *([] if self.end is None else [self.end])]
        return max((mark for mark in marks if mark <= common), default=0)

    def span(self, chance: Random) -> tuple[int, int]:
        start = chance.randrange(len(self.data))
        return start, min(len(self.data), start + chance.choice((1, 2, 16, 16, chance.randrange(1, 300))))

    def record(self, chance: Random) -> tuple[int, int] | None:
        """Return where one of the whole records lies."""
        marks = [*self.begins, *([] if self.end is None else [self.end])]
        pick = chance.randrange(len(marks) - 1) if len(marks) > 1 else None
        return None if pick is None else (marks[pick], marks[pick + 1])


def _flip(way: UnderWay, chance: Random) -> bytes:
    place = chance.randrange(len(way.data))
    return way.data[:place] + bytes([way.data[place] ^ 1 << chance.randrange(8)]) + way.data[place + 1 :]


def _drop(way: UnderWay, chance: Random) -> bytes:
    start, end = way.span(chance)
    return way.data[:start] + way.data[end:]


def _double(way: UnderWay, chance: Random) -> bytes:
    start, end = way.span(chance)
    return way.data[:end] + way.data[start:]


def _put_in(way: UnderWay, chance: Random) -> bytes:
    start, end = way.span(chance)
    return way.data[:start] + chance.randbytes(end - start) + way.data[start:]


def _drop_record(way: UnderWay, chance: Random) -> bytes:
    start, end = way.record(chance) or (0, 0)
    return way.data[:start] + way.data[end:]


def _double_record(way: UnderWay, chance: Random) -> bytes:
    start, end = way.record(chance) or (0, 0)
    return way.data[:end] + way.data[start:]


def _exchange_records(way: UnderWay, chance: Random) -> bytes:
    first, second = sorted((way.record(chance) or (0, 0), way.record(chance) or (0, 0)))
    if first == second:
        return way.data
    between = way.data[first[1] : second[0]]
    return way.data[: first[0]] + way.data[slice(*second)] + between + way.data[slice(*first)] + way.data[second[1] :]


def _splice(way: UnderWay, chance: Random) -> bytes:
    start, end = way.record(chance) or (0, 0)
    stranger = chance.choice(way.strangers)
    return way.data[:start] + stranger + way.data[chance.choice((start, end)) :]


FAULTS: dict[str, Callable[[UnderWay, Random], bytes]] = {
    "a bit flips": _flip,
    "bytes are dropped": _drop,
    "bytes come twice": _double,
    "bytes are put in": _put_in,
    "a record is dropped": _drop_record,
    "a record comes twice": _double_record,
    "records change places": _exchange_records,
    "a record from elsewhere": _splice,
}
WHICH = st.sampled_from(sorted(FAULTS))
SEEDS = st.integers(0, 1 << 16)
ELSEWHERE = [frame for role in Role for frame in long_wire(role).frames[::9]]
"""Records of another session, of either direction."""


def spoil(machine: Conversation, sender: End, receiver: Session, name: str, chance: Random) -> NetstructerError | None:
    """Change what is under way from one end, carry it over in any pieces, and hold what comes of it against the law.

    Return what the receiver says is wrong, or that its transport ended; None where nothing was changed.
    """
    pair = machine.pair
    heard = [*tokens_of(bytes(sender.said))[-20:], *tokens_of(bytes(pair.other(sender).said))[-20:]]
    strangers = [*(len(token).to_bytes(4, "big") + token for token in heard), *ELSEWHERE]
    way = UnderWay(receiver, sender.wire, strangers)
    changed = way.changed(name, chance)
    intact = way.intact(changed)
    if changed == way.data:
        return None
    pair.carry(sender, intact)
    if receiver.state in DEAF_STATES - {State.CLAIMED}:
        return None
    spoilt, true = changed[intact:], bytes(sender.wire)
    sender.wire.clear()
    if receiver.state is State.CLAIMED:  # the OPEN has come, and the rest is for the session that it wants
        receiver = pair.server.session
    frames, held = receiver.frames, receiver.frames.held_bytes
    blobs = [(arrival.spool, arrival.spool.byte_count) for arrival in receiver.arrivals._live]
    events = []
    at = 0
    while at < len(spoilt):
        count = chance.choice((1, 7, 100, 1 << 20))
        events += receiver.receive_data(spoilt[at : at + count], pair.now)
        at += count
    error = error_of(events)
    assert messages_in(events) == [], name
    assert all(spool.byte_count == count for spool, count in blobs), name
    blobs.clear()  # the error has a traceback, and with it this frame: it must not hold what has come
    if error is None:
        assert events == [], name
        assert frames.held_bytes == held + len(spoilt), name
        events = receiver.end(pair.now)
        error = error_of(events)
    else:
        assert isinstance(error, (BadSeal, BadFrame)), (name, error)
    assert receiver.state in DEAF_STATES, name
    frames.feed(true)
    assert receiver.receive(pair.now) == [], name
    (pair.server if sender is pair.client else pair.client).events += events
    return error


# --- the machines -----------------------------------------------------------------------------------------------------


class Broken(Conversation):
    """A conversation that the first fault ends; then there is another one."""

    faults: Counter[str]

    @initialize(padding=st.sampled_from([None, None, "bucket", "full"]), features=st.sampled_from([5, 4]))
    def begin(self, padding: str | None, features: int) -> None:
        super().begin(padding, features)

    @rule(who=WHO, name=WHICH, seed=SEEDS)
    def fault(self, who: int, name: str, seed: int) -> None:
        self.faults = getattr(self, "faults", Counter())
        sender, receiver = self.pair.ends[who], self.pair.ends[1 - who].session
        self.pair.seal(sender)
        if not sender.wire or receiver.state in DEAF_STATES:
            return
        error = spoil(self, sender, receiver, name, Random(seed))
        if error is None:
            return
        assert receiver.error is error
        self.faults[name] += 1
        self._is_over(error)
        self.begin(None, 5)

    def _is_over(self, error: NetstructerError) -> None:
        """Let both ends take out what had come, and hold it against what was sent."""
        for end in self.pair.ends:
            end.session.end(self.pair.now)
        for who, direction in enumerate(self.directions):
            self.read(1 - who, len(self.pair.ends[1 - who].inbox))
            assert direction.read == direction.expected()[: len(direction.read)]
            for reading in direction.readings:
                reading.take(1 << 30)
                reading.check()
                assert reading.ended or reading.dropped or reading.error is not None
            direction.readings.clear()


class Healing(Roaming):
    """A conversation in which a fault ends the transport, and there is another one."""

    pair: RoamingPair
    faults: Counter[str]

    @rule(who=WHO, name=WHICH, seed=SEEDS, both=st.booleans())
    def fault(self, who: int, name: str, seed: int, both: bool) -> None:
        self.faults = getattr(self, "faults", Counter())
        pair, line = self.pair, self.pair.client_line
        sender, receiver = pair.ends[who], pair.ends[1 - who].session
        fresh = line.fresh if line is not None and sender is pair.client else None
        if line is None or (fresh is None and line is not pair.server_line):
            return
        pair.seal(sender)
        receiver = fresh or receiver
        if not sender.wire or receiver.state in DEAF_STATES:
            return
        self.wait(61.0)  # so many faults in a minute would be no accident any more
        if pair.client_line is not line:
            return
        if spoil(self, sender, receiver, name, Random(seed)) is None:
            return
        self.faults[name] += 1
        if fresh is not None and line.fresh is not None:
            # The server never heard which session was meant, and closes.
            line.fresh, line.closed = None, True
            pair.notice_at_client()
            return
        if sender is pair.client or both:
            pair.notice_at_server()
        if sender is pair.server or both:
            pair.notice_at_client()


TestBroken = Broken.TestCase
TestBroken.settings = settings(SUITE, max_examples=15)
TestHealing = Healing.TestCase
TestHealing.settings = settings(SUITE, max_examples=10)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", [Broken, Healing])
def test_many_conversations_under_faults(machine: type[Conversation]) -> None:
    run_state_machine_as_test(machine, settings=settings(LONG, max_examples=1000))


class FaultLoop(Loop):
    """The moves of the conversations under cuts, with faults among them."""

    machine: Healing

    def __init__(self, seed: int, *, fault_share: float = 0.3) -> None:
        super().__init__(seed, cut_share=0.03)
        self.machine = Healing()
        self.machine.begin(None, 7)
        self._fault_share = fault_share

    def step(self) -> None:
        chance, machine, pair = self.chance, self.machine, self.machine.pair
        if (pair.client_line is None or pair.client_line is not pair.server_line) and chance.random() < 0.4:
            machine.notice_at_client()
            machine.redial(chance.choice((0, 10_000)), chance.choice((0, 10_000)))
        elif chance.random() < self._fault_share:
            who, name = chance.randrange(2), chance.choice(sorted(FAULTS))
            pair.seal(pair.ends[who], 3000)
            machine.send_small(who, 3)
            machine.fault(who, name, chance.randrange(1 << 16), chance.random() < 0.7)
        else:
            super().step()


def test_a_long_run_under_faults_loses_doubles_and_changes_nothing() -> None:
    faults: Counter[str] = Counter()
    for seed in range(2):
        loop = FaultLoop(seed)
        loop.run(300)
        faults += loop.machine.faults

    assert set(faults) == set(FAULTS)
    assert faults.total() > 30


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_long_runs_under_faults() -> None:
    faults: Counter[str] = Counter()
    for seed in range(100, 200):
        loop = FaultLoop(seed)
        loop.run(1500)
        faults += loop.machine.faults

    assert min(faults.values()) > 500


# --- sabotage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [SEALS, SEQUENCE], ids=["seals", "sequence"])
def test_without_a_safeguard_it_is_found(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*patch)
    found = 0
    for seed in range(5):
        loop = FaultLoop(seed)
        try:
            loop.run(300)
        except (AssertionError, LookupError, ValueError, NetstructerError):
            found += 1
        finally:
            for end in loop.machine.pair.ends:
                end.session.fail(LinkClosed("the run is over"))

    assert found >= 4
