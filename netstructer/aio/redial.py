"""Redialling: a client's link that has lost its transport looks for another one, in a task.  Floor: FAÇADES.

Law: never in step with others, never for ever, and never with less proof than the first time.  The twin of the blocking
`redial.py`, which says why; spec: protocol.md, "Resume".
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Protocol

from netstructer import tidings
from netstructer.actions import Actions
from netstructer.aio.dial import Dialler
from netstructer.aio.exchange import Exchange
from netstructer.backoff import Backoff
from netstructer.errors import IdentityChanged, NetstructerError
from netstructer.keys import Key
from netstructer.redial import TRY_SECONDS, without_frames

if TYPE_CHECKING:
    import weakref

    from netstructer.aio.link import Link

__all__ = ["House", "Redialler", "Tidings"]

logger = logging.getLogger("netstructer")


class Redialler:
    """Finds one link its transports.  Single owner: the loop."""

    def __init__(self, dialler: Dialler, exchange: Exchange) -> None:
        self._dialler, self._exchange = dialler, exchange
        self._backoff = Backoff(exchange.session, time.monotonic())
        self._task: asyncio.Task[None] | None = None
        self._learning: set[asyncio.Task[None]] = set()
        self._given: Key | None = None
        self._busy = False

    def suspended(self) -> None:
        """Begin to look for a transport."""
        self._backoff.lost(time.monotonic())
        if self._task is None or self._task.done():
            name = f"netstructer-redial-{self._exchange.session.id}"
            self._task = self._exchange.pump.loop.create_task(self._run(), name=name)

    def resumed(self) -> None:
        """Take in that the server has taken the session up again."""
        self._backoff.found(time.monotonic())

    def new_key(self, key: Key) -> None:
        """Take the key that the server gives: a file may be written, so not in the loop's thread.

        One task learns at a time, and of keys that come faster than it learns the last one counts.
        """
        self._given, busy = key, self._busy
        if busy:
            return
        self._busy = True
        task = self._exchange.pump.loop.create_task(self._learn(), name="netstructer-new-key")
        self._learning.add(task)  # The loop itself holds its tasks weakly.
        task.add_done_callback(self._learning.discard)

    async def _learn(self) -> None:
        credentials, learnt = self._dialler.credentials, None
        try:
            while self._given is not None:
                key, self._given = self._given, None
                if await self._exchange.pump.loop.run_in_executor(None, credentials.learn, key):
                    learnt = key
        finally:
            self._busy = False
        if learnt is not None and credentials.on_new_key is not None:
            credentials.on_new_key(learnt)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that was proved last."""
        return self._dialler.credentials.fingerprint

    def stop(self) -> None:
        """Look for none any more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        pump = self._exchange.pump
        while True:
            pause = self._backoff.next(random.random())
            if await pump.waiters.until(lambda: pump.pipe is not None or pump.ended, time.monotonic() + pause):
                return
            try:
                await self._dialler.again(self._exchange, time.monotonic() + TRY_SECONDS)
            except IdentityChanged as error:
                self._exchange.fail(error)
            except (NetstructerError, OSError) as error:
                logger.debug("= link %s found no transport: %s", self._exchange.session.id, type(error).__name__)
                pump.hindrance = without_frames(error)


class House(Protocol):
    """What a server does when something becomes of one of its links."""

    actions: Actions

    def link_ended(self, link: Link) -> None: ...
    def link_suspended(self, link: Link) -> None: ...
    def link_resumed(self, link: Link) -> None: ...


class Tidings(tidings.Tidings):
    """Hears what becomes of a link, without keeping it alive."""

    house: House | None  # type: ignore[assignment]  # of a loop's server
    redialler: Redialler | None  # type: ignore[assignment]  # of a loop's link

    def __init__(self, reference: weakref.ref[Link]) -> None:
        super().__init__(reference)  # type: ignore[arg-type]  # a link all the same, as far as it is looked at here

    def ended(self) -> None:
        """Tell the house, let nobody look for a transport any more, and end what was called."""
        redialler, answering = self.redialler, self.answering
        super().ended()
        if redialler is not None:
            redialler.stop()
        if answering is not None:
            answering.end()
