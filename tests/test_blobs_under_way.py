"""The conversation around a blob: values overtake it, blobs wait for each other's readers, sources and links that fail.

Both ends are in this process; what needs two is in test_any_size.py.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, linked
from netstructer import Blob, Limits
from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, MessageCancelled, NetstructerError, SourceFailed
from streaming_support import MIB, contents

SHORT_SPOOL = Limits(spool_link_bytes=4 * MIB)
"""Ends that keep little of what nobody reads, so that what is longer stands still."""
PIECES = [random.Random(number).randbytes(MIB) for number in range(4)]


def random_pieces(mebibytes: int) -> Iterator[bytes]:
    """Yield pieces that no compressor makes smaller: it does not look back as far as the same one."""
    yield from itertools.islice(itertools.cycle(PIECES), mebibytes)


# --- values around it -------------------------------------------------------------------------------------------------


def test_the_structure_is_there_before_the_bytes_are() -> None:
    """A source that waits until the peer has answered the structure: nothing of it was needed for that."""
    answered = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert answered.wait(PATIENCE_SECONDS)
        yield b"second"

    with linked() as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(pieces()), "n": 1})
        value = far.recv(timeout=PATIENCE_SECONDS)
        assert value["n"] == 1
        far.send("have it")
        assert near.recv(timeout=PATIENCE_SECONDS) == "have it"
        near.send("overtakes")
        assert far.recv(timeout=PATIENCE_SECONDS) == "overtakes"
        assert sending.running
        answered.set()

        assert bytes(value["scan"]) == b"firstsecond"
        sending.result()


def test_blobs_that_nobody_reads_hold_nobody_up() -> None:
    count = 4
    with linked(limits=SHORT_SPOOL) as (near, far):
        sending = [Task(near.send, {"scan": Blob.from_iter(random_pieces(16)), "n": n}) for n in range(count)]
        values = [far.recv(timeout=PATIENCE_SECONDS) for _ in range(count)]
        for number in range(500):
            near.send(number)
            assert far.recv(timeout=PATIENCE_SECONDS) == number
            far.send(-number)
            assert near.recv(timeout=PATIENCE_SECONDS) == -number
        assert [task.running for task in sending] == [True] * count
        last = values.pop()
        expected = hashlib.sha256(b"".join(random_pieces(16))).digest()
        assert hashlib.sha256(bytes(last["scan"])).digest() == expected
        sending[last["n"]].result()

        values.clear()
        gc.collect()
        for task in sending:
            task.result()  # told to stop, which is no fault of theirs
        near.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"


@pytest.mark.parametrize("mebibytes", [2, 3, 4, 9, 16])
@pytest.mark.parametrize("count", [1, 3])
def test_a_full_budget_makes_the_sender_wait(mebibytes: int, count: int) -> None:
    """An honest peer never sends what finds no room: whatever the budget, and however many share it."""
    with linked(limits=Limits(spool_link_bytes=mebibytes * MIB)) as (near, far):
        sending = [Task(near.send, {"scan": Blob.from_iter(random_pieces(24)), "n": n}) for n in range(count)]
        values = [far.recv(timeout=PATIENCE_SECONDS) for _ in range(count)]
        eventually(lambda: near.stats.wire_sent > mebibytes * MIB // 4)
        for number in range(100):
            near.send(number)
            assert far.recv(timeout=PATIENCE_SECONDS) == number
        assert [task.running for task in sending] == [True] * count

        for value in values:
            assert sum(len(chunk) for chunk in value["scan"]) == 24 * MIB
            sending[value["n"]].result()


@pytest.mark.parametrize("order", ["reversed", "alternately"])
def test_the_blobs_of_one_value_are_read_in_any_order(order: str) -> None:
    """More in each than is kept unread: one that is not read must not keep the next from coming."""
    blobs = {name: Blob.from_iter(random_pieces(size)) for name, size in (("a", 16), ("b", 12), ("c", 1))}
    with linked(limits=SHORT_SPOOL) as (near, far):
        sending = Task(near.send, blobs)
        value = far.recv(timeout=PATIENCE_SECONDS)
        found = dict.fromkeys(value, 0)
        if order == "reversed":
            for name in reversed(list(value)):
                found[name] = sum(len(chunk) for chunk in value[name])
        else:
            readers = {name: iter(blob) for name, blob in value.items()}
            while readers:
                for name, reader in list(readers.items()):
                    chunk = next(reader, None)
                    if chunk is None:
                        del readers[name]
                    else:
                        found[name] += len(chunk)
        sending.result()

    assert found == {"a": 16 * MIB, "b": 12 * MIB, "c": MIB}


# --- links that end ---------------------------------------------------------------------------------------------------


def test_who_closes_after_sending_loses_nothing() -> None:
    """What was sealed is on its way or in the reader's spool when the farewell comes, and is read after it."""
    whole = b"".join(random_pieces(24))
    with linked(limits=SHORT_SPOOL) as (near, far):

        def send_and_leave() -> None:
            near.send({"scan": Blob.from_iter(random_pieces(24))})
            near.close()

        leaving = Task(send_and_leave)
        reader = iter(far.recv(timeout=PATIENCE_SECONDS)["scan"])
        found = bytearray()
        while leaving.running:
            found += next(reader, b"")  # no further than it takes to let the sender go
        for chunk in reader:
            found += chunk
        leaving.result()

    assert hashlib.sha256(found).digest() == hashlib.sha256(whole).digest()


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("who", ["sender", "reader"])
def test_a_link_that_ends_in_the_middle_is_never_a_short_file(who: str, end: str) -> None:
    # Who aborts says so where the transport takes a word just then; else the peer waits for a new one, for so long.
    limits = replace(SHORT_SPOOL, resume_seconds=0.3)
    with linked(limits=limits) as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(random_pieces(32))})
        reader = iter(far.recv(timeout=PATIENCE_SECONDS)["scan"])
        next(reader)
        ending = near if who == "sender" else far
        ending.close(timeout=0.2) if end == "close" else ending.abort()

        with pytest.raises(NetstructerError):
            for _ in reader:
                pass
        assert isinstance(sending.error(), LinkClosed if (who, end) == ("reader", "close") else NetstructerError)


def test_a_send_that_runs_out_of_time_takes_its_blob_back() -> None:
    with linked(limits=SHORT_SPOOL) as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(random_pieces(32))}, timeout=0.5)
        value = far.recv(timeout=PATIENCE_SECONDS)
        assert isinstance(sending.error(), LinkTimeout)

        with pytest.raises(MessageCancelled):
            bytes(value["scan"])
        near.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"


def test_a_send_that_a_closed_link_refused_may_be_tried_on_another() -> None:
    scan = Blob.from_iter([b"read ", b"once"])
    with linked() as (near, _):
        near.close()
        with pytest.raises(LinkClosed):
            near.send({"scan": scan})
    with linked() as (near, far):
        sending = Task(near.send, {"scan": scan})
        assert bytes(far.recv(timeout=PATIENCE_SECONDS)["scan"]) == b"read once"
        sending.result()


# --- sources that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 70_000, 12 * MIB])
@pytest.mark.parametrize("how", ["iterate", "bytes", "open", "save"])
def test_a_source_that_fails_is_an_error_at_the_reader(how: str, after: int, tmp_path: Path) -> None:
    target = tmp_path / "target.raw"
    whole = hashlib.shake_256(b"whole").digest(after)
    sent_chunks: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for start in range(0, after, 100_000):
            yield whole[start : start + 100_000]
        raise ZeroDivisionError("the disk is on fire")

    def read(blob: Blob) -> None:
        if how == "iterate":
            sent_chunks.extend(bytes(chunk) for chunk in blob)
        elif how == "bytes":
            bytes(blob)
        elif how == "open":
            with blob.open() as file:
                while chunk := file.read(1 << 16):
                    sent_chunks.append(chunk)
        else:
            blob.save(target)

    with linked() as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(pieces())})
        value = far.recv(timeout=PATIENCE_SECONDS)
        with pytest.raises(SourceFailed) as caught:
            read(value["scan"])
        assert isinstance(caught.value, MessageCancelled)
        assert "fire" not in str(caught.value)  # what the sender's source says is the sender's
        assert whole.startswith(b"".join(sent_chunks))
        assert isinstance(sending.error(), ZeroDivisionError)
        assert contents(tmp_path) == []
        for one, other in ((near, far), (far, near)):
            one.send("still here")
            assert other.recv(timeout=PATIENCE_SECONDS) == "still here"


def test_a_blob_that_is_sent_on_fails_alone_when_the_link_it_comes_by_is_lost() -> None:
    gone = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        gone.wait(PATIENCE_SECONDS)

    with linked() as (origin, relay_in), linked() as (relay_out, far):
        feeding = Task(origin.send, {"scan": Blob.from_iter(pieces())})
        sending = Task(relay_out.send, relay_in.recv(timeout=PATIENCE_SECONDS))
        arrived = far.recv(timeout=PATIENCE_SECONDS)["scan"].chunks(timeout=PATIENCE_SECONDS)
        assert next(arrived) == b"first"
        origin.abort()
        with pytest.raises(SourceFailed):
            next(arrived)
        failed = sending.error()
        gone.set()

        assert isinstance(feeding.error(), LinkClosed)
        assert isinstance(failed, SourceFailed)
        assert isinstance(failed.__cause__, LinkLost)
        relay_out.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"


@pytest.mark.parametrize("way", ["send", "send_many", "conversation"])
def test_a_blob_that_is_sent_on_is_not_waited_for_longer_than_the_send_may_take(way: str) -> None:
    gone = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        gone.wait(PATIENCE_SECONDS)

    with linked() as (origin, relay_in), linked() as (relay_out, far):
        feeding = Task(origin.send, {"scan": Blob.from_iter(pieces())})
        value = relay_in.recv(timeout=PATIENCE_SECONDS)
        aside = relay_out.conversation()
        ways: dict[str, Callable[..., object]] = {
            "send": partial(relay_out.send, value),
            "send_many": partial(relay_out.send_many, [value]),
            "conversation": partial(aside.send, value),
        }
        # Either the wait for the source ends first, or that for the whole.
        with pytest.raises((SourceFailed, LinkTimeout)):
            ways[way](timeout=0.05)
        gone.set()
        feeding.result()
        aside.close()

        relay_out.send("still here")
        while (found := far.recv(timeout=PATIENCE_SECONDS)) != "still here":
            assert set(found) == {"scan"}


def test_a_blob_that_is_dropped_tells_its_sender_to_stop() -> None:
    """An endless source: only the peer can end it."""
    with linked() as (near, far):
        sending = Task(near.send, {"scan": Blob.from_iter(itertools.cycle(PIECES))})
        value = far.recv(timeout=PATIENCE_SECONDS)
        reading = iter(value["scan"])
        next(reading)
        assert sending.running
        del reading, value
        gc.collect()

        sending.result()
        near.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"
