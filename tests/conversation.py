"""Two ends of one conversation in memory, for the tests of netstructer/transfer: queues, and a pipe for each blob.

Everything crosses as bytes of the value format, so that what cannot be sent fails here too.  `Wire.cut_after` ends both
directions after so many bytes of blobs, as a cable does.
"""

from __future__ import annotations

import itertools
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netstructer.codec.blob import Blob
from netstructer.errors import ConnectionCut, LinkTimeout, MessageCancelled, SourceFailed
from netstructer.transfer.wording import verb_of

SECONDS = 20.0
"""No wait of a test is longer: a conversation that hangs fails."""
TURN_SECONDS = 0.002
"""How often a wait looks whether the wire was cut."""
ROOM = 8
"""Chunks in a pipe: the writer waits for the reader, as on a link."""


class Wire:
    """What both ends share: the counter, and the cut."""

    def __init__(self, cut_after: int | None = None) -> None:
        self.bytes = 0
        self.blob_bytes = 0
        self.cut_after = cut_after
        self.is_cut = threading.Event()
        self.lock = threading.Lock()

    def carry(self, chunk: bytes) -> bytes:
        """Return what comes through of a chunk: less than all of it where the wire is to be cut."""
        with self.lock:
            left = len(chunk) if self.cut_after is None else max(0, min(len(chunk), self.cut_after - self.blob_bytes))
            self.blob_bytes += left
            self.bytes += left
        return chunk[:left]


class End:
    """One end: a `Channel`."""

    def __init__(self, wire: Wire, out: queue.Queue[Any], inward: queue.Queue[Any]) -> None:
        self.wire, self.out, self.inward = wire, out, inward
        self.sent: list[Any] = []
        self.pipes: list[Pipe] = []

    def send(self, value: object, *, timeout: float | None = None) -> object:
        self._check()
        self.sent.append(value)
        blob = value[1].get("bytes") if isinstance(value, tuple) and isinstance(value[1], dict) else None
        if isinstance(blob, Blob):
            pipe = Pipe(self.wire)
            self.pipes.append(pipe)
            self.out.put((value[0], {"bytes": Blob.from_iter(Reader(pipe))}))
            pipe.fill(blob, timeout)
        else:
            self.wire.bytes += 100
            self.out.put(value)
        return None

    def recv(self, *, timeout: float | None = None) -> Any:
        value = _wait(self.inward, timeout, self.wire)
        if isinstance(value, BaseException):
            raise value
        return value

    def wire_bytes(self) -> int:
        return self.wire.bytes

    def _check(self) -> None:
        if self.wire.is_cut.is_set():
            raise ConnectionCut("cut")


class Pipe:
    """One blob on its way: bounded, cancelled by a reader that closes, failed by a source that fails."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.chunks: queue.Queue[Any] = queue.Queue(ROOM)
        self.cancelled = threading.Event()

    def fill(self, blob: Blob, timeout: float | None) -> None:
        try:
            for chunk in blob.chunks():
                through = self.wire.carry(bytes(chunk))
                self._put(through, timeout)
                if len(through) < len(chunk):
                    self.wire.is_cut.set()  # what came through is there, and its reader gets it
                    raise ConnectionCut("cut")
        except (ConnectionCut, MessageCancelled, LinkTimeout):
            raise
        except BaseException as error:
            self._put(SourceFailed("the source failed"), timeout)
            raise SourceFailed("the source failed") from error
        self._put(None, timeout)

    def _put(self, item: Any, timeout: float | None) -> None:
        for _ in _turns(timeout):
            if self.cancelled.is_set():
                raise MessageCancelled("the other end gave it up")
            if self.wire.is_cut.is_set() and item is None:
                raise ConnectionCut("cut")
            try:
                self.chunks.put(item, timeout=TURN_SECONDS)
                return
            except queue.Full:
                continue


class Reader:
    """The other end of a pipe; when nobody holds it, the pipe is cancelled, as the rest of a blob is given up."""

    def __init__(self, pipe: Pipe) -> None:
        self._chunks, self._wire = pipe.chunks, pipe.wire
        weakref.finalize(self, pipe.cancelled.set)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        item = _wait(self._chunks, None, self._wire)
        if isinstance(item, BaseException):
            raise item
        if item is None:
            raise StopIteration
        return bytes(item)


def _wait(items: queue.Queue[Any], timeout: float | None, wire: Wire) -> Any:
    for _ in _turns(timeout):
        cut = wire.is_cut.is_set()
        try:
            return items.get(timeout=0 if cut else TURN_SECONDS)
        except queue.Empty:
            if cut:
                raise ConnectionCut("cut") from None
    raise AssertionError


def _turns(timeout: float | None) -> Iterator[int]:
    yield from range(max(1, int((SECONDS if timeout is None else timeout) / TURN_SECONDS)))
    raise LinkTimeout("nothing moved")


def pair(cut_after: int | None = None) -> tuple[End, End, Wire]:
    """Return two ends and what is between them."""
    wire = Wire(cut_after)
    there: queue.Queue[Any] = queue.Queue()
    back: queue.Queue[Any] = queue.Queue()
    return End(wire, there, back), End(wire, back, there), wire


def both(here: Callable[[], Any], there: Callable[[], Any]) -> tuple[Any, Any]:
    """Run two ends at once; return what each returned, or the error that it raised."""
    found: list[Any] = [None, None]

    def run(place: int, end: Callable[[], Any]) -> None:
        try:
            found[place] = end()
        except BaseException as error:
            found[place] = error

    thread = threading.Thread(target=run, args=(1, there))
    thread.start()
    run(0, here)
    thread.join(SECONDS)
    assert not thread.is_alive()
    return found[0], found[1]


def ticking(step: float = 1.0) -> Callable[[], float]:
    """Return a clock that moves by `step` seconds each time that it is read."""
    count = itertools.count()
    return lambda: next(count) * step


@contextmanager
def nothing_outside(directory: Any) -> Iterator[None]:
    """Fail if anything beside `directory`, in its parent, is not what it was."""
    before = _picture(directory)
    yield
    assert _picture(directory) == before


def _picture(directory: Any) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted(directory.parent.rglob("*")):
        if path != directory and directory not in path.parents:
            content = path.readlink().as_posix().encode() if path.is_symlink() else b""
            found.append((str(path), path.read_bytes() if path.is_file() and not path.is_symlink() else content))
    return found


__all__ = ["End", "Wire", "both", "nothing_outside", "pair", "ticking", "verb_of"]
