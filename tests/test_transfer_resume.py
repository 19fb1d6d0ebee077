"""What was cut off is continued at its offset, and what is continued is verified first."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conversation import both, pair, ticking
from netstructer.errors import DigestMismatch, LinkLost
from netstructer.transfer import Transfer, fetch, offer, planning, serve
from netstructer.transfer import partial as partials
from netstructer.transfer.gathering import gather
from netstructer.transfer.manifest import Entry
from netstructer.transfer.partial import Partial, partial_name
from netstructer.transfer.places import Tree

ROOT = Path(__file__).resolve().parent.parent
SIZE = 3 << 20
AROUND = 1000
"""Headers of two tries; the pipe of the tests has nothing in flight that its reader does not get."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def put(paths: Any, directory: Path, cut_after: int | None = None, **options: Any) -> tuple[Any, Any, int]:
    """Offer and serve over a wire that ends after so many bytes; return both results, and the bytes that crossed."""
    end, other, wire = pair(cut_after)
    sent, received = both(
        lambda: offer(end, paths, clock=ticking(), **options),
        lambda: serve(other, other.recv(), directory, clock=ticking()),
    )
    return sent, received, wire.blob_bytes


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def leave_partial(path: Path, directory: Path, data: bytes) -> Path:
    """Put `data` where an interrupted transfer of `path` to `directory` would have left it."""
    with gather([path]) as gathered:
        kept = directory / partial_name(gathered.entries[0])
    kept.write_bytes(data)
    return kept


@pytest.mark.parametrize("cuts", [100, pytest.param(500, marks=pytest.mark.long)])
def test_a_transfer_that_is_cut_anywhere_is_completed_and_sends_no_more_than_was_missing(
    here: Path, tmp_path: Path, cuts: int
) -> None:
    data = random.Random(5).randbytes(SIZE)
    (here / "x").write_bytes(data)
    draw = random.Random(cuts)
    excess = []

    for number in range(cuts):
        there = tmp_path / f"there-{number}"
        there.mkdir()
        cut = draw.randrange(SIZE + 60)
        sent, received, before = put(here / "x", there, cut)
        assert isinstance(sent, LinkLost)
        assert isinstance(received, LinkLost)
        assert not (there / "x").exists()

        sent, received, after = put(here / "x", there)

        assert names_in(there) == ["x"]
        assert (there / "x").read_bytes() == data
        assert sent.outcomes[0].status == received.outcomes[0].status
        assert sent.moved == received.moved
        excess.append(before + after - SIZE)
        (there / "x").unlink()

    assert max(excess) <= AROUND
    assert min(excess) >= 0


def test_a_tree_that_is_cut_many_times_is_completed(here: Path, there: Path) -> None:
    for name in ("a", "b/c", "b/d", "e/f/g", "h"):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(200_000))
    crossed = tries = 0
    done: Any = None
    while not isinstance(done, Transfer):
        tries += 1
        done, _, count = put([here], there, 130_000)
        crossed += count

    assert 7 < tries <= 16
    assert crossed < 1_000_000 + tries * AROUND
    for name in ("a", "b/c", "b/d", "e/f/g", "h"):
        assert (there / "here" / name).read_bytes() == (here / name).read_bytes()
    assert list(there.rglob(".*")) == []


def test_what_is_asked_for_is_continued_too(here: Path, there: Path) -> None:
    (here / "x").write_bytes(os.urandom(SIZE))

    def get(cut_after: int | None) -> Any:
        end, other, _ = pair(cut_after)
        return both(
            lambda: fetch(end, "x", there, clock=ticking()),
            lambda: serve(other, other.recv(), here, clock=ticking()),
        )[0]

    assert isinstance(get(SIZE // 2), LinkLost)
    done = get(None)

    assert done.outcomes[0].status == "resumed"
    assert done.moved <= SIZE // 2 + AROUND
    assert (there / "x").read_bytes() == (here / "x").read_bytes()


@pytest.mark.parametrize("at", [0, 1, 1_000_000, (1 << 20) - 1])
def test_a_prefix_that_was_tampered_with_is_sent_again(here: Path, there: Path, at: int) -> None:
    data = os.urandom(2 << 20)
    (here / "x").write_bytes(data)
    prefix = bytearray(data[: 1 << 20])
    prefix[at] ^= 1
    leave_partial(here / "x", there, bytes(prefix))

    sent, received, _ = put(here / "x", there)

    assert sent.outcomes[0].status == received.outcomes[0].status == "sent"
    assert sent.moved == 2 << 20
    assert names_in(there) == ["x"]
    assert (there / "x").read_bytes() == data


@pytest.mark.parametrize("length", [1, 65_536, (2 << 20) - 1, 2 << 20])
def test_a_prefix_that_is_right_is_not(here: Path, there: Path, length: int) -> None:
    data = os.urandom(2 << 20)
    (here / "x").write_bytes(data)
    kept = leave_partial(here / "x", there, data[:length])
    inode = kept.stat().st_ino

    sent, received, crossed = put(here / "x", there)

    assert sent.moved == received.moved == (2 << 20) - length
    assert crossed < (2 << 20) - length + 1000
    assert (there / "x").read_bytes() == data
    assert (there / "x").stat().st_ino == inode
    assert sent.outcomes[0].status == received.outcomes[0].status


def test_a_partial_longer_than_its_file_is_no_prefix_beyond_it(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x" * 1000)
    leave_partial(here / "x", there, b"x" * 5000)

    put(here / "x", there)

    assert (there / "x").read_bytes() == b"x" * 1000


def test_a_receiver_that_said_the_digest_of_one_prefix_and_has_another_is_found_out(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest at the end is of all bytes, those of earlier tries included."""
    data = os.urandom(2 << 20)
    (here / "x").write_bytes(data)
    leave_partial(here / "x", there, data[: 1 << 20])
    plain = partials.digest_of

    class Blind:
        """Says the right digest of the prefix, and has hashed another one."""

        def __init__(self, handle: int, length: int, tell: Any) -> None:
            self.state = hashlib.sha256(b"another prefix")
            self.said = plain(handle, length).digest()
            self.fed = False

        def update(self, piece: Any) -> None:
            self.fed = True
            self.state.update(piece)

        def digest(self) -> bytes:
            return self.state.digest() if self.fed else self.said

    monkeypatch.setattr(partials, "digest_of", Blind)
    sent, _, _ = put(here / "x", there)

    assert isinstance(sent, DigestMismatch)
    assert names_in(there) == []


def test_another_offer_of_the_name_removes_what_the_first_one_left(here: Path, there: Path) -> None:
    (here / "x").write_bytes(os.urandom(SIZE))
    put(here / "x", there, SIZE // 2)
    (here / "y").write_bytes(os.urandom(SIZE))
    put(here / "y", there, SIZE // 2)
    assert len(names_in(there)) == 2
    (here / "x").write_bytes(b"shorter now")

    sent, _, _ = put(here / "x", there)

    assert sent.outcomes[0].status == "sent"
    assert (there / "x").read_bytes() == b"shorter now"
    kept = [name for name in names_in(there) if name != "x"]
    assert len(kept) == 1  # that of y is none of its business
    with gather([here / "y"]) as gathered:
        assert kept == [partial_name(gathered.entries[0])]


def test_a_partial_is_called_for_its_target_and_its_offer() -> None:
    one = Entry(name="d/x", size=5, mtime_ns=7, mode=0o644)
    others = [
        Entry(name="d/y", size=5, mtime_ns=7, mode=0o644),
        Entry(name="d/x", size=6, mtime_ns=7, mode=0o644),
        Entry(name="d/x", size=5, mtime_ns=8, mode=0o644),
        Entry(name="d/x", size=5, mtime_ns=7, mode=0o600),
    ]

    names = {partial_name(entry) for entry in (one, *others)}

    assert len(names) == 5
    assert partial_name(Entry(name="e/X", size=5, mtime_ns=7, mode=0o644)) == partial_name(one)
    assert {partials.stem_of(name) for name in names} == {name[:30] for name in names}
    assert len({partials.stem_of(name) for name in names}) == 2


def test_of_two_transfers_of_one_file_to_one_place_the_second_is_refused(here: Path, there: Path) -> None:
    data = os.urandom(1 << 20)
    (here / "x").write_bytes(data)
    kept = leave_partial(here / "x", there, data[: 1 << 19])
    with gather([here / "x"]) as gathered, Tree(there) as tree:
        first = Partial(tree.at(()), gathered.entries[0], resume=True)

        sent, _, _ = put(here / "x", there, check=False)

        assert sent.outcomes[0].status == "refused"
        assert sent.outcomes[0].reason == "another transfer is writing that file"
        assert kept.read_bytes() == data[: 1 << 19]
        first.keep()

    sent, _, _ = put(here / "x", there)

    assert sent.moved == 1 << 19
    assert (there / "x").read_bytes() == data


@pytest.mark.skipif(os.name != "posix", reason="links and owners of POSIX")
@pytest.mark.parametrize("planted", ["a symbolic link", "a hard link", "a directory", "a pipe"])
def test_what_is_no_partial_of_ours_is_not_written_through(
    here: Path, there: Path, tmp_path: Path, planted: str
) -> None:
    (here / "x").write_bytes(b"x" * 1000)
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    kept = leave_partial(here / "x", there, b"")
    kept.unlink()
    if planted == "a symbolic link":
        kept.symlink_to(victim)
    elif planted == "a hard link":
        os.link(victim, kept)
    elif planted == "a directory":
        kept.mkdir()
    else:
        os.mkfifo(kept)

    sent, _, _ = put(here / "x", there, check=False)

    assert victim.read_bytes() == b"victim"
    if planted == "a directory":
        assert sent.outcomes[0].status == "refused"
    else:
        assert sent.outcomes[0].status == "sent"
        assert (there / "x").read_bytes() == b"x" * 1000
        assert names_in(there) == ["x"]


def test_more_partials_than_are_held_are_sent_anew(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MOST_HELD", 2)
    for name in "abc":
        (here / name).write_bytes(name.encode() * 1000)
        leave_partial(here / name, there, name.encode() * 500)

    sent, _, _ = put(sorted(here.iterdir()), there)

    assert [outcome.status for outcome in sent.outcomes] == ["resumed", "resumed", "sent"]
    assert names_in(there) == ["a", "b", "c"]


def test_a_dry_run_counts_what_a_partial_saves_and_leaves_it(here: Path, there: Path) -> None:
    data = os.urandom(1000)
    (here / "x").write_bytes(data)
    kept = leave_partial(here / "x", there, data[:400])

    sent, received, _ = put(here / "x", there, dry_run=True)

    assert sent.moved == received.moved == 600
    assert sent.outcomes[0].status == received.outcomes[0].status == "resumed"
    assert names_in(there) == [kept.name]
    assert kept.read_bytes() == data[:400]


def test_trailing_zeros_that_were_left_out_are_still_counted(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"a" * 100_000 + bytes(1 << 20) + os.urandom(1 << 20))

    put(here / "x", there, 1 << 20)
    sent, _, _ = put(here / "x", there)

    assert sent.outcomes[0].status == "resumed"
    assert sent.moved < (1 << 20) + 100_000 + 2 * AROUND
    assert (there / "x").read_bytes() == (here / "x").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such end")
def test_a_killed_receiver_leaves_what_can_be_continued(here: Path, there: Path) -> None:
    data = os.urandom(SIZE)
    (here / "x").write_bytes(data)
    program = """
import os, signal, sys
from conversation import both, pair, ticking
from netstructer.transfer import offer, serve
def report(progress):
    if progress.done > 1_500_000:
        os.kill(os.getpid(), signal.SIGKILL)
end, other, _ = pair()
both(lambda: offer(end, [sys.argv[1]], clock=ticking()),
     lambda: serve(other, other.recv(), sys.argv[2], progress=report, clock=ticking()))
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    child = subprocess.run(
        [sys.executable, "-c", program, str(here / "x"), str(there)],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert "x" not in names_in(there)

    sent, _, _ = put(here / "x", there)

    assert sent.outcomes[0].status == "resumed"
    assert sent.moved <= SIZE - 1_500_000 + AROUND
    assert (there / "x").read_bytes() == data
    assert names_in(there) == ["x"]
