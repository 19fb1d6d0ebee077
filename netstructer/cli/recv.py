"""`netstructer recv`: wait for values, print them whole.  Floor: ROOF.  Law: stdout holds values and nothing else."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from netstructer.cli.admitted import Users, admitted, proved
from netstructer.cli.inbox import Arrived, Inbox, Left, Refused, listening
from netstructer.cli.literals import facts_of, literal, type_name
from netstructer.cli.options import CipherAsked, IdentityFile, KeyFile, cipher_of, listening_place
from netstructer.cli.outcomes import command, sentence_of
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.errors import Misuse
from netstructer.services.room import Answered

__all__ = ["recv"]


@command
def recv(
    address: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="PORT or HOST:PORT to listen at; 0.0.0.0:PORT for all networks, port 0 for a free one.",
        ),
    ] = "127.0.0.1:5000",
    count: Annotated[
        int | None,
        typer.Option("-n", "--count", metavar="COUNT", min=1, help="End after COUNT values, from however many links."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on with further links, until Ctrl-C.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="End with exit code 5 when nothing comes for so long."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write bytes and texts as they are, nothing added; other types are refused.")
    ] = False,
    key_file: KeyFile = None,
    identity: IdentityFile = None,
    users: Users = None,
    cipher: CipherAsked = "fernet",
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print each value as JSON: type, literal, and value where JSON loses nothing of it."
        ),
    ] = False,
) -> None:
    """Wait for a `send` and print what comes: one Python literal a line.

    Ends when the first link is over, after COUNT values with -n, or never with --keep.  Where there is no key yet,
    a default key file is made, to be copied to the machine that sends.
    """
    if raw and json:
        raise Misuse("expected --raw or --json, not both")
    inbox = Inbox()
    left = count
    options = {"address": listening_place(address), "cipher": cipher_of(cipher)}
    guests = admitted(key_file, users)
    with listening(options | {"identity": proved(identity)}, guests, inbox):
        while left is None or left > 0:
            entry = inbox.next(timeout)
            if isinstance(entry, Arrived):
                _print(entry.value, raw=raw, json=json)
                left = left if left is None else left - 1
            elif isinstance(entry, Refused):
                stderr.print(f"note: {entry.link.peer} sent what is no value here: {sentence_of(entry.error)}")
            elif isinstance(entry, Answered) and entry.error is not None:
                stderr.print(f"note: {entry.link.peer} asked for files: {sentence_of(entry.error)}")
            elif isinstance(entry, Left) and left is None and not keep:
                if entry.error is not None:
                    raise entry.error
                return
            elif isinstance(entry, Left) and entry.error is not None:
                stderr.print(f"note: {entry.link.peer} was lost: {sentence_of(entry.error)}")


def _print(value: object, *, raw: bool, json: bool) -> None:
    if json:
        print_json(facts_of(value))
    elif not raw:
        stdout.print(literal(value))
    elif isinstance(value, (str, bytes, bytearray)):
        sys.stdout.buffer.write(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)
        sys.stdout.buffer.flush()
    else:
        raise Misuse(f"a {type_name(value)} has no raw form: receive it without --raw")
