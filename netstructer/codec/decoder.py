"""From bytes to a Python value: one loop over a stack of open containers.  Floor: CODEC.  Spec: docs/values.md.

How it works.  For each open container there is a list of the children that have come and an iterator that yields once
for each child that has yet to come.  The loop reads one node: a scalar is appended; a container with children is
opened, its own list and iterator taking the place of the outer ones, which go on the stack.  When an iterator is spent
its container is closed: made from its children, and appended to the list below.  So nothing recurses, whatever the
depth.

A node is read whole or not at all.  Where bytes are missing, `IndexError` or `Short` ends the reading of that node,
more bytes are gathered, and the node is read again from its start; nothing that a node changes is changed before all of
its own bytes are there.

Members of a set must come in the order of their encodings.  So while a set is open the bytes of its current member and
of the one before are kept (spans.py), and the two are compared.

Law: whatever the bytes are, the result is a value or `Malformed` or `OverBudget`; nothing is called that came by name,
but the registered `make` of an application type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import length_hint
from struct import Struct as Packer
from typing import Any

from netstructer.codec.blob import Blob
from netstructer.codec.bulk import unpack_run
from netstructer.codec.closing import close, make_set
from netstructer.codec.collisions import ATOMS, Weights, check_collisions
from netstructer.codec.heads import Short, big_int, is_weighty, open_container, read_blob, read_length, run_head
from netstructer.codec.refusals import Malformed, OverBudget
from netstructer.codec.smallsets import unpack_members
from netstructer.codec.source import Chunk, Source
from netstructer.codec.spans import SHORT_BYTES, Span, is_before
from netstructer.codec.tags import (
    BLOB,
    BLOB_COST,
    BULK_FROM,
    BYTEARRAY,
    BYTES,
    CANONICAL_NAN,
    DICT_COST,
    FIX_DICT,
    FIX_LIST,
    FIX_STR,
    FIX_TUPLE,
    FLOAT,
    FROZENSET,
    INT,
    INT_BIG,
    LENGTH_WIDE,
    NARROWER,
    NEGATIVE,
    NONE,
    RUN,
    RUN_TEXTS,
    SET,
    SET_COST,
    STR,
    TRUE,
)
from netstructer.codec.text import widening, widening_of
from netstructer.codec.types import Types
from netstructer.errors import BadValue
from netstructer.limits import Limits

__all__ = ["bad_value", "decode_value"]

# What an open container becomes when it is closed: the common ones, closed in the loop.  The others are in closing.py.
_ROOT, _LIST, _TUPLE, _DICT, _SET = range(-5, 0)

_PAYLOADS = frozenset((BYTES, STR, BYTEARRAY, INT_BIG))

TAKE_BYTES = 64 * 1024
"""From here on missing bytes are gathered in a buffer of their own, which becomes the object, not in front of the
rest."""

_NONES = tuple((None,) * count for count in range(31))
"""What an open container's iterator runs over; a tuple that is there already makes one faster than `repeat` does."""

_unpack_float = Packer(">d").unpack_from
from_bytes = int.from_bytes


def decode_value(source: Chunk | Iterable[Chunk], limits: Limits, types: Types, blobs: Sequence[Blob]) -> object:
    """Decode; raises `BadValue`, and what the source raises when it is asked for more."""
    feed = None if isinstance(source, bytes) else Source(source, limits.value_bytes)
    data = source if isinstance(source, bytes) else b""
    end = len(data)
    position = 0
    stack: list[tuple[Any, ...]] = []
    spans: list[Span] = []
    children: list[Any] = []
    append = children.append
    kind = _ROOT
    extra: Any = None
    level: Any = repeat(None, 1)
    most_items = limits.value_items
    most_depth = limits.value_depth
    most_alike = limits.unseeded_members
    most_pairs = 2 * most_alike
    most_bytes = limits.value_bytes
    most_bits = limits.int_bits
    items = 1
    wide = 0
    used_blobs = 0
    weights = Weights(fractions=False, later=False)
    weighty = False  # Whether anything came that is more to compare than an int is, as a key or in one.
    value: Any
    try:
        if end > most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", most_bytes, end)
        while True:
            try:
                while True:
                    for _ in level:
                        tag = data[position]
                        # Scalars end in `continue`; what ends without one is a container, with `count` children to
                        # come.
                        if tag < 0x80:
                            append(tag)
                            position += 1
                            continue
                        if tag < FIX_STR:
                            if tag < FIX_LIST:
                                count = tag - FIX_DICT
                                items += DICT_COST + count + count
                                if not count:
                                    append({})
                                    position += 1
                                    continue
                                opened = _DICT
                                count += count
                            else:
                                count = tag - FIX_LIST
                                if not count:
                                    append([])
                                    position += 1
                                    continue
                                items += count
                                opened = _LIST
                            position += 1
                            detail = None
                        elif tag < FIX_TUPLE:
                            stop = position + tag - (FIX_STR - 1)
                            if stop > end:
                                raise Short(stop)
                            text = data[position + 1 : stop].decode()
                            if len(text) != tag - FIX_STR:
                                wide += widening(text, tag - FIX_STR)
                            append(text)
                            position = stop
                            continue
                        elif tag < 0xD0:
                            count = tag - FIX_TUPLE
                            position += 1
                            if not count:
                                append(())
                                continue
                            items += count
                            opened = _TUPLE
                            detail = None
                        elif tag < NEGATIVE:
                            append(tag - NEGATIVE)
                            position += 1
                            continue
                        elif tag < INT_BIG:
                            stop = position + tag - (INT - 1)
                            if stop > end:
                                raise Short(stop)
                            number = from_bytes(data[position + 1 : stop], "big", signed=True)
                            low, high = NARROWER[tag - INT]
                            if low <= number <= high:
                                raise Malformed("an int is longer than it need be")
                            append(number)
                            position = stop
                            continue
                        elif tag == FLOAT:
                            stop = position + 9
                            if stop > end:
                                raise Short(stop)
                            (number,) = _unpack_float(data, position + 1)
                            if number != number and data[position + 1 : stop] != CANONICAL_NAN:
                                raise Malformed("a nan is not the one nan")
                            append(number)
                            position = stop
                            continue
                        elif NONE <= tag <= TRUE:
                            append(None if tag == NONE else tag == TRUE)
                            position += 1
                            continue
                        elif tag in _PAYLOADS:
                            size = data[position + 1]
                            start = position + 2
                            if size >= LENGTH_WIDE:
                                size, start = read_length(data, position + 1, end)
                            if tag == INT_BIG and size > most_bits // 8 + 1:
                                raise OverBudget("int_bits", "bits in an int", most_bits, size * 8)
                            stop = start + size
                            raw: Any
                            if stop <= end:
                                raw = data[start:stop]
                                position = stop
                            elif size < TAKE_BYTES or spans or feed is None:
                                raise Short(stop)
                            else:
                                raw, data = feed.take(data, start, size, mutable=tag == BYTEARRAY)
                                end = len(data)
                                position = 0
                            if tag == BYTES:
                                append(raw)
                            elif tag == STR:
                                if size < 32:
                                    raise Malformed("a short text has a long tag")
                                short = size < SHORT_BYTES  # then it is quicker to look at the text itself
                                text = raw.decode() if short else ""
                                if len(text) != size if short else not raw.isascii():
                                    wide += widening(text, size) if short else widening_of(raw)
                                    total = wide + position + (feed.dropped if feed else 0)
                                    if total > most_bytes:
                                        raise OverBudget("value_bytes", "bytes in memory", most_bytes, total)
                                append(text if short else raw.decode())
                            elif tag == BYTEARRAY:
                                append(raw if isinstance(raw, bytearray) else bytearray(raw))
                            else:
                                append(big_int(raw, most_bits))
                            continue
                        elif tag in (SET, FROZENSET):
                            count, start = read_length(data, position + 1, end)
                            if items + count + SET_COST > most_items:
                                raise OverBudget("value_items", "items", most_items, items + count + SET_COST)
                            stop = start + count
                            if stop > end:
                                raise Short(stop)
                            items += count + SET_COST
                            if count < BULK_FROM and (raw := data[start:stop]).isascii():
                                # All are ints of one byte: their order is that of their bytes.
                                if count and len(stack) >= most_depth:
                                    raise OverBudget("value_depth", "levels", most_depth, len(stack) + 1)
                                value = set(raw) if tag == SET else frozenset(raw)
                                if bytes(sorted(value)) != raw:
                                    raise Malformed("the members of a set are not in their order")
                                append(value)
                                position = stop
                                continue
                            position = start
                            weighty = weighty or tag == FROZENSET
                            if count < BULK_FROM and count <= most_alike and items <= most_items:
                                found = unpack_members(data, start, count)
                                if found is not None and len(stack) < most_depth:
                                    value = set(found[0]) if tag == SET else frozenset(found[0])
                                    append(value)
                                    position = found[1]
                                    continue
                            opened = _SET
                            detail = Span(tag, count, position + (feed.dropped if feed else 0))
                            spans.append(detail)
                            count = 1
                        elif tag == RUN:
                            run, count, size, start = run_head(data, position, end, most_items - items, most_items)
                            stop = start + size
                            if stop <= end:
                                raw = data[start:stop]
                                position = stop
                            elif size < TAKE_BYTES or spans or feed is None:
                                raise Short(stop)
                            else:
                                raw, data = feed.take(data, start, size)
                                end = len(data)
                                position = 0
                            if run == RUN_TEXTS and not raw.isascii():
                                wide += widening_of(raw)
                                total = wide + position + (feed.dropped if feed else 0)
                                if total > most_bytes:
                                    raise OverBudget("value_bytes", "bytes in memory", most_bytes, total)
                            items += count
                            append(unpack_run(run, count, raw))
                            continue
                        elif tag == BLOB:
                            if spans:
                                raise Malformed("a Blob is a member of a set")
                            blob, position = read_blob(data, position, end, blobs, used_blobs)
                            used_blobs += 1
                            items += BLOB_COST
                            append(blob)
                            continue
                        else:
                            opened, detail, count, added, start = open_container(
                                tag, data, position, end, types, most_items - items, most_items
                            )
                            if items + added > most_items:
                                raise OverBudget("value_items", "items", most_items, items + added)
                            weighty = weighty or is_weighty(tag, detail)
                            items += added
                            position = start
                        # A container, open: go on with its children.
                        if items > most_items:
                            raise OverBudget("value_items", "items", most_items, items)
                        stack.append((level, children, kind, extra))
                        if len(stack) > most_depth:
                            raise OverBudget("value_depth", "levels", most_depth, len(stack))
                        level = iter(_NONES[count]) if count < 31 else repeat(None, count)
                        children = []
                        append = children.append
                        kind = opened
                        extra = detail
                        break
                    else:
                        # All children are there: close the container.
                        if kind == _LIST:
                            value = children
                        elif kind == _DICT:
                            try:
                                if len(children) > most_pairs or (
                                    weighty and not ATOMS.issuperset(map(type, children[::2]))
                                ):
                                    check_collisions(children[::2], most_alike, types, weights)
                                pairs = iter(children)
                                value = dict(zip(pairs, pairs))  # noqa: B905  # an even number, by its tag
                            except OverBudget:
                                raise
                            except Exception as error:
                                raise Malformed("the keys of a dict cannot be its keys") from error
                            if len(value) + len(value) != len(children):
                                raise Malformed("a key is in a dict twice")
                        elif kind == _TUPLE:
                            value = tuple(children)
                        elif kind == _SET:
                            here = position + (feed.dropped if feed else 0)
                            start = position - here + extra.start
                            before = position - here + extra.previous
                            if extra.previous >= 0 and (
                                data[start:position] < data[before:start]
                                if position - before < SHORT_BYTES
                                else is_before(data, start, position, before, start)
                            ):
                                raise Malformed("the members of a set are not in their order")
                            extra.left -= 1
                            if extra.left:
                                extra.previous = extra.start
                                extra.start = here
                                level = repeat(None, 1)
                                continue
                            spans.pop()
                            value = make_set(children, extra.tag == SET, most_alike, types, weights)
                        elif kind == _ROOT:
                            break
                        else:
                            value, added = close(kind, extra, children, limits, types, most_items - items, weights)
                            items += added
                        level, children, kind, extra = stack.pop()
                        append = children.append
                        append(value)
                break
            except (IndexError, Short) as short:
                need = short.need if type(short) is Short else end + 1
                if feed is None:
                    raise Malformed("the value ends too soon") from None
                keep = spans[0].kept - feed.dropped if spans else position
                data = feed.more(data, keep, need)
                end = len(data)
                position -= keep
                level = repeat(None, length_hint(level) + 1)
        if position != end or (feed is not None and feed.pull() is not None):
            raise Malformed("bytes follow the value")
        if items > most_items:
            raise OverBudget("value_items", "items", most_items, items)
        total = position + wide + (feed.dropped if feed else 0)
        if total > most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", most_bytes, total)
        if used_blobs != len(blobs):
            raise Malformed(f"the value refers to {used_blobs} blobs, and {len(blobs)} came with it")
        return children[0]
    except Malformed as error:
        raise bad_value(f"{error}", position, feed) from error.__cause__
    except OverBudget as error:
        raise bad_value(f"the value has {error}", position, feed) from None
    except UnicodeDecodeError:
        raise bad_value("a text is not UTF-8", position, feed) from None


def bad_value(text: str, position: int, feed: Source | None) -> BadValue:
    """Return what a refusal becomes that says nothing yet of where it was made."""
    return BadValue(f"{text}, at byte {position + (feed.dropped if feed else 0):,}")
