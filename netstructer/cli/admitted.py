"""Who is let in: the keys and the identity of a server that the terminal runs.  Floor: ROOF.

Law: a server that runs takes whom `pair` adds.  So it follows the file of users' keys from the start, whether that is
there yet or not, and has an identity from the start, for a client that was paired talks to no server without one.
"""

from __future__ import annotations

import os
import time
from typing import Annotated, NamedTuple

import typer

from netstructer.cli.options import FoundKey, find, identity_of
from netstructer.cli.screen import stderr
from netstructer.credentials import FILE_VARIABLE, KEY_VARIABLE, default_key_path, find_identity
from netstructer.errors import InvalidIdentity, MissingKey
from netstructer.identity import Identity, default_identity_path
from netstructer.keyring import KeyRing
from netstructer.services.printing import one_line
from netstructer.user_keys import UserKeys, UserRing, default_user_keys_path

__all__ = ["Admitted", "Users", "admitted", "proved"]

Users = Annotated[
    str | None,
    typer.Option(
        "--users",
        metavar="PATH",
        help="Let the users in whose keys are in this file too, which `pair --listen` fills; it is followed while the "
        "server runs.  [default: the file `users` beside the default key file]",
        show_default=False,
    ),
]


class Admitted(NamedTuple):
    """The keys that open links: that of everybody, if there is one, and those of users."""

    ring: KeyRing
    found: FoundKey | None
    """The key of everybody."""
    users: int
    """How many users' keys there are now."""
    path: str | None
    """Where they are."""

    def __str__(self) -> str:
        keys = [f"key {self.found.key.fingerprint} from {self.found.source}"] if self.found else []
        if self.users:
            keys.append(
                f"{self.users} {'key' if self.users == 1 else 'keys'} of users from {one_line(self.path or '')}"
            )
        return ", ".join(keys)


def admitted(key_file: str | None, users: str | None) -> Admitted:
    """Return whom a server lets in.  A default key file is made only where nobody would be let in without one.

    Raises `MissingKey`, `InvalidKey`, `OSError`.
    """
    path = users or default_user_keys_path()
    if path is None:
        found = find(key_file, make=True)
        return Admitted(KeyRing(found.key), found, 0, None)
    if users is not None and not os.path.exists(users):
        raise MissingKey(f"there is no file {users}: netstructer pair --listen --users {users} makes it")
    file = UserKeys(path)
    count = len(list(file))
    shared = None if count and not _has_key(key_file) else find(key_file, make=True)
    ring = UserRing(file, shared=shared.key if shared else None, wall=time.time)
    return Admitted(ring, shared, count, path)


def proved(given: str | None) -> Identity | None:
    """Return the server's identity: the one asked for, or the default one, made if it is missing.

    None where none was asked for and there is no place to keep one.  Raises `InvalidIdentity`.
    """
    try:
        return find_identity(True if given is None else identity_of(given))
    except InvalidIdentity as error:
        if given is not None or _has_identity():
            raise
        stderr.print(f"note: without an identity, so clients cannot pin this server: {error}", style="yellow")
        return None


def _has_key(key_file: str | None) -> bool:
    """Say whether there is a key for everybody, or should be one."""
    named = any(os.environ.get(name, "").strip() for name in (KEY_VARIABLE, FILE_VARIABLE))
    return key_file is not None or named or os.path.lexists(default_key_path())


def _has_identity() -> bool:
    """Say whether there is a default identity file, whatever is in it: clients may have pinned it."""
    try:
        return os.path.lexists(default_identity_path())
    except InvalidIdentity:
        return False
