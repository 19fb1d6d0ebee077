"""Dialling: whatever answers, or does not, there is one typed error within the time allowed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, open_files, raw_server, read_to_end
from netstructer import Key, Link, Server
from netstructer.address import Address
from netstructer.errors import (
    BadFrame,
    BadSeal,
    Banned,
    Busy,
    ConnectionCut,
    IllegalFrame,
    KeyRefused,
    LinkTimeout,
    NetstructerError,
    NotNetstructer,
    PortClosed,
    Unreachable,
    VersionMismatch,
)

Behave = Callable[[socket.socket], object]


def answers(data: bytes) -> Behave:
    """Read the hello, answer `data`, and wait for the end."""

    def behave(transport: socket.socket) -> None:
        transport.recv(128)
        transport.sendall(data)
        read_to_end(transport)

    return behave


def drips(data: bytes) -> Behave:
    """Answer a byte every 20 ms."""

    def behave(transport: socket.socket) -> None:
        for byte in data:
            transport.sendall(bytes([byte]))
            time.sleep(0.02)

    return behave


def silent(transport: socket.socket) -> None:
    read_to_end(transport)


def closes(transport: socket.socket) -> None:
    transport.close()


def resets(transport: socket.socket) -> None:
    transport.recv(1)
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    transport.close()


GO_ON = b"NSTR\1\1\0\0"


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), NotNetstructer),
        (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), NotNetstructer),
        (answers(bytes(500)), NotNetstructer),
        (answers(b"NSTR\2\0\0\1"), VersionMismatch),
        (answers(b"NSTR\1\0\0\1"), VersionMismatch),
        (answers(b"NSTR\1\0\0\2"), KeyRefused),
        (answers(b"NSTR\1\0\0\3"), Busy),
        (answers(b"NSTR\1\0\0\4"), Busy),
        (answers(b"NSTR\1\0\0\5"), Banned),
        (answers(b"NSTR\1\0\0\6"), IllegalFrame),
        (answers(b"NSTR\1\2\0\0"), IllegalFrame),
        (answers(GO_ON + bytes(112)), KeyRefused),
        (answers(GO_ON + b"\1" * 112), KeyRefused),
        (answers(GO_ON), LinkTimeout),
        (answers(b"NS"), LinkTimeout),
        (drips(GO_ON + bytes(300)), LinkTimeout),
        (silent, LinkTimeout),
        (closes, ConnectionCut),
        (resets, ConnectionCut),
    ],
)
def test_a_stranger_at_the_other_end_is_one_typed_error(behave: Behave, error: type[NetstructerError]) -> None:
    with raw_server(behave) as address:
        files, threads = open_files(), threading.active_count()
        began = time.monotonic()
        with pytest.raises(error) as caught:
            Link(address, key=KEY, timeout=0.5)
        took = time.monotonic() - began

        assert took < 3
        assert type(caught.value) in (error, IllegalFrame, BadFrame)
        assert KEY.reveal() not in str(caught.value)
        assert open_files() <= files + 1  # the other end's, which the helper closes at the end
        assert threading.active_count() <= threads + 1


@pytest.mark.parametrize("place", [0, 3, 4, 5, 7, 8, 39, 40, 119])
def test_a_changed_answer_is_one_typed_error(place: int) -> None:
    def tamper(direction: str, offset: int, data: bytes) -> bytes:
        at = place - offset
        if direction == "in" and 0 <= at < len(data):
            return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]
        return data

    with Server(key=KEY) as server, Relay(server.address, tamper=tamper) as relay:
        with pytest.raises((KeyRefused, NotNetstructer, VersionMismatch, IllegalFrame)):
            Link(relay.address, key=KEY, timeout=5)

        assert server.count() == 0
        assert server.stats.links_accepted == 0


@pytest.mark.parametrize("place", [120, 124, 130, 200])
def test_a_changed_first_record_is_one_typed_error(place: int) -> None:
    def tamper(direction: str, offset: int, data: bytes) -> bytes:
        at = place - offset
        if direction == "in" and 0 <= at < len(data):
            return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]
        return data

    with Server(key=KEY) as server, Relay(server.address, tamper=tamper) as relay:
        with pytest.raises((BadSeal, BadFrame)):
            Link(relay.address, key=KEY, timeout=5)
        eventually(lambda: server.count() == 0)


def test_a_cut_at_any_moment_of_the_handshake_is_one_typed_error() -> None:
    for direction, where in (("out", 0), ("out", 64), ("out", 128), ("out", 200), ("in", 0), ("in", 60), ("in", 150)):
        with Server(key=KEY) as server, cutting(server, direction, where) as address:
            with pytest.raises(ConnectionCut):
                Link(address, key=KEY, timeout=5)
            eventually(lambda server=server: server.count() == 0)


@contextlib.contextmanager
def cutting(server: Server, direction: str, where: int) -> Iterator[Address]:
    """Give the address of a relay that ends every transport once `where` bytes have passed one way."""
    with Relay(server.address) as relay:

        def tamper(way: str, offset: int, data: bytes) -> bytes:
            if way == direction and offset + len(data) > where:
                relay.cut()
                return data[: max(0, where - offset)]
            return data

        relay.tamper = tamper
        yield relay.address


def test_nothing_listens_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(PortClosed) as caught:
            Link(taken.getsockname(), key=KEY)

    assert caught.value.stage == "port"
    assert isinstance(caught.value, ConnectionRefusedError)


@pytest.mark.parametrize("host", ["no-such-name.invalid", "x" * 70 + ".invalid", "ä" * 70])
def test_a_name_that_leads_nowhere(host: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Link((host, 5000), key=KEY, timeout=PATIENCE_SECONDS)

    assert caught.value.stage == "name"


@pytest.mark.parametrize("timeout", [0, -1, 0.0])
def test_no_time_at_all_is_a_timeout(timeout: float) -> None:
    with Server(key=KEY) as server, pytest.raises(LinkTimeout):
        Link(server.address, key=KEY, timeout=timeout)


def test_a_name_service_that_does_not_answer_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answer.wait(PATIENCE_SECONDS) and [])
    began = time.monotonic()
    with pytest.raises(LinkTimeout):
        Link(("slow-name.example", 5000), key=KEY, timeout=0.2)
    answer.set()

    assert time.monotonic() - began < 5


def test_no_timeout_waits_as_long_as_it_takes() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay:
        relay.held.set()
        opening = Task(Link, relay.address, key=KEY, timeout=None)
        time.sleep(0.3)

        assert opening.running

        relay.held.clear()
        opening.result().abort()


def test_what_connects_to_itself_found_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux can connect a socket to itself where a free port of the ephemeral range is dialled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = probe.getsockname()
    connect = socket.socket.connect

    def to_itself(transport: socket.socket, address: tuple[str, int]) -> None:
        transport.bind(place)
        connect(transport, address)

    monkeypatch.setattr(socket.socket, "connect", to_itself)
    with pytest.raises((PortClosed, Unreachable)):
        Link(place, key=KEY, timeout=5)


def test_a_wrong_key_leaves_nothing_behind_at_either_end() -> None:
    with Server(key=KEY) as server:
        with contextlib.suppress(KeyRefused):
            Link(server.address, key=Key.generate())
        files, threads = open_files(), threading.active_count()
        for _ in range(20):
            with pytest.raises(KeyRefused):
                Link(server.address, key=Key.generate())
        eventually(lambda: open_files() <= files)

        assert threading.active_count() == threads
        assert server.stats.key_refused == 21
