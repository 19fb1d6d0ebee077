"""What a reader thread for each link would cost: the measurement behind docs/decisions.md, "Threads".

    python -m bench.threads [--rounds N]

One echo server process; one client that reads in the thread that called `recv` (what netstructer does), and one whose
values are read by a thread of their own and handed over through `queue.SimpleQueue` (what most libraries do).
Interleaved rounds, medians.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from netstructer import Key, Link, Server

VALUE = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
TRIPS = 2000
KEY_VARIABLE = "NETSTRUCTER_KEY"


def serve() -> None:
    """Echo until the standard input ends."""
    server = Server(("127.0.0.1", 0))

    @server.handler
    def echo(link: Link) -> None:
        for value in link:
            link.send(value)

    server.start()
    print(server.address.port, flush=True)
    sys.stdin.read()
    server.close(drain=0.5)


def median_trip(send: Callable[[object], object], receive: Callable[[], object]) -> float:
    """Return the median round trip in microseconds."""
    times = []
    for trip in range(TRIPS + TRIPS // 10):
        start = time.perf_counter_ns()
        send(VALUE)
        receive()
        if trip >= TRIPS // 10:
            times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def direct(port: int) -> float:
    """Read in the calling thread."""
    with Link(("127.0.0.1", port)) as link:
        return median_trip(link.send, link.recv)


def handed_over(port: int) -> float:
    """Read in a thread of the link's own."""
    values: queue.SimpleQueue[object] = queue.SimpleQueue()

    def read(link: Link) -> None:
        for value in link:
            values.put(value)

    with Link(("127.0.0.1", port)) as link:
        reader = threading.Thread(target=read, args=(link,))
        reader.start()
        try:
            return median_trip(link.send, values.get)
        finally:
            link.close()
            reader.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    os.environ[KEY_VARIABLE] = Key.generate().reveal()
    command = [sys.executable, "-m", "bench.threads", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        figures: dict[str, list[float]] = {"in the calling thread": [], "in a thread of its own": []}
        for _ in range(options.rounds):
            figures["in the calling thread"].append(direct(port))
            figures["in a thread of its own"].append(handed_over(port))
        server.stdin.close()
    own, other = (statistics.median(times) for times in figures.values())
    for name, times in figures.items():
        print(f"read {name:24} {statistics.median(times):7.1f} µs  ({min(times):.1f} to {max(times):.1f})")
    print(f"ratio {other / own:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
