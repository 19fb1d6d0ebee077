"""Kinds, states, and the one table of what may happen when.  Floor: PROTOCOL.  Law: what is not in the table is
illegal.

Spec: protocol.md, "States"; `docs/states.md` is drawn from `MOVES` by `docs/draw_states.py`, and a test holds the two
equal.
"""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag

from netstructer.errors import IllegalFrame

__all__ = [
    "ENDED_STATES",
    "MOVES",
    "OPEN_STATES",
    "RELIABLE",
    "AlertCode",
    "CancelCode",
    "Cause",
    "Flag",
    "Kind",
    "Role",
    "State",
    "advance",
]


class Role(Enum):
    """Which end of the transport this is: who opened it is the client."""

    __hash__ = object.__hash__  # Enum's own is a Python function, and these are keys of the hot tables.

    CLIENT = "client"
    SERVER = "server"


class Kind(IntEnum):
    """What a record is; the byte on the wire."""

    OPEN = 0x01
    ACCEPT = 0x02
    REKEY = 0x03
    PING = 0x04
    PONG = 0x05
    ACK = 0x06
    DRAIN = 0x07
    ALERT = 0x08
    GRANT = 0x09
    NEW_KEY = 0x0A
    DATA = 0x10
    CANCEL = 0x11
    FAREWELL = 0x12
    BATCH = 0x15


RELIABLE = frozenset({Kind.DATA, Kind.CANCEL, Kind.FAREWELL, Kind.BATCH})
"""Kinds that carry a delivery number and are acknowledged."""


class Flag(IntFlag):
    """Flags of a DATA record; every other kind has none."""

    NONE = 0
    FIRST = 1
    LAST = 2
    ACKNOWLEDGE = 4
    """With LAST: acknowledge at once, the sender waits."""
    TAKEN = 8
    """With LAST: acknowledge at once when the application has taken the message, the sender waits."""


class CancelCode(IntEnum):
    """Why one message was given up."""

    TOO_BIG = 1
    NO_ROOM = 2
    SOURCE_FAILED = 3
    ABANDONED = 4
    CLOSED = 5


class AlertCode(IntEnum):
    """Why one end gives the transport up."""

    PROTOCOL = 1
    COMPRESSION = 2
    STALLED = 3
    ABORTED = 4
    """The application gave the link up: there is nothing to resume."""


class Cause(Enum):
    """What this end does or suffers, beside the kinds that it receives."""

    __hash__ = object.__hash__  # as above

    SAY_FAREWELL = "say farewell"
    SETTLED = "settled"
    """Both farewells are acknowledged; or the transport ends when the peer's is there and nothing is owed to it."""
    END = "transport ends"
    """It ends otherwise: that is a cut, and the end of the session."""
    CUT = "cut"
    """It ends otherwise, or can no longer be trusted, and the session can be taken up again on another one."""
    REJOIN = "rejoin"
    """A client begins on another transport."""
    RESUME = "resume"
    """A server goes on on the transport on which the session was asked for."""
    CLAIM = "claim"
    """A client has opened this transport for a session that is there already: it is to be handed over to that one."""
    HAND_OVER = "hand over"
    FAULT = "fault"


class State(Enum):
    """Where a session stands on its transport."""

    __hash__ = object.__hash__  # as above

    EXPECT_OPEN = "expect open"
    EXPECT_ACCEPT = "expect accept"
    READY = "ready"
    LEAVING = "leaving"
    """This end said farewell; the peer may still finish."""
    LEFT = "left"
    """The peer said farewell; this end may still finish."""
    PARTING = "parting"
    """Both said farewell; an acknowledgement is missing."""
    SUSPENDED = "suspended"
    """There is no transport now; what was said and heard so far holds, farewells included."""
    CLAIMED = "claimed"
    """At a server: the client wants another session than this, on this transport."""
    CLOSED = "closed"
    FAILED = "failed"


OPEN_STATES = frozenset({State.READY, State.LEAVING, State.LEFT, State.PARTING})
"""Both ends have proved that they are there."""
ENDED_STATES = frozenset({State.CLOSED, State.FAILED})
DEAF_STATES = ENDED_STATES | {State.SUSPENDED, State.CLAIMED}
"""Nothing is read here."""

_TAIL = (Kind.ACK, Kind.PING, Kind.PONG, Kind.REKEY, Kind.DRAIN, Kind.NEW_KEY)
_LIVE = (Kind.DATA, Kind.BATCH, Kind.CANCEL, Kind.GRANT, *_TAIL)

MOVES: dict[State, dict[Kind | Cause, State]] = {
    State.EXPECT_OPEN: {
        Kind.OPEN: State.READY,
        Cause.CLAIM: State.CLAIMED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.EXPECT_ACCEPT: {
        Kind.ACCEPT: State.READY,
        Kind.ALERT: State.FAILED,
        Cause.CUT: State.SUSPENDED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.READY: {
        **dict.fromkeys(_LIVE, State.READY),
        Kind.FAREWELL: State.LEFT,
        Kind.ALERT: State.FAILED,
        Cause.SAY_FAREWELL: State.LEAVING,
        Cause.CUT: State.SUSPENDED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.LEAVING: {
        **dict.fromkeys(_LIVE, State.LEAVING),
        Kind.FAREWELL: State.PARTING,
        Kind.ALERT: State.FAILED,
        Cause.CUT: State.SUSPENDED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.LEFT: {
        **dict.fromkeys(_TAIL, State.LEFT),
        Kind.ALERT: State.FAILED,
        Cause.SAY_FAREWELL: State.PARTING,
        Cause.SETTLED: State.CLOSED,
        Cause.CUT: State.SUSPENDED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.PARTING: {
        **dict.fromkeys(_TAIL, State.PARTING),
        Kind.ALERT: State.FAILED,
        Cause.SETTLED: State.CLOSED,
        Cause.CUT: State.SUSPENDED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.SUSPENDED: {
        Cause.REJOIN: State.EXPECT_ACCEPT,
        Cause.RESUME: State.READY,
        Cause.FAULT: State.FAILED,
    },
    State.CLAIMED: {
        Cause.HAND_OVER: State.CLOSED,
        Cause.END: State.FAILED,
        Cause.FAULT: State.FAILED,
    },
    State.CLOSED: {},
    State.FAILED: {},
}
"""State -> what happens -> next state.  There is no other place that decides whether a record is legal.

A session that is taken up again comes to `READY`, and at once to where the farewells lead that were said before."""


def advance(state: State, cause: Kind | Cause) -> State:
    """Return the state after `cause`.  Raises `IllegalFrame` where the table has no such move."""
    moves = MOVES[state]
    if cause not in moves:
        name = cause.name if isinstance(cause, Kind) else cause.value
        raise IllegalFrame(f"{name} is not legal in the state {state.value!r}")
    return moves[cause]
