"""A link as its users see it: every promise of its methods, over real sockets on loopback."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, linked, open_files
from netstructer import Key, Limits, Link, Server, register
from netstructer.codec.types import Types
from netstructer.errors import (
    BadValue,
    ConnectionCut,
    InvalidAddress,
    KeyRefused,
    LinkClosed,
    LinkTimeout,
    MessageTooBig,
    MissingKey,
    Misuse,
    NetstructerError,
    UnsendableValue,
)
from netstructer.goals import Sent

VALUE = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
SMALL = Limits(credit_bytes=64 << 10, body_bytes=1024)
"""A window that a few values fill."""


@pytest.fixture
def pair() -> Iterator[tuple[Link, Link]]:
    with linked() as both:
        yield both


# --- values -----------------------------------------------------------------------------------------------------------


def test_a_value_arrives_equal_types_included(pair: tuple[Link, Link]) -> None:
    near, far = pair
    sent = near.send(VALUE)
    found = far.recv(timeout=5)

    assert found == VALUE
    assert [type(item) for item in found] == [type(item) for item in VALUE]
    assert [type(item) for item in found[4]] == [bool, bool]
    assert isinstance(sent, Sent)
    assert 0 < sent.plain_bytes < sent.wire_bytes


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 4095, 4096, 65535, 65536, 65537, 300_000, 3_000_000])
@pytest.mark.parametrize("compress", [True, False])
def test_values_of_every_size_go_both_ways(pair: tuple[Link, Link], size: int, compress: bool) -> None:
    near, far = pair
    value = {"body": bytes(range(256)) * (size // 256) + bytes(size % 256), "size": size}
    near.send(value, compress=compress)

    assert far.recv(timeout=PATIENCE_SECONDS) == value

    far.send(value, compress=compress)

    assert near.recv(timeout=PATIENCE_SECONDS) == value


def test_compression_is_for_each_message_to_choose() -> None:
    text = "the same words again and again " * 2000
    with linked() as (near, far):
        on, off = near.send(text), near.send(text, compress=False)

        assert far.recv(timeout=5) == far.recv(timeout=5) == text
        assert on.plain_bytes == off.plain_bytes > len(text)
        assert on.wire_bytes < 2000
        assert off.wire_bytes > len(text)

    with linked(compress=False) as (near, far):
        assert near.send(text).wire_bytes > len(text)
        assert near.send(text, compress=True).wire_bytes < 2000
        assert far.send(text).wire_bytes < 2000


def test_padding_hides_which_of_two_lengths_it_was() -> None:
    for padding in ("bucket", "full"):
        with linked(padding=padding) as (near, far):
            lengths = {near.send("x" * size).wire_bytes for size in (700, 710, 720)}

            assert len(lengths) == 1
            assert [len(far.recv(timeout=5)) for _ in range(3)] == [700, 710, 720]

    with linked() as (near, _):
        assert len({near.send("x" * size).wire_bytes for size in (100, 130, 160)}) == 3


def test_padding_that_is_none_is_refused() -> None:
    with pytest.raises(Misuse, match="padding"):
        Link(("127.0.0.1", 1), key=KEY, padding="much")  # type: ignore[arg-type]  # that is the test

    with pytest.raises(Misuse, match="padding"):
        Server(key=KEY, padding="much")  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("hide", [True, False])
def test_the_clear_clock_of_the_tokens_can_be_hidden(hide: bool) -> None:
    with Server(key=KEY, hide_clock=hide) as server, Relay(server.address) as relay:
        with Link(relay.address, key=KEY, hide_clock=hide) as link:
            far = server.accept(timeout=5)
            link.send(1)
            far.send(2)
            link.recv(timeout=5)
        clocks = {
            clock for way, skip in (("out", 128), ("in", 120)) for clock in clocks_of(bytes(relay.passed[way][skip:]))
        }

    assert len(clocks) >= 1
    assert all((clock == 0) is hide for clock in clocks)


def clocks_of(wire: bytes) -> list[int]:
    """Return the times that the frames of a recording state in the clear."""
    found = []
    while len(wire) >= 13:
        length = int.from_bytes(wire[:4], "big")
        found.append(int.from_bytes(wire[5:13], "big"))
        wire = wire[4 + length :]
    return found


def send_until_it_stops(link: Link, make: Callable[[int], object]) -> int:
    """Send `make(0)`, `make(1)` … until one does not get through; return how many did."""
    for number in count():
        try:
            link.send(make(number), compress=False, timeout=0.3)
        except LinkTimeout:
            break
    return number


def receive_until_silence(link: Link) -> list[Any]:
    """Return what comes until nothing does."""
    found = []
    while True:
        try:
            found.append(link.recv(timeout=0.3))
        except LinkTimeout:
            return found


# --- send -------------------------------------------------------------------------------------------------------------


def test_a_value_that_does_not_travel_is_refused_at_its_sender_and_nothing_is_sent(pair: tuple[Link, Link]) -> None:
    near, far = pair
    before = near.stats
    with pytest.raises(UnsendableValue) as caught:
        near.send({"jobs": [1, 2, object()]})

    assert caught.value.path == 'value["jobs"][2]'
    assert near.stats == before

    near.send("next")

    assert far.recv(timeout=5) == "next"


def test_a_value_over_the_peers_limits_is_refused_at_its_sender_and_nothing_is_sent() -> None:
    with linked(server_limits=Limits(value_bytes=2048, value_depth=5, value_items=64)) as (near, far):
        before = near.stats
        for value in (bytes(3000), [[[[[[1]]]]]], list(range(100))):
            with pytest.raises(MessageTooBig) as caught:
                near.send(value)

            assert caught.value.limit

        assert near.stats == before
        far.send(bytes(3000))
        near.send("fits")

        assert far.recv(timeout=5) == "fits"
        assert len(near.recv(timeout=5)) == 3000
        assert near.peer_limits.value_bytes == far.limits.value_bytes == 2048


def test_queued_does_not_wait_for_the_peer(pair: tuple[Link, Link]) -> None:
    near, far = pair
    for number in range(100):
        near.send(number, timeout=0)

    assert [far.recv(timeout=5) for _ in range(100)] == list(range(100))


def test_acked_waits_until_the_peer_has_it_though_nobody_receives(pair: tuple[Link, Link]) -> None:
    near, far = pair
    near.send("kept", wait="acked", timeout=PATIENCE_SECONDS)

    assert far.stats.messages_received == 1
    assert far.recv(timeout=0) == "kept"


def test_consumed_waits_until_the_application_has_taken_it(pair: tuple[Link, Link]) -> None:
    near, far = pair
    with pytest.raises(LinkTimeout):
        near.send("first", wait="consumed", timeout=0.15)
    waiting = Task(near.send, "second", wait="consumed")
    eventually(lambda: far.stats.messages_received == 2)

    assert waiting.running
    assert far.recv(timeout=5) == "first"
    assert waiting.running
    assert far.recv(timeout=5) == "second"

    waiting.result()


@pytest.mark.parametrize("size", [10, 100_000, 12 << 20])
@pytest.mark.parametrize("wait", ["acked", "consumed"])
def test_what_is_waited_for_can_be_of_any_size(pair: tuple[Link, Link], size: int, wait: Any) -> None:
    near, far = pair
    receiving = Task(far.recv)
    near.send(bytes(size), wait=wait, timeout=PATIENCE_SECONDS, compress=False)

    assert receiving.result() == bytes(size)


def test_an_unknown_wait_is_misuse(pair: tuple[Link, Link]) -> None:
    with pytest.raises(Misuse, match="wait"):
        pair[0].send(1, wait="arrived")  # type: ignore[arg-type]  # that is the test


def test_a_slow_reader_stops_the_writer_and_a_timeout_cancels_that_message_only() -> None:
    with linked(limits=SMALL) as (near, far):
        sent = send_until_it_stops(near, lambda number: {"n": number, "body": bytes(2000)})

        assert 5 < sent < 100
        with pytest.raises(LinkTimeout):
            near.send(bytes(500_000), compress=False, timeout=0.1)
        found = [far.recv(timeout=5)["n"] for _ in range(sent)]

        assert found == list(range(sent))
        near.send("after", timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=5) == "after"
        with pytest.raises(LinkTimeout):
            far.recv(timeout=0.1)


def test_a_large_message_in_the_middle_of_its_way_can_be_given_up() -> None:
    with Server(key=KEY, limits=SMALL) as server, Relay(server.address) as relay, Link(relay.address, key=KEY) as link:
        far = server.accept(timeout=5)
        relay.held.set()
        with pytest.raises(LinkTimeout):
            link.send(bytes(30 << 20), compress=False, timeout=0.3)
        relay.held.clear()
        link.send("after", timeout=PATIENCE_SECONDS)

        assert far.recv(timeout=PATIENCE_SECONDS) == "after"


def test_a_timeout_holds_though_the_peer_keeps_taking(pair: tuple[Link, Link]) -> None:
    near, far = pair
    draining = Task(lambda: [far.recv() for _ in range(1)])
    began = time.monotonic()
    with pytest.raises(LinkTimeout):
        near.send(bytes(400 << 20), compress=False, timeout=0.2)
    took = time.monotonic() - began
    near.send("after")

    assert took < 2.0
    assert draining.result() == ["after"]


def test_small_messages_overtake_a_large_one_from_another_thread() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay, Link(relay.address, key=KEY) as link:
        far = server.accept(timeout=5)
        large = Task(link.send, bytes(60 << 20), compress=False)
        eventually(lambda: link.stats.wire_sent > 0)
        sent = 0
        while large.running and sent < 200:
            link.send(sent, timeout=PATIENCE_SECONDS)
            sent += 1
        large.result()
        found = [far.recv(timeout=PATIENCE_SECONDS) for _ in range(sent + 1)]
        place = next(index for index, value in enumerate(found) if isinstance(value, bytes))

        assert sent > 1
        assert place >= min(3, sent // 2)  # some may be sent after the large one was sealed, before its thread says so
        assert found[:place] + found[place + 1 :] == list(range(sent))


# --- send_many --------------------------------------------------------------------------------------------------------


def test_many_values_go_in_few_records_and_in_order(pair: tuple[Link, Link]) -> None:
    near, far = pair
    values = [{"n": number, "body": "x" * (number % 50)} for number in range(5000)]
    receiving = Task(lambda: [far.recv(timeout=PATIENCE_SECONDS) for _ in values])
    sent = near.send_many(iter(values))

    assert receiving.result() == values
    assert sent.wire_bytes < sent.plain_bytes * 1.4
    assert near.stats.messages_sent == far.stats.messages_received == 5000


def test_many_may_mix_small_and_large(pair: tuple[Link, Link]) -> None:
    near, far = pair
    values = [number if number % 3 else bytes(number * 2000) for number in range(60)]
    receiving = Task(lambda: [far.recv(timeout=PATIENCE_SECONDS) for _ in values])
    near.send_many(values)

    assert receiving.result() == values


def test_none_of_many_is_nothing(pair: tuple[Link, Link]) -> None:
    assert pair[0].send_many([]) == Sent(0, 0)


def test_a_value_that_fails_in_the_middle_leaves_those_before_it_sent(pair: tuple[Link, Link]) -> None:
    near, far = pair

    def values() -> Iterator[object]:
        yield from range(10)
        raise ZeroDivisionError

    with pytest.raises(UnsendableValue):
        near.send_many([1, 2, object(), 3])
    with pytest.raises(ZeroDivisionError):
        near.send_many(values())
    near.send("after")

    assert [far.recv(timeout=5) for _ in range(13)] == [1, 2, *range(10), "after"]


def test_many_that_do_not_get_through_in_time_are_cancelled_and_do_not_come_later() -> None:
    with linked(limits=SMALL) as (near, far):
        with pytest.raises(LinkTimeout):
            near.send_many(({"n": number, "body": "x" * 900} for number in range(10_000)), timeout=0.3)
        found = [value["n"] for value in receive_until_silence(far)]

        assert found == list(range(len(found)))
        assert 0 < len(found) < 10_000
        near.send("after")
        assert far.recv(timeout=5) == "after"


# --- recv -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.001, 0.2])
def test_recv_waits_as_long_as_it_is_told(pair: tuple[Link, Link], timeout: float) -> None:
    near, far = pair
    began = time.monotonic()
    with pytest.raises(LinkTimeout) as caught:
        far.recv(timeout=timeout)
    took = time.monotonic() - began

    assert max(timeout, 0) <= took < timeout + 2
    assert isinstance(caught.value, TimeoutError)

    near.send(1)
    eventually(lambda: far.stats.messages_received)

    assert far.recv(timeout=timeout) == 1


@pytest.mark.parametrize("timeout", [1e9, float("inf")])
def test_a_timeout_may_be_as_long_as_anybody_likes(pair: tuple[Link, Link], timeout: float) -> None:
    near, far = pair
    waiting = Task(far.recv, timeout=timeout)
    beside = Task(far.recv, timeout=timeout)
    near.send(1, timeout=timeout)
    near.send(1, timeout=timeout, wait="consumed")

    assert waiting.result() == beside.result() == 1


def test_recv_without_a_timeout_waits(pair: tuple[Link, Link]) -> None:
    near, far = pair
    waiting = Task(far.recv)
    time.sleep(0.2)

    assert waiting.running

    near.send("now")

    assert waiting.result() == "now"


def test_a_value_over_max_bytes_stays_and_may_be_asked_for_again(pair: tuple[Link, Link]) -> None:
    near, far = pair
    near.send("x" * 1000)
    near.send("next")
    for _ in range(3):
        with pytest.raises(MessageTooBig) as caught:
            far.recv(timeout=5, max_bytes=999)

        assert caught.value.limit == 999
        assert caught.value.found > 1000

    assert far.recv(timeout=5, max_bytes=caught.value.found) == "x" * 1000
    assert far.recv(timeout=5, max_bytes=100) == "next"


@dataclass(frozen=True)
class Point:
    x: int
    y: int


def test_a_type_that_was_not_registered_does_not_travel(pair: tuple[Link, Link]) -> None:
    near, far = pair
    with pytest.raises(UnsendableValue):
        near.send(Point(1, 2))
    register(Point, name="test_link.Point")
    near.send([Point(1, 2)])

    assert far.recv(timeout=5) == [Point(1, 2)]


def test_a_message_that_is_no_value_here_is_its_own_affair_and_the_link_lives(pair: tuple[Link, Link]) -> None:
    near, far = pair
    types = Types()
    types.register(Point, name="only.the.sender.knows")
    object.__setattr__(near._session.payloads, "types", types)
    near.send(Point(1, 2))
    near.send("fine")
    with pytest.raises(BadValue):
        far.recv(timeout=5)

    assert far.recv(timeout=5) == "fine"
    far.send("back")
    assert near.recv(timeout=5) == "back"


def test_iteration_ends_at_the_farewell(pair: tuple[Link, Link]) -> None:
    near, far = pair
    near.send_many(range(100))
    closing = Task(near.close)

    assert list(far) == list(range(100))
    closing.result()
    with pytest.raises(LinkClosed):
        far.recv()


def test_iteration_raises_where_the_link_is_cut(pair: tuple[Link, Link]) -> None:
    near, far = pair
    near.send_many(range(3))
    values = iter(far)

    assert [next(values) for _ in range(3)] == [0, 1, 2]

    near.abort()
    with pytest.raises(ConnectionCut):
        next(values)


def test_several_threads_may_receive_and_each_value_comes_to_one(pair: tuple[Link, Link]) -> None:
    near, far = pair
    receivers = [Task(list, far) for _ in range(4)]
    for number in range(400):
        near.send(number)
    near.close(timeout=PATIENCE_SECONDS)
    found = [receiver.result() for receiver in receivers]

    assert sorted(value for values in found for value in values) == list(range(400))
    assert all(values == sorted(values) for values in found)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_close_drains_what_was_sent(pair: tuple[Link, Link]) -> None:
    near, far = pair
    receiving = Task(list, far)
    near.send(bytes(5 << 20), compress=False)
    near.send_many(range(1000))
    near.close(timeout=PATIENCE_SECONDS)

    assert receiving.result() == [bytes(5 << 20), *range(1000)]
    assert near.closed
    assert far.closed


def test_close_and_abort_may_be_called_twice_and_in_any_order() -> None:
    for acts in (("close", "close"), ("abort", "abort"), ("close", "abort"), ("abort", "close")):
        with linked() as (near, _):
            for act in acts:
                getattr(near, act)()

            assert near.closed
            with pytest.raises(LinkClosed):
                near.send(1)
            with pytest.raises(LinkClosed):
                near.recv()
            with pytest.raises(LinkClosed):
                near.ping()


def test_with_closes_and_an_error_goes_through() -> None:
    with Server(key=KEY) as server:
        with pytest.raises(ZeroDivisionError), Link(server.address, key=KEY) as link:
            raise ZeroDivisionError
        far = server.accept(timeout=5) if server.count() else None

        assert link.closed
        assert far is None or list(far) == []


def test_close_from_another_thread_ends_a_recv(pair: tuple[Link, Link]) -> None:
    near, _ = pair
    waiting = [Task(near.recv) for _ in range(3)]
    time.sleep(0.05)
    near.close()

    assert [type(task.error()) for task in waiting] == [LinkClosed] * 3


def test_abort_wakes_everybody() -> None:
    with linked(limits=SMALL) as (near, far):
        waiting = [Task(near.recv) for _ in range(3)]
        waiting += [Task(near.recv, timeout=60)]
        waiting += [Task(near.send, bytes(1 << 20), compress=False) for _ in range(3)]
        waiting += [Task(near.send, 1, wait="consumed")]
        time.sleep(0.1)
        near.abort()
        errors = [task.error() for task in waiting]

        assert {type(error) for error in errors} <= {LinkClosed, type(None)}
        assert [type(error) for error in errors[:4]] == [LinkClosed] * 4
        with pytest.raises(ConnectionCut):
            list(far)


def test_both_ends_may_close_at_once() -> None:
    for _ in range(30):
        with linked() as (near, far):
            near.send(1)
            far.send(2)
            closing = [Task(end.close, timeout=PATIENCE_SECONDS) for end in (near, far)]
            for task in closing:
                task.result()

            assert near._session.error is None
            assert far._session.error is None


def test_close_in_the_middle_of_a_senders_message_lets_it_finish(pair: tuple[Link, Link]) -> None:
    near, far = pair
    sending = Task(near.send, bytes(40 << 20), compress=False)
    eventually(lambda: near.stats.wire_sent > 1 << 20)
    receiving = Task(list, far)
    near.close(timeout=PATIENCE_SECONDS)
    sending.result()

    assert [len(value) for value in receiving.result()] == [40 << 20]


def test_close_gives_up_on_a_peer_that_does_not_answer() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay, Link(relay.address, key=KEY, resume=False) as link:
        server.accept(timeout=5)
        relay.held.set()
        began = time.monotonic()
        link.close(timeout=0.3)
        took = time.monotonic() - began
        relay.held.clear()

        assert 0.25 < took < 3
        assert link.closed


def test_what_came_before_the_cut_can_still_be_received() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay, Link(relay.address, key=KEY, resume=False) as link:
        far = server.accept(timeout=5)
        for number in range(5):
            far.send(number, wait="acked")
        relay.cut()
        eventually(lambda: link.closed)

        assert [link.recv() for _ in range(5)] == list(range(5))
        for _ in range(2):
            with pytest.raises(ConnectionCut):
                link.recv()
        with pytest.raises(ConnectionCut):
            link.send(1)


def test_a_cut_ends_every_wait() -> None:
    with (
        Server(key=KEY, limits=SMALL) as server,
        Relay(server.address) as relay,
        Link(relay.address, key=KEY, resume=False) as link,
    ):
        server.accept(timeout=5)
        waiting = [
            Task(link.recv),
            Task(link.recv),
            Task(link.send, bytes(1 << 20), compress=False),
            Task(next, iter(link)),
        ]
        time.sleep(0.05)
        relay.cut()

        assert [type(task.error()) for task in waiting] == [ConnectionCut] * 4


@pytest.mark.parametrize("where", [0, 5, 20, 60, -1])
def test_a_changed_byte_ends_the_link_at_both_ends_and_nothing_after_it_is_delivered(where: int) -> None:
    seen = {"from": 1 << 60}

    def tamper(direction: str, offset: int, data: bytes) -> bytes:
        if direction == "out" and offset <= seen["from"] < offset + len(data):
            place = seen["from"] - offset
            return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        return data

    with (
        Server(key=KEY) as server,
        Relay(server.address, tamper=tamper) as relay,
        Link(relay.address, key=KEY, resume=False) as link,
    ):
        far = server.accept(timeout=5)
        link.send("before", wait="acked")
        frame_bytes = 105
        seen["from"] = len(relay.passed["out"]) + (where if where >= 0 else frame_bytes + where)
        link.send("changed")
        link.send("after")

        assert far.recv(timeout=5) == "before"
        with pytest.raises(NetstructerError):
            far.recv(timeout=5)
        with pytest.raises(NetstructerError):
            far.recv(timeout=5)
        assert far.stats.messages_received == 1


# --- facts ------------------------------------------------------------------------------------------------------------


def test_facts(pair: tuple[Link, Link]) -> None:
    near, far = pair
    for number in range(10):
        near.send([number])
    for _ in range(10):
        far.recv(timeout=5)
    far.send("back")
    near.recv(timeout=5)
    rtt = near.ping()

    assert near.id == far.id
    assert len(near.id) == 16
    assert near.peer.host == far.peer.host == "127.0.0.1"
    assert near.peer.port == near._exchange._pump.transport.getpeername()[1]
    assert far.peer.port == near._exchange._pump.transport.getsockname()[1]
    assert near.fingerprint == far.fingerprint == KEY.fingerprint
    assert near.user is None
    assert far.user is None
    assert not near.closed
    assert not far.closed
    assert 0 < rtt < 5
    assert near.stats.rtt_seconds == rtt
    assert (near.stats.messages_sent, near.stats.messages_received) == (10, 1)
    assert (far.stats.messages_sent, far.stats.messages_received) == (1, 10)
    assert near.stats.plain_sent == far.stats.plain_received > 0
    eventually(lambda: near.stats.wire_sent == far.stats.wire_received)
    assert repr(near) == f"<Link {near.id} to {near.peer} open>"

    near.close()

    assert repr(near) == f"<Link {near.id} to {near.peer} closed>"
    assert KEY.reveal() not in repr(near) + repr(far) + str(vars(near))


def test_a_user_may_ping_as_often_as_he_likes(pair: tuple[Link, Link]) -> None:
    near, far = pair
    pinging = [Task(lambda: [near.ping() for _ in range(15)]) for _ in range(3)]

    assert all(0 < rtt < 5 for task in pinging for rtt in task.result())
    near.send("alive")
    assert far.recv(timeout=5) == "alive"


def test_a_ping_that_is_not_answered_in_time() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay, Link(relay.address, key=KEY) as link:
        server.accept(timeout=5)
        relay.held.set()
        with pytest.raises(LinkTimeout):
            link.ping(timeout=0.1)
        waiting = Task(link.ping)
        time.sleep(0.05)
        link.abort()

        assert isinstance(waiting.error(), LinkClosed)


# --- how a link is opened ---------------------------------------------------------------------------------------------


def test_addresses_in_all_forms() -> None:
    with Server(("127.0.0.1", 0), key=KEY) as server:
        host, port = server.address
        for address in ((host, port), f"{host}:{port}", f"localhost:{port}", ("localhost", port), server.address):
            with Link(address, key=KEY) as link:
                assert link.peer == (host, port)


def test_ipv6_loopback() -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with Server(("::1", 0), key=KEY) as server:
        port = server.address.port
        for address in (("::1", port), f"[::1]:{port}", ("0:0:0:0:0:0:0:1", port)):
            with Link(address, key=KEY) as link:
                far = server.accept(timeout=5)
                link.send(VALUE)

                assert far.recv(timeout=5) == VALUE
                assert far.peer.host == link.peer.host == "::1"
                assert str(link.peer) == f"[::1]:{port}"
                assert server.get("::1") is far
                assert server.get("0:0::1") is far
                assert server.get("127.0.0.1") is None


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    "address", ["", "localhost", "[::1]", "::1:80:x", ("a", 70000), ("a", "5"), None, 5, "h:99999"]
)
def test_what_is_no_address_is_refused(address: Any) -> None:
    with pytest.raises(InvalidAddress):
        Link(address, key=KEY)


def test_keys_as_text_as_bytes_and_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(key=KEY) as server:
        for key in (KEY, KEY.reveal(), KEY.reveal().encode()):
            with Link(server.address, key=key) as link:
                assert link.fingerprint == KEY.fingerprint
        with pytest.raises(MissingKey):
            Link(server.address)
        monkeypatch.setenv("NETSTRUCTER_KEY", KEY.reveal())
        with Link(server.address) as link:
            assert link.fingerprint == KEY.fingerprint
        with pytest.raises(KeyRefused):
            Link(server.address, key=Key.generate())


# --- no dead lock, no leak --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mebibytes", [64, pytest.param(200, marks=pytest.mark.long)])
def test_both_ends_may_send_a_large_message_at_once_before_either_reads(mebibytes: int) -> None:
    size = mebibytes << 20
    with linked(compress=False, server_options={"compress": False}) as (near, far):
        there, back = b"\1" * size, b"\2" * size
        sending = [Task(near.send, there), Task(far.send, back)]
        for task in sending:
            task.result(120)

        assert far.recv(timeout=PATIENCE_SECONDS) == there
        assert near.recv(timeout=PATIENCE_SECONDS) == back


@pytest.mark.parametrize("cycles", [200, pytest.param(5000, marks=pytest.mark.long)])
def test_links_open_and_close_by_the_hundred_and_leave_nothing_behind(cycles: int) -> None:

    # Ten at once: to abort one waits until the keeper has come by its other end, and it comes by all in one round.
    def round_trips(server: Server, *, farewell: bool) -> None:
        with contextlib.ExitStack() as links:
            for _ in range(10):
                link = links.enter_context(Link(server.address, key=KEY))
                far = links.enter_context(server.accept(timeout=5))
                link.send(1)
                assert far.recv(timeout=5) == 1
                if not farewell:
                    links.callback(link.abort)

    with Server(key=KEY) as server:
        round_trips(server, farewell=True)
        eventually(lambda: server.count() == 0, "the first links are closed")
        files, threads = open_files(), threading.active_count()
        gc.collect()
        objects = len(gc.get_objects())
        for number in range(cycles // 10):
            round_trips(server, farewell=number % 10 == 0)
        eventually(lambda: open_files() == files, "every descriptor is closed")
        eventually(lambda: server.count() == 0 and not server._live and not server._reception._waiting)

        gc.collect()

        assert threading.active_count() == threads
        assert len(gc.get_objects()) < objects + cycles  # less than one object that stays for each link


def test_an_unread_backlog_is_bounded(pair: tuple[Link, Link]) -> None:
    near, far = pair
    sent = send_until_it_stops(near, lambda number: b"x" * 300)
    window = far.limits.credit_bytes

    assert sent * 300 <= window
    assert far._session.inflow.inbound.unread <= window
    assert sum(1 for _ in range(sent) if far.recv(timeout=5)) == sent
