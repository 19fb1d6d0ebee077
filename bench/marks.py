"""The marks: what was set out to be reached, what was found, and whether it is kept: computed, never typed.

Each ratio is one of medians of interleaved rounds in one run; a mark whose workload was not run says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.peers import REFERENCE
from bench.report import gigabit, median_of
from bench.scales import RIVALS

__all__ = ["Finding", "findings", "marks_table"]

Cells = Mapping[str, Any]
FORMS = ("netstructer", "netstructer.aio")
GCM = "netstructer aes-256-gcm"
MANY = {"netstructer": "netstructer send_many", "netstructer.aio": "netstructer.aio send_many"}
MUTUAL, SQUEEZED = "ssl+pickle mTLS", "ssl+zstd+pickle"
HOMOGENEOUS = ("dict rows", "tuple rows", "floats", "JSON document", "large bytes")
MIXED = ("small structures", "small sets", "mixed nested")
MOST_GROWTH_MIB = 64


class Finding(NamedTuple):
    """One mark: in which form, what is wanted, what was found (None: not measured), whether it is kept."""

    mark: str
    form: str
    wanted: str
    found: str | None
    kept: bool


def marks_table(cells: Cells) -> str:
    """Return the Markdown table of all marks, or nothing where none of them was measured."""
    found = list(findings(cells))
    if not any(finding.found for finding in found):
        return ""
    lines = ["### Marks", "", "| mark | form | wanted | found | |", "|---|---|---|---:|---|"]
    for mark, form, wanted, figure, kept in found:
        verdict = "not measured" if figure is None else "kept" if kept else "**not kept**"
        lines.append(f"| {mark} | {form} | {wanted} | {figure or '–'} | {verdict} |")
    return "\n".join(lines) + "\n"


def findings(cells: Cells) -> Iterator[Finding]:
    """Yield every mark, in the order in which they were set."""
    for form in FORMS:
        yield _least("small round trip", form, _slowness(cells, "rtt", form, REFERENCE), 1.3, f"× {REFERENCE}")
        yield _faster_than_all(cells, form)
    for form in FORMS:
        rate = "per_second"
        yield _most("one way, `send`", form, _gain(cells, "oneway", rate, form, REFERENCE), 1.0, f"× {REFERENCE}")
        many = _gain(cells, "oneway", rate, MANY[form], REFERENCE)
        yield _most("one way, `send_many`", form, many, 2.0, f"× {REFERENCE}")
    for form in FORMS:
        yield _most("connect", form, _gain(cells, "connect", "per_second", form, MUTUAL), 1.5, "× mutual TLS")
    for workload, words in (("rows", "dict rows"), ("tuples", "tuple rows")):
        for form in FORMS:
            gain = _gain(cells, workload, "per_second", form, REFERENCE)
            yield _most(f"{words}, answered", form, gain, 1.0, f"× {REFERENCE}")
        answered = _most(f"{words} over 1 Gbit/s", "netstructer", _gigabit(cells, workload), 1.5, f"× {REFERENCE}")
        bytes_alone = _ratio(cells, "wire", f"{workload}_share", REFERENCE, "netstructer")
        if answered.found and bytes_alone:
            answered = answered._replace(found=f"{answered.found} ({bytes_alone:.2f} by the bytes alone)")
        yield answered
    yield from _values(cells)
    yield _most("log text over 1 Gbit/s", "netstructer", _gigabit(cells, "text"), 2.0, f"× {REFERENCE}")
    for form in FORMS:
        gain = _gain(cells, "text", "mebibytes_per_second", form, SQUEEZED)
        yield _most("log text over loopback", form, gain, 1.2, f"× {SQUEEZED}")
    for form in FORMS:
        yield _most("random bytes, Fernet", form, _of_limit(cells, form), 0.9, "× two processes of Fernet tokens")
    for form in (GCM, "netstructer.aio aes-256-gcm"):
        gain = _gain(cells, "bulk", "mebibytes_per_second", form, REFERENCE)
        yield _most("random bytes, AES-256-GCM", form, gain, 1.0, f"× {REFERENCE}")
    for form in FORMS:
        yield _growth(cells, form)
    for form in FORMS:
        gain = _gain(cells, "fanout", "per_second", form, REFERENCE)
        yield _most("fan-out", form, gain, 1.0, f"× {REFERENCE}")
    for workload, words in (("idle", "idle links"), ("idle5000", "5,000 idle links")):
        for form in FORMS:
            memory = _ratio(cells, workload, "server_kib", form, "asyncio+tls")
            yield _least(f"{words}, memory of one", form, memory, 1.0, "× asyncio+tls")
            beside = _quotient(_figure(cells, workload, form, "p99_us"), _figure(cells, workload, form, "alone_p99_us"))
            yield _least(f"{words}, p99 of a round trip", form, beside, 2.0, "× without them")


# --- single marks -----------------------------------------------------------------------------------------------------


def _faster_than_all(cells: Cells, form: str) -> Finding:
    """The round trip beside that of each rival: the ratio to the fastest of them."""
    times = [found for rival in RIVALS if (found := _figure(cells, "rtt", rival, "median_us")) is not None]
    ratio = _quotient(_figure(cells, "rtt", form, "median_us"), min(times) if times else None)
    text = None if ratio is None else f"{ratio:.2f} × the fastest of {len(times)}"
    return Finding(
        "small round trip", form, "under 1 × each of the other products", text, ratio is not None and ratio < 1
    )


def _values(cells: Cells) -> Iterator[Finding]:
    """The codec alone: the worst of its inputs."""
    runs = [run for run in cells.get("values", ()) if "error" not in run]
    compiled = any(label.endswith("/ netstructer pure") for run in runs for label in run)
    pure = "netstructer pure" if compiled else "netstructer"
    for words, labels, way, most in (
        ("values alone, homogeneous", HOMOGENEOUS, pure, 2.0),
        ("values alone, mixed", MIXED, pure, 8.0),
        ("values alone, all", HOMOGENEOUS + MIXED, "netstructer" if compiled else "", 1.2),
    ):
        ratios = {label: ratio for label in labels if (ratio := _value_ratio(runs, label, way)) is not None}
        form = "compiled" if most == 1.2 else "pure"
        if not ratios:
            yield Finding(words, form, f"≤ {most:g} × pickle", None, False)
            continue
        worst = max(ratios, key=lambda label: ratios[label])
        yield Finding(words, form, f"≤ {most:g} × pickle", f"{ratios[worst]:.2f} ({worst})", ratios[worst] <= most)


def _value_ratio(runs: Sequence[Mapping[str, Any]], label: str, way: str) -> float | None:
    ours = median_of([run.get(f"{label} / {way}", {}) for run in runs], "both_ms")
    return _quotient(ours, median_of([run.get(f"{label} / pickle", {}) for run in runs], "both_ms"))


def _growth(cells: Cells, form: str) -> Finding:
    """The largest value: by how much each end grew beyond it."""
    grown = [_figure(cells, "single", form, f"{end}_extra_mib") for end in ("client", "server")]
    known = [figure for figure in grown if figure is not None]
    text = " and ".join(f"{figure:.0f}" for figure in known) + " MiB" if known else None
    kept = bool(known) and max(known) <= MOST_GROWTH_MIB
    return Finding("one very large value", form, f"growth ≤ {MOST_GROWTH_MIB} MiB beyond it", text, kept)


def _of_limit(cells: Cells, form: str) -> float | None:
    runs = [run.get("two processes / Fernet tokens", {}) for run in cells.get("limits", ())]
    return _quotient(_figure(cells, "bulk", form, "mebibytes_per_second"), median_of(runs, "mib_s"))


def _gigabit(cells: Cells, what: str) -> float | None:
    wire = cells.get("wire", {})
    if "netstructer" not in wire or REFERENCE not in wire:
        return None
    return _quotient(gigabit(cells, "netstructer").get(what), gigabit(cells, REFERENCE).get(what))


# --- ratios -----------------------------------------------------------------------------------------------------------


def _least(mark: str, form: str, ratio: float | None, most: float, unit: str) -> Finding:
    return _judged(mark, form, ratio, f"≤ {most:g} {unit}", lambda found: found <= most)


def _most(mark: str, form: str, ratio: float | None, least: float, unit: str) -> Finding:
    return _judged(mark, form, ratio, f"≥ {least:g} {unit}", lambda found: found >= least)


def _judged(mark: str, form: str, ratio: float | None, wanted: str, kept: Callable[[float], bool]) -> Finding:
    return Finding(mark, form, wanted, None if ratio is None else f"{ratio:.2f}", ratio is not None and kept(ratio))


def _figure(cells: Cells, workload: str, peer: str, figure: str) -> float | None:
    return median_of(cells.get(workload, {}).get(peer, ()), figure)


def _ratio(cells: Cells, workload: str, figure: str, peer: str, other: str) -> float | None:
    return _quotient(_figure(cells, workload, peer, figure), _figure(cells, workload, other, figure))


def _gain(cells: Cells, workload: str, figure: str, peer: str, other: str) -> float | None:
    """Return how many times as much a peer does as another."""
    return _ratio(cells, workload, figure, peer, other)


def _slowness(cells: Cells, workload: str, peer: str, other: str) -> float | None:
    """Return how many times as long a peer takes as another."""
    return _ratio(cells, workload, "median_us", peer, other)


def _quotient(found: float | None, other: float | None) -> float | None:
    return found / other if found is not None and other else None
