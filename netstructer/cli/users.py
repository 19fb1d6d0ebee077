"""`netstructer users`: the accounts of a server in their file, on the machine where that is.  Floor: ROOF.

Law: whoever may write the file may all; a server that has it open goes on, and finds what has changed.
"""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netstructer.cli.admin import PasswordFile
from netstructer.cli.options import Json
from netstructer.cli.outcomes import command
from netstructer.errors import Misuse

if TYPE_CHECKING:
    from netstructer.services.admin.verbs import Table

__all__ = ["local_table", "users"]

NOUNS = ("users", "roles", "invitations")
_MAKING = {"first-admin"}


@command
def users(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The file of the accounts.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND ...",
            help="As in: list, first-admin NAME, add NAME, reset NAME, ban NAME --reason spam, roles list.  help lists "
            "them.",
            show_default=False,
        ),
    ] = None,
    password_file: PasswordFile = None,
    audit: Annotated[
        str | None,
        typer.Option("--audit", metavar="AUDIT", help="Note what is done in this audit, too.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Look after the accounts of a server, in their file: also while the server runs.

    first-admin makes the first admin, and the file where there is none; who is an admin makes others, from elsewhere
    with netstructer admin. add and reset show a password that was made by chance, once; whoever signs in with it
    has to choose another.
    """
    # Imported late: no other command needs the tables.
    from netstructer.services.admin.wording import help_of, parse

    table, typed = local_table(), words or ["help"]
    if typed[0] == "help":
        for line in help_of(typed[1:], table):
            _write(line)
        return
    wanted = parse([word for word in typed if word != "--json"], table)
    if not os.path.exists(path) and wanted.verb.name not in _MAKING:
        raise Misuse(f"there is no file {path}: netstructer users {path} first-admin NAME makes it")
    _do(path, typed, table, password_file, audit, as_json=json)


def local_table() -> Table:
    """Return the verbs that need no server, under the names that are typed here: `ban` for `users.ban`."""
    from netstructer.services.admin import TABLE
    from netstructer.services.admin.verbs import Table

    found = [verb for noun in NOUNS for verb in TABLE.about(noun)]
    return Table(replace(verb, name=verb.name.removeprefix("users."), aliases=()) for verb in found)


def _do(
    path: str, words: list[str], table: Table, password_file: str | None, audit: str | None, *, as_json: bool
) -> None:
    """Do one command on a file of accounts."""
    from netstructer.services.accounts import Accounts
    from netstructer.services.admin import TABLE, Admin
    from netstructer.services.admin.shell import Shell
    from netstructer.services.admin.verbs import Verb
    from netstructer.services.audit import Audit
    from netstructer.services.audited import account_note

    with ExitStack() as stack:
        accounts = stack.enter_context(Accounts(path))
        kept = None if audit is None else stack.enter_context(Audit(audit))
        if kept is not None:
            accounts.observe(account_note(kept))
        desk = stack.enter_context(Admin(accounts=accounts, note=None if kept is None else kept.note))
        local = desk.acting(f"{_login_name()} (here)")

        def ask(verb: Verb, values: dict[str, Any]) -> Any:
            full = verb.name if verb.name in TABLE and verb.noun else f"users.{verb.name}"
            return local.call(full, **values)

        def secret(prompt: str) -> str:
            return _chosen(prompt, password_file)

        Shell(table, ask, write=_write, ask_secret=secret, as_json=as_json).run(words)


def _chosen(prompt: str, file: str | None) -> str:
    """Return a new password; typed twice, where it is typed.  Raises `Misuse`."""
    from netstructer.services.admin.typed import read_secret

    first = read_secret(prompt, file=file)
    if file is None and sys.stdin.isatty() and read_secret("again: ") != first:
        raise Misuse("the two passwords are not the same")
    return first


def _login_name() -> str:
    """Return as whom one is logged in on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
