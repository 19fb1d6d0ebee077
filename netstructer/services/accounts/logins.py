"""Logins: a name and a password, or a key, to an account.  Floor: SERVICES.

Law: whatever is wrong, the same computation, the same error and the same text, until the password was right.

The steps of a login, each of which may end it:

1.  The name has one spelling and the password a length; else `LoginFailed`, with nothing computed, as no account can
    have such a name or such a password.  It counts for the source.
2.  A turn at the counts of the name and of the source (turns.py); one of them may say to wait (throttling.py).
3.  One computation of Argon2id: against the account's password, or, where there is none, against nobody's, with the
    parameters of some account or other, so that names cannot be told apart while parameters change.
4.  One transaction: a failure is counted for name and source alike, known or not; a success is written down if the
    account is still as it was read.  That is not flushed to the disk: a killed process loses none of it.

*An account that is not active, with the right password*, is `AccountRefused` and told what it is (waiting, blocked,
banned) and until when: it has proved whose it is, and would only try again and again.  Why is for whoever administers.
With a wrong password it is told what everybody is told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from netstructer.address import normalise_ip
from netstructer.errors import InvalidAddress, InvalidName, LoginFailed, Misuse, PasswordRefused
from netstructer.services.accounts.account import Account
from netstructer.services.accounts.book import Who
from netstructer.services.accounts.counts import MOST_NAMES, add_statistic
from netstructer.services.accounts.ledger import note_try
from netstructer.services.accounts.rights import Rights, refuse_unless_active
from netstructer.services.accounts.throttling import Count
from netstructer.services.accounts.turns import Turns
from netstructer.services.passwords import plain_bytes
from netstructer.services.usernames import fold_name

__all__ = ["Logins", "address_in"]

TEXT = "the name or the password was not accepted"


@dataclass(slots=True)
class _Seen:
    """What a look has found; the last look counts."""

    account: Account | None = None
    phc: str | None = None
    like: str | None = None


class Logins(Rights):
    """Who may come in."""

    _turns: Turns

    def login(self, name: str, password: str, source: str = "") -> Account:
        """Return the account of a name and a password; `source` is the address where they come from.

        Raises `LoginFailed`, the same for an unknown name, a wrong password and one that comes too early
        (`retry_seconds`); `AccountRefused` for the right password of an account that is not active; `Busy` where so
        many log in that nobody can say.  Takes a computation of Argon2id, of 18 ms and more: not for an event loop.
        """
        address = address_in(source)
        account = self._prove(name, password, address)
        refuse_unless_active(account)
        return account

    def change_password(self, name: str, password: str, new: str, source: str = "") -> Account:
        """Let a user who knows his password have another one, and return the account as it is then.

        All his other links have to log in again.  Raises what `login` raises, and `PasswordRefused` where the new one
        is not as the policy wants it, or is the former one.
        """
        account = self.login(name, password, source)
        if plain_bytes(new) == plain_bytes(password):
            raise PasswordRefused("a password is wanted other than the former one", wanted=("another one",))
        phc = self._hash(account.name, new)
        return self._set_phc(account, phc, must_change=False, action="change password", by=account.name)

    def _prove(self, name: str, password: str, address: str) -> Account:
        """Return the account whose password it is, whatever its status; write down what became of it."""
        source = self._throttle.source_of(address)
        try:
            folded = fold_name(name)
            plain_bytes(password)
        except (InvalidName, PasswordRefused):
            wait = self._fail_source(source)
            self._tell("login", "", by="", source=address, result="no name, or no password")
            raise LoginFailed(TEXT, retry_seconds=wait) from None
        seen = _Seen()

        def look() -> Sequence[Count]:
            with self._store.reading() as db:
                seen.account = self._find(db, folded)
                seen.phc = seen.like = None
                if seen.account is not None:
                    (seen.phc,) = db.execute("SELECT phc FROM accounts WHERE id = ?", (seen.account.id,)).fetchone()
                if seen.phc is None:
                    seen.like = self._throttle.pick(db, folded)
                counts = [
                    self._throttle.of_name(db, folded, None if seen.account is None else seen.account.id, address)
                ]
                return [*counts, self._throttle.of_source(db, source)] if source else counts

        with self._turns.taken(look) as counts:
            wait = max(count.wait_seconds for count in counts)
            if wait:
                self._tell("login", _name_of(seen.account), by="", source=address, result="throttled")
                raise LoginFailed(TEXT, retry_seconds=wait)
            if seen.phc is None:
                is_right = self._passwords.verify_nobodys(password, like=seen.like)
            else:
                is_right = self._passwords.verify(seen.phc, password)
            better = self._passwords.hash(password) if is_right and self._is_outdated(seen.phc) else None
            found = self._note_success(seen, counts, address, better) if is_right else None
            if found is None:
                wait = self._note_failure(seen.account, counts, address)
        if found is None:
            result = "unknown name" if seen.account is None else "wrong password"
            self._tell("login", _name_of(seen.account), by="", source=address, result=result)
            raise LoginFailed(TEXT, retry_seconds=wait)
        result = "done" if found.status == "active" else found.status
        self._tell("login", found.name, by=found.name, source=address, result=result)
        return found

    def _is_outdated(self, phc: str | None) -> bool:
        return phc is not None and self._passwords.is_outdated(phc)

    def _note_failure(self, account: Account | None, counts: Sequence[Count], address: str) -> float:
        with self._store.writing(flush=False) as db:
            wait = max(self._throttle.fail(db, count) for count in counts)
            if account is not None and (now := self._find(db, account)) is not None:
                self._note(db, now, address, succeeded=False)
        return wait

    def _note_success(self, seen: _Seen, counts: Sequence[Count], address: str, better: str | None) -> Account | None:
        """Write a success down, and return the account; None where it is not what it was any more."""
        assert seen.account is not None
        with self._store.writing(flush=False) as db:
            found = db.execute("SELECT phc FROM accounts WHERE id = ?", (seen.account.id,)).fetchone()
            if found != (seen.phc,):
                return None  # removed, or given another password, in these milliseconds
            of_name, *of_source = counts
            failures = self._throttle.forget(db, of_name)
            for count in of_source:
                self._throttle.forgive(db, count, failures)
            if better is not None:
                db.execute("UPDATE accounts SET phc = ? WHERE id = ?", (better, seen.account.id))
            account = self._read(db, seen.account)
            self._note(db, account, address, succeeded=account.status == "active")
            return self._read(db, account)

    def _note(self, db: sqlite3.Connection, account: Account, address: str, *, succeeded: bool) -> None:
        place = self._throttle.place_of(address)
        note_try(db, account, address, place, self._wall(), succeeded=succeeded)
        name = "logins" if succeeded else "failed logins"
        add_statistic(db, account.id, name, 1, most=MOST_NAMES + 2)  # an application's own keep nobody out

    def _fail_source(self, source: str) -> float:
        """Count a failure of a source alone, unless it has to wait, and return how long it waits."""
        if not source:
            return 0.0
        with self._store.writing(flush=False) as db:
            count = self._throttle.of_source(db, source)
            return count.wait_seconds or self._throttle.fail(db, count)

    # --- delays, for whoever administers ------------------------------------------------------------------------------

    def waits(self, who: Who) -> float:
        """Return how long the next login to an account waits, from an address where it never was."""
        with self._store.reading() as db:
            account = self._read(db, who)
            return self._throttle.of_name(db, account.name, account.id, "").wait_seconds

    def unlock(self, who: Who, *, by: str = "") -> None:
        """Forget all failures of an account, so that nobody waits for it.  Raises `UnknownAccount`."""
        with self._store.writing() as db:
            account = self._read(db, who)
            db.execute("DELETE FROM throttles WHERE account = ?", (account.id,))
        self._tell("unlock", account.name, by=by)

    def unlock_source(self, source: str, *, by: str = "") -> bool:
        """Forget all failures of the source that an address is counted as; say whether there were some."""
        address = address_in(source)
        place = self._throttle.place_of(address)
        with self._store.writing() as db:
            found = db.execute("DELETE FROM throttles WHERE source = ?", (place,)).rowcount > 0
        self._tell("unlock source", "", by=by, detail=place)
        return found


def _name_of(account: Account | None) -> str:
    return "" if account is None else account.name


def address_in(source: str) -> str:
    """Return a normalised address, or nothing for none.  Raises `Misuse`."""
    if not source:
        return ""
    try:
        return normalise_ip(source)
    except InvalidAddress:
        raise Misuse("expected the source of a login as an IP address") from None
