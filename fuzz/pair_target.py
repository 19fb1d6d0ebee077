"""Pairing: what a server reads from anybody, and what a client reads from whoever answers, in any split.

The first byte of an input chooses the end; the rest is what comes to it.  SPAKE2 is pure Python and costs an end five
milliseconds, so an end that has had the honest other end's element is made once and copied, and so is a server's own
element.  An input whose element is another, and could be one, costs what it costs; so of eight such inputs seven get
the honest one back, and what comes behind it is read.  What lies in the seals is read bare by grant_target.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cache
from hashlib import shake_256

from fuzz.splits import draw, pieces
from netstructer.errors import (
    BadSeal,
    IllegalFrame,
    NotNetstructer,
    PairingRefused,
    VersionMismatch,
    WrongCode,
)
from netstructer.keys import Key
from netstructer.pairing import ceremony
from netstructer.pairing.ceremony import Asked, Confirmed, Granted, Host, Installed, Taken, Visitor, Wished
from netstructer.pairing.frames import HEAD_BYTES, Grant
from netstructer.pairing.secret import half

CODE = "47-guitar-orbit"
GRANT = Grant(
    key=Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM="),
    user="ada",
    identity=b"\x22" * 32,
    host="192.0.2.7",
    port=5000,
)
SHARE_BYTES = HEAD_BYTES + 32
"""An element, with its head."""
PROOF_BYTES = 2 * SHARE_BYTES
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
    """Return what each end sends in a whole ceremony, and each start of that which ends with a frame."""
    sent, answered = _recording()
    whole = [b"\0" + sent, b"\1" + answered]
    cuts = [text[:size] for text in whole for size in (1, 9, 41, 49, 81, 82, 100, 200, len(text) - 1)]
    return [*whole, *cuts]


@cache
def _recording() -> tuple[bytes, bytes]:
    """Return what a client and a server send each other."""
    host, visitor, sent, answered = Host(), Visitor(CODE, Chance(b"client"), user="ada"), b"", b""
    while not host.over:
        out = visitor.take()
        list(_host(host, out))
        back = host.take()
        list(_visitor(visitor, back))
        sent, answered = sent + out, answered + back
    return sent, answered


def one(data: bytes) -> None:
    """Read the bytes as either end, whole and in a split."""
    if not data:
        return
    wire, as_host = data[1:], data[0] & 1 == 0
    honest = _recording()[0 if as_host else 1]
    if len(wire) >= SHARE_BYTES and wire[:HEAD_BYTES] == honest[:HEAD_BYTES] and draw(data) & 7:
        wire = honest[:SHARE_BYTES] + wire[SHARE_BYTES:]
    if wire[:SHARE_BYTES] == honest[:SHARE_BYTES]:  # that far it went in the recording
        rest, whole = wire[SHARE_BYTES:], _outcome(_answered(as_host), [wire[SHARE_BYTES:]])
        assert _outcome(_answered(as_host), pieces(rest)) == whole, "the split makes a difference"
    else:
        whole = _outcome(_fresh(as_host), [wire])
        if len(wire) < SHARE_BYTES or draw(data) & 0x78 == 0:
            assert _outcome(_fresh(as_host), pieces(wire)) == whole, "the split makes a difference"
    assert not whole[1] or wire.startswith(honest[:PROOF_BYTES]), "a forgery was taken for the other end"


def _outcome(end: Host | Visitor, parts: list[bytes]) -> tuple[str, bool]:
    """Return the fault, and whether the other end was taken for one who has the code."""
    proofs: list[object] = []
    try:
        for part in parts:
            proofs.extend(_host(end, part) if isinstance(end, Host) else _visitor(end, part))
    except FAULTS as error:
        assert end.over
        return f"{type(error).__name__}: {error}", bool(proofs)
    return "", bool(proofs)


def _fresh(as_host: bool) -> Host | Visitor:
    return Host() if as_host else _twin(_fresh_visitor())


def _answered(as_host: bool) -> Host | Visitor:
    """Return an end that has had the honest other end's element."""
    return _twin(_answered_once(as_host))


@cache
def _answered_once(as_host: bool) -> Host | Visitor:
    end = _fresh(as_host)
    parts = [_recording()[0 if as_host else 1][:SHARE_BYTES]]
    assert _outcome(end, parts) == ("", False)
    return end


def _twin(end: Host | Visitor) -> Host | Visitor:
    """Return an end that goes on from where another is: what changes is copied, keys and ciphers are shared."""
    twin = copy(end)
    twin._held, twin._out = bytearray(end._held), bytearray(end._out)
    return twin


@cache
def _fresh_visitor() -> Visitor:
    """Return a client that has sent its element, to be copied: to make one takes 5 ms."""
    visitor = Visitor(CODE, Chance(b"client"), user="ada")
    visitor.take()
    return visitor


class _Begun:
    """The server's side of a SPAKE2 that has its element already: to make it takes 5 ms."""

    def __init__(self) -> None:
        self._spake = half("SPAKE2_B", CODE, Chance(b"server"))
        self._share = self._spake.start()

    def start(self) -> bytes:
        return self._share

    def finish(self, share: bytes) -> bytes:
        return copy(self._spake).finish(share)


@cache
def _begun() -> _Begun:
    return _Begun()


def _answer(host: Host) -> None:
    before, ceremony.half = ceremony.half, lambda *_: _begun()
    try:
        host.answer(CODE, Chance(b"server"))
    finally:
        ceremony.half = before


def _host(host: Host, data: bytes) -> Iterator[object]:
    """Give bytes to a server; yield what proves to it that they are those of one who has the code."""
    while data and host.wanted:
        size = host.wanted
        match host.receive(data[:size]):
            case Asked():
                _answer(host)
            case Confirmed() as proof:
                yield proof
                host.confirm()
            case Wished():
                host.grant(GRANT)
            case Taken():
                host.installed()
        data = data[size:]


def _visitor(visitor: Visitor, data: bytes) -> Iterator[object]:
    """Give bytes to a client; yield what proves to it that they are those of one who has the code."""
    while data and visitor.wanted:
        size = visitor.wanted
        match visitor.receive(data[:size]):
            case Granted(grant=grant) as proof:
                yield proof
                assert grant == GRANT
                visitor.have()
            case Installed():
                visitor.done()
        data = data[size:]
