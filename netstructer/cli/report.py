"""`netstructer report`: what a server's stores say, as a report.  Floor: ROOF."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from netstructer.cli.options import Json
from netstructer.cli.outcomes import command
from netstructer.cli.screen import print_json, stdout
from netstructer.cli.sources import source_at
from netstructer.cli.times import Since, moment_of
from netstructer.errors import Misuse
from netstructer.services.cells import Report
from netstructer.services.formats import FORMATS
from netstructer.services.reports import FormatName, format_of, text_of, write_report

__all__ = ["report"]


@command
def report(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="Of an audit: audit (all rows), connections, users, transfers, chat, starts or status.  Of accounts: "
            "users.",
            show_default=False,
        ),
    ],
    store: Annotated[
        str,
        typer.Argument(metavar="STORE", help="The store's file, as audit.db or accounts.db.", show_default=False),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FILE|DIR",
            help="Write it there; in a directory it gets a name of its own.  Without it: to the screen.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="csv|txt|json|md",
            help="How it is written.  Without it: what the name of the file ends in, else csv.",
            show_default=False,
        ),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the file, under the header that it has.")] = False,
    since: Since = None,
    json: Json = False,
) -> None:
    """Write what a store says as a report: CSV, text, JSON or Markdown.

    A file that is there is never overwritten, only added to with --append. What is in an audit is not verified here:
    netstructer audit verify. With --json the path is printed as JSON, or, without --to, the report itself.
    """
    if append and to is None:
        raise Misuse("--append needs --to FILE")
    chosen = _format(form, to, json=json)
    with source_at(store) as source:
        if kind not in source.kinds:
            raise Misuse(f"{store} has no report named {kind!r}; expected one of: {', '.join(source.kinds)}")
        made = source.report(kind, since=moment_of(since))
        if to is None:
            _show(made, chosen)
            return
        try:
            place = write_report(made, to, chosen, append=append)
        except FileExistsError:
            raise Misuse(f"{to} is there already and was left as it was: name another, or --append") from None
    if json:
        print_json({"kind": kind, "path": place, "format": chosen})
    else:
        stdout.print(place)


def _format(given: str | None, to: str | None, *, json: bool) -> FormatName:
    if given is None:
        return format_of(to or "", otherwise="json" if json and to is None else "csv")
    for name in ("csv", "txt", "json", "md"):
        if given == name:
            return name
    raise Misuse(f"expected --format {', '.join(FORMATS)}")


def _show(made: Report, form: FormatName) -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and os.linesep != "\n":
        reconfigure(newline="")  # the lines have the ends that they are to have
    for piece in text_of(made, form):
        sys.stdout.write(piece)
    sys.stdout.flush()
