"""The fixtures: found without a line in any conftest; each does what it says, and costs nobody who does without."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from netstructer.credentials import default_key_path, find_key
from netstructer.errors import MissingKey
from netstructer.testing import Cut, FakeClock


def echo(link: Any) -> None:
    for value in link:
        link.send(value)


def test_the_entry_point_is_there() -> None:
    found = [point.value for point in entry_points(group="pytest11") if point.name == "netstructer"]

    assert found == ["netstructer.pytest_plugin"]


def test_a_server_a_proxy_and_a_link_share_one_key(
    netstructer_server: Any, netstructer_chaos: Any, netstructer_link: Any, netstructer_key: Any
) -> None:
    server = netstructer_server(echo)
    proxy = netstructer_chaos(server.address, [[Cut(at=2000)]])
    link = netstructer_link(proxy.address)
    for number in range(100):
        link.send(number)

    assert [link.recv(timeout=20) for _ in range(100)] == list(range(100))
    assert (proxy.counters.cuts, link.fingerprint) == (1, netstructer_key.fingerprint)


def test_a_pair_is_open(netstructer_link_pair: Any, netstructer_key: Any) -> None:
    client, server = netstructer_link_pair
    server.send("hello")

    assert client.recv(timeout=20) == "hello"
    assert client.fingerprint == netstructer_key.fingerprint


def test_the_home_is_empty_and_without_a_key(netstructer_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(netstructer_home.rglob("*")) == []
    assert Path(default_key_path()).is_relative_to(netstructer_home)
    with pytest.raises(MissingKey):
        find_key(None, role="link")


def test_the_clock_stands(netstructer_clock: FakeClock) -> None:
    assert netstructer_clock() == netstructer_clock()


def test_who_uses_no_fixture_loads_nothing_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_what_is_loaded():\n"
        "    ours = ('netstructer', 'cryptography', 'zstandard')\n"
        "    found = sorted(name for name in sys.modules if name.startswith(ours))\n"
        "    assert found == ['netstructer', 'netstructer.pytest_plugin']\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    assert done.returncode == 0, done.stdout
