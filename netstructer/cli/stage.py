"""The stage of the demonstration: headings, lines, tables, a progress bar, on screen and on paper.  Floor: ROOF.

Everything that is shown goes through here, so that one switch gives the picture in the documents (`--svg`), one
gives silence (`--json`), and a pipe gets plain text without control codes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.highlighter import ReprHighlighter
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from netstructer.cli.screen import rate

__all__ = ["Stage"]

WIDEST = 96
PAPER_WIDTH = 88


class Stage:
    """Where the demonstration is shown.  `quiet` shows nothing; `paper` keeps a copy for `save`."""

    def __init__(self, *, quiet: bool = False, paper: bool = False) -> None:
        self._terminal = Console(markup=False, emoji=False, highlight=False, quiet=quiet)
        if self._terminal.width > WIDEST:
            self._terminal.width = WIDEST
        self._paper = (
            Console(
                markup=False,
                emoji=False,
                highlight=False,
                record=True,
                width=PAPER_WIDTH,
                file=io.StringIO(),
                color_system="truecolor",
            )
            if paper
            else None
        )

    def show(self, shown: RenderableType) -> None:
        """Show one thing."""
        self._terminal.print(shown)
        if self._paper is not None:
            self._paper.print(shown)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.show(Text())
        self.show(Rule(Text(text, style="bold cyan"), align="left", style="dim"))

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Show one line of text, its parts plain or with a style."""
        self.show(Text.assemble(*parts))

    def code(self, label: str, text: str) -> None:
        """Show a piece of Python behind a label."""
        self.show(Text.assemble((f"{label:<9}", "dim"), ReprHighlighter()(Text(text))))

    def check(self, passed: bool, text: str) -> None:
        """Show what was found, with a mark that is no decoration: it is the result."""
        self.say(("✓ ", "bold green") if passed else ("✗ ", "bold red"), text)

    def table(
        self, columns: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: frozenset[int] = frozenset()
    ) -> None:
        """Show a table; the columns in `numbers` are aligned to the right."""
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1))
        for index, name in enumerate(columns):
            right = index in numbers
            table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.show(table)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar while bytes move; yields the function that is told how many more have."""
        bar = Progress(
            TextColumn("{task.description:<20}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(binary_units=True),
            _Rate(),
            console=self._terminal,
        )
        task = bar.add_task(what, total=total)
        with bar:
            yield lambda count: bar.advance(task, count)
        if self._paper is not None:
            self._paper.print(bar.get_renderable())

    def save(self, path: Path, title: str) -> None:
        """Write what was shown as an SVG that asks nothing of any other place."""
        if self._paper is None:
            return
        drawn = self._paper.export_svg(title=title, unique_id="netstructer")
        path.write_text(re.sub(r"\s*(@font-face\s*{[^}]*}|<!--.*?-->)", "", drawn), encoding="utf-8")


class _Rate(ProgressColumn):
    """Bytes per second, in the same units as everything else here."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else rate(speed, 1), style="dim")
