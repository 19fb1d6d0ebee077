"""The project for OSS-Fuzz: its files say what the targets are called and where they lie; its programs compile."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fuzz.targets import load_target, names

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "fuzz" / "oss-fuzz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the build makes before it compiles."""
    folder = tmp_path_factory.mktemp("oss-fuzz")
    command = [sys.executable, str(PROJECT / "entries.py"), str(folder / "entries"), str(folder / "out")]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=100, check=True)
    return folder


def test_there_is_a_program_and_a_corpus_for_each_target(made: Path) -> None:
    assert sorted(path.name for path in (made / "entries").iterdir()) == [f"fuzz_{name}.py" for name in names()]
    assert sorted(path.name for path in (made / "out").iterdir()) == [f"fuzz_{n}_seed_corpus.zip" for n in names()]
    for name in ("value", "hello"):
        target = load_target(name)
        with zipfile.ZipFile(made / "out" / f"fuzz_{name}_seed_corpus.zip") as archive:
            found = {archive.read(member) for member in archive.namelist()}
        assert found == {*target.corpus, *target.regressions}


def test_each_program_imports_what_there_is(made: Path) -> None:
    for path in (made / "entries").iterdir():
        tree = ast.parse(path.read_text())
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert path.stem.removeprefix("fuzz_") + "_target" in " ".join(filter(None, modules))
        assert all(importlib.util.find_spec(module) for module in modules if module)


def test_the_build_names_files_that_are_there() -> None:
    script = (PROJECT / "build.sh").read_text()
    docker = (PROJECT / "Dockerfile").read_text()

    assert all((ROOT / found).exists() for found in re.findall(r"\bfuzz/[\w./-]+\.py", script))
    assert re.findall(r"fuzz/[\w./-]+\.py", script) == ["fuzz/oss-fuzz/entries.py"]
    assert "fuzz_*.py" in script
    assert os.access(PROJECT / "build.sh", os.X_OK)
    assert docker.splitlines()[-1] == "COPY build.sh $SRC/"
    assert "FROM gcr.io/oss-fuzz-base/base-builder-python\n" in docker
    assert "netstructer[" not in script or set(re.findall(r"\[(\w+)\]", script)) <= {"pair", "fuzz"}
    subprocess.run(["bash", "-n", str(PROJECT / "build.sh")], timeout=20, check=True)


def test_the_project_says_what_oss_fuzz_asks_for() -> None:
    lines = (PROJECT / "project.yaml").read_text().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith((" ", "#")))

    assert fields["language"] == "python"
    assert {"homepage", "main_repo", "primary_contact"} <= set(fields)
    assert lines[lines.index("fuzzing_engines:") + 1 :][:1] == ["  - libfuzzer"]
    assert lines[lines.index("sanitizers:") + 1 :] == ["  - address", "  - undefined"]
    assert fields["main_repo"].strip('"') in (PROJECT / "Dockerfile").read_text()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_program_runs(made: Path) -> None:
    command = [sys.executable, str(made / "entries" / "fuzz_frame.py"), "-runs=50", "-seed=1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, cwd=made, env=env, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 50 runs" in done.stderr
