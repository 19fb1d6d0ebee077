"""Break the code, one safeguard at a time, and see that a test turns red for each: `make sabotage`.

    python tests/breaking.py                        all of breakages.txt
    python tests/breaking.py --only "the MAC"       those whose name has these words in it
    python tests/breaking.py --workers 2            so many at a time
    python tests/breaking.py --find --only "..."    every test of the files named there that turns red

Each runs in a copy of the tree.  First all named tests are run without a breakage, and have to be green.  A breakage is
found where pytest says that a test failed; tests that cannot even be collected, or that do not end, find nothing.  The
exit status is 1 when one is not found.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("netstructer", "tests", "fuzz", "bench", "docs", "examples")
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "setup.cfg", "setup.py", "LICENSE", "MANIFEST.in")
SECONDS = 120.0
"""For the tests of one breakage: a loop without end is no red test."""
GREEN, RED = 0, 1
"""Exit statuses of pytest."""


class Edit(NamedTuple):
    """One patch: a file of the package, the text that must be in it once, and what is put in its place."""

    file: str
    old: str
    new: str


class Breakage(NamedTuple):
    """A safeguard that is taken away, by patches, and the tests of which at least one must turn red."""

    name: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]


class Found(NamedTuple):
    """What came of one breakage."""

    breakage: Breakage
    red: list[str]
    seconds: float
    told: str


class StaleError(Exception):
    """A patch does not fit to the code any more."""


def read_breakages(text: str) -> tuple[Breakage, ...]:
    """Return what a list of breakages says; breakages.txt tells its form."""
    _, *blocks = re.split(r"^=== ", text, flags=re.MULTILINE)
    return tuple(map(_read_breakage, blocks))


def _read_breakage(block: str) -> Breakage:
    head, *patches = re.split(r"^--- ", block.rstrip() + "\n", flags=re.MULTILINE)
    name, *tests = head.splitlines()
    return Breakage(name, tuple(test.removeprefix("red: ") for test in tests), tuple(map(_read_edit, patches)))


def _read_edit(patch: str) -> Edit:
    file, *lines = patch.splitlines()
    old = [line[1:] for line in lines if line[:1] != "+"]
    new = [line[1:] for line in lines if line[:1] != "-"]
    return Edit(file, *("".join(f"{line}\n" for line in side) for side in (old, new)))


def patched(text: str, edit: Edit) -> str:
    """Return a file's text, patched.  Raises `StaleError` where the old text is not there exactly once."""
    count = text.count(edit.old)
    if count != 1:
        raise StaleError(f"{edit.file}: expected this text once, found it {count} times: {edit.old!r}")
    return text.replace(edit.old, edit.new)


def broken_files(root: Path, breakage: Breakage) -> dict[Path, str]:
    """Return the texts of the files that a breakage changes, by their places under `root`."""
    texts: dict[Path, str] = {}
    for edit in breakage.edits:
        place = root / "netstructer" / edit.file
        texts[place] = patched(texts.get(place, place.read_text()), edit)
    return texts


def copy_tree(to: Path) -> Path:
    """Copy the checkout as far as tests need it."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__", "results", "crashes"))
    for file in FILES:
        shutil.copy2(ROOT / file, to / file)
    return to


def run_tests(root: Path, tests: list[str], *, first: bool) -> tuple[int, list[str], str]:
    """Run tests in a copy; return pytest's exit status, which are red, and all that was told."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=line",
        "--hypothesis-seed=0",
    ]
    # Nothing is compiled to disk: a file that was changed twice in a second would not be compiled again.
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command += ["--hypothesis-seed=0", *(["-x"] if first else []), *(f"tests/{test}" for test in tests)]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS * (1 if first else 10)
        )
    except subprocess.TimeoutExpired:
        return -1, [], "the tests did not end"
    red = [
        line.split(" - ")[0].removeprefix("FAILED tests/") for line in done.stdout.splitlines() if line[:7] == "FAILED "
    ]
    return done.returncode, red, done.stdout + done.stderr


def break_and_test(root: Path, breakage: Breakage, *, find: bool) -> Found:
    """Apply a breakage in a copy, run its tests, and take it back."""
    began = time.monotonic()
    sound = {place: place.read_text() for place in {root / "netstructer" / edit.file for edit in breakage.edits}}
    try:
        for place, text in broken_files(root, breakage).items():
            place.write_text(text)
        tests = sorted({test.partition("::")[0] for test in breakage.tests}) if find else list(breakage.tests)
        status, red, told = run_tests(root, tests, first=not find)
    finally:
        for place, text in sound.items():
            place.write_text(text)
    return Found(breakage, red if status == RED else [], time.monotonic() - began, told)


BREAKAGES = read_breakages((ROOT / "tests" / "breakages.txt").read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="NAME", default="", help="those whose name has this in it")
    parser.add_argument("--workers", type=int, default=1, help="how many at a time")
    parser.add_argument("--find", action="store_true", help="every red test of the named files")
    options = parser.parse_args()
    chosen = [breakage for breakage in BREAKAGES if options.only in breakage.name]
    if not chosen:
        parser.error(f"no breakage has {options.only!r} in its name")
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="netstructer-breaking-")))
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(options.workers):
            copies.put(copy_tree(temporary / str(number)))
        for breakage in chosen:
            broken_files(ROOT, breakage)
        if not options.find and not green_without(temporary / "0", chosen):
            return 1
        pool = stack.enter_context(ThreadPoolExecutor(options.workers))

        def one(breakage: Breakage) -> Found:
            root = copies.get()
            try:
                return break_and_test(root, breakage, find=options.find)
            finally:
                copies.put(root)

        return tell(list(map(told_of, pool.map(one, chosen))))


def green_without(root: Path, chosen: list[Breakage]) -> bool:
    """Say whether all the named tests are green while nothing is broken."""
    tests = sorted({test for breakage in chosen for test in breakage.tests})
    status, red, told = run_tests(root, tests, first=False)
    if status == GREEN:
        print(f"green without a breakage: {told.splitlines()[-1]}", flush=True)
        return True
    print(told[-4000:], f"not green without a breakage: {', '.join(red) or status}", sep="\n")
    return False


def told_of(found: Found) -> Found:
    """Print the line of one breakage as soon as it is there."""
    files = ", ".join(dict.fromkeys(edit.file for edit in found.breakage.edits))
    functions = list(dict.fromkeys(test.partition("[")[0] for test in found.red))
    red = ", ".join(functions) if functions else "NOT FOUND"
    print(f"{found.breakage.name:<60} {files:<28} {found.seconds:5.1f} s  {red}", flush=True)
    return found


def tell(all_found: list[Found]) -> int:
    """Print what was found, and what not."""
    missed = [found for found in all_found if not found.red]
    for found in missed:
        print(f"\n--- {found.breakage.name}\n{found.told[-1500:]}")
    seconds = sum(found.seconds for found in all_found)
    print(
        f"{len(all_found)} breakages, {len(all_found) - len(missed)} found, {len(missed)} not; {seconds:.0f} s of tests"
    )
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
