"""Real processes, real sockets, real cuts: nothing is lost, doubled or reordered, and each safeguard is needed.

The trial is `chaos.py`; `make chaos` runs it with a million messages and more than ten thousand cuts.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import chaos_ends
from chaos import run_trial
from chaos_ends import Course
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, python
from netstructer import Limits, Link
from netstructer.errors import NetstructerError
from netstructer.testing import ChaosProxy, Hold
from sabotage import CONTROLS, SABOTAGES

LONG = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("messages", "cuts", "seed"),
    [
        pytest.param(2000, 30, 1, id="suite"),
        pytest.param(100_000, 1000, 2, id="long", marks=LONG),
    ],
)
def test_nothing_is_lost_doubled_or_reordered(messages: int, cuts: int, seed: int) -> None:
    course = Course(role="", messages=messages)
    trial = run_trial(course, cuts=cuts, seed=seed, seconds=100 + messages / 200)

    assert trial.faults(messages, cuts) == []
    assert all(report["blobs"] == messages // course.blob_every for report in trial.reports.values())
    assert all(report["resumes"] > cuts // 3 for report in trial.reports.values())


CUTS_OF_A_SABOTAGE = 40
"""So few that a peer which sends some records again each time gets on all the same."""


@pytest.mark.long
@pytest.mark.parametrize("names", SABOTAGES, ids="+".join)
def test_each_sabotage_turns_it_red(names: tuple[str, ...]) -> None:
    course = Course(role="", messages=20_000, sabotage=names, patience_seconds=10.0, backlog_bytes=4 << 20)
    trial = run_trial(course, cuts=CUTS_OF_A_SABOTAGE, seed=3, seconds=60)

    assert trial.faults(course.messages, cuts=0) != []


@pytest.mark.long
@pytest.mark.parametrize("names", CONTROLS, ids="+".join)
def test_what_is_no_sabotage_leaves_it_green(names: tuple[str, ...]) -> None:
    course = Course(role="", messages=20_000, sabotage=names)
    trial = run_trial(course, cuts=CUTS_OF_A_SABOTAGE, seed=3, seconds=100)

    assert trial.faults(course.messages, CUTS_OF_A_SABOTAGE) == []


# --- a server that stops, and one that hears old bytes late -----------------------------------------------------------


@contextmanager
def echo(**changed: Any) -> Iterator[tuple[Any, int]]:
    """Give a process that sends everything back, and its port."""
    with python(chaos_ends.__file__, json.dumps({"role": "echo", **changed})) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def send_numbers(link: Link, first: int, last: int) -> None:
    for number in range(first, last):
        link.send({"number": number, "text": "x" * (number % 50)}, timeout=PATIENCE_SECONDS)


def numbers(link: Link, count: int, seconds: float = PATIENCE_SECONDS) -> list[int]:
    return [link.recv(timeout=seconds)["number"] for _ in range(count)]


def nothing_more(link: Link) -> bool:
    """Say whether nothing comes that was not asked for: a last question has its answer next."""
    link.send({"number": "last"})
    return link.recv(timeout=PATIENCE_SECONDS) == {"number": "last"}


def reported(link: Link, seconds: float) -> None:
    """Wait until the link says that its transport is no more, which takes so many seconds."""
    deadline = time.monotonic() + seconds + PATIENCE_SECONDS
    while not link.suspended:
        assert time.monotonic() < deadline, "the link does not say that its transport is gone"
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
@pytest.mark.parametrize(
    ("dead_seconds", "stopped_seconds"),
    [
        pytest.param(1.0, 0.0, id="suite"),
        pytest.param(Limits.DEFAULT.dead_seconds, 60.0, id="long", marks=LONG),
    ],
)
def test_a_server_that_stops_is_reported_and_nothing_is_lost(
    dead_seconds: float, stopped_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """It is stopped until the client has noticed, and for `stopped_seconds` at least."""
    limits = Limits(ping_seconds=dead_seconds / 3, dead_seconds=dead_seconds)
    caplog.set_level(logging.INFO, "netstructer")
    with (
        echo(dead_seconds=dead_seconds) as (process, port),
        Link(("127.0.0.1", port), key=KEY, limits=limits) as link,
    ):
        send_numbers(link, 0, 200)
        assert numbers(link, 200) == list(range(200))
        began = time.monotonic()
        process.send_signal(signal.SIGSTOP)
        try:
            sending = Task(send_numbers, link, 200, 2000)
            waiting = Task(link.recv)
            reported(link, dead_seconds)
            while time.monotonic() < began + stopped_seconds:
                time.sleep(0.1)
            eventually(lambda: "has lost its transport: Stalled" in caplog.text)
            assert waiting.running  # it does not end: it waits
            assert not link.closed
        finally:
            process.send_signal(signal.SIGCONT)
        sending.result()

        assert waiting.result(60.0)["number"] == 200
        assert numbers(link, 1799) == list(range(201, 2000))
        assert nothing_more(link)
        assert not link.suspended
        assert link.stats.resumes >= 1


def half_open(*sabotage: str) -> int:
    """Let a client go on by another way, and the last bytes of the way before come late; return how many those were.

    Raises what is wrong with it.
    """
    plan = [[Hold(at=20_000, count=10_000)]]
    with (
        echo(sabotage=sabotage) as (_, port),
        ChaosProxy(("127.0.0.1", port), plan) as proxy,
        Link(proxy.address, key=KEY) as link,
    ):
        sending = Task(send_numbers, link, 0, 1000)
        assert numbers(link, 1000) == list(range(1000))
        sending.result()
        assert link.stats.resumes == 1
        released = proxy.release()
        send_numbers(link, 1000, 1100)
        assert numbers(link, 100) == list(range(1000, 1100))
        assert nothing_more(link)
        return released


def test_the_last_bytes_of_a_former_transport_come_late_and_double_nothing() -> None:
    assert half_open() == 10_000


def test_they_would_double_everything_without_fencing_and_dedupe() -> None:
    with pytest.raises((AssertionError, NetstructerError)):
        half_open("no_fencing", "no_dedupe")
