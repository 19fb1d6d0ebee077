"""Asides: the messages of conversations, sorted.  Floor: PROTOCOL.  Law: what nobody waits for is dropped.

Spec: protocol.md, "Conversations".  A conversation is a numbered exchange of values beside the application's own: file
transfers are one each.  The number travels in the head of a message, so sorting needs no decoding.  The client opens
odd numbers, the server even ones.  They are given out in rising order, but a conversation that was opened first may
speak later than the next ones: so it is remembered which numbers the peer has used, as one figure that all are below or
equal to, and the few above it.  A number that was used, and is not under way, belongs to a conversation that is over.
"""

from __future__ import annotations

from collections import deque

from netstructer.errors import LinkClosed
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.states import Role

__all__ = ["CALLS_FROM", "Asides"]

CALLS_FROM = 1 << 28
"""Conversations that are calls (`calls.py`) have numbers above this one, and others numbers below it: who sorts them
need not look into them.  A call uses a number, so calls have fifteen sixteenths of all: two thousand million for each
end, which is three days of eight thousand calls a second."""
END_OF_NUMBERS = 1 << 32
"""What the head of a message has no room for."""
MOST_AHEAD = 4096
"""How many of the peer's conversations may have begun before one with a lower number: beyond that, or half of it, it is
over."""


class Numbers:
    """The numbers from `start` to `stop`, of both ends: which comes next here, and which the peer has used."""

    __slots__ = ("_next", "_stop", "_used", "ahead")

    def __init__(self, role: Role, start: int, stop: int) -> None:
        self._next = start + (1 if role is Role.CLIENT else 2)
        self._used = start + (0 if role is Role.CLIENT else -1)
        self._stop = stop
        self.ahead: set[int] = set()

    def give(self) -> int:
        """Return the next of this end.  Raises `LinkClosed` when all are used."""
        number = self._next
        if number >= self._stop:
            raise LinkClosed("the link has no more numbers for conversations of this kind")
        self._next += 2
        return number

    def use(self, number: int) -> bool:
        """Take note of a number of the peer's; False for one that it has used before."""
        ahead = self.ahead
        if number <= self._used or number in ahead:
            return False
        if number == self._used + 2 and not ahead:
            self._used = number
            return True
        ahead.add(number)
        if len(ahead) > MOST_AHEAD:
            # Half of them at once, so that a peer that passes numbers over costs no more than one that does not.
            self._used = sorted(ahead)[MOST_AHEAD // 2]
            self.ahead = ahead = {later for later in ahead if later > self._used}
        while self._used + 2 in ahead:
            self._used += 2
            ahead.remove(self._used)
        return True


class Asides:
    """The conversations of one session.  Single owner."""

    __slots__ = ("_parity", "_queues", "calls", "numbers", "numbers_of_calls", "opened")

    def __init__(self, role: Role) -> None:
        self._parity = 1 if role is Role.CLIENT else 0
        self.numbers = Numbers(role, 0, CALLS_FROM)
        self.numbers_of_calls = Numbers(role, CALLS_FROM, END_OF_NUMBERS)
        self._queues: dict[int, list[Message | Whole] | deque[Message | Whole]] = {}
        """Of each the messages that wait; a list where there is one, because a deque takes ten times the memory and
        the peer may open thousands before anybody accepts one.
        """
        self.opened: deque[int] = deque()
        """Conversations that the peer opened and nobody has accepted."""
        self.calls: deque[int] = deque()
        """Calls of the peer's that nobody has begun to answer."""

    def open(self) -> int:
        """Begin a conversation of this end; return its number.  Raises `LinkClosed` when all numbers are used."""
        number = self.numbers.give()
        self._queues[number] = deque()
        return number

    def open_call(self) -> int:
        """Begin a call of this end; return its number.  Raises as `open` does."""
        number = self.numbers_of_calls.give()
        self._queues[number] = []
        return number

    def is_own(self, number: int) -> bool:
        """Say whether a conversation is one that this end opened."""
        return number & 1 == self._parity

    def put(self, message: Message | Whole) -> bool:
        """Take in a message; False where its conversation is over, or never was."""
        number = message.conversation
        queue = self._queues.get(number)
        if queue is None:
            is_call = number >= CALLS_FROM
            numbers = self.numbers_of_calls if is_call else self.numbers
            if number & 1 == self._parity or not numbers.use(number):
                return False
            self._queues[number] = [message]
            (self.calls if is_call else self.opened).append(number)
            return True
        if queue and isinstance(queue, list):
            queue = self._queues[number] = deque(queue)
        queue.append(message)
        return True

    def over(self, number: int) -> bool:
        """Say whether a conversation was closed here, or never opened."""
        return number not in self._queues

    def waiting(self, number: int) -> bool:
        """Say whether a conversation has a message."""
        return bool(self._queues.get(number))

    def first(self, number: int) -> Message | Whole | None:
        """Return the next message of a conversation, and leave it there; None where it has none."""
        queue = self._queues.get(number)
        return queue[0] if queue else None

    def next(self, number: int) -> Message | Whole:
        """Return the next message of a conversation that has one, and take it out."""
        queue = self._queues[number]
        return queue.pop() if isinstance(queue, list) else queue.popleft()

    def close(self, number: int) -> deque[Message | Whole]:
        """End a conversation; return what nobody has read of it."""
        return deque(self._queues.pop(number, ()))

    def clear(self, *, but_calls: bool = False) -> list[Message | Whole]:
        """End those that nobody has accepted, and return all that nobody has read.

        With `but_calls`, what nobody has begun to answer stays: its caller has left, and notices are there to be run.
        """
        self.opened.clear()
        if not but_calls:
            self.calls.clear()
        kept = frozenset(self.calls)
        unread: list[Message | Whole] = []
        for number, queue in self._queues.items():
            if number not in kept:
                unread += queue
                queue.clear()
        return unread
