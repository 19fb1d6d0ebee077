"""The office: what all administrators of one server share.  Floor: SERVICES.

Law: what was done is noted, whoever asked.

Each administrator has a desk of his own (desk.py), with his name on it; the office is one for each server: its stores,
its settings, what was measured, and who is told of what was done.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from netstructer.errors import Misuse
from netstructer.services.accounts import Accounts
from netstructer.services.admin.meter import Meter
from netstructer.services.admin.verbs import Facts
from netstructer.services.hall import Hall
from netstructer.services.printing import cut, one_line

__all__ = ["Admits", "Kept", "LastError", "LogBook", "Note", "Office"]

logger = logging.getLogger("netstructer")

RECENT_DEEDS = 256
"""What was done of late, kept in memory for `history`: some screens of it; an audit has all."""
REFUSALS_NOTED = 60
"""Refused commands that are noted in a minute: who may not do a thing must not be able to fill a disk by trying."""
REFUSAL_SECONDS = 60.0
"""After how long so many are noted again."""
DEED_CHARACTERS = 200
"""Of a target and a result that `history` shows; the audit has more."""
ERROR_CHARACTERS = 300
"""Of the last error that `status` shows."""

Note = Callable[[str, str, str, str, str], object]
"""`note(actor, source, action, target, result)`: who did what, from where, to whom, and what came of it ("ok")."""


Admits = Callable[[str | None, str], bool]
"""`admits(user, fingerprint)`: whether a client is let in, as `Server.admits`."""


class Kept(Protocol):
    """What can be backed up: a `Store`, `Accounts`, an `Audit`."""

    def backup(self, path: str) -> object: ...


class LogBook(Protocol):
    """The log files of a server: `LogFiles`."""

    level: str
    """What is less than this is not logged; may be set."""

    @property
    def paths(self) -> tuple[str, ...]: ...


@dataclass(slots=True, kw_only=True)
class Office:
    """What is shared.  Thread-safe."""

    hall: Hall | None
    accounts: Accounts | None
    logs: LogBook | None
    stores: Mapping[str, Kept]
    backups: str | None
    """The directory of backups."""
    note: Note | None
    wall: Callable[[], float]
    clock: Callable[[], float]
    leave: Callable[[str, float], object] | None
    supervised: bool
    greeting: str = ""
    maintenance: str | None = None
    """Why nobody but administrators is let in; None where everybody is."""
    admitted: Admits | None = None
    """What the server let in before the maintenance."""
    leaving: str = ""
    """`shutdown` or `restart`, once the server was told so."""
    meter: Meter = field(init=False)
    errors: LastError = field(init=False)
    deeds: int = field(init=False, default=0)
    refused: int = field(init=False, default=0)
    """Commands that were refused to whoever asked."""
    lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    """For whoever changes more than one thing here."""
    _recent: deque[Facts] = field(init=False)
    _noted_refusals: int = field(init=False, default=0)
    _refusals_began: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.meter = Meter(self.clock)
        self.errors = LastError(self.wall)
        self._recent = deque(maxlen=RECENT_DEEDS)

    @property
    def open_hall(self) -> Hall:
        """The hall.  Raises `Misuse` where there is no server here."""
        if self.hall is None:
            raise Misuse("there is no server here: these are accounts alone")
        return self.hall

    @property
    def server(self) -> Any:
        """The server.  Raises `Misuse` where there is none here, or none any more."""
        return self.open_hall.server

    def recent(self, most: int) -> list[Facts]:
        """Return what was done of late, the latest last."""
        with self.lock:
            return [dict(deed) for deed in list(self._recent)[-most:]]

    def record(self, actor: str, source: str, action: str, target: str, result: str) -> None:
        """Note what was done.  Raises what the audit raises: who did it must know that nobody will."""
        deed = {"at": self.wall(), "actor": actor, "source": source, "action": action}
        deed |= {"target": _shown(target), "result": _shown(result)}
        with self.lock:
            self._recent.append(deed)
            self.deeds += 1
        if self.note is not None:
            self.note(actor, source, action, target, result)

    def record_failure(self, actor: str, source: str, action: str, target: str, result: str) -> None:
        """Note what was tried, in the place of an error that is more to whoever tried than one of the audit."""
        try:
            self.record(actor, source, action, target, result)
        except Exception as error:
            logger.error("= %s of %s could not be noted: %s", action, one_line(actor), type(error).__name__)

    def record_refusal(self, actor: str, source: str, action: str) -> None:
        """Note that somebody asked for what he may not; of many such, some."""
        now = self.clock()
        with self.lock:
            self.refused += 1
            if now - self._refusals_began >= REFUSAL_SECONDS:
                self._refusals_began, self._noted_refusals = now, 0
            self._noted_refusals += 1
            is_one_too_many = self._noted_refusals > REFUSALS_NOTED
        if not is_one_too_many:
            self.record_failure(actor, source, action, "", "not permitted")


class LastError(logging.Handler):
    """Remembers the last error that the package has logged: when, and its first line."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__(logging.ERROR)
        self._wall = wall
        self.count = 0
        self.last: Facts | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record.  Raises nothing into whoever logs."""
        try:
            text = record.getMessage()
        except Exception:  # its arguments do not fit, which is its writer's fault
            text = str(record.msg)
        first = one_line(text.partition("\n")[0])
        self.last = {"at": self._wall(), "text": cut(first, ERROR_CHARACTERS)}
        self.count += 1


def _shown(text: str) -> str:
    return one_line(cut(text, DEED_CHARACTERS))
