"""Credentials: which server a client talks to, and that nothing weaker is ever taken instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from netstructer import Identity, Key
from netstructer.address import Address
from netstructer.credentials import Credentials, find_credentials
from netstructer.errors import (
    Downgrade,
    IdentityChanged,
    InvalidKnownServers,
    KeyRefused,
    Mismatch,
    Misuse,
    UnknownServer,
    VersionMismatch,
)
from netstructer.keyring import KeyRing
from netstructer.known_servers import KnownServers
from netstructer.limits import Limits
from netstructer.protocol.handshake import Agreement, ExpectHello
from netstructer.protocol.parameters import COMPRESSION, Parameters

KEY = Key.generate()
TRUE, FALSE = Identity.generate(), Identity.generate()
HERE = Address("server.example", 5000)
CLIENT = Parameters.of(Limits.DEFAULT, COMPRESSION)
SERVER = Parameters.of(Limits.DEFAULT, COMPRESSION, b"D" * 16)


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    return KnownServers(tmp_path / "known_servers")


def meet(credentials: Credentials, identity: Identity | None = TRUE, key: Key = KEY, *, now: float = 1.0) -> Agreement:
    """Shake hands with a server of that identity and key, as `dial` does."""
    hello, expected = credentials.start(CLIENT)
    server = ExpectHello(KeyRing(key), SERVER, identity=identity.pair if identity is not None else None)
    try:
        answer = server.receive(hello).answer
    except Mismatch:
        answer = server.answer
    try:
        agreement = expected.receive(answer)
    except Mismatch as error:
        raise credentials.explain(error) from None
    credentials.opened(agreement, now=now)
    return agreement


# --- pinned -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", [TRUE, TRUE.public, TRUE.fingerprint], ids=["identity", "public bytes", "fingerprint"])
def test_a_pinned_server_is_the_only_one(pin: Any, known: KnownServers) -> None:
    credentials = Credentials(KEY, HERE, server_identity=pin, known=known)

    assert meet(credentials).suite == 2
    assert credentials.identity == TRUE.fingerprint
    with pytest.raises(IdentityChanged) as changed:
        meet(credentials, FALSE)
    assert (changed.value.expected, changed.value.found) == (TRUE.fingerprint, FALSE.fingerprint)
    assert list(known) == []


def test_the_error_says_what_may_have_happened_and_what_to_do(known: KnownServers) -> None:
    known.add(HERE, TRUE.fingerprint, now=1)
    with pytest.raises(IdentityChanged) as by_file:
        meet(Credentials(KEY, HERE, known=known), FALSE)
    with pytest.raises(IdentityChanged) as by_argument:
        meet(Credentials(KEY, HERE, server_identity=TRUE, known=known), FALSE)

    for error in (by_file.value, by_argument.value):
        for word in (str(HERE), TRUE.fingerprint, FALSE.fingerprint, "posing", "set up anew", "netstructer doctor"):
            assert word in str(error)
    assert f"take the line of {HERE} out of {known.path}" in str(by_file.value)
    assert "server_identity= says" in str(by_argument.value)


def test_a_pinned_server_without_its_identity_is_refused_and_nothing_weaker_is_tried(
    known: KnownServers,
) -> None:
    known.add(HERE, TRUE.fingerprint, now=1)
    for asked in (None, "known", "tofu", TRUE):
        credentials = Credentials(KEY, HERE, server_identity=asked, known=known)
        for _ in range(2):
            with pytest.raises(VersionMismatch, match="suite 2 is the proof of its identity"):
                meet(credentials, None)
        assert meet(credentials).suite == 2


def test_other_errors_are_left_as_they_are(known: KnownServers) -> None:
    with pytest.raises(KeyRefused, match="does not accept this key"):
        meet(Credentials(KEY, HERE, server_identity=TRUE, known=known), key=Key.generate())
    plain = Credentials(KEY, HERE, known=known)
    for error in (VersionMismatch("why"), KeyRefused("why")):
        assert plain.explain(error) is error
    explained = Credentials(KEY, HERE, server_identity=TRUE, known=known).explain(Downgrade("why"))
    assert type(explained) is Downgrade


# --- known, and first use ---------------------------------------------------------------------------------------------


def test_without_a_word_a_server_that_is_not_known_need_not_prove_who_it_is(known: KnownServers) -> None:
    credentials = Credentials(KEY, HERE, known=known)

    assert meet(credentials).suite == 1
    assert meet(credentials, None).suite == 1
    assert credentials.identity is None
    assert list(known) == []


def test_without_a_word_a_server_that_is_known_is_held_to_it(known: KnownServers) -> None:
    known.add(HERE, TRUE.fingerprint, now=1)
    credentials = Credentials(KEY, HERE, known=known)

    assert meet(credentials).suite == 2
    with pytest.raises(IdentityChanged):
        meet(credentials, FALSE)


def test_a_server_that_must_be_known_and_is_not(known: KnownServers) -> None:
    known.add(Address(HERE.host, 5001), TRUE.fingerprint, now=1)
    with pytest.raises(UnknownServer, match=r"server\.example:5000 is not in .*known_servers"):
        Credentials(KEY, HERE, server_identity="known", known=known)
    known.add(HERE, TRUE.fingerprint, now=1)

    assert meet(Credentials(KEY, HERE, server_identity="known", known=known)).suite == 2


def test_a_first_use_is_noted_when_the_link_is_open_and_never_again(
    known: KnownServers, caplog: pytest.LogCaptureFixture
) -> None:
    first = Credentials(KEY, HERE, server_identity="tofu", known=known)
    hello, expected = first.start(CLIENT)
    agreement = expected.receive(ExpectHello(KeyRing(KEY), SERVER, identity=TRUE.pair).receive(hello).answer)
    assert list(known) == []  # the key is not proved yet, and the link not open
    first.opened(agreement, now=1_767_225_600)

    assert [(line.fingerprint, line.first_seen) for line in known] == [(TRUE.fingerprint, 1_767_225_600)]
    assert f"trusted {HERE} on first use: {TRUE.fingerprint}" in caplog.text
    for credentials in (first, Credentials(KEY, HERE, server_identity="tofu", known=known)):
        with pytest.raises(IdentityChanged):
            meet(credentials, FALSE)
        assert meet(credentials, now=2).suite == 2
    assert [line.first_seen for line in known] == [1_767_225_600]


def test_a_first_use_without_an_identity_notes_nothing(known: KnownServers) -> None:
    with pytest.raises(VersionMismatch, match="server_identity='tofu' asks for"):
        meet(Credentials(KEY, HERE, server_identity="tofu", known=known), None)

    assert list(known) == []


def test_of_two_first_uses_at_once_one_is_noted_and_the_other_held_to_it(known: KnownServers) -> None:
    one, other = (Credentials(KEY, HERE, server_identity="tofu", known=known) for _ in range(2))
    meet(one)
    with pytest.raises(IdentityChanged) as changed:
        meet(other, FALSE)

    assert (changed.value.expected, changed.value.found) == (TRUE.fingerprint, FALSE.fingerprint)
    assert [line.fingerprint for line in known] == [TRUE.fingerprint]
    assert meet(other).suite == 2


def test_a_first_use_that_cannot_be_noted_is_no_link(known: KnownServers) -> None:
    credentials = Credentials(KEY, HERE, server_identity="tofu", known=known)
    Path(known.path).write_text("nonsense\n")
    os.chmod(known.path, 0o600)
    with pytest.raises(InvalidKnownServers):
        meet(credentials)
    with pytest.raises(InvalidKnownServers):
        Credentials(KEY, HERE, known=known)


@pytest.mark.parametrize(
    "wrong",
    ["", "pinned", "ns1:short", bytes(31), 7, True, "NS1:" + "A" * 32],
    ids=["empty", "word", "short", "31 bytes", "number", "bool", "capitals"],  # the same in every process of a run
)
def test_what_is_no_server_identity_is_misuse(wrong: Any, known: KnownServers) -> None:
    with pytest.raises(Misuse, match="server_identity="):
        Credentials(KEY, HERE, server_identity=wrong, known=known)


@pytest.mark.parametrize("asked", ["known", "tofu"])
def test_without_a_home_no_server_is_known(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.private_files.config_directory", lambda environ: None)
    with pytest.raises(UnknownServer, match="no home directory"):
        find_credentials(KEY, HERE, server_identity=asked)

    assert meet(find_credentials(KEY, HERE)).suite == 1
    assert meet(find_credentials(KEY, HERE, server_identity=TRUE)).suite == 2


def test_the_users_file_is_the_one_of_known_servers(empty_home: Path) -> None:
    meet(find_credentials(KEY, HERE, server_identity="tofu"))

    found = [path.name for path in empty_home.rglob("known_servers")]
    assert found == ["known_servers"]
    with pytest.raises(IdentityChanged):
        meet(find_credentials(KEY.reveal(), HERE), FALSE)


# --- a new key --------------------------------------------------------------------------------------------------------


def test_a_new_key_is_used_from_the_next_handshake_on(known: KnownServers) -> None:
    new = Key.generate()
    credentials = Credentials(KEY, HERE, known=known)
    meet(credentials)

    assert credentials.learn(new)
    assert not credentials.learn(new)  # it is said again on each transport
    assert meet(credentials, key=new).key_id == new.key_id


@pytest.mark.parametrize(("identity", "saved"), [(TRUE, True), (None, False)])
def test_a_new_key_goes_into_the_file_of_the_old_one_if_the_server_proved_who_it_is(
    identity: Identity | None, saved: bool, tmp_path: Path, known: KnownServers
) -> None:
    KEY.save(tmp_path / "key")
    old, new, newest = Key.load(tmp_path / "key"), Key.generate(), Key.generate()
    credentials = Credentials(old, HERE, server_identity=identity, known=known)
    meet(credentials)
    credentials.learn(new)
    assert credentials.key == new
    assert Key.load(tmp_path / "key") == (new if saved else KEY)

    credentials.learn(newest)
    assert Key.load(tmp_path / "key") == (newest if saved else KEY)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["key", "key.old"] if saved else ["key"])
    if saved:
        assert Key.load(tmp_path / "key.old") == new


def test_a_new_key_that_cannot_be_written_is_used_and_named_in_the_log(
    tmp_path: Path, known: KnownServers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    KEY.save(tmp_path / "key")
    new = Key.generate()
    credentials = Credentials(Key.load(tmp_path / "key"), HERE, server_identity=TRUE, known=known)
    meet(credentials)

    def full(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        credentials.learn(new)

    assert credentials.key == new
    assert Key.load(tmp_path / "key") == KEY
    assert f"the new key {new.fingerprint} cannot be written: no space left on device" in caplog.text
    assert new.reveal() not in caplog.text
