"""`netstructer keygen`: make a key, or a server's identity.  Floor: ROOF.  Law: the key itself is printed only where
`--stdout` asks for it.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from netstructer.cli.options import Json
from netstructer.cli.outcomes import command
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.credentials import default_key_path
from netstructer.errors import Misuse
from netstructer.identity import Identity, default_identity_path
from netstructer.keys import Key

__all__ = ["keygen"]


@command
def keygen(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="Where to write it.  [default: the default key file]", show_default=False),
    ] = None,
    to_stdout: Annotated[
        bool, typer.Option("--stdout", help="Print the key itself and write no file, for a pipe or a secret store.")
    ] = False,
    identity: Annotated[bool, typer.Option("--identity", help="Make a server's identity instead of a key.")] = False,
    json: Json = False,
) -> None:
    """Make a key: a new file that only you may read.

    Both machines need the same key.  Copy the file to the other one by a way that you trust (scp, a USB stick, a secret
    store); compare the fingerprints, which are no secret.  An existing file is never overwritten.

    With --identity: what a server is known by (serve --identity).  The file stays on the server's machine; clients
    need its fingerprint and nothing else.
    """
    if to_stdout:
        if path is not None or json or identity:
            raise Misuse("--stdout goes with no PATH, --identity or --json: it prints the key and nothing else")
        key = Key.generate()
        stdout.print(key.reveal())
        stderr.print(f"fingerprint {key.fingerprint}")
        return
    made = Identity.generate() if identity else Key.generate()
    place = os.path.abspath(path or (default_identity_path() if identity else default_key_path()))
    if path is None:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    try:
        made.save(place)
    except FileExistsError:
        raise Misuse(
            f"{place} is there already and was left as it is: move it away first, or name another PATH"
        ) from None
    if json:
        print_json({"path": place, "fingerprint": made.fingerprint})
        return
    stdout.print(f"made        {place}\nfingerprint {made.fingerprint}")
    if identity:
        stderr.print("Leave that file here, and give clients the fingerprint: send --server-identity ns1:…")
    else:
        stderr.print("Copy that file to the other machine by a way that you trust; whoever has it is let in.")
