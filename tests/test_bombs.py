"""Bombs: each is refused, or taken within the budgets, in little time and memory, on a small stack (bombs.py)."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from bombs import SLACK_BYTES, Bomb, growth_of, measure
from bombs_of_files import FILES
from bombs_of_frames import EXPANSIONS
from bombs_of_links import RECORDS, TRANSFERS
from bombs_of_values import VALUES
from loopback import ROOT, finish, python
from netstructer import Limits, private_files
from netstructer.codec import arrays, collisions, fraction_hashes
from netstructer.protocol import assembly, records
from netstructer.transfer import manifest

salvaging = sys.modules["netstructer.durable.salvage"]  # the package has a function of that name
BOMBS = [*VALUES, *EXPANSIONS, *RECORDS, *TRANSFERS, *FILES]
OUTSIDE = EXPANSIONS


def over(bomb: Bomb, limits: Limits, *, full: bool = False, like: Limits | None = None, tries: int = 10) -> list[str]:
    """Throw it, and return what it cost more than it may under these limits, or under others."""
    asked = like or limits
    cost = measure(bomb, limits, tracing=False, tries=tries)
    found = []
    if type(cost.error) is not (bomb.error or type(None)):
        found.append(f"error: {cost.error!r}")
    if cost.seconds >= bomb.seconds:
        found.append(f"time: {cost.seconds:.3f} s")
    if full or not (found or bomb.slow_to_trace):
        growth, most = growth_of(bomb, limits), bomb.most_bytes(asked) + SLACK_BYTES
        found += [f"growth: {growth:,} bytes, over {most:,}"] * (growth > most)
    return found


LEFT_TO_LONG = {
    "an emoji in each of 60,000",  # this one and the next two come within a fifth of 100 ms on two busy cores
    "300 bytes in 18 MB of padding",
    "3,000 sets of one fraction",
    "sets in sets around 15 MiB",
    "sets of sets, 32 a level, 3 deep",
    "a thousand blobs of unknown length",
    "a thousand conversations",
    "batches of a hundred thousand values",
    "fractions of 8,100 bits",
}
"""What takes longest to make or to throw."""
QUICK = [bomb for bomb in BOMBS if bomb.name not in LEFT_TO_LONG]


@pytest.mark.parametrize("bomb", QUICK, ids=[f"{bomb.kind}: {bomb.name}" for bomb in QUICK])
def test_a_bomb_costs_little(bomb: Bomb) -> None:
    assert over(bomb, Limits.SMALL) == []


THROWN = [(bomb, limits) for bomb in BOMBS for limits in (Limits.SMALL, Limits.DEFAULT)[: 1 if bomb.by_size else 2]]


@pytest.mark.long
@pytest.mark.parametrize(("bomb", "limits"), THROWN, ids=[f"{bomb.kind}: {bomb.name}" for bomb, _ in THROWN])
def test_a_bomb_costs_little_under_either_limits(bomb: Bomb, limits: Limits) -> None:
    assert over(bomb, limits, full=True) == []


# --- what is outside of Python's objects ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is begun anew by /proc")
def test_what_is_outside_of_python_stays_small_too() -> None:
    with python(str(ROOT / "tests" / "bombs.py"), "rss", afresh=True) as process:
        out, _ = finish(process, 60.0)
    grown = {name: int(figure) for figure, name in (line.split(" ", 1) for line in out.splitlines())}

    assert set(grown) == {bomb.name for bomb in OUTSIDE}
    most = {bomb.name: bomb.most_bytes(Limits.SMALL) for bomb in OUTSIDE}
    # A window of zstd is 1 MiB, its tables as much again; an allocator gives pages back late.
    assert [name for name, growth in grown.items() if growth > most[name] + 3 * SLACK_BYTES] == []


# --- sabotage: the measurement sees what it would let through ---------------------------------------------------------


def without(*names: str) -> Limits:
    """Return SMALL with some budgets a thousand times as large, beyond what `Limits` itself would take."""
    limits = dataclasses.replace(Limits.SMALL)
    for name in names:
        object.__setattr__(limits, name, (100_000 if name == "value_depth" else 1000) * getattr(limits, name))
    return limits


def bomb(name: str) -> Bomb:
    return next(found for found in BOMBS if found.name == name)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "budgets"),
    [
        ("lists, a million deep", ("value_depth", "value_items")),
        ("10 MB of f300", ("value_items",)),
        ("15 MiB of bits for holes", ("value_items",)),
        ("one emoji in 5 MB", ("value_bytes",)),
        ("lone surrogates only", ("value_items",)),
        ("Decimals of a thousand digits", ("value_items",)),
        ("fractions of 8,100 bits", ("value_items",)),
        ("4,096 UUIDs", ("unseeded_members",)),
        ("sets of sets, 32 a level, 2 deep", ("unseeded_members",)),
        ("paths of 2,000 parts", ("value_items",)),
        ("2 KB of 15 MiB of empty lists", ("value_items",)),
        ("a thousand pings", ()),
        ("streams that are never finished", ("streams",)),
    ],
)
def test_sabotage_of_a_budget_lets_a_bomb_through(name: str, budgets: tuple[str, ...]) -> None:
    thrown = bomb(name)
    if not budgets:
        thrown = dataclasses.replace(thrown, error=None)

    assert over(thrown, without(*budgets), like=Limits.SMALL, tries=1) != []


def unbounded(thing: tuple[bytes, int | None, bool], limits: Limits) -> object:
    """Expand as a naive reader would."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(thing[0])


def read_any_number(store: Any, path: str, key: Any, most_rows: int, read: Any = salvaging._read) -> object:
    """Salvage as if an outbox might have any number of rows."""
    return read(store, path, key, 1 << 63)


SABOTAGED: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], Bomb]]] = {
    "zstd": ("growth", lambda patch: dataclasses.replace(bomb("100 MiB of zeros, stated as 1 MiB"), door=unbounded)),
    "padding": (
        "growth",
        lambda patch: patched(patch, "300 bytes in 18 MB of padding", records, "bytes", lambda view: view),
    ),
    "weights": (
        "error",
        lambda patch: patched(patch, "sets of sets, 32 a level, 2 deep", collisions, "_Weigher", Weightless),
    ),
    "conversion": (
        "error",
        lambda patch: patched(patch, "a Decimal and an int, 3,000 bits", collisions, "_number", lambda _: 1),
    ),
    "fractions in one key": (
        "error",
        lambda patch: patched(patch, "4,096 fractions in one key", fraction_hashes, "_check_parts", lambda *more: None),
    ),
    "arrays": (
        "time",
        lambda patch: patched(patch, "a shape of 8,000 dimensions", arrays, "_MOST_DIMENSIONS", 1 << 30),
    ),
    "files": ("growth", lambda patch: patched(patch, "bans: brackets, deep", private_files, "_pieces", in_one_piece)),
    "names": ("time", lambda patch: patched(patch, "a target of 15 MiB", manifest, "TARGET_CHARACTERS", 1 << 30)),
    "salvage": (
        "growth",
        lambda patch: patched(patch, "an outbox of 1099511627776 rows", salvaging, "_read", read_any_number),
    ),
}
if sys.version_info >= (3, 12):  # before that nothing keeps the hashes of fractions
    SABOTAGED["fractions in many sets"] = (
        "time",
        lambda patch: patched(
            patch, "3,000 sets of one fraction", fraction_hashes, "_LEDGER", fraction_hashes._Ledger(None)
        ),
    )
"""What the measurement must find without a check, and the bomb that finds it."""
SLOW = {"padding", "names", "salvage"}
TWINS = [pytest.param(name, marks=[pytest.mark.long] * (name in SLOW)) for name in SABOTAGED]


def in_one_piece(file: Any, most: int, step: int) -> list[bytes]:
    """Read as if there were memory for all that may be asked for."""
    return [file.read(most)]


class Weightless(collisions._Weigher):
    def _weight(self, member: object) -> tuple[int, int, bool]:
        return 1, 1, False


def patched(patch: pytest.MonkeyPatch, name: str, owner: Any, attribute: str, value: object) -> Bomb:
    patch.setattr(owner, attribute, value, raising=False)
    if owner is records:
        patch.setattr(assembly, "SHORT_BYTES", 0)  # the second line behind it
    if name.startswith("an outbox"):  # it would look for a million million rows
        patch.setattr(salvaging, "_plain", lambda store, keys, row: None if row < 500_000 else next(iter(())))
        return dataclasses.replace(bomb(name), error=StopIteration)
    return bomb(name)


@pytest.mark.parametrize("name", TWINS)
def test_sabotage_of_the_code_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    what, sabotage = SABOTAGED[name]
    found = over(sabotage(monkeypatch), Limits.SMALL, full=what == "growth", tries=2)

    assert what in {fault.partition(":")[0] for fault in found}


def test_there_are_many() -> None:
    assert len({(found.kind, found.name) for found in BOMBS}) == len(BOMBS) >= 200
    assert len(QUICK) == len(BOMBS) - len(LEFT_TO_LONG)
    assert {found.kind for found in QUICK} == {found.kind for found in BOMBS}
