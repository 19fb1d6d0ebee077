"""`netstructer serve`: a server that shows what comes, or sends it back.  Floor: ROOF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from netstructer import Link, Server
from netstructer.cli.administered import administered
from netstructer.cli.admitted import Admitted, Users, admitted, proved
from netstructer.cli.closing import facts_of_transfer, line_of, sentence
from netstructer.cli.fileroom import FileRoom
from netstructer.cli.inbox import Arrived, Inbox, Joined, Left, News, Refused, Stopped, listening
from netstructer.cli.literals import facts_of, type_name
from netstructer.cli.logged import logged
from netstructer.cli.options import IdentityFile, Json, KeyFile
from netstructer.cli.outcomes import command, name_of, sentence_of
from netstructer.cli.readiness import ready
from netstructer.cli.screen import pretty, print_json, size, stderr, stdout
from netstructer.cli.told import Assignments, ConfigFile, PortRange, ServerCipher, flags, place, told
from netstructer.lan import addresses_for_clients, lan_address
from netstructer.services.configuration import Configuration, Value, server_arguments
from netstructer.services.configuration.tables import STALL_SECONDS
from netstructer.services.logs import LogFiles
from netstructer.services.printing import one_line
from netstructer.services.room import Answered

__all__ = ["serve"]

MISSING_SHOWN = 3
"""Files of one transfer that did not arrive and are named; the line says how many there are."""


@command
def serve(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE",
            help="PORT or HOST:PORT to listen at; 0.0.0.0:PORT for all networks, port 0 for a free one.  "
            "[default: 127.0.0.1:5000]",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    lan: Annotated[
        bool,
        typer.Option("--lan", help="Listen at this machine's address in the local network; nobody is asked for it."),
    ] = False,
    port_range: PortRange = None,
    max_links: Annotated[
        int | None,
        typer.Option(
            "--max-links",
            metavar="N",
            help="Tell who comes beyond so many links that the server is busy.",
            show_default=False,
        ),
    ] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Send each value back as it came.")] = False,
    files: Annotated[
        str | None,
        typer.Option(
            "--files",
            metavar="DIR",
            help="Serve the files in this directory too: see put, get and ls.  Nothing outside of it is reached.",
            show_default=False,
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="With --files: give files and take none.")] = False,
    stall: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help=f"With --files: give a transfer up in which nothing moves for so long.  [default: {STALL_SECONDS:g}]",
            show_default=False,
        ),
    ] = None,
    log_directory: Annotated[
        str | None,
        typer.Option(
            "--log-dir",
            metavar="DIR",
            help="Write what goes on into server.log in this directory, and errors into error.log, too.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what is logged on stderr.")] = False,
    accounts: Annotated[
        str | None,
        typer.Option(
            "--accounts",
            metavar="FILE",
            help="Have accounts in this file, made if it is missing: see users, and admin, which administers.",
            show_default=False,
        ),
    ] = None,
    console: Annotated[
        bool, typer.Option("--console", help="Read commands from this terminal: help lists them.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End when the first link is over.")] = False,
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    users: Users = None,
    cipher: ServerCipher = None,
    json: Json = False,
) -> None:
    """Run a server that prints each value that comes, from any number of links, until Ctrl-C.

    Long values are shortened on the screen; `recv` prints them whole.  Where there is no key yet, a default key
    file is made; a user that `pair` adds is let in at once. With --files DIR it serves a directory to put, get and
    ls; whoever has a key can read and replace what is in it. With --json: one line for each event (listening,
    joined, value, refused, files, left).  What is said here goes before variables, and they before --config.
    """
    spelled: dict[str, tuple[str, Value]] = {
        "--lan": ("server.lan", lan or None),
        "--port-range": ("server.port_range", port_range),
        "--max-links": ("server.max_links", max_links),
        "--echo": ("server.handler", "echo" if echo else None),
        "--files": ("files.directory", files),
        "--read-only": ("files.read_only", read_only or None),
        "--stall": ("files.stall_seconds", stall),
        "--accounts": ("accounts.file", accounts),
        "--console": ("admin.console", console or None),
        "--log-dir": ("logs.directory", log_directory),
        "--verbose": ("logs.verbose", verbose or None),
        "--key-file": ("server.key_file", key_file),
        "--identity": ("server.identity", identity),
        "--users": ("server.users_file", users),
        "--cipher": ("server.cipher", cipher),
    }
    configuration = told(config, assignments, [*place(address), *flags(spelled)])
    with logged(configuration.section("logs")) as logs:
        code = _serve(configuration, logs, once=once, json=json)
    if code:
        raise typer.Exit(code)


def _serve(configuration: Configuration, logs: LogFiles | None, *, once: bool, json: bool) -> int:
    """Serve as it was told until Ctrl-C, an administrator's word, or with `once` until the first link is over; return
    the exit code.
    """
    server_told, files_told = configuration.section("server"), configuration.section("files")
    room = _room_of(files_told)
    inbox = Inbox(echo=server_told["handler"] == "echo", files=room)
    guests = admitted(_path_of(server_told["key_file"]), _path_of(server_told["users_file"]))
    options = server_arguments(configuration, lan=lan_address)
    options["identity"] = proved(str(server_told["identity"]) if configuration.is_given("server.identity") else None)
    drain = float(str(server_told["drain_seconds"]))
    with (
        listening(options, guests, inbox, drain=drain) as server,
        administered(configuration, server, logs, inbox.stop) as admin,
    ):
        if room is not None:
            stderr.print(f"serving the files in {one_line(room.path)}{'' if room.writable else ', read only'}")
        if json:
            _print_listening(server, guests, room)
        with ready(f"listening on {server.address}"):
            while True:
                entry = inbox.next(None)
                if isinstance(entry, Stopped):
                    server.close(drain=entry.seconds)
                    return 0 if admin is None else admin.exit_code
                if json:
                    _print_facts(entry)
                elif room is None or _is_news(entry):
                    _print(entry)
                if once and isinstance(entry, Left):
                    return 0


def _room_of(told: Mapping[str, Value]) -> FileRoom | None:
    """Return where files are served as the section `files` says it, None where they are not.  Raises `OSError`."""
    if told["directory"] is None:
        return None
    return FileRoom(str(told["directory"]), writable=not told["read_only"], stall=float(str(told["stall_seconds"])))


def _path_of(value: Value) -> str | None:
    """Return a path that was given."""
    return None if value is None else str(value)


def _print_listening(server: Server, guests: Admitted, room: FileRoom | None) -> None:
    host, port = server.address
    facts: dict[str, object] = {"event": "listening", "host": host, "port": port}
    facts["clients_dial"] = [str(place) for place in addresses_for_clients(server.address)]
    facts |= {"fingerprint": guests.found.key.fingerprint if guests.found else None, "users": guests.users}
    if server.identity is not None:
        facts["identity"] = server.identity.fingerprint
    if room is not None:
        facts |= {"files": room.path, "writable": room.writable}
    print_json(facts)


def _is_news(entry: News) -> bool:
    """Say whether a server of files shows an entry: its links come for one request and go, and that has a line."""
    if isinstance(entry, Left):
        return entry.error is not None
    return not isinstance(entry, Joined)


def _print(entry: News) -> None:
    name = f"{entry.link.id[:4]} {entry.link.peer}"
    match entry:
        case Joined():
            stdout.print(f"+ {name} joined", style="green")
        case Arrived(value=value):
            stdout.print(f"< {name} {type_name(value)}", style="cyan")
            stdout.print(pretty(value))
        case Refused(error=error):
            stdout.print(f"! {name} sent what is no value here: {sentence_of(error)}", style="yellow")
        case Answered():
            _print_answer(name, entry)
        case Left(error=error):
            why = f": {sentence_of(error)}" if error else ""
            stdout.print(f"- {name} left after {_totals(entry.link)}{why}", style="yellow" if error else "dim")


def _print_answer(name: str, entry: Answered) -> None:
    what = " ".join(filter(None, (name, entry.command, one_line(entry.subject))))
    if entry.done is not None:
        said = sentence(entry.done, verb="received" if entry.command == "put" else "sent")
        missing = "".join(f"; {line_of(outcome)}" for outcome in entry.done.missing[:MISSING_SHOWN])
        stdout.print(f"= {what}: {said}{missing}", style="yellow" if missing else "cyan")
    elif entry.error is not None:
        stdout.print(f"! {what}: {sentence_of(entry.error)}", style="yellow")
    else:
        stdout.print(f"= {what}", style="dim")


def _totals(link: Link) -> str:
    stats = link.stats
    count = stats.messages_received
    noun = "value" if count == 1 else "values"
    return f"{count} {noun}, {size(stats.plain_received)} plain, {size(stats.wire_received)} on the wire"


def _print_facts(entry: News) -> None:
    facts: dict[str, object] = {"event": "", "link": entry.link.id, "peer": str(entry.link.peer)}
    match entry:
        case Joined():
            facts["event"] = "joined"
        case Arrived(value=value):
            facts |= {"event": "value", **facts_of(value)}
        case Refused(error=error):
            facts |= {"event": "refused", "error": name_of(error), "text": sentence_of(error)}
        case Answered(command=asked, subject=subject, done=done, error=error):
            facts |= {
                "event": "files",
                "command": asked,
                "subject": subject,
                "error": name_of(error) if error else None,
                "text": sentence_of(error) if error else None,
            }
            if done is not None:
                facts |= facts_of_transfer(done)
        case Left(error=error):
            stats = entry.link.stats
            facts |= {
                "event": "left",
                "error": name_of(error) if error else None,
                "values": stats.messages_received,
                "plain_bytes": stats.plain_received,
                "wire_bytes": stats.wire_received,
            }
    print_json(facts)
