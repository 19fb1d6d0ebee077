"""The inflow: the short way for a value of one record does what the long way does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.compression import NONE, ZSTD
from netstructer.errors import IllegalFrame, NetstructerError
from netstructer.protocol import bodies
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.states import Role
from pair import BOTH, C2S, TINY, Told, data_body


class Short(Inflow):
    """The inflow of a server, as it is."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told = Told(TINY)
        super().__init__(Role.SERVER, C2S, limits=TINY, arrivals=self.told.arrivals, now=0.0)


class Long(Short):
    """Takes the long way always."""

    __slots__ = ()

    def single(self, *args: object) -> None:  # type: ignore[override]
        return None


def outcome(found: Inflow, flags: int, stream: int, body: bytes) -> tuple[object, ...]:
    """Return all that a DATA record leads to."""
    try:
        message: Message | Whole | None = found.single(flags, stream, memoryview(body), 0.0)
        refusal = None
        if message is None:
            message, refusal = found.data(flags, stream, memoryview(body), 0.0)
    except NetstructerError as error:
        return type(error), str(error)
    inbound = found.inbound
    state = (inbound.received, inbound.next_number, inbound.urgent, inbound.due, len(found.assembly))
    if message is None:
        return (*state, refusal and refusal[1])
    # The short way charges an unread message its whole body, the long way its chunks; each gives back what it took.
    assert inbound.unread == message.total_charge() <= inbound.received
    shape = (message.conversation, message.codec, message.plain_bytes, message.last_number, message.flags)
    return (*state, shape, message.total_plain_bytes(), b"".join(bytes(chunk) for chunk in message.chunks))


@given(
    flags=st.sampled_from([3, 7, 11, 15, 19]),
    stream=st.sampled_from([0, 1, 2, 3, 5]),
    number=st.sampled_from([0, 1, 1, 1, 2]),
    codec=st.sampled_from([NONE, ZSTD, 2]),
    kind=st.sampled_from([bodies.VALUE, bodies.VALUE, bodies.ASIDE, bodies.ASIDE, bodies.BLOB, 7]),
    conversation=st.sampled_from([0, 0, 1, 1 << 28, (1 << 32) - 1]),
    place=st.sampled_from([0, 0, 1]),
    chunk=st.binary(max_size=6),
    plain_bytes=st.sampled_from([None, None, 0, 5, 4096, 4097, bodies.UNKNOWN]),
    total=st.sampled_from([None, None, 0, 5]),
    begun=st.booleans(),
)
def test_the_short_way_is_the_long_way(
    flags: int, stream: int, number: int, codec: int, kind: int, conversation: int, place: int, chunk: bytes,
    plain_bytes: int | None, total: int | None, begun: bool,
) -> None:  # fmt: skip
    plain_bytes = len(chunk) if plain_bytes is None else plain_bytes
    head = bodies.First(kind, codec, place, plain_bytes, 1, conversation).pack()
    body = bodies.number(number + begun) + head + chunk + bodies.total(plain_bytes if total is None else total)
    short, long = Short(), Long()
    if begun:
        for found in (short, long):
            first = bodies.number(1) + bodies.First(bodies.VALUE, 0, 0, 9, 0).pack() + b"half"
            found.data(1, 5, memoryview(first), 0.0)

    assert outcome(short, flags, stream, body) == outcome(long, flags, stream, body)


def test_an_aside_of_one_record_takes_the_short_way() -> None:
    body = bodies.single(1, NONE, b"chunk", 5, 1 << 28)
    found = Short().single(BOTH, 1, memoryview(body), 0.0)

    assert found is not None
    assert (found.conversation, found.chunks) == (1 << 28, (b"chunk",))


@pytest.mark.parametrize("flags", [BOTH, BOTH | 4, BOTH | 8])
def test_flags_of_a_single_are_heeded(flags: int) -> None:
    for found in (Short(), Long()):
        message, _ = found.data(flags, 1, memoryview(data_body(1, b"\xc0")), 0.0)
        assert message is not None
        assert found.inbound.urgent == bool(flags & 4)
        found.inbound.ack()
        found.take(message)
        assert found.inbound.urgent == bool(flags & 8)
        assert found.inbound.unread == 0


@pytest.mark.parametrize(
    ("codec", "plain_bytes", "flags", "stream", "number"),
    [
        (NONE, 5, BOTH, 1, 1),
        (ZSTD, 4096, BOTH, 1, 1),
        (ZSTD, 4097, BOTH, 1, 1),
        (NONE, 4, BOTH, 1, 1),
        (2, 5, BOTH, 1, 1),
        (NONE, 5, BOTH | 16, 1, 1),
        (NONE, 5, BOTH, 2, 1),
        (NONE, 5, BOTH, 1, 0),
        (NONE, 5, BOTH, 1, 2),
    ],
)
def test_what_is_remarkable_goes_the_long_way(
    codec: int, plain_bytes: int, flags: int, stream: int, number: int
) -> None:
    body = bodies.single(number, codec, b"chunk", plain_bytes)
    short, long = Short(), Long()

    assert outcome(short, flags, stream, body) == outcome(long, flags, stream, body)


def test_a_batch_that_was_had_before_or_is_too_much_for_this_end() -> None:
    found = Short()
    batch = bodies.batch(1, [b"\0\0\0\1", b"\xc0"])
    assert len(found.batch(memoryview(batch), 0.0)) == 1
    assert found.batch(memoryview(batch), 0.0) == []
    with pytest.raises(IllegalFrame, match="over this end's limit"):
        found.batch(memoryview(bodies.batch(2, [(4097).to_bytes(4, "big"), bytes(4097)])), 0.0)


def test_the_messages_of_a_batch_are_taken_with_the_last_of_them() -> None:
    found = Short()
    found.inbound.next_number = 7
    parts: list[bytes | bytearray | memoryview] = []
    for value in (b"a", b"bc", b"def"):
        parts += [len(value).to_bytes(4, "big"), value]
    messages = found.batch(memoryview(bodies.batch(7, parts)), 0.0)

    assert [message.last_number for message in messages] == [6, 6, 7]
    assert [bytes(chunk) for message in messages for chunk in message.chunks] == [b"a", b"bc", b"def"]
    assert {(message.flags, message.codec, message.conversation) for message in messages} == {(0, NONE, 0)}
    assert [message.charge for message in messages] == [257, 258, 259]
    assert found.inbound.unread == 774
