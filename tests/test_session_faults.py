"""Faults of the wire: what is changed, cut, doubled, dropped or taken from elsewhere is refused, with all after it.

A recording is what both ends said in one conversation of small messages, the same bytes every time.  It is played to a
fresh end, whole or broken.  `delivered` is what the application was handed, in order.  Every bit, order and splice of
longer sessions has its turn in `test_integrity.py`.
"""

from __future__ import annotations

import base64
import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise, permutations
from pathlib import Path
from random import Random

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import case
from netstructer import errors
from netstructer.codec.blob import Blob
from netstructer.codec.values import encode
from netstructer.errors import BadCompression, BadFrame, BadSeal, ConnectionCut, NetstructerError, OutOfOrder, PeerFault
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.asides import Asides
from netstructer.protocol.assembly import Message
from netstructer.protocol.events import Ended, Event, MessageArrived, Opened, PeerLeft, ResumeAsked, Suspended
from netstructer.protocol.handshake import ExpectHello, start_client
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER
from netstructer.protocol.session import Session
from netstructer.protocol.states import Kind, Role, State
from pair import (
    ALL_FEATURES,
    C2S,
    INSTANCE,
    S2C,
    Draw,
    Here,
    Pair,
    error_in,
    frame_of,
    messages_in,
    read,
    send,
    session_of,
    tokens_of,
)

VECTORS = sorted((Path(__file__).parent / "vectors" / "sessions").glob("*.vector"))
ROLES = (Role.SERVER, Role.CLIENT)
OTHER_SECRETS = (bytes(range(64, 96)), bytes(range(96, 128)))


def converse(pair: Pair) -> Pair:
    """Have a conversation of at least 16 records each way, with every kind that an honest end says."""
    for step in range(5):
        for end in pair.ends:
            send(end.session, {"step": step, "text": "hello " * step})
        pair.exchange()
    for end in pair.ends:
        batch = Batch()
        for row in ("a", 2, [3.0]):
            batch.add(end.session.payloads.encode(row))
        end.session.queue(batch)
        send(end.session, [Blob(b"blob")])
        end.session.ping(pair.now)
    pair.exchange()
    pair.client.session.say_farewell(0, "bye")
    pair.exchange()
    assert (pair.client.state, pair.server.state) == (State.CLOSED, State.CLOSED)
    return pair


@cache
def recording(role: Role, *, other: bool = False) -> bytes:
    """Return what the peer of that end said."""
    pair = converse(Pair(secrets=OTHER_SECRETS if other else (C2S, S2C)))
    return bytes((pair.client if role is Role.SERVER else pair.server).said)


class Listener:
    """A fresh end to which a recording is played.  It says what it has to say into the void, as the first one did."""

    def __init__(self, role: Role) -> None:
        self.session = session_of(role)
        self.events: list[Event] = []
        self._values: list[object] = []
        self._spoken = False

    def hear(self, data: bytes, now: float = 1.0) -> None:
        session = self.session
        if not self._spoken:
            session.frames_to_send(1 << 20, now)
            self._spoken = True
        events = session.receive_data(data, now)
        self.events += events
        for message in messages_in(events):
            session.take(message)
            self._values.append(read(session, message))

    @property
    def delivered(self) -> list[object]:
        return [_plain(value) for value in self._values]

    @property
    def error(self) -> BaseException | None:
        return error_in(self.events)


def _plain(value: object) -> object:
    """Return a value that can be compared: of its blobs, what has come, and whether that is all."""
    return [_taken(item) if isinstance(item, Blob) else item for item in value] if isinstance(value, list) else value


def _taken(blob: Blob) -> list[object]:
    found: list[object] = []
    try:
        found.extend(map(bytes, blob.chunks(keep=True)))
    except NetstructerError:  # it failed with its session, or waits for more
        found.append("not the end")
    return found


def play(role: Role, wire: bytes) -> Listener:
    """Play a recording to a fresh end.

    What the end itself said is not played: acknowledgements of what it never said would be refused, rightly, so it says
    the same as in the recording as soon as it may.
    """
    listener = Listener(role)
    _prepare(listener)
    listener.hear(wire)
    return listener


def _prepare(listener: Listener) -> None:
    """Let acknowledgements, pongs and farewells of the recording fall on numbers that this end has used."""
    outbound = listener.session.outflow.outbound
    outbound.next_number = 1 << 20
    listener.session.liveness._ping = _ping_of(listener.session.role)


@cache
def _ping_of(role: Role) -> tuple[bytes, float]:
    for plain in _records(role):
        if HEADER.unpack_from(plain)[1] == Kind.PONG:
            return plain[16:24], 0.0
    raise AssertionError("no pong was recorded")


def _records(role: Role) -> Iterator[bytes]:
    stock = Fernet(base64.urlsafe_b64encode(Ratchet(C2S if role is Role.SERVER else S2C).key))
    for token in tokens_of(recording(role)):
        yield stock.decrypt(base64.urlsafe_b64encode(token))


@cache
def clean(role: Role) -> tuple[list[Event], list[object]]:
    listener = play(role, recording(role))
    return listener.events, listener.delivered


def boundaries(wire: bytes) -> list[int]:
    """Return where frames end."""
    ends, place = [], 0
    for token in tokens_of(wire):
        place += 4 + len(token)
        ends.append(place)
    return ends


def assert_prefix(listener: Listener, role: Role, records: int) -> None:
    """Nothing but what the first `records` records held was delivered."""
    wire = recording(role)
    end = boundaries(wire)[records - 1] if records else 0
    expected = _delivered_by(role, end)

    assert listener.delivered == expected


@cache
def _delivered_by(role: Role, end: int) -> list[object]:
    return play(role, recording(role)[:end]).delivered


# --- the recording itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_the_recording_is_heard_whole_and_is_always_the_same(role: Role) -> None:
    events, delivered = clean(role)
    text = hashlib.sha256(recording(role)).hexdigest()
    recording.cache_clear()

    assert hashlib.sha256(recording(role)).hexdigest() == text
    assert len(tokens_of(recording(role))) >= 16
    assert delivered[0] == {"step": 0, "text": ""}
    assert delivered[5:] == ["a", 2, [3.0], [[b"blob"]]]
    assert [type(event) for event in events if not isinstance(event, MessageArrived)] == [Opened, PeerLeft]


@pytest.mark.parametrize("role", ROLES)
def test_stock_fernet_opens_every_record(role: Role) -> None:
    kinds = [HEADER.unpack_from(plain)[1] for plain in _records(role)]

    assert {Kind.DATA, Kind.BATCH, Kind.ACK, Kind.PING, Kind.PONG, Kind.FAREWELL} < set(kinds)
    assert [HEADER.unpack_from(plain)[0] for plain in _records(role)] == list(range(len(kinds)))


def test_stock_fernet_opens_every_record_after_a_rekey_too() -> None:
    pair = Pair(limits=Limits(rekey_seconds=2.0))
    for _ in range(4):
        pair.now += 3.0
        for end in pair.ends:
            send(end.session, "text")
        pair.exchange()
    for end, secret in ((pair.client, C2S), (pair.server, S2C)):
        ratchet, rekeys = Ratchet(secret), 0
        for number, token in enumerate(tokens_of(bytes(end.said))):
            stock = Fernet(base64.urlsafe_b64encode(ratchet.key))
            sequence, kind, *_ = HEADER.unpack_from(stock.decrypt(base64.urlsafe_b64encode(token)))
            assert sequence == number
            if kind == Kind.REKEY:
                ratchet.advance()
                rekeys += 1
        assert rekeys >= 4


# --- one bit, one cut -------------------------------------------------------------------------------------------------


def check_flip(role: Role, bit: int) -> None:
    wire = bytearray(recording(role))
    wire[bit // 8] ^= 0x80 >> bit % 8
    listener = play(role, bytes(wire))
    before = sum(end <= bit // 8 for end in boundaries(recording(role)))

    assert_prefix(listener, role, before)
    if listener.error is None:
        # A length that grew: the end waits for bytes that never come, and the transport's end is a cut.
        assert type(error_in(listener.session.end(1.0))) is ConnectionCut
    else:
        assert isinstance(listener.error, (BadSeal, BadFrame))
    listener.hear(recording(role)[-1000:])
    assert_prefix(listener, role, before)


def check_truncation(role: Role, end: int) -> None:
    listener = play(role, recording(role)[:end])
    whole = sum(place <= end for place in boundaries(recording(role)))

    assert_prefix(listener, role, whole)
    assert listener.error is None
    ended = error_in(listener.session.end(1.0))
    if listener.session.state is not State.CLOSED:
        assert type(ended) is ConnectionCut


@pytest.mark.parametrize("role", ROLES)
def test_every_bit_of_one_record(role: Role) -> None:
    start, end = boundaries(recording(role))[2:4]
    for bit in range(8 * start, 8 * end):
        check_flip(role, bit)


@pytest.mark.parametrize("role", ROLES)
def test_truncations(role: Role) -> None:
    for end in range(0, len(recording(role)), 5):
        check_truncation(role, end)
    for place in boundaries(recording(role)):
        for end in (place - 1, place, place + 1, place + 4):
            check_truncation(role, end)


@pytest.mark.long
@pytest.mark.parametrize("role", ROLES)
def test_every_truncation(role: Role) -> None:
    for end in range(len(recording(role)) + 1):
        check_truncation(role, end)


def test_every_bit_and_every_length_of_a_hello_and_an_answer() -> None:
    key = Key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    parameters = Parameters.of(Limits.DEFAULT, 7)
    server = Parameters.of(Limits.DEFAULT, 7, INSTANCE)

    def start() -> tuple[bytes, object]:
        return start_client(key, parameters, draw=Draw("client"))

    def expect() -> ExpectHello:
        return ExpectHello(KeyRing(key), server, draw=Draw("server"))

    hello, _ = start()
    answer = expect().receive(hello).answer
    assert (len(hello), len(answer)) == (128, 120)
    for wire, receive in (
        (hello, lambda changed: expect().receive(changed)),
        (answer, lambda changed: start()[1].receive(changed)),  # type: ignore[attr-defined]
    ):
        receive(wire)
        for bit in range(8 * len(wire)):
            changed = bytearray(wire)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(NetstructerError):
                receive(bytes(changed))
        for end in range(len(wire)):
            with pytest.raises(NetstructerError):
                receive(wire[:end])


@pytest.mark.parametrize("features", [5, 7])
def test_what_came_before_a_fault_is_not_held_by_the_error_of_the_session(features: int) -> None:
    pair = Pair(features=features)
    send(pair.client.session, b"x" * 100_000, compress=False)
    pair.seal(pair.client)
    session = pair.server.session
    fault = bytes(frame_of(bytes([0x80]) + bytes(88)))
    gc.disable()
    try:
        events = session.receive_data(bytes(pair.client.wire) + fault, pair.now)
        assert [type(event) for event in events] == [MessageArrived, Ended if features == 5 else Suspended]
        assert isinstance(events[-1].error, BadSeal)
        error, events = events[-1].error, []
        assert session.arrivals.room.memory_bytes == 0
        assert session.error in (None, error)
    finally:
        gc.enable()


# --- whole records ----------------------------------------------------------------------------------------------------


def refused(role: Role, frames: list[bytes], records: int, error: type[PeerFault] = OutOfOrder) -> None:
    listener = play(role, b"".join(frames))

    assert type(listener.error) is error
    assert_prefix(listener, role, records)


def frames_of(role: Role, *, other: bool = False) -> list[bytes]:
    return [frame_of(token) for token in tokens_of(recording(role, other=other))]


@pytest.mark.parametrize("role", ROLES)
def test_every_duplicate_drop_and_swap_is_refused(role: Role) -> None:
    frames = frames_of(role)
    for place in range(len(frames)):
        refused(role, [*frames[: place + 1], frames[place], *frames[place + 1 :]], place + 1)
        if place < len(frames) - 1:
            refused(role, frames[:place] + frames[place + 1 :], place, _error_of(role, frames[place + 1], place))
        for later in range(place + 1, len(frames)):
            moved = [*frames[:place], frames[later], *frames[place:later], *frames[later + 1 :]]
            refused(role, moved, place, _error_of(role, frames[later], place))


def _error_of(role: Role, frame: bytes, place: int) -> type[PeerFault]:
    """Before OPEN a server takes no frame longer than one; everything else has the wrong number."""
    too_long = role is Role.SERVER and place == 0 and len(frame) > 4 + 169
    return errors.FrameTooBig if too_long else OutOfOrder


@pytest.mark.parametrize("role", ROLES)
def test_of_all_orders_of_six_records_only_one_is_heard(role: Role) -> None:
    frames = frames_of(role)[:6]
    heard = 0
    for order in permutations(range(6)):
        listener = play(role, b"".join(frames[place] for place in order))
        right = next((place for place in range(6) if order[place] != place), 6)
        assert_prefix(listener, role, right)
        heard += listener.error is None
    assert heard == 1


@pytest.mark.parametrize("role", ROLES)
def test_every_record_of_another_session_or_direction_is_refused(role: Role) -> None:
    frames = frames_of(role)
    mirror = Role.CLIENT if role is Role.SERVER else Role.SERVER
    strangers = {"other session": frames_of(role, other=True), "reflected": frames_of(mirror)}
    for foreign in strangers.values():
        for place in range(len(frames)):
            for frame in (foreign[place % len(foreign)], foreign[0], foreign[-1]):
                listener = play(role, b"".join([*frames[:place], frame, *frames[place:]]))
                assert isinstance(listener.error, (BadSeal, errors.FrameTooBig))
                assert_prefix(listener, role, place)


@pytest.mark.parametrize("role", ROLES)
def test_parts_of_two_records_make_none(role: Role) -> None:
    tokens = tokens_of(recording(role))
    for place in range(1, len(tokens) - 1):
        first, second = tokens[place], tokens[place + 1]
        head = b"".join(map(frame_of, tokens[:place]))
        for spliced in (first[:-32] + second[-32:], first[:9] + second[9:25] + first[25:], second[:9] + first[9:]):
            if spliced == first:
                continue
            listener = play(role, head + frame_of(spliced))
            assert type(listener.error) in (BadSeal, OutOfOrder)
            assert_prefix(listener, role, place)


def test_without_the_check_of_the_sequence_a_replay_would_be_heard() -> None:
    """The sabotage twin: with the check gone, the tests above turn red."""
    frames = frames_of(Role.SERVER)

    class Lax(int):
        def __ne__(self, other: object) -> bool:
            return False

        def __add__(self, other: int) -> Lax:
            return Lax(int(self) + other)

        __hash__ = int.__hash__

    listener = Listener(Role.SERVER)
    listener.session.inflow._reader.sequence = Lax(0)
    _prepare(listener)
    place = next(
        number for number, plain in enumerate(_records(Role.SERVER)) if HEADER.unpack_from(plain)[1] == Kind.PING
    )
    listener.hear(b"".join([*frames[: place + 1], frames[place]]))

    assert listener.error is None


# --- splits -----------------------------------------------------------------------------------------------------------


def heard(role: Role, pieces: list[bytes], *, into_space: bool = False) -> tuple[list[object], list[object]]:
    listener = Listener(role)
    _prepare(listener)
    for piece in pieces:
        if not into_space:
            listener.hear(piece)
            continue
        listener.hear(b"")
        frames = listener.session.frames
        while piece:
            space = frames.space()
            count = min(len(space), len(piece))
            space[:count] = piece[:count]
            frames.filled(count)
            piece = piece[count:]
            listener.hear(b"")
    shapes: list[object] = [_shape(event) for event in listener.events]
    return shapes, listener.delivered


def _shape(event: Event) -> object:
    if isinstance(event, MessageArrived):
        return "message", event.message.last_number, event.message.plain_bytes
    return (type(event.error), str(event.error)) if isinstance(event, Ended) else event


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("broken", [False, True])
def test_events_do_not_depend_on_how_bytes_come(role: Role, broken: bool) -> None:
    wire = bytearray(recording(role))
    if broken:
        wire[boundaries(wire)[9] - 1] ^= 1
    whole = heard(role, [bytes(wire)])

    for into_space in (False, True):
        assert heard(role, [bytes([byte]) for byte in wire], into_space=into_space) == whole
        assert heard(role, [bytes(wire) + b"\0\0"], into_space=into_space) == whole


@settings(max_examples=60)
@given(st.sampled_from(ROLES), st.lists(st.integers(0, 4000), max_size=30), st.booleans(), st.booleans())
def test_events_do_not_depend_on_splits(role: Role, cuts: list[int], broken: bool, into_space: bool) -> None:
    wire = bytearray(recording(role))
    if broken:
        wire[boundaries(wire)[7] + 30] ^= 4
    cuts = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    pieces = [bytes(wire[start:end]) for start, end in pairwise(cuts)]

    assert heard(role, pieces, into_space=into_space) == heard(role, [bytes(wire)])


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["whole", "bytes"])
def test_vectors(split: str) -> None:
    for path in VECTORS:
        with case(path.stem):
            fields, wire = read_vector(path)
            session, delivered, error = play_vector(fields, [wire] if split == "whole" else [bytes([b]) for b in wire])

            assert ("success" if error is None else type(error).__name__) == fields["expect"]
            assert hashlib.sha256(delivered).hexdigest() == fields["delivered"]
            assert (session.state is State.FAILED) == (error is not None)


class Referred(Here):
    """A blob that knows no more of its size than the reference to it says."""

    @property
    def size(self) -> int | None:
        return self._expected_bytes


def read_vector(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = path.read_text("utf-8").partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()), bytes.fromhex("".join(body.split()))


def play_vector(fields: dict[str, str], pieces: list[bytes]) -> tuple[Session, bytes, BaseException | None]:
    """Play a vector to the end that it is for; return the session, what it delivered, and its error.

    What it delivered is the encoded values as they came, in order, and then the bytes of those of their blobs that are
    whole.
    """
    role = Role(fields["end"])
    secrets = bytes.fromhex(fields["secret-c2s"]), bytes.fromhex(fields["secret-s2c"])
    features = int(fields.get("features", ALL_FEATURES))
    suite = int(fields.get("suite", "1"))
    session = session_of(role, secrets=secrets, limits=LIMITS[fields["limits"]], features=features, suite=suite)
    session.opening.session_id = bytes.fromhex(fields.get("session", "00" * 16))
    session.frames_to_send(1 << 20, 0.0)
    values: list[object] = []
    blobs: list[Here] = []
    asides = Asides(role)

    def blob_of(message: Message, place: int) -> Blob:
        blobs.append(Here(session, message, place))
        return Blob._of(Referred(session, message, place))

    error = None
    for piece in pieces:
        events = session.receive_data(piece, 0.0)
        for message in messages_in(events):
            try:
                values.append(session.payloads.read(message, blob_of))
            except NetstructerError as fault:
                events += session.fail(fault)
                break
            session.take(message)
            if message.conversation and not asides.put(message):
                values.pop()
                session.forget(message)
        if any(isinstance(event, ResumeAsked) for event in events):
            events += session.decline()  # there is no other session here
        error = error or error_in(events)
    delivered = b"".join(buffer for value in values for buffer in encode(value).buffers)
    for blob in blobs:
        with suppress(BadCompression):  # which is its reader's affair
            delivered += bytes(Blob._of(blob)) if blob.arrival.whole else b""
    return session, delivered, error


LIMITS = {
    "default": Limits.DEFAULT,
    "narrow": Limits(value_bytes=1024),
    "small": Limits(value_bytes=4096, message_bytes=8192, body_bytes=1024, credit_bytes=64 << 10, streams=4),
}
"""The limits that a vector may name."""


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 15


def test_a_writer_of_another_implementation_is_heard() -> None:
    """Records that were written by hand and sealed by stock Fernet are as good as ours."""
    stock = Fernet(base64.urlsafe_b64encode(Ratchet(C2S).key))
    draw = Random(1)
    made: list[Callable[[bytes], bytes]] = [
        lambda record: base64.urlsafe_b64decode(stock.encrypt(record)),
        lambda record: base64.urlsafe_b64decode(stock._encrypt_from_parts(record, 0, draw.randbytes(16))),
    ]
    session = session_of(Role.SERVER)
    body = b"\1" + bytes(51) + (1).to_bytes(8, "big") * 2 + (1 << 20).to_bytes(8, "big") + bytes(16)
    for number in range(2):
        record = HEADER.pack(number, 1 if number == 0 else 4, 0, 0, 0) + (body if number == 0 else b"pingping")
        events = session.receive_data(frame_of(made[number](record)), 0.0)
        assert events == ([Opened()] if number == 0 else [])
