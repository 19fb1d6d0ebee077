"""The engine that needs nothing: mutations of the corpus, as many as there is time for.

It sees no coverage, and is for that two to five times as fast as one that does; so it is given what the guided engine
has found, and does the numbers.  Its inputs run on a thread with a small stack: what blows a stack of 256 KiB kills a
server whose threads have one.  The same seed makes the same inputs.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from fuzz import oracle
from fuzz.mutate import mutate
from fuzz.oracle import Judge
from fuzz.targets import Fault, Target, keep

__all__ = ["STACK_BYTES", "Run", "fuzz", "leave"]

STACK_BYTES = 256 << 10
"""What musl and many servers give a thread."""
BATCH = 64
"""Inputs between two looks at the clock and, for a hang, between two notes of when one began."""

leave = os._exit
"""How a process ends in which an input never does."""


@dataclass(slots=True)
class Run:
    """What one target's run has come to so far; the watchdog reads it from its own thread."""

    target: Target
    judge: Judge = field(init=False)
    seconds: float = 0.0
    data: bytes = b""
    fault: Fault | None = None
    edges: int = 0
    features: int = 0
    """Of coverage, which nobody looks at here: none."""

    def __post_init__(self) -> None:
        self.judge = Judge(self.target.one)

    @property
    def count(self) -> int:
        """Inputs that were run."""
        return self.judge.count

    @property
    def worst_seconds(self) -> float:
        """What the slowest took."""
        return self.judge.worst_seconds

    def attempt(self, data: bytes) -> None:
        """Run one input, and take down what it comes to."""
        self.data = data
        try:
            self.judge(data)
        except Exception:
            self.fault = Fault(data=data, text=traceback.format_exc(limit=-8))


def fuzz(
    target: Target,
    *,
    seed: int,
    seconds: float | None = None,
    runs: int | None = None,
    inputs: Callable[[Target, int], Iterator[bytes]] | None = None,
) -> Run:
    """Run one target on a small stack until its time or its number of runs is over, or until its first fault.

    An input without end is kept, and ends the process: there is no other way to stop it.
    """
    run = Run(target)
    source = (inputs or mutations)(target, seed)
    before = threading.stack_size(STACK_BYTES)
    try:
        worker = threading.Thread(target=_work, args=(run, source, seconds, runs), name=f"fuzz {target.name}")
        worker.start()
    finally:
        threading.stack_size(before)
    _watch(run, worker)
    return run


def mutations(target: Target, seed: int) -> Iterator[bytes]:
    """Yield what once failed, the corpus as it is, then mutations of it without end."""
    yield from target.regressions
    yield from target.corpus
    corpus = target.corpus or (b"",)
    draw = Random(f"{seed} {target.name}")
    chance, size = draw.random, len(corpus)
    while True:
        yield mutate(corpus[int(chance() * size)], corpus, draw)


def _work(run: Run, source: Iterator[bytes], seconds: float | None, runs: int | None) -> None:
    began = time.monotonic()
    most = float("inf") if runs is None else runs
    end = float("inf") if seconds is None else began + seconds
    attempt = run.attempt
    while run.count < most and time.monotonic() < end:
        for data in source:
            attempt(data)
            if run.fault is not None or run.count >= most or not run.count % BATCH:
                break
            if run.worst_seconds > 0.001 and time.monotonic() >= end:  # a slow target looks each time
                break
        else:
            break
        if run.fault is not None:
            break
    run.seconds = time.monotonic() - began


def _watch(run: Run, worker: threading.Thread) -> None:
    """Wait for the worker; where one input takes too long, keep it and leave."""
    count, since = -1, time.monotonic()
    while worker.is_alive():
        worker.join(min(1.0, oracle.HANG_SECONDS / 4))
        if run.count != count:
            count, since = run.count, time.monotonic()
        elif time.monotonic() - since > oracle.HANG_SECONDS and worker.is_alive():
            path = keep(run.target, Fault(data=run.data, text="hang"))
            print(f"FAULT in {run.target.name}: no end after {oracle.HANG_SECONDS:.0f} s, kept in {path}", flush=True)
            faulthandler.dump_traceback()
            leave(1)
            return
