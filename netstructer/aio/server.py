"""The server, awaited: listens, and keeps its links in a registry by peer IP.  Floor: FAÇADES.

Law: nothing that one link does stops it; the same names, order and meaning as the blocking `Server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from netstructer import descriptors, sockets
from netstructer.address import Address
from netstructer.aio.announcing import Broadcast, announce
from netstructer.aio.door import Door
from netstructer.aio.exchange import Exchange
from netstructer.aio.leaving import clear_links, close_links, drain_links
from netstructer.aio.link import Link
from netstructer.aio.pipe import peer_of
from netstructer.aio.reception import Handler, Reception
from netstructer.aio.signals import terminable
from netstructer.aio.workers import run_apart
from netstructer.codec.ciphers import CipherName
from netstructer.errors import Misuse
from netstructer.identity import Identity
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.leaving import CLEAR_SECONDS
from netstructer.limits import Limits
from netstructer.protocol.events import Event
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.registry import Place
from netstructer.serving import Serving

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Server"]

logger = logging.getLogger("netstructer")


class Server(Serving[Link]):
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
        cipher: CipherName = "fernet",
        spare_ports: Sequence[int] = (),
    ) -> None:
        super().__init__(
            address,
            key=key,
            limits=limits,
            max_links=max_links,
            compress=compress,
            padding=padding,
            hide_clock=hide_clock,
            identity=identity,
            stealth=stealth,
            bans=bans,
            pin_address=pin_address,
            cipher=cipher,
            spare_ports=spare_ports,
            close=clear_links,
        )
        self._door: Door | None = None
        self._reception: Reception = Reception(handler)

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> Server:
        """Bind, listen, and accept in the background; return the server.  Raises `CannotListen`."""
        if self._door is not None or self._reception.closed:
            raise Misuse("the server was started before")
        descriptors.allow(self._occupancy.most, self._limits.half_open)
        self._door = door = Door(self._ceremony(), welcome=self._welcome, resume=self._resume)
        try:
            # A name may have to be looked up.
            loop = asyncio.get_running_loop()
            listener = await loop.run_in_executor(None, sockets.listening_socket, self._address, self._spare_ports)
            bound = Address(*listener.getsockname()[:2])
            self._reception.open()
            door.open(listener)
        except BaseException:
            self._door = None
            raise
        self._listens_at(bound)
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
        self._reception.close(deadline)
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
            await run_apart(self.observers.close)
            await self._reception.cancel_handlers()

    async def __aenter__(self) -> Server:
        return self if self._door is not None else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
        self._enter(link, agreement)
        logger.debug("= link %s from %s open", link.id, link.peer)
        self._reception.welcome(link)

    def _resume(self, transport: asyncio.Transport, session: Session, agreement: Agreement, session_id: bytes) -> None:
        """Give a link another transport.  Raises `SessionLost` where there is none such, or it is not that client's."""
        link = self._wanted(session_id, lambda: peer_of(transport).host)
        link._exchange.adopt(transport, session)
        self._taken_back(link, agreement)

    def link_resumed(self, link: Link) -> None:
        """Take a link back, from wherever it comes now."""
        super().link_resumed(link)
        self._reception.waiters.wake()

    def _abort(self, link: Link) -> None:
        # Whoever bans may do so in a thread, where the file of bans can be waited for.
        with contextlib.suppress(RuntimeError):  # A loop that is closed has no links.
            link._exchange.pump.loop.call_soon_threadsafe(link.abort)

    # --- the registry -----------------------------------------------------------------------------------------------

    async def clear(self) -> None:
        """Take all links out of the registry and close them."""
        await close_links(self.registry.empty(), time.monotonic() + CLEAR_SECONDS)

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

    async def publish(self, group: str, value: object, *, exclude: Container[Link] = ()) -> Broadcast:
        """Send one value to all members of a group, as `broadcast` does; to nobody where there is no such group."""
        return await self.broadcast(value, to=self.groups.members(group), exclude=exclude)
