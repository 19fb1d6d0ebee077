"""The vectors of the value format: each is decoded whole and byte by byte, and what is good is encoded again.

A vector states what is expected, in `python:` the value as a literal where it has one, in `limits:` one limit other
than the default, in `blobs:` the sizes of the blobs that come with it (or `unknown`), in `needs:` a package.  Types are
those of strategies.py.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from cases import case
from netstructer.codec.blob import Blob
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue
from netstructer.limits import Limits
from strategies import TYPES, same

FOLDER = Path(__file__).parent / "vectors" / "values"
VECTORS = sorted(FOLDER.glob("*.vector"))
KEYS = {"expect", "comment", "python", "limits", "blobs", "needs"}


def read(path: Path) -> tuple[dict[str, str], bytes]:
    """Read the header and the bytes of a vector."""
    head, _, body = path.read_text("utf-8").partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines())

    assert {"expect", "comment"} <= set(facts) <= KEYS
    assert facts["expect"] in ("success", "BadValue")
    return facts, bytes.fromhex(body)


def test_there_are_vectors_of_both_kinds() -> None:
    kinds = [read(path)[0]["expect"] for path in VECTORS]

    assert kinds.count("success") > 35
    assert kinds.count("BadValue") > 100


def test_a_vector_is_what_it_says() -> None:
    for path in VECTORS:
        facts, data = read(path)
        if "needs" not in facts or importlib.util.find_spec(facts["needs"]) is not None:
            with case(path.stem):
                check_vector(facts, data)


def check_vector(facts: dict[str, str], data: bytes) -> None:
    figures = dict([facts["limits"].split("=")] if "limits" in facts else [])
    limits = dataclasses.replace(Limits.DEFAULT, **{field: int(figure) for field, figure in figures.items()})

    def run(source: Any) -> Any:
        sizes = facts.get("blobs", "").split()
        blobs = [Blob.from_iter(()) if size == "unknown" else Blob(bytes(int(size))) for size in sizes]
        return decode(source, limits=limits, types=TYPES, blobs=blobs)

    if facts["expect"] == "success":
        for source in (data, (bytes([byte]) for byte in data)):
            value = run(source)
            assert b"".join(encode(value, types=TYPES).buffers) == data
            if "python" in facts:
                assert same(value, ast.literal_eval(facts["python"]))
        with pytest.raises(BadValue):
            run(data + b"\0")
    else:
        for source in (data, (bytes([byte]) for byte in data), memoryview(data)):
            with pytest.raises(BadValue, match="at byte"):
                run(source)
