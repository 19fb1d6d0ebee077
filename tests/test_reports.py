"""Reports: four formats, one header, nothing overwritten, and no cell that becomes anything but a cell."""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopback import KEY, finish, python
from netstructer import Link, Server
from netstructer.address import Address
from netstructer.errors import InvalidReport, Misuse, StoreBusy, UnsafeName
from netstructer.services import ready, report_files
from netstructer.services.cells import plain
from netstructer.services.formats import FORMATS
from netstructer.services.reports import write_report

NAMES = ("csv", "txt", "json", "md")
ROWS = [{"name": "ada", "port": 5000}, {"name": "bob, jr", "note": "x"}]
NOON = 1_785_000_000.0
STAMP = "20260725T172000Z"
FORMULAS = ("=1+1", "+1", "-1", "@sum(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''+1", "=cmd|' /C calc'!A0")
HOSTILE = (
    "a\nb",
    "\x1b[31m",
    "a\u202eb",
    "a|b",
    "<b>x</b>",
    "`x`",
    "[x](y)",
    "a: b",
    "# a",
    "\ud800",
    "&lt;",
    "\\",
    "",
)


def noon() -> float:
    return NOON


def cells_of(place: str | Path) -> list[list[str]]:
    """Return the cells of a CSV, the guard of formulas taken off as the documentation says."""
    with open(place, encoding="utf-8", newline="") as file:
        return [[re.sub("^'(?='*[=+\\-@\t\r\n＝＋－＠])", "", c) for c in row] for row in csv.reader(file, strict=True)]


# --- formats ----------------------------------------------------------------------------------------------------------


def test_csv_has_a_header_and_a_line_for_each_row(tmp_path: Path) -> None:
    place = write_report(ROWS, tmp_path / "r.csv")

    assert Path(place).read_bytes() == b'name,port,note\r\nada,5000,\r\n"bob, jr",,x\r\n'


def test_txt_has_a_line_for_each_fact(tmp_path: Path) -> None:
    head, *rows = Path(write_report(ROWS, tmp_path / "r.txt", by="me", wall=noon)).read_text().split("\n\n")

    assert rows == ["name: ada\nport: 5000\nnote: ", "name: bob, jr\nport: \nnote: x\n"]
    assert [line.partition(":")[0] for line in head.splitlines()] == [
        *("# generated", "# by", "# host", "# system", "# program", "# columns"),
    ]
    assert head.startswith("# generated: 2026-07-25T17:20:00Z\n# by: me\n")


def test_json_is_one_object(tmp_path: Path) -> None:
    found = json.loads(Path(write_report(ROWS, tmp_path / "r.json", wall=noon)).read_text())

    assert found["rows"] == [
        {"name": "ada", "port": 5000, "note": None},
        {"name": "bob, jr", "port": None, "note": "x"},
    ]
    assert found["columns"] == ["name", "port", "note"]
    assert found["generated"] == "2026-07-25T17:20:00Z"
    assert all(found[name] for name in ("by", "host", "system", "program"))


def test_markdown_is_a_table(tmp_path: Path) -> None:
    head, table = Path(write_report(ROWS, tmp_path / "r.md", by="me_too")).read_text().split("\n\n")

    assert table == "| name | port | note |\n|---|---|---|\n| ada | 5000 |  |\n| bob, jr |  | x |\n"
    assert "- by: me\\_too" in head


def test_one_mapping_is_a_report_too(tmp_path: Path) -> None:
    assert cells_of(write_report({"a": 1}, tmp_path / "r.csv")) == [["a"], ["1"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_format_is_what_is_asked_for_or_what_the_name_ends_in(tmp_path: Path, name: str) -> None:
    by_end = write_report(ROWS, tmp_path / f"by-end.{name.upper()}", wall=noon)
    by_word = write_report(ROWS, tmp_path / "by-word", name, wall=noon)  # type: ignore[arg-type]

    assert Path(by_end).read_bytes() == Path(by_word).read_bytes()
    with pytest.raises(Misuse, match="expected a format: csv, txt, json, md"):
        write_report(ROWS, tmp_path / "x", "pdf")  # type: ignore[arg-type]


class Colour(Enum):
    RED = object()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        (float("inf"), "inf"),
        ("é", "é"),
        (Colour.RED, "RED"),
        (datetime.datetime(2026, 7, 25, 9, 30, tzinfo=datetime.UTC), "2026-07-25T09:30:00+00:00"),
        (datetime.date(2026, 7, 25), "2026-07-25"),
        (datetime.timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("::1"), "::1"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (PurePosixPath("a/b"), "a/b"),
        (Address("::1", 5000), "[::1]:5000"),
        ([1, ("a", None)], [1, ["a", None]]),
        ({"b", "a"}, ["a", "b"]),
    ],
)
def test_what_has_one_plain_reading_is_taken(value: object, expected: object) -> None:
    found = plain(value)

    assert (type(found), found) == (type(expected), expected)


def endless() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "value", [b"x", bytearray(b"x"), {"a": 1}, object(), KEY, KEY.reveal, 1 << 5_000, [b"x"], endless()]
)
def test_payloads_and_objects_are_refused_by_the_name_of_their_column(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidReport, match=r"^column what: ") as caught:
        write_report([{"what": "fine"}, {"what": value}], tmp_path / "r.csv")

    assert KEY.reveal() not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows",
    ["text", b"bytes", 7, [7], [["a", 1]], [], {}, {7: 1}, {"": 1}, {"a\nb": 1}, {" a": 1}, {"x" * 65: 1},
     {f"c{n}": n for n in range(257)}],
)  # fmt: skip
def test_rows_that_are_none_are_refused(tmp_path: Path, rows: object) -> None:
    with pytest.raises(InvalidReport, match="expected"):
        write_report(rows, tmp_path / "r.csv")  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []


def test_with_columns_rows_are_taken_as_they_come_and_none_is_held(tmp_path: Path) -> None:
    alive: list[int] = []

    def rows() -> Iterator[dict[str, object]]:
        for number in range(1_000):
            alive.append(number)
            yield {"b": number}

    place = write_report(rows(), tmp_path / "r.csv", columns=["a", "b"])

    assert cells_of(place)[:3] == [["a", "b"], ["", "0"], ["", "1"]]
    assert len(alive) == 1_000
    with pytest.raises(InvalidReport, match="expected the columns a, b, found another: c"):
        write_report([{"c": 1}], tmp_path / "s.csv", columns=["a", "b"])
    with pytest.raises(InvalidReport, match="expected 1 to 256 columns, each once"):
        write_report([], tmp_path / "s.csv", columns=["a", "a"])


# --- what a cell must not become --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path: Path, text: str) -> None:
    place = write_report([{"a": text, text.strip() + "!": [text]}], tmp_path / "r.csv")
    with open(place, encoding="utf-8", newline="") as file:
        raw = [cell for row in csv.reader(file) for cell in row]

    assert [cell for cell in raw if cell[0] in "=+-@\t\r\n＝＋－＠"] == []
    assert cells_of(place) == [["a", text.strip() + "!"], [text, text]]


def test_numbers_are_no_text(tmp_path: Path) -> None:
    assert cells_of(write_report({"a": -5, "b": -1.5, "c": "'tis"}, tmp_path / "r.csv"))[1] == ["-5", "-1.5", "'tis"]
    assert Path(tmp_path / "r.csv").read_text().splitlines()[1] == "-5,-1.5,'tis"


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_moves_a_cursor_or_becomes_another_row(tmp_path: Path, text: str) -> None:
    for name in NAMES:
        written = Path(write_report([{"a": text}, {"a": "last"}], tmp_path / f"r.{name}")).read_text("utf-8")
        lines = written.split("\n")

        assert [line for line in lines if not line.rstrip("\r").isprintable()] == []
        assert len(lines) == {"csv": 4 + text.count("\n"), "txt": 11, "json": 5, "md": 11}[name]
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["a"] == text
    assert re.search(r"(?<!\\)[`*_\[\]#<]", (tmp_path / "r.md").read_text().split("|---|\n")[1]) is None


WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda text: text.isprintable() and text == text.strip()
)
FACTS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(WORDS, FACTS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    directory = tmp_path_factory.mktemp("json")
    found = json.loads(Path(write_report(rows, directory / "r.json")).read_text())["rows"]

    assert [{name: row[name] for name in given} for given, row in zip(rows, found, strict=True)] == rows
    assert all(
        value is None for given, row in zip(rows, found, strict=True) for n, value in row.items() if n not in given
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(WORDS, min_size=1, max_size=4, unique=True),
    st.lists(st.lists(st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" \t\r\n,\"'=+-@")),
                      min_size=4, max_size=4), max_size=4),
)  # fmt: skip
def test_csv_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], rows: list[list[str]]
) -> None:
    directory = tmp_path_factory.mktemp("csv")
    cut = [row[: len(columns)] for row in rows]
    given = [dict(zip(columns, row, strict=True)) for row in cut]

    whole = write_report(given, directory / "r.csv", columns=columns)
    write_report([], directory / "s.csv", columns=columns, append=True)
    for row in given:
        write_report(row, directory / "s.csv", append=True)

    assert cells_of(whole) == [columns, *cut]
    assert (directory / "s.csv").read_bytes() == Path(whole).read_bytes()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_reports_that_are_added_to_keep_one_header(tmp_path: Path, name: str) -> None:
    for number in range(3):
        write_report({"b": number, "a": "x"} if number else {"a": "x", "b": 0}, tmp_path / f"r.{name}", append=True,
                     by="me", wall=noon)  # fmt: skip
    at_once = write_report([{"a": "x", "b": n} for n in range(3)], tmp_path / f"s.{name}", by="me", wall=noon)

    assert (tmp_path / f"r.{name}").read_bytes() == Path(at_once).read_bytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column", ["a", "=b", "a|b", "a: b", "#", "ä,", "\\", "&lt;", '"'])
def test_columns_are_read_back_whatever_they_are_called(tmp_path: Path, name: str, column: str) -> None:
    for number in range(2):
        write_report({column: number, "other": "x"}, tmp_path / f"r.{name}", append=True)

    form = FORMATS[name]
    assert form.columns_of((tmp_path / f"r.{name}").read_bytes().decode()) == [column, "other"]


@pytest.mark.parametrize("name", NAMES)
def test_other_columns_are_refused_and_the_report_stays(tmp_path: Path, name: str) -> None:
    place = tmp_path / f"r.{name}"
    write_report(ROWS, place)
    before = place.read_bytes()
    for rows in ([{"name": "x"}], [{"name": "x", "port": 1, "note": 1, "more": 1}]):
        with pytest.raises(InvalidReport, match="has the columns name, port, note, found "):
            write_report(rows, place, append=True)
    write_report([{"name": "x"}], tmp_path / f"s.{name}", columns=["name", "port"], append=True)
    write_report([{"port": 1}], tmp_path / f"s.{name}", columns=["port", "name"], append=True)

    assert place.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"hello\nworld\n", b'"', b"{}", b'{"rows": [', b"# columns: [[", b"| a", b"\n\n\n"]
)
def test_what_is_no_report_is_not_added_to(tmp_path: Path, name: str, content: bytes) -> None:
    place = tmp_path / f"r.{name}"
    place.write_bytes(content)

    with pytest.raises(InvalidReport, match=r"is no report in this format|has the columns"):
        write_report({"expected": 1}, place, append=True)
    assert place.read_bytes() == content


def test_a_json_report_that_lost_its_end_is_not_added_to(tmp_path: Path) -> None:
    place = tmp_path / "r.json"
    write_report({"a": 1}, place)
    place.write_bytes(place.read_bytes()[:-2])

    with pytest.raises(InvalidReport, match="has lost its end"):
        write_report({"a": 2}, place, append=True)


def test_a_line_without_its_end_is_ended_first(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b"a\r\n1")
    write_report({"a": 2}, tmp_path / "r.csv", append=True)

    assert cells_of(tmp_path / "r.csv") == [["a"], ["1"], ["2"]]


def test_reports_have_names_of_their_own_in_a_directory(tmp_path: Path) -> None:
    places = [write_report(ROWS, f"{tmp_path}/new/", name="links", wall=noon) for _ in range(3)]
    others = [write_report(ROWS, tmp_path / "new", "md", wall=noon)]

    assert [os.path.relpath(place, tmp_path) for place in places + others] == [
        f"new/links-{STAMP}.csv", f"new/links-{STAMP}-2.csv", f"new/links-{STAMP}-3.csv", f"new/report-{STAMP}.md",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path / "new")) == sorted(os.path.basename(place) for place in places + others)


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "r.csv"
    place.write_text("precious")

    with pytest.raises(FileExistsError, match="a report never overwrites"):
        write_report(ROWS, place)
    assert place.read_text() == "precious"
    assert os.listdir(tmp_path) == ["r.csv"]


def test_names_run_out_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.services.reports.MOST_OF_ONE_SECOND", 2)
    for _ in range(2):
        write_report(ROWS, tmp_path, wall=noon)

    with pytest.raises(FileExistsError):
        write_report(ROWS, tmp_path, wall=noon)
    assert len(os.listdir(tmp_path)) == 2


def test_without_hard_links_nothing_is_overwritten_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "this file system has no hard links")

    monkeypatch.setattr(report_files.os, "link", refuse)
    places = [write_report(ROWS, tmp_path, wall=noon) for _ in range(2)]

    assert [cells_of(place)[0] for place in places] == [["name", "port", "note"]] * 2
    with pytest.raises(FileExistsError):
        write_report(ROWS, places[0])
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("name", ["../up", "a/b", "con", "a\nb"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeName):
        write_report(ROWS, tmp_path, name=name)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_report(ROWS, tmp_path / "new" / "a.csv")
    write_report(ROWS, tmp_path / "new" / "b.csv", append=True)

    assert {stat.S_IMODE(found.stat().st_mode) for found in (tmp_path / "new").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_directory_or_a_pipe_is_no_report_to_add_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")

    with pytest.raises(Misuse, match="found a directory"):
        write_report(ROWS, tmp_path, append=True)
    with pytest.raises(InvalidReport, match="is no file"):
        write_report(ROWS, tmp_path / "pipe.csv", append=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("room", [0, 1, 7])
def test_a_disk_that_is_full_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, room: int
) -> None:
    place = tmp_path / f"r.{name}"
    write_report(ROWS, place)
    before, write = place.read_bytes(), report_files._write
    calls = iter([True])

    def full(file: object, at: int, content: bytes) -> None:
        if next(calls, False):
            write(file, at, content[:room])  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, at, content)  # type: ignore[arg-type]

    monkeypatch.setattr(report_files, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(ROWS, place, append=True)

    assert place.read_bytes() == before


@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="this system has no such limit")
def test_a_new_report_that_does_not_fit_is_not_there(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "sys.dont_write_bytecode = True\n"  # it would be cut off too, for all who come later
        "from netstructer.services.reports import write_report\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_report([{'a': 'x' * 100}] * 100, sys.argv[1] + '/r.csv')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    with python("-c", script, str(tmp_path)) as process:
        assert finish(process)[0] == "File too large\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["csv", "json"])
def test_threads_and_processes_add_to_the_same_report(tmp_path: Path, name: str) -> None:
    place = tmp_path / f"r.{name}"
    script = (
        "import sys\n"
        "from netstructer.services.reports import write_report\n"
        "for number in range(40):\n"
        "    write_report({'who': sys.argv[2], 'number': number}, sys.argv[1], append=True)\n"
    )
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(python("-c", script, str(place), str(who))) for who in range(2)]

        def write(who: int) -> None:
            for number in range(40):
                write_report({"who": who, "number": number}, place, append=True)

        threads = [threading.Thread(target=write, args=(who,)) for who in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for other in others:
            finish(other)
    if name == "json":
        found = [(int(row["who"]), row["number"]) for row in json.loads(place.read_text())["rows"]]
    else:
        found = [(int(who), int(number)) for who, number in cells_of(place)[1:]]

    assert sorted(found) == [(who, number) for who in range(4) for number in range(40)]


def test_who_holds_a_report_for_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_files, "LOCK_SECONDS", 0.05)
    place = tmp_path / "r.csv"
    write_report(ROWS, place)
    with open(place, "rb") as held:
        assert report_files._lock(held.fileno())
        with pytest.raises(StoreBusy, match="others had the report"):
            write_report(ROWS, place, append=True)
        report_files._unlock(held.fileno())
    write_report(ROWS, place, append=True)

    assert len(cells_of(place)) == 5


# --- the usual ones ---------------------------------------------------------------------------------------------------


def test_the_links_of_a_server_are_a_report(tmp_path: Path) -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        other = server.accept(timeout=30)
        link.send([1, 2, 3])
        other.recv(timeout=30)
        report = ready.connections(server.address, list(server))
        clients = ready.connected_clients(server.address, [found.peer for found in server])
        expected_link = str(other.id)
    header, row = cells_of(write_report(report, tmp_path, wall=noon))
    found = dict(zip(header, row, strict=True))

    assert header == list(ready.CONNECTIONS)
    assert found["server"] == str(server.address)
    assert found["peer"].startswith("127.0.0.1:")
    assert (found["link"], found["messages_received"], found["suspended"]) == (expected_link, "1", "false")
    assert os.listdir(tmp_path) == [f"connections-{STAMP}.csv"]
    assert clients.rows == [{"server": str(server.address), "clients": [found["peer"]]}]


def test_a_server_without_clients_still_has_a_report(tmp_path: Path) -> None:
    alone = write_report(ready.connected_clients(("10.0.0.1", 5000), []), tmp_path / "a.txt")
    none = write_report(ready.connections(("10.0.0.1", 5000), []), tmp_path / "b.csv")

    assert Path(alone).read_text().endswith("\nserver: 10.0.0.1:5000\nclients: \n")
    assert cells_of(none) == [list(ready.CONNECTIONS)]


def test_a_server_start_is_a_report(tmp_path: Path) -> None:
    place = write_report(ready.server_start(Address("10.0.0.1", 5000), started=NOON), tmp_path / "start.txt")

    assert Path(place).read_text().endswith("\nstarted: 2026-07-25T17:20:00.000Z\nip: 10.0.0.1\nport: 5000\n")
    assert isinstance(ready.server_start(("::1", 1)).rows[0]["started"], str)


def test_a_chat_accumulates_under_one_header(tmp_path: Path) -> None:
    for number, (who, text) in enumerate([("ada", "hi"), ("bob", "=hi\nada,forged")]):
        said = ready.chat_history([{"timestamp": NOON + number, "client": who, "message": text}])
        write_report(said, tmp_path / "chat.csv", append=True)

    assert cells_of(tmp_path / "chat.csv") == [
        ["timestamp", "client", "message"],
        ["2026-07-25T17:20:00.000Z", "ada", "hi"],
        ["2026-07-25T17:20:01.000Z", "bob", "=hi\nada,forged"],
    ]


def test_statistics_of_an_application_follow_the_usual_columns() -> None:
    when = datetime.datetime(2026, 7, 25, 17, 20, tzinfo=datetime.UTC)
    users = ready.users([{"user": "ada", "points": 3}, {"user": "bob", "created": when, "roles": ["admin", "client"]}])
    moved = ready.transfers([{"name": "a.txt", "bytes": 7, "time": "yesterday"}])

    assert users.columns == (*ready.USERS, "points")
    assert users.rows[1]["created"] == "2026-07-25T17:20:00.000Z"
    assert (moved.columns, moved.rows[0]["time"]) == (ready.TRANSFERS, "yesterday")


def test_a_server_status_has_what_the_process_costs(tmp_path: Path) -> None:
    status = ready.server_status({"status": "running", "started": NOON, "clients": 3, "admin_actions": ["ban bob"]})
    row = status.rows[0]

    assert status.columns == ready.STATUS
    assert row["memory_bytes"] > 1_000_000  # type: ignore[operator]
    assert row["cpu_seconds"] > 0  # type: ignore[operator]
    assert row["uptime_seconds"] != NOON
    assert row["started"] == "2026-07-25T17:20:00.000Z"
    assert json.loads(Path(write_report(status, tmp_path / "s.json")).read_text())["rows"][0]["clients"] == 3
