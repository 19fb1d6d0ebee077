"""The session pair: the protocol between two ends under faults and a clock by hand, as users' tests will hold it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from netstructer import Blob, Key, Limits
from netstructer.errors import (
    ConnectionCut,
    LinkTimeout,
    Misuse,
    NetstructerError,
    SessionLost,
    Stalled,
    UnsendableValue,
)
from netstructer.testing import Blackhole, Cut, Cuts, Flip, Hold, Stall, session_pair
from sabotage import sabotaged

VALUES: list[Any] = ["hi", {1, 2}, (3, None), Random(1).randbytes(5000)]
"""The last one is no shorter when it is compressed."""


def test_what_one_end_sends_the_other_has_received() -> None:
    pair = session_pair()
    for value in VALUES:
        pair.client.send(value)
        pair.server.send([value])
    pair.settle()

    assert pair.server.received == VALUES
    assert pair.client.received == [[value] for value in VALUES]
    assert (pair.client.opened, pair.client.unacknowledged, pair.client.resumes) == (True, 0, 0)


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_cut_at_any_byte_loses_nothing(direction: Any) -> None:
    for at in range(0, 900, 23):
        pair = session_pair([[Cut(at=at, direction=direction)]])
        pair.settle()
        pair.client.send(VALUES)
        pair.server.send(at)
        pair.settle()

        assert (pair.server.received, pair.client.received) == ([VALUES], [at])
        assert pair.wires[0].counts in ({"Cut": 1}, {})


def many(seed: int) -> tuple[list[Any], list[Any], int]:
    """Send a few hundred values each way through cuts by chance; return what came, and how often it was taken up."""
    pair = session_pair(Cuts(mean_bytes=2000, half_open=0.3, most=30), seed=seed)
    pair.settle(most_dials=60, seconds=600.0)
    for number in range(300):
        pair.client.send(number)
        pair.server.send(-number)
        if number % 10 == 0:
            pair.run(0.1)
    pair.settle(most_dials=60, seconds=600.0)
    return pair.server.received, pair.client.received, pair.client.resumes


def test_many_cuts_lose_nothing_and_are_the_same_for_a_seed() -> None:
    there, back, resumes = many(5)

    assert there == list(range(300))
    assert back == [-number for number in range(300)]
    assert resumes > 5
    assert many(5)[2] == resumes


def test_the_pair_sees_it_when_nothing_is_sent_again() -> None:
    with sabotaged("no_resend"):
        try:
            there, back, _ = many(5)
        except NetstructerError:
            return

    assert (there, back) != (list(range(300)), [-number for number in range(300)])


def test_a_session_that_finds_no_transport_is_lost_in_its_time() -> None:
    pair = session_pair(limits=Limits(resume_seconds=60.0))
    pair.client.send("kept")
    pair.cut()
    pair.run(59.0)
    assert (pair.client.suspended, pair.server.suspended, pair.client.ended) == (True, True, False)
    assert isinstance(pair.client.failure, ConnectionCut)
    pair.run(2.0)

    assert isinstance(pair.client.error, SessionLost)
    assert list(pair.client.error.unacknowledged) == [1]
    with pytest.raises(Misuse):
        pair.dial()


def test_silence_is_noticed_by_the_clock_alone() -> None:
    pair = session_pair([[Blackhole(at=600)]], limits=Limits(ping_seconds=5.0, dead_seconds=20.0))
    pair.client.send(VALUES)
    pair.run(15.0)
    assert pair.client.failure is None
    pair.run(10.0)
    assert isinstance(pair.client.failure, Stalled)
    pair.settle()

    assert pair.server.received == [VALUES]


def test_a_changed_byte_heals_like_a_cut() -> None:
    pair = session_pair([[Flip(at=700)]])
    pair.client.send(VALUES)
    pair.settle()

    assert pair.server.received == [VALUES]
    assert (len(pair.wires), pair.client.resumes) == (2, 1)


def test_a_half_open_transport_is_fenced_off() -> None:
    pair = session_pair([[Hold(at=500, count=100)]])
    pair.client.send(VALUES)
    pair.run()
    assert (pair.client.suspended, pair.server.suspended) == (True, False)
    pair.dial()
    pair.settle()
    pair.wires[0].release()
    pair.settle()

    assert pair.server.received == [VALUES]


def test_a_handshake_that_is_held_up_is_given_up_and_tried_again() -> None:
    pair = session_pair([[Stall(at=50)]])
    assert not pair.client.opened
    pair.settle()

    assert pair.client.opened
    assert (len(pair.wires), isinstance(pair.client.failure, LinkTimeout)) == (2, True)


def test_a_slow_reader_holds_its_peer_up() -> None:
    pair = session_pair(limits=Limits(credit_bytes=64 << 10, body_bytes=1024))
    pair.server.reading = False
    for _ in range(100):
        pair.client.send("x" * 3000, compress=False)
    pair.run(5.0)
    assert pair.client.unacknowledged > 0
    assert 0 < pair.server.waiting < 100
    pair.server.reading = True
    pair.server.take()
    pair.settle()

    assert pair.server.received == ["x" * 3000] * 100


def test_both_farewells_close_it() -> None:
    pair = session_pair()
    pair.client.send("last")
    pair.client.close()
    pair.run()
    assert pair.server.received == ["last"]
    pair.server.close()
    pair.run(1.0)

    assert [end.ended for end in pair.ends] == [True, True]
    assert [end.error for end in pair.ends] == [None, None]


def test_without_resumption_a_cut_is_the_end() -> None:
    pair = session_pair(resume=False)
    pair.cut()
    pair.run()

    assert [type(end.error) for end in pair.ends] == [ConnectionCut, ConnectionCut]


def test_what_it_does_not_carry_is_said() -> None:
    pair = session_pair([[Cut()]])
    with pytest.raises(Misuse, match="not open yet"):
        pair.client.send(1)
    pair.settle()
    with pytest.raises(Misuse, match="link_pair"):
        pair.client.send(Blob(b"x"))
    with pytest.raises(UnsendableValue):
        pair.client.send(object())
    with pytest.raises(Misuse, match="on a wire"):
        pair.dial()


def test_a_pair_that_never_settles_says_so() -> None:
    with pytest.raises(LinkTimeout, match="in 3 dials"):
        session_pair(lambda number, chance: [Cut(at=200)]).settle(most_dials=3)


def test_the_key_and_the_clock_may_be_the_tests_own() -> None:
    key = Key.generate()
    pair = session_pair(key=key)
    before = pair.clock()
    pair.tick(5.0)

    assert pair.key is key
    assert pair.clock() == before + 5.0
