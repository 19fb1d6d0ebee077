"""The list of breakages is sound: every patch fits to the code, every test is there.  That each is found is `long`.

The runner is tested too: a patch that no longer fits is told, and a breakage that no test misses is not called found.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from breaking import (
    BREAKAGES,
    ROOT,
    Breakage,
    Edit,
    StaleError,
    break_and_test,
    broken_files,
    copy_tree,
    main,
    patched,
    read_breakages,
)

LEAST = 80
TOKENS = "codec/tokens.py"
VERIFY = "            signer.verify(bytes(view[-_TAG:]))"
REFUSED = ("test_tokens.py::test_a_token_of_another_key_is_refused",)


def test_every_patch_fits_and_what_it_makes_is_a_program() -> None:
    for breakage in BREAKAGES:
        for place, text in broken_files(ROOT, breakage).items():
            assert text != place.read_text(), breakage.name
            compile(text, place.name, "exec", dont_inherit=True)


def test_a_list_is_read_as_it_says() -> None:
    first = "=== one\nred: a\nred: b\n--- x.py\n kept\n-old\n+new\n--- y.py\n-\n"
    text = f"# words\n\n{first}\n=== two\nred: c\n--- z.py\n+  d\n"

    assert read_breakages(text) == (
        Breakage("one", ("a", "b"), (Edit("x.py", "kept\nold\n", "kept\nnew\n"), Edit("y.py", "\n", ""))),
        Breakage("two", ("c",), (Edit("z.py", "", "  d\n"),)),
    )


def test_no_breakage_is_there_twice() -> None:
    names, changes = (Counter(getattr(breakage, field) for breakage in BREAKAGES) for field in ("name", "edits"))

    assert len(names) == len(changes) == len(BREAKAGES) >= LEAST


def test_every_named_test_is_there() -> None:
    named = {test.partition("[")[0] for breakage in BREAKAGES for test in breakage.tests}
    texts = {file: (ROOT / "tests" / file).read_text() for file in {name.partition("::")[0] for name in named}}
    missing = [name for name in named if not _is_there(name, texts)]

    assert missing == []
    assert all(breakage.tests for breakage in BREAKAGES)


def _is_there(name: str, texts: dict[str, str]) -> bool:
    file, _, function = name.partition("::")
    return not function or re.search(rf"^def {function}\(", texts[file], re.MULTILINE) is not None


@pytest.mark.parametrize("old", ["there is no such text", "return"])
def test_a_patch_that_does_not_fit_is_told(old: str) -> None:
    with pytest.raises(StaleError, match=r"x\.py: expected this text once, found it [02] times"):
        patched("return 1\nreturn 2\n", Edit("x.py", old, ""))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("copy"))


@pytest.mark.parametrize(
    ("new", "red", "told"),
    [
        ("            pass", [*REFUSED], "1 failed"),
        (f"{VERIFY}  # as it was", [], "1 passed"),
        pytest.param("            (", [], "SyntaxError", marks=pytest.mark.long),
    ],
    ids=["broken", "harmless", "no program"],
)
def test_a_breakage_is_found_by_its_red_test_alone_and_taken_back(
    new: str, red: list[str], told: str, copy: Path
) -> None:
    place = copy / "netstructer" / TOKENS
    sound = place.read_text()
    found = break_and_test(copy, Breakage("x", REFUSED, (Edit(TOKENS, VERIFY, new),)), find=False)

    assert found.red == red
    assert told in found.told
    assert place.read_text() == sound


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_breakage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["breaking.py"])

    assert main() == 0
