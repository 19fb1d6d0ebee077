"""Slow sources over real links: what a source gives is read at the other end before the source gives more.

Every source here waits for its reader: it goes on only when what it gave has been read.  So nothing is timed: were one
line kept back for the next, neither would ever move, and the test would fail after the patience of loopback.py.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Blob
from netstructer.protocol.sources import MOST_LULLS
from netstructer.transfer import Source, offer

LINES = [f"line {number}: {'x' * (number % 7)}\n".encode() for number in range(12)]
FRAMES = [os.urandom(size) for size in (100_000, 65_496, 65_536, 300_000, 1, 1 << 20, 70_000)]


class Turns:
    """The source's word that it gave something, and the reader's that it has it."""

    def __init__(self) -> None:
        self._read = threading.Semaphore(0)

    def done(self) -> None:
        """Let the source go on."""
        self._read.release()

    def wait(self) -> None:
        assert self._read.acquire(timeout=PATIENCE_SECONDS), "what the source gave was not read"


def source(pieces: list[bytes], turns: Turns) -> Iterator[bytes]:
    for piece in pieces[:-1]:
        yield piece
        turns.wait()
    yield pieces[-1]


def by_iterating(blob: Blob, expected: list[bytes], turns: Turns) -> None:
    """Read each piece whole, and only then let the source go on."""
    chunks = blob.chunks(timeout=PATIENCE_SECONDS)
    for piece in expected:
        found = b""
        while len(found) < len(piece):
            found += next(chunks)
        assert found == piece
        turns.done()
    assert next(chunks, None) is None


def by_read1(blob: Blob, expected: list[bytes], turns: Turns) -> None:
    with blob.open(timeout=PATIENCE_SECONDS) as file:
        for piece in expected:
            found = b""
            while len(found) < len(piece):
                found += file.read1(1 << 20)  # type: ignore[attr-defined]  # BinaryIO does not name it
            assert found == piece
            turns.done()
        assert file.read() == b""


def by_lines(blob: Blob, expected: list[bytes], turns: Turns) -> None:
    with blob.open(timeout=PATIENCE_SECONDS) as file:
        for piece in expected:
            assert file.readline() == piece
            turns.done()
        assert file.readline() == b""


@pytest.mark.parametrize("read", [by_iterating, by_read1, by_lines], ids=["iterating", "read1", "readline"])
@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_line_is_read_before_the_next_is_written(
    read: Callable[[Blob, list[bytes], Turns], None], compress: bool, known: bool
) -> None:
    turns = Turns()
    size = sum(map(len, LINES)) if known else None
    with linked() as (near, far):
        sending = Task(near.send, {"log": Blob.from_iter(source(LINES, turns), size=size)}, compress=compress)
        read(far.recv(timeout=PATIENCE_SECONDS)["log"], LINES, turns)
        sending.result()


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
def test_a_frame_of_any_length_is_read_whole_before_the_next_is_made(compress: bool) -> None:
    """The last bytes of a piece that is no multiple of a chunk are not kept back."""
    turns = Turns()
    with linked() as (near, far):
        sending = Task(near.send, {"film": Blob.from_iter(source(FRAMES, turns))}, compress=compress)
        by_iterating(far.recv(timeout=PATIENCE_SECONDS)["film"], FRAMES, turns)
        sending.result()


def test_every_line_of_a_burst_is_read_before_the_source_goes_on() -> None:
    """Lines that come at once, and then nothing: those that nobody could know to be the last."""
    turns = Turns()
    burst = MOST_LULLS // 3

    def bursts() -> Iterator[bytes]:
        for _ in range(3):
            yield from (b"%d\n" % number for number in range(burst))
            turns.wait()

    with linked() as (near, far):
        sending = Task(near.send, {"log": Blob.from_iter(bursts())})
        chunks = far.recv(timeout=PATIENCE_SECONDS)["log"].chunks(timeout=PATIENCE_SECONDS)
        for _ in range(3):
            found = b""
            while found.count(b"\n") < burst:
                found += next(chunks)
            turns.done()
        assert next(chunks, None) is None
        sending.result()


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, io.FileIO]]:
    """Give a buffered file over the reading end of a pipe, and one over the other that is not."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as pen:
        yield file, pen


def test_a_line_written_into_a_pipe_is_read_before_the_next(pipe: tuple[BinaryIO, io.FileIO]) -> None:
    file, pen = pipe
    with linked() as (near, far):
        sending = Task(near.send, {"log": Blob.from_file(file)})
        with far.recv(timeout=PATIENCE_SECONDS)["log"].open(timeout=PATIENCE_SECONDS) as log:
            for line in LINES:
                pen.write(line)
                assert log.readline() == line
            pen.close()
            assert log.readline() == b""
        sending.result()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes that do not wait")
def test_a_pipe_that_has_nothing_now_and_does_not_wait_is_not_at_its_end(pipe: tuple[BinaryIO, io.FileIO]) -> None:
    file, pen = pipe
    os.set_blocking(file.fileno(), False)
    pen.write(b"a line")
    with linked() as (near, far):
        sending = Task(near.send, {"log": Blob.from_file(file)})
        chunks = far.recv(timeout=PATIENCE_SECONDS)["log"].chunks(timeout=PATIENCE_SECONDS)
        assert next(chunks) == b"a line"
        with pytest.raises(Exception, match="source failed"):
            next(chunks)
        error = sending.error()

    assert error is not None
    assert "binary mode" in str(error)


def test_what_a_slow_blob_passes_on_is_passed_on_at_once() -> None:
    """A blob that is still arriving is sent on to a third end, line by line."""
    turns = Turns()
    with linked() as (near, middle), linked() as (onward, far):
        sending = Task(near.send, {"log": Blob.from_iter(source(LINES, turns))})
        passing = Task(onward.send, {"log": middle.recv(timeout=PATIENCE_SECONDS)["log"]})
        by_lines(far.recv(timeout=PATIENCE_SECONDS)["log"], LINES, turns)
        sending.result()
        passing.result()


def test_slow_sources_do_not_wait_for_each_other() -> None:
    """Of two blobs on two values, each goes at its own pace."""
    first, second = Turns(), Turns()
    with linked() as (near, far):
        tasks = [
            Task(near.send, Blob.from_iter(source(LINES, turns), name=name))
            for name, turns in (("first", first), ("second", second))
        ]
        found = {blob.name: blob for blob in (far.recv(timeout=PATIENCE_SECONDS) for _ in tasks)}
        by_lines(found["first"], LINES, first)
        by_lines(found["second"], LINES, second)
        for task in tasks:
            task.result()


def test_what_comes_out_of_a_pipe_is_on_the_other_disk_before_the_pipe_goes_on(
    pipe: tuple[BinaryIO, io.FileIO], tmp_path: Path
) -> None:
    """`tail -f log | netstructer put - there`: the file that is not whole yet holds each line as it was written."""
    file, pen = pipe

    def on_disk(wanted: bytes) -> bool:
        return any(path.read_bytes() == wanted for path in tmp_path.iterdir())

    with linked() as (near, far), near.conversation() as aside:
        taking = Task(far.recv_file, tmp_path, timeout=PATIENCE_SECONDS)
        sending = Task(offer, aside, [Source(file, "log")], clock=time.monotonic)
        for number, line in enumerate(LINES):
            pen.write(line)
            eventually(partial(on_disk, b"".join(LINES[: number + 1])), "the line on the other disk")
        pen.close()
        sending.result()
        taking.result()

    assert (tmp_path / "log").read_bytes() == b"".join(LINES)
