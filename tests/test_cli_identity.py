"""Identities at the command line: made, proved, pinned, and examined."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netstructer import Identity, Key, Server
from netstructer.address import parse_address
from netstructer.cli.outcomes import ExitCode
from netstructer.identity import default_identity_path
from netstructer.known_servers import KnownServers, default_known_servers_path
from test_cli import doctor, listening, run, taking

KEY = Key.generate()


def known() -> KnownServers:
    place = default_known_servers_path()
    assert place is not None
    return KnownServers(place)


def test_keygen_makes_an_identity_and_overwrites_none(tmp_path: Path) -> None:
    code, out, err = run("keygen", "--identity")
    place = default_identity_path()
    made = Identity.load(place)

    assert code == ExitCode.OK
    assert out == f"made        {place}\nfingerprint {made.fingerprint}\n"
    assert "--server-identity" in err
    assert os.name != "posix" or stat.S_IMODE(os.stat(place).st_mode) == 0o600
    assert run("keygen", "--identity")[0] == ExitCode.USAGE
    assert run("keygen", "--identity", "--stdout")[0] == ExitCode.USAGE
    assert run("keygen", "--identity", str(tmp_path / "mine"), "--json")[0] == ExitCode.OK
    assert Identity.load(tmp_path / "mine") != Identity.load(place) == made


@pytest.mark.parametrize("name", ["serve", "recv"])
def test_a_server_proves_its_identity_and_a_client_pins_it(name: str) -> None:
    with listening(name, "0", "--identity", "default", key=KEY) as (_, address):
        fingerprint = Identity.load(default_identity_path()).fingerprint
        code, _, err = run("send", address, "1", "--server-identity", Identity.generate().fingerprint, key=KEY)
        right = run("send", address, "1", "--server-identity", fingerprint, key=KEY)

    assert right[0] == ExitCode.OK
    assert code == ExitCode.KEY
    assert "is not the one expected" in err
    assert fingerprint in err


def test_a_first_use_is_noted_and_a_change_refused(tmp_path: Path) -> None:
    Identity.generate().save(tmp_path / "first")
    Identity.generate().save(tmp_path / "second")
    with listening("serve", "0", "--identity", str(tmp_path / "first"), key=KEY) as (_, address):
        unknown = run("send", address, "1", "--server-identity", "known", key=KEY)
        noted = run("send", address, "1", "--server-identity", "tofu", key=KEY)
        again = run("send", address, "1", key=KEY)
        looked = doctor(address, key=KEY)
    with listening("serve", address, "--identity", str(tmp_path / "second"), key=KEY):
        changed = run("send", address, "1", key=KEY)
        wrong = doctor(address, key=KEY)
    with Server(address, key=KEY):
        gone = run("send", address, "1", key=KEY)

    assert [code for code, _, _ in (unknown, noted, again)] == [ExitCode.KEY, ExitCode.OK, ExitCode.OK]
    assert "on first use" in noted[2]
    assert [line.fingerprint for line in known()] == [Identity.load(tmp_path / "first").fingerprint]
    assert (looked[0], looked[1]["wrong"]) == (ExitCode.OK, None)
    assert (changed[0], gone[0]) == (ExitCode.KEY, ExitCode.PEER)
    assert "posing as the server" in changed[2]
    assert "the proof of its identity" in gone[2]
    assert (wrong[0], wrong[1]["wrong"]) == (ExitCode.KEY, "identity")


def test_doctor_shows_an_identity_that_is_not_known(tmp_path: Path) -> None:
    identity = Identity.generate()
    with taking(KEY, identity=identity) as server:
        code, facts = doctor(str(server.address), key=KEY)
    step = facts["steps"][-1]  # type: ignore[index]

    assert (code, step["name"], step["passed"]) == (ExitCode.OK, "identity", None)
    assert (step["fingerprint"], step["known"]) == (identity.fingerprint, None)
    assert list(known()) == []


def test_doctor_shows_the_identity_of_this_machine_and_whom_it_knows() -> None:
    none = doctor(key=KEY)
    made = Identity.default()
    known().add(parse_address("server:5000"), made.fingerprint, now=1)
    some = doctor(key=KEY)
    with open(known().path, "a", encoding="utf-8") as file:
        file.write("nonsense\n")
    broken = doctor(key=KEY)

    found = [{step["name"]: step for step in facts["steps"]} for _, facts in (none, some, broken)]  # type: ignore[attr-defined]
    assert [steps["identity"].get("fingerprint") for steps in found[:2]] == [None, made.fingerprint]
    assert [steps["known"].get("servers") for steps in found] == [0, 1, None]
    assert (broken[0], broken[1]["wrong"]) == (ExitCode.KEY, "known")
    assert "line 2" in found[2]["known"]["found"]


def test_files_go_to_the_pinned_server_only(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with listening("serve", "0", "--files", str(tmp_path / "mine"), "--identity", "default", key=KEY) as (_, address):
        other, mine = Identity.generate().fingerprint, Identity.load(default_identity_path()).fingerprint
        for name, *paths in (("put", __file__), ("ls",), ("get",)):
            assert run(name, *paths, f"{address}/", "--server-identity", other, key=KEY)[0] == ExitCode.KEY
        assert run("ls", f"{address}/", "--server-identity", mine, key=KEY)[0] == ExitCode.OK
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("wrong", [("--server-identity", "ns1:short"), ("--server-identity", "")])
def test_what_is_no_fingerprint_is_refused_before_anything_is_sent(wrong: tuple[str, ...]) -> None:
    code, _, err = run("send", "127.0.0.1:1", "1", *wrong, key=KEY)

    assert code == ExitCode.USAGE
    assert "server_identity=" in err
