"""Asyncio ends through a network that cuts at random offsets: nothing lost, doubled or reordered.

The blocking ends have `test_chaos.py`, in processes of their own; here both ends of a pairing are in this one, and the
proxy between them.  Blobs and values that are decoded apart are among the messages.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, Task
from netstructer import Blob, Limits, backoff
from netstructer.testing import ChaosProxy
from netstructer.testing.faults import Cut, Cuts, Fault
from pairings import PAIRINGS, paired

FIRST_BYTES = 20_000
"""The first connection lives longer than its handshake."""
LIMITS = Limits(body_bytes=4 << 10, dead_seconds=5.0, ping_seconds=1.0)
NOISE = Random(11).randbytes(120_000)


def value_of(number: int) -> Any:
    """Return the message of a number: mostly small, now and then large, or with a blob."""
    if number % 50 == 17:
        return number, list(range(number, number + 20_000))
    if number % 50 == 33:
        return number, Blob(NOISE[number:])
    return number, "text" * (number % 40)


def send(link: Any, count: int) -> None:
    for number in range(count):
        link.send(value_of(number), timeout=PATIENCE_SECONDS)


def receive(link: Any, house: Any, count: int) -> list[int]:
    """Receive so many messages; return the numbers of those that are not as they should be."""
    wrong = []
    for expected in range(count):
        number, body = link.recv(timeout=PATIENCE_SECONDS)
        if isinstance(body, Blob):
            fits = house.read(body) == NOISE[expected:]
        else:
            fits = body == value_of(expected)[1]
        if number != expected or not fits:
            wrong.append(number)
    return wrong


def run_trial(pairing: tuple[str, str], *, count: int, mean_bytes: int, seed: int) -> int:
    """Send numbered messages both ways at once through a proxy that cuts; return how often it did."""
    by_chance = Cuts(mean_bytes=mean_bytes, half_open=0.1)

    def plan(number: int, chance: Random) -> list[Fault]:
        return by_chance(number, chance) if number else [Cut(at=FIRST_BYTES)]

    proxies: list[ChaosProxy] = []

    def through(address: Any) -> ChaosProxy:
        proxies.append(ChaosProxy(address, plan, seed=seed))
        return proxies[0]

    with paired(*pairing, through=through, limits=LIMITS, server_options={"limits": LIMITS}) as ends:
        tasks: list[Task[Any]] = []
        for sender, receiver, _, house in ends.both_ways():
            tasks += [Task(send, sender, count), Task(receive, receiver, house, count)]
        results = [task.result(600) for task in tasks]

        assert results == [None, [], None, []]
        assert ends.near.stats.messages_received == ends.far.stats.messages_received == count
        return proxies[0].counters.cuts


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dial again at once: the pauses have tests of their own."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("pairing", PAIRINGS[1:], ids="-".join)
def test_nothing_is_lost_doubled_or_reordered_under_cuts(pairing: tuple[str, str]) -> None:
    assert run_trial(pairing, count=150, mean_bytes=60_000, seed=3) >= 5


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("pairing", PAIRINGS[1:], ids="-".join)
def test_nothing_is_lost_under_many_cuts(pairing: tuple[str, str]) -> None:
    assert run_trial(pairing, count=4000, mean_bytes=60_000, seed=4) >= 200
