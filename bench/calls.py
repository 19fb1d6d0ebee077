"""Calls: what one round trip costs by name, beside what users would pick instead.

    python -m bench.calls [--rounds 5] [--batch 300] [--only NAMES] [--json]

Each contestant serves `add(a, b)` in a process of its own, and is called from this one.  Their batches are taken by
turns, so that a busy machine is busy for all; of each the least batch and the processor time of both ends are shown, by
call.  RPyC and Pyro5 take part with TLS and without; where they are not installed they are left out, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.certificates import write_config

__all__ = ["CONTESTANTS", "measure"]

HOST = "localhost"
ROOT = Path(__file__).resolve().parent.parent
THREADS = 8
"""Of those who call at the same time on one link."""

Config = dict[str, Any]
Ready = Callable[[int], None]
Call = Callable[[int], None]
"""Makes so many calls, one after the other or side by side."""


def add(a: int, b: int) -> int:
    """Return the sum."""
    return a + b


# --- who takes part ---------------------------------------------------------------------------------------------------


def serve_ours(config: Config, ready: Ready, handler: Callable[[Any], None] | None = None) -> None:
    from netstructer import Server

    server = Server((HOST, 0), key=config["fernet_key"], handler=handler)
    server.on("add")(add)
    server.start()
    ready(server.address.port)
    threading.Event().wait()


def _echo(link: Any) -> None:
    for value in link:
        link.send(value)


def serve_ours_awaited(config: Config, ready: Ready) -> None:
    from netstructer import aio

    async def awaited(a: int, b: int) -> int:
        return a + b

    async def main() -> None:
        async with aio.Server((HOST, 0), key=config["fernet_key"]) as server:
            server.on("add")(awaited)
            server.on("plain")(add)
            ready(server.address.port)
            await asyncio.Event().wait()

    asyncio.run(main())


def call_ours(config: Config, port: int) -> Call:
    from netstructer import Link

    link = Link((HOST, port), key=config["fernet_key"])

    def call(count: int) -> None:
        for number in range(count):
            assert link.call("add", number, 1) == number + 1

    return call


def call_ours_side_by_side(config: Config, port: int) -> Call:
    call = call_ours(config, port)

    def side_by_side(count: int) -> None:
        threads = [threading.Thread(target=call, args=(count // THREADS,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return side_by_side


def send_ours(config: Config, port: int) -> Call:
    from netstructer import Link

    link = Link((HOST, port), key=config["fernet_key"])

    def call(count: int) -> None:
        for number in range(count):
            link.send((number, 1))
            link.recv()

    return call


def call_ours_awaited(config: Config, port: int, name: str = "add", at_once: int = 1) -> Call:
    from netstructer import aio

    loop = asyncio.new_event_loop()
    link = loop.run_until_complete(_connected(aio, config, port))

    async def several(count: int) -> None:
        for number in range(count):
            assert await link.call(name, number, 1) == number + 1

    async def all_of(count: int) -> None:
        await asyncio.gather(*(several(count // at_once) for _ in range(at_once)))

    return lambda count: loop.run_until_complete(all_of(count))


async def _connected(aio: Any, config: Config, port: int) -> Any:
    return await aio.connect((HOST, port), key=config["fernet_key"])


def serve_rpyc(config: Config, ready: Ready, *, tls: bool = False) -> None:
    import rpyc
    from rpyc.utils.authenticators import SSLAuthenticator
    from rpyc.utils.server import ThreadedServer

    logging.disable(logging.CRITICAL)

    class Target(rpyc.Service):  # type: ignore[misc]
        def exposed_add(self, a: int, b: int) -> int:
            return a + b

    authenticator = SSLAuthenticator(config["private_key"], config["certificate"]) if tls else None
    server = ThreadedServer(Target, hostname=HOST, port=0, authenticator=authenticator)
    ready(server.port)
    server.start()


def call_rpyc(config: Config, port: int, *, tls: bool = False) -> Call:
    import rpyc

    connection = rpyc.ssl_connect(HOST, port, ca_certs=config["authority"]) if tls else rpyc.connect(HOST, port)
    remote = connection.root.add

    def call(count: int) -> None:
        for number in range(count):
            assert remote(number, 1) == number + 1

    return call


def serve_pyro(config: Config, ready: Ready, *, tls: bool = False) -> None:
    api = _pyro(config, tls=tls)

    @api.expose
    class Target:
        def add(self, a: int, b: int) -> int:
            return a + b

    daemon = api.Daemon(host=HOST)
    daemon.register(Target, "target")
    ready(int(daemon.locationStr.rpartition(":")[2]))
    daemon.requestLoop()


def call_pyro(config: Config, port: int, *, tls: bool = False) -> Call:
    proxy = _pyro(config, tls=tls).Proxy(f"PYRO:target@{HOST}:{port}")
    proxy._pyroBind()

    def call(count: int) -> None:
        for number in range(count):
            assert proxy.add(number, 1) == number + 1

    return call


def _pyro(config: Config, *, tls: bool) -> Any:
    import Pyro5.api

    settings = Pyro5.api.config
    settings.SSL, settings.SOCK_NODELAY = tls, True
    settings.SSL_SERVERCERT, settings.SSL_SERVERKEY = config["certificate"], config["private_key"]
    settings.SSL_CACERTS = config["authority"]
    return Pyro5.api


class Contestant(NamedTuple):
    """How it serves and how it calls, and the package that it takes."""

    serve: Callable[[Config, Ready], None]
    call: Callable[[Config, int], Call]
    package: str = "netstructer"


CONTESTANTS = {
    "call": Contestant(serve_ours, call_ours),
    "call, 8 threads": Contestant(serve_ours, call_ours_side_by_side),
    "call, beside recv": Contestant(lambda config, ready: serve_ours(config, ready, _echo), call_ours),
    "send, recv": Contestant(lambda config, ready: serve_ours(config, ready, _echo), send_ours),
    "aio call": Contestant(serve_ours_awaited, call_ours_awaited),
    "aio call, 32 tasks": Contestant(serve_ours_awaited, lambda c, p: call_ours_awaited(c, p, at_once=32)),
    "aio call, plain": Contestant(serve_ours_awaited, lambda c, p: call_ours_awaited(c, p, "plain")),
    "RPyC": Contestant(serve_rpyc, call_rpyc, "rpyc"),
    "RPyC ssl": Contestant(lambda c, r: serve_rpyc(c, r, tls=True), lambda c, p: call_rpyc(c, p, tls=True), "rpyc"),
    "Pyro5": Contestant(serve_pyro, call_pyro, "Pyro5"),
    "Pyro5 ssl": Contestant(lambda c, r: serve_pyro(c, r, tls=True), lambda c, p: call_pyro(c, p, tls=True), "Pyro5"),
}


# --- measuring --------------------------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """Of one call, in microseconds: the least batch by the clock, and processor time of client and server."""

    trip: float
    client: float
    server: float


def measure(names: list[str], *, rounds: int, batch: int) -> dict[str, Figures]:
    """Let each of these make so many batches, by turns."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = write_config(Path(folder))
        config = json.loads(path.read_text())
        started = {name: _start(name, path) for name in names}
        try:
            calls = {name: CONTESTANTS[name].call(config, port) for name, (_, port) in started.items()}
            for call in calls.values():
                call(batch)
            for _ in range(rounds):
                for name, call in calls.items():
                    found[name].append(_batch(call, started[name][0].pid, batch))
        finally:
            for process, _ in started.values():
                process.kill()
                process.wait()
    return {name: Figures(*map(min, zip(*figures, strict=True))) for name, figures in found.items()}


def _batch(call: Call, server: int, count: int) -> Figures:
    began, ours, theirs = time.perf_counter(), time.process_time(), _processor_seconds(server)
    call(count)
    took = (time.perf_counter() - began, time.process_time() - ours, _processor_seconds(server) - theirs)
    return Figures(*(seconds / count * 1e6 for seconds in took))


def _processor_seconds(pid: int) -> float:
    """Return the processor time of another process (Linux)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _start(name: str, config: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "bench.calls", "--serve", name, str(config)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description="What one call costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=300, help="calls of one batch")
    parser.add_argument("--only", help="of " + "; ".join(CONTESTANTS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        name, path = options.serve
        threading.Thread(target=lambda: os._exit(os.read(0, 1) and 1), daemon=True).start()
        CONTESTANTS[name].serve(json.loads(Path(path).read_text()), lambda port: print(port, flush=True))
        return
    wanted = list(CONTESTANTS) if options.only is None else [name.strip() for name in options.only.split(";")]
    if unknown := set(wanted) - set(CONTESTANTS):
        parser.error(f"unknown: {'; '.join(sorted(unknown))}")
    absent = [name for name in wanted if importlib.util.find_spec(CONTESTANTS[name].package) is None]
    found = measure([name for name in wanted if name not in absent], rounds=options.rounds, batch=options.batch)
    if options.json:
        print(json.dumps({name: figures._asdict() for name, figures in found.items()}))
        return
    print(f"{'one call, µs':20} {'clock':>8} {'client':>8} {'server':>8}")
    for name, figures in found.items():
        print(f"{name:20} " + " ".join(f"{figure:8.1f}" for figure in figures))
    for name in absent:
        print(f"{name:20} {CONTESTANTS[name].package} is not installed")


if __name__ == "__main__":
    main()
