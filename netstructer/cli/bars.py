"""The bars: how far a transfer is, on a terminal.  Floor: ROOF.  Law: drawing costs a transfer nothing.

A transfer's thread only leaves its latest event here; rich's own thread draws it, ten times a second.  One bar for the
file under way, and one for the whole where there are several.  The bars go when the transfer ends.  Before a file there
may be minutes in which an end reads what is there already and nothing moves: that is said, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from netstructer.cli.screen import rate, size
from netstructer.services.printing import one_line
from netstructer.transfer import Progress

__all__ = ["Bars", "drawn"]

FRAMES_PER_SECOND = 10.0
WIDEST = 100
BAR_WIDTH = 20
AMOUNT_WIDTH = 22
PACE_WIDTH = 11
LEFT_WIDTH = 7
LEAST_NAME_WIDTH = 12
"""Characters of the columns; what is left of the terminal's width is the name's.  Where that is too little, the bar
goes first, then the rate, then the time that is left."""
MOMENT_SECONDS = 1.0
"""How long nothing may move between files before it is said what is done meanwhile."""


class Bars:
    """Shows the progress of one transfer on a console; `report` is what the transfer calls."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        console = console or Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._clock = clock
        self._latest: tuple[Progress | None, float] = (None, clock())
        self._live = Live(
            get_renderable=lambda: self.frame(min(console.width, WIDEST)),
            console=console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # stdout may be a pipe full of somebody's bytes
            redirect_stderr=False,
        )

    def report(self, progress: Progress) -> None:
        """Take the latest event."""
        self._latest = progress, self._clock()

    def frame(self, width: int) -> RenderableType:
        """Return what is to be seen now."""
        progress, since = self._latest
        quiet = self._clock() - since
        between = progress is None or (progress.done == progress.total and progress.files_done < progress.files_total)
        if between and quiet > MOMENT_SECONDS:
            return Text(f"comparing what is there: {_clock(quiet)}"[:width])
        return drawn(progress, width)

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def drawn(progress: Progress | None, width: int = WIDEST) -> RenderableType:
    """Return the bars for one event, so many characters wide; nothing before the first."""
    if progress is None:
        return Text("")
    columns = [BAR_WIDTH, AMOUNT_WIDTH, PACE_WIDTH, LEFT_WIDTH]
    for dropped in (0, 2, 3):
        if width - sum(columns) - len(columns) >= LEAST_NAME_WIDTH:
            break
        columns[dropped] = 0
    name_width = max(1, width - sum(columns) - sum(map(bool, columns)))
    table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", width=name_width)
    for column_width in filter(None, columns):
        table.add_column(no_wrap=True, justify="right", width=column_width)
    several = progress.files_total > 1
    name = _end_of(one_line(progress.name), name_width)
    rows = [_row(name, progress.done, progress.total, None if several else progress.rate)]
    if several:
        name = f"{progress.files_done:,} of {progress.files_total:,} files"
        rows.append(_row(name, progress.whole_done, progress.whole_total, progress.rate))
    for first, *others in rows:
        table.add_row(first, *(cell for cell, column_width in zip(others, columns, strict=True) if column_width))
    return table


def _end_of(name: str, width: int) -> str:
    """Return a path that fits: what is at its end tells more than what is at its beginning."""
    if cell_len(name) <= width:
        return name
    while cell_len(name) > width - 1:
        name = name[1:]
    return f"…{name}"


def _row(name: str, done: int, total: int | None, speed: float | None) -> list[RenderableType]:
    if total is None:
        bar, amount, left = ProgressBar(pulse=True, width=BAR_WIDTH), size(done), ""
    else:
        completed = done if total else 1
        bar = ProgressBar(total=total or 1, completed=completed, width=BAR_WIDTH, complete_style="cyan")
        amount = f"{size(done)} of {size(total)}"
        left = _clock((total - done) / speed) if speed else ""
    pace = "" if speed is None else rate(speed, 1)
    return [Text(name), bar, Text(amount), Text(pace, style="dim"), Text(left, style="dim")]


def _clock(duration: float) -> str:
    """Return a time that is left as people read it: `0:42`, `1:02:03`."""
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
