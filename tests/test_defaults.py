"""docs/defaults.md names every number that somebody might want to know, with the figure that the code has."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from netstructer import Link, Server
from netstructer.codec import tags
from netstructer.limits import _BOUNDS, Limits
from test_spec import cells_of, section

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")

OF_THE_WIRE = {
    *("codec.tags", "codec.tokens", "codec.gcm", "codec.closing", "keys", "limits"),
    *("protocol.bodies", "protocol.delivery", "protocol.handshake", "protocol.liveness", "protocol.noise"),
    *("pairing.frames", "pairing.ceremony"),
    *("protocol.opening", "protocol.parameters", "protocol.ratchet", "protocol.records", "protocol.states"),
}
"""Modules whose numbers are facts of the protocol or of values: protocol.md, "Figures", and values.md have them."""
FACTS = {
    *("codec.compression.NONE", "codec.compression.ZSTD", "codec.compression.BLOCK_BYTES"),
    *("codec.compression.MOST_EMPTY_BLOCKS", "codec.compression.LAST_COMPRESSED", "codec.compression.CHECKSUM_BYTES"),
    *("codec.frames.LENGTH_BYTES", "codec.frames.LEAST_TOKEN_BYTES", "codec.frames.TOKEN_STEP_BYTES", "dial.FEATURES"),
    "stranger.FEATURES",
    *("transfer.body.WHOLE", "transfer.body.CHANGED", "transfer.body.FAILED"),
}
ARGUMENTS = {
    "Link(timeout=)": (Link.__init__, "timeout"),
    "Link.close(timeout=)": (Link.close, "timeout"),
    "Link.ping(timeout=)": (Link.ping, "timeout"),
    "Server(max_links=)": (Server.__init__, "max_links"),
    "Server.close(drain=)": (Server.close, "drain"),
}
UNBOUNDED = {"spool_directory": "a path", "exempt_networks": "networks"}
"""What may be given where there is no number to bound."""
UNITS = (("EiB", 1 << 60), ("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def figure(name: str, number: float | tuple[str, ...] | None) -> str:
    """Return a number as the page writes it: `64 KiB`, `1 GiB + 64 KiB`, `4 GiB − 1`, `16,777,216`, `0.00002`."""
    if number is None:
        return "None"
    if isinstance(number, tuple):
        return ", ".join(number)
    if not name.lower().endswith("_bytes"):
        return f"{number:,}" if isinstance(number, int) else f"{number:,.9f}".rstrip("0").rstrip(".")
    if number and not (number + 1) % 1024:
        return f"{figure(name, number + 1)} − 1"
    rest, parts = int(number), []
    for unit, size in UNITS:
        if rest >= size:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " + ".join(parts + ([str(rest)] if rest or not parts else []))


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the tables under a heading, by their first cell."""
    rows = [cells_of(line) for line in section(text, heading).splitlines()]
    return {row[0]: row[1:] for row in rows if row and not set(row[0]) <= set("-: ")}


def limits_wrong(text: str) -> list[str]:
    """Return what is wrong with the tables of limits: missing, unknown, another figure, no reason."""
    rows = rows_of(text, "Limits")
    names = [field.name for field in fields(Limits)]
    wrong = [f"{name} is not there" for name in names if name not in rows]
    wrong += [f"{name} is no limit" for name in rows if name not in names and name != "limit"]
    for name in set(names) & set(rows):
        profiles = [figure(name, getattr(getattr(Limits, profile), name)) for profile in ("DEFAULT", "SMALL", "BULK")]
        bounds = (
            " … ".join(figure(name, bound) for bound in _BOUNDS[name])
            if name in _BOUNDS
            else UNBOUNDED.get(name, "above 0")
        )
        if rows[name][1:5] != [*profiles, bounds]:
            wrong.append(f"{name}: {rows[name][1:5]}, in the code {[*profiles, bounds]}")
        if not rows[name][0] or len(rows[name][5]) < 20:
            wrong.append(f"{name}: no unit or no reason")
    return sorted(wrong)


@functools.cache
def numbers_of_modules() -> dict[str, Any]:
    """Return every public number at the top of a module that is no fact of the wire."""
    found = {}
    for path in sorted((ROOT / "netstructer").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "netstructer").with_suffix("").parts)
        if name in OF_THE_WIRE or name.startswith("cli.") or path.name.startswith("__"):
            continue
        module = importlib.import_module(f"netstructer.{name}")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in (part for outer in targets for part in getattr(outer, "elts", [outer])):
                number = getattr(module, target.id, None) if isinstance(target, ast.Name) else None
                if type(number) in (int, float) and target.id.isupper() and not target.id.startswith("_"):
                    found[f"{name}.{target.id}"] = number
    return {name: number for name, number in found.items() if name not in FACTS}


def modules_wrong(text: str) -> list[str]:
    rows, actual = rows_of(text, "Figures of the modules"), numbers_of_modules()
    wrong = [f"{name} is not there" for name in actual if name not in rows]
    wrong += [f"{name} is no such number" for name in rows if name not in actual and name != "name"]
    for name in set(actual) & set(rows):
        if rows[name][1] != figure(name, actual[name]):
            wrong.append(f"{name}: {rows[name][1]}, in the code {figure(name, actual[name])}")
        if not rows[name][0] or len(rows[name][2]) < 20:
            wrong.append(f"{name}: no unit or no reason")
    return sorted(wrong)


def arguments_wrong(text: str) -> list[str]:
    rows = rows_of(text, "Arguments")
    actual = {
        name: figure("", inspect.signature(function).parameters[parameter].default)
        for name, (function, parameter) in ARGUMENTS.items()
    }
    stated = {name: row[1] for name, row in rows.items() if name != "argument"}
    return sorted(str(fact) for fact in set(stated.items()) ^ set(actual.items()))


CHECKS = {
    limits_wrong: ("| 1 GiB + 64 KiB | 16 MiB | 64 GiB |", "| 1 GiB + 64 KiB | 16 MiB | 32 GiB |"),
    modules_wrong: ("| 65,536 |", "| 65,537 |"),
    arguments_wrong: ("| 1,000 |", "| 1,001 |"),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_page_has_the_figures_of_the_code(check: Any) -> None:
    assert check(PAGE) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_page_with_another_figure_is_found(check: Any) -> None:
    here, there = CHECKS[check]

    assert here in PAGE
    assert check(PAGE.replace(here, there)) != []


@pytest.mark.parametrize("name", ["half_open", "streams"])
def test_a_limit_that_is_missing_is_found(name: str) -> None:
    without = "\n".join(line for line in PAGE.splitlines() if not line.startswith(f"| `{name}` |"))

    assert limits_wrong(without) == [f"{name} is not there"]


def test_figures_are_written_as_people_read_them() -> None:
    written = [figure("x_bytes", number) for number in (0, 512, 1 << 16, (1 << 30) + (1 << 16), (1 << 32) - 1, 1 << 62)]

    assert written == ["0", "512", "64 KiB", "1 GiB + 64 KiB", "4 GiB − 1", "4 EiB"]
    assert [figure("x", number) for number in (1 << 24, 15.0, 0.05, 2e-5)] == ["16,777,216", "15", "0.05", "0.00002"]


def test_numbers_of_the_wire_are_left_to_the_specifications() -> None:
    assert "codec.tags" in OF_THE_WIRE
    assert tags.BULK_FROM == 16
    assert {name for name in FACTS if name in numbers_of_modules()} == set()
