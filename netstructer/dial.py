"""Dialling: from an address and credentials to a session that is open, over a fresh socket.  Floor: FAÇADES.

Law: one deadline covers all of it.  Spec: protocol.md, "Handshake" and "States" (the client's side).
"""

from __future__ import annotations

import os
import socket
import time

from netstructer import sockets
from netstructer.address import Address
from netstructer.credentials import Credentials
from netstructer.errors import ConnectionCut, LinkTimeout, Mismatch
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, Opened, Suspended
from netstructer.protocol.handshake import Agreement, ExpectAnswer
from netstructer.protocol.parameters import COMPRESSION, PADDING, RESUME, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

__all__ = ["FEATURES", "NO_WORD", "Dialler", "no_clock"]

FEATURES = COMPRESSION | PADDING
NO_WORD = " without a word: it has no room, or is in stealth and does not know the key"
"""What such an end may mean; nothing in it is authenticated."""


class Dialler:
    """One client's way to one server: for the first transport of a link, and for all that follow."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        limits: Limits,
        padding: str | None,
        hide_clock: bool,
        resume: bool,
    ) -> None:
        self.address = address
        self.credentials = credentials
        self._limits, self._padding, self._hide_clock = limits, padding, hide_clock
        self._features = FEATURES | RESUME if resume else FEATURES

    def open(self, deadline: float | None) -> tuple[socket.socket, Session, list[Event]]:
        """Return a connected socket, the new open session on it, and what happened since it opened.

        The credentials then know who the server is.  Raises `Unreachable`, `PortClosed`, `LinkTimeout`, what the
        handshake raises (`KeyRefused`, `VersionMismatch`, `IdentityChanged`, `Busy`, `NotNetstructer` …),
        `ConnectionCut` where the transport ends first, and what noting a first use raises.
        """
        transport = sockets.dial_socket(self.address, deadline, dead_seconds=self._limits.dead_seconds)
        try:
            return transport, *self._open(_Conversation(transport, self.address, deadline))
        except BaseException:
            transport.close()
            raise

    def again(self, deadline: float | None) -> tuple[socket.socket, Agreement]:
        """Return a connected socket and what the handshake on it has agreed on, for a session that is there.

        Raises what `open` raises.
        """
        transport = sockets.dial_socket(self.address, deadline, dead_seconds=self._limits.dead_seconds)
        try:
            return transport, self._shake_hands(_Conversation(transport, self.address, deadline))
        except BaseException:
            transport.close()
            raise

    def _shake_hands(self, conversation: _Conversation) -> Agreement:
        hello, expected = self.credentials.start(Parameters.of(self._limits, self._features))
        conversation.write(hello)
        answer = conversation.read_answer(expected)
        try:
            return expected.receive(answer)
        except Mismatch as error:
            raise self.credentials.explain(error) from None

    def _open(self, conversation: _Conversation) -> tuple[Session, list[Event]]:
        agreement = self._shake_hands(conversation)
        session = Session(
            Role.CLIENT,
            agreement,
            limits=self._limits,
            now=time.monotonic(),
            draw=os.urandom,
            wall=no_clock if self._hide_clock else time.time,
            padding=self._padding,
            clock=time.monotonic,
        )
        conversation.write(b"".join(session.frames_to_send(1, time.monotonic())))
        while True:
            data = conversation.read(self._limits.body_bytes)
            events = session.receive_data(data, time.monotonic()) if data else session.end(time.monotonic())
            if events and isinstance(events[0], Opened):
                self.credentials.opened(agreement, now=time.time())
                return session, events[1:]
            for event in events:
                if isinstance(event, Suspended):
                    raise event.error  # A session whose ACCEPT never came is not yet one.
                if isinstance(event, Ended) and event.error is not None:
                    raise event.error


def no_clock() -> float:
    """What the clear clock of a token says where the clock is hidden."""
    return 0.0


class _Conversation:
    """The few exchanges before a link is open, on a socket that does not block, under one deadline."""

    def __init__(self, transport: socket.socket, address: Address, deadline: float | None) -> None:
        self._transport, self._address, self._deadline = transport, address, deadline
        self._readiness = sockets.Readiness(transport)

    def write(self, data: bytes) -> None:
        """Write a few bytes, which a fresh socket always takes."""
        try:
            self._transport.sendall(data)
        except OSError as error:
            raise self._cut() from error

    def read(self, most: int) -> bytes:
        """Return what comes next, at least one byte, or none at the end.  Raises `LinkTimeout`."""
        while True:
            try:
                left = sockets.remaining(self._deadline)
            except LinkTimeout:
                left = 0.0
            if not self._readiness.wait(read=True, write=False, seconds=left)[0]:
                raise LinkTimeout(f"{self._address} took the connection and did not finish the handshake in time")
            try:
                return self._transport.recv(most)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                raise self._cut() from error

    def read_answer(self, expected: ExpectAnswer) -> bytes:
        answer = b""
        while len(answer) < expected.needed(answer):
            data = self.read(expected.needed(answer) - len(answer))
            if not data:
                raise self._cut()
            answer += data
        return answer

    def _cut(self) -> ConnectionCut:
        return ConnectionCut(f"{self._address} ended the connection in the handshake{NO_WORD}")
