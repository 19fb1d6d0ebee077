"""Bombs that a peer with the right key says in records, and what it says of files (bombs.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bombs import MIB, Bomb
from bombs_of_frames import block, frame, shrunk
from netstructer import Limits, errors
from netstructer.codec.tags import length_bytes
from netstructer.errors import BadSeal, BadValue, CreditExceeded, IllegalFrame, UnsafeName
from netstructer.protocol import bodies
from netstructer.protocol.events import MessageArrived
from netstructer.protocol.states import AlertCode, Flag, Kind, Role
from netstructer.transfer import globs, wording
from netstructer.transfer.manifest import Entry
from pair import BOTH, Hostile, error_in, opened, read

__all__ = ["RECORDS", "TRANSFERS"]

Said = tuple[Hostile, bytes]
"""A peer, and the bytes that it has sealed."""


def hear(said: Said, limits: Limits) -> object:
    """The door of records: take all in, and read every value that comes; raise what ends the session."""
    peer, wire = said
    kept: list[object] = []
    for start in range(0, len(wire), 65_536):
        events = peer.session.receive_data(wire[start : start + 65_536], peer.now)
        error = error_in(events)
        if error is not None:
            raise error
        kept += [event for event in events if isinstance(event, MessageArrived)]
        peer.session.frames_to_send(MIB, peer.now)
    return kept


def hear_and_read(said: Said, limits: Limits) -> object:
    """The same, and the application reads what came."""
    events: Any = hear(said, limits)
    return [read(said[0].session, event.message) for event in events]


# --- how they are made ------------------------------------------------------------------------------------------------


def first(
    peer: Hostile, chunk: bytes, plain_bytes: int, *, flags: int = BOTH, pad: int = 0, stream: int | None = None,
    **head: int,
) -> bytes:  # fmt: skip
    """Seal the first record of a message, and the last where the flags say so."""
    fields = {"kind": bodies.VALUE, "codec": 0, "place": 0, "parent": 0, "conversation": 0} | head
    packed = bodies.First(plain_bytes=plain_bytes, **fields).pack()
    tail = bodies.total(plain_bytes if plain_bytes != bodies.UNKNOWN else len(chunk)) if flags & Flag.LAST else b""
    body = bodies.number(peer.next_number()) + packed + chunk + tail
    return peer.seal(Kind.DATA, flags, peer.stream if stream is None else stream, body + bytes(pad), pad)


def padded(peer: Hostile, limits: Limits) -> bytes:
    return b"".join(first(peer, b"\1", 1, pad=60_000) for _ in range(300))


def messages(peer: Hostile, limits: Limits, **head: int) -> bytes:
    """Seal as many of the smallest messages as the credit admits, or a thousand."""
    return b"".join(first(peer, b"\1", 1, **head) for _ in range(min(1000, limits.credit_bytes // 300)))


def conversations(peer: Hostile, limits: Limits) -> bytes:
    count = min(1000, limits.credit_bytes // 300)
    numbers = range(1, 2 * count, 2) if peer.role is Role.CLIENT else range(2, 2 * count + 2, 2)
    return b"".join(first(peer, b"\1", 1, kind=bodies.ASIDE, conversation=number) for number in numbers)


def batch(peer: Hostile, limits: Limits) -> bytes:
    items = (b"\0\0\0\1\1") * ((limits.body_bytes - 100) // 5)
    wire = [peer.seal(Kind.BATCH, body=bodies.number(peer.next_number()) + items) for _ in range(8)]
    return b"".join(wire)


def streams(peer: Hostile, limits: Limits) -> bytes:
    begun = range(peer.stream, peer.stream + 2 * limits.streams + 2, 2)
    return b"".join(first(peer, b"\1", 1 << 20, flags=int(Flag.FIRST), stream=stream) for stream in begun)


def blobs(peer: Hostile, limits: Limits, size: int = bodies.UNKNOWN, begin: int = 1000) -> bytes:
    """Seal a value of a thousand blobs, and as many of them as `begin`, a byte each."""
    value = b"\xef" + length_bytes(1000) + b"\xfd\0\0" * 1000
    number = peer.number
    wire = [first(peer, value, len(value), place=1000)]
    head = {"kind": bodies.BLOB, "parent": number}
    wire += [first(peer, b"x", size, place=place, **head) for place in range(begin)]
    return b"".join(wire)


def waiting(peer: Hostile, limits: Limits) -> bytes:
    """Seal values whose blobs never come."""
    return b"".join(first(peer, b"\xfd\0\0", 3, place=1) for _ in range(limits.streams + 1))


def records(peer: Hostile, kind: int, count: int, body: Callable[[int], bytes], stream: int = 0) -> bytes:
    return b"".join(peer.seal(kind, stream=stream, body=body(number)) for number in range(count))


def compressed(payload: Callable[[], bytes], plain_bytes: int) -> Callable[[Hostile, Limits], bytes]:
    return lambda peer, limits: first(peer, payload(), plain_bytes, codec=1)


def alert(peer: Hostile, text: bytes) -> bytes:
    return peer.seal(Kind.ALERT, body=bodies.Alert(AlertCode.ABORTED + 90, "").pack() + text)


# --- the lists --------------------------------------------------------------------------------------------------------


def _record(
    name: str, seal: Callable[[Hostile, Limits], bytes], error: type[BaseException] | None = IllegalFrame, **more: Any
) -> Bomb:
    def make(limits: Limits) -> Said:
        peer = opened(Role.CLIENT, limits=limits)
        return peer, seal(peer, limits)

    more.setdefault("most_bytes", lambda limits: limits.credit_bytes)
    more.setdefault("door", hear)
    return Bomb(name, "records", make=make, error=error, fresh=True, **more)


def _records() -> Iterable[Bomb]:
    run = b"\x02\x00\x10\0"  # a block of 128 KiB of one byte
    ack = bodies.Ack(1, 1 << 40, 0).pack()
    yield _record("300 bytes in 18 MB of padding", padded, None, most_bytes=lambda limits: 0)
    yield _record("a thousand tiny values", messages, None)
    yield _record("a thousand conversations", conversations, None)
    yield _record("batches of a hundred thousand values", batch, CreditExceeded, by_size=True)
    yield _record("streams that are never finished", streams)
    yield _record("a value of 2^62 bytes", lambda peer, limits: first(peer, b"x", 1 << 62, flags=int(Flag.FIRST)), None)
    yield _record(
        "values of 2^62 bytes, refused each",
        lambda peer, limits: b"".join(first(peer, b"", 1 << 62, codec=1) for _ in range(500)),
        None,
    )
    yield _record("65,535 blobs", lambda peer, limits: first(peer, b"\1", 1, place=65_535), CreditExceeded)
    yield _record("a thousand blobs of unknown length", blobs, None)
    yield _record("blobs of 2^62 bytes", lambda peer, limits: blobs(peer, limits, 1 << 62, 1), None)
    yield _record("values whose blobs never come", waiting)
    yield _record("a blob of no value", lambda peer, limits: first(peer, b"x", 1, kind=bodies.BLOB, parent=77))
    yield _record(
        "acknowledgements of the same",
        lambda peer, limits: records(peer, Kind.ACK, 1000, lambda _: ack),
        None,
    )
    yield _record(
        "an acknowledgement of what was never sent",
        lambda peer, limits: records(peer, Kind.ACK, 1, lambda _: bodies.Ack(1 << 63, 1 << 40, 0).pack()),
    )
    yield _record(
        "grants of nothing",
        lambda peer, limits: records(peer, Kind.GRANT, 1000, lambda number: bodies.Grant(number, 1 << 62).pack()),
        error=IllegalFrame,
    )
    yield _record(
        "cancels of nothing",
        lambda peer, limits: records(
            peer, Kind.CANCEL, 1000, lambda number: bodies.Cancel(number + 1, number, 4).pack(), 2
        ),
    )
    yield _record("a thousand pings", lambda peer, limits: records(peer, Kind.PING, 1000, lambda _: bytes(8)))
    yield _record("a thousand pongs", lambda peer, limits: records(peer, Kind.PONG, 1000, lambda _: bytes(8)))
    yield _record("new keys for sport", lambda peer, limits: peer.seal(Kind.REKEY) + peer.seal(Kind.REKEY), BadSeal)
    yield _record("an alert of 60 KB", lambda peer, limits: alert(peer, b"x" * 60_000))
    yield _record(
        "an alert of control characters", lambda peer, limits: alert(peer, b"\x1b[2J\0\x07" * 20), errors.LinkLost
    )
    yield _record(
        "a farewell of 60 KB",
        lambda peer, limits: peer.seal(Kind.FAREWELL, body=bodies.Farewell(1, 0, "").pack() + b"x" * 60_000),
    )
    yield _record("a frame of 4 GiB", lambda peer, limits: b"\xff\xff\xff\xff" + bytes(MIB), errors.FrameTooBig)
    value = b"\xee" + length_bytes(MIB - 5) + bytes(MIB - 5)
    yield _record(
        "32 KB that expand to 1 GiB, stated as 1 MiB",
        compressed(lambda: frame(value_run(len(value)), run * 8191, size=MIB), MIB),
        errors.BadCompression,
        door=hear_and_read,
    )
    yield _record(
        "2 KB of 15 MiB of empty lists",
        compressed(lambda: shrunk(b"\xef" + length_bytes(15 * MIB) + b"\x90" * (15 * MIB)), 15 * MIB + 5),
        BadValue,
        door=hear_and_read,
        most_bytes=lambda limits: limits.value_bytes + 64 * limits.value_items,
        by_size=True,
    )
    yield _record(
        "a frame cut short", compressed(lambda: shrunk(value)[:-3], MIB), errors.BadCompression, door=hear_and_read
    )


def value_run(size: int) -> bytes:
    """Return a block that begins a value of bytes."""
    head = b"\xee" + length_bytes(size - 5)
    return block(0, len(head), head)


RECORDS = list(_records())


def tell(thing: tuple[Callable[[Any], object], Any], limits: Limits) -> object:
    """The door of what the other end of a transfer says."""
    reader, value = thing
    return reader(value)


def offer(count: int, **changes: Any) -> tuple[str, dict[str, Any]]:
    entries = [Entry(name=f"f{number}", size=1) for number in range(count)]
    verb, fields = wording.Offer(entries=entries).value()
    return verb, fields | changes


def _transfer(
    name: str,
    reader: Callable[[Any], object],
    make: Callable[[], Any],
    error: type[BaseException] | None = BadValue,
    **more: Any,
) -> Bomb:
    return Bomb(name, "transfers", tell, lambda limits: (reader, make()), error, **more)


def _transfers() -> Iterable[Bomb]:
    deep = "/".join(["d"] * 100_000)
    yield _transfer("a name of 100,000 directories", wording.read_offer, lambda: offer(1, names=[deep]), UnsafeName)
    yield _transfer(
        "a name of 15 MiB of slashes", wording.read_offer, lambda: offer(1, names=["/" * (15 * MIB)]), UnsafeName
    )
    yield _transfer("a name of 15 MiB", wording.read_offer, lambda: offer(1, names=["x" * (15 * MIB)]), UnsafeName)
    yield _transfer(
        "names in 2,000 directories each",
        wording.read_offer,
        lambda: offer(50, names=[f"{n}/" + "d/" * 2000 + "x" for n in range(50)]),
        UnsafeName,
    )
    yield _transfer(
        "two million entries",
        wording.read_offer,
        lambda: ("offer", offer(0)[1] | {"names": ["x"] * 1_100_000, "kinds": "f"}),
        BadValue,
    )
    yield _transfer("columns of different lengths", wording.read_offer, lambda: offer(1, kinds="f" * 10 * MIB))
    yield _transfer("a size of 8,000 bits", wording.read_offer, lambda: offer(1, sizes=[1 << 8000]))
    yield _transfer(
        "a target of 15 MiB",
        wording.read_offer,
        lambda: offer(1, kinds="l", sizes=[None], modes=[None], targets={0: "../" * (5 * MIB)}),
        UnsafeName,
    )
    yield _transfer("100,000 patterns", wording.read_get, lambda: ("get", {"patterns": ["*"] * 100_000}))
    yield _transfer("a pattern of 15 MiB", wording.read_get, lambda: ("get", {"patterns": ["*" * (15 * MIB)]}))
    yield _transfer("a request of 15 MiB", wording.read_ls, lambda: ("ls", {"path": "/" * (15 * MIB)}))
    yield _transfer(
        "an answer to 2^20 entries of one",
        wording.read_answer([Entry(name="x", size=1)]),
        lambda: ("answer", {"wants": "w" * MIB, "prefixes": {}, "reasons": {}, "dry": False}),
    )
    yield _transfer(
        "an answer of 500,000 reasons",
        wording.read_answer([Entry(name="x", size=1)]),
        lambda: (
            "answer",
            {"wants": "x", "prefixes": {}, "reasons": dict.fromkeys(range(1, 500_000), "failed"), "dry": False},
        ),
    )
    yield _transfer(
        "a refusal of 15 MiB", wording.check_refusal, lambda: ("refused", {"kind": "failed", "name": "x" * (15 * MIB)})
    )
    yield _transfer(
        "a pattern of stars on a name of letters",
        lambda text: globs.Pattern(text).allows(("a" * 255,) * 8),
        lambda: "/".join(["*a" * 100 + "b"] * 8),
        None,
    )


TRANSFERS = list(_transfers())
