"""Two readers, one specification: what `reader.py` makes of a recording is what was sent."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from zstandard import ZstdError

import reader
from netstructer.codec.blob import Blob
from netstructer.codec.compression import ZSTD
from netstructer.codec.values import encode
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol.handshake import Agreement, ExpectHello, start_client
from netstructer.protocol.noise import KeyPair
from netstructer.protocol.outgoing import Batch
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Kind, Role, State
from pair import ALL_FEATURES, C2S, INSTANCE, S2C, WALL, Draw, Pair, send
from reader import BlobBytes, Direction, Opaque, Part, Unreadable, read_records, read_session, read_value

MOST_LINES = 440
SESSIONS = sorted((Path(__file__).parent / "vectors" / "sessions").glob("*.vector"))
REKEYING = Limits(rekey_records=1024, body_bytes=4096)
LETTERS = [chr(ord("a") + place % 26) * (place % 7 + 1) for place in range(40)]

VALUES: list[Any] = [
    None,
    [True, False],
    *(0, 127, 128, -1, -16, -17, 255, -129, 1 << 63, -(1 << 63), 1 << 64, -(1 << 200), 3**500),
    *(0.0, -0.0, 1.5, math.inf, -math.inf),
    *("", "hi", "é" * 20, "\N{PARTY POPPER}" * 70, "x" * 247, "x" * 248, "x" * 70_000),
    *(b"", b"abc", bytes(300), bytearray(b"mutable"), bytearray(1000)),
    [1, [2, [3, []]]],
    (1, ("two", (3.0,))),
    {"a": 1, b"b": [2], (3, 4): {5: None}},
    {1, 2, 6, 4},
    {"one", b"two", 3, 4.5, (6, 7)},
    frozenset({"x", frozenset({1, 2})}),
    set(range(100)),
    frozenset(LETTERS),
    {(place, str(place)) for place in range(20)},
    *(list(range(top - 20, top)) for top in (100, 1 << 8, 1 << 16, 1 << 32, 1 << 64)),
    *([-1 - low, *range(20)] for low in (0, 200, 1 << 20, 1 << 40)),
    [place / 8 for place in range(50)],
    [place % 3 == 0 for place in range(21)],
    [None] * 20,
    LETTERS,
    [None if place % 4 == 0 else place for place in range(30)],
    [None, *LETTERS],
    [{"id": place, "name": str(place), "score": place / 2} for place in range(40)],
    [(place, str(place)) for place in range(40)],
    [[place, -place] for place in range(40)],
    [list(range(place % 5)) for place in range(40)],
    [tuple(range(place % 5)) for place in range(40)],
    tuple(range(1000)),
    {place: str(place) for place in range(50)},
    [1, "two", 3.0, None] * 10,
    ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)],
]
"""Every tag that the reader takes apart, and every length of a length."""


def typed(value: Any) -> Any:
    """Return a value with the type of every part spelled out, so that equal means equal types and signs too."""
    if isinstance(value, dict):
        return ("dict", [(typed(key), typed(part)) for key, part in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [typed(part) for part in value])
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, {repr(typed(part)) for part in value})
    return (type(value).__name__, repr(value))


def test_the_reader_shares_nothing_with_the_package() -> None:
    source = Path(reader.__file__).read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])

    assert len(source.splitlines()) <= MOST_LINES
    assert imported & {"netstructer", "pair", "conftest", "strategies", "importlib"} == set()
    assert imported >= {"hmac", "cryptography", "zstandard"}


@pytest.mark.parametrize("place", range(len(VALUES)))
def test_the_reader_reads_values(place: int) -> None:
    encoded = b"".join(encode(VALUES[place]).buffers)

    assert typed(read_value(encoded, [])) == typed(VALUES[place])


def test_the_reader_leaves_rare_values_alone() -> None:
    encoded = b"".join(encode([1, 2 + 3j]).buffers)

    assert read_value(encoded, []) == Opaque(encoded)


def read_pair(pair: Pair) -> tuple[Direction, Direction]:
    return read_session(C2S, S2C, bytes(pair.client.said), bytes(pair.server.said))


def test_the_reader_agrees_about_a_whole_session() -> None:
    """Several streams at once, both ways; a batch, blobs, compression, rekeys, a cancel, pings, a farewell."""
    pair = Pair(limits=REKEYING)
    rows = [{"id": place, "text": "again and again"} for place in range(5000)]
    large = Draw("large")(100_000)
    compressed = send(pair.client.session, rows)
    send(pair.client.session, large)
    send(pair.client.session, "small, and overtakes", flags=4 | 8)
    send(pair.server.session, [large, 1], compress=False)
    batch = Batch()
    for place in range(10):
        batch.add(encode(place))
    pair.client.session.queue(batch)
    given_up = send(pair.server.session, Draw("given up")(50_000))
    pair.seal(pair.server, 20_000)
    pair.server.session.abandon(given_up)
    got_here, got_there = pair.exchange()
    send(pair.client.session, {"known": Blob(b"k" * 9000, name="k.bin"), "unknown": Blob.from_iter([b"u" * 5, large])})
    for place in range(1100):
        send(pair.client.session, place)
    pair.client.session.ping(pair.now)
    got_there += pair.exchange()[1]
    pair.client.session.say_farewell(7, "bye")
    pair.pump(reading=True)
    sent, answered = read_pair(pair)

    assert (pair.client.state, pair.server.state) == (State.CLOSED, State.CLOSED)
    assert compressed.codec == ZSTD
    assert len(got_there) == 3 + 10 + 1 + 1100
    with_blobs = next(place for place, value in enumerate(got_there) if isinstance(value, dict))
    arrived = {name: bytes(blob) for name, blob in got_there.pop(with_blobs).items()}
    assert sent.values.pop(with_blobs) == {
        "known": BlobBytes("k.bin", arrived["known"]),
        "unknown": BlobBytes(None, arrived["unknown"]),
    }
    assert arrived == {"known": b"k" * 9000, "unknown": b"u" * 5 + large}
    assert typed(sent.values) == typed(got_there)
    assert typed(answered.values) == typed(got_here)
    assert sent.values.index("small, and overtakes") < sent.values.index(large)
    assert (rows in sent.values, [large, 1] in answered.values) == (True, True)
    assert answered.cancelled == [(given_up.number, 4)]
    assert (sent.farewell, answered.farewell) == ((7, "bye"), (0, ""))
    assert sent.kinds.count(Kind.REKEY) == 1
    assert {Kind.OPEN, Kind.DATA, Kind.BATCH, Kind.PING, Kind.ACK, Kind.FAREWELL} <= set(sent.kinds)
    assert {Kind.ACCEPT, Kind.DATA, Kind.CANCEL, Kind.PONG, Kind.ACK, Kind.FAREWELL} <= set(answered.kinds)
    assert (sent.acknowledged[0], answered.acknowledged[0]) == (answered.next_number, sent.next_number)


@pytest.mark.parametrize("padding", ["bucket", "full"])
def test_the_reader_agrees_about_padding(padding: str) -> None:
    pair = Pair(limits=REKEYING, padding=padding)
    values = ["short", b"l" * 10_000, list(range(3000))]
    for value in values:
        send(pair.client.session, value)
    pair.exchange()

    assert typed(sorted(read_pair(pair)[0].values, key=repr)) == typed(sorted(values, key=repr))


@pytest.mark.parametrize("suite", [1, 2])
def test_the_reader_begins_at_the_hello(suite: int) -> None:
    """A recording of a whole transport, under secrets that a real handshake made."""
    key = Key.generate()
    hello, expected = start_client(key, Parameters.of(Limits.DEFAULT, ALL_FEATURES), suite=suite)
    ring, own = KeyRing(key), Parameters.of(Limits.DEFAULT, ALL_FEATURES, INSTANCE)
    served = ExpectHello(ring, own, identity=KeyPair(bytes([7]) * 32)).receive(hello)
    opened = expected.receive(served.answer)
    client, server = session_of(Role.CLIENT, opened), session_of(Role.SERVER, served)
    recorded = {client: bytearray(hello), server: bytearray(served.answer)}
    send(client, ["from", "the", "client"])
    send(server, {"from": "the server"})
    for now in range(10):
        for here, there in ((client, server), (server, client)):
            sealed = b"".join(here.frames_to_send(1 << 20, float(now)))
            recorded[here] += sealed
            there.receive_data(sealed, float(now))
    said = read_session(opened.send_secret, opened.receive_secret, bytes(recorded[client]), bytes(recorded[server]))

    assert [direction.values for direction in said] == [[["from", "the", "client"]], [{"from": "the server"}]]


def session_of(role: Role, agreed: Agreement) -> Session:
    draw = Draw(role.value)
    instance = INSTANCE if role is Role.SERVER else bytes(16)
    return Session(role, agreed, limits=Limits.DEFAULT, now=0.0, draw=draw, wall=lambda: float(WALL), instance=instance)


UNSEEN = {
    *("alert", "resume", "pings", "pong-unasked", "rekey-twice", "other-instance"),  # of time, and of what is answered
    *("credit", "two-streams-too-many", "too-many-values-with-blobs", "grant-never-sent"),  # of the other end's figures
    *("no-value", "new-key-of-another-spelling"),  # in a tag, and a key, that the reader leaves alone
}
"""Vectors of sessions whose fault is no fault of what was said, by itself."""
STRICT = {"number-repeated", "too-big"}
"""What a receiver must bear, and no honest end says."""


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_the_reader_agrees_about_the_vectors(path: Path) -> None:
    head, _, body = path.read_text("utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    client = fields["end"] == "server"
    direction = Direction(reader.OPEN, 1) if client else Direction(reader.ACCEPT, 0)
    try:
        for record in read_records(bytes.fromhex(fields["secret-c2s" if client else "secret-s2c"]), read_hex(body)):
            direction.take(*record)
        for part in (*direction.values, *direction.asides):
            if isinstance(part, Part):
                part.value()
    except (Unreadable, ZstdError, UnicodeDecodeError):
        assert path.stem in STRICT or fields["expect"] != "success"
    else:
        assert path.stem in UNSEEN or fields["expect"] == "success"


def read_hex(body: str) -> bytes:
    return bytes.fromhex("".join(body.split()))


@pytest.mark.parametrize("at", [4, 12, 40, 100, -1])
def test_the_reader_refuses_what_was_changed(at: int) -> None:
    pair = Pair()
    send(pair.client.session, "a value")
    pair.exchange()
    changed = bytearray(pair.client.said)
    changed[at] ^= 1

    with pytest.raises(Unreadable):
        read_session(C2S, S2C, bytes(changed), bytes(pair.server.said))


def test_the_reader_refuses_a_frame_that_is_missing_and_one_that_comes_twice() -> None:
    pair = Pair()
    for value in range(3):
        send(pair.client.session, value)
        pair.exchange()
    said = bytes(pair.client.said)
    frames = []
    while said:
        size = 4 + int.from_bytes(said[:4], "big")
        frames.append(said[:size])
        said = said[size:]

    for wrong in (frames[:1] + frames[2:], [*frames[:2], frames[1], *frames[2:]], [frames[1], frames[0], *frames[2:]]):
        with pytest.raises(Unreadable):
            read_session(C2S, S2C, b"".join(wrong), bytes(pair.server.said))
