"""The same targets through Hypothesis: for where atheris is missing, and for an input that is small when it fails.

What Hypothesis draws is bytes, or a seed with some of its bytes changed by `mutate`; what it finds it shrinks.  It
keeps no corpus and sees no coverage, and takes a hundred times as long for an input as the blind engine; so it is asked
for hundreds of inputs, in the suite and by `--engine hypothesis`, not for millions.
"""

from __future__ import annotations

import importlib.util
import time
import traceback
from random import Random
from typing import TYPE_CHECKING, Any

from fuzz.blind import Run
from fuzz.mutate import mutate
from fuzz.targets import Fault, Target

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["INSTALL", "drive", "have_hypothesis", "inputs"]

INSTALL = "this engine needs Hypothesis: pip install 'netstructer[test]'"
SHORT_BYTES = 300
BATCH = 200
"""Inputs of one search; the next begins with another seed."""


def have_hypothesis() -> bool:
    """Say whether the engine is installed here."""
    return importlib.util.find_spec("hypothesis") is not None


def inputs(target: Target) -> SearchStrategy[bytes]:
    """Return a strategy for a target's inputs: any bytes, and what is nearly one of its corpus."""
    from hypothesis import strategies as st

    corpus = target.corpus or (b"",)
    nearly = st.builds(
        lambda data, seed: mutate(data, corpus, Random(seed)), st.sampled_from(corpus), st.integers(0, 2**32)
    )
    return st.one_of(st.binary(max_size=SHORT_BYTES), st.sampled_from(corpus), nearly)


def drive(target: Target, *, seed: int, seconds: float | None = None, runs: int | None = None) -> Run:
    """Run a target on what Hypothesis draws until its time or its number of runs is over, or until its first fault."""
    run = Run(target)
    began = time.monotonic()
    for data in target.regressions:
        run.attempt(data)
    while run.fault is None:
        left = BATCH if runs is None else min(BATCH, runs - run.count)
        if left < 1 or (seconds is not None and time.monotonic() - began >= seconds):
            break
        _search(run, seed + run.count, left)
    run.seconds = time.monotonic() - began
    return run


def _search(run: Run, seed: int, count: int) -> None:
    """Run one search; the fault of a run is the smallest input that Hypothesis has found."""
    import hypothesis

    before = run.count

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )
    @hypothesis.given(inputs(run.target))
    def judged(data: Any) -> None:
        run.data = data
        run.judge(data)

    try:
        judged()
    except Exception:
        run.fault = Fault(data=run.data, text=traceback.format_exc(limit=-8))
    assert run.count > before, "a search that ran nothing would go on for ever"
