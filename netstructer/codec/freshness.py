"""Which sources the accelerator is built from, and their digest, by which a build that is out of date is known.

Floor: CODEC.  setup.py reads this file too, by its path: it imports nothing of the package.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["SOURCES", "digest"]

COMPILED = ("_fast.pyx", "_fast_c.pxi", "_fast_bulk.pxi", "_fast_encoder.pxi", "_fast_decoder.pxi")
SOURCES = (
    *COMPILED,
    "encoder.py",
    "decoder.py",
    "heads.py",
    "opening.py",
    "closing.py",
    "bulk.py",
    "tags.py",
    "text.py",
    "spans.py",
)
"""What is compiled, and what it must do as these do."""


def digest(folder: Path = Path(__file__).parent) -> str:
    """Return the digest of the sources as they are now; raises `OSError` if one is not there."""
    found = hashlib.sha256()
    for name in SOURCES:
        found.update((folder / name).read_bytes())
    return found.hexdigest()
