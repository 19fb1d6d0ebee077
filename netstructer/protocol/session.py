"""The session: where the steps of the street meet.  Floor: PROTOCOL.  Law: no socket, no thread, no clock, no chance.

Spec: protocol.md, "Session".  A session begins when the handshake has given both ends their secrets.  Bytes come in by
`space()`, `filled()` and `receive()`, which returns events; frames go out by `frames_to_send()`.  Time is an argument.

    out   encode, compose = encode, compress     (touch nothing that changes: may run in any thread)
          queue, frames_to_send = cut, seal, pack
    in    receive  = unpack, open, join
          read     = expand, decode              (touches nothing that changes: may run in any thread)

`encode`, `compose` and `read` apart, a session has a single owner at a time: the façade holds a lock around every other call.

A fault ends the session and is kept: whoever asks afterwards gets the same error.  A message that fails alone (`BadValue`, a
message over a limit) leaves the session alive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from struct import Struct

from netstructer.codec import compression, frames, values
from netstructer.codec.blob import Blob
from netstructer.codec.tokens import sealed_bytes
from netstructer.codec.types import REGISTRY, Types
from netstructer.codec.values import Encoded
from netstructer.errors import (
    BadCompression,
    BadSeal,
    Busy,
    ConnectionCut,
    IllegalFrame,
    LinkClosed,
    LinkLost,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    PeerFault,
    SessionLost,
    SpoolFull,
    Stalled,
)
from netstructer.limits import Limits
from netstructer.protocol import lanes, parameters
from netstructer.protocol.assembly import Assembly, Message
from netstructer.protocol.delivery import ACK, Inbound, Outbound, charge_of
from netstructer.protocol.events import Ended, Event, MessageArrived, Opened, PeerLeft
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.lanes import Batch, Counted, Lanes, Outgoing
from netstructer.protocol.records import HEADER_BYTES, Record, RecordReader, RecordWriter, padding_bytes
from netstructer.protocol.states import (
    MOVES,
    AlertCode,
    CancelCode,
    Cause,
    Flag,
    Kind,
    Role,
    State,
    advance,
)

__all__ = ["Session"]

OPEN = Struct(">B3x16s32sQQQ16s")
ACCEPT = Struct(">B3x16s16sQQQI")
CODE = Struct(">H")
CANCEL = Struct(">QQH")
FAREWELL = Struct(">QH")
NEW, RESUME = 1, 2
STATUS_NEW, STATUS_UNKNOWN, STATUS_BUSY = 0, 2, 3
TEXT_BYTES = 200
PING_BYTES = 8
PINGS_PER_SECOND = 10.0
RECORD_OVERHEAD = lanes.NUMBER.size + lanes.FIRST.size + lanes.PARENT.size + lanes.TOTAL.size
"""What a DATA body may hold beside its chunk."""
BATCH_ITEM_BYTES = 4 << 10
"""Longest encoded value that goes into a batch: above it a record of its own costs less than 4 %."""

Buffer = bytes | bytearray | memoryview


class Session:
    """One end of a conversation, as a pure machine.

    `wall` gives seconds since 1970 for the clear clock of the tokens (0 to hide it); `draw(n)` gives n random bytes.
    """

    def __init__(
        self,
        role: Role,
        agreement: Agreement,
        *,
        limits: Limits,
        now: float,
        draw: Callable[[int], bytes],
        wall: Callable[[], float],
        instance: bytes = bytes(16),
        types: Types = REGISTRY,
        padding: str | None = None,
    ) -> None:
        self.role = role
        self.limits = limits
        self.peer_limits = agreement.peer.limits()
        self.types = types
        self.binding = agreement.binding
        self.state = State.EXPECT_ACCEPT if role is Role.CLIENT else State.EXPECT_OPEN
        self.error: NetstructerError | None = None
        """What ended it; kept for ever."""
        self.compressing = bool(agreement.features & parameters.COMPRESSION)
        self._padding = padding
        self._wall = wall
        self._draw = draw
        self._instance = instance if role is Role.SERVER else agreement.peer.instance
        self._writer = RecordWriter(agreement.send_secret, limits, now)
        self._reader = RecordReader(agreement.receive_secret, now)
        first_token = sealed_bytes(HEADER_BYTES + OPEN.size)
        self._frames = frames.FrameReader(first_token if role is Role.SERVER else self._token_limit())
        self._outbound = Outbound()
        self._inbound = Inbound(limits)
        self._lanes = Lanes(role, self.peer_limits.streams)
        self._assembly = Assembly(role, limits)
        self._control: deque[tuple[Kind, int, bytes]] = deque()
        self._chunk_bytes = min(self.peer_limits.body_bytes, self.peer_limits.credit_bytes // 2) - RECORD_OVERHEAD
        self._farewell: tuple[int, str] | None = None
        self._farewell_sealed = False
        self._heard = now
        self._ping: tuple[bytes, float] | None = None
        self._ping_after = self._jittered()
        self._ping_allowance = PINGS_PER_SECOND
        self._ping_counted = now
        self.rtt_seconds: float | None = None
        self.pongs = 0
        self.messages_sent = self.messages_received = 0
        self.plain_sent = self.plain_received = 0
        self.wire_sent = self.wire_received = 0
        if role is Role.CLIENT:
            self._session_id, secret = draw(16), draw(32)
            body = OPEN.pack(NEW, self._session_id, secret, 1, 1, self._inbound.limit, bytes(16))
            self._control.append((Kind.OPEN, 0, body))

    # --- out: a value to frames -------------------------------------------------------------------------------------

    def encode(self, value: object) -> Encoded:
        """Return `value` as bytes, checked against everything that the peer would refuse.

        Raises `UnsendableValue`, or `MessageTooBig`.
        """
        return values.encode(value, limits=self.peer_limits, types=self.types)

    def compose(self, encoded: Encoded, *, compress: bool = True, flags: int = 0) -> Outgoing:
        """Return an encoded value as a message to queue, its bytes compressed as they are pulled."""
        compress = compress and self.compressing
        codec, pieces = _compressed(encoded.buffers, encoded.plain_bytes, compress)
        outgoing = Outgoing(pieces, codec=codec, plain_bytes=encoded.plain_bytes, flags=flags)
        for blob in encoded.blobs:
            self.check_blob(blob.size)
            source = Counted(blob.chunks())
            codec, pieces = _compressed(source, blob.size, compress)
            outgoing.add_blob(Outgoing(pieces, codec=codec, plain_bytes=blob.size, source=source))
        return outgoing

    def fits(self, batch: Batch, encoded: Encoded) -> bool:
        """Say whether a value may go into a batch: small, without blobs, and there is room."""
        body_bytes = batch.body_bytes + 4 + encoded.plain_bytes
        return (
            encoded.plain_bytes <= BATCH_ITEM_BYTES
            and not encoded.blobs
            and body_bytes <= self._chunk_bytes
            and charge_of(body_bytes, batch.count + 1) <= self.peer_limits.credit_bytes // 2
        )

    def check_blob(self, blob_bytes: int | None) -> None:
        """Raise `MessageTooBig` for a blob that the peer would refuse."""
        limit = self.peer_limits.message_bytes
        if blob_bytes is not None and blob_bytes > limit:
            raise MessageTooBig(
                f"a blob of {blob_bytes} bytes is over the peer's limit of {limit}", limit=limit, found=blob_bytes
            )

    def queue(self, outgoing: Outgoing | Batch) -> None:
        """Queue a message.  Raises what ended the session, or `LinkClosed` once a farewell is under way."""
        self.check_open()
        if isinstance(outgoing, Batch):
            self._lanes.add_batch(outgoing)
            self.messages_sent += outgoing.count
            self.plain_sent += outgoing.total_plain_bytes
        else:
            self._lanes.add(outgoing)
            self.messages_sent += 1
            self.plain_sent += outgoing.total_plain_bytes

    def check_open(self) -> None:
        """Raise what ended the session, or `LinkClosed` where this end can send no more."""
        if self.error is not None:
            raise self.error
        if self._farewell is not None or self.state not in (State.READY, State.EXPECT_ACCEPT, State.EXPECT_OPEN):
            raise LinkClosed("the conversation is over")

    @property
    def waiting_bytes(self) -> int:
        """Plain bytes of the messages that are not wholly sealed."""
        return self._lanes.waiting_bytes

    def acknowledged(self, number: int) -> bool:
        """Say whether the peer has the record with that delivery number."""
        return self._outbound.acknowledged > number

    def taken(self, number: int) -> bool:
        """Say whether the peer's application has taken the message that ended with that delivery number."""
        return self._outbound.taken >= number

    def abandon(self, outgoing: Outgoing) -> None:
        """Give up what is left of a message of this end."""
        self._cancel_own(outgoing.root, MessageCancelled("given up by its sender", code=CancelCode.ABANDONED))

    def say_farewell(self, code: int = 0, text: str = "") -> None:
        """End the conversation, after what is queued.  May be said again, without effect."""
        if self._farewell is None and self.error is None:
            self._farewell = (code, text)

    def frames_to_send(self, room_bytes: int, now: float) -> list[bytes]:
        """Seal what is due, until about `room_bytes` are there; return the buffers to write, in order.

        Control records first, then one record of each message in turn, as far as the peer's credit goes.
        """
        out: list[bytes] = []
        if self._inbound.ack_due(now) and (self._is_open() or self.state is State.CLOSED):
            self._control.append((Kind.ACK, 0, self._inbound.ack()))
        while room_bytes > 0:
            sealed = self._seal_control(out, now) if self._control else self._seal_data(out, now)
            if not sealed:
                break
            room_bytes -= sealed
        return out

    def _is_open(self) -> bool:
        return self.state in (State.READY, State.LEAVING, State.LEFT, State.PARTING)

    def _seal_control(self, out: list[bytes], now: float) -> int:
        kind, stream, body = self._control.popleft()
        return self._seal(out, now, kind, 0, stream, body)

    def _seal_data(self, out: list[bytes], now: float) -> int:
        """Seal one record of the message whose turn it is; 0 where nothing can go."""
        if self.state not in (State.READY, State.LEFT):
            return 0
        message = self._lanes.front()
        if message is None:
            return self._seal_farewell(out, now) if self._farewell is not None else 0
        if isinstance(message, Batch):
            return self._seal_batch(out, now, message)
        try:
            return self._seal_chunk(out, now, message)
        except Exception as error:
            # Whatever a user's file or generator raises ends this message and is raised to its sender, not here.
            self._cancel_own(message.root, error)
            return 1

    def _seal_chunk(self, out: list[bytes], now: float, message: Outgoing) -> int:
        chunk, last = message.peek(self._chunk_bytes)
        first = not message.number
        parts: list[Buffer] = [b""]
        flags = 0
        if first:
            flags = Flag.FIRST
            parts.append(_first_header(message))
        parts.append(chunk)
        if last:
            flags |= Flag.LAST | message.flags
            parts.append(lanes.TOTAL.pack(message.total_bytes()))
        charge = charge_of(lanes.NUMBER.size + sum(map(len, parts)), first)
        if not self._outbound.allows(charge):
            return 0
        if not last:
            message.step()
        number = self._outbound.number(charge)
        if first:
            message.number = number
        parts[0] = lanes.NUMBER.pack(number)
        sealed = self._seal(out, now, Kind.DATA, int(flags), message.stream, b"".join(parts), alone=first)
        message.root.wire_bytes += sealed
        if last:
            message.last_number = message.root.last_number = number
        self._lanes.sealed(last)
        return sealed

    def _seal_batch(self, out: list[bytes], now: float, batch: Batch) -> int:
        charge = charge_of(batch.body_bytes, batch.count)
        if not self._outbound.allows(charge):
            return 0
        batch.last_number = self._outbound.number(charge)
        batch.wire_bytes = self._seal(out, now, Kind.BATCH, 0, 0, batch.body(batch.last_number))
        self._lanes.sealed(True)
        return batch.wire_bytes

    def _seal_farewell(self, out: list[bytes], now: float) -> int:
        assert self._farewell is not None
        code, text = self._farewell
        body = FAREWELL.pack(self._outbound.number(0), code) + _clipped(text)
        sealed = self._seal(out, now, Kind.FAREWELL, 0, 0, body)
        self.state = advance(self.state, Cause.SAY_FAREWELL)
        return sealed

    def _seal(
        self, out: list[bytes], now: float, kind: Kind, flags: int, stream: int, body: bytes, *, alone: bool = True
    ) -> int:
        seconds = int(self._wall())
        before = len(out)
        if self._writer.rekey_due(now) and kind is not Kind.OPEN and kind is not Kind.ACCEPT:
            out.extend(frames.pack(self._writer.rekey(seconds=seconds, now=now)))
        pad_bytes = 0
        if self._padding is not None and kind is not Kind.OPEN and kind is not Kind.ACCEPT:
            policy = self._padding if alone else "full"
            pad_bytes = padding_bytes(policy, len(body), self._chunk_bytes + RECORD_OVERHEAD)
        token = self._writer.write(kind, flags, stream, body, seconds=seconds, pad_bytes=pad_bytes)
        out.extend(frames.pack(token))
        sealed = sum(map(len, out[before:]))
        self.wire_sent += sealed
        return sealed

    def _cancel_own(self, root: Outgoing, error: BaseException) -> None:
        known = self._lanes.drop(root)
        root.error = root.error or error
        if known:
            code = error.code if isinstance(error, MessageCancelled) else CancelCode.SOURCE_FAILED
            self._queue_cancel(root.stream, root.number, code)

    def _queue_cancel(self, stream: int, number: int, code: int) -> None:
        self._control.append((Kind.CANCEL, stream, CANCEL.pack(self._outbound.number(0), number, code)))

    # --- in: frames to a value --------------------------------------------------------------------------------------

    def space(self) -> memoryview:
        """Return where received bytes go; then say `filled(count)` and `receive(now)`."""
        return self._frames.space()

    def filled(self, count: int) -> None:
        """Take in that `count` bytes were received into `space()`."""
        self._frames.filled(count)
        self.wire_received += count

    @property
    def id(self) -> str:
        """Names the session in logs, the same at both ends; it is in no way secret."""
        return self.binding[:8].hex()

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take in a copy of `data` and return what happened."""
        self._frames.feed(data)
        self.wire_received += len(data)
        return self.receive(now)

    def receive(self, now: float) -> list[Event]:
        """Handle every whole frame that has been received; return what happened, in order.

        What the peer did wrong comes as the last event, `Ended(error)`.
        """
        events: list[Event] = []
        try:
            while self.state not in (State.CLOSED, State.FAILED):
                token = self._frames.next_token()
                if token is None:
                    break
                record = self._reader.read(token)
                self._heard = now
                self._handle(record, now, events)
        except NetstructerError as error:
            events.extend(self.fail(error))
        return events

    def end(self, now: float) -> list[Event]:
        """Take in that the transport has ended; without both farewells that is a cut."""
        if self.state in (State.CLOSED, State.FAILED):
            return []
        nothing_owed = self.state in (State.LEFT, State.PARTING) and not self._lanes and self._only_farewell_unheard()
        if nothing_owed:
            self.state = State.CLOSED
            return [Ended(error=None)]
        return self.fail(ConnectionCut("the transport ended without a farewell"))

    def fail(self, error: NetstructerError) -> list[Event]:
        """End the session with `error`.  A peer that broke the protocol is told so, unless its seal was what was broken."""
        if self.error is not None or self.state is State.CLOSED:
            return []
        was_open = self._is_open()
        self.error = error
        self.state = advance(self.state, Cause.FAULT)
        self._lanes.clear(error)
        self._control.clear()
        if was_open and isinstance(error, PeerFault) and not isinstance(error, BadSeal):
            code = AlertCode.COMPRESSION if isinstance(error, BadCompression) else AlertCode.PROTOCOL
            self._control.append((Kind.ALERT, 0, CODE.pack(code) + _clipped(type(error).__name__)))
        elif was_open and isinstance(error, Stalled):
            self._control.append((Kind.ALERT, 0, CODE.pack(AlertCode.STALLED)))
        return [Ended(error=error)]

    def ack_due(self, now: float) -> bool:
        """Say whether an acknowledgement waits to be sent."""
        return self._inbound.ack_due(now)

    def take(self, message: Message) -> None:
        """Take in that the application has taken a message: the peer may send that much more."""
        self._inbound.take(message.total_charge(), message.last_number)
        if message.root.flags & Flag.TAKEN:
            self._inbound.hurry()

    def read(self, message: Message) -> object:
        """Return the value of a message: its bytes expanded, then decoded, within this end's limits.

        Raises `BadValue`, which is this message's affair alone, or `BadCompression`, after which `fail` is to be called.
        """
        blobs = [Blob(b"".join(_plain(message.blobs[index]))) for index in range(message.blob_count)]
        single = message.codec == compression.NONE and len(message.chunks) == 1
        source: Buffer | Iterable[Buffer] = next(iter(message.chunks)) if single else _plain(message)
        return values.decode(source, limits=self.limits, types=self.types, blobs=blobs)

    def _handle(self, record: Record, now: float, events: list[Event]) -> None:
        kind, flags, stream, body = record
        moves = MOVES[self.state]
        if kind not in moves:
            raise IllegalFrame(f"a record of the kind {kind} is not legal in the state {self.state.value!r}")
        if kind == Kind.DATA:
            self._on_data(flags, stream, body, now, events)
            return
        if flags or (stream and kind != Kind.CANCEL):
            raise IllegalFrame(f"a record of the kind {kind} with flags or a stream")
        _HANDLERS[Kind(kind)](self, stream, body, now, events)
        if self.state not in (State.CLOSED, State.FAILED):
            self.state = moves[Kind(kind)]
            self._settle(events)

    def _on_data(self, flags: int, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        if len(body) < lanes.NUMBER.size:
            raise IllegalFrame("a reliable record without its delivery number")
        (number,) = lanes.NUMBER.unpack_from(body)
        if not self._inbound.admit(number, charge_of(len(body), flags & Flag.FIRST), now):
            return
        message = self._assembly.data(flags, stream, number, body[lanes.NUMBER.size :])
        if flags & Flag.ACKNOWLEDGE:
            self._inbound.hurry()
        if self._assembly.refusal is not None:
            root, code = self._assembly.refusal
            self._queue_cancel(root.stream, root.number, code)
        if message is not None:
            self._deliver(message, events)

    def _deliver(self, message: Message, events: list[Event]) -> None:
        self._inbound.whole(message.total_charge())
        self.messages_received += 1
        self.plain_received += message.plain_bytes + sum(blob.plain_bytes for blob in message.blobs.values())
        if self._farewell is not None:
            self.take(message)
            return
        events.append(MessageArrived(message=message))

    def _on_batch(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        number, items = _batch_items(body)
        if not self._inbound.admit(number, charge_of(len(body), len(items)), now):
            return
        for position, item in enumerate(items, 1):
            if len(item) > self.limits.value_bytes:
                raise IllegalFrame("a value in a batch is over this end's limit")
            message = Message(number, 0, compression.NONE, len(item))
            message.chunks.add(item)
            message.charge += len(item)
            message.last_number = number if position == len(items) else number - 1
            self._deliver(message, events)

    def _on_cancel(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        if len(body) != CANCEL.size or not stream:
            raise IllegalFrame("a cancel of the wrong length, or of no stream")
        delivery_number, number, code = CANCEL.unpack(body)
        if not self._inbound.admit(delivery_number, 0, now):
            return
        if stream & 1 == (self.role is Role.SERVER):
            self._assembly.cancelled(stream, number)
            return
        root = self._lanes.find(number)
        if root is not None:
            self._cancel_own(root, _cancelled_by_peer(code))

    def _on_farewell(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        if len(body) < FAREWELL.size:
            raise IllegalFrame("a farewell of the wrong length")
        number, code = FAREWELL.unpack_from(body)
        text = _text(body[FAREWELL.size :])
        if len(self._assembly):
            raise IllegalFrame("a farewell in the middle of a message")
        if self._inbound.admit(number, 0, now):
            self._inbound.hurry()
            events.append(PeerLeft(code=code, text=text))
            self.say_farewell()

    def _on_ack(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        if len(body) != ACK.size:
            raise IllegalFrame("an acknowledgement of the wrong length")
        self._outbound.acknowledge(*ACK.unpack(body))

    def _on_ping(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._expect_length(body, PING_BYTES)
        gained = (now - self._ping_counted) * PINGS_PER_SECOND
        self._ping_allowance = min(PINGS_PER_SECOND, self._ping_allowance + gained) - 1
        self._ping_counted = now
        if self._ping_allowance < 0:
            raise IllegalFrame(f"more than {PINGS_PER_SECOND:.0f} pings a second")
        self._control.append((Kind.PONG, 0, bytes(body)))

    def _on_pong(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._expect_length(body, PING_BYTES)
        if self._ping is None or body != self._ping[0]:
            raise IllegalFrame("a pong to no ping")
        self.rtt_seconds = now - self._ping[1]
        self.pongs += 1
        self._ping = None

    def _on_rekey(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._expect_length(body, 0)
        self._reader.rekey(now)

    def _on_alert(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        if len(body) < CODE.size:
            raise IllegalFrame("an alert of the wrong length")
        (code,) = CODE.unpack_from(body)
        text = _text(body[CODE.size :])
        if code == AlertCode.STALLED:
            raise Stalled("the peer heard nothing from this end for too long")
        raise LinkLost(f"the peer gave the link up, alert {code} {text!r}")

    def _on_open(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._expect_length(body, OPEN.size)
        mode, self._session_id, _secret, expected, following, limit, instance = OPEN.unpack(body)
        if mode not in (NEW, RESUME) or bytes(body[1:4]) != bytes(3):
            raise IllegalFrame("an open in an unknown mode")
        if mode == RESUME:
            # No session outlives its transport here, so there is none that could be taken up again.
            self._control.append((Kind.ACCEPT, 0, self._accept(STATUS_UNKNOWN)))
            self._farewell = (0, "")
            raise SessionLost("the peer asks for a session that is not here")
        if expected != 1 or following != 1 or instance != bytes(16):
            raise IllegalFrame("a new session must begin at its beginning")
        self._outbound.acknowledge(1, limit, 0)
        self._frames.limit_bytes = self._token_limit()
        self._control.append((Kind.ACCEPT, 0, self._accept(STATUS_NEW)))
        events.append(Opened())

    def _on_accept(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._expect_length(body, ACCEPT.size)
        status, session_id, instance, expected, following, limit, _seconds = ACCEPT.unpack(body)
        if status == STATUS_UNKNOWN:
            raise SessionLost("the server does not know this session")
        if status == STATUS_BUSY:
            raise Busy("the server takes no more links now")
        if status != STATUS_NEW or bytes(body[1:4]) != bytes(3):
            raise IllegalFrame("an accept with an unknown status")
        if (session_id, instance, expected, following) != (self._session_id, self._instance, 1, 1):
            raise IllegalFrame("an accept of another session")
        self._outbound.acknowledge(1, limit, 0)
        events.append(Opened())

    def _accept(self, status: int) -> bytes:
        return ACCEPT.pack(status, self._session_id, self._instance, 1, 1, self._inbound.limit, 0)

    def _settle(self, events: list[Event]) -> None:
        """Close where both farewells are said and heard."""
        if self.state is State.PARTING and self._outbound.acknowledged == self._outbound.next_number:
            self.state = advance(self.state, Cause.SETTLED)
            events.append(Ended(error=None))

    def _only_farewell_unheard(self) -> bool:
        said = self.state is State.PARTING
        return self._outbound.next_number - self._outbound.acknowledged <= said

    def _expect_length(self, body: memoryview, length: int) -> None:
        if len(body) != length:
            raise IllegalFrame(f"expected a body of {length} bytes, found {len(body)}")

    def _token_limit(self) -> int:
        return sealed_bytes(HEADER_BYTES + self.limits.body_bytes)

    # --- time -------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when `tick` has something to do, on the monotonic clock; None where nothing is timed."""
        if not self._is_open():
            return None
        due = self._heard + (self.limits.dead_seconds if self._ping else self._ping_after)
        return due if self._inbound.due is None else min(due, self._inbound.due)

    def tick(self, now: float) -> list[Event]:
        """Do what is due: a ping after silence, the end after more of it.  Acknowledgements go with `frames_to_send`."""
        if not self._is_open():
            return []
        silent = now - self._heard
        if silent >= self.limits.dead_seconds:
            return self.fail(Stalled(f"nothing came from the peer for {silent:.1f} seconds"))
        if silent >= self._ping_after and self._ping is None:
            self.ping(now)
        return []

    def ping(self, now: float) -> None:
        """Ask the peer for a sign of life; `rtt_seconds` is what it took.  One at a time: a second is not sent."""
        if self._ping is None and self._is_open():
            self._ping = (self._draw(PING_BYTES), now)
            self._ping_after = self._jittered()
            self._control.append((Kind.PING, 0, self._ping[0]))

    def shrink(self) -> None:
        """Give buffers back: the link has gone idle."""
        self._frames.shrink()

    def _jittered(self) -> float:
        """Return the ping interval, 10 % up or down, so that many links do not ping in step."""
        return self.limits.ping_seconds * (0.9 + self._draw(1)[0] / 255 * 0.2)


def _compressed(pieces: Iterable[Buffer], plain_bytes: int | None, compress: bool) -> tuple[int, Iterable[Buffer]]:
    return compression.compress(pieces, plain_bytes) if compress else (compression.NONE, pieces)


def _plain(message: Message) -> Iterable[Buffer]:
    if message.codec == compression.NONE:
        return message.chunks
    return compression.expand(message.chunks, plain_bytes=message.plain_bytes, stated=message.stated)


def _first_header(message: Outgoing) -> bytes:
    declared = lanes.UNKNOWN if message.plain_bytes is None else message.plain_bytes
    if message.parent is None:
        return lanes.FIRST.pack(lanes.VALUE, message.codec, len(message.blobs), 0, declared)
    header = lanes.FIRST.pack(lanes.BLOB, message.codec, message.index, 0, declared)
    return header + lanes.PARENT.pack(message.parent.number)


def _batch_items(body: memoryview) -> tuple[int, list[memoryview]]:
    if len(body) < lanes.NUMBER.size:
        raise IllegalFrame("a reliable record without its delivery number")
    (number,) = lanes.NUMBER.unpack_from(body)
    items = []
    start, end = lanes.NUMBER.size, len(body)
    while start < end:
        length = int.from_bytes(body[start : start + 4], "big")
        if start + 4 + length > end or length == 0:
            raise IllegalFrame("a batch whose lengths do not add up")
        items.append(body[start + 4 : start + 4 + length])
        start += 4 + length
    if not items:
        raise IllegalFrame("an empty batch")
    return number, items


def _cancelled_by_peer(code: int) -> NetstructerError:
    if code == CancelCode.TOO_BIG:
        return MessageTooBig("the peer takes no message of this size")
    if code == CancelCode.NO_ROOM:
        return SpoolFull("the peer has no room for this message")
    return MessageCancelled("the peer gave this message up", code=code)


def _clipped(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore").encode()


def _text(body: memoryview) -> str:
    if len(body) > TEXT_BYTES:
        raise IllegalFrame(f"a text of more than {TEXT_BYTES} bytes")
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError:
        raise IllegalFrame("a text that is not UTF-8") from None


_HANDLERS: dict[Kind, Callable[[Session, int, memoryview, float, list[Event]], None]] = {
    Kind.OPEN: Session._on_open,
    Kind.ACCEPT: Session._on_accept,
    Kind.REKEY: Session._on_rekey,
    Kind.PING: Session._on_ping,
    Kind.PONG: Session._on_pong,
    Kind.ACK: Session._on_ack,
    Kind.ALERT: Session._on_alert,
    Kind.CANCEL: Session._on_cancel,
    Kind.FAREWELL: Session._on_farewell,
    Kind.BATCH: Session._on_batch,
}
