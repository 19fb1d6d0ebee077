"""A workbench for transports: two ends, threads that end, and what is asked of them.  Floor: FAÇADES.

Law: nobody waits for ever here; a transport that does not come back is a failure that says what was asked of it.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from netstructer.testing.sessions import SessionPair
from netstructer.testing.wire import Wire

__all__ = ["SLICE_BYTES", "Bench", "SocketLike", "Task", "converse", "hold", "pattern", "read_exactly", "ready"]

T = TypeVar("T")
P = ParamSpec("P")

SLICE_BYTES = 65_521
"""A prime: what is swapped in pieces of round numbers is seen."""
LEAVE_SECONDS = 0.2
"""How long threads have to come back when their transports are closed behind a test."""


class SocketLike(Protocol):
    """What a transport has: what a `socket.socket` has, in its manner.

    `settimeout(0.0)` makes it raise `BlockingIOError` instead of waiting, seconds make it raise `TimeoutError`.
    `fileno()` is a descriptor that the system can poll, and that says the truth about the transport.
    """

    def recv(self, count: int, /) -> bytes: ...
    def recv_into(self, space: memoryview, /) -> int: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def sendall(self, data: bytes, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...


def hold(truth: object, otherwise: str) -> None:
    """Raise `AssertionError`, which says what is the case otherwise, where something does not hold."""
    if not truth:
        raise AssertionError(otherwise)


def pattern(count: int, *, seed: int = 1) -> bytes:
    """Return bytes in which every place looks like no other nearby; the same for each call."""
    block = b"".join(sha256(f"{seed} {at}".encode()).digest() for at in range(SLICE_BYTES // 32 + 1))[:SLICE_BYTES]
    return (block * (count // SLICE_BYTES + 1))[:count]


def read_exactly(transport: SocketLike, count: int) -> bytes:
    """Read so many bytes, or as many as come before the end."""
    found = bytearray()
    while len(found) < count:
        data = transport.recv(min(count - len(found), 1 << 20))
        if not data:
            break
        found += data
    return bytes(found)


def ready(transport: SocketLike, *, seconds: float, read: bool = False, write: bool = False) -> bool:
    """Wait until the system says that a transport can be read, or written; say whether it did."""
    one = [transport.fileno()]
    found = select.select(one if read else [], one if write else [], one, seconds)
    return any(found)


class Task(Generic[T]):
    """A function in a thread of its own."""

    def __init__(self, function: Callable[[], T], patience_seconds: float) -> None:
        self._function, self._patience_seconds = function, patience_seconds
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name="conformance", daemon=True).start()

    def result(self, what: str) -> T:
        """Return what the function returned, or raise what it raised; `what` is what the transport was asked for."""
        self.end(what)
        if self._error is not None:
            raise self._error
        return self._found[0]

    def error(self, what: str) -> BaseException | None:
        """Return what the function raised."""
        self.end(what)
        return self._error

    def end(self, what: str) -> None:
        """Wait for it."""
        if not self._done.wait(self._patience_seconds):
            raise AssertionError(f"the transport did not come back in {self._patience_seconds:g} seconds: asked {what}")

    def leave(self, seconds: float) -> None:
        """Give it a moment to end."""
        self._done.wait(seconds)

    def _run(self) -> None:
        try:
            self._found.append(self._function())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()


class Bench:
    """Two connected transports, and what is done with them."""

    def __init__(self, one: SocketLike, other: SocketLike, patience_seconds: float) -> None:
        self.one, self.other = one, other
        self.patience_seconds = patience_seconds
        self._tasks: list[Task[Any]] = []
        for end in (one, other):
            end.settimeout(patience_seconds)

    def task(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Begin a call that may wait."""
        task = Task(partial(call, *args, **kwargs), self.patience_seconds)
        self._tasks.append(task)
        return task

    def do(self, what: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call that may wait; `what` is what the transport is asked for by it."""
        return self.task(call, *args, **kwargs).result(what)

    def error(self, what: str, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> BaseException | None:
        """Make a call that may wait, and return what it raises."""
        return self.task(call, *args, **kwargs).error(what)

    def close(self) -> None:
        """Close both ends, and let the threads come back."""
        for end in (self.one, self.other):
            with contextlib.suppress(OSError):
                end.shutdown(2)
        for task in self._tasks:
            task.leave(LEAVE_SECONDS)
        for end in (self.one, self.other):
            with contextlib.suppress(OSError):
                end.close()


class _Carried:
    """A transport's end, as a session pair knows ends of wires."""

    def __init__(self, wire: Wire, transport: SocketLike) -> None:
        self.wire, self._transport = wire, transport
        self.room_bytes = 1 << 16

    def write(self, data: bytes) -> int:
        try:
            return self._transport.send(data) if data else 0
        except BlockingIOError:
            return 0

    def read(self, most_bytes: int = 64 << 10) -> bytes | None:
        space = bytearray(most_bytes)
        try:
            return bytes(space[: self._transport.recv_into(memoryview(space))])
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Leave it to the bench."""


class _Carrying(SessionPair):
    """A session pair whose wire is a pair of transports."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def _fresh_wire(self) -> Wire:
        wire = super()._fresh_wire()
        for name, transport in (("near", self._bench.one), ("far", self._bench.other)):
            transport.settimeout(0.0)
            setattr(wire, name, _Carried(wire, transport))
        return wire

    def _step_wires(self) -> None:
        """Nothing waits in the wire itself."""


def converse(bench: Bench, values: list[object]) -> list[object]:
    """Send values from one session to another, over the transports of a bench; return what came."""
    pair = _Carrying(bench)
    pair.dial()
    deadline = time.monotonic() + bench.patience_seconds * 0.9
    queued = False
    while len(pair.server.received) < len(values) and pair.client.failure is None and time.monotonic() < deadline:
        pair.run()
        if pair.client.opened and not queued:
            queued = True
            for value in values:
                pair.client.send(value)
        time.sleep(0.0005)  # what is under way takes its time: this is a real transport
    return pair.server.received
