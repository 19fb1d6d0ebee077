"""The closing line: what became of a transfer, for people and as JSON.  Floor: ROOF.

Law: no file that is not whole at its place is counted among those that are.
"""

from __future__ import annotations

from typing import Any

from netstructer.cli.screen import rate, seconds, size
from netstructer.services.printing import one_line
from netstructer.transfer import Outcome, Transfer

__all__ = ["Figures", "facts_of_outcome", "facts_of_transfer", "line_of", "planned", "sentence"]

_MISSING = {
    "refused": "refused",
    "unsafe": "not offered",
    "changed": "dropped, it changed while it was read",
    "failed": "not read",
    "damaged": "dropped, it arrived with another digest",
    "skipped": "skipped",
}
"""What is said of a file that has not arrived, by its status."""
GROWING = "one that grows goes through a pipe: cat FILE | netstructer put - HOST:PORT/NAME"
_PLANS = {"sent": "send", "resumed": "continue", "same": "same"}
"""What a dry run says that it would do."""


class Figures:
    """The figures of a transfer."""

    def __init__(self, done: Transfer) -> None:
        came = [outcome for outcome in done.outcomes if outcome.status in ("sent", "resumed")]
        resumed = [outcome for outcome in came if outcome.status == "resumed"]
        self.files = sum(outcome.kind == "file" for outcome in came)
        self.links = sum(outcome.kind == "link" for outcome in came)
        self.resumed = len(resumed)
        self.resumed_bytes = sum((outcome.size or 0) - outcome.moved for outcome in resumed)
        self.same = done.counts["same"]
        self.missing = {status: count for status in _MISSING if (count := done.counts[status])}


def sentence(done: Transfer, *, verb: str) -> str:
    """Return what a transfer did in one line; `verb` is `sent` or `received`."""
    figures = Figures(done)
    counted = [_count(figures.files, "file")] if figures.files else []
    counted += [_count(figures.links, "link")] if figures.links else []
    if not counted and not figures.same and done.directories:
        counted = [_count(done.directories, "directory", "directories")]
    what = ", ".join(counted) or "nothing"
    amount = f", {size(done.moved)}" if figures.files else ""
    if done.dry:
        said = [f"would have {verb} {what}{amount}"]
    else:
        pace = f" ({rate(done.moved, done.seconds)})" if done.moved and figures.files else ""
        said = [f"{verb} {what}{amount} in {seconds(done.seconds)}{pace}, {size(done.wire)} on the wire"]
    if figures.resumed:
        said.append(f"{figures.resumed:,} continued ({size(figures.resumed_bytes)} were there)")
    if figures.same:
        said.append(f"{figures.same:,} unchanged")
    unwritten = sum(_failed_here(outcome, verb) for outcome in done.missing)
    counts = {**figures.missing, "refused": figures.missing.get("refused", 0) - unwritten, "not written": unwritten}
    said += [f"{count:,} {status}" for status, count in counts.items() if count]
    return "; ".join(said)


def facts_of_transfer(done: Transfer) -> dict[str, Any]:
    """Return the same as facts."""
    figures = Figures(done)
    return {
        "files": figures.files,
        "links": figures.links,
        "directories": done.directories,
        "bytes": done.moved,
        "wire_bytes": done.wire,
        "seconds": round(done.seconds, 6),
        "bytes_per_second": round(done.moved / done.seconds) if done.seconds > 0 else None,
        "resumed": figures.resumed,
        "resumed_bytes": figures.resumed_bytes,
        "same": figures.same,
        "missing": figures.missing,
        "dry_run": done.dry,
    }


def facts_of_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return what became of one file as facts."""
    return {
        "name": outcome.name,
        "kind": outcome.kind,
        "status": outcome.status,
        "size": outcome.size,
        "moved": outcome.moved,
        "where": outcome.where,
        "reason": outcome.reason,
    }


def line_of(outcome: Outcome, *, verb: str = "sent") -> str:
    """Return why a file has not arrived, in one line."""
    why = _MISSING[outcome.status]
    if _failed_here(outcome, verb):
        why = "not written"
    elif outcome.status == "changed" and verb == "sent":
        why += f"; {GROWING}"
    return f"{one_line(outcome.name)}: {why}{': ' if outcome.reason else ''}{outcome.reason}"


def _failed_here(outcome: Outcome, verb: str) -> bool:
    """Say whether it was this end's own system that did not take a file: no other has refused it."""
    return verb == "received" and outcome.status == "refused" and outcome.kind != "other"


def planned(outcome: Outcome) -> str:
    """Return what a dry run has found out about a file, in one line."""
    plan = _PLANS.get(outcome.status, outcome.status)
    there = f" ({size((outcome.size or 0) - outcome.moved)} there before)" if outcome.status == "resumed" else ""
    why = f": {one_line(outcome.reason)}" if outcome.reason else ""
    moved = "stream" if outcome.size is None and outcome.kind == "file" else size(outcome.moved)
    return f"{plan:<8} {moved:>10}  {one_line(outcome.name)}{there}{why}"


def _count(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
