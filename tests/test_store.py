"""The store: transactions that last, for many threads and processes; versions; backups; what is wrong gets its name."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from loopback import PATIENCE_SECONDS, ROOT
from netstructer.errors import Misuse, StoreBusy, StoreDamaged, StoreFull, StoreTooNew
from netstructer.services import store as store_module
from netstructer.services.store import Store

STEPS = (("CREATE TABLE things (number INTEGER PRIMARY KEY, word TEXT UNIQUE)",),)
LATER = (
    *STEPS,
    lambda db: db.execute("ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'"),
    ("CREATE TABLE owners (thing INTEGER NOT NULL REFERENCES things ON DELETE CASCADE)",),
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "things.db"


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with Store(place, STEPS, name="things") as store:
        yield store


def add(store: Store, *numbers: int, flush: bool = True) -> None:
    with store.writing(flush=flush) as db:
        db.executemany("INSERT INTO things (number, word) VALUES (?, ?)", [(n, f"word {n}") for n in numbers])


def clear_and_raise(store: Store, error: type[BaseException]) -> None:
    with store.writing() as db:
        db.execute("DELETE FROM things")
        raise error


def numbers(store: Store) -> list[int]:
    with store.reading() as db:
        return [number for (number,) in db.execute("SELECT number FROM things ORDER BY number")]


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_when_it_is_opened_again(place: Path) -> None:
    for run in range(3):
        with Store(place, STEPS, name="things") as store:
            add(store, run)

            assert numbers(store) == list(range(run + 1))


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
def test_only_its_owner_may_read_any_of_it(place: Path, store: Store) -> None:
    add(store, 1)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in place.parent.iterdir()}

    assert modes == {"things.db": "0o600", "things.db-wal": "0o600", "things.db-shm": "0o600"}
    assert place.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
def test_one_that_others_may_read_is_named_in_the_log(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    Store(place, STEPS, name="things").close()
    place.chmod(0o640)
    Store(place, STEPS, name="things").close()

    assert "may be read by others" in caplog.text


def test_it_is_as_durable_as_it_says(store: Store) -> None:
    with store.writing() as db:
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
        flushed = db.execute("PRAGMA synchronous").fetchone()[0]
    with store.writing(flush=False) as db:
        left = db.execute("PRAGMA synchronous").fetchone()[0]
    with store.writing() as db:
        again = db.execute("PRAGMA synchronous").fetchone()[0]

    assert found == {"journal_mode": "wal", "foreign_keys": 1}
    assert (flushed, left, again) == (2, 1, 2)


def test_a_block_that_raises_changes_nothing(store: Store) -> None:
    add(store, 1)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            clear_and_raise(store, error)
    with pytest.raises(sqlite3.IntegrityError):
        add(store, 7, 7)

    assert numbers(store) == [1]
    add(store, 2)
    assert numbers(store) == [1, 2]


def test_a_reader_sees_one_moment(store: Store) -> None:
    add(store, 1)
    with store.reading() as db:
        before = db.execute("SELECT count(*) FROM things").fetchone()
        add(store, 2, 3)
        during = db.execute("SELECT count(*) FROM things").fetchone()

    assert before == during == (1,)
    assert numbers(store) == [1, 2, 3]


def test_a_reader_can_change_nothing(store: Store) -> None:
    with pytest.raises(Misuse), store.reading() as db:
        db.execute("INSERT INTO things (number) VALUES (1)")

    assert numbers(store) == []


def test_connections_are_used_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers(store)
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: pytest.fail("one more connection"))

    assert [numbers(store) for _ in range(3)] == [[], [], []]


def test_a_block_that_raises_costs_no_connection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers(store)
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: pytest.fail("one more connection"))
    for _ in range(3):
        with pytest.raises(KeyError), store.reading():
            raise KeyError

    assert numbers(store) == []


# --- threads and processes --------------------------------------------------------------------------------------------


def test_threads_write_one_after_the_other(store: Store) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 25):
            add(store, number, flush=False)
            numbers(store)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert numbers(store) == list(range(200))


def test_who_waits_too_long_for_another_thread_is_told(place: Path) -> None:
    with Store(place, STEPS, name="things", busy_seconds=0.01) as store:
        errors = []

        def write() -> None:
            try:
                add(store, 1)
            except StoreBusy as error:
                errors.append(error)

        with store.writing():
            thread = threading.Thread(target=write)
            thread.start()
            thread.join(PATIENCE_SECONDS)

        assert len(errors) == 1
        assert numbers(store) == []


def test_who_closes_it_waits_no_longer_for_others_than_anybody(place: Path) -> None:
    store = Store(place, STEPS, name="things", busy_seconds=0.01)
    errors = []

    def close() -> None:
        try:
            store.close()
        except StoreBusy as error:
            errors.append(error)

    with store.writing() as db:
        thread = threading.Thread(target=close)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        db.execute("INSERT INTO things (number) VALUES (1)")
    assert len(errors) == 1
    assert numbers(store) == [1]
    store.close()


def test_who_waits_too_long_for_another_process_is_told(place: Path) -> None:
    with (
        Store(place, STEPS, name="things", busy_seconds=0.01) as store,
        Store(place, STEPS, name="things") as other,  # locks between connections are those between processes
        other.writing(),
    ):
        with pytest.raises(StoreBusy, match="another process"):
            add(store, 1)
        with pytest.raises(StoreBusy):
            store.restore(backup_of(other, place.parent / "copy.db"))
        assert numbers(store) == []


def test_readers_beyond_the_places_wait_and_are_told(place: Path) -> None:
    with Store(place, STEPS, name="things", busy_seconds=0.01) as store:
        readers = [store.reading() for _ in range(store_module.READERS)]
        for reader in readers:
            reader.__enter__()
        with pytest.raises(StoreBusy):
            numbers(store)
        for reader in readers:
            reader.__exit__(None, None, None)

        assert numbers(store) == []


WRITER = """
import sys
from netstructer.services.store import Store
store = Store(sys.argv[1], (("CREATE TABLE things (number INTEGER PRIMARY KEY, word TEXT UNIQUE)",),), name="things")
number = int(sys.argv[2])
while True:
    with store.writing(flush=number % 2 == 0) as db:
        db.execute("INSERT INTO things (number) VALUES (?)", (number,))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_process_that_is_killed_loses_nothing_that_it_has_committed(place: Path) -> None:
    said: set[int] = set()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place), str(len(said) * 2)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        with process.stdout as lines:
            for _, line in zip(range(40), lines, strict=False):
                said.add(int(line))
            process.send_signal(signal.SIGKILL)
            said.update(int(line) for line in lines if line.endswith("\n"))
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        with Store(place, STEPS, name="things") as store:
            store.check()
            found = set(numbers(store))

        assert said <= found
        assert len(found - said) <= 3, "more than one for each process that was killed before it could say so"
        said = found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork there")
def test_a_child_is_told_to_open_it_anew(place: Path, store: Store) -> None:
    script = f"""
import os
from netstructer.errors import Misuse
from netstructer.services.store import Store
with Store({str(place)!r}, {STEPS!r}, name="things") as store:
    child = os.fork()
    if child == 0:
        try:
            with store.writing(): os._exit(1)
        except Misuse as error:
            store.close()
            os._exit(0 if "fork" in str(error) else 2)
    assert os.waitpid(child, 0)[1] == 0
    with store.writing() as db: db.execute("INSERT INTO things (number) VALUES (5)")
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    assert numbers(store) == [5]


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_no_transaction_inside_a_transaction(store: Store, tmp_path: Path) -> None:
    copy = backup_of(store, tmp_path / "copy.db")
    with store.writing() as db:
        for inner in (lambda: add(store, 1), store.close, lambda: store.restore(copy)):
            with pytest.raises(Misuse, match="transaction"):
                inner()
        db.execute("INSERT INTO things (number) VALUES (2)")

    assert numbers(store) == [2]


def test_a_transaction_that_was_ended_inside_is_named(store: Store) -> None:
    with pytest.raises(Misuse, match="ended inside"), store.writing() as db:
        db.execute("COMMIT")
    with pytest.raises(Misuse, match="ended the transaction"):
        Store(Path(store.path).parent / "other.db", [lambda db: db.executescript("SELECT 1")], name="others")

    assert sorted(os.listdir(Path(store.path).parent)) == ["things.db", "things.db-shm", "things.db-wal"]


def test_a_closed_one_says_so_and_may_be_closed_again(place: Path) -> None:
    store = Store(place, STEPS, name="things")
    with store.reading() as db:
        store.close()
        store.close()

        assert db.execute("SELECT count(*) FROM things").fetchone() == (0,)
    for use in (lambda: numbers(store), lambda: add(store, 1), store.check, lambda: store.backup(place)):
        with pytest.raises(Misuse, match="closed"):
            use()
    assert os.listdir(place.parent) == ["things.db"]
    assert "closed" in repr(store)


def test_a_place_where_nothing_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "things.db"):
        with pytest.raises((Misuse, StoreDamaged), match=str(tmp_path)):
            Store(place, STEPS, name="things")


def test_a_file_that_is_gone_is_not_made_again_empty(place: Path, store: Store) -> None:
    numbers(store)
    for file in place.parent.iterdir():
        file.unlink()
    with store.reading(), pytest.raises(Misuse, match="cannot be opened"):  # a second reader opens the file
        numbers(store)

    assert list(place.parent.iterdir()) == []


# --- versions ---------------------------------------------------------------------------------------------------------


def test_the_missing_steps_are_taken_once(place: Path) -> None:
    with Store(place, STEPS, name="things") as store:
        add(store, 1)
    for _ in range(2):
        with Store(place, LATER, name="things") as store, store.reading() as db:
            assert db.execute("SELECT number, colour FROM things").fetchall() == [(1, "grey")]
            assert db.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_step_that_fails_leaves_the_file_as_it_was(place: Path) -> None:
    with Store(place, STEPS, name="things") as store:
        add(store, 1)
    with pytest.raises(StoreDamaged):
        Store(place, (*LATER, ("DROP TABLE things", "no statement")), name="things")
    with Store(place, STEPS, name="things") as store:
        assert numbers(store) == [1]


def test_what_a_later_version_wrote_is_refused_before_and_while_it_is_open(place: Path, store: Store) -> None:
    Store(place, LATER, name="things").close()
    for use in (
        lambda: Store(place, STEPS, name="things"),
        lambda: add(store, 1),
        lambda: numbers(store),
    ):
        with pytest.raises(StoreTooNew) as caught:
            use()
        assert (caught.value.found, caught.value.known) == (3, 1)
        assert "version 3" in str(caught.value)


def test_foreign_keys_are_held(place: Path) -> None:
    with Store(place, LATER, name="things") as store:
        with pytest.raises(sqlite3.IntegrityError), store.writing() as db:
            db.execute("INSERT INTO owners VALUES (77)")
        store.check()


# --- what has rotted --------------------------------------------------------------------------------------------------


def test_what_is_no_such_store_is_damaged(place: Path) -> None:
    place.parent.mkdir()
    with closing(sqlite3.connect(place.with_name("plain.db"))) as db:
        db.execute("CREATE TABLE things (number)")
    Store(place.with_name("others.db"), STEPS, name="others").close()
    place.with_name("empty.db").write_bytes(b"")
    place.with_name("text.db").write_text("no database at all, but a text of some length " * 50)
    for name in ("plain", "others", "empty", "text"):
        file = place.with_name(f"{name}.db")
        content = file.read_bytes()
        with pytest.raises(StoreDamaged, match=name):
            Store(file, STEPS, name="things")
        assert file.read_bytes() == content


def test_pages_that_rotted_are_found(place: Path) -> None:
    with Store(place, STEPS, name="things") as store:
        add(store, *range(2000))
    sound = place.read_bytes()
    rotten = 0
    for at in range(100, len(sound), len(sound) // 40):
        place.write_bytes(sound[:at] + b"\xff" * 64 + sound[at + 64 :])
        try:
            with Store(place, STEPS, name="things") as store:
                store.check()
                numbers(store)
        except StoreDamaged:
            rotten += 1

    assert rotten > 0  # what rots inside a word is the word's, and no page's


def test_a_full_disk_is_named_and_changes_nothing(store: Store) -> None:
    add(store, 1)
    with store.writing() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}").fetchall()
    with pytest.raises(StoreFull):
        add(store, *range(10, 5000))

    assert numbers(store) == [1]
    add(store, 2)
    assert numbers(store) == [1, 2]


# --- backups ----------------------------------------------------------------------------------------------------------


def backup_of(store: Store, place: Path) -> Path:
    store.backup(place)
    return place


def test_a_backup_is_a_store_of_that_moment(store: Store, tmp_path: Path) -> None:
    add(store, 1, 2)
    copy = backup_of(store, tmp_path / "backups" / "copy.db")
    add(store, 3)
    content = copy.read_bytes()
    store.restore(copy)

    assert numbers(store) == [1, 2]
    assert copy.read_bytes() == content
    assert os.listdir(copy.parent) == ["copy.db"]
    with Store(copy, STEPS, name="things") as again:
        assert numbers(again) == [1, 2]
    if os.name == "posix":
        assert copy.stat().st_mode & 0o777 == 0o600


def test_a_backup_never_overwrites(store: Store, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(FileExistsError):
        store.backup(there)

    assert there.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["kept", "there"]


def test_a_backup_of_an_earlier_version_is_brought_up_on_its_way(place: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "old.db", STEPS, name="things") as old:
        add(old, 7)
        copy = backup_of(old, tmp_path / "copy.db")
    with Store(place, LATER, name="things") as store, store.reading() as db:
        assert db.execute("SELECT count(*) FROM things").fetchone() == (0,)
        store.restore(copy, mend=lambda db: db.execute("UPDATE things SET word = 'mended'"))
        assert db.execute("SELECT count(*) FROM things").fetchone() == (0,), "who reads sees one moment still"
        with store.reading() as later:
            assert later.execute("SELECT number, word, colour FROM things").fetchall() == [(7, "mended", "grey")]


def test_what_is_no_backup_changes_nothing(store: Store, tmp_path: Path) -> None:
    add(store, 1)
    with Store(tmp_path / "others.db", STEPS, name="others") as others:
        others.backup(tmp_path / "others-copy.db")
    with Store(tmp_path / "later.db", LATER, name="things") as later:
        later.backup(tmp_path / "later-copy.db")
    (tmp_path / "text").write_text("no database at all " * 100)
    half = backup_of(store, tmp_path / "half.db").read_bytes()
    (tmp_path / "half.db").write_bytes(half[: len(half) // 2])
    for name, error in (
        ("others-copy.db", StoreDamaged),
        ("later-copy.db", StoreTooNew),
        ("text", StoreDamaged),
        ("half.db", StoreDamaged),
        ("missing", FileNotFoundError),
    ):
        with pytest.raises(error):
            store.restore(tmp_path / name)
        assert numbers(store) == [1]
    with pytest.raises(ZeroDivisionError):
        store.restore(backup_of(store, tmp_path / "copy.db"), mend=lambda _: 1 / 0)

    assert numbers(store) == [1]
    assert [name for name in os.listdir(Path(store.path).parent) if name.startswith(".")] == []


def test_pages_of_another_length_are_taken(store: Store, tmp_path: Path) -> None:
    add(store, 1, 2, 3)
    copy = backup_of(store, tmp_path / "copy.db")
    with closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA page_size=1024")
        db.execute("VACUUM")
    add(store, 4)
    store.restore(copy)

    assert numbers(store) == [1, 2, 3]
    store.check()
