"""Two readers, one specification: what `reader.py` makes of a recording is what was sent.

What it makes of the vectors is in test_second_reader.py.
"""

from __future__ import annotations

import ast
import math
import sys
from pathlib import Path
from typing import Any

import pytest

import reader
import reader_handshake
import reader_parts
from cases import case
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
from pair import ALL_FEATURES, C2S, INSTANCE, S2C, WALL, Draw, Pair, frame_of, send, tokens_of
from reader_direction import Direction
from reader_structs import Reference, Refused
from reader_values import read_value

MOST_LINES = 300
"""Of each module of the reader, all lines counted."""
MODULES = sorted(Path(reader.__file__).parent.glob("reader*.py"))
THEIRS = {"cryptography", "zstandard"}
"""What the reader may import beside the standard library and its own modules."""
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


def imports_of(source: str) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    return imported


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_reader_shares_nothing_with_the_package(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    own = {path.stem for path in MODULES}
    foreign = imports_of(source) - set(sys.stdlib_module_names) - own

    assert len(source.splitlines()) <= MOST_LINES
    assert foreign <= THEIRS
    assert not imports_of(source) & {"importlib", "runpy"}
    assert "__import__" not in source


def test_the_reader_is_whole() -> None:
    found = set().union(*(imports_of(module.read_text(encoding="utf-8")) for module in MODULES))

    assert {path.stem for path in MODULES} <= found | {"reader_vectors"}
    assert found >= {"hmac", "cryptography", "zstandard"}
    assert imports_of("import netstructer.errors\nfrom netstructer import keys") == {"netstructer"}


def test_the_reader_reads_values() -> None:
    for value in VALUES:
        with case(value):
            assert typed(read_value(b"".join(encode(value).buffers))) == typed(value)


def read_pair(pair: Pair, said: list[tuple[bool, bytes]] | None = None) -> tuple[Direction, Direction]:
    client, server = (stated(end.session.limits) for end in pair.ends)
    session = reader.Session(client, server, instance=INSTANCE)
    reader.read_session(session, C2S, S2C, pair.said if said is None else said)
    return session.client, session.server


def stated(limits: Limits) -> reader_parts.Limits:
    """Return what an end states of its limits, as the reader has it."""
    names = reader_parts.Limits._fields
    return reader_parts.Limits(**{name: getattr(limits, name) for name in names})


def values_of(direction: Direction) -> list[Any]:
    """Return what was delivered; of a value with blobs, their names and bytes in their places."""
    return [with_blobs(message) for message in direction.messages]


def with_blobs(message: reader_parts.Message) -> Any:
    if isinstance(message.value, dict) and message.part:
        blobs = iter(message.part.blobs[place] for place in sorted(message.part.blobs))
        return {key: (item.name, next(blobs).plain()) if isinstance(item, Reference) else item
                for key, item in message.value.items()}  # fmt: skip
    return message.value


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
    place_of_blobs = next(place for place, value in enumerate(got_there) if isinstance(value, dict))
    arrived = {name: bytes(blob) for name, blob in got_there.pop(place_of_blobs).items()}
    received = values_of(sent)
    assert received.pop(place_of_blobs) == {
        "known": ("k.bin", arrived["known"]),
        "unknown": (None, arrived["unknown"]),
    }
    assert arrived == {"known": b"k" * 9000, "unknown": b"u" * 5 + large}
    assert typed(received) == typed(got_there)
    assert typed(values_of(answered)) == typed(got_here)
    assert received.index("small, and overtakes") < received.index(large)
    assert (rows in received, [large, 1] in values_of(answered)) == (True, True)
    assert answered.cancelled == [(given_up.number, 4)]
    assert (sent.farewell, answered.farewell) == ((7, "bye"), (0, ""))
    assert sent.kinds.count(Kind.REKEY) == 1
    assert {Kind.OPEN, Kind.DATA, Kind.BATCH, Kind.PING, Kind.ACK, Kind.FAREWELL} <= set(sent.kinds)
    assert {Kind.ACCEPT, Kind.DATA, Kind.CANCEL, Kind.PONG, Kind.ACK, Kind.FAREWELL} <= set(answered.kinds)
    assert (sent.stated.expected, answered.stated.expected) == (answered.next_number, sent.next_number)


@pytest.mark.parametrize("padding", ["bucket", "full"])
def test_the_reader_agrees_about_padding(padding: str) -> None:
    pair = Pair(limits=REKEYING, padding=padding)
    values = ["short", b"l" * 10_000, list(range(3000))]
    for value in values:
        send(pair.client.session, value)
    pair.exchange()

    assert typed(sorted(values_of(read_pair(pair)[0]), key=repr)) == typed(sorted(values, key=repr))


@pytest.mark.parametrize("suite", [1, 2])
def test_the_reader_begins_at_the_hello(suite: int) -> None:
    """A recording of a whole transport, under secrets that the reader makes itself as its client would."""
    key, private = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", bytes([5]) * 32
    parameters = Parameters.of(Limits.DEFAULT, ALL_FEATURES)
    hello, expected = start_client(Key(key), parameters, suite=suite, draw=lambda size: private)
    ring, own = KeyRing(Key(key)), Parameters.of(Limits.DEFAULT, ALL_FEATURES, INSTANCE)
    served = ExpectHello(ring, own, identity=KeyPair(bytes([7]) * 32)).receive(hello)
    opened = expected.receive(served.answer)
    client, server = session_of(Role.CLIENT, opened), session_of(Role.SERVER, served)
    said: list[tuple[bool, bytes]] = []
    send(client, ["from", "the", "client"])
    send(server, {"from": "the server"})
    for now in range(10):
        for here, there in ((client, server), (server, client)):
            said.append((here is client, b"".join(here.frames_to_send(1 << 20, float(now)))))
            there.receive_data(said[-1][1], float(now))
    theirs = reader_handshake.Client(key, parameters.pack(), private, suite)
    agreed = theirs.hear(served.answer)
    session = reader.Session(stated(Limits.DEFAULT), stated(Limits.DEFAULT), instance=INSTANCE, binding=agreed.binding)
    reader.read_session(session, agreed.c2s, agreed.s2c, said)

    assert theirs.hello == hello
    assert [values_of(end) for end in (session.client, session.server)] == [
        [["from", "the", "client"]],
        [{"from": "the server"}],
    ]


def session_of(role: Role, agreed: Agreement) -> Session:
    draw = Draw(role.value)
    instance = INSTANCE if role is Role.SERVER else bytes(16)
    return Session(role, agreed, limits=Limits.DEFAULT, now=0.0, draw=draw, wall=lambda: float(WALL), instance=instance)


@pytest.mark.parametrize("at", [4, 12, 40, 100, -1])
def test_the_reader_refuses_what_was_changed(at: int) -> None:
    pair = Pair()
    send(pair.client.session, "a value")
    pair.exchange()
    place = next(place for place in range(len(pair.said))[:: 1 if at > 0 else -1] if pair.said[place][0])
    changed = bytearray(pair.said[place][1])
    changed[at] ^= 1
    pair.said[place] = (True, bytes(changed))

    with pytest.raises(Refused, match="BadSeal"):
        read_pair(pair)


def test_the_reader_refuses_a_frame_that_is_missing_and_one_that_comes_twice() -> None:
    pair = Pair()
    for value in range(3):
        send(pair.client.session, value)
        pair.exchange()
    frames = [(True, frame_of(token)) for token in tokens_of(bytes(pair.client.said))]
    accept = [(False, frame_of(tokens_of(bytes(pair.server.said))[0]))]

    read_pair(pair, frames[:1] + accept + frames[1:2])
    for wrong in (frames[:1] + frames[2:], [*frames[:2], frames[1], *frames[2:]], [frames[1], frames[0], *frames[2:]]):
        with pytest.raises(Refused, match="OutOfOrder"):
            read_pair(pair, wrong[:1] + accept + wrong[1:])
