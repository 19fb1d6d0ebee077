"""An account as it was at one moment, and what happens to one.  Floor: SERVICES.  Law: no password, no hash in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netstructer.errors import NotPermitted
from netstructer.services.roles import ADMIN, allows

__all__ = ["STATUSES", "Account", "AccountEvent", "Status"]

Status = Literal["active", "waiting", "rejected", "blocked", "banned"]
STATUSES: tuple[Status, ...] = ("active", "waiting", "rejected", "blocked", "banned")
"""`active` opens; `waiting` for approval, and `rejected` then; `blocked` for now, as for an unpaid bill, and `banned`
for what was done.  The last two may end by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as it was read.  `recheck` tells whether it still is; times are seconds since 1970."""

    id: int
    """Drawn by chance, and never another account's."""
    name: str
    """What it is found by: folded."""
    display: str
    """The name as it was written."""
    status: Status
    reason: str
    """Why it has that status: for whoever administers, never for the user."""
    until: float | None
    """When it is active again; None without an end."""
    roles: frozenset[str]
    permissions: frozenset[str]
    """All that its roles and its own permissions grant, as patterns (roles.py)."""
    own_permissions: frozenset[str]
    """What it was granted beside its roles."""
    epoch: int
    """Rises with each change of its password, roles, permissions or status."""
    login_epoch: int
    """The epoch before which nobody's login counts any more: its password was changed."""
    has_password: bool
    must_change: bool
    """Whether its password was made by chance, for one login."""
    created: float
    last_login: float | None
    last_address: str
    """From where it logged in last."""

    @property
    def is_admin(self) -> bool:
        """Whether it has the role `admin`."""
        return ADMIN in self.roles

    def allows(self, permission: str) -> bool:
        """Say whether it has a permission: never, unless it is active."""
        return self.status == "active" and allows(self.permissions, permission)

    def require(self, permission: str) -> None:
        """Raise `NotPermitted` unless it has a permission."""
        if not self.allows(permission):
            raise NotPermitted(f"expected the permission {permission!r}", permission=permission)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """One thing that was done to an account, or was tried: for an audit.  Told when it is on the disk."""

    action: str
    """What was done: "login", "create", "status", "grant" …"""
    target: str
    """The name of the account; empty where there is none of that name, which may have been a password."""
    actor: str
    """Who did it, as the caller said."""
    source: str
    """From which address; empty where none was told."""
    result: str
    """"done", or why not: "wrong password", "unknown name", "banned" …"""
    detail: str = ""
    """What there is to it: the role, the status, the name of a quota, how long the next try waits."""
