"""Credentials: what an end proves and what it asks the other to prove, and where that is found.  Floor: COMMONS.

Law: nothing weaker than what was asked for, and no pin is dropped silently.

`find_key` is the one way to a key that nobody spelled out: the argument, `NETSTRUCTER_KEY`, the file named by
`NETSTRUCTER_KEY_FILE`, the user's default key file.  `find_identity` is the one way to a server's identity.

`Credentials` are a client's, for the life of a link over all its transports.  They choose the suite: whoever expects
an identity asks for suite 2, in which the server must prove one, and whoever wants another cipher than Fernet for one
with that; there is no way back from either.  A server that was
known by an identity once is held to it even where nobody asks (`server_identity=None`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Literal, overload

from netstructer import private_files
from netstructer.address import Address
from netstructer.codec.ciphers import FERNET, Cipher, CipherName, cipher_named
from netstructer.errors import (
    IdentityChanged,
    InvalidIdentity,
    Mismatch,
    MissingKey,
    Misuse,
    UnknownServer,
    VersionMismatch,
)
from netstructer.identity import Identity, is_fingerprint
from netstructer.keyring import KeyRing
from netstructer.keys import Key, KeyText, key_from
from netstructer.known_servers import KnownServers, default_known_servers_path
from netstructer.private_files import Path
from netstructer.protocol.handshake import (
    SUITES,
    Agreement,
    ExpectAnswer,
    identity_fingerprint,
    start_client,
    suite_of,
)
from netstructer.protocol.parameters import Parameters

__all__ = ["Credentials", "ServerIdentity", "default_key_path", "find_credentials", "find_identity", "find_key"]

PASSWORD_VARIABLE = "NETSTRUCTER_PASSWORD"
KEY_VARIABLE = "NETSTRUCTER_KEY"
FILE_VARIABLE = "NETSTRUCTER_KEY_FILE"

_OTHER_WAYS = f"give key=, or set {KEY_VARIABLE} or {FILE_VARIABLE}"
_PUBLIC_BYTES = 32

ServerIdentity = str | bytes | Identity
"""A fingerprint (`"ns1:…"`), 32 public bytes, an `Identity`, `"known"` or `"tofu"`."""


class Credentials:
    """What a client proves to one server, and what it asks that server to prove.

    `server_identity`:

        a fingerprint       the server must be this one
        "known"             it must be the one that the file of known servers says; `UnknownServer` if that says none
        "tofu"              the same, and a server that is not known yet is trusted this once, and noted
        None                the one that the file says, if it says one; else any server that has the key (suite 1)

    `known` is that file; `cipher` is what has to seal the records.

    Raises `Misuse`, `InvalidKnownServers`, `UnknownServer`, `OSError`.
    """

    def __init__(
        self,
        key: Key,
        address: Address,
        *,
        server_identity: ServerIdentity | None = None,
        known: KnownServers | None = None,
        on_new_key: Callable[[Key], object] | None = None,
        cipher: Cipher = FERNET,
    ) -> None:
        self.key = key
        """The key for the next handshake."""
        self.on_new_key = on_new_key
        """To be called with a key that was learnt."""
        self.address = address
        self.fingerprint = key.fingerprint
        """The fingerprint of the key of the last handshake."""
        self.identity: str | None = None
        """The fingerprint that the server has proved; None in suite 1, and before the first handshake."""
        self._known = known
        self._first_use = server_identity == "tofu"
        self._expected, self._source = self._expect(server_identity)
        self._suite = suite_of(cipher, identity=self._expected is not None or self._first_use)

    def start(self, parameters: Parameters) -> tuple[bytes, ExpectAnswer]:
        """Return the hello of a new transport, and what awaits its answer."""
        self.fingerprint = self.key.fingerprint
        return start_client(self.key, parameters, suite=self._suite, server_identity=self._expected)

    def explain(self, error: Mismatch) -> Mismatch:
        """Return what the handshake raised; where it is about the server's identity or the cipher, with what can be
        done.
        """
        if isinstance(error, IdentityChanged):
            return IdentityChanged(
                f"the server at {self.address} is not the one expected: {self._source} says {error.expected}, it "
                f"proved {error.found}; somebody who has the key may be posing as the server, or the server was set up "
                "anew: compare with the fingerprint that `netstructer doctor` shows at the server, and only if it is "
                f"{error.found} {self._remedy()}",
                expected=error.expected,
                found=error.found,
            )
        if isinstance(error, VersionMismatch) and self._suite != 1:
            return type(error)(f"{error}; {self._what_is_missing()}")
        return error

    def _what_is_missing(self) -> str:
        """Say what a server may lack that does not speak this suite: what was asked for tells it, not the server."""
        suite, causes = SUITES[self._suite], []
        if suite.cipher is not FERNET:
            name = suite.cipher.name
            causes.append(f"this server does not offer {name}, as Server(cipher={name!r}) and serve --cipher {name} do")
        if suite.proves_identity:
            causes.append(
                f"suite {self._suite} is the proof of its identity, which {self._source} asks for: the server at "
                f"{self.address} has none now, or something else answers in its place"
            )
        return "; or ".join(causes)

    def opened(self, agreement: Agreement, *, now: float) -> None:
        """Note who the server is, now that the link is open; `now` in seconds since 1970.

        From here on it must be that one.  Raises `IdentityChanged` where another process met another server at this
        address meanwhile, and `InvalidKnownServers` and `OSError` where a first use cannot be noted: then there must be
        no link, or the next first use would be a first use again.
        """
        if agreement.identity is None:
            return
        self.identity = found = identity_fingerprint(agreement.identity)
        if self._first_use:
            assert self._known is not None
            line = self._known.add(self.address, found, now=now)
            self._first_use, self._expected, self._source = False, line.fingerprint, self._known.path
            if line.fingerprint != found:
                raise self.explain(IdentityChanged(expected=line.fingerprint, found=found))
            private_files.note("= trusted %s on first use: %s, noted in %s", self.address, found, self._known.path)
        self._expected = found

    def learn(self, key: Key) -> bool:
        """Take the key that the server gives in the place of this one: it is used from the next handshake on.  Say
        whether it is another one.

        It is written over the file that the old one came from, if it came from one and the server has proved an
        identity: a server that has proved no more than a shared key may be anybody who has that key, and what that one
        says is written over nobody's file.  The old key is kept beside it, under the same name and `.old`.
        """
        if key == self.key:
            return False
        old, self.key = self.key, key
        if old.path is not None and self.identity is not None:
            try:
                old.replace(f"{old.path}.old")
                key.replace(old.path)
            except OSError as error:
                private_files.note("the new key %s cannot be written: %s", key.fingerprint, error.strerror)
            else:
                self.key = Key.load(old.path)
        return True

    def _expect(self, asked: ServerIdentity | None) -> tuple[str | None, str]:
        """Return the fingerprint that the server must prove, if one is expected, and who says so."""
        if isinstance(asked, Identity):
            return asked.fingerprint, "server_identity="
        if isinstance(asked, bytes) and len(asked) == _PUBLIC_BYTES:
            return identity_fingerprint(asked), "server_identity="
        if is_fingerprint(asked):
            assert isinstance(asked, str)
            return asked, "server_identity="
        if asked not in (None, "known", "tofu"):
            raise Misuse("expected server_identity= a fingerprint ('ns1:…'), an Identity, 'known' or 'tofu'")
        if self._known is None:
            if asked is not None:
                raise UnknownServer("no home directory to keep known servers in: give server_identity= a fingerprint")
            return None, ""
        line = self._known.get(self.address)
        if line is not None:
            self._first_use = False
            return line.fingerprint, self._known.path
        if asked == "known":
            raise UnknownServer(
                f"{self.address} is not in {self._known.path}: give server_identity= its fingerprint, which "
                "`netstructer doctor` shows at the server, or 'tofu' to trust whoever answers this once"
            )
        return None, "server_identity='tofu'" if asked else ""

    def _remedy(self) -> str:
        if self._known is not None and self._source == self._known.path:
            return f"take the line of {self.address} out of {self._source}"
        return "expect that one"


def find_credentials(
    key: KeyText | None,
    address: Address,
    *,
    server_identity: ServerIdentity | None = None,
    on_new_key: Callable[[Key], object] | None = None,
    cipher: CipherName = "fernet",
    environ: Mapping[str, str] = os.environ,
) -> Credentials:
    """Return a client's credentials: its key found as `find_key` says, its known servers in the user's file.

    Raises what finding them raises, and `Misuse` for a cipher that is none.
    """
    named = cipher_named(cipher)
    found = find_key(key, role="link", environ=environ)
    place = default_known_servers_path(environ)
    known = None if place is None else KnownServers(place)
    return Credentials(
        found, address, server_identity=server_identity, known=known, on_new_key=on_new_key, cipher=named
    )


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
    directory = private_files.config_directory(environ)
    if directory is None:
        raise MissingKey(f"no home directory to keep a key file in: {_OTHER_WAYS}")
    return os.path.join(directory, "key")


def find_identity(given: Identity | Path | bool | None) -> Identity | None:
    """Return a server's identity: the one given, the one in a file, or with True the one in the default file.

    Only the default file is made where it is not there: a path that was mistyped must not give the server a new
    identity, which every client would refuse.  Raises `InvalidIdentity`.
    """
    if given is None or given is False:
        return None
    if isinstance(given, Identity):
        return given
    try:
        return Identity.default() if given is True else Identity.load(given)
    except OSError as error:
        place = error.filename or given
        raise InvalidIdentity(
            f"the identity file {place} cannot be {'made or ' if given is True else ''}read ({error.strerror}); "
            "`netstructer keygen --identity PATH` makes one"
        ) from error


def _found(make: bool, environ: Mapping[str, str]) -> Key:
    if environ.get(KEY_VARIABLE, "").strip():
        return key_from(KEY_VARIABLE, environ[KEY_VARIABLE].strip())
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
        private_files.make_directory(place)
        key.save(place)
    except FileExistsError:
        return _load_named(place, f"the key file {place} cannot be read")  # another server was faster
    except OSError as error:
        raise MissingKey(
            f"no key, and the key file {place} cannot be made ({error.strerror}): {_OTHER_WAYS}"
        ) from error
    private_files.note("= made a new key: %s, fingerprint %s", place, key.fingerprint)
    return key
