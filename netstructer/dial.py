"""Dialling: from an address and a key to a session that is open, over a fresh socket.  Floor: FAÇADES.

Law: one deadline covers all of it.  Spec: protocol.md, "Handshake" and "States" (the client's side).
"""

from __future__ import annotations

import os
import socket
import time

from netstructer import sockets
from netstructer.address import Address
from netstructer.errors import ConnectionCut, LinkTimeout
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, Opened
from netstructer.protocol.handshake import ExpectAnswer, start_client
from netstructer.protocol.parameters import COMPRESSION, PADDING, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

__all__ = ["FEATURES", "dial", "no_clock"]

FEATURES = COMPRESSION | PADDING


def dial(
    address: Address, key: Key, *, limits: Limits, deadline: float | None, padding: str | None, hide_clock: bool
) -> tuple[socket.socket, Session, list[Event]]:
    """Return a connected socket, the open session on it, and what happened since it opened.

    Raises `Unreachable`, `PortClosed`, `LinkTimeout`, what the handshake raises (`KeyRefused`, `VersionMismatch`,
    `Busy`, `NotNetstructer` …), and `ConnectionCut` where the transport ends first.
    """
    transport = sockets.dial_socket(address, deadline)
    try:
        return transport, *_open(transport, address, key, limits, deadline, padding, hide_clock)
    except BaseException:
        transport.close()
        raise


def _open(
    transport: socket.socket,
    address: Address,
    key: Key,
    limits: Limits,
    deadline: float | None,
    padding: str | None,
    hide_clock: bool,
) -> tuple[Session, list[Event]]:
    hello, expected = start_client(key, Parameters.of(limits, FEATURES))
    conversation = _Conversation(transport, address, deadline)
    conversation.write(hello)
    agreement = expected.receive(conversation.read_answer(expected))
    session = Session(
        Role.CLIENT,
        agreement,
        limits=limits,
        now=time.monotonic(),
        draw=os.urandom,
        wall=no_clock if hide_clock else time.time,
        padding=padding,
        clock=time.monotonic,
    )
    conversation.write(b"".join(session.frames_to_send(1, time.monotonic())))
    while True:
        data = conversation.read(limits.body_bytes)
        events = session.receive_data(data, time.monotonic()) if data else session.end(time.monotonic())
        if events and isinstance(events[0], Opened):
            return session, events[1:]
        for event in events:
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
        return ConnectionCut(f"{self._address} ended the connection in the handshake")
