"""Accounts that open by a key of one's own, without a password.  Floor: SERVICES.  Law: only what was bound counts.

A server's key ring knows whose key a link has proved: `link.user`, a name in the ring, and the key's fingerprint.  That
name is whoever's wrote the ring, and not yet an account's: somebody else may have registered it.  So an admin binds a
fingerprint, or a name in the ring, to an account, and a link that has proved that key is that account's.
"""

from __future__ import annotations

import sqlite3

from netstructer.errors import AccountExists, LimitReached, LoginFailed, Misuse
from netstructer.keys import Key, named_fingerprint
from netstructer.services.accounts.account import Account
from netstructer.services.accounts.book import Who
from netstructer.services.accounts.logins import TEXT, Logins, address_in
from netstructer.services.accounts.rights import refuse_unless_active

__all__ = ["KeyHolders"]

MOST_KEYS = 64
"""Keys, and names in the ring, of one account: its machines."""
RING_NAME_CHARACTERS = 256
"""Of a name in the ring: what a ban of one may have."""


class KeyHolders(Logins):
    """Accounts by their keys."""

    def bind(self, who: Who, *, key: Key | str | bytes | None = None, user: str | None = None, by: str = "") -> Account:
        """Let a key open an account: a `Key`, its fingerprint or its 8 bytes of key id; or all keys that the ring has
        under a user's name.

        Raises `AccountExists` for what is another account's, `UnknownAccount`, `Misuse`, and `LimitReached` beyond 64.
        """
        kind, name = _named(key, user)
        with self._store.writing() as db:
            account = self._read(db, who)
            found = db.execute("SELECT account FROM keys WHERE kind = ? AND name = ?", (kind, name)).fetchone()
            if found is not None and found != (account.id,):
                raise AccountExists(f"this {kind} opens another account")
            held = db.execute("SELECT count(*) FROM keys WHERE account = ?", (account.id,)).fetchone()[0]
            if found is None and held >= MOST_KEYS:
                raise LimitReached("there is no room for one more key", limit=MOST_KEYS, found=held + 1)
            db.execute("INSERT INTO keys VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (kind, name, account.id))
        self._tell("bind", account.name, by=by, detail=f"{kind} {name}")
        return account

    def unbind(self, *, key: Key | str | bytes | None = None, user: str | None = None, by: str = "") -> bool:
        """Let a key, or a user's name in the ring, open no account; say whether it did.

        Whoever is there by it has to come again.  Raises `Misuse`.
        """
        kind, name = _named(key, user)
        with self._store.writing() as db:
            found = db.execute("SELECT account FROM keys WHERE kind = ? AND name = ?", (kind, name)).fetchone()
            account = None
            if found is not None:
                account = self._select(db, "a.id = ?", found[0])[0]
                db.execute("DELETE FROM keys WHERE kind = ? AND name = ?", (kind, name))
                self._bump(db, account, login=True)
        if account is not None:
            self._tell("unbind", account.name, by=by, detail=f"{kind} {name}")
        return account is not None

    def bound(self, who: Who) -> tuple[tuple[str, str], ...]:
        """Return what opens an account, as ("key", fingerprint) and ("user", name in the ring)."""
        with self._store.reading() as db:
            number = self._number(db, who)
            rows = db.execute("SELECT kind, name FROM keys WHERE account = ? ORDER BY kind, name", (number,)).fetchall()
        return tuple((kind, name) for kind, name in rows)

    def identify(self, *, key: Key | str | bytes | None = None, user: str | None = None, source: str = "") -> Account:
        """Return the account of a link that has proved a key: by its fingerprint, or else by the ring's name for it.

        Raises `LoginFailed` where it is no account's, and `AccountRefused` for one that is not active.
        """
        address = address_in(source)
        named = ([_named(key, None)] if key is not None else []) + ([_named(None, user)] if user is not None else [])
        with self._store.reading() as db:
            known = any(self._number_of(db, pair) is not None for pair in named)
        account = self._note_key(named, address) if known else None
        if account is None:
            raise LoginFailed(TEXT)
        result = "done" if account.status == "active" else account.status
        self._tell("login by key", account.name, by=account.name, source=address, result=result)
        refuse_unless_active(account)
        return account

    def _note_key(self, named: list[tuple[str, str]], address: str) -> Account | None:
        """Write down that a key was used, and return its account; None where it is nobody's any more."""
        with self._store.writing(flush=False) as db:
            for pair in named:
                number = self._number_of(db, pair)
                if number is not None:
                    (before,) = self._select(db, "a.id = ?", number)
                    self._note(db, number, address, succeeded=before.status == "active")
                    return self._read(db, before)
        return None

    def _number_of(self, db: sqlite3.Connection, pair: tuple[str, str]) -> int | None:
        found = db.execute("SELECT account FROM keys WHERE kind = ? AND name = ?", pair).fetchone()
        return None if found is None else int(found[0])


def _named(key: Key | str | bytes | None, user: str | None) -> tuple[str, str]:
    """Return what is bound in its one spelling.  Raises `Misuse`."""
    if (key is None) == (user is None):
        raise Misuse("expected one of key= and user=")
    if user is not None:
        if not isinstance(user, str) or not 0 < len(user) <= RING_NAME_CHARACTERS:
            raise Misuse(f"expected a user's name in the ring, of at most {RING_NAME_CHARACTERS} characters")
        return "user", user
    if (fingerprint := named_fingerprint(key)) is None:
        raise Misuse("expected a key, its fingerprint, or the 8 bytes of its key id")
    return "key", fingerprint
