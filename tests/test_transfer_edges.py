"""Transfers where the disk says no, where names race, and where a system has less to offer."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conversation import both, nothing_outside, pair, ticking
from netstructer.errors import ConnectionCut, Misuse, SourceFailed, TransferRefused, UnsafeName
from netstructer.transfer import Outcome, Refused, fetch, leaving, listing, offer, places, receive, serve, source, view
from netstructer.transfer import partial as partials
from netstructer.transfer.channel import look
from netstructer.transfer.gathering import gather
from netstructer.transfer.manifest import Entry, Taken
from netstructer.transfer.partial import Partial, make_link, partial_name, sweep
from netstructer.transfer.places import Directory, Tree
from test_transfer import _link, _made, files_of, get, put, statuses

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX")
HIDDEN = f".netstructer-{'0' * 16}-{'0' * 16}.part"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return _made(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return _made(tmp_path / "around" / "there")


def failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


# --- places -----------------------------------------------------------------------------------------------------------


def test_this_system_is_walked_by_descriptor_where_it_can() -> None:
    assert places.BY_DESCRIPTOR is (os.name == "posix")


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_a_tree_holds_what_leads_to_where_it_was_used_last(
    there: Path, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "BY_DESCRIPTOR", by_descriptor and places.BY_DESCRIPTOR)
    with Tree(there) as tree:
        tree.make(("a", "b", "c"))
        (there / "a" / "f").write_bytes(b"f")
        tree.at(("a", "b", "c"))

        assert tree.at(("a", "b")).names() == ["c"]
        assert sorted(tree.at(("a",)).names()) == ["b", "f"]
        assert sorted(tree.created) == [("a",), ("a", "b"), ("a", "b", "c")]
        with pytest.raises(FileNotFoundError):
            tree.at(("a", "none", "c"))
        with pytest.raises(NotADirectoryError):
            tree.at(("a", "f"))
        with pytest.raises(NotADirectoryError):
            tree.make(("a", "f"))
        assert tree.at(("a", "b")).names() == ["c"]
        tree.close()
        assert tree.at(()).names() == ["a"]
    with pytest.raises(NotADirectoryError):
        Tree(there / "a" / "f")


@POSIX
def test_no_descriptor_is_left_open(here: Path, there: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list descriptors")
    (here / "d" / "e").mkdir(parents=True)
    (here / "d" / "e" / "x").write_bytes(os.urandom(300_000))
    before = _descriptors()

    for cut in (None, 0, 100_000, 299_000):
        end, other, _ = pair(cut)
        both(
            lambda end=end: offer(end, [here / "d"], clock=ticking()),
            lambda other=other: serve(other, other.recv(), there, clock=ticking()),
        )
        get("d/**/x", there, here)
        get("none", there, here)

    assert _descriptors() - before == set()


def _descriptors() -> set[tuple[str, str]]:
    """Return what this process has open.  What tests before this one left to the collector may vanish at any time."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor by which the directory itself was read
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


@POSIX
@pytest.mark.parametrize(
    "act",
    [
        lambda directory: directory.open("x", os.O_RDONLY),
        lambda directory: directory.status("x"),
        lambda directory: directory.child("x"),
    ],
)
def test_by_path_a_directory_that_was_swapped_is_noticed(
    there: Path, tmp_path: Path, act: Callable[[Directory], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "BY_DESCRIPTOR", False)
    outside = _made(tmp_path / "outside")
    (outside / "x").write_bytes(b"outside")
    _made(there / "d")
    (there / "d" / "x").write_bytes(b"inside")
    with Tree(there) as tree:
        directory = tree.at(("d",))
        (there / "d").rename(there / "moved")
        (there / "d").symlink_to(outside)

        with pytest.raises(NotADirectoryError, match="moved away"):
            act(directory)


@POSIX
def test_by_path_no_link_is_opened_and_no_path_is_a_name(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "BY_DESCRIPTOR", False)
    (tmp_path / "secret").write_bytes(b"secret")
    (there / "l").symlink_to(tmp_path / "secret")
    (there / "f").write_bytes(b"f")
    with Tree(there) as tree:
        directory = tree.at(())

        with pytest.raises(PermissionError):
            directory.open("l", os.O_RDONLY)
        for name in ("../secret", "..", ".", ""):
            with pytest.raises(NotADirectoryError):
                directory.open(name, os.O_RDONLY)
        with pytest.raises(FileExistsError):
            directory.add("f", "l")

        def swap(path: str, *_: object) -> int:
            (there / "f").rename(there / "g")
            (there / "f").write_bytes(b"another")
            return plain(path, *_)

        plain = os.open
        monkeypatch.setattr(places.os, "open", swap)
        with pytest.raises(PermissionError, match="replaced while"):
            directory.open("f", os.O_RDONLY)


@POSIX
def test_what_is_no_regular_file_is_not_opened(there: Path) -> None:
    os.mkfifo(there / "pipe")
    with Tree(there) as tree, pytest.raises(PermissionError, match="no regular file"):
        tree.at(()).open("pipe", os.O_RDONLY)


# --- partials ---------------------------------------------------------------------------------------------------------


def test_a_partial_that_was_replaced_is_neither_finished_nor_removed(there: Path) -> None:
    entry = Entry(name="x", size=5, mtime_ns=1, mode=0o644)
    with Tree(there) as tree:
        partial = Partial(tree.at(()), entry, resume=True)
        partial.add(memoryview(b"12345"))
        os.replace(_written(there / "other", b"planted"), there / partial.name)

        with pytest.raises(FileNotFoundError, match="another file"):
            partial.finish(tree.at(()), entry, "replace")
        partial.drop(tree.at(()))
        partial.keep()

    assert files_of(there) == {partial.name: b"planted"}


def test_a_time_that_the_system_cannot_express_is_left(there: Path) -> None:
    entry = Entry(name="x", size=1, mtime_ns=(1 << 63) - 1, mode=0o644)
    with Tree(there) as tree:
        partial = Partial(tree.at(()), entry, resume=True)
        partial.add(memoryview(b"1"))

        assert partial.finish(tree.at(()), entry, "replace") == "x"

    assert files_of(there) == {"x": b"1"}


def test_a_partial_that_cannot_be_made_keeps_no_descriptor(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(name="x", size=1, mtime_ns=1, mode=0o644)
    closed: list[int] = []
    plain = os.close
    monkeypatch.setattr(partials, "digest_of", failing(errno.EIO))
    monkeypatch.setattr(partials.os, "close", lambda handle: closed.append(handle) or plain(handle))
    with Tree(there) as tree:
        with pytest.raises(OSError, match="Input/output"):
            Partial(tree.at(()), entry, resume=True)

        assert len(closed) == 1


def test_a_partial_that_another_transfer_finishes_meanwhile_is_begun_again(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking it, whoever had it may have given it its final name, or dropped it."""
    entry = Entry(name="x", size=1, mtime_ns=1, mode=0o644)
    name = partial_name(entry)
    acts = [lambda: os.replace(there / name, there / "x"), lambda: os.replace(_written(there / "o", b""), there / name)]
    plain = partials._lock

    def lock(handle: int) -> None:
        if acts:
            acts.pop(0)()
        plain(handle)

    monkeypatch.setattr(partials, "_lock", lock)
    with Tree(there) as tree:
        partial = Partial(tree.at(()), entry, resume=True)
        partial.add(memoryview(b"1"))
        partial.finish(tree.at(()), entry, "replace")

    assert files_of(there) == {"x": b"1"}


def test_who_never_gets_it_gives_up(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(name="x", size=1, mtime_ns=1, mode=0o644)
    monkeypatch.setattr(partials, "_lock", lambda handle: os.unlink(there / partial_name(entry)))
    with Tree(there) as tree, pytest.raises(BlockingIOError):
        Partial(tree.at(()), entry, resume=True)


def test_a_sweep_leaves_what_somebody_writes_and_what_is_not_of_this_target(there: Path) -> None:
    entries = [Entry(name=name, size=size, mtime_ns=1, mode=0o644) for name, size in (("x", 1), ("x", 2), ("y", 1))]
    with Tree(there) as tree:
        writing = Partial(tree.at(()), entries[1], resume=True)
        for entry in (entries[0], entries[2]):
            Partial(tree.at(()), entry, resume=True).keep()
        old = _written(there / f"{partial_name(entries[0])[:30]}{'f' * 16}.part")

        sweep(tree.at(()), entries[0], os.listdir(there))

        assert set(files_of(there)) == {partial_name(entry) for entry in entries}
        assert not old.exists()
        writing.keep()


@POSIX
def test_a_link_that_cannot_be_made_leaves_nothing(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(name="l", kind="link", target="x")
    (there / "l").mkdir()
    _written(there / partial_name(entry), b"left by a kill")
    with Tree(there) as tree:
        with pytest.raises(IsADirectoryError):
            make_link(tree.at(()), entry, "replace")
        with pytest.raises(FileExistsError):
            make_link(tree.at(()), entry, "refuse")

    assert files_of(there) == {"l": None}


@POSIX
def test_links_follow_the_policy_for_what_is_there(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    for name in ("same", "other", "file", "new"):
        _link(name[0], tree / name)
    _made(there / "t")
    _link("s", there / "t" / "same")
    _link("x", there / "t" / "other")
    _written(there / "t" / "file", b"file")

    sent, _ = put([tree], there, receiving={"overwrite": "refuse"}, check=False)

    assert statuses(sent) == {"t/same": "sent", "t/new": "sent", "t/other": "refused", "t/file": "refused"}
    assert files_of(there / "t") == {"same": "s", "other": "x", "file": b"file", "new": "n"}


@POSIX
def test_where_nobody_may_make_links_the_rest_goes_on(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = _made(here / "t")
    _link("x", tree / "l")
    _written(tree / "x")
    monkeypatch.setattr(Directory, "link", failing(errno.EPERM))

    sent, received = put([tree], there, check=False)

    assert statuses(sent) == statuses(received) == {"t/l": "refused", "t/x": "sent"}
    assert sent.missing[0].reason == "the system does not permit it"


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_read_is_said_and_the_rest_goes_on(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("t/a", "t/closed/b", "t/d/c"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        _written(here / name)
    plain = Directory.names
    monkeypatch.setattr(Directory, "names", lambda self: failing(errno.EACCES)() if "b" in plain(self) else plain(self))

    sent, _ = put([here / "t"], there, check=False)

    assert statuses(sent) == {"t/a": "sent", "t/d/c": "sent", "t/closed": "failed"}
    with pytest.raises(SourceFailed, match="closed"):
        sent.check()


def test_what_goes_away_while_it_is_looked_at_is_said(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _written(here / "a")
    plain = Directory.names
    monkeypatch.setattr(Directory, "names", lambda self: [*plain(self), "gone"])

    sent, _ = put([here], there, check=False)
    found, _ = get("*", there, here, check=False)

    assert statuses(sent) == {"here/a": "sent", "here/gone": "failed"}
    assert statuses(found) == {"a": "sent", "gone": "failed"}


def test_a_file_that_is_there_but_cannot_be_read_is_sent(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(here / "x", b"12345")
    put([here / "x"], there)
    plain = Directory.open

    def refuse(self: Directory, name: str, flags: int, mode: int = 0) -> int:
        if name == "x" and files_of(there) and Path(os.readlink(f"/proc/self/fd/{self.handle}")) == there:
            raise PermissionError(errno.EACCES, "closed")
        return plain(self, name, flags, mode)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell where a descriptor leads")
    monkeypatch.setattr(Directory, "open", refuse)

    sent, _ = put([here / "x"], there)

    assert statuses(sent) == {"x": "sent"}


def test_a_prefix_that_cannot_be_read_at_its_sender_is_said(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(here / "x", b"12345")
    put([here / "x"], there)
    end, other, _ = pair()

    def serving() -> Any:
        offered = other.recv()
        os.unlink(here / "x")
        return receive(other, offered, there, clock=ticking(), check=False)

    sent, received = both(lambda: offer(end, [here / "x"], clock=ticking(), check=False), serving)

    assert statuses(sent) == statuses(received) == {"x": "failed"}
    assert files_of(there) == {"x": b"12345"}


def test_a_dry_run_tells_of_a_file_that_has_gone(here: Path, there: Path) -> None:
    _written(here / "x", b"12345")
    put([here / "x"], there)
    _made(there / "y")
    _written(here / "y")
    end, other, _ = pair()

    def serving() -> Any:
        offered = other.recv()
        os.unlink(here / "x")
        return serve(other, offered, there, clock=ticking())

    sent, received = both(
        lambda: offer(end, [here / "x", here / "y"], dry_run=True, clock=ticking(), check=False), serving
    )

    assert statuses(sent) == {"x": "failed", "y": "refused"}
    assert statuses(received) == {"x": "same", "y": "refused"}  # it cannot know


def test_holes_are_told_in_lengths_that_let_an_interrupt_through(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3 * source.HOLE_BYTES + 5)
    handle = os.open(path, os.O_RDONLY)
    try:
        found = list(source.pieces_of(handle, 0, 3 * source.HOLE_BYTES + 5))
        more = list(source.pieces_of(handle, 0, 4 * source.HOLE_BYTES))  # it was longer once
    finally:
        os.close(handle)

    if isinstance(found[0], bytes):
        pytest.skip("this file system has no holes")
    assert found == [source.HOLE_BYTES] * 3 + [5]
    assert sum(piece if isinstance(piece, int) else len(piece) for piece in more) == 3 * source.HOLE_BYTES + 5


# --- what is asked and offered ----------------------------------------------------------------------------------------


def test_two_trees_of_one_name_are_one_and_two_files_are_not(here: Path, there: Path) -> None:
    for name in ("one/t/a", "two/t/b", "two/t/a"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        _written(here / name, name.encode())

    sent, _ = put([here / "one" / "t", here / "two" / "t"], there, check=False)

    assert files_of(there) == {"t": None, "t/a": b"one/t/a", "t/b": b"two/t/b"}
    assert [(outcome.name, outcome.status) for outcome in sent.missing] == [("t/a", "unsafe")]


def test_many_paths_in_many_directories_hold_few_descriptors(here: Path, there: Path) -> None:
    for number in range(300):
        _written(_made(here / str(number)) / f"f{number}")
    with gather([here / str(number) / f"f{number}" for number in range(300)]) as gathered:
        assert len(gathered.entries) == 300
        if Path("/proc/self/fd").exists():
            assert len(os.listdir("/proc/self/fd")) < 100

    sent, _ = put([here / str(number) / f"f{number}" for number in range(300)], there)

    assert sent.counts == {"sent": 300}


def test_nothing_is_no_offer(there: Path) -> None:
    with pytest.raises(Misuse, match="at least one path"):
        offer(pair()[0], [], clock=ticking())


def test_a_tree_of_nothing_but_unsafe_names_is_a_transfer_of_none(here: Path, there: Path) -> None:
    sent, received = put([_written(here / "a.")], there, check=False)

    assert statuses(sent) == {"a.": "unsafe"}
    assert statuses(received) == {"a.": "unsafe"}
    with pytest.raises(UnsafeName):
        sent.check()


def test_a_directory_of_an_unsafe_name_stays_with_all_that_is_in_it(here: Path, there: Path) -> None:
    _written(_made(here / "t" / "nul") / "x")
    _written(here / "t" / "y")

    sent, _ = put([here / "t"], there, check=False)

    assert statuses(sent) == {"t/y": "sent", "t/nul": "unsafe"}
    assert files_of(there) == {"t": None, "t/y": b"x"}


def test_the_name_of_a_partial_is_no_place(here: Path, there: Path) -> None:
    _written(here / "x")
    _written(here / HIDDEN)

    with nothing_outside(there):
        into, _ = put([here / "x"], there, into=HIDDEN)
        asked, _ = get(HIDDEN, there, here)
        sent, _ = put([here / HIDDEN], there, check=False)

    assert isinstance(into, TransferRefused)
    assert isinstance(asked, TransferRefused)
    assert statuses(sent) == {HIDDEN: "unsafe"}
    assert files_of(there) == {}


def test_what_is_asked_for_is_not_cut_out_of_what_cannot_be_given(here: Path, there: Path) -> None:
    _written(here / "a:b")

    found, _ = get("*", there, here)

    assert isinstance(found, TransferRefused)
    assert files_of(there) == {}


def test_what_a_server_leaves_out_is_told_to_its_asker(here: Path, there: Path) -> None:
    (here / "d").mkdir()
    for name in ("d/fine", "d/a:b", "d/aux.txt"):
        _written(here / name)

    found, given = get(["d", "nothing.txt", "no*thing"], there, here, check=False)

    expected = {"d/fine": "sent", "d/a:b": "unsafe", "d/aux.txt": "unsafe", "nothing.txt": "refused"}
    assert statuses(found) == statuses(given) == expected | {"no*thing": "refused"}
    with pytest.raises(UnsafeName, match="and 3 more did not arrive"):
        found.check()
    end, other, _ = pair()
    left: list[Any] = []
    listed, _ = both(
        lambda: listing(end, "d", left=left.append), lambda: serve(other, other.recv(), here, clock=ticking())
    )
    assert [entry.name for entry in listed] == ["d/fine"]
    assert {outcome.name for outcome in left} == {"d/a:b", "d/aux.txt"}


def test_a_leading_dot_is_to_be_written(here: Path, there: Path) -> None:
    for name in ("a", ".b", ".d/c", "d/.e"):
        (here / name).parent.mkdir(exist_ok=True)
        _written(here / name)

    for patterns, names in {
        "*": {"a", "d/.e"},  # what is in a directory that was found comes whole
        "": {"a", "d/.e"},
        "**/?": {"a", "d/.e"},
        ".*": {".b", ".d/c"},
        ".d/*": {"c"},
        "[.]b": set[str](),
    }.items():
        found, _ = get(patterns, _made(there / str(len(list(there.iterdir())))), here)
        assert (set(statuses(found)) if names else type(found)) == (names or Refused), patterns
    listed, _ = listed_from(here, "")
    assert {entry.name for entry in listed} == {"a", ".b", ".d", "d"}


def listed_from(served: Path, path: str) -> Any:
    end, other, _ = pair()
    return both(lambda: listing(end, path), lambda: serve(other, other.recv(), served, clock=ticking()))


def test_a_directory_that_no_pattern_can_look_into_is_told(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("d", "e"):
        (here / name).mkdir()
        _written(here / name / "x")
    names = Directory.names
    looked: list[int] = []

    def names_of(directory: Directory) -> list[str]:
        found = names(directory)
        if "x" in found and not looked:
            looked.append(1)
            raise PermissionError(errno.EACCES, "no")
        return found

    monkeypatch.setattr(Directory, "names", names_of)

    found, _ = get("*/*", there, here, check=False)

    assert statuses(found) == {"d": "failed", "e/x": "sent"}


def test_many_patterns_read_a_directory_once_and_have_an_end(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        _written(here / f"{number}")
    reads: list[int] = []
    names = Directory.names
    monkeypatch.setattr(Directory, "names", lambda self: reads.append(1) or names(self))
    patterns = [f"*{'?' * (number % 60)}{number}" for number in range(200)]

    found, _ = get(["*", *patterns], there, here, check=False)
    assert found.counts["sent"] == 50
    assert len(reads) <= 3  # and one of the receiver's own

    monkeypatch.setattr(view, "MOST_LOOKS", 5_000)
    found, given = get(["*", *patterns], there, here)
    assert isinstance(found, Refused)
    assert found.kind == "too-many"
    assert given is None


def test_nobody_looks_on_for_an_asker_who_has_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _written(here / "a")
    end, other, wire = pair()
    monkeypatch.setattr(view, "LOOKS_BETWEEN", 1)
    end.send(("get", {"patterns": ["*"]}))
    first = other.recv()
    wire.is_cut.set()

    with pytest.raises(ConnectionCut):
        view.View(Tree(here), look=lambda: look(other)).names(())
    with pytest.raises(ConnectionCut):
        serve(other, first, here, clock=ticking())
    assert other.sent == []  # it did not come to an offer


def test_more_that_is_left_out_than_is_named_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "MOST_LEFT", 2)
    outcomes = [Outcome(name=name, status="skipped" if name < "c" else "failed", kind="other") for name in "abcd"]

    left = leaving.left_of(outcomes)

    assert (left.names, left.kinds, left.more) == (["c", "d"], "ff", 2)  # failures first
    assert [(found.name, found.status) for found in leaving.outcomes_of(left)][2:] == [("…", "failed")]


def test_an_end_that_offers_without_a_directory_is_told(here: Path, tmp_path: Path) -> None:
    _written(here / "x")

    sent, received = put([here / "x"], tmp_path / "none")

    assert isinstance(sent, TransferRefused)
    assert str(tmp_path) not in str(sent)
    assert isinstance(received, NotADirectoryError)


def test_the_other_end_may_refuse_instead_of_an_offer(there: Path) -> None:
    with pytest.raises(TransferRefused, match="takes no files"):
        receive(pair()[0], ("refused", {"kind": "read-only", "name": ""}), there, clock=ticking())


def test_names_are_taken_or_not_at_all() -> None:
    taken = Taken()
    taken.take(Entry(name="a/b", size=1))
    with pytest.raises(UnsafeName):
        taken.take(Entry(name="new/../x", size=1))
    with pytest.raises(UnsafeName):
        taken.take(Entry(name="a/b/c/d", size=1))
    with pytest.raises(UnsafeName):
        taken.take(Entry(name="a/" + "x/" * 127 + "y", size=1))
    with pytest.raises(UnsafeName):
        taken.take(Entry(name="a/" + "/".join(["x" * 250] * 17), size=1))

    taken.take(Entry(name="a/c", size=1))
    taken.take(Entry(name="new", size=1))


def test_a_server_is_asked_for_several_things_at_once(here: Path, there: Path) -> None:
    _written(_made(here / "d") / "x")
    for name in "ab":
        _written(here / name)
    end, other, _ = pair()

    found, _ = both(
        lambda: fetch(end, ["a", "d", "b", "*"], there, clock=ticking()),
        lambda: serve(other, other.recv(), here, clock=ticking()),
    )

    assert statuses(found) == {"a": "sent", "d/x": "sent", "b": "sent"}


def _written(path: Path, data: bytes = b"x") -> Path:
    path.write_bytes(data)
    return path
