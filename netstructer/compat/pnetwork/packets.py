"""Packets: the four fields of each, and nothing else.  Floor: ROOF.

Law: what a peer says is checked before it is used.
"""

from __future__ import annotations

import time
from typing import Any

from netstructer.errors import BadValue, Misuse

__all__ = [
    "CORE_ACTIONS",
    "DISCONNECT",
    "HAND_SHAKE",
    "IS_ALIVE",
    "MOST_CHARACTERS",
    "check_name",
    "make_packet",
    "read_packet",
]

HAND_SHAKE, DISCONNECT, IS_ALIVE = "handShake", "disconnect", "isAlive"
CORE_ACTIONS = frozenset({HAND_SHAKE, DISCONNECT, IS_ALIVE})
"""What is dealt with whether anything is bound to it or not."""
FIELDS = {"action", "data", "packet-created", "token"}
MOST_CHARACTERS = 256
"""Of an action's name, of a token and of a client's name: they are looked up, logged and shown."""
FARTHEST_SECONDS = 2**40
"""Of a packet's time from 1970, either way: 34,000 years, which a float holds to the millisecond."""


def make_packet(name: str, data: object, token: str | None) -> dict[str, Any]:
    """Return a packet that was made now.  Raises `Misuse` for a name that is none."""
    return {"action": check_name(name), "data": data, "packet-created": time.time(), "token": token}


def read_packet(value: object) -> dict[str, Any]:
    """Return the packet that a value is.  Raises `BadValue`, whose text says what is wrong and holds nothing of it."""
    if type(value) is not dict or value.keys() != FIELDS:
        raise BadValue("expected a packet: a dict with action, data, packet-created and token")
    created, token = value["packet-created"], value["token"]
    if not _is_name(value["action"]):
        raise BadValue(f"expected a packet whose action is a text of 1 to {MOST_CHARACTERS} characters")
    if type(created) not in (int, float) or not -FARTHEST_SECONDS < created < FARTHEST_SECONDS:
        raise BadValue("expected a packet whose packet-created is a number of seconds")
    if token is not None and not _is_name(token):
        raise BadValue(f"expected a packet whose token is a text of 1 to {MOST_CHARACTERS} characters, or None")
    return value


def check_name(name: object) -> str:
    """Return what can name an action, or be a token.  Raises `Misuse`."""
    if not isinstance(name, str) or not _is_name(name):
        raise Misuse(f"expected a name as text of 1 to {MOST_CHARACTERS} characters")
    return name


def _is_name(name: object) -> bool:
    return type(name) is str and 1 <= len(name) <= MOST_CHARACTERS
