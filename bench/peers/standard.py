"""The standard library's own: `multiprocessing.connection`, and asyncio's streams over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

from bench.inputs import FAN
from bench.peers.peer import (
    BACKLOG,
    HOST,
    NO_REPLY,
    Connection,
    Conversation,
    LoopConnection,
    Peer,
    answer,
    client_loop,
)
from bench.peers.secured import dumps
from netstructer.cli.contest import client_context, server_context

__all__ = ["AsyncioTls", "Multiprocessing"]

LENGTH = struct.Struct("!Q")
JOINED_BYTES = 1 << 16
READ_BYTES = 1 << 20


class ListenerConnection(Connection):
    """`multiprocessing.connection` as it is."""

    def __init__(self, connection: Any) -> None:
        self.send, self.recv, self.close = connection.send, connection.recv, connection.close  # type: ignore[method-assign]


class Multiprocessing(Peer):
    """The standard library's own object transport."""

    name = "mp.connection"
    wire = "nothing"
    trust = "both ends by a shared password (HMAC)"

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        from multiprocessing import AuthenticationError
        from multiprocessing.connection import Listener

        members: list[Any] = []

        def fan(rounds: int) -> None:
            body = dumps(FAN)
            for _ in range(rounds):
                for member in members:
                    member.send_bytes(body)

        def talk(connection: Any) -> None:
            try:
                end = ListenerConnection(connection)
                conversation = Conversation(lambda: members.append(connection), fan)
                while True:
                    answer(end, conversation)
            except (EOFError, OSError):
                connection.close()

        listener = Listener((HOST, 0), backlog=BACKLOG, authkey=config["password"].encode())
        ready(listener.address[1])
        while True:
            try:
                accepted = listener.accept()
            except (AuthenticationError, EOFError, OSError):
                continue
            threading.Thread(target=talk, args=(accepted,), daemon=True).start()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        from multiprocessing.connection import Client

        return ListenerConnection(Client((HOST, port), authkey=config["password"].encode()))


class StreamConnection(LoopConnection):
    """asyncio's streams, a length before each pickle.  Both ends use it."""

    def __init__(self, loop: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(loop)
        self._reader, self.writer = reader, writer

    async def send_soon(self, value: Any) -> None:
        body = dumps(value)
        if len(body) < JOINED_BYTES:
            self.writer.write(LENGTH.pack(len(body)) + body)
        else:
            self.writer.write(LENGTH.pack(len(body)))
            self.writer.write(body)
        await self.writer.drain()

    async def recv_soon(self) -> Any:
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        return pickle.loads(await self._reader.readexactly(length))

    def close(self) -> None:
        self.run(self._close())

    async def _close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class AsyncioTls(Peer):
    """What most people write by hand with asyncio."""

    name = "asyncio+tls"
    wire = "TLS 1.3"
    trust = "the server by certificate; any client is served, and can run code in the server"

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        asyncio.run(self._serve(config, ready))

    async def _serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        members: list[StreamConnection] = []

        def fan(rounds: int) -> None:
            body = dumps(FAN)
            for _ in range(rounds):
                for member in members:
                    member.writer.write(LENGTH.pack(len(body)) + body)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = StreamConnection(None, reader, writer)
            conversation = Conversation(lambda: members.append(connection), fan)
            with contextlib.suppress(EOFError, OSError):
                while True:
                    reply = conversation.reply_to(await connection.recv_soon())
                    if reply is not NO_REPLY:
                        await connection.send_soon(reply)
            writer.close()

        context = server_context(config)
        server = await asyncio.start_server(talk, HOST, 0, ssl=context, limit=READ_BYTES, backlog=BACKLOG)
        ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    def connect(self, config: dict[str, Any], port: int) -> LoopConnection:
        loop = client_loop()
        opening = asyncio.open_connection(
            HOST, port, ssl=_context(config["authority"]), server_hostname="localhost", limit=READ_BYTES
        )
        return StreamConnection(loop, *loop.run_until_complete(opening))

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        boss, *members = self.hold(config, port, 1 + count)
        return LoopConnection.fan_out(boss, members, rounds)


@functools.cache
def _context(authority: str) -> ssl.SSLContext:
    return client_context({"authority": authority})
