"""The keeper: what nobody waits in is served all the same, and nothing stops the thread that serves it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, linked
from netstructer import Limits, Link, Server
from netstructer.codec.frames import LENGTH_BYTES, READ_AHEAD_BYTES
from netstructer.codec.tokens import sealed_bytes
from netstructer.errors import LinkTimeout, Stalled
from netstructer.keeper import Keeper, Standing, current_keeper
from netstructer.pump import Pump


class FakePump:
    """One end of a socket pair that the keeper looks after; `other` is the far end."""

    def __init__(self) -> None:
        self.transport, self.other = socket.socketpair()
        self.transport.setblocking(False)
        self.standing = Standing.LOOSE
        self.uses = 0
        self.ended = False
        self.reading = False
        self.wants_to_write = False
        self.busy = False
        self.fault: Exception | None = None
        self.due_at: float | None = None
        self.received = b""
        self.attended = self.rested = 0

    def attend(self, *, read: bool) -> bool:
        self.attended += 1
        if self.fault is not None:
            self.transport.recv(1)
            raise self.fault
        if self.busy:
            return False
        self.due_at = None
        if read:
            self.received += self.transport.recv(100)
        self.wants_to_write = False
        return True

    def rest(self) -> None:
        self.rested += 1

    def due(self) -> float | None:
        return self.due_at

    def disown(self) -> None:
        self.transport.close()

    def close(self) -> None:
        self.ended = True
        self.transport.close()
        self.other.close()


@pytest.fixture
def keeper() -> Keeper:
    """Return this process's keeper: there is one, and its thread never ends."""
    return current_keeper()


@pytest.fixture
def pump(keeper: Keeper) -> Iterator[FakePump]:
    made = FakePump()
    keeper.add(made)
    yield made
    keeper.forget(made)
    made.close()


def test_there_is_one_keeper_for_a_process() -> None:
    found = [task.result() for task in [Task(current_keeper) for _ in range(8)]]

    assert set(found) == {current_keeper()}
    assert [thread.name for thread in threading.enumerate()].count("netstructer-keeper") == 1


def test_a_link_that_nobody_uses_is_watched_and_read(pump: FakePump) -> None:
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.other.send(b"hello")
    eventually(lambda: pump.received == b"hello")

    assert pump.rested


def test_a_link_in_use_is_left_loose(pump: FakePump) -> None:
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        pump.uses += 1
        time.sleep(0.005)

        assert pump.standing is Standing.LOOSE

    eventually(lambda: pump.standing is Standing.WATCHED)


def test_a_link_somebody_waits_in_is_attended_and_taken_over_when_he_leaves(keeper: Keeper, pump: FakePump) -> None:
    pump.reading = True
    eventually(lambda: pump.standing is Standing.ATTENDED)
    pump.other.send(b"for the caller")
    time.sleep(0.12)
    before = pump.received
    pump.reading = False
    pump.uses += 1
    keeper.loosen(pump)
    eventually(lambda: pump.standing is Standing.WATCHED)
    eventually(lambda: pump.received == b"for the caller")

    assert before == b""


def test_a_caller_takes_a_watched_link_back(keeper: Keeper, pump: FakePump) -> None:
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.reading = True
    keeper.release(pump)
    pump.other.send(b"for the caller")
    eventually(lambda: pump.standing is Standing.ATTENDED)

    assert pump.received == b""


def test_time_is_kept_on_watched_links_and_left_to_whoever_attends(keeper: Keeper, pump: FakePump) -> None:
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.due_at = time.monotonic() + 0.3
    keeper.loosen(pump)
    eventually(lambda: pump.due_at is None)
    pump.due_at = time.monotonic() + 0.3
    keeper.loosen(pump)
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.reading = True
    keeper.release(pump)
    eventually(lambda: pump.standing is Standing.ATTENDED)
    before = pump.attended
    time.sleep(0.7)

    assert pump.attended == before


def test_what_waits_for_room_is_written_and_then_no_longer_watched(keeper: Keeper, pump: FakePump) -> None:
    pump.wants_to_write = True
    keeper.watch_writes(pump)
    eventually(lambda: not pump.wants_to_write)
    eventually(lambda: pump.standing is Standing.WATCHED)
    time.sleep(0.1)
    before = pump.attended
    time.sleep(0.1)

    assert pump.attended == before


def test_a_caller_who_takes_the_turn_leaves_the_writing_to_the_keeper(keeper: Keeper, pump: FakePump) -> None:
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.busy = pump.wants_to_write = True
    keeper.watch_writes(pump)
    pump.reading = True
    keeper.release(pump)
    pump.reading = pump.busy = False
    eventually(lambda: not pump.wants_to_write)


def test_what_was_left_unwritten_is_found_when_a_link_is_taken_over(keeper: Keeper, pump: FakePump) -> None:
    pump.wants_to_write = True
    eventually(lambda: not pump.wants_to_write)


def test_a_link_that_is_busy_is_tried_again(pump: FakePump) -> None:
    eventually(lambda: pump.standing is Standing.WATCHED)
    pump.busy = True
    pump.other.send(b"late")
    eventually(lambda: pump.attended > 3)
    pump.busy = False
    eventually(lambda: pump.received == b"late")


def test_many_nudges_are_attended_to_together(keeper: Keeper, pump: FakePump) -> None:
    """A thousand blobs dropped while a caller holds the link are one thing to do."""
    other = FakePump()
    pump.busy = other.busy = True
    for _ in range(1000):
        keeper.nudge(pump)
        keeper.nudge(other)
    eventually(lambda: pump.attended > 3 and other.attended > 3)
    assert len(keeper._nudged) <= 2
    pump.busy = other.busy = False
    eventually(lambda: not keeper._nudged)
    attended = pump.attended
    keeper.nudge(pump)
    eventually(lambda: pump.attended > attended)
    other.close()


def test_a_fault_in_one_link_does_not_stop_the_service_of_the_others(
    keeper: Keeper, pump: FakePump, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = FakePump()
    faulty.fault = RuntimeError("canary-text")
    keeper.add(faulty)
    eventually(lambda: faulty.standing is Standing.WATCHED)
    faulty.other.send(b"x")
    eventually(lambda: faulty.attended)
    pump.other.send(b"still here")
    eventually(lambda: pump.received == b"still here")
    keeper.forget(faulty)
    faulty.close()

    assert "RuntimeError" in caplog.text
    assert "canary-text" not in caplog.text


def test_a_link_that_was_forgotten_is_not_taken_up_again(keeper: Keeper) -> None:
    pump = FakePump()
    keeper.add(pump)
    keeper.forget(pump)
    keeper.loosen(pump)
    keeper.release(pump)
    keeper.watch_writes(pump)
    time.sleep(0.12)

    assert pump.attended == 0
    assert pump not in keeper._loose
    assert pump not in keeper._watched
    pump.close()


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.05, 0.12])
def test_the_keeper_wakes_for_a_new_link_after_the_last_one_ended_under_its_hands(delay: float) -> None:
    short = Limits(ping_seconds=0.1, dead_seconds=0.5)
    with linked() as (near, far):
        time.sleep(0.06 + delay)
        far.abort()
        eventually(lambda: near.closed, "the keeper sees the end of the link")
    with linked(limits=short) as (near, far):
        time.sleep(0.7)

        assert not near.closed
        assert not far.closed
        assert near.stats.rtt_seconds is not None


def test_an_idle_link_is_kept_alive_whatever_the_threads_of_the_process_do() -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    with linked(limits=Limits(ping_seconds=0.1, dead_seconds=2.0)) as (near, far):
        spinning = Task(spin)
        blocked = Task(stop.wait)
        eventually(lambda: near.stats.rtt_seconds is not None and far.stats.rtt_seconds is not None)
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            sum(range(1000))
        stop.set()
        spinning.result()
        blocked.result()
        near.send("alive")

        assert far.recv(timeout=PATIENCE_SECONDS) == "alive"


def test_standings_change_hands_thousands_of_times_and_nothing_is_lost() -> None:
    """Callers come and go around the keeper's round, so that every transition of standings happens at every moment."""
    with linked() as (near, far):

        def talk() -> None:
            for number in range(60):
                far.send(number)
                time.sleep(number % 7 * 0.01)

        talking = Task(talk)
        found = []
        while len(found) < 60:
            try:
                found.append(near.recv(timeout=0.001 * (len(found) % 60)))
            except LinkTimeout:
                time.sleep(0.001 * (len(found) % 11) * 6)
        talking.result()

        assert found == list(range(60))


def test_a_peer_that_falls_silent_is_found_dead_though_a_sender_waits_for_room() -> None:
    """A full socket and a silent peer: the sender that waits in it keeps the time itself."""
    limits = Limits(ping_seconds=0.1, dead_seconds=0.6)
    with Server(key=KEY) as server, Relay(server.address) as relay:
        link = Link(relay.address, key=KEY, limits=limits, resume=False)
        relay.held.set()
        sending = Task(link.send, bytes(40 << 20), compress=False)

        assert isinstance(sending.error(), Stalled)
        assert link.closed
        relay.held.clear()


class Greedy(FakePump):
    """Always has more to be read; at its hundredth turn somebody else has something, too."""

    def __init__(self, other: FakePump) -> None:
        super().__init__()
        self._victim = other

    def attend(self, *, read: bool) -> bool:
        self.attended += 1
        if self.attended == 100:
            self._victim.other.send(b"me, too")
        return True


class Patient(FakePump):
    """Notes how many turns a greedy one has had when its own comes."""

    greedy: FakePump
    found: int | None = None

    def attend(self, *, read: bool) -> bool:
        if read and self.found is None:
            self.found = self.greedy.attended
        return super().attend(read=read)


def test_a_greedy_link_has_one_turn_while_another_waits_for_its_own(keeper: Keeper) -> None:
    patient = Patient()
    greedy = patient.greedy = Greedy(patient)
    keeper.add(patient)
    eventually(lambda: patient.standing is Standing.WATCHED)
    keeper.add(greedy)
    greedy.other.send(b"more")
    eventually(lambda: patient.found is not None)
    for pump in (patient, greedy):
        keeper.forget(pump)
        pump.close()

    assert patient.found is not None
    assert 100 <= patient.found <= 101


def test_a_turn_reads_no_more_than_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    attend = Pump.attend

    def counted(pump: Pump, *, read: bool) -> bool:
        before = pump.session.traffic.wire_received
        done = attend(pump, read=read)
        turns.append(pump.session.traffic.wire_received - before)
        return done

    with linked() as (near, far):
        eventually(lambda: far._exchange._pump.standing is Standing.WATCHED)
        monkeypatch.setattr(Pump, "attend", counted)
        near.send(bytes(6 << 20), compress=False)
        eventually(lambda: far._exchange._pump.session.traffic.wire_received > 6 << 20)

    assert sum(turns) > 6 << 20
    assert max(turns) <= max(READ_AHEAD_BYTES, sealed_bytes(16 + near.peer_limits.body_bytes) + 2 * LENGTH_BYTES)


def test_silent_links_are_not_looked_at(keeper: Keeper) -> None:
    """Not until they are due: their clocks are asked for when they are taken over, and then no more."""
    pumps = [FakePump() for _ in range(100)]
    asked: list[FakePump] = []
    for pump in pumps:
        pump.due_at = time.monotonic() + 1000
        keeper.add(pump)
    eventually(lambda: all(pump.standing is Standing.WATCHED for pump in pumps))
    for pump in pumps:
        pump.due = lambda pump=pump: asked.append(pump)  # type: ignore[method-assign,misc]
    time.sleep(0.7)
    found = len(asked)
    for pump in pumps:
        keeper.forget(pump)
        pump.close()

    assert found == 0


def test_a_clock_that_jumps_ten_years_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends are in this process, so both see the jumps; pings, deadlines and acknowledgements go on."""
    years = 10 * 365 * 86_400
    wall, jumps = time.time, [0]
    monkeypatch.setattr(time, "time", lambda: wall() + jumps[-1])
    with linked(limits=Limits(ping_seconds=0.1, dead_seconds=1.0)) as (near, far):
        for jump in (years, -years, 0):
            jumps.append(jump)
            before = time.monotonic()
            near.send(["before", jump], wait="acked", timeout=PATIENCE_SECONDS)
            assert far.recv(timeout=PATIENCE_SECONDS) == ["before", jump]
            far.send("answer")
            assert near.recv(timeout=PATIENCE_SECONDS) == "answer"
            with pytest.raises(LinkTimeout):
                near.recv(timeout=0.3)  # Three pings' time, and the clock is another one in each.
            assert before + 0.3 <= time.monotonic()
            assert near.ping(timeout=PATIENCE_SECONDS) < PATIENCE_SECONDS
            assert not near.closed
            assert not far.closed
