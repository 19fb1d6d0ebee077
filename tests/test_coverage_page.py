"""docs/coverage.md: a row for each thing that a predecessor did, with words, and with tests that exist."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

import netstructer

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "coverage.md").read_text("utf-8")
LAST = {"S0": 64, "S1": 34, "S2": 36, "S3": 30, "S4": 35}
"""The ids of each predecessor go from 01 to this, without a gap."""
IDS = [f"{source}-{number:02}" for source, last in LAST.items() for number in range(1, last + 1)]
LEAST_WORDS = 20
"""Characters of both cells together, below which a row says nothing."""
NOT_MET = "not yet"
ROW = re.compile(r"\| (S\d-\d\d) \|(.*)\|(.*)\|(.*)\|")
TEST = re.compile(r"`tests/(test_\w+\.py)::(test_\w+)`")
STATED = re.compile(r"^Not met, or met in part: (\d+) of (\d+)\.", re.MULTILINE)


@cache
def names_in(name: str) -> frozenset[str]:
    """Return the tests of a file by reading it: to import it could skip, or start, something."""
    path = ROOT / "tests" / name
    if not path.exists():
        return frozenset()
    body = ast.parse(path.read_text("utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def faults_of(page: str) -> list[str]:
    """Return what is wrong with a page, in words."""
    lines = [line for line in page.splitlines() if re.match(r"\|\s*S\d", line)]
    rows = [ROW.fullmatch(line) for line in lines]
    faults = [f"no row: {line[:20]}" for line, row in zip(lines, rows, strict=True) if row is None]
    found = [row.groups() for row in rows if row is not None]
    ids = [cells[0] for cells in found]
    faults += [f"{missing}: no row" for missing in IDS if missing not in ids]
    faults += [f"{name}: more than one row" for name in sorted(set(ids)) if ids.count(name) > 1]
    faults += [f"{name}: there is no such id" for name in ids if name not in IDS]
    if ids != sorted(ids):
        faults.append("the rows are out of order")
    for name, what, how, shown in found:
        faults += [f"{name}: {fault}" for fault in _faults_of_row(what.strip(), how.strip(), shown.strip())]
    unmet = sum(NOT_MET in how for _, _, how, _ in found)
    if STATED.findall(page) != [(str(unmet), str(len(IDS)))]:
        faults.append(f"{unmet} of {len(IDS)} rows say {NOT_MET}: the page states another number")
    return faults


def _faults_of_row(what: str, how: str, shown: str) -> list[str]:
    is_unmet = how.startswith(f"{NOT_MET}: ")
    faults = []
    if not what or not how or len(what + how.removeprefix(NOT_MET)) < LEAST_WORDS:
        faults.append("no words")
    if NOT_MET in what + shown or (NOT_MET in how and not is_unmet):
        faults.append(f"{NOT_MET} does not stand first")
    named = TEST.findall(shown)
    if TEST.sub("", shown).strip() != ("" if named else "–"):
        faults.append("something else than tests")
    if not named and not is_unmet:
        faults.append("no test")
    faults += [f"there is no {test} in {file}" for file, test in named if test not in names_in(file)]
    return faults


def test_there_is_a_row_for_each_thing_with_words_and_tests_that_exist() -> None:
    assert len(IDS) == 199
    assert faults_of(PAGE) == []


ROW_OF = {match[1]: match[0] for match in ROW.finditer(PAGE)}
CELLS = ROW_OF["S2-15"].split(" | ")
SPOILED = {
    "S2-15: no row": ("| S2-15 |", "| (S2-15) |"),
    "S2-15: more than one row": ("| S2-16 |", "| S2-15 |"),
    "S4-36: there is no such id": ("| S4-35 |", "| S4-36 |"),
    "S2-15: no words": (CELLS[2], " "),
    "S2-15: no test": (CELLS[3], "– |"),
    "S2-15: something else than tests": (CELLS[3], "all of them |"),
    "S2-15: there is no test_the_registrar in test_server.py": ("test_the_registry`", "test_the_registrar`"),
    "S2-15: there is no test_the_registry in test_servers.py": ("test_server.py", "test_servers.py"),
    "S2-15: not yet does not stand first": (CELLS[2], "the same, but not yet in all"),
    "the rows are out of order": (ROW_OF["S2-15"] + "\n" + ROW_OF["S2-16"], ROW_OF["S2-16"] + "\n" + ROW_OF["S2-15"]),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_page_that_says_less_is_found(fault: str) -> None:
    right, wrong = SPOILED[fault]
    place = PAGE.index(ROW_OF["S4-35" if "S4" in fault else "S2-16" if "more" in fault else "S2-15"])

    assert right in PAGE[place:]
    assert fault in faults_of(PAGE[:place] + PAGE[place:].replace(right, wrong, 1))


def test_the_number_of_what_is_not_met_is_not_changed_by_accident() -> None:
    unmet = next(row for row in ROW_OF.values() if f"| {NOT_MET}: " in row)
    boast = PAGE.replace(unmet, unmet.replace(f"{NOT_MET}: ", ""))

    assert [fault for fault in faults_of(boast) if fault.endswith("the page states another number")] != []
    assert faults_of(STATED.sub("", PAGE)) != []


def test_the_oldest_python_is_stated_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["project"]["classifiers"]))

    assert project["project"]["requires-python"] == f">={versions[0]}" == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py" + versions[0].replace(".", "")
    assert importlib.metadata.metadata("netstructer")["Requires-Python"] == ">=3.11"  # what pip holds users to


def test_what_is_installed_is_a_package_with_a_command() -> None:
    installed = importlib.metadata.distribution("netstructer")
    (command,) = installed.entry_points.select(group="console_scripts")

    assert installed.version == netstructer.__version__
    assert command.name == "netstructer"
    assert callable(command.load())


def test_the_licence_and_the_history_are_there() -> None:
    history = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License\n")
    assert importlib.metadata.metadata("netstructer")["License-Expression"] == "MIT"
    assert re.search(r"^## (Unreleased|\[?\d+\.\d+)", history, re.MULTILINE)


def test_a_chat_uses_port_8080_where_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    testing, app = pytest.importorskip("typer.testing"), importlib.import_module("netstructer.cli.app").app
    places: list[object] = []
    monkeypatch.setenv("NETSTRUCTER_KEY", netstructer.Key.generate().reveal())
    monkeypatch.setattr(importlib.import_module("netstructer.cli.chat.hosting"), "host", lambda *x: places.append(x[0]))
    for arguments in ([], ["192.0.2.1"], ["5001"]):
        assert testing.CliRunner().invoke(app, ["chat", "serve", *arguments]).exit_code == 0

    assert places == [("127.0.0.1", 8080), ("192.0.2.1", 8080), ("127.0.0.1", 5001)]
