"""websockets with msgpack over TLS: the blocking client, the asyncio server, no compression."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.inputs import FAN
from bench.peers.peer import BACKLOG, HOST, MSGPACK_SMALL, NO_REPLY, Connection, Conversation, Peer, check_fan
from netstructer.cli.contest import client_context, server_context

__all__ = ["WebsocketsMsgpack"]

TRIES = 4
OPEN_SECONDS = 3.0


class WebsocketConnection(Connection):
    """A blocking connection."""

    def __init__(self, connection: Any) -> None:
        import msgpack

        self._connection = connection
        self._pack, self._unpack = msgpack.packb, functools.partial(msgpack.unpackb, strict_map_key=False)

    def send(self, value: Any) -> None:
        self._connection.send(self._pack(value))

    def recv(self) -> Any:
        return self._unpack(self._connection.recv())

    def close(self) -> None:
        self._connection.close()


class WebsocketsMsgpack(Peer):
    """What talks to browsers, too."""

    name = "websockets + msgpack TLS"
    wire = "TLS 1.3"
    trust = "the server by certificate; any client is served"
    packages = ("websockets", "msgpack")
    small = MSGPACK_SMALL

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        asyncio.run(self._serve(config, ready))

    async def _serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        import msgpack
        from websockets.asyncio.server import broadcast, serve
        from websockets.exceptions import ConnectionClosed

        members: list[Any] = []

        def fan(rounds: int) -> None:
            body = msgpack.packb(FAN)
            for _ in range(rounds):
                broadcast(members, body)

        async def talk(connection: Any) -> None:
            conversation = Conversation(lambda: members.append(connection), fan)
            try:
                async for body in connection:
                    reply = conversation.reply_to(msgpack.unpackb(body, strict_map_key=False))
                    if reply is not NO_REPLY:
                        await connection.send(msgpack.packb(reply))
            except ConnectionClosed:
                pass

        context = server_context(config)
        async with serve(talk, HOST, 0, ssl=context, max_size=None, backlog=BACKLOG, compression=None) as server:
            ready(next(iter(server.sockets)).getsockname()[1])
            await server.serve_forever()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        """Open a connection; again where it hangs, which over TLS the blocking client does now and then: its reader
        sits in a read of the session tickets while the request that another thread writes never leaves.
        """
        from websockets.sync.client import connect

        for left in range(TRIES - 1, -1, -1):
            plain = socket.create_connection((HOST, port))
            try:
                context = _context(config["authority"])
                options: dict[str, Any] = {"max_size": None, "proxy": None, "compression": None}
                opened = connect(
                    f"wss://localhost:{port}", ssl=context, sock=plain, open_timeout=OPEN_SECONDS, **options
                )
                return WebsocketConnection(opened)
            except TimeoutError:
                if not left:
                    raise
        raise AssertionError

    def hold(self, config: dict[str, Any], port: int, count: int) -> list[Any]:
        """The blocking client has threads for each connection: many are held by one loop."""
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()

        async def opened() -> list[Any]:
            return [await self._open(config, port) for _ in range(count)]

        held = asyncio.run_coroutine_threadsafe(opened(), loop).result()
        return [_Held(loop, connection) for connection in held]

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        import msgpack

        async def listen(member: Any) -> None:
            for _ in range(rounds):
                check_fan(msgpack.unpackb(await member.recv()))

        async def fan() -> float:
            boss = await self._open(config, port)
            members = [await self._open(config, port) for _ in range(count)]
            for member in members:
                await member.send(msgpack.packb("!join"))
                await member.recv()
            began = time.perf_counter()
            await boss.send(msgpack.packb(f"!fan:{rounds}"))
            await asyncio.gather(*map(listen, members))
            return time.perf_counter() - began

        return asyncio.run(fan())

    async def _open(self, config: dict[str, Any], port: int) -> Any:
        from websockets.asyncio.client import connect

        options: dict[str, Any] = {"max_size": None, "proxy": None, "compression": None, "open_timeout": 60}
        return await connect(f"wss://localhost:{port}", ssl=_context(config["authority"]), host=HOST, **options)


class _Held(Connection):
    """A connection of the loop that holds many."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        self._loop, self._connection = loop, connection

    def send(self, value: Any) -> None:
        import msgpack

        asyncio.run_coroutine_threadsafe(self._connection.send(msgpack.packb(value)), self._loop).result()

    def recv(self) -> Any:
        import msgpack

        body = asyncio.run_coroutine_threadsafe(self._connection.recv(), self._loop).result()
        return msgpack.unpackb(body, strict_map_key=False)


@functools.cache
def _context(authority: str) -> ssl.SSLContext:
    return client_context({"authority": authority})
