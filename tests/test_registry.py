"""The registry: links by where they come from, each in once and out once, whoever asks from whatever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netstructer.address import Address, normalise_ip
from netstructer.errors import InvalidAddress, Misuse
from netstructer.registry import Registry

SPELLINGS = {
    "192.0.2.1": ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201"],
    "192.0.2.2": ["192.0.2.2", "::ffff:192.0.2.2"],
    "2001:db8::1": ["2001:db8::1", "2001:0DB8:0:0::0001"],
}
IPS = sorted(SPELLINGS)


@dataclass(eq=False)
class FakeLink:
    """What a link shows the registry."""

    id: str
    peer: Address
    user: str | None = None
    closed: bool = False


def link(place: int, ip: str = "192.0.2.1", port: int | None = None, user: str | None = None) -> FakeLink:
    return FakeLink(f"{place:016x}", Address(ip, 40_000 + place if port is None else port), user)


def filled(*links: FakeLink) -> Registry[FakeLink]:
    registry: Registry[FakeLink] = Registry()
    for one in links:
        registry.add(one)
    return registry


def test_the_newest_open_link_is_found_and_taken() -> None:
    old, new, gone = link(1), link(2), link(3)
    registry = filled(old, new, gone)
    gone.closed = True

    assert registry.get("192.0.2.1") is new
    assert registry.get("::ffff:192.0.2.1") is new
    assert registry.all("192.0.2.1") == (old, new)
    assert registry.pop("192.0.2.1") is new
    assert registry.pop("192.0.2.1") is old
    assert registry.pop("192.0.2.1") is None
    assert registry.get("192.0.2.1") is None
    assert registry.discard(gone)
    assert not registry.discard(gone)


def test_several_links_behind_one_ip_are_kept_apart() -> None:
    first, second, other = link(1, user="ann"), link(2, user="bob"), link(3, ip="2001:db8::1", user="ann")
    registry = filled(first, second, other)

    assert registry.get(("192.0.2.1", first.peer.port)) is first
    assert registry.get(("::ffff:192.0.2.1", second.peer.port)) is second
    assert registry.get(("192.0.2.1", 1)) is None
    assert registry.get(id=second.id) is second
    assert registry.get(id="0" * 16) is None
    assert registry.get(user="ann") is other
    assert registry.pop(user="ann") is other
    assert registry.pop(user="ann") is first
    assert registry.pop(id=second.id) is second
    assert len(registry) == 0


def test_asking_for_nothing_or_for_two_things_is_misuse() -> None:
    registry = filled(link(1))
    for ask in (registry.get, registry.pop):
        for wrong in ({}, {"ip": "192.0.2.1", "id": "x"}, {"id": "x", "user": "y"}):
            with pytest.raises(Misuse):
                ask(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["", "localhost", "192.0.2", "192.0.02.1", "192.0.2.1:5000", (1, 2), (None, 5)])
def test_what_is_no_ip_is_told(place: object) -> None:
    registry = filled(link(1))
    for ask in (registry.get, registry.pop, registry.wait):
        with pytest.raises(InvalidAddress):
            ask(place)  # type: ignore[arg-type]
    with pytest.raises(InvalidAddress):
        registry.all(place)  # type: ignore[arg-type]


def test_it_is_a_container() -> None:
    first, second, gone = link(1), link(2, ip="2001:db8::1"), link(3)
    registry = filled(first, second, gone)
    gone.closed = True

    assert (len(registry), registry.count()) == (2, 2)
    assert list(registry) == [first, second] == list(registry.all())
    assert "192.0.2.1" in registry
    assert "::ffff:192.0.2.1" in registry
    assert ("2001:db8::1", second.peer.port) in registry
    assert "192.0.2.9" not in registry
    assert first in registry
    assert gone not in registry
    assert link(1) not in registry


def test_a_snapshot_may_be_used_while_links_leave() -> None:
    registry = filled(*map(link, range(10)))
    for one in registry:
        registry.discard(one)

    assert registry.count() == 0


def test_all_leave_at_once() -> None:
    links = tuple(map(link, range(5)))
    registry = filled(*links)
    assert registry.empty() == links
    assert registry.empty() == ()
    assert registry.get("192.0.2.1") is None
    registry.add(links[0])
    assert registry.get("192.0.2.1") is links[0]


def in_thread(call: Callable[[], object]) -> Callable[[], object]:
    """Start a call in a thread; return what waits for its result."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()

    def result() -> object:
        thread.join(10)
        assert found, "it waits for ever"
        return found[0]

    return result


def test_waiting_ends_when_a_link_comes_when_time_passes_and_when_it_closes() -> None:
    first = link(1)
    registry = filled()
    assert registry.wait("192.0.2.1", timeout=0) is None
    assert registry.wait("192.0.2.1", timeout=0.01) is None
    waits = [in_thread(lambda: registry.wait("::ffff:192.0.2.1", timeout=10)) for _ in range(3)]
    elsewhere = in_thread(lambda: registry.wait(("192.0.2.1", 1), timeout=10))
    registry.add(first)
    assert [wait() for wait in waits] == [first] * 3
    assert registry.wait("192.0.2.1") is first
    registry.close()
    assert elsewhere() is None


def test_a_closed_registry_waits_for_nobody() -> None:
    first = link(1)
    registry = filled(first)
    assert registry.close() == (first,)
    assert registry.close() == ()

    assert registry.wait("192.0.2.1") is None


def test_many_threads_at_once_lose_and_double_nothing() -> None:
    registry, taken, failures = filled(), [], []
    lock = threading.Lock()
    start = threading.Barrier(8)

    def add(first: int) -> None:
        start.wait()
        for place in range(first, first + 300):
            registry.add(link(place, ip=IPS[place % 3]))

    def take(seed: int) -> None:
        draw = Random(seed)
        start.wait()
        for _ in range(600):
            ip = draw.choice(SPELLINGS[draw.choice(IPS)])
            chosen = draw.choice(
                [registry.pop, registry.pop, registry.get, registry.all, lambda place: registry.wait(place, 0.0001)]
            )
            found = chosen(ip)
            if found is not None and chosen == registry.pop:
                with lock:
                    taken.append(found)
            failures.extend(one for one in registry if one.peer.host not in IPS)

    threads = [threading.Thread(target=add, args=(1000 * place,)) for place in range(4)]
    threads += [threading.Thread(target=take, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    left = registry.empty()

    assert failures == []
    assert len(taken) + len(left) == 1200
    assert len({one.id for one in (*taken, *left)}) == 1200
    assert registry._by_ip == {}


class Links(RuleBasedStateMachine):
    """The registry against a list of links, oldest first."""

    @initialize()
    def begin(self) -> None:
        self.registry: Registry[FakeLink] = Registry()
        self.links: list[FakeLink] = []
        self.count = 0

    def _model(self, ip: str | None = None) -> list[FakeLink]:
        return [one for one in self.links if not one.closed and ip in (None, one.peer.host)]

    @rule(ip=st.sampled_from(IPS), user=st.sampled_from([None, "ann", "bob"]))
    def add(self, ip: str, user: str | None) -> None:
        self.count += 1
        self.links.append(link(self.count, ip=ip, user=user))
        self.registry.add(self.links[-1])

    @rule(ip=st.sampled_from(IPS), spelling=st.integers(0, 5))
    def pop(self, ip: str, spelling: int) -> None:
        text = SPELLINGS[ip][spelling % len(SPELLINGS[ip])]
        found = self.registry.pop(text)
        assert found is (self._model(ip)[-1] if self._model(ip) else None)
        self._forget(found)

    @rule(user=st.sampled_from(["ann", "bob"]))
    def pop_user(self, user: str) -> None:
        model = [one for one in self._model() if one.user == user]
        found = self.registry.pop(user=user)
        assert found is (model[-1] if model else None)
        self._forget(found)

    @rule(pick=st.integers(0, 99))
    def close_one(self, pick: int) -> None:
        if self.links:
            self.links[pick % len(self.links)].closed = True

    @rule(pick=st.integers(0, 99))
    def discard(self, pick: int) -> None:
        if self.links:
            found = self.links[pick % len(self.links)]
            assert self.registry.discard(found)
            self._forget(found)
            assert not self.registry.discard(found)

    @rule()
    def empty(self) -> None:
        assert list(self.registry.empty()) == self.links
        self.links.clear()

    @invariant()
    def the_same_links(self) -> None:
        if not hasattr(self, "links"):
            return
        assert list(self.registry.all()) == self._model()
        for ip in IPS:
            model = self._model(ip)
            assert list(self.registry.all(ip)) == model
            assert self.registry.get(normalise_ip(ip)) is (model[-1] if model else None)
            assert all(self.registry.get((ip, one.peer.port)) is one for one in model)
        assert all(self.registry.get(id=one.id) is one for one in self._model())

    def _forget(self, found: FakeLink | None) -> None:
        if found is not None:
            self.links.remove(found)


TestLinks = Links.TestCase
TestLinks.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
