"""Goals: what a sender waits for.  Floor: PROTOCOL.  Law: what holds once holds for ever.

Spec: protocol.md, "Delivery".  The same for threads and for asyncio: what is waited for is a fact of the session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from netstructer.errors import Misuse
from netstructer.protocol.outgoing import Batch, Outgoing
from netstructer.protocol.session import Session
from netstructer.protocol.states import Flag

__all__ = ["Sent", "Wait", "flags_of", "goal", "sent", "sum_of"]

Wait = Literal["queued", "acked", "consumed", "durable"]
_FLAGS = {"queued": 0, "acked": int(Flag.ACKNOWLEDGE), "consumed": int(Flag.TAKEN)}


class Sent(NamedTuple):
    """What one `send` moved: bytes of the encoded value, and bytes of its frames on the wire.

    `id` names the value among all that this end has sent, from 1, rising; of several values, the last of them.
    `SessionLost.unacknowledged` speaks of it.
    """

    plain_bytes: int
    wire_bytes: int
    id: int = 0


sent: Callable[[tuple[int, int, int]], Sent] = partial(tuple.__new__, Sent)
"""Makes one of all three, without the call in Python that a named tuple's own way is: one for every small value."""


def sum_of(parts: Sequence[Outgoing | Batch]) -> Sent:
    """Return what several messages moved; zeros for none."""
    last = parts[-1].ids[-1] if parts else 0
    return Sent(sum(part.sealed_bytes for part in parts), sum(part.wire_bytes for part in parts), last)


def flags_of(wait: Wait) -> int:
    """Return the flags of a value whose sender waits like that.  Raises `Misuse`."""
    if wait == "durable":
        raise Misuse("wait='durable' is for links with an outbox: Link(address, durable='outbox.db')")
    if wait not in _FLAGS:
        raise Misuse("expected wait='queued', 'acked' or 'consumed'")
    return _FLAGS[wait]


def goal(session: Session, outgoing: Outgoing | Batch, wait: Wait) -> Callable[[], bool]:
    """Return what `send` waits for, as a question."""
    if wait == "queued":
        return lambda: outgoing.done
    acknowledged, taken = session.acknowledged, session.taken
    if wait == "acked" or isinstance(outgoing, Batch):
        return lambda: outgoing.done and acknowledged(outgoing.last_number)
    return lambda: outgoing.done and acknowledged(outgoing.last_number) and taken(outgoing.value_number)
