"""Hellos: what a server reads from anybody, and what it reads from somebody who holds the key and means harm."""

from __future__ import annotations

from functools import cache

from netstructer.errors import BadFrame, Downgrade, IllegalFrame, KeyRefused, NotNetstructer, VersionMismatch
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.handshake import HELLO_BYTES, ExpectHello, start_client
from netstructer.protocol.noise import NN_PSK0, Handshake, KeyPair
from netstructer.protocol.parameters import Parameters

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
RING = KeyRing({"ann": KEY})
IDENTITY = KeyPair(b"\x33" * 32)
CLIENT = Parameters.of(Limits.DEFAULT, 7)
SERVER = Parameters.of(Limits.DEFAULT, 7, b"D" * 16)
REFUSED = (BadFrame, NotNetstructer, VersionMismatch, IllegalFrame, KeyRefused)


@cache
def seeds() -> list[bytes]:
    """Return hellos of both suites, named and anonymous, and the parameters inside them."""
    hellos = [
        start_client(KEY, CLIENT, suite=suite, anonymous=anonymous, draw=lambda size: b"\x11" * size)[0]
        for suite in (1, 2)
        for anonymous in (False, True)
    ]
    return [*hellos, CLIENT.pack(), Parameters.of(Limits.BULK, 7).pack()]


def one(data: bytes) -> None:
    """Read the bytes as a hello, and as the parameters inside a hello that the key made."""
    server = ExpectHello(RING, SERVER, identity=IDENTITY)
    try:
        server.receive(data)
    except REFUSED:
        assert len(server.answer) in (0, 8), "a refusal of another length"
    else:
        assert data in seeds(), "a forged hello was accepted"

    packed = data[:64].ljust(64, b"\0")
    server = ExpectHello(RING, SERVER)
    try:
        agreed = server.receive(_hello(packed))
    except (VersionMismatch, IllegalFrame, Downgrade):
        assert len(server.answer) == 8
        return
    assert agreed.peer.pack() == packed, "parameters were read in two ways"
    assert isinstance(agreed.peer.limits(), Limits)


def _hello(packed: bytes) -> bytes:
    clear = b"NSTR\1\1\0\0" + KEY.key_id
    noise = Handshake(NN_PSK0, initiator=True, prologue=b"netstructer/1" + clear, psks=[KEY.psk])
    hello = clear + noise.write(packed)
    assert len(hello) == HELLO_BYTES
    return hello
