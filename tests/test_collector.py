"""The collector while a large value is decoded: it looks less often, and afterwards as often as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from netstructer.codec.collector import LARGE_BYTES, YOUNG, hurry, slow_down
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue

LARGE = b"".join(encode([{"a": [place], place: (place,)} for place in range(20_000)]).buffers)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def looks(data: bytes) -> int:
    before = sum(generation["collections"] for generation in gc.get_stats())
    decode(data)
    return sum(generation["collections"] for generation in gc.get_stats()) - before


def test_it_looks_at_a_large_value_a_few_times_and_not_at_each_step() -> None:
    assert len(LARGE) > LARGE_BYTES
    assert looks(LARGE) <= 20_000 * 3 // YOUNG + 2
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.isenabled()


def test_it_is_as_before_whatever_comes_of_it() -> None:
    def failing() -> Iterator[bytes]:
        assert gc.get_threshold() == (YOUNG, 10, 10)
        yield LARGE[:1000]
        raise OSError("the source is gone")

    with pytest.raises(BadValue):
        decode(LARGE[:-1])
    assert gc.get_threshold() == (700, 10, 10)
    with pytest.raises(OSError, match="gone"):
        decode(failing())
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("threshold", [(0, 10, 10), (YOUNG, 5, 5), (YOUNG + 1, 10, 10)])
def test_it_is_left_alone_where_it_is_stopped_or_slow(threshold: tuple[int, int, int]) -> None:
    gc.set_threshold(*threshold)

    assert slow_down() is None
    assert gc.get_threshold() == threshold


def test_what_somebody_else_says_meanwhile_stays() -> None:
    before = slow_down()
    assert before == (700, 10, 10)
    gc.set_threshold(900, 8, 8)
    hurry(before)

    assert gc.get_threshold() == (900, 8, 8)


def test_the_first_to_end_sets_it_back_and_the_second_leaves_it() -> None:
    first = slow_down()
    second = slow_down()
    assert first is not None
    hurry(first)

    assert second is None
    assert gc.get_threshold() == (700, 10, 10)
