"""How two sessions come to be on one wire: the handshake, and what follows it, at each end.  Floor: FAÇADES.

Law: what a façade does with sockets is done here with a wire, in the same order.  Spec: protocol.md, "Handshake",
"Resume".  A client whose ACCEPT never came is in no session yet, and begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netstructer.codec.ciphers import FERNET, Cipher
from netstructer.errors import ConnectionCut, LinkTimeout, NetstructerError, SessionLost
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, Opened, ResumeAsked, Suspended
from netstructer.protocol.handshake import HELLO_BYTES, Agreement, ExpectHello, start_client, suite_of
from netstructer.protocol.parameters import COMPRESSION, PADDING, RESUME, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role
from netstructer.testing.clock import FakeClock
from netstructer.testing.wire import WireEnd

__all__ = ["Arriving", "Dialling", "Shape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one end's sessions are made."""

    limits: Limits
    resume: bool
    padding: str | None
    clock: FakeClock
    draw: Callable[[int], bytes]
    cipher: Cipher = FERNET
    instance: bytes = b"session pair run"
    """Names the server's run; sixteen bytes."""

    @property
    def features(self) -> int:
        """What this end states that it can do."""
        return COMPRESSION | PADDING | (RESUME if self.resume else 0)

    def session(self, role: Role, agreement: Agreement) -> Session:
        """Return one end of a conversation, just after its handshake."""
        return Session(
            role,
            agreement,
            limits=self.limits,
            now=self.clock(),
            draw=self.draw,
            wall=self.clock.wall,
            instance=self.instance if role is Role.SERVER else bytes(16),
            padding=self.padding,
            clock=self.clock,
        )


class Dialling:
    """A client on its way: the hello is said.  `former` is the session that it wants to take up, if there is one."""

    def __init__(self, wire: WireEnd, key: Key, shape: Shape, former: Session | None) -> None:
        self.wire = wire
        self._shape, self._former = shape, former
        self._fresh: Session | None = None
        self._unsent, self._expected = start_client(
            key,
            Parameters.of(shape.limits, shape.features),
            suite=suite_of(shape.cipher, identity=False),
            draw=shape.draw,
        )
        self._answer = b""
        self.deadline = shape.clock() + shape.limits.open_seconds
        """When it gives up."""

    def go_on(self) -> tuple[bool, Session | None, list[Event]]:
        """Read and write what can be; say whether anything moved, and return the session once it may be used.

        Raises what the handshake raises, `ConnectionCut` where the wire ends in it, and `LinkTimeout`.
        """
        if self._shape.clock() >= self.deadline:
            raise LinkTimeout("the server did not answer in time")
        moved = self._write()
        if self._fresh is None:
            needed = self._expected.needed(self._answer) - len(self._answer)
            data = _read(self.wire, needed)
            if data is None:
                return moved, None, []
            self._answer += data
            if len(self._answer) < self._expected.needed(self._answer):
                return True, None, []
            agreement = self._expected.receive(self._answer)
            if self._former is not None:
                self._former.rejoin(agreement, self._shape.clock())
                return True, self._former, []
            self._fresh = self._shape.session(Role.CLIENT, agreement)
            return True, None, []
        session, now = self._fresh, self._shape.clock()
        self._unsent += b"".join(session.frames_to_send(1, now))
        moved = self._write() or moved
        data = _read(self.wire, 64 << 10)
        if data is None:
            return moved, None, []
        events = session.receive_data(data, now)
        for event in events:
            if isinstance(event, (Ended, Suspended)) and event.error is not None:
                raise event.error
        return True, session if any(isinstance(event, Opened) for event in events) else None, events

    def _write(self) -> bool:
        taken = _write(self.wire, self._unsent)
        self._unsent = self._unsent[taken:]
        return taken > 0


class Arriving:
    """A newcomer at the server: it has said nothing yet."""

    def __init__(self, wire: WireEnd, key: Key, shape: Shape) -> None:
        self.wire = wire
        self._key, self._shape = key, shape
        self._hello = b""
        self._unsent = b""
        self._fresh: Session | None = None

    def go_on(self, current: Session | None) -> tuple[bool, tuple[Session, list[Event]] | None]:
        """Read and write what can be; say whether anything moved.  Once the newcomer has proved its key, return the
        session that goes on here, `current` where that is claimed, and what happened.

        Raises why there is none: what the handshake raises, `SessionLost` for a claim that does not fit, and
        `ConnectionCut`.
        """
        moved = self._write()
        fresh, now = self._fresh, self._shape.clock()
        data = _read(self.wire, HELLO_BYTES - len(self._hello) if fresh is None else 64 << 10)
        if data is None:
            return moved, None
        if fresh is None:
            self._hello += data
            if len(self._hello) == HELLO_BYTES:
                self._answer()
            return True, None
        events = fresh.receive_data(data, now)
        for event in events:
            if isinstance(event, Ended) and event.error is not None:
                raise event.error
            if isinstance(event, Opened):
                return True, (fresh, events)
            if isinstance(event, ResumeAsked):
                return True, self._hand_over(fresh, current, now)
        return True, None

    def _answer(self) -> None:
        shape = self._shape
        parameters = Parameters.of(shape.limits, shape.features, instance=shape.instance)
        expected = ExpectHello(KeyRing(self._key), parameters, ciphers=(FERNET, shape.cipher), draw=shape.draw)
        try:
            agreement = expected.receive(self._hello)
        except NetstructerError:
            self._say_last(expected.answer)
            raise
        self._unsent = agreement.answer
        self._write()
        self._fresh = shape.session(Role.SERVER, agreement)

    def _hand_over(self, fresh: Session, current: Session | None, now: float) -> tuple[Session, list[Event]]:
        try:
            if current is None or current.session_id != (fresh.claim.session_id if fresh.claim else b""):
                raise SessionLost("there is no such session")
            events = current.adopt(fresh, now)
        except SessionLost:
            fresh.decline()
            self._say_last(b"".join(fresh.frames_to_send(1 << 20, now)))
            raise
        return current, events + current.receive(now)

    def _say_last(self, data: bytes) -> None:
        self._unsent = data
        self._write()
        self.wire.close()

    def _write(self) -> bool:
        taken = _write(self.wire, self._unsent)
        self._unsent = self._unsent[taken:]
        return taken > 0


def _read(wire: WireEnd, most_bytes: int) -> bytes | None:
    try:
        data = wire.read(most_bytes)
    except ConnectionError:
        data = b""
    if data == b"":
        wire.close()
        raise ConnectionCut("the wire ended in the handshake")
    return data


def _write(wire: WireEnd, data: bytes) -> int:
    try:
        return wire.write(data) if data else 0
    except ConnectionError:
        return 0
