"""Delivery across cuts, as a trial: two processes, a proxy that cuts between them, and what both say afterwards.

    python tests/chaos.py --messages 1000000 --cuts 10000        (make chaos)

The programs are `chaos_ends.py`; the proxy is in this process.  The suite runs the same trial, smaller
(`test_chaos.py`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

import chaos_ends  # noqa: E402  # this file is run as a program, too, and has to find its neighbours first
from chaos_ends import Course  # noqa: E402
from loopback import python  # noqa: E402
from netstructer.testing import ChaosProxy, Counters, Cut, Cuts, Fault  # noqa: E402

FIRST_BYTES = 2000
"""The first connection lives longer than its handshake: what is cut in there is an error of `Link()`, not of a link."""
TELL_SECONDS = 10.0


@dataclass(kw_only=True)
class Trial:
    """What came of it."""

    counters: Counters
    reports: dict[str, dict[str, Any]]
    """By role; what a process that failed has not."""
    errors: dict[str, str]
    """What a process that failed said last."""
    seconds: float

    def faults(self, messages: int, cuts: int) -> list[str]:
        """Return everything that is not as it must be, one sentence each."""
        found = [f"the {role} failed: {text}" for role, text in self.errors.items()]
        if self.counters.cuts < cuts:
            found.append(f"{self.counters.cuts} of {cuts} cuts")
        for role, report in self.reports.items():
            found += [f"{role}: {fault}" for fault in report["faults"]]
            if (report["sent"], report["received"]) != (messages, messages):
                found.append(f"{role}: {report['sent']} sent, {report['received']} received")
            if report["kept_bytes"]:
                found.append(f"{role}: {report['kept_bytes']} bytes are kept to be sent again")
        return found


def run_trial(course: Course, *, cuts: int, seed: int, seconds: float) -> Trial:
    """Run both ends of a course with a proxy between them; `seconds` bound the whole."""
    began = time.monotonic()
    # Planned for are twice as many as are asked for, and some: where the directions take turns, fewer happen.
    by_chance = Cuts(mean_bytes=chaos_ends.wire_bytes_of(course) / (2 * cuts + 30), half_open=0.1)

    def plan(number: int, chance: Random) -> list[Fault]:
        return by_chance(number, chance) if number else [Cut(at=FIRST_BYTES)]

    with python(chaos_ends.__file__, _arguments(course, role="server")) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with (
            ChaosProxy(("127.0.0.1", port), plan, seed=seed) as proxy,
            python(chaos_ends.__file__, _arguments(course, role="client", port=proxy.address.port)) as client,
        ):
            reports: dict[str, dict[str, Any]] = {}
            errors: dict[str, str] = {}
            for role, process in (("client", client), ("server", server)):
                out, error = _finish(process, began + seconds, proxy, tell=bool(course.progress_seconds))
                if process.returncode:
                    errors[role] = error.strip().rpartition("\n")[2]
                else:
                    reports[role] = json.loads(out)
            return Trial(
                counters=proxy.counters, reports=reports, errors=errors, seconds=round(time.monotonic() - began, 1)
            )


def _arguments(course: Course, **changed: object) -> str:
    return json.dumps({**vars(course), **changed})


def _finish(process: subprocess.Popen[str], deadline: float, proxy: ChaosProxy, *, tell: bool) -> tuple[str, str]:
    """Wait for the end of a process, or end it at the deadline; return what it wrote."""
    while True:
        try:
            return process.communicate(timeout=TELL_SECONDS)
        except subprocess.TimeoutExpired:
            if tell:
                now = proxy.counters
                line = f"{now.cuts} cuts, {now.bytes_out >> 20} MiB out, {now.bytes_in >> 20} MiB in"
                sys.stderr.write(line + "\n")
        if time.monotonic() > deadline:
            process.kill()
            out, error = process.communicate()
            return out, f"{error}\nit was not done in time"


def main() -> int:
    """Run a trial as the command line says; print what came of it; return 0 if all is as it must be."""
    parser = argparse.ArgumentParser(description="two processes, a proxy that cuts, and nothing lost")
    parser.add_argument("--messages", type=int, default=100_000, help="messages each way (100,000)")
    parser.add_argument("--cuts", type=int, default=1000, help="cuts, at least (1,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where the cuts fall")
    parser.add_argument("--seconds", type=float, default=3600.0, help="the longest it may take (3,600)")
    parser.add_argument("--sabotage", default="", help="safeguards to take away, with commas: see sabotage.py")
    chosen = parser.parse_args()
    names = tuple(filter(None, chosen.sabotage.split(",")))
    course = Course(role="", messages=chosen.messages, sabotage=names, progress_seconds=TELL_SECONDS)
    sys.stderr.write(f"{chosen.messages} messages each way, {chosen.cuts} cuts, seed {chosen.seed}\n")
    trial = run_trial(course, cuts=chosen.cuts, seed=chosen.seed, seconds=chosen.seconds)
    faults = trial.faults(chosen.messages, chosen.cuts)
    shown = {**vars(trial), "counters": repr(trial.counters), "seed": chosen.seed, "found": faults}
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
