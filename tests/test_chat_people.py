"""Who is in a chat: the tables agree with a model that remembers everything, and the parts keep their bounds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netstructer.address import Address
from netstructer.errors import LimitReached, Muted, NameTaken, NotHere, TooFast
from netstructer.services.chat.mutes import MOST_MUTES, Mutes
from netstructer.services.chat.pace import Pace
from netstructer.services.chat.people import People
from netstructer.services.chat.texts import name_of_user


class Fake:
    """What a link shows of itself."""

    def __init__(self, number: int, host: str = "127.0.0.1") -> None:
        self.id, self.peer, self.fingerprint = f"{number:016x}", Address(host, 4000 + number), "same"
        self.closed = self.suspended = False


class Model(RuleBasedStateMachine):
    """People against a dict of links to who is on each: a name, and the account or None."""

    def __init__(self) -> None:
        super().__init__()
        self.people = People()
        self.links = [Fake(number, host=f"127.0.0.{1 + number % 2}") for number in range(5)]
        self.here: dict[str, tuple[str, str | None]] = {}

    @rule(at=st.integers(0, 4), name=st.sampled_from(["Ada", "ADA", "Bob"]), user=st.sampled_from([None, None, "ada"]))
    def enter(self, at: int, name: str, user: str | None) -> None:
        link, folded = self.links[at], name.casefold()
        others = {where: whose for where, (who, whose) in self.here.items() if who == folded}
        taken = [next(one for one in self.links if one.id == where) for where in others]
        own = bool(others) and user is not None and set(others.values()) == {user}
        gone = (
            user is None
            and all(one.closed or (one.suspended and one.peer.host == link.peer.host) for one in taken)
            and set(others.values()) == {None}
        )
        if link.closed or link.id in self.here or (others and not own and not gone):
            with pytest.raises(NotHere if link.closed else NameTaken):
                self.people.enter(link, name_of_user(name), user, 0.0)
            return
        entered = self.people.enter(link, name_of_user(name), user, 0.0)
        assert entered.is_first == (not own)
        assert (entered.replaced is not None) == (bool(others) and not own)
        if not own:
            for one in taken:
                del self.here[one.id]
        self.here[link.id] = (folded, user)

    @rule(at=st.integers(0, 4))
    def leave(self, at: int) -> None:
        link = self.links[at]
        known = self.here.pop(link.id, None)
        gone = self.people.leave(link.id)
        assert (gone is None) == (known is None)
        if gone is not None and known is not None:
            assert gone.was_last == (known[0] not in [name for name, _ in self.here.values()])

    @rule(at=st.integers(0, 4), name=st.sampled_from(["Ada", "bob", "Carl"]))
    def rename(self, at: int, name: str) -> None:
        link = self.links[at]
        visit, known = self.people.on(link), self.here.get(link.id)
        if visit is None or known is None:
            assert visit is known is None
            return
        taken = any(who == name.casefold() for where, (who, _) in self.here.items() if where != link.id)
        if known[1] is not None or taken:
            with pytest.raises(NameTaken):
                self.people.rename(visit, name_of_user(name))
            return
        self.people.rename(visit, name_of_user(name))
        self.here[link.id] = (name.casefold(), None)

    @rule(at=st.integers(0, 4), closed=st.booleans(), suspended=st.booleans())
    def change(self, at: int, closed: bool, suspended: bool) -> None:
        self.links[at].closed, self.links[at].suspended = closed, suspended

    @invariant()
    def they_agree(self) -> None:
        assert {person.name.folded for person in self.people.all()} == {name for name, _ in self.here.values()}
        for link in self.links:
            visit = self.people.on(link)
            found = None if visit is None else (visit.person.name.folded, visit.person.user)
            assert found == self.here.get(link.id)
        assert sum(len(person.links) for person in self.people.all()) == len(self.here)


TestPeople = Model.TestCase
TestPeople.settings = settings(max_examples=30, stateful_step_count=25)


def test_a_bucket_holds_a_burst_and_is_filled_in_time() -> None:
    pace = Pace(2.0, 3, 100.0)
    for now, taken in [(100.0, 3), (100.4, 0), (100.5, 1), (99.0, 0), (1000.0, 3), (1001.0, 2)]:
        for _ in range(taken):
            pace.take(now)
        with pytest.raises(TooFast) as caught:
            pace.take(now)
        assert 0 < caught.value.seconds <= 0.5


def test_so_many_are_muted_and_the_word_comes_back_by_itself() -> None:
    mutes = Mutes()
    for number in range(MOST_MUTES):
        mutes.add(str(number), 10.0, 0.0)
    with pytest.raises(LimitReached):
        mutes.add("one more", 10.0, 9.0)
    mutes.add("7", 20.0, 9.0)
    with pytest.raises(Muted, match="for 20 seconds more"):
        mutes.check("7", 9.0)
    mutes.check("8", 10.0)
    mutes.add("one more", 10.0, 10.0)
    assert (mutes.remove("one more", 10.0), mutes.remove("one more", 10.0), mutes.remove("8", 10.0)) == (
        True,
        False,
        False,
    )
