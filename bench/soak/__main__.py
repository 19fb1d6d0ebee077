"""`python -m bench.soak --minutes 20 --seed 1 --out FOLDER` (make soak): runs the soak, and judges it.

FOLDER gets `samples.jsonl` (every second), `rests.jsonl` (every rest), `report.json`, `table.md`, `soak.png`, and what
each process wrote to stderr.  The exit status is 1 where a slope is not flat, or anything was lost, doubled, changed or
out of order.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.measure import describe_machine
from bench.soak.actor import Orders
from bench.soak.census import resident
from bench.soak.ends import ROLES
from bench.soak.picture import draw, read_lines
from bench.soak.slopes import Judged, judge, table
from netstructer import Key

__all__ = ["Soak", "main", "run"]

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE_SECONDS = 1.0
QUIET_SECONDS = 0.3
"""Between the last course and the census: for acknowledgements that are due, and for sockets that close."""
ANSWER_SECONDS = 180.0
"""What a process may take to do what it was told."""
WARM_SHARE, WARM_SECONDS = 0.3, 300.0
"""What is not judged: so much of a run, or so long, whichever is less.  Pools, caches and the threads of executors grow
to what the work needs; the heap's holes to what its largest moments were."""


ARENAS = "2"
"""Heaps of one process, with glibc.  By itself it has eight for each processor, and fills them with holes over hours as
threads come and go: its affair, and it would hide what is ours."""


class Gone(Exception):
    """A process of the soak has ended, or does not answer."""


class Process:
    """One of them, from outside."""

    def __init__(self, orders: Orders, out: Path) -> None:
        self.role = orders.role
        self.now: dict[str, float] = {}
        self._errors = out / f"{orders.role}.err"
        self._answers: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.soak.ends", json.dumps(asdict(orders))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, "HOME": orders.scratch, "TMPDIR": orders.scratch, "MALLOC_ARENA_MAX": ARENAS},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def sample(self) -> dict[str, float]:
        """Return what the system says of it now, and what it said of itself last."""
        return {**self.now, **resident(self._process.pid)}

    def tell(self, word: str) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def answer(self, word: str) -> Any:
        """Return its answer.  Raises `Gone`."""
        try:
            found = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise Gone(f"the {self.role} does not answer to {word!r}") from None
        if found is None or found[0] != word:
            raise Gone(f"the {self.role} has ended: {self._errors.read_text('utf-8', 'replace')[-2000:]}")
        return found[1]

    def ask(self, word: str) -> Any:
        """Tell it, and return the answer.  Raises `Gone`."""
        self.tell(word)
        return self.answer(word)

    def stop(self) -> None:
        """End it, however it is."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.partition(" ")
            if word == "now":
                self.now = json.loads(rest)
            else:
                self._answers.put((word, json.loads(rest)))
        self._answers.put(None)


class Soak:
    """All of them, and what they held."""

    def __init__(self, orders: Orders, out: Path) -> None:
        self._orders, self._out = orders, out
        self._processes: dict[str, Process] = {}
        self._began = time.monotonic()
        self._over = threading.Event()
        self.faults: list[str] = []
        self.words: dict[str, Any] = {}

    def run(self, seconds: float, rest_every: float) -> None:
        """Let everything run for so long, with a rest now and then."""
        try:
            self._start()
            sampling = threading.Thread(target=self._sample, daemon=True)
            sampling.start()
            try:
                self._rest()
                while (left := self._began + seconds - time.monotonic()) > 0:
                    self._tell_all("go")
                    time.sleep(min(rest_every, left))
                    self._rest()
                self.words = {role: self._processes[role].ask("end") for role in reversed(self._processes)}
            finally:
                self._over.set()
                sampling.join()
        except Gone as error:
            self.faults.append(str(error))
        finally:
            for process in reversed(self._processes.values()):
                process.stop()

    def _start(self) -> None:
        orders = self._orders
        ports = [self._begin("server", orders), self._begin("aio-server", orders)]
        ports = self._begin("proxy", replace(orders, ports=ports))
        for role in ("client", "aio-client", "mortal"):
            self._begin(role, replace(orders, ports=ports))

    def _begin(self, role: str, orders: Orders) -> Any:
        process = self._processes[role] = Process(replace(orders, role=role), self._out)
        return process.answer("READY")

    def _rest(self) -> None:
        """Bring everybody to rest, and count."""
        self._tell_all("rest")
        time.sleep(QUIET_SECONDS)
        at = time.monotonic() - self._began
        found = self._tell_all("census")
        rest = {role: {**resident(process._process.pid), **found[role]} for role, process in self._processes.items()}
        self._write("rests.jsonl", {"seconds": at, **rest})

    def _tell_all(self, word: str) -> dict[str, Any]:
        for process in self._processes.values():
            process.tell(word)
        return {role: process.answer(word) for role, process in self._processes.items()}

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            at = time.monotonic() - self._began
            with contextlib.suppress(OSError):
                taken = {role: process.sample() for role, process in self._processes.items()}
                self._write("samples.jsonl", {"seconds": at, **taken})

    def _write(self, name: str, what: object) -> None:
        with (self._out / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def run(
    orders: Orders, out: Path, *, seconds: float, rest_every: float
) -> tuple[list[Judged], list[str], dict[str, Any]]:
    """Run a soak; return what was judged, every fault in words, and what was counted."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("samples.jsonl", "rests.jsonl"):
        (out / name).write_text("")
    keys = {"plain": Key.generate().reveal(), "durable": Key.generate().reveal()}
    with tempfile.TemporaryDirectory(prefix="netstructer-soak-") as scratch:
        soak = Soak(replace(orders, keys=keys, scratch=scratch), out)
        soak.run(seconds, rest_every)
    judged = verdict(out, seconds)
    faults = list(soak.faults)
    for role, words in soak.words.items():
        faults += [f"{role}: {fault}" for fault in words["faults"]]
    faults += [str(each) for each in judged if not each.flat]
    if not judged:
        faults.append("nothing was judged")
    return judged, faults, soak.words


def verdict(out: Path, seconds: float) -> list[Judged]:
    """Judge the rests after the warm-up."""
    rests, samples = read_lines(out / "rests.jsonl"), read_lines(out / "samples.jsonl")
    for former, rest in pairwise([{"seconds": 0.0}, *rests]):
        between = [one for one in samples if former["seconds"] <= one["seconds"] < rest["seconds"]]
        for role in ROLES:
            rest[role]["rss"] = fmean([one[role]["rss"] for one in between if role in one] or [rest[role]["rss"]])
    rests = [rest for rest in rests if rest["seconds"] >= warm_seconds(seconds)]
    times = [rest["seconds"] for rest in rests]
    return [each for role in ROLES if rests for each in judge(role, times, [rest[role] for rest in rests])]


def warm_seconds(seconds: float) -> float:
    """Return how much of a run is not judged."""
    return min(WARM_SECONDS, WARM_SHARE * seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run the soak from a command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="what links hold must not grow")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (20)")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins (1)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results" / "soak", help="folder for what is found"
    )
    parser.add_argument("--rest-every", type=float, default=30.0, help="seconds between two rests (30)")
    parser.add_argument("--pause", type=float, default=0.4, help="mean seconds between two uses of a worker (0.4)")
    parser.add_argument("--trace", type=int, default=0, help="frames that tracemalloc notes of each block (0: none)")
    parser.add_argument("--leak", choices=("descriptor", "thread", "object"), default="", help="leak, to be found")
    chosen = parser.parse_args(arguments)
    if not os.path.exists("/proc/self/smaps_rollup"):
        parser.error("what a process holds is read from /proc: this needs Linux")
    orders = Orders(role="", seed=chosen.seed, pause_seconds=chosen.pause, trace=chosen.trace, leak=chosen.leak)
    seconds = 60 * chosen.minutes
    judged, faults, words = run(orders, chosen.out, seconds=seconds, rest_every=chosen.rest_every)
    report(chosen.out, seconds, chosen.seed, judged, faults, words)
    return 1 if faults else 0


def report(
    out: Path, seconds: float, seed: int, judged: list[Judged], faults: list[str], words: dict[str, Any]
) -> None:
    """Write and print what came of it."""
    samples, rests = read_lines(out / "samples.jsonl"), read_lines(out / "rests.jsonl")
    whole = {
        "machine": describe_machine(("netstructer", "cryptography", "zstandard")),
        "seconds": seconds,
        "seed": seed,
        "rests": len(rests),
        "faults": faults,
        "words": words,
        "cpu_share": cpu_share(samples),
    }
    (out / "report.json").write_text(json.dumps(whole, indent=1))
    (out / "table.md").write_text(table(judged) + "\n")
    if len(rests) > 1 and len(samples) > 1:
        draw(samples, rests, warm_seconds(seconds), out / "soak.png")
    for line in lines_of(judged, faults, words):
        print(line)


def lines_of(judged: list[Judged], faults: list[str], words: dict[str, Any]) -> Iterator[str]:
    """Give what is printed: everything that was judged, what was counted, and what is wrong."""
    yield from map(str, judged)
    for role, found in words.items():
        yield f"{role}: {json.dumps(found['counts'])}"
        if found["grown"]:
            yield f"{role}: since the first rest {json.dumps(found['grown'])}"
        yield from (f"{role}: {line}" for line in found["traced"])
    yield from (f"FAULT {fault}" for fault in faults)
    yield "red" if faults else "green"


def cpu_share(samples: list[dict[str, Any]]) -> float:
    """Return how much of one processor all processes together took."""
    if len(samples) < 2:
        return 0.0
    first, last = samples[0], samples[-1]
    taken = sum(last[role]["cpu"] - first[role]["cpu"] for role in last if role != "seconds" and role in first)
    return float(taken / (last["seconds"] - first["seconds"]))


if __name__ == "__main__":
    sys.exit(main())
