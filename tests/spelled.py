"""Values spelled by hand, right or wrong: what no encoder makes, or not in the time (bombs_of_values.py)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

from bombs import MIB
from netstructer import Limits
from netstructer.codec.tags import length_bytes
from netstructer.codec.values import encode
from strategies import TYPES

__all__ = [
    *("LARGE", "PRIME", "blob_of", "encoded_crowd", "equal_prefixes", "fibonacci", "floats_and_decimals"),
    *("fractions_of_one_hash", "listed", "mixed", "nested_sets", "pairs_of_one_hash", "plain", "same_hash"),
    *("shuffled", "struct", "text"),
]

PRIME = (1 << 61) - 1
"""Ints that differ by a multiple of it have one hash."""
LARGE = 15 * MIB
"""What a value of SMALL has room for, and a little more."""


def plain(value: object) -> bytes:
    """Encode what the limits allow."""
    return b"".join(encode(value, limits=Limits.BULK, types=TYPES).buffers)


def text(raw: bytes) -> bytes:
    """Encode a text from its UTF-8, right or wrong."""
    return bytes((0xA0 + len(raw),)) + raw if len(raw) < 32 else b"\xed" + length_bytes(len(raw)) + raw


def blob_of(raw: bytes, tag: int = 0xEE) -> bytes:
    return bytes((tag,)) + length_bytes(len(raw)) + raw


def struct(code: int, *parts: bytes) -> bytes:
    return bytes((0xFF, code)) + b"".join(parts)


def listed(items: Iterable[bytes], tag: int = 0xEF) -> bytes:
    """Encode a list, or a set whose members are brought into order."""
    found = list(items) if tag == 0xEF else sorted(items)
    return bytes((tag,)) + length_bytes(len(found)) + b"".join(found)


def mixed(item: bytes, size: int = LARGE) -> bytes:
    """Encode a list of this item over and over, and a None, so that it takes no bulk form; `size` bytes in all."""
    count = size // len(item)
    return b"\xef" + length_bytes(count + 2) + b"\xea\x01" + item * count


def same_hash(count: int, bits: int = 64, residue: int = 5) -> list[int]:
    """Return ints of one hash."""
    first = (1 << bits) // PRIME
    return [(first + number) * PRIME + residue for number in range(count)]


def fractions_of_one_hash(count: int) -> list[bytes]:
    """Encode fractions whose hashes differ, and not the hash of their parts, by which Python keeps those.

    The hash of a tuple adds that of each item times a constant, turns the bits and multiplies again: so for each
    numerator there is one denominator, and one in eight is as short as a hash.
    """
    wrap, (first, factor, start) = 1 << 64, (11400714785074694791, 14029467366897019727, 2870177450012600261)

    def after(numerator: int) -> int:
        found = (start + numerator * factor) % wrap
        return (found << 31 | found >> 33) * first % wrap

    inverse, found, numerator = pow(factor, -1, wrap), [], 0
    while len(found) < count:
        numerator += 1
        denominator = (after(1) - after(numerator) + factor) * inverse % wrap
        if denominator < PRIME and math.gcd(numerator, denominator) == 1:
            found.append(struct(17, plain(numerator), plain(denominator)))
    return found


def shuffled(items: list[Any]) -> list[Any]:
    random.Random(1).shuffle(items)
    return items


def encoded_crowd(count: int, levels: int, odd: int = 0) -> bytes:
    """Encode a frozenset of `count` members of one hash, each of them such a frozenset, so many levels deep.

    Those of one level differ only in their last member, so that comparing two looks almost all others up.  None is
    made: to make three levels of 64 takes minutes.
    """
    if levels == 0:
        return plain((odd + 100) * PRIME + 5)
    members = [encoded_crowd(count, levels - 1, number) for number in range(count - 1)]
    return listed([*members, encoded_crowd(count, levels - 1, count + 1 + odd)], 0xF3)


def pairs_of_one_hash(bits: int, groups: int) -> bytes:
    """Encode dicts of two keys each: an int and a Decimal that share a hash."""
    found = []
    for number in range(groups):
        one, other = same_hash(2, bits, 5 + number)
        found.append(b"\x82" + plain(one) + b"\0" + struct(16, text(str(other).encode())) + b"\0")
    return listed([b"\xea", *found])


def floats_and_decimals() -> bytes:
    """Encode dicts of floats and Decimals of one hash: 2.0 ** 61 counts as 1, and so on."""
    found = []
    for shift in range(40):
        keys = [plain(2.0 ** (61 * (shift % 10 + 1)))]
        keys += [struct(16, text(str(1 + PRIME * number).encode())) for number in range(10, 25)]
        found.append(bytes((0x80 + 15,)) + b"".join(key + b"\0" for key in keys[:15]))
    return listed([b"\xea", *found])


def fibonacci(bits: int) -> bytes:
    """Encode the fraction of its size that takes longest to reduce."""
    low, high = 1, 1
    while high.bit_length() < bits - 1:
        low, high = high, low + high
    return struct(17, plain(high), plain(low))


def nested_sets(levels: int) -> bytes:
    """Encode sets of two in sets of two, around one large member."""
    found = blob_of(bytes(LARGE - 4096))
    for _ in range(levels):
        found = b"\xf3\x02" + found + b"\xff\x01"
    return found


def equal_prefixes(levels: int) -> bytes:
    """Encode sets whose two members are the same but for their last byte, again and again."""
    found = blob_of(bytes(64))
    for _ in range(levels):
        found = b"\xf3\x02\xc2" + found + b"\x01\xc2" + found + b"\x02"
    return found
