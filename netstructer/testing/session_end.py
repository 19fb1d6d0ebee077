"""One end of a session pair: what it sends, what it got, and how it is.  Floor: FAÇADES.

Law: it is moved by the pair alone, and by what the test asks of it.
"""

from __future__ import annotations

from typing import Any

from netstructer.errors import Misuse, NetstructerError
from netstructer.protocol.events import Ended, Event, MessageArrived, Suspended
from netstructer.protocol.session import Session
from netstructer.protocol.states import ENDED_STATES
from netstructer.testing.wire import WireEnd

__all__ = ["SessionEnd"]


class SessionEnd:
    """One of the two: what it sends, what it got, and how it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: Session | None = None
        """The machine itself, once the handshake is done: docs/protocol.md says what it does; its names may change."""
        self.received: list[Any] = []
        """The values that came, in order, as its application would have taken them."""
        self.reading = True
        """Whether values are taken as they come.  While not, the peer's credit is used up, as with a slow reader."""
        self.failure: NetstructerError | None = None
        """What ended the last transport, or the last try to find one."""
        self.wire: WireEnd | None = None
        """Where it is on; None where it has none."""
        self.unsent = b""
        """Sealed, and not yet taken by the wire."""
        self._inbox: list[Any] = []

    def send(self, value: object, *, compress: bool = True) -> None:
        """Queue a value.  Raises what `Link.send` raises of it, and `Misuse` before the session is open."""
        session = self._open_session()
        encoded = session.payloads.encode(value)
        if encoded.blobs:
            raise Misuse("a session pair carries no blobs: link_pair() does")
        session.queue(session.payloads.compose(encoded, compress=compress))

    def close(self) -> None:
        """Say farewell, behind what is queued."""
        self._open_session().say_farewell()

    @property
    def opened(self) -> bool:
        """Whether it is in a session with its peer, be that online or suspended."""
        return self.session is not None and not self.ended

    @property
    def suspended(self) -> bool:
        """Whether it has lost its transport, and waits for another."""
        return self.session is not None and self.session.suspended

    @property
    def ended(self) -> bool:
        """Whether its session is over."""
        return self.session is not None and self.session.state in ENDED_STATES

    @property
    def error(self) -> NetstructerError | None:
        """What ended its session; None while it lives, and after both farewells."""
        return None if self.session is None else self.session.error

    @property
    def resumes(self) -> int:
        """How often its session was taken up again on another transport."""
        return 0 if self.session is None else self.session.resumes

    @property
    def waiting(self) -> int:
        """How many values have come and were not taken."""
        return len(self._inbox)

    @property
    def unacknowledged(self) -> int:
        """How many messages are not wholly sealed, and how many records the peer is not known to have; 0 when it has
        all.
        """
        if self.session is None:
            return 0
        return len(self.session.outflow.lanes) + len(self.session.outflow.kept)

    def take(self) -> None:
        """Take every value that has come into `received`."""
        while self._inbox and self.session is not None:
            message = self._inbox.pop(0)
            self.session.take(message)
            self.received.append(self.session.payloads.read(message, _no_blob))

    def _open_session(self) -> Session:
        if self.session is None:
            raise Misuse("the session is not open yet: dial() and run(), or settle()")
        return self.session

    def _hear(self, events: list[Event]) -> None:
        """Take in what the session says has happened."""
        for event in events:
            if isinstance(event, MessageArrived):
                self._inbox.append(event.message)
            elif isinstance(event, (Suspended, Ended)):
                self.failure = event.error
                if isinstance(event, Suspended):
                    self._leave()
        if self.reading:
            self.take()

    def _leave(self) -> None:
        if self.wire is not None:
            self.wire.close()
        self.wire, self.unsent = None, b""

    def __repr__(self) -> str:
        state = "not open" if self.session is None else self.session.state.value
        return f"<SessionEnd {self.name}, {state}, {len(self.received)} received>"


def _no_blob(message: object, place: int) -> Any:
    raise Misuse("a session pair carries no blobs: link_pair() does")
