"""One transfer, as `put` and `get` hold it: the link, what is shown meanwhile, and how it ends.  Floor: ROOF."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Annotated, TextIO

import typer

from netstructer import Link
from netstructer.address import Address
from netstructer.cli.bars import Bars
from netstructer.cli.closing import facts_of_outcome, facts_of_transfer, line_of, planned, sentence
from netstructer.cli.options import find
from netstructer.cli.outcomes import code_of, name_of, sentence_of
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.codec.ciphers import CipherName
from netstructer.errors import LinkClosed, LinkLost, NetstructerError
from netstructer.services.patience import Patient
from netstructer.transfer import Channel, Progress, Refused, Report, Transfer

__all__ = [
    "CONTINUES",
    "Compress",
    "DryRun",
    "NoResume",
    "Stall",
    "Timeout",
    "View",
    "conversing",
    "error_of",
    "show_missing",
]

CONTINUES = "the same command continues where it stopped"
MISSING_SHOWN = 20
"""Files that have not arrived and are named one by one; the rest is counted.  --json names all."""

NoResume = Annotated[
    bool, typer.Option("--no-resume", help="Begin each file anew, whatever is there of it from an earlier try.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be moved, and move nothing.")]
Compress = Annotated[bool, typer.Option(help="Compress what gets smaller by it.")]
Timeout = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=0.001, help="For connecting.  A transfer may take as long as something moves."),
]
Stall = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0.001,
        help="How long nothing may move; and a second more for each 20 MiB that the other end has to compare.",
    ),
]


@contextmanager
def conversing(
    address: Address,
    key_file: str | None,
    *,
    timeout: float,
    stall: float,
    server_identity: str | None = None,
    cipher: CipherName = "fernet",
    compress: bool = True,
    continues: bool = False,
) -> Iterator[Channel]:
    """Open a link and a conversation about files on it, in which nothing is waited for longer than `stall` allows.

    Ctrl-C cuts the link, so that nothing is waited for.  With `continues`, the text of an interrupt and of a link that
    was lost says that the same command goes on from there.  Raises what `Link` raises, and `MissingKey`.
    """
    hint = f"; {CONTINUES}" if continues else ""
    key = find(key_file).key
    # What continues a transfer is the same command.  A session that waited for a command that was killed would hold the
    # lock on what the next one is to continue, for as long as it waits.
    with Link(
        address,
        key=key,
        timeout=timeout,
        resume=False,
        compress=compress,
        server_identity=server_identity,
        cipher=cipher,
    ) as link:
        try:
            yield Patient(link.conversation(), stall, hint=f"; --stall SECONDS waits longer{hint}")
        except KeyboardInterrupt:
            link.abort()
            raise KeyboardInterrupt(f"interrupted{hint}") from None
        except (LinkLost, LinkClosed) as error:
            raise type(error)(f"{error}{hint}") from error
        except Refused as error:
            if error.kind != "full":
                raise
            raise Refused(f"{error}{hint}", kind=error.kind, name=error.name) from error


class View:
    """What is shown of one transfer: bars on a terminal, lines of JSON with `json`, else nothing but the end.

    All that a command does is done within it: with `json`, whatever it raises has a last line, too.
    """

    def __init__(self, *, json: bool, facts_to: TextIO | None = None) -> None:
        self._json = json
        self._facts_to = facts_to

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._json and isinstance(error, (Exception, KeyboardInterrupt)) and not isinstance(error, typer.Exit):
            text = sentence_of(error) if isinstance(error, Exception) else str(error) or "interrupted"
            with suppress(OSError):  # nobody reads it any more
                self._print({"event": "done", "error": name_of(error), "text": text})

    @contextmanager
    def progress(self) -> Iterator[Report | None]:
        """Yield what is to be called with progress, if anything is shown."""
        if self._json:
            yield self._tell
        elif sys.stderr.isatty():  # and not where FORCE_COLOR asks for colours in a file
            with Bars() as bars:
                yield bars.report
        else:
            yield None

    def close(self, done: Transfer, *, verb: str) -> None:
        """Show what became of it; `verb` is `sent` or `received`.

        Raises `typer.Exit` with the code of the first file that has not arrived.
        """
        error = error_of(done)
        if self._json:
            for outcome in done.outcomes:
                self._print({"event": "file", **facts_of_outcome(outcome)})
            self._print(
                {
                    "event": "done",
                    **facts_of_transfer(done),
                    "error": name_of(error) if error else None,
                    "text": sentence_of(error) if error else None,
                }
            )
        else:
            if done.dry:
                _print_lines(stdout.out, [planned(outcome) for outcome in done.outcomes])
            else:
                show_missing(done, verb)
            stderr.print(sentence(done, verb=verb))
        if error is not None:
            raise typer.Exit(code_of(error))

    def _tell(self, progress: Progress) -> None:
        self._print(
            {
                "event": "progress",
                "name": progress.name,
                "done": progress.done,
                "total": progress.total,
                "rate": round(progress.rate),
                "wire": progress.wire,
                "files_done": progress.files_done,
                "files_total": progress.files_total,
                "whole_done": progress.whole_done,
                "whole_total": progress.whole_total,
            }
        )

    def _print(self, facts: dict[str, object]) -> None:
        print_json(facts, to=self._facts_to)


def error_of(done: Transfer) -> NetstructerError | None:
    """Return the error of the first file that has not arrived."""
    try:
        done.check()
    except NetstructerError as error:
        return error
    return None


def show_missing(done: Transfer, verb: str) -> None:
    """Name what has not arrived, and why, on stderr."""
    missing = done.missing
    _print_lines(stderr.print, [line_of(outcome, verb=verb) for outcome in missing[:MISSING_SHOWN]])
    if len(missing) > MISSING_SHOWN:
        stderr.print(f"and {len(missing) - MISSING_SHOWN:,} more")


def _print_lines(show: Callable[[str], object], lines: list[str]) -> None:
    if lines:
        show("\n".join(lines))
