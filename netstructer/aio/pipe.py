"""The pipe: one asyncio transport of a link.  Floor: FAÇADES.  Law: what is over says nothing.

asyncio calls: when bytes have come (into the session's own buffer, `BufferedProtocol`), when there is room to write
again, when the transport has ended.  Only transports and protocols are used, never `add_reader`, so any loop will do:
Windows' Proactor, uvloop.

A link has one pipe after another.  One that was given up may still be told of bytes that came; they were said on a
transport that is over, and nobody reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from netstructer import sockets
from netstructer.address import Address, normalise_ip
from netstructer.aio.waiting import call_at
from netstructer.errors import InvalidAddress

if TYPE_CHECKING:
    from netstructer.aio.pump import Pump

__all__ = ["Pipe", "peer_of"]

LAST_WORD_SECONDS = 1.0
"""How long what was sealed before the end may take to leave; then the transport is closed without it."""
SCRAP_BYTES = 4096
"""Where bytes go that nobody reads."""


class Pipe(asyncio.BufferedProtocol):
    """A transport and what asyncio tells of it.  Single owner: the loop."""

    def __init__(self, pump: Pump, transport: asyncio.Transport) -> None:
        self._pump = pump
        self._transport = transport
        self.paused = False
        """Whether the transport has as much as it takes."""
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        transport.set_protocol(self)
        sockets.give_up_after(transport.get_extra_info("socket"), pump.session.limits.dead_seconds)

    def write(self, frames: list[bytes | bytearray | memoryview]) -> None:
        """Write what was sealed."""
        # One copy, 2 % of what sealing costs; `writelines` of CPython 3.12 forgets to say when to pause.
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def end(self) -> None:
        """Close the transport as soon as it has written what it holds.  Nothing of it is heard any more."""
        self._over = True
        with contextlib.suppress(RuntimeError):  # of a loop that is closed, and can close nothing any more
            self._transport.close()
            self._timer = call_at(self._pump.loop, time.monotonic() + LAST_WORD_SECONDS, self.hang_up)

    def hang_up(self) -> None:
        """Close the transport at once, without what it has not written.  Nothing of it is heard any more."""
        self._over = True
        self._transport.abort()

    # --- what asyncio tells -----------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where received bytes go."""
        return memoryview(bytearray(SCRAP_BYTES)) if self._over else self._pump.session.frames.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what has come."""
        if not self._over:
            self._pump.received(nbytes)

    def eof_received(self) -> bool:
        """Take in that the peer sends no more: the transport is of no more use."""
        if not self._over:
            self._pump.lost()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the transport is closed, by either end or by the network."""
        if self._timer is not None:
            self._timer.cancel()
        if exc is not None:
            self._read_the_rest()
        if not self._over:
            self._pump.lost()
        self._pump.let_go(self)

    def pause_writing(self) -> None:
        """Take note that the transport has as much as it takes."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on sealing."""
        self.paused = False
        if not self._over:
            self._pump.flush()

    def _read_the_rest(self) -> None:
        """Take in what the peer sent before the transport broke off under a write, where the loop shows its socket."""
        unwilling = contextlib.suppress(OSError, TypeError, ValueError, AttributeError)
        with unwilling, self._transport.get_extra_info("socket").dup() as copy:
            copy.setblocking(False)
            while not self._over and (count := copy.recv_into(self._pump.session.frames.space())):
                self._pump.received(count)


def peer_of(transport: asyncio.BaseTransport) -> Address:
    """Return the peer's address, its IP normalised.  Raises `OSError` for a transport that is gone."""
    found = transport.get_extra_info("peername")
    if not found:
        raise OSError("the transport has no peer any more")
    host, port = found[:2]
    with contextlib.suppress(InvalidAddress):
        host = normalise_ip(host)
    return Address(host, port)
