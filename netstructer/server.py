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
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from netstructer import descriptors, signals, sockets
from netstructer.address import Address
from netstructer.codec.ciphers import CipherName
from netstructer.door import Door
from netstructer.errors import MessageTooBig, Misuse
from netstructer.identity import Identity
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.leaving import close_in_time, close_links, drain_links
from netstructer.limits import Limits
from netstructer.link import Link
from netstructer.protocol.announcement import Announcement
from netstructer.protocol.events import Event
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.session import Session
from netstructer.reception import Handler, Reception
from netstructer.registry import Place
from netstructer.serving import Serving

if TYPE_CHECKING:
    import socket
    from types import TracebackType

__all__ = ["Broadcast", "Server"]

logger = logging.getLogger("netstructer")


class Broadcast(NamedTuple):
    """What one `broadcast` did: links that have the value queued, and links that could not take it."""

    sent: tuple[Link, ...]
    skipped: tuple[Link, ...]


class Server(Serving[Link]):
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

    Where the port is in use, the first of `spare_ports` is taken that is not, and a warning says so.

    With `cipher="aes-256-gcm"` clients that ask for it have their records sealed with that; all others have Fernet.

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
            close=close_in_time,
        )
        self._door: Door | None = None
        self._reception: Reception = Reception(handler)
        self._starting = threading.Lock()
        _SERVERS.add(self)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Bind, listen, and accept in the background; return the server.  Raises `CannotListen`."""
        with self._starting:
            if self._door is not None or self._reception.closed:
                raise Misuse("the server was started before")
            descriptors.allow(self._occupancy.most, self._limits.half_open)
            listener = sockets.listening_socket(self._address, self._spare_ports)
            bound = Address(*listener.getsockname()[:2])
            door = Door(listener, self._ceremony(), welcome=self._welcome, resume=self._resume)
            door.open()
            self._door = door
            self._listens_at(bound)
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
            self._reception.close(deadline)
            door = self._door
        if door is not None:
            door.close()
        links = self.registry.close()
        if not drain_links(links, self._reception, deadline):
            logger.info("= server at %s: not all handlers were done in time", self._address)
        close_links(links, deadline)
        self.observers.close()

    def __enter__(self) -> Server:
        return self if self._door is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        self._enter(link, agreement)
        link._exchange.start()  # Not before: a client whose link is open can be found here.
        logger.debug("= link %s from %s open", link.id, link.peer)
        self._reception.welcome(link)

    def _resume(self, transport: socket.socket, session: Session, agreement: Agreement, session_id: bytes) -> None:
        """Give a link another transport.  Raises `SessionLost` where there is none such, or it is not that client's."""
        link = self._wanted(session_id, lambda: sockets.peer_address(transport).host)
        link._exchange.adopt(transport, session)
        self._taken_back(link, agreement)

    def _disown(self) -> None:
        """Be closed: this is a forked child, and the server is the parent's."""
        self._reception.renew()
        self.registry.renew()
        self.observers.renew()
        self.keys.renew()
        if self._door is not None:
            self._door.disown()

    # --- the registry -----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Take all links out of the registry and close them."""
        self.registry.clear()

    def wait(self, ip: Place, timeout: float | None = None) -> Link | None:
        """Return the newest open link from an IP as soon as there is one; None where `timeout` seconds passed
        without.
        """
        return self.registry.wait(ip, timeout)

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

    def publish(self, group: str, value: object, *, exclude: Container[Link] = ()) -> Broadcast:
        """Send one value to all members of a group, as `broadcast` does; to nobody where there is no such group."""
        return self.broadcast(value, to=self.groups.members(group), exclude=exclude)


_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork() -> None:
    for server in tuple(_SERVERS):
        server._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
