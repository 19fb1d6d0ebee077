"""Identities: made, kept in private files of their own kind, and never shown."""

from __future__ import annotations

import base64
import copy
import errno
import logging
import os
import pickle
import stat
import traceback
from pathlib import Path
from typing import Any

import pytest

from netstructer import Identity, Key
from netstructer.credentials import find_identity
from netstructer.errors import InvalidIdentity, InvalidKey, UnsendableValue
from netstructer.identity import default_identity_path, is_fingerprint
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.noise import KeyPair

PRIVATE = bytes(range(32))
CANARY = b"canary-half-of-thirty-two-bytes!"
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def test_the_known_answer() -> None:
    identity = Identity(PRIVATE)

    assert identity.public == KeyPair(PRIVATE).public
    assert identity.public.hex() == "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
    assert identity.fingerprint == identity_fingerprint(identity.public)
    assert is_fingerprint(identity.fingerprint)
    assert identity == Identity(PRIVATE) != Identity.generate()
    assert identity != PRIVATE
    assert hash(identity) == hash(Identity(PRIVATE))


def test_each_that_is_made_is_another() -> None:
    assert len({Identity.generate() for _ in range(50)}) == 50


@pytest.mark.parametrize("wrong", [b"", bytes(32), b"a" * 32, bytes(31), bytes(range(33)), "text", None])
def test_what_is_no_identity_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidIdentity):
        Identity(wrong)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("ns1:mzuhvlpymk6xo3epygfy5h4oeaejofef", True),
        ("ns1:MZUHVLPYMK6XO3EPYGFY5H4OEAEJOFEF", False),
        ("ns1:mzuhvlpymk6xo3epygfy5h4oeaejofe", False),
        ("ns1:mzuhvlpymk6xo3epygfy5h4oeaejofefa", False),
        ("ns1:mzuhvlpymk6xo3epygfy5h4oeaejofef\n", False),
        ("ns2:mzuhvlpymk6xo3epygfy5h4oeaejofef", False),
        ("ns1:mzuhvlpymk6xo3epygfy5h4oeaejof01", False),
        ("tofu", False),
        (None, False),
    ],
)
def test_fingerprints_are_told_from_other_texts(text: Any, fits: bool) -> None:
    assert is_fingerprint(text) == fits


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_an_identity_has_no_face(caplog: pytest.LogCaptureFixture) -> None:
    identity = Identity(CANARY)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("netstructer").warning("%s %r", identity, [identity])
    try:
        raise RuntimeError("with an identity among the locals")
    except RuntimeError as error:
        shown = ["".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())]
    shown += [f"{identity} {identity!r}", caplog.text, repr(dir(identity)), str(identity.pair)]
    text = base64.urlsafe_b64encode(CANARY).decode()

    assert f"<Identity {identity.fingerprint}>" in shown[1]
    for secret in (CANARY.decode(), text, CANARY.hex()):
        parts = [secret[at : at + 8] for at in range(len(secret) - 7)]
        assert [part for part in parts if any(part in page for page in shown)] == []
    assert not hasattr(identity, "__dict__")
    assert repr(object.__new__(Identity)) == "<Identity without content>"


def test_an_identity_does_not_travel() -> None:
    identity = Identity.generate()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(UnsendableValue, match="stays on the server's machine"):
            pickle.dumps([identity], protocol)

    assert copy.copy(identity) is copy.deepcopy(identity) is identity


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-1], lambda raw: raw + b"x"])
def test_no_error_holds_a_part_of_it(spoil: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidIdentity) as refused:
        Identity(spoil(CANARY))
    frame = refused.tb
    while frame.tb_next:
        frame = frame.tb_next

    assert "canary" not in str(refused.value) + repr(frame.tb_frame.f_locals)


# --- files ------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    identity = Identity.generate()
    identity.save(tmp_path / "identity")

    assert Identity.load(str(tmp_path / "identity")) == identity
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]
    content = (tmp_path / "identity").read_bytes()
    assert content.startswith(b"ns1-private:")
    assert len(content) == len("ns1-private:") + 44 + 1


@POSIX
def test_a_saved_identity_is_for_its_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Identity.generate().save(tmp_path / "identity")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("something of somebody's")
    with pytest.raises(FileExistsError):
        Identity.generate().save(tmp_path / "identity")

    assert (tmp_path / "identity").read_text() == "something of somebody's"


def test_a_key_file_and_an_identity_file_are_never_taken_for_each_other(tmp_path: Path) -> None:
    Identity.generate().save(tmp_path / "identity")
    Key.generate().save(tmp_path / "key")
    with pytest.raises(InvalidKey):
        Key.load(tmp_path / "identity")
    with pytest.raises(InvalidIdentity, match="ns1-private:"):
        Identity.load(tmp_path / "key")


LINE = b"ns1-private:" + base64.urlsafe_b64encode(CANARY)


@pytest.mark.parametrize("content", [LINE, LINE + b"\n", LINE + b"\r\n"])
def test_what_editors_leave_behind_the_line_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity").write_bytes(content)
    (tmp_path / "identity").chmod(0o600)

    assert Identity.load(tmp_path / "identity") == Identity(CANARY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        LINE + b"\n\n",
        b" " + LINE,
        LINE[:-1],
        LINE + b"=",
        LINE[:-2] + b"!=",
        LINE.replace(b"private", b"public"),
        b"ns1-private:" + base64.b64encode(bytes([251, 255] * 16)),
        b"ns1-private:" + base64.urlsafe_b64encode(bytes(32)),
        b"ns1-private:" + base64.urlsafe_b64encode(CANARY[:30]),
        LINE[:-2] + b"F=",  # spare bits set: another spelling of the same bytes
        b"\0" * 10_000,
    ],
    ids=lambda content: repr(content)[:30],
)
def test_a_file_without_an_identity_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "none").write_bytes(content)
    (tmp_path / "none").chmod(0o600)
    with pytest.raises(InvalidIdentity, match="none: ") as refused:
        Identity.load(tmp_path / "none")

    assert CANARY[:10].decode() not in str(refused.value)


@POSIX
def test_a_file_that_others_may_read_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Identity.generate().save(tmp_path / "identity")
    Identity.load(tmp_path / "identity")
    assert caplog.text == ""

    (tmp_path / "identity").chmod(0o644)
    Identity.load(tmp_path / "identity")
    assert "the identity file" in caplog.text


# --- the one of a server ----------------------------------------------------------------------------------------------


def test_the_default_identity_is_made_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Identity.default()

    assert f"made a new identity: {default_identity_path()}, fingerprint {made.fingerprint}" in caplog.text
    assert Identity.default() == made == find_identity(True)
    assert caplog.text.count("made a new identity") == 1


def test_of_two_servers_that_make_it_at_once_both_get_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Identity.default()
    monkeypatch.setattr(os.path, "lexists", lambda place: False)

    assert Identity.default() == first


def test_what_a_server_is_given(tmp_path: Path) -> None:
    identity = Identity.generate()
    identity.save(tmp_path / "mine")

    assert find_identity(None) is find_identity(False) is None
    assert find_identity(identity) is identity
    assert find_identity(tmp_path / "mine") == find_identity(str(tmp_path / "mine")) == identity


def test_a_path_that_was_mistyped_makes_no_new_identity(tmp_path: Path) -> None:
    with pytest.raises(InvalidIdentity, match="keygen --identity"):
        find_identity(tmp_path / "nowhere")

    assert list(tmp_path.iterdir()) == []


def test_a_default_identity_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidIdentity, match="no space left"):
        find_identity(True)


def test_without_a_home_there_is_no_default_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.private_files.config_directory", lambda environ: None)
    with pytest.raises(InvalidIdentity, match="no home directory"):
        default_identity_path({})
