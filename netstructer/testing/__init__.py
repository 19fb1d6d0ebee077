"""A kit for testing programs that use the network: how it fails, made to order.  Floor: FAÇADES.

Law: what goes wrong is said beforehand, by a plan or by a seed, so that it can go wrong the same way again.

    with Server(key=key) as server, ChaosProxy(server.address, Cuts(mean_bytes=20_000, most=50), seed=7) as proxy:
        with Link(proxy.address, key=key) as link:
            ...                         # whatever your program does; it must not notice
    print(proxy.counters)

    ChaosProxy                          a proxy that breaks what goes through it: any TCP program's
    Cut Reset HalfClose Stall Throttle Flip Duplicate Blackhole Hold    what can happen to a connection, and where
    link_pair                           both ends of a real link in one line; for asyncio, testing.aio.link_pair
    session_pair                        both ends of the protocol without sockets, by a clock of the test's
    wire_pair, FakeClock                a transport in memory, with the same faults; a clock by hand
    values, frames, chaos_plans         strategies for Hypothesis
    TransportConformance                tests for anything that wants to be a transport

docs/testing-kit.md shows each.  The fixtures for pytest are there once netstructer is installed: `pytest --fixtures`.
"""

from netstructer.testing.clock import FakeClock
from netstructer.testing.conformance import SocketLike, TransportConformance
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
from netstructer.testing.links import LinkPair, link_pair
from netstructer.testing.proxy import ChaosProxy, Counters, Happening
from netstructer.testing.session_end import SessionEnd
from netstructer.testing.sessions import SessionPair, session_pair
from netstructer.testing.spelling import parse_fault, read_plan, write_fault
from netstructer.testing.strategies import chaos_faults, chaos_plans, frames, hashable_values, mutated_frames, values
from netstructer.testing.wire import Wire, WireEnd, wire_pair

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
    "LinkPair",
    "Plan",
    "Reset",
    "SessionEnd",
    "SessionPair",
    "SocketLike",
    "Stall",
    "Throttle",
    "TransportConformance",
    "Wire",
    "WireEnd",
    "chaos_faults",
    "chaos_plans",
    "frames",
    "hashable_values",
    "link_pair",
    "mutated_frames",
    "parse_fault",
    "read_plan",
    "session_pair",
    "values",
    "wire_pair",
    "write_fault",
]
