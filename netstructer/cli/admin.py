"""`netstructer admin`: administer a server from elsewhere, a command at a time or in a conversation.  Floor: ROOF."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from netstructer import Link
from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of, find, peer_place
from netstructer.cli.outcomes import command
from netstructer.credentials import PASSWORD_VARIABLE
from netstructer.errors import LinkClosed, Misuse
from netstructer.services.printing import one_line
from netstructer.signals import terminable

if TYPE_CHECKING:
    from netstructer.cli.remote import Remote
    from netstructer.services.admin.shell import Shell

__all__ = ["AnyWords", "PasswordFile", "admin"]

COMMAND_SECONDS = 30.0
"""How long a command may take: as long as a client's action, and half as long again as all pings together."""

AnyWords = {"ignore_unknown_options": True}
"""Options of the commands are not typer's to know."""
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="PATH",
        help=f"Take the password from this file of one line.  Without it: {PASSWORD_VARIABLE}, or it is asked for.",
        show_default=False,
    ),
]


@command
def admin(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The server.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND ...",
            help="One command, as in: users ban ada --reason spam.  Without it commands are read, with completion.  "
            "help lists them.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Sign in as this user, by a password.", show_default=False),
    ] = None,
    password_file: PasswordFile = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="For connecting, and for each command.")
    ] = COMMAND_SECONDS,
    key_file: KeyFile = None,
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Administer a server that serves with --accounts, or lets users of its key ring administer it.

    One command is done and its result printed; exit code 9 says that one may not.  Without a command, or with
    lines through a pipe, each line is one, and what is wrong with it is told in a sentence.  See docs/admin.md.
    """
    # Imported late, here and below: no other command needs the tables.
    from netstructer.cli.remote import REMOTE_TABLE, Remote
    from netstructer.services.admin.shell import Shell
    from netstructer.services.admin.typed import read_secret
    from netstructer.services.admin.wording import help_of, parse

    typed = words or []
    if typed[:1] == ["help"]:
        for line in help_of(typed[1:], REMOTE_TABLE):
            _write(line)
        return
    if typed:
        parse([word for word in typed if word != "--json"], REMOTE_TABLE)  # what is mistyped needs no server
    place, found = peer_place(address), find(key_file)
    with (
        terminable(),
        Link(
            place,
            key=found.key,
            timeout=timeout,
            server_identity=server_identity,
            cipher=cipher_of(cipher),
        ) as link,
    ):
        remote = Remote(link, timeout)
        remote.sign_in(user, password_file)
        shell = Shell(REMOTE_TABLE, remote.ask, write=_write, ask_secret=read_secret, as_json=json)
        if typed:
            shell.run(typed)
        else:
            _converse(remote, shell, f"{one_line(remote.user or 'admin')}@{place}> ")


def _converse(remote: Remote, shell: Shell, prompt: str) -> None:
    """Do what lines say, to their end, or that of the link.  Raises `Misuse` where lines through a pipe failed."""
    from netstructer.services.admin.typed import lines_from
    from netstructer.services.admin.wording import complete

    lines = lines_from(sys.stdin, partial(complete, table=shell.table))
    failed = 0
    with lines.printing():
        if lines.is_terminal:
            remote.listen(_write, lines.stop)
        while True:
            line = lines.next(prompt)
            if line is None:
                break
            before = shell.failed
            if not shell.obey(line):
                break
            failed += shell.failed - before
            if remote.link.closed:
                raise LinkClosed("the server has said farewell")
        remote.leaving = True
    if failed and not lines.is_terminal:
        raise Misuse(f"{failed} of the commands failed, as was told above")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
