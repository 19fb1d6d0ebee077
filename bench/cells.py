"""Runs one cell: one workload, one peer, one round, in a fresh server process and a fresh client process.

Memory before the clock.  A virtual machine may give its free pages back to its host, and the next process to touch such
a page pays for the host's page fault too: 0.5 s for a GiB that is still backed, 2 to 3 s for one that is not.  What a
large value costs would then depend on who ran before it.  So a holder process touches memory and ends right before the
clock starts: the pages that the cell is given are backed, whoever's turn it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.memory import resident_kib

__all__ = ["CellError", "Spawned", "memory_holder", "run_cell", "run_module", "spawned"]

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 5.0


def run_cell(peer: str, workload: str, config: Path, scale: dict[str, int], seconds: float) -> dict[str, Any]:
    """Return the figures of one cell, or `{"error": sentence}`; no process of it is left."""
    began = time.monotonic()
    try:
        with _on_one_core(scale.get("core")), spawned("bench.peers", peer, str(config)) as server:
            port = server.wait("READY", 20)
            with memory_holder(scale.get("held", 0)) as holder:
                job = {
                    "peer": peer,
                    "workload": workload,
                    "config": str(config),
                    "port": port,
                    "server_pid": server.pid,
                    "scale": scale,
                }
                with spawned("bench.workloads", json.dumps(job)) as client:
                    if holder:
                        client.wait("SET", seconds)
                        holder.stop()
                        client.write("go\n")
                    figures: dict[str, Any] = client.wait("RESULT", seconds)
            figures["server_peak_mib"] = resident_kib(server.pid, peak=True) / 1024
    except CellError as error:
        return {"error": str(error)}
    figures["cell_seconds"] = time.monotonic() - began
    return figures


def run_module(module: str, scale: str, seconds: float) -> dict[str, Any]:
    """Return the figures of one run of a bench that needs no server (`bench.values`, `bench.seal`, `bench.imports`)."""
    try:
        with spawned(module, scale) as process:
            figures: dict[str, Any] = process.wait("RESULT", seconds)
            return figures
    except CellError as error:
        return {"error": str(error)}


class CellError(Exception):
    """A process of a cell failed; the text says how."""


class Spawned:
    """A Python process of ours that reports with lines "MARK json", and ends when its stdin closes."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, mark: str, seconds: float) -> Any:
        """Return the JSON behind the next line with this mark."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise CellError(f"no {mark} within {seconds:.0f} s") from None
            if line is None:
                raise CellError(f"ended with {self._process.wait()}: {self._last_words()}")
            if line.startswith(mark + " "):
                return json.loads(line[len(mark) :])

    def write(self, text: str) -> None:
        """Write to the process's stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def stop(self) -> None:
        """Close stdin, and end what does not end by itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        return re.sub(r"(/[\w.+-]+){2,}/?", "<path>", lines[-1])[:300] if lines else "nothing on stderr"


@contextlib.contextmanager
def spawned(*arguments: str) -> Iterator[Spawned]:
    process = Spawned(arguments)
    try:
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def memory_holder(gibibytes: int) -> Iterator[Spawned | None]:
    if not gibibytes:
        yield None
        return
    with spawned("bench.cells", str(gibibytes)) as holder:
        holder.wait("HELD", 60)
        yield holder


@contextlib.contextmanager
def _on_one_core(core: int | None) -> Iterator[None]:
    """Let the processes that are started here share one core, where the system can do that."""
    if core is None or sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _hold(gibibytes: int) -> None:
    """Touch memory, at most half of what is free, and keep it until stdin closes."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    held = []
    for _ in range(min(gibibytes, free // 2 >> 30)):
        block = bytearray(1 << 30)
        memoryview(block)[::4096] = b"\1" * (1 << 18)
        held.append(block)
    print("HELD 1", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _hold(int(sys.argv[1]))
