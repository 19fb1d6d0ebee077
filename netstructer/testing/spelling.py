"""How faults and plans are written: in one word for a command line, in a file, and back.  Floor: FAÇADES.

Law: what is not understood is refused, with what would have been.

    cut@5000                          each connection, when 5,000 bytes have gone out
    2/stall@100:in,seconds=3          the third connection, when 100 bytes have come in
    throttle,bytes_per_second=20000   from the first byte on

A file says the same in TOML or JSON, with the seed and the chance that a `Cuts` has:

    seed = 7

    [cuts]
    mean_bytes = 20000
    most = 50

    [[fault]]
    kind = "stall"
    connection = 2
    at = 100
    direction = "in"
    seconds = 3
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from random import Random
from typing import Any, cast

from netstructer.errors import Misuse
from netstructer.testing.faults import (
    Blackhole,
    Cut,
    Cuts,
    Duplicate,
    Fault,
    Flip,
    HalfClose,
    Hold,
    Reset,
    Stall,
    Throttle,
)

__all__ = ["KINDS", "WrittenPlan", "parse_fault", "read_plan", "write_fault"]

KINDS: dict[str, type[Fault]] = {
    "cut": Cut,
    "reset": Reset,
    "half-close": HalfClose,
    "stall": Stall,
    "throttle": Throttle,
    "flip": Flip,
    "duplicate": Duplicate,
    "blackhole": Blackhole,
    "hold": Hold,
}
"""The faults by the names that they are written with."""
_NAMES = {kind: name for name, kind in KINDS.items()}
_WHOLE = frozenset({"at", "count", "bit"})
_SPELLING = re.compile(r"(?:(\d+)/)?([a-z-]+)(?:@(\d+))?(?::([a-z]+))?((?:,[a-z_]+=[^,]*)*)")
_EXAMPLE = "as in cut@5000, 2/stall@100:in,seconds=3 or throttle,bytes_per_second=20000"
_CUTS = {field.name: field for field in fields(Cuts) if field.name != "kinds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPlan:
    """A plan as it was written: faults for one connection or for each, and a chance of cuts beside them."""

    faults: tuple[tuple[int | None, Fault], ...] = ()
    """The number of a connection, None for each of them, and what happens to it."""
    cuts: Cuts | None = None
    seed: int = 0

    def __call__(self, number: int, chance: Random) -> list[Fault]:
        """Return what is to happen to one connection: this is a plan."""
        planned = [fault for place, fault in self.faults if place in (None, number)]
        return planned if self.cuts is None else planned + self.cuts(number, chance)


def parse_fault(text: str) -> tuple[int | None, Fault]:
    """Read `[CONNECTION/]KIND[@BYTE][:out|:in][,NAME=VALUE…]`; return the connection, None for each, and the fault.

    Raises `Misuse` for what is no fault.
    """
    found = _SPELLING.fullmatch(text)
    if found is None:
        raise Misuse(f"expected a fault {_EXAMPLE}, found {text!r}")
    connection, kind, at, direction, more = found.groups()
    given: dict[str, Any] = dict(part.split("=", 1) for part in more.split(",")[1:])
    given = {name: _number(value, name) for name, value in given.items()}
    if at is not None:
        if "at" in given:
            raise Misuse(f"expected the byte of a fault once, found {text!r}")
        given["at"] = int(at)
    if direction is not None:
        given["direction"] = direction
    return None if connection is None else int(connection), _fault(kind, given)


def write_fault(fault: Fault, connection: int | None = None) -> str:
    """Return a fault as `parse_fault` reads it."""
    own = [(field.name, getattr(fault, field.name)) for field in fields(fault) if field.name not in ("at", "direction")]
    more = [f",{name}={_written(value)}" for name, value in own if value is not None]
    place = "" if connection is None else f"{connection}/"
    return f"{place}{_NAMES[type(fault)]}@{fault.at}:{fault.direction}{''.join(more)}"


def _written(number: float) -> str:
    """Return the shortest text of a number that says all of it."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def read_plan(path: str | os.PathLike[str]) -> WrittenPlan:
    """Read a plan from a file, TOML or, where its name ends with `.json`, JSON.

    Raises `OSError`, and `Misuse` for a file that says no plan.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read()
    try:
        said = json.loads(content) if name.endswith(".json") else tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise Misuse(f"{name} holds no plan: it is nested too deep") from None
    except ValueError as error:
        raise Misuse(f"{name} holds no plan: {error}") from None
    try:
        return _plan(_table(said, {"seed", "cuts", "fault"}, "a plan"))
    except Misuse as error:
        raise Misuse(f"{name}: {error}") from None


def _plan(said: Mapping[str, Any]) -> WrittenPlan:
    listed = said.get("fault", [])
    if not isinstance(listed, list):
        raise Misuse("expected `fault` to be a list of tables")
    cuts = None
    if "cuts" in said:
        table = _table(said["cuts"], _CUTS, "cuts")
        given: dict[str, Any] = {name: _number(value, name) for name, value in table.items()}
        missing = [name for name, field in _CUTS.items() if field.default is MISSING and name not in given]
        if missing:
            raise Misuse(f"expected `cuts` to have {' and '.join(missing)}")
        cuts = Cuts(**given)
    return WrittenPlan(faults=tuple(map(_listed, listed)), cuts=cuts, seed=_whole(said.get("seed", 0), "seed"))


def _listed(said: Any) -> tuple[int | None, Fault]:
    names = {"kind", "connection"} | {field.name for kind in KINDS.values() for field in fields(kind)}
    table = dict(_table(said, names, "a fault"))
    connection = table.pop("connection", None)
    if connection is not None and _whole(connection, "connection") < 0:
        raise Misuse(f"expected connection to be a number from 0 on, found {connection}")
    return connection, _fault(table.pop("kind", None), table)


def _fault(kind: Any, given: dict[str, Any]) -> Fault:
    if not isinstance(kind, str) or kind not in KINDS:
        raise Misuse(f"expected one of {', '.join(KINDS)}, found {kind!r}")
    names = {field.name for field in fields(KINDS[kind])}
    table = _table(given, names, kind)
    read: dict[str, Any] = {
        name: value if name == "direction" else _number(value, name) for name, value in table.items()
    }
    return KINDS[kind](**read)


def _table(said: Any, names: Iterable[str], what: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Misuse(f"expected {what} to be a table")
    strange = sorted(str(name) for name in said if name not in set(names))
    if strange:
        raise Misuse(f"{what} has no {', '.join(map(repr, strange))}; there are {', '.join(sorted(names))}")
    return cast("dict[str, Any]", said)


def _number(value: Any, name: str) -> float | int:
    """Read a number from a command line or from a file: a whole one where a byte, a bit or a count is meant."""
    try:
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        number = None
    if number is None or not 0 <= number < 1 << 53:
        raise Misuse(f"expected {name} to be a number from 0 on, found {value!r}")
    whole = int(number) if number == int(number) else None
    if name in _WHOLE | {"most", "early_bytes", "late_bytes"}:
        if whole is None:
            raise Misuse(f"expected {name} to be a whole number, found {value!r}")
        return whole
    return number if whole is None else whole


def _whole(value: Any, name: str) -> int:
    if type(value) is not int:
        raise Misuse(f"expected {name} to be a whole number, found {value!r}")
    return value
