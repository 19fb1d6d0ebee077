"""From a Python value to bytes: one loop over a stack of iterators.  Floor: CODEC.  Spec: docs/values.md.

How it works.  The loop draws the next object from the innermost open iterator and asks its exact type.  A scalar is
written.  A container writes its head, its iterator of children is pushed, and the loop goes on with that; when an
iterator is spent, the one below goes on.  So nothing recurses, whatever the depth.

Three things make it fast.  Types are compared by `is`, the common ones first.  Everything small goes into one
bytearray. Lists of 16 items and more are classified (bulk.py) and, where they have a bulk form, written by C loops; a
table's columns are themselves lists, so they come back to the same branch.

Sets need an order that both ends agree on: that of their members' encodings.  Between the members the iterator yields
`_Mark`, at which the place in the bytearray is noted, and at the end the pieces are sorted.  Inside a set everything is
therefore written into the bytearray, large bytes too.

Law: this loop finds *that* something is wrong, and the caller (values.py) has walk.py find *where*; so no path is kept
while all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise, repeat
from struct import Struct as Packer
from typing import Any

from netstructer.codec.arrays import RawBytes
from netstructer.codec.blob import Blob
from netstructer.codec.bulk import classify, is_set_run, pack_run
from netstructer.codec.collisions import ATOMS, Weights, check_collisions, look_again
from netstructer.codec.opening import open_entry, open_form
from netstructer.codec.refusals import OverBudget, Unsendable
from netstructer.codec.smallsets import pack_members
from netstructer.codec.structs import FRACTION, SURROGATES, struct_of_class
from netstructer.codec.tags import (
    BLOB,
    BLOB_COST,
    BULK_FROM,
    BYTEARRAY,
    BYTES,
    CANONICAL_NAN,
    DICT,
    DICT_COST,
    FALSE,
    FIX_DICT,
    FIX_LIST,
    FIX_STR,
    FIX_TUPLE,
    FLOAT,
    FROZENSET,
    FROZENSET_RUN,
    INT,
    INT_BIG,
    LENGTH_WIDE,
    LIST,
    NEGATIVE,
    NONE,
    RUN,
    SET,
    SET_COST,
    SET_RUN,
    STR,
    TABLE,
    TRUE,
    TUPLE,
    length_bytes,
)
from netstructer.codec.text import widening
from netstructer.codec.types import Types
from netstructer.codec.walk import blob_name, type_name
from netstructer.limits import Limits

__all__ = ["Encoded", "blob_reference", "encode_value"]

REFERENCE_BYTES = 64 * 1024
"""From here on bytes are handed out as they are, not copied into the bytearray: beyond a record body, a copy costs more
than one more buffer does."""

_pack_float = Packer(">Bd").pack


class Encoded:
    """An encoded value: its bytes as `buffers` in order, how many they are, and the blobs it refers to, in order."""

    __slots__ = ("blobs", "buffers", "plain_bytes")

    def __init__(self, buffers: list[bytes | memoryview], plain_bytes: int, blobs: list[Blob]) -> None:
        self.buffers = buffers
        self.plain_bytes = plain_bytes
        self.blobs = blobs


class _Mark:
    """Drawn from a set's iterator after each member."""


class _End:
    """Drawn from a set's iterator after its last member."""


_MARK = _Mark()
_END = (_End(),)


def encode_value(value: object, limits: Limits, types: Types) -> Encoded:
    """Encode; raises `Unsendable` or `OverBudget` without a path, and nothing is handed out before all is encoded."""
    out = bytearray()
    put = out.append
    buffers: list[bytes | memoryview] = []
    blobs: list[Blob] = []
    marks: list[list[int]] = []  # for each open set: where its members began and ended
    stack: list[Iterator[Any]] = []
    level: Iterator[Any] = iter((value,))
    most_items = limits.value_items
    most_depth = limits.value_depth
    most_alike = limits.unseeded_members
    items = 1
    wide = 0
    weights = Weights(fractions=False, later=True)
    weighty = False  # Whether anything came that is more to compare than an int is, as a key or in one.
    unweighed: list[dict[Any, Any]] = []  # the dicts that came before it: most values need no look at their keys
    children: Any
    while True:
        for item in level:
            kind = type(item)
            # Scalars end in `continue`; what ends without one has children.
            if kind is str:
                try:
                    raw = item.encode()
                except UnicodeEncodeError:
                    out += SURROGATES.head
                    children = SURROGATES.take(item)
                    items += 1 + SURROGATES.worth_of(children)
                else:
                    size = len(raw)
                    if size < 32:
                        put(FIX_STR + size)
                        out += raw
                    else:
                        put(STR)
                        if size < LENGTH_WIDE:
                            put(size)
                            out += raw
                        else:
                            _attach(raw, out, buffers, marks)
                    if size != len(item):
                        wide += widening(item, size)
                    continue
            elif kind is int:
                if 0 <= item < 128:
                    put(item)
                    continue
                if -16 <= item < 0:
                    put(NEGATIVE + item)
                    continue
                size = (item if item > 0 else ~item).bit_length() // 8 + 1
                if size <= 8:
                    put(INT + size)
                else:
                    if item.bit_length() > limits.int_bits:
                        raise OverBudget("int_bits", "bits in an int", limits.int_bits, item.bit_length())
                    put(INT_BIG)
                    out += length_bytes(size)
                out += item.to_bytes(size, "big", signed=True)
                continue
            elif kind is list:
                children = item.copy()  # another thread may change the original
                size = len(children)
                items += size
                if size < BULK_FROM:
                    put(FIX_LIST + size)
                    if not size:
                        continue
                else:
                    if items > most_items:
                        raise OverBudget("value_items", "items", most_items, items)
                    form = classify(children, types)
                    if form is None:
                        put(LIST)
                        out += length_bytes(size)
                    elif form[0] == RUN:
                        head, packed = pack_run(children, form[1])
                        out += head
                        if type(form[1]) is str and len(form[1]) != len(packed):
                            wide += widening(form[1], len(packed))
                        if len(packed) < REFERENCE_BYTES or marks:
                            out += packed
                        else:
                            _refer(packed, out, buffers)
                        continue
                    else:
                        if form[0] == TABLE:
                            weighty = True
                            weights.fractions = weights.fractions or form[1][1] is FRACTION
                        head, children, added = open_form(form, children, most_items - items, limits)
                        out += head
                        items += added
            elif kind is dict:
                shot = item.copy()  # as above
                size = len(shot)
                if size > most_alike or (
                    weighty and (size > 1 or weights.fractions) and not ATOMS.issuperset(map(type, item))
                ):
                    check_collisions(item, most_alike, types, weights)
                elif size == 1 or (size and not weighty):
                    unweighed.append(item)
                if size < BULK_FROM:
                    put(FIX_DICT + size)
                    if not size:
                        items += DICT_COST
                        continue
                    items += DICT_COST + size + size
                    children = chain.from_iterable(shot.items())
                else:
                    put(DICT)
                    items += DICT_COST + 2
                    children = list(shot), list(shot.values())
            elif kind is float:
                out += _pack_float(FLOAT, item) if item == item else _NAN
                continue
            elif kind is bool:
                put(TRUE if item else FALSE)
                continue
            elif item is None:
                put(NONE)
                continue
            elif kind is tuple:
                size = len(item)
                if size < BULK_FROM:
                    put(FIX_TUPLE + size)
                    if not size:
                        continue
                    items += size
                    children = item
                else:
                    put(TUPLE)
                    items += 1
                    children = (list(item),)
            elif kind is bytes:
                put(BYTES)
                if len(item) < LENGTH_WIDE:
                    put(len(item))
                    out += item
                else:
                    _attach(item, out, buffers, marks)
                continue
            elif kind is set or kind is frozenset:
                members = list(item)
                size = len(members)
                items += SET_COST
                weighty = weighty or kind is frozenset
                if size < BULK_FROM:
                    put(SET if kind is set else FROZENSET)
                    put(size)
                    if not size:
                        continue
                    items += size
                    ints = _ALL_INTS.issuperset(map(type, members))
                    if size > most_alike or (not ints and not ATOMS.issuperset(map(type, members))):
                        check_collisions(members, most_alike, types, weights)
                    if ints:
                        # Most small sets are of small ints, whose encodings are themselves.
                        members.sort()
                        if members[0] >= 0 and members[-1] < 128:
                            if len(stack) >= most_depth:
                                raise OverBudget("value_depth", "levels", most_depth, len(stack) + 1)
                            out += bytes(members)
                            continue
                    if (joined := pack_members(members)) is not None and items <= most_items:
                        if len(stack) >= most_depth:
                            raise OverBudget("value_depth", "levels", most_depth, len(stack) + 1)
                        out += joined
                        continue
                    marks.append([len(out)])
                    children = chain(chain.from_iterable(zip(members, repeat(_MARK))), _END)
                else:
                    check_collisions(members, most_alike, types, weights)
                    if is_set_run(members):
                        put(SET_RUN if kind is set else FROZENSET_RUN)
                        items += 1
                        members.sort()
                        children = (members,)
                    else:
                        put(SET if kind is set else FROZENSET)
                        out += length_bytes(size)
                        items += size
                        marks.append([len(out)])
                        children = chain(chain.from_iterable(zip(members, repeat(_MARK))), _END)
            elif item is _MARK:
                marks[-1].append(len(out))
                continue
            elif kind is _End:
                _sort_members(out, marks.pop())
                continue
            elif (row := struct_of_class(kind)) is not None:
                weighty = True
                if row is FRACTION:
                    weights.fractions = True
                if row.check is not None:
                    row.check(item, limits)
                out += row.head
                children = row.take(item)
                items += row.cost + len(children) + row.worth_of(children)
            elif (entry := types.of_class(kind)) is not None:
                weighty = True
                children, added = open_entry(entry, item, out)
                items += added
            elif issubclass(kind, Blob):
                if marks:
                    raise Unsendable("a Blob cannot be a member of a set")
                if not item.reusable and any(item is other for other in blobs):
                    raise Unsendable("this Blob's source can be read once, and it is in the value twice")
                blobs.append(item)
                items += BLOB_COST
                out += blob_reference(item)
                continue
            elif kind is bytearray or kind is RawBytes:
                put(BYTEARRAY)
                _attach(memoryview(item) if kind is bytearray else item.view, out, buffers, marks)
                continue
            elif kind is memoryview:
                put(BYTES)
                _attach(item.cast("B") if item.c_contiguous and item.nbytes else item.tobytes(), out, buffers, marks)
                continue
            else:
                raise Unsendable(f"{type_name(kind)} is not registered")
            # A container, open: go on with its children, and come back to this level when they are spent.
            stack.append(level)
            if items > most_items:
                raise OverBudget("value_items", "items", most_items, items)
            if len(stack) > most_depth:
                raise OverBudget("value_depth", "levels", most_depth, len(stack))
            level = iter(children)
            break
        else:
            if not stack:
                break
            level = stack.pop()
    if items > most_items:
        raise OverBudget("value_items", "items", most_items, items)
    if weighty:
        for item in unweighed:
            if len(item) > 1 or weights.fractions:
                check_collisions(item, most_alike, types, weights)
        look_again(most_alike, types, weights)
    if out:
        buffers.append(bytes(out))
    plain_bytes = sum(map(len, buffers))
    if plain_bytes + wide > limits.value_bytes:
        raise OverBudget("value_bytes", "bytes in memory", limits.value_bytes, plain_bytes + wide)
    return Encoded(buffers, plain_bytes, blobs)


_ALL_INTS = frozenset((int,))
_NAN = bytes((FLOAT,)) + CANONICAL_NAN


def _attach(raw: bytes | memoryview, out: bytearray, buffers: list[bytes | memoryview], marks: list[list[int]]) -> None:
    """Write a length and its bytes: by reference if they are many, unless a set is open."""
    out += length_bytes(len(raw))
    if len(raw) < REFERENCE_BYTES or marks:
        out += raw
    else:
        _refer(raw, out, buffers)


def _refer(raw: bytes | memoryview, out: bytearray, buffers: list[bytes | memoryview]) -> None:
    buffers.append(bytes(out))
    out.clear()
    buffers.append(raw)


def _sort_members(out: bytearray, places: list[int]) -> None:
    """Put the members of a set, which stand between these places to the end of `out`, into the order of their bytes."""
    pieces = sorted(bytes(out[start:stop]) for start, stop in pairwise(places))
    out[places[0] :] = b"".join(pieces)


def blob_reference(blob: Blob) -> bytes:
    """A size plus one, or 0 while unknown; then the length of the name plus one, or 0 for none, and the name."""
    size = b"\0" if blob.size is None else length_bytes(blob.size + 1)
    name = blob_name(blob)
    if name is None:
        return bytes((BLOB,)) + size + b"\0"
    return bytes((BLOB,)) + size + length_bytes(len(name) + 1) + name
