"""One option: what it is called, what it may be, what it is without being given, and why.  Floor: SERVICES.

Law: one table row says all that files, variables, the command line, the help and the documents say about an option.

A value is read from a document (TOML or JSON, where it has a type already) or from a text (a variable, the command
line), and is then the same value: a flag, a whole number, a number, a text, a path, one of some words, a tuple of
texts, or a range of ports as text.  What is refused is described, never the secret that it may be: a text that could be
a key is not repeated anywhere.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from netstructer.errors import Misuse
from netstructer.services.configuration.units import parse_amount, shown_amount, write_amount

__all__ = ["NAME", "Kind", "Option", "Value", "holds_secret", "parse_ports", "shown_name"]

Value = bool | int | float | str | tuple[str, ...] | None
Kind = Literal["flag", "whole", "number", "text", "path", "choice", "list", "ports"]

NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
"""What sections and options are called: so that a variable leads to one of them, and to no other."""
MOST_TEXT = 1024
"""Characters of a text: a name, an address, a pattern; a page of prose is none of them."""
MOST_PATH = 4096
"""Characters of a path: what Linux takes."""
MOST_ITEMS = 256
"""Texts of one list: networks are looked through for each newcomer."""
_SHOWN_CHARACTERS = 40
"""Of a text that is refused: enough to know it again."""
_SHOWN_NAME = 80
"""Characters of a name that nobody here has chosen: the longest variable of ours has fifty."""
_SECRET_RUN = re.compile(r"[A-Za-z0-9_\-+/=]{32}")
"""Keys and tokens are such runs (a Fernet key has 44); few words are."""
_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_SECRET_WORDS = frozenset({"key", "keys", "password", "passwords", "passphrase", "secret", "secrets", "token", "psk"})
_PLACES = frozenset({"file", "directory", "seconds", "bytes"})
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NOUNS: dict[type, str] = {list: "a list", tuple: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A row of a table of options.  Raises `Misuse` for a row that cannot be right."""

    name: str
    kind: Kind
    help: str
    """What it does and why one would change it: one or two sentences."""
    default: Value = None
    """None where nothing is set unless somebody says something."""
    unit: str = ""
    """Of a number; `bytes` and `seconds` take further ones behind it (`64 MiB`, `2 min`)."""
    least: float | None = None
    most: float | None = None
    """Of a number, both; of a list, how many texts it may have."""
    choices: tuple[str, ...] = ()
    """The words of a choice; of a path, the words that are no path."""
    example: Value = None
    """What stands in an example file where there is no default."""
    made: bool = False
    """Of a path: whether it is made where it is missing."""
    aliases: tuple[str, ...] = ()
    """What it was called by predecessors: names that stand in no section."""
    check: Callable[[Any], object] | None = None
    """Raises `Misuse` for a value of the right type that is none all the same; of a list, it is asked for each text."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or holds_secret(self.name):
            raise Misuse(f"expected the name of an option, of small letters, found {self.name!r}")
        if not self.help.strip():
            raise Misuse(f"expected a help for the option {self.name}")
        if self.kind in ("whole", "number") and (self.least is None or self.most is None):
            raise Misuse(f"expected the least and the most of the option {self.name}")
        if self.kind == "choice" and not self.choices:
            raise Misuse(f"expected the choices of the option {self.name}")
        for value in (self.default, self.example):
            if value is not None and self.read(self.write(value)) != value:
                raise Misuse(f"expected a default of the option {self.name} that is one of its values")

    @property
    def expected(self) -> str:
        """What the option takes, as the end of a sentence that begins with `expected`."""
        match self.kind:
            case "flag":
                return "true or false"
            case "whole" | "number":
                assert self.least is not None
                assert self.most is not None
                noun = "a whole number" if self.kind == "whole" else "a number"
                low, high = shown_amount(self.least, ""), shown_amount(self.most, "")
                if self.unit == "bytes":
                    low, high = shown_amount(self.least, self.unit), shown_amount(self.most, self.unit)
                example = {"bytes": ", as in 65536 or '64 KiB'", "seconds": ", as in 90 or '2 min'"}.get(self.unit, "")
                return f"{noun}{f' of {self.unit}' if self.unit else ''} from {low} to {high}{example}"
            case "choice":
                return " or ".join(filter(None, (", ".join(self.choices[:-1]), self.choices[-1])))
            case "list":
                return "a list of texts"
            case "ports":
                return "a range of ports, as in 8000-8500"
            case "path":
                return " or ".join(("a path", *self.choices))
        return "a text"

    def read(self, found: object) -> Value:
        """Return the value that a document has.  Raises `Misuse` that says what was found and what was expected."""
        if self.kind == "flag" and isinstance(found, bool):
            return found
        if self.kind in ("whole", "number"):
            return self._number(found)
        if self.kind == "list" and isinstance(found, list | tuple):
            return self._texts(found)
        if isinstance(found, str) and self.kind not in ("flag", "list"):
            return self._text(found)
        raise self._refused(found)

    def parse(self, text: str) -> Value:
        """Return the value that a text says: a variable, or what stands on the command line.  Raises `Misuse`.

        The texts of a list are separated by commas.
        """
        if self.kind == "flag" and text.lower() in _FLAGS:
            return _FLAGS[text.lower()]
        if self.kind == "list":
            return self._texts([part.strip() for part in text.split(",")] if text.strip() else [])
        return self.read(text)

    def write(self, value: Value) -> object:
        """Return what a document says for a value: `read` gives the value back."""
        if isinstance(value, tuple):
            return list(value)
        if self.kind in ("whole", "number") and isinstance(value, int | float):
            return write_amount(value, self.unit)
        return value

    # --- kinds ------------------------------------------------------------------------------------------------------

    def _number(self, found: object) -> int | float:
        number, whole = found, self.kind == "whole"
        if isinstance(found, str):
            try:
                number = parse_amount(found.strip(), self.unit, whole=whole)
            except Misuse as error:
                told = f"found {error}" if str(error).startswith("the unit") else f"found {_shown(found)}, {error}"
                raise Misuse(f"{told}; expected {self.expected}") from None
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            raise self._refused(found)
        assert self.least is not None
        assert self.most is not None
        if not self.least <= number <= self.most:  # which is no number's case, too
            raise self._refused(found)
        value = number if whole else float(number)
        self._checked(value)
        return value

    def _text(self, found: str) -> str:
        if self.kind == "choice":
            if found not in self.choices:
                raise self._refused(found)
            return found
        if self.kind == "ports":
            parse_ports(found)
        most = MOST_PATH if self.kind == "path" else MOST_TEXT
        _expect_text(found, most)
        if self.kind != "path" or found not in self.choices:
            self._checked(found)
        return found

    def _texts(self, found: list[Any] | tuple[Any, ...]) -> tuple[str, ...]:
        least, most = int(self.least or 0), int(self.most or MOST_ITEMS)
        if not least <= len(found) <= most:
            raise Misuse(f"found {len(found):,} texts; expected from {least} to {most}")
        for number, item in enumerate(found, 1):
            if not isinstance(item, str):
                raise Misuse(f"found {_shown(item)} as number {number} of the list; expected a list of texts")
            try:
                _expect_text(item, MOST_TEXT)
                self._checked(item)
            except Misuse as error:
                raise Misuse(f"number {number} of the list: {error}") from None
        return tuple(found)

    def _checked(self, value: Value) -> None:
        if self.check is None:
            return
        try:
            self.check(value)
        except Misuse as error:
            raise Misuse(f"found {_shown(value)}; {error}") from None

    def _refused(self, found: object) -> Misuse:
        return Misuse(f"found {_shown(found)}; expected {self.expected}")


def parse_ports(text: str) -> range:
    """Return the ports of a range as `8000-8500` says it, both ends in it.  Raises `Misuse`."""
    found = _PORTS.fullmatch(text)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise Misuse("expected a range of ports from 1 to 65535, as in 8000-8500")
    return range(first, last + 1)


def holds_secret(name: str) -> bool:
    """Say whether a name is that of a secret itself, and not of the file that has it (`key`, but not `key_file`)."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return bool(_SECRET_WORDS.intersection(words)) and not _PLACES.intersection(words)


def shown_name(name: str) -> str:
    """Return a name that somebody else chose, fit for one line of a terminal."""
    return _cut(name, _SHOWN_NAME)


def _expect_text(text: str, most: int) -> None:
    if _KEY.fullmatch(text.strip()):
        raise Misuse("found what looks like a key itself; expected its file: a key never stands here as text")
    if not text or len(text) > most:
        raise Misuse(f"found {len(text):,} characters; expected 1 to {most:,}")
    if not text.isprintable():  # nor are the halves of surrogate pairs, which bytes that are no UTF-8 become
        raise Misuse("found a control character, or one that is no Unicode; expected a text of one line")


def _shown(found: object) -> str:
    """Return what was found, in a few words: never a text that may be a secret, nor the contents of a container."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int):
        return str(found) if abs(found) < 10**20 else "a whole number of more than 20 digits"
    if isinstance(found, float):
        return repr(found) if math.isfinite(found) else "no finite number"
    if isinstance(found, str):
        if _SECRET_RUN.search(found):
            return f"a text of {len(found):,} characters"
        return f"the text {_cut(found, _SHOWN_CHARACTERS)!r}" if found else "an empty text"
    if isinstance(found, datetime.date | datetime.time):
        return "a date or time"
    return "nothing" if found is None else _NOUNS.get(type(found), "something else")


def _cut(text: str, most: int) -> str:
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else "?" for c in shown)
