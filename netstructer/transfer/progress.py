"""Progress as data: one event object for callbacks, bars and NDJSON.  Floor: COMMONS.

Law: numbers only grow within one file, the last event of a file that arrived has `done == total`, and nobody is called
more often than `EVERY_SECONDS` asks for, however small the pieces are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from netstructer.transfer.channel import Channel, Clock

__all__ = ["Meter", "Progress", "Report"]

EVERY_SECONDS = 0.1
"""Between two events inside one file: as often as an eye follows a bar."""
RATE_SECONDS = 5.0
"""The rate is that of so many seconds past: long enough to be read, short enough to be true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a transfer is: this file, all files, and the wire."""

    name: str
    """Of the file, relative to what is transferred."""
    done: int
    """Bytes of this file that are at the other end or on their way, those of an earlier try included."""
    total: int | None
    """Bytes of this file; None for a stream that has not ended."""
    rate: float
    """Bytes of files that moved in a second, over the last five."""
    wire: int
    """Bytes on the wire for this transfer so far, both ways."""
    files_done: int
    files_total: int
    whole_done: int
    """Bytes of all files, as `done`."""
    whole_total: int | None
    """Bytes of all files; None while there is a stream among them."""
    state: Literal["moving", "comparing"] = "moving"
    """`comparing`: what is there of this file is read, to find out what need not be sent; `done` and `total` are bytes
    of that then, and begin anew when bytes move."""


Report = Callable[[Progress], None]


class Meter:
    """Counts, and calls `report`; with None it only counts the wire.  Single owner.

    Whatever `report` raises ends the transfer, and goes to who began it.
    """

    def __init__(self, report: Report | None, channel: Channel, clock: Clock) -> None:
        self._report = report
        self._wire_bytes = channel.wire_bytes
        self._clock = clock
        self._wire_before = channel.wire_bytes()
        self.files_total = 0
        self.whole_total: int | None = 0
        self._files_done = self._whole_before = 0
        self._name, self._done = "", 0
        self._total: int | None = None
        self.moved = 0
        self._told_at = clock()
        self._marks: deque[tuple[float, int]] = deque([(self._told_at, 0)])

    def expect(self, files: int, whole: int | None) -> None:
        """State how many files there will be, and their bytes."""
        self.files_total, self.whole_total = files, whole

    def begin(self, name: str, total: int | None, done: int = 0) -> None:
        """A file begins, of which `done` bytes are there already."""
        self._name, self._total, self._done = name, total, done
        self._tell()

    def compare(self, name: str, total: int) -> Callable[[int], None]:
        """So many bytes of what is there of a file are to be read; return what is told of each piece of them."""
        self._name, self._total, self._done = name, total, 0

        def advance(count: int) -> None:
            self._done += count
            if self._report is not None and self._clock() - self._told_at >= EVERY_SECONDS:
                self._tell("comparing")

        return advance

    def advance(self, count: int) -> None:
        """So many more bytes of it."""
        self._done += count
        self.moved += count
        if self._report is not None and self._clock() - self._told_at >= EVERY_SECONDS:
            self._tell()

    def end(self) -> None:
        """The file has ended, whole or not."""
        self._files_done += 1
        whole = self._done if self._total is None else self._total
        if self._total is None:
            self._total = self._done
        self._tell()
        self._whole_before += whole
        self._done = 0

    @property
    def wire(self) -> int:
        return self._wire_bytes() - self._wire_before

    def _tell(self, state: Literal["moving", "comparing"] = "moving") -> None:
        if self._report is None:
            return
        now = self._told_at = self._clock()
        self._marks.append((now, self.moved))
        while now - self._marks[0][0] > RATE_SECONDS and len(self._marks) > 2:
            self._marks.popleft()
        since, before = self._marks[0]
        self._report(
            Progress(
                name=self._name,
                done=self._done,
                total=self._total,
                rate=(self.moved - before) / (now - since) if now > since else 0.0,
                wire=self.wire,
                files_done=self._files_done,
                files_total=self.files_total,
                whole_done=self._whole_before + (self._done if state == "moving" else 0),
                whole_total=self.whole_total,
                state=state,
            )
        )
