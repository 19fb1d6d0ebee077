"""Endings: of a transport, which a session may survive, and of the session.  Floor: PROTOCOL.

Law: what ended a session is kept for ever.  Spec: protocol.md, "Receiving" (what dies), "States", "Resume".

Three kinds of fault.  The *transport* broke, was silent, or changed a byte: a session that may go on on another one is
suspended.  The *peer* broke a rule: it is told, and the session is over.  The *application* gives the link up: the
session is over, and a peer that would wait for its return is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstructer.errors import (
    BadCompression,
    BadFrame,
    BadSeal,
    Busy,
    ConnectionCut,
    NetstructerError,
    PeerFault,
    SessionLost,
    Stalled,
)
from netstructer.protocol import bodies
from netstructer.protocol.events import Ended, Event, Suspended
from netstructer.protocol.states import (
    DEAF_STATES,
    ENDED_STATES,
    MOVES,
    OPEN_STATES,
    AlertCode,
    Cause,
    Kind,
    State,
    advance,
)

if TYPE_CHECKING:
    from netstructer.protocol.session import Session

__all__ = ["abort", "end", "fail", "suffer"]

_CHANGED = (BadSeal, BadFrame)
"""What changed bytes lead to: a seal that does not verify, and a length, which has none, that cannot be."""
_SURVIVED = (ConnectionCut, Stalled, *_CHANGED)
"""What ends a transport and need not end the session: a flipped bit that TCP's checksum missed heals like a cut, and
who attacks by it gains no more than by cutting."""
BAD_SEAL_SECONDS = 60.0
MOST_BAD_SEALS = 5
"""So many in that time end the session: that is no accident any more."""
_ALERT_CODES = {BadCompression: AlertCode.COMPRESSION, Stalled: AlertCode.STALLED}


def end(session: Session, now: float) -> list[Event]:
    """Take in that the transport has ended; that is a cut, unless all that was owed had been said."""
    if session.state in DEAF_STATES and session.state is not State.CLAIMED:
        return []
    outbound = session.outflow.outbound
    unheard = outbound.next_number - outbound.acknowledged
    if (
        Cause.SETTLED in MOVES[session.state]
        and not session.outflow.lanes
        and unheard <= (session.state is State.PARTING)
    ):
        session.state = advance(session.state, Cause.SETTLED)
        return [Ended(error=None)]
    return session.suffer(ConnectionCut("the transport ended without a farewell"), now)


def suffer(session: Session, error: NetstructerError, now: float, *, answer: bool = True) -> list[Event]:
    """Take in that the transport is of no more use: suspend the session, where it may go on on another one, or end it.

    `answer` says whether the peer may be told.
    """
    lasting = session.resumable and Cause.CUT in MOVES[session.state] and _survived(session, error)
    if isinstance(error, _CHANGED):
        session.bad_seals = [when for when in session.bad_seals if now - when < BAD_SEAL_SECONDS] + [now]
        lasting = lasting and len(session.bad_seals) < MOST_BAD_SEALS
    if not lasting:
        if answer and not isinstance(error, ConnectionCut):
            return session.fail(error)
        return _fail(session, error, Cause.END)
    session.state = advance(session.state, Cause.CUT)
    session.since = now if session.since is None else session.since
    session.outflow.disembark()
    return [Suspended(error=error)]


def _survived(session: Session, error: NetstructerError) -> bool:
    # Of a session that is there already a server that is full has said nothing.
    return isinstance(error, _SURVIVED) or (isinstance(error, Busy) and session.suspended)


def fail(session: Session, error: NetstructerError) -> list[Event]:
    """End the session with `error`.  A peer that broke the protocol is told so, unless its seal was what was
    broken.
    """
    if session.state in ENDED_STATES:
        return []
    was_open = session.state in OPEN_STATES
    events = _fail(session, error, Cause.FAULT)
    if was_open and isinstance(error, (PeerFault, Stalled)) and not isinstance(error, BadSeal):
        code = _ALERT_CODES.get(type(error), AlertCode.PROTOCOL)
        session.outflow.control(Kind.ALERT, bodies.Alert(code, type(error).__name__).pack())
    return events


def abort(session: Session, error: NetstructerError) -> list[Event]:
    """End the session at the application's wish; a peer that would wait for it to go on is told."""
    was_open = session.state in OPEN_STATES
    events = session.fail(error)
    if events and was_open and session.resumable:
        session.outflow.control(Kind.ALERT, bodies.Alert(AlertCode.ABORTED, "aborted").pack())
    return events


def _fail(session: Session, error: NetstructerError, cause: Cause | Kind) -> list[Event]:
    if isinstance(error, SessionLost):
        error.unacknowledged = session.outflow.unacknowledged()
    session.error = error
    session.state = advance(session.state, cause)
    session.outflow.end(error)
    session.inflow.end(error)
    return [Ended(error=error)]
