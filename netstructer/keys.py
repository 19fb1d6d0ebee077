"""Keys: one Fernet key per user or per group, and its file.  Floor: GROUND.  Law: a key has no face.

A key is 32 random bytes, written as 44 characters of URL-safe base64: an ordinary Fernet key.  It never seals a record
itself; two values are derived from it (protocol.md, "Keys"): the `psk` that proves it in the handshake, and the
`key_id` that names it in the clear.  What is shown of a key, anywhere, is its fingerprint: the key id in hex.

Keys are random, never made of a password: whoever records one hello could try a dictionary on it.  Passwords belong to
accounts, inside the link.  `keyring.py` has the keys that a server accepts, `credentials.py` finds the one to use.

cryptography is imported where it is first needed, so that to import this costs nothing.
"""

from __future__ import annotations

import binascii
import os
from typing import NoReturn

from netstructer import private_files
from netstructer.errors import InvalidKey, UnsendableValue
from netstructer.private_files import Path

__all__ = ["Key", "KeyText", "fingerprint_of", "key_from", "named_fingerprint"]

TEXT_LENGTH = 44
RAW_BYTES = 32
KEY_ID_BYTES = 8
NO_KEY_ID = bytes(KEY_ID_BYTES)
"""In a hello: "the server's only key", which links one hello to nothing else."""

_FILE_BYTES = 4096
"""A key file holds 44 characters, and whatever newline or mark an editor left around them."""
_KEY_ID_DIGITS = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PUBLISHED = b"Tq_hBOzVozSYvyX8cvvqGZrmzkgaGssB99-azrqCleg="
"""The default key in the source of NetStructer 2.x: whoever can read knows it."""


class Key:
    """A Fernet key: `Key.generate()`, `Key(text)`, `Key.load(path)`.

    Immutable, equal by content (in constant time), hashable.  `repr`, `str`, `format`, logs and errors show the
    fingerprint; `pickle` is refused; only `reveal()` gives the text.
    """

    __slots__ = ("_derived", "_path", "_raw")

    _raw: bytes
    _derived: tuple[bytes, bytes] | None
    _path: str | None

    def __init__(self, text: str | bytes) -> None:
        """Read 44 characters of URL-safe base64.  Raises `InvalidKey`, whose text never holds any of them."""
        raw, fault = _read(text)
        del text  # a traceback that prints locals must find none
        if fault:
            raise InvalidKey(fault)
        self._raw = raw
        self._derived = None
        self._path = None

    @classmethod
    def generate(cls) -> Key:
        """Return a new random key."""
        return cls(binascii.b2a_base64(os.urandom(RAW_BYTES), newline=False).translate(_TO_URL_SAFE))

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read (0600).

        The file is there whole or not at all.  Raises `FileExistsError` rather than overwrite, and `OSError` for the
        rest that can happen to files.
        """
        private_files.write_new(os.fspath(path), self.reveal().encode() + b"\n")

    def replace(self, path: Path) -> None:
        """Write the key in the place of the one in a file (0600), or to a new file.

        Whoever reads the file meanwhile finds the old key or the new one, whole.  Raises `OSError`, and then the old
        one is there still.
        """
        private_files.replace(os.fspath(path), self.reveal().encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Key:
        """Return the key in a file.  Spaces and newlines around it are ignored.

        Raises `OSError` where the file cannot be read, `InvalidKey` where it holds no key.  A file that others may
        read is named in a warning in the log.
        """
        place = os.fspath(path)
        # What is in the file has no name here, nor in `key_from`: a traceback that prints locals must find none.
        raw, fault = _read(
            private_files.read(place, _FILE_BYTES, what="key file").removeprefix(_BYTE_ORDER_MARK).strip()
        )
        if fault:
            raise InvalidKey(f"the file {place}: {fault}")
        key = _key_of(raw)
        key._path = place
        return key

    def reveal(self) -> str:
        """Return the 44 characters, for a file, a variable or another machine.  Whoever has them is let in."""
        return binascii.b2a_base64(self._raw, newline=False).translate(_TO_URL_SAFE).decode()

    @property
    def path(self) -> str | None:
        """The file that the key was loaded from, if it was."""
        return self._path

    @property
    def fingerprint(self) -> str:
        """What may be shown: the key id in hex, as in `"5489-e58b-b48f-e1f8"`.  The same for equal keys."""
        return fingerprint_of(self.key_id)

    @property
    def key_id(self) -> bytes:
        """The 8 bytes that name this key in a hello, in the clear."""
        return self._derive()[1]

    @property
    def psk(self) -> bytes:
        """The 32 bytes that prove this key in the handshake."""
        return self._derive()[0]

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for another purpose than a hello: `HKDF(key, "netstructer/1 " ‖ purpose)`."""
        return _hkdf(self._raw, b"netstructer/1 " + purpose.encode(), 32)

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


def fingerprint_of(key_id: bytes) -> str:
    """Return the fingerprint of the key that 8 bytes name."""
    digits = key_id.hex()
    return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def named_fingerprint(key: object) -> str | None:
    """Return the fingerprint of a key that is named: by a `Key`, its fingerprint, or its 8 bytes of key id; None for
    what names none, such as the text of a key.
    """
    digits = key.key_id.hex() if isinstance(key, Key) else key.hex() if isinstance(key, bytes) else key
    digits = digits.replace("-", "").lower() if isinstance(digits, str) else ""
    if len(digits) != _KEY_ID_DIGITS or set(digits) - set("0123456789abcdef"):
        return None
    return fingerprint_of(bytes.fromhex(digits))


def key_from(source: str, text: str | bytes) -> Key:
    """Return the key that a text spells.  Raises `InvalidKey`, whose text begins with the `source`."""
    raw, fault = _read(text)
    del text  # as in `Key.__init__`
    if fault:
        raise InvalidKey(f"{source}: {fault}")
    return _key_of(raw)


def _key_of(raw: bytes) -> Key:
    key = object.__new__(Key)
    key._raw = raw
    key._derived = None
    key._path = None
    return key


_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/!!")


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
