"""What is measured: one function for each workload, run in the client's process.  Law: everything sent is counted on
arrival.

`run(job)` returns figures by name; the report knows which of them a table shows.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import inputs
from bench.inputs import MIB, SMALL, same
from bench.peers import HOST, PEERS, Connection, Peer

__all__ = ["SCALES", "SECONDS", "WORKLOADS", "Site", "resident_kib"]

Figures = dict[str, float]

SCALES: dict[str, dict[str, dict[str, int]]] = {
    "smoke": {
        "connect": {"count": 5},
        "rtt": {"count": 100, "warm": 10},
        "rtt1core": {"count": 100, "warm": 10, "core": 0},
        "oneway": {"count": 500},
        "rows": {"count": 500, "repeats": 2},
        "tuples": {"count": 500, "repeats": 2},
        "bulk": {"mebibytes": 4},
        "text": {"mebibytes": 4},
        "single": {"mebibytes": 8},
        "idle": {"count": 20, "trips": 50},
        "fanout": {"count": 10, "rounds": 3},
        "wire": {"count": 20, "mebibytes": 2, "rows": 500},
    },
    "short": {
        "connect": {"count": 100},
        "rtt": {"count": 3000, "warm": 200},
        "rtt1core": {"count": 3000, "warm": 200, "core": 0},
        "oneway": {"count": 20_000},
        "rows": {"count": 50_000, "repeats": 5},
        "tuples": {"count": 100_000, "repeats": 5},
        "bulk": {"mebibytes": 128, "held": 1},
        "text": {"mebibytes": 128, "held": 1},
        "single": {"mebibytes": 128, "held": 2},
        "idle": {"count": 200, "trips": 1000},
        "fanout": {"count": 100, "rounds": 20},
        "wire": {"count": 200, "mebibytes": 16, "rows": 50_000},
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
        "fanout": {"count": 500, "rounds": 40},
        "wire": {"count": 1000, "mebibytes": 32, "rows": 50_000},
    },
}
"""How much each workload does.  `held`: GiB of memory that are touched and given back before the clock starts."""

SECONDS = {"smoke": 30, "short": 90, "full": 180}
"""What one cell may take before it is ended and counted as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a workload runs: the peer, its server, and how much to do."""

    peer: Peer
    config: dict[str, Any]
    port: int
    server_pid: int
    scale: dict[str, int]

    def connect(self, port: int | None = None) -> Connection:
        """Open one more connection to the server, or to what stands before it."""
        return self.peer.connect(self.config, port or self.port)


def connect(site: Site) -> Figures:
    """Connect, send the small structure, receive it, close: one after the other."""
    _check_small(site)
    first = []
    began = time.perf_counter()
    for _ in range(site.scale["count"]):
        started = time.perf_counter()
        connection = site.connect()
        connection.echo(SMALL)
        first.append(time.perf_counter() - started)
        connection.close()
    took = time.perf_counter() - began
    return {"per_second": len(first) / took, "first_ms": statistics.median(first) * 1e3, "p99_ms": _p99(first) * 1e3}


def round_trip(site: Site) -> Figures:
    """Send the small structure and wait until it is back."""
    _check_small(site)
    connection = site.connect()
    connection.time_echoes(SMALL, site.scale["warm"])
    taken = connection.time_echoes(SMALL, site.scale["count"])
    return {"median_us": statistics.median(taken) / 1e3, "p99_us": _p99(taken) / 1e3}


def one_way(site: Site) -> Figures:
    """Send the small structure again and again, then ask how many arrived."""
    _check_small(site)
    connection = site.connect()
    connection.push([SMALL] * 100)
    sent = site.scale["count"]
    began = time.perf_counter()
    count, length = connection.push(SMALL for _ in range(sent))
    took = time.perf_counter() - began
    _check((count, length), (sent, sent * len(SMALL)))
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
    before, server_before = resident_kib(os.getpid()), resident_kib(site.server_pid)
    _wait_for_memory(site)
    began = time.perf_counter()
    length = connection.measure(value)
    took = time.perf_counter() - began
    _check(length, len(value))
    return {
        "mebibytes_per_second": len(value) / MIB / took,
        "client_extra_mib": (resident_kib(os.getpid(), peak=True) - before) / 1024,
        "server_extra_mib": (resident_kib(site.server_pid, peak=True) - server_before) / 1024,
    }


def idle(site: Site) -> Figures:
    """Hold many connections that say nothing, and time one that talks."""
    count = site.scale["count"]
    connection = site.connect()
    connection.time_echoes(SMALL, 20)
    before = resident_kib(site.server_pid)
    began = time.perf_counter()
    held = [site.connect() for _ in range(count)]
    opened = time.perf_counter() - began
    time.sleep(1)
    after = resident_kib(site.server_pid)
    taken = connection.time_echoes(SMALL, site.scale["trips"])
    for alive in held[:: max(1, count // 20)]:
        _check(alive.echo(SMALL), SMALL)
    return {
        "server_kib": (after - before) / count,
        "median_us": statistics.median(taken) / 1e3,
        "opened": count / opened,
    }


def fan_out(site: Site) -> Figures:
    """Have the server send 1 KiB to each of many connections, many times; the clock stops when all are decoded."""
    count, rounds = site.scale["count"], site.scale["rounds"]
    boss = site.connect()
    members = [site.connect() for _ in range(count)]
    for member in members:
        member.order("join")
    began = time.perf_counter()
    boss.send(f"!fan:{rounds}")
    for _ in range(rounds):
        for member in members:
            if len(member.recv()) != len(inputs.FAN):
                raise RuntimeError("what was fanned out arrived changed")
    took = time.perf_counter() - began
    _check(boss.recv(), True)
    return {"per_second": count * rounds / took}


def wire(site: Site) -> Figures:
    """Count the bytes from client to server, beside the length of the pickle."""
    relay = Relay(site.port)
    connection = site.connect(relay.here)
    handshake = relay.sent
    connection.measure(SMALL)
    before = relay.sent
    for _ in range(site.scale["count"]):
        connection.measure(SMALL)
    figures = {"handshake_bytes": handshake, "small_bytes": (relay.sent - before) / site.scale["count"]}
    for name, values in (
        ("rows", [inputs.make_rows(site.scale["rows"])]),
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
    "fanout": fan_out,
    "wire": wire,
}


class Relay:
    """Stands between client and server and counts what the client sends."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._port = port
        self._listener = socket.create_server((HOST, 0))
        self.here: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection((HOST, self._port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while received := source.recv(1 << 18):
                if counted:
                    self.sent += len(received)
                sink.sendall(received)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def resident_kib(pid: int, *, peak: bool = False) -> int:
    """Return the resident memory of a process now, or at its peak; 0 where the system does not say."""
    field = "VmHWM:" if peak else "VmRSS:"
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith(field)), 0)
    except OSError:
        return 0


def _structure(site: Site, value: Any) -> Figures:
    pickled = len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    connection = site.connect()
    if not same(connection.echo(value[:3]), value[:3]):
        raise RuntimeError("came back changed")
    _check(connection.measure(value), len(value))
    taken = []
    for _ in range(site.scale["repeats"]):
        began = time.perf_counter()
        _check(connection.measure(value), len(value))
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    return {"per_second": 1 / median, "mebibytes_per_second": pickled / MIB / median}


def _stream(site: Site, values: list[Any]) -> Figures:
    connection = site.connect()
    connection.measure(values[0][:1000])
    _wait_for_memory(site)
    began = time.perf_counter()
    arrived = connection.push(values)
    took = time.perf_counter() - began
    _check(tuple(arrived), (len(values), len(values) * MIB))
    return {"mebibytes_per_second": len(values) / took}


def _check_small(site: Site) -> None:
    connection = site.connect()
    if not same(connection.echo(SMALL), SMALL):
        raise RuntimeError("the small structure came back changed")
    connection.close()


def _check(found: Any, expected: Any) -> None:
    if found != expected:
        raise RuntimeError(f"expected {expected!r}, found {found!r}")


def _p99(taken: list[Any]) -> float:
    return float(sorted(taken)[min(len(taken) - 1, len(taken) * 99 // 100)])


def _wait_for_memory(site: Site) -> None:
    """Say that the clock is about to start, and wait until the memory holder has let go (see cells.py)."""
    if site.scale.get("held"):
        print("SET 1", flush=True)
        sys.stdin.readline()


def _run(job: dict[str, Any]) -> Figures:
    with open(job["config"]) as file:
        config = json.load(file)
    site = Site(
        peer=PEERS[job["peer"]], config=config, port=job["port"], server_pid=job["server_pid"], scale=job["scale"]
    )
    return WORKLOADS[job["workload"]](site)


if __name__ == "__main__":
    print("RESULT " + json.dumps(_run(json.loads(sys.argv[1]))), flush=True)
    # Not by way of the interpreter's end: a thousand open connections would be closed one by one.
    os._exit(0)
