"""Conversations: values beside the application's own, on the same link.  Floor: FAÇADES.  Law: `recv` never sees them.

A file transfer is a dialogue: an offer, an answer, the bytes, a closing word.  Each dialogue has its own numbered lane
in both directions, so any number of them, and the values that the application sends and receives meanwhile, share one
link without taking each other's messages.

    with link.conversation() as aside:                      with peer.accept_conversation() as aside:
        aside.send({"what": "time"})                            aside.recv()
        aside.recv()                                            aside.send(12)

Both ends may send at any time.  Who is done closes; the other end's `recv` raises `LinkClosed` after what was sent
before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, MessageCancelled
from netstructer.protocol.states import CancelCode
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.codec.blob import Blob
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message
    from netstructer.protocol.outgoing import Outgoing

__all__ = ["Conversation"]

CLOSE_SECONDS = 5.0
"""How long the word that a conversation is over may take to leave."""


class Conversation:
    """One dialogue on a link.  Every method may be called from several threads at once."""

    def __init__(
        self, exchange: Exchange, number: int, blob_of: Callable[[Message, int], Blob], *, compress: bool, known: bool
    ) -> None:
        self._exchange = exchange
        self._blob_of = blob_of
        self._compress = compress
        self._closed = self._left_by_peer = False
        self._last_words: list[Outgoing] = []
        """What tells the other end that this one is over, from when it knows of it; made before the collector comes."""
        self._finalizer = weakref.finalize(self, exchange.drop_aside, number, self._last_words)
        self._finalizer.atexit = False
        self.number = number
        """Names it on this link: odd where the client opened it, even where the server did."""
        if known:
            self._become_known()

    def send(self, value: object, *, timeout: float | None = None) -> None:
        """Send one value; return when it and its blobs have been sealed.

        `timeout` is the longest time, in seconds, in which not one record of it may go.  Raises as `Link.send` does,
        and `MessageCancelled` where the other end wants no more of a blob.  A blob that arrives is waited for as long.
        """
        if self._closed or self._left_by_peer:
            raise LinkClosed("the conversation is over")
        if not self._last_words:
            self._become_known()
        self._submit(self._compose((value,), timeout), timeout)

    def recv(self, *, timeout: float | None = None) -> Any:
        """Return the next value of the other end; its blobs may still be coming.

        Raises `LinkTimeout`, `BadValue`, and `LinkClosed` where the other end has closed the conversation or the link.
        """
        if self._closed or self._left_by_peer:
            raise LinkClosed("the conversation is over")
        message = self._exchange.next_aside(self.number, deadline_after(timeout))
        match self._exchange.read(message, self._blob_of):
            case (value,):
                return value
            case ():
                self._left_by_peer = True
                self._exchange.close_aside(self.number)
                raise LinkClosed("the other end has closed the conversation")
        self._exchange.forget(message)
        raise BadValue("expected a value of a conversation, in a tuple of its own")

    def wire_bytes(self) -> int:
        """Return the bytes that the link has moved so far, both ways, as on the wire."""
        traffic = self._exchange.session.traffic
        return traffic.wire_sent + traffic.wire_received

    def close(self) -> None:
        """Say that this end is done, and forget what has not been read.  May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._finalizer.detach()
        if self._last_words and not self._left_by_peer:
            try:
                self._submit(self._last_words[0], CLOSE_SECONDS)
            except (LinkClosed, LinkLost, LinkTimeout, MessageCancelled):
                pass  # There is nobody to tell.
        self._exchange.close_aside(self.number)

    def _become_known(self) -> None:
        self._last_words.append(self._compose(()))

    def _submit(self, outgoing: Outgoing, timeout: float | None) -> None:
        self._exchange.submit(outgoing, lambda: outgoing.done, idle_seconds=timeout)
        if outgoing.skipped_blobs:
            raise MessageCancelled("the other end wants no more of a blob", code=CancelCode.ABANDONED)

    def _compose(self, body: tuple[object, ...], timeout: float | None = None) -> Outgoing:
        payloads = self._exchange.session.payloads
        outgoing = payloads.compose(payloads.encode(body), compress=self._compress, source_seconds=timeout)
        outgoing.conversation = self.number
        return outgoing

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Conversation {self.number} of link {self._exchange.session.id}>"
