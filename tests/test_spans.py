"""Members of a set in their order: two ranges of one row of bytes are compared as their copies are."""

from __future__ import annotations

from itertools import product

import pytest

from netstructer.codec.spans import is_before

LENGTHS = (0, 1, 63, 64, 65, 191, 192, 193, 500)
"""Around the ends of the steps, of 64 bytes, then twice as many each."""


@pytest.mark.parametrize("alike", LENGTHS)
def test_two_ranges_are_compared_as_their_copies(alike: int) -> None:
    for ours, theirs in product((b"", b"\0", b"a", b"b", b"ab", b"a" * 100), repeat=2):
        one, other = b"p" * alike + ours, b"p" * alike + theirs
        data = b"before" + other + one + b"after"
        start = 6 + len(other)

        assert is_before(data, start, start + len(one), 6, start) == (one < other)


def test_what_two_long_ranges_have_in_common_is_looked_at_once() -> None:
    data = bytes(1 << 20) + b"\1" + bytes(1 << 20) + b"\2"
    end = (1 << 20) + 1

    assert is_before(data, 0, end, end, 2 * end)
    assert not is_before(data, end, 2 * end, 0, end)
