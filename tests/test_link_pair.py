"""Link pairs: a real link's both ends in one line, for both façades, and nothing left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from netstructer import Blob, Key, Limits
from netstructer.errors import LinkClosed, MessageTooBig
from netstructer.testing import Cuts, aio, link_pair
from netstructer.testing.links import LinkPair


def test_both_ends_talk_and_carry_blobs() -> None:
    with link_pair() as (client, server):
        client.send({1, 2})
        server.send(Blob(b"x" * 100_000))

        assert server.recv(timeout=20) == {1, 2}
        assert bytes(client.recv(timeout=20)) == b"x" * 100_000


def test_a_plan_puts_a_proxy_between_them() -> None:
    with link_pair(Cuts(mean_bytes=4000, early=0, most=5), seed=3) as pair:
        for number in range(200):
            pair.client.send(number)
        found = [pair.server.recv(timeout=20) for _ in range(200)]
        assert pair.proxy is not None
        cuts = pair.proxy.counters.cuts

    assert found == list(range(200))
    assert cuts > 0


def test_keys_limits_and_options_are_passed_on() -> None:
    key = Key.generate()
    with link_pair(key=key, server_limits=Limits(value_bytes=1024), resume=False) as pair:
        assert isinstance(pair, LinkPair)
        assert (pair.client.fingerprint, pair.proxy) == (key.fingerprint, None)
        with pytest.raises(MessageTooBig):
            pair.client.send("x" * 2000)


def test_behind_the_block_both_ends_are_over() -> None:
    with link_pair() as (client, server):
        pass

    assert (client.closed, server.closed) == (True, True)
    with pytest.raises(LinkClosed):
        server.recv(timeout=1)


def test_its_twin_for_asyncio() -> None:
    async def talk() -> tuple[object, int]:
        async with aio.link_pair(Cuts(mean_bytes=4000, early=0, most=3), seed=3) as pair:
            client, server = pair
            for number in range(200):
                await client.send(number)
            found = [await server.recv(timeout=20) for _ in range(200)]
            assert pair.proxy is not None
            return found, pair.proxy.counters.cuts

    found, cuts = asyncio.run(talk())

    assert found == list(range(200))
    assert cuts > 0


def test_the_kit_needs_no_more_than_the_package_itself() -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['hypothesis', 'pytest', 'numpy', 'typer', 'rich']));"
        "import netstructer.testing as kit; [getattr(kit, name) for name in kit.__all__]; print('fine')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "fine\n"
