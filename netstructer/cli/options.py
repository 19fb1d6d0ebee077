"""Options: what several commands take, said once.  Floor: ROOF."""

from __future__ import annotations

import os
from typing import Annotated, NamedTuple

import typer

from netstructer.address import Address, parse_address
from netstructer.codec.ciphers import CipherName, cipher_named
from netstructer.credentials import FILE_VARIABLE, KEY_VARIABLE, default_key_path, find_key
from netstructer.errors import InvalidAddress, MissingKey
from netstructer.keys import Key
from netstructer.services.configuration.tables import DEFAULT_PORT

__all__ = [
    "DEFAULT_PORT",
    "CipherAsked",
    "FoundKey",
    "IdentityFile",
    "Json",
    "KeyFile",
    "Pinned",
    "cipher_of",
    "find",
    "identity_of",
    "is_port",
    "listening_place",
    "peer_place",
]

THIS_MACHINE = "127.0.0.1"

KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        metavar="PATH",
        help=f"Take the key from this file.  Without it: {KEY_VARIABLE}, the file that {FILE_VARIABLE} names, "
        "the default key file.",
        show_default=False,
    ),
]
IdentityFile = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="PATH|default",
        help="Prove to clients which server this is, by an identity of keygen --identity; 'default' is the default "
        "identity file, made if it is missing.",
        show_default=False,
    ),
]
Pinned = Annotated[
    str | None,
    typer.Option(
        "--server-identity",
        metavar="ns1:…|known|tofu",
        help="Talk to no other server than this: the one with that fingerprint, or the one that known_servers says; "
        "tofu trusts who answers this once and notes it.  A server that is noted is held to it always.",
        show_default=False,
    ),
]
CipherAsked = Annotated[
    str,
    typer.Option(
        "--cipher",
        metavar="fernet|aes-256-gcm",
        help="What seals the records: aes-256-gcm is for networks that are faster than Fernet is.  Both ends must ask "
        "for it; a server that does serves clients of both.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


class FoundKey(NamedTuple):
    """A key, and in a few words where it was found."""

    key: Key
    source: str


def find(key_file: str | None, *, make: bool = False) -> FoundKey:
    """Return the key to use.  `make` makes the default key file where there is none, as a server does.

    Raises `MissingKey` or `InvalidKey`.
    """
    if key_file is not None:
        try:
            return FoundKey(Key.load(key_file), f"the file {key_file}")
        except OSError as error:
            raise MissingKey(f"the key file {key_file} cannot be read: {error.strerror}") from error
    if os.environ.get(KEY_VARIABLE, "").strip():
        source = f"the variable {KEY_VARIABLE}"
    elif os.environ.get(FILE_VARIABLE):
        source = f"the file {os.environ[FILE_VARIABLE]}, which {FILE_VARIABLE} names"
    else:
        source = f"the default key file {default_key_path()}"
    if make:
        return FoundKey(next(iter(find_key(None, role="server")))[0], source)
    return FoundKey(find_key(None, role="link"), source)


def identity_of(given: str | None) -> str | bool | None:
    """Return what `Server(identity=)` takes for what was given with --identity."""
    return True if given == "default" else given


def cipher_of(given: str) -> CipherName:
    """Return what `Link(cipher=)` and `Server(cipher=)` take for what was given with --cipher.  Raises `Misuse`."""
    return cipher_named(given).name


def listening_place(text: str, *, default_port: int = DEFAULT_PORT) -> Address:
    """Read `[HOST:]PORT`; without a host it is this machine alone.  Raises `InvalidAddress`."""
    return parse_address(f"{THIS_MACHINE}:{text}" if is_port(text) else text, default_port=default_port)


def peer_place(text: str, *, default_port: int = DEFAULT_PORT) -> Address:
    """Read `HOST[:PORT]`, or a port alone for this machine.  Raises `InvalidAddress`."""
    place = listening_place(text, default_port=default_port)
    if not place.host or not place.port:
        raise InvalidAddress("expected HOST:PORT, as in 192.168.1.5:5000")
    return place


def is_port(text: str) -> bool:
    """Say whether a place is a port alone."""
    return text.isascii() and text.isdigit()
