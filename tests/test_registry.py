"""The registry: links by where they come from, each in once and out once, whoever asks from whatever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from netstructer.address import Address
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
    """The registry against plain lists: the links that have a transport, and those that have none, oldest first.

    Beside each link that has one stands the IP under which it is found: its peer may have another one by now.
    """

    @initialize()
    def begin(self) -> None:
        self.cleared: list[FakeLink] = []
        self.registry: Registry[FakeLink] = Registry(self.cleared.extend)
        self.links: list[tuple[FakeLink, str]] = []
        self.apart: list[FakeLink] = []
        self.gone: list[FakeLink] = []
        self.count = 0

    def _model(self, ip: str | None = None, port: int | None = None) -> list[FakeLink]:
        found = [one for one, host in self.links if not one.closed and ip in (None, host)]
        return [one for one in found if port in (None, one.peer.port)]

    def _known(self) -> list[FakeLink]:
        return [*(one for one, _ in self.links), *self.apart]

    def _forget(self, found: FakeLink | None) -> None:
        if found is not None:
            self.links = [entry for entry in self.links if entry[0] is not found]
            self.apart = [one for one in self.apart if one is not found]
            self.gone.append(found)

    def _picked(self, pick: int, links: list[FakeLink]) -> FakeLink | None:
        return links[pick % len(links)] if links else None

    @rule(ip=st.sampled_from(IPS), user=st.sampled_from([None, "ann", "bob"]), port=st.sampled_from([None, 1, 2]))
    def add(self, ip: str, user: str | None, port: int | None) -> None:
        self.count += 1
        one = link(self.count, ip=ip, user=user, port=port)
        self.links.append((one, ip))
        self.registry.add(one)

    @rule(ip=st.sampled_from(IPS), spelling=st.integers(0, 5), port=st.sampled_from([None, 1, 2]))
    def pop(self, ip: str, spelling: int, port: int | None) -> None:
        text = SPELLINGS[ip][spelling % len(SPELLINGS[ip])]
        found = self.registry.pop(text if port is None else (text, port))
        assert found is last_of(self._model(ip, port))
        assert found is None or not found.closed
        self._forget(found)

    @rule(user=st.sampled_from(["ann", "bob"]))
    def pop_user(self, user: str) -> None:
        found = self.registry.pop(user=user)
        assert found is last_of([one for one in self._model() if one.user == user])
        self._forget(found)

    @rule(pick=st.integers(0, 99))
    def pop_id(self, pick: int) -> None:
        one = self._picked(pick, [*self._known(), *self.gone])
        if one is not None:
            found = self.registry.pop(id=one.id)
            assert found is (one if one in self._model() else None)
            self._forget(found)

    @rule(pick=st.integers(0, 99))
    def close_one(self, pick: int) -> None:
        if one := self._picked(pick, self._known()):
            one.closed = True

    @rule(pick=st.integers(0, 99))
    def discard(self, pick: int) -> None:
        if one := self._picked(pick, self._known()):
            assert self.registry.discard(one)
            self._forget(one)
        if one := self._picked(pick, self.gone):
            assert not self.registry.discard(one)

    @rule(pick=st.integers(0, 99))
    def suspend(self, pick: int) -> None:
        one = self._picked(pick, [*self._known(), *self.gone])
        if one is None:
            return
        self.registry.suspend(one)
        if any(entry[0] is one for entry in self.links):
            self.links = [entry for entry in self.links if entry[0] is not one]
            self.apart.append(one)

    @rule(pick=st.integers(0, 99), ip=st.sampled_from(IPS))
    def resume(self, pick: int, ip: str) -> None:
        """A link has a transport again, or another one, from anywhere; one that has left does not come back."""
        one = self._picked(pick, [*self._known(), *self.gone])
        if one is None:
            return
        one.peer = Address(ip, one.peer.port)
        self.registry.resume(one)
        if one in self._known():
            self.links = [*(entry for entry in self.links if entry[0] is not one), (one, ip)]
            self.apart = [other for other in self.apart if other is not one]

    @rule(pick=st.integers(0, 99), ip=st.sampled_from(IPS))
    def roam(self, pick: int, ip: str) -> None:
        """A peer has another IP, and the registry has not been told: the link is found where it was."""
        if one := self._picked(pick, self._known()):
            one.peer = Address(ip, one.peer.port)

    @rule()
    def empty(self) -> None:
        assert list(self.registry.empty()) == self._known()
        self._all_left()

    @rule()
    def clear(self) -> None:
        self.cleared.clear()
        self.registry.clear()
        assert self.cleared == self._known()
        self._all_left()

    def _all_left(self) -> None:
        self.gone += self._known()
        self.links.clear()
        self.apart.clear()

    @rule(ip=st.sampled_from(IPS), spelling=st.integers(0, 5), port=st.sampled_from([None, 1, 2, 9]))
    def wait(self, ip: str, spelling: int, port: int | None) -> None:
        text = SPELLINGS[ip][spelling % len(SPELLINGS[ip])]
        assert self.registry.wait(text if port is None else (text, port), timeout=0) is last_of(self._model(ip, port))

    @invariant()
    def the_same_links(self) -> None:
        if not hasattr(self, "links"):
            return
        registry, model = self.registry, self._model()
        assert list(registry.all()) == list(registry) == model
        assert len(registry) == registry.count() == len(model)
        assert list(registry.suspended()) == self.apart
        for ip in IPS:
            for text in SPELLINGS[ip]:
                assert list(registry.all(text)) == self._model(ip)
                assert registry.get(text) is last_of(self._model(ip))
                assert (text in registry) == bool(self._model(ip))
            for port in {1, 2, *(one.peer.port for one in model[-2:])}:
                assert registry.get((ip, port)) is last_of(self._model(ip, port))
        for one in (*self._known()[-6:], *self.gone[-3:]):
            assert registry.get(id=one.id) is (one if one in model else None)
            assert (one in registry) == (one in model)
        for user in ("ann", "bob"):
            assert registry.get(user=user) is last_of([one for one in model if one.user == user])

    def teardown(self) -> None:
        if hasattr(self, "links"):
            assert list(self.registry.close()) == self._known()
            assert (self.registry._by_ip, self.registry._hosts, self.registry._links) == ({}, {}, {})
            assert self.registry.suspended() == ()


def last_of(links: list[FakeLink]) -> FakeLink | None:
    return links[-1] if links else None


SUITE = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestLinks = Links.TestCase
TestLinks.settings = SUITE


@pytest.mark.long
def test_many_registries() -> None:
    run_state_machine_as_test(Links, settings=settings(SUITE, max_examples=3000, stateful_step_count=80))


def _forget_where(self: Registry[FakeLink], one: FakeLink) -> bool:
    """Take a link out under the IP that its peer has now."""
    self._hosts[one.id] = one.peer.host if one.id in self._hosts else ""
    return _remove(self, one)


def _let_anybody_in(self: Registry[FakeLink], one: FakeLink) -> None:
    self.discard(one)
    self.add(one)


def _take_the_oldest(self: Registry[FakeLink], *asked: object) -> FakeLink | None:
    return next((one for one in self._found(*asked) if not one.closed), None)  # type: ignore[arg-type]


def _take_the_closed_too(self: Registry[FakeLink], *asked: object) -> FakeLink | None:
    return next(iter(reversed(self._found(*asked))), None)  # type: ignore[arg-type]


_remove = Registry._remove


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("_remove", _forget_where),
        ("resume", _let_anybody_in),
        ("_newest", _take_the_oldest),
        ("_newest", _take_the_closed_too),
    ],
)
def test_a_registry_that_is_worse_is_found(name: str, worse: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage twins."""
    monkeypatch.setattr(Registry, name, worse)
    finding = settings(SUITE, max_examples=200, phases=[Phase.generate], derandomize=True, database=None)
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Links, settings=settings(finding, print_blob=False, verbosity=Verbosity.quiet))
