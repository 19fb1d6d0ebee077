"""Back-off: how long a link that has lost its transport waits before it tries to find another.  Floor: COMMONS.

Law: time and chance are arguments.  Spec: protocol.md, "Resume".

The pause before each try is drawn between nothing and a bound that doubles (full jitter: a thousand clients of a server
that starts again do not come back in one wave).  A transport that carried something was a good one, however short it
lived, and the pauses begin anew; so does one that held for a minute.  What the last one had carried is learnt from
where the peer says that it stands when the session is taken up again.
"""

from __future__ import annotations

from netstructer.protocol.session import Session

__all__ = ["Backoff", "pause_seconds"]

FIRST_PAUSE_SECONDS = 0.2
"""Bound of the first pause: a transport that was cut is replaced in a blink."""
LONGEST_PAUSE_SECONDS = 30.0
"""Bound of all pauses: four tries within the two minutes that a session waits, and no storm."""
FORGIVING_SECONDS = 60.0
"""A transport that held so long was a good one, even if it carried nothing."""


class Backoff:
    """The pauses of one client's link.  Single owner."""

    __slots__ = ("_carried", "_found", "_session", "_tries")

    def __init__(self, session: Session, now: float) -> None:
        self._session = session
        self._carried, self._found, self._tries = session.carried, now, 0

    def lost(self, now: float) -> None:
        """Take in that the transport was lost."""
        if now - self._found >= FORGIVING_SECONDS:
            self._tries = 0
        self._look()

    def found(self, now: float) -> None:
        """Take in that the session was taken up again."""
        self._found = now
        self._look()

    def next(self, chance: float) -> float:
        """Return the seconds until the next try; `chance` is a random number from 0 to 1."""
        self._tries += 1
        return pause_seconds(self._tries - 1, chance)

    def _look(self) -> None:
        if self._session.carried > self._carried:
            self._carried, self._tries = self._session.carried, 0


def pause_seconds(tries: int, chance: float) -> float:
    """Return the pause before the next try, after so many."""
    return chance * min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 20))
