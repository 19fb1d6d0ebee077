"""What the asyncio façade costs, beside the blocking one and bare asyncio streams: for docs/performance.md.

    python -m bench.aio [--rounds N]

One echo server process of each kind, and its client in this one: 64 random bytes there and back, waiting for each.  The
rounds are interleaved, the figures are medians.  Then what decides how long a value may be that is encoded and decoded
in the loop: the way to the executor and back, and what encoding and decoding take; and how long the loop stands still
while a long value goes through it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from netstructer import Key, Limits, Link, Server, aio
from netstructer.aio import receiving, weighing
from netstructer.codec.values import decode, encode

try:
    import uvloop
except ImportError:
    uvloop = None

VALUE_BYTES = 64
TRIPS = 2000
KEY_VARIABLE = "NETSTRUCTER_KEY"
LOOPS = {"asyncio": asyncio.new_event_loop, **({"uvloop": uvloop.new_event_loop} if uvloop is not None else {})}


def median_microseconds(times: list[int]) -> float:
    return statistics.median(times[len(times) // 10 :]) / 1000


# --- servers, each in a process of its own --------------------------------------------------------------------------


def serve_blocking() -> None:
    server = Server(("127.0.0.1", 0))

    @server.handler
    def echo(link: Link) -> None:
        for value in link:
            link.send(value)

    server.start()
    print(server.address.port, flush=True)
    sys.stdin.read()
    server.close(drain=0.5)


async def serve_aio() -> None:
    server = aio.Server(("127.0.0.1", 0))

    @server.handler
    async def echo(link: aio.Link) -> None:
        async for value in link:
            await link.send(value)

    async with server:
        print(server.address.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def serve_streams() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(await reader.readexactly(VALUE_BYTES))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


# --- clients --------------------------------------------------------------------------------------------------------


def trips_blocking(port: int) -> float:
    value, times = os.urandom(VALUE_BYTES), []
    with Link(("127.0.0.1", port)) as link:
        for _ in range(TRIPS):
            start = time.perf_counter_ns()
            link.send(value)
            link.recv()
            times.append(time.perf_counter_ns() - start)
    return median_microseconds(times)


async def trips_aio(port: int) -> float:
    value, times = os.urandom(VALUE_BYTES), []
    async with aio.connect(("127.0.0.1", port)) as link:
        for _ in range(TRIPS):
            start = time.perf_counter_ns()
            await link.send(value)
            await link.recv()
            times.append(time.perf_counter_ns() - start)
    return median_microseconds(times)


async def trips_streams(port: int) -> float:
    value, times = os.urandom(VALUE_BYTES), []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(TRIPS):
        start = time.perf_counter_ns()
        writer.write(value)
        await writer.drain()
        await reader.readexactly(VALUE_BYTES)
        times.append(time.perf_counter_ns() - start)
    writer.close()
    await writer.wait_closed()
    return median_microseconds(times)


WAYS: dict[str, tuple[Callable[[], object], Callable[[int], object]]] = {"blocking": (serve_blocking, trips_blocking)}
for _name, _loop in LOOPS.items():
    for _what, _serve, _trips in (("links", serve_aio, trips_aio), ("bare streams", serve_streams, trips_streams)):

        def _run_serve(serve: Callable[[], Awaitable[None]] = _serve, loop: Callable[[], object] = _loop) -> object:
            with asyncio.Runner(loop_factory=loop) as runner:
                return runner.run(serve())

        def _run_trips(
            port: int, trips: Callable[[int], Awaitable[float]] = _trips, loop: Callable[[], object] = _loop
        ) -> object:
            with asyncio.Runner(loop_factory=loop) as runner:
                return runner.run(trips(port))

        WAYS[f"{_name} {_what}"] = (_run_serve, _run_trips)


def round_trips(rounds: int) -> None:
    environment = {**os.environ, KEY_VARIABLE: Key.generate().reveal()}
    os.environ[KEY_VARIABLE] = environment[KEY_VARIABLE]
    servers, ports = [], {}
    for way in WAYS:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.aio", "--serve", way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        servers.append(process)
        ports[way] = int(process.stdout.readline())
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (_, trips) in WAYS.items():
            found[way].append(trips(ports[way]))
    for process in servers:
        process.communicate()
    for way, times in found.items():
        print(f"{way:24} {statistics.median(times):7.1f} us   (rounds {min(times):.1f} to {max(times):.1f})")


# --- what is done apart ---------------------------------------------------------------------------------------------


async def hop() -> float:
    loop, times = asyncio.get_running_loop(), []
    for _ in range(TRIPS):
        start = time.perf_counter_ns()
        await loop.run_in_executor(None, int)
        times.append(time.perf_counter_ns() - start)
    return median_microseconds(times)


def coding(value: object) -> tuple[int, float, float]:
    """Return the bytes of a value, and the milliseconds that encoding and decoding take."""
    limits, out, back = Limits.DEFAULT, [], []
    for _ in range(30):
        start = time.perf_counter_ns()
        encoded = encode(value, limits=limits)
        out.append(time.perf_counter_ns() - start)
        data = b"".join(encoded.buffers)
        start = time.perf_counter_ns()
        decode(data, limits=limits)
        back.append(time.perf_counter_ns() - start)
    return len(data), median_microseconds(out) / 1000, median_microseconds(back) / 1000


async def longest_stall(value: object, *, apart: bool) -> float:
    """Return for how many milliseconds the loop stood still at most while a value went there and back in it."""
    here = receiving.APART_BYTES, weighing.HEAVY_ITEMS, weighing.HEAVY_BYTES
    if not apart:
        receiving.APART_BYTES = weighing.HEAVY_ITEMS = weighing.HEAVY_BYTES = 1 << 60
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - start)

    try:
        async with aio.Server() as server, aio.connect(server.address) as near, await server.accept(timeout=5) as far:
            watching = asyncio.ensure_future(watch())
            await asyncio.gather(near.send(value), far.recv())
            watching.cancel()
    finally:
        receiving.APART_BYTES, weighing.HEAVY_ITEMS, weighing.HEAVY_BYTES = here
    return longest * 1000


def stalls() -> None:
    print(f"\nto the executor and back {asyncio.run(hop()):6.1f} us")
    mixed = [{"name": f"row {n}", "size": n * 3, "tags": ("a", "b"), "rate": n / 7} for n in range(400)]
    for name, value in (
        ("400 rows", mixed),
        ("20,000 ints", [n * 97 for n in range(20_000)]),
        ("text", "ab c" * 16_384),
    ):
        size, out, back = coding(value)
        print(f"{name:12} {size:8} bytes   encode {out:6.2f} ms   decode {back:6.2f} ms")
    rows = mixed * 250
    for apart in (False, True):
        found = statistics.median(asyncio.run(longest_stall(rows, apart=apart)) for _ in range(3))
        where = "apart" if apart else "in the loop"
        print(f"100,000 rows, encoded and decoded {where:12} the loop stands still for {found:7.1f} ms at most")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.aio")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        WAYS[options.serve][0]()
        return
    round_trips(options.rounds)
    stalls()


if __name__ == "__main__":
    main()
