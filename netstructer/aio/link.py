"""The link, awaited: what users hold, at either end of a conversation.  Floor: FAÇADES.

Law: the same names, order and meaning as the blocking `Link`; only `await` differs (tests/test_twins.py).

A link belongs to the loop in which it was opened, and to that loop's thread.  What only computes and is short is done
in the loop; a value of 64 KiB or more is encoded, compressed, expanded and decoded in the loop's executor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from netstructer.address import Address
from netstructer.aio.awaitables import Gone, Values
from netstructer.aio.beside import Beside
from netstructer.aio.dial import Dialler
from netstructer.aio.exchange import Exchange
from netstructer.aio.redial import House, Redialler, Tidings
from netstructer.aio.weighing import is_heavy
from netstructer.errors import Misuse
from netstructer.goals import Sent, Wait, flags_of, goal, sum_of
from netstructer.keys import fingerprint_of
from netstructer.limits import Limits
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.outgoing import Batch, Outgoing, Single
from netstructer.protocol.session import Session
from netstructer.sockets import deadline_after
from netstructer.stats import LinkStats

if TYPE_CHECKING:
    from types import TracebackType

    from netstructer.protocol.handshake import Agreement

__all__ = ["Link"]

logger = logging.getLogger("netstructer")
logger.addHandler(logging.NullHandler())


class Link(Beside):
    """One end of an encrypted conversation: values in, values out, in order, none lost, none changed.

        async with aio.connect(("192.168.1.5", 5000)) as link:
            await link.send(["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])
            answer = await link.recv(timeout=5)

    `connect` and `Server.accept` give links; there is no other way to one.  Every method may be called from several
    tasks at once, in the loop in which the link was opened.  `async with` closes.

    Cancelling is safe anywhere: a cancelled `recv` has taken no message, and of a cancelled `send` the peer gets all or
    nothing.
    """

    user: str | None
    """At a server with one key for each user: whose key the peer proved.  Otherwise None."""
    fingerprint: str
    """The fingerprint of the key that this link was opened with; the key itself it does not tell."""
    server_identity: str | None
    """The fingerprint of the identity that the server proved; None where the client asked for no proof."""

    def __init__(self) -> None:
        raise Misuse("use `await aio.connect(address)`: what opens a link has to be awaited")

    @classmethod
    def _dialled(cls, exchange: Exchange, dialler: Dialler, *, compress: bool) -> Link:
        """Return the client's end of a link."""
        link = cls.__new__(cls)
        credentials = dialler.credentials
        link.user = None
        link.fingerprint, link.server_identity = credentials.key.fingerprint, credentials.identity
        link._hold(exchange, compress=compress)
        link._told.redialler = Redialler(dialler, exchange)
        exchange.pump.listen(link._told)
        logger.debug("= link %s to %s open", link.id, link.peer)
        return link

    @classmethod
    def _of(cls, exchange: Exchange, agreement: Agreement, *, compress: bool, house: House) -> Link:
        """Return the server's end of a link, its handshake done."""
        link = cls.__new__(cls)
        link.user, link.fingerprint = agreement.user, fingerprint_of(agreement.key_id)
        link.server_identity = None if agreement.identity is None else identity_fingerprint(agreement.identity)
        link._hold(exchange, compress=compress)
        link._told.house = house
        exchange.pump.listen(link._told)
        return link

    def _hold(self, exchange: Exchange, *, compress: bool) -> None:
        self.id = exchange.session.id
        """Names this link in logs and in the registry: 16 hexadecimal digits, the same at both ends."""
        self._compress = compress
        self._session: Session = exchange.session
        self._exchange = exchange
        self._told = Tidings(weakref.ref(self))

    # --- values -----------------------------------------------------------------------------------------------------

    async def send(
        self, value: object, *, compress: bool | None = None, timeout: float | None = None, wait: Wait = "queued"
    ) -> Sent:
        """Send one value.

        `wait` says what to wait for: `"queued"`, sealed and on its way (the default); `"acked"`, the peer has it;
        `"consumed"`, the peer's application has taken it.  `timeout` in seconds; None waits as long as the link lives.
        `compress` overrules the link's setting for this value.

        Raises `UnsendableValue` and `MessageTooBig` before a byte has left; `LinkTimeout`, and then the value was
        cancelled, or not waited for any longer; `LinkClosed` and `LinkLost`.

        A `Blob` in the value is read in a thread, as fast as the peer's reader takes it; `send` returns when all of it
        is sealed.  What a source raises is raised here, `SourceFailed` where another link broke, and told to the peer's
        reader as `SourceFailed`.

        Cancelled, it takes the value back: the peer's application gets all of it, if that was sent, or nothing.  A
        value whose blobs are not sent then is there without them: who reads one gets `MessageCancelled`.
        """
        flags = flags_of(wait)
        await self._exchange.turn()
        compress = self._compress if compress is None else compress
        packed = await self._packed(value, compress, flags, timeout)
        if isinstance(packed, Single):
            done = self._exchange.submit_now(packed, 0) if wait == "queued" else None
            if done is not None:
                return done
            packed = packed.outgoing(flags)
        await self._exchange.submit(packed, goal(self._session, packed, wait), deadline=deadline_after(timeout))
        return Sent(packed.sealed_bytes, packed.wire_bytes, packed.ids.start)

    async def _packed(self, value: object, compress: bool, flags: int, timeout: float | None) -> Single | Outgoing:
        if not is_heavy(value):
            return self._pack(value, compress, flags, timeout, ahead=False)
        loop = self._exchange.pump.loop
        return await loop.run_in_executor(None, lambda: self._pack(value, compress, flags, timeout, ahead=True))

    def _pack(
        self, value: object, compress: bool, flags: int, timeout: float | None, *, ahead: bool
    ) -> Single | Outgoing:
        """Encode a value and make a message of it, compressed `ahead` of its sealing, or with it."""
        payloads = self._session.payloads
        encoded = payloads.encode(value)
        single = payloads.single(encoded, compress=compress)
        if single is not None:
            return single
        outgoing = payloads.compose(encoded, compress=compress, flags=flags, source_seconds=timeout)
        if ahead:
            outgoing.prepare()
        return outgoing

    async def recv(self, *, timeout: float | None = None, max_bytes: int | None = None) -> Any:
        """Return the next value, equal to what the peer sent, types included.

        Its blobs may still be on their way: they are read while they come, in memory that is bounded whatever their
        size.  Waits `timeout` seconds, for ever with None.  Raises `LinkTimeout`; `MessageTooBig` for a value of more
        than `max_bytes` encoded, blobs apart, which stays and may be asked for again; `BadValue` for what is no value
        here, which is gone, and the link lives; `LinkClosed` once the peer has said farewell and everything was
        received; `LinkLost` after a cut.

        Cancelled, it has taken nothing: the next `recv` gets the value.
        """
        await self._exchange.turn()
        return await self._exchange.inbox.next(deadline_after(timeout), max_bytes, self._blob_of)

    async def send_many(self, values: Iterable[object], *, timeout: float | None = None) -> Sent:
        """Send values in order, small ones several to a record: the cheapest way for many small values.

        Each arrives as a value of its own.  Values of up to 4 KiB encoded are gathered until a record is full; longer
        ones go as `send` would send them.  Raises what `send` raises; the values before the one that failed are sent.
        """
        deadline = deadline_after(timeout)
        session = self._session
        parts: list[Outgoing | Batch] = []
        batch = Batch()
        try:
            for value in values:
                encoded = None if is_heavy(value) else session.payloads.encode(value)
                if encoded is None or not session.fits(batch, encoded):
                    full, batch = batch, Batch()
                    await self._submit_batch(full, deadline, parts)
                if encoded is not None and session.fits(batch, encoded):
                    batch.add(encoded)
                else:
                    if encoded is None:
                        packed = await self._packed(value, self._compress, 0, timeout)
                        outgoing = packed.outgoing(0) if isinstance(packed, Single) else packed
                    else:
                        outgoing = session.payloads.compose(encoded, compress=self._compress, source_seconds=timeout)
                    await self._exchange.submit(outgoing, goal(session, outgoing, "queued"), deadline=deadline)
                    parts.append(outgoing)
        except asyncio.CancelledError:
            batch = Batch()
            raise
        finally:
            await self._submit_batch(batch, deadline, parts)
        return sum_of(parts)

    async def _submit_batch(self, batch: Batch, deadline: float | None, parts: list[Outgoing | Batch]) -> None:
        if batch.count:
            await self._exchange.turn()
            await self._exchange.submit(batch, goal(self._session, batch, "queued"), deadline=deadline)
            parts.append(batch)

    def __aiter__(self) -> AsyncIterator[Any]:
        """Receive values until the peer closes the link.  A link that breaks raises, as `recv` does."""
        return Values(self)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def close(self, *, timeout: float | None = 5.0) -> None:
        """Send what is queued, say farewell, and wait for the peer's; after `timeout` seconds end without it.

        May be called twice, and on a link that is lost.  What the peer sent and nobody received is dropped.
        """
        self._exchange.check_loop()
        deadline = deadline_after(timeout)
        try:
            if not await self._exchange.close(deadline):
                count = len(self._session.outflow.unacknowledged())
                level = logging.WARNING if count else logging.DEBUG
                logger.log(level, "= link %s: no farewell in time, %d values of unknown fate", self.id, count)
        finally:
            self._exchange.abort()
        await self._exchange.gone(deadline)

    def abort(self) -> Awaitable[None]:
        """End at once, without a farewell: the peer sees a cut.  May be called twice.

        It has happened when this returns; await it to see the transport closed, too.
        """
        self._exchange.abort()
        return Gone(self._exchange)

    async def __aenter__(self) -> Link:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        exchange = self.__dict__.get("_exchange")
        # One whose peer said farewell needs no close: the loop sees the rest of the ceremony through.
        if exchange is not None and exchange.open:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            with contextlib.suppress(RuntimeError):
                exchange.pump.loop.call_soon_threadsafe(exchange.abort)

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def peer(self) -> Address:
        """Where the peer is, or was last: `.host` (normalised IP) and `.port`."""
        return self._exchange.peer

    @property
    def suspended(self) -> bool:
        """Whether the link has lost its transport, and waits for another."""
        return self._exchange.suspended

    @property
    def closed(self) -> bool:
        """Whether values can no longer be sent: closed here, farewell heard, or lost.  What has come can still be
        received.
        """
        return not self._exchange.open

    @property
    def stats(self) -> LinkStats:
        """What has been moved so far, both ways."""
        session, traffic = self._session, self._session.traffic
        return LinkStats(
            messages_sent=traffic.messages_sent,
            messages_received=traffic.messages_received,
            plain_sent=traffic.plain_sent,
            plain_received=traffic.plain_received,
            wire_sent=traffic.wire_sent,
            wire_received=traffic.wire_received,
            rtt_seconds=session.liveness.rtt_seconds,
            resumes=session.resumes,
        )

    async def ping(self, *, timeout: float | None = 5.0) -> float:
        """Return the seconds that a ping to the peer and back takes.  Raises `LinkTimeout`, or what ended the link."""
        return await self._exchange.ping(deadline_after(timeout))

    @property
    def limits(self) -> Limits:
        """What this end accepts."""
        return self._session.limits

    @property
    def peer_limits(self) -> Limits:
        """What the peer said that it accepts."""
        return self._session.peer_limits

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Misuse("a link cannot be copied or pickled: it is one end of one socket")

    def __repr__(self) -> str:
        whose = "" if self.user is None else f" user {self.user!r}"
        state = "closed" if self.closed else "suspended" if self.suspended else "open"
        return f"<Link {self.id} to {self.peer}{whose} {state}>"
