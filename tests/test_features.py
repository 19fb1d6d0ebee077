"""What both ends agreed on is held to: compression that is not in force, and what an acknowledgement waits for."""

from __future__ import annotations

import pytest

from netstructer import Blob
from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.types import REGISTRY
from netstructer.errors import IllegalFrame, Misuse, UnsendableValue
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.assembly import Assembly
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.payloads import MOST_BLOBS, Payloads
from netstructer.protocol.states import CancelCode, Flag, Role
from pair import Told

BOTH = int(Flag.FIRST | Flag.LAST)


@pytest.mark.parametrize("codec", [NONE, ZSTD])
@pytest.mark.parametrize("compressing", [True, False])
def test_zstd_is_taken_only_where_it_was_agreed_on(codec: int, compressing: bool) -> None:
    arrivals = Told(Limits.DEFAULT).arrivals
    inflow = Inflow(Role.SERVER, bytes(32), limits=Limits.DEFAULT, arrivals=arrivals, now=0.0, compressing=compressing)
    body = memoryview(bodies.single(1, codec, b"x", 1))

    if codec == ZSTD and not compressing:
        with pytest.raises(IllegalFrame, match="not agreed on"):
            inflow.data(BOTH, 1, body, 0.0)
    else:
        assert inflow.data(BOTH, 1, body, 0.0)[0] is not None


def test_a_message_of_one_record_is_never_one_too_many() -> None:
    limits = Limits(streams=2)
    assembly = Assembly(Role.SERVER, limits, Told(limits).arrivals)
    first = memoryview(bodies.First(bodies.VALUE, NONE, 0, 3, 0).pack() + b"a")
    empty = memoryview(bodies.First(bodies.VALUE, NONE, 0, 0, 0).pack() + bodies.total(0))

    assembly.data(int(Flag.FIRST), 1, 1, first)
    assembly.data(int(Flag.FIRST), 3, 2, first)

    assert assembly.data(BOTH, 5, 3, empty) is not None
    with pytest.raises(IllegalFrame, match="unfinished"):
        assembly.data(int(Flag.FIRST), 7, 4, first)


def test_a_cancel_names_the_stream_that_its_message_is_on() -> None:
    assembly = Assembly(Role.SERVER, Limits.DEFAULT, Told(Limits.DEFAULT).arrivals)
    assembly.data(int(Flag.FIRST), 1, 1, memoryview(bodies.First(bodies.VALUE, NONE, 0, 3, 0).pack() + b"a"))

    with pytest.raises(IllegalFrame, match="stream 99"):
        assembly.cancelled(99, 1, CancelCode.ABANDONED)


def test_an_end_that_dies_before_it_pings_is_misuse() -> None:
    with pytest.raises(Misuse, match="dead_seconds"):
        Limits(ping_seconds=10.0, dead_seconds=10.0)


def test_too_many_blobs_are_refused_before_a_byte_leaves() -> None:

    payloads = Payloads(limits=Limits.DEFAULT, peer_limits=Limits.BULK, types=REGISTRY, compressing=True)
    blob = Blob(b"")

    assert len(payloads.encode([blob] * MOST_BLOBS).blobs) == MOST_BLOBS
    with pytest.raises(UnsendableValue, match="65535 blobs"):
        payloads.encode([blob] * (MOST_BLOBS + 1))
