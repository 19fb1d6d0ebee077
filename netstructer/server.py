"""The server: listens, and keeps its links in a registry by peer IP.  Floor: FAÇADES.  Law: nothing that one link does
stops it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from netstructer import descriptors, signals, sockets
from netstructer.address import Address, parse_address
from netstructer.bans import Ban, Bans
from netstructer.credentials import find_identity, find_key
from netstructer.dial import no_clock
from netstructer.door import Door
from netstructer.errors import MessageTooBig, Misuse, SessionLost
from netstructer.identity import Identity
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.leaving import close_in_time, close_links, drain_links
from netstructer.limits import Limits
from netstructer.link import Link
from netstructer.occupancy import Occupancy
from netstructer.porter import Porter
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.events import Event
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.reception import Handler, Reception
from netstructer.registry import Place, Registry
from netstructer.rotation import Rotation
from netstructer.stats import ServerStats
from netstructer.stranger import Ceremony

if TYPE_CHECKING:
    import socket
    from types import TracebackType

__all__ = ["Broadcast", "Server"]

logger = logging.getLogger("netstructer")


class Broadcast(NamedTuple):
    """What one `broadcast` did: links that have the value queued, and links that could not take it."""

    sent: tuple[Link, ...]
    skipped: tuple[Link, ...]


class Server:
    """Accepts links in the background and keeps them.

        with Server(("127.0.0.1", 5000)) as server:
            link = server.accept(timeout=5)
            print(link.recv())

    `address` as for `Link`; port 0 picks a free one, and `server.address` says which.  `key` is a `Key`, its text, a
    mapping `{user name: key}` or a `KeyRing`; without one it is looked for, and where there is none a fresh one is put
    into the user's default key file and its path logged.  `handler(link)` is called for each new link in a thread of
    its own.  `compress`, `padding` and `hide_clock` as for `Link`.

    `identity` is what clients may pin: an `Identity`, the path of its file, or True for the user's default identity
    file, made if need be.  With `stealth` who is refused is told nothing: the transport is closed.

    `bans` is the file that keeps `server.bans`; without one they are forgotten when the server closes.

    A link whose client has lost its transport waits `Limits.resume_seconds` for the client to come back, from whatever
    address, or with `pin_address` only from the same.

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
        self._starting = threading.Lock()
        self._accepted = 0
        self._live: weakref.WeakValueDictionary[str, Link] = weakref.WeakValueDictionary()
        self._sessions: weakref.WeakValueDictionary[bytes, Link] = weakref.WeakValueDictionary()
        self._rotation = Rotation(self.keys, self._live)
        self._occupancy = Occupancy(self._limits, max_links, self._limits.sources())
        self.bans = Bans(bans, wall=time.time, on_add=self._close_banned)
        """Whom this server does not talk to: `add`, `remove`, `list`, while the server runs."""
        self.registry: Registry[Link] = Registry(close_in_time)
        """The open links, by peer IP."""
        _SERVERS.add(self)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Bind, listen, and accept in the background; return the server.  Raises `CannotListen`."""
        with self._starting:
            if self._door is not None or self._reception.closed:
                raise Misuse("the server was started before")
            descriptors.allow(self._occupancy.most, self._limits.half_open)
            listener = sockets.listening_socket(self._address)
            bound = Address(*listener.getsockname()[:2])
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
            door = Door(listener, ceremony, welcome=self._welcome, resume=self._resume)
            door.open()
            self._address, self._door = bound, door
        logger.info("= server at %s", self._address)
        return self

    def serve_forever(self) -> None:
        """Start, if that was not done, and stay until `close` is called from another thread, Ctrl-C, or SIGTERM; then
        close.
        """
        if self._door is None:
            self.start()
        try:
            with signals.terminable():
                self._reception.stay()
        except KeyboardInterrupt:
            logger.info("= server at %s interrupted", self._address)
        finally:
            self.close()

    def close(self, *, drain: float = 5.0) -> None:
        """Stop accepting, let what is under way finish, say farewell on every link, all in at most `drain` seconds.

        Clients are told that the server leaves.  Handlers get what has come, and then `LinkClosed` where they ask for
        more, so that they can answer what they have.  What is not done in time is cut off, and logged.  Links that were
        popped are their holders' own.  May be called twice.
        """
        deadline = time.monotonic() + drain
        with self._starting:
            self._reception.close()
            door = self._door
        if door is not None:
            door.close()
        links = self.registry.close()
        if not drain_links(links, self._reception, deadline):
            logger.info("= server at %s: not all handlers were done in time", self._address)
        close_links(links, deadline)

    def __enter__(self) -> Server:
        return self if self._door is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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

    def accept(self, timeout: float | None = None) -> Link:
        """Return the next new link.  Raises `LinkTimeout` after `timeout` seconds, `Misuse` once the server is closed.

        Where there is a handler, new links go to it and not here.
        """
        self._expect_started()
        return self._reception.accept(timeout)

    def handler(self, function: Handler) -> Handler:
        """Register `function(link)`: it is called for each new link in a thread of its own, and the link closed after
        it; those that came before and wait for `accept` included.

        What it raises is logged, closes that link, and never stops the server.
        """
        self._reception.handle_with(function)
        return function

    def _expect_started(self) -> None:
        if self._door is None and not self._reception.closed:
            raise Misuse("the server is not started: use `with`, or call `start()`")

    def _welcome(self, transport: socket.socket, session: Session, agreement: Agreement, events: list[Event]) -> None:
        """Make a link of what came through the door."""
        link = Link._of(transport, session, agreement, compress=self._compress, house=self)
        # What has come already is taken in before anybody can find the link and receive from it.
        self._sessions[session.session_id] = link
        link._exchange.begin(events)
        self._live[link.id] = link
        self._occupancy.enter(link.id, link.peer.host, link.user)
        self._accepted += 1
        self.registry.add(link)
        self._rotation.opened(link, agreement)
        if link._exchange.ended:
            self.link_ended(link)  # It ended before it was entered.
        elif link.suspended:
            self.link_suspended(link)
        if self._is_banned(link):
            link.abort()  # Since the door asked; whoever bans looks for open links only after that.
        link._exchange.start()  # Not before: a client whose link is open can be found here.
        logger.debug("= link %s from %s open", link.id, link.peer)
        self._reception.welcome(link)

    def _resume(self, transport: socket.socket, session: Session, agreement: Agreement, session_id: bytes) -> None:
        """Give a link another transport.  Raises `SessionLost` where there is none such, or it is not that client's."""
        link = self._sessions.get(session_id)
        if link is None:
            raise SessionLost("there is no such session")
        if self._pin_address and sockets.peer_address(transport).host != link.peer.host:
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
                link.abort()

    def _is_banned(self, link: Link) -> bool:
        return bool(self.bans.of_source(link.peer.host) or self.bans.of_holder(link.fingerprint, link.user))

    def _disown(self) -> None:
        """Be closed: this is a forked child, and the server is the parent's."""
        self._reception.renew()
        self.registry.renew()
        self.keys.renew()
        if self._door is not None:
            self._door.disown()

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

    def clear(self) -> None:
        """Take all links out of the registry and close them."""
        self.registry.clear()

    def count(self) -> int:
        """Return how many open links there are."""
        return self.registry.count()

    def wait(self, ip: Place, timeout: float | None = None) -> Link | None:
        """Return the newest open link from an IP as soon as there is one; None where `timeout` seconds passed
        without.
        """
        return self.registry.wait(ip, timeout)

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

    def broadcast(self, value: object, *, to: Iterable[Link] | None = None, exclude: Container[Link] = ()) -> Broadcast:
        """Send one value to all links, suspended ones too (or to those in `to`), encoded and compressed once.

        The sources of its blobs are read first, once, and waited for; what one raises is raised here, and then no link
        has the value.  No link is waited for: what one does not take at once is sent behind the caller's back.  A link
        is skipped that is closed, that takes no value of this size, or that has more than `Limits.backlog_bytes`
        waiting.  Raises `UnsendableValue`.
        """
        announcement = Announcement(value, compress=self._compress)
        sent: list[Link] = []
        skipped: list[Link] = []
        links = [
            link
            for link in ((*self.registry.all(), *self.registry.suspended()) if to is None else to)
            if link not in exclude
        ]
        for link in links:
            with contextlib.suppress(MessageTooBig):
                announcement.prepare(link._exchange.session)
                break
        for link in links:
            (sent if link._exchange.post(announcement) else skipped).append(link)
        return Broadcast(tuple(sent), tuple(skipped))


_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork() -> None:
    for server in tuple(_SERVERS):
        server._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
