"""Spelling: a conversation in which the names of a listing are as its asker spells them.  Floor: SERVICES.

Law: names are added to, and nothing else of what is said is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netstructer.transfer import Channel, Entry
from netstructer.transfer.manifest import entries_value

__all__ = ["Spelling"]


class Spelling:
    """A conversation whose listings get a prefix before each name, and some entries more.  Single owner."""

    def __init__(self, channel: Channel, prefix: str, more: Callable[[], Sequence[Entry]]) -> None:
        self._channel = channel
        self._prefix = prefix
        self._more = more
        self.recv = channel.recv
        self.wire_bytes = channel.wire_bytes

    def send(self, value: object, *, timeout: float | None = None) -> object:
        """Send one value."""
        match value:
            case ("entries", dict(fields)):
                value = ("entries", self._spelled(fields))
            case ("refused", {"kind": kind, "name": str(name)}) if name and self._prefix:
                value = ("refused", {"kind": kind, "name": self._prefix + name})
        return self._channel.send(value, timeout=timeout)

    def _spelled(self, fields: dict[str, Any]) -> dict[str, Any]:
        spelled = {
            **fields,
            "names": [self._prefix + name for name in fields["names"]],
            "left": [self._prefix + name for name in fields["left"]],
        }
        for name, column in entries_value(list(self._more())).items():
            if name != "targets":  # what is added are directories
                spelled[name] = spelled[name] + column
        return spelled
