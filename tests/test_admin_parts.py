"""The parts of the administration: logs, backups, settings, what the watch does, what is measured, notices."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_support import STEPS, WORD, Clock, House, call, house
from loopback import KEY, PATIENCE_SECONDS, Relay, eventually
from netstructer import Link, Server, aio
from netstructer.errors import LinkClosed, Misuse, NetstructerError, RemoteError, UnsafeName
from netstructer.services.accounts import REGISTRATIONS
from netstructer.services.admin import Admin, Setting
from netstructer.services.admin.backups import SCHEDULES
from netstructer.services.admin.leaving import LOGIN_SECONDS
from netstructer.services.admin.meter import Meter
from netstructer.services.admin.tail import LINE_CHARACTERS, TAIL_BYTES, tail
from netstructer.services.audit import Audit
from netstructer.services.audit_reader import AuditReader
from netstructer.services.audit_reports import AuditReports
from netstructer.services.audited import account_note, link_note
from netstructer.services.configuration import SECTIONS, Option, load
from netstructer.services.notices import Notice, notice_in
from netstructer.services.store import Store


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as found:
        yield found


# --- logs -------------------------------------------------------------------------------------------------------------


def test_the_tail_of_a_log_is_bounded_and_steers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100 + b"\n" + b"one\ttwo\n\x1b[2Jthree\xff\r\nlast")

    assert tail(str(path), 3) == ["one  two", "\\x1b[2Jthree\\xff", "last"]
    path.write_bytes(b"a" * (2 * TAIL_BYTES) + b"\n" + b"b" * 5_000 + b"\n")
    assert [len(line) for line in tail(str(path), 1_000)] == [LINE_CHARACTERS]
    path.write_bytes(b"")
    assert tail(str(path), 10) == []


def test_logs_are_cleared_with_their_rolled_files_and_written_on(there: House) -> None:
    directory = there.directory / "logs"
    for number in (1, 2):
        directory.joinpath(f"server.log.{number}").write_text("old\n")
    directory.joinpath("server.log.9").write_text("somebody else's\n")

    assert [row["log"] for row in there.admin.list_logs()][:3] == ["server.log", "server.log.1", "server.log.2"]
    there.admin.clear_log()
    logging.getLogger("netstructer").warning("afterwards")
    assert sorted(path.name for path in directory.iterdir()) == ["error.log", "server.log", "server.log.9"]
    assert directory.joinpath("server.log").read_text().endswith("afterwards\n")
    assert directory.joinpath("server.log").read_text().count("\n") == 1
    for name in ("../server.log", "server.log.1", str(directory / "server.log"), "error.log\x00"):
        with pytest.raises(Misuse):
            there.admin.view_log(name)
    with pytest.raises(Misuse, match="from 1 to"):
        there.admin.view_log(lines=1_000_000)


def test_the_last_error_is_remembered_by_its_first_line(there: House) -> None:
    logging.getLogger("netstructer").error("it failed %s\nTraceback", "\x1b[31m")
    assert there.admin.status()["last_error"] == "it failed \\x1b[31m"
    there.admin._office.errors.emit(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    status = there.admin.status()

    assert (status["errors"], status["last_error"]) == (2, "%d")
    there.admin.close()
    assert there.admin._office.errors not in logging.getLogger("netstructer").handlers


# --- backups ----------------------------------------------------------------------------------------------------------


def test_backups_stay_in_their_directory(there: House) -> None:
    there.admin.make_backup("shop", name="one")
    outside = there.directory / "shop-outside.db"
    outside.write_bytes(b"")
    backups = there.directory / "backups"
    os.symlink(outside, backups / "shop-link.db")
    os.mkdir(backups / "shop-directory.db")
    backups.joinpath("unknown-one.db").write_bytes(b"")

    assert [row["backup"] for row in there.admin.list_backups()] == ["shop-one.db"]
    for name in ("../shop-outside.db", "shop-link.db", "shop-directory.db", "unknown-one.db", SCHEDULES, "shop-two.db"):
        for verb in (there.admin.restore_backup, there.admin.remove_backup):
            with pytest.raises((Misuse, UnsafeName)):
                verb(name)
    for name in ("../x", "a/b", "a\\b", "", ".", "x" * 200, "é", "a\n"):
        with pytest.raises((Misuse, UnsafeName)):
            there.admin.make_backup("shop", name=name) if name else there.admin.make_backup("", name="x")
    with pytest.raises(FileExistsError):
        there.admin.make_backup("shop", name="one")
    assert outside.exists()
    assert oct(backups.stat().st_mode & 0o777) == "0o700"


def test_a_name_never_makes_a_backup_look_like_another_stores(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "one.db", STEPS, name="shop") as one,
        Store(tmp_path / "two.db", STEPS, name="shop") as two,
        Admin(stores={"shop": one, "shop-eu": two}, backups=tmp_path / "b") as admin,
    ):
        with pytest.raises(Misuse, match="another store"):
            admin.make_backup("shop", name="eu-monday")
        assert admin.make_backup("shop-eu", name="monday")["backup"] == "shop-eu-monday.db"
        assert [row["store"] for row in admin.list_backups()] == ["shop-eu"]


def test_a_backup_of_another_kind_or_a_broken_one_changes_nothing(there: House) -> None:
    there.admin.make_backup("shop", name="one")
    backups = there.directory / "backups"
    os.rename(backups / "shop-one.db", backups / "accounts-one.db")
    backups.joinpath("shop-broken.db").write_bytes(b"no database" * 1000)
    before = there.accounts.list()

    for name in ("accounts-one.db", "shop-broken.db"):
        with pytest.raises(NetstructerError):
            there.admin.restore_backup(name)
    assert there.accounts.list() == before


def test_restored_accounts_have_to_log_in_again(there: House) -> None:
    link = there.link("anna")
    backup = call(link, "backups.make", "accounts")["backup"]
    call(link, "users.add", "dora")
    call(link, "backups.restore", backup)

    assert "dora" not in there.accounts
    with pytest.raises(NetstructerError):
        call(link, "status")
    again = there.link("anna")
    assert call(again, "status")["accounts"] == 3


def test_an_audit_is_backed_up_and_never_put_back(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit.db") as audit, Admin(stores={"audit": audit}, backups=tmp_path / "b") as admin:
        audit.append("login", actor="ada")
        backup = admin.make_backup("audit")["backup"]
        audit.append("login", actor="bob")
        with pytest.raises(Misuse, match="only ever added to"):
            admin.restore_backup(backup)
        with AuditReader(tmp_path / "b" / backup, key_file=audit.key_path) as copy:
            assert (copy.head().row, copy.verify().sound) == (1, True)


def test_what_happens_is_told_to_an_audit_in_the_words_of_its_reports(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit.db") as audit, house(tmp_path / "there", note=audit.note) as there:
        there.accounts.observe(account_note(audit))
        there.server.observers.add(link_note(audit))
        with there.link("anna") as link:
            call(link, "users.ban", "bert", reason="spam")
            with pytest.raises(RemoteError):
                link.call("accounts.login", "bert", "wrong", timeout=PATIENCE_SECONDS)
        eventually(lambda: audit.last(1)[0].action == "link.close", "the link's end")
        rows = [(row.actor, row.action, row.target, row.result) for row in audit.rows()]
        link_id = link.id
        assert rows == [
            ("", "link.open", link_id, "ok"),
            ("anna", "login", "anna", "ok"),
            ("anna", "account.status", "bert banned", "ok"),
            ("anna", "admin.users.ban", "bert", "ok"),
            ("bert", "login", "bert", "wrong password"),
            ("", "link.close", link_id, "ok"),
        ]
        status = next(iter(AuditReports(audit).report("status").rows))
        assert (status["logins"], status["failed_logins"], len(status["admin_actions"])) == (1, 1, 2)
        assert audit.verify().sound


def test_a_schedule_makes_backups_keeps_some_and_outlives_the_server(tmp_path: Path) -> None:
    wall = Clock(1_800_000_000.0)
    with Store(tmp_path / "shop.db", STEPS, name="shop") as store:
        options: dict[str, Any] = {"stores": {"shop": store}, "backups": tmp_path / "backups", "wall": wall}
        with Admin(**options) as admin:
            admin.make_backup("shop", name="mine")
            admin.schedule_backups("shop", 3600, keep=2)
            for _ in range(4):
                admin._watch.tick()
                wall.now += 1800
        with Admin(**options) as admin:
            assert [row["keep"] for row in admin.list_schedules()] == [2]
            admin._watch.tick()
            wall.now += 3600
            admin._watch.tick()
            made = [row["backup"] for row in admin.list_backups()]
            assert [name for name in made if "auto" not in name] == ["shop-mine.db"]
            assert sorted(name for name in made if "auto" in name) == [
                "shop-20270115T100000Z-auto.db",
                "shop-20270115T110000Z-auto.db",
            ]
            assert [row["result"] for row in admin.history(50) if row["actor"] == "schedule"] == ["ok", "ok"]
        tmp_path.joinpath("backups", SCHEDULES).write_text('[{"store": "shop"}]')
        with Admin(**options) as admin:
            assert admin.list_schedules() == []


def test_a_schedule_that_fails_is_logged_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def backup(self, path: str) -> None:
            raise OSError(28, "No space left on device")

    wall = Clock(1_800_000_000.0)
    with Admin(stores={"shop": Broken()}, backups=tmp_path / "b", wall=wall) as admin:
        admin.schedule_backups("shop", 60)
        for _ in range(2):
            admin._watch.tick()
            wall.now += 60
        assert [row["result"] for row in admin.history(50) if row["actor"] == "schedule"] == ["OSError", "OSError"]
        tmp_path.joinpath("b", "shop-one.db").write_bytes(b"")
        with pytest.raises(Misuse, match="only ever added to"):
            admin.restore_backup("shop-one.db")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "= the backup of shop failed: OSError"
    ] * 2


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_checked_by_their_options_and_change_what_runs(there: House) -> None:
    admin = there.admin
    assert admin.set_config("logs.level", "error")["value"] == "error"
    assert there.logs.level == "error"
    assert admin.set_config("accounts.registration", "open")["value"] == "open"
    assert there.accounts.registration == "open"
    assert admin.set_config("admin.maintenance", "at noon")["value"] == "at noon"
    assert admin.maintain()["maintenance"] == "on"
    assert admin.set_config("admin.maintenance", "")["value"] is None
    assert admin.maintain()["maintenance"] == "off"
    for name, value in (
        ("server.max_links", "0"),
        ("server.max_links", True),
        ("server.max_links", ""),
        ("logs.level", "loud"),
        ("server.port", 5000),
        ("accounts.registration", None),
        ("admin.greeting", ["a"]),
    ):
        with pytest.raises(Misuse):
            admin.set_config(name, value)


def test_who_may_register_is_said_in_the_same_words_by_options_and_accounts() -> None:
    assert SECTIONS.options["accounts.registration"].choices == REGISTRATIONS


def test_an_application_has_settings_of_its_own_and_the_whole_configuration_is_shown(tmp_path: Path) -> None:
    kept = {"price": 3}
    file = tmp_path / "server.toml"
    file.write_text("[server]\nmax_links = 50\nport = 0\n")
    option = Option(name="price", kind="whole", least=1, most=9, help="What it costs.")
    setting = Setting(
        section="shop", option=option, read=lambda: kept["price"], write=lambda value: kept.update(price=value)
    )
    configuration = load(str(file), environ={})
    with Server(key=KEY) as server, Admin(server, settings=[setting], configuration=configuration) as admin:
        assert admin.set_config("shop.price", "7")["value"] == 7
        assert kept == {"price": 7}
        rows = {row["option"]: row for row in admin.get_config()}
        assert (rows["server.port"]["live"], rows["server.max_links"]["live"]) == (False, True)
        assert "server.toml" in rows["server.port"]["from"]
        with pytest.raises(Misuse, match=r"did you mean server.port\?"):
            admin.get_config("server.prot")


# --- what is done as links come ---------------------------------------------------------------------------------------


def test_new_links_are_greeted(tmp_path: Path) -> None:
    with house(tmp_path, greeting="welcome") as there:
        link = there.link()
        notice = notice_in(link.recv(timeout=PATIENCE_SECONDS))
        assert notice is not None
        assert (notice.kind, notice.text, notice.sender) == ("greeting", "welcome", "")


def test_in_maintenance_who_does_not_sign_in_as_an_admin_in_time_is_put_out(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    with house(tmp_path, clock=clock) as there:
        early = there.link("cleo")
        there.admin.maintain("on", reason="at noon")
        links = {name: there.link(name) for name in ("anna", "bert")}
        links["nobody"] = there.link()
        for link in links.values():
            assert getattr(notice_in(link.recv(timeout=PATIENCE_SECONDS)), "kind", "") == "maintenance"
        clock.now += LOGIN_SECONDS - 1
        there.admin._watch.tick()
        assert len(there.server) == 4
        clock.now += 1
        there.admin._watch.tick()

        for name in ("bert", "nobody"):
            assert getattr(notice_in(links[name].recv(timeout=PATIENCE_SECONDS)), "kind", "") == "disconnect"
            with pytest.raises(LinkClosed):
                links[name].recv(timeout=PATIENCE_SECONDS)
        assert call(links["anna"], "status")["status"] == "maintenance"
        assert early.ping() > 0
        assert call(links["anna"], "drain", seconds=1)["closed"] == 1
        assert list(early)
        there.admin.maintain("off")
        assert there.link("bert").ping() > 0


# --- what is measured -------------------------------------------------------------------------------------------------


class Traffic:
    def __init__(self, sent: int, received: int) -> None:
        self.wire_sent, self.wire_received = sent, received

    @property
    def stats(self) -> Traffic:
        return self


def test_rates_are_over_the_last_minute_and_links_that_ended_count() -> None:
    clock, cpu = Clock(0.0), Clock(0.0)
    meter, link = Meter(clock, cpu), Traffic(0, 0)

    assert set(meter.rates([link]).values()) == {0.0}
    for _ in range(40):
        meter.sample([link])
        clock.now += 5
        link.wire_sent += 500
        cpu.now += 0.5
    assert meter.rates([link]) == {
        "sent_bytes_per_second": 100.0,
        "received_bytes_per_second": 0.0,
        "cpu_percent": 10.0,
    }
    assert meter.sample([link])
    assert not meter.sample([link])
    meter.ended(link.wire_sent, link.wire_received)
    assert meter.moved([]) == (20_000, 0)
    assert meter.rates([])["sent_bytes_per_second"] > 0


def test_links_that_end_are_counted_by_the_observers(there: House) -> None:
    link = there.link()
    link.send("x" * 1000)
    far = there.server.accept(timeout=PATIENCE_SECONDS)
    far.recv(timeout=PATIENCE_SECONDS)
    moved = far.stats.wire_received
    link.close()
    far.close()

    eventually(lambda: there.admin.usage()["received_bytes"] >= moved)


# --- notices ----------------------------------------------------------------------------------------------------------


def test_a_notice_is_told_from_every_other_value() -> None:
    notice = Notice(kind="message", text="hello\x1b", sender="ada", at=5.0)

    assert notice_in(notice.value()) == notice
    assert str(notice) == "message from ada: hello\\x1b"
    for name, wrong in {"kind": "other", "text": 5, "from": None, "at": float("nan"), "netstructer": "x"}.items():
        assert notice_in(notice.value() | {name: wrong}) is None
    assert notice_in(notice.value() | {"more": 1}) is None
    with pytest.raises(Misuse):
        Notice(kind="message", text="", at=0).value()


@given(st.one_of(st.none(), st.integers(), st.dictionaries(st.text(), st.integers()), st.lists(st.text())))
def test_other_values_are_no_notices(value: object) -> None:
    assert notice_in(value) is None


# --- asyncio ----------------------------------------------------------------------------------------------------------


def test_a_server_of_asyncio_is_administered_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with aio.Server(key=KEY) as server:
            server.actions.permit(lambda context, permission: True)
            with Admin(server, greeting="welcome") as admin:
                async with aio.connect(server.address, key=KEY) as link:
                    value = await link.recv(timeout=PATIENCE_SECONDS)
                    assert getattr(notice_in(value), "kind", "") == "greeting"
                    status = await link.call("admin.status", timeout=PATIENCE_SECONDS)
                    assert (status["links"], status["status"]) == (1, "running")
                    await link.call("admin.links.ping-all", timeout=PATIENCE_SECONDS)
                    assert (await asyncio.to_thread(admin.message_all, "hello"))["sent"] == 1
                    assert getattr(notice_in(await link.recv(timeout=PATIENCE_SECONDS)), "text", "") == "hello"
                    await link.call("admin.shutdown", seconds=1, timeout=PATIENCE_SECONDS)
                    told = [notice_in(value) async for value in link]
                    assert [notice.kind for notice in told if notice] == ["shutdown"]
                assert admin.leaving == "shutdown"

    asyncio.run(run())


def test_json_of_what_is_exported_is_read_again(there: House) -> None:
    there.admin.set_quota("bert", "messages", 5, seconds=60)
    there.admin.ban_user("bert", reason="spam", seconds=3600)
    rows = [json.loads(json.dumps(row)) for row in there.admin.export_users()]
    with house(there.directory / "other") as other:
        for name in ("bert", "cleo"):
            other.admin.remove_user(name)
        results = {row["user"]: row["result"] for row in other.admin.import_users(rows)}
        assert results == {"anna": "there already", "bert": "made", "cleo": "made"}
        account = other.accounts.get("bert")
        assert (account.status, account.reason, account.has_password) == ("banned", "spam", False)
        assert abs(float(account.until or 0) - float(there.accounts.get("bert").until or 0)) < PATIENCE_SECONDS
        assert other.accounts.quotas("bert")["messages"].quota.most == 5
        assert WORD not in json.dumps(rows)


def test_rows_that_are_no_accounts_are_told_one_by_one(there: House) -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"user": "x", "phc": "$argon2id$"},
        {"user": 5},
        {"user": "x", "status": "king"},
        {"user": "x", "roles": "admin"},
        {"user": "x", "roles": ["nobodys"]},
        {"user": "x", "until": "soon"},
        {"user": "x", "quotas": {"a": [1]}},
        {"user": "x", "statistics": {"a": "b"}},
        {"user": "a\u202eb"},
        {"user": "fine"},
    ]
    results = [row["result"] for row in there.admin.import_users(rows)]

    assert results[-1] == "made"
    assert [result.partition(":")[0] for result in results[:-1]] == [
        *["Misuse"] * 5,
        "UnknownAccount",
        *["Misuse"] * 3,
        "InvalidName",
    ]


def test_a_link_outlives_a_maintenance() -> None:
    with (
        Server(key={"ann": KEY}) as server,
        Admin(server) as admin,
        Relay(server.address) as relay,
        Link(relay.address, key=KEY) as link,
    ):
        admin.maintain("on")
        far = server.accept(timeout=PATIENCE_SECONDS)
        relay.cut()
        eventually(lambda: link.stats.resumes)
        link.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"
