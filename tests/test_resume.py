"""Links that outlive their transports, over real sockets: cuts, silence, restarts, other addresses, and no way back."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, raw_server
from netstructer import Blob, Identity, Limits, Link, Server
from netstructer.backoff import LONGEST_PAUSE_SECONDS, pause_seconds
from netstructer.dial import Dialler
from netstructer.errors import (
    BacklogFull,
    ConnectionCut,
    IdentityChanged,
    KeyRefused,
    LinkClosed,
    LinkTimeout,
    SessionLost,
    Stalled,
)
from netstructer.protocol.handshake import BUSY, KEY_NOT_ACCEPTED, refusal
from netstructer.testing import ChaosProxy, Stall

NOISE = os.urandom(1 << 20)
SHORT = Limits(resume_seconds=0.5)


@contextlib.contextmanager
def house(
    limits: Limits | None = None, client_limits: Limits | None = None, **options: object
) -> Iterator[tuple[Server, ChaosProxy, Link, Link]]:
    """Give a server, a proxy before it, and both ends of a link through it."""
    with (
        Server(key=KEY, limits=limits, **options) as server,  # type: ignore[arg-type]  # whatever a test asks for
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, limits=client_limits or limits) as near,
    ):
        far = server.accept(timeout=PATIENCE_SECONDS)
        yield server, proxy, near, far
        for link in (near, far):
            link.abort()


def test_a_cut_changes_nothing_but_the_transport() -> None:
    with house() as (server, proxy, near, far):
        name = near.id
        for number in range(12):
            assert proxy.cut() == 1
            near.send(number)
            far.send(-number)
            assert far.recv(timeout=PATIENCE_SECONDS) == number
            assert near.recv(timeout=PATIENCE_SECONDS) == -number

        assert near.stats.resumes == far.stats.resumes == 12
        assert near.id == far.id == name
        assert server.all() == (far,)
        assert server.suspended() == ()


def test_who_waits_goes_on_waiting() -> None:
    with house() as (_, proxy, near, far):
        waiting = [Task(near.recv, timeout=PATIENCE_SECONDS), Task(far.recv, timeout=PATIENCE_SECONDS)]
        consumed = Task(near.send, "first", wait="consumed", timeout=PATIENCE_SECONDS)
        assert waiting[1].result() == "first"
        consumed.result()
        proxy.down()
        eventually(lambda: near.suspended and far.suspended)
        late = Task(near.send, "second", wait="acked", timeout=PATIENCE_SECONDS)
        far.send("third")
        proxy.up()

        assert far.recv(timeout=PATIENCE_SECONDS) == "second"
        assert late.result().plain_bytes > 0
        assert waiting[0].result() == "third"


def test_while_there_is_no_transport_links_are_apart_and_values_are_kept() -> None:
    with house() as (server, proxy, near, far):
        proxy.down()
        eventually(lambda: near.suspended and far.suspended)

        assert (server.count(), server.all(), server.suspended()) == (0, (), (far,))
        assert server.get("127.0.0.1") is None
        assert not near.closed
        assert "suspended" in repr(near)
        ids = [near.send(number).id for number in range(1000)]
        assert server.broadcast("to all").sent == (far,)
        with pytest.raises(LinkTimeout):
            near.recv(timeout=0.01)

        proxy.up()
        assert [far.recv(timeout=PATIENCE_SECONDS) for _ in range(1000)] == list(range(1000))
        assert near.recv(timeout=PATIENCE_SECONDS) == "to all"
        assert ids == list(range(1, 1001))
        assert (server.all(), server.suspended()) == ((far,), ())


def test_the_backlog_has_an_end() -> None:
    limits = Limits(backlog_bytes=256 << 10)
    with house(limits) as (_, proxy, near, far):
        proxy.down()
        eventually(lambda: near.suspended)
        kept = 0
        with contextlib.suppress(BacklogFull):
            while True:
                near.send(bytes(50_000), compress=False, timeout=0.05)
                kept += 1
        blocked = Task(near.send, "in time", timeout=PATIENCE_SECONDS)
        proxy.up()

        assert 3 <= kept <= 5
        assert [len(far.recv(timeout=PATIENCE_SECONDS)) for _ in range(kept)] == [50_000] * kept
        assert far.recv(timeout=PATIENCE_SECONDS) == "in time"
        blocked.result()


def test_blobs_go_on_where_they_were() -> None:
    data = bytes(range(256)) * (40 << 10)
    with house() as (_, proxy, near, far):
        sending = Task(near.send, {"blob": Blob(data)}, compress=False)
        blob = far.recv(timeout=PATIENCE_SECONDS)["blob"]
        found = bytearray()
        for chunk in blob:
            if len(found) // (2 << 20) < (len(found) + len(chunk)) // (2 << 20):
                proxy.cut()
            found += chunk

        sending.result()
        assert found == data
        assert near.stats.resumes >= 3


def test_a_server_that_was_started_anew_does_not_know_the_session() -> None:
    with house() as (_, proxy, near, far), Server(key=KEY) as another:
        near.send("taken", wait="acked")
        proxy.down()
        eventually(lambda: near.suspended)
        unknown = [near.send(number).id for number in range(3)]
        proxy.target = another.address
        proxy.up()
        with pytest.raises(SessionLost) as caught:
            near.recv(timeout=PATIENCE_SECONDS)

        assert caught.value.unacknowledged == tuple(unknown)
        assert near.closed
        with pytest.raises(SessionLost):
            near.send(1)
        assert another.count() == 0
        assert far.recv(timeout=PATIENCE_SECONDS) == "taken"


def test_a_session_that_finds_no_transport_is_lost_at_both_ends() -> None:
    ended = []
    with (
        Server(key=KEY, limits=SHORT) as server,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, limits=SHORT) as near,
    ):

        @server.handler
        def handle(link: Link) -> None:
            try:
                link.recv()
            except SessionLost as error:
                ended.append(error)

        eventually(lambda: server.count() == 1)
        proxy.down()
        with pytest.raises(SessionLost) as caught:
            near.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: ended and not server.suspended() and not server._live)

        assert caught.value.__cause__ is not None
        assert near.closed


def test_without_resume_a_link_ends_with_its_transport() -> None:
    with (
        Server(key=KEY) as server,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, resume=False) as near,
    ):
        far = server.accept(timeout=PATIENCE_SECONDS)
        proxy.cut()
        for link in (near, far):
            with pytest.raises(ConnectionCut):
                link.recv(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("who", [0, 1])
def test_a_link_that_is_aborted_is_not_waited_for(who: int) -> None:
    with house() as (server, _, *ends):
        ends[who].abort()
        with pytest.raises(ConnectionCut, match="abort"):
            ends[1 - who].recv(timeout=PATIENCE_SECONDS)

        assert (server.count(), server.suspended()) == (0, ())


def test_a_link_that_is_aborted_in_the_middle_of_much_is_not_waited_for_either() -> None:
    with house() as (server, _, near, far):
        sending = Task(near.send, Blob.from_iter(NOISE for _ in range(400)), compress=False)
        blob = far.recv(timeout=PATIENCE_SECONDS)
        reading = Task(lambda: sum(map(len, blob)))
        eventually(lambda: far.stats.wire_received > 4 << 20)
        near.abort()

        assert isinstance(reading.error(), ConnectionCut)
        assert isinstance(sending.error(), LinkClosed)
        assert (server.count(), server.suspended()) == (0, ())


def test_closing_a_link_without_transport_takes_its_time_and_no_more() -> None:
    with house() as (_, proxy, near, far):
        near.send("kept")
        assert far.recv(timeout=PATIENCE_SECONDS) == "kept"
        proxy.down()
        eventually(lambda: near.suspended)
        near.close(timeout=0.1)

        assert near.closed
        with pytest.raises(LinkClosed):
            near.recv(timeout=PATIENCE_SECONDS)


def test_closing_a_link_without_transport_sends_what_it_has_as_soon_as_it_can() -> None:
    with house() as (_, proxy, near, far):
        proxy.down()
        eventually(lambda: near.suspended)
        near.send("last words")
        closing = Task(near.close, timeout=PATIENCE_SECONDS)
        proxy.up()

        assert list(far) == ["last words"]
        closing.result()


def test_silence_is_a_lost_transport_and_not_a_lost_link(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(ping_seconds=0.1, dead_seconds=0.4)
    with house(client_limits=limits) as (_, proxy, near, far):
        with caplog.at_level("WARNING", logger="netstructer"):
            proxy.strike(Stall(seconds=60))
            proxy.strike(Stall(seconds=60, direction="in"))
            near.send("into the void")
            eventually(lambda: near.stats.resumes == 1)

        assert far.recv(timeout=PATIENCE_SECONDS) == "into the void"
        assert Stalled.__name__ in caplog.text
        far.send("back")
        assert near.recv(timeout=PATIENCE_SECONDS) == "back"


class Detour:
    """Passes transports on to a server from another address of this host."""

    def __init__(self, target: tuple[str, int], source: str) -> None:
        self._target, self._source = target, source
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()[:2]
        self._ends: list[socket.socket] = []
        self._task = Task(self._run)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, source_address=(self._source, 0))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    def __enter__(self) -> Detour:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._task.error()
        for end in (self._listener, *self._ends):
            end.close()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def _other_addresses() -> bool:
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        return False
    return True


needs_addresses = pytest.mark.skipif(not _other_addresses(), reason="this system has one loopback address")


@needs_addresses
def test_a_client_may_come_back_from_another_address() -> None:
    with house() as (server, proxy, near, far), Detour(server.address, "127.0.0.2") as detour:
        proxy.down()
        eventually(lambda: near.suspended and far.suspended)
        proxy.target = detour.address
        proxy.up()
        near.send("from elsewhere")

        assert far.recv(timeout=PATIENCE_SECONDS) == "from elsewhere"
        assert far.peer.host == "127.0.0.2"
        assert server.get("127.0.0.2") is far
        assert server.get("127.0.0.1") is None


@needs_addresses
def test_a_server_may_hold_its_sessions_to_their_addresses() -> None:
    with house(pin_address=True) as (server, proxy, near, far), Detour(server.address, "127.0.0.2") as detour:
        proxy.down()
        eventually(lambda: near.suspended and far.suspended)
        proxy.target = detour.address
        proxy.up()
        with pytest.raises(SessionLost):
            near.recv(timeout=PATIENCE_SECONDS)

        assert server.suspended() == (far,)


def test_a_session_that_waits_makes_way_for_a_client_that_is_there() -> None:
    with house(max_links=1) as (server, proxy, near, far):
        proxy.down()
        eventually(lambda: server.suspended() == (far,))
        with Link(server.address, key=KEY) as newer:
            assert server.accept(timeout=PATIENCE_SECONDS).id == newer.id
            with pytest.raises(SessionLost):
                far.recv(timeout=PATIENCE_SECONDS)
            proxy.up()
            with pytest.raises(SessionLost):
                near.recv(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("code", [KEY_NOT_ACCEPTED, BUSY])
def test_a_refusal_that_anybody_can_forge_does_not_end_a_link(code: int) -> None:
    asked = threading.Event()

    def refuse(transport: socket.socket) -> None:
        transport.recv(128)
        transport.sendall(refusal(code))
        asked.set()

    with house() as (server, proxy, near, far), raw_server(refuse) as elsewhere:
        proxy.down()
        eventually(lambda: near.suspended)
        proxy.target = elsewhere
        proxy.up()
        assert asked.wait(PATIENCE_SECONDS)
        near.send("still here")
        proxy.target = server.address

        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"


def test_a_server_that_proves_to_be_another_ends_the_link() -> None:
    first, second = Identity.generate(), Identity.generate()
    with (
        Server(key=KEY, identity=first) as server,
        Server(key=KEY, identity=second) as impostor,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, server_identity=first.fingerprint) as near,
    ):
        proxy.down()
        eventually(lambda: near.suspended)
        proxy.target = impostor.address
        proxy.up()
        with pytest.raises(IdentityChanged) as caught:
            near.recv(timeout=PATIENCE_SECONDS)

        assert (caught.value.expected, caught.value.found) == (first.fingerprint, second.fingerprint)


def test_another_holder_of_the_key_cannot_take_a_session() -> None:
    """The secret of a session travels under keys of its own handshakes only: a name heard in a log is not enough."""
    with house() as (server, _, near, far), Link(server.address, key=KEY) as thief:
        server.accept(timeout=PATIENCE_SECONDS)
        thief._session.opening.session_id = near._session.session_id
        for link in (thief,):
            link._exchange._pump.transport.shutdown(socket.SHUT_RDWR)
        with pytest.raises(SessionLost):
            thief.recv(timeout=PATIENCE_SECONDS)
        near.send("mine")

        assert far.recv(timeout=PATIENCE_SECONDS) == "mine"
        assert near.stats.resumes == 0


def test_pauses_are_drawn_under_a_bound_that_doubles() -> None:
    assert [pause_seconds(tries, 1.0) for tries in range(4)] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pause_seconds(10_000, 1.0) == LONGEST_PAUSE_SECONDS
    assert pause_seconds(7, 0.0) == 0.0
    assert pause_seconds(3, 0.5) == pytest.approx(0.8)


def test_a_link_whose_key_was_refused_says_so_when_it_is_lost() -> None:
    def refuse(transport: socket.socket) -> None:
        transport.recv(128)
        transport.sendall(refusal(KEY_NOT_ACCEPTED))

    with house(client_limits=SHORT) as (_, proxy, near, _far), raw_server(refuse) as elsewhere:
        proxy.down()
        eventually(lambda: near.suspended)
        proxy.target = elsewhere
        proxy.up()
        with pytest.raises(SessionLost) as caught:
            near.recv(timeout=PATIENCE_SECONDS)

        assert isinstance(caught.value.__cause__, (KeyRefused, ConnectionCut))


def test_leaving_a_handler_lets_a_suspended_link_go() -> None:
    done: list[Callable[[], object]] = []
    with (
        Server(key=KEY, limits=SHORT) as server,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY) as near,
    ):

        @server.handler
        def handle(link: Link) -> None:
            proxy.down()
            eventually(lambda: link.suspended)
            done.append(link.close)

        eventually(lambda: done and not server._live)
        proxy.up()
        with pytest.raises(SessionLost):
            near.recv(timeout=PATIENCE_SECONDS)


# --- cut before anything was said -------------------------------------------------------------------------------------


def test_a_transport_that_is_reset_right_after_the_handshake_is_one_that_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket that was reset does not say any more where its peer was: the link opens all the same, and resumes."""
    dialled = Dialler.open

    def open_and_be_reset(self: Dialler, deadline: float | None) -> Any:
        opened = dialled(self, deadline)
        proxy.reset()
        eventually(lambda: is_gone(opened[0]))
        return opened

    monkeypatch.setattr(Dialler, "open", open_and_be_reset)
    with (
        Server(key=KEY) as server,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        assert near.peer == proxy.address
        near.send("over the next transport")

        assert far.recv(timeout=PATIENCE_SECONDS) == "over the next transport"
        assert near.stats.resumes == 1
        near.abort()


def is_gone(transport: socket.socket) -> bool:
    try:
        transport.getpeername()
    except OSError:
        return True
    return False
