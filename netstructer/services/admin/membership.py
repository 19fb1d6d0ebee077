"""Roles, keys that open accounts, invitations; and accounts as lines of JSON.  Floor: SERVICES.

Law: what is written out holds no password and no hash of one, so what is read in makes accounts that have none: each is
given one by `users.reset`, or a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Any, NamedTuple

from netstructer.errors import AccountExists, Misuse, NetstructerError
from netstructer.services.accounts import STATUSES, Quota, Status
from netstructer.services.accounts.registration import INVITATION_SECONDS
from netstructer.services.admin.kinds import Choice, Duration, Rows, Text, Texts, Whole
from netstructer.services.admin.users import AccountName, RoleName, UserVerbs
from netstructer.services.admin.verbs import Facts, verb
from netstructer.services.roles import CLIENT

__all__ = ["MembershipVerbs"]

FIELDS = {"user", "status", "reason", "until", "roles", "permissions", "created", "last_login", "quotas", "statistics"}
"""What a line says of an account; `user` alone has to be there."""


class MembershipVerbs(UserVerbs):
    """Who may become what."""

    @verb("roles.list")
    def list_roles(self) -> list[Facts]:
        """List the roles, what each grants, and how many accounts have it."""
        counts: dict[str, int] = {}
        for account in self._accounts.list():
            for role in account.roles:
                counts[role] = counts.get(role, 0) + 1
        roles = self._accounts.roles()
        return [
            {"role": name, "accounts": counts.get(name, 0), "permissions": sorted(roles[name])}
            for name in sorted(roles)
        ]

    @verb("roles.define")
    def define_role(
        self,
        name: RoleName,
        permissions: Annotated[list[str], Texts("what it grants: admin.users.list, or admin.users.* for all", 300)],
    ) -> Facts:
        """Make a role, or let one that is there grant something else."""
        self._require_reach([*permissions, *self._accounts.roles().get(name, ())])
        roles = self._accounts.define_role(name, permissions, by=self._actor)
        return {"role": name, "permissions": sorted(roles[name])}

    @verb("roles.remove")
    def remove_role(self, name: RoleName) -> Facts:
        """Remove a role, from all who have it too."""
        self._require_roles([name])
        self._accounts.remove_role(name, by=self._actor)
        return {"removed": name}

    # --- keys -------------------------------------------------------------------------------------------------------

    @verb("users.bind")
    def bind_key(
        self,
        name: AccountName,
        by: Annotated[str, Choice("by what", ("key", "user"))],
        whom: Annotated[str, Text("the fingerprint of a key, or a user of the key ring", 256)],
    ) -> Facts:
        """Let a key, or all keys of a user of the key ring, open an account without a password."""
        account = self._account(name)
        self._accounts.bind(account, **{by: whom}, by=self._actor)
        return {"user": account.display, "keys": [" ".join(pair) for pair in self._accounts.bound(account)]}

    @verb("users.unbind")
    def unbind_key(
        self,
        name: AccountName,
        by: Annotated[str, Choice("by what", ("key", "user"))],
        whom: Annotated[str, Text("the fingerprint of a key, or a user of the key ring", 256)],
    ) -> Facts:
        """Let a key, or a user of the key ring, open an account no more; who is there by it has to come again."""
        account = self._account(name)
        if (by, whom) not in self._accounts.bound(account):
            raise Misuse(f"this {by} does not open that account: users show NAME tells what does")
        self._accounts.unbind(**{by: whom}, by=self._actor)
        return {"user": account.display, "keys": [" ".join(pair) for pair in self._accounts.bound(account)]}

    # --- invitations ------------------------------------------------------------------------------------------------

    @verb("invitations.list")
    def list_invitations(self) -> list[Facts]:
        """List the invitations that are out; their codes are kept nowhere."""
        return [
            {"number": one.number, "roles": sorted(one.roles), "maker": one.maker, "made": one.made, "until": one.until}
            for one in self._accounts.invitations()
        ]

    @verb("invitations.add", aliases=["invite"])
    def invite(
        self,
        *,
        role: Annotated[list[str] | None, Texts("a role that it gives; several may be given", 32)] = None,
        seconds: Annotated[float, Duration("for how long it is good", 1)] = INVITATION_SECONDS,
    ) -> Facts:
        """Make an invitation for one account, and show its code, this once."""
        roles = [CLIENT] if role is None else role
        self._require_roles(roles)
        return {"code": self._accounts.invite(roles=roles, seconds=seconds, maker=self._actor[:200])}

    @verb("invitations.remove")
    def withdraw(self, number: Annotated[int, Whole("its number in the list", 1)]) -> Facts:
        """Make an invitation good no more."""
        if not self._accounts.withdraw(number, by=self._actor):
            raise Misuse("there is no such invitation")
        return {"removed": number}

    # --- lines of JSON ----------------------------------------------------------------------------------------------

    @verb("users.export")
    def export_users(self) -> Iterator[Facts]:
        """Give all accounts, one by one, for a file of JSON lines: with --json; passwords are not among it."""
        accounts = self._accounts
        for account in accounts.list():
            uses = accounts.quotas(account)
            yield {
                "user": account.display,
                "status": account.status,
                "reason": account.reason,
                "until": account.until,
                "roles": sorted(account.roles),
                "permissions": sorted(account.own_permissions),
                "created": account.created,
                "last_login": account.last_login,
                "quotas": {name: [use.quota.most, use.quota.seconds] for name, use in uses.items()},
                "statistics": accounts.statistics(account),
            }

    @verb("users.import")
    def import_users(
        self, rows: Annotated[list[dict[str, Any]], Rows("accounts as users.export gives them")]
    ) -> list[Facts]:
        """Make accounts that are not there yet, without passwords, with their status, rights, quotas and statistics."""
        return [self._import(row) for row in rows]

    def _import(self, row: dict[str, Any]) -> Facts:
        name = row.get("user")
        shown = name if isinstance(name, str) else ""
        try:
            self._make(row)
        except AccountExists:
            return {"user": shown, "result": "there already"}
        except NetstructerError as error:
            return {"user": shown, "result": f"{type(error).__name__}: {error}"}
        return {"user": shown, "result": "made"}

    def _make(self, row: dict[str, Any]) -> None:
        told = _read(row)
        self._require_roles(told.roles)
        self._require_reach(told.permissions)
        accounts, now = self._accounts, self._office.wall()
        if told.until is not None and told.until <= now:
            told = told._replace(status="active", reason="", until=None)
        made = accounts.create(told.user, None, roles=told.roles, status="blocked", by=self._actor)
        for permission in told.permissions:
            accounts.allow(made, permission, by=self._actor)
        for name, quota in told.quotas.items():
            use = accounts.quotas(made).get(name)
            if use is None or use.quota != quota:
                accounts.set_quota(made, name, quota, by=self._actor)
        if told.statistics:
            accounts.increment_all(made, told.statistics)
        # Not before it is whole: an account that was half made stays blocked.
        seconds = None if told.until is None else told.until - now
        accounts.set_status(made, told.status, reason=told.reason, seconds=seconds, by=self._actor)


class _Told(NamedTuple):
    """What a row says of an account."""

    user: str
    status: Status
    reason: str
    until: float | None
    roles: list[str]
    permissions: list[str]
    quotas: dict[str, Quota]
    statistics: dict[str, int]


def _read(row: dict[str, Any]) -> _Told:
    """Return what a row says of an account.  Raises `Misuse`."""
    if set(row) - FIELDS:
        raise Misuse(f"expected the fields {', '.join(sorted(FIELDS))}, found others")
    user, status, reason = row.get("user"), row.get("status", "active"), row.get("reason", "")
    if not isinstance(user, str) or status not in STATUSES or not isinstance(reason, str):
        raise Misuse("expected the name of an account, a status, and a reason as text")
    until = row.get("until")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int | float) or not isfinite(until)):
        raise Misuse("expected until as seconds since 1970, or none")
    roles, permissions = row.get("roles", [CLIENT]), row.get("permissions", [])
    if not _are_texts(roles) or not _are_texts(permissions):
        raise Misuse("expected lists of roles and permissions")
    quotas, statistics = row.get("quotas", {}), row.get("statistics", {})
    if not isinstance(quotas, dict) or not isinstance(statistics, dict):
        raise Misuse("expected quotas and statistics by name")
    read = {name: _quota_of(found) for name, found in quotas.items()}
    return _Told(user, status, reason, until, roles, permissions, read, statistics)


def _quota_of(found: object) -> Quota:
    if not isinstance(found, list | tuple) or len(found) != 2:
        raise Misuse("expected each quota as how much, and in how many seconds or null")
    most, seconds = found
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        raise Misuse("expected the seconds of a quota as a number, or null")
    return Quota(most, seconds)


def _are_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(text, str) for text in found)
