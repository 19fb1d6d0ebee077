"""The examples run as they stand, are short, and use nothing but the public names."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
import time
from ast import literal_eval as from_literal
from pathlib import Path

import pytest

import netstructer

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONGEST = 60
SHOWN = {
    "administration.py": [
        "expected the permission 'admin.shutdown'",
        "server running, 2 accounts",
        "bob was told: ['be quiet, please'",
        "noted: bob admin.shutdown not permitted",
        "noted: ann admin.users.ban ok",
    ],
    "chat.py": ["Bob hears ('Ada', 'good morning')", "Ada hears ('Eve', 'good morning')"],
    "chat_rooms.py": ["message 1, Bob hears Ada: good morning \\x1b[31m", "Eve finds ['Ada', 'Bob', 'Eve']"],
    "devices.py": [
        "here: [('boiler', 'heating'), ('lamp-1', 'lamp'), ('lamp-2', 'lamp')]",
        "lamp-2 is on",
        "reported: [('lamp-1', 9.5), ('lamp-2', 9.5)]",
        "refused: the peer has no action 'reboot'",
    ],
    "file_server.py": ["put: 3145728 bytes, stored", "ls: ['scan.tiff']", "equal: True"],
    "records.py": ["10000 entries", "equal: True", "amount=Decimal('0.25')", 'refused: value["where"][0]'],
    "request_reply.py": ["('mean', Fraction(5, 12))", "{1, 2, 4, 7, 14, 28}", "('error', "],
    "telemetry.py": ["attic was warmest at 00:01:39, 29.9 degrees", "new setting sent to 3, skipped 0"],
    "test_with_fixtures.py": ["3 passed"],
    "under_cuts.py": ["1200 answers, every one right, through more than one cut"],
}
"""What each example must print."""
KITS = {
    "netstructer.services.chat",
    "netstructer.services.accounts",
    "netstructer.services.admin",
    "netstructer.services.hall",
    "netstructer.services.notices",
    "netstructer.services.signin",
    "netstructer.testing",
}
"""Modules that are public under their own name."""


def test_every_example_is_known_here() -> None:
    assert [path.name for path in EXAMPLES] == sorted(SHOWN)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_shows_what_it_says(path: Path, empty_home: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    as_tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(path.parent)]
    command = [sys.executable, "-W", "error", *(as_tests if path.name.startswith("test_") else []), str(path)]
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
    assert [module for module, _ in taken if module and module.startswith("netstructer.") and module not in KITS] == []
    assert [module for module in modules if module.startswith("netstructer")] == []
    assert private == []


def test_a_test_under_cuts_takes_ten_lines() -> None:
    tree = ast.parse((ROOT / "examples" / "under_cuts.py").read_text("utf-8"))
    test = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))

    assert (test.end_lineno or 0) - test.lineno + 1 <= 10


def test_the_two_programs_of_the_readme_talk_to_each_other() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    server, client, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = server.replace("0.0.0.0", "127.0.0.1").replace("5000", port)
    client = client.replace("192.168.1.5", "127.0.0.1").replace("5000", port)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, "-W", "error", "-c", server], env=environment, **pipes) as process:  # type: ignore[call-overload]
        wait_for_port(int(port), process)
        done = subprocess.run([sys.executable, "-W", "error", "-c", client], env=environment, timeout=60, check=True)
        out, _ = process.communicate(timeout=60)

    assert (done.returncode, process.returncode) == (0, 0)
    assert from_literal(out) == ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]


def test_every_document_that_the_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = {place for place in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in place}

    assert len(named) > 8
    assert sorted(place for place in named if not (ROOT / place).exists()) == []


def wait_for_port(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until something listens there; a program that ended will not."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(process.communicate())
