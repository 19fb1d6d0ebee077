"""The end that asks: for files, and for what there is.  Floor: COMMONS.

Spec: files.md, "Serving".  Law: nothing arrives that was not asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from netstructer.errors import BadValue, Misuse, UnsafeName
from netstructer.names import shown
from netstructer.transfer.channel import Channel, Clock, expect, telling
from netstructer.transfer.globs import Pattern
from netstructer.transfer.leaving import outcomes_of
from netstructer.transfer.manifest import Entry
from netstructer.transfer.outcome import Outcome, Transfer
from netstructer.transfer.progress import Report
from netstructer.transfer.receiving import Overwrite, take
from netstructer.transfer.wording import Offer, read_entries, read_offer

__all__ = ["check_asked", "fetch", "listing"]


def fetch(
    channel: Channel,
    patterns: Iterable[str] | str,
    directory: str | os.PathLike[str],
    *,
    resume: bool = True,
    overwrite: Overwrite = "replace",
    dry_run: bool = False,
    progress: Report | None = None,
    timeout: float | None = None,
    clock: Clock,
    check: bool = True,
) -> Transfer:
    """Ask a serving end for files and trees by name or pattern, and take them into `directory`, which exists.

    See `globs.Pattern` for what a pattern finds, and under which name it arrives.  With `dry_run` nothing is written.
    Raises what `receive` raises; `UnsafeName` also where the other end offers what was not asked for.
    """
    wanted = [Pattern(text) for text in ([patterns] if isinstance(patterns, str) else patterns)]
    if not wanted:
        raise Misuse("expected at least one name or pattern")
    channel.send(("get", {"patterns": [pattern.text for pattern in wanted]}), timeout=timeout)
    with telling(channel, timeout=timeout):
        offered = expect(channel, read_offer, timeout=timeout)
        check_asked(offered, wanted)
        done = take(
            channel,
            offered,
            directory,
            dry=dry_run,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            timeout=timeout,
            clock=clock,
        )
    return done.check() if check else done


def listing(
    channel: Channel,
    path: str = "",
    *,
    timeout: float | None = None,
    left: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Entry]:
    """Return what is in a directory of a serving end, or what a pattern finds there; a file is an entry of its own.

    `left` is called with what is there and could not be asked for: by its name, by its kind, by its permissions.
    Names are relative to the served directory.  Raises `TransferRefused`, where there is nothing of that name too.
    """
    if path:
        Pattern(path)
    channel.send(("ls", {"path": path}), timeout=timeout)
    with telling(channel, timeout=timeout):
        entries, others = expect(channel, read_entries, timeout=timeout)
    for outcome in outcomes_of(others):
        left(outcome)
    return entries


def check_asked(offered: Offer, wanted: list[Pattern]) -> None:
    """Raise `UnsafeName` where an offer has what no pattern asks for: a server must not choose what is overwritten.

    And `BadValue` for an offer of which nothing would come: only the asker says that it wants none.
    """
    if offered.dry:
        raise BadValue("an offer of nothing, where files were asked for")
    if offered.into:
        raise UnsafeName("the other end chose a directory for what was asked for", name=offered.into)
    asked = {pattern.names[-1:] for pattern in wanted if not pattern.is_wild}
    for entry in offered.entries:
        parts = entry.parts
        if any(parts[:count] in asked for count in range(1, len(parts) + 1)):
            continue  # it is in what was found
        if not any(pattern.allows(parts) for pattern in wanted):
            raise UnsafeName(f"{shown(entry.name)} was not asked for", name=entry.name)
        asked.add(parts)
