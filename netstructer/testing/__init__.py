"""Fakes for tests of programs that use the network: a proxy that breaks things, a clock that stands.  Floor: FAÇADES.

Law: what goes wrong is said beforehand, by a plan or by a seed, so that it can go wrong the same way again.

    with Server(key=key) as server, ChaosProxy(server.address, Cuts(mean_bytes=20_000, most=50), seed=7) as proxy:
        with Link(proxy.address, key=key) as link:
            ...                         # whatever your program does; it must not notice
    print(proxy.counters)

`ChaosProxy` takes any TCP program, not only netstructer's.  What can happen to a connection, and where: `Cut`, `Reset`,
`HalfClose`, `Stall`, `Throttle`, `Flip`, `Duplicate`, `Blackhole`, `Hold`.
"""

from netstructer.testing.clock import FakeClock
from netstructer.testing.faults import (
    Blackhole,
    Cut,
    Cuts,
    Direction,
    Duplicate,
    Fault,
    Flip,
    HalfClose,
    Hold,
    Plan,
    Reset,
    Stall,
    Throttle,
)
from netstructer.testing.proxy import ChaosProxy, Counters, Happening

__all__ = [
    "Blackhole",
    "ChaosProxy",
    "Counters",
    "Cut",
    "Cuts",
    "Direction",
    "Duplicate",
    "FakeClock",
    "Fault",
    "Flip",
    "HalfClose",
    "Happening",
    "Hold",
    "Plan",
    "Reset",
    "Stall",
    "Throttle",
]
