"""Files and trees cross whole, with their names, times and modes; each end says what became of them."""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from conversation import both, nothing_outside, pair, ticking
from netstructer.errors import (
    DigestMismatch,
    FileChanged,
    LimitReached,
    LinkTimeout,
    Misuse,
    SourceFailed,
    TransferRefused,
    UnsafeName,
)
from netstructer.transfer import (
    Progress,
    Refused,
    Source,
    Transfer,
    fetch,
    listing,
    manifest,
    offer,
    places,
    receive,
    serve,
    source,
)
from netstructer.transfer import partial as partials

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes of POSIX")
DEEPEST = "deep/deeper/deepest/c.txt"
LONG_AGO = 1_000_000_000_123_456_789


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return _made(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return _made(tmp_path / "around" / "there")


@pytest.fixture(params=["by descriptor", "by path"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test also in the way of systems that have no `openat`."""
    if request.param == "by path":
        monkeypatch.setattr(places, "BY_DESCRIPTOR", False)
    return request.param


def put(paths: Any, directory: Path, *, receiving: dict[str, Any] | None = None, **options: Any) -> tuple[Any, Any]:
    """Offer and serve; return both results, or errors."""
    end, other, _ = pair()
    return both(
        lambda: offer(end, paths, clock=ticking(), **options),
        lambda: serve(other, other.recv(), directory, clock=ticking(), **(receiving or {})),
    )


def get(patterns: Any, directory: Path, served: Path, **options: Any) -> tuple[Any, Any]:
    end, other, _ = pair()
    return both(
        lambda: fetch(end, patterns, directory, clock=ticking(), **options),
        lambda: serve(other, other.recv(), served, clock=ticking()),
    )


def statuses(result: Transfer) -> dict[str, str]:
    assert isinstance(result, Transfer), repr(result)
    return {outcome.name: outcome.status for outcome in result.outcomes}


def files_of(directory: Path) -> dict[str, bytes | str | None]:
    """Return all that is below a directory: bytes of files, targets of links, None for directories."""
    return {
        path.relative_to(directory).as_posix(): os.readlink(path)
        if path.is_symlink()
        else None
        if path.is_dir()
        else path.read_bytes()
        for path in directory.rglob("*")
    }


def make_tree(top: Path) -> Path:
    for name, data in {
        "a.bin": os.urandom(700_001),
        "b.txt": b"b" * 70_000,
        "empty": b"",
        "deep/deeper/deepest/c.txt": b"c",
        "deep/d.txt": b"d" * 300_000,
        "größe/日本.txt": b"name",
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    (top / "nothing" / "at all").mkdir(parents=True)
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return top


# --- what arrives -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_way")
def test_a_tree_crosses_with_names_bytes_and_times(here: Path, there: Path) -> None:
    tree = make_tree(here / "tree")

    sent, received = put([tree], there)

    assert files_of(there / "tree") == files_of(tree)
    assert statuses(sent) == statuses(received)
    assert set(statuses(sent).values()) == {"sent"}
    assert sent.moved == received.moved == 700_001 + 70_000 + 1 + 300_000 + 4
    assert sent.directories == received.directories == 7
    assert [outcome.where for outcome in sent.outcomes] == [outcome.name for outcome in sent.outcomes]
    if places.BY_DESCRIPTOR:
        found = {path.stat().st_mtime_ns for path in (there / "tree").rglob("*")}
        assert found == {LONG_AGO}


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65535, 65536, 65537, 262143, 262144, 262145, 600_000])
def test_files_of_each_size_around_a_piece(here: Path, there: Path, size: int) -> None:
    (here / "x").write_bytes(os.urandom(size))

    sent, received = put(here / "x", there)

    assert (there / "x").read_bytes() == (here / "x").read_bytes()
    assert statuses(sent) == statuses(received) == {"x": "sent"}


def test_many_small_files_cost_one_stream(here: Path, there: Path) -> None:
    for number in range(500):
        (here / f"{number:03}").write_bytes(str(number).encode())

    end, other, _ = pair()
    sent, _ = both(
        lambda: offer(end, [here], clock=ticking()),
        lambda: serve(other, other.recv(), there, clock=ticking()),
    )

    assert files_of(there / "here") == files_of(here)
    assert sent.counts == {"sent": 500}
    assert len(end.pipes) == 1
    assert [value[0] for value in end.sent] == ["offer", "body"]


def test_files_go_into_a_directory_of_the_receiver(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x")

    sent, received = put([here / "x"], there, into="new/and deep")

    assert (there / "new" / "and deep" / "x").read_bytes() == b"x"
    assert sent.outcomes[0].where == received.outcomes[0].where == "new/and deep/x"


def test_a_link_that_the_user_names_is_followed_and_keeps_its_name(here: Path, there: Path) -> None:
    (here / "real").write_bytes(b"x")
    _link("real", here / "alias")

    put([here / "alias"], there)

    assert files_of(there) == {"alias": b"x"}


@POSIX
def test_modes_cross_less_the_umask_and_never_more_than_permissions(here: Path, there: Path) -> None:
    for name, mode in {"run": 0o755, "read": 0o444, "open": 0o666, "set": 0o4755, "own": 0o600}.items():
        (here / name).write_bytes(b"x")
        (here / name).chmod(mode)
    (here / "closed").mkdir()
    (here / "closed" / "x").write_bytes(b"x")
    (here / "closed").chmod(0o500)
    before = os.umask(0o027)
    try:
        put([here], there)
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (there / "here").iterdir()}
    assert modes == {"run": 0o750, "read": 0o440, "open": 0o640, "set": 0o750, "own": 0o600, "closed": 0o500}


@POSIX
def test_the_mode_of_a_directory_that_is_there_is_left(here: Path, there: Path) -> None:
    (here / "d").mkdir(mode=0o755)
    (there / "d").mkdir(mode=0o700)

    put([here / "d"], there)

    assert stat.S_IMODE((there / "d").stat().st_mode) == 0o700


@POSIX
def test_links_inside_the_tree_are_made_and_others_are_not(here: Path, there: Path) -> None:
    tree = _made(here / "tree")
    (tree / "sub").mkdir()
    (tree / "file").write_bytes(b"x")
    inside = {"one": "file", "two": "sub", "sub/up": "../file", "dangling": "nowhere", "chain": "one"}
    outside = {
        "abs": "/etc/passwd",
        "up": "../x",
        "sub/upup": "../../x",
        "mid": "sub/../../x",
        "dot": "sub/..",
        "self": ".",
        "drive": "C:\\x",
        "back": "..\\x",
        "sub/root": "../..",
        "double": "sub//x",
    }
    for name, target in (inside | outside).items():
        _link(target, tree / name)

    sent, received = put([tree], there)

    assert {name: target for name, target in files_of(there / "tree").items() if isinstance(target, str)} == inside
    assert {name for name, status in statuses(sent).items() if status == "skipped"} == {f"tree/{n}" for n in outside}
    assert sent.check() is sent
    assert statuses(received) == statuses(sent)  # what is left out is told to both ends


@POSIX
def test_a_link_replaces_what_is_there_and_is_left_where_it_is_right(here: Path, there: Path) -> None:
    tree = _made(here / "tree")
    _link("a", tree / "l")
    _link("b", tree / "m")
    _made(there / "tree")
    _link("a", there / "tree" / "l")
    (there / "tree" / "m").write_bytes(b"a file")
    inode = (there / "tree" / "l").lstat().st_ino

    put([tree], there)

    assert files_of(there / "tree") == {"l": "a", "m": "b"}
    assert (there / "tree" / "l").lstat().st_ino == inode


@POSIX
def test_a_path_that_becomes_too_deep_is_refused_by_name_and_the_rest_goes(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    (tree / "/".join("d" * 120)).mkdir(parents=True)
    (tree / "/".join("d" * 120) / "deep").write_bytes(b"deep")
    (tree / "near").write_bytes(b"near")

    sent, received = put([tree], there, into="/".join("x" * 20), check=False)

    found = statuses(sent)
    assert found["t/near"] == "sent"
    assert found["t/" + "/".join("d" * 120) + "/deep"] == "refused"
    assert statuses(received) == found
    with pytest.raises(Refused, match="not safe"):
        sent.check()


def test_a_file_that_has_more_bytes_than_it_says_is_not_sent_as_an_empty_one(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of /proc, which say 0 bytes."""
    (here / "file").write_bytes(b"")
    monkeypatch.setattr(source, "_read", lambda handle, count, position: b"x" * (count if position < 5 else 0))

    sent, received = put([here / "file"], there, check=False)

    assert statuses(sent) == statuses(received) == {"file": "changed"}
    assert files_of(there) == {}


def test_a_directory_that_has_gone_is_named_with_its_errno(here: Path) -> None:
    with pytest.raises(NotADirectoryError) as caught:
        places.Tree(here / "gone")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOTDIR, str(here / "gone"))


@POSIX
def test_what_is_no_file_is_skipped_and_said(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    os.mkfifo(tree / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    short = os.getcwd()
    os.chdir(tree)
    try:
        listening.bind("sock")
    finally:
        os.chdir(short)
        listening.close()
    (tree / "file").write_bytes(b"x")

    sent, _ = put([tree], there)

    assert files_of(there) == {"t": None, "t/file": b"x"}
    assert {o.name: o.reason for o in sent.missing} == {"t/pipe": "a pipe", "t/sock": "a socket"}


def test_names_that_are_not_safe_stay_here_and_the_rest_goes(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    for name in ("aux.txt", "a:b", "README", "readme", "fine"):
        try:
            (tree / name).write_bytes(name.encode())
        except OSError:
            pytest.skip("this system has no such files")

    sent, _ = put([tree], there, check=False)

    assert statuses(sent) == {
        "t/README": "sent",
        "t/fine": "sent",
        "t/a:b": "unsafe",
        "t/aux.txt": "unsafe",
        "t/readme": "unsafe",
    }
    with pytest.raises(UnsafeName, match="and 2 more") as caught:
        sent.check()
    assert caught.value.name == "t/a:b"


def test_a_pipe_is_sent_to_its_end(there: Path) -> None:
    data = os.urandom(900_000)

    sent, received = put([Source(io.BytesIO(data), "from a pipe"), Source(io.BytesIO(), "empty")], there)

    assert files_of(there) == {"from a pipe": data, "empty": b""}
    assert statuses(sent) == statuses(received) == {"from a pipe": "sent", "empty": "sent"}
    assert sent.outcomes[0].size == received.outcomes[0].size == 900_000


def test_a_pipe_that_breaks_is_said_and_the_rest_goes_on(here: Path, there: Path) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError(errno.EIO, "broken")

    (here / "x").write_bytes(b"x")

    sent, received = put([Source(Broken(), "pipe"), here / "x"], there, check=False)

    assert statuses(sent) == statuses(received) == {"pipe": "failed", "x": "sent"}
    assert files_of(there) == {"x": b"x"}


@POSIX
def test_a_sparse_file_stays_sparse_and_is_not_read(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 28
    with (here / "sparse").open("wb") as file:
        file.write(b"head")
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)
    if (here / "sparse").stat().st_blocks * 512 >= size:
        pytest.skip("this file system has no holes")
    read: list[int] = []
    plain = source._read
    monkeypatch.setattr(
        source, "_read", lambda handle, count, position: read.append(count) or plain(handle, count, position)
    )

    end, other, wire = pair()
    both(
        lambda: offer(end, [here / "sparse"], clock=ticking()),
        lambda: serve(other, other.recv(), there, clock=ticking()),
    )

    with (there / "sparse").open("rb") as file:
        assert file.read(5) == b"head\0"
        file.seek(size // 2)
        assert file.read(7) == b"middle\0"
    assert (there / "sparse").stat().st_size == size
    assert (there / "sparse").stat().st_blocks * 512 < 1 << 20
    assert wire.blob_bytes < 1 << 20
    assert sum(read) < 1 << 20


@POSIX
def test_written_zeros_become_holes(here: Path, there: Path) -> None:
    (here / "zeros").write_bytes(b"a" + bytes(4 << 20) + b"z" + bytes(1 << 20))

    put([here / "zeros"], there)

    assert (there / "zeros").read_bytes() == (here / "zeros").read_bytes()
    assert (there / "zeros").stat().st_blocks * 512 < 1 << 20


def test_a_file_system_that_cannot_tell_holes_is_read(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "x").write_bytes(b"a" + bytes(1 << 20))

    def lseek(*_: object) -> int:
        raise OSError(errno.EINVAL, "cannot tell")

    monkeypatch.setattr(source.os, "lseek", lseek)
    found = list(source.pieces_of(_opened(here / "x"), 0, 1 + (1 << 20)))

    assert b"".join(piece for piece in found if isinstance(piece, bytes)) == (here / "x").read_bytes()


# --- what is there already --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_way")
def test_what_is_there_is_not_sent_again(here: Path, there: Path) -> None:
    tree = make_tree(here / "tree")
    put([tree], there)
    before = {path: path.stat().st_ino for path in there.rglob("*")}

    sent, received = put([tree], there)

    assert set(statuses(sent).values()) == set(statuses(received).values()) == {"same"}
    assert sent.moved == received.moved == 0
    assert {path: path.stat().st_ino for path in there.rglob("*")} == before


def test_same_size_and_time_but_other_bytes_is_another_file(here: Path, there: Path) -> None:
    for directory, data in ((here, b"new bytes"), (there, b"old bytes")):
        (directory / "x").write_bytes(data)
        os.utime(directory / "x", ns=(LONG_AGO, LONG_AGO))

    sent, received = put([here / "x"], there)

    assert (there / "x").read_bytes() == b"new bytes"
    assert statuses(sent) == statuses(received) == {"x": "sent"}


@pytest.mark.parametrize("there_before", [b"a log", b"a log, and more"])
def test_another_size_or_time_is_not_even_looked_at(here: Path, there: Path, there_before: bytes) -> None:
    (there / "x").write_bytes(there_before)
    (here / "x").write_bytes(b"a log, and more")
    os.utime(here / "x", ns=(LONG_AGO, LONG_AGO))

    sent, received = put([here / "x"], there)

    assert (there / "x").read_bytes() == b"a log, and more"
    assert statuses(sent) == statuses(received) == {"x": "sent"}


def test_what_an_earlier_transfer_left_here_is_not_offered(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    (tree / f".netstructer-{'0' * 16}-{'0' * 16}.part").write_bytes(b"unfinished")
    (tree / "x").write_bytes(b"x")

    sent, _ = put([tree], there)

    assert statuses(sent) == {"t/x": "sent"}


def test_a_file_that_was_replaced_before_it_is_opened_is_not_sent_at_all(here: Path, there: Path) -> None:
    (here / "x").write_bytes(os.urandom(1 << 20))
    end, other, wire = pair()

    def serving() -> Any:
        offered = other.recv()
        _change(here / "x", "is replaced")
        return serve(other, offered, there, clock=ticking())

    sent, received = both(lambda: offer(end, [here / "x"], clock=ticking(), check=False), serving)

    assert statuses(sent) == statuses(received) == {"x": "changed"}
    assert wire.blob_bytes < 100


def test_without_resume_everything_is_sent(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x" * 1000)
    put([here / "x"], there)

    sent, received = put([here / "x"], there, resume=False)

    assert sent.moved == received.moved == 1000
    assert statuses(sent) == {"x": "sent"}


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("overwrite", "status", "files"),
    [
        ("replace", "sent", {"x.txt": b"new"}),
        ("refuse", "refused", {"x.txt": b"old"}),
        ("keep", "sent", {"x.txt": b"old", "x (2).txt": b"new"}),
    ],
)
def test_what_becomes_of_another_file_of_the_name(
    here: Path, there: Path, overwrite: str, status: str, files: dict[str, bytes]
) -> None:
    (here / "x.txt").write_bytes(b"new")
    (there / "x.txt").write_bytes(b"old")

    sent, received = put([here / "x.txt"], there, receiving={"overwrite": overwrite}, check=False)

    assert files_of(there) == files
    assert statuses(sent) == statuses(received) == {"x.txt": status}
    assert (
        sent.outcomes[0].where
        == received.outcomes[0].where
        == {3: "x.txt", 0: ""}.get(0 if status == "refused" else 3 if overwrite == "replace" else 5, "x (2).txt")
    )
    if status == "refused":
        with pytest.raises(TransferRefused, match="a file of that name is there"):
            sent.check()


def test_a_name_that_appears_meanwhile_is_not_replaced_where_it_may_not_be(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "x").write_bytes(b"new")
    plain = partials.Partial.finish

    def finish(self: Any, *args: Any) -> str:
        (there / "x").write_bytes(b"appeared")
        return plain(self, *args)

    monkeypatch.setattr(partials.Partial, "finish", finish)
    sent, _ = put([here / "x"], there, receiving={"overwrite": "refuse"}, check=False)

    assert files_of(there) == {"x": b"appeared"}
    assert sent.outcomes[0].status == "refused"


def test_names_beside_another_are_never_longer_than_a_name_may_be() -> None:
    found = [next(iter(list(partials.names_beside(name))[1:2])) for name in ("a", ".profile", "a.tar.gz", "ä" * 127)]

    assert found[:3] == ["a (2)", ".profile (2)", "a.tar (2).gz"]
    assert len(found[3].encode()) <= 255
    assert len(list(partials.names_beside("a"))) == partials.MOST_KEPT_NAMES


@pytest.mark.usefixtures("each_way")
def test_a_directory_in_the_way_of_a_file_and_the_reverse(here: Path, there: Path) -> None:
    tree = _made(here / "t")
    (tree / "f").write_bytes(b"f")
    (tree / "d").mkdir()
    (tree / "d" / "x").write_bytes(b"x")
    (tree / "z").write_bytes(b"z")
    _made(there / "t" / "f")
    (there / "t" / "d").write_bytes(b"in the way")

    sent, received = put([tree], there, check=False)

    assert statuses(sent) == statuses(received)
    assert statuses(sent) == {"t/f": "refused", "t/z": "sent", "t/d": "refused", "t/d/x": "refused"}
    assert {o.name: o.reason for o in sent.missing}["t/f"] == "a directory is in the way"
    assert files_of(there / "t") == {"f": None, "d": b"in the way", "z": b"z"}


# --- files that are not what they were --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written", "is replaced"])
def test_a_file_that_changes_is_dropped_and_the_rest_goes_on(
    here: Path, there: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _made(here / "t")
    (tree / "a").write_bytes(os.urandom(1 << 20))
    (tree / "b").write_bytes(b"b")
    plain, done = source._read, []

    def read(handle: int, count: int, position: int) -> bytes:
        if position >= 1 << 19 and not done:
            done.append(True)
            _change(tree / "a", change)
        return plain(handle, count, position)

    if change == "is replaced":  # between the look and the opening: while it is open, what is read stays the same file
        opened = source.FileSource.__init__

        def init(self: Any, directory: Any, name: str, *facts: Any) -> None:
            if name == "a":
                _change(tree / "a", change)
            opened(self, directory, name, *facts)

        monkeypatch.setattr(source.FileSource, "__init__", init)
    else:
        monkeypatch.setattr(source, "_read", read)
    end, other, _ = pair()
    sent, received = both(
        lambda: offer(end, [tree], clock=ticking()),
        lambda: receive(other, other.recv(), there, clock=ticking()),
    )

    assert [type(error) for error in (sent, received)] == [FileChanged, FileChanged]
    assert sent.name == received.name == "t/a"
    assert files_of(there) == {"t": None, "t/b": b"b"}


def test_a_file_that_cannot_be_read_is_said_and_the_rest_goes_on(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _made(here / "t")
    for name in "abcd":
        (tree / name).write_bytes(name.encode() * (1 << 19))
    plain = source._read

    def read(handle: int, count: int, position: int) -> bytes:
        piece = plain(handle, count, position)
        if piece[:1] == b"b" and position:
            raise OSError(errno.EIO, "the disk")
        return piece

    monkeypatch.setattr(source, "_read", read)
    end, other, _ = pair()

    def gone() -> Any:
        offered = other.recv()
        (tree / "c").unlink()
        return receive(other, offered, there, clock=ticking())

    sent, received = both(lambda: offer(end, [tree], clock=ticking()), gone)

    assert [type(error) for error in (sent, received)] == [SourceFailed, SourceFailed]
    assert "'t/b'" in str(sent)
    assert "'t/b'" in str(received)
    assert set(files_of(there)) == {"t", "t/a", "t/d"}


def test_bytes_that_changed_on_the_way_are_dropped(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "x").write_bytes(os.urandom(1000))
    (here / "y").write_bytes(b"y")
    plain = partials.Partial.add

    def add(self: Any, piece: Any) -> int:
        return plain(self, memoryview(b"?" * len(piece)) if len(piece) == 1000 else piece)

    monkeypatch.setattr(partials.Partial, "add", add)
    end, other, _ = pair()
    sent, received = both(
        lambda: offer(end, [here / "x", here / "y"], clock=ticking()),
        lambda: receive(other, other.recv(), there, clock=ticking()),
    )

    assert [type(error) for error in (sent, received)] == [DigestMismatch, DigestMismatch]
    assert files_of(there) == {"y": b"y"}


@pytest.mark.parametrize(("code", "stops"), [(errno.ENOSPC, True), (errno.EFBIG, False)])
def test_a_full_disk_ends_the_transfer_and_a_file_that_is_too_big_does_not(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch, code: int, stops: bool
) -> None:
    (here / "x").write_bytes(os.urandom(3_000_000))
    (here / "y").write_bytes(b"y")
    plain = partials._write

    def write(handle: int, view: memoryview, position: int) -> None:
        if position >= 1_000_000:
            raise OSError(code, "no")
        plain(handle, view, position)

    monkeypatch.setattr(partials, "_write", write)
    sent, received = put([here / "x", here / "y"], there, check=False)
    if stops:
        monkeypatch.undo()

        assert isinstance(sent, Refused)
        assert sent.kind == "full"
        assert (received.errno, received.filename, sent.name) == (code, "x", "x")  # the file is named at both ends
        assert [name.startswith(".netstructer-") for name in files_of(there)] == [True]
        assert statuses(put([here / "x", here / "y"], there)[0]) == {"x": "resumed", "y": "sent"}
    else:
        assert statuses(sent) == statuses(received) == {"x": "refused", "y": "sent"}
        assert files_of(there) == {"y": b"y"}


# --- progress, dry runs, interrupts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_progress_only_grows_and_ends_at_the_total(here: Path, there: Path, end: str) -> None:
    tree = make_tree(here / "tree")
    events: list[Progress] = []
    here_or_there = {"progress": events.append}

    put([tree], there, **(here_or_there if end == "sender" else {"receiving": here_or_there}))

    by_name: dict[str, list[Progress]] = {}
    for event in events:
        by_name.setdefault(event.name, []).append(event)
    assert len(by_name) == 6
    for found in by_name.values():
        dones = [event.done for event in found]
        assert dones == sorted(dones)
        assert dones[0] == 0
        assert dones[-1] == found[-1].total
    wholes = [(event.whole_done, event.files_done, event.wire) for event in events]
    assert wholes == [tuple(max(column) for column in zip(*wholes[: i + 1], strict=True)) for i in range(len(wholes))]
    assert events[-1].whole_done == events[-1].whole_total == 1_070_006
    assert events[-1].files_done == events[-1].files_total == 6
    assert events[-1].rate > 0


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_what_is_compared_is_told_while_it_is_read(here: Path, there: Path, end: str) -> None:
    (here / "x").write_bytes(os.urandom(3_000_000))
    put([here / "x"], there)
    events: list[Progress] = []
    here_or_there = {"progress": events.append}

    put([here / "x"], there, **(here_or_there if end == "sender" else {"receiving": here_or_there}))

    compared = [event for event in events if event.state == "comparing"]
    assert len(compared) == 12
    assert {(event.name, event.total, event.whole_done) for event in compared} == {("x", 3_000_000, 0)}
    assert [event.done for event in compared] == sorted({event.done for event in compared})
    assert compared[-1].done == 3_000_000
    assert events[-1].state == "moving"
    assert events.index(compared[-1]) < min(index for index, event in enumerate(events) if event.state == "moving")


def test_progress_is_told_no_more_often_than_it_is_read(here: Path, there: Path) -> None:
    (here / "x").write_bytes(os.urandom(3 << 20))
    events: list[Progress] = []

    end, other, _ = pair()
    both(
        lambda: offer(end, [here / "x"], clock=ticking(0.01), progress=events.append),
        lambda: serve(other, other.recv(), there, clock=ticking()),
    )

    assert 2 <= len(events) <= 4


def test_a_pipe_has_no_total_until_it_has_ended(there: Path) -> None:
    events: list[Progress] = []

    put([Source(io.BytesIO(bytes(600_000)), "x")], there, progress=events.append)

    assert [event.total for event in events] == [*[None] * (len(events) - 1), 600_000]
    assert events[-1].done == 600_000
    assert {event.whole_total for event in events} == {None}


@pytest.mark.parametrize("asking", ["put", "get"])
def test_a_dry_run_writes_nothing_and_tells_what_would_be(here: Path, there: Path, asking: str) -> None:
    tree = make_tree(here / "tree")
    _made(there / "tree")
    (there / "tree" / "b.txt").write_bytes((tree / "b.txt").read_bytes())
    os.utime(there / "tree" / "b.txt", ns=(LONG_AGO, LONG_AGO))
    before = _marks(there)

    if asking == "put":
        done, other = put([tree], there, dry_run=True)
    else:
        done, other = get(["tree"], there, here, dry_run=True)

    assert _marks(there) == before
    assert done.dry
    assert other.dry
    assert statuses(done)["tree/b.txt"] == "same"
    assert [status for name, status in statuses(done).items() if name != "tree/b.txt"] == ["sent"] * 5
    assert done.moved == 700_001 + 1 + 300_000 + 4


@pytest.mark.parametrize("end", ["sender", "receiver"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_who_is_interrupted_leaves_what_can_be_continued(
    here: Path, there: Path, end: str, error: type[BaseException]
) -> None:
    (here / "x").write_bytes(os.urandom(3 << 20))

    def report(progress: Progress) -> None:
        if progress.done > 1 << 20:
            raise error

    mine = {"progress": report}
    sent, received = put([here / "x"], there, **(mine if end == "sender" else {"receiving": mine}))
    kept = files_of(there)
    again, _ = put([here / "x"], there)

    assert isinstance(sent if end == "sender" else received, error)
    assert isinstance(received if end == "sender" else sent, (SourceFailed, TransferRefused))
    assert len(kept) == 1
    assert next(iter(kept)).startswith(".netstructer-")
    assert statuses(again) == {"x": "resumed"}
    assert again.moved < 2 << 20
    assert files_of(there) == {"x": (here / "x").read_bytes()}


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("tree/b.txt", {"b.txt"}),
        ("tree/deep", {"deep", "deep/d.txt", "deep/deeper", "deep/deeper/deepest", DEEPEST}),
        ("tree/*.txt", {"b.txt"}),
        ("tree/?.*", {"a.bin", "b.txt"}),
        ("tree/[ab].bin", {"a.bin"}),
        ("tree/deep/*", {"d.txt", "deeper", "deeper/deepest", "deeper/deepest/c.txt"}),
        ("**/d.txt", {"tree", "tree/deep", "tree/deep/d.txt"}),
        ("tree/**/?.txt", {"b.txt", "deep", "deep/d.txt", "deep/deeper", "deep/deeper/deepest", DEEPEST}),
        ("tree/**/c.txt", {"deep", "deep/deeper", "deep/deeper/deepest", DEEPEST}),
        (["tree/b.txt", "tree/*.txt", "tree/b.txt"], {"b.txt"}),
        (["tree/deep/**", "tree/deep/*"], {"d.txt", "deeper", "deeper/deepest", "deeper/deepest/c.txt"}),
    ],
)  # fmt: skip
def test_what_is_asked_for_arrives(here: Path, there: Path, pattern: Any, names: set[str]) -> None:
    make_tree(here / "tree")

    got, given = get(pattern, there, here)

    assert set(files_of(there)) == names
    assert statuses(got) == statuses(given)
    assert set(statuses(got).values()) == {"sent"}


def test_a_name_with_brackets_is_found_as_it_is(here: Path, there: Path) -> None:
    (here / "a[1].txt").write_bytes(b"x")

    get("a[1].txt", there, here)

    assert files_of(there) == {"a[1].txt": b"x"}


@pytest.mark.parametrize("pattern", ["nothing", "x/y", "*.none", "a/**/b"])
def test_what_is_not_there_is_refused_by_name(here: Path, there: Path, pattern: str) -> None:
    (here / "x").write_bytes(b"x")

    got, given = get(pattern, there, here)

    assert isinstance(got, Refused)
    assert (got.kind, got.name) == ("missing", pattern)
    assert str(here) not in str(got)
    assert given is None
    assert files_of(there) == {}


@pytest.mark.parametrize("pattern", ["..", "../x", "/etc/passwd", "a/../b", "C:x", "a\\b", "NUL", "a//b", "./x", "\0"])
def test_a_pattern_that_names_another_place_is_refused_at_both_ends(here: Path, there: Path, pattern: str) -> None:
    with pytest.raises(UnsafeName):
        fetch(pair()[0], pattern, there, clock=ticking())

    for request in (("get", {"patterns": [pattern]}), ("ls", {"path": pattern})):
        end, other, _ = pair()
        assert serve(other, request, here, clock=ticking()) is None
        assert end.recv()[1]["kind"] == "unsafe"


@POSIX
def test_a_link_in_the_served_directory_leads_nobody_out(here: Path, there: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    _link(str(tmp_path), here / "out")
    _link("../secret", here / "file")

    for pattern in ("out/secret", "out/*", "out/**", "*/secret", "file"):
        got, _ = get(pattern, there, here, check=False)
        assert isinstance(got, TransferRefused), pattern
    assert files_of(there) == {}
    end, other, _ = pair()
    found, _ = both(lambda: listing(end, ""), lambda: serve(other, other.recv(), here, clock=ticking()))
    assert found == []


def test_a_listing_tells_names_sizes_and_times(here: Path) -> None:
    make_tree(here / "tree")
    (here / "tree" / f".netstructer-{'0' * 16}-{'0' * 16}.part").write_bytes(b"unfinished")

    def ls(path: str) -> dict[str, tuple[str, int | None]]:
        end, other, _ = pair()
        found, nothing = both(lambda: listing(end, path), lambda: serve(other, other.recv(), here, clock=ticking()))
        assert nothing is None
        assert {entry.mtime_ns for entry in found if entry.kind == "file"} <= {LONG_AGO}
        return {entry.name: (entry.kind, entry.size) for entry in found}

    assert ls("") == {"tree": ("directory", None)}
    assert ls("tree") == {
        "tree/a.bin": ("file", 700_001),
        "tree/b.txt": ("file", 70_000),
        "tree/empty": ("file", 0),
        "tree/deep": ("directory", None),
        "tree/größe": ("directory", None),
        "tree/nothing": ("directory", None),
    }
    assert ls("tree/*.txt") == {"tree/b.txt": ("file", 70_000)}
    assert ls("tree/nothing/at all") == {}
    end, other, _ = pair()
    found, _ = both(lambda: listing(end, "tree/none"), lambda: serve(other, other.recv(), here, clock=ticking()))
    assert isinstance(found, Refused)
    assert found.kind == "missing"


def test_a_server_that_takes_nothing_says_so(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x")

    sent, received = put([here / "x"], there, receiving={"writable": False})

    assert isinstance(sent, Refused)
    assert sent.kind == "read-only"
    assert received is None
    assert files_of(there) == {}


def test_more_than_one_transfer_takes_is_refused_at_either_end(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (here / name).write_bytes(b"x")
    monkeypatch.setattr(manifest, "MOST_ENTRIES", 2)

    with pytest.raises(LimitReached, match="more than 2 files"):
        offer(pair()[0], sorted(here.iterdir()), clock=ticking())
    got, given = get("*", there, here)

    assert isinstance(got, Refused)
    assert got.kind == "too-many"
    assert given is None


@pytest.mark.parametrize("into", ["..", "/tmp", "a/../..", "C:", "a/./b", "nul"])
def test_a_place_outside_is_refused(here: Path, there: Path, into: str) -> None:
    (here / "x").write_bytes(b"x")

    with nothing_outside(there):
        sent, _ = put([here / "x"], there, into=into)

    assert isinstance(sent, Refused)
    assert sent.kind == "unsafe"
    assert files_of(there) == {}


def test_misuse_is_said_before_anything_is_sent(here: Path, there: Path) -> None:
    end, _, _ = pair()
    (here / "x").write_bytes(b"x")

    with pytest.raises(Misuse, match="no name of its own"):
        offer(end, ["/"], clock=ticking())
    with pytest.raises(FileNotFoundError):
        offer(end, [here / "x", here / "none"], clock=ticking())
    with pytest.raises(Misuse, match="at least one"):
        fetch(end, [], there, clock=ticking())
    with pytest.raises(Misuse, match="overwrite"):
        receive(end, None, there, overwrite="often", clock=ticking())  # type: ignore[arg-type]  # that is the test
    assert end.sent == []


def test_an_end_that_says_nothing_is_waited_for_no_longer_than_allowed(here: Path, there: Path) -> None:
    (here / "x").write_bytes(b"x")
    for ask in (
        lambda end: offer(end, [here / "x"], timeout=0.05, clock=ticking()),
        lambda end: fetch(end, ["x"], there, timeout=0.05, clock=ticking()),
        lambda end: listing(end, timeout=0.05),
    ):
        with pytest.raises(LinkTimeout):
            ask(pair()[0])


def _marks(directory: Path) -> dict[Path, tuple[int, ...]]:
    """Return what changes when anything is written; not the time of the last look."""
    found = {path: path.lstat() for path in [directory, *directory.rglob("*")]}
    return {path: (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_mode) for path, s in found.items()}


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _link(target: str, path: Path) -> None:
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system lets nobody make links")


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def _change(path: Path, change: str) -> None:
    if change == "is replaced":
        data = path.read_bytes()
        path.unlink()
        path.with_name("other").write_bytes(data)
        path.with_name("other").rename(path)
    elif change == "shrinks":
        os.truncate(path, 1000)
    else:
        with path.open("ab" if change == "grows" else "r+b") as file:
            file.write(b"more")
            file.flush()
            os.utime(file.fileno(), ns=(1, 1))
