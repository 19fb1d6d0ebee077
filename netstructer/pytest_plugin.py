"""Fixtures for pytest, which finds them once netstructer is installed.  Floor: FAÇADES.

Law: who uses none of them pays for none: nothing of the package is imported here before a fixture is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from netstructer.keys import Key
    from netstructer.link import Link
    from netstructer.reception import Handler
    from netstructer.server import Server
    from netstructer.testing.clock import FakeClock
    from netstructer.testing.faults import Plan
    from netstructer.testing.links import LinkPair
    from netstructer.testing.proxy import ChaosProxy

__all__ = [
    "netstructer_chaos",
    "netstructer_clock",
    "netstructer_home",
    "netstructer_key",
    "netstructer_link",
    "netstructer_link_pair",
    "netstructer_server",
]

HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
UNSET = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NETSTRUCTER_KEY", "NETSTRUCTER_KEY_FILE")


@pytest.fixture
def netstructer_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no key from the environment: no key, identity or known server of whoever runs the tests."""
    home = tmp_path / "netstructer-home"
    home.mkdir()
    for name in HOMES:
        monkeypatch.setenv(name, str(home))
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def netstructer_key() -> Key:
    """A fresh key, the same for everything in one test."""
    from netstructer.keys import Key

    return Key.generate()


@pytest.fixture
def netstructer_clock() -> FakeClock:
    """A clock that stands until it is told to go on."""
    from netstructer.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def netstructer_server(netstructer_home: Path, netstructer_key: Key) -> Iterator[Callable[..., Server]]:
    """Start servers on free ports of this host, under the test's key: `server = netstructer_server(handler)`.

    The options are those of `Server`.  Each is closed behind the test.
    """
    from netstructer.server import Server

    with contextlib.ExitStack() as stack:

        def start(handler: Handler | None = None, **options: Any) -> Server:
            return stack.enter_context(Server(handler=handler, **{"key": netstructer_key, **options}))

        yield start


@pytest.fixture
def netstructer_chaos() -> Iterator[Callable[..., ChaosProxy]]:
    """Put a proxy before a server: `proxy = netstructer_chaos(server.address, Cuts(mean_bytes=20_000), seed=7)`.

    Each is closed behind the test, which fails where its plan has raised.
    """
    from netstructer.testing.proxy import ChaosProxy

    with contextlib.ExitStack() as stack:

        def start(target: tuple[str, int] | str, plan: Plan = (), **options: Any) -> ChaosProxy:
            return stack.enter_context(ChaosProxy(target, plan, **options))

        yield start


@pytest.fixture
def netstructer_link(netstructer_home: Path, netstructer_key: Key) -> Iterator[Callable[..., Link]]:
    """Open links under the test's key: `link = netstructer_link(proxy.address)`.

    The options are those of `Link`.  Each is aborted behind the test, unless it is closed.
    """
    from netstructer.link import Link

    with contextlib.ExitStack() as stack:

        def connect(address: tuple[str, int] | str, **options: Any) -> Link:
            link = Link(address, **{"key": netstructer_key, **options})
            stack.callback(link.abort)
            return link

        yield connect


@pytest.fixture
def netstructer_link_pair(netstructer_home: Path, netstructer_key: Key) -> Iterator[LinkPair]:
    """Both ends of an open link: `client, server = netstructer_link_pair`."""
    from netstructer.testing.links import link_pair

    with link_pair(key=netstructer_key) as pair:
        yield pair
