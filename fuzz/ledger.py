"""The ledger: how often each target was run, by which engine, and what came of it.  One line of JSON for each run.

It lies beside the corpora that the guided engine has grown, outside the repository, and is only ever appended to; so
several runs can share it, and `docs/testing.md` can say what was run and not what was meant to be.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Sum", "note", "sums", "table"]


@dataclass(slots=True)
class Sum:
    """What all runs of one target come to."""

    count: int = 0
    guided: int = 0
    """Of these: under atheris."""
    seconds: float = 0.0
    processor_seconds: float = 0.0
    edges: int = 0
    features: int = 0
    faults: int = 0
    last: float = 0.0


def note(ledger: Path, **facts: Any) -> None:
    """Append a run."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a", encoding="ascii") as file:
        file.write(json.dumps({**facts, "at": round(time.time())}) + "\n")


def sums(ledger: Path) -> dict[str, Sum]:
    """Return what was run, by target.  A file that is not there holds nothing."""
    found: dict[str, Sum] = {}
    if not ledger.exists():
        return found
    for line in ledger.read_text("ascii").splitlines():
        row = json.loads(line)
        total = found.setdefault(row["target"], Sum())
        total.count += row["count"]
        total.guided += row["count"] if row["engine"] == "atheris" else 0
        total.seconds += row["seconds"]
        total.processor_seconds += row.get("cpu", 0.0)
        total.edges = max(total.edges, row.get("edges", 0))
        total.features = max(total.features, row.get("features", 0))
        total.faults += bool(row["fault"])
        total.last = max(total.last, row["at"])
    return found


def table(ledger: Path) -> str:
    """Return the ledger as the table of docs/testing.md."""
    rows = [
        "| target | executions | under atheris | each, of a processor | edges | features |",
        "|---|---|---|---|---|---|",
    ]
    for name, total in sorted(sums(ledger).items()):
        each = total.processor_seconds / max(total.count, 1) * 1e6
        rows.append(
            f"| `{name}` | {total.count:,} | {total.guided:,} | {each:,.0f} µs | {total.edges:,} | {total.features:,} |"
        )
    return "\n".join(rows)
