"""A probe: the client's side of a conversation on one transport, each step by itself, for `doctor`.  Floor: ROOF.

`Link` gives one answer, open or an error.  A diagnosis wants every step and what was found on the way: the first
bytes of what answered, the time that the peer's clock shows, its limits.  So this drives the same pure machines as
`Link` does (`protocol/handshake.py`, `protocol/session.py`) over a plain socket with a timeout.

It is a guest with manners: one transport, no values sent, a few pings, a farewell.
"""

from __future__ import annotations

import os
import socket
import time

from netstructer.errors import ConnectionCut, LinkTimeout
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, Opened, PeerLeft
from netstructer.protocol.handshake import Agreement, start_client
from netstructer.protocol.parameters import COMPRESSION, PADDING, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

__all__ = ["Probe", "name_of_stranger"]

CLOCK_PLACE = slice(5, 13)
"""Where the first frame holds the time of its token: after the length (4) and the version byte of Fernet (1)."""


class Probe:
    """One transport, connected, on which nothing was said yet."""

    def __init__(self, transport: socket.socket, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._session: Session | None = None
        self.answer = b""
        """What the server said first, as far as it came."""
        self.clock: int | None = None
        """Seconds since 1970 in the server's first token; 0 where the server hides its clock."""

    def shake_hands(self, key: Key, *, suite: int = 1) -> Agreement:
        """Say hello and read the answer.  Raises what `ExpectAnswer.receive` and `_read` raise."""
        self._transport.settimeout(self._timeout)
        hello, expected = start_client(key, Parameters.of(Limits.DEFAULT, COMPRESSION | PADDING), suite=suite)
        self._write(hello)
        while len(self.answer) < expected.needed(self.answer):
            self.answer += self._read(expected.needed(self.answer) - len(self.answer))
        agreement = expected.receive(self.answer)
        self._session = Session(
            Role.CLIENT, agreement, limits=Limits.DEFAULT, now=time.monotonic(), draw=os.urandom, wall=time.time
        )
        return agreement

    def open(self) -> Limits:
        """Prove the key, wait until the server accepts, note its clock; return its limits.  After `shake_hands`."""
        session = self._expect_session()
        self._flush()
        first = b""
        while True:
            data = self._read(1 << 16)
            first += data
            if self._heard(session.receive_data(data, time.monotonic()), Opened):
                self.clock = int.from_bytes(first[CLOCK_PLACE])
                return session.peer_limits

    def ping(self) -> float:
        """Return the seconds of one round trip.  After `open`."""
        session = self._expect_session()
        liveness = session.liveness
        time.sleep(max(0.0, liveness.next_ping - time.monotonic()))  # peers count pings, so a session paces its own
        before, began = liveness.pongs, time.monotonic()
        session.ping(began)
        self._flush()
        while liveness.pongs == before:
            self._heard(session.receive_data(self._read(1 << 16), time.monotonic()), Opened)
        return time.monotonic() - began

    def leave(self) -> None:
        """Say farewell and wait for the server's; a server that says none is left anyway."""
        session = self._expect_session()
        session.say_farewell()
        try:
            self._flush()
            while not self._heard(session.receive_data(self._read(1 << 16), time.monotonic()), PeerLeft):
                pass
            self._flush()
        except (ConnectionCut, LinkTimeout):
            return

    def nudge(self) -> bytes:
        """End the line, for which a silent server of text may be waiting; return its answer, or nothing."""
        try:
            self._write(b"\r\n\r\n")
            return self._read(64)
        except (ConnectionCut, LinkTimeout):
            return b""

    def _expect_session(self) -> Session:
        if self._session is None:
            raise ConnectionCut("the handshake was not done")
        return self._session

    def _heard(self, events: list[Event], wanted: type[Event]) -> bool:
        for event in events:
            if isinstance(event, Ended) and event.error is not None:
                raise event.error
        return any(isinstance(event, wanted) for event in events)

    def _flush(self) -> None:
        self._write(b"".join(self._expect_session().frames_to_send(1 << 16, time.monotonic())))

    def _write(self, data: bytes) -> None:
        try:
            self._transport.sendall(data)
        except OSError as error:
            raise ConnectionCut("the peer closed the connection") from error

    def _read(self, most: int) -> bytes:
        try:
            data = self._transport.recv(most)
        except TimeoutError:
            raise LinkTimeout(f"nothing came within {self._timeout:g} seconds") from None
        except OSError as error:
            raise ConnectionCut("the peer reset the connection") from error
        if not data:
            raise ConnectionCut("the peer closed the connection")
        return data


_STRANGERS = (
    (b"HTTP/", "an HTTP server"),
    (b"<!DOCTYPE", "an HTTP server"),
    (b"<html", "an HTTP server"),
    (b"SSH-", "an SSH server"),
    (b"\x15\x03", "a TLS server"),
    (b"\x16\x03", "a TLS server"),
    (b"220", "a mail or FTP server"),
    (b"* OK", "an IMAP server"),
    (b"+OK", "a POP3 server"),
    (b"-ERR", "a Redis or POP3 server"),
    (b"RFB ", "a VNC server"),
    (b"AMQP", "an AMQP broker"),
)
"""How some servers begin to speak."""


def name_of_stranger(first: bytes) -> str | None:
    """Return what kind of server begins with these bytes, or None."""
    return next((name for start, name in _STRANGERS if first.startswith(start)), None)
