"""The two clients of the soak: threads with blocking links, and tasks with asyncio links.

Some open a link, use it a few times and end it in one of several ways; one for each server holds its link as long as
the soak goes, through every cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any

from bench.soak.actor import HOST, Actor, fill_executor
from bench.soak.course import PATIENCE_SECONDS, Talk, Tally, stroll, use, walk
from netstructer import Key, Link, aio
from netstructer.errors import ConnectionCut, KeyRefused, LinkLost, LinkTimeout

__all__ = ["DIAL_FAILURES", "AioClient", "BlockingClient", "post"]

USES = 3
"""Of a link that was opened for a while, on average."""
OUTBOXES = 2
MOST_ROWS = 30
"""Of one durable link."""
CLOSED, ABORTED = 0.6, 0.85
"""Six in ten links are closed, a quarter is aborted, the others are let go of."""
STRANGE = 0.05
"""So many come with a key that the server does not know."""
DIAL_FAILURES = (ConnectionCut, LinkTimeout, LinkLost)
"""What a dial may end with where the proxy cuts in the handshake, and nothing is wrong."""
WAIT_SECONDS = 0.02
"""How often it is looked whether a rest is over."""


class BlockingClient(Actor):
    """Threads."""

    def start(self) -> None:
        """Begin."""
        jobs: list[Callable[[], None]] = [self._churn] * self.orders.workers
        jobs += [partial(self._stay, port) for port in self.orders.ports]
        jobs += [partial(self._post, place) for place in range(OUTBOXES)]
        self._threads: list[threading.Thread] = []
        for job in jobs:
            self._threads.append(threading.Thread(target=self._guarded, args=(job,), name="soak-worker", daemon=True))
        for thread in self._threads:
            thread.start()

    def _guarded(self, job: Callable[[], None]) -> None:
        while not self.gate.over:
            try:
                job()
            except Exception as error:  # The soak goes on, and its verdict will be red.
                self.tally.raised(error)
                time.sleep(1.0)

    @contextlib.contextmanager
    def _course(self) -> Iterator[None]:
        while not self.gate.enter():
            if self.gate.over:
                raise SystemExit  # of this thread
            time.sleep(WAIT_SECONDS)
        try:
            yield
        finally:
            self.gate.leave()

    def _churn(self) -> None:
        time.sleep(self.pause())
        with self._course():
            self._visit(Random(self.chance.random()))

    def _visit(self, chance: Random) -> None:
        place = HOST, chance.choice(self.orders.ports)
        strange = chance.random() < STRANGE
        try:
            link = Link(place, key=Key.generate() if strange else self.orders.keys["plain"], limits=self.limits)
        except DIAL_FAILURES:
            self.tally.count("dials_cut")
            return
        except KeyRefused:
            self.tally.compare(strange, True, "a refused key")
            return
        self.tally.count("links")
        talk = Talk(link, chance, self.tally, self.scratch)
        try:
            while chance.random() > 1 / USES:
                walk(use(talk))
        finally:
            self.tally.count("resumes", link.stats.resumes)
            how = chance.random()
            if how < CLOSED:
                link.close()
            elif how < ABORTED:
                link.abort()

    def _stay(self, port: int) -> None:
        try:
            link = Link((HOST, port), key=self.orders.keys["plain"], limits=self.limits)
        except DIAL_FAILURES:
            return
        with link:
            talk = Talk(link, Random(self.chance.random()), self.tally, self.scratch)
            while not self.gate.over:
                time.sleep(self.pause())
                with self._course():
                    walk(use(talk))

    def _post(self, place: int) -> None:
        """Send durably, over one link after the other, with one outbox."""
        time.sleep(self.pause())
        with self._course():
            rows = self.chance.randrange(1, MOST_ROWS)
            post(self, self.tally, str(self.scratch / f"outbox-{place}.db"), rows)

    def end(self) -> None:
        """End every thread."""
        super().end()
        for thread in self._threads:
            thread.join()


class AioClient(Actor):
    """Tasks, in the loop of a thread."""

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="soak-loop", daemon=True)
        self._thread.start()

    async def _run(self) -> None:
        await fill_executor()
        jobs: list[Callable[[], Awaitable[None]]] = [self._churn] * self.orders.workers
        jobs += [partial(self._stay, port) for port in self.orders.ports]
        await asyncio.gather(*(self._guarded(job) for job in jobs), return_exceptions=True)

    async def _guarded(self, job: Callable[[], Awaitable[None]]) -> None:
        while not self.gate.over:
            try:
                await job()
            except Exception as error:  # The soak goes on, and its verdict will be red.
                self.tally.raised(error)
                await asyncio.sleep(1.0)

    @contextlib.asynccontextmanager
    async def _course(self) -> AsyncIterator[None]:
        while not self.gate.enter():
            if self.gate.over:
                raise asyncio.CancelledError
            await asyncio.sleep(WAIT_SECONDS)
        try:
            yield
        finally:
            self.gate.leave()

    async def _churn(self) -> None:
        await asyncio.sleep(self.pause())
        async with self._course():
            await self._visit(Random(self.chance.random()))

    async def _visit(self, chance: Random) -> None:
        place = HOST, chance.choice(self.orders.ports)
        strange = chance.random() < STRANGE
        try:
            link = await aio.connect(
                place, key=Key.generate() if strange else self.orders.keys["plain"], limits=self.limits
            )
        except DIAL_FAILURES:
            self.tally.count("dials_cut")
            return
        except KeyRefused:
            self.tally.compare(strange, True, "a refused key")
            return
        self.tally.count("links")
        talk = Talk(link, chance, self.tally, self.scratch)
        try:
            while chance.random() > 1 / USES:
                await stroll(use(talk))
                await self._glance(talk)
        finally:
            self.tally.count("resumes", link.stats.resumes)
            how = chance.random()
            if how < CLOSED:
                await link.close()
            elif how < ABORTED:
                link.abort()

    async def _glance(self, talk: Talk) -> None:
        """Ask, and take it back: who is cancelled has taken nothing, so the next question is answered as ever."""
        with contextlib.suppress(TimeoutError):
            talk.glance(await asyncio.wait_for(talk.link.recv(), talk.chance.random() / 200))

    async def _stay(self, port: int) -> None:
        try:
            link = await aio.connect((HOST, port), key=self.orders.keys["plain"], limits=self.limits)
        except DIAL_FAILURES:
            return
        async with link:
            talk = Talk(link, Random(self.chance.random()), self.tally, self.scratch)
            while not self.gate.over:
                await asyncio.sleep(self.pause())
                async with self._course():
                    await stroll(use(talk))

    def end(self) -> None:
        """End every task."""
        super().end()
        self._thread.join()


def post(actor: Actor, tally: Tally, outbox: str, count: int) -> None:
    """Send so many durable rows, wait until the last is taken, and close."""
    place = HOST, actor.orders.ports[0]
    try:
        link: Any = Link(place, key=actor.orders.keys["durable"], limits=actor.limits, durable=outbox)
    except DIAL_FAILURES:
        tally.count("dials_cut")
        return
    with link:
        tally.count("links")
        first = link.outbox.last + 1
        for number in range(first, first + count):
            content = Random(number).randbytes(number * 37 % 3000)
            row = number, sha256(content).digest(), content
            wait = "consumed" if number == first + count - 1 else "durable"
            tally.compare(link.send(row, wait=wait, timeout=PATIENCE_SECONDS).id, number, "a row of the outbox")
        tally.count("resumes", link.stats.resumes)
