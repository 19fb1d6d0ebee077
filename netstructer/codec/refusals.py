"""The codec's own exceptions, which never leave it: values.py turns them into documented errors.  Floor: CODEC."""

from __future__ import annotations

__all__ = ["Malformed", "OverBudget", "SourceFailed", "Unsendable", "hold_items"]


class Malformed(Exception):
    """Decoding: the bytes at hand are no value; the decoder adds the offset and raises `BadValue`."""


class Unsendable(Exception):
    """Encoding: something does not travel; the encoder finds its path and raises `UnsendableValue`."""


class OverBudget(Exception):
    """Either way: a budget is exceeded.  `field` names it in `Limits`; `limit` and `found` are in `unit`."""

    def __init__(self, field: str, unit: str, limit: int, found: int) -> None:
        super().__init__(f"{found:,} {unit}, over the limit of {limit:,} ({field})")
        self.field = field
        self.limit = limit
        self.found = found


class SourceFailed(Exception):
    """Decoding: the iterable that the bytes come from raised `error`, which passes to the caller unchanged."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def hold_items(added: int, room: int, most: int) -> int:
    """Return `added`, or raise `OverBudget` if so many items more do not fit the `room` that is left of `most`."""
    if added > room:
        raise OverBudget("value_items", "items", most, most - room + added)
    return added
