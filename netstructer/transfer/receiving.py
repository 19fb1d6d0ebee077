"""The end that gets the files: says what it has, and takes what comes.  Floor: COMMONS.

Spec: files.md, "The conversation".  Law: a final name appears in one step, when all bytes of the file are there and
their digest is the sender's; and nothing is touched that is not below the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Literal

from netstructer.errors import BadValue, Misuse, UnsafeName
from netstructer.names import check_parts, shown
from netstructer.transfer.allowance import Allowance, bytes_to_come, things_to_come
from netstructer.transfer.body import CHANGED, FAILED, LOOK_BYTES, WHOLE, BodyReader
from netstructer.transfer.channel import Channel, Clock, expect, look, telling
from netstructer.transfer.leaving import outcomes_of
from netstructer.transfer.manifest import Entry, is_partial_name
from netstructer.transfer.outcome import STATUS_OF, Outcome, Transfer, status_of
from netstructer.transfer.partial import Compare, Partial, make_link, sweep
from netstructer.transfer.places import Tree
from netstructer.transfer.planning import Plan, plan
from netstructer.transfer.progress import Meter, Report
from netstructer.transfer.wording import (
    FULL,
    REFUSALS,
    Done,
    Offer,
    Refused,
    StoppedAt,
    check_refusal,
    kind_of,
    read_body,
    read_offer,
)

__all__ = ["Overwrite", "receive", "take"]

Overwrite = Literal["replace", "refuse", "keep"]
"""What happens where another file has the name: it is replaced; the new one is refused; the new one gets another name,
as `scan (2).tiff`.  A file that is the same is left alone in each case."""

_STOPPING = {*FULL, errno.EIO, errno.EMFILE, errno.ENFILE}
"""Errors of a disk and of a process that the next file would meet too: the transfer ends, and can be continued."""


def receive(
    channel: Channel,
    offered: object,
    directory: str | os.PathLike[str],
    *,
    resume: bool = True,
    overwrite: Overwrite = "replace",
    progress: Report | None = None,
    timeout: float | None = None,
    clock: Clock,
    check: bool = True,
) -> Transfer:
    """Take what the other end offers into `directory`, which exists; `offered` is the first value of the conversation.

    Raises `TransferRefused` where the other end has refused; `UnsafeName` and `BadValue` for an offer that is not
    taken; `OSError` where the disk fails, and then what has arrived is kept to be continued; what the link raises, and
    likewise.  With `check`, at the end: the error of the first file that has not arrived, as `Transfer.check` says, and
    `TransferRefused` where the other end has only asked what would be taken.
    """
    if overwrite not in ("replace", "refuse", "keep"):
        raise Misuse("expected overwrite='replace', 'refuse' or 'keep'")
    check_refusal(offered)
    with telling(channel, timeout=timeout):
        done = take(
            channel,
            read_offer(offered),
            directory,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            timeout=timeout,
            clock=clock,
        )
    if check and done.dry:
        raise Refused("nothing has arrived: the other end only asked what would be taken of its files")
    return done.check() if check else done


def take(
    channel: Channel,
    offered: Offer,
    directory: str | os.PathLike[str],
    *,
    dry: bool = False,
    resume: bool = True,
    overwrite: Overwrite,
    allowance: Allowance | None = None,
    progress: Report | None,
    timeout: float | None,
    clock: Clock,
) -> Transfer:
    """Hold the receiver's part of a conversation, from the answer to its end; return what became of it."""
    began = clock()
    meter = Meter(progress, channel, clock)
    into = check_parts(offered.into.split("/")) if offered.into else ()
    if any(map(is_partial_name, into)):
        raise UnsafeName(f"{shown(offered.into)} is what an unfinished transfer is called", name=offered.into)
    with Tree(directory) as tree:
        planned = plan(
            tree,
            into,
            offered,
            resume=resume and offered.resume,
            overwrite=overwrite,
            dry=dry,
            compare=_comparing(meter, channel),
        )
        try:
            if allowance is not None and not planned.answer.dry:
                allowance.begin(things_to_come(offered.entries, planned), bytes_to_come(offered.entries, planned))
            channel.send(planned.answer.value(), timeout=timeout)
            outcomes: list[Outcome] = []
            if not planned.answer.dry:
                taking = _Taking(tree, into, offered, planned, overwrite, meter, allowance)
                # No name here holds the chunks: with the reader they are given up, and the sender told.
                taking.run(
                    BodyReader(
                        expect(channel, read_body, timeout=timeout).chunks(timeout=timeout, keep=False),
                        lambda: look(channel),
                    )
                )
                channel.send(taking.done.value(), timeout=timeout)
                outcomes = taking.outcomes
            else:
                outcomes = planned.outcomes(offered)
        finally:
            planned.close()
    return Transfer(
        outcomes=[*outcomes, *outcomes_of(offered.left)],
        directories=sum(entry.kind == "directory" for entry in offered.entries),
        wire=meter.wire,
        seconds=clock() - began,
        dry=planned.answer.dry,
    )


def _comparing(meter: Meter, channel: Channel) -> Compare:
    """Return what tells of comparing, and looks every GiB whether the sender is still there."""
    total = 0

    def compare(name: str, length: int) -> Callable[[int], object]:
        tell = meter.compare(name, length)

        def advance(count: int) -> None:
            nonlocal total
            before, total = total, total + count
            if before // LOOK_BYTES != total // LOOK_BYTES:
                look(channel)
            tell(count)

        return advance

    return compare


class _Taking:
    """The bytes of an offer as they come, and what becomes of each entry."""

    def __init__(
        self,
        tree: Tree,
        into: tuple[str, ...],
        offered: Offer,
        planned: Plan,
        overwrite: Overwrite,
        meter: Meter,
        allowance: Allowance | None,
    ) -> None:
        self._tree = tree
        self._into = into
        self._entries = offered.entries
        self._planned = planned
        self._overwrite = overwrite
        self._meter = meter
        self._allowance = allowance
        self.done = Done(states=bytearray(b"x" * len(offered.entries)))
        self.done.reasons = dict(planned.answer.reasons)
        self.outcomes: list[Outcome] = []
        wanted = [entry for entry, want in self._with_wants() if want in "wp"]
        sizes = [entry.size for entry in wanted]
        meter.expect(len(wanted), None if None in sizes else sum(size or 0 for size in sizes))

    def run(self, reader: BodyReader) -> None:
        """Take all of them; raises what the blob raises, `BadValue`, and `OSError` where the disk fails for good."""
        try:
            for index, (entry, want) in enumerate(self._with_wants()):
                size, moved = entry.size, 0
                if want in "wp":
                    size, moved = self._file(index, entry, reader)
                elif want == "-":
                    self._guarded(index, lambda entry=entry: self._make(entry))  # type: ignore[misc]  # bound now
                self._tell(index, entry, size, moved)
            reader.finish()
        finally:
            reader.close()
        self._finish_directories()

    def _with_wants(self) -> zip[tuple[Entry, str]]:
        return zip(self._entries, self._planned.answer.wants.decode(), strict=True)

    def _guarded(self, index: int, act: Callable[[], str]) -> None:
        """Do what leads to a state; what the disk says against this one entry is its refusal."""
        try:
            self.done.states[index] = ord(act())
        except (OSError, UnsafeName) as error:
            if isinstance(error, OSError) and error.errno in _STOPPING:
                raise self._stopped(index, error) from error
            self.done.states[index] = ord("x")
            self.done.reasons[index] = kind_of(error)

    def _stopped(self, index: int, error: OSError) -> StoppedAt:
        return StoppedAt(error.errno, error.strerror or "the disk has failed", self._entries[index].name)

    def _make(self, entry: Entry) -> str:
        """Make a directory or a link."""
        parts = (*self._into, *entry.parts)
        if entry.kind == "directory":
            self._tree.make(parts, 0o777 if entry.mode is None else entry.mode)
            return "s"
        directory = self._tree.make(parts[:-1])
        make_link(directory, entry, self._overwrite)
        return "s"

    def _file(self, index: int, entry: Entry, reader: BodyReader) -> tuple[int | None, int]:
        """Take the bytes of one file; return its size, and how many of them came now."""
        prefix = self._planned.answer.prefixes.get(index)
        start = reader.start()
        if start and (prefix is None or start != prefix[0]):
            raise BadValue(f"a file that begins at {start}, which nobody has asked for")
        self._meter.begin(entry.name, entry.size, start)
        if index in self._planned.finished and prefix is not None and start == prefix[0]:
            moved = self._same(index, entry, prefix[1], reader)
        else:
            moved = self._fresh(index, entry, start, reader)
        self._meter.end()
        return (start + moved if entry.size is None else entry.size), moved

    def _same(self, index: int, entry: Entry, digest: bytes, reader: BodyReader) -> int:
        """The finished file that is there is the one that is offered: no byte may come, only its digest."""
        for _ in reader.pieces():
            raise BadValue("bytes of a file that was there")
        state = {WHOLE: "=", CHANGED: "c", FAILED: "f"}[reader.state]
        if reader.state == WHOLE and reader.digest != digest:
            state = "m"
        self.done.states[index] = ord(state)
        return 0

    def _fresh(self, index: int, entry: Entry, start: int, reader: BodyReader) -> int:
        """Write what comes to a partial, and give it the final name if it is whole; read past it if that fails."""
        partial: Partial | None = None
        moved = 0

        def begin() -> str:
            nonlocal partial
            partial = self._begin(index, entry, start)
            return "x"

        self._guarded(index, begin)
        try:
            for piece in reader.pieces():
                count = piece if isinstance(piece, int) else len(piece)
                moved += count
                if entry.size is not None and start + moved > entry.size:
                    raise BadValue("more bytes of a file than it was said to have")
                if partial is not None:
                    if self._allowance is not None:
                        self._allowance.spend(count)
                    partial = self._add(index, partial, piece)
                self._meter.advance(count)
            if partial is not None:
                self._end(index, entry, start, partial, reader)
        finally:
            if partial is not None and entry.size is None:
                self._drop(partial, entry)  # nobody can continue it: it would only take room
            elif partial is not None:
                partial.keep()
        return moved

    def _drop(self, partial: Partial, entry: Entry) -> None:
        with contextlib.suppress(OSError):
            partial.drop(self._tree.at((*self._into, *entry.parts[:-1])))
        partial.keep()

    def _begin(self, index: int, entry: Entry, start: int) -> Partial:
        directory = self._tree.make((*self._into, *entry.parts[:-1]))
        sweep(directory, entry, self._planned.leftovers.pop(index, ()))
        held = self._planned.partials.get(index)
        if held is None:
            return Partial(directory, entry, resume=False)
        if held.position != start:
            held.restart()
        return self._planned.partials.pop(index)

    def _add(self, index: int, partial: Partial, piece: memoryview | int) -> Partial | None:
        """Write a piece; return None where the disk does not take this file, which is dropped then."""
        try:
            partial.add(piece)
        except OSError as error:
            if error.errno in _STOPPING:
                raise self._stopped(index, error) from error
            entry = self._entries[index]
            partial.drop(self._tree.make((*self._into, *entry.parts[:-1])))
            self.done.reasons[index] = kind_of(error)
            return None
        return partial

    def _end(self, index: int, entry: Entry, start: int, partial: Partial, reader: BodyReader) -> None:
        state = {WHOLE: "s", CHANGED: "c", FAILED: "f"}[reader.state]
        if reader.state == WHOLE:
            if entry.size is not None and partial.position != entry.size:
                raise BadValue("fewer bytes of a file than it was said to have")
            if partial.digest.digest() != reader.digest:
                state = "m"

        def settle() -> str:
            directory = self._tree.make((*self._into, *entry.parts[:-1]))
            if state != "s":
                partial.drop(directory)
                return state
            try:
                name = partial.finish(directory, entry, self._overwrite)
            except OSError:
                partial.drop(directory)
                raise
            if name != entry.parts[-1]:
                self.done.renamed[index] = "/".join((*entry.parts[:-1], name))
            status = status_of(start, self._planned.answer.prefixes.get(index), entry.size)
            return next(letter for letter, word in STATUS_OF.items() if word == status)

        self._guarded(index, settle)

    def _tell(self, index: int, entry: Entry, size: int | None, moved: int) -> None:
        status = STATUS_OF[chr(self.done.states[index])]
        if status != "refused":
            self.done.reasons.pop(index, None)
        elif index not in self.done.reasons:
            self.done.reasons[index] = "failed"
        if entry.kind == "directory" and status != "refused":
            return
        where = "/".join((*self._into, self.done.renamed.get(index, entry.name)))
        self.outcomes.append(
            Outcome(
                name=entry.name,
                status=status,
                kind=entry.kind,
                size=size,
                moved=moved,
                where=where if status in ("sent", "resumed", "same") else "",
                reason=REFUSALS[self.done.reasons[index]] if status == "refused" else "",
            )
        )

    def _finish_directories(self) -> None:
        """Set the times of the directories of the offer, and the modes of those that were made: the deepest first.

        What cannot be set is left: the files are there, and whoever made it so that it cannot has a reason.
        """
        for index in reversed(range(len(self._entries))):
            entry = self._entries[index]
            if entry.kind == "directory" and self.done.states[index] == ord("s"):
                parts = (*self._into, *entry.parts)
                with contextlib.suppress(OSError, OverflowError):
                    self._tree.at(parts).finish(self._tree.created.get(parts), entry.mtime_ns)
