"""Sections: tables of options, and the registry of them.  Floor: SERVICES.

Law: a name is one option's, however it is spelled: in a file, as a variable, on the command line.

A service that wants options makes one `Section` and is added to the list in `tables.py`; an application adds its own
with `SECTIONS.plus(Section(...))`.  Nothing registers itself when it is imported: what a file may say does not depend
on what else happens to be loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from netstructer.errors import Misuse
from netstructer.services.configuration.option import NAME, Option, Value, shown_name
from netstructer.services.configuration.origin import Strength

__all__ = ["PREFIX", "RESERVED", "Section", "Sections"]

PREFIX = "NETSTRUCTER_"
RESERVED = frozenset({"NETSTRUCTER_KEY", "NETSTRUCTER_KEY_FILE", "NETSTRUCTER_PURE", "NETSTRUCTER_CONFIG"})
RESERVED |= {"NETSTRUCTER_PASSWORD"}
"""Variables that say something else than the value of an option."""
_LONGEST_NAME = 64
"""Characters of a name that others are compared with: longer ones are no slip of the finger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table of options under one name.  Raises `Misuse` for one that cannot be right."""

    name: str
    help: str
    options: tuple[Option, ...]
    defaults: Callable[[Mapping[str, Value]], tuple[Mapping[str, Value], str]] | None = None
    """What the options are that nobody has given, by those that somebody has; and in a few words where that is from."""
    check: Callable[[Mapping[str, Value], Mapping[str, Strength]], Mapping[str, str]] | None = None
    """What is wrong with values that do not go together, given with how strong the origin of each is: the end of a
    sentence for each option that is to blame."""

    def __post_init__(self) -> None:
        names = [option.name for option in self.options]
        if not NAME.fullmatch(self.name) or not self.help.strip():
            raise Misuse(f"expected a section with a name of small letters and a help, found {self.name!r}")
        if len(names) != len(set(names)):
            raise Misuse(f"expected each option of {self.name} once")


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections that there are, in order.  Raises `Misuse` where two options would have one variable or alias."""

    members: tuple[Section, ...]
    options: Mapping[str, Option] = field(init=False)
    """Every option, by its full name: `server.port`."""
    aliases: Mapping[str, str] = field(init=False)
    """Names of predecessors, and the full name of what each is now."""
    variables: Mapping[str, str] = field(init=False)
    """Variables of the environment, and the full name of what each sets."""

    def __post_init__(self) -> None:
        options = {f"{one.name}.{option.name}": option for one in self.members for option in one.options}
        aliases = {alias: name for name, option in options.items() for alias in option.aliases}
        variables = {f"{PREFIX}{name.replace('.', '_').upper()}": name for name in options}
        names = [one.name for one in self.members]
        wanted = [alias for option in options.values() for alias in option.aliases]
        if len(names) != len(set(names)) or len(wanted) != len(set(wanted)) or set(wanted) & set(names):
            raise Misuse("expected each section and each alias once")
        if len(variables) != len(options) or RESERVED & set(variables):
            raise Misuse("expected options whose variables differ from each other and from those that are taken")
        for name, table in (("options", options), ("aliases", aliases), ("variables", variables)):
            object.__setattr__(self, name, table)

    def __iter__(self) -> Iterator[Section]:
        return iter(self.members)

    def get(self, name: str) -> Section | None:
        """Return the section of a name."""
        return next((one for one in self.members if one.name == name), None)

    def plus(self, *more: Section) -> Sections:
        """Return these sections and further ones."""
        return Sections((*self.members, *more))

    def variable(self, name: str) -> str:
        """Return the variable of an option by its full name."""
        return f"{PREFIX}{name.replace('.', '_').upper()}"

    def section_of_variable(self, variable: str) -> str | None:
        """Return the section whose option a variable seems to mean; of several the one with the longest name."""
        rest = variable.removeprefix(PREFIX)
        fitting = [one.name for one in self.members if rest.startswith(f"{one.name.upper()}_")]
        return max(fitting, key=len, default=None)

    def advice(self, name: str) -> str:
        """Return what somebody may have meant who wrote a name that is no option's, as the end of a sentence."""
        section, _, rest = name.rpartition(".")
        one = self.get(section)
        if one is not None and (near := _nearest(rest, [option.name for option in one.options])):
            return f"; did you mean {near}?"
        elsewhere = [full for full in self.options if full.rpartition(".")[2] == rest]
        if elsewhere:
            return f"; did you mean {elsewhere[0]}?"
        if near := _nearest(name, [*self.options, *self.aliases, *(one.name for one in self.members)]):
            return f"; did you mean {near}?"
        if section and one is None:
            return f"; there are the sections {', '.join(one.name for one in self.members)}"
        return ""

    def meant_variable(self, variable: str) -> str | None:
        """Return the variable that somebody may have meant who set another."""
        return _nearest(variable, list(self.variables))


def _nearest(name: str, names: list[str]) -> str | None:
    if len(name) > _LONGEST_NAME:
        return None
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    return shown_name(found[0]) if found else None
