"""Rounds: records that are sealed later, and by two, are the same records in the same order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from netstructer.codec.blob import Blob
from netstructer.codec.ciphers import AES_256_GCM
from netstructer.errors import Misuse
from netstructer.limits import Limits
from netstructer.protocol.records import Draft, RecordReader, RecordWriter
from netstructer.protocol.rounds import DRAFT_BYTES, Round
from netstructer.protocol.states import Kind
from pair import RESUMABLE, Pair, send

SECRET = bytes(range(32))
KIB = 1 << 10
MIB = 1 << 20


def backwards(drafts: Sequence[Draft]) -> list[Any]:
    """Seal the last one first, by turns with either hand."""
    sealed = {number: draft.seal(number % 2) for number, draft in reversed(list(enumerate(drafts)))}
    return [sealed[number] for number in range(len(drafts))]


def test_drafts_are_read_in_the_order_in_which_they_were_made() -> None:
    writer, reader = RecordWriter(SECRET, Limits.DEFAULT, 0.0), RecordReader(SECRET, 0.0)
    bodies = [os.urandom(size) for size in (0, 1, DRAFT_BYTES, 100_000)]
    drafts = [writer.draft(Kind.DATA, 1, 3, body, seconds=5, pad_bytes=7) for body in bodies]
    between = writer.write(Kind.PING, 0, 0, b"12345678", seconds=5)
    last = writer.rekey(seconds=5, now=0.0)
    behind = writer.draft(Kind.DATA, 1, 3, b"next key", seconds=5)
    late = behind.seal(1)
    tokens = [*backwards(drafts), between, last]

    assert [len(token) for token in tokens[:4]] == [draft.token_bytes for draft in drafts]
    assert len({bytes(token[9:25]) for token in tokens}) == 6  # each has an iv of its own
    records = [reader.read(memoryview(token)) for token in tokens]
    assert [bytes(record.body) for record in records[:4]] == bodies
    assert [(record.kind, record.flags, record.stream) for record in records[:4]] == [(Kind.DATA, 1, 3)] * 4
    reader.rekey(5.0)
    assert bytes(reader.read(late).body) == b"next key"


def test_a_cipher_whose_sealers_count_has_no_drafts() -> None:
    writer, reader = RecordWriter(SECRET, Limits.DEFAULT, 0.0, AES_256_GCM), RecordReader(SECRET, 0.0, AES_256_GCM)
    with pytest.raises(Misuse, match="nonce"):
        writer.draft(Kind.DATA, 1, 3, bytes(DRAFT_BYTES), seconds=5)

    # Nothing has been numbered by that.
    assert reader.read(memoryview(writer.write(Kind.PING, 0, 0, b"12345678", seconds=5))).kind == Kind.PING


def test_drafts_count_towards_the_age_of_a_key() -> None:
    writer = RecordWriter(SECRET, Limits(rekey_records=1024), 0.0)
    for _ in range(1023):
        assert not writer.rekey_due(0.0)
        writer.draft(Kind.DATA, 0, 1, b"body", seconds=0)

    assert writer.rekey_due(0.0)


@pytest.mark.parametrize("padding", [None, "bucket", "full"])
@pytest.mark.parametrize("features", [5, RESUMABLE])
def test_what_is_sealed_together_arrives(padding: str | None, features: int) -> None:
    pair, alone = (Pair(padding=padding, features=features) for _ in range(2))
    rounds: list[int] = []

    def together(drafts: Sequence[Draft]) -> list[Any]:
        rounds.append(len(drafts))
        return backwards(drafts)

    pair.client.session.outflow.together = together
    values = [os.urandom(3 * MIB), "small", os.urandom(DRAFT_BYTES - 100), [Blob(os.urandom(MIB))], b"x" * 5 * MIB]
    for side in (pair, alone):
        for value in values:
            send(side.client.session, value)

    found = pair.exchange()[1]
    assert [value if not isinstance(value, list) else len(value) for value in found[:3]] != []
    assert sorted(map(str, map(type, found))) == sorted(map(str, map(type, values)))
    assert all(value in found for value in values if not isinstance(value, list))
    assert max(rounds) > 1
    alone.exchange()
    assert pair.client.session.traffic.wire_sent == alone.client.session.traffic.wire_sent


def test_a_session_without_a_way_to_has_no_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Round, "put", lambda self, draft: pytest.fail("a draft"))
    pair = Pair()
    send(pair.client.session, os.urandom(MIB))

    assert len(pair.exchange()[1]) == 1


def test_what_sealing_raises_comes_out_of_the_round() -> None:
    pair = Pair()

    def together(drafts: Sequence[Draft]) -> list[Any]:
        raise Misuse("made to fail")

    pair.client.session.outflow.together = together
    send(pair.client.session, os.urandom(MIB))
    with pytest.raises(Misuse, match="made to fail"):
        pair.client.session.frames_to_send(MIB, 1.0)
