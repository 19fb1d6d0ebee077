"""Races: the short form of the bench, over loopback: what is done, and what comes of it.  Floor: ROOF.

Law: everything that is sent is counted on arrival, and what comes back is compared.

Each race is run for each contestant in turn, and all of that again, round after round: who would be slowed by
something else on the machine shares it with the others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from netstructer.cli.contest import Connection
from netstructer.cli.rivals import Contestant
from netstructer.cli.samples import MIB, make_random_mebibytes, make_rows, make_text_mebibytes
from netstructer.errors import BadValue

__all__ = ["RACES", "Race", "run_races"]


class Race(NamedTuple):
    """What is done, the unit of its figure, and how much of it."""

    words: str
    unit: str
    more_is_better: bool
    run: Callable[[Contestant, Connection, int], float]
    amount: int
    only_many: bool = False
    """Whether who has `send_many` takes part; where it makes no difference it does not."""


def connect(contestant: Contestant, _: Connection, count: int) -> float:
    """Connect, send the small structure, have it back, close; return how many in a second."""
    small = contestant.rival.small
    began = time.perf_counter()
    for _number in range(count):
        connection = contestant.connect()
        _check(connection.echo(small), small)
        connection.close()
    return count / (time.perf_counter() - began)


def round_trip(contestant: Contestant, connection: Connection, count: int) -> float:
    """Return the median microseconds of the small structure there and back."""
    _check(connection.echo(contestant.rival.small), contestant.rival.small)
    connection.time_echoes(contestant.rival.small, count // 10)
    return statistics.median(connection.time_echoes(contestant.rival.small, count)) / 1e3


def one_way(contestant: Contestant, connection: Connection, count: int) -> float:
    """Send the small structure again and again; return how many arrived in a second."""
    small = contestant.rival.small
    connection.push([small] * 50)
    began = time.perf_counter()
    arrived = connection.push(small for _ in range(count))
    took = time.perf_counter() - began
    _check(tuple(arrived), (count, count * len(small)))
    return count / took


def rows(_: Contestant, connection: Connection, count: int) -> float:
    """Send a list of dict rows, and wait until the server has decoded it; return rows in a second."""
    value = _made(make_rows, count)
    _check(connection.measure(value), count)
    began = time.perf_counter()
    _check(connection.measure(value), count)
    return count / (time.perf_counter() - began)


def bulk(_: Contestant, connection: Connection, count: int) -> float:
    """Send random bytes, a mebibyte a value; return MiB in a second."""
    return _stream(connection, _made(make_random_mebibytes, count))


def text(_: Contestant, connection: Connection, count: int) -> float:
    """Send text of a log, a mebibyte a value; return MiB in a second."""
    return _stream(connection, _made(make_text_mebibytes, count))


RACES = {
    "connect": Race("connect", "links/s", True, connect, 20),
    "rtt": Race("round trip", "µs", False, round_trip, 500),
    "oneway": Race("one way", "msgs/s", True, one_way, 4000, only_many=True),
    "rows": Race("dict rows", "rows/s", True, rows, 5000),
    "bulk": Race("random bytes", "MiB/s", True, bulk, 16),
    "text": Race("log text", "MiB/s", True, text, 16),
}


def run_races(
    entered: list[Contestant], *, rounds: int, told: Callable[[str, str], object], divisor: int = 1
) -> dict[str, dict[str, list[float]]]:
    """Return the figure of each round, by race and contestant; `told(race, contestant)` hears what is next."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in RACES}
    connections = {contestant.name: contestant.connect() for contestant in entered}
    try:
        for _ in range(rounds):
            for name, contestant in _turns(entered):
                told(name, contestant.name)
                count = max(2, RACES[name].amount // divisor)
                figure = RACES[name].run(contestant, connections[contestant.name], count)
                found[name].setdefault(contestant.name, []).append(figure)
    finally:
        for connection in connections.values():
            connection.close()
    return found


def _turns(entered: list[Contestant]) -> Iterator[tuple[str, Contestant]]:
    for name, race in RACES.items():
        for contestant in entered:
            if race.only_many or not contestant.name.endswith("send_many"):
                yield name, contestant


def _stream(connection: Connection, values: list[Any]) -> float:
    began = time.perf_counter()
    arrived = connection.push(values)
    took = time.perf_counter() - began
    _check(tuple(arrived), (len(values), len(values) * MIB))
    return len(values) / took


_inputs: dict[tuple[Callable[[int], Any], int], Any] = {}


def _made(make: Callable[[int], Any], count: int) -> Any:
    """Return an input, made once: making it takes longer than sending it."""
    if (make, count) not in _inputs:
        _inputs[make, count] = make(count)
    return _inputs[make, count]


def _check(found: Any, expected: Any) -> None:
    if found != expected:
        raise BadValue("what came back is not what was sent")
