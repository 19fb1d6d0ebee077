"""A blob on its way, as a file: what reads any binary file reads it, and it is the same as one that is there."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from arriving import ALL_WAYS, Fed, Tight, content, cut, fed, packed
from cases import case
from netstructer.codec.compression import NONE, ZSTD
from netstructer.codec.reading import KEPT_BYTES, PIECE_BYTES, Chunks
from netstructer.codec.seeking import NEAR_BYTES, ArrivingFile
from netstructer.errors import BadCompression, BytesGone, IllegalFrame, LinkTimeout, SourceFailed, SpoolFull

SMALL = content(600)


@cache
def large() -> bytes:
    """Return what is more than is kept at hand, made for whoever asks first."""
    return content(3 * NEAR_BYTES)


@pytest.fixture(params=ALL_WAYS, ids=["plain", "plain-unstated", "zstd", "zstd-unstated"])
def way(request: pytest.FixtureRequest) -> tuple[int, bool]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("piece_bytes", [1, 7, PIECE_BYTES])
def test_it_is_read_in_every_manner(way: tuple[int, bool], piece_bytes: int) -> None:
    def opened() -> ArrivingFile:
        return ArrivingFile(fed(SMALL, *way, piece_bytes, credit=piece_bytes))

    assert opened().read() == SMALL
    assert opened().read(None) == SMALL
    assert [*opened()] == [*io.BytesIO(SMALL)]
    assert opened().readlines() == io.BytesIO(SMALL).readlines()
    assert b"".join(iter(opened().read1, b"")) == SMALL
    with opened() as file:
        assert (file.readable(), file.seekable(), file.writable(), file.tell()) == (True, True, False, 0)
        assert file.read(0) == b""
        assert file.read(5) == SMALL[:5]
        assert file.read(595) == SMALL[5:]
        assert (file.read(), file.read(1), file.read1(), file.peek(), file.readline()) == (b"",) * 5
        assert file.seek(0) == 0
        into = bytearray(700)
        assert file.readinto(into) == 600
        assert into == SMALL + bytes(100)
        assert file.readinto(into) == 0
        assert file.seek(-3, os.SEEK_END) == 597
        assert file.peek()[:3] == SMALL[-3:][: len(file.peek())]
        assert file.tell() == 597
        assert file.read() == SMALL[-3:]
        assert file.seek(-600, os.SEEK_CUR) == 0
        assert file.readline(4) == SMALL[:4]
        assert file.seek(10_000) == 10_000
        assert file.read() == b""
        assert file.readinto(bytearray()) == 0
        assert file.readinto1(into) == 0


def test_what_asks_for_nothing_waits_for_nothing() -> None:
    file = ArrivingFile(Fed([LinkTimeout("late")] * 9, size=5))

    assert (file.read(0), file.read1(0), file.readline(0), file.readinto(bytearray())) == (b"", b"", b"", 0)
    assert file.seek(3) == 3
    with pytest.raises(LinkTimeout):
        file.read(1)


@pytest.mark.parametrize("size", [-1, None, 5])
def test_lines_may_be_empty(way: tuple[int, bool], size: int | None) -> None:
    file = ArrivingFile(fed(b"\n\nab\n\n", *way))

    assert [file.readline(size) for _ in range(5)] == [b"\n", b"\n", b"ab\n", b"\n", b""]


def test_positions_that_are_none_are_refused(way: tuple[int, bool]) -> None:
    file = ArrivingFile(fed(SMALL, *way))
    file.seek(7)
    for offset, whence in ((-1, 0), (-8, 1), (-601, 2)):
        with pytest.raises(OSError, match="before the start"):
            file.seek(offset, whence)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 5)
    with pytest.raises(TypeError):
        file.seek(1.5)  # type: ignore[arg-type]

    assert file.tell() == 7
    assert file.read() == SMALL[7:]


def test_a_closed_file_is_closed(way: tuple[int, bool]) -> None:
    arriving = fed(SMALL, *way)
    file = ArrivingFile(arriving)
    file.read(10)
    file.seek(0)
    file.read(1)
    file.close()
    file.close()
    calls: list[Callable[[], object]] = [
        *(file.read, file.read1, file.readline, file.peek, file.tell, file.readable, file.seekable),
        *(lambda: file.seek(0), lambda: file.readinto(bytearray(1)), lambda: next(file), file.__enter__),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()

    assert file.closed
    assert arriving.given_up == 0
    assert ArrivingFile(arriving).read() == SMALL


def test_an_empty_blob_is_an_empty_file(way: tuple[int, bool]) -> None:
    file = ArrivingFile(fed(b"", *way))

    assert file.seek(0, os.SEEK_END) == 0
    assert (file.read(), file.readline(), file.read1()) == (b"", b"", b"")


def test_the_end_is_waited_for_only_where_it_is_not_known(way: tuple[int, bool]) -> None:
    arriving = fed(SMALL, *way, 1, credit=1)
    file = ArrivingFile(arriving)

    assert file.seek(0, os.SEEK_END) == 600
    assert bool(arriving.spool.byte_count) != way[1]
    assert file.seek(1, os.SEEK_END) == 601


def test_many_files_have_a_position_each(way: tuple[int, bool]) -> None:
    arriving = fed(SMALL, *way, 50)
    one, other = ArrivingFile(arriving), ArrivingFile(arriving)
    other.seek(300)

    assert one.read(10) == SMALL[:10]
    assert other.read(10) == SMALL[300:310]
    assert one.read(10) == SMALL[10:20]
    other.seek(-600, os.SEEK_END)
    assert other.read() == SMALL
    one.close()
    assert b"".join(Chunks(arriving)) == SMALL


# --- far from where it was --------------------------------------------------------------------------------------------


def test_a_plain_blob_is_read_where_it_lies() -> None:
    arriving = fed(large(), NONE, True, PIECE_BYTES, credit=4 * PIECE_BYTES)
    file = ArrivingFile(arriving)
    for position in (2_500_000, 5, 3_000_000, 0, len(large()) - 4):
        file.seek(position)
        assert file.read(1000) == large()[position : position + 1000]

    assert arriving.spools == []


def test_what_was_read_before_is_told_once() -> None:
    arriving = fed(large(), NONE, True, PIECE_BYTES)
    file = ArrivingFile(arriving)
    for _ in range(2):
        file.seek(0)
        file.read()

    assert arriving.calls == sorted(set(arriving.calls))
    assert arriving.calls[-1] == len(large())


def test_a_compressed_blob_makes_a_second_spool_once_and_only_when_it_must() -> None:
    arriving = fed(large(), ZSTD, True, PIECE_BYTES, credit=PIECE_BYTES)
    file = ArrivingFile(arriving)
    for position in (0, 1000, 500_000, 500_000 + NEAR_BYTES):
        file.seek(position)
        assert file.read(10) == large()[position : position + 10]
    assert arriving.spools == []

    for position in (17, 2_000_000, 4, len(large()) - 4, 100_000):
        file.seek(position)
        assert file.read(10) == large()[position : position + 10]
    file.seek(0)
    assert file.read() == large()
    assert file.read() == b""
    assert len(arriving.spools) == 1
    file.close()
    assert arriving.spools[0].start == arriving.spools[0].byte_count


def test_far_ahead_is_kept_on_the_way() -> None:
    arriving = fed(large(), ZSTD, True, PIECE_BYTES)
    file = ArrivingFile(arriving)
    file.seek(2 * NEAR_BYTES)

    assert file.read(10) == large()[2 * NEAR_BYTES : 2 * NEAR_BYTES + 10]
    assert len(arriving.spools) == 1
    file.seek(len(large()) + 1)
    assert file.read() == b""


def test_a_second_spool_without_room_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = fed(large(), ZSTD, True, PIECE_BYTES)
    monkeypatch.setattr(
        arriving, "new_spool", lambda: arriving.spools.append(Tight(arriving.room, 300_000)) or arriving.spools[-1]
    )
    file = ArrivingFile(arriving)
    for position in (2_500_000, 17, 1_000_000, 999_990, 0):
        file.seek(position)
        assert file.read(100_000) == large()[position : position + 100_000]

    assert len(arriving.spools) > 2
    assert all(spool.start == spool.byte_count for spool in arriving.spools[:-1])


def test_a_second_spool_without_any_room_says_so_and_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = fed(large(), ZSTD, True, PIECE_BYTES)
    rooms = iter([0, 200_000, 1 << 30])
    monkeypatch.setattr(arriving, "new_spool", lambda: Tight(arriving.room, next(rooms)))
    file = ArrivingFile(arriving)
    assert file.read(500_000) == large()[:500_000]
    file.seek(10)
    with pytest.raises(SpoolFull):
        file.read(10)

    assert file.tell() == 10
    assert file.read(400_000) == large()[10:400_010]
    file.seek(0)
    assert file.read() == large()


@pytest.mark.parametrize("read", ["read", "readinto", "readline"])
def test_where_nothing_can_be_kept_reading_goes_on_after_timeouts(way: tuple[int, bool], read: str) -> None:
    plain = b"".join(b"%06d" % number for number in range(50_000))
    pieces = cut(packed(plain, *way), 4_000)
    script = [step for piece in pieces for step in (LinkTimeout("late"), piece)]
    arriving = Fed(script, size=len(plain), codec=way[0], stated=way[1], cramped=True)
    file = ArrivingFile(arriving)
    found, timeouts = b"", 0
    while len(found) < len(plain):
        into = bytearray(min(100_000, len(plain) - len(found)))
        try:
            found += into[: file.readinto(into)] if read == "readinto" else getattr(file, read)(100_000)
        except LinkTimeout:
            timeouts += 1

    assert found == plain
    assert timeouts >= len(pieces) - 1
    assert arriving.spools == []
    file.seek(0)
    with pytest.raises(BytesGone):
        file.read(1)


def test_what_was_taken_out_in_order_is_gone(way: tuple[int, bool]) -> None:
    plain = os.urandom(2 * KEPT_BYTES)
    arriving = fed(plain, *way, PIECE_BYTES)
    file = ArrivingFile(arriving)
    first = file.read(100)
    for _ in Chunks(arriving):
        pass
    file.seek(PIECE_BYTES * 4)
    with pytest.raises(BytesGone):
        file.read(10)

    assert first == plain[:100]
    assert isinstance(BytesGone(), OSError)


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", ["read", "readinto", "readline", "read1"])
def test_a_failure_at_every_position_moves_nothing(way: tuple[int, bool], read: str) -> None:
    payload = packed(SMALL, *way)
    timeouts = 0
    for end in range(0, len(payload) + 1, 3):
        late = [LinkTimeout("late")] * 2
        script = [*cut(payload[:end], 16), *late, *cut(payload[end:], 16), *late]
        file = ArrivingFile(Fed(script, size=len(SMALL), codec=way[0], stated=way[1]))
        found = b""
        while len(found) < len(SMALL):
            into = bytearray(len(SMALL) - len(found))
            before = file.tell()
            try:
                if read == "readinto":
                    file.readinto(into)
                    found += into
                else:
                    found += getattr(file, read)(len(into))
            except LinkTimeout:
                timeouts += 1
                assert file.tell() == before
        assert found == SMALL

    assert timeouts >= len(payload) // 3


@pytest.mark.parametrize("end", [0, 1, 30, 100])
def test_what_ended_the_blob_is_told_again_and_again(way: tuple[int, bool], end: int) -> None:
    error = SourceFailed("the disk broke")
    script = [*cut(packed(SMALL, *way)[:end], 10), *[error] * 9]
    file = ArrivingFile(Fed(script, size=len(SMALL), codec=way[0], stated=way[1]))
    calls: list[Callable[[], object]] = [file.read, lambda: file.read(600), lambda: file.readinto(bytearray(600))]
    for call in calls:
        with pytest.raises(SourceFailed):
            call()

    assert file.tell() == 0
    with pytest.raises(SourceFailed):
        shutil.copyfileobj(file, io.BytesIO())


def exhaust(file: ArrivingFile) -> None:
    while file.read(100):
        pass


@pytest.mark.parametrize("spoil", [lambda payload: payload[:-1], lambda payload: payload + b"x", lambda payload: b""])
def test_other_bytes_than_were_stated_never_end(way: tuple[int, bool], spoil: Callable[[bytes], bytes]) -> None:
    script = cut(spoil(packed(SMALL, *way)), 10)
    for start in (0, 300, 599, 600, 601, 5 * NEAR_BYTES):
        file = ArrivingFile(Fed(script, size=len(SMALL), codec=way[0], stated=way[1]))
        for _ in range(2):
            file.seek(start)
            with case(start), pytest.raises((IllegalFrame, BadCompression)):
                exhaust(file)
            with case(start), pytest.raises((IllegalFrame, BadCompression)):
                file.read()


def test_a_byte_too_many_is_never_read() -> None:
    for codec in (NONE, ZSTD):
        payload = packed(SMALL + b"x", NONE, True) if codec == NONE else packed(SMALL, ZSTD, True) + b"x"
        file = ArrivingFile(Fed(cut(payload, 10), size=len(SMALL), codec=codec))
        file.seek(len(SMALL))
        for read in (file.read1, file.peek, file.readline, lambda file=file: file.read(1)):
            with pytest.raises((IllegalFrame, BadCompression)):
                read()


# --- beside a file that is there --------------------------------------------------------------------------------------


class Beside(RuleBasedStateMachine):
    """The same calls on an arriving file and on bytes that are here, while more comes between the calls."""

    @initialize(
        way=st.sampled_from(ALL_WAYS),
        size=st.sampled_from([0, 1, 100, 5_000, 200_000]),
        piece_bytes=st.sampled_from([13, 1000, 70_000]),
        room=st.sampled_from([150_000, 1 << 30]),
    )
    def begin(self, way: tuple[int, bool], size: int, piece_bytes: int, room: int) -> None:
        self.plain = content(size)
        self.coming = cut(packed(self.plain, *way), piece_bytes)[::-1]
        late = LinkTimeout("late")
        script = (self.coming.pop() if take else late for take in self.steps())
        self.arriving = Fed(script, size=size, codec=way[0], stated=way[1])
        self.arriving.new_spool = lambda: Tight(self.arriving.room, room)  # type: ignore[method-assign]
        self.file, self.beside = ArrivingFile(self.arriving), io.BytesIO(self.plain)

    def steps(self) -> Any:
        """Let every fifth wait be in vain."""
        count = 0
        while self.coming:
            count += 1
            yield count % 5 != 0

    def both(self, call: Callable[[Any], object]) -> None:
        while True:
            before = self.file.tell()
            try:
                found = call(self.file)
                break
            except LinkTimeout:
                assert self.file.tell() == before

        assert found == call(self.beside)
        assert self.file.tell() == self.beside.tell()

    @rule(size=st.one_of(st.none(), st.integers(-1, 300), st.sampled_from([60_000, 140_000, 10**9])))
    def read(self, size: int | None) -> None:
        self.both(lambda file: file.read(size))

    @rule(size=st.sampled_from([0, 1, 10, 5_000, 100_000]))
    def readinto(self, size: int) -> None:
        def call(file: Any) -> tuple[int, bytes]:
            into = bytearray(size)
            return file.readinto(into), bytes(into)

        self.both(call)

    @rule(size=st.one_of(st.none(), st.integers(-1, 40)))
    def readline(self, size: int | None) -> None:
        self.both(lambda file: file.readline(size))

    @rule(offset=st.integers(0, 250_000), whence=st.sampled_from([0, 1]))
    def seek_ahead(self, offset: int, whence: int) -> None:
        self.both(lambda file: file.seek(offset, whence))

    @rule(share=st.floats(0, 1), whence=st.sampled_from([0, 1, 2]))
    def seek_back(self, share: float, whence: int) -> None:
        base = (0, self.beside.tell(), len(self.plain))[whence]
        to = int(share * base) if whence else int(share * len(self.plain))
        self.both(lambda file: file.seek(to - base, whence))

    @rule()
    def read1(self) -> None:
        try:
            found = self.file.read1(100)
        except LinkTimeout:
            return
        assert found == self.beside.read(len(found))
        assert found or self.beside.read(1) == b""

    @precondition(lambda self: self.coming)
    @rule()
    def more_comes(self) -> None:
        self.arriving.feed(self.coming.pop())


TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=100, stateful_step_count=25)


@given(data=st.data())
@settings(max_examples=30)
def test_lines_of_text_are_the_same(data: st.DataObject) -> None:
    text = data.draw(st.lists(st.sampled_from(["a", "é", "\n", "\r\n", "語", "line"]), max_size=60).map("".join))
    way = data.draw(st.sampled_from(ALL_WAYS))
    arriving = fed(text.encode(), *way, 3)

    assert list(io.TextIOWrapper(ArrivingFile(arriving), "utf-8", newline="")) == list(io.StringIO(text, newline=""))


# --- what reads files -------------------------------------------------------------------------------------------------


def opened(plain: bytes, way: tuple[int, bool]) -> Any:
    return ArrivingFile(fed(plain, *way, 777, credit=2000))


def test_zipfile_reads_it(way: tuple[int, bool]) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.txt", content(number * 1000))
    with zipfile.ZipFile(opened(made.getvalue(), way)) as archive:
        assert archive.testzip() is None
        assert archive.read("7.txt") == content(7000)
        with archive.open("19.txt") as one, archive.open("2.txt") as other:
            assert (one.read(10), other.read()) == (content(10), content(2000))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(opened(b"no zip", way))


@pytest.mark.parametrize("mode", ["r:", "r|", "r:gz", "r|gz", "r:*", "r|*", "r:xz"])
def test_tarfile_reads_it(way: tuple[int, bool], mode: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:" + mode[2:].replace("*", "")) as archive:  # type: ignore[call-overload]
        for number in range(9):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = number * 1000
            archive.addfile(member, io.BytesIO(content(number * 1000)))
    found = {}
    with tarfile.open(fileobj=opened(made.getvalue(), way), mode=mode) as archive:  # type: ignore[call-overload]
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()

    assert found == {f"{number}.txt": content(number * 1000) for number in range(9)}


def test_json_csv_and_gzip_read_it(way: tuple[int, bool]) -> None:
    value = {"jobs": [{"owner": "é", "size": number} for number in range(500)]}
    table = "".join(f"{number},line {number}\r\n" for number in range(500))

    assert json.load(opened(json.dumps(value, ensure_ascii=False).encode(), way)) == value
    assert list(csv.reader(io.TextIOWrapper(opened(table.encode(), way), "utf-8", newline=""))) == [
        [str(number), f"line {number}"] for number in range(500)
    ]
    with gzip.open(opened(gzip.compress(SMALL * 50), way)) as file:
        assert file.read() == SMALL * 50
        file.seek(300)
        assert file.read(10) == SMALL[300:310]


def test_copyfileobj_and_a_buffered_reader_read_it(way: tuple[int, bool]) -> None:
    copy = io.BytesIO()
    shutil.copyfileobj(opened(SMALL * 50, way), copy)

    assert copy.getvalue() == SMALL * 50
    with io.BufferedReader(opened(SMALL * 50, way), 100) as file:
        assert file.read(5) == SMALL[:5]
        file.seek(-5, os.SEEK_END)
        assert file.read() == SMALL[-5:]


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_numpy_reads_it(way: tuple[int, bool], ending: str) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(5000, dtype="<u4").reshape(50, 100)
    made = io.BytesIO()
    (numpy.save if ending == ".npy" else numpy.savez)(made, array)
    found = numpy.load(opened(made.getvalue(), way))
    found = found if ending == ".npy" else found["arr_0"]

    assert (found == array).all()
    into = numpy.zeros((2, 0))
    assert opened(SMALL, way).readinto(into) == 0


def test_threads_read_while_it_comes(way: tuple[int, bool]) -> None:
    plain = content(20_000)
    arriving = Fed(size=len(plain), codec=way[0], stated=way[1])
    found: dict[int, bytes] = {}

    def read(number: int) -> None:
        with ArrivingFile(arriving, timeout=30) as file:
            file.seek(number * 5000)
            tail = file.read()
            file.seek(0)
            found[number] = file.read(number * 5000) + tail

    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    for piece in cut(packed(plain, *way), 50):
        arriving.feed(piece)
    arriving.finish()
    for reader in readers:
        reader.join()

    assert found == dict.fromkeys(range(3), plain)
