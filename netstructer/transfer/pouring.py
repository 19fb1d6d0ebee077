"""Files of a serving end into an open file or pipe, one after the other.  Floor: COMMONS.

Spec: files.md, "The conversation".  Law: what cannot be taken back is said.  A pipe has no final name that could appear
when all is well: bytes are written as they come, and one that changed, broke off or has another digest is an error
after the fact.  Nothing is resumed, because nothing of an earlier try is here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from netstructer.errors import BadValue, Misuse, UnsafeName
from netstructer.names import shown
from netstructer.transfer.body import CHANGED, FAILED, WHOLE, BodyReader
from netstructer.transfer.channel import Channel, Clock, expect, look, telling
from netstructer.transfer.globs import Pattern
from netstructer.transfer.leaving import outcomes_of
from netstructer.transfer.manifest import Entry
from netstructer.transfer.outcome import STATUS_OF, Outcome, Transfer
from netstructer.transfer.progress import Meter, Report
from netstructer.transfer.wording import Answer, Done, read_body, read_offer

__all__ = ["Writable", "pour"]

_ZEROS = bytes(256 * 1024)


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: memoryview, /) -> object: ...


def pour(
    channel: Channel,
    patterns: Iterable[str] | str,
    writable: Writable,
    *,
    progress: Report | None = None,
    timeout: float | None = None,
    clock: Clock,
    check: bool = True,
) -> Transfer:
    """Ask a serving end for files by name or pattern, and write their bytes to a binary file or pipe, in its order.

    Raises `Misuse` where a pattern finds a directory or a link; what `fetch` raises; what `write` raises; and with
    `check`, at the end, of a file that was left out or is not what its sender read, what `Transfer.check` says.
    """
    began = clock()
    meter = Meter(progress, channel, clock)
    wanted = [Pattern(text) for text in ([patterns] if isinstance(patterns, str) else patterns)]
    channel.send(("get", {"patterns": [pattern.text for pattern in wanted]}), timeout=timeout)
    with telling(channel, timeout=timeout):
        offered = expect(channel, read_offer, timeout=timeout)
        if offered.dry:
            raise BadValue("an offer of nothing, where bytes were asked for")
        for entry in offered.entries:
            if not any(pattern.allows(entry.parts) for pattern in wanted):
                raise UnsafeName(f"{shown(entry.name)} was not asked for", name=entry.name)
            if entry.kind != "file":
                raise Misuse(f"{shown(entry.name)} is a {entry.kind}: only files go into a pipe")
        sizes = [entry.size for entry in offered.entries]
        meter.expect(len(sizes), None if None in sizes else sum(size or 0 for size in sizes))
        channel.send(Answer(wants=bytearray(b"w" * len(sizes))).value(), timeout=timeout)
        body = expect(channel, read_body, timeout=timeout)
        reader = BodyReader(body.chunks(timeout=timeout, keep=False), lambda: look(channel))
        del body  # it is given up with the last who holds it
        try:
            outcomes = [_write(entry, reader, writable, meter) for entry in offered.entries]
            reader.finish()
        finally:
            reader.close()
        letters = {status: letter for letter, status in STATUS_OF.items()}
        states = "".join(letters[outcome.status] for outcome in outcomes)
        channel.send(Done(states=bytearray(states.encode())).value(), timeout=timeout)
    outcomes += outcomes_of(offered.left)
    done = Transfer(outcomes=outcomes, wire=meter.wire, seconds=clock() - began)
    return done.check() if check else done


def _write(entry: Entry, reader: BodyReader, writable: Writable, meter: Meter) -> Outcome:
    if reader.start():
        raise BadValue("a file that does not begin at its beginning")
    meter.begin(entry.name, entry.size)
    digest, moved = hashlib.sha256(), 0
    for piece in reader.pieces():
        for part in _zeros(piece) if isinstance(piece, int) else (piece,):
            moved += len(part)
            if entry.size is not None and moved > entry.size:
                raise BadValue("more bytes of a file than it was said to have")
            digest.update(part)
            writable.write(part)
            meter.advance(len(part))
    meter.end()
    letter = {WHOLE: "s", CHANGED: "c", FAILED: "f"}[reader.state]
    if reader.state == WHOLE:
        if entry.size is not None and moved != entry.size:
            raise BadValue("fewer bytes of a file than it was said to have")
        if digest.digest() != reader.digest:
            letter = "m"
    return Outcome(name=entry.name, status=STATUS_OF[letter], size=moved, moved=moved)


def _zeros(count: int) -> Iterable[memoryview]:
    view = memoryview(_ZEROS)
    while count:
        yield view[:count]
        count -= min(count, len(view))
