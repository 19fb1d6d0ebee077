"""netstructer in its forms: blocking and asyncio, `send` and `send_many`, one record cipher and the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from bench.inputs import FAN
from bench.peers.peer import HOST, NO_REPLY, Connection, Conversation, LoopConnection, Peer, client_loop
from netstructer.cli.linking import GCM, BatchingConnection, LinkConnection, serve_links

__all__ = ["Aio", "AioGcm", "AioMany", "Blocking", "BlockingGcm", "BlockingMany"]

GCM_WIRE = "AES-256-GCM records under Noise NNpsk0 keys"
GCM_OPTIONS = {"cipher": GCM}


class Blocking(Peer):
    """This package, as the README shows it: a handler thread for each link."""

    name = "netstructer"
    wire = "Fernet records under Noise NNpsk0 keys"
    trust = "both ends by a shared key; nothing is executed"
    packages = ("netstructer", "cryptography", "zstandard")
    connection: ClassVar[type[LinkConnection]] = LinkConnection
    options: ClassVar[dict[str, Any]] = {}
    """Of `Link` and `Server`."""

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        serve_links(config, ready, FAN, **self.options)

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        from netstructer import Link

        return self.connection(Link((HOST, port), key=config["fernet_key"], **self.options))


class BlockingMany(Blocking):
    """The same, with `send_many` where there are many."""

    name = "netstructer send_many"
    connection = BatchingConnection
    only = ("oneway",)


class BlockingGcm(Blocking):
    """The same, with the second record cipher."""

    name = "netstructer aes-256-gcm"
    wire = GCM_WIRE
    options = GCM_OPTIONS


class AioConnection(LoopConnection):
    """An `aio.Link`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Any) -> None:
        super().__init__(loop)
        self.link = link
        self.send_soon, self.recv_soon = link.send, link.recv  # type: ignore[method-assign]

    def close(self) -> None:
        self.run(self.link.close())


class AioBatchingConnection(AioConnection):
    """An `aio.Link` whose user has many values at hand and says so."""

    def push_all(self, values: Iterable[Any]) -> None:
        self.run(self._push_all(values))

    async def _push_all(self, values: Iterable[Any]) -> None:
        await self.link.send_many(values)


class Aio(Blocking):
    """The asyncio façade at both ends."""

    name = "netstructer.aio"
    loop_connection: ClassVar[type[AioConnection]] = AioConnection

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        asyncio.run(self._serve(config, ready))

    async def _serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        from netstructer import aio

        members: list[Any] = []
        running: set[asyncio.Task[None]] = set()

        async def fan(rounds: int) -> None:
            for _ in range(rounds):
                await server.broadcast(FAN, to=members)

        def begin(rounds: int) -> None:
            task = asyncio.ensure_future(fan(rounds))
            running.add(task)
            task.add_done_callback(running.discard)

        server = aio.Server((HOST, 0), key=config["fernet_key"], max_links=10_000, **self.options)

        @server.handler
        async def talk(link: Any) -> None:
            conversation = Conversation(lambda: members.append(link), begin)
            async for value in link:
                reply = conversation.reply_to(value)
                if reply is not NO_REPLY:
                    await link.send(reply)

        async with server:
            ready(server.address.port)
            await asyncio.Event().wait()

    def connect(self, config: dict[str, Any], port: int) -> LoopConnection:
        loop = client_loop()

        async def open_link() -> Any:
            from netstructer import aio

            return await aio.connect((HOST, port), key=config["fernet_key"], **self.options)

        return self.loop_connection(loop, loop.run_until_complete(open_link()))

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        boss, *members = self.hold(config, port, 1 + count)
        return LoopConnection.fan_out(boss, members, rounds)


class AioMany(Aio):
    """The same, with `send_many` where there are many."""

    name = "netstructer.aio send_many"
    loop_connection = AioBatchingConnection
    only = ("oneway",)


class AioGcm(Aio):
    """The same, with the second record cipher."""

    name = "netstructer.aio aes-256-gcm"
    wire = GCM_WIRE
    options = GCM_OPTIONS
    only = ("rtt", "bulk", "single")
