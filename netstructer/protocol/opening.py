"""The opening: the first record each way, which proves that the peer is there now.  Floor: PROTOCOL.

Law: until it is done, nothing else is said and nothing is delivered.  Spec: protocol.md, "Session" and "Resume".

The answer to the hello has proved the server.  A hello may be a recording; the client's OPEN, under the keys of this
very handshake, cannot be.  OPEN also says which session this is and where it stands: a new one, or one that is to go
on.  A session is named by 16 bytes and proved by a secret of 32, which its client drew, and which travels once, in the
first OPEN, under keys of that moment.  Later each end proves that it has it, for the handshake of that transport and no
other: so who holds the same key as others can neither take their sessions nor pose as the server that has them, not
even between the two, where he could hand on whatever is not bound to a handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest, digest

from netstructer.errors import Busy, IllegalFrame, NetstructerError, SessionLost
from netstructer.protocol import bodies
from netstructer.protocol.delivery import Inbound, Outbound

__all__ = ["Opening"]

ID_BYTES, SECRET_BYTES = 16, 32
_OPENING, _ACCEPTING = b"ns1 open", b"ns1 accept"


class Opening:
    """What one end says and hears first, on each transport of a session.  `instance` names the server's run, as its
    first handshake stated it.
    """

    __slots__ = ("_answer", "_instance", "_resuming", "_secret", "session_id", "stated_seconds")

    def __init__(self, instance: bytes) -> None:
        self._instance = instance
        self._secret = self._answer = b""
        self._resuming = False
        self.session_id = bytes(ID_BYTES)
        self.stated_seconds = 0
        """At a client: how long the server keeps the session without a transport."""

    def ask(self, draw: Callable[[int], bytes], limit: int) -> bytes:
        """Return the body of a client's OPEN of a new session; `limit` is the credit that it gives."""
        self.session_id, self._secret = draw(ID_BYTES), draw(SECRET_BYTES)
        return bodies.Open(
            bodies.OPEN_NEW, self.session_id, self._secret, 1, 1, limit, bytes(len(self._instance))
        ).pack()

    def ask_again(self, inbound: Inbound, outbound: Outbound, binding: bytes) -> bytes:
        """Return the body of a client's OPEN that takes the session up again, and says where it stands.

        `binding` is that of the handshake of this transport.
        """
        self._resuming, self._answer = True, self._proof(_ACCEPTING, binding)[:ID_BYTES]
        limit = inbound.state_limit()
        stand = inbound.next_number, outbound.next_number, limit
        proof = self._proof(_OPENING, binding)
        return bodies.Open(bodies.OPEN_RESUME, self.session_id, proof, *stand, self._instance).pack()

    def hear(
        self, asked: bodies.Open, limit: int, *, full: bool, seconds: int
    ) -> tuple[bytes, NetstructerError | None]:
        """Return the body of the ACCEPT that answers a client's OPEN of a new session, and why it is refused, or None.

        `seconds` is how long the session outlives a transport.
        """
        self.session_id, self._secret = asked.session_id, asked.secret
        status = bodies.STATUS_BUSY if full else bodies.STATUS_NEW
        answer = bodies.Accept(status, self.session_id, self._instance, 1, 1, limit, seconds)
        return answer.pack(), Busy("there is no room for another link") if full else None

    def decline(self, session_id: bytes, limit: int) -> bytes:
        """Return the body of the ACCEPT to a client whose session is not here: one answer, whatever the reason."""
        return bodies.Accept(bodies.STATUS_UNKNOWN, session_id, self._instance, 1, 1, limit, 0).pack()

    def check(
        self, asked: bodies.Open, inbound: Inbound, outbound: Outbound, expectable: range, binding: bytes
    ) -> None:
        """Raise `SessionLost` where a client's OPEN may not take up this session, or does not fit to where it stands.

        `expectable` is what the peer may expect next of this end, `binding` that of the handshake that OPEN came after.
        """
        proved = bool(self._secret) and compare_digest(asked.secret, self._proof(_OPENING, binding))
        if not proved or (asked.session_id, asked.instance) != (self.session_id, self._instance):
            raise SessionLost("the peer does not prove that the session is its own")
        if asked.expected not in expectable or asked.following < inbound.next_number:
            raise SessionLost("the peer's end of the session does not fit to this one")
        if asked.limit < outbound.limit:
            raise SessionLost("the peer takes back credit")

    def go_on(self, inbound: Inbound, outbound: Outbound, seconds: int, binding: bytes) -> bytes:
        """Return the body of the ACCEPT that takes the session up again."""
        stand = inbound.next_number, outbound.next_number, inbound.state_limit()
        proof = self._proof(_ACCEPTING, binding)[:ID_BYTES]
        return bodies.Accept(bodies.STATUS_RESUMED, proof, self._instance, *stand, seconds).pack()

    def conclude(self, body: memoryview, inbound: Inbound, outbound: Outbound, expectable: range) -> bodies.Accept:
        """Return the server's ACCEPT; `expectable` is what it may expect next of this end.

        Raises `SessionLost`, `Busy`, or `IllegalFrame` for one of another session, or that does not fit.
        """
        answer = bodies.Accept.unpack(body)
        if answer.status == bodies.STATUS_UNKNOWN:
            raise SessionLost("the server does not know this session")
        if answer.status == bodies.STATUS_BUSY:
            raise Busy("the server takes no more links now")
        if (answer.status == bodies.STATUS_RESUMED) != self._resuming:
            raise IllegalFrame("an accept that takes up a session where a new one was asked for, or the reverse")
        name = self._answer if self._resuming else self.session_id
        if not compare_digest(answer.session_id, name) or answer.instance != self._instance:
            raise IllegalFrame("an accept of another session")
        if not self._resuming and (answer.expected, answer.following) != (1, 1):
            raise IllegalFrame("an accept of a new session that does not begin at its beginning")
        if answer.expected not in expectable or answer.following < inbound.next_number:
            raise IllegalFrame("an accept that does not fit to where the session stands")
        if answer.limit < outbound.limit:
            raise IllegalFrame("an accept that takes back credit")
        self.stated_seconds = answer.seconds
        return answer

    def _proof(self, label: bytes, binding: bytes) -> bytes:
        """Return what shows, on the transport of this handshake only, that this end has the session's secret."""
        return digest(self._secret, label + binding, sha256)
