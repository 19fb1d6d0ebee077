"""The examples of docs/testing-kit.md run as they stand, each block for itself, and its links lead somewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from netstructer import pytest_plugin, testing

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "testing-kit.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_is_found() -> None:
    assert len(BLOCKS) == 7


@pytest.mark.parametrize("number", range(7))
def test_an_example_runs_as_it_stands(number: int) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[number], f"example {number}", "exec"), names)
    for name, item in names.items():
        if name.startswith("test_") and not inspect.iscoroutinefunction(item):
            item()
        elif name.startswith("Test"):
            item().test_bytes_arrive_in_order()


def test_everything_public_is_named_on_a_page_and_has_words() -> None:
    pages = PAGE + (ROOT / "docs" / "testing.md").read_text("utf-8")
    quiet = {"Counters", "Direction", "Fault", "LinkPair", "Plan", "SessionEnd", "SessionPair", "Wire", "WireEnd"}

    assert [name for name in testing.__all__ if name not in quiet and f"`{name}" not in pages] == []
    assert [name for name in pytest_plugin.__all__ if f"`{name}`" not in PAGE] == []


def test_its_links_lead_somewhere() -> None:
    places = [place for place in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in place]
    anchors = re.findall(r"\]\(#([^)]+)\)", PAGE)
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^## (.*)$", PAGE, re.M)
    }

    assert [place for place in places if not (ROOT / "docs" / place).exists()] == []
    assert [anchor for anchor in anchors if anchor not in heads] == []
