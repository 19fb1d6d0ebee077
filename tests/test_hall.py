"""The hall: the same for a service, whichever façade the server is of."""

from __future__ import annotations

import asyncio
import gc

import pytest

from loopback import KEY, PATIENCE_SECONDS
from netstructer import Link, Server, aio
from netstructer.actions import user_of
from netstructer.errors import LinkTimeout, Misuse
from netstructer.services import hall as hall_module
from netstructer.services.hall import Hall


def test_what_a_service_does_with_a_blocking_server() -> None:
    with Server(key={"anna": KEY}) as server, Link(server.address, key=KEY) as near:
        hall = Hall(server)
        far = server.accept(timeout=PATIENCE_SECONDS)

        @near.on
        def double(number: int) -> int:
            return 2 * number

        server.groups.join(far, "room")

        assert (hall.links(), hall.links_of("anna"), hall.links_of("bert")) == ((far,), (far,), ())
        assert (hall.post("one", [far]), hall.post("none", []), hall.publish("room", "two")) == (1, 0, 1)
        assert hall.publish("room", "three", exclude=(far,)) == 0
        assert [near.recv(timeout=PATIENCE_SECONDS) for _ in range(2)] == ["one", "two"]
        assert hall.call(far, "double", 4, timeout=PATIENCE_SECONDS) == 8
        hall.notify(far, "double", 4, timeout=PATIENCE_SECONDS)
        assert hall.ping(far) > 0
        far.account = "carl"  # who has logged in is no longer known by the key
        assert (user_of(far), hall.links_of("carl")) == ("carl", (far,))
        hall.disconnect(far)
        assert far.closed
        hall.leave(PATIENCE_SECONDS)
        assert "closed" in repr(server)


async def _in_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with aio.Server(key=KEY) as server, aio.connect(server.address, key=KEY) as near:
        hall = Hall(server)
        far = await server.accept(timeout=PATIENCE_SECONDS)

        @near.on
        def double(number: int) -> int:
            return 2 * number

        @near.on
        async def wait() -> None:
            await asyncio.sleep(PATIENCE_SECONDS)

        def serve() -> None:
            assert user_of(far) is None
            assert hall.post("one", [far]) == 1
            assert hall.call(far, "double", 4, timeout=PATIENCE_SECONDS) == 8
            hall.notify(far, "double", 4, timeout=PATIENCE_SECONDS)
            assert hall.ping(far) > 0
            with pytest.raises(LinkTimeout, match="no answer"):
                hall.call(far, "wait", timeout=0.1)
            monkeypatch.setattr(hall_module, "LOOP_SECONDS", 0.05)
            with pytest.raises(LinkTimeout, match="the loop"):
                hall.call(far, "wait", timeout=PATIENCE_SECONDS)
            monkeypatch.setattr(hall_module, "LOOP_SECONDS", PATIENCE_SECONDS)
            hall.disconnect(far)
            hall.leave(PATIENCE_SECONDS)

        await asyncio.to_thread(serve)
        assert await near.recv(timeout=PATIENCE_SECONDS) == "one"
        assert far.closed


def test_the_same_with_a_server_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_in_a_loop(monkeypatch))


def test_a_hall_of_asyncio_is_made_in_the_loop_and_knows_when_its_server_is_gone() -> None:
    with pytest.raises(Misuse, match="in its loop"):
        Hall(aio.Server(key=KEY))
    hall = Hall(Server(key=KEY))
    gc.collect()
    with pytest.raises(Misuse, match="is gone"):
        hall.links()
