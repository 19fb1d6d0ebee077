"""What became of a transfer.  Floor: COMMONS.  Law: a file that is not whole at its place is never called sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from netstructer.errors import DigestMismatch, FileChanged, NetstructerError, SourceFailed, UnsafeName
from netstructer.names import shown
from netstructer.transfer.manifest import Kind
from netstructer.transfer.wording import REFUSALS, refused

__all__ = ["ARRIVED", "STATUS_OF", "Outcome", "Status", "Transfer", "status_of"]

Status = Literal["sent", "resumed", "same", "changed", "failed", "damaged", "refused", "unsafe", "skipped"]
"""`sent`, from the first byte; `resumed`, from where an earlier try ended; `same`, it was there.  Not there: `changed`
while it was read, `failed` to be read, `damaged` on the way, `refused` by the receiver, `unsafe` by its name, and
`skipped`: what is no file, and a link that points outside its tree."""

STATUS_OF: dict[str, Status] = {
    "s": "sent",
    "r": "resumed",
    "=": "same",
    "c": "changed",
    "f": "failed",
    "m": "damaged",
    "x": "refused",
}
"""The letters with which a receiver says it."""
ARRIVED = ("sent", "resumed", "same")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one file or link, or of a directory that could not be made or read.

    `moved` counts bytes of the file that were sent now; `where` is its path at the receiving end, relative to the
    directory there; `reason` says why it is not there, in words.
    """

    name: str
    status: Status
    kind: Kind | Literal["other"] = "file"
    size: int | None = None
    moved: int = 0
    where: str = ""
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Transfer:
    """What became of each file, in order, and of all together.  Of a dry run: what would become of it."""

    outcomes: list[Outcome] = field(default_factory=list)
    directories: int = 0
    """Directories that were made, or were there."""
    wire: int = 0
    """Bytes on the wire, both ways."""
    seconds: float = 0.0
    dry: bool = False

    @property
    def moved(self) -> int:
        """Bytes of files that were sent."""
        return sum(outcome.moved for outcome in self.outcomes)

    @property
    def counts(self) -> Counter[str]:
        """How many have each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def missing(self) -> list[Outcome]:
        """What did not arrive, links and what is no file included."""
        return [outcome for outcome in self.outcomes if outcome.status not in ARRIVED]

    def check(self) -> Transfer:
        """Return this, if every file has arrived.

        Else raises what happened to the first that has not: `FileChanged`, `SourceFailed`, `DigestMismatch`,
        `TransferRefused` or `UnsafeName`.  What was skipped is no reason: it has no bytes.
        """
        for outcome in self.missing:
            if outcome.status != "skipped":
                raise _error_of(outcome, sum(1 for other in self.missing if other.status != "skipped") - 1)
        return self


def status_of(start: int, prefix: tuple[int, bytes] | None, size: int | None) -> Status:
    """Return what a whole file is called whose bytes began at `start`, where the receiver had `prefix` of it."""
    if prefix is None or start != prefix[0]:
        return "sent"
    return "same" if start == size else "resumed"


def _error_of(outcome: Outcome, others: int) -> NetstructerError:
    name = outcome.name
    more = f", and {others} more did not arrive" if others else ""
    if outcome.status == "changed":
        return FileChanged(f"{shown(name)} changed while it was read; it was dropped{more}", name=name)
    if outcome.status == "damaged":
        return DigestMismatch(f"{shown(name)} arrived with another digest; it was dropped{more}", name=name)
    if outcome.status == "unsafe":
        return UnsafeName(f"{shown(name)} was not sent: {outcome.reason}{more}", name=name)
    if outcome.status == "refused":
        error = refused(next((kind for kind, text in REFUSALS.items() if text == outcome.reason), "failed"), name)
        return type(error)(f"{error}{more}", kind=error.kind, name=name)
    return SourceFailed(f"{shown(name)} could not be read at its sender{more}")
