"""How much memory a text takes beyond its bytes.  Floor: CODEC.  Spec: docs/values.md, "Budgets"."""

from __future__ import annotations

from collections.abc import Iterator
from sys import getsizeof

__all__ = ["widening", "widening_of"]

_HEADER_BYTES = getsizeof(chr(0xE9) * 2) - 3
"""A text that is not ASCII is a header, then its characters and a closing zero at one width.

Measured on a text of two characters that was made just now: the texts that Python shares may carry a UTF-8 copy.
"""


def widening(text: str, size: int) -> int:
    """Return by how many bytes the text is larger in memory than its `size` bytes of UTF-8, 0 if it is not.

    Python keeps one character above U+FFFF at four bytes, and then every other character of that text as well: 1 MiB of
    ASCII and one emoji are 4 MiB.  The width is read off the size of the text and one letter: a new object, so a
    UTF-8 copy that the text may carry along is not counted.  ASCII texts are never wider than their bytes: do not ask.
    """
    characters = len(text)
    width = (getsizeof(text + "a") - _HEADER_BYTES) // (characters + 2)
    return max(0, width * characters - size)


def widening_of(raw: bytes) -> int:
    """Return the same figure from the UTF-8 of a text that is not ASCII, so that it is known before the text is
    made."""
    following = sum(len(piece) - len(piece.translate(None, _FOLLOWING)) for piece in _pieces(raw))
    if any(lead in raw for lead in _ASTRAL_LEADS):
        width = 4
    else:
        width = 1 if all(piece.translate(None, _TWO_BYTE_LEADS) == piece for piece in _pieces(raw)) else 2
    return max(0, width * (len(raw) - following) - len(raw))


def _pieces(raw: bytes) -> Iterator[bytes]:
    """Cut bytes up, so that looking at them costs no copy of all of them."""
    return (raw[start : start + _PIECE_BYTES] for start in range(0, len(raw), _PIECE_BYTES))


_PIECE_BYTES = 64 * 1024
_FOLLOWING = bytes(range(0x80, 0xC0))
_TWO_BYTE_LEADS = bytes(range(0xC4, 0xF0))
"""First bytes of the characters from U+0100 to U+FFFF."""
_ASTRAL_LEADS = tuple(bytes((lead,)) for lead in range(0xF0, 0xF5))
