"""Mutation testing: every small change that `mutmut` makes to the code has to turn a test red.

    python tests/mutation.py tokens                 one group, as tests/mutation.toml has it
    python tests/mutation.py spool session          some
    python tests/mutation.py --sample 400 values    a fixed sample of it, drawn by a seed
    python tests/mutation.py --again values         only what survived or timed out the last time, by the same tests
    python tests/mutation.py --report values        what the last run found, without running anything

It works in a copy of the tree, `build/mutation/GROUP`, and leaves it there for `mutmut show` and `mutmut browse`.  The
process that has imported the tests is forked for each mutant, and runs the tests that reach the
function, the fastest first, until one is red.

A mutant that only changes the words of an error is not run, and counted apart: the type of an error is what programs
go by, and no test repeats a sentence only to hold it.  What survives is compared with `tests/mutants/GROUP.txt`, which
lists, each with its reason, the survivors that are known: *equivalent*, where no test could tell the mutant from the
code, or *accepted*.  An unknown survivor makes the exit status 1, and so does a known one that is killed by now or is
not made any more (when all mutants were run), so that the list stays true.

The score is what was found, killed or caught in a loop without end, of what was run, the equivalent ones left out.  The
floor of each group stands in the toml file too.  Mutants made by hand are breaking.py's.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GROUPS = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text())["groups"]
KNOWN = ROOT / "tests" / "mutants"
COPIED = ("netstructer", "tests", "fuzz", "bench", "examples", "docs")
FILES = ("README.md", "CHANGELOG.md", "Makefile", "setup.cfg", "setup.py", "LICENSE")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "results", "crashes")
SEED = 5
KILLED = (1, 3)
"""Exit statuses of pytest: a test is red, or the mutant broke pytest itself."""
NO_TESTS = (5, 33)
TIMED_OUT = (24, -24, 36, 152, 255)
LOOPS = """

def pytest_sessionstart() -> None:
    import os
    import resource

    if "__mutmut_" in os.environ.get("MUTANT_UNDER_TEST", ""):
        resource.setrlimit(resource.RLIMIT_CPU, (20, 21))
"""
"""Added to the tests' conftest.py: a mutant may use the processor for so many seconds, then it loops."""

Lines = tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """One change: where it is, and the lines before and after it.  `name` is mutmut's, and not lasting."""

    name: str = field(compare=False)
    path: str
    function: str
    old: Lines
    new: Lines
    only_words: bool = field(compare=False, default=False)
    above: str = field(compare=False, default="")
    """The line above the change, which tells apart what is changed alike in several places."""

    def is_known(self, listed: dict[Mutant, str]) -> bool:
        """Whether it is listed: by its lines, and where the list has the line above as well, by that."""
        return self in listed and any(self == other and other.above in ("", self.above) for other in listed)

    def __str__(self) -> str:
        changed = [f"- {line}" for line in self.old] + [f"+ {line}" for line in self.new]
        return "\n".join([f"{self.path} {self.function}", *[f"  {self.above}"] * bool(self.above), *changed])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, metavar="N", help=f"so many mutants of a group, drawn by the seed {SEED}")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--again", action="store_true", help="only what survived, timed out or was never run")
    parser.add_argument("--report", action="store_true", help="tell what the last run found")
    options = parser.parse_args()
    verdicts = [run_group(name, options) for name in options.groups or GROUPS]
    print("\n".join(verdict.line for verdict in verdicts))
    return int(any(verdict.wrong for verdict in verdicts))


def run_group(name: str, options: argparse.Namespace) -> Verdict:
    group, place = GROUPS[name], ROOT / "build" / "mutation" / name
    again = options.again and has_settings(place, group)
    if not options.report:
        copy_tree(place, group)
        make_mutants(place, group, options.sample or group.get("sample"))
    mutants = [mutant for path in group["modules"] for mutant in mutants_of(place, path)]
    if not options.report:
        found = results(place, group) if again else {}
        due = [mutant for mutant in mutants if found.get(mutant.name) not in KILLED and not mutant.only_words]
        run_mutmut(place, [mutant.name for mutant in due], options.children)
    count = json.loads((place / "made.json").read_text())["count"]
    return Verdict(name, group, count, mutants, results(place, group))


def copy_tree(place: Path, group: dict[str, object]) -> None:
    """Make the copy, or bring it up to date: what has not changed keeps its time, and mutmut its mutants."""
    place.mkdir(parents=True, exist_ok=True)
    for folder in COPIED:
        shutil.rmtree(place / folder, ignore_errors=True)
        shutil.copytree(
            ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__", "results", "crashes")
        )
    for file in FILES:
        shutil.copy2(ROOT / file, place / file)
    (place / "pyproject.toml").write_text(settings_for(group))
    with (place / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(LOOPS)
    # mutmut keeps which test reaches which function; of tests that came or were changed it would not know all.
    (place / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    shutil.rmtree(place / "mutants" / "tests", ignore_errors=True)


def has_settings(place: Path, group: dict[str, object]) -> bool:
    """Whether a copy was made by these settings; by others, mutmut forgets all that it has found."""
    settings = place / "pyproject.toml"
    return settings.exists() and settings.read_text() == settings_for(group)


def settings_for(group: dict[str, object]) -> str:
    """Return the project's settings, with those of mutmut, for tests in one process."""
    text = (ROOT / "pyproject.toml").read_text()
    text, count = re.subn(r'"-n", "auto",[^\n]*"worksteal",', "", text)
    assert count == 1, "pyproject.toml does not say any more how the suite is shared among processors"
    arguments = ["-n0", "-p", "no:cacheprovider", "--timeout=0", "--hypothesis-seed=0", *deselections(group)]
    settings = {
        "source_paths": ["netstructer"],
        "only_mutate": group["modules"],
        "also_copy": [*COPIED[2:], *FILES],
        "pytest_add_cli_args": arguments,
        "pytest_add_cli_args_test_selection": [f"tests/{test}" for test in group["tests"]],  # type: ignore[attr-defined]
        "track_dependencies": False,
        "use_setproctitle": False,
        "use_git_change_detection": False,
        # On the clock on the wall, which a busy machine stretches; what loops is told by `LOOPS`.
        "timeout_multiplier": 60.0,
        "timeout_constant": 10.0,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join([text, "[tool.mutmut]", *lines, ""])


def deselections(group: dict[str, object]) -> list[str]:
    return [f"--deselect=tests/{test}" for test in group.get("without", [])]  # type: ignore[attr-defined]


def run_mutmut(place: Path, names: list[str], children: int) -> None:
    if not names:
        return
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *names]
    with (place / "log").open("wb") as log:
        status = subprocess.run(command, cwd=place, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if status:
        raise SystemExit(f"mutmut failed: see {place / 'log'}")


def results(place: Path, group: dict[str, object]) -> dict[str, int | None]:
    """Return the exit status of pytest for each mutant that was run."""
    found: dict[str, int | None] = {}
    for path in group["modules"]:  # type: ignore[attr-defined]
        meta = place / "mutants" / f"{path}.meta"
        if meta.exists():
            found.update(json.loads(meta.read_text())["exit_code_by_key"])
    return found


# --- what mutants there are -------------------------------------------------------------------------------------------


def make_mutants(place: Path, group: dict[str, object], sample: int | None) -> None:
    """Make the mutants of a group, all or a sample of them, as mutmut does, and where it finds them made."""
    sources = {path: (place / path).read_text() for path in group["modules"]}  # type: ignore[attr-defined]
    made = {"sample": sample, "sources": sha256(repr(sources).encode()).hexdigest()}
    stamp = place / "made.json"
    if stamp.exists() and {**json.loads(stamp.read_text()), **made} == json.loads(stamp.read_text()):
        return
    shutil.rmtree(place / "mutants", ignore_errors=True)
    with contextlib.chdir(place):  # mutmut's settings are those of the directory, from the import on
        import libcst
        from mutmut.configuration import reset_config
        from mutmut.mutation.file_mutation import create_mutations

        reset_config()
        found = {path: create_mutations(path, source) for path, source in sources.items()}
        every = [
            (path, place)
            for path, (_, mutations, _, _) in found.items()
            for place, mutation in enumerate(mutations)
            if isinstance(mutation.contained_by_top_level_function, libcst.FunctionDef)  # the others are not made
        ]
        chosen = set(random.Random(SEED).sample(every, sample)) if sample and sample < len(every) else set(every)
        for path, (module, mutations, classes, functions) in found.items():
            kept = [mutation for place, mutation in enumerate(mutations) if (path, place) in chosen]
            _write_mutants(Path(path), module, kept, classes, functions)
    stamp.write_text(json.dumps({**made, "count": len(every)}))


def _write_mutants(path: Path, module: Any, mutations: list[Any], classes: set[str], functions: set[str]) -> None:
    from mutmut.mutation.data import MutantLineSpans, SourceFileMutationData
    from mutmut.mutation.file_mutation import combine_mutations_to_source
    from mutmut.utils.format_utils import get_mutant_name

    made = combine_mutations_to_source(module, mutations, classes, functions)
    place = Path("mutants") / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(made.code)
    data = SourceFileMutationData(path=path)
    data.exit_code_by_key = {get_mutant_name(path, name): None for name in made.mutant_names}
    data.save()
    MutantLineSpans(path=path, span_by_function_name=made.line_span_by_function_name).save()


def mutants_of(place: Path, path: str) -> Iterator[Mutant]:
    """Return the mutants that mutmut has made of a module: each a copy of its function, changed in one place."""
    lines = (place / "mutants" / path).read_text().splitlines()
    spans = json.loads((place / "mutants" / f"{path}.spans").read_text())["spans"]
    module = path.removesuffix(".py").replace("/", ".")
    for name in spans:
        mangled, _, number = name.partition("__mutmut_")
        if number == "orig":
            continue
        function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        before, after = (
            [line.replace(which, "f") for line in lines[spans[which][0] - 1 : spans[which][1]]]
            for which in (f"{mangled}__mutmut_orig", name)
        )
        old, new = changed_lines(before, after)
        # To compare trees takes its time, and words are in quotes.
        only_words = any('"' in line for line in old) and without_words(before) == without_words(after)
        yield Mutant(f"{module}.{name}", path, function, old, new, only_words, line_above(before, after))


def changed_lines(before: list[str], after: list[str]) -> tuple[Lines, Lines]:
    """Return the lines that a mutant takes away and those that it puts there, without their indents."""
    old: list[str] = []
    new: list[str] = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what != "equal":
            old += [line.strip() for line in before[i:j]]
            new += [line.strip() for line in after[k:m]]
    return tuple(old), tuple(new)


def line_above(before: list[str], after: list[str]) -> str:
    """Return the line above the first that a mutant changes, without its indent."""
    first = next((place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    return before[first - 1].strip() if first else ""


def without_words(source: list[str]) -> str:
    """Return a function as a tree in which errors say nothing."""
    tree = ast.parse(textwrap.dedent("\n".join(source)))
    return ast.dump(_Silence().visit(tree))


class _Silence(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ERRORS:
            node.args = [argument for argument in node.args if not _is_text(argument)]
        return node


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | None))


def _errors() -> set[str]:
    sources = [*(ROOT / "netstructer" / "errors").glob("*.py"), ROOT / "netstructer" / "codec" / "refusals.py"]
    trees = [ast.parse(source.read_text()) for source in sources]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)} - {"OverBudget"}


ERRORS = _errors()
"""Whose texts are words.  `OverBudget` is not among them: it says by its text which limit it is."""

# --- what is known, and what was found --------------------------------------------------------------------------------


def known(name: str) -> dict[Mutant, str]:
    """Return the survivors that are known, and whether they are `equivalent` or `accepted`.

    The file has blocks: `== equivalent: the reason`, and behind it mutants, each a line that says where and the lines
    before and after, as they are printed here.  The line above the change, which has no sign, may be left out.
    """
    file = KNOWN / f"{name}.txt"
    found: dict[Mutant, str] = {}
    if not file.exists():
        return found
    kind = ""
    for block in re.split(r"\n(?=== |netstructer/)", "\n" + file.read_text()):
        head, _, rest = block.strip().partition("\n")
        if head.startswith("== "):
            kind, _, reason = head.removeprefix("== ").partition(": ")
            assert kind in ("equivalent", "accepted"), f"{file.name}: {head}"
            assert reason, f"{file.name}: a block without a reason"
        elif head.startswith("netstructer/"):
            path, _, function = head.partition(" ")
            lines = rest.splitlines()
            old = tuple(line[2:] for line in lines if line.startswith("- "))
            new = tuple(line[2:] for line in lines if line.startswith("+ "))
            above = next((line.strip() for line in lines if line.startswith("  ")), "")
            found[Mutant("", path, function, old, new, above=above)] = kind
    return found


class Verdict:
    """What a run of one group found."""

    def __init__(
        self,
        name: str,
        group: dict[str, object],
        made: int,
        mutants: list[Mutant],
        found: dict[str, int | None],
    ) -> None:
        listed = known(name)
        chosen = [mutant for mutant in mutants if not mutant.only_words]
        count: Counter[str] = Counter()
        self.wrong = False
        for mutant in chosen:
            what = fate(found.get(mutant.name))
            if what == "survived" and mutant.is_known(listed):
                what = listed[mutant]
            elif what == "killed" and mutant.is_known(listed):
                print(f"\nkilled, and yet listed in {name}.txt:\n{mutant}")
                self.wrong = True
            count[what] += 1
            if what not in ("killed", "equivalent", "accepted"):
                print(f"\n{what}: {mutant.name}\n{mutant}")
                self.wrong |= what != "timed out"
        for gone in listed.keys() - set(mutants) if made == len(mutants) else ():
            print(f"\nlisted in {name}.txt, and not made any more:\n{gone}")
            self.wrong = True
        dead = count["killed"] + count["timed out"]
        counted = len(chosen) - count["equivalent"]
        score, floor = 100 * dead / max(1, counted), float(group["floor"])  # type: ignore[arg-type]
        self.wrong |= score < floor
        told = "  ".join(f"{what} {number}" for what, number in sorted(count.items()))
        self.line = (
            f"{name:<10} there are {made}  tried {len(mutants)}  only words {len(mutants) - len(chosen)}  {told}"
            f"  score {score:.1f} % (raw {100 * dead / max(1, len(chosen)):.1f} %, floor {floor:.0f} %)"
        )


def fate(status: int | None) -> str:
    """Return what became of a mutant, by the exit status of its tests."""
    if status is None:
        return "not run"
    if status in NO_TESTS:
        return "survived"  # no test reaches it
    if status == 0:
        return "survived"
    return "timed out" if status in TIMED_OUT else "killed" if status in KILLED else "crashed"


if __name__ == "__main__":
    sys.exit(main())
