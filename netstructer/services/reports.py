"""Reports: facts in a file, for people and their programs.  Floor: SERVICES.  Law: a report never overwrites another.

    write_report({"started": ..., "port": 5000}, "reports/")              reports/report-20260725T093000Z.csv
    write_report(rows, "links.json")                                      that file, which must not be there
    write_report(row, "chat.csv", append=True)                            one header, however often it is called

It may be called from any handler, thread or process.  What the usual reports have as columns is in `ready`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import BinaryIO, Literal

from netstructer.errors import InvalidReport, Misuse
from netstructer.names import check_name
from netstructer.services.cells import Cell, Report, Row, Table, shown, table_of
from netstructer.services.formats import FORMATS, Format
from netstructer.services.printing import moment
from netstructer.services.report_files import add, write_new

__all__ = ["FormatName", "about", "format_of", "text_of", "write_report"]

FormatName = Literal["csv", "txt", "json", "md"]
MOST_OF_ONE_SECOND = 1_000
"""Reports of one name in one directory in one second: who writes more wants to append."""


def write_report(
    rows: Report | Row | Iterable[Row],
    where: str | os.PathLike[str],
    format: FormatName | None = None,
    *,
    append: bool = False,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    by: str | None = None,
    wall: Callable[[], float] = time.time,
) -> str:
    """Write a mapping, or several, or one of the `ready` reports, into a file; return its path.

    `where` is a file, or a directory, which ends in a slash or is one: in it the report is called `name`, the time, and
    a number where that is taken.  `format` is what the file's name ends in, or else `"csv"`.  `append` adds to the
    file, and makes it where it is missing.  `columns` fixes them and their order: without it all rows are held in
    memory to learn them.  `by` is who made it; the user of this process, where nothing is said.

    Raises `InvalidReport` for rows that cannot stand in a report or have other columns than the one they are added to,
    `FileExistsError` rather than overwrite, `StoreBusy` where others hold a report for too long, and `OSError`; no
    report was written then, and one that was added to is as it was.
    """
    path = os.fspath(where)
    is_directory = path.endswith(("/", os.sep)) or os.path.isdir(path)
    chosen = format or format_of(path, otherwise="csv")
    if chosen not in FORMATS:
        raise Misuse(f"expected a format: {', '.join(FORMATS)}")
    if append and is_directory:
        raise Misuse("expected a file to append to, found a directory")
    if isinstance(rows, Report):
        columns, name, rows = columns or rows.columns, name or rows.kind, rows.rows
    form, now = FORMATS[chosen], wall()
    if append:
        place = os.path.abspath(path)
        _append(rows, place, form, columns, about(now, by))
        return place
    table = table_of(rows, columns)

    def fill(file: BinaryIO) -> None:
        for piece in _pieces(table, form, about(now, by)):
            file.write(_bytes(piece))

    place = os.path.abspath(path)
    name = check_name(name or "report")
    return write_new(_names(place, name, chosen, now) if is_directory else iter([place]), fill)


def text_of(report: Report, format: FormatName, *, by: str | None = None) -> Iterator[str]:
    """Return what `write_report` would write, in pieces, as its rows come."""
    table = table_of(report.rows, report.columns)
    return _pieces(table, FORMATS[format], about(time.time(), by))


def format_of(path: str, *, otherwise: FormatName) -> FormatName:
    """Return the format that the name of a file asks for."""
    for name in ("csv", "txt", "json", "md"):
        if path.lower().endswith(f".{name}"):
            return name
    return otherwise


def about(now: float, by: str | None = None) -> dict[str, str]:
    """Return what stands above a report, where its format has room: when, by whom, where and with what it was made."""
    try:
        program = f"netstructer {version('netstructer')}"
    except PackageNotFoundError:  # run from a directory of sources
        program = "netstructer"
    return {
        "generated": moment(now, places=0),
        "by": by or _user(),
        "host": platform.node() or "unknown",
        "system": f"{platform.system()} {platform.release()}".strip() or "unknown",
        "program": program,
    }


def _append(
    rows: Row | Iterable[Row], place: str, form: Format, columns: Sequence[str] | None, said: Mapping[str, str]
) -> None:
    table = table_of(rows, columns)
    found = list(table.rows)  # nothing is written before all of them have been looked at
    tail = _bytes(form.tail)

    def compose(start: str, end: bytes) -> tuple[int, bytes]:
        if not start:
            head = _bytes(form.head(table.columns, said))
            return 0, head + _rows(form, table.columns, found, is_first=True) + tail
        order = form.columns_of(start)
        if order is None or not end.endswith(tail):
            raise InvalidReport(f"{place} is no report in this format, or has lost its end")
        if sorted(order) != sorted(table.columns):
            raise InvalidReport(f"{place} has the columns {shown(order)}, found {shown(table.columns)}")
        places = [table.columns.index(name) for name in order]
        content = _rows(form, order, [[row[at] for at in places] for row in found], is_first=end.endswith(b"[" + tail))
        broken = not tail and not end.endswith(b"\n")  # a line that somebody left without its end
        return len(tail), (b"\n" if broken else b"") + content + tail

    add(place, compose)


def _pieces(table: Table, form: Format, said: Mapping[str, str]) -> Iterator[str]:
    rows = (form.row(table.columns, cells, first=n == 0) for n, cells in enumerate(table.rows))
    return chain([form.head(table.columns, said)], rows, [form.tail])


def _rows(form: Format, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, is_first: bool) -> bytes:
    return _bytes("".join(form.row(columns, cells, first=is_first and n == 0) for n, cells in enumerate(rows)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _names(directory: str, name: str, form: str, now: float) -> Iterator[str]:
    stem = os.path.join(directory, f"{name}-{''.join(c for c in moment(now, places=0) if c.isalnum())}")
    yield f"{stem}.{form}"
    for number in range(2, MOST_OF_ONE_SECOND + 1):
        yield f"{stem}-{number}.{form}"


def _user() -> str:
    if os.name == "posix":
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container may run under a number that no user has
            return f"user {os.getuid()}"
    return os.environ.get("USERNAME") or "unknown"
