"""Files on a link: sent and received beside the link's own values, cut anywhere and continued, over loopback."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, linked
from netstructer import Link, Server
from netstructer.errors import FileChanged, LinkClosed, LinkLost, LinkTimeout, NetstructerError, TransferRefused
from netstructer.transfer import Progress

KIB, MIB = 1 << 10, 1 << 20
CHUNK_BYTES = 64 * KIB
"""What one slot of a spool, or one record of a blob, holds."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def test_a_file_arrives_with_its_name_its_time_and_its_digest(here: Path, there: Path) -> None:
    content = os.urandom(3 * MIB + 17)
    (here / "scan.tiff").write_bytes(content)
    os.utime(here / "scan.tiff", ns=(10**18, 10**18 + 7))
    events: list[Progress] = []
    with linked() as (near, far):
        receiving = Task(far.recv_file, there, progress=lambda event: None, timeout=PATIENCE_SECONDS)
        sent = near.send_file(here / "scan.tiff", progress=events.append, timeout=PATIENCE_SECONDS)
        received = receiving.result()

    assert (there / "scan.tiff").read_bytes() == content
    assert (there / "scan.tiff").stat().st_mtime_ns == 10**18 + 7
    assert [outcome.status for outcome in (*sent.outcomes, *received.outcomes)] == ["sent", "sent"]
    assert sent.moved == len(content)
    assert sent.wire > len(content)
    assert (events[0].name, events[0].done, events[-1].done, events[-1].total) == ("scan.tiff", 0, *[len(content)] * 2)
    assert [path.name for path in there.iterdir()] == ["scan.tiff"]


def test_a_tree_arrives_and_is_not_sent_twice(here: Path, there: Path) -> None:
    contents = {f"deep/{number % 3}/{number}.txt": b"%d " % number * number for number in range(60)}
    for name, content in contents.items():
        path = here / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (here / "tree" / "empty").mkdir()
    with linked() as (near, far):
        for statuses in ({"sent"}, {"same"}):
            receiving = Task(far.recv_file, there, timeout=PATIENCE_SECONDS)
            sent = near.send_file(here / "tree", timeout=PATIENCE_SECONDS)
            receiving.result()
            assert set(sent.counts) == statuses

    assert {name: (there / "tree" / name).read_bytes() for name in contents} == contents
    assert (there / "tree" / "empty").is_dir()


def test_values_and_several_transfers_share_a_link(here: Path, there: Path) -> None:
    for name in ("a", "b", "c"):
        (here / name).write_bytes(name.encode() * MIB)
    with linked() as (near, far):
        receiving = [Task(far.recv_file, there, timeout=PATIENCE_SECONDS) for _ in range(2)]
        sending = [Task(near.send_file, here / name, timeout=PATIENCE_SECONDS) for name in ("a", "b")]
        back = Task(near.recv_file, there, timeout=PATIENCE_SECONDS)
        for number in range(200):
            near.send(number)
        far.send_file(here / "c", timeout=PATIENCE_SECONDS)
        values = [far.recv(timeout=PATIENCE_SECONDS) for _ in range(200)]
        for task in (*receiving, *sending, back):
            task.result()

    assert values == list(range(200))
    assert {name: (there / name).read_bytes() for name in ("a", "b", "c")} == {
        name: name.encode() * MIB for name in ("a", "b", "c")
    }


def test_a_file_that_changes_is_said_at_both_ends_and_dropped(here: Path, there: Path) -> None:
    path = here / "log"
    path.write_bytes(bytes(4 * MIB))

    def touch(event: Progress) -> None:
        with open(path, "ab") as file:
            file.write(b"one line more")

    with linked() as (near, far):
        receiving = Task(far.recv_file, there, timeout=PATIENCE_SECONDS)
        with pytest.raises(FileChanged, match="log") as caught:
            near.send_file(path, progress=touch, timeout=PATIENCE_SECONDS)
        error = receiving.error()

    assert caught.value.name == "log"
    assert isinstance(error, FileChanged)
    assert list(there.iterdir()) == []


def test_nobody_takes_or_offers_a_file(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x")
    with linked() as (near, far):
        with pytest.raises(LinkTimeout):
            far.recv_file(there, timeout=0.05)
        with pytest.raises(LinkTimeout):
            near.send_file(here / "x", timeout=0.05)
        with pytest.raises(OSError, match="nowhere"):
            near.send_file(here / "nowhere", timeout=1)
        near.send("still here")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still here"
        waiting = Task(far.recv_file, there)
        near.close()
        assert isinstance(waiting.error(), NetstructerError)
        with pytest.raises(LinkClosed):
            far.recv_file(there)


def test_a_file_that_is_there_can_be_refused(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"new")
    (there / "x").write_bytes(b"old")
    with linked() as (near, far):
        receiving = Task(far.recv_file, there, overwrite="refuse", timeout=PATIENCE_SECONDS)
        with pytest.raises(TransferRefused):
            near.send_file(here / "x", timeout=PATIENCE_SECONDS)
        assert isinstance(receiving.error(), TransferRefused)

    assert (there / "x").read_bytes() == b"old"


@pytest.mark.parametrize("cuts", [12, pytest.param(500, marks=pytest.mark.long)])
def test_a_transfer_that_is_cut_is_continued_and_what_was_there_is_not_sent_again(
    here: Path, there: Path, cuts: int
) -> None:
    """Each try is cut at a random byte of the wire; the last one is not.

    What is sent in a try is what the receiver did not have when it began, so nothing of the file is sent twice but what
    was under way when the wire was cut: over all tries, no more than was sent and did not come.
    """
    draw = random.Random(20261120)
    size = 2 * MIB + 12_345
    content = draw.randbytes(size)
    (here / "x").write_bytes(content)
    done, continued = 0, 0
    while done < cuts:
        while done < cuts and not (there / "x").exists():
            missing = size - _bytes_in(there)
            continued += missing < size
            _try(here / "x", there, cut_after=draw.randrange(1, missing + 4 * CHUNK_BYTES), missing=missing)
            done += 1
        _try(here / "x", there, cut_after=None, missing=size - _bytes_in(there))

        assert (there / "x").read_bytes() == content
        assert [path.name for path in there.iterdir()] == ["x"]
        (there / "x").unlink()

    assert continued


def _try(path: Path, there: Path, *, cut_after: int | None, missing: int) -> None:
    """Send a file through a relay that cuts the wire after so many bytes, and hold what it sends to what is missing."""

    def tamper(direction: str, offset: int, data: bytes) -> bytes:
        if direction == "out" and cut_after is not None and offset + len(data) >= cut_after:
            cutting.set()
            return data[: max(0, cut_after - offset)]
        return data

    cutting = threading.Event()
    with Server(key=KEY) as server, Relay(server.address, tamper=tamper) as relay:
        cutter = Task(lambda: cutting.wait(PATIENCE_SECONDS) and relay.cut())
        try:
            near = Link(
                relay.address, key=KEY, resume=False
            )  # a session that outlived the cut would lose nothing of it
            far = server.accept(timeout=PATIENCE_SECONDS)
            receiving = Task(far.recv_file, there, timeout=PATIENCE_SECONDS)
            try:
                sent = near.send_file(path, timeout=PATIENCE_SECONDS)
                assert sent.moved <= missing
            finally:
                receiving.error()
                wire = near.stats.wire_sent
                near.abort()
                far.abort()
            assert wire <= missing + CHUNK_BYTES
        except (LinkLost, LinkClosed):
            assert cut_after is not None
        finally:
            cutting.set()
            cutter.result()


def _bytes_in(there: Path) -> int:
    """Return how much of the file is there, under whatever name."""
    return sum(path.stat().st_size for path in there.iterdir())
