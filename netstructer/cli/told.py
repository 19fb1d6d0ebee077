"""What a server of the terminal is told: the flags that say it, and the configuration that comes of them.  Floor: ROOF.

Law: a flag of a command is one option of the table under another spelling; it has no default of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

import typer

from netstructer.address import parse_address
from netstructer.cli.options import is_port
from netstructer.cli.screen import stderr
from netstructer.errors import InvalidAddress, Misuse
from netstructer.services.configuration import Configuration, Given, Value, load
from netstructer.services.printing import one_line

__all__ = [
    "CONFIG_VARIABLE",
    "Assignments",
    "ConfigFile",
    "PortRange",
    "ServerCipher",
    "config_file",
    "flags",
    "place",
    "told",
]

CONFIG_VARIABLE = "NETSTRUCTER_CONFIG"

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Take what is not said here from variables, and then from this file, TOML or JSON; see netstructer config "
        f"example.  Without it: the file that {CONFIG_VARIABLE} names, if any.",
        show_default=False,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.NAME=VALUE",
        help="Set any option of such a file, as in limits.value_bytes='64 MiB'.  May be repeated.",
        show_default=False,
    ),
]
PortRange = Annotated[
    str | None,
    typer.Option(
        "--port-range",
        metavar="FIRST-LAST",
        help="Where the port is in use, take the first of these that is not; without a port, the first free one of "
        "these.",
        show_default=False,
    ),
]
ServerCipher = Annotated[
    str | None,
    typer.Option(
        "--cipher",
        metavar="fernet|aes-256-gcm",
        help="What may seal the records of clients that ask for it, beside Fernet: aes-256-gcm is for networks that "
        "are faster than Fernet is.",
        show_default=False,
    ),
]


def told(config: str | None, assignments: Iterable[str] | None, given: Iterable[Given] = ()) -> Configuration:
    """Return what the file, the environment and the command line say; notes go to stderr.

    Raises `InvalidConfiguration`, `Misuse`, `OSError`.
    """
    assigned = [_assigned(text) for text in assignments or ()]
    found = load(config_file(config), command_line=[*assigned, *given])
    for note in found.notes:
        stderr.print(f"note: {one_line(note)}", style="yellow")
    return found


def config_file(given: str | None) -> str | None:
    """Return the file of options: the one given, or the one that the variable names."""
    return given or os.environ.get(CONFIG_VARIABLE, "").strip() or None


def flags(spelled: dict[str, tuple[str, Value]]) -> list[Given]:
    """Return what flags say: for each spelling the full name of its option and its value, None where it was not
    given.
    """
    return [Given(name, value, spelling) for spelling, (name, value) in spelled.items() if value is not None]


def place(text: str | None) -> list[Given]:
    """Return what `PLACE` says: a host, a port, or both.  Raises `InvalidAddress`."""
    if text is None:
        return []
    if is_port(text):
        return [Given("server.port", text, "PLACE")]
    try:
        host, port = parse_address(text)
    except InvalidAddress:
        host, _ = parse_address(text, default_port=0)  # a host alone, or no place at all
        return [Given("server.host", host, "PLACE")]
    return [Given("server.host", host, "PLACE"), Given("server.port", port, "PLACE")]


def _assigned(text: str) -> Given:
    name, equals, value = text.partition("=")
    if not equals:
        raise Misuse("expected --set SECTION.NAME=VALUE, as in server.max_links=100")
    return Given(name.strip(), value, "--set")
