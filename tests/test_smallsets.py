"""Small sets in one go: what goes that way, what does not, and that both ways give the same."""

from __future__ import annotations

from typing import Any

import pytest

from netstructer.codec.decoder import decode_value
from netstructer.codec.encoder import encode_value
from netstructer.codec.smallsets import pack_members, unpack_members
from netstructer.errors import BadValue
from netstructer.limits import Limits
from strategies import TYPES


@pytest.mark.parametrize(
    ("members", "packed"),
    [
        ([3, 1, 127, 0], "0001037f"),
        ([-1, -16, -17, 128], "d0dfe0efe10080"),
        (["b", "", "ab"], "a0a162a26162"),
        ([1 << 62, "x" * 31], "bf" + "78" * 31 + "e74000000000000000"),
    ],
)
def test_members_stand_in_the_order_of_their_bytes(members: list[Any], packed: str) -> None:
    assert pack_members(members) == bytes.fromhex(packed)
    assert unpack_members(bytes.fromhex(packed), 0, len(members)) == (
        sorted(members, key=lambda member: bytes.fromhex(packed).find(pack_members([member]) or b"?")),
        len(bytes.fromhex(packed)),
    )


@pytest.mark.parametrize("member", [1 << 64, -1 << 64, "x" * 32, "é", None, True, 1.5, b"x", (1,)])
def test_others_go_the_general_way(member: Any) -> None:
    assert pack_members([1, member]) is None


@pytest.mark.parametrize(
    ("packed", "count"),
    [
        ("0201", 2),  # not in order
        ("0101", 2),  # twice
        ("a162a161", 2),
        ("e10f", 1),  # longer than it need be
        ("e8", 1),  # more than 64 bits
        ("eb", 1),
        ("a1c3", 1),  # not ASCII
        ("01", 2),  # not whole
        ("a26f", 1),
        ("e240", 1),
    ],
)
def test_what_is_not_right_is_left_to_the_general_way(packed: str, count: int) -> None:
    assert unpack_members(bytes.fromhex(packed), 0, count) is None


def test_both_ways_know_the_same_budgets() -> None:
    members = {-1, 300, "a"}
    data = b"".join(encode_value(members, Limits.DEFAULT, TYPES).buffers)
    deep = Limits(value_depth=1)
    few = Limits(unseeded_members=2)

    assert decode_value(data, Limits.DEFAULT, TYPES, ()) == members
    assert decode_value(data, few, TYPES, ()) == members
    assert decode_value(data.replace(b"\xf1", b"\xf3"), deep, TYPES, ()) == frozenset(members)
    assert b"".join(encode_value(members, deep, TYPES).buffers) == data
    with pytest.raises(BadValue, match=r"2 levels, over the limit of 1 \(value_depth\), at byte 3"):
        decode_value(b"\x91" + data, deep, TYPES, ())
    with pytest.raises(Exception, match=r"2 levels, over the limit of 1 \(value_depth\)"):
        encode_value([members], deep, TYPES)
    with pytest.raises(Exception, match=r"17 items, over the limit of 16 \(value_items\)"):
        encode_value([1] * 9 + [members], Limits(value_items=16), TYPES)
