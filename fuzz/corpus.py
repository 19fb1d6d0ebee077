"""Makes the corpora that are committed: `python -m fuzz.corpus --corpora DIR [--target NAME]`.

What the guided engine has found lies in `DIR/NAME/`, thousands of inputs of which most show nothing that another does
not.  Here each is run once while every line of the package that it comes to is written down, with the line before it;
and the fewest and shortest inputs that come to all of that are kept in `fuzz/corpus/NAME/`, named by their digests.
It needs neither atheris nor anything else, and gives the same corpus each time.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.targets import CORPUS, LONGEST, load_target, names

__all__ = ["least", "main", "ways"]

MOST_INPUTS = 64
"""Of one target: what follows in the list of the best shows a line or two more."""
MOST_BYTES = 4096
"""Of one input: a longer one is for the target's own `seeds`, which says what it is about."""
PACKAGE = str(CORPUS.parent.parent / "netstructer")

Way = tuple[str, int, int]


def main(arguments: list[str] | None = None) -> int:
    """Make the corpora of all targets, or of one."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.corpus", description="Make the corpora that are committed.")
    parser.add_argument("--corpora", type=Path, required=True, help="where the guided engine has kept what it found")
    parser.add_argument("--target", help="only this one")
    options = parser.parse_args(arguments)
    logging.getLogger("netstructer").addHandler(logging.NullHandler())
    for name in [name for name in names() if options.target in (None, name)]:
        target = load_target(name)
        found = {path.read_bytes()[:LONGEST] for path in (options.corpora / name).glob("*") if path.is_file()}
        known = set().union(*(ways(target.one, data) for data in _seeds(name)))
        kept = least(target.one, {data for data in (*found, *target.corpus) if len(data) <= MOST_BYTES}, known)
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for data in kept:
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)
        print(f"{name:<10}{len(found):>6} found, {len(kept):>3} kept, {sum(map(len, kept)):>7,} bytes", flush=True)
    return 0


def least(one: Callable[[bytes], None], inputs: Iterable[bytes], known: set[Way]) -> list[bytes]:
    """Return the inputs that together come to everything that any of them does, beyond what is known: few and short."""
    seen = [(data, ways(one, data)) for data in sorted(inputs, key=lambda data: (len(data), data))]
    covered, kept = set(known), list[bytes]()
    while len(kept) < MOST_INPUTS:
        best = max(seen, key=lambda pair: len(pair[1] - covered), default=None)
        if best is None or not best[1] - covered:
            break
        kept.append(best[0])
        covered |= best[1]
    return kept


def ways(one: Callable[[bytes], None], data: bytes) -> frozenset[Way]:
    """Run one input; return each line of the package that it comes to, with the line before it."""
    found: set[Way] = set()

    def enter(frame: FrameType, event: str, value: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None
        place, before = f"{code.co_filename}:{code.co_firstlineno}", [0]

        def step(frame: FrameType, event: str, value: Any) -> Any:
            if event == "line":
                found.add((place, before[0], frame.f_lineno))
                before[0] = frame.f_lineno
            return step

        return step

    former = sys.gettrace()
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        one(data)
    finally:
        sys.settrace(former)
        threading.settrace(None)  # type: ignore[arg-type]  # which is how it is taken off
    return frozenset(found)


def _seeds(name: str) -> list[bytes]:
    """Return what a target makes itself: it need not be committed as well."""
    import importlib

    found: list[bytes] = importlib.import_module(f"fuzz.{name}_target").seeds()
    return found


if __name__ == "__main__":
    sys.exit(main())
