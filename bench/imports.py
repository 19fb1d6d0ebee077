"""What an import costs on top of a started interpreter, each in a fresh process, in turn."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

__all__ = ["measure"]

STATEMENTS = (
    "import netstructer",
    "from netstructer import Key",
    "from netstructer import Link",
    "from netstructer import Link, Server",
    "import ssl, pickle, socket",
    "import asyncio",
)
SCALES = {"smoke": 2, "short": 15, "full": 30}
"""Processes for each statement."""
PROBE = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by statement: the median and the least of the processes, in milliseconds."""
    taken: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(SCALES[scale] + 1):
        for statement, found in taken.items():
            command = [sys.executable, "-c", PROBE.format(statement)]
            found.append(float(subprocess.run(command, capture_output=True, check=True, text=True).stdout) * 1e3)
    # The first of each read from the disk and may have written byte code.
    return {
        statement: {"median_ms": statistics.median(found[1:]), "least_ms": min(found[1:])}
        for statement, found in taken.items()
    }


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
