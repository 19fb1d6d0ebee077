"""Compression: what was fewer bytes is the same bytes again, and no length that came in is trusted."""

from __future__ import annotations

import itertools
import os
import resource
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from netstructer.codec import compression
from netstructer.codec.compression import (
    BLOCK_BYTES,
    GLANCE_BYTES,
    JUDGE_BYTES,
    LEAST_BYTES,
    NONE,
    PROBE_BYTES,
    ZSTD,
    compress,
    expand,
    expand_block,
)
from netstructer.errors import BadCompression

MIB = 1 << 20
TEXT = b"the quick brown fox jumps over the lazy dog. " * 40
MAGIC = b"\x28\xb5\x2f\xfd"


def squeeze(plain: bytes, plain_bytes: int | None = -1) -> tuple[int, bytes]:
    """Return codec and payload of one buffer; by default its length is known."""
    codec, pieces = compress([plain], len(plain) if plain_bytes == -1 else plain_bytes)
    return codec, b"".join(pieces)


def restore(payload: bytes, plain_bytes: int, *, stated: bool = True) -> bytes:
    return b"".join(expand([payload], plain_bytes=plain_bytes, stated=stated))


def pieces_of(data: bytes, draw: Random) -> Iterator[bytes]:
    """Cut bytes anywhere, empty pieces included."""
    start = 0
    while start < len(data):
        end = start + draw.choice((0, 1, 2, 3, 7, 100, 5000))
        yield data[start:end]
        start = end


def raw_frame(*blocks: bytes, flags: int = 0x04, header: bytes = b"\x00", checksum: bytes = bytes(4)) -> bytes:
    """Return a zstd frame made by hand: no content size, smallest window, checksum flag."""
    return MAGIC + bytes([flags]) + header + b"".join(blocks) + checksum


def block(kind: int, size: int, body: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + body


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES + 1, PROBE_BYTES - 1, PROBE_BYTES,
                                  PROBE_BYTES + 1, BLOCK_BYTES, BLOCK_BYTES + 1, MIB, MIB + 1, 3 * MIB])  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_there_and_back(size: int, known: bool) -> None:
    plain = (TEXT * (size // len(TEXT) + 1))[:size]
    codec, payload = squeeze(plain, size if known else None)

    assert codec == (ZSTD if size >= LEAST_BYTES else NONE)
    assert (restore(payload, size, stated=known) if codec == ZSTD else payload) == plain
    if codec == ZSTD:
        assert len(payload) < size
        with pytest.raises(BadCompression):
            restore(payload, size, stated=not known)


@settings(max_examples=200)
@given(st.binary(max_size=2000), st.integers(1, 400), st.booleans(), st.integers(0, 1 << 30))
def test_there_and_back_in_any_pieces(unit: bytes, times: int, known: bool, seed: int) -> None:
    plain, draw = unit * times, Random(seed)
    codec, packed = compress(pieces_of(plain, draw), len(plain) if known else None)
    payload = b"".join(packed)
    if codec == ZSTD:
        payload = b"".join(expand(pieces_of(payload, draw), plain_bytes=len(plain), stated=known))

    assert payload == plain


def test_every_split_of_a_small_frame_expands_the_same() -> None:
    _, payload = squeeze(TEXT)
    for cut in range(len(payload) + 1):
        assert b"".join(expand([payload[:cut], payload[cut:]], plain_bytes=len(TEXT))) == TEXT
    assert b"".join(expand([bytes([byte]) for byte in payload], plain_bytes=len(TEXT))) == TEXT


def test_a_stock_decompressor_reads_it() -> None:
    for size in (600, 200_000):
        _, payload = squeeze((TEXT * 200)[:size])

        assert zstandard.ZstdDecompressor().decompress(payload) == (TEXT * 200)[:size]


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    noise = os.urandom(200_000)

    assert squeeze(noise) == (NONE, noise)
    assert squeeze(noise, None) == (NONE, noise)
    assert squeeze(b"ab", None) == (NONE, b"ab")
    assert squeeze(b"", None) == (NONE, b"")


@pytest.mark.parametrize("lead", [0, 1, 4095, 4096, PROBE_BYTES, 3 * PROBE_BYTES])
@pytest.mark.parametrize("cuts", [1, 2, 7, 100])
def test_a_noisy_beginning_does_not_hide_what_shrinks(lead: int, cuts: int) -> None:
    whole = os.urandom(lead) + TEXT * (10 * PROBE_BYTES // len(TEXT))
    step = len(whole) // cuts + 1
    codec, payload = compress([whole[start : start + step] for start in range(0, len(whole), step)], len(whole))

    assert codec == ZSTD
    assert b"".join(expand(payload, plain_bytes=len(whole))) == whole


def test_a_sample_is_a_sample_whatever_the_length() -> None:
    noise = os.urandom(3 * PROBE_BYTES)

    for size in (PROBE_BYTES + 1, PROBE_BYTES + 4095, 2 * PROBE_BYTES - 1, 3 * PROBE_BYTES):
        codec, payload = compress([noise[:5], b"", noise[5:size]], size)
        assert codec == NONE
        assert b"".join(payload) == noise[:size]


def test_what_shrinks_by_nothing_is_given_up_after_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = watch_compressors(monkeypatch)
    noise = os.urandom(MIB)

    assert compress([noise], MIB)[0] == NONE
    assert looked_at == [GLANCE_BYTES]


def test_what_clearly_shrinks_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = watch_compressors(monkeypatch)
    half = b"".join(bytes(256) + os.urandom(256) for _ in range(MIB // 512))

    assert compress([half], MIB)[0] == ZSTD
    assert looked_at == [GLANCE_BYTES]


def test_what_shrinks_by_too_little_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = watch_compressors(monkeypatch)
    barely = b"".join(bytes(16) + os.urandom(496) for _ in range(MIB // 512))

    assert compress([barely], MIB)[0] == NONE
    assert looked_at == [GLANCE_BYTES, PROBE_BYTES]


def watch_compressors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what will list the lengths of what is compressed in one go."""
    looked_at: list[int] = []
    made = compression._compressor

    class Watched:
        def __init__(self) -> None:
            self._inner = made()

        def compress(self, data: bytes) -> bytes:
            looked_at.append(len(data))
            return self._inner.compress(data)

    monkeypatch.setattr(compression, "_compressor", Watched)
    return looked_at


def test_compression_pulls_only_what_it_needs() -> None:
    pulled = 0

    def source() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield os.urandom(16) * 512

    _, payload = compress(source(), None)
    assert pulled == PROBE_BYTES // 8192 + 1
    next(payload)

    assert pulled < 200


def test_messages_do_not_share_a_context() -> None:
    first = squeeze(TEXT)

    assert squeeze(b"x" * 4000) != first
    assert squeeze(TEXT) == first


def test_messages_that_are_compressed_by_turns_do_not_disturb_each_other() -> None:
    """As on a link that sends two at once, each of which is asked for the next piece when there is room."""
    plains = [bytes(draw.choices(b"abcdefgh", k=MIB)) for draw in (Random(1), Random(2))]
    sources = [compress([plain], MIB) for plain in plains]
    payloads: list[list[bytes]] = [[], []]
    for turn in itertools.zip_longest(*(pieces for _, pieces in sources), fillvalue=b""):
        for payload, piece in zip(payloads, turn, strict=True):
            payload.append(bytes(piece))

    assert min(map(len, payloads)) > 2
    assert [codec for codec, _ in sources] == [ZSTD, ZSTD]
    assert [restore(b"".join(payload), MIB) for payload in payloads] == plains


def test_pieces_are_no_longer_than_a_block() -> None:
    plain = TEXT * 20_000
    _, payload = squeeze(plain)

    assert max(map(len, expand([payload], plain_bytes=len(plain)))) <= BLOCK_BYTES


# --- what is refused --------------------------------------------------------------------------------------------------


GOOD_BYTES = len(TEXT)


def _good() -> bytes:
    return squeeze(TEXT)[1]


def _made(**options: object) -> bytes:
    shape: dict[str, object] = {"write_checksum": True, "write_content_size": True, "write_dict_id": False, **options}
    return zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(**shape)).compress(TEXT)


def _with_dictionary() -> bytes:
    samples = [TEXT[i : i + 400] + bytes([i % 256]) for i in range(0, 900, 3)]
    trained = zstandard.train_dictionary(4096, samples)
    return zstandard.ZstdCompressor(dict_data=trained, write_checksum=True).compress(TEXT)


FAULTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no frame": lambda: TEXT,
    "skippable frame": lambda: b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip" + _good(),
    "no checksum": lambda: _made(write_checksum=False),
    "dictionary": _with_dictionary,
    "another length": lambda: squeeze(TEXT + b"!")[1],
    "second frame": lambda: _good() * 2,
    "trailing byte": lambda: _good() + b"\0",
    "wrong checksum": lambda: _good()[:-1] + bytes([_good()[-1] ^ 1]),
    "reserved bit": lambda: _good()[:4] + bytes([_good()[4] | 0x08]) + _good()[5:],
    "reserved block": lambda: _good()[:4] + bytes([0x64]) + (GOOD_BYTES - 256).to_bytes(2, "little") + block(3, 4, b""),
    "huge block": lambda: raw_frame(block(1, BLOCK_BYTES + 1, b"a", last=True)),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_refused(fault: str) -> None:
    payload = FAULTS[fault]()
    for stated in (True, False):
        with pytest.raises(BadCompression):
            restore(payload, GOOD_BYTES, stated=stated)
        with pytest.raises(BadCompression):
            b"".join(expand((bytes([byte]) for byte in payload), plain_bytes=GOOD_BYTES, stated=stated))


class Stuttering:
    """The pieces of a source that fails before each of them, and goes on when it is asked again."""

    def __init__(self, payload: bytes) -> None:
        self.pieces = deque(bytes([byte]) for byte in payload)
        self.failing = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.failing = not self.failing
        if self.failing:
            raise TimeoutError
        if not self.pieces:
            raise StopIteration
        return self.pieces.popleft()


@pytest.mark.parametrize("known", [True, False])
def test_what_the_source_raises_loses_nothing(known: bool) -> None:
    _, payload = squeeze(TEXT, GOOD_BYTES if known else None)
    pieces = expand(Stuttering(payload), plain_bytes=GOOD_BYTES if known else None, stated=known)
    found, failures = b"", 0
    while True:
        try:
            found += next(pieces)
        except TimeoutError:
            failures += 1
        except StopIteration:
            break

    assert (found, failures) == (TEXT, len(payload) + 1)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_what_is_wrong_with_a_frame_stays_wrong(fault: str) -> None:
    pieces = expand([FAULTS[fault]()], plain_bytes=GOOD_BYTES)
    for _ in range(2):
        with pytest.raises(BadCompression):
            b"".join(pieces)


def test_every_truncation_is_refused() -> None:
    for known in (True, False):
        _, payload = squeeze(TEXT, GOOD_BYTES if known else None)
        for end in range(len(payload)):
            with pytest.raises(BadCompression):
                restore(payload[:end], GOOD_BYTES, stated=known)


def test_a_wrong_total_of_an_unstated_frame_is_refused() -> None:
    _, payload = squeeze(TEXT, None)
    for total in (0, 1, GOOD_BYTES - 1, GOOD_BYTES + 1, 1 << 62):
        with pytest.raises(BadCompression, match="plain bytes"):
            restore(payload, total, stated=False)


@pytest.mark.parametrize("window_log", [21, 24, 27])
def test_a_window_over_a_mebibyte_is_refused(window_log: int) -> None:
    plain = os.urandom(100) * 30_000
    shape = zstandard.ZstdCompressionParameters(window_log=window_log, write_checksum=True, write_content_size=True)
    made = zstandard.ZstdCompressor(compression_params=shape).compressobj(size=len(plain))
    payload = made.compress(plain) + made.flush()
    with pytest.raises(BadCompression):
        restore(payload, len(plain))


# --- frames of one block, in one piece --------------------------------------------------------------------------------


def agrees(frame: bytes, plain_bytes: int) -> bool:
    """Say whether the short way takes a frame; where it does, the long way must take it too, for the same bytes."""
    plain = expand_block(memoryview(frame), plain_bytes)
    if plain is not None:
        assert restore(frame, plain_bytes) == plain
    return plain is not None


@pytest.mark.parametrize("size", [LEAST_BYTES, 700, 5000, 65_791, 65_792, BLOCK_BYTES])
def test_a_frame_of_one_block_goes_the_short_way(size: int) -> None:
    plain = (TEXT * (size // len(TEXT) + 1))[:size]

    assert expand_block(squeeze(plain)[1], size) == plain
    assert expand_block(squeeze(plain)[1], size + 1) is None


def test_a_frame_of_under_256_bytes_goes_it_too() -> None:
    made = zstandard.ZstdCompressor(write_checksum=True).compress(b"ab" * 100)

    assert agrees(made, 200)


def test_the_short_way_takes_no_frame_of_more_blocks_or_of_another_kind() -> None:
    more = squeeze(TEXT * 200)[1]
    unstated = squeeze(TEXT, None)[1]
    raw = zstandard.ZstdCompressor(write_checksum=True).compress(os.urandom(300))
    zeros = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(300))
    run = zeros[:7] + block(1, 300, b"\0", last=True) + zeros[-4:]
    windowed = zstandard.ZstdCompressor(write_checksum=True).compressobj(size=GOOD_BYTES)
    flushed = windowed.compress(TEXT) + windowed.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + windowed.flush()

    for frame, plain_bytes in ((more, 200 * GOOD_BYTES), (raw, 300), (run, 300), (flushed, GOOD_BYTES)):
        assert restore(frame, plain_bytes)
        assert expand_block(frame, plain_bytes) is None
    assert expand_block(unstated, GOOD_BYTES) is None


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_the_short_way_takes_no_fault(fault: str) -> None:
    assert expand_block(FAULTS[fault](), GOOD_BYTES) is None


def test_the_short_way_takes_nothing_that_states_no_bytes() -> None:
    """The library gives nothing back for such a frame, and looks at no block of it."""
    frame = raw_frame(block(2, 4, b"junk", last=True), flags=0x24)

    assert expand_block(frame, 0) is None
    with pytest.raises(BadCompression):
        restore(frame, 0)


def test_whatever_bit_is_turned_over_both_ways_agree() -> None:
    frame = _good()
    taken = 0
    for bit in range(8 * len(frame)):
        wrong = bytearray(frame)
        wrong[bit // 8] ^= 1 << bit % 8
        if agrees(bytes(wrong), GOOD_BYTES):
            taken += 1
            assert expand_block(wrong, GOOD_BYTES) == TEXT  # the checksum is over the plain bytes

    assert taken <= 2  # older libraries overlook bits that say nothing


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=600), st.integers(1, 300), st.data())
def test_whatever_is_cut_out_and_put_in_both_ways_agree(unit: bytes, times: int, data: st.DataObject) -> None:
    plain = unit * times
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(plain)
    start = data.draw(st.integers(0, len(frame)))
    end = data.draw(st.integers(start, min(len(frame), start + 4)))
    put_in = data.draw(st.binary(max_size=4) | st.just(frame[start:end]))

    agrees(frame[:start] + put_in + frame[end:], len(plain))


def test_the_short_way_lends_each_context_to_one_thread_and_keeps_only_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_SPARE", [])
    plains = [os.urandom(64) * (20 + number) for number in range(12)]
    frames = [squeeze(plain)[1] for plain in plains]
    wrong: list[int] = []

    def expand_often(number: int) -> None:
        found = {expand_block(frames[number], len(plains[number])) for _ in range(200)}
        wrong.extend([number] * (found != {plains[number]}))

    threads = [threading.Thread(target=expand_often, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert 1 <= len(compression._SPARE) <= compression.MOST_SPARE + len(threads)


def test_a_context_is_used_again_unless_it_met_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_SPARE", [])
    frame = _good()
    for _ in range(3):
        assert expand_block(frame, GOOD_BYTES) == TEXT
    (kept,) = compression._SPARE

    assert expand_block(FAULTS["wrong checksum"](), GOOD_BYTES) is None
    assert compression._SPARE == []

    compression._SPARE.extend([kept, *(compression._decompressor() for _ in range(compression.MOST_SPARE))])
    assert expand_block(frame, GOOD_BYTES) == TEXT
    assert len(compression._SPARE) == compression.MOST_SPARE


# --- bombs ------------------------------------------------------------------------------------------------------------


def rle_bomb(plain_bytes: int) -> bytes:
    """Return a frame of 4 bytes for each 128 KiB of zeros (E4)."""
    blocks = plain_bytes // BLOCK_BYTES
    made = [block(1, BLOCK_BYTES, b"\0", last=number == blocks - 1) for number in range(blocks)]
    return raw_frame(*made, header=b"\x50")  # a window of 1 MiB


def claiming(plain_bytes: int) -> bytes:
    """Return a frame that states a length and has a few bytes."""
    header = b"\x50" + plain_bytes.to_bytes(8, "little")
    return raw_frame(block(0, 3, b"abc", last=True), flags=0xC4, header=header)


BOMBS: dict[str, tuple[Callable[[], bytes], int, bool]] = {
    "100 MiB of zeros declared as 1 MiB": (lambda: squeeze(bytes(100 * MIB))[1], MIB, True),
    "100 MiB of zeros, unstated, over 1 MiB": (lambda: squeeze(bytes(100 * MIB), None)[1], MIB, False),
    "1 GiB from 32 KiB, over 1 MiB": (lambda: rle_bomb(1 << 30), MIB, False),
    **{f"claims 2^{power}": (partial(claiming, 1 << power), 1 << power, True) for power in (30, 36, 40, 62)},
    **{f"declares 2^{power}": (lambda: claiming(3), 1 << power, True) for power in (30, 62)},
    "single segment of 1 GiB": (lambda: raw_frame(block(1, BLOCK_BYTES, b"\0"), flags=0xE4,
                                          header=(1 << 30).to_bytes(8, "little")), 1 << 30, True),
}  # fmt: skip


@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_a_bomb_is_refused_quickly_and_costs_no_memory(bomb: str) -> None:
    make, plain_bytes, stated = BOMBS[bomb]
    payload = make()
    chunks = [payload[start : start + 65_536] for start in range(0, len(payload), 65_536)]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    began = time.thread_time()
    with pytest.raises(BadCompression):
        deque(expand(chunks, plain_bytes=plain_bytes, stated=stated), maxlen=0)
    took = time.thread_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert took < 0.5
    assert peak < 2 * MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 16 << 10  # KiB on Linux


def test_a_bomb_within_its_limit_comes_out_piece_by_piece() -> None:
    tracemalloc.start()
    total = 0
    try:
        for plain in expand([rle_bomb(64 * MIB)], plain_bytes=64 * MIB, stated=False):
            assert len(plain) <= BLOCK_BYTES
            total += len(plain)
    except BadCompression:
        pass  # its checksum is zeros
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total == 64 * MIB
    assert peak < 2 * MIB


EMPTY = block(0, 0, b"")


def with_empty(first: int, then: int, last: int) -> bytes:
    """Return a frame of `b"one"` and `b"two"` with empty blocks before, between and after them, and a last one."""
    shape = zstandard.ZstdCompressionParameters(window_log=20, write_checksum=True, write_content_size=False)
    made = zstandard.ZstdCompressor(compression_params=shape).compressobj()
    one, two = (made.compress(part) + made.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in (b"one", b"two"))
    return one[:6] + EMPTY * first + one[6:] + EMPTY * then + two + EMPTY * last + made.flush()


@pytest.mark.parametrize("counts", [(0, 0, 0), (8, 0, 0), (0, 8, 0), (0, 0, 7), (8, 8, 7)])
def test_a_few_empty_blocks_are_nothing(counts: tuple[int, int, int]) -> None:
    assert restore(with_empty(*counts), 6, stated=False) == b"onetwo"


@pytest.mark.parametrize(("counts", "plain"), [((9, 0, 0), b""), ((0, 9, 0), b"one"), ((0, 0, 8), b"onetwo")])
def test_a_peer_that_sends_nothing_but_empty_blocks_keeps_nobody_waiting(
    counts: tuple[int, int, int], plain: bytes
) -> None:
    pulled = 0

    def source() -> Iterator[bytes]:
        nonlocal pulled
        for byte in with_empty(*(count and 20_000 for count in counts)):
            pulled += 1
            yield bytes([byte])

    with pytest.raises(BadCompression, match="empty"):
        restore(with_empty(*counts), 6, stated=False)
    pieces = expand(source(), plain_bytes=None, stated=False)
    found = b"".join(itertools.islice(pieces, len(plain) // 3))
    with pytest.raises(BadCompression, match="empty"):
        next(pieces)
    assert found == plain
    assert pulled < 100


# --- anything ---------------------------------------------------------------------------------------------------------


def test_mutated_frames_expand_to_what_was_declared_or_are_refused() -> None:
    _mutate(3000)


@pytest.mark.long
def test_a_hundred_thousand_mutated_frames() -> None:
    _mutate(100_000)


def _mutate(runs: int) -> None:
    from fuzz.mutate import mutate

    draw = Random(5)
    corpus = [_good(), squeeze(TEXT, None)[1], squeeze(os.urandom(3) * 50_000)[1], rle_bomb(MIB)]
    for data in itertools.islice((mutate(draw.choice(corpus), corpus, draw) for _ in itertools.count()), runs):
        for stated in (True, False):
            began = time.thread_time()
            try:
                found = sum(map(len, expand([data], plain_bytes=GOOD_BYTES, stated=stated)))
            except BadCompression:
                pass
            else:
                assert found == GOOD_BYTES
            assert time.thread_time() - began < 1.0


def test_the_library_would_have_trusted_the_frame() -> None:
    """Shows what `expand` is for: were this to change, the walk could go."""
    bomb = zstandard.ZstdCompressor().compress(bytes(4 * MIB))

    assert len(zstandard.ZstdDecompressor().decompress(bomb, max_output_size=1000)) == 4 * MIB
    assert compression.WINDOW_LOG == 20


# --- lulls ------------------------------------------------------------------------------------------------------------


def lulled(*parts: bytes) -> Iterator[bytes]:
    """Give what can be read only once, with a lull after each part."""
    for part in parts:
        yield part
        yield b""


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("first", [b"a line\n", os.urandom(JUDGE_BYTES - 1)], ids=["text", "noise"])
def test_a_source_that_waits_early_is_compressed_block_by_block(first: bytes, known: bool) -> None:
    parts = [first, TEXT, os.urandom(200_000), b"x"]
    whole = b"".join(parts)
    codec, payload = compress(lulled(*parts), len(whole) if known else None)
    blocks: list[bytes] = []
    ends: list[int] = []
    for piece in payload:
        if piece:
            blocks.append(bytes(piece))
        else:
            ends.append(len(blocks))
    pieces = expand(iter(blocks), plain_bytes=len(whole), stated=known)

    assert codec == ZSTD
    assert len(ends) == len(parts)
    assert b"".join(pieces) == whole
    for number, end in enumerate(ends):
        there = expand(iter(blocks[:end]), plain_bytes=len(whole), stated=known)
        found, wanted = b"", b"".join(parts[: number + 1])
        while len(found) < len(wanted):
            found += next(there)
        assert found == wanted


@pytest.mark.parametrize(("first", "codec"), [(os.urandom(JUDGE_BYTES), NONE), (TEXT * 3, ZSTD)])
def test_what_came_before_the_first_lull_is_judged_where_it_is_enough(first: bytes, codec: int) -> None:
    assert len(first) >= JUDGE_BYTES
    assert compress(lulled(first, TEXT), None)[0] == codec


def test_a_source_that_waits_is_not_asked_for_more_before_its_first_bytes_are_packed() -> None:
    def source() -> Iterator[bytes]:
        yield b"first"
        yield b""
        raise AssertionError("it was asked for more")

    _, payload = compress(source(), None)
    packed: list[bytes] = []
    while piece := next(payload):
        packed.append(bytes(piece))

    assert next(expand(iter(packed), plain_bytes=None, stated=False)) == b"first"


def test_a_lull_with_nothing_before_it_adds_nothing() -> None:
    _, twice = compress(iter([b"first", b"", b"", b""]), None)
    _, once = compress(iter([b"first", b""]), None)

    assert b"".join(twice) == b"".join(once)


def test_a_lull_after_what_was_stated_does_not_hide_that_more_follows() -> None:
    codec, payload = compress(lulled(TEXT * 3, b"more"), len(TEXT * 3))
    assert codec == ZSTD
    with pytest.raises(zstandard.ZstdError):
        b"".join(payload)


@pytest.mark.parametrize("size", [LEAST_BYTES, PROBE_BYTES, 3 * PROBE_BYTES])
def test_an_empty_piece_of_a_list_is_no_lull(size: int) -> None:
    for plain in ((TEXT * 200)[:size], os.urandom(size)):
        pieces = [b"", plain[:9], b"", b"", plain[9:], b""]
        codec, payload = compress(pieces, size)
        found = list(payload)

        assert all(found)
        assert b"".join(found) == squeeze(plain)[1]
        assert codec == squeeze(plain)[0]
