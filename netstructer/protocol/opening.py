"""The opening: the first record each way, which proves that the peer is there now.  Floor: PROTOCOL.

Law: until it is done, nothing else is said and nothing is delivered.  Spec: protocol.md, "Session".

The answer to the hello has proved the server.  A hello may be a recording; the client's OPEN, under the keys of this
very handshake, cannot be.  OPEN also says which session this is and where it stands.  A session does not outlive its
transport here yet, so the server answers a wish to take one up again with "unknown".
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.errors import Busy, IllegalFrame, NetstructerError, SessionLost
from netstructer.protocol import bodies

__all__ = ["Opening"]

ID_BYTES, SECRET_BYTES = 16, 32


class Opening:
    """What one end says and hears first.  `instance` names the server's run, as its handshake stated it."""

    __slots__ = ("_instance", "_session_id")

    def __init__(self, instance: bytes) -> None:
        self._instance = instance
        self._session_id = bytes(ID_BYTES)

    def ask(self, draw: Callable[[int], bytes], limit: int) -> bytes:
        """Return the body of a client's OPEN of a new session; `limit` is the credit that it gives."""
        self._session_id = draw(ID_BYTES)
        return bodies.Open(
            bodies.OPEN_NEW, self._session_id, draw(SECRET_BYTES), 1, 1, limit, bytes(len(self._instance))
        ).pack()

    def hear(self, body: memoryview, limit: int, *, full: bool) -> tuple[bodies.Open, bytes, NetstructerError | None]:
        """Return a client's OPEN, the body of the ACCEPT that answers it, and why it is refused, or None.

        Raises `IllegalFrame`.
        """
        asked = bodies.Open.unpack(body)
        self._session_id = asked.session_id
        status = bodies.STATUS_NEW
        refusal: NetstructerError | None = None
        if asked.mode == bodies.OPEN_RESUME:
            status, refusal = bodies.STATUS_UNKNOWN, SessionLost("the peer asks for a session that is not here")
        elif full:
            status, refusal = bodies.STATUS_BUSY, Busy("there is no room for another link")
        answer = bodies.Accept(status, self._session_id, self._instance, 1, 1, limit, 0)
        return asked, answer.pack(), refusal

    def conclude(self, body: memoryview) -> bodies.Accept:
        """Return the server's ACCEPT.  Raises `SessionLost`, `Busy`, or `IllegalFrame` for one of another session."""
        answer = bodies.Accept.unpack(body)
        if answer.status == bodies.STATUS_UNKNOWN:
            raise SessionLost("the server does not know this session")
        if answer.status == bodies.STATUS_BUSY:
            raise Busy("the server takes no more links now")
        if answer[1:5] != (self._session_id, self._instance, 1, 1):
            raise IllegalFrame("an accept of another session")
        return answer
