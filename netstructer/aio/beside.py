"""Beside: what a link carries that `recv` never sees, awaited.  Floor: FAÇADES.  Law: nothing of it waits for a value.

The twin of the blocking `beside.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from netstructer.aio import calling
from netstructer.aio.answering import Answering
from netstructer.aio.blob import Blob
from netstructer.aio.conversation import Channel, Conversation
from netstructer.aio.incoming import Incoming
from netstructer.answerable import Answerable
from netstructer.codec.blob import Blob as PlainBlob
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.aio.exchange import Exchange
    from netstructer.aio.link import Link
    from netstructer.protocol.assembly import Message
    from netstructer.transfer import Overwrite, Report, Transfer

__all__ = ["Beside"]


class Beside(Answerable):
    """Calls, conversations and files of a link."""

    _exchange: Exchange
    _compress: bool

    async def call(self, action: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call an action of the peer's, and return its result; for an action that streams, a `Stream` to iterate.

        Any number of calls may be under way at once, from as many tasks, both ways.  `timeout` is how long the answer
        may take, in seconds, and each item of a stream; the peer knows of it.  What is not waited for any more, because
        of that or because the task was cancelled, is cancelled there: its result is dropped.

        Raises `UnknownAction`, `BadArguments`, `NotPermitted` and `RemoteError` for what an action raised there, by its
        name and text; `Busy`; `LinkTimeout`; and what `send` raises.
        """
        return await calling.call(
            self._exchange, self._blob_of, action, args, kwargs, timeout=timeout, compress=self._compress
        )

    async def notify(self, action: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Call an action of the peer's and want no answer: return when the call is sealed, as `send` does.

        What becomes of it is in the peer's log alone.  Notices of one link are begun in order, and run side by side.
        """
        await calling.notify(self._exchange, action, args, kwargs, timeout=timeout, compress=self._compress)

    def _answers(self) -> Answering:
        """Return what answers the calls of the peer."""
        return Answering(cast("Link", self), self._exchange, self.actions)

    async def _await_answers(self, deadline: float) -> bool:
        answering = self._told.answering
        return answering is None or bool(await answering.idle(deadline))

    def _stop_answers(self) -> list[asyncio.Task[None]]:
        """Cancel what answers calls; return the tasks, which are about to end."""
        answering = self._told.answering
        return [] if answering is None else list(answering.stop())

    def _blob_of(self, message: Message, place: int) -> Blob:
        return Blob._of(Incoming(self._exchange, message, place, self))

    async def send_file(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Report | None = None,
        resume: bool = True,
        timeout: float | None = None,
    ) -> Transfer:
        """Send a file, or a directory with all that is in it, to a peer that calls `recv_file`; say what became of it.

        What an earlier try brought over is not sent again; every file is held to its digest at the other end.
        `progress` is called with a `Progress` (`name`, `done`, `total`, `rate`, `wire`), in the loop.  `timeout` is the
        longest time, in seconds, in which nothing moves.

        Raises `FileChanged` for a file that changes while it is read, `SourceFailed` for one that cannot be read,
        `UnsafeName`, `TransferRefused`, `DigestMismatch`, each when all other files are there; `OSError`,
        `LinkTimeout`, `LinkClosed`, `LinkLost`.
        """
        from netstructer.transfer import offer  # Imported late: most links send no files.

        how: dict[str, Any] = {"resume": resume, "progress": self._in_loop(progress), "timeout": timeout}
        async with self._conversation(self._exchange.open_aside(), known=False, plain=True) as aside:
            return await Channel(aside).run(lambda channel: offer(channel, path, **how, clock=time.monotonic))

    async def recv_file(
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

        number = await self._exchange.accept_aside(deadline_after(timeout))
        async with self._conversation(number, known=True, plain=True) as aside:
            offered = await aside.recv(timeout=timeout)
            how: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "progress": self._in_loop(progress)}
            how |= {"timeout": timeout, "clock": time.monotonic}
            return await Channel(aside).run(lambda channel: receive(channel, offered, directory, **how))

    def conversation(self) -> Conversation:
        """Open a conversation: values to and fro beside the link's own, which `recv` does not see."""
        return self._conversation(self._exchange.open_aside(), known=False)

    async def accept_conversation(self, *, timeout: float | None = None) -> Conversation:
        """Return the next conversation that the peer has opened, as soon as its first value is there.

        Raises `LinkTimeout` after `timeout` seconds, and what ended the link.
        """
        return self._conversation(await self._exchange.accept_aside(deadline_after(timeout)), known=True)

    async def _answer_aside(self, dialogue: Callable[[Channel], object]) -> None:
        """Hold the next conversation that the peer opens, in a thread: `dialogue(channel)`.

        Raises what ended the link.
        """
        number = await self._exchange.accept_aside(None)
        async with self._conversation(number, known=True, plain=True) as aside:
            await Channel(aside).run(dialogue)

    def _conversation(self, number: int, *, known: bool, plain: bool = False) -> Conversation:
        blob_of = self._plain_blob_of if plain else self._blob_of
        return Conversation(self._exchange, number, blob_of, compress=self._compress, known=known)

    def _plain_blob_of(self, message: Message, place: int) -> PlainBlob:
        """Return a blob for who reads it in a thread."""
        return PlainBlob._of(Incoming(self._exchange, message, place, self))

    def _in_loop(self, progress: Report | None) -> Report | None:
        """Return what has `progress` called in the loop; a transfer is made in a thread."""
        if progress is None:
            return None
        loop, report = self._exchange.pump.loop, progress
        return lambda told: _call_soon(loop, report, told)


def _call_soon(loop: asyncio.AbstractEventLoop, report: Report, told: Any) -> None:
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(report, told)
