"""The accounts of a server, in one file: all their parts together.  Floor: SERVICES.

Law: every change is one transaction, whole or not at all; what a method returned is on the disk, or, where it only
counts something, with the system.  Docs: docs/accounts.md.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping

from netstructer.address import Sources
from netstructer.errors import Misuse
from netstructer.private_files import Path
from netstructer.services.accounts.account import AccountEvent
from netstructer.services.accounts.counts import Counts, Quota
from netstructer.services.accounts.keys import KeyHolders
from netstructer.services.accounts.ledger import Ledger
from netstructer.services.accounts.members import MOST_ACCOUNTS
from netstructer.services.accounts.registration import Registration, RegistrationPolicy
from netstructer.services.accounts.tables import STEPS
from netstructer.services.accounts.throttling import Throttle
from netstructer.services.accounts.turns import Turns
from netstructer.services.password_policy import PasswordPolicy
from netstructer.services.passwords import DEFAULT, Parameters, Passwords
from netstructer.services.store import Store
from netstructer.services.usernames import check_count_name

__all__ = ["Accounts"]

RESTORED_EPOCHS = 1 << 20
"""By how much a restored backup's epochs are raised above all that were: more than changes while it is restored."""


class Accounts(Registration, KeyHolders, Ledger, Counts):
    """The accounts in one file, which is made where it is missing; `with` closes it.  Thread-safe, and safe beside
    other processes that have the file open.

    `passwords` says how they are kept: "default" (19 MiB, twice), "strong" (64 MiB, three times), or `Parameters`;
    accounts come to what is stronger as they log in.  `policy` is what new ones must be.  `registration` is who may
    make an account for himself.  `quotas` are those that every account has.  `sources` says what counts as one source,
    and which networks are not counted: loopback, unless it is said otherwise.  `on_event` is called with an
    `AccountEvent` after each change and each login, in the thread that did it, when it is on the disk; what it raises,
    the caller gets, and the change stays.

    `wall` is the clock by which things end (seconds since 1970), `clock` the one by which is waited, and `draw` gives
    random bytes.

    Raises what `Store` raises, and `MissingDependency` where there is no Argon2id.
    """

    def __init__(
        self,
        path: Path,
        *,
        passwords: Parameters | str = DEFAULT,
        policy: PasswordPolicy | None = None,
        registration: RegistrationPolicy = "closed",
        quotas: Mapping[str, Quota] | None = None,
        sources: Sources | None = None,
        most_accounts: int = MOST_ACCOUNTS,
        on_event: Callable[[AccountEvent], None] | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._passwords = Passwords(passwords, clock=clock, draw=draw)
        self._policy = policy or PasswordPolicy()
        self.registration = registration
        self._quotas = {check_count_name(name, "quota"): quota for name, quota in (quotas or {}).items()}
        if not all(isinstance(quota, Quota) for quota in self._quotas.values()):
            raise Misuse("expected quotas by name, as {'messages': Quota(60, seconds=60)}")
        self.most_accounts = most_accounts
        self._listeners = () if on_event is None else (on_event,)
        self._wall, self._draw = wall, draw
        self._turns = Turns(clock=clock)
        self._store = Store(path, STEPS, name="accounts")
        try:
            with self._store.reading() as db:
                (secret,) = db.execute("SELECT content FROM secret WHERE one = 1").fetchone()
            self._throttle = Throttle(secret, sources or Sources(), wall)
        except BaseException:
            self._store.close()
            raise

    def observe(self, listener: Callable[[AccountEvent], None]) -> None:
        """Have `listener(event)` called as `on_event` is, from now on, after those that were there before."""
        self._listeners = (*self._listeners, listener)

    @property
    def path(self) -> str:
        """Where the file is."""
        return self._store.path

    @property
    def policy(self) -> PasswordPolicy:
        """What new passwords must be."""
        return self._policy

    def check(self) -> None:
        """Look at every page of the file.  Raises `StoreDamaged`."""
        self._store.check()

    def backup(self, path: Path) -> None:
        """Copy the accounts as they are now into a new file (0600), while others log in.

        Raises `FileExistsError` rather than overwrite, `StoreFull`, `StoreDamaged`, and `OSError`.
        """
        self._store.backup(path)

    def restore(self, path: Path, *, by: str = "") -> None:
        """Put a backup in the place of all accounts; everybody who is logged in has to log in again, and of invitations
        those alone are good that are out both then and now.

        Raises `FileNotFoundError`, `StoreDamaged`, `StoreTooNew`, `StoreBusy`, `StoreFull`; nothing was changed then.
        """
        with self._store.reading() as db:
            highest = _highest_epoch(db)
            (secret,) = db.execute("SELECT content FROM secret WHERE one = 1").fetchone()
            out = db.execute("SELECT digest FROM invitations").fetchall()

        def mend(db: sqlite3.Connection) -> None:
            epoch = max(highest, _highest_epoch(db)) + RESTORED_EPOCHS
            db.execute("UPDATE accounts SET epoch = ?, login_epoch = ?", (epoch, epoch))
            # What counts are found by stays what every open process of this file has read.
            db.execute("UPDATE secret SET content = ?", (secret,))
            # An invitation that was used since is not good again.
            db.execute("CREATE TEMP TABLE still_out (digest BLOB)")
            db.executemany("INSERT INTO still_out VALUES (?)", out)
            db.execute("DELETE FROM invitations WHERE digest NOT IN (SELECT digest FROM still_out)")

        self._store.restore(path, mend=mend)
        self._tell("restore", "", by=by)

    def close(self) -> None:
        """Close the file.  May be called twice."""
        self._store.close()

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Accounts at {self.path}>"


def _highest_epoch(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(epoch), 0) FROM accounts").fetchone()[0])
