"""Accounts: made, listed, changed, removed; what they may do; how much; what is told to an audit; backups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_support import PASSWORD, Wall, directory_in_memory, open_accounts
from netstructer.errors import (
    AccountExists,
    AccountRefused,
    InvalidName,
    LastAdmin,
    LimitReached,
    LoginFailed,
    Misuse,
    NotPermitted,
    PasswordRefused,
    QuotaReached,
    RegistrationRefused,
    StoreDamaged,
    UnknownAccount,
)
from netstructer.keys import Key
from netstructer.services.accounts import STATUSES, AccountEvent, Accounts, Quota, counts, members, registration
from netstructer.services.accounts.keys import MOST_KEYS
from netstructer.services.duplicate_logins import DuplicateLogins
from netstructer.services.password_policy import PasswordPolicy
from netstructer.services.store import Store


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with directory_in_memory() as directory:
        yield directory


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def events() -> list[AccountEvent]:
    return []


@pytest.fixture
def accounts(tmp_path: Path, wall: Wall, events: list[AccountEvent]) -> Iterator[Accounts]:
    quotas = {"messages": Quota(3, seconds=60), "bytes stored": Quota(100)}
    with open_accounts(tmp_path, wall=wall, on_event=events.append, quotas=quotas) as accounts:
        accounts.first_admin("root", PASSWORD)
        yield accounts


# --- who has one ------------------------------------------------------------------------------------------------------


def test_an_account_is_found_however_its_name_is_written(accounts: Accounts, wall: Wall) -> None:
    made = accounts.create("Ada", PASSWORD)

    assert (made.name, made.display, made.status, made.roles) == ("ada", "Ada", "active", {"client"})
    assert (made.created, made.last_login, made.last_address) == (wall.now, None, "")
    assert accounts.get("ADA") == accounts.get("ａda") == accounts.get(made) == made
    assert "aDa" in accounts
    assert made in accounts
    assert "bob" not in accounts
    assert 5 not in accounts
    assert len(accounts) == 2
    with pytest.raises(AccountExists):
        accounts.create("aDA", PASSWORD)


def test_they_are_there_when_they_are_opened_again(tmp_path: Path) -> None:
    with open_accounts(tmp_path) as accounts:
        made = accounts.create("ada", PASSWORD, roles=["client", "admin"])
    with open_accounts(tmp_path) as accounts:
        assert accounts.get("ada") == made
        assert accounts.login("ada", PASSWORD).id == made.id


def test_lists_by_status_and_role(accounts: Accounts, wall: Wall) -> None:
    for number, status in enumerate(STATUSES):
        accounts.create(f"user{number}", PASSWORD, status=status)
    accounts.set_status("user0", "banned", seconds=10)
    names = {status: [account.name for account in accounts.list(status=status)] for status in STATUSES}

    assert names == {
        "active": ["root"],
        "waiting": ["user1"],
        "rejected": ["user2"],
        "blocked": ["user3"],
        "banned": ["user0", "user4"],
    }
    assert [account.name for account in accounts.list(role="admin")] == ["root"]
    assert [account.name for account in accounts.list(role="client", status="waiting")] == ["user1"]
    assert len(accounts.list()) == 6
    wall.now += 10
    assert [account.name for account in accounts.list(status="banned")] == ["user4"]
    assert [account.name for account in accounts.list(status="active")] == ["root", "user0"]
    with pytest.raises(Misuse, match="active, waiting"):
        accounts.list(status="gone")  # type: ignore[arg-type]


def test_what_is_removed_is_gone_with_all_that_belonged_to_it(accounts: Accounts) -> None:
    made = accounts.create("ada", PASSWORD)
    accounts.increment("ada", "posts")
    accounts.charge("ada", "messages")
    accounts.allow("ada", "reports.read")
    accounts.bind("ada", user="ada")
    accounts.login("ada", PASSWORD, "192.0.2.7")
    accounts.remove("ada")
    again = accounts.create("ada", PASSWORD)

    assert again.id != made.id
    assert accounts.statistics("ada") == {}
    assert accounts.quotas("ada")["messages"].used == 0
    assert accounts.ledger("ada") == accounts.bound("ada") == ()
    assert again.own_permissions == frozenset()
    for gone in ("bob", made):
        for use in (accounts.get, accounts.remove, accounts.quotas, accounts.statistics, accounts.ledger):
            with pytest.raises(UnknownAccount):
                use(gone)
    accounts.check()


def test_the_first_admin_is_made_once(tmp_path: Path) -> None:
    with open_accounts(tmp_path) as accounts:
        accounts.create("ada", PASSWORD)
        made = accounts.first_admin("root", PASSWORD)

        assert made.is_admin
        assert made.allows("anything.at.all")
        for name in ("root", "other"):
            with pytest.raises(Misuse, match="there is an admin"):
                accounts.first_admin(name, PASSWORD)
        accounts.promote("ada")
        accounts.demote("root")
        with pytest.raises(Misuse, match="there is an admin"):
            accounts.first_admin("other", PASSWORD)


def test_an_admin_stays(accounts: Accounts, wall: Wall) -> None:
    losses: list[Callable[[], object]] = [
        lambda: accounts.remove("root"),
        lambda: accounts.demote("root"),
        lambda: accounts.revoke("root", "admin"),
        *(lambda status=status: accounts.set_status("root", status) for status in STATUSES if status != "active"),
    ]
    before = accounts.get("root")
    accounts.create("second", PASSWORD, roles=["admin"])
    accounts.set_status("second", "banned", seconds=60)
    for lose in losses:
        with pytest.raises(LastAdmin):
            lose()
    assert accounts.get("root") == before
    wall.now += 60
    accounts.demote("root")
    with pytest.raises(LastAdmin):
        accounts.remove("second")


def test_new_passwords_are_held_to_the_policy(tmp_path: Path) -> None:
    with open_accounts(tmp_path, policy=PasswordPolicy(least_characters=12), registration="open") as accounts:
        accounts.create("ada", PASSWORD)
        for use in (
            lambda: accounts.create("bob", "short", by="me"),
            lambda: accounts.first_admin("bob", "short"),
            lambda: accounts.register("bob", "short"),
            lambda: accounts.set_password("ada", "short"),
            lambda: accounts.change_password("ada", PASSWORD, "short"),
        ):
            with pytest.raises(PasswordRefused, match="12"):
                use()
        assert len(accounts) == 1
        assert accounts.login("ada", PASSWORD)


def test_a_password_can_be_set_changed_and_reset(accounts: Accounts) -> None:
    before = accounts.create("ada", PASSWORD)
    accounts.set_password("ada", "another horse")
    changed = accounts.change_password("ADA", "another horse", "third horse")
    with pytest.raises(PasswordRefused, match="other than the former"):
        accounts.change_password("ada", "third horse", "third horse")
    drawn = accounts.reset_password("ada")

    assert changed.login_epoch == changed.epoch > before.epoch
    assert not changed.must_change
    assert accounts.login("ada", drawn).must_change
    for wrong in (PASSWORD, "another horse", "third horse"):
        with pytest.raises(LoginFailed):
            accounts.login("ada", wrong)
    assert not accounts.change_password("ada", drawn, "fourth horse").must_change
    for use in (lambda: accounts.set_password("bob", PASSWORD), lambda: accounts.reset_password("bob")):
        with pytest.raises(UnknownAccount):
            use()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda accounts: accounts._set_phc(accounts.get("ada"), "x", must_change=True, action="", by=""), LoginFailed),
        (lambda accounts: accounts.set_status("ada", "banned"), AccountRefused),
        (lambda accounts: (accounts.remove("ada"), accounts.create("ada", None)), UnknownAccount),
    ],
)
def test_whoever_administers_is_not_overtaken_by_a_user_who_changes_his_password(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Accounts], object], error: type
) -> None:
    """What happens here while the new password is computed."""
    accounts.create("ada", PASSWORD)
    real = accounts._hash

    def late(*arguments: Any) -> str:
        monkeypatch.undo()
        found = real(*arguments)
        change(accounts)
        return found

    monkeypatch.setattr(accounts, "_hash", late)
    with pytest.raises(error):
        accounts.change_password("ada", PASSWORD, "another horse")
    with pytest.raises((LoginFailed, StoreDamaged)):
        accounts.login("ada", "another horse")


@pytest.mark.parametrize(
    "options",
    [
        {"status": "gone"},
        {"reason": "two\nlines", "status": "banned"},
        {"reason": "x" * 201, "status": "banned"},
        {"seconds": 5, "status": "active"},
        {"seconds": 0, "status": "banned"},
        {"seconds": float("inf"), "status": "banned"},
        {"seconds": float("nan"), "status": "blocked"},
    ],
)
def test_what_is_no_status_is_refused(accounts: Accounts, options: dict[str, Any]) -> None:
    accounts.create("ada", PASSWORD)
    with pytest.raises(Misuse):
        accounts.set_status("ada", **options)

    assert accounts.get("ada").status == "active"


def test_there_is_no_room_for_more_than_there_is(tmp_path: Path) -> None:
    with open_accounts(tmp_path, most_accounts=2) as accounts:
        for name in ("ada", "bob"):
            accounts.create(name, PASSWORD)
        with pytest.raises(LimitReached) as caught:
            accounts.create("eve", PASSWORD)

        assert (caught.value.limit, caught.value.found) == (2, 3)
        accounts.remove("ada")
        accounts.create("eve", PASSWORD)


# --- what they may do -------------------------------------------------------------------------------------------------


def test_roles_and_permissions_of_ones_own(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD)
    accounts.define_role("moderator", ["users.ban", "users.unban"])
    accounts.grant("ada", "moderator")
    ada = accounts.allow("ada", "reports.*")

    assert ada.roles == {"client", "moderator"}
    assert ada.own_permissions == {"reports.*"}
    assert all(ada.allows(each) for each in ("users.ban", "reports.read", "chat.say"))
    assert not ada.allows("users.remove")
    ada.require("users.ban")
    with pytest.raises(NotPermitted, match=r"users\.remove"):
        ada.require("users.remove")
    assert not accounts.revoke("ada", "moderator").allows("users.ban")
    assert accounts.disallow("ada", "reports.read").allows("reports.read"), "exactly what was granted is taken back"
    assert not accounts.disallow("ada", "reports.*").allows("reports.read")
    assert dict(accounts.roles()) == {
        "admin": {"*"},
        "client": {"account.*", "chat.say", "files.*"},
        "moderator": {"users.ban", "users.unban"},
    }


def test_what_is_not_there_cannot_be_granted(accounts: Accounts) -> None:
    with pytest.raises(UnknownAccount, match="no role"):
        accounts.grant("root", "nothing")
    with pytest.raises(UnknownAccount, match="no role"):
        accounts.create("ada", PASSWORD, roles=["nothing"])
    with pytest.raises(UnknownAccount, match="no such account"):
        accounts.grant("bob", "client")
    with pytest.raises(Misuse, match="one text"):
        accounts.create("ada", PASSWORD, roles="client")
    for wrong in ("users.*.ban", "", "A"):
        with pytest.raises(InvalidName):
            accounts.allow("root", wrong)
    assert "ada" not in accounts


def test_an_account_that_is_not_active_is_permitted_nothing(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD, roles=["admin"])

    assert accounts.get("ada").allows("anything")
    assert not accounts.set_status("ada", "blocked").allows("anything")


def test_an_open_link_looks_again(accounts: Accounts, wall: Wall) -> None:
    ada = accounts.create("ada", PASSWORD)

    assert accounts.recheck(ada) is ada
    accounts.grant("ada", "admin")
    now = accounts.recheck(ada)
    assert now.is_admin
    accounts.define_role("client", ["chat.*"])
    assert accounts.recheck(now).epoch > now.epoch
    now = accounts.recheck(now)
    accounts.define_role("client", ["chat.*"])
    accounts.grant("ada", "admin")
    assert accounts.recheck(now) is now, "nothing has changed"
    for status in ("blocked", "banned", "waiting", "rejected"):
        accounts.set_status("ada", status, reason="secret reason")
        with pytest.raises(AccountRefused) as caught:
            accounts.recheck(now)
        assert caught.value.status == status
        assert "secret" not in str(caught.value)
    accounts.set_status("ada", "banned", seconds=5)
    with pytest.raises(AccountRefused) as caught:
        accounts.recheck(now)
    assert caught.value.until == wall.now + 5
    wall.now += 5
    assert accounts.recheck(now).status == "active"


def test_an_open_link_falls_with_its_password_and_its_account(accounts: Accounts) -> None:
    ada = accounts.create("ada", PASSWORD)
    changed = accounts.change_password("ada", PASSWORD, "another horse")
    with pytest.raises(AccountRefused, match="log in again") as caught:
        accounts.recheck(ada)
    assert caught.value.status == "password changed"
    assert accounts.recheck(changed) is changed
    accounts.remove("ada")
    accounts.create("ada", PASSWORD)
    for gone in (ada, changed):
        with pytest.raises(AccountRefused, match="removed"):
            accounts.recheck(gone)


def test_a_role_is_taken_from_all_who_have_it(accounts: Accounts) -> None:
    accounts.define_role("moderator", ["users.ban"])
    ada = accounts.create("ada", PASSWORD, roles=["moderator"])
    accounts.define_role("moderator", [])
    assert not accounts.recheck(ada).allows("users.ban")
    accounts.define_role("moderator", ["users.ban"])
    ada = accounts.recheck(ada)
    accounts.remove_role("moderator")

    assert accounts.recheck(ada).roles == frozenset()
    for name, error in (("moderator", UnknownAccount), ("admin", InvalidName), ("client", InvalidName)):
        with pytest.raises(error):
            accounts.remove_role(name)
    with pytest.raises(InvalidName):
        accounts.define_role("admin", ["users.*"])
    accounts.check()


def test_roles_and_permissions_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.services.accounts.rights.MOST_ROLES", 3)
    monkeypatch.setattr("netstructer.services.accounts.rights.MOST_PATTERNS", 2)
    accounts.define_role("third", [])
    accounts.define_role("third", ["a"])
    with pytest.raises(LimitReached, match="role"):
        accounts.define_role("fourth", [])
    accounts.allow("root", "a.a")
    accounts.allow("root", "a.b")
    accounts.allow("root", "a.b")
    with pytest.raises(LimitReached, match="permission"):
        accounts.allow("root", "a.c")


# --- accounts that people make for themselves -------------------------------------------------------------------------


def test_nobody_registers_unless_it_was_opened(accounts: Accounts) -> None:
    assert accounts.registration == "closed"
    code = accounts.invite()
    for invitation in (None, code):
        with pytest.raises(RegistrationRefused):
            accounts.register("ada", PASSWORD, invitation=invitation)
    accounts.registration = "invitation"
    with pytest.raises(RegistrationRefused, match="without an invitation"):
        accounts.register("ada", PASSWORD)
    with pytest.raises(Misuse, match="closed, invitation"):
        accounts.registration = "ajar"  # type: ignore[assignment]
    assert len(accounts) == 1


def test_open_registration_and_approval(accounts: Accounts) -> None:
    accounts.registration = "open"
    assert accounts.register("ada", PASSWORD).status == "active"
    assert accounts.login("ada", PASSWORD).roles == {"client"}
    accounts.registration = "approval"
    assert accounts.register("bob", PASSWORD).status == "waiting"
    with pytest.raises(AccountRefused, match="waits for approval"):
        accounts.login("bob", PASSWORD)
    accounts.set_status("bob", "active", by="root")
    assert accounts.login("bob", PASSWORD)
    accounts.register("eve", PASSWORD)
    accounts.set_status("eve", "rejected")
    with pytest.raises(AccountRefused, match="was not approved"):
        accounts.login("eve", PASSWORD)
    with pytest.raises(AccountExists):
        accounts.register("ADA", PASSWORD)


def test_an_invitation_is_good_once_and_not_for_ever(accounts: Accounts, wall: Wall) -> None:
    accounts.registration = "invitation"
    code = accounts.invite(roles=["client", "admin"], maker="root")
    (out,) = accounts.invitations()

    assert (out.roles, out.maker, out.until) == ({"admin", "client"}, "root", wall.now + 7 * 86400)
    made = accounts.register("ada", PASSWORD, invitation=f" {code.upper()} ")
    assert made.status == "active"
    assert made.is_admin
    assert accounts.invitations() == ()
    ended = accounts.invite(seconds=10)
    withdrawn = accounts.invite()
    assert accounts.withdraw(accounts.invitations()[1].number)
    assert not accounts.withdraw(out.number)
    wall.now += 10
    assert accounts.invitations() == ()
    texts = set()
    for bad in (code, ended, withdrawn, "", "x" * 1_000_000, "\ud800", "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa", 5):
        with pytest.raises(RegistrationRefused) as caught:
            accounts.register("bob", PASSWORD, invitation=bad)  # type: ignore[arg-type]
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert "bob" not in accounts


def test_a_registration_that_fails_uses_no_invitation(accounts: Accounts) -> None:
    accounts.registration = "approval"
    code = accounts.invite()
    for name, password in (("root", PASSWORD), ("bob", "short"), ("", PASSWORD)):
        with pytest.raises(Misuse):
            accounts.register(name, password, invitation=code)
    assert accounts.register("bob", PASSWORD, invitation=code).status == "active", "who is invited needs no approval"


def test_invitations_are_kept_as_digests_alone(accounts: Accounts) -> None:
    code = accounts.invite()
    accounts.create("ada", PASSWORD)
    accounts.backup(Path(accounts.path + ".copy"))
    content = Path(accounts.path + ".copy").read_bytes()

    assert code.encode() not in content
    assert code.replace("-", "").encode() not in content
    assert PASSWORD.encode() not in content


def test_invitations_and_those_who_wait_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "MOST_INVITATIONS", 2)
    monkeypatch.setattr(registration, "MOST_WAITING", 2)
    for _ in range(2):
        accounts.invite()
    with pytest.raises(LimitReached, match="invitations"):
        accounts.invite()
    accounts.registration = "approval"
    for name in ("ada", "bob"):
        accounts.register(name, PASSWORD)
    with pytest.raises(LimitReached, match="wait for approval"):
        accounts.register("eve", PASSWORD)
    for wrong in ({"roles": "client"}, {"seconds": 0.0}, {"seconds": float("inf")}):
        with pytest.raises(Misuse):
            accounts.invite(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownAccount):
        accounts.invite(roles=["nothing"])


def test_one_source_registers_no_crowd(accounts: Accounts, wall: Wall) -> None:
    accounts.registration = "open"
    for number in range(5):
        accounts.register(f"user{number}", PASSWORD, "192.0.2.7")
    with pytest.raises(LoginFailed) as caught:
        accounts.register("user5", PASSWORD, "192.0.2.7")

    assert caught.value.retry_seconds == 1.0
    accounts.register("user5", PASSWORD, "192.0.2.8")
    assert accounts.login("user0", PASSWORD, "192.0.2.7"), "logins are counted apart"
    wall.now += 1
    accounts.register("user6", PASSWORD, "192.0.2.7")


def test_the_first_login_makes_the_account_where_that_is_open(accounts: Accounts) -> None:
    with pytest.raises(LoginFailed):
        accounts.enter("ada", PASSWORD)
    accounts.registration = "open"
    made = accounts.enter("Ada", PASSWORD)

    assert accounts.enter("ada", PASSWORD).id == made.id
    with pytest.raises(LoginFailed):
        accounts.enter("ada", "wrong horse")
    with pytest.raises(InvalidName):
        accounts.enter("", PASSWORD)


# --- keys of one's own ------------------------------------------------------------------------------------------------


def test_a_key_opens_the_account_that_it_was_bound_to(accounts: Accounts, events: list[AccountEvent]) -> None:
    key, other = Key.generate(), Key.generate()
    ada = accounts.create("ada", None)
    accounts.bind("ada", key=key)
    accounts.bind("ada", user="ada-laptop")

    assert not ada.has_password
    for named in ({"key": key}, {"key": key.fingerprint}, {"key": key.key_id}, {"user": "ada-laptop"}):
        assert accounts.identify(**named).id == ada.id
    assert accounts.identify(key=other, user="ada-laptop", source="192.0.2.7").last_address == "192.0.2.7"
    events.clear()
    for stranger in ({"key": other}, {"user": "ada"}, {"key": other, "user": "Ada-laptop"}, {}):
        with pytest.raises(LoginFailed):
            accounts.identify(**stranger)
    assert events == [], "an audit is not told of every link whose key is nobody's"
    assert accounts.bound("ada") == (("key", key.fingerprint), ("user", "ada-laptop"))
    with pytest.raises(LoginFailed):
        accounts.login("ada", PASSWORD)


def test_a_key_that_is_taken_away_opens_nothing_and_its_links_fall(accounts: Accounts) -> None:
    accounts.create("ada", None)
    accounts.bind("ada", user="ada")
    there = accounts.identify(user="ada")

    assert accounts.unbind(user="ada")
    assert not accounts.unbind(user="ada")
    with pytest.raises(LoginFailed):
        accounts.identify(user="ada")
    with pytest.raises(AccountRefused):
        accounts.recheck(there)


def test_keys_are_one_accounts_and_bounded(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD)
    accounts.bind("ada", user="x")
    accounts.bind("ada", user="x")
    with pytest.raises(AccountExists):
        accounts.bind("root", user="x")
    accounts.set_status("ada", "blocked")
    with pytest.raises(AccountRefused, match="blocked"):
        accounts.identify(user="x")
    for number in range(MOST_KEYS - 1):
        accounts.bind("ada", user=f"x{number}")
    with pytest.raises(LimitReached):
        accounts.bind("ada", user="one more")
    for wrong in ({}, {"key": "zz", "user": None}, {"user": ""}, {"user": "x" * 257}, {"key": b"123"}, {"key": 5}):
        with pytest.raises(Misuse):
            accounts.bind("ada", **wrong)
    with pytest.raises(Misuse):
        accounts.bind("ada", key=Key.generate(), user="both")


# --- what is counted --------------------------------------------------------------------------------------------------


def test_a_quota_in_all_is_charged_and_given_back(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD)

    assert accounts.charge("ada", "bytes stored", 60).left == 40
    with pytest.raises(QuotaReached) as caught:
        accounts.charge("ada", "bytes stored", 41)
    assert (caught.value.limit, caught.value.found, caught.value.quota, caught.value.until) == (
        *(100, 101, "bytes stored"),
        None,
    )
    assert accounts.charge("ada", "bytes stored", 40).left == 0
    assert accounts.charge("ada", "bytes stored", 0).left == 0
    assert accounts.charge("ada", "bytes stored", -30).used == 70
    assert accounts.charge("ada", "bytes stored", -1000).used == 0
    assert accounts.quotas("root")["bytes stored"].used == 0


def test_a_quota_with_a_window_begins_anew(accounts: Accounts, wall: Wall) -> None:
    accounts.create("ada", PASSWORD)
    begun = wall.now
    for _ in range(3):
        use = accounts.charge("ada", "messages")
        wall.now += 10
    assert (use.used, use.until) == (3, begun + 60)
    with pytest.raises(QuotaReached) as caught:
        accounts.charge("ada", "messages")
    assert caught.value.until == begun + 60
    wall.now = begun + 60
    assert accounts.quotas("ada")["messages"].used == 0
    assert accounts.charge("ada", "messages").until == begun + 120


def test_an_account_may_have_quotas_of_its_own(accounts: Accounts, wall: Wall) -> None:
    accounts.create("ada", PASSWORD)
    accounts.charge("ada", "bytes stored", 90)
    use = accounts.set_quota("ada", "bytes stored", 50)

    assert use is not None
    assert (use.used, use.left) == (90, 0)
    with pytest.raises(QuotaReached):
        accounts.charge("ada", "bytes stored", 1)
    accounts.charge("ada", "bytes stored", -50)
    accounts.charge("ada", "bytes stored", 10)
    accounts.set_quota("ada", "bytes stored", None)
    assert accounts.charge("ada", "bytes stored", 50).left == 0
    with pytest.raises(Misuse, match="no quota"):
        accounts.charge("ada", "rooms")
    accounts.set_quota("ada", "rooms", Quota(2, seconds=5))
    accounts.charge("ada", "rooms", 2)
    wall.now += 5
    accounts.charge("ada", "rooms", 2)
    assert sorted(accounts.quotas("ada")) == ["bytes stored", "messages", "rooms"]
    assert accounts.set_quota("ada", "rooms", None) is None
    with pytest.raises(Misuse):
        accounts.charge("ada", "rooms")


@pytest.mark.parametrize("amount", [1.5, "1", True, None, 1 << 63, -(1 << 63)])
def test_only_whole_numbers_are_counted(accounts: Accounts, amount: Any) -> None:
    for use in (
        lambda: accounts.charge("root", "messages", amount),
        lambda: accounts.increment("root", "posts", amount),
        lambda: Quota(amount),
    ):
        with pytest.raises(Misuse):
            use()


def test_statistics_may_be_any_that_an_application_counts(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD)

    assert accounts.increment("ada", "broadcasts") == 1
    assert accounts.increment("ada", "broadcasts", 4) == 5
    assert accounts.increment("ada", "balance", -7) == -7
    assert accounts.increment_all("ada", {"broadcasts": 1, "log offs": 2}) == {"broadcasts": 6, "log offs": 2}
    accounts.login("ada", PASSWORD)
    assert accounts.statistics("ada") == {"balance": -7, "broadcasts": 6, "log offs": 2, "logins": 1}
    assert accounts.all_statistics() == {"ada": accounts.statistics("ada"), "root": {}}
    with pytest.raises(InvalidName):
        accounts.increment_all("ada", {"fine": 1, "Not Fine": 1})
    with pytest.raises(UnknownAccount):
        accounts.increment("bob", "posts")
    assert "fine" not in accounts.statistics("ada")


def test_what_is_counted_is_bounded_and_keeps_nobody_out(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST_NAMES", 3)
    monkeypatch.setattr("netstructer.services.accounts.logins.MOST_NAMES", 3)
    monkeypatch.setattr(counts.add_statistic, "__kwdefaults__", {"most": 3})
    monkeypatch.setattr(counts._refuse_more, "__kwdefaults__", {"most": 3})
    accounts.increment_all("root", {"a": 1, "b": 1, "c": (1 << 63) - 1})
    with pytest.raises(LimitReached):
        accounts.increment("root", "d")
    with pytest.raises(LimitReached):
        accounts.increment_all("root", {"a": 1, "c": 1})
    assert accounts.statistics("root")["a"] == 1
    accounts.login("root", PASSWORD)
    with pytest.raises(LoginFailed):
        accounts.login("root", "wrong horse")
    for name in ("q1", "q2", "q3"):
        accounts.set_quota("root", name, 1)
    with pytest.raises(LimitReached):
        accounts.set_quota("root", "q4", 1)


# --- duplicate logins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manner", "most", "decisions"),
    [
        ("refuse", 1, [(True, 0), (False, 0), (False, 0)]),
        ("refuse", 2, [(True, 0), (True, 0), (False, 0), (False, 0)]),
        ("replace", 1, [(True, 0), (True, 1), (True, 2)]),
        ("replace", 2, [(True, 0), (True, 0), (True, 1), (True, 2)]),
        ("allow", 1, [(True, 0), (True, 0), (True, 0)]),
    ],
)
def test_what_becomes_of_one_more_link(manner: Any, most: int, decisions: list[tuple[bool, int]]) -> None:
    assert [tuple(DuplicateLogins(manner, most).decide(there)) for there in range(len(decisions))] == decisions


def test_a_manner_that_is_none_is_refused() -> None:
    for wrong in (("ignore", 1), ("refuse", 0), ("refuse", 1025), ("refuse", "1")):
        with pytest.raises(Misuse):
            DuplicateLogins(*wrong)  # type: ignore[arg-type]


# --- the audit --------------------------------------------------------------------------------------------------------


def test_whatever_is_done_is_told_with_who_did_it(accounts: Accounts, events: list[AccountEvent]) -> None:
    events.clear()
    accounts.registration = "open"
    accounts.create("ada", PASSWORD, by="root")
    accounts.register("bob", PASSWORD, "192.0.2.7")
    accounts.grant("ada", "admin", by="root")
    accounts.set_status("bob", "banned", by="root", reason="spam")
    accounts.reset_password("ada", by="root")
    for name, password in (("ada", "wrong horse"), ("nobody", PASSWORD), ("", PASSWORD)):
        with pytest.raises(LoginFailed):
            accounts.login(name, password, "192.0.2.7")
    with pytest.raises(AccountRefused):
        accounts.login("bob", PASSWORD)
    accounts.remove("ada", by="root")
    told = [(event.action, event.target, event.actor, event.source, event.result, event.detail) for event in events]

    assert told == [
        ("create", "ada", "root", "", "done", "client"),
        ("register", "bob", "bob", "192.0.2.7", "done", "active"),
        ("grant", "ada", "root", "", "done", "admin"),
        ("status", "bob", "root", "", "done", "banned"),
        ("reset password", "ada", "root", "", "done", ""),
        ("login", "ada", "", "192.0.2.7", "wrong password", ""),
        ("login", "", "", "192.0.2.7", "unknown name", ""),
        ("login", "", "", "192.0.2.7", "no name, or no password", ""),
        ("login", "bob", "bob", "", "banned", ""),
        ("remove", "ada", "root", "", "done", ""),
    ]


def test_what_is_told_is_in_the_file_and_holds_nobody_up(tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(event: AccountEvent) -> None:
        with Store(tmp_path / "accounts.db", [()], name="accounts", busy_seconds=0.0) as other, other.writing() as db:
            seen.append(db.execute("SELECT 1 FROM accounts WHERE name = ?", (event.target,)).fetchone() is not None)

    with open_accounts(tmp_path, on_event=look) as accounts:
        accounts.create("ada", PASSWORD)
        accounts.login("ada", PASSWORD, "192.0.2.7")
        accounts.grant("ada", "admin")

    assert seen == [True, True, True]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_backup_brings_back_what_was_and_lets_everybody_log_in_again(accounts: Accounts, tmp_path: Path) -> None:
    ada = accounts.create("ada", PASSWORD)
    accounts.registration = "invitation"
    used, kept = accounts.invite(), accounts.invite()
    accounts.backup(tmp_path / "copy.db")
    accounts.register("bob", PASSWORD, invitation=used)
    root = accounts.login("root", PASSWORD)
    accounts.set_password("ada", "another horse")
    accounts.restore(tmp_path / "copy.db", by="root")

    assert accounts.login("ada", PASSWORD).id == ada.id
    assert "bob" not in accounts
    for before in (ada, root):
        with pytest.raises(AccountRefused):
            accounts.recheck(before)
    with pytest.raises(RegistrationRefused):
        accounts.register("bob", PASSWORD, invitation=used)
    assert accounts.register("bob", PASSWORD, invitation=kept)
    with pytest.raises(FileExistsError):
        accounts.backup(tmp_path / "copy.db")
    accounts.check()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "accounts.db", [()], name="audit").close()
    with pytest.raises(StoreDamaged, match="something else"):
        open_accounts(tmp_path)


def test_a_second_process_sees_each_change_at_once(accounts: Accounts, tmp_path: Path) -> None:
    with open_accounts(tmp_path) as other:
        ada = accounts.create("ada", PASSWORD)
        assert other.login("ada", PASSWORD).id == ada.id
        other.set_status("ada", "blocked", reason="holiday")
        with pytest.raises(AccountRefused):
            accounts.recheck(ada)
        assert accounts.get("ada").reason == "holiday"


def test_it_says_where_it_is_and_shows_nothing(accounts: Accounts) -> None:
    ada = accounts.create("ada", PASSWORD)

    assert os.path.basename(accounts.path) in repr(accounts)
    assert "argon2" not in repr(ada)
    assert PASSWORD not in repr(ada) + repr(accounts)
    with pytest.raises(Misuse, match="quotas by name"):
        open_accounts(Path(accounts.path).parent, quotas={"messages": 5})
    assert accounts.most_accounts == members.MOST_ACCOUNTS
