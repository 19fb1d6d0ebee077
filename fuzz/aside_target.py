"""Conversations: any order of numbers is sorted as a list of all that were ever used would sort it.

An input is a row of steps, two bytes each, behind one that says which end it is: a message comes with a number, this
end opens, reads or closes one, accepts.
"""

from __future__ import annotations

from netstructer.protocol.asides import MOST_AHEAD, Asides
from netstructer.protocol.states import Role

MOST_STEPS = 300
COME, COME_FAR, OPEN, READ, CLOSE, ACCEPT = range(6)
ROLES = tuple(Role)


class Said:
    """A message, as far as conversations look at one."""

    __slots__ = ("conversation",)

    def __init__(self, conversation: int) -> None:
        self.conversation = conversation


def seeds() -> list[bytes]:
    """Return rows of steps: in order, out of order, far ahead, and closed ones that are spoken to again."""
    in_order = bytes(part for number in range(20) for part in (COME, number))
    backwards = bytes(part for number in range(60, 0, -1) for part in (COME, number))
    far = bytes(part for number in range(40) for part in (COME_FAR, number * 6 % 256))
    ours = bytes([OPEN, 0, COME, 1, COME, 2, READ, 0, CLOSE, 0, COME, 1, COME, 2, ACCEPT, 0] * 6)
    return [bytes([role]) + row for role in (0, 1) for row in (in_order, backwards, far, ours, bytes(range(64)))]


def one(data: bytes) -> None:
    """Sort, and compare with who remembers everything."""
    role = ROLES[data[0] & 1 if data else 0]
    asides = Asides(role)
    ours, used = (1 if role is Role.CLIENT else 0), set[int]()
    live: dict[int, list[Said]] = {}
    waiting: list[int] = []
    opened = 0
    for at in range(1, min(len(data) - 1, 2 * MOST_STEPS), 2):
        what, amount = data[at] % 6, data[at + 1]
        if what in (COME, COME_FAR):
            number = 1 + amount * (1 if what == COME else 65_537)
            message = Said(number)
            wanted = number in live or (number & 1 != ours and number not in used)
            assert asides.put(message) == wanted
            if wanted and number not in live:
                used.add(number)
                live[number] = []
                waiting.append(number)
            if wanted:
                live[number].append(message)
        elif what == OPEN:
            number = asides.open()
            assert number == (1 if ours else 2) + 2 * opened
            opened += 1
            live[number] = []
        elif what == ACCEPT:
            if waiting:
                assert asides.opened.popleft() == waiting.pop(0)
        elif live:
            number = list(live)[amount % len(live)]
            if what == READ:
                assert asides.waiting(number) == bool(live[number])
                if live[number]:
                    assert asides.next(number) is live[number].pop(0)
            else:
                assert list(asides.close(number)) == live.pop(number)
                assert asides.over(number)
    assert len(asides.numbers.ahead) <= MOST_AHEAD
    unread = asides.clear()
    assert len(unread) == sum(map(len, live.values()))
    assert not asides.opened
