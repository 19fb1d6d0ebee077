"""Calls of asyncio: cancelled anywhere nothing of them survives, and what blocks is in a thread, from end to end.

What holds for both façades is in test_calling.py.  Here the two ends are in one loop, mostly over wires of the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from leaks import left_to_the_collector
from loopback import KEY, PATIENCE_SECONDS
from netstructer import Blob, Limits, Server, aio, crew
from netstructer.aio.pouring import AHEAD_ITEMS
from netstructer.errors import Busy, LinkClosed, LinkTimeout, Misuse, NotPermitted, RemoteError
from netstructer.protocol.calls import STREAM_ITEMS
from pairings import AsyncioHouse
from test_aio_cancel import cancelled_after
from wired import steps, wired

TIMEOUT = PATIENCE_SECONDS


class Told:
    """What has become of the actions of a test."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.gate = threading.Event()
        self.ended: list[Any] = []

    def actions(self, on: Callable[..., Any]) -> None:
        @on
        async def add(a: int, b: int = 1) -> int:
            await asyncio.sleep(0)
            return a + b

        @on
        async def wait(number: int = 0) -> None:
            self.ran.append(number)
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(number)

        @on
        async def count(stop: int) -> AsyncIterator[int]:
            try:
                for number in range(stop):
                    yield number
            finally:
                self.ended.append("count")

        @on
        def block(context: Any) -> str:
            self.ran.append(threading.current_thread().name)
            while not self.gate.wait(0.002):
                pass
            self.ended.append(context.cancelled)
            return "unblocked"

        @on
        def thread_of_each(stop: int) -> Iterator[int]:
            self.ran.append(threading.get_ident())
            try:
                for _ in range(stop):
                    yield threading.get_ident()
            finally:
                self.ended.append(threading.get_ident())


@contextlib.asynccontextmanager
async def ends(told: Told, **options: Any) -> AsyncIterator[tuple[aio.Link, aio.Link]]:
    """Give both ends over wires, actions at each; afterwards nothing may be left."""
    before = asyncio.all_tasks()
    near, far, *_ = await wired(**options)
    for link in (near, far):
        told.actions(link.on)
    try:
        yield near, far
        told.gate.set()
        await until(lambda: left_of(near) + left_of(far) == [])
    finally:
        told.gate.set()
        near.abort()
        await far.abort()
    await until(lambda: asyncio.all_tasks() <= before)


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.001)


def left_of(link: aio.Link) -> list[object]:
    pump, found = link._exchange.pump, link._told.answering
    unread = 0 if pump.ended else link._session.inflow.inbound.unread
    waiting = [*pump.waiters._numbered, *pump.waiters._waiting]
    return [*pump.asides._queues, *([unread] if unread else []), *(found._running if found else ()), *waiting]


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "wait", "count", "nothing"])
@pytest.mark.parametrize("count", [*range(10), 15, 25])
def test_a_call_cancelled_anywhere_leaves_nothing_at_either_end(name: str, count: int) -> None:
    async def main() -> None:
        told = Told()
        async with ends(told) as (near, far):
            for link in (near, far):
                with contextlib.suppress(RemoteError):
                    await cancelled_after(count, link.call(name, 2))
                gc.collect()  # of a stream that was returned
                assert await link.call("add", 2, 3) == 5
            await until(lambda: told.ran == told.ended or name != "wait")

    run(main)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8])
def test_a_stream_cancelled_anywhere_goes_on_where_it_was(count: int) -> None:
    async def main() -> None:
        async with ends(Told()) as (near, _):
            stream, found = await near.call("count", 60), []
            while len(found) < 60:
                done, item = await cancelled_after(count if len(found) % 2 else 9, anext(stream))
                found += [item] if done else []
                if not done:
                    found.append(await anext(stream))
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

            assert found == list(range(60))

    run(main)


def test_a_coroutine_is_cancelled_where_nobody_waits_for_it_any_more() -> None:
    async def main() -> None:
        told = Told()
        async with ends(told) as (near, _):
            with pytest.raises(LinkTimeout, match="no answer to 'wait'"):
                await near.call("wait", 1, timeout=0.01)
            waiting = asyncio.ensure_future(near.call("wait", 2))
            await until(lambda: 2 in told.ran)
            waiting.cancel()
            await until(lambda: told.ended == [1, 2])

    run(main)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_coroutine_is_cancelled_where_the_link_ends(how: str) -> None:
    async def main() -> None:
        told = Told()
        async with ends(told) as (near, far):
            waiting = asyncio.ensure_future(near.call("wait", 1))
            back = asyncio.ensure_future(far.call("wait", 2))
            stream = await near.call("count", 1 << 30)
            await until(lambda: sorted(told.ran) == [1, 2])
            if how == "close":
                await near.close()
            else:
                near.abort()
                far.abort()
            await until(lambda: sorted(map(str, told.ended)) == ["1", "2", "count"])
            for call in (waiting, back, _all_of(stream)):
                with pytest.raises((LinkClosed, ConnectionError)):
                    await call

    run(main)


async def _all_of(stream: aio.Stream) -> list[Any]:
    return [item async for item in stream]


@pytest.mark.filterwarnings("ignore:.*was not closed:ResourceWarning")
def test_a_loop_that_ends_takes_calls_that_run_and_wait_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` cancels every task there is; none may begin another one then."""
    told = Told()

    async def main() -> None:
        near, far, *_ = await wired(limits=Limits(calls=2))
        told.actions(far.on)
        for number in range(8):
            asyncio.ensure_future(near.call("wait", number))  # noqa: RUF006 - nobody is to hold it
        await until(lambda: len(told.ran) == 2)

    asyncio.run(main())
    gc.collect()

    assert told.ran == sorted(told.ended) == [0, 1]
    assert [record.message for record in caplog.records if "destroyed" in record.message] == []


def test_a_call_that_somebody_else_cancels_is_answered_and_the_others_go_on() -> None:
    async def main() -> None:
        told = Told()
        async with ends(told, limits=Limits(calls=1)) as (near, _):
            waiting = asyncio.ensure_future(near.call("wait", 1))
            await until(lambda: told.ran == [1])
            next(task for task in asyncio.all_tasks() if task.get_name().startswith("netstructer-action")).cancel()
            with pytest.raises(RemoteError, match="CancelledError"):
                await waiting

            assert await near.call("add", 1) == 2

    run(main)


def test_what_an_action_itself_raises_is_answered_whatever_it_is() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):

            @far.on("cancelled")
            async def cancelled() -> None:
                task = asyncio.ensure_future(asyncio.sleep(9))
                task.cancel()
                await task

            @far.on("exit")
            async def leave() -> None:
                sys.exit(3)

            far.on("plain.exit")(lambda: sys.exit(4))
            far.on("stop")(lambda: next(iter(())))
            for name, text in (
                ("cancelled", "CancelledError"),
                ("exit", "SystemExit: 3"),
                ("plain.exit", "SystemExit: 4"),
                ("stop", "StopIteration"),
            ):
                with pytest.raises(RemoteError, match=text):
                    await near.call(name, timeout=TIMEOUT)

    run(main)


def test_a_timeout_of_its_own_is_no_time_that_is_over() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):

            @far.on
            async def slow() -> None:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(9)

            with pytest.raises(RemoteError, match="TimeoutError"):
                await near.call("slow", timeout=TIMEOUT)

    run(main)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_plain_function_runs_in_a_thread_and_the_loop_goes_on() -> None:
    async def main() -> None:
        told = Told()
        async with ends(told) as (near, _):
            blocked = asyncio.ensure_future(near.call("block"))
            await until(lambda: told.ran)
            assert await near.call("add", 1) == 2
            told.gate.set()

            assert await blocked == "unblocked"
            assert told.ran == ["netstructer-action"]
            assert told.ended == [False]

    run(main)


def test_a_function_whose_caller_has_left_it_holds_its_place_until_it_returns() -> None:
    """Else a peer that calls and cancels would have every thread of the process."""

    async def main() -> None:
        told = Told()
        async with ends(told, limits=Limits(calls=3)) as (near, _):
            for _ in range(12):
                call = asyncio.ensure_future(near.call("block"))
                await steps(4)
                call.cancel()
            await until(lambda: len(told.ran) == 3)
            await asyncio.sleep(0.02)
            assert len(told.ran) == 3
            told.gate.set()

            assert await near.call("add", 1) == 2
            await until(lambda: told.ended[:3] == [True] * 3)

    run(main)


def test_a_plain_generator_is_begun_gone_on_with_and_closed_in_one_thread() -> None:
    async def main() -> None:
        told = Told()
        async with ends(told) as (near, _):
            found = [item async for item in await near.call("thread_of_each", 200)]
            assert set(found) == set(told.ran) == set(told.ended)
            assert found[0] != threading.get_ident()
            async with await near.call("thread_of_each", 1 << 30) as stream:
                assert await anext(stream)
            await until(lambda: len(told.ended) == 2)
            assert told.ran == told.ended

    run(main)


def test_a_cursor_can_be_streamed() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):

            @far.on
            def rows() -> Iterator[tuple[int]]:
                with contextlib.closing(sqlite3.connect(":memory:")) as database:
                    database.execute("create table numbers (number)")
                    database.executemany("insert into numbers values (?)", [(number,) for number in range(100)])
                    yield from database.execute("select number from numbers order by number")

            assert [row async for row in await near.call("rows")] == [(number,) for number in range(100)]

    run(main)


def test_a_plain_generator_is_not_far_ahead_and_its_errors_come_after_its_items() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):
            made = []

            @far.on
            def fail(stop: int) -> Iterator[int]:
                for number in range(stop):
                    made.append(number)
                    yield number
                raise ValueError("at the end")

            stream = await near.call("fail", 100)
            assert await anext(stream) == 0
            await asyncio.sleep(0.02)
            assert len(made) <= STREAM_ITEMS + AHEAD_ITEMS + 2
            found = [0] + [await anext(stream) for _ in range(99)]
            with pytest.raises(RemoteError, match="ValueError: at the end"):
                await anext(stream)

            assert found == list(range(100))

    run(main)


def test_a_plain_function_gets_blobs_that_it_can_read_and_a_coroutine_those_that_it_can_await() -> None:
    async def main() -> None:
        content = bytes(range(256)) * 2000
        async with ends(Told()) as (near, far):

            @far.on
            def plain(parts: dict[str, list[Blob]]) -> Any:
                first, second = parts["all"]
                with first.open() as file:
                    return type(first) is Blob, len(file.read()), len(bytes(second))

            @far.on
            def items(part: Blob) -> Iterator[int]:
                yield from map(len, part)

            @far.on
            async def awaited(part: aio.Blob) -> Any:
                return type(part) is aio.Blob, len(await part.read())

            parts = {"all": [Blob(content), Blob.from_iter([content, content])]}
            assert await near.call("plain", parts, timeout=TIMEOUT) == (True, len(content), 2 * len(content))
            assert await near.call("awaited", Blob(content), timeout=TIMEOUT) == (True, len(content))
            assert sum([size async for size in await near.call("items", Blob(content))]) == len(content)

    run(main)


def test_who_may_is_asked_in_a_thread_for_it_may_take_long() -> None:
    async def main() -> None:
        asked: list[str] = []
        async with ends(Told()) as (near, far):

            @far.actions.permit
            def permits(context: Any, permission: str) -> bool:
                asked.append(threading.current_thread().name)
                return permission == "read"

            @far.on("read", permission="read")
            async def read() -> int:
                return threading.get_ident()

            @far.on("each", permission="read")
            async def each() -> AsyncIterator[int]:
                yield threading.get_ident()

            far.on("write", permission="write")(lambda: None)
            assert await near.call("read") == threading.get_ident()
            assert [item async for item in await near.call("each")] == [threading.get_ident()]
            with pytest.raises(NotPermitted):
                await near.call("write")

            assert asked == ["netstructer-action"] * 3

    run(main)


def test_arguments_are_checked_before_a_coroutine_runs() -> None:
    pytest.importorskip("typeguard")

    async def main() -> None:
        async with ends(Told()) as (near, far):

            @far.on(check=True)
            async def twice(number: int) -> int:
                return 2 * number

            assert await near.call("twice", 4) == 8
            with pytest.raises(TypeError, match="argument 'number'"):
                await near.call("twice", "4")

    run(main)


@pytest.mark.parametrize("name", ["block", "thread_of_each"])
def test_no_thread_is_an_answer_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        told = Told()
        told.gate.set()
        monkeypatch.setattr(crew, "_crew", crew.Crew())
        async with ends(told) as (near, _):
            args = () if name == "block" else (3,)
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                with pytest.raises(Busy, match="no thread is left"):
                    await near.call(name, *args, timeout=TIMEOUT)
                assert await near.call("add", 1) == 2
            await near.call(name, *args, timeout=TIMEOUT)

    run(main)


# --- contexts ---------------------------------------------------------------------------------------------------------


def test_what_one_call_sets_in_its_context_is_not_seen_by_another() -> None:
    secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="nothing")

    async def main() -> None:
        async with ends(Told(), limits=Limits(calls=1)) as (near, far):

            def swap(value: str) -> str:
                found = secret.get()
                secret.set(value)
                return found

            @far.on("awaited")
            async def awaited(value: str) -> str:
                return swap(value)

            @far.on("items")
            async def items(value: str) -> AsyncIterator[str]:
                yield swap(value)
                yield secret.get()

            @far.on("plain.items")
            def plain_items(value: str) -> Iterator[str]:
                yield swap(value)
                yield secret.get()

            far.on("plain")(swap)
            for _ in range(2):
                calls = [near.call(name, "a user's") for name in ("awaited", "plain") * 3]
                assert await asyncio.gather(*calls) == ["nothing"] * 6
                for name in ("items", "plain.items"):
                    assert [item async for item in await near.call(name, "x")] == ["nothing", "x"]

    run(main)


# --- both ways --------------------------------------------------------------------------------------------------------


def test_actions_call_back_on_the_same_link_and_a_thousand_calls_go_at_once() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):

            async def down(context: Any, depth: int) -> list[str]:
                return [context.action, *(await context.link.call("down", depth - 1))] if depth else []

            for link in (near, far):
                link.on("down")(down)
            assert await near.call("down", 20) == ["down"] * 20
            assert await asyncio.gather(*(near.call("add", n) for n in range(1000))) == list(range(1, 1001))

    run(main)


def test_functions_that_return_what_is_awaited_or_iterated_are_run_to_the_end() -> None:
    async def main() -> None:
        async with ends(Told()) as (near, far):

            async def awaited(a: int) -> int:
                return a + 1

            async def items(stop: int) -> AsyncIterator[int]:
                for number in range(stop):
                    yield number

            far.on("awaited")(lambda a: awaited(a))
            far.on("partial")(functools.partial(awaited, 4))
            far.on("items")(lambda stop: items(stop))
            far.on("plain.items")(lambda stop: (number for number in range(stop)))

            assert await near.call("awaited", 1) == 2
            assert await near.call("partial") == 5
            for name in ("items", "plain.items"):
                assert [item async for item in await near.call(name, 3)] == [0, 1, 2]

    run(main)


def test_a_link_belongs_to_its_loop() -> None:
    with AsyncioHouse() as house, Server(key=KEY) as server:
        link = house.connect(server.address)
        with pytest.raises(Misuse, match="belongs to the loop"):
            asyncio.run(link.target.call("add"))
        link.abort()


def test_large_arguments_and_results_are_dealt_with_apart_from_the_loop() -> None:
    async def main() -> None:
        threads: set[int] = set()
        async with ends(Told()) as (near, far):
            far.on("echo")(lambda value: value)
            payloads = type(far._session.payloads)
            read = payloads.read

            def seen(*args: Any) -> Any:
                threads.add(threading.get_ident())
                return read(*args)

            value = [list(range(50_000)), {"a": Blob(b"x" * 10)}]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(payloads, "read", seen)
                found = await near.call("echo", value, timeout=TIMEOUT)

            assert found[0] == value[0]
            assert await found[1]["a"].read() == b"x" * 10
            assert threading.get_ident() not in threads

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="loops begin their tasks eagerly from 3.12 on")
def test_a_loop_that_begins_its_tasks_at_once_will_do() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        told = Told()
        async with ends(told, limits=Limits(calls=2)) as (near, far):
            far.on("now")(_now)
            assert await asyncio.gather(*(near.call("now", n) for n in range(20))) == list(range(20))
            assert [item async for item in await near.call("count", 30)] == list(range(30))
            with pytest.raises(LinkTimeout):
                await near.call("wait", 1, timeout=0.01)
            await until(lambda: told.ended == ["count", 1])

    run(main)


async def _now(number: int) -> int:
    return number


# --- the end of a server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_handler", [False, True])
def test_a_server_that_leaves_waits_for_calls_and_cancels_what_is_not_done_in_time(with_handler: bool) -> None:
    async def drain(link: aio.Link) -> None:
        async for _ in link:
            pass

    async def main() -> None:
        told, before = Told(), asyncio.all_tasks()
        server = await aio.Server(key=KEY, handler=drain if with_handler else None).start()
        told.actions(server.on)
        gate = asyncio.Event()

        @server.on
        async def gated() -> str:
            told.ran.append("gated")
            await gate.wait()
            return "in time"

        link = await aio.connect(server.address, key=KEY)
        first, second = (asyncio.ensure_future(link.call(name)) for name in ("gated", "wait"))
        await until(lambda: len(told.ran) == 2)
        closing = asyncio.ensure_future(server.close(drain=0.5))
        await asyncio.sleep(0.02)
        gate.set()

        assert await first == "in time"
        await closing
        assert told.ended == [0]
        with pytest.raises((LinkClosed, ConnectionError)):
            await second
        await link.close()
        await until(lambda: asyncio.all_tasks() <= before)

    run(main)


def test_an_action_may_close_its_server() -> None:
    async def main() -> None:
        async with aio.Server(key=KEY) as server:

            @server.on
            async def stop(context: Any) -> None:
                await context.house.close(drain=PATIENCE_SECONDS)

            async with aio.connect(server.address, key=KEY) as link:
                began = time.monotonic()
                with pytest.raises((LinkClosed, ConnectionError)):
                    await link.call("stop")

                assert time.monotonic() - began < PATIENCE_SECONDS / 2

    run(main)


def test_an_awaited_link_that_was_called_is_freed_without_the_collector() -> None:
    told = Told()
    told.gate.set()

    async def use(link: aio.Link) -> None:
        assert await link.call("add", 1) == 2
        assert await link.call("block") == "unblocked"
        for name in ("count", "thread_of_each"):
            assert len([item async for item in await link.call(name, 20)]) == 20
        async with await link.call("count", 1 << 30) as stream:
            await anext(stream)
        for name in ("nothing", "fail", "plain.fail", "unsendable"):
            with pytest.raises(RemoteError):
                await link.call(name)
        with pytest.raises(RemoteError):
            [item async for item in await link.call("plain.items")]
        with pytest.raises(LinkTimeout):
            await link.call("wait", timeout=0.001)

    async def visit(server: aio.Server) -> None:
        link = await aio.connect(server.address, key=KEY)
        told.actions(link.on)
        far = await server.accept()
        for each in (link, far):
            await use(each) if each is link else await far.call("add", 1)
        await link.close()

    async def fail() -> None:
        raise ValueError

    def plain_fail() -> None:
        raise ValueError

    def plain_items() -> Iterator[int]:
        yield 1
        raise ValueError

    with AsyncioHouse() as house:
        server = house.server()
        house.call(server.target.start)
        told.actions(server.target.on)
        server.target.on("fail")(fail)
        server.target.on("plain.fail")(plain_fail)
        server.target.on("plain.items")(plain_items)
        server.target.on("unsendable")(lambda: object())

        def settled() -> bool:
            return not server.target._live and crew.crew()._free == crew.crew()._hands

        gc.collect()  # what a finalizer of the test before has brought back goes the second time
        found = left_to_the_collector(lambda: house.call(visit, server.target), settled)
        house.call(server.target.close)

        assert found == []


def test_the_log_hears_of_an_action_that_fails_and_not_of_what_was_sent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netstructer import noting

    monkeypatch.setattr(noting, "_notes", noting._Notes())
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with ends(Told()) as (near, far):

            @far.on
            async def leak(what: str) -> None:
                raise ValueError(f"could not take {what}")

            for _ in range(20):
                with pytest.raises(RemoteError):
                    await near.call("leak", "the password")

    run(main)
    found = [record.getMessage() for record in caplog.records if "leak" in record.getMessage()]

    assert 1 <= len(found) <= 4
    assert "in leak" in found[0]
    assert "password" not in caplog.text


def test_who_waits_for_its_own_is_woken_by_that_alone() -> None:
    async def main() -> None:
        from netstructer.aio.waiting import Waiters

        waiters = Waiters(asyncio.get_running_loop())
        held: dict[int, bool] = {}
        looks: list[int] = []

        async def wait(number: int) -> bool:
            def holds() -> bool:
                looks.append(number)
                return held.get(number, False)

            return await waiters.until(holds, None if number < 3 else time.monotonic() + 0.01, number)

        tasks = [asyncio.ensure_future(wait(number)) for number in (1, 2, 3)]
        await steps(2)
        looks.clear()
        waiters.wake()
        waiters.wake_one(9)
        await steps(2)
        assert looks == []
        held[1] = True
        waiters.wake_one(1)
        waiters.wake_one(1)
        await steps(2)
        assert looks == [1]
        assert not await tasks[2]
        held[2] = True
        waiters.wake_all()

        assert [await task for task in tasks] == [True, True, False]
        assert not waiters._numbered

    run(main)
