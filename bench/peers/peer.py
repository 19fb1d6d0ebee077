"""A peer: what is measured, behind the same small interface as all others.

A peer serves (in a process of its own, until stdin closes) and connects.  A connection sends and receives whole
objects; `Conversation` is the server's side of it (netstructer/cli/contest.py).
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar

from bench.inputs import FAN, SMALL
from netstructer.cli.contest import BACKLOG, HOST, NO_REPLY, Connection, Conversation, answer

__all__ = [
    "BACKLOG",
    "HOST",
    "MSGPACK_SMALL",
    "NO_REPLY",
    "Connection",
    "Conversation",
    "LoopConnection",
    "Peer",
    "answer",
    "client_loop",
]

MSGPACK_SMALL = ["hi", 128, {b"gg": "gg"}, [1, 2, 6, 4], [False, True]]
"""What comes nearest to the small structure where there are neither sets nor tuples."""


class Peer:
    """How it serves, how it connects, and what it protects."""

    name: ClassVar[str]
    wire: ClassVar[str]
    """What protects the bytes on the wire."""
    trust: ClassVar[str]
    """Who knows whom."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What must be importable."""
    only: ClassVar[tuple[str, ...]] = ()
    """When set: the only workloads it takes part in."""
    without: ClassVar[dict[str, str]] = {}
    """The workloads in which it cannot take part, and why."""
    small: ClassVar[Any] = SMALL
    """What it sends as the small structure."""

    def missing(self) -> str | None:
        """Return why it cannot run here; None where it can."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else None

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        """Serve for ever; call `ready(port)` once connections are accepted."""
        raise NotImplementedError

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        """Return a new connection to the server."""
        raise NotImplementedError

    def hold(self, config: dict[str, Any], port: int, count: int) -> list[Any]:
        """Return so many connections, all of them open."""
        return [self.connect(config, port) for _ in range(count)]

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        """Have `FAN` sent to so many connections, so often; return the seconds until all of it was decoded."""
        boss, *members = self.hold(config, port, 1 + count)
        for member in members:
            member.order("join")
        began = time.perf_counter()
        boss.send(f"!fan:{rounds}")
        for _ in range(rounds):
            for member in members:
                check_fan(member.recv())
        took = time.perf_counter() - began
        boss.recv()
        return took


class LoopConnection(Connection):
    """A connection of asyncio's: subclasses give `send_soon` and `recv_soon`; what is repeated is repeated in the
    loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    async def send_soon(self, value: Any) -> None:
        """Send one object."""
        raise NotImplementedError

    async def recv_soon(self) -> Any:
        """Return the next object."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns."""
        return self.loop.run_until_complete(work)

    def send(self, value: Any) -> None:
        self.run(self.send_soon(value))

    def recv(self) -> Any:
        return self.run(self.recv_soon())

    def push_all(self, values: Iterable[Any]) -> None:
        async def push() -> None:
            for value in values:
                await self.send_soon(value)

        self.run(push())

    def time_echoes(self, value: Any, count: int) -> list[int]:
        async def echo() -> list[int]:
            now, taken = time.perf_counter_ns, []
            for _ in range(count):
                began = now()
                await self.send_soon(value)
                await self.recv_soon()
                taken.append(now() - began)
            return taken

        self._enter("echo")
        taken: list[int] = self.run(echo())
        return taken

    @staticmethod
    def fan_out(boss: LoopConnection, members: list[LoopConnection], rounds: int) -> float:
        """Do as `Peer.fan_out` does, all members waiting at once."""

        async def listen(member: LoopConnection) -> None:
            for _ in range(rounds):
                check_fan(await member.recv_soon())

        async def fan() -> float:
            began = time.perf_counter()
            await boss.send_soon(f"!fan:{rounds}")
            await asyncio.gather(*map(listen, members))
            return time.perf_counter() - began

        for member in members:
            member.order("join")
        took: float = boss.run(fan())
        boss.recv()
        return took


@functools.cache
def client_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the client's process."""
    return asyncio.new_event_loop()


def check_fan(value: Any) -> None:
    """Raise `RuntimeError` where what was fanned out arrived changed."""
    if len(value) != len(FAN):
        raise RuntimeError("what was fanned out arrived changed")
