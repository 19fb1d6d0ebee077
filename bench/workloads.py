"""What is measured: one function for each workload, run in the client's process.  Law: everything sent is counted on
arrival.

`run(job)` returns figures by name; the report knows which of them a table shows.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import inputs
from bench.inputs import MIB, same
from bench.memory import Growth, resident_kib
from bench.peers import PEERS, Connection, Peer
from bench.relay import Relay

__all__ = ["WORKLOADS", "Site"]

Figures = dict[str, float]


@dataclass(slots=True, kw_only=True)
class Site:
    """Where a workload runs: the peer, its server, and how much to do."""

    peer: Peer
    config: dict[str, Any]
    port: int
    server_pid: int
    scale: dict[str, int]
    growth: Growth | None = None

    @property
    def small(self) -> Any:
        """What this peer sends as the small structure."""
        return self.peer.small

    def connect(self, port: int | None = None) -> Connection:
        """Open one more connection to the server, or to what stands before it."""
        return self.peer.connect(self.config, port or self.port)

    def ready(self) -> None:
        """Say that the inputs are made and the clock is about to start: from now on memory is watched."""
        if self.scale.get("held"):
            # Until the memory holder has let go (see cells.py).
            print("SET 1", flush=True)
            sys.stdin.readline()
        self.growth = Growth(self.server_pid)


def connect(site: Site) -> Figures:
    """Connect, send the small structure, receive it, close: one after the other."""
    _check_small(site)
    first = []
    site.ready()
    began = time.perf_counter()
    for _ in range(site.scale["count"]):
        started = time.perf_counter()
        connection = site.connect()
        connection.echo(site.small)
        first.append(time.perf_counter() - started)
        connection.close()
    took = time.perf_counter() - began
    return {"per_second": len(first) / took, "first_ms": statistics.median(first) * 1e3, "p99_ms": _p99(first) * 1e3}


def round_trip(site: Site) -> Figures:
    """Send the small structure and wait until it is back."""
    _check_small(site)
    connection = site.connect()
    connection.time_echoes(site.small, site.scale["warm"])
    site.ready()
    taken = connection.time_echoes(site.small, site.scale["count"])
    return {"median_us": statistics.median(taken) / 1e3, "p99_us": _p99(taken) / 1e3}


def one_way(site: Site) -> Figures:
    """Send the small structure again and again, then ask how many arrived."""
    _check_small(site)
    connection = site.connect()
    small = site.small
    connection.push([small] * 100)
    sent = site.scale["count"]
    site.ready()
    began = time.perf_counter()
    count, length = connection.push(small for _ in range(sent))
    took = time.perf_counter() - began
    _check((count, length), (sent, sent * len(small)))
    return {"per_second": sent / took}


def rows(site: Site) -> Figures:
    """Send one large list of dicts and wait until the server has decoded it."""
    return _structure(site, inputs.make_rows(site.scale["count"]))


def tuples(site: Site) -> Figures:
    """Send one large list of tuples and wait until the server has decoded it."""
    return _structure(site, inputs.make_tuples(site.scale["count"]))


def bulk(site: Site) -> Figures:
    """Send random bytes as values of a mebibyte each, pipelined."""
    return _stream(site, inputs.make_random_mebibytes(site.scale["mebibytes"]))


def text(site: Site) -> Figures:
    """Send log text as values of a mebibyte each, pipelined."""
    return _stream(site, inputs.make_text_mebibytes(site.scale["mebibytes"]))


def single(site: Site) -> Figures:
    """Send one very large value and wait until the server has it."""
    value = inputs.make_single(site.scale["mebibytes"])
    connection = site.connect()
    connection.measure(b"x" * 1000)
    site.ready()
    began = time.perf_counter()
    length = connection.measure(value)
    took = time.perf_counter() - began
    _check(length, len(value))
    assert site.growth is not None
    grown = site.growth.figures()
    return {
        "mebibytes_per_second": len(value) / MIB / took,
        "client_extra_mib": grown["client_growth_mib"],
        "server_extra_mib": grown["server_growth_mib"] - len(value) / MIB,
    }


def idle(site: Site) -> Figures:
    """Hold many connections that say nothing, and time one that talks, before and beside them."""
    count, small = site.scale["count"], site.small
    connection = site.connect()
    connection.time_echoes(small, site.scale["trips"] // 10)
    alone = connection.time_echoes(small, site.scale["trips"])
    site.ready()
    before = resident_kib(site.server_pid)
    began = time.perf_counter()
    held = site.peer.hold(site.config, site.port, count)
    opened = time.perf_counter() - began
    time.sleep(1)
    after = resident_kib(site.server_pid)
    taken = connection.time_echoes(small, site.scale["trips"])
    for alive in held[:: max(1, count // 20)]:
        _check(alive.echo(small), small)
    return {
        "server_kib": (after - before) / count,
        "median_us": statistics.median(taken) / 1e3,
        "p99_us": _p99(taken) / 1e3,
        "alone_p99_us": _p99(alone) / 1e3,
        "opened": count / opened,
    }


def fan_out(site: Site) -> Figures:
    """Have the server send 1 KiB to each of many connections, many times; the clock stops when all are decoded."""
    count, rounds = site.scale["count"], site.scale["rounds"]
    site.ready()
    return {"per_second": count * rounds / site.peer.fan_out(site.config, site.port, count, rounds)}


def wire(site: Site) -> Figures:
    """Count the bytes from client to server, beside the length of the pickle."""
    relay = Relay(site.port)
    connection = site.connect(relay.here)
    handshake = relay.sent
    connection.measure(site.small)
    site.ready()
    before = relay.sent
    for _ in range(site.scale["count"]):
        connection.measure(site.small)
    figures = {"handshake_bytes": handshake, "small_bytes": (relay.sent - before) / site.scale["count"]}
    for name, values in (
        ("rows", [inputs.make_rows(site.scale["rows"])]),
        ("tuples", [inputs.make_tuples(2 * site.scale["rows"])]),
        ("text", inputs.make_text_mebibytes(site.scale["mebibytes"])),
        ("random", inputs.make_random_mebibytes(site.scale["mebibytes"])),
    ):
        plain = sum(len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)) for value in values)
        before = relay.sent
        for value in values:
            connection.measure(value)
        figures[f"{name}_share"] = (relay.sent - before) / plain
    return figures


WORKLOADS: dict[str, Callable[[Site], Figures]] = {
    "connect": connect,
    "rtt": round_trip,
    "rtt1core": round_trip,
    "oneway": one_way,
    "rows": rows,
    "tuples": tuples,
    "bulk": bulk,
    "text": text,
    "single": single,
    "idle": idle,
    "idle5000": idle,
    "fanout": fan_out,
    "wire": wire,
}


def _structure(site: Site, value: Any) -> Figures:
    pickled = len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    connection = site.connect()
    if site.small is inputs.SMALL and not same(connection.echo(value[:3]), value[:3]):
        raise RuntimeError("came back changed")
    _check(connection.measure(value), len(value))
    taken = []
    site.ready()
    for _ in range(site.scale["repeats"]):
        began = time.perf_counter()
        _check(connection.measure(value), len(value))
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    return {"per_second": 1 / median, "mebibytes_per_second": pickled / MIB / median, "pickled_bytes": pickled}


def _stream(site: Site, values: list[Any]) -> Figures:
    connection = site.connect()
    connection.measure(values[0][:1000])
    site.ready()
    began = time.perf_counter()
    arrived = connection.push(values)
    took = time.perf_counter() - began
    _check(tuple(arrived), (len(values), len(values) * MIB))
    return {"mebibytes_per_second": len(values) / took}


def _check_small(site: Site) -> None:
    connection = site.connect()
    if not same(connection.echo(site.small), site.small):
        raise RuntimeError("the small structure came back changed")
    connection.close()


def _check(found: Any, expected: Any) -> None:
    if found != expected:
        raise RuntimeError(f"expected {expected!r}, found {found!r}")


def _p99(taken: list[Any]) -> float:
    return float(sorted(taken)[min(len(taken) - 1, len(taken) * 99 // 100)])


def _run(job: dict[str, Any]) -> Figures:
    with open(job["config"]) as file:
        config = json.load(file)
    site = Site(
        peer=PEERS[job["peer"]], config=config, port=job["port"], server_pid=job["server_pid"], scale=job["scale"]
    )
    figures = WORKLOADS[job["workload"]](site)
    return figures if site.growth is None else figures | site.growth.figures()


if __name__ == "__main__":
    print("RESULT " + json.dumps(_run(json.loads(sys.argv[1]))), flush=True)
    # Not by way of the interpreter's end: a thousand open connections would be closed one by one.
    os._exit(0)
