"""The alphabet of the value format: every tag, every threshold, and the length form.  Floor: CODEC.  Spec:
docs/values.md.

Law: one byte says what a node is.  Small ints, short texts and containers of fewer than `BULK_FROM` members carry their
count in the tag itself; everything else states a length in the one length form below, always in its shortest spelling.
"""

from __future__ import annotations

__all__ = ["length_bytes"]

BULK_FROM = 16
"""Members from which a list is looked at for a bulk form.  Below it a fixed tag holds the count, and looking would cost
more than it saves (a classification costs about 0.5 us, a plain small int 40 ns)."""

# --- tags that hold their count or their value ------------------------------------------------------------------------
# 0x00-0x7F are the ints 0 to 127
FIX_DICT = 0x80  # + 0..15 pairs
FIX_LIST = 0x90  # + 0..15 items
FIX_STR = 0xA0  # + 0..31 bytes of UTF-8
FIX_TUPLE = 0xC0  # + 0..15 items
NEGATIVE = 0xE0  # - 1..16, so 0xD0-0xDF are the ints -16 to -1
INT = 0xDF  # + 1..8 bytes of two's complement, big-endian

# --- tags with something behind them ----------------------------------------------------------------------------------
INT_BIG = 0xE8
FLOAT = 0xE9
NONE = 0xEA
FALSE = 0xEB
TRUE = 0xEC
STR = 0xED
BYTES = 0xEE
LIST = 0xEF
TUPLE = 0xF0
SET = 0xF1
SET_RUN = 0xF2
FROZENSET = 0xF3
FROZENSET_RUN = 0xF4
DICT = 0xF5
RUN = 0xF6
TABLE = 0xF7
RAGGED = 0xF8
HOLES = 0xF9
RECORD = 0xFA
MEMBER = 0xFB
CUSTOM = 0xFC
BLOB = 0xFD
BYTEARRAY = 0xFE
STRUCT = 0xFF

# --- what a RUN holds -------------------------------------------------------------------------------------------------
INT_CODES = "BHIQbhiq"
"""Kinds 0 to 7 of a run: ints by `array` type code.  Unsigned when none is negative; then the narrowest that fits."""
RUN_FLOATS = 8
RUN_BOOLS = 9
RUN_NONES = 10
RUN_TEXTS = 11

# --- what the rows of a TABLE or RAGGED are ---------------------------------------------------------------------------
ROWS_LIST = 0
ROWS_TUPLE = 1
ROWS_DICT = 2
ROWS_RECORD = 3
ROWS_STRUCT = 4

WIDE_ROW = 64
"""Lists and tuples longer than this are no rows of a table, and lists longer than this on average are not flattened:
such rows are long enough to take bulk forms of their own, and may be of different types."""

NARROWER = ((0, 0), (-16, 127), *((-1 << 8 * width - 1, (1 << 8 * width - 1) - 1) for width in range(1, 8)))
"""For each width of an int in bytes, the first and the last that take less."""

CANONICAL_NAN = b"\x7f\xf8\0\0\0\0\0\0"
"""The one nan, as a big-endian double."""

LENGTH_WIDE = 248
"""Lengths below it are one byte; bytes 248 to 255 say that 1 to 8 big-endian bytes follow."""

# --- what nodes cost, in items of 64 bytes, beyond the one that every node counts -------------------------------------
DICT_COST = 2  # {"a": 1} is 184 to 232 bytes before its members
SET_COST = 3  # set() is 216 bytes
BLOB_COST = 3
RECORD_COST = 2  # an instance with a __dict__, like a dict


def length_bytes(length: int) -> bytes:
    """Return `length` in the length form: one byte below 248, else a byte that counts the big-endian bytes behind
    it."""
    if length < LENGTH_WIDE:
        return length.to_bytes(1, "big")
    width = (length.bit_length() + 7) // 8
    return bytes((LENGTH_WIDE - 1 + width,)) + length.to_bytes(width, "big")
