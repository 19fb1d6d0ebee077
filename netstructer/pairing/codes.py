"""Codes: what one person reads out and another types.  Floor: COMMONS.  Law: chance comes in by the door.

A code is a number and two words, as `47-guitar-orbit`: 90 × 256 × 256 of them, 22.5 bits.  So few are enough because a
code can be tried once only (`desk.py`), and because nothing that goes over the network lets anybody try one elsewhere
(`ceremony.py`).

Who types it may write capitals, and spaces or hyphens or several of them between the parts.  Nothing else is
forgiven: a word that is not in the list is refused here, before it costs the guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from netstructer.errors import InvalidCode
from netstructer.pairing.words import WORDS

__all__ = ["CODES", "make_code", "read_code"]

FIRST_NUMBER = 10
NUMBERS = 90
"""Two digits each, so that there is one way to say them."""
CODES = NUMBERS * len(WORDS) ** 2
"""How many codes there are: 5,898,240."""

_KNOWN = frozenset(WORDS)
_BETWEEN = re.compile(r"[ -]+")


def make_code(draw: Callable[[int], bytes]) -> str:
    """Return a fresh code, every one as likely as every other; `draw(n)` gives n random bytes."""
    number, first, second = draw(3)
    while number >= 256 - 256 % NUMBERS:  # the rest of a byte that 90 does not divide would favour some numbers
        (number,) = draw(1)
    return f"{FIRST_NUMBER + number % NUMBERS}-{WORDS[first]}-{WORDS[second]}"


def read_code(text: str) -> str:
    """Return the one spelling of a code that somebody typed.

    Raises `InvalidCode`, whose text says which part is none and never what it was.
    """
    parts = _BETWEEN.split(text.strip(" ").lower()) if isinstance(text, str) else []
    if len(parts) != 3:
        raise InvalidCode("expected a code of a number and two words, as in 47-guitar-orbit")
    number, *words = parts
    if not re.fullmatch("[1-9][0-9]", number):
        raise InvalidCode("expected a code that begins with a number of two digits, as in 47-guitar-orbit")
    for word, which in zip(words, ("first", "second"), strict=True):
        if word not in _KNOWN:
            raise InvalidCode(
                f"the {which} word of the code is none of those that codes are made of: look how it is spelled"
            )
    return "-".join(parts)
