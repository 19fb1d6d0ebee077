"""`python -m bench [--smoke | --short | --full] [--only NAMES] [--peers NAMES] [--rounds N] [--out FOLDER]`.

Prints a line for each cell as it ends and the tables at the end; FOLDER (default: `bench/results/`) gets `report.md`
and `results.json`.  The exit status is 1 where any cell failed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import certificates
from bench.cells import run_cell, run_module
from bench.measure import describe_machine
from bench.peers import PEERS
from bench.report import MODULE_TABLES, TABLES, link_table, module_table, publish, write
from bench.workloads import SCALES, SECONDS

__all__ = ["main"]

ROUNDS = {"smoke": 1, "short": 3, "full": 5}
PACKAGES = ("netstructer", "cryptography", "zstandard", "msgpack", "ormsgpack", "cbor2", "websockets")


def main(arguments: list[str] | None = None) -> int:
    """Run the bench from a command line."""
    options = _parse(arguments)
    _raise_open_files()
    modules = [name for name in MODULE_TABLES if name in options.only]
    workloads = [name for name in TABLES if name in options.only]
    cells: dict[str, Any] = {name: [] for name in modules}
    cells |= {name: {peer: [] for peer in options.peers if _takes_part(peer, name)} for name in workloads}
    began = time.monotonic()
    machine = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="netstructer-bench-") as folder:
        config = certificates.write_config(Path(folder))
        # Round after round over everything, not workload after workload: a machine that slows down slows all of them.
        for round_ in range(1, options.rounds + 1):
            for name, peer in _turns(cells):
                if peer is None:
                    figures = run_module(f"bench.{name}", options.scale, 10 * SECONDS[options.scale])
                    cells[name].append(figures)
                else:
                    figures = run_cell(peer, name, config, SCALES[options.scale][name], SECONDS[options.scale])
                    cells[name][peer].append(figures)
                print(_line(round_, name, peer, figures), flush=True)
    tables = [module_table(name, cells[name]) for name in modules]
    tables += [link_table(name, cells[name], SCALES[options.scale][name]) for name in workloads]
    path = write(options.out, machine, tables, cells)
    if options.publish:
        publish(path, options.publish)
    failed = sum(map(_failures, _every(cells)))
    print(
        f"\n{path.read_text('utf-8')}\n{failed} cells failed, {time.monotonic() - began:.0f} s, {options.rounds} rounds"
    )
    return 1 if failed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="netstructer beside what users would pick instead."
    )
    scale = parser.add_mutually_exclusive_group()
    for name, words in (("smoke", "tiny, under a minute"), ("short", "a few minutes"), ("full", "what is published")):
        scale.add_argument(f"--{name}", dest="scale", action="store_const", const=name, help=words)
    everything = [*MODULE_TABLES, *TABLES]
    parser.add_argument("--only", type=_names(everything), default=None, help="of " + ",".join(everything))
    parser.add_argument("--peers", type=_names(list(PEERS)), default=list(PEERS), help="of " + ",".join(PEERS))
    parser.add_argument("--rounds", type=int, help="how often each cell is run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    parser.add_argument("--publish", type=Path, metavar="PAGE", help="put the tables between the markers of this page")
    options = parser.parse_args(arguments)
    options.scale = options.scale or "short"
    options.rounds = options.rounds or ROUNDS[options.scale]
    options.only = options.only or everything
    return options


def _names(known: list[str]) -> Any:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


def _takes_part(peer: str, workload: str) -> bool:
    return not PEERS[peer].only or workload in PEERS[peer].only


def _turns(cells: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, found in cells.items():
        if isinstance(found, dict):
            yield from ((name, peer) for peer in found)
        else:
            yield name, None


def _every(cells: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for found in cells.values():
        if isinstance(found, dict):
            for figures in found.values():
                yield from figures
        else:
            yield from found


def _failures(figures: dict[str, Any]) -> int:
    """Return how many failed of one cell, or of the rows of one bench without a server."""
    if "error" in figures:
        return 1
    return sum(isinstance(found, dict) and "error" in found for found in figures.values())


def _line(round_: int, name: str, peer: str | None, figures: dict[str, Any]) -> str:
    if "error" in figures:
        shown = "FAILED: " + figures["error"]
    elif peer is None:
        shown = f"{len(figures)} figures" + "".join(
            f"\n{'':<12}{label}: {kind}: {found[kind]}"
            for label, found in figures.items()
            for kind in ("skipped", "error")
            if kind in found
        )
    else:
        shown = "  ".join(f"{key} {figures[key]:.4g}" for key, _, _ in TABLES[name].columns if key in figures)
    return f"{round_} {name:<10}{peer or '':<24}{shown}"


def _raise_open_files() -> None:
    """A thousand links are a thousand files, at each end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
