"""Lanes: one record each, in rotation; streams and values with blobs as far as the peer takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.values import encode
from netstructer.errors import MessageCancelled
from netstructer.protocol.lanes import Lanes
from netstructer.protocol.outgoing import Batch, Outgoing, OutgoingBlob
from netstructer.protocol.sources import Counted
from netstructer.protocol.states import Role

CHUNK = 10


def prepared(content: bytes) -> OutgoingBlob:
    """A blob whose source never waits."""
    counted = Counted([content])
    return OutgoingBlob(lambda: (0, counted, counted), plain_bytes=len(content), inline=True)


def fed(content: bytes = b"") -> OutgoingBlob:
    """A blob that somebody has to feed."""
    counted = Counted([content])
    return OutgoingBlob(lambda: (0, counted, counted), plain_bytes=len(content))


def message(size: int = 1, name: str = "", blobs: int = 0) -> Outgoing:
    made = Outgoing([name.encode().ljust(size, b".")], codec=0, plain_bytes=size)
    for _ in range(blobs):
        made.add_blob(prepared(b"blob"))
    return made


def with_fed() -> Outgoing:
    made = message(15, blobs=1)
    made.add_blob(fed(b"x" * 35))
    made.add_blob(fed())
    return made


def batch() -> Batch:
    made = Batch()
    made.add(encode("x"))
    return made


def seal_one(lanes: Lanes, numbers: Iterator[int]) -> Outgoing | OutgoingBlob | Batch | None:
    """Seal one record of the front as the outflow does; return the message that it was of."""
    front = lanes.front()
    if isinstance(front, (Outgoing, OutgoingBlob)):
        _, last = front.peek(CHUNK)
        if not last:
            front.step()
        if not front.number:
            lanes.begun(front, next(numbers))
        lanes.sealed(last)
    elif front is not None:
        lanes.sealed(True)
    return front


def seal_all(lanes: Lanes) -> list[Outgoing | OutgoingBlob | Batch]:
    numbers, found = iter(range(10**6, 10**7)), []
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
    blob = value.blobs[0]
    lanes.front()
    lanes.begun(blob, 9)
    assert lanes.find(9) is blob
    seal_one(lanes, numbers)

    assert lanes.find(7) is None
    assert lanes.find(9) is None


def test_a_blob_that_is_not_ready_is_passed_over_until_it_is() -> None:
    lanes, numbers, value = Lanes(Role.CLIENT, 4), iter(range(1, 99)), message()
    for content in (b"first", b"second"):
        value.add_blob(fed(content))
    first, second = value.blobs
    lanes.add(value)
    seal_one(lanes, numbers)
    assert value.under_way == [first, second]
    assert seal_one(lanes, numbers) is None  # both are parked
    assert (len(lanes), list(lanes.turns)) == (2, [])
    small = message()
    lanes.add(small)
    assert seal_one(lanes, numbers) is small

    lanes.awaken(first)
    assert seal_one(lanes, numbers) is None  # it is not ready yet
    second.feed([b"second"], True)
    assert second.pull(9) == ([b"second"], False)
    assert second.pull(9) == ([], True)
    lanes.awaken(second)
    lanes.awaken(second)
    assert seal_one(lanes, numbers) is second
    assert value.under_way == [first]
    assert not value.done
    lanes.skip(first)
    assert value.done
    assert (len(lanes), lanes._most, lanes._blobs, lanes._parents, lanes._begun) == (0, 4, 3, 4, {})


def test_blobs_leave_a_quarter_of_the_streams_to_values() -> None:
    lanes, numbers, value = Lanes(Role.CLIENT, 8), iter(range(1, 99)), message()
    for _ in range(20):
        value.add_blob(fed())
    lanes.add(value)
    seal_one(lanes, numbers)
    assert len(value.under_way) == 6
    large, other, small = message(50), message(50), batch()
    for one in (large, other, small):
        lanes.add(one)
    assert seal_all(lanes).count(large) == 5
    assert (large.done, other.done, small.done, value.done) == (True, True, True, False)
    for blob in value.blobs[:6]:
        lanes.skip(blob)  # those that waited begin

    assert len(value.under_way) == 6
    assert lanes.drop(value)
    assert (len(lanes), lanes._most, lanes._blobs, lanes._parents) == (0, 8, 6, 8)
    assert not any(blob.hungry for blob in value.blobs[6:12])


@pytest.mark.parametrize("parked", [False, True])
def test_one_blob_is_skipped_and_its_value_goes_on(parked: bool) -> None:
    lanes, numbers, value = Lanes(Role.CLIENT, 4), iter(range(1, 99)), message()
    value.add_blob(fed())
    value.add_blob(prepared(b"other"))
    lanes.add(value)
    seal_one(lanes, numbers)
    if parked:
        seal_one(lanes, numbers)
    lanes.skip(value.blobs[0])
    value.blobs[0].feed([b"late"], True)
    seal_all(lanes)

    assert value.done
    assert value.error is None
    assert (len(lanes), lanes._most, lanes.waiting_bytes) == (0, 4, 0)


class Asked(Lanes):
    """Counts how often it is asked whether something may begin."""

    __slots__ = ("asked",)

    def _may_begin(self, outgoing: Outgoing | OutgoingBlob | Batch) -> bool:
        self.asked += 1
        return super()._may_begin(outgoing)


def test_as_many_blobs_as_a_value_takes_cost_as_much_each_as_a_few() -> None:
    asked = {}
    for count in (100, 65_535):
        lanes, value = Asked(Role.CLIENT, 64), message(blobs=count)
        lanes.asked = 0
        lanes.add(value)
        assert len(seal_all(lanes)) == count + 1
        assert value.done
        asked[count] = lanes.asked / count

    assert max(asked.values()) < 4


def test_a_value_that_is_dropped_leaves_its_place_to_the_next_at_once() -> None:
    lanes, numbers = Lanes(Role.CLIENT, 2), iter(range(1, 99))
    unread, dropped, after = message(), message(), message()
    for value in (unread, dropped, after):
        value.add_blob(fed())
        lanes.add(value)
    while seal_one(lanes, numbers):  # one blob is parked, and there is no stream for the other
        pass
    assert (unread.under_way, dropped.under_way, after.stream) == (unread.blobs, [], 0)
    lanes.drop(dropped)

    assert after.stream != 0
    assert seal_one(lanes, numbers) is after


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


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["small", "large", "blobs", "fed", "batch", "seal", "feed", "skip", "drop"]),
            st.integers(0, 30),
        )
    )
)
def test_streams_and_places_never_leak(steps: list[tuple[str, int]]) -> None:
    lanes, numbers, made = Lanes(Role.CLIENT, 3), iter(range(1, 10**6)), []
    makers: dict[str, Callable[[], Outgoing | Batch]] = {
        "small": message,
        "large": lambda: message(45),
        "blobs": lambda: message(15, blobs=3),
        "fed": lambda: with_fed(),
        "batch": batch,
    }
    for step, pick in steps:
        if step in makers:
            made.append(makers[step]())
            lanes.add(made[-1])
        elif step == "seal":
            seal_one(lanes, numbers)
        elif step in ("feed", "skip"):
            under_way = [blob for one in made if isinstance(one, Outgoing) for blob in one.under_way]
            if under_way and step == "skip":
                lanes.skip(under_way[pick % len(under_way)])
            for blob in [blob for blob in under_way if blob.hungry][: pick % 3]:
                blob.feed(*blob.pull(CHUNK))
                lanes.awaken(blob)
        elif made and isinstance(found := made[pick % len(made)], Outgoing):
            lanes.drop(found)
            found.error = found.error or MessageCancelled("given up")
        streams = [one.stream for one in lanes.turns if not isinstance(one, Batch)]

        assert len(set(streams)) == len(streams) <= 3
        assert all(stream % 2 == 1 for stream in streams)
        assert len(lanes) >= len(lanes.turns)
    while seal_all(lanes) or any(isinstance(one, Outgoing) and one.hungry() for one in made):
        for blob in [blob for one in made if isinstance(one, Outgoing) for blob in one.under_way if blob.hungry]:
            blob.feed(*blob.pull(CHUNK))
            lanes.awaken(blob)

    assert all(one.done for one in made)
    assert (lanes._most, lanes._parents, len(lanes), sorted(lanes._free)) == (3, 3, 0, sorted(set(lanes._free)))
    assert (lanes.waiting_bytes, lanes._begun) == (0, {})


def test_a_blob_goes_before_a_value_that_waits_for_credit() -> None:
    lanes, numbers, value = Lanes(Role.CLIENT, 4), iter(range(1, 99)), message(blobs=1)
    value.add_blob(fed())
    lanes.add(value)
    assert lanes.front_blob() is None
    seal_one(lanes, numbers)
    large = message(50)
    lanes.turns.appendleft(large)  # it stands in front, and has no credit

    assert lanes.front_blob() is value.blobs[0]
    assert lanes.front() is value.blobs[0]
    lanes.turns.remove(value.blobs[0])
    assert lanes.front_blob() is None  # the other one has nothing ready
