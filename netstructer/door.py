"""The front door: accepts transports and lets in those that prove a key.  Floor: FAÇADES.

Law: one thread, no wait for anyone.  Spec: protocol.md, "Handshake", "Budgets before authentication".

A stranger is a socket, at most 128 bytes, and later a session that expects its first record.  It costs no thread.  Its
two deadlines run from the moment it was accepted and are never extended.  What fails is closed; the client was told why
in 8 bytes where the protocol has a code for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable

from netstructer import sockets
from netstructer.address import Address
from netstructer.admission import Verdict
from netstructer.bans import Bans
from netstructer.codec.frames import LENGTH_BYTES
from netstructer.codec.tokens import sealed_bytes
from netstructer.dial import FEATURES, no_clock
from netstructer.errors import AnswerRefused, Banned, ConnectionCut, LinkTimeout, NetstructerError, SessionLost
from netstructer.keyring import KeyRing
from netstructer.limits import Limits
from netstructer.listener import DescriptorsShort, Listener
from netstructer.porter import OurFault, Porter
from netstructer.protocol.bodies import OPEN_BYTES
from netstructer.protocol.events import Ended, Event, Opened, ResumeAsked
from netstructer.protocol.handshake import (
    BANNED,
    BUSY,
    HELLO_BYTES,
    MAGIC,
    SHUTTING_DOWN,
    Agreement,
    ExpectHello,
    refusal,
)
from netstructer.protocol.noise import KeyPair
from netstructer.protocol.parameters import RESUME, Parameters
from netstructer.protocol.records import HEADER_BYTES
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role
from netstructer.turnstile import Turnstile

__all__ = ["Door"]

logger = logging.getLogger("netstructer")

OPEN_FRAME_BYTES = LENGTH_BYTES + sealed_bytes(HEADER_BYTES + OPEN_BYTES)
"""All that a stranger can make us read after its hello: 173 bytes."""
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


class _Stranger:
    """A transport that has not proved its key."""

    __slots__ = ("accepted", "agreement", "hello", "peer", "session", "transport", "unwelcome")

    def __init__(self, transport: socket.socket, peer: Address, now: float, unwelcome: NetstructerError | None) -> None:
        self.transport, self.peer, self.accepted = transport, peer, now
        self.unwelcome = unwelcome
        """Why its hello will be refused, whatever it says."""
        self.hello = b""
        self.agreement: Agreement | None = None
        self.session: Session | None = None


class Door:
    """Listens, and calls `welcome(socket, session, agreement, events)` for each transport that proved a key.

    `full(ip, user)` says whether there is no room for one more link from there, and of that user.  It is asked when the
    key is proved: a hello alone may be a recording, and holds no link's place.
    `identity` is the server's, for clients that ask for suite 2.  With `stealth` who is refused is told nothing.
    """

    def __init__(
        self,
        listener: socket.socket,
        ring: KeyRing,
        limits: Limits,
        bans: Bans,
        *,
        instance: bytes,
        identity: KeyPair | None,
        stealth: bool,
        padding: str | None,
        hide_clock: bool,
        full: Callable[[str, str | None], bool],
        make_room: Callable[[str, str | None], bool],
        welcome: Welcome,
        resume: Resume,
    ) -> None:
        self._listener, self._ring, self._limits = Listener(listener), ring, limits
        self._instance, self._identity, self._stealth = instance, identity, stealth
        self._padding, self._hide_clock = padding, hide_clock
        self.porter = Porter(limits, bans, full)
        """Who decides, and what it has counted."""
        self._make_room, self._welcome, self._resume = make_room, welcome, resume
        self._strangers: dict[_Stranger, None] = {}
        """In the order in which they came."""
        self._turnstile = Turnstile(limits)
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
        for stranger in tuple(self._strangers):
            with contextlib.suppress(OSError):
                if stranger.session is None and stranger.hello.startswith(MAGIC):
                    self._turn_away(stranger, refusal(SHUTTING_DOWN))
            self._dismiss(stranger)
        self._let_go()

    def disown(self) -> None:
        """Let go of every descriptor without a word: this is a forked child, and the door is the parent's."""
        self._closing = True
        for stranger in self._strangers:
            stranger.transport.close()
        self._strangers.clear()
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
        for stranger in tuple(self._strangers):
            allowed = self._limits.hello_seconds if stranger.session is None else self._limits.open_seconds
            if now - stranger.accepted >= allowed:
                self._refuse(stranger, LinkTimeout(f"no handshake within {allowed} seconds"))
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
        return CLOCK_SECONDS if self._strangers or self.porter.owes_summary else None

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
            sockets.prepare(transport, dead_seconds=self._limits.dead_seconds)
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
            self._dismiss(next(stranger for stranger in self._strangers if self.porter.makes_way(stranger.peer.host)))
        stranger = _Stranger(transport, peer, now, unwelcome)
        self._strangers[stranger] = None
        self._turnstile.enter(stranger, now)
        self._selector.register(transport, selectors.EVENT_READ, stranger)
        self._hear(stranger)

    def _hear(self, stranger: _Stranger) -> None:
        try:
            self._advance(stranger)
        except (BlockingIOError, InterruptedError):
            return
        except NetstructerError as error:
            self._refuse(stranger, error)
        except OSError:
            self._refuse(stranger, ConnectionCut("the transport broke in the handshake"))
        except Exception as error:
            # A fault of ours with one stranger must not close the door to everybody.
            self._refuse(stranger, OurFault(type(error).__name__))

    def _advance(self, stranger: _Stranger) -> None:
        """Read what there is, and take the stranger as far as it goes."""
        if stranger.session is None:
            data = stranger.transport.recv(HELLO_BYTES - len(stranger.hello))
            if not data:
                raise ConnectionCut("the transport ended in the hello")
            stranger.hello += data
            if len(stranger.hello) == HELLO_BYTES:
                self._answer(stranger)
            return
        session, now = stranger.session, time.monotonic()
        try:
            count = stranger.transport.recv_into(session.frames.space()[: OPEN_FRAME_BYTES - session.frames.held_bytes])
        except ConnectionError:
            count = 0
        if not count and not session.frames.held_bytes:
            raise AnswerRefused("the client took the answer and left before it proved its key")
        session.frames.filled(count)
        events = session.receive(now) if count else session.end(now)
        for event in events:
            if isinstance(event, Ended) and event.error is not None:
                self._reply(stranger, b"".join(session.frames_to_send(1, now)))
                raise event.error
            if isinstance(event, ResumeAsked):
                self._take_back(stranger, event.session_id)
        if any(isinstance(event, Opened) for event in events):
            self._let_in(stranger, events)

    def _answer(self, stranger: _Stranger) -> None:
        host = stranger.peer.host
        try:
            if stranger.hello.startswith(MAGIC):  # What does not speak the protocol is told nothing.
                self.porter.check_source(host, stranger.unwelcome)
        except NetstructerError as error:
            self._turn_away(stranger, refusal(BANNED if isinstance(error, Banned) else BUSY))
            raise
        parameters = Parameters.of(self._limits, FEATURES | RESUME, instance=self._instance)
        expected = ExpectHello(self._ring, parameters, identity=self._identity)
        try:
            agreement = expected.receive(stranger.hello)
            self.porter.check_holder(agreement.key_id, agreement.user)
        except Banned:
            self._turn_away(stranger, refusal(BANNED))
            raise
        except NetstructerError:
            self._turn_away(stranger, expected.answer)
            raise
        self._reply(stranger, agreement.answer)
        stranger.agreement = agreement
        stranger.session = Session(
            Role.SERVER,
            agreement,
            limits=self._limits,
            now=time.monotonic(),
            draw=os.urandom,
            wall=no_clock if self._hide_clock else time.time,
            instance=self._instance,
            padding=self._padding,
            full=lambda: self.porter.full(host, agreement.user) and not self._make_room(host, agreement.user),
            clock=time.monotonic,
        )

    def _let_in(self, stranger: _Stranger, events: list[Event]) -> None:
        assert stranger.session is not None
        assert stranger.agreement is not None
        self._leave(stranger, proved=True)
        self._welcome(stranger.transport, stranger.session, stranger.agreement, events)

    def _take_back(self, stranger: _Stranger, session_id: bytes) -> None:
        """Give a session that is there already its new transport."""
        session, agreement = stranger.session, stranger.agreement
        assert session is not None
        assert agreement is not None
        self._leave(stranger, proved=True)
        try:
            self._resume(stranger.transport, session, agreement, session_id)
        except SessionLost as error:
            logger.debug("< no session for %s: %s", stranger.peer.host, error)
            session.decline()
            with contextlib.suppress(OSError), stranger.transport:
                self._reply(stranger, b"".join(session.frames_to_send(1, time.monotonic())))

    def _turn_away(self, stranger: _Stranger, answer: bytes) -> None:
        """Say why there will be no link, unless this server says nothing to strangers."""
        if not self._stealth:
            self._reply(stranger, answer)

    def _reply(self, stranger: _Stranger, answer: bytes) -> None:
        """Write at most 168 bytes, which a fresh socket takes; a stranger whose socket does not has lost its place."""
        if answer and stranger.transport.send(answer) != len(answer):
            raise ConnectionCut("the transport takes no answer")

    def _refuse(self, stranger: _Stranger, error: NetstructerError) -> None:
        answered = stranger.session is not None
        line = self.porter.failed(stranger.peer.host, error, time.monotonic(), answered=answered)
        self._dismiss(stranger)
        if line:
            logger.warning("%s", line)

    def _dismiss(self, stranger: _Stranger) -> None:
        self._leave(stranger, proved=False)
        stranger.transport.close()

    def _leave(self, stranger: _Stranger, *, proved: bool) -> None:
        if stranger in self._strangers:
            del self._strangers[stranger]
            self._turnstile.leave(stranger, proved=proved)
            self.porter.leave(stranger.peer.host, time.monotonic(), proved=proved)
            self._selector.unregister(stranger.transport)
