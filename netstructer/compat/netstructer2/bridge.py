"""`Bridge`: one session of NetStructer 2.x, which is a link.  Floor: ROOF.  Law: what is sent is a value.

A value that ends a message travels as it is, so that a peer which uses `Link` itself takes it for what it is.  One that
is sent with `end=False` travels in a `Part`, a type that this module registers: no value of an application's own can be
mistaken for one.  The receiver keeps parts until the value comes that ends the message, and returns all as a tuple.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import netstructer
from netstructer.compat.netstructer2.error import Error, bad_key, peer_loss
from netstructer.compat.netstructer2.listening import Accepted
from netstructer.compat.netstructer2.tools import isTCP
from netstructer.compat.shared import size_of_next
from netstructer.errors import LinkTimeout, Misuse, NetstructerError, UnsendableValue

__all__ = ["Bridge", "Reader"]

OPEN_SECONDS = 10.0
"""How long connecting and the handshake may take where no timeout is given; `Link` waits as long."""
MOST_PARTS = 1 << 20
"""Values of one message: each takes some 200 bytes beside its own, so all of them 200 MB, however short they are."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value that does not end its message."""

    value: Any


netstructer.register(Part, "netstructer.compat.netstructer2.Part")


class Bridge:
    """One session: `Bridge.Link(addr)` at a client, `Bridge(soc)` for what a server's `accept` returned.

    `serv` is what `Listening.accept` returned, or a `netstructer.Link`.  A connected socket is refused: a link begins
    with a handshake, which `Link` and `Server` see to.  `enckey` must be the key that the link was opened with.
    `timeout` is that of each wait, in seconds; None waits as long as the link lives.

    Raises `Misuse`, and `KeyError` for another key.
    """

    def __init__(
        self,
        serv: Accepted | netstructer.Link,
        enckey: netstructer.Key | str | bytes | None = None,
        timeout: float | None = None,
    ) -> None:
        self._link = _link_of(serv)
        self._parts: deque[tuple[Any, int]] = deque()
        """What has come of a message that has not ended, with the bytes of each."""
        self._receiving = threading.Lock()
        self._timeout: float | None = None
        self.TimeOut(timeout)
        if enckey is not None:
            self.SetEncKey(enckey)

    @classmethod
    def Link(
        cls,
        addr: tuple[str, int] | str,
        enckey: netstructer.Key | str | bytes | None = None,
        timeout: float | None = None,
    ) -> Bridge:
        """Connect to a server and return the session.

        Without `enckey` the key is found as `netstructer.Link` finds it.  Raises what that raises, but `KeyError` for a
        key that is none, or that the server does not have.  The session ends with its transport, as it did.
        """
        patience = OPEN_SECONDS if timeout is None else timeout
        with bad_key():
            link = netstructer.Link(addr, key=enckey, timeout=patience, resume=False)
        return cls(link, timeout=timeout)

    link = Link

    # --- values -----------------------------------------------------------------------------------------------------

    def SendBuffer(self, buffer: object, end: bool = True) -> tuple[int, int]:
        """Send one value; return its bytes before compression, and those that went over the wire.

        With `end=False` the message goes on: the peer's `RecvBuffer` returns all of its values as a tuple.

        Raises `ValueError` for what does not travel, and then nothing was sent; `TimeoutError`,
        `ConnectionAbortedError`, `ConnectionResetError`.
        """
        with peer_loss():
            try:
                sent = self._link.send(buffer if end else Part(buffer), timeout=self._timeout)
            except UnsendableValue as error:
                raise ValueError(f"cannot encode this value: {error}") from error
        return sent.plain_bytes, sent.wire_bytes

    def RecvBuffer(
        self,
        size: int = 1024,
        buffer_size: int = -1,
        returns: bool = False,
        chunk: int = -1,
        *,
        buffer: int | None = None,
    ) -> Any:
        """Return the next message: its value, or a tuple where it has several.

        `buffer_size` is the most encoded bytes that the message may have; blobs are not counted.  `returns=True` gives
        a `Reader`, which takes the values one at a time.  `size` (`buffer` in later releases) and `chunk` have no
        effect: records have the size that the two ends agreed on.

        Raises `Error.BufferDataError`, and then the message can be received with a larger `buffer_size`; the same where
        a message has no end before `Limits.value_bytes`; `TimeoutError`, and what has come is not lost;
        `ConnectionAbortedError` where the peer has closed, `ConnectionResetError` where it is gone.
        """
        _check_sizes(size if buffer is None else buffer, buffer_size)
        if returns:
            return Reader(self, buffer_size)
        with self._turn():
            before = sum(found for _, found in self._parts)
            while True:
                if len(self._parts) >= MOST_PARTS:
                    raise Error.BufferDataError(
                        f"the message has more than {MOST_PARTS} values; RecvBuffer(returns=True) takes one at a time",
                        limit=MOST_PARTS,
                        found=len(self._parts) + 1,
                    )
                value, found = self._take(buffer_size, before)
                if not isinstance(value, Part):
                    break
                self._parts.append((value.value, found))
                before += found
            values = (*(part for part, _ in self._parts), value)
            self._parts.clear()
        return values if len(values) > 1 else value

    def _take(self, most_bytes: int, before: int) -> tuple[Any, int]:
        """Return the next value, a `Part` or the end of its message, and its bytes; `before` are those of the message
        until now.
        """
        with peer_loss():
            found = before + size_of_next(self._link, self._timeout)
            allowed = self._link.limits.value_bytes if most_bytes == -1 else most_bytes
            if found > allowed:
                raise Error.BufferDataError(
                    f"the message has {found} bytes or more, over the {allowed} allowed", limit=allowed, found=found
                )
            return self._link.recv(timeout=self._timeout), found - before

    def _next_of(self, most_bytes: int, before: int) -> tuple[Any, int, bool]:
        """Return the next value for a `Reader`, its bytes, and whether it ends its message."""
        with self._turn():
            if self._parts:
                return (*self._parts.popleft(), False)
            value, found = self._take(most_bytes, before)
            return (value.value, found, False) if isinstance(value, Part) else (value, found, True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep the values of one message together where several threads receive."""
        if not self._receiving.acquire(timeout=-1 if self._timeout is None else max(0.0, self._timeout)):
            raise LinkTimeout("another thread receives from this session")
        try:
            yield
        finally:
            self._receiving.release()

    # --- key, timeout, end ------------------------------------------------------------------------------------------

    def SetEncKey(self, Key: netstructer.Key | str | bytes) -> None:
        """Check that this is the key of the link.

        Raises `KeyError` for what is no key, and for another one: a link proves its key in its handshake, before the
        first value, so a key that comes later cannot be right at both ends.  Give it to `Server(addr, enckey=...)` and
        `Bridge.Link(addr, enckey=...)`; while a server runs, `server.as_server().keys` adds and retires keys.
        """
        with bad_key():
            found = (Key if isinstance(Key, netstructer.Key) else netstructer.Key(Key)).fingerprint
        if found != self._link.fingerprint:
            raise KeyError(
                f"bad key: the link was opened with {self._link.fingerprint}, this is {found}; a link cannot "
                "change its key: give it to Server(addr, enckey=...) and to Bridge.Link(addr, enckey=...)"
            )

    def TimeOut(self, out: float | None) -> None:
        """Set the longest wait of each call, in seconds; None waits as long as the link lives."""
        if out is not None and not out >= 0:
            raise ValueError("expected a timeout of 0 seconds or more, or None")
        self._timeout = out

    def Close(self) -> None:
        """Send what is queued, say farewell, and end the session.  May be called twice."""
        self._link.close()

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more; what has come can still be received."""
        return self._link.closed

    @property
    def over(self) -> bool:
        """Whether the session has ended, and nothing of it is left to receive."""
        if not self._link.closed:
            return False
        try:
            size_of_next(self._link, 0.0)
        except NetstructerError:  # whatever ended it
            return not self._parts
        return False

    def as_link(self) -> netstructer.Link:
        """Return the link itself, for all that this front does not have: files, conversations, `stats`."""
        return self._link

    def __enter__(self) -> Bridge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.Close()

    def __repr__(self) -> str:
        return f"<Bridge over {self._link!r}>"


class Reader:
    """Takes the values of one message as they come: what `RecvBuffer(returns=True)` gives."""

    def __init__(self, bridge: Bridge, most_bytes: int) -> None:
        self._bridge, self._most_bytes = bridge, most_bytes
        self._taken_bytes, self._done = 0, False

    def get(self, chunk: int | None = None) -> Any:
        """Return the next value of the message; None after its last.  `chunk` has no effect.

        Raises as `RecvBuffer` does.  `buffer_size` counts all values of the message.
        """
        return next(self.all(chunk), None)

    def all(self, chunk: int | None = None) -> Iterator[Any]:
        """Return an iterator over the values that are left of the message, falsy ones too."""
        while not self._done:
            value, found, self._done = self._bridge._next_of(self._most_bytes, self._taken_bytes)
            # Without a limit of the caller's, one value at a time is held, however many there are.
            self._taken_bytes += found if self._most_bytes != -1 else 0
            yield value


def _link_of(serv: object) -> netstructer.Link:
    if isinstance(serv, Accepted):
        return serv.link
    if isinstance(serv, netstructer.Link):
        return serv
    if not isTCP(serv):
        raise Misuse(f"a bridge is over TCP: expected what a server's accept() returned, found a {type(serv).__name__}")
    raise Misuse(
        "a socket that is connected already cannot become a link, which begins with a handshake: use Bridge.Link(addr) "
        "at a client, and at a server the accept() of what listen_on gives to its function"
    )


def _check_sizes(size: int, buffer_size: int) -> None:
    for name, value, least in (("size", size, 1), ("buffer_size", buffer_size, -1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"expected {name} as a whole number of at least {least}")
