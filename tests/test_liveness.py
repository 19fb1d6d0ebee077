"""Liveness: a ping after silence, the end after more of it, on a clock that stands still until it is told."""

from __future__ import annotations

import pytest

from netstructer.errors import IllegalFrame, Stalled
from netstructer.limits import Limits
from netstructer.protocol.liveness import Liveness

LIMITS = Limits(ping_seconds=10.0, dead_seconds=30.0)


class Chance:
    """Draws one byte again and again, so that jitter is what a test wants."""

    def __init__(self, byte: int) -> None:
        self.byte = byte

    def __call__(self, size: int) -> bytes:
        return bytes([self.byte]) * size


@pytest.mark.parametrize(("byte", "after"), [(0, 9.0), (255, 11.0)])
def test_a_ping_is_due_after_silence_within_ten_percent(byte: int, after: float) -> None:
    liveness = Liveness(LIMITS, Chance(byte), 100.0)

    assert liveness.due() == pytest.approx(100 + after)
    assert liveness.tick(100 + after - 0.001) is None
    assert liveness.tick(100 + after + 0.001) == bytes([byte]) * 8
    assert liveness.due() == 130.0


def test_one_ping_at_a_time() -> None:
    liveness = Liveness(LIMITS, Chance(7), 0.0)
    assert liveness.ping(0.0) == bytes([7]) * 8
    assert liveness.ping(0.0) is None
    assert liveness.tick(20.0) is None
    liveness.ponged(memoryview(bytes([7]) * 8), 20.5)

    assert (liveness.pongs, liveness.rtt_seconds) == (1, 20.5)
    assert liveness.ping(21.0) is not None


def test_a_sign_of_life_puts_everything_off() -> None:
    liveness = Liveness(LIMITS, Chance(0), 0.0)
    liveness.heard = 25.0

    assert liveness.tick(30.0) is None
    assert liveness.tick(34.1) is not None


def test_silence_for_long_is_the_end() -> None:
    liveness = Liveness(LIMITS, Chance(0), 0.0)
    assert liveness.tick(29.99) is not None
    with pytest.raises(Stalled, match=r"30\.0 seconds"):
        liveness.tick(30.0)


@pytest.mark.parametrize("body", [b"", bytes(7), bytes(9), bytes(8), b"1234567\0"])
def test_a_pong_that_answers_no_ping_is_refused(body: bytes) -> None:
    for asked in (False, True):
        liveness = Liveness(LIMITS, Chance(9), 0.0)
        if asked:
            liveness.ping(0.0)
        with pytest.raises(IllegalFrame):
            liveness.ponged(memoryview(body), 0.0)


def test_a_pong_comes_once() -> None:
    liveness = Liveness(LIMITS, Chance(9), 0.0)
    liveness.ping(0.0)
    liveness.ponged(memoryview(bytes([9]) * 8), 0.0)
    with pytest.raises(IllegalFrame, match="no ping"):
        liveness.ponged(memoryview(bytes([9]) * 8), 0.0)


def test_ten_pings_a_second_and_no_more() -> None:
    liveness = Liveness(LIMITS, Chance(0), 0.0)
    for _ in range(10):
        assert liveness.pinged(memoryview(b"abcdefgh"), 0.0) == b"abcdefgh"
    with pytest.raises(IllegalFrame, match="10 pings a second"):
        liveness.pinged(memoryview(bytes(8)), 0.05)


def test_pings_at_a_steady_pace_are_answered_for_ever() -> None:
    liveness = Liveness(LIMITS, Chance(0), 0.0)
    for tenth in range(1000):
        liveness.pinged(memoryview(bytes(8)), tenth / 10)
    for _ in range(10):
        liveness.pinged(memoryview(bytes(8)), 1000.0)


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_ping_has_eight_bytes(size: int) -> None:
    with pytest.raises(IllegalFrame, match="8 bytes"):
        Liveness(LIMITS, Chance(0), 0.0).pinged(memoryview(bytes(size)), 0.0)
