"""From the cells to what is read: Markdown tables with medians, spreads and ratios, and JSON with everything."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import spread
from bench.peers import PEERS, REFERENCE
from bench.tables import GROWTH, MODULE_TABLES, REFERENCES, TABLES, Table

__all__ = ["gigabit", "gigabit_table", "link_table", "median_of", "module_table", "publish", "write"]

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
Cells = Mapping[str, Sequence[Mapping[str, Any]]]
GIGABIT_BYTES = 125e6
GIGABIT = {
    "text": "log text, MiB/s of text",
    "random": "random bytes, MiB/s",
    "rows": "dict rows, lists/s",
    "tuples": "tuple rows, lists/s",
}


def link_table(workload: str, cells: Cells, scale: Mapping[str, int]) -> str:
    """Return the Markdown table of one workload: a row for each peer, best first, with the ratio to the reference."""
    table = TABLES[workload]
    figure = table.columns[0][0]
    shown = tuple(column for column in (*table.columns, *GROWTH))
    medians = {peer: median_of(found, figure) for peer, found in cells.items()}
    reference = medians.get(REFERENCE)
    order = sorted(medians, key=lambda peer: _place(medians[peer], table))
    facts = ", ".join(f"{name} {number}" for name, number in scale.items() if name not in ("warm", "held", "core"))
    lines = [f"### {table.title}", "", f"`{workload}`: {facts}.", ""]
    lines += _head(["peer", "on the wire", *(heading for _, heading, _ in shown), f"× {REFERENCE}"], left=2)
    skipped = []
    for peer in order:
        good = [cell for cell in cells[peer] if "error" not in cell and "skipped" not in cell]
        bad = [cell["error"] for cell in cells[peer] if "error" in cell]
        if not good and not bad:
            skipped += [f"{peer}: {cell['skipped']}" for cell in cells[peer][:1]]
            continue
        columns = _figures(good, shown)
        if bad:
            columns[0] += f" **failed in {len(bad)} of {len(cells[peer])}:** {bad[-1]}".replace("|", "/")
        name = f"**{peer}**" if peer.startswith("netstructer") else peer
        lines.append("| " + " | ".join([name, PEERS[peer].wire, *columns, _ratio(medians[peer], reference)]) + " |")
    if skipped:
        lines += ["", "Not here: " + "; ".join(skipped) + "."]
    return "\n".join(lines) + "\n"


def gigabit_table(cells: Mapping[str, Any]) -> str:
    """Return what the figures come to over 1 Gbit/s, computed from rates over loopback and bytes on the wire.

    Text and random bytes stream: the slower of the two rates.  Rows are answered: the time here, and that of the bytes.
    """
    lines = ["### Over 1 Gbit/s, computed from the bytes on the wire", ""]
    lines += _head(["peer", *GIGABIT.values()], left=1)
    found = {peer: row for peer in cells.get("wire", {}) if (row := gigabit(cells, peer))}
    for peer, row in found.items():
        figures = [f"{row[name]:,.1f}" if name in row else "–" for name in GIGABIT]
        lines.append(f"| {f'**{peer}**' if peer.startswith('netstructer') else peer} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n" if found else ""


def gigabit(cells: Mapping[str, Any], peer: str) -> dict[str, float]:
    """Return a peer's figures over 1 Gbit/s: MiB/s of text and of random bytes, lists of rows in a second."""
    row: dict[str, float] = {}
    for name, workload in (("text", "text"), ("random", "bulk")):
        rate = median_of(cells.get(workload, {}).get(peer, ()), "mebibytes_per_second")
        share = median_of(cells["wire"][peer], f"{name}_share")
        if rate and share:
            row[name] = min(rate, GIGABIT_BYTES / (1 << 20) / share)
    for name in ("rows", "tuples"):
        found = cells.get(name, {}).get(peer, ())
        rate, pickled = median_of(found, "per_second"), median_of(found, "pickled_bytes")
        share = median_of(cells["wire"][peer], f"{name}_share")
        if rate and pickled and share:
            row[name] = 1 / (1 / rate + share * pickled / GIGABIT_BYTES)
    return row


def module_table(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of one bench without a server; runs that failed are named below it."""
    table = MODULE_TABLES[name]
    good = [run for run in runs if "error" not in run]
    figure = table.columns[0][0]
    lines = [f"### {table.title}", ""]
    lines += _head(["what", "way", *(heading for _, heading, _ in table.columns), _versus(name)], left=2)
    known = {column[0] for column in table.columns}
    for label in good[0] if good else ():
        group, _, way = label.partition(" / ")
        found = [run[label] for run in good]
        against = median_of([run.get(f"{group} / {REFERENCES.get(name)}", {}) for run in good], figure)
        shown = f"**{way}**" if way == "netstructer" else way
        columns = _figures([figures for figures in found if figures.keys() & known], table.columns)
        columns[0] += _troubles(found)
        lines.append("| " + " | ".join([group, shown, *columns, _ratio(median_of(found, figure), against)]) + " |")
    lines += [f"\n**Failed:** {run['error']}" for run in runs if "error" in run]
    return "\n".join(lines) + "\n"


def write(
    folder: Path, machine: Mapping[str, Any], tables: Sequence[str], cells: Mapping[str, Any], scale: str
) -> Path:
    """Write report.md and results.json into `folder`; return the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(
        json.dumps({"machine": machine, "scale": scale, "cells": cells}, indent=1) + "\n", "utf-8"
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = "" if machine["load"] is None else f" Load when it began: {machine['load']:.1f}."
    head = (
        f"{machine['date']}: Python {machine['python']}, {machine['openssl']}, {machine['system']}, "
        f"{machine['cores']} cores of {machine['processor']}; {versions}.{load}\n"
    )
    path = folder / "report.md"
    path.write_text("\n".join([head, *tables]), "utf-8")
    return path


def publish(report: Path, page: Path) -> None:
    """Replace what stands between the markers of a page by a report.  Raises `ValueError` for a page without them."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page}: no {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n\n{report.read_text('utf-8')}\n{end}{after}", "utf-8")


def _figures(cells: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, int]]) -> list[str]:
    return [
        spread([cell[figure] for cell in cells], digits) if cells and figure in cells[0] else "–"
        for figure, _, digits in columns
    ]


def _head(headings: Sequence[str], *, left: int) -> list[str]:
    marks = ["---" if place < left else "---:" for place in range(len(headings))]
    return ["| " + " | ".join(headings) + " |", "|" + "|".join(marks) + "|"]


def median_of(cells: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    """Return the median of a figure over the rounds that have it."""
    found = [cell[figure] for cell in cells if figure in cell]
    return statistics.median(found) if found else None


def _place(median: float | None, table: Table) -> float:
    if median is None:
        return float("inf")
    return -median if table.more_is_better else median


def _ratio(median: float | None, reference: float | None) -> str:
    return f"{median / reference:.2f}" if median is not None and reference else "–"


def _troubles(found: Sequence[Mapping[str, Any]]) -> str:
    """Return why one row of a bench without a server has fewer figures than there were runs, or nothing."""
    skipped = [figures["skipped"] for figures in found if "skipped" in figures]
    failed = [figures["error"] for figures in found if "error" in figures]
    text = f" skipped: {skipped[-1]}" if skipped else ""
    if failed:
        text += f" **failed in {len(failed)} of {len(found)}:** {failed[-1]}"
    return text.replace("|", "/")


def _versus(name: str) -> str:
    return f"× {REFERENCES[name]}" if name in REFERENCES else ""
