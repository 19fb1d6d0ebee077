"""The file of users' keys, and the ring that follows it while a server runs."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from netstructer import Key, Link, Server
from netstructer.credentials import default_key_path
from netstructer.errors import InvalidKey, KeyRefused, Misuse
from netstructer.user_keys import UserKeys, UserRing, default_user_keys_path

NOW = 1767225600.0


@pytest.fixture
def users(tmp_path: Path) -> UserKeys:
    return UserKeys(tmp_path / "deep" / "users")


def test_what_is_added_is_there_in_order_and_for_its_owner_alone(users: UserKeys) -> None:
    ada, bob = Key.generate(), Key.generate()

    assert list(users) == []
    users.add("ada", ada, now=NOW)
    users.add("bob", bob, now=NOW + 1.9, until=NOW + 60)

    assert [tuple(line) for line in users] == [("ada", ada, NOW, None), ("bob", bob, NOW + 1, NOW + 60)]
    assert users.mapping(now=NOW) == {"ada": ada, "bob": bob}
    assert users.mapping(now=NOW + 60) == {"ada": ada}
    if os.name == "posix":
        assert stat.S_IMODE(os.stat(users.path).st_mode) == 0o600


def test_the_newest_key_of_a_user_is_the_one_that_a_mapping_has(users: UserKeys) -> None:
    old, new = Key.generate(), Key.generate()
    users.add("ada", old, now=NOW, until=NOW + 60)
    users.add("ada", new, now=NOW)

    assert users.mapping(now=NOW) == {"ada": new}


def test_names_that_are_taken_get_a_number(users: UserKeys) -> None:
    names = []
    for _ in range(3):
        names.append(users.free_name("ada"))
        users.add(names[-1], Key.generate(), now=NOW)

    assert names == ["ada", "ada-2", "ada-3"]
    assert users.free_name("bob") == "bob"


def test_what_is_taken_out_is_gone(users: UserKeys) -> None:
    key, other = Key.generate(), Key.generate()
    users.add("ada", key, now=NOW)
    users.add("bob", other, now=NOW)

    assert users.remove(key)
    assert not users.remove(key)
    assert users.mapping(now=NOW) == {"bob": other}


def test_a_key_is_there_once_and_a_user_has_a_name(users: UserKeys) -> None:
    key = Key.generate()
    users.add("ada", key, now=NOW)

    with pytest.raises(InvalidKey, match="already") as caught:
        users.add("bob", key, now=NOW)
    with pytest.raises(Misuse):
        users.add("", Key.generate(), now=NOW)
    with pytest.raises(Misuse, match="would be longer"):
        users.add("x" * (8 << 20), Key.generate(), now=NOW)
    assert [line.user for line in users] == ["ada"]
    assert key.reveal() not in str(caught.value)


def test_many_who_write_at_once_lose_nobody(users: UserKeys) -> None:
    names = [f"user{number}" for number in range(24)]
    writers = [
        threading.Thread(target=lambda part=part: [users.add(n, Key.generate(), now=NOW) for n in names[part::4]])
        for part in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(users.mapping(now=NOW)) == sorted(names)


GOOD = {"user": "ada", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "added": 1, "until": None}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "JSON"),
        ("[", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[1]", "fields"),
        (json.dumps(GOOD | {"more": 1}), "fields"),
        (json.dumps(dict(reversed(GOOD.items()))), "fields"),
        (json.dumps(GOOD | {"user": ""}), "name"),
        (json.dumps(GOOD | {"user": 5}), "name"),
        (json.dumps(GOOD | {"key": "x" * 44}), "key"),
        (json.dumps(GOOD | {"key": None}), "key"),
        (json.dumps(GOOD | {"added": True}), "added"),
        (json.dumps(GOOD | {"until": "soon"}), "until"),
        (json.dumps(GOOD | {"until": float("inf")}), "until"),
        (json.dumps(GOOD | {"until": 10**400}), "until"),
    ],
)
def test_a_line_that_is_none_is_named_and_not_shown(users: UserKeys, line: str, fault: str) -> None:
    users.add("bob", Key.generate(), now=NOW)
    with open(users.path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")

    with pytest.raises(InvalidKey, match=f"line 2: .*{fault}") as caught:
        list(users)
    assert str(GOOD["key"]) not in str(caught.value)
    assert "x" * 44 not in str(caught.value)


def test_a_key_that_is_there_twice_and_a_file_that_is_too_long_are_refused(users: UserKeys) -> None:
    users.add("ada", Key.generate(), now=NOW)
    content = Path(users.path).read_bytes()

    Path(users.path).write_bytes(content * 2)
    with pytest.raises(InvalidKey, match="line 2: this key is there twice"):
        list(users)
    Path(users.path).write_bytes(b" " * ((8 << 20) + 1))
    with pytest.raises(InvalidKey, match="longer than"):
        list(users)


def test_a_ring_has_the_users_of_the_file_and_the_key_of_all(users: UserKeys) -> None:
    shared, ada, late = Key.generate(), Key.generate(), Key.generate()
    users.add("ada", ada, now=NOW)
    users.add("late", late, now=NOW, until=NOW - 1)

    ring = UserRing(users, shared=shared, wall=lambda: NOW)

    assert ring.lookup(shared.key_id) == (shared, None)
    assert ring.lookup(ada.key_id) == (ada, "ada")
    assert ring.lookup(late.key_id) is None
    assert len(ring) == 2


def test_a_ring_of_users_alone_begins_with_one(users: UserKeys) -> None:
    key = Key.generate()
    with pytest.raises(Misuse, match="netstructer pair"):
        UserRing(users, wall=lambda: NOW)
    users.add("ada", key, now=NOW)

    ring = UserRing(users, wall=lambda: NOW)

    assert list(ring) == [(key, "ada")]
    assert ring.lookup(bytes(8)) == (key, "ada")


def test_a_ring_follows_its_file_and_reads_it_only_when_it_was_replaced(
    users: UserKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, ada, bob = Key.generate(), Key.generate(), Key.generate()
    ring = UserRing(users, shared=shared, wall=lambda: NOW)
    reads = []
    read = UserKeys._read
    monkeypatch.setattr(UserKeys, "_read", lambda self: reads.append(1) or read(self))

    assert ring.lookup(ada.key_id) is None
    users.add("ada", ada, now=NOW)
    assert ring.lookup(ada.key_id) == (ada, "ada")
    users.add("bob", bob, now=NOW)
    users.remove(ada)
    reads.clear()
    for _ in range(100):
        assert ring.lookup(os.urandom(8)) is None
    assert ring.lookup(ada.key_id) is None
    assert ring.lookup(bob.key_id) == (bob, "bob")
    assert len(reads) == 1
    os.unlink(users.path)
    assert ring.lookup(bob.key_id) is None
    assert ring.lookup(shared.key_id) == (shared, None)


def test_a_user_who_is_given_another_name_or_end_has_it(users: UserKeys) -> None:
    key = Key.generate()
    users.add("ada", key, now=NOW)
    ring = UserRing(users, wall=lambda: NOW)

    users.remove(key)
    users.add("eve", key, now=NOW, until=NOW + 1)

    assert ring.lookup(key.key_id) == (key, "eve")
    assert [use.until for use in ring.uses()] == [NOW + 1]


def test_a_file_that_is_spoiled_later_changes_nothing_and_is_named(
    users: UserKeys, caplog: pytest.LogCaptureFixture
) -> None:
    key = Key.generate()
    users.add("ada", key, now=NOW)
    ring = UserRing(users, wall=lambda: NOW)

    Path(users.path).write_text("spoiled\n")

    assert ring.lookup(key.key_id) == (key, "ada")
    assert ring.lookup(key.key_id) == (key, "ada")
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "the keys of the users stay as they were"
    ]


def test_a_users_key_that_is_also_the_key_of_all_is_named(users: UserKeys, caplog: pytest.LogCaptureFixture) -> None:
    key = Key.generate()
    users.add("ada", key, now=NOW)

    ring = UserRing(users, shared=key, wall=lambda: NOW)

    assert ring.lookup(key.key_id) == (key, None)
    assert "as another's already" in caplog.text
    users.remove(key)
    assert ring.lookup(key.key_id) == (key, None)


def test_a_key_that_has_ended_and_is_taken_out_then_disturbs_nobody(users: UserKeys) -> None:
    now = [NOW]
    ending, lasting, late = Key.generate(), Key.generate(), Key.generate()
    users.add("ada", ending, now=NOW, until=NOW + 10)
    users.add("bob", lasting, now=NOW)
    ring = UserRing(users, wall=lambda: now[0])
    assert ring.lookup(ending.key_id) == (ending, "ada")

    now[0] += 20
    users.add("late", late, now=NOW)
    assert ring.lookup(ending.key_id) is None
    assert ring.lookup(late.key_id) == (late, "late")
    users.remove(ending)

    assert ring.lookup(lasting.key_id) == (lasting, "bob")
    assert len(ring) == 2


def test_a_running_server_takes_a_user_who_is_added_and_not_one_who_is_taken_out(users: UserKeys) -> None:
    shared, ada = Key.generate(), Key.generate()
    with Server(key=UserRing(users, shared=shared, wall=lambda: NOW)) as server:
        with pytest.raises(KeyRefused):
            Link(server.address, key=ada)
        users.add("ada", ada, now=NOW)
        with Link(server.address, key=ada) as link:
            link.send("hello", wait="acked")
            there = server.accept(timeout=5)
            assert there.user == "ada"
        users.remove(ada)
        with pytest.raises(KeyRefused):
            Link(server.address, key=ada)


def test_the_default_file_is_beside_the_default_key(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}

    found = default_user_keys_path(home)

    assert found == os.path.join(os.path.dirname(default_key_path(home)), "users")
    assert found.startswith(str(tmp_path))
