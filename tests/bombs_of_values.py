"""Bombs that are a value: what the decoder is thrown (bombs.py)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from bombs import MIB, Bomb
from netstructer import Limits
from netstructer.codec.tags import length_bytes
from netstructer.codec.values import decode
from netstructer.errors import BadValue
from spelled import (
    LARGE,
    blob_of,
    encoded_crowd,
    equal_prefixes,
    fibonacci,
    floats_and_decimals,
    fractions_of_one_hash,
    listed,
    mixed,
    nested_sets,
    pairs_of_one_hash,
    plain,
    same_hash,
    shuffled,
    struct,
    text,
)
from strategies import TYPES

__all__ = ["VALUES"]

NOTHINGS = ["90", "80", "c0", "f100", "f300", "a0", "ea", "ff06ea90", "fe00", "ff01"]


def read(data: bytes, limits: Limits) -> object:
    """The door of every value: bytes as they come out of a message, in pieces."""
    return decode((data[start : start + 65_536] for start in range(0, len(data), 65_536)), limits=limits, types=TYPES)


_SLOW_TO_TRACE = {
    *("32,768 ints", "32,768 keys", "4,096 Decimals", "4,096 UUIDs", "4,096 frozensets", "4,096 fractions"),
    *("4,096 fractions of one hash by their parts", "4,096 fractions in one key"),
    *("3,000 sets of one fraction", "2,048 fractions in keys, by eights"),
    *("4,096 dataclasses", "4,096 tuples", "members that differ at their end", "an emoji in each of 60,000"),
    *("slices of 2^63", "ranges of large ints", "Decimals of a thousand digits", "250,000 nans in a run"),
}


def _value(
    kind: str, name: str, make: Callable[[], bytes], error: type[BaseException] | None = BadValue, **more: Any
) -> Bomb:
    more.setdefault("slow_to_trace", name in _SLOW_TO_TRACE)
    return Bomb(name, kind, read, lambda limits: make(), error, **more)


def _taken(kind: str, name: str, make: Callable[[], bytes], **more: Any) -> Bomb:
    """What is within the budgets of values."""
    return _value(kind, name, make, None, **more)


def _depths() -> Iterable[Bomb]:
    openings = {
        "lists": b"\x91",
        "tuples": b"\xc1",
        "dicts": b"\x81\x01",
        "keys": b"\x81",
        "sets": b"\xf3\x01",
        "slices": b"\xff\x05",
        "tables": b"\xf7\x00\x01",
        "tables of tuples": b"\xf7\x01\x01",
        "ragged rows": b"\xf8\x00",
        "long tuples": b"\xf0",
        "long dicts": b"\xf5",
        "set runs": b"\xf4",
        "dataclasses": b"\xfa\x05Point\x02\x01x\x01y",
        "pairs": b"\xfa\x04pair\x02\x05first\x06second",
    }
    for name, opening in openings.items():
        yield _value("depth", f"{name}, a million deep", lambda opening=opening: opening * 1_000_000)
    yield _value("depth", "lists, ten million deep", lambda: b"\x91" * 10_000_000)


def _empties() -> Iterable[Bomb]:
    for nothing in NOTHINGS:
        item = bytes.fromhex(nothing)
        yield _value(
            "empties",
            f"10 MB of {nothing}",
            lambda item=item: b"\xef" + length_bytes(10_000_000 // len(item)) + item * (10_000_000 // len(item)),
            by_size=True,
        )


def _claims() -> Iterable[Bomb]:
    for tag in (0xED, 0xEE, 0xFE, 0xE8, 0xEF, 0xF1, 0xF3, 0xF9):
        yield _value("claims", f"a length of 2^64 by {tag:#x}", lambda tag=tag: bytes([tag]) + b"\xff" * 9)
    for run in range(12):
        yield _value("claims", f"2^64 in a run of {run}", lambda run=run: bytes([0xF6, run]) + b"\xff" * 9)
    for rows in range(3):
        yield _value(
            "claims",
            f"2^62 columns of kind {rows}",
            lambda rows=rows: bytes((0xF7, rows)) + length_bytes(1 << 62) + b"\xea" * 100,
        )
    yield _value("claims", "lists of 2^32 in lists", lambda: (b"\xef" + length_bytes((1 << 32) - 1)) * 50)
    yield _value("claims", "64 KB of lists of 2^24", lambda: (b"\xef" + length_bytes((1 << 24) - 1)) * 13_000)
    yield _value("claims", "a run of texts", lambda: b"\xf6\x0b\xfb\x01\0\0\0\xff" + b"\xff" * 8)
    yield _value("claims", "a table of 250 KB of Nones", lambda: b"\xf7\x00\x40" + b"\xf6\x0a\xfa\x03\xff\xff" * 64)
    yield _value(
        "claims",
        "15 MiB of bits for holes",
        lambda: b"\xf9" + length_bytes(8 * LARGE) + b"\xff" * (LARGE - 1) + b"\x01\x90",
        by_size=True,
    )
    yield _value("claims", "an int of a million digits", lambda: b"\xe8" + length_bytes(415_242) + b"\x7f" * 415_242)
    yield _value("claims", "a blob that is not there", lambda: b"\xfd" + length_bytes(1 << 63) + b"\0")
    yield _taken("claims", "a deque of 2^63 at most", lambda: struct(6, plain((1 << 63) - 1), b"\x90"))
    yield _taken("claims", "a range of 2^63", lambda: struct(4, b"\0", plain((1 << 63) - 1), b"\1"))
    yield _taken("claims", "slices of 2^63", lambda: mixed(struct(5, b"\0", plain((1 << 63) - 1), b"\1"), 200_000))


def _texts() -> Iterable[Bomb]:
    ascii_texts = [text(b"x" * MIB)] * 14
    yield _value("texts", "one emoji in 5 MB", lambda: plain("\U0001f600" + "x" * 5_000_000), by_size=True)
    yield _value(
        "texts",
        "an emoji in each of 60,000",
        lambda: listed([b"\xea"] + [text(b"\xf0\x9f\x98\x80" + b"x" * 100)] * 60_000),
        by_size=True,
    )
    yield _value(
        "texts",
        "one letter in a run of 10 MB",
        lambda: plain(["\u20ac" + "x" * 100] * 2 + ["x" * 100] * 100_000),
        by_size=True,
    )
    yield _value(
        "texts",
        "one emoji behind 14 MiB of texts",
        lambda: listed([*ascii_texts, text(b"\xf0\x9f\x98\x80"), text(b"y")]),
    )
    yield _taken(
        "texts",
        "one emoji and one NUL behind 14 MiB",
        lambda: listed([*ascii_texts, text(b"\xf0\x9f\x98\x80"), text(b"\0")]),
    )
    yield _value(
        "texts", "lone surrogates only", lambda: struct(3, blob_of(b"\xed\xa0\x80" * (LARGE // 3))), by_size=True
    )
    yield _value(
        "texts",
        "a lone surrogate and an emoji",
        lambda: struct(3, blob_of(b"\xed\xa0\x80" + b"x" * LARGE + b"\xf0\x9f\x98\x80")),
        by_size=True,
    )
    yield _taken(
        "texts",
        "15 MiB of two-byte letters",
        lambda: text(b"\xc3\xa9" * (LARGE // 2)),
        seconds=0.2,
        most_bytes=lambda limits: 3 * limits.value_bytes,
    )


def _numbers() -> Iterable[Bomb]:
    large = plain(1 << 8000)
    yield _value("numbers", "a Decimal of 15 million digits", lambda: struct(16, text(b"1" * LARGE)))
    yield _value("numbers", "a Decimal of 10^18", lambda: struct(16, text(b"1E+999999999999999999")))
    yield _value("numbers", "a Decimal of 10^-18", lambda: struct(16, text(b"1E-999999999999999999")))
    yield _value(
        "numbers",
        "Decimals of a thousand digits",
        lambda: mixed(struct(16, text(b"1." + b"1" * 1000 + b"E+8000"))),
        by_size=True,
        seconds=0.15,
    )
    yield _value("numbers", "fractions of 8,100 bits", lambda: mixed(fibonacci(8100)), by_size=True)
    yield _value("numbers", "one fraction of 65,000 bits", lambda: fibonacci(65_000), by_size=True)
    yield _value("numbers", "a fraction that is not reduced", lambda: struct(17, plain(1 << 8001), plain(1 << 8000)))
    yield _taken("numbers", "ranges of large ints", lambda: mixed(struct(4, b"\0", large, large), 10 * MIB))
    yield _value("numbers", "a timedelta of 8,000 bits", lambda: struct(13, large, large, large))
    yield _value("numbers", "a date of 8,000 bits", lambda: struct(10, large))
    yield _value("numbers", "a datetime of 8,000 bits", lambda: struct(12, large, b"\0", b"\xea"))
    yield _taken(
        "numbers",
        "250,000 nans in a run",
        lambda: b"\xf6\x08" + length_bytes(250_000) + bytes.fromhex("000000000000f87f") * 250_000,
        seconds=0.2,
    )


def _collisions() -> Iterable[Bomb]:
    def ints() -> list[int]:
        return shuffled(same_hash(32_768))

    def uuids() -> list[bytes]:
        return [plain(uuid.UUID(int=number)) for number in same_hash(4096)]

    def slow(items: Callable[[], list[bytes]]) -> Callable[[], bytes]:
        return lambda: listed([b"\xea"] + [listed(items(), 0xF1)] * 400)

    def keys_of_fractions() -> bytes:
        made = fractions_of_one_hash(2048)
        return listed([b"\xea", *(b"\x81\xc8" + b"".join(made[at : at + 8]) + b"\0" for at in range(0, 2048, 8))])

    yield _value("collisions", "32,768 ints", lambda: listed(map(plain, ints()), 0xF1))
    yield _value("collisions", "32,768 keys", lambda: b"\xf5" + listed(map(plain, ints())) + plain([0] * 32_768))
    yield _value("collisions", "4,096 UUIDs", lambda: listed(uuids(), 0xF1))
    yield _value(
        "collisions",
        "4,096 Decimals",
        lambda: listed((struct(16, text(str(number).encode())) for number in same_hash(4096)), 0xF1),
    )
    yield _value("collisions", "4,096 tuples", lambda: listed((plain((number, 1)) for number in same_hash(4096)), 0xF1))
    yield _value(
        "collisions",
        "4,096 frozensets",
        lambda: listed((b"\xf3\x01" + plain(number) for number in same_hash(4096)), 0xF1),
    )
    yield _value(
        "collisions",
        "4,096 dataclasses",
        lambda: listed((b"\xfa\x05Point\x02\x01x\x01y" + plain(number) + b"\0" for number in same_hash(4096)), 0xF1),
    )
    yield _value(
        "collisions",
        "4,096 fractions",
        lambda: listed((struct(17, plain(number), b"\1") for number in same_hash(4096)), 0xF1),
    )
    yield _value(
        "collisions",
        "4,096 fractions of one hash by their parts",
        lambda: listed(fractions_of_one_hash(4096), 0xF1),
    )
    yield _value(
        "collisions",
        "4,096 fractions in one key",
        lambda: b"\x81\xf0" + listed([b"\xea", *fractions_of_one_hash(4096)]) + b"\0",
    )
    yield _taken(
        "collisions",
        "3,000 sets of one fraction",
        lambda: listed([b"\xea", *(b"\xf1\x01" + item for item in fractions_of_one_hash(3000))]),
    )
    yield _taken("collisions", "2,048 fractions in keys, by eights", keys_of_fractions)
    yield _value(
        "collisions",
        "a Counter of 4,096",
        lambda: struct(8, b"\xf5" + listed(map(plain, same_hash(4096))) + plain([0] * 4096)),
    )
    yield _value("collisions", "400 sets of 32 UUIDs", slow(lambda: uuids()[:32]))
    yield _value("collisions", "sets of sets, 32 a level, 2 deep", lambda: encoded_crowd(32, 2))
    yield _value("collisions", "sets of sets, 64 a level, 2 deep", lambda: encoded_crowd(64, 2))
    yield _value("collisions", "sets of sets, 32 a level, 3 deep", lambda: encoded_crowd(32, 3), seconds=0.2)
    yield _value(
        "collisions",
        "sets of tuples of sets",
        lambda: listed((b"\xc1" + encoded_crowd(32, 1, odd) for odd in range(32)), 0xF3),
    )
    yield _value(
        "collisions",
        "sets of dataclasses of sets",
        lambda: listed((b"\xfa\x05Point\x02\x01x\x01y" + encoded_crowd(32, 1, odd) + b"\0" for odd in range(32)), 0xF3),
    )
    yield _value(
        "collisions",
        "keys that are crowded sets",
        lambda: b"\x8f" + b"".join(encoded_crowd(32, 1, odd) + b"\0" for odd in range(15)),
    )
    yield _value("collisions", "a Decimal and an int, 3,000 bits", lambda: pairs_of_one_hash(3000, 100))
    yield _value("collisions", "floats and Decimals", floats_and_decimals)
    yield _value(
        "collisions",
        "a Decimal and a fraction",
        lambda: (
            b"\x82"
            + struct(17, plain(same_hash(1, 4000)[0]), b"\1")
            + b"\0"
            + struct(16, text(str(same_hash(2, 3000)[1]).encode()))
            + b"\0"
        ),
    )
    yield _taken("collisions", "sets in sets around 15 MiB", lambda: nested_sets(60))
    yield _taken("collisions", "members that differ at their end", lambda: equal_prefixes(13))


def _names() -> Iterable[Bomb]:
    yield _value("names", "15 MiB of colons as IPv6", lambda: struct(20, text(b":" * LARGE)))
    yield _value("names", "15 MiB of slashes as a network", lambda: struct(22, text(b"/" * LARGE)))
    yield _value("names", "15 MiB of dots as IPv4", lambda: struct(19, text(b"1." * (LARGE // 2))))
    yield _value("names", "15 MiB of zone behind IPv6", lambda: struct(20, text(b"fe80::1%" + b"x" * LARGE)))
    yield _value("names", "an interface of 15 MiB", lambda: struct(24, text(b"::1/" + b"1" * LARGE)))
    yield _value("names", "15 MiB of slashes as a path", lambda: struct(25, text(b"/" * LARGE)))
    yield _value("names", "a path of 7 million parts", lambda: struct(25, text(b"a/" * (LARGE // 2) + b"a")))
    yield _value("names", "a Windows path of 7 million parts", lambda: struct(26, text(b"a\\" * (LARGE // 2) + b"a")))
    yield _value("names", "paths of 2,000 parts", lambda: mixed(struct(25, text(b"a/" * 2000 + b"a"))), by_size=True)
    yield _value("names", "a time zone of 14 MB", lambda: struct(15, text(b"Europe/" * (2 * MIB))))
    yield _value("names", "a time zone that climbs", lambda: struct(15, text(b"../" * 20 + b"etc/passwd")))
    yield _value("names", "a time zone of no machine", lambda: struct(15, text(b"Europe/Atlantis")))
    yield _value(
        "names",
        "a timezone whose name is 15 MiB",
        lambda: struct(14, struct(13, b"\0", b"\0", b"\0"), blob_of(b"x" * LARGE)),
    )
    yield _value("names", "a type that nobody registered", lambda: b"\xfa\xff" + b"x" * 255 + b"\xff" + b"\0" * 255)
    yield _value("names", "a member of 15 MiB", lambda: b"\xfb\x06Colour" + text(b"x" * LARGE))
    yield _value("names", "flags of 8,000 bits", lambda: b"\xfb\x06Access" + plain(1 << 8000))
    yield _value("names", "a factory of 15 MiB", lambda: struct(9, text(b"x" * LARGE), b"\x80"))


def _arrays() -> Iterable[Bomb]:
    def array(dtype: bytes, shape: Any, raw: bytes = b"") -> bytes:
        return struct(28, text(dtype), plain(shape), b"\xeb", blob_of(raw, 0xFE))

    yield _value("arrays", "a shape of 8,000 dimensions", lambda: array(b"<f8", (1 << 62,) * 8_000))
    yield _value("arrays", "a shape of 60,000 dimensions", lambda: array(b"<f8", (1 << 62,) * 60_000))
    yield _value("arrays", "dimensions of 8,000 bits", lambda: array(b"<f8", (1 << 8000,) * 15))
    yield _value("arrays", "2^62 floats of no bytes", lambda: array(b"<f8", (1 << 31, 1 << 31)))
    yield _taken("arrays", "no items, 2^62 wide", lambda: array(b"<f8", (0, 1 << 55)))
    yield _value("arrays", "no items, wider than numpy has", lambda: array(b"<f8", (0, 1 << 62)))
    yield _value("arrays", "texts of 9,999,999 letters", lambda: array(b"<U9999999", (1,)))
    yield _value("arrays", "objects", lambda: array(b"|O", (1,), bytes(8)))
    yield _value("arrays", "records", lambda: array(b"|V8", (1,), bytes(8)))
    yield _value("arrays", "a dtype of 15 MiB", lambda: array(b"<M8[" + b"1" * LARGE, (1,), bytes(8)))
    yield _taken("arrays", "15 MiB of bools", lambda: array(b"|b1", (LARGE,), b"\1" * LARGE))
    yield _value(
        "arrays", "15 MiB of bools, the last a 2", lambda: array(b"|b1", (LARGE,), b"\1" * (LARGE - 1) + b"\2")
    )
    yield _value(
        "arrays", "an array.array of an odd length", lambda: struct(27, text(b"d"), b"\x08", blob_of(bytes(LARGE - 1)))
    )
    yield _value("arrays", "a scalar of 15 MiB", lambda: struct(29, text(b"|S5"), blob_of(bytes(LARGE))))


VALUES = [*_depths(), *_empties(), *_claims(), *_texts(), *_numbers(), *_collisions(), *_names(), *_arrays()]
