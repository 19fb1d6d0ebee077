"""`netstructer config`: what is wrong with a file of options, what counts, and what there is.  Floor: ROOF."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from netstructer.cli.options import Json
from netstructer.cli.outcomes import ExitCode, command
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.cli.told import CONFIG_VARIABLE, Assignments, ConfigFile, config_file, told
from netstructer.errors import InvalidConfiguration, Misuse
from netstructer.services.configuration import (
    SECTIONS,
    Configuration,
    Problem,
    Strength,
    load,
    write_example,
    write_json,
    write_shown,
)
from netstructer.services.printing import one_line

__all__ = ["check", "example", "show"]


@command
def check(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help=f"TOML, or JSON where the name ends with .json.  [default: the file that {CONFIG_VARIABLE} names]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what is wrong with a file of options.

    The variables that go before it are looked at, too, and each problem is told with its line.  Ends with 0 where
    there is none, else with 2.  Files that the options name and that are not there are noted.
    """
    path = config_file(file)
    if path is None:
        raise Misuse(f"expected a file: netstructer config check FILE, or the variable {CONFIG_VARIABLE}")
    try:
        found = load(path)
    except InvalidConfiguration as error:
        problems = [problem for problem in error.problems if isinstance(problem, Problem)]
        if json:
            print_json({"file": path, "ok": False, "problems": [_facts_of(problem) for problem in problems]})
        for problem in problems if not json else ():
            stderr.print(one_line(str(problem)))
        raise typer.Exit(ExitCode.USAGE) from None
    notes = [*found.notes, *_absent(found)]
    count = len(found.given())
    if json:
        print_json({"file": path, "ok": True, "options": count, "problems": [], "notes": notes})
        return
    for note in notes:
        stderr.print(f"note: {one_line(note)}", style="yellow")
    noun = "option" if count == 1 else "options"
    stdout.print(f"{one_line(path)}: nothing is wrong, {count} {noun} given")


@command
def show(config: ConfigFile = None, assignments: Assignments = None, json: Json = False) -> None:
    """Print what counts, and where each is from.

    That is a line of the file, a variable, an option of this command, or the default.
    What is printed is a file again, that says the same. With --json: the value of each option, its origin and line.
    """
    found = told(config, assignments)
    if json:
        print_json({"file": found.path, "options": {name: _shown(found, name) for name in found.values}})
    else:
        sys.stdout.write(write_shown(found))


@command
def example(
    json: Annotated[
        bool, typer.Option("--json", help="Print the options that have a default, as a JSON file.")
    ] = False,
) -> None:
    """Print a file with every option, explained.

    All are comments, so it changes nothing until you do.  To begin with one:
    netstructer config example > server.toml
    """
    defaults = {name: option.default for name, option in SECTIONS.options.items()}
    sys.stdout.write(write_json(defaults) if json else write_example())


def _facts_of(problem: Problem) -> dict[str, object]:
    """Return a problem as facts; `text` is the sentence without its place."""
    return {
        "origin": _word_of(problem.origin.strength),
        "where": problem.origin.where,
        "line": problem.origin.line or None,
        "option": problem.option or None,
        "text": problem.text,
    }


def _shown(found: Configuration, name: str) -> dict[str, object]:
    origin = found.origins[name]
    facts: dict[str, object] = {"value": found[name], "origin": _word_of(origin.strength)}
    if origin.where:
        facts["where"] = origin.where
    if origin.line:
        facts["line"] = origin.line
    return facts


def _word_of(strength: Strength) -> str:
    return strength.name.lower().replace("_", " ")


def _absent(found: Configuration) -> Iterable[str]:
    """Give a sentence for each file or directory that is named and is not there, and will not be made."""
    for name, value in found.given().items():
        option = SECTIONS.options[name]
        needed = option.kind == "path" and value not in option.choices and not option.made
        if needed and not os.path.exists(str(value)):
            yield f"{found.origins[name]}: {name}: there is no {value}"
