"""From the cells to what is read: Markdown tables with medians, spreads and ratios, and JSON with everything."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import spread
from bench.peers import PEERS, REFERENCE

__all__ = ["MODULE_TABLES", "TABLES", "link_table", "module_table", "publish", "write"]

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
Cells = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table shows: its title, and the columns as (figure, heading, digits)."""

    title: str
    columns: tuple[tuple[str, str, int], ...]
    more_is_better: bool = True
    """Of the first column, which is the one that the ratio is made of."""


TABLES = {
    "connect": Table(
        title="Connect, handshake, first reply, one after the other",
        columns=(("per_second", "links/s", 0), ("first_ms", "first reply ms", 2), ("p99_ms", "p99 ms", 2)),
    ),
    "rtt": Table(
        title="Round trip of the small structure",
        columns=(("median_us", "median µs", 0), ("p99_us", "p99 µs", 0)),
        more_is_better=False,
    ),
    "rtt1core": Table(
        title="The same with both processes on one core: no wake-up across cores",
        columns=(("median_us", "median µs", 0), ("p99_us", "p99 µs", 0)),
        more_is_better=False,
    ),
    "oneway": Table(title="One way, small structure", columns=(("per_second", "messages/s", 0),)),
    "rows": Table(
        title="A list of dict rows, decoded, answered",
        columns=(("per_second", "lists/s", 2), ("mebibytes_per_second", "MiB/s of pickled size", 1)),
    ),
    "tuples": Table(
        title="A list of tuple rows, decoded, answered",
        columns=(("per_second", "lists/s", 2), ("mebibytes_per_second", "MiB/s of pickled size", 1)),
    ),
    "bulk": Table(
        title="Random bytes, values of 1 MiB",
        columns=(("mebibytes_per_second", "MiB/s", 0), ("server_peak_mib", "server peak MiB", 0)),
    ),
    "text": Table(
        title="Log text, values of 1 MiB",
        columns=(("mebibytes_per_second", "MiB/s of text", 0), ("server_peak_mib", "server peak MiB", 0)),
    ),
    "single": Table(
        title="One very large value of random bytes",
        columns=(
            ("mebibytes_per_second", "MiB/s", 0),
            ("client_extra_mib", "client peak above the value, MiB", 0),
            ("server_extra_mib", "server peak, MiB", 0),
        ),
    ),
    "idle": Table(
        title="Idle links at one server process",
        columns=(
            ("server_kib", "server KiB per link", 1),
            ("median_us", "round trip beside them µs", 0),
            ("opened", "opened/s", 0),
        ),
        more_is_better=False,
    ),
    "fanout": Table(title="Fan-out of 1 KiB to many links", columns=(("per_second", "messages/s delivered", 0),)),
    "wire": Table(
        title="Bytes from client to server, as a share of the pickle",
        columns=(
            ("text_share", "log text", 3),
            ("rows_share", "dict rows", 3),
            ("random_share", "random", 3),
            ("small_bytes", "bytes per small message", 0),
            ("handshake_bytes", "bytes to connect", 0),
        ),
        more_is_better=False,
    ),
}

MODULE_TABLES = {
    "values": Table(
        title="Values: encode and decode beside other codecs (what carries the input unchanged)",
        columns=(
            ("both_ms", "both ways ms", 1),
            ("encode_mib_s", "encode MiB/s", 0),
            ("decode_mib_s", "decode MiB/s", 0),
            ("size_mib", "MiB", 2),
            ("zstd_mib", "MiB after zstd", 2),
        ),
        more_is_better=False,
    ),
    "seal": Table(
        title="Sealing and opening records",
        columns=(
            ("seal_us", "seal µs", 1),
            ("open_us", "open µs", 1),
            ("seal_mib_s", "seal MiB/s", 0),
            ("open_mib_s", "open MiB/s", 0),
        ),
        more_is_better=False,
    ),
    "files": Table(
        title="Files and trees to another process, from the start of the client's process to its end",
        columns=(
            ("seconds", "s", 2),
            ("mebibytes_per_second", "MiB/s", 0),
            ("files_per_second", "files/s", 0),
            ("client_peak_mib", "client peak MiB", 0),
            ("server_peak_mib", "server peak MiB", 0),
        ),
        more_is_better=False,
    ),
    "blobs": Table(
        title="One blob of random bytes between two processes, beside sealing its records in memory",
        columns=(
            ("mebibytes_per_second", "MiB/s", 0),
            ("sender_extra_mib", "sender's growth MiB", 0),
            ("receiver_extra_mib", "receiver's growth MiB", 0),
        ),
    ),
    "overtaking": Table(
        title="Round trips of the small structure while a blob runs on the same link",
        columns=(
            ("median_us", "median µs", 0),
            ("p99_us", "p99 µs", 0),
            ("mebibytes_per_second", "the blob's MiB/s", 0),
        ),
        more_is_better=False,
    ),
    "strangers": Table(
        title="Honest connects while eight sources open 10,000 half-open connections",
        columns=(
            ("median_ms", "median ms", 1),
            ("p99_ms", "p99 ms", 1),
            ("most_ms", "most ms", 1),
            ("count", "connects", 0),
            ("failed", "failed", 0),
        ),
        more_is_better=False,
    ),
    "crowd": Table(
        title="A crowd of idle links at one server process, without a thread for each",
        columns=(
            ("server_kib", "server KiB per link", 1),
            ("median_us", "round trip beside them, median µs", 0),
            ("p99_us", "p99 µs", 0),
            ("most_us", "longest µs", 0),
            ("greedy_p99_us", "p99 beside a greedy link µs", 0),
            ("idle_percent", "processor while idle %", 1),
            ("opened_per_second", "opened/s", 0),
            ("open_cpu_us", "server's processor for each µs", 0),
        ),
        more_is_better=False,
    ),
    "imports": Table(
        title="Imports, on top of a started interpreter",
        columns=(("median_ms", "median ms", 1), ("least_ms", "least ms", 1)),
        more_is_better=False,
    ),
}
"""The benches without a server; their reference is the named way of the same group."""
REFERENCES = {
    "values": "pickle",
    "seal": "raw",
    "files": "scp",
    "blobs": "street",
    "overtaking": "idle",
    "crowd": "asyncio + TLS",
    "strangers": "alone",
}


def link_table(workload: str, cells: Cells, scale: Mapping[str, int]) -> str:
    """Return the Markdown table of one workload: a row for each peer, best first, with the ratio to the reference."""
    table = TABLES[workload]
    figure = table.columns[0][0]
    medians = {peer: _median(found, figure) for peer, found in cells.items()}
    reference = medians.get(REFERENCE)
    order = sorted(medians, key=lambda peer: _place(medians[peer], table))
    facts = ", ".join(f"{name} {number}" for name, number in scale.items() if name not in ("warm", "held", "core"))
    lines = [f"### {table.title}", "", f"`{workload}`: {facts}.", ""]
    lines += _head(["peer", "on the wire", *(heading for _, heading, _ in table.columns), f"× {REFERENCE}"], left=2)
    for peer in order:
        good = [cell for cell in cells[peer] if "error" not in cell]
        bad = [cell["error"] for cell in cells[peer] if "error" in cell]
        columns = _figures(good, table)
        if bad:
            columns[0] += f" **failed in {len(bad)} of {len(cells[peer])}:** {bad[-1]}".replace("|", "/")
        name = f"**{peer}**" if peer.startswith("netstructer") else peer
        lines.append("| " + " | ".join([name, PEERS[peer].wire, *columns, _ratio(medians[peer], reference)]) + " |")
    return "\n".join(lines) + "\n"


def module_table(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of one bench without a server; runs that failed are named below it."""
    table = MODULE_TABLES[name]
    good = [run for run in runs if "error" not in run]
    figure = table.columns[0][0]
    lines = [f"### {table.title}", ""]
    lines += _head(["what", "way", *(heading for _, heading, _ in table.columns), _versus(name)], left=2)
    for label in good[0] if good else ():
        group, _, way = label.partition(" / ")
        found = [run[label] for run in good]
        against = _median([run.get(f"{group} / {REFERENCES.get(name)}", {}) for run in good], figure)
        shown = f"**{way}**" if way == "netstructer" else way
        columns = _figures([figures for figures in found if figure in figures], table)
        columns[0] += _troubles(found)
        lines.append("| " + " | ".join([group, shown, *columns, _ratio(_median(found, figure), against)]) + " |")
    lines += [f"\n**Failed:** {run['error']}" for run in runs if "error" in run]
    return "\n".join(lines) + "\n"


def write(folder: Path, machine: Mapping[str, Any], tables: Sequence[str], cells: Mapping[str, Any]) -> Path:
    """Write report.md and results.json into `folder`; return the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"machine": machine, "cells": cells}, indent=1) + "\n", "utf-8")
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


def _figures(cells: Sequence[Mapping[str, Any]], table: Table) -> list[str]:
    return [
        spread([cell[figure] for cell in cells], digits) if cells and figure in cells[0] else "–"
        for figure, _, digits in table.columns
    ]


def _head(headings: Sequence[str], *, left: int) -> list[str]:
    marks = ["---" if place < left else "---:" for place in range(len(headings))]
    return ["| " + " | ".join(headings) + " |", "|" + "|".join(marks) + "|"]


def _median(cells: Sequence[Mapping[str, Any]], figure: str) -> float | None:
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
