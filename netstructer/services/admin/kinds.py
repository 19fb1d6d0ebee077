"""Kinds: what an argument of an administrative command may be.  Floor: SERVICES.

Law: one row says it for all ways in: a call in Python, a value from a link, a word on a command line.

A kind stands in the annotation of a parameter, `reason: Annotated[str, Text("why")]`: `check` holds a value to it, and
`parse` makes the value of a word.  What is refused is described and not repeated: it may be anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from netstructer.errors import Misuse
from netstructer.services.configuration.units import parse_amount

__all__ = [
    "Choice",
    "Duration",
    "Flag",
    "HowMany",
    "Kind",
    "Message",
    "Plain",
    "Rows",
    "Secret",
    "Text",
    "Texts",
    "Whole",
]

TEXT_CHARACTERS = 1_000
"""Of one text, a message of a few lines put into one: longer ones are files."""
MOST_TEXTS = 256
"""Texts of one argument: the patterns that a role may have."""
MOST_ROWS = 200
"""Rows of one call: what longer files have comes in several calls, each of a few seconds on a slow disk."""
MOST_LISTED = 10_000
"""Rows of one list: what fits into a value of any end, and more than anybody reads."""
LISTED = 1_000
"""Rows of one list unless it is said otherwise."""
LONGEST_SECONDS = 3_153_600_000.0
"""A hundred years: what ends later ends never."""
SECRET_CHARACTERS = 1_024
"""Of a password: what is hashed of it at most."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter takes; `help` says in a few words what it means."""

    help: str

    @property
    def expected(self) -> str:
        """The end of a sentence that begins with `expected`."""
        return "a value"

    @property
    def is_noted(self) -> bool:
        """Whether an audit says what was given."""
        return True

    @property
    def label(self) -> str:
        """What stands for the value in a usage; nothing for the parameter's own name."""
        return ""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may be typed, where there are some."""
        return ()

    def check(self, value: object) -> object:
        """Return the value of a call.  Raises `Misuse`."""
        raise NotImplementedError

    def parse(self, text: str) -> object:
        """Return the value that a word says.  Raises `Misuse`."""
        return self.check(text)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A text of one line."""

    most: int = TEXT_CHARACTERS
    least: int = 1

    @property
    def expected(self) -> str:
        return f"a text of one line and {self.least} to {self.most:,} characters"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not self.least <= len(value) <= self.most or not value.isprintable():
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        return str(value)


@dataclass(frozen=True, slots=True)
class Message(Text):
    """What somebody says to others: theirs, and not an audit's."""

    @property
    def is_noted(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Texts(Text):
    """Several texts; on a command line all words to the end, or an option that stands there several times."""

    @property
    def expected(self) -> str:
        return f"texts of one line, {MOST_TEXTS} at most"

    def check(self, value: object) -> list[str]:  # type: ignore[override]  # several of what one Text takes
        if not isinstance(value, list | tuple) or len(value) > MOST_TEXTS:
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        one = Text(self.help, self.most, self.least)
        return [one.check(text) for text in value]

    def parse(self, text: str) -> str:
        return Text(self.help, self.most, self.least).check(text)


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words."""

    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)}"

    @property
    def words(self) -> tuple[str, ...]:
        return self.choices

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        return str(value)


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number."""

    least: int = 0
    most: int = (1 << 63) - 1

    @property
    def expected(self) -> str:
        return f"a whole number from {self.least:,} to {self.most:,}"

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        return int(value)

    def parse(self, text: str) -> int:
        try:
            return self.check(int(text.replace("_", "").replace(",", "")) if len(text) < 32 else text)
        except ValueError as error:
            raise Misuse(f"expected {self.expected}, found {_kind_of(text)}") from error


HowMany = Annotated[int, Whole("how many at most", 1, MOST_LISTED)]


@dataclass(frozen=True, slots=True)
class Duration(Kind):
    """A time in seconds; as a word with a unit, too: `90`, `2min`, `7d`."""

    least: float = 0.0
    most: float = LONGEST_SECONDS

    @property
    def expected(self) -> str:
        return f"a time from {self.least:g} to {self.most:.15g} seconds, as in 90, 2min, 12h or 7d"

    @property
    def label(self) -> str:
        return "TIME"

    def check(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        if not self.least <= value <= self.most:
            raise Misuse(f"expected {self.expected}")
        return float(value)

    def parse(self, text: str) -> float:
        try:
            return self.check(parse_amount(text, "seconds", whole=False))
        except Misuse as error:
            raise Misuse(f"expected {self.expected}") from error


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """Yes or no: an option without a value."""

    @property
    def expected(self) -> str:
        return "True or False"

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Plain(Kind):
    """A value of an option: a flag, a number, a text or a list of texts; or with `whole` anything that travels, which a
    word says in JSON."""

    whole: bool = False

    @property
    def label(self) -> str:
        return "JSON" if self.whole else ""

    @property
    def is_noted(self) -> bool:
        return not self.whole

    @property
    def expected(self) -> str:
        return "a value in JSON" if self.whole else "a flag, a number, a text, or a list of texts"

    def check(self, value: object) -> object:
        if self.whole or value is None or isinstance(value, bool | int | float | str):
            return value
        return Texts(self.help).check(value)

    def parse(self, text: str) -> object:
        if not self.whole:
            return Text(self.help, least=0).check(text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Misuse(f"expected {self.expected}, as in 42, true or '\"text\"'") from None


@dataclass(frozen=True, slots=True)
class Secret(Kind):
    """A password: asked for where nobody can read along, never a word of a command line, never in a log."""

    @property
    def is_noted(self) -> bool:
        return False

    @property
    def expected(self) -> str:
        return f"a password of 1 to {SECRET_CHARACTERS:,} characters"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= SECRET_CHARACTERS:
            raise Misuse(f"expected {self.expected}")
        return str(value)

    def parse(self, text: str) -> str:
        raise Misuse("a password is no word of a command line: others read what is typed there")


@dataclass(frozen=True, slots=True)
class Rows(Kind):
    """Rows of facts by name; on a command line a file of JSON lines, of the machine where that is typed."""

    @property
    def is_noted(self) -> bool:
        return False

    @property
    def expected(self) -> str:
        return f"{MOST_ROWS:,} rows at most, each a dict by names"

    @property
    def label(self) -> str:
        return "FILE"

    def check(self, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list | tuple) or len(value) > MOST_ROWS:
            raise Misuse(f"expected {self.expected}, found {_kind_of(value)}")
        if not all(isinstance(row, Mapping) and all(isinstance(name, str) for name in row) for row in value):
            raise Misuse(f"expected {self.expected}, found others")
        return [dict(row) for row in value]

    def parse(self, text: str) -> str:
        """Return the path: whoever reads the command reads the file."""
        return Text(self.help, 4_096).check(text)


def _kind_of(value: object) -> str:
    """Return what was found, in a few words that hold nothing of it."""
    if isinstance(value, str):
        return f"a text of {len(value):,} characters" if value.isprintable() else "a text that cannot be shown"
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**20 else "a whole number of more than 20 digits"
    if isinstance(value, list | tuple | dict | set | frozenset):
        return f"a {type(value).__name__} of {len(value):,}"
    return f"a {type(value).__name__}"
