"""Private files: whole or not at all, for their owner alone, and one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from netstructer import Key, private_files

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@POSIX
def test_what_is_replaced_is_for_its_owner_whatever_was_there(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("old")
    place.chmod(0o666)
    before = os.umask(0)
    try:
        private_files.replace(str(place), b"new")
        private_files.replace(str(tmp_path / "another"), b"new")
    finally:
        os.umask(before)

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new", b"new"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@POSIX
def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    (tmp_path / "link").symlink_to(Path("there") / "file")
    private_files.replace(str(tmp_path / "link"), b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_fault_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    old, new = Key.generate(), Key.generate()
    old.save(tmp_path / "key")
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="no space"):
            new.replace(tmp_path / "key")
    assert Key.load(tmp_path / "key") == old
    assert [path.name for path in tmp_path.iterdir()] == ["key"]

    new.replace(tmp_path / "key")
    assert Key.load(tmp_path / "key") == new
    assert Key.load(tmp_path / "key").path == str(tmp_path / "key")
    assert new.path is None


def test_readers_of_a_file_that_is_replaced_find_the_old_or_the_new_one(tmp_path: Path) -> None:
    place, keys = tmp_path / "key", [Key.generate() for _ in range(2)]
    keys[0].save(place)
    done = threading.Event()
    found: list[Key] = []

    def read() -> None:
        while not done.is_set():
            found.append(Key.load(place))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        keys[number % 2].replace(place)
    done.set()
    reader.join()

    assert set(found) <= set(keys)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "count"

    def count() -> None:
        for _ in range(25):
            with private_files.locked(str(place)):
                before = int(place.read_bytes()) if place.exists() else 0
                private_files.replace(str(place), b"%d" % (before + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert place.read_bytes() == b"100"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    import fcntl

    place = str(tmp_path / "file")
    reader, writer = os.pipe()
    with private_files.locked(place):
        child = os.fork()
        if not child:  # pragma: no cover - in the child
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    try:
        with open(f"{place}.lock") as beside:
            fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)


def test_what_fails_under_the_lock_lets_go_of_it(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), private_files.locked(str(tmp_path / "file")):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    "line", [b"[" * 17, b"[" * 100_000, b'{"a":' * 17, b'"\\"[' + b"[" * 17, b'"' + b"[" * 17, "[]".encode("utf-16")]
)
def test_a_line_of_json_that_nests_or_is_none_is_refused_before_it_is_read(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        private_files.parse_line(line)


@pytest.mark.parametrize("text", ["[" * 1000, '"\\', '{"[', "\u00e9[\n"])
def test_brackets_in_texts_do_not_count(text: str) -> None:
    line = json.dumps({"reason": text, "until": None}).encode()

    assert private_files.parse_line(line) == (("reason", text), ("until", None))
