"""Conversations: any order of numbers is sorted as a list of all that were ever used would sort it.

An input is a row of steps, two bytes each: a message comes with a number, this end opens, reads or closes one, accepts.
"""

from __future__ import annotations

from netstructer.codec.spool import SpoolRoom
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol.asides import MOST_AHEAD, Asides
from netstructer.protocol.assembly import Message
from netstructer.protocol.states import Role

ROOM = SpoolRoom(Limits.DEFAULT)
MOST_STEPS = 2000
COME, COME_FAR, OPEN, READ, CLOSE, ACCEPT = range(6)


def seeds() -> list[bytes]:
    """Return rows of steps: in order, out of order, far ahead, and closed ones that are spoken to again."""
    in_order = bytes(part for number in range(20) for part in (COME, number))
    backwards = bytes(part for number in range(60, 0, -1) for part in (COME, number))
    far = bytes(part for number in range(40) for part in (COME_FAR, number * 6 % 256))
    ours = bytes([OPEN, 0, COME, 1, COME, 2, READ, 0, CLOSE, 0, COME, 1, COME, 2, ACCEPT, 0] * 6)
    return [in_order, backwards, far, ours, bytes(range(64))]


def one(data: bytes) -> None:
    """Sort, and compare with who remembers everything; at both ends."""
    for role in Role:
        _one(role, data)


def _one(role: Role, data: bytes) -> None:
    asides = Asides(role)
    ours, used = (1 if role is Role.CLIENT else 0), set[int]()
    live: dict[int, list[Message]] = {}
    waiting: list[int] = []
    opened = 0
    for at in range(0, min(len(data) - 1, 2 * MOST_STEPS), 2):
        what, amount = data[at] % 6, data[at + 1]
        held = sorted(live)
        if what in (COME, COME_FAR):
            number = 1 + amount * (1 if what == COME else 65_537)
            message = Message(1, 1, bodies.First(bodies.ASIDE, 0, 0, 0, 0, number), ROOM)
            wanted = number in live or (number & 1 != ours and number not in used)
            assert asides.put(message) == wanted
            if wanted and number not in live:
                used.add(number)
                live[number] = []
                waiting.append(number)
            if wanted:
                live[number].append(message)
        if what == OPEN:
            number = asides.open()
            assert number == (1 if ours else 2) + 2 * opened
            opened += 1
            live[number] = []
        if what == READ and held:
            number = held[amount % len(held)]
            assert asides.waiting(number) == bool(live[number])
            if live[number]:
                assert asides.next(number) is live[number].pop(0)
        if what == CLOSE and held:
            number = held[amount % len(held)]
            assert list(asides.close(number)) == live.pop(number)
            assert asides.over(number)
        if what == ACCEPT and waiting:
            assert asides.opened.popleft() == waiting.pop(0)
        assert len(asides._ahead) <= MOST_AHEAD
    unread = asides.clear()
    assert len(unread) == sum(map(len, live.values()))
    assert not asides.opened
