"""Memory: what a process holds, and by how much it grew at most.  Linux says so; elsewhere the figures are zeros."""

from __future__ import annotations

import contextlib
import os

__all__ = ["Growth", "resident_kib"]

RESET_PEAK = "5"
"""What makes the kernel forget a process's peak (man 5 proc, clear_refs)."""


class Growth:
    """How much two processes grow from now on, at their peaks."""

    def __init__(self, server_pid: int) -> None:
        self._pids = {"client": os.getpid(), "server": server_pid}
        for pid in self._pids.values():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as file:
                file.write(RESET_PEAK)
        self._before = {name: resident_kib(pid) for name, pid in self._pids.items()}

    def figures(self) -> dict[str, float]:
        """Return MiB for each end."""
        return {
            f"{name}_growth_mib": max(0, resident_kib(pid, peak=True) - self._before[name]) / 1024
            for name, pid in self._pids.items()
        }


def resident_kib(pid: int, *, peak: bool = False) -> int:
    """Return the resident memory of a process now, or at its peak; 0 where the system does not say."""
    field = "VmHWM:" if peak else "VmRSS:"
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith(field)), 0)
    except OSError:
        return 0
