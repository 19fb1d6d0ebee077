"""The picture of a soak: what each process held, every second, and at each rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw"]

PANELS = (
    ("descriptors", "open descriptors", 1.0),
    ("threads", "threads", 1.0),
    ("rss", "resident memory, MiB", float(1 << 20)),
    ("objects", "objects of ours, at rest", 1.0),
    ("blocks", "blocks of memory at rest, thousands", 1000.0),
    ("heap", "heap at rest, MiB", float(1 << 20)),
)
AT_REST = ("objects", "blocks", "heap")
POINTS = 400
"""Of a line: of more, the least, the most and the last of each stretch are drawn, so no peak is lost."""
INCHES, DOTS = (11.0, 6.6), 80
COLOURS = 64


def draw(samples: Iterable[Mapping[str, Any]], rests: Iterable[Mapping[str, Any]], warm: float, place: Path) -> None:
    """Write the picture as PNG.  `samples` and `rests` have "seconds", and figures by process."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from PIL import Image
    except ImportError as error:
        raise SystemExit("the picture needs matplotlib: pip install 'netstructer[bench]'") from error
    taken, rested = list(samples), list(rests)
    figure, axes = pyplot.subplots(2, 3, figsize=INCHES, dpi=DOTS, layout="constrained", sharex=True)
    roles = [name for name in rested[0] if name != "seconds"]
    for axis, (name, words, unit) in zip(axes.flat, PANELS, strict=True):
        at_rest = name in AT_REST
        for number, role in enumerate(roles):
            color = f"C{number}"
            if not at_rest:
                line = _thinned([(one["seconds"] / 60, one[role][name] / unit) for one in taken if role in one])
                axis.plot(*zip(*line, strict=True), color=color, linewidth=0.6, alpha=0.55)
            points = [(one["seconds"] / 60, one[role][name] / unit) for one in rested]
            style = "." if not at_rest else ".-"
            axis.plot(*zip(*points, strict=True), style, color=color, markersize=4, linewidth=0.8, label=role)
        axis.axvspan(0, warm / 60, color="0.92", zorder=0)
        axis.set_title(words, fontsize=9)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.grid(linewidth=0.3)
    for axis in axes[1]:
        axis.set_xlabel("minutes (grey: warming up; dots: at rest)", fontsize=7)
    handles, labels = axes[1][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(roles), fontsize=8, frameon=False)
    figure.savefig(place)
    pyplot.close(figure)
    with Image.open(place) as drawn:
        drawn.convert("RGB").quantize(COLOURS).save(place, optimize=True)  # a third of the bytes


def read_lines(place: Path) -> list[dict[str, Any]]:
    """Return the objects of a file with one of JSON in each line."""
    return [json.loads(line) for line in place.read_text("utf-8").splitlines()]


def _thinned(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stretch = max(1, 3 * len(line) // POINTS)
    if stretch < 3:
        return line
    found = []
    for place in range(0, len(line), stretch):
        part = line[place : place + stretch]
        found += sorted({min(part, key=lambda at: at[1]), max(part, key=lambda at: at[1]), part[-1]})
    return found
