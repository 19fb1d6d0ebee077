"""Reports of a store of accounts: who has one, and what is counted about each.  Floor: SERVICES.

Law: no password, no hash, no key; what an application counts is in it under its own name.
"""

from __future__ import annotations

from netstructer.errors import Misuse
from netstructer.services import ready
from netstructer.services.accounts import Account, Accounts
from netstructer.services.cells import Report

__all__ = ["AccountReports"]

_LOGINS, _FAILED = "logins", "failed logins"
"""What accounts count by themselves."""


class AccountReports:
    """The reports that accounts have: a `ReportSource`."""

    kinds: tuple[str, ...] = ("users",)

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def report(self, kind: str, *, since: float | None = None) -> Report:
        """Return a row for each account; with `since`, of those that were made or used since then.

        Raises `Misuse` for a kind that there is not.
        """
        if kind not in self.kinds:
            raise Misuse(f"expected a report of accounts: {', '.join(self.kinds)}")
        found = self._accounts.list()
        chosen = [one for one in found if since is None or max(one.created, one.last_login or 0.0) >= since]
        counted = self._accounts.all_statistics()
        return ready.users([_row_of(one, counted.get(one.name, {})) for one in chosen])


def _row_of(account: Account, counted: dict[str, int]) -> dict[str, object]:
    others = {name: count for name, count in counted.items() if name not in (_LOGINS, _FAILED)}
    return {
        **others,
        "user": account.name,
        "status": account.status,
        "roles": sorted(account.roles),
        "created": account.created,
        "last_login": account.last_login,
        "logins": counted.get(_LOGINS, 0),
        "failed_logins": counted.get(_FAILED, 0),
    }
