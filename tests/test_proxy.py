"""The proxy that breaks things, against a plain echo server: each fault does what it says, where it says, each time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, eventually, read_to_end
from netstructer.address import Address
from netstructer.errors import CannotListen, Misuse
from netstructer.testing import (
    Blackhole,
    ChaosProxy,
    Cut,
    Cuts,
    Direction,
    Duplicate,
    Fault,
    Flip,
    HalfClose,
    Happening,
    Hold,
    Plan,
    Reset,
    Stall,
    Throttle,
)

BODY = bytes(range(256)) * 16


class Echo:
    """A plain server, by hand: what the proxy brings it, and what it sends back."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_SECONDS)
        self.address = Address(*self.listener.getsockname()[:2])

    def accept(self) -> socket.socket:
        transport, _ = self.listener.accept()
        transport.settimeout(PATIENCE_SECONDS)
        return transport


@contextlib.contextmanager
def proxied(plan: Plan = (), **options: Any) -> Iterator[tuple[ChaosProxy, socket.socket, socket.socket]]:
    """Give a proxy, and the two ends of its first connection: near, far."""
    echo = Echo()
    with (
        echo.listener,
        ChaosProxy(echo.address, plan, **options) as proxy,
        socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near,
        echo.accept() as far,
    ):
        yield proxy, near, far


def ends(direction: Direction, near: socket.socket, far: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Return who sends in a direction, and who receives."""
    return (near, far) if direction == "out" else (far, near)


def receive(transport: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = transport.recv(count - len(found))
        assert data, f"ended after {len(found)} of {count} bytes"
        found += data
    return found


def was_reset(transport: socket.socket) -> bool:
    """Read to the end, and say whether that was a reset."""
    try:
        while transport.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return False


def silent(transport: socket.socket) -> bool:
    """Say whether nothing is there to read: neither bytes nor an end."""
    transport.setblocking(False)
    try:
        transport.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        transport.settimeout(PATIENCE_SECONDS)
    return False


@pytest.mark.parametrize("direction", ["out", "in"])
def test_without_a_plan_everything_goes_through_both_ways_and_so_do_the_ends(direction: Direction) -> None:
    with proxied() as (proxy, near, far):
        sender, receiver = ends(direction, near, far)
        near.sendall(BODY)
        far.sendall(BODY[::-1])
        assert receive(far, len(BODY)) == BODY
        assert receive(near, len(BODY)) == BODY[::-1]
        sender.shutdown(socket.SHUT_WR)
        assert receiver.recv(1) == b""
        receiver.sendall(b"still")
        assert receive(sender, 5) == b"still"
        receiver.shutdown(socket.SHUT_WR)
        assert sender.recv(1) == b""
        eventually(lambda: proxy.counters.open == 0)
        found = proxy.counters

        assert (found.connections, found.cuts, found.faults) == (1, 0, {})
        assert found.bytes_out + found.bytes_in == 2 * len(BODY) + 5


@pytest.mark.parametrize("at", [0, 1, 1000, 4095, 4096])
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_cut_lets_exactly_so_many_bytes_through(direction: Direction, at: int) -> None:
    with proxied([[Cut(at=at, direction=direction)]]) as (proxy, near, far):
        sender, receiver = ends(direction, near, far)
        with contextlib.suppress(ConnectionError):  # the end may come while it still sends
            sender.sendall(BODY)

        assert read_to_end(receiver) == BODY[:at]
        assert read_to_end(sender) == b""
        assert proxy.counters.cuts == 1
        assert proxy.counters.faults == {"Cut": 1}


def test_a_cut_where_no_byte_follows_happens_all_the_same() -> None:
    with proxied([[Cut(at=4)]]) as (_, near, far):
        near.sendall(b"four")

        assert read_to_end(far) == b"four"
        assert near.recv(1) == b""


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_reset_is_a_reset_at_both_ends(direction: Direction) -> None:
    with proxied([[Reset(at=100, direction=direction)]]) as (proxy, near, far):
        ends(direction, near, far)[0].sendall(BODY[:100])
        for each in (near, far):
            assert was_reset(each)

        eventually(lambda: proxy.counters.open == 0)
        assert proxy.counters.cuts == 1


def test_an_end_that_breaks_breaks_the_other() -> None:
    with proxied() as (_, near, far):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        near.close()
        with pytest.raises(ConnectionResetError):
            far.recv(1)


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_half_close_ends_one_direction_and_not_the_other(direction: Direction) -> None:
    with proxied([[HalfClose(at=100, direction=direction)]]) as (_, near, far):
        sender, receiver = ends(direction, near, far)
        sender.sendall(BODY)
        assert read_to_end(receiver) == BODY[:100]
        receiver.sendall(BODY)
        assert receive(sender, len(BODY)) == BODY
        receiver.shutdown(socket.SHUT_WR)

        assert sender.recv(1) == b""


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_stall_holds_one_direction_until_it_is_released(direction: Direction) -> None:
    with proxied([[Stall(at=10, direction=direction)]], buffer_bytes=64) as (proxy, near, far):
        sender, receiver = ends(direction, near, far)
        sender.sendall(BODY[:40])
        receiver.sendall(b"back")
        assert receive(receiver, 10) == BODY[:10]
        assert receive(sender, 4) == b"back"
        assert silent(receiver)
        eventually(lambda: proxy.release() > 0)

        assert receive(receiver, 30) == BODY[10:40]


def test_a_stall_for_a_time_ends_by_itself() -> None:
    with proxied([[Stall(at=10, seconds=0.05), Cut(at=20)]]) as (_, near, far):
        near.sendall(BODY[:20])
        began = time.monotonic()
        assert receive(far, 20) == BODY[:20]
        assert far.recv(1) == b""

        assert time.monotonic() - began > 0.02


def test_a_stalled_direction_holds_no_more_than_its_bound() -> None:
    with proxied([[Stall()]], buffer_bytes=1000) as (proxy, near, far):
        near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(65536))
        eventually(lambda: proxy.counters.faults == {"Stall": 1})
        assert proxy.release() <= 1000
        near.close()

        assert far.recv(1) == b"\0"


def test_a_throttled_direction_takes_its_time_and_changes_nothing() -> None:
    with proxied([[Throttle(at=1000, bytes_per_second=20_000)]]) as (_, near, far):
        near.sendall(BODY)
        began = time.monotonic()
        assert receive(far, len(BODY)) == BODY

        assert time.monotonic() - began > 0.1


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_flip_changes_one_bit(direction: Direction) -> None:
    plan = [[Flip(at=7, bit=3, direction=direction), Flip(at=7, bit=0, direction=direction), Cut(at=4096)]]
    with proxied(plan) as (_, near, far):
        sender, receiver = ends(direction, near, far)
        for byte in BODY[:20]:
            sender.sendall(bytes([byte]))
        found = receive(receiver, 20)

        assert [place for place in range(20) if found[place] != BODY[place]] == [7]
        assert found[7] == BODY[7] ^ 0b1001


@pytest.mark.parametrize("at", [0, 1, 3, 100])
def test_a_duplicate_passes_the_last_bytes_once_more(at: int) -> None:
    with proxied([[Duplicate(at=at, count=3)]]) as (proxy, near, far):
        near.sendall(BODY[:50])
        near.sendall(BODY[50:])
        near.shutdown(socket.SHUT_WR)

        assert read_to_end(far) == BODY[:at] + BODY[max(0, at - 3) : at] + BODY[at:]
        assert proxy.counters.faults == {"Duplicate": 1}


@pytest.mark.parametrize("at", [0, 10])
def test_a_blackhole_takes_everything_and_says_nothing(at: int) -> None:
    with proxied([[Blackhole(at=at)]]) as (proxy, near, far):
        near.sendall(BODY)
        far.sendall(BODY)
        far.shutdown(socket.SHUT_WR)
        eventually(lambda: proxy.counters.faults == {"Blackhole": 1})
        assert receive(far, at) == BODY[:at]

        assert silent(far)
        assert silent(near) or at  # with at=10 some of the other direction was passed on before


def test_what_is_held_back_comes_late_while_the_other_direction_goes_on() -> None:
    with proxied([[Hold(at=10)]]) as (proxy, near, far):
        near.sendall(BODY)
        far.sendall(b"back")
        assert receive(far, 10) == BODY[:10]
        assert receive(near, 4) == b"back"
        eventually(lambda: proxy.held_bytes == len(BODY) - 10)
        near.shutdown(socket.SHUT_WR)
        assert silent(far)
        assert proxy.release() == len(BODY) - 10

        assert read_to_end(far) == BODY[10:]


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("count", [0, 500])
def test_a_half_open_connection_gets_its_last_bytes_when_they_are_released(direction: Direction, count: int) -> None:
    with proxied([[Hold(at=100, count=count, direction=direction)]]) as (proxy, near, far):
        sender, receiver = ends(direction, near, far)
        with contextlib.suppress(ConnectionError):
            sender.sendall(BODY)
        assert sender.recv(1) == b""  # the sender's transport has ended
        sender.close()
        assert receive(receiver, 100) == BODY[:100]
        receiver.sendall(b"nobody hears this, and nobody says so")
        eventually(lambda: proxy.held_bytes == count)
        assert silent(receiver)
        assert proxy.counters.cuts == 1
        assert proxy.release() == count

        assert read_to_end(receiver) == BODY[100 : 100 + count]
        receiver.close()
        eventually(lambda: proxy.counters.open == 0)


def test_what_is_held_back_for_a_time_comes_by_itself() -> None:
    with proxied([[Hold(at=100, count=500, seconds=0.05)]]) as (_, near, far):
        near.sendall(BODY[:700])
        assert receive(far, 100) == BODY[:100]
        assert read_to_end(near) == b""

        assert read_to_end(far) == BODY[100:600]


def test_a_sender_that_is_slower_than_its_hold_is_cut_off_all_the_same() -> None:
    with proxied([[Hold(at=100, count=500, seconds=0.01)]]) as (_, near, far):
        near.sendall(BODY[:200])
        assert receive(far, 200) == BODY[:200]
        near.sendall(BODY[200:700])
        assert read_to_end(near) == b""

        assert read_to_end(far) == BODY[200:600]


@pytest.mark.parametrize("fault", [Cut(), Reset(), Stall(), Hold(), Hold(count=0), Blackhole(), HalfClose()])
def test_a_fault_can_strike_at_once(fault: Fault) -> None:
    with proxied() as (proxy, near, far):
        near.sendall(b"before")
        assert receive(far, 6) == b"before"
        assert proxy.strike(fault, connection=7) == 0
        assert proxy.strike(fault) == 1
        with contextlib.suppress(ConnectionError):
            near.sendall(b"after")
        if isinstance(fault, (Cut, Reset, HalfClose)):
            assert read_to_end(far) == b""
        else:
            assert silent(far)
        assert proxy.counters.faults == {type(fault).__name__: 1}


def test_a_duplicate_cannot_strike_and_a_flip_meets_the_next_byte() -> None:
    with proxied() as (proxy, near, far):
        with pytest.raises(Misuse):
            proxy.strike(Duplicate())
        proxy.strike(Flip(bit=7))
        near.sendall(b"\0\0")

        assert receive(far, 2) == b"\x80\0"


def test_down_cuts_and_refuses_until_up() -> None:
    with proxied() as (proxy, near, far):
        assert proxy.down() == 1
        assert (near.recv(1), far.recv(1)) == (b"", b"")
        # The reset may be faster than the end of connecting.
        try:
            again = socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS)
        except ConnectionResetError:
            pass
        else:
            with again:
                assert was_reset(again)
        proxy.up()
        with socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as again:
            again.sendall(b"x")
            eventually(lambda: proxy.counters.bytes_out == 1)


def test_nobody_at_the_target_is_a_reset_and_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        place = nobody.getsockname()[:2]
    with ChaosProxy(place) as proxy:
        # The reset may be faster than the end of connecting.
        with (
            contextlib.suppress(ConnectionResetError),
            socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near,
        ):
            assert read_to_end(near) == b""
        eventually(lambda: proxy.counters.unreachable and proxy.counters.open == 0)

        assert proxy.counters.unreachable == 1


def test_the_target_can_move() -> None:
    one, two = Echo(), Echo()
    with one.listener, two.listener, ChaosProxy(one.address) as proxy:
        with socket.create_connection(proxy.address), one.accept():
            pass
        proxy.target = two.address
        with socket.create_connection(proxy.address), two.accept():
            pass


def test_a_list_of_plans_goes_by_connections_and_a_function_gets_their_numbers() -> None:
    seen: list[tuple[int, float]] = []

    def plan(number: int, chance: Random) -> list[Fault]:
        seen.append((number, chance.random()))
        return []

    echo = Echo()
    with echo.listener:
        for _ in range(2):
            with ChaosProxy(echo.address, plan, seed=5) as proxy:
                for _ in range(3):
                    with socket.create_connection(proxy.address), echo.accept():
                        pass
        with ChaosProxy(echo.address, [[], [Cut()]]) as proxy:
            found = []
            for _ in range(3):
                with socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near, echo.accept() as far:
                    with contextlib.suppress(ConnectionError):
                        near.sendall(b"x")
                        near.shutdown(socket.SHUT_WR)
                    found.append(read_to_end(far))

    assert found == [b"x", b"", b"x"]
    assert seen[:3] == seen[3:]
    assert [number for number, _ in seen[:3]] == [0, 1, 2]
    assert len({chance for _, chance in seen}) == 3


def test_cuts_by_chance_are_the_same_for_a_seed_and_as_many_as_asked_for() -> None:
    cuts = Cuts(mean_bytes=10_000, most=500)
    plans = [[cuts(number, Random(f"{seed} {number}")) for number in range(510)] for seed in (1, 1, 2)]
    whole = [plan for plan in plans[0] if len(plan) == 2]
    places = [fault.at for plan in whole for fault in plan]

    assert plans[0] == plans[1] != plans[2]
    assert plans[0][500:] == [[]] * 10
    assert 430 < len(whole) < 480
    assert {(type(fault), fault.direction) for plan in plans[0] for fault in plan} == {
        *((Cut, "out"), (Cut, "in"), (Reset, "out"), (Reset, "in"))
    }
    assert 9_000 < sum(places) / len(places) < 11_000
    assert all(fault.at < 700 for plan in plans[0] if len(plan) == 1 for fault in plan)


def test_some_of_the_ends_by_chance_are_half_open() -> None:
    cuts = Cuts(mean_bytes=10_000, half_open=0.3)
    faults = [fault for number in range(500) for fault in cuts(number, Random(number))]
    held = [fault for fault in faults if isinstance(fault, Hold)]

    assert 100 < len(held) < 180
    assert {fault.direction for fault in held} == {"out"}


def test_the_same_seed_cuts_in_the_same_places_however_reads_fall() -> None:
    def passed(piece: int) -> bytes:
        with proxied(lambda _, chance: [Cut(at=chance.randrange(len(BODY)))], seed=3) as (_, near, far):
            with contextlib.suppress(ConnectionError):
                for place in range(0, len(BODY), piece):
                    near.sendall(BODY[place : place + piece])
            return read_to_end(far)

    found = {passed(piece) for piece in (1, 100, 4096)}

    assert len(found) == 1
    assert BODY.startswith(found.pop())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cut(at=-1),
        lambda: Cut(at=True),
        lambda: Cut(direction="up"),  # type: ignore[arg-type]  # the point
        lambda: Flip(bit=8),
        lambda: Throttle(bytes_per_second=0),
        lambda: ChaosProxy(("127.0.0.1", 1), buffer_bytes=0),
        lambda: ChaosProxy("nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises((Misuse, ValueError)):
        wrong()


def test_a_closed_proxy_says_so_and_may_be_closed_again() -> None:
    with proxied() as (proxy, near, far):
        proxy.close()
        proxy.close()
        assert proxy.counters.connections == 1
        with pytest.raises(Misuse):
            proxy.cut()
        for each in (near, far):
            assert read_to_end(each) == b""


def test_what_goes_wrong_in_a_plan_comes_out_of_close() -> None:
    def plan(number: int, chance: Random) -> list[Fault]:
        raise ZeroDivisionError

    echo = Echo()
    with echo.listener:
        proxy = ChaosProxy(echo.address, plan)
        with socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near:
            assert read_to_end(near) == b""
        with pytest.raises(ZeroDivisionError):
            proxy.close()


@pytest.mark.parametrize("direction", ["out", "in"])
def test_who_writes_to_an_end_that_has_closed_is_told(direction: Direction) -> None:
    with proxied() as (_, near, far):
        sender, receiver = ends(direction, near, far)
        receiver.close()
        assert sender.recv(1) == b""

        def refused() -> bool:
            try:
                sender.send(b"is anybody there")
            except ConnectionError:
                return True
            return False

        eventually(refused, "a refusal")


def test_it_listens_where_it_is_told_and_tells_what_happens() -> None:
    told: list[Happening] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = Address(*free.getsockname()[:2])
    with proxied([[Cut(at=4)]], listen=place, on_event=told.append) as (proxy, near, far):
        assert proxy.address == place
        near.sendall(b"fourth")
        assert read_to_end(far) == b"four"
        peer = Address(*near.getsockname()[:2])
        near.close()
        far.close()
        eventually(lambda: len(told) == 3)
        proxy.down()
        with contextlib.suppress(ConnectionError), socket.create_connection(place) as late:
            was_reset(late)
        eventually(lambda: len(told) == 4)

    assert told[:3] == [
        Happening(what="opened", connection=0, peer=peer),
        Happening(what="fault", connection=0, fault=Cut(at=4), bytes_out=4),
        Happening(what="closed", connection=0, bytes_out=4),
    ]
    assert (told[3].what, told[3].connection) == ("refused", 1)


def test_nobody_at_the_target_is_told() -> None:
    told: list[Happening] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = Address(*free.getsockname()[:2])
    with (
        ChaosProxy(nobody, on_event=told.append) as proxy,
        contextlib.suppress(ConnectionError),
        socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near,
    ):
        was_reset(near)
        eventually(lambda: len(told) == 2)

    assert [happening.what for happening in told] == ["opened", "unreachable"]


def test_what_is_raised_for_an_event_ends_the_proxy_and_is_raised_by_close() -> None:
    def fail(happening: Happening) -> None:
        raise ZeroDivisionError(happening.what)

    echo = Echo()
    with echo.listener:
        proxy = ChaosProxy(echo.address, on_event=fail)
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection(proxy.address, timeout=PATIENCE_SECONDS) as near,
        ):
            was_reset(near)
        with pytest.raises(ZeroDivisionError, match="opened"):
            proxy.close()


def test_a_place_that_is_taken_is_said() -> None:
    echo = Echo()
    with echo.listener, pytest.raises(CannotListen, match="cannot bind"):
        ChaosProxy(echo.address, listen=echo.address)


@pytest.mark.parametrize(
    "wrong", [{"mean_bytes": 0}, {"early": 1.5}, {"half_open": -0.1}, {"early_bytes": 0}, {"kinds": ()}]
)
def test_cuts_that_cannot_be_are_refused_when_they_are_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        Cuts(**{"mean_bytes": 1000.0} | wrong)
