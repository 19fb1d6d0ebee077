"""The drop-in names are a front: they use what users can use, and say what they cannot keep."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from test_floors import ROOT, read_package

OWN = {"self", "self._bridge", "thing"}
"""Who may be asked for a private name: objects of the drop-in modules themselves."""


def test_what_is_used_of_netstructer_is_public() -> None:
    """No module of netstructer's but the window and the errors, and no private name."""
    taken: set[str] = set()
    for name, source in read_package().items():
        if not name.startswith("netstructer.compat"):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                taken.add(node.module)
            elif isinstance(node, ast.Import):
                taken |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                assert ast.unparse(node.value) in OWN, f"{name}:{node.lineno} {ast.unparse(node)}"
    ours = {name for name in taken if name.partition(".")[0] == "netstructer"}

    assert {name for name in ours if not name.startswith("netstructer.compat")} == {"netstructer", "netstructer.errors"}


@pytest.mark.parametrize(
    "statement",
    sorted(
        set(
            re.findall(
                r"from netstructer\.compat\.\w+ import [\w, ]+", (ROOT / "docs" / "compat.md").read_text("utf-8")
            )
        )
    ),
)
def test_every_import_of_the_document_is_one(statement: str) -> None:
    (node,) = ast.parse(statement).body
    assert isinstance(node, ast.ImportFrom)
    module = importlib.import_module(str(node.module))

    assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_every_program_of_the_document_is_one() -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "compat.md").read_text("utf-8"), re.DOTALL)

    assert len(programs) == 3
    for program in programs:
        ast.parse(program)
