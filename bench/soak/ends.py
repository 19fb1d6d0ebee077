"""A process of the soak: `python -m bench.soak.ends ORDERS`, where ORDERS are those of `actor.Orders` as JSON.

It is told what to do by lines on its stdin, and answers each with one line, "WORD json":

    rest      come to rest: links that were opened for a while are ended, what stays is idle
    census    wait for what ends by itself, then say what there is
    go        go on
    end       say what was found, and end

Unasked it says "READY port" when it has begun, and "now" every second.  It ends when its stdin does.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

from bench.soak.actor import Actor, Orders
from bench.soak.census import census, holdings
from bench.soak.clients import AioClient, BlockingClient
from bench.soak.course import Tally
from bench.soak.outsiders import Mortal, Proxies
from bench.soak.servers import AioServer, BlockingServer

__all__ = ["ROLES"]

ROLES: dict[str, Callable[[Orders], Actor]] = {
    "server": BlockingServer,
    "aio-server": AioServer,
    "proxy": Proxies,
    "client": BlockingClient,
    "aio-client": AioClient,
    "mortal": Mortal,
}
TELL_SECONDS = 1.0
TICK_SECONDS = 0.1
MOST_LINES = 40
"""Of what tracemalloc says."""


class Complaints(logging.Handler):
    """What the package logs as an error, and what nobody caught, is a fault."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.ERROR)
        self._tally = tally
        logging.getLogger().addHandler(self)
        sys.unraisablehook = lambda found: tally.fault(f"{found.err_msg}: {found.exc_type.__name__} {found.exc_value}")
        threading.excepthook = lambda found: None if found.exc_type is SystemExit else tally.raised(found.exc_value)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of it."""
        self._tally.fault(f"logged: {record.getMessage()}")


class Process:
    """The conversation with whoever runs the soak."""

    def __init__(self, orders: Orders) -> None:
        self._actor = ROLES[orders.role](orders)
        self._complaints = Complaints(self._actor.tally)
        self._traced: tracemalloc.Snapshot | None = None
        self._began: dict[str, int] = {}

    def run(self) -> None:
        """Do what is asked until the end."""
        _say("READY", self._actor.start())
        waiting, next_time = b"", time.monotonic()
        while True:
            if select.select([0], [], [], TICK_SECONDS)[0]:
                data = os.read(0, 4096)
                if not data:
                    self._actor.gate.end()
                    self._actor.tick()
                    return
                waiting += data
            while b"\n" in waiting:
                line, _, waiting = waiting.partition(b"\n")
                if not self._obey(line.decode()):
                    return
            self._actor.tick()
            if time.monotonic() >= next_time:
                next_time += TELL_SECONDS
                _say("now", self._actor.now())

    def _obey(self, word: str) -> bool:
        """Do what one line says; say whether there is more to come."""
        answer: Any = None
        if word == "rest":
            self._actor.rest()
        elif word == "census":
            self._actor.settle()
            answer = {**self._actor.now(), **census(), "held": holdings()}
            self._compare_holdings()
        elif word == "go":
            self._actor.go()
        elif word == "end":
            answer = self._last_words()
        _say(word, answer)
        return word != "end"

    def _compare_holdings(self) -> None:
        """Note what there was at the first rest, for the end."""
        if not self._began:
            self._began = dict(holdings())
            if tracemalloc.is_tracing():
                self._traced = tracemalloc.take_snapshot()

    def _last_words(self) -> dict[str, Any]:
        tally = self._actor.tally
        grown = {name: count - self._began.get(name, 0) for name, count in holdings().items()}
        words = {
            "counts": dict(tally.counts),
            "faults": tally.faults,
            "grown": {name: by for name, by in grown.items() if by},
            "traced": self._differences(),
        }
        self._actor.end()
        return words

    def _differences(self) -> list[str]:
        if self._traced is None:
            return []
        gc.collect()
        found = tracemalloc.take_snapshot().compare_to(self._traced, "traceback")
        lines = []
        for each in found[:MOST_LINES]:
            where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(each.traceback))
            lines.append(f"{each.size_diff:+} bytes, {each.count_diff:+} blocks: {where}")
        return lines


def _say(word: str, what: Any) -> None:
    os.write(1, f"{word} {json.dumps(what)}\n".encode())


if __name__ == "__main__":
    _orders = Orders(**json.loads(sys.argv[1]))
    if _orders.trace:
        tracemalloc.start(_orders.trace)
    warnings.simplefilter("ignore", ResourceWarning)  # Some links are let go of on purpose.
    try:
        Process(_orders).run()
    finally:
        os._exit(0)  # Whoever ran it is gone, or has heard all: no thread and no loop is waited for.
