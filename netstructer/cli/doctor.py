"""`netstructer doctor`: says what is wrong, in the order in which it can go wrong.  Floor: ROOF."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from netstructer.cli.checkup import Step, check_machine
from netstructer.cli.diagnosis import diagnose
from netstructer.cli.options import Json, KeyFile, peer_place
from netstructer.cli.outcomes import ExitCode, command
from netstructer.cli.screen import print_json, stdout
from netstructer.services.printing import one_line

__all__ = ["doctor"]

MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}


@command
def doctor(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST:PORT", help="The server to examine; without it, this machine is.", show_default=False
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.001, help="For each step.")] = 5.0,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Say which of name, port, protocol, version, key, limits or clock is wrong, and what to do.

    Without an address: Python, the packages, the key and where it was found, how fast this machine seals, and a
    link to itself. The exit code is that of the step that failed.
    """
    steps: list[Step] = []
    for step in check_machine(key_file) if address is None else diagnose(peer_place(address), key_file, timeout):
        steps.append(step)
        if not json:
            _print(step)
    failed = next((step for step in steps if step.passed is False), None)
    code = failed.code if failed is not None else ExitCode.OK
    if json:
        print_json(
            {
                "address": address,
                "wrong": failed.name if failed is not None else None,
                "exit": int(code),
                "steps": [
                    {"name": s.name, "passed": s.passed, "found": s.found, "advice": s.advice, **s.facts} for s in steps
                ],
            }
        )
    elif failed is None:
        stdout.print("nothing is wrong", style="green")
    else:
        stdout.print(f"wrong: {failed.name}", style="bold red")
    if failed is not None:
        raise typer.Exit(code)


def _print(step: Step) -> None:
    mark, style = MARKS[step.passed]
    line = Text.assemble((mark, style), " ", (f"{step.name:<11}", "bold"), one_line(step.found))
    stdout.print(line)
    if step.advice:
        stdout.print(Text(f"{'':<13}→ {one_line(step.advice)}", style="yellow" if step.passed is False else "dim"))
