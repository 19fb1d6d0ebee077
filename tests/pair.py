"""Two ends of one conversation without a wire, and a hostile peer that holds the right keys.

Everything is fixed: the secrets, the clock, chance.  A `Pair` is two sessions and the bytes between them; `pump` moves
them both ways until neither end has anything to say.  A `Hostile` stands where a peer would, seals whatever it is told
to under the keys that the session expects, and can bring that session to any state by legal means.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from netstructer.codec import frames
from netstructer.codec.blob import Blob
from netstructer.codec.ciphers import FERNET
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import LinkTimeout
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrivals
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, Event, MessageArrived, Opened, PeerLeft
from netstructer.protocol.handshake import SUITES, Agreement
from netstructer.protocol.outgoing import Outgoing
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, Record, RecordReader
from netstructer.protocol.session import Session
from netstructer.protocol.states import Flag, Kind, Role, State

C2S, S2C = bytes(range(32)), bytes(range(32, 64))
INSTANCE = bytes.fromhex("44" * 16)
WALL = 1_700_000_000
ALL_FEATURES = 5
"""Compression and padding."""
RESUMABLE = 7
"""These, and sessions that outlive their transports."""
ROOM = 1 << 20
BOTH = int(Flag.FIRST | Flag.LAST)

TINY = Limits(
    value_bytes=4096, message_bytes=8192, body_bytes=1024, credit_bytes=64 << 10, streams=4, rekey_records=1024
)
"""Limits that are reached with little."""


class Draw:
    """Chance that always falls the same way: `draw(n)`, the bytes of a hash of a counter."""

    def __init__(self, seed: str = "") -> None:
        self._seed, self._count = seed, 0

    def __call__(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            self._count += 1
            found += sha256(f"{self._seed} {self._count}".encode()).digest()
        return found[:size]


def agreement(
    role: Role,
    peer_limits: Limits,
    *,
    features: int = ALL_FEATURES,
    secrets: tuple[bytes, bytes] = (C2S, S2C),
    suite: int = 1,
) -> Agreement:
    """Return what a handshake with fixed secrets leaves at one end."""
    send, receive = secrets if role is Role.CLIENT else secrets[::-1]
    return Agreement(
        send_secret=send,
        receive_secret=receive,
        export_secret=bytes(32),
        binding=sha256(secrets[0]).digest(),
        suite=suite,
        features=features,
        peer=Parameters.of(peer_limits, features, INSTANCE if role is Role.CLIENT else bytes(16)),
        key_id=bytes(8),
    )


def session_of(
    role: Role,
    *,
    limits: Limits = Limits.DEFAULT,
    peer_limits: Limits | None = None,
    features: int = ALL_FEATURES,
    secrets: tuple[bytes, bytes] = (C2S, S2C),
    padding: str | None = None,
    now: float = 0.0,
    wall: float = WALL,
    suite: int = 1,
) -> Session:
    """Return one end, just after the handshake."""
    session = Session(
        role,
        agreement(role, peer_limits or limits, features=features, secrets=secrets, suite=suite),
        limits=limits,
        now=now,
        draw=Draw(role.value),
        wall=lambda: wall,
        instance=INSTANCE if role is Role.SERVER else bytes(16),
        padding=padding,
    )
    if session.cipher is FERNET:
        session.outflow._writer._sealer._draw = Draw(f"iv {role.value}")  # so that a recording is the same every time
    return session


def send(session: Session, value: object, *, compress: bool = True, flags: int = 0) -> Outgoing:
    """Queue a value."""
    payloads = session.payloads
    outgoing = payloads.compose(payloads.encode(value), compress=compress, flags=flags)
    session.queue(outgoing)
    return outgoing


def messages_in(events: Iterable[Event]) -> list[Any]:
    """Return the messages among events."""
    return [event.message for event in events if isinstance(event, MessageArrived)]


def error_in(events: Sequence[Event]) -> BaseException | None:
    """Return the error of the `Ended` that is the last event; None where there is none, or no error in it."""
    return events[-1].error if events and isinstance(events[-1], Ended) else None


def tokens_of(wire: bytes) -> list[bytes]:
    """Cut a recording of whole frames into tokens."""
    found = []
    while wire:
        length = int.from_bytes(wire[:4], "big")
        found.append(wire[4 : 4 + length])
        wire = wire[4 + length :]
    return found


def frame_of(token: bytes) -> bytes:
    """Return a token as a frame."""
    return b"".join(frames.pack(token))


@dataclass
class End:
    """One end of a pair: its session, what it was told, and what it has said that is still under way."""

    session: Session
    events: list[Event] = field(default_factory=list)
    inbox: list[Any] = field(default_factory=list)
    wire: bytearray = field(default_factory=bytearray)
    """Sealed here, not yet at the other end."""
    said: bytearray = field(default_factory=bytearray)
    """All that was ever sealed here."""

    def read(self) -> list[object]:
        """Take every message that has come, and return their values."""
        values = []
        while self.inbox:
            message = self.inbox.pop(0)
            self.session.take(message)
            values.append(read(self.session, message))
        return values

    def of(self, kind: type[Event]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def state(self) -> State:
        return self.session.state


class Pair:
    """A client and a server with a wire between them that holds any number of bytes."""

    def __init__(
        self,
        *,
        limits: Limits = Limits.DEFAULT,
        server_limits: Limits | None = None,
        features: int = ALL_FEATURES,
        padding: str | None = None,
        secrets: tuple[bytes, bytes] = (C2S, S2C),
        wall: float = WALL,
        opened: bool = True,
        suite: int = 1,
    ) -> None:
        self.now = 0.0
        shape: dict[str, Any] = {"features": features, "padding": padding, "secrets": secrets, "wall": wall}
        shape["suite"] = suite
        theirs = server_limits or limits
        self.said: list[tuple[bool, bytes]] = []
        """All that was ever sealed, in that order, each with whether the client has said it."""
        self.client = End(session_of(Role.CLIENT, limits=limits, peer_limits=theirs, **shape))
        self.server = End(session_of(Role.SERVER, limits=theirs, peer_limits=limits, **shape))
        if opened:
            self.pump()
            assert (self.client.state, self.server.state) == (State.READY, State.READY)
            self.client.events.clear()
            self.server.events.clear()

    @property
    def ends(self) -> tuple[End, End]:
        return self.client, self.server

    def other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def seal(self, end: End, room_bytes: int = ROOM, *, feeding: bool = True) -> int:
        """Let one end say what it has to say; return how many bytes that was."""
        if feeding:
            feed(end.session)
        sealed = b"".join(end.session.frames_to_send(room_bytes, self.now))
        end.wire += sealed
        end.said += sealed
        if sealed:
            self.said.append((end is self.client, sealed))
        return len(sealed)

    def carry(self, end: End, count: int | None = None) -> list[Event]:
        """Move bytes of one end to the other; return what happened there."""
        there = self.other(end)
        count = len(end.wire) if count is None else min(count, len(end.wire))
        piece = bytes(end.wire[:count])
        del end.wire[:count]
        events = there.session.receive_data(piece, self.now) if piece else []
        there.events += events
        there.inbox += messages_in(events)
        return events

    def pump(self, *, reading: bool = False) -> None:
        """Seal and carry both ways, both ends at once, until neither has anything to say.

        Acknowledgements that are only due later are brought forward: nothing waits for a clock here.
        """
        values: dict[int, list[object]] = {0: [], 1: []}
        busy = True
        while busy:
            self.now += 0.25
            for end in self.ends:
                self.seal(end)
            busy = any(end.wire for end in self.ends)
            for end in self.ends:
                self.carry(end)
            if reading:
                for place, end in enumerate(self.ends):
                    got = end.read()
                    values[place] += got
                    busy = busy or bool(got)
        self.values = (values[0], values[1])

    def exchange(self) -> tuple[list[object], list[object]]:
        """Pump while both ends read; return the values that the client and the server got."""
        self.pump(reading=True)
        return self.values


def reader_at(secret: bytes, sequence: int, suite: int = 1) -> RecordReader:
    """Return a reader whose next record has that number, and which has had as many under this key."""
    reader = RecordReader(secret, 0.0, SUITES[suite].cipher)
    reader.sequence, reader._opener = sequence, reader._ratchet.opener(sequence)
    return reader


def proof_of(secret: bytes, label: bytes, binding: bytes) -> bytes:
    """Return what shows that an end has the session's secret, on the transport of that handshake."""
    return hmac.digest(secret, label + binding, "sha256")


class Hostile:
    """Stands where a session's peer would, with the right keys: seals anything, in any order."""

    def __init__(
        self,
        role: Role,
        *,
        limits: Limits = Limits.DEFAULT,
        padding: str | None = None,
        features: int = ALL_FEATURES,
        suite: int = 1,
    ) -> None:
        self.role = role
        self.session = session_of(role, limits=limits, padding=padding, features=features, suite=suite)
        self.number = 1
        self.now = 0.0
        self.renew()
        self.stream = 1 if role is Role.SERVER else 2
        """The first stream that this peer may begin a message on."""
        self.session_id = bytes(16)
        if role is Role.CLIENT:  # it speaks first
            self.session_id = bodies.Open.unpack(memoryview(self.hear()[0].body)).session_id

    def renew(self) -> None:
        """Begin on a transport: with the first keys, and the first sequence number."""
        speak, hear = (C2S, S2C) if self.role is Role.SERVER else (S2C, C2S)
        self._ratchet = Ratchet(speak, self.session.cipher)
        self._reader = RecordReader(hear, self.now, self.session.cipher)
        self.sequence = 0

    def seal(self, kind: int, flags: int = 0, stream: int = 0, body: bytes = b"", pad: int = 0) -> bytes:
        """Return the frame of the next record, without sending it."""
        record = HEADER.pack(self.sequence, kind, flags, pad, stream) + body
        token = self._ratchet.sealer(self.sequence).seal_parts((record,), WALL)
        self.sequence += 1
        return frame_of(token)

    def say(self, kind: int, flags: int = 0, stream: int = 0, body: bytes = b"", pad: int = 0) -> list[Event]:
        """Seal a record, send it, and return what happened at the session."""
        return self.session.receive_data(self.seal(kind, flags, stream, body, pad), self.now)

    def rekey(self) -> list[Event]:
        """Send a REKEY and step."""
        events = self.say(Kind.REKEY)
        self._ratchet.advance()
        return events

    def hear(self, room_bytes: int = ROOM) -> list[Record]:
        """Return the records that the session has to say."""
        wire = b"".join(self.session.frames_to_send(room_bytes, self.now))
        found = []
        for token in tokens_of(wire):
            record = self._reader.read(token)
            if record.kind == Kind.REKEY:
                self._reader.rekey(self.now)
            found.append(record._replace(body=bytes(record.body)))  # type: ignore[arg-type]
        return found

    def next_number(self) -> int:
        """Take this peer's next delivery number."""
        self.number += 1
        return self.number - 1

    def data(self, payload: bytes, *, stream: int | None = None, flags: int = BOTH) -> list[Event]:
        """Send a whole plain value in one record."""
        body = data_body(self.next_number(), payload)
        return self.say(Kind.DATA, flags, self.stream if stream is None else stream, body)

    def first(
        self,
        chunk: bytes,
        plain_bytes: int,
        *,
        kind: int = bodies.VALUE,
        codec: int = 0,
        place: int = 0,
        parent: int = 0,
        stream: int | None = None,
        last: bool = False,
        total: int | None = None,
        flags: int = 0,
    ) -> list[Event]:
        """Send the first record of a message."""
        head = bodies.First(kind, codec, place, plain_bytes, parent).pack()
        tail = bodies.total(plain_bytes if total is None else total) if last else b""
        body = bodies.number(self.next_number()) + head + chunk + tail
        flags |= BOTH if last else int(Flag.FIRST)
        return self.say(Kind.DATA, flags, self.stream if stream is None else stream, body)

    def more(self, chunk: bytes, *, stream: int | None = None, total: int | None = None) -> list[Event]:
        """Send a further record of a message; the last one where `total` is given."""
        tail = b"" if total is None else bodies.total(total)
        body = bodies.number(self.next_number()) + chunk + tail
        flags = 0 if total is None else int(Flag.LAST)
        return self.say(Kind.DATA, flags, self.stream if stream is None else stream, body)

    def cancel(self, message: int, *, code: int = 4, stream: int | None = None) -> list[Event]:
        body = bodies.Cancel(self.next_number(), message, code).pack()
        return self.say(Kind.CANCEL, 0, self.stream if stream is None else stream, body)

    def farewell(self, code: int = 0, text: str = "") -> list[Event]:
        return self.say(Kind.FAREWELL, body=bodies.Farewell(self.next_number(), code, text).pack())

    def ask(self, secret: bytes = b"s" * 32, **changes: Any) -> list[Event]:
        """Ask a server for a session that is there already."""
        proof = proof_of(secret, b"ns1 open", self.session.binding)
        asked = bodies.Open(bodies.OPEN_RESUME, b"i" * 16, proof, 1, 1, 8 << 20, INSTANCE)
        return self.say(Kind.OPEN, body=asked._replace(**changes).pack())

    def open(self, limit: int = 8 << 20) -> list[Event]:
        """Do this peer's part of OPEN and ACCEPT."""
        if self.role is Role.SERVER:
            body = bodies.Open(bodies.OPEN_NEW, bytes(16), bytes(32), 1, 1, limit, bytes(16)).pack()
            return self.say(Kind.OPEN, body=body)
        body = bodies.Accept(bodies.STATUS_NEW, self.session_id, INSTANCE, 1, 1, limit, 120).pack()
        return self.say(Kind.ACCEPT, body=body)

    def stand(self, state: State) -> Hostile:
        """Bring the session to a state, by legal means as far as there are any; return self."""
        if state in (State.EXPECT_OPEN, State.EXPECT_ACCEPT):
            return self
        if state is State.CLAIMED:
            self.ask()
            assert self.session.state is state
            return self
        self.open()
        self.hear()
        if state is State.SUSPENDED:
            self.session.end(self.now)
        if state is State.LEAVING:
            self.session.say_farewell()
            self.hear()
        elif state in (State.LEFT, State.PARTING, State.CLOSED):
            self.farewell()
        if state in (State.PARTING, State.CLOSED):
            self.hear()
        if state is State.CLOSED:
            self.say(Kind.ACK, body=bodies.Ack(2, 8 << 20, 0).pack())
        if state is State.FAILED:
            self.say(0xFF)
        assert self.session.state is state
        return self


def opened(role: Role, *, limits: Limits = Limits.DEFAULT) -> Hostile:
    """Return a hostile peer of a session that is ready."""
    return Hostile(role, limits=limits).stand(State.READY)


class Told:
    """What arrivals would have the peer told, instead of an outflow."""

    def __init__(self, limits: Limits) -> None:
        self.grants: list[bodies.Grant] = []
        self.cancels: list[tuple[int, int, int]] = []
        """Stream, number, code."""
        self.arrivals = Arrivals(limits, SpoolRoom(limits), grant=self._grant, cancel=self._cancel)

    def _grant(self, body: bytes) -> None:
        self.grants.append(bodies.Grant.unpack(memoryview(body)))

    def _cancel(self, stream: int, number: int, code: int) -> None:
        self.cancels.append((stream, number, code))


def data_body(number: int, payload: bytes, *, total: int | None = None) -> bytes:
    """Return the body of a whole plain value in one record."""
    head = bodies.First(bodies.VALUE, 0, 0, len(payload), 0).pack()
    return bodies.number(number) + head + payload + bodies.total(len(payload) if total is None else total)


STATES = {
    Role.CLIENT: [state for state in State if state not in (State.EXPECT_OPEN, State.CLAIMED)],
    Role.SERVER: [state for state in State if state is not State.EXPECT_ACCEPT],
}
"""The states that each end can be in."""

__all__ = [
    "BOTH",
    "C2S",
    "INSTANCE",
    "RESUMABLE",
    "S2C",
    "STATES",
    "TINY",
    "WALL",
    "Draw",
    "End",
    "Here",
    "Hostile",
    "MessageArrived",
    "Opened",
    "Pair",
    "PeerLeft",
    "Told",
    "agreement",
    "data_body",
    "error_in",
    "feed",
    "frame_of",
    "messages_in",
    "opened",
    "proof_of",
    "read",
    "send",
    "session_of",
    "tokens_of",
]


def feed(session: Session, most: int = 1 << 62) -> None:
    """Give every blob that wants to be fed what its source has, as their senders would; `most` chunks in all."""
    for root in session.outflow.lanes.roots():
        while most > 0 and root.error is None and (blob := root.hungry()) is not None:
            most -= 1
            try:
                session.feed(blob, *blob.pull(session.chunk_bytes))
            except Exception as error:
                session.abandon(root, error)


class Here:
    """What has come of a blob, to be read without waiting: who waits for more gets a `LinkTimeout`."""

    def __init__(self, session: Session, message: Message, place: int) -> None:
        self.session, self.arrival = session, session.arrival(message, place)
        self._expected_bytes: int | None = None

    @property
    def codec(self) -> int:
        return self.arrival.codec

    @property
    def size(self) -> int | None:
        found = self.arrival.plain_bytes
        return self._expected_bytes if found is None else found

    @property
    def most_bytes(self) -> int:
        return self.session.limits.message_bytes

    @property
    def stated(self) -> bool:
        return self.arrival.stated

    @property
    def spool(self) -> Spool:
        return self.arrival.spool

    def expect(self, size: int | None) -> None:
        self._expected_bytes = size

    def wait(self, position: int, timeout: float | None) -> bool:
        if self.arrival.spool.byte_count > position:
            return True
        if self.arrival.error is not None:
            raise self.arrival.error.again()
        if self.arrival.whole:
            return False
        self.arrival.reading = True
        self.session.arrivals.review(self.arrival)
        raise LinkTimeout("the blob is not here yet")

    def consumed(self, position: int, *, keep: bool) -> None:
        if not keep:
            self.arrival.spool.forget(position)
        self.session.arrivals.consumed(self.arrival, position)

    def new_spool(self) -> Spool:
        return Spool(self.session.arrivals.room)

    def give_up(self) -> None:
        pass


def read(session: Session, message: Message | Whole) -> object:
    """Return the value of a message whose blobs are here."""
    return session.payloads.read(message, lambda found, place: Blob._of(Here(session, found, place)))
