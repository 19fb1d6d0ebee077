"""Bombs that lie in a file of ours: who may write there could do worse, but rot may do this as well (bombs.py)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from bombs import Bomb
from netstructer import Key, Limits
from netstructer.bans import Bans
from netstructer.durable import Outbox, salvage
from netstructer.errors import InvalidBan, InvalidIdentity, InvalidKey, InvalidKnownServers, OutboxDamaged
from netstructer.identity import Identity
from netstructer.known_servers import MOST_FILE_BYTES, KnownServers
from netstructer.user_keys import UserKeys

__all__ = ["FILES"]

KEY = Key.generate()
Reader = Callable[[str], object]


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        place = os.path.join(directory, "file")
        with open(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)
        yield place


def load(thing: tuple[Reader, bytes], limits: Limits) -> object:
    """The door of every file: written elsewhere, read here."""
    reader, content = thing
    with _file(content) as place:
        return reader(place)


def bans(place: str) -> object:
    return list(Bans(place, wall=lambda: 0.0))


def marked(content: bytes) -> Reader:
    """Return what salvages an outbox beside this mark."""

    def read(place: str) -> object:
        outbox = Outbox(place + ".db", KEY)
        outbox.append(b"row")
        outbox.abandon()
        with open(place + ".db-mark", "wb") as file:
            file.write(content)
        return salvage(place + ".db", KEY)

    return read


def mark(row: int) -> bytes:
    body = row.to_bytes(8, "big") + bytes(16)
    return body + sha256(body).digest()[:16]


CONTENTS: dict[str, Callable[[int], bytes]] = {
    "nothing but ends of lines": lambda most: b"\n" * (most - 1),
    "one line without an end": lambda most: b"x" * (most - 1),
    "brackets, deep": lambda most: b"[" * 900 + b"\n",
    "more brackets": lambda most: b"[" * (most - 1),
    "a number of a million digits": lambda most: b'{"n":' + b"9" * min(most - 10, 1_000_000) + b"}\n",
    "longer than it may be": lambda most: b"\n" * (most + 1),
}


def _files() -> Iterator[Bomb]:
    readers: list[tuple[str, Reader, type[Exception], int]] = [
        ("known servers", lambda place: list(KnownServers(place)), InvalidKnownServers, MOST_FILE_BYTES),
        ("users' keys", lambda place: list(UserKeys(place)), InvalidKey, MOST_FILE_BYTES),
        ("bans", bans, InvalidBan, 16 << 20),
        ("a key", Key.load, InvalidKey, 1 << 20),
        ("an identity", Identity.load, InvalidIdentity, 1 << 20),
    ]
    for what, reader, error, most in readers:
        for name, make in CONTENTS.items():
            if what == "bans" and name == "longer than it may be":
                continue  # 256 MiB
            thing: Any = (reader, make, most)
            yield Bomb(
                f"{what}: {name}",
                "files",
                load,
                lambda limits, thing=thing: (thing[0], thing[1](thing[2])),
                error,
                most_bytes=lambda limits, most=most: 2 * most,
            )
    for row in (1 << 40, (1 << 64) - 1):
        yield Bomb(
            f"an outbox of {row} rows",
            "files",
            load,
            lambda limits, row=row: (marked(2 * mark(row)), b""),
            OutboxDamaged,
            most_bytes=lambda limits: 0,
        )


FILES = list(_files())
