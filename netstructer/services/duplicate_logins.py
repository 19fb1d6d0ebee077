"""What becomes of a login where the user is there already.  Floor: SERVICES.  Law: a decision; nothing is closed here.

Whoever keeps the links counts them, asks, and does as it is told, all under one lock: two logins at once would each
find the other missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from netstructer.errors import Misuse

__all__ = ["DuplicateLogins", "Entry"]

Manner = Literal["refuse", "replace", "allow"]
MOST = 1024
"""Links of one user that can be asked for; what a server has in all is another limit."""


class Entry(NamedTuple):
    """Whether the new link is let in, and how many of those that are there, oldest first, are closed for it."""

    enters: bool
    closes: int = 0


@dataclass(frozen=True, slots=True)
class DuplicateLogins:
    """`refuse` the new one, `replace` the oldest by it, or `allow` any number, once `most` are there.

    With `most=1`, which is the default, the first two are about the second link of a user.  `allow` takes no figure:
    a server's own limits hold.  Raises `Misuse`.
    """

    manner: Manner = "refuse"
    most: int = 1

    def __post_init__(self) -> None:
        if self.manner not in ("refuse", "replace", "allow"):
            raise Misuse("expected one of refuse, replace and allow for users who log in twice")
        if not isinstance(self.most, int) or not 1 <= self.most <= MOST:
            raise Misuse(f"expected 1 to {MOST} links of one user")

    def decide(self, present: int) -> Entry:
        """Return what becomes of one more link of a user who has `present` of them."""
        if self.manner == "allow" or present < self.most:
            return Entry(enters=True)
        if self.manner == "refuse":
            return Entry(enters=False)
        return Entry(enters=True, closes=present - self.most + 1)
