"""Two ends that are killed: one sends numbers durably, the other writes each into a database, in a transaction.

    python durable_ends.py send PORT OUTBOX STOP        sends 1, 2, 3 … until the file STOP is there and all are taken
    python durable_ends.py take PORT DATABASE           takes whatever comes, for ever

Each says a line when it is up.  Nothing here knows how often it was killed: the sender asks its outbox which number is
next, the receiver its database nothing at all.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from hashlib import sha256

from netstructer import Link, Server
from netstructer.errors import LimitReached, LinkClosed, LinkLost, LinkTimeout

MOST_WAITING = 100
"""Rows that may wait for the other end: all are brought over at the end."""


def content(number: int) -> bytes:
    """Return what goes with a number: a byte, a page, or several records."""
    return bytes([number % 251]) * (1, 100, 5000, 200_000)[number % 17 % 4 if number % 17 else 3]


def digest(number: int) -> str:
    return sha256(content(number)).hexdigest()


def send(port: int, outbox: str, stop: str) -> None:
    """Send until told to stop, and until nothing waits."""
    with connected(port, outbox) as link:
        assert link.outbox is not None
        say("up")
        number = link.outbox.last
        while not os.path.exists(stop):
            number += 1
            row = link.send((number, content(number))).id
            assert row == number
            say(str(row))
            while link.outbox.row_count > MOST_WAITING:
                time.sleep(0.002)
        link.send((number + 1, content(number + 1)), wait="consumed", timeout=60)
        say(str(number + 1))
        assert link.outbox.row_count == 0


def connected(port: int, outbox: str) -> Link:
    while True:
        try:
            return Link(("127.0.0.1", port), durable=outbox)
        except (LinkLost, LinkTimeout, LimitReached):
            time.sleep(0.02)


def take(port: int, place: str) -> None:
    """Take what comes, each in a transaction; a second table shows what a transaction without the first would be."""
    with closing(opened(place)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS effects (number INTEGER, digest TEXT)")

    def handle(link: Link) -> None:
        with closing(opened(place)) as database:
            while True:
                try:
                    with link.transaction(database) as message:
                        number, found = message.value  # type: ignore[misc]  # it is what `send` sends
                        effect = (number, sha256(found).hexdigest())
                        database.execute("INSERT INTO effects VALUES (?, ?)", effect)
                except (LinkClosed, LinkLost):
                    return

    while True:
        try:
            with Server(("127.0.0.1", port), handler=handle):
                say("up")
                time.sleep(3600)
        except OSError:  # the port is still the last process's
            time.sleep(0.02)


def opened(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=30)
    database.execute("PRAGMA journal_mode=WAL").fetchall()
    return database


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    what, port, *places = sys.argv[1:]
    {"send": send, "take": take}[what](int(port), *places)
