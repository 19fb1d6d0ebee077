"""Descriptors: a server's limit is raised as far as it needs, never lowered, and its shortage is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from loopback import KEY
from netstructer import Limits, Server, descriptors
from netstructer.descriptors import allow, needed

resource = pytest.importorskip("resource")
UNLIMITED = resource.RLIM_INFINITY


class FakeResource:
    """The limits of a process that is not this one."""

    RLIMIT_NOFILE = resource.RLIMIT_NOFILE
    RLIM_INFINITY = UNLIMITED

    def __init__(self, soft: int, hard: int, *, most: int | None = None) -> None:
        self.limits = (soft, hard)
        self.sets: list[tuple[int, int]] = []
        self._most = most

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self.limits

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        if self._most is not None and limits[0] > self._most:
            raise ValueError("not allowed to raise maximum limit")
        self.sets.append(limits)
        self.limits = limits


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "netstructer"):
        yield caplog


def test_links_and_strangers_fit_into_the_share_that_is_theirs() -> None:
    for links in (1, 1000, 10_000):
        assert needed(links, 256) * 0.9 >= links + 256


@pytest.mark.parametrize(
    ("soft", "hard", "sets", "enough"),
    [
        (1024, 4096, [(needed(2000, 256), 4096)], True),
        (1024, UNLIMITED, [(needed(2000, 256), UNLIMITED)], True),
        (1024, needed(2000, 256), [(needed(2000, 256), needed(2000, 256))], True),
        (1024, needed(2000, 256) - 1, [(needed(2000, 256) - 1, needed(2000, 256) - 1)], False),
        (1024, 1024, [], False),
        (needed(2000, 256), 1 << 20, [], True),
        (1 << 19, 1 << 20, [], True),
        (UNLIMITED, UNLIMITED, [], True),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    sets: list[tuple[int, int]],
    enough: bool,
) -> None:
    fake = FakeResource(soft, hard)
    monkeypatch.setattr(descriptors, "resource", fake)

    assert allow(2000, 256) is enough
    assert fake.sets == sets
    assert ("raised" in log.text) == bool(sets)
    assert ("max_links=2000" in log.text) == (not enough)


def test_a_limit_that_the_system_does_not_give_is_a_warning_with_what_is_possible(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    fake = FakeResource(1024, UNLIMITED, most=2048)
    monkeypatch.setattr(descriptors, "resource", fake)

    assert not allow(10_000, 256)
    assert fake.sets == []
    assert f"this process may have 1024, enough for some {int(1024 * 0.9) - 256 - 32} links" in log.text


def test_a_system_without_such_limits_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "resource", None)

    assert allow(1 << 30, 256)


def test_a_server_raises_its_limit_when_it_starts(log: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered, half_open = 512, 16
    links = 600
    if hard != UNLIMITED and hard < needed(links, half_open):
        pytest.skip("this process may not have enough descriptors")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))
        with Server(key=KEY, max_links=links, limits=Limits(half_open=half_open, half_open_early=8)):
            found = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert found == (needed(links, half_open), hard)
    assert f"from {lowered} to {needed(links, half_open)}" in log.text
