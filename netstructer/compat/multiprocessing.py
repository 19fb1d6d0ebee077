"""The names of `multiprocessing.connection` over netstructer's links.  Floor: ROOF.

Law: no pickle, and no key of words.

    from netstructer.compat.multiprocessing import Client, Listener     # was: from multiprocessing.connection import …

    with Listener(("0.0.0.0", 6000)) as listener, listener.accept() as connection:
        connection.send([2.25, None, "junk", float])

What travels are netstructer's values, sealed both ways; `float` above is none, and is refused at the sender.

`authkey` is the link's key, and a password is none.  A key that is made of words can be guessed by whoever has recorded
one handshake, as fast as their machines can, however slow the making is; and it would protect all that is sent, not
only the greeting, as there.  So `authkey` is what is random already: a Fernet key, or 32 random bytes, such as
`current_process().authkey` and `os.urandom(32)`.  Without one the key is found as `Link` finds it: no connection is
open to everybody.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import AuthenticationError, BufferTooShort
from multiprocessing.connection import wait as wait_for_others
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from netstructer import Key, Link, Server
from netstructer.compat.shared import NotCarriedOver, size_of_next
from netstructer.errors import (
    BadValue,
    ConnectionCut,
    InvalidKey,
    KeyRefused,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageTooBig,
    Misuse,
    NetstructerError,
)

if TYPE_CHECKING:
    from array import array

    Writable = bytearray | memoryview | array[Any]
    Readable = bytes | Writable

__all__ = ["AuthenticationError", "BufferTooShort", "Client", "Connection", "Listener", "PeerVanished", "wait"]

FAMILIES = (None, "AF_INET", "AF_INET6")
RAW_KEY_BYTES = 32
LOOK_SECONDS = 0.002
"""What `poll()` takes at most to look whether something is there: a message that is here takes less to be read."""
HEAD_BYTES = 16
"""Room for what the encoding of bytes puts before them."""
FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.02
"""Between two looks of `wait`.  Each takes 10 µs for a connection: a hundred silent ones cost 5 % of a processor."""


class PeerVanished(ConnectionCut, EOFError):
    """The peer went without a farewell: an `EOFError`, as the end of a process is there, and a `ConnectionResetError`,
    for who wants to know that something may be missing.
    """


class Connection:
    """One end of a connection: `Client(...)`, `listener.accept()`, or over any `netstructer.Link`.

    Every method may be called from several threads at once.  `with` closes.
    """

    readable = True
    writable = True

    def __init__(self, link: Link) -> None:
        self._link = link
        self._closed = False

    def send(self, obj: object) -> None:
        """Send one value.  Raises `UnsendableValue` (a `TypeError`) for what does not travel, `BrokenPipeError` after
        the peer has closed.
        """
        self._check_open()
        try:
            self._link.send(obj)
        except LinkClosed as error:
            raise BrokenPipeError(str(error)) from error

    def recv(self) -> Any:
        """Return the next value.  Raises `EOFError` where the peer has closed or is gone, after all that it sent."""
        self._check_open()
        with self._end():
            return self._link.recv()

    def send_bytes(self, buf: Readable, offset: int = 0, size: int | None = None) -> None:
        """Send bytes of a bytes-like object, as one message; `recv` of the peer takes it for a value of `bytes`."""
        self._check_open()
        with memoryview(buf).cast("B") as whole:
            if offset < 0:
                raise ValueError("offset is negative")
            if offset > len(whole):
                raise ValueError("buffer length < offset")
            if size is not None and size < 0:
                raise ValueError("size is negative")
            end = len(whole) if size is None else offset + size
            if end > len(whole):
                raise ValueError("buffer length < offset + size")
            body = bytes(whole[offset:end])
        self.send(body)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Return the next message, which must be bytes.

        Raises `EOFError` as `recv` does; `OSError` for one of more than `maxlength` bytes, which stays, or is gone
        where it is longer by no more than a few; `BadValue` for a value of another type, which is gone.
        """
        self._check_open()
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        most = None if maxlength is None else maxlength + HEAD_BYTES
        with self._end():
            try:
                value = self._link.recv(max_bytes=most)
            except MessageTooBig as error:
                raise OSError(f"bad message length: {error}") from error
        if type(value) is not bytes:
            raise BadValue(f"expected bytes, found a {type(value).__name__}: recv() takes what send() sent")
        if maxlength is not None and len(value) > maxlength:
            raise OSError(f"bad message length: {len(value)} bytes, over the {maxlength} allowed here")
        return value

    def recv_bytes_into(self, buf: Writable, offset: int = 0) -> int:
        """Receive bytes into a writable bytes-like object, from `offset` on, and return how many they were.

        Raises `BufferTooShort`, which has the message, where there is no room; otherwise as `recv_bytes` does.
        """
        self._check_open()
        with memoryview(buf).cast("B") as room:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > len(room):
                raise ValueError("offset too large")
            message = self.recv_bytes()
            if offset + len(message) > len(room):
                raise BufferTooShort(message)
            room[offset : offset + len(message)] = message
        return len(message)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Say whether there is something to receive, the end too; wait so many seconds for it, for ever with None."""
        self._check_open()
        return self._has_input(timeout if timeout is None else max(timeout, LOOK_SECONDS))

    def fileno(self) -> NoReturn:
        """Refused: a descriptor that has bytes says nothing of values.  Raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("a link has no descriptor to wait for: use poll(), or wait() of this module")

    def close(self) -> None:
        """Send what is queued, say farewell, and wait 5 seconds at most for the peer's.  May be called twice."""
        self._closed = True
        self._link.close()

    @property
    def closed(self) -> bool:
        """Whether this end was closed."""
        return self._closed

    def as_link(self) -> Link:
        """Return the link itself, for all that this front does not have."""
        return self._link

    def _has_input(self, timeout: float | None) -> bool:
        self._check_open()
        try:
            size_of_next(self._link, timeout)
        except LinkTimeout:
            return False
        except NetstructerError:
            return True  # `recv` says which end it is.
        return True

    @contextmanager
    def _end(self) -> Iterator[None]:
        """Raise the end of a link as the end of file that it is here."""
        try:
            yield
        except LinkClosed:
            self._check_open()  # This end was closed meanwhile.
            raise  # It is an EOFError.
        except LinkLost as error:
            raise PeerVanished(str(error)) from error

    def _check_open(self) -> None:
        if self._closed:
            raise OSError("the connection is closed")

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise NotCarriedOver("a connection cannot be given to another process: let that one call Client(address)")

    def __repr__(self) -> str:
        return f"<Connection over {self._link!r}>"


class Listener:
    """A server at `address`, `(host, port)`; without one at a free port of this machine.

    `backlog` has no effect: as many as 1,000 links may wait to be accepted.  Whoever does not have the key never gets
    as far as `accept`.  Raises `CannotListen` (an `OSError`), `InvalidKey`, `ValueError` for other families than TCP.
    """

    def __init__(
        self,
        address: tuple[str, int] | None = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: bytes | Key | None = None,
    ) -> None:
        place = _tcp(("127.0.0.1", 0) if address is None else address, family)
        self._server = Server(place, key=_key_of(authkey)).start()
        self._last: tuple[str, int] | None = None

    def accept(self, *, timeout: float | None = None) -> Connection:
        """Return the next connection; it goes on when the listener closes.

        Raises `OSError` once that is closed, and `TimeoutError` after `timeout` seconds.
        """
        try:
            link = self._server.accept(timeout=timeout)
        except Misuse as error:
            raise OSError("the listener is closed") from error
        self._server.pop(id=link.id)
        self._last = (link.peer.host, link.peer.port)
        return Connection(link)

    def close(self) -> None:
        """Take no more connections.  May be called twice."""
        self._server.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where the listener is, with the port as bound."""
        return (self._server.address.host, self._server.address.port)

    @property
    def last_accepted(self) -> tuple[str, int] | None:
        """Where the last connection that was accepted came from, or None."""
        return self._last

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Listener over {self._server!r}>"


def Client(
    address: tuple[str, int],
    family: str | None = None,
    authkey: bytes | Key | None = None,
) -> Connection:
    """Connect to a `Listener`.

    Raises `AuthenticationError` where the listener has another key, `InvalidKey`, `MissingKey`, `ValueError` for other
    families than TCP, and where nobody is there what `Link` raises, which is an `OSError`.
    """
    place = _tcp(address, family)
    try:
        return Connection(Link(place, key=_key_of(authkey), resume=False))
    except KeyRefused as error:
        raise AuthenticationError(str(error)) from error


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Return those that are ready, as soon as one is: connections with something to receive, or at their end.

    Whatever else `multiprocessing.connection.wait` takes (sockets, pipes, sentinels of processes) may be among them.
    Waits `timeout` seconds, for ever with None; an empty list where nothing was ready in time.  Links have no
    descriptor, so this looks at each again and again, every 20 ms at last: for hundreds use `netstructer.aio`.
    """
    objects = list(object_list)
    others = [thing for thing in objects if not isinstance(thing, Connection)]
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, ready_others = FIRST_PAUSE_SECONDS, wait_for_others(others, 0) if others else []
    while True:
        found = [
            thing
            for thing in objects
            if (thing._has_input(0.0) if isinstance(thing, Connection) else _is_among(thing, ready_others))
        ]
        left = None if deadline is None else deadline - time.monotonic()
        if found or (left is not None and left <= 0):
            return found
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        nap = pause if left is None else min(pause, left)
        if others:
            ready_others = wait_for_others(others, nap)
        else:
            time.sleep(nap)


def _is_among(thing: object, others: list[Any]) -> bool:
    return any(thing is other for other in others)


def _tcp(address: object, family: str | None) -> tuple[str, int]:
    if family not in FAMILIES:
        raise ValueError(f"expected family 'AF_INET' or 'AF_INET6', because links are over TCP, found {family!r}")
    if not isinstance(address, tuple) or len(address) != 2:
        found = type(address).__name__
        raise ValueError(f"expected an address (host, port), because links are over TCP, found a {found}")
    return address


def _key_of(authkey: object) -> Key | None:
    """Return the key that `authkey` is, None where there is none."""
    if authkey is None or isinstance(authkey, Key):
        return authkey
    if not isinstance(authkey, bytes):
        raise TypeError("authkey should be a byte string")
    fault, key = "", None
    try:
        if len(authkey) != RAW_KEY_BYTES:
            key = Key(bytes(authkey))
        elif all(32 <= byte < 127 for byte in authkey):  # of random bytes that is true once in 10^13
            fault = "32 characters of text"
        else:
            key = Key(base64.urlsafe_b64encode(authkey))
    except InvalidKey as error:
        fault = str(error)
    del authkey  # a traceback that prints locals must find none
    if key is None:
        raise InvalidKey(
            f"authkey= is no key ({fault}): a password is none, because whoever records a handshake could guess it; "
            "give a Fernet key, as Key.generate().reveal().encode(), or 32 random bytes, as os.urandom(32), the same "
            "at both ends, or none, and it is found as a link's is (`netstructer keygen`)"
        )
    return key
