"""Limits: frozen, checked at birth, and each with a reason."""

from __future__ import annotations

import ast
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cases import case
from netstructer import Limits, limits
from netstructer.errors import Misuse
from netstructer.protocol.parameters import Parameters

FIELDS = [field.name for field in dataclasses.fields(Limits)]
NUMBERS = [name for name in FIELDS if name != "spool_directory"]


def test_the_profiles_are_limits_and_the_default_is_the_default() -> None:
    assert Limits() == Limits.DEFAULT
    assert Limits.SMALL.value_bytes < Limits.DEFAULT.value_bytes < Limits.BULK.value_bytes
    assert len({Limits.DEFAULT, Limits.SMALL, Limits.BULK}) == 3


@pytest.mark.parametrize("wrong", [0, -1, True, None, "5", float("nan")])
def test_a_limit_is_a_positive_number(wrong: Any) -> None:
    for name in NUMBERS:
        with case(name), pytest.raises(Misuse, match=name):
            Limits(**{name: wrong})


def test_a_count_is_whole() -> None:
    for name in FIELDS:
        count = getattr(Limits.DEFAULT, name)
        if isinstance(count, int):
            with case(name), pytest.raises(Misuse, match=name):
                Limits(**{name: float(count)})


@pytest.mark.parametrize("wrong", ["", b"/tmp", 5, True, Path("/tmp")])
def test_a_directory_is_a_path_as_text_or_none(wrong: Any) -> None:
    with pytest.raises(Misuse, match="spool_directory"):
        Limits(spool_directory=wrong)

    assert Limits(spool_directory="here").spool_directory == "here"
    assert Limits.DEFAULT.spool_directory is None


def test_what_parameters_do_not_state_is_of_the_base() -> None:
    base = Limits(spool_directory="here", spool_link_bytes=5)
    peer = Parameters.of(Limits.SMALL, 0).limits(base)

    assert (peer.spool_directory, peer.spool_link_bytes) == ("here", 5)
    assert peer.streams == Limits.SMALL.streams


@pytest.mark.parametrize("name", sorted(limits._BOUNDS))
def test_a_limit_stays_where_the_protocol_can_state_it(name: str) -> None:
    low, high = limits._BOUNDS[name]

    for edge in (low, high):
        # A peer is dead later than it is pinged: the edge of the one may need the edge of the other.
        beside = {"ping_seconds": {"dead_seconds": 86400.0}, "dead_seconds": {"ping_seconds": 0.01}}.get(name, {})
        if edge == beside.get("dead_seconds"):
            continue
        assert getattr(Limits(**{name: edge, **beside}), name) == edge
    for beyond in (low / 2 if isinstance(low, float) else low - 1, high + 1):
        with pytest.raises(Misuse, match=name):
            Limits(**{name: beyond})


def test_a_file_of_any_ordinary_size_is_one_blob_and_bounded_by_the_spools_instead() -> None:
    assert Limits.DEFAULT.message_bytes == 1 << 40
    assert Limits.SMALL.message_bytes == Limits.SMALL.value_bytes == 16 << 20
    assert Limits.DEFAULT.spool_link_bytes < Limits.DEFAULT.spool_process_bytes < Limits.DEFAULT.message_bytes


def test_a_blob_that_nobody_reads_leaves_a_stream() -> None:
    """Three quarters of the streams, rounded down, and one at least, are for blobs."""
    assert [max(1, streams * 3 // 4) for streams in (2, 3, 4, 8, 64)] == [1, 2, 3, 6, 48]
    with pytest.raises(Misuse, match="streams"):
        Limits(streams=1)


def test_limits_are_frozen_and_given_by_name() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits.DEFAULT.body_bytes = 5  # type: ignore[misc]  # that is the test
    with pytest.raises(TypeError):
        Limits(5)  # type: ignore[misc]  # as above
    with pytest.raises(TypeError):
        Limits(colour=5)  # type: ignore[call-arg]  # as above

    assert hash(Limits()) == hash(Limits.DEFAULT)
    assert dataclasses.replace(Limits.SMALL, streams=9).streams == 9


def test_every_limit_has_a_unit_in_its_name_or_is_a_count_and_states_its_reason() -> None:
    tree = ast.parse(Path(limits.__file__ or "").read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    reasons = {}
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            reasons[node.target.id] = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)

    assert [name for name in FIELDS if not reasons.get(name)] == []
