"""Refusals take as long wherever the fault is: that secrets are compared in constant time is test_constant_time.py."""

from __future__ import annotations

import hmac

import pytest

from netstructer.errors import BadSeal, KeyRefused
from timing import GROUPS, flipped, medians, refusing, spread

MOST_SPREAD = 0.02


@pytest.mark.long
@pytest.mark.parametrize("name", GROUPS)
def test_a_refusal_takes_as_long_wherever_the_fault_is(name: str) -> None:
    make, rounds = GROUPS[name]
    spreads = [spread(medians(make(), rounds=rounds)) for _ in range(3)]

    assert min(spreads) < MOST_SPREAD


@pytest.mark.long
def test_sabotage_a_comparison_byte_by_byte_is_seen() -> None:
    key, body = b"k" * 32, b"b" * 64
    tag = hmac.digest(key, body, "sha256")

    def compare(found: bytes) -> bool:
        return all(one == other for one, other in zip(hmac.digest(key, body, "sha256"), found, strict=True))

    trials = {str(place): refusing(compare, flipped(tag, place)) for place in (0, 15, 31)}

    assert spread(medians(trials, rounds=5000)) > 5 * MOST_SPREAD


@pytest.mark.parametrize(
    ("name", "error"), [(name, KeyRefused if name == "a hello" else BadSeal) for name in GROUPS], ids=list(GROUPS)
)
def test_what_is_measured_is_that_refusal_and_none_before_it(name: str, error: type[Exception]) -> None:
    make, _ = GROUPS[name]

    assert {type(call(wrong)) for call, wrong in make().values()} == {error}
