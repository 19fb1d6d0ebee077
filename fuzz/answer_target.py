"""Answers: what a client reads from whatever it reached, and from a server that holds the key and means harm."""

from __future__ import annotations

from functools import cache

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
from netstructer.protocol.handshake import ExpectAnswer, ExpectHello, refusal, start_client
from netstructer.protocol.noise import NN_PSK0, Handshake, KeyPair
from netstructer.protocol.parameters import Parameters

KEY = Key("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM=")
IDENTITY = KeyPair(b"\x33" * 32)
CLIENT = Parameters.of(Limits.DEFAULT, 7)
SERVER = Parameters.of(Limits.DEFAULT, 7, b"D" * 16)
REFUSED = (BadFrame, NotNetstructer, VersionMismatch, IllegalFrame, KeyRefused, Busy, Banned)


@cache
def seeds() -> list[bytes]:
    """Return answers of both suites, every refusal, and parameters as they stand inside an answer."""
    server = ExpectHello(KeyRing(KEY), SERVER, identity=IDENTITY, draw=lambda size: b"\x22" * size)
    answers = [server.receive(_start(suite)[0]).answer for suite in (1, 2)]
    return [*answers, *(refusal(code) for code in range(1, 6)), SERVER.pack()]


def one(data: bytes) -> None:
    """Read the bytes as an answer in both suites, and as the parameters inside an answer that the key made."""
    for suite in (1, 2):
        _, client = _start(suite)
        needed = client.needed(data)
        assert needed in (8, 120, 168)
        assert needed == client.needed(data[:needed]), "what follows an answer changed its length"
        try:
            client.receive(data)
        except REFUSED:
            pass
        else:
            assert data in seeds(), "a forged answer was accepted"

    packed = data[:64].ljust(64, b"\0")
    hello, client = _start(1)
    noise = Handshake(NN_PSK0, initiator=False, prologue=b"netstructer/1" + hello[:16], psks=[KEY.psk])
    noise.read(hello[16:])
    try:
        agreed = client.receive(hello[:8] + noise.write(packed))
    except (VersionMismatch, IllegalFrame, Downgrade):
        return
    assert agreed.peer.pack() == packed, "parameters were read in two ways"
    assert isinstance(agreed.peer.limits(), Limits)


def _start(suite: int) -> tuple[bytes, ExpectAnswer]:
    return start_client(KEY, CLIENT, suite=suite, draw=lambda size: b"\x11" * size)
