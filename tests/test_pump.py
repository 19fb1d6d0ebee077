"""The pump under what tests of methods do not reach: interrupts at any moment, threads that come and go, lost races."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, linked
from netstructer import Limits, Link, Server
from netstructer.errors import ConnectionCut, LinkClosed, LinkLost, LinkTimeout, NetstructerError
from netstructer.fairlock import FairLock

SMALL = Limits(credit_bytes=64 << 10, body_bytes=1024)


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread at some moment of the block."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
@pytest.mark.parametrize("rounds", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_ctrl_c_at_any_moment_leaves_a_link_that_works_or_is_broken_and_never_hangs(rounds: int) -> None:
    chance = random.Random(7)
    body = chance.randbytes(600_000)

    def echo(link: Link) -> None:
        with contextlib.suppress(NetstructerError):
            for value in link:
                link.send(value)

    with Server(key=KEY, handler=echo) as server:
        for number in range(rounds):
            link = Link(server.address, key=KEY)
            sent = received = 0
            try:
                with interrupted_after(chance.uniform(0.0005, 0.01)):
                    while True:
                        link.send(body if number % 3 == 0 and sent % 5 == 4 else sent)
                        sent += 1
                        link.recv(timeout=PATIENCE_SECONDS)
                        received += 1
            except KeyboardInterrupt:
                pass
            with contextlib.suppress(ConnectionCut):
                link.send("after", timeout=PATIENCE_SECONDS)
                while link.recv(timeout=PATIENCE_SECONDS) != "after":
                    pass
            began = time.monotonic()
            link.close(timeout=PATIENCE_SECONDS)

            assert time.monotonic() - began < PATIENCE_SECONDS / 2
            assert received <= sent + 1 <= received + 2


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_an_interrupted_wait_gives_its_turn_to_the_next_and_the_link_lives() -> None:
    with linked() as (near, far):
        others = [Task(near.recv) for _ in range(2)]
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt), interrupted_after(0.03):
                near.recv()
        far.send(1)
        far.send(2)

        assert sorted(task.result() for task in others) == [1, 2]
        assert near.ping() > 0


def test_whoever_waits_for_the_fair_lock_gets_it_from_a_thread_that_works_on() -> None:
    lock = FairLock()
    stop = threading.Event()

    def work() -> None:
        with lock.in_turn():
            while not stop.is_set():
                sum(range(20_000))
                lock.yield_to_others()

    working = Task(work)
    eventually(lock.plain.locked)
    turns = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while turns < 20:
        assert time.monotonic() < deadline
        with lock.in_turn():
            turns += 1
    stop.set()
    working.result()

    assert not lock.plain.locked()
    with lock.in_turn():
        lock.yield_to_others()
        assert lock.plain.locked()
    lock.plain.acquire()
    lock.renew()
    assert not lock.plain.locked()


def test_a_fault_in_the_middle_of_a_record_breaks_the_link_and_is_raised() -> None:
    for target, act in (
        ("seal_now", lambda link: link.send(1)),
        ("frames_to_send", lambda link: link.send(bytes(100_000))),
        ("receive", lambda link: link.recv(timeout=5)),
    ):
        with linked(resume=False) as (near, far):
            if target == "receive":
                far.send(1)

            def fail(*_: object) -> None:
                raise MemoryError

            setattr(near._session, target, fail)
            with pytest.raises(MemoryError):
                act(near)
            delattr(near._session, target)

            assert near.closed
            for method in (near.recv, near.ping, lambda link=near: link.send(1)):
                with pytest.raises(ConnectionCut):
                    method()
            with pytest.raises(LinkLost):
                list(far)


def test_a_fault_that_the_keeper_meets_breaks_that_link_only(caplog: pytest.LogCaptureFixture) -> None:
    with linked() as (near, far), linked(limits=Limits(ping_seconds=0.2, dead_seconds=1.0)) as (other, _):

        def fail(*_: object) -> None:
            raise MemoryError("canary-text")

        near._session.receive = fail  # type: ignore[method-assign, assignment]  # a fault of ours
        far.send(1)
        eventually(lambda: near.closed)
        time.sleep(1.2)

        assert not other.closed
        assert "MemoryError" in caplog.text
        assert "canary-text" not in caplog.text
        del near._session.receive  # type: ignore[method-assign]  # as above


def test_what_is_posted_goes_on_whatever_callers_come_and_go() -> None:
    """A broadcast that the socket did not take at once is written though callers take and leave the reading turn."""
    with Server(key=KEY, compress=False) as server, Relay(server.address) as relay:
        link = Link(relay.address, key=KEY)
        far = server.accept(timeout=5)
        relay.held.set()
        server.broadcast(bytes(7 << 20))
        for _ in range(20):
            with pytest.raises(LinkTimeout):
                far.recv(timeout=0.01)
        relay.held.clear()

        assert len(link.recv(timeout=PATIENCE_SECONDS)) == 7 << 20
        link.abort()


def test_what_is_posted_goes_on_beyond_the_credit_though_a_caller_waits() -> None:
    with Server(key=KEY, compress=False) as server, Link(server.address, key=KEY) as link:
        far = server.accept(timeout=5)
        waiting = Task(far.recv)
        bodies = [bytes([number]) * (3 << 20) for number in range(10)]
        for body in bodies:
            server.broadcast(body)

        assert [link.recv(timeout=PATIENCE_SECONDS) == body for body in bodies] == [True] * 10
        link.send("done")
        assert waiting.result() == "done"


def test_a_bulk_link_does_not_keep_the_keeper_from_the_others() -> None:
    with Server(key=KEY, compress=False) as server:
        bulk, idle = Link(server.address, key=KEY), Link(server.address, key=KEY)
        for _ in range(2):
            server.accept(timeout=5)
        receiving = Task(lambda: [len(bulk.recv(timeout=60)) for _ in range(30)])
        far = server.get(id=bulk.id)
        assert far is not None
        for _ in range(30):
            while not server.broadcast(bytes(4 << 20), to=[far]).sent:
                time.sleep(0.005)
        trips = [idle.ping(timeout=PATIENCE_SECONDS) for _ in range(4)]

        assert receiving.result(60) == [4 << 20] * 30
        assert max(trips) < 5
        bulk.abort()
        idle.abort()


def test_many_threads_on_one_link_with_a_small_window() -> None:
    with linked(limits=SMALL) as (near, far):

        def send(link: Link, who: int) -> None:
            for number in range(150):
                link.send((who, number, "x" * (number % 700)), timeout=PATIENCE_SECONDS)

        def receive(link: Link) -> list[tuple[int, int, str]]:
            return [link.recv(timeout=PATIENCE_SECONDS) for _ in range(600)]

        receiving = [Task(receive, link) for link in (near, far)]
        sending = [Task(send, link, who) for link in (near, far) for who in range(4)]
        for task in sending:
            task.result(60)
        for task in receiving:
            found = task.result(60)
            for who in range(4):
                assert [number for sender, number, _ in found if sender == who] == list(range(150))


def test_links_end_under_the_hands_of_many_threads_at_once() -> None:
    for number in range(25):
        with linked(limits=SMALL) as (near, far):
            busy = [Task(list, near), Task(list, near), Task(far.recv), Task(far.ping)]
            busy += [Task(lambda: [near.send(n) for n in range(100_000)]), Task(near.send, bytes(1 << 22))]
            time.sleep(0.001 * (number % 5))
            ending = [Task(near.abort if number % 2 else far.abort), Task(near.close, timeout=0.01)]
            for task in ending:
                task.result()
            errors = [task.error() for task in busy]

            assert all(error is None or isinstance(error, (LinkClosed, LinkLost)) for error in errors), errors
