"""Ten thousand idle links at one server process, ours and others': what each costs, and a round trip beside them.

`python -m bench.crowd smoke|short|full [COUNT [WAY ...]]`.  Server and clients are processes of their own.  A server's
memory is read before and after the crowd has come; the round trips are made on a link that was there before it, first
while all others are silent, then while one of them is greedy: it sends 512 KiB, has them back, and sends them again.
The processor time that a server takes while nobody says anything is read over some seconds, pings included.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from bench import certificates
from bench.cells import CellError, Spawned, spawned
from bench.guests import GUESTS
from bench.hosts import HOSTS
from bench.memory import resident_kib

__all__ = ["measure"]

SCALES = {
    "smoke": {"count": 50, "trips": 50, "idle_seconds": 0},
    "short": {"count": 1000, "trips": 2000, "idle_seconds": 5},
    "full": {"count": 10_000, "trips": 5000, "idle_seconds": 20},
}
PROCESSES = 2
"""Processes that the clients share."""
OPEN_SECONDS = 240.0
"""What a crowd may take to come in."""
SETTLE_SECONDS = 1.0


def measure(scale: str, count: int | None = None, ways: tuple[str, ...] = tuple(HOSTS)) -> dict[str, dict[str, Any]]:
    """Return figures by "count / way"; what is not installed is skipped."""
    figures = SCALES[scale]
    count = count or figures["count"]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="netstructer-bench-") as folder:
        config = _config(Path(folder))
        for way in ways:
            label = f"{count:,} links / {way}"
            try:
                found[label] = _one(way, config, count, figures["trips"], figures["idle_seconds"])
            except CellError as error:
                absent = "ModuleNotFoundError" in str(error)
                found[label] = {"skipped" if absent else "error": str(error)}
    return found


def _one(way: str, config: Path, count: int, trips: int, idle_seconds: float) -> dict[str, float]:
    share = count // PROCESSES
    with (
        spawned("bench.hosts", way, str(config)) as server,
        spawned("bench.guests", way, str(config), str(port := server.wait("READY", 20))) as first,
        spawned("bench.guests", way, str(config), str(port)) as second,
    ):
        for guest in (first, second):
            guest.wait("WARM", 20)
        before, before_cpu = resident_kib(server.pid), _processor_seconds(server.pid)
        first.write(f"come {share}\n")
        second.write(f"come {count - share}\n")
        seconds = max(guest.wait("HELD", OPEN_SECONDS) for guest in (first, second))
        open_cpu = _processor_seconds(server.pid) - before_cpu
        time.sleep(SETTLE_SECONDS)
        after, began_cpu = resident_kib(server.pid), _processor_seconds(server.pid)
        time.sleep(idle_seconds)
        idle_cpu = _processor_seconds(server.pid) - began_cpu
        after = max(after, resident_kib(server.pid))
        quiet = _talk(second, trips)
        first.write("flood\n")
        first.wait("FLOODING", 20)
        crowded = _talk(second, trips // 5)
    return {
        "server_kib": (after - before) / count,
        "median_us": statistics.median(quiet),
        "p99_us": _p99(quiet),
        "most_us": max(quiet),
        "greedy_p99_us": _p99(crowded),
        "idle_percent": 100 * idle_cpu / idle_seconds if idle_seconds else 0.0,
        "opened_per_second": count / seconds,
        "open_cpu_us": 1e6 * open_cpu / count,
    }


def _talk(guest: Spawned, trips: int) -> list[float]:
    """Return the microseconds of each round trip."""
    guest.write(f"talk {trips}\n")
    return [nanoseconds / 1e3 for nanoseconds in guest.wait("TAKEN", OPEN_SECONDS)]


def _p99(taken: list[float]) -> float:
    return sorted(taken)[len(taken) * 99 // 100]


def _processor_seconds(pid: int) -> float:
    """Return what a process has taken of all processors."""
    if not os.path.exists(f"/proc/{pid}/stat"):
        return 0.0
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _config(folder: Path) -> Path:
    path = certificates.write_config(folder)
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "talker_key": Fernet.generate_key().decode()}))
    return path


if __name__ == "__main__":
    assert list(GUESTS) == list(HOSTS)
    _scale, *_rest = sys.argv[1:]
    _count = int(_rest[0]) if _rest else None
    print("RESULT " + json.dumps(measure(_scale, _count, tuple(_rest[1:]) or tuple(HOSTS))), flush=True)
