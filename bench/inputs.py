"""What is sent: the samples of `netstructer bench`, and more.  Law: the same in every run."""

from __future__ import annotations

import json
import os
import random
from typing import Any

from netstructer.cli.samples import (
    MIB,
    SMALL,
    make_random_mebibytes,
    make_rows,
    make_text_mebibytes,
    make_tuples,
)

__all__ = [
    "FAN",
    "MIB",
    "SMALL",
    "make_document",
    "make_floats",
    "make_mixed",
    "make_random_mebibytes",
    "make_rows",
    "make_single",
    "make_small",
    "make_text_mebibytes",
    "make_tuples",
    "same",
]

FAN = {"seq": 7, "topic": "prices", "vals": [i * 1.25 for i in range(20)], "body": "x" * 760}
"""About 1 KiB: what a server sends to many."""


def make_floats(count: int) -> list[float]:
    """Return one list of nothing but floats."""
    draw = random.Random(4)
    return [draw.gauss(0.0, 1e3) for _ in range(count)]


def make_mixed(count: int) -> list[Any]:
    """Return nested structures of many types, as an application's state has them."""
    draw = random.Random(5)
    return [
        {
            "at": (draw.random(), -draw.randrange(1 << 40)),
            "seen": {draw.randrange(1000) for _ in range(5)},
            b"raw": draw.randbytes(24),
            "path": ["jobs", number, {"state": draw.choice(["new", "running", "done"]), "tries": draw.randrange(4)}],
            number: None,
            "deep": [[[[[number, str(number)]]]]],
        }
        for number in range(count)
    ]


def make_document(count: int) -> Any:
    """Return what `json.load` makes of a large document: an API's answer, all keys new objects."""
    draw = random.Random(6)
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"place {number}", "population": draw.randrange(10**7), "capital": number % 50 == 0},
            "geometry": {
                "type": "Point",
                "coordinates": [round(draw.uniform(-180, 180), 6), round(draw.uniform(-90, 90), 6)],
            },
        }
        for number in range(count)
    ]
    return json.loads(json.dumps({"type": "FeatureCollection", "features": features}))


def make_small(count: int) -> list[Any]:
    """Return the small structure many times, no object of it twice: pickle would send a repeated one as a reference."""
    return [["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)] for _ in range(count)]


def make_single(mebibytes: int) -> bytes:
    """Return one value of random bytes, none of it repeated."""
    return os.urandom(mebibytes * MIB)


def same(first: Any, second: Any) -> bool:
    """Say whether two values are equal, and of equal types all the way down."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return len(first) == len(second) and all(
            same(a, b) and same(x, y) for (a, x), (b, y) in zip(first.items(), second.items(), strict=True)
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)
