"""Scales: how much each workload does, and who takes part in it.

`smoke` shows that everything runs.  `short` is what fits into four minutes: each workload with the peers that a mark
of docs/performance.md names.  `full` is what is published: everybody in everything.
"""

from __future__ import annotations

from bench.peers import PEERS

__all__ = ["BUDGETS", "MODULES", "ROUNDS", "SCALES", "SECONDS", "participants"]

SCALES: dict[str, dict[str, dict[str, int]]] = {
    "smoke": {
        "connect": {"count": 3},
        "rtt": {"count": 50, "warm": 10},
        "rtt1core": {"count": 50, "warm": 10, "core": 0},
        "oneway": {"count": 300},
        "rows": {"count": 300, "repeats": 2},
        "tuples": {"count": 300, "repeats": 2},
        "bulk": {"mebibytes": 2},
        "text": {"mebibytes": 2},
        "single": {"mebibytes": 8},
        "idle": {"count": 10, "trips": 30},
        "fanout": {"count": 5, "rounds": 3},
        "wire": {"count": 20, "mebibytes": 1, "rows": 300},
    },
    "short": {
        "connect": {"count": 60},
        "rtt": {"count": 2000, "warm": 200},
        "rtt1core": {"count": 2000, "warm": 200, "core": 0},
        "oneway": {"count": 10_000},
        "rows": {"count": 20_000, "repeats": 4},
        "tuples": {"count": 40_000, "repeats": 4},
        "bulk": {"mebibytes": 64},
        "text": {"mebibytes": 64},
        "single": {"mebibytes": 128, "held": 1},
        "idle": {"count": 200, "trips": 1000},
        "fanout": {"count": 100, "rounds": 20},
        "wire": {"count": 100, "mebibytes": 8, "rows": 20_000},
    },
    "full": {
        "connect": {"count": 200},
        "rtt": {"count": 5000, "warm": 200},
        "rtt1core": {"count": 5000, "warm": 200, "core": 0},
        "oneway": {"count": 50_000},
        "rows": {"count": 50_000, "repeats": 10},
        "tuples": {"count": 100_000, "repeats": 10},
        "bulk": {"mebibytes": 256, "held": 2},
        "text": {"mebibytes": 256, "held": 2},
        "single": {"mebibytes": 1024, "held": 8},
        "idle": {"count": 1000, "trips": 3000},
        "idle5000": {"count": 5000, "trips": 3000},
        "fanout": {"count": 500, "rounds": 40},
        "wire": {"count": 1000, "mebibytes": 32, "rows": 50_000},
    },
}
"""`held`: GiB of memory that are touched and given back before the clock starts.  `core`: both processes on one."""
SECONDS = {"smoke": 30, "short": 60, "full": 180}
"""What one cell may take before it is ended and counted as failed."""
ROUNDS = {"smoke": 1, "short": 3, "full": 5}
BUDGETS = {"smoke": 60.0, "short": 200.0, "full": 6 * 3600.0}
"""Seconds after which no round ends that has not begun; the first one is always whole."""
MODULES = {
    "smoke": ("limits", "values", "imports"),
    "short": ("limits", "values", "imports"),
    "full": ("limits", "values", "seal", "imports", "files", "blobs", "overtaking", "strangers", "crowd", "accounts"),
}
"""The benches without peers that a scale has unless others are asked for."""

OURS = ("netstructer", "netstructer aes-256-gcm", "netstructer.aio")
OURS_MANY = ("netstructer send_many", "netstructer.aio send_many")
RIVALS = (
    "pyzmq CURVE + pickle",
    "Pyro5 msgpack",
    "Pyro5 serpent",
    "RPyC ssl + pickle",
    "websockets + msgpack TLS",
    "gRPC + pickle",
)
SHORT: dict[str, tuple[str, ...]] = {
    "connect": ("ssl+pickle mTLS", "netstructer", "netstructer.aio"),
    "rtt": (*OURS, *RIVALS, "mp.connection"),
    "rtt1core": ("netstructer", "netstructer.aio"),
    "oneway": ("netstructer", "netstructer.aio", *OURS_MANY, "pyzmq CURVE + pickle"),
    "rows": ("netstructer", "netstructer.aio"),
    "tuples": ("netstructer", "netstructer.aio"),
    "bulk": (*OURS, "netstructer.aio aes-256-gcm"),
    "text": ("ssl+zstd+pickle", "netstructer", "netstructer.aio"),
    "single": OURS,
    "idle": ("netstructer", "netstructer.aio", "asyncio+tls"),
    "fanout": ("netstructer", "netstructer.aio", "pyzmq CURVE + pickle"),
    "wire": ("netstructer", "ssl+zstd+pickle"),
}
"""Who takes part beside the reference in the short form."""
SMOKE = {
    "connect": ("ssl+pickle mTLS",),
    "rtt": tuple(PEERS),
    "oneway": OURS_MANY,
    "bulk": ("netstructer aes-256-gcm",),
    "text": ("ssl+zstd+pickle",),
    "fanout": ("netstructer.aio",),
}
"""Who takes part beside netstructer in the smoke: everybody, in one workload at least."""


def participants(scale: str, workload: str, chosen: list[str], reference: str) -> list[str]:
    """Return who of the chosen takes part, in their order."""
    wanted = {
        "smoke": {"netstructer", *SMOKE.get(workload, ())},
        "short": {reference, *SHORT.get(workload, ())},
    }.get(scale, set(PEERS))
    return [name for name in chosen if name in wanted and workload in (PEERS[name].only or (workload,))]
