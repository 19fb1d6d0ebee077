"""A session from one transport to the next, cut at every byte of everything that is said on the way.

What `test_resume_model.py` does by chance, and far, is done here exhaustively, and small.  In the suite it is every
seventh byte, and each of those of OPEN and ACCEPT; under `long` it is every one.
"""

from __future__ import annotations

import pytest

from netstructer.limits import Limits
from netstructer.protocol.events import Resumed, Suspended
from netstructer.protocol.states import State
from pair import send
from roaming import RoamingPair

LIMITS = Limits(resume_seconds=86_400.0, dead_seconds=86_400.0, body_bytes=1024)
VALUES = (["one"], "two", {"three": 3}, bytes(1500))
"""Four messages each way, the last of them in several records."""


EVERY = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])


def conversing() -> RoamingPair:
    """Return a pair with messages queued at both ends."""
    pair = RoamingPair(limits=LIMITS)
    for end in pair.ends:
        for value in VALUES:
            send(end.session, value, compress=False)
    return pair


def settled(pair: RoamingPair, *, client: tuple[object, ...] = VALUES, server: tuple[object, ...] = VALUES) -> None:
    """Bring everything over; hold what the ends get against what they must, and let nothing be kept."""
    pair.mend()
    for values, expected in zip(pair.exchange(), (client, server), strict=True):
        # The one of several records is overtaken by those behind it, and by them alone.
        assert sorted(values, key=lambda value: type(value) is bytes) == [*expected]
    for end in pair.ends:
        kept = end.session.outflow.kept
        assert (end.state, len(kept), kept.held_bytes) == (State.READY, 0, 0)


def lengths(pair: RoamingPair) -> tuple[int, int]:
    """Seal what there is at both ends, and return how long it is."""
    for end in pair.ends:
        pair.seal(end)
    return len(pair.client.wire), len(pair.server.wire)


@EVERY
def test_a_cut_at_every_byte_of_what_the_client_says(every: int) -> None:
    count = lengths(conversing())[0]
    assert count > 1500
    for place in (*range(0, count, every), count):
        pair = conversing()
        lengths(pair)
        pair.cut(place, 0)

        assert len(pair.client.of(Suspended)) == len(pair.server.of(Suspended)) == 1
        settled(pair)


@EVERY
def test_a_cut_at_every_byte_of_what_the_server_says(every: int) -> None:
    count = lengths(conversing())[1]
    for place in (*range(0, count, every), count):
        pair = conversing()
        lengths(pair)
        pair.cut(0, place)
        settled(pair)


@pytest.mark.parametrize("noticed", [True, False])
def test_a_cut_at_every_byte_of_an_open_that_takes_a_session_up(noticed: bool) -> None:
    """Whether the server has seen the first transport end or not."""
    asked = 173
    for place in range(asked + 1):
        pair = conversing()
        lengths(pair)
        pair.cut(100, 100, server=noticed)
        pair.redial()
        assert pair.seal(pair.client) == asked
        pair.cut(place, 0, server=False)

        assert pair.resumes == (place == asked)
        assert pair.server.session.suspended == (noticed and place < asked)
        settled(pair)


def test_a_cut_at_every_byte_of_the_accept_that_answers() -> None:
    """The server goes on, and the client does not know; behind ACCEPT come the records that are sent again."""
    place, count = 0, 1
    while place <= count:
        pair = conversing()
        lengths(pair)
        pair.cut(100, 100)
        pair.redial()
        pair.seal(pair.client)
        pair.carry(pair.client)
        count = min(400, pair.seal(pair.server))
        pair.cut(0, place, server=bool(place % 2))
        settled(pair)
        place += 1

    assert place > 300


@pytest.mark.parametrize("late", ["before", "after", "never"])
def test_what_a_former_transport_holds_comes_late(late: str) -> None:
    """Before the takeover it is read like anything else; after it, by nobody."""
    pair = conversing()
    lengths(pair)
    pair.cut(500, 0, server=False)
    held = len(pair.old[0].up)
    before = pair.server.session.inflow.inbound.next_number
    assert held > 1000
    if late == "before":
        pair.late(0, held)
        assert pair.server.session.inflow.inbound.next_number > before
    pair.mend()
    assert len(pair.server.of(Resumed)) == 1
    if late == "after":
        stands = pair.server.session.inflow.inbound.next_number
        pair.late(0, held)
        assert pair.server.session.inflow.inbound.next_number == stands
    settled(pair)


def test_a_claim_that_comes_late_takes_the_session_to_a_dead_transport_and_it_comes_back() -> None:
    """The client has long gone on elsewhere when an earlier try of its arrives."""
    pair = conversing()
    lengths(pair)
    pair.cut(500, 500)
    pair.redial()
    pair.seal(pair.client)
    pair.cut(0, 0, server=False)  # OPEN is on its way
    pair.mend()
    first = pair.server_line
    pair.late(0, 1 << 20)

    assert pair.server_line is not first
    assert pair.server_line is not pair.client_line
    settled(pair)


def test_twenty_takeovers_in_a_row_without_a_word_between_them() -> None:
    pair = conversing()
    for _ in range(20):
        pair.cut(0, 0, server=False)
        pair.mend()

    assert pair.resumes == 20
    settled(pair)


def test_messages_may_be_sent_while_there_is_no_transport() -> None:
    pair = conversing()
    lengths(pair)
    pair.cut(0, 0)
    for end in pair.ends:
        send(end.session, "meanwhile")
        assert pair.seal(end) == 0
    values = (*VALUES[:3], "meanwhile", VALUES[3])
    settled(pair, client=values, server=values)


@pytest.mark.parametrize("first", [0, 1])
def test_a_cut_at_every_byte_of_the_farewells(first: int) -> None:
    """Both ends close, or one has and the other cannot be told any more; what was sent is there in both cases."""
    over = 0
    for place in range(0, 260, 3):
        pair = conversing()
        pair.exchange()
        one, other = pair.ends[first], pair.ends[1 - first]
        one.session.say_farewell()
        while place > 0 and pair.client_line is not None:
            moved = [pair.seal(one), pair.seal(other)]
            if not any(moved) and not one.wire and not other.wire:
                break
            for end in (one, other):
                step = min(place, len(end.wire))
                pair.carry(end, step)
                place -= step
        pair.cut(0, 0)
        pair.mend()
        if pair.over:
            over += 1
            continue
        pair.pump()

        assert {end.state for end in pair.ends} == {State.CLOSED}
    assert over < 60
