"""A link that is dropped without being closed: said so, and ended, at either end."""

from __future__ import annotations

import gc

import pytest

from netstructer import Key, Link, Server
from netstructer.errors import ConnectionCut


def drop(links: list[Link]) -> None:
    """Let go of links, and have the collector notice."""
    links.clear()
    gc.collect()


def test_a_dropped_link_warns_and_ends() -> None:
    key = Key.generate()
    with Server(key=key) as server:
        link = Link(server.address, key=key)
        other = server.accept(timeout=5)
        links = [link]
        del link
        with pytest.warns(ResourceWarning, match="was not closed"):
            drop(links)

        with pytest.raises(ConnectionCut):
            other.recv(timeout=5)

        assert server.count() == 0


def test_a_link_in_the_registry_is_held_by_it() -> None:
    key = Key.generate()
    with Server(key=key) as server, Link(server.address, key=key) as link:
        server.accept(timeout=5)
        gc.collect()
        link.send("still here", wait="acked", timeout=5)

        assert server.count() == 1


def test_a_popped_link_is_its_holders_to_keep() -> None:
    key = Key.generate()
    with Server(key=key) as server, Link(server.address, key=key) as link:
        server.accept(timeout=5)
        held = server.pop("127.0.0.1")
        assert held is not None
        held.send("mine now")
        assert link.recv(timeout=5) == "mine now"
        links = [held]
        del held
        with pytest.warns(ResourceWarning, match="was not closed"):
            drop(links)

        with pytest.raises(ConnectionCut):
            link.recv(timeout=5)
