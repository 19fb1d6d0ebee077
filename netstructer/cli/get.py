"""`netstructer get`: files and trees from a server, continued where an earlier try ended.  Floor: ROOF.

Law: with `-` stdout holds the bytes of the files and nothing else.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from netstructer.cli.moving import CONTINUES, DryRun, NoResume, Stall, Timeout, View, conversing
from netstructer.cli.options import CipherAsked, Json, KeyFile, Pinned, cipher_of
from netstructer.cli.outcomes import DiskFull, command
from netstructer.cli.places import STANDARD_STREAM, split_get
from netstructer.errors import Misuse, NetstructerError
from netstructer.services.patience import STALL_SECONDS
from netstructer.services.printing import one_line
from netstructer.transfer import fetch
from netstructer.transfer.pouring import pour
from netstructer.transfer.wording import FULL

__all__ = ["get"]


@command
def get(
    first: Annotated[
        str, typer.Argument(metavar="HOST:PORT/PATH", help="The server, and a path or pattern in what it serves.")
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST:PORT/PATH | DIRECTORY",
            help="More of them.  The last may be the directory here that all go to, made if it is missing; without "
            "one it is the current directory.  - is stdout.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    no_resume: NoResume = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep files that are there: what comes becomes 'x (2).jpg'.")
    ] = False,
    no_replace: Annotated[
        bool,
        typer.Option("--no-replace", help="Leave files that are there as they are, and take no other of the name."),
    ] = False,
    timeout: Timeout = 10.0,
    stall: Stall = STALL_SECONDS,
    key_file: KeyFile = None,
    server_identity: Pinned = None,
    cipher: CipherAsked = "fernet",
    json: Json = False,
) -> None:
    """Get files and whole directories from a server: netstructer serve --files DIR.

    A PATH may be a pattern, in quotes so that it reaches the server as it stands: 'server:5000/photos/*.jpg' brings
    the files that end so, 'server:5000/**/*.jpg' those of all directories, server:5000/photos the directory with all
    that is in it, server:5000/ everything.

    What is here already is not sent again, and what an earlier try has brought over is continued. A file gets its
    name when all of it is here and its digest is right. Where another file has the name, it is replaced; see --keep
    and --no-replace.

    With - for DIRECTORY, the bytes of the files go to stdout: netstructer get server:5000/photos.tar - | tar x
    """
    to_stdout = STANDARD_STREAM in (more or [])[-1:]
    with View(json=json, facts_to=sys.stderr if to_stdout else None) as view:
        if keep and no_replace:
            raise Misuse("expected --keep or --no-replace, not both")
        address, patterns, directory = split_get([first, *(more or [])])
        held: dict[str, Any] = {
            "timeout": timeout,
            "stall": stall,
            "server_identity": server_identity,
            "cipher": cipher_of(cipher),
        }
        reach = partial(conversing, address, key_file, **held)
        if to_stdout:
            _check_stdout(dry_run=dry_run)
            with reach() as channel, view.progress() as report:
                done = pour(channel, patterns, sys.stdout.buffer, progress=report, clock=time.monotonic, check=False)
                sys.stdout.buffer.flush()
        else:
            with (
                reach(continues=not no_resume and not dry_run) as channel,
                _place_for(directory or ".", dry_run=dry_run) as here,
                view.progress() as report,
            ):
                done = fetch(
                    channel,
                    patterns,
                    here,
                    resume=not no_resume,
                    overwrite="keep" if keep else "refuse" if no_replace else "replace",
                    dry_run=dry_run,
                    progress=report,
                    clock=time.monotonic,
                    check=False,
                )
        view.close(done, verb="received")


def _check_stdout(*, dry_run: bool) -> None:
    """Raise `Misuse` where the bytes of files cannot go to stdout."""
    if dry_run:
        raise Misuse("expected --dry-run or -, not both")
    if sys.stdout.isatty():
        raise Misuse("stdout is a terminal, and files may hold anything: pipe it, or name a directory")


@contextmanager
def _place_for(directory: str, *, dry_run: bool) -> Iterator[str]:
    """Yield a directory that exists: the one that was named, made if it is missing, or in a dry run one as empty.

    Raises `OSError`, `DiskFull` among them, and `Misuse`.  One that was made and into which nothing came is not left
    behind.
    """
    missing = not os.path.lexists(directory)
    if not missing and not os.path.isdir(directory):
        name = one_line(directory)
        raise Misuse(f"{name} is no directory; one file under another name: netstructer get PLACE - > {name}")
    if missing and dry_run:
        with TemporaryDirectory(prefix="netstructer-") as empty:
            yield empty
        return
    os.makedirs(directory, exist_ok=True)
    try:
        yield directory
    except OSError as error:
        if isinstance(error, NetstructerError) or error.errno not in FULL:
            raise
        raise DiskFull(error.errno, f"{error.strerror}; {CONTINUES}", error.filename or directory) from error
    finally:
        if missing:
            with suppress(OSError):  # it is not empty, as it should be
                os.rmdir(directory)
