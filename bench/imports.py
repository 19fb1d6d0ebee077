"""What an import costs on top of a started interpreter, and what a whole process takes, each fresh, in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

__all__ = ["measure"]

STATEMENTS = (
    "import netstructer",
    "from netstructer import Key",
    "from netstructer import Link",
    "from netstructer import Link, Server",
    "from netstructer import aio",
    "import ssl, pickle, socket",
    "import asyncio",
)
COMMANDS = {
    "start-up: python -c pass": ("-c", "pass"),
    "start-up: netstructer --version": ("-m", "netstructer", "--version"),
    "start-up: a server, a link, a value there": (
        "-c",
        "from netstructer import Key, Link, Server\n"
        "key = Key.generate()\n"
        "with Server(key=key) as server, Link(server.address, key=key) as link:\n"
        "    link.send(1)\n"
        "    assert server.accept(timeout=5).recv(timeout=5) == 1",
    ),
    "start-up: import ssl, pickle, socket, threading": ("-c", "import ssl, pickle, socket, threading"),
}
"""Arguments for the interpreter: from nothing to its end."""
SCALES = {"smoke": 1, "short": 15, "full": 30}
"""Processes for each statement."""
PROBE = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by statement: the median and the least of the processes, in milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in (*STATEMENTS, *COMMANDS)}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(SCALES[scale] + 1):
            for name, found in taken.items():
                timed = _run(COMMANDS[name], environment) if name in COMMANDS else _probe(name, environment)
                found.append(timed)
    # The first of each compiled the sources, as an installation does.
    return {
        statement: {"median_ms": statistics.median(found[1:]), "least_ms": min(found[1:])}
        for statement, found in taken.items()
    }


def _probe(statement: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", PROBE.format(statement)]
    probed = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return float(probed.stdout) * 1e3


def _run(arguments: tuple[str, ...], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
