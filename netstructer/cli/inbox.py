"""The inbox: what all links of a server bring, in one queue, for the one thread that prints.  Floor: ROOF.

`Inbox.attend` is a server's handler: it runs once per link, in a thread of its own.  The queue is short, so whoever
prints slowly slows the senders, and memory stays put.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netstructer import Link, Server
from netstructer.cli.admitted import Admitted, admitted, proved
from netstructer.cli.fileroom import Answered, Room
from netstructer.cli.options import cipher_of, listening_place
from netstructer.cli.screen import stderr
from netstructer.errors import BadValue, LinkClosed, LinkTimeout, NetstructerError
from netstructer.signals import terminable

__all__ = ["Arrived", "Entry", "Inbox", "Joined", "Left", "Refused", "listening"]

WAITING_VALUES = 16
"""Values received and not yet printed, over all links; the rest waits at the senders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A peer proved the key."""

    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A value came."""

    link: Link
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A message was no value here; the link lives."""

    link: Link
    error: NetstructerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A link is over; `error` is None after a farewell."""

    link: Link
    error: NetstructerError | None


Entry = Joined | Arrived | Refused | Answered | Left


class Inbox:
    """Gathers what comes.  With `echo`, each value is sent back as it came, before it is shown; requests for
    files are answered by `files`, or refused.
    """

    def __init__(self, *, echo: bool = False, files: Room | None = None) -> None:
        self._echo = echo
        self._files = files or Room()
        self._entries: queue.Queue[Entry] = queue.Queue(WAITING_VALUES)

    def attend(self, link: Link) -> None:
        """Receive until the link is over.  Raises nothing: what went wrong is an entry."""
        self._entries.put(Joined(link=link))
        error: NetstructerError | None = None
        with self._files.answering(link, self._entries.put):
            try:
                while True:
                    self._receive(link)
            except LinkClosed:
                pass
            except NetstructerError as fault:
                error = fault
        self._entries.put(Left(link=link, error=error))

    def _receive(self, link: Link) -> None:
        try:
            value = link.recv()
        except BadValue as error:
            self._entries.put(Refused(link=link, error=error))
            return
        if self._echo:
            link.send(value)
        self._entries.put(Arrived(link=link, value=value))

    def next(self, timeout: float | None) -> Entry:
        """Return the next entry.  Raises `LinkTimeout` after `timeout` seconds."""
        try:
            return self._entries.get(timeout=timeout)
        except queue.Empty:
            raise LinkTimeout(f"nothing came within {timeout:g} seconds") from None


@contextmanager
def listening(
    address: str,
    key_file: str | None,
    inbox: Inbox,
    *,
    identity: str | None = None,
    users: str | None = None,
    cipher: str = "fernet",
) -> Iterator[tuple[Server, Admitted]]:
    """Listen, say where, for whom and as whom on stderr, and close in the end; on Ctrl-C and SIGTERM, too.

    Raises `InvalidAddress`, `MissingKey`, `InvalidKey`, `InvalidIdentity`, `CannotListen`, and `Misuse` for
    a cipher that is none.
    """
    place = listening_place(address)
    guests = admitted(key_file, users)
    served = Server(place, key=guests.ring, handler=inbox.attend, identity=proved(identity), cipher=cipher_of(cipher))
    with terminable(), served as server:
        stderr.print(f"listening on {server.address}, {guests}")
        if server.identity is not None:
            stderr.print(f"identity {server.identity.fingerprint}")
        if server.address.host.startswith("127.") or server.address.host == "::1":
            stderr.print("(this machine only; to be reached from others, listen on 0.0.0.0:PORT)", style="dim")
        yield server, guests
