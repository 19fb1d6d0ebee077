"""Incoming: the bytes of one blob that is coming in.  Floor: FAÇADES.  Law: who reads waits, and nobody else does.

What `codec/reading.py` reads from.  The payload lies in a spool that has its own lock, so reading takes the link's lock
only to wait for more, and to say how far it has come, a few times for each window.
"""

from __future__ import annotations

from netstructer.codec.spool import Spool
from netstructer.errors import BadValue
from netstructer.exchange import Exchange
from netstructer.protocol.assembly import Message
from netstructer.sockets import deadline_after

__all__ = ["Incoming"]

STEP_BYTES = 64 << 10
"""How far a reader goes before it says so again: an eighth of the first window."""


class Incoming:
    """One blob on its way in.  Thread-safe.  `owner` is what must not go away before it: its link."""

    __slots__ = ("_arrival", "_exchange", "_expected_bytes", "_owner")

    def __init__(self, exchange: Exchange, message: Message, place: int, owner: object) -> None:
        self._exchange = exchange
        self._arrival = exchange.arrival(message, place)
        self._owner = owner
        self._expected_bytes: int | None = None

    @property
    def codec(self) -> int:
        """The payload's codec; known once `wait` has returned."""
        return self._arrival.codec

    @property
    def size(self) -> int | None:
        """Plain bytes, None while unknown."""
        found = self._arrival.plain_bytes
        return self._expected_bytes if found is None else found

    @property
    def most_bytes(self) -> int:
        """The most plain bytes that this end takes."""
        return self._exchange.session.limits.message_bytes

    @property
    def stated(self) -> bool:
        """Whether the peer stated the plain bytes at the beginning; known once `wait` has returned."""
        return self._arrival.stated

    def expect(self, size: int | None) -> None:
        """Take note of the plain bytes that the blob's value says it has."""
        self._expected_bytes = size

    @property
    def spool(self) -> Spool:
        """The payload, as far as it is here."""
        return self._arrival.spool

    def wait(self, position: int, timeout: float | None) -> bool:
        """Wait until the spool holds bytes beyond `position`; False where the payload is whole and has none.

        Raises `LinkTimeout`; `BadValue` for a blob that is not of the size that its value said; and what ended the
        blob, or the link, once everything that came before it was read.
        """
        arrival = self._arrival
        if not (arrival.reading and arrival.reaches(position)):
            self._exchange.await_blob(arrival, position, deadline_after(timeout))
        if self._expected_bytes is not None and arrival.begun and arrival.plain_bytes != self._expected_bytes:
            raise BadValue(f"a Blob of {self._expected_bytes} bytes came with {arrival.plain_bytes}")
        if arrival.spool.byte_count > position:
            return True
        if arrival.error is not None:
            raise arrival.error.again()
        return False

    def consumed(self, position: int, *, keep: bool) -> None:
        """Say how far a reader has come; what lies before is forgotten, unless it is to be kept, as far as room is."""
        arrival = self._arrival
        if not keep:
            arrival.spool.forget(position)
        if not arrival.over and position - arrival.consumed >= STEP_BYTES:
            self._exchange.consumed(arrival, position, keep=keep)

    def new_spool(self) -> Spool:
        """Return an empty spool in the link's room, for plain bytes."""
        return Spool(self._exchange.session.arrivals.room)

    def give_up(self) -> None:
        """Want no more of it.  May be called by the collector."""
        self._exchange.drop(self._arrival)
