"""Occupancy: so many links in all, from a source, of a user; a place is given back once."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netstructer.address import Sources
from netstructer.limits import Limits
from netstructer.occupancy import Occupancy

LIMITS = Limits(links_per_source=3, links_per_user=2)


def filled(*holders: tuple[str, str | None], most: int = 100) -> Occupancy:
    found = Occupancy(LIMITS, most)
    for number, (ip, user) in enumerate(holders):
        found.enter(str(number), ip, user)
    return found


def test_so_many_in_all() -> None:
    found = filled(*[(f"192.0.2.{place}", None) for place in range(5)], most=5)

    assert found.full("127.0.0.1")
    assert found.full("198.51.100.1", "ann")
    found.leave("3")
    assert not found.full("198.51.100.1", "ann")


def test_so_many_from_one_source_and_loopback_is_exempt() -> None:
    found = filled(*[("192.0.2.1", None)] * 3, *[("127.0.0.1", None)] * 10)

    assert found.full("192.0.2.1")
    assert not found.full("192.0.2.2")
    assert not found.full("127.0.0.1")


def test_so_many_of_one_user_wherever_they_are() -> None:
    found = filled(("127.0.0.1", "ann"), ("192.0.2.1", "ann"), ("192.0.2.1", None))

    assert found.full("198.51.100.1", "ann")
    assert not found.full("198.51.100.1", "bob")
    assert not found.full("198.51.100.1", None)


def test_a_link_that_goes_on_elsewhere_moves() -> None:
    found = filled(*[("192.0.2.1", "ann")] * 2, ("192.0.2.1", None))
    found.enter("0", "192.0.2.9", "ann")

    assert len(found) == 3
    assert not found.full("192.0.2.1")
    assert found.full("198.51.100.1", "ann")


def test_letting_a_link_go_helps_only_where_its_place_was_short() -> None:
    holders = (("192.0.2.1", "ann"), ("192.0.2.1", "bob"), ("192.0.2.1", None), ("192.0.2.2", "bob"))
    some, full = filled(*holders), filled(*holders, most=4)

    def helping(found: Occupancy, ip: str, user: str | None) -> str:
        return "".join(link for link in ("0", "1", "2", "3", "never") if not found.full(ip, user, without=link))

    assert helping(some, "192.0.2.1", None) == "012"  # three of one source
    assert helping(some, "198.51.100.1", "bob") == "13"  # two of one user
    assert helping(some, "192.0.2.1", "bob") == "1"
    assert helping(some, "198.51.100.1", None) == "0123never"  # there was room
    assert helping(full, "198.51.100.1", "carol") == "0123"
    assert len(full) == 4


def test_a_place_is_given_back_once() -> None:
    found = filled(("192.0.2.1", "ann"))
    for _ in range(3):
        found.leave("0")
    found.leave("never")

    assert len(found) == 0
    assert (found._by_source, found._by_user) == ({}, {})


class Places(RuleBasedStateMachine):
    """Beside a model that counts each time."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Occupancy(LIMITS, 6, Sources(()))
        self.model: dict[str, tuple[str, str | None]] = {}

    @rule(
        link=st.sampled_from("abcdefgh"), ip=st.sampled_from(["127.0.0.1", "::1"]), user=st.sampled_from(["ann", None])
    )
    def enter(self, link: str, ip: str, user: str | None) -> None:
        self.found.enter(link, ip, user)
        self.model[link] = ip, user

    @rule(link=st.sampled_from("abcdefgh"))
    def leave(self, link: str) -> None:
        self.found.leave(link)
        self.model.pop(link, None)

    @invariant()
    def agrees(self) -> None:
        holders = list(self.model.values())
        for ip in ("127.0.0.1", "::1"):
            crowded = len(holders) >= 6 or sum(at == ip for at, _ in holders) >= 3

            assert self.found.full(ip) is crowded
            assert self.found.full(ip, "ann") is (crowded or sum(user == "ann" for _, user in holders) >= 2)
        assert len(self.found) == len(holders)


TestPlaces = Places.TestCase
