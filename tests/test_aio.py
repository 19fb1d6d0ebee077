"""The asyncio façade's own affairs: what no blocking link has, and what a loop asks of who lives in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, eventually, python
from netstructer import Blob, Key, Limits, Link, aio
from netstructer.aio import receiving, weighing
from netstructer.aio.workers import Worker, run_apart
from netstructer.errors import (
    IllegalFrame,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    Misuse,
    Stalled,
    Unreachable,
)
from netstructer.protocol.payloads import Payloads
from wired import steps, wired

try:
    import uvloop
except ImportError:
    uvloop = None

NOISE = random.Random(5).randbytes(3 << 20)


def run(
    main: Callable[[], Awaitable[None]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run a coroutine to its end; nobody may have complained to the loop, and no task may be left."""
    complaints: list[str] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(repr(context)))
        await asyncio.wait_for(main(), 60)
        await steps(5)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(watched())
    gc.collect()

    assert complaints == []


class Pair:
    """Both ends of a link over loopback, in one loop."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._server_options = options.pop("server_options", {})

    async def __aenter__(self) -> tuple[aio.Link, aio.Link, aio.Server]:
        self.server = await aio.Server(key=KEY, **self._server_options).start()
        self.near = await aio.connect(self.server.address, key=KEY, **self._options)
        self.far = await self.server.accept(timeout=PATIENCE_SECONDS)
        return self.near, self.far, self.server

    async def __aexit__(self, *_: object) -> None:
        await self.near.abort()
        await self.far.abort()
        await self.server.close()


# --- loops ----------------------------------------------------------------------------------------------------------


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that has no `add_reader` and its kin for netstructer, as Windows' Proactor has none for anybody."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("add_reader", "add_writer", "remove_reader", "remove_writer", "add_signal_handler"):
            asker = sys._getframe(1).f_globals["__name__"]
            if asker.partition(".")[0] == "netstructer":
                raise NotImplementedError(f"{asker} asks for {name}")
        return super().__getattribute__(name)


LOOPS = [NoReaders, asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop is not None else [])]


@pytest.mark.parametrize("factory", LOOPS, ids=["no readers", "asyncio", "uvloop"][: len(LOOPS)])
def test_any_loop_will_do(factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair() as (near, far, server):
            await near.send([1, {"two": 3}])
            assert await far.recv() == [1, {"two": 3}]
            sending = asyncio.ensure_future(far.send({"blob": Blob(NOISE)}, wait="consumed"))
            value = await near.recv()
            assert await value["blob"].read() == NOISE
            await sending
            (tmp_path / "f").write_bytes(NOISE)
            (tmp_path / "d").mkdir()
            await asyncio.gather(near.send_file(tmp_path / "f"), far.recv_file(tmp_path / "d"))
            assert (tmp_path / "d" / "f").read_bytes() == NOISE
            assert await near.ping() > 0
            await server.broadcast("all")
            assert await near.recv() == "all"

    run(main, factory)


def test_many_links_have_no_thread() -> None:
    async def main() -> None:
        before = threading.active_count()
        async with aio.Server(key=KEY) as server:
            links = await asyncio.gather(*(aio.connect(server.address, key=KEY) for _ in range(50)))
            others = [await server.accept(timeout=PATIENCE_SECONDS) for _ in links]
            await asyncio.gather(*(link.send(n) for n, link in enumerate(links)))
            found = await asyncio.gather(*(link.recv() for link in others))

            assert sorted(found) == list(range(50))
            assert threading.active_count() <= before + 6  # the loop's executor, which looked names up
            await asyncio.gather(*(link.close() for link in links))

    run(main)


def test_pings_go_while_nobody_waits_in_a_link() -> None:
    limits = Limits(ping_seconds=0.1, dead_seconds=0.4)

    async def main() -> None:
        async with Pair(limits=limits, server_options={"limits": limits}) as (near, far, _):
            await asyncio.sleep(0.8)

            assert not near.suspended
            assert near.stats.resumes == 0
            assert near.stats.rtt_seconds or far.stats.rtt_seconds

    run(main)


def test_a_silent_peer_is_found_by_the_loops_own_clock() -> None:
    limits = Limits(ping_seconds=0.1, dead_seconds=0.3)

    async def main() -> None:
        near, far, near_wire, far_wire = await wired(limits=limits)
        near._session.resumable = far._session.resumable = False
        near_wire.paused = far_wire.paused = True
        with pytest.raises(Stalled):
            await near.recv(timeout=PATIENCE_SECONDS)
        far_wire.paused = near_wire.paused = False
        await far.abort()

    run(main)


def test_one_greedy_link_does_not_starve_another() -> None:
    async def main() -> None:
        async with Pair() as (near, far, server), aio.connect(server.address, key=KEY) as second:
            other = await server.accept(timeout=PATIENCE_SECONDS)

            async def pour() -> None:
                while True:
                    await near.send(b"x" * 300)

            async def drain() -> None:
                while True:
                    await far.recv()

            greedy = [asyncio.ensure_future(pour()), asyncio.ensure_future(drain())]
            await asyncio.sleep(0.1)
            for n in range(20):
                await second.send(n)
                assert await other.recv(timeout=PATIENCE_SECONDS) == n
            assert far.stats.messages_received > 100
            for task in greedy:
                task.cancel()
            await asyncio.gather(*greedy, return_exceptions=True)

    run(main)


# --- opening and ending ---------------------------------------------------------------------------------------------


def test_connect_is_awaited_or_entered_and_a_link_is_not_made_otherwise() -> None:
    async def main() -> None:
        async with aio.Server(key=KEY) as server:
            async with aio.connect(server.address, key=KEY) as link:
                assert not link.closed
            assert link.closed
            async with await aio.connect(server.address, key=KEY) as link:
                assert not link.closed
            assert link.closed
            with pytest.raises(Misuse, match="connect"):
                aio.Link()
            with pytest.raises(Misuse):
                aio.connect(server.address, key=KEY, padding="huge")

    run(main)


def test_a_name_that_leads_nowhere() -> None:
    async def main() -> None:
        with pytest.raises(Unreachable):
            await aio.connect(("name.invalid", 1), key=KEY)

    run(main)


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its system takes connections, and nobody ever reads

        async def main() -> None:
            with pytest.raises(LinkTimeout):
                await aio.connect(silent.getsockname()[:2], key=KEY, timeout=0.1)

        run(main)


def test_abort_need_not_be_awaited_and_may_be() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            ending = near.abort()
            assert near.closed
            await ending
            await near.abort()
            assert near._exchange.pump.gone
            with pytest.raises((LinkClosed, LinkLost)):
                await far.recv(timeout=PATIENCE_SECONDS)

    run(main)


def test_a_link_that_nobody_closed_warns_and_ends() -> None:
    async def main() -> None:
        async with Pair() as (_, _, server):
            links = [await aio.connect(server.address, key=KEY)]
            other = await server.accept(timeout=PATIENCE_SECONDS)
            with pytest.warns(ResourceWarning, match="was not closed"):
                links.clear()
            with pytest.raises((LinkClosed, LinkLost)):
                await other.recv(timeout=PATIENCE_SECONDS)

    run(main)


def test_a_handler_that_does_not_end_is_cancelled_when_the_server_has_waited() -> None:
    ended: list[str] = []

    async def chat(link: aio.Link) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(link.id)

    async def main() -> None:
        async with aio.Server(key=KEY, handler=chat) as server, aio.connect(server.address, key=KEY) as link:
            await link.ping()
            await server.close(drain=0.1)

            assert ended == [link.id]

    run(main)


def test_a_handler_may_close_its_server() -> None:
    async def main() -> None:
        server = aio.Server(key=KEY)

        @server.handler
        async def chat(link: aio.Link) -> None:
            async for _ in link:
                await server.close(drain=0.5)

        async with server, aio.connect(server.address, key=KEY) as link:
            await link.send("close")
            with pytest.raises(LinkClosed):
                await link.recv(timeout=PATIENCE_SECONDS)

    run(main)


def test_the_log_of_a_handlers_fault_shows_where_and_never_what(caplog: pytest.LogCaptureFixture) -> None:
    async def chat(link: aio.Link) -> None:
        raise ValueError(await link.recv())

    async def main() -> None:
        async with aio.Server(key=KEY, handler=chat) as server, aio.connect(server.address, key=KEY) as link:
            await link.send("a secret of the peer")
            with pytest.raises(LinkClosed):
                await link.recv(timeout=PATIENCE_SECONDS)

    with caplog.at_level(logging.ERROR, "netstructer"):
        run(main)

    assert "raised ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_sigterm_drains_a_server_that_serves_for_ever() -> None:
    program = """
import asyncio
from netstructer import aio
async def main():
    server = aio.Server()
    @server.handler
    async def chat(link):
        async for value in link:
            await link.send(value)
    await server.start()
    print(server.address.port, flush=True)
    await server.serve_forever()
    print("left", flush=True)
asyncio.run(main())
"""
    with python("-X", "dev", "-c", program) as process:
        port = int(process.stdout.readline())
        with Link(("127.0.0.1", port), key=KEY) as link:
            link.send(1)
            assert link.recv(timeout=PATIENCE_SECONDS) == 1
            process.send_signal(signal.SIGTERM)
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (out, err, process.returncode) == ("left\n", "", 0)


def test_what_comes_with_the_first_record_is_told_when_there_is_a_link() -> None:
    """A key that the server gives at once may come in the very bytes that open the session."""
    told: list[str] = []

    class Listener:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *given: told.append(name)

    async def main() -> None:
        near, far, *_ = await wired()
        near._exchange.pump._told = None
        far._session.give_key(Key.generate())
        far._exchange.drain(5.0)
        await steps(20)
        assert told == []
        near._exchange.pump.listen(Listener())
        assert told == ["new_key", "draining"]
        near.abort()
        await far.abort()
        assert told == ["new_key", "draining", "ended"]

    run(main)


def test_a_client_learns_the_key_that_the_server_gives_at_once() -> None:
    old, new = Key.generate(), Key.generate()
    learnt: list[Key] = []

    async def main() -> None:
        async with aio.Server(key={"ann": old}) as server:
            server.keys.add(new, user="ann")
            async with aio.connect(server.address, key=old, on_new_key=learnt.append) as link:
                await link.ping(timeout=PATIENCE_SECONDS)
                while not learnt:
                    await asyncio.sleep(0.001)

    run(main)

    assert learnt == [new]


# --- blobs ----------------------------------------------------------------------------------------------------------


async def dripping(count: int) -> AsyncIterator[bytes]:
    for n in range(count):
        await asyncio.sleep(0.001)
        yield b"%d," % n


def test_an_asynchronous_iterable_is_a_source() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send(aio.Blob.from_iter(dripping(50), name="drops")))
            blob = await far.recv()

            assert isinstance(blob, aio.Blob)
            assert blob.name == "drops"
            assert await blob.read() == b"".join(b"%d," % n for n in range(50))
            await sending

    run(main)


def test_what_an_asynchronous_source_raises_is_raised_by_send() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send(aio.Blob.from_iter(broken())))
            blob = await far.recv()
            with pytest.raises(ZeroDivisionError):
                await sending
            with pytest.raises(MessageCancelled):
                await blob.read()

    run(main)


def test_a_source_that_waits_holds_up_nobody_else() -> None:
    gate = threading.Event()

    def waiting() -> Any:
        yield b"first"
        assert gate.wait(PATIENCE_SECONDS)
        yield b"second"

    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = [asyncio.ensure_future(near.send(aio.Blob.from_iter(waiting()))) for _ in range(20)]
            blobs = [await far.recv() for _ in range(20)]
            await near.send("beside")
            assert await far.recv() == "beside"
            gate.set()
            assert await asyncio.gather(*(blob.read() for blob in blobs)) == [b"firstsecond"] * 20
            await asyncio.gather(*sending)

    run(main)


def test_in_the_loop_a_blob_that_comes_is_awaited_and_in_a_thread_it_is_an_ordinary_one() -> None:
    gate = threading.Event()

    def waiting() -> Any:
        yield NOISE
        assert gate.wait(PATIENCE_SECONDS)

    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send(aio.Blob.from_iter(waiting())))
            blob = await far.recv()
            with pytest.raises(Misuse, match="await"):
                bytes(blob)
            reading = asyncio.ensure_future(asyncio.to_thread(lambda: b"".join(map(bytes, blob.chunks()))))
            gate.set()
            assert await reading == NOISE
            await sending

    run(main)


def test_a_blob_as_a_file_that_is_awaited() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send(Blob(b"one\ntwo\nthree" + NOISE)))
            blob = await far.recv()
            async with blob.open() as file:
                assert [await file.readline(), await file.tell()] == [b"one\n", 4]
                assert await file.seek(8) == 8
                assert await file.read(5) == b"three"
                assert await file.read() == NOISE
                await file.seek(0)
                async for line in file:
                    assert line == b"one\n"
                    break
            await file.close()
            with pytest.raises(ValueError, match="closed"):
                await file.read()
            await sending

    run(main)


def test_blobs_that_were_never_sent_can_be_read_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(NOISE)

    async def main() -> None:
        assert await aio.Blob(NOISE).read() == NOISE
        assert await aio.Blob.from_path(tmp_path / "f").read() == NOISE
        assert await aio.Blob.from_iter(dripping(3)).read() == b"0,1,2,"
        assert await aio.Blob(NOISE).save(tmp_path / "g") == tmp_path / "g"
        assert (tmp_path / "g").read_bytes() == NOISE

    run(main)


def test_a_save_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    gate = threading.Event()

    def waiting() -> Any:
        yield NOISE
        assert gate.wait(PATIENCE_SECONDS)
        yield NOISE

    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send(aio.Blob.from_iter(waiting())))
            blob = await far.recv()
            saving = asyncio.ensure_future(blob.save(tmp_path / "f"))
            await asyncio.sleep(0.05)
            saving.cancel()
            gate.set()
            with pytest.raises(asyncio.CancelledError):
                await saving
            del blob
            await asyncio.gather(sending, return_exceptions=True)
            await asyncio.to_thread(eventually, lambda: list(tmp_path.iterdir()) == [])

    run(main)


def test_a_blob_that_nobody_holds_is_given_up() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send([aio.Blob.from_iter(iter(lambda: bytes(50_000), b""))]))
            value = await far.recv()
            del value
            gc.collect()
            await asyncio.wait_for(sending, PATIENCE_SECONDS)

    run(main)


def test_a_conversation_that_nobody_holds_is_over_at_the_peer() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            aside = near.conversation()
            await aside.send("hello")
            other = await far.accept_conversation()
            assert await other.recv() == "hello"
            del aside
            gc.collect()
            with pytest.raises(LinkClosed):
                await other.recv(timeout=PATIENCE_SECONDS)
            with pytest.raises(LinkClosed):
                await other.send("more")
            await other.close()

    run(main)


# --- files ----------------------------------------------------------------------------------------------------------


def test_progress_is_told_in_the_loop(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(NOISE)
    (tmp_path / "d").mkdir()
    threads: set[threading.Thread] = set()

    async def main() -> None:
        async with Pair() as (near, far, _):
            await asyncio.gather(
                near.send_file(tmp_path / "f", progress=lambda told: threads.add(threading.current_thread())),
                far.recv_file(tmp_path / "d"),
            )

    run(main)

    assert threads == {threading.main_thread()}


def test_more_transfers_at_once_than_the_executor_has_threads(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            jobs = []
            for n in range(40):
                (tmp_path / f"f{n}").write_bytes(b"%d" % n)
                jobs += [near.send_file(tmp_path / f"f{n}"), far.recv_file(place)]
            await asyncio.gather(*jobs)

    place = tmp_path / "d"
    place.mkdir()
    run(main)

    assert sorted(int(path.read_bytes()) for path in place.iterdir()) == list(range(40))


def test_a_transfer_that_is_cancelled_ends_at_both_ends(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "d").mkdir()

    async def main() -> None:
        async with Pair() as (near, far, _):
            sending = asyncio.ensure_future(near.send_file(tmp_path / "f"))
            receiving_it = asyncio.ensure_future(far.recv_file(tmp_path / "d"))
            await asyncio.sleep(0.2)
            sending.cancel()
            done = await asyncio.wait_for(asyncio.gather(sending, receiving_it, return_exceptions=True), 20)
            assert all(isinstance(error, BaseException) for error in done)
            await near.send("on")
            assert await far.recv() == "on"

    run(main)


# --- parts ----------------------------------------------------------------------------------------------------------


def test_what_is_made_in_the_executor_is_what_is_made_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "APART_BYTES", 0)
    monkeypatch.setattr(weighing, "HEAVY_ITEMS", 1)

    async def main() -> None:
        async with Pair() as (near, far, _):
            for value in ([], {"a": Blob(b"blob"), "b": Blob(b"")}, "text", {1, 2}):
                await near.send(value)
                found = await far.recv(timeout=PATIENCE_SECONDS)
                if isinstance(value, dict):
                    assert [await blob.read() for blob in found.values()] == [b"blob", b""]
                else:
                    assert found == value

    run(main)


def test_what_is_much_is_encoded_apart_whichever_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    much, little = list(range(5000)), [1]
    threads: list[tuple[bool, bool]] = []
    encode = Payloads.encode

    def noted(payloads: Payloads, value: Any) -> Any:
        if value in (much, little, (much,), (little,)):
            threads.append((much in (value, *value), threading.current_thread() is threading.main_thread()))
        return encode(payloads, value)

    monkeypatch.setattr(Payloads, "encode", noted)

    async def main() -> None:
        async with Pair() as (near, far, _):
            sent = await near.send_many([little, much, b"x" * 9000, much, little], timeout=PATIENCE_SECONDS)
            assert sent.plain_bytes > 10_000
            received = [await far.recv(timeout=PATIENCE_SECONDS) for _ in range(5)]
            assert received == [little, much, b"x" * 9000, much, little]
            async with near.conversation() as aside:
                await aside.send(much)
                await aside.send(little)
                other = await far.accept_conversation(timeout=PATIENCE_SECONDS)
                assert [await other.recv(timeout=PATIENCE_SECONDS) for _ in range(2)] == [much, little]
                leaving = asyncio.ensure_future(other.send(much))
                await steps(1)
                await other.close()
                with pytest.raises(LinkClosed):
                    await leaving
        assert threads == [(heavy, not heavy) for heavy, _ in threads]
        assert len(threads) == 7

    run(main)


def test_a_link_whose_loop_is_over_can_be_let_go_of() -> None:
    links: list[aio.Link] = []

    async def main() -> None:
        pair = Pair()
        links.extend((await pair.__aenter__())[:2])

    with warnings.catch_warnings(action="ignore"):  # asyncio's, of the transports that were left open
        with asyncio.Runner() as runner:
            runner.run(main())
        for link in links:
            link.abort()
        assert all(link.closed for link in links)
        del link
        links.clear()
        gc.collect()


def test_a_link_is_of_one_loop_and_says_so_in_another() -> None:
    async def main() -> None:
        async with Pair() as (near, far, _):
            await near.send("here already")
            aside = near.conversation()
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: far.send(1),
                lambda: far.send_many([1]),
                far.recv,
                far.ping,
                far.close,
                far.accept_conversation,
                lambda: aside.send(1),
                aside.recv,
            ]

            async def abroad() -> None:
                for call in calls:
                    with pytest.raises(Misuse, match="another"):
                        await call()

            await asyncio.to_thread(lambda: asyncio.run(abroad()))
            with pytest.raises(Misuse, match="or none"):
                await asyncio.to_thread(near.conversation)
            assert await far.recv(timeout=PATIENCE_SECONDS) == "here already"
            await aside.close()

    run(main)


@pytest.mark.parametrize(
    ("value", "heavy"),
    [
        (None, False),
        (5, False),
        ("x" * 1000, False),
        ("x" * 100_000, True),
        (b"x" * 100_000, True),
        (memoryview(b"x" * 100_000), True),
        (list(range(100)), False),
        (list(range(10_000)), True),
        ([[n] * 10 for n in range(100)], True),
        ({n: n for n in range(1000)}, True),
        ({"a": [{"b": "x" * 100_000}]}, True),
        (Blob(b"x" * 100_000), False),
    ],
)
def test_what_is_heavy(value: object, heavy: bool) -> None:
    assert weighing.is_heavy(value) == heavy


def test_a_value_that_holds_itself_is_weighed_in_time() -> None:
    value: list[Any] = []
    value.append(value)

    assert weighing.is_heavy(value)


def test_a_worker_hands_back_what_its_job_gives_or_raises() -> None:
    async def main() -> None:
        worker = Worker("netstructer-test")
        assert await worker.run(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        slow = asyncio.ensure_future(worker.run(lambda: time.sleep(0.05)))
        await asyncio.sleep(0.01)
        slow.cancel()
        assert await worker.run(lambda: "after it") == "after it"
        worker.close()
        assert await run_apart(lambda: threading.current_thread().name) == "netstructer-worker"

    run(main)


def test_a_fault_of_ours_under_way_ends_the_link_and_not_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        monkeypatch.setattr(far._session, "receive", lambda now: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            far._exchange.pump.received(0)
        monkeypatch.undo()

        assert far.closed
        with pytest.raises(LinkLost):
            await far.recv()
        near.abort()

    run(main)


def test_a_peer_that_breaks_the_protocol_is_told_why() -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        far._exchange.fail(IllegalFrame("made up by the test"))
        with pytest.raises(LinkLost, match="IllegalFrame"):
            await near.recv(timeout=PATIENCE_SECONDS)
        await far.abort()

    run(main)
