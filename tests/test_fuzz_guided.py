"""The coverage-guided engine, where atheris is installed: it finds what is planted, keeps it, and says what it saw.

Each planted target lies in a folder of its own, because the engine is another process and has to import it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import fuzz.guided as guided
from fuzz import engines
from fuzz.targets import Target, load_target, names
from netstructer.codec.values import encode

with_atheris = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
NONE = b"".join(encode(None).buffers)

PLANTED = """
import time
from netstructer.codec.values import decode
from netstructer.errors import BadValue

def seeds():
    return [b"\\x93\\x01\\x02\\x03"]

def one(data):
    try:
        value = decode(data)
    except BadValue:
        return
    if {condition}:
        {harm}
"""
"""A target that reads values and breaks on some of them."""


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch, condition: str, harm: str, *corpus: bytes) -> Target:
    """Write a target where the process of the engine finds it, and begin with what is given beside its seed."""
    package = folder / "fuzz"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "planted_target.py").write_text(PLANTED.format(condition=condition, harm=harm))
    root = str(Path(guided.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", f"{root}:{folder}")
    return Target(name="planted", corpus=(b"\x93\x01\x02\x03", *corpus), one=lambda data: None)


@with_atheris
def test_it_finds_what_is_planted_and_keeps_its_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = planted(tmp_path, monkeypatch, "isinstance(value, dict) and value", 'raise IndexError("planted")')

    found = engines.run(target, "atheris", corpora=tmp_path / "corpora", seed=1, runs=100_000, seconds=60)

    assert found.fault is not None
    assert "IndexError: planted" in found.fault.text
    assert found.edges > 20
    assert any((tmp_path / "corpora" / "planted").iterdir())


@with_atheris
def test_it_keeps_an_input_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = planted(tmp_path, monkeypatch, "value is None", "time.sleep(60)", NONE)
    monkeypatch.setattr(guided, "HANG_SECONDS", 1.0)

    found = guided.guide(target, None, seconds=50, seed=1)

    assert found.fault is not None
    assert found.fault.text.startswith("timeout under atheris")
    assert found.fault.data == NONE


@with_atheris
def test_it_keeps_an_input_that_takes_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = planted(tmp_path, monkeypatch, "value == 1", 'bytearray(b"x") * (200 << 20)', b"\x01")

    found = guided.guide(target, None, seconds=50, seed=1)

    assert found.fault is not None
    assert "TooMuch: took" in found.fault.text
    assert found.fault.data == b"\x01"


@with_atheris
def test_a_clean_run_says_what_it_came_to(tmp_path: Path) -> None:
    found = engines.run(load_target("frame"), "atheris", corpora=tmp_path, seed=1, runs=500)

    assert found.fault is None
    assert 500 <= found.count < 1000
    assert found.edges > 10
    assert found.features >= found.edges


def test_without_atheris_the_process_says_how_it_is_installed() -> None:
    hidden = (
        "import sys, fuzz.guided as g; g.have_atheris = lambda: False; sys.argv = ['x', 'token']; g.main(sys.argv[1:])"
    )

    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "pip install 'netstructer[fuzz]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_end_without_an_input_is_an_error_and_not_a_clean_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="status 7"):
        guided._outcome("Traceback: no module", tmp_path, 7)


def test_what_libfuzzer_says_is_read(tmp_path: Path) -> None:
    log = (
        "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 50Mb\n"
        "#9000\tDONE   cov: 23 ft: 35 corp: 4/107b lim: 191 exec/s: 2857 rss: 53Mb\n"
        "Done 9000 runs in 3 second(s)\n"
        "stat::number_of_executed_units: 9001\n"
    )

    found = guided._outcome(log, tmp_path, 0)

    assert (found.count, found.seconds, found.edges, found.features, found.fault) == (9001, 3.0, 23, 35, None)


def test_the_targets_are_found_by_their_names() -> None:
    assert "value" in names()
    assert "planted" not in names()
