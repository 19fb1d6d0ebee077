"""What can be done to bytes under way without the key, all of it: whole sets of changes, each with its verdict.

A `Wire` is what the peer of one end said in one session, record by record.  A `Post` is that end as it stands after the
first records of the wire, to be gone back to (snapshot.py): it is given some bytes, and `verdict` holds what it did
against the only thing that may happen: the records that came as they were said are taken, in order, and of everything
from the first other byte on nothing is taken, nothing handed over, and nothing later.

`python tests/integrity.py` runs the whole sets, and a million changes by chance, and prints what was counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, combinations, permutations
from pathlib import Path
from random import Random

if __name__ == "__main__":  # the package need not be installed
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netstructer.codec.blob import Blob
from netstructer.errors import BadFrame, BadSeal, ConnectionCut, IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.events import Ended, Event, Suspended
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.session import Session
from netstructer.protocol.states import Flag, Kind, Role, State
from pair import ALL_FEATURES, C2S, RESUMABLE, S2C, Hostile, Pair, frame_of, messages_in, send, session_of, tokens_of
from snapshot import Snapshot

RECORDS = 64
"""Records of the long recording."""
SIX = 6
LIMITS = Limits(body_bytes=1024, rekey_seconds=1000.0)
OTHER_SECRETS = (bytes(range(64, 96)), bytes(range(96, 128)))
NOW = 1.0
ROLES = (Role.SERVER, Role.CLIENT)
FEATURES = (ALL_FEATURES, RESUMABLE)
"""A changed byte ends a session, or only its transport, where both ends agreed on that."""
SUITES = (0x01, 0x11)
"""Records under Fernet, and under AES-256-GCM."""
SHAPES = ("value", "blob", "batches", "values")
"""What six records may be: a value, a blob, six batches, six values."""


class Wrong(AssertionError):
    """Something was taken that must not be, or the other way round."""


class Wire:
    """What the peer of one end said, `before` being how many records come before those that are changed."""

    def __init__(
        self,
        role: Role,
        frames: Sequence[bytes],
        *,
        features: int,
        secrets: tuple[bytes, bytes],
        suite: int,
        before: int = 0,
    ) -> None:
        self.role, self.features, self.secrets, self.before = role, features, secrets, before
        self.suite = suite
        self.frames = list(frames)
        self.whole = b"".join(frames)
        self.ends = [0, *accumulate(map(len, frames))]
        """Where each frame begins, and where the last one ends."""
        self._posts: dict[int, Post] = {}
        self._given: list[tuple[list[tuple[int, bytes]], int]] = []

    def post(self, records: int | None = None) -> Post:
        """Return the end after so many records, or after those that stand before what is changed."""
        records = self.before if records is None else records
        if records not in self._posts:
            self._posts[records] = Post(self, records)
        return self._posts[records]

    def gives(self, records: int, count: int) -> tuple[list[tuple[int, bytes]], int]:
        """Return what `count` records bring after the first `records`: messages that are whole, and bytes of blobs."""
        if not self._given:
            ear = Ear(self)
            self._given = [ear.hear(frame)[:2] for frame in self.frames]
        part = self._given[records : records + count]
        return [message for messages, _ in part for message in messages], sum(came for _, came in part)


class Ear:
    """An end to which a wire is played, made anew.

    What it would say itself is not played: the acknowledgements in the wire must fall on numbers that it has used.
    """

    def __init__(self, wire: Wire) -> None:
        shape = {"features": wire.features, "secrets": wire.secrets, "suite": wire.suite}
        self.session: Session = session_of(wire.role, limits=LIMITS, **shape)
        self.session.frames_to_send(1 << 20, NOW)
        self.session.outflow.outbound.next_number = 1 << 20
        self.arrivals: list[Arrival] = []

    def hear(self, data: bytes) -> tuple[list[tuple[int, bytes]], int, BaseException | None]:
        """Take in bytes as an application does that takes each message and holds its blobs.

        Return the messages, the number of bytes of blobs that came, and what went wrong.
        """
        before, given = self.blob_bytes, []
        events = self.session.receive_data(data, NOW)
        for message in messages_in(events):
            self.session.take(message)
            self.arrivals += [self.session.arrival(message, place) for place in range(message.blob_count)]
            given.append((message.last_number, b"".join(map(bytes, message.chunks))))
        return given, self.blob_bytes - before, error_of(events)

    @property
    def blob_bytes(self) -> int:
        return sum(arrival.spool.byte_count for arrival in self.arrivals)

    @property
    def taken(self) -> int:
        """How many records were taken, from the beginning on."""
        return self.session.inflow._reader.sequence


def error_of(events: Sequence[Event]) -> BaseException | None:
    """Return what the last event says went wrong."""
    last = events[-1] if events else None
    return last.error if isinstance(last, (Ended, Suspended)) else None


class Post:
    """One end that has heard the first `records` of a wire."""

    def __init__(self, wire: Wire, records: int) -> None:
        self._wire, self._records = wire, records
        self._ear = Ear(wire)
        self._ear.hear(wire.whole[: wire.ends[records]])
        self._snapshot = Snapshot(self._ear)
        self.rest = wire.frames[records:]

    def fresh(self) -> Ear:
        """Return such an end made anew."""
        ear = Ear(self._wire)
        ear.hear(self._wire.whole[: self._wire.ends[self._records]])
        return ear

    def verdict(self, data: bytes, *, anew: bool = False, also: type[Exception] = BadSeal) -> BaseException | None:
        """Hear `data` after the records; return the error, None where the end only waits for more.

        Raises `Wrong` where anything is taken or handed over but what comes of the frames that are as they were said.
        The error has to be one of changed bytes, or one that is `also` to be expected.
        """
        intact = self.intact(data)
        ear = self.fresh() if anew else self._ear
        if not anew:
            self._snapshot.restore()
        given, came, error = ear.hear(data)
        expected, expected_bytes = self._wire.gives(self._records, intact)
        if ear.taken != self._records + intact:
            raise Wrong(f"{ear.taken - self._records} records were taken, of {intact} that are as they were said")
        if (given, came) != (expected, expected_bytes):
            raise Wrong(f"{len(given)} messages and {came} bytes of blobs, not {len(expected)} and {expected_bytes}")
        waiting = len(data) - sum(map(len, self.rest[:intact]))
        if error is None and ear.session.frames.held_bytes != waiting:
            raise Wrong(f"{ear.session.frames.held_bytes} bytes wait, of {waiting}")
        if error is not None and not isinstance(error, (BadSeal, BadFrame, also)):
            raise Wrong(f"an error that changed bytes cannot lead to: {error!r}")
        self._expect_nothing_late(ear, intact)
        return error

    def intact(self, data: bytes) -> int:
        """Return how many whole frames `data` begins with that are as they were said."""
        count = place = 0
        for frame in self.rest:
            if not data.startswith(frame, place):
                break
            place += len(frame)
            count += 1
        return count

    def _expect_nothing_late(self, ear: Ear, intact: int) -> None:
        """Let the transport end, and all that is missing come after all."""
        ended = error_of(events) if (events := ear.session.end(NOW)) else None
        if events and type(ended) is not ConnectionCut:
            raise Wrong("a transport that was cut is taken for one that came to its end")
        given, came, error = ear.hear(b"".join(self.rest[intact : intact + SIX]))
        if given or came or error:
            raise Wrong("something is handed over when all is over")


# --- wires ------------------------------------------------------------------------------------------------------------


def long_wire(
    role: Role,
    *,
    features: int = ALL_FEATURES,
    secrets: tuple[bytes, bytes] = (C2S, S2C),
    first: int = 0,
    suite: int = 1,
) -> Wire:
    """Return a session of 64 records of small messages, of all kinds that an honest peer says, to its farewell."""
    pair = Pair(limits=LIMITS, features=features, secrets=secrets, suite=suite)
    talker = pair.client if role is Role.SERVER else pair.server
    step = 0
    while len(tokens_of(bytes(talker.said))) < RECORDS - 10:
        step += 1
        send(pair.other(talker).session, step)
        send(talker.session, {"step": first + step})
        if step % 4 == 0:
            send(talker.session, [Blob(b"blob" * step)])
        if step % 5 == 0:
            batch = Batch()
            for row in range(3):
                batch.add(talker.session.payloads.encode([first, row]))
            talker.session.queue(batch)
        if step == 7:
            talker.session.ping(pair.now)
        if step == 12:
            pair.now += LIMITS.rekey_seconds
        pair.exchange()
    while len(tokens_of(bytes(talker.said))) < RECORDS - 1:
        send(talker.session, "the rest")
        pair.seal(talker)
    talker.session.say_farewell(0, "bye")
    pair.seal(talker)
    frames = [frame_of(token) for token in tokens_of(bytes(talker.said))]
    return Wire(role, frames, features=features, secrets=secrets, suite=suite)


def six(
    shape: str,
    role: Role,
    *,
    features: int = ALL_FEATURES,
    secrets: tuple[bytes, bytes] = (C2S, S2C),
    suite: int = 1,
) -> Wire:
    """Return an opened session's records, of which the last six are what the shape says."""
    pair = Pair(limits=LIMITS, features=features, secrets=secrets, suite=suite)
    talker = pair.client if role is Role.SERVER else pair.server
    session = talker.session
    content = Random(1).randbytes(5 * session.chunk_bytes + 99)
    if shape == "value":
        send(session, content, compress=False)
    elif shape == "blob":
        send(session, [Blob(content)], compress=False)
    for number in range(SIX):
        if shape == "batches":
            batch = Batch()
            for row in range(3):
                batch.add(session.payloads.encode([number, row]))
            session.queue(batch)
        elif shape == "values":
            send(session, {"number": number})
    while pair.seal(talker):  # a blob is asked for more as it goes
        pass
    frames = [frame_of(token) for token in tokens_of(bytes(talker.said))]
    return Wire(role, frames, features=features, secrets=secrets, suite=suite, before=len(frames) - SIX)


# --- the whole sets ---------------------------------------------------------------------------------------------------


def orders(wire: Wire) -> Iterator[bool]:
    """All orders of six records; yields whether one was heard without an error."""
    post = wire.post()
    for order in permutations(range(SIX)):
        yield post.verdict(b"".join(post.rest[place] for place in order)) is None


def subsets(wire: Wire) -> Iterator[bool]:
    """All proper subsets of six records, in order: one that is a beginning is heard, and then the rest is missing."""
    post = wire.post()
    for count in range(SIX):
        for places in combinations(range(SIX), count):
            yield post.verdict(b"".join(post.rest[place] for place in places)) is None


def duplications(wire: Wire) -> Iterator[bool]:
    """Each record once more in each place, each in the place of each other, and each set of records doubled."""
    post = wire.post()
    frames = post.rest
    for again in frames:
        for place in range(SIX + 1):
            yield post.verdict(b"".join([*frames[:place], again, *frames[place:]])) is None
        for place in range(SIX):
            if frames[place] is not again:
                yield post.verdict(b"".join([*frames[:place], again, *frames[place + 1 :]])) is None
    for chosen in range(1, 1 << SIX):
        doubled = [frame * (1 + (chosen >> place & 1)) for place, frame in enumerate(frames)]
        yield post.verdict(b"".join(doubled)) is None


def marks(role: Role, kind: int, *, dressed: bool, features: int = ALL_FEATURES, suite: int = 1) -> Iterator[bool]:
    """FIRST and LAST on every set of the six records of a value or a blob, by a peer that has the keys.

    `dressed` says whether the head goes with FIRST and the total with LAST, as an honest sender would have it; or the
    flags move alone.  Yields whether the message was taken as whole.
    """
    hostile, blobs = Hostile(role, limits=LIMITS, features=features, suite=suite).stand(State.READY), []
    if kind == bodies.BLOB:
        body = bodies.number(hostile.next_number()) + bodies.First(bodies.VALUE, 0, 1, 1, 0).pack() + b"\xc0"
        events = hostile.say(Kind.DATA, int(Flag.FIRST | Flag.LAST), hostile.stream + 2, body + bodies.total(1))
        blobs = [hostile.session.arrival(messages_in(events)[0], 0)]
    chunk, length = b"\xff" * 100, 100 * SIX
    head = bodies.First(kind, 0, 0, length, 1 if kind == bodies.BLOB else 0).pack()
    start, sequence = hostile.number, hostile.sequence
    frames: dict[tuple[int, int], bytes] = {}
    for place in range(SIX):
        for flags in range(4):
            first, last = (flags & Flag.FIRST, flags & Flag.LAST) if dressed else (place == 0, place == SIX - 1)
            body = bodies.number(start + place) + (head if first else b"") + chunk
            hostile.sequence = sequence + place
            frames[place, flags] = hostile.seal(Kind.DATA, flags, hostile.stream, body + total_if(last, length))
    snapshot = Snapshot(hostile)
    for firsts in range(1 << SIX):
        for lasts in range(1 << SIX):
            snapshot.restore()
            flags = [(firsts >> place & 1) | (lasts >> place & 1) << 1 for place in range(SIX)]
            data = b"".join(frames[place, flags[place]] for place in range(SIX))
            yield _heard_marked(hostile.session, blobs, data)


def total_if(last: object, length: int) -> bytes:
    return bodies.total(length) if last else b""


def _heard_marked(session: Session, blobs: list[Arrival], data: bytes) -> bool:
    """Return whether the value or the blob was whole; where it was not, hold that the end says why, or waits."""
    events = session.receive_data(data, NOW)
    whole = bool(messages_in(events)) or any(blob.whole for blob in blobs)
    error = error_of(events)
    if error is not None and not isinstance(error, IllegalFrame):
        raise Wrong(f"an error that a wrong mark cannot lead to: {error!r}")
    if error is None and not whole and not session.receiving:
        raise Wrong("a wrong mark is neither told nor waited upon")
    return whole


def splices(wire: Wire, strangers: Sequence[Wire], stride: int = 1) -> Iterator[bool]:
    """Every record of other wires in each place of this one, put in between and in the place of the one there."""
    for place in range(0, len(wire.frames), stride):
        post = wire.post(place)
        after = post.rest[0], post.rest[0] if len(post.rest) == 1 else b"".join(post.rest[:2])
        for stranger in strangers:
            for frame in stranger.frames:
                yield post.verdict(frame + after[0]) is None
                yield post.verdict(frame + after[1][len(after[0]) :]) is None


def moves(wire: Wire, stride: int = 1) -> Iterator[bool]:
    """Every record of the wire itself in each place but its own."""
    for place in range(0, len(wire.frames), stride):
        post = wire.post(place)
        for number, frame in enumerate(wire.frames):
            if number != place:
                yield post.verdict(frame + post.rest[0]) is None


def bits(wire: Wire, stride: int = 1, *, start: int = 0) -> Iterator[bool]:
    """Every bit of the wire, or every so many, flipped alone, and the next record behind."""
    for bit in range(start, 8 * len(wire.whole), stride):
        place, post = _post_at(wire, bit // 8)
        data = bytearray(b"".join(post.rest[:2]))
        data[place] ^= 0x80 >> bit % 8
        yield post.verdict(bytes(data)) is None


def prefixes(wire: Wire, stride: int = 1) -> Iterator[bool]:
    """Every length at which the wire may be cut, or every so many."""
    for end in range(0, len(wire.whole), stride):
        place, post = _post_at(wire, end)
        yield post.verdict(post.rest[0][:place]) is None


def _post_at(wire: Wire, byte: int) -> tuple[int, Post]:
    """Return where in its frame a byte is, and the end before that frame."""
    record = bisect_right(wire.ends, byte) - 1
    return byte - wire.ends[record], wire.post(record)


# --- by chance --------------------------------------------------------------------------------------------------------


def chances(wire: Wire, strangers: Sequence[Wire], count: int, seed: int, *, anew: bool = False) -> Iterator[bool]:
    """So many changes by chance, of ten kinds; yields whether the end only waits for more."""
    chance = Random(seed)
    names = sorted(CHANGES)
    others = [frame for stranger in strangers for frame in stranger.frames]
    done = tried = 0
    while done < count:
        if tried % 100 == 0:  # to stay a while in one place is five times as fast: its objects are in the cache
            post = wire.post(chance.randrange(len(wire.frames)))
            true = b"".join(post.rest[:4])
        tried += 1
        name = chance.choice(names)
        changed = bytearray(true)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            CHANGES[name](changed, chance, others)
        if changed != true:
            yield post.verdict(bytes(changed), anew=anew) is None
            done += 1


def _span(data: bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 16, chance.randrange(1, 200))))


def _flip(data: bytearray, chance: Random, others: list[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: Random, others: list[bytes]) -> None:
    start, end = _span(data, chance)
    data[start:end] = chance.choice((chance.randbytes(end - start), bytes(end - start), b"\xff" * (end - start)))


def _drop(data: bytearray, chance: Random, others: list[bytes]) -> None:
    start, end = _span(data, chance)
    del data[start:end]


def _insert(data: bytearray, chance: Random, others: list[bytes]) -> None:
    start, end = _span(data, chance)
    data[start:start] = chance.randbytes(end - start)


def _double(data: bytearray, chance: Random, others: list[bytes]) -> None:
    start, end = _span(data, chance)
    data[start:start] = data[start:end]


def _exchange(data: bytearray, chance: Random, others: list[bytes]) -> None:
    """Two stretches change places."""
    first, middle, last, end = sorted(chance.randrange(len(data) + 1) for _ in range(4))
    data[first:end] = data[last:end] + data[middle:last] + data[first:middle]


def _cut(data: bytearray, chance: Random, others: list[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _splice(data: bytearray, chance: Random, others: list[bytes]) -> None:
    """A record from elsewhere, or a part of one, over or between what is there."""
    frame = chance.choice(others)
    start = chance.randrange(len(data) + 1)
    part = frame[chance.choice((0, 4, chance.randrange(len(frame)))) :]
    data[start : start + chance.choice((0, len(part)))] = part


def _length(data: bytearray, chance: Random, others: list[bytes]) -> None:
    """The length of the first frame says something else that a token may have."""
    stated = int.from_bytes(data[:4], "big") + 16 * chance.randrange(-3, 4)
    data[:4] = (max(0, stated) & 0xFFFFFFFF).to_bytes(4, "big")


def _restate(data: bytearray, chance: Random, others: list[bytes]) -> None:
    """Bytes at the seam of two frames: the end of a tag, a length, a version, a clock."""
    seam = 4 + int.from_bytes(data[:4], "big")
    if 0 < seam < len(data):
        place = min(len(data) - 1, max(0, seam + chance.randrange(-32, 14)))
        data[place] = chance.randrange(256)


CHANGES: dict[str, Callable[[bytearray, Random, list[bytes]], None]] = {
    "bits flipped": _flip,
    "bytes overwritten": _overwrite,
    "bytes dropped": _drop,
    "bytes put in": _insert,
    "bytes doubled": _double,
    "stretches exchanged": _exchange,
    "the end cut off": _cut,
    "records spliced in": _splice,
    "lengths restated": _length,
    "seams changed": _restate,
}


def strangers_of(
    role: Role,
    *,
    features: int = ALL_FEATURES,
    here: tuple[bytes, bytes] = (C2S, S2C),
    there: tuple[bytes, bytes] = OTHER_SECRETS,
    suite: int = 1,
) -> list[Wire]:
    """Return what the other direction of a session says, and both of another one, in which other things are said."""
    mirror = Role.CLIENT if role is Role.SERVER else Role.SERVER
    return [
        long_wire(mirror, features=features, secrets=here, suite=suite),
        long_wire(role, features=features, secrets=there, first=100, suite=suite),
        long_wire(mirror, features=features, secrets=there, first=100, suite=suite),
    ]


# --- all of it, counted -----------------------------------------------------------------------------------------------


def sets(role: Role, features: int, suite: int) -> Iterator[tuple[str, Iterator[bool], Callable[[int, int], bool]]]:
    """Yield each whole set: its name, what runs it, and what must hold of how many there were and were heard."""
    for shape in SHAPES:
        wire = six(shape, role, features=features, suite=suite)
        yield f"orders of six records ({shape})", orders(wire), lambda count, heard: (count, heard) == (720, 1)
        yield f"proper subsets ({shape})", subsets(wire), lambda count, heard: (count, heard) == (63, SIX)
        yield f"duplications ({shape})", duplications(wire), lambda count, heard: (count, heard) == (135, 0)
    for kind, name in ((bodies.VALUE, "value"), (bodies.BLOB, "blob")):
        for dressed in (False, True):
            found = marks(role, kind, dressed=dressed, features=features, suite=suite)
            yield f"FIRST and LAST anywhere ({name})", found, lambda count, heard: (count, heard) == (4096, 1)
    wire = long_wire(role, features=features, suite=suite)
    strangers = strangers_of(role, features=features, suite=suite)
    yield (
        "splices of two links and directions",
        splices(wire, strangers),
        lambda count, heard: count == RECORDS * 2 * 3 * RECORDS and heard == 0,
    )
    yield "records moved in a session of 64", moves(wire), lambda count, heard: (count, heard) == (64 * 63, 0)
    length = len(wire.whole)
    yield "bits of a session of 64 records", bits(wire), lambda count, heard: count == 8 * length and heard < count / 50
    yield "prefixes of a session of 64 records", prefixes(wire), lambda count, heard: count == heard == length


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the whole sets and the changes by chance; print a table of what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=1_000_000, help="changes by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--suite", type=int, action="append", choices=SUITES, help="1 or 17; both if not said")
    chosen = parser.parse_args(arguments)
    runs = Runs()
    ends = [(role, features, suite) for suite in chosen.suite or SUITES for role in ROLES for features in FEATURES]
    for role, features, suite in ends:
        for name, run, holds in sets(role, features, suite):
            count, heard = runs.count(name, run)
            if not holds(count, heard):
                raise Wrong(f"{name}: {heard} of {count} were heard without an error")
    runs.show()
    runs = Runs()
    each = chosen.mutations // len(ends)
    for number, (role, features, suite) in enumerate(ends):
        wire = long_wire(role, features=features, suite=suite)
        strangers = strangers_of(role, features=features, suite=suite)
        runs.count("changes by chance", chances(wire, strangers, each, chosen.seed + number))
        runs.show()
    return 0


class Runs:
    """What was run, by name."""

    def __init__(self) -> None:
        self._figures: dict[str, tuple[int, int, float]] = {}

    def count(self, name: str, run: Iterator[bool]) -> tuple[int, int]:
        """Run a set; return how many changes there were, and after how many of them the end only waited for more."""
        begun, count, heard = time.perf_counter(), 0, 0
        for found in run:
            count += 1
            heard += found
        before = self._figures.get(name, (0, 0, 0.0))
        seconds = time.perf_counter() - begun
        self._figures[name] = (before[0] + count, before[1] + heard, before[2] + seconds)
        return count, heard

    def show(self) -> None:
        """Print it."""
        for name, (count, heard, seconds) in self._figures.items():
            sys.stdout.write(f"{name:42} {count:>9,} tried, {heard:>7,} without an error, {seconds:6.1f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
