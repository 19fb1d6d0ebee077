"""In which line of a document a key stands.  Floor: SERVICES.  Law: it only looks; what a document says, others say.

`tomllib` and `json` give values without places, so whoever finds that a value will not do could not say where it is.
Here the same text is walked once more, for keys and lines alone: `find_toml` and `find_json` give the path of each key,
and of each table in a list, with the line on which it stands.  Both are for documents that the reader of the standard
library has taken; at anything that they do not understand they stop, and later keys have no line.

    [server]            ("server",) 1
    port = 5            ("server", "port") 2
    [[user]]            ("user",) 3, ("user", 0) 3
    name = "ada"        ("user", 0, "name") 4

A key that stands twice in an object of JSON, where the last would count and the first be forgotten, is in `repeated`.
"""

from __future__ import annotations

import bisect
import json
import re
import tomllib
from dataclasses import dataclass, field

__all__ = ["MOST_DEPTH", "Lines", "Path", "depth_of_json", "find_json", "find_toml"]

Path = tuple[str | int, ...]

MOST_DEPTH = 32
"""Containers in containers that are looked into: a configuration has three."""
_BLANK = re.compile(r"[ \t\r\n]*(?:#[^\n]*[ \t\r\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*")
_SCALAR = re.compile(r"[^\s,\]}#]+")
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_TEXT = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'(?!''))*'''", re.DOTALL)
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
"""A text that is never closed is one, too: else each of its quotes would be tried as the first of one to the end."""


@dataclass(slots=True)
class Lines:
    """Where keys stand: `at` has the first line of each, `repeated` those that stand there again."""

    at: dict[Path, int] = field(default_factory=dict)
    repeated: list[tuple[Path, int]] = field(default_factory=list)

    def of(self, *path: str | int) -> int:
        """Return the line of a key, that of what it is in where it has none, or 0."""
        while path:
            if path in self.at:
                return self.at[path]
            path = path[:-1]
        return 0

    def note(self, path: Path, line: int) -> None:
        """Take in that a key stands on a line."""
        if path in self.at:
            self.repeated.append((path, line))
        else:
            self.at[path] = line


class _Lost(Exception):
    """Something stands there that this walk does not know."""


def find_toml(text: str) -> Lines:
    """Return where the keys of a TOML document stand."""
    walk = _Toml(text)
    try:
        walk.document()
    except (_Lost, RecursionError):
        pass  # what was found so far is right
    return walk.lines


class _Toml:
    """One walk through a TOML document.  Single owner."""

    def __init__(self, text: str) -> None:
        self.lines = Lines()
        self._text = text
        self._at = 0
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._counts: dict[Path, int] = {}
        """How many tables each list of tables has so far."""

    def document(self) -> None:
        """Walk through all of it."""
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._takes("[["):
                table = self._list_of_tables()
            elif self._takes("["):
                table = self._within()
                self._expect("]")
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _list_of_tables(self) -> Path:
        line = self._line()
        path = self._within()
        self._expect("]]")
        number = self._counts[path] = self._counts.get(path, -1) + 1
        self.lines.note((*path, number), line)
        return (*path, number)

    def _within(self) -> Path:
        """Return the path that a table's name leads to: in a list of tables it is in the last one."""
        line = self._line()
        path: Path = ()
        for part in self._key():
            if path in self._counts:
                path = (*path, self._counts[path])
            path = (*path, part)
            self._note(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        key = self._key()
        self._expect("=")
        path = table
        for part in key:
            path = (*path, part)
            self._note(path, line)
        self._value(path)

    def _note(self, path: Path, line: int) -> None:
        self.lines.at.setdefault(path, line)  # a table may be named again and again; tomllib refuses what may not

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        if self._takes("["):
            self._list(path)
        elif self._takes("{"):
            self._table(path)
        elif not any(map(self._skips, (_LONG_TEXT, _LONG_LITERAL))):
            if not any(map(self._skips, (_TEXT, _LITERAL, _DATE, _SCALAR))):
                raise _Lost
            return
        else:
            # One or two quotes may stand right before the three that end it: then they are still behind us.
            quote = self._text[self._at - 1]
            for _ in range(2):
                self._takes(quote)

    def _list(self, path: Path) -> None:
        self._expect_shallow(path)
        number = 0
        while not self._takes("]"):
            self._skip(_BLANK)
            if self._takes("]"):
                return
            self.lines.at.setdefault((*path, number), self._line())
            self._value((*path, number))
            number += 1
            self._skip(_BLANK)
            if not self._takes(","):
                self._expect("]")
                return
            self._skip(_BLANK)

    def _table(self, path: Path) -> None:
        self._expect_shallow(path)
        self._skip(_BLANK)
        while not self._takes("}"):
            self._pair(path)
            self._skip(_BLANK)
            if not self._takes(","):
                self._expect("}")
                return
            self._skip(_BLANK)

    def _key(self) -> Path:
        parts: list[str | int] = []
        while True:
            self._skip(_SPACE)
            found = _KEY.match(self._text, self._at)
            if found is None:
                raise _Lost
            self._at = found.end()
            parts.append(_plain(found[0]))
            self._skip(_SPACE)
            if not self._takes("."):
                return tuple(parts)

    def _expect_shallow(self, path: Path) -> None:
        if len(path) > MOST_DEPTH:
            raise _Lost

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise _Lost

    def _takes(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _skips(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._skips(pattern)

    def _line(self) -> int:
        return bisect.bisect_right(self._starts, self._at)


def _plain(key: str) -> str:
    """Return what a key says: tomllib itself reads one that is quoted."""
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except ValueError:
        raise _Lost from None


def find_json(text: str) -> Lines:
    """Return where the keys of a JSON document stand."""
    lines, starts = Lines(), [0, *(found.end() for found in re.finditer("\n", text))]
    open_at: list[Path] = []
    """The path of each container that is open; in a list it ends with the number of the item that comes."""
    objects: list[bool] = []
    key: str | None = None
    for token in _JSON_TOKEN.finditer(text):
        word, line = token[0], bisect.bisect_right(starts, token.start())
        here: Path = () if not open_at else open_at[-1] if not objects[-1] else (*open_at[-1], key or "")
        if word in "}]":
            if not objects:
                return lines
            open_at.pop()
            objects.pop()
            continue
        if word == "," and objects:
            key = None
            if not objects[-1]:
                open_at[-1] = (*here[:-1], int(here[-1]) + 1)
            continue
        if word == ":":
            continue
        if objects and objects[-1] and key is None:
            if word[0] != '"' or len(open_at) > MOST_DEPTH:
                return lines
            key = _said(word)
            lines.note((*open_at[-1], key), line)
            continue
        if objects and not objects[-1]:
            lines.at.setdefault(here, line)
        if word in "{[":
            objects.append(word == "{")
            open_at.append(here if word == "{" else (*here, 0))
            key = None
    return lines


def _said(word: str) -> str:
    try:
        return str(json.loads(word, strict=False))
    except ValueError:
        return word


def depth_of_json(text: str) -> int:
    """Return how deep containers are in containers, before anybody recurses into them."""
    depth = deepest = 0
    for token in _JSON_TOKEN.finditer(text):
        depth += (token[0] in "{[") - (token[0] in "}]")
        deepest = max(deepest, depth)
    return deepest
