"""Hellos: what a server reads from anybody, and what it reads from somebody who holds the key and means harm.

An input is a hello, as it comes from the wire; and its first 64 bytes are the parameters inside one that the key made.
To seal those into a hello costs a handshake, so they are read bare, and one input in 32 goes the whole way.
"""

from __future__ import annotations

from functools import cache

from fuzz.splits import draw
from netstructer.codec.ciphers import AES_256_GCM, FERNET
from netstructer.errors import BadFrame, Downgrade, IllegalFrame, KeyRefused, NotNetstructer, VersionMismatch
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.handshake import HELLO_BYTES, SUITES, ExpectHello, start_client
from netstructer.protocol.noise import NN_PSK0, Handshake, KeyPair
from netstructer.protocol.parameters import Parameters

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
RING = KeyRing({"ann": KEY})
IDENTITY = KeyPair(b"\x33" * 32)
LIMITS = Limits(body_bytes=64 << 10)
"""What was stated when the corpus was made: it stays good when a default moves."""
CLIENT = Parameters.of(LIMITS, 7)
SERVER = Parameters.of(LIMITS, 7, b"D" * 16)
REFUSED = (BadFrame, NotNetstructer, VersionMismatch, IllegalFrame, KeyRefused)
CIPHERS = (FERNET, AES_256_GCM)
WHOLE_WAY = 32


@cache
def seeds() -> list[bytes]:
    """Return hellos of all suites, named and anonymous, and the parameters inside them."""
    hellos = [
        start_client(KEY, CLIENT, suite=suite, anonymous=anonymous, draw=lambda size: b"\x11" * size)[0]
        for suite in SUITES
        for anonymous in (False, True)
    ]
    return [*hellos, CLIENT.pack(), Parameters.of(Limits.BULK, 7).pack()]


def one(data: bytes) -> None:
    """Read the bytes as a hello, and as the parameters inside a hello that the key made."""
    server = ExpectHello(RING, SERVER, identity=IDENTITY, ciphers=CIPHERS)
    try:
        server.receive(data)
    except REFUSED:
        assert len(server.answer) in (0, 8), "a refusal of another length"
    else:
        assert data in seeds(), "a forged hello was accepted"

    packed = data[:64].ljust(64, b"\0")
    try:
        peer = Parameters.unpack(packed, of_server=False)
    except (VersionMismatch, IllegalFrame):
        peer = None
    else:
        assert peer.pack() == packed, "parameters were read in two ways"
        assert isinstance(peer.limits(), Limits)
    if draw(data) % WHOLE_WAY == 0:
        _whole_way(packed, peer, 0x11 if draw(data) % (2 * WHOLE_WAY) else 0x01)


def _whole_way(packed: bytes, peer: Parameters | None, suite: int) -> None:
    server = ExpectHello(RING, SERVER, ciphers=CIPHERS)
    try:
        agreed = server.receive(_hello(packed, suite))
    except (VersionMismatch, IllegalFrame):
        assert len(server.answer) == 8
        assert peer is None, "parameters were refused inside a hello only"
    except Downgrade:
        assert len(server.answer) == 8
        assert peer is not None
        assert peer.max_version > 1
    else:
        assert agreed.peer == peer, "parameters were read in two ways"
        assert agreed.suite == suite


def _hello(packed: bytes, suite: int) -> bytes:
    clear = b"NSTR\1" + bytes([suite, 0, 0]) + KEY.key_id
    noise = Handshake(NN_PSK0, initiator=True, prologue=b"netstructer/1" + clear, psks=[KEY.psk])
    hello = clear + noise.write(packed)
    assert len(hello) == HELLO_BYTES
    return hello
