"""Blobs: the bytes come whole and in order from any source, once or often, and a short one never passes for whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netstructer.codec.blob import Blob
from netstructer.codec.origins import CHUNK_BYTES
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, Misuse

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


def test_sizes_and_names(tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    path.write_bytes(b"abc")
    named = Blob.from_path(path)

    assert (named.size, named.name, named.reusable) == (3, "scan.tiff", True)
    assert Blob.from_path(str(path), name="other").name == "other"
    assert (Blob(b"ab").size, Blob(b"ab").name) == (2, None)
    assert Blob.from_iter([], name="x").size is None
    assert Blob.from_file(io.BytesIO(), size=5).size == 5
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
    Blob(b"after").save("target")
    assert target.read_bytes() == b"after"


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
