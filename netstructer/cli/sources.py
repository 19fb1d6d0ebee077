"""Sources: which stores `netstructer report` can read, and how each is opened.  Floor: ROOF.

Law: a store is known by the name that stands in it, never by that of its file, and is never made.

What reads a store is imported when one is opened: every other command would wait for it, too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netstructer.errors import Misuse, StoreDamaged

if TYPE_CHECKING:
    from netstructer.services.ready import ReportSource

__all__ = ["OPENERS", "source_at"]


@contextmanager
def _audit_at(path: str) -> Iterator[ReportSource]:
    from netstructer.services.audit_reader import AuditReader
    from netstructer.services.audit_reports import AuditReports

    with AuditReader(path) as audit:
        yield AuditReports(audit)


@contextmanager
def _chat_at(path: str) -> Iterator[ReportSource]:
    from netstructer.services.chat import HistoryReader

    with HistoryReader(path) as history:
        yield history


@contextmanager
def _accounts_at(path: str) -> Iterator[ReportSource]:
    from netstructer.services.account_reports import AccountReports
    from netstructer.services.accounts import Accounts

    with Accounts(path) as accounts:
        yield AccountReports(accounts)


OPENERS: dict[str, Callable[[str], AbstractContextManager[ReportSource]]] = {
    "audit": _audit_at,
    "accounts": _accounts_at,
    "chat": _chat_at,
}
"""By the name of the store: what opens it for as long as it is read.  A further kind of store is a further row."""


def source_at(path: str) -> AbstractContextManager[ReportSource]:
    """Return what opens the store in a file.

    Raises `FileNotFoundError`, `StoreDamaged` for what is no store, `Misuse` for one that has no reports.
    """
    name = _name_in(path)
    if name not in OPENERS:
        raise Misuse(f"{path} is the store of something that has no reports; expected one of: {', '.join(OPENERS)}")
    return OPENERS[name](path)


def _name_in(path: str) -> str:
    os.stat(path)
    where = Path(os.path.abspath(path)).as_uri() + "?mode=rw"
    try:
        with closing(sqlite3.connect(where, uri=True)) as db:
            return str(db.execute("SELECT name FROM netstructer_store WHERE one = 1").fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise StoreDamaged(f"{path} is no store of netstructer's") from error
