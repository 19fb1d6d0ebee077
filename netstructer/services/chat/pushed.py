"""Pushed values: what a chat sends to links of its own accord.  Floor: SERVICES.  Law: one table, for both ends.

Each is a dict whose `chat` says what it is, with the fields of the table and no others; docs/chat.md explains them.  A
client reads them with `recv`, beside whatever else its server sends it, and `read_pushed` tells whether a value is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SHAPES", "pushed", "read_pushed"]

SHAPES: Mapping[str, Mapping[str, type]] = {
    "said": {"room": str, "n": int, "at": float, "name": str, "text": str},
    "told": {"at": float, "name": str, "text": str},
    "announced": {"at": float, "text": str},
    "connected": {"name": str},
    "disconnected": {"name": str},
    "renamed": {"before": str, "name": str},
    "joined": {"room": str, "name": str},
    "left": {"room": str, "name": str},
    "kicked": {"room": str, "name": str},
    "erased": {"room": str, "n": int},
    "muted": {"seconds": float},
    "unmuted": {},
}
"""The fields of each, and their types.  `n` of `erased` is 0 where it is all of the room."""


def pushed(kind: str, **fields: Any) -> dict[str, Any]:
    """Return the value that tells of something."""
    return {"chat": kind, **fields}


def read_pushed(value: object) -> dict[str, Any] | None:
    """Return a value that came as the one of the table that it is, or None: a server may send other values, too."""
    if type(value) is not dict or type(value.get("chat")) is not str:
        return None
    shape = SHAPES.get(value["chat"])
    if shape is None or value.keys() != {"chat", *shape}:
        return None
    return value if all(type(value[name]) is kind for name, kind in shape.items()) else None
