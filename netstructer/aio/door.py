"""The front door: accepts transports and lets in those that prove a key.  Floor: FAÇADES.

Law: no wait for anyone.  Spec: protocol.md, "Handshake", "Budgets before authentication".

What is said to a stranger is in `stranger.py`, whether it is heard at all decides the porter; the door is the loop's
part of it: one task that accepts, a transport and one timer for each stranger.  It accepts by itself, because what
asyncio accepts cannot be made to wait in the system's queue, where a crowd costs nothing (`turnstile.py`); and who is
closed unread is so before asyncio has made anything for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from netstructer import sockets
from netstructer.address import Address
from netstructer.admission import Verdict
from netstructer.aio.listener import Listener
from netstructer.errors import LinkTimeout, NetstructerError, SessionLost
from netstructer.listener import DescriptorsShort
from netstructer.porter import OurFault
from netstructer.protocol.events import Event, ResumeAsked
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.stranger import Ceremony, Stranger
from netstructer.turnstile import Turnstile

__all__ = ["Door"]

logger = logging.getLogger("netstructer")

ACCEPTS_PER_ROUND = 16
"""New transports taken before the loop's other work has its turn."""
SHUT_SECONDS = 0.02
"""How often it is looked at, while newcomers wait outside, whether they may come in."""
FULL_PAUSE_SECONDS = 0.1
"""Pause where a transport waits that can be neither accepted nor closed: accept would spin otherwise."""
ROUNDS_TO_CLOSE = 4
"""Rounds of the loop in which a transport that was closed is let go of."""
SUMMARY_SECONDS = 1.0
"""How often it is looked at whether log lines were kept back."""

Welcome = Callable[[asyncio.Transport, Session, Agreement, list[Event]], None]
Resume = Callable[[asyncio.Transport, Session, Agreement, bytes], None]


class Door:
    """Listens, and calls `welcome(transport, session, agreement, events)` for each transport that proved a key, or
    `resume(transport, session, agreement, session_id)` where it asks for a session that is there.
    """

    def __init__(self, ceremony: Ceremony, *, welcome: Welcome, resume: Resume) -> None:
        self.ceremony, self.porter = ceremony, ceremony.porter
        self.welcome, self.resume = welcome, resume
        self.closed = False
        """Whether strangers are sent off."""
        self._visits: dict[_Visit, None] = {}
        """In the order in which they came."""
        self._turnstile = Turnstile(ceremony.limits)
        self._accepting: asyncio.Task[None] | None = None
        self._entering: set[asyncio.Task[Any]] = set()
        """Those of whose sockets transports are being made."""
        self._timer: asyncio.TimerHandle | None = None

    def open(self, transport: socket.socket) -> None:
        """Begin to accept from a listening socket, which is the door's from here on."""
        listener = Listener(transport)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener), name="netstructer-door")
        # Also where the loop ends without `close`, even before the task has begun.
        self._accepting.add_done_callback(lambda _: self._let_go(listener))

    async def close(self) -> None:
        """Stop accepting, and close whoever is half open.  May be called twice."""
        self._send_off()
        under_way = set(self._entering)
        if self._accepting is not None:
            self._accepting.cancel()
            under_way.add(self._accepting)
        if under_way:
            await asyncio.wait(under_way)
        for _ in range(ROUNDS_TO_CLOSE):
            await asyncio.sleep(0)

    def _let_go(self, listener: Listener) -> None:
        listener.close()
        self._send_off()

    def _send_off(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for visit in tuple(self._visits):
            visit.send_off()

    # --- accepting --------------------------------------------------------------------------------------------------

    async def _accept(self, listener: Listener) -> None:
        while not self.closed:
            try:
                await self._round(listener)
            except Exception as error:
                # A fault of ours must not close the door for good.
                logger.error("the door of the server: %s", type(error).__name__)
                await asyncio.sleep(FULL_PAUSE_SECONDS)

    async def _round(self, listener: Listener) -> None:
        while self._turnstile.shut(time.monotonic(), self.porter.greed):
            await asyncio.sleep(SHUT_SECONDS)
        for _ in range(ACCEPTS_PER_ROUND):
            try:
                transport = await listener.accept()
            except DescriptorsShort as shortage:
                if line := self.porter.short(str(shortage), time.monotonic(), closed=shortage.closed):
                    logger.error("%s", line)
                if not shortage.closed:
                    await asyncio.sleep(FULL_PAUSE_SECONDS)
                    return
            except OSError:
                break  # The one that waited is gone, or the next round finds why it could not be taken.
            else:
                self._meet(transport)
        await asyncio.sleep(0)

    def _meet(self, transport: socket.socket) -> None:
        try:
            sockets.prepare(transport, dead_seconds=self.ceremony.limits.dead_seconds)
            peer = sockets.peer_address(transport)
        except OSError:
            transport.close()
            return
        now = time.monotonic()
        verdict, unwelcome = self.porter.meet(peer.host, now, random.random())
        if verdict is Verdict.UNREAD:
            transport.close()
            return
        if verdict is Verdict.INSTEAD:
            next(visit for visit in self._visits if self.porter.makes_way(visit.peer.host)).dismiss()
        visit = _Visit(self, peer, now, Stranger(self.ceremony, peer.host, unwelcome))
        self._visits[visit] = None
        self._turnstile.enter(visit, now)
        # Not awaited here: that takes several rounds of a loop that may be busy.
        loop = asyncio.get_running_loop()
        entering = loop.create_task(loop.connect_accepted_socket(lambda: visit, transport))
        self._entering.add(entering)
        entering.add_done_callback(partial(self._entered, visit, transport))

    def _entered(self, visit: _Visit, transport: socket.socket, entering: asyncio.Task[Any]) -> None:
        """Take in that there is a transport of a stranger, or that there is none because it is gone already."""
        self._entering.discard(entering)
        if entering.cancelled() or entering.exception() is not None:
            visit.dismiss()
            transport.close()

    # --- what the visits tell ---------------------------------------------------------------------------------------

    def leave(self, visit: _Visit, *, proved: bool) -> None:
        """Take in that a stranger holds its place no longer."""
        if visit in self._visits:
            del self._visits[visit]
            self._turnstile.leave(visit, proved=proved)
            self.porter.leave(visit.peer.host, time.monotonic(), proved=proved)

    def refuse(self, visit: _Visit, error: NetstructerError, *, answered: bool) -> None:
        """Count, penalise and log a stranger that was refused."""
        line = self.porter.failed(visit.peer.host, error, time.monotonic(), answered=answered)
        if line:
            logger.warning("%s", line)
        if self._timer is None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(SUMMARY_SECONDS, self._sum_up)

    def _sum_up(self) -> None:
        self._timer = None
        if line := self.porter.summary(time.monotonic()):
            logger.warning("%s", line)


class _Visit(asyncio.BufferedProtocol):
    """A transport of one stranger, from when it is accepted until it is a link's, or closed."""

    def __init__(self, door: Door, peer: Address, accepted: float, stranger: Stranger) -> None:
        self._door, self.peer, self._accepted = door, peer, accepted
        self._stranger: Stranger | None = stranger
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take in that there is a transport."""
        self._transport = cast(asyncio.Transport, transport)
        if self._stranger is None:
            self._transport.abort()  # It has made way, or was too late, in the meantime.
        elif self._door.closed:
            self.send_off()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where received bytes go."""
        return memoryview(bytearray(1)) if self._stranger is None else self._stranger.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Take the stranger as far as it goes."""
        self._hear(nbytes)

    def eof_received(self) -> bool:
        """Take in that nothing more comes."""
        self._hear(0)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the transport is closed."""
        self._hear(0)
        self.dismiss()

    def send_off(self) -> None:
        """Close the transport, as soon as there is one: the server shuts down."""
        if self._transport is None:
            return
        if self._stranger is not None:
            self._stranger.send_off()
            self._reply(self._stranger)
        self.dismiss()

    def dismiss(self) -> None:
        """Close the transport."""
        self._leave(proved=False)
        if self._transport is not None:
            self._transport.close()

    def _hear(self, count: int) -> None:
        stranger = self._stranger
        if stranger is None:
            return
        session = stranger.session
        try:
            events = stranger.filled(count)
            self._reply(stranger)
        except Exception as error:
            self._reply(stranger)
            self._refuse(error, answered=session is not None)
            return
        if events:
            self._let_in(stranger, events)
        elif stranger.session is not session:
            self._watch()

    def _let_in(self, stranger: Stranger, events: list[Event]) -> None:
        transport, session, agreement = self._transport, stranger.session, stranger.agreement
        assert transport is not None
        assert session is not None
        assert agreement is not None
        self._leave(proved=True)
        asked = next((event for event in events if isinstance(event, ResumeAsked)), None)
        if asked is None:
            self._door.welcome(transport, session, agreement, events)
            return
        try:
            self._door.resume(transport, session, agreement, asked.session_id)
        except SessionLost as error:
            logger.debug("< no session for %s: %s", self.peer.host, error)
            stranger.decline()
            self._reply(stranger)
            transport.close()

    def _refuse(self, error: Exception, *, answered: bool) -> None:
        if not isinstance(error, NetstructerError):
            # A fault of ours with one stranger must not close the door to everybody.
            error = OurFault(type(error).__name__)
        self._door.refuse(self, error, answered=answered)
        self.dismiss()

    def _reply(self, stranger: Stranger) -> None:
        reply = stranger.take_reply()
        if reply and self._transport is not None:
            with contextlib.suppress(RuntimeError):  # uvloop raises it for a transport that is closing.
                self._transport.write(reply)

    def _watch(self) -> None:
        """See to it that a stranger is refused that is not where it should be in time."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stranger is not None:
            left = self._accepted + self._stranger.allowed_seconds - time.monotonic()
            self._timer = self._loop.call_later(max(0.0, left), self._too_late)

    def _too_late(self) -> None:
        if self._stranger is not None:
            answered, allowed = self._stranger.session is not None, self._stranger.allowed_seconds
            self._refuse(LinkTimeout(f"no handshake within {allowed} seconds"), answered=answered)

    def _leave(self, *, proved: bool) -> None:
        self._stranger = None
        if self._timer is not None:
            self._timer.cancel()
        self._door.leave(self, proved=proved)
