"""Traffic: what both ends count of one conversation is the same, and blobs count when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netstructer.codec.blob import Blob
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.traffic import Traffic
from pair import Pair, send


def figures(traffic: Traffic) -> tuple[int, int, int, int]:
    return traffic.messages_sent, traffic.messages_received, traffic.plain_sent, traffic.plain_received


def test_a_new_session_has_moved_its_opening_and_nothing_else() -> None:
    pair = Pair()
    for end in pair.ends:
        traffic = end.session.traffic
        assert figures(traffic) == (0, 0, 0, 0)
        assert traffic.waiting_bytes == 0
        assert traffic.wire_sent == len(end.said)
        assert traffic.wire_received == len(pair.other(end).said)


def test_what_one_end_sent_the_other_received() -> None:
    pair = Pair()
    session, batch = pair.client.session, Batch()
    for row in range(10):
        batch.add(session.payloads.encode(row))
    session.queue(batch)
    send(session, os.urandom(300_000))
    send(session, [Blob(bytes(5000)), Blob.from_iter([bytes(70), bytes(7)])])
    pair.exchange()
    here, there = session.traffic, pair.server.session.traffic

    assert (here.messages_sent, there.messages_received) == (12, 12)
    assert here.plain_sent == there.plain_received > 305_077
    assert (here.wire_sent, here.wire_received) == (there.wire_received, there.wire_sent)
    assert here.waiting_bytes == 0


def test_what_waits_is_counted_until_it_is_sealed_or_given_up() -> None:
    pair = Pair()
    session = pair.client.session
    first = send(session, os.urandom(300_000))
    send(session, Blob(bytes(1000)))
    assert 301_000 < session.traffic.waiting_bytes < 303_000
    session.abandon(first)
    assert 1000 < session.traffic.waiting_bytes < 3000
    pair.exchange()

    assert session.traffic.waiting_bytes == 0


@pytest.mark.parametrize("end", ["fails", "given up", "whole"])
def test_blobs_count_when_they_are_whole(end: str) -> None:
    def source() -> Iterator[bytes]:
        for _ in range(8):
            yield bytes(100_000)  # more than a blob's first credit
        if end == "fails":
            raise OSError("disk gone")

    pair = Pair()
    outgoing = send(pair.client.session, [Blob(bytes(4000)), Blob.from_iter(source())], compress=False)
    for _ in range(3):
        pair.seal(pair.client, 1)
        pair.carry(pair.client)
    here, there = pair.client.session.traffic, pair.server.session.traffic
    assert (here.messages_sent, there.messages_received) == (1, 1)
    assert here.plain_sent == there.plain_received == outgoing.plain_bytes + 4000 == outgoing.sealed_bytes
    if end == "given up":
        pair.client.session.abandon(outgoing)
    pair.pump()

    assert here.plain_sent == there.plain_received == outgoing.plain_bytes + 4000 + 800_000 * (end == "whole")
    assert outgoing.sealed_bytes == here.plain_sent
