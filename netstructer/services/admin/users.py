"""Accounts, as administrators see them: who there is, and how each stands.  Floor: SERVICES.

Law: nobody gives, takes or touches more than he has himself.  So who may reset passwords, and no more, resets none of
an admin; what is found out that way about an account (`users.show`) is the matter of a permission alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from netstructer.actions import user_of
from netstructer.errors import LastAdmin, Misuse
from netstructer.services.accounts import Account, Quota
from netstructer.services.accounts.account import Status
from netstructer.services.admin.desk import plain
from netstructer.services.admin.kinds import (
    LISTED,
    Choice,
    Duration,
    Flag,
    HowMany,
    Secret,
    Text,
    Texts,
    Whole,
)
from netstructer.services.admin.links import LinkVerbs
from netstructer.services.admin.verbs import Facts, verb
from netstructer.services.roles import ADMIN, CLIENT

__all__ = ["AccountName", "UserVerbs"]

INACTIVE_SECONDS = 30 * 86_400.0
"""After how long without a login an account is listed as inactive: a month, holidays included."""
KINDS = ("all", "online", "active", "inactive", "banned", "blocked", "waiting", "rejected", "admins")

AccountName = Annotated[str, Text("the name of the account", 64)]
RoleName = Annotated[str, Text("the name of the role", 32)]
Why = Annotated[str, Text("why: for whoever administers, it never travels", 200)]
HowLong = Annotated[float | None, Duration("for how long; without, until somebody says otherwise", 0.001)]
After = Annotated[str, Text("only those whose names come after this one", 64)]
Permission = Annotated[str, Text("a permission, as admin.users.list, or all under a name, as admin.users.*", 300)]


class UserVerbs(LinkVerbs):
    """What may be done with accounts."""

    @verb("users.list")
    def list_users(
        self,
        which: Annotated[str, Choice("which of them", KINDS)] = "all",
        *,
        role: Annotated[str, Text("only those with this role", 32)] = "",
        after: After = "",
        limit: HowMany = LISTED,
    ) -> list[Facts]:
        """List accounts by name: all, those that are online, or by how they stand."""
        found = self._chosen(which, self._accounts.list(role=role or None))
        behind = [account for account in found if account.name > after]
        return [_facts_of(account) for account in behind[:limit]]

    @verb("users.show")
    def show_user(self, name: AccountName) -> Facts:
        """Show all that is known of an account: rights, quotas, statistics, addresses, keys."""
        accounts, account = self._accounts, self._accounts.get(name)
        uses = accounts.quotas(account)
        return _facts_of(account) | {
            "permissions": sorted(account.permissions),
            "own_permissions": sorted(account.own_permissions),
            "must_change": account.must_change,
            "has_password": account.has_password,
            "last_address": account.last_address,
            "waits_seconds": round(accounts.waits(account), 1),
            "statistics": accounts.statistics(account),
            "quotas": [_use_facts(name, use) for name, use in uses.items()],
            "addresses": [plain(asdict(row)) for row in accounts.ledger(account)],
            "keys": [" ".join(pair) for pair in accounts.bound(account)],
            "links": [link.id for link in self._links_of(account)],
        }

    @verb("users.first-admin", here_only=True)
    def first_admin(self, name: AccountName, password: Annotated[str, Secret("password")]) -> Facts:
        """Make the first admin, where there is none yet."""
        return _facts_of(self._accounts.first_admin(name, password, by=self._actor))

    @verb("users.add")
    def add_user(
        self,
        name: AccountName,
        *,
        role: Annotated[list[str] | None, Texts("a role; several may be given", 32)] = None,
        by_key: Annotated[bool, Flag("without a password: it is opened by a key that is bound to it")] = False,
    ) -> Facts:
        """Make an account with a password made by chance, which is shown this once and has to be changed."""
        roles = [CLIENT] if role is None else role
        self._require_roles(roles)
        made = self._accounts.create(name, None, roles=roles, by=self._actor)
        facts = _facts_of(made)
        return facts if by_key else facts | {"password": self._accounts.reset_password(made, by=self._actor)}

    @verb("users.remove")
    def remove_user(self, name: AccountName) -> Facts:
        """Remove an account with all that belongs to it, and close its links."""
        account = self._account(name)
        self._require_another_admin(account)
        links = self._put_out(account, "removed")
        gone = self._accounts.remove(account, by=self._actor)
        self._close(links, "")
        return _facts_of(gone)

    @verb("users.reset")
    def reset_user(self, name: AccountName) -> Facts:
        """Give an account a password made by chance, which is shown this once and has to be changed."""
        account = self._account(name)
        return {"user": account.display, "password": self._accounts.reset_password(account, by=self._actor)}

    @verb("users.unlock")
    def unlock_user(self, name: AccountName) -> Facts:
        """Forget failed logins, so that nobody waits for this account any more."""
        self._accounts.unlock(self._account(name), by=self._actor)
        return _facts_of(self._accounts.get(name))

    @verb("users.unlock-source")
    def unlock_source(self, address: Annotated[str, Text("an IP address", 64)]) -> Facts:
        """Forget failed logins from an address, so that nobody there waits any more."""
        return {"unlocked": self._accounts.unlock_source(address, by=self._actor)}

    # --- how it stands ----------------------------------------------------------------------------------------------

    @verb("users.approve")
    def approve_user(self, name: AccountName) -> Facts:
        """Let an account in that waits for approval."""
        return self._change(name, "active", wanted=("waiting", "rejected"))

    @verb("users.reject")
    def reject_user(self, name: AccountName, *, reason: Why = "") -> Facts:
        """Do not let an account in that waits for approval."""
        return self._change(name, "rejected", reason=reason, wanted=("waiting", "rejected"))

    @verb("users.ban", aliases=["ban"])
    def ban_user(self, name: AccountName, *, reason: Why = "", seconds: HowLong = None) -> Facts:
        """Ban an account, now and at its next logins, and close its links."""
        return self._change(name, "banned", reason=reason, seconds=seconds)

    @verb("users.unban", aliases=["unban"])
    def unban_user(self, name: AccountName) -> Facts:
        """Lift the ban of an account."""
        return self._change(name, "active", wanted=("banned",))

    @verb("users.block", aliases=["block"])
    def block_user(self, name: AccountName, *, reason: Why = "", seconds: HowLong = None) -> Facts:
        """Block an account for now, and close its links: nothing it did, as an unpaid bill."""
        return self._change(name, "blocked", reason=reason, seconds=seconds)

    @verb("users.unblock", aliases=["unblock"])
    def unblock_user(self, name: AccountName) -> Facts:
        """Unblock an account."""
        return self._change(name, "active", wanted=("blocked",))

    # --- what it may ------------------------------------------------------------------------------------------------

    @verb("users.promote")
    def promote_user(self, name: AccountName) -> Facts:
        """Make an admin of an account."""
        self._require_roles([ADMIN])
        return _facts_of(self._accounts.promote(name, by=self._actor))

    @verb("users.demote")
    def demote_user(self, name: AccountName) -> Facts:
        """Make no admin of an account, which keeps its other roles."""
        return _facts_of(self._accounts.demote(self._account(name), by=self._actor))

    @verb("users.grant")
    def grant_role(self, name: AccountName, role: RoleName) -> Facts:
        """Give an account a role."""
        self._require_roles([role])
        return _facts_of(self._accounts.grant(self._account(name), role, by=self._actor))

    @verb("users.revoke")
    def revoke_role(self, name: AccountName, role: RoleName) -> Facts:
        """Take a role from an account."""
        return _facts_of(self._accounts.revoke(self._account(name), role, by=self._actor))

    @verb("users.allow")
    def allow_user(self, name: AccountName, permission: Permission) -> Facts:
        """Give an account a permission of its own, beside its roles."""
        self._require_reach([permission])
        return _facts_of(self._accounts.allow(self._account(name), permission, by=self._actor))

    @verb("users.disallow")
    def disallow_user(self, name: AccountName, permission: Permission) -> Facts:
        """Take back a permission of its own; what its roles grant stays."""
        return _facts_of(self._accounts.disallow(self._account(name), permission, by=self._actor))

    @verb("users.quota")
    def set_quota(
        self,
        name: AccountName,
        quota: Annotated[str, Text("the name of the quota", 64)],
        most: Annotated[int | None, Whole("how much; without, what all have")] = None,
        *,
        seconds: Annotated[float | None, Duration("in how long; without, in all", 0.001)] = None,
    ) -> Facts:
        """Give an account a quota of its own, or take it back."""
        wanted = None if most is None else Quota(most, seconds)
        use = self._accounts.set_quota(self._account(name), quota, wanted, by=self._actor)
        return {"quota": quota, "most": None} if use is None else _use_facts(quota, use)

    @verb("users.statistics", aliases=["audit", "activity"])
    def statistics(
        self,
        name: Annotated[str, Text("whose; without, everybody's", 64)] = "",
        *,
        after: After = "",
        limit: HowMany = LISTED,
    ) -> list[Facts]:
        """Show what was counted of each account."""
        if name:
            return [{"user": self._accounts.get(name).name} | self._accounts.statistics(name)]
        behind = [(user, counted) for user, counted in self._accounts.all_statistics().items() if user > after]
        return [{"user": user} | counted for user, counted in behind[:limit]]

    # --- how --------------------------------------------------------------------------------------------------------

    def _account(self, name: str) -> Account:
        """Return an account that this administrator may touch."""
        account = self._accounts.get(name)
        self._require_reach(account.permissions)
        return account

    def _require_roles(self, roles: Iterable[str]) -> None:
        """Raise `NotPermitted` unless this administrator has all that some roles grant."""
        known = self._accounts.roles()
        self._require_reach(pattern for role in roles for pattern in known.get(role, ()))

    def _change(
        self,
        name: str,
        status: Status,
        *,
        reason: str = "",
        seconds: float | None = None,
        wanted: tuple[Status, ...] = (),
    ) -> Facts:
        """Give an account a status; close its links, where it is not active any more."""
        account = self._account(name)
        if wanted and account.status not in wanted:
            raise Misuse(f"expected an account that is {' or '.join(wanted)}, found one that is {account.status}")
        links: tuple[Any, ...] = ()
        if status != "active":
            self._require_another_admin(account)
            links = self._put_out(account, status)
        now = self._accounts.set_status(account, status, reason=reason, seconds=seconds, by=self._actor)
        self._close(links, "")
        return _facts_of(now)

    def _require_another_admin(self, account: Account) -> None:
        """Raise `LastAdmin` for the last admin that is active; the accounts do so too, when his links were told."""
        if [one.id for one in self._accounts.list(role=ADMIN, status="active")] == [account.id]:
            raise LastAdmin("this is the last admin that is active: make another one first")

    def _put_out(self, account: Account, why: str) -> tuple[Any, ...]:
        """Tell the links of an account why they will be closed, and return them.

        They are told before it is done, because whoever signs users in closes them at once.
        """
        links = self._links_of(account)
        if links:
            self._tell(links, "disconnect", f"this account {'was' if why == 'removed' else 'is'} {why}")
        return links

    def _links_of(self, account: Account) -> tuple[Any, ...]:
        """Return the links of an account, none where there is no server."""
        if self._office.hall is None:
            return ()
        return tuple(link for link in self._links() if _is_of(link, account))

    def _chosen(self, which: str, accounts: Iterable[Account]) -> list[Account]:
        if which == "online":
            here = {user_of(link) for link in self._links()}
            return [account for account in accounts if account.name in here]
        if which == "admins":
            return [account for account in accounts if account.is_admin]
        if which == "inactive":
            since = self._office.wall() - INACTIVE_SECONDS
            return [one for one in accounts if one.status == "active" and (one.last_login or one.created) < since]
        return [account for account in accounts if which in ("all", account.status)]


def _is_of(link: Any, account: Account) -> bool:
    return link.account is not None and str(link.account) == account.name


def _facts_of(account: Account) -> Facts:
    return {
        "user": account.display,
        "status": account.status,
        "reason": account.reason,
        "until": account.until,
        "roles": sorted(account.roles),
        "created": account.created,
        "last_login": account.last_login,
    }


def _use_facts(name: str, use: Any) -> Facts:
    quota = use.quota
    return {"quota": name, "most": quota.most, "seconds": quota.seconds, "used": use.used, "until": use.until}
