"""Two ends that do not agree: each case ends in its one named error at both of them, within the handshake's deadline.

The client raises it; the server names it in its log, once, and counts it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopback import PATIENCE_SECONDS, Task, eventually, raw_client, read_to_end
from netstructer import Identity, Key, Limits, Link, Server, dial, door
from netstructer.errors import (
    AnswerRefused,
    ConnectionCut,
    IdentityChanged,
    KeyRefused,
    NetstructerError,
    UnknownServer,
    VersionMismatch,
)
from netstructer.protocol.handshake import HELLO_BYTES, VERSION_NOT_SPOKEN, refusal, start_client
from netstructer.protocol.parameters import Parameters

KEY, OTHER = Key.generate(), Key.generate()
IDENTITY, IMPOSTOR = Identity.generate(), Identity.generate()
QUICK = Limits(hello_seconds=5.0, open_seconds=5.0)
TEN_YEARS = 10 * 365.25 * 86400


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Fail the test that takes longer than a handshake may."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < QUICK.hello_seconds


def refused(server: Server, caplog: pytest.LogCaptureFixture, theirs: type[NetstructerError]) -> None:
    """Expect that the server has refused one, by that name."""
    eventually(lambda: server.stats.handshakes_refused == 1 and "no link from" in caplog.text)

    assert f"< no link from 127.0.0.1: {theirs.__name__}" in caplog.text
    assert caplog.text.count("no link from") == 1
    assert server.stats.links_accepted == 0
    assert server.count() == 0


def carries(server: Server, **options: Any) -> bool:
    """Say whether a link opens and carries a value each way."""
    with (
        Link(server.address, **{"key": KEY, **options}) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        near.send("there")
        far.send(["back", far.recv(timeout=PATIENCE_SECONDS)])
        return bool(near.recv(timeout=PATIENCE_SECONDS) == ["back", "there"])


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [OTHER, {"ann": OTHER}, {"ann": OTHER, "bob": Key.generate()}])
def test_a_wrong_key(keys: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Server(key=keys, limits=QUICK) as server:
        with pytest.raises(KeyRefused):
            Link(server.address, key=KEY)

        refused(server, caplog, KeyRefused)
        assert server.stats.key_refused == 1
    for secret in (KEY, OTHER):
        assert secret.reveal() not in caplog.text


def test_a_retired_key(caplog: pytest.LogCaptureFixture) -> None:
    with Server(key={"ann": KEY}, limits=QUICK) as server:
        server.keys.add(OTHER, user="ann")
        server.keys.retire(KEY)
        with pytest.raises(KeyRefused):
            Link(server.address, key=KEY)

        refused(server, caplog, KeyRefused)
        assert carries(server, key=OTHER)


def test_a_key_whose_end_the_clock_has_reached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wall = _Skewed(0.0)
    monkeypatch.setattr("netstructer.serving.time", wall)
    with Server(key={"ann": KEY}, limits=QUICK) as server:
        server.keys.retire(user="ann", after=3600)
        assert carries(server)
        wall.skew = 3601.0
        with pytest.raises(KeyRefused):
            Link(server.address, key=KEY)
        eventually(lambda: "KeyRefused" in caplog.text)
        wall.skew = 0.0  # and set right again

        assert carries(server)


# --- identities -------------------------------------------------------------------------------------------------------


def test_a_wrong_identity(caplog: pytest.LogCaptureFixture) -> None:
    with Server(key=KEY, identity=IMPOSTOR, limits=QUICK) as server:
        with pytest.raises(IdentityChanged) as changed:
            Link(server.address, key=KEY, server_identity=IDENTITY.fingerprint)

        refused(server, caplog, AnswerRefused)
        assert (changed.value.expected, changed.value.found) == (IDENTITY.fingerprint, IMPOSTOR.fingerprint)


def test_a_server_without_the_identity_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with Server(key=KEY, limits=QUICK) as server:
        with pytest.raises(VersionMismatch, match="the proof of its identity"):
            Link(server.address, key=KEY, server_identity=IDENTITY.fingerprint)

        refused(server, caplog, VersionMismatch)


def test_a_server_that_was_set_up_anew_after_a_first_use(caplog: pytest.LogCaptureFixture) -> None:
    with Server(key=KEY, identity=IDENTITY, limits=QUICK) as server:
        assert carries(server, server_identity="tofu")
        assert carries(server, server_identity="known")
        place = server.address
    with Server(place, key=KEY, identity=IMPOSTOR, limits=QUICK) as server:
        for asked in (None, "known", "tofu"):
            with pytest.raises(IdentityChanged, match="known_servers"):
                Link(place, key=KEY, server_identity=asked)
        with pytest.raises(IdentityChanged):
            Link(place, key=KEY, server_identity=IDENTITY)
        eventually(lambda: server.stats.handshakes_refused == 4)
    with Server(place, key=KEY, limits=QUICK) as server, pytest.raises(VersionMismatch):
        Link(place, key=KEY)  # nothing weaker is tried
    with Server(place, key=KEY, identity=IDENTITY, limits=QUICK) as server:
        assert carries(server)
    assert "AnswerRefused" in caplog.text


def test_a_server_that_must_be_known_and_is_not_is_not_even_dialled() -> None:
    with Server(key=KEY, identity=IDENTITY, limits=QUICK) as server:
        with pytest.raises(UnknownServer):
            Link(server.address, key=KEY, server_identity="known")

        assert carries(server)
        assert server.stats.handshakes_refused == 0


def test_both_ends_know_which_server_it_is() -> None:
    with Server(key=KEY, identity=IDENTITY, limits=QUICK) as server:
        for asked, proved in (
            (IDENTITY.fingerprint, IDENTITY.fingerprint),
            (IDENTITY, IDENTITY.fingerprint),
            (None, None),
        ):
            with Link(server.address, key=KEY, server_identity=asked) as near, server.accept(timeout=5) as far:
                assert near.server_identity == far.server_identity == proved
        assert server.identity == IDENTITY


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value"), [(4, 2), (4, 0), (5, 2), (5, 3), (5, 0)], ids=["v2", "v0", "s2", "s3", "s0"]
)
def test_a_version_or_suite_that_the_server_does_not_speak(
    place: int, value: int, caplog: pytest.LogCaptureFixture
) -> None:
    hello = bytearray(start_client(KEY, Parameters.of(Limits.DEFAULT, 0))[0])
    hello[place] = value
    with Server(key=KEY, limits=QUICK) as server:
        with raw_client(server.address, bytes(hello)) as transport:
            assert read_to_end(transport) == refusal(VERSION_NOT_SPOKEN)

        refused(server, caplog, VersionMismatch)


def test_a_version_that_the_client_does_not_speak() -> None:
    from loopback import raw_server

    def answer(transport: Any) -> None:
        read = b""
        while len(read) < HELLO_BYTES:
            read += transport.recv(HELLO_BYTES)
        transport.sendall(b"NSTR\2\0\0\1")

    with raw_server(answer) as address, pytest.raises(VersionMismatch, match="answers in version 2"):
        Link(address, key=KEY)


# --- clocks -----------------------------------------------------------------------------------------------------------


class _Skewed:
    """The module `time`, its wall clock wrong by `skew` seconds."""

    def __init__(self, skew: float) -> None:
        self.skew = skew

    def time(self) -> float:
        return time.time() + self.skew

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.mark.parametrize("skew", [TEN_YEARS, -TEN_YEARS])
@pytest.mark.parametrize("end", [dial, door], ids=["client", "server"])
@pytest.mark.parametrize("asked", [None, "tofu"])
def test_a_clock_that_is_ten_years_off_is_no_matter(
    end: Any, skew: float, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end, "time", _Skewed(skew))
    with Server(key=KEY, identity=IDENTITY, limits=QUICK) as server:
        assert carries(server, server_identity=asked)
        assert carries(server, server_identity=asked)


# --- strangers --------------------------------------------------------------------------------------------------------


def _hello(key: Key = KEY, suite: int = 1) -> bytes:
    return start_client(key, Parameters.of(Limits.DEFAULT, 0), suite=suite)[0]


@pytest.mark.parametrize(
    "made",
    [
        lambda: b"",
        lambda: b"GET / HTTP/1.1\r\n\r\n" + bytes(128),
        lambda: bytes(HELLO_BYTES),
        lambda: _hello(OTHER),
        lambda: _hello(suite=2),
        lambda: _hello()[:4] + b"\2" + _hello()[5:],
        lambda: _hello()[:6] + b"\1\0" + _hello()[8:],
        lambda: _hello()[:-1] + b"\0",
        lambda: _hello()[:64],
    ],
    ids=["nothing", "http", "zeros", "another key", "suite 2", "version 2", "spare bits", "a changed tag", "half"],
)
def test_a_server_in_stealth_says_not_one_byte_to_strangers(made: Callable[[], bytes]) -> None:
    with Server(key=KEY, stealth=True, limits=Limits(hello_seconds=0.2, open_seconds=0.4)) as server:
        with raw_client(server.address) as transport:
            with contextlib.suppress(ConnectionError):
                transport.sendall(made())

            assert read_to_end(transport) == b""
        assert carries(server)


def test_a_server_in_stealth_that_goes_says_nothing_either() -> None:
    with (
        Server(key=KEY, stealth=True, limits=QUICK) as server,
        raw_client(server.address, _hello()[:64]) as transport,
    ):
        eventually(lambda: server._door is not None and server._door._visits)
        closing = Task(server.close)
        assert read_to_end(transport) == b""
        closing.result()


def test_who_is_refused_by_a_server_in_stealth_sees_a_cut(caplog: pytest.LogCaptureFixture) -> None:
    with Server(key=KEY, stealth=True, limits=QUICK) as server:
        with pytest.raises(ConnectionCut, match="does not know the key"):
            Link(server.address, key=OTHER)

        refused(server, caplog, KeyRefused)
