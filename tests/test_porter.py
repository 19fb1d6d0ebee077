"""The porter: what a stranger is penalised for, what is logged of it, and who is turned away when."""

from __future__ import annotations

import pytest

from netstructer import Limits
from netstructer.admission import Verdict
from netstructer.bans import Bans
from netstructer.errors import (
    AnswerRefused,
    BadCompression,
    BadFrame,
    BadSeal,
    BadValue,
    Banned,
    Busy,
    ConnectionCut,
    Downgrade,
    FrameTooBig,
    Gap,
    IllegalFrame,
    KeyRefused,
    LinkLost,
    LinkTimeout,
    NetstructerError,
    NotNetstructer,
    OutOfOrder,
    Stalled,
    VersionMismatch,
)
from netstructer.porter import OurFault, Porter

SOURCE = "192.0.2.1"


def made(limits: Limits = Limits.DEFAULT, *, full: bool = False) -> Porter:
    return Porter(limits, Bans(wall=lambda: 0.0), lambda ip, user: full)


def gathered(porter: Porter, ip: str = SOURCE) -> float:
    return porter._penalties.gathered(ip, 0.0)


@pytest.mark.parametrize(
    ("error", "hello", "opening"),
    [
        (KeyRefused, 5, 5),
        (BadSeal, 5, 5),
        (OutOfOrder, 5, 5),
        (BadFrame, 1, 5),
        (FrameTooBig, 1, 5),
        (IllegalFrame, 1, 30),
        (LinkTimeout, 10, 10),
        (ConnectionCut, 1, 1),
        (AnswerRefused, 1, 1),
        (NotNetstructer, 1, 1),
        (VersionMismatch, 1, 1),
        (Downgrade, 1, 1),
        (Busy, 0, 0),
        (Banned, 0, 0),
        (OurFault, 0, 0),
    ],
)
def test_what_a_stranger_is_penalised_for(error: type[NetstructerError], hello: float, opening: float) -> None:
    before, after = made(), made()
    before.failed(SOURCE, error(), 0.0, answered=False)
    after.failed(SOURCE, error(), 0.0, answered=True)

    assert (gathered(before), gathered(after)) == (hello, opening)
    assert before.refused == 1
    assert before.key_refused == (error is KeyRefused)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (IllegalFrame("x"), 30),
        (Gap("x"), 30),
        (BadValue("x"), 30),
        (BadCompression("x"), 30),
        (BadSeal("x"), 0),  # whoever sits between the ends can break a seal,
        (OutOfOrder("x"), 0),  # or the order
        (ConnectionCut("x"), 0),
        (Stalled("x"), 0),
        (LinkLost("x"), 0),
        (None, 0),
    ],
)
def test_what_an_authenticated_peer_is_penalised_for(error: NetstructerError | None, seconds: float) -> None:
    porter = made()
    porter.report(SOURCE, error, 0.0)
    porter.report("127.0.0.1", error, 0.0)

    assert gathered(porter) == seconds
    assert gathered(porter, "127.0.0.1") == 0


def test_who_is_unwelcome_is_heard_out_until_places_are_short() -> None:
    porter = made(Limits(half_open_early=8))  # two are a crowd
    porter._bans.add("198.51.100.0/24")
    porter.report(SOURCE, IllegalFrame("x"), 0.0)

    for source, error in ((SOURCE, Busy), ("198.51.100.7", Banned)):
        verdict, unwelcome = porter.meet(source, 0.0, 1.0)
        assert verdict is Verdict.ENTER
        assert isinstance(unwelcome, error)
        with pytest.raises(error):
            porter.check_source(source, unwelcome)
    for source in (SOURCE, "198.51.100.7"):
        assert porter.meet(source, 0.0, 1.0)[0] is Verdict.UNREAD
    assert porter.meet("203.0.113.1", 0.0, 1.0) == (Verdict.ENTER, None)
    assert (porter.banned, porter.penalised, porter.dropped) == (2, 2, 2)
    assert porter.meet(SOURCE, 30.0, 1.0)[1] is None  # it has passed


def test_room_for_a_link_is_asked_for_early_only_while_places_are_short() -> None:
    porter = made(Limits(half_open_early=8), full=True)
    porter.check_source(SOURCE, None)
    for place in range(2):
        porter.meet(f"192.0.2.{place}", 0.0, 1.0)
    with pytest.raises(Busy):
        porter.check_source(SOURCE, None)


def test_lines_of_many_sources_are_few_and_the_rest_is_told_once() -> None:
    porter = made(Limits(log_lines=3))
    lines = [porter.failed(f"192.0.2.{place}", KeyRefused("x"), 0.0, answered=False) for place in range(50)]
    again = [porter.failed("192.0.2.0", KeyRefused("x"), now, answered=False) for now in (0.5, 0.6, 1.0)]

    assert [line for line in lines if line] == [f"< no link from 192.0.2.{place}: KeyRefused" for place in range(3)]
    assert again == [None, None, "< no link from 192.0.2.0: KeyRefused (and 2 more before)"]
    assert porter.summary(1.9) is None
    assert porter.owes_summary
    assert porter.summary(2.0) == "< 47 more lines about failed handshakes were kept back"
    assert porter.summary(3.0) is None


def test_a_fault_of_ours_is_told_by_its_type_as_often_as_others() -> None:
    porter = made()
    lines = [porter.failed(SOURCE, OurFault("RuntimeError"), now, answered=True) for now in (0.0, 0.1, 1.0)]

    assert lines == [
        "< no link from 192.0.2.1: a fault here, RuntimeError",
        None,
        "< no link from 192.0.2.1: a fault here, RuntimeError (and 1 more before)",
    ]


def test_a_shortage_is_a_line_a_second_and_what_was_closed_is_counted() -> None:
    porter = made()
    lines = [porter.short("cannot accept", now, closed=now > 0) for now in (0.0, 0.5, 1.0)]

    assert lines == ["cannot accept", None, "cannot accept"]
    assert porter.dropped == 2
