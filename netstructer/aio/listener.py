"""The listener: takes transports as they come, by way of the loop.  Floor: FAÇADES.

Law: a transport that was taken is somebody's, or closed.  For how many there are descriptors, and what becomes of one
that there is none for, is in `netstructer/listener.py`; here is the waiting, with `loop.sock_accept`, which any loop
has.

Whoever is cancelled in `sock_accept` may have been given a transport that moment, and asyncio lets it fall.  So the
socket remembers what it gave.
"""

from __future__ import annotations

import asyncio
import socket

from netstructer import listener

__all__ = ["Listener"]


class Listener:
    """A listening socket, which is the listener's from here on.  Single owner: one task."""

    def __init__(self, transport: socket.socket) -> None:
        self._transport = _Remembering(transport)
        self._rules = listener.Listener(self._transport)

    async def accept(self) -> socket.socket:
        """Return the next transport; where one waits already, nobody else has a turn.

        Raises `DescriptorsShort`, and any other `OSError` for a transport that broke before it was taken, or waits
        still because the descriptors were short that moment: then the next call says so.
        """
        try:
            return self._rules.accept()
        except (BlockingIOError, InterruptedError):
            self._transport.given = None
        try:
            fresh, _ = await asyncio.get_running_loop().sock_accept(self._transport)
        except asyncio.CancelledError:
            if self._transport.given is not None:
                self._transport.given.close()
            raise
        return self._rules.check(fresh)

    def close(self) -> None:
        """Listen no more.  May be called twice; nobody may be in `accept`."""
        self._rules.close()


class _Remembering(socket.socket):
    """A listening socket that never blocks, and that knows what it gave last."""

    def __init__(self, transport: socket.socket) -> None:
        super().__init__(transport.family, transport.type, transport.proto, fileno=transport.detach())
        self.setblocking(False)
        self.given: socket.socket | None = None

    def accept(self) -> tuple[socket.socket, object]:
        fresh, place = super().accept()
        self.given = fresh
        return fresh, place
