"""A forked child: the links that it inherits are closed there and go on in the parent, and its own are its own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually
from netstructer import Link, Server
from netstructer.errors import LinkClosed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(act: Callable[[], object]) -> None:
    """Run `act` in a forked child; fail with its traceback where it raises or does not end."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads; that is the case under test.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            act()
            status = 0
        except BaseException:
            with contextlib.suppress(OSError):
                os.write(writer, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writer)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
            assert time.monotonic() < deadline, "the child did not end"
            time.sleep(0.005)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        text = os.read(reader, 4000).decode() if "found" in locals() else ""
        os.close(reader)

    assert found[1] == 0, text


def test_inherited_links_are_closed_in_the_child_and_go_on_in_the_parent() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link, server.accept(timeout=5) as far:
        link.send("before")
        waiting = Task(link.recv)
        time.sleep(0.02)

        def act() -> None:
            assert link.closed
            assert far.closed
            for call in (link.recv, link.ping, far.recv, lambda: link.send("from the child")):
                with pytest.raises(LinkClosed):
                    call()
            link.close()
            far.abort()

        for _ in range(5):
            in_child(act)
        far.send("to the parent")

        assert far.recv(timeout=5) == "before"
        assert waiting.result() == "to the parent"
        assert link.ping() > 0
        assert not far.closed


def test_new_links_work_in_the_child() -> None:
    with Server(key=KEY) as server, Link(server.address, key=KEY) as link:
        server.accept(timeout=5)

        def act() -> None:
            with Link(server.address, key=KEY) as fresh:
                fresh.send("from the child")
                assert fresh.recv(timeout=PATIENCE_SECONDS) == "welcome"
                assert fresh.ping() > 0
            with Server(key=KEY) as own, Link(own.address, key=KEY) as near, own.accept(timeout=5) as far:
                near.send(1)
                assert far.recv(timeout=5) == 1

        forking = Task(server.accept, PATIENCE_SECONDS)
        welcoming = Task(lambda: welcome(forking.result()))
        in_child(act)

        assert welcoming.result() == "from the child"
        assert link.ping() > 0


def welcome(link: Link) -> object:
    found = link.recv(timeout=PATIENCE_SECONDS)
    link.send("welcome")
    list(link)
    return found


def test_an_inherited_server_is_closed_in_the_child_and_its_port_is_free_when_the_parent_closes() -> None:
    server = Server(key=KEY).start()
    address = server.address
    reader, writer = os.pipe()
    ready, told = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.close(writer)
            server.close()
            with contextlib.suppress(Exception):
                server.accept(timeout=0)
            os.write(told, b"x")
            os.read(reader, 1)
            status = 0
        os._exit(status)
    try:
        os.close(reader)
        assert os.read(ready, 1) == b"x"
        with Link(address, key=KEY) as link:
            link.send(1)
            assert server.accept(timeout=5).recv(timeout=5) == 1
        server.close()
        with Server(address, key=KEY) as again, Link(again.address, key=KEY) as link:
            link.send(2)
            assert again.accept(timeout=5).recv(timeout=5) == 2
    finally:
        os.close(writer)
        status = os.waitpid(child, 0)[1]
        os.close(ready)
        os.close(told)
        server.close()

    assert status == 0


def test_a_fork_in_the_middle_of_everything() -> None:
    """Threads send, receive and hold every lock there is while the process forks."""
    stop = threading.Event()
    with Server(key=KEY) as server, Relay(server.address) as relay:
        links = [Link(relay.address, key=KEY) for _ in range(3)]
        far = [server.accept(timeout=5) for _ in links]

        def chatter(near: Link, other: Link) -> int:
            rounds = 0
            while not stop.is_set():
                near.send(rounds)
                assert other.recv(timeout=PATIENCE_SECONDS) == rounds
                server.broadcast("x", to=())
                server.get("127.0.0.1")
                rounds += 1
            return rounds

        talking = [Task(chatter, near, other) for near, other in zip(links, far, strict=True)]

        def act() -> None:
            assert all(link.closed for link in links)
            server.close()
            assert server.count() == 0
            assert server.get("127.0.0.1") is None
            with Server(key=KEY) as own, Link(own.address, key=KEY) as near:
                near.send(1)
                assert own.accept(timeout=5).recv(timeout=5) == 1

        for _ in range(10):
            in_child(act)
        stop.set()

        assert all(task.result() > 0 for task in talking)
        eventually(lambda: server.count() == 3)
        for link in links:
            link.abort()
