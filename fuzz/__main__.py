"""Drives the targets: `python -m fuzz [--engine E] [--seconds N] [--runs N] [--target NAME] [--seed S]`.

Each target is given what it once failed on, its corpus, and mutations of that.  A run fails on any exception that comes
out of a target, on an input that takes longer than a second, and on one that takes too much memory (oracle.py).  The
input is kept as hex under `fuzz/regressions/NAME/`, where the suite runs it from then on, and `--replay FILE` runs it
again.  With the engine `mutate` the same seed makes the same inputs.

    python -m fuzz --seconds 60                                        all targets, a minute together
    python -m fuzz --target value --seconds 600 --corpora ~/corpora     one of them, going on from what was found
    python -m fuzz --until 10000000 --corpora ~/corpora                 each so often, over as many runs as it takes
    python -m fuzz --ledger --corpora ~/corpora                         what was run so far, as a table
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
import time
from pathlib import Path

from fuzz import ledger
from fuzz.blind import Run
from fuzz.engines import ENGINES, Outcome, missing, resolve, run
from fuzz.targets import Target, keep, load_target, load_targets, names

__all__ = ["main"]

CHUNK_SECONDS = 300.0
"""One run of a campaign: long beside what it takes to begin, short beside a night."""


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer from a command line; return 0 for a clean run, 1 for a fault, 2 where there is nothing to run."""
    options = _parse(arguments)
    logging.getLogger("netstructer").addHandler(
        logging.NullHandler()
    )  # what a file of bans lacks is said a million times
    book = None if options.corpora is None else options.corpora / "ledger.jsonl"
    if options.ledger:
        print(ledger.table(book))
        return 0
    targets = [t for t in load_targets() if options.target in (None, t.name)]
    if not targets:
        print("no such target" if options.target else "no target found", file=sys.stderr)
        return 2
    if options.replay:
        return _replay(targets[0], options.replay)
    engine = resolve(options.engine)
    if fault := missing(engine):
        print(fault, file=sys.stderr)
        return 2
    if options.until:
        return _campaign([t.name for t in targets], engine, options, book)
    print(f"seed {options.seed}, engine {engine}: {', '.join(target.name for target in targets)}", flush=True)
    seconds = options.seconds / len(targets) if options.seconds else None
    faults = 0
    for target in targets:
        faults += _one(target, engine, options, book, seconds=seconds, runs=options.runs, seed=options.seed)
    return 1 if faults else 0


def _one(
    target: Target,
    engine: str,
    options: argparse.Namespace,
    book: Path | None,
    *,
    seconds: float | None,
    runs: int | None,
    seed: int,
) -> bool:
    """Run one target, say and note what came of it; return whether that is a fault."""
    outcome = run(target, engine, corpora=options.corpora, seed=seed, seconds=seconds, runs=runs)
    _say(outcome)
    if book is not None:
        ledger.note(
            book,
            target=outcome.target,
            engine=outcome.engine,
            count=outcome.count,
            seconds=round(outcome.seconds, 1),
            cpu=round(outcome.processor_seconds, 1),
            edges=outcome.edges,
            features=outcome.features,
            fault=outcome.fault is not None,
        )
    if outcome.fault is None:
        return False
    print(f"FAULT in {target.name}: kept in {keep(target, outcome.fault)}\n{outcome.fault.text}", flush=True)
    return True


def _say(outcome: Outcome) -> None:
    rate = outcome.count / max(outcome.seconds, 1e-9)
    seen = f"worst {outcome.worst_seconds * 1e3:.1f} ms"
    if outcome.engine == "atheris":
        seen = f"{outcome.edges:,} edges, {outcome.features:,} features"
    print(f"{outcome.target:<10}{outcome.count:>10,} runs {rate:>10,.0f}/s   {seen}", flush=True)


def _campaign(wanted: list[str], engine: str, options: argparse.Namespace, book: Path) -> int:
    """Run those targets that are furthest behind, a chunk at a time, until each was run so often or the time is over.

    Each chunk loads its target anew from this process, so what a former campaign has found is where it begins.
    """
    end = time.monotonic() + (options.seconds or float("inf"))
    while time.monotonic() < end:
        done = ledger.sums(book)
        behind = [name for name in wanted if name not in done or done[name].count < options.until]
        if not behind:
            break
        name = min(behind, key=lambda name: done[name].seconds if name in done else 0.0)
        seconds = max(1.0, min(CHUNK_SECONDS, end - time.monotonic()))
        seed = options.seed + (done[name].count if name in done else 0)
        if _one(load_target(name), engine, options, book, seconds=seconds, runs=None, seed=seed):
            return 1
    print(ledger.table(book))
    return 0


def _replay(target: Target, path: Path) -> int:
    done = Run(target)
    done.attempt(bytes.fromhex("".join(path.read_text("ascii").split())))
    print(done.fault.text if done.fault else f"no fault, {done.worst_seconds * 1e3:.1f} ms")
    return 1 if done.fault else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz what reads bytes from strangers.")
    parser.add_argument("--seconds", type=float, help="time for all targets together (default: 10, without --runs)")
    parser.add_argument("--runs", type=int, help="inputs for each target")
    parser.add_argument("--target", help=f"only this one: {', '.join(names())}")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="default: atheris if installed, else mutate")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other inputs (default: 0)")
    parser.add_argument("--replay", type=Path, help="run one kept input (hex) through the target named by --target")
    parser.add_argument("--corpora", type=Path, help="a folder that keeps what was found, and the ledger of runs")
    parser.add_argument("--until", type=int, help="a campaign: run each target so often in all, as the ledger counts")
    parser.add_argument("--ledger", action="store_true", help="print what the ledger in --corpora says")
    options = parser.parse_args(arguments)
    if options.seconds is None and options.runs is None and not options.until:
        options.seconds = 10.0
    if options.replay and not options.target:
        parser.error("--replay needs --target")
    if (options.until or options.ledger) and options.corpora is None:
        parser.error("--until and --ledger need --corpora")
    return options


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
