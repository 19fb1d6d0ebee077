"""The server, awaited: listens, and keeps its links in a registry by peer IP.  Floor: FAÇADES.

Law: nothing that one link does stops it; the same names, order and meaning as the blocking `Server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NoReturn

from netstructer import descriptors, sockets
from netstructer.address import Address, parse_address
from netstructer.aio.announcing import Broadcast, announce
from netstructer.aio.door import Door
from netstructer.aio.exchange import Exchange
from netstructer.aio.leaving import clear_links, close_links, drain_links
from netstructer.aio.link import Link
from netstructer.aio.pipe import peer_of
from netstructer.aio.reception import Handler, Reception
from netstructer.aio.signals import terminable
from netstructer.bans import Ban, Bans
from netstructer.credentials import find_identity, find_key
from netstructer.dial import no_clock
from netstructer.errors import Misuse, SessionLost
from netstructer.identity import Identity
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.leaving import CLEAR_SECONDS
from netstructer.limits import Limits
from netstructer.occupancy import Occupancy
from netstructer.porter import Porter
from netstructer.protocol.events import Event
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.registry import Place, Registry
from netstructer.rotation import Rotation
from netstructer.stats import ServerStats
from netstructer.stranger import Ceremony

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Server"]

logger = logging.getLogger("netstructer")


class Server:
    """Accepts links in the background and keeps them.

        async with aio.Server(("127.0.0.1", 5000)) as server:
            link = await server.accept(timeout=5)
            print(await link.recv())

    The options are those of the blocking `Server`; `handler(link)` is a coroutine function, called for each new link in
    a task of its own.  A server belongs to the loop in which it was started, and to that loop's thread.

    Raises `InvalidKey`, `InvalidIdentity`, `InvalidAddress`, `InvalidBan` here, `CannotListen` from `start`.
    """

    def __init__(
        self,
        address: tuple[str, int] | str = ("127.0.0.1", 0),
        *,
        key: Key | str | bytes | Mapping[str, Key | str | bytes] | KeyRing | None = None,
        limits: Limits | None = None,
        max_links: int = 1000,
        handler: Handler | None = None,
        compress: bool = True,
        padding: Literal["bucket", "full"] | None = None,
        hide_clock: bool = False,
        identity: Identity | str | os.PathLike[str] | bool | None = None,
        stealth: bool = False,
        bans: str | os.PathLike[str] | None = None,
        pin_address: bool = False,
    ) -> None:
        if padding not in (None, "bucket", "full"):
            raise Misuse("expected padding=None, 'bucket' or 'full'")
        if max_links < 1:
            raise Misuse("expected max_links of at least 1")
        self._address = parse_address(address)
        self.keys: KeyRing = find_key(key, role="server")
        """The keys that open links here: `add`, `retire`, `uses`, while the server runs."""
        self.keys.set_clock(time.time)
        self.identity: Identity | None = find_identity(identity)
        """What this server proves to clients that ask which server it is; they pin `identity.fingerprint`."""
        self._limits = limits or Limits.DEFAULT
        self._reception = Reception(handler)
        self._pin_address = pin_address
        self._compress, self._padding, self._hide_clock, self._stealth = compress, padding, hide_clock, stealth
        self._door: Door | None = None
        self._accepted = 0
        self._live: weakref.WeakValueDictionary[str, Link] = weakref.WeakValueDictionary()
        self._sessions: weakref.WeakValueDictionary[bytes, Link] = weakref.WeakValueDictionary()
        self._rotation = Rotation(self.keys, self._live)
        self._occupancy = Occupancy(self._limits, max_links, self._limits.sources())
        self.bans = Bans(bans, wall=time.time, on_add=self._close_banned)
        """Whom this server does not talk to: `add`, `remove`, `list`, while the server runs."""
        self.registry: Registry[Link] = Registry(clear_links)
        """The open links, by peer IP."""

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> Server:
        """Bind, listen, and accept in the background; return the server.  Raises `CannotListen`."""
        if self._door is not None or self._reception.closed:
            raise Misuse("the server was started before")
        ceremony = Ceremony(
            ring=self.keys,
            limits=self._limits,
            porter=Porter(self._limits, self.bans, self._occupancy.full),
            make_room=self._make_room,
            instance=os.urandom(16),
            identity=self.identity.pair if self.identity is not None else None,
            stealth=self._stealth,
            padding=self._padding,
            clock=time.monotonic,
            wall=no_clock if self._hide_clock else time.time,
            draw=os.urandom,
        )
        descriptors.allow(self._occupancy.most, self._limits.half_open)
        self._door = door = Door(ceremony, welcome=self._welcome, resume=self._resume)
        try:
            # A name may have to be looked up.
            loop = asyncio.get_running_loop()
            listener = await loop.run_in_executor(None, sockets.listening_socket, self._address)
            bound = Address(*listener.getsockname()[:2])
            self._reception.open()
            door.open(listener)
        except BaseException:
            self._door = None
            raise
        self._address = bound
        logger.info("= server at %s", self._address)
        return self

    async def serve_forever(self) -> None:
        """Start, if that was not done, and stay until `close` is called from another task, or SIGTERM comes, or it is
        cancelled, as by Ctrl-C; then close.
        """
        if self._door is None:
            await self.start()
        try:
            with terminable(self._reception.close):
                await self._reception.stay()
        finally:
            await self.close()

    async def close(self, *, drain: float = 5.0) -> None:
        """Stop accepting, let what is under way finish, say farewell on every link, all in at most `drain` seconds.

        Clients are told that the server leaves.  Handlers get what has come, and then `LinkClosed` where they ask for
        more, so that they can answer what they have.  What is not done in time is cancelled and cut off, and logged.
        Links that were popped are their holders' own.  May be called twice.
        """
        deadline = time.monotonic() + drain
        self._reception.close()
        door = self._door
        if door is None:
            return
        await door.close()
        links = self.registry.close()
        try:
            if not await drain_links(links, self._reception, deadline):
                logger.info("= server at %s: not all handlers were done in time", self._address)
            await close_links(links, deadline)
        finally:
            for link in links:
                link.abort()
            await self._reception.cancel_handlers()

    async def __aenter__(self) -> Server:
        return self if self._door is not None else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def address(self) -> Address:
        """Where the server listens: host, and the port as bound once it has started."""
        return self._address

    @property
    def stats(self) -> ServerStats:
        """What the server has seen since it started."""
        porter = self._door.porter if self._door is not None else None
        return ServerStats(
            links_accepted=self._accepted,
            handshakes_refused=porter.refused if porter else 0,
            strangers_dropped=porter.dropped if porter else 0,
            key_refused=porter.key_refused if porter else 0,
            banned=porter.banned if porter else 0,
            penalised=porter.penalised if porter else 0,
        )

    # --- new links --------------------------------------------------------------------------------------------------

    async def accept(self, timeout: float | None = None) -> Link:
        """Return the next new link.  Raises `LinkTimeout` after `timeout` seconds, `Misuse` once the server is closed.

        Where there is a handler, new links go to it and not here.
        """
        return await self._reception.accept(timeout)

    def handler(self, function: Handler) -> Handler:
        """Register `function(link)`: it is called for each new link in a task of its own, and the link closed after
        it; those that came before and wait for `accept` included.

        What it raises is logged, closes that link, and never stops the server.
        """
        self._reception.handle_with(function)
        return function

    def _welcome(
        self, transport: asyncio.Transport, session: Session, agreement: Agreement, events: list[Event]
    ) -> None:
        """Make a link of what came through the door."""
        exchange = Exchange(session)
        link = Link._of(exchange, agreement, compress=self._compress, house=self)
        # What has come already is taken in before anybody can find the link and receive from it.
        self._sessions[session.session_id] = link
        exchange.begin(transport, events)
        self._live[link.id] = link
        self._occupancy.enter(link.id, link.peer.host, link.user)
        self._accepted += 1
        self.registry.add(link)
        self._rotation.opened(link, agreement)
        if exchange.ended:
            self.link_ended(link)  # It ended before it was entered.
        elif link.suspended:
            self.link_suspended(link)
        if self._is_banned(link):
            link.abort()
        logger.debug("= link %s from %s open", link.id, link.peer)
        self._reception.welcome(link)

    def _resume(self, transport: asyncio.Transport, session: Session, agreement: Agreement, session_id: bytes) -> None:
        """Give a link another transport.  Raises `SessionLost` where there is none such, or it is not that client's."""
        link = self._sessions.get(session_id)
        if link is None:
            raise SessionLost("there is no such session")
        if self._pin_address and peer_of(transport).host != link.peer.host:
            raise SessionLost("the session is pinned to another address")
        link._exchange.adopt(transport, session)
        self._rotation.opened(link, agreement)
        if self._is_banned(link):
            link.abort()  # Since the door asked, or where it comes from now.

    def _make_room(self, ip: str, user: str | None) -> bool:
        """Let the first suspended link go whose place is the one that a client lacks who is here; say whether there is
        room now.
        """
        for link in self.registry.suspended():
            if not self._occupancy.full(ip, user, without=link.id):
                link._exchange.fail(SessionLost("the session made way for a client that was there"))
                break
        return not self._occupancy.full(ip, user)

    def link_suspended(self, link: Link) -> None:
        """Keep a link apart that has lost its transport."""
        self.registry.suspend(link)

    def link_resumed(self, link: Link) -> None:
        """Take a link back, from wherever it comes now."""
        self._occupancy.enter(link.id, link.peer.host, link.user)
        self.registry.resume(link)
        self._reception.waiters.wake()

    def link_ended(self, link: Link) -> None:
        """Forget a link."""
        self._live.pop(link.id, None)
        self._sessions.pop(link._session.session_id, None)
        self._occupancy.leave(link.id)
        if self._door is not None:
            self._door.porter.report(link.peer.host, link._session.error, time.monotonic())
        self.keys.closed(link.id)
        self.registry.discard(link)

    def _close_banned(self, ban: Ban) -> None:
        """Close the open links that a new ban names, popped ones too."""
        logger.info("= banned the %s %r", ban.kind, ban.name)
        for reference in self._live.valuerefs():
            link = reference()
            if link is not None and self._is_banned(link):
                # Whoever bans may do so in a thread, where the file of bans can be waited for.
                with contextlib.suppress(RuntimeError):  # A loop that is closed has no links.
                    link._exchange.pump.loop.call_soon_threadsafe(link.abort)

    def _is_banned(self, link: Link) -> bool:
        return bool(self.bans.of_source(link.peer.host) or self.bans.of_holder(link.fingerprint, link.user))

    # --- the registry -----------------------------------------------------------------------------------------------

    def get(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> Link | None:
        """Return the newest open link from an IP, or None.  Also by `(ip, port)`, by `id=` and by `user=`."""
        return self.registry.get(ip, id=id, user=user)

    def all(self, ip: str | None = None) -> tuple[Link, ...]:
        """Return the open links, oldest first; all, or those from one IP."""
        return self.registry.all(ip)

    def pop(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> Link | None:
        """Take the newest open link from an IP out of the registry and return it, still open; None where there is
        none.
        """
        return self.registry.pop(ip, id=id, user=user)

    async def clear(self) -> None:
        """Take all links out of the registry and close them."""
        await close_links(self.registry.empty(), time.monotonic() + CLEAR_SECONDS)

    def count(self) -> int:
        """Return how many open links there are."""
        return self.registry.count()

    async def wait(self, ip: Place, timeout: float | None = None) -> Link | None:
        """Return the newest open link from an IP as soon as there is one; None where `timeout` seconds passed
        without.
        """
        found = self.registry.get(ip)

        def come() -> bool:
            nonlocal found
            found = self.registry.get(ip)
            return found is not None or self._reception.closed

        if found is None:
            await self._reception.waiters.until(come, sockets.deadline_after(timeout))
        return found

    def suspended(self) -> tuple[Link, ...]:
        """Return the links that have lost their transport and may come back, the longest lost first."""
        return self.registry.suspended()

    def __len__(self) -> int:
        return self.registry.count()

    def __contains__(self, ip: object) -> bool:
        return ip in self.registry

    def __iter__(self) -> Iterator[Link]:
        return iter(self.registry)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Misuse("a server cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "closed" if self._reception.closed else "open" if self._door else "not started"
        return f"<Server at {self._address} {state}, {self.registry.count()} links>"

    # --- to many ----------------------------------------------------------------------------------------------------

    async def broadcast(
        self, value: object, *, to: Iterable[Link] | None = None, exclude: Container[Link] = ()
    ) -> Broadcast:
        """Send one value to all links, suspended ones too (or to those in `to`), encoded and compressed once.

        The sources of its blobs are read first, once, and waited for; what one raises is raised here, and then no link
        has the value.  No link is waited for: what one does not take at once is sent behind the caller's back.  A link
        is skipped that is closed, that takes no value of this size, or that has more than `Limits.backlog_bytes`
        waiting.  Raises `UnsendableValue`.
        """
        links = [*self.registry.all(), *self.registry.suspended()] if to is None else list(to)
        links = [link for link in links if link not in exclude]
        return await announce(value, links, compress=self._compress)
