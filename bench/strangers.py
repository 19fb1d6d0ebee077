"""Honest connects to a server while eight sources open half-open connections as fast as they can.

Three processes: the server, with the default limits and loopback not exempt; the attacker, whose connections come from
127.0.0.2 to 127.0.0.9 and are silent, or half a hello, or a recorded hello, by turns, and stay open at its end for as
long as the server lets them; and this one, which connects from 127.0.0.1 with the key, again and again, from when the
attack has begun until all of its connections were made.  A connect's time is that of `Link(...)`, an open link.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import socket
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

from bench.cells import Spawned, spawned
from bench.peers import HOST
from netstructer import Key, Limits, Link, Server
from netstructer.errors import NetstructerError
from netstructer.protocol.handshake import HELLO_BYTES, start_client
from netstructer.protocol.parameters import Parameters

__all__ = ["ask", "besieged", "connect_meanwhile", "measure"]

SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
COUNTS = {"smoke": (400, 20), "short": (10_000, 100), "full": (10_000, 100)}
"""Connections of the attacker, and the least of honest connects meanwhile."""
BEGUN = 200
"""Connections of the attacker before the first honest connect."""
START_SECONDS = 20.0
ATTACK_SECONDS = 120.0
SPARE_DESCRIPTORS = 64


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return the figures of honest connects alone, and under attack."""
    attacks, connects = COUNTS[scale]
    with besieged(attacks) as (address, key, attacker):
        alone = [_time_connect(address, key) for _ in range(connects)]
        meanwhile, failed = connect_meanwhile(address, key, attacker, connects)
    return {
        "honest connects / alone": _figures(alone, 0),
        "honest connects / under attack": _figures(meanwhile, failed),
    }


def connect_meanwhile(address: tuple[str, int], key: Key, attacker: Spawned, least: int) -> tuple[list[float], int]:
    """Begin the attack; return the seconds of each honest connect until it is over, at least so many, and how many more
    failed.
    """
    over = threading.Event()
    attacker.write("go\n")
    attacker.wait("BEGUN", START_SECONDS)

    def wait() -> None:
        attacker.wait("OPENED", ATTACK_SECONDS)
        over.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    times: list[float] = []
    failed = 0
    while len(times) + failed < least or not over.is_set():
        try:
            times.append(_time_connect(address, key))
        except NetstructerError:
            failed += 1
    waiting.join()
    return times, failed


@contextlib.contextmanager
def besieged(attacks: int) -> Iterator[tuple[tuple[str, int], Key, Spawned]]:
    """Give the address of a server, its key, and an attacker that waits for its word."""
    key = Key.generate()
    with spawned("bench.strangers", "serve") as server:
        server.write(key.reveal() + "\n")
        address = HOST, int(server.wait("READY", START_SECONDS))
        with spawned("bench.strangers", "attack", str(address[1]), str(attacks)) as attacker:
            recording = start_client(key, Parameters.of(Limits.DEFAULT, 0))[0]
            attacker.write(recording.hex() + "\n")
            yield address, key, attacker


def ask(address: tuple[str, int], key: Key) -> dict[str, int]:
    """Return what the server counts now: strangers of all kinds, and its descriptors."""
    with Link(address, key=key) as link:
        link.send("?")
        counts: dict[str, int] = link.recv(timeout=START_SECONDS)
        return counts


def _time_connect(address: tuple[str, int], key: Key) -> float:
    began = time.perf_counter()
    link = Link(address, key=key)
    took = time.perf_counter() - began
    link.close()
    return took


def _figures(times: list[float], failed: int) -> dict[str, float]:
    times = sorted(times)
    return {
        "median_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * times[max(0, -(-99 * len(times) // 100) - 1)],
        "most_ms": 1000 * times[-1],
        "count": len(times) + failed,
        "failed": failed,
    }


# --- the other processes ----------------------------------------------------------------------------------------------


def _serve() -> None:
    """Answer whatever comes with what is counted."""
    _raise_descriptors()
    server = Server((HOST, 0), key=sys.stdin.readline().strip(), limits=Limits(exempt_networks=()))

    @server.handler
    def answer(link: Link) -> None:
        for _ in link:
            stats, door = server.stats, server._door
            assert door is not None
            link.send(
                {
                    "refused": stats.handshakes_refused,
                    "dropped": stats.strangers_dropped,
                    "penalised": stats.penalised,
                    "half_open": len(door._visits),
                    "descriptors": len(_descriptors()),
                }
            )

    server.start()
    print("READY " + json.dumps(server.address.port), flush=True)
    sys.stdin.read()
    server.close()


def _attack(port: int, count: int) -> None:
    """Open so many connections from eight sources, then keep on more slowly until stdin closes."""
    most = _raise_descriptors() - SPARE_DESCRIPTORS
    hello = bytes.fromhex(sys.stdin.readline())
    words = (b"", hello[: HELLO_BYTES // 2], hello)
    held: deque[socket.socket] = deque()
    sys.stdin.readline()
    opened = 0
    while not (opened >= count and select.select([sys.stdin], [], [], 0.001)[0]):
        if len(held) >= most:
            held.popleft().close()
        held.append(_open(SOURCES[opened % len(SOURCES)], port, words[opened // len(SOURCES) % len(words)]))
        opened += 1
        if opened == min(BEGUN, count):
            print("BEGUN 0", flush=True)
        if opened == count:
            print(f"OPENED {opened}", flush=True)
    for transport in held:
        transport.close()


def _open(source: str, port: int, words: bytes) -> socket.socket:
    transport = socket.socket()
    transport.bind((source, 0))
    with contextlib.suppress(OSError):  # One that was closed already was opened all the same.
        transport.connect((HOST, port))
        if words:
            transport.send(words)
    return transport


def _raise_descriptors() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


def _run() -> None:
    if sys.argv[1] == "serve":
        _serve()
    elif sys.argv[1] == "attack":
        _attack(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)


if __name__ == "__main__":
    _run()
