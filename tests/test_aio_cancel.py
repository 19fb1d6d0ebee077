"""Cancelling: a cancelled `recv` has taken nothing, of a cancelled `send` the peer gets all or nothing.

Every await is cancelled at: a call is cancelled after k turns of the loop, for k from 0 to more than it takes.  The
ends are real, the wires between them are the test's (`wired.py`); the last tests do the same over loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from cases import case
from loopback import KEY
from netstructer import Blob, Limits, aio
from netstructer.aio import receiving
from netstructer.errors import BadValue, LinkTimeout, MessageCancelled
from wired import read_all, steps, wired

MARKER = "the end"
LARGE = [n * 7 for n in range(20_000)]
"""Encoded apart, several records long."""
NOISE = random.Random(1).randbytes(150_000)
"""Encoded in the loop's executor, not compressed, three records long."""
SMALL_WINDOW = Limits(credit_bytes=1 << 17, unsent_bytes=1 << 12, body_bytes=1 << 12)


async def cancelled_after(count: int, awaitable: Awaitable[Any]) -> tuple[bool, Any]:
    """Cancel a call after so many turns of the loop; return whether it had come to its end, and what it returned."""
    task = asyncio.ensure_future(awaitable)
    await steps(count)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return True, await task
    return False, None


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


# --- recv -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [*range(12), 20, 40, 80])
def test_a_recv_cancelled_anywhere_loses_nothing(count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        got = []
        sending = asyncio.ensure_future(_send_all(far, ["a", LARGE, "b", NOISE, "c", MARKER]))
        for _ in range(8):
            done, value = await cancelled_after(count, near.recv())
            if done:
                got.append(value)
        got += await read_all(near, MARKER) if MARKER not in got else []
        await sending

        assert [value for value in got if value != MARKER] == ["a", LARGE, "b", NOISE, "c"]
        near.abort()
        await far.abort()

    run(main)


def test_a_recv_cancelled_while_its_value_is_made_leaves_it_to_the_next() -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        await far.send(LARGE)
        await steps(200)
        first, second = (asyncio.ensure_future(near.recv()) for _ in range(2))
        await steps(2)
        assert near._exchange.inbox._apart is not None
        first.cancel()
        await far.send("next")

        assert await second == LARGE
        assert await near.recv() == "next"
        with pytest.raises(asyncio.CancelledError):
            await first
        near.abort()
        await far.abort()

    run(main)


def test_a_value_that_is_none_is_reported_once_whoever_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        monkeypatch.setattr(receiving, "APART_BYTES", 1)
        await far.send(["x"])
        await steps(50)
        message = near._exchange.pump.inbox[0]
        message.chunks = (b"\xff" * 3,)
        message.plain_bytes = 3
        first = asyncio.ensure_future(near.recv())
        await steps(2)
        first.cancel()
        with pytest.raises(BadValue):
            await near.recv()
        await far.send("next")

        assert await near.recv() == "next"
        near.abort()
        await far.abort()

    run(main)


@pytest.mark.parametrize("count", range(8))
def test_receivers_that_wait_have_their_turns_when_one_is_cancelled(count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        waiting = [asyncio.ensure_future(near.recv()) for _ in range(5)]
        await steps(3)
        await far.send_many(["a", "b", "c"])
        await steps(count)
        for task in waiting[:2]:
            task.cancel()
        await far.send_many(["d", "e"])
        found = [task.result() for task in waiting if await _ended_well(task)]
        left = 5 - len(found)
        found += [await near.recv(timeout=5) for _ in range(left)]

        assert found == ["a", "b", "c", "d", "e"]
        near.abort()
        await far.abort()

    run(main)


@pytest.mark.parametrize("count", range(10))
def test_a_conversation_loses_nothing_either(count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        aside = near.conversation()
        await aside.send("a")
        other = await far.accept_conversation()
        got = []
        await aside.send(LARGE)
        await aside.send("b")
        for _ in range(5):
            done, value = await cancelled_after(count, other.recv())
            if done:
                got.append(value)
        while len(got) < 3:
            got.append(await other.recv(timeout=5))

        assert got == ["a", LARGE, "b"]
        await aside.close()
        await other.close()
        near.abort()
        await far.abort()

    run(main)


@pytest.mark.parametrize("count", range(6))
def test_an_accept_that_is_cancelled_leaves_the_conversation(count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        aside = near.conversation()
        accepting = asyncio.ensure_future(cancelled_after(count, far.accept_conversation()))
        await aside.send("hello")
        done, other = await accepting
        other = other if done else await far.accept_conversation(timeout=5)

        assert await other.recv() == "hello"
        await other.close()
        await aside.close()
        near.abort()
        await far.abort()

    run(main)


# --- send -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["small", LARGE, NOISE, b"x" * 60_000], ids=["small", "large", "noise", "bytes"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_send_cancelled_anywhere_sends_all_or_nothing(value: object, paused: bool) -> None:
    async def cancelled(count: int) -> None:
        near, far, wire, _ = await wired(limits=SMALL_WINDOW)
        if paused:
            wire.pause()
            asyncio.get_running_loop().call_later(0.005, wire.resume)
        done, _ = await cancelled_after(count, near.send(value, compress=False))
        sending = asyncio.ensure_future(near.send(MARKER))
        found = await read_all(far, MARKER)
        await sending

        assert found in ([], [value])
        assert not done or found == [value]
        near.abort()
        await far.abort()

    for count in (*range(10), 15, 30, 60, 120):
        with case(count):
            run(partial(cancelled, count))


@pytest.mark.parametrize("wait", ["acked", "consumed"])
@pytest.mark.parametrize("count", range(12))
def test_a_send_that_waits_for_the_peer_is_cancelled_without_harm(wait: Any, count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired()
        receiving_all = asyncio.ensure_future(read_all(far, MARKER))
        await cancelled_after(count, near.send("value", wait=wait))
        await near.send(MARKER)

        assert await receiving_all in ([], ["value"])
        near.abort()
        await far.abort()

    run(main)


@pytest.mark.parametrize("count", [*range(12), 20, 40])
def test_of_a_cancelled_batch_the_values_before_it_came(count: int) -> None:
    values = [b"%d" % n * 900 for n in range(100)]

    async def main() -> None:
        near, far, wire, _ = await wired(limits=SMALL_WINDOW)
        wire.pause()
        asyncio.get_running_loop().call_later(0.003, wire.resume)
        await cancelled_after(count, near.send_many(values))
        sending = asyncio.ensure_future(near.send(MARKER))
        found = await read_all(far, MARKER)
        await sending

        assert found == values[: len(found)]
        near.abort()
        await far.abort()

    run(main)


@pytest.mark.parametrize("count", [*range(10), 20, 50, 100])
def test_of_a_cancelled_value_with_a_blob_nobody_takes_a_part_for_the_whole(count: int) -> None:
    async def main() -> None:
        near, far, *_ = await wired(limits=SMALL_WINDOW)
        sending = asyncio.ensure_future(cancelled_after(count, near.send(["value", Blob(NOISE)])))
        marking = asyncio.ensure_future(_after(sending, near.send(MARKER)))
        found = []
        while (value := await far.recv(timeout=20)) != MARKER:
            found.append(value)
            with contextlib.suppress(MessageCancelled):
                assert await value[1].read() == NOISE
        await marking

        assert [value[0] for value in found] in ([], ["value"])
        near.abort()
        await far.abort()

    run(main)


def test_a_cancelled_send_takes_nothing_from_what_others_send() -> None:
    async def main() -> None:
        near, far, wire, _ = await wired(limits=SMALL_WINDOW)
        wire.pause()
        tasks = [asyncio.ensure_future(near.send((n, NOISE), compress=False)) for n in range(6)]
        await asyncio.sleep(0.05)
        for task in tasks[::2]:
            task.cancel()
        wire.resume()
        marking = asyncio.ensure_future(_after(asyncio.gather(*tasks[1::2]), near.send(MARKER)))
        found = await read_all(far, MARKER)
        await marking

        # They take turns, record by record: which of them is whole first depends on where the cancelled ones stood.
        assert sorted(value[0] for value in found if value[0] % 2) == [1, 3, 5]
        assert all(value[1] == NOISE for value in found)
        near.abort()
        await far.abort()

    run(main)


# --- over loopback --------------------------------------------------------------------------------------------------


def test_timeouts_of_all_kinds_lose_nothing_over_loopback() -> None:
    async def main() -> None:
        async with (
            aio.Server(key=KEY) as server,
            aio.connect(server.address, key=KEY) as near,
            await server.accept(timeout=20) as far,
        ):
            values = [n if n % 10 else [n] * 10_000 for n in range(120)]
            sending = asyncio.ensure_future(_send_all(far, values))
            got: list[Any] = []
            chance = random.Random(7)
            while len(got) < len(values):
                with contextlib.suppress(LinkTimeout, TimeoutError):
                    if len(got) % 2:
                        got.append(await asyncio.wait_for(near.recv(), chance.random() * 0.002))
                    else:
                        got.append(await near.recv(timeout=chance.random() * 0.002))
            await sending

            assert got == values

    run(main)


def test_sends_cancelled_at_random_over_loopback_are_whole_or_not_there() -> None:
    async def main() -> None:
        async with (
            aio.Server(key=KEY, limits=SMALL_WINDOW) as server,
            aio.connect(server.address, key=KEY, limits=SMALL_WINDOW) as near,
            await server.accept(timeout=20) as far,
        ):
            chance = random.Random(3)
            received = asyncio.ensure_future(read_all(far, MARKER))
            sent = []
            for n in range(60):
                value = (n, NOISE[: chance.randrange(len(NOISE))])
                task = asyncio.ensure_future(near.send(value, compress=False))
                await asyncio.wait([task], timeout=chance.random() * 0.003)
                if not task.done():
                    task.cancel()
                if await _ended_well(task):
                    sent.append(value)
            await near.send(MARKER)
            found = await received

            assert [value for value in sent if value not in found] == []
            assert [len(value[1]) for value in found] == sorted_lengths(found)
            assert [value[0] for value in found] == sorted(value[0] for value in found)

    run(main)


def sorted_lengths(found: list[Any]) -> list[int]:
    """Return the lengths that the values with these numbers were made with."""
    chance = random.Random(3)
    lengths = []
    for _ in range(60):
        lengths.append(chance.randrange(len(NOISE)))
        chance.random()
    return [lengths[number] for number, _ in found]


@pytest.mark.parametrize("count", range(0, 40, 3))
def test_a_connect_that_is_cancelled_leaves_no_transport(count: int) -> None:
    async def main() -> None:
        async with aio.Server(key=KEY) as server:
            done, link = await cancelled_after(count, aio.connect(server.address, key=KEY))
            if done:
                await link.close()
            # asyncio trips over a server that is closed in the very turn in which it has accepted somebody.
            await steps(5)
            await server.close(drain=0.1)

    run(main)


async def _send_all(link: aio.Link, values: list[Any]) -> None:
    for value in values:
        await link.send(value)


async def _after(first: Awaitable[Any], then: Awaitable[Any]) -> None:
    await first
    await then


async def _ended_well(task: asyncio.Future[Any]) -> bool:
    await asyncio.wait([task])
    return not task.cancelled() and task.exception() is None
