"""Announcements: one value for many links, encoded and compressed once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netstructer.codec import compression
from netstructer.codec.blob import Blob
from netstructer.errors import LinkClosed, MessageTooBig, SourceFailed, UnsendableValue
from netstructer.limits import Limits
from netstructer.protocol import payloads
from netstructer.protocol.announcement import Announcement
from pair import TINY, Pair

TABLE = [{"row": row, "text": "the same again"} for row in range(8000)]
NO_COMPRESSION = 6


class Calls:
    """Counts the calls of a function that goes on as before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
        self.count = 0
        real = getattr(module, name)

        def counted(*args: object, **options: object) -> object:
            self.count += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, counted)


def test_a_large_value_is_encoded_and_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodes = Calls(monkeypatch, payloads.values, "encode")
    compresses = Calls(monkeypatch, compression, "compress")
    announcement, pairs = Announcement(TABLE, compress=True), [Pair() for _ in range(10)]
    for pair in pairs:
        pair.server.session.queue(announcement.outgoing(pair.server.session))

    assert [pair.exchange()[0] for pair in pairs] == [[TABLE]] * 10
    assert (encodes.count, compresses.count) == (1, 1)


def test_a_small_value_is_one_payload_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    encodes = Calls(monkeypatch, payloads.values, "encode")
    announcement, singles = Announcement(TABLE[:100], compress=True), []
    for features in (7, 7, NO_COMPRESSION, NO_COMPRESSION):
        pair = Pair(features=features)
        single = announcement.single(pair.server.session)
        assert single is not None
        singles.append(single)
        pair.server.session.queue(single.outgoing())
        assert pair.exchange()[0] == [TABLE[:100]]

    assert singles[0] is singles[1] is not singles[2] is singles[3]
    assert len(singles[0].chunk) < len(singles[2].chunk) / 5
    assert encodes.count == 1
    assert announcement.single(Pair().server.session) is singles[0]
    assert Announcement(TABLE, compress=True).single(Pair().server.session) is None


def test_links_that_compress_and_links_that_do_not() -> None:
    def source() -> Iterator[bytes]:
        yield b"unknown " * 5000

    announcement = Announcement([Blob(b"blob" * 500), Blob.from_iter(source())], compress=True)
    wire = []
    for features in (7, NO_COMPRESSION, 7):
        pair = Pair(features=features)
        pair.server.session.queue(announcement.outgoing(pair.server.session))
        [[first, second]] = pair.exchange()[0]  # type: ignore[misc]
        wire.append(len(pair.server.said))

        assert (bytes(first), bytes(second)) == (b"blob" * 500, b"unknown " * 5000)
    assert wire[0] == wire[2] < wire[1] / 10


def test_compression_can_be_off() -> None:
    pair = Pair()
    pair.server.session.queue(Announcement(TABLE, compress=False).outgoing(pair.server.session))

    assert pair.exchange()[0] == [TABLE]
    assert len(pair.server.said) > 100_000


def test_each_peers_limits_are_obeyed() -> None:
    announcement = Announcement("x" * 5000, compress=True)
    large, small = Pair(), Pair(limits=TINY)
    assert announcement.single(large.server.session) is not None
    for make in (announcement.single, announcement.outgoing):
        with pytest.raises(MessageTooBig):
            make(small.server.session)
    assert announcement.single(large.server.session) is not None


@pytest.mark.parametrize("known", [True, False])
def test_blobs_are_held_to_each_peers_limit(known: bool) -> None:
    blobs = [Blob(bytes(5000)) if known else Blob.from_iter([bytes(5000)]) for _ in range(2)]
    announcement = Announcement(blobs, compress=True)
    with pytest.raises(MessageTooBig):
        announcement.outgoing(Pair(limits=TINY).server.session)
    pair = Pair(limits=Limits(message_bytes=10_000))
    pair.server.session.queue(announcement.outgoing(pair.server.session))

    assert [len(bytes(blob)) for blob in pair.exchange()[0][0]] == [5000, 5000]  # type: ignore[attr-defined]


def test_equal_limits_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodes = Calls(monkeypatch, payloads.values, "encode")
    announcement = Announcement(1, compress=True)
    for limits in (TINY, Limits.DEFAULT, TINY, Limits.DEFAULT):
        assert announcement.single(Pair(limits=limits).server.session) is not None

    assert encodes.count == 2


def test_what_does_not_travel_is_told() -> None:
    with pytest.raises(UnsendableValue):
        Announcement(object(), compress=True).outgoing(Pair().server.session)


def test_sources_are_read_once_and_before_any_link_asks() -> None:
    read: list[int] = []

    def source() -> Iterator[bytes]:
        read.append(1)
        yield b"unknown"

    announcement = Announcement([Blob.from_iter(source())], compress=True)
    for _ in range(2):
        announcement.prepare(Pair().server.session)
        pair = Pair()
        pair.server.session.queue(announcement.outgoing(pair.server.session))
        assert [bytes(blob) for [blob] in pair.exchange()[0]] == [b"unknown"]  # type: ignore[misc]
    Announcement("no blobs", compress=True).prepare(Pair().server.session)

    assert read == [1]


def test_a_source_that_breaks_on_another_link_is_no_word_of_this_one() -> None:
    def source() -> Iterator[bytes]:
        yield b"first"
        raise LinkClosed("another link")

    with pytest.raises(SourceFailed, match="another link"):
        Announcement([Blob.from_iter(source())], compress=True).prepare(Pair().server.session)
