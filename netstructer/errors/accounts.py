"""What goes wrong with accounts: at a login, and for whoever administers them.  Floor: GROUND.

What a stranger is told is in the first three: one text for all that can be wrong with a name and a password.
"""

from __future__ import annotations

from netstructer.errors.limits import LimitReached
from netstructer.errors.mismatch import LoginFailed, Mismatch
from netstructer.errors.misuse import Misuse

__all__ = [
    "AccountExists",
    "AccountRefused",
    "InvalidName",
    "LastAdmin",
    "PasswordRefused",
    "QuotaReached",
    "RegistrationRefused",
    "UnknownAccount",
]


class AccountRefused(LoginFailed):
    """Who asks has proved whose account it is, and it does not open now; `status` says why, `until` for how long
    (seconds since 1970, None without an end)."""

    status: str = ""
    until: float | None = None


class RegistrationRefused(Mismatch, PermissionError):
    """Nobody may make an account for himself here, or not without an invitation that is good."""


class AccountExists(Misuse, ValueError):
    """An account of that name, or whose name is spelled the same, is there; or a key is another account's."""


class UnknownAccount(Misuse, LookupError):
    """There is no such account, or no such role."""


class InvalidName(Misuse, ValueError):
    """What was given is no name for an account, a role, a permission, a quota or a statistic."""


class PasswordRefused(Misuse, ValueError):
    """A new password is not as the policy wants it; `wanted` says what of it is missing."""

    wanted: tuple[str, ...] = ()


class LastAdmin(Misuse, PermissionError):
    """Without this account nobody could administer the others any more."""


class QuotaReached(LimitReached):
    """A quota of an account is used up; `quota` is its name, `until` when it begins anew (None where it never does)."""

    quota: str = ""
    until: float | None = None
