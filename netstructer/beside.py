"""Beside the values: what a link carries that `recv` never sees.  Floor: FAÇADES.

Law: nothing of it waits for a value.

Conversations are exchanges of values of their own, and files go in conversations.  This is the part of `Link` that is
about them.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from netstructer.codec.blob import Blob
from netstructer.conversation import Conversation
from netstructer.incoming import Incoming
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message
    from netstructer.transfer import Overwrite, Report, Transfer

__all__ = ["Beside"]


class Beside:
    """Conversations and files of a link."""

    _exchange: Exchange
    _compress: bool

    def send_file(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Report | None = None,
        resume: bool = True,
        timeout: float | None = None,
    ) -> Transfer:
        """Send a file, or a directory with all that is in it, to a peer that calls `recv_file`; say what became of it.

        What an earlier try brought over is not sent again; every file is held to its digest at the other end.
        `progress` is called with a `Progress` (`name`, `done`, `total`, `rate`, `wire`).  `timeout` is the longest
        time, in seconds, in which nothing moves.

        Raises `FileChanged` for a file that changes while it is read, `SourceFailed` for one that cannot be read,
        `UnsafeName`, `TransferRefused`, `DigestMismatch`, each when all other files are there; `OSError`,
        `LinkTimeout`, `LinkClosed`, `LinkLost`.
        """
        from netstructer.transfer import offer  # Imported late: most links send no files.

        with self.conversation() as aside:
            return offer(aside, path, resume=resume, progress=progress, timeout=timeout, clock=time.monotonic)

    def recv_file(
        self,
        directory: str | os.PathLike[str],
        *,
        progress: Report | None = None,
        overwrite: Overwrite = "replace",
        resume: bool = True,
        timeout: float | None = None,
    ) -> Transfer:
        """Receive what the peer's `send_file` offers into a directory that exists; say what became of it.

        A file gets its name when it is whole and its digest is right; what was half received is kept under a name of
        its own, and continued when the same file is offered again.  `overwrite` says what becomes of a file that is
        there already: `"replace"`, `"refuse"`, or `"keep"` both.  Raises as `send_file` does.
        """
        from netstructer.transfer import receive

        with self.accept_conversation(timeout=timeout) as aside:
            offered = aside.recv(timeout=timeout)
            how: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "progress": progress, "timeout": timeout}
            return receive(aside, offered, directory, **how, clock=time.monotonic)

    def conversation(self) -> Conversation:
        """Open a conversation: values to and fro beside the link's own, which `recv` does not see."""
        return self._conversation(self._exchange.open_aside(), known=False)

    def accept_conversation(self, *, timeout: float | None = None) -> Conversation:
        """Return the next conversation that the peer has opened, as soon as its first value is there.

        Raises `LinkTimeout` after `timeout` seconds, and what ended the link.
        """
        return self._conversation(self._exchange.accept_aside(deadline_after(timeout)), known=True)

    def _conversation(self, number: int, *, known: bool) -> Conversation:
        blob_of = partial(self._blob_of, self._exchange)
        return Conversation(self._exchange, number, blob_of, compress=self._compress, known=known)

    def _own_blob_of(self, message: Message, place: int) -> Blob:
        return self._blob_of(self._exchange, message, place)

    def _blob_of(self, exchange: Exchange, message: Message, place: int) -> Blob:
        return Blob._of(Incoming(exchange, message, place, self))
