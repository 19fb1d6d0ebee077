"""Drives the targets: `python -m fuzz [--seconds N] [--runs N] [--target NAME] [--seed S]`.

Each target is given its seeds, the inputs of the test vectors of its area, and mutations of both, on a thread with a
small stack (what blows a 256 KiB stack kills a server whose threads have one).  A run fails on any exception that comes
out of a target and on any input that takes longer than a second; the input is kept as hex under `fuzz/crashes/`, and
`--replay FILE` runs it again.  The same seed makes the same inputs.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.mutate import mutate

__all__ = ["Fault", "Target", "fuzz", "load_targets", "main", "read_vector"]

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "tests" / "vectors"
CRASHES = HERE / "crashes"
AREAS = {
    "value": "values",
    "token": "tokens",
    "hello": "handshakes",
    "answer": "handshakes",
    "frame": "records",
    "session": "sessions",
}
"""The folder of vectors that each target reads beside its own seeds."""

SLOW_SECONDS = 1.0
"""No input may take longer.  A slow one gets a second try, because the machine may have been busy."""
HANG_SECONDS = 20.0
"""After this time on one input the watchdog writes it down and ends the process."""
STACK_BYTES = 256 << 10
"""What musl and many servers give a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is fuzzed: its name, its corpus, and the function that reads one input."""

    name: str
    corpus: tuple[bytes, ...]
    one: Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An input that a target may not fail on, and what happened."""

    data: bytes
    text: str


@dataclass(slots=True)
class Run:
    """What one target's run has come to so far; the watchdog reads it from its own thread."""

    target: Target
    count: int = 0
    seconds: float = 0.0
    worst_seconds: float = 0.0
    data: bytes = b""
    since: float | None = None
    fault: Fault | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer from a command line; return 0 for a clean run, 1 for a fault, 2 where there is nothing to run."""
    options = _parse(arguments)
    targets = [t for t in load_targets() if options.target in (None, t.name)]
    if not targets:
        print("no such target" if options.target else "no target found", file=sys.stderr)
        return 2
    if options.replay:
        return _replay(targets, options.replay)
    print(f"seed {options.seed}: {', '.join(target.name for target in targets)}", flush=True)
    seconds = options.seconds / len(targets) if options.seconds else None
    faults = 0
    for target in targets:
        run = fuzz(target, seed=options.seed, seconds=seconds, runs=options.runs)
        rate = run.count / max(run.seconds, 1e-9)
        worst = run.worst_seconds * 1e3
        print(f"{target.name:<10}{run.count:>10,} runs {rate:>10,.0f}/s   worst {worst:.1f} ms", flush=True)
        if run.fault:
            faults += 1
            print(f"FAULT in {target.name}: kept in {keep(target, run.fault)}\n{run.fault.text}", flush=True)
    return 1 if faults else 0


def fuzz(target: Target, *, seed: int, seconds: float | None = None, runs: int | None = None) -> Run:
    """Run one target on a small stack until its time or its number of runs is over, or until its first fault."""
    run = Run(target)
    before = threading.stack_size(STACK_BYTES)
    try:
        worker = threading.Thread(target=_work, args=(run, seed, seconds, runs), name=f"fuzz {target.name}")
        worker.start()
    finally:
        threading.stack_size(before)
    while worker.is_alive():
        worker.join(1.0)
        since = run.since
        if since is not None and time.monotonic() - since > HANG_SECONDS:
            path = keep(target, Fault(data=run.data, text="hang"))
            print(f"FAULT in {target.name}: no end after {HANG_SECONDS:.0f} s, kept in {path}", flush=True)
            faulthandler.dump_traceback()
            os._exit(1)
    return run


def load_targets() -> list[Target]:
    """Import every `fuzz/<name>_target.py` and give it its corpus."""
    targets = []
    for path in sorted(HERE.glob("*_target.py")):
        name = path.stem.removesuffix("_target")
        module = importlib.import_module(f"fuzz.{path.stem}")
        area = VECTORS / AREAS[name] if name in AREAS else None
        vectors = [read_vector(found) for found in sorted(area.glob("*.vector"))] if area else []
        targets.append(Target(name=name, corpus=(*module.seeds(), *vectors), one=module.one))
    return targets


def read_vector(path: Path) -> bytes:
    """Return the input of a vector file: the hex below its header."""
    _, _, body = path.read_text("utf-8").partition("\n\n")
    return bytes.fromhex("".join(body.split()))


def keep(target: Target, fault: Fault) -> Path:
    """Write the input of a fault as hex under `fuzz/crashes/`, named by its digest; return the path."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{target.name}-{hashlib.sha256(fault.data).hexdigest()[:16]}.hex"
    path.write_text(fault.data.hex() + "\n", "ascii")
    return path


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz what reads bytes from strangers.")
    parser.add_argument("--seconds", type=float, help="time for all targets together (default: 10, without --runs)")
    parser.add_argument("--runs", type=int, help="inputs for each target")
    parser.add_argument("--target", help="only this one: the NAME of fuzz/NAME_target.py")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other inputs (default: 0)")
    parser.add_argument("--replay", type=Path, help="run one kept input (hex) through the target named by --target")
    options = parser.parse_args(arguments)
    if options.seconds is None and options.runs is None:
        options.seconds = 10.0
    if options.replay and not options.target:
        parser.error("--replay needs --target")
    return options


def _replay(targets: list[Target], path: Path) -> int:
    run = Run(targets[0])
    _try(run, bytes.fromhex(path.read_text("ascii")))
    print(run.fault.text if run.fault else f"no fault, {run.worst_seconds * 1e3:.1f} ms")
    return 1 if run.fault else 0


def _work(run: Run, seed: int, seconds: float | None, runs: int | None) -> None:
    began = time.monotonic()
    for data in _inputs(run.target, seed):
        if runs is not None and run.count >= runs:
            break
        if seconds is not None and time.monotonic() - began >= seconds:
            break
        _try(run, data)
        if run.fault:
            break
    run.seconds = time.monotonic() - began


def _inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Yield the corpus as it is, then mutations of it without end."""
    yield from target.corpus
    corpus = target.corpus or (b"",)
    draw = Random(f"{seed} {target.name}")
    while True:
        yield mutate(draw.choice(corpus), corpus, draw)


def _try(run: Run, data: bytes) -> None:
    took = _time(run, data)
    if run.fault is None and took > SLOW_SECONDS:
        took = min(took, _time(run, data))
        if took > SLOW_SECONDS:
            run.fault = Fault(data=data, text=f"took {took:.1f} s, twice; the limit is {SLOW_SECONDS:.0f} s")
    run.worst_seconds = max(run.worst_seconds, took)
    run.count += 1


def _time(run: Run, data: bytes) -> float:
    run.data, run.since = data, time.monotonic()
    began = time.perf_counter()
    try:
        run.target.one(data)
    except Exception:
        run.fault = Fault(data=data, text=traceback.format_exc(limit=-8))
    took = time.perf_counter() - began
    run.since = None
    return took


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
