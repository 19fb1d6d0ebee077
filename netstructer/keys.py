"""Keys: one Fernet key per user or per group, and where it is found.  Floor: GROUND.  Law: a key has no face.

A key is 32 random bytes, written as 44 characters of URL-safe base64: an ordinary Fernet key.  It never seals a record
itself; two values are derived from it (protocol.md, "Keys"): the `psk` that proves it in the handshake, and the
`key_id` that names it in the clear.  What is shown of a key, anywhere, is its fingerprint: the key id in hex.

Keys are random, never made of a password: whoever records one hello could try a dictionary on it.  Passwords belong to
accounts, inside the link.

`find_key` is the one way to a key that nobody spelled out: the argument, `NETSTRUCTER_KEY`, the file named by
`NETSTRUCTER_KEY_FILE`, the user's default key file.

cryptography is imported where it is first needed, so that to import this costs nothing.
"""

from __future__ import annotations

import binascii
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NoReturn, overload

from netstructer.errors import InvalidKey, MissingKey, Misuse, UnsendableValue

__all__ = ["Key", "KeyRing", "default_key_path", "find_key"]

KEY_VARIABLE = "NETSTRUCTER_KEY"
FILE_VARIABLE = "NETSTRUCTER_KEY_FILE"

TEXT_LENGTH = 44
RAW_BYTES = 32
KEY_ID_BYTES = 8
NO_KEY_ID = bytes(KEY_ID_BYTES)
"""In a hello: "the server's only key", which links one hello to nothing else."""

_FILE_BYTES = 4096
"""A key file holds 44 characters, and whatever newline or mark an editor left around them."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PUBLISHED = b"Tq_hBOzVozSYvyX8cvvqGZrmzkgaGssB99-azrqCleg="
"""The default key in the source of NetStructer 2.x: whoever can read knows it."""
_OTHER_WAYS = f"give key=, or set {KEY_VARIABLE} or {FILE_VARIABLE}"

Path = str | os.PathLike[str]


class Key:
    """A Fernet key: `Key.generate()`, `Key(text)`, `Key.load(path)`.

    Immutable, equal by content (in constant time), hashable.  `repr`, `str`, `format`, logs and errors show the
    fingerprint; `pickle` is refused; only `reveal()` gives the text.
    """

    __slots__ = ("_derived", "_raw")

    _raw: bytes
    _derived: tuple[bytes, bytes] | None

    def __init__(self, text: str | bytes) -> None:
        """Read 44 characters of URL-safe base64.  Raises `InvalidKey`, whose text never holds any of them."""
        raw, fault = _read(text)
        del text  # a traceback that prints locals must find none
        if fault:
            raise InvalidKey(fault)
        self._raw = raw
        self._derived = None

    @classmethod
    def generate(cls) -> Key:
        """Return a new random key."""
        return cls(binascii.b2a_base64(os.urandom(RAW_BYTES), newline=False).translate(_TO_URL_SAFE))

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read (0600).

        The file is there whole or not at all.  Raises `FileExistsError` rather than overwrite, and `OSError` for the
        rest that can happen to files.
        """
        _write_new(os.fspath(path), self.reveal().encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Key:
        """Return the key in a file.  Spaces and newlines around it are ignored.

        Raises `OSError` where the file cannot be read, `InvalidKey` where it holds no key.  A file that others may
        read is named in a warning in the log.
        """
        place = os.fspath(path)
        with open(place, "rb") as file:
            others = os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            if others:
                _log("the key file %s may be read by others: chmod 600 it", place)
            return _key_from(f"the file {place}", file.read(_FILE_BYTES).removeprefix(_BYTE_ORDER_MARK).strip())

    def reveal(self) -> str:
        """Return the 44 characters, for a file, a variable or another machine.  Whoever has them is let in."""
        return binascii.b2a_base64(self._raw, newline=False).translate(_TO_URL_SAFE).decode()

    @property
    def fingerprint(self) -> str:
        """What may be shown: the key id in hex, as in `"5489-e58b-b48f-e1f8"`.  The same for equal keys."""
        digits = self.key_id.hex()
        return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))

    @property
    def key_id(self) -> bytes:
        """The 8 bytes that name this key in a hello, in the clear."""
        return self._derive()[1]

    @property
    def psk(self) -> bytes:
        """The 32 bytes that prove this key in the handshake."""
        return self._derive()[0]

    def _derive(self) -> tuple[bytes, bytes]:
        if self._derived is None:
            self._derived = _hkdf(self._raw, b"netstructer/1 psk", 32), _hkdf(self._raw, b"netstructer/1 key id", 8)
        return self._derived

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash(self.key_id)

    def __repr__(self) -> str:
        # A debugger or a traceback may ask while `__init__` refuses the text.
        return f"<Key {self.fingerprint}>" if hasattr(self, "_raw") else "<Key without content>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: object) -> Key:
        return self

    def __getstate__(self) -> NoReturn:
        raise UnsendableValue("a key does not travel: give the other process key.reveal() by a way that you trust")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()


KeyText = Key | str | bytes


class KeyRing:
    """The keys that a server accepts, found by key id: one key for all, or one for each user.

    Raises `InvalidKey` for a key that is none (naming the user, not the key) or that two users share, and `Misuse` for
    a ring without keys or a user without a name.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: KeyText | Mapping[str, KeyText]) -> None:
        named: Mapping[Any, KeyText] = keys if isinstance(keys, Mapping) else {None: keys}
        if not named:
            raise Misuse("expected at least one key")
        self._keys: dict[bytes, tuple[Key, str | None]] = {}
        for user, text in named.items():
            if isinstance(keys, Mapping) and (not isinstance(user, str) or not user):
                raise Misuse("expected a mapping of user names to keys")
            key = text if isinstance(text, Key) else _key_from(f"the key of {user!r}" if user else "the key", text)
            if key.key_id in self._keys:
                raise InvalidKey(f"{user!r} has the same key as {self._keys[key.key_id][1]!r}")
            self._keys[key.key_id] = key, user

    def lookup(self, key_id: bytes) -> tuple[Key, str | None] | None:
        """Return the key of that id and its user's name, or `None`.  Eight zeros name the only key of a ring of one."""
        if key_id == NO_KEY_ID and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[tuple[Key, str | None]]:
        return iter(self._keys.values())

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self)}>"


@overload
def find_key(given: KeyText | None, *, role: Literal["link"], environ: Mapping[str, str] = ...) -> Key: ...
@overload
def find_key(
    given: KeyText | KeyRing | Mapping[str, KeyText] | None,
    *,
    role: Literal["server"],
    environ: Mapping[str, str] = ...,
) -> KeyRing: ...
def find_key(
    given: KeyText | KeyRing | Mapping[str, KeyText] | None,
    *,
    role: Literal["link", "server"],
    environ: Mapping[str, str] = os.environ,
) -> Key | KeyRing:
    """Return the key of a link, or the ring of a server: the one given, or the first that is found.

    The order: `given`, the variable NETSTRUCTER_KEY, the file that NETSTRUCTER_KEY_FILE names, the default key file.
    A server that finds none makes the default key file and says so in the log; of two that do so at once, both get the
    one key.  Raises `MissingKey` where there is none and none can be made, `InvalidKey` for one that is none, and
    `Misuse` for several keys at a link.
    """
    if role == "server":
        return given if isinstance(given, KeyRing) else KeyRing(_found(True, environ) if given is None else given)
    if given is None:
        return _found(False, environ)
    if isinstance(given, (KeyRing, Mapping)):
        raise Misuse("a link has one key: expected a Key or its text")
    return given if isinstance(given, Key) else Key(given)


def default_key_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the user's key file is, whether it exists or not.  Raises `MissingKey` where there is no home."""
    if sys.platform == "win32":
        base = environ.get("APPDATA") or _home(environ, "AppData", "Roaming")
    elif sys.platform == "darwin":
        base = _home(environ, "Library", "Application Support")
    else:
        base = environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):  # unset, or relative, which the XDG rules say to ignore
            base = _home(environ, ".config")
    return os.path.join(base, "netstructer", "key")


def _found(make: bool, environ: Mapping[str, str]) -> Key:
    if environ.get(KEY_VARIABLE, "").strip():
        return _key_from(KEY_VARIABLE, environ[KEY_VARIABLE].strip())
    if place := environ.get(FILE_VARIABLE, ""):
        return _load_named(place, f"{FILE_VARIABLE} names {place}, which cannot be read")
    place = default_key_path(environ)
    if os.path.lexists(place):
        return _load_named(place, f"the key file {place} cannot be read")
    if make:
        return _make_default(place)
    raise MissingKey(f"no key: {_OTHER_WAYS}, or copy the server's key file to {place}")


def _load_named(place: str, fault: str) -> Key:
    try:
        return Key.load(place)
    except OSError as error:
        raise MissingKey(f"{fault}: {error.strerror}") from error


def _make_default(place: str) -> Key:
    key = Key.generate()
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        key.save(place)
    except FileExistsError:
        return _load_named(place, f"the key file {place} cannot be read")  # another server was faster
    except OSError as error:
        raise MissingKey(
            f"no key, and the key file {place} cannot be made ({error.strerror}): {_OTHER_WAYS}"
        ) from error
    _log("= made a new key: %s, fingerprint %s", place, key.fingerprint)
    return key


def _home(environ: Mapping[str, str], *parts: str) -> str:
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if not home and os.name == "posix":
        import pwd

        with suppress(KeyError):  # a container may run under a number that no user has
            home = pwd.getpwuid(os.getuid()).pw_dir
    if not os.path.isabs(home):
        raise MissingKey(f"no home directory to keep a key file in: {_OTHER_WAYS}")
    return os.path.join(home, *parts)


def _write_new(place: str, content: bytes) -> None:
    """Write a file that was not there, whole or not at all, readable by its owner alone."""
    directory, name = os.path.split(place)
    beside = os.path.join(directory, f".{name}.{os.urandom(8).hex()}")
    try:
        _write(beside, content)
        if os.name == "nt":
            os.rename(beside, place)  # refuses to overwrite there
            return
        try:
            os.link(beside, place)  # refuses to overwrite; rename would not
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: never overwriting is worth more than never half written
            _write(place, content)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


def _write(place: str, content: bytes) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(place)
        raise


_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/!!")


def _key_from(source: str, text: str | bytes) -> Key:
    raw, fault = _read(text)
    del text
    if fault:
        raise InvalidKey(f"{source}: {fault}")
    key = object.__new__(Key)
    key._raw = raw
    key._derived = None
    return key


def _read(text: object) -> tuple[bytes, str]:
    """Return the 32 bytes and no fault, or no bytes and the fault."""
    if isinstance(text, str):
        text = text.encode("utf-8", "replace")
    if not isinstance(text, bytes):
        return b"", f"expected a key as text, found a {type(text).__name__}"
    if len(text) != TEXT_LENGTH:
        return b"", f"expected a key of {TEXT_LENGTH} characters, found {len(text)}"
    if text == _PUBLISHED:
        return b"", "this is the default key that NetStructer 2.x published in its source: make one of your own"
    standard = text.translate(_FROM_URL_SAFE)
    try:
        raw = binascii.a2b_base64(standard, strict_mode=True)
    except binascii.Error:
        return b"", "expected a key in URL-safe base64"
    if len(raw) != RAW_BYTES or binascii.b2a_base64(raw, newline=False) != standard:
        return b"", "expected a key in URL-safe base64, spelled the one way that encodes it"
    if len(set(raw)) == 1:
        return b"", "a key of one repeated byte is no key: make one with Key.generate()"
    return raw, ""


def _hkdf(raw: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, None, info).derive(raw)


def _log(text: str, *facts: str) -> None:
    import logging

    logging.getLogger("netstructer").warning(text, *facts)
