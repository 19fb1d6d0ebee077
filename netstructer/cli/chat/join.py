"""`netstructer chat join`: talk in a chat.  Floor: ROOF.

What it takes is imported when somebody joins: every other command would wait for it, too.
"""

from __future__ import annotations

from typing import Annotated

import typer

from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of, find, peer_place
from netstructer.cli.outcomes import command
from netstructer.errors import Misuse

__all__ = ["CHAT_PORT", "join"]

CHAT_PORT = 8080
"""Where a chat listens and is looked for: another port than that of `serve`, so that both run on one machine."""
RECENT = 20
"""Messages from before that are shown at a terminal: a screen."""
PATIENCE_SECONDS = 60.0
"""How long a server that was lost is looked for, and an answer is waited for."""
PROMPT_SECONDS = 60.0
"""How long one may take to type a name or a password: long enough to find it."""


@command
def join(
    address: Annotated[
        str, typer.Argument(metavar="HOST[:PORT]", help=f"Where the chat is; without a port, {CHAT_PORT}.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to be called, and as whom to log in where the server wants that.",
            show_default=False,
        ),
    ] = None,
    room: Annotated[
        str | None,
        typer.Option(
            metavar="ROOM", help="The room to talk in.  [default: the one that is for all]", show_default=False
        ),
    ] = None,
    recent: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=0,
            max=200,
            help=f"Show so many messages from before.  [default: {RECENT} at a terminal, else 0]",
            show_default=False,
        ),
    ] = None,
    password_file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Log in with the password in the first line of this file.", show_default=False
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option("--register", help="Make an account of that name and password first, if the server lets you."),
    ] = False,
    invitation: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="With --register: what you were invited with.", show_default=False),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines in, lines out, as without a terminal; asks nothing.")
    ] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Without a terminal: read on when stdin has ended, until Ctrl-C.")
    ] = False,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long to look for a server that was lost.")
    ] = PATIENCE_SECONDS,
    prompt_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long you may take to type a name or a password.")
    ] = PROMPT_SECONDS,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.001, help="For connecting.")] = 10.0,
    key_file: KeyFile = None,
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Talk in a chat: what you type is said in your room, what others say is shown above it.

    Commands: /rooms /who /join /leave /tell /history /name /help /exit; exit and disconnect leave, too.  Without a
    terminal each line of stdin is said or done, messages come out on stdout one a line, notices on stderr, and the end
    of stdin ends it once all is said.  With --json: each message and notice as one line.
    """
    if invitation is not None and not register:
        raise Misuse("expected --invitation together with --register")
    place = peer_place(address, default_port=CHAT_PORT)
    from netstructer.cli.chat.entry import Wishes, come_and_talk

    come_and_talk(
        place,
        find(key_file).key,
        Wishes(
            name=name,
            room=room,
            recent=recent,
            recent_at_terminal=RECENT,
            password_file=password_file,
            register=register,
            invitation=invitation,
            plain=plain,
            stay=stay,
            json=json,
            patience=patience,
            prompt_seconds=prompt_timeout,
            connect_seconds=timeout,
            server_identity=server_identity,
            cipher=cipher_of(cipher),
        ),
    )
