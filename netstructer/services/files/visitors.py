"""Visitors: whose files are asked for, and what he may do.  Floor: SERVICES.

Law: a user's directory is called by an id, never by his name: no name leads anywhere.

Who has signed in is his account; where a server has no accounts, a user is whose key was proved; where all have one
key, all are one visitor with one common directory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from netstructer.errors import InvalidName, NotPermitted, UnknownAccount, UnsafeName
from netstructer.names import check_name
from netstructer.services.accounts import Account
from netstructer.services.signin import SignIn
from netstructer.services.usernames import fold_name

__all__ = ["EVERYBODY", "RECEIVE", "SEND", "SHARE", "Visitor", "Visitors"]

SEND, RECEIVE, SHARE = "files.send", "files.receive", "files.share"
"""The permissions: to bring, remove and rename files; to take and list them; to say who else may."""
EVERYBODY = "all"
"""What stands for everybody who may take files at all."""
_COMMON = "common"


@dataclass(frozen=True, slots=True)
class Visitor:
    """One user of the files; `name` is empty where users are not told apart."""

    id: str
    """What his directory is called: letters and digits."""
    name: str
    account: Account | None = None

    def may(self, permission: str) -> bool:
        """Say whether he has a permission; without accounts everybody has all."""
        return self.account is None or self.account.allows(permission)

    def require(self, permission: str) -> None:
        """Raise `NotPermitted` where he lacks a permission."""
        if not self.may(permission):
            raise NotPermitted(f"expected the permission {permission!r}", permission=permission)


class Visitors:
    """Finds visitors, by their links and by their names.  Thread-safe."""

    def __init__(self, signin: SignIn | None) -> None:
        self.signin = signin

    def on(self, link: Any) -> Visitor:
        """Return who is on a link now.  Raises `NotPermitted` where somebody would have to sign in first."""
        if self.signin is not None:
            account = self.signin.account_of(link)
            if account is None:
                raise NotPermitted("expected somebody who has signed in", permission=RECEIVE)
            return _with_account(account)
        return Visitor(_COMMON, "") if link.user is None else _with_key(str(link.user))

    def named(self, name: str) -> Visitor:
        """Return a user by his name.  Raises `UnknownAccount`, `InvalidName`."""
        if self.signin is None:
            return _with_key(fold_name(name))
        return _with_account(self.signin.accounts.get(name))

    def known(self, name: str, number: str) -> Visitor | None:
        """Return the user of a name, if he is still the one with that id."""
        try:
            found = self.named(name)
        except (UnknownAccount, InvalidName):
            return None
        return found if found.id == number else None


def check_owner(visitor: Visitor) -> Visitor:
    """Return a visitor whose name can stand in a path, `@name`.  Raises `InvalidName`."""
    if not visitor.name:
        raise InvalidName("expected a user with a name: all who have this key share the files already")
    try:
        check_name(f"@{visitor.name}")
    except UnsafeName as error:
        raise InvalidName("expected a user whose name can be a file's: this one's files cannot be shared") from error
    if visitor.name == EVERYBODY:
        raise InvalidName(f"a user called {EVERYBODY!r} cannot share files: that name stands for everybody")
    return visitor


def _with_account(account: Account) -> Visitor:
    return Visitor(f"a{account.id & (1 << 64) - 1:016x}", account.name, account)


def _with_key(user: str) -> Visitor:
    """Return the user whose key has a name, which the server's operator wrote."""
    try:
        name = fold_name(user)
    except InvalidName:
        name = user  # he has a directory like everybody, and nobody can name him
    return Visitor("k" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32], name)
