"""The courier: carries an outbox's rows to the peer, over one session after another.  Floor: FAÇADES.

Law: a row is begun when the one before it is sealed, and trimmed when the peer's application has taken it.  Spec:
docs/durable.md; protocol.md, "Durable messages".

    put                     encode, append (the disk), carry      by whoever sends, as far as it goes without waiting
    the courier's thread    carries on where that stopped; trims; opens a new session where the old one is over

The session may be over because it was lost, or because the server said farewell: the courier opens another and goes on
with the first row that was not taken.  What the peer had before comes to it again then, and is told apart by its row.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from netstructer import errands
from netstructer.backoff import pause_seconds
from netstructer.durable.letter import Letter
from netstructer.durable.outbox import Outbox
from netstructer.errors import (
    BacklogFull,
    IdentityChanged,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    Misuse,
    NetstructerError,
    OutboxDamaged,
    OutboxFull,
    PeerFault,
)
from netstructer.goals import Sent, Wait, goal
from netstructer.limits import Limits
from netstructer.protocol.delivery import Outbound
from netstructer.protocol.outgoing import Outgoing
from netstructer.protocol.payloads import Row
from netstructer.protocol.states import Flag
from netstructer.redial import TRY_SECONDS

if TYPE_CHECKING:
    import socket

    from netstructer.credentials import Credentials
    from netstructer.dial import Dialler
    from netstructer.exchange import Exchange
    from netstructer.link import Link
    from netstructer.protocol.events import Event
    from netstructer.protocol.session import Session

__all__ = ["Courier"]

logger = logging.getLogger("netstructer")

AHEAD_ROWS = 64
"""Rows that are queued and not sealed yet: enough that the socket never waits for the disk."""
AHEAD_BYTES = 1 << 20
"""And their bytes, for the same reason: four rounds of a socket."""
COMMIT_BYTES = 4 << 20
"""What `put_all` appends in one commit: a flush of the disk for so much."""
FORMER_SESSIONS = 4
"""Sessions that are over and may still have something for `recv`: who never receives keeps no more of them."""
FAREWELL_SECONDS = 5.0
"""How long the end of a session that the server has left may take."""


class Courier:
    """An outbox and the sessions that empty it.  Thread-safe.  Raises what opening an `Outbox` does."""

    def __init__(self, path: str | os.PathLike[str], credentials: Credentials, limits: Limits) -> None:
        self._credentials, self._key = credentials, credentials.key
        self.outbox = Outbox(os.fspath(path), self._key, limits=limits)
        self._turn = threading.Lock()
        """Held by whoever queues rows: they go in order."""
        self._changed = threading.Condition()
        """For whoever waits for rows to be taken, or for the courier to end."""
        self._sent = 0
        """The last row that is queued on the session of now."""
        self._under_way: deque[tuple[int, Outgoing]] = deque()
        self._unsealed: deque[Outgoing] = deque()
        self._fruitless = 0
        """Sessions in a row on which no row was taken: the pauses before the next grow with them."""
        self._full: Exchange | None = None
        """A session that takes no further row."""
        self._hasty = 0
        """The last row whose sender waits until the peer has it."""
        self._former: deque[Exchange] = deque(maxlen=FORMER_SESSIONS)
        """Sessions that are over, oldest first, and have not told `recv` so."""
        self._told: Exchange | None = None
        self._ending = self._abandoned = False
        self._error: NetstructerError | None = None
        self._thread: threading.Thread | None = None

    def begin(self, link: weakref.ref[Link], dialler: Dialler) -> None:
        """Start carrying, on the first session of a link."""
        found = link()
        assert found is not None
        self._link, self._dialler = link, dialler
        self._exchange, self._compress = found._exchange, found._compress
        self._payloads = self._exchange.session.payloads
        self._sent = self.outbox.first - 1
        self._thread = threading.Thread(target=self._run, name="netstructer-courier", daemon=True)
        self._thread.start()

    # --- out --------------------------------------------------------------------------------------------------------

    def put(self, value: object, *, compress: bool | None, wait: Wait, deadline: float | None) -> Sent:
        """Keep a value in the outbox, see it off, and wait for what `wait` says; see `Link.send`."""
        if wait not in ("durable", "queued", "acked", "consumed"):
            raise Misuse("expected wait='durable', 'acked' or 'consumed'")
        encoded = self._payloads.encode_row(value)
        row = self._append([self._letter(encoded, compress)], deadline)
        if wait == "acked":
            self._hasty = row
        self._see_off()
        if wait in ("acked", "consumed"):
            self._await(lambda: self._reached(row, wait), deadline)
        return Sent(len(encoded), 0, row)

    def put_all(self, values: Iterable[object], *, deadline: float | None) -> Sent:
        """Keep values in the outbox, many in one commit; see `Link.send_many`."""
        letters: list[bytes] = []
        plain_bytes = held_bytes = 0
        row = self.outbox.last
        try:
            for value in values:
                encoded = self._payloads.encode_row(value)
                letters.append(self._letter(encoded, None))
                plain_bytes, held_bytes = plain_bytes + len(encoded), held_bytes + len(encoded)
                if held_bytes >= COMMIT_BYTES or len(letters) >= AHEAD_ROWS:
                    full, letters, held_bytes = letters, [], 0
                    row = self._append(full, deadline)
                    self._see_off()
        finally:
            if letters:
                row = self._append(letters, deadline)
            self._see_off()
        return Sent(plain_bytes, 0, row)

    def _letter(self, encoded: bytes, compress: bool | None) -> bytes:
        return Letter(encoded, self._compress if compress is None else compress).pack()

    def _append(self, letters: list[bytes], deadline: float | None) -> int:
        """Append, waiting for room where the outbox is full and somebody empties it."""
        while True:
            self._check()
            first = self.outbox.first
            try:
                return self.outbox.append_all(letters)
            except BacklogFull as full:
                if isinstance(full, OutboxFull):
                    raise
                if len(letters) > 1:  # all of them may be more than an empty outbox takes: one by one, then
                    for letter in letters:
                        row = self._append([letter], deadline)
                        self._see_off()
                    return row
                if not self.outbox.takes(letters[0]):
                    raise
                try:
                    self._await(lambda: self.outbox.first > first, deadline)  # noqa: B023 waited for here
                except LinkTimeout:
                    raise full from None

    def _reached(self, row: int, wait: Wait) -> bool:
        """Say whether a row has come as far as its sender wants it."""
        if row < self.outbox.first:
            return True
        session = self._exchange.session
        under_way = [outgoing for number, outgoing in tuple(self._under_way) if number == row]
        return any(goal(session, outgoing, wait)() for outgoing in under_way)

    def _await(self, until: Callable[[], bool], deadline: float | None) -> None:
        with self._changed:
            while not until():
                self._check()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise LinkTimeout("the message is in the outbox, and what was waited for did not come in time")
                self._changed.wait(left)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error.again()
        if self._ending:
            raise LinkClosed("the link is closed")

    def _see_off(self) -> None:
        """Carry what was kept, and kept it is: a fault in the carrying is the courier's to meet, and to tell."""
        with suppress(NetstructerError):
            self._carry()

    def _carry(self) -> None:
        """Queue the rows that are next, as far as they can be queued now."""
        with self._turn:
            exchange = self._exchange
            while not self._ending and self._error is None and self._room(exchange):
                row = self._sent + 1
                letter = Letter.unpack(self.outbox.read(row))
                flags = int(Flag.TAKEN | Flag.ACKNOWLEDGE if row == self._hasty else Flag.TAKEN)
                found = Row(self.outbox.id, row, letter.encoded)
                outgoing = exchange.session.payloads.compose_row(found, compress=letter.compress, flags=flags)
                if not exchange.queue(outgoing):
                    self._full = exchange  # It is over, or the server leaves: the next session carries this row.
                    return
                self._sent = row
                self._under_way.append((row, outgoing))
                self._unsealed.append(outgoing)

    def _room(self, exchange: Exchange) -> bool:
        """Say whether the next row may be queued: no longer one is still being cut, and few enough wait."""
        unsealed = self._unsealed
        while unsealed and unsealed[0].done:
            unsealed.popleft()
        if self._sent >= self.outbox.last or len(unsealed) >= AHEAD_ROWS:
            return False
        chunk_bytes = exchange.session.chunk_bytes
        return not unsealed or (
            unsealed[-1].plain_bytes <= chunk_bytes and sum(outgoing.plain_bytes for outgoing in unsealed) < AHEAD_BYTES
        )

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive(self, take: Callable[[Exchange], Any]) -> Any:
        """Receive from the oldest session that has something, or that has not said how it ended."""
        exchange = self._former[0] if self._former else self._exchange
        try:
            return take(exchange)
        except (LinkLost, LinkClosed, PeerFault):
            if exchange.ended or not exchange.open:
                with self._turn:
                    self._told = exchange
                    if self._former and self._former[0] is exchange:
                        self._former.popleft()
            raise

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending:
                self._serve(self._exchange)
                if not self._ending:
                    self._reopen()
        except NetstructerError as error:
            if not self._ending:
                logger.error("= the outbox %s is carried no further: %s", self.outbox.path, error)
                self._error = error
        except BaseException:
            self._error = LinkClosed("a fault of netstructer's own has ended the courier; the outbox is as it was")
            raise
        finally:
            self._tell()
            if self._abandoned:
                self.outbox.close()

    def _serve(self, exchange: Exchange) -> None:
        """Carry rows and trim those that are taken, until the session is over."""
        outbound = exchange.session.outflow.outbound
        while True:
            self._keep_key()
            self._carry()
            if self._trim(exchange):
                break
            if not exchange.work(partial(self._moved, outbound, (outbound.acknowledged, outbound.taken))):
                break
        if not self._ending:
            self._fruitless += 1
            exchange.leave(time.monotonic() + FAREWELL_SECONDS)
        self._trim(exchange)

    def _moved(self, outbound: Outbound, seen: tuple[int, int]) -> bool:
        """Say, under the link's lock, whether there may be something to do: only looks."""
        if (outbound.acknowledged, outbound.taken) != seen:
            return True
        if self._full is self._exchange or self._sent >= self.outbox.last:
            return False
        try:
            return self._unsealed[0].done
        except IndexError:  # somebody else carries on at this moment
            return True

    def _trim(self, exchange: Exchange) -> bool:
        """Trim what is taken; say whether a row was refused, and has to come again on another session."""
        taken, refused = 0, False
        while self._under_way:
            row, outgoing = self._under_way[0]
            refused = outgoing.error is not None
            if refused or not goal(exchange.session, outgoing, "consumed")():
                break
            self._under_way.popleft()
            taken = row
        if taken:
            self.outbox.trim(taken)
            self._fruitless = 0
        if refused:
            logger.warning("= row %d was refused: %s", row, type(outgoing.error).__name__)
        self._tell()
        return refused

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _reopen(self) -> None:
        """Open another session, however long that takes."""
        for tries in count(self._fruitless):
            with self._changed:
                if self._changed.wait_for(lambda: self._ending, pause_seconds(tries, random.random())):
                    return
            try:
                opened = self._dialler.open(time.monotonic() + TRY_SECONDS)
            except IdentityChanged:
                raise
            except (NetstructerError, OSError) as error:
                level = logging.WARNING if tries == 0 else logging.DEBUG
                logger.log(level, "= the outbox %s waits for its server: %s", self.outbox.path, type(error).__name__)
                continue
            self._change(opened)
            return

    def _change(self, opened: tuple[socket.socket, Session, list[Event]]) -> None:
        """Go on with another session."""
        with self._turn:
            link = self._link()
            if link is None or self._ending:
                self._ending = True
                errands.send_off(*opened)
                return
            if self._told is not self._exchange:
                self._former.append(self._exchange)
            link._begin(self._dialler, *opened)
            self._exchange, self._payloads = link._exchange, link._exchange.session.payloads
            self._under_way.clear()
            self._unsealed.clear()
            self._sent = self.outbox.first - 1

    def _keep_key(self) -> None:
        """Seal the outbox under the key that the server gave in the place of the old one, if anybody keeps that."""
        key = self._credentials.key
        if key != self._key and (key.path is not None or self._credentials.on_new_key is not None):
            self.outbox.change_key(key)
            self._key = key

    # --- the end ----------------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether nothing is carried any more."""
        return self._ending or self._error is not None

    def leave(self, deadline: float | None) -> None:
        """Wait until all rows are taken, or the session is over, or until the deadline; then begin no new one."""
        exchange = self._exchange
        with self._changed:
            while self.outbox.row_count and exchange.open and not exchange.suspended and not self.ending:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
        self.stop()

    def stop(self) -> None:
        """Begin no new row, and no new session: the one that the link has now is the last."""
        with self._turn:
            self._ending = True
        self._tell()

    def abandon(self) -> None:
        """End by itself: nobody holds the link any more.  May be called by the collector."""
        self._abandoned = self._ending = True
        self._tell()

    def end(self) -> None:
        """Wait until the thread is gone, and close the outbox; what is in it stays for the next link.  The session must
        be over.
        """
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(FAREWELL_SECONDS)
            with suppress(Misuse, OutboxDamaged):  # of an outbox that was closed, or failed, before
                self._trim(self._exchange)  # What was taken while the session ended is not sent again.
        self.outbox.close()

    def __repr__(self) -> str:
        return f"<Courier of {self.outbox!r}>"
