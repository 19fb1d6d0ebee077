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
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from netstructer.address import Address, parse_address
from netstructer.codec.blob import Blob
from netstructer.conversation import Conversation
from netstructer.credentials import ServerIdentity, find_credentials
from netstructer.dial import Dialler
from netstructer.errors import LinkClosed, Misuse
from netstructer.exchange import Exchange
from netstructer.goals import Sent, Wait, flags_of, goal
from netstructer.incoming import Incoming
from netstructer.keys import Key, fingerprint_of
from netstructer.limits import Limits
from netstructer.protocol.assembly import Message
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.outgoing import Batch, Outgoing
from netstructer.protocol.session import Session
from netstructer.redial import Redialler
from netstructer.sockets import deadline_after
from netstructer.stats import LinkStats
from netstructer.tidings import House, Tidings

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from netstructer.protocol.handshake import Agreement
    from netstructer.transfer import Overwrite, Report, Transfer

__all__ = ["Link", "Sent"]

logger = logging.getLogger("netstructer")
logger.addHandler(logging.NullHandler())


class Link:
    """One end of an encrypted conversation: values in, values out, in order, none lost, none changed.

        with Link(("192.168.1.5", 5000)) as link:
            link.send(["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])
            answer = link.recv(timeout=5)

    `address` is `(host, port)`, `"host:port"` or `"[v6]:port"`.  `key` is a `Key` or its text; without one it is looked
    for as `credentials.find_key` says.  `timeout` bounds connecting and the handshake, in seconds.  `limits` is what
    this end accepts.  `compress=False` switches compression off: do that where one message mixes a secret with
    text that somebody else chooses.  `padding` blurs lengths: `"bucket"` (to a power of two, then Padmé) or `"full"`.
    `hide_clock` sends zero for the time that every Fernet token states in the clear.

    A link outlives its transports: when one is cut, or silent for too long, the link looks for another in the
    background, and whatever was not acknowledged is sent again, once, in order.  Until then `send` keeps values, up to
    `Limits.backlog_bytes`, and `recv` goes on waiting.  After `Limits.resume_seconds` without a transport, or where the
    server was started anew, the link is lost: `SessionLost`, whose `unacknowledged` has the `Sent.id` of the values of
    unknown fate.  `resume=False` ends the link with its transport.

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
        padding: Literal["bucket", "full"] | None = None,
        hide_clock: bool = False,
        server_identity: ServerIdentity | None = None,
        on_new_key: Callable[[Key], object] | None = None,
    ) -> None:
        if padding not in (None, "bucket", "full"):
            raise Misuse("expected padding=None, 'bucket' or 'full'")
        place = parse_address(address)
        credentials = find_credentials(key, place, server_identity=server_identity, on_new_key=on_new_key)
        dialler = Dialler(
            place,
            credentials,
            limits=limits or Limits.DEFAULT,
            padding=padding,
            hide_clock=hide_clock,
            resume=resume,
        )
        transport, session, events = dialler.open(deadline_after(timeout))
        self.user = None
        self.fingerprint, self.server_identity = credentials.key.fingerprint, credentials.identity
        self._hold(transport, session, compress=compress)
        self._told.redialler = Redialler(dialler, self._exchange)
        self._exchange.begin(events)
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

    def _hold(self, transport: socket.socket, session: Session, *, compress: bool) -> None:
        self.id = session.id
        """Names this link in logs and in the registry: 16 hexadecimal digits, the same at both ends."""
        self._compress = compress
        self._session = session
        self._told = Tidings(weakref.ref(self))
        self._exchange = Exchange(transport, session, self._told)

    # --- values -----------------------------------------------------------------------------------------------------

    def send(
        self, value: object, *, compress: bool | None = None, timeout: float | None = None, wait: Wait = "queued"
    ) -> Sent:
        """Send one value.

        `wait` says what to wait for: `"queued"`, sealed and on its way (the default); `"acked"`, the peer has it;
        `"consumed"`, the peer's application has taken it.  `timeout` in seconds; None waits as long as the link lives.
        `compress` overrules the link's setting for this value.

        Raises `UnsendableValue` and `MessageTooBig` before a byte has left; `LinkTimeout`, and then the value was
        cancelled, or not waited for any longer; `LinkClosed` and `LinkLost`.

        A `Blob` in the value is read here, in the calling thread, as fast as the peer's reader takes it; `send` returns
        when all of it is sealed.  Blobs of one value are read by turns: one whose source waits holds the others up, and
        only where that is a blob on its way in does `timeout` end each of its waits.  What a source raises is raised
        here, `SourceFailed` where another link broke, and told to the peer's reader as `SourceFailed`.
        """
        flags = flags_of(wait)
        payloads = self._session.payloads
        compress = self._compress if compress is None else compress
        encoded = payloads.encode(value)
        single = payloads.single(encoded, compress=compress)
        if single is None:
            outgoing = payloads.compose(encoded, compress=compress, flags=flags, source_seconds=timeout)
        else:
            done = self._exchange.submit_now(single, 0) if wait == "queued" else None
            if done is not None:
                return Sent(encoded.plain_bytes, *done)
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
        message = self._exchange.next_message(deadline_after(timeout), max_bytes)
        return self._exchange.read(message, self._blob_of)

    def _blob_of(self, message: Message, place: int) -> Blob:
        return Blob._of(Incoming(self._exchange, message, place, self))

    def send_many(self, values: Iterable[object], *, timeout: float | None = None) -> Sent:
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
                encoded = session.payloads.encode(value)
                if not session.fits(batch, encoded):
                    full, batch = batch, Batch()
                    self._submit_batch(full, deadline, parts)
                if session.fits(batch, encoded):
                    batch.add(encoded)
                else:
                    outgoing = session.payloads.compose(encoded, compress=self._compress, source_seconds=timeout)
                    self._exchange.submit(outgoing, goal(session, outgoing, "queued"), deadline=deadline)
                    parts.append(outgoing)
        finally:
            self._submit_batch(batch, deadline, parts)
        return Sent(sum(part.sealed_bytes for part in parts), sum(part.wire_bytes for part in parts))

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

    # --- files, and what else goes beside the values ----------------------------------------------------------------

    def send_file(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Report | None = None,
        resume: bool = True,
        timeout: float | None = None,
    ) -> Transfer:
        """Send a file, or a directory with all that is in it, to a peer that calls `recv_file`; say what became of it.

        What an earlier try brought over is not sent again; every file is held to its digest at the other end.
        `progress` is called with a `Progress` (`name`, `done`, `total`, `rate`, `wire`).  `timeout` is the longest
        time, in seconds, in which nothing moves.

        Raises `FileChanged` for a file that changes while it is read, `SourceFailed` for one that cannot be read,
        `UnsafeName`, `TransferRefused`, `DigestMismatch`, each when all other files are there; `OSError`,
        `LinkTimeout`, `LinkClosed`, `LinkLost`.
        """
        from netstructer.transfer import offer  # Imported late: most links send no files.

        with self.conversation() as aside:
            return offer(aside, path, resume=resume, progress=progress, timeout=timeout, clock=time.monotonic)

    def recv_file(
        self,
        directory: str | os.PathLike[str],
        *,
        progress: Report | None = None,
        overwrite: Overwrite = "replace",
        resume: bool = True,
        timeout: float | None = None,
    ) -> Transfer:
        """Receive what the peer's `send_file` offers into a directory that exists; say what became of it.

        A file gets its name when it is whole and its digest is right; what was half received is kept under a name of
        its own, and continued when the same file is offered again.  `overwrite` says what becomes of a file that is
        there already: `"replace"`, `"refuse"`, or `"keep"` both.  Raises as `send_file` does.
        """
        from netstructer.transfer import receive

        with self.accept_conversation(timeout=timeout) as aside:
            offered = aside.recv(timeout=timeout)
            how: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "progress": progress, "timeout": timeout}
            return receive(aside, offered, directory, **how, clock=time.monotonic)

    def conversation(self) -> Conversation:
        """Open a conversation: values to and fro beside the link's own, which `recv` does not see."""
        return self._conversation(self._exchange.open_aside(), known=False)

    def accept_conversation(self, *, timeout: float | None = None) -> Conversation:
        """Return the next conversation that the peer has opened, as soon as its first value is there.

        Raises `LinkTimeout` after `timeout` seconds, and what ended the link.
        """
        return self._conversation(self._exchange.accept_aside(deadline_after(timeout)), known=True)

    def _conversation(self, number: int, *, known: bool) -> Conversation:
        return Conversation(self._exchange, number, self._blob_of, compress=self._compress, known=known)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, *, timeout: float | None = 5.0) -> None:
        """Send what is queued, say farewell, and wait for the peer's; after `timeout` seconds end without it.

        May be called twice, and on a link that is lost.  What the peer sent and nobody received is dropped.
        """
        if not self._exchange.close(deadline_after(timeout)):
            logger.debug("= link %s: no farewell in time", self.id)
        self._exchange.abort()

    def abort(self) -> None:
        """End at once, without a farewell: the peer sees a cut.  May be called twice."""
        self._exchange.abort()

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
        whose = "" if self.user is None else f" user {self.user!r}"
        state = "closed" if self.closed else "suspended" if self.suspended else "open"
        return f"<Link {self.id} to {self.peer}{whose} {state}>"
