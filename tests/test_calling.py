"""Calls: whatever becomes of either end, each is answered once or says why not, and nothing of it stays behind.

What holds for both façades is held for each pairing of them; the rest is about threads.  test_aio_calling.py is about
tasks.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from leaks import grown_by, left_to_the_collector
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Blob, Limits, Link, Server, aio, answering, crew
from netstructer.errors import (
    BadArguments,
    BadValue,
    Busy,
    CallCancelled,
    ConnectionCut,
    LinkClosed,
    LinkTimeout,
    Misuse,
    NotPermitted,
    RemoteError,
    SourceFailed,
    UnknownAction,
    UnsendableValue,
)
from netstructer.protocol.calls import STREAM_ITEMS, Word
from netstructer.testing import ChaosProxy
from pairings import PAIRINGS, Ends, house_of, paired
from test_fork import in_child
from test_pump import interrupted_after

TIMEOUT = PATIENCE_SECONDS
SMALL = Limits(credit_bytes=1 << 16, body_bytes=1 << 12)


class Watched:
    """What actions do here, seen from the test."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ran: list[Any] = []
        self.closed = threading.Event()
        self.yielded = 0

    def actions(self, on: Callable[..., Any]) -> None:
        """Register what the tests call."""

        @on("add")
        def add(a: Any, b: Any = 1) -> Any:
            return a + b

        @on("fail")
        def fail(kind: str) -> None:
            raise {"value": ValueError("too\nsmall"), "mute": Mute(), "exit": SystemExit(1), "stop": StopIteration()}[
                kind
            ]

        @on("secret", permission="admin")
        def secret() -> str:
            return "it"

        @on("wait")
        def wait(context: Any, number: int = 0) -> int:
            self.ran.append(number)
            while not self.gate.wait(0.005):
                if context.cancelled:
                    self.ran.append(("cancelled", number))
                    context.check()
            return number

        @on("count")
        def count(stop: int, fail_at: int = -1) -> Iterator[int]:
            try:
                for number in range(stop):
                    if number == fail_at:
                        raise KeyError(number)
                    self.yielded = number + 1
                    yield number
            finally:
                self.closed.set()

        @on("note")
        def note(what: Any) -> None:
            self.ran.append(what)

        @on("length")
        def length(body: Any) -> int:
            return len(bytes(body))

        @on("ignore")
        def ignore(body: Any) -> str:
            del body
            return "no thanks"

        @on("blob")
        def blob(size: int) -> dict[str, Any]:
            return {"body": Blob.from_iter(bytes([number % 256]) * 1000 for number in range(size // 1000))}

        @on("unsendable")
        def unsendable(kind: str) -> Any:
            return {"object": object(), "big": bytes(1 << 20), "coroutine": iter, "broken": Blob.from_iter(breaks())}[
                kind
            ]

        @on("who")
        def who(context: Any) -> tuple[Any, ...]:
            context.state["calls"] = context.state.get("calls", 0) + 1
            return context.action, context.user, context.peer.host, context.state["calls"], context.seconds_left


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def breaks() -> Iterator[bytes]:
    yield b"half"
    raise ZeroDivisionError


@pytest.fixture(scope="module", params=PAIRINGS[:4], ids="-".join)
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with paired(*request.param) as found:
        yield found


@pytest.fixture
def watched(ends: Ends) -> Iterator[Watched]:
    """Give what is called at both ends; afterwards nothing of it may be left there."""
    found = Watched()
    found.actions(ends.server.on)
    found.actions(ends.near.on)
    yield found
    found.gate.set()
    for link in (ends.near, ends.far):
        eventually(lambda link=link: left_of(link) == [], "the end of all calls")


def asides_of(link: Any) -> Any:
    exchange = getattr(link, "target", link)._exchange
    return exchange.pump.asides if hasattr(exchange, "pump") else exchange._pump.asides


def left_of(link: Any) -> list[object]:
    """Return what calls have left at an end: conversations, messages that count against the credit, calls that run."""
    bare = getattr(link, "target", link)
    found = bare._told.answering
    running = () if found is None else getattr(found, "running", None) or getattr(found, "_running", ())
    asides = asides_of(link)
    unread = bare._session.inflow.inbound.unread
    return [*asides._queues, *asides.calls, *([unread] if unread else []), *running]


def both(ends: Ends) -> Iterator[Any]:
    yield ends.near
    yield ends.far


# --- both façades: results and faults ---------------------------------------------------------------------------------


def test_an_action_is_called_by_name_from_both_ends(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        assert link.call("add", 2, 3) == 5
        assert link.call("add", (1,), b=(2, {3})) == (1, 2, {3})
        assert link.call("add", [1] * 50_000, [2]) == [1] * 50_000 + [2]
        assert link.call("add", "x", timeout=TIMEOUT, b="y") == "xy"
    assert ends.near.call("who")[:4] == ("who", None, "127.0.0.1", 1)
    assert ends.near.call("who", timeout=60)[3:] == (2, pytest.approx(60, abs=PATIENCE_SECONDS))
    assert ends.near.call("netstructer.ping", "x") == "x"
    assert "secret" not in ends.near.call("netstructer.actions")


def test_what_fails_there_is_told_by_name_and_text(
    ends: Ends, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for link in both(ends):
        for kind, name, text in (
            ("value", "ValueError", "ValueError: too small"),
            ("mute", "Mute", "Mute"),
            ("exit", "SystemExit", "SystemExit: 1"),
        ):
            with pytest.raises(RemoteError, match=f"'fail' failed at the peer: {text}$") as caught:
                link.call("fail", kind, timeout=TIMEOUT)
            assert (type(caught.value), caught.value.name, caught.value.action) == (RemoteError, name, "fail")
            assert caught.value.__cause__ is None
        with pytest.raises(RemoteError, match="StopIteration"):
            link.call("fail", "stop", timeout=TIMEOUT)
        with pytest.raises(UnknownAction, match="no action 'nothing'"):
            link.call("nothing", timeout=TIMEOUT)
        with pytest.raises(BadArguments, match="missing a required argument"):
            link.call("add", timeout=TIMEOUT)
        with pytest.raises(NotPermitted, match="'admin'"):
            link.call("secret", 1, 2, timeout=TIMEOUT)
        assert link.call("add", 1) == 2  # none of it was fatal

    assert "too\nsmall" not in caplog.text


def test_who_may_is_asked_for_each_call(ends: Ends, watched: Watched) -> None:
    allowed: set[str] = set()
    permit = getattr(ends.server, "target", ends.server).actions.permit
    permit(lambda context, permission: permission in allowed)
    with pytest.raises(NotPermitted):
        ends.near.call("secret")
    allowed.add("admin")
    try:
        assert ends.near.call("secret") == "it"
        assert "secret" in ends.near.call("netstructer.actions")
    finally:
        allowed.clear()
    with pytest.raises(NotPermitted):
        ends.near.call("secret")


def test_what_cannot_be_asked_is_said_before_a_byte_has_left(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        sent = link.stats.messages_sent
        for call in (link.call, link.notify):
            with pytest.raises(UnsendableValue):
                call("add", object())
            with pytest.raises(Misuse):
                call("add", 1, timeout=float("nan"))
        with pytest.raises(Misuse, match="a timeout above zero"):
            link.call("add", 1, timeout=0)
        with pytest.raises(Misuse, match="an action's name"):
            link.call("a b")
        assert link.stats.messages_sent == sent
        assert left_of(link) == []


@pytest.mark.parametrize("kind", ["object", "coroutine"])
def test_a_result_that_cannot_be_sent_is_told(ends: Ends, watched: Watched, kind: str) -> None:
    for link in both(ends):
        with pytest.raises(RemoteError, match="UnsendableValue") as caught:
            link.call("unsendable", kind, timeout=TIMEOUT)
        assert caught.value.name == "UnsendableValue"


def test_the_source_of_a_result_that_breaks_off_is_told_to_who_reads_it(ends: Ends, watched: Watched) -> None:
    for link, house in ((ends.near, ends.near_house), (ends.far, ends.far_house)):
        blob = link.call("unsendable", "broken", timeout=TIMEOUT)
        with pytest.raises(SourceFailed):
            house.read(blob)


def test_a_result_over_the_limit_of_its_caller_is_told() -> None:
    with linked(client_limits=Limits(value_bytes=1 << 16)) as (near, far):
        Watched().actions(far.on)
        with pytest.raises(RemoteError, match="MessageTooBig") as caught:
            near.call("unsendable", "big", timeout=TIMEOUT)

        assert caught.value.name == "MessageTooBig"


# --- both façades: blobs ----------------------------------------------------------------------------------------------


def test_blobs_go_as_arguments_and_come_as_results(ends: Ends, watched: Watched) -> None:
    for link, house in ((ends.near, ends.near_house), (ends.far, ends.far_house)):
        assert link.call("length", Blob.from_iter([bytes(1000)] * 900), timeout=TIMEOUT) == 900_000
        found = link.call("blob", 900_000, timeout=TIMEOUT)["body"]
        assert len(house.read(found)) == 900_000


def test_a_blob_that_nobody_wants_there_is_not_waited_for(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        endless = Blob.from_iter(bytes(10_000) for _ in iter(int, 1))
        assert link.call("ignore", endless, timeout=TIMEOUT) == "no thanks"


def test_a_result_of_which_nobody_reads_the_blob_does_not_hold_a_thread(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        for _ in range(3):
            del link.call("blob", 5_000_000, timeout=TIMEOUT)["body"]
    gc.collect()


# --- both façades: streams --------------------------------------------------------------------------------------------


def test_a_generator_is_streamed(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        assert list(link.call("count", 0)) == []
        assert list(link.call("count", 1)) == [0]
        assert list(link.call("count", 300)) == list(range(300))


def test_the_peer_is_no_further_ahead_than_it_was_asked_to_be(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        watched.closed.clear()
        with link.call("count", 1 << 30) as stream:
            assert next(stream) == 0
            time.sleep(0.02)
            assert watched.yielded <= STREAM_ITEMS + 1 + 17  # and what a thread has ready for its loop
        assert watched.closed.wait(PATIENCE_SECONDS)
        with pytest.raises(StopIteration):
            next(stream)
        stream.close()
        assert repr(stream).endswith(" over>")


def test_a_generator_that_fails_does_so_after_its_items(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        stream = link.call("count", 9, fail_at=5)
        assert [next(stream) for _ in range(5)] == list(range(5))
        with pytest.raises(RemoteError, match="KeyError: 5") as caught:
            next(stream)
        assert caught.value.name == "KeyError"
        with pytest.raises(StopIteration):
            next(stream)


def test_a_stream_that_nobody_holds_any_more_is_ended_at_the_peer(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        watched.closed.clear()
        stream = link.call("count", 1 << 30)
        next(stream)
        del stream
        gc.collect()
        assert watched.closed.wait(PATIENCE_SECONDS)


def test_streams_and_calls_go_side_by_side(ends: Ends, watched: Watched) -> None:
    streams = [link.call("count", 40) for link in both(ends) for _ in range(4)]
    found: list[list[int]] = [[] for _ in streams]
    for _ in range(40):
        for items, stream in zip(found, streams, strict=True):
            items.append(next(stream))
        assert ends.near.call("add", 1) == ends.far.call("add", 1) == 2

    assert found == [list(range(40))] * 8
    for stream in streams:
        stream.close()


# --- both façades: time and cancelling --------------------------------------------------------------------------------


def test_who_waits_no_longer_cancels_and_the_action_can_see_it(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        watched.ran.clear()
        with pytest.raises(LinkTimeout, match="no answer to 'wait' came in time") as caught:
            link.call("wait", 7, timeout=0.05)
        assert caught.value.action == "wait"
        eventually(lambda: ("cancelled", 7) in watched.ran)
        assert link.call("add", 1) == 2


def test_an_item_that_takes_too_long_ends_its_stream(ends: Ends, watched: Watched) -> None:
    for link in both(ends):

        def slow() -> Iterator[int]:
            yield 1
            assert watched.gate.wait(PATIENCE_SECONDS)
            yield 2

        for on in (ends.server.on, ends.near.on):
            on("slow")(slow)
        stream = link.call("slow", timeout=0.1)
        assert next(stream) == 1
        with pytest.raises(LinkTimeout, match="no further item of 'slow'"):
            next(stream)
        assert list(stream) == []


def test_calls_overtake_each_other(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        watched.gate.clear()
        watched.ran.clear()
        waiting = [Task(link.call, "wait", number, timeout=TIMEOUT) for number in range(5)]
        eventually(lambda: len(watched.ran) == 5)
        assert link.call("add", 40, 2, timeout=TIMEOUT) == 42
        watched.gate.set()
        assert [task.result() for task in waiting] == list(range(5))


def test_no_more_run_at_once_than_are_allowed_and_all_are_answered() -> None:
    for server in ("blocking", "asyncio"):
        watched = Watched()
        with paired("blocking", server, server_options={"limits": Limits(calls=3)}) as ends:
            watched.actions(ends.server.on)
            waiting = [Task(ends.near.call, "wait", number, timeout=TIMEOUT) for number in range(12)]
            eventually(lambda ran=watched.ran: len(ran) == 3)
            ends.near.send("is read beside them")
            assert ends.far.recv(timeout=TIMEOUT) == "is read beside them"
            assert len(watched.ran) == 3
            watched.gate.set()

            assert sorted(task.result() for task in waiting) == list(range(12))
            eventually(lambda ends=ends: left_of(ends.far) == [])


# --- both façades: notices --------------------------------------------------------------------------------------------


def test_a_notice_is_run_and_nothing_is_said_of_it(ends: Ends, watched: Watched) -> None:
    for link, other in ((ends.near, ends.far), (ends.far, ends.near)):
        watched.ran.clear()
        before = other.stats.messages_sent
        for what in ("one", "two"):
            link.notify("note", what)
        link.notify("fail", "value", timeout=TIMEOUT)
        link.notify("nothing at all".replace(" ", "."))
        link.notify("add")
        link.notify("secret")
        link.notify("unsendable", "object")
        eventually(lambda: sorted(watched.ran) == ["one", "two"])
        eventually(lambda other=other: left_of(other) == [])
        assert other.stats.messages_sent == before


def test_a_notice_whose_generator_nobody_takes_runs_to_its_end(ends: Ends, watched: Watched) -> None:
    for link in both(ends):
        watched.closed.clear()
        link.notify("count", 100)
        assert watched.closed.wait(PATIENCE_SECONDS)
        assert watched.yielded == 100


@pytest.mark.parametrize("server", ["blocking", "asyncio"])
def test_a_notice_that_was_given_before_the_farewell_is_run(server: str) -> None:
    """Even where the other end's handler hears the farewell first, and closes."""
    with house_of(server) as house, house.server(limits=Limits(calls=2)) as listening:
        watched = Watched()
        watched.actions(listening.on)
        house.handle(listening, lambda link: [None for _ in link])
        for number in range(8):
            with Link(listening.address, key=KEY) as link:
                for part in range(4):
                    link.notify("note", (number, part))

        eventually(lambda: len(watched.ran) == 32, "all of them")
        assert set(watched.ran) == {(number, part) for number in range(8) for part in range(4)}


# --- both façades: the link ends, or its transport --------------------------------------------------------------------


@pytest.mark.parametrize("pairing", PAIRINGS[:4], ids="-".join)
@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_end_of_the_link_is_the_end_of_its_calls(pairing: tuple[str, str], how: str) -> None:
    for who in (0, 1):
        watched = Watched()
        with paired(*pairing) as ends:
            watched.actions(ends.server.on)
            waiting = Task(ends.near.call, "wait", 1)
            stream = ends.near.call("count", 1 << 30)
            eventually(lambda ran=watched.ran: ran == [1])
            getattr((ends.near, ends.far)[who], how)()

            assert isinstance(waiting.error(), (LinkClosed, ConnectionCut))
            eventually(lambda ran=watched.ran: ("cancelled", 1) in ran, "the action to hear of it")
            assert watched.closed.wait(PATIENCE_SECONDS)
            with pytest.raises((LinkClosed, ConnectionCut)):
                list(stream)
            with pytest.raises((LinkClosed, ConnectionCut)):
                ends.near.call("add", 1)


@pytest.mark.parametrize("pairing", PAIRINGS[:4], ids="-".join)
def test_a_call_under_way_over_a_cut_is_run_once_and_answered_once(pairing: tuple[str, str]) -> None:
    watched = Watched()
    proxies: list[ChaosProxy] = []

    def through(address: Any) -> ChaosProxy:
        proxies.append(ChaosProxy(address))
        return proxies[0]

    with paired(*pairing, through=through) as ends:
        watched.actions(ends.server.on)
        watched.actions(ends.near.on)
        streams = [link.call("count", 200) for link in both(ends)]
        for number in range(3):
            watched.gate.clear()
            watched.ran.clear()
            waiting = [Task(link.call, "wait", number, timeout=TIMEOUT) for link in both(ends)]
            eventually(lambda: len(watched.ran) == 2)
            items = [[next(stream) for _ in range(30)] for stream in streams]
            proxies[0].cut()
            assert items == [list(range(30 * number, 30 * number + 30))] * 2
            late = Task(ends.near.call, "add", 1, 2, timeout=TIMEOUT)  # asked while there is no transport
            watched.gate.set()
            assert [task.result() for task in waiting] == [number] * 2
            assert late.result() == 3
            assert watched.ran == [number, number]

        assert [list(stream) for stream in streams] == [list(range(90, 200))] * 2
        for link in both(ends):
            eventually(lambda link=link: left_of(link) == [])
            assert link.stats.resumes >= 3


# --- what a peer says that is nonsense --------------------------------------------------------------------------------


class Raw:
    """Says anything in the conversation of a call."""

    def __init__(self, link: Link) -> None:
        self.link, self.exchange = link, link._exchange

    def open(self) -> int:
        with self.exchange._lock.in_turn():
            return self.exchange._pump.asides.open_call()

    def say(self, number: int, value: object) -> None:
        payloads = self.exchange.session.payloads
        outgoing = payloads.compose(payloads.encode(value))
        outgoing.conversation = number
        self.exchange.submit(outgoing, lambda: outgoing.done)

    def hear(self, number: int) -> Any:
        return self.exchange.read(self.exchange.next_aside(number, time.monotonic() + TIMEOUT), lambda *_: None)  # type: ignore[arg-type, return-value]  # there are none

    def close(self, number: int) -> None:
        self.exchange.close_aside(number)


NONSENSE = [
    None,
    "CALL",
    (),
    (99,),
    (1, "add"),
    (1, "a b", (), {}, None),
    (True, "add", (), {}, None),
    (3, 5),
    (5, "result"),
    [1, "add", (), {}, None],
    bytes(200_000),
]


@pytest.mark.parametrize("server", ["blocking", "asyncio"])
def test_nonsense_in_the_place_of_a_call_is_answered_and_stops_nothing(server: str) -> None:
    watched = Watched()
    with paired("blocking", server) as ends:
        watched.actions(ends.server.on)
        raw = Raw(ends.near)
        for nonsense in NONSENSE:
            number = raw.open()
            raw.say(number, nonsense)
            word, blame, name, _ = raw.hear(number)
            assert (word, blame, name) == (Word.FAULT.value, 1, "BadValue")
            raw.close(number)
        assert watched.ran == []
        for nonsense in NONSENSE:
            number = raw.open()
            raw.say(number, (1, "wait", (), {}, None))
            if number % 4 == 1:
                eventually(lambda: _running(ends.far))
            raw.say(number, nonsense if nonsense != (3, 5) else (3, 0))
            eventually(lambda: left_of(ends.far) == [], "it to be taken for cancelled")

        assert ends.near.call("add", 1, timeout=TIMEOUT) == 2


@pytest.mark.parametrize("client", ["blocking", "asyncio"])
@pytest.mark.parametrize(
    "nonsense", [None, (), (5,), (8, 1), (9,), (6, 1, "", ""), (True, 1), bytes(200_000)], ids=lambda v: repr(v)[:20]
)
def test_nonsense_in_the_place_of_an_answer_fails_that_call_alone(client: str, nonsense: object) -> None:
    with paired(client, "blocking") as ends:
        raw = Raw(ends.far)
        Watched().actions(ends.near.on)
        pump = ends.far._exchange._pump
        calling = Task(ends.near.call, "add", 1, 2)
        eventually(lambda: pump.asides.numbers_of_calls._used > 1 << 28, "the call")
        raw.say((1 << 28) + 1, nonsense)

        assert isinstance(calling.error(), (BadValue, UnknownAction))
        assert ends.far.call("add", 1, timeout=TIMEOUT) == 2
        eventually(lambda: left_of(ends.near) == [])


def test_a_call_that_was_cancelled_before_anybody_took_it_is_not_run() -> None:
    for server in ("blocking", "asyncio"):
        watched = Watched()
        with paired("blocking", server, server_options={"limits": Limits(calls=1)}) as ends:
            watched.actions(ends.server.on)
            raw = Raw(ends.near)
            waiting = Task(ends.near.call, "wait", 0, timeout=TIMEOUT)
            eventually(lambda ran=watched.ran: ran == [0])
            for number in (raw.open() for _ in range(20)):
                raw.say(number, (1, "note", ("never",), {}, None))
                raw.say(number, (4,))
                raw.close(number)
            given_up = raw.open()
            raw.say(given_up, (4,))  # before it was asked
            traffic = ends.far._session.traffic
            eventually(lambda traffic=traffic: traffic.messages_received == 42, "all that was said")
            watched.gate.set()

            assert waiting.result() == 0
            assert ends.near.call("add", 1, timeout=TIMEOUT) == 2
            assert watched.ran == [0]
            with pytest.raises(LinkTimeout):
                ends.near._exchange.next_aside(given_up, time.monotonic() + 0.02)
            eventually(lambda ends=ends: left_of(ends.far) == [])


@pytest.mark.parametrize("server", ["blocking", "asyncio"])
def test_a_peer_that_opens_thousands_of_calls_stops_itself_and_nobody_else(server: str) -> None:
    watched = Watched()
    with paired("blocking", server, server_options={"limits": SMALL}) as ends:
        watched.actions(ends.server.on)
        raw = Raw(ends.near)
        opened = 0
        with contextlib.suppress(LinkTimeout):
            while opened < 5000:
                payloads = raw.exchange.session.payloads
                outgoing = payloads.compose(payloads.encode((1, "wait", (), {}, None)))
                outgoing.conversation = raw.open()
                raw.exchange.submit(outgoing, lambda outgoing=outgoing: outgoing.done, idle_seconds=0.05)
                opened += 1
        eventually(lambda: len(watched.ran) == 32)
        with Link(ends.server.address, key=KEY) as beside:
            assert beside.call("add", 1, timeout=TIMEOUT) == 2

        assert 150 < opened < 400  # the credit, at 256 bytes and a few for each
        assert len(watched.ran) == 32
        watched.gate.set()
        assert raw.hear((1 << 28) + 2 * opened - 1) == (5, 0)  # all are answered in the end


@pytest.mark.parametrize("server", ["blocking", "asyncio"])
def test_a_peer_that_reads_no_answer_holds_what_it_may_and_no_more(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(aio.answering, "ANSWER_SECONDS", 0.3)
    with paired("blocking", server, limits=SMALL) as ends:
        Watched().actions(ends.server.on)
        raw = Raw(ends.near)
        numbers = [raw.open() for _ in range(20)]
        for number in numbers:
            raw.say(number, (1, "add", (os.urandom(10_000), b"x"), {}, None))
        eventually(lambda: ends.near._session.inflow.inbound.unread > 40_000)
        eventually(lambda: not list(asides_of(ends.far).calls) and not _running(ends.far), "them to be given up")
        for number in numbers:
            assert raw.hear(number)[0] in (Word.RESULT.value, Word.FAULT.value)
            raw.close(number)

        assert ends.near.call("add", 1, timeout=TIMEOUT) == 2


def _running(link: Any) -> object:
    found = getattr(link, "target", link)._told.answering
    return getattr(found, "running", None) or getattr(found, "_running", None)


@pytest.mark.parametrize("server", ["blocking", "asyncio"])
@pytest.mark.parametrize("scarce", [False, True])
def test_a_stream_that_nobody_takes_is_given_up_in_time(
    server: str, scarce: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (answering, aio.answering):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    if scarce:
        monkeypatch.setattr(crew.Crew, "scarce", True)
    watched = Watched()
    with paired("blocking", server) as ends:
        watched.actions(ends.server.on)
        stream = ends.near.call("count", 1 << 30)
        if not scarce:
            time.sleep(0.1)
            assert not watched.closed.is_set()
            monkeypatch.setattr(answering, "STALL_SECONDS", 0.0)
        assert watched.closed.wait(PATIENCE_SECONDS)
        assert [next(stream) for _ in range(STREAM_ITEMS)] == list(range(STREAM_ITEMS))
        with pytest.raises(CallCancelled, match="has taken anything of the stream for long"):
            next(stream)


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[Link, Link]]:
    with linked() as found:
        yield found


def test_handlers_call_back_on_the_same_link_both_ways(pair: tuple[Link, Link]) -> None:
    def down(context: Any, depth: int) -> list[str]:
        if not depth:
            return []
        return [context.action, *context.link.call("down", depth - 1, timeout=TIMEOUT)]

    for link in pair:
        link.on("down")(down)

    assert [link.call("down", 20, timeout=TIMEOUT) for link in pair] == [["down"] * 20] * 2


def test_calls_that_wait_for_each_other_beyond_the_limit_end_with_their_time() -> None:
    def down(context: Any, depth: int) -> int:
        return depth and 1 + int(context.link.call("down", depth - 1, timeout=0.3))

    with linked(limits=Limits(calls=2)) as pair:
        for link in pair:
            link.on("down")(down)

        assert pair[0].call("down", 3, timeout=TIMEOUT) == 3
        with pytest.raises(RemoteError, match="no answer to 'down' came in time"):
            pair[0].call("down", 9, timeout=TIMEOUT)
        eventually(lambda: not (_running(pair[0]) or _running(pair[1])))
        assert pair[0].call("down", 3, timeout=TIMEOUT) == 3


def test_calls_are_answered_while_both_ends_receive(pair: tuple[Link, Link]) -> None:
    near, far = pair
    for link in pair:
        Watched().actions(link.on)
    receiving = [Task(link.recv, timeout=TIMEOUT) for link in pair]
    callers = [Task(lambda link=link: [link.call("add", n, timeout=TIMEOUT) for n in range(60)]) for link in pair * 3]
    assert [task.result() for task in callers] == [list(range(1, 61))] * 6
    near.send("to far")
    far.send("to near")

    assert [task.result() for task in receiving] == ["to near", "to far"]


def test_an_action_that_takes_long_does_not_stop_who_else_is_called(pair: tuple[Link, Link]) -> None:
    """Nobody reads but the thread of the action: the keeper is asked to, before it begins."""
    near, far = pair
    watched = Watched()
    watched.actions(far.on)
    for number in range(3):  # once it was quick, and once it was not
        watched.gate.set()
        near.call("wait", number)
        watched.gate.clear()
        waiting = Task(near.call, "wait", number, timeout=TIMEOUT)
        eventually(lambda number=number: watched.ran.count(number) == 2)
        assert near.call("add", 1, timeout=TIMEOUT) == 2
        watched.gate.set()
        assert waiting.result() == number


def test_a_server_that_leaves_lets_calls_and_streams_be_answered() -> None:
    watched = Watched()
    with Server(key=KEY, handler=lambda link: [None for _ in link]) as server:
        watched.actions(server.on)
        with Link(server.address, key=KEY) as link:
            watched.actions(link.on)
            asked = threading.Event()

            @server.on
            def ask_back(context: Any) -> int:
                asked.set()
                assert watched.gate.wait(PATIENCE_SECONDS)
                return int(context.link.call("add", 41, timeout=TIMEOUT))

            waiting, back = Task(link.call, "wait", 3), Task(link.call, "ask_back")
            stream = link.call("count", 500)
            eventually(lambda: watched.ran == [3])
            assert asked.wait(PATIENCE_SECONDS)
            began = time.monotonic()
            closing = Task(server.close, drain=PATIENCE_SECONDS)
            eventually(lambda: link._exchange._pump.dismissed)
            for call in (link.call, link.notify):
                with pytest.raises(LinkClosed, match="about to leave"):
                    call("add", 1)
            assert list(stream) == list(range(500))  # it asks for more and more of them
            watched.gate.set()
            assert (waiting.result(), back.result()) == (3, 42)
            closing.result()

            assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_a_notice_that_runs_is_waited_for_by_a_server_that_leaves_and_no_longer_than_it_takes() -> None:
    watched = Watched()
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        watched.actions(server.on)
        link.notify("wait", 1)
        eventually(lambda: watched.ran == [1])
        closing = Task(server.close, drain=PATIENCE_SECONDS)
        eventually(lambda: link._exchange._pump.dismissed)
        time.sleep(0.02)
        assert closing.running
        began = time.monotonic()
        watched.gate.set()
        closing.result()

        assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_an_action_may_close_its_link_or_its_server() -> None:
    with Server(key=KEY) as server:
        server.on("bye")(lambda context: context.link.close())
        server.on("stop")(lambda context: context.house.close(drain=PATIENCE_SECONDS))
        for name in ("bye", "stop"):
            with Link(server.address, key=KEY) as link:
                began = time.monotonic()
                with pytest.raises((LinkClosed, ConnectionCut)):
                    link.call(name, timeout=TIMEOUT)

                assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_a_coroutine_function_is_refused_where_there_is_no_loop(pair: tuple[Link, Link]) -> None:
    near, far = pair

    async def awaited() -> None:
        raise AssertionError

    far.on("awaited")(awaited)
    far.on("wrapped")(lambda: awaited())
    for name in ("awaited", "wrapped"):
        with pytest.raises(RemoteError, match=r"Misuse: .* netstructer.aio"):
            near.call(name, timeout=TIMEOUT)


def test_a_function_that_returns_a_generator_streams_as_well(pair: tuple[Link, Link]) -> None:
    near, far = pair
    far.on("squares")(lambda stop: (number * number for number in range(stop)))

    assert list(near.call("squares", 5)) == [0, 1, 4, 9, 16]


def test_what_an_action_sets_in_its_context_is_not_seen_by_the_next(pair: tuple[Link, Link]) -> None:
    near, far = pair
    secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="nothing")

    @far.on
    def swap(value: str) -> str:
        found = secret.get()
        secret.set(value)
        return found

    assert [near.call("swap", "a user's") for _ in range(3)] == ["nothing"] * 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_ctrl_c_in_a_call_cancels_it_and_the_link_lives(pair: tuple[Link, Link]) -> None:
    near, far = pair
    watched = Watched()
    watched.actions(far.on)
    chance = random.Random(5)

    def interrupt(number: int) -> None:
        eventually(lambda: number in watched.ran)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    for number in range(4):
        interrupting = Task(interrupt, number)
        with pytest.raises(KeyboardInterrupt), interrupted_after(PATIENCE_SECONDS):
            near.call("wait", number)
        interrupting.result()
        eventually(lambda number=number: ("cancelled", number) in watched.ran)
    for _ in range(25):
        with contextlib.suppress(KeyboardInterrupt), interrupted_after(chance.uniform(0.0002, 0.004)):
            while True:
                assert near.call("add", 1, timeout=TIMEOUT) == 2
        if near.closed:  # in the middle of a record: test_pump.py
            far.abort()
            break
        assert near.call("add", 1, timeout=TIMEOUT) == 2
        eventually(lambda: _running(far) in ({}, None))


def test_calls_of_a_link_that_its_holder_has_dropped_are_over() -> None:
    watched = Watched()
    with Server(key=KEY) as server:
        links = [Link(server.address, key=KEY)]
        watched.actions(links[0].on)
        far = server.accept(timeout=TIMEOUT)
        waiting = Task(far.call, "wait", 1)
        eventually(lambda: watched.ran == [1])
        with pytest.warns(ResourceWarning, match="was not closed"):
            links.clear()

        assert isinstance(waiting.error(), (LinkClosed, ConnectionCut))
        eventually(lambda: ("cancelled", 1) in watched.ran)


def test_no_thread_is_an_answer_too(pair: tuple[Link, Link], monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = pair
    Watched().actions(far.on)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "netstructer-action":
            raise RuntimeError("can't start new thread")
        start(thread)

    fresh = crew.Crew()
    monkeypatch.setattr(crew, "_crew", fresh)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            with pytest.raises(Busy, match="no room for 'add' now: no thread is left"):
                near.call("add", 1, timeout=TIMEOUT)
        near.notify("add", 1)
        eventually(lambda: left_of(far) == [])

    assert near.call("add", 1, timeout=TIMEOUT) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_crew_of_its_own(pair: tuple[Link, Link]) -> None:
    near, far = pair
    watched = Watched()
    watched.actions(far.on)
    waiting = Task(near.call, "wait", 1, timeout=TIMEOUT)
    eventually(lambda: watched.ran == [1])

    def act() -> None:
        with pytest.raises(LinkClosed):
            near.call("add", 1)
        with linked() as (here, there):
            Watched().actions(there.on)
            assert here.call("add", 1, timeout=TIMEOUT) == 2

    in_child(act)
    watched.gate.set()
    assert waiting.result() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_action_that_forks_returns_in_the_parent_alone(pair: tuple[Link, Link]) -> None:
    near, far = pair

    @far.on
    def fork() -> str:
        in_child(lambda: None)
        return "parent"

    assert near.call("fork", timeout=TIMEOUT) == "parent"


def test_links_with_an_outbox_call_on_the_session_that_they_have(tmp_path: Any) -> None:
    with Server(key=KEY) as server:
        watched = Watched()
        watched.actions(server.on)
        with Link(server.address, key=KEY, durable=tmp_path / "outbox.db") as link:
            watched.actions(link.on)
            for number in range(2):
                far = server.accept(timeout=TIMEOUT)
                assert link.call("add", number, timeout=TIMEOUT) == number + 1
                assert far.call("add", number, timeout=TIMEOUT) == number + 1
                session = link._session
                waiting = Task(link.call, "wait", 5)
                eventually(lambda: 5 in watched.ran)
                far.close()
                assert isinstance(waiting.error(), (LinkClosed, ConnectionCut))
                watched.ran.clear()
                eventually(lambda session=session: link._session is not session, "another session")


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_hears_of_what_fails_in_bounds_and_without_what_was_sent(
    pair: tuple[Link, Link], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netstructer import noting

    near, far = pair
    monkeypatch.setattr(noting, "_notes", noting._Notes())
    caplog.set_level(logging.INFO)

    @far.on
    def leak(what: str) -> None:
        raise ValueError(f"could not take {what}")

    for _ in range(50):
        with pytest.raises(RemoteError):
            near.call("leak", "the password", timeout=TIMEOUT)
    found = [record.getMessage() for record in caplog.records if "leak" in record.getMessage()]

    assert 1 <= len(found) <= 4
    assert "the action 'leak' raised ValueError" in found[0]
    assert "in leak" in found[0]  # where it was
    assert "password" not in caplog.text


# --- nothing is left --------------------------------------------------------------------------------------------------


def call_everything(link: Link) -> None:
    """Do with a link all that leaves something behind where it is done badly."""
    assert link.call("add", 1, timeout=TIMEOUT) == 2
    link.notify("add", 1)
    assert list(link.call("count", 20)) == list(range(20))
    with link.call("count", 1 << 30) as stream:
        next(stream)
    for name, args in (("fail", ("value",)), ("nothing", ()), ("unsendable", ("object",)), ("secret", ())):
        with pytest.raises(RemoteError):
            link.call(name, *args, timeout=TIMEOUT)
    with pytest.raises(LinkTimeout):
        link.call("wait", timeout=0.001)
    assert link.call("length", Blob(bytes(5000)), timeout=TIMEOUT) == 5000
    assert len(bytes(link.call("blob", 5000, timeout=TIMEOUT)["body"])) == 5000


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_calls_leave_nothing_at_a_link(kind: str) -> None:
    with paired("blocking", kind) as ends:
        watched = Watched()
        watched.actions(ends.server.on)

        def use() -> None:
            call_everything(ends.near)
            eventually(lambda: left_of(ends.far) == [])
            watched.ran.clear()

        assert grown_by(use, 20) == []
        assert left_of(ends.near) == []


def test_a_link_that_was_called_is_freed_without_the_collector() -> None:
    with Server(key=KEY) as server:
        watched = Watched()
        watched.actions(server.on)

        def visit() -> None:
            link = Link(server.address, key=KEY)
            watched.actions(link.on)
            far = server.accept(timeout=TIMEOUT)
            call_everything(link)
            call_everything(far)
            link.close()
            far.close()
            watched.ran.clear()

        def settled() -> bool:
            return not server._live and crew.crew()._free == crew.crew()._hands

        assert left_to_the_collector(visit, settled) == []


# --- the crew ---------------------------------------------------------------------------------------------------------


def test_a_crew_has_no_more_hands_than_it_may_and_they_leave_when_there_is_nothing_to_do() -> None:
    gate, done = threading.Event(), []
    found = crew.Crew(3, idle_seconds=0.02)
    for number in range(9):
        assert found.hand(lambda number=number: (gate.wait(PATIENCE_SECONDS), done.append(number)))
    eventually(lambda: found._hands == 3)
    assert found.scarce
    gate.set()
    eventually(lambda: sorted(done) == list(range(9)))
    eventually(lambda: found._hands == 0)

    assert not found.scarce
    assert found.hand(lambda: done.append("again"))
    eventually(lambda: "again" in done)
    eventually(lambda: found._hands == 0)


def test_a_job_that_fails_takes_no_hand_with_it_and_is_told_of_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, done = crew.Crew(1, idle_seconds=0.02), threading.Event()

    def fail(text: str = "pass" + "word") -> None:
        raise SystemExit(text)

    found.hand(fail)
    found.hand(done.set)

    assert done.wait(PATIENCE_SECONDS)
    assert "a job of the crew failed: SystemExit" in caplog.text
    assert "password" not in caplog.text
    eventually(lambda: found._hands == 0)


def test_a_job_waits_for_a_hand_where_no_further_one_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, done = threading.Event(), threading.Event()
    found = crew.Crew(2, idle_seconds=0.02)
    assert found.hand(lambda: gate.wait(PATIENCE_SECONDS))
    eventually(lambda: not found._jobs)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert found.hand(done.set)
    gate.set()

    assert done.wait(PATIENCE_SECONDS)
    eventually(lambda: found._hands == 0)
