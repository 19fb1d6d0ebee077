"""The front door: accepts transports and lets in those that prove a key.  Floor: FAÇADES.

Law: one thread, no wait for anyone.  Spec: protocol.md, "Handshake", "Budgets before authentication".

What is said to a stranger is in `stranger.py`, whether it is heard at all decides the porter; the door is the part of
it that has sockets and a clock.  A stranger costs no thread.  Its two deadlines run from the moment it was accepted and
are never extended.  What fails is closed; the client was told why in 8 bytes where the protocol has a code for it.
"""

from __future__ import annotations

import contextlib
import logging
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable

from netstructer import sockets
from netstructer.address import Address
from netstructer.admission import Verdict
from netstructer.errors import ConnectionCut, LinkTimeout, NetstructerError, SessionLost
from netstructer.listener import DescriptorsShort, Listener
from netstructer.porter import OurFault
from netstructer.protocol.events import Event, ResumeAsked
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.stranger import Ceremony, Stranger
from netstructer.turnstile import Turnstile

__all__ = ["Door"]

logger = logging.getLogger("netstructer")

ACCEPTS_PER_ROUND = 16
"""New transports taken before those that are half open get their turn."""
FULL_PAUSE_SECONDS = 0.1
"""Pause where a transport waits that can be neither accepted nor closed: accept would spin otherwise."""
CLOCK_SECONDS = 0.25
"""How often deadlines are looked at while somebody is half open."""
SHUT_SECONDS = 0.02
"""How often it is looked at, while newcomers wait outside, whether they may come in."""

Welcome = Callable[[socket.socket, Session, Agreement, list[Event]], None]
Resume = Callable[[socket.socket, Session, Agreement, bytes], None]


class _Visit:
    """A transport of one stranger, from when it is accepted until it is a link's, or closed."""

    __slots__ = ("accepted", "peer", "stranger", "transport")

    def __init__(self, transport: socket.socket, peer: Address, accepted: float, stranger: Stranger) -> None:
        self.transport, self.peer, self.accepted, self.stranger = transport, peer, accepted, stranger


class Door:
    """Listens, and calls `welcome(socket, session, agreement, events)` for each transport that proved a key and asks
    for a new session, and `resume(socket, session, agreement, session_id)` for each that asks for one that it had.
    """

    def __init__(self, listener: socket.socket, ceremony: Ceremony, *, welcome: Welcome, resume: Resume) -> None:
        self._listener, self._ceremony = Listener(listener), ceremony
        self.porter = ceremony.porter
        """Who decides, and what it has counted."""
        self._welcome, self._resume = welcome, resume
        self._visits: dict[_Visit, None] = {}
        """In the order in which they came."""
        self._turnstile = Turnstile(ceremony.limits)
        self._shut = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="netstructer-door", daemon=True)

    def open(self) -> None:
        """Begin to accept."""
        try:
            self._thread.start()
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Stop accepting, and close whoever is half open.  May be called twice."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            try:
                self._round()
            except Exception as error:
                # A fault of ours must not close the door for good.
                logger.error("the door of the server: %s", type(error).__name__)
                time.sleep(FULL_PAUSE_SECONDS)
        for visit in tuple(self._visits):
            visit.stranger.send_off()
            with contextlib.suppress(OSError, ConnectionCut):
                self._reply(visit)
            self._dismiss(visit)
        self._let_go()

    def disown(self) -> None:
        """Let go of every descriptor without a word: this is a forked child, and the door is the parent's."""
        self._closing = True
        for visit in self._visits:
            visit.transport.close()
        self._visits.clear()
        self._let_go()

    def _let_go(self) -> None:
        self._selector.close()
        for end in (self._listener, self._wake_reader, self._wake_writer):
            end.close()

    def _round(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data is not None:
                self._hear(key.data)
        now = time.monotonic()
        for visit in tuple(self._visits):
            allowed = visit.stranger.allowed_seconds
            if now - visit.accepted >= allowed:
                error = LinkTimeout(f"no handshake within {allowed} seconds")
                self._refuse(visit, error, answered=visit.stranger.session is not None)
        if line := self.porter.summary(now):
            logger.warning("%s", line)
        if self._turnstile.shut(now, self.porter.greed) is not self._shut:
            self._shut = not self._shut
            if self._shut:
                self._selector.unregister(self._listener)
            else:
                self._selector.register(self._listener, selectors.EVENT_READ, None)

    def _pause(self) -> float | None:
        if self._shut:
            return SHUT_SECONDS
        return CLOCK_SECONDS if self._visits or self.porter.owes_summary else None

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_ROUND):
            try:
                transport = self._listener.accept()
            except DescriptorsShort as shortage:
                if line := self.porter.short(str(shortage), time.monotonic(), closed=shortage.closed):
                    logger.error("%s", line)
                if not shortage.closed:
                    time.sleep(FULL_PAUSE_SECONDS)
                    return
            except OSError:
                return  # None waits, or the one that did is gone.
            else:
                self._meet(transport)

    def _meet(self, transport: socket.socket) -> None:
        try:
            sockets.prepare(transport, dead_seconds=self._ceremony.limits.dead_seconds)
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
            self._dismiss(next(visit for visit in self._visits if self.porter.makes_way(visit.peer.host)))
        visit = _Visit(transport, peer, now, Stranger(self._ceremony, peer.host, unwelcome))
        self._visits[visit] = None
        self._turnstile.enter(visit, now)
        self._selector.register(transport, selectors.EVENT_READ, visit)
        self._hear(visit)

    def _hear(self, visit: _Visit) -> None:
        """Read what there is, and take the stranger as far as it goes."""
        answered = visit.stranger.session is not None
        try:
            events = visit.stranger.filled(self._read(visit))
            self._reply(visit)
            if events:
                self._let_in(visit, events)
        except (BlockingIOError, InterruptedError):
            return
        except NetstructerError as error:
            with contextlib.suppress(OSError, ConnectionCut):
                self._reply(visit)
            self._refuse(visit, error, answered=answered)
        except OSError:
            self._refuse(visit, ConnectionCut("the transport broke in the handshake"), answered=answered)
        except Exception as error:
            # A fault of ours with one stranger must not close the door to everybody.
            self._refuse(visit, OurFault(type(error).__name__), answered=answered)

    def _read(self, visit: _Visit) -> int:
        try:
            return visit.transport.recv_into(visit.stranger.space())
        except ConnectionError:
            return 0  # Broken off is over, too.

    def _let_in(self, visit: _Visit, events: list[Event]) -> None:
        session, agreement, asked = visit.stranger.session, visit.stranger.agreement, events[0]
        assert session is not None
        assert agreement is not None
        self._leave(visit, proved=True)
        if not isinstance(asked, ResumeAsked):
            self._welcome(visit.transport, session, agreement, events)
            return
        try:
            self._resume(visit.transport, session, agreement, asked.session_id)
        except SessionLost as error:
            logger.debug("< no session for %s: %s", visit.peer.host, error)
            visit.stranger.decline()
            with contextlib.suppress(OSError, ConnectionCut), visit.transport:
                self._reply(visit)

    def _reply(self, visit: _Visit) -> None:
        """Write at most 168 bytes, which a fresh socket takes; a stranger whose socket does not has lost its place."""
        reply = visit.stranger.take_reply()
        if reply and visit.transport.send(reply) != len(reply):
            raise ConnectionCut("the transport takes no answer")

    def _refuse(self, visit: _Visit, error: NetstructerError, *, answered: bool) -> None:
        line = self.porter.failed(visit.peer.host, error, time.monotonic(), answered=answered)
        self._dismiss(visit)
        if line:
            logger.warning("%s", line)

    def _dismiss(self, visit: _Visit) -> None:
        self._leave(visit, proved=False)
        visit.transport.close()

    def _leave(self, visit: _Visit, *, proved: bool) -> None:
        if visit in self._visits:
            del self._visits[visit]
            self._turnstile.leave(visit, proved=proved)
            self.porter.leave(visit.peer.host, time.monotonic(), proved=proved)
            self._selector.unregister(visit.transport)
