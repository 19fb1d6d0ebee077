"""`Server` and `Container`: sessions by the IP of their peers.  Floor: ROOF.  Law: each server has sessions of its own.

NetStructer 2.x kept one table for the whole process, in which the newest session from an IP took the place of the one
before.  Here each server has a table, and several sessions from one IP are kept apart: `get` and `pop` find the newest.
A session stays until it has ended and what came of it was received: a client that sends and leaves is still found.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import netstructer
from netstructer.compat.netstructer2.bridge import Bridge
from netstructer.compat.netstructer2.error import Error, bad_key
from netstructer.compat.netstructer2.listening import Listening
from netstructer.errors import InvalidAddress

__all__ = ["Container", "Server"]

CLEAR_SECONDS = 5.0
"""How long `clear` waits for the farewells of all peers together."""
MOST_ENDED = 64
"""Sessions that have ended with values that nobody received: so many are kept, the newest.  Each may hold a credit."""


class Container:
    """Sessions, and whatever else is put in, by name: mostly the IP of a peer.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str | int, list[Any]] = {}

    def __getitem__(self, key: str | int) -> Any:
        """Return the newest of what is there under a name, or None."""
        _check_name(key)
        with self._lock:
            self._sweep()
            held = self._held.get(key)
            return held[-1] if held else None

    def __setitem__(self, key: str | int, value: Any) -> None:
        """Put something in.  A session is kept beside the others of its name; anything else takes their place."""
        _check_name(key)
        with self._lock:
            before = self._held.pop(key, [])
            others = [held for held in before if isinstance(held, Bridge)] if isinstance(value, Bridge) else []
            self._held[key] = [*(held for held in others if held is not value), value]
            self._sweep()

    def get(self, parm: str | int) -> Any:
        """Return the newest session from an IP, or None."""
        return self[parm]

    def pop(self, parm: str | int) -> Any:
        """Take out the newest session from an IP and return it, still open; None where there is none."""
        _check_name(parm)
        with self._lock:
            self._sweep()
            held = self._held.get(parm)
            if not held:
                return None
            value = held.pop()
            if not held:
                del self._held[parm]
            return value

    def all(self) -> list[Any]:
        """Return all sessions."""
        with self._lock:
            self._sweep()
            return [value for held in self._held.values() for value in held]

    def count(self) -> int:
        """Return how many sessions there are."""
        return len(self.all())

    def clear(self) -> None:
        """Take out and close all sessions, in 5 seconds at most, however many do not answer."""
        with self._lock:
            held, self._held = self._held, {}
        deadline = time.monotonic() + CLEAR_SECONDS
        for value in (value for values in held.values() for value in values):
            if isinstance(value, Bridge):
                value.as_link().close(timeout=max(0.0, deadline - time.monotonic()))

    def keys(self) -> list[str | int]:
        """Return the names that something is there under."""
        with self._lock:
            self._sweep()
            return list(self._held)

    def values(self) -> list[Any]:
        """Return all sessions, as `all` does."""
        return self.all()

    def items(self) -> list[tuple[str | int, Any]]:
        """Return each name with the newest that is there under it."""
        with self._lock:
            self._sweep()
            return [(key, held[-1]) for key, held in self._held.items()]

    def _sweep(self) -> None:
        """Let go of sessions that are over, and of the oldest that have ended where too many hold unread values."""
        ended: list[tuple[str | int, Bridge]] = []
        for key, held in list(self._held.items()):
            held[:] = [value for value in held if not (isinstance(value, Bridge) and value.over)]
            ended += [(key, value) for value in held if isinstance(value, Bridge) and value.closed]
            if not held:
                del self._held[key]
        for key, bridge in ended[:-MOST_ENDED]:
            self._held[key].remove(bridge)
            if not self._held[key]:
                del self._held[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str | int]:
        return iter(self.keys())

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True  # An empty container is a container still: `if server:` asked whether there is one.

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


class Server(Container):
    """A server and the sessions of its clients.

        server = Server(("0.0.0.0", 5000))
        server.init()
        server.listen()
        session = server.get("192.168.1.4")

    `enckey` is what `netstructer.Server` takes as `key`: a key, or a mapping of user names to keys.  Without one it is
    found as that finds it; where there is none, a fresh one is put into the user's default key file.
    """

    bridge: Listening
    """What accepts, from `init` on."""

    def __init__(self, addr: tuple[str, int], enckey: Any = None) -> None:
        super().__init__()
        if not isinstance(addr, tuple) or len(addr) != 2:
            raise InvalidAddress("expected an address (host, port)")
        self.addr = addr
        self.ip, self.port = addr
        self._enckey = enckey
        self._server: netstructer.Server | None = None
        self._listens = False

    def init(self) -> None:
        """Bind and listen; with port 0, `port` is the free one that was found.

        Raises `CannotListen` (an `OSError`), `KeyError` for a key that is none, `Error.ServerInitializeError` the
        second time.
        """
        if self._server is not None:
            raise Error.ServerInitializeError("init was called before")
        with bad_key():
            server = netstructer.Server(self.addr, key=self._enckey)
        self._server = server.start()
        self.ip, self.port = server.address
        self.addr = (self.ip, self.port)
        self.bridge = Listening(server)

    def listen(self) -> Server:
        """Accept in the background: each client's session is found under its IP.  Returns the server.

        The thread that accepts keeps the process alive until `release`, as it did.
        Raises `Error.ServerInitializeError` before `init`.
        """
        listening = self._expect_initialized()
        if not self._listens:
            self._listens = True
            name = f"netstructer-compat-accept-{self.port}"
            threading.Thread(target=self._accept, args=(listening,), name=name).start()
        return self

    def listen_on(self, func: Callable[..., object], *args: object, session: Any = None) -> None:
        """Run `func(listening, container, *args)` in a thread of its own.

        `listening.accept()` returns `(soc, addr)`; `Bridge(soc)` is the session.  `container` is the server, or what is
        given as `session`.  The thread keeps the process alive until `func` returns, as it did.  Raises
        `Error.ServerInitializeError` before `init`.
        """
        listening = self._expect_initialized()
        given = (listening, self if session is None else session, *args)
        threading.Thread(target=func, args=given, name=f"listen_on-{self.port}").start()

    def release(self) -> None:
        """Take no more clients.  Open sessions go on; `clear` closes them.  May be called twice."""
        if self._server is not None:
            self._server.close()

    def as_server(self) -> netstructer.Server:
        """Return the server itself, for all that this front does not have: `keys`, `bans`, `stats`.

        Its registry has only links that nobody has accepted yet.  Raises `Error.ServerInitializeError` before `init`.
        """
        if self._server is None:
            raise Error.ServerInitializeError("call init() first")
        return self._server

    def _accept(self, listening: Listening) -> None:
        while True:
            try:
                soc, addr = listening.accept()
            except OSError:
                return  # The server was released.
            self[addr[0]] = Bridge(soc)

    def _expect_initialized(self) -> Listening:
        self.as_server()
        return self.bridge

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self.clear()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.ip}:{self.port}, {self.count()} sessions>"


def _check_name(key: object) -> None:
    if type(key) not in (str, int):
        raise ValueError(f"expected a name as str or int, found a {type(key).__name__}")
