"""The inflow: what comes in, opened, put in order, and joined to messages.  Floor: PROTOCOL.

Law: nothing unverified is kept.  Spec: protocol.md, "Receiving".  The order of checks is the order of the lines here:
length of the frame, seal, sequence, padding, key age (`next_record`); delivery number, credit, stream, limits (`data`,
`batch`, `cancel`). What is legal in which state the session has decided before it calls the latter three.
"""

from __future__ import annotations

from netstructer.codec.ciphers import FERNET, Cipher
from netstructer.codec.compression import NONE
from netstructer.codec.frames import FrameReader
from netstructer.errors import IllegalFrame, NetstructerError
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrivals
from netstructer.protocol.assembly import Assembly, Message, Whole
from netstructer.protocol.delivery import MESSAGE_CHARGE, Inbound, charge_of
from netstructer.protocol.records import HEADER_BYTES, Record, RecordReader
from netstructer.protocol.states import CancelCode, Flag, Role

__all__ = ["Inflow"]

_FIRST, _BOTH = int(Flag.FIRST), int(Flag.FIRST | Flag.LAST)
_ACKNOWLEDGE, _TAKEN = int(Flag.ACKNOWLEDGE), int(Flag.TAKEN)
_ALL_FLAGS = _BOTH | _ACKNOWLEDGE | _TAKEN


class Inflow:
    """One direction of a session.  Single owner.

    A server's takes nothing longer than an OPEN until `opened`.
    """

    __slots__ = ("_cipher", "_former_bytes", "_limits", "_reader", "arrivals", "assembly", "frames", "inbound")

    def __init__(
        self,
        role: Role,
        secret: bytes,
        *,
        limits: Limits,
        arrivals: Arrivals,
        now: float,
        compressing: bool = True,
        cipher: Cipher = FERNET,
    ) -> None:
        self._limits, self._cipher = limits, cipher
        self._reader = RecordReader(secret, now, cipher)
        self.arrivals = arrivals
        self.assembly = Assembly(role, limits, arrivals, compressing=compressing)
        self.frames = self._frames(cipher.sealed_bytes(HEADER_BYTES + bodies.OPEN_BYTES))
        self._former_bytes = 0
        self.inbound = Inbound(limits)
        if role is Role.CLIENT:
            self.opened()

    def board(self, secret: bytes, now: float) -> None:
        """Begin on a new transport, with its keys."""
        self._reader = RecordReader(secret, now, self._cipher)
        self._former_bytes += self.frames.received_bytes
        self.frames = self._frames(self.frames.limit_bytes)

    def take_over(self, other: Inflow) -> None:
        """Go on on the transport of another session, in the middle of it."""
        self._reader = other._reader
        self._former_bytes += self.frames.received_bytes
        self.frames = other.frames
        self.opened()

    @property
    def received_bytes(self) -> int:
        """Bytes that came in, on all transports."""
        return self._former_bytes + self.frames.received_bytes

    def opened(self) -> None:
        """Take in that the peer has proved its key: from here on records may be of full length."""
        self.frames.limit_bytes = self._cipher.sealed_bytes(HEADER_BYTES + self._limits.body_bytes)

    def _frames(self, limit_bytes: int) -> FrameReader:
        least_bytes = self._cipher.sealed_bytes(HEADER_BYTES)
        return FrameReader(limit_bytes, least_bytes=least_bytes, step_bytes=self._cipher.token_step)

    def next_record(self) -> Record | None:
        """Return the next verified record, or None where more bytes are needed."""
        token = self.frames.next_token()
        return None if token is None else self._reader.read(token)

    def rekey(self, body: memoryview, now: float) -> None:
        """Take in a REKEY."""
        bodies.expect_length(body, 0)
        self._reader.rekey(now)

    def data(
        self, flags: int, stream: int, body: memoryview, now: float
    ) -> tuple[Message | Whole | None, tuple[Message, CancelCode] | None]:
        """Take in a DATA record that is no `single`; return the message that it completes, and the one that is to be
        cancelled.
        """
        charge = self._charge(flags, stream, body)
        number, body = bodies.number_of(body)
        if not self.inbound.admit(number, charge, now, len(body)):
            return None, None
        assembly, self.arrivals.now = self.assembly, now
        message = assembly.data(flags, stream, number, body)
        if flags & _ACKNOWLEDGE or (message is not None and message.flags & _ACKNOWLEDGE):
            self.inbound.hurry()
        if message is not None:
            self.inbound.whole(message.total_charge())
            if message.durable:
                self.inbound.hold_back(message.last_number)
            elif flags & _BOTH == _BOTH and not message.blob_count:
                return message.condensed(), assembly.refusal
        return message, assembly.refusal

    def _charge(self, flags: int, stream: int, body: memoryview) -> int:
        """Return what a DATA record counts: that of a blob nothing, the first one of a value its blobs too."""
        if not flags & _FIRST:
            return 0 if self.assembly.carries_blob(stream) else len(body)
        kind, place = bodies.kind_of(body)
        return 0 if kind == bodies.BLOB else charge_of(len(body), 1 + place)

    def single(self, flags: int, stream: int, body: memoryview, now: float) -> Whole | None:
        """Take in a value that has one record and nothing remarkable; None, and nothing done, for any other: `data` is
        for that.
        """
        if flags & _BOTH != _BOTH or flags & ~_ALL_FLAGS or not self.assembly.begins(stream):
            return None
        found = bodies.single_of(body)
        if found is None:
            return None
        number, codec, conversation, plain_bytes, chunk = found
        if codec not in self.assembly.codecs or plain_bytes > self._limits.value_bytes:
            return None
        if codec == NONE and plain_bytes != len(chunk):
            return None
        inbound, charge = self.inbound, len(body) + MESSAGE_CHARGE
        if number != inbound.next_number or not inbound.admit(number, charge, now):
            return None
        if flags & _ACKNOWLEDGE:
            inbound.urgent = True
        inbound.unread += charge
        return Whole(chunk, codec, plain_bytes, number, charge, flags, conversation)

    def batch(self, body: memoryview, now: float) -> list[Whole]:
        """Take in a BATCH record and return its messages."""
        number, rest = bodies.number_of(body)
        items = bodies.batch_items(rest)
        if not self.inbound.admit(number, charge_of(len(body), len(items)), now):
            return []
        if max(map(len, items)) > self._limits.value_bytes:
            raise IllegalFrame("a value in a batch is over this end's limit")
        before = number - 1
        messages = [Whole(item, NONE, len(item), before, len(item) + MESSAGE_CHARGE, 0) for item in items]
        # Only the last one stands for the whole record when the application says what it has taken.
        messages[-1].last_number = number
        self.inbound.whole(sum(map(len, items)) + MESSAGE_CHARGE * len(items))
        return messages

    def cancel(self, cancel: bodies.Cancel, stream: int, *, by_sender: bool, now: float) -> bool:
        """Take in a CANCEL; False for one that was had before.  A message or a blob of the peer's own is forgotten."""
        if not stream:
            raise IllegalFrame("a cancel of no stream")
        if not self.inbound.admit(cancel.number, 0, now):
            return False
        if by_sender:
            self.assembly.cancelled(stream, cancel.message, cancel.code)
        return True

    def farewell(self, farewell: bodies.Farewell, now: float) -> None:
        """Take in a FAREWELL.  There is none that was had before: nothing comes after it."""
        if len(self.assembly):
            raise IllegalFrame("a farewell in the middle of a message")
        if not self.inbound.admit(farewell.number, 0, now):
            raise IllegalFrame("a farewell under a delivery number that was used before")
        self.inbound.hurry()

    def end(self, error: NetstructerError) -> None:
        """Let go of what is unfinished, and fail the blobs that have not come."""
        self.arrivals.end(error)
        self.assembly.end()

    def take(self, message: Message | Whole) -> None:
        """Take in that the application has taken a message."""
        self.inbound.take(message.charge, message.last_number)
        if message.flags & _TAKEN:
            self.inbound.hurry()

    def drop(self, message: Message | Whole) -> None:
        """Take in that nobody will take a message: it counts no longer, and the peer is not told that it was taken."""
        self.inbound.take(message.total_charge(), 0)
        self.forget(message)

    def dismiss(self, message: Message | Whole) -> None:
        """Take in that the application wants a message no more, read or not: it counts as taken, unless it is durable,
        and then its sender keeps it.
        """
        if message.durable:
            self.drop(message)
        else:
            self.take(message)
            self.forget(message)

    def forget(self, message: Message | Whole) -> None:
        """Take in that nobody will read the blobs of a message."""
        if isinstance(message, Message):
            self.assembly.forget(message)
