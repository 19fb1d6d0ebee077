"""Audited: what happens at a server, told to its audit.  Floor: SERVICES.

Law: the words are those that the reports of an audit know (audit_reports.py); what is told is waited for.

    audit = Audit("audit.db")
    accounts.observe(account_note(audit))       logins, and what is done to accounts
    server.observers.add(link_note(audit))      links that open and end
    Admin(server, note=audit.note)              what administrators do

A login that cannot be noted fails: `append` raises into it.  Links do not wait for their rows, and one that cannot be
written is in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netstructer.services.accounts import AccountEvent
from netstructer.services.audit import OK, Audit

__all__ = ["account_note", "link_note"]

_DONE = "done"
_LOGINS = {"login", "login by key"}
_LINKS = {"opened": "link.open", "ended": "link.close"}


def account_note(audit: Audit) -> Callable[[AccountEvent], None]:
    """Return what accounts tell their events to."""

    def note(event: AccountEvent) -> None:
        is_login = event.action in _LOGINS
        action = "login" if is_login else f"account.{event.action.replace(' ', '-')}"
        target = " ".join(filter(None, (event.target, event.detail)))
        actor = event.target if is_login else event.actor
        result = OK if event.result == _DONE else event.result
        audit.append(action, actor=actor, source=event.source, target=target, result=result)

    return note


def link_note(audit: Audit) -> Callable[[Any], None]:
    """Return an observer of a server's links."""

    def note(happening: Any) -> None:
        action = _LINKS.get(happening.what)
        if action is not None:
            actor, source = happening.user or "", str(happening.peer)
            audit.append(action, actor=actor, source=source, target=happening.link_id, result=happening.error or OK)

    return note
