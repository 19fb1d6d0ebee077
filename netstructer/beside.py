"""Beside the values: what a link carries that `recv` never sees.  Floor: FAÇADES.

Law: nothing of it waits for a value.

Conversations are exchanges of values of their own, and files go in conversations.  This is the part of `Link` that is
about them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from netstructer import calling, talking
from netstructer.answerable import Answerable
from netstructer.answering import Answering
from netstructer.codec.blob import Blob
from netstructer.conversation import Conversation
from netstructer.incoming import Incoming
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.exchange import Exchange
    from netstructer.link import Link
    from netstructer.protocol.assembly import Message
    from netstructer.transfer import Overwrite, Report, Transfer

__all__ = ["Beside"]


class Beside(Answerable):
    """Calls, conversations and files of a link."""

    _exchange: Exchange
    _compress: bool

    def call(self, action: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call an action of the peer's, and return its result; for an action that streams, a `Stream` to iterate.

        Any number of calls may be under way at once, from as many threads, both ways.  `timeout` is how long the answer
        may take, in seconds, and each item of a stream; the peer knows of it.  What is not waited for any more, because
        of that or of Ctrl-C, is cancelled: its action can ask for that, and its result is dropped.

        Raises `UnknownAction`, `BadArguments`, `NotPermitted` and `RemoteError` for what an action raised there, by its
        name and text; `Busy`; `LinkTimeout`; and what `send` raises.
        """
        exchange = self._exchange
        blob_of = partial(self._blob_of, exchange)
        return calling.call(exchange, blob_of, action, args, kwargs, timeout=timeout, compress=self._compress)

    def notify(self, action: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Call an action of the peer's and want no answer: return when the call is sealed, as `send` does.

        What becomes of it is in the peer's log alone.  Notices of one link are begun in order, and run side by side.
        """
        calling.notify(self._exchange, action, args, kwargs, timeout=timeout, compress=self._compress)

    def _answers(self) -> Answering:
        """Return what answers the calls of the peer, of this session."""
        return Answering(cast("Link", self), self._exchange, self.actions)

    def _await_answers(self, deadline: float) -> bool:
        answering = self._told.answering
        return answering is None or talking.await_answers(answering.exchange, answering, deadline)

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

    def _answer_aside(self, dialogue: Callable[[Conversation], object]) -> None:
        """Hold the next conversation that the peer opens: `dialogue(conversation)`.  Raises what ended the link."""
        with self.accept_conversation() as aside:
            dialogue(aside)

    def _conversation(self, number: int, *, known: bool) -> Conversation:
        blob_of = partial(self._blob_of, self._exchange)
        return Conversation(self._exchange, number, blob_of, compress=self._compress, known=known)

    def _own_blob_of(self, message: Message, place: int) -> Blob:
        return self._blob_of(self._exchange, message, place)

    def _blob_of(self, exchange: Exchange, message: Message, place: int) -> Blob:
        return Blob._of(Incoming(exchange, message, place, self))
