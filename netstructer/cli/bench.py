"""`netstructer bench`: how fast it is here, beside TLS and JSON, and where the time goes.  Floor: ROOF."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.status import Status

import netstructer
from netstructer.cli.options import Json
from netstructer.cli.outcomes import command
from netstructer.cli.races import RACES, run_races
from netstructer.cli.rivals import RIVALS, contestants
from netstructer.cli.samples import SMALL, make_rows
from netstructer.cli.screen import print_json, seconds, stderr
from netstructer.cli.stage import Stage
from netstructer.cli.walk import STEPS, measure_steps
from netstructer.signals import terminable

__all__ = ["bench"]

OURS, THEIRS = "netstructer", "ssl+json"
SUBJECTS: dict[str, tuple[Callable[[], Any], int]] = {
    "small message": (lambda: SMALL, 100),
    "64 KiB record": (lambda: os.urandom(65_000), 10),
    "1000 dict rows": (lambda: make_rows(1000), 5),
}
"""What goes step by step, and how many at a time."""
SHORT = {"netstructer send_many": "… many", "netstructer aes-256-gcm": "… gcm"}
"""What is over the columns of netstructer's other forms, so that all of them fit into 80."""
STEP_SECONDS = 0.8
QUICK_DIVISOR = 10


@command
def bench(
    rounds: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="How often each race is run.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of everything: figures to look at, no more.")] = False,
    json: Json = False,
) -> None:
    """Measure how fast links are on this machine, and where the time goes.

    Starts a server of netstructer's and one of TLS with JSON, each in a process of its own, and races them over
    127.0.0.1: connecting, round trips, one way, dict rows, random bytes, log text; in turns, and the median counts.
    Then the steps of a value's way, at both ends: encode, compress, seal, write, read, open, expand, decode.
    Takes about 15 seconds. Nothing is kept, nothing leaves this machine.
    """
    began = time.perf_counter()
    divisor = QUICK_DIVISOR if quick else 1
    with terminable(), stderr.status("starting") as status:
        facts: dict[str, Any] = {
            "version": netstructer.__version__,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "races": _race(status, rounds, divisor),
            "steps": _steps(status, STEP_SECONDS / divisor),
        }
    facts["seconds"] = time.perf_counter() - began
    if json:
        print_json(facts)
    else:
        _show(Stage(), facts)


def _race(status: Status, rounds: int, divisor: int) -> dict[str, Any]:
    def told(race: str, name: str) -> None:
        status.update(f"{RACES[race].words}: {name}")

    with tempfile.TemporaryDirectory(prefix="netstructer-bench-") as folder, contestants(RIVALS, Path(folder)) as all_:
        found = run_races(all_, rounds=rounds, told=told, divisor=divisor)
    return {
        name: {
            "unit": RACES[name].unit,
            "medians": {rival: statistics.median(figures) for rival, figures in by_rival.items()},
            "rounds": by_rival,
        }
        for name, by_rival in found.items()
    }


def _steps(status: Status, duration: float) -> dict[str, dict[str, float]]:
    found = {}
    for name, (make, batch) in SUBJECTS.items():
        status.update(f"step by step: {name}")
        steps = measure_steps(make(), batch=batch, seconds=duration)
        found[name] = {step: round(spent * 1e6, 3) for step, spent in steps.items()}
    return found


def _show(stage: Stage, facts: dict[str, Any]) -> None:
    stage.say(("netstructer ", "bold"), f"{facts['version']}, Python {facts['python']}, {facts['cores']} cores")
    stage.heading("over loopback, medians")
    names = list(dict.fromkeys(rival for race in facts["races"].values() for rival in race["medians"]))
    lines = []
    for name, race in facts["races"].items():
        medians = race["medians"]
        cells = [f"{medians[rival]:,.0f}" if rival in medians else "–" for rival in names]
        lines.append((RACES[name].words, race["unit"], *cells, f"{_gain(name, medians):.2f} ×"))
    columns = ("", "", *(SHORT.get(name, name) for name in names), "ratio")
    stage.table(columns, lines, numbers=frozenset(range(1, len(columns))))
    stage.say((f"ratio: {OURS} to {THEIRS}, over 1 in its favour. JSON carries neither sets nor tuples.", "dim"))
    stage.heading("where the time goes, µs at both ends")
    steps = facts["steps"]
    stage.table(
        ("", "at the", *steps),
        [
            (step.name, step.end, *(f"{costs[step.name]:,.1f}" for costs in steps.values()))
            for step in STEPS
            if all(step.name in costs for costs in steps.values())
        ]
        + [("all", "", *(f"{sum(costs.values()):,.1f}" for costs in steps.values()))],
        numbers=frozenset(range(2, 2 + len(steps))),
    )
    stage.say((f"Measured in {seconds(facts['seconds'])}.  docs/cli.md says how to read it.", "dim"))


def _gain(name: str, medians: dict[str, float]) -> float:
    ours, theirs = medians[OURS], medians[THEIRS]
    return ours / theirs if RACES[name].more_is_better else theirs / ours
