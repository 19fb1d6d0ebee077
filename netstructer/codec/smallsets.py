"""Small sets of ints and short ASCII texts, in and out in one go.  Floor: CODEC.

Most small sets hold nothing else, and the general way, which notes the place of each member and compares the bytes of
each with those of the one before, costs thirteen times what pickle does.  Law: what is not in order, is another
kind of member or is not there whole is `None` here, and goes the general way, which knows what to say of it.
"""

from __future__ import annotations

from typing import Any

from netstructer.codec.tags import FIX_STR, FIX_TUPLE, INT, INT_BIG, NARROWER, NEGATIVE

__all__ = ["pack_members", "unpack_members"]

_HEADS = tuple(bytes((FIX_STR + size,)) for size in range(32))
_INTS = tuple(bytes((place,)) for place in range(128))
_NEGATIVES = tuple(bytes((NEGATIVE + place,)) for place in range(-16, 0))
_INT_HEADS = tuple(bytes((INT + size,)) for size in range(9))

from_bytes = int.from_bytes


def pack_members(members: list[Any]) -> bytes | None:
    """Return the encodings of the members in their order, if all are ints of 64 bits or short ASCII texts."""
    pieces = []
    for member in members:
        kind = type(member)
        if kind is int:
            if 0 <= member < 128:
                pieces.append(_INTS[member])
            elif -16 <= member < 0:
                pieces.append(_NEGATIVES[member])
            else:
                size = (member if member > 0 else ~member).bit_length() // 8 + 1
                if size > 8:
                    return None
                pieces.append(_INT_HEADS[size] + member.to_bytes(size, "big", signed=True))
        elif kind is str and len(member) < 32 and member.isascii():
            pieces.append(_HEADS[len(member)] + member.encode())
        else:
            return None
    pieces.sort()
    return b"".join(pieces)


def unpack_members(data: bytes, start: int, count: int) -> tuple[list[Any], int] | None:
    """Return `count` members and where they end, if all are such as above, whole, and in their order."""
    members: list[Any] = []
    append = members.append
    before = b""
    try:
        for _ in range(count):
            tag = data[start]
            if tag < 0x80:
                stop = start + 1
                append(tag)
            elif FIX_STR <= tag < FIX_TUPLE:
                stop = start + tag - (FIX_STR - 1)
                append(data[start + 1 : stop].decode("ascii"))
            elif NEGATIVE - 16 <= tag < NEGATIVE:
                stop = start + 1
                append(tag - NEGATIVE)
            elif NEGATIVE <= tag < INT_BIG:
                stop = start + tag - (INT - 1)
                number = from_bytes(data[start + 1 : stop], "big", signed=True)
                low, high = NARROWER[tag - INT]
                if low <= number <= high:
                    return None
                append(number)
            else:
                return None
            node = data[start:stop]
            if node <= before:
                return None
            before = node
            start = stop
    except (IndexError, UnicodeDecodeError):
        return None
    return (members, start) if start <= len(data) else None
