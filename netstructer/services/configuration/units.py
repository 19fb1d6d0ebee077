"""Amounts as people write them: `64 MiB`, `1.5 GiB`, `2 min`.  Floor: SERVICES.  Law: nothing is rounded.

An amount without a unit is in the option's own.  A fraction is exact until it is a number of the option's type, so
`1.5 KiB` is 1,536 bytes, and `0.3 KiB`, which is no whole number of them, is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction

from netstructer.errors import Misuse

__all__ = ["UNITS", "parse_amount", "shown_amount", "write_amount"]

UNITS: dict[str, dict[str, Fraction]] = {
    "bytes": {
        "B": Fraction(1),
        **{name: Fraction(1 << 10 * power) for power, name in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 1)},
    },
    "seconds": {
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
        "d": Fraction(86400),
    },
}
"""What may stand behind a number of bytes or of seconds, and how many of them it is."""
_AMOUNT = re.compile(r"(-?[0-9]{1,20}(?:\.[0-9]{1,20})?)(?: ?([A-Za-z]{1,8}))?")
"""Twenty digits hold every number that an option can have (2^62 has nineteen)."""
_PLAIN = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")


def parse_amount(text: str, unit: str, *, whole: bool) -> int | float:
    """Return the number that a text says, in the option's own unit.

    Raises `Misuse` for what is no number, for a unit that is none of that kind, and with `whole` for a fraction.
    """
    found = _AMOUNT.fullmatch(text)
    known = UNITS.get(unit, {})
    if found is None and not whole and _PLAIN.fullmatch(text):
        return float(text)
    if found is None:
        raise Misuse("no number")
    digits, behind = found.groups()
    if behind is not None and behind not in known:
        raise Misuse(f"the unit {behind}; {'one of ' + ', '.join(known) if known else 'none'} may follow the number")
    exact = Fraction(digits) * (known[behind] if behind is not None else 1)
    if not whole:
        return float(exact)
    if exact.denominator != 1:
        raise Misuse("a fraction")
    return exact.numerator


def write_amount(number: float, unit: str) -> int | float | str:
    """Return what a file says for a number: a text with a unit where that is shorter and exact, else the number."""
    if unit != "bytes" or not isinstance(number, int) or isinstance(number, bool):
        return number
    fitting = [(name, int(size)) for name, size in UNITS["bytes"].items() if number and not number % int(size)]
    name, size = fitting[-1] if fitting else ("B", 1)
    return number if size == 1 else f"{number // size} {name}"


def shown_amount(number: float, unit: str) -> str:
    """Return a number as a sentence has it: `64 KiB`, `1,048,576`, `0.2 seconds`."""
    written = write_amount(number, unit)
    if isinstance(written, str):
        return written
    digits = f"{written:,}" if isinstance(written, int) else f"{written:,.9f}".rstrip("0").rstrip(".")
    return f"{digits} {unit}".rstrip()
