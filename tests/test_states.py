"""States: every kind in every state, from the table itself, by a peer that holds the right keys."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from netstructer import errors
from netstructer.errors import IllegalFrame, LinkLost
from netstructer.protocol import bodies
from netstructer.protocol.events import Event, MessageArrived
from netstructer.protocol.states import (
    DEAF_STATES,
    ENDED_STATES,
    MOVES,
    RELIABLE,
    Cause,
    Flag,
    Kind,
    Role,
    State,
    advance,
)
from pair import ALL_FEATURES, BOTH, INSTANCE, RESUMABLE, STATES, Hostile, data_body, error_in, messages_in

ROOT = Path(__file__).resolve().parent.parent
DEAF = (State.CLOSED, State.FAILED, State.SUSPENDED, State.CLAIMED)
PLACES = [(role, state) for role in Role for state in STATES[role]]
FLAGS = (0, 1, 2, 3, 4, 7, 8, 11, 15, 16, 19, 128, 255)
STREAMS = (0, 1, 2, 3, 4, 255, 256, (1 << 32) - 2, (1 << 32) - 1)


def body_of(hostile: Hostile, kind: int, flags: int) -> bytes:
    """Return a body that is right for the kind and the flags, so that these and the state alone can be wrong."""
    number = 2 if hostile.session.state in (State.LEFT, State.PARTING, State.CLOSED) else 1
    if kind == Kind.DATA:
        if flags & BOTH == BOTH:
            return data_body(number, b"\xc0")
        head = bodies.First(bodies.VALUE, 0, 0, 100, 0).pack() if flags & Flag.FIRST else b""
        return bodies.number(number) + head + b"chunk" + (bodies.total(100) if flags & Flag.LAST else b"")
    ping = hostile.session.liveness._ping if kind == Kind.PONG else None
    makers = {
        Kind.OPEN: lambda: bodies.Open(1, bytes(16), bytes(32), 1, 1, 1 << 20, bytes(16)).pack(),
        Kind.ACCEPT: lambda: bodies.Accept(0, hostile.session_id, INSTANCE, 1, 1, 1 << 20, 0).pack(),
        Kind.PING: lambda: b"12345678",
        Kind.PONG: lambda: ping[0] if ping else bytes(8),
        Kind.ACK: lambda: bodies.Ack(1, 8 << 20, 0).pack(),
        Kind.ALERT: lambda: bodies.Alert(1, "text").pack(),
        Kind.DRAIN: lambda: bodies.Drain(5000).pack(),
        Kind.NEW_KEY: lambda: b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        Kind.GRANT: lambda: bodies.Grant(0, 1 << 20).pack(),
        Kind.CANCEL: lambda: bodies.Cancel(number, 99, 4).pack(),
        Kind.FAREWELL: lambda: bodies.Farewell(number, 0, "").pack(),
        Kind.BATCH: lambda: bodies.batch(number, [b"\0\0\0\1", b"\xc0"]),
    }
    return makers[Kind(kind)]() if kind in makers else b""


def hostile_in(role: Role, state: State) -> Hostile:
    return Hostile(role, features=RESUMABLE if state is State.SUSPENDED else ALL_FEATURES).stand(state)


def try_cell(role: Role, state: State, kind: int, flags: int, stream: int) -> tuple[Hostile, list[Event]]:
    hostile = hostile_in(role, state)
    hostile.session.ping(0.0)
    return hostile, hostile.say(kind, flags, stream, body_of(hostile, kind, flags))


def legal(role: Role, state: State, kind: int, flags: int, stream: int) -> bool:
    """Say whether a cell is legal: by the table, and by what the kinds say of flags and streams."""
    if kind not in MOVES[state]:
        return False
    if kind == Kind.DATA:
        theirs = stream & 1 == (role is Role.SERVER) and stream > 0
        wants_ending = not flags & (Flag.ACKNOWLEDGE | Flag.TAKEN) or flags & Flag.LAST
        return theirs and bool(flags & Flag.FIRST) and not flags & ~15 and bool(wants_ending)
    if kind == Kind.CANCEL:
        return flags == 0 and stream > 0 and stream & 1 != (role is Role.SERVER)  # the peer has begun none of its own
    if kind in (Kind.DRAIN, Kind.NEW_KEY) and role is Role.SERVER:
        return False
    return flags == 0 and stream == 0


def check_cell(role: Role, state: State, kind: int, flags: int, stream: int) -> bool:
    """Try one cell and hold it against the table; return whether it was legal."""
    hostile, events = try_cell(role, state, kind, flags, stream)
    session, cell = hostile.session, (role, state, kind, flags, stream)
    if state in DEAF:
        assert (events, session.state) == ([], state), cell
        return False
    if not legal(*cell):
        assert type(error_in(events)) is IllegalFrame, cell
        assert (messages_in(events), session.state) == ([], State.FAILED), cell
        _check_stays_failed(hostile)
        return False
    assert session.state is MOVES[state][Kind(kind)], cell
    error = error_in(events)
    assert (error is None) == (kind != Kind.ALERT), cell
    assert error is None or type(error) is LinkLost
    delivered = state is State.READY and (kind == Kind.BATCH or (kind == Kind.DATA and flags & BOTH == BOTH))
    assert len(messages_in(events)) == delivered, cell
    return True


def _check_stays_failed(hostile: Hostile) -> None:
    session, error = hostile.session, hostile.session.error
    assert hostile.say(Kind.PING, body=bytes(8)) == []
    with pytest.raises(type(error)):
        session.check_open()
    assert session.error is error
    assert session.end(0.0) == []
    assert session.tick(1e9) == []


# --- the cells --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "state"), PLACES)
def test_every_kind_flag_and_stream(role: Role, state: State) -> None:
    # All kinds there are and a few that are none, with all flags and streams; of two ends, with eight and nine
    # states, that is 17 × 21 × 13 × 9 = 41,769 cells, thinned to every seventh beside the plain ones.
    kinds = [*Kind, 0x00, 0x0B, 0x13, 0x14, 0x16, 0x7F, 0xFF]
    cells = [(kind, flags, stream) for kind in kinds for flags in FLAGS for stream in STREAMS]
    plain = [cell for cell in cells if cell[1] in (0, 3) and cell[2] in (0, 1, 2)]
    found = [check_cell(role, state, *cell) for cell in dict.fromkeys([*cells[::7], *plain])]

    assert len(found) > 300
    assert any(found) == (state not in DEAF)


@pytest.mark.long
@pytest.mark.parametrize(("role", "state"), PLACES)
def test_all_cells(role: Role, state: State) -> None:
    for kind in range(256):
        for flags in FLAGS:
            for stream in STREAMS:
                check_cell(role, state, kind, flags, stream)


@pytest.mark.parametrize(("role", "state"), PLACES)
def test_every_byte_as_a_kind(role: Role, state: State) -> None:
    for kind in range(256):
        check_cell(role, state, kind, 0, 0)


@pytest.mark.parametrize(("role", "state"), PLACES)
def test_a_body_of_any_length_is_a_documented_error_or_nothing(role: Role, state: State) -> None:
    for kind in Kind:
        for size in (0, 1, 7, 8, 9, 16, 17, 18, 24, 32, 64, 92, 300):
            for filling in (b"\0", b"\xff"):
                hostile = hostile_in(role, state)
                flags = BOTH if kind is Kind.DATA else 0
                stream = hostile.stream if kind in (Kind.DATA, Kind.CANCEL) else 0
                events = hostile.say(kind, flags, stream, filling * size)
                error = error_in(events)

                assert error is None or isinstance(error, (IllegalFrame, LinkLost, errors.Busy))
                assert [event for event in events if isinstance(event, MessageArrived)] == []


def test_the_table_sees_every_kind_and_every_state() -> None:
    kinds = {cause for moves in MOVES.values() for cause in moves if isinstance(cause, Kind)}

    assert kinds == set(Kind)
    assert set(MOVES) == set(State)
    assert {following for moves in MOVES.values() for following in moves.values()} >= set(State) - {State.EXPECT_OPEN}
    assert all(Cause.FAULT in moves for state, moves in MOVES.items() if state not in ENDED_STATES)
    assert [state for state in State if Cause.END not in MOVES[state]] == [
        State.SUSPENDED,
        State.CLOSED,
        State.FAILED,
    ]
    assert all(isinstance(cause, Cause) for state in DEAF for cause in MOVES[state])
    assert set(DEAF) == DEAF_STATES
    assert MOVES[State.CLOSED] == MOVES[State.FAILED] == {}
    assert {Kind.DATA, Kind.CANCEL, Kind.FAREWELL, Kind.BATCH} == RELIABLE
    assert [state for state in State if Kind.GRANT in MOVES[state]] == [State.READY, State.LEAVING]


def test_nothing_but_open_is_legal_before_the_key_is_proved() -> None:
    assert [cause for cause in MOVES[State.EXPECT_OPEN] if isinstance(cause, Kind)] == [Kind.OPEN]


def test_advance_goes_by_the_table() -> None:
    for state in State:
        for cause in (*Kind, *Cause):
            if cause in MOVES[state]:
                assert advance(state, cause) is MOVES[state][cause]
            else:
                with pytest.raises(IllegalFrame, match=f"not legal in the state '{state.value}'"):
                    advance(state, cause)


# --- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_is_drawn_from_the_table() -> None:
    spec = importlib.util.spec_from_file_location("draw_states", ROOT / "docs" / "draw_states.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert (ROOT / "docs" / "states.md").read_text("utf-8") == script.draw()
