"""What can go wrong with a connection, and where.  Floor: FAÇADES.  Law: a fault is a fact, and does nothing itself.

A fault has a place: `direction` is `"out"` (what the connecting end sends) or `"in"` (what it is sent), `at` counts the
bytes of that direction of that connection, from 0.  Faults come in plans:

    a list for each connection   ChaosProxy(target, [[Cut(at=300)], [], [Flip(at=40, direction="in"), Cut(at=9000)]])
    a function                   ChaosProxy(target, lambda number, chance: [Stall(at=chance.randrange(99), seconds=1)])
    by chance                    ChaosProxy(target, Cuts(mean_bytes=50_000), seed=7)

A list that is over leaves the connections after it alone.  A function is called once for each connection, with its
number, from 0, and with a `random.Random` of its own, made from the proxy's seed and that number: what happens to
connection 12 does not depend on how many bytes connection 11 had time for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from netstructer.errors import Misuse

__all__ = [
    "Blackhole",
    "Cut",
    "Cuts",
    "Direction",
    "Duplicate",
    "Fault",
    "Flip",
    "HalfClose",
    "Hold",
    "Plan",
    "Reset",
    "Stall",
    "Throttle",
    "faults_for",
]

Direction = Literal["out", "in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that happens when `at` bytes of a direction have been passed on.  Raises `Misuse` for a place that is
    none."""

    at: int = 0
    direction: Direction = "out"

    def __post_init__(self) -> None:
        if type(self.at) is not int or self.at < 0 or self.direction not in ("out", "in"):
            raise Misuse("expected at=, a number of bytes, and direction='out' or 'in'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Fault):
    """Both directions end, in order (FIN): what was passed on arrives, and not a byte more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """Both directions end at once (RST): what was passed on may be lost too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfClose(Fault):
    """This direction ends, in order; what its sender still sends is thrown away; the other direction goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Fault):
    """Nothing more is read or passed on in this direction for `seconds`; with None, until it is released."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Fault):
    """From here on this direction passes so many bytes in a second."""

    bytes_per_second: float = 10_000.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if not self.bytes_per_second > 0:
            raise Misuse("expected bytes_per_second above zero; a Stall passes nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip(Fault):
    """The byte at `at` has one bit changed, `bit` from 0, the least."""

    bit: int = 0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if self.bit not in range(8):
            raise Misuse("expected a bit from 0 to 7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """The last `count` bytes before `at` are passed on once more."""

    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackhole(Fault):
    """From here on whatever either end sends is taken and thrown away, and nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault):
    """What comes in this direction is taken and kept back until it is released, as by a network that delivers late.

    With `count`, the sender's transport ends when that many bytes are kept, while the receiver's stays as it was: the
    connection is half open, and its last bytes are still under way.  With `seconds` they are released after that time.
    """

    count: int | None = None
    seconds: float | None = None


Plan = Sequence[Iterable[Fault]] | Callable[[int, Random], Iterable[Fault]]


def faults_for(plan: Plan, number: int, seed: int) -> list[Fault]:
    """Return what a plan has for one connection.  The same seed and number give the same chance, whatever came before.

    Raises what a plan that is a function raises.
    """
    if callable(plan):
        return list(plan(number, Random(f"{seed} {number}")))
    return list(plan[number]) if number < len(plan) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """A plan by chance: each connection ends by `Cut` or `Reset`, after `mean_bytes` of either direction on average.

    Where is drawn for each direction from an exponential distribution: each byte is as likely as every other to be the
    last.  `early` of the connections end within their first `early_bytes`, where handshakes are.  `half_open` of them
    end by a `Hold` instead: the connecting end sees its transport end, the target does not, and gets up to `late_bytes`
    more from it after `late_seconds`.  From connection `most` on all is well.
    """

    mean_bytes: float
    most: int | None = None
    early: float = 0.1
    early_bytes: int = 700
    """A hello, its answer, OPEN and ACCEPT of netstructer's."""
    kinds: tuple[type[Fault], ...] = (Cut, Reset)
    half_open: float = 0.0
    late_bytes: int = 20_000
    late_seconds: float = 0.5

    def __post_init__(self) -> None:
        shares = (self.early, self.half_open)
        if not (self.mean_bytes > 0 and self.early_bytes > 0 and self.late_bytes > 0 and self.kinds):
            raise Misuse("expected mean_bytes, early_bytes and late_bytes above zero, and kinds to choose from")
        if not all(0 <= share <= 1 for share in shares):
            raise Misuse("expected early and half_open, shares of the connections, from 0 to 1")

    def __call__(self, number: int, chance: Random) -> list[Fault]:
        """Return what is to happen to one connection."""
        if self.most is not None and number >= self.most:
            return []
        kind = chance.choice(self.kinds)
        if chance.random() < self.early:
            direction: Direction = chance.choice(("out", "in"))
            return [kind(at=chance.randrange(self.early_bytes), direction=direction)]
        out, back = (int(chance.expovariate(1 / self.mean_bytes)) for _ in range(2))
        if chance.random() < self.half_open:
            return [Hold(at=out, count=chance.randrange(self.late_bytes), seconds=self.late_seconds)]
        return [kind(at=out), kind(at=back, direction="in")]
