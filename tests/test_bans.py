"""Bans: whom they name, for how long, and that the file says what stands, whole and strictly."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netstructer import Key, bans, private_files
from netstructer.bans import Ban, Bans
from netstructer.errors import InvalidBan, LimitReached, Misuse

KEY = Key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER = Key.generate()


class Wall:
    """A clock on the wall that a test turns."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


# --- whom they name ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8", "::1", "127.0.0.1"]),
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]),
        ("0.0.0.0/0", ["192.0.2.1", "127.0.0.1"], ["::1", "2001:db8::1"]),
        ("::/0", ["::1", "2001:db8::1", "fe80::1%eth0"], ["192.0.2.1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:db8:ffff::1"], ["2001:db9::1"]),
        ("::ffff:192.0.2.0/120", ["192.0.2.9"], ["192.0.3.9"]),
        ("fe80::/10", ["fe80::1%eth0"], ["fec0::1"]),
    ],
)
def test_a_network_bans_what_is_inside(wall: Wall, network: str, inside: list[str], outside: list[str]) -> None:
    found = Bans(wall=wall)
    ban = found.add(network, reason="noise")

    assert [found.of_source(ip) for ip in inside] == [ban] * len(inside)
    assert [found.of_source(ip) for ip in outside] == [None] * len(outside)


def test_the_smallest_network_is_the_one_that_is_told(wall: Wall) -> None:
    found = Bans(wall=wall)
    wide, narrow = found.add("192.0.0.0/16"), found.add("192.0.2.0/24", seconds=10)

    assert found.of_source("192.0.2.1") == narrow
    wall.now += 10
    assert found.of_source("192.0.2.1") == wide
    assert found.remove("192.0.0.0/16")
    assert found.of_source("192.0.2.1") is None


@pytest.mark.parametrize(
    "key", [KEY, KEY.fingerprint, KEY.key_id, KEY.key_id.hex(), KEY.fingerprint.upper()], ids=lambda key: repr(key)
)
def test_a_key_has_many_spellings_and_one_ban(wall: Wall, key: Any) -> None:
    found = Bans(wall=wall)
    ban = found.add(key=key)

    assert ban.name == KEY.fingerprint
    assert found.of_holder(KEY.key_id, None) == found.of_holder(KEY.fingerprint, "ann") == ban
    assert found.of_holder(OTHER.key_id, "ann") is None
    assert found.remove(key=KEY)
    assert not found.remove(key=KEY)
    assert found.of_holder(KEY.key_id, None) is None


def test_a_user_is_banned_by_name_whatever_the_key(wall: Wall) -> None:
    found = Bans(wall=wall)
    ban = found.add(user="ann")

    assert found.of_holder(KEY.key_id, "ann") == found.of_holder(OTHER.key_id, "ann") == ban
    assert found.of_holder(KEY.key_id, "Ann") is None
    assert found.of_holder(KEY.key_id, None) is None
    found.add(key=KEY, seconds=5)
    wall.now += 5
    assert found.of_holder(KEY.key_id, "ann") == ban  # that of the key has expired


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"network": "192.0.2.1", "user": "ann"},
        {"network": "localhost"},
        {"network": "192.0.2.1/24"},
        {"network": ""},
        {"user": ""},
        {"user": "a" * 257},
        {"user": 7},
        {"key": KEY.reveal()},
        {"key": b"short"},
        {"key": "5489-e58b-b48f-e1fg"},
        {"key": 7},
        {"user": "ann", "reason": "two\nlines"},
        {"user": "ann", "reason": "x" * 201},
        {"user": "ann", "reason": None},
        {"user": "ann", "seconds": 0},
        {"user": "ann", "seconds": -1.0},
        {"user": "ann", "seconds": float("inf")},
        {"user": "ann", "seconds": float("nan")},
    ],
)
def test_what_names_nobody_is_refused_and_no_key_is_shown(wall: Wall, names: dict[str, Any]) -> None:
    found = Bans(wall=wall)
    with pytest.raises(InvalidBan) as refused:
        found.add(**names)

    assert isinstance(refused.value, (Misuse, ValueError))
    assert KEY.reveal() not in str(refused.value)
    assert found.list() == ()


# --- for how long -----------------------------------------------------------------------------------------------------


def test_a_ban_expires_by_the_clock_on_the_wall(wall: Wall) -> None:
    found = Bans(wall=wall)
    short, for_ever = found.add("192.0.2.1", seconds=60), found.add(user="ann", reason="spam")

    assert (short.since, short.until) == (wall.now, wall.now + 60)
    assert found.list() == tuple(found) == (short, for_ever)
    assert len(found) == 2
    wall.now += 59.9
    assert found.of_source("192.0.2.1") == short
    wall.now += 0.1
    assert found.of_source("192.0.2.1") is None
    assert found.list() == (for_ever,)
    assert not found.remove("192.0.2.1")
    wall.now -= 60  # a clock that is set back does not bring back what `remove` has forgotten
    assert found.of_source("192.0.2.1") is None


def test_a_later_ban_of_the_same_takes_the_place_of_the_first(wall: Wall) -> None:
    found = Bans(wall=wall)
    found.add("192.0.2.1", seconds=60)
    later = found.add("192.0.2.1", reason="again")

    assert found.list() == (later,)
    wall.now += 100
    assert found.of_source("192.0.2.1") == later


def test_there_are_only_so_many(wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bans.MOST_BANS == 65_536
    monkeypatch.setattr(bans, "MOST_BANS", 3)
    found = Bans(wall=wall)
    for place in range(3):
        found.add(f"192.0.2.{place}", seconds=10)
    with pytest.raises(LimitReached) as refused:
        found.add(user="ann")

    assert (refused.value.limit, refused.value.found) == (3, 4)
    found.add("192.0.2.0", seconds=20)  # it was there
    wall.now += 10
    assert found.add(user="ann") in found  # two have expired


def test_who_asked_to_be_told_is_told_of_each_without_a_lock_held(wall: Wall) -> None:
    told: list[tuple[Ban, int]] = []
    found = Bans(wall=wall, on_add=lambda ban: told.append((ban, len(found))))
    added = [found.add("192.0.2.1"), found.add(user="ann")]

    assert told == [(added[0], 1), (added[1], 2)]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_what_was_banned_is_banned_by_the_next_server(wall: Wall, tmp_path: Path) -> None:
    place = tmp_path / "bans"
    first = Bans(place, wall=wall)
    added = [
        first.add("192.0.2.0/24", reason='says "ä\\" 😀', seconds=60),
        first.add(user="ann\nbob", reason=""),
        first.add(key=KEY),
        first.add("2001:db8::/32"),
    ]

    assert Bans(place, wall=wall).list() == tuple(added)
    assert KEY.reveal() not in place.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [place]
    first.remove(key=KEY)
    wall.now += 60
    first.add(user="bob")
    assert [ban["name"] for ban in map(json.loads, place.read_text().splitlines())] == [
        "ann\nbob",
        "2001:db8::/32",
        "bob",
    ]


def line(**changes: Any) -> bytes:
    fields = {"kind": "user", "name": "ann", "reason": "", "since": 1.0, "until": None} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode() + b"\n"


def test_the_line_that_the_refusals_below_change_is_one(wall: Wall, tmp_path: Path) -> None:
    (tmp_path / "bans").write_bytes(line() + line(kind="network", name="192.0.2.0/24", until=wall.now + 1))

    assert len(Bans(tmp_path / "bans", wall=wall)) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        line()[:-1],
        line() + b"x",
        line() + line(),
        b"[]\n",
        b"7\n",
        b"\xff\n",
        b"[" * 4000 + b"\n",
        b'{"kind": "user", "kind": "user", "name": "ann", "reason": "", "since": 1.0, "until": null}\n',
        b'[["kind", "user"], ["name", "ann"], ["reason", ""], ["since", 1.0], ["until", null]]\n',
        line(reason="x" * 5000),
        line(reason="x" * 201),
        line(reason="two\nlines"),
        line(reason=None),
        line(reason=...),
        line(more=1),
        line(kind="host"),
        line(kind=None),
        line(name=7),
        line(name=""),
        line(kind="network", name="192.0.2.1"),
        line(kind="network", name="192.0.2.1/24"),
        line(kind="network", name="::ffff:192.0.2.0/120"),
        line(kind="key", name=KEY.key_id.hex()),
        line(kind="key", name=KEY.reveal()),
        line(since=1),
        line(since=None),
        line(since=True),
        line(since=float("nan")),
        line(until=float("inf")),
        line(until="soon"),
    ],
)
def test_a_file_that_says_anything_else_is_refused_whole(wall: Wall, tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "bans"
    place.write_bytes(line(name="bob") + content)
    with pytest.raises(InvalidBan, match=r"line [23]") as refused:
        Bans(place, wall=wall)

    assert KEY.reveal() not in str(refused.value)
    assert place.read_bytes() == line(name="bob") + content


def test_a_file_of_too_many_bans_or_bytes_is_refused(
    wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bans, "MOST_BANS", 3)
    place = tmp_path / "bans"
    place.write_bytes(b"".join(line(name=f"user {number}") for number in range(4)))
    with pytest.raises(InvalidBan, match="more than 3"):
        Bans(place, wall=wall)
    place.write_bytes(b" " * (3 * bans.LINE_BYTES + 1))
    with pytest.raises(InvalidBan, match="too long"):
        Bans(place, wall=wall)


def test_a_disk_that_fails_is_told_and_the_ban_stands(
    wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Ban] = []
    found = Bans(tmp_path / "bans", wall=wall, on_add=told.append)
    found.add(user="bob")
    before = (tmp_path / "bans").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        found.add(user="ann")

    assert found.of_holder(KEY.key_id, "ann") is not None
    assert [ban.name for ban in told] == ["bob", "ann"]
    assert (tmp_path / "bans").read_bytes() == before
    with pytest.raises(OSError, match="No space"):
        found.remove(user="ann")


def test_threads_that_ban_at_once_lose_nothing(wall: Wall, tmp_path: Path) -> None:
    found = Bans(tmp_path / "bans", wall=wall)

    def ban(first: int) -> None:
        for place in range(20):
            found.add(f"192.0.{first}.{place}")
            found.of_source("192.0.2.1")
            found.remove(f"192.0.{first}.{place}") if place % 2 else None

    threads = [threading.Thread(target=ban, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = {f"192.0.{first}.{place}/32" for first in range(4) for place in range(0, 20, 2)}
    assert {ban.name for ban in found} == {ban.name for ban in Bans(tmp_path / "bans", wall=wall)} == expected


NETWORKS = ["192.0.2.0/24", "192.0.2.0/25", "192.0.2.1/32", "192.0.0.0/16", "0.0.0.0/0", "2001:db8::/32", "::1/128"]
IPS = ["192.0.2.1", "192.0.2.200", "192.0.3.1", "198.51.100.1", "2001:db8::1", "::1"]


class Ledger(RuleBasedStateMachine):
    """Beside a model that looks at every ban each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.bans = Bans(wall=lambda: self.now)
        self.model: dict[str, float] = {}

    @rule(network=st.sampled_from(NETWORKS), seconds=st.sampled_from([None, 1.0, 10.0]))
    def add(self, network: str, seconds: float | None) -> None:
        self.bans.add(network, seconds=seconds)
        self.model[network] = self.now + (seconds or float("inf"))

    @rule(network=st.sampled_from(NETWORKS))
    def remove(self, network: str) -> None:
        assert self.bans.remove(network) is (self.model.pop(network, 0) > self.now)

    @rule(seconds=st.sampled_from([0.5, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def agrees(self) -> None:
        standing = [ipaddress.ip_network(network) for network, until in self.model.items() if until > self.now]
        for ip in IPS:
            found = [network for network in standing if ipaddress.ip_address(ip) in network]
            ban = self.bans.of_source(ip)
            expected = str(max(found, key=lambda network: network.prefixlen)) if found else None

            assert (None if ban is None else ban.name) == expected
        assert {ban.name for ban in self.bans} == {str(network) for network in standing}


TestLedger: Callable[..., Any] = Ledger.TestCase
