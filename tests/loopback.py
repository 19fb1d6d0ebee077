"""Real links over loopback, for the tests of the façades: pairs, raw peers, relays, threads and processes.

Nothing here sleeps for luck: who waits, waits for a condition, and fails after `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from commands import start_python
from netstructer import Key, Limits, Link, Server
from netstructer.address import Address

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 20.0
"""How long a condition may take on a busy machine before the test fails."""
KEY = Key.generate()
"""The key of every link here that does not say otherwise."""

T = TypeVar("T")


@contextlib.contextmanager
def linked(
    *,
    limits: Limits | None = None,
    client_limits: Limits | None = None,
    server_limits: Limits | None = None,
    server_options: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[tuple[Link, Link]]:
    """Give both ends of a link over loopback: the client's, the server's.  `options` are the client's."""
    with (
        Server(key=KEY, limits=server_limits or limits, **(server_options or {})) as server,
        Link(server.address, key=KEY, limits=client_limits or limits, **options) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        yield near, far
        near.abort()


def eventually(holds: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as `holds()` does; fail where it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come to hold"
        time.sleep(0.002)


class Task(Generic[T]):
    """A function in a thread of its own; `result()` is what it returned, or raises what it raised."""

    def __init__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> None:
        self._call = lambda: function(*args, **kwargs)
        self._value: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test-task", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, seconds: float = PATIENCE_SECONDS) -> T:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the task did not end"
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it ran to its end

    def error(self, seconds: float = PATIENCE_SECONDS) -> BaseException | None:
        """Return what it raised, or None."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the task did not end"
        return self._error

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error


@contextlib.contextmanager
def raw_server(behave: Callable[[socket.socket], object]) -> Iterator[Address]:
    """Listen where a server would be, and let `behave(socket)` deal with each transport in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []
    tasks: list[Task[object]] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                transport, _ = listener.accept()
                transport.settimeout(PATIENCE_SECONDS)
                taken.append(transport)
                tasks.append(Task(_tolerant, behave, transport))

    accepting = Task(accept)
    try:
        yield Address(*listener.getsockname()[:2])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.result()
        for transport in taken:
            with contextlib.suppress(OSError):
                transport.shutdown(socket.SHUT_RDWR)
        for task in tasks:
            task.result()
        for transport in taken:
            transport.close()


def _tolerant(behave: Callable[[socket.socket], object], transport: socket.socket) -> None:
    with contextlib.suppress(OSError):
        behave(transport)


@contextlib.contextmanager
def raw_client(address: tuple[str, int], data: bytes = b"") -> Iterator[socket.socket]:
    """Connect without a word of the protocol, and send `data`."""
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as transport:
        if data:
            transport.sendall(data)
        yield transport


def read_to_end(transport: socket.socket) -> bytes:
    """Return everything until the peer closes; a reset is an end too."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := transport.recv(65536):
            found += data
    return found


class Relay:
    """A transport in the middle: passes bytes on, records them, can change them, stop them, or cut them off.

    `tamper(direction, offset, data)` returns what to pass on; `direction` is `"out"` (client to server) or `"in"`.
    """

    def __init__(self, target: tuple[str, int], *, tamper: Callable[[str, int, bytes], bytes] | None = None) -> None:
        self._target, self.tamper = target, tamper
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname()[:2])
        self.passed = {"out": bytearray(), "in": bytearray()}
        self.held = threading.Event()
        """While set, nothing is passed on."""
        self._ends: list[socket.socket] = []
        self._stop = False
        self._task = Task(self._run)

    def cut(self) -> None:
        """End every transport, as if a cable were pulled and both hosts had noticed."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._task.result()
        self._listener.close()
        for end in self._ends:
            end.close()

    def _run(self) -> None:
        other: dict[socket.socket, tuple[socket.socket, str]] = {}
        while not self._stop:
            watched = [self._listener, *([] if self.held.is_set() else other)]
            for ready in select.select(watched, [], [], 0.01)[0]:
                if ready is self._listener:
                    near, _ = ready.accept()
                    far = socket.create_connection(self._target, timeout=PATIENCE_SECONDS)
                    near.settimeout(PATIENCE_SECONDS)
                    self._ends += [near, far]
                    other[near], other[far] = (far, "out"), (near, "in")
                    continue
                target, direction = other[ready]
                try:
                    data = ready.recv(65536)
                    offset = len(self.passed[direction])
                    self.passed[direction] += data
                    if data:
                        target.sendall(self.tamper(direction, offset, data) if self.tamper else data)
                except OSError:
                    data = b""
                if not data:
                    del other[ready]
                    with contextlib.suppress(OSError):
                        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def python(*arguments: str, afresh: bool = False, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run another Python with the package on its path and warnings as errors; at the end it is gone.

    It is forked (commands.py), but for options of its own, or where it is to be started `afresh`.
    """
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    whole = {**os.environ, "PYTHONPATH": places, "NETSTRUCTER_KEY": KEY.reveal(), **environment}
    if afresh or arguments[0] == "-X":
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=whole,
        )
    else:
        process = start_python(*arguments, environment=whole)
    try:
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        process.wait()


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE_SECONDS) -> tuple[str, str]:
    """Wait for a process to end well, and return what it wrote."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err

    return out, err


def open_files() -> int:
    """Return how many descriptors this process has; -1 where the system does not tell."""
    for place in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(place))
    return -1
