"""The end that has the files: offers them, and sends what is wanted.  Floor: COMMONS.

Spec: files.md, "The conversation".  Law: nothing that the receiver claims to have is believed: of a prefix it gives the
digest, and this end reads its own.  One file that fails does not stop the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from netstructer.codec.blob import Blob
from netstructer.codec.origins import read_some
from netstructer.errors import BadValue, MessageCancelled
from netstructer.transfer.body import (
    CHANGED,
    FAILED,
    MOST_HOLE_BYTES,
    WHOLE,
    Buffer,
    end_of_file,
    joined,
    piece_of,
    start_of_file,
)
from netstructer.transfer.channel import Channel, Clock, expect, telling
from netstructer.transfer.gathering import Gathered, Path, Source, gather
from netstructer.transfer.leaving import left_of
from netstructer.transfer.manifest import Entry
from netstructer.transfer.outcome import ARRIVED, STATUS_OF, Outcome, Status, Transfer, status_of
from netstructer.transfer.progress import Meter, Report
from netstructer.transfer.source import PIECE_BYTES, FileSource, Piece, digest_of, feed, pieces_of
from netstructer.transfer.wording import REFUSALS, Answer, Done, Offer, read_answer, read_done

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["give", "offer"]

_ENDS = {"whole": end_of_file(WHOLE), "changed": end_of_file(CHANGED), "failed": end_of_file(FAILED)}


def offer(
    channel: Channel,
    paths: Iterable[Path] | Path,
    *,
    into: str = "",
    resume: bool = True,
    dry_run: bool = False,
    progress: Report | None = None,
    timeout: float | None = None,
    clock: Clock,
    check: bool = True,
) -> Transfer:
    """Offer files and whole trees to the other end, and send what it does not have.

    Each path arrives under its own last name, in the directory `into` (relative, with slashes) of the receiver's; a
    `Source` is an open file or pipe under a name.  What an earlier try has brought over is continued, unless not
    `resume`.  With `dry_run` nothing is sent: the result says what would be.

    Raises `OSError` for a path that is not there, before anything is sent; `TransferRefused`; what the link raises.
    With `check`, at the end, when all else is done: the error of the first file that has not arrived, as
    `Transfer.check` says.
    """
    with gather(paths) as gathered, telling(channel, timeout=timeout):
        offered = Offer(entries=gathered.entries, left=left_of(gathered.left), into=into, resume=resume, dry=dry_run)
        done = give(channel, gathered, offered, progress=progress, timeout=timeout, clock=clock)
    return done.check() if check else done


def give(
    channel: Channel,
    gathered: Gathered,
    offered: Offer,
    *,
    asked: bool = False,
    progress: Report | None,
    timeout: float | None,
    clock: Clock,
) -> Transfer:
    """Hold the sender's part of a conversation, from the offer to its end; return what became of it.

    Only who was `asked` for the files may be told that nothing of them is to be sent.
    """
    began = clock()
    meter = Meter(progress, channel, clock)
    channel.send(offered.value(), timeout=timeout)
    answer = expect(channel, read_answer(gathered.entries), timeout=timeout)
    if answer.dry and not (offered.dry or asked):
        raise BadValue("an answer that wants no bytes, where they were offered")
    if offered.dry or answer.dry:
        outcomes = _foreseen(gathered, answer)
    else:
        body = _Body(gathered, answer, meter)
        _send_body(channel, body, timeout)
        done = expect(channel, read_done(gathered.entries), timeout=timeout)
        outcomes = body.outcomes_with(done, offered.into)
    return Transfer(
        outcomes=[*outcomes, *gathered.left],
        directories=sum(entry.kind == "directory" for entry in gathered.entries),
        wire=meter.wire,
        seconds=clock() - began,
        dry=offered.dry or answer.dry,
    )


def _send_body(channel: Channel, body: _Body, timeout: float | None) -> None:
    """Send the bytes; if the receiver has given them up, raise what it says about that."""
    try:
        channel.send(("body", {"bytes": Blob.from_iter(joined(body.buffers()))}), timeout=timeout)
    except MessageCancelled as error:
        if body.error is not None:
            raise body.error from error
        # It has something to say: a refusal, or the link's end.  Any other value makes no sense now.
        expect(channel, _never, timeout=timeout)


class _Body:
    """The bytes that were asked for, file after file, and what became of each here."""

    def __init__(self, gathered: Gathered, answer: Answer, meter: Meter) -> None:
        self._gathered = gathered
        self._answer = answer
        self._meter = meter
        self._holes = 0
        self.states: dict[int, tuple[Status, int, int]] = {}  # index -> status, size, bytes moved
        self.error: BaseException | None = None
        wanted = [entry for entry, want in zip(gathered.entries, answer.wants.decode(), strict=True) if want in "wp"]
        sizes = [entry.size for entry in wanted]
        meter.expect(len(wanted), None if None in sizes else sum(size or 0 for size in sizes))

    def buffers(self) -> Iterator[Buffer]:
        try:
            for index, want in enumerate(self._answer.wants.decode()):
                if want in "wp":
                    yield from self._file(index, self._gathered.entries[index])
        except GeneratorExit:
            raise  # the link wants no more of it
        except BaseException as error:
            self.error = error
            raise

    def _file(self, index: int, entry: Entry) -> Iterator[Buffer]:
        origin, size = self._gathered.origins[index], entry.size or 0
        if isinstance(origin, Source):
            yield from self._stream(index, origin)
            return
        source, digest, start, ended = self._open(index)
        yield start_of_file(start)
        self._meter.begin(entry.name, size, start)
        position = start
        if source is not None:
            with source:
                for piece in _until_failure(pieces_of(source.handle, start, size)):
                    if piece is None:
                        ended = "failed"
                        break
                    yield from self._told(piece)
                    count = feed(digest, piece)
                    position += count
                    self._meter.advance(count)
                else:
                    same = position == size and not source.has_more() and source.unchanged()
                    ended = "whole" if same else "changed"
        yield _ENDS[ended] + (digest.digest() if ended == "whole" else b"")
        self.states[index] = (self._status_of(index, ended, start), position, position - start)
        self._meter.end()

    def _told(self, piece: Piece) -> Iterator[Buffer]:
        """Return the buffers of a piece; of a hole, once a body has as many as it may have, its zeros."""
        if isinstance(piece, int):
            self._holes += piece
            if self._holes > MOST_HOLE_BYTES:
                for start in range(0, piece, PIECE_BYTES):
                    yield from piece_of(bytes(min(PIECE_BYTES, piece - start)))
                return
        yield from piece_of(piece)

    def _open(self, index: int) -> tuple[FileSource | None, _Hash, int, str]:
        """Open a file, and find where to begin: behind the receiver's prefix, if ours has the same digest.

        Without a file, the last says how it ended before it began.
        """
        source: FileSource | None = None
        ended = "changed"
        try:
            source = self._gathered.open(index)
            if source.unchanged():
                length, theirs = self._answer.prefixes.get(index, (0, b""))
                prefix = digest_of(
                    source.handle, length, self._meter.compare(self._gathered.entries[index].name, length)
                )
                if prefix.digest() == theirs:
                    return source, prefix, length, ""
                return source, hashlib.sha256(), 0, ""
        except OSError:
            ended = "failed"
        if source is not None:
            source.close()
        return None, hashlib.sha256(), 0, ended

    def _status_of(self, index: int, ended: str, start: int) -> Status:
        if ended != "whole":
            return "changed" if ended == "changed" else "failed"
        return status_of(start, self._answer.prefixes.get(index), self._gathered.entries[index].size)

    def _stream(self, index: int, source: Source) -> Iterator[Buffer]:
        digest, position = hashlib.sha256(), 0
        yield start_of_file(0)
        self._meter.begin(source.name, None)
        ended = "whole"
        for piece in _until_failure(iter(lambda: read_some(source.readable, PIECE_BYTES), b"")):
            if piece is None:
                ended = "failed"
                break
            yield from piece_of(piece)
            yield b""  # The next piece of a pipe may take its time.
            count = feed(digest, piece)
            position += count
            self._meter.advance(count)
        yield _ENDS[ended] + (digest.digest() if ended == "whole" else b"")
        self.states[index] = ("sent" if ended == "whole" else "failed", position, position)
        self._meter.end()

    def outcomes_with(self, done: Done, into: str) -> list[Outcome]:
        """Return the outcomes: what was seen here where a file failed here, else what the receiver says."""
        outcomes = []
        for index, entry in enumerate(self._gathered.entries):
            said = STATUS_OF[chr(done.states[index])]
            if index not in self.states:
                _check_said(said, self._answer.wants[index])
                status, size, moved = said, entry.size, 0
            else:
                status, size, moved = self.states[index]
                if status in ARRIVED and said in ("refused", "damaged"):
                    status = said
                elif status != said and said not in ("refused", "damaged"):
                    raise BadValue(f"the other end says {said!r} of a file that was {status!r}")
            if entry.kind != "directory" or status == "refused":
                reason = REFUSALS[done.reasons[index]] if index in done.reasons else ""
                where = f"{into}/" * bool(into) + done.renamed.get(index, entry.name)
                outcomes.append(_outcome(entry, status, size=size, moved=moved, where=where, reason=reason))
        return outcomes


def _foreseen(gathered: Gathered, answer: Answer) -> list[Outcome]:
    """Return what would become of each file if it were sent now."""
    outcomes = []
    for index, (entry, want) in enumerate(zip(gathered.entries, answer.wants.decode(), strict=True)):
        status: Status = "refused" if want == "x" else "sent"
        moved = 0 if want == "x" else entry.size or 0
        if want == "p":
            length, theirs = answer.prefixes[index]
            try:
                with gathered.open(index) as source:
                    if digest_of(source.handle, length).digest() == theirs:
                        moved -= length
                        status = "same" if length == entry.size else "resumed"
            except OSError:
                status, moved = "failed", 0
        if entry.kind != "directory" or want == "x":
            reason = REFUSALS.get(answer.reasons.get(index, ""), "")
            outcomes.append(_outcome(entry, status, size=entry.size, moved=moved, where=entry.name, reason=reason))
    return outcomes


def _outcome(entry: Entry, status: Status, *, size: int | None, moved: int, where: str, reason: str) -> Outcome:
    where = where if status in ("sent", "resumed", "same") else ""
    return Outcome(name=entry.name, status=status, kind=entry.kind, size=size, moved=moved, where=where, reason=reason)


def _until_failure(pieces: Iterator[Piece] | Iterator[bytes]) -> Iterator[Piece | None]:
    """Return the pieces, and None where the file cannot be read on."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration:
            return
        except OSError:
            yield None
            return
        yield piece


def _check_said(said: Status, want: int) -> None:
    """Raise `BadValue` where the receiver says something else than `refused` of what was not sent, or `sent` of what
    has no bytes.
    """
    if said != "refused" and (said != "sent" or want != ord("-")):
        raise BadValue(f"the other end says {said!r} of what was not sent")


def _never(value: object) -> None:
    raise BadValue("expected a refusal after the bytes of the files were given up")
