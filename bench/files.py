"""Files and trees to another process: `netstructer put` beside scp, rsync over ssh and HTTPS.

Each way has its turn with each input, in a fresh server process and a fresh client process; the clock runs from the
start of the client's process to its end, as it does for whoever types the command.  What arrived is compared with what
was sent, names and digests, when the clock has stopped.  What was written is on the disk before the next one's turn,
and memory was touched before the clock (see cells.py): nobody pays for somebody else's pages.

A way that the machine does not have is named and left out.  For ssh: `openssh-server`, `openssh-client` and `rsync`,
as Debian names them; nothing has to be set up, and no server of the system's is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import certificates, inputs
from bench.cells import CellError, memory_holder
from bench.inputs import MIB
from bench.memory import resident_kib
from bench.ways import ROOT, WAYS, Job, Way, WayFailed, last_words

__all__ = ["SCALES", "Scale", "fingerprint", "make_tree", "measure", "run_way", "time_command"]

Figures = dict[str, float | str]

SAMPLE_SECONDS = 0.02
FILES_IN_A_FOLDER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is put, and how long one way may take for it."""

    mebibytes: int
    files: int
    seconds: float
    held: int = 0


SCALES = {
    "smoke": Scale(mebibytes=4, files=60, seconds=20),
    "short": Scale(mebibytes=256, files=2_000, seconds=60, held=1),
    "full": Scale(mebibytes=1024, files=20_000, seconds=300, held=3),
}


def measure(scale: str) -> dict[str, Figures]:
    """Return figures by "input / way", or under "skipped" or "error" why there are none."""
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="netstructer-bench-files-") as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        certificates.write_config(scratch)
        for label, source in _sources(Path(folder) / "sources", SCALES[scale]):
            expected = fingerprint(source)
            names = scratch / "names.json"
            names.write_text(json.dumps(sorted(expected)), "utf-8")
            for name, way in WAYS.items():
                job = Job(source=source, destination=Path(folder) / "arrived", names=names, scratch=scratch)
                figures[f"{label} / {name}"] = run_way(way, job, expected, SCALES[scale])
    return figures


def run_way(way: Way, job: Job, expected: dict[str, str], scale: Scale) -> Figures:
    """Return the figures of one way with one input, or why there are none; what arrived is gone."""
    reason = way.missing()
    if reason is not None:
        return {"skipped": reason}
    job.destination.mkdir()
    try:
        environment = way.prepare(job)
        with way.serving(job, environment) as server:
            with memory_holder(scale.held):
                os.sync()
            seconds, peak_kib = time_command(way.client(job, server.port), environment, scale.seconds)
            server_kib = resident_kib(server.pid, peak=True)
        if fingerprint(job.destination / job.source.name) != expected:
            return {"error": "what arrived is not what was sent"}
    except (WayFailed, CellError, subprocess.SubprocessError, OSError) as error:
        return {"error": str(error)}
    finally:
        shutil.rmtree(job.destination)
    size = _size(job.source)
    figures: Figures = {"seconds": seconds, "mebibytes_per_second": size / MIB / seconds}
    if len(expected) > 1:
        figures["files_per_second"] = len(expected) / seconds
    if way.one_process:
        figures |= {"client_peak_mib": peak_kib / 1024, "server_peak_mib": server_kib / 1024}
    return figures


def time_command(command: list[str], environment: dict[str, str], most_seconds: float) -> tuple[float, int]:
    """Return the seconds that a command takes and its peak of resident KiB.  Raises `WayFailed`."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **environment},
            cwd=ROOT,
        )
        with _watching(process.pid) as peak, _ending(process, most_seconds):
            status = process.wait()
            took = time.perf_counter() - began
        if status:
            errors.seek(0)
            late = f" after {took:.0f} s of {most_seconds:.0f}" if took >= most_seconds else ""
            raise WayFailed(f"the client ended with {status}{late}: {last_words(errors.read())}")
    return took, peak[0]


@contextlib.contextmanager
def _watching(pid: int) -> Iterator[list[int]]:
    """Give a list whose one number becomes the peak of a process: a mark that the kernel keeps, so that only what is
    added in the last moments can be missed.
    """
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], resident_kib(pid, peak=True))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _sources(folder: Path, scale: Scale) -> Iterator[tuple[str, Path]]:
    """Make one input after the other, and remove it when its turn is over."""
    size = f"{scale.mebibytes // 1024} GiB" if scale.mebibytes % 1024 == 0 else f"{scale.mebibytes} MiB"
    folder.mkdir()
    path = folder / "scan.raw"
    with open(path, "wb") as file:
        for _ in range(scale.mebibytes):
            file.write(os.urandom(MIB))
    yield f"{size}, random", path
    path.unlink()
    path = folder / "server.log"
    with open(path, "wb") as file:
        for text in inputs.make_text_mebibytes(scale.mebibytes):
            file.write(text.encode())
    yield f"{size}, a log", path
    path.unlink()
    path = folder / "tree"
    make_tree(path, scale.files)
    yield f"{scale.files:,} small files", path
    shutil.rmtree(path)


def make_tree(folder: Path, count: int) -> None:
    """Make files of 100 bytes to 20 KiB, half of them text, as a project's sources and a mailbox's letters are."""
    draw = random.Random(9)
    text = inputs.make_text_mebibytes(1)[0].encode()
    for number in range(count):
        path = folder / f"part-{number // FILES_IN_A_FOLDER:03}" / f"file-{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(100 * 200 ** draw.random())
        start = draw.randrange(len(text) - size)
        path.write_bytes(text[start : start + size] if number % 2 else draw.randbytes(size))


def fingerprint(root: Path) -> dict[str, str]:
    """Return the digest of each file below `root`, or of the file `root`, by its name from the parent of `root`."""
    paths = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    found = {}
    for path in paths:
        with open(path, "rb") as file:
            found[path.relative_to(root.parent).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in (root.rglob("*") if root.is_dir() else [root]) if path.is_file())


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
