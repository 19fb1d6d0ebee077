"""Notices: what a server says of its own accord, and says again on each transport.  Floor: PROTOCOL.

Law: of each kind the last word counts.  Spec: protocol.md, "Rotation".

DRAIN says that the server will leave; NEW_KEY gives the client the key that takes the place of its own.  Neither has a
delivery number: what a transport has lost is said again on the next one, and to hear it twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from netstructer.errors import IllegalFrame, InvalidKey
from netstructer.keys import TEXT_LENGTH, Key
from netstructer.protocol import bodies
from netstructer.protocol.states import OPEN_STATES, Kind

if TYPE_CHECKING:
    from netstructer.protocol.session import Session

__all__ = ["NewKey", "drain", "give_key", "say_again"]


class NewKey(NamedTuple):
    """The key for the next handshake, as its 44 characters.  Shows no key."""

    key: Key

    def pack(self) -> bytes:
        return self.key.reveal().encode()

    @classmethod
    def unpack(cls, body: memoryview) -> NewKey:
        """Return what a body says.  Raises `IllegalFrame`, which holds nothing of it."""
        bodies.expect_length(body, TEXT_LENGTH)
        try:
            return cls(Key(bytes(body)))
        except InvalidKey:
            raise IllegalFrame("a new key that is none") from None


def drain(session: Session, seconds: float) -> None:
    """Tell the client that this server will say farewell within so many seconds."""
    _say(session, Kind.DRAIN, bodies.Drain(int(seconds * 1000)).pack())


def give_key(session: Session, key: Key) -> None:
    """Tell the client which key to use from its next handshake on."""
    _say(session, Kind.NEW_KEY, NewKey(key).pack())


def say_again(session: Session) -> None:
    """Say on a new transport what was said on another one."""
    for kind, body in session.notices.items():
        session.outflow.control(kind, body)


def _say(session: Session, kind: Kind, body: bytes) -> None:
    session.notices[kind] = body
    if session.state in OPEN_STATES:
        session.outflow.control(kind, body)
