"""Receiving: messages that wait, taken one by one and made values of.  Floor: FAÇADES.

Law: a message is taken at the moment at which its value is returned.  So a `recv` that is cancelled, wherever it waits,
loses none: the next one gets it.

The value of a small message is made at once.  A large one is made in the loop's executor, while the message stays where
it is; should its receiver be cancelled meanwhile, the work goes on, and the next receiver gets what came of it.
Receivers have their turns in the order in which they asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from netstructer.aio.pump import Pump
from netstructer.aio.waiting import Turn
from netstructer.codec.blob import Blob
from netstructer.errors import BadCompression, BadValue, LinkClosed, LinkTimeout, MessageTooBig
from netstructer.protocol.asides import CALLS_FROM
from netstructer.protocol.assembly import Message, Whole

__all__ = ["Receiving"]

APART_BYTES = 64 << 10
"""Plain bytes from which a value is made apart: 0.2 ms to 0.8 ms of decoding, ten times what the way there costs."""

BlobOf = Callable[[Message, int], Blob]
Outcome = tuple[object, BaseException | None]


class Receiving:
    """The messages of a link that belong to no conversation, or those of one conversation.  Single owner: the loop."""

    def __init__(self, pump: Pump, conversation: int = 0) -> None:
        self._pump, self._session = pump, pump.session
        self._conversation = conversation
        self._waits_alone = conversation if conversation > CALLS_FROM else 0
        """The number of a call: there may be thousands, and each is woken by what is said in it alone."""
        self._turn = Turn(pump.loop)
        self.charge = 0
        """The credit that the last message held."""
        self._apart: tuple[Message | Whole, asyncio.Future[Outcome]] | None = None
        """The message that is made a value of apart, and what comes of it."""

    async def next(self, deadline: float | None, most_bytes: int | None, blob_of: BlobOf) -> object:
        """Return the value of the next message, waiting for it if need be.

        Raises `LinkTimeout`, `MessageTooBig` for one over `most_bytes` (which stays where it is), `BadValue` and
        `BadCompression`, what ended the session.
        """
        turn = self._turn
        if turn.taken:
            if not await turn.take(deadline):
                raise LinkTimeout("no message came in time")
        else:
            turn.taken = True
        try:
            message = self._first()
            if message is None:
                message = await self._wait(deadline)
            found = message.total_plain_bytes()
            if most_bytes is not None and found > most_bytes:
                text = f"the next message has {found} bytes, over the {most_bytes} allowed here"
                raise MessageTooBig(text, limit=most_bytes, found=found)
            if found >= APART_BYTES:
                return await self._read_apart(message, blob_of)
            self._take()
            return self._read(message, blob_of)
        finally:
            turn.leave()

    def take_at_once(self) -> Message | Whole:
        """Take the next message, which is here."""
        message = self._first()
        assert message is not None
        self._take()
        return message

    async def value_of(self, message: Message | Whole, blob_of: BlobOf) -> object:
        """Return the value of a message that was taken.  Raises `BadValue` and `BadCompression`."""
        if message.total_plain_bytes() < APART_BYTES:
            return self._read(message, blob_of)
        value, error = await self._start(message, blob_of)
        if error is not None:
            self._spoilt(message, error)
            raise error
        return value

    def at_once(self, most_bytes: int, blob_of: BlobOf) -> object:
        """Return the value of the next message, which is here.  Raises `BadValue` and `BadCompression`; the former for
        one that is longer than what is expected there, too, which is not looked at.
        """
        message = self.take_at_once()
        if message.total_plain_bytes() > most_bytes:
            self._session.forget(message)
            raise BadValue(f"expected a value of at most {most_bytes} bytes")
        return self._read(message, blob_of)

    def _first(self) -> Message | Whole | None:
        if self._conversation:
            return self._pump.asides.first(self._conversation)
        inbox = self._pump.inbox
        return inbox[0] if inbox else None

    async def _wait(self, deadline: float | None) -> Message | Whole:
        pump = self._pump

        def come() -> bool:
            return self._first() is not None or pump.closing or pump.left_by_peer or pump.ended or self._over()

        if not await pump.waiters.until(come, deadline, self._waits_alone):
            raise LinkTimeout("no message came in time")
        message = self._first()
        if message is None:
            raise LinkClosed("the conversation is over") if self._conversation and self._over() else pump.over()
        return message

    def _over(self) -> bool:
        """Say whether no message comes any more: the conversation is over, or the server leaves."""
        if self._conversation:
            return self._pump.asides.over(self._conversation)
        return self._pump.draining and not self._session.receiving

    def _take(self) -> None:
        """Take out the first message."""
        pump = self._pump
        message = pump.asides.next(self._conversation) if self._conversation else pump.inbox.popleft()
        self.charge = message.charge
        self._session.take(message)
        if self._session.has_output(time.monotonic()):
            pump.flush()

    def _read(self, message: Message | Whole, blob_of: BlobOf) -> object:
        try:
            return self._session.payloads.read(message, blob_of)
        except (BadCompression, BadValue) as error:
            self._spoilt(message, error)
            raise

    async def _read_apart(self, message: Message | Whole, blob_of: BlobOf) -> object:
        if self._apart is None or self._apart[0] is not message:
            self._apart = message, self._start(message, blob_of)
        # What is done in the executor cannot be stopped, nor done twice: the message's bytes are gone after it.
        value, error = await asyncio.shield(self._apart[1])
        self._apart = None
        if self._first() is not message:
            raise self._pump.over()  # The link was closed meanwhile, and what nobody had received dropped.
        self._take()
        if error is not None:
            self._spoilt(message, error)
            raise error
        return value

    def _start(self, message: Message | Whole, blob_of: BlobOf) -> asyncio.Future[Outcome]:
        """Begin to make the value of a message apart."""
        payloads = self._session.payloads
        # The session is the loop's: what belongs to it is fetched here, and not when the decoder asks for it.
        blobs = [blob_of(message, place) for place in range(message.blob_count)] if isinstance(message, Message) else []

        def read() -> Outcome:
            try:
                return payloads.read(message, lambda _, place: blobs[place]), None
            except BaseException as error:
                return None, error

        return self._pump.loop.run_in_executor(None, read)

    def _spoilt(self, message: Message | Whole, error: BaseException) -> None:
        """Take in that a message is no value here: that ends the session, or this message alone."""
        if isinstance(error, BadCompression):
            self._pump.handle(self._session.fail(error))
        elif isinstance(error, BadValue):
            self._session.forget(message)
            self._pump.flush()
