"""Signing in: over real links, on both façades; who is who, what that permits, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_support import CHEAP
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Key, Link, Server, aio
from netstructer.errors import LinkClosed, LinkLost, Misuse, NotPermitted, RemoteError
from netstructer.services.accounts import Accounts
from netstructer.services.duplicate_logins import DuplicateLogins
from netstructer.services.hall import Hall
from netstructer.services.signin import SignIn

WORD = "correct horse battery"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    with Accounts(tmp_path / "kept" / "accounts.db", passwords=CHEAP, registration="open") as found:
        found.create("anna", WORD, roles=("admin",))
        found.create("bert", WORD)
        yield found


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key=KEY) as found:

        @found.on("secret", permission="secret.read")
        def secret(context: Any) -> str:
            return f"for {context.user}"

        yield found


def call(link: Link, action: str, *args: object) -> Any:
    return link.call(action, *args, timeout=PATIENCE_SECONDS)


def failed(link: Link, action: str, *args: object) -> str:
    with pytest.raises(RemoteError) as caught:
        call(link, action, *args)
    return caught.value.name


def test_a_login_gives_what_the_account_may_and_a_logout_takes_it(server: Server, accounts: Accounts) -> None:
    signin = SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link:
        far = server.accept(timeout=PATIENCE_SECONDS)
        assert call(link, "accounts.whoami") is None
        with pytest.raises(NotPermitted):
            call(link, "secret")
        card = call(link, "accounts.login", "ANNA", WORD)

        assert (card["name"], card["status"], card["roles"]) == ("anna", "active", ["admin"])
        assert call(link, "accounts.whoami") == card
        assert call(link, "secret") == "for anna"
        assert (far.account, signin.links_of("anna")) == ("anna", (far,))
        call(link, "accounts.logout")
        with pytest.raises(NotPermitted):
            call(link, "secret")
        assert (far.account, signin.links_of("anna")) == (None, ())


def test_who_has_no_role_for_it_is_refused_until_he_has_one(server: Server, accounts: Accounts) -> None:
    SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link:
        call(link, "accounts.login", "bert", WORD)
        with pytest.raises(NotPermitted, match=r"secret\.read"):
            call(link, "secret")
        accounts.allow("bert", "secret.*")

        assert call(link, "secret") == "for bert"
        accounts.disallow("bert", "secret.*")
        with pytest.raises(NotPermitted):
            call(link, "secret")


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong"), ("nobody", WORD), (7, WORD), ("anna", None), ("", "")]
)
def test_what_is_wrong_with_a_login_is_not_told(
    server: Server, accounts: Accounts, name: object, password: object
) -> None:
    SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link, pytest.raises(RemoteError) as caught:
        call(link, "accounts.login", name, password)

    assert caught.value.name == "LoginFailed"
    assert str(caught.value).endswith("the name or the password was not accepted")


def test_a_link_has_so_many_tries(server: Server, accounts: Accounts) -> None:
    SignIn(Hall(server), accounts, most_tries=2)
    with Link(server.address, key=KEY, resume=False) as link:
        assert [failed(link, "accounts.login", "nobody", "wrong") for _ in range(2)] == ["LoginFailed"] * 2
        assert failed(link, "accounts.login", "anna", WORD) == "LoginFailed"
        with pytest.raises((LinkClosed, LinkLost)):
            link.recv(timeout=PATIENCE_SECONDS)
    with Link(server.address, key=KEY) as link:
        failed(link, "accounts.login", "nobody", "wrong")
        call(link, "accounts.login", "anna", WORD)  # and a success begins anew
        assert [failed(link, "accounts.login", "nobody", "wrong") for _ in range(2)] == ["LoginFailed"] * 2
    with pytest.raises(Misuse):
        SignIn(Hall(server), accounts, most_tries=0)


@pytest.mark.parametrize(
    "end",
    [
        lambda accounts: accounts.set_status("bert", "banned", reason="spam"),
        lambda accounts: accounts.remove("bert"),
        lambda accounts: accounts.set_password("bert", "another horse battery"),
        lambda accounts: accounts.reset_password("bert"),
    ],
)
def test_what_ends_an_account_ends_its_links(server: Server, accounts: Accounts, end: Any) -> None:
    SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link, Link(server.address, key=KEY) as other:
        call(link, "accounts.login", "bert", WORD)
        call(other, "accounts.login", "anna", WORD)
        end(accounts)
        with pytest.raises((LinkClosed, LinkLost)):
            link.recv(timeout=PATIENCE_SECONDS)

        assert call(other, "secret") == "for anna"


def test_what_another_process_does_to_an_account_counts_from_the_next_call_on(
    server: Server, accounts: Accounts
) -> None:
    SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link, Accounts(accounts.path, passwords=CHEAP) as elsewhere:
        call(link, "accounts.login", "anna", WORD)
        elsewhere.create("carl", WORD, roles=("admin",))
        elsewhere.set_status("anna", "blocked")
        with pytest.raises(NotPermitted):
            call(link, "secret")
        with pytest.raises((LinkClosed, LinkLost)):
            link.recv(timeout=PATIENCE_SECONDS)


def test_a_user_changes_his_password_and_his_other_links_sign_in_again(server: Server, accounts: Accounts) -> None:
    SignIn(Hall(server), accounts)
    with Link(server.address, key=KEY) as link, Link(server.address, key=KEY) as other:
        assert failed(link, "accounts.change_password", WORD, "new horse battery") == "LoginFailed"
        for each in (link, other):
            call(each, "accounts.login", "anna", WORD)
        assert failed(link, "accounts.change_password", "wrong", "new horse battery") == "LoginFailed"
        assert call(link, "secret") == "for anna"
        call(link, "accounts.change_password", WORD, "new horse battery")

        assert call(link, "secret") == "for anna"
        with pytest.raises((LinkClosed, LinkLost)):
            other.recv(timeout=PATIENCE_SECONDS)
    with Link(server.address, key=KEY) as link:
        assert failed(link, "accounts.login", "anna", WORD) == "LoginFailed"


def test_a_key_of_ones_own_is_a_login(accounts: Accounts) -> None:
    mine = Key.generate()
    accounts.bind("bert", key=mine)
    accounts.allow("bert", "secret.read")
    with Server(key={"bert": mine, "carl": KEY}) as server:
        server.actions.add("secret", lambda: "told", permission="secret.read")
        signin = SignIn(Hall(server), accounts)
        with Link(server.address, key=mine) as link, Link(server.address, key=KEY) as stranger:
            assert call(link, "secret") == "told"
            assert call(link, "accounts.whoami")["name"] == "bert"
            assert len(signin.links_of("bert")) == 1
            with pytest.raises(NotPermitted):
                call(stranger, "secret")
            accounts.set_status("bert", "banned")
            with pytest.raises((LinkClosed, LinkLost)):
                link.recv(timeout=PATIENCE_SECONDS)
        with Link(server.address, key=mine, resume=False) as link:
            with pytest.raises(NotPermitted):
                call(link, "secret")
            with pytest.raises((LinkClosed, LinkLost)):
                link.recv(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("manner", ["refuse", "replace", "allow"])
def test_a_user_who_is_there_already(server: Server, accounts: Accounts, manner: Any) -> None:
    signin = SignIn(Hall(server), accounts, duplicates=DuplicateLogins(manner))
    with Link(server.address, key=KEY) as first, Link(server.address, key=KEY) as second:
        call(first, "accounts.login", "anna", WORD)
        call(first, "accounts.login", "anna", WORD)  # again on the same link is no second one
        if manner == "refuse":
            assert failed(second, "accounts.login", "anna", WORD) == "AccountRefused"
            assert call(first, "secret") == "for anna"
        else:
            call(second, "accounts.login", "anna", WORD)
            assert call(second, "secret") == "for anna"
        if manner == "replace":
            with pytest.raises((LinkClosed, LinkLost)):
                first.recv(timeout=PATIENCE_SECONDS)
        eventually(lambda: len(signin.links_of("anna")) == (2 if manner == "allow" else 1), "who is there")
        assert signin.sign_out("anna") == (2 if manner == "allow" else 1)
        assert signin.links_of("anna") == ()


def test_strangers_register_as_the_server_lets_them(server: Server, accounts: Accounts) -> None:
    seen: list[str] = []
    SignIn(Hall(server), accounts, on_sign_in=lambda link, account: seen.append(account.name))
    with Link(server.address, key=KEY) as link:
        assert call(link, "accounts.register", "Dora", WORD)["display"] == "Dora"
        assert call(link, "accounts.whoami")["roles"] == ["client"]
        assert failed(link, "accounts.register", "dora", WORD) == "AccountExists"
        assert failed(link, "accounts.register", "emil", "x") == "PasswordRefused"
        accounts.registration = "approval"
        assert call(link, "accounts.register", "emil", WORD)["status"] == "waiting"
        assert call(link, "accounts.whoami")["name"] == "dora"
        assert failed(link, "accounts.login", "emil", WORD) == "AccountRefused"
        accounts.registration = "closed"
        assert failed(link, "accounts.register", "fred", WORD) == "RegistrationRefused"
    assert seen == ["dora"]


async def _in_a_loop(accounts: Accounts) -> None:
    async with aio.Server(key=KEY) as server, aio.connect(server.address, key=KEY) as link:

        @server.on("secret", permission="secret.read")
        async def secret(context: Any) -> str:
            return f"for {context.user}"

        SignIn(Hall(server), accounts)
        with pytest.raises(NotPermitted):
            await link.call("secret", timeout=PATIENCE_SECONDS)
        await link.call("accounts.login", "anna", WORD, timeout=PATIENCE_SECONDS)
        assert await link.call("secret", timeout=PATIENCE_SECONDS) == "for anna"
        await asyncio.to_thread(accounts.create, "carl", WORD, roles=("admin",))
        await asyncio.to_thread(accounts.set_status, "anna", "banned")
        with pytest.raises((LinkClosed, LinkLost)):
            await link.recv(timeout=PATIENCE_SECONDS)


def test_the_same_in_a_loop(accounts: Accounts) -> None:
    asyncio.run(_in_a_loop(accounts))
