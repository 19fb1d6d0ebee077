"""Delivery: numbers, acknowledgement, credit.  Floor: PROTOCOL.  Law: each direction's state is a few integers.

Spec: protocol.md, "Delivery".  Every reliable record of a session's direction takes the next delivery number (fsn),
from 1. These numbers belong to the session, not to the transport: a session that is taken up again on another transport
goes on with them, which is why they are apart from the record sequence.  What the receiver knows of them is one
integer, the next one: lower was had before and is dropped, equal is taken, higher is a `Gap`.

Credit.  The receiver states how much the sender may have sent in the whole session: an absolute figure that only grows,
so that hearing it twice does no harm.  A reliable record is charged its body, and 256 for each message that begins in
it and for each blob that the message says it has (about what those cost in memory beside their bytes).  The records of
blobs are charged nothing: they have been paid for, and each blob has a credit of its own, so that values which nobody
takes never stop a blob that somebody reads.  The window is `credit_bytes`, less what lies unread in
whole messages; the bytes of a message still under way do not narrow it.  So a writer stops when the reader does not
read, and yet two ends that each send a message larger than the window, before either reads, do not wait for each other
for ever.  What messages under way may cost is bounded by the link's spools, and each blob by a credit of its own.
"""

from __future__ import annotations

from collections import deque

from netstructer.errors import CreditExceeded, Gap, IllegalFrame
from netstructer.limits import Limits
from netstructer.protocol.bodies import Ack

__all__ = ["MESSAGE_CHARGE", "Inbound", "Outbound", "charge_of"]

MESSAGE_CHARGE = 256


def charge_of(body_bytes: int, messages: int) -> int:
    """Return what a reliable record counts against the credit."""
    return body_bytes + MESSAGE_CHARGE * messages


class Outbound:
    """What this end has sent, and what the peer has said of it."""

    __slots__ = ("acknowledged", "limit", "next_number", "sent", "taken")

    def __init__(self) -> None:
        self.next_number = 1
        self.acknowledged = 1
        """The peer has every number below this one."""
        self.taken = 0
        """The peer's application has taken every message that ended at or below this number."""
        self.sent = 0
        self.limit = 0

    def allows(self, charge: int) -> bool:
        """Say whether the peer has given credit for this much more."""
        return self.sent + charge <= self.limit

    def number(self, charge: int) -> int:
        """Take the next delivery number, for a record of this charge."""
        number = self.next_number
        self.next_number = number + 1
        self.sent += charge
        return number

    def raise_limit(self, limit: int) -> None:
        """Take in the credit that OPEN or ACCEPT states, checked before."""
        self.limit = limit

    def acknowledge(self, expected: int, limit: int, taken: int) -> None:
        """Take in an ACK.  Raises `IllegalFrame` for figures that go back or claim what was never sent."""
        if not self.acknowledged <= expected <= self.next_number:
            raise IllegalFrame(f"acknowledged {expected}, after {self.acknowledged} and of {self.next_number}")
        if limit < self.limit or not self.taken <= taken < max(expected, 1):
            raise IllegalFrame("an acknowledgement takes back credit, or claims what it has not acknowledged")
        self.acknowledged, self.limit, self.taken = expected, limit, taken


class Inbound:
    """What has come in, what of it lies unread, and what the peer was told of that."""

    __slots__ = (
        "_ack_bytes",
        "_ack_seconds",
        "_credit",
        "_held_back",
        "_taken",
        "_told_expected",
        "_told_limit",
        "_untold_bytes",
        "due",
        "next_number",
        "received",
        "unread",
        "urgent",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._credit = limits.credit_bytes
        self._ack_bytes = min(limits.ack_bytes, limits.credit_bytes // 4)
        self._ack_seconds = limits.ack_seconds
        self.next_number = 1
        self.received = 0
        self.unread = 0
        """Charge of the messages that are whole and not yet taken."""
        self._taken = 0
        self._held_back: deque[int] = deque()
        """Where durable messages ended that are not taken yet, in order."""
        self._untold_bytes = 0
        """What has come since the last acknowledgement, the records of blobs included: the peer keeps it until then."""
        self._told_expected, self._told_limit = 1, self._credit
        self.due: float | None = None
        """When the next acknowledgement is due, on the monotonic clock; None while there is nothing to say."""
        self.urgent = False
        """Whether to acknowledge at once."""

    @property
    def limit(self) -> int:
        """How much the peer may have sent: never less than it was told before."""
        window = self._credit - self.unread
        limit = self.received + window if window > 0 else self.received
        return limit if limit > self._told_limit else self._told_limit

    def admit(self, number: int, charge: int, now: float, body_bytes: int = 0) -> bool:
        """Take in a reliable record; False for one that was had before.

        Raises `Gap` where one is missing, `CreditExceeded` for more than the peer was given.
        """
        if number != self.next_number:
            if number < self.next_number:
                return False
            raise Gap(f"expected delivery number {self.next_number}, found {number}")
        if self.received + charge > self._told_limit:
            raise CreditExceeded(f"the peer sent {self.received + charge} of {self._told_limit} bytes of credit")
        self.next_number = number + 1
        self.received += charge
        self._untold_bytes += body_bytes or charge
        if self._untold_bytes >= self._ack_bytes:
            self.urgent = True
        if self.due is None:
            self.due = now + self._ack_seconds
        return True

    def whole(self, charge: int) -> None:
        """Take in that a message of this charge is whole and waits for the application."""
        self.unread += charge

    def hold_back(self, last_number: int) -> None:
        """Say of nothing from this durable message on that it was taken, before it was itself: its sender keeps it on
        its disk until then.
        """
        self._held_back.append(last_number)

    @property
    def taken(self) -> int:
        """The application has taken every message that ended at or below this number."""
        return min(self._taken, self._held_back[0] - 1) if self._held_back else self._taken

    def take(self, charge: int, last_number: int) -> None:
        """Take in that the application has taken a message, the one that ended with `last_number`."""
        unread = self.unread = self.unread - charge
        if self._held_back and last_number in self._held_back:
            self._held_back.remove(last_number)
        if last_number > self._taken:
            self._taken = last_number
        if self.received + self._credit - unread - self._told_limit >= self._ack_bytes and unread < self._credit:
            self.urgent = True

    def hurry(self) -> None:
        """Acknowledge at once: the peer waits for it."""
        self.urgent = True

    def ack_due(self, now: float) -> bool:
        """Say whether to acknowledge now."""
        return self.urgent or (self.due is not None and now >= self.due)

    def ack(self) -> bytes:
        """Return the body of an ACK record that says all there is to say."""
        self.due, self.urgent = None, False
        self._told_expected = self.next_number
        return Ack(self.next_number, self.state_limit(), self.taken).pack()

    def ack_of_limit(self, now: float) -> bytes:
        """Return the body of an ACK that says what the peer may send, and of what has come no more than the one before:
        something of that was refused, which the peer has to hear first.
        """
        self.due, self.urgent = now + self._ack_seconds, False
        told = self._told_expected
        return Ack(told, self.state_limit(), min(self.taken, told - 1)).pack()

    def state_limit(self) -> int:
        """Return the limit, which the peer is told with what has come."""
        self._told_limit = self.limit
        self._untold_bytes = 0
        return self._told_limit
