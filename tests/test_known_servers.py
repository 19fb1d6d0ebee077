"""The file of known servers: read strictly, written whole, and by several at once without a loss."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from netstructer import known_servers
from netstructer.address import Address, parse_address
from netstructer.errors import InvalidAddress, InvalidKnownServers
from netstructer.known_servers import KnownServer, KnownServers, default_known_servers_path

ONE = "ns1:mzuhvlpymk6xo3epygfy5h4oeaejofef"
TWO = "ns1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
HERE = Address("192.168.1.5", 5000)
LINE = {"host": "192.168.1.5", "port": 5000, "fingerprint": ONE, "first_seen": 1_767_225_600}


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    return KnownServers(tmp_path / "there" / "known_servers")


def written(known: KnownServers, *lines: object) -> None:
    os.makedirs(os.path.dirname(known.path), exist_ok=True)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    Path(known.path).write_text(text, "utf-8")
    os.chmod(known.path, 0o600)


def test_what_is_noted_is_known(known: KnownServers) -> None:
    assert list(known) == []
    assert known.get(HERE) is None

    made = known.add(HERE, ONE, now=1_767_225_600.9)

    assert made == known.get(HERE) == KnownServer("192.168.1.5", 5000, ONE, 1_767_225_600)
    assert known.get(Address("192.168.1.5", 5001)) is None
    assert Path(known.path).read_text() == json.dumps(LINE, separators=(",", ":")) + "\n"


@pytest.mark.parametrize(
    ("host", "noted"),
    [("0:0:0:0:0:0:0:1", "::1"), ("::FFFF:192.0.2.7", "192.0.2.7"), ("FE80::1%ETH0", "fe80::1%eth0"), ("A..b", "a..b")],
)
def test_whatever_is_noted_can_be_read_again(known: KnownServers, host: str, noted: str) -> None:
    known.add(Address(host, 1), ONE, now=1)

    assert list(known) == [KnownServer(noted, 1, ONE, 1)]
    assert known.get(Address(host, 1)) == known.get(Address(noted, 1)) is not None


def test_what_could_not_be_read_again_is_not_noted(known: KnownServers, monkeypatch: pytest.MonkeyPatch) -> None:
    known.add(HERE, ONE, now=1)
    for nowhere in (Address("", 1), Address("a b", 1), Address("a", 65536)):
        with pytest.raises(InvalidAddress):
            known.add(nowhere, ONE, now=1)
    monkeypatch.setattr(known_servers, "MOST_FILE_BYTES", 200)
    with pytest.raises(InvalidKnownServers, match="would be longer"):
        known.add(Address("a" * 100, 1), ONE, now=1)

    assert list(known) == [KnownServer(*HERE, ONE, 1)]


def test_what_is_noted_is_never_changed_by_what_comes_later(known: KnownServers) -> None:
    known.add(HERE, ONE, now=1)

    assert known.add(HERE, TWO, now=2) == known.get(HERE) == KnownServer(*HERE, ONE, 1)


def test_a_server_is_forgotten_only_on_demand(known: KnownServers) -> None:
    known.add(HERE, ONE, now=1)
    known.add(Address("other", 1), TWO, now=2)

    assert known.forget(HERE)
    assert not known.forget(HERE)
    assert [server.host for server in known] == ["other"]
    assert known.add(HERE, TWO, now=3).fingerprint == TWO


@pytest.mark.parametrize(
    ("first", "second"),
    [("Example.COM:5", "example.com:5"), ("[::1]:5", "[0:0::1]:5"), ("[::ffff:1.2.3.4]:5", "1.2.3.4:5")],
)
def test_a_server_has_one_spelling(first: str, second: str, known: KnownServers) -> None:
    known.add(parse_address(first), ONE, now=1)

    found = known.get(parse_address(second))
    assert found is not None
    assert found.fingerprint == ONE


def test_names_of_all_alphabets(known: KnownServers) -> None:
    known.add(Address("höst-\u0416", 5), ONE, now=1)

    assert [server.host for server in known] == ["höst-ж"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_files_are_for_their_owner(known: KnownServers) -> None:
    before = os.umask(0)
    try:
        known.add(HERE, ONE, now=1)
        known.add(Address("other", 1), TWO, now=2)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(known.path).parent.iterdir()}

    assert modes == {"known_servers": 0o600, "known_servers.lock": 0o600}
    assert stat.S_IMODE(Path(known.path).parent.stat().st_mode) == 0o700


# --- strictness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no json",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        json.dumps([["host", "a"], ["port", 5], ["fingerprint", ONE], ["first_seen", 1]]),
        LINE | {"more": 1},
        {name: LINE[name] for name in reversed(LINE)},
        {name: LINE[name] for name in list(LINE)[:3]},
        LINE | {"host": 7},
        LINE | {"host": ""},
        LINE | {"host": "Example.COM"},
        LINE | {"host": "0:0::1"},
        LINE | {"host": "a b"},
        LINE | {"port": "5000"},
        LINE | {"port": True},
        LINE | {"port": 65536},
        LINE | {"port": -1},
        LINE | {"fingerprint": ONE.upper()},
        LINE | {"fingerprint": ONE + " "},
        LINE | {"fingerprint": None},
        LINE | {"first_seen": 1.5},
        LINE | {"first_seen": True},
        json.dumps(LINE)[:-1] + ',"port":5000}',
        json.dumps(LINE) + json.dumps(LINE),
        "\ufeff" + json.dumps(LINE),
    ],
    ids=lambda wrong: str(wrong)[:60],
)
def test_a_line_that_is_not_one_is_named(wrong: object, known: KnownServers) -> None:
    good = LINE | {"port": 1}
    written(known, good, wrong, good | {"port": 2})
    before = Path(known.path).read_bytes()
    for way in (
        lambda: known.get(HERE),
        lambda: list(known),
        lambda: known.add(HERE, ONE, now=1),
        lambda: known.forget(HERE),
    ):
        with pytest.raises(InvalidKnownServers, match="known_servers, line 2: ") as refused:
            way()
        assert refused.value.line == 2
    assert Path(known.path).read_bytes() == before


def test_one_server_twice_is_named(known: KnownServers) -> None:
    written(known, LINE, LINE | {"fingerprint": TWO})
    with pytest.raises(InvalidKnownServers, match=r"line 2: 192\.168\.1\.5:5000 is there twice"):
        known.get(HERE)


def test_a_last_line_without_its_newline_is_read(known: KnownServers) -> None:
    written(known, LINE)
    Path(known.path).write_text(json.dumps(LINE))

    assert known.get(HERE) is not None


def test_the_file_has_a_size(known: KnownServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_servers, "MOST_SERVERS", 3)
    for port in range(3):
        known.add(Address("host", port), ONE, now=1)
    with pytest.raises(InvalidKnownServers, match="forget some first"):
        known.add(Address("host", 3), ONE, now=1)

    assert len(list(known)) == 3
    monkeypatch.setattr(known_servers, "MOST_FILE_BYTES", 100)
    with pytest.raises(InvalidKnownServers, match="longer than 100 bytes"):
        known.get(HERE)


def test_a_full_file_of_long_names_fits_its_bytes() -> None:
    longest = KnownServer("h" * 150, 65535, ONE, 2_000_000_000)

    line = len(json.dumps(longest._asdict(), separators=(",", ":"))) + 1
    assert line * known_servers.MOST_SERVERS <= known_servers.MOST_FILE_BYTES


def test_a_file_that_cannot_be_read_is_no_empty_one(known: KnownServers) -> None:
    os.makedirs(known.path)
    with pytest.raises(OSError, match="known_servers"):
        known.get(HERE)


# --- several at once --------------------------------------------------------------------------------------------------

WRITER = """
import sys
from netstructer.address import Address
from netstructer.known_servers import KnownServers
path, name = sys.argv[1:]
for number in range(25):
    KnownServers(path).add(Address(name, number), "ns1:" + "a" * 32, now=number)
    assert KnownServers(path).get(Address(name, number))
"""


def test_processes_that_write_at_once_lose_nothing(known: KnownServers) -> None:
    names = [f"writer{number}" for number in range(4)]
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, known.path, name]) for name in names]
    while any(process.poll() is None for process in processes):
        list(known)  # whoever reads meanwhile finds whole lines, and never an error

    assert [process.wait() for process in processes] == [0] * 4
    assert {(server.host, server.port) for server in known} == {(name, port) for name in names for port in range(25)}
    assert sorted(path.name for path in Path(known.path).parent.iterdir()) == ["known_servers", "known_servers.lock"]


def test_the_default_file_is_in_the_home_if_there_is_one(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    found = default_known_servers_path({"HOME": str(empty_home), "APPDATA": str(empty_home)})
    assert str(found).startswith(str(empty_home))
    assert str(found).endswith("known_servers")

    monkeypatch.setattr("netstructer.private_files.config_directory", lambda environ: None)
    assert default_known_servers_path({}) is None
