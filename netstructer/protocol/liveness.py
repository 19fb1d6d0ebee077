"""Liveness: who has been silent for how long, and what to do about it.  Floor: PROTOCOL.  Law: time is an argument.

Spec: protocol.md, "Ping".  Any verified record is a sign of life.  After `ping_seconds` of silence (10 % up or down, so
that many links do not ping in step) one ping is sent; after `dead_seconds` the peer is taken for dead.  A peer that
pings more than ten times a second is at fault.
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.errors import IllegalFrame, Stalled
from netstructer.limits import Limits
from netstructer.protocol.bodies import PING_BYTES, expect_length

__all__ = ["Liveness"]

PINGS_PER_SECOND = 10.0
PACE_SECONDS = 1.25 / PINGS_PER_SECOND
"""Least time between two pings of ours: a little more than a peer bears."""


class Liveness:
    """The clockwork of one transport.  Single owner."""

    __slots__ = ("_allowance", "_counted", "_draw", "_limits", "_ping", "_ping_after", "heard", "next_ping", "pongs",
                 "rtt_seconds", "wanted")  # fmt: skip

    def __init__(self, limits: Limits, draw: Callable[[int], bytes], now: float) -> None:
        self._limits, self._draw = limits, draw
        self.heard = self._counted = now
        """When the last verified record came."""
        self._allowance = PINGS_PER_SECOND
        self._ping: tuple[bytes, float] | None = None
        self._ping_after = self._jittered()
        self.next_ping = now
        """Before this no further ping is sent."""
        self.wanted = False
        """Whether somebody waits for a pong whose ping no transport has carried, or one that is over."""
        self.pongs = 0
        self.rtt_seconds: float | None = None
        """How long the last ping took, there and back."""

    def restart(self, now: float) -> None:
        """Begin anew, on a new transport: it has not been silent yet, and owes no pong."""
        self.heard = self._counted = self.next_ping = now
        self.wanted = self.wanted or self._ping is not None
        self._allowance, self._ping, self._ping_after = PINGS_PER_SECOND, None, self._jittered()

    def due(self) -> float:
        """Return when `tick` has something to do."""
        return self.heard + (self._limits.dead_seconds if self._ping else self._ping_after)

    def tick(self, now: float) -> bytes | None:
        """Return the body of a ping that is due.  Raises `Stalled` for a peer that has been silent for too long."""
        silent = now - self.heard
        if silent >= self._limits.dead_seconds:
            raise Stalled(f"nothing came from the peer for {silent:.1f} seconds")
        return self.ping(now) if silent >= self._ping_after else None

    def ping(self, now: float) -> bytes | None:
        """Return the body of a ping, or None while one is out or the last one was just now."""
        if self._ping is not None or now < self.next_ping:
            return None
        self.next_ping = now + PACE_SECONDS
        self._ping = (self._draw(PING_BYTES), now)
        self._ping_after = self._jittered()
        self.wanted = False
        return self._ping[0]

    def pinged(self, body: memoryview, now: float) -> bytes:
        """Take in a ping and return the body of the pong.  Raises `IllegalFrame` for too many of them."""
        expect_length(body, PING_BYTES)
        gained = (now - self._counted) * PINGS_PER_SECOND
        self._allowance = min(PINGS_PER_SECOND, self._allowance + gained) - 1
        self._counted = now
        if self._allowance < 0:
            raise IllegalFrame(f"more than {PINGS_PER_SECOND:.0f} pings a second")
        return bytes(body)

    def ponged(self, body: memoryview, now: float) -> None:
        """Take in a pong.  Raises `IllegalFrame` for one that answers no ping."""
        expect_length(body, PING_BYTES)
        if self._ping is None or body != self._ping[0]:
            raise IllegalFrame("a pong to no ping")
        self.rtt_seconds = now - self._ping[1]
        self.pongs += 1
        self._ping = None

    def _jittered(self) -> float:
        return max(PACE_SECONDS, self._limits.ping_seconds * (0.9 + self._draw(1)[0] / 255 * 0.2))
