"""A second reader of values, made from docs/values.md alone: bytes in, a value out, or `Refused`.

Law: nothing of netstructer is imported here.  A value has exactly one encoding; so what was read is spelled again, by
the rules of the page, and has to be the same bytes.  That is one check for all that is too long, out of order, or in a
form that its items do not ask for.  What a value costs is counted on the way, before anything is made.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from reader_costs import fractions_of_one_hash, of_one_hash, product, second_product
from reader_spelling import write
from reader_structs import BADLY, STRUCTS, Applied, Reference, Refused, Shape, expect

Types = Mapping[str, Shape]
NO_TYPES: Types = {}


class Budget(NamedTuple):
    """The limits of a reader, and their defaults."""

    value_bytes: int = (1 << 30) + (1 << 16)
    value_items: int = 1 << 24
    value_depth: int = 256
    unseeded_members: int = 64
    int_bits: int = 1 << 16
    decimal_digits: int = 1 << 14
    decimal_exponent: int = 1 << 20


def read_value(
    encoded: bytes, blobs: int = 0, budget: Budget | None = None, types: dict[str, Shape] | None = None
) -> Any:
    """Return the value of an encoding that refers to so many blobs."""
    values = Values(encoded, budget or Budget(), types or {})
    try:
        value = values.node()
        expect(values.at == len(encoded), "nothing follows a value")
        expect(values.blobs == blobs, "as many blobs are referred to as there are")
        expect(len(encoded) + values.wider <= values.budget.value_bytes, "value_bytes")
        expect(write(value) == encoded, "a value has one encoding")
    except BADLY as error:
        raise Refused("BadValue", f"{type(error).__name__}: {error}") from error
    return value


class Values:
    """One walk over an encoding, and what the value costs."""

    def __init__(self, encoded: bytes, budget: Budget, types: Types) -> None:
        self.encoded, self.budget, self.types = encoded, budget, types
        self.at = self.blobs = self.depth = self.items = self.wider = 0
        self.spend(1)

    def spend(self, items: int) -> None:
        self.items += items
        expect(self.items <= self.budget.value_items, "value_items")

    def take(self, count: int) -> bytes:
        self.at += count
        expect(self.at <= len(self.encoded), "the value is whole")
        return self.encoded[self.at - count : self.at]

    def length(self) -> int:
        first = self.take(1)[0]
        return first if first < 248 else int.from_bytes(self.take(first - 247))

    def text(self, size: int) -> str:
        found = self.take(size).decode()
        width = 1 + (max(found, default="") > "\xff") + 2 * (max(found, default="") > "\uffff")
        self.wider += 0 if found.isascii() else max(0, len(found) * width - size)
        return found

    def nodes(self, count: int, beside: int = 0) -> list[Any]:
        """Read the children of a node, which costs so many items beside them."""
        self.spend(count + beside)
        self.depth += bool(count)
        expect(self.depth <= self.budget.value_depth, "value_depth")
        found = [self.node() for _ in range(count)]
        self.depth -= bool(count)
        return found

    def node(self) -> Any:
        tag = self.take(1)[0]
        if tag < 0x80 or 0xD0 <= tag < 0xE0:
            return tag if tag < 0x80 else tag - 0xE0
        if tag < 0x90:
            nodes = self.nodes(2 * (tag - 0x80), 2)
            return self.keyed(nodes[::2], nodes[1::2])
        if tag < 0xD0:
            return self.text(tag - 0xA0) if 0xA0 <= tag < 0xC0 else SHORT[tag >> 4](self.nodes(tag & 15))
        if tag < 0xE8:
            return int.from_bytes(self.take(tag - 0xDF), signed=True)
        return OTHERS[tag](self)

    def number(self) -> int:
        found = int.from_bytes(self.take(self.length()), signed=True)
        expect(abs(found).bit_length() <= self.budget.int_bits, "int_bits")
        return found

    def keyed(self, keys: Sequence[Any], values: Sequence[Any]) -> dict[Any, Any]:
        self.unseeded(keys)
        return dict(zip(keys, values, strict=True))

    def unseeded(self, members: Collection[Any]) -> None:
        if {*map(type, members)} in ({str}, {bytes}):
            return
        expect(fractions_of_one_hash(members) <= self.budget.unseeded_members, "fractions")
        groups = [group for group in of_one_hash(members) if len(group) > 1]
        expect(max(map(product, groups), default=0) <= self.budget.unseeded_members, "unseeded_members")
        expect(max(map(second_product, groups), default=0) <= self.budget.unseeded_members, "conversions")

    def members(self, make: Callable[[Any], Any], *, run: bool) -> Any:
        before = self.blobs
        found = self.nodes(1, 3)[0] if run else self.nodes(self.length(), 3)
        expect(self.blobs == before, "a set holds no blob")
        self.unseeded(found)
        return make(found)

    def long_dict(self) -> dict[Any, Any]:
        keys, values = self.nodes(2, 2)
        return self.keyed(keys, values)

    def run(self) -> list[Any]:
        kind, count = self.take(1)[0], self.length()
        self.spend(count)
        if kind < 9:
            size = count * (1, 2, 4, 8, 1, 2, 4, 8, 8)[kind]
            return list(struct.unpack(f"<{count}{'BHIQbhiqd'[kind]}", self.take(size)))
        if kind == 9:
            return self.bits(count)
        expect(kind < 12, "the kind of a run")
        return [None] * count if kind == 10 else self.text(self.length()).split("\0")

    def bits(self, count: int) -> list[bool]:
        return [bool(byte >> bit & 1) for byte in self.take((count + 7) // 8) for bit in range(8)][:count]

    def holes(self) -> list[Any]:
        count = self.length()
        present, items = self.bits(count), self.nodes(1, count)[0]
        expect(sum(present) == len(items), "an item for each bit")
        supply = iter(items)
        return [next(supply) if there else None for there in present]

    def table(self) -> list[Any]:
        kind = self.take(1)[0]
        make: Callable[[tuple[Any, ...]], Any] = list if kind == 0 else tuple
        width, beside = 0, 0
        if kind < 3:
            width = self.length()
        if kind == 2:
            keys = self.nodes(width)
            make, beside = (lambda row: self.keyed(keys, row)), 2
        if kind == 3:
            name, shape = self.applied(0xFA)
            make, beside, width = (lambda row: Applied(0xFA, name, row, shape)), 2, len(shape.names)
        if kind == 4:
            code = self.take(1)[0]
            made = STRUCTS[code]
            make, beside, width = partial(self.struct, code), made.beside, len(made.parts)
        expect(kind < 5 and width, "the kind of a table, and columns")
        rows = list(zip(*self.nodes(width), strict=True))
        self.spend(len(rows) * (1 + beside))
        return [make(row) for row in rows]

    def ragged(self) -> list[Any]:
        make = (list, tuple)[self.take(1)[0]]
        lengths, items = self.nodes(2)
        expect({*map(type, lengths)} == {int} and min(lengths) >= 0 and sum(lengths) == len(items), "lengths add up")
        self.spend(len(lengths))
        return [make(items[start:end]) for start, end in pairwise(accumulate(lengths, initial=0))]

    def struct_node(self) -> Any:
        code = self.take(1)[0]
        return self.struct(code, self.nodes(len(STRUCTS[code].parts), STRUCTS[code].beside))

    def struct(self, code: int, parts: Sequence[Any]) -> Any:
        made = STRUCTS[code]
        for part, allowed in zip(parts, made.parts, strict=True):
            expect(not allowed or type(part) in allowed, "the types of a struct's parts")
        self.spend(made.worth(*parts))
        value = made.make(*parts)
        if code == 16:
            _, digits, exponent = value.as_tuple()
            expect(len(digits) <= self.budget.decimal_digits, "decimal_digits")
            far = 0 if isinstance(exponent, str) else abs(exponent)
            expect(far <= self.budget.decimal_exponent, "decimal_exponent")
        return value

    def short_text(self) -> str:
        return self.take(self.take(1)[0]).decode()

    def applied(self, tag: int) -> tuple[str, Shape]:
        """Read the name of an application type, and of a record the names of its fields."""
        name = self.short_text()
        expect(name in self.types and self.types[name].tag == tag, "the type is registered")
        shape = self.types[name]
        if tag == 0xFA:
            names = tuple(self.short_text() for _ in range(self.take(1)[0]))
            expect(names == shape.names, "the fields are those of the registered type")
        return name, shape

    def application(self, tag: int) -> Applied:
        name, shape = self.applied(tag)
        parts = self.nodes(len(shape.names)) if tag == 0xFA else self.nodes(1)
        self.spend(0 if tag == 0xFB else 2)
        if tag == 0xFB:
            of_flag = type(parts[0]) is int and 0 <= parts[0] <= shape.bits and shape.bits
            expect(
                of_flag or (type(parts[0]) is str and parts[0] in shape.names), "a member's own name, or bits of a flag"
            )
        return Applied(tag, name, tuple(parts), shape)

    def blob(self) -> Reference:
        size, name = self.length(), self.length()
        expect(size <= 1 << 63, "the size of a blob")
        self.spend(3)
        self.blobs += 1
        found = Reference(size, self.text(name - 1) if name else None)
        expect(len(found.name or "") <= 255, "the name of a blob has at most 255 characters")
        return found


SHORT: dict[int, Callable[[list[Any]], Any]] = {0x9: list, 0xC: tuple}
OTHERS: dict[int, Callable[[Values], Any]] = {
    0xE8: Values.number,
    0xE9: lambda values: struct.unpack(">d", values.take(8))[0],
    0xEA: lambda _: None,
    0xEB: lambda _: False,
    0xEC: lambda _: True,
    0xED: lambda values: values.text(values.length()),
    0xEE: lambda values: values.take(values.length()),
    0xEF: lambda values: values.nodes(values.length()),
    0xF0: lambda values: tuple(values.nodes(1)[0]),
    0xF1: partial(Values.members, make=set, run=False),
    0xF2: partial(Values.members, make=set, run=True),
    0xF3: partial(Values.members, make=frozenset, run=False),
    0xF4: partial(Values.members, make=frozenset, run=True),
    0xF5: Values.long_dict,
    0xF6: Values.run,
    0xF7: Values.table,
    0xF8: Values.ragged,
    0xF9: Values.holes,
    **{tag: partial(Values.application, tag=tag) for tag in (0xFA, 0xFB, 0xFC)},
    0xFD: Values.blob,
    0xFE: lambda values: bytearray(values.take(values.length())),
    0xFF: Values.struct_node,
}
