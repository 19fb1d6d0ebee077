"""The walk: each step of a value's way is taken, in order, and what arrives is what was sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from bench import steps
from netstructer.cli import walk
from netstructer.cli.samples import SMALL, make_rows, make_text_mebibytes
from netstructer.cli.walk import STEPS, Walk, apart, measure_steps

WITHOUT_LINK = [step.name for step in STEPS if step.name != "link"]


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (lambda: SMALL, 40),
        (bytes, 3),
        (lambda: os.urandom(65_000), 3),
        (lambda: make_rows(300), 2),
        (lambda: make_text_mebibytes(1)[0], 1),
    ],
    ids=["small", "empty", "record", "rows", "text"],
)
def test_every_step_has_its_figure(make: Callable[[], Any], batch: int) -> None:
    found = measure_steps(make(), batch=batch, seconds=0)

    assert list(found) in (WITHOUT_LINK, [*WITHOUT_LINK, "link"])
    assert found["encode"] > 0
    assert found["seal"] > 0
    assert found["decode"] >= 0
    assert sum(found.values()) < 10


def test_a_value_is_counted_in_plain_and_on_the_wire() -> None:
    with Walk("x" * 200, batch=4) as walked:
        walked.timed(0)

        assert walked.plain_bytes == 4 * 202
        assert walked.wire_bytes > 4 * 250


def test_a_step_is_told_from_what_it_was_measured_with() -> None:
    found = dict.fromkeys((step.name for step in STEPS), 1.0) | {"queue": 3.0, "seal": 2.5, "order": 0.5, "link": 20.0}

    steps_ = apart(found)

    assert steps_["queue"] == 0.5
    assert steps_["order"] == 0  # never below nothing
    assert steps_["seal"] == 2.5
    assert steps_["link"] == 20.0 - (1.0 + 3.0 + 1.0 + 1.0 + 0.5 + 1.0)


def test_what_arrives_changed_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    with Walk([1, 2], batch=2) as walked:
        monkeypatch.setattr(walked, "_value", [1, 2])
        monkeypatch.setattr(walked, "_decode", lambda: walked._values.extend([[1, 2], [1, 3]]))

        with pytest.raises(RuntimeError, match="what arrived is not what was sent"):
            walked.timed(0)


def test_a_batch_over_the_credit_is_refused() -> None:
    with Walk(os.urandom(60_000), batch=200) as walked, pytest.raises(RuntimeError, match="more than the credit"):
        walked.timed(0)


def test_the_table_has_a_row_for_each_step() -> None:
    found = {"small": dict.fromkeys((step.name for step in STEPS), 2e-6), "rows": {"encode": 1e-3}}

    lines = steps.table(found).splitlines()

    assert lines[0] == "| step | at the | small, µs | rows, µs |"
    assert lines[2] == "| encode: value to bytes | sender | 2.0 | 1,000.0 |"
    assert lines[3].endswith("| 2.0 | – |")
    assert lines[-1] == f"| all | | {2.0 * len(STEPS):.1f} | 1,000.0 |"
    assert "k instructions" in steps.table(found, instructions=True)


def test_instructions_need_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(FileNotFoundError, match="valgrind"):
        steps.count_instructions("small")


def test_the_steps_are_described_where_they_are_measured() -> None:
    assert walk.__doc__ is not None
    for step in STEPS:
        assert f"    {step.name:<13}" in walk.__doc__
