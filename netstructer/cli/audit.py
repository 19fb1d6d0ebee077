"""`netstructer audit`: who did what, and whether it is as it was written.  Floor: ROOF."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from netstructer.cli.options import Json
from netstructer.cli.outcomes import command
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.cli.times import Since, moment_of
from netstructer.errors import AuditDamaged

if TYPE_CHECKING:
    from netstructer.services.audit_chain import AuditRow, Verdict
    from netstructer.services.audit_reader import AuditReader

__all__ = ["audit", "head", "show", "verify"]

audit = typer.Typer(
    help="Look into an audit: who did what, and whether it is as it was written.  Each command has --help and --json.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group; `app` puts the commands in."""

Place = Annotated[str, typer.Argument(metavar="PATH", help="The audit's file.", show_default=False)]
AuditKey = Annotated[
    str | None,
    typer.Option("--key-file", metavar="KEY", help="The key of the audit, if it is not PATH.key.", show_default=False),
]


def _reader(path: str, key_file: str | None = None) -> AuditReader:
    from netstructer.services.audit_reader import AuditReader  # Imported late: every other command would wait for it.

    return AuditReader(path, key_file=key_file)


@command
def verify(
    path: Place,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="ROW:TAG|FILE",
            help="A head that was noted before (audit head), or the file of anchors that the server kept elsewhere.",
            show_default=False,
        ),
    ] = None,
    key_file: AuditKey = None,
    json: Json = False,
) -> None:
    """Check that every row is as it was written: none was changed, removed, put in or moved.

    That rows are missing at the end is found with --anchor alone: what is left of an audit that was cut off, or of an
    old copy that was put back, is sound. An audit that is not sound is exit code 8, and the first row that is not is
    named. The server may run meanwhile.
    """
    with _reader(path, key_file) as reader:
        verdict = reader.verify(anchor=anchor)
    if json:
        print_json(_facts_of(verdict))
    if not verdict.sound:
        where = f"row {verdict.row} " if verdict.row else ""
        raise AuditDamaged(f"{path}: {where}{verdict.fault}", row=verdict.row)
    if not json:
        seen = f", {verdict.anchors} anchors met" if anchor is not None else ""
        stdout.print(f"sound  {verdict.rows} rows{seen}\nhead   {verdict.head}")
    if anchor is None:
        stderr.print("Without --anchor nobody can tell whether rows are missing at the end.")


def _facts_of(verdict: Verdict) -> dict[str, object]:
    return {
        "sound": verdict.sound,
        "rows": verdict.rows,
        "head": str(verdict.head),
        "anchors": verdict.anchors,
        "row": verdict.row or None,
        "fault": verdict.fault or None,
    }


@command
def show(
    path: Place,
    last: Annotated[int, typer.Option("--last", metavar="N", min=0, help="The last N rows of these; 0 for all.")] = 50,
    since: Since = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action", metavar="WORD", help="Only this action, and those below it: ban, ban.add.", show_default=False
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Only what this user did.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show rows: number, time, who, from where, action, to whom or what, result.

    Nothing is verified: netstructer audit verify. Text that others wrote is shown escaped. With --json: a line for each
    row, with its tag.
    """
    with _reader(path) as reader:
        rows: Iterable[AuditRow]
        if since is action is actor is None and last:
            rows = reader.last(last)
        else:
            rows = reader.rows(since=moment_of(since), action=action, actor=actor)
            rows = deque(rows, maxlen=last) if last else rows
        for row in rows:
            if json:
                print_json({**row.facts(), "tag": row.tag.hex()})
            else:
                stdout.out(str(row), highlight=False)


@command
def head(path: Place, json: Json = False) -> None:
    """Print the head: number and tag of the last row. Note it elsewhere, for audit verify --anchor.

    Whoever has it can tell later that all rows up to it are still there. It is no secret.
    """
    with _reader(path) as reader:
        found = reader.head()
    if json:
        print_json({"row": found.row, "tag": found.tag.hex(), "head": str(found)})
    else:
        stdout.print(str(found))
