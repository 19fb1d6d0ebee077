"""The engines: three ways to bring inputs to the same targets, under the same judge, with the same ending.

atheris      coverage-guided: finds the way in, slowly; grows a corpus            guided.py
mutate       blind: does the numbers, on a small stack; needs nothing             blind.py
hypothesis   blind, and makes what it finds small                                 drawn.py
auto         atheris where it is installed, else mutate
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fuzz import blind, drawn, guided
from fuzz.blind import Run
from fuzz.guided import Guided
from fuzz.targets import LONGEST, Fault, Target

__all__ = ["ENGINES", "Outcome", "missing", "resolve", "run"]

ENGINES = ("auto", "atheris", "mutate", "hypothesis")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one run of one target came to, whichever engine ran it."""

    target: str
    engine: str
    count: int
    seconds: float
    processor_seconds: float
    worst_seconds: float = 0.0
    edges: int = 0
    features: int = 0
    fault: Fault | None = None


def resolve(engine: str) -> str:
    """Return the engine that is meant."""
    if engine != "auto":
        return engine
    return "atheris" if guided.have_atheris() else "mutate"


def missing(engine: str) -> str:
    """Return what to do for an engine that is not installed, nothing where it is."""
    if engine == "atheris" and not guided.have_atheris():
        return guided.INSTALL
    if engine == "hypothesis" and not drawn.have_hypothesis():
        return drawn.INSTALL
    return ""


def run(
    target: Target,
    engine: str,
    *,
    corpora: Path | None,
    seed: int,
    seconds: float | None = None,
    runs: int | None = None,
) -> Outcome:
    """Run a target under an engine until its time or its number of runs is over, or until its first fault.

    `corpora` is a folder with a folder for each target: the guided engine adds to it, the blind one reads it.
    """
    folder = None if corpora is None else corpora / target.name
    before = sum(os.times()[:4])
    found: Run | Guided
    if engine == "atheris":
        found = guided.guide(target, folder, seconds=seconds, runs=runs, seed=seed)
    else:
        fuzz = drawn.drive if engine == "hypothesis" else blind.fuzz
        found = fuzz(_grown(target, folder), seed=seed, seconds=seconds, runs=runs)
    return Outcome(
        target=target.name,
        engine=engine,
        count=found.count,
        seconds=found.seconds,
        processor_seconds=sum(os.times()[:4]) - before,
        worst_seconds=found.worst_seconds,
        edges=found.edges,
        features=found.features,
        fault=found.fault,
    )


def _grown(target: Target, folder: Path | None) -> Target:
    """Return a target that begins with what the guided engine has found as well."""
    if folder is None or not folder.is_dir():
        return target
    found = (path.read_bytes()[:LONGEST] for path in sorted(folder.iterdir()))
    return replace(target, corpus=tuple(dict.fromkeys((*target.corpus, *found))))
