"""`netstructer serve`: a server that shows what comes, or sends it back.  Floor: ROOF."""

from __future__ import annotations

from typing import Annotated

import typer

from netstructer import Link
from netstructer.cli.inbox import Arrived, Entry, Inbox, Joined, Left, Refused, listening
from netstructer.cli.literals import facts_of, type_name
from netstructer.cli.options import Json, KeyFile
from netstructer.cli.outcomes import command, sentence_of
from netstructer.cli.screen import pretty, print_json, size, stdout

__all__ = ["serve"]


@command
def serve(
    address: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="PORT or HOST:PORT to listen at; 0.0.0.0:PORT for all networks, port 0 for a free one.",
        ),
    ] = "127.0.0.1:5000",
    echo: Annotated[bool, typer.Option("--echo", help="Send each value back as it came.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End when the first link is over.")] = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Run a server that prints each value that comes, from any number of links, until Ctrl-C.

    Long values are shortened on the screen; `recv` prints them whole.  Where there is no key yet, a default key
    file is made. With --json: one line for each event (listening, joined, value, refused, left).
    """
    inbox = Inbox(echo=echo)
    with listening(address, key_file, inbox) as (server, found):
        if json:
            host, port = server.address
            print_json({"event": "listening", "host": host, "port": port, "fingerprint": found.key.fingerprint})
        while True:
            entry = inbox.next(None)
            (_print_facts if json else _print)(entry)
            if once and isinstance(entry, Left):
                return


def _print(entry: Entry) -> None:
    name = f"{entry.link.id[:4]} {entry.link.peer}"
    match entry:
        case Joined():
            stdout.print(f"+ {name} joined", style="green")
        case Arrived(value=value):
            stdout.print(f"< {name} {type_name(value)}", style="cyan")
            stdout.print(pretty(value))
        case Refused(error=error):
            stdout.print(f"! {name} sent what is no value here: {sentence_of(error)}", style="yellow")
        case Left(error=error):
            why = f": {sentence_of(error)}" if error else ""
            stdout.print(f"- {name} left after {_totals(entry.link)}{why}", style="yellow" if error else "dim")


def _totals(link: Link) -> str:
    stats = link.stats
    count = stats.messages_received
    noun = "value" if count == 1 else "values"
    return f"{count} {noun}, {size(stats.plain_received)} plain, {size(stats.wire_received)} on the wire"


def _print_facts(entry: Entry) -> None:
    facts: dict[str, object] = {"event": "", "link": entry.link.id, "peer": str(entry.link.peer)}
    match entry:
        case Joined():
            facts["event"] = "joined"
        case Arrived(value=value):
            facts |= {"event": "value", **facts_of(value)}
        case Refused(error=error):
            facts |= {"event": "refused", "error": type(error).__name__, "text": sentence_of(error)}
        case Left(error=error):
            stats = entry.link.stats
            facts |= {
                "event": "left",
                "error": type(error).__name__ if error else None,
                "values": stats.messages_received,
                "plain_bytes": stats.plain_received,
                "wire_bytes": stats.wire_received,
            }
    print_json(facts)
