"""Record streams: who holds the keys seals anything in any order; what was delivered before the fault, and the fault.

An input is a script, six bytes a record and its body: kind, flags, stream, how to lie, how long the padding is, how
long the body is.  Its records are sealed under the real keys, which move on with each REKEY, and come as one stream of
bytes, whole and in a split, whose records are opened again of one input in four.  A model of a dozen lines says what
must be delivered, and which error ends it.  By chance of the input the seals are Fernet's or AES-256-GCM's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from fuzz import ciphers
from fuzz.splits import draw, pieces
from netstructer.codec.ciphers import AES_256_GCM, FERNET, Cipher, Sealer
from netstructer.codec.frames import FrameReader, joined
from netstructer.errors import BadSeal, IllegalFrame, NetstructerError, OutOfOrder, RekeyOverdue
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, HEADER_BYTES, RecordReader
from netstructer.protocol.states import Kind

SECRET = bytes(range(32))
MOST_STEPS = 40
KINDS = tuple(int(kind) for kind in Kind)
TRUTH, FROM_THE_PAST, FROM_THE_FUTURE, NONZERO_PADDING, LONG_PADDING, OLD_KEY, FLIPPED, LATER = range(8)
"""What a step does about the truth.  LATER tells it, after a second in which nothing came."""

Read = list[tuple[int, int, int, bytes]]


def seeds() -> list[bytes]:
    """Return an honest stream, one with each lie at its end, and ones whose keys move on."""
    honest = b"".join(
        _step(kind, place & 3, place, TRUTH, place * 5, b"body" * place) for place, kind in enumerate(KINDS)
    )
    ping = _step(Kind.PING, 0, 0, TRUTH, 0, b"12345678")
    lies = [ping * 2 + _step(Kind.DATA, 3, 1, lie, 9, b"number and value") for lie in range(8)]
    moves = _step(Kind.REKEY, 0, 0, LATER, 0, b"")
    return [honest, ping * 8, *lies, moves + ping + moves + ping, moves + _step(Kind.REKEY, 0, 0, TRUTH, 0, b"") + ping]


@ciphers.kept()
def one(data: bytes) -> None:
    """Seal the script, read it whole and in a split, and hold both to the model."""
    chance = draw(data)
    cipher = AES_256_GCM if chance & 4 else FERNET
    frames, moments, expected, fault = _sealed(data, cipher)
    if not frames:
        return
    wire = b"".join(frames)
    whole = _read((wire,), moments, cipher)
    assert whole == (expected, fault), f"expected {expected} and then {fault}, found {whole}"
    if chance & 3:  # the same tokens are the same records: to open them again takes longer than all the rest
        assert _framed(pieces(wire), cipher) == frames, "the split makes a difference"
    else:
        assert _read(pieces(wire), moments, cipher) == whole, "the split makes a difference"


def _sealed(data: bytes, cipher: Cipher) -> tuple[list[bytes], list[float], Read, type[NetstructerError] | None]:
    """Return the frames, the time of each record, what must be delivered, and the error behind it."""
    parts, moments, expected = list[bytes](), list[float](), Read()
    fault: type[NetstructerError] | None = None
    level, now, since = 0, 0.0, -1.0
    for sequence, (kind, flags, stream, lie, pad, body) in enumerate(_script(data)):
        now += lie == LATER
        stated = sequence - (lie == FROM_THE_PAST) + 2 * (lie == FROM_THE_FUTURE)
        padding = bytes(pad - 1) + b"\1" if lie == NONZERO_PADDING and pad else bytes(pad)
        most = len(body) + len(padding)
        record = HEADER.pack(stated & (1 << 64) - 1, kind, flags, most + 1 if lie == LONG_PADDING else pad, stream)
        turns = max(0, level - 1) if lie == OLD_KEY else level
        sealer = _sealer(turns) if cipher is FERNET else cipher.sealer(_key(turns, cipher), sequence)
        token = bytearray(sealer.seal_parts((record, body, padding), 0))
        if lie == FLIPPED:
            token[pad % len(token)] ^= 1 + flags % 255
        parts.append(joined(token))
        moments.append(now)
        if fault is not None:
            continue
        if lie == FLIPPED or (lie == OLD_KEY and level):
            fault = BadSeal
        elif stated != sequence:
            fault = OutOfOrder
        elif lie == LONG_PADDING or (lie == NONZERO_PADDING and pad):
            fault = IllegalFrame
        else:
            expected.append((kind, flags, stream, body))
            if kind == Kind.REKEY:
                if now - since < 1.0:
                    fault = RekeyOverdue
                level, since = level + 1, now
    return parts, moments, expected, fault


def _read(parts: Iterable[bytes], moments: list[float], cipher: Cipher) -> tuple[Read, type[NetstructerError] | None]:
    reader, records, found = _frames_of(cipher), RecordReader(SECRET, 0.0, cipher), Read()
    try:
        for part in parts:
            reader.feed(part)
            while (token := reader.next_token()) is not None:
                record = records.read(token)
                found.append((record.kind, record.flags, record.stream, bytes(record.body)))
                if record.kind == Kind.REKEY:
                    records.rekey(moments[len(found) - 1])
    except (BadSeal, OutOfOrder, IllegalFrame, RekeyOverdue) as error:
        return found, type(error)
    return found, None


def _frames_of(cipher: Cipher) -> FrameReader:
    limit, least = cipher.sealed_bytes(HEADER_BYTES + 4096), cipher.sealed_bytes(HEADER_BYTES)
    return FrameReader(limit, least_bytes=least, step_bytes=cipher.token_step)


def _framed(parts: Iterable[bytes], cipher: Cipher) -> list[bytes]:
    reader, found = _frames_of(cipher), list[bytes]()
    for part in parts:
        reader.feed(part)
        while (token := reader.next_token()) is not None:
            found.append(joined(bytes(token)))
    return found


def _script(data: bytes) -> Iterator[tuple[int, int, int, int, int, bytes]]:
    for _ in range(MOST_STEPS):
        if len(data) < 6:
            return
        kind, flags, stream, lie, pad, size = data[:6]
        body = data[6 : 6 + size]
        data = data[6 + size :]
        yield (
            KINDS[kind % len(KINDS)] if kind < 0x80 else kind,
            flags,
            stream,
            lie % 8,
            pad if pad or body else 1,  # a record has a body or padding: the shortest token says so
            body,
        )


def _step(kind: int, flags: int, stream: int, lie: int, pad: int, body: bytes) -> bytes:
    return bytes([KINDS.index(kind), flags, stream, lie, pad, len(body)]) + body


@cache
def _sealer(level: int) -> Sealer:
    return ciphers.sealer(_key(level, FERNET))


@cache
def _key(level: int, cipher: Cipher) -> bytes:
    ratchet = Ratchet(SECRET, cipher)
    for _ in range(level):
        ratchet.advance()
    return ratchet.key
