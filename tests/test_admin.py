"""The administration: each verb in Python, over a link and as a command line, and by whom it is refused."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin_support import STEPS, WORD, House, call, house
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Key, Link, Server
from netstructer.errors import BadArguments, LinkClosed, LinkLost, Misuse, NetstructerError, NotPermitted, RemoteError
from netstructer.services.admin import TABLE, Admin
from netstructer.services.admin.kinds import Rows, Secret
from netstructer.services.notices import notice_in
from netstructer.services.store import Store

Do = Callable[..., Any]
THERE = "203.0.113.7"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as found:
        yield found


def by_methods(there: House) -> Do:
    methods = {method.verb.name: method for method in vars(Admin).values() if hasattr(method, "verb")}
    for base in Admin.__mro__:
        methods |= {method.verb.name: method for method in vars(base).values() if hasattr(method, "verb")}

    def do(name: str, /, *positional: Any, **named: Any) -> Any:
        found = methods[name](there.admin, *positional, **named)
        return list(found) if inspect.isgenerator(found) else found

    return do


def over_a_link(there: House) -> Do:
    link = there.link("anna")

    def do(name: str, /, *positional: Any, **named: Any) -> Any:
        if TABLE[name].here_only:
            with pytest.raises(RemoteError):
                call(link, name, *positional, **named)
            return there.admin.call(name, *positional, **named)
        return call(link, name, *positional, **named)

    return do


def by_command_lines(there: House) -> Do:
    def do(name: str, /, *positional: Any, **named: Any) -> Any:
        verb = TABLE[name]
        if any(isinstance(one.kind, Rows | Secret) for one in verb.parameters):
            return there.admin.call(name, *positional, **named)
        words = [verb.words]
        for word in positional:
            words += [f"'{text}'" for text in (word if isinstance(word, list) else [word])]
        for option, value in named.items():
            spelled = f"--{option.replace('_', '-')}"
            words += [spelled] if value is True else [f"{spelled}='{one}'" for one in _listed(value)]
        found = there.admin.obey(" ".join(words))
        return list(found) if inspect.isgenerator(found) else found

    return do


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tour(there: House, do: Do) -> None:
    """Do everything that can be done, each in a way that shows what it did."""
    tour_of_the_server(there, do)
    tour_of_links(there, do)
    tour_of_users(there, do)
    tour_of_rights(there, do)
    tour_of_bans(there, do)
    tour_of_files(there, do)
    tour_of_leaving(there, do)


def tour_of_the_server(there: House, do: Do) -> None:
    status = do("status")
    assert (status["status"], status["accounts"], status["last_error"]) == ("running", 3, None)
    assert status["address"] == str(there.server.address)
    assert 0 <= do("uptime")["uptime_seconds"] < PATIENCE_SECONDS
    usage = do("usage")
    assert min(usage[name] for name in ("cpu_seconds", "memory_bytes", "descriptors", "threads")) > 0
    details = do("details")
    assert (details["ip"], details["port"]) == there.server.address
    assert do("strangers")["key_refused"] == 0
    looked = {row["what"]: row["state"] for row in do("diagnostics")}
    assert (looked["store accounts"], looked["store shop"], looked["logs"]) == ("ok", "ok", "ok")
    assert do("network")[0]["state"] == "ok"
    assert "netstructer-admin" in [row["name"] for row in do("threads")]
    listed = {row["name"]: row for row in do("actions")}
    assert listed["admin.users.export"] == {
        "name": "admin.users.export",
        "permission": "admin.users.export",
        "streams": True,
    }
    assert [row["action"] for row in do("history", 2)] == ["admin.threads", "admin.actions"]


def tour_of_links(there: House, do: Do) -> None:
    link, others = there.link("bert"), len(there.server)
    far = there.server.get(id=link.id)
    assert far is not None
    there.server.groups.join(far, "room")
    assert do("groups") == [{"group": "room", "links": 1}]
    (row,) = do("links.list", user="bert")
    assert (row["link"], row["user"], row["suspended"]) == (link.id, "bert", False)
    assert len(do("links.list", ip="127.0.0.1")) == others
    shown = do("links.show", link.id[:8])
    assert (shown["groups"], shown["fingerprint"]) == (["room"], KEY.fingerprint)
    assert abs(shown["since"] - time.time()) < PATIENCE_SECONDS
    assert do("links.ping", link.id)["seconds"] > 0
    assert {row["error"] for row in do("links.ping-all")} == {""}
    assert do("links.call", link.id, "double", 21 if do.__qualname__.startswith("over") else "21") in (
        {"result": 42},
        {"result": "2121"},
    )
    assert do("message.all", "to all")["sent"] == others
    assert do("message.user", "bert", "to bert") == {"sent": 1}
    assert do("message.group", "room", "to the room") == {"sent": 1}
    assert do("message.link", link.id, "to you") == {"sent": 1}
    notices = [notice_in(link.recv(timeout=PATIENCE_SECONDS)) for _ in range(4)]
    assert [notice.text for notice in notices if notice] == ["to all", "to bert", "to the room", "to you"]
    assert do("links.disconnect", link.id, reason="enough")["closed"] == 1
    assert [str(notice_in(value)).partition(": ")[2] for value in link] == ["enough"]
    cleo = there.link("cleo")
    assert do("links.disconnect-user", "cleo") == {"closed": 1}
    assert list(cleo) == []


def tour_of_users(there: House, do: Do) -> None:
    with pytest.raises(NetstructerError, match="an admin already"):
        do("users.first-admin", "root", WORD)
    assert [row["user"] for row in do("users.list")] == ["anna", "bert", "cleo"]
    assert [row["user"] for row in do("users.list", "admins")] == ["anna"]
    made = do("users.add", "Dora", role=["client"])
    assert there.accounts.login("dora", made["password"]).must_change
    assert "password" not in do("users.add", "robot", by_key=True)
    again = do("users.reset", "dora")["password"]
    assert again != made["password"]
    assert do("users.unlock", "dora")["status"] == "active"
    assert do("users.unlock-source", THERE) == {"unlocked": False}
    assert do("users.ban", "dora", reason="spam", seconds=3600)["status"] == "banned"
    assert [row["reason"] for row in do("users.list", "banned")] == ["spam"]
    assert do("users.unban", "dora")["status"] == "active"
    assert do("users.block", "dora")["status"] == "blocked"
    assert do("users.unblock", "dora")["status"] == "active"
    there.accounts.set_status("robot", "waiting")
    assert do("users.reject", "robot", reason="no")["status"] == "rejected"
    assert do("users.approve", "robot")["status"] == "active"
    assert do("users.quota", "dora", "messages", 60, seconds=3600)["most"] == 60
    there.accounts.increment("dora", "messages", 7)
    (row,) = do("users.statistics", "dora")
    assert row["messages"] == 7
    assert {row["user"] for row in do("users.statistics")} == {"anna", "bert", "cleo", "dora", "robot"}
    shown = do("users.show", "dora")
    assert shown["quotas"][0]["most"] == 60
    assert shown["statistics"]["messages"] == 7
    rows = do("users.export")
    assert [row["user"] for row in rows] == ["anna", "bert", "cleo", "Dora", "robot"]
    assert WORD not in str(rows)
    assert do("users.remove", "dora")["user"] == "Dora"
    results = {row["user"]: row["result"] for row in do("users.import", rows)}
    assert (results["Dora"], results["anna"]) == ("made", "there already")
    assert there.accounts.statistics("dora")["messages"] == 7
    assert there.accounts.quotas("dora")["messages"].quota.seconds == 3600


def tour_of_rights(there: House, do: Do) -> None:
    assert do("roles.define", "helper", ["admin.links.*", "admin.status"])["role"] == "helper"
    assert do("users.grant", "bert", "helper")["roles"] == ["client", "helper"]
    assert {row["role"]: row["accounts"] for row in do("roles.list")}["helper"] == 1
    assert do("users.revoke", "bert", "helper")["roles"] == ["client"]
    assert do("roles.remove", "helper") == {"removed": "helper"}
    assert do("users.promote", "bert")["roles"] == ["admin", "client"]
    assert do("users.demote", "bert")["roles"] == ["client"]
    do("users.allow", "bert", "admin.status")
    assert do("users.show", "bert")["own_permissions"] == ["admin.status"]
    do("users.disallow", "bert", "admin.status")
    key = Key.generate()
    assert do("users.bind", "bert", "key", key.fingerprint)["keys"] == [f"key {key.fingerprint}"]
    assert do("users.unbind", "bert", "key", key.fingerprint)["keys"] == []
    code = do("invitations.add", role=["client"], seconds=600)["code"]
    assert len(code) == 29
    (row,) = do("invitations.list")
    assert (row["roles"], row["number"]) == (["client"], 1)
    assert do("invitations.remove", 1) == {"removed": 1}


def tour_of_bans(there: House, do: Do) -> None:
    added = do("bans.add", "network", THERE, reason="scans", seconds=60)
    assert (added["what"], added["whom"], added["reason"]) == ("network", f"{THERE}/32", "scans")
    assert [row["whom"] for row in do("bans.list")] == [f"{THERE}/32"]
    assert do("bans.remove", "network", THERE) == {"removed": 1}
    spare = Key.generate()
    there.server.keys.add(spare, announce=False)
    assert [row["fingerprint"] for row in do("keys.list")] == [KEY.fingerprint, spare.fingerprint]
    assert do("keys.retire", spare.fingerprint) == {"retired": 1}


def tour_of_files(there: House, do: Do) -> None:
    assert [row["log"] for row in do("logs.list")] == ["server.log", "error.log"]
    assert "\tINFO\t" in there.directory.joinpath("logs", "server.log").read_text()
    assert "INFO" in do("logs.view", "server.log", lines=5)[-1]
    assert do("logs.clear", "server.log")["freed_bytes"] > 0
    assert {row["option"] for row in do("config.get")} >= {"server.max_links", "logs.level", "accounts.registration"}
    assert do("config.set", "server.max_links", "77")["value"] == 77
    assert do("config.get", "server.max_links") == [
        {"option": "server.max_links", "value": 77, "live": True, "from": "now"}
    ]
    assert there.server.max_links == 77
    with there.store.writing() as db:
        db.execute("INSERT INTO goods VALUES ('tea')")
    backup = do("backups.make", "shop", name="before")["backup"]
    assert backup == "shop-before.db"
    with there.store.writing() as db:
        db.execute("DELETE FROM goods")
    assert do("backups.restore", backup) == {"restored": backup, "store": "shop"}
    with there.store.reading() as db:
        assert db.execute("SELECT name FROM goods").fetchall() == [("tea",)]
    do("backups.schedule", "shop", 3600, keep=2)
    assert [row["keep"] for row in do("backups.schedules")] == [2]
    assert do("backups.unschedule", "shop") == {"removed": "shop"}
    assert backup in [row["backup"] for row in do("backups.list")]
    do("backups.remove", backup)
    assert backup not in [row["backup"] for row in do("backups.list")]


def tour_of_leaving(there: House, do: Do) -> None:
    assert do("maintenance") == {"maintenance": "off", "reason": ""}
    assert do("maintenance", "on", reason="at noon")["reason"] == "at noon"
    assert do("status")["status"] == "maintenance"
    link = there.link("bert")
    assert do("drain", reason="now", seconds=1)["closed"] >= 1
    told = [notice for notice in map(notice_in, link) if notice]
    assert [(notice.kind, notice.text) for notice in told] == [("maintenance", "at noon"), ("maintenance", "now")]
    assert do("maintenance", "off")["maintenance"] == "off"
    assert do("restart", seconds=1)["seconds"] == 1
    with pytest.raises(NetstructerError, match="leaves already"):
        do("shutdown")
    eventually(lambda: there.left)
    assert there.left == [("restart", 1.0)]
    assert (there.admin.leaving, there.admin.exit_code) == ("restart", 75)


@pytest.mark.parametrize("way", [by_methods, over_a_link, by_command_lines])
def test_everything_can_be_done(there: House, way: Callable[[House], Do]) -> None:
    do, done = way(there), set()

    def doing(name: str, /, *positional: Any, **named: Any) -> Any:
        done.add(name)
        return do(name, *positional, **named)

    doing.__qualname__ = do.__qualname__
    tour(there, doing)

    assert set(TABLE) - done == {"links.disconnect-all"}
    assert {action.removeprefix("admin.") for _, _, action, _, _ in there.noted} == done
    who = {(actor, source) for actor, source, _, _, _ in there.noted}
    assert who <= {("anna", "127.0.0.1"), ("program", "")}


# --- who may ----------------------------------------------------------------------------------------------------------


def asked(link: Link, verb: str, /, *positional: Any, **named: Any) -> NetstructerError:
    """Return the error with which a verb ends."""
    with pytest.raises(NetstructerError) as caught:
        call(link, verb, *positional, **named)
    return caught.value


@pytest.mark.parametrize("who", [None, "bert"])
def test_each_verb_is_refused_without_its_permission(there: House, who: str | None) -> None:
    link = there.link(who)
    verbs = [verb for verb in TABLE.values() if not verb.here_only]

    for verb in verbs:
        for positional in ((), ("x",) * 9):
            error = asked(link, verb.name, *positional)
            assert isinstance(error, NotPermitted), verb.name
            assert verb.action in str(error)

    assert asked(link, "users.first-admin", "bert", WORD).__class__.__name__ == "UnknownAction"
    noted = list(there.noted)
    assert [row[2] for row in noted] == [verb.action for verb in verbs for _ in range(2)][:60]
    assert {row[4] for row in noted} == {"not permitted"}
    assert {row[0] for row in noted} == ({"bert"} if who else {f"key {KEY.fingerprint}"})
    assert there.admin.status()["refused"] == 2 * len(verbs), "of many in a minute not all are noted"


def test_a_role_may_have_some_verbs(there: House) -> None:
    there.accounts.define_role("watchman", ["admin.links.*", "admin.status"])
    there.accounts.grant("bert", "watchman")
    link = there.link("bert")

    assert call(link, "status")["status"] == "running"
    assert len(call(link, "links.list")) == 1
    assert isinstance(asked(link, "users.list"), NotPermitted)
    there.accounts.revoke("bert", "watchman")
    assert isinstance(asked(link, "status"), NotPermitted)


def test_nobody_gives_takes_or_touches_more_than_he_has(there: House) -> None:
    accounts = there.accounts
    accounts.define_role("clerk", ["admin.users.*", "admin.roles.*", "admin.invitations.*"])
    accounts.define_role("reader", ["admin.users.list"])
    accounts.create("dora", WORD, roles=("clerk", "client"))
    accounts.create("eve", WORD, roles=("reader",))
    key = Key.generate().fingerprint
    link = there.link("dora")
    before = [accounts.get(name) for name in ("anna", "bert", "dora", "eve")]
    tries: list[tuple[Any, ...]] = [
        ("users.promote", "dora"),
        ("users.promote", "bert"),
        ("users.grant", "dora", "admin"),
        ("users.allow", "dora", "*"),
        ("users.allow", "dora", "admin.*"),
        ("users.allow", "dora", "admin.shutdown"),
        ("roles.define", "clerk", ["*"]),
        ("roles.define", "mine", ["admin.config.set"]),
        ("roles.define", "mine", ["admin.*"]),
        ("roles.remove", "admin"),
        *[(f"users.{what}", "anna") for what in ("reset", "ban", "block", "remove", "demote", "unlock", "reject")],
        ("users.revoke", "anna", "admin"),
        ("users.quota", "anna", "messages", 0),
        ("users.bind", "anna", "key", key),
    ]

    for verb, *arguments in tries:
        assert isinstance(asked(link, verb, *arguments), NotPermitted), (verb, arguments)
    assert isinstance(asked(link, "users.add", "mallory", role=["admin"]), NotPermitted)
    assert isinstance(asked(link, "invitations.add", role=["admin"]), NotPermitted)
    (row,) = call(link, "users.import", [{"user": "mallory", "roles": ["admin"]}])
    assert row["result"].startswith("NotPermitted")
    assert call(link, "users.import", [{"user": "mallory", "permissions": ["*"]}])[0]["result"].startswith("NotP")
    assert [accounts.get(account.name) for account in before] == before
    assert "mallory" not in accounts
    assert call(link, "users.grant", "bert", "reader")["roles"] == ["client", "reader"], "what he has he gives"
    assert call(link, "users.reset", "eve")["password"]


def test_keys_can_decide_who_administers(tmp_path: Path) -> None:
    root, guest = Key.generate(), Key.generate()
    with Server(key={"root": root, "guest": guest}) as server, Admin(server) as admin:
        server.actions.permit(lambda context, permission: context.user == "root")
        with Link(server.address, key=root) as one, Link(server.address, key=guest) as other:
            assert [row["user"] for row in call(one, "links.list")] == ["root", "guest"]
            assert isinstance(asked(other, "links.list"), NotPermitted)
            assert "no accounts" in str(asked(one, "users.list"))
            assert "no directory" in str(asked(one, "backups.list"))
            assert "no log files" in str(asked(one, "logs.view"))
            assert "nobody has said" in str(asked(one, "restart"))

            # In maintenance the door knows whom to let in, and those that are here stay.
            call(one, "maintenance", "on")
            with pytest.raises(NetstructerError, match="no more links now"):
                Link(server.address, key=guest)
            with Link(server.address, key=root) as third:
                assert call(third, "status")["status"] == "maintenance"
            assert other.ping() > 0
            assert admin.drain(seconds=1)["closed"] == 1
            call(one, "maintenance", "off")
            with Link(server.address, key=guest) as back:
                assert back.ping() > 0


def test_a_maintenance_leaves_whom_the_application_admits_as_it_was() -> None:
    def admits(user: str | None, fingerprint: str) -> bool:
        return fingerprint != KEY.fingerprint

    ann = Key.generate()
    with Server(key={"ann": ann, "bob": KEY}) as server:
        server.actions.permit(lambda context, permission: True)
        server.admits = admits
        with Admin(server) as admin:
            for state in ("on", "on", "off", "on"):
                admin.maintain(state)
                with pytest.raises(NetstructerError):
                    Link(server.address, key=KEY)
                with Link(server.address, key=ann) as link:
                    assert link.ping() > 0
            assert server.admits is not admits
        assert server.admits is admits, "an administration that is closed leaves no maintenance behind"


def test_a_server_that_could_not_be_ended_can_be_asked_again(tmp_path: Path) -> None:
    def fail(how: str, seconds: float) -> None:
        raise ZeroDivisionError

    with house(tmp_path, leave=fail) as there:
        there.admin.shutdown()
        eventually(lambda: not there.admin.leaving)
        assert "ZeroDivisionError" in str(there.admin.status()["last_error"])
        there.admin.shutdown()
        eventually(lambda: not there.admin.leaving)


def test_a_fault_of_the_application_lets_nobody_in_while_in_maintenance() -> None:
    with Server(key=KEY) as server, Admin(server) as admin:

        @server.actions.permit
        def permits(context: Any, permission: str) -> bool:
            raise ZeroDivisionError

        admin.maintain("on")
        with pytest.raises(NetstructerError):
            Link(server.address, key=KEY)


# --- what is refused --------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    1 << 200,
    float("nan"),
    float("inf"),
    "",
    "x" * 100_000,
    "\x1b[31m\r\n",
    "../../etc/passwd",
    "/etc/passwd",
    "'; DROP TABLE accounts; --",
    b"bytes",
    [],
    ["x"] * 300,
    [["x"]],
    {},
    {"a": 1},
    [{"user": "\x1b"}],
    [{"user": ["x"], "roles": 3, "quotas": {"a": 1}, "statistics": []}],
    {1, 2},
]


SWEEPING = {"links.disconnect-all", "shutdown", "restart", "drain", "maintenance"}
"""Verbs that would end the test where an argument fits by chance; they are asked with ones that fit none."""


def test_what_does_not_fit_is_refused_in_words_of_ours_and_changes_nothing(there: House) -> None:
    accounts = there.accounts.list()
    desk = there.admin.acting("hostile")
    for verb in TABLE.values():
        for value in HOSTILE[3 if verb.name in SWEEPING else 0 :]:
            for positional, named in (((value,), {}), ((value,) * 3, {}), ((), {"name": value, "who": value})):
                try:
                    desk.call(verb.name, *positional, **named)
                except NetstructerError as error:
                    said = str(error)
                else:
                    said = ""
                assert "DROP" not in said
                assert len(said) < 1_200

    assert there.accounts.list() == accounts
    assert not there.admin.leaving
    assert there.admin.status()["errors"] == 0


def test_over_a_link_what_does_not_fit_is_told_as_such(there: House) -> None:
    link = there.link("anna")
    for verb in TABLE.values():
        if not verb.here_only:
            for value in (b"bytes", {"a": 1}, "\x1b"):
                error = asked(link, verb.name, value, value, value, value, value)
                assert isinstance(error, BadArguments), (verb.name, value)
            assert isinstance(asked(link, verb.name, context="x"), BadArguments)
    assert call(link, "status")["errors"] == 0


def test_errors_repeat_nothing_that_was_given(there: House) -> None:
    secret = "hunter2-hunter2"
    for verb, arguments in {
        "users.first-admin": ("anna", ""),
        "users.add": (secret * 9,),
        "links.show": (secret,),
        "config.set": (secret, secret),
        "logs.view": (secret,),
        "backups.restore": (secret,),
        "keys.retire": (secret,),
    }.items():
        with pytest.raises(NetstructerError) as caught:
            there.admin.call(verb, *arguments)
        assert secret not in str(caught.value), verb


def test_a_password_is_noted_nowhere(tmp_path: Path) -> None:
    with house(tmp_path) as there:
        made = there.admin.add_user("dora")["password"]
        again = there.admin.reset_user("dora")["password"]
        with pytest.raises(Misuse):
            there.admin.first_admin("root", WORD)

        for text in (made, again, WORD):
            assert text not in str(there.noted)
            assert text not in str(there.admin.history(100))


# --- links and farewells ----------------------------------------------------------------------------------------------


def test_a_ban_ends_the_links_at_once_and_the_next_logins(there: House) -> None:
    link = there.link("bert")
    there.admin.ban_user("bert", reason="for the file alone")

    told = list(link)
    assert [str(notice_in(value)) for value in told] == ["disconnect from program: this account is banned"]
    again = there.link()
    error = asked(again, "status")
    with pytest.raises(RemoteError) as caught:
        again.call("accounts.login", "bert", WORD, timeout=PATIENCE_SECONDS)
    assert (error.__class__, caught.value.name) == (NotPermitted, "AccountRefused")
    assert "for the file alone" not in str(caught.value)


def test_the_last_admin_stays_and_his_links_are_told_nothing(there: House) -> None:
    link = there.link("anna")
    for verb in ("ban_user", "block_user", "remove_user", "demote_user"):
        with pytest.raises(Misuse, match="last admin"):
            getattr(there.admin, verb)("anna")

    there.admin.message_all("still here")
    notice = notice_in(link.recv(timeout=PATIENCE_SECONDS))
    assert notice is not None
    assert notice.text == "still here"


def test_nobody_bans_himself_by_a_slip(there: House) -> None:
    link = there.link("anna")
    for what, whom in (("network", "127.0.0.0/8"), ("network", "127.0.0.1"), ("key", KEY.fingerprint)):
        assert "ban whoever asks" in str(asked(link, "bans.add", what, whom))
    assert call(link, "bans.add", "network", "::/0")["whom"] == "::/0"
    assert "last key" in str(asked(link, "keys.retire", KEY.fingerprint))


def test_all_links_are_closed_and_the_one_that_asks_has_its_answer(there: House) -> None:
    others = [there.link() for _ in range(5)]
    link = there.link("anna")

    assert call(link, "links.disconnect-all", reason="good night") == {"closed": 6}
    for one in [*others, link]:
        assert [getattr(notice_in(value), "text", None) for value in one] == ["good night"]
    assert len(there.server) == 0


def test_a_link_that_answers_no_ping_costs_the_others_nothing(there: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from netstructer.services.admin import links

    monkeypatch.setattr(links, "PING_SECONDS", 0.05)
    there.link()
    with Link(there.server.address, key=KEY) as asleep:
        far = there.server.get(id=asleep.id)
        assert far is not None
        monkeypatch.setattr(far._exchange, "ping", lambda deadline: (_ for _ in ()).throw(LinkLost("gone")))
        rows = {row["link"]: row["error"] for row in there.admin.ping_all()}
    assert rows[asleep.id] == "LinkLost"
    assert len([error for error in rows.values() if not error]) == 1


def test_an_id_that_stands_for_none_or_for_several_is_refused(there: House) -> None:
    there.link()
    with pytest.raises(Misuse, match="no such link"):
        there.admin.show_link("zzzz")
    with pytest.raises(Misuse, match="4 to 16"):
        there.admin.show_link("a")
    ids = {link.id for link in there.server}
    assert there.admin.show_link(next(iter(ids)))["link"] in ids


def test_without_anybody_who_ends_the_program_the_server_is_closed(tmp_path: Path) -> None:
    with Server(key=KEY) as server, Admin(server) as admin, Link(server.address, key=KEY) as link:
        assert admin.shutdown(reason="good night", seconds=1)["told"] == 1
        assert [getattr(notice_in(value), "kind", None) for value in link] == ["shutdown"]
        with pytest.raises((LinkClosed, LinkLost)):
            link.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: "closed" in repr(server))
        assert admin.exit_code == 0


def test_lists_are_bounded_and_go_on_behind_a_name(there: House) -> None:
    admin = there.admin
    for _ in range(3):
        there.link()
    for number in range(3):
        admin.add_ban("network", f"203.0.113.{number}")

    assert [row["user"] for row in admin.list_users(limit=2)] == ["anna", "bert"]
    assert [row["user"] for row in admin.list_users(after="bert")] == ["cleo"]
    assert [row["user"] for row in admin.statistics(after="anna", limit=1)] == ["bert"]
    assert len(admin.list_links(limit=2)) == 2
    assert [row["whom"] for row in admin.list_bans(limit=1)] == ["203.0.113.2/32"]
    with pytest.raises(Misuse, match="from 1 to 10,000"):
        admin.list_users(limit=10_001)


# --- what is noted ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_noted_is_told_to_whoever_did_it(tmp_path: Path) -> None:
    def full(*row: str) -> None:
        raise Misuse("the audit takes no more")

    with house(tmp_path, note=full) as there:
        with pytest.raises(Misuse, match="takes no more"):
            there.admin.status()
        with pytest.raises(Misuse, match="no such link"):
            there.admin.show_link("0000")
        assert [row["result"] for row in there.admin._office.recent(9)] == ["ok", "Misuse"]


def test_what_was_done_is_noted_with_whom_and_what_came_of_it(there: House) -> None:
    link = there.link("anna")
    call(link, "users.ban", "bert", reason="spam")
    call(link, "message.user", "cleo", "between us")
    call(link, "roles.define", "helper", ["admin.status", "admin.uptime"])
    asked(link, "users.ban", "nobody")
    asked(link, "users.ban")
    there.admin.acting("console").uptime()

    assert there.noted == [
        ("anna", "127.0.0.1", "admin.users.ban", "bert", "ok"),
        ("anna", "127.0.0.1", "admin.message.user", "cleo", "ok"),
        ("anna", "127.0.0.1", "admin.roles.define", "helper admin.status admin.uptime", "ok"),
        ("anna", "127.0.0.1", "admin.users.ban", "nobody", "UnknownAccount"),
        ("anna", "127.0.0.1", "admin.users.ban", "", "Misuse"),
        ("console", "", "admin.uptime", "", "ok"),
    ]


def test_a_closed_administration_answers_nobody(there: House) -> None:
    link = there.link("anna")
    call(link, "status")
    there.admin.close()
    there.admin.close()

    assert asked(link, "status").__class__.__name__ == "UnknownAction"
    assert [name for name in there.server.actions if name.startswith("admin.")] == []


def test_accounts_alone_can_be_administered(tmp_path: Path) -> None:
    with house(tmp_path / "a") as there, Admin(accounts=there.accounts) as admin:
        assert len(admin.list_users()) == 3
        assert admin.ban_user("bert")["status"] == "banned"
        with pytest.raises(Misuse, match="no server here"):
            admin.status()
        with pytest.raises(Misuse, match="no server here"):
            admin.list_users("online")
    with Store(tmp_path / "one.db", STEPS, name="shop") as store, pytest.raises(Misuse, match="names of stores"):
        Admin(stores={"../shop": store})
