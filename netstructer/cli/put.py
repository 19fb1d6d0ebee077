"""`netstructer put`: files and trees to a server, continued where an earlier try ended.  Floor: ROOF."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import Annotated

import typer

from netstructer.cli.moving import Compress, DryRun, NoResume, Stall, Timeout, View, conversing
from netstructer.cli.options import Json, KeyFile
from netstructer.cli.outcomes import command
from netstructer.cli.patience import STALL_SECONDS
from netstructer.cli.places import STANDARD_STREAM, Place, parse_place
from netstructer.cli.screen import one_line
from netstructer.errors import Misuse
from netstructer.transfer import Source, offer

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
    json: Json = False,
) -> None:
    """Put files and whole directories at a server: netstructer serve --files DIR.

    Each PATH arrives under its own last name: put photos server:5000/2024 makes 2024/photos there. What is there
    already is not sent again, and what an earlier try has brought over is continued. A file gets its name when all of
    it is there and its digest is right. Where a file has the name, it is replaced.

    With - for PATH, the place names the file that stdin becomes: tar c photos | netstructer put - server:5000/p.tar
    """
    where = parse_place(place)
    sources, into = _sources(paths, where)
    continues = not no_resume and not dry_run and STANDARD_STREAM not in paths
    view = View(json=json)
    with (
        conversing(
            where.address, key_file, timeout=timeout, stall=stall, compress=compress, continues=continues
        ) as channel,
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
    view.close(done, verb="sent")


def _sources(paths: list[str], place: Place) -> tuple[list[str | Source], str]:
    """Return what is to be offered and the directory that it goes to.

    Raises `Misuse`, `UnsafeName`, and `OSError` for a path that is not there, before anything is connected.
    """
    if STANDARD_STREAM not in paths:
        for path in paths:
            if stat.S_IFMT(os.stat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                raise Misuse(f"{one_line(path)} is no file or directory; what comes out of a pipe is put with -")
        return list(paths), place.directory
    if len(paths) > 1:
        raise Misuse("expected - alone: stdin is one file")
    if not place.path or place.path.endswith("/"):
        raise Misuse(f"expected a name for what comes from stdin, as in {place.address}/NAME")
    into, _, name = place.directory.rpartition("/")
    return [Source(sys.stdin.buffer, name)], into
