"""Writes what OSS-Fuzz builds: `python entries.py PROGRAMS OUT`.

For each target a program `PROGRAMS/fuzz_NAME.py`, and its inputs to begin with in `OUT/fuzz_NAME_seed_corpus.zip`,
which is where OSS-Fuzz looks for them.
"""

from __future__ import annotations

import sys
import zipfile
from hashlib import sha256
from pathlib import Path

from fuzz.targets import load_target, names

PROGRAM = '''"""Fuzzes one target of netstructer: see fuzz/{name}_target.py."""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["netstructer"]):
    from fuzz.{name}_target import one

from fuzz.oracle import Judge

logging.getLogger("netstructer").addHandler(logging.NullHandler())
atheris.Setup(sys.argv, Judge(one))
atheris.Fuzz()
'''


def main(programs: Path, out: Path) -> None:
    """Write the programs and the corpora."""
    programs.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for name in names():
        (programs / f"fuzz_{name}.py").write_text(PROGRAM.format(name=name), "ascii")
        target = load_target(name)
        with zipfile.ZipFile(out / f"fuzz_{name}_seed_corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for data in (*target.regressions, *target.corpus):
                archive.writestr(sha256(data).hexdigest()[:40], data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
