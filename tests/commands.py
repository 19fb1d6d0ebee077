"""Pythons that start at once: a process that has read everything forks them, where a system can tell of their ends.

The commands, and the programs beside a test, are processes of their own, with pipes, signals and exit codes.  Most of
what it takes to start one is that Python reads typer, rich, cryptography and the package: half a second of a processor,
hundreds of times.  So each process that runs tests has a mother for them, which has read all that and does nothing but
fork: her child takes the arguments, the environment, the directory and the pipes that it is given, runs what
`python -W error` would run, and ends as a Python ends (test_commands.py holds that nobody sees a difference).

A Python that is asked about its own start (what it imports, its memory, its line in /proc, the cores that it leaves),
or that is not to have `-W error`, has to be started by `subprocess`.  `start_python` does so itself for one that talks
to a terminal, at which rich looks when it is read, and for all where no descriptors of processes are, outside of Linux.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import runpy
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
CAN_FORK = hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")
ORDER_BYTES = 1 << 20
"""Of arguments and an environment: more than Linux takes in one message."""
END_SECONDS = 5.0
NUMBER = struct.Struct("!i")
READ = (
    *("netstructer.cli.app", "netstructer.aio", "netstructer.codec.values", "encodings.idna"),
    *("netstructer.cli.remote", "netstructer.services.audited"),
    *("pydantic.types", "pydantic.type_adapter"),  # which typer reads for the first option that it looks at
)
"""What brings all that the commands, and most programs, read; where it is not installed, they read it themselves."""


def start_python(
    *arguments: str,
    environment: dict[str, str] | None = None,
    directory: str | os.PathLike[str] = ".",
    stdin: int | None = subprocess.PIPE,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    encoding: str | None = "utf-8",
) -> subprocess.Popen[Any]:
    """Start `python -W error` with `-m` and a module, `-c` and a program, or a script, and with arguments for it."""
    environment = dict(os.environ) if environment is None else environment
    directory = os.path.abspath(directory)
    pipes = [number if place is None else place for number, place in enumerate((stdin, stdout, stderr))]
    if CAN_FORK and not any(place >= 0 and os.isatty(place) for place in pipes):
        order = {"arguments": arguments, "environment": environment, "directory": directory}
        return Forked(order, pipes, encoding)  # type: ignore[return-value]  # it has what tests use of one
    command = [sys.executable, "-W", "error", *arguments]
    streams = dict(zip(("stdin", "stdout", "stderr"), pipes, strict=True))
    return subprocess.Popen(command, env=environment, cwd=directory, encoding=encoding, **streams)  # type: ignore[call-overload,no-any-return]


# --- the child, as its test sees it -----------------------------------------------------------------------------------


class Forked:
    """As much of `subprocess.Popen` as tests use, under the same names."""

    def __init__(self, order: dict[str, Any], places: list[int], encoding: str | None) -> None:
        self.args, self.returncode = order["arguments"], None
        ours: list[int | None] = []
        with contextlib.ExitStack() as theirs:
            given = []
            for number, place in enumerate(places):
                mine = None
                if place == subprocess.PIPE:
                    reading, writing = os.pipe()
                    place, mine = (writing, reading) if number else (reading, writing)
                    theirs.callback(os.close, place)
                elif place == subprocess.DEVNULL:
                    place = os.open(os.devnull, os.O_RDWR)
                    theirs.callback(os.close, place)
                given.append(place)
                ours.append(mine)
            self._told, telling = os.pipe()
            theirs.callback(os.close, telling)
            mother().ask(order, [*given, telling])
        self.stdin, self.stdout, self.stderr = (
            None if mine is None else _opened(mine, "r" if number else "w", encoding)
            for number, mine in enumerate(ours)
        )
        self.pid = self._next_number()

    def _next_number(self) -> int:
        said = os.read(self._told, NUMBER.size)
        assert said, "the mother of all processes is gone"
        return int(NUMBER.unpack(said)[0])

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, which is that of a signal with a minus.  Raises `TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._next_number()
            os.close(self._told)
        return self.returncode

    def communicate(self, given: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write what is given, return what both outputs say to their ends, and have waited."""
        ends = None if timeout is None else time.monotonic() + timeout
        said: dict[str, Any] = {}
        readers = [
            threading.Thread(target=lambda name=name, stream=stream: said.update({name: stream.read()}), daemon=True)
            for name, stream in (("out", self.stdout), ("err", self.stderr))
            if stream is not None and not stream.closed
        ]
        for reader in readers:
            reader.start()
        if self.stdin is not None and not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError), self.stdin:
                if given is not None:
                    self.stdin.write(given)
        for reader in readers:
            reader.join(None if ends is None else max(0.0, ends - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if ends is None else max(0.0, ends - time.monotonic()))
        self._close()
        return said.get("out"), said.get("err")

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()


def _opened(descriptor: int, mode: str, encoding: str | None) -> IO[Any]:
    binary: IO[bytes] = os.fdopen(descriptor, f"{mode}b")
    return binary if encoding is None else io.TextIOWrapper(binary, encoding, write_through=mode == "w")


# --- the mother, as the tests see her ---------------------------------------------------------------------------------


class Mother:
    """The process that forks: it ends with whoever started it, or when it is told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__, str(theirs.fileno())],
                env=environment,
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self.end)

    def ask(self, order: dict[str, Any], descriptors: list[int]) -> None:
        """Have a child made, which gets these descriptors: its streams, and where to tell its number and its end."""
        with self._lock:
            socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)

    def end(self) -> None:
        self._orders.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # somebody else was forked while the tests ran, and holds her orders open
            self._process.kill()
            self._process.wait()


mother = functools.cache(Mother)


# --- the mother, as she sees herself ----------------------------------------------------------------------------------


def give_birth(orders: socket.socket) -> dict[str, Any]:
    """Fork for each order; in the child, return the order.  Ends the process where no more can come."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(orders, selectors.EVENT_READ)
        while True:
            for ready, _ in waiting.select():
                if ready.data is None:
                    order = _fork(orders, waiting)
                    if order is not None:
                        return order
                else:
                    waiting.unregister(ready.fd)
                    os.close(ready.fd)
                    number, telling = ready.data
                    _, status = os.waitpid(number, 0)
                    _tell(telling, os.waitstatus_to_exitcode(status))
                    os.close(telling)


def _fork(orders: socket.socket, waiting: selectors.BaseSelector) -> dict[str, Any] | None:
    message, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES, 4)
    if not message:
        _exit()
    *streams, telling = descriptors
    number = os.fork()
    if number == 0:
        for descriptor in [key.fd for key in waiting.get_map().values()]:
            if descriptor != orders.fileno():
                os.close(descriptor)
        for other in [key.data[1] for key in waiting.get_map().values() if key.data]:
            os.close(other)
        os.close(telling)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        return json.loads(message)  # type: ignore[no-any-return]
    for stream in streams:
        os.close(stream)
    _tell(telling, number)
    waiting.register(os.pidfd_open(number), selectors.EVENT_READ, (number, telling))
    return None


def _tell(telling: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(telling, NUMBER.pack(number))


def _exit() -> NoReturn:
    raise SystemExit(0)


def become(order: dict[str, Any]) -> None:
    """Run what the order says, as `python -W error` would."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["directory"])
    _open_streams(bool(os.environ.get("PYTHONUNBUFFERED")))
    sys.path[:0] = order["environment"].get("PYTHONPATH", "").split(os.pathsep)
    what, *arguments = order["arguments"]
    if what == "-m":
        sys.argv = arguments
        sys.path.insert(0, order["directory"])
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv = ["-c", *arguments[1:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = [what, *arguments]
        sys.path.insert(0, str(Path(what).resolve().parent))
        runpy.run_path(what, run_name="__main__")


def _open_streams(unbuffered: bool) -> None:
    """Give the process streams as a Python makes them when it starts: what they lead to is not what it was."""
    for place, name in enumerate(("stdin", "stdout", "stderr")):
        binary: IO[bytes] = os.fdopen(place, "wb" if place else "rb", 0 if place and unbuffered else -1, closefd=False)
        stream = io.TextIOWrapper(
            binary,
            encoding="utf-8",
            errors="backslashreplace" if name == "stderr" else "strict",
            newline=None if name == "stdin" else "\n",
            line_buffering=name == "stderr" or binary.isatty(),
            write_through=unbuffered and name != "stdin",
        )
        stream.mode = "w" if place else "r"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    for name in READ:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        received = give_birth(listening)
    become(received)
