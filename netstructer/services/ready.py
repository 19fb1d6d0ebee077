"""Ready reports: what the usual ones have as columns.  Floor: SERVICES.

Law: nothing is written here, and what is not known is empty.

Each takes facts as their owner has them, mappings or objects with such attributes, and returns a `Report` for
`write_report`: the columns of this module first, in this order, and then whatever else the mappings have, so that an
application's own statistics are in it.  Times are seconds since 1970 or `datetime`s, and are written in UTC.

What can report by itself (the audit does, a store of accounts may) is a `ReportSource`.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from netstructer.address import Address
from netstructer.services.cells import Report, Row
from netstructer.services.printing import moment

__all__ = [
    "CHAT",
    "CLIENTS",
    "CONNECTIONS",
    "STARTS",
    "STATUS",
    "TRANSFERS",
    "USERS",
    "ReportSource",
    "chat_history",
    "connected_clients",
    "connections",
    "server_start",
    "server_status",
    "transfers",
    "usage",
    "users",
]

CLIENTS = ("server", "clients")
CONNECTIONS = (
    *("server", "peer", "user", "link", "suspended"),
    *("messages_sent", "messages_received", "wire_sent", "wire_received", "rtt_seconds", "resumes"),
)
STARTS = ("started", "ip", "port")
CHAT = ("timestamp", "client", "message")
USERS = ("user", "status", "roles", "created", "last_login", "logins", "failed_logins")
TRANSFERS = ("time", "user", "peer", "direction", "name", "bytes", "seconds", "result")
STATUS = (
    *("time", "status", "version", "started", "uptime_seconds", "clients", "bytes_per_second", "cpu_seconds"),
    *("memory_bytes", "last_error", "last_login", "admin_actions"),
)
_TIMES = frozenset(["time", "timestamp", "started", "created", "last_login"])
"""Columns whose numbers are moments."""
_COUNTERS = frozenset(CONNECTIONS) - {"server", "peer", "user", "link", "suspended"}


class ReportSource(Protocol):
    """What can report by itself."""

    kinds: tuple[str, ...]
    """The reports that `report` has, by name."""

    def report(self, kind: str, *, since: float | None = None) -> Report: ...


def connected_clients(server: object, peers: Iterable[object]) -> Report:
    """Return one row: the server's address, and the addresses of its clients."""
    return _report("clients", CLIENTS, [{"server": _place(server), "clients": [_place(peer) for peer in peers]}])


def connections(server: object, links: Iterable[object]) -> Report:
    """Return a row for each link: the `Link`s of a server, or mappings with these columns."""
    return _report("connections", CONNECTIONS, [{**_link_facts(link), "server": _place(server)} for link in links])


def server_start(address: object, *, started: float | None = None) -> Report:
    """Return one row: when a server started, and where it listens; it started now, unless that is said."""
    ip, port = address if isinstance(address, tuple) else (address, None)
    return _report("starts", STARTS, [{"started": time.time() if started is None else started, "ip": ip, "port": port}])


def chat_history(messages: Iterable[Row]) -> Report:
    """Return a row for each message: when, who, what."""
    return _report("chat", CHAT, messages)


def users(rows: Iterable[Row]) -> Report:
    """Return a row for each user, with what is kept about each beyond these columns."""
    return _report("users", USERS, rows)


def transfers(rows: Iterable[Row]) -> Report:
    """Return a row for each file that was moved, or was to be."""
    return _report("transfers", TRANSFERS, rows)


def server_status(facts: Row) -> Report:
    """Return one row about a server as it runs; `time`, and what `usage` has, are of now unless they are given."""
    now = time.time()
    row = {"time": now, **usage(), **facts}
    started = facts.get("started")
    if isinstance(started, int | float):
        row.setdefault("uptime_seconds", round(now - started, 3))
    return _report("status", STATUS, [row])


def usage() -> dict[str, float | int | None]:
    """Return what this process has cost: seconds of processor, and bytes of memory, None where the system hides it."""
    return {"cpu_seconds": round(time.process_time(), 3), "memory_bytes": _memory_bytes()}


def _report(kind: str, columns: tuple[str, ...], rows: Iterable[Row]) -> Report:
    found = [{name: _moment(name, value) for name, value in row.items()} for row in rows]
    others = dict.fromkeys(name for row in found for name in row if name not in columns)
    return Report(kind=kind, columns=(*columns, *others), rows=found)


def _moment(name: str, value: object) -> object:
    if name not in _TIMES:
        return value
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return moment(value)
    return value


def _link_facts(link: object) -> dict[str, object]:
    if isinstance(link, Mapping):
        return dict(link)
    stats = getattr(link, "stats", None)
    counted = {name: getattr(stats, name, None) for name in _COUNTERS}
    known = {name: getattr(link, name, None) for name in ("user", "suspended")}
    return {**counted, **known, "peer": _place(getattr(link, "peer", None)), "link": _text(getattr(link, "id", None))}


def _place(place: object) -> str | None:
    """Return an address as people write it."""
    if isinstance(place, tuple) and len(place) >= 2 and isinstance(place[0], str) and isinstance(place[1], int):
        return str(Address(place[0], place[1]))
    return _text(place)


def _text(fact: object) -> str | None:
    return None if fact is None else str(fact)


def _memory_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return _peak_bytes()


def _peak_bytes() -> int | None:
    """Return the most that was held so far, which is what other systems tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
