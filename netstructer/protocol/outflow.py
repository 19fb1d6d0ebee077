"""The outflow: what waits to be sent, sealed in the order in which it goes.  Floor: PROTOCOL.

Law: sealing happens when the transport has room, and not before.  Spec: protocol.md, "Sending".

Control records go first; then one record of each message in turn, as far as the peer's credit goes; a farewell goes
when no message is left.  A record's sequence number, its delivery number and its key are decided here, in one place, at
one moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from netstructer.codec import frames
from netstructer.codec.values import Encoded
from netstructer.errors import IllegalFrame, LinkClosed, MessageCancelled, MessageTooBig, NetstructerError, SpoolFull
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.delivery import Outbound, charge_of
from netstructer.protocol.lanes import Lanes
from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob, Single
from netstructer.protocol.records import MOST_PADDING, RecordWriter, padding_bytes
from netstructer.protocol.states import CancelCode, Flag, Kind, Role

__all__ = ["Outflow"]

_FIRST, _LAST, _BOTH = int(Flag.FIRST), int(Flag.LAST), int(Flag.FIRST | Flag.LAST)
_ACKNOWLEDGE = int(Flag.ACKNOWLEDGE)
Buffer = bytes | bytearray | memoryview
BATCH_ITEM_BYTES = 4 << 10
"""Longest encoded value that goes into a batch: above it a record of its own costs less than 4 %."""
_CEREMONY = (Kind.OPEN, Kind.ACCEPT)
"""Records of a fixed length, which come before anything else: never padded, never preceded by a rekey."""


class Outflow:
    """One direction of a session on one transport.  Single owner."""

    __slots__ = (
        "_awaited",
        "_control",
        "_most_charge",
        "_padding",
        "_wall",
        "_writer",
        "chunk_bytes",
        "farewell",
        "lanes",
        "outbound",
        "parted",
        "plain_blob_bytes",
        "wire_bytes",
    )

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
    ) -> None:
        self._writer = RecordWriter(secret, limits, now)
        self._padding = padding
        self._wall = wall
        self._control: deque[tuple[Kind, int, bytes]] = deque()
        self._awaited: dict[int, Outgoing | OutgoingBlob] = {}
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

    def control(self, kind: Kind, body: bytes, stream: int = 0) -> None:
        """Queue a record that goes before the messages."""
        self._control.append((kind, stream, body))

    def cancel(self, stream: int, message: int, code: int) -> None:
        """Queue a CANCEL for the message of that number; nothing, where this end has said farewell."""
        if self.parted:
            return
        self.control(Kind.CANCEL, bodies.Cancel(self.outbound.number(0), message, code).pack(), stream)

    def give_up(self, root: Outgoing, error: BaseException, code: int | None = None) -> None:
        """Drop what is left of a message of this end, and tell the peer if it knows of it: with `code`, or the error's.

        The code of a CANCEL is answered, so that who reads the value's other blobs there learns what the matter is.
        """
        known = self.lanes.drop(root)
        root.error = root.error or error
        if known:
            self.cancel(root.stream, root.number, _code_of(error) if code is None else code)

    def say_grant(self, body: bytes) -> None:
        """Queue a GRANT.  There is none after a farewell: with it this end has refused all that still comes."""
        self.control(Kind.GRANT, body)

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
            self.give_up(part.root, _refused(cancel.code), cancel.code)
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
        self.outbound.acknowledge(*ack)
        if self._awaited:
            self._awaited = {number: part for number, part in self._awaited.items() if part.last_number >= ack.expected}

    def end(self, error: BaseException) -> None:
        """Give up everything that waits."""
        self._control.clear()
        self.lanes.clear(error)

    def fits(self, batch: Batch, encoded: Encoded) -> bool:
        """Say whether a value may go into a batch: small, without blobs, and there is room in the record and the
        credit."""
        body_bytes = batch.body_bytes + 4 + encoded.plain_bytes
        return (
            encoded.plain_bytes <= BATCH_ITEM_BYTES
            and not encoded.blobs
            and body_bytes <= self.chunk_bytes
            and charge_of(body_bytes, batch.count + 1) <= self._most_charge
        )

    def seal_now(self, single: Single, flags: int, now: float) -> tuple[Buffer, int] | None:
        """Seal a small value at once and return its frame and delivery number; None where it has to take its turn."""
        chunk = single.chunk
        charge = charge_of(len(chunk) + bodies.SINGLE_OVERHEAD_BYTES, 1)
        if self._control or self.lanes.turns or self._padding is not None or len(chunk) > self.chunk_bytes:
            return None
        if not self.outbound.allows(charge) or self._writer.rekey_due(now):
            return None
        number = self.outbound.number(charge)
        body = bodies.single(number, single.codec, chunk, single.plain_bytes)
        token = self._writer.write(Kind.DATA, _BOTH | flags, self.lanes.spare_stream, body, seconds=int(self._wall()))
        self.wire_bytes += frames.LENGTH_BYTES + len(token)
        return frames.joined(token), number

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be sealed, and may be."""
        return bool(self._control or self.lanes.turns or (self.farewell is not None and not self.lanes))

    def seal(self, room_bytes: int, now: float, *, messages: bool) -> tuple[list[Buffer], bool]:
        """Seal what is due until about `room_bytes` are there; return the buffers, and whether a farewell is among
        them.

        Without `messages` only control records go.
        """
        out: list[Buffer] = []
        while room_bytes > 0:
            if self._control:
                kind, stream, body = self._control.popleft()
                room_bytes -= self._seal(out, now, kind, 0, stream, body)
                continue
            message = self.lanes.front() if messages else None
            if message is not None:
                sealed = self._seal_message(out, now, message)
                if not sealed:
                    # A value that waits for credit does not stop the blobs, which need none of the link's.
                    message = self.lanes.front_blob()
                    sealed = 0 if message is None else self._seal_message(out, now, message)
                if not sealed:
                    break
                room_bytes -= sealed
            elif messages and self.farewell is not None and not self.lanes:
                self.parted = True
                body = bodies.Farewell(self.outbound.number(0), *self.farewell).pack()
                self._seal(out, now, Kind.FAREWELL, 0, 0, body)
                return out, True
            else:
                break
        return out, False

    def _seal_message(self, out: list[Buffer], now: float, message: Outgoing | OutgoingBlob | Batch) -> int:
        """Seal one record of a message and return its length on the wire; 0 where the credit does not reach."""
        if isinstance(message, Batch):
            return self._seal_batch(out, now, message)
        try:
            return self._seal_chunk(out, now, message)
        except BaseException as error:
            # What a user's file or generator raises ends this message, and is raised to its sender, not here.  Nor may
            # Ctrl-C leave half a message that looks whole.
            self.give_up(message.root, error)
            if not isinstance(error, Exception):
                raise
            return 1

    def _seal_chunk(self, out: list[Buffer], now: float, message: Outgoing | OutgoingBlob) -> int:
        chunk, last = message.peek(self.chunk_bytes)
        first = not message.number
        head = message.header() if first else b""
        tail = bodies.total(message.total_bytes()) if last else b""
        charge = 0
        if isinstance(message, Outgoing):
            begun = 1 + len(message.blobs) if first else 0
            charge = charge_of(bodies.NUMBER_BYTES + len(head) + len(chunk) + len(tail), begun)
        if not self.outbound.allows(charge):
            return 0
        if not last:
            message.step()
        number = self.outbound.number(charge)
        flags = (_BOTH if first else _LAST) | _wants(message) if last else _FIRST if first else 0
        if first:
            self.lanes.begun(message, number)
        if last:
            message.last_number = message.root.last_number = number
            if isinstance(message, Outgoing):
                message.value_number = number
            else:
                self.plain_blob_bytes += message.total_bytes()
                message.root.blob_bytes += message.total_bytes()
        body = (bodies.number(number), head, chunk, tail)
        sealed = self._seal(out, now, Kind.DATA, flags, message.stream, *body, alone=first)
        message.root.wire_bytes += sealed
        self.lanes.sealed(last)
        if last and message.root.flags and not (first and message is message.root and message.done):
            self._awaited[message.number] = message
        return sealed

    def _seal_batch(self, out: list[Buffer], now: float, batch: Batch) -> int:
        charge = charge_of(batch.body_bytes, batch.count)
        if not self.outbound.allows(charge):
            return 0
        batch.last_number = self.outbound.number(charge)
        batch.wire_bytes = self._seal(out, now, Kind.BATCH, 0, 0, batch.body(batch.last_number))
        self.lanes.sealed(True)
        return batch.wire_bytes

    def _seal(
        self, out: list[Buffer], now: float, kind: int, flags: int, stream: int, *body: Buffer, alone: bool = True
    ) -> int:
        seconds = int(self._wall())
        before = len(out)
        pad_bytes = 0
        if kind not in _CEREMONY:
            if self._writer.rekey_due(now):
                rekey = self._writer.rekey(seconds=seconds, now=now, pad_bytes=self._pad_bytes(0, alone=True))
                out.extend(frames.pack(rekey))
            pad_bytes = self._pad_bytes(sum(map(len, body)), alone=alone)
        out.extend(frames.pack(self._writer.write(kind, flags, stream, *body, seconds=seconds, pad_bytes=pad_bytes)))
        sealed = sum(map(len, out[before:]))
        self.wire_bytes += sealed
        return sealed

    def _pad_bytes(self, body_bytes: int, *, alone: bool) -> int:
        # What has more than one record shows its length by their number; its last one is filled up.
        policy = self._padding if self._padding is None or alone else "full"
        return padding_bytes(policy, body_bytes, self.chunk_bytes + bodies.OVERHEAD_BYTES)


def _wants(message: Outgoing | OutgoingBlob) -> int:
    """Return the flags that ask for the peer's word; the end of a blob asks for an acknowledgement at once."""
    if isinstance(message, Outgoing):
        return message.flags
    return _ACKNOWLEDGE if message.root.flags else 0


def _code_of(error: BaseException) -> CancelCode:
    """Return what the peer is told of an error; one that a source raised may have any code."""
    found = error.code if isinstance(error, MessageCancelled) else None
    return next((code for code in CancelCode if code == found), CancelCode.SOURCE_FAILED)


def _refused(code: int) -> NetstructerError:
    if code == CancelCode.TOO_BIG:
        return MessageTooBig("the peer takes no message of this size")
    if code == CancelCode.CLOSED:
        return LinkClosed("the peer closed the link before it had the blobs")
    if code == CancelCode.NO_ROOM:
        return SpoolFull("the peer has no room for this message")
    return MessageCancelled("the peer gave this message up", code=code)
