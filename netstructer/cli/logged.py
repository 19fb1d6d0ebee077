"""Log files and lines on the terminal, as the section `logs` says it.  Floor: ROOF.  Law: nothing is shown twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from netstructer.cli.screen import notes_off
from netstructer.services.configuration import Value
from netstructer.services.lines import text_line
from netstructer.services.logs import OURS, LogFiles, level_of, log_to
from netstructer.services.outlets import STDERR, Settings, attach, detach, lower_levels, restore_levels

__all__ = ["logged"]


@contextmanager
def logged(told: Mapping[str, Value]) -> Iterator[LogFiles | None]:
    """Write what is logged to where the section says, for as long as this lasts; give the files, if there are some.

    With `verbose`, lines on the terminal take the place of notes.  Raises `OSError` where a file cannot be made.
    """
    level, verbose = str(told["level"]), bool(told["verbose"])
    with notes_off() if verbose else nullcontext():
        if told["directory"] is not None:
            with log_to(
                str(told["directory"]),
                level=level,
                verbose=verbose,
                json_lines=bool(told["json"]),
                most_bytes=int(str(told["most_bytes"])),
                keep=int(str(told["keep"])),
            ) as files:
                yield files
        elif verbose:
            with _shown(level_of(level)):
                yield None
        else:
            yield None


@contextmanager
def _shown(level: int) -> Iterator[None]:
    """Show lines on the terminal, and write none into files."""
    settings = Settings(level=level, line=text_line, most_bytes=0, keep=0)
    attach(STDERR, settings, [OURS])
    lower_levels([OURS], level)
    try:
        yield
    finally:
        restore_levels([OURS], level)
        detach(STDERR, settings, [OURS])
