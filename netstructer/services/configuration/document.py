"""A file of options as it stands: TOML or JSON, and in which line each key is.  Floor: SERVICES.

Law: bounded before it is parsed, and what is wrong with it names the line.

Whoever starts the server wrote the file, but what is read here may come from anywhere, and the parsers of the standard
library have their limits: `json` recurses in C, and `tomllib` takes time that grows with the square of the parts of a
dotted key (`a.a.a…`: 25 seconds for one of 64 KiB).  So the length of the file, that of its lines and how deep it is
are looked at first.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from typing import Any, NamedTuple, NoReturn

from netstructer.services.configuration.lines import MOST_DEPTH, Lines, depth_of_json, find_json, find_toml
from netstructer.services.configuration.origin import Origin, Problem, Strength, refusal

__all__ = ["Document", "parse_document", "read_document"]

MOST_FILE_BYTES = 128 << 10
"""Bytes of a file: ten times what all options take with their explanations; parsed in a second at the worst."""
MOST_LINE_CHARACTERS = 2048
"""Characters of a line of TOML: a path or forty networks; a dotted key of as many parts as fit takes 20 ms."""
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Document(NamedTuple):
    """What a file says: its tables, and in which lines."""

    path: str
    tables: dict[str, Any]
    lines: Lines


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a file: JSON where its name ends with `.json`, else TOML.

    Raises `OSError`, and `InvalidConfiguration` for what is neither, is too long, or is no table.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read(MOST_FILE_BYTES + 1)
    return parse_document(content, name)


def parse_document(content: bytes, name: str) -> Document:
    """Return what the content of a file says; its name decides how it is read.  Raises `InvalidConfiguration`."""
    if len(content) > MOST_FILE_BYTES:
        _refuse(name, 0, f"expected at most {MOST_FILE_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")  # editors of Windows mark a text so
    except UnicodeDecodeError as error:
        _refuse(name, content.count(b"\n", 0, error.start) + 1, "found bytes that are no UTF-8")
    return _json(text, name) if name.lower().endswith(".json") else _toml(text, name)


def _toml(text: str, name: str) -> Document:
    text = text.replace("\r\n", "\n")
    for number, content in enumerate(text.split("\n"), 1):
        if len(content) > MOST_LINE_CHARACTERS:
            _refuse(name, number, f"expected at most {MOST_LINE_CHARACTERS:,} characters in a line")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        _refuse(name, 0, "found lists in lists without end")
    except ValueError as error:
        said = str(error)
        place = _PLACE.search(said)
        line = 0 if place is None else int(place[1] or text.count("\n") + 1)
        _refuse(name, line, f"no TOML: {_told(_PLACE.sub('', said))}")
    return Document(name, tables, find_toml(text))


def _json(text: str, name: str) -> Document:
    if depth_of_json(text) > MOST_DEPTH:
        _refuse(name, 0, f"found containers in containers; expected at most {MOST_DEPTH}")
    try:
        tables = json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(name, error.lineno, f"no JSON: {_told(error.msg)}")
    except ValueError as error:  # an int of thousands of digits
        _refuse(name, 0, f"no JSON: {_told(str(error))}")
    if not isinstance(tables, dict):
        _refuse(name, 1, "expected an object of sections")
    lines = find_json(text)
    for path, line in lines.repeated:
        _refuse(name, line, f"{'.'.join(map(str, path))!r} stands here again: it was given in line {lines.of(*path)}")
    return Document(name, tables, lines)


def _told(said: str) -> str:
    """Return what a parser says, as the end of a sentence: of the file it repeats names at most."""
    return said[:1].lower() + said[1:200]


def _refuse(name: str, line: int, text: str) -> NoReturn:
    origin = Origin(strength=Strength.FILE, where=name, line=line)
    raise refusal([Problem(origin=origin, text=text)]) from None
