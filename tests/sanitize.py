"""The compiled loops of the codec under AddressSanitizer and UndefinedBehaviorSanitizer: their tests, and the fuzzer.

    python tests/sanitize.py [--seconds 600]

Builds them in a copy of the checkout, with gcc, and leaves the checkout as it is.  What a sanitizer finds ends that
process at once, so a test fails or the fuzzer does; here that is a code other than 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("netstructer", "tests", "fuzz", "bench", "docs", "pyproject.toml")
FLAGS = ("-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1", "-fno-wrapv")
TESTS = (
    "test_acceleration.py",
    "test_acceleration_memory.py",
    "test_values.py",
    "test_values_budgets.py",
    "test_values_vectors.py",
)
DIGEST = "import runpy; print(runpy.run_path('netstructer/codec/freshness.py')['digest']())"
USED = "from netstructer.codec.acceleration import CHOICE; assert CHOICE.compiled, CHOICE; print(CHOICE.compiled)"


def build(folder: Path) -> None:
    codec = folder / "netstructer" / "codec"
    target = codec / f"_fast{sysconfig.get_config_var('EXT_SUFFIX')}"
    digest = subprocess.check_output([sys.executable, "-c", DIGEST], cwd=folder, text=True).strip()
    subprocess.run([sys.executable, "-m", "cython", "-3", "_fast.pyx", "-o", "_fast.c"], cwd=codec, check=True)
    macro = f'-DNETSTRUCTER_SOURCES="{digest}"'
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run(["gcc", "-shared", "-fPIC", *FLAGS, macro, include, "_fast.c", "-o", target], cwd=codec, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="the compiled codec under sanitizers")
    parser.add_argument("--seconds", type=int, default=600, help="how long the fuzzer runs")
    options = parser.parse_args()
    library = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        build(folder)
        environment = {
            **os.environ,
            "LD_PRELOAD": library,
            "PYTHONMALLOC": "malloc",
            "PYTHONDEVMODE": "1",
            "PYTHONPATH": str(folder),
            "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=8",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        }
        tests = [f"tests/{test}" for test in TESTS]
        for command in (
            ["-c", USED],
            ["-m", "pytest", "-n", "0", "-q", "--timeout", "900", "-p", "no:cacheprovider", *tests],
            ["-m", "fuzz", "--target", "value", "--engine", "mutate", "--seconds", str(options.seconds)],
        ):
            if code := subprocess.run([sys.executable, *command], cwd=folder, env=environment).returncode:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
