"""Frames of the ceremony: their layouts, both ways.  Floor: COMMONS.  Law: one length for each kind, no spare bit.

Spec: protocol.md, "Pairing".  A frame is a head of eight bytes and a body whose length its kind fixes:

    0  4  "NSPR"
    4  1  version = 1
    5  1  kind
    6  2  code u16, 0 but in a refusal, which has no body

The bodies of SHARE are elements of the group, those of CONFIRM are MACs.  All others are raw Fernet tokens whose plain
bytes, too, have one length, so that a token's length tells nothing of names.  Texts are filled up with zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from netstructer.codec.tokens import sealed_bytes
from netstructer.errors import IllegalFrame, InvalidKey, Misuse, NotNetstructer, VersionMismatch
from netstructer.keys import Key

__all__ = [
    "HEAD_BYTES",
    "Grant",
    "Kind",
    "Refusal",
    "body_bytes",
    "check_user",
    "pack_grant",
    "pack_head",
    "pack_wish",
    "read_grant",
    "read_head",
    "read_wish",
]

MAGIC = b"NSPR"
VERSION = 1
HEAD_BYTES = 8
SHARE_BYTES = 32
CONFIRM_BYTES = 32
USER_BYTES = 64
WISHED_BYTES = 48
"""A name that is wished for leaves room for a number behind it, where that name is taken."""
HOST_BYTES = 253
IDENTITY_BYTES = 32
WISH_BYTES = 1 + WISHED_BYTES
WORD_BYTES = 1
GRANT_BYTES = 44 + IDENTITY_BYTES + 2 + 1 + USER_BYTES + 1 + HOST_BYTES

_HEAD = Struct(">4sBBH")
_GRANT = Struct(f">44s{IDENTITY_BYTES}sHB{USER_BYTES}sB{HOST_BYTES}s")
_WISH = Struct(f">B{WISHED_BYTES}s")
_USER = re.compile(r"\w[\w.@+-]*")
_HOST = re.compile(r"[0-9A-Za-z._:%-]*")


class Kind(IntEnum):
    """What a frame is.  The odd ones are the client's, up to INSTALLED; a refusal is the server's."""

    CLIENT_SHARE = 1
    SERVER_SHARE = 2
    CLIENT_CONFIRM = 3
    SERVER_CONFIRM = 4
    WISH = 5
    GRANT = 6
    HAVE = 7
    INSTALLED = 8
    DONE = 9
    REFUSAL = 15


class Refusal(IntEnum):
    """Why a server ends a ceremony.  A hint that anybody can forge."""

    WRONG_CODE = 1
    SPENT = 2
    BUSY = 3
    FAILED = 4


_PLAIN_BYTES = {
    Kind.WISH: WISH_BYTES,
    Kind.GRANT: GRANT_BYTES,
    Kind.HAVE: WORD_BYTES,
    Kind.INSTALLED: WORD_BYTES,
    Kind.DONE: WORD_BYTES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a server gives: a key of its own for this client, and where and by what the real server is known."""

    key: Key
    user: str
    identity: bytes
    """The server's public identity key, 32 bytes."""
    host: str
    """Where the server is; empty for the host that the client dialled."""
    port: int


def body_bytes(kind: Kind) -> int:
    """Return the length of the body of a kind."""
    if kind in (Kind.CLIENT_SHARE, Kind.SERVER_SHARE):
        return SHARE_BYTES
    if kind in (Kind.CLIENT_CONFIRM, Kind.SERVER_CONFIRM):
        return CONFIRM_BYTES
    return 0 if kind is Kind.REFUSAL else sealed_bytes(1 + _PLAIN_BYTES[kind])


def pack_head(kind: Kind, code: int = 0) -> bytes:
    """Return the head of a frame."""
    return _HEAD.pack(MAGIC, VERSION, kind, code)


def read_head(head: bytes, *expected: Kind) -> tuple[Kind, int]:
    """Return the kind of a frame and its code, 0 but in a refusal.

    Raises `NotNetstructer`, `VersionMismatch`, and `IllegalFrame` for a kind that is not `expected` now.
    """
    magic, version, kind, code = _HEAD.unpack(head)
    if magic != MAGIC:
        raise NotNetstructer("what answered does not speak the ceremony of pairing")
    if version != VERSION:
        raise VersionMismatch(f"expected version {VERSION} of the ceremony of pairing, found {version}")
    if kind not in expected or (code != 0) != (kind == Kind.REFUSAL):
        raise IllegalFrame(f"expected a frame of pairing of kind {' or '.join(map(str, map(int, expected)))}")
    return Kind(kind), code


def check_user(name: str, most: int = WISHED_BYTES) -> str:
    """Return a name that a user may ask for: letters, digits and `_`, and behind the first one `. @ + -` too.

    At most 48 bytes of UTF-8.  Raises `Misuse`.
    """
    if not isinstance(name, str) or not _USER.fullmatch(name) or len(name.encode()) > most:
        raise Misuse(f"expected a user name of letters, digits and . @ + - _ of at most {most} bytes")
    return name


def pack_wish(user: str | None) -> bytes:
    """Return the plain bytes of a wish: the user name that the client would like, or none."""
    name = check_user(user).encode() if user else b""
    return _WISH.pack(len(name), name)


def read_wish(plain: bytes) -> str | None:
    """Return the name that was wished for, or None.  Raises `IllegalFrame`."""
    length, field = _WISH.unpack(plain)
    return _user(length, field) if length or any(field) else None


def pack_grant(grant: Grant) -> bytes:
    """Return the plain bytes of a grant.  Raises `Misuse` for what has no place in one."""
    user, host = check_user(grant.user, USER_BYTES).encode(), grant.host.encode()
    if len(grant.identity) != IDENTITY_BYTES or not 1 <= grant.port <= 65535:
        raise Misuse(f"expected an identity of {IDENTITY_BYTES} bytes and a port from 1 to 65535")
    if len(host) > HOST_BYTES or not _HOST.fullmatch(grant.host):
        raise Misuse(f"expected the name or the IP of a host, of at most {HOST_BYTES} bytes")
    return _GRANT.pack(grant.key.reveal().encode(), grant.identity, grant.port, len(user), user, len(host), host)


def read_grant(plain: bytes) -> Grant:
    """Return what was granted.  Raises `IllegalFrame`."""
    text, identity, port, user_bytes, user_field, host_bytes, host_field = _GRANT.unpack(plain)
    host = _text(host_bytes, host_field)
    if not port or not _HOST.fullmatch(host):
        raise IllegalFrame("expected a grant with a host and a port")
    try:
        key = Key(text)
    except InvalidKey:
        raise IllegalFrame("expected a grant with a key") from None
    return Grant(key=key, user=_user(user_bytes, user_field), identity=identity, host=host, port=port)


def _user(length: int, field: bytes) -> str:
    try:
        return check_user(_text(length, field), len(field))
    except Misuse:
        raise IllegalFrame("expected the name of a user") from None


def _text(length: int, field: bytes) -> str:
    """Return the text of a field that is filled up with zeros.  Raises `IllegalFrame`."""
    if length > len(field) or any(field[length:]):
        raise IllegalFrame("expected a text and zeros behind it")
    try:
        return field[:length].decode()
    except UnicodeDecodeError:
        raise IllegalFrame("expected a text in UTF-8") from None
