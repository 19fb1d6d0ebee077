"""Lanes: one record each, in rotation; streams and values with blobs as far as the peer takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.values import encode
from netstructer.errors import MessageCancelled, MessageTooBig
from netstructer.protocol import bodies
from netstructer.protocol.lanes import Lanes
from netstructer.protocol.outgoing import Batch, Counted, Outgoing, Room
from netstructer.protocol.states import CancelCode, Role

CHUNK = 10


def message(size: int = 1, name: str = "", blobs: int = 0) -> Outgoing:
    made = Outgoing([name.encode().ljust(size, b".")], codec=0, plain_bytes=size)
    for _ in range(blobs):
        made.add_blob(Outgoing([b"blob"], codec=0, plain_bytes=4))
    return made


def batch() -> Batch:
    made = Batch()
    made.add(encode("x"))
    return made


def seal_one(lanes: Lanes, numbers: Iterator[int]) -> Outgoing | Batch | None:
    """Seal one record of the front as the outflow does; return the message that it was of."""
    front = lanes.front()
    if isinstance(front, Outgoing):
        _, last = front.peek(CHUNK)
        if not last:
            front.step()
        if not front.number:
            lanes.begun(front, next(numbers))
        lanes.sealed(last)
    elif front is not None:
        lanes.sealed(True)
    return front


def seal_all(lanes: Lanes) -> list[Outgoing | Batch]:
    numbers, found = iter(range(1, 10**6)), []
    while (front := seal_one(lanes, numbers)) is not None:
        found.append(front)
    return found


def test_a_small_message_waits_for_one_record_of_each_other() -> None:
    lanes, large, other, small = Lanes(Role.CLIENT, 8), message(100), message(100), message()
    for one in (large, other, small):
        lanes.add(one)
    order = seal_all(lanes)

    assert order[:3] == [large, other, small]
    assert order[3:] == [large, other] * 9
    assert all(one.done for one in (large, other, small))
    assert len(lanes) == 0


@pytest.mark.parametrize(("role", "first"), [(Role.CLIENT, 1), (Role.SERVER, 2)])
def test_streams_are_the_ends_own_and_used_again(role: Role, first: int) -> None:
    lanes, numbers = Lanes(role, 3), iter(range(1, 99))
    assert lanes.spare_stream == first
    made = [message(20) for _ in range(3)]
    for one in made:
        lanes.add(one)
    assert [one.stream for one in made] == [first, first + 2, first + 4]
    for _ in range(4):
        seal_one(lanes, numbers)
    again = message()
    lanes.add(again)

    assert made[0].done
    assert again.stream == made[0].stream


def test_what_has_no_stream_waits_in_order() -> None:
    lanes, made = Lanes(Role.CLIENT, 2), [message(size, str(size)) for size in (30, 30, 5, 5, 5)]
    for one in made:
        lanes.add(one)

    assert len(lanes) == 5
    assert [one.stream != 0 for one in made] == [True, True, False, False, False]
    order = seal_all(lanes)
    firsts = list(dict.fromkeys(map(id, order)))
    assert firsts == [id(one) for one in made]
    assert {one.stream for one in made} == {1, 3}


def test_a_batch_does_not_overtake_small_messages_that_wait() -> None:
    lanes, made = Lanes(Role.CLIENT, 2), [message(15), message(15), message(), batch(), message(), batch()]
    for one in made:
        lanes.add(one)
    order = seal_all(lanes)

    assert [one for one in order if one not in made[:2]] == made[2:]
    assert all(one.done for one in made)


def test_a_batch_is_withdrawn_wherever_it_waits() -> None:
    lanes, made = Lanes(Role.CLIENT, 1), [batch(), message(30), message(30), batch(), message()]
    for one in made:
        lanes.add(one)
    for one in (made[0], made[3], batch()):
        assert isinstance(one, Batch)
        lanes.withdraw(one)
    order = seal_all(lanes)

    assert list(dict.fromkeys(map(id, order))) == [id(made[1]), id(made[2]), id(made[4])]


def test_a_batch_needs_no_stream() -> None:
    lanes, large, small = Lanes(Role.CLIENT, 1), message(50), batch()
    lanes.add(large)
    lanes.add(small)

    assert seal_all(lanes)[:2] == [large, small]


def test_blobs_follow_their_value() -> None:
    lanes, value = Lanes(Role.CLIENT, 2), message(15, blobs=3)
    lanes.add(value)
    order = seal_all(lanes)

    assert order == [value, value, *value.blobs]
    assert [blob.index for blob in value.blobs] == [0, 1, 2]
    assert {blob.root for blob in value.blobs} == {value} == {value.root}
    assert value.done
    assert value.total_plain_bytes == 15 + 12


def test_values_with_blobs_wait_for_each_other_and_others_do_not_wait() -> None:
    lanes, numbers = Lanes(Role.CLIENT, 2), iter(range(1, 99))
    first, second, third = (message(blobs=2) for _ in range(3))
    lanes.add(first)
    lanes.add(second)
    seal_one(lanes, numbers)
    seal_one(lanes, numbers)  # both values sealed; four blobs for two streams
    lanes.add(third)
    small = message()
    lanes.add(small)
    order = seal_all(lanes)

    assert order[-2:] == [small, third] or third in order
    assert order.index(third) > order.index(first.blobs[1])
    assert all(value.done for value in (first, second, third, small))
    for _ in range(3):  # the places were all given back
        again = [message(blobs=1) for _ in range(5)]
        for one in again:
            lanes.add(one)
        seal_all(lanes)
        assert all(one.done for one in again)


def test_a_dropped_message_makes_room() -> None:
    lanes, numbers = Lanes(Role.CLIENT, 1), iter(range(1, 99))
    large, waiting, unknown = message(50), message(), message()
    for one in (large, waiting, unknown):
        lanes.add(one)
    seal_one(lanes, numbers)

    assert lanes.drop(large)  # the peer has seen the beginning
    assert not lanes.drop(unknown)  # and nothing of this one
    assert seal_all(lanes) == [waiting]
    assert lanes.drop(waiting) is False  # all of it is sealed


@pytest.mark.parametrize("sealed", range(5))
def test_a_value_with_blobs_is_dropped_in_every_phase_and_twice(sealed: int) -> None:
    lanes, numbers = Lanes(Role.CLIENT, 2), iter(range(1, 99))
    value = message(15, blobs=2)
    lanes.add(value)
    for _ in range(sealed):
        seal_one(lanes, numbers)

    assert lanes.drop(value) == (0 < sealed < 4)
    value.error = value.error or MessageCancelled("given up")
    assert not lanes.drop(value)
    assert (len(lanes), lanes._most, lanes._parents) == (0, 2, 2)


def test_an_unfinished_value_is_found_by_its_number() -> None:
    lanes, numbers, value, small = Lanes(Role.CLIENT, 4), iter(range(7, 99)), message(15, blobs=1), batch()
    lanes.add(small)
    lanes.add(value)
    seal_one(lanes, numbers)
    assert lanes.find(7) is None
    for _ in range(2):
        seal_one(lanes, numbers)
        assert lanes.find(7) is value
    seal_one(lanes, numbers)

    assert lanes.find(7) is None


def test_waiting_bytes_count_whole_messages() -> None:
    lanes, small = Lanes(Role.CLIENT, 1), batch()
    lanes.add(message(100))
    lanes.add(message(5, blobs=2))
    lanes.add(small)

    assert lanes.waiting_bytes == 100 + 13 + small.total_plain_bytes + 3 * 256
    seal_all(lanes)
    assert lanes.waiting_bytes == 0


def test_everything_is_given_up_at_once() -> None:
    lanes, made = Lanes(Role.CLIENT, 1), [message(50), message(blobs=1), batch(), message()]
    for one in made:
        lanes.add(one)
    earlier = MessageCancelled("before")
    made[0].error = earlier
    end = MessageCancelled("end")
    lanes.clear(end)

    assert [one.error for one in made] == [earlier, end, end, end]
    assert all(one.done for one in made)
    assert len(lanes) == 0


@given(st.lists(st.tuples(st.sampled_from(["small", "large", "blobs", "batch", "seal", "drop"]), st.integers(0, 30))))
def test_streams_and_places_never_leak(steps: list[tuple[str, int]]) -> None:
    lanes, numbers, made = Lanes(Role.CLIENT, 3), iter(range(1, 10**6)), []
    makers: dict[str, Callable[[], Outgoing | Batch]] = {
        "small": message,
        "large": lambda: message(45),
        "blobs": lambda: message(15, blobs=3),
        "batch": batch,
    }
    for step, pick in steps:
        if step in makers:
            made.append(makers[step]())
            lanes.add(made[-1])
        elif step == "seal":
            seal_one(lanes, numbers)
        elif made and isinstance(found := made[pick % len(made)], Outgoing):
            lanes.drop(found)
            found.error = found.error or MessageCancelled("given up")
        streams = [one.stream for one in lanes.turns if isinstance(one, Outgoing)]

        assert len(set(streams)) == len(streams) <= 3
        assert all(stream % 2 == 1 for stream in streams)
        assert lanes.turns or not len(lanes)
    seal_all(lanes)

    assert all(one.done for one in made)
    assert (lanes._most, lanes._parents, len(lanes), sorted(lanes._free)) == (3, 3, 0, sorted(set(lanes._free)))
    assert (lanes.waiting_bytes, lanes._begun) == (0, {})


# --- one message ------------------------------------------------------------------------------------------------------


def test_headers_say_what_a_message_is() -> None:
    value, unknown = message(5, blobs=1), Outgoing([b""], codec=1, plain_bytes=None)
    value.add_blob(unknown)
    value.number = 9

    assert bodies.First.unpack(memoryview(value.header()))[0] == bodies.First(bodies.VALUE, 0, 2, 5, 0)
    assert bodies.First.unpack(memoryview(unknown.header()))[0] == bodies.First(bodies.BLOB, 1, 1, bodies.UNKNOWN, 9)


def test_the_bytes_of_an_unknown_length_are_counted() -> None:
    source = Counted([b"abc", b"defg"])
    blob = Outgoing(source, codec=0, plain_bytes=None, source=source)
    assert blob.peek(5) == (b"abcde", False)
    assert blob.peek(5) == (b"abcde", False)
    blob.step()

    assert blob.peek(5) == (b"fg", True)
    assert blob.total_bytes() == 7


@pytest.mark.parametrize(("stated", "chunk"), [(6, 10), (8, 10), (8, 3), (6, 3), (0, 10)])
def test_a_blob_that_is_not_as_long_as_it_said_is_given_up(stated: int, chunk: int) -> None:
    source = Counted([b"abc", b"defg"])
    blob = Outgoing(source, codec=0, plain_bytes=stated, source=source)

    def read() -> None:
        last = False
        while not last:
            _, last = blob.peek(chunk)
            if not last:
                blob.step()

    with pytest.raises(MessageCancelled, match=f"stated {stated} bytes and gave 7") as caught:
        read()
    assert caught.value.code == CancelCode.SOURCE_FAILED


def test_blobs_of_unknown_length_share_what_the_peer_takes() -> None:
    room = Room(10, used=3)
    first, second = Counted([b"1234"], room), Counted([b"567", b"8"], room)

    assert b"".join(first) == b"1234"
    assert next(second) == b"567"
    with pytest.raises(MessageTooBig, match="blobs of 11 bytes together") as caught:
        next(second)
    assert (caught.value.limit, caught.value.found) == (10, 11)


def test_a_batch_counts_what_is_in_it() -> None:
    made = Batch()
    items = [encode(value) for value in ("one", 2, [3])]
    for item in items:
        made.add(item)
    number, rest = bodies.number_of(memoryview(made.body(5)))

    assert (made.count, made.total_plain_bytes) == (3, sum(item.plain_bytes for item in items))
    assert len(made.body(5)) == made.body_bytes
    assert (number, bodies.batch_items(rest)) == (5, [b"".join(item.buffers) for item in items])
