"""The inbox: position and effects are committed together, whatever the block does with the database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netstructer.durable import Inbox
from netstructer.errors import InboxGap, Misuse

OUTBOX = bytes(range(16))
MODES: list[dict[str, Any]] = [{}, {"isolation_level": None}, {"isolation_level": "EXCLUSIVE"}]
if sys.version_info >= (3, 12):
    MODES += [{"autocommit": False}, {"autocommit": True}]


@pytest.fixture(params=MODES, ids=str)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(tmp_path / "app.db", **request.param)
    found.execute("CREATE TABLE effects (what TEXT)")
    if found.in_transaction:
        found.commit()
    yield found
    found.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection: it sees what was committed."""
    found = sqlite3.connect(tmp_path / "app.db")
    yield found
    found.close()


def effects(database: sqlite3.Connection) -> list[str]:
    return [what for (what,) in database.execute("SELECT what FROM effects ORDER BY rowid")]


def put(database: sqlite3.Connection, what: str) -> None:
    database.execute("INSERT INTO effects VALUES (?)", (what,))


def put_and_fail(database: sqlite3.Connection, what: str, *, commit: bool = False) -> None:
    put(database, what)
    if commit:
        database.execute("COMMIT")
    raise ZeroDivisionError


def test_position_and_effects_are_committed_together(
    database: sqlite3.Connection, elsewhere: sqlite3.Connection
) -> None:
    inbox = Inbox(database)
    for row in (1, 2, 3):
        with inbox.effects(OUTBOX, row) as fresh:
            assert fresh
            put(database, f"row {row}")
            assert effects(elsewhere) == [f"row {number}" for number in range(1, row)]

    assert effects(elsewhere) == ["row 1", "row 2", "row 3"]
    assert Inbox(elsewhere).position(OUTBOX) == 3


def test_what_is_there_is_not_done_again(database: sqlite3.Connection, elsewhere: sqlite3.Connection) -> None:
    inbox = Inbox(database)
    for row in (1, 1, 2, 1, 2, 3):
        with inbox.effects(OUTBOX, row) as fresh:
            if fresh:
                put(database, f"row {row}")

    assert effects(elsewhere) == ["row 1", "row 2", "row 3"]


def test_an_error_rolls_both_back(database: sqlite3.Connection, elsewhere: sqlite3.Connection) -> None:
    inbox = Inbox(database)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), inbox.effects(OUTBOX, 1):
            put_and_fail(database, "row 1")

    assert effects(elsewhere) == []
    assert inbox.position(OUTBOX) == 0
    with inbox.effects(OUTBOX, 1) as fresh:
        assert fresh


def test_a_commit_in_the_middle_takes_the_position_along(
    database: sqlite3.Connection, elsewhere: sqlite3.Connection
) -> None:
    inbox = Inbox(database)
    with inbox.effects(OUTBOX, 1):
        pass  # the table is there from here on
    with pytest.raises(ZeroDivisionError), inbox.effects(OUTBOX, 2):
        put_and_fail(database, "row 2", commit=True)

    assert effects(elsewhere) == ["row 2"]
    assert Inbox(elsewhere).position(OUTBOX) == 2
    with inbox.effects(OUTBOX, 2) as fresh:
        assert not fresh


def test_a_rollback_in_the_middle_is_a_way_to_do_nothing(
    database: sqlite3.Connection, elsewhere: sqlite3.Connection
) -> None:
    inbox = Inbox(database)
    with inbox.effects(OUTBOX, 1):
        put(database, "row 1")
        database.execute("ROLLBACK")
        inbox.position(OUTBOX)

    assert effects(elsewhere) == []
    assert Inbox(elsewhere).position(OUTBOX) == 1


def test_a_hole_is_an_error_and_nothing_is_skipped(database: sqlite3.Connection) -> None:
    inbox = Inbox(database)
    with inbox.effects(OUTBOX, 1):
        pass
    with pytest.raises(InboxGap) as caught, inbox.effects(OUTBOX, 3):
        pytest.fail("the block ran")

    assert (caught.value.expected, caught.value.found) == (2, 3)
    assert inbox.position(OUTBOX) == 1
    with pytest.raises(InboxGap), inbox.effects(bytes(16), 2):
        pytest.fail("the block ran")


def test_outboxes_are_counted_apart(database: sqlite3.Connection) -> None:
    inbox = Inbox(database)
    for outbox, row in ((OUTBOX, 1), (bytes(16), 1), (OUTBOX, 2)):
        with inbox.effects(outbox, row) as fresh:
            assert fresh

    assert (inbox.position(OUTBOX), inbox.position(bytes(16))) == (2, 1)


def test_a_transaction_that_is_open_is_not_made_part_of_it(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "app.db")
    database.execute("CREATE TABLE effects (what TEXT)")
    put(database, "of the caller's own")
    with pytest.raises(Misuse, match="in a transaction"), Inbox(database).effects(OUTBOX, 1):
        pytest.fail("the block ran")

    assert database.in_transaction
    database.rollback()
    database.close()


def test_it_takes_a_connection_of_sqlite3_alone() -> None:
    with pytest.raises(Misuse, match="sqlite3"):
        Inbox("app.db")  # type: ignore[arg-type]  # which is the point


def test_a_database_that_fails_to_commit_takes_nothing(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "app.db")
    database.execute("PRAGMA foreign_keys=ON")
    database.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    database.execute("CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)")
    inbox = Inbox(database)
    with pytest.raises(sqlite3.IntegrityError), inbox.effects(OUTBOX, 1):
        database.execute("INSERT INTO children VALUES (7)")

    assert inbox.position(OUTBOX) == 0
    assert not database.in_transaction
    database.close()


def test_a_connection_may_make_of_its_rows_what_it_likes(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "app.db")
    database.row_factory = lambda cursor, row: dict(zip([name for name, *_ in cursor.description], row, strict=True))
    inbox = Inbox(database)
    for row in (1, 2):
        with inbox.effects(OUTBOX, row) as fresh:
            assert fresh
    assert inbox.position(OUTBOX) == 2
    database.close()


def test_a_position_that_cannot_be_read_once_is_not_taken_for_none(database: sqlite3.Connection) -> None:
    inbox = Inbox(database)
    with inbox.effects(OUTBOX, 1):
        put(database, "once")
    answers = iter([1])
    database.set_progress_handler(lambda: next(answers, 0), 1)  # the next statement is interrupted, and no other
    assert inbox.position(OUTBOX) == 1
    assert next(answers, None) is None
