"""What a user's own accept loop sees: something that accepts, and what it returns.  Floor: ROOF.

Law: like sockets in what such loops do with them, and in nothing that would move bytes past a link.

NetStructer 2.x gave `listen_on` the listening socket, and its users called `accept` and put `Bridge(soc)` wherever they
liked.  Here the server has done the handshake before `accept` returns, so a stranger never gets that far.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, NoReturn

import netstructer
from netstructer.errors import Misuse

__all__ = ["Accepted", "Listening"]

PAUSE_SECONDS = 1.0
"""How long `accept` takes to fail again once the server was released: loops that swallow every error would spin."""


class Accepted:
    """A link that was accepted, for `Bridge(soc)`; it has what a socket tells of itself, and no bytes."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, link: netstructer.Link) -> None:
        self.link = link

    def getpeername(self) -> tuple[str, int]:
        """Return where the peer is: `(ip, port)`."""
        return (self.link.peer.host, self.link.peer.port)

    def close(self) -> None:
        """Say farewell and end the link.  May be called twice."""
        self.link.close()

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{name!r}: an accepted link is no socket, because bytes do not go past its encryption; use Bridge(soc)"
        )

    def __repr__(self) -> str:
        return f"<Accepted {self.link!r}>"


class Listening:
    """What `listen_on` gives to its function: `accept()` returns `(soc, addr)`, `soc` for `Bridge(soc)`."""

    def __init__(self, server: netstructer.Server) -> None:
        self._server = server
        self._timeout: float | None = None
        self._released = threading.Event()

    def accept(self) -> tuple[Accepted, tuple[str, int]]:
        """Return the next link whose client has proved the key, and where it comes from.

        It is the caller's from then on, whatever becomes of the server.  Raises `OSError` once the server was released,
        and `TimeoutError` as `settimeout` says.
        """
        try:
            link = self._server.accept(timeout=self._timeout)
        except Misuse as error:
            if self._released.is_set():
                time.sleep(PAUSE_SECONDS)
            self._released.set()
            raise OSError("the server was released") from error
        self._server.pop(id=link.id)
        accepted = Accepted(link)
        return accepted, accepted.getpeername()

    def getsockname(self) -> tuple[str, int]:
        """Return where the server listens: `(host, port)`."""
        return (self._server.address.host, self._server.address.port)

    def settimeout(self, timeout: float | None) -> None:
        """Set the longest wait of `accept`, in seconds; None waits for ever."""
        self._timeout = timeout

    def close(self) -> None:
        """Take no more links.  May be called twice."""
        self._server.close()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r}: a listening server is no socket; it has accept(), getsockname(), close()")

    def __repr__(self) -> str:
        return f"<Listening {self._server!r}>"
