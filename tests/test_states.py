"""States: every kind in every state, from the table itself, by a peer that holds the right keys."""

from __future__ import annotations

import importlib.util
from enum import Enum
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from netstructer import errors
from netstructer.errors import IllegalFrame, LinkLost
from netstructer.limits import Limits
from netstructer.protocol import bodies
from netstructer.protocol import session as session_module
from netstructer.protocol.events import MessageArrived
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.records import Record
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
from pair import ALL_FEATURES, BOTH, INSTANCE, RESUMABLE, STATES, Hostile, agreement, data_body, error_in, messages_in
from snapshot import Snapshot

ROOT = Path(__file__).resolve().parent.parent
DEAF = (State.CLOSED, State.FAILED, State.SUSPENDED, State.CLAIMED)
OPENED = (State.READY, State.LEAVING)
"""Where the peer may send messages."""
KINDS = (*Kind, 0x00, 0x0B, 0x13, 0x14, 0x16, 0x7F, 0xFF)
"""All that there are, and a few beside and between them that are none."""
FLAGS = (0, 1, 2, 3, 4, 7, 8, 11, 15, 16, 19, 128, 255)
STREAMS = (0, 1, 2, 3, 4, 255, 256, (1 << 32) - 2, (1 << 32) - 1)
"""None, both parities, of either end; small and large."""


class Story(Enum):
    """What came before: a state alone does not say all of where a session stands."""

    PLAIN = "plain"
    LASTING = "lasting"
    """The session may go on on another transport: who breaks a rule ends it all the same."""
    HALF = "half a message"
    """One of the peer's messages is half here."""
    AGAIN = "again"
    """A client that takes its session up again."""


Place = tuple[Role, State, Story]
PLACES: list[Place] = [
    *((role, state, Story.PLAIN) for role in Role for state in STATES[role]),
    *((role, state, Story.LASTING) for role in Role for state in STATES[role] if state not in DEAF),
    *((role, state, Story.HALF) for role in Role for state in OPENED),
    (Role.CLIENT, State.EXPECT_ACCEPT, Story.AGAIN),
]


def name_of(place: Place) -> str:
    return "-".join(part.value for part in place)


def body_of(hostile: Hostile, kind: int, flags: int) -> bytes:
    """Return a body that is right for the kind and the flags, so that these and the state alone can be wrong."""
    number, session = hostile.session.inflow.inbound.next_number, hostile.session
    if kind == Kind.DATA:
        if flags & BOTH == BOTH:
            return data_body(number, b"\xc0")
        head = bodies.First(bodies.VALUE, 0, 0, 2 * len(HALF), 0).pack() if flags & Flag.FIRST else b""
        return bodies.number(number) + head + HALF + (bodies.total(2 * len(HALF)) if flags & Flag.LAST else b"")
    ping = session.liveness._ping if kind == Kind.PONG else None
    makers = {
        Kind.OPEN: lambda: bodies.Open(1, bytes(16), bytes(32), 1, 1, 1 << 20, bytes(16)).pack(),
        Kind.ACCEPT: lambda: accept_of(hostile),
        Kind.PING: lambda: b"12345678",
        Kind.PONG: lambda: ping[0] if ping else bytes(8),
        Kind.ACK: lambda: bodies.Ack(1, 8 << 20, 0).pack(),
        Kind.ALERT: lambda: bodies.Alert(1, "text").pack(),
        Kind.DRAIN: lambda: bodies.Drain(5000).pack(),
        Kind.NEW_KEY: lambda: b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        Kind.GRANT: lambda: bodies.Grant(0, 1 << 20).pack(),
        Kind.CANCEL: lambda: bodies.Cancel(number, 1, 4).pack(),
        Kind.FAREWELL: lambda: bodies.Farewell(number, 0, "").pack(),
        Kind.BATCH: lambda: bodies.batch(number, [b"\0\0\0\1", b"\xc0"]),
    }
    return makers[Kind(kind)]() if kind in makers else b""


def accept_of(hostile: Hostile) -> bytes:
    """Return the ACCEPT that the session waits for."""
    opening = hostile.session.opening
    if opening._resuming:
        return bodies.Accept(bodies.STATUS_RESUMED, opening._answer, INSTANCE, 1, 1, 8 << 20, 120).pack()
    return bodies.Accept(bodies.STATUS_NEW, hostile.session_id, INSTANCE, 1, 1, 1 << 20, 0).pack()


def hostile_in(role: Role, state: State, story: Story = Story.PLAIN) -> Hostile:
    """Return a hostile peer of a session in that place."""
    lasting = story in (Story.LASTING, Story.AGAIN) or state is State.SUSPENDED
    hostile = Hostile(role, features=RESUMABLE if lasting else ALL_FEATURES)
    if story is Story.AGAIN:
        hostile.stand(State.SUSPENDED)
        hostile.session.rejoin(agreement(role, Limits.DEFAULT, features=RESUMABLE), hostile.now)
        hostile.renew()
        hostile.hear()
    elif story is Story.HALF:
        hostile.stand(State.READY)
        hostile.first(HALF, 2 * len(HALF))
        if state is State.LEAVING:
            hostile.session.say_farewell()
            hostile.hear()
    else:
        hostile.stand(state)
    assert hostile.session.state is state
    hostile.session.ping(0.0)
    return hostile


HALF = b"chunk" * 9
"""Half of a message."""


@cache
def standing(place: Place) -> tuple[Hostile, Snapshot]:
    """Return a hostile peer of a session in that place, to be gone back to."""
    hostile = hostile_in(*place)
    return hostile, Snapshot(hostile)


def legal(place: Place, kind: int, flags: int, stream: int) -> bool:
    """Say whether a cell is legal: by the table, and by what the kinds say of flags and streams."""
    role, state, story = place
    if kind not in MOVES[state]:
        return False
    theirs = stream & 1 == (role is Role.SERVER) and stream > 0
    half = story is Story.HALF and stream == standing(place)[0].stream
    if kind == Kind.DATA:
        wants_ending = not flags & (Flag.ACKNOWLEDGE | Flag.TAKEN) or flags & Flag.LAST
        return theirs and bool(flags & Flag.FIRST) != half and not flags & ~15 and bool(wants_ending)
    if kind == Kind.CANCEL:
        return flags == 0 and stream > 0 and (half or not theirs)  # of its own only what the peer has begun
    if kind in (Kind.DRAIN, Kind.NEW_KEY) and role is Role.SERVER:
        return False
    if kind == Kind.FAREWELL and story is Story.HALF:
        return False
    return flags == 0 and stream == 0


def check_cell(place: Place, kind: int, flags: int, stream: int) -> bool:
    """Try one cell and hold it against the table; return whether it was legal."""
    hostile, snapshot = standing(place)
    snapshot.restore()
    session, state, cell = hostile.session, place[1], (place, kind, flags, stream)
    events = hostile.say(kind, flags, stream, body_of(hostile, kind, flags))
    if state in DEAF:
        assert (events, session.state) == ([], state), cell
        return False
    if not legal(*cell):
        assert type(error_in(events)) is IllegalFrame, cell
        assert (messages_in(events), session.state) == ([], State.FAILED), cell
        assert len(events) == 1, cell
        _check_stays_failed(hostile)
        return False
    assert session.state is MOVES[state][Kind(kind)], cell
    error = error_in(events)
    assert (error is None) == (kind != Kind.ALERT), cell
    assert error is None or type(error) is LinkLost
    ends_one = kind == Kind.DATA and flags & Flag.LAST
    delivered = state is State.READY and (kind == Kind.BATCH or ends_one)
    # A FIRST without its LAST is half a message; one that has it is whole, and so is the half that gets its LAST.
    assert len(messages_in(events)) == bool(delivered), cell
    return True


def _check_stays_failed(hostile: Hostile) -> None:
    session, error = hostile.session, hostile.session.error
    assert hostile.say(Kind.PING, body=bytes(8)) == []
    with pytest.raises(type(error)):
        session.check_open()
    assert session.error is error
    assert session.end(0.0) == []
    assert session.tick(1e9) == []


def cells_of(place: Place) -> list[tuple[int, int, int]]:
    """Return kinds, flags and streams to be tried in the suite: each kind with all flags, and each with some streams.

    Every seventh of the product, which has each pair of kind and flags, and the plain ones.
    """
    cells = [(kind, flags, stream) for kind in KINDS for flags in FLAGS for stream in STREAMS]
    plain = [cell for cell in cells if cell[1] in (0, 2, 3) and cell[2] in (0, 1, 2)]
    return list(dict.fromkeys([*cells[::7], *plain]))


# --- the cells --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_every_kind_flag_and_stream(place: Place) -> None:
    cells = cells_of(place)
    found = [check_cell(place, *cell) for cell in cells]

    assert {(kind, flags) for kind, flags, _ in cells} == set(product(KINDS, FLAGS))
    assert {(kind, stream) for kind, _, stream in cells} == set(product(KINDS, STREAMS))
    assert len(found) == len(cells) == 513
    assert any(found) == (place[1] not in DEAF)


def test_the_cells_are_all_there_are() -> None:
    # Of kinds, flags, and the places that a session can be in; each pair of kind and flags in each place.
    cells = {(place, kind, flags) for place in PLACES for kind, flags, _ in cells_of(place)}

    assert cells == {(place, kind, flags) for place in PLACES for kind in KINDS for flags in FLAGS}
    assert len(cells) == 32 * 21 * 13 == 8736
    assert {(role, state) for role, state, _ in PLACES} == {(role, state) for role in Role for state in STATES[role]}
    assert {state for _, state, _ in PLACES} == set(State)
    assert sum(len(cells_of(place)) for place in PLACES) == 32 * 513 == 16_416


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_all_cells(place: Place) -> None:
    for kind in range(256):
        for flags in FLAGS:
            for stream in STREAMS:
                check_cell(place, kind, flags, stream)


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_every_byte_as_a_kind(place: Place) -> None:
    for kind in range(256):
        check_cell(place, kind, 0, 0)


@pytest.mark.parametrize("place", [place for place in PLACES if place[1] not in DEAF], ids=name_of)
def test_a_session_that_takes_what_the_table_has_not_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage twin: with a wider table, every cell of these kinds that is not legal turns red."""
    state = place[1]
    monkeypatch.setattr(session_module, "MOVES", {**MOVES, state: dict.fromkeys(Kind, state) | MOVES[state]})
    for kind in (Kind.DATA, Kind.BATCH, Kind.PING, Kind.ACK, Kind.FAREWELL):
        if kind not in MOVES[state]:
            with pytest.raises(AssertionError):
                check_cell(place, kind, *((BOTH, standing(place)[0].stream + 2) if kind == Kind.DATA else (0, 0)))


def test_a_session_that_overlooks_flags_or_streams_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage twin."""

    def bare(self: Inflow) -> Record | None:
        record = next_record(self)
        return record and record._replace(flags=0, stream=0)

    next_record = Inflow.next_record
    monkeypatch.setattr(Inflow, "next_record", bare)
    for flags, stream in ((1, 0), (128, 0), (0, 1), (0, 2)):
        with pytest.raises(AssertionError):
            check_cell((Role.SERVER, State.READY, Story.PLAIN), Kind.PING, flags, stream)


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_a_body_of_any_length_is_a_documented_error_or_nothing(place: Place) -> None:
    hostile, snapshot = standing(place)
    for kind in Kind:
        for size in (0, 1, 7, 8, 9, 16, 17, 18, 24, 32, 64, 92, 300):
            for filling in (b"\0", b"\xff"):
                snapshot.restore()
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
    assert [cause for cause in MOVES[State.EXPECT_ACCEPT] if isinstance(cause, Kind)] == [Kind.ACCEPT, Kind.ALERT]
    assert [state for state in State if Kind.OPEN in MOVES[state]] == [State.EXPECT_OPEN]
    assert [state for state in State if Kind.ACCEPT in MOVES[state]] == [State.EXPECT_ACCEPT]


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
