"""Sessions under cuts, against a model: whatever is cut, wherever, everything arrives once, whole and in order.

The conversation of `test_session_model.py`, whose model is the list of what was sent, with a transport that ends at any
byte of either direction, noticed by both ends, by one, or late; and with bytes of former transports that come to the
server long after it has gone on on another one.  Two drivers: Hypothesis, which finds small cases, and a plain loop by
a seed, which goes far.

`sabotage.py` takes each safeguard away, and the loop must notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from netstructer.errors import LinkClosed, NetstructerError, SessionLost
from netstructer.limits import Limits
from netstructer.protocol import kept
from netstructer.protocol.events import Resumed, Suspended
from roaming import RoamingPair
from sabotage import CONTROLS, SABOTAGES, sabotaged
from test_session_model import LONG, SUITE, Conversation, Direction

LIMITS = Limits(
    value_bytes=1 << 17,
    message_bytes=1 << 23,
    body_bytes=1024,
    credit_bytes=64 << 10,
    streams=4,
    spool_memory_bytes=128 << 10,
    dead_seconds=86_400.0,
    resume_seconds=86_400.0,
    backlog_bytes=256 << 10,
)
KEPT_MEMORY_BYTES = 32 << 10
"""So little is kept in memory here that the spool is used all the time."""


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """Keep what is to be sent again in spools."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "KEPT_MEMORY_BYTES", KEPT_MEMORY_BYTES)
        yield


class Roaming(Conversation):
    """A conversation whose transport breaks."""

    pair: RoamingPair

    @initialize(padding=st.sampled_from([None, None, "bucket", "full"]), features=st.sampled_from([7, 6]))
    def begin(self, padding: str | None, features: int) -> None:
        self.pair = RoamingPair(limits=LIMITS, padding=padding, features=features)
        self.directions = (Direction(), Direction())
        self.count = 0

    @rule(
        up=st.integers(0, 3000), down=st.integers(0, 3000), who=st.sampled_from(["both", "client", "server", "nobody"])
    )
    def cut(self, up: int, down: int, who: str) -> None:
        self.pair.cut(up, down, client=who in ("both", "client"), server=who in ("both", "server"))

    @rule()
    def notice_at_client(self) -> None:
        if self.pair.client_line is not self.pair.server_line:
            self.pair.notice_at_client()

    @rule()
    def notice_at_server(self) -> None:
        if self.pair.client_line is not self.pair.server_line:
            self.pair.notice_at_server()

    @rule(count=st.sampled_from([0, 50, 169, 173, 174, 400, 10_000]), back=st.sampled_from([0, 100, 157, 158, 2000]))
    def redial(self, count: int, back: int) -> None:
        """Begin on a new transport, as far as a few bytes go: OPEN has 173 on the wire, ACCEPT as many."""
        if self.pair.redial():
            self.pair.seal(self.pair.client)
            self.pair.carry(self.pair.client, count)
            self.pair.seal(self.pair.server)
            self.pair.carry(self.pair.server, back)

    @rule(pick=st.integers(0, 9), count=st.sampled_from([1, 100, 1100, 10_000, 1 << 20]))
    def late(self, pick: int, count: int) -> None:
        self.pair.late(pick, count)

    @rule(seconds=st.floats(0.01, 30.0))
    def wait(self, seconds: float) -> None:
        self.pair.now += seconds
        self.pair.tick()

    @invariant()
    def nothing_is_wrong(self) -> None:
        if any(isinstance(end.session.error, SessionLost) for end in self.pair.ends):
            assert self.pair.over  # it was closed properly at the other end
        else:
            super().nothing_is_wrong()
        for end in self.pair.ends:
            assert end.session.outflow.kept.held_bytes <= LIMITS.backlog_bytes + LIMITS.body_bytes

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        self.settle()

    def settle(self) -> None:
        """Bring everything over, and hold it against the model; nothing may be kept then."""
        self.pair.mend()
        if self.pair.over:
            self._hear_the_rest()
            return
        super().teardown()
        for end in self.pair.ends:
            held = end.session.outflow.kept
            assert (len(held), held.held_bytes, held._memory_bytes, held._spool) == (0, 0, 0, None)
            assert not end.of(Suspended)
            assert not end.of(Resumed)

    def _hear_the_rest(self) -> None:
        """One end has closed: both farewells were said, and it has and gave all."""
        for who, direction in enumerate(self.directions):
            self.read(1 - who, len(self.pair.ends[1 - who].inbox))
            expected = direction.expected()
            assert direction.read == (expected[: len(direction.read)] if direction.unheard else expected)
            direction.readings.clear()


TestRoaming = Roaming.TestCase
TestRoaming.settings = settings(SUITE, max_examples=40)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_conversations_under_cuts() -> None:
    run_state_machine_as_test(Roaming, settings=LONG)


# --- the plain loop ---------------------------------------------------------------------------------------------------


class Loop:
    """The same moves, by a seed: many more of them in a row, with cuts as frequent as `cut_share` says."""

    def __init__(self, seed: int, *, cut_share: float = 0.06) -> None:
        self.chance = Random(seed)
        self.machine = Roaming()
        self.machine.begin(self.chance.choice([None, None, None, "bucket"]), self.chance.choice([7, 7, 6]))
        self._cut_share = cut_share

    def run(self, steps: int) -> None:
        """Make so many moves and settle.  Raises what the model has against it."""
        for _ in range(steps):
            self.step()
            self.machine.nothing_is_wrong()
        self.machine.settle()

    def step(self) -> None:
        chance, machine, pair = self.chance, self.machine, self.machine.pair
        who, other = chance.sample((0, 1), 2)
        found = chance.random()
        if found < self._cut_share:
            for end in pair.ends:  # so that there is something to lose
                pair.seal(end, chance.choice((1, 3000, 1 << 20)))
            machine.cut(
                chance.choice((0, 1, chance.randrange(3000), 1 << 20)),
                chance.choice((0, 1, chance.randrange(3000), 1 << 20)),
                chance.choice(("both", "client", "client", "server", "nobody")),
            )
        elif found < 3 * self._cut_share:
            machine.notice_at_client()
            machine.redial(chance.choice((0, 100, 173, 174, 10_000)), chance.choice((0, 100, 157, 158, 0, 0)))
            if chance.random() < 0.5:
                machine.late(-1, 1 << 20)
        elif found < 3.5 * self._cut_share:
            machine.late(chance.randrange(9), chance.choice((1, 500, 1 << 20)))
        elif found < 4 * self._cut_share:
            chance.choice((machine.notice_at_server, machine.notice_at_client))()
        elif found < 0.55:
            pair.seal(pair.ends[who], chance.choice((1000, 10_000, 1 << 20)))
            pair.carry(pair.ends[who], chance.choice((1, 100, 5000, 1 << 20)))
        elif found < 0.75:
            machine.send_small(who, chance.randrange(1, 20))
        elif found < 0.78:
            machine.send_small_at_once(who)
        elif found < 0.81:
            machine.send_batch(who, chance.randrange(1, 30))
        elif found < 0.83:
            machine.send_large(who, chance.randrange(1000, 60_000), chance.random() < 0.5)
        elif found < 0.85:
            sizes = [chance.randrange(9000) for _ in range(chance.randrange(1, 4))]
            machine.send_blobs(who, sizes, chance.choice(("known", "unknown", "failing")), chance.random() < 0.5)
        elif found < 0.86:
            machine.cancel(who, chance.randrange(1000))
        elif found < 0.87:
            machine.drop_blob(who, chance.randrange(1000))
        elif found < 0.88:
            machine.ping(who)
        elif found < 0.90:
            machine.wait(chance.random() * 10)
        else:
            machine.read(other, 50)
            machine.read_blob(other, chance.randrange(1000), 100)


def faults_under(*sabotages: str, seeds: int = 6, steps: int = 300) -> int:
    """Return in how many of so many runs the model finds something, the safeguards named being taken away."""
    found = 0
    with sabotaged(*sabotages):
        for seed in range(seeds):
            loop = Loop(seed, cut_share=0.1)
            try:
                loop.run(steps)
            except (AssertionError, LookupError, ValueError, NetstructerError):  # the model itself trips over a double
                found += 1
            finally:
                for end in loop.machine.pair.ends:
                    end.session.fail(LinkClosed("the run is over"))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_long_run_under_cuts_loses_doubles_and_reorders_nothing(seed: int) -> None:
    loop = Loop(seed)
    loop.run(600)

    pair = loop.machine.pair
    assert pair.cuts > 5
    assert pair.resumes > 5


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_long_runs_under_cuts() -> None:
    cuts = resumes = 0
    for seed in range(100, 600):
        loop = Loop(seed, cut_share=(0.02, 0.06, 0.12)[seed % 3])
        loop.run(1500)
        cuts += loop.machine.pair.cuts
        resumes += loop.machine.pair.resumes

    assert cuts > 20_000
    assert resumes > 20_000


@pytest.mark.parametrize("names", SABOTAGES, ids="+".join)
def test_each_sabotage_is_found(names: tuple[str, ...]) -> None:
    assert faults_under(*names) >= 3


@pytest.mark.parametrize("names", CONTROLS, ids="+".join)
def test_what_is_no_fault_is_not_found(names: tuple[str, ...]) -> None:
    assert faults_under(*names) == 0
