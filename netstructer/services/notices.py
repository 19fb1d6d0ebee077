"""Notices: what a server tells its clients of its own accord, as a value among the others.  Floor: SERVICES.

Law: one form, which any client can tell from the values of its application.  Docs: docs/admin.md, "Notices".

    for value in link:
        if (notice := notice_in(value)) is not None:
            show(notice.kind, notice.text)

A notice comes where values come, in their order, so a client that reads at all hears of it.  It is a dict of exactly
five texts and a number, the first of which no application uses by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from netstructer.errors import Misuse
from netstructer.services.printing import cut, one_line

__all__ = ["Notice", "NoticeKind", "notice_in"]

NoticeKind = Literal["message", "greeting", "maintenance", "disconnect", "shutdown", "restart"]
_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
TEXT_CHARACTERS = 1_000
"""Of a notice: a few lines of a terminal."""
SENDER_CHARACTERS = 256
"""Of who it is from: a user's name."""
_WORD = "notice"
_FIELDS = {"netstructer", "kind", "text", "from", "at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a client is told."""

    kind: NoticeKind
    """`message` of an administrator; `greeting` of a new link; what becomes of the server; why a link is closed."""
    text: str
    sender: str = ""
    """Who it is from; empty for the server itself."""
    at: float
    """Seconds since 1970, by the server's clock."""

    def value(self) -> dict[str, object]:
        """Return what travels.  Raises `Misuse` for a notice that cannot be right."""
        if self.kind not in _KINDS or not 0 < len(self.text) <= TEXT_CHARACTERS:
            raise Misuse(f"expected a notice of a known kind, with a text of at most {TEXT_CHARACTERS:,} characters")
        return {"netstructer": _WORD, "kind": self.kind, "text": self.text, "from": self.sender, "at": self.at}

    def __str__(self) -> str:
        return (
            f"{self.kind} from {one_line(self.sender)}: {one_line(self.text)}" if self.sender else one_line(self.text)
        )


def notice_in(value: object) -> Notice | None:
    """Return the notice that a received value is; None for any other value.  What it holds is cut, and not tamed."""
    if not isinstance(value, dict) or set(value) != _FIELDS or value["netstructer"] != _WORD:
        return None
    kind, text, sender, at = value["kind"], value["text"], value["from"], value["at"]
    if kind not in _KINDS or not isinstance(text, str) or not isinstance(sender, str):
        return None
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        return None
    return Notice(kind=kind, text=cut(text, TEXT_CHARACTERS), sender=cut(sender, SENDER_CHARACTERS), at=float(at))
