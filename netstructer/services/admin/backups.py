"""Backups of the stores: made, listed, put back, and made again every so often.  Floor: SERVICES.

Law: nothing outside of one directory is written, read or removed, and in it no file that has another name than these.

    accounts-20260725T093000Z.db         made because somebody asked
    accounts-20260725T093000Z-auto.db    made by a schedule, which removes its oldest
    accounts-before-the-move.db          a name of somebody's choice
    schedules.json                       what the schedules are, and when each was last due

A name begins with that of its store, so what is put back is known, and a store refuses what is none of its kind.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from netstructer import private_files
from netstructer.errors import Misuse, NetstructerError
from netstructer.names import check_name
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import Duration, Text, Whole
from netstructer.services.admin.office import Kept, Office
from netstructer.services.admin.verbs import Facts, verb

__all__ = ["BackupVerbs", "Schedules"]

logger = logging.getLogger("netstructer")

MOST_LISTED = 1_000
"""Backups that are listed: the newest of them."""
LEAST_SCHEDULE_SECONDS = 60.0
"""Between two backups of a schedule: each is a copy of all that is kept."""
KEPT = 7
"""Backups of a schedule that are kept unless it is said otherwise: a week of days."""
MOST_KEPT = 1_000
"""The most that may be said: they are looked through each time one is made."""
MOST_FILE_BYTES = 64 << 10
"""Of the file of schedules: one for each store, of which a server has a handful."""
SCHEDULES = "schedules.json"
_SUFFIX = ".db"
_AUTO = re.compile(r"-[0-9]{8}T[0-9]{6}Z-auto\.db")
_FREE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

StoreName = Annotated[str, Text("the name of the store", 64)]
BackupName = Annotated[str, Text("the name of the backup, as backups list shows it", 255)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One store's: a backup every so many seconds, of which so many are kept."""

    store: str
    seconds: float
    keep: int
    last: float
    """When it was last due, by the wall clock."""


class Schedules:
    """The schedules of one directory, in a file of it.  Used under the office's lock."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._place = os.path.join(directory, SCHEDULES)
        self.of: dict[str, Schedule] = {one.store: one for one in self._read()}

    def put(self, schedule: Schedule) -> None:
        """Keep a schedule, in the place of the store's former one.  Raises `OSError`."""
        self._write(self.of | {schedule.store: schedule})

    def drop(self, store: str) -> bool:
        """Keep a store's schedule no more; say whether there was one.  Raises `OSError`."""
        if store not in self.of:
            return False
        self._write({name: one for name, one in self.of.items() if name != store})
        return True

    def _write(self, schedules: dict[str, Schedule]) -> None:
        private_files.make_directory(self._place)
        private_files.replace(self._place, json.dumps([asdict(one) for one in schedules.values()]).encode() + b"\n")
        self.of = schedules

    def _read(self) -> list[Schedule]:
        try:
            content = private_files.read(self._place, MOST_FILE_BYTES, what="file of schedules")
        except FileNotFoundError:
            return []
        try:
            return [_schedule_of(row) for row in json.loads(content)]
        except (ValueError, TypeError, RecursionError):
            logger.warning("%s is no file of schedules: none of it counts", self._place)
            return []


class BackupVerbs(Desk):
    """What may be done with backups."""

    _schedules: Schedules | None

    @verb("backups.list")
    def list_backups(self) -> list[Facts]:
        """List the backups, the newest first."""
        rows = []
        for entry in os.scandir(self._directory()):
            store = self._store_of(entry.name)
            if store is not None and entry.is_file(follow_symlinks=False):
                about = entry.stat(follow_symlinks=False)
                rows.append({"backup": entry.name, "store": store, "size_bytes": about.st_size, "made": about.st_mtime})
        return sorted(rows, key=lambda row: (-float(str(row["made"])), str(row["backup"])))[:MOST_LISTED]

    @verb("backups.make", aliases=["backup"])
    def make_backup(
        self,
        store: StoreName,
        *,
        name: Annotated[str, Text("what to call it: letters, digits, dots and hyphens", 100)] = "",
    ) -> Facts:
        """Copy a store as it is now, while others go on working."""
        kept = self._kept(store)
        if name and not _FREE.fullmatch(name):
            raise Misuse("expected a name of letters, digits, dots, hyphens and underscores")
        named = name or _stamp(self._office.wall())
        if self._store_of(f"{store}-{named}{_SUFFIX}") != store:
            raise Misuse("expected another name: with this one it would be taken for a backup of another store")
        return _make(self._directory(), store, kept, named)

    @verb("backups.restore", aliases=["restore"])
    def restore_backup(self, name: BackupName) -> Facts:
        """Put a backup in the place of all that is in its store; users have to log in again."""
        path, store = self._backup(name)
        restore = getattr(self._kept(store), "restore", None)
        if restore is None:
            raise Misuse(f"the store {store} is only ever added to: a backup of it is not put back")
        restore(path)
        return {"restored": name, "store": store}

    @verb("backups.remove")
    def remove_backup(self, name: BackupName) -> Facts:
        """Remove a backup."""
        path, _ = self._backup(name)
        os.unlink(path)
        return {"removed": name}

    @verb("backups.schedule")
    def schedule_backups(
        self,
        store: StoreName,
        every: Annotated[float, Duration("how often", LEAST_SCHEDULE_SECONDS)],
        *,
        keep: Annotated[int, Whole("how many of them are kept", 1, MOST_KEPT)] = KEPT,
    ) -> Facts:
        """Make a backup of a store every so often, the first one now; it goes on after a new start."""
        self._kept(store)
        with self._office.lock:
            schedules = self._schedules_here()
            schedules.put(Schedule(store=store, seconds=every, keep=keep, last=self._office.wall() - every))
        return {"store": store, "every_seconds": every, "keep": keep}

    @verb("backups.schedules")
    def list_schedules(self) -> list[Facts]:
        """List the schedules."""
        with self._office.lock:
            found = list(self._schedules_here().of.values())
        return [
            {"store": one.store, "every_seconds": one.seconds, "keep": one.keep, "next": one.last + one.seconds}
            for one in found
        ]

    @verb("backups.unschedule")
    def unschedule_backups(self, store: StoreName) -> Facts:
        """Make no more backups of a store by schedule; those that are there stay."""
        with self._office.lock:
            if not self._schedules_here().drop(store):
                raise Misuse("there is no schedule for that store")
        return {"removed": store}

    # --- how --------------------------------------------------------------------------------------------------------

    def _directory(self) -> str:
        if self._office.backups is None:
            raise Misuse("this server has no directory for backups")
        os.makedirs(self._office.backups, mode=0o700, exist_ok=True)
        return self._office.backups

    def _schedules_here(self) -> Schedules:
        self._directory()
        assert self._schedules is not None
        return self._schedules

    def _kept(self, store: str) -> Kept:
        found = self._office.stores.get(store)
        if found is None:
            raise Misuse(
                f"there is no such store: expected {' or '.join(self._office.stores) or 'none, there are none'}"
            )
        return found

    def _store_of(self, name: str) -> str | None:
        """Return the store that a file of this name is a backup of, by its longest name; None where it is none."""
        fitting = [store for store in self._office.stores if name.startswith(f"{store}-") and name.endswith(_SUFFIX)]
        return max(fitting, key=len, default=None)

    def _backup(self, name: str) -> tuple[str, str]:
        """Return the path of a backup and its store.  Raises `Misuse`, `UnsafeName`."""
        store = self._store_of(check_name(name))
        path = os.path.join(self._directory(), name)
        if store is not None:
            with suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    return path, store
        raise Misuse("there is no such backup: backups list shows those that there are")


def run_schedules(office: Office, schedules: Schedules) -> None:
    """Make the backups that are due, and remove the oldest; what fails is logged, and tried when it is due again."""
    assert office.backups is not None
    now = office.wall()
    with office.lock:
        due = [one for one in schedules.of.values() if now >= one.last + one.seconds or now < one.last]
        for one in due:
            schedules.put(Schedule(store=one.store, seconds=one.seconds, keep=one.keep, last=now))
    for one in due:
        result = "ok"
        try:
            kept = office.stores.get(one.store)
            if kept is None:
                raise Misuse("there is no such store")
            _make(office.backups, one.store, kept, f"{_stamp(now)}-auto")
            _remove_oldest(office.backups, one)
        except (NetstructerError, OSError) as error:
            result = type(error).__name__
            logger.error("= the backup of %s failed: %s", one.store, result)
        office.record_failure("schedule", "", "admin.backups.make", one.store, result)


def _make(directory: str, store: str, kept: Kept, name: str) -> Facts:
    file = check_name(f"{store}-{name}{_SUFFIX}")
    path = os.path.join(directory, file)
    kept.backup(path)
    return {"backup": file, "store": store, "size_bytes": os.path.getsize(path)}


def _remove_oldest(directory: str, schedule: Schedule) -> None:
    """Remove what a schedule made beyond what it keeps: names with times in them are in their order."""
    start = schedule.store
    found = sorted(
        name for name in os.listdir(directory) if name.startswith(start) and _AUTO.fullmatch(name[len(start) :])
    )
    for name in found[: -schedule.keep]:
        os.unlink(os.path.join(directory, name))


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _schedule_of(row: Any) -> Schedule:
    one = Schedule(**row)
    if not isinstance(one.store, str) or isinstance(one.keep, bool) or not isinstance(one.keep, int):
        raise ValueError("no schedule")
    Duration("", LEAST_SCHEDULE_SECONDS).check(one.seconds)
    if not 1 <= one.keep <= MOST_KEPT or not isinstance(one.last, int | float):
        raise ValueError("no schedule")
    return one
