"""Hosting: the server's end of pairing, with sockets.  Floor: FAÇADES.  Law: it decides nothing; the desk does.

One thread, the caller's, serves all who come: strangers who are silent, send junk or send too much beside the one who
has the code.  Every read is bounded by what the ceremony wants next, so what a stranger sends beyond it is never read.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType

from netstructer import sockets
from netstructer.address import Address, parse_address
from netstructer.errors import ConnectionCut, LinkTimeout, NetstructerError, WrongCode
from netstructer.identity import Identity
from netstructer.keys import Key
from netstructer.pairing.ceremony import Asked, Confirmed, Event, Finished, Host, Taken, Wished
from netstructer.pairing.desk import CODE_SECONDS, Desk
from netstructer.pairing.frames import Grant, Refusal, check_user
from netstructer.pairing.secret import find_spake2
from netstructer.user_keys import UserKeys

__all__ = ["CodeDied", "CodeShown", "Notice", "PairedHere", "PairingServer", "Waiting"]

TICK_SECONDS = 0.25
"""How often deadlines are looked at."""
ACCEPTS_PER_ROUND = 16
UNREAD_BYTES = 4096
DEFAULT_USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeShown:
    """This code counts now, for so long.  Shows no code of itself: a log may hold it."""

    code: str = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDied:
    """The code died of a failure of this peer; another one follows, or pairing stops."""

    peer: Address
    error: NetstructerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing has happened; the code lives for so long yet."""

    seconds: float


Notice = CodeShown | CodeDied | Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedHere:
    """A user who can now open links to the server."""

    user: str
    peer: Address
    fingerprint: str
    """That of the user's new key."""


class _OwnFiles(Exception):
    """The server's own files have failed: no fault of a guest, and no use in another code."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _own_files() -> Iterator[None]:
    try:
        yield
    except (NetstructerError, OSError) as error:
        raise _OwnFiles(error) from error


@dataclass(eq=False, slots=True)
class _Guest:
    transport: socket.socket
    peer: Address
    host: Host
    key: Key | None = None
    user: str = ""
    kept: bool = False
    """Whether the key may be in the file, and is not yet confirmed from there."""


class PairingServer:
    """Waits for one client that has the code, and gives it a key.

        with PairingServer(("0.0.0.0", 5001), users=users, identity=Identity.default(), port=5000) as server:
            paired = server.wait(show)

    `users` gets the key; `identity` is the server's; `host` and `port` say where it is, an empty host meaning the one
    that the client dials here.  `user` names the new user, whatever the client wishes.  Raises `CannotListen`,
    `InvalidAddress`, `Misuse`, `MissingDependency`, and what reading the file of users raises.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        users: UserKeys,
        identity: Identity,
        port: int,
        host: str = "",
        user: str | None = None,
        code_seconds: float = CODE_SECONDS,
    ) -> None:
        self._users, self._identity = users, identity
        self._host, self._port = host, port
        self._user = check_user(user) if user is not None else None
        self._code_seconds = code_seconds
        find_spake2()  # what cannot work is better known before than after the code: this package, and that file
        users.free_name(DEFAULT_USER)
        self._listener = sockets.listening_socket(parse_address(address))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._guests: set[_Guest] = set()
        self._desk: Desk[_Guest]
        self._notice: Callable[[Notice], object] = lambda notice: None
        self.address = Address(*self._listener.getsockname()[:2])
        """Where it listens."""

    def wait(self, notice: Callable[[Notice], object]) -> PairedHere:
        """Show a code by `notice`, and wait until somebody has used it; return who.

        `notice` is called in this thread: with a code, with a failure (the next code follows), and four times a second
        between.  Raises `LinkTimeout` when the code has lived its time, `PairingStopped` after three failures, and
        `OSError` and `InvalidKey` where the user's key cannot be written.
        """
        self._notice = notice
        self._send_away()  # whoever is left of an earlier wait, and may have tried a code that is dead
        self._desk = Desk(os.urandom, now=time.monotonic(), code_seconds=self._code_seconds)
        self._show()
        while True:
            for key, _ in self._selector.select(TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._guests:
                    paired = self._hear(key.data)
                    if paired is not None:
                        return paired
            now = time.monotonic()
            for guest in self._desk.overdue(now):
                self._lose(guest, LinkTimeout("it did not finish in time"))
            notice(Waiting(seconds=max(0.0, self._desk.deadline - now)))

    def close(self) -> None:
        """Stop listening, and send everybody away."""
        try:
            self._send_away()
        finally:
            self._selector.close()
            self._listener.close()

    def __enter__(self) -> PairingServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send_away(self) -> None:
        for guest in tuple(self._guests):
            self._take_back(guest)
            self._dismiss(guest, Refusal.SPENT)

    # --- guests -----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_ROUND):
            try:
                transport, _ = self._listener.accept()
            except OSError:  # nobody more, or one who has left already, or no descriptor: the next round tells
                return
            try:
                sockets.prepare(transport)
                guest = _Guest(transport, sockets.peer_address(transport), Host())
            except OSError:
                transport.close()
                continue
            self._guests.add(guest)
            self._selector.register(transport, selectors.EVENT_READ, guest)
            leaving = self._desk.enter(guest, guest.peer.host, time.monotonic())
            if leaving is not None:
                self._dismiss(leaving, None)

    def _hear(self, guest: _Guest) -> PairedHere | None:
        """Read what a guest has sent, as far as it goes; return who was paired when all is done."""
        try:
            while guest.host.wanted:
                data = guest.transport.recv(guest.host.wanted)
                if not data:
                    raise ConnectionCut("it ended the connection in the ceremony")
                event = guest.host.receive(data)
                if event is not None:
                    paired = self._follow(guest, event)
                    if paired is not None or guest not in self._guests:
                        return paired
                self._send(guest)
        except BlockingIOError:
            pass
        except _OwnFiles as failure:
            self._dismiss(guest, Refusal.FAILED)
            raise failure.error from None
        except NetstructerError as error:
            self._lose(guest, error)
        except OSError:
            self._lose(guest, ConnectionCut("the connection broke in the ceremony"))
        return None

    def _follow(self, guest: _Guest, event: Event) -> PairedHere | None:
        """Do what is due after an event."""
        match event:
            case Asked():
                if self._desk.claimed is not None:
                    self._dismiss(guest, Refusal.SPENT)
                elif not self._desk.may_answer(guest):
                    self._dismiss(guest, Refusal.BUSY)
                else:
                    guest.host.answer(self._desk.code, os.urandom)
            case Confirmed():
                for other in self._desk.claim(guest, time.monotonic()):
                    self._dismiss(other, Refusal.SPENT)
                guest.host.confirm()
            case Wished(user=wish):
                with _own_files():
                    guest.key, guest.user = Key.generate(), self._users.free_name(self._user or wish or DEFAULT_USER)
                guest.host.grant(
                    Grant(
                        key=guest.key,
                        user=guest.user,
                        identity=self._identity.public,
                        host=self._host,
                        port=self._port,
                    )
                )
            case Taken():
                assert guest.key is not None
                guest.kept = True  # before it is: an interrupt may come in between
                with _own_files():
                    self._users.add(guest.user, guest.key, now=time.time())
                guest.host.installed()
            case Finished():
                assert guest.key is not None
                guest.kept = False
                self._dismiss(guest, None)
                return PairedHere(user=guest.user, peer=guest.peer, fingerprint=guest.key.fingerprint)
        return None

    def _lose(self, guest: _Guest, error: NetstructerError) -> None:
        """Be done with a guest; if that was the one who tried the code, be done with the code too."""
        tried = isinstance(error, WrongCode) or guest is self._desk.claimed
        self._take_back(guest)
        self._dismiss(guest, Refusal.FAILED if guest is self._desk.claimed else None)
        if not tried:
            return
        self._notice(CodeDied(peer=guest.peer, error=error))
        for other in self._desk.fail(time.monotonic()):
            self._dismiss(other, Refusal.SPENT)
        self._show()

    def _show(self) -> None:
        self._notice(CodeShown(code=self._desk.code, seconds=self._code_seconds))

    def _take_back(self, guest: _Guest) -> None:
        """Take the key of a guest out of the file, who has not said that it is in place there."""
        if guest.kept:
            assert guest.key is not None
            self._users.remove(guest.key)
            guest.kept = False

    def _dismiss(self, guest: _Guest, why: Refusal | None) -> None:
        """Close a guest's transport, with a word or with what is left to be said."""
        if why is not None:
            guest.host.refuse(why)
        with suppress(OSError):
            self._send(guest)
            guest.transport.recv(UNREAD_BYTES)  # what is left unread would make the system throw our word away
        self._guests.discard(guest)
        self._desk.leave(guest)
        self._selector.unregister(guest.transport)
        guest.transport.close()

    def _send(self, guest: _Guest) -> None:
        """Send what the ceremony has; it is always less than a fresh socket takes."""
        out = guest.host.take()
        if out and guest.transport.send(out) != len(out):
            raise ConnectionCut("the connection takes no answer")
