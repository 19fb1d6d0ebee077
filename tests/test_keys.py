"""Keys: read strictly, kept in private files, found where they are said to be, and never shown."""

from __future__ import annotations

import base64
import copy
import errno
import io
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from netstructer import keys
from netstructer.credentials import default_key_path, find_key
from netstructer.errors import InvalidKey, MissingKey, Misuse, UnsendableValue
from netstructer.keyring import KeyRing
from netstructer.keys import Key

TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_TEXT = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PUBLISHED = "Tq_hBOzVozSYvyX8cvvqGZrmzkgaGssB99-azrqCleg="
CANARY = base64.urlsafe_b64encode(b"canary-key-of-thirty-two-bytes-!").decode()
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


# --- what is derived --------------------------------------------------------------------------------------------------


def test_the_known_answers() -> None:
    key = Key(TEXT)

    assert key.psk.hex() == "4bbd08ee105593ce218debdabc100cf55461dfd7f4303b86d2cc852c52c1f277"
    assert key.key_id.hex() == "5489e58bb48fe1f8"
    assert key.fingerprint == "5489-e58b-b48f-e1f8"
    assert key.reveal() == TEXT


def test_neither_psk_nor_key_id_is_the_key() -> None:
    key = Key(TEXT)

    assert bytes(range(32)) not in (key.psk, key.key_id)
    assert not key.psk.startswith(key.key_id)


def test_keys_of_fernet_are_keys() -> None:
    for _ in range(100):
        text = Fernet.generate_key()

        assert Key(text) == Key(text.decode())
        assert Key(text).reveal() == text.decode()


def test_generated_keys_are_keys_of_fernet_and_all_differ() -> None:
    made = [Key.generate() for _ in range(200)]

    assert len({key.reveal() for key in made}) == len(set(made)) == 200
    for key in made:
        Fernet(key.reveal())
        assert Key(key.reveal()) == key


def test_equal_by_content() -> None:
    assert Key(TEXT) == Key(TEXT.encode())
    assert hash(Key(TEXT)) == hash(Key(TEXT.encode()))
    assert Key(TEXT) != Key(OTHER_TEXT)
    assert Key(TEXT) != TEXT
    assert {Key(TEXT): 1}[Key(TEXT)] == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        TEXT[:-1],
        TEXT + "=",
        TEXT + "\n",
        " " + TEXT,
        "!" + TEXT[1:],
        TEXT[:20] + "\n" + TEXT[21:],
        TEXT[:-2] + "9=",  # spare bits set: another spelling of the same bytes
        TEXT[:-2] + "==",
        "A" * 44,
        "=" * 44,
        TEXT.rstrip("=") + "A",
        "é" * 22,
        "\ud800" * 44,
        "+" + TEXT[1:],
        "/" + TEXT[1:],
        base64.b64encode(b"\xfb\xff" * 16).decode(),
        bytes(range(32)),
    ],
)
def test_malformed_keys_are_refused(wrong: str | bytes) -> None:
    with pytest.raises(InvalidKey):
        Key(wrong)


def test_every_other_spelling_of_a_key_is_refused() -> None:
    """Of all texts that differ in one character, those that are keys are other keys."""
    alphabet = [chr(code) for code in range(256)]
    for at in range(len(TEXT)):
        for letter in alphabet:
            changed = TEXT[:at] + letter + TEXT[at + 1 :]
            try:
                key = Key(changed)
            except InvalidKey:
                continue

            assert key.reveal() == changed
            assert (key == Key(TEXT)) == (changed == TEXT)


@pytest.mark.parametrize("byte", [0, 1, 0x41, 0x7F, 0x80, 0xFF])
def test_keys_of_one_byte_are_refused(byte: int) -> None:
    with pytest.raises(InvalidKey, match="repeated byte"):
        Key(base64.urlsafe_b64encode(bytes([byte]) * 32))


def test_the_published_key_is_refused_by_name() -> None:
    for text in (PUBLISHED, PUBLISHED.encode()):
        with pytest.raises(InvalidKey, match=r"NetStructer 2\.x published"):
            Key(text)


@pytest.mark.parametrize("wrong", [None, 7, bytearray(TEXT.encode()), [TEXT], object()])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidKey, match=type(wrong).__name__):
        Key(wrong)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text[:5] + "!" + text[6:],
        lambda text: text[:-2] + "9=",
        lambda text: text * 2,
    ],
)
def test_no_error_and_no_traceback_of_ours_holds_a_part_of_the_key(
    spoil: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spoiled = spoil(CANARY)
    (tmp_path / "key").write_text(spoiled)
    monkeypatch.setenv("NETSTRUCTER_KEY", spoiled)
    ways: list[Callable[[], object]] = [
        lambda: Key(spoiled),
        lambda: Key(spoiled.encode()),
        lambda: Key.load(tmp_path / "key"),
        lambda: find_key(None, role="link"),
        lambda: find_key(spoiled, role="link"),
        lambda: find_key({"ann": spoiled}, role="server"),
        lambda: KeyRing(spoiled),
    ]
    for way in ways:
        with pytest.raises(InvalidKey) as refused:
            way()
        text = "".join(traceback.format_exception(refused.value)) + repr(refused.value)

        assert refused.value.__cause__ is refused.value.__context__ is None
        assert [part for part in _parts(spoiled) if part in text] == []
    with pytest.raises(InvalidKey) as refused:
        Key(spoiled)
    frame = refused.tb
    while frame.tb_next:
        frame = frame.tb_next
    assert [part for part in _parts(spoiled) if part in repr(frame.tb_frame.f_locals)] == []


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_key_has_no_face(caplog: pytest.LogCaptureFixture) -> None:
    key, ring = Key(CANARY), KeyRing({"ann": Key(CANARY)})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("netstructer").warning("%s %r %s", key, key, ring)
    shown = [
        *(f"{key} {key!r} {key!s} {key:>80}", f"{[key]} { ({'k': key}) }", "%s" % key, str(ring), repr(ring)),  # noqa: UP031 - one more way to show
        *(caplog.text, repr(copy.copy(key)), repr(copy.deepcopy({"k": key})), repr(dir(key)), repr(vars(Key))),
        *traceback.TracebackException.from_exception(_raised(key), capture_locals=True).format(),
    ]

    assert f"<Key {key.fingerprint}>" in shown[0]
    assert [part for part in _parts(CANARY) if any(part in text for text in shown)] == []
    assert not hasattr(key, "__dict__")


def test_a_key_does_not_travel() -> None:
    key = Key(CANARY)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for whole in (key, [key]):
            with pytest.raises(UnsendableValue, match=r"reveal\(\)"):
                pickle.dumps(whole, protocol)
        with pytest.raises(TypeError):
            pickle.dumps(KeyRing(key), protocol)
    with pytest.raises(UnsendableValue):
        key.__getstate__()
    with pytest.raises(TypeError):
        json.dumps(key)

    assert copy.copy(key) is copy.deepcopy(key) is key


def _raised(key: Key) -> Exception:
    try:
        raise RuntimeError("with a key among the locals")
    except RuntimeError as error:
        return error


def _parts(text: str) -> list[str]:
    """Return what would give a key away: eight characters of it in a row, or of its bytes."""
    spellings = (text, "canary-key-of-thirty-two-bytes-!", b"canary-key-of-thirty-two-bytes-!".hex())
    return [spelling[at : at + 8] for spelling in spellings for at in range(len(spelling) - 7)]


# --- files ------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    key = Key.generate()
    key.save(tmp_path / "key")
    key.save(str(tmp_path / "again"))

    assert Key.load(tmp_path / "key") == Key.load(str(tmp_path / "again")) == key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "key"]
    assert (tmp_path / "key").read_text() == key.reveal() + "\n"


@POSIX
def test_a_saved_key_is_for_its_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Key.generate().save(tmp_path / "key")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("something of somebody's")
    with pytest.raises(FileExistsError):
        Key.generate().save(tmp_path / "key")

    assert (tmp_path / "key").read_text() == "something of somebody's"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@POSIX
def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Key.generate().save(tmp_path / "key")

    assert not (tmp_path / "elsewhere").exists()


@POSIX
def test_without_hard_links_a_file_is_still_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    key = Key.generate()
    key.save(tmp_path / "key")
    with pytest.raises(FileExistsError):
        Key.generate().save(tmp_path / "key")

    assert Key.load(tmp_path / "key") == key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_windows_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `os.name` is "nt", rename refuses to overwrite; here it is asked to, on a path that is free."""
    monkeypatch.setattr(keys.os, "name", "nt")
    key = Key.generate()
    key.save(str(tmp_path / "key"))
    monkeypatch.undo()

    assert Key.load(tmp_path / "key") == key
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        Key.generate().save(tmp_path / "key")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [TEXT, TEXT + "\n", TEXT + "\r\n", f"\n  {TEXT}\t\n\n", "\ufeff" + TEXT + "\r\n"], ids=repr
)
def test_what_editors_leave_around_a_key_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_bytes(content.encode())

    assert _quietly(lambda: Key.load(tmp_path / "key")) == Key(TEXT)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", TEXT.encode("utf-16"), f"{TEXT}\n{TEXT}\n".encode(), f"# key\n{TEXT}".encode(), b"\0" * 10_000],
    ids=lambda content: repr(content)[:12],
)
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no-key").write_bytes(content)
    with pytest.raises(InvalidKey, match="no-key: expected a key of 44 characters"):
        _quietly(lambda: Key.load(tmp_path / "no-key"))


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Key.load(tmp_path / "key")


@POSIX
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    path = tmp_path / "key"
    Key(TEXT).save(path)
    path.chmod(mode)

    assert Key.load(path) == Key(TEXT)
    assert (f"{path} may be read by others" in caplog.text) == warned
    assert TEXT not in caplog.text


# --- rings ------------------------------------------------------------------------------------------------------------


def test_a_ring_finds_its_keys() -> None:
    ring = KeyRing({"ann": TEXT, "bob": Key(OTHER_TEXT)})

    assert ring.lookup(Key(TEXT).key_id) == (Key(TEXT), "ann")
    assert ring.lookup(Key(OTHER_TEXT).key_id) == (Key(OTHER_TEXT), "bob")
    assert ring.lookup(b"whatever") is None
    assert ring.lookup(bytes(8)) is None
    assert len(ring) == 2
    assert list(ring) == [(Key(TEXT), "ann"), (Key(OTHER_TEXT), "bob")]
    assert repr(ring) == "<KeyRing of 2>"


@pytest.mark.parametrize("given", [TEXT, TEXT.encode(), Key(TEXT)])
def test_a_ring_of_one_key_belongs_to_nobody_and_answers_to_zeros(given: Any) -> None:
    ring = KeyRing(given)

    assert ring.lookup(Key(TEXT).key_id) == ring.lookup(bytes(8)) == (Key(TEXT), None)
    assert KeyRing({"ann": TEXT}).lookup(bytes(8)) == (Key(TEXT), "ann")


@pytest.mark.parametrize("wrong", [{}, {"": TEXT}, {7: TEXT}, {None: TEXT}])
def test_a_ring_without_keys_or_names_is_misuse(wrong: Any) -> None:
    with pytest.raises(Misuse):
        KeyRing(wrong)


def test_two_users_do_not_share_a_key() -> None:
    with pytest.raises(InvalidKey, match="'bob' has the same key as 'ann'"):
        KeyRing({"ann": TEXT, "bob": TEXT.encode()})


def test_a_wrong_key_in_a_ring_names_its_user() -> None:
    with pytest.raises(InvalidKey, match="the key of 'bob': expected a key of 44 characters"):
        KeyRing({"ann": TEXT, "bob": "short"})


# --- where a key is found ---------------------------------------------------------------------------------------------


def test_the_order_of_discovery(tmp_path: Path) -> None:
    made = {name: Key.generate() for name in ("given", "variable", "file", "default")}
    made["file"].save(tmp_path / "file")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path), "HOME": str(tmp_path)}
    default = Path(default_key_path(environ))
    default.parent.mkdir(parents=True)
    made["default"].save(default)
    steps = [
        ("default", None, {}),
        ("file", None, {"NETSTRUCTER_KEY_FILE": str(tmp_path / "file")}),
        ("variable", None, {"NETSTRUCTER_KEY": made["variable"].reveal()}),
        ("given", made["given"].reveal(), {}),
    ]
    for name, given, more in steps:
        environ |= more

        assert find_key(given, role="link", environ=environ) == made[name]
        assert list(find_key(given, role="server", environ=environ)) == [(made[name], None)]


def test_a_given_key_is_read_in_every_shape() -> None:
    ring = KeyRing(TEXT)
    for given in (TEXT, TEXT.encode(), Key(TEXT)):
        assert find_key(given, role="link", environ={}) == Key(TEXT)
        assert list(find_key(given, role="server", environ={})) == [(Key(TEXT), None)]
    assert find_key(ring, role="server", environ={}) is ring
    assert list(find_key({"ann": TEXT}, role="server", environ={})) == [(Key(TEXT), "ann")]


@pytest.mark.parametrize("given", [{"ann": TEXT}, KeyRing(TEXT)])
def test_a_link_has_one_key(given: Any) -> None:
    with pytest.raises(Misuse, match="one key"):
        find_key(given, role="link")


def test_an_empty_given_key_is_not_a_missing_one() -> None:
    for given in ("", b""):
        with pytest.raises(InvalidKey):
            find_key(given, role="link", environ={"NETSTRUCTER_KEY": TEXT})
    with pytest.raises(Misuse):
        find_key({}, role="server", environ={"NETSTRUCTER_KEY": TEXT})


def test_a_wrong_variable_is_named_and_nothing_else_is_tried(tmp_path: Path) -> None:
    Key.generate().save(tmp_path / "key")
    environ = {"NETSTRUCTER_KEY": "short", "NETSTRUCTER_KEY_FILE": str(tmp_path / "key")}
    for role in ("link", "server"):
        with pytest.raises(InvalidKey, match="NETSTRUCTER_KEY: expected a key of 44 characters, found 5"):
            find_key(None, role=role, environ=environ)  # type: ignore[call-overload]


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_blank_variables_are_unset_ones(tmp_path: Path, blank: str) -> None:
    Key(TEXT).save(tmp_path / "key")
    environ = {"NETSTRUCTER_KEY": blank, "NETSTRUCTER_KEY_FILE": str(tmp_path / "key")}

    assert find_key(None, role="link", environ=environ) == Key(TEXT)
    assert find_key(None, role="link", environ=environ | {"NETSTRUCTER_KEY": f" {OTHER_TEXT}\r\n"}) == Key(OTHER_TEXT)


def test_a_named_file_that_is_not_there_is_never_made(tmp_path: Path) -> None:
    environ = {"NETSTRUCTER_KEY_FILE": str(tmp_path / "nowhere"), "HOME": str(tmp_path), "APPDATA": str(tmp_path)}
    for role in ("link", "server"):
        with pytest.raises(MissingKey, match=r"NETSTRUCTER_KEY_FILE names .*nowhere") as missing:
            find_key(None, role=role, environ=environ)  # type: ignore[call-overload]
        assert isinstance(missing.value.__cause__, FileNotFoundError)

    assert list(tmp_path.iterdir()) == []


def test_a_link_that_finds_no_key_is_told_what_to_do(empty_home: Path) -> None:
    with pytest.raises(MissingKey) as missing:
        find_key(None, role="link")
    text = str(missing.value)

    for hint in ("key=", "NETSTRUCTER_KEY", "NETSTRUCTER_KEY_FILE", default_key_path()):
        assert hint in text
    assert list(empty_home.iterdir()) == []


def test_a_server_that_finds_no_key_makes_one(empty_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = find_key(None, role="server")
    path = Path(default_key_path())
    ((key, user),) = ring

    assert user is None
    assert path.is_relative_to(empty_home)
    assert Key.load(path) == key == find_key(None, role="link")
    assert list(find_key(None, role="server")) == [(key, None)]
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert key.fingerprint in caplog.text
    assert key.reveal() not in caplog.text
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_servers_that_start_at_once_get_one_key(empty_home: Path) -> None:
    found: list[Key] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.extend(key for key, _ in find_key(None, role="server"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in Path(default_key_path()).parent.iterdir()] == ["key"]


def test_the_slower_of_two_servers_takes_the_key_of_the_faster(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race, held still: the file appears after it was looked for."""
    first = find_key(None, role="server")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)

    assert list(find_key(None, role="server")) == list(first)


@POSIX
def test_a_default_file_that_cannot_be_read_is_named(empty_home: Path) -> None:
    path = Path(default_key_path())
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent / "nowhere")
    for role in ("link", "server"):
        with pytest.raises(MissingKey, match="cannot be read"):
            find_key(None, role=role)  # type: ignore[call-overload]


def test_a_default_file_that_cannot_be_made_is_named(empty_home: Path) -> None:
    (empty_home / "file").write_text("no folder")
    environ = {name: str(empty_home / "file") for name in ("HOME", "APPDATA", "XDG_CONFIG_HOME", "USERPROFILE")}
    with pytest.raises(MissingKey, match="cannot be made") as missing:
        find_key(None, role="server", environ=environ)

    assert "NETSTRUCTER_KEY_FILE" in str(missing.value)
    assert isinstance(missing.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/home/ann"}, "/home/ann/.config/netstructer/key"),
        ("linux", {"HOME": "/home/ann", "XDG_CONFIG_HOME": "/etc/ann"}, "/etc/ann/netstructer/key"),
        ("linux", {"HOME": "/home/ann", "XDG_CONFIG_HOME": "relative"}, "/home/ann/.config/netstructer/key"),
        ("linux", {"HOME": "/home/ann", "XDG_CONFIG_HOME": ""}, "/home/ann/.config/netstructer/key"),
        ("freebsd14", {"HOME": "/home/ann"}, "/home/ann/.config/netstructer/key"),
        ("darwin", {"HOME": "/Users/ann"}, "/Users/ann/Library/Application Support/netstructer/key"),
        ("win32", {"APPDATA": "/ann/Roaming"}, "/ann/Roaming/netstructer/key"),
        ("win32", {"USERPROFILE": "/ann"}, "/ann/AppData/Roaming/netstructer/key"),
    ],
)
def test_the_default_path_of_each_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    assert Path(default_key_path(environ)).as_posix() == expected


@POSIX
def test_without_a_home_the_users_entry_is_asked_and_then_the_error_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    class Entry:
        pw_dir = "/home/of-the-entry"

    monkeypatch.setattr(pwd, "getpwuid", lambda number: Entry)
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_key_path({}) == "/home/of-the-entry/.config/netstructer/key"

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for environ in ({}, {"HOME": ""}, {"HOME": "relative"}):
        with pytest.raises(MissingKey, match="no home directory"):
            default_key_path(environ)
    monkeypatch.setattr(keys.os, "name", "nt")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(MissingKey, match="no home directory"):
        default_key_path({})


# --- the import -------------------------------------------------------------------------------------------------------


def test_the_import_brings_no_cipher_and_no_logging() -> None:
    script = "import sys, netstructer.keys as k; k.Key.generate(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "netstructer.keys" in loaded
    assert [
        name for name in loaded if name.partition(".")[0] in ("cryptography", "logging", "hashlib", "tempfile")
    ] == []


def _quietly(load: Callable[[], Key]) -> Key:
    """Load a file that the test wrote with the mode of its umask."""
    logging.getLogger("netstructer").addHandler(handler := logging.StreamHandler(io.StringIO()))
    try:
        return load()
    finally:
        logging.getLogger("netstructer").removeHandler(handler)
