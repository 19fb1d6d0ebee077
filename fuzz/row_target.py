"""Rows: the parts of an outbox that are no SQLite (state, mark, sealed row, letter): sound, or reported, without it.

To open a database costs a millisecond, and nearly all damage is found in these parts.  So here they are read bare, a
hundred times as often as in outbox_target.py.  The first byte of an input chooses what the rest is read as.
"""

from __future__ import annotations

from functools import cache

from fuzz.splits import draw
from netstructer.durable import mark
from netstructer.durable.chain import matches, next_tag
from netstructer.durable.letter import Letter
from netstructer.durable.sealing import ID_BYTES, FileKeys, unwrap, wrap
from netstructer.durable.state import State
from netstructer.errors import OutboxDamaged
from netstructer.keys import Key

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
OUTBOX, SECRET = b"o" * ID_BYTES, bytes(range(32))
KEYS = FileKeys(OUTBOX, SECRET)
TAG = b"t" * 16
NUMBER = 7


@cache
def seeds() -> list[bytes]:
    """Return each part as an honest outbox has it."""
    sealed, packed = _sealed(), _state().pack(KEYS.state)
    noted = mark._pack(mark.Noted(NUMBER, TAG))
    parts = (packed, packed, noted, sealed, sealed, Letter(b"value", True).pack(), _state().wrapped)
    return [bytes([what]) + part for what, part in enumerate(parts)]


def one(data: bytes) -> None:
    """Read the bytes as one of the parts."""
    if data:
        _READERS[data[0] % len(_READERS)](data[1:])


def _as_state(data: bytes) -> None:
    state = State.unpack(data)
    if state is None:
        return
    if State.verifies(data, KEYS.state):
        assert data == _state().pack(KEYS.state), "a forged state verifies"
    assert state.pack(KEYS.state)[:-16] == data[:-16], "a state was read in two ways"


def _as_sealed_state(data: bytes) -> None:
    """Seal the bytes as a state: what an outbox of ours would hold after any figures at all."""
    body = data[:126].ljust(126, b"\0")
    state = State.unpack(body + bytes(16))
    if state is not None:
        packed = state.pack(KEYS.state)
        assert State.verifies(packed, KEYS.state)
        assert State.unpack(packed) == state
        assert not State.verifies(packed[:-1] + bytes([packed[-1] ^ 1 + draw(data) % 255]), KEYS.state)


def _as_mark(data: bytes) -> None:
    """Read both places of a mark, as `Mark.read` does."""
    for place in (data[:40], data[40:80]):
        noted = mark._read(place)
        assert noted is None or mark._pack(noted) == place, "a mark was read in two ways"


def _as_row(data: bytes) -> None:
    plain = KEYS.open(NUMBER, data)
    assert plain is None or data == _sealed(), "a forged row opens"


def _as_link(data: bytes) -> None:
    """Hold the bytes to the chain, as a row and as a tag."""
    assert matches(KEYS.chain, TAG, NUMBER, data, next_tag(KEYS.chain, TAG, NUMBER, data))
    found = matches(KEYS.chain, TAG, NUMBER, _sealed(), data[:16])
    assert found == (data[:16] == next_tag(KEYS.chain, TAG, NUMBER, _sealed()))


def _as_letter(data: bytes) -> None:
    try:
        letter = Letter.unpack(data)
    except OutboxDamaged:
        return
    assert letter.pack() == data, "a letter was read in two ways"


def _as_wrapped(data: bytes) -> None:
    wrapped = data[:60].ljust(60, b"\0")
    secret = unwrap(KEY, OUTBOX, wrapped)
    assert secret is None or wrapped == _state().wrapped, "a forged secret opens"


_READERS = (_as_state, _as_sealed_state, _as_mark, _as_row, _as_link, _as_letter, _as_wrapped)


@cache
def _sealed() -> bytes:
    return KEYS.seal(NUMBER, b"plain bytes", lambda size: b"s" * size)


@cache
def _state() -> State:
    wrapped = wrap(KEY, OUTBOX, SECRET, lambda size: b"w" * size)
    return State(False, OUTBOX, KEY.key_id, wrapped, 2, TAG, 9, TAG)
