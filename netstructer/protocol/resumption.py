"""Resumption: a session goes from one transport to the next.  Floor: PROTOCOL.

Law: what one end has is said by that end, and nothing is taken twice.  Spec: protocol.md, "Resume".

    client                                              server
    suspended                                           online, or suspended
    rejoin(agreement)     OPEN, mode 2: id, proof,      a fresh session hears it: ResumeAsked
      expect accept       where each direction stands   the session of that id: adopt(fresh)
    resumed               <- ACCEPT, status 1, where      the old transport is over from here on: whatever
                          each direction stands           its socket still holds is never read

After that each end sends again, in order, what the other does not have.  Both have kept what was not acknowledged, and
what a record means does not depend on the transport: streams, half messages, grants are the session's.

Fencing.  A transport that looks dead at one end may not be.  The moment a session is adopted its old reader and its old
frames are out of use; then, and not before, it is read where this end stands, and said in ACCEPT.  So of a record that
arrived twice one was either never opened, or has a number that was had before.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from netstructer.errors import Misuse, SessionLost
from netstructer.protocol import notices
from netstructer.protocol.events import Event, Resumed
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.states import ENDED_STATES, Cause, Kind, State, advance

if TYPE_CHECKING:
    from netstructer.protocol.session import Session

__all__ = ["adopt", "decline", "rejoin", "resumed"]


def rejoin(session: Session, agreement: Agreement, now: float) -> None:
    """Begin on another transport, after its handshake: at a client that is suspended.

    `Resumed` follows when the server has agreed, `Ended` with `SessionLost` where it does not know the session.  Raises
    `Misuse`, and nothing is changed, for a handshake that agreed on another cipher than the session has.
    """
    if agreement.cipher is not session.cipher:
        raise Misuse(f"the session goes on under {session.cipher.name}, and under no other cipher")
    session.state = advance(session.state, Cause.REJOIN)
    session.inflow.board(agreement.receive_secret, now)
    asked = session.opening.ask_again(session.inflow.inbound, session.outflow.outbound, agreement.binding)
    session.outflow.board(agreement.send_secret, now, asked)
    session.liveness.restart(now)


def adopt(session: Session, newcomer: Session, now: float) -> list[Event]:
    """Go on on the transport of a server's fresh session that was claimed; what was on the former one is over.

    Raises `SessionLost`, and nothing is changed, where the client does not prove that this session is its own, or
    its end of it does not fit to this one: then `newcomer.decline()`.
    """
    asked = newcomer.claim
    if asked is None or not session.resumable or session.state in ENDED_STATES:
        raise SessionLost("there is no such session")
    if (newcomer.owner, newcomer.peer_limits) != (session.owner, session.peer_limits):
        raise SessionLost("the session was opened with another key, or other limits")
    if newcomer.cipher is not session.cipher:
        raise SessionLost("the session was opened with another cipher")
    inbound, outbound = session.inflow.inbound, session.outflow.outbound
    session.opening.check(asked, inbound, outbound, session.outflow.kept.expectable, newcomer.binding)
    if session.state is not State.SUSPENDED:
        session.state = advance(session.state, Cause.CUT)
    newcomer.state = advance(newcomer.state, Cause.HAND_OVER)
    session.inflow.take_over(newcomer.inflow)
    session.outflow.take_over(newcomer.outflow)
    session.liveness.restart(now)
    session.outflow.reconcile(asked.expected, asked.limit)
    seconds = ceil(session.limits.resume_seconds)
    session.outflow.control(Kind.ACCEPT, session.opening.go_on(inbound, outbound, seconds, newcomer.binding))
    return resumed(session, Cause.RESUME)


def decline(session: Session) -> list[Event]:
    """Tell the client that the session which it claimed is not here; end this one."""
    assert session.claim is not None
    answer = session.opening.decline(session.claim.session_id, session.inflow.inbound.limit)
    events = session.fail(SessionLost("the peer asks for a session that is not here"))
    session.outflow.control(Kind.ACCEPT, answer)
    return events


def resumed(session: Session, cause: Cause | Kind) -> list[Event]:
    """Go on: say again what only the transport before may have carried, and stand where the farewells have led."""
    session.since = None
    session.resumes += 1
    session.state = advance(session.state, cause)
    if session.left_by_peer:
        session.state = advance(session.state, Kind.FAREWELL)
    if session.outflow.parted:
        session.state = advance(session.state, Cause.SAY_FAREWELL)
    session.inflow.inbound.hurry()
    session.arrivals.say_again()
    notices.say_again(session)
    if session.liveness.wanted:
        session.ping(session.liveness.heard)
    return [Resumed()]
