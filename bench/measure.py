"""How time is taken: everything that is compared has its turn in every repetition, and medians are shown with their
spread.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import ssl
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["describe_machine", "interleave", "spread"]


def interleave(tasks: Mapping[str, Callable[[], object]], *, seconds: float, least: int = 3) -> dict[str, float]:
    """Return the least seconds of one call of each task; A B C, A B C, ..., until the time is over.

    The least, because these tasks do nothing but compute: what other processes take from them is added, never taken
    off. The collector runs between the calls, not timed, and what is alive now is out of its sight: otherwise whose
    turn it is when a full collection falls due would decide who is slow.  Collections that a call's own objects cause
    are its cost.
    """
    gc.collect()
    gc.freeze()
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < least or time.monotonic() < end:
        for name, task in tasks.items():
            gc.collect()
            began = time.perf_counter()
            task()
            taken[name].append(time.perf_counter() - began)
        rounds += 1
    gc.unfreeze()
    return {name: min(found) for name, found in taken.items()}


def spread(found: Sequence[float], digits: int) -> str:
    """Return "median [least–most]", or the median alone where they do not differ at these digits."""
    median, least, most = statistics.median(found), min(found), max(found)
    texts = [f"{figure:,.{digits}f}" for figure in (median, least, most)]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} [{texts[1]}–{texts[2]}]"


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    """Return what figures depend on: processor, system, interpreter, libraries."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
