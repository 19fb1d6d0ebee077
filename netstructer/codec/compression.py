"""Bytes to fewer bytes and back: one zstd frame per message.  Floor: CODEC.  Law: no length that came in is trusted.

Spec: protocol.md, "Compression".  RFC 8878 for the zstd frame.

Why the way back walks the frame itself.  zstandard offers three ways to expand, and each trusts something that a
hostile peer writes: `decompress()` allocates what the frame *claims* and ignores its own limit when the frame states a
size; `decompressobj()` returns a gigabyte from 32 KiB in one call; `stream_reader()` is bounded, but takes a frame cut
short for a shorter one and does not say that bytes follow the frame.  A zstd frame, though, is a header and a chain of
blocks, each with a three-byte header that states its length, and one block never holds more than 128 KiB of plain
bytes.  So `expand` reads the headers (`_Walk`), hands the library exactly one block at a time, and gets at most 128 KiB
back each time: bounded by construction, complete only when the last block and the checksum have been there, and any
byte after them is an error.

What most small messages are is a frame of one block, here in one piece.  `expand_block` checks of it what the walk
would check, before the library is asked, and leaves every other frame to the walk; so both accept the same bytes.

A context that compresses is made for each message and never shared: contexts are not thread-safe, and one that saw
another message would let the length of one message tell of the contents of another (protocol.md, "What compression
tells").  One that expands tells nobody anything: a few are kept, each lent to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import zstandard

from netstructer.errors import BadCompression

__all__ = ["NONE", "ZSTD", "compress", "expand", "expand_block"]

NONE, ZSTD = 0, 1
"""Codec bytes of the message header."""

LEVEL = 1
WINDOW_LOG = 20
LEAST_BYTES = 512
"""Below this a frame's own overhead and the time cost more than the bytes saved."""
PROBE_BYTES = 64 << 10
PROBE_PLACES = 16
GLANCE_BYTES = 8 << 10
GLANCE_LEAST_BYTES = 256 << 10
JUDGE_BYTES = 4 << 10
"""Less than this before a source waits says little about what follows, and is compressed: that costs a raw block three
bytes, and half as much time as to seal it."""
WORTH = 0.95
"""A payload whose sample does not shrink below this share is sent as it is."""
CLEARLY_WORTH = 0.75
"""One whose glance shrinks to this share is compressed without a further look."""
FEED_BYTES = 128 << 10
BLOCK_BYTES = 128 << 10
"""RFC 8878, 3.1.1.2.4: the most that one block expands to."""
MOST_EMPTY_BLOCKS = 8
"""So many in a row may hold nothing.  A sender ends a block where it holds something, and a frame after its last one
with an empty one; who sends more of them keeps a reader waiting, at three bytes each, longer than it allowed."""
MAGIC = b"\x28\xb5\x2f\xfd"
ONE_SEGMENT = {MAGIC + b"\x24": 1, MAGIC + b"\x64": 2, MAGIC + b"\xa4": 4}
"""How a frame begins whose window is its content, with a checksum and no dictionary: the bytes of the length that
follows."""
LAST_COMPRESSED = 5
"""The low bits of a block's header: the last one, and compressed."""
CHECKSUM_BYTES = 4
MOST_SPARE = 4
"""Contexts that are kept, of about 100 KiB each; to make one costs ten times what a small block does."""

Buffer = bytes | bytearray | memoryview


def compress(pieces: Iterable[Buffer], plain_bytes: int | None) -> tuple[int, Iterator[Buffer]]:
    """Return a codec byte and the payload under it, lazily: one zstd frame, or `pieces` as they are where that does not
    pay.

    `plain_bytes` is the sum of their lengths, None while unknown.  Does not pay: under 512 bytes, or a sample of 64 KiB
    shrinks by less than 5 %.  The sample is taken from all over a list of pieces, because a table may begin with a
    column that shrinks by nothing, and from the beginning of what can be read only once.  For a list of more than 256
    KiB an eighth of the sample is enough where it does not shrink at all, or by a quarter.

    A lull (an empty piece, chunks.py) ends a block, so that what came before it can be expanded at once, and is handed
    on.  In a list, which is all here, an empty piece is nothing.
    """
    if isinstance(pieces, list) and plain_bytes is not None and plain_bytes > PROBE_BYTES:
        compressor = _compressor()
        pays = _shrinks(compressor, pieces, plain_bytes)
        return (ZSTD, _frame(compressor, filter(len, pieces), plain_bytes)) if pays else (NONE, filter(len, pieces))
    source = filter(len, pieces) if isinstance(pieces, list) else iter(pieces)
    if plain_bytes is not None and plain_bytes < LEAST_BYTES:
        return NONE, source
    head, rest, lulled = _first(source, PROBE_BYTES)
    if lulled and len(head) < JUDGE_BYTES:
        return ZSTD, _frame(_compressor(), chain((head,), rest), plain_bytes)
    compressor = _compressor()
    probe = compressor.compress(head)
    if len(head) < LEAST_BYTES or len(probe) > len(head) * WORTH:
        return NONE, chain((head,), rest)
    if len(head) == plain_bytes and not lulled:
        return ZSTD, iter((probe,))
    return ZSTD, _frame(compressor, chain((head,), rest), plain_bytes)


def expand(pieces: Iterable[Buffer], *, plain_bytes: int | None, stated: bool = True) -> Iterator[bytes]:
    """Return the plain bytes of one zstd frame, in pieces of at most 128 KiB, and never more than `plain_bytes` in all.

    `plain_bytes` is the length that the sender declared (the caller has held it against its limit); the frame must
    produce it, and must state it too, unless not `stated`: then it must not.  None where the sender declares it at the
    end and the end has not come: then the caller counts.  Raises `BadCompression` for everything else, and from then
    on always: a second frame, bytes after the frame, a dictionary, a window over 1 MiB, no checksum, more than
    `MOST_EMPTY_BLOCKS` in a row that hold nothing, a frame cut short, what zstd refuses.  What `pieces` raises passes
    through and nothing is lost by it: ask again, if `pieces` can be.
    """
    return _Expansion(_Walk(iter(pieces), plain_bytes if stated else None), plain_bytes)


def expand_block(frame: Buffer, plain_bytes: int) -> bytes | None:
    """Return the plain bytes of a zstd frame of one compressed block; None where it is any other, or at fault: `expand`
    takes it, or says what the matter is.

    `plain_bytes` is as for `expand`.
    """
    size_bytes = ONE_SEGMENT.get(bytes(frame[:5]), 0)
    block_at = 5 + size_bytes
    stated = int.from_bytes(frame[5:block_at], "little") + (256 if size_bytes == 2 else 0)
    block = int.from_bytes(frame[block_at : block_at + 3], "little")
    if (
        not size_bytes
        or stated != plain_bytes
        or not 0 < plain_bytes <= BLOCK_BYTES
        or block & 7 != LAST_COMPRESSED
        or len(frame) != block_at + 3 + (block >> 3) + CHECKSUM_BYTES
    ):
        return None
    try:
        context = _SPARE.pop()
    except IndexError:
        context = _decompressor()
    try:
        plain = context.decompress(frame)
    except zstandard.ZstdError:
        return None
    if len(_SPARE) < MOST_SPARE:
        _SPARE.append(context)
    return plain


_SPARE: list[zstandard.ZstdDecompressor] = []


def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(compression_params=_PARAMETERS)


_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(
    LEVEL, window_log=WINDOW_LOG, write_checksum=True, write_content_size=True, write_dict_id=False
)


def _shrinks(compressor: zstandard.ZstdCompressor, pieces: list[Buffer], plain_bytes: int) -> bool:
    """Say whether a sample of long pieces shrinks enough.

    Random bytes are the common case of what does not, text that of what does, and then a glance is enough: what it
    costs is mostly the memory that it touches, which is in no cache.
    """
    if plain_bytes >= GLANCE_LEAST_BYTES:
        glance = _sample(pieces, plain_bytes, GLANCE_BYTES)
        found = len(compressor.compress(glance))
        if found >= len(glance) or found <= len(glance) * CLEARLY_WORTH:
            return found < len(glance)
    sample = _sample(pieces, plain_bytes, PROBE_BYTES)
    return len(compressor.compress(sample)) <= len(sample) * WORTH


def _sample(pieces: list[Buffer], plain_bytes: int, sample_bytes: int) -> bytes:
    """Return `sample_bytes` out of `pieces`, from `PROBE_PLACES` places evenly apart."""
    part_bytes = sample_bytes // PROBE_PLACES
    starts = iter(range(0, plain_bytes - part_bytes + 1, (plain_bytes - part_bytes) // (PROBE_PLACES - 1)))
    found: list[Buffer] = []
    start, passed = next(starts, None), 0
    for piece in pieces:
        view = memoryview(piece)
        while start is not None and start < passed + len(view):
            found.append(view[start - passed : start - passed + part_bytes])
            start = next(starts, None)
        passed += len(view)
    return b"".join(found)


def _first(source: Iterator[Buffer], limit: int) -> tuple[bytes, Iterator[Buffer], bool]:
    """Return the first `limit` bytes of the source, fewer where a lull comes, the rest of it, and whether one came."""
    found: list[Buffer] = []
    missing = limit
    for piece in source:
        view = memoryview(piece)
        if not len(view):
            return b"".join(found), chain((view,), source), True
        found.append(view[:missing])
        if len(view) > missing:
            return b"".join(found), chain((view[missing:],), source), False
        missing -= len(view)
    return b"".join(found), source, False


def _frame(compressor: zstandard.ZstdCompressor, pieces: Iterable[Buffer], plain_bytes: int | None) -> Iterator[bytes]:
    stream = compressor.compressobj(size=-1 if plain_bytes is None else plain_bytes)
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), FEED_BYTES):
            compressed = stream.compress(view[start : start + FEED_BYTES])
            if compressed:
                yield compressed
        if not len(view):
            block = stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            if block:
                yield block
            yield b""
    yield stream.flush()


class _Expansion:
    """The plain bytes of one frame, one block after the other.  No generator: those end at the first error."""

    def __init__(self, walk: _Walk, plain_bytes: int | None) -> None:
        self._walk = walk
        self._stream = _decompressor().decompressobj()
        self._plain_bytes = plain_bytes
        self._produced = 0
        self._empty = -1
        """Blocks in a row that held nothing; the header, which is fed first, is none."""
        self._fault: BadCompression | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._fault is not None:
            raise self._fault.again()
        try:
            while (part := self._walk.part()) is not None:
                plain = self._stream.decompress(part)
                self._produced += len(plain)
                if self._plain_bytes is not None and self._produced > self._plain_bytes:
                    raise BadCompression(f"expected {self._plain_bytes} plain bytes, found more")
                if plain:
                    self._empty = 0
                    return plain
                self._empty += not self._stream.eof
                if self._empty > MOST_EMPTY_BLOCKS:
                    raise BadCompression(f"more than {MOST_EMPTY_BLOCKS} zstd blocks in a row are empty")
            if not self._stream.eof or self._plain_bytes not in (None, self._produced):
                raise BadCompression(f"expected {self._plain_bytes} plain bytes, found {self._produced}")
        except BadCompression as fault:
            self._fault = fault.again()
            raise
        except zstandard.ZstdError as error:
            self._fault = BadCompression("the zstd frame is broken")
            raise self._fault.again() from error
        raise StopIteration


class _Walk:
    """Cut one zstd frame into its header, its blocks and its checksum, from pieces of any size."""

    def __init__(self, source: Iterator[Buffer], stated_bytes: int | None) -> None:
        self._source = source
        self._stated_bytes = stated_bytes
        self._held = bytearray()
        self._step = _Walk._header
        """The next part's reader.  A function, not a method of this object, which would hold itself in memory."""

    def part(self) -> bytes | None:
        """Return the next part, or None where the frame and the source are at their end."""
        return self._step(self)

    def _header(self) -> bytes | None:
        start = self._peek(5)
        if start[:4] != MAGIC:
            raise BadCompression("not a zstd frame")
        flags = start[4]
        single, reserved, checksum, dictionary = flags >> 5 & 1, flags >> 3 & 3, flags >> 2 & 1, flags & 3
        size_bytes = (1 if single else 0, 2, 4, 8)[flags >> 6]
        if reserved or not checksum or dictionary:
            raise BadCompression("a zstd frame must carry a checksum, and has no dictionary")
        if bool(size_bytes) != (self._stated_bytes is not None):
            raise BadCompression("a zstd frame must state its length where the message does, and only there")
        header = self._take(5 + (0 if single else 1) + size_bytes)
        if size_bytes:
            stated = int.from_bytes(header[-size_bytes:], "little") + (256 if size_bytes == 2 else 0)
            if stated != self._stated_bytes:
                raise BadCompression(f"declared {self._stated_bytes} plain bytes, the zstd frame states {stated}")
        self._step = _Walk._block
        return header

    def _block(self) -> bytes | None:
        head = int.from_bytes(self._peek(3), "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        if size > BLOCK_BYTES or kind == 3:
            raise BadCompression("a zstd block is longer than 128 KiB or of a reserved kind")
        block = self._take(3 + (1 if kind == 1 else size))
        if last:
            self._step = _Walk._checksum
        return block

    def _checksum(self) -> bytes | None:
        checksum = self._take(4)
        self._step = _Walk._end
        return checksum

    def _end(self) -> bytes | None:
        if self._held or any(len(piece) for piece in self._source):
            raise BadCompression("bytes follow the zstd frame")
        return None

    def _peek(self, count: int) -> bytes:
        held = self._held
        while len(held) < count:
            piece = next(self._source, None)
            if piece is None:
                raise BadCompression("the zstd frame is cut short")
            held += piece
        return bytes(held[:count])

    def _take(self, count: int) -> bytes:
        taken = self._peek(count)
        del self._held[:count]
        return taken
