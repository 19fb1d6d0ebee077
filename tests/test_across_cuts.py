"""What a review of delivery across cuts has found, each held by a test that fails without its mending."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Limits, Link, Server, aio
from netstructer.errors import LinkTimeout, SessionLost, SourceFailed
from netstructer.protocol import kept
from netstructer.testing import ChaosProxy


def test_a_link_that_gets_no_thread_to_redial_is_lost_and_no_other_one_suffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper may be who hears of the cut, under the link's lock: if it waits for that, it serves nobody again."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "redial" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with (
        Server(key=KEY) as server,
        ChaosProxy(server.address) as proxy,
        Link(server.address, key=KEY) as beside,
        Link(proxy.address, key=KEY) as near,
    ):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        proxy.cut()
        with pytest.raises(SessionLost, match="no thread"):
            near.recv(timeout=PATIENCE_SECONDS)
        monkeypatch.undo()

        assert near._exchange._pump.lock.plain.acquire(timeout=PATIENCE_SECONDS)
        near._exchange._pump.lock.plain.release()
        beside.ping(timeout=PATIENCE_SECONDS)


def test_what_was_kept_is_not_said_to_have_found_no_room() -> None:
    """Who hears `BacklogFull` sends again; and what is kept arrives."""
    limits = Limits(backlog_bytes=256 << 10)
    with (
        Server(key=KEY) as server,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, limits=limits) as near,
    ):
        far = server.accept(timeout=PATIENCE_SECONDS)
        proxy.down()
        eventually(lambda: near.suspended)
        waiting = Task(near.send, "kept", wait="acked", timeout=0.5)
        eventually(lambda: near.stats.messages_sent == 1)
        blocked = Task(near.send, bytes(1 << 20), compress=False)
        eventually(lambda: near._session.backlog_full)
        assert isinstance(waiting.error(), LinkTimeout)
        proxy.up()

        assert far.recv(timeout=PATIENCE_SECONDS) == "kept"
        assert len(far.recv(timeout=PATIENCE_SECONDS)) == 1 << 20
        blocked.result()


def test_an_abort_that_ctrl_c_interrupts_is_finished_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is over at once; whatever is left is not to be left for ever."""
    for name in ("handle", "end"):
        with linked(resume=False) as (near, _):
            pump = near._exchange._pump
            transport = pump.transport

            def interrupted(*rest: object) -> None:
                raise KeyboardInterrupt

            if name == "handle":
                monkeypatch.setattr(type(pump), "handle", interrupted)
            else:
                monkeypatch.setattr("netstructer.changeover.sockets.write", interrupted)
                near._session.resumable = True  # so that there is a last word
            with pytest.raises(KeyboardInterrupt):
                near.abort()
            monkeypatch.undo()
            near.abort()

            assert near._exchange.ended
            assert transport.fileno() == -1


def test_a_disk_that_does_not_give_back_what_was_kept_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SourceFailed` is an `OSError`: taken for one of the socket, it would have the link redial for ever."""
    monkeypatch.setattr(kept, "KEPT_MEMORY_BYTES", 1000)
    with Server(key=KEY) as server, ChaosProxy(server.address) as proxy, Link(proxy.address, key=KEY) as near:
        proxy.down()
        eventually(lambda: near.suspended)
        ids = [near.send(bytes(900), compress=False).id for _ in range(3)]
        mine, read = near._session.outflow.kept, kept.Kept._read

        def broken(self: kept.Kept, place: Any) -> Any:
            if self is mine and isinstance(place, slice):
                raise SourceFailed("the disk gave back other bytes")
            return read(self, place)

        monkeypatch.setattr(kept.Kept, "_read", broken)
        proxy.up()
        with pytest.raises(SessionLost, match="disk") as caught:
            near.recv(timeout=PATIENCE_SECONDS)

        assert isinstance(caught.value.__cause__, SourceFailed)
        assert caught.value.unacknowledged == tuple(ids)


def test_under_asyncio_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it was `ConnectionCut`, which names no messages, and `SourceFailed` in whoever wrote just then."""

    async def run(server: Server, proxy: ChaosProxy) -> None:
        async with await aio.connect(proxy.address, key=KEY) as near:
            proxy.down()
            while not near.suspended:
                await asyncio.sleep(0.01)
            ids = [(await near.send(bytes(900), compress=False)).id for _ in range(3)]
            monkeypatch.setattr(kept.Kept, "_read", broken)
            proxy.up()
            with pytest.raises(SessionLost, match="disk") as caught:
                await near.recv(timeout=PATIENCE_SECONDS)
            assert caught.value.unacknowledged == tuple(ids)

    read = kept.Kept._read

    def broken(self: kept.Kept, place: Any) -> Any:
        if isinstance(place, slice):
            raise SourceFailed("the disk gave back other bytes")
        return read(self, place)

    monkeypatch.setattr(kept, "KEPT_MEMORY_BYTES", 1000)
    with Server(key=KEY) as server, ChaosProxy(server.address) as proxy:
        asyncio.run(run(server, proxy))


class Interrupting:
    """A socket in whose writing Ctrl-C comes."""

    def __init__(self, transport: socket.socket) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def send(self, data: bytes) -> int:
        self._transport.send(data[:7])
        raise KeyboardInterrupt

    def sendmsg(self, buffers: list[bytes]) -> int:
        return self.send(buffers[0])


@pytest.mark.parametrize("size", [10, 800_000])
def test_ctrl_c_in_the_middle_of_a_write_costs_the_transport_and_not_the_link(size: int) -> None:
    with linked() as (near, far):
        pump = near._exchange._pump
        assert pump.pipe is not None
        pump.pipe.transport = Interrupting(pump.transport)  # type: ignore[assignment]  # it is near enough
        with pytest.raises(KeyboardInterrupt):
            near.send(bytes(size), compress=False)
        near.send("after")
        got = [far.recv(timeout=PATIENCE_SECONDS)]
        if size == 10:  # it was sealed; the long one was given up
            got.append(far.recv(timeout=PATIENCE_SECONDS))

        assert got[-1] == "after"
        assert near.stats.resumes == 1
