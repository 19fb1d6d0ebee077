"""The inbox: what all links of a server bring, in one queue, for the one thread that prints.  Floor: ROOF.

`Inbox.attend` is a server's handler: it runs once per link, in a thread of its own.  The queue is short, so whoever
prints slowly slows the senders, and memory stays put.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from netstructer import Link, Server
from netstructer.cli.admitted import Admitted
from netstructer.cli.screen import stderr
from netstructer.errors import BadValue, LinkClosed, LinkTimeout, NetstructerError
from netstructer.lan import ANYWHERE, addresses_for_clients
from netstructer.services.configuration.tables import DRAIN_SECONDS
from netstructer.services.room import Answered, Room
from netstructer.signals import terminable

__all__ = ["Arrived", "Entry", "Inbox", "Joined", "Left", "News", "Refused", "Stopped", "ending_with", "listening"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """An administrator has ended the server: how, and how long what is under way may take."""

    how: str
    seconds: float


News = Joined | Arrived | Refused | Answered | Left
"""What comes from links."""
Entry = News | Stopped


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

    def stop(self, how: str, seconds: float) -> None:
        """Let whoever takes the entries know that this is the end."""
        self._entries.put(Stopped(how=how, seconds=seconds))

    def next(self, timeout: float | None) -> Entry:
        """Return the next entry.  Raises `LinkTimeout` after `timeout` seconds."""
        try:
            return self._entries.get(timeout=timeout)
        except queue.Empty:
            raise LinkTimeout(f"nothing came within {timeout:g} seconds") from None


@contextmanager
def listening(
    options: Mapping[str, Any], guests: Admitted, inbox: Inbox, *, drain: float = DRAIN_SECONDS
) -> Iterator[Server]:
    """Listen, say where, for whom and as whom on stderr, and close in the end; on Ctrl-C and SIGTERM, too.

    `options` are those of `Server`, but for its key and its handler.  Raises what `Server` does.
    """
    server = Server(**{**options, "key": guests.ring, "handler": inbox.attend})
    with terminable(), ending_with(server, drain):
        server.start()
        stderr.print(f"listening on {server.address}, {guests}")
        if server.identity is not None:
            stderr.print(f"identity {server.identity.fingerprint}")
        host = server.address.host
        if host.startswith("127.") or host == "::1":
            stderr.print("(this machine only; to be reached from others, listen on 0.0.0.0:PORT)", style="dim")
        elif host in ANYWHERE:
            reached = " or ".join(map(str, addresses_for_clients(server.address)))
            stderr.print(f"clients reach it at {reached}", style="dim")
        yield server


@contextmanager
def ending_with(server: Server, drain: float) -> Iterator[None]:
    """Close a server in the end, whatever happens; what is under way has `drain` seconds to finish."""
    try:
        yield
    finally:
        server.close(drain=drain)
