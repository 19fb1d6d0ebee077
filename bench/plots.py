"""The plots: one picture of all workloads, as PNG and SVG, drawn from the figures of a run."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers import REFERENCE
from bench.report import median_of
from bench.tables import TABLES

__all__ = ["draw"]

OURS, THEIRS, OTHERS = "#1f77b4", "#555555", "#c4c4c4"
PANELS = ("rtt", "oneway", "connect", "rows", "tuples", "bulk", "text", "single", "fanout", "idle", "idle5000")
COLUMNS = 3
BAR_INCHES = 0.24


def draw(cells: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write bench.png and bench.svg into `folder`; return their paths, none without matplotlib or without figures."""
    panels = {name: bars for name in PANELS if (bars := bars_of(cells, name))}
    if not panels or importlib.util.find_spec("matplotlib") is None:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "netstructer"  # the same figures, the same file
    from matplotlib import pyplot

    rows = -(-len(panels) // COLUMNS)
    most = max(map(len, panels.values()))
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(15, rows * (1.0 + BAR_INCHES * most)), squeeze=False, layout="constrained"
    )
    for axis, (name, bars) in zip(axes.flat, panels.items(), strict=False):
        labels = list(bars)[::-1]
        axis.barh(labels, [bars[label] for label in labels], color=[_colour(label) for label in labels])
        axis.bar_label(axis.containers[0], fmt="{:.2f}", padding=3, fontsize=8)
        axis.axvline(1.0, color=THEIRS, linewidth=0.8, linestyle=":")
        table = TABLES[name]
        better = "more" if table.more_is_better else "less"
        axis.set_title(f"{name}: {table.columns[0][1]}\n× {REFERENCE}, {better} is better", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.margins(x=0.18)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    paths = [folder / "bench.png", folder / "bench.svg"]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=110, metadata=metadata)
    pyplot.close(figure)
    return paths


def bars_of(cells: Mapping[str, Any], workload: str) -> dict[str, float]:
    """Return each peer's ratio to the reference, best first; nothing where the reference has no figure."""
    table = TABLES[workload]
    medians = {
        peer: found
        for peer, runs in cells.get(workload, {}).items()
        if (found := median_of(runs, table.columns[0][0])) is not None
    }
    if not medians.get(REFERENCE):
        return {}
    order = sorted(medians, key=lambda peer: medians[peer], reverse=table.more_is_better)
    return {peer: medians[peer] / medians[REFERENCE] for peer in order}


def _colour(peer: str) -> str:
    return OURS if peer.startswith("netstructer") else THEIRS if peer == REFERENCE else OTHERS
