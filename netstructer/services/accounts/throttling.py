"""Throttling: who fails often waits.  Floor: SERVICES.  Law: a delay, never a lock; known and unknown names wait alike.

Docs: docs/accounts.md.  Failures are counted for each name and for each source.  Four are free; from the fifth
on the next try waits 1 s, 2 s, 4 s … 15 min.  A try that comes too early is refused before anything is computed, and
counts for nothing, so nobody makes anybody wait longer by asking again.

*Nobody locks others out.*  A name that is tried from everywhere would keep its own user waiting as well.  So failures
from a source from which an account has been logged in to before are counted apart, for that source alone: strangers
fail into one count, and the user at his own desk has another.

*What resets.*  A success forgets the failures of that name.  From the count of the source it takes as many, those that
its user had made on the way, and no more: otherwise whoever has one account could guess at the others for ever, by
logging in to his own in between.

*What is kept.*  One row for a count, in the store, so a restart forgets nothing; a day after its last failure it is
removed.  The rows are bounded: beyond that the one whose last failure is longest ago goes, and to push out a count
takes 65,536 failures under other names, each of which costs a computation and, for its source, a delay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from netstructer.address import Sources

__all__ = ["FREE_TRIES", "Count", "Throttle", "delay_seconds"]

FREE_TRIES = 5
"""Failures until there is a delay: people who mistype, and who have two keyboards."""
FIRST_SECONDS, MOST_SECONDS = 1.0, 900.0
"""The first delay, and what doubling ends at: 96 tries a day."""
FORGET_SECONDS = 86_400.0
"""After which a count is forgotten: a day, in which the free tries add nothing to speak of."""
MOST_COUNTS = 65_536
"""Rows of counts: 5 MB."""
_SWEEP_EVERY = 64
"""New rows between two looks at how many there are, which takes a millisecond."""


def delay_seconds(failures: int) -> float:
    """Return how long the next try waits after so many failures."""
    if failures < FREE_TRIES:
        return 0.0
    return min(FIRST_SECONDS * 2.0 ** min(failures - FREE_TRIES, 60), MOST_SECONDS)


@dataclass(frozen=True, slots=True)
class Count:
    """One count of failures: its key, what it is of, and how it stood."""

    key: bytes
    account: int | None
    source: str | None
    failures: int
    wait_seconds: float

    @property
    def tries(self) -> int:
        """How many may be tried at once now: as many as would have been free one after the other, or one."""
        return 0 if self.wait_seconds > 0 else max(1, FREE_TRIES - self.failures)


class Throttle:
    """The counts in one store.  Every method works in its caller's transaction."""

    def __init__(self, secret: bytes, sources: Sources, wall: Callable[[], float]) -> None:
        self._secret, self._sources, self._wall = secret, sources, wall
        self._fresh = 0

    def source_of(self, address: str) -> str:
        """Return what failures at a normalised address are counted for; empty for none, and for one that is exempt."""
        return "" if not address or self._sources.exempts(address) else self._sources.name(address)

    def place_of(self, address: str) -> str:
        """Return what a normalised address is counted as, exempt or not; empty for none."""
        return self._sources.name(address) if address else ""

    def of_name(self, db: sqlite3.Connection, name: str, account: int | None, address: str) -> Count:
        """Return the count that a name, which may be nobody's, has at an address."""
        place = self.place_of(address)
        proven = _has_succeeded(db, account, place)  # asked for nobody's name as well: it takes as long
        return self._at(db, self._key("name", name, place if proven else ""), account, None)

    def of_source(self, db: sqlite3.Connection, source: str, *, what: str = "source") -> Count:
        """Return the count of a source: of its logins, or of something else that it does."""
        return self._at(db, self._key(what, source), None, source)

    def _at(self, db: sqlite3.Connection, key: bytes, account: int | None, source: str | None) -> Count:
        found = db.execute("SELECT failures, last FROM throttles WHERE key = ?", (key,)).fetchone()
        if found is None:
            return Count(key, account, source, 0, 0.0)
        failures, last = found
        since = self._wall() - last
        if since >= FORGET_SECONDS:
            return Count(key, account, source, 0, 0.0)
        # Where the clock was set back nobody knows how long ago it was: one try, and if it fails that is known again.
        wait = 0.0 if since < 0 else max(0.0, delay_seconds(failures) - since)
        return Count(key, account, source, failures, wait)

    def fail(self, db: sqlite3.Connection, count: Count) -> float:
        """Count one more failure, and return how long the next try waits."""
        now = self._wall()
        failures = self._at(db, count.key, None, None).failures + 1
        db.execute(
            "INSERT INTO throttles (key, failures, last, source, account) VALUES (?, ?, ?, ?, "
            "(SELECT id FROM accounts WHERE id = ?)) "  # which may have been removed meanwhile
            "ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, last = excluded.last",
            (count.key, failures, now, count.source, count.account),
        )
        if failures == 1:
            self._sweep(db, now)
        return delay_seconds(failures)

    def forgive(self, db: sqlite3.Connection, count: Count, failures: int) -> None:
        """Take some failures from a count."""
        db.execute("UPDATE throttles SET failures = failures - ? WHERE key = ?", (failures, count.key))
        db.execute("DELETE FROM throttles WHERE key = ? AND failures <= 0", (count.key,))

    def forget(self, db: sqlite3.Connection, count: Count) -> int:
        """Forget a count, and return how many failures it had."""
        failures = self._at(db, count.key, None, None).failures
        db.execute("DELETE FROM throttles WHERE key = ?", (count.key,))
        return failures

    def forget_name(self, db: sqlite3.Connection, name: str) -> None:
        """Forget what was counted for a name while it was nobody's."""
        db.execute("DELETE FROM throttles WHERE key = ?", (self._key("name", name, ""),))

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        db.execute("DELETE FROM throttles WHERE last < ?", (now - FORGET_SECONDS,))
        self._fresh += 1
        if self._fresh % _SWEEP_EVERY:
            return
        beyond = db.execute("SELECT count(*) FROM throttles").fetchone()[0] - MOST_COUNTS
        if beyond > 0:
            db.execute(
                "DELETE FROM throttles WHERE key IN (SELECT key FROM throttles ORDER BY last LIMIT ?)", (beyond,)
            )

    def _key(self, *words: str) -> bytes:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._secret, digest_size=16).digest()

    def pick(self, db: sqlite3.Connection, name: str) -> str | None:
        """Return the PHC string of an account that stands for a name that is nobody's, the same each time."""
        start = int.from_bytes(self._key("pick", name)[:8], "big") >> 1
        for low in (start, 0):
            found = db.execute(
                "SELECT phc FROM accounts WHERE id >= ? AND phc IS NOT NULL ORDER BY id LIMIT 1", (low,)
            ).fetchone()
            if found is not None:
                return str(found[0])
        return None


def _has_succeeded(db: sqlite3.Connection, account: int | None, source: str) -> bool:
    found = db.execute(
        "SELECT 1 FROM ledger WHERE account = ? AND source = ? AND successes > 0 LIMIT 1", (account, source)
    ).fetchone()
    return found is not None
