"""`python -m bench [--smoke | --short | --full] [--only NAMES] [--peers NAMES] [--rounds N] [--budget SECONDS]
[--everybody] [--out FOLDER] [--publish PAGE] [--again FOLDER]`.

Prints a line for each cell as it ends and the tables at the end; FOLDER (default: `bench/results/`) gets `report.md`,
`results.json` and the plots.  The exit status is 1 where any cell failed; a peer whose package is missing is skipped
and named.  `--again` makes report and plots anew from the results of an earlier run.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import certificates, plots
from bench.cells import run_cell, run_module
from bench.marks import marks_table
from bench.measure import describe_machine
from bench.peers import PEERS, REFERENCE
from bench.report import gigabit_table, link_table, module_table, publish, write
from bench.scales import BUDGETS, MODULES, ROUNDS, SCALES, SECONDS, participants
from bench.tables import MODULE_TABLES, TABLES

__all__ = ["main"]

PACKAGES = (
    *("netstructer", "cryptography", "zstandard", "msgpack", "ormsgpack", "cbor2", "websockets", "pyzmq", "Pyro5"),
    *("rpyc", "grpcio"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the bench from a command line."""
    options = _parse(arguments)
    _raise_open_files()
    began = time.monotonic()
    cells, machine = _again(options) if options.again else _measure(options)
    tables = [marks_table(cells), gigabit_table(cells)]
    tables += [module_table(name, found) for name, found in cells.items() if isinstance(found, list)]
    scales = SCALES[options.scale]
    tables += [link_table(name, found, scales[name]) for name, found in cells.items() if isinstance(found, dict)]
    path = write(options.out, machine, [table for table in tables if table], cells, options.scale)
    pictures = plots.draw(cells, options.out)
    if options.publish:
        publish(path, options.publish)
        for picture in pictures:
            (options.publish.parent / picture.name).write_bytes(picture.read_bytes())
    failed = sum(map(_failures, _every(cells)))
    print(f"\n{path.read_text('utf-8')}\n{failed} cells failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of every cell, and what they depend on."""
    scale = options.scale
    cells: dict[str, Any] = {name: [] for name in MODULE_TABLES if name in options.only}
    for name in TABLES:
        if name in options.only and name in SCALES[scale]:
            entered = participants("full" if options.everybody else scale, name, options.peers, REFERENCE)
            cells[name] = {peer: [] for peer in entered}
    absent = {name: reason for name in options.peers if (reason := PEERS[name].missing()) is not None}
    machine = describe_machine(PACKAGES)
    began, longest = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(prefix="netstructer-bench-") as folder:
        config = certificates.write_config(Path(folder))
        # Round after round over everything, not workload after workload: a machine that slows down slows all of them.
        for round_ in range(1, options.rounds + 1):
            round_began = time.monotonic()
            if round_began - began + longest > options.budget:
                print(f"no time for round {round_}", flush=True)
                break
            for name, peer in _turns(cells):
                if peer is None:
                    figures = run_module(f"bench.{name}", scale, 10 * SECONDS[scale])
                    cells[name].append(figures)
                else:
                    reason = absent.get(peer) or PEERS[peer].without.get(name)
                    scaled = SCALES[scale][name]
                    figures = {"skipped": reason} if reason else run_cell(peer, name, config, scaled, SECONDS[scale])
                    cells[name][peer].append(figures)
                print(_line(round_, name, peer, figures), flush=True)
            longest = max(longest, time.monotonic() - round_began)
    return cells, machine


def _again(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of an earlier run."""
    kept = json.loads((options.again / "results.json").read_text("utf-8"))
    options.scale = kept["scale"]
    return kept["cells"], kept["machine"]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="netstructer beside what users would pick instead."
    )
    scale = parser.add_mutually_exclusive_group()
    for name, words in (("smoke", "tiny, under a minute"), ("short", "a few minutes"), ("full", "what is published")):
        scale.add_argument(f"--{name}", dest="scale", action="store_const", const=name, help=words)
    everything = [*MODULE_TABLES, *TABLES]
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin no round that would end after so long")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="make the report anew from the results in there")
    parser.add_argument("--only", type=_names(everything), default=None, help="of " + ",".join(everything))
    parser.add_argument("--peers", type=_names(list(PEERS)), default=list(PEERS), help="of " + ",".join(PEERS))
    parser.add_argument("--everybody", action="store_true", help="all peers in all workloads, as --full has it")
    parser.add_argument("--rounds", type=int, help="how often each cell is run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    parser.add_argument("--publish", type=Path, metavar="PAGE", help="put the tables between the markers of this page")
    options = parser.parse_args(arguments)
    options.scale = options.scale or "short"
    options.rounds = options.rounds or ROUNDS[options.scale]
    options.only = options.only or [*MODULES[options.scale], *TABLES]
    options.budget = options.budget or BUDGETS[options.scale]
    return options


def _names(known: list[str]) -> Any:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


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
    elif "skipped" in figures:
        shown = "skipped: " + figures["skipped"]
    elif peer is None:
        shown = f"{len(figures)} figures" + "".join(
            f"\n{'':<12}{label}: {kind}: {found[kind]}"
            for label, found in figures.items()
            for kind in ("skipped", "error")
            if kind in found
        )
    else:
        shown = "  ".join(f"{key} {figures[key]:.4g}" for key, _, _ in TABLES[name].columns if key in figures)
    return f"{round_} {name:<10}{peer or '':<28}{shown}"


def _raise_open_files() -> None:
    """A thousand links are a thousand files, at each end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
