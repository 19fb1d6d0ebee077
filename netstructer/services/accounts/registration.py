"""Registration: how strangers come to accounts.  Floor: SERVICES.  Law: closed, unless it was opened.

    closed        nobody makes an account for himself
    invitation    who has a code, which is good once
    approval      everybody, and waits until an admin has approved
    open          everybody

An invitation is 125 random bits, written as five groups of five; the store keeps its SHA-256 alone.  It gives the roles
that it was made with, and lets in without approval.  Each registration, whatever becomes of it, is counted for its
source as a failed login is (throttling.py), apart from those: four are free, and then it waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from netstructer.errors import LimitReached, LoginFailed, Misuse, RegistrationRefused, UnknownAccount
from netstructer.services.accounts.account import Account
from netstructer.services.accounts.book import check_reason
from netstructer.services.accounts.logins import Logins, address_in
from netstructer.services.password_policy import random_code, tidy_code
from netstructer.services.passwords import HiddenPassword
from netstructer.services.roles import CLIENT, check_role
from netstructer.services.usernames import fold_name

__all__ = ["REGISTRATIONS", "Invitation", "Registration", "RegistrationPolicy"]

RegistrationPolicy = Literal["closed", "invitation", "approval", "open"]
REGISTRATIONS: tuple[RegistrationPolicy, ...] = ("closed", "invitation", "approval", "open")

INVITATION_SECONDS = 7 * 86_400.0
"""How long an invitation is good unless it is said otherwise: it is read within a week, or lost."""
MOST_INVITATIONS = 10_000
"""Invitations that are out at once."""
MOST_WAITING = 1024
"""Accounts that wait for approval: strangers make them, and people look through them."""
_CODE_CHARACTERS = 64
"""Of what is looked at as a code: 29, and what people add to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An invitation that is out, without its code; times are seconds since 1970."""

    number: int
    roles: frozenset[str]
    maker: str
    made: float
    until: float


class Registration(Logins):
    """Accounts that people make for themselves."""

    _registration: RegistrationPolicy

    @property
    def registration(self) -> RegistrationPolicy:
        """Who may make an account for himself; may be set while others log in."""
        return self._registration

    @registration.setter
    def registration(self, policy: RegistrationPolicy) -> None:
        if policy not in REGISTRATIONS:
            raise Misuse(f"expected one of {', '.join(REGISTRATIONS)} for who may register")
        self._registration = policy

    def register(
        self, name: str, password: str | HiddenPassword, source: str = "", *, invitation: str | None = None
    ) -> Account:
        """Make an account for whoever asks, with the role `client`; return it, active or waiting for approval.

        Raises `RegistrationRefused` where that is not wanted, or for an invitation that is not, or no more, good;
        `LoginFailed` where the source has to wait (`retry_seconds`); `LimitReached` where too many wait for approval;
        and what `create` raises.  That a name is taken is told, as it has to be.
        """
        hidden = HiddenPassword.of(password)
        digest = None if invitation is None else _digest_of(invitation)
        del password, invitation
        address = address_in(source)
        policy = self._registration
        if policy == "closed" or (policy == "invitation" and digest is None):
            raise RegistrationRefused(
                "nobody registers here" + ("" if policy == "closed" else " without an invitation")
            )
        self._count_registration(self._throttle.source_of(address))
        folded = fold_name(name)
        with self._store.reading() as db:
            if digest is not None:
                self._roles_of_invitation(db, digest)  # before anything is computed
        phc = self._hash(folded, hidden)
        with self._store.writing() as db:
            roles, status = frozenset({CLIENT}), "active"
            if digest is not None:
                roles = self._roles_of_invitation(db, digest)
                db.execute("DELETE FROM invitations WHERE digest = ?", (digest,))
            elif policy == "approval":
                status = "waiting"
                found = db.execute("SELECT count(*) FROM accounts WHERE status = 'waiting'").fetchone()[0]
                if found >= MOST_WAITING:
                    raise LimitReached("too many wait for approval already", limit=MOST_WAITING, found=found + 1)
            made = self._insert(db, name, phc, roles=roles, status=status)  # type: ignore[arg-type]  # one of two texts
        self._tell("register", made.name, by=made.name, source=address, detail=made.status)
        return made

    def enter(self, name: str, password: str, source: str = "") -> Account:
        """Log in, or, where registration is open and nobody has the name, register: the first login makes the account.

        Raises what `login` and `register` raise.
        """
        hidden = HiddenPassword.of(password)
        del password
        if self._registration == "open" and not self._is_taken(name):
            return self.register(name, hidden, source)
        return self.login(name, hidden, source)

    def _is_taken(self, name: str) -> bool:
        folded = fold_name(name)
        with self._store.reading() as db:
            return self._find(db, folded) is not None

    def _count_registration(self, source: str) -> None:
        if not source:
            return
        with self._store.writing(flush=False) as db:
            count = self._throttle.of_source(db, source, what="registration")
            if not count.wait_seconds:
                self._throttle.fail(db, count)
        if count.wait_seconds:
            raise LoginFailed("too many accounts were made from this source: wait", retry_seconds=count.wait_seconds)

    # --- invitations --------------------------------------------------------------------------------------------------

    def invite(self, *, roles: Iterable[str] = (CLIENT,), seconds: float = INVITATION_SECONDS, maker: str = "") -> str:
        """Make an invitation for one account, and return its code, this once.

        Raises `UnknownAccount` for a role that is not there, and `LimitReached` beyond 10,000 that are out.
        """
        if isinstance(roles, str) or not 0 < seconds < float("inf"):
            raise Misuse("expected several roles, and seconds above zero")
        wanted, now = sorted({check_role(role) for role in roles}), self._wall()
        check_reason(maker)
        code = random_code(groups=5, draw=self._draw)
        with self._store.writing() as db:
            for role in wanted:
                if db.execute("SELECT 1 FROM roles WHERE name = ?", (role,)).fetchone() is None:
                    raise UnknownAccount(f"there is no role {role}")
            db.execute("DELETE FROM invitations WHERE until <= ?", (now,))
            found = db.execute("SELECT count(*) FROM invitations").fetchone()[0]
            if found >= MOST_INVITATIONS:
                raise LimitReached("too many invitations are out", limit=MOST_INVITATIONS, found=found + 1)
            db.execute(
                "INSERT INTO invitations (digest, roles, made, until, maker) VALUES (?, ?, ?, ?, ?)",
                (_digest_of(code), ",".join(wanted), now, now + seconds, maker),
            )
        self._tell("invite", "", by=maker, detail=" ".join(wanted))
        return code

    def invitations(self) -> tuple[Invitation, ...]:
        """Return the invitations that are out and good, oldest first."""
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT number, roles, maker, made, until FROM invitations WHERE until > ? ORDER BY number",
                (self._wall(),),
            ).fetchall()
        return tuple(
            Invitation(number=number, roles=_roles_in(roles), maker=maker, made=made, until=until)
            for number, roles, maker, made, until in rows
        )

    def withdraw(self, number: int, *, by: str = "") -> bool:
        """Make an invitation good no more; say whether it was out."""
        with self._store.writing() as db:
            found = db.execute("DELETE FROM invitations WHERE number = ?", (number,)).rowcount > 0
        self._tell("withdraw invitation", "", by=by, detail=str(number))
        return found

    def _roles_of_invitation(self, db: sqlite3.Connection, digest: bytes) -> frozenset[str]:
        found = db.execute("SELECT roles, until FROM invitations WHERE digest = ?", (digest,)).fetchone()
        if found is None or found[1] <= self._wall():
            raise RegistrationRefused("this invitation is not good: it was used, has ended, or never was one")
        return _roles_in(found[0])


def _digest_of(code: str) -> bytes:
    """Return what an invitation is found by; of what can be none, what finds none."""
    if not isinstance(code, str) or len(code) > _CODE_CHARACTERS:
        return b""
    return sha256(tidy_code(code).encode("utf-8", "surrogatepass")).digest()


def _roles_in(joined: str) -> frozenset[str]:
    return frozenset(role for role in joined.split(",") if role)
