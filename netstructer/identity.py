"""Identities: the key pair by which a server is known, and its file.  Floor: COMMONS.  Law: the private half has no
face.

A key says who may speak; everybody who has it can also pose as the server.  An identity says which server it is: an
X25519 key pair whose private half stays on one machine.  In suite 2 of the handshake the server proves it, and a
client that knows its fingerprint (`ns1:` and 32 letters) talks to no other (protocol.md, "Identities").

The file is one line, `ns1-private:` and 44 characters of URL-safe base64, so that it is never taken for a key.
"""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Mapping
from typing import NoReturn

from netstructer import private_files
from netstructer.errors import InvalidIdentity, UnsendableValue
from netstructer.private_files import Path
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.noise import KeyPair

__all__ = ["Identity", "default_identity_path", "is_fingerprint"]

_MARK = b"ns1-private:"
_PRIVATE_BYTES = 32
_FILE_BYTES = 4096
_FINGERPRINT = re.compile(r"ns1:[a-z2-7]{32}")


class Identity:
    """What a server is known by: `Identity.generate()`, `Identity.load(path)`, `Identity.default()`.

    Immutable.  `repr`, logs and errors show the fingerprint; `pickle` is refused; the private half is written by `save`
    and shown nowhere.
    """

    __slots__ = ("_private", "pair")

    def __init__(self, private: bytes) -> None:
        """Take 32 private bytes.  Raises `InvalidIdentity`, whose text never holds any of them."""
        fault = _fault_of(private)
        if fault:
            del private  # a traceback that prints locals must find none
            raise InvalidIdentity(fault)
        self._private = private
        self.pair = KeyPair(private)
        """For the handshake."""

    @classmethod
    def generate(cls) -> Identity:
        """Return a new random identity."""
        return cls(os.urandom(_PRIVATE_BYTES))

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Identity:
        """Return the identity in the user's default identity file; a new one is made where there is none.

        Of two servers that make it at once, both get the one.  Raises `InvalidIdentity`, also where there is no home
        to keep a file in, and `OSError`.
        """
        place = default_identity_path(environ)
        if not os.path.lexists(place):
            identity = cls.generate()
            private_files.make_directory(place)
            try:
                identity.save(place)
            except FileExistsError:
                return cls.load(place)  # another server was faster
            private_files.note("= made a new identity: %s, fingerprint %s", place, identity.fingerprint)
            return identity
        return cls.load(place)

    def save(self, path: Path) -> None:
        """Write the identity to a new file that only its owner may read (0600).

        The file is there whole or not at all.  Raises `FileExistsError` rather than overwrite, and `OSError`.
        """
        text = binascii.b2a_base64(self._private, newline=False).translate(_TO_URL_SAFE)
        private_files.write_new(os.fspath(path), _MARK + text + b"\n")

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Return the identity in a file.  Raises `OSError`, and `InvalidIdentity` where it holds none.

        A file that others may read is named in a warning in the log.
        """
        place = os.fspath(path)
        private, fault = _read(private_files.read(place, _FILE_BYTES, what="identity file"))
        if not fault:
            return cls(private)
        raise InvalidIdentity(f"the file {place}: {fault}")

    @property
    def public(self) -> bytes:
        """The public half: 32 bytes, no secret."""
        return self.pair.public

    @property
    def fingerprint(self) -> str:
        """What clients pin: `"ns1:"` and 32 letters and digits, no secret."""
        return identity_fingerprint(self.public)

    def __eq__(self, other: object) -> bool:
        return self.public == other.public if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<Identity {self.fingerprint}>" if hasattr(self, "pair") else "<Identity without content>"

    def __copy__(self) -> Identity:
        return self

    def __deepcopy__(self, memo: object) -> Identity:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UnsendableValue("an identity does not travel: it stays on the server's machine, in its file")


def is_fingerprint(text: object) -> bool:
    """Say whether this is the fingerprint of an identity, as in `"ns1:mzuhvlpymk6xo3epygfy5h4oeaejofef"`."""
    return isinstance(text, str) and _FINGERPRINT.fullmatch(text) is not None


def default_identity_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the user's identity file is, there or not.  Raises `InvalidIdentity` where there is no home."""
    directory = private_files.config_directory(environ)
    if directory is None:
        raise InvalidIdentity("no home directory to keep an identity file in: give identity= a path")
    return os.path.join(directory, "identity")


_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/!!")


def _read(content: bytes) -> tuple[bytes, str]:
    """Return the 32 bytes and no fault, or no bytes and the fault."""
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line.startswith(_MARK):
        return b"", f"expected a line that begins with {_MARK.decode()}"
    standard = line.removeprefix(_MARK).translate(_FROM_URL_SAFE)
    try:
        private = binascii.a2b_base64(standard, strict_mode=True)
    except binascii.Error:
        return b"", "expected an identity in URL-safe base64"
    if binascii.b2a_base64(private, newline=False) != standard:
        return b"", "expected an identity in URL-safe base64, spelled the one way that encodes it"
    return (b"", fault) if (fault := _fault_of(private)) else (private, "")


def _fault_of(private: object) -> str:
    if not isinstance(private, bytes) or len(private) != _PRIVATE_BYTES:
        return f"expected {_PRIVATE_BYTES} private bytes"
    if len(set(private)) == 1:
        return "an identity of one repeated byte is none: make one with Identity.generate()"
    return ""
