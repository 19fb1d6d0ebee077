"""Sessions: a peer that holds the keys says anything; only documented errors come of it, and nothing after a fault.

An input is a script, what a hostile peer seals under the right keys.  Its first byte says which end the session is and
which cipher its records have; then each step is a byte that chooses a kind, one for
flags, one for the stream, one for what to do about the body, and a body as long as another byte says.  Most bodies are
mended so that they are nearly right, since what is wrong at first sight is refused at first sight.  Bytes from 240 on
are steps of the application behind the session: it reads blobs, drops them, says farewell, sends; or its transport
ends, and the session goes on on the next.  Bare bytes from the wire are the business of wire_target.py.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from fuzz import ciphers
from fuzz.targets import memory
from netstructer.codec import frames
from netstructer.codec.blob import Blob
from netstructer.codec.ciphers import FERNET
from netstructer.codec.compression import compress
from netstructer.codec.values import encode
from netstructer.errors import LinkClosed, NetstructerError, SessionLost
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, Event, MessageArrived
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.outgoing import Outgoing, OutgoingBlob
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER
from netstructer.protocol.session import Session
from netstructer.protocol.sources import Counted
from netstructer.protocol.states import CancelCode, Kind, Role, State

SPEAK, HEAR = bytes(range(32)), bytes(range(32, 64))
INSTANCE = b"\x44" * 16
LIMITS = Limits(
    value_bytes=4096, message_bytes=64 << 10, body_bytes=1024, credit_bytes=64 << 10, streams=4,
    spool_memory_bytes=2048, spool_link_bytes=32 << 10, spool_free_bytes=1,
    spool_directory=memory(),
)  # fmt: skip
KINDS = (*[Kind.DATA] * 6, *[Kind.CANCEL] * 2, *[Kind.GRANT] * 2, *Kind)
"""What a byte below 128 chooses from; one above it stands for itself."""
LONGEST_STEP = 255
APPLICATION = 0xF0
"""From here on a byte is a step of the application's."""
MOST_STEPS = 60
"""A few bytes of a script are a whole record on the wire: more would only measure how fast records are sealed."""

MOST_AFTER = 2
"""Steps after the end: what comes of the first comes of all."""


def seeds() -> list[bytes]:
    """Return scripts that bring a session through its life, and a few raw streams."""
    value, packed = _value(), _packed()
    steps = [
        _step(Kind.DATA, 3, 1, 1, value),
        _step(Kind.DATA, 1, 3, 2, value[:3]),
        _step(Kind.DATA, 0, 3, 0, value[3:5]),
        _step(Kind.DATA, 2, 3, 0, value[5:]),
        _step(Kind.DATA, 3, 1, 3, packed),
        _step(Kind.DATA, 3, 5, 4, value),
        _step(Kind.DATA, 3, 5, 5, b"blob"),
        _step(Kind.DATA, 1, 7, 14, b"a blob of unknown length"),
        bytes([APPLICATION, 0, 0, 0, 0]),
        _step(Kind.DATA, 0, 7, 0x40, b"more of it" * 20),
        bytes([APPLICATION + 1, 0, 0, 0, 0]),
        _step(Kind.DATA, 3, 9, 7, value),
        bytes([APPLICATION + 6, 0, 0, 0, 0]),
        _step(Kind.GRANT, 0, 0, 0, (1).to_bytes(8, "big") + (1 << 20).to_bytes(8, "big")),
        _step(Kind.GRANT, 0, 0, 1, (1).to_bytes(8, "big") + (1 << 20).to_bytes(8, "big")),
        _step(Kind.CANCEL, 0, 7, 2, b"\0\4"),
        bytes([APPLICATION + 2, 0, 0, 0, 0]),
        bytes([APPLICATION + 8, 1, 0, 0, 0]),
        bytes([APPLICATION + 6, 0, 0, 0, 0]),
        bytes([APPLICATION + 8, 0, 0, 0, 0]),
        bytes([APPLICATION + 8, 3, 0, 0, 0]),
        _step(Kind.BATCH, 0, 0, 0, len(value).to_bytes(4, "big") + value),
        _step(Kind.CANCEL, 0, 2, 0, b"\0\0\0\0\0\0\0\1\0\1"),
        _step(Kind.PING, 0, 0, 0, b"12345678"),
        _step(Kind.ACK, 0, 0, 0, (2).to_bytes(8, "big") + (1 << 24).to_bytes(8, "big") + bytes(8)),
        _step(Kind.REKEY, 0, 0, 0, b""),
        _step(Kind.FAREWELL, 0, 0, 0, b"\0\0bye"),
        _step(Kind.ALERT, 0, 0, 0, b"\0\1text"),
    ]
    lives = [bytes([role]) + b"".join(steps[:end]) for role in range(4) for end in range(1, len(steps) + 1)]
    return [*lives, *(b"\0" + step for step in steps)]


@ciphers.kept()
def one(data: bytes) -> None:
    """Read the bytes as a script."""
    role = Role.CLIENT if data[:1] and data[0] & 1 else Role.SERVER
    peer = Peer(role, 0x11 if data[:1] and data[0] & 2 else 0x01)
    peer.open()
    _work(peer.session)
    after = 0
    for kind, flags, stream, mending, body in islice(_script(data[1:]), MOST_STEPS):
        after += peer.ended
        if after > MOST_AFTER:
            break
        if kind >= APPLICATION:
            peer.behave(kind - APPLICATION, flags)
        else:
            peer.say(kind, flags, stream, _mended(peer, kind, mending, flags, body))
    peer.check_end()


@dataclass
class Peer:
    """Holds the keys, and the session that it speaks to."""

    role: Role
    suite: int = 1
    session: Session = field(init=False)
    sequence: int = 0
    number: int = 1
    values: list[int] = field(default_factory=list)
    messages: list[Message | Whole] = field(default_factory=list)
    blobs: list[Arrival] = field(default_factory=list)
    ended: bool = False
    session_id: bytes = b""

    def __post_init__(self) -> None:
        server = self.role is Role.SERVER
        self._agreement = Agreement(
            send_secret=HEAR,
            receive_secret=SPEAK,
            export_secret=bytes(32),
            binding=bytes(32),
            suite=self.suite,
            features=7,
            peer=parameters(LIMITS, bytes(16) if server else INSTANCE),
            key_id=bytes(8),
        )
        self.session = self._fresh()
        self._ratchet = Ratchet(SPEAK, self.session.cipher)
        self._take_key()
        self._since = 0

    def _fresh(self) -> Session:
        return Session(
            self.role, self._agreement, limits=LIMITS, now=0.0, draw=lambda size: b"d" * size, wall=lambda: 0.0,
            instance=INSTANCE if self.role is Role.SERVER else bytes(16),
        )  # fmt: skip

    def roam(self, which: int) -> None:
        """End the transport, and go on on another one, nearly always rightly."""
        session, now = self.session, self.sequence / 100
        for event in session.end(now):
            self._read(event)
        if session.state is not State.SUSPENDED:
            return
        self.sequence, self._ratchet = 0, Ratchet(SPEAK, session.cipher)
        self._take_key()
        had, came = session.outflow.kept.expectable, session.inflow.inbound.next_number
        expected, limit = had[which % len(had)], session.outflow.outbound.limit + which % 5000
        if which == 0xFF:
            expected += 1000
        self.number = came
        secret = bytes(32) if self.role is Role.SERVER else b"d" * 32
        if self.role is Role.CLIENT:
            session.rejoin(self._agreement, now)
            session.frames_to_send(1 << 20, now)
            proof = hmac.digest(secret, b"ns1 accept" + bytes(32), "sha256")[:16]
            answer = bodies.Accept(bodies.STATUS_RESUMED, proof, INSTANCE, expected, came, limit, 120)
            self.say(Kind.ACCEPT, 0, 0, answer.pack())
            return
        proof = hmac.digest(secret, b"ns1 open" + bytes(32), "sha256")
        asked = bodies.Open(bodies.OPEN_RESUME, bytes(16), proof, expected, came, limit, INSTANCE)
        newcomer = self.session = self._fresh()
        self.say(Kind.OPEN, 0, 0, asked.pack())
        self.session = session
        try:
            for event in session.adopt(newcomer, now):
                self._read(event)
        except SessionLost:
            assert expected not in had
            assert session.state is State.SUSPENDED

    def open(self) -> None:
        if self.role is Role.SERVER:
            asked = bodies.Open(bodies.OPEN_NEW, bytes(16), bytes(32), 1, 1, 1 << 16, bytes(16))
            self.say(Kind.OPEN, 0, 0, asked.pack())
        else:
            self.session.frames_to_send(1 << 20, 0.0)
            answer = bodies.Accept(bodies.STATUS_NEW, b"d" * 16, INSTANCE, 1, 1, 1 << 16, 0)
            self.say(Kind.ACCEPT, 0, 0, answer.pack())
        assert self.session.state is State.READY

    def say(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        record = HEADER.pack(self.sequence, kind, flags, 0, stream) + body
        self.sequence += 1
        self.receive(b"".join(frames.pack(self._sealer.seal_parts((record,), 0))))
        if kind == Kind.REKEY and not flags and not stream and not body:
            self._ratchet.advance()
            self._take_key()

    def _take_key(self) -> None:
        key, cipher = self._ratchet.key, self.session.cipher
        self._sealer = ciphers.sealer(key) if cipher is FERNET else cipher.sealer(key, self.sequence)

    def receive(self, data: bytes) -> None:
        session = self.session
        events = session.receive_data(data, self.sequence / 100)
        assert not (self.ended and events), "a session that has ended went on"
        for event in events:
            self._read(event)
        session.frames_to_send(1 << 16, self.sequence / 100)

    def _read(self, event: Event) -> None:
        assert not self.ended, "an event after the last one"
        if isinstance(event, Ended):
            self.ended = True
            assert event.error is None or isinstance(event.error, NetstructerError)
        if isinstance(event, MessageArrived):
            assert event.message.plain_bytes <= LIMITS.value_bytes
            self.session.take(event.message)
            self.messages.append(event.message)
            try:
                self.session.payloads.read(event.message, self._blob)
            except NetstructerError:
                self.session.forget(event.message)

    def _blob(self, message: Message, place: int) -> Blob:
        self.blobs.append(self.session.arrival(message, place))
        return Blob(b"")

    def behave(self, step: int, which: int) -> None:
        """Do what an application might do now."""
        session, arrivals = self.session, self.session.arrivals
        blob = self.blobs[which % len(self.blobs)] if self.blobs else None
        if step in (0, 1) and blob is not None:
            blob.reading = blob.reading or bool(step)
            _take_out(blob)
            arrivals.consumed(blob, blob.spool.start)
        if step == 2 and blob is not None:
            blob.spool.close()
            arrivals.refuse(blob, CancelCode.ABANDONED, LinkClosed("dropped"))
        if step == 3 and self.messages:
            session.forget(self.messages[which % len(self.messages)])
        if step == 4:
            session.say_farewell()
        if step == 5:
            session.ping(self.sequence / 100)
        if step == 6:
            try:
                _work(session)
            except NetstructerError:
                assert self.ended or session.outflow.farewell is not None or session.state is State.LEFT
        if step == 8:
            self.roam(which)
        if step == 7:
            for root in session.outflow.lanes.roots():
                session.abandon(root)
        self.receive(b"")

    def check_end(self) -> None:
        session = self.session
        assert self.ended == (session.state in (State.CLOSED, State.FAILED))
        room = session.arrivals.room
        held = sum(blob.spool.byte_count - blob.spool.start for blob in self.blobs)
        assert held <= room.memory_bytes + room.disk_bytes
        assert room.memory_bytes <= LIMITS.credit_bytes + len(session.inflow.assembly) * (64 << 10)
        assert 0 <= room.disk_bytes + room.promised_bytes <= LIMITS.spool_link_bytes
        assert all(blob.spool.byte_count <= blob.granted for blob in self.blobs)
        session.tick(1e6)
        session.end(1e6)
        session.tick(2e6)
        assert session.state in (State.CLOSED, State.FAILED)
        assert all(blob.over for blob in self.blobs)
        assert room.promised_bytes == 0
        for blob in self.blobs:
            _take_out(blob)
            assert blob.spool.byte_count == blob.spool.start


def _take_out(blob: Arrival) -> None:
    """Read what is here of a blob, as its reader would."""
    if not blob.spool._closed:
        for _ in blob.spool:
            pass


def _work(session: Session) -> None:
    """Give the session something to say, so that acknowledgements and cancels have something to be about."""
    outgoing = Outgoing([b"x" * 1500], codec=0, plain_bytes=1500)
    for size in (200, None):
        outgoing.add_blob(OutgoingBlob(_begin, plain_bytes=size, inline=True))
    session.queue(outgoing)
    session.ping(0.0)


def _begin() -> tuple[int, Counted, Counted]:
    pieces = Counted([b"y" * 200])
    return 0, pieces, pieces


def _script(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    while len(data) >= 5:
        chosen, flags, stream, mending, size = data[:5]
        kind = chosen if chosen & 0x80 else KINDS[chosen % len(KINDS)]
        yield kind, flags, stream, mending, data[5 : 5 + size]
        data = data[5 + size :]


def _mended(peer: Peer, kind: int, mending: int, flags: int, body: bytes) -> bytes:
    """Put before the body what its kind begins with, and after it what it ends with, as the byte `mending` says."""
    if kind == Kind.GRANT and mending & 3 and len(body) >= 16:
        # For what this session has sent last, or first: mostly a blob.
        following = peer.session.outflow.outbound.next_number
        return (following - mending % following).to_bytes(8, "big") + bytes(5) + body[-3:]
    if kind not in (Kind.DATA, Kind.BATCH, Kind.CANCEL, Kind.FAREWELL) or mending & 0x80:
        return body
    number = bodies.number(peer.number)
    peer.number += 1
    if kind == Kind.CANCEL and mending & 3:
        return number + (peer.number - 1 - mending % peer.number).to_bytes(8, "big") + body[:2].ljust(2, b"\0")
    if kind == Kind.DATA and mending & 0x40:
        body *= 960 // max(len(body), 1)
        mending &= 0x3F
    if kind != Kind.DATA or not mending:
        return number + body + (bodies.total(len(_value())) if kind == Kind.DATA and flags & 2 else b"")
    shape = mending & 7
    plain_bytes = bodies.UNKNOWN if shape == 6 else len(_unpacked()) if shape == 3 else len(body)
    if shape == 2:
        plain_bytes = len(_value())
    first = bodies.First(
        bodies.BLOB if shape in (5, 6) else bodies.ASIDE if shape == 7 else bodies.VALUE,
        1 if shape == 3 else 0,
        mending >> 3 & 3 if shape in (5, 6) else 2 if shape == 4 else 0,
        plain_bytes,
        peer.values[-1] if peer.values and shape in (5, 6) else 0,
        mending >> 3 if shape == 7 else 0,
    )
    if shape == 4:
        peer.values.append(peer.number - 1)
    tail = bodies.total(len(body) if shape == 6 else plain_bytes) if flags & 2 else b""
    return number + (first.pack() if flags & 1 else b"") + body + tail


def _step(kind: Kind, flags: int, stream: int, mending: int, body: bytes) -> bytes:
    return bytes([KINDS.index(kind), flags, stream, mending, len(body)]) + body


@cache
def _value() -> bytes:
    return b"".join(encode([1, "text", {"key": None}]).buffers)


@cache
def _unpacked() -> bytes:
    return b"".join(encode(["text"] * 400).buffers)


@cache
def _packed() -> bytes:
    return b"".join(compress([_unpacked()], len(_unpacked()))[1])[:LONGEST_STEP]


class Stated(Parameters):
    """Parameters whose limits are looked at once, not for each of a million sessions: that is half of making one."""

    __slots__ = ()

    def limits(self, base: Limits = Limits.DEFAULT) -> Limits:
        return _stated_limits(self)


@cache
def _stated_limits(parameters: Parameters) -> Limits:
    return Parameters.limits(parameters)


@cache
def parameters(limits: Limits, instance: bytes) -> Stated:
    """Return what an end with these limits states; a server has an instance."""
    return Stated.of(limits, 7, instance)
