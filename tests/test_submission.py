"""Submission: what a sender does for its link when all of its message is sealed."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, linked
from netstructer import sockets, submission
from netstructer.errors import LinkTimeout
from netstructer.keeper import Keeper
from netstructer.pump import Pump

LONG = bytes(800_000)
"""Too long to be sealed in one round, also where two threads seal."""
ONE_RECORD = bytes(200_000)
"""Too long to be sealed and written at once."""


def pump_of(link: Any) -> Pump:
    found: Pump = link._exchange._pump
    return found


def without_keeper(link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a link to its callers."""
    monkeypatch.setattr(pump_of(link), "attend", lambda *, read: True)


def refusing(monkeypatch: pytest.MonkeyPatch, link: Any, times: int) -> list[int]:
    """Let the socket of a link refuse so many writes; return how many are left."""
    write, transport, left = sockets.write, pump_of(link).transport, [times]

    def refuse(to: socket.socket, buffers: deque[bytes | bytearray | memoryview]) -> int:
        if to is transport and left[0]:
            left[0] -= 1
            raise BlockingIOError
        return write(to, buffers)

    monkeypatch.setattr(sockets, "write", refuse)
    return left


def test_who_sends_looks_for_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    with linked() as (near, far):
        without_keeper(near, monkeypatch)
        far.send("hello")
        assert select.select([pump_of(near).transport], [], [], PATIENCE_SECONDS)[0]
        before = pump_of(near).uses
        near.send(LONG, compress=False)

        assert near._exchange.unread
        assert pump_of(near).uses > before  # so the keeper leaves a link to who sends in it
        assert near.recv() == "hello"
        assert far.recv() == LONG


def test_who_sends_leaves_reading_to_who_reads() -> None:
    with linked() as (near, far):
        waiting = Task(near.recv)
        eventually(lambda: pump_of(near).reading)
        near.send(LONG, compress=False)
        assert far.recv() == LONG
        far.send("hello")

        assert waiting.result() == "hello"


def test_who_sends_stays_until_the_socket_has_taken_all(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[object] = []
    with linked() as (near, far):
        without_keeper(near, monkeypatch)
        monkeypatch.setattr(submission, "STAY_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(Keeper, "watch_writes", lambda self, pump: watched.append(pump))
        refusing(monkeypatch, near, 3)
        near.send(LONG, compress=False)

        assert not pump_of(near).unsent
        assert pump_of(near) not in watched
        assert far.recv() == LONG


@pytest.mark.parametrize("timeout", [None, 0.01, 60])
def test_who_sends_does_not_stay_for_long_and_the_keeper_goes_on(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    with linked() as (near, far):
        left = refusing(monkeypatch, near, 1 << 62)
        began = time.monotonic()
        near.send(ONE_RECORD, compress=False, timeout=timeout)
        took = time.monotonic() - began

        assert took < PATIENCE_SECONDS / 2
        assert pump_of(near).unsent
        left[0] = 0
        assert far.recv(timeout=PATIENCE_SECONDS) == ONE_RECORD


def test_a_message_that_is_not_sealed_in_time_is_late() -> None:
    with linked() as (near, far), pytest.MonkeyPatch.context() as patch:
        refusing(patch, near, 1 << 62)
        with pytest.raises(LinkTimeout):
            near.send(LONG, compress=False, timeout=0.05)  # the second record has to wait for the first
        near.abort()
        far.abort()
