"""Noting: what the log hears of calls that fail.  Floor: FAÇADES.  Law: a peer cannot fill a disk, nor write a line.

An action that raises is a fault of the application, so its type and the place are logged, and never its text, which may
hold what the peer sent.  But it is the peer that calls, ten thousand times a second if it likes: each source has one
such line in `Limits.log_seconds`, all of them together `Limits.log_lines`, and what was kept back is counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback

from netstructer.errors import Misuse, NetstructerError
from netstructer.limits import Limits
from netstructer.logbudget import LogBudget

__all__ = ["note"]

logger = logging.getLogger("netstructer")


class _Notes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._budget = LogBudget(Limits.DEFAULT)

    def may_log(self, host: str) -> int | None:
        """Say whether a line may be written now: None, or how many of the same peer were kept back before it."""
        with self._lock:
            return self._budget.may_log(host, time.monotonic())


_notes = _Notes()


def note(session_id: str, host: str, name: str, error: BaseException) -> None:
    """Tell the log that a call has failed."""
    level = logging.INFO if isinstance(error, NetstructerError) and not isinstance(error, Misuse) else logging.ERROR
    if not logger.isEnabledFor(level) or (kept_back := _notes.may_log(host)) is None:
        return
    more = f" ({kept_back} more of this peer's before it were not told)" if kept_back else ""
    kind = type(error).__name__
    if level == logging.INFO:
        logger.info("= link %s: the call of %r failed: %s%s", session_id, name, kind, more)
    else:
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("= link %s: the action %r raised %s%s\n%s", session_id, name, kind, more, where)


def _after_fork() -> None:
    global _notes
    _notes = _Notes()  # Whoever held the lock is not here.


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
