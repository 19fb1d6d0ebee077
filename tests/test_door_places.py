"""Who holds a place at a full server: links, and nobody who has not proved a key."""

from __future__ import annotations

import socket
import time

import pytest

from netstructer import Key, Limits, Link, Server
from netstructer.address import Address
from netstructer.dial import FEATURES
from netstructer.errors import Busy
from netstructer.protocol.events import Ended, Event, Opened
from netstructer.protocol.handshake import CODE_BYTES, HELLO_BYTES, Agreement, start_client
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

KEY = Key.generate()


def shake_hands(address: Address) -> tuple[socket.socket, Agreement]:
    """Say a hello and hear the answer, and say no more."""
    hello, expected = start_client(KEY, Parameters.of(Limits.DEFAULT, FEATURES))
    transport = socket.create_connection(address, timeout=5)
    transport.sendall(hello)
    answer = b""
    while len(answer) < expected.needed(answer):
        answer += transport.recv(expected.needed(answer) - len(answer))
    return transport, expected.receive(answer)


def prove(transport: socket.socket, agreement: Agreement) -> Event:
    """Say OPEN, and return what came of it."""
    session = Session(
        Role.CLIENT, agreement, limits=Limits.DEFAULT, now=0.0, draw=lambda count: bytes(count), wall=time.time
    )
    transport.sendall(b"".join(session.frames_to_send(1, 0.0)))
    while True:
        data = transport.recv(4096)
        events = session.receive_data(data, 0.0) if data else session.end(0.0)
        if events:
            return events[0]


def test_a_hello_alone_holds_no_place() -> None:
    with Server(key=KEY, max_links=1) as server:
        idle = [shake_hands(server.address) for _ in range(5)]
        with Link(server.address, key=KEY) as link:
            link.send(1, wait="acked", timeout=5)

            assert server.count() == 1
        for transport, _ in idle:
            transport.close()


def test_who_proves_a_key_at_a_full_server_is_told() -> None:
    with Server(key=KEY, max_links=1) as server:
        (first, one), (second, other) = shake_hands(server.address), shake_hands(server.address)

        assert isinstance(prove(first, one), Opened)
        late = prove(second, other)

        assert isinstance(late, Ended)
        assert isinstance(late.error, Busy)
        assert server.count() == 1
        first.close()
        second.close()


def test_a_full_server_says_busy_to_those_who_speak_the_protocol_only() -> None:
    with Server(key=KEY, max_links=1) as server, Link(server.address, key=KEY):
        with pytest.raises(Busy):
            Link(server.address, key=KEY)
        with socket.create_connection(server.address, timeout=5) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n".ljust(HELLO_BYTES, b"x"))

            assert stranger.recv(CODE_BYTES) == b""
