"""Formats: the four ways in which a report is written, and how its columns are read back.  Floor: SERVICES.

Law: no cell becomes anything but a cell, in whatever program the file is opened.

    csv   RFC 4180: a header, CRLF.  No room for when and by whom it was made.
    txt   `key: value`, rows between empty lines, `#` lines at the top
    json  one object, its rows one a line
    md    a table of GitHub's Markdown

*CSV.*  A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, a tab or a newline as a formula, which can send
the rest of the sheet away.  Such text gets an apostrophe in front, and so does text that is such a cell behind
apostrophes already: whoever reads the file strips one, and has what was there.  Numbers are no text, and stay.
Newlines and tabs are kept in quotes, as RFC 4180 has it; all else that cannot be printed is escaped.

*TXT* and *Markdown* are for eyes, and escape all that cannot be printed.  In Markdown each sign that could be markup
has a backslash in front, and `<` and `&` are written as entities.  JSON is in ASCII, and loses nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from netstructer.services.cells import Cell
from netstructer.services.printing import one_line

__all__ = ["FORMATS", "Format"]

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
"""What a spreadsheet may run, behind any number of apostrophes; some read the wide letters as the narrow ones."""
_GUARDED = re.compile("''*[=+\\-@\t\r\n＝＋－＠]")
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>])")
_CELL = re.compile(r"(?:[^\\|]|\\.)*")


class Format(Protocol):
    """One way to write a report.  Rows go between `head` and `tail`, in one piece or added later."""

    tail: str

    def head(self, columns: Sequence[str], about: Mapping[str, str]) -> str: ...

    def row(self, columns: Sequence[str], cells: Sequence[Cell], *, first: bool) -> str: ...

    def columns_of(self, start: str) -> list[str] | None:
        """Return the columns of a report that begins so; None where it is no report in this format."""


class _Csv:
    tail = ""

    def head(self, columns: Sequence[str], about: Mapping[str, str]) -> str:
        return _csv_line(columns)

    def row(self, columns: Sequence[str], cells: Sequence[Cell], *, first: bool) -> str:
        return _csv_line(cells)

    def columns_of(self, start: str) -> list[str] | None:
        try:
            found = next(csv.reader(io.StringIO(start, newline=""), strict=True), [])
        except csv.Error:
            return None
        return [name[1:] if _GUARDED.match(name) else name for name in found]


class _Txt:
    tail = ""

    def head(self, columns: Sequence[str], about: Mapping[str, str]) -> str:
        lines = [f"# {name}: {one_line(text)}\n" for name, text in about.items()]
        return "".join(lines) + f"# columns: {json.dumps(list(columns))}\n"

    def row(self, columns: Sequence[str], cells: Sequence[Cell], *, first: bool) -> str:
        pairs = zip(columns, cells, strict=True)
        return "\n" + "".join(
            f"{name.replace(':', chr(92) + 'x3a')}: {one_line(_text(cell))}\n" for name, cell in pairs
        )

    def columns_of(self, start: str) -> list[str] | None:
        for line in start.splitlines():
            if line.startswith("# columns: "):
                return _names(line.removeprefix("# columns: "))
            if not line.startswith("#"):
                break
        return None


class _Json:
    tail = "\n]}\n"

    def head(self, columns: Sequence[str], about: Mapping[str, str]) -> str:
        return json.dumps({**about, "columns": list(columns), "rows": []})[: -len("]}")]

    def row(self, columns: Sequence[str], cells: Sequence[Cell], *, first: bool) -> str:
        return ("\n" if first else ",\n") + json.dumps(dict(zip(columns, cells, strict=True)), allow_nan=False)

    def columns_of(self, start: str) -> list[str] | None:
        line, _, _ = start.partition("\n")
        return _names(line + "]}", "columns") if line.endswith('"rows": [') else None


class _Markdown:
    tail = ""

    def head(self, columns: Sequence[str], about: Mapping[str, str]) -> str:
        said = "".join(f"- {name}: {_marked(text)}\n" for name, text in about.items())
        return f"{said}\n{_md_line(columns)}|{'---|' * len(columns)}\n"

    def row(self, columns: Sequence[str], cells: Sequence[Cell], *, first: bool) -> str:
        return _md_line(cells)

    def columns_of(self, start: str) -> list[str] | None:
        line = next((line for line in start.split("\n") if line.startswith("| ")), None)
        if line is None or not line.endswith(" |"):
            return None
        found = _CELL.findall(line[1:-1])
        return [_unmarked(name.strip()) for name in found if name]


FORMATS: Mapping[str, Format] = {"csv": _Csv(), "txt": _Txt(), "json": _Json(), "md": _Markdown()}
"""By the end of a file's name."""


def _csv_line(cells: Sequence[Cell]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_guarded(cell) for cell in cells])
    return line.getvalue()


def _guarded(cell: Cell) -> str:
    text = _text(cell)
    if isinstance(cell, str | list):
        text = "".join(part if part in "\t\r\n" else one_line(part) for part in re.split("([\t\r\n])", text))
        if _FORMULA.match(text):
            text = "'" + text
    return text


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, list):
        return "; ".join(map(_text, cell))
    return str(cell)


def _md_line(cells: Sequence[Cell]) -> str:
    return "".join(f"| {_marked(_text(cell))} " for cell in cells) + "|\n"


def _marked(text: str) -> str:
    plain = _MARKUP.sub(r"\\\1", one_line(text))
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def _unmarked(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text.replace("&lt;", "<").replace("&amp;", "&"))


def _names(text: str, key: str | None = None) -> list[str] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if key is not None:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, list) and all(isinstance(name, str) for name in found) else None
