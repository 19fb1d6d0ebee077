"""A storm: many honest clients at once at one server, all of which get in, though places for strangers are few."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bench.guests import BareLink
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Limits, Server, turnstile
from netstructer.address import Address

CROWD = 120
LIMITS = Limits(half_open=48, half_open_early=32, hello_seconds=60, open_seconds=60)
"""Places for less than half of the crowd, and time enough for a busy machine."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(turnstile, "MOMENT_SECONDS", 60.0)
    return Server(key=KEY, limits=LIMITS)


def storm(address: Address) -> int:
    """Connect all of them before any says a word; return how many links came of it."""
    transports = [socket.create_connection(address, timeout=PATIENCE_SECONDS) for _ in range(CROWD)]

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
