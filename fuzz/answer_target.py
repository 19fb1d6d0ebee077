"""Answers: what a client reads from whatever it reached, and from a server that holds the key and means harm.

An input is an answer, as it comes from the wire, in one of the two suites; and its first 64 bytes are the parameters
inside one that the key made.  Those are read bare, and one input in 32 goes the whole way, through a handshake.
"""

from __future__ import annotations

from functools import cache

from fuzz.splits import draw
from netstructer.errors import (
    BadFrame,
    Banned,
    Busy,
    Downgrade,
    IllegalFrame,
    KeyRefused,
    NotNetstructer,
    VersionMismatch,
)
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.handshake import CODE_BYTES, ExpectAnswer, ExpectHello, refusal, start_client
from netstructer.protocol.noise import NN_PSK0, Handshake, KeyPair
from netstructer.protocol.parameters import Parameters

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
IDENTITY = KeyPair(b"\x33" * 32)
LIMITS = Limits(body_bytes=64 << 10)
"""What was stated when the corpus was made: it stays good when a default moves."""
CLIENT = Parameters.of(LIMITS, 7)
SERVER = Parameters.of(LIMITS, 7, b"D" * 16)
REFUSED = (BadFrame, NotNetstructer, VersionMismatch, IllegalFrame, KeyRefused, Busy, Banned)
WHOLE_WAY = 32
_waiting: dict[int, ExpectAnswer] = {}
"""Clients whose hello is sent, by their suite: each waits until an answer has come as far as its seal."""


@cache
def seeds() -> list[bytes]:
    """Return answers of both suites, every refusal, and parameters as they stand inside an answer."""
    server = ExpectHello(KeyRing(KEY), SERVER, identity=IDENTITY, draw=lambda size: b"\x22" * size)
    answers = [server.receive(_start(suite)[0]).answer for suite in (1, 2)]
    return [*answers, *(refusal(code) for code in range(1, 6)), SERVER.pack()]


def one(data: bytes) -> None:
    """Read the bytes as an answer, and as the parameters inside an answer that the key made."""
    chance = draw(data)
    suite = data[5] if data[:4] == b"NSTR" and len(data) > 5 and data[5] in (1, 2) else 1 + (chance >> 8) % 2
    client = _waiting.pop(suite, None) or _start(suite)[1]
    _lengths(client, data, chance)
    try:
        client.receive(data)
    except (BadFrame, NotNetstructer):
        _waiting[suite] = client
    except REFUSED:
        if len(data) == CODE_BYTES:
            _waiting[suite] = client
    else:
        assert data in seeds(), "a forged answer was accepted"

    packed = data[:64].ljust(64, b"\0")
    try:
        peer = Parameters.unpack(packed, of_server=True)
    except (VersionMismatch, IllegalFrame):
        peer = None
    else:
        assert peer.pack() == packed, "parameters were read in two ways"
        assert isinstance(peer.limits(), Limits)
    if chance % WHOLE_WAY == 0:
        _whole_way(packed, peer)


def _lengths(client: ExpectAnswer, data: bytes, chance: int) -> None:
    """See that what a client waits for does not depend on how much has come, once the code has."""
    needed = client.needed(data)
    assert needed in (8, 120, 168)
    assert client.needed(data[: (chance >> 4) % CODE_BYTES]) == CODE_BYTES, "less than a code told the length"
    come = CODE_BYTES + (chance >> 16) % 200
    assert client.needed(data[:come]) == needed, "what follows an answer changed its length"


def _whole_way(packed: bytes, peer: Parameters | None) -> None:
    hello, client = _start(1)
    noise = Handshake(NN_PSK0, initiator=False, prologue=b"netstructer/1" + hello[:16], psks=[KEY.psk])
    noise.read(hello[16:])
    try:
        agreed = client.receive(hello[:8] + noise.write(packed))
    except (VersionMismatch, IllegalFrame):
        assert peer is None, "parameters were refused inside an answer only"
    except Downgrade:
        assert peer is not None
        assert peer.max_version > 1
    else:
        assert agreed.peer == peer, "parameters were read in two ways"


def _start(suite: int) -> tuple[bytes, ExpectAnswer]:
    return start_client(KEY, CLIENT, suite=suite, draw=lambda size: b"\x11" * size)
