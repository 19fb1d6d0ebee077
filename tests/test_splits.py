"""Splits: what happens does not depend on how bytes come, and bytes that come one by one cost no more than they must.

A `Tape` is a wire and the end that hears it: every session vector, the long recordings of `integrity.py`, and these
broken in the middle.  What that end does with the whole it must do with every byte alone and with any pieces, given to
it or received into its own space.  Vectors of several transports, and those in which the end speaks too, are played
again with all that they hear cut into bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from random import Random

import pytest

import test_exchanges
import test_resume_vectors
from integrity import NOW, ROLES, Ear, long_wire
from netstructer.codec.frames import FrameReader
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, MessageArrived, ResumeAsked, Suspended
from netstructer.protocol.session import Session
from netstructer.protocol.states import Kind, Role, State
from pair import Hostile, data_body, messages_in, session_of
from snapshot import Snapshot
from test_session_faults import LIMITS, VECTORS, read_vector

SPLITS = 100_000
OTHERS = [(test_exchanges, path) for path in test_exchanges.VECTORS]
OTHERS += [(test_resume_vectors, path) for path in test_resume_vectors.VECTORS]


class Tape:
    """A wire, and the end that hears it, to be gone back to."""

    def __init__(self, session: Session, wire: bytes) -> None:
        self.wire = wire
        self._session = session
        self._snapshot = Snapshot(session)
        self.whole = self.hear([wire])

    def hear(self, pieces: Iterable[bytes], *, into_space: bool = False) -> list[object]:
        """Return everything that happens, in a form that can be compared, and how the end stands afterwards."""
        self._snapshot.restore()
        session = self._session
        found: list[object] = []
        for piece in pieces:
            for events in _received(session, piece) if into_space else [session.receive_data(piece, NOW)]:
                found += map(shape_of, events)
                for message in messages_in(events):
                    session.take(message)
                if any(isinstance(event, ResumeAsked) for event in events):
                    found += map(shape_of, session.decline())  # there is no other session here
        error = session.error
        used = session.inflow.received_bytes - session.frames.held_bytes
        return [*found, session.state, type(error), str(error), used]


def _received(session: Session, piece: bytes) -> Iterable[list[Event]]:
    """Receive a piece as a transport does, into the reader's space, as far as that goes."""
    while piece:
        space = session.frames.space()
        count = min(len(space), len(piece))
        space[:count] = piece[:count]
        session.frames.filled(count)
        piece = piece[count:]
        yield session.receive(NOW)


def shape_of(event: Event) -> object:
    """Return an event as something that equals another one of the same content."""
    if isinstance(event, MessageArrived):
        message = event.message
        return "message", message.last_number, message.plain_bytes, b"".join(map(bytes, message.chunks))
    return (type(event), type(event.error), str(event.error)) if isinstance(event, (Ended, Suspended)) else event


@cache
def tapes() -> dict[str, Tape]:
    """Return all tapes, by name."""
    found = {}
    for path in VECTORS:
        fields, wire = read_vector(path)
        secrets = bytes.fromhex(fields["secret-c2s"]), bytes.fromhex(fields["secret-s2c"])
        session = session_of(Role(fields["end"]), secrets=secrets, limits=LIMITS[fields.get("limits", "default")])
        session.opening.session_id = bytes.fromhex(fields.get("session", "00" * 16))
        session.frames_to_send(1 << 20, 0.0)
        found[path.stem] = Tape(session, wire)
    for role in ROLES:
        recording = long_wire(role)
        found[f"long, {role.value}"] = Tape(Ear(recording).session, recording.whole)
        broken = bytearray(recording.whole)
        broken[recording.ends[40] + 30] ^= 4
        found[f"broken, {role.value}"] = Tape(Ear(recording).session, bytes(broken))
    return found


def check_splits(count: int, seed: int) -> set[str]:
    """Cut tapes in so many ways, a tape at a time; return the names of those that had their turn."""
    chance, names = Random(seed), sorted(tapes())
    heard = set()
    for number in range(count):
        name = names[number // 10 % len(names)]
        tape, length = tapes()[name], len(tapes()[name].wire)
        cuts = {chance.randrange(length + 1) for _ in range(chance.choice((1, 2, 5, 30)))} | {0, length}
        pieces = [tape.wire[start:end] for start, end in pairwise(sorted(cuts))]
        assert tape.hear(pieces, into_space=number % 2 == 1) == tape.whole, (name, sorted(cuts))
        heard.add(name)
    return heard


def bytes_of(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def cut(data: bytes) -> list[bytes]:
    """Cut data into bytes; what lies deep in a long record, where nothing begins or ends, into larger pieces."""
    middle, tail = data[1024:-1024], data[max(1024, len(data) - 1024) :]
    return [*bytes_of(data[:1024]), *(middle[at : at + 997] for at in range(0, len(middle), 997)), *bytes_of(tail)]


def test_a_tape_is_heard_and_can_be_heard_again() -> None:
    found = tapes()

    assert len(found) >= len(VECTORS) + 4
    assert sum(tape.whole[-4] is State.FAILED for tape in found.values()) > 20
    assert all(tape.hear([tape.wire]) == tape.whole for tape in found.values())
    assert len(found["long, server"].whole) > 45


@pytest.mark.parametrize("into_space", [False, True])
def test_byte_by_byte_is_the_same_as_the_whole(into_space: bool) -> None:
    for name, tape in tapes().items():
        assert tape.hear(bytes_of(tape.wire), into_space=into_space) == tape.whole, name


def test_any_pieces_are_the_same_as_the_whole() -> None:
    assert check_splits(10 * len(tapes()), 1) == set(tapes())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_splits_are_the_same_as_the_whole() -> None:
    assert check_splits(SPLITS, 2) == set(tapes())


def test_a_vector_of_several_records_is_the_same_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[object] = []

    def receive_whole(session: Session, data: bytes, now: float) -> list[Event]:
        events = _receive(session, data, now)
        happened.extend(map(_kind_of, events))
        return events

    def receive_bytes(session: Session, data: bytes, now: float) -> list[Event]:
        events = [event for piece in cut(data) for event in _receive(session, piece, now)]
        happened.extend(map(_kind_of, events))
        return events

    for module, path in OTHERS:
        ways = []
        for receive in (receive_whole, receive_bytes):
            happened.clear()
            monkeypatch.setattr(Session, "receive_data", receive)
            player = module.play(*module.read(path))
            ways.append((list(happened), player.outcome(), player.steps))

        assert ways[0] == ways[1], path.stem


_receive = Session.receive_data


def _kind_of(event: Event) -> object:
    """Return an event without what its reader takes out of it."""
    if isinstance(event, MessageArrived):
        return "message", event.message.last_number, event.message.plain_bytes
    return shape_of(event)


def test_a_reader_that_depends_on_splits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage twin: a length that comes in two parts is forgotten."""

    def forgetful(self: FrameReader, data: bytes) -> None:
        if 0 < self.held_bytes < 4:
            self._start = self._end = 0
        _feed(self, data)

    tape = tapes()["long, server"]
    monkeypatch.setattr(FrameReader, "feed", forgetful)

    assert tape.hear([tape.wire]) == tape.whole
    assert tape.hear(bytes_of(tape.wire)) != tape.whole


# --- what it costs ----------------------------------------------------------------------------------------------------

_feed, _make_room, _replace = FrameReader.feed, FrameReader._make_room, FrameReader._replace
MIB = 1 << 20


def stream_of(length: int, chunk_bytes: int) -> tuple[Session, bytes]:
    """Return an open session and about `length` bytes for it, in values of one record."""
    hostile = Hostile(Role.SERVER, limits=Limits(credit_bytes=64 * MIB))
    hostile.open()
    found = bytearray()
    while len(found) < length:
        found += hostile.seal(Kind.DATA, 3, 1, data_body(hostile.next_number(), bytes(chunk_bytes)))
    return hostile.session, bytes(found)


def bytes_moved(length: int, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Feed a stream byte by byte; return how long it was, and how many bytes the reader moved about in its buffer."""
    moved = 0

    def counting(act: Callable[[FrameReader, int], None]) -> Callable[[FrameReader, int], None]:
        def acts(self: FrameReader, wanted: int) -> None:
            nonlocal moved
            moved += self.held_bytes
            act(self, wanted)

        return acts

    session, stream = stream_of(length, chunk_bytes)
    monkeypatch.setattr(FrameReader, "_make_room", counting(_make_room))
    monkeypatch.setattr(FrameReader, "_replace", counting(_replace))
    assert sum(len(session.receive_data(piece, NOW)) for piece in bytes_of(stream)) > 0
    return len(stream), moved


@pytest.mark.parametrize("chunk_bytes", [1, 3000, 30_000])
def test_bytes_one_by_one_are_not_moved_about(chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (half, few), (whole, many) = (bytes_moved(length, chunk_bytes, monkeypatch) for length in (1 << 14, 1 << 15))

    assert few <= 2 * half
    assert many <= 2 * whole


def test_a_reader_that_moves_all_it_holds_at_each_byte_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage twin."""

    def busy(self: FrameReader, data: bytes) -> None:
        self._make_room(self.held_bytes + len(data))
        _feed(self, data)

    monkeypatch.setattr(FrameReader, "feed", busy)
    whole, moved = bytes_moved(1 << 14, 3000, monkeypatch)

    assert moved > 100 * whole


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunk_bytes", [100, 60_000])
def test_ten_megabytes_byte_by_byte_cost_twice_what_five_do(chunk_bytes: int) -> None:
    """In seconds of the processor, the best of three, with as much again for a machine that is busy."""

    def seconds(length: int) -> float:
        session, stream = stream_of(length, chunk_bytes)
        pieces = [bytes([byte]) for byte in range(256)]
        begun = time.process_time()
        for byte in stream:
            for message in messages_in(session.receive_data(pieces[byte], NOW)):
                session.take(message)
        return time.process_time() - begun

    five = min(seconds(5_000_000) for _ in range(3))
    ten = min(seconds(10_000_000) for _ in range(2))

    assert ten <= 2 * 2 * five
