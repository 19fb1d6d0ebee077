"""Roles: what is granted is allowed, and nothing else is."""

from __future__ import annotations

import pytest

from netstructer.errors import InvalidName, UnknownAccount
from netstructer.services.roles import ADMIN, CLIENT, MOST_PATTERNS, Roles, allows, check_pattern, check_permission


@pytest.mark.parametrize(
    ("pattern", "granted", "denied"),
    [
        ("users.ban", ["users.ban"], ["users", "users.banish", "users.ban.forever", "user.ban", "a.users.ban"]),
        ("users.*", ["users.ban", "users.ban.forever", "users.x"], ["users", "usersx.ban", "user.ban", "a.users.b"]),
        ("users.ban.*", ["users.ban.forever"], ["users.ban", "users.unban", "users.banner"]),
        ("users", ["users"], ["users.ban", "use"]),
        ("*", ["users", "users.ban", "a.b.c.d"], []),
    ],
)
def test_a_pattern_grants_what_it_names(pattern: str, granted: list[str], denied: list[str]) -> None:
    assert [permission for permission in granted if not allows([pattern], permission)] == []
    assert [permission for permission in denied if allows([pattern], permission)] == []


@pytest.mark.parametrize(
    "no_permission",
    ["", ".", "*", "users.*", "users.", ".users", "a..b", "Users", "a b", "ä", "a\n", "a.b.c.d.e.f.g.h.i"],
)
def test_what_is_no_permission_is_granted_nobody(no_permission: str) -> None:
    assert not allows(["*", "users.*", no_permission], no_permission)
    with pytest.raises(InvalidName):
        check_permission(no_permission)


@pytest.mark.parametrize("no_pattern", ["", "**", "*.ban", "users*", "users.*.ban", "users.ban*", "A.*", "a\n", 7])
def test_a_star_stands_alone_and_last(no_pattern: str) -> None:
    with pytest.raises(InvalidName):
        check_pattern(no_pattern)


def test_nothing_is_granted_to_nobody() -> None:
    roles = Roles()

    assert not roles.allows([], "account.password")
    assert not roles.allows(["no such role"], "account.password")
    assert roles.allows([CLIENT], "account.password")
    assert not roles.allows([CLIENT], "users.ban")
    assert roles.allows([ADMIN], "users.ban")


def test_a_further_role_takes_nothing_away() -> None:
    roles = Roles().having("empty", []).having("sender", ["files.put", "files.list"])

    assert roles.granted([CLIENT, "empty"]) == roles.granted([CLIENT])
    assert roles.granted(["sender", "empty"]) == {"files.put", "files.list"}
    assert sorted(roles) == ["admin", "client", "empty", "sender"]
    assert sorted(roles.without("empty")) == ["admin", "client", "sender"]


def test_what_is_always_there_stays_as_it_has_to_be() -> None:
    assert Roles({})["admin"] == {"*"}
    assert Roles({"client": ["chat.say"]})["client"] == {"chat.say"}
    for name in ("admin", "client"):
        with pytest.raises(InvalidName):
            Roles().without(name)
    with pytest.raises(InvalidName):
        Roles({"admin": ["users.*"]})
    with pytest.raises(UnknownAccount):
        Roles().without("nobody")


@pytest.mark.parametrize("name", ["", "two words", "Upper", "a.b", "x" * 33, "*", 5])
def test_what_is_no_name_of_a_role_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        Roles().having(name, [])


def test_the_patterns_of_a_role_are_bounded_and_no_text() -> None:
    with pytest.raises(InvalidName, match="one text"):
        Roles().having("sender", "files.put")
    patterns = [f"p{number}" for number in range(MOST_PATTERNS + 1)]

    assert len(Roles().having("much", patterns[1:])["much"]) == MOST_PATTERNS
    with pytest.raises(InvalidName, match=str(MOST_PATTERNS)):
        Roles().having("more", patterns)
