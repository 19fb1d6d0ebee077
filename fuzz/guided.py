"""The coverage-guided engine: one target under atheris, in a process of its own.

    python -m fuzz.guided NAME [libFuzzer's options] [folders with inputs]

The package is imported here for the first time, with atheris's instrumentation; so this module imports nothing of it at
its head, and `python -m fuzz` starts it as another process.  What libFuzzer finds (an exception, an input without end,
one that takes too much memory) it writes to a file; `guide` makes that a regression, as the other engines do.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fuzz.oracle import HANG_SECONDS, Judge
from fuzz.targets import DIRECTORY, LONGEST, Fault, Target, load_target, memory

__all__ = ["INSTALL", "Guided", "guide", "have_atheris", "main"]

INSTALL = "the coverage-guided engine needs atheris: pip install 'netstructer[fuzz]' (CPython 3.11 to 3.13, Linux)"
RSS_MEBIBYTES = 640
"""What the whole process may have: twice what the largest target has after a million inputs."""
GRACE_SECONDS = 120.0
"""Beyond its time a process may take so long to import, to read its corpus and to end."""


@dataclass(slots=True, kw_only=True)
class Guided:
    """What one process came to."""

    count: int = 0
    seconds: float = 0.0
    worst_seconds: float = 0.0
    """What the slowest took: not told by libFuzzer."""
    edges: int = 0
    """Edges of the package's code that its inputs have taken."""
    features: int = 0
    """Edges by how often each was taken, as libFuzzer counts."""
    fault: Fault | None = None


def have_atheris() -> bool:
    """Say whether the engine is installed here."""
    return importlib.util.find_spec("atheris") is not None


def guide(
    target: Target, corpus: Path | None, *, seconds: float | None = None, runs: int | None = None, seed: int = 0
) -> Guided:
    """Run a target under atheris until its time or its number of runs is over, or until its first fault.

    Inputs that take new ways are kept in the folder `corpus`, where one is given, and a later run goes on from there.
    """
    with tempfile.TemporaryDirectory(prefix="netstructer-fuzz-", dir=memory()) as directory:
        place = Path(directory)
        corpus = corpus or place / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        begin, found = place / "begin", place / "found"
        begin.mkdir()
        found.mkdir()
        for number, data in enumerate((*target.regressions, *target.corpus)):
            (begin / str(number)).write_bytes(data)
        command = [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "fuzz.guided",
            target.name,
            *_options(seconds, runs, seed),
        ]
        command += [f"-artifact_prefix={found}/", str(corpus), str(begin)]
        log, environ = place / "log", {**os.environ, DIRECTORY: directory}
        with log.open("wb") as file:
            allowed = None if seconds is None else seconds + HANG_SECONDS + GRACE_SECONDS
            try:
                status = subprocess.run(
                    command, stdout=file, stderr=file, env=environ, timeout=allowed, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                status = -1
        return _outcome(log.read_text("utf-8", "replace"), found, status)


def main(arguments: list[str]) -> None:
    """Run one target under atheris; never returns."""
    if not have_atheris():
        sys.exit(INSTALL)
    import atheris

    logging.getLogger("netstructer").addHandler(logging.NullHandler())
    name, *options = arguments
    with atheris.instrument_imports(include=["netstructer"]):
        target = load_target(name)
    atheris.Setup(["fuzz", *options], Judge(target.one))
    atheris.Fuzz()


def _options(seconds: float | None, runs: int | None, seed: int) -> list[str]:
    options = [
        f"-timeout={HANG_SECONDS:.0f}",
        f"-rss_limit_mb={RSS_MEBIBYTES}",
        f"-max_len={LONGEST}",
        f"-seed={seed + 1}",  # 0 would mean any
        "-print_final_stats=1",
        "-report_slow_units=1000",
        "-use_value_profile=0",
    ]
    if seconds is not None:
        options.append(f"-max_total_time={max(1, round(seconds))}")
    if runs is not None:
        options.append(f"-runs={runs}")
    return options


def _outcome(log: str, found: Path, status: int) -> Guided:
    lines = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+)", log, re.MULTILINE)
    counts = [int(count) for count, _, _ in lines]
    counts += [int(count) for count in re.findall(r"^stat::number_of_executed_units:\s*(\d+)", log, re.MULTILINE)]
    took = re.search(r"^Done \d+ runs in (\d+) second", log, re.MULTILINE)
    outcome = Guided(count=max(counts, default=0), seconds=float(took[1]) if took else 0.0)
    if lines:
        outcome.edges, outcome.features = int(lines[-1][1]), int(lines[-1][2])
    artifacts = sorted(path for path in found.iterdir() if path.name.split("-")[0] in ("crash", "timeout", "oom"))
    if artifacts:
        what = artifacts[0].name.split("-")[0]
        outcome.fault = Fault(data=artifacts[0].read_bytes(), text=f"{what} under atheris\n{_told(log)}")
    elif status != 0:
        raise RuntimeError(f"atheris ended with status {status} and no input\n{log[-4000:]}")
    return outcome


def _told(log: str) -> str:
    """Return what atheris says of an exception, or the last lines where there was none."""
    _, mark, text = log.partition("=== Uncaught Python exception: ===")
    return text.partition("\n==")[0][-4000:] if mark else log[-4000:]


if __name__ == "__main__":
    main(sys.argv[1:])
