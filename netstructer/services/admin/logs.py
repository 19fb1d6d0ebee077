"""The log files of the server: listed, looked at, cleared.  Floor: SERVICES.

Law: a file is named by its name in the log's own directory, which is looked up and never opened as it was given.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Annotated

from netstructer.errors import Misuse
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import Text, Whole
from netstructer.services.admin.tail import tail
from netstructer.services.admin.verbs import Facts, verb

__all__ = ["LogVerbs"]

MOST_LINES = 1_000
"""Lines that are shown at once: more than anybody reads, and a value of a megabyte at most."""
MOST_ROLLED = 1_000
"""Full files of one name that are looked for: as many as may be kept."""

FileName = Annotated[str, Text("the name of a log file; without, the one for everything", 255)]


class LogVerbs(Desk):
    """What may be done with logs."""

    @verb("logs.list")
    def list_logs(self) -> list[Facts]:
        """List the log files, those that are full too."""
        rows = []
        for name, path in self._log_files().items():
            for place in (path, *_rolled(path)):
                with suppress(FileNotFoundError):
                    about = os.stat(place)
                    shown = name + place[len(path) :]
                    rows.append({"log": shown, "size_bytes": about.st_size, "changed": about.st_mtime})
        return rows

    @verb("logs.view", aliases=["log"])
    def view_log(
        self,
        name: FileName = "",
        *,
        lines: Annotated[int, Whole("how many of the last lines", 1, MOST_LINES)] = 50,
    ) -> list[str]:
        """Show the last lines of a log."""
        try:
            return tail(self._log_file(name), lines)
        except OSError as error:
            raise Misuse(f"the log cannot be read: {error.strerror}") from error

    @verb("logs.clear")
    def clear_log(self, name: FileName = "") -> Facts:
        """Empty a log, and remove the full files of its name; the audit keeps who did."""
        path = self._log_file(name)
        try:
            freed = os.path.getsize(path)
            os.truncate(path, 0)  # whoever writes it appends, and goes on at its beginning
            for place in _rolled(path):
                with suppress(FileNotFoundError):
                    freed += os.path.getsize(place)
                    os.unlink(place)
        except OSError as error:
            raise Misuse(f"the log cannot be cleared: {error.strerror}") from error
        return {"log": os.path.basename(path), "freed_bytes": freed}

    def _log_files(self) -> dict[str, str]:
        if self._office.logs is None:
            raise Misuse("this server writes no log files")
        return {os.path.basename(path): path for path in self._office.logs.paths}

    def _log_file(self, name: str) -> str:
        files = self._log_files()
        if not name:
            return next(iter(files.values()))
        if name not in files:
            raise Misuse(f"there is no such log: expected {' or '.join(files)}")
        return files[name]


def _rolled(path: str) -> list[str]:
    """Return the full files of that name, the newest first: they are numbered without a gap."""
    found = []
    for number in range(1, MOST_ROLLED + 1):
        if not os.path.lexists(f"{path}.{number}"):
            break
        found.append(f"{path}.{number}")
    return found
