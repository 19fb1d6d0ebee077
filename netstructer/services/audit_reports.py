"""Reports of an audit: what its rows say about connections, users, files and the server.  Floor: SERVICES.

Law: an action is understood by its first word, and what is not understood is in no report but the whole one.

    link.open link.close link.refused …      connections        server.start server.stop server.error …   starts, status
    login logout account.add …               users              admin.… ban.… account.…                   status
    file.put file.get …                      transfers          chat.join chat.leave …                    chat

The audit has no payloads: what was said in a chat, and how many bytes a file had, is for other stores to tell.  Rows
are not verified here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from netstructer.address import parse_address
from netstructer.errors import InvalidAddress, Misuse
from netstructer.services.audit import OK
from netstructer.services.audit_chain import FIELDS, AuditRow
from netstructer.services.audit_reader import AuditReader
from netstructer.services.cells import Report, Row
from netstructer.services.ready import CHAT, STARTS, TRANSFERS, USERS

__all__ = ["AuditReports"]

MOST_USERS = 100_000
"""Names in one report of users: what a stranger types as a name is one, so the rest is counted together."""
LAST_ACTIONS = 20
"""Of administrators, in the report of the status: what fits a screen."""
CONNECTIONS = ("time", "user", "peer", "event", "result")
STATUS = (
    *("time", "status", "started", "clients", "logins", "failed_logins", "rows"),
    *("last_error", "last_login", "admin_actions"),
)
OTHERS = "(others)"
_DIRECTIONS = {"put": "in", "get": "out"}
_OF_ADMINISTRATORS = ("admin", "ban", "account")


class AuditReports:
    """The reports that an audit has: a `ReportSource`."""

    kinds: tuple[str, ...] = ("audit", "connections", "users", "transfers", "chat", "starts", "status")

    def __init__(self, audit: AuditReader) -> None:
        self._audit = audit

    def report(self, kind: str, *, since: float | None = None) -> Report:
        """Return a report of the rows since a time in seconds since 1970; rows are read as it is written.

        Raises `Misuse` for a kind that there is not.
        """
        make: dict[str, Callable[[float | None], Report]] = {
            "audit": lambda since: Report(kind, FIELDS, (row.facts() for row in self._audit.rows(since=since))),
            "connections": lambda since: self._lines(kind, CONNECTIONS, "link", _connection, since),
            "users": lambda since: Report(kind, (*USERS, "last_source", "actions"), self._users(since)),
            "transfers": lambda since: self._lines(kind, TRANSFERS, "file", _transfer, since),
            "chat": lambda since: self._lines(kind, CHAT, "chat", _said, since),
            "starts": lambda since: self._lines(kind, STARTS, "server.start", _start, since),
            "status": lambda since: Report(kind, STATUS, [self._status(since)]),
        }
        if kind not in make:
            raise Misuse(f"expected a report of an audit: {', '.join(self.kinds)}")
        return make[kind](since)

    def _lines(
        self, kind: str, columns: tuple[str, ...], action: str, line: Callable[[AuditRow], Row], since: float | None
    ) -> Report:
        return Report(kind, columns, map(line, self._audit.rows(action=action, since=since)))

    def _users(self, since: float | None) -> list[Row]:
        found: dict[str, dict[str, Any]] = {}
        for row in self._audit.rows(since=since):
            name = row.actor or (row.target if row.action == "login" else "")  # who failed to prove who he is
            if not name:
                continue
            name = name if name in found or len(found) < MOST_USERS else OTHERS
            user = found.setdefault(name, {"user": name, "logins": 0, "failed_logins": 0, "actions": 0})
            user["actions"] += 1
            if row.action == "login":
                user["logins" if row.result == OK else "failed_logins"] += 1
                if row.result == OK:
                    user.update(last_login=_time(row), last_source=row.source)
        return list(found.values())

    def _status(self, since: float | None) -> Row:
        status: dict[str, Any] = {"rows": 0, "logins": 0, "failed_logins": 0, "clients": 0}
        actions: deque[str] = deque(maxlen=LAST_ACTIONS)
        for row in self._audit.rows(since=since):
            status["rows"] += 1
            status["time"] = _time(row)
            _note(status, row)
            if row.action.partition(".")[0] in _OF_ADMINISTRATORS:
                actions.append(f"{_time(row)} {row.actor} {row.action} {row.target}: {row.result}")
        return {**status, "admin_actions": list(actions)}


def _note(status: dict[str, Any], row: AuditRow) -> None:
    """Take from a row what it says about the server."""
    if row.action == "server.start":
        status.update(status="running", started=_time(row), clients=0)
    elif row.action == "server.stop":
        status.update(status="stopped", clients=0)
    elif row.action == "server.error":
        status["last_error"] = f"{_time(row)} {row.target}: {row.result}"
    elif row.action == "link.open":
        status["clients"] += 1
    elif row.action == "link.close":
        status["clients"] = max(0, status["clients"] - 1)
    elif row.action == "login" and row.result == OK:
        status.update(logins=status["logins"] + 1, last_login=f"{_time(row)} {row.actor}")
    elif row.action == "login":
        status["failed_logins"] += 1


def _connection(row: AuditRow) -> Row:
    return {"time": _time(row), "user": row.actor, "peer": row.source, "event": _word(row), "result": row.result}


def _transfer(row: AuditRow) -> Row:
    word = _word(row)
    return {
        "time": _time(row),
        "user": row.actor,
        "peer": row.source,
        "direction": _DIRECTIONS.get(word, word),
        "name": row.target,
        "result": row.result,
    }


def _said(row: AuditRow) -> Row:
    return {"timestamp": _time(row), "client": row.actor, "message": f"({_word(row)} {row.target})"}


def _start(row: AuditRow) -> Row:
    try:
        place = parse_address(row.target)
    except InvalidAddress:
        return {"started": _time(row), "ip": row.target}
    return {"started": _time(row), "ip": place.host, "port": place.port}


def _word(row: AuditRow) -> str:
    return row.action.partition(".")[2]


def _time(row: AuditRow) -> object:
    return row.facts()["time"]
