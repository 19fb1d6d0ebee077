"""The link: what users hold, at either end of a conversation.  Floor: FAÇADES.  Law: no `if` about the protocol here.

The walk of one value, from here to the socket and back:

    send    payloads.encode, payloads.compose   encode, compress            (protocol/payloads.py)
            exchange.submit                      queue, cut, seal, pack, write  (pump.py, protocol/outflow.py)
    recv    exchange.next_message                read, unpack, open, join    (pump.py, protocol/inflow.py)
            payloads.read                       expand, decode              (protocol/payloads.py)
"""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from netstructer.address import Address, parse_address
from netstructer.beside import Beside
from netstructer.codec.ciphers import CipherName
from netstructer.courier import Courier
from netstructer.credentials import ServerIdentity, find_credentials
from netstructer.dial import Dialler
from netstructer.errors import LinkClosed, Misuse
from netstructer.exchange import Exchange
from netstructer.goals import Sent, Wait, flags_of, goal, sum_of
from netstructer.keys import Key, fingerprint_of
from netstructer.limits import Limits
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.outgoing import Batch, Outgoing
from netstructer.protocol.session import Session
from netstructer.redial import Redialler
from netstructer.sockets import deadline_after
from netstructer.stats import LinkStats
from netstructer.tidings import House, Tidings

if TYPE_CHECKING:
    import socket
    import sqlite3
    from contextlib import AbstractContextManager
    from types import TracebackType

    from netstructer.durable import Outbox
    from netstructer.protocol.events import Event
    from netstructer.protocol.handshake import Agreement
    from netstructer.receipt import Received

__all__ = ["Link"]

logger = logging.getLogger("netstructer")
logger.addHandler(logging.NullHandler())


LAST_WORD_SECONDS = 0.5
"""How long `abort` waits for room in the socket, for its last word: a reader that keeps up makes some in less."""


class Link(Beside):
    """One end of an encrypted conversation: values in, values out, in order, none lost, none changed.

        with Link(("192.168.1.5", 5000)) as link:
            link.send(["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])
            answer = link.recv(timeout=5)

    `address` is `(host, port)`, `"host:port"` or `"[v6]:port"`.  `key` is a `Key` or its text; without one it is looked
    for as `credentials.find_key` says.  `timeout` bounds connecting and the handshake, in seconds.  `limits` is what
    this end accepts.  `compress=False` switches compression off: do that where one message mixes a secret with
    text that somebody else chooses.  `padding` blurs lengths: `"bucket"` (to a power of two, then Padmé) or `"full"`.
    `hide_clock` sends zero for the time that every Fernet token states in the clear.  `cipher="aes-256-gcm"` seals with
    that in the place of Fernet: for networks that are faster than Fernet is, and only with servers that offer it.

    A link outlives its transports: when one is cut, or silent for too long, the link looks for another in the
    background, and whatever was not acknowledged is sent again, once, in order.  Until then `send` keeps values, up to
    `Limits.backlog_bytes`, and `recv` goes on waiting.  After `Limits.resume_seconds` without a transport, or where the
    server was started anew, the link is lost: `SessionLost`, whose `unacknowledged` has the `Sent.id` of the values of
    unknown fate.  `resume=False` ends the link with its transport.

    `durable` is the path of an outbox: then every value that is sent is first committed to that file, and stays there
    until the peer's application has taken it, over any number of sessions and restarts of either process; see
    `transaction` for the other end.  Such a link opens another session by itself where the last one is over, and what
    ended that is told to `recv`, once.  Values without a `Blob` only.

    `server_identity` is which server it must be: a fingerprint (`"ns1:…"`), `"known"` (as the user's file of known
    servers says), or `"tofu"` (the same, and a server that is not in it is trusted this once).  A server that is in it
    is held to it even with None.  `on_new_key(key)` is called when the server gives a key in the place of the old one.

    Raises `MissingKey`, `InvalidKey`, `InvalidAddress`, `Unreachable`, `PortClosed`, `LinkTimeout`, `KeyRefused`,
    `VersionMismatch`, `IdentityChanged`, `UnknownServer`, `NotNetstructer`, `Busy`, `ConnectionCut`.

    Every method may be called from several threads at once.  `with` closes.
    """

    user: str | None
    """At a server with one key for each user: whose key the peer proved.  Otherwise None."""
    fingerprint: str
    """The fingerprint of the key that this link was opened with; the key itself it does not tell."""
    _courier: Courier | None = None
    server_identity: str | None
    """The fingerprint of the identity that the server proved; None where the client asked for no proof."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        key: Key | str | bytes | None = None,
        timeout: float | None = 10.0,
        limits: Limits | None = None,
        compress: bool = True,
        resume: bool = True,
        durable: str | os.PathLike[str] | None = None,
        padding: Literal["bucket", "full"] | None = None,
        hide_clock: bool = False,
        server_identity: ServerIdentity | None = None,
        on_new_key: Callable[[Key], object] | None = None,
        cipher: CipherName = "fernet",
    ) -> None:
        if padding not in (None, "bucket", "full"):
            raise Misuse("expected padding=None, 'bucket' or 'full'")
        place = parse_address(address)
        credentials = find_credentials(
            key, place, server_identity=server_identity, on_new_key=on_new_key, cipher=cipher
        )
        limits = limits or Limits.DEFAULT
        dialler = Dialler(place, credentials, limits=limits, padding=padding, hide_clock=hide_clock, resume=resume)
        courier = None if durable is None else Courier(durable, credentials, limits)
        try:
            opened = dialler.open(deadline_after(timeout))
        except BaseException:
            if courier is not None:
                courier.end()
            raise
        self.user, self._compress = None, compress
        self.fingerprint, self.server_identity = credentials.key.fingerprint, credentials.identity
        self._begin(dialler, *opened)
        if courier is not None:
            courier.begin(weakref.ref(self), dialler)
            self._courier = courier

    def _begin(self, dialler: Dialler, transport: socket.socket, session: Session, events: list[Event]) -> None:
        """Go on with a new session, on its first transport."""
        self._hold(transport, session, compress=self._compress, dialled=dialler.address)
        self._told.redialler = Redialler(dialler, self._exchange)
        self._exchange.begin(events)
        self._exchange.start()
        logger.debug("= link %s to %s open", self.id, self.peer)

    @classmethod
    def _of(
        cls, transport: socket.socket, session: Session, agreement: Agreement, *, compress: bool, house: House
    ) -> Link:
        """Return the server's end of a link, its handshake done."""
        link = cls.__new__(cls)
        link.user, link.fingerprint = agreement.user, fingerprint_of(agreement.key_id)
        link.server_identity = None if agreement.identity is None else identity_fingerprint(agreement.identity)
        link._hold(transport, session, compress=compress)
        link._told.house = house
        return link

    def _hold(
        self, transport: socket.socket, session: Session, *, compress: bool, dialled: Address | None = None
    ) -> None:
        self.id = session.id
        """Names this link in logs and in the registry: 16 hexadecimal digits, the same at both ends."""
        self._compress = compress
        self._session = session
        self._told = Tidings(weakref.ref(self))
        self._exchange = Exchange(transport, session, self._told, dialled)

    # --- values -----------------------------------------------------------------------------------------------------

    def send(
        self, value: object, *, compress: bool | None = None, timeout: float | None = None, wait: Wait = "queued"
    ) -> Sent:
        """Send one value.

        `wait` says what to wait for: `"queued"`, sealed and on its way (the default); `"acked"`, the peer has it;
        `"consumed"`, the peer's application has taken it; `"durable"`, on a link with an outbox, where it is what
        `"queued"` means too: it is on the disk.  `timeout` in seconds; None waits as long as the link lives.
        `compress` overrules the link's setting for this value.

        Raises `UnsendableValue` and `MessageTooBig` before a byte has left; `BacklogFull` and `OutboxFull` where an
        outbox has no room, and then it is not in there; `LinkTimeout`, and then the value was cancelled, or not waited
        for any longer; `LinkClosed` and `LinkLost`.

        A `Blob` in the value is read here, in the calling thread, as fast as the peer's reader takes it; `send` returns
        when all of it is sealed.  Blobs of one value are read by turns: one whose source waits holds the others up, and
        only where that is a blob on its way in does `timeout` end each of its waits.  What a source raises is raised
        here, `SourceFailed` where another link broke, and told to the peer's reader as `SourceFailed`.
        """
        if self._courier is not None:
            return self._courier.put(value, compress=compress, wait=wait, deadline=deadline_after(timeout))
        flags = 0 if wait == "queued" else flags_of(wait)
        payloads = self._session.payloads
        compress = self._compress if compress is None else compress
        encoded = payloads.encode(value)
        single = payloads.single(encoded, compress=compress)
        if single is None:
            outgoing = payloads.compose(encoded, compress=compress, flags=flags, source_seconds=timeout)
        else:
            done = self._exchange.submit_now(single, 0) if wait == "queued" else None
            if done is not None:
                return done
            outgoing = single.outgoing(flags)
        self._exchange.submit(outgoing, goal(self._session, outgoing, wait), deadline=deadline_after(timeout))
        return Sent(outgoing.sealed_bytes, outgoing.wire_bytes, outgoing.ids.start)

    def recv(self, *, timeout: float | None = None, max_bytes: int | None = None) -> Any:
        """Return the next value, equal to what the peer sent, types included.

        Its blobs may still be on their way: they are read while they come, in memory that is bounded whatever their
        size.  Waits `timeout` seconds, for ever with None.  Raises `LinkTimeout`; `MessageTooBig` for a value of more
        than `max_bytes` encoded, blobs apart, which stays and may be asked for again; `BadValue` for what is no value
        here, which is gone, and the link lives; `LinkClosed` once the peer has said farewell and everything was
        received; `LinkLost` after a cut.
        """
        deadline = None if timeout is None else deadline_after(timeout)
        if self._courier is not None:
            return self._courier.receive(partial(self._take, deadline, max_bytes))
        exchange = self._exchange
        return exchange.read(exchange.next_message(deadline, max_bytes), self._own_blob_of)

    def _take(self, deadline: float | None, most_bytes: int | None, exchange: Exchange) -> Any:
        return exchange.read(exchange.next_message(deadline, most_bytes), partial(self._blob_of, exchange))

    def transaction(
        self, database: sqlite3.Connection | None = None, *, timeout: float | None = None
    ) -> AbstractContextManager[Received]:
        """Deal with the next value that the peer has sent durably; it is taken when the block has ended well.

            with link.transaction(database) as message:
                database.execute("INSERT INTO orders VALUES (?)", (message.value,))

        The block is one transaction of `database`, an `sqlite3.Connection`: what it writes is committed together with
        the note that this message was dealt with, and a message of which that is noted comes to no block again.  So
        each has its effects once, whichever process dies when.  A block that raises is rolled back, and the next
        transaction gets the same message.  Without a database each comes at least once, and `message.id` tells whether
        it came before.

        Raises as `recv` does; `InboxGap` where messages before this one never came to this database; `Misuse` for a
        value that was not sent durably.
        """
        from netstructer.receipt import transaction  # Imported late: most links need no database.

        return transaction(self._exchange, database, deadline_after(timeout))

    def send_many(self, values: Iterable[object], *, timeout: float | None = None) -> Sent:
        """Send values in order, small ones several to a record: the cheapest way for many small values.

        Each arrives as a value of its own.  Values of up to 4 KiB encoded are gathered until a record is full; longer
        ones go as `send` would send them.  Raises what `send` raises; the values before the one that failed are sent.
        """
        deadline = deadline_after(timeout)
        if self._courier is not None:
            return self._courier.put_all(values, deadline=deadline)
        session = self._session
        encode, fits = session.payloads.encode, session.fits
        parts: list[Outgoing | Batch] = []
        batch = Batch()
        try:
            for value in values:
                encoded = encode(value)
                if fits(batch, encoded):
                    batch.add(encoded)
                    continue
                full, batch = batch, Batch()
                self._submit_batch(full, deadline, parts)
                if fits(batch, encoded):
                    batch.add(encoded)
                else:
                    outgoing = session.payloads.compose(encoded, compress=self._compress, source_seconds=timeout)
                    self._exchange.submit(outgoing, goal(session, outgoing, "queued"), deadline=deadline)
                    parts.append(outgoing)
        finally:
            self._submit_batch(batch, deadline, parts)
        return sum_of(parts)

    def _submit_batch(self, batch: Batch, deadline: float | None, parts: list[Outgoing | Batch]) -> None:
        if batch.count:
            self._exchange.submit(batch, goal(self._session, batch, "queued"), deadline=deadline)
            parts.append(batch)

    def __iter__(self) -> Iterator[Any]:
        """Receive values until the peer closes the link.  A link that breaks raises, as `recv` does."""
        while True:
            try:
                value = self.recv()
            except LinkClosed:
                return
            yield value

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, *, timeout: float | None = 5.0) -> None:
        """Send what is queued, say farewell, and wait for the peer's; after `timeout` seconds end without it.

        May be called twice, and on a link that is lost.  What the peer sent and nobody received is dropped.  What is in
        an outbox is waited for until it is taken, and stays there where it is not.
        """
        deadline = deadline_after(timeout)
        if self._courier is not None:
            self._courier.leave(deadline)
        if not self._exchange.close(deadline):
            count = self._exchange.undelivered()
            level = logging.WARNING if count else logging.DEBUG
            logger.log(level, "= link %s: no farewell in time, %d values of unknown fate", self.id, count)
        self._abort(0.0)

    def abort(self) -> None:
        """End at once, without a farewell: the peer sees a cut.  May be called twice."""
        self._abort(LAST_WORD_SECONDS)

    def _abort(self, patience_seconds: float) -> None:
        if self._courier is not None:
            self._courier.stop()
        self._exchange.abort(patience_seconds)
        if self._courier is not None:
            self._courier.end()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        exchange = self.__dict__.get("_exchange")
        # One whose peer said farewell needs no close: the keeper sees the rest of the ceremony through.
        if exchange is not None and exchange.open:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            exchange.abandon()
        if self._courier is not None:
            self._courier.abandon()

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def peer(self) -> Address:
        """Where the peer is, or was last: `.host` (normalised IP) and `.port`."""
        return self._exchange.peer

    @property
    def outbox(self) -> Outbox | None:
        """What is kept for the peer, on a link with `durable=`: `first`, `last`, `row_count`, `byte_count`."""
        return None if self._courier is None else self._courier.outbox

    @property
    def suspended(self) -> bool:
        """Whether the link has lost its transport, and waits for another."""
        return self._exchange.suspended

    @property
    def closed(self) -> bool:
        """Whether values can no longer be sent: closed here, farewell heard, or lost.  What has come can still be
        received.
        """
        return not self._exchange.open if self._courier is None else self._courier.ending

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

    def ping(self, *, timeout: float | None = 5.0) -> float:
        """Return the seconds that a ping to the peer and back takes.  Raises `LinkTimeout`, or what ended the link."""
        return self._exchange.ping(deadline_after(timeout))

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
        if not hasattr(self, "user"):  # a traceback with locals may ask while `__init__` still looks for the peer
            return "<Link that is not open>"
        whose = "" if self.user is None else f" user {self.user!r}"
        state = "closed" if self.closed else "suspended" if self.suspended else "open"
        return f"<Link {self.id} to {self.peer}{whose} {state}>"
