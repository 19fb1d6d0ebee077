"""Integrity, whole: every order, subset and doubling of six records, every splice, every bit, every length.

The sets are made and judged in `integrity.py`.  Those of six records are run whole here; of the longer ones every so
many in the suite and all under `long`, with a million changes by chance (`python tests/integrity.py` counts them).  For
each safeguard there is a twin with the safeguard taken away, in which the same sets must turn red.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

import integrity
from integrity import FEATURES, RECORDS, ROLES, SHAPES, SIX, SUITES, Wire, Wrong, long_wire, six, strangers_of
from netstructer.codec import gcm
from netstructer.codec.tokens import Opener
from netstructer.errors import BadSeal
from netstructer.protocol import bodies
from netstructer.protocol.arrivals import Arrival, Arrivals
from netstructer.protocol.assembly import Assembly
from netstructer.protocol.events import Ended, Event
from netstructer.protocol.records import HEADER, RecordReader
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role
from pair import ALL_FEATURES, C2S, RESUMABLE, S2C

ENDS = [(Role.SERVER, ALL_FEATURES, 0x01), (Role.CLIENT, RESUMABLE, 0x01), (Role.SERVER, RESUMABLE, 0x11)]
"""Those of the suite: one whose session a fault ends, one that would go on on another transport, and one of those under
AES-256-GCM."""
ALL_ENDS = [(role, features, suite) for suite in SUITES for role in ROLES for features in FEATURES]


def figures(run: Iterator[bool]) -> tuple[int, int]:
    """Run a set; return how many changes there were, and after how many of them the end only waits for more."""
    found = list(run)
    return len(found), sum(found)


@pytest.fixture(scope="module", params=ENDS, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    role, features, suite = request.param
    return long_wire(role, features=features, suite=suite)


# --- six records ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "features", "suite"), ENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_of_all_orders_subsets_and_doublings_of_six_records_one_is_heard(
    shape: str, role: Role, features: int, suite: int
) -> None:
    found = six(shape, role, features=features, suite=suite)

    assert len(found.post().rest) == SIX
    assert figures(integrity.orders(found)) == (720, 1)
    assert figures(integrity.subsets(found)) == (63, SIX)  # the beginnings, after which the rest is waited for
    assert figures(integrity.duplications(found)) == (135, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_six_records_are_what_their_shape_says(shape: str) -> None:
    found = six(shape, Role.SERVER)
    before, whole = found.gives(0, found.before), found.gives(found.before, SIX)
    messages = {"value": 1, "blob": 0, "batches": 18, "values": 6}[shape]
    value_bytes = sum(len(content) for _, content in whole[0])

    assert (len(before[0]), len(whole[0])) == (shape == "blob", messages)
    assert (value_bytes > 5000) == (shape == "value")
    assert (whole[1] > 5000) == (shape == "blob")
    assert found.gives(found.before, SIX - 1)[0] == whole[0][: {"batches": 15, "values": 5}.get(shape, 0)]


MARKS = [(Role.SERVER, bodies.VALUE, True), (Role.CLIENT, bodies.BLOB, False)]
ALL_MARKS = [
    (role, kind, dressed) for role in ROLES for kind in (bodies.VALUE, bodies.BLOB) for dressed in (True, False)
]


def check_marks(role: Role, kind: int, dressed: bool) -> None:
    found = list(integrity.marks(role, kind, dressed=dressed))

    assert len(found) == 4096
    assert [number for number, whole in enumerate(found) if whole] == [1 << SIX | 1 << SIX - 1]


@pytest.mark.parametrize(("role", "kind", "dressed"), MARKS)
def test_first_and_last_are_heard_in_their_places_only(role: Role, kind: int, dressed: bool) -> None:
    check_marks(role, kind, dressed)


@pytest.mark.long
@pytest.mark.parametrize(("role", "kind", "dressed"), [marks for marks in ALL_MARKS if marks not in MARKS])
def test_first_and_last_are_heard_in_their_places_only_in_all_forms(role: Role, kind: int, dressed: bool) -> None:
    check_marks(role, kind, dressed)


# --- a session of 64 records ------------------------------------------------------------------------------------------


def test_the_session_is_long_and_has_all_kinds(wire: Wire) -> None:
    messages, blob_bytes = wire.gives(0, RECORDS)

    assert len(wire.frames) == RECORDS
    assert 8 * len(wire.whole) > (50_000 if wire.suite == 1 else 37_000)
    assert len(messages) > 40
    assert blob_bytes > 100
    assert integrity.Ear(wire).hear(wire.whole) == (messages, blob_bytes, None)


def test_every_thirteenth_bit(wire: Wire) -> None:
    # 13 is prime to 8: every bit of a byte and every part of a record has its turn.
    count, heard = figures(integrity.bits(wire, 13))

    assert count == -(-8 * len(wire.whole) // 13)
    assert heard < count / 50  # a length that has grown: the end waits, and then it is cut


def test_every_fifth_length(wire: Wire) -> None:
    count, heard = figures(integrity.prefixes(wire, 5))

    assert count == heard == -(-len(wire.whole) // 5)


def test_every_record_of_another_link_or_direction_in_each_thirteenth_place(wire: Wire) -> None:
    strangers = strangers_of(wire.role, features=wire.features, suite=wire.suite)

    assert figures(integrity.splices(wire, strangers, 13)) == (5 * 2 * 3 * RECORDS, 0)


def test_every_record_in_each_thirteenth_other_place(wire: Wire) -> None:
    assert figures(integrity.moves(wire, 13)) == (5 * (RECORDS - 1), 0)


def test_changes_by_chance(wire: Wire) -> None:
    count, heard = figures(
        integrity.chances(wire, strangers_of(wire.role, features=wire.features, suite=wire.suite), 1000, 1)
    )

    assert count == 1000
    assert heard < 300


@pytest.mark.long
@pytest.mark.parametrize(("role", "features", "suite"), ALL_ENDS)
def test_all_that_can_be_done_to_64_records(role: Role, features: int, suite: int) -> None:
    names = set()
    for name, run, holds in integrity.sets(role, features, suite):
        assert holds(*figures(run)), name
        names.add(name)

    assert len(names) == 3 * len(SHAPES) + 2 + 4


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("role", "features", "suite"), ALL_ENDS)
def test_an_eighth_of_a_million_changes_by_chance(role: Role, features: int, suite: int) -> None:
    shape = {"features": features, "suite": suite}
    run = integrity.chances(long_wire(role, **shape), strangers_of(role, **shape), 125_000, 2)

    assert figures(run)[0] == 125_000


def test_an_end_that_is_gone_back_to_is_as_good_as_one_made_anew(wire: Wire) -> None:
    for records in (0, 1, 9, 30, RECORDS - 1):
        post = wire.post(records)
        chance = Random(records)
        for _ in range(30):
            data = bytearray(b"".join(post.rest[:3]))
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            again, anew = post.verdict(bytes(data)), post.verdict(bytes(data), anew=True)
            assert (type(again), str(again)) == (type(anew), str(anew))
        assert post.verdict(b"".join(post.rest)) is None  # and it still hears what is right, to the end


# --- sabotage ---------------------------------------------------------------------------------------------------------


def _open_unverified(self: Opener, token: Any) -> bytes:
    view = memoryview(token)
    if len(view) < 73 or (len(view) - 57) % 16:
        raise BadSeal("the seal of a record does not verify")
    plain = self._decryptor.update(view[9:-32])
    count = plain[-1]
    if not 1 <= count <= 16 or plain[-count:] != bytes([count]) * count:
        raise BadSeal("the seal of a record does not verify")
    return bytes(plain[16:-count])


def _read_in_any_order(self: RecordReader, token: Any) -> Any:
    self.sequence = HEADER.unpack_from(self._opener.open(token))[0]
    return _read(self, token)


def _read_in_gcms_order(self: RecordReader, token: Any) -> Any:
    opener, place = self._opener, self._opener._sequence
    self.sequence = HEADER.unpack_from(opener.open(token))[0]
    opener._sequence = place
    return _read(self, token)


def _believe_any_total(self: Assembly, message: Any, number: int, flags: int, total: int) -> Any:
    message.plain_bytes = message.chunks.byte_count
    return _last(self, message, number, flags, message.plain_bytes)


def _believe_any_total_of_a_blob(self: Arrivals, arrival: Arrival, total: int) -> None:
    arrival.plain_bytes = arrival.spool.byte_count
    _finish(self, arrival, arrival.spool.byte_count)


def _take_any_end_for_the_end(session: Session, now: float) -> list[Event]:
    return [Ended(error=None)]


def _go_on_after_a_fault(session: Session, error: Any, now: float, *, answer: bool = True) -> list[Event]:
    return [Ended(error=error)]


_read, _last, _finish = RecordReader.read, Assembly._last, Arrivals.finish
SAME = (C2S, S2C)
SEALS = (Opener, "open", _open_unverified)
SEQUENCE = (RecordReader, "read", _read_in_any_order)


def bits_of(role: Role) -> Iterator[bool]:
    return integrity.bits(long_wire(role), 97)


def _open_forgiving(self: gcm.Opener, token: Any) -> bytes:
    """Decrypt without a look at the tag: the stream of GCM is the same both ways."""
    nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
    self._sequence += 1
    return self._aead.encrypt(nonce, bytes(memoryview(token)[1:-16]), None)[:-16]


def _any_nonce(self: Any, key: bytes, sequence: int) -> None:
    _begin[type(self)](self, key, 0)
    self._sequence = Standing()


class Standing(int):
    """A number that stays what it is, whatever is added to it: every record has one nonce."""

    def __add__(self, other: int) -> Standing:
        return self


_begin = {made: made.__init__ for made in (gcm.Opener, gcm.Sealer)}


TWINS: dict[str, tuple[tuple[Any, str, Callable[..., Any]] | None, Callable[[Role], Iterator[bool]]]] = {
    "seals are not verified": (SEALS, bits_of),
    "sequence is not looked at: orders": (SEQUENCE, lambda role: integrity.orders(six("values", role))),
    "sequence is not looked at: subsets": (SEQUENCE, lambda role: integrity.subsets(six("blob", role))),
    "sequence is not looked at: doublings": (SEQUENCE, lambda role: integrity.duplications(six("batches", role))),
    "sequence is not looked at: moves": (SEQUENCE, lambda role: integrity.moves(long_wire(role), 9)),
    "both directions have one key": (
        None,
        lambda role: integrity.splices(long_wire(role, secrets=(C2S, C2S)), strangers_of(role, here=(C2S, C2S))[:1], 9),
    ),
    "two links have the same keys": (
        None,
        lambda role: integrity.splices(long_wire(role), strangers_of(role, there=SAME)[1:2], 9),
    ),
    "any end is the end": (
        (Session, "end", _take_any_end_for_the_end),
        lambda role: integrity.prefixes(six("value", role)),
    ),
    "the tags of GCM are not verified": (
        (gcm.Opener, "open", _open_forgiving),
        lambda role: integrity.bits(long_wire(role, suite=0x11), 97),
    ),
    "a session goes on after a fault": ((Session, "suffer", _go_on_after_a_fault), bits_of),
}
"""A safeguard that is taken away, and what must see that."""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", TWINS)
def test_without_a_safeguard_it_is_found(name: str, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, run = TWINS[name]
    if patch is not None:
        monkeypatch.setattr(*patch)

    with pytest.raises(Wrong):
        figures(run(role))


@pytest.mark.parametrize("role", ROLES)
def test_under_gcm_nonce_and_sequence_guard_one_door_and_only_without_both_an_order_is_lost(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in (gcm.Sealer, gcm.Opener):
        monkeypatch.setattr(made, "__init__", _any_nonce)
    assert figures(integrity.orders(six("values", role, suite=0x11))) == (720, 1)  # the sequence is left
    monkeypatch.setattr(*SEQUENCE)
    with pytest.raises(Wrong):
        figures(integrity.orders(six("values", role, suite=0x11)))
    monkeypatch.undo()
    monkeypatch.setattr(RecordReader, "read", _read_in_gcms_order)
    assert figures(integrity.orders(six("values", role, suite=0x11))) == (720, 1)  # the nonce is left


@pytest.mark.parametrize("kind", [bodies.VALUE, bodies.BLOB])
def test_without_a_look_at_the_total_a_last_that_was_moved_is_found(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assembly, "_last", _believe_any_total)
    monkeypatch.setattr(Arrivals, "finish", _believe_any_total_of_a_blob)
    wholes = (number for number, whole in enumerate(integrity.marks(Role.SERVER, kind, dressed=True)) if whole)

    assert next(wholes) != 1 << SIX | 1 << SIX - 1
