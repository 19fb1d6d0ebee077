"""What a sender leaves out, told to the end that would have got it.  Floor: COMMONS.

Spec: files.md, "What is left out".  Law: nothing is missing in silence.  A name crosses escaped and cut, because it may
be one that no system takes, and a reason as a letter: what people read is written by their own end.
"""

from __future__ import annotations

from netstructer.names import escaped
from netstructer.transfer.outcome import Outcome, Status
from netstructer.transfer.wording import REFUSALS, Left, refused

__all__ = ["left_of", "outcomes_of", "refusal_for"]

MOST_LEFT = 10_000
"""Names told of what is left out; the rest is counted."""

_REASONS: dict[str, tuple[Status, str]] = {
    "u": ("unsafe", "its name is not one that every system takes"),
    "l": ("skipped", "a link that points outside of what is sent"),
    "o": ("skipped", "it is no file, directory or link"),
    "f": ("failed", "it cannot be read"),
    "m": ("refused", REFUSALS["missing"]),
}
"""What a letter says of a name: what becomes of it, and why."""
_KINDS: dict[Status, str] = {"unsafe": "unsafe", "skipped": "no-file", "failed": "forbidden", "refused": "missing"}
"""The refusal of a request that finds nothing else."""


def left_of(outcomes: list[Outcome]) -> Left:
    """Return what is left out as it crosses: failures first, the names of the first 10,000, and how many more."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.status == "skipped")
    told = ordered[:MOST_LEFT]
    return Left(
        names=[escaped(outcome.name) for outcome in told],
        kinds="".join(map(_letter_of, told)),
        more=len(ordered) - len(told),
    )


def outcomes_of(left: Left) -> list[Outcome]:
    """Return the same as outcomes; whatever is not named is one more, of the status of the last that is."""
    outcomes = [
        Outcome(name=escaped(name), status=_REASONS[letter][0], kind="other", reason=_REASONS[letter][1])
        for name, letter in zip(left.names, left.kinds, strict=True)
    ]
    if left.more:
        status: Status = outcomes[-1].status if outcomes else "failed"
        reason = REFUSALS["missing"] if status == "refused" else f"{left.more:,} more were left out"
        outcomes.append(Outcome(name="…", status=status, kind="other", reason=reason))
    return outcomes


def refusal_for(outcome: Outcome) -> Exception:
    """Return the refusal of a request that has found nothing but this."""
    return refused(_KINDS.get(outcome.status, "failed"), outcome.name)


def _letter_of(outcome: Outcome) -> str:
    if outcome.status == "skipped":
        return "l" if outcome.kind == "link" else "o"
    return {"unsafe": "u", "refused": "m"}.get(outcome.status, "f")
