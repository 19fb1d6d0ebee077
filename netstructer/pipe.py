"""The pipe: one transport of a link.  Floor: FAÇADES.  Law: a descriptor is closed when nobody polls it, not before.

A link has one pipe after another.  Threads may wait in one, without the link's lock, while it is given up: closing its
descriptor under them would let them wait in whatever file gets that number next.  So it is shut down, which wakes them,
and the last of them closes it.
"""

from __future__ import annotations

import contextlib
import socket

from netstructer import sockets

__all__ = ["Pipe"]


class Pipe:
    """A socket, and how many poll it.  Used under the link's lock."""

    __slots__ = ("over", "polling", "readiness", "transport")

    def __init__(self, transport: socket.socket) -> None:
        self.transport = transport
        self.readiness = sockets.Readiness(transport)
        self.polling = 0
        self.over = False

    def end(self) -> None:
        """Give it up.  May be called twice."""
        self.over = True
        with contextlib.suppress(OSError):
            self.transport.shutdown(socket.SHUT_RDWR)
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Close the descriptor of a pipe that was given up, where nobody polls it."""
        if self.over and not self.polling:
            self.transport.close()
