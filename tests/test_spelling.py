"""Faults and plans as they are written: what is read is what was meant, and what is no fault is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given

from netstructer.errors import Misuse
from netstructer.testing import Cut, Cuts, Duplicate, Fault, Flip, HalfClose, Hold, Reset, Stall, Throttle
from netstructer.testing.spelling import WrittenPlan, parse_fault, read_plan, write_fault
from netstructer.testing.strategies import chaos_faults

TOML = """
seed = 7

[cuts]
mean_bytes = 20000
most = 50
half_open = 0.25

[[fault]]
kind = "stall"
connection = 2
at = 100
direction = "in"
seconds = 3

[[fault]]
kind = "flip"
at = 40
bit = 3
"""
SAID = {
    "seed": 7,
    "cuts": {"mean_bytes": 20000, "most": 50, "half_open": 0.25},
    "fault": [
        {"kind": "stall", "connection": 2, "at": 100, "direction": "in", "seconds": 3},
        {"kind": "flip", "at": 40, "bit": 3},
    ],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cut", (None, Cut())),
        ("cut@5000", (None, Cut(at=5000))),
        ("0/reset@1:in", (0, Reset(at=1, direction="in"))),
        ("2/stall@100:in,seconds=3", (2, Stall(at=100, direction="in", seconds=3))),
        ("stall,seconds=0.25", (None, Stall(seconds=0.25))),
        ("throttle,bytes_per_second=20000", (None, Throttle(bytes_per_second=20000))),
        ("flip@40:out,bit=7", (None, Flip(at=40, bit=7))),
        ("duplicate@9,count=4", (None, Duplicate(at=9, count=4))),
        ("half-close@3", (None, HalfClose(at=3))),
        ("hold@3,count=5,seconds=0.5", (None, Hold(at=3, count=5, seconds=0.5))),
    ],
)
def test_a_fault_is_read_as_it_was_meant(text: str, expected: tuple[int | None, Fault]) -> None:
    assert parse_fault(text) == expected


@given(chaos_faults())
def test_a_fault_that_is_written_is_read_again(fault: Fault) -> None:
    assert parse_fault(write_fault(fault, 3)) == (3, fault)
    assert parse_fault(write_fault(fault)) == (None, fault)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a fault"),
        ("cut@", "expected a fault"),
        ("cut@-1", "expected a fault"),
        ("Cut@1", "expected a fault"),
        ("cut@1:sideways", "direction"),
        ("slice@1", "expected one of cut, reset"),
        ("cut@1,seconds=3", "cut has no 'seconds'"),
        ("stall,seconds=soon", "seconds to be a number"),
        ("stall,seconds=nan", "seconds to be a number"),
        ("flip,bit=8", "a bit from 0 to 7"),
        ("duplicate,count=1.5", "count to be a whole number"),
        ("throttle,bytes_per_second=0", "above zero"),
    ],
)
def test_what_is_no_fault_is_refused_with_what_would_be(text: str, reason: str) -> None:
    with pytest.raises(Misuse, match=re.escape(reason)):
        parse_fault(text)


@pytest.mark.parametrize(("name", "content"), [("plan.toml", TOML), ("plan.json", json.dumps(SAID))])
def test_a_plan_in_a_file_is_the_plan_in_code(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    plan = read_plan(tmp_path / name)
    cuts = Cuts(mean_bytes=20000, most=50, half_open=0.25)

    assert plan == WrittenPlan(
        faults=((2, Stall(at=100, direction="in", seconds=3)), (None, Flip(at=40, bit=3))), cuts=cuts, seed=7
    )
    assert plan(1, Random("x")) == [Flip(at=40, bit=3), *cuts(1, Random("x"))]
    assert plan(2, Random("x"))[0] == Stall(at=100, direction="in", seconds=3)
    assert plan(50, Random("x")) == [Flip(at=40, bit=3)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[1]", "expected a plan to be a table"),
        ("{", "holds no plan"),
        ('{"faults": []}', "a plan has no 'faults'"),
        ('{"fault": {}}', "a list of tables"),
        ('{"fault": [{"at": 3}]}', "expected one of cut"),
        ('{"fault": [{"kind": "cut", "at": true}]}', "at to be a number"),
        ('{"fault": [{"kind": "cut", "connection": "1"}]}', "connection to be a whole number"),
        ('{"cuts": {"most": 3}}', "to have mean_bytes"),
        ('{"cuts": {"mean_bytes": 0}}', "above zero"),
        ('{"cuts": {"mean_bytes": 1, "early": 2}}', "from 0 to 1"),
        ('{"seed": 1.5}', "seed to be a whole number"),
    ],
)
def test_a_file_that_says_no_plan_is_refused_by_name(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, "utf-8")

    with pytest.raises(Misuse, match=re.escape(reason)) as caught:
        read_plan(path)
    assert "plan.json" in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        Hold(count=123_456_789),
        Duplicate(count=1_234_567),
        Throttle(bytes_per_second=12_345_678.5),
        Stall(seconds=1 / 3),
        Throttle(bytes_per_second=1e-7),
    ],
)
def test_a_long_figure_is_written_whole(fault: Fault) -> None:
    assert parse_fault(write_fault(fault)) == (None, fault)


@pytest.mark.parametrize("name", ["plan.toml", "plan.json"])
def test_a_file_that_is_nested_too_deep_says_no_plan(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(("a = " if name == "plan.toml" else "") + "[" * 100_000)

    with pytest.raises(Misuse, match="plan"):
        read_plan(path)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": ["cut"]}, "expected one of cut"),
        ({"kind": {}}, "expected one of cut"),
        ({"kind": "cut", "connection": -1}, "expected connection to be a number from 0 on"),
    ],
)
def test_a_fault_of_a_file_that_could_never_be_is_refused(tmp_path: Path, fault: object, reason: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"fault": [fault]}))

    with pytest.raises(Misuse, match=reason):
        read_plan(path)


def test_a_fault_has_one_place() -> None:
    with pytest.raises(Misuse, match="the byte of a fault once"):
        parse_fault("cut@5,at=7")
