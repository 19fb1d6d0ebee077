"""Two readers and what no vector says: mutated values and sessions, of which both must make the same.

A mutant is a vector with a few bytes, fields or records changed, and for sessions sealed again, so that what is beneath
the seal is read.  What it must come to nobody says; that both readers say the same is the whole assertion.
"""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

import reader_structs
import reader_vectors
from netstructer.codec.tokens import Sealer
from netstructer.codec.values import decode
from netstructer.errors import BadValue
from netstructer.limits import Limits
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.states import RELIABLE, Kind
from pair import frame_of
from reader_records import Records
from reader_structs import Refused
from reader_values import Budget, read_value
from reader_vectors import Facts, raw, read_vector
from strategies import TYPES
from test_session_faults import play_vector

FOLDER = Path(__file__).parent / "vectors"
LONGEST_BYTES = 2000
TAGS = bytes(range(0xE0, 0x100))
Line = tuple[int, int, int, bytes]


def mutated(data: bytes, other: bytes, draw: Random) -> bytes:
    """Return bytes with one to three changes: a byte, a bit, one more, one less, or a piece of another input."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(found)) if found else 0
        match draw.randrange(6 if found else 2):
            case 0:
                found.insert(at, draw.randrange(256))
            case 1:
                start = draw.randrange(len(other) + 1)
                found[at:at] = other[start : start + draw.randrange(1, 30)]
            case 2:
                found[at] = draw.choice(TAGS)
            case 3:
                found[at] = draw.choice((0, 1, 255, draw.randrange(256)))
            case 4:
                found[at] ^= 1 << draw.randrange(8)
            case _:
                del found[at]
    return bytes(found)


# --- values -----------------------------------------------------------------------------------------------------------


@cache
def values() -> list[bytes]:
    found = (raw(read_vector(path)[1]) for path in sorted((FOLDER / "values").glob("*.vector")))
    return [data for data in found if len(data) <= LONGEST_BYTES]


def of_value(data: bytes, limits: dict[str, int]) -> tuple[str, str]:
    """Return what the package and the second reader make of an encoding, where one limit is not the default."""
    ours = theirs = "success"
    try:
        decode(data, types=TYPES, limits=dataclasses.replace(Limits.DEFAULT, **limits))
    except BadValue:
        ours = "BadValue"
    try:
        read_value(data, budget=Budget(**limits), types=reader_vectors.TYPES)
    except Refused as refused:
        theirs = refused.name
    return ours, theirs


def one_limit(draw: Random) -> dict[str, int]:
    """Return a limit that counts what is in a value, as small as vectors have it, or none."""
    name = draw.choice(("unseeded_members", "value_items", ""))
    figures = (2, 3, 4, 7, 8) if name == "unseeded_members" else (16, 18, 50, 200)
    return {name: draw.choice(figures)} if name else {}


def try_values(seed: int, count: int) -> Counter[str]:
    draw, found = Random(seed), Counter[str]()
    for _ in range(count):
        data, limits = mutated(draw.choice(values()), draw.choice(values()), draw), one_limit(draw)
        ours, theirs = of_value(data, limits)
        assert ours == theirs, (data.hex(), limits)
        found[ours] += 1
    return found


def test_both_readers_take_and_refuse_the_same_values() -> None:
    found = try_values(1, 2000)

    assert found["success"] > 60
    assert found["BadValue"] > 1000


def test_a_value_that_only_one_of_them_takes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_structs, "TAKEN_AWAY", {"a value has one encoding"})
    with pytest.raises(AssertionError):
        try_values(1, 2000)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_both_readers_take_and_refuse_a_million_values_the_same(seed: int) -> None:
    assert try_values(100 + seed, 250_000).total() == 250_000


# --- sessions ---------------------------------------------------------------------------------------------------------


@cache
def sessions() -> list[tuple[Facts, list[Line]]]:
    """Return the records of the vectors, as far as they can be opened."""
    found = []
    for path in sorted((FOLDER / "sessions").glob("*.vector")):
        facts, body = read_vector(path)
        records, lines = Records(secret_of(facts)), list[Line]()
        records.feed(raw(body))
        try:
            while (record := records.next()) is not None:
                lines.append(tuple(record))
                if record.kind == Kind.REKEY:
                    records.rekey()
        except Refused:
            pass
        if lines and sum(len(line[3]) for line in lines) <= LONGEST_BYTES:
            found.append((facts, lines))
    return found


def secret_of(facts: Facts) -> bytes:
    return raw(facts["secret-c2s" if facts["end"] == "server" else "secret-s2c"])


def sealed(facts: Facts, lines: list[Line]) -> list[bytes]:
    """Return lines as the frames of one transport."""
    ratchet = Ratchet(secret_of(facts))
    sealer, frames = Sealer(ratchet.key), []
    for sequence, (kind, flags, stream, body) in enumerate(lines):
        frames.append(frame_of(sealer.seal(struct.pack(">QBBHI", sequence, kind, flags, 0, stream) + body, 0)))
        if kind == Kind.REKEY:
            ratchet.advance()
            sealer = Sealer(ratchet.key)
    return frames


def session_mutant(draw: Random) -> tuple[Facts, list[Line]]:
    facts, lines = draw.choice(sessions())
    facts, lines = dict(facts), list(lines)
    if draw.random() < 0.3:
        facts["limits"] = draw.choice(("small", "narrow"))
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(lines))
        kind, flags, stream, body = lines[at]
        match draw.randrange(8):
            case 0:
                lines[at] = (kind, draw.choice((0, 1, 2, 3, 4, 7, 11, 15, 16)), stream, body)
            case 1:
                lines[at] = (kind, flags, draw.choice((0, 1, 2, 3, 4, 5, 7, draw.randrange(1 << 32))), body)
            case 2:
                lines[at] = (draw.choice((*Kind, 0, 19, 20, 22)), flags, stream, body)
            case 3 | 4:
                lines[at] = (kind, flags, stream, mutated(body, lines[-1][3], draw))
            case 5:
                facts_of_other, others = draw.choice(sessions())
                if facts_of_other["end"] == facts["end"]:
                    lines.insert(at + 1, draw.choice(others))
            case 6 if len(lines) > 1:
                del lines[at]
            case _:
                lines.insert(at, lines[at])
    return facts, renumbered(lines) if draw.random() < 0.7 else lines


def renumbered(lines: list[Line]) -> list[Line]:
    """Return lines with delivery numbers without gaps, so that a change further in is not hidden behind a gap."""
    number, found = 1, []
    for kind, flags, stream, body in lines:
        if kind in RELIABLE and len(body) >= 8:
            body, number = number.to_bytes(8) + body[8:], number + 1
        found.append((kind, flags, stream, body))
    return found


def try_sessions(seed: int, count: int) -> Counter[str]:
    draw, found = Random(seed), Counter[str]()
    for _ in range(count):
        facts, lines = session_mutant(draw)
        frames = sealed(facts, lines)
        theirs = reader_vectors.of_session(facts, b"".join(frames).hex())
        _, delivered, error = play_vector(facts, frames)
        ours = {"expect": type(error).__name__ if error else "success", "delivered": sha256(delivered).hexdigest()}
        if {ours["expect"], theirs["expect"]} != {"BadValue", "BadCompression"}:  # of a payload that is neither
            assert ours == theirs, (facts["comment"], facts["limits"], lines)
        found[ours["expect"]] += 1
    return found


def test_both_readers_make_the_same_of_sessions() -> None:
    found = try_sessions(1, 300)

    assert found["success"] > 15
    assert found["IllegalFrame"] > 100
    assert len(found) >= 6


@pytest.mark.parametrize(
    "rule", ["the flags of DATA", "delivery numbers have no gaps", "a free stream of the sender's"]
)
def test_a_session_that_only_one_of_them_takes_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_structs, "TAKEN_AWAY", {rule})
    with pytest.raises(AssertionError):
        try_sessions(1, 600)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_both_readers_make_the_same_of_twenty_thousand_sessions(seed: int) -> None:
    assert try_sessions(100 + seed, 5_000).total() == 5_000
