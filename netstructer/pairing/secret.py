"""The secret of a pairing: SPAKE2 over a code, and the keys that follow from it.  Floor: COMMONS.

Law: whatever is derived hangs on both elements.  Spec: protocol.md, "Pairing".  Chance comes in by the door.

The package `spake2`, the extra `pair`, is imported when it is first needed.  It is pure Python: its arithmetic takes a
time that depends on secrets.  A secret here is used once, at the pace of a network; still this is why codes are for
pairing and for nothing else.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from netstructer.errors import IllegalFrame, MissingDependency
from netstructer.pairing.frames import HEAD_BYTES
from netstructer.protocol.noise import expand

__all__ = ["Draw", "Keys", "derive", "find_spake2", "half"]

Draw = Callable[[int], bytes]
"""Gives so many random bytes."""

CLIENT_NAME = b"netstructer/1 pair client"
SERVER_NAME = b"netstructer/1 pair server"


class Keys(NamedTuple):
    """What both ends make of the secret: two MACs, and a key for what each end seals."""

    client_confirm: bytes
    server_confirm: bytes
    client_seal: bytes
    server_seal: bytes

    def __repr__(self) -> str:
        return "<Keys>"


def half(side: Literal["SPAKE2_A", "SPAKE2_B"], code: str, draw: Draw) -> Any:
    """Return one side of a SPAKE2 that nobody has used: `start()` gives its element behind a byte for the side.

    Raises `MissingDependency`.
    """
    return getattr(find_spake2(), side)(code.encode(), idA=CLIENT_NAME, idB=SERVER_NAME, entropy_f=draw)


def derive(spake: Any, side: bytes, client_share: bytes, server_share: bytes, peer_share: bytes) -> Keys:
    """Return the keys that follow from both shares, which are whole frames.

    `side` is the peer's, `b"A"` or `b"B"`.  Raises `IllegalFrame` where its share is no element of the group.
    """
    try:
        secret = spake.finish(side + peer_share[HEAD_BYTES:])
    except Exception:  # spake2 has several kinds, one of them in a private module
        raise IllegalFrame("expected an element of the group") from None
    transcript = sha256(b"netstructer/1 pair" + client_share + server_share).digest()
    root = hmac.digest(transcript, secret, "sha256")
    client, server = (expand(root, b"ns1 pair confirm " + name, 32) for name in (b"client", b"server"))
    return Keys(
        client_confirm=hmac.digest(client, transcript, "sha256"),
        server_confirm=hmac.digest(server, transcript, "sha256"),
        client_seal=expand(root, b"ns1 pair seal client", 32),
        server_seal=expand(root, b"ns1 pair seal server", 32),
    )


def find_spake2() -> Any:
    """Return the package that pairing rests on.  Raises `MissingDependency`."""
    try:
        import spake2  # type: ignore[import-untyped]  # it ships no types
    except ModuleNotFoundError as error:
        raise MissingDependency("pairing needs the package spake2: pip install 'netstructer[pair]'") from error
    return spake2
