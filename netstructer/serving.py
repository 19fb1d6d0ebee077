"""Serving: what a server has and decides, whoever waits.  Floor: FAÇADES.  Law: nothing here waits, or knows a socket.

The blocking server and the asyncio one take in transports, wait and close in ways of their own.  Whom they let in,
which links they have, who makes room, who is banned and what is counted is the same, and stands here.
"""

from __future__ import annotations

import logging
import os
import platform
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar

from netstructer import descriptors
from netstructer.actions import Actions
from netstructer.address import Address, parse_address
from netstructer.answerable import Registering
from netstructer.bans import Ban, Bans
from netstructer.codec.ciphers import FERNET, CipherName, cipher_named
from netstructer.courtesies import COURTESIES
from netstructer.credentials import find_identity, find_key
from netstructer.dial import no_clock
from netstructer.errors import Misuse, NetstructerError, SessionLost
from netstructer.groups import Groups
from netstructer.identity import Identity
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.observers import Observers, What
from netstructer.occupancy import Occupancy
from netstructer.porter import Porter
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.registry import Place, Registry
from netstructer.rotation import Rotation
from netstructer.stats import ServerDetails, ServerStats
from netstructer.stranger import Ceremony

__all__ = ["Serving"]

logger = logging.getLogger("netstructer")


class _Exchange(Protocol):
    @property
    def ended(self) -> bool: ...
    def fail(self, error: NetstructerError) -> object: ...
    def give_key(self, key: Key) -> None: ...


class _Link(Protocol):
    """What a server's link shows, of either façade."""

    id: str
    user: str | None
    fingerprint: str
    _session: Session

    @property
    def _exchange(self) -> _Exchange: ...
    @property
    def peer(self) -> Address: ...
    @property
    def closed(self) -> bool: ...
    @property
    def suspended(self) -> bool: ...
    def abort(self) -> object: ...


L = TypeVar("L", bound=_Link)


class Serving(Registering, Generic[L]):
    """The tables and the decisions of one server.  `close(links)` closes what is cleared out of the registry."""

    _reception: Any
    """Where new links wait, in the manner of the façade; `closed` says whether the server takes no more."""
    _door: Any

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        key: Key | str | bytes | Mapping[str, Key | str | bytes] | KeyRing | None,
        limits: Limits | None,
        max_links: int,
        compress: bool,
        padding: Literal["bucket", "full"] | None,
        hide_clock: bool,
        identity: Identity | str | os.PathLike[str] | bool | None,
        stealth: bool,
        bans: str | os.PathLike[str] | None,
        pin_address: bool,
        cipher: CipherName,
        spare_ports: Sequence[int],
        close: Callable[[tuple[L, ...]], None],
    ) -> None:
        if padding not in (None, "bucket", "full"):
            raise Misuse("expected padding=None, 'bucket' or 'full'")
        if max_links < 1:
            raise Misuse("expected max_links of at least 1")
        self._address = parse_address(address)
        self._spare_ports = tuple(spare_ports)
        if not all(type(port) is int and 1 <= port <= 65535 for port in self._spare_ports):
            raise Misuse("expected spare_ports from 1 to 65535")
        self.keys: KeyRing = find_key(key, role="server")
        """The keys that open links here: `add`, `retire`, `uses`, while the server runs."""
        self.keys.set_clock(time.time)
        self.identity: Identity | None = find_identity(identity)
        """What this server proves to clients that ask which server it is; they pin `identity.fingerprint`."""
        self.actions: Actions = Actions(COURTESIES, house=self)
        """What the clients may call; those of a link of its own come before."""
        self._limits = limits or Limits.DEFAULT
        self._pin_address = pin_address
        self._ciphers = tuple({FERNET.name: FERNET, cipher: cipher_named(cipher)}.values())
        self._compress, self._padding, self._hide_clock, self._stealth = compress, padding, hide_clock, stealth
        self._door = None
        self._started: float | None = None
        self._accepted = 0
        self._live: weakref.WeakValueDictionary[str, L] = weakref.WeakValueDictionary()
        self._sessions: weakref.WeakValueDictionary[bytes, L] = weakref.WeakValueDictionary()
        self._rotation = Rotation(self.keys, self._live)
        self._occupancy = Occupancy(self._limits, max_links, self._limits.sources())
        self.bans = Bans(bans, wall=time.time, on_add=self._close_banned)
        """Whom this server does not talk to: `add`, `remove`, `list`, while the server runs."""
        self._porter = Porter(self._limits, self.bans, self._occupancy.full)
        self.registry: Registry[L] = Registry(close)
        """The open links, by peer IP."""
        self.observers = Observers()
        """Who is told of links that open, lose their transport, find another, and end: `add`, `remove`."""
        self.admits: Callable[[str | None, str], bool] | None = None
        """While this is set, a client is let in only where `admits(user, fingerprint)` says so, and else told `Busy`;
        links that are open stay, and come back.  It is asked in the thread of the door, for which nobody waits long."""
        self.groups: Groups[L] = Groups()
        """Links that belong together, by a name: `join`, `leave`, `members`; `publish` sends to all of one."""

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """Where the server listens: host, and the port as bound once it has started."""
        return self._address

    @property
    def max_links(self) -> int:
        """How many links there may be at once; may be set while the server runs, and then those that are open stay."""
        return self._occupancy.most

    @max_links.setter
    def max_links(self, most: int) -> None:
        if most < 1:
            raise Misuse("expected max_links of at least 1")
        self._occupancy.most = most
        if self._door is not None:
            descriptors.allow(most, self._limits.half_open)

    @property
    def stats(self) -> ServerStats:
        """What the server has seen since it started."""
        porter = self._porter
        return ServerStats(
            links_accepted=self._accepted,
            handshakes_refused=porter.refused,
            strangers_dropped=porter.dropped,
            key_refused=porter.key_refused,
            banned=porter.banned,
            penalised=porter.penalised,
        )

    @property
    def details(self) -> ServerDetails:
        """Where the server is, for how long, and who has a link to it."""
        started = self._started
        return ServerDetails(
            hostname=platform.node(),
            host=self._address.host,
            port=self._address.port,
            uptime_seconds=0.0 if started is None else time.monotonic() - started,
            clients=tuple(link.peer for link in self.registry.all()),
            suspended=len(self.registry.suspended()),
        )

    def _listens_at(self, bound: Address) -> None:
        """Take in where the server listens, from now on."""
        if self._address.port not in (0, bound.port):
            logger.warning("= the port %d is in use: listening at port %d", self._address.port, bound.port)
        self._address, self._started = bound, time.monotonic()
        logger.info("= server at %s", bound)

    # --- what becomes of links --------------------------------------------------------------------------------------

    def _ceremony(self) -> Ceremony:
        """Return what strangers are told."""
        return Ceremony(
            ring=self.keys,
            limits=self._limits,
            porter=self._porter,
            make_room=self._make_room,
            admits=self._admits,
            instance=os.urandom(16),
            identity=self.identity.pair if self.identity is not None else None,
            ciphers=self._ciphers,
            stealth=self._stealth,
            padding=self._padding,
            clock=time.monotonic,
            wall=no_clock if self._hide_clock else time.time,
            draw=os.urandom,
        )

    def _enter(self, link: L, agreement: Agreement) -> None:
        """Enter a new link, which has taken in what had come with it, wherever it is to be found."""
        self._live[link.id] = link
        self._occupancy.enter(link.id, link.peer.host, link.user)
        self._accepted += 1
        self.registry.add(link)
        self._tell("opened", link)
        self._rotation.opened(link, agreement)
        if link._exchange.ended:
            self.link_ended(link)  # It ended before it was entered.
        elif link.suspended:
            self.link_suspended(link)
        if self._is_banned(link):
            link.abort()  # Since the door asked; whoever bans looks for open links only after that.

    def _wanted(self, session_id: bytes, host_of: Callable[[], str]) -> L:
        """Return the link that a client asks for from an IP.  Raises `SessionLost` where there is none for it."""
        link = self._sessions.get(session_id)
        if link is None:
            raise SessionLost("there is no such session")
        if self._pin_address and host_of() != link.peer.host:
            raise SessionLost("the session is pinned to another address")
        return link

    def _taken_back(self, link: L, agreement: Agreement) -> None:
        """Take in which key has opened another transport of a link, and where that comes from."""
        self._rotation.opened(link, agreement)
        if self._is_banned(link):
            link.abort()  # Since the door asked, or where it comes from now.

    def _admits(self, user: str | None, fingerprint: str) -> bool:
        """Say whether a client is one of those that are let in now."""
        asked = self.admits
        return asked is None or bool(asked(user, fingerprint))

    def _make_room(self, ip: str, user: str | None) -> bool:
        """Let the first suspended link go whose place is the one that a client lacks who is here; say whether there is
        room now.
        """
        for link in self.registry.suspended():
            if not self._occupancy.full(ip, user, without=link.id):
                link._exchange.fail(SessionLost("the session made way for a client that was there"))
                break
        return not self._occupancy.full(ip, user)

    def link_suspended(self, link: L) -> None:
        """Keep a link apart that has lost its transport."""
        self.registry.suspend(link)
        self._tell("suspended", link)

    def link_resumed(self, link: L) -> None:
        """Take a link back, from wherever it comes now."""
        self._occupancy.enter(link.id, link.peer.host, link.user)
        self.registry.resume(link)
        self._tell("resumed", link)

    def link_ended(self, link: L) -> None:
        """Forget a link."""
        self._live.pop(link.id, None)
        self._sessions.pop(link._session.session_id, None)
        self._occupancy.leave(link.id)
        self._porter.report(link.peer.host, link._session.error, time.monotonic())
        self.keys.closed(link.id)
        self.registry.discard(link)
        self.groups.leave(link)
        traffic, error = link._session.traffic, link._session.error
        name = "" if error is None else type(error).__name__
        self._tell("ended", link, error=name, bytes_sent=traffic.wire_sent, bytes_received=traffic.wire_received)

    def _tell(self, what: What, link: L, **facts: object) -> None:
        self.observers.tell(what, link.id, link.peer, user=link.user, fingerprint=link.fingerprint, **facts)

    def _close_banned(self, ban: Ban) -> None:
        """Close the open links that a new ban names, popped ones too."""
        logger.info("= banned the %s %r", ban.kind, ban.name)
        for reference in self._live.valuerefs():
            link = reference()
            if link is not None and self._is_banned(link):
                self._abort(link)

    def _abort(self, link: L) -> None:
        """Abort a link, from whatever thread."""
        link.abort()

    def _is_banned(self, link: L) -> bool:
        return bool(self.bans.of_source(link.peer.host) or self.bans.of_holder(link.fingerprint, link.user))

    # --- the registry -----------------------------------------------------------------------------------------------

    def get(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> L | None:
        """Return the newest open link from an IP, or None.  Also by `(ip, port)`, by `id=` and by `user=`."""
        return self.registry.get(ip, id=id, user=user)

    def all(self, ip: str | None = None) -> tuple[L, ...]:
        """Return the open links, oldest first; all, or those from one IP."""
        return self.registry.all(ip)

    def pop(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> L | None:
        """Take the newest open link from an IP out of the registry and return it, still open; None where there is
        none.
        """
        return self.registry.pop(ip, id=id, user=user)

    def count(self) -> int:
        """Return how many open links there are."""
        return self.registry.count()

    def suspended(self) -> tuple[L, ...]:
        """Return the links that have lost their transport and may come back, the longest lost first."""
        return self.registry.suspended()

    def __len__(self) -> int:
        return self.registry.count()

    def __contains__(self, ip: object) -> bool:
        return ip in self.registry

    def __iter__(self) -> Iterator[L]:
        return iter(self.registry)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Misuse("a server cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "closed" if self._reception.closed else "open" if self._door else "not started"
        return f"<Server at {self._address} {state}, {self.registry.count()} links>"
