"""Pairing: what a server reads from anybody, what a client reads from whoever answers, and what lies in the seals."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from hashlib import shake_256

from netstructer.errors import (
    BadSeal,
    IllegalFrame,
    InvalidCode,
    NotNetstructer,
    PairingRefused,
    VersionMismatch,
    WrongCode,
)
from netstructer.keys import Key
from netstructer.pairing.ceremony import Asked, Confirmed, Granted, Host, Installed, Taken, Visitor, Wished
from netstructer.pairing.codes import read_code
from netstructer.pairing.frames import Grant, pack_grant, pack_wish, read_grant, read_wish

CODE = "47-guitar-orbit"
GRANT = Grant(
    key=Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM="),
    user="ada",
    identity=b"\x22" * 32,
    host="192.0.2.7",
    port=5000,
)
PROOF_BYTES = 80
"""An element and a MAC, each with its head."""
FAULTS = (BadSeal, IllegalFrame, NotNetstructer, PairingRefused, VersionMismatch, WrongCode)


class Chance:
    """Gives the same bytes to each ceremony, so that a recording of one fits the next."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._count = seed, 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return shake_256(self._seed + bytes([self._count])).digest(size)


@cache
def seeds() -> list[bytes]:
    """Return what each end sends in a whole ceremony, the plain bytes behind the seals, and a code."""
    host, visitor, sent, answered = Host(), Visitor(CODE, Chance(b"client"), user="ada"), b"", b""
    while not host.over:
        out = visitor.take()
        _host(host, out)
        back = host.take()
        _visitor(visitor, back)
        sent, answered = sent + out, answered + back
    return [sent, answered, pack_grant(GRANT), pack_wish("ada"), CODE.encode()]


def one(data: bytes) -> None:
    """Read the bytes as either end, as what is sealed, and as a code that somebody types."""
    sent, answered, *_ = seeds()
    host, visitor = Host(), deepcopy(_fresh_visitor())
    try:
        proved = _host(host, data)
    except FAULTS:
        assert host.over
    else:
        assert not proved or data.startswith(sent[:PROOF_BYTES]), "a forgery was taken for a client"
    try:
        proved = _visitor(visitor, data)
    except FAULTS:
        assert visitor.over
    else:
        assert not proved or data.startswith(answered[:PROOF_BYTES]), "a forgery was taken for a server"
    _plain(data)


@cache
def _fresh_visitor() -> Visitor:
    """Return a client that has sent its element, to be copied: to make one takes 5 ms."""
    visitor = Visitor(CODE, Chance(b"client"), user="ada")
    visitor.take()
    return visitor


def _host(host: Host, data: bytes) -> bool:
    """Give bytes to a server; return whether it took them for those of one who has the code."""
    proved = False
    while data and host.wanted:
        size = host.wanted
        match host.receive(data[:size]):
            case Asked():
                host.answer(CODE, Chance(b"server"))
            case Confirmed():
                proved = True
                host.confirm()
            case Wished():
                host.grant(GRANT)
            case Taken():
                host.installed()
        data = data[size:]
    return proved


def _visitor(visitor: Visitor, data: bytes) -> bool:
    """Give bytes to a client; return whether it took them for those of one who has the code."""
    proved = False
    while data and visitor.wanted:
        size = visitor.wanted
        match visitor.receive(data[:size]):
            case Granted(grant=grant):
                proved = True
                assert grant == GRANT
                visitor.have()
            case Installed():
                visitor.done()
        data = data[size:]
    return proved


def _plain(data: bytes) -> None:
    size = len(pack_grant(GRANT))
    packed = data[:size].ljust(size, b"\0")
    try:
        grant = read_grant(packed)
    except IllegalFrame:
        pass
    else:
        assert pack_grant(grant) == packed, "a grant was read in two ways"
    size = len(pack_wish(None))
    packed = data[:size].ljust(size, b"\0")
    try:
        wish = read_wish(packed)
    except IllegalFrame:
        pass
    else:
        assert pack_wish(wish) == packed, "a wish was read in two ways"
    try:
        code = read_code(data.decode("utf-8", "replace"))
    except InvalidCode:
        pass
    else:
        assert read_code(code) == code
