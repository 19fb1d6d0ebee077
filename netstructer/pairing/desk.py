"""The desk: which code counts now, who may try it, and for how long.  Floor: COMMONS.

Law: a code is tried once, and whoever tries nothing costs nothing.  Time and chance come in by the door.

A code dies when a wrong one was tried in its place, when a ceremony breaks off after the right one, and when its time
is over.  After a wrong or broken one the next code is shown, three in all; then pairing stops, because three slips in
a row are no slips.  Who guesses has so three tries in 5,898,240, each of them seen on the screen.

Guests are transports that have not yet shown that they have the code.  They hold a place each, and not for long.
Where places run out, the oldest guest of the source that holds most of them makes way for the newcomer: an honest
ceremony takes a second, and whoever fills the room crowds out himself first.  Each guest who sends an element costs
some milliseconds of arithmetic, so a source has so many answers and no more for one code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from netstructer.address import Sources
from netstructer.errors import LinkTimeout, PairingStopped
from netstructer.pairing.codes import make_code

__all__ = ["Desk"]

CODE_SECONDS = 120.0
"""How long a code lives: to read it out, walk to the other machine and type it."""
MOST_FAILURES = 3
"""Codes that may die of a failure before pairing stops."""
GUEST_SECONDS = 5.0
"""From accept to the proof of the code: two round trips and some arithmetic."""
CEREMONY_SECONDS = 15.0
"""From there to the end: two more round trips, and two files."""
MOST_GUESTS = 16
"""Places of guests."""
ANSWERS_PER_SOURCE = 16
"""Elements of one source that are answered for one code: some 200 ms of arithmetic."""

Guest = TypeVar("Guest")


class Desk(Generic[Guest]):
    """The rules of one pairing.  Single owner.  `draw(n)` gives n random bytes; times are monotonic seconds.

    A guest is whatever the owner knows one by.
    """

    def __init__(self, draw: Callable[[int], bytes], *, now: float, code_seconds: float = CODE_SECONDS) -> None:
        self._draw = draw
        self._code_seconds = code_seconds
        self._sources = Sources()
        self._guests: dict[Guest, tuple[str, float]] = {}
        self._answered: Counter[str] = Counter()
        self._claimed: tuple[Guest, float] | None = None
        self.failures = 0
        """Codes that have died of a failure."""
        self.code, self.deadline = make_code(draw), now + code_seconds

    def enter(self, guest: Guest, host: str, now: float) -> Guest | None:
        """Give a newcomer a place; return the guest who must make way, if one must."""
        leaving = self._greediest() if len(self._guests) >= MOST_GUESTS else None
        if leaving is not None:
            del self._guests[leaving]
        self._guests[guest] = self._sources.name(host), now + GUEST_SECONDS
        return leaving

    def leave(self, guest: Guest) -> None:
        """Take back a place, if the guest has one."""
        self._guests.pop(guest, None)

    def may_answer(self, guest: Guest) -> bool:
        """Say whether an element of this guest is answered, and count it."""
        source = self._guests[guest][0]
        self._answered[source] += 1
        return self._answered[source] <= ANSWERS_PER_SOURCE

    def claim(self, guest: Guest, now: float) -> list[Guest]:
        """Note that this guest has the code, so that nobody else can use it; return the guests who must go."""
        self._guests.pop(guest, None)
        self._claimed = guest, now + CEREMONY_SECONDS
        return self._send_away()

    @property
    def claimed(self) -> Guest | None:
        """Who has shown that he has the code, and is not through."""
        return None if self._claimed is None else self._claimed[0]

    def fail(self, now: float) -> list[Guest]:
        """Note that this code has died of a failure, and make the next; return the guests who must go.

        Raises `PairingStopped` where there is no next one.
        """
        self.failures += 1
        self._claimed = None
        if self.failures >= MOST_FAILURES:
            raise PairingStopped(
                f"{MOST_FAILURES} codes were tried in vain: pairing has stopped; begin again when you know by whom",
                limit=MOST_FAILURES,
                found=self.failures,
            )
        self.code, self.deadline = make_code(self._draw), now + self._code_seconds
        self._answered.clear()
        return self._send_away()

    def overdue(self, now: float) -> list[Guest]:
        """Return the guests whose time is over, the one with the code among them.

        Raises `LinkTimeout` where the time of the code itself is over, and nobody has shown to have it.
        """
        if self._claimed is not None:
            guest, deadline = self._claimed
            return [guest] if now >= deadline else []
        if now >= self.deadline:
            raise LinkTimeout(f"nobody came with the code within {self._code_seconds:g} seconds: it is dead")
        return [guest for guest, (_, deadline) in self._guests.items() if now >= deadline]

    def _send_away(self) -> list[Guest]:
        guests = list(self._guests)
        self._guests.clear()
        return guests

    def _greediest(self) -> Guest:
        """Return the oldest guest of the source that holds most places."""
        held = Counter(source for source, _ in self._guests.values())
        most = max(held.values())
        return next(guest for guest, (source, _) in self._guests.items() if held[source] == most)
