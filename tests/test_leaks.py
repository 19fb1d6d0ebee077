"""Nothing is left behind: not by links, however they end, nor by strangers, dials, transfers, pairings and outboxes.

The soak (`bench/soak`) finds what grows over time, whatever does it; here each thing is done many times by itself, and
what it leaves is counted: descriptors, threads, objects, blocks and bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.soak.census import holdings
from leaks import grown_by, left_to_the_collector
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Blob, Key, Limits, Link, Server, aio
from netstructer.errors import ConnectionCut, KeyRefused, LinkClosed, LinkTimeout, PortClosed, SessionLost
from netstructer.testing import ChaosProxy, Cut, Fault
from pairings import AsyncioHouse, house_of

TIMES = 60


def answer(link: Any) -> None:
    """Send everything back, and read every blob; take files and conversations where that is asked for."""
    for value in link:
        match value:
            case Blob():
                link.send(bytes(value))
            case ("give", size):
                link.send(Blob.from_iter([bytes(size)]))
            case "leave":
                return
            case "file":
                with tempfile.TemporaryDirectory() as directory:
                    link.recv_file(directory, timeout=PATIENCE_SECONDS)
            case "talk":
                with link.accept_conversation(timeout=PATIENCE_SECONDS) as aside:
                    aside.send(aside.recv(timeout=PATIENCE_SECONDS))
            case _:
                link.send(value)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key=KEY, handler=answer) as server:
        yield server


def settled(server: Server) -> Callable[[], bool]:
    """Say when no link of a server is left, and no handler runs."""
    return lambda: not server._live and not server._reception._handled


def use(link: Link) -> None:
    for value in (1, {"a": (2,)}, os.urandom(70_000)):
        link.send(value)
        assert link.recv(timeout=PATIENCE_SECONDS) == value


# --- the collector is not needed --------------------------------------------------------------------------------------


def closed(link: Link, _: Path) -> None:
    use(link)
    link.close()


def aborted(link: Link, _: Path) -> None:
    use(link)
    link.abort()


def let_go_by_its_peer(link: Link, _: Path) -> None:
    link.send("leave")
    with pytest.raises(LinkClosed):
        link.recv(timeout=PATIENCE_SECONDS)
    link.close()


def impatient(link: Link, _: Path) -> None:
    with pytest.raises(LinkTimeout):
        link.recv(timeout=0.001)
    link.close()


def with_blobs(link: Link, _: Path) -> None:
    for content in (b"small", os.urandom(200_000)):
        link.send(Blob.from_iter([content]))
        assert link.recv(timeout=PATIENCE_SECONDS) == content
    link.close()


def with_a_blob_that_nobody_reads(link: Link, _: Path) -> None:
    link.send(("give", 300_000))
    link.recv(timeout=PATIENCE_SECONDS)
    use(link)
    link.close()


def with_a_blob_that_is_left_in_the_middle(link: Link, _: Path) -> None:
    link.send(("give", 300_000))
    for piece in link.recv(timeout=PATIENCE_SECONDS):
        assert piece
        break
    link.close()


def with_a_file(link: Link, path: Path) -> None:
    link.send("file")
    link.send_file(path / "there", timeout=PATIENCE_SECONDS)
    link.close()


def with_a_conversation(link: Link, _: Path) -> None:
    link.send("talk")
    with link.conversation() as aside:
        aside.send(1)
        assert aside.recv(timeout=PATIENCE_SECONDS) == 1
    link.close()


ENDS = [
    closed,
    aborted,
    let_go_by_its_peer,
    impatient,
    with_blobs,
    with_a_blob_that_nobody_reads,
    with_a_blob_that_is_left_in_the_middle,
    with_a_file,
    with_a_conversation,
]


@pytest.mark.parametrize("end", ENDS)
def test_a_link_that_has_ended_is_freed_without_the_collector(
    server: Server, tmp_path: Path, end: Callable[[Link, Path], None]
) -> None:
    (tmp_path / "there").write_bytes(os.urandom(100_000))

    def visit() -> None:
        end(Link(server.address, key=KEY), tmp_path)

    assert left_to_the_collector(visit, settled(server)) == []


def test_a_link_that_is_lost_is_freed_without_the_collector() -> None:
    limits = Limits(resume_seconds=0.2)
    with Server(key=KEY, handler=answer, limits=limits) as server, ChaosProxy(server.address) as proxy:

        def visit() -> None:
            proxy.up()
            link = Link(proxy.address, key=KEY, limits=limits)
            use(link)
            proxy.down()
            with pytest.raises(SessionLost):
                link.recv(timeout=PATIENCE_SECONDS)
            link.close()
            threads = [thread for thread in threading.enumerate() if thread.name == f"netstructer-redial-{link.id}"]
            for thread in threads:
                thread.join(PATIENCE_SECONDS)

        assert left_to_the_collector(visit, settled(server)) == []


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_link_that_finds_no_transport_keeps_no_handshake(kind: str) -> None:
    """The frames of the last try had its keys, and those of the link; the error of it is kept without them."""

    def is_hindered() -> bool:
        exchange = getattr(link, "target", link)._exchange
        pump = getattr(exchange, "_pump", None) or exchange.pump
        return isinstance(pump.hindrance, ConnectionCut)

    def plan(number: int, _: Random) -> list[Fault]:
        return [Cut(at=60, direction="in")] if number else []

    with (
        Server(key=KEY, handler=answer, limits=Limits(resume_seconds=0.3)) as server,
        house_of(kind) as house,
        ChaosProxy(server.address, plan) as proxy,
    ):
        link = house.connect(proxy.address)
        proxy.cut()
        eventually(is_hindered)
        link.abort()
        eventually(lambda: holdings()["netstructer.protocol.noise.Handshake"] == 0)


async def answer_awaited(link: aio.Link) -> None:
    async for value in link:
        await link.send(await value.read() if isinstance(value, Blob) else value)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_an_awaited_link_that_has_ended_is_freed_without_the_collector(end: str) -> None:
    async def visit(server: aio.Server) -> None:
        link = await aio.connect(server.address, key=KEY)
        for value in (1, os.urandom(70_000), Blob(os.urandom(200_000))):
            await link.send(value)
            assert len(str(await link.recv(timeout=PATIENCE_SECONDS))) > 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(link.recv(), 0.001)
        if end == "close":
            await link.close()
        else:
            await link.abort()

    with AsyncioHouse() as house:
        server = house.server(handler=answer_awaited)
        house.call(server.target.start)
        found = left_to_the_collector(lambda: house.call(visit, server.target), lambda: not server.target._live)
        house.call(server.target.close)

        assert found == []


def test_what_is_left_to_the_collector_is_found() -> None:
    def knot() -> None:
        link = Link.__new__(Link)
        link.user = link  # type: ignore[assignment]

    assert left_to_the_collector(knot, lambda: True) == ["1 netstructer.link.Link"]


# --- many times -------------------------------------------------------------------------------------------------------


def test_links_leave_nothing(server: Server) -> None:
    def visit() -> None:
        with Link(server.address, key=KEY) as link:
            link.send(1)
            assert link.recv(timeout=PATIENCE_SECONDS) == 1

    assert grown_by(visit, TIMES) == []


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.0\r\n\r\n", b"NSTR" + bytes(60), b"NSTR\1\1\0\0" + bytes(120)])
def test_strangers_leave_nothing(server: Server, said: bytes) -> None:
    def visit() -> None:
        with socket.create_connection(server.address, PATIENCE_SECONDS) as transport:
            transport.sendall(said)

    def knock() -> None:
        visit()
        eventually(lambda: not server._door._visits)  # type: ignore[union-attr]  # it is open

    assert grown_by(knock, TIMES) == []


def test_keys_that_are_refused_leave_nothing(server: Server) -> None:
    def visit() -> None:
        with pytest.raises(KeyRefused):
            Link(server.address, key=Key.generate())

    assert grown_by(visit, TIMES) == []


def test_dials_that_fail_leave_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()

    def dial() -> None:
        with pytest.raises(PortClosed):
            Link(address, key=KEY)

    assert grown_by(dial, TIMES) == []


@pytest.mark.parametrize("byte", [0, 60, 119])
def test_dials_that_are_cut_leave_nothing(server: Server, byte: int) -> None:
    with ChaosProxy(server.address, lambda number, chance: [Cut(at=byte, direction="in")]) as proxy:

        def dial() -> None:
            with pytest.raises(ConnectionCut):
                Link(proxy.address, key=KEY)
            eventually(lambda: not proxy._connections)

        assert grown_by(dial, TIMES // 2) == []


def test_a_link_that_is_cut_again_and_again_holds_no_more_than_at_first(server: Server) -> None:
    with ChaosProxy(server.address) as proxy, Link(proxy.address, key=KEY) as link:

        def be_cut() -> None:
            link.send({"before": 1})
            proxy.cut()
            link.send(os.urandom(3000))
            assert link.recv(timeout=PATIENCE_SECONDS) == {"before": 1}
            assert len(link.recv(timeout=PATIENCE_SECONDS)) == 3000

        assert grown_by(be_cut, TIMES // 6) == []


@pytest.mark.parametrize("act", [with_blobs, with_a_blob_that_nobody_reads, with_a_file, with_a_conversation])
def test_what_a_link_does_leaves_nothing_at_the_link(
    server: Server, tmp_path: Path, act: Callable[[Link, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").write_bytes(os.urandom(20_000))
    with Link(server.address, key=KEY) as link, monkeypatch.context() as patch:
        patch.setattr(link, "close", lambda: None)

        assert grown_by(lambda: act(link, tmp_path), TIMES // 2) == []


def test_durable_links_leave_nothing(tmp_path: Path) -> None:
    def take(link: Link) -> None:
        with contextlib.suppress(LinkClosed):
            while True:
                with link.transaction() as message:
                    assert message.value is not None

    with Server(key=KEY, handler=take) as server:

        def visit() -> None:
            with Link(server.address, key=KEY, durable=tmp_path / "outbox.db") as link:
                link.send(1, wait="consumed", timeout=PATIENCE_SECONDS)

        assert grown_by(visit, TIMES // 6) == []


def test_cancelled_calls_leave_nothing() -> None:
    async def cancel(link: aio.Link) -> None:
        for call in (link.recv(), link.send(os.urandom(100_000), wait="consumed"), link.accept_conversation()):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await link.send(None, wait="acked", timeout=PATIENCE_SECONDS)

    with Server(key=KEY, handler=lambda link: [None for _ in link]) as server, AsyncioHouse() as house:
        link = house.connect(server.address)

        assert grown_by(lambda: house.call(cancel, link.target), TIMES) == []
        link.abort()


def test_cancelled_dials_leave_nothing() -> None:
    """A server that has heard OPEN keeps a session for a client that may come back: here for a moment."""

    async def dial() -> None:
        task = asyncio.ensure_future(aio.connect(server.address, key=KEY)._begin())
        for _ in range(turns.pop()):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await task).abort()

    turns = [turn % 20 for turn in range(100)]
    limits = Limits(resume_seconds=0.1)
    with Server(key=KEY, handler=answer, limits=limits) as server, AsyncioHouse() as house:
        assert grown_by(lambda: house.call(dial), TIMES) == []


@pytest.mark.long  # a third of a second each: SPAKE2 in Python
def test_pairings_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spake2")
    from netstructer.pairing import hosting
    from test_pairing_sockets import Desk, Home

    monkeypatch.setattr(hosting, "TICK_SECONDS", 0.01)
    homes = (tmp_path / str(number) for number in itertools.count())

    def visit() -> None:
        directory = next(homes)
        with Desk(directory) as desk:
            assert Home(directory).pair(desk.address, desk.code()).user == desk.ended().names[0]

    assert grown_by(visit, TIMES // 3) == []


# --- what is planted is found -----------------------------------------------------------------------------------------


KEPT: list[Any] = []


def _thread() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=True)
    thread.start()
    KEPT.append((over, thread))


PLANTED = {
    "descriptors": lambda: KEPT.append(open(os.devnull)),  # noqa: SIM115 - it is to stay open
    "threads": _thread,
    "netstructer.limits.Limits": lambda: KEPT.append(Limits()),
    "blocks of memory": lambda: KEPT.extend((bytearray(64), bytearray(64))),
    "bytes of the heap": lambda: KEPT.append(bytearray(4096)),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaks.PATIENCE_SECONDS", 0.0)
    try:
        found = grown_by(PLANTED[what], TIMES * 5)
    finally:
        for kept in KEPT:
            if isinstance(kept, tuple):
                kept[0].set()
                kept[1].join()
            elif hasattr(kept, "close"):
                kept.close()
        KEPT.clear()

    assert what in " ".join(found)
