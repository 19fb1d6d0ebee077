"""A storm: many honest clients at once at one server, all of which get in, though places for strangers are few."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from bench.guests import BareLink
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Limits, Server, aio, turnstile
from netstructer import listener as rules
from netstructer.address import Address
from netstructer.aio import door
from netstructer.protocol.handshake import SHUTTING_DOWN, refusal

try:
    import uvloop
except ImportError:
    uvloop = None

CROWD = 120
LIMITS = Limits(half_open=48, half_open_early=32, hello_seconds=60, open_seconds=60)
"""Places for less than half of the crowd, and time enough for a busy machine."""
LOOPS = [asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop is not None else [])]
each_loop = pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])
Factory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(turnstile, "MOMENT_SECONDS", 60.0)
    return Server(key=KEY, limits=LIMITS)


def storm(address: Address, crowd: int = CROWD) -> int:
    """Connect all of them before any says a word; return how many links came of it."""
    transports = [socket.create_connection(address, timeout=PATIENCE_SECONDS) for _ in range(crowd)]

    async def one(transport: socket.socket) -> None:
        transport.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: BareLink(KEY, address), sock=transport)
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            await link.open
        links.append(link)

    async def all_of_them() -> None:
        await asyncio.gather(*map(one, transports), return_exceptions=True)
        for link in links:
            link.abort()
        await asyncio.sleep(0)  # The loop closes them when it comes round.

    links: list[BareLink] = []
    asyncio.run(all_of_them())
    return len(links)


def test_all_of_a_crowd_get_in(server: Server) -> None:
    with server:
        found = storm(server.address)

        assert found == CROWD
        assert server.stats.strangers_dropped == 0
        assert server.stats.links_accepted == CROWD


def test_without_the_turnstile_many_would_not(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile.Turnstile, "shut", lambda *_: False)
    with server:
        found = storm(server.address)
        eventually(lambda: server.stats.strangers_dropped + found >= CROWD)

        assert found <= LIMITS.half_open


def test_the_door_opens_again_after_strangers_who_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd that is not served: newcomers wait for a moment, and no longer."""
    monkeypatch.setattr(turnstile, "MOMENT_SECONDS", 0.2)
    with Server(key=KEY, limits=LIMITS) as server:
        silent = [socket.create_connection(server.address, timeout=PATIENCE_SECONDS) for _ in range(CROWD)]
        eventually(lambda: server.stats.strangers_dropped >= CROWD - LIMITS.half_open)
        for transport in silent:
            transport.close()


# --- asyncio --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def tidy() -> Iterator[None]:
    """Nothing may be left that was not closed, nor a coroutine that was not awaited."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in found] == []


def serve(factory: Factory, body: Callable[[aio.Server], Awaitable[Any]], limits: Limits = LIMITS) -> Any:
    """Run `body(server)` in a loop; nobody may complain to that."""

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        async with asyncio.timeout(6 * PATIENCE_SECONDS), aio.Server(key=KEY, limits=limits, max_links=5000) as server:
            found = await body(server)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return found

    complaints: list[str] = []
    with tidy(), asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(main())
    assert complaints == []
    return result


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.002)


@each_loop
def test_all_of_a_crowd_get_into_a_loop(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "MOMENT_SECONDS", 60.0)

    async def body(server: aio.Server) -> tuple[int, int, int]:
        found = await asyncio.to_thread(storm, server.address)
        return found, server.stats.strangers_dropped, server.stats.links_accepted

    assert serve(factory, body) == (CROWD, 0, CROWD)


@pytest.mark.long
@each_loop
def test_two_thousand_get_into_a_loop(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "MOMENT_SECONDS", 60.0)

    async def body(server: aio.Server) -> int:
        return await asyncio.to_thread(storm, server.address, 2000)

    assert serve(factory, body, Limits(hello_seconds=60, open_seconds=60)) == 2000


@each_loop
def test_without_the_turnstile_many_would_not_get_into_a_loop(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnstile.Turnstile, "shut", lambda *_: False)

    async def body(server: aio.Server) -> int:
        # The loop does not come round before all of them wait: as many as there are places get in, at most.
        transports = [socket.create_connection(server.address, timeout=PATIENCE_SECONDS) for _ in range(CROWD)]
        await until(lambda: server.stats.strangers_dropped >= CROWD - LIMITS.half_open)
        for transport in transports:
            transport.close()
        return server.stats.strangers_dropped

    assert serve(factory, body) >= CROWD - LIMITS.half_open


@each_loop
def test_a_loop_is_left_in_the_middle_of_a_storm(factory: Factory) -> None:
    """At whatever point a door is closed: in the wait for newcomers, with transports half made, or shut."""
    for rounds in range(12):

        async def body(server: aio.Server, rounds: int = rounds) -> list[socket.socket]:
            transports = [socket.create_connection(server.address, timeout=PATIENCE_SECONDS) for _ in range(40)]
            for _ in range(rounds):
                await asyncio.sleep(0)
            return transports

        for transport in serve(factory, body):
            with transport, contextlib.suppress(ConnectionError):
                assert transport.recv(64) in (b"", refusal(SHUTTING_DOWN))


@each_loop
def test_a_server_that_nobody_closes_leaves_nothing_behind(factory: Factory) -> None:
    for rounds in range(8):

        async def main(rounds: int = rounds) -> socket.socket:
            server = await aio.Server(key=KEY).start()
            await asyncio.sleep(0)
            transport = socket.create_connection(server.address, timeout=PATIENCE_SECONDS)
            for _ in range(rounds):
                await asyncio.sleep(0)
            return transport

        with tidy(), asyncio.Runner(loop_factory=factory) as runner:
            transport = runner.run(main())
        with transport, contextlib.suppress(ConnectionError):
            assert transport.recv(1) == b""


@each_loop
def test_the_last_tenth_of_the_descriptors_is_not_for_strangers_of_a_loop(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(server: aio.Server) -> bytes:
        monkeypatch.setattr(rules, "DESCRIPTOR_SHARE", 0.0)
        with socket.create_connection(server.address, timeout=PATIENCE_SECONDS) as transport:
            await until(lambda: server.stats.strangers_dropped)
            return transport.recv(1)

    with caplog.at_level(logging.ERROR, "netstructer"):
        assert serve(factory, body) == b""
    assert "nine tenths" in caplog.text


@each_loop
def test_a_loop_without_descriptors_closes_who_comes_and_goes_on(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`accept` fails, inside `sock_accept` as elsewhere; the one in reserve is for telling the client."""
    accept = socket.socket.accept
    failing = False
    failures: list[socket.socket] = []

    def fail(transport: socket.socket) -> Any:
        taken = accept(transport)  # raises where none waits
        if failing and len(failures) < 2:
            failures.append(taken[0])
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return taken

    monkeypatch.setattr(socket.socket, "accept", fail)
    monkeypatch.setattr(door, "FULL_PAUSE_SECONDS", 0.001)

    async def body(server: aio.Server) -> object:
        nonlocal failing
        await asyncio.sleep(0)
        failing = True
        with (
            socket.create_connection(server.address, timeout=PATIENCE_SECONDS),
            socket.create_connection(server.address, timeout=PATIENCE_SECONDS),
        ):
            await until(lambda: len(failures) == 2)
            for transport in failures:
                transport.close()
            link = await aio.connect(server.address, key=KEY)
            far = await server.accept(timeout=PATIENCE_SECONDS)
            await link.send("in")
            found = await far.recv()
            await link.close()
            return found

    with caplog.at_level(logging.ERROR, "netstructer"):
        assert serve(factory, body) == "in"
    assert "cannot accept" in caplog.text
