"""Resumption: what ends a transport, how a session is asked for, and what each end sends again.

Whole conversations under cuts at any byte are in test_resume_model.py.  Here each rule is broken by itself.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from netstructer.codec.blob import Blob
from netstructer.errors import (
    BadFrame,
    BadSeal,
    Busy,
    ConnectionCut,
    FrameTooBig,
    IllegalFrame,
    LinkClosed,
    LinkLost,
    MessageCancelled,
    MessageTooBig,
    NetstructerError,
    OutOfOrder,
    SessionLost,
    SourceFailed,
    Stalled,
)
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol import opening as opening_module
from netstructer.protocol.endings import BAD_SEAL_SECONDS, MOST_BAD_SEALS
from netstructer.protocol.events import (
    Draining,
    Ended,
    Event,
    MessageArrived,
    Opened,
    PeerLeft,
    ResumeAsked,
    Resumed,
    Suspended,
)
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.session import Session
from netstructer.protocol.states import CancelCode, Flag, Kind, Role, State
from pair import (
    ALL_FEATURES,
    INSTANCE,
    RESUMABLE,
    TINY,
    Hostile,
    Pair,
    agreement,
    error_in,
    feed,
    messages_in,
    proof_of,
    read,
    send,
)
from roaming import RoamingPair

KIB, MIB = 1 << 10, 1 << 20
TAKEN = int(Flag.TAKEN)
SMALL = Limits(credit_bytes=64 * KIB, body_bytes=4 * KIB, backlog_bytes=256 * KIB)


def roaming(limits: Limits = Limits.DEFAULT) -> RoamingPair:
    """Return two ends on their first transport."""
    pair = RoamingPair(limits=limits, features=RESUMABLE)
    for end in pair.ends:
        assert end.of(Opened)
        end.events.clear()
    return pair


def went_on(pair: RoamingPair) -> bool:
    """Renew the transport; say whether both ends went on once, and forget what they were told."""
    pair.mend()
    pair.pump()
    found = [[type(event) for event in end.events if not isinstance(event, MessageArrived)] for end in pair.ends]
    for end in pair.ends:
        end.events.clear()
    return [kinds.count(Resumed) for kinds in found] == [1, 1] and not any(Ended in kinds for kinds in found)


def values(pair: Pair) -> tuple[list[object], list[object]]:
    """Pump; return what the client and the server have read."""
    pair.pump()
    return pair.client.read(), pair.server.read()


def suspended(role: Role) -> Hostile:
    """Return a hostile peer of a session that has lost its transport."""
    return Hostile(role, features=RESUMABLE).stand(State.SUSPENDED)


def opened(role: Role) -> Hostile:
    return Hostile(role, features=RESUMABLE).stand(State.READY)


def back(hostile: Hostile) -> bodies.Open:
    """Let a client that is suspended ask on a new transport; return what it says."""
    hostile.session.rejoin(agreement(Role.CLIENT, Limits.DEFAULT, features=RESUMABLE), hostile.now)
    hostile.renew()
    [record] = hostile.hear()
    assert record.kind == Kind.OPEN
    return bodies.Open.unpack(record.body)


def accept(hostile: Hostile, **changes: Any) -> list[Event]:
    """Answer that the session goes on."""
    proof = proof_of(hostile.session.opening._secret, b"ns1 accept", hostile.session.binding)[:16]
    answer = bodies.Accept(bodies.STATUS_RESUMED, proof, INSTANCE, 1, hostile.number, 8 * MIB, 120)
    return hostile.say(Kind.ACCEPT, body=answer._replace(**changes).pack())


def claim(**changes: Any) -> Hostile:
    """Return a server's fresh session, and who asks it for the one of `Hostile.open`."""
    found = Hostile(Role.SERVER, features=RESUMABLE)
    found.ask(**{"session_id": bytes(16), "secret": bytes(32), **changes})
    return found


def kinds_of(records: list[Any]) -> list[int]:
    return [record.kind for record in records]


# --- the transport ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_the_end_of_the_transport_suspends_and_nothing_is_said_or_heard_then(role: Role) -> None:
    hostile = opened(role)
    session = hostile.session
    frames = session.frames
    [event] = session.end(0.0)
    assert isinstance(event, Suspended)
    assert type(event.error) is ConnectionCut
    assert (session.state, session.suspended, session.error) == (State.SUSPENDED, True, None)
    assert session.end(1.0) == []
    assert hostile.say(Kind.PING, body=bytes(8)) == []
    frames.feed(hostile.seal(Kind.PING, body=bytes(8)))
    assert session.receive(1.0) == []
    session.ping(1.0)
    session.drain(5.0)
    assert hostile.hear() == []
    assert not session.has_output(1.0)
    session.check_open()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]), BadSeal),
        (lambda frame: frame[:4] + b"\x81" + frame[5:], BadSeal),
        (lambda frame: b"\0\0\0\x10" + frame[4:], BadFrame),
        (lambda frame: b"\x7f" + frame[1:], FrameTooBig),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_changed_bytes_suspend_and_are_not_answered(role: Role, change: Any, error: type[NetstructerError]) -> None:
    hostile = opened(role)
    [event] = hostile.session.receive_data(change(hostile.seal(Kind.PING, body=bytes(8))), 0.0)

    assert isinstance(event, Suspended)
    assert type(event.error) is error
    assert hostile.hear() == []
    assert hostile.session.state is State.SUSPENDED


def test_a_record_out_of_order_suspends() -> None:
    hostile = opened(Role.SERVER)
    hostile.sequence += 1
    [event] = hostile.data(b"\xc0")

    assert isinstance(event, Suspended)
    assert type(event.error) is OutOfOrder


def test_five_changed_bytes_in_a_minute_end_it() -> None:
    pair = roaming()
    kinds: list[type] = []
    for times in range(MOST_BAD_SEALS + 2):
        pair.now += BAD_SEAL_SECONDS / (MOST_BAD_SEALS - 1) + 0.1  # one more than may be in a minute never come
        kinds += [type(event) for event in pair.server.session.receive_data(bytes(4 + 89 * (times % 2)), pair.now)]
        if times % 2:
            assert isinstance(pair.server.session.receive_data(b"", pair.now), list)
        pair.notice_at_client()
        assert went_on(pair)
    assert kinds == [Suspended] * (MOST_BAD_SEALS + 2)
    pair.now += 2 * BAD_SEAL_SECONDS
    for _ in range(MOST_BAD_SEALS - 1):
        [event] = pair.server.session.receive_data(bytes(4), pair.now)
        assert isinstance(event, Suspended)
        pair.notice_at_client()
        assert went_on(pair)
    last = pair.server.session.receive_data(bytes(4), pair.now)

    assert type(error_in(last)) is BadFrame
    assert pair.server.state is State.FAILED


def test_a_peer_that_breaks_a_rule_ends_it() -> None:
    for role in Role:
        hostile = opened(role)
        assert type(error_in(hostile.say(0x7F))) is IllegalFrame
        assert kinds_of(hostile.hear()) == [Kind.ALERT]
        assert hostile.session.state is State.FAILED


def test_silence_suspends_without_a_word() -> None:
    for role in Role:
        hostile = opened(role)
        hostile.session.tick(20.0)
        assert kinds_of(hostile.hear()) == [Kind.PING]
        [event] = hostile.session.tick(50.0)
        assert isinstance(event, Suspended)
        assert type(event.error) is Stalled
        assert hostile.hear() == []


def test_an_alert_of_silence_suspends_and_one_of_an_abort_ends_it() -> None:
    for role in Role:
        hostile = opened(role)
        [event] = hostile.say(Kind.ALERT, body=bodies.Alert(3, "Stalled").pack())
        assert isinstance(event, Suspended)
        assert type(event.error) is Stalled
        hostile = opened(role)
        error = error_in(hostile.say(Kind.ALERT, body=bodies.Alert(4, "aborted").pack()))
        assert type(error) is ConnectionCut
        assert "aborted" in str(error)
        assert hostile.hear() == []
        assert type(error_in(opened(role).say(Kind.ALERT, body=bodies.Alert(1, "x").pack()))) is LinkLost


def test_an_abort_tells_the_peer_that_would_wait() -> None:
    for role in Role:
        hostile = opened(role)
        assert type(error_in(hostile.session.abort(LinkClosed("here")))) is LinkClosed
        [alert] = hostile.hear()
        assert (alert.kind, bodies.Alert.unpack(alert.body).code) == (Kind.ALERT, 4)
        assert hostile.session.abort(LinkClosed("again")) == []
        assert hostile.hear() == []
        lost = suspended(role)
        assert type(error_in(lost.session.abort(LinkClosed("here")))) is LinkClosed
        assert lost.hear() == []
        plain = Hostile(role).stand(State.READY)
        plain.session.abort(LinkClosed("here"))
        assert plain.hear() == []


@pytest.mark.parametrize("role", list(Role))
def test_a_session_without_the_feature_ends_with_its_transport(role: Role) -> None:
    hostile = Hostile(role, features=ALL_FEATURES).stand(State.READY)
    assert not hostile.session.resumable
    assert type(error_in(hostile.session.end(0.0))) is ConnectionCut
    hostile = Hostile(role, features=ALL_FEATURES).stand(State.READY)
    assert type(error_in(hostile.session.receive_data(bytes(4), 0.0))) is BadFrame
    assert kinds_of(hostile.hear()) == [Kind.ALERT]
    hostile = Hostile(role, features=ALL_FEATURES).stand(State.READY)
    assert type(error_in(hostile.session.tick(1e3))) is Stalled
    [alert] = hostile.hear()
    assert bodies.Alert.unpack(alert.body).code == 3
    hostile = Hostile(role, features=ALL_FEATURES).stand(State.READY)
    send(hostile.session, 1)
    hostile.hear()
    assert len(hostile.session.outflow.kept) == 0


def test_a_server_that_keeps_nothing_says_so() -> None:
    hostile = Hostile(Role.CLIENT, features=RESUMABLE)
    body = bodies.Accept(bodies.STATUS_NEW, hostile.session_id, INSTANCE, 1, 1, 8 * MIB, 0).pack()
    assert hostile.say(Kind.ACCEPT, body=body) == [Opened()]
    assert not hostile.session.resumable
    assert type(error_in(hostile.session.end(0.0))) is ConnectionCut
    plain = Hostile(Role.SERVER, features=ALL_FEATURES)
    plain.open()
    [record] = plain.hear()
    assert bodies.Accept.unpack(record.body).seconds == 0
    lasting = Hostile(Role.SERVER, features=RESUMABLE)
    lasting.open()
    [record] = lasting.hear()
    assert bodies.Accept.unpack(record.body).seconds == 120


# --- asking: what the server checks -----------------------------------------------------------------------------------


def standing() -> Hostile:
    """Return a server's session, suspended: the peer has sent two values and had three, of which it said one."""
    hostile = opened(Role.SERVER)
    for _ in range(2):
        hostile.data(b"\xc0")
    for value in range(3):
        send(hostile.session, value)
    hostile.hear()
    hostile.say(Kind.ACK, body=bodies.Ack(2, 8 * MIB, 0).pack())
    hostile.session.end(0.0)
    send(hostile.session, "has a number, and was never sent")
    assert hostile.hear() == []
    return hostile


FITS = {"expected": 4, "following": 3, "limit": 8 * MIB}


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": bytes(31) + b"\1"},
        {"session_id": bytes(15) + b"\1"},
        {"instance": b"\x45" * 16},
        {"instance": bytes(16)},
        {"expected": 1},
        {"expected": 0},
        {"expected": 5},
        {"expected": 6},
        {"following": 2},
        {"following": 0},
        {"limit": 8 * MIB - 1},
    ],
)
def test_one_thing_that_does_not_fit_and_nothing_has_changed(changes: dict[str, Any]) -> None:
    session = standing().session
    for _ in range(2):
        newcomer = claim(**{**FITS, **changes})
        with pytest.raises(SessionLost):
            session.adopt(newcomer.session, 1.0)
        assert session.state is State.SUSPENDED
        assert newcomer.session.state is State.CLAIMED
        assert type(error_in(newcomer.session.decline())) is SessionLost
        [record] = newcomer.hear()
        answer = bodies.Accept.unpack(record.body)
        asked = changes.get("session_id", bytes(16))
        assert answer[:5] == (bodies.STATUS_UNKNOWN, asked, INSTANCE, 1, 1)
        assert answer.seconds == 0

    newcomer = claim(**FITS)
    assert session.adopt(newcomer.session, 1.0) == [Resumed()]


@pytest.mark.parametrize("expected", [2, 3, 4])
def test_what_fits_goes_on_from_there(expected: int) -> None:
    session = standing().session
    newcomer = claim(**{**FITS, "expected": expected, "following": 9, "limit": 9 * MIB})
    assert session.adopt(newcomer.session, 1.0) == [Resumed()]
    assert (session.state, newcomer.session.state) == (State.READY, State.CLOSED)
    assert newcomer.hear() == []
    newcomer.session = session
    heard = newcomer.hear()

    assert kinds_of(heard) == [Kind.ACCEPT, Kind.ACK, *[Kind.DATA] * (5 - expected)]
    answer = bodies.Accept.unpack(heard[0].body)
    proof = proof_of(bytes(32), b"ns1 accept", newcomer.session.binding)[:16]
    assert answer == (bodies.STATUS_RESUMED, proof, INSTANCE, 3, 5, session.inflow.inbound.limit, 120)
    numbers = [bodies.number_of(memoryview(record.body))[0] for record in heard[2:]]
    assert numbers == list(range(expected, 5))
    assert session.outflow.outbound.limit == 9 * MIB
    assert session.outflow.outbound.acknowledged == 2  # whoever waits, waits for an ACK
    newcomer.say(Kind.ACK, body=bodies.Ack(5, 9 * MIB, 0).pack())
    assert len(session.outflow.kept) == 0


def test_the_proof_is_compared_in_constant_time_and_first(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(opening_module, "compare_digest", spy)
    session = standing().session
    for changes in ({"secret": b"x" * 32}, {"session_id": b"x" * 16}, {"expected": 9}, {}):
        newcomer = claim(**{**FITS, **changes})
        if changes:
            with pytest.raises(SessionLost):
                session.adopt(newcomer.session, 1.0)
        else:
            session.adopt(newcomer.session, 1.0)
    proof = proof_of(bytes(32), b"ns1 open", session.binding)

    assert [other for _, other in compared] == [proof] * 4
    assert [one == proof for one, _ in compared] == [False, True, True, True]


def test_a_proof_is_good_on_its_own_transport_only() -> None:
    """Who stands between two ends, with the key of both, has two handshakes: what he hears in one is of no use in the
    other."""
    session = standing().session
    newcomer = Hostile(Role.SERVER, features=RESUMABLE)
    newcomer.session.binding = b"of his handshake with the server"
    heard = proof_of(bytes(32), b"ns1 open", session.binding)
    newcomer.say(Kind.OPEN, body=bodies.Open(bodies.OPEN_RESUME, bytes(16), heard, 4, 3, 8 * MIB, INSTANCE).pack())
    with pytest.raises(SessionLost, match="does not prove"):
        session.adopt(newcomer.session, 1.0)
    assert session.state is State.SUSPENDED

    secret = asking().session.opening._secret
    binding = asking().session.binding
    for answer in (
        proof_of(secret, b"ns1 accept", b"of his handshake with the server")[:16],
        proof_of(secret, b"ns1 open", binding)[:16],
        asking().session_id,
        bytes(16),
    ):
        assert type(error_in(accept(asking(), expected=3, session_id=answer))) is IllegalFrame
    assert accept(asking(), expected=3, session_id=proof_of(secret, b"ns1 accept", binding)[:16]) == [Resumed()]


def test_whose_session_it_is_is_checked() -> None:
    def server(user: str | None, limits: Limits = Limits.DEFAULT) -> Hostile:
        found = Hostile(Role.SERVER, features=RESUMABLE)
        found.session.owner, found.session.peer_limits = user, limits
        return found

    def asked(user: str | None, limits: Limits = Limits.DEFAULT) -> Session:
        found = server(user, limits)
        found.ask(session_id=bytes(16), secret=bytes(32))
        return found.session

    ada = server("ada")
    ada.open()
    ada.session.end(0.0)
    other = Limits(credit_bytes=MIB)
    for newcomer in (asked("bob"), asked(None), asked("ada", other)):
        with pytest.raises(SessionLost, match="another key, or other limits"):
            ada.session.adopt(newcomer, 1.0)
        assert ada.session.state is State.SUSPENDED
    assert ada.session.adopt(asked("ada"), 1.0) == [Resumed()]


def test_the_owner_is_whose_key_the_handshake_had() -> None:
    plain = agreement(Role.SERVER, Limits.DEFAULT, features=RESUMABLE)
    owners = [session_with(replace(plain, user=user)).owner for user in ("ada", "bob", None)]

    assert owners == ["ada", "bob", None]


def session_with(found: Agreement) -> Session:
    return Session(
        Role.SERVER,
        found,
        limits=Limits.DEFAULT,
        now=0.0,
        draw=os.urandom,
        wall=lambda: 0.0,
        instance=INSTANCE,
    )


@pytest.mark.parametrize("state", [State.EXPECT_OPEN, State.CLAIMED, State.CLOSED, State.FAILED])
def test_a_session_that_is_not_there_is_not_taken_up(state: State) -> None:
    session = Hostile(Role.SERVER, features=RESUMABLE).stand(state).session
    with pytest.raises(SessionLost):
        session.adopt(claim().session, 1.0)
    assert session.state is state


def test_a_session_that_may_not_go_on_and_a_newcomer_that_asks_for_nothing() -> None:
    plain = Hostile(Role.SERVER, features=ALL_FEATURES).stand(State.READY).session
    with pytest.raises(SessionLost, match="no such session"):
        plain.adopt(claim().session, 1.0)
    lasting = suspended(Role.SERVER).session
    for newcomer in (opened(Role.SERVER), Hostile(Role.SERVER, features=RESUMABLE)):
        with pytest.raises(SessionLost, match="no such session"):
            lasting.adopt(newcomer.session, 1.0)
    assert lasting.state is State.SUSPENDED


def test_a_fresh_session_that_is_claimed_reads_no_further_and_ends_with_its_transport() -> None:
    newcomer = Hostile(Role.SERVER, features=RESUMABLE)
    assert newcomer.ask(session_id=b"z" * 16) == [ResumeAsked(session_id=b"z" * 16)]
    assert newcomer.say(0x7F) == []
    assert newcomer.hear() == []
    assert type(error_in(newcomer.session.end(1.0))) is ConnectionCut
    assert newcomer.session.state is State.FAILED


# --- asking: what the client checks -----------------------------------------------------------------------------------


def asking() -> Hostile:
    """Return a client's session that has asked: it has sent three values, one acknowledged, and had two."""
    hostile = opened(Role.CLIENT)
    for _ in range(2):
        hostile.data(b"\xc0")
    for value in range(3):
        send(hostile.session, value)
    hostile.hear()
    hostile.say(Kind.ACK, body=bodies.Ack(2, 8 * MIB, 0).pack())
    hostile.session.end(0.0)
    send(hostile.session, "never sent")
    asked = back(hostile)
    assert asked == (
        bodies.OPEN_RESUME, hostile.session_id, asked.secret, 3, 4, hostile.session.inflow.inbound.limit, INSTANCE,
    )  # fmt: skip
    secret = hostile.session.opening._secret
    assert asked.secret == proof_of(secret, b"ns1 open", hostile.session.binding) != secret
    return hostile


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": bodies.STATUS_UNKNOWN}, SessionLost),
        ({"status": bodies.STATUS_UNKNOWN, "session_id": bytes(16)}, SessionLost),
        ({"status": bodies.STATUS_NEW, "expected": 1, "following": 1}, IllegalFrame),
        ({"session_id": bytes(16)}, IllegalFrame),
        ({"instance": bytes(16)}, IllegalFrame),
        ({"expected": 1}, IllegalFrame),
        ({"expected": 5}, IllegalFrame),
        ({"following": 2}, IllegalFrame),
        ({"limit": 8 * MIB - 1}, IllegalFrame),
    ],
)
def test_an_accept_that_does_not_fit_ends_it(changes: dict[str, Any], error: type[NetstructerError]) -> None:
    hostile = asking()
    found = error_in(accept(hostile, **{"expected": 3, **changes}))

    assert type(found) is error
    assert hostile.session.state is State.FAILED
    assert hostile.hear() == []
    if isinstance(found, SessionLost):
        assert found.unacknowledged == (2, 3, 4)


@pytest.mark.parametrize("expected", [2, 3, 4])
def test_an_accept_that_fits(expected: int) -> None:
    hostile = asking()
    assert accept(hostile, expected=expected, limit=9 * MIB) == [Resumed()]
    said = hostile.hear()

    assert kinds_of(said) == [Kind.ACK, *[Kind.DATA] * (5 - expected)]
    assert [bodies.number_of(memoryview(record.body))[0] for record in said[1:]] == list(range(expected, 5))
    assert bodies.Ack.unpack(memoryview(said[0].body)).expected == 3
    assert not hostile.session.suspended


def test_a_full_server_does_not_end_what_is_to_go_on() -> None:
    hostile = asking()
    [event] = accept(hostile, status=bodies.STATUS_BUSY)
    assert isinstance(event, Suspended)
    assert type(event.error) is Busy
    back(hostile)
    assert accept(hostile, expected=3) == [Resumed()]


def test_an_accept_of_a_session_taken_up_where_a_new_one_was_asked_for() -> None:
    hostile = Hostile(Role.CLIENT, features=RESUMABLE)

    assert type(error_in(accept(hostile))) is IllegalFrame


def test_nothing_is_said_between_open_and_accept() -> None:
    hostile = opened(Role.CLIENT)
    blob = Blob(os.urandom(MIB))
    value = b"".join(buffer for buffer in hostile.session.payloads.encode(blob).buffers)
    [message] = messages_in(hostile.first(value, len(value), place=1, last=True))
    hostile.session.take(message)
    arrival = hostile.session.arrival(message, 0)
    for place in range(4):
        chunk = os.urandom(64 * KIB - 100)
        if place:
            hostile.more(chunk)
        else:
            hostile.first(chunk, MIB, kind=bodies.BLOB, parent=hostile.number - 1)
    assert Kind.GRANT in kinds_of(hostile.hear())
    hostile.session.end(0.0)
    back(hostile)
    send(hostile.session, "meanwhile")
    hostile.session.ping(0.0)
    arrival.reading, arrival.window_bytes, granted = True, 4 * MIB, arrival.granted
    hostile.session.arrivals.consumed(arrival, 200 * KIB)
    assert arrival.granted > granted
    hostile.session.inflow.inbound.hurry()
    assert hostile.hear() == []
    assert not hostile.session.has_output(0.0)
    assert accept(hostile) == [Resumed()]
    said = hostile.hear()

    assert kinds_of(said) == [Kind.GRANT, Kind.PING, Kind.ACK, Kind.DATA]
    assert bodies.Grant.unpack(memoryview(said[0].body)).limit == arrival.granted


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_cut_at_every_byte_of_an_exchange_loses_and_doubles_nothing() -> None:
    def exchange(up: int, down: int) -> int:
        pair = roaming()
        for end in pair.ends:
            send(end.session, "queued")
            batch = Batch()
            for row in ("a", 2, [3.0]):
                batch.add(end.session.payloads.encode(row))
            end.session.queue(batch)
            send(end.session, [1, "last"], flags=TAKEN)
            pair.seal(end)
        whole = len(pair.client.wire)
        pair.cut(min(up, whole), min(down, whole))
        assert went_on(pair)
        expected = ["queued", "a", 2, [3.0], [1, "last"]]
        assert values(pair) == (expected, expected)
        pair.pump()
        for end in pair.ends:
            assert len(end.session.outflow.kept) == 0
            assert end.session.taken(3)
            assert end.session.traffic.messages_received == 5
        return whole

    whole = exchange(0, 0)
    for place in range(0, whole + 1, 9):
        exchange(place, whole - place)
    assert whole > 300


def test_facts_of_a_session_are_those_of_all_its_transports() -> None:
    pair = roaming()
    client, server = pair.client.session, pair.server.session
    names = client.id, client.session_id, server.session_id
    send(client, "x" * 5000)
    pair.pump()
    before = client.traffic.wire_sent
    assert before == len(pair.client.said) == server.traffic.wire_received
    pair.cut(0, 0)
    assert went_on(pair)
    send(client, "y" * 5000)
    pair.pump()

    assert (client.id, client.session_id, server.session_id) == names
    assert client.id == server.id
    assert client.traffic.wire_sent == len(pair.client.said) == server.traffic.wire_received > before
    assert server.traffic.wire_sent == len(pair.server.said) == client.traffic.wire_received


def test_a_full_server_refuses_a_session_that_could_go_on() -> None:
    server = Hostile(Role.SERVER, features=RESUMABLE)
    server.session.full = lambda: True
    assert type(error_in(server.open())) is Busy
    [record] = server.hear()
    assert bodies.Accept.unpack(record.body).status == bodies.STATUS_BUSY
    assert server.session.state is State.FAILED


def test_a_message_in_the_middle_goes_on() -> None:
    pair = roaming(SMALL)
    value = os.urandom(40 * KIB)
    for end in pair.ends:
        send(end.session, value)
        pair.seal(end, 15 * KIB)
    pair.cut(9 * KIB, 5 * KIB)
    assert [end.session.receiving for end in pair.ends] == [True, True]
    assert went_on(pair)
    assert values(pair) == ([value], [value])


def test_a_blob_goes_on_where_it_was_and_its_grants_are_said_again() -> None:
    pair = roaming()
    data = os.urandom(3 * MIB)
    outgoing = send(pair.client.session, [Blob(data)], flags=TAKEN)
    cuts = 0
    for _ in range(200):
        pair.seal(pair.client, 100 * KIB)
        pair.carry(pair.client)
        pair.seal(pair.server)
        if cuts < 20:
            pair.cut(0, 0)  # with every grant that was said
            cuts += 1
            pair.mend()
        if outgoing.done:
            break
    pair.pump()
    [message] = pair.server.inbox
    value = read(pair.server.session, message)

    assert cuts == 20
    assert isinstance(value, list)
    assert bytes(value[0]) == data


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_cancel_crosses_the_cut_and_comes_before_what_would_belie_it(before: int) -> None:
    """A refusal that was lost with its transport: where the server stands is no acknowledgement for who waits.

    Nor may the ACK that was lost with it be said again, while something stands before it that was lost, too.
    """
    pair = roaming()
    pair.server.session.inflow.assembly._limits = TINY
    for number in range(before):
        send(pair.server.session, number)
    pair.seal(pair.server)
    outgoing = send(pair.client.session, os.urandom(400_000), flags=int(Flag.ACKNOWLEDGE))
    while pair.seal(pair.client):
        pass
    assert outgoing.done
    last = outgoing.last_number
    pair.carry(pair.client)  # it comes, and is refused
    pair.seal(pair.server)
    pair.cut(0, 0)
    assert pair.redial()
    seen = []
    client = pair.client.session
    for _ in range(20):
        pair.now += 0.1
        for end in pair.ends:
            pair.seal(end)
        while pair.server.wire:
            pair.carry(pair.server, 4 + int.from_bytes(pair.server.wire[:4], "big"))
            seen.append((client.acknowledged(last), type(outgoing.error)))
        pair.carry(pair.client)

    assert (False, type(None)) in seen
    assert (True, type(None)) not in seen
    assert seen[-1] == (True, MessageTooBig)


def test_a_cancel_goes_before_the_acknowledgement_and_stops_it_where_it_cannot_go_yet() -> None:
    hostile = opened(Role.SERVER)
    hostile.first(b"x" * 100, 1 << 62)
    said = hostile.hear()
    hostile.now += 1
    assert kinds_of(said) == [Kind.CANCEL]
    [ack] = hostile.hear()
    assert bodies.Ack.unpack(memoryview(ack.body)).expected == 2

    # Now one that has its number behind what waits for credit.
    hostile.session.end(0.0)
    while hostile.session.outflow.outbound.sent <= 8 * MIB:
        send(hostile.session, os.urandom(MIB))
        hostile.session.frames_to_send(1, 0.0)
    sent = hostile.session.outflow.kept
    newcomer = claim(expected=2, following=2)
    assert hostile.session.adopt(newcomer.session, 1.0) == [Resumed()]
    hostile.renew()
    hostile.sequence = 1
    while any(kind == Kind.DATA for kind in kinds_of(hostile.hear())):
        pass
    assert sent.waiting
    hostile.number = 2
    hostile.more(b"y")
    hostile.first(b"x" * 100, 1 << 62, stream=3)
    hostile.now += 1
    [ack] = hostile.hear()
    assert (ack.kind, bodies.Ack.unpack(memoryview(ack.body)).expected) == (Kind.ACK, 2)
    assert not hostile.session.has_output(hostile.now) or hostile.hear() == []
    hostile.say(Kind.ACK, body=bodies.Ack(2, 64 * MIB, 0).pack())
    said = hostile.hear(64 * MIB)
    kinds = kinds_of(said)
    assert kinds.count(Kind.CANCEL) == 1
    assert set(kinds[: kinds.index(Kind.CANCEL)]) == {Kind.DATA, Kind.ACK} - (
        {Kind.ACK} if Kind.ACK not in kinds else set()
    )
    hostile.now += 1
    final = [record for record in [*said, *hostile.hear()] if record.kind == Kind.ACK][-1]
    assert bodies.Ack.unpack(memoryview(final.body)).expected == 4


def test_an_acknowledgement_of_what_no_transport_carried_is_refused() -> None:
    session = standing().session
    newcomer = claim(**{**FITS, "limit": 8 * MIB})
    session.adopt(newcomer.session, 1.0)
    newcomer.session = session
    events = newcomer.say(Kind.ACK, body=bodies.Ack(5, 8 * MIB, 0).pack())

    assert type(error_in(events)) is IllegalFrame


@pytest.mark.parametrize("out", [True, False])
def test_who_waits_for_a_pong_across_a_cut_gets_another_one(out: bool) -> None:
    """A ping that was out is lost with its transport; one that was asked for without a transport was never sent."""
    for waiting in (0, 1):
        pair = roaming()
        session = pair.ends[waiting].session
        if out:
            session.ping(pair.now)
            assert pair.seal(pair.ends[waiting])
        pair.cut(0, 0)
        if not out:
            session.ping(pair.now)
        assert session.liveness.wanted is not out
        assert went_on(pair)

        assert (session.liveness.pongs, session.liveness.wanted) == (1, False)


def test_pings_begin_anew() -> None:
    pair = roaming()
    pair.client.session.ping(pair.now)
    assert pair.seal(pair.client)
    pair.cut(0, 0)
    pair.now += 100.0
    assert went_on(pair)
    assert pair.client.session.liveness.pongs == 1  # that of another one
    assert pair.client.session.tick(pair.now + 1.0) == []
    pair.now += 1.0
    pair.client.session.ping(pair.now)
    pair.pump()
    assert pair.client.session.liveness.pongs == 2


def test_drain_is_said_and_said_again() -> None:
    pair = roaming()
    pair.server.session.drain(7.5)
    pair.seal(pair.server)
    pair.cut(0, 0)  # lost
    pair.mend()
    pair.pump()
    assert pair.client.of(Draining) == [Draining(seconds=7.5)]
    pair.cut(0, 0)
    pair.server.session.drain(2.0)  # while there is no transport
    pair.mend()
    pair.pump()
    assert pair.client.of(Draining) == [Draining(seconds=7.5), Draining(seconds=2.0)]
    assert pair.server.of(Draining) == []


# --- taking over ------------------------------------------------------------------------------------------------------


def test_a_transport_that_looks_alive_is_taken_over_and_its_late_bytes_are_never_heard() -> None:
    pair = roaming()
    send(pair.client.session, "first")
    pair.seal(pair.client)
    pair.cut(0, 0, server=False)
    assert (pair.server.state, pair.client.state) == (State.READY, State.SUSPENDED)
    assert pair.redial()
    pair.seal(pair.client)
    pair.carry(pair.client)  # OPEN: the server goes over
    [event] = pair.server.events
    assert event == Resumed()
    pair.late(0, 10_000)  # what the former transport still held
    assert pair.server.inbox == []
    assert values(pair) == ([], ["first"])
    assert pair.client.of(Resumed) == [Resumed()]
    pair.late(0, 10_000)
    assert values(pair) == ([], [])


def test_what_came_late_but_before_the_takeover_counts() -> None:
    pair = roaming()
    send(pair.client.session, "first")
    pair.seal(pair.client)
    pair.cut(0, 0, server=False)
    pair.late(0, 10_000)
    assert pair.server.read() == ["first"]
    send(pair.client.session, "second")
    pair.mend()
    assert values(pair) == ([], ["second"])


def test_without_fencing_a_late_byte_would_be_heard() -> None:
    """The sabotage twin: with the old reader still in place the test above turns red."""
    pair = roaming()
    send(pair.client.session, "first")
    pair.seal(pair.client)
    old = pair.server.session.inflow._reader, pair.server.session.frames
    wire = bytes(pair.client.wire)
    pair.cut(0, 0, server=False)
    assert pair.redial()
    pair.seal(pair.client)
    pair.carry(pair.client)
    pair.server.session.inflow._reader, pair.server.session.inflow.frames = old
    events = pair.server.session.receive_data(wire, pair.now)

    assert len(messages_in(events)) == 1


def test_two_cuts_in_a_row_and_cuts_before_the_answer() -> None:
    pair = roaming()
    send(pair.client.session, 1)
    send(pair.server.session, 2)
    for up, down in ((0, 0), (100, 0), (173, 0), (173, 100), (173, 156)):
        pair.cut(0, 0)
        assert pair.redial()
        pair.seal(pair.client)
        pair.carry(pair.client, up)
        pair.seal(pair.server)
        pair.carry(pair.server, down)
        assert pair.client.session.suspended
        assert pair.client.state is State.EXPECT_ACCEPT
        pair.notice_at_client()
        assert pair.client.state is State.SUSPENDED
    pair.mend()
    assert values(pair) == ([2], [1])


def test_a_claim_that_comes_late_is_taken_back() -> None:
    pair = roaming()
    for value in range(20):
        send(pair.server.session, value)
    pair.cut(0, 0)
    assert pair.redial()
    pair.seal(pair.client)
    assert pair.client_line is not None
    pair.cut(0, 0, server=False)  # the OPEN is under way still
    pair.mend()
    pair.seal(pair.server)
    pair.carry(pair.server)  # all of it, on the new line; nothing is acknowledged yet
    assert len(pair.client.inbox) == 20
    assert pair.server.session.outflow.kept.carried == 21
    pair.late(0, 10_000)
    assert pair.server_line is not pair.client_line
    pair.mend()
    pair.pump()

    assert values(pair) == (list(range(20)), [])
    assert not pair.client.of(Ended)


# --- before the session was open --------------------------------------------------------------------------------------


def test_a_cut_before_the_first_accept() -> None:
    for came in (False, True):
        client = Hostile(Role.CLIENT, features=RESUMABLE)
        server = Hostile(Role.SERVER, features=RESUMABLE)
        asked = bodies.Open(
            bodies.OPEN_NEW, client.session_id, client.session.opening._secret, 1, 1, 8 * MIB, bytes(16)
        )
        if came:
            assert server.say(Kind.OPEN, body=asked.pack()) == [Opened()]
            server.session.end(0.0)
        [event] = client.session.end(0.0)
        assert isinstance(event, Suspended)
        again = back(client)
        newcomer = Hostile(Role.SERVER, features=RESUMABLE)
        newcomer.say(Kind.OPEN, body=again.pack())
        if came:
            assert server.session.adopt(newcomer.session, 1.0) == [Resumed()]
            newcomer.session = server.session
        else:
            with pytest.raises(SessionLost):
                server.session.adopt(newcomer.session, 1.0)
            newcomer.session.decline()
        answer, *_ = newcomer.hear()
        events = client.say(Kind.ACCEPT, body=bytes(answer.body))
        if came:
            assert events == [Resumed()]
        else:
            error = error_in(events)
            assert isinstance(error, SessionLost)
            assert error.unacknowledged == ()


def test_a_stranger_is_never_kept() -> None:
    hostile = Hostile(Role.SERVER, features=RESUMABLE)
    assert type(error_in(hostile.session.end(0.0))) is ConnectionCut
    hostile = Hostile(Role.SERVER, features=RESUMABLE)
    assert type(error_in(hostile.session.receive_data(bytes(4), 0.0))) is BadFrame
    assert hostile.hear() == []


# --- without a transport ----------------------------------------------------------------------------------------------


def test_messages_take_their_numbers_up_to_the_backlog() -> None:
    pair = roaming(SMALL)
    pair.cut(0, 0)
    session = pair.client.session
    queued = []
    while not session.backlog_full:
        queued.append(send(session, bytes([len(queued)]) * 3000, compress=False))
        assert session.frames_to_send(1 << 20, pair.now) == []
    assert all(outgoing.sealed for outgoing in queued[:-1])
    assert not queued[-1].sealed
    held = session.outflow.kept.held_bytes
    assert SMALL.backlog_bytes - 4 * KIB < held <= SMALL.backlog_bytes
    assert session.outflow.outbound.sent > SMALL.credit_bytes  # the credit does not stop it
    assert session.outflow.kept.carried == 1
    pair.mend()
    assert not session.backlog_full
    pair.pump()
    assert len(pair.server.inbox) == SMALL.credit_bytes // (3000 + 40 + 256)  # but what is sent waits for it

    assert pair.exchange() == ([], [bytes([number]) * 3000 for number in range(len(queued))])


def test_only_the_first_of_a_kind_goes_beyond_the_backlog() -> None:
    """One record always may: a backlog that is smaller than a record would stop everything."""
    pair = roaming(Limits(backlog_bytes=1, credit_bytes=64 * KIB))
    pair.cut(0, 0)
    first, second = send(pair.client.session, 1), send(pair.client.session, 2)
    pair.seal(pair.client)
    assert (first.sealed, second.sealed, pair.client.session.backlog_full) == (True, False, True)
    pair.mend()
    assert pair.exchange() == ([], [1, 2])


def test_values_beyond_the_credit_do_not_come_to_stand_before_a_blob() -> None:
    pair = roaming(Limits(credit_bytes=64 * KIB, body_bytes=4 * KIB, backlog_bytes=4 * MIB))
    data = os.urandom(600 * KIB)
    send(pair.client.session, [Blob(data)])
    pair.seal(pair.client, 5 * KIB)
    pair.carry(pair.client)
    pair.cut(0, 0)
    more = [send(pair.client.session, bytes(3000), compress=False) for _ in range(40)]
    pair.seal(pair.client)
    waiting = [outgoing for outgoing in more if not outgoing.sealed]
    assert 10 < len(waiting) < 40
    assert pair.client.session.outflow.outbound.sent <= pair.client.session.outflow.outbound.limit
    pair.mend()
    [message] = pair.server.inbox
    session = pair.server.session
    arrival, found = session.arrival(message, 0), b""
    arrival.reading = True
    while len(found) < len(data):
        pair.pump()  # nobody takes the values
        came = arrival.spool.byte_count
        assert came > len(found), "a blob that is read stands still behind values that nobody takes"
        while len(found) < came:
            found += arrival.spool.read(len(found), came - len(found))
        session.arrivals.consumed(arrival, came)

    assert found == data
    assert not all(outgoing.sealed for outgoing in more)
    assert len(pair.exchange()[1]) == 41


def test_a_conversation_goes_on_under_what_was_said_meanwhile() -> None:
    pair = roaming()
    pair.cut(0, 0)
    for end in pair.ends:
        for number in range(3):
            send(end.session, number)
        batch = Batch()
        batch.add(end.session.payloads.encode("b"))
        end.session.queue(batch)
        pair.seal(end)
        assert end.session.outflow.kept.waiting
    pair.mend()
    assert values(pair) == ([0, 1, 2, "b"], [0, 1, 2, "b"])


def test_a_message_that_is_given_up_meanwhile_is_cancelled_afterwards() -> None:
    pair = roaming(SMALL)
    outgoing = send(pair.client.session, os.urandom(200 * KIB))
    pair.seal(pair.client, 20 * KIB)
    pair.carry(pair.client)
    pair.cut(0, 0)
    assert not outgoing.done
    pair.client.session.abandon(outgoing)
    assert isinstance(outgoing.error, MessageCancelled)
    pair.mend()
    send(pair.client.session, "after")
    assert pair.exchange() == ([], ["after"])
    assert len(pair.server.session.inflow.assembly) == 0


def test_a_disk_that_does_not_give_back_what_was_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = roaming()
    pair.cut(0, 0)
    send(pair.client.session, 1)
    pair.seal(pair.client)
    pair.mend()

    def broken(limit: int) -> None:
        raise SourceFailed("the disk")

    kept = pair.client.session.outflow.kept
    kept.rewind(1)
    monkeypatch.setattr(type(kept), "next", lambda self, limit: broken(limit))
    with pytest.raises(SourceFailed):
        pair.client.session.frames_to_send(1 << 20, pair.now)


# --- farewells --------------------------------------------------------------------------------------------------------


def farewells(pair: RoamingPair) -> None:
    """Let both end it."""
    for _ in range(6):
        pair.pump()
        if any(end.session.suspended for end in pair.ends):
            pair.mend()
    assert [end.state for end in pair.ends] == [State.CLOSED, State.CLOSED]
    assert [end.of(Ended)[-1].error for end in pair.ends] == [None, None]


@pytest.mark.parametrize("leaver", [0, 1])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("seen", ["both", "client"])
def test_a_farewell_across_a_cut(leaver: int, carried: bool, seen: str) -> None:
    pair = roaming()
    end, other = pair.ends[leaver], pair.ends[1 - leaver]
    send(other.session, "of who stays")
    send(end.session, "last")
    end.session.say_farewell(3, "bye")
    pair.seal(end)
    assert end.state is State.LEAVING
    if carried:
        pair.carry(end)
        assert other.state in (State.LEFT, State.PARTING)
    pair.cut(0, 0, server=seen == "both")
    if pair.server_line is not None:
        assert pair.server.state is not State.SUSPENDED
    pair.mend()
    assert not any(found.session.suspended for found in pair.ends)
    farewells(pair)

    assert other.of(PeerLeft) == [PeerLeft(code=3, text="bye")]
    assert other.read() == ["last"]
    assert end.read() == []  # it had left


@pytest.mark.parametrize("leaver", [0, 1])
def test_a_farewell_that_is_said_without_a_transport(leaver: int) -> None:
    pair = roaming()
    end, other = pair.ends[leaver], pair.ends[1 - leaver]
    pair.cut(0, 0)
    send(end.session, "last")
    end.session.say_farewell()
    pair.seal(end)
    assert end.state is State.SUSPENDED
    with pytest.raises(LinkClosed):
        end.session.check_open()
    pair.mend()
    farewells(pair)
    assert other.read() == ["last"]


def test_farewells_of_both_without_a_transport() -> None:
    pair = roaming()
    pair.cut(0, 0)
    for end in pair.ends:
        send(end.session, "last")
        end.session.say_farewell()
        pair.seal(end)
    pair.mend()
    farewells(pair)


def test_parting_at_a_cut_is_over_where_nothing_is_owed_and_goes_on_where_something_is() -> None:
    for owed in (False, True):
        pair = roaming()
        if owed:
            send(pair.server.session, "not acknowledged yet")
        pair.client.session.say_farewell()
        pair.seal(pair.client)
        pair.carry(pair.client)
        pair.seal(pair.server)
        assert pair.server.state is State.PARTING
        pair.cut(0, 0)
        assert pair.client.state is State.SUSPENDED
        assert pair.server.state is (State.SUSPENDED if owed else State.CLOSED)
        if owed:
            pair.mend()
            farewells(pair)
        else:
            assert pair.server.of(Ended) == [Ended(error=None)]


def test_who_parts_last_and_was_not_told_waits_and_names_what_it_does_not_know() -> None:
    pair = roaming()
    send(pair.server.session, "owed")
    pair.client.session.say_farewell()
    pair.seal(pair.client)
    pair.carry(pair.client)
    pair.seal(pair.server)
    assert pair.server.state is State.PARTING
    pair.carry(pair.server)
    assert pair.client.state is State.CLOSED
    pair.cut(0, 0)
    assert pair.server.state is State.SUSPENDED
    # The server waits for who never comes back; and it is no loss but of the knowledge.
    [event] = pair.server.session.tick(pair.now + 121.0)
    assert isinstance(event, Ended)
    assert isinstance(event.error, SessionLost)
    assert event.error.unacknowledged == (1,)


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_session_is_lost_when_its_time_has_passed(role: Role) -> None:
    hostile = suspended(role)
    session = hostile.session
    assert session.deadline() == 120.0
    assert session.tick(119.9) == []
    error = error_in(session.tick(120.0))
    assert isinstance(error, SessionLost)
    assert "120 seconds" in str(error)
    assert session.state is State.FAILED
    with pytest.raises(SessionLost):
        session.check_open()


def test_the_time_is_the_lesser_of_both_and_does_not_begin_anew() -> None:
    hostile = Hostile(Role.CLIENT, features=RESUMABLE)
    body = bodies.Accept(bodies.STATUS_NEW, hostile.session_id, INSTANCE, 1, 1, 8 * MIB, 30)
    hostile.say(Kind.ACCEPT, body=body.pack())
    hostile.session.end(5.0)
    assert hostile.session.deadline() == 35.0
    hostile.now = 20.0
    back(hostile)
    assert hostile.session.tick(21.0) == []
    hostile.session.end(22.0)
    assert hostile.session.deadline() == 35.0
    back(hostile)
    accept(hostile, seconds=300)
    hostile.session.end(40.0)
    assert hostile.session.deadline() == 160.0
    hostile.now = 155.0
    back(hostile)
    assert hostile.session.deadline() == 160.0
    assert type(error_in(hostile.session.tick(160.0))) is SessionLost


def test_an_answer_that_does_not_come_in_time_is_a_cut() -> None:
    hostile = asking()
    seconds = hostile.session.limits.open_seconds
    assert hostile.session.deadline() == seconds
    assert hostile.session.tick(seconds - 0.1) == []
    [event] = hostile.session.tick(seconds)
    assert isinstance(event, Suspended)
    assert type(event.error) is ConnectionCut
    hostile.now = seconds
    back(hostile)
    assert accept(hostile, expected=3) == [Resumed()]


def test_what_is_lost_names_the_messages_of_unknown_fate() -> None:
    pair = roaming(SMALL)
    session = pair.client.session
    send(session, "acknowledged")
    pair.pump()
    send(session, "sent")  # 2
    pair.seal(pair.client)
    batch = Batch()
    for row in range(3):
        batch.add(session.payloads.encode(row))
    session.queue(batch)  # 3, 4, 5
    blob = send(session, [Blob(os.urandom(100 * KIB))])  # 6: the value is sent, the blob in part
    pair.seal(pair.client, 20 * KIB)
    pair.carry(pair.client)
    given_up = send(session, os.urandom(MIB))  # 7
    pair.cut(0, 0)
    session.abandon(given_up)
    kept = send(session, "numbered")  # 8
    feed(session)
    pair.seal(pair.client)
    queued = send(session, "queued")  # 9
    [event] = session.tick(pair.now + 121.0)
    assert isinstance(event, Ended)
    error = event.error

    assert isinstance(error, SessionLost)
    assert error.unacknowledged == (2, 3, 4, 5, 6, 8, 9)
    assert blob.ids == range(6, 7)
    assert (kept.sealed, queued.sealed) == (True, False)
    again = error.again()
    assert again.unacknowledged == error.unacknowledged
    assert len(session.outflow.kept) == 0


def test_messages_that_were_acknowledged_are_not_among_the_lost() -> None:
    pair = roaming()
    for value in range(5):
        send(pair.client.session, value)
    pair.pump()
    pair.cut(0, 0)
    [event] = pair.client.session.tick(pair.now + 121.0)
    assert isinstance(event, Ended)
    assert isinstance(event.error, SessionLost)
    assert event.error.unacknowledged == ()


def test_blobs_that_a_lost_session_had_fail_and_its_spools_are_empty() -> None:
    pair = roaming()
    send(pair.client.session, [Blob(os.urandom(3 * MIB))])
    for _ in range(3):
        pair.seal(pair.client, 200 * KIB)
        pair.carry(pair.client)
    [message] = pair.server.inbox
    arrival = pair.server.session.arrival(message, 0)
    pair.cut(0, 0)
    assert arrival.error is None
    pair.server.session.tick(pair.now + 121.0)
    assert isinstance(arrival.error, SessionLost)
    for end in pair.ends:
        end.session.tick(pair.now + 121.0)
        assert end.state is State.FAILED


def test_a_refusal_behind_values_beyond_the_credit_goes_once_the_peer_reads() -> None:
    """What is numbered without a transport may be more than the peer's credit, and a CANCEL stands behind it.

    So a peer that reads nothing before its own value is acknowledged waits for as long as it does so.
    """
    pair = roaming(Limits(credit_bytes=64 * KIB, body_bytes=4 * KIB, backlog_bytes=4 * MIB))
    pair.cut(0, 0)
    for number in range(40):
        send(pair.server.session, bytes([number]) * 3000, compress=False)
    pair.seal(pair.server)
    pair.mend()
    asked = send(pair.client.session, [Blob(os.urandom(600 * KIB))], flags=int(Flag.ACKNOWLEDGE))
    pair.seal(pair.client, 20 * KIB)
    pair.carry(pair.client)
    [message] = pair.server.inbox
    session = pair.server.session
    unwanted = MessageCancelled("nobody reads it", code=CancelCode.ABANDONED)
    session.arrivals.refuse(session.arrival(message, 0), CancelCode.ABANDONED, unwanted)
    read: list[object] = []
    for reading in (False, True):
        for _ in range(40):
            pair.now += 0.1
            for end in pair.ends:
                pair.seal(end)
                pair.carry(end)
            if reading:
                read += pair.client.read()
        assert asked.done is reading
        assert bool(session.outflow.kept.waiting) is not reading

    assert pair.client.session.acknowledged(asked.last_number)
    assert read == [bytes([number]) * 3000 for number in range(40)]
