"""What each step of a value's way costs, by the clock or in instructions: the profile behind docs/performance.md.

    python -m bench.steps [--only small,record,rows] [--seconds 2] [--cipher NAME] [--instructions] [--json]

The steps are those of `netstructer bench` (netstructer/cli/walk.py), with more time for each.  Instructions are counted
by valgrind's callgrind, in all threads and in libraries, not in the kernel: they are the same in every run to a percent
or so, whoever else uses the machine, and so show a gain that the clock cannot.  A process under callgrind waits before
and after each step while the counter is reset and read; the steps themselves run without pause.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.inputs import SMALL, make_rows
from netstructer.cli.walk import STEPS, Walk, apart, measure_steps

__all__ = ["SUBJECTS", "count_instructions", "table"]

SUBJECTS: dict[str, tuple[Callable[[], Any], int]] = {
    "small": (lambda: SMALL, 100),
    "record": (lambda: os.urandom(65_000), 10),
    "rows": (lambda: make_rows(1000), 5),
}
"""What is sent, and how many make a batch: the small structure, a record's fill of random bytes, a thousand rows."""
ROOT = Path(__file__).resolve().parent.parent
WARM_BATCHES = 3
PAUSE = "pause"
"""A step that does nothing: what counting costs itself."""


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.steps", description="What each step of a value's way costs.")
    parser.add_argument("--only", default=",".join(SUBJECTS), help="of " + ",".join(SUBJECTS))
    parser.add_argument("--seconds", type=float, default=2.0, help="for each, by the clock")
    parser.add_argument("--cipher", help="for the records, where it is not Fernet's")
    parser.add_argument("--instructions", action="store_true", help="count instructions, with valgrind")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--staged", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := set(names) - set(SUBJECTS):
        parser.error(f"unknown: {', '.join(unknown)}")
    if options.staged:
        _pass_stages(names[0], options.cipher)
        return 0
    if options.instructions:
        found = {name: count_instructions(name, options.cipher) for name in names}
    else:
        found = {}
        for name in names:
            make, batch = SUBJECTS[name]
            found[name] = measure_steps(make(), batch=batch, seconds=options.seconds, cipher=options.cipher)
    print(json.dumps(found) if options.json else table(found, instructions=options.instructions))
    return 0


def table(found: dict[str, dict[str, float]], *, instructions: bool = False) -> str:
    """Return the figures as a Markdown table: microseconds, or thousands of instructions."""
    unit, factor = ("k instructions", 1e-3) if instructions else ("µs", 1e6)
    lines = ["| step | at the | " + " | ".join(f"{name}, {unit}" for name in found) + " |"]
    lines.append("|---|---|" + "---:|" * len(found))
    for step in STEPS:
        cells = [f"{costs[step.name] * factor:,.1f}" if step.name in costs else "–" for costs in found.values()]
        lines.append(f"| {step.name}: {step.words} | {step.end} | " + " | ".join(cells) + " |")
    sums = [f"{sum(costs.values()) * factor:,.1f}" for costs in found.values()]
    return "\n".join([*lines, "| all | | " + " | ".join(sums) + " |"])


# --- instructions -----------------------------------------------------------------------------------------------------


def count_instructions(name: str, cipher: str | None = None) -> dict[str, float]:
    """Return the instructions of each step for one value.  Raises `FileNotFoundError` without valgrind."""
    for program in ("valgrind", "vgdb"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed here")
    with tempfile.TemporaryDirectory(prefix="netstructer-steps-") as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--vgdb-prefix={folder}/vgdb"]
        staged = [sys.executable, "-m", "bench.steps", "--staged", "--only", name]
        with subprocess.Popen(
            [*command, *staged, *(["--cipher", cipher] if cipher else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        ) as process:
            counted = _count(process, Path(folder))
    batch = SUBJECTS[name][1]
    pause = min(counted.pop(PAUSE))
    found = {step: sum(each - pause for each in times) / batch for step, times in counted.items()}
    return apart(found)


def _count(process: subprocess.Popen[str], folder: Path) -> dict[str, list[float]]:
    """Let the process go from stage to stage, and read the counter after each."""
    assert process.stdin is not None
    assert process.stdout is not None
    control = ["vgdb", f"--vgdb-prefix={folder}/vgdb", f"--pid={process.pid}"]
    counted: dict[str, list[float]] = {}
    for line in process.stdout:
        word, _, name = line.strip().partition(" ")
        subprocess.run([*control, "zero" if word == "BEGIN" else "dump"], check=True, capture_output=True)
        if word == "END":
            counted.setdefault(name, []).append(_last_total(folder))
        process.stdin.write("\n")
        process.stdin.flush()
    if process.wait() or not counted:
        raise RuntimeError(f"the process under valgrind ended with {process.returncode}")
    return counted


def _last_total(folder: Path) -> float:
    """Return the instructions of the last dump, and remove it."""
    total = 0.0
    for path in folder.glob("out*"):
        if found := re.search(r"^(?:totals|summary): (\d+)", path.read_text("utf-8"), re.MULTILINE):
            total += float(found[1])
        path.unlink()
    return total


def _pass_stages(name: str, cipher: str | None) -> None:
    """Walk in this process, waiting before and after each stage of one batch."""
    make, batch = SUBJECTS[name]

    def stage(label: str, function: Callable[[], None]) -> None:
        for word in ("BEGIN", "END"):
            print(word, label, flush=True)
            sys.stdin.readline()
            if word == "BEGIN":
                function()

    with Walk(make(), batch=batch, cipher=cipher) as walk:
        for _ in range(WARM_BATCHES):
            for _, function in walk.stages():
                function()
        for _ in range(2):
            stage(PAUSE, lambda: None)
        for label, function in walk.stages():
            stage(label, function)


if __name__ == "__main__":
    sys.exit(main())
