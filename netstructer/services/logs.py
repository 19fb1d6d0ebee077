"""Logs: log files of a server or a client, for whoever asks for them.  Floor: SERVICES.

Law: a line is in a file when the call that logged it returns; what cannot be written is counted, and never raised.

The package itself logs under one name, `netstructer`, and puts no handler there.  An application calls `log_to` once:

    with log_to("/var/log/shop", also=["shop"]):
        Server(...).serve_forever()

    server.log (or client.log)   everything of that level and above
    error.log                    errors and critical ones again, of all that log into this directory

Each file has one handler in a process, whoever asked for it how often: a second call with the same place changes the
settings, and no line is doubled.  A record that reaches a handler twice, because both `shop` and `shop.orders` were
named, is written once.  Where two calls disagree the later one counts, until it is closed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from netstructer.errors import Misuse
from netstructer.names import check_name
from netstructer.services.lines import json_line, text_line
from netstructer.services.outlets import STDERR, Outlet, Settings, attach, detach, lower_levels, restore_levels

__all__ = ["ERRORS", "LEVELS", "LogFiles", "Role", "level_of", "log_to"]

Role = Literal["server", "client"]
ERRORS = "error.log"
OURS = "netstructer"
"""The name under which all of the package logs."""
LEVELS = ("debug", "info", "warning", "error", "critical")
MOST_BYTES = 10 << 20
"""Of one file: a text that an editor still opens at once, some 80,000 lines."""
LEAST_BYTES = 4_096
KEEP = 5
MOST_KEPT = 1_000
"""Rolled files of one name: each roll renames them all."""
MOST_LOGGERS = 64
"""Names of one application."""


def log_to(
    directory: str | os.PathLike[str],
    *,
    role: Role = "server",
    file: str | None = None,
    level: str | int = "info",
    also: Iterable[str] = (),
    verbose: bool = False,
    json_lines: bool = False,
    most_bytes: int = MOST_BYTES,
    keep: int = KEEP,
) -> LogFiles:
    """Write what the package logs into files in a directory, from now until the result is closed.

    `role` names the file: `server.log` or `client.log`, or `file` does.  `level` is `"debug"`, `"info"`, `"warning"`,
    `"error"` or `"critical"`, or its number in `logging`: what is below it is not logged.  `also` are further loggers
    by name, those of the application.  `verbose` writes each line to stderr too, in colour where that is a terminal
    (`NO_COLOR` is honoured).  `json_lines` writes objects of JSON.  A file of `most_bytes` is moved to `.1`, that to
    `.2`, and so on to `keep`.

    Files are readable by their owner alone; the directory is made where it is not there (0700).  While this is open
    the loggers take records from `level` on, and then again what they took before.  Raises `Misuse` for arguments that
    cannot be right, `OSError` where the directory or a file in it cannot be made.
    """
    least = level_of(level)
    name = _file_name(role, file)
    if most_bytes < LEAST_BYTES or not 1 <= keep <= MOST_KEPT:
        raise Misuse(f"expected files of at least {LEAST_BYTES} bytes, and 1 to {MOST_KEPT} that are kept")
    names = _loggers(also)
    place = os.path.abspath(os.fspath(directory))
    os.makedirs(place, mode=0o700, exist_ok=True)
    line = json_line if json_lines else text_line
    paths = (os.path.join(place, name), os.path.join(place, ERRORS))
    settings = Settings(level=least, line=line, most_bytes=most_bytes, keep=keep)
    wanted = {paths[0]: settings, paths[1]: settings._replace(level=max(least, logging.ERROR))}
    if verbose:
        wanted[STDERR] = settings._replace(line=text_line)
    return LogFiles(paths, wanted, names, least)


class LogFiles:
    """Log files that are written to, until `close`; made by `log_to`.  `with` closes."""

    def __init__(self, paths: tuple[str, str], wanted: dict[str, Settings], names: list[str], level: int) -> None:
        self.paths = paths
        """The file for everything, and the one for errors."""
        self._names, self._level = names, level
        self._attached: list[tuple[str, Settings]] = []
        self._outlets: list[Outlet] = []
        self._lowered = False
        try:
            for place, settings in wanted.items():
                self._outlets.append(attach(place, settings, names))
                self._attached.append((place, settings))
            lower_levels(names, level)
            self._lowered = True
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> int:
        """How many lines could not be written since the files were first asked for, by a full disk say."""
        return sum(outlet.lost for outlet in self._outlets)

    @property
    def level(self) -> str:
        """What is less than this is not logged; may be set while lines come."""
        return logging.getLevelName(self._level).lower()

    @level.setter
    def level(self, level: str | int) -> None:
        least = level_of(level)
        if not self._attached or least == self._level:
            return
        for number, (place, settings) in enumerate(self._attached):
            wanted = settings._replace(level=least if place == STDERR or number == 0 else max(least, logging.ERROR))
            attach(place, wanted, self._names)
            detach(place, settings, self._names)
            self._attached[number] = place, wanted
        lower_levels(self._names, least)
        restore_levels(self._names, self._level)
        self._level = least

    def close(self) -> None:
        """Write no more, and let the loggers be as they were.  May be called twice."""
        attached, self._attached = self._attached, []
        for place, settings in attached:
            detach(place, settings, self._names)
        if self._lowered:
            self._lowered = False
            restore_levels(self._names, self._level)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LogFiles {' '.join(self.paths)}{'' if self._attached else ', closed'}>"


def level_of(level: str | int) -> int:
    """Return the number of one of the five levels, given by name or number.  Raises `Misuse`."""
    number = getattr(logging, level.upper()) if isinstance(level, str) and level.lower() in LEVELS else level
    if isinstance(number, bool) or number not in {getattr(logging, name.upper()) for name in LEVELS}:
        raise Misuse(f"expected a level: {', '.join(LEVELS)}")
    return int(number)


def _file_name(role: str, file: str | None) -> str:
    if role not in ("server", "client"):
        raise Misuse("expected role='server' or role='client'")
    name = check_name(f"{role}.log" if file is None else file)
    if name.casefold() == ERRORS:
        raise Misuse(f"expected another name than {ERRORS}, which is the file for errors")
    return name


def _loggers(also: Iterable[str]) -> list[str]:
    if isinstance(also, str):
        raise Misuse("expected the names of loggers in a list, found a text")
    names = list(dict.fromkeys([OURS, *also]))
    if not all(isinstance(name, str) and name.isprintable() for name in names) or len(names) > MOST_LOGGERS:
        raise Misuse(f"expected at most {MOST_LOGGERS} names of loggers")
    return names
