"""The session: where the steps of the street meet.  Floor: PROTOCOL.  Law: no socket, no thread, no clock, no chance.

Spec: protocol.md, "Session".  A session begins when the handshake has given both ends their secrets.  Bytes come in by
`frames` and `receive()`, which returns events; frames go out by `frames_to_send()`.  Time is an argument.

    out   payloads.encode, payloads.compose     encode, compress      (any thread, no lock)
          queue, frames_to_send                 cut, seal, pack       (outflow.py)
    in    receive                               unpack, open, join    (inflow.py)
          payloads.read                         expand, decode        (any thread, no lock)

`payloads` apart, a session has a single owner at a time: the façade holds a lock around every call.

A fault ends the session and is kept: whoever asks afterwards gets the same error.  A message that fails alone
(`BadValue`, a message over a limit) leaves the session alive.
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.codec.frames import FrameReader
from netstructer.codec.types import REGISTRY, Types
from netstructer.errors import (
    BadCompression,
    BadSeal,
    ConnectionCut,
    IllegalFrame,
    LinkClosed,
    LinkLost,
    MessageCancelled,
    NetstructerError,
    PeerFault,
    Stalled,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrivals
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, Event, MessageArrived, Opened, PeerLeft
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.liveness import Liveness
from netstructer.protocol.opening import Opening
from netstructer.protocol.outflow import Outflow
from netstructer.protocol.outgoing import Batch, Outgoing, Single
from netstructer.protocol.parameters import COMPRESSION
from netstructer.protocol.payloads import Payloads
from netstructer.protocol.records import Record
from netstructer.protocol.states import MOVES, AlertCode, CancelCode, Cause, Kind, Role, State, advance
from netstructer.protocol.traffic import Traffic

__all__ = ["Session"]

Buffer = bytes | bytearray | memoryview
_OPEN_STATES = frozenset({State.READY, State.LEAVING, State.LEFT, State.PARTING})
_ENDED_STATES = frozenset({State.CLOSED, State.FAILED})


class Session:
    """One end of a conversation, as a pure machine.

    `wall` gives seconds since 1970 for the clear clock of the tokens (0 to hide it); `draw(n)` gives n random bytes;
    `full()` says, when a client has proved its key, that there is no room for it (by default there is); `clock` is
    monotonic and watches the sources of blobs (without it no source is slow).
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
        full: Callable[[], bool] = bool,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.role = role
        self.limits = limits
        self.peer_limits = agreement.peer.limits()
        compressing = bool(agreement.features & COMPRESSION)
        self.payloads = Payloads(
            limits=limits, peer_limits=self.peer_limits, types=types, compressing=compressing, clock=clock
        )
        """Makes messages of values, and values of messages."""
        self.binding = agreement.binding
        self.state = State.EXPECT_ACCEPT if role is Role.CLIENT else State.EXPECT_OPEN
        self.error: NetstructerError | None = None
        """What ended it; kept for ever."""
        self._full = full
        self._opening = Opening(instance if role is Role.SERVER else agreement.peer.instance)
        self.liveness = Liveness(limits, draw, now)
        """Pings: how many were answered, and how long the last one took."""
        self._outflow = Outflow(
            role,
            agreement.send_secret,
            limits=limits,
            peer_limits=self.peer_limits,
            padding=padding,
            wall=wall,
            now=now,
        )
        self.arrivals = Arrivals(limits, grant=self._outflow.say_grant, cancel=self._outflow.cancel)
        """The blobs that are on their way in: what the façade says of them goes there."""
        self._inflow = Inflow(
            role, agreement.receive_secret, limits=limits, arrivals=self.arrivals, now=now, compressing=compressing
        )
        self.traffic = Traffic(self._outflow, self._inflow)
        """What was moved so far."""
        self.fits = self._outflow.fits
        """`fits(batch, encoded)` says whether a value may go into a batch."""
        self.chunk_bytes = self._outflow.chunk_bytes
        """The longest chunk that one record takes."""
        self.feed = self._outflow.feed
        """`feed(blob, chunks, ended)` takes in what a blob's sender has pulled from its source."""
        self.take = self._inflow.take
        """`take(message)` takes in that the application has taken a message: the peer may send that much more."""
        self.forget = self._inflow.forget
        """`forget(message)` takes in that nobody will read the blobs of a message that was taken."""
        self.arrival = self._inflow.assembly.arrival
        """`arrival(message, place)` returns a blob of a message that was taken, begun or not."""
        if role is Role.CLIENT:
            self._outflow.control(Kind.OPEN, self._opening.ask(draw, self._inflow.inbound.limit))

    @property
    def id(self) -> str:
        """Names the session in logs, the same at both ends; it is in no way secret."""
        return self.binding[:8].hex()

    # --- out: a value to frames -------------------------------------------------------------------------------------

    def queue(self, outgoing: Outgoing | Batch) -> None:
        """Queue a message.  Raises what ended the session, or `LinkClosed` once a farewell is under way."""
        self.check_open()
        self._outflow.lanes.add(outgoing)
        self.traffic.sent(outgoing.count, outgoing.plain_bytes)

    def seal_now(self, single: Single, flags: int, now: float) -> tuple[Buffer, int] | None:
        """Seal a small value at once, and return its frame and delivery number; None where it has to be queued.

        It has to where others wait, where the credit does not reach, and where padding is on.  Raises what `queue`
        does.
        """
        if self.state is not State.READY or self._outflow.farewell is not None:
            self.check_open()
            return None
        sealed = self._outflow.seal_now(single, flags, now)
        if sealed is not None:
            self.traffic.sent(1, single.plain_bytes)
        return sealed

    def has_output(self, now: float) -> bool:
        """Say whether `frames_to_send` may have something."""
        inbound = self._inflow.inbound
        return inbound.urgent or self._outflow.waiting or inbound.ack_due(now)

    def check_open(self) -> None:
        """Raise what ended the session, or `LinkClosed` where this end can send no more."""
        if self.error is not None:
            raise self.error.again()
        if self._outflow.farewell is not None or self.state in _ENDED_STATES:
            raise LinkClosed("the conversation is over")

    def acknowledged(self, number: int) -> bool:
        """Say whether the peer has the record with that delivery number."""
        return self._outflow.outbound.acknowledged > number

    def taken(self, number: int) -> bool:
        """Say whether the peer's application has taken the message that ended with that delivery number."""
        return self._outflow.outbound.taken >= number

    def abandon(self, outgoing: Outgoing | Batch, error: BaseException | None = None) -> None:
        """Give up what is left of a message of this end; nothing, where all of it is sealed.

        `error` is what a source of its blobs raised, and what its reader is told of.
        """
        if isinstance(outgoing, Batch):
            self._outflow.lanes.withdraw(outgoing)
        elif not outgoing.done:
            given_up = MessageCancelled("given up by its sender", code=CancelCode.ABANDONED)
            self._outflow.give_up(outgoing, error or given_up)

    def say_farewell(self, code: int = 0, text: str = "") -> None:
        """End the conversation, after what is queued.  May be said again, without effect."""
        if self._outflow.farewell is None and self.error is None:
            self._outflow.farewell = (code, text)
            self.arrivals.end(LinkClosed("the link was closed before the blob had come"), CancelCode.CLOSED)

    def frames_to_send(self, room_bytes: int, now: float) -> list[Buffer]:
        """Seal what is due, until about `room_bytes` are there; return the buffers to write, in order."""
        if self._inflow.inbound.ack_due(now) and (self.state in _OPEN_STATES or self.state is State.CLOSED):
            self._outflow.control(Kind.ACK, self._inflow.inbound.ack())
        out, farewell = self._outflow.seal(room_bytes, now, messages=self.state in (State.READY, State.LEFT))
        if farewell:
            self.state = advance(self.state, Cause.SAY_FAREWELL)
        return out

    # --- in: frames to a value --------------------------------------------------------------------------------------

    @property
    def frames(self) -> FrameReader:
        """Takes in what is received: `space()`, then `filled(count)`; then ask `receive(now)`."""
        return self._inflow.frames

    def receive_data(self, data: Buffer, now: float) -> list[Event]:
        """Take in a copy of `data` and return what happened."""
        self._inflow.frames.feed(data)
        return self.receive(now)

    def receive(self, now: float) -> list[Event]:
        """Handle every whole frame that has been received; return what happened, in order.

        What the peer did wrong comes as the last event, `Ended(error)`.
        """
        events: list[Event] = []
        next_record = self._inflow.next_record
        try:
            while self.state not in _ENDED_STATES:
                record = next_record()
                if record is None:
                    break
                self.liveness.heard = now
                self._handle(record, now, events)
        except NetstructerError as error:
            events.extend(self.fail(error))
        return events

    def end(self, now: float) -> list[Event]:
        """Take in that the transport has ended; that is a cut, unless all that was owed had been said."""
        if self.state in _ENDED_STATES:
            return []
        outbound = self._outflow.outbound
        unheard = outbound.next_number - outbound.acknowledged - (self.state is State.PARTING)
        if Cause.SETTLED in MOVES[self.state] and not self._outflow.lanes and not unheard:
            self.state = advance(self.state, Cause.SETTLED)
            return [Ended(error=None)]
        return self._fail(ConnectionCut("the transport ended without a farewell"), Cause.END)

    def fail(self, error: NetstructerError) -> list[Event]:
        """End the session with `error`.  A peer that broke the protocol is told so, unless its seal was what was
        broken.
        """
        if self.state in _ENDED_STATES:
            return []
        was_open = self.state in _OPEN_STATES
        events = self._fail(error, Cause.FAULT)
        if was_open and isinstance(error, (PeerFault, Stalled)) and not isinstance(error, BadSeal):
            code = _ALERT_CODES.get(type(error), AlertCode.PROTOCOL)
            self._outflow.control(Kind.ALERT, bodies.Alert(code, type(error).__name__).pack())
        return events

    def _fail(self, error: NetstructerError, cause: Cause | Kind) -> list[Event]:
        self.error = error
        self.state = advance(self.state, cause)
        self._outflow.end(error)
        self._inflow.end(error)
        return [Ended(error=error)]

    def _handle(self, record: Record, now: float, events: list[Event]) -> None:
        kind, flags, stream, body = record
        state = MOVES[self.state].get(kind)  # type: ignore[call-overload]  # a byte of the wire may be no Kind
        if state is None:
            raise IllegalFrame(f"a record of the kind {kind} is not legal in the state {self.state.value!r}")
        if kind == Kind.DATA:
            self._on_data(flags, stream, body, now, events)
            return
        if flags or (stream and kind != Kind.CANCEL):
            raise IllegalFrame(f"a record of the kind {kind} with flags or a stream")
        _HANDLERS[kind](self, stream, body, now, events)
        if self.state not in _ENDED_STATES:
            self.state = state
            self._settle(events)

    def _on_data(self, flags: int, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        message, refusal = self._inflow.data(flags, stream, body, now)
        if refusal is not None and self.state is State.READY:
            # After this end's farewell nothing reliable may follow; what comes is dropped anyway.
            root, code = refusal
            self._outflow.cancel(root.stream, root.number, code)
        if message is not None:
            self._deliver(message, events)

    def _on_batch(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        for message in self._inflow.batch(body, now):
            self._deliver(message, events)

    def _deliver(self, message: Message | Whole, events: list[Event]) -> None:
        self.traffic.received(message.total_plain_bytes())
        if self._outflow.farewell is None:
            events.append(MessageArrived(message=message))
        else:
            self._inflow.drop(message)

    def _on_cancel(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        cancel = bodies.Cancel.unpack(body)
        by_sender = stream & 1 == (self.role is Role.SERVER)
        if self._inflow.cancel(cancel, stream, by_sender=by_sender, now=now) and not by_sender:
            self._outflow.cancelled(cancel, stream)

    def _on_farewell(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        farewell = bodies.Farewell.unpack(body)
        self._inflow.farewell(farewell, now)
        self._outflow.give_up_blobs(LinkClosed("the peer closed the link before it had the blobs"))
        events.append(PeerLeft(code=farewell.code, text=farewell.text))
        self.say_farewell()

    def _on_ack(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._outflow.acknowledge(bodies.Ack.unpack(body))

    def _on_grant(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._outflow.grant(bodies.Grant.unpack(body))

    def _on_ping(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._outflow.control(Kind.PONG, self.liveness.pinged(body, now))

    def _on_pong(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self.liveness.ponged(body, now)

    def _on_rekey(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        self._inflow.rekey(body, now)

    def _on_alert(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        alert = bodies.Alert.unpack(body)
        error = LinkLost(f"the peer gave the link up: alert {alert.code} {alert.text!r}")
        if alert.code == AlertCode.STALLED:
            error = Stalled("the peer heard nothing from this end for too long")
        events.extend(self._fail(error, Kind.ALERT))

    def _on_open(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        asked, answer, refusal = self._opening.hear(body, self._inflow.inbound.limit, full=self._full())
        if refusal is not None:
            events.extend(self.fail(refusal))
        else:
            self._outflow.outbound.acknowledge(1, asked.limit, 0)
            self._inflow.opened()
            events.append(Opened())
        self._outflow.control(Kind.ACCEPT, answer)

    def _on_accept(self, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        answer = self._opening.conclude(body)
        self._outflow.outbound.acknowledge(1, answer.limit, 0)
        events.append(Opened())

    def _settle(self, events: list[Event]) -> None:
        """Close where both farewells are said and heard."""
        outbound = self._outflow.outbound
        if self.state is State.PARTING and outbound.acknowledged == outbound.next_number:
            self.state = advance(self.state, Cause.SETTLED)
            events.append(Ended(error=None))

    # --- time and facts ---------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return when `tick` or `frames_to_send` has something to do, on the monotonic clock; None where nothing is
        timed.
        """
        if self.state not in _OPEN_STATES:
            return None
        due, ack_due = self.liveness.due(), self._inflow.inbound.due
        return due if ack_due is None or due < ack_due else ack_due

    def tick(self, now: float) -> list[Event]:
        """Do what is due: a ping after silence, the end after more of it.  Acknowledgements go with
        `frames_to_send`.
        """
        if self.state not in _OPEN_STATES:
            return []
        try:
            body = self.liveness.tick(now)
        except Stalled as error:
            return self.fail(error)
        if body is not None:
            self._outflow.control(Kind.PING, body)
        return []

    def ping(self, now: float) -> None:
        """Ask the peer for a sign of life.  One at a time: a second is not sent."""
        if self.state in _OPEN_STATES and (body := self.liveness.ping(now)) is not None:
            self._outflow.control(Kind.PING, body)


_ALERT_CODES = {BadCompression: AlertCode.COMPRESSION, Stalled: AlertCode.STALLED}

_HANDLERS: dict[int, Callable[[Session, int, memoryview, float, list[Event]], None]] = {
    Kind.OPEN: Session._on_open,
    Kind.ACCEPT: Session._on_accept,
    Kind.REKEY: Session._on_rekey,
    Kind.PING: Session._on_ping,
    Kind.PONG: Session._on_pong,
    Kind.ACK: Session._on_ack,
    Kind.GRANT: Session._on_grant,
    Kind.ALERT: Session._on_alert,
    Kind.CANCEL: Session._on_cancel,
    Kind.FAREWELL: Session._on_farewell,
    Kind.BATCH: Session._on_batch,
}
