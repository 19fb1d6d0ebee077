"""The examples run as they stand, are short, and use nothing but the public names."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import netstructer

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONGEST = 60
SHOWN = {
    "chat.py": ["Bob hears ('Ada', 'good morning')", "Ada hears ('Eve', 'good morning')"],
    "records.py": ["10000 entries", "equal: True", "amount=Decimal('0.25')", 'refused: value["where"][0]'],
    "request_reply.py": ["('mean', Fraction(5, 12))", "{1, 2, 4, 7, 14, 28}", "('error', "],
    "telemetry.py": ["attic was warmest at 00:01:39, 29.9 degrees", "new setting sent to 3, skipped 0"],
}
"""What each example must print."""


def test_every_example_is_known_here() -> None:
    assert [path.name for path in EXAMPLES] == sorted(SHOWN)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_shows_what_it_says(path: Path, empty_home: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [text for text in SHOWN[path.name] if text not in done.stdout] == []
    assert list(empty_home.rglob("*")) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_uses_public_names_only(path: Path) -> None:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    taken = [
        (node.module, alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    private = [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr.startswith("_")]

    assert len(source.splitlines()) < LONGEST
    assert {name for module, name in taken if module == "netstructer"} <= set(netstructer.__all__)
    assert [module for module, _ in taken if module and module.startswith("netstructer.")] == []
    assert [module for module in modules if module.startswith("netstructer")] == []
    assert private == []
