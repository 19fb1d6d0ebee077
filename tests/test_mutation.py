"""What mutation.py goes by is sound: modules and tests are there, known survivors are about lines that are there.

That mutants are found takes an hour, and is `make mutation`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mutation import (
    GROUPS,
    ROOT,
    Mutant,
    Verdict,
    changed_lines,
    has_settings,
    known,
    line_above,
    settings_for,
    without_words,
)

LINES = {"killed": 1, "survived": 0, "timed out": -24, "no test": 33, "not run": None}
"""Exit statuses of mutmut for each fate."""


@pytest.mark.parametrize("name", GROUPS)
def test_modules_and_tests_of_a_group_are_there(name: str) -> None:
    group = GROUPS[name]
    texts = {file: (ROOT / "tests" / file).read_text() for file in {test.partition("::")[0] for test in group["tests"]}}

    assert [path for path in group["modules"] if not (ROOT / path).is_file()] == []
    for test in [*group["tests"], *group.get("without", [])]:
        file, _, function = test.partition("::")
        assert not function or f"\ndef {function.partition('[')[0]}(" in texts[file], test


@pytest.mark.parametrize("name", GROUPS)
def test_known_survivors_are_of_lines_that_are_there(name: str) -> None:
    for mutant in known(name):
        lines = {line.strip() for line in (ROOT / mutant.path).read_text().splitlines()}

        assert mutant.path in GROUPS[name]["modules"]
        assert () != mutant.old != mutant.new
        assert set(mutant.old) <= lines, mutant


def test_every_list_of_survivors_is_of_a_group() -> None:
    assert {path.stem for path in (ROOT / "tests" / "mutants").glob("*.txt")} <= GROUPS.keys()


def test_the_settings_are_those_of_the_project_in_one_process() -> None:
    settings = tomllib.loads(settings_for(GROUPS["tokens"]))["tool"]

    assert settings["mutmut"]["only_mutate"] == ["netstructer/codec/tokens.py"]
    assert settings["mutmut"]["pytest_add_cli_args_test_selection"] == ["tests/test_tokens.py"]
    assert "auto" not in settings["pytest"]["ini_options"]["addopts"]


def test_what_was_found_by_other_settings_is_tried_anew(tmp_path: Path) -> None:
    group = GROUPS["spool"]
    assert not has_settings(tmp_path, group)
    (tmp_path / "pyproject.toml").write_text(settings_for(group))

    assert has_settings(tmp_path, group)
    assert not has_settings(tmp_path, {**group, "without": [*group["without"], "test_spool.py::test_more"]})


@pytest.mark.parametrize(
    ("before", "after", "only_words"),
    [
        ('raise IllegalFrame("a text")', 'raise IllegalFrame("XXa textXX")', True),
        ('raise IllegalFrame(f"{count} texts")', "raise IllegalFrame(None)", True),
        ('raise Busy(f"{count} of {most - 1}", limit=most)', 'raise Busy(f"{count} of {most + 1}", limit=most)', True),
        ('raise Busy("full", limit=most)', "raise Busy(limit=most)", True),
        ('raise Busy("full", limit=most)', 'raise Busy("full", limit=None)', False),
        ('raise OverBudget("value_items", "items", 1, 2)', 'raise OverBudget("VALUE_ITEMS", "items", 1, 2)', False),
        ('return "<Secrets>"', 'return "<SECRETS>"', False),
        ('if count > 1: raise Busy("full")', 'if count >= 1: raise Busy("full")', False),
    ],
)
def test_which_mutants_only_change_words(before: str, after: str, only_words: bool) -> None:
    sources = [["def f():", f"    {line}"] for line in (before, after)]

    assert (without_words(sources[0]) == without_words(sources[1])) is only_words


def test_a_mutant_is_known_by_its_lines() -> None:
    before = ["def f(a):", "    if a:", "        return 1", "    return 2"]
    after = ["def f(a):", "    if not a:", "        return 1", "    return 3"]

    assert changed_lines(before, after) == (("if a:", "return 2"), ("if not a:", "return 3"))
    assert Mutant("x__mutmut_1", "p", "f", ("a",), ("b",)) == Mutant("x__mutmut_2", "p", "f", ("a",), ("b",))


def test_what_is_changed_alike_in_two_places_is_told_apart_by_the_line_above() -> None:
    before = ["for a in b:", "    if a:", "        continue", "    print(a)", "    continue"]
    twins = [
        Mutant("", "p", "f", *changed_lines(before, after), above=line_above(before, after))
        for after in ([*before[:2], "        break", *before[3:]], [*before[:4], "    break"])
    ]

    assert twins[0] == twins[1]
    assert [twin.above for twin in twins] == ["if a:", "print(a)"]
    assert str(twins[1]).splitlines() == ["p f", "  print(a)", "- continue", "+ break"]
    assert [twin.is_known({twins[1]: "equivalent"}) for twin in twins] == [False, True]
    assert all(twin.is_known({Mutant("", "p", "f", ("continue",), ("break",)): "accepted"}) for twin in twins)


def test_the_score_is_what_was_found_of_what_could_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mutants = [Mutant(fate, "p", "f", (fate,), ("b",)) for fate in LINES]
    same = Mutant("survived too", "p", "f", ("same",), ("b",))
    listed = {same: "equivalent", mutants[0]: "equivalent", Mutant("", "p", "gone", ("a",), ("b",)): "accepted"}
    monkeypatch.setattr("mutation.known", lambda name: listed)
    verdict = Verdict("x", {"floor": 90}, 6, [*mutants, same], {**LINES, same.name: 0})
    told = capsys.readouterr().out

    assert verdict.wrong
    assert "killed 1  not run 1  survived 2  timed out 1  score 40.0 % (raw 33.3 %" in verdict.line
    assert [line.partition(":")[0] for line in told.splitlines() if ":" in line] == [
        "killed, and yet listed in x.txt",
        "survived",
        "timed out",
        "survived",
        "not run",
        "listed in x.txt, and not made any more",
    ]
