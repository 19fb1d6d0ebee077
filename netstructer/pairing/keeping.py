"""Keeping: where a client puts the key and the pin that it was given.  Floor: COMMONS.  Law: nothing is overwritten.

In two steps, because the other end must not have a key that found no room here: `prepare` looks at everything that can
fail and writes the key under a name of its own; `commit` gives it its place and notes the server; `drop` leaves all as
it was.  A key file that is there already stays: the new one is put beside it, with the server's name behind its own.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from netstructer import private_files
from netstructer.address import Address
from netstructer.errors import IdentityChanged
from netstructer.keys import Key
from netstructer.known_servers import KnownServers

__all__ = ["Keeping"]

_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z._-]")


class Keeping:
    """Keeps one key, in `key_path` or beside it, and the server's fingerprint among the `known` servers."""

    def __init__(self, key_path: str, known: KnownServers) -> None:
        self._wanted = os.path.abspath(key_path)
        self._known = known
        self._draft: str | None = None
        self._key: Key | None = None
        self._server: Address | None = None
        self._fingerprint = ""

    def prepare(self, key: Key, server: Address, fingerprint: str) -> None:
        """Make sure that `commit` will find room.

        Raises `IdentityChanged` where that server is known by another identity, `InvalidKnownServers`, and `OSError`.
        """
        line = self._known.get(server)
        if line is not None and line.fingerprint != fingerprint:
            raise IdentityChanged(
                f"{server} is known here by another identity, {line.fingerprint}, and the code came from "
                f"{fingerprint}; if the server was set up anew, take its line out of {self._known.path} and pair again",
                expected=line.fingerprint,
                found=fingerprint,
            )
        private_files.make_directory(self._wanted)
        with private_files.locked(self._known.path):
            pass  # the directory of known servers can be written
        draft = f"{self._wanted}.pairing-{os.urandom(8).hex()}"
        key.save(draft)
        self._draft, self._key, self._server, self._fingerprint = draft, key, server, fingerprint

    def commit(self, *, now: float) -> str:
        """Put the key and the pin in place; return the path of the key file.  `now` in seconds since 1970.

        The pin first: a key without one would be used with whoever answers.  Raises `OSError` and what `prepare`
        raises, should somebody have changed the files meanwhile.
        """
        assert self._key is not None
        assert self._server is not None
        line = self._known.add(self._server, self._fingerprint, now=now)
        if line.fingerprint != self._fingerprint:
            raise IdentityChanged(
                f"{self._server} became known here by another identity meanwhile",
                expected=line.fingerprint,
                found=self._fingerprint,
            )
        place = self._save(self._key, self._server)
        self.drop()
        return place

    def drop(self) -> None:
        """Forget the key, unless it is in place."""
        if self._draft is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._draft)
        self._draft = self._key = None

    def _save(self, key: Key, server: Address) -> str:
        beside = f"{self._wanted}-{_NOT_IN_NAMES.sub('-', server.host)}"
        number, place = 1, self._wanted
        while True:
            try:
                key.save(place)
                return place
            except FileExistsError:
                place = beside if number == 1 else f"{beside}-{number}"
                number += 1
