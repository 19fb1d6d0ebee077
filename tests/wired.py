"""Two asyncio ends without a network: real sessions, real pumps, and transports that a test moves by hand.

A `Wire` is an `asyncio.Transport` that keeps what is written until the loop comes round, hands it over in pieces, and
can be paused: then its end is told to seal no more, as a socket that takes nothing would.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from netstructer.aio.exchange import Exchange
from netstructer.aio.link import Link
from netstructer.limits import Limits
from netstructer.protocol.states import Role
from pair import session_of

PIECE_BYTES = 20_000
"""What a wire hands over at a time."""


class Wire(asyncio.Transport):
    """One end's transport; `other` is the peer's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.protocol: Any = None
        self.other: Wire | None = None
        self.held = bytearray()
        self.written = 0
        self.paused = False
        self._closing = False
        self._moving = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.held += data
        self.written += len(data)
        self._move_soon()

    def pause(self) -> None:
        """Take nothing more."""
        self.paused = True
        self.protocol.pause_writing()

    def resume(self) -> None:
        """Take more, and hand over what is held."""
        self.paused = False
        self.protocol.resume_writing()
        self._move_soon()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._move_soon()
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.held.clear()
        self.close()

    def _lose(self) -> None:
        while self.held:
            self._move()
        self.protocol.connection_lost(None)
        assert self.other is not None
        if not self.other._closing:
            self.other._closing = True
            self._loop.call_soon(self.other.protocol.connection_lost, None)

    def _move_soon(self) -> None:
        if not self._moving and self.held and not self.paused:
            self._moving = True
            self._loop.call_soon(self._move)

    def _move(self) -> None:
        self._moving = False
        piece = bytes(self.held[:PIECE_BYTES])
        del self.held[:PIECE_BYTES]
        assert self.other is not None
        while piece and not self.other._closing:
            space = self.other.protocol.get_buffer(-1)
            count = min(len(space), len(piece))
            space[:count] = piece[:count]
            self.other.protocol.buffer_updated(count)
            piece = piece[count:]
        self._move_soon()


async def wired(
    *, limits: Limits = Limits.DEFAULT, server_limits: Limits | None = None
) -> tuple[Link, Link, Wire, Wire]:
    """Return both ends of an open link, and their transports."""
    loop = asyncio.get_running_loop()
    theirs = server_limits or limits
    near_wire, far_wire = Wire(loop), Wire(loop)
    near_wire.other, far_wire.other = far_wire, near_wire
    links = []
    for role, own, peer, wire in (
        (Role.CLIENT, limits, theirs, near_wire),
        (Role.SERVER, theirs, limits, far_wire),
    ):
        session = session_of(role, limits=own, peer_limits=peer, now=time.monotonic())
        exchange = Exchange(session)
        link = Link.__new__(Link)
        link.user, link.fingerprint, link.server_identity = None, "", None
        link._hold(exchange, compress=True)
        exchange.pump.listen(link._told)
        links.append((link, exchange, wire))
    for _, exchange, wire in reversed(links):
        exchange.begin(wire, [])
    near, far = links[0][0], links[1][0]
    await steps(20)
    return near, far, near_wire, far_wire


async def steps(count: int) -> None:
    """Let the loop come round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def read_all(link: Link, marker: object) -> list[Any]:
    """Receive until the marker comes; return what came before it."""
    found = []
    while (value := await link.recv(timeout=20)) != marker:
        found.append(value)
    return found
