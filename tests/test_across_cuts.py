"""What a review of delivery across cuts has found, each held by a test that fails without its mending."""

from __future__ import annotations

import threading

import pytest

from loopback import KEY, PATIENCE_SECONDS
from netstructer import Link, Server
from netstructer.errors import SessionLost
from netstructer.testing import ChaosProxy


def test_a_link_that_gets_no_thread_to_redial_is_lost_and_no_other_one_suffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper may be who hears of the cut, under the link's lock: if it waits for that, it serves nobody again."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "redial" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with (
        Server(key=KEY) as server,
        ChaosProxy(server.address) as proxy,
        Link(server.address, key=KEY) as beside,
        Link(proxy.address, key=KEY) as near,
    ):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        proxy.cut()
        with pytest.raises(SessionLost, match="no thread"):
            near.recv(timeout=PATIENCE_SECONDS)
        monkeypatch.undo()

        assert near._exchange._pump.lock.plain.acquire(timeout=PATIENCE_SECONDS)
        near._exchange._pump.lock.plain.release()
        beside.ping(timeout=PATIENCE_SECONDS)
