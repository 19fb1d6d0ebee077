"""The front door: accepts transports and lets in those that prove a key.  Floor: FAÇADES.

Law: no wait for anyone.  Spec: protocol.md, "Handshake", "Budgets before authentication".  What is said to a stranger
is in `stranger.py`, whether it is heard at all decides the porter; the door is the loop's part of it: a transport and
one timer for each stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable
from typing import cast

from netstructer import sockets
from netstructer.address import Address
from netstructer.admission import Verdict
from netstructer.aio.pipe import peer_of
from netstructer.errors import ConnectionCut, LinkTimeout, NetstructerError, SessionLost
from netstructer.listener import DESCRIPTOR_SHARE
from netstructer.porter import OurFault
from netstructer.protocol.events import Event, ResumeAsked
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.stranger import Ceremony, Stranger

__all__ = ["Door"]

logger = logging.getLogger("netstructer")

ACCEPTS_PER_ROUND = 16
"""New transports taken before the loop's other work has its turn."""
ROUNDS_TO_CLOSE = 4
"""A transport that was just accepted is made, shown to its visit, aborted by that, and let go of."""
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
        self._server: asyncio.Server | None = None
        self._visits: dict[_Visit, None] = {}
        """In the order in which they came."""
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, listener: socket.socket) -> None:
        """Begin to accept from a listening socket, which is the door's from here on."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Visit(self), sock=listener, backlog=ACCEPTS_PER_ROUND)
            # asyncio takes its figure for the system's queue, too, which is to be long.
            listener.listen(sockets.BACKLOG)
        except BaseException:
            listener.close()
            raise

    async def close(self) -> None:
        """Stop accepting, and close whoever is half open.  May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for visit in tuple(self._visits):
            visit.send_off()
        if self._timer is not None:
            self._timer.cancel()
        # asyncio has let go of the listener, and of whom it had just accepted, when the loop has come round so often.
        for _ in range(ROUNDS_TO_CLOSE):
            await asyncio.sleep(0)

    # --- what the visits ask for ------------------------------------------------------------------------------------

    def meet(self, visit: _Visit) -> NetstructerError | None:
        """Take in a new transport; return why its hello will be refused, if it will.

        Raises `ConnectionCut` for one that is closed unread.
        """
        now = time.monotonic()
        if self._server is None:
            raise ConnectionCut("the server is closed")
        most = sockets.descriptor_limit()
        if most is not None and visit.descriptor >= DESCRIPTOR_SHARE * most:
            text = f"cannot accept: nine tenths of {most} descriptors are taken"
            if line := self.porter.short(text, now, closed=True):
                logger.error("%s", line)
            raise ConnectionCut("the process has no descriptor left for strangers")
        verdict, unwelcome = self.porter.meet(visit.peer.host, now, random.random())
        if verdict is Verdict.UNREAD:
            raise ConnectionCut("there is no place for another stranger")
        if verdict is Verdict.INSTEAD:
            next(found for found in self._visits if self.porter.makes_way(found.peer.host)).dismiss()
        self._visits[visit] = None
        return unwelcome

    def leave(self, visit: _Visit, *, proved: bool) -> None:
        """Take in that a stranger holds its place no longer."""
        if visit in self._visits:
            del self._visits[visit]
            self.porter.leave(visit.peer.host, time.monotonic(), proved=proved)

    def refuse(self, visit: _Visit, error: NetstructerError, *, answered: bool) -> None:
        """Count, penalise and log a stranger that was refused."""
        line = self.porter.failed(visit.peer.host, error, time.monotonic(), answered=answered)
        if line:
            logger.warning("%s", line)
        if self._timer is None and self._server is not None:
            self._timer = asyncio.get_running_loop().call_later(SUMMARY_SECONDS, self._sum_up)

    def _sum_up(self) -> None:
        self._timer = None
        if line := self.porter.summary(time.monotonic()):
            logger.warning("%s", line)


class _Visit(asyncio.BufferedProtocol):
    """A transport of one stranger, from when it is accepted until it is a link's, or closed."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._accepted = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._stranger: Stranger | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.peer = Address("", 0)
        self.descriptor = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take in that it was accepted."""
        self._transport = cast(asyncio.Transport, transport)
        try:
            self.peer = peer_of(transport)
            found = transport.get_extra_info("socket")
            self.descriptor = -1 if found is None else found.fileno()
            unwelcome = self._door.meet(self)
        except (OSError, ConnectionCut):
            self._transport.abort()
            return
        self._stranger = Stranger(self._door.ceremony, self.peer.host, unwelcome)
        self._watch()

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
        """Close the transport: the server shuts down."""
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
