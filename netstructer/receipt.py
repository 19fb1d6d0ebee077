"""Receipts: a durable message is taken when what was done because of it is kept, and not before.  Floor: FAÇADES.

Law: nobody else gets the message meanwhile, and none is skipped.  Spec: docs/durable.md; protocol.md, "Durable
messages".

The message stays where it is, first in the link's queue, until the block that deals with it has ended well.  One
transaction at a time on one link: a second one waits, as for the next message.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netstructer.durable.inbox import Inbox
from netstructer.errors import BadCompression, BadValue, LinkTimeout, Misuse
from netstructer.protocol.assembly import Message

if TYPE_CHECKING:
    from netstructer.exchange import Exchange
    from netstructer.protocol.payloads import Payloads, Row

__all__ = ["Received", "transaction"]


class Received:
    """A durable message that is being dealt with.  For one thread."""

    __slots__ = ("_payloads", "_row", "_value")

    def __init__(self, row: Row, payloads: Payloads) -> None:
        self._row, self._payloads = row, payloads
        self._value: tuple[object] | None = None

    @property
    def value(self) -> object:
        """What was sent.  Raises `BadValue` where it is no value here; a block that goes on and ends well has then
        decided to do without it.
        """
        if self._value is None:
            self._value = (self._payloads.value(self._row),)
        return self._value[0]

    @property
    def id(self) -> tuple[str, int]:
        """The id of the outbox, 32 hexadecimal digits, and the row there: the same, however often it comes."""
        return self._row.outbox.hex(), self._row.number

    def __repr__(self) -> str:
        return f"<Received row {self._row.number} of {self._row.outbox.hex()}>"


@contextmanager
def transaction(exchange: Exchange, database: sqlite3.Connection | None, deadline: float | None) -> Iterator[Received]:
    """Give the next durable message whose effects are not in `database` yet; see `Link.transaction`."""
    inbox = None if database is None else Inbox(database)
    if exchange.dealer == threading.get_ident():
        raise Misuse("a transaction is under way on this link in this thread: end that one first")
    seconds = -1 if deadline is None else max(0.0, deadline - time.monotonic())
    if not exchange.receipts.acquire(timeout=seconds):
        raise LinkTimeout("another transaction is under way on this link")
    try:
        exchange.dealer = threading.get_ident()
        done = False
        while not done:
            message = exchange.first_message(deadline)
            row = _row_of(exchange, message)
            received = Received(row, exchange.session.payloads)
            if inbox is None:
                done = True
                yield received
            else:
                with inbox.effects(row.outbox, row.number) as fresh:
                    if fresh:
                        done = True
                        yield received
            exchange.take_first(message)
    finally:
        exchange.dealer = None
        exchange.leave_first()
        exchange.receipts.release()


def _row_of(exchange: Exchange, message: object) -> Row:
    if not (isinstance(message, Message) and message.durable):
        raise Misuse("the next value was not sent durably, and there is no promise about it: take it with recv()")
    try:
        return exchange.session.payloads.row(message)
    except (BadCompression, BadValue) as error:
        exchange.fail(error)
        raise
