"""Durable links: kept before `send` returns, carried over any number of sessions, taken with their effects."""

from __future__ import annotations

import gc
import random
import sqlite3
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, linked
from netstructer import Blob, Key, Limits, Link, Server
from netstructer.codec.values import encode
from netstructer.courier import Courier
from netstructer.durable import Outbox
from netstructer.durable.letter import Letter
from netstructer.errors import (
    BacklogFull,
    BadValue,
    InboxGap,
    InvalidKey,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageTooBig,
    Misuse,
    NetstructerError,
    OutboxDamaged,
    PortClosed,
    UnsendableValue,
)


@pytest.fixture
def outbox(tmp_path: Path) -> str:
    return str(tmp_path / "outbox.db")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(tmp_path / "app.db")
    found.execute("CREATE TABLE effects (what)")
    yield found
    found.close()


def effects(database: sqlite3.Connection) -> list[Any]:
    return [what for (what,) in database.execute("SELECT what FROM effects ORDER BY rowid")]


def take(link: Link, database: sqlite3.Connection, count: int = 1) -> None:
    for _ in range(count):
        with link.transaction(database, timeout=PATIENCE_SECONDS) as message:
            database.execute("INSERT INTO effects VALUES (?)", (message.value,))


def left(path: str) -> int:
    with Outbox(path, KEY) as outbox:
        return outbox.row_count


# --- sending ----------------------------------------------------------------------------------------------------------


def test_values_arrive_in_order_whatever_their_size_and_leave_the_outbox(
    outbox: str, database: sqlite3.Connection
) -> None:
    draw = random.Random(1)
    sizes = [draw.choice((1, 100, 3000, 70_000, 400_000)) for _ in range(60)]
    with linked(durable=outbox) as (near, far):
        ids = [near.send("x" * size).id for size in sizes]
        take(far, database, len(sizes))
        assert near.outbox is not None
        eventually(lambda: near.outbox.row_count == 0)  # type: ignore[union-attr]

    assert ids == list(range(1, 61))
    assert [len(what) for what in effects(database)] == sizes
    assert left(outbox) == 0


def test_no_row_is_begun_before_the_one_before_it_is_sealed(outbox: str, database: sqlite3.Connection) -> None:
    with (
        Server(key=KEY, limits=Limits(credit_bytes=64 << 10)) as server,
        Relay(server.address) as relay,
        Link(relay.address, key=KEY, durable=outbox, compress=False) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        relay.held.set()
        near.send(bytes(300_000))  # more than there is credit for, while nothing comes back
        for _ in range(5):
            near.send("behind it")
        assert len(near._courier._under_way) == 1  # type: ignore[union-attr]
        relay.held.clear()
        take(far, database, 6)

    assert [len(what) for what in effects(database)] == [300_000] + [9] * 5


def test_send_many_is_durable_too(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        assert near.send_many(range(300)).id == 300
        found = []
        for _ in range(300):
            with far.transaction(timeout=PATIENCE_SECONDS) as message:
                found.append(message.value)
        assert message.id == (near.outbox.id.hex(), 300)  # type: ignore[union-attr]

    assert found == list(range(300))


def test_what_waits_for_which(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        for wait in ("durable", "queued", "acked"):
            near.send(wait, wait=wait, timeout=PATIENCE_SECONDS)  # type: ignore[arg-type]  # one of them
        with pytest.raises(LinkTimeout):
            near.send("consumed", wait="consumed", timeout=0.05)
        waiting = Task(near.send, "consumed", wait="consumed", timeout=PATIENCE_SECONDS)
        assert [far.recv(timeout=PATIENCE_SECONDS) for _ in range(4)] == ["durable", "queued", "acked", "consumed"]
        assert far.recv(timeout=PATIENCE_SECONDS) == "consumed"
        waiting.result()
        assert near.outbox.row_count == 0  # type: ignore[union-attr]
        with pytest.raises(Misuse):
            near.send(1, wait="soon")  # type: ignore[arg-type]  # which is the point


def test_an_ordinary_link_has_no_outbox() -> None:
    with linked() as (near, far):
        assert near.outbox is None
        with pytest.raises(Misuse, match="durable="):
            near.send(1, wait="durable")
        near.send(1)
        with pytest.raises(Misuse, match="recv"), far.transaction(timeout=PATIENCE_SECONDS):
            pytest.fail("the block ran")
        assert far.recv(timeout=PATIENCE_SECONDS) == 1  # it is still there


def test_what_cannot_be_kept_is_refused_before_anything_is(outbox: str) -> None:
    with linked(durable=outbox, server_limits=Limits(value_bytes=4096)) as (near, _):
        with pytest.raises(UnsendableValue, match="Blob"):
            near.send([Blob(b"x")])
        with pytest.raises(MessageTooBig):
            near.send(bytes(4090))
        with pytest.raises(UnsendableValue):
            near.send_many([1, object()])
        assert near.outbox.last == 1  # type: ignore[union-attr]  # the one before the one that failed


def test_a_full_outbox_waits_and_then_says_so(outbox: str) -> None:
    with linked(durable=outbox, client_limits=Limits(outbox_rows=3)) as (near, far):
        near.send_many("abc")
        with pytest.raises(BacklogFull):
            near.send("d", timeout=0.05)
        waiting = Task(near.send, "d", timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == "a"
        assert waiting.result().id == 4


def test_more_than_an_outbox_takes_goes_one_by_one(outbox: str) -> None:
    with linked(durable=outbox, client_limits=Limits(outbox_rows=3)) as (near, far):
        sending = Task(near.send_many, "abcdefgh", timeout=PATIENCE_SECONDS)
        assert [far.recv(timeout=PATIENCE_SECONDS) for _ in range(8)] == list("abcdefgh")
        assert sending.result().id == 8


def test_what_no_outbox_takes_is_not_waited_for(outbox: str) -> None:
    with linked(durable=outbox, client_limits=Limits(outbox_bytes=1 << 20)) as (near, far):
        for send in (near.send, lambda value: near.send_many(["before", value])):
            with pytest.raises(BacklogFull):
                Task(send, bytes(1 << 20)).result()
        assert far.recv(timeout=PATIENCE_SECONDS) == "before"
        assert near.outbox.last == 1  # type: ignore[union-attr]


def test_compression_is_as_was_said_even_later(outbox: str) -> None:
    with linked(durable=outbox) as (near, _):
        near.send("zip" * 5000)
        near.send("zip" * 5000, compress=False)
        rows = [Letter.unpack(near.outbox.read(row)) for row in (1, 2)]  # type: ignore[union-attr]

    assert [row.compress for row in rows] == [True, False]


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_what_nobody_took_comes_again_to_the_next_link(outbox: str, database: sqlite3.Connection) -> None:
    with Server(key=KEY) as server:
        with Link(server.address, key=KEY, durable=outbox) as near, server.accept(timeout=PATIENCE_SECONDS) as far:
            near.send_many([1, 2, 3])
            take(far, database)
            eventually(lambda: near.outbox.row_count == 2)  # type: ignore[union-attr]
            near.close(timeout=0.2)
        assert left(outbox) == 2
        with Link(server.address, key=KEY, durable=outbox) as near, server.accept(timeout=PATIENCE_SECONDS) as far:
            near.send(4)
            take(far, database, 3)

    assert effects(database) == [1, 2, 3, 4]
    assert left(outbox) == 0


def test_what_was_committed_and_not_taken_is_not_done_twice(outbox: str, database: sqlite3.Connection) -> None:
    """The receiver died after its commit: the rows come again, and are dropped."""
    with Server(key=KEY) as server:
        with Link(server.address, key=KEY, durable=outbox) as near, server.accept(timeout=PATIENCE_SECONDS) as far:
            near.send_many(["a", "b"])
            far._exchange.take_first = lambda message: far._exchange._pump.inbox.popleft()  # type: ignore[method-assign]
            take(far, database, 2)
            near.abort()
        assert left(outbox) == 2
        with Link(server.address, key=KEY, durable=outbox) as near, server.accept(timeout=PATIENCE_SECONDS) as far:
            near.send("c")
            take(far, database)
            eventually(lambda: near.outbox.row_count == 0)  # type: ignore[union-attr]

    assert effects(database) == ["a", "b", "c"]


def test_a_server_that_starts_anew_gets_the_rest(outbox: str, database: sqlite3.Connection) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(Server(key=KEY))
        near = stack.enter_context(Link(first.address, key=KEY, durable=outbox))
        far = first.accept(timeout=PATIENCE_SECONDS)
        near.send_many(range(5))
        take(far, database, 2)
        address = first.address
        first.close(drain=0)
        near.send_many(range(5, 8))  # while nobody is there
        second = stack.enter_context(Server(address, key=KEY))
        again = second.accept(timeout=PATIENCE_SECONDS)
        take(again, database, 6)
        near.send(8)
        take(again, database)
        assert not near.closed
        with pytest.raises((LinkLost, LinkClosed)):  # that the first session is over is told, once
            near.recv(timeout=PATIENCE_SECONDS)
        again.send("still there")
        assert near.recv(timeout=PATIENCE_SECONDS) == "still there"

    assert effects(database) == list(range(9))


def test_a_server_that_leaves_in_order_takes_what_is_under_way(outbox: str) -> None:
    taken: list[object] = []
    begun = threading.Event()

    def handle(link: Link) -> None:
        for value in link:
            begun.set()
            taken.append(value)

    with ExitStack() as stack:
        first = stack.enter_context(Server(key=KEY, handler=handle))
        near = stack.enter_context(Link(first.address, key=KEY, durable=outbox))
        near.send_many(range(200))
        assert begun.wait(PATIENCE_SECONDS)
        address = first.address
        first.close(drain=PATIENCE_SECONDS)
        near.send_many(range(200, 210))
        stack.enter_context(Server(address, key=KEY, handler=handle))
        eventually(lambda: near.outbox.row_count == 0)  # type: ignore[union-attr]

    assert taken == list(range(210))  # none twice, though nobody looks at their numbers


def test_a_server_that_takes_nothing_is_asked_ever_more_seldom(outbox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    monkeypatch.setattr("netstructer.courier.pause_seconds", lambda count, chance: tries.append(count) or 0.0)
    with (
        Server(key=KEY, handler=lambda link: link.close()) as server,
        Link(server.address, key=KEY, durable=outbox) as near,
    ):
        near.send(1)
        eventually(lambda: len(tries) > 5)
        near.abort()

    assert tries[:5] == sorted(tries[:5])
    assert tries[4] >= 4


def test_what_had_come_before_a_session_was_lost_can_still_be_received(outbox: str) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(Server(key=KEY))
        near = stack.enter_context(Link(first.address, key=KEY, durable=outbox))
        far = first.accept(timeout=PATIENCE_SECONDS)
        far.send("before", wait="acked", timeout=PATIENCE_SECONDS)
        address, session = first.address, near._session
        first.close(drain=0)
        second = stack.enter_context(Server(address, key=KEY))
        again = second.accept(timeout=PATIENCE_SECONDS)
        again.send("after")
        eventually(lambda: near._session is not session)

        assert near.recv(timeout=PATIENCE_SECONDS) == "before"
        with pytest.raises((LinkLost, LinkClosed)):
            near.recv(timeout=PATIENCE_SECONDS)
        assert near.recv(timeout=PATIENCE_SECONDS) == "after"


def test_a_transport_that_is_cut_is_no_new_session(outbox: str, database: sqlite3.Connection) -> None:
    with (
        Server(key=KEY) as server,
        Relay(server.address) as relay,
        Link(relay.address, key=KEY, durable=outbox) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        session = near._session
        for number in range(30):
            near.send(number)
            if number % 10 == 5:
                relay.cut()
            take(far, database)
        assert near._session is session

    assert effects(database) == list(range(30))


def test_a_link_that_finds_no_server_raises_and_leaves_the_outbox_alone(outbox: str) -> None:
    with Server(key=KEY) as server:
        address = server.address
    for _ in range(2):
        with pytest.raises(PortClosed):
            Link(address, key=KEY, durable=outbox)
    with Outbox(outbox, KEY) as kept:
        assert kept.last == 0


def test_an_outbox_has_one_link(outbox: str) -> None:
    with linked(durable=outbox) as (near, _), pytest.raises(Misuse, match="in use"):
        Link(near.peer, key=KEY, durable=outbox)


def test_another_key_and_a_damaged_outbox_are_found_before_anything_is_sent(outbox: str) -> None:
    other = Key.generate()
    with Server(key={"a": KEY, "b": other}) as server:
        with Link(server.address, key=KEY, durable=outbox) as near:
            near.send(1)
            near.close(timeout=0.1)
        with pytest.raises(InvalidKey, match="rewrap"):
            Link(server.address, key=other, durable=outbox)
        Outbox.rewrap(outbox, KEY, other)
        with Link(server.address, key=other, durable=outbox) as near:
            near.close(timeout=0.1)
        damaged = sqlite3.connect(outbox)
        with damaged:
            damaged.execute("UPDATE netstructer_rows SET sealed = zeroblob(40)")
        damaged.close()
        with pytest.raises(OutboxDamaged) as caught:
            Link(server.address, key=other, durable=outbox)
        assert caught.value.row == 1


def test_a_key_that_takes_the_place_of_the_old_one_opens_the_outbox(outbox: str) -> None:
    other = Key.generate()
    with linked(durable=outbox, on_new_key=lambda _: None) as (near, far):
        near._courier._credentials.key = other  # type: ignore[union-attr]  # as the server would have it
        near.send(1)
        assert far.recv(timeout=PATIENCE_SECONDS) == 1
        near.send(2)
        eventually(lambda: near._courier._key == other)  # type: ignore[union-attr]
    with Outbox(outbox, other) as kept:
        assert kept.last == 2


def test_a_key_that_nobody_keeps_seals_no_outbox(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        near._courier._credentials.learn(Key.generate())  # type: ignore[union-attr]  # whoever the server is
        for number in (1, 2):
            near.send(number, wait="acked", timeout=PATIENCE_SECONDS)
            assert far.recv(timeout=PATIENCE_SECONDS) == number
    with Outbox(outbox, KEY) as kept:
        assert kept.last == 2


def test_a_row_that_the_next_server_does_not_take_is_named_and_blames_no_other(
    outbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(outbox, KEY) as kept:
        kept.append(Letter(b"".join(encode(bytes(200_000)).buffers), False).pack())
    with monkeypatch.context() as patch:
        patch.setattr(Courier, "_serve", lambda courier, exchange: eventually(lambda: courier.ending))
        with linked(durable=outbox, server_limits=Limits(value_bytes=100_000)) as (near, _):
            assert near.send("kept all the same").id == 2
            near.close(timeout=0)
    with linked(durable=outbox, server_limits=Limits(value_bytes=100_000)) as (near, _):
        eventually(lambda: near.closed)
        with pytest.raises(MessageTooBig, match="row 1 of the outbox"):
            near.send("not kept")
        assert near.outbox.last == 2  # type: ignore[union-attr]


def test_a_row_that_rots_while_it_waits_ends_the_carrying_and_every_send(outbox: str) -> None:
    with linked(durable=outbox, compress=False, server_limits=Limits(credit_bytes=64 << 10)) as (near, far):
        near.send_many([bytes([place]) * 200_000 for place in range(12)], timeout=PATIENCE_SECONDS)
        near.outbox._store._connection.execute(  # type: ignore[union-attr]
            "UPDATE netstructer_rows SET sealed = zeroblob(40) WHERE n = 12"
        )
        for place in range(11):
            assert far.recv(timeout=PATIENCE_SECONDS) == bytes([place]) * 200_000
        eventually(lambda: near.closed)
        for _ in range(2):
            with pytest.raises(OutboxDamaged) as caught:
                near.send("after it")
            assert caught.value.row == 12


# --- the end ----------------------------------------------------------------------------------------------------------


def test_closing_waits_for_what_is_taken_and_no_longer(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        near.send("x")
        closing = Task(near.close, timeout=PATIENCE_SECONDS)
        with far.transaction(timeout=PATIENCE_SECONDS) as message:
            assert closing.running
            assert message.value == "x"
        assert isinstance(Task(lambda: list(far)).result(), list)
        far.close()
        closing.result()
        assert near.closed
        for act in (lambda: near.send(1), lambda: near.recv(timeout=0)):
            with pytest.raises((LinkClosed, Misuse)):
                act()
        near.close()
    assert left(outbox) == 0


def test_a_receiver_that_closes_takes_nothing(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        near.send_many([1, 2, 3], timeout=PATIENCE_SECONDS)
        far.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: len(far._exchange._pump.inbox) == 2)
        far.close(timeout=0.2)
        near.abort()
    assert left(outbox) == 2


def test_an_aborted_link_keeps_what_it_has(outbox: str) -> None:
    with linked(durable=outbox) as (near, _):
        near.send(1)
        near.abort()
        near.abort()
        with pytest.raises(LinkClosed):
            near.send(2)
    assert left(outbox) == 1


def test_a_link_that_nobody_holds_lets_go_of_its_outbox(outbox: str) -> None:
    with Server(key=KEY) as server:
        near: Link | None = Link(server.address, key=KEY, durable=outbox)
        near.send(1)  # type: ignore[union-attr]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            near = None
            gc.collect()
        assert [warning.category for warning in caught] == [ResourceWarning]

        def opens() -> bool:
            try:
                return left(outbox) == 1
            except Misuse:
                return False

        eventually(opens)


# --- taking -----------------------------------------------------------------------------------------------------------


def test_a_block_that_raises_gets_the_same_message_again(outbox: str, database: sqlite3.Connection) -> None:
    with linked(durable=outbox) as (near, far):
        near.send_many(["a", "b"])
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                take_and_fail(far, database)
        assert effects(database) == []
        assert near.outbox.row_count == 2  # type: ignore[union-attr]
        take(far, database, 2)

    assert effects(database) == ["a", "b"]


def take_and_fail(link: Link, database: sqlite3.Connection) -> None:
    with link.transaction(database, timeout=PATIENCE_SECONDS) as message:
        database.execute("INSERT INTO effects VALUES (?)", (message.value,))
        raise ZeroDivisionError


def test_transactions_and_recv_share_one_order(outbox: str, database: sqlite3.Connection) -> None:
    with linked(durable=outbox) as (near, far):
        near.send_many(range(4))
        take(far, database, 2)
        assert far.recv(timeout=PATIENCE_SECONDS) == 2
        with pytest.raises(InboxGap) as caught:
            take(far, database)
        assert (caught.value.expected, caught.value.found) == (3, 4)
        with far.transaction(timeout=PATIENCE_SECONDS) as message:
            assert message.value == 3
            assert repr(message) == f"<Received row 4 of {message.id[0]}>"


def test_a_value_that_is_none_here_is_skipped_by_decision_only(outbox: str, database: sqlite3.Connection) -> None:
    with linked(durable=outbox) as (near, far):
        near._courier._payloads = _Sending(b"\xfc\x00")  # type: ignore[union-attr,assignment]  # nothing decodes that
        near.send("never read")
        near._courier._payloads = near._session.payloads  # type: ignore[union-attr]
        near.send("good")
        for _ in range(2):
            with pytest.raises(BadValue):
                take(far, database)
        with far.transaction(database, timeout=PATIENCE_SECONDS) as message, pytest.raises(BadValue):
            _ = message.value
        take(far, database)
        assert not far.closed

    assert effects(database) == ["good"]


class _Sending:
    """Payloads that encode everything as the same bytes."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def encode_row(self, value: object) -> bytes:
        return self._encoded


def test_one_transaction_at_a_time(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        near.send_many("ab")
        inside, go = threading.Event(), threading.Event()

        def deal() -> object:
            with far.transaction(timeout=PATIENCE_SECONDS) as message:
                inside.set()
                go.wait(PATIENCE_SECONDS)
                return message.value

        first = Task(deal)
        assert inside.wait(PATIENCE_SECONDS)
        with pytest.raises(LinkTimeout), far.transaction(timeout=0.02):
            pytest.fail("the block ran")
        second = Task(deal)
        go.set()
        assert (first.result(), second.result()) == ("a", "b")


def test_recv_waits_for_what_becomes_of_a_message_that_is_dealt_with(outbox: str) -> None:
    with linked(durable=outbox) as (near, far):
        near.send_many("ab")
        waiting: list[Task[object]] = []
        with far.transaction(timeout=PATIENCE_SECONDS) as message:
            waiting.append(Task(far.recv, timeout=PATIENCE_SECONDS))
            assert isinstance(Task(far.recv, timeout=0.05).error(), LinkTimeout)
            assert message.value == "a"
        assert waiting[0].result() == "b"

        near.send_many("cd")
        with pytest.raises(ZeroDivisionError), far.transaction(timeout=PATIENCE_SECONDS):
            raise_after(waiting.append, Task(far.recv, timeout=PATIENCE_SECONDS))
        assert waiting[1].result() == "c"
        with far.transaction(timeout=PATIENCE_SECONDS) as message:
            for act in (far.recv, lambda: far.transaction().__enter__()):
                with pytest.raises(Misuse, match="this thread"):
                    act()
            assert message.value == "d"


def raise_after(act: Any, argument: object) -> None:
    act(argument)
    raise ZeroDivisionError


def test_nothing_comes_in_time(outbox: str, database: sqlite3.Connection) -> None:
    with linked(durable=outbox) as (_, far):
        with pytest.raises(LinkTimeout):
            take_now(far, database)
        assert not database.in_transaction
        with pytest.raises(Misuse, match="sqlite3"), far.transaction("app.db", timeout=0):  # type: ignore[arg-type]
            pytest.fail("the block ran")


def take_now(link: Link, database: sqlite3.Connection) -> None:
    with link.transaction(database, timeout=0.02):
        pytest.fail("the block ran")


def test_a_link_that_is_lost_while_a_block_runs_does_not_undo_it(outbox: str, database: sqlite3.Connection) -> None:
    with (
        Server(key=KEY) as server,
        Link(server.address, key=KEY, durable=outbox) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        near.send_many("ab")
        with far.transaction(database, timeout=PATIENCE_SECONDS) as message:
            database.execute("INSERT INTO effects VALUES (?)", (message.value,))
            far.abort()
        with pytest.raises(NetstructerError):
            take_now(far, database)
        again = server.accept(timeout=PATIENCE_SECONDS)
        take(again, database)
        near.abort()

    assert effects(database) == ["a", "b"]
