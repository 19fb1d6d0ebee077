"""The wire: any bytes before, in and after a conversation, in any split; an end with a name, and nothing after it.

The first byte of an input chooses which end reads it and in which state; the rest is what comes from a peer, or from
somebody who took a peer's place.  It is read whole and in a split by two sessions that are the same.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz import ciphers
from fuzz.session_target import Peer
from fuzz.splits import pieces
from netstructer.protocol import bodies
from netstructer.protocol.states import Kind, Role

HELD_BYTES = 64 << 10
"""What a session may hold of what no key has sealed."""
MOST_AFTER = 2
"""Pieces after the end: what comes of the first comes of all."""


def seeds() -> list[bytes]:
    """Return bytes for each state: none, a frame that is none, the start of one, and what speaks something else."""
    texts = (
        b"",
        b"\0\0\0\x59" + bytes(89),
        b"\0\0\0\x59",
        b"\xff" * 20,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\x04\x09" + bytes(9),
    )
    return [bytes([place]) + text for place in range(2 * len(_STATES)) for text in texts]


@ciphers.kept()
def one(data: bytes) -> None:
    """Bring two sessions into a state, and give the bytes to one whole and to the other in pieces."""
    if not data:
        return
    role = Role.SERVER if data[0] & 1 else Role.CLIENT
    prepare = _STATES[(data[0] >> 1) % len(_STATES)]
    wire = data[1:]
    peer, twin = Peer(role), Peer(role)
    whole, split = _come(peer, prepare, [wire]), _come(twin, prepare, pieces(wire))
    assert whole == split, f"the split makes a difference: {whole}, {split}"
    peer.check_end()


def _come(peer: Peer, prepare: Callable[[Peer], None], parts: list[bytes]) -> tuple[object, ...]:
    prepare(peer)
    after = 0
    for part in parts:
        peer.receive(part)
        after += peer.ended
        if after > MOST_AFTER:
            break
    session = peer.session
    assert session.inflow.frames.held_bytes <= max(HELD_BYTES, sum(map(len, parts)))
    return session.state, type(session.error), str(session.error), len(peer.messages), peer.ended


def _leave(peer: Peer) -> None:
    peer.open()
    peer.session.say_farewell()
    peer.receive(b"")


def _left(peer: Peer) -> None:
    peer.open()
    peer.say(Kind.FAREWELL, 0, 0, bodies.Farewell(1, 0, "").pack())


_STATES: tuple[Callable[[Peer], None], ...] = (lambda peer: None, Peer.open, _leave, _left)
