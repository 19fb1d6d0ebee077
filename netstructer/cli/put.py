"""`netstructer put`: files and trees to a server, continued where an earlier try ended.  Floor: ROOF."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import Annotated, Any

import typer

from netstructer.cli.moving import Compress, DryRun, NoResume, Stall, Timeout, View, conversing
from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of
from netstructer.cli.outcomes import command
from netstructer.cli.places import STANDARD_STREAM, Place, parse_place
from netstructer.errors import Misuse
from netstructer.services.patience import STALL_SECONDS
from netstructer.services.printing import one_line
from netstructer.transfer import Outcome, Source, offer

__all__ = ["put"]


@command
def put(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files and directories of this machine; - is stdin.")
    ],
    place: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT[/DIR]",
            help="The server, and a directory in the one that it serves, made if it is missing.",
        ),
    ],
    dry_run: DryRun = False,
    no_resume: NoResume = False,
    compress: Compress = True,
    timeout: Timeout = 10.0,
    stall: Stall = STALL_SECONDS,
    key_file: KeyFile = None,
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Put files and whole directories at a server: netstructer serve --files DIR.

    Each PATH arrives under its own last name: put photos server:5000/2024 makes 2024/photos there. What is there
    already is not sent again, and what an earlier try has brought over is continued. A file gets its name when all of
    it is there and its digest is right. Where a file has the name, it is replaced.

    With - for PATH, the place names the file that stdin becomes: tar c photos | netstructer put - server:5000/p.tar,
    and so a file gets another name: netstructer put - server:5000/new.jpg < old.jpg
    """
    with View(json=json) as view:
        where = parse_place(place)
        sources, into, left = _sources(paths, where)
        continues = not no_resume and not dry_run and STANDARD_STREAM not in paths
        held: dict[str, Any] = {
            "timeout": timeout,
            "stall": stall,
            "server_identity": server_identity,
            "cipher": cipher_of(cipher),
        }
        with (
            conversing(where.address, key_file, **held, compress=compress, continues=continues) as channel,
            view.progress() as report,
        ):
            done = offer(
                channel,
                sources,
                into=into,
                resume=not no_resume,
                dry_run=dry_run,
                progress=report,
                clock=time.monotonic,
                check=False,
            )
        done.outcomes += left
        view.close(done, verb="sent")


def _sources(paths: list[str], place: Place) -> tuple[list[str | Source], str, list[Outcome]]:
    """Return what is to be offered, the directory that it goes to, and what of many is left out, as in a tree.

    Raises `Misuse`, `UnsafeName`, and `OSError` for a path that is not there, before anything is connected.
    """
    if STANDARD_STREAM in paths:
        if len(paths) > 1:
            raise Misuse("expected - alone: stdin is one file")
        if not place.path or place.path.endswith("/"):
            raise Misuse(f"expected a name for what comes from stdin, as in {place.address}/NAME")
        into, _, name = place.directory.rpartition("/")
        return [Source(sys.stdin.buffer, name)], into, []
    sources: list[str | Source] = []
    left: list[Outcome] = []
    names: dict[str, str] = {}
    for path in paths:
        why = _why_not(path)
        if why:
            left.append(Outcome(name=path, status="skipped", kind="other", reason=why))
            continue
        name = os.path.basename(os.path.abspath(path))
        other = names.setdefault(name, path)
        if not os.path.samefile(other, path):
            raise Misuse(f"{one_line(other)} and {one_line(path)} would both arrive as {one_line(name)}")
        sources.append(path)
    if not sources:
        raise Misuse(f"{one_line(left[0].name)} is {left[0].reason}; what comes out of a pipe is put with -")
    return sources, place.directory, left


def _why_not(path: str) -> str:
    """Say what a path is that cannot be put, nothing where it can be.  Raises `OSError` and `Misuse`."""
    if not path:
        raise Misuse("expected a path, found an empty one")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            return "a link that leads nowhere"
        raise
    return "" if stat.S_IFMT(mode) in (stat.S_IFREG, stat.S_IFDIR) else "no file or directory"
