"""Observers: told in order, by a thread of their own, and never in anybody's way."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Link, Server, aio
from netstructer import observers as observers_module
from netstructer.address import Address
from netstructer.observers import Happening, Observers
from netstructer.testing import ChaosProxy

PLACE = Address("192.0.2.1", 5)


def tell(observers: Observers, number: int) -> None:
    observers.tell("opened", str(number), PLACE, user=None, fingerprint="f")


def test_what_becomes_of_a_link_is_told_in_order() -> None:
    told: list[Happening] = []
    with Server(key={"anna": KEY}) as server, ChaosProxy(server.address) as proxy:
        server.observers.add(told.append)
        with Link(proxy.address, key=KEY) as near:
            far = server.accept(timeout=PATIENCE_SECONDS)
            near.send("x")
            assert far.recv(timeout=PATIENCE_SECONDS) == "x"
            proxy.down()
            eventually(lambda: [one.what for one in told] == ["opened", "suspended"], "the loss")
            proxy.up()
            eventually(lambda: [one.what for one in told][-1] == "resumed", "the way back")
        eventually(lambda: [one.what for one in told][-1] == "ended", "the end")

    assert {(one.link_id, one.user, one.fingerprint) for one in told} == {(far.id, "anna", KEY.fingerprint)}
    assert [bool(one.error) for one in told] == [False, False, False, False]
    assert min(told[-1].bytes_received, told[-1].bytes_sent) > 100
    assert [one.at for one in told] == sorted(one.at for one in told)


def test_what_an_observer_raises_is_logged_without_its_text_and_the_rest_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    observers, told = Observers(), list[str]()

    def bad(happening: Happening) -> None:
        raise ValueError("hunter" + str(len("ab")))

    observers.add(bad)
    observers.add(lambda one: told.append(one.link_id))
    with caplog.at_level(logging.ERROR, "netstructer"):
        for number in range(3):
            tell(observers, number)
        observers.close()

    assert told == ["0", "1", "2"]
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_slow_observer_bounds_what_waits_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers_module, "MOST_WAITING", 10)
    observers, told = Observers(), list[str]()
    begun, go_on = threading.Event(), threading.Event()

    def slow(happening: Happening) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        told.append(happening.link_id)

    observers.add(slow)
    tell(observers, 0)
    assert begun.wait(PATIENCE_SECONDS)
    for number in range(1, 15):
        tell(observers, number)
    dropped = observers.dropped
    go_on.set()
    observers.close()

    assert (dropped, told) == (4, [str(number) for number in range(11)])


def test_there_is_no_thread_without_an_observer_and_none_after_the_end() -> None:
    observers = Observers()
    tell(observers, 1)
    observers.close()
    observers.close()
    assert observers.add(print) is print  # too late: nothing is told
    tell(observers, 2)
    observers.remove(print)
    tell(observers, 3)

    assert not [thread for thread in threading.enumerate() if thread.name == "netstructer-observers"]
    assert observers.dropped == 1


def test_an_observer_may_close_them() -> None:
    observers = Observers()
    done = threading.Event()

    def close(happening: Happening) -> None:
        observers.close()
        done.set()

    observers.add(close)
    tell(observers, 1)

    assert done.wait(PATIENCE_SECONDS)


async def _in_a_loop() -> list[str]:
    told: list[str] = []
    async with aio.Server(key=KEY) as server:
        server.observers.add(lambda one: told.append(one.what))
        async with aio.connect(server.address, key=KEY):
            await server.accept(timeout=PATIENCE_SECONDS)
    return told


def test_the_same_in_a_loop() -> None:
    assert asyncio.run(_in_a_loop()) == ["opened", "ended"]
