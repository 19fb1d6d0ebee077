"""What two ends of a link do together, whatever their façades: the scenarios of `test_scenarios.py`, written once.

A scenario takes a stage: `stage.pair(**options)` gives both ends of a link (`pairings.Ends`), `stage.path` is a
directory of its own.  It talks to both ends in the blocking manner.  `SCENARIOS` holds them all.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import platform
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Relay, Task, eventually
from netstructer import Blob, Key, Limits
from netstructer.errors import (
    Busy,
    CannotListen,
    ConnectionCut,
    DigestMismatch,
    KeyRefused,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    Misuse,
    PortClosed,
    SessionLost,
    SourceFailed,
    TransferRefused,
    UnsendableValue,
)
from pairings import Ends, blob_of, paired

SCENARIOS: list[Callable[[Stage], None]] = []


class Stage:
    """Where a scenario plays: one pairing, one directory."""

    def __init__(self, client: str, server: str, path: Path) -> None:
        self.client, self.server, self.path = client, server, path

    def pair(self, **options: Any) -> contextlib.AbstractContextManager[Ends]:
        """Give both ends of a link; `options` are the client's, `server_options` the server's."""
        return paired(self.client, self.server, **options)


def scenario(function: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Take a scenario into the suite."""
    SCENARIOS.append(function)
    return function


VALUES = [
    None,
    True,
    -7,
    1 << 200,
    3.5,
    2 - 1j,
    "text ü",
    b"bytes",
    [1, [2, [3]]],
    ("a", ()),
    {1, 2},
    frozenset({"x"}),
    {"k": {1: None}, (1, 2): b""},
    OrderedDict([("b", 1), ("a", 2)]),
    deque([1, 2]),
    decimal.Decimal("1.50"),
    uuid.UUID(int=5),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    bytearray(b"changeable"),
    range(3, 9, 2),
    slice(1, None, 2),
]


# --- values ---------------------------------------------------------------------------------------------------------


@scenario
def values_of_all_kinds_arrive_equal_and_of_their_types(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            for value in VALUES:
                sender.send(value)
                found = receiver.recv(timeout=PATIENCE_SECONDS)

                assert found == value
                assert type(found) is type(value)


@scenario
def big_values_arrive_whole_both_ways_at_once(stage: Stage) -> None:
    value = {"numbers": list(range(60_000)), "noise": bytes(range(256)) * 4000, "text": "abc" * 100_000}
    with stage.pair() as ends:
        sending = Task(ends.far.send, value, wait="acked")
        ends.near.send(value, timeout=PATIENCE_SECONDS)

        assert ends.far.recv(timeout=PATIENCE_SECONDS) == value
        assert ends.near.recv(timeout=PATIENCE_SECONDS) == value
        sending.result()


@scenario
def values_keep_their_order_small_and_big_mixed(stage: Stage) -> None:
    values = [n if n % 7 else [n] * 30_000 for n in range(60)]
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sending = Task(lambda end=sender: [end.send(value) for value in values])

            assert [receiver.recv(timeout=PATIENCE_SECONDS) for _ in values] == values
            assert [sent.id for sent in sending.result()] == list(range(1, len(values) + 1))


@scenario
def what_send_tells_is_what_was_moved(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sent = sender.send("a" * 100_000, wait="acked")

            assert sent.plain_bytes > 100_000
            assert 0 < sent.wire_bytes < 10_000
            assert sent.id == 1
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "a" * 100_000
            assert sender.stats.messages_sent == receiver.stats.messages_received == 1


@scenario
def compression_can_be_switched_off_for_one_value_or_for_all(stage: Stage) -> None:
    with stage.pair(compress=False) as ends:
        assert ends.near.send("a" * 100_000).wire_bytes > 100_000
        assert ends.near.send("a" * 100_000, compress=True).wire_bytes < 10_000
        assert ends.far.send("a" * 100_000, compress=False).wire_bytes > 100_000
        assert ends.far.recv(timeout=PATIENCE_SECONDS) == ends.far.recv(timeout=PATIENCE_SECONDS)


@scenario
def what_cannot_be_sent_is_refused_before_a_byte_has_left(stage: Stage) -> None:
    with stage.pair(server_options={"limits": Limits(value_bytes=2000)}) as ends:
        with pytest.raises(UnsendableValue):
            ends.near.send(object())
        with pytest.raises(MessageTooBig):
            ends.near.send(b"x" * 5000)
        with pytest.raises(Misuse):
            ends.near.send(1, wait="later")
        ends.near.send("still here")

        assert ends.far.recv(timeout=PATIENCE_SECONDS) == "still here"
        assert ends.far.stats.messages_received == 1


@scenario
def a_batch_arrives_value_by_value(stage: Stage) -> None:
    values = [*range(500), "x" * 20_000, *range(500)]
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sent = sender.send_many(values)

            assert [receiver.recv(timeout=PATIENCE_SECONDS) for _ in values] == values
            assert sent.wire_bytes < 25_000


@scenario
def a_batch_with_a_bad_value_sends_what_came_before_it(stage: Stage) -> None:
    with stage.pair() as ends:
        with pytest.raises(UnsendableValue):
            ends.near.send_many([1, 2, object(), 3])
        ends.near.send("next")

        assert [ends.far.recv(timeout=PATIENCE_SECONDS) for _ in range(3)] == [1, 2, "next"]


@scenario
def waiting_for_the_peer_to_have_it_and_to_take_it(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sender.send("acked", wait="acked", timeout=PATIENCE_SECONDS)
            with pytest.raises(LinkTimeout):
                sender.send("consumed", wait="consumed", timeout=0.05)
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "acked"
            taking = Task(sender.send, "taken", wait="consumed")
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "consumed"
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "taken"
            taking.result()


@scenario
def two_senders_and_two_receivers_at_once_lose_nothing(stage: Stage) -> None:
    count = 150
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sending = [Task(_send_all, sender, [(who, n) for n in range(count)]) for who in "ab"]
            receiving = [Task(_receive_all, receiver, count) for _ in range(2)]
            found = [value for task in receiving for value in task.result()]

            for task in sending:
                task.result()
            assert sorted(found) == sorted((who, n) for who in "ab" for n in range(count))


@scenario
def a_value_over_the_receivers_wish_stays_and_can_be_asked_for_again(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            for big in ("x" * 5000, list(range(50_000))):
                sender.send(big)
                with pytest.raises(MessageTooBig):
                    receiver.recv(timeout=PATIENCE_SECONDS, max_bytes=1000)

                assert receiver.recv(timeout=PATIENCE_SECONDS) == big


@scenario
def nothing_comes_and_the_time_is_over(stage: Stage) -> None:
    with stage.pair() as ends:
        for receiver in (ends.near, ends.far):
            with pytest.raises(LinkTimeout):
                receiver.recv(timeout=0)
            with pytest.raises(TimeoutError):
                receiver.recv(timeout=0.02)
            with pytest.raises(LinkTimeout):
                receiver.accept_conversation(timeout=0.02)
        ends.near.send(1)

        assert ends.far.recv(timeout=PATIENCE_SECONDS) == 1


@scenario
def a_writer_stops_where_nobody_reads(stage: Stage) -> None:
    limits = Limits(credit_bytes=1 << 17, unsent_bytes=1 << 14)
    with stage.pair(limits=limits, server_options={"limits": limits}) as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sent = _send_until_it_waits(sender, bytes(3000))

            assert 20 < sent < 200
            for _ in range(sent):
                assert receiver.recv(timeout=PATIENCE_SECONDS) == bytes(3000)
            with pytest.raises(LinkTimeout):
                receiver.recv(timeout=0.02)
            sender.send("on")
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "on"


@scenario
def iterating_ends_with_the_peers_farewell(stage: Stage) -> None:
    with stage.pair() as ends:
        ends.far.send_many(range(5))
        closing = Task(ends.far.close)

        assert list(ends.near) == [0, 1, 2, 3, 4]
        closing.result()
        with pytest.raises(LinkClosed):
            ends.near.send(1)


@scenario
def a_ping_goes_there_and_back(stage: Stage) -> None:
    with stage.pair() as ends:
        for end in (ends.near, ends.far):
            assert 0 < end.ping(timeout=PATIENCE_SECONDS) < PATIENCE_SECONDS
            assert end.stats.rtt_seconds is not None


# --- blobs ----------------------------------------------------------------------------------------------------------

NOISE = bytes(range(256)) * 8 + b"noise of its own"
LARGE = NOISE * 1500


@scenario
def blobs_of_every_origin_arrive_whole(stage: Stage) -> None:
    path = stage.path / "source"
    path.write_bytes(LARGE)
    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            value = [Blob(NOISE, name="n"), Blob.from_path(path), blob_of(LARGE), Blob(b"")]
            sending = Task(sender.send, value)
            found = receiver.recv(timeout=PATIENCE_SECONDS)

            assert [blob.name for blob in found] == ["n", "source", None, None]
            assert [blob.size for blob in found] == [len(NOISE), len(LARGE), found[2].size, 0]
            assert found[2].size in (None, len(LARGE))
            assert [house.read(blob) for blob in found] == [NOISE, LARGE, LARGE, b""]
            assert sending.result().plain_bytes > 2 * len(LARGE)


@scenario
def a_blob_is_saved_whole_or_not_at_all(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            sending = Task(sender.send, [Blob(LARGE, name="picture"), Blob(NOISE)])
            named, unnamed = receiver.recv(timeout=PATIENCE_SECONDS)
            directory = stage.path / f"for {receiver.peer.port}"
            directory.mkdir()

            assert house.save(named, directory) == directory / "picture"
            assert (directory / "picture").read_bytes() == LARGE
            with pytest.raises(Misuse):
                house.save(unnamed, directory)
            assert house.save(unnamed, directory / "other").read_bytes() == NOISE
            sending.result()


@scenario
def a_blob_is_read_as_it_comes(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            gate, pieces = [b"first", b"second", b"third"], []

            def source(gate: list[bytes] = gate, pieces: list[bytes] = pieces) -> Any:
                for number, piece in enumerate(gate):
                    eventually(lambda number=number: len(pieces) >= number, "the reader is with the writer")
                    yield piece

            sending = Task(sender.send, Blob.from_iter(source()))
            pieces.extend(house.pieces(receiver.recv(timeout=PATIENCE_SECONDS), timeout=PATIENCE_SECONDS))

            assert pieces == gate
            sending.result()


@scenario
def a_source_that_fails_is_told_to_its_reader(stage: Stage) -> None:
    def broken() -> Any:
        yield b"x" * 100_000
        raise ZeroDivisionError("in the source")

    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            sending = Task(sender.send, Blob.from_iter(broken()))
            blob = receiver.recv(timeout=PATIENCE_SECONDS)

            with pytest.raises(SourceFailed):
                house.read(blob)
            assert isinstance(sending.error(), ZeroDivisionError)
            sender.send("on")
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "on"


@scenario
def a_blob_that_nobody_wants_lets_its_sender_go_on(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sending = Task(sender.send, {"unwanted": blob_of(LARGE * 3)})
            receiver.recv(timeout=PATIENCE_SECONDS)
            sending.result()
            sender.send("on")

            assert receiver.recv(timeout=PATIENCE_SECONDS) == "on"


@scenario
def a_blob_that_waits_for_its_reader_stops_no_value(stage: Stage) -> None:
    with stage.pair(limits=Limits(spool_link_bytes=1 << 20)) as ends:
        sending = Task(ends.far.send, blob_of(LARGE * 4))
        blob = ends.near.recv(timeout=PATIENCE_SECONDS)
        for n in range(50):
            ends.far.send(n)

        assert [ends.near.recv(timeout=PATIENCE_SECONDS) for _ in range(50)] == list(range(50))
        assert ends.near_house.read(blob) == LARGE * 4
        sending.result()


@scenario
def a_blob_that_comes_is_sent_on(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, house, _ in ends.both_ways():
            there = Task(sender.send, Blob(LARGE, name="round"))
            blob = receiver.recv(timeout=PATIENCE_SECONDS)
            back = Task(receiver.send, [blob], timeout=PATIENCE_SECONDS)
            (found,) = sender.recv(timeout=PATIENCE_SECONDS)

            assert (found.name, found.size) == ("round", len(LARGE))
            assert house.read(found) == LARGE
            there.result()
            back.result()


@scenario
def reading_a_blob_has_a_timeout_and_goes_on_after_it(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            go: list[int] = []

            def source(go: list[int] = go) -> Any:
                yield b"one"
                eventually(lambda: go, "the reader has waited")
                yield b"two"

            sending = Task(sender.send, Blob.from_iter(source()))
            pieces = house.pieces(receiver.recv(timeout=PATIENCE_SECONDS), timeout=0.05)
            assert next(pieces) == b"one"
            with pytest.raises(LinkTimeout):
                next(pieces)
            go.append(1)
            sending.result()


# --- conversations and files ----------------------------------------------------------------------------------------


@scenario
def conversations_take_nobodys_messages(stage: Stage) -> None:
    with stage.pair() as ends:
        for sender, receiver, _, house in ends.both_ways():
            with sender.conversation() as one, sender.conversation() as two:
                one.send("one")
                two.send({"blob": Blob(LARGE)}, timeout=PATIENCE_SECONDS)
                sender.send("beside")
                with receiver.accept_conversation(timeout=PATIENCE_SECONDS) as first:
                    assert first.recv(timeout=PATIENCE_SECONDS) == "one"
                    first.send("answer")
                    assert one.recv(timeout=PATIENCE_SECONDS) == "answer"
                with pytest.raises(LinkClosed):
                    one.recv(timeout=PATIENCE_SECONDS)
                with receiver.accept_conversation(timeout=PATIENCE_SECONDS) as second:
                    assert house.read(second.recv(timeout=PATIENCE_SECONDS)["blob"]) == LARGE
                    assert second.number == two.number
            assert receiver.recv(timeout=PATIENCE_SECONDS) == "beside"


@scenario
def files_and_trees_go_both_ways(stage: Stage) -> None:
    tree = stage.path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "a.bin").write_bytes(LARGE)
    (tree / "below" / "b.txt").write_text("b")
    with stage.pair() as ends:
        for number, (sender, receiver, _, _) in enumerate(ends.both_ways()):
            place = stage.path / f"got {number}"
            place.mkdir()
            told: list[str] = []
            sending = Task(sender.send_file, tree, progress=lambda step, told=told: told.append(step.name))
            receiver.recv_file(place, timeout=PATIENCE_SECONDS)
            done = sending.result()

            assert sorted(outcome.status for outcome in done.outcomes) == ["sent", "sent"]
            assert (place / "tree" / "a.bin").read_bytes() == LARGE
            assert (place / "tree" / "below" / "b.txt").read_text() == "b"
            assert told


@scenario
def a_file_that_is_there_may_be_refused(stage: Stage) -> None:
    (stage.path / "f").write_bytes(b"new")
    place = stage.path / "place"
    place.mkdir()
    (place / "f").write_bytes(b"old")
    with stage.pair() as ends:
        for sender, receiver, _, _ in ends.both_ways():
            sending = Task(sender.send_file, stage.path / "f")
            with contextlib.suppress(TransferRefused, DigestMismatch):
                receiver.recv_file(place, overwrite="refuse", timeout=PATIENCE_SECONDS)

            assert isinstance(sending.error(), TransferRefused)
            assert (place / "f").read_bytes() == b"old"


# --- the end --------------------------------------------------------------------------------------------------------


@scenario
def a_farewell_comes_after_what_was_queued(stage: Stage) -> None:
    for closes_first in (0, 1):
        with stage.pair() as ends:
            ends_in_turn = (ends.near, ends.far)
            leaver, stayer = ends_in_turn[closes_first], ends_in_turn[1 - closes_first]
            leaver.send_many(range(100))
            closing = Task(leaver.close)

            assert [stayer.recv(timeout=PATIENCE_SECONDS) for _ in range(100)] == list(range(100))
            with pytest.raises(LinkClosed):
                stayer.recv(timeout=PATIENCE_SECONDS)
            closing.result()
            leaver.close()
            assert leaver.closed
            assert stayer.closed


@scenario
def both_ends_may_close_at_once(stage: Stage) -> None:
    with stage.pair() as ends:
        ends.near.send("unread")
        closing = [Task(end.close) for end in (ends.near, ends.far)]
        for task in closing:
            task.result()

        assert ends.near.closed
        assert ends.far.closed
        with pytest.raises(LinkClosed):
            ends.far.recv(timeout=0)


@scenario
def an_abort_ends_at_once_and_the_peer_is_told(stage: Stage) -> None:
    for who in (0, 1):
        with stage.pair() as ends:
            aborter, other = ((ends.near, ends.far), (ends.far, ends.near))[who]
            aborter.abort()
            aborter.abort()

            assert aborter.closed
            with pytest.raises((LinkLost, LinkClosed)):
                other.recv(timeout=PATIENCE_SECONDS)
            with pytest.raises(LinkClosed):
                aborter.send(1)
            with pytest.raises((LinkLost, LinkClosed)):
                other.send(1)


@scenario
def what_came_before_the_peers_end_can_still_be_received(stage: Stage) -> None:
    with stage.pair() as ends:
        ends.far.send_many(range(10))
        ends.near.ping(timeout=PATIENCE_SECONDS)
        ends.far.abort()

        assert [ends.near.recv(timeout=PATIENCE_SECONDS) for _ in range(10)] == list(range(10))


@scenario
def closing_a_link_cancels_the_blobs_that_nobody_read(stage: Stage) -> None:
    limits = Limits(spool_link_bytes=1 << 20)
    with stage.pair(limits=limits, server_options={"limits": limits}) as ends:
        sending = Task(ends.far.send, blob_of(LARGE * 20), compress=False)
        blob = ends.near.recv(timeout=PATIENCE_SECONDS)
        ends.near.close()

        assert isinstance(sending.error(), (LinkClosed, LinkLost))
        with pytest.raises((LinkClosed, LinkLost, MessageCancelled)):
            ends.near_house.read(blob)


# --- the door -------------------------------------------------------------------------------------------------------


@scenario
def a_wrong_key_is_refused_at_both_ends(stage: Stage) -> None:
    with stage.pair() as ends:
        with pytest.raises(KeyRefused):
            ends.near_house.connect(ends.server.address, key=Key.generate())

        eventually(lambda: ends.server.stats.key_refused == 1)
        assert len(ends.server) == 1


@scenario
def nobody_listens(stage: Stage) -> None:
    with stage.pair() as ends:
        address = ends.server.address
        ends.server.close()
        with pytest.raises(PortClosed):
            ends.near_house.connect(address, timeout=PATIENCE_SECONDS)


@scenario
def a_full_server_says_so(stage: Stage) -> None:
    with stage.pair(server_options={"max_links": 1}) as ends:
        with pytest.raises(Busy):
            ends.near_house.connect(ends.server.address)
        ends.near.close()
        ends.far.close()
        eventually(lambda: len(ends.server) == 0)

        with ends.near_house.connect(ends.server.address) as again:
            again.send("room")
            with ends.server.accept(timeout=PATIENCE_SECONDS) as other:
                assert other.recv(timeout=PATIENCE_SECONDS) == "room"
                again.abort()


@scenario
def how_many_links_there_may_be_changes_while_the_server_runs(stage: Stage) -> None:
    with stage.pair(server_options={"max_links": 1}) as ends:
        server = vars(ends.server).get("target", ends.server)
        assert server.max_links == 1
        server.max_links = 2
        with ends.near_house.connect(ends.server.address) as second:
            server.max_links = 1
            with pytest.raises(Busy):
                ends.near_house.connect(ends.server.address)
            assert second.ping() > 0, "those that are open stay"
            second.abort()
        with pytest.raises(Misuse, match="at least 1"):
            server.max_links = 0


@scenario
def a_server_may_be_closed_to_all_but_some(stage: Stage) -> None:
    ann, asked = Key.generate(), []

    def admits(user: str | None, fingerprint: str) -> bool:
        asked.append((user, fingerprint))
        return user == "ann"

    with stage.pair(server_options={"key": {"ann": ann, "bob": KEY}}) as ends:
        server = vars(ends.server).get("target", ends.server)
        server.admits = admits
        with pytest.raises(Busy):
            ends.near_house.connect(ends.server.address)
        with ends.near_house.connect(ends.server.address, key=ann) as link:
            assert asked == [("bob", KEY.fingerprint), ("ann", ann.fingerprint)]
            assert (link.ping() > 0, ends.near.ping() > 0) == (True, True), "those that are open stay"
            server.admits = None
            with ends.near_house.connect(ends.server.address) as other:
                other.abort()
            link.abort()
        assert len(asked) == 2


@scenario
def users_have_keys_of_their_own(stage: Stage) -> None:
    ann = Key.generate()
    with stage.pair(server_options={"key": {"ann": ann, "bob": KEY}}) as ends:
        assert ends.far.user == "bob"
        assert ends.near.user is None
        assert abs(ends.far.since - ends.near.since) < PATIENCE_SECONDS
        assert abs(ends.far.since - time.time()) < PATIENCE_SECONDS
        assert ends.near.fingerprint == ends.far.fingerprint == KEY.fingerprint
        with (
            ends.near_house.connect(ends.server.address, key=ann) as link,
            ends.server.accept(timeout=PATIENCE_SECONDS) as other,
        ):
            assert other.user == "ann"
            assert ends.server.get(user="ann") == other
            link.abort()


@scenario
def both_ends_know_each_other(stage: Stage) -> None:
    with stage.pair() as ends:
        assert ends.near.id == ends.far.id
        assert ends.near.peer == ends.server.address
        assert ends.far.peer.host == "127.0.0.1"
        assert not ends.near.closed
        assert not ends.near.suspended
        assert ends.near.id in repr(ends.near)
        assert ends.near.peer_limits.value_bytes == ends.far.limits.value_bytes


# --- the server -----------------------------------------------------------------------------------------------------


@scenario
def the_registry_finds_links(stage: Stage) -> None:
    with stage.pair() as ends:
        server, far = ends.server, ends.far
        assert server.get("127.0.0.1") == far
        assert server.get(("127.0.0.1", far.peer.port)) == far
        assert server.get(id=far.id) == far
        assert server.get("10.0.0.1") is None
        assert server.all() == (far,)
        assert list(server) == [far]
        assert "127.0.0.1" in server
        assert far in server
        assert server.count() == len(server) == 1
        assert server.wait("127.0.0.1", timeout=0) == far
        assert server.wait("10.0.0.1", timeout=0.02) is None
        assert server.suspended() == ()
        with pytest.raises(Misuse):
            server.get()
        assert server.pop("127.0.0.1") == far
        assert server.pop("127.0.0.1") is None
        ends.near.send("still open")
        assert far.recv(timeout=PATIENCE_SECONDS) == "still open"


@scenario
def a_server_says_where_it_is_and_who_is_there(stage: Stage) -> None:
    with stage.pair() as ends:
        details = ends.server.details
        assert (details.host, details.port) == ends.server.address
        assert (details.clients, details.suspended) == ((ends.far.peer,), 0)
        assert details.hostname == platform.node()
        eventually(lambda: ends.server.details.uptime_seconds > details.uptime_seconds)
        before = ends.far_house.server().details
        assert (before.uptime_seconds, before.port, before.clients) == (0.0, 0, ())


@scenario
def a_port_in_use_gives_way_to_a_spare_one(stage: Stage) -> None:
    spare = range(20050, 20100)
    with stage.pair() as ends:
        with ends.far_house.server(address=ends.server.address, spare_ports=spare) as other:
            assert other.address.host == "127.0.0.1"
            assert other.address.port in spare
            with ends.near_house.connect(other.address) as link:
                link.ping()
        with pytest.raises(CannotListen):
            ends.far_house.server(address=ends.server.address).start()


@scenario
def somebody_waits_for_a_link_from_there(stage: Stage) -> None:
    with stage.pair() as ends:
        ends.server.pop("127.0.0.1")
        waiting = Task(ends.server.wait, "127.0.0.1", timeout=PATIENCE_SECONDS)
        with ends.near_house.connect(ends.server.address) as link:
            assert waiting.result().id == link.id
            ends.server.clear()
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
            assert len(ends.server) == 0


@scenario
def a_broadcast_reaches_all_but_those_left_out(stage: Stage) -> None:
    with stage.pair() as ends, ends.near_house.connect(ends.server.address) as second:
        other = ends.server.accept(timeout=PATIENCE_SECONDS)
        for value in ("all", list(range(40_000))):
            done = ends.server.broadcast(value)

            assert set(done.sent) == {ends.far, other}
            assert ends.near.recv(timeout=PATIENCE_SECONDS) == value
            assert second.recv(timeout=PATIENCE_SECONDS) == value
        ends.server.broadcast({"b": blob_of(LARGE)}, exclude=(other,))
        assert ends.near_house.read(ends.near.recv(timeout=PATIENCE_SECONDS)["b"]) == LARGE
        assert ends.server.broadcast("one", to=[other]).sent == (other,)
        assert second.recv(timeout=PATIENCE_SECONDS) == "one"
        with pytest.raises(UnsendableValue):
            ends.server.broadcast(object())
        second.close()
        eventually(lambda: other.closed)
        assert ends.server.broadcast("gone", to=[other]).skipped == (other,)


@scenario
def handlers_get_each_link_and_their_faults_stay_theirs(stage: Stage) -> None:
    def chat(link: Any) -> None:
        for value in link:
            if value == "fault":
                raise ZeroDivisionError("in the handler")
            link.send(value * 2)

    with stage.pair() as ends:
        ends.far_house.handle(ends.server, chat)
        with ends.near_house.connect(ends.server.address) as link:
            link.send(21)
            assert link.recv(timeout=PATIENCE_SECONDS) == 42
            link.send("fault")
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        with ends.near_house.connect(ends.server.address) as link:
            link.send("a")
            assert link.recv(timeout=PATIENCE_SECONDS) == "aa"


@scenario
def a_server_that_closes_lets_handlers_answer_and_says_farewell(stage: Stage) -> None:
    def chat(link: Any) -> None:
        for value in link:
            link.send(("answer", value))

    with stage.pair() as ends:
        ends.far_house.handle(ends.server, chat)
        with ends.near_house.connect(ends.server.address) as link:
            link.send(1)
            assert link.recv(timeout=PATIENCE_SECONDS) == ("answer", 1)
            ends.server.close(drain=PATIENCE_SECONDS)
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        with pytest.raises(LinkClosed):
            ends.near.recv(timeout=PATIENCE_SECONDS)
        with pytest.raises(Misuse):
            ends.server.accept(timeout=0)
        ends.server.close()


@scenario
def what_is_answered_while_a_server_leaves_arrives(stage: Stage) -> None:
    with stage.pair() as ends:

        def answer_late(link: Any) -> None:
            asked = link.recv()
            with pytest.raises(LinkClosed):
                ends.far.recv(timeout=PATIENCE_SECONDS)  # The server has begun to leave.
            link.ping(timeout=PATIENCE_SECONDS)  # The client has been told.
            link.send(("answer", asked))
            with pytest.raises(LinkClosed):
                link.accept_conversation(timeout=PATIENCE_SECONDS)
            link.send("nothing more is waited for")

        ends.far_house.handle(ends.server, answer_late)
        with ends.near_house.connect(ends.server.address) as link:
            link.send(1)
            answers = Task(lambda: [link.recv(timeout=PATIENCE_SECONDS) for _ in range(2)])
            ends.server.close(drain=PATIENCE_SECONDS)
            assert answers.result() == [("answer", 1), "nothing more is waited for"]


# --- across cuts ----------------------------------------------------------------------------------------------------


@scenario
def a_link_goes_on_after_a_cut_and_loses_nothing(stage: Stage) -> None:
    with _Relays() as relays, stage.pair(through=relays) as ends:
        for round_ in range(3):
            for sender, receiver, _, _ in ends.both_ways():
                sending = Task(_send_all, sender, [(round_, n) for n in range(200)])
                relays.cut()

                assert [receiver.recv(timeout=PATIENCE_SECONDS) for _ in range(200)] == [
                    (round_, n) for n in range(200)
                ]
                sending.result()
        ends.near.send("acked", wait="acked", timeout=PATIENCE_SECONDS)

        assert ends.near.id == ends.far.id
        eventually(lambda: ends.near.stats.resumes == ends.far.stats.resumes >= 1)
        eventually(lambda: ends.server.suspended() == ())
        assert ends.server.get(id=ends.far.id) == ends.far


@scenario
def blobs_and_big_values_go_on_after_cuts(stage: Stage) -> None:
    with _Relays() as relays, stage.pair(through=relays) as ends:
        for sender, receiver, _, house in ends.both_ways():
            sending = Task(sender.send, [list(range(30_000)), blob_of(LARGE * 2)])
            numbers, blob = receiver.recv(timeout=PATIENCE_SECONDS)
            found = []
            for place, piece in enumerate(house.pieces(blob, timeout=PATIENCE_SECONDS)):
                found.append(piece)
                if place in (1, 10, 25):
                    relays.cut()

            assert numbers == list(range(30_000))
            assert b"".join(found) == LARGE * 2
            sending.result()


@scenario
def a_link_without_resume_is_cut_for_good(stage: Stage) -> None:
    with _Relays() as relays, stage.pair(through=relays, resume=False) as ends:
        ends.near.ping(timeout=PATIENCE_SECONDS)
        relays.cut()

        for end in (ends.near, ends.far):
            with pytest.raises(ConnectionCut):
                end.recv(timeout=PATIENCE_SECONDS)
            with pytest.raises(ConnectionCut):
                end.send(1)
        eventually(lambda: len(ends.server) == 0)


@scenario
def a_session_that_finds_no_transport_is_lost_with_what_is_unknown(stage: Stage) -> None:
    limits = Limits(resume_seconds=1.0)
    with _Relays() as relays, stage.pair(through=relays, limits=limits, server_options={"limits": limits}) as ends:
        ends.near.send("known", wait="acked", timeout=PATIENCE_SECONDS)
        relays.stop()
        eventually(lambda: ends.near.suspended)
        lost = [ends.near.send(n).id for n in range(3)]

        with pytest.raises(SessionLost) as caught:
            ends.near.recv(timeout=PATIENCE_SECONDS)
        assert sorted(caught.value.unacknowledged) == lost
        assert ends.far.recv(timeout=PATIENCE_SECONDS) == "known"
        with pytest.raises(SessionLost):
            ends.far.recv(timeout=PATIENCE_SECONDS)


@scenario
def a_suspended_link_may_be_closed(stage: Stage) -> None:
    with _Relays() as relays, stage.pair(through=relays) as ends:
        relays.stop()
        eventually(lambda: ends.near.suspended and ends.far.suspended)
        eventually(lambda: ends.server.suspended() == (ends.far,))
        ends.near.send("kept")
        ends.near.close(timeout=0.05)
        ends.far.abort()

        assert ends.near.closed
        assert ends.far.closed
        eventually(lambda: ends.server.suspended() == ())


class _Relays:
    """A relay in front of the server, which cuts transports and can be stopped."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._stopped = False

    def __enter__(self) -> _Relays:
        return self

    def __exit__(self, *_: object) -> None:
        """The pair has ended its relay."""

    def __call__(self, address: Any) -> contextlib.AbstractContextManager[Any]:
        return self._give(address)

    @contextlib.contextmanager
    def _give(self, address: Any) -> Any:
        self._relay = Relay(address)
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: None if self._stopped else self._relay.__exit__(None, None, None))
            yield self._relay

    def cut(self) -> None:
        self._relay.cut()

    def stop(self) -> None:
        """End every transport, and take no more."""
        self._stopped = True
        self._relay.__exit__(None, None, None)


def _send_all(link: Any, values: list[Any]) -> None:
    for value in values:
        link.send(value)


def _send_until_it_waits(link: Any, value: Any) -> int:
    """Send a value again and again; return how often that went, until one had to wait."""
    for sent in range(10_000):
        try:
            link.send(value, compress=False, timeout=0.1)
        except LinkTimeout:
            return sent
    raise AssertionError("the link takes everything")


def _receive_all(link: Any, count: int) -> list[Any]:
    return [link.recv(timeout=PATIENCE_SECONDS) for _ in range(count)]
