"""`netstructer chat serve`: a chat of one's own.  Floor: ROOF.

What it takes is imported when somebody serves: every other command would wait for it, too.
"""

from __future__ import annotations

from typing import Annotated

import typer

from netstructer.cli.admitted import Users, admitted, proved
from netstructer.cli.chat.join import CHAT_PORT
from netstructer.cli.options import CipherAsked, IdentityFile, Json, KeyFile, cipher_of, listening_place
from netstructer.cli.outcomes import command
from netstructer.errors import Misuse

__all__ = ["serve"]


@command
def serve(
    address: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="PORT or HOST:PORT to listen at; 0.0.0.0:PORT for all networks, port 0 for a free one.",
        ),
    ] = f"127.0.0.1:{CHAT_PORT}",
    room: Annotated[str, typer.Option(metavar="ROOM", help="The room that everybody joins first.")] = "lobby",
    greeting: Annotated[str, typer.Option(metavar="TEXT", help="What who comes is told.", show_default=False)] = "",
    history: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Keep what is said in rooms in this file.  [default: chat.db beside the default key file]",
            show_default=False,
        ),
    ] = None,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep nothing of what is said.")] = False,
    days: Annotated[float, typer.Option(metavar="DAYS", min=0.001, help="How long messages are kept.")] = 90.0,
    messages: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many are kept of each room.")] = 5000,
    accounts: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Let only those in who log in, with an account of this file.  Without it, people name themselves, and "
            "who has a key of his own has its user's name.",
            show_default=False,
        ),
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Write down in this audit who came, went and moderated, and what was done to accounts; never what was "
            "said.",
            show_default=False,
        ),
    ] = None,
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    users: Users = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Run a chat until Ctrl-C: rooms, private messages, a history; and print who comes and goes.

    It listens on this machine alone unless you say otherwise, and prints what clients have to type.  Where there is no
    key yet, a default key file is made: whoever has the key may come in.  With --json: one line for each event
    (listening, noted).
    """
    if no_history and history is not None:
        raise Misuse("expected --history or --no-history, not both")
    place = listening_place(address, default_port=CHAT_PORT)
    suite = cipher_of(cipher)
    from netstructer.cli.chat.hosting import Plan, default_history_path, host

    plan = Plan(
        room=room,
        greeting=greeting,
        history=None if no_history else history or default_history_path(),
        days=days,
        messages=messages,
        accounts=accounts,
        audit=audit,
        json=json,
    )
    host(place, admitted(key_file, users), proved(identity), suite, plan)
