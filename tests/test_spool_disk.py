"""Spools on real disks: nothing readable, nothing left behind, full disks, descriptors."""

from __future__ import annotations

import gc
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from netstructer.codec.slots import SLOT_BYTES
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.limits import Limits

ROOT = Path(__file__).resolve().parent.parent
CANARY = b"these 32 bytes shall not be seen"
DESCRIPTORS = Path("/proc/self/fd")
WATCHED_BYTES = 1 << 20

needs_proc = pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="open files are looked at through /proc")


def room_in(folder: Path) -> SpoolRoom:
    return SpoolRoom(Limits(spool_memory_bytes=1, spool_directory=str(folder)))


def files_of(process: int | str, folder: Path) -> Iterator[Path]:
    """Return every file in a folder, with a name or held open by a process without one."""
    yield from (path for path in folder.rglob("*") if path.is_file())
    for path in Path(f"/proc/{process}/fd").iterdir():
        try:
            if os.readlink(path).startswith(f"{folder}/"):
                yield path
        except FileNotFoundError:
            continue  # the descriptor with which the folder itself was read


def hits_of(process: int | str, folder: Path) -> tuple[int, int]:
    """Return how many files hold eight bytes of the canary, and how many bytes were looked at."""
    found = looked = 0
    for path in files_of(process, folder):
        with path.open("rb", buffering=0) as file:
            before = b""
            while part := file.read(WATCHED_BYTES):
                looked += len(part)
                if CANARY[:8] in before + part:
                    found += 1
                    break
                before = part[-7:]
    return found, looked


def run(script: str, folder: Path, *before: str) -> subprocess.Popen[bytes]:
    """Start a process that has a room in `folder`, a spool in it, and the canary."""
    head = f"""
import errno, os, resource, sys, time
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import SpoolFull
from netstructer.limits import Limits
room = SpoolRoom(Limits(spool_memory_bytes=1, spool_free_bytes=1, spool_directory={str(folder)!r}))
spool, row = Spool(room), {CANARY!r} * 2048
"""
    return subprocess.Popen(
        [*before, sys.executable, "-W", "error", "-c", head + script], cwd=ROOT, stdout=subprocess.PIPE
    )


FULL = """
added = 0
try:
    while added < 1000:
        spool.add(row)
        added += 1
except SpoolFull as error:
    assert isinstance(error.__cause__, OSError), error
    full = errno.errorcode[error.__cause__.errno]
assert added * len(row) == spool.byte_count == room.disk_bytes, (added, spool.byte_count, room.disk_bytes)
assert spool.read(0, 1 << 20) == row
spool.forget(len(row))
spool.add(row)
assert b"".join(spool) == row * added
assert (room.memory_bytes, room.disk_bytes) == (0, 0)
print(full, added)
"""
"""What a spool does where the disk ends: it says so, and all that it took is there."""


@needs_proc
def test_the_canary_is_never_on_disk(tmp_path: Path) -> None:
    spool = Spool(room_in(tmp_path))
    for _ in range(64):
        spool.add(CANARY * 2048)

    assert hits_of("self", tmp_path) == (0, 64 * (SLOT_BYTES + 16))
    assert b"".join(spool) == CANARY * 2048 * 64
    assert hits_of("self", tmp_path)[0] == 0
    spool.close()


@needs_proc
def test_a_canary_on_disk_is_found(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path, buffering=0) as plain:
        plain.write(bytes(WATCHED_BYTES - 3) + CANARY)

        assert hits_of("self", tmp_path) == (1, WATCHED_BYTES - 3 + 32)
    (tmp_path / "named").write_bytes(CANARY)
    assert hits_of("self", tmp_path) == (1, 32)


@needs_proc
def test_a_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    child = run("for _ in range(64): spool.add(row)\nprint('ready', flush=True)\ntime.sleep(60)", tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"

    assert hits_of(child.pid, tmp_path) == (0, 64 * (SLOT_BYTES + 16))
    child.kill()
    child.wait()
    child.stdout.close()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX's")
def test_the_file_has_no_name_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        spool = Spool(room_in(tmp_path))
        spool.add(bytes(SLOT_BYTES))
    finally:
        os.umask(mask)
    assert spool._file is not None
    descriptor = spool._file._descriptors[0]
    facts = os.fstat(descriptor)

    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert facts.st_nlink == 0
    assert not os.get_inheritable(descriptor)
    assert list(tmp_path.iterdir()) == []
    spool.close()


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX's")
def test_the_largest_file_that_a_process_may_write(tmp_path: Path) -> None:
    begin = "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    with run(begin + FULL, tmp_path) as child:
        assert child.communicate(timeout=60)[0].split() == [b"EFBIG", b"15"]
    assert child.returncode == 0


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A file system of 1 MiB, in a namespace of the child's own, where the system lets us have one."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    mount = 'mount -t tmpfs -o size=1m spool "$1" || exit 77; shift; exec "$@"'
    with run(FULL, tmp_path, "unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path)) as child:
        printed = child.communicate(timeout=60)[0].split()
    if child.returncode in (1, 77) and not printed:
        pytest.skip("this system gives us no file system of our own")

    assert child.returncode == 0
    assert printed[0] == b"ENOSPC"
    assert 14 <= int(printed[1]) <= 16


@needs_proc
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    gc.collect()
    before = len(list(DESCRIPTORS.iterdir()))
    room = room_in(tmp_path)
    for at in range(300):
        spool = Spool(room)
        spool.add(bytes(SLOT_BYTES))
        if at % 3 == 0:
            spool.close()
        elif at % 3 == 1:
            circle: list[object] = [spool]
            circle.append(circle)
    del spool, circle
    gc.collect()

    assert len(list(DESCRIPTORS.iterdir())) == before
    assert (room.memory_bytes, room.disk_bytes) == (0, 0)


@needs_proc
def test_a_process_without_descriptors_has_a_full_spool(tmp_path: Path) -> None:
    script = """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
open_files = []
try:
    while True:
        open_files.append(open(os.devnull))
except OSError:
    pass
try:
    spool.add(row)
except SpoolFull as error:
    print(errno.errorcode[error.__cause__.errno])
for file in open_files:
    file.close()
spool.add(row)
assert b"".join(spool) == row
"""
    with run(script, tmp_path) as child:
        assert child.communicate(timeout=60)[0] == b"EMFILE\n"
    assert child.returncode == 0


@pytest.mark.long
@needs_proc
def test_the_canary_is_never_on_disk_over_gigabytes(tmp_path: Path) -> None:
    """4 GiB, added and taken out with 256 MiB in between: every slot is written sixteen times."""
    room, chunk, ahead = room_in(tmp_path), CANARY * 2048, 4096
    spool = Spool(room)
    taker, taken = iter(spool), 0
    for at in range(1 << 16):
        spool.add(chunk)
        if at >= ahead:
            assert next(taker) == chunk
            taken += 1
        if at % 8192 == 0:
            assert hits_of("self", tmp_path)[0] == 0

    assert hits_of("self", tmp_path)[0] == 0
    assert sum(path.stat().st_size for path in files_of("self", tmp_path)) <= (ahead + 2) * (SLOT_BYTES + 16)
    assert sum(len(piece) for piece in taker) == ((1 << 16) - taken) * len(chunk)
    spool.close()
