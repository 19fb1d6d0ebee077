"""The key ring while it lives: keys that are added, that end, that overlap, and who uses them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from netstructer.errors import InvalidKey, Misuse
from netstructer.keyring import TIDY_KEYS, KeyRing
from netstructer.keys import Key

OLD, NEW, OTHER = (Key.generate() for _ in range(3))
NOW = 1_700_000_000.0


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


# --- what comes and goes ----------------------------------------------------------------------------------------------


def test_a_key_that_is_added_opens_links_at_once(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    ring.add(NEW.reveal(), user="ann")
    ring.add(OTHER, user="bob")

    assert ring.lookup(OLD.key_id) == (OLD, "ann")
    assert ring.lookup(NEW.key_id) == (NEW, "ann")
    assert ring.lookup(OTHER.key_id) == (OTHER, "bob")
    assert len(ring) == 3
    assert NEW in ring


@pytest.mark.parametrize("way", ["key", "text", "fingerprint", "user"])
def test_a_key_that_is_retired_opens_none(way: str, wall: Wall) -> None:
    ring = KeyRing({"ann": OLD, "bob": OTHER}, wall=wall)
    given: dict[str, Any] = {"key": OLD, "text": OLD.reveal(), "fingerprint": OLD.fingerprint}
    ended = ring.retire(user="ann") if way == "user" else ring.retire(given[way])

    assert ended == 1
    assert ring.lookup(OLD.key_id) is None
    assert OLD not in ring
    assert list(ring) == [(OTHER, "bob")]
    assert [use.fingerprint for use in ring.uses()] == [OTHER.fingerprint]


@pytest.mark.parametrize("way", ["after", "until", "datetime", "another zone"])
def test_with_an_overlap_the_old_key_opens_links_until_its_end(way: str, wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring.add(NEW)
    moment = datetime.fromtimestamp(NOW + 60, UTC)
    how: dict[str, Any] = {
        "after": {"after": 60},
        "until": {"until": NOW + 60},
        "datetime": {"until": moment},
        "another zone": {"until": moment.astimezone(timezone(timedelta(hours=-9)))},
    }
    ring.retire(OLD, **how[way])

    for passed, accepted in ((0.0, True), (59.9, True), (60.0, False), (1e9, False)):
        wall.now = NOW + passed
        assert (ring.lookup(OLD.key_id) is not None) == accepted
        assert ring.lookup(NEW.key_id) == (NEW, None)
    assert {use.fingerprint: use.until for use in KeyRing(NEW, wall=wall).uses()} == {NEW.fingerprint: None}


def test_a_key_may_be_added_with_its_end(wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring.add(OTHER, user="guest", until=NOW + 5)

    assert ring.lookup(OTHER.key_id) == (OTHER, "guest")
    wall.now += 5
    assert ring.lookup(OTHER.key_id) is None


def test_an_end_is_never_put_off(wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring.retire(OLD, after=10)
    ring.retire(OLD, after=1000)

    assert [use.until for use in ring.uses()] == [NOW + 10]
    ring.retire(OLD)
    assert ring.uses() == ()


def test_a_key_that_has_ended_may_come_back_and_one_that_has_not_may_not_come_twice(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    with pytest.raises(InvalidKey, match="'bob' has the same key as 'ann'"):
        ring.add(OLD, user="bob")
    with pytest.raises(InvalidKey, match="everybody has the same key as 'ann'"):
        ring.add(OLD)
    ring.opened("link", OLD.key_id)
    ring.retire(OLD)
    ring.add(OLD, user="bob")

    assert ring.lookup(OLD.key_id) == (OLD, "bob")
    assert [(use.user, use.open_links) for use in ring.uses()] == [("bob", 1)]
    ring.closed("link")
    assert [use.open_links for use in ring.uses()] == [0]


def test_zeros_name_the_only_key_that_has_not_ended(wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring.add(NEW)
    assert ring.lookup(bytes(8)) is None

    ring.retire(OLD)
    assert ring.lookup(bytes(8)) == (NEW, None)

    ring.retire(NEW)
    assert ring.lookup(bytes(8)) is None
    assert len(ring) == 0


def test_the_newest_key_of_a_user(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD, "bob": OTHER}, wall=wall)
    assert ring.newest("ann") == OLD

    ring.add(NEW, user="ann")
    assert (ring.newest("ann"), ring.newest("bob"), ring.newest("cat"), ring.newest(None)) == (NEW, OTHER, None, None)

    ring.retire(NEW)
    assert ring.newest("ann") == OLD


# --- who uses what ----------------------------------------------------------------------------------------------------


def test_who_still_uses_the_old_key_is_seen(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    ring.opened("1", OLD.key_id)
    ring.opened("2", OLD.key_id)
    wall.now += 100
    ring.add(NEW, user="ann")
    ring.retire(OLD, after=50)
    ring.opened("3", NEW.key_id)
    ring.opened("1", NEW.key_id)  # on its next transport

    old, new = ring.uses()
    assert (old.fingerprint, old.user, old.until, old.last_used, old.open_links) == (
        *(OLD.fingerprint, "ann", NOW + 150, NOW),
        1,
    )
    assert (new.fingerprint, new.until, new.last_used, new.open_links) == (NEW.fingerprint, None, NOW + 100, 2)

    wall.now += 50  # it has ended, and a link that it opened is open
    assert [use.open_links for use in ring.uses()] == [1, 2]
    for _ in range(2):
        ring.closed("2")
    assert [use.fingerprint for use in ring.uses()] == [NEW.fingerprint]


def test_links_of_unknown_keys_are_not_counted(wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring.opened("1", NEW.key_id)
    ring.closed("1")
    ring.closed("never heard of")

    assert [use.open_links for use in ring.uses()] == [0]


def test_a_key_that_has_ended_cannot_be_retired(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    ring.retire(OLD)
    for way in ({"key": OLD}, {"user": "ann"}):
        with pytest.raises(Misuse, match="in the ring"):
            ring.retire(**way)


def test_keys_that_ended_are_forgotten_in_time(wall: Wall) -> None:
    ring = KeyRing({"always": OLD, "linked": OTHER}, wall=wall)
    ring.opened("link", OTHER.key_id)
    ring.retire(OTHER)
    for number in range(500):
        key = Key.generate()
        ring.add(key, user=f"user {number}")
        ring.retire(key)

    assert len(ring._entries) <= 2 * TIDY_KEYS
    assert len(ring._of_user) <= 2 * TIDY_KEYS
    assert [use.user for use in ring.uses()] == ["always", "linked"]
    assert ring.lookup(OLD.key_id) == (OLD, "always")


def test_a_large_ring_is_made_and_asked_in_a_moment(wall: Wall) -> None:
    keys = {f"user {number}": Key.generate() for number in range(3000)}
    began = time.process_time()
    ring = KeyRing(keys, wall=wall)
    for name, key in keys.items():
        assert ring.newest(name) == key
        ring.retire(user=name, after=60)

    assert time.process_time() - began < 2  # it was 3 s and more when each key looked at all others


def test_who_asked_is_told_of_each_key_that_is_added(wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    told: list[object] = []
    ring.subscribe(lambda key, user: told.append((key, user, ring.newest(user))))  # may ask back: no lock is held
    ring.add(NEW, user="ann")
    ring.add(OTHER)
    with pytest.raises(InvalidKey):
        ring.add(OTHER, user="bob")

    assert told == [(NEW, "ann", NEW), (OTHER, None, OTHER)]


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-1e12, -1.0, 0.0, 59.0, 60.0, 1e12, float("inf"), float("-inf"), float("nan")])
def test_a_clock_that_jumps_ends_keys_early_or_late_and_nothing_else(jump: float, wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    ring.add(NEW, user="ann")
    ring.retire(OLD, after=60)
    ring.opened("1", OLD.key_id)
    wall.now = NOW + jump

    assert ring.lookup(OLD.key_id) == ((OLD, "ann") if jump < 60 else None)
    assert ring.lookup(NEW.key_id) == (NEW, "ann")
    assert ring.newest("ann") == NEW
    assert len(ring.uses()) == 2
    assert len(ring) == (2 if jump < 60 else 1)


@pytest.mark.parametrize("way", [{}, {"after": 0}, {"until": NOW}, {"until": NOW - 1}])
def test_a_key_that_was_retired_at_once_is_brought_back_by_no_clock(way: dict[str, float], wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    ring.add(NEW, user="ann")
    ring.opened("1", OLD.key_id)
    ring.retire(OLD, **way)
    wall.now = NOW - 3600

    assert ring.lookup(OLD.key_id) is None
    assert ring.is_revoked(OLD)
    assert list(ring) == [(NEW, "ann")]
    with pytest.raises(Misuse):
        ring.retire(OLD)
    ring.add(OLD, user="ann")  # only who runs the server can

    assert ring.lookup(OLD.key_id) == (OLD, "ann")
    assert not ring.is_revoked(OLD.fingerprint)


def test_a_ring_without_a_clock_ends_keys_at_once_or_not_at_all() -> None:
    ring = KeyRing({"ann": OLD, "bob": NEW})
    for wrong in ({"after": 1.0}, {"until": NOW}):
        with pytest.raises(Misuse, match="clock"):
            ring.retire(OLD, **wrong)
    ring.retire(OLD)

    assert list(ring) == [(NEW, "bob")]
    ring.set_clock(lambda: NOW)
    assert list(ring) == [(NEW, "bob")]
    ring.retire(NEW, after=1.0)
    ring.set_clock(lambda: NOW + 5)  # it has one
    assert list(ring) == [(NEW, "bob")]


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda ring: ring.retire(),
        lambda ring: ring.retire(OLD, user="ann"),
        lambda ring: ring.retire(OLD, after=1, until=NOW),
        lambda ring: ring.retire(OLD, after=-1),
        lambda ring: ring.retire(OLD, after=float("inf")),
        lambda ring: ring.retire(OLD, after=float("nan")),
        lambda ring: ring.retire(NEW),
        lambda ring: ring.retire(NEW.fingerprint),
        lambda ring: ring.retire("not-a-fingerprint-.."),
        lambda ring: ring.retire("gggg-gggg-gggg-gggg"),
        lambda ring: ring.retire(user="bob"),
        lambda ring: ring.retire("a name"),
        lambda ring: ring.retire(user=7),
        lambda ring: ring.add(NEW, user=""),
        lambda ring: ring.add(NEW, user=7),
        lambda ring: ring.add(NEW, until=datetime(2026, 1, 1)),
        lambda ring: ring.add(NEW, until="tomorrow"),
        lambda ring: ring.add(NEW, until=True),
        lambda ring: ring.add(NEW, until=float("nan")),
        lambda ring: ring.add("short", user="bob"),
    ],
)
def test_what_makes_no_sense_changes_nothing(wrong: Any, wall: Wall) -> None:
    ring = KeyRing({"ann": OLD}, wall=wall)
    with pytest.raises((Misuse, InvalidKey)):
        wrong(ring)

    assert list(ring) == [(OLD, "ann")]
    assert [use.until for use in ring.uses()] == [None]


def test_many_threads_at_once(wall: Wall) -> None:
    ring = KeyRing({"always": OLD}, wall=wall)
    faults: list[object] = []

    def work(name: str) -> None:
        try:
            for number in range(50):
                key = Key.generate()
                ring.add(key, user=name)
                ring.opened(f"{name}{number}", key.key_id)
                if ring.lookup(key.key_id) != (key, name) or ring.newest(name) != key or OLD not in ring:
                    faults.append(name)
                ring.uses()
                ring.retire(key)
                ring.closed(f"{name}{number}")
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(f"user {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert list(ring) == [(OLD, "always")]


def test_a_forked_child_gets_a_lock_of_its_own(wall: Wall) -> None:
    ring = KeyRing(OLD, wall=wall)
    ring._lock.acquire()
    ring.renew()

    assert ring.lookup(OLD.key_id) == (OLD, None)
