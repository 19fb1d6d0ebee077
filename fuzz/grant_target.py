"""Grants: what lies in the seals of a pairing, and the code that somebody types: read in one way, or refused.

The first byte of an input chooses what the rest is read as.  The ceremony around it is in pair_target.py.
"""

from __future__ import annotations

from fuzz.pair_target import CODE, GRANT
from netstructer.errors import IllegalFrame, InvalidCode, NotNetstructer, PairingRefused, VersionMismatch
from netstructer.pairing.codes import read_code
from netstructer.pairing.frames import (
    HEAD_BYTES,
    Kind,
    pack_grant,
    pack_head,
    pack_wish,
    read_grant,
    read_head,
    read_wish,
)

GRANT_BYTES, WISH_BYTES = len(pack_grant(GRANT)), len(pack_wish(None))
KINDS = tuple(Kind)


def seeds() -> list[bytes]:
    """Return a grant, wishes, codes as they are typed, and heads."""
    codes = [CODE, CODE.upper(), " 47 Guitar\torbit ", "47", "guitar-orbit-47", "047-guitar-orbit", "47-guitar-orbit-7"]
    return [
        b"\0" + pack_grant(GRANT),
        *(b"\1" + pack_wish(user) for user in (None, "ada", "\u00e9" * 20)),
        *(b"\2" + code.encode() for code in codes),
        *(b"\3" + bytes([place]) + pack_head(kind, 0) for place, kind in enumerate(KINDS)),
    ]


def one(data: bytes) -> None:
    """Read the input as what its first byte says."""
    if data:
        _READERS[data[0] % len(_READERS)](data[1:])


def _as_grant(data: bytes) -> None:
    packed = data[:GRANT_BYTES].ljust(GRANT_BYTES, b"\0")
    try:
        grant = read_grant(packed)
    except IllegalFrame:
        return
    assert pack_grant(grant) == packed, "a grant was read in two ways"


def _as_wish(data: bytes) -> None:
    packed = data[:WISH_BYTES].ljust(WISH_BYTES, b"\0")
    try:
        wish = read_wish(packed)
    except IllegalFrame:
        return
    assert pack_wish(wish) == packed, "a wish was read in two ways"


def _as_code(data: bytes) -> None:
    try:
        code = read_code(data.decode("utf-8", "replace"))
    except InvalidCode:
        return
    assert read_code(code) == code


def _as_head(data: bytes) -> None:
    if not data:
        return
    expected, head = KINDS[data[0] % len(KINDS)], data[1 : 1 + HEAD_BYTES].ljust(HEAD_BYTES, b"\0")
    try:
        kind, code = read_head(head, expected, Kind.REFUSAL)
    except (IllegalFrame, NotNetstructer, PairingRefused, VersionMismatch):
        return
    assert kind in (expected, Kind.REFUSAL)
    assert pack_head(kind, code) == head, "a head was read in two ways"


_READERS = (_as_grant, _as_wish, _as_code, _as_head)
