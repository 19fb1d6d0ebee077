"""What a process holds: what it counts itself, at rest, and what the system says of it."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections import Counter

__all__ = ["census", "heap_bytes", "holdings", "resident"]


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def heap_bytes() -> int:
    """Return the bytes that this process has from malloc and has not given back; 0 where the library does not say.

    Those of libraries in C are among them; not those that Python's own allocator shares out to objects of up to 512
    bytes, which `sys.getallocatedblocks` counts.  Unlike resident memory it does not depend on how they lie.
    """
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return 0
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def census() -> dict[str, float]:
    """Return what there is once the collector has run: descriptors, threads, blocks, bytes, objects of ours."""
    collected = gc.collect()
    objects = sum(holdings().values())
    return {
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # the one of this listing
        "threads": threading.active_count(),
        "blocks": sys.getallocatedblocks(),
        "heap": heap_bytes(),
        "objects": objects,
        "tracked": len(gc.get_objects()),
        "in_cycles": collected,
    }


def holdings(package: str = "netstructer") -> Counter[str]:
    """Return how many objects there are of each class of the package's."""
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        if str(getattr(kind, "__module__", "")).partition(".")[0] == package:
            found[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return found


def resident(pid: int) -> dict[str, float]:
    """Return what the system says of a process: descriptors, threads, memory in bytes, processor seconds."""
    found = {"descriptors": float(len(os.listdir(f"/proc/{pid}/fd")))}
    memory = _fields(f"/proc/{pid}/smaps_rollup")
    found |= {"rss": memory["Rss"] * 1024, "pss": memory["Pss"] * 1024}
    found["uss"] = (memory["Private_Clean"] + memory["Private_Dirty"]) * 1024
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    found["cpu"] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found["threads"] = float(fields[17])
    return found


def _fields(place: str) -> dict[str, float]:
    with open(place) as file:
        lines = [line.split() for line in file if line.endswith("kB\n")]
    return {line[0].rstrip(":"): float(line[1]) for line in lines}
