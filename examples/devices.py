"""Devices, each with a key of its own: a server lists those that are there, has them do something, and hears of it.

python examples/devices.py
"""

from __future__ import annotations

import queue
from contextlib import ExitStack
from typing import Any

from netstructer import Key, Link, Server, errors

KINDS = {"lamp-1": "lamp", "lamp-2": "lamp", "boiler": "heating"}


def welcome(server: Server) -> queue.Queue[tuple[str, float]]:
    """Let devices register and report; return where their reports arrive."""
    readings = queue.Queue[tuple[str, float]]()

    @server.on
    def register(context: Any, kind: str) -> None:
        context.state["kind"] = kind  # kept with the link, and gone with it
        server.groups.join(context.link, kind)

    @server.on
    def report(context: Any, watts: float) -> None:
        readings.put((context.user, watts))

    return readings


def device(link: Link, kind: str) -> None:
    """Be a device: offer what it can do, then register."""

    @link.on
    def switch(on: bool) -> str:
        link.notify("report", 9.5 if on else 0.0)
        return "on" if on else "off"

    link.call("register", kind, timeout=10)


if __name__ == "__main__":
    keys = {name: Key.generate() for name in KINDS}
    with Server(key=keys) as server, ExitStack() as devices:
        readings = welcome(server)
        for name in KINDS:
            device(devices.enter_context(Link(server.address, key=keys[name])), KINDS[name])
        print("here:", sorted((link.user, link.state["kind"]) for link in server))
        for lamp in server.groups.members("lamp"):
            print(lamp.user, "is", lamp.call("switch", True, timeout=10))
        print("reported:", sorted(readings.get(timeout=10) for _ in range(2)))
        (boiler,) = server.groups.members("heating")
        try:
            boiler.call("reboot", timeout=10)
        except errors.UnknownAction as error:
            print("refused:", error)
