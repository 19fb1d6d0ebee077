"""Keys that change while links are open: each link of the user learns the new one, uses it when it next connects, and
who still uses the old one is seen.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, Relay, eventually
from netstructer import Identity, Key, Link, Server, aio
from netstructer.errors import IllegalFrame, InvalidKey, KeyRefused
from netstructer.keyring import KeyRing
from netstructer.limits import Limits
from netstructer.protocol import notices
from netstructer.protocol.events import NewKeyCame
from netstructer.protocol.handshake import ExpectHello, start_client
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Kind, Role, State
from pair import ALL_FEATURES, RESUMABLE, Hostile
from roaming import RoamingPair

OLD, NEW, BOB = (Key.generate() for _ in range(3))
TEXT = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key={"ann": OLD, "bob": BOB}) as running:
        yield running


def uses(server: Server | aio.Server) -> dict[str, int]:
    """Return how many open links each key has."""
    return {use.fingerprint: use.open_links for use in server.keys.uses()}


# --- over loopback ----------------------------------------------------------------------------------------------------


def test_the_links_of_a_user_learn_the_new_key_and_no_others(server: Server) -> None:
    learnt: list[tuple[str, Key]] = []
    with (
        Link(server.address, key=OLD, on_new_key=lambda key: learnt.append(("first", key))),
        Link(server.address, key=OLD, on_new_key=lambda key: learnt.append(("second", key))),
        Link(server.address, key=BOB, on_new_key=lambda key: learnt.append(("bob", key))) as other,
    ):
        eventually(lambda: server.count() == 3)
        server.keys.add(NEW, user="ann")
        eventually(lambda: len(learnt) == 2)
        assert other.ping() > 0  # what was said to it before has come

        assert sorted(learnt, key=lambda each: each[0]) == [("first", NEW), ("second", NEW)]
        assert uses(server) == {OLD.fingerprint: 2, BOB.fingerprint: 1, NEW.fingerprint: 0}
    eventually(lambda: uses(server) == {OLD.fingerprint: 0, BOB.fingerprint: 0, NEW.fingerprint: 0})


def test_a_link_that_opens_with_the_old_key_later_learns_the_new_one(server: Server) -> None:
    server.keys.add(NEW, user="ann")
    server.keys.retire(OLD, after=3600)
    learnt: list[Key] = []
    with Link(server.address, key=OLD, on_new_key=learnt.append) as link:
        eventually(lambda: learnt)
        assert (learnt, link.fingerprint) == ([NEW], OLD.fingerprint)
    learnt.clear()
    with Link(server.address, key=NEW, on_new_key=learnt.append) as link:
        assert link.ping() > 0

        assert (learnt, link.fingerprint) == ([], NEW.fingerprint)


def test_a_key_that_is_not_announced_is_not_told(server: Server) -> None:
    learnt: list[Key] = []
    with Link(server.address, key=OLD, on_new_key=learnt.append) as link:
        eventually(lambda: server.count() == 1)
        server.keys.add(NEW, user="ann", announce=False)  # of ann's other machine
        assert link.ping() > 0
        with Link(server.address, key=NEW, on_new_key=learnt.append) as second:
            assert second.ping() > 0
            assert server.keys.newest("ann") == OLD
    eventually(lambda: learnt == [OLD])


def test_who_is_there_with_a_key_that_was_revoked_learns_no_new_one(server: Server) -> None:
    learnt: list[tuple[str, Key]] = []
    newest = Key.generate()
    with Link(server.address, key=OLD, on_new_key=lambda key: learnt.append(("thief", key))) as thief:
        eventually(lambda: uses(server)[OLD.fingerprint] == 1)
        server.keys.retire(OLD)
        server.keys.add(NEW, user="ann")
        with Link(server.address, key=NEW, on_new_key=lambda key: learnt.append(("ann", key))):
            eventually(lambda: uses(server)[NEW.fingerprint] == 1)
            server.keys.add(newest, user="ann")
            eventually(lambda: learnt)
        assert thief.ping() > 0  # what was said to it before has come

        assert learnt == [("ann", newest)]


@pytest.mark.parametrize("keys", [OLD, {"ann": OLD}])
def test_the_next_transport_is_opened_with_the_new_key(keys: Any) -> None:
    learnt: list[Key] = []
    user = "ann" if isinstance(keys, dict) else None
    with (
        Server(key=keys) as server,
        Relay(server.address) as relay,
        Link(relay.address, key=OLD, on_new_key=learnt.append) as link,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        server.keys.add(NEW, user=user)
        eventually(lambda: learnt == [NEW])
        server.keys.retire(OLD)
        assert uses(server) == {OLD.fingerprint: 1, NEW.fingerprint: 0}
        relay.cut()
        link.send("over the next transport")

        assert far.recv(timeout=PATIENCE_SECONDS) == "over the next transport"
        eventually(lambda: uses(server) == {NEW.fingerprint: 1})
        assert far.fingerprint == NEW.fingerprint
        eventually(lambda: link.fingerprint == NEW.fingerprint)
        far.send("and back")
        assert link.recv(timeout=PATIENCE_SECONDS) == "and back"
        with pytest.raises(KeyRefused):
            Link(server.address, key=OLD)


def test_the_key_file_has_the_new_key_for_the_next_time(tmp_path: Path) -> None:
    identity = Identity.generate()
    OLD.save(tmp_path / "key")
    learnt: list[Key] = []
    with Server(key={"ann": OLD}, identity=identity) as server:
        options: dict[str, Any] = {"server_identity": identity.fingerprint, "on_new_key": learnt.append}
        with Link(server.address, key=Key.load(tmp_path / "key"), **options):
            eventually(lambda: server.count() == 1)
            server.keys.add(NEW, user="ann")
            eventually(lambda: learnt == [NEW])
        server.keys.retire(OLD)
        with Link(server.address, key=Key.load(tmp_path / "key"), **options) as link:
            assert link.fingerprint == NEW.fingerprint
    assert Key.load(tmp_path / "key.old") == OLD


@pytest.mark.parametrize("facade", ["threads", "asyncio"])
def test_of_keys_that_come_at_once_the_last_is_learnt(facade: str, tmp_path: Path) -> None:
    place, identity, keys = tmp_path / "key", Identity.generate(), [Key.generate() for _ in range(8)]
    OLD.save(place)

    def work(server: Server) -> None:
        eventually(lambda: uses(server)[OLD.fingerprint] == 1)
        for key in keys:
            server.keys.add(key, user="ann")
        eventually(lambda: Key.load(place) == keys[-1])

    async def run(server: Server) -> None:
        pinned = identity.fingerprint
        async with await aio.connect(server.address, key=Key.load(place), server_identity=pinned) as link:
            await asyncio.to_thread(work, server)
            assert await link.ping() > 0

    with Server(key={"ann": OLD}, identity=identity) as server:
        if facade == "asyncio":
            asyncio.run(run(server))
        else:
            with Link(server.address, key=Key.load(place), server_identity=identity.fingerprint) as link:
                work(server)
                assert link.ping() > 0


def test_a_callback_may_use_its_link_and_fail(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[Link] = []
    trips: list[float] = []

    def told(key: Key) -> None:
        trips.append(links[0].ping())

    with Link(server.address, key=OLD, on_new_key=told) as link:
        links.append(link)
        eventually(lambda: server.count() == 1)
        server.keys.add(NEW, user="ann")
        eventually(lambda: trips)
        links.clear()


def test_a_ring_that_outlives_its_server_does_not_keep_it() -> None:
    ring = KeyRing({"ann": OLD}, wall=time.time)
    with Server(key=ring) as server, Link(server.address, key=OLD):
        eventually(lambda: server.count() == 1)
        assert server.keys is ring
    del server
    ring.add(NEW, user="ann")

    with Server(key=ring) as server, Link(server.address, key=NEW):
        eventually(lambda: server.count() == 1)


# --- asyncio ----------------------------------------------------------------------------------------------------------


async def holds(condition: Callable[[], object]) -> None:
    """Return as soon as a condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


def test_links_of_asyncio_learn_the_new_key_and_use_it(tmp_path: Path) -> None:
    identity, learnt = Identity.generate(), []
    OLD.save(tmp_path / "key")

    async def main() -> None:
        options: dict[str, Any] = {"server_identity": identity, "on_new_key": learnt.append}
        async with aio.Server(key={"ann": OLD}, identity=identity) as server:
            with Relay(server.address) as relay:
                async with aio.connect(relay.address, key=Key.load(tmp_path / "key"), **options) as link:
                    far = await server.accept(PATIENCE_SECONDS)
                    # From a thread, as an administrator's handler might.
                    await asyncio.to_thread(server.keys.add, NEW, user="ann")
                    await holds(lambda: learnt == [NEW])
                    server.keys.retire(OLD)
                    relay.cut()
                    await link.send("over the next transport")

                    assert await far.recv(timeout=PATIENCE_SECONDS) == "over the next transport"
                    await holds(lambda: uses(server) == {NEW.fingerprint: 1})
                    await holds(lambda: link.fingerprint == far.fingerprint == NEW.fingerprint)
                assert Key.load(tmp_path / "key") == NEW

    asyncio.run(main())


def test_a_key_that_is_added_when_the_loop_is_closed_reaches_nobody() -> None:
    ring = KeyRing({"ann": OLD}, wall=time.time)
    kept: list[object] = []

    async def main() -> None:
        async with aio.Server(key=ring) as server, aio.connect(server.address, key=OLD):
            kept.extend([server, await server.accept(PATIENCE_SECONDS)])

    asyncio.run(main())
    ring.add(NEW, user="ann")


# --- on the wire ------------------------------------------------------------------------------------------------------


def test_the_body_is_the_key_as_text() -> None:
    given = notices.NewKey(Key(TEXT))

    assert given.pack() == TEXT
    assert notices.NewKey.unpack(memoryview(TEXT)) == given
    assert TEXT.decode() not in repr(given)


@pytest.mark.parametrize("body", [b"", TEXT[:-1], TEXT + b"=", bytes(44), b"A" * 44, TEXT[:-2] + b"9=", b"\xff" * 44])
def test_a_body_that_is_no_key_is_an_illegal_frame_that_says_nothing_of_it(body: bytes) -> None:
    with pytest.raises(IllegalFrame) as refused:
        notices.NewKey.unpack(memoryview(body))

    assert not isinstance(refused.value.__cause__, InvalidKey)
    assert body.decode("latin-1")[:8] not in str(refused.value) or len(body) == 0


@pytest.mark.parametrize("state", [State.READY, State.LEAVING, State.LEFT, State.PARTING])
def test_a_client_is_told_and_says_nothing(state: State) -> None:
    hostile = Hostile(Role.CLIENT, features=ALL_FEATURES).stand(state)
    events = hostile.say(Kind.NEW_KEY, body=TEXT)

    assert events == [NewKeyCame(key=Key(TEXT))]
    assert TEXT.decode() not in repr(events)
    assert hostile.session.state is state


def test_a_server_takes_no_keys() -> None:
    hostile = Hostile(Role.SERVER, features=ALL_FEATURES).stand(State.READY)
    hostile.say(Kind.NEW_KEY, body=TEXT)

    assert type(hostile.session.error) is IllegalFrame


def test_what_is_given_without_a_transport_is_said_on_the_next_one_and_on_each_after_it() -> None:
    pair = RoamingPair(features=RESUMABLE)
    client, server = pair.client, pair.server
    pair.notice_at_client()
    pair.notice_at_server()
    server.session.give_key(OLD)
    server.session.give_key(NEW)
    assert server.session.frames_to_send(1 << 20, pair.now) == []

    for count in (1, 2):
        pair.mend()
        pair.pump()
        assert [event.key for event in client.of(NewKeyCame)] == [NEW] * count
        pair.notice_at_client()
        pair.notice_at_server()


def test_a_session_goes_on_with_another_key_of_the_same_user_and_not_with_that_of_another() -> None:
    ring = KeyRing({"ann": OLD, "bob": BOB})
    ring.add(NEW, user="ann")
    parameters = Parameters.of(Limits.DEFAULT, ALL_FEATURES)
    owners = []
    for key in (OLD, NEW, BOB):
        agreed = ExpectHello(ring, parameters).receive(start_client(key, parameters)[0])
        session = Session(
            Role.SERVER, agreed, limits=Limits.DEFAULT, now=0.0, draw=os.urandom, wall=lambda: 0.0, instance=bytes(16)
        )
        owners.append(session.owner)

    assert owners == ["ann", "ann", "bob"]
