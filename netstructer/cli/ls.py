"""`netstructer ls`: what there is at a server.  Floor: ROOF."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import typer

from netstructer.cli.closing import facts_of_outcome
from netstructer.cli.moving import Stall, Timeout, View, conversing, error_of, show_missing
from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of
from netstructer.cli.outcomes import code_of, command
from netstructer.cli.places import parse_place
from netstructer.cli.screen import print_json, size, stdout
from netstructer.services.patience import STALL_SECONDS
from netstructer.services.printing import one_line
from netstructer.transfer import Entry, Outcome, Transfer, listing

__all__ = ["ls"]

NANOSECONDS = 1_000_000_000
NO_TIME = "-" * 16


@command
def ls(
    place: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT[/PATH]",
            help="A server, and a file, directory or pattern (in quotes) in the directory that it serves.",
        ),
    ],
    timeout: Timeout = 10.0,
    stall: Stall = STALL_SECONDS,
    key_file: KeyFile = None,
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """List what there is at a server: netstructer serve --files DIR.

    One line for each entry: bytes, time of the last change, name. A directory ends in a slash; behind a symbolic link
    stands where it points. A name is what get takes: netstructer get HOST:PORT/NAME. With --json: one line of JSON for
    each. What is there and cannot be got (by its name, its kind, its permissions) is named on stderr.
    """
    with View(json=json):
        where = parse_place(place)
        held: dict[str, Any] = {
            "timeout": timeout,
            "stall": stall,
            "server_identity": server_identity,
            "cipher": cipher_of(cipher),
        }
        with conversing(where.address, key_file, **held) as channel:
            left: list[Outcome] = []
            entries = listing(channel, (where.path or "").removesuffix("/"), left=left.append)
    others = Transfer(outcomes=left)
    if json:
        for facts in [*map(_facts_of, entries), *map(facts_of_outcome, left)]:
            print_json(facts)
    else:
        if entries:
            stdout.out("\n".join(map(_line_of, entries)), highlight=False)
        show_missing(others, "listed")
    if error := error_of(others):
        raise typer.Exit(code_of(error))


def _line_of(entry: Entry) -> str:
    name = one_line(entry.name)
    if entry.kind == "directory":
        name += "/"
    elif entry.target is not None:
        name += f" -> {one_line(entry.target)}"
    return f"{'' if entry.size is None else size(entry.size):>10}  {_time_of(entry)}  {name}"


def _time_of(entry: Entry) -> str:
    if entry.mtime_ns is None:
        return NO_TIME
    try:
        moment = datetime.datetime.fromtimestamp(entry.mtime_ns // NANOSECONDS)
    except (OverflowError, OSError, ValueError):  # a year that no calendar here has
        return NO_TIME
    return f"{moment:%Y-%m-%d %H:%M}"


def _facts_of(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "mode": entry.mode,
        "target": entry.target,
    }
