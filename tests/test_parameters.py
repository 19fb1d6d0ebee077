"""The sealed parameters: what is packed comes back, and what makes no sense is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.errors import IllegalFrame, Misuse, VersionMismatch
from netstructer.limits import Limits
from netstructer.protocol import parameters
from netstructer.protocol.parameters import COMPRESSION, PADDING, PARAMETERS_BYTES, RESUME, Parameters

INSTANCE = b"D" * 16
KNOWN = bytes.fromhex("010100070001000000000000400000000080000000003a980000afc800000000") + bytes(32)
"""The client's parameters of the known answers: everything that may be zero is."""

STATED = {
    "body_bytes": (4, 4),
    "message_bytes": (8, 8),
    "credit_bytes": (16, 4),
    "ping_milliseconds": (20, 4),
    "dead_milliseconds": (24, 4),
    "value_items": (28, 4),
    "value_bytes": (48, 8),
    "value_depth": (56, 2),
    "unseeded_members": (58, 2),
    "int_width": (60, 1),
    "decimal_digits_width": (61, 1),
    "decimal_exponent_width": (62, 1),
    "streams_width": (63, 1),
}
"""Where each figure stands, and on how many bytes."""


def test_the_layout() -> None:
    stated = _server()
    packed = stated.pack()

    assert len(packed) == PARAMETERS_BYTES == 64
    assert packed[:4] == bytes([1, 1, 0, COMPRESSION | RESUME | PADDING])
    assert packed[32:48] == INSTANCE
    for name, (at, size) in STATED.items():
        assert int.from_bytes(packed[at : at + size], "big") == getattr(stated, name) > 0, name
    assert sum(size for _, size in STATED.values()) + 4 + 16 == 64


def test_the_known_answer_states_the_default_figures_of_its_time() -> None:
    stated = Parameters.unpack(KNOWN, of_server=False)

    assert stated.pack() == KNOWN
    assert stated.limits() == replace(Limits.DEFAULT, body_bytes=1 << 16, message_bytes=1 << 30)


@pytest.mark.parametrize("limits", [Limits.DEFAULT, Limits.SMALL, Limits.BULK])
def test_the_profiles_cross_whole(limits: Limits) -> None:
    stated = Parameters.of(limits, RESUME, INSTANCE)
    came = Parameters.unpack(stated.pack(), of_server=True)

    assert came == stated
    assert came.limits(limits) == limits


def test_what_is_not_stated_is_taken_from_the_base() -> None:
    base = replace(Limits.SMALL, half_open=7, ack_seconds=0.5)
    limits = Parameters.of(Limits.BULK, 0).limits(base)

    assert (limits.half_open, limits.ack_seconds) == (7, 0.5)
    assert limits.value_bytes == Limits.BULK.value_bytes


def test_peers_that_state_the_same_share_one_object() -> None:
    first, second, other = (
        Parameters.unpack(Parameters.of(limits, RESUME, INSTANCE).pack(), of_server=True).limits()
        for limits in (Limits.BULK, Limits.BULK, Limits.SMALL)
    )

    assert first is second
    assert other.value_bytes == Limits.SMALL.value_bytes


def test_only_so_many_are_kept() -> None:
    stated = [Parameters.of(replace(Limits.SMALL, credit_bytes=65_536 + number), 0) for number in range(100)]
    for number in range(100):
        assert stated[number].limits().credit_bytes == 65_536 + number

    assert parameters._limits_of.cache_info().currsize <= parameters.KEPT_LIMITS


@pytest.mark.parametrize(
    ("field", "figure", "stated"),
    [
        ("streams", 2, 2),
        ("streams", 63, 32),
        ("streams", 1 << 16, 1 << 16),
        ("int_bits", 64, 64),
        ("int_bits", 100_000, 65_536),
        ("decimal_digits", 32, 32),
        ("decimal_exponent", (1 << 30) - 1, 1 << 29),
        ("ping_seconds", 0.0104, 0.01),
    ],
)
def test_a_rounded_figure_is_never_above_the_limit(field: str, figure: Any, stated: Any) -> None:
    limits = replace(Limits.DEFAULT, **{field: figure})
    came = Parameters.unpack(Parameters.of(limits, 0).pack(), of_server=False).limits()

    assert getattr(came, field) == stated


@pytest.mark.parametrize(
    "name", [name for name in STATED if getattr(Parameters.unpack(KNOWN, of_server=False), name) == 0]
)
def test_zero_stands_for_the_default(name: str) -> None:
    at, size = STATED[name]
    packed = bytearray(_server(Limits.SMALL).pack())
    packed[at : at + size] = bytes(size)
    limits = Parameters.unpack(bytes(packed), of_server=True).limits()
    field = {
        "int_width": "int_bits",
        "decimal_digits_width": "decimal_digits",
        "decimal_exponent_width": "decimal_exponent",
        "streams_width": "streams",
    }.get(name, name)

    assert getattr(limits, field) == getattr(Limits.DEFAULT, field) != getattr(Limits.SMALL, field)


@pytest.mark.parametrize(
    "name", ["body_bytes", "message_bytes", "credit_bytes", "ping_milliseconds", "dead_milliseconds"]
)
def test_a_zero_that_may_not_be_is_refused(name: str) -> None:
    at, size = STATED[name]
    with pytest.raises(IllegalFrame, match="impossible limit"):
        Parameters.unpack(_with(at, bytes(size)), of_server=True)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("body_bytes", 1023),
        ("body_bytes", (1 << 20) + 1),
        ("message_bytes", 1023),
        ("message_bytes", (1 << 62) + 1),
        ("message_bytes", (1 << 64) - 1),
        ("credit_bytes", 65_535),
        ("ping_milliseconds", 9),
        ("ping_milliseconds", 86_400_001),
        ("dead_milliseconds", 29),
        ("value_items", 15),
        ("value_bytes", 1023),
        ("value_bytes", (1 << 64) - 1),
        ("value_depth", 1001),
        ("int_width", 6),
        ("int_width", 32),
        ("int_width", 255),
        ("decimal_digits_width", 5),
        ("decimal_digits_width", 255),
        ("decimal_exponent_width", 5),
        ("decimal_exponent_width", 32),
        ("streams_width", 18),
        ("streams_width", 255),
    ],
)
def test_an_impossible_figure_is_refused(name: str, figure: int) -> None:
    at, size = STATED[name]
    with pytest.raises(IllegalFrame, match="impossible limit"):
        Parameters.unpack(_with(at, figure.to_bytes(size, "big")), of_server=True)


@pytest.mark.parametrize(("low", "high"), [(2, 2), (2, 255), (0, 0), (3, 1), (255, 0)])
def test_another_version_is_a_mismatch(low: int, high: int) -> None:
    with pytest.raises(VersionMismatch, match=f"{low} to {high}"):
        Parameters.unpack(_with(0, bytes([low, high])), of_server=True)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 2), (0, 255)])
def test_a_range_with_version_1_in_it_is_taken(low: int, high: int) -> None:
    stated = Parameters.unpack(_with(0, bytes([low, high])), of_server=True)

    assert (stated.min_version, stated.max_version) == (low, high)


def test_features_that_are_not_known_are_kept_and_mean_nothing() -> None:
    packed = _with(2, b"\xff\xff")

    assert Parameters.unpack(packed, of_server=True).features == 0xFFFF
    assert Parameters.unpack(packed, of_server=True).pack() == packed


def test_a_client_has_no_instance_and_a_server_has_one() -> None:
    with pytest.raises(IllegalFrame, match="instance"):
        Parameters.unpack(_server().pack(), of_server=False)
    with pytest.raises(IllegalFrame, match="instance"):
        Parameters.unpack(KNOWN, of_server=True)
    with pytest.raises(IllegalFrame, match="instance"):
        Parameters.unpack(_with(32, bytes(16)), of_server=True)


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_another_length_is_refused(size: int) -> None:
    with pytest.raises(IllegalFrame, match=f"found {size}"):
        Parameters.unpack((KNOWN * 2)[:size], of_server=False)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_an_instance_of_another_length_is_misuse(size: int) -> None:
    with pytest.raises(Misuse, match=f"found {size}"):
        Parameters.of(Limits.DEFAULT, 0, bytes(size))


def test_parameters_are_frozen() -> None:
    stated = _server()
    for field in fields(stated):
        with pytest.raises(AttributeError):
            setattr(stated, field.name, 1)


@given(packed=st.binary(min_size=64, max_size=64), of_server=st.booleans())
def test_any_64_bytes_are_refused_or_come_back(packed: bytes, of_server: bool) -> None:
    try:
        stated = Parameters.unpack(packed, of_server=of_server)
    except (IllegalFrame, VersionMismatch):
        return

    assert stated.pack() == packed


@given(at=st.integers(0, 63), byte=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_comes_back(at: int, byte: int) -> None:
    packed = _with(at, bytes([byte]))
    try:
        stated = Parameters.unpack(packed, of_server=True)
    except (IllegalFrame, VersionMismatch):
        return

    assert stated.pack() == packed
    assert isinstance(stated.limits(), Limits)


def _server(limits: Limits = Limits.DEFAULT) -> Parameters:
    return Parameters.of(limits, COMPRESSION | RESUME | PADDING, INSTANCE)


def _with(at: int, changed: bytes) -> bytes:
    packed = bytearray(_server().pack())
    packed[at : at + len(changed)] = changed
    return bytes(packed)
