"""The outflow: what waits to be sent, sealed in the order in which it goes.  Floor: PROTOCOL.

Law: sealing happens when the transport has room, and not before.  Spec: protocol.md, "Sending".

Control records go first; then what has a delivery number and was not sent on this transport (kept.py); then one record
of each message in turn, as far as the peer's credit goes; a farewell goes when no message is left.  A record's sequence
number and its key are decided at the moment of sealing, and belong to the transport; its delivery number belongs to the
session, and is taken when its turn comes, on a transport that works or, while there is none, up to the backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from netstructer.codec import frames
from netstructer.codec.ciphers import FERNET, Cipher
from netstructer.codec.spool import SpoolRoom
from netstructer.codec.values import Encoded
from netstructer.errors import IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.cancelling import code_of, error_of
from netstructer.protocol.delivery import MESSAGE_CHARGE, Inbound, Outbound, charge_of
from netstructer.protocol.kept import Kept
from netstructer.protocol.lanes import Lanes
from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob, Single, wanted_flags
from netstructer.protocol.records import HEADER_BYTES, MOST_PADDING, RecordWriter, padding_bytes
from netstructer.protocol.rounds import DRAFT_BYTES, Round, Together
from netstructer.protocol.states import CancelCode, Flag, Kind, Role

__all__ = ["Outflow"]

_FIRST, _LAST, _BOTH = int(Flag.FIRST), int(Flag.LAST), int(Flag.FIRST | Flag.LAST)
_DATA = int(Kind.DATA)
_SINGLE_CHARGE = charge_of(bodies.SINGLE_OVERHEAD_BYTES, 1)
"""What a value of one record counts beside its chunk."""
_NO_IDS = range(0)
Buffer = bytes | bytearray | memoryview
BATCH_ITEM_BYTES = 4 << 10
"""Longest encoded value that goes into a batch: above it a record of its own costs less than 4 %."""
_CEREMONY = (Kind.OPEN, Kind.ACCEPT)
"""Records of a fixed length, which come before anything else: never padded, never preceded by a rekey."""


class Outflow:
    """One direction of a session.  Single owner.

    `room` is where records are kept that are too many for memory; `resend` says whether the session may go on on
    another transport.
    """

    __slots__ = ("_awaited", "_cipher", "_control", "_last_cancel", "_limits", "_most_charge", "_padding", "_wall",
                 "_writer", "aboard", "chunk_bytes", "farewell", "kept", "lanes", "outbound", "parted",
                 "plain_blob_bytes", "together", "wire_bytes")  # fmt: skip

    def __init__(
        self,
        role: Role,
        secret: bytes,
        *,
        limits: Limits,
        peer_limits: Limits,
        padding: str | None,
        wall: Callable[[], float],
        now: float,
        room: SpoolRoom,
        resend: bool,
        cipher: Cipher = FERNET,
    ) -> None:
        self._limits, self._cipher = limits, cipher
        self._writer = RecordWriter(secret, limits, now, cipher)
        self.aboard = True
        """Whether there is a transport on which the peer is known to be there."""
        self.kept = Kept(room, limits.backlog_bytes, resend=resend)
        """The numbered records that the peer has not acknowledged."""
        self._padding = padding
        self._wall = wall
        self._control: deque[tuple[Kind, bytes]] = deque()
        self.together: Together | None = None
        """Seals the long records of a round at the same time, where the façade has a way to."""
        self._awaited: dict[int, Outgoing | OutgoingBlob] = {}
        self._last_cancel = 0
        body_bytes = min(peer_limits.body_bytes, peer_limits.credit_bytes // 2)
        if padding is not None:
            # Every record can be filled up to the longest: no longer than what a header can state as padding.
            body_bytes = min(body_bytes, MOST_PADDING)
        self.chunk_bytes = body_bytes - bodies.OVERHEAD_BYTES
        self._most_charge = peer_limits.credit_bytes // 2
        self.lanes = Lanes(role, peer_limits.streams)
        self.outbound = Outbound()
        self.farewell: tuple[int, str] | None = None
        """What to say when nothing is left to send."""
        self.parted = False
        """Whether the farewell is sealed: nothing reliable may follow it."""
        self.wire_bytes = 0
        self.plain_blob_bytes = 0
        """Plain bytes of the blobs that are wholly sealed."""

    def board(self, secret: bytes, now: float, asked: bytes) -> None:
        """Begin on a new transport, with its keys and an OPEN; nothing else is said until `reconcile`."""
        self._writer = RecordWriter(secret, self._limits, now, self._cipher)
        self._control.append((Kind.OPEN, asked))

    def take_over(self, other: Outflow) -> None:
        """Go on on the transport of another session, in the middle of it."""
        self._writer = other._writer
        self.wire_bytes += other.wire_bytes
        self._control.clear()

    def disembark(self) -> None:
        """Take in that there is no transport any more."""
        self.aboard = False
        self._control.clear()

    def control(self, kind: Kind, body: bytes) -> None:
        """Queue a record without a number, which goes before all others; nothing, where there is no transport: what it
        would say is said anew on the next one.
        """
        if self.aboard:
            self._control.append((kind, body))

    def cancel(self, stream: int, message: int, code: int) -> None:
        """Number a CANCEL for the message of that number; nothing, where this end has said farewell."""
        if self.parted:
            return
        self._last_cancel = self.outbound.number(0)
        body = bodies.Cancel(self._last_cancel, message, code).pack()
        self.kept.add(Kind.CANCEL, 0, stream, (body,), self.outbound.sent)

    def say_grant(self, body: bytes) -> None:
        """Queue a GRANT.  There is none after a farewell: with it this end has refused all that still comes."""
        self.control(Kind.GRANT, body)

    def give_up(self, root: Outgoing, error: BaseException, code: int | None = None) -> None:
        """Drop what is left of a message of this end, and tell the peer if it knows of it: with `code`, or the error's.

        The code of a CANCEL is answered, so that who reads the value's other blobs there learns what the matter is.
        """
        known = self.lanes.drop(root)
        root.error = root.error or error
        if known:
            self.cancel(root.stream, root.number, code_of(error) if code is None else code)

    def give_up_blobs(self, error: BaseException) -> None:
        """Drop what is left of every value that has blobs: the peer said farewell, and reads no more."""
        for root in self.lanes.roots():
            if root.blobs:
                self.give_up(root, error)

    def cancelled(self, cancel: bodies.Cancel, stream: int) -> None:
        """Give up the value that the peer does not want, or the blob; of those that are sealed already, one whose
        sender waits for the peer's word.

        A blob that nobody wants there is no fault: its value goes on without it.
        """
        part = self.lanes.find(cancel.message) or self._awaited.pop(cancel.message, None)
        if part is None:
            return
        if part.stream != stream:
            raise IllegalFrame(f"a cancel of a message on stream {stream}, which is on stream {part.stream}")
        if isinstance(part, Outgoing) or cancel.code != CancelCode.ABANDONED:
            self.give_up(part.root, error_of(cancel.code), cancel.code)
        elif not part.sealed:
            self.lanes.skip(part)
            self.cancel(stream, part.number, CancelCode.ABANDONED)

    def grant(self, grant: bodies.Grant) -> None:
        """Take in a GRANT.  Raises `IllegalFrame` for one that takes back, or is for what was never sent."""
        if grant.message >= self.outbound.next_number:
            raise IllegalFrame(f"a grant for a message {grant.message} of {self.outbound.next_number}")
        blob = self.lanes.find(grant.message)
        if isinstance(blob, Outgoing) or (blob is not None and grant.limit < blob.limit):
            raise IllegalFrame("a grant for a value, or one that takes back credit")
        if blob is not None:
            blob.limit = grant.limit
            self.lanes.awaken(blob)

    def feed(self, blob: OutgoingBlob, chunks: list[Buffer], ended: bool) -> None:
        """Take in what a blob's sender has pulled from its source."""
        blob.feed(chunks, ended)
        blob.parent.turn_after(blob)
        self.lanes.awaken(blob)

    def acknowledge(self, ack: bodies.Ack) -> None:
        """Take in an ACK.  A peer that refuses a message says so before it acknowledges the end of it."""
        if self.kept.waiting and ack.expected > self.kept.carried:
            raise IllegalFrame(f"acknowledged {ack.expected}, of {self.kept.carried} that were sent")
        self.outbound.acknowledge(*ack)
        self.kept.trim(ack.expected)
        if self._awaited:
            self._awaited = {number: part for number, part in self._awaited.items() if part.last_number >= ack.expected}

    def reconcile(self, expected: int, limit: int) -> None:
        """Take in where the peer's end of the session stands, on a new transport.

        Nobody who waits for an acknowledgement has it by that: a refusal of what has come may be on its way still.
        """
        self.aboard = True
        self.outbound.raise_limit(limit)
        self.kept.rewind(expected)

    def unacknowledged(self) -> tuple[int, ...]:
        """Return the ids of the messages of which the peer may have nothing, or not all."""
        found = set(self.kept.ids())
        for queued in self.lanes.queued():
            found.update(queued.ids if isinstance(queued, Batch) else queued.root.ids)
        return tuple(sorted(found))

    def end(self, error: BaseException) -> None:
        """Give up everything that waits."""
        self._control.clear()
        self.lanes.clear(error)
        self.kept.close()

    def fits(self, batch: Batch, encoded: Encoded) -> bool:
        """Say whether a value may go into a batch: small, without blobs, and there is room in the record and the
        credit."""
        plain_bytes = encoded.plain_bytes
        body_bytes = batch.body_bytes + 4 + plain_bytes
        return (
            plain_bytes <= BATCH_ITEM_BYTES
            and not encoded.blobs
            and body_bytes <= self.chunk_bytes
            and body_bytes + MESSAGE_CHARGE * (batch.count + 1) <= self._most_charge
        )

    def seal_now(
        self, single: Single, flags: int, message: int, now: float, conversation: int = 0
    ) -> tuple[Buffer, int] | None:
        """Seal a small value at once, this end's message number `message`; return its frame and delivery number, None
        where it has to take its turn."""
        codec, chunk, plain_bytes = single
        kept, lanes, outbound, writer = self.kept, self.lanes, self.outbound, self._writer
        chunk_bytes = len(chunk)
        if self._control or lanes.turns or self._padding is not None or chunk_bytes > self.chunk_bytes:
            return None
        charge = chunk_bytes + _SINGLE_CHARGE
        charged = outbound.sent + charge
        if kept.waiting or kept.held_bytes + charge > kept.most_bytes or charged > outbound.limit:
            return None
        if writer.rekey_due(now):
            return None
        number = outbound.next_number
        outbound.next_number, outbound.sent = number + 1, charged
        body = bodies.single(number, codec, chunk, plain_bytes, conversation)
        flags |= _BOTH
        stream = lanes.spare_stream
        token = writer.write(_DATA, flags, stream, body, seconds=int(self._wall()))
        kept.add_sent(_DATA, flags, stream, body, charged, message)
        frame = frames.joined(token)
        self.wire_bytes += len(frame)
        return frame, number

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be sealed, and may be."""
        if not self.aboard:
            return bool(self._control)
        if self._control or self.lanes.turns or self.kept.waiting:
            return True
        return self.farewell is not None and not self.parted and not self.lanes

    def seal(self, room_bytes: int, now: float, *, ack: Inbound | None, kept: bool, messages: bool) -> list[Buffer]:
        """Seal what is due until about `room_bytes` are there; return the buffers.

        `ack` is what an ACK is due for.  Without `kept` only control records go; without `messages` what has
        its number already, and nothing further. Without a transport nothing is sealed, and messages take their numbers
        as far as the backlog goes.
        """
        out = Round()
        pending, aboard = self.kept, self.aboard
        while room_bytes > 0 or not aboard:
            if self._control:
                kind, body = self._control.popleft()
                room_bytes -= self._seal(out, now, kind, 0, 0, (body,))
                continue
            refusing = self._last_cancel >= pending.next_to_send
            if ack is not None and not (kept and refusing and (pending.repeating or pending.next_kind == Kind.CANCEL)):
                # What a CANCEL refuses may not be acknowledged before; nor what an ACK said that got lost with it.
                body = ack.ack_of_limit(now) if refusing else ack.ack()
                room_bytes -= self._seal(out, now, Kind.ACK, 0, 0, (body,))
                ack = None
                continue
            if kept and aboard and pending.waiting:
                record = pending.next(self.outbound.limit)
                if record is None:
                    break  # It took its number without a transport, and waits for credit.
                room_bytes -= self._seal(out, now, *record)
                pending.sent()
                continue
            if not messages or not self._number_next():
                break
        return out.sealed(self.together)

    def _number_next(self) -> bool:
        """Give one record of a message its number, or the farewell; False where there is none, or it has to wait."""
        message = self.lanes.front()
        if message is not None:
            if self._number(message):
                return True
            # A value that waits for credit does not stop the blobs, which need none of the link's.
            message = self.lanes.front_blob()
            return message is not None and self._number(message)
        if self.farewell is None or self.parted or self.lanes:
            return False
        self.parted = True
        body = bodies.Farewell(self.outbound.number(0), *self.farewell).pack()
        self.kept.add(Kind.FAREWELL, 0, 0, (body,), self.outbound.sent)
        return True

    def _number(self, message: Outgoing | OutgoingBlob | Batch) -> bool:
        """Give one record of a message its number; False where neither credit nor backlog reach."""
        if isinstance(message, Batch):
            return self._number_batch(message)
        try:
            return self._number_chunk(message)
        except BaseException as error:
            # What a user's file or generator raises ends this message, and is raised to its sender, not here.  Nor may
            # Ctrl-C leave half a message that looks whole.
            self.give_up(message.root, error)
            if not isinstance(error, Exception):
                raise
            return True

    def _number_chunk(self, message: Outgoing | OutgoingBlob) -> bool:
        chunk, last = message.peek(self.chunk_bytes)
        first = not message.number
        head = message.header() if first else b""
        tail = bodies.total(message.total_bytes()) if last else b""
        body_bytes = bodies.NUMBER_BYTES + len(head) + len(chunk) + len(tail)
        charge = 0
        if isinstance(message, Outgoing):
            charge = charge_of(body_bytes, 1 + len(message.blobs) if first else 0)
        if not self._may_number(charge, body_bytes):
            return False
        if not last:
            message.step()
        flags = (_BOTH if first else _LAST) | wanted_flags(message) if last else _FIRST if first else 0
        number = self.outbound.number(charge)
        ids = message.root.ids if last else _NO_IDS
        body = (bodies.number(number), head, chunk, tail)
        self.kept.add(Kind.DATA, flags, message.stream, body, self.outbound.sent, ids)
        if first:
            self.lanes.begun(message, number)
        if last:
            message.last_number = message.root.last_number = number
            if isinstance(message, Outgoing):
                message.value_number = number
            else:
                self.plain_blob_bytes += message.total_bytes()
                message.root.blob_bytes += message.total_bytes()
        message.root.wire_bytes += self._frame_bytes(body_bytes, alone=first)
        self.lanes.sealed(last)
        if last and message.root.flags and not (first and message is message.root and message.done):
            self._awaited[message.number] = message
        return True

    def _number_batch(self, batch: Batch) -> bool:
        charge = charge_of(batch.body_bytes, batch.count)
        if not self._may_number(charge, batch.body_bytes):
            return False
        batch.last_number = self.outbound.number(charge)
        self.kept.add(Kind.BATCH, 0, 0, (batch.body(batch.last_number),), self.outbound.sent, batch.ids)
        batch.wire_bytes = self._frame_bytes(batch.body_bytes, alone=True)
        self.lanes.sealed(True)
        return True

    def _may_number(self, charge: int, body_bytes: int) -> bool:
        if not self.outbound.allows(charge) and (self.aboard or self.lanes.blobs_under_way):
            # Without a transport values may go beyond the credit; but no blob may come to stand behind one that waits.
            return False
        return self.kept.has_room(body_bytes)

    def _seal(self, out: Round, now: float, kind: int, flags: int, stream: int, body: tuple[Buffer, ...]) -> int:
        seconds = int(self._wall())
        before, pad_bytes = out.byte_count, 0
        if kind not in _CEREMONY:
            if self._writer.rekey_due(now):
                out.add(self._writer.rekey(seconds=seconds, now=now, pad_bytes=self._pad_bytes(0, alone=True)))
            if self._padding is not None:
                alone = kind != Kind.DATA or bool(flags & _FIRST)
                pad_bytes = self._pad_bytes(sum(map(len, body)), alone=alone)
        if self.together is not None and kind == Kind.DATA and sum(map(len, body)) >= DRAFT_BYTES:
            out.put(self._writer.draft(kind, flags, stream, *body, seconds=seconds, pad_bytes=pad_bytes))
        else:
            out.add(self._writer.write(kind, flags, stream, *body, seconds=seconds, pad_bytes=pad_bytes))
        sealed = out.byte_count - before
        self.wire_bytes += sealed
        return sealed

    def _frame_bytes(self, body_bytes: int, *, alone: bool) -> int:
        """Return the length on the wire of a record."""
        pad_bytes = 0 if self._padding is None else self._pad_bytes(body_bytes, alone=alone)
        return frames.LENGTH_BYTES + self._cipher.sealed_bytes(HEADER_BYTES + body_bytes + pad_bytes)

    def _pad_bytes(self, body_bytes: int, *, alone: bool) -> int:
        # What has more than one record shows its length by their number; its last one is filled up.
        policy = self._padding if self._padding is None or alone else "full"
        return padding_bytes(policy, body_bytes, self.chunk_bytes + bodies.OVERHEAD_BYTES)
