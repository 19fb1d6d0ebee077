"""Asides: the messages of conversations, sorted.  Floor: PROTOCOL.  Law: what nobody waits for is dropped.

Spec: protocol.md, "Conversations".  A conversation is a numbered exchange of values beside the application's own: file
transfers are one each.  The number travels in the head of a message, so sorting needs no decoding.  The client opens
odd numbers, the server even ones, each in rising order; so a number that is not above the last one opened by the peer,
and is not under way, belongs to a conversation that is over.
"""

from __future__ import annotations

from collections import deque

from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.states import Role

__all__ = ["Asides"]


class Asides:
    """The conversations of one session.  Single owner."""

    __slots__ = ("_last_opened", "_next", "_parity", "_queues", "opened")

    def __init__(self, role: Role) -> None:
        self._parity = 1 if role is Role.CLIENT else 0
        self._next = 1 if role is Role.CLIENT else 2
        self._last_opened = 0
        self._queues: dict[int, deque[Message | Whole]] = {}
        self.opened: deque[int] = deque()
        """Conversations that the peer opened and nobody has accepted."""

    def open(self) -> int:
        """Begin a conversation of this end; return its number."""
        number, self._next = self._next, self._next + 2
        self._queues[number] = deque()
        return number

    def put(self, message: Message | Whole) -> bool:
        """Take in a message; False where its conversation is over, or never was."""
        number = message.conversation
        if number not in self._queues:
            if number & 1 == self._parity or number <= self._last_opened:
                return False
            self._last_opened = number
            self._queues[number] = deque()
            self.opened.append(number)
        self._queues[number].append(message)
        return True

    def waiting(self, number: int) -> bool:
        """Say whether a conversation has a message."""
        return bool(self._queues.get(number))

    def next(self, number: int) -> Message | Whole:
        """Return the next message of a conversation that has one, and take it out."""
        return self._queues[number].popleft()

    def close(self, number: int) -> deque[Message | Whole]:
        """End a conversation; return what nobody has read of it."""
        return self._queues.pop(number, deque())

    def clear(self) -> list[Message | Whole]:
        """End those that nobody has accepted, and return all that nobody has read."""
        self.opened.clear()
        unread = [message for queue in self._queues.values() for message in queue]
        for queue in self._queues.values():
            queue.clear()
        return unread
