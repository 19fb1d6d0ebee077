"""The other ends of a crowd: `python -m bench.guests NAME CONFIG PORT`, one process for thousands of links.

All of them run on one asyncio loop, so that the ways to serve are compared and not the ways to ask.  A netstructer link
here is a session on an asyncio transport and nothing else.  The process opens one link that talks, says WARM, and then
does what it reads from stdin, line by line:

    come COUNT      open so many links that say nothing; HELD, and the seconds
    talk TRIPS      that many round trips of a small message on the one that talks; TAKEN, and the nanoseconds of each
    flood           from now on round trips of a large message on it, without a pause; FLOODING
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

__all__ = ["GUESTS"]

HOST = "127.0.0.1"
AT_ONCE = 32
"""Links that are being opened at a time: an honest crowd, no storm."""
TICK_SECONDS = 5.0
MESSAGE = os.urandom(64)
FLOOD = os.urandom(512 << 10)
Echo = Callable[[bytes], Awaitable[None]]
"""Sends a message and returns when it has come back."""
Opener = Callable[[dict[str, Any], int, bool], Awaitable[tuple[Echo, Any]]]


# --- netstructer ------------------------------------------------------------------------------------------------------


class BareLink(asyncio.Protocol):
    """A session on an asyncio transport."""

    def __init__(self, key: Any, address: Any) -> None:
        from netstructer import Limits
        from netstructer.credentials import Credentials
        from netstructer.dial import FEATURES
        from netstructer.protocol.parameters import RESUME, Parameters

        self._limits = Limits.DEFAULT
        stated = Parameters.of(self._limits, FEATURES | RESUME)
        self._hello, self._expected = Credentials(key, address).start(stated)
        self._answer = b""
        self._session: Any = None
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.came: asyncio.Future[object] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        if self._session is None:
            self._answer += data
            if len(self._answer) == self._expected.needed(self._answer):
                self._begin()
            return
        self._handle(self._session.receive_data(data, time.monotonic()))

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.open, self.came):
            if future is not None and not future.done():
                future.set_exception(ConnectionError("the link ended"))

    def send(self, value: object) -> None:
        payloads = self._session.payloads
        self._session.queue(payloads.compose(payloads.encode(value), compress=False))
        self._flush()

    def abort(self) -> None:
        self._transport.abort()

    def tick(self) -> None:
        self._handle(self._session.tick(time.monotonic()))

    def _begin(self) -> None:
        from netstructer.protocol.session import Session
        from netstructer.protocol.states import Role

        agreement = self._expected.receive(self._answer)
        self._session = Session(
            Role.CLIENT, agreement, limits=self._limits, now=time.monotonic(), draw=os.urandom, wall=time.time
        )
        self._flush()

    def _handle(self, events: list[Any]) -> None:
        from netstructer.protocol.events import Ended, MessageArrived, Opened

        for event in events:
            if isinstance(event, Opened):
                self.open.set_result(None)
            elif isinstance(event, MessageArrived):
                self._session.take(event.message)
                value = self._session.payloads.read(event.message, None)
                if self.came is not None:
                    self.came.set_result(value)
            elif isinstance(event, Ended):
                self._transport.close()
        self._flush()

    def _flush(self) -> None:
        self._transport.writelines(self._session.frames_to_send(1 << 16, time.monotonic()))


async def open_netstructer(config: dict[str, Any], port: int, talks: bool) -> tuple[Echo, Any]:
    from netstructer import Key
    from netstructer.address import Address

    key = Key(config["talker_key" if talks else "fernet_key"])
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: BareLink(key, Address(HOST, port)), HOST, port)
    await link.open

    async def echo(message: bytes) -> None:
        link.came = loop.create_future()
        link.send(message)
        _expect(message, await link.came)

    return echo, link


# --- the others -------------------------------------------------------------------------------------------------------


async def open_websocket(config: dict[str, Any], port: int, talks: bool) -> tuple[Echo, Any]:
    return await _open_websocket(f"ws://{HOST}:{port}", None)


async def open_secure_websocket(config: dict[str, Any], port: int, talks: bool) -> tuple[Echo, Any]:
    return await _open_websocket(f"wss://localhost:{port}", _context(config))


async def _open_websocket(place: str, context: ssl.SSLContext | None) -> tuple[Echo, Any]:
    from websockets.asyncio.client import connect

    host = {"host": HOST} if context else {}
    connection = await connect(place, ssl=context, proxy=None, **host)

    async def echo(message: bytes) -> None:
        await connection.send(message)
        _expect(message, await connection.recv())

    return echo, connection


async def open_stream(config: dict[str, Any], port: int, talks: bool) -> tuple[Echo, Any]:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=_context(config), server_hostname="localhost")

    async def echo(message: bytes) -> None:
        writer.write(len(message).to_bytes(4) + message)
        _expect(message, (await reader.readexactly(4 + len(message)))[4:])

    return echo, (reader, writer)


GUESTS: dict[str, Opener] = {
    "netstructer": open_netstructer,
    "netstructer.aio": open_netstructer,
    "websockets": open_websocket,
    "websockets + TLS": open_secure_websocket,
    "asyncio + TLS": open_stream,
}


def _expect(sent: bytes, came: object) -> None:
    if sent != came:
        raise ValueError("another message came back")


_contexts: dict[str, ssl.SSLContext] = {}


def _context(config: dict[str, Any]) -> ssl.SSLContext:
    context = _contexts.get(config["authority"])
    if context is None:
        context = _contexts[config["authority"]] = ssl.create_default_context(cafile=config["authority"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


# --- one process ------------------------------------------------------------------------------------------------------


async def _run(name: str, config: dict[str, Any], port: int) -> None:
    opener = GUESTS[name]
    held: list[Any] = []
    echo, _ = await opener(config, port, True)
    await echo(MESSAGE)
    working = [asyncio.ensure_future(_tick(held))]
    _say("WARM", None)
    while line := await _line():
        order, *figures = line.split()
        if order == "come":
            began = time.perf_counter()
            await _come(opener, config, port, int(figures[0]), held)
            _say("HELD", time.perf_counter() - began)
            gc.collect()
            gc.freeze()  # The round trips are the server's to delay, not this process's collector's.
        elif order == "talk":
            taken = []
            for _ in range(int(figures[0])):
                start = time.perf_counter_ns()
                await echo(MESSAGE)
                taken.append(time.perf_counter_ns() - start)
            _say("TAKEN", taken)
        else:
            working.append(asyncio.ensure_future(_flood(echo)))
            _say("FLOODING", None)
    os._exit(0)


async def _come(opener: Opener, config: dict[str, Any], port: int, count: int, held: list[Any]) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with places:
            held.append((await opener(config, port, False))[1])

    async with asyncio.TaskGroup() as opening:
        for _ in range(count):
            opening.create_task(one())


async def _flood(echo: Echo) -> None:
    while True:
        await echo(FLOOD)


async def _tick(held: list[Any]) -> None:
    """Keep the time of bare links, a few at once, as nothing else does it for them."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        for place, link in enumerate(held):
            if isinstance(link, BareLink):
                link.tick()
            if not place % 64:
                await asyncio.sleep(0.001)


async def _line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def _say(mark: str, found: Any) -> None:
    print(f"{mark} {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    name, config, port = sys.argv[1:]
    asyncio.run(_run(name, json.loads(Path(config).read_text()), int(port)))
