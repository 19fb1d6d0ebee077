"""Reactions: what each kind of record does to a session.  Floor: PROTOCOL.

Law: legality is not asked here; `states.MOVES` has said yes before.  Spec: protocol.md, "Receiving".  DATA is not among
them: it is the hot one, and `Session` takes it in itself.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from netstructer.errors import ConnectionCut, IllegalFrame, LinkClosed, LinkLost, Stalled
from netstructer.protocol import bodies, notices
from netstructer.protocol.events import Draining, Event, NewKeyCame, Opened, PeerLeft, ResumeAsked, arrived
from netstructer.protocol.resumption import resumed
from netstructer.protocol.states import AlertCode, Cause, Kind, Role, advance

if TYPE_CHECKING:
    from netstructer.protocol.session import Session

__all__ = ["REACTIONS"]


def on_open(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Open a new session, or say which one is wanted."""
    asked = bodies.Open.unpack(body)
    if asked.mode == bodies.OPEN_RESUME:
        session.claim = asked
        session.state = advance(session.state, Cause.CLAIM)
        events.append(ResumeAsked(session_id=asked.session_id))
        return
    seconds = ceil(session.limits.resume_seconds) if session.resumable else 0
    limit = session.inflow.inbound.limit
    answer, refusal = session.opening.hear(asked, limit, full=session.full(), seconds=seconds)
    if refusal is not None:
        events.extend(session.fail(refusal))
    else:
        session.outflow.outbound.raise_limit(asked.limit)
        session.inflow.opened()
        events.append(Opened())
    session.outflow.control(Kind.ACCEPT, answer)


def on_accept(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Go on with the session that was asked for."""
    inbound, outflow = session.inflow.inbound, session.outflow
    answer = session.opening.conclude(body, inbound, outflow.outbound, outflow.kept.expectable)
    outflow.reconcile(answer.expected, answer.limit)
    if answer.status == bodies.STATUS_RESUMED:
        events.extend(resumed(session, Kind.ACCEPT))
        return
    session.resumable = session.resumable and answer.seconds > 0
    events.append(Opened())


def on_rekey(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Step to the peer's next key."""
    session.inflow.rekey(body, now)


def on_ping(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Answer."""
    session.outflow.control(Kind.PONG, session.liveness.pinged(body, now))


def on_pong(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Take in the answer to a ping."""
    session.liveness.ponged(body, now)


def on_ack(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Forget what the peer has."""
    session.outflow.acknowledge(bodies.Ack.unpack(body))


def on_grant(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Send more of a blob."""
    session.outflow.grant(bodies.Grant.unpack(body))


def on_drain(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Tell the application that the server is about to leave."""
    drain = bodies.Drain.unpack(body)
    if session.role is not Role.CLIENT:
        raise IllegalFrame("a client does not drain")
    events.append(Draining(seconds=drain.milliseconds / 1000))


def on_new_key(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Tell the application which key to use next."""
    given = notices.NewKey.unpack(body)
    if session.role is not Role.CLIENT:
        raise IllegalFrame("a client gives no keys")
    events.append(NewKeyCame(key=given.key))


def on_alert(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """End the session, or only this transport, where the peer heard nothing on it."""
    alert = bodies.Alert.unpack(body)
    if alert.code == AlertCode.STALLED:
        events.extend(session.suffer(Stalled("the peer heard nothing from this end for too long"), now, answer=False))
    elif alert.code == AlertCode.ABORTED:
        events.extend(session.fail(ConnectionCut("the peer aborted the link")))
    else:
        events.extend(session.fail(LinkLost(f"the peer gave the link up: alert {alert.code} {alert.text!r}")))


def on_batch(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Deliver the messages of a batch."""
    messages = session.inflow.batch(body, now)
    if session.outflow.farewell is None:
        session.traffic.received(sum(message.plain_bytes for message in messages), len(messages))
        events.extend(map(arrived, zip(messages, strict=False)))
    else:
        for message in messages:
            session.deliver(message, events)


def on_cancel(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Forget a message of the peer's, or give up one of this end's."""
    cancel = bodies.Cancel.unpack(body)
    by_sender = stream & 1 == (session.role is Role.SERVER)
    if session.inflow.cancel(cancel, stream, by_sender=by_sender, now=now) and not by_sender:
        session.outflow.cancelled(cancel, stream)


def on_farewell(session: Session, stream: int, body: memoryview, now: float, events: list[Event]) -> None:
    """Tell the application that the peer leaves, and leave too, after what is queued."""
    farewell = bodies.Farewell.unpack(body)
    session.inflow.farewell(farewell, now)
    session.left_by_peer = True
    session.outflow.give_up_blobs(LinkClosed("the peer closed the link before it had the blobs"))
    events.append(PeerLeft(code=farewell.code, text=farewell.text))
    session.say_farewell()


REACTIONS: dict[int, Callable[[Session, int, memoryview, float, list[Event]], None]] = {
    Kind.OPEN: on_open,
    Kind.ACCEPT: on_accept,
    Kind.REKEY: on_rekey,
    Kind.PING: on_ping,
    Kind.PONG: on_pong,
    Kind.ACK: on_ack,
    Kind.GRANT: on_grant,
    Kind.DRAIN: on_drain,
    Kind.NEW_KEY: on_new_key,
    Kind.ALERT: on_alert,
    Kind.CANCEL: on_cancel,
    Kind.FAREWELL: on_farewell,
    Kind.BATCH: on_batch,
}
