"""Clockwork: what a session does by the clock.  Floor: PROTOCOL.  Law: the clock is an argument, and is monotonic.

Spec: protocol.md, "Ping", "Sending" (when an ACK is due), "Resume" (how long a session waits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstructer.errors import ConnectionCut, SessionLost, Stalled
from netstructer.protocol.events import Event
from netstructer.protocol.states import OPEN_STATES, Kind, State

if TYPE_CHECKING:
    from netstructer.protocol.session import Session

__all__ = ["deadline", "ping", "tick"]


def deadline(session: Session) -> float | None:
    """Return when `tick` or `frames_to_send` has something to do, on the monotonic clock; None where nothing is
    timed.
    """
    if session.since is not None and session.suspended:
        return min(_lost_at(session), _accept_due(session))
    if session.state not in OPEN_STATES:
        return None
    due, ack_due = session.liveness.due(), session.inflow.inbound.due
    return due if ack_due is None or due < ack_due else ack_due


def tick(session: Session, now: float) -> list[Event]:
    """Do what is due: a ping after silence, the end of a transport after more of it, the end of a session that found no
    other.  Acknowledgements go with `frames_to_send`.
    """
    if session.suspended and now >= _lost_at(session):
        seconds = now - (session.since or 0.0)
        return session.fail(SessionLost(f"the session found no transport for {seconds:.0f} seconds"))
    if session.suspended and now >= _accept_due(session):
        return session.suffer(ConnectionCut("the server did not take the session up in time"), now)
    if session.state not in OPEN_STATES:
        return []
    try:
        body = session.liveness.tick(now)
    except Stalled as error:
        return session.suffer(error, now)
    if body is not None:
        session.outflow.control(Kind.PING, body)
    return []


def ping(session: Session, now: float) -> None:
    """Ask the peer for a sign of life, as soon as there is a transport.  One at a time: a second is not sent."""
    session.liveness.wanted |= session.suspended
    if session.state in OPEN_STATES and (body := session.liveness.ping(now)) is not None:
        session.outflow.control(Kind.PING, body)


def _lost_at(session: Session) -> float:
    """Return when a session that is suspended is lost."""
    seconds, stated = session.limits.resume_seconds, session.opening.stated_seconds
    return (session.since or 0.0) + (min(seconds, stated) if stated else seconds)


def _accept_due(session: Session) -> float:
    """Return when the answer to a client that asked for its session must be there."""
    waiting = session.state is State.EXPECT_ACCEPT
    return session.liveness.heard + session.limits.open_seconds if waiting else _lost_at(session)
