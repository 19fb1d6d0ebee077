"""Where a value came from, and what is wrong with one.  Floor: SERVICES.

Law: a problem says where it can be mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from netstructer.errors import InvalidConfiguration

__all__ = ["DEFAULT", "MOST_PROBLEMS", "Origin", "Problem", "Strength", "refusal"]

MOST_PROBLEMS = 50
"""Problems that are looked for in one go: a page of a terminal; a file with more is another kind of file."""


class Strength(IntEnum):
    """Which of two values counts: that of the stronger origin."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    COMMAND_LINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from: a line of a file, a variable, an option of the command line, or nowhere."""

    strength: Strength
    where: str = ""
    """The file, the variable, or the option as it was written."""
    line: int = 0
    """Counted from 1; 0 where there is none, or it is not known."""

    def __str__(self) -> str:
        match self.strength:
            case Strength.FILE:
                return f"{self.where}, line {self.line}" if self.line else self.where
            case Strength.ENVIRONMENT:
                return f"the variable {self.where}"
            case Strength.COMMAND_LINE:
                return self.where or "the command line"
        return self.where or "default"


DEFAULT = Origin(strength=Strength.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, with which option (as `section.name`, if it is about one), and what."""

    origin: Origin
    text: str
    option: str = ""

    def __str__(self) -> str:
        about = f"{self.option}: " if self.option else ""
        return f"{self.origin}: {about}{self.text}"


def refusal(problems: list[Problem]) -> InvalidConfiguration:
    """Return the error that says the first of some problems, how many more there are, and has all of them."""
    first = problems[0]
    count = len(problems) - 1
    more = f" (and {count} more: see netstructer config check)" if count else ""
    return InvalidConfiguration(
        f"{first}{more}",
        path=first.origin.where if first.origin.strength == Strength.FILE else "",
        line=first.origin.line,
        option=first.option,
        problems=tuple(problems),
    )
