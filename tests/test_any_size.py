"""Blobs of any size between two processes: bounded memory, nothing readable on a disk, no link held up, no short file.

Each claim has a small size in the suite and the size of its acceptance under `long`.  The processes are puppets (see
streaming_support.py): the test moves them and looks on, which is what a third process is for.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import certificates, files
from bench.ways import WAYS, Job
from loopback import eventually
from netstructer import Limits
from streaming_support import KIB, MIB, Puppet, contents, make_sparse, puppet, still

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

LONG_SECONDS = 1500.0
AHEAD_BYTES = Limits().credit_bytes // 2 + 4 * MIB
"""How far a sender may be ahead of a reader who reads: the widest window, a piece of the source, and what the street
holds."""


def sizes(small: int, long: int) -> Any:
    """Return what parametrizes a test: the size of the suite, and that of the acceptance."""
    return pytest.mark.parametrize(
        "mebibytes",
        [
            pytest.param(small, id=f"{small}MiB"),
            pytest.param(long, id=f"{long}MiB", marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS)]),
        ],
    )


def growth_bound(mebibytes: int) -> int:
    return (64 if mebibytes > 1024 else 32) * MIB


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[tuple[Puppet, Puppet]]:
    """Give two processes: who sends, who receives."""
    with puppet(tmp_path / "sender") as sender, puppet(tmp_path / "receiver") as receiver:
        yield sender, receiver


@pytest.fixture
def ends(strangers: tuple[Puppet, Puppet]) -> tuple[Puppet, Puppet]:
    """Give two processes with a link between them."""
    connect(*strangers)
    return strangers


def connect(sender: Puppet, receiver: Puppet, *, resume: bool = True, **limits: Any) -> None:
    """Link two processes; the limits are the receiver's."""
    port = receiver.do("serve", **limits)
    accepting = receiver.start("accept")
    sender.do("connect", port=port, resume=resume)
    accepting.result()


def echo(near: Puppet, far: Puppet) -> None:
    """Show that the link lives: a value each way."""
    for one, other in ((near, far), (far, near)):
        one.do("send", value=["still", "here"])
        assert other.do("recv") == ["still", "here"]


# --- memory -----------------------------------------------------------------------------------------------------------


@sizes(64, 8192)
@pytest.mark.parametrize(
    ("kind", "how", "compress"),
    [("file", "iterate", True), ("file", "save", False), ("random", "iterate", True), ("random", "open", False)],
)
def test_neither_end_holds_what_passes_through(
    ends: tuple[Puppet, Puppet], tmp_path: Path, kind: str, how: str, compress: bool, mebibytes: int
) -> None:
    sender, receiver = ends
    size = mebibytes * MIB
    source, target = tmp_path / "source.raw", tmp_path / "target.raw"
    if kind == "file":
        make_sparse(source, size)
    for end in ends:
        end.do("settle")

    sending = sender.start("send_blob", kind=kind, size=size, compress=compress, path=str(source))
    assert receiver.do("recv") == "blob"
    found = receiver.do("read", LONG_SECONDS, how=how, path=str(target))
    growth = [end.do("growth") for end in ends]

    assert found == {"length": size, "digest": sending.result(LONG_SECONDS)}
    assert max(growth) <= growth_bound(mebibytes)
    echo(sender, receiver)


@sizes(64, 2048)
def test_a_reader_that_stops_stops_the_sender_and_not_the_memory(ends: tuple[Puppet, Puppet], mebibytes: int) -> None:
    sender, receiver = ends
    size, stop_after = mebibytes * MIB, 8 * MIB
    for end in ends:
        end.do("settle")

    sending = sender.start("send_blob", kind="random", size=size)
    assert receiver.do("recv") == "blob"
    reading = receiver.start("read", stop_after=stop_after)
    receiver.do("stopped")
    taken = still(sender)
    if mebibytes > 64:
        time.sleep(20)  # what the acceptance asks for; the small twin does not wait for the clock
        assert still(sender) == taken
    growth = [end.do("growth") for end in ends]

    assert not sending.done
    assert taken <= stop_after + AHEAD_BYTES
    assert max(growth) <= growth_bound(mebibytes)
    echo(sender, receiver)
    receiver.do("go_on")
    assert reading.result(LONG_SECONDS) == {"length": size, "digest": sending.result(LONG_SECONDS)}
    assert max(end.do("growth") for end in ends) <= growth_bound(mebibytes)


def test_what_is_held_shows_in_the_growth(ends: tuple[Puppet, Puppet]) -> None:
    """The sabotage twin: a value in memory, which both ends do hold whole, must break the bound."""
    sender, receiver = ends
    for end in ends:
        end.do("settle")
    sender.do("send", value="x" * (64 * MIB))
    receiver.do("recv")

    assert min(end.do("growth") for end in ends) > growth_bound(64)


@sizes(64, 8192)
def test_put_holds_no_more_of_a_large_file_than_of_a_small_one(tmp_path: Path, mebibytes: int) -> None:
    """From the command line, each end in a process of its own, as people run it; what arrives is compared."""
    certificates.write_config(tmp_path)
    peaks = []
    for name, size in (("small", 64 * KIB), ("large", mebibytes * MIB)):
        source = tmp_path / name
        make_sparse(source, size, islands=1 if name == "small" else 16)
        job = Job(source=source, destination=tmp_path / "arrived", names=tmp_path / "none", scratch=tmp_path)
        scale = files.Scale(mebibytes=0, files=1, seconds=LONG_SECONDS)
        figures = files.run_way(WAYS["netstructer"], job, files.fingerprint(source), scale)
        assert "error" not in figures, figures
        peaks.append((figures["client_peak_mib"], figures["server_peak_mib"]))
    growth = max(large - small for small, large in zip(*peaks, strict=True))

    assert growth * MIB <= growth_bound(mebibytes)


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kind", ["canary", "mixed"])
@sizes(32, 2048)
def test_nothing_lies_on_a_disk_in_the_clear(
    strangers: tuple[Puppet, Puppet], tmp_path: Path, kind: str, compress: bool, mebibytes: int
) -> None:
    """Nobody reads before the sender stands still, and what is on the disk then has been looked at."""
    sender, receiver = ends = strangers
    connect(sender, receiver, spool_link_bytes=(8 if mebibytes < 64 else 64) * MIB)
    size = mebibytes * MIB
    with watching(tmp_path, ends) as (watcher, seen):
        sending = sender.start("send_blob", kind=kind, size=size, compress=compress)
        assert receiver.do("recv") == "blob"
        still(sender)
        looked_at(watcher, times=3)
        found = receiver.do("read", LONG_SECONDS)
        assert found == {"length": size, "digest": sending.result(LONG_SECONDS)}

    assert seen["hits"] == []
    if kind == "mixed" or not compress:
        assert seen["unlinked_bytes"] > MIB, "the spool was not on the disk: nothing was shown"
    assert contents(tmp_path / "sender") == contents(tmp_path / "receiver") == []


@pytest.mark.parametrize("named", [False, True])
def test_the_watcher_sees_what_lies_there(ends: tuple[Puppet, Puppet], tmp_path: Path, named: bool) -> None:
    """The sabotage twin."""
    sender, _ = ends
    with watching(tmp_path, ends) as (_, seen):
        sender.do("leak", folder=str(tmp_path / "sender"), named=named)

    assert f"/proc/{sender.pid}/fd/" in seen["hits"][0]
    assert seen["hits"][1:] == [str(tmp_path / "sender" / "leak")] * named


@contextlib.contextmanager
def watching(tmp_path: Path, ends: tuple[Puppet, ...]) -> Iterator[tuple[Puppet, dict[str, Any]]]:
    """Have a third process look at the files of both; give it, and what it saw once the block has ended."""
    seen: dict[str, Any] = {}
    with puppet(tmp_path / "watcher") as watcher:
        folders = [str(tmp_path / "sender"), str(tmp_path / "receiver")]
        looking = watcher.start("watch", folders=folders, pids=[end.pid for end in ends])
        yield watcher, seen
        watcher.do("stop_watching")
        seen.update(looking.result())


def looked_at(watcher: Puppet, times: int = 1) -> None:
    """Return when the watcher has begun and ended so many looks, however long a busy machine takes over one."""
    before = watcher.do("looks")
    eventually(lambda: watcher.do("looks") > before + times, "looking")


@pytest.mark.parametrize("killed", ["sender", "receiver"])
@sizes(32, 2048)
def test_a_killed_end_leaves_nothing_behind(
    strangers: tuple[Puppet, Puppet], tmp_path: Path, killed: str, mebibytes: int
) -> None:
    sender, receiver = ends = strangers
    connect(sender, receiver, resume=False, spool_link_bytes=(8 if mebibytes < 64 else 64) * MIB)
    with watching(tmp_path, ends) as (watcher, seen):
        sending = sender.start("send_blob", kind="mixed", size=mebibytes * MIB)
        assert receiver.do("recv") == "blob"
        still(sender)
        looked_at(watcher)
        (sender if killed == "sender" else receiver).end()

    assert seen["unlinked_bytes"] > MIB
    assert seen["hits"] == []
    assert contents(tmp_path / "sender") == contents(tmp_path / "receiver") == []
    if killed == "sender":
        assert receiver.start("read").failure() == "ConnectionCut"
    else:
        assert sending.failure() == "ConnectionCut"


# --- both ways, and several -------------------------------------------------------------------------------------------


@sizes(64, 512)
def test_both_ends_send_before_either_reads(ends: tuple[Puppet, Puppet], mebibytes: int) -> None:
    """What nobody reads yet is kept, as far as the spool goes: two ends that send first do not wait for each other."""
    size = mebibytes * MIB
    for end in ends:
        end.do("settle")
    sending = [end.start("send_blob", kind="random", size=size) for end in ends]
    digests = [sent.result(LONG_SECONDS) for sent in sending]
    assert [end.do("recv") for end in ends] == ["blob", "blob"]
    found = [end.do("read", LONG_SECONDS) for end in ends]

    assert found == [{"length": size, "digest": digest} for digest in reversed(digests)]
    assert max(end.do("growth") for end in ends) <= growth_bound(mebibytes)
    echo(*ends)


@sizes(24, 2048)
def test_both_ways_at_once_beyond_what_is_kept(strangers: tuple[Puppet, Puppet], mebibytes: int) -> None:
    near, far = ends = strangers
    connect(near, far, spool_link_bytes=4 * MIB)
    size = mebibytes * MIB
    sending = [end.start("send_blob", kind="random", size=size) for end in ends]
    assert [end.do("recv") for end in ends] == ["blob", "blob"]
    reading = [end.start("read") for end in ends]

    for read, sent in zip(reading, reversed(sending), strict=True):
        assert read.result(LONG_SECONDS) == {"length": size, "digest": sent.result(LONG_SECONDS)}
    echo(near, far)


# --- no room ----------------------------------------------------------------------------------------------------------


def test_a_file_size_limit_costs_one_blob_and_not_the_link(ends: tuple[Puppet, Puppet]) -> None:
    sender, receiver = ends
    receiver.do("limit_files", size=256 * KIB)

    no_room(sender, receiver)


@pytest.mark.parametrize("free_bytes", [1, 256 * MIB], ids=["full", "floor"])
def test_a_full_disk_costs_one_blob_and_not_the_link(tmp_path: Path, free_bytes: int) -> None:
    """A file system of two mebibytes: written until it is full, or not touched, for want of what must stay free."""
    with puppet(tmp_path / "sender") as sender, small_disk(tmp_path / "receiver") as receiver:
        connect(sender, receiver, spool_free_bytes=free_bytes)

        no_room(sender, receiver)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Puppet]:
    """Run a process whose temporary directory is a file system of two mebibytes of its own."""
    folder.mkdir()
    mount = ("unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"', str(folder))
    try:
        subprocess.run([*mount, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount in a namespace of his own")
    with puppet(folder, prefix=mount) as found:
        yield found


def no_room(sender: Puppet, receiver: Puppet) -> None:
    """Send a blob for which there is no room, and values around it."""
    sender.do("send", value="before")
    sending = sender.start("send_blob", kind="random", size=32 * MIB)
    assert receiver.do("recv") == "before"
    assert receiver.do("recv") == "blob"
    for number in range(20):
        sender.do("send", value=number)
    assert [receiver.do("recv") for _ in range(20)] == list(range(20))
    assert sending.failure() is not None  # nobody has read a byte of it: this is the spool that told the sender
    assert receiver.start("read").failure() == "SpoolFull"
    echo(sender, receiver)

    small = sender.start("send_blob", kind="random", size=512 * KIB)
    assert receiver.do("recv") == "blob"
    assert receiver.do("read", number=1) == {"length": 512 * KIB, "digest": small.result()}
