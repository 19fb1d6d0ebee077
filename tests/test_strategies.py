"""The public strategies: what they draw travels, is of the types asked for, and breaks where it was broken."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netstructer.codec.frames import FrameReader
from netstructer.codec.types import Types
from netstructer.codec.values import decode, encode
from netstructer.errors import Misuse, PeerFault
from netstructer.limits import Limits
from netstructer.protocol.records import RecordReader
from netstructer.protocol.states import Kind
from netstructer.testing import (
    Fault,
    chaos_plans,
    frames,
    hashable_values,
    mutated_frames,
    session_pair,
    values,
)
from netstructer.testing.framing import sealed
from strategies import same

FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SECRET = bytes(range(32))
TYPES = Types()


@TYPES.register
@dataclass(frozen=True)
class Place:
    """A type of an application's."""

    name: Any


def carried(value: Any, types: Types = TYPES) -> Any:
    encoded = encode(value, limits=Limits.DEFAULT, types=types)
    return decode(b"".join(encoded.buffers), limits=Limits.DEFAULT, types=types)


def parts(value: Any) -> Iterator[Any]:
    """Give a value and everything in it."""
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from parts(key)
            yield from parts(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from parts(item)


@FEW
@given(values())
def test_what_is_drawn_travels(value: Any) -> None:
    assert same(carried(value), value)


@FEW
@given(values([int, str, None, list, dict, set]))
def test_only_what_was_asked_for_is_drawn(value: Any) -> None:
    assert {type(part) for part in parts(value)} <= {int, str, type(None), list, dict, set}


@FEW
@given(hashable_values())
def test_what_may_be_a_key_is_one(value: Any) -> None:
    assert {value: 1}
    assert same(carried({value}), {value})


@FEW
@given(
    values(
        [int, list],
        leaves=[st.just(Place("leaf"))],
        containers=lambda inner: [inner.map(Place)],
    )
)
def test_types_of_ones_own_come_in(value: Any) -> None:
    assert carried(value) == value


def kinds_drawn(strategy: st.SearchStrategy[Any], count: int = 40) -> set[type]:
    """Return the types of what is drawn; the same each time."""
    seen: set[type] = set()

    @settings(FEW, max_examples=count, phases=[Phase.generate], derandomize=True, database=None)
    @given(strategy)
    def collect(value: Any) -> None:
        seen.update(type(part) for part in parts(value))

    collect()
    return seen


@pytest.mark.parametrize("kind", [bytearray, set, frozenset, Counter, Decimal, date, deque, tuple])
def test_what_was_asked_for_is_drawn(kind: type) -> None:
    assert kind in kinds_drawn(values([int, kind]), 20)


def test_types_of_ones_own_are_drawn_at_every_place() -> None:
    own = values([int, list], leaves=[st.just(Place("leaf"))], containers=lambda inner: [inner.map(Place)])

    assert kinds_drawn(own, 30) == {int, list, Place}


@pytest.mark.parametrize(
    ("of", "reason"), [([Place], "of Place"), ([object, 3], "object"), ([list], "such as int"), ([], "such as int")]
)
def test_what_cannot_be_drawn_is_said(of: list[Any], reason: str) -> None:
    with pytest.raises(Misuse, match=reason):
        values(of)


def read(wire: bytes) -> tuple[list[tuple[int, int, int, bytes]], PeerFault | None]:
    """Read a stream as a receiver would; return the records before the first fault, and the fault."""
    reader, opened = FrameReader(1 << 20), RecordReader(SECRET, 0.0)
    reader.feed(wire)
    found = []
    try:
        while (token := reader.next_token()) is not None:
            record = opened.read(token)
            found.append((record.kind, record.flags, record.stream, bytes(record.body)))
            if record.kind == Kind.REKEY:
                opened.rekey(0.0)
    except PeerFault as error:
        return found, error
    return found, None


@FEW
@given(frames(SECRET))
def test_frames_are_read_as_they_were_drawn(stream: Any) -> None:
    found, error = read(stream.wire)

    assert error is None
    assert found == [(one.kind, one.flags, one.stream, one.body) for one in stream.records]


@FEW
@given(mutated_frames(SECRET))
def test_what_was_changed_is_never_taken(mutation: Any) -> None:
    found, error = read(mutation.wire)
    sent = [(one.kind, one.flags, one.stream, one.body) for one in mutation.stream.records]

    assert found == sent[: len(found)]
    assert len(found) == mutation.unchanged
    assert error is not None or len(found) < len(sent) or mutation.wire == mutation.stream.wire


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(chaos_plans(most_bytes=1500), st.integers(0, 3))
def test_a_session_outlives_every_plan(plan: list[list[Fault]], seed: int) -> None:
    pair = session_pair(plan, seed=seed)
    pair.settle()
    pair.client.send(list(range(300)))
    pair.settle()
    if not any(end.ended for end in pair.ends):  # five changed seals in a minute are no accident, and end a session
        assert pair.server.received == [list(range(300))]


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(Misuse, match="32 bytes"):
        sealed([], b"short")


def test_without_hypothesis_it_says_how_to_install_it() -> None:
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from netstructer.testing import values\n"
        "try: values()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "Misuse strategies need Hypothesis: pip install 'netstructer[testing]'\n"
