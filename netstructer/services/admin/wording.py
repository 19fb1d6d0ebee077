"""Wording: from the words of a command line to a verb and its arguments, and help.  Floor: SERVICES.

Law: everything is read from the table; a word is an argument, and is never run, opened or expanded here.

    users ban ada --reason "spam, twice" --seconds 7d

The longest beginning that is a verb's name (`users ban`, or `users.ban`, or an alias) counts; words behind it are its
arguments in order, `--name value` (or `--name=value`) its options.  Behind `--` all words are arguments.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from netstructer.errors import Misuse
from netstructer.services.admin.kinds import Flag, Rows, Secret, Texts
from netstructer.services.admin.verbs import Parameter, Table, Verb

__all__ = ["Command", "complete", "help_of", "parse", "words_in"]

LINE_CHARACTERS = 100_000
"""Of one command line: what a terminal takes in one paste."""
WIDTH = 30
"""Columns of a list of commands before what they do."""


@dataclass(slots=True)
class Command:
    """What a line asks for."""

    verb: Verb
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[Parameter, ...]:
        """What is to be asked for where nobody can read along."""
        return tuple(one for one in self.verb.parameters if isinstance(one.kind, Secret))

    @property
    def files(self) -> tuple[Parameter, ...]:
        """The arguments that are files of rows here: their values are paths."""
        return tuple(one for one in self.verb.parameters if isinstance(one.kind, Rows) and one.name in self.values)


def words_in(line: str) -> list[str]:
    """Return the words of a line, quotes as in a shell.  Raises `Misuse`."""
    if len(line) > LINE_CHARACTERS:
        raise Misuse(f"expected a command of at most {LINE_CHARACTERS:,} characters")
    try:
        return shlex.split(line)
    except ValueError as error:
        raise Misuse("a quote is opened and not closed") from error


def parse(line: str | Sequence[str], table: Table) -> Command:
    """Return what a line, or its words, asks for.  Raises `Misuse`, which says what would be right."""
    words = words_in(line) if isinstance(line, str) else list(line)
    verb, rest = _verb_in(words, table)
    command = Command(verb)
    places = [one for one in verb.parameters if not one.is_option and not isinstance(one.kind, Secret)]
    options = {one.option: one for one in verb.parameters if one.is_option}
    waiting, only_words = list(rest), False
    while waiting:
        word = waiting.pop(0)
        if word == "--" and not only_words:
            only_words = True
        elif word.startswith("--") and not only_words:
            _take_option(command, word, waiting, options)
        else:
            _take_word(command, word, places)
    missing = [one.label for one in places if one.is_required and one.name not in command.values]
    if missing:
        raise Misuse(f"{missing[0]} is missing; usage: {verb.usage}")
    return command


def _verb_in(words: list[str], table: Table) -> tuple[Verb, list[str]]:
    if not words:
        raise Misuse("expected a command; help lists them")
    for count in (2, 1):
        name = ".".join(words[:count])
        found = table.get(name) or (table.aliases.get(words[0]) if count == 1 else None)
        if found is not None and len(words) >= count:
            return found, words[count:]
    raise Misuse(f"there is no such command{_advice(words, table)}")


def _advice(words: list[str], table: Table) -> str:
    noun, _, verb = ".".join(words[:2])[:64].partition(".")
    if noun and noun in table.nouns():
        known = {found.name.partition(".")[2]: found.words for found in table.about(noun)}
        close = difflib.get_close_matches(verb, known, 1)
        return f"; did you mean {known[close[0]]}?" if close else f"; {noun} {' | '.join(known)}"
    every = [*(found.words for found in table.values()), *table.aliases, *filter(None, table.nouns())]
    for typed in (" ".join(words[:2])[:64], words[0][:64]):
        if close := difflib.get_close_matches(typed, every, 1):
            return f"; did you mean {close[0]}?"
    return "; help lists them"


def _take_option(command: Command, word: str, waiting: list[str], options: dict[str, Parameter]) -> None:
    name, is_joined, value = word.partition("=")
    parameter = options.get(name)
    if parameter is None:
        close = difflib.get_close_matches(name[:64], options, 1)
        advice = f"; did you mean {close[0]}?" if close else f"; usage: {command.verb.usage}"
        raise Misuse(f"{command.verb.words} has no such option{advice}")
    if isinstance(parameter.kind, Flag):
        if is_joined:
            raise Misuse(f"{name} takes no value")
        command.values[parameter.name] = True
        return
    if not is_joined:
        if not waiting:
            raise Misuse(f"{name} takes {parameter.label}: {parameter.kind.expected}")
        value = waiting.pop(0)
    _set(command, parameter, value, name)


def _take_word(command: Command, word: str, places: list[Parameter]) -> None:
    for parameter in places:
        if parameter.name not in command.values or isinstance(parameter.kind, Texts):
            _set(command, parameter, word, parameter.label)
            return
    raise Misuse(f"there are too many words; usage: {command.verb.usage}")


def _set(command: Command, parameter: Parameter, text: str, shown: str) -> None:
    try:
        value = parameter.kind.parse(text)
    except Misuse as error:
        raise Misuse(f"{shown}: {error}") from None
    if isinstance(parameter.kind, Texts):
        command.values.setdefault(parameter.name, []).append(value)
    elif parameter.name in command.values:
        raise Misuse(f"{shown} was given twice")
    else:
        command.values[parameter.name] = value


# --- help -------------------------------------------------------------------------------------------------------------


def help_of(words: Iterable[str], table: Table) -> list[str]:
    """Return the lines of help about a verb, a noun, or all.  Raises `Misuse` for what is neither."""
    asked = list(words)
    if not asked:
        lines = [line for noun in table.nouns() for line in _listed(noun, table)]
        return [
            *lines,
            "",
            "help COMMAND tells more of one; json on and json off say how results are printed; exit leaves.",
        ]
    if len(asked) == 1 and asked[0] in table.nouns() and asked[0] not in table:
        return _listed(asked[0], table)
    verb, _ = _verb_in(asked, table)
    lines = [verb.help, "", f"  {verb.usage}"]
    for parameter in verb.parameters:
        name = parameter.option if parameter.is_option else parameter.label
        lines.append(f"    {name:<{WIDTH - 4}}{parameter.kind.help}")
    if verb.aliases:
        lines += ["", f"also: {', '.join(verb.aliases)}"]
    return [*lines, "", f"permission: {verb.action}"]


def _listed(noun: str, table: Table) -> list[str]:
    found = table.about(noun)
    return ["", *(f"  {verb.words:<{WIDTH}}{verb.help}" for verb in found)] if found else []


def complete(text: str, table: Table) -> list[str]:
    """Return the words that may stand where a line that is being typed ends, in order."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []  # inside quotes
    is_new = not text or text[-1].isspace()
    start, before = ("" if is_new else words.pop()), words
    if before[:1] == ["help"]:
        before = before[1:]
    return sorted({word for word in _candidates(before, table) if word.startswith(start)})


def _candidates(before: list[str], table: Table) -> Iterable[str]:
    if not before:
        return [*filter(None, table.nouns()), *table.aliases, *(verb.name for verb in table.about("")), "help", "exit"]
    found = table.get(".".join(before[:2])) if len(before) > 1 else None
    found = found or table.get(before[0]) or table.aliases.get(before[0])
    if found is None or (len(before) == 1 and table.about(before[0])):
        own = [] if found is None else _of_verb(found, before[1:])
        return [*(verb.name.partition(".")[2] for verb in table.about(before[0]) if len(before) == 1), *own]
    return _of_verb(found, before[len(found.words.split()) if found.name in (before[0], ".".join(before[:2])) else 1 :])


def _of_verb(verb: Verb, rest: list[str]) -> list[str]:
    """Return the words that may follow a verb and what was typed behind it."""
    options = {one.option: one for one in verb.parameters if one.is_option}
    if rest and rest[-1] in options and not isinstance(options[rest[-1]].kind, Flag):
        return list(options[rest[-1]].kind.words)
    given = [word for word in rest if word.startswith("--")]
    places = [one for one in verb.parameters if not one.is_option and not isinstance(one.kind, Secret)]
    typed = _words_alone(rest, options)
    words = list(places[typed].kind.words) if typed < len(places) else []
    return [*words, *(option for option in options if option not in given)]


def _words_alone(rest: list[str], options: dict[str, Parameter]) -> int:
    """Return how many of some words are arguments without a name."""
    count, skip = 0, False
    for word in rest:
        if skip:
            skip = False
        elif word in options:
            skip = not isinstance(options[word].kind, Flag)
        elif not word.startswith("--"):
            count += 1
    return count
