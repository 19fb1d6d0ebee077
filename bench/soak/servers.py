"""The two servers of the soak: one blocking, one on asyncio.  Both tell news to all links, every second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.soak.actor import HOST, Actor, fill_executor
from bench.soak.course import serve, stroll, walk
from netstructer import Link, Server, aio
from netstructer.errors import LinkClosed

__all__ = ["AioServer", "BlockingServer"]

NEWS_SECONDS = 1.0
START_SECONDS = 20.0
STAYING = 2
"""Links that are there as long as the soak goes: one of each client."""

LEAKED: list[Any] = []


def leak(kind: str, link: Link) -> None:
    """Leave something behind, for each link, as a server would that leaks."""
    if kind == "descriptor":
        LEAKED.append(os.open(os.devnull, os.O_RDONLY))
    elif kind == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif kind == "object":
        LEAKED.append((link.stats, bytearray(1024)))


class Serving(Actor):
    """What both have in common."""

    server: Any

    def now(self) -> dict[str, float]:
        """Return what the registry and the door have, too."""
        server, door = self.server, self.server._door
        return {
            **super().now(),
            "registry": server.count(),
            "suspended": len(server.suspended()),
            "live": len(server._live),
            "half_open": len(door._visits) if door is not None else 0,
            "accepted": server.stats.links_accepted,
            "refused": server.stats.handshakes_refused,
            "dropped": server.stats.strangers_dropped,
        }

    def settled(self) -> bool:
        """Say whether killed clients are given up, strangers have gone, and only the links are left that stay."""
        server = self.server
        return not server.suspended() and not server._door._visits and len(server._live) <= STAYING

    def news(self, serial: int) -> tuple[object, ...]:
        """Return what all links are told."""
        content = self.chance.randbytes(self.chance.choice((20, 2000, 40_000)))
        return "news", serial, sha256(content).digest(), content


class BlockingServer(Serving):
    """A `Server` with a handler, and a database for what comes durably."""

    def start(self) -> int:
        """Serve; return the port."""
        self.server = Server((HOST, 0), key=self.orders.keys, limits=self.limits, handler=self._handle)
        self.server.start()
        threading.Thread(target=self._tell, name="soak-news", daemon=True).start()
        return int(self.server.address.port)

    def settled(self) -> bool:
        """Say so, and that their handlers have ended."""
        return super().settled() and self.server._reception._handled <= STAYING

    def _handle(self, link: Link) -> None:
        leak(self.orders.leak, link)
        if link.user == "durable":
            self._take(link)
            return
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            walk(serve(link, self.tally, Path(directory)))

    def _take(self, link: Link) -> None:
        """Take what comes durably; the rows of an outbox count from 1."""
        with closing(sqlite3.connect(self.scratch / "taken.db", timeout=60)) as database:
            database.execute("PRAGMA journal_mode=WAL").fetchall()
            database.execute("CREATE TABLE IF NOT EXISTS taken (outbox TEXT PRIMARY KEY, number INTEGER)")
            with contextlib.suppress(LinkClosed):
                while True:
                    with link.transaction(database) as message:
                        outbox, _ = message.id
                        number, digest, content = message.value  # type: ignore[misc]  # it is what `post` sends
                        found = database.execute("SELECT number FROM taken WHERE outbox = ?", (outbox,)).fetchone()
                        self.tally.compare(number, (found or (0,))[0] + 1, "a durable row")
                        self.tally.compare(sha256(content).digest(), digest, f"durable row {number}")
                        database.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (outbox, number))

    def _tell(self) -> None:
        serial = 0
        while not self.gate.over:
            if self.gate.enter():
                serial += 1
                to = [link for link in self.server.all() if link.user == "plain"]
                self.tally.count("news", len(self.server.broadcast(self.news(serial), to=to).sent))
                del to  # or the links of now would live until the next news
                self.gate.leave()
            time.sleep(NEWS_SECONDS)

    def end(self) -> None:
        """Close."""
        super().end()
        self.server.close()


class AioServer(Serving):
    """An `aio.Server`, in the loop of a thread."""

    def start(self) -> int:
        """Serve; return the port."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="soak-loop", daemon=True)
        self._thread.start()
        started.wait(START_SECONDS)
        return int(self.server.address.port)

    async def _serve(self, started: threading.Event) -> None:
        await fill_executor()
        async with aio.Server((HOST, 0), key=self.orders.keys, limits=self.limits, handler=self._handle) as self.server:
            started.set()
            serial = 0
            while not self.gate.over:
                if self.gate.enter():
                    serial += 1
                    self.tally.count("news", len((await self.server.broadcast(self.news(serial))).sent))
                    self.gate.leave()
                await asyncio.sleep(NEWS_SECONDS)

    async def _handle(self, link: aio.Link) -> None:
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            await stroll(serve(link, self.tally, Path(directory)))

    def end(self) -> None:
        """Close."""
        super().end()
        self._thread.join()
