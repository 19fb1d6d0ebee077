"""From files, variables and the command line to one configuration.  Floor: SERVICES.

Law: the stronger origin counts, file < environment < command line, and each value knows where it is from.

Every problem that can be found in one go is found in one go: whoever mends a file wants to do it once.  Values that do
not go together are looked at when each by itself is right.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from netstructer.errors import Misuse
from netstructer.services.configuration.document import Document, read_document
from netstructer.services.configuration.option import Option, Value, holds_secret, shown_name
from netstructer.services.configuration.origin import DEFAULT, MOST_PROBLEMS, Origin, Problem, Strength, refusal
from netstructer.services.configuration.section import PREFIX, RESERVED, Section, Sections
from netstructer.services.configuration.tables import SECTIONS

__all__ = ["Configuration", "Given", "load"]

_ABSENT = (
    "a secret never stands here: put it into a file of its own, and name that file with an option such as key_file"
)


class Given(NamedTuple):
    """One option of the command line: its full name, its text or value, and how it was spelled there."""

    name: str
    value: Value
    spelled: str = "the command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a server is told: the value of every option, and where each is from; made by `load`."""

    sections: Sections
    values: Mapping[str, Value]
    """By full name, `server.port`; every option has one, None where nothing is set."""
    origins: Mapping[str, Origin]
    path: str | None = None
    """The file that was read."""
    notes: tuple[str, ...] = ()
    """What is no mistake and should be known: names of predecessors, variables that nobody reads."""

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def section(self, name: str) -> dict[str, Value]:
        """Return the values of one section by their short names.  Raises `KeyError` where there is none."""
        found = self.sections.get(name)
        if found is None:
            raise KeyError(name)
        return {option.name: self.values[f"{name}.{option.name}"] for option in found.options}

    def is_given(self, name: str) -> bool:
        """Say whether somebody gave an option a value, rather than nobody."""
        return self.origins[name].strength > Strength.DEFAULT

    def given(self) -> dict[str, Value]:
        """Return the values that somebody gave, by full name."""
        return {name: value for name, value in self.values.items() if self.is_given(name)}

    def __repr__(self) -> str:
        return f"<Configuration {self.path or 'without a file'}, {len(self.given())} options given>"


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    command_line: Iterable[Given] = (),
    sections: Sections = SECTIONS,
) -> Configuration:
    """Return the configuration that a file, the environment and the command line say together.

    `path` is a file of TOML, or of JSON where its name ends with `.json`; variables are called
    `NETSTRUCTER_<SECTION>_<NAME>`, and an empty one counts as none; `environ={}` reads none.  Paths in the file are
    taken from the directory of the file.  Raises `InvalidConfiguration` with all that is wrong, and `OSError`.
    """
    gathering = _Gathering(sections)
    if path is not None:
        gathering.document(read_document(path))
    gathering.environment(environ)
    gathering.command_line(command_line)
    return gathering.finish(None if path is None else os.fspath(path))


class _Gathering:
    """What was found so far, from the weakest origin to the strongest.  Single owner."""

    def __init__(self, sections: Sections) -> None:
        self._sections = sections
        self._values: dict[str, Value] = {}
        self._origins: dict[str, Origin] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []

    # --- origins ----------------------------------------------------------------------------------------------------

    def document(self, found: Document) -> None:
        """Take in what a file says."""
        for name, content in found.tables.items():
            origin = Origin(strength=Strength.FILE, where=found.path, line=found.lines.of(name))
            section = self._sections.get(name)
            if section is not None:
                self._table(section, content, found, origin)
            elif name in self._sections.aliases:
                self._alias(name, content, origin)
            else:
                noun = "section" if isinstance(content, dict) else "option"
                self._unknown(name, origin, noun)

    def _table(self, section: Section, content: object, found: Document, origin: Origin) -> None:
        if not isinstance(content, dict):
            self._complain(origin, section.name, "expected a section with options, found a value")
            return
        options = {option.name: option for option in section.options}
        for name, value in content.items():
            origin = Origin(strength=Strength.FILE, where=found.path, line=found.lines.of(section.name, name))
            if f"{section.name}.{name}" in self._values:
                self._complain(origin, f"{section.name}.{name}", "was given already, under the name of a predecessor")
            elif name in options:
                self._take(f"{section.name}.{name}", options[name], value, origin)
            else:
                self._unknown(f"{section.name}.{name}", origin, "option")

    def _alias(self, alias: str, content: object, origin: Origin) -> None:
        name = self._sections.aliases[alias]
        if name in self._values:
            self._complain(origin, name, f"was given already, and is given again as {alias}")
            return
        self._notes.append(f"{origin}: {alias} is called {name} here")
        self._take(name, self._sections.options[name], content, origin)

    def environment(self, environ: Mapping[str, str]) -> None:
        """Take in what variables say."""
        for variable in sorted(environ):
            text = environ[variable]
            if not variable.startswith(PREFIX) or variable in RESERVED or not text.strip():
                continue
            name = self._sections.variables.get(variable)
            where = variable if name is not None else shown_name(variable)
            origin = Origin(strength=Strength.ENVIRONMENT, where=where)
            if name is not None:
                self._take(name, self._sections.options[name], text, origin)
                continue
            meant = self._sections.meant_variable(variable)
            if (section := self._sections.section_of_variable(variable)) is not None:
                advice = f"; did you mean {meant}?" if meant else ""
                self._complain(origin, "", f"there is no such option in the section {section}{advice}")
            elif meant:
                self._notes.append(f"{origin} is not read: there is no such section; did you mean {meant}?")

    def command_line(self, given: Iterable[Given]) -> None:
        """Take in what the command line says; of one option that is there twice the last counts."""
        for name, value, spelled in given:
            origin = Origin(strength=Strength.COMMAND_LINE, where=spelled)
            option = self._sections.options.get(name)
            if option is None:
                self._unknown(name, origin, "option")
            else:
                self._take(name, option, value, origin)

    # --- values -----------------------------------------------------------------------------------------------------

    def _take(self, name: str, option: Option, found: Any, origin: Origin) -> None:
        try:
            value = option.parse(found) if isinstance(found, str) and not _is_file(origin) else option.read(found)
        except Misuse as error:
            self._complain(origin, name, str(error))
            return
        if option.kind == "path" and isinstance(value, str) and value not in option.choices:
            value = _placed(value, origin)
        self._values[name], self._origins[name] = value, origin

    def _unknown(self, name: str, origin: Origin, noun: str) -> None:
        secret = holds_secret(name.rpartition(".")[2])
        advice = f"; {_ABSENT}" if secret else self._sections.advice(name)
        self._complain(origin, shown_name(name), f"there is no such {noun}{advice}")

    def _complain(self, origin: Origin, option: str, text: str) -> None:
        self._problems.append(Problem(origin=origin, option=option, text=text))
        if len(self._problems) >= MOST_PROBLEMS:
            raise refusal(self._problems)

    # --- together ---------------------------------------------------------------------------------------------------

    def finish(self, path: str | None) -> Configuration:
        """Return the whole, with what nobody has given.  Raises `InvalidConfiguration`."""
        if self._problems:
            raise refusal(self._problems)
        for section in self._sections:
            self._complete(section)
        if self._problems:
            raise refusal(self._problems)
        return Configuration(
            sections=self._sections,
            values={name: self._values[name] for name in self._sections.options},
            origins={name: self._origins[name] for name in self._sections.options},
            path=path,
            notes=tuple(self._notes),
        )

    def _complete(self, section: Section) -> None:
        """Set what nobody has given in a section, and look whether its values go together."""
        full = {option.name: f"{section.name}.{option.name}" for option in section.options}
        given = {name: self._values[long] for name, long in full.items() if long in self._values}
        defaults, where = section.defaults(given) if section.defaults is not None else ({}, "")
        for option in section.options:
            long = full[option.name]
            if long not in self._values:
                dependent = option.name in defaults
                self._values[long] = defaults[option.name] if dependent else option.default
                self._origins[long] = Origin(strength=Strength.DEFAULT, where=where) if dependent else DEFAULT
        if section.check is not None:
            values = {name: self._values[long] for name, long in full.items()}
            strengths = {name: self._origins[long].strength for name, long in full.items()}
            for name, text in section.check(values, strengths).items():
                self._complain(self._to_blame(section, name), full[name], text)

    def _to_blame(self, section: Section, name: str) -> Origin:
        """Return the origin of an option, or where nobody gave it that of the strongest one beside it: that is why."""
        own = self._origins[f"{section.name}.{name}"]
        if own.strength > Strength.DEFAULT:
            return own
        return max((self._origins[f"{section.name}.{option.name}"] for option in section.options), key=_strength)


def _strength(origin: Origin) -> int:
    return origin.strength


def _is_file(origin: Origin) -> bool:
    return origin.strength == Strength.FILE


def _placed(path: str, origin: Origin) -> str:
    """Return a path as it is opened: `~` is the user's home; one in a file is taken from the directory of the file."""
    expanded = os.path.expanduser(path)
    if not _is_file(origin) or os.path.isabs(expanded):
        return expanded
    return os.path.join(os.path.dirname(os.path.abspath(origin.where)), expanded)
