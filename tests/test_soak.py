"""The soak's own judgement: lines, intervals, bounds, the picture; and, under `long`, that a leak turns it red."""

from __future__ import annotations

import json
import os
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.soak import __main__ as program
from bench.soak.actor import Gate, Orders
from bench.soak.census import census, heap_bytes, holdings
from bench.soak.course import Talk, Tally, serve, use, walk
from bench.soak.slopes import BOUNDS, Bound, judge, slope_of, table
from loopback import KEY, Task, eventually
from netstructer import Key, Link, Server

linux = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="the soak reads /proc")
FLAT = {bound.figure: 10.0 for bound in BOUNDS}


# --- slopes -----------------------------------------------------------------------------------------------------------


def test_a_line_is_found_exactly_and_a_flat_one_is_flat() -> None:
    times = [10.0 * place for place in range(20)]

    assert slope_of(times, [3 + at / 1800 for at in times]).per_hour == pytest.approx(2.0)
    assert slope_of(times, [3 + at / 1800 for at in times]).either_side == pytest.approx(0.0, abs=1e-6)
    assert (slope_of(times, [7.0] * 20).per_hour, slope_of(times, [7.0] * 20).either_side) == (0.0, 0.0)


def test_the_interval_holds_the_true_slope_nineteen_times_of_twenty() -> None:
    chance, held = Random(5), 0
    times = [20.0 * place for place in range(12)]
    for _ in range(400):
        slope = slope_of(times, [at / 3600 * 5 + chance.gauss(0, 1) for at in times])
        held += abs(slope.per_hour - 5) <= slope.either_side

    assert 365 <= held <= 394


@pytest.mark.parametrize("points", [0, 1, 3])
def test_too_few_points_exclude_nothing(points: int) -> None:
    assert slope_of([float(at) for at in range(points)], [1.0] * points).either_side == inf


def test_a_bound_is_for_an_hour_or_for_a_run_that_is_too_short_for_it() -> None:
    bound = Bound(figure="threads", words="threads", per_hour=3, in_a_run=1)

    assert (bound.allowed(1.0), bound.allowed(0.1)) == (3, 10)


def rests(count: int, **grown: float) -> tuple[list[float], list[dict[str, float]]]:
    """Return rests, 25 seconds apart, at each of which so much more is held."""
    found = [{name: 10.0 + grown.get(name, 0) * place for name in FLAT} for place in range(count)]
    return [25.0 * place for place in range(count)], found


def test_what_stays_is_flat() -> None:
    assert all(each.flat for each in judge("server", *rests(30)))


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.figure)
def test_what_grows_is_not_and_nothing_else_is_blamed(bound: Bound) -> None:
    """What is planted is one and a half of what is allowed, which one rest alone does not show."""
    by = 1.5 * bound.per_hour * 25 / 3600
    judged = judge("server", *rests(60, **{bound.figure: by}))

    assert [each.bound.figure for each in judged if not each.flat] == [bound.figure]
    assert "NOT FLAT" in next(str(each) for each in judged if not each.flat)


def test_what_cannot_be_told_is_not_flat() -> None:
    times, found = rests(6)
    for place, rest in enumerate(found):
        rest["descriptors"] += 40 * (place % 2)

    assert not judge("server", times, found)[0].flat


def test_the_table_has_a_line_for_each_process_and_marks_what_grows() -> None:
    lines = table([*judge("server", *rests(30, threads=2)), *judge("client", *rests(30))]).splitlines()

    assert len(lines) == 5
    assert "**+288.0" in lines[2] or "**+288" in lines[2]
    assert "**" not in lines[3]


# --- what is counted --------------------------------------------------------------------------------------------------


@linux
def test_a_census_sees_what_is_held() -> None:
    before = census()
    held = [Key.generate() for _ in range(200)], bytearray(1 << 20)
    with open(os.devnull):
        after = census()

    assert after["descriptors"] == before["descriptors"] + 1
    assert after["objects"] >= before["objects"] + 200
    assert after["blocks"] > before["blocks"]
    assert len(held[0]) <= holdings()["netstructer.keys.Key"]
    assert heap_bytes() == 0 or after["heap"] >= before["heap"] + (1 << 20)


def test_at_a_gate_nobody_begins_and_whoever_is_inside_is_waited_for() -> None:
    gate = Gate()
    assert gate.enter()
    resting = Task(gate.rest)
    eventually(lambda: gate.shut)
    assert not gate.enter()
    assert resting.running
    gate.leave()
    resting.result()
    gate.go()

    assert gate.enter()


# --- what is checked --------------------------------------------------------------------------------------------------


def talked(tmp_path: Path, serving: Any, uses: int = 6) -> Tally:
    """Let a link talk with a server of that manner; return what was found."""
    tally = Tally()
    with Server(key=KEY, handler=serving) as server, Link(server.address, key=KEY) as link:
        talk = Talk(link, Random(3), tally, tmp_path)
        for _ in range(uses):
            walk(use(talk))
    return tally


def test_a_course_that_goes_well_has_no_fault(tmp_path: Path) -> None:
    (there := tmp_path / "there").mkdir()
    tally = talked(tmp_path, lambda link: walk(serve(link, Tally(), there)))

    assert tally.faults == []
    assert tally.counts["checked"] >= 6


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda number, value: (number, (value, "another")),
        lambda number, value: (number + 1, value),
        lambda number, value: ("news", 0, b"", b"old"),
    ],
)
def test_an_answer_that_is_not_what_it_must_be_is_a_fault(tmp_path: Path, spoilt: Any) -> None:
    def echo(link: Link) -> None:
        for word, number, *rest in link:
            if word == "echo":
                if spoilt(number, None)[0] == "news":
                    link.send(spoilt(number, None))
                    link.send((number, rest[0]))
                else:
                    link.send(spoilt(number, rest[0]))

    tally = Tally()
    with Server(key=KEY, handler=echo) as server, Link(server.address, key=KEY) as link:
        talk = Talk(link, Random(3), tally, tmp_path)
        walk(talk.ask("echo", 5))
        walk(talk.expect(5, "echo"))
        link.abort()

    assert len(tally.faults) >= 1


# --- all of it --------------------------------------------------------------------------------------------------------

SHORT = {"seconds": 45.0, "rest_every": 2.5}
LONG = [pytest.mark.long, pytest.mark.timeout(600), linux]


def soaked(tmp_path: Path, **orders: Any) -> tuple[set[str], list[str], dict[str, Any]]:
    """Run a short soak; return the figures of the blocking server that are shown to grow, the faults, and what was
    counted.  It is too short to exclude as much as the long one does.
    """
    given = Orders(role="", seed=4, pause_seconds=0.05, deaths=False, cut_seconds=3.0, resume_seconds=6.0, **orders)
    judged, faults, words = program.run(given, tmp_path, **SHORT)
    grown = {each.bound.figure for each in judged if each.grows and each.role == "server"}
    return grown, [fault for fault in faults if "in an hour" not in fault], words


@linux
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_short_soak_finds_nothing(tmp_path: Path) -> None:
    grown, faults, words = soaked(tmp_path)
    program.report(tmp_path, SHORT["seconds"], 4, [], faults, words)

    assert faults == []
    assert grown == set()
    assert sum(found["counts"].get("links", 0) for found in words.values()) > 20
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "report.json").read_text())["faults"] == []


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        pytest.param("descriptor", "descriptors", marks=LONG),
        pytest.param("thread", "threads", marks=LONG),
        pytest.param("object", "objects", marks=LONG),
    ],
)
def test_a_leak_for_each_link_turns_it_red(tmp_path: Path, kind: str, figure: str) -> None:
    grown, faults, _ = soaked(tmp_path, leak=kind)

    assert figure in grown
    assert faults == []
