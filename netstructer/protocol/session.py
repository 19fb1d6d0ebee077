"""The session: where the steps of the street meet.  Floor: PROTOCOL.  Law: no socket, no thread, no clock, no chance.

Spec: protocol.md, "Session".  A session begins when the handshake has given both ends their secrets.  Bytes come in by
`frames` and `receive()`, which returns events; frames go out by `frames_to_send()`.  Time is an argument.  What each
kind of record does is said in reactions.py.

    out   payloads.encode, payloads.compose     encode, compress      (any thread, no lock)
          queue, frames_to_send                 cut, seal, pack       (outflow.py)
    in    receive                               unpack, open, join    (inflow.py)
          payloads.read                         expand, decode        (any thread, no lock)

`payloads` apart, a session has a single owner at a time: the façade holds a lock around every call.

A session outlives its transports where both ends agreed on that.  When one breaks (`Suspended`), the client begins on
another (`rejoin`), and the server's fresh session there, which hears that it is claimed (`ResumeAsked`), hands the
transport over to the one that is meant (`adopt`); then both go on where they were (`Resumed`).

A fault of the peer ends the session and is kept: whoever asks afterwards gets the same error.  A message that fails
alone (`BadValue`, a message over a limit) leaves the session alive.
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.codec.frames import FrameReader
from netstructer.codec.spool import SpoolRoom
from netstructer.codec.types import REGISTRY, Types
from netstructer.errors import (
    IllegalFrame,
    LinkClosed,
    MessageCancelled,
    NetstructerError,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies, clockwork, endings, notices, resumption
from netstructer.protocol.arrivals import Arrivals
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.events import Ended, Event, arrived
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.liveness import Liveness
from netstructer.protocol.opening import Opening
from netstructer.protocol.outflow import Outflow
from netstructer.protocol.outgoing import Batch, Outgoing, Single
from netstructer.protocol.parameters import COMPRESSION, RESUME
from netstructer.protocol.payloads import Payloads
from netstructer.protocol.reactions import REACTIONS
from netstructer.protocol.records import Record
from netstructer.protocol.states import (
    DEAF_STATES,
    ENDED_STATES,
    MOVES,
    OPEN_STATES,
    CancelCode,
    Cause,
    Kind,
    Role,
    State,
    advance,
)
from netstructer.protocol.traffic import Traffic

__all__ = ["Session"]

Buffer = bytes | bytearray | memoryview

_DATA = int(Kind.DATA)


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
        self.cipher = agreement.cipher
        """What seals its records, on all its transports."""
        self.state = State.EXPECT_ACCEPT if role is Role.CLIENT else State.EXPECT_OPEN
        self.error: NetstructerError | None = None
        """What ended it; kept for ever."""
        self.full = full
        self.resumable = bool(agreement.features & RESUME)
        """Whether it may go on on another transport, once it was open."""
        self.owner = agreement.user
        """Whose session it is: nobody else may take it up; None for whoever has a key that is no user's."""
        self.claim: bodies.Open | None = None
        """At a server: what a client said that wants another session than this."""
        self.left_by_peer = False
        """Whether the peer has said farewell."""
        self.since: float | None = None
        """When the transport was lost, until there is another."""
        self.resumes = 0
        """How often it was taken up again."""
        self.notices: dict[Kind, bytes] = {}
        """What a server has said of its own accord, and says again on each transport."""
        self.bad_seals: list[float] = []
        """When a seal did not verify."""
        self.opening = Opening(instance if role is Role.SERVER else agreement.peer.instance)
        room = SpoolRoom(limits)
        self.liveness = Liveness(limits, draw, now)
        """Pings: how many were answered, and how long the last one took."""
        self.outflow = Outflow(
            role,
            agreement.send_secret,
            limits=limits,
            peer_limits=self.peer_limits,
            padding=padding,
            wall=wall,
            now=now,
            room=room,
            resend=self.resumable,
            cipher=self.cipher,
        )
        self.arrivals = Arrivals(limits, room, grant=self.outflow.say_grant, cancel=self.outflow.cancel)
        """The blobs that are on their way in: what the façade says of them goes there."""
        self.inflow = Inflow(
            role,
            agreement.receive_secret,
            limits=limits,
            arrivals=self.arrivals,
            now=now,
            compressing=compressing,
            cipher=self.cipher,
        )
        self.traffic = Traffic(self.outflow, self.inflow)
        """What was moved so far."""
        self.fits = self.outflow.fits
        """`fits(batch, encoded)` says whether a value may go into a batch."""
        self.chunk_bytes = self.outflow.chunk_bytes
        """The longest chunk that one record takes."""
        self.feed = self.outflow.feed
        """`feed(blob, chunks, ended)` takes in what a blob's sender has pulled from its source."""
        self.take = self.inflow.take
        """`take(message)` takes in that the application has taken a message: the peer may send that much more."""
        self.forget = self.inflow.forget
        """`forget(message)` takes in that nobody will read the blobs of a message that was taken."""
        self.arrival = self.inflow.assembly.arrival
        """`arrival(message, place)` returns a blob of a message that was taken, begun or not."""
        if role is Role.CLIENT:
            self.outflow.control(Kind.OPEN, self.opening.ask(draw, self.inflow.inbound.limit))

    @property
    def id(self) -> str:
        """Names the session in logs, the same at both ends, on all its transports; it is in no way secret."""
        return self.binding[:8].hex()

    @property
    def session_id(self) -> bytes:
        """The 16 bytes by which a client asks for it."""
        return self.opening.session_id

    # --- out: a value to frames -------------------------------------------------------------------------------------

    def queue(self, outgoing: Outgoing | Batch) -> None:
        """Queue a message.  Raises what ended the session, or `LinkClosed` once a farewell is under way."""
        self.check_open()
        outgoing.ids = self._next_ids(outgoing.count)
        self.outflow.lanes.add(outgoing)
        self.traffic.sent(outgoing.count, outgoing.plain_bytes)

    def _next_ids(self, count: int) -> range:
        """Return the numbers of the next messages among all that this end sends, from 1."""
        first = self.traffic.messages_sent + 1
        return range(first, first + count)

    def seal_now(self, single: Single, flags: int, now: float, conversation: int = 0) -> tuple[Buffer, int] | None:
        """Seal a small value at once, and return its frame and delivery number; None where it has to be queued.

        It has to where others wait, where the credit does not reach, and where padding is on.  Raises what `queue`
        does.
        """
        if self.state is not State.READY or self.outflow.farewell is not None:
            self.check_open()
            return None
        sealed = self.outflow.seal_now(single, flags, self.traffic.messages_sent + 1, now, conversation)
        if sealed is not None:
            self.traffic.sent(1, single.plain_bytes)
        return sealed

    def has_output(self, now: float) -> bool:
        """Say whether `frames_to_send` may have something."""
        outflow, inbound = self.outflow, self.inflow.inbound
        if not outflow.aboard:
            return outflow.waiting
        due = inbound.due
        return inbound.urgent or (due is not None and now >= due) or outflow.waiting

    def check_open(self) -> None:
        """Raise what ended the session, or `LinkClosed` where this end can send no more."""
        if self.error is not None:
            raise self.error.again()
        if self.outflow.farewell is not None or self.state in ENDED_STATES:
            raise LinkClosed("the conversation is over")

    @property
    def backlog_full(self) -> bool:
        """Whether there is no transport, and no room to keep more until there is one."""
        return self.suspended and bool(self.outflow.lanes.turns)

    def acknowledged(self, number: int) -> bool:
        """Say whether the peer has the record with that delivery number."""
        return self.outflow.outbound.acknowledged > number

    def taken(self, number: int) -> bool:
        """Say whether the peer's application has taken the message that ended with that delivery number."""
        return self.outflow.outbound.taken >= number

    def abandon(self, outgoing: Outgoing | Batch, error: BaseException | None = None) -> None:
        """Give up what is left of a message of this end; nothing, where all of it is sealed.

        `error` is what a source of its blobs raised, and what its reader is told of.
        """
        if isinstance(outgoing, Batch):
            self.outflow.lanes.withdraw(outgoing)
        elif not outgoing.done:
            given_up = MessageCancelled("given up by its sender", code=CancelCode.ABANDONED)
            self.outflow.give_up(outgoing, error or given_up)

    def say_farewell(self, code: int = 0, text: str = "") -> None:
        """End the conversation, after what is queued.  May be said again, without effect."""
        if self.outflow.farewell is None and self.error is None:
            self.outflow.farewell = (code, text)
            self.arrivals.end(LinkClosed("the link was closed before the blob had come"), CancelCode.CLOSED)

    def frames_to_send(self, room_bytes: int, now: float) -> list[Buffer]:
        """Seal what is due, until about `room_bytes` are there; return the buffers to write, in order.

        While there is no transport that is nothing: what waits takes its place in the order, as far as the backlog
        goes.  Raises `SourceFailed` where the disk does not give back what was kept: then fail the session.
        """
        state, inbound, parted = self.state, self.inflow.inbound, self.outflow.parted
        suspended, kept = self.suspended, state in OPEN_STATES
        ack = inbound if inbound.ack_due(now) and (kept or state is State.CLOSED) else None
        messages = state is State.READY or state is State.LEFT or suspended
        out = self.outflow.seal(room_bytes, now, ack=ack, kept=kept, messages=messages)
        if self.outflow.parted and not parted and not suspended:
            self.state = advance(state, Cause.SAY_FAREWELL)
        return out

    # --- in: frames to a value --------------------------------------------------------------------------------------

    @property
    def frames(self) -> FrameReader:
        """Takes in what is received: `space()`, then `filled(count)`; then ask `receive(now)`.  Another one for each
        transport.
        """
        return self.inflow.frames

    def receive_data(self, data: Buffer, now: float) -> list[Event]:
        """Take in a copy of `data` and return what happened."""
        self.inflow.frames.feed(data)
        return self.receive(now)

    def receive(self, now: float) -> list[Event]:
        """Handle every whole frame that has been received; return what happened, in order.

        What the peer did wrong comes as the last event, `Ended(error)`, or `Suspended(error)`.
        """
        events: list[Event] = []
        inflow, liveness = self.inflow, self.liveness
        try:
            while self.state not in DEAF_STATES:
                record = inflow.next_record()
                if record is None:
                    break
                liveness.heard = now
                self._handle(record, now, events)
                if not inflow.frames.more:
                    break
        except NetstructerError as error:
            # It is kept for ever, and with its traceback this frame would be: with what has just come, and who called.
            error.__context__ = None
            events.extend(self.suffer(error.with_traceback(None), now))
        return events

    @property
    def receiving(self) -> bool:
        """Whether a message of the peer is half here."""
        return len(self.inflow.assembly) > 0

    def _handle(self, record: Record, now: float, events: list[Event]) -> None:
        kind, flags, stream, body = record
        before = self.state
        state = MOVES[before].get(kind)  # type: ignore[call-overload]  # a byte of the wire may be no Kind
        if state is None:
            raise IllegalFrame(f"a record of the kind {kind} is not legal in the state {before.value!r}")
        if kind == _DATA:
            whole = self.inflow.single(flags, stream, body, now)
            if whole is None:
                self._on_data(flags, stream, body, now, events)
            else:
                self.deliver(whole, events)
            return
        if flags or (stream and kind != Kind.CANCEL):
            raise IllegalFrame(f"a record of the kind {kind} with flags or a stream")
        REACTIONS[kind](self, stream, body, now, events)
        if self.state is before:
            self.state = state
        self._settle(events)

    def _on_data(self, flags: int, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
        message, refusal = self.inflow.data(flags, stream, body, now)
        if refusal is not None and self.state is State.READY:
            # After this end's farewell nothing reliable may follow; what comes is dropped anyway.
            root, code = refusal
            self.outflow.cancel(root.stream, root.number, code)
        if message is not None:
            self.deliver(message, events)

    def deliver(self, message: Message | Whole, events: list[Event]) -> None:
        """Take in that a message is whole."""
        self.traffic.received(message.plain_bytes)
        if self.outflow.farewell is None:
            events.append(arrived((message,)))
        else:
            self.inflow.drop(message)

    def _settle(self, events: list[Event]) -> None:
        """Close where both farewells are said and heard."""
        outbound = self.outflow.outbound
        if self.state is State.PARTING and outbound.acknowledged == outbound.next_number:
            self.state = advance(self.state, Cause.SETTLED)
            events.append(Ended(error=None))

    # --- the end, of a transport or of all ---------------------------------------------------------------------------

    end = endings.end
    suffer = endings.suffer
    fail = endings.fail
    abort = endings.abort

    @property
    def carried(self) -> int:
        """Numbered records that have come, and that the peer is known to have: it grows while transports are good."""
        return self.inflow.inbound.next_number + self.outflow.kept.first

    # --- from one transport to the next -------------------------------------------------------------------------------

    @property
    def suspended(self) -> bool:
        """Whether there is no transport on which the peer has been heard."""
        return self.since is not None and self.state not in ENDED_STATES

    rejoin = resumption.rejoin
    adopt = resumption.adopt
    decline = resumption.decline

    drain = notices.drain
    give_key = notices.give_key

    # --- time and facts ---------------------------------------------------------------------------------------------

    deadline = clockwork.deadline
    tick = clockwork.tick
    ping = clockwork.ping
