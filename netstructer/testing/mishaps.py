"""Frames, faults and plans as they are drawn.  Floor: FAÇADES.

Law: what is drawn is a fact that can be shown and shrunk; nothing happens here.  Only `strategies` imports this.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from netstructer.protocol.states import Kind
from netstructer.testing.faults import (
    Blackhole,
    Cut,
    Direction,
    Duplicate,
    Fault,
    Flip,
    HalfClose,
    Hold,
    Reset,
    Stall,
    Throttle,
)
from netstructer.testing.framing import Drawn, FrameStream, Mutation, mutate, sealed

__all__ = ["faults", "frames", "mutated_frames", "plans"]

# --- frames -----------------------------------------------------------------------------------------------------------

_RECORDS = st.builds(
    Drawn,
    kind=st.one_of(st.sampled_from([int(kind) for kind in Kind if kind is not Kind.REKEY]), st.integers(0x20, 0xFF)),
    flags=st.integers(0, 15),
    stream=st.integers(0, (1 << 32) - 1),
    body=st.one_of(st.binary(max_size=40), st.binary(min_size=240, max_size=300)),
    pad_bytes=st.sampled_from([0, 0, 0, 1, 15, 16, 100]),
)
_REKEY = st.just(Drawn(kind=int(Kind.REKEY)))


def frames(secret: bytes, most: int) -> st.SearchStrategy[FrameStream]:
    """See `strategies.frames`."""
    records = st.lists(_RECORDS, min_size=1, max_size=most)
    rekeyed = st.builds(lambda found, rekey: [*found, *rekey], records, st.lists(_REKEY, max_size=1))
    return rekeyed.map(lambda found: sealed(found, secret))


def mutated_frames(secret: bytes, most: int) -> st.SearchStrategy[Mutation]:
    """See `strategies.mutated_frames`."""
    ways = st.sampled_from(["flip", "cut", "insert", "drop", "double", "swap"])
    return st.builds(mutate, frames(secret, most), ways, st.integers(0, 1 << 20), st.integers(0, 1 << 10))


# --- faults -----------------------------------------------------------------------------------------------------------


def faults(most_bytes: int) -> st.SearchStrategy[Fault]:
    """See `strategies.chaos_faults`."""
    ways: list[Direction] = ["out", "in"]
    place: dict[str, Any] = {"at": st.integers(0, most_bytes), "direction": st.sampled_from(ways)}
    seconds = st.sampled_from([None, 0.0, 0.25, 1.0, 30.0])
    return st.one_of(
        *(st.builds(kind, **place) for kind in (Cut, Reset, HalfClose, Blackhole)),
        st.builds(Stall, seconds=seconds, **place),
        st.builds(Throttle, bytes_per_second=st.sampled_from([2000.0, 10_000.0, 1e6]), **place),
        st.builds(Flip, bit=st.integers(0, 7), **place),
        st.builds(Duplicate, count=st.integers(1, 100), **place),
        st.builds(Hold, count=st.one_of(st.none(), st.integers(0, most_bytes)), seconds=seconds, **place),
    )


def plans(most_bytes: int, most_connections: int) -> st.SearchStrategy[list[list[Fault]]]:
    """See `strategies.chaos_plans`."""
    return st.lists(st.lists(faults(most_bytes), max_size=3), max_size=most_connections)
