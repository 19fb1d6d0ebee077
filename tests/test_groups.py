"""Groups: who is in one, who leaves, and that the tables agree with a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Link, Server, aio
from netstructer.errors import LimitReached, LinkClosed, Misuse
from netstructer.groups import MOST_GROUPS_OF_LINK, NAME_CHARACTERS, Groups


class Fake:
    def __init__(self, number: int) -> None:
        self.id, self.closed = f"{number:016x}", False


@pytest.mark.parametrize("name", ["", "x" * (NAME_CHARACTERS + 1), "a\nb", "a\x1b[31m", 7, None])
def test_a_name_is_printable_and_bounded(name: object) -> None:
    with pytest.raises(Misuse, match="group's name"):
        Groups().join(Fake(1), name)  # type: ignore[arg-type]


def test_a_link_that_is_closed_joins_nothing() -> None:
    groups: Groups[Fake] = Groups()
    link = Fake(1)
    link.closed = True

    with pytest.raises(LinkClosed):
        groups.join(link, "news")
    assert len(groups) == 0


def test_a_link_is_in_so_many_groups_and_no_more() -> None:
    groups: Groups[Fake] = Groups()
    link, other = Fake(1), Fake(2)
    for number in range(MOST_GROUPS_OF_LINK):
        assert groups.join(link, str(number))
    with pytest.raises(LimitReached) as caught:
        groups.join(link, "one more")

    assert (caught.value.limit, "one more" in groups) == (MOST_GROUPS_OF_LINK, False)
    assert not groups.join(link, "0")  # it is in there
    assert groups.join(other, "one more")


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.groups: Groups[Fake] = Groups()
        self.links = [Fake(number) for number in range(4)]
        self.joined: list[tuple[Fake, str]] = []

    links_drawn = st.integers(0, 3)
    names = st.sampled_from("abc")

    @rule(at=links_drawn, name=names)
    def join(self, at: int, name: str) -> None:
        pair = (self.links[at], name)
        assert self.groups.join(*pair) == (pair not in self.joined)
        if pair not in self.joined:
            self.joined.append(pair)

    @rule(at=links_drawn, name=names)
    def leave(self, at: int, name: str) -> None:
        pair = (self.links[at], name)
        assert self.groups.leave(*pair) == (pair in self.joined)
        self.joined = [found for found in self.joined if found != pair]

    @rule(at=links_drawn)
    def leave_all(self, at: int) -> None:
        link = self.links[at]
        assert self.groups.leave(link) == any(found is link for found, _ in self.joined)
        self.joined = [found for found in self.joined if found[0] is not link]

    @invariant()
    def the_tables_say_the_same(self) -> None:
        names = sorted({name for _, name in self.joined})
        assert self.groups.names() == tuple(names)
        assert len(self.groups) == len(names)
        for name in "abc":
            members = tuple(link for link, found in self.joined if found == name)
            assert self.groups.members(name) == members
            assert (self.groups.count(name), name in self.groups) == (len(members), bool(members))
        for link in self.links:
            assert self.groups.of(link) == tuple(name for found, name in self.joined if found is link)


TestModel = Model.TestCase


def test_a_published_value_reaches_the_members_and_nobody_else() -> None:
    with Server(key=KEY) as server:
        links = [Link(server.address, key=KEY) for _ in range(3)]
        far = [server.accept(timeout=PATIENCE_SECONDS) for _ in links]
        by_id = {link.id: link for link in links}
        for link in far[:2]:
            server.groups.join(link, "news")
        done = server.publish("news", {"a": 1})
        nobody = server.publish("other", 1)
        without = server.publish("news", "not for all", exclude=(far[0],))
        server.broadcast("all")

        assert (set(done.sent), done.skipped) == (set(far[:2]), ())
        assert (nobody.sent, without.sent) == ((), (far[1],))
        assert by_id[far[0].id].recv(timeout=PATIENCE_SECONDS) == {"a": 1}
        assert [by_id[far[1].id].recv(timeout=PATIENCE_SECONDS) for _ in range(2)] == [{"a": 1}, "not for all"]
        for link in links:
            assert link.recv(timeout=PATIENCE_SECONDS) == "all"
        by_id[far[0].id].close()
        eventually(lambda: server.groups.members("news") == (far[1],), "the member that left")
        for link in links:
            link.close()
        eventually(lambda: len(server.groups) == 0, "the last member")


async def _publish() -> None:
    async with aio.Server(key=KEY) as server, aio.connect(server.address, key=KEY) as near:
        far = await server.accept(timeout=PATIENCE_SECONDS)
        server.groups.join(far, "news")
        done = await server.publish("news", [1, 2])

        assert done.sent == (far,)
        assert await near.recv(timeout=PATIENCE_SECONDS) == [1, 2]


def test_the_same_in_a_loop() -> None:
    import asyncio

    asyncio.run(_publish())
