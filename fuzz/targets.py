"""The targets: what each is called, what it begins with, and what it must do with an input.

A target's inputs to begin with are those that its module makes (`seeds`), the vectors of its area, the corpus that is
committed under `fuzz/corpus/NAME/`, and the regressions under `fuzz/regressions/NAME/`: inputs that once failed.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = [
    "DIRECTORY",
    "Fault",
    "Target",
    "keep",
    "load_target",
    "load_targets",
    "memory",
    "names",
    "read_vector",
    "regressions",
    "scratch",
    "scratched",
]

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "tests" / "vectors"
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"
AREAS = {
    "value": "values",
    "token": "tokens",
    "hello": "handshakes",
    "answer": "handshakes",
    "frame": "records",
    "wire": "sessions",
}
"""The folder of vectors that each target reads beside its own seeds."""
LONGEST = 1 << 16
"""Bytes of one input: the length of a large record.  Longer ones cost time and find nothing that these do not."""


DIRECTORY = "NETSTRUCTER_FUZZ_DIRECTORY"
"""Where targets make their files: set for a process that ends without tidying up, as one of libFuzzer's does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is fuzzed: its name, its corpus, and the function that reads one input."""

    name: str
    corpus: tuple[bytes, ...]
    one: Callable[[bytes], None]
    regressions: tuple[bytes, ...] = ()
    """Inputs that once failed: run before all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An input that a target may not fail on, and what happened."""

    data: bytes
    text: str


def names() -> list[str]:
    """Return what the targets are called, in order."""
    return sorted(path.stem.removesuffix("_target") for path in HERE.glob("*_target.py"))


def load_targets() -> list[Target]:
    """Import every `fuzz/<name>_target.py` and give it its corpus."""
    return [load_target(name) for name in names()]


def load_target(name: str) -> Target:
    """Import one target and give it its corpus."""
    module = importlib.import_module(f"fuzz.{name}_target")
    area = VECTORS / AREAS[name] if name in AREAS else None
    vectors = [read_vector(found) for found in sorted(area.glob("*.vector"))] if area else []
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    corpus = dict.fromkeys(data[:LONGEST] for data in (*module.seeds(), *vectors, *kept))
    return Target(name=name, corpus=tuple(corpus), one=module.one, regressions=tuple(regressions(name).values()))


@cache
def scratch() -> str:
    """Return a directory for the files of targets, in memory if there is one; it is gone when the process is."""
    given = os.environ.get(DIRECTORY)
    directory = tempfile.mkdtemp(prefix="netstructer-", dir=given or memory())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@contextmanager
def scratched() -> Iterator[None]:
    """Let what makes temporary files make them in `scratch()`: on a disk they take longer than all the rest."""
    before, tempfile.tempdir = tempfile.tempdir, scratch()
    try:
        yield
    finally:
        tempfile.tempdir = before


def memory() -> str | None:
    """Return a directory that lies in memory; None where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def read_vector(path: Path) -> bytes:
    """Return the input of a vector file: the hex below its header."""
    _, _, body = path.read_text("utf-8").partition("\n\n")
    return bytes.fromhex("".join(body.split()))


def regressions(name: str) -> dict[str, bytes]:
    """Return the inputs that a target once failed on, by the names of their files."""
    found = sorted((REGRESSIONS / name).glob("*.hex"))
    return {path.name: bytes.fromhex("".join(path.read_text("ascii").split())) for path in found}


def keep(target: Target, fault: Fault) -> Path:
    """Write the input of a fault as hex to the target's regressions, named by its digest; return the path.

    The suite replays it from then on, and is red until it is mended; then it is committed with what mended it.
    """
    folder = REGRESSIONS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(fault.data).hexdigest()[:16]}.hex"
    path.write_text(fault.data.hex() + "\n", "ascii")
    return path
