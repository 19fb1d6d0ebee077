"""Faults that a hostile review found, each held from coming back."""

from __future__ import annotations

import array
import copy
import pickle

import pytest

from netstructer import Blob, Key, Link, Server
from netstructer.errors import LinkTimeout, MessageTooBig, Misuse
from netstructer.protocol.announcement import Announcement
from netstructer.registry import Registry
from pair import Pair

KEY = Key.generate()


def test_what_is_broadcast_can_be_changed_afterwards() -> None:
    pair = Pair()
    numbers, raw = array.array("Q", range(70_000)), bytearray(range(256)) * 300
    expected = [array.array("Q", numbers), bytes(raw)]
    announcement = Announcement([numbers, Blob(raw)], compress=False)
    outgoing = announcement.outgoing(pair.client.session)
    numbers[:] = array.array("Q", [7] * len(numbers))
    raw[:] = bytes(len(raw))
    pair.client.session.queue(outgoing)

    [value] = pair.exchange()[1]

    assert value[0] == expected[0]
    assert bytes(value[1]) == expected[1]


def test_the_bytes_of_a_value_count_for_max_bytes_and_those_of_its_blobs_do_not() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        link.send({"text": "x" * 2000, "blob": Blob(bytes(5000))})
        other = server.accept(timeout=5)

        with pytest.raises(MessageTooBig):
            other.recv(timeout=5, max_bytes=1000)
        assert len(bytes(other.recv(timeout=5, max_bytes=3000)["blob"])) == 5000


def test_a_server_that_was_not_started_says_so() -> None:
    server = Server(key=KEY)

    with pytest.raises(Misuse, match="not started"):
        server.accept(timeout=5)


def test_accept_passes_over_links_that_are_used_up() -> None:
    with Server(key=KEY) as server:
        with Link(server.address, key=KEY) as first:
            first.send(1)
            used = server.wait("127.0.0.1", 5)
            assert used is not None
            assert used.recv(timeout=5) == 1
        used.close()
        with Link(server.address, key=KEY) as second:
            second.send(2)

            assert server.accept(timeout=5).recv(timeout=5) == 2


def test_a_handler_that_comes_late_gets_the_links_that_wait() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        assert server.wait("127.0.0.1", 5) is not None

        @server.handler
        def greet(found: Link) -> None:
            found.send("hello")

        assert link.recv(timeout=5) == "hello"


def test_the_registry_of_a_server_can_be_cleared() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        assert server.wait(ip="127.0.0.1", timeout=5) is not None
        server.registry.clear()

        assert server.count() == 0
        assert list(link) == []


def test_a_registry_alone_takes_out_and_closes_nothing() -> None:
    registry: Registry[Link] = Registry()
    registry.clear()

    assert len(registry) == 0


@pytest.mark.parametrize("wrong", ["garbage", 5, None, ("x", 1), object()])
def test_what_is_no_address_is_not_in_a_server(wrong: object) -> None:
    assert wrong not in Server(key=KEY)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_links_and_servers_cannot_be_copied(copied: object) -> None:
    assert callable(copied)
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        for one in (server, link):
            with pytest.raises(Misuse):
                copied(one)
        link.send(1, wait="acked", timeout=5)


def test_a_timeout_says_whether_the_message_was_sent() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        with pytest.raises(LinkTimeout, match="the message was sent"):
            link.send(1, wait="consumed", timeout=0.2)

        assert server.accept(timeout=5).recv(timeout=5) == 1
