"""The compiled codec where memory is short, and where other code runs in its midst: nothing is freed twice or overseen.

What goes wrong here ends the process, so each test runs in one of its own, in which freed memory is overwritten.  Under
`make sanitize` the compiled loops also watch every byte that they touch.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cases import case
from netstructer.codec import decoder
from netstructer.codec.types import Types
from netstructer.errors import BadValue
from netstructer.limits import Limits
from test_acceleration import FRESH, fast, mutated, pieces

compiled = pytest.mark.skipif(not FRESH, reason="the accelerator was not built, or from other sources")
MISSES = 8
"""So many times in a row nothing had to be allocated any more at the place that fails: the work is done by then."""
MOST_ALLOCATIONS = 1500


def in_a_process(name: str) -> str:
    """Run a function of this file; return what it printed."""
    here = Path(__file__).parent
    path = os.pathsep.join((str(here.parent), str(here)))
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", f"import {Path(__file__).stem} as here; here.{name}()"],
        env={**os.environ, "PYTHONPATH": path, "PYTHONMALLOC": os.environ.get("PYTHONMALLOC", "debug")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


TYPES = Types()

# --- no memory --------------------------------------------------------------------------------------------------------

SMALL: tuple[Any, ...] = (
    [1, 300, "k", "\xe9", "\ud800", 1.5, None, (1, "x"), b"bytes", {"key": [1]}, {"key": [2]}],
    [{1, 2}, {"x", 300}, {("a",), ("b",)}, frozenset({"\xe9", 1 << 80}), bytearray(b"y"), set(), ()],
    [[1] * 16, [-1, 9] * 9, [0.5] * 16, [True] * 17, ["a"] * 16, [None, "a"] * 8, [b"a", 1] * 9],
    [{"a": number, "b": str(number)} for number in range(18)],
    [[number, "x"] for number in range(18)],
    {f"{number}" for number in range(40)},
    dict.fromkeys(range(20), "x"),
    [[[[[[[[[[["deep"]]]]]]]]]]],
)


def short_of_memory() -> None:
    """Have each allocation fail in turn, in encoding and in decoding, at once and in pieces."""
    import _testcapi

    tried = 0
    for value in SMALL:
        data = b"".join(map(bytes, fast.encode_value(value, Limits.DEFAULT, TYPES).buffers))
        works: tuple[Callable[[], Any], ...] = (
            lambda value=value: fast.encode_value(value, Limits.DEFAULT, TYPES),
            lambda data=data: fast.decode_value(data, Limits.DEFAULT, TYPES, ()),
            lambda data=data: fast.decode_value(iter(list(pieces(data, 7))), Limits.DEFAULT, TYPES, ()),
        )
        for work in works:
            # Once without: where memory is short for the first traceback of a line, CPython loses what was raised.
            work()
            misses = place = 0
            while misses < MISSES and place < MOST_ALLOCATIONS:
                _testcapi.set_nomemory(place, place + 1)
                try:
                    work()
                except Exception:  # MemoryError, or a refusal that has it as its cause
                    misses = 0
                else:
                    misses += 1
                finally:
                    _testcapi.remove_mem_hooks()
                place += 1
            tried += place
    sys.stdout.write(str(tried))


@compiled
def test_each_allocation_may_fail() -> None:
    pytest.importorskip("_testcapi")

    assert int(in_a_process("short_of_memory")) > 1000


# --- other code in the midst ------------------------------------------------------------------------------------------

SHARED: list[Any] = []
"""What is being encoded."""
DRAW = random.Random(5)


class Mark:
    """Whatever the codec asks of it, something else is done as well."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __hash__(self) -> int:
        interfere()
        return 7

    def __eq__(self, other: object) -> bool:
        interfere()
        return type(other) is Mark and other.x == self.x


def of_mark(item: Mark) -> Any:
    interfere()
    return item.x


def to_mark(x: Any) -> Mark:
    interfere()
    return Mark(x)


TYPES.register(Mark, name="Mark", to=of_mark, make=to_mark)


class Dying:
    """Interferes when it is collected, which is at any time."""

    def __init__(self) -> None:
        self.ring = [self]

    def __del__(self) -> None:
        interfere()


class Calm:
    """Whether nothing interferes."""

    depth = 0


def interfere() -> None:
    if Calm.depth:
        return
    Calm.depth = 1
    try:
        kind = DRAW.randrange(200)
        if kind == 0:
            raise KeyboardInterrupt
        if kind == 1:
            raise IndexError
        if kind == 2:
            look_around()
        elif kind < 6:
            fast.decode_value(fast.encode_value(SMALL[1], Limits.DEFAULT, TYPES).buffers, Limits.DEFAULT, TYPES, ())
        elif kind < 70 and SHARED:
            change(DRAW.choice(SHARED))
    finally:
        Calm.depth = 0


def look_around() -> None:
    """Look at all that the collector knows of, and change lists that are the codec's or in the value."""
    for seen in gc.get_objects():
        if type(seen) in (list, tuple) and len(seen) < 100:
            kinds = set(map(type, seen))
            if type(seen) is list and seen is not SHARED and (Mark in kinds or "mark" in map(str, seen[:2])):
                change(seen)


def change(item: Any) -> None:
    if type(item) is list:
        item.clear() if DRAW.random() < 0.3 else item.append({"mark": [1]})
    elif type(item) is dict:
        item.clear() if DRAW.random() < 0.3 else item.update({DRAW.randrange(50): 1})
    else:
        item.clear() if DRAW.random() < 0.3 else item.add(DRAW.randrange(50))


def made() -> list[Any]:
    """Return a value of every form, which `change` knows all parts of."""
    value: list[Any] = [
        [{"mark": number, "b": [number]} for number in range(20)],
        [["mark", number, Mark(number)] for number in range(20)],
        [("mark", number) for number in range(20)],
        {"mark", 1, 2.5, (1, "x")},
        {f"{number}" for number in range(40)} | {1},
        {"mark": 1, **dict.fromkeys(range(20), "x")},
        {"mark": 1, 2: 3},
        ["mark"] * 20,
        [0.5] * 20,
        ["mark", None] * 10,
        {Mark(number) for number in range(5)},
        {Mark(1): 1, Mark(2): 2},
        [Mark(number) for number in range(18)],
    ]
    SHARED[:] = [*value, *value[0], *value[1]]
    return [*value, frozenset({frozenset({1, "x"}), Mark(3)}), value[7], value[0]]


def interfered_with() -> None:
    """Encode and decode while all of that happens, with a collection at each chance."""
    found = {"done": 0, "refused": 0}
    Calm.depth = 1
    data = b"".join(map(bytes, fast.encode_value(made(), Limits.DEFAULT, TYPES).buffers))
    gc.set_threshold(1, 1, 1)
    for number in range(150):
        Calm.depth = 1
        value = made()
        Dying()
        Calm.depth = 0
        try:
            if number % 2:
                fast.encode_value(value, Limits.DEFAULT, TYPES)
            else:
                raw = data if DRAW.random() < 0.3 else mutated(data, DRAW)
                fast.decode_value(raw if number % 4 else stirred(raw), Limits.DEFAULT, TYPES, ())
            found["done"] += 1
        except (Exception, KeyboardInterrupt):
            found["refused"] += 1
    gc.set_threshold(700, 10, 10)
    sys.stdout.write(f"{found['done']} {found['refused']}")


def stirred(data: bytes) -> Iterator[bytes]:
    for piece in pieces(data, 41):
        interfere()
        yield piece


@compiled
def test_other_code_may_do_anything_in_the_midst() -> None:
    done, refused = map(int, in_a_process("interfered_with").split())

    assert done + refused == 150
    assert done > 0
    assert refused > 0


# --- claims -----------------------------------------------------------------------------------------------------------


def claimed(length: int) -> bytes:
    return bytes((0xF8 - 1 + 8,)) + length.to_bytes(8, "big")


@compiled
@pytest.mark.parametrize("length", [1 << 56, 1 << 61, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_what_is_claimed_is_not_believed(length: int) -> None:
    """A length of nearly 64 bits runs over nowhere, is not allocated, and is refused in the same words."""
    heads = [
        *(bytes((tag,)) for tag in range(0xE8, 0x100)),
        *(bytes((tag, kind)) for tag in (0xF5, 0xF6, 0xF7) for kind in range(12)),
    ]
    for head in heads:
        with case(head.hex()):
            check_claim(head, length)


def check_claim(head: bytes, length: int) -> None:
    words = []
    tracemalloc.start()
    try:
        for limits in (Limits.DEFAULT, replace(Limits.DEFAULT, value_items=(1 << 32) - 1, value_bytes=1 << 62)):
            for source in (lambda data: data, lambda data: iter([data]), lambda data: iter([data[:3], data[3:]])):
                for run in (fast.decode_value, decoder.decode_value):
                    with pytest.raises(BadValue) as refused:
                        run(source(b"\x91" + head + claimed(length) + bytes(40)), limits, TYPES, ())
                    words.append(str(refused.value))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()

    assert words[::2] == words[1::2]
