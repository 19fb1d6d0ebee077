"""`netstructer audit` and `netstructer report`: what they print, what they exit with, what they leave alone."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner

from accounts_support import PASSWORD, open_accounts
from loopback import finish, python
from netstructer.cli.app import app
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.sources import OPENERS, source_at
from netstructer.cli.times import moment_of
from netstructer.errors import LoginFailed, Misuse, StoreDamaged
from netstructer.services.account_reports import AccountReports
from netstructer.services.audit import Audit
from netstructer.services.audit_reader import AuditReader
from netstructer.services.audit_reports import AuditReports
from netstructer.services.cells import Report, Row
from netstructer.services.ready import USERS
from netstructer.services.store import Store

STORY = (
    ("server.start", "", "", "10.0.0.1:5000", "ok"),
    ("link.open", "ada", "10.0.0.7:4000", "", "ok"),
    ("login", "ada", "10.0.0.7", "", "ok"),
    ("login", "eve\n\x1b[31m", "10.0.0.9", "", "wrong password"),
    ("file.put", "ada", "10.0.0.7", "scan.tiff", "ok"),
    ("file.get", "bob", "10.0.0.8", "=cmd|x", "refused"),
    ("chat.join", "ada", "10.0.0.7", "lobby", "ok"),
    ("ban.add", "root", "", "eve", "ok"),
    ("server.error", "", "", "chat", "ValueError"),
    ("link.open", "bob", "[::1]:4000", "", "ok"),
    ("link.close", "ada", "10.0.0.7:4000", "", "ok"),
)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audit") / "audit.db"
    clock = iter(range(1_785_000_000, 1_785_001_000))
    with Audit(place, anchor=place.parent / "anchors", wall=lambda: float(next(clock))) as audit:
        for action, actor, source, target, result in STORY:
            audit.append(action, actor=actor, source=source, target=target, result=result)
    return place


def run(*arguments: object) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    return result.exit_code, result.stdout, result.stderr


def copied(audit: Path, directory: Path, *statements: str) -> Path:
    for name in ("audit.db", "audit.db.key"):
        (directory / name).write_bytes((audit.parent / name).read_bytes())
    with contextlib.closing(sqlite3.connect(directory / "audit.db")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return directory / "audit.db"


# --- audit ------------------------------------------------------------------------------------------------------------


def test_a_sound_audit_is_said_to_be_so_and_what_an_anchor_is_for(audit: Path) -> None:
    code, out, err = run("audit", "verify", audit)
    _, head, _ = run("audit", "head", audit)
    anchored = run("audit", "verify", audit, "--anchor", audit.parent / "anchors")

    assert (code, out) == (0, f"sound  11 rows\nhead   {head}")
    assert err == "Without --anchor nobody can tell whether rows are missing at the end.\n"
    assert re.fullmatch(r"11:[0-9a-f]{64}\n", head)
    assert anchored == (0, f"sound  11 rows, 1 anchors met\nhead   {head}", "")
    assert run("audit", "verify", audit, "--anchor", head.strip())[0] == 0


def test_a_damaged_audit_names_the_first_row_that_is(audit: Path, tmp_path: Path) -> None:
    head = run("audit", "head", audit)[1].strip()
    place = copied(audit, tmp_path, "UPDATE audit_rows SET target = 'nobody' WHERE n = 8")
    code, out, err = run("audit", "verify", place)
    assert (code, out, err) == (8, "", f"netstructer: {place}: row 8 is not as it was written\n")

    place = copied(audit, tmp_path, "DELETE FROM audit_rows WHERE n > 9")
    assert run("audit", "verify", place)[0] == 0
    code, out, err = run("audit", "verify", place, "--anchor", head, "--json")
    assert (code, json.loads(out)["row"], json.loads(out)["sound"]) == (8, 10, False)
    assert err == f"netstructer: {place}: row 10 is missing with all that follow: an anchor has seen row 11\n"


def test_facts_are_json(audit: Path) -> None:
    code, out, _ = run("audit", "verify", audit, "--json")
    head = json.loads(run("audit", "head", audit, "--json")[1])

    assert code == 0
    assert json.loads(out) == {
        "sound": True, "rows": 11, "head": head["head"], "anchors": 0, "row": None, "fault": None,
    }  # fmt: skip
    assert (head["row"], head["head"]) == (11, f"11:{head['tag']}")


def test_rows_are_shown_on_one_line_each(audit: Path) -> None:
    code, out, err = run("audit", "show", audit)
    lines = out.splitlines()

    assert (code, err, len(lines)) == (0, "", 11)
    assert lines[0] == '1 2026-07-25T17:20:00.000000Z "" "" server.start 10.0.0.1:5000 ok'
    assert lines[3] == '4 2026-07-25T17:20:03.000000Z "eve\\n\\x1b[31m" 10.0.0.9 login "" "wrong password"'


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (["--last", "2"], [10, 11]),
        (["--last", "0"], list(range(1, 12))),
        (["--action", "link"], [2, 10, 11]),
        (["--action", "link", "--last", "1"], [11]),
        (["--actor", "ada", "--action", "login"], [3]),
        (["--since", "2026-07-25T17:20:08+00:00"], [9, 10, 11]),
        (["--since", "2099-01-01"], []),
    ],
)
def test_rows_are_chosen(audit: Path, options: list[str], rows: list[int]) -> None:
    code, out, _ = run("audit", "show", audit, "--json", *options)
    found = [json.loads(line) for line in out.splitlines()]

    assert code == 0
    assert [row["n"] for row in found] == rows
    assert all(re.fullmatch("[0-9a-f]{64}", row["tag"]) for row in found)


@pytest.mark.parametrize("what", ["verify", "show", "head"])
def test_each_says_what_is_wrong_in_a_sentence_and_makes_nothing(tmp_path: Path, audit: Path, what: str) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("hello " * 1000)
    Store(tmp_path / "other.db", (), name="accounts").close()
    missing = run("audit", what, tmp_path / "none.db")
    before = sorted(os.listdir(tmp_path))

    assert missing == (2, "", f"netstructer: {tmp_path}/none.db: No such file or directory\n")
    for name in ("empty.db", "text.db", "other.db"):
        code, out, err = run("audit", what, tmp_path / name)
        assert (code, out, err.count("\n")) == (8, "", 1)
        assert name in err
    assert sorted(os.listdir(tmp_path)) == before


def test_a_key_that_is_missing_is_exit_code_3(audit: Path, tmp_path: Path) -> None:
    place = copied(audit, tmp_path)
    os.rename(f"{place}.key", tmp_path / "elsewhere")

    assert run("audit", "verify", place)[0] == ExitCode.KEY
    assert run("audit", "show", place)[0] == 0
    assert run("audit", "verify", place, "--key-file", tmp_path / "elsewhere")[0] == 0
    assert run("audit", "verify", place, "--key-file", tmp_path / "elsewhere", "--anchor", "1:x")[0] == ExitCode.USAGE


@pytest.mark.parametrize("arguments", [("audit",), ("audit", "verify"), ("audit", "show"), ("audit", "head")])
def test_each_has_help(arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments, "--help")

    assert code == 0
    assert "Exit codes: 0 done" in out
    assert len(arguments) == 1 or "--json" in out


def test_through_a_real_process_while_it_is_written_to(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit.db") as audit:
        audit.append("server.start", target="10.0.0.1:5000")
        with python("-m", "netstructer", "audit", "verify", str(tmp_path / "audit.db"), "--json") as process:
            out, _ = finish(process)
        audit.append("server.stop")

        assert json.loads(out)["rows"] == 1
        assert audit.verify().rows == 2


# --- report -----------------------------------------------------------------------------------------------------------


def reported(audit: Path, kind: str, *more: object) -> list[dict[str, str]]:
    code, out, err = run("report", kind, audit, *more)
    assert (code, err) == (0, "")
    return list(csv.DictReader(io.StringIO(out, newline="")))


def test_an_audit_has_these_reports(audit: Path) -> None:
    connections, transfers, chat = (reported(audit, kind) for kind in ("connections", "transfers", "chat"))

    assert [(row["user"], row["peer"], row["event"]) for row in connections] == [
        ("ada", "10.0.0.7:4000", "open"), ("bob", "[::1]:4000", "open"), ("ada", "10.0.0.7:4000", "close"),
    ]  # fmt: skip
    assert [(row["user"], row["direction"], row["name"], row["result"]) for row in transfers] == [
        ("ada", "in", "scan.tiff", "ok"), ("bob", "out", "'=cmd|x", "refused"),
    ]  # fmt: skip
    assert chat == [{"timestamp": "2026-07-25T17:20:06.000000Z", "client": "ada", "message": "(join lobby)"}]
    assert reported(audit, "starts") == [{"started": "2026-07-25T17:20:00.000000Z", "ip": "10.0.0.1", "port": "5000"}]
    assert len(reported(audit, "audit")) == 11


def test_users_are_counted_from_what_they_did(audit: Path) -> None:
    users = {row["user"]: row for row in reported(audit, "users")}

    assert list(users) == ["ada", "eve\n\\x1b[31m", "bob", "root"]
    assert (users["ada"]["logins"], users["ada"]["actions"], users["ada"]["last_source"]) == ("1", "5", "10.0.0.7")
    assert users["eve\n\\x1b[31m"]["failed_logins"] == "1"


def test_names_that_strangers_type_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.services.audit_reports.MOST_USERS", 2)
    with Audit(tmp_path / "audit.db") as audit:
        for name in ("ada", "bob", "eve", "mallory", "ada"):
            audit.append("login", actor=name, result="wrong password")
        users = AuditReports(audit).report("users").rows

        assert [(row["user"], row["failed_logins"]) for row in users] == [("ada", 2), ("bob", 1), ("(others)", 2)]


def test_the_status_is_told_in_one_row(audit: Path) -> None:
    code, out, _ = run("report", "status", audit, "--json")
    [row] = json.loads(out)["rows"]

    assert code == 0
    assert (row["status"], row["clients"], row["logins"], row["failed_logins"], row["rows"]) == ("running", 1, 1, 1, 11)
    assert row["last_error"] == "2026-07-25T17:20:08.000000Z chat: ValueError"
    assert row["last_login"] == "2026-07-25T17:20:02.000000Z ada"
    assert row["admin_actions"] == ["2026-07-25T17:20:07.000000Z root ban.add eve: ok"]


def test_an_empty_audit_has_reports_too(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit.db"):
        pass
    with AuditReader(tmp_path / "audit.db") as reader:
        reports = AuditReports(reader)
        for kind in reports.kinds:
            assert len(list(reports.report(kind).rows)) == (kind == "status")
        with pytest.raises(Misuse, match="expected a report of an audit: audit, connections"):
            reports.report("sales")


def test_a_report_is_written_where_one_says(audit: Path, tmp_path: Path) -> None:
    code, out, err = run("report", "chat", audit, "--to", f"{tmp_path}/reports/", "--format", "md")
    place = Path(out.strip())
    assert (code, err) == (0, "")
    assert re.fullmatch(r"chat-[0-9]{8}T[0-9]{6}Z\.md", place.name)
    assert "\\(join lobby\\)" in place.read_text()

    assert run("report", "chat", audit, "--to", place) == (
        2, "", f"netstructer: {place} is there already and was left as it was: name another, or --append\n",
    )  # fmt: skip
    code, out, _ = run("report", "chat", audit, "--to", place, "--append", "--json")
    assert json.loads(out) == {"kind": "chat", "path": str(place), "format": "md"}
    assert place.read_text().count("lobby") == 2
    code, out, err = run("report", "starts", audit, "--to", place, "--append")
    assert code == 2
    assert "has the columns timestamp, client, message, found started, ip, port" in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["sales", "{audit}"], 2, "has no report named 'sales'; expected one of: audit, connections, users"),
        (["chat", "{audit}", "--format", "pdf"], 2, "expected --format csv, txt, json, md"),
        (["chat", "{audit}", "--append"], 2, "--append needs --to"),
        (["chat", "{audit}", "--since", "yesterday"], 2, "expected a time as 30m"),
        (["chat", "{tmp}/none"], 2, "No such file"),
        (["chat", "{tmp}/empty"], 8, "is no store of netstructer's"),
        (["chat", "{tmp}/other"], 2, "has no reports; expected one of: audit, accounts"),
    ],
)
def test_what_cannot_be_right_is_said_in_a_sentence(
    audit: Path, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    (tmp_path / "empty").touch()
    Store(tmp_path / "other", (), name="things").close()
    found = run("report", *(argument.format(audit=audit, tmp=tmp_path) for argument in arguments))

    assert found[:2] == (code, "")
    assert text in found[2]
    assert found[2].count("\n") == 1


def test_accounts_have_a_report_of_their_users_and_what_is_counted(tmp_path: Path) -> None:
    with contextlib.closing(open_accounts(tmp_path, wall=lambda: 1_785_000_000.0)) as accounts:
        accounts.create("ada", PASSWORD, roles=["client"])
        accounts.create("bob", None)
        accounts.increment("ada", "messages", 3)
        accounts.login("ada", PASSWORD, "10.0.0.7")
        with pytest.raises(LoginFailed):
            accounts.login("ada", "wrong horse", "10.0.0.8")
        young = AccountReports(accounts).report("users", since=1_785_000_001.0)
        with pytest.raises(Misuse, match="expected a report of accounts: users"):
            AccountReports(accounts).report("chat")
    code, out, err = run("report", "users", tmp_path / "accounts.db")

    assert (code, err, list(young.rows)) == (0, "", [])
    assert list(csv.reader(io.StringIO(out))) == [
        [*USERS, "messages"],
        ["ada", "active", "client", "2026-07-25T17:20:00.000Z", "2026-07-25T17:20:00.000Z", "1", "1", "3"],
        ["bob", "active", "client", "2026-07-25T17:20:00.000Z", "", "0", "0", ""],
    ]


def test_another_kind_of_store_is_another_row_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Things:
        kinds: tuple[str, ...] = ("things",)

        def report(self, kind: str, *, since: float | None = None) -> Report:
            rows: list[Row] = [{"thing": 1, "since": since}]
            return Report(kind, ("thing", "since"), rows)

    @contextlib.contextmanager
    def opened(path: str) -> Iterator[Things]:
        yield Things()

    monkeypatch.setitem(OPENERS, "things", opened)
    Store(tmp_path / "things.db", (), name="things").close()

    assert run("report", "things", tmp_path / "things.db") == (
        0,
        "thing,since\n1,\n",
        "",
    )  # the runner has changed the ends
    with pytest.raises(StoreDamaged), source_at(__file__):
        pass


def test_times_are_read_as_people_type_them() -> None:
    now = time.time()

    assert moment_of(None) is None
    assert abs(now - 7 * 86_400 - (moment_of("7d") or 0)) < 60
    assert moment_of("1970-01-02T00:00:00+00:00") == 86_400
    for wrong in ("", "7", "d", "7y", "-1d", "2026-13-01", "now", "9" * 10 + "d"):
        with pytest.raises(Misuse, match="expected a time"):
            moment_of(wrong)
