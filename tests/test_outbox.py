"""The outbox: what was accepted is there, in order, whoever dies and whatever rots; or an error names the row."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, finish, python
from netstructer import Key, Limits
from netstructer.codec.values import encode
from netstructer.durable import Outbox, mark, salvage
from netstructer.durable.letter import Letter
from netstructer.durable.outbox import MOST_ROW_BYTES
from netstructer.durable.state import State
from netstructer.durable.store import Store
from netstructer.errors import (
    BacklogFull,
    InvalidKey,
    LimitReached,
    MessageTooBig,
    Misuse,
    NetstructerError,
    OutboxDamaged,
    OutboxFull,
)

SIDES = ("", "-wal", "-mark")


def content(number: int) -> bytes:
    """Return what row `number` of every outbox here holds: some short, some over several pages."""
    return b"%d:" % number + bytes([number % 251]) * (number * 577 % 9000)


def everything(outbox: Outbox) -> dict[int, bytes]:
    return {row: outbox.read(row) for row in range(outbox.first, outbox.last + 1)}


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "outbox.db")


def filled(place: str, rows: int = 20, *, trimmed: int = 0, settle: bool = False) -> None:
    """Make an outbox whose process has died: log and mark beside it."""
    outbox = Outbox(place, KEY)
    for number in range(1, rows + 1):
        outbox.append(content(number))
        if settle and number == rows // 2:
            outbox._store.settle()
    outbox.trim(trimmed)
    kill(outbox, place)


def kill(outbox: Outbox, place: str) -> None:
    """Leave the files as they are at this moment: closing would bring the log into the file."""
    for side in SIDES:
        if os.path.exists(place + side):
            shutil.copyfile(place + side, place + side + ".kept")
    outbox.abandon()
    for side in SIDES:
        if os.path.exists(place + side):
            os.unlink(place + side)
        if os.path.exists(place + side + ".kept"):
            os.rename(place + side + ".kept", place + side)


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["close", "kill"])
def test_what_was_appended_is_there_for_the_next_one(place: str, ending: str) -> None:
    first = Outbox(place, KEY)
    assert [first.append(content(number)) for number in range(1, 31)] == list(range(1, 31))
    assert first.append_all([content(number) for number in range(31, 41)]) == 40
    kill(first, place) if ending == "kill" else first.close()

    with Outbox(place, KEY) as second:
        assert second.id == first.id
        assert everything(second) == {number: content(number) for number in range(1, 41)}
        assert second.torn_bytes == 0
        assert second.append(content(41)) == 41
        assert second.read(41) == content(41)


def test_an_empty_message_is_a_row_too(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        assert outbox.append(b"") == 1
        assert outbox.append_all([]) == 1
        assert outbox.read(1) == b""


def test_rows_are_trimmed_and_their_numbers_never_come_again(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        for number in range(1, 11):
            outbox.append(content(number))
        outbox.trim(7)
        outbox.trim(3)  # what is not wanted stays so
        assert (outbox.first, outbox.last, outbox.row_count) == (8, 10, 3)
        with pytest.raises(Misuse):
            outbox.read(7)
        with pytest.raises(Misuse):
            outbox.read(11)
    with Outbox(place, KEY) as outbox:
        assert sorted(everything(outbox)) == [8, 9, 10]
        outbox.trim(99)
    with Outbox(place, KEY) as outbox:
        assert (outbox.first, outbox.last, outbox.byte_count) == (11, 10, 0)
        assert outbox.append(content(11)) == 11
    with sqlite3.connect(place) as database:
        assert database.execute("SELECT count(*) FROM netstructer_rows").fetchone() == (1,)
    database.close()


def test_a_kill_after_a_trim_brings_rows_back_and_loses_none(place: str) -> None:
    filled(place, 10, trimmed=4)

    with Outbox(place, KEY) as outbox:
        assert outbox.first <= 5
        assert outbox.last == 10


def test_many_trimmed_rows_leave_without_a_further_message(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append_all([b"x"] * 400)
        for row in range(1, 401):
            outbox.trim(row)
        kill(outbox, place)
    with Outbox(place, KEY) as outbox:
        assert outbox.first > 256
        assert outbox.last == 400


def test_the_log_is_brought_into_the_file_before_it_grows(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        for _ in range(12):
            outbox.append(bytes(1 << 20))
            assert os.path.getsize(place + "-wal") < 6 << 20
        assert os.path.getsize(place) > 8 << 20


def test_the_file_is_what_the_promise_says(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        run = outbox._store._connection.execute
        outbox.append(b"the plain bytes of a secret")

        assert run("PRAGMA journal_mode").fetchone() == ("wal",)
        assert run("PRAGMA synchronous").fetchone() == (2,)
        for side in SIDES:
            assert b"secret" not in Path(place + side).read_bytes()
            if os.name == "posix":
                assert os.stat(place + side).st_mode & 0o077 == 0
        assert "secret" not in repr(outbox)
    assert sorted(os.listdir(os.path.dirname(place))) == ["outbox.db"]


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_another_key_is_refused_by_name_and_can_be_put_in(place: str) -> None:
    other = Key.generate()
    filled(place, 3)
    with pytest.raises(InvalidKey, match=f"{KEY.fingerprint}.*{other.fingerprint}"):
        Outbox(place, other)

    Outbox.rewrap(place, KEY, other)
    with Outbox(place, other) as outbox:
        assert everything(outbox) == {number: content(number) for number in (1, 2, 3)}
    with pytest.raises(InvalidKey):
        Outbox(place, KEY)


def test_two_have_not_one_file(place: str) -> None:
    program = (
        f"from netstructer import Key; from netstructer.durable import Outbox; Outbox({place!r}, Key({KEY.reveal()!r}))"
    )
    with Outbox(place, KEY) as outbox:
        outbox.append(b"x")
        with pytest.raises(Misuse, match="in use"):
            Outbox(place, KEY)
        with python("-c", program) as process:
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert "Misuse" in err
        assert "in use" in err
        assert outbox.append(b"y") == 2  # the lock held
    with python("-c", program) as process:
        finish(process)


def test_a_closed_outbox_and_a_fork_of_one_say_so(place: str) -> None:
    outbox = Outbox(place, KEY)
    outbox._process += 1
    with pytest.raises(Misuse, match="fork"):
        outbox.append(b"x")
    outbox._process -= 1
    outbox.close()
    outbox.close()
    with pytest.raises(Misuse, match="closed"):
        outbox.append(b"x")


def test_a_place_that_cannot_be_is_the_callers_affair(tmp_path: Path) -> None:
    with pytest.raises(Misuse):
        Outbox(str(tmp_path / "nowhere" / "outbox.db"), KEY)
    with pytest.raises(NetstructerError):
        Outbox(str(tmp_path), KEY)
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(OutboxDamaged):
        Outbox(str(other), KEY)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_bounds_are_kept_and_nothing_is_half_accepted(place: str) -> None:
    with Outbox(place, KEY, limits=Limits(outbox_rows=5, outbox_bytes=3000)) as outbox:
        outbox.append_all([b"x"] * 4)
        with pytest.raises(BacklogFull) as caught:
            outbox.append_all([b"x"] * 2)
        assert (caught.value.limit, caught.value.found) == (5, 6)
        with pytest.raises(BacklogFull, match="bytes"):
            outbox.append(bytes(3000))
        assert outbox.last == 4
        outbox.trim(4)
        assert outbox.append(bytes(2800)) == 5
        with pytest.raises(BacklogFull):
            outbox.append(bytes(100))
        outbox.trim(5)
        assert outbox.append_all([b"x"] * 5) == 10
    with Outbox(place, KEY, limits=Limits(outbox_rows=5)) as outbox:
        assert everything(outbox) == dict.fromkeys(range(6, 11), b"x")


def test_a_message_that_no_row_holds_is_too_big(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ROW_BYTES < 1_000_000_000
    monkeypatch.setattr("netstructer.durable.outbox.MOST_ROW_BYTES", 1000)
    with Outbox(place, KEY) as outbox:
        outbox.append(bytes(1000))
        with pytest.raises(MessageTooBig):
            outbox.append(bytes(1001))
        assert outbox.last == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's length there")
def test_a_full_disk_has_a_name_and_keeps_what_was_there(place: str) -> None:
    import resource

    with Outbox(place, KEY) as outbox:
        for number in range(1, 6):
            outbox.append(content(number))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, hard))
        try:
            with pytest.raises(OutboxFull) as caught:
                outbox.append(bytes(400 << 10))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value, LimitReached)
        assert outbox.last == 5
        assert outbox.append(content(6)) == 6
        kill(outbox, place)
    with Outbox(place, KEY) as outbox:
        assert everything(outbox) == {number: content(number) for number in range(1, 7)}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's length there")
def test_a_full_disk_refuses_only_what_is_not_kept(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr("netstructer.durable.store.LOG_BYTES", 64 << 10)
    monkeypatch.setattr("netstructer.durable.outbox._TRIM_ROWS", 1)
    kept = 0
    with Outbox(place, KEY) as outbox:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200 << 10, hard))
        try:
            with suppress(OutboxFull):
                for _ in range(100):
                    outbox.append(bytes(8 << 10))
                    kept += 1
            outbox.trim(1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert 20 < kept == outbox.last < 100
        assert outbox.append(content(kept + 1)) == kept + 1
    with Outbox(place, KEY) as outbox:
        assert (outbox.first, outbox.last) == (2, kept + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's length there")
def test_an_outbox_closes_at_a_full_disk_as_well(place: str) -> None:
    import resource

    filled(place, 5)
    outbox = Outbox(place, KEY)
    outbox.append(content(6))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        outbox.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Outbox(place, KEY) as outbox:
        assert everything(outbox) == {number: content(number) for number in range(1, 7)}


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "within", "after"])
@pytest.mark.parametrize("then", ["append", "close", "trim", "kill"])
def test_what_is_interrupted_while_the_disk_is_waited_for_is_kept_or_is_not(
    place: str, when: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append(content(1))
        write = outbox._store.write

        def interrupted(*given: Any, **named: Any) -> None:
            if when == "within":  # and the undoing was interrupted, too
                outbox._store._connection.execute("BEGIN IMMEDIATE")
            elif when == "after":
                write(*given, **named)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", lambda _, *given, **named: interrupted(*given, **named))
            with pytest.raises(KeyboardInterrupt):
                outbox.append(content(2))
        last = 2 if when == "after" else 1
        if then == "append":
            assert outbox.append(content(last + 1)) == last + 1
            last += 1
        elif then == "trim":
            outbox.trim(0)
            assert outbox.row_count == last
        elif then == "kill":
            kill(outbox, place)
    with Outbox(place, KEY) as outbox:
        assert everything(outbox) == {number: content(number) for number in range(1, last + 1)}
        assert outbox.byte_count == sum(len(content(number)) + 96 for number in range(1, last + 1))


# --- death ------------------------------------------------------------------------------------------------------------


def writer(place: str) -> None:
    """Append for ever, and say each row that was accepted."""
    with Outbox(place, KEY) as outbox:
        while True:
            row = outbox.append(content(outbox.last + 1))
            outbox.trim(row - 30)
            os.write(1, b"%d\n" % row)


@contextmanager
def writing(place: str) -> Iterator[tuple[int, int]]:
    """Let a process write, kill it at a random moment, and give the last row that it was told of and all it said."""
    with python(__file__, place) as process:
        assert process.stdout is not None
        said = int(process.stdout.readline())
        time.sleep(random.random() * 0.03)
        process.kill()
        rest = process.stdout.read().split("\n")[:-1]
        yield said, int(rest[-1]) if rest else said
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_no_kill_takes_an_accepted_row(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append_all([content(number) for number in range(1, 41)])
    survive(place, 5)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_no_kill_of_two_hundred_takes_an_accepted_row(place: str) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append_all([content(number) for number in range(1, 41)])
    survive(place, 200)


def survive(place: str, count: int) -> None:
    last = 40
    for turn in range(count):
        with writing(place) as (began, said):
            pass
        with Outbox(place, KEY) as outbox:
            assert began in (last + 1, last + 2)
            assert outbox.last in (said, said + 1)  # one may have been committed and not yet said
            assert everything(outbox) == {row: content(row) for row in range(outbox.first, outbox.last + 1)}
            assert outbox.first <= said - 28
            last = outbox.last
            if turn % 2:
                kill(outbox, place)


# --- rot --------------------------------------------------------------------------------------------------------------


def outcome(place: str) -> str:
    """Open an outbox of `filled` and say what came of it; anything but the truth or a report fails."""
    try:
        outbox = Outbox(place, KEY)
    except (OutboxDamaged, Misuse):
        return "reported"
    try:
        found = everything(outbox)
        assert outbox.last == 20
        assert found == {number: content(number) for number in range(outbox.first, 21)}
        assert outbox.first in (1, 4)
        return "whole"
    finally:
        outbox.abandon()


@pytest.fixture
def damage(tmp_path: Path) -> Damage:
    place = str(tmp_path / "outbox.db")
    filled(place, 20, trimmed=3, settle=True)
    return Damage(place)


class Damage:
    """An outbox of a process that died, as often as it is wanted, each time with one thing wrong with it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.sides = {side: Path(place + side).read_bytes() for side in SIDES}
        assert all(len(side) > 79 for side in self.sides.values())

    def with_side(self, name: str, content: bytes | None) -> str:
        for side, sound in self.sides.items():
            path = Path(self.place + side)
            path.unlink(missing_ok=True)
            found = content if side == name else sound
            if found is not None:
                path.write_bytes(found)
        return outcome(self.place)


def test_a_sound_one_is_whole(damage: Damage) -> None:
    assert damage.with_side("", damage.sides[""]) == "whole"


@pytest.mark.parametrize("side", SIDES)
def test_a_file_that_is_cut_anywhere_is_reported(damage: Damage, side: str) -> None:
    sound = damage.sides[side]
    cuts = {*range(0, len(sound), 512 if side != "-mark" else 1), len(sound) - 1, 1, 31, 32, 33}

    found = {at: damage.with_side(side, sound[:at]) for at in sorted(cuts)}

    # The mark has its row twice; where one place is left, nothing is lost.  Nor is anything where zeros are cut off
    # (the last byte of a row is random), because SQLite reads zeros beyond the end of a file.
    lossless = {at for at in cuts if not any(sound[at:])} if side != "-mark" else set(range(40, len(sound)))
    assert {at for at, what in found.items() if what == "whole"} <= lossless


@pytest.mark.parametrize("side", SIDES)
def test_a_file_that_is_gone_is_reported(damage: Damage, side: str) -> None:
    assert damage.with_side(side, None) == "reported"


@pytest.mark.parametrize("seed", range(4))
def test_a_bit_that_rots_is_reported_or_was_nothing(damage: Damage, seed: int) -> None:
    draw = random.Random(seed)
    found = []
    for _ in range(50):
        side = draw.choices(SIDES, [len(damage.sides[name]) for name in SIDES])[0]
        rotten = bytearray(damage.sides[side])
        rotten[draw.randrange(len(rotten))] ^= 1 << draw.randrange(8)
        found.append(damage.with_side(side, bytes(rotten)))

    assert found.count("reported") > 20


@pytest.mark.parametrize("side", SIDES)
def test_a_stretch_of_zeros_is_reported_or_was_nothing(damage: Damage, side: str) -> None:
    sound = damage.sides[side]
    for at in range(0, len(sound), 4096):
        damage.with_side(side, sound[:at] + bytes(min(4096, len(sound) - at)) + sound[at + 4096 :])


def test_an_earlier_state_beside_a_later_mark_is_reported(place: str, tmp_path: Path) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append_all([content(number) for number in (1, 2, 3)])
    shutil.copyfile(place, tmp_path / "backup")
    filled_from = Outbox(place, KEY)
    filled_from.append(content(4))
    kill(filled_from, place)
    os.unlink(place + "-wal")
    shutil.copyfile(tmp_path / "backup", place)

    with pytest.raises(OutboxDamaged) as caught:
        Outbox(place, KEY)
    assert caught.value.row == 4


def test_another_outboxs_mark_is_reported(place: str, tmp_path: Path) -> None:
    filled(place, 5)
    other = str(tmp_path / "other.db")
    filled(other, 5)
    shutil.copyfile(other + "-mark", place + "-mark")

    with pytest.raises(OutboxDamaged):
        Outbox(place, KEY)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM netstructer_rows WHERE n = 7",
        "DELETE FROM netstructer_rows WHERE n = 20",
        "DELETE FROM netstructer_rows",
        "UPDATE netstructer_rows SET n = 21 WHERE n = 20",
        "UPDATE netstructer_rows SET sealed = x'00' WHERE n = 5",
        "UPDATE netstructer_rows SET sealed = 7 WHERE n = 5",
        "UPDATE netstructer_rows SET tag = 'text' WHERE n = 5",
        "UPDATE netstructer_rows SET sealed = (SELECT sealed FROM netstructer_rows WHERE n = 9) WHERE n = 8",
        "INSERT INTO netstructer_rows SELECT 21, sealed, tag FROM netstructer_rows WHERE n = 20",
        "DELETE FROM netstructer_outbox",
        "UPDATE netstructer_outbox SET state = zeroblob(length(state))",
        "UPDATE netstructer_outbox SET state = 'text'",
        "DROP TABLE netstructer_rows",
    ],
)
def test_what_sqlite_finds_sound_and_the_chain_does_not(place: str, statement: str) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append_all([content(number) for number in range(1, 21)])
    database = sqlite3.connect(place)
    with database:
        database.execute(statement)
    database.close()

    with pytest.raises(OutboxDamaged):
        Outbox(place, KEY)


def test_rows_that_go_with_a_state_that_says_so_are_missed(place: str) -> None:
    """All that was changed fits together, except for the seal of the state: nobody but who has the key makes that."""
    with Outbox(place, KEY) as outbox:
        outbox.append_all([content(number) for number in range(1, 21)])
    database = sqlite3.connect(place)
    with database:
        state = State.unpack(database.execute("SELECT state FROM netstructer_outbox").fetchone()[0])
        tag = database.execute("SELECT tag FROM netstructer_rows WHERE n = 5").fetchone()[0]
        assert state is not None
        forged = state._replace(trimmed=5, trimmed_tag=tag).pack(bytes(32))
        database.execute("UPDATE netstructer_outbox SET state = ?", (forged,))
        database.execute("DELETE FROM netstructer_rows WHERE n <= 5")
    database.close()

    with pytest.raises(OutboxDamaged, match="the state of the outbox"):
        Outbox(place, KEY)


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE netstructer_rows SET sealed = zeroblob(99) WHERE n = 5", 5),
        ("UPDATE netstructer_rows SET tag = zeroblob(16) WHERE n = 5", 5),
        ("DELETE FROM netstructer_rows WHERE n = 5", 5),
        ("UPDATE netstructer_rows SET sealed = 'text' WHERE n = 5", 5),
    ],
)
def test_a_row_that_rots_while_the_outbox_is_open_is_found_when_it_is_read(
    place: str, statement: str, row: int
) -> None:
    outbox = Outbox(place, KEY)
    outbox.append_all([content(number) for number in range(1, 11)])
    outbox._store._connection.execute(statement)
    assert outbox.read(row - 1) == content(row - 1)

    with pytest.raises(OutboxDamaged) as caught:
        outbox.read(row)
    assert caught.value.row == row
    outbox.abandon()


def test_a_torn_write_is_cut_and_told_of(place: str, caplog: pytest.LogCaptureFixture) -> None:
    filled(place, 5)
    with open(place + "-wal", "ab") as log:
        log.write(os.urandom(1000))

    with caplog.at_level("WARNING", logger="netstructer"), Outbox(place, KEY) as outbox:
        assert outbox.torn_bytes == 1000
        assert sorted(everything(outbox)) == [1, 2, 3, 4, 5]
    assert "cut 1000 torn bytes" in caplog.text


def test_what_failed_stays_failed(place: str) -> None:
    outbox = Outbox(place, KEY)
    outbox.append(b"x")
    outbox._store._connection.execute("DROP TABLE netstructer_outbox")
    for _ in range(2):
        with pytest.raises(OutboxDamaged):
            outbox.append(b"y")
    outbox.close()


# --- salvage ----------------------------------------------------------------------------------------------------------


def test_what_is_left_is_salvaged_and_what_is_lost_is_named(place: str) -> None:
    outbox = Outbox(place, KEY)
    for number in range(1, 11):
        outbox.append(Letter(b"".join(encode({"number": number}).buffers), True).pack())
    outbox.trim(2)
    outbox.append(Letter(b"".join(encode("last").buffers), False).pack())
    outbox._store._connection.execute("UPDATE netstructer_rows SET sealed = zeroblob(50) WHERE n = 5")
    outbox._store._connection.execute("DELETE FROM netstructer_rows WHERE n = 7")
    kill(outbox, place)
    before = {side: Path(place + side).read_bytes() for side in SIDES}

    found = salvage(place, KEY)

    assert (found.outbox, found.first, found.last) == (outbox.id, 3, 11)
    assert found.lost == [5, 7]
    assert found.value(4) == {"number": 4}
    assert found.value(11) == "last"
    assert sorted(found.rows) == [3, 4, 6, 8, 9, 10, 11]
    assert {side: Path(place + side).read_bytes() for side in SIDES} == before
    with pytest.raises(InvalidKey):
        salvage(place, Key.generate())


def test_rows_whose_log_is_lost_are_named(place: str) -> None:
    filled(place, 20, settle=True)
    os.unlink(place + "-wal")

    found = salvage(place, KEY)

    assert found.lost == list(range(11, 21))
    assert found.rows == {number: content(number) for number in range(1, 11)}


@pytest.mark.parametrize("figure", ["0000000000000003", "0000000000ffffff", "7fffffffffffffff", "ffffffffffffffff"])
def test_rows_are_salvaged_though_the_figures_of_the_state_have_rotted(place: str, figure: str) -> None:
    filled(place, 6)
    database = sqlite3.connect(place)
    with database:  # its `last`, behind 1 + 1 + 16 + 8 + 60 + 8 + 16 bytes
        database.execute(
            "UPDATE netstructer_outbox SET state = "
            f"CAST(substr(state, 1, 110) || x'{figure}' || substr(state, 119) AS BLOB)"
        )
        database.execute("DELETE FROM netstructer_rows WHERE n = 4")
    database.close()

    found = salvage(place, KEY)

    assert (found.first, found.last, found.lost) == (1, 6, [4])
    assert found.rows == {number: content(number) for number in (1, 2, 3, 5, 6)}


@pytest.mark.parametrize("row", [4_000_000, 1 << 62, (1 << 64) - 1])
def test_a_mark_that_claims_more_rows_than_there_can_be_is_reported_at_once(place: str, row: int) -> None:
    filled(place, 6)
    Path(place + "-mark").write_bytes(2 * mark._pack(mark.Noted(row, bytes(16))))

    with pytest.raises(OutboxDamaged, match="claims"):
        salvage(place, KEY)


def test_a_schema_that_is_no_text_any_more_is_reported(place: str) -> None:
    filled(place, 3)
    database = sqlite3.connect(place)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    database.close()
    sound, causes = Path(place).read_bytes(), set()
    begin = sound.index(b"tablenetstructer_rows")

    for at in range(begin, begin + 60):
        Path(place).write_bytes(sound[:at] + b"\xff" + sound[at + 1 :])
        try:
            salvage(place, KEY)
        except OutboxDamaged as error:
            causes.add(type(error.__cause__))

    assert UnicodeDecodeError in causes


@pytest.mark.parametrize("row", [b"", b"\x02value", b"\xffvalue"])
def test_a_row_that_no_message_was_packed_into_is_reported(place: str, row: bytes) -> None:
    with Outbox(place, KEY) as outbox:
        outbox.append(row)

    with pytest.raises(OutboxDamaged):
        salvage(place, KEY).value(1)
    with pytest.raises(OutboxDamaged):
        Letter.unpack(row)


def test_a_lost_state_is_the_end(place: str) -> None:
    filled(place, 3)
    database = sqlite3.connect(place)
    with database:
        database.execute("DELETE FROM netstructer_outbox")
    database.close()

    with pytest.raises(OutboxDamaged):
        salvage(place, KEY)


if __name__ == "__main__":
    KEY = Key(os.environ["NETSTRUCTER_KEY"])
    writer(sys.argv[1])
