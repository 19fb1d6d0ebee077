"""The value format beside pickle, marshal, msgpack, ormsgpack and cbor2: time both ways, and size before and after
zstd.

Each codec takes the inputs that it gives back equal and of the same types; what it cannot carry, or carries changed, is
not timed.  Rates are MiB/s of the *pickled* size for all of them, so they compare as times do.  Ours hands out buffers,
large bytes by reference, and is timed to there: the street does not join them either.
"""

from __future__ import annotations

import json
import marshal
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import zstandard

from bench import inputs
from bench.inputs import MIB, same
from bench.measure import interleave
from netstructer.codec.values import decode, encode

try:
    from netstructer.codec.acceleration import CHOICE

    COMPILED = CHOICE.compiled is not None
except ModuleNotFoundError:
    COMPILED = False

__all__ = ["CODECS", "make_inputs", "measure"]

PURE_VARIABLE = "NETSTRUCTER_PURE"
SCALES = {"smoke": (0.01, 0.01), "short": (0.2, 0.3), "full": (1.0, 2.0)}
"""Share of the inputs' size, and seconds for each input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """Value to what is encoded, and one piece of bytes back to the value."""

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[bytes], Any]
    join: Callable[[Any], bytes] = bytes
    """Makes one piece of what `encode` returns; not timed."""


def make_inputs(share: float) -> dict[str, Any]:
    """Return the inputs by name, at this share of their full size."""

    def many(count: int) -> int:
        return max(1, int(count * share))

    return {
        "small structures": inputs.make_small(many(10_000)),
        "dict rows": inputs.make_rows(many(50_000)),
        "tuple rows": inputs.make_tuples(many(100_000)),
        "floats": inputs.make_floats(many(1_000_000)),
        "small sets": [{i, i + 1, str(i)} for i in range(many(50_000))],
        "mixed nested": inputs.make_mixed(many(10_000)),
        "JSON document": inputs.make_document(many(30_000)),
        "large bytes": inputs.make_single(max(1, int(64 * share))),
    }


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "input / codec".  Where the compiled codec runs, the one in Python has a row of its own: its
    time is that of a process of its own, by its ratio to the pickle there."""
    figures = _measure(scale)
    if not COMPILED:
        return figures
    command = [sys.executable, "-m", "bench.values", scale]
    environment = os.environ | {PURE_VARIABLE: "1"}
    printed = subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout
    pure = json.loads(printed.removeprefix("RESULT "))
    found = {}
    for label, row in figures.items():
        found[label] = row
        if label.endswith(" / netstructer"):
            found[f"{label} pure"] = _scaled(pure[label], pure, figures, label.partition(" / ")[0])
    return found


def _scaled(
    row: dict[str, float], pure: dict[str, dict[str, float]], figures: dict[str, dict[str, float]], label: str
) -> dict[str, float]:
    """Return what was measured in another process as if the machine had been as fast there as here."""
    factor = figures[f"{label} / pickle"]["both_ms"] / pure[f"{label} / pickle"]["both_ms"]
    rates = {name: row[name] / factor for name in ("encode_mib_s", "decode_mib_s")}
    return row | rates | {"both_ms": row["both_ms"] * factor}


def _measure(scale: str) -> dict[str, dict[str, float]]:
    share, seconds = SCALES[scale]
    figures: dict[str, dict[str, float]] = {}
    for label, value in make_inputs(share).items():
        able = {codec.name: (codec, encoded) for codec in CODECS if (encoded := _carried(codec, value)) is not None}
        if "netstructer" not in able:
            raise RuntimeError(f"netstructer does not carry {label}")
        tasks: dict[str, Callable[[], object]] = {}
        for name, (codec, encoded) in able.items():
            tasks[f"{name} encode"] = partial(codec.encode, value)
            tasks[f"{name} decode"] = partial(codec.decode, encoded)
        taken = interleave(tasks, seconds=seconds)
        pickled = len(able["pickle"][1]) / MIB
        for name, (_, encoded) in able.items():
            out, back = taken[f"{name} encode"], taken[f"{name} decode"]
            figures[f"{label} / {name}"] = {
                "encode_mib_s": pickled / out,
                "decode_mib_s": pickled / back,
                "both_ms": (out + back) * 1e3,
                "size_mib": len(encoded) / MIB,
                "zstd_mib": len(zstandard.ZstdCompressor(level=3).compress(encoded)) / MIB,
            }
    return figures


def _codecs() -> list[Codec]:
    found = [
        Codec(name="netstructer", encode=encode, decode=decode, join=lambda encoded: b"".join(encoded.buffers)),
        Codec(name="pickle", encode=partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), decode=pickle.loads),
        Codec(name="marshal", encode=marshal.dumps, decode=marshal.loads),
    ]
    try:
        import msgpack

        found.append(Codec(name="msgpack", encode=msgpack.packb, decode=partial(msgpack.unpackb, strict_map_key=False)))
    except ImportError:
        pass
    try:
        import ormsgpack

        options = ormsgpack.OPT_NON_STR_KEYS
        found.append(
            Codec(
                name="ormsgpack",
                encode=partial(ormsgpack.packb, option=options),
                decode=partial(ormsgpack.unpackb, option=options),
            )
        )
    except ImportError:
        pass
    try:
        import cbor2

        found.append(Codec(name="cbor2", encode=cbor2.dumps, decode=cbor2.loads))
    except ImportError:
        pass
    return found


def _carried(codec: Codec, value: Any) -> bytes | None:
    """Return the encoded value where the codec gives it back unchanged, and None where it does not."""
    try:
        encoded = codec.join(codec.encode(value))
        back = codec.decode(encoded)
    except Exception:  # each library has errors of its own for what it does not carry
        if codec.name == "netstructer":
            raise
        return None
    return encoded if same(back, value) else None


CODECS = _codecs()

if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
