"""Those of the soak who are no party: links whose process is killed, strangers, and the proxies that cut."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from random import Random

from bench.soak.actor import HOST, LIMITS, Actor
from bench.soak.clients import DIAL_FAILURES, post
from bench.soak.course import Talk, Tally, use, walk
from netstructer import Key, Link
from netstructer.protocol.handshake import HELLO_BYTES, start_client
from netstructer.protocol.parameters import Parameters
from netstructer.testing import ChaosProxy

__all__ = ["Mortal", "Proxies"]

LIFE_SECONDS = 0.3, 3.0
DURABLE = 0.3
"""So many children send durably, all with one outbox."""
LONGEST_SECONDS = 60
"""A child whose parent was killed ends by itself after this."""
NO_END = 1 << 30
DOWN = 0.1
"""At so many cuts a proxy stays down for a moment: its links are suspended, and find back."""
DOWN_SECONDS = 0.2, 1.5
KNOCK_SECONDS = 0.25
SOURCES = range(2, 22)
"""Strangers come from 127.0.0.2 and its neighbours: so many that all of them have failed when the soak is warm."""


class Mortal(Actor):
    """Forks children that open links and talk, and kills them in the middle of it.

    It has one thread, so it may fork.
    """

    def start(self) -> None:
        """Begin."""
        self._children: dict[int, float] = {}

    def tick(self) -> None:
        """Bury, kill and fork."""
        now, ending = time.monotonic(), self.gate.shut or self.gate.over
        for child, until in tuple(self._children.items()):
            if now >= until or ending:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                self.tally.compare(status, int(signal.SIGKILL), "the end of a child")
                del self._children[child]
        if self.orders.deaths and not self._children and not ending:
            self._fork(now + self.chance.uniform(*LIFE_SECONDS))

    def _fork(self, until: float) -> None:
        durable, seed = self.chance.random() < DURABLE, self.chance.random()
        child = os.fork()
        if child:
            self._children[child] = until
            self.tally.count("children")
            return
        try:
            signal.alarm(LONGEST_SECONDS)
            self._live(durable, Random(seed), Written(self.scratch / "faults-of-children"))
        finally:
            os._exit(1)

    def _live(self, durable: bool, chance: Random, tally: Tally) -> None:
        """Talk until the end, which comes from outside."""
        try:
            while True:
                if durable:
                    post(self, tally, str(self.scratch / "outbox-mortal.db"), NO_END)
                    continue
                try:
                    link = Link(
                        (HOST, chance.choice(self.orders.ports)), key=self.orders.keys["plain"], limits=self.limits
                    )
                except DIAL_FAILURES:
                    continue
                talk = Talk(link, chance, tally, self.scratch)
                while True:
                    walk(use(talk))
        except BaseException as error:
            tally.raised(error)

    def rest(self) -> None:
        """Kill what there is."""
        self.gate.rest()
        self.tick()
        place = self.scratch / "faults-of-children"
        if place.exists():
            for line in place.read_text("utf-8").splitlines():
                self.tally.fault(line)
            place.unlink()

    def end(self) -> None:
        """Kill what there is."""
        super().end()
        self.tick()


class Written(Tally):
    """The tally of a process that is going to be killed: its faults are written down as they are found."""

    def __init__(self, place: os.PathLike[str]) -> None:
        super().__init__()
        self._place = place

    def fault(self, text: str) -> None:
        """Write it down."""
        with open(self._place, "a", encoding="utf-8") as file:
            file.write(text.replace("\n", " ") + "\n")


class Proxies(Actor):
    """A proxy before each server, which cuts all of its connections; and strangers, at the same doors."""

    def start(self) -> list[int]:
        """Begin; return the ports."""
        self._proxies = [ChaosProxy((HOST, port), seed=self.orders.seed) for port in self.orders.ports]
        for job in (self._cut, self._knock):
            threading.Thread(target=job, name="soak-worker", daemon=True).start()
        return [proxy.address.port for proxy in self._proxies]

    def _cut(self) -> None:
        while not self.gate.over:
            time.sleep(self.orders.cut_seconds)
            if not self.gate.enter():
                continue
            for proxy in self._proxies:
                self.chance.choice((proxy.cut, proxy.cut, proxy.reset))()
            if self.chance.random() < DOWN:
                proxy = self.chance.choice(self._proxies)
                proxy.down()
                time.sleep(self.chance.uniform(*DOWN_SECONDS))
                proxy.up()
            self.gate.leave()

    def _knock(self) -> None:
        """Come as a stranger of some kind, a few times in a second."""
        recorded, _ = start_client(Key(self.orders.keys["plain"]), Parameters.of(LIMITS, 0))
        chance = Random(self.orders.seed)
        while not self.gate.over:
            time.sleep(KNOCK_SECONDS)
            if not self.gate.enter():
                continue
            wrong, _ = start_client(Key.generate(), Parameters.of(LIMITS, 0))
            said = chance.choice((b"", b"GET / HTTP/1.0\r\n\r\n", wrong, recorded, wrong[: HELLO_BYTES // 2]))
            source = f"127.0.0.{chance.choice(SOURCES)}", 0
            place = HOST, chance.choice(self.orders.ports)
            with contextlib.suppress(OSError), socket.create_connection(place, 3.0, source) as transport:
                transport.sendall(said)
                transport.settimeout(chance.random() / 2)
                transport.recv(1000)
            self.tally.count("knocks")
            self.gate.leave()

    def now(self) -> dict[str, float]:
        """Return what the proxies have done, too."""
        counters = [proxy.counters for proxy in self._proxies]
        moved = sum(found.bytes_out + found.bytes_in for found in counters)
        return {
            **super().now(),
            "connections": sum(found.connections for found in counters),
            "cuts": sum(found.cuts for found in counters),
            "moved": moved,
        }

    def end(self) -> None:
        """Close."""
        super().end()
        for proxy in self._proxies:
            proxy.close()
