"""The audit: what is acknowledged is there, what was done to it afterwards is found, and said which row it is."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts_support import PASSWORD, open_accounts
from loopback import PATIENCE_SECONDS, Task, eventually, finish, python
from netstructer import Key
from netstructer.errors import (
    AuditDamaged,
    InvalidKey,
    LinkTimeout,
    LoginFailed,
    MissingKey,
    Misuse,
    StoreBusy,
    StoreDamaged,
    StoreFull,
)
from netstructer.services import audit as audit_module
from netstructer.services.admin import Admin
from netstructer.services.anchors import anchors_of
from netstructer.services.audit import MOST_TOGETHER, OK, Audit
from netstructer.services.audit_chain import Head, first_tag, next_tag
from netstructer.services.audit_reader import AuditReader

NOON = 1_785_000_000.25
ROWS = 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "audit.db"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of eight rows, to be copied and damaged."""
    place = tmp_path_factory.mktemp("sound") / "audit.db"
    with Audit(place, anchor=place.parent / "anchors", anchor_every=3) as audit:
        for number in range(1, ROWS + 1):
            audit.append("file.put", actor=f"user {number % 3}", source="10.0.0.7", target=f"file {number}")
    return place


def copy_of(sound: Path, directory: Path) -> Path:
    for name in ("audit.db", "audit.db.key", "anchors"):
        shutil.copy(sound.parent / name, directory / name)
    return directory / "audit.db"


def change(place: Path, *statements: str | tuple[str, tuple[object, ...]]) -> None:
    """Do to the file what anybody can who may write to it."""
    with contextlib.closing(sqlite3.connect(place)) as db:
        for statement in statements:
            db.execute(*((statement,) if isinstance(statement, str) else statement))
        db.commit()


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_says_who_did_what_to_whom_from_where_and_what_came_of_it(place: Path) -> None:
    with Audit(place, wall=lambda: NOON) as audit:
        row = audit.append("ban.add", actor="ada", source="10.0.0.7:4000", target="bob", result="refused: no such user")

        assert list(audit.rows()) == [row]
        assert (audit.append("server.stop").n, audit.last(1)[0].result) == (2, OK)
        assert audit.head() == audit.last(1)[0].head
    with AuditReader(place) as reader:
        assert reader.last(2)[0] == row
    assert row.facts() == {
        "n": 1, "time": "2026-07-25T17:20:00.250000Z", "actor": "ada", "source": "10.0.0.7:4000", "action": "ban.add",
        "target": "bob", "result": "refused: no such user",
    }  # fmt: skip
    assert (row.time, row.head.row) == (NOON, 1)
    assert str(row).startswith("1 2026-07-25T17:20:00.250000Z ada 10.0.0.7:4000 ban.add bob ")


def test_rows_go_on_where_they_ended(place: Path) -> None:
    for run in range(3):
        with Audit(place) as audit:
            assert audit.append("server.start").n == run + 1
            assert audit.verify().rows == run + 1


def test_files_are_for_their_owner_alone(place: Path) -> None:
    with Audit(place, anchor=place.parent / "anchors") as audit:
        audit.append("server.start")
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in place.parent.iterdir()}
    anchors = place.parent / "anchors"

    assert set(modes.values()) == {0o600}
    assert {"audit.db", "audit.db.key"} <= set(modes)
    assert stat.S_IMODE(anchors.stat().st_mode) == 0o600


def test_accounts_tell_the_audit(place: Path, tmp_path: Path) -> None:
    with Audit(place) as audit, contextlib.closing(open_accounts(tmp_path, on_event=audit.note_account)) as accounts:
        accounts.first_admin("root", PASSWORD, by="somebody")
        accounts.create("ada", PASSWORD, by="root")
        accounts.grant("ada", "admin", by="root")
        accounts.login("ada", PASSWORD, "10.0.0.7")
        for name in ("ada", "nobody"):
            with pytest.raises(LoginFailed):
                accounts.login(name, "wrong horse", "10.0.0.7")
        rows = [(row.action, row.actor, row.source, row.target, row.result) for row in audit.rows()]

        assert audit.verify().sound
    assert rows[:4] == [
        ("account.first-admin", "somebody", "", "root", OK),
        ("account.create", "root", "", "ada: client", OK),
        ("account.grant", "root", "", "ada: admin", OK),
        ("login", "ada", "10.0.0.7", "ada", OK),
    ]
    assert [(action, target, result.partition(",")[0]) for action, _, _, target, result in rows[4:]] == [
        ("login", "ada", "wrong password"),
        ("login", "", "unknown name"),
    ]


def test_a_console_tells_the_audit(place: Path) -> None:
    with Audit(place) as audit, Admin(note=audit.note) as admin:
        admin.history()
        with pytest.raises(Misuse):
            admin.status()
        rows = [(row.action, row.result) for row in audit.rows()]

    assert ("admin.history", OK) in rows
    assert ("admin.status", "Misuse") in rows


def test_long_text_is_cut_and_what_is_no_text_refused(place: Path) -> None:
    with Audit(place) as audit:
        row = audit.append("a.b", actor="x" * 257, source="\ud800", target="t" * 1_024, result="r" * 100_000)
        for wrong in ("", "A", "a..b", ".a", "a b", "a" * 65, "a\n", 7, None):
            with pytest.raises(Misuse, match="expected an action"):
                audit.append(wrong)  # type: ignore[arg-type]
        with pytest.raises(Misuse, match="expected text in each field of the audit, found a bytes"):
            audit.append("a.b", target=b"payload")  # type: ignore[arg-type]

        assert audit.verify().rows == 1
    assert (row.actor, row.source) == ("x" * 255 + "…", "\\ud800")
    assert (row.target, row.result) == ("t" * 1_024, "r" * 1_023 + "…")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20), min_size=4, max_size=4))
def test_any_text_is_kept_and_shown_on_one_line(sound: Path, tmp_path: Path, texts: list[str]) -> None:
    names = ("actor", "source", "target", "result")
    with Audit(copy_of(sound, tmp_path)) as audit:
        row = audit.append("a.b", **dict(zip(names, texts, strict=True)))

        assert [getattr(row, name) for name in names] == [t.encode("utf-8", "backslashreplace").decode() for t in texts]
        assert audit.last(1) == [row]
        assert audit.verify().sound
    assert str(row).isprintable()


def test_rows_are_chosen_by_time_actor_and_action(place: Path) -> None:
    clock = iter(range(1, 100))
    with Audit(place, wall=lambda: next(clock)) as audit:
        for actor, action in [
            ("ada", "ban.add"),
            ("bob", "ban"),
            ("ada", "bank"),
            ("bob", "ban.remove"),
            ("", "a.ban"),
        ]:
            audit.append(action, actor=actor)

        assert [row.n for row in audit.rows(action="ban")] == [1, 2, 4]
        assert [row.n for row in audit.rows(action="ban.add")] == [1]
        assert [row.n for row in audit.rows(actor="ada")] == [1, 3]
        assert [row.n for row in audit.rows(since=2, until=4)] == [2, 3]
        assert [row.n for row in audit.rows(after=3)] == [4, 5]
        assert [row.n for row in audit.rows(actor="bob", action="ban", since=3)] == [4]
        assert [row.n for row in audit.last(2)] == [4, 5]
        assert list(audit.rows(action="' OR 1 --")) == []
        assert len(list(audit.rows(since=-1e300, until=1e300))) == 5
        for wrong in (float("inf"), float("nan")):
            with pytest.raises(Misuse, match="expected a time"):
                next(audit.rows(since=wrong))
        with pytest.raises(Misuse, match="expected a number of rows"):
            audit.last(-1)


def test_rows_are_read_in_pages_while_more_are_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.services.audit_reader.PAGE_ROWS", 2)
    with Audit(place) as audit:
        for _ in range(5):
            audit.append("a.b")
        rows = audit.rows()
        found = [next(rows).n]
        audit.append("a.b")
        found += [row.n for row in rows]

        assert found == [1, 2, 3, 4, 5, 6]
        assert len(audit.last(100)) == 6


def test_an_export_is_lines_of_json(place: Path) -> None:
    file = io.StringIO()
    with Audit(place) as audit:
        rows = [audit.append("a.b", target="x\ny"), audit.append("c.d")]

        assert audit.export(file) == 2
        assert audit.export(io.StringIO(), action="c") == 1
    assert [json.loads(line) for line in file.getvalue().splitlines()] == [
        {**row.facts(), "tag": row.tag.hex()} for row in rows
    ]


# --- the key ----------------------------------------------------------------------------------------------------------


def test_the_chain_is_as_specified() -> None:
    """As docs/audit.md has it: made by hand, with hmac alone."""
    import hmac

    key, audit_id = bytes(range(32)), b"i" * 16
    first = hmac.new(key, b"netstructer audit 1" + audit_id, "sha256").digest()
    row = (7).to_bytes(8, "big") + (-1).to_bytes(8, "big", signed=True)
    row += b"".join(len(text).to_bytes(4, "big") + text for text in (b"ada", b"", b"a.b", "é".encode(), b"ok"))

    assert first_tag(key, audit_id) == first
    assert next_tag(key, first, 7, -1, ("ada", "", "a.b", "é", "ok")) == hmac.new(key, first + row, "sha256").digest()


def test_no_two_rows_are_the_same_bytes() -> None:
    tags = {next_tag(b"k", b"t", 1, 1, texts) for texts in [("ab", "", "", "", ""), ("a", "b", "", "", "")]}  # type: ignore[arg-type]

    assert len(tags) == 2


@pytest.mark.parametrize("how", ["beside", "file", "key", "text"])
def test_the_key_lies_beside_it_or_where_one_says_or_is_given(tmp_path: Path, how: str) -> None:
    key = Key.generate()
    more: dict[str, object] = {
        "beside": {}, "file": {"key_file": tmp_path / "k" / "key"}, "key": {"key": key}, "text": {"key": key.reveal()},
    }[how]  # type: ignore[assignment]  # fmt: skip
    for _ in range(2):
        with Audit(tmp_path / "a.db", **more) as audit:  # type: ignore[arg-type]
            audit.append("a.b")

            assert audit.verify().rows in (1, 2)
            assert key.reveal() not in repr(audit)
    assert (tmp_path / "a.db.key").exists() == (how == "beside")
    assert (tmp_path / "k" / "key").exists() == (how == "file")


def test_a_key_that_is_missing_or_another_is_said_to_be_so(sound: Path, tmp_path: Path) -> None:
    place = copy_of(sound, tmp_path)
    with pytest.raises(InvalidKey, match="is not that of the audit"):
        Audit(place, key=Key.generate())
    with AuditReader(place, key=Key.generate()) as reader:
        assert "its key is another" in reader.verify().fault
    os.unlink(tmp_path / "audit.db.key")
    with pytest.raises(MissingKey, match=r"expected it in .*audit\.db\.key"):
        Audit(place)
    with AuditReader(place) as reader:
        assert len(list(reader.rows())) == ROWS  # reading needs none
        assert reader.head().row == ROWS
        with pytest.raises(MissingKey):
            reader.verify()
    assert not (tmp_path / "audit.db.key").exists()


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AuditReader(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_two_that_begin_at_once_share_one_key(place: Path) -> None:
    tasks = [Task(lambda: Audit(place)) for _ in range(4)]
    audits = [task.result() for task in tasks]
    for audit in audits:
        audit.append("a.b")
    for audit in audits:
        assert audit.verify().rows == 4
        audit.close()


# --- what was done to it ----------------------------------------------------------------------------------------------

MISSING, ANOTHER, CHANGED, STRANGE = "is missing", "has another before it", "is not as it was written", "holds what is"


@pytest.mark.parametrize(
    ("statements", "row", "fault"),
    [
        (["UPDATE audit_rows SET actor = 'eve' WHERE n = 3"], 3, CHANGED),
        (["UPDATE audit_rows SET time = time + 1 WHERE n = 1"], 1, CHANGED),
        (["UPDATE audit_rows SET result = '' WHERE n = 8"], 8, CHANGED),
        (["UPDATE audit_rows SET source = target, target = source WHERE n = 4"], 4, CHANGED),
        (["UPDATE audit_rows SET tag = zeroblob(32) WHERE n = 5"], 5, CHANGED),
        (["UPDATE audit_rows SET tag = 'text' WHERE n = 5"], 5, STRANGE),
        (["UPDATE audit_rows SET time = 'text' WHERE n = 6"], 6, STRANGE),
        (["UPDATE audit_rows SET actor = x'ff' WHERE n = 6"], 6, STRANGE),
        (["DELETE FROM audit_rows WHERE n = 1"], 1, MISSING),
        (["DELETE FROM audit_rows WHERE n = 4"], 4, MISSING),
        (["DELETE FROM audit_rows WHERE n IN (2, 3)"], 2, MISSING),
        (["DELETE FROM audit_rows WHERE n = 4", "UPDATE audit_rows SET n = n - 1 WHERE n > 4"], 4, CHANGED),
        (["UPDATE audit_rows SET n = 100 WHERE n = 2"], 2, MISSING),
        (["INSERT INTO audit_rows SELECT n + 1, time, actor, source, action, target, result, tag FROM audit_rows"
          " WHERE n = 8"], 9, CHANGED),
        (["INSERT INTO audit_rows SELECT 0, time, actor, source, action, target, result, tag FROM audit_rows"
          " WHERE n = 1"], 1, ANOTHER),
        (["INSERT INTO audit_rows SELECT -7, time, actor, source, action, target, result, tag FROM audit_rows"
          " WHERE n = 1"], 1, ANOTHER),
        (["UPDATE audit_rows SET n = -n", "UPDATE audit_rows SET n = 9 + n"], 1, CHANGED),
        (["UPDATE audit_about SET id = zeroblob(16)"], 0, "its key is another"),
        (["UPDATE audit_about SET first_tag = zeroblob(32)"], 0, "its key is another"),
        (["DELETE FROM audit_about"], 0, "has lost how it begins"),
        (["CREATE TRIGGER t AFTER INSERT ON audit_rows BEGIN DELETE FROM audit_rows; END"], 0, "a trigger or a view"),
        (["ALTER TABLE audit_rows RENAME TO r", "CREATE VIEW audit_rows AS SELECT * FROM r"], 0, "a trigger or a view"),
        (["DROP TABLE audit_rows"], 0, "cannot be read"),
    ],
)  # fmt: skip
def test_what_was_done_to_it_is_found_and_in_which_row(
    sound: Path, tmp_path: Path, statements: list[str], row: int, fault: str
) -> None:
    place = copy_of(sound, tmp_path)
    change(place, *statements)
    with AuditReader(place) as reader:
        verdict = reader.verify()

    assert not verdict.sound
    assert fault in verdict.fault
    assert (verdict.row, verdict.rows) == (row, max(0, row - 1))


def test_an_audit_that_nobody_touched_is_sound(sound: Path) -> None:
    with AuditReader(sound) as reader:
        verdict = reader.verify(anchor=sound.parent / "anchors")

        assert (verdict.sound, verdict.rows, verdict.row, verdict.fault) == (True, ROWS, 0, "")
        assert verdict.head == reader.head()
        assert verdict.anchors == 3  # rows 3, 6, and the last one at the end


NUMBERS = st.integers(1, ROWS)
FIELDS = st.sampled_from(["time", "actor", "source", "action", "target", "result", "tag"])
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12), st.sampled_from(["user 1", "file 1"])
)


def edit(db: sqlite3.Connection, number: int, field: str, text: str) -> None:
    value: object = {"time": len(text), "tag": text.encode()[:32].ljust(32, b"\0")}.get(field, text)
    db.execute(f"UPDATE audit_rows SET {field} = ? WHERE n = ?", (value, number))


def delete(db: sqlite3.Connection, number: int, *, renumber: bool) -> None:
    db.execute("DELETE FROM audit_rows WHERE n = ?", (number,))
    if renumber:
        db.execute("UPDATE audit_rows SET n = n - 1 WHERE n > ?", (number,))


def insert(db: sqlite3.Connection, number: int, like: int) -> None:
    copied = db.execute("SELECT * FROM audit_rows WHERE n = ?", (like,)).fetchone()
    db.execute("UPDATE audit_rows SET n = -n - 1 WHERE n >= ?", (number,))
    db.execute("UPDATE audit_rows SET n = -n WHERE n < 0")
    db.execute("INSERT INTO audit_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number, *copied[1:]))


def swap(db: sqlite3.Connection, one: int, other: int) -> None:
    db.execute("UPDATE audit_rows SET n = -1 WHERE n = ?", (one,))
    db.execute("UPDATE audit_rows SET n = ? WHERE n = ?", (one, other))
    db.execute("UPDATE audit_rows SET n = ? WHERE n = -1", (other,))


ACTS: st.SearchStrategy[Callable[[sqlite3.Connection], None]] = st.one_of(
    st.builds(lambda n, field, text: lambda db: edit(db, n, field, text), NUMBERS, FIELDS, TEXTS),
    st.builds(lambda n, renumber: lambda db: delete(db, n, renumber=renumber), NUMBERS, st.booleans()),
    st.builds(lambda n, like: lambda db: insert(db, n, like), NUMBERS, NUMBERS),
    st.builds(lambda one, other: lambda db: swap(db, one, other), NUMBERS, NUMBERS),
)


def rows_at(place: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(place)) as db:
        return db.execute("SELECT * FROM audit_rows ORDER BY n").fetchall()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTS, min_size=1, max_size=3))
def test_any_edit_removal_insertion_and_move_is_found_at_its_first_row(
    sound: Path, tmp_path: Path, acts: list[Callable[[sqlite3.Connection], None]]
) -> None:
    place = copy_of(sound, tmp_path)
    before = rows_at(sound)
    with contextlib.closing(sqlite3.connect(place)) as db, contextlib.suppress(TypeError):  # nothing left to copy
        for act in acts:
            act(db)
        db.commit()
    after = rows_at(place)
    pairs = enumerate(zip(before, after, strict=False))
    same = next((n for n, (one, other) in pairs if one != other), min(len(before), len(after)))
    with AuditReader(place) as reader:
        alone, anchored = reader.verify(), reader.verify(anchor=tmp_path / "anchors")

    if after == before:
        assert anchored.sound
    else:
        assert anchored.row == same + 1
        assert alone.row == (0 if after == before[:same] else same + 1)  # what is cut off is for an anchor to find


@pytest.mark.parametrize("left", range(ROWS))
def test_rows_that_are_cut_off_are_found_by_an_anchor_alone(sound: Path, tmp_path: Path, left: int) -> None:
    place = copy_of(sound, tmp_path)
    change(place, ("DELETE FROM audit_rows WHERE n > ?", (left,)))
    with AuditReader(sound) as reader:
        heads = [row.head for row in reader.rows()]
    with AuditReader(place) as reader:
        assert reader.verify().sound
        assert reader.verify(anchor=heads[left - 1] if left else Head(0, reader.head().tag)).sound
        for anchor in (heads[left], str(heads[-1]), tmp_path / "anchors"):
            verdict = reader.verify(anchor=anchor)

            assert verdict.fault.startswith("is missing with all that follow: an anchor has seen row ")
            assert (verdict.row, verdict.rows) == (left + 1, left)


def test_an_audit_that_was_written_anew_by_who_has_the_key_is_found_by_an_anchor(sound: Path, tmp_path: Path) -> None:
    place = copy_of(sound, tmp_path)
    change(place, "DELETE FROM audit_rows WHERE n > 4")
    with Audit(place) as audit:
        for _ in range(10):
            audit.append("nothing.here")

        assert audit.verify().rows == 14
        verdict = audit.verify(anchor=tmp_path / "anchors")
    assert verdict.row == 6
    assert "is another than an anchor has seen" in verdict.fault


def test_an_old_copy_that_was_put_back_is_found_by_an_anchor(sound: Path, tmp_path: Path) -> None:
    place = copy_of(sound, tmp_path)
    with Audit(place, anchor=tmp_path / "anchors") as audit:
        audit.append("a.b")
    shutil.copy(sound, place)
    with AuditReader(place) as reader:
        assert reader.verify().sound
        assert reader.verify(anchor=tmp_path / "anchors").row == ROWS + 1


def test_rows_of_another_audit_under_the_same_key_fit_nowhere(tmp_path: Path) -> None:
    key = Key.generate()
    for name in "ab":
        with Audit(tmp_path / name, key=key, wall=lambda: NOON) as audit:
            audit.append("a.b")
    tag = rows_at(tmp_path / "a")[0][-1]
    change(tmp_path / "b", ("UPDATE audit_rows SET tag = ?", (tag,)))
    with AuditReader(tmp_path / "b", key=key) as reader:
        assert reader.verify().row == 1


def test_bytes_that_rotted_are_found(sound: Path, tmp_path: Path) -> None:
    place = copy_of(sound, tmp_path)
    content = place.read_bytes()
    at = content.index(b"file 5")
    place.write_bytes(content[:at] + b"file 6" + content[at + 6 :])
    with AuditReader(place) as reader:
        assert reader.verify().row == 5
    for page in range(4096, len(content), 4096):
        place.write_bytes(content[:page] + b"\x00" * 64 + content[page + 64 :])
        with contextlib.suppress(StoreDamaged), AuditReader(place) as reader:
            assert not reader.verify().sound, page


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE audit_rows SET actor = 'eve' WHERE n = 8", 8),
        ("UPDATE audit_rows SET tag = zeroblob(32) WHERE n = 7", 8),
        ("DELETE FROM audit_rows WHERE n = 7", 7),
    ],
)
def test_nothing_is_appended_behind_a_last_row_that_is_not_sound(
    sound: Path, tmp_path: Path, statement: str, row: int
) -> None:
    place = copy_of(sound, tmp_path)
    change(place, statement)

    with pytest.raises(AuditDamaged) as caught:
        Audit(place)
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("DELETE FROM audit_rows WHERE n = 8", 8),
        ("UPDATE audit_rows SET tag = zeroblob(32) WHERE n = 8", 8),
        ("INSERT INTO audit_rows SELECT 9, time, actor, source, action, target, result, tag FROM audit_rows"
         " WHERE n = 8", 9),
        ("DELETE FROM audit_about", 0),
    ],
)  # fmt: skip
def test_what_is_done_to_it_while_it_is_open_stops_it(sound: Path, tmp_path: Path, statement: str, row: int) -> None:
    with Audit(copy_of(sound, tmp_path)) as audit:
        change(tmp_path / "audit.db", statement)

        for _ in range(2):
            with pytest.raises(AuditDamaged) as caught:
                audit.append("a.b")
            assert caught.value.row == row


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")
@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_was_replaced_or_removed_is_not_written_to(sound: Path, tmp_path: Path, replaced: bool) -> None:
    with Audit(copy_of(sound, tmp_path)) as audit:
        os.unlink(tmp_path / "audit.db")
        if replaced:
            shutil.copy(sound, tmp_path / "audit.db")

        with pytest.raises(AuditDamaged, match="not the file any more that was opened"):
            audit.append("a.b")


# --- anchors ----------------------------------------------------------------------------------------------------------


def test_heads_are_told_every_so_many_rows_and_at_the_end(place: Path) -> None:
    told: list[Head] = []
    with Audit(place, anchor=told.append, anchor_every=3) as audit:
        for _ in range(7):
            audit.append("a.b")
        before = [head.row for head in told]
    with Audit(place, anchor=told.append, anchor_every=3) as audit:
        audit.append("a.b")
    with AuditReader(place) as reader:
        heads = {row.n: row.head for row in reader.rows()}

    assert before == [3, 6]
    assert [head.row for head in told] == [3, 6, 7, 7, 8]
    assert told == [heads[head.row] for head in told]


def test_a_file_of_anchors_is_read_back(place: Path, tmp_path: Path) -> None:
    with Audit(place, anchor=tmp_path / "anchors", anchor_every=2, wall=lambda: NOON) as audit:
        for _ in range(4):
            audit.append("a.b")
    lines = (tmp_path / "anchors").read_text().splitlines()

    assert [line.partition(":5")[0][:22] for line in lines] == ["2026-07-25T17:20:00Z 2", "2026-07-25T17:20:00Z 4"]
    assert [str(head) for head in anchors_of(tmp_path / "anchors")] == [line.split()[1] for line in lines]
    assert anchors_of(lines[1].split()[1]) == [Head.parse(lines[1].split()[1])]


def test_a_file_of_too_many_anchors_or_of_endless_lines_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netstructer.services.anchors.MOST_ANCHORS", 2)
    (tmp_path / "anchors").write_text(f"2026 1:{'a' * 64}\n" * 3)
    (tmp_path / "endless").write_bytes(b"x" * 100_000)
    (tmp_path / "gap").write_text(f"2026 1:{'a' * 64}\n\n")

    with pytest.raises(Misuse, match="has more than 2 anchors"):
        anchors_of(tmp_path / "anchors")
    for name, line in (("endless", 1), ("gap", 2)):
        with pytest.raises(Misuse, match=f"{name}, line {line}: expected a time and a head"):
            anchors_of(tmp_path / name)


@pytest.mark.parametrize("text", ["", "1", "1:", ":" + "a" * 64, "01:" + "a" * 64, "1:" + "A" * 64, "1:" + "a" * 63,
                                  "-1:" + "a" * 64, "1:" + "a" * 64 + "\n"])  # fmt: skip
def test_what_is_no_anchor_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "anchors").write_text(f"2026-07-25T17:20:00Z {text.strip() or 'x'}!\n")

    with pytest.raises(Misuse, match="expected a head as ROW:TAG"):
        Head.parse(text)
    with pytest.raises(Misuse, match=r"anchors, line 1: expected a time and a head as ROW:TAG"):
        anchors_of(tmp_path / "anchors")
    if ":" in text:
        with pytest.raises(Misuse):
            anchors_of(text)
    else:
        with pytest.raises(FileNotFoundError):
            anchors_of(text)


def test_an_anchor_that_fails_is_logged_and_holds_up_nothing(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(head: Head) -> None:
        raise ConnectionError(f"secret {head}")

    with caplog.at_level(logging.ERROR, "netstructer"), Audit(place, anchor=refuse, anchor_every=2) as audit:
        for _ in range(5):
            audit.append("a.b")

        assert audit.verify().rows == 5
    with pytest.raises(Misuse, match="anchor_every"):
        Audit(place, anchor=refuse, anchor_every=0)
    assert [record.getMessage() for record in caplog.records] == [
        f"= the anchor of the audit {place} took no head: ConnectionError"
    ] * 3


def test_an_anchor_that_hangs_holds_up_only_the_thread_that_tells_it(place: Path) -> None:
    told, go_on = threading.Event(), threading.Event()

    def hang(head: Head) -> None:
        told.set()
        assert go_on.wait(PATIENCE_SECONDS)

    audit = Audit(place, anchor=hang, anchor_every=1)
    held = Task(lambda: audit.append("a.b"))
    assert told.wait(PATIENCE_SECONDS)
    others = [audit.append("a.b").n for _ in range(3)]
    go_on.set()

    assert held.result().n == 1
    assert others == [2, 3, 4]
    audit.close()


# --- many at once -----------------------------------------------------------------------------------------------------


def test_threads_share_commits_and_each_gets_its_own_row(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    commit = Audit._commit

    def counting(audit: Audit, batch: list[object]) -> object:
        commits.append(len(batch))
        if len(commits) == 1:
            eventually(lambda: len(audit._queue) == 19, "the others wait")
        return commit(audit, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Audit, "_commit", counting)
    with Audit(place) as audit:
        tasks = [Task(lambda number=number: audit.append("a.b", target=str(number))) for number in range(20)]
        rows = [task.result() for task in tasks]

        assert [row.target for row in rows] == [str(number) for number in range(20)]
        assert sorted(row.n for row in rows) == list(range(1, 21))
        assert sorted(audit.rows(), key=lambda row: row.n) == sorted(rows, key=lambda row: row.n)
        assert audit.verify().rows == 20
    assert commits == [1, 19]


def test_a_crowd_is_written_in_several_commits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "MOST_TOGETHER", 3)
    with Audit(place) as audit:
        tasks = [Task(lambda: audit.append("a.b")) for _ in range(20)]

        assert sorted(task.result().n for task in tasks) == list(range(1, 21))
    assert MOST_TOGETHER > 3


def test_processes_append_to_one_chain(place: Path) -> None:
    script = (
        "import sys\n"
        "from netstructer.services.audit import Audit\n"
        "with Audit(sys.argv[1]) as audit:\n"
        "    print(*[audit.append('a.b', actor=sys.argv[2]).n for _ in range(30)])\n"
    )
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(python("-c", script, str(place), name)) for name in "abc"]
        numbers = [int(n) for process in processes for n in finish(process)[0].split()]
    with AuditReader(place) as reader:
        assert reader.verify().rows == 90
    assert sorted(numbers) == list(range(1, 91))


def test_who_waits_too_long_is_told_whether_the_row_may_come(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()
    commit = Audit._commit

    def slow(audit: Audit, batch: list[object]) -> object:
        began.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return commit(audit, batch)  # type: ignore[arg-type]

    audit = Audit(place)
    monkeypatch.setattr(Audit, "_commit", slow)
    first = Task(lambda: audit.append("a.b"))
    assert began.wait(PATIENCE_SECONDS)
    with pytest.raises(StoreBusy, match="the row was not written"):
        audit.append("a.b", timeout=0.01)
    second = Task(lambda: audit.append("c.d"))
    eventually(lambda: len(audit._queue) == 1, "the second waits")
    go_on.set()

    assert [first.result().n, second.result().n] == [1, 2]
    audit.close()


def test_a_row_that_is_being_written_is_not_taken_back(place: Path) -> None:
    with Audit(place) as audit:
        waiting = audit_module._Waiting(("", "", "a.b", "", ""))
        audit._writing = True  # another thread has it
        with pytest.raises(LinkTimeout, match="the row may come yet"):
            audit._turn(waiting, 0.0, [])
        audit._writing = False


def test_an_interrupt_ends_only_who_is_interrupted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Audit._commit

    def interrupted(audit: Audit, batch: list[object]) -> object:
        eventually(lambda: len(audit._queue) == 1, "the other waits")
        monkeypatch.setattr(Audit, "_commit", commit)
        raise KeyboardInterrupt

    audit = Audit(place)
    monkeypatch.setattr(Audit, "_commit", interrupted)
    first = Task(lambda: audit.append("a.b"))
    eventually(lambda: audit._writing, "the first writes")
    second = Task(lambda: audit.append("c.d"))

    assert isinstance(first.error(), KeyboardInterrupt)
    assert second.result().n == 1
    audit.close()


def test_an_interrupt_between_two_steps_ends_only_who_is_interrupted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(audit: Audit, batch: list[object]) -> None:
        eventually(lambda: len(audit._queue) == 1, "the other waits")
        monkeypatch.undo()
        raise KeyboardInterrupt

    with Audit(place) as audit:
        monkeypatch.setattr(Audit, "_write", interrupted)
        first = Task(lambda: audit.append("a.b"))
        eventually(lambda: audit._writing, "the first writes")
        second = Task(lambda: audit.append("c.d"))

        assert isinstance(first.error(), KeyboardInterrupt)
        assert second.result().n == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_opens_its_own(place: Path) -> None:
    script = (
        "import os, sys\n"
        "from netstructer.errors import Misuse\n"
        "from netstructer.services.audit import Audit\n"
        "with Audit(sys.argv[1]) as audit:\n"
        "    audit.append('a.b')\n"
        "    if not (child := os.fork()):\n"
        "        audit._changed.acquire()  # as another thread of the parent may have\n"
        "        try:\n"
        "            audit.append('c.d')\n"
        "        except Misuse as error:\n"
        "            audit.close()\n"
        "            with Audit(sys.argv[1]) as own:\n"
        "                own.append('e.f')\n"
        "            os._exit(0 if 'after a fork' in str(error) else 1)\n"
        "        os._exit(2)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    print(audit.append('g.h').n, audit.verify().rows)\n"
    )
    with python("-c", script, str(place)) as process:
        assert finish(process)[0] == "3 3\n"


def test_after_it_was_closed_nothing_is_taken(place: Path) -> None:
    audit = Audit(place)
    audit.append("a.b")
    audit.close()
    audit.close()

    with pytest.raises(Misuse, match="is closed"):
        audit.append("a.b")


# --- the world --------------------------------------------------------------------------------------------------------


def test_no_acknowledged_row_is_lost_when_the_process_is_killed(place: Path) -> None:
    script = (
        "import os, sys, threading\n"
        "from netstructer.services.audit import Audit\n"
        "audit = Audit(sys.argv[1])\n"
        "def write():\n"
        "    while True:\n"
        "        os.write(1, b'%d\\n' % audit.append('a.b', target='x' * 200).n)\n"
        "for _ in range(3):\n"
        "    threading.Thread(target=write, daemon=True).start()\n"
        "write()\n"
    )
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script, str(place)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(40)]
            process.kill()
            seen += process.stdout.readlines()
        acknowledged = max([acknowledged, *map(int, seen)])
        with Audit(place) as audit:
            verdict = audit.verify()

        assert verdict.sound
        assert verdict.rows >= acknowledged >= 40


@pytest.mark.skipif(sys.platform != "linux", reason="it needs a limit on the size of files")
def test_a_disk_that_is_full_refuses_the_row_and_takes_the_next_when_there_is_room(place: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "sys.dont_write_bytecode = True\n"  # it would be cut off too, for all who come later
        "from netstructer.errors import StoreFull\n"
        "from netstructer.services.audit import Audit\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with Audit(sys.argv[1]) as audit:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        "    written = 0\n"
        "    try:\n"
        "        while True:\n"
        "            written = audit.append('a.b', target='x' * 1000).n\n"
        "    except StoreFull:\n"
        "        pass\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    print(written, audit.append('c.d').n, audit.verify().rows)\n"
    )
    with python("-c", script, str(place)) as process:
        written, next_one, rows = map(int, finish(process)[0].split())

    assert written > 3
    assert next_one == rows == written + 1


def test_what_keeps_a_commit_from_being_made_is_told_to_all_who_wait(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who_waits = iter([2, 0])  # while the first is being written, and then while these two are
    commit = Audit._commit

    def full(audit: Audit, batch: list[object]) -> object:
        others = next(who_waits, None)
        if others is not None:
            eventually(lambda: len(audit._queue) == others, "the others wait")
            raise StoreFull("the disk takes no more")
        return commit(audit, batch)  # type: ignore[arg-type]

    audit = Audit(place)
    monkeypatch.setattr(Audit, "_commit", full)
    tasks = [Task(lambda: audit.append("a.b")) for _ in range(3)]
    errors = [task.error() for task in tasks]

    assert [type(error) for error in errors] == [StoreFull] * 3
    assert len({id(error) for error in errors}) == 3
    assert audit.append("c.d").n == 1
    audit.close()
