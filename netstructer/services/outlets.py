"""Outlets: the handlers behind log files, one for each place in a process.  Floor: SERVICES.

Law: an outlet never raises into whoever logs, and a record leaves it once.

Who wants lines in a place attaches to its outlet with settings and the names of loggers, and detaches with the same.
The settings of whoever attached last count.  While anybody wants records of a level from a logger, its level is not
above that; afterwards it is what it was, unless somebody else has set it meanwhile.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from netstructer.errors import Misuse
from netstructer.services.lines import coloured
from netstructer.services.printing import one_line
from netstructer.services.rolling import RollingFile

__all__ = ["STDERR", "Outlet", "Settings", "attach", "detach", "lower_levels", "restore_levels"]

STDERR = "<stderr>"
"""The place of what is shown on the terminal; a path is absolute, so none is called so."""
COMPLAINT_SECONDS = 60.0
"""Between two complaints about one file: a disk that is full and not full by turns would fill the terminal."""
_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Settings(NamedTuple):
    """What somebody wants of an outlet."""

    level: int
    line: Callable[[logging.LogRecord], str]
    most_bytes: int
    keep: int


class Outlet(logging.Handler):
    """Where lines go.  `lost` are those that did not get there."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self.wanted: list[Settings] = []
        """What those want who are attached; the last counts."""
        self.names: Counter[str] = Counter()
        self._seen = threading.local()

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on.  Raises `Misuse` and `OSError` where the place cannot be written to."""
        with self._alone():
            self.setLevel(settings.level)
            self._line = settings.line

    def let_go(self) -> None:
        """Let go of the place."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, unless this thread brought the same one just now: from a logger below another."""
        last = getattr(self._seen, "record", None)
        if last is not None and last() is record:
            return False
        self._seen.record = weakref.ref(record)
        return bool(super().handle(record))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


class FileOutlet(Outlet):
    """A file that rolls."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = RollingFile(path, most_bytes=0, keep=0)
        self._is_open = False
        self._owed = 0
        self._reason = ""
        self._complained = float("-inf")

    def apply(self, settings: Settings) -> None:
        """Go by these settings; a disk that is full already is no fault of whoever asks."""
        with self._alone():
            try:
                self._file.open()
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
            self._file.most_bytes, self._file.keep = settings.most_bytes, settings.keep
            self._is_open = True
            super().apply(settings)

    def let_go(self) -> None:
        with self._alone():
            self._is_open = False
            self._file.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it how many could not be written."""
        if not self._is_open:
            return  # of a thread that was on its way here when the last of those who wanted it left
        try:
            if self._owed:
                self._put(_note(f"{self._owed} lines were lost here: {self._reason}"))
                self._owed = 0
            self._put(record)
        except Exception as error:
            self._miss(error)

    def _put(self, record: logging.LogRecord) -> None:
        self._file.write(self._line(record).encode("utf-8", "backslashreplace") + b"\n")

    def _miss(self, error: Exception) -> None:
        self.lost += 1
        self._owed += 1
        self._reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            _say(one_line(f"netstructer: {self._file.path} takes no more lines: {self._reason}; they are counted"))


class Echo(Outlet):
    """The terminal, or whatever stderr is when a line comes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, in the colour of its level where that can be seen."""
        try:
            line = self._line(record)
            if not _say(coloured(line, record.levelno) if _has_colours(sys.stderr) else line):
                self.lost += 1
        except Exception:
            self.lost += 1


class _Level:
    """What is wanted of one logger's level, and what it was before."""

    def __init__(self, logger: logging.Logger) -> None:
        self.wanted: list[int] = []
        self._logger = logger
        self._before = self._set = logger.level
        self._effective = logger.getEffectiveLevel()

    def apply(self) -> None:
        if self._logger.level != self._set:
            return  # somebody else has decided since
        least = min(self.wanted, default=self._effective)
        self._set = least if least < self._effective else self._before
        self._logger.setLevel(self._set)


_lock = threading.RLock()
_outlets: dict[str, Outlet] = {}
_levels: dict[str, _Level] = {}


def attach(place: str, settings: Settings, names: Iterable[str]) -> Outlet:
    """Let what these loggers are told go to a place as well.  Raises `Misuse`, `OSError`."""
    with _lock:
        outlet = _outlets.get(place) or (Echo() if place == STDERR else FileOutlet(place))
        outlet.apply(settings)
        _outlets[place] = outlet
        outlet.wanted.append(settings)
        for name in names:
            outlet.names[name] += 1
            logging.getLogger(name).addHandler(outlet)
        return outlet


def detach(place: str, settings: Settings, names: Iterable[str]) -> None:
    """Take back what was attached with the same arguments."""
    with _lock:
        outlet = _outlets[place]
        for name in names:
            outlet.names[name] -= 1
            if not outlet.names[name]:
                logging.getLogger(name).removeHandler(outlet)
        outlet.wanted.remove(settings)
        if not outlet.wanted:
            del _outlets[place]
            outlet.let_go()
            outlet.close()
            return
        try:
            outlet.apply(outlet.wanted[-1])
        except (Misuse, OSError):
            pass  # the place has gone, and those who want lines in it see them counted


def lower_levels(names: Iterable[str], level: int) -> None:
    """Let these loggers take records from `level` on, if they do not yet."""
    with _lock:
        for name in names:
            held = _levels.setdefault(name, _Level(logging.getLogger(name)))
            held.wanted.append(level)
            held.apply()


def restore_levels(names: Iterable[str], level: int) -> None:
    """Take back what was lowered with the same arguments."""
    with _lock:
        for name in names:
            held = _levels[name]
            held.wanted.remove(level)
            held.apply()
            if not held.wanted:
                del _levels[name]


def _note(text: str) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "netstructer", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
    )


def _has_colours(stream: TextIO | None) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or stream is None:
        return False
    if os.name == "nt" and not any(name in os.environ for name in ("WT_SESSION", "ANSICON", "TERM")):
        return False  # the old console shows escape sequences as they are
    return bool(stream.isatty())


def _say(line: str) -> bool:
    """Write a line to stderr, if there is one; say whether that was done."""
    stream = sys.stderr
    if stream is None:  # as in a program without a console on Windows
        return False
    try:
        stream.write(line + "\n")
        stream.flush()
    except (OSError, ValueError):  # closed, or an encoding that has no such letter
        return False
    return True
