"""Patience: how long an end waits for the other one, so that nothing hangs for ever.  Floor: SERVICES.

Law: an end that reads its disk is not taken for one that has gone to sleep.  A link knows whether its peer lives, not
whether it will ever answer.  So each wait of a conversation about files ends when nothing has moved for some seconds,
and for one more second for so many bytes that the other end may have to read and digest before it can go on: those of
the files that it was offered, or of the prefixes that it has to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netstructer.codec.blob import Blob
from netstructer.codec.origins import Chunk
from netstructer.errors import LinkTimeout
from netstructer.services.configuration.tables import STALL_SECONDS
from netstructer.transfer import Channel

__all__ = ["READ_BYTES_PER_SECOND", "STALL_SECONDS", "Patient"]

READ_BYTES_PER_SECOND = 20 * 1024 * 1024
"""What an old disk reads at the least: each such portion that an end may have to read is one more second."""


class Patient:
    """A conversation whose every wait ends.  Single owner.

    With `serving` two waits have no end but that of the link: the bytes of a stream, because a pipe may be quiet for as
    long as it likes, and an asker who takes no more, because whoever reads its pipe may.  Neither holds anything that
    another transfer wants.
    """

    def __init__(self, channel: Channel, stall: float, *, hint: str = "", serving: bool = False) -> None:
        self._channel = channel
        self._stall = stall
        self._hint = hint
        self._serving = serving
        self._owed_bytes = 0
        self._body_seconds: float | None = stall
        self.wire_bytes = channel.wire_bytes

    def send(self, value: object, *, timeout: float | None = None) -> object:
        """Send as the conversation does; raises `LinkTimeout` where not one byte of it goes for so long."""
        self._account(value)
        if timeout is None and not (self._serving and _is(value, "body")):
            timeout = self._stall
        with self._named(timeout):
            return self._channel.send(value, timeout=timeout)

    def recv(self, *, timeout: float | None = None) -> Any:
        """Return the next value; the bytes of a body are waited for with the same patience."""
        seconds = self._stall + self._owed_bytes / READ_BYTES_PER_SECOND if timeout is None else timeout
        with self._named(seconds):
            value = self._channel.recv(timeout=seconds)
        match value:
            case ("body", {"bytes": Blob() as blob}):
                chunks = blob.chunks(timeout=self._body_seconds, keep=False)
                return "body", {"bytes": Blob.from_iter(self._patiently(chunks))}
            case ("offer", {"kinds": str(kinds), "sizes": list(sizes)}) if self._serving:
                if ("f", None) in zip(kinds, sizes, strict=False):
                    self._body_seconds = None
        return value

    def _account(self, value: object) -> None:
        """Note what the other end may have to read because of a value that it gets."""
        match value:
            case ("offer", {"sizes": list(sizes)}):
                self._owed_bytes = sum(size or 0 for size in sizes)
            case ("answer", {"prefixes": dict(prefixes)}):
                self._owed_bytes = sum(length for length, _ in prefixes.values())
                if self._body_seconds is not None:
                    self._body_seconds = self._stall + self._owed_bytes / READ_BYTES_PER_SECOND

    def _patiently(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        with self._named(self._body_seconds):
            yield from chunks

    @contextmanager
    def _named(self, seconds: float | None) -> Iterator[None]:
        """Say of a wait that was too long what it waited for."""
        try:
            yield
        except LinkTimeout as error:
            text = f"the other end lives, but nothing has moved for {seconds or 0:,.3g} seconds{self._hint}"
            raise LinkTimeout(text) from error


def _is(value: object, verb: str) -> bool:
    return isinstance(value, tuple) and value[:1] == (verb,)
