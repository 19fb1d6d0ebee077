"""Bodies: one encoding each; a spare bit, a byte too many or too few is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.errors import IllegalFrame
from netstructer.protocol import bodies
from netstructer.protocol.bodies import Accept, Ack, Alert, Cancel, Drain, Farewell, First, Grant, Open

U64 = (1 << 64) - 1
OPEN_NEW = Open(1, b"i" * 16, b"s" * 32, 1, 1, 500, bytes(16))
OPEN_RESUME = Open(2, b"i" * 16, b"s" * 32, 7, U64, 0, b"n" * 16)
ACCEPT = Accept(0, b"i" * 16, b"n" * 16, 1, 1, U64, 60)

FIXED: list[tuple[Callable[[memoryview], object], object, bytes]] = [
    (Open.unpack, OPEN_NEW, OPEN_NEW.pack()),
    (Open.unpack, OPEN_RESUME, OPEN_RESUME.pack()),
    (Accept.unpack, ACCEPT, ACCEPT.pack()),
    (Accept.unpack, ACCEPT._replace(status=1), ACCEPT._replace(status=1).pack()),
    (Accept.unpack, ACCEPT._replace(status=2), ACCEPT._replace(status=2).pack()),
    (Accept.unpack, ACCEPT._replace(status=3), ACCEPT._replace(status=3).pack()),
    (Ack.unpack, Ack(1, U64, 0), Ack(1, U64, 0).pack()),
    (Cancel.unpack, Cancel(3, 2, 65_535), Cancel(3, 2, 65_535).pack()),
    (Drain.unpack, Drain((1 << 32) - 1), Drain((1 << 32) - 1).pack()),
    (Grant.unpack, Grant(3, U64), Grant(3, U64).pack()),
]


def test_the_lengths_of_the_layouts() -> None:
    lengths = {body.__class__.__name__: len(packed) for _, body, packed in FIXED}

    assert lengths == {"Open": 92, "Accept": 64, "Ack": 24, "Cancel": 18, "Drain": 4, "Grant": 16}
    assert (bodies.OPEN_BYTES, bodies.CANCEL_BYTES, bodies.PING_BYTES, bodies.OVERHEAD_BYTES) == (92, 18, 8, 40)


@pytest.mark.parametrize("place", range(len(FIXED)))
def test_a_fixed_body_comes_back_and_has_one_length(place: int) -> None:
    unpack, body, packed = FIXED[place]

    assert unpack(memoryview(packed)) == body
    for end in range(len(packed)):
        with pytest.raises(IllegalFrame):
            unpack(memoryview(packed[:end]))
    with pytest.raises(IllegalFrame, match="bytes"):
        unpack(memoryview(packed + b"\0"))


@pytest.mark.parametrize("unpack", [Open.unpack, Accept.unpack])
def test_spare_bits_and_unknown_modes_are_refused(unpack: Callable[[memoryview], object]) -> None:
    packed = {Open.unpack: OPEN_RESUME.pack(), Accept.unpack: ACCEPT.pack()}[unpack]  # type: ignore[index]
    legal = {Open.unpack: {1, 2}, Accept.unpack: {0, 1, 2, 3}}[unpack]  # type: ignore[index]
    for place in (1, 2, 3):
        for bit in range(8):
            changed = bytearray(packed)
            changed[place] ^= 1 << bit
            with pytest.raises(IllegalFrame):
                unpack(memoryview(changed))
    for mode in set(range(256)) - legal:
        with pytest.raises(IllegalFrame):
            unpack(memoryview(bytes([mode]) + packed[1:]))


@pytest.mark.parametrize("change", [{"expected": 2}, {"following": 0}, {"instance": b"n" * 16}])
def test_a_new_session_begins_at_its_beginning(change: dict[str, object]) -> None:
    with pytest.raises(IllegalFrame, match="beginning"):
        Open.unpack(memoryview(OPEN_NEW._replace(**change).pack()))  # type: ignore[arg-type]


@given(st.integers(0, 65_535), st.text(max_size=300))
def test_texts_are_utf8_and_cut_at_a_whole_character(code: int, text: str) -> None:
    kept = Alert.unpack(memoryview(Alert(code, text).pack())).text

    assert text.encode("utf-8", "replace").decode().startswith(kept)
    assert len(kept.encode()) <= 200
    assert len(kept.encode()) > 196 or kept == text.encode("utf-8", "replace").decode()
    assert Farewell.unpack(memoryview(Farewell(9, code, text).pack())) == Farewell(9, code, kept)


def test_a_text_that_is_no_text_or_too_long_is_refused() -> None:
    for body in (Alert(1, "").pack(), Farewell(1, 1, "").pack()):
        unpack = Alert.unpack if len(body) == 2 else Farewell.unpack
        for tail in (b"\xff", b"a" * 201, "é".encode()[:1], b"\xed\xa0\x80"):
            with pytest.raises(IllegalFrame):
                unpack(memoryview(body + tail))
        for end in range(len(body)):
            with pytest.raises(IllegalFrame):
                unpack(memoryview(body[:end]))
        assert unpack(memoryview(body + b"a" * 200)).text == "a" * 200


@pytest.mark.parametrize(
    "first", [First(1, 0, 0, 0, 0), First(1, 1, 65_535, 5, 0), First(0, 0, 3, U64, 9), First(0, 255, 0, 1, U64)]
)
def test_a_first_comes_back_with_the_rest(first: First) -> None:
    packed = first.pack()

    assert len(packed) == (16 if first.kind == bodies.VALUE else 24)
    assert First.unpack(memoryview(packed + b"rest")) == (first, b"rest")
    for end in range(len(packed)):
        with pytest.raises(IllegalFrame):
            First.unpack(memoryview(packed[:end]))


def test_a_first_with_spare_bits_an_unknown_kind_or_no_length_is_refused() -> None:
    good = First(1, 0, 0, 5, 0).pack()
    wrong = [bytes([kind]) + good[1:] for kind in range(2, 256)]
    wrong += [good[:4] + bit.to_bytes(4, "big") + good[8:] for bit in (1 << place for place in range(32))]
    wrong.append(First(1, 0, 0, U64, 0).pack())
    for packed in wrong:
        with pytest.raises(IllegalFrame):
            First.unpack(memoryview(packed))


def test_numbers_and_totals() -> None:
    assert bodies.number_of(memoryview(bodies.number(U64) + b"x")) == (U64, b"x")
    assert bodies.total_of(memoryview(b"x" + bodies.total(U64))) == (U64, b"x")
    for end in range(8):
        for read in (bodies.number_of, bodies.total_of):
            with pytest.raises(IllegalFrame):
                read(memoryview(bytes(end)))


@given(
    st.integers(0, U64),
    st.integers(0, 255),
    st.just(0) | st.integers(1, (1 << 32) - 1),
    st.binary(min_size=1, max_size=50),
    st.integers(0, U64),
)
def test_a_single_is_what_the_slow_way_makes(
    number: int, codec: int, conversation: int, chunk: bytes, plain_bytes: int
) -> None:
    kind = bodies.ASIDE if conversation else bodies.VALUE
    head = First(kind, codec, 0, plain_bytes, 0, conversation).pack()
    slow = bodies.number(number) + head + chunk + bodies.total(plain_bytes)

    assert bodies.single(number, codec, chunk, plain_bytes, conversation) == slow
    assert bodies.single_of(memoryview(slow)) == (number, codec, conversation, plain_bytes, chunk)


def test_what_is_no_plain_single_goes_the_slow_way() -> None:
    good = bodies.single(1, 0, b"x", 1)
    others = [
        *(good[:end] for end in range(33)),
        bodies.single(1, 0, b"", 0),
        good[:-1] + b"\2",
        bodies.number(1) + First(1, 0, 2, 1, 0).pack() + b"x" + bodies.total(1),
        bodies.number(1) + First(0, 0, 0, 1, 5).pack() + b"x" + bodies.total(1),
        good[:12] + b"\1" + good[13:],
        bodies.number(1) + First(bodies.ASIDE, 0, 0, 1, 0, 0).pack() + b"x" + bodies.total(1),
        bodies.number(1) + First(bodies.VALUE, 0, 0, 1, 0, 7).pack() + b"x" + bodies.total(1),
        bodies.number(1) + First(bodies.ASIDE, 0, 1, 1, 0, 7).pack() + b"x" + bodies.total(1),
        bodies.number(1) + First(bodies.DURABLE, 0, 0, 1, 0, 7).pack() + b"x" + bodies.total(1),
    ]

    assert [bodies.single_of(memoryview(other)) for other in others] == [None] * len(others)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=10))
def test_a_batch_comes_back(items: list[bytes]) -> None:
    parts = [part for item in items for part in (len(item).to_bytes(4, "big"), item)]
    number, rest = bodies.number_of(memoryview(bodies.batch(7, parts)))

    assert (number, bodies.batch_items(rest)) == (7, items)
    for end in range(len(rest)):
        cut = sum(4 + len(item) for item in items[:-1])
        if end in _sums(items):
            continue
        with pytest.raises(IllegalFrame):
            bodies.batch_items(rest[:end])
        assert end != cut or not cut


@pytest.mark.parametrize("rest", [b"", bytes(4), b"\0\0\0\1", b"\0\0\0\2a", b"\0\0\0\1a\0\0\0\0", b"\xff\xff\xff\xffa"])
def test_a_batch_whose_lengths_do_not_add_up_is_refused(rest: bytes) -> None:
    with pytest.raises(IllegalFrame):
        bodies.batch_items(memoryview(rest))


def _sums(items: list[bytes]) -> set[int]:
    """Return where the whole items before the last one end: cut there, a batch is a shorter batch."""
    sums, total = set(), 0
    for item in items[:-1]:
        total += 4 + len(item)
        sums.add(total)
    return sums


def test_an_open_shows_no_secret() -> None:
    assert repr(OPEN_NEW) == f"<Open in mode 1 of {OPEN_NEW.session_id.hex()}>"
    assert "ssss" not in f"{[OPEN_NEW, OPEN_RESUME]}"
