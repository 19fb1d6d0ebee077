"""Sockets: deadlines, waiting, writing, listening; the few calls whose manner differs between systems."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from collections.abc import Iterator

import pytest

from loopback import Task, linked
from netstructer import Limits, sockets
from netstructer.address import Address
from netstructer.errors import CannotListen, LinkTimeout, Misuse, PortClosed, Unreachable

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        sockets.prepare(near)
        yield near, far


def test_deadlines() -> None:
    now = time.monotonic()
    assert sockets.deadline_after(None) is None
    assert sockets.deadline_after(float("inf")) is None
    assert sockets.deadline_after(1e9) is None
    found = sockets.deadline_after(5)
    assert found is not None
    assert now + 5 <= found < now + 10
    with pytest.raises(Misuse):
        sockets.deadline_after(float("nan"))

    assert sockets.remaining(None) is None
    left = sockets.remaining(found)
    assert left is not None
    assert 0 < left <= 5
    with pytest.raises(LinkTimeout):
        sockets.remaining(now)


def test_prepared_sockets_never_block_and_never_wait_for_more(pair: Pair) -> None:
    near, _ = pair

    assert not near.getblocking()
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with pytest.raises(BlockingIOError):
        near.recv(1)


needs_user_timeout = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT"
)


@needs_user_timeout
@pytest.mark.parametrize(("seconds", "milliseconds"), [(45.0, 45_000), (0.0001, 1), (1e9, (1 << 31) - 1)])
def test_the_system_gives_up_when_the_link_does(pair: Pair, seconds: float, milliseconds: int) -> None:
    sockets.prepare(pair[0], dead_seconds=seconds)

    assert pair[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds
    assert pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@needs_user_timeout
def test_both_ends_of_a_link_tell_the_system_when_to_give_up() -> None:
    near_limits, far_limits = Limits(dead_seconds=33), Limits(dead_seconds=22)
    with linked(client_limits=near_limits, server_limits=far_limits) as (near, far):
        found = [
            link._exchange._pump.transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            for link in (near, far)
        ]

    assert found == [33_000, 22_000]


def test_a_socket_without_that_option_is_left_as_it_is(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    local, other = socket.socketpair()
    with local, other:
        sockets.give_up_after(local, 5.0)  # no TCP at all
    sockets.give_up_after(None, 5.0)  # type: ignore[arg-type]  # a loop that does not show its sockets
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)

    sockets.prepare(pair[0], dead_seconds=5.0)
    assert not pair[0].getblocking()


@pytest.mark.parametrize("poll", [True, False])
def test_readiness(pair: Pair, poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not poll:
        monkeypatch.delattr(select, "poll", raising=False)
    near, far = pair
    readiness = sockets.Readiness(near)
    for _ in range(2):  # every change of what is asked for, there and back
        assert readiness.wait(read=True, write=False, seconds=0) == (False, False)
        assert readiness.wait(read=True, write=True, seconds=0) == (False, True)
        assert readiness.wait(read=False, write=True, seconds=None) == (False, True)
        assert readiness.wait(read=True, write=False, seconds=0.001) == (False, False)
    far.sendall(b"x")
    assert readiness.wait(read=True, write=False, seconds=None) == (True, False)
    assert readiness.wait(read=True, write=True, seconds=1) == (True, True)
    assert readiness.wait(read=False, write=True, seconds=0) == (False, True)
    near.recv(1)
    waiting = Task(readiness.wait, read=True, write=False, seconds=None)
    near.shutdown(socket.SHUT_RDWR)

    assert waiting.result()[0]


def test_readiness_waits_no_shorter_than_it_is_told(pair: Pair) -> None:
    began = time.monotonic()
    sockets.Readiness(pair[0]).wait(read=True, write=False, seconds=0.0503)

    assert time.monotonic() - began >= 0.05


class FakeSocket:
    """Takes as many bytes as it is told to, one figure for each call."""

    def __init__(self, *takes: int) -> None:
        self.takes, self.got = list(takes), b""

    def send(self, data: bytes) -> int:
        return self.sendmsg([data])

    def sendmsg(self, pieces: list[bytes]) -> int:
        assert len(pieces) <= sockets.BUFFERS_PER_CALL
        data = b"".join(pieces)[: self.takes.pop(0)]
        if not data:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.got += data
        return len(data)


@pytest.mark.parametrize("gathers", [True, False])
def test_what_a_socket_takes_is_taken_out_and_the_rest_stays_in_order(gathers: bool) -> None:
    class Plain(FakeSocket):
        sendmsg = property()  # type: ignore[assignment]  # a system without sendmsg

        def send(self, data: bytes) -> int:
            return FakeSocket.sendmsg(self, [data])

    pieces = [bytes([number]) * number for number in range(1, 40)]
    whole = b"".join(pieces)
    for step in (1, 2, 3, 7, 50, 1000):
        target = (FakeSocket if gathers else Plain)(*[step] * 1000)
        buffers: deque[bytes | memoryview] = deque(pieces)
        sent = 0
        while buffers:
            sent += sockets.write(target, buffers)  # type: ignore[arg-type]  # a fake
            assert sum(map(len, buffers)) == len(whole) - sent

        assert target.got == whole
        assert sent == len(whole)
    full = FakeSocket(0)
    buffers = deque([b"abc"])
    with pytest.raises(BlockingIOError):
        sockets.write(full, buffers)  # type: ignore[arg-type]  # a fake
    assert buffers == deque([b"abc"])


def test_a_listening_socket_says_which_step_failed() -> None:
    with sockets.listening_socket(Address("127.0.0.1", 0)) as listener:
        taken = Address(*listener.getsockname()[:2])
        with pytest.raises(CannotListen) as caught:
            sockets.listening_socket(taken)
        assert caught.value.stage in ("bind", "listen")
        assert str(taken) in str(caught.value)
    with pytest.raises(CannotListen) as caught:
        sockets.listening_socket(Address("x" * 70 + ".invalid", 0))
    assert caught.value.stage == "name"


@pytest.mark.parametrize("stage", ["socket", "setsockopt", "bind", "listen"])
def test_every_step_of_listening_that_fails_is_named(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OSError(errno.EACCES, "Permission denied")
    made: list[socket.socket] = []

    class Failing(socket.socket):
        def __init__(self, *args: int) -> None:
            if stage == "socket":
                raise fault
            super().__init__(*args)
            made.append(self)

    def fail(*_: object) -> None:
        raise fault

    if stage != "socket":
        monkeypatch.setattr(Failing, stage, fail, raising=False)
    monkeypatch.setattr(socket, "socket", Failing)
    with pytest.raises(CannotListen) as caught:
        sockets.listening_socket(Address("127.0.0.1", 7), (8, 9))  # which is no reason to try another port

    assert caught.value.stage == ("socket" if stage == "setsockopt" else stage)
    assert str(caught.value).endswith("at 127.0.0.1:7: Permission denied")
    assert [transport.fileno() for transport in made] == [-1] * len(made)


SPARE = range(20000, 20050)
"""Ports that the system gives out to nobody, and enough of them for tests that run side by side."""


def test_where_a_port_is_in_use_the_next_free_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        address, taken = Address(*one.getsockname()), two.getsockname()[1]
        with pytest.raises(CannotListen) as alone:
            sockets.listening_socket(address)
        with pytest.raises(CannotListen) as together:
            sockets.listening_socket(address, (taken,) * 3)
        with sockets.listening_socket(address, (taken, *SPARE)) as listener:
            host, port = listener.getsockname()

    assert (host, port in SPARE) == ("127.0.0.1", True)
    assert "and so are all 3 spare ones" in str(together.value)
    assert alone.value.stage == together.value.stage != ""


def test_a_spare_port_of_an_ipv6_address_is_one_of_that_address() -> None:
    try:
        held = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with held, sockets.listening_socket(Address("::1", held.getsockname()[1]), SPARE) as listener:
        host, port, *_ = listener.getsockname()

    assert (host, port in SPARE) == ("::1", True)


def test_dialling_tries_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with sockets.listening_socket(Address("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        stream = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        dead, alive = (*stream, closed.getsockname()), (*stream, listener.getsockname())
        unknown = (12345, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        found: list[object] = [unknown, dead, alive]
        with sockets.dial_socket(Address("name", 1), time.monotonic() + 5) as transport:
            assert sockets.peer_address(transport) == listener.getsockname()
        found = [dead]
        with pytest.raises(PortClosed):
            sockets.dial_socket(Address("name", 1), None)
        found = [unknown]
        with pytest.raises(Unreachable) as caught:
            sockets.dial_socket(Address("name", 1), None)

        assert caught.value.stage == "route"


def test_an_interrupted_dial_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "connect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sockets.dial_socket(Address("127.0.0.1", 9), None)
