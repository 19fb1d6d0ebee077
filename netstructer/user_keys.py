"""The keys of a server's users, in a file that may change while the server runs.  Floor: GROUND.

Law: a key in the file opens links, one that is taken out of it opens none, and nobody has to start anything again.

The file has a line of JSON for each key, in the order in which they were added:

    {"user":"ada","key":"…44 characters…","added":1767225600,"until":null}

It is for its owner alone (0600).  Who writes it holds a lock file beside it from reading to renaming; who reads it
needs no lock, as the file is replaced whole.  It is read strictly: a line that is not exactly such a line is an error
that names it, never a user who is forgotten.  A user may have several keys, as while one takes the place of another;
`until` is when one ends, in seconds since 1970.

`UserKeys` is the file.  `UserRing` is a key ring that follows it: before a key is looked up it asks the system whether
the file was replaced, which takes 2 µs, and reads it only then.  Strangers who offer unknown keys cost no more.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from math import isfinite
from typing import NamedTuple

from netstructer import private_files
from netstructer.errors import InvalidKey, Misuse
from netstructer.keyring import KeyRing
from netstructer.keys import Key, key_from
from netstructer.private_files import Path

__all__ = ["UserKey", "UserKeys", "UserRing", "default_user_keys_path"]

MOST_KEYS = 16384
"""Keys in one file: read in a tenth of a second, once for each change."""
MOST_FILE_BYTES = 8 << 20
"""Bytes of the file: as many keys of users with names of 400 bytes."""
_FIELDS = ("user", "key", "added", "until")

Stamp = tuple[int, int, int] | None


class UserKey(NamedTuple):
    """One line: a key, whose it is, since when, and until when (seconds since 1970, None without an end)."""

    user: str
    key: Key
    added: int
    until: float | None


class UserKeys:
    """The keys in one file, which need not be there yet.

    Every method reads the file anew.  They raise `InvalidKey` for a file that is not as it should be, naming the line
    and never what is in it, and `OSError`.
    """

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def __iter__(self) -> Iterator[UserKey]:
        return iter(self._read())

    def mapping(self, *, now: float) -> dict[str, Key]:
        """Return the newest key of each user that has not ended: what `Server(key=)` takes.

        A server that is to follow the file takes a `UserRing`.
        """
        return {line.user: line.key for line in self._read() if line.until is None or now < line.until}

    def free_name(self, wish: str) -> str:
        """Return the name that a new user gets: `wish`, with the first number behind it where that one is taken."""
        taken = {line.user for line in self._read()}
        number, name = 1, wish
        while name in taken:
            number += 1
            name = f"{wish}-{number}"
        return name

    def add(self, user: str, key: Key, *, now: float, until: float | None = None) -> UserKey:
        """Add a key of a user and return its line; `now` and `until` in seconds since 1970.

        Raises `Misuse` for a user without a name, and `InvalidKey` for a key that is there already.
        """
        if not isinstance(user, str) or not user:
            raise Misuse("expected a user's name as text")
        line = UserKey(user, key, int(now), until)
        with private_files.locked(self.path):
            lines = self._read()
            if any(there.key == key for there in lines):
                raise InvalidKey(f"{self.path} has this key already")
            self._write([*lines, line])
        return line

    def remove(self, key: Key) -> bool:
        """Take a key out; say whether it was there."""
        with private_files.locked(self.path):
            lines = self._read()
            left = [line for line in lines if line.key != key]
            if len(left) < len(lines):
                self._write(left)
        return len(left) < len(lines)

    def stamp(self) -> Stamp:
        """Return what is another whenever the file was replaced; None where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> list[UserKey]:
        lines, fault = self._lines()
        if fault:
            raise InvalidKey(f"{self.path}{fault}")
        return lines

    def _lines(self) -> tuple[list[UserKey], str]:
        """Return the lines, or none and the fault, which is raised elsewhere: a traceback that prints locals must find
        no key."""
        try:
            content = private_files.read(self.path, MOST_FILE_BYTES + 1, what="file of users' keys")
        except FileNotFoundError:
            return [], ""
        if len(content) > MOST_FILE_BYTES:
            return [], f" is longer than {MOST_FILE_BYTES} bytes"
        lines = content.split(b"\n", MOST_KEYS + 1)
        found: dict[bytes, UserKey] = {}
        for number, text in enumerate(lines, 1):
            if number == len(lines) and not text:  # behind the last newline
                break
            line, fault = _parse(text)
            if line is not None and line.key.key_id in found:
                line, fault = None, "this key is there twice"
            if line is None:
                return [], f", line {number}: {fault}"
            found[line.key.key_id] = line
        return list(found.values()), ""

    def _write(self, lines: list[UserKey]) -> None:
        if len(lines) > MOST_KEYS:
            raise Misuse(f"{self.path} has its {MOST_KEYS} keys: take some out first")
        rows = [json.dumps(line._asdict() | {"key": line.key.reveal()}, separators=(",", ":")) for line in lines]
        content = "".join(row + "\n" for row in rows).encode()
        if len(content) > MOST_FILE_BYTES:
            raise Misuse(f"{self.path} would be longer than {MOST_FILE_BYTES} bytes")
        private_files.replace(self.path, content)


class UserRing(KeyRing):
    """A key ring that follows a file of users' keys.  Thread-safe.

    `shared` is a key for all, beside those of the file.  `wall` is the clock by which keys end.  Raises what the file
    does, and `Misuse` where there is no key at all.  A file that becomes unreadable later changes nothing, and is
    named in the log.
    """

    __slots__ = ("_lines", "_reading", "_stamp", "_users")

    def __init__(self, users: UserKeys, *, shared: Key | None = None, wall: Callable[[], float]) -> None:
        self._users = users
        self._reading = threading.Lock()
        self._stamp = users.stamp()
        self._lines: dict[bytes, UserKey] = {}
        lines = list(users)
        if shared is None and not lines:
            raise Misuse(f"expected at least one key in {users.path}: `netstructer pair` adds some")
        super().__init__(lines[0].key if shared is None else shared, wall=wall)
        if shared is None:
            self.retire(lines[0].key)  # a ring begins with one key; now it gets its user and its end
        for line in lines:
            self._accept(line)

    def lookup(self, key_id: bytes) -> tuple[Key, str | None] | None:
        """Return the key of that id and its user's name, as the file says now; `None` for one that opens no link."""
        self.follow()
        return super().lookup(key_id)

    def follow(self) -> None:
        """Read the file, if it was replaced since it was read last."""
        if self._users.stamp() == self._stamp:
            return
        with self._reading:
            stamp = self._users.stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                lines = {line.key.key_id: line for line in self._users}
            except (InvalidKey, OSError) as error:
                private_files.note("the keys of the users stay as they were: %s", error)
                return
            for key_id, line in tuple(self._lines.items()):
                if lines.get(key_id) != line:
                    del self._lines[key_id]
                    with suppress(Misuse):  # it has ended, and the ring has forgotten it
                        self.retire(line.key)
            for key_id, line in lines.items():
                if key_id not in self._lines:
                    self._accept(line)

    def renew(self) -> None:
        """Be usable in a forked child, whatever thread held a lock in the parent."""
        super().renew()
        self._reading = threading.Lock()

    def _accept(self, line: UserKey) -> None:
        try:
            self.add(line.key, user=line.user, until=line.until)
        except InvalidKey:
            private_files.note("the key of %r is accepted as another's already", line.user)
        else:
            self._lines[line.key.key_id] = line


def default_user_keys_path(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return where the keys of this user's server are, there or not; None where there is no home."""
    directory = private_files.config_directory(environ)
    return None if directory is None else os.path.join(directory, "users")


def _is_moment(until: object) -> bool:
    try:
        return isinstance(until, (int, float)) and not isinstance(until, bool) and isfinite(until)
    except OverflowError:  # a number of JSON may have any length
        return False


def _parse(text: bytes) -> tuple[UserKey | None, str]:
    """Return what a line says and no fault, or nothing and the fault."""
    try:
        fields = private_files.parse_line(text)
    except ValueError:
        return None, "expected an object of JSON"
    if not isinstance(fields, tuple) or tuple(name for name, _ in fields) != _FIELDS:
        return None, f"expected the fields {', '.join(_FIELDS)}, in this order"
    user, key, added, until = (value for _, value in fields)
    if not isinstance(user, str) or not user:
        return None, "expected the name of a user"
    if isinstance(added, bool) or not isinstance(added, int):
        return None, "expected added as a number of seconds"
    if until is not None and not _is_moment(until):
        return None, "expected until as a number of seconds, or null"
    try:
        return UserKey(user, key_from("the key", key), added, until), ""
    except InvalidKey as error:
        return None, str(error)
