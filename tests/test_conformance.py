"""The tests for transports, against transports that are good and against ones that are broken, each in its own way.

A conformance suite that passes everything proves nothing: so each broken transport below must fail in the test that is
named beside it.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netstructer.testing import ChaosProxy, TransportConformance


def tcp_pair(address: tuple[str, int] | None = None) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


class TestSocketPair(TransportConformance):
    """What the system joins itself."""

    def connect(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()


class TestTcp(TransportConformance):
    """What links use."""

    def connect(self) -> tuple[socket.socket, socket.socket]:
        return tcp_pair()


class TestThroughTheProxy(TransportConformance):
    """TCP through a `ChaosProxy` that does nothing."""

    @pytest.fixture(autouse=True)
    def proxied(self) -> Iterator[None]:
        with (
            socket.create_server(("127.0.0.1", 0)) as self.listener,
            ChaosProxy(self.listener.getsockname()) as self.proxy,
        ):
            yield

    def connect(self) -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(self.proxy.address)
        far, _ = self.listener.accept()
        return near, far


# --- broken ones ------------------------------------------------------------------------------------------------------


class Broken:
    """One end of a socket pair, and what is wrong with it: nothing, here."""

    def __init__(self, transport: socket.socket) -> None:
        self.transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class Loses(Broken):
    """Says that it took what it threw away."""

    def send(self, data: Any) -> int:
        self.transport.send(data[:-1])
        return len(data)


class Doubles(Broken):
    def sendall(self, data: bytes) -> None:
        self.transport.sendall(data[:1] + data if len(data) > 1000 else data)


class Swaps(Broken):
    def sendall(self, data: bytes) -> None:
        half = len(data) // 2 if len(data) == 777 else 0
        self.transport.sendall(data[half:] + data[:half])


class MeansLines(Broken):
    def sendall(self, data: bytes) -> None:
        self.transport.sendall(data.replace(b"\r\n", b"\n").ljust(len(data), b"\n"))


class Unbounded(Broken):
    """Takes everything, whoever reads."""

    def send(self, data: Any) -> int:
        with contextlib.suppress(BlockingIOError):
            return self.transport.send(data)
        return len(data)


class WantsLikeTls(Broken):
    """Raises what an SSL socket does where it would have to wait."""

    def recv(self, count: int) -> bytes:
        try:
            return self.transport.recv(count)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None


class TakesTimeForTheEnd(Broken):
    def recv(self, count: int) -> bytes:
        try:
            return self.transport.recv(count)
        except TimeoutError:
            return b""


class NeverEnds(Broken):
    """Waits at the end."""

    def recv(self, count: int) -> bytes:
        data = self.transport.recv(count)
        while not data:
            time.sleep(0.01)
            data = self.transport.recv(count)
        return data


class EndsOnce(Broken):
    ended = False

    def recv(self, count: int) -> bytes:
        if self.ended:
            raise ConnectionResetError("the end was told already")
        data = self.transport.recv(count)
        self.ended = not data
        return data


class ReadsAhead(Broken):
    """Keeps what it has read in a buffer of its own, where no poll sees it."""

    held = b""

    def recv(self, count: int) -> bytes:
        self.held = self.held or self.transport.recv(65536)
        found, self.held = self.held[:count], self.held[count:]
        return found


class ClosesWhole(Broken):
    def shutdown(self, how: int) -> None:
        self.transport.shutdown(socket.SHUT_RDWR)


class Greedy(Broken):
    def recv_into(self, space: memoryview) -> int:
        found = self.transport.recv(len(space))
        space[:] = found.ljust(len(space), b"\0")
        return len(found)


class SleepsThroughShutdown(Broken):
    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RDWR:
            self.transport.shutdown(how)


class ClosesOnce(Broken):
    def close(self) -> None:
        if self.transport.fileno() < 0:
            raise OSError("closed already")
        self.transport.close()


class WaitsForMore(Broken):
    """Keeps small writes back until there is more."""

    held = b""

    def sendall(self, data: bytes) -> None:
        self.held += data
        if len(self.held) > 1000:
            self.transport.sendall(self.held)
            self.held = b""


class OneAtATime(Broken):
    """Has one lock for reading and writing."""

    def __init__(self, transport: socket.socket) -> None:
        super().__init__(transport)
        self.lock = threading.Lock()

    def recv(self, count: int) -> bytes:
        with self.lock:
            return self.transport.recv(count)

    def sendall(self, data: bytes) -> None:
        with self.lock:
            self.transport.sendall(data)


BROKEN: dict[type[Broken], str] = {
    Loses: "test_send_says_how_much_it_took",
    Doubles: "test_a_large_write_arrives_whole",
    Swaps: "test_bytes_arrive_in_order",
    MeansLines: "test_every_byte_arrives_as_it_was",
    Unbounded: "test_a_full_writer_is_told",
    WantsLikeTls: "test_an_empty_reader_is_told",
    TakesTimeForTheEnd: "test_a_reader_gives_up_in_time",
    NeverEnds: "test_a_close_is_the_end_behind_the_last_byte",
    EndsOnce: "test_the_end_stays_the_end",
    ReadsAhead: "test_poll_says_so_as_long_as_bytes_are_left",
    ClosesWhole: "test_a_half_close_leaves_the_other_direction",
    Greedy: "test_recv_into_fills_no_more_than_it_says",
    SleepsThroughShutdown: "test_a_shutdown_wakes_who_polls",
    ClosesOnce: "test_it_may_be_closed_twice",
    WaitsForMore: "test_single_bytes_arrive",
    OneAtATime: "test_both_ends_write_and_read_at_once",
}


def suite_for(make: Callable[[socket.socket], Any], *, patience_seconds: float = 0.4) -> TransportConformance:
    """Return the suite for a kind of transport; named so that pytest does not collect it."""

    class Suite(TransportConformance):
        def connect(self) -> tuple[Any, Any]:
            near, far = socket.socketpair()
            return make(near), make(far)

    suite = Suite()
    suite.patience_seconds = patience_seconds
    return suite


def failure_of(suite: TransportConformance, name: str) -> BaseException | None:
    try:
        getattr(suite, name)()
    except (AssertionError, OSError) as error:
        return error
    finally:
        suite.teardown_method()
    return None


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_each_broken_transport_fails_in_the_test_for_it(kind: type[Broken]) -> None:
    assert failure_of(suite_for(kind), BROKEN[kind]) is not None


@pytest.mark.parametrize("name", sorted(set(BROKEN.values())))
def test_a_wrapped_transport_that_is_not_broken_passes(name: str) -> None:
    assert failure_of(suite_for(Broken, patience_seconds=10.0), name) is None


def test_there_are_as_many_tests_as_the_document_says_and_each_has_words() -> None:
    names = [name for name in dir(TransportConformance) if name.startswith("test_")]
    said = (Path(__file__).resolve().parent.parent / "docs" / "testing-kit.md").read_text("utf-8")

    assert len(names) == 33
    assert f"{len(names)} tests" in said
    assert [name for name in names if not getattr(TransportConformance, name).__doc__] == []


def test_what_a_transport_cannot_do_is_skipped_and_not_passed() -> None:
    suite = suite_for(ClosesWhole)
    suite.half_closes = False
    with pytest.raises(unittest.SkipTest, match="half_closes = False"):
        suite.test_a_half_close_leaves_the_other_direction()


def test_a_suite_that_says_no_transport_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="def connect"):
        TransportConformance().test_bytes_arrive_in_order()


# --- TLS: the truth about it ------------------------------------------------------------------------------------------


def certificate(directory: Path) -> str:
    """Make a key and a certificate for it, and return the file that holds both."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime(2020, 1, 1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(7).not_valid_before(begin).not_valid_after(datetime.datetime(2100, 1, 1))
    signed = built.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "both.pem").write_bytes(plain + signed.public_bytes(pem))
    return str(directory / "both.pem")


def test_tls_sockets_are_no_transport_and_the_suite_says_why(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate(tmp_path))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    class Suite(TransportConformance):
        half_closes = False

        def connect(self) -> tuple[Any, Any]:
            near, far = tcp_pair()
            found: list[ssl.SSLSocket] = []
            thread = threading.Thread(target=lambda: found.append(server.wrap_socket(far, server_side=True)))
            thread.start()
            wrapped = client.wrap_socket(near)
            thread.join()
            return wrapped, found[0]

    good = ["test_bytes_arrive_in_order", "test_every_byte_arrives_as_it_was", "test_a_reader_gives_up_in_time"]
    bad = {
        "test_an_empty_reader_is_told": "not BlockingIOError",
        "test_poll_says_so_as_long_as_bytes_are_left": "poll does not say so",
        "test_buffers_are_gathered_in_order": "sendmsg is there",
    }

    assert {name: failure_of(Suite(), name) for name in good} == dict.fromkeys(good)
    Suite.patience_seconds = 0.4
    assert {name: reason for name, reason in bad.items() if reason not in str(failure_of(Suite(), name))} == {}
