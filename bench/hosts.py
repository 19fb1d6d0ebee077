"""Servers that hold a crowd: each echoes, on a port of its own, until stdin closes.

    python -m bench.hosts NAME CONFIG

None of them has a thread or a process for each connection.  What a user would write: a coroutine for each connection
where the library wants one; a blocking `Server` with `accept`, and a thread for a link that talks.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["HOSTS", "MOST"]

HOST = "127.0.0.1"
BACKLOG = 4096
MOST = 20_000
"""Links that a server takes."""

Ready = Callable[[int], None]


def netstructer_server(config: dict[str, Any], ready: Ready) -> None:
    """The blocking server: nobody waits in a link that is silent."""
    from netstructer import Limits, Server

    keys = {"idle": config["fernet_key"], "talker": config["talker_key"]}
    server = Server((HOST, 0), key=keys, max_links=MOST, limits=Limits(links_per_user=MOST))

    def echo(link: Any) -> None:
        for value in link:
            link.send(value)

    server.start()
    ready(server.address[1])
    held = []
    while True:
        link = server.accept()
        held.append(link)
        if link.user == "talker":
            threading.Thread(target=echo, args=(link,), daemon=True).start()


def netstructer_aio(config: dict[str, Any], ready: Ready) -> None:
    """The same on asyncio: a coroutine for each link."""
    from netstructer import Limits, aio

    async def echo(link: Any) -> None:
        async for value in link:
            await link.send(value)

    async def main() -> None:
        keys = {"idle": config["fernet_key"], "talker": config["talker_key"]}
        limits = Limits(links_per_user=MOST)
        async with aio.Server((HOST, 0), key=keys, max_links=MOST, limits=limits, handler=echo) as server:
            ready(server.address[1])
            await asyncio.Event().wait()

    asyncio.run(main())


def websockets_plain(config: dict[str, Any], ready: Ready, context: ssl.SSLContext | None = None) -> None:
    """`websockets` as it comes."""
    from websockets.asyncio.server import serve

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(echo, HOST, 0, ssl=context, backlog=BACKLOG) as server:
            ready(next(iter(server.sockets)).getsockname()[1])
            await asyncio.Event().wait()

    asyncio.run(main())


def websockets_tls(config: dict[str, Any], ready: Ready) -> None:
    """`websockets` over TLS 1.3."""
    websockets_plain(config, ready, _context(config))


def asyncio_tls(config: dict[str, Any], ready: Ready) -> None:
    """The streams of the standard library over TLS 1.3: four bytes of length, then the message."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = await reader.readexactly(4)
                writer.write(length + await reader.readexactly(int.from_bytes(length)))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, HOST, 0, ssl=_context(config), backlog=BACKLOG)
        ready(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


HOSTS: dict[str, Callable[[dict[str, Any], Ready], None]] = {
    "netstructer": netstructer_server,
    "netstructer.aio": netstructer_aio,
    "websockets": websockets_plain,
    "websockets + TLS": websockets_tls,
    "asyncio + TLS": asyncio_tls,
}


def _context(config: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(config["certificate"], config["private_key"])
    return context


def _serve_until_stdin_closes(name: str, config: str) -> None:
    def leave() -> None:
        while os.read(0, 1 << 10):
            pass
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    HOSTS[name](json.loads(Path(config).read_text()), lambda port: print("READY " + json.dumps(port), flush=True))


if __name__ == "__main__":
    _serve_until_stdin_closes(*sys.argv[1:])
