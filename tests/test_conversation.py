"""Conversations: numbered dialogues beside the application's own values, and never among them."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Blob, Limits, Link
from netstructer.conversation import Conversation
from netstructer.errors import (
    BadCompression,
    BadValue,
    ConnectionCut,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
)

MIB = 1 << 20


def accept(link: Link) -> Conversation:
    return link.accept_conversation(timeout=PATIENCE_SECONDS)


def recv(end: Link | Conversation) -> object:
    return end.recv(timeout=PATIENCE_SECONDS)


def opened(near: Link, far: Link, first: object = "hello") -> tuple[Conversation, Conversation]:
    """Return both ends of a conversation, its first value taken."""
    here = near.conversation()
    here.send(first)
    there = accept(far)
    assert recv(there) == first
    return here, there


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    with linked(limits=Limits(spool_link_bytes=2 * MIB)) as (near, far):
        yield near, far


Ends = tuple[Link, Link]


def test_values_go_to_and_fro_and_recv_never_sees_them(ends: Ends) -> None:
    near, far = ends
    with near.conversation() as here:
        here.send({"what": "time"})
        with accept(far) as there:
            near.send("an application's own value")
            assert recv(there) == {"what": "time"}
            there.send([12, None, ()])
            there.send(())
            assert recv(far) == "an application's own value"
            assert [recv(here), recv(here)] == [[12, None, ()], ()]
    assert (here.number, there.number) == (1, 1)
    with pytest.raises(LinkTimeout):
        near.recv(timeout=0)
    with pytest.raises(LinkTimeout):
        far.recv(timeout=0)


def test_conversations_of_both_ends_interleave(ends: Ends) -> None:
    near, far = ends
    mine = [near.conversation() for _ in range(3)]
    theirs = [far.conversation() for _ in range(3)]
    assert [one.number for one in mine] == [1, 3, 5]
    assert [one.number for one in theirs] == [2, 4, 6]
    for step in range(2):
        for one in (*mine, *theirs):
            one.send([one.number, step])
    accepted = {one.number: one for one in [*(accept(far) for _ in mine), *(accept(near) for _ in theirs)]}
    assert list(accepted) == [1, 3, 5, 2, 4, 6]
    for number in (6, 1, 4, 3, 2, 5):
        assert [recv(accepted[number]) for _ in range(2)] == [[number, 0], [number, 1]]
        accepted[number].send("answer")
    for one in (*theirs, *mine):
        assert recv(one) == "answer"


def test_a_conversation_may_speak_later_than_those_opened_after_it(ends: Ends) -> None:
    near, far = ends
    first, second = near.conversation(), near.conversation()
    second.send("second")
    first.send("first")

    assert [recv(accept(far)) for _ in range(2)] == ["second", "first"]


def test_a_conversation_is_accepted_when_its_first_value_is_there(ends: Ends) -> None:
    near, far = ends
    near.conversation()
    with pytest.raises(LinkTimeout):
        far.accept_conversation(timeout=0.01)
    accepting = Task(accept, far)
    here = near.conversation()
    here.send(1)

    assert accepting.result().number == here.number


def test_nothing_came_in_time_and_then_it_does(ends: Ends) -> None:
    here, there = opened(*ends)
    for timeout in (0, 0.01):
        with pytest.raises(LinkTimeout):
            there.recv(timeout=timeout)
    here.send(2)

    assert recv(there) == 2


# --- blobs ------------------------------------------------------------------------------------------------------------


def test_blobs_stream_in_conversations(ends: Ends) -> None:
    near, far = ends
    here, there = opened(near, far)
    content = bytes(range(256)) * 20_000
    sending = Task(here.send, {"file": Blob.from_iter([content[:9], content[9:]])})
    other = Task(there.send, Blob(content), timeout=PATIENCE_SECONDS)
    value = recv(there)
    assert isinstance(value, dict)
    assert bytes(value["file"]) == content
    assert b"".join(map(bytes, recv(here))) == content  # type: ignore[call-overload]
    sending.result()
    other.result()

    assert here.wire_bytes() == near.stats.wire_sent + near.stats.wire_received > 1000


@pytest.mark.parametrize("accepted", [False, True])
def test_who_closes_lets_the_blobs_of_the_other_end_go(ends: Ends, accepted: bool) -> None:
    near, far = ends
    here = near.conversation()
    sending = Task(here.send, Blob.from_iter(os.urandom(MIB) for _ in range(64)))
    there = accept(far)
    if accepted:
        blob = recv(there)
        assert isinstance(blob, Blob)
        next(iter(blob))
        del blob
        gc.collect()
    there.close()

    assert type(sending.error()) is MessageCancelled
    assert far._session.inflow.inbound.unread == 0
    near.send("still")
    assert recv(far) == "still"


# --- the end ----------------------------------------------------------------------------------------------------------


def test_the_end_is_heard_after_what_was_sent_before_it(ends: Ends) -> None:
    here, there = opened(*ends)
    here.send("last")
    here.close()
    here.close()
    assert recv(there) == "last"
    for _ in range(2):
        with pytest.raises(LinkClosed):
            recv(there)
        with pytest.raises(LinkClosed):
            there.send("too late")
        for late in (here.send, lambda _: here.recv(timeout=0)):
            with pytest.raises(LinkClosed):
                late("too late")
        there.close()


def test_what_is_sent_to_an_end_that_has_closed_is_dropped_and_costs_no_credit(ends: Ends) -> None:
    near, far = ends
    here, there = opened(near, far)
    there.close()
    for _ in range(5):
        here.send(bytes(100_000))
    near.send("done", wait="acked", timeout=PATIENCE_SECONDS)

    assert recv(far) == "done"
    assert far._session.inflow.inbound.unread == 0
    with pytest.raises(LinkClosed):
        recv(here)


def test_what_nobody_has_read_of_a_conversation_is_given_back_when_it_closes(ends: Ends) -> None:
    near, far = ends
    here = near.conversation()
    for _ in range(5):
        here.send(bytes(100_000))
    there = accept(far)
    eventually(lambda: len(far._exchange._pump.asides._queues[1]) == 5, "all five")
    there.close()

    assert far._session.inflow.inbound.unread == 0


def test_an_end_that_closes_wakes_its_own_reader(ends: Ends) -> None:
    _, there = opened(*ends)
    reading = Task(there.recv)
    eventually(lambda: there._exchange._pump.reading, "the reader")
    there.close()

    assert isinstance(reading.error(), LinkClosed)


@pytest.mark.parametrize("who", [0, 1])
def test_the_end_of_the_link_is_the_end_of_its_conversations(ends: Ends, who: int) -> None:
    conversations = opened(*ends)
    waiting = [Task(one.recv) for one in conversations] + [Task(link.accept_conversation) for link in ends]
    for one in conversations:
        eventually(lambda pump=one._exchange._pump: pump.reading + pump._sleepers == 2, "the readers")
    ends[who].close(timeout=PATIENCE_SECONDS)

    for task in waiting:
        assert isinstance(task.error(), LinkClosed)
    for link, one in zip(ends, conversations, strict=True):
        with pytest.raises(LinkClosed):
            link.conversation()
        with pytest.raises(LinkClosed):
            one.send(1)
        one.close()
        one.close()


@pytest.mark.parametrize("accepted", [False, True])
def test_what_came_before_the_farewell_can_still_be_received(ends: Ends, accepted: bool) -> None:
    near, far = ends
    here = near.conversation()
    here.send("first")
    there = accept(far) if accepted else None
    here.send("second")
    closing = Task(near.close, timeout=PATIENCE_SECONDS)
    eventually(lambda: far.closed, "the farewell")
    there = there or accept(far)

    assert [recv(there), recv(there)] == ["first", "second"]
    with pytest.raises(LinkClosed):
        recv(there)
    with pytest.raises(LinkClosed):
        accept(far)
    closing.result()


def test_an_end_that_aborts_receives_nothing_more_and_the_other_is_cut(ends: Ends) -> None:
    near, far = ends
    here, there = opened(near, far)
    here.send("unread")
    eventually(lambda: far._exchange._pump.asides.waiting(there.number), "the value")
    far.abort()
    with pytest.raises(LinkClosed):
        recv(there)
    with pytest.raises(LinkLost) as caught:
        recv(here)

    assert isinstance(caught.value, ConnectionCut)
    there.close()
    here.close()


# --- what is no value of a conversation -------------------------------------------------------------------------------


def test_what_is_no_value_of_a_conversation_fails_alone(ends: Ends) -> None:
    near, far = ends
    here, there = opened(near, far)
    gate = threading.Event()

    def source() -> Iterator[bytes]:
        yield bytes(MIB)
        assert gate.wait(PATIENCE_SECONDS)

    payloads = near._session.payloads
    outgoing = payloads.compose(payloads.encode([Blob.from_iter(source()), 2]))
    outgoing.conversation = here.number
    sending = Task(near._exchange.submit, outgoing, lambda: outgoing.done)
    with pytest.raises(BadValue, match="in a tuple of its own"):
        recv(there)
    gate.set()
    sending.result()
    here.send("next")

    assert recv(there) == "next"


def test_what_does_not_expand_ends_the_link(ends: Ends) -> None:
    near, far = ends
    here, there = opened(near, far)
    outgoing = near._session.payloads.compose(near._session.payloads.encode(("x",)))
    outgoing.codec = 1
    outgoing.conversation = here.number
    near._exchange.submit(outgoing, lambda: outgoing.done)
    with pytest.raises(BadCompression):
        recv(there)

    with pytest.raises(LinkLost, match="BadCompression"):
        recv(here)


def test_it_shows_its_number_and_its_link(ends: Ends) -> None:
    near, _ = ends

    assert repr(near.conversation()) == f"<Conversation 1 of link {near.id}>"


def test_a_conversation_that_nobody_holds_any_more_is_over_at_both_ends() -> None:
    with linked() as (near, far):
        dropped = near.conversation()
        dropped.send("first")
        kept = far.accept_conversation(timeout=PATIENCE_SECONDS)
        kept.send(bytes(1000))
        number = dropped.number
        eventually(lambda: near._exchange._pump.asides.waiting(number), "the answer")
        del dropped
        gc.collect()

        assert kept.recv(timeout=PATIENCE_SECONDS) == "first"
        with pytest.raises(LinkClosed, match="the other end has closed"):
            kept.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: near._exchange._pump.asides.over(number), "its end")
        assert near._session.inflow.inbound.unread == 0


def test_a_link_has_so_many_numbers_for_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.protocol.asides.CALLS_FROM", 4)
    with linked() as (near, _):
        with near.conversation(), near.conversation():
            pass
        with pytest.raises(LinkClosed, match="no more numbers"):
            near.conversation()
