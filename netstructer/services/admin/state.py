"""How the server is: status, usage, diagnostics, and what was done of late.  Floor: SERVICES.  Law: it only looks."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from netstructer.errors import NetstructerError
from netstructer.services import ready
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import Whole
from netstructer.services.admin.meter import descriptors
from netstructer.services.admin.office import RECENT_DEEDS
from netstructer.services.admin.verbs import Facts, verb

__all__ = ["StateVerbs"]

CONNECT_SECONDS = 3.0
"""How long the server's own door may take to answer: on the same machine it takes less than a millisecond."""
FREE_BYTES = 256 << 20
"""Free disk below which diagnostics warn: a backup and a burst of spools fit."""


class StateVerbs(Desk):
    """What may be asked of the server itself."""

    @verb("status")
    def status(self) -> Facts:
        """Say how the server is: since when, how many links, how much is moved, the last error, the last login."""
        office, server, links = self._office, self._server, self._links()
        uptime = self._uptime()
        facts: Facts = {
            "status": self._state(),
            "reason": office.maintenance or "",
            "version": _version(),
            "hostname": platform.node(),
            "address": str(server.address),
            "identity": getattr(server.identity, "fingerprint", None),
            "started": office.wall() - uptime,
            "uptime_seconds": uptime,
            "links": len(links),
            "suspended": sum(link.suspended for link in links),
            "groups": len(server.groups),
            "bans": len(server.bans),
        }
        if office.accounts is not None:
            latest = office.accounts.latest_login()
            facts |= {"accounts": len(office.accounts)}
            facts |= {"last_login": None if latest is None else latest.last_login}
            facts |= {"last_login_of": None if latest is None else latest.display}
        last = office.errors.last
        facts |= {"errors": office.errors.count, "last_error": None if last is None else last["text"]}
        facts |= {"last_error_at": None if last is None else last["at"]}
        facts |= {"admin_actions": office.deeds, "refused": office.refused}
        return facts | self._measured(links)

    @verb("uptime")
    def uptime(self) -> Facts:
        """Say since when the server runs."""
        uptime = self._uptime()
        return {"started": self._office.wall() - uptime, "uptime_seconds": uptime}

    @verb("usage")
    def usage(self) -> Facts:
        """Say what the server costs and moves: processor, memory, descriptors, threads, bytes in a second."""
        links = self._links()
        moved = self._office.meter.moved(links)
        return self._measured(links) | {"sent_bytes": moved.sent, "received_bytes": moved.received}

    @verb("details")
    def details(self) -> Facts:
        """Say where the server is, and who is linked to it."""
        details = self._server.details
        return {
            "hostname": details.hostname,
            "ip": details.host,
            "port": details.port,
            "uptime_seconds": round(details.uptime_seconds, 3),
            "clients": [str(peer) for peer in details.clients],
            "suspended": details.suspended,
        }

    @verb("strangers")
    def strangers(self) -> Facts:
        """Say how many links were accepted, and how many transports were refused, by why."""
        return asdict(self._server.stats)

    @verb("diagnostics", aliases=["doctor"])
    def diagnostics(self) -> list[Facts]:
        """Look at what the server stands on: versions, descriptors, disks, stores, clocks."""
        return [{"what": what, "state": state, "found": found} for what, state, found in self._looks()]

    @verb("network", aliases=["netcheck"])
    def network(self) -> list[Facts]:
        """Look whether the server's own door answers, and how long links take to say how they are."""
        host, port = self._server.address
        aim = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
        began = time.monotonic()
        try:
            socket.create_connection((aim, port), CONNECT_SECONDS).close()
            rows = [{"what": f"door at {aim}:{port}", "state": "ok", "seconds": round(time.monotonic() - began, 6)}]
        except OSError as error:
            rows = [{"what": f"door at {aim}:{port}", "state": error.strerror or "no answer", "seconds": None}]
        known = [link.stats.rtt_seconds for link in self._links() if not link.suspended]
        measured = sorted(seconds for seconds in known if seconds is not None)
        rows.append({"what": "links that were measured", "state": f"{len(measured)} of {len(known)}", "seconds": None})
        if measured:
            rows.append({"what": "round trip, median", "state": "ok", "seconds": measured[len(measured) // 2]})
            rows.append({"what": "round trip, longest", "state": "ok", "seconds": measured[-1]})
        return rows

    @verb("threads")
    def threads(self) -> list[Facts]:
        """List the threads of the server's process."""
        found = sorted(threading.enumerate(), key=lambda thread: thread.name)
        return [{"name": thread.name, "daemon": thread.daemon, "number": thread.native_id} for thread in found]

    @verb("actions")
    def actions(self) -> list[Facts]:
        """List the actions that links may call, and what permission each takes."""
        table = self._server.actions
        rows = []
        for name in table:
            action = table.find_or_none(name)
            permission = name if name.startswith("admin.") else action.permission
            rows.append({"name": name, "permission": permission or "", "streams": action.streams})
        return rows

    @verb("groups")
    def groups(self) -> list[Facts]:
        """List the groups of links, and how many are in each."""
        groups = self._server.groups
        return [{"group": name, "links": groups.count(name)} for name in groups.names()]

    @verb("history")
    def history(self, lines: Annotated[int, Whole("how many", 1, RECENT_DEEDS)] = 20) -> list[Facts]:
        """Show what administrators did of late, the latest last; the audit has all of it."""
        return self._office.recent(lines)

    # --- how it is found out ----------------------------------------------------------------------------------------

    def _state(self) -> str:
        if self._office.leaving:
            return "leaving"
        return "running" if self._office.maintenance is None else "maintenance"

    def _uptime(self) -> float:
        return round(float(self._server.details.uptime_seconds), 3)

    def _measured(self, links: tuple[object, ...]) -> Facts:
        found = {"descriptors": descriptors(), "threads": threading.active_count()}
        return self._office.meter.rates(links) | ready.usage() | found

    def _looks(self) -> Iterator[tuple[str, str, str]]:
        yield "netstructer", "ok", _version()
        yield "python", "ok", f"{platform.python_version()}, {platform.platform(terse=True)}"
        yield "openssl", "ok", ssl.OPENSSL_VERSION
        yield "sqlite", "ok", sqlite3.sqlite_version
        yield "descriptors", *_look_at_descriptors()
        for what, place in (("working directory", os.getcwd()), ("backups", self._office.backups)):
            if place is not None:
                yield what, *_look_at_disk(place)
        for name, store in self._office.stores.items():
            yield f"store {name}", *_look_at_store(store)
        dropped = self._server.observers.dropped
        yield "observers", "ok" if not dropped else "warning", f"{dropped} happenings dropped"
        lost = getattr(self._office.logs, "lost", 0)
        yield "logs", "ok" if not lost else "warning", f"{lost} lines lost"


def _look_at_descriptors() -> tuple[str, str]:
    used = descriptors()
    if used is None or sys.platform == "win32":
        return "ok", "not told by this system"
    import resource  # there is none on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return "ok", f"{used} of any number"
    return "ok" if used < soft * 9 // 10 else "warning", f"{used} of {soft}"


def _look_at_disk(place: str) -> tuple[str, str]:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return "warning", error.strerror or "cannot be read"
    return "ok" if free >= FREE_BYTES else "warning", f"{free >> 20} MiB free"


def _look_at_store(store: object) -> tuple[str, str]:
    check = getattr(store, "check", None)
    if check is None:
        return "ok", "not looked through"
    try:
        check()
    except NetstructerError as error:
        return "warning", str(error)
    return "ok", "sound"


def _version() -> str:
    try:
        return version("netstructer")
    except PackageNotFoundError:  # run from a directory of sources
        return "unknown"
