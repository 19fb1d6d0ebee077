"""Both readers and every vector: the same outcome, the same name, and the same bytes before the fault.

The package is asked through the players of the other tests, the second reader through `reader_vectors.py`.  Each check
that is taken away from the second reader is missed by some vector.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import reader
import reader_handshake
import reader_structs
import reader_vectors
import test_exchanges
import test_handshake
import test_resume_vectors
import test_session_faults
from cases import case
from netstructer import errors
from netstructer.codec.blob import Blob
from netstructer.codec.values import decode
from netstructer.errors import NetstructerError
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.handshake import SUITES
from pair import reader_at
from reader_structs import Refused
from reader_vectors import Facts, by_folder, outcome, raw, read_vector
from strategies import TYPES

FOLDER = Path(__file__).parent / "vectors"
VECTORS = sorted(FOLDER.glob("*/*.vector"))
README = (FOLDER / "README.md").read_text("utf-8")


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


# --- the package ------------------------------------------------------------------------------------------------------


def expected(run: Callable[[], Facts]) -> Facts:
    """Return what a run finds, `expect` included."""
    try:
        return {"expect": "success", **run()}
    except NetstructerError as error:
        return {"expect": type(error).__name__}


def of_value(facts: Facts, body: str) -> Facts:
    figures = [row.split("=") for row in facts.get("limits", "").split()]
    limits = dataclasses.replace(Limits.DEFAULT, **{name: int(figure) for name, figure in figures})
    sizes = facts.get("blobs", "").split()
    blobs = [Blob.from_iter(()) if size == "unknown" else Blob(bytes(int(size))) for size in sizes]

    def run() -> Facts:
        decode(raw(body), limits=limits, types=TYPES, blobs=blobs)
        return {}

    return expected(run)


def of_key(facts: Facts, body: str) -> Facts:
    def run() -> Facts:
        Key(raw(body).decode())
        return {}

    return expected(run)


def of_token(facts: Facts, body: str) -> Facts:
    cipher = SUITES[int(facts.get("suite", "1"))].cipher
    opener = cipher.opener(raw(facts["key"]), int(facts.get("sequence", "0")))
    return expected(lambda: {"record": bytes(opener.open(raw(body))).hex()})


def of_record(facts: Facts, body: str) -> Facts:
    def run() -> Facts:
        records = reader_at(raw(facts["secret"]), int(facts["sequence"]), int(facts.get("suite", "1")))
        record = records.read(raw(body))
        return {"record": f"{record.kind} {record.flags} {record.stream}", "body": bytes(record.body).hex()}

    return expected(run)


def of_handshake(facts: Facts, body: str) -> Facts:
    hello = facts["read"] == "hello"
    read = test_handshake._read_hello if hello else test_handshake._read_answer

    def run() -> Facts:
        agreed = read(facts, raw(body))
        secrets = agreed.send_secret, agreed.receive_secret
        c2s, s2c = secrets[::-1] if hello else secrets
        found = {"c2s": c2s, "s2c": s2c, "export": agreed.export_secret, "binding": agreed.binding}
        return {name: secret.hex() for name, secret in found.items()}

    return expected(run) | ({"answer": facts["answer"]} if hello else {})  # `_read_hello` has held it to that


def of_session(facts: Facts, body: str) -> Facts:
    _, delivered, error = test_session_faults.play_vector(facts, [raw(body)])
    return {"expect": type(error).__name__ if error else "success", "delivered": sha256(delivered).hexdigest()}


def of_exchange(facts: Facts, body: str) -> Facts:
    return test_exchanges.play(facts, body.splitlines()).outcome()


def of_resumption(facts: Facts, body: str) -> Facts:
    return test_resume_vectors.play(facts, body.splitlines()).outcome()


PACKAGE = by_folder(globals())


@pytest.mark.parametrize("folder", sorted(PACKAGE))
def test_both_readers_agree_with_a_vector_and_with_each_other(folder: str) -> None:
    tried = 0
    for path in sorted((FOLDER / folder).glob("*.vector")):
        facts, body = read_vector(path)
        if "needs" in facts and importlib.util.find_spec(facts["needs"]) is None:
            continue
        with case(named(path)):
            theirs = outcome(path)

            assert theirs == {name: facts.get(name) for name in theirs}
            assert PACKAGE[folder](facts, body) == theirs
        tried += 1

    assert tried >= 16


def test_there_are_vectors_of_every_kind() -> None:
    counts = Counter(path.parent.name for path in VECTORS)
    faults = Counter(read_vector(path)[0]["expect"] for path in VECTORS)

    assert counts.keys() == reader_vectors.FOLDERS.keys()
    assert counts.total() >= 760
    assert min(counts.values()) >= 16
    assert faults.total() - faults["success"] >= 530
    assert len(faults) >= 24


# --- the form ---------------------------------------------------------------------------------------------------------

HEADERS = {
    "values": ({"expect", "comment"}, {"python", "limits", "blobs", "needs"}),
    "keys": ({"expect", "comment"}, set()),
    "tokens": ({"expect", "comment", "key"}, {"record", "suite", "sequence"}),
    "records": ({"expect", "comment", "secret", "sequence"}, {"record", "body", "suite"}),
    "handshakes": (
        {"expect", "comment", "read", "key"},
        {"suite", "offers", "pinned", "identity", "answer", "binding", "export", "c2s", "s2c"}
        | {f"{end}_{what}" for end in ("client", "server") for what in ("parameters", "ephemeral")},
    ),
    "sessions": (
        {"expect", "comment", "end", "secret-c2s", "secret-s2c", "limits", "delivered"},
        {"session", "instance", "features", "suite"},
    ),
    "exchanges": ({"expect", "comment", "end", "limits", "values", "dropped", "blobs", "delivered"}, set()),
    "resumptions": ({"expect", "comment", "instance", "binding", "end", "values", "resumes", "delivered"}, set()),
}
"""What a header must have, and what it may have."""


@pytest.mark.parametrize("folder", HEADERS)
def test_headers_say_what_they_must_and_nothing_else(folder: str) -> None:
    for path in sorted((FOLDER / folder).iterdir()):
        facts, _ = read_vector(path)
        must, may = HEADERS[folder]

        assert path.suffix == ".vector", path
        assert must <= facts.keys() <= must | may, path
        assert list(facts)[:2] == ["expect", "comment"], path
        assert facts["comment"].endswith("."), path
        assert facts["expect"] == "success" or hasattr(errors, facts["expect"]), path
    for name in set().union(*HEADERS[folder]):
        assert f"`{name}`" in README, name


def test_no_vector_is_there_twice() -> None:
    facts_and_input = Counter()
    for path in VECTORS:
        facts, body = read_vector(path)
        given = {name: fact for name, fact in facts.items() if name not in ("expect", "comment", "delivered")}
        facts_and_input[path.parent.name, repr(given), body] += 1

    assert [found for found, count in facts_and_input.items() if count > 1] == []


def test_the_one_fault_of_a_session_is_its_last_frame() -> None:
    """All before it is legal, and has to be delivered; nothing follows that could be a second fault."""
    for path in sorted((FOLDER / "sessions").glob("*.vector")):
        facts, body = read_vector(path)
        frames = frames_in(raw(body))
        if facts["expect"] != "success":
            before = reader_vectors.of_session(facts, b"".join(frames[: -1 - (path.stem in TWO_FRAMES)]).hex())

            assert before["expect"] == "success", path
            assert before["delivered"] == facts["delivered"] or path.stem in HALF_DELIVERED, path


TWO_FRAMES = {"swapped", "gcm-swapped"}
"""What takes two frames to be wrong."""
HALF_DELIVERED = {"batch-no-value"}
"""Where the last frame has something that is delivered before its fault."""


def frames_in(wire: bytes) -> list[bytes]:
    found = []
    while wire:
        size = 4 + int.from_bytes(wire[:4])
        found.append(wire[:size])
        wire = wire[size:]
    return found


@pytest.mark.parametrize("folder", ["exchanges", "resumptions"])
def test_nothing_is_heard_behind_the_one_fault_of_an_exchange(folder: str) -> None:
    for path in sorted((FOLDER / folder).glob("*.vector")):
        facts, body = read_vector(path)
        steps = body.splitlines()
        last = max(at for at, step in enumerate(steps) if step.startswith("hears"))
        if facts["expect"] not in ("success", "LinkClosed", "SessionLost") and path.stem not in {"resumed-after-abort"}:
            before = reader_vectors.READERS[folder](facts, "\n".join(steps[:last]))

            assert before["expect"] == "success", path


# --- the table of the README ------------------------------------------------------------------------------------------


def rows_of_the_readme() -> list[list[str]]:
    _, _, section = README.partition("## Which rule, which vector")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def vectors_in(cell: str) -> list[Path]:
    names = [name.strip() for name in cell.split(",") if name.strip()]
    return [FOLDER / f"{name if '/' in name else 'sessions/' + name}.vector" for name in names]


def wrong_in(rows: list[list[str]]) -> list[str]:
    """Return what a table says that is not so."""
    wrong = []
    for check, error, breaks, takes in rows:
        for path in [*vectors_in(breaks), *vectors_in(takes)]:
            expect = error.strip("`") if path in vectors_in(breaks) else "success"
            if not path.exists() or read_vector(path)[0]["expect"] != expect:
                wrong.append(f"{check}: {named(path)}")
        if not vectors_in(breaks + "," + takes):
            wrong.append(check)
    return wrong


def test_the_table_of_rules_is_that_of_the_page_and_of_the_files() -> None:
    rows = rows_of_the_readme()
    checks = [check for check, *_ in rows]
    page = (FOLDER.parent.parent / "docs" / "protocol.md").read_text("utf-8").partition("\n## Receiving\n")[2]
    numbers = re.findall(r"^\| (\d+) \|", page.partition("\n## ")[0], re.MULTILINE)

    assert wrong_in(rows) == []
    assert numbers == [*map(str, range(1, 9)), *map(str, range(1, 24))]
    assert {check.split()[0] for check in checks} >= {*map(str, range(1, 9)), "22", "23", "BATCH", "CANCEL", "FAREWELL"}
    assert {check.split()[1] for check in checks if check.startswith("DATA")} == {*map(str, range(1, 22))}
    kinds = {kind.strip(",") for check in checks if check.startswith("8 ") for kind in check.split()[1:]}
    assert kinds == {"OPEN", "ACCEPT", "REKEY", "PING", "PONG", "ACK", "GRANT", "DRAIN", "NEW_KEY", "ALERT"}


@pytest.mark.parametrize("column", [1, 2, 3])
def test_a_table_that_says_something_else_is_found(column: int) -> None:
    rows = rows_of_the_readme()
    rows[0][column] = "`Gap`" if column == 1 else "interleaved" if column == 2 else "flip"

    assert wrong_in(rows) != []


# --- sabotage ---------------------------------------------------------------------------------------------------------


def rules_of(module: Path) -> set[str]:
    """Return the rules that a module of the reader checks, as far as they are spelled out in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("expect", "legal"):
            rule = node.args[1]
            if isinstance(rule, ast.Constant):
                found.add(str(rule.value))
            elif isinstance(rule, ast.JoinedStr):
                found |= {f"the bounds of {name}" for name in reader_handshake.BOUNDS}
    return found - {"rule"}


def broken() -> dict[str, list[Path]]:
    """Return which vectors break which rule."""
    found: dict[str, list[Path]] = {}
    for path in VECTORS:
        with pytest.MonkeyPatch.context() as patch:
            real = Refused.__init__

            def note(self: Refused, name: str, rule: str, real: Any = real, path: Path = path) -> None:
                real(self, name, rule)
                found.setdefault(rule, []).append(path)

            patch.setattr(Refused, "__init__", note)
            outcome(path)
    return found


MODULES = sorted(Path(reader.__file__).parent.glob("reader*.py"))
RULES = sorted(set().union(*map(rules_of, MODULES)))
STOOD_BEHIND = {
    *("the value is whole", "nothing follows a value", "the types of a struct's parts", "a time of day"),
    *("lengths add up", "an item for each bit", "the kind of a run", "the kind of a table, and columns"),
    "the fields are those of the registered type",  # all of these: "a value has one encoding"
    *("the magic of zstd", "the window", "whole blocks", "the kind and size of a block"),  # the library
    "LAST has a total",  # "the total is what was stated"
    "the key is known",  # the tag
}
"""Rules behind which another one refuses the same, by the same name."""
OF_WHO_SAYS = {"what is said again is what was said"}
"""What the end of a vector is held to, which is this package and breaks no rule."""
UNBREAKABLE = {"the bounds of unseeded_members"}
"""Every figure that fits into its bytes is legal."""


def test_each_rule_that_is_taken_away_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    breaking = broken()
    for rule in RULES:
        paths = breaking.get(rule, [])
        if rule in OF_WHO_SAYS | UNBREAKABLE:
            assert paths == [], rule
            continue
        monkeypatch.setattr(reader_structs, "TAKEN_AWAY", {rule})
        missed = any(not agrees(path) for path in paths)

        assert paths, f"no vector breaks the rule: {rule}"
        assert missed != (rule in STOOD_BEHIND), rule


def agrees(path: Path) -> bool:
    facts, _ = read_vector(path)
    try:
        found = outcome(path)
    except Exception:  # a reader without a check may go on into anything
        return False
    return found == {name: facts.get(name) for name in found}
