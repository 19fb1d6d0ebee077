"""Logins: a name and a password, or a key, to an account.  Floor: SERVICES.

Law: whatever is wrong, the same computation, the same error and the same text, until the password was right.

The steps of a login, each of which may end it:

1.  The name has one spelling and the password a length; else `LoginFailed`, with nothing computed, as no account can
    have such a name or such a password.  It counts for the source.
2.  A turn at the counts of the name and of the source (turns.py); one of them may say to wait (throttling.py).
3.  One computation of Argon2id: against the account's password, or, where there is none, against nobody's, with the
    parameters of some account or other, so that names cannot be told apart while parameters change.
4.  One transaction: a failure is counted for name and source alike, known or not; a success is written down if the
    account is still as it was read.  That is not flushed to the disk: a killed process loses none of it.  Then an
    audit is told.  It is not told of tries that came too early, because there can be any number of them.

*An account that is not active, with the right password*, is `AccountRefused` and told what it is (waiting, blocked,
banned) and until when: it has proved whose it is, and would only try again and again.  Why is for whoever administers.
With a wrong password it is told what everybody is told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

from netstructer.address import normalise_ip
from netstructer.errors import InvalidAddress, InvalidName, LoginFailed, Misuse, PasswordRefused
from netstructer.services.accounts.account import Account
from netstructer.services.accounts.book import Who
from netstructer.services.accounts.counts import MOST_NAMES, add_statistic
from netstructer.services.accounts.ledger import note_try
from netstructer.services.accounts.rights import Rights, refuse_unless_active
from netstructer.services.accounts.throttling import Count
from netstructer.services.accounts.turns import Turns
from netstructer.services.passwords import HiddenPassword
from netstructer.services.usernames import fold_name

__all__ = ["Logins", "address_in"]

ADDRESS_CHARACTERS = 64
"""Of an address: an IPv6 one with a zone of 24; zones may have any length otherwise, and are kept in the ledger."""
TEXT = "the name or the password was not accepted"


class Logins(Rights):
    """Who may come in."""

    _turns: Turns

    def login(self, name: str, password: str | HiddenPassword, source: str = "") -> Account:
        """Return the account of a name and a password; `source` is the address where they come from.

        Raises `LoginFailed`, the same for an unknown name, a wrong password and one that comes too early
        (`retry_seconds`); `AccountRefused` for the right password of an account that is not active; `Busy` where so
        many log in that nobody can say.  Takes a computation of Argon2id, of 18 ms and more: not for an event loop.
        """
        hidden = HiddenPassword.of(password)
        del password
        account = self._prove(name, hidden, address_in(source))
        refuse_unless_active(account)
        return account

    def change_password(self, name: str, password: str, new: str, source: str = "") -> Account:
        """Let a user who knows his password have another one, and return the account as it is then.

        All his other links have to log in again.  Raises what `login` raises, and `PasswordRefused` where the new one
        is not as the policy wants it, or is the former one.
        """
        former, wish = HiddenPassword.of(password), HiddenPassword.of(new)
        del password, new
        account = self.login(name, former, source)
        if wish.plain == former.plain:
            raise PasswordRefused("a password is wanted other than the former one", wanted=("another one",))
        phc = self._hash(account.name, wish)

        def look_again(now: Account) -> None:
            refuse_unless_active(now)
            if now.login_epoch != account.login_epoch:  # an admin was faster, who may have had a reason
                raise LoginFailed(TEXT)

        return self._set_phc(
            account, phc, must_change=False, action="change password", by=account.name, unless=look_again
        )

    def _prove(self, name: str, password: HiddenPassword, address: str) -> Account:
        """Return the account whose password it is, whatever its status; write down what became of it."""
        source = self._throttle.source_of(address)
        try:
            folded = "" if password.fault else fold_name(name)
        except InvalidName:
            folded = ""
        if not folded:
            raise LoginFailed(TEXT, retry_seconds=self._fail_source(source, address))
        with self._turns.taken(partial(self._counts_of, folded, address, source)) as counts:
            number, wait = counts[0].account, max(count.wait_seconds for count in counts)
            if wait:
                raise LoginFailed(TEXT, retry_seconds=wait)
            found = self._look_at(folded, password, counts, address)
        if isinstance(found, Account):
            result: str = "done" if found.status == "active" else found.status
            self._tell("login", found.name, by=found.name, source=address, result=result)
            return found
        name, result = ("", "unknown name") if number is None else (folded, "wrong password")
        self._tell("login", name, by="", source=address, result=result, detail=_delay_in_words(found))
        raise LoginFailed(TEXT, retry_seconds=found)

    def _counts_of(self, folded: str, address: str, source: str) -> list[Count]:
        """Return how the name and the source stand.

        The same questions for every name, and no other: who has to wait may ask as often as he likes, and would
        measure in thousands of tries what one more question takes.
        """
        with self._store.reading() as db:
            found = db.execute("SELECT id FROM accounts WHERE name = ?", (folded,)).fetchone()
            counts = [self._throttle.of_name(db, folded, None if found is None else found[0], address)]
            return [*counts, self._throttle.of_source(db, source)] if source else counts

    def _look_at(self, folded: str, password: HiddenPassword, counts: Sequence[Count], address: str) -> Account | float:
        """Compute, and write down what came of it: return the account, or how long the next try waits."""
        number = counts[0].account
        with self._store.reading() as db:
            found = db.execute("SELECT phc FROM accounts WHERE id = ?", (number,)).fetchone()
            phc = None if found is None else found[0]
            like = self._throttle.pick(db, folded) if phc is None else None
        if phc is None:
            is_right = self._passwords.verify_nobodys(password, like=like)
        else:
            is_right = self._passwords.verify(phc, password)
        if is_right and number is not None and phc is not None:
            better = self._passwords.hash(password) if self._passwords.is_outdated(phc) else None
            account = self._note_success(number, phc, counts, address, better)
            if account is not None:
                return account
        return self._note_failure(number, counts, address)

    def _note_failure(self, number: int | None, counts: Sequence[Count], address: str) -> float:
        with self._store.writing(flush=False) as db:
            if db.execute("SELECT 1 FROM accounts WHERE id = ?", (number,)).fetchone() and number is not None:
                self._note(db, number, address, succeeded=False)
            return max(self._throttle.fail(db, count) for count in counts)

    def _note_success(
        self, number: int, phc: str, counts: Sequence[Count], address: str, better: str | None
    ) -> Account | None:
        """Write a success down, and return the account; None where it is not what it was any more."""
        with self._store.writing(flush=False) as db:
            if db.execute("SELECT phc FROM accounts WHERE id = ?", (number,)).fetchone() != (phc,):
                return None  # removed, or given another password, in these milliseconds
            of_name, *of_source = counts
            failures = self._throttle.forget(db, of_name)
            for count in of_source:
                self._throttle.forgive(db, count, failures)
            if better is not None:
                db.execute("UPDATE accounts SET phc = ? WHERE id = ?", (better, number))
            (account,) = self._select(db, "a.id = ?", number)
            self._note(db, number, address, succeeded=account.status == "active")
            return self._select(db, "a.id = ?", number)[0]

    def _note(self, db: sqlite3.Connection, number: int, address: str, *, succeeded: bool) -> None:
        place = self._throttle.place_of(address)
        note_try(db, number, address, place, self._wall(), succeeded=succeeded)
        name = "logins" if succeeded else "failed logins"
        add_statistic(db, number, name, 1, most=MOST_NAMES + 2)  # an application's own keep nobody out

    def _fail_source(self, source: str, address: str) -> float:
        """Count a failure of a source alone, unless it has to wait, and return how long it waits."""
        if not source:
            return 0.0
        with self._store.reading() as db:
            count = self._throttle.of_source(db, source)
        if count.wait_seconds:
            return count.wait_seconds
        with self._store.writing(flush=False) as db:
            wait = self._throttle.fail(db, count)
        result = "no name, or no password"
        self._tell("login", "", by="", source=address, result=result, detail=_delay_in_words(wait))
        return wait

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


def _delay_in_words(seconds: float) -> str:
    return f"the next try waits {seconds:g} s" if seconds else ""


def address_in(source: str) -> str:
    """Return a normalised address, or nothing for none.  Raises `Misuse`."""
    if not source:
        return ""
    if not isinstance(source, str) or len(source) > ADDRESS_CHARACTERS:
        raise Misuse(f"expected the source of a login as an IP address of at most {ADDRESS_CHARACTERS} characters")
    try:
        return normalise_ip(source)
    except InvalidAddress:
        raise Misuse("expected the source of a login as an IP address") from None
