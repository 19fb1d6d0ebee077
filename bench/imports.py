"""What an import costs on top of a started interpreter, each in a fresh process, in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

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
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(SCALES[scale] + 1):
            for statement, found in taken.items():
                found.append(_probe(statement, environment))
    # The first of each compiled the sources, as an installation does.
    return {
        statement: {"median_ms": statistics.median(found[1:]), "least_ms": min(found[1:])}
        for statement, found in taken.items()
    }


def _probe(statement: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", PROBE.format(statement)]
    probed = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return float(probed.stdout) * 1e3


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
