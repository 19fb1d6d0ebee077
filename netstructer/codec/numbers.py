"""Decimal and Fraction: how they travel, and what they are worth.  Floor: CODEC.  Spec: docs/values.md, "Structs".

Law: no figure of theirs is believed before it is bounded, and what costs more than in proportion to its bytes counts as
more items.
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from netstructer.codec.refusals import Malformed, OverBudget
from netstructer.limits import Limits

__all__ = ["check_decimal", "decimal_worth", "fraction_worth", "make_decimal", "make_fraction", "take_decimal"]

_PLAIN = Context(capitals=1, traps=[InvalidOperation])
"""Decimals are read and written by this context, never by the thread's own, which can spell `1E+5` as `1e+5`."""


def take_decimal(item: Decimal) -> tuple[Any, ...]:
    """Return the text that says all of a Decimal, as its only child."""
    return (_PLAIN.to_sci_string(item),)


def make_decimal(text: str) -> Decimal:
    """Return the Decimal of a text."""
    return Decimal(text, _PLAIN)


def check_decimal(item: Decimal | tuple[str], limits: Limits) -> None:
    """Raise `OverBudget` for a Decimal, or for the text of one, that has too many digits or too large an exponent."""
    if isinstance(item, tuple):
        # Not made yet: a text is at most sign, digits, dot and exponent, so its length bounds the digits.
        if len(item[0]) > limits.decimal_digits + 32:
            raise OverBudget("decimal_digits", "digits in a Decimal", limits.decimal_digits, len(item[0]))
        text, item = item[0], make_decimal(item[0])
    else:
        text = _PLAIN.to_sci_string(item)
    # `as_tuple` would make an int of each digit.  A text in another spelling is refused later, whatever is found here.
    digits = len(text.partition("E")[0].lstrip("-sNaInfity0.").replace(".", "")) or 1
    if digits > limits.decimal_digits:
        raise OverBudget("decimal_digits", "digits in a Decimal", limits.decimal_digits, digits)
    exponent = abs(item.adjusted() - digits + 1) if item.is_finite() else 0
    if exponent > limits.decimal_exponent:
        raise OverBudget("decimal_exponent", "as the exponent of a Decimal", limits.decimal_exponent, exponent)


def make_fraction(numerator: int, denominator: int) -> Fraction:
    """Return a fraction in its lowest terms; raises `Malformed`."""
    if denominator <= 0:
        raise Malformed("a fraction's denominator is not positive")
    return Fraction(numerator, denominator)


def fraction_worth(numerator: int, denominator: int) -> int:
    """Return how many items a Fraction counts as beyond its cost: reducing it takes as long as the product of its
    lengths, 6 ms for two of 65,000 bits."""
    return numerator.bit_length() * denominator.bit_length() >> 16


def decimal_worth(text: str) -> int:
    """Return how many items a Decimal counts as beyond its cost: reading and writing a digit takes 15 ns."""
    return len(text) >> 4
