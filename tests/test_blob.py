"""Blobs: the bytes come whole and in order from any source, once or often, and a short one never passes for whole."""

from __future__ import annotations

import copy
import gc
import io
import json
import os
import pickle
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arriving import ALL_WAYS, Fed, fed, packed
from netstructer.codec.blob import Blob
from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.origins import CHUNK_BYTES
from netstructer.codec.reading import KEPT_BYTES
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, FileChanged, LinkTimeout, Misuse, SourceFailed, UnsafeName

SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES)


def content(size: int) -> bytes:
    """Bytes that are nowhere the same."""
    return (b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1)))[:size]


@pytest.fixture(params=["memory", "path", "file", "iterator"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Blob]:
    """Make a blob of these bytes from each kind of source."""

    def make(data: bytes) -> Blob:
        match request.param:
            case "memory":
                return Blob(data)
            case "path":
                path = tmp_path / "source.bin"
                path.write_bytes(data)
                return Blob.from_path(path)
            case "file":
                return Blob.from_file(io.BytesIO(data))
            case _:
                return Blob.from_iter(data[start : start + 1000] for start in range(0, len(data), 1000))

    return make


@pytest.mark.parametrize("size", SIZES)
def test_every_way_to_read_gives_the_same_bytes(made: Callable[[bytes], Blob], size: int, tmp_path: Path) -> None:
    data = content(size)
    target = tmp_path / "target.bin"
    made(data).save(target)
    chunks = list(made(data).chunks())

    assert b"".join(chunks) == data
    assert all(1 <= len(chunk) <= CHUNK_BYTES for chunk in chunks)
    assert b"".join(made(data)) == data
    assert bytes(made(data)) == data
    assert target.read_bytes() == data
    with made(data).open() as file:
        assert file.read(10) == data[:10]
        assert file.read() == data[10:]
        assert file.read(1) == b""


def test_what_can_be_read_once_says_so(made: Callable[[bytes], Blob]) -> None:
    blob = made(b"abc")
    first = bytes(blob)

    assert first == b"abc"
    if blob.reusable:
        assert bytes(blob) == b"abc"
    else:
        with pytest.raises(Misuse, match="read once"):
            blob.chunks()


def test_what_can_be_read_once_has_been_read_from_the_first_piece_on() -> None:
    blob = Blob.from_iter([b"abc", b"def"])
    never, late = blob.chunks(), blob.chunks()
    chunks = blob.chunks()
    assert next(chunks) == b"abc"
    del never

    with pytest.raises(Misuse, match="read once"):
        next(late)
    assert list(chunks) == [b"def"]


def test_sizes_and_names(tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    path.write_bytes(b"abc")
    named = Blob.from_path(path)

    assert (named.size, named.name, named.reusable) == (3, "scan.tiff", True)
    assert Blob.from_path(str(path), name="other").name == "other"
    assert (Blob(b"ab").size, Blob(b"ab").name) == (2, None)
    assert Blob.from_iter([], name="x").size is None
    assert Blob.from_file(io.BytesIO(), size=5).size == 5
    assert [Blob.from_iter([], size=size).size for size in (0, (1 << 63) - 1)] == [0, (1 << 63) - 1]
    assert repr(named) == "<Blob 'scan.tiff', 3 bytes>"
    assert repr(Blob.from_iter([])) == "<Blob, unknown size>"
    assert named != Blob(b"abc")


def test_any_contiguous_bytes_are_held() -> None:
    import array

    assert bytes(Blob()) == b""
    assert bytes(Blob(bytearray(b"abc"))) == b"abc"
    assert Blob(memoryview(array.array("I", [1, 2]))).size == 8
    assert bytes(Blob.from_iter([b"a", bytearray(b"b"), memoryview(b"c"), b""])) == b"abc"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Blob("text"),  # type: ignore[arg-type]  # that is the point, here and below
        lambda: Blob(memoryview(b"abcd")[::2]),
        lambda: Blob(b"", name=5),  # type: ignore[arg-type]
        lambda: Blob(b"", name="x" * 256),
        lambda: Blob.from_iter([], size=-1),
        lambda: Blob.from_iter([], size=1 << 63),
        lambda: Blob.from_iter([], size=True),
        lambda: Blob.from_file(5),  # type: ignore[arg-type]
        lambda: bytes(Blob.from_file(io.StringIO("text"))),  # type: ignore[arg-type]
        lambda: bytes(Blob.from_iter(["text"])),
    ],
)
def test_what_is_no_blob_is_misuse(make: Callable[[], Any]) -> None:
    with pytest.raises(Misuse):
        make()


def test_a_file_that_is_not_there_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Blob.from_path(tmp_path / "nothing")


@pytest.mark.parametrize(("size", "text"), [(2, "more than the 2 bytes"), (4, "ended after 3 of 4 bytes")])
def test_a_source_of_another_size_never_passes(size: int, text: str) -> None:
    for blob in (Blob.from_iter([b"ab", b"c"], size=size), Blob.from_file(io.BytesIO(b"abc"), size=size)):
        with pytest.raises(OSError, match=text):
            bytes(blob)


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")

    with pytest.raises(OSError, match="ended after"):
        Blob.from_iter([b"a"], size=2).save(target)

    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    monkeypatch.chdir(tmp_path)
    assert Blob(b"after").save("target") == Path("target")
    assert target.read_bytes() == b"after"


def test_in_a_directory_it_takes_its_name_and_no_file_s_place(tmp_path: Path) -> None:
    where = Blob(b"abc", name="é 1.txt").save(tmp_path)

    assert where == tmp_path / "é 1.txt"
    assert where.read_bytes() == b"abc"
    with pytest.raises(FileExistsError):
        Blob(b"other", name="é 1.txt").save(tmp_path)
    with pytest.raises(Misuse, match="no name"):
        Blob(b"abc").save(tmp_path)
    assert where.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [where]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "C:x", "NUL", "x:y", "a\0", "x ", "\u202ex"]
)
def test_a_name_never_leads_out_of_the_directory(name: str, tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    with pytest.raises(UnsafeName):
        Blob(b"abc", name=name).save(tmp_path / "within")

    assert [path.name for path in tmp_path.rglob("*")] == ["within"]


def test_a_link_that_is_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        Blob(b"abc", name="x").save(tmp_path / "within")

    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_name_taken_meanwhile_stays_taken(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links on this file system")

    if not links:
        monkeypatch.setattr(os, "link", refuse)

    def chunks() -> Any:
        yield b"abc"
        (tmp_path / "x").write_bytes(b"taken")

    with pytest.raises(FileExistsError):
        Blob.from_iter(chunks(), name="x").save(tmp_path)
    Blob(b"abc", name="y").save(tmp_path)

    assert (tmp_path / "x").read_bytes() == b"taken"
    assert (tmp_path / "y").read_bytes() == b"abc"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_what_was_saved_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)), real(handle))
    )
    Blob(b"abc").save(tmp_path / "x")

    assert synced == [False, True]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_saved_file_has_the_mode_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "opened").touch()
    (tmp_path / "private").touch(0o600)
    (tmp_path / "script").touch()
    (tmp_path / "script").chmod(0o777)
    (tmp_path / "link").symlink_to("private")
    for name in ("new", "private", "script", "link"):
        Blob(b"abc").save(tmp_path / name)
    Blob(b"abc", name="named").save(tmp_path)

    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in tmp_path.iterdir()}
    usual = modes.pop("opened")
    assert modes == {"new": usual, "named": usual, "private": 0o600, "script": 0o777, "link": usual}


def test_a_file_system_without_modes_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no modes here")

    (tmp_path / "x").write_bytes(b"before")
    monkeypatch.setattr(os, "chmod", refuse)
    Blob(b"after").save(tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == b"after"


def test_an_interrupt_after_the_move_is_the_error_that_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def interrupted(*places: Any) -> None:
        real(*places)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Blob(b"abc").save(tmp_path / "x")

    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"abc"


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_blob_that_is_here_opens_as_a_file_that_seeks(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.json", json.dumps([1, 2]))
    data = made.getvalue()
    (tmp_path / "x.zip").write_bytes(data)
    for blob in (Blob(data), Blob(bytearray(data)), Blob(memoryview(data)), Blob.from_path(tmp_path / "x.zip")):
        for _ in range(2):
            with blob.open(timeout=1) as file, zipfile.ZipFile(file) as archive:
                assert json.load(archive.open("a.json")) == [1, 2]
        with blob.open() as file:
            assert not file.writable()
    with Blob.from_iter([data]).open() as file:
        assert not file.seekable()
        assert file.read() == data


@pytest.mark.parametrize("now", [b"", b"abcd", b"abcdef", b"x" * 200_000])
def test_a_file_of_another_size_is_noticed_at_once(now: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(b"abcde")
    blob = Blob.from_path(path)
    path.write_bytes(now)
    for read in (bytes, Blob.open, lambda blob: blob.save(tmp_path / "copy")):
        with pytest.raises(FileChanged, match=f"'scan' holds {len(now)} bytes, and held 5") as changed:
            read(blob)
        assert changed.value.name == "scan"

    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("change", ["grown", "cut", "overwritten"])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_file_that_changes_while_it_is_read_is_noticed(change: str, at: int, tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(content(3 * CHUNK_BYTES))
    os.utime(path, ns=(1, 1))
    chunks = Blob.from_path(path).chunks()
    for _ in range(at):
        next(chunks)
    if at == 0:
        next(chunks)  # a file that changes before it is opened, and keeps its size, is read as it is
    match change:
        case "grown":
            with path.open("ab") as file:
                file.write(b"x")
        case "cut":
            os.truncate(path, 3 * CHUNK_BYTES - 1)
        case _:
            path.write_bytes(content(3 * CHUNK_BYTES)[::-1])
    found: list[bytes | memoryview] = []
    with pytest.raises(FileChanged, match="'scan' changed while it was read"):
        found.extend(chunks)

    assert sum(map(len, found)) <= (3 - max(at, 1)) * CHUNK_BYTES


def test_a_file_that_stands_still_may_be_replaced_or_taken_away(tmp_path: Path) -> None:
    path, other = tmp_path / "scan", tmp_path / "other"
    path.write_bytes(content(3 * CHUNK_BYTES))
    chunks = Blob.from_path(path).chunks()
    first = next(chunks)
    other.write_bytes(b"abc")
    os.replace(other, path)
    path.unlink()

    assert bytes(first) + b"".join(chunks) == content(3 * CHUNK_BYTES)


# --- blobs that arrive ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "stated"), ALL_WAYS)
def test_what_arrives_is_read_in_every_way_and_often(codec: int, stated: bool, tmp_path: Path) -> None:
    data = content(5000)
    arriving = fed(data, codec, stated)
    blob = Blob._of(arriving, name="x")

    assert (blob.size, blob.name) == (5000 if stated else None, "x")
    assert blob.reusable == stated
    assert bytes(blob) == data
    assert b"".join(blob) == data
    assert b"".join(blob.chunks(timeout=1)) == data
    assert blob.save(tmp_path, timeout=1).read_bytes() == data
    with blob.open(timeout=1) as file, blob.open() as other:
        assert (file.read(), other.read(7)) == (data, data[:7])
    assert (blob.size, blob.reusable) == (5000, True)
    assert repr(blob) == "<Blob 'x', 5000 bytes>"


@pytest.mark.parametrize("codec", [NONE, ZSTD])
def test_what_is_large_is_taken_out_once(codec: int, tmp_path: Path) -> None:
    data = os.urandom(KEPT_BYTES + 200_000)
    take: Callable[[Blob], object]
    for take in (lambda blob: list(blob), lambda blob: blob.save(tmp_path / "x"), lambda blob: b"".join(blob.chunks())):
        arriving = fed(data, codec, True, 60_000)
        blob = Blob._of(arriving)
        assert not blob.reusable
        assert next(iter(blob)) == data[: len(next(iter(blob)))]  # to look at the beginning takes nothing away
        assert bytes(blob) == data
        with blob.open() as file:
            assert file.read() == data
        take(blob)
        assert arriving.spool.start == arriving.spool.byte_count
        for again in (lambda blob: blob.chunks(), bytes, Blob.open, lambda blob: blob.save(tmp_path / "y")):
            with pytest.raises(Misuse, match="is taken out in order once"):
                again(blob)
    assert (tmp_path / "x").read_bytes() == data
    assert not (tmp_path / "y").exists()


def test_what_is_small_is_known_before_it_comes() -> None:
    for size, small in ((0, True), (KEPT_BYTES, True), (KEPT_BYTES + 1, False)):
        assert Blob._of(Fed([], size=size)).reusable == small
        assert not Blob._of(Fed([], size=size, stated=False)).reusable


def test_what_compresses_well_is_small() -> None:
    data = bytes(5 * KEPT_BYTES)
    blob = Blob._of(fed(data, ZSTD, True, 60_000))

    assert not blob.reusable
    for _ in range(2):
        assert b"".join(blob) == data


def test_a_small_blob_that_was_forgotten_is_not_reusable() -> None:
    blob = Blob._of(fed(b"abc", NONE, True))
    list(blob.chunks(keep=False))

    assert not blob.reusable
    with pytest.raises(Misuse):
        blob.chunks()


def test_saving_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    data = content(5000)
    for failure in (SourceFailed("the disk broke"), LinkTimeout("late")):
        script = [data[:1000], failure, data[1000:]]
        blob = Blob._of(Fed(script, size=5000))
        with pytest.raises(type(failure)):
            blob.save(tmp_path / "x")
        assert list(tmp_path.iterdir()) == []
        assert blob.save(tmp_path / "x").read_bytes() == data
        (tmp_path / "x").unlink()


def test_what_arrives_is_sent_on_like_any_other() -> None:
    data = content(100_000)
    blob = Blob._of(fed(data, ZSTD, True), name="x")
    encoded = encode({"a": [blob, blob]})

    assert encoded.blobs == [blob, blob]
    assert [bytes(each) for each in encoded.blobs] == [data, data]
    assert bytes(Blob.from_iter(blob, size=blob.size)) == data
    assert bytes(Blob.from_file(blob.open(), size=blob.size)) == data


def test_only_what_nobody_holds_is_given_up() -> None:
    for hold in (Blob.chunks, Blob.open, iter, lambda blob: [blob]):
        arriving = fed(content(5000), NONE, True, 10)
        blob = Blob._of(arriving)
        held = hold(blob)
        used = blob.open()
        used.read(10)
        used.close()
        list(zip(blob.chunks(), range(3), strict=False))
        del blob
        gc.collect()
        assert arriving.given_up == 0
        del held, used
        gc.collect()
        assert arriving.given_up == 1


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_arrives_is_not_copied_as_an_object(way: Callable[[Blob], object]) -> None:
    """A copy would read on after the one that it was made of was given up."""
    blob = Blob._of(fed(content(10), NONE, True, 10))
    with pytest.raises(Misuse, match="copied"):
        way(blob)
    assert bytes(blob) == content(10)


def test_what_is_here_may_be_copied_as_an_object(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    for way in (copy.copy, copy.deepcopy, lambda blob: pickle.loads(pickle.dumps(blob))):
        blob = way(Blob.from_path(tmp_path / "x"))
        assert (bytes(blob), blob.name) == (b"abc", "x")


def test_a_blob_is_given_up_without_the_collector_of_cycles() -> None:
    arriving = fed(content(5000), ZSTD, False, 10)
    gc.disable()
    try:
        blob = Blob._of(arriving)
        with blob.open() as file:
            file.read(100)
            file.seek(0)
            file.read(100)
        next(iter(blob))
        del blob, file
    finally:
        gc.enable()

    assert arriving.given_up == 1


def test_what_arrives_is_told_what_its_value_says_of_it() -> None:
    arriving = fed(b"abc", NONE, False)
    blobs = [Blob._of(arriving), Blob(b"abc"), Blob.from_iter([b"abc"])]
    back = decode(b"".join(encode([Blob(b"abc", name="x")] * 3).buffers), blobs=blobs)

    assert back == blobs
    assert [blob.name for blob in blobs] == ["x"] * 3
    assert arriving.expected == 3


def test_a_reader_waits_for_what_another_thread_brings(tmp_path: Path) -> None:
    data = content(3000)
    for codec, stated in ALL_WAYS:
        arriving = Fed(size=len(data), codec=codec, stated=stated)
        saver = threading.Thread(target=Blob._of(arriving).save, args=(tmp_path / "x",), kwargs={"timeout": 30})
        saver.start()
        for byte in packed(data, codec, stated):
            arriving.feed(bytes([byte]))
        arriving.finish()
        saver.join()
        assert (tmp_path / "x").read_bytes() == data


# --- in values --------------------------------------------------------------------------------------------------------


def test_blobs_leave_references_in_order() -> None:
    sent = [Blob(b"abc", name="one"), Blob.from_iter([b"x"]), Blob(b"", name="")]
    encoded = encode({"a": sent[0], "b": [sent[1], sent[2], sent[0]]})
    came = [Blob(b"abc"), Blob(b"x"), Blob(b""), Blob(b"abc")]
    back: Any = decode(b"".join(encoded.buffers), blobs=came)

    assert encoded.blobs == [sent[0], sent[1], sent[2], sent[0]]
    assert encoded.plain_bytes < 40
    assert [back["a"], *back["b"]] == came
    assert [blob.name for blob in came] == ["one", None, "", "one"]
    again = encode(back)
    assert again.plain_bytes == encoded.plain_bytes + 0


def test_in_a_table_blobs_are_in_the_order_of_the_bytes() -> None:
    rows = [(Blob(bytes([row, 0])), Blob(bytes([row, 1]))) for row in range(20)]
    encoded = encode(rows)
    back: Any = decode(b"".join(encoded.buffers), blobs=[Blob(bytes(blob)) for blob in encoded.blobs])

    assert [[bytes(blob) for blob in row] for row in back] == [[bytes(blob) for blob in row] for row in rows]


def test_a_blob_whose_size_is_not_known_yet_is_taken() -> None:
    data = b"".join(encode([Blob(b"abc")]).buffers)
    late = Blob.from_iter([b"abc"])

    assert decode(data, blobs=[late]) == [late]


@pytest.mark.parametrize(
    ("blobs", "text"),
    [
        ([], "refers to more blobs than the 0"),
        ([Blob(b"abc"), Blob(b"")], "refers to 1 blobs, and 2 came"),
        ([Blob(b"ab")], "a Blob of 3 bytes came with 2"),
    ],
)
def test_blobs_that_do_not_fit_their_references_are_bad(blobs: list[Blob], text: str) -> None:
    data = b"".join(encode([Blob(b"abc")]).buffers)

    with pytest.raises(BadValue, match=text):
        decode(data, blobs=blobs)
