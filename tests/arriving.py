"""A blob on its way, without a link: what comes is a script, and a reader who waits moves it on by one step."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import zstandard

from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import LinkTimeout, SpoolFull
from netstructer.limits import Limits

__all__ = ["ALL_WAYS", "Fed", "Tight", "content", "cut", "fed", "packed"]

ALL_WAYS = [(NONE, True), (NONE, False), (ZSTD, True), (ZSTD, False)]
"""Codec, and whether the first record states the length."""

Step = bytes | BaseException


class Fed:
    """An `Arriving` that is fed by its script: bytes come, an error is raised once, the end makes the payload whole.

    With `credit`, no more than so many bytes come ahead of what was consumed: a reader that waits for more has
    forgotten to say how far it is.  Where it is `cramped`, there is no room to keep anything.  Without a script,
    another thread calls `feed`, `finish` and `fail`.
    """

    def __init__(
        self,
        script: Iterable[Step] | None = None,
        *,
        size: int,
        codec: int = NONE,
        stated: bool = True,
        credit: int | None = None,
        spool: Spool | None = None,
        cramped: bool = False,
    ) -> None:
        self.room = SpoolRoom(Limits.DEFAULT)
        self.spool = Spool(self.room) if spool is None else spool
        self.codec, self.stated, self.most_bytes = codec, stated, 1 << 40
        self.size = size if stated else None
        self.given_up = 0
        self.expected: int | None = None
        self.spools: list[Spool] = []
        self.told = 0
        self.calls: list[int] = []
        self._size = size
        self._script: Iterator[Step] | None = None if script is None else iter(script)
        self._credit = credit
        self._cramped = cramped
        self._whole = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def wait(self, position: int, timeout: float | None) -> bool:
        with self._changed:
            while self.spool.byte_count <= position:
                if self._failure is not None:
                    raise self._failure
                if self._whole:
                    return False
                if self._script is not None:
                    self._step(self._script)
                elif not self._changed.wait(timeout):
                    raise LinkTimeout("nothing came")
            return True

    def _step(self, script: Iterator[Step]) -> None:
        step = next(script, None)
        if step is None:
            self.finish()
        elif isinstance(step, BaseException):
            raise step
        else:
            assert self._credit is None or self.spool.byte_count + len(step) <= self.told + self._credit, "no credit"
            self.spool.add(step)

    def feed(self, payload: bytes) -> None:
        with self._changed:
            self.spool.add(payload)
            self._changed.notify_all()

    def finish(self) -> None:
        with self._changed:
            self.size, self._whole = self._size, True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def consumed(self, position: int, *, keep: bool) -> None:
        assert position <= self.spool.byte_count
        self.calls.append(position)
        self.told = max(self.told, position)
        if not keep or self._cramped:
            self.spool.forget(position)

    def expect(self, size: int | None) -> None:
        self.expected = size

    def new_spool(self) -> Spool:
        self.spools.append(Spool(self.room))
        return self.spools[-1]

    def give_up(self) -> None:
        self.given_up += 1


class Tight(Spool):
    """A spool with room for a few bytes."""

    def __init__(self, room: SpoolRoom, room_bytes: int) -> None:
        super().__init__(room)
        self.room_bytes = room_bytes

    def add(self, chunk: bytes | bytearray | memoryview) -> None:
        if self.byte_count - self.start + len(chunk) > self.room_bytes:
            raise SpoolFull("no room")
        super().add(chunk)


def content(size: int) -> bytes:
    """Bytes that are nowhere the same, with newlines among them, that shrink to a third."""
    return b"".join(b"%08d%s" % (number, b"\n" if number % 3 else b"\0\r") for number in range(size // 9 + 1))[:size]


def packed(plain: bytes, codec: int, stated: bool) -> bytes:
    """Return the payload of `plain`; small frames too, which nobody would compress."""
    if codec == NONE:
        return plain
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=stated)
    stream = compressor.compressobj(size=len(plain) if stated else -1)
    return stream.compress(plain) + stream.flush()


def cut(payload: bytes, piece_bytes: int) -> list[bytes]:
    return [payload[start : start + piece_bytes] for start in range(0, len(payload), piece_bytes)]


def fed(plain: bytes, codec: int, stated: bool, piece_bytes: int = 1000, *, credit: int | None = None) -> Fed:
    """Return `plain` on its way, in pieces."""
    script = cut(packed(plain, codec, stated), piece_bytes)
    return Fed(script, size=len(plain), codec=codec, stated=stated, credit=credit)
