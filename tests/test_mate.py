"""The mate: he seals beside the caller, in order, and stays away where he is of no use."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Limits, Link, Server, mate
from netstructer.codec import tokens
from netstructer.errors import NetstructerError
from netstructer.mate import LEAST_REST, MOST_REST, Mate, engage, useful
from pair import Pair


class Piece:
    """A record to seal, which remembers by whom it was."""

    def __init__(self, number: int, seal: Any = None) -> None:
        self.number, self.hand, self.thread = number, -1, ""
        self._seal = seal

    def seal(self, hand: int) -> bytes:
        self.hand, self.thread = hand, threading.current_thread().name
        if self._seal is not None:
            self._seal(hand)
        return b"%d" % self.number


def sealed(helper: Mate, pieces: list[Piece]) -> list[Any]:
    return helper.seal(pieces)  # type: ignore[arg-type]  # all that is wanted of a draft


def meeting(count: int = 2) -> Any:
    """Return a way to seal that two hands must be in at once."""
    barrier = threading.Barrier(count, timeout=PATIENCE_SECONDS)
    return lambda hand: barrier.wait()


def test_two_seal_at_the_same_time_and_the_order_stays() -> None:
    helper, pieces = Mate(), [Piece(number, meet) for number, meet in enumerate([meeting()] * 2)]

    assert sealed(helper, pieces) == [b"0", b"1"]
    assert {piece.hand for piece in pieces} == {0, 1}
    assert {piece.thread for piece in pieces if piece.hand == 1} == {"netstructer-mate"}


def test_one_record_is_sealed_by_the_caller() -> None:
    helper, piece = Mate(), Piece(7)

    assert sealed(helper, [piece]) == [b"7"]
    assert (piece.hand, helper._thread) == (0, None)


def test_a_mate_who_is_late_finds_nothing_left() -> None:
    helper = Mate()
    helper._call = lambda table: None  # type: ignore[method-assign]
    pieces = [Piece(number) for number in range(5)]

    assert sealed(helper, pieces) == [b"0", b"1", b"2", b"3", b"4"]
    assert {piece.hand for piece in pieces} == {0}
    assert helper._rest == LEAST_REST


def test_who_finds_him_busy_seals_alone() -> None:
    helper, held = Mate(), threading.Event()
    first = [Piece(number, lambda hand: held.wait(PATIENCE_SECONDS)) for number in range(2)]
    busy = Task(lambda: sealed(helper, first))
    eventually(lambda: all(piece.hand >= 0 for piece in first))
    second = [Piece(number) for number in range(3)]

    assert sealed(helper, second) == [b"0", b"1", b"2"]
    assert {piece.hand for piece in second} == {0}
    held.set()
    assert busy.result() == [b"0", b"1"]


@pytest.mark.parametrize("whose", [0, 1])
def test_what_sealing_raises_is_raised_to_the_caller(whose: int) -> None:
    helper, meet = Mate(), meeting()

    def fail(hand: int) -> None:
        meet(hand)
        if hand == whose:
            raise MemoryError("made to fail")

    with pytest.raises(MemoryError, match="made to fail"):
        sealed(helper, [Piece(0, fail), Piece(1, fail)])
    again = meeting()
    assert sealed(helper, [Piece(0, again), Piece(1, again)]) == [b"0", b"1"]  # he lives


def test_he_stays_away_longer_each_time_that_he_was_no_help() -> None:
    helper, rests = Mate(), []
    for _ in range(12):
        helper.judge(0.91, 1.0)
        rests.append(helper._rest)
    assert rests == [min(LEAST_REST << place, MOST_REST) for place in range(12)]
    helper._rest = 0
    helper.judge(0.9, 1.0)
    assert helper._rest == 0
    helper.judge(2.0, 1.0)
    assert helper._rest == LEAST_REST


def test_a_rest_is_so_many_rounds_without_him() -> None:
    helper = Mate()
    helper.judge(2.0, 1.0)
    for _ in range(LEAST_REST):
        pieces = [Piece(0), Piece(1)]
        assert sealed(helper, pieces) == [b"0", b"1"]
        assert {piece.hand for piece in pieces} == {0}
    meet = meeting()

    assert sealed(helper, [Piece(0, meet), Piece(1, meet)]) == [b"0", b"1"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_an_interrupted_caller_leaves_at_once() -> None:
    helper, held = Mate(), threading.Event()

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def seal(hand: int) -> None:
        if hand == 1:
            held.wait(PATIENCE_SECONDS)
        else:
            eventually(lambda: any(piece.hand == 1 for piece in pieces))

    pieces = [Piece(0, seal), Piece(1, seal)]
    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            sealed(helper, pieces)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    held.set()
    meet = meeting()
    assert sealed(helper, [Piece(0, meet), Piece(1, meet)]) == [b"0", b"1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_mate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mate, "_mate", Mate())  # that of the process may rest now, after what other tests had him do
    meet = meeting()
    sealed(mate.current_mate(), [Piece(0, meet), Piece(1, meet)])
    mate.current_mate()._busy.acquire()
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            again = meeting()
            code = int(sealed(mate.current_mate(), [Piece(0, again), Piece(1, again)]) != [b"0", b"1"])
        os._exit(code)
    mate.current_mate()._busy.release()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_he_is_of_no_use_on_one_processor_or_with_an_older_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mate, "processors", lambda: 2)
    monkeypatch.setattr(tokens, "SIDE_BY_SIDE", True)
    assert useful()
    session = Pair(opened=False).client.session
    assert engage(session) == 2 * session.limits.unsent_bytes
    assert session.outflow.together is not None
    for where, name, worse in ((mate, "processors", lambda: 1), (tokens, "SIDE_BY_SIDE", False)):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, worse)
            other = Pair(opened=False).client.session
            assert engage(other) == other.limits.unsent_bytes
            assert other.outflow.together is None
    short = Pair(limits=Limits(body_bytes=4096), opened=False).client.session
    assert engage(short) == short.limits.unsent_bytes
    counting = Pair(suite=0x11, opened=False).client.session
    assert engage(counting) == counting.limits.unsent_bytes
    assert counting.outflow.together is None


def test_processors_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mate.processors() >= 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert mate.processors() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert mate.processors() == 5


def test_links_whose_records_he_seals_carry_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of several links in one process want him at once."""
    monkeypatch.setattr(mate, "useful", lambda: True)
    monkeypatch.setattr(Mate, "judge", lambda self, took, alone: None)
    body = os.urandom(3_000_000)

    def echo(link: Link) -> None:
        with contextlib.suppress(NetstructerError):
            for value in link:
                link.send(value)

    def talk(link: Link, number: int) -> None:
        for size in (2_000_000, 100, 700_000, 3_000_000):
            value = (number, body[:size])
            link.send(value, compress=False)
            assert link.recv(timeout=PATIENCE_SECONDS) == value

    with Server(key=KEY, handler=echo) as server, contextlib.ExitStack() as stack:
        links = [stack.enter_context(Link(server.address, key=KEY)) for _ in range(3)]
        for task in [Task(talk, link, number) for number, link in enumerate(links)]:
            task.result()


def test_a_link_may_be_aborted_while_he_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mate, "useful", lambda: True)
    monkeypatch.setattr(Mate, "judge", lambda self, took, alone: None)
    with linked() as (near, far):
        sending = Task(near.send, os.urandom(30_000_000), compress=False)
        eventually(lambda: far._session.traffic.wire_received > 1_000_000)
        near.abort()

        with pytest.raises(NetstructerError):
            sending.result()
