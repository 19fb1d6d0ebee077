"""Records: header and body under one seal, each number once, keys that move on; the vectors of one fault each."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from netstructer import errors
from netstructer.codec.tokens import Sealer
from netstructer.errors import BadSeal, IllegalFrame, OutOfOrder, RekeyOverdue
from netstructer.limits import Limits
from netstructer.protocol import records
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, RecordReader, RecordWriter, padding_bytes
from netstructer.protocol.states import Kind
from pair import reader_at

SECRET = bytes(range(32))
VECTORS = sorted((Path(__file__).parent / "vectors" / "records").glob("*.vector"))
SMALL = Limits(rekey_records=1024, rekey_bytes=2 << 30, rekey_seconds=10.0)


def ends(limits: Limits = Limits.DEFAULT) -> tuple[RecordWriter, RecordReader]:
    return RecordWriter(SECRET, limits, 0.0), RecordReader(SECRET, 0.0)


def forged(plain: bytes, key: bytes | None = None) -> bytes:
    return Sealer(key or Ratchet(SECRET).key).seal(plain, 0)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 65_536])
def test_a_record_comes_back(size: int) -> None:
    writer, reader = ends()
    for pad in (0, 1, 15, 16, 65_535):
        token = writer.write(Kind.DATA, 3, 5, bytes(size), seconds=7, pad_bytes=pad)
        record = reader.read(token)

        assert (record.kind, record.flags, record.stream, record.body) == (Kind.DATA, 3, 5, bytes(size))
        assert len(token) == 57 + (16 + size + pad) // 16 * 16 + 16
        assert int.from_bytes(token[1:9], "big") == 7


def test_stock_fernet_opens_records_before_and_after_a_rekey() -> None:
    writer, ratchet = ends()[0], Ratchet(SECRET)
    for _ in range(3):
        stock = Fernet(base64.urlsafe_b64encode(ratchet.key))
        plain = stock.decrypt(base64.urlsafe_b64encode(writer.write(4, 0, 0, b"12345678", seconds=1)))
        last = stock.decrypt(base64.urlsafe_b64encode(writer.rekey(seconds=1, now=0.0)))
        ratchet.advance()

        assert plain[16:] == b"12345678"
        assert HEADER.unpack(last)[1] == Kind.REKEY


def test_sequence_numbers_are_used_once() -> None:
    writer, reader = ends()
    tokens = [writer.write(Kind.PING, 0, 0, bytes([place]), seconds=0) for place in range(4)]
    reader.read(tokens[0])
    for wrong in (tokens[0], tokens[2], tokens[3]):
        with pytest.raises(OutOfOrder, match="expected record 1"):
            reader.read(wrong)

    assert reader.read(tokens[1]).body == b"\1"


@pytest.mark.parametrize("size", range(16))
def test_a_token_without_a_header_has_no_good_seal(size: int) -> None:
    with pytest.raises(BadSeal):
        ends()[1].read(forged(bytes(size)))


@pytest.mark.parametrize(
    ("pad", "body"), [(1, b""), (5, b"\0\0\0\0"), (2, b"a\1\0"), (2, b"a\0\1"), (65_535, bytes(9))]
)
def test_padding_must_fit_and_be_zero(pad: int, body: bytes) -> None:
    with pytest.raises(IllegalFrame, match="padding"):
        ends()[1].read(forged(HEADER.pack(0, 4, 0, pad, 0) + body))


# --- rekey ------------------------------------------------------------------------------------------------------------


def test_the_writer_rekeys_by_count() -> None:
    writer, reader = ends(SMALL)
    for _ in range(3):
        count = 0
        while not writer.rekey_due(0.0):
            reader.read(writer.write(Kind.PING, 0, 0, b"", seconds=0))
            count += 1
        assert count == 1023
        assert reader.read(writer.rekey(seconds=0, now=0.0)).kind == Kind.REKEY
        reader.rekey(0.0)  # a thousand records apart is no sport


def test_the_writer_rekeys_by_bytes_and_by_age() -> None:
    writer = ends(SMALL)[0]
    writer._bytes = (2 << 30) - (2 << 20) - 1
    assert not writer.rekey_due(9.9)
    writer._bytes += 1
    assert writer.rekey_due(0.0)
    writer.rekey(seconds=0, now=9.0)
    assert not writer.rekey_due(18.9)
    assert writer.rekey_due(19.0)
    writer._bytes += (2 << 30) - (2 << 20) - 1
    assert not writer.rekey_due(9.0)
    writer._bytes += 1
    assert writer.rekey_due(9.0)


def test_the_reader_refuses_one_record_too_many() -> None:
    most = records.MOST_RECORDS
    for sequence, kind, legal in ((most - 2, 4, True), (most - 1, Kind.REKEY, True), (most - 1, 4, False)):
        reader = ends()[1]
        reader.sequence = sequence
        token = forged(HEADER.pack(sequence, kind, 0, 0, 0))
        if legal:
            assert reader.read(token).kind == kind
        else:
            with pytest.raises(RekeyOverdue, match=f"{most} records"):
                reader.read(token)


def test_the_reader_refuses_one_byte_too_many() -> None:
    token = forged(HEADER.pack(0, 4, 0, 0, 0))
    for before, legal in ((records.MOST_BYTES - len(token), True), (records.MOST_BYTES - len(token) + 1, False)):
        writer, reader = ends()
        reader.read(writer.rekey(seconds=0, now=0.0))
        reader.rekey(0.0)
        reader._bytes += before
        token = writer.write(4, 0, 0, seconds=0)
        if legal:
            reader.read(token)
        else:
            with pytest.raises(RekeyOverdue):
                reader.read(token)


def test_a_writer_that_steps_for_sport_is_refused() -> None:
    writer, reader = ends()
    reader.read(writer.rekey(seconds=0, now=0.0))
    reader.rekey(0.0)
    for now, records_between, legal in ((0.99, 0, False), (1.0, 0, True), (0.5, 1022, False), (0.5, 1023, True)):
        writer, reader = ends()
        reader.read(writer.rekey(seconds=0, now=0.0))
        reader.rekey(0.0)
        for _ in range(records_between):
            reader.read(writer.write(4, 0, 0, b"", seconds=0))
        reader.read(writer.rekey(seconds=0, now=0.0))
        if legal:
            reader.rekey(now)
        else:
            with pytest.raises(RekeyOverdue, match="too often"):
                reader.rekey(now)


def test_the_old_key_opens_nothing_after_a_rekey() -> None:
    writer, reader = ends()
    old = Ratchet(SECRET).key
    reader.read(writer.rekey(seconds=0, now=0.0))
    reader.rekey(0.0)
    with pytest.raises(BadSeal):
        reader.read(forged(HEADER.pack(1, 4, 0, 0, 0), old))

    assert reader.read(writer.write(4, 0, 0, b"new", seconds=0)).body == b"new"


# --- padding ----------------------------------------------------------------------------------------------------------


def test_padding_policies() -> None:
    assert [padding_bytes(None, size, 1000) for size in (0, 5, 999)] == [0, 0, 0]
    assert [size + padding_bytes("full", size, 1000) for size in (0, 1, 999, 1000, 1001)] == [1000] * 4 + [1001]
    assert padding_bytes("full", 0, 1 << 20) == 65_535


@pytest.mark.parametrize(
    ("size", "padded"),
    [(0, 32), (1, 32), (32, 32), (33, 64), (1025, 2048), (4095, 4096), (4096, 4096), (4097, 4352), (10_000, 10_240),
     (65_000, 65_536), (65_536, 65_536)],
)  # fmt: skip
def test_buckets(size: int, padded: int) -> None:
    assert size + padding_bytes("bucket", size, 1 << 17) == padded


def test_buckets_grow_and_cost_little() -> None:
    last = 0
    for size in range(4097, 60_000, 7):
        bucket = size + padding_bytes("bucket", size, 1 << 17)

        assert last <= bucket <= size * 1.12  # Padmé's bound
        last = bucket


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    head, _, body = path.read_text("utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    reader = reader_at(bytes.fromhex(fields["secret"]), int(fields["sequence"]), int(fields.get("suite", "1")))
    token = bytes.fromhex("".join(body.split()))
    if fields["expect"] == "success":
        record = reader.read(token)

        assert [record.kind, record.flags, record.stream] == [int(part) for part in fields["record"].split()]
        assert record.body.hex() == fields["body"]
        return
    with pytest.raises(getattr(errors, fields["expect"])) as caught:
        reader.read(token)

    assert type(caught.value).__name__ == fields["expect"]


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 12
