"""Whether what a process holds grows: least squares, intervals, bounds, and the verdict.

What is judged is counted at rest, when no link is left but those that stay and the collector has run: then a process
that leaks nothing holds the same as at the rest before, and one that leaks a descriptor, a thread or a kilobyte for
each link holds so many more.  While everybody works the figures say how much is under way; they are drawn, and their
slopes shown, but not judged.

A slope is flat where the whole interval that it lies in (95 %) is within the bound.  So a run that is too short, or too
unquiet, to exclude a leak of that size is not green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist, fmean

__all__ = ["BOUNDS", "Bound", "Judged", "Slope", "judge", "slope_of", "table"]

KIB, MIB = 1 << 10, 1 << 20
LEAST_POINTS = 4
"""A line through fewer says nothing about its own error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """How a figure changes in an hour: the line's slope, and how far the true one may lie on either side (95 %)."""

    per_hour: float
    either_side: float
    points: int

    @property
    def most(self) -> float:
        """The most that the figure may truly change in an hour, up or down."""
        return abs(self.per_hour) + self.either_side


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a figure may change: so much in an hour, or so much in a run that is shorter than it takes to tell."""

    figure: str
    words: str
    per_hour: float
    in_a_run: float
    unit: float = 1.0

    def allowed(self, hours: float) -> float:
        """Return what it may change in an hour, in a run that is judged over so many hours."""
        return max(self.per_hour, self.in_a_run / hours)


BOUNDS = (
    Bound(figure="descriptors", words="descriptors", per_hour=3, in_a_run=1),
    Bound(figure="threads", words="threads", per_hour=3, in_a_run=1),
    Bound(figure="objects", words="objects of ours", per_hour=120, in_a_run=40),
    Bound(figure="blocks", words="blocks of memory", per_hour=4000, in_a_run=400),
    Bound(figure="heap", words="heap, KiB", per_hour=2 * MIB, in_a_run=512 * KIB, unit=KIB),
    Bound(figure="rss", words="resident, MiB", per_hour=24 * MIB, in_a_run=12 * MIB, unit=MIB),
)
"""What is judged.  A soak opens more than 10,000 links in an hour: a descriptor that one in thousands of them left, or
a block of memory that one in three left, would be found; a link that is left has about forty objects.  Resident memory
is that of the time when everybody works, and depends on where the holes in the heap are: its mean between two rests is
what is judged, with a bound to match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One figure of one process."""

    role: str
    bound: Bound
    slope: Slope
    allowed: float
    last: float

    @property
    def flat(self) -> bool:
        """Whether it is excluded that it changes by more than is allowed."""
        return self.slope.most <= self.allowed

    @property
    def grows(self) -> bool:
        """Whether it is shown that it grows by more than is allowed."""
        return self.slope.per_hour - self.slope.either_side > self.allowed

    def __str__(self) -> str:
        unit = self.bound.unit
        found = f"{self.slope.per_hour / unit:+,.1f} ± {self.slope.either_side / unit:,.1f} in an hour"
        verdict = "flat" if self.flat else "NOT FLAT"
        return f"{self.role}: {self.bound.words} {found}, of {self.allowed / unit:,.1f} allowed: {verdict}"


def slope_of(seconds: Sequence[float], figures: Sequence[float]) -> Slope:
    """Return the line of least squares through the figures at these times."""
    count = len(seconds)
    if count < LEAST_POINTS:
        return Slope(per_hour=0.0, either_side=inf, points=count)
    middle, mean = fmean(seconds), fmean(figures)
    spread = sum((at - middle) ** 2 for at in seconds)
    slope = sum((at - middle) * (found - mean) for at, found in zip(seconds, figures, strict=True)) / spread
    left = sum((found - mean - slope * (at - middle)) ** 2 for at, found in zip(seconds, figures, strict=True))
    error = sqrt(left / (count - 2) / spread)
    return Slope(per_hour=3600 * slope, either_side=3600 * error * _quantile(count - 2), points=count)


def judge(role: str, seconds: Sequence[float], rests: Sequence[Mapping[str, float]]) -> list[Judged]:
    """Judge what one process held at its rests, which were at these times."""
    hours = (seconds[-1] - seconds[0]) / 3600 if len(seconds) > 1 else 1.0
    return [
        Judged(
            role=role,
            bound=bound,
            slope=slope_of(seconds, [rest[bound.figure] for rest in rests]),
            allowed=bound.allowed(hours),
            last=rests[-1][bound.figure],
        )
        for bound in BOUNDS
    ]


def table(judged: Sequence[Judged]) -> str:
    """Return a Markdown table: a line for each process, a column for each figure."""
    roles = list(dict.fromkeys(each.role for each in judged))
    lines = [
        "| process | " + " | ".join(bound.words for bound in BOUNDS) + " |",
        "|---" * (1 + len(BOUNDS)) + "|",
    ]
    for role in roles:
        cells = [_cell(each) for each in judged if each.role == role]
        lines.append(f"| {role} | " + " | ".join(cells) + " |")
    allowed = {each.bound.words: each for each in judged}.values()
    lines.append("| *allowed* | " + " | ".join(f"±{each.allowed / each.bound.unit:,.0f}" for each in allowed) + " |")
    return "\n".join(lines)


def _cell(each: Judged) -> str:
    unit, slope = each.bound.unit, each.slope
    digits = 0 if not slope.most or abs(slope.most) / unit >= 100 else 1
    text = f"{slope.per_hour / unit:+,.{digits}f} ± {slope.either_side / unit:,.{digits}f}"
    text = text.replace("+0 ± 0", "0").replace("-0 ± 0", "0")
    return f"{each.last / unit:,.0f}: {text if each.flat else f'**{text}**'}"


def _quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: the first terms of its expansion at the normal distribution's."""
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
