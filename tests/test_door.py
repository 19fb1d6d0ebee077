"""The front door: what strangers may cost, what they are told, and that those with a key get in all the same."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually, linked, raw_client, read_to_end
from netstructer import Key, Limits, Link, Server
from netstructer.errors import ConnectionCut, KeyRefused, LinkTimeout, NetstructerError
from netstructer.protocol.handshake import HELLO_BYTES, start_client
from netstructer.protocol.parameters import Parameters
from netstructer.stranger import Stranger

QUICK = Limits(hello_seconds=0.3, open_seconds=0.6)
REFUSED = b"NSTR\1\0\0"
GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: a-long-enough-name/1.0\r\nAccept: */*\r\n\r\n" + b"x" * 64,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(150),
    b"SSH-2.0-OpenSSH_9.6\r\n" + b"\n" * 150,
    bytes(128),
    bytes(range(128)),
    b"\xff" * 4096,
]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key=KEY, limits=QUICK) as running:
        yield running


def still_works(server: Server) -> bool:
    """Say whether a link with the key gets in and carries a value."""
    with Link(server.address, key=KEY) as link, server.accept(timeout=PATIENCE_SECONDS) as far:
        link.send("in")
        return bool(far.recv(timeout=PATIENCE_SECONDS) == "in")


def hello_of(key: Key = KEY) -> bytes:
    return start_client(key, Parameters.of(Limits.DEFAULT, 0))[0]


# --- what strangers are told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_closed_without_a_word(server: Server, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with raw_client(server.address) as transport:
        with contextlib.suppress(ConnectionError):
            transport.sendall(data)

        assert read_to_end(transport) == b""
    eventually(lambda: "NotNetstructer" in caplog.text)

    assert server.stats.handshakes_refused == 1
    assert server.count() == 0
    assert still_works(server)


@pytest.mark.parametrize("pause", [0, 0.002])
def test_a_hello_may_come_byte_by_byte_and_its_deadline_does_not_move(pause: float) -> None:
    with Server(key=KEY, limits=Limits(hello_seconds=5.0 if not pause else 0.1, open_seconds=5.0)) as server:
        with raw_client(server.address) as transport:
            transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                for byte in hello_of():
                    transport.sendall(bytes([byte]))
                    time.sleep(pause)
            answer = transport.recv(1) if not pause else read_to_end(transport)

        assert answer == (b"" if pause else b"N")
        assert still_works(server)


@pytest.mark.parametrize("sent", [b"", b"NSTR", bytes(127)])
def test_silence_is_ended_at_the_deadline(server: Server, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with raw_client(server.address, sent) as transport:
        began = time.monotonic()

        assert read_to_end(transport) == b""
        assert 0.2 < time.monotonic() - began < 3
    eventually(lambda: "LinkTimeout" in caplog.text)


def test_who_says_hello_and_then_nothing_is_ended_at_the_second_deadline(server: Server) -> None:
    with raw_client(server.address, hello_of()) as transport:
        began = time.monotonic()

        assert len(read_to_end(transport)) == 120
        assert 0.5 < time.monotonic() - began < 3
    assert server.count() == 0


@pytest.mark.parametrize("sent", [b"", b"NS", None])
def test_who_leaves_in_the_middle_is_counted(server: Server, sent: bytes | None) -> None:
    with raw_client(server.address, hello_of() if sent is None else sent) as transport:
        if sent is None:
            transport.recv(120)
    eventually(lambda: server.stats.handshakes_refused == 1)

    assert still_works(server)


@pytest.mark.parametrize(
    ("place", "code"), [(4, 1), (5, 1), (6, 1), (8, 2), (15, 2), (16, 2), (47, 2), (48, 2), (127, 2)]
)
def test_a_hello_with_a_changed_byte_gets_eight_bytes_that_say_why(server: Server, place: int, code: int) -> None:
    hello = bytearray(hello_of())
    hello[place] ^= 0x10
    with raw_client(server.address, bytes(hello)) as transport:
        assert read_to_end(transport) == REFUSED + bytes([code])
    assert server.stats.key_refused == (code == 2)


def test_a_wrong_key_and_an_unknown_key_id_are_refused_alike(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Key.generate()
    for _ in range(2):
        with pytest.raises(KeyRefused):
            Link(server.address, key=stranger)
    forged = bytearray(hello_of(stranger))
    forged[8:16] = KEY.key_id
    with raw_client(server.address, bytes(forged)) as transport:
        assert read_to_end(transport) == REFUSED + b"\2"

    assert server.stats.key_refused == server.stats.handshakes_refused == 3
    assert server.stats.links_accepted == 0
    for secret in (stranger.reveal(), KEY.reveal()):
        assert secret not in caplog.text


def test_a_first_record_that_is_not_sealed_right_ends_it_without_a_word(server: Server) -> None:
    for data in (bytes(173), b"\0\0\0\xa9" + bytes(169), b"\0\0\0\xa9\x80" + b"\1" * 168, b"\xff" * 300):
        with raw_client(server.address, hello_of()) as transport:
            assert len(transport.recv(120)) == 120
            with contextlib.suppress(ConnectionError):
                transport.sendall(data)

            assert read_to_end(transport) == b""
    assert server.count() == 0
    assert server.stats.links_accepted == 0
    assert still_works(server)


def test_a_replayed_hello_and_everything_after_it_is_accepted_never_and_delivers_nothing(server: Server) -> None:
    with Relay(server.address) as relay:
        with Link(relay.address, key=KEY) as link, server.accept(timeout=5) as far:
            link.send("secret")
            assert far.recv(timeout=5) == "secret"
        recorded = bytes(relay.passed["out"])
    accepted = server.stats.links_accepted
    for cut in (HELLO_BYTES, HELLO_BYTES + 173, len(recorded)):
        for _ in range(10):
            with raw_client(server.address) as transport:
                with contextlib.suppress(OSError):  # it may have been reset by now
                    transport.sendall(recorded[:cut])
                    transport.shutdown(socket.SHUT_WR)
                answer = read_to_end(transport)

                assert len(answer) in (0, 120)
    assert server.stats.links_accepted == accepted
    with pytest.raises(LinkTimeout):
        server.accept(timeout=0)


# --- what they may cost -----------------------------------------------------------------------------------------------


def test_links_get_in_while_two_hundred_are_half_open() -> None:
    with Server(key=KEY, limits=Limits(half_open=400, half_open_early=300, hello_seconds=60.0)) as server:
        with contextlib.ExitStack() as stack:
            for number in range(200):
                stack.enter_context(raw_client(server.address, b"NSTR" if number % 2 else b""))
            door = server._door
            assert door is not None
            eventually(lambda: len(door._visits) == 200)
            before = threading.active_count()
            began = time.monotonic()
            for _ in range(10):
                assert still_works(server)

            assert time.monotonic() - began < 10
            assert threading.active_count() <= before
        eventually(lambda: not door._visits)

        assert door.porter._admission.half_open == 0


def test_beyond_the_budget_newcomers_are_dropped_unread_and_places_come_back() -> None:
    with Server(key=KEY, limits=Limits(half_open=10, half_open_early=10, hello_seconds=60.0)) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                stack.enter_context(raw_client(server.address))
            eventually(lambda: server._door is not None and len(server._door._visits) == 10)
            with raw_client(server.address, hello_of()) as transport:
                assert read_to_end(transport) == b""
            with pytest.raises(ConnectionCut):
                Link(server.address, key=KEY)
            eventually(lambda: server.stats.strangers_dropped == 2)
        eventually(lambda: server._door is not None and not server._door._visits)

        assert still_works(server)


def test_one_source_has_so_many_places_and_no_more() -> None:
    with Server(key=KEY, limits=Limits(half_open_per_source=3, hello_seconds=60.0, exempt_networks=())) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(raw_client(server.address))
            eventually(lambda: server._door is not None and len(server._door._visits) == 3)
            for _ in range(3):
                with pytest.raises(ConnectionCut):
                    Link(server.address, key=KEY)
        eventually(lambda: server._door is not None and not server._door._visits)

        assert still_works(server)
        assert server.stats.strangers_dropped == 3


def test_a_source_that_knocks_too_often_waits_while_others_are_half_open() -> None:
    limits = Limits(
        half_open=40,
        half_open_early=4,
        connects_per_second=0.001,
        connect_burst=3,
        hello_seconds=60.0,
        exempt_networks=(),
    )
    with Server(key=KEY, limits=limits) as server:
        for _ in range(10):
            assert still_works(server)  # who proves the key has his try back
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(raw_client(server.address))
            eventually(lambda: server._door is not None and len(server._door._visits) == 3)
            with pytest.raises(ConnectionCut):
                Link(server.address, key=KEY)


def test_a_hundred_failures_are_a_line_or_two_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    for _ in range(100):
        with raw_client(server.address, bytes(128)) as transport:
            read_to_end(transport)
    took = time.monotonic() - began
    lines = [record for record in caplog.records if "no link from" in record.getMessage()]

    assert server.stats.handshakes_refused == 100
    assert 1 <= len(lines) <= took + 2

    time.sleep(max(0.0, 1.05 - took % 1))
    with raw_client(server.address, bytes(128)) as transport:
        read_to_end(transport)
    eventually(lambda: "more before" in caplog.text)


# --- the door itself --------------------------------------------------------------------------------------------------


def test_a_fault_with_one_stranger_does_not_close_the_door(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = server._door
    assert door is not None

    def fail(*_: object) -> None:
        raise RuntimeError("canary-text")

    monkeypatch.setattr(Stranger, "_answer", fail)
    with raw_client(server.address, hello_of()) as transport:
        assert read_to_end(transport) == b""
    monkeypatch.undo()
    monkeypatch.setattr(door, "_accept", fail)

    def nobody_comes_in() -> bool:
        try:
            Link(server.address, key=KEY, timeout=0.3).abort()
        except LinkTimeout:
            return True
        return False  # The door was still in its last round before.

    eventually(nobody_comes_in)
    monkeypatch.undo()

    assert still_works(server)
    assert caplog.text.count("RuntimeError") >= 2
    assert "canary-text" not in caplog.text


@pytest.mark.parametrize("left", [0, 5])
def test_a_process_short_of_descriptors_closes_newcomers_and_goes_on(
    server: Server, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    """None left, and the last tenth left, which is not for strangers: who comes then learns it at once."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []
    with socket.socket() as transport:
        transport.settimeout(PATIENCE_SECONDS)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
            with contextlib.suppress(OSError):
                while True:
                    fillers.append(os.dup(transport.fileno()))
            for _ in range(left):
                os.close(fillers.pop())
            transport.connect(server.address)

            assert read_to_end(transport) == b""
            eventually(lambda: "cannot accept" in caplog.text)
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.stats.strangers_dropped == 1
    assert still_works(server)
    assert len([record for record in caplog.records if "cannot accept" in record.getMessage()]) <= 3


def test_a_stranger_who_resets_while_the_server_closes_leaves_nothing_behind() -> None:
    for _ in range(5):
        with Server(key=KEY) as server:
            transports = [socket.create_connection(server.address) for _ in range(10)]
            for transport in transports:
                transport.sendall(b"NSTR")
                transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            closing = Task(server.close)
            for transport in transports:
                transport.close()
            closing.result()
            door = server._door

            assert door is not None
            assert door._listener.fileno() == -1
            assert not door._visits


def test_the_peers_of_a_link_hear_of_a_fault_in_words() -> None:
    """One end finds the other at fault: both have a typed error, neither hangs."""
    with linked() as (near, far):
        near._session.outflow.outbound.next_number += 1
        near.send(1)

        for end in (far, near):
            with pytest.raises(NetstructerError):
                end.recv(timeout=PATIENCE_SECONDS)


def test_no_secret_is_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    payload = "canary-payload"
    with Server(key=KEY) as server:
        with Link(server.address, key=KEY) as link, server.accept(timeout=5) as far:
            link.send({payload: payload})
            found = far.recv(timeout=5)
            assert found == {payload: payload}
            text = repr(link) + repr(far) + repr(server) + repr(link._session) + repr(server.keys)
        with pytest.raises(KeyRefused) as caught:
            Link(server.address, key=Key.generate())
        text += repr(caught.value) + str(caught.value)

    for secret in (payload, KEY.reveal(), KEY.reveal().encode().hex()):
        assert secret not in caplog.text + text
