"""A server as its users see it: accepting, handlers, the registry, broadcasts, the end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from loopback import (
    KEY,
    PATIENCE_SECONDS,
    Relay,
    Task,
    eventually,
    open_files,
    python,
    raw_client,
    read_to_end,
)
from netstructer import Blob, Key, Limits, Link, Server
from netstructer.codec import values
from netstructer.errors import (
    Busy,
    CannotListen,
    ConnectionCut,
    InvalidAddress,
    InvalidKey,
    KeyRefused,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    Misuse,
    NetstructerError,
    PortClosed,
    SourceFailed,
    UnsendableValue,
)

SMALL = Limits(credit_bytes=64 << 10, body_bytes=1024)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key=KEY) as running:
        yield running


# --- accept and handlers ----------------------------------------------------------------------------------------------


def test_links_are_accepted_in_the_order_in_which_they_came(server: Server) -> None:
    links = [Link(server.address, key=KEY) for _ in range(20)]
    accepted = [server.accept(timeout=5) for _ in links]

    assert [link.id for link in accepted] == [link.id for link in links]
    assert server.stats.links_accepted == 20
    for link in links:
        link.abort()


@pytest.mark.parametrize("timeout", [0, 0.1])
def test_accept_waits_as_long_as_it_is_told(server: Server, timeout: float) -> None:
    with pytest.raises(LinkTimeout):
        server.accept(timeout=timeout)


def test_a_link_that_sent_and_left_can_still_be_accepted(server: Server) -> None:
    with Link(server.address, key=KEY) as link:
        link.send("left a note")

    assert list(server.accept(timeout=5)) == ["left a note"]


def test_links_that_end_unaccepted_do_not_pile_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended_ids() -> list[str]:
        with server._reception._changed:
            return [found.id for found in server._reception._waiting if found._exchange.ended]

    monkeypatch.setattr("netstructer.reception.MOST_ENDED", 3)
    for number in range(8):
        with Link(server.address, key=KEY) as link:
            link.send(number, wait="acked")
        # The server's end is over a little after the client's, and old ends are counted when a new one comes.
        eventually(lambda: ended_ids()[-1:] == [link.id])

    assert len(server._reception._waiting) <= 4
    assert list(server.accept(timeout=5)) == [4]


def test_accept_ends_with_the_server() -> None:
    server = Server(key=KEY).start()
    accepting = Task(server.accept)
    waiting = Task(server.wait, "127.0.0.1")
    time.sleep(0.05)
    server.close()

    assert isinstance(accepting.error(), Misuse)
    assert waiting.result() is None
    with pytest.raises(Misuse):
        server.accept(timeout=0)
    with pytest.raises(Misuse):
        server.start()


def test_a_handler_is_called_for_each_link_in_a_thread_of_its_own() -> None:
    threads = []

    def chat(link: Link) -> None:
        threads.append(threading.current_thread().name)
        for value in link:
            link.send(value * 2)

    with Server(key=KEY, handler=chat) as server:
        links = [Link(server.address, key=KEY) for _ in range(3)]
        for number, link in enumerate(links):
            link.send(number)

        assert [link.recv(timeout=5) for link in links] == [0, 2, 4]
        assert len(set(threads)) == 3
        with pytest.raises(LinkTimeout):
            server.accept(timeout=0)
        for link in links:
            link.close()


def test_a_handler_may_be_given_by_decorator_and_its_return_closes_the_link() -> None:
    server = Server(key=KEY)

    @server.handler
    def once(link: Link) -> None:
        link.send(link.recv())

    with server, Link(server.address, key=KEY) as link:
        link.send("echo")

        assert list(link) == ["echo"]
        assert once.__name__ == "once"


def test_what_a_handler_raises_is_logged_without_its_text_and_closes_that_link_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "netstructer")
    text = "-".join(("canary", ""))

    def fragile(link: Link) -> None:
        value = link.recv()
        if value == "good":
            link.send("fine")
            link.recv()
        raise KeyError(text + value)

    with Server(key=KEY, handler=fragile) as server:
        with Link(server.address, key=KEY) as good, Link(server.address, key=KEY) as bad:
            good.send("good")
            bad.send("payload-of-the-peer")

            assert list(bad) == []
            assert good.recv(timeout=5) == "fine"
        with Link(server.address, key=KEY) as another:
            another.send("good")

            assert another.recv(timeout=5) == "fine"

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "KeyError" in errors[0].getMessage()
    assert "test_server.py" in errors[0].getMessage()
    assert "canary-" not in caplog.text
    assert "payload-of-the-peer" not in caplog.text
    assert KEY.reveal() not in caplog.text


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_link_that_ends_under_its_handler_is_no_error(caplog: pytest.LogCaptureFixture, end: str) -> None:
    caplog.set_level(logging.DEBUG, "netstructer")

    def receive(link: Link) -> None:
        while True:
            link.recv()

    with Server(key=KEY, handler=receive) as server:
        link = Link(server.address, key=KEY)
        link.send(1)
        getattr(link, end)()
        eventually(lambda: "its handler" in caplog.text or "the handler" in caplog.text)

    assert all(record.levelno < logging.WARNING for record in caplog.records)


def test_a_handler_that_cannot_have_a_thread_costs_its_link_and_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.handler(lambda link: link.recv())
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "handler" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Link(server.address, key=KEY) as link, pytest.raises(ConnectionCut):
        link.recv(timeout=5)
    monkeypatch.undo()
    eventually(lambda: server.count() == 0)
    with Link(server.address, key=KEY) as link:
        link.send("x")
        assert list(link) == []

    assert "no thread" in caplog.text


def test_messages_that_come_with_the_opening_stay_in_order() -> None:
    """The first messages may come in one read with the OPEN; whoever finds the link must not read past them."""
    with Server(key=KEY) as server:
        found: list[list[int]] = []

        def take() -> None:
            for _ in range(40):
                link = server.accept(timeout=PATIENCE_SECONDS)
                found.append(list(link))

        taking = Task(take)
        for _ in range(40):
            with Link(server.address, key=KEY) as link:
                for number in range(30):
                    link.send(number)
        taking.result()

    assert found == [list(range(30))] * 40


# --- where it listens -------------------------------------------------------------------------------------------------


def test_port_zero_picks_a_free_one() -> None:
    with Server(key=KEY) as one, Server(key=KEY) as other:
        assert one.address.host == other.address.host == "127.0.0.1"
        assert one.address.port != other.address.port
        assert one.address.port > 0


def test_a_port_in_use_cannot_be_listened_on(server: Server) -> None:
    with pytest.raises(CannotListen) as caught:
        Server(server.address, key=KEY).start()

    assert caught.value.stage in ("bind", "listen")
    assert isinstance(caught.value, OSError)


def test_a_port_in_use_gives_way_to_a_spare_one_with_a_warning(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(server.address, key=KEY, spare_ports=range(20050, 20100)) as other:
        with Link(other.address, key=KEY) as link:
            link.ping()
        found = other.address

    assert found.host == "127.0.0.1"
    assert found.port in range(20050, 20100)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"= the port {server.address.port} is in use: listening at port {found.port}"
    ]
    with Server(("127.0.0.1", 0), key=KEY, spare_ports=(1,)) as free:  # port 0 is never in use
        assert free.address.port > 1


@pytest.mark.parametrize("host", ["no-such-name.invalid", "203.0.113.7"])
def test_an_address_of_another_machine_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(CannotListen) as caught:
        Server((host, 0), key=KEY).start()

    assert caught.value.stage in ("name", "bind")


def test_the_same_port_can_be_taken_again_at_once() -> None:
    address: tuple[str, int] = ("127.0.0.1", 0)
    for _ in range(3):
        with Server(address, key=KEY) as server, Link(server.address, key=KEY) as link:
            address = server.address
            link.send(1)


@pytest.mark.parametrize("host", ["::", ""])
def test_a_dual_stack_listener_knows_an_ipv4_peer_by_its_ipv4_address(host: str) -> None:
    try:
        server = Server((host, 0), key=KEY).start()
    except CannotListen:
        pytest.skip("no IPv6 on this machine")
    with server, Link(("127.0.0.1", server.address.port), key=KEY) as link:
        far = server.accept(timeout=5)

        assert far.peer.host == "127.0.0.1"
        assert server.get("127.0.0.1") is server.get("::ffff:127.0.0.1") is server.get("::ffff:7f00:1") is far
        assert "127.0.0.1" in server
        assert server.get(("127.0.0.1", far.peer.port)) is far
        assert link.id == far.id


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"key": "too short"}, InvalidKey),
        ({"key": {}}, Misuse),
        ({"key": KEY, "max_links": 0}, Misuse),
        ({"key": KEY, "spare_ports": (0,)}, Misuse),
        ({"key": KEY, "spare_ports": (65536,)}, Misuse),
        ({"key": KEY, "spare_ports": "80"}, Misuse),
        ({"key": KEY, "address": "nowhere"}, InvalidAddress),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_opened(
    options: dict[str, object], error: type[NetstructerError]
) -> None:
    with pytest.raises(error):
        Server(**options)  # type: ignore[arg-type]  # that is the test


# --- room -------------------------------------------------------------------------------------------------------------


def test_a_full_server_is_busy_and_takes_links_again_when_one_has_gone() -> None:
    with Server(key=KEY, max_links=2) as server:
        first, second = Link(server.address, key=KEY), Link(server.address, key=KEY)
        for _ in range(3):
            with pytest.raises(Busy):
                Link(server.address, key=KEY)
        popped = server.pop("127.0.0.1")
        assert popped is not None
        with pytest.raises(Busy):
            Link(server.address, key=KEY)
        first.close()
        eventually(lambda: len(server._live) == 1)
        third = Link(server.address, key=KEY)

        assert server.stats.handshakes_refused == 4
        second.abort()
        third.abort()


def test_links_that_come_at_once_do_not_pass_the_limit() -> None:
    with Server(key=KEY, max_links=5) as server:
        opening = [Task(Link, server.address, key=KEY) for _ in range(20)]
        errors = [task.error() for task in opening]
        links = [task.result() for task, error in zip(opening, errors, strict=True) if error is None]

        assert len(links) == 5
        assert {type(error) for error in errors if error is not None} == {Busy}
        for link in links:
            link.abort()


# --- the registry -----------------------------------------------------------------------------------------------------


def test_the_registry(server: Server) -> None:
    links = [Link(server.address, key=KEY) for _ in range(3)]
    far = [server.accept(timeout=5) for _ in links]

    assert len(server) == server.count() == len(server.registry) == 3
    assert list(server) == list(server.all()) == list(server.all("127.0.0.1")) == far
    assert server.all("192.0.2.1") == ()
    assert server.get("127.0.0.1") is far[2]
    assert server.get(("127.0.0.1", far[0].peer.port)) is far[0]
    assert server.get(id=links[1].id) is far[1]
    assert server.get("192.0.2.1") is None
    assert "127.0.0.1" in server
    assert "192.0.2.1" not in server
    assert far[0] in server
    assert ("127.0.0.1", far[1].peer.port) in server
    assert server.wait("127.0.0.1", timeout=0) is far[2]
    assert server.wait("192.0.2.1", timeout=0.05) is None
    with pytest.raises(InvalidAddress):
        server.get("not an address")
    with pytest.raises(Misuse):
        server.get()
    with pytest.raises(Misuse):
        server.get("127.0.0.1", id="x")

    assert server.pop("127.0.0.1") is far[2]
    assert server.pop(id=links[2].id) is None
    assert server.count() == 2
    links[2].send("still open")
    assert far[2].recv(timeout=5) == "still open"

    server.clear()

    assert server.count() == 0
    assert list(links[0]) == list(links[1]) == []
    links[2].send("still open")
    assert far[2].recv(timeout=5) == "still open"
    far[2].close()
    for link in links:
        link.close()


def test_a_link_leaves_the_registry_when_it_ends(server: Server) -> None:
    for end in ("close", "abort"):
        link = Link(server.address, key=KEY)
        far = server.accept(timeout=5)
        getattr(link, end)()
        eventually(lambda: server.count() == 0)

        assert server.get("127.0.0.1") is None
        eventually(lambda: not server.registry._links)
        assert far not in server


def test_wait_returns_the_link_as_soon_as_it_is_there(server: Server) -> None:
    waiting = Task(server.wait, "127.0.0.1", PATIENCE_SECONDS)
    time.sleep(0.05)
    with Link(server.address, key=KEY) as link:
        found = waiting.result()

        assert found is not None
        assert found.id == link.id


def test_a_popped_link_outlives_the_server() -> None:
    with Server(key=KEY) as server:
        link = Link(server.address, key=KEY)
        kept = server.wait("127.0.0.1", 5)
        assert server.pop("127.0.0.1") is kept
    assert kept is not None
    kept.send("still here")

    assert link.recv(timeout=5) == "still here"
    with pytest.raises(PortClosed):
        Link(server.address, key=KEY)
    link.close()
    kept.close()


def test_users_are_told_apart_by_their_keys() -> None:
    keys = {"ada": Key.generate(), "ben": Key.generate()}
    with Server(key=keys) as server:
        with Link(server.address, key=keys["ada"]) as ada, Link(server.address, key=keys["ben"].reveal()) as ben:
            far = [server.accept(timeout=5), server.accept(timeout=5)]

            assert [link.user for link in far] == ["ada", "ben"]
            assert server.get(user="ada") is far[0]
            assert server.pop(user="ben") is far[1]
            assert far[0].fingerprint == ada.fingerprint == keys["ada"].fingerprint
            assert far[1].fingerprint == ben.fingerprint
            assert "user 'ada'" in repr(far[0])
            far[1].close()
        with pytest.raises(KeyRefused):
            Link(server.address, key=KEY)


def test_the_registry_holds_under_many_threads(server: Server) -> None:
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            assert len(server.all()) <= 64
            server.get("127.0.0.1")
            for link in server:
                assert link.peer.host == "127.0.0.1"
            looks += 1
        return looks

    looking = [Task(look) for _ in range(3)]
    for number in range(60):
        link = Link(server.address, key=KEY)
        if number % 3 == 0:
            popped = server.pop("127.0.0.1")
            if popped is not None:
                popped.abort()
        link.abort()
    stop.set()

    assert all(task.result() > 0 for task in looking)
    eventually(lambda: server.count() == 0)


# --- broadcast --------------------------------------------------------------------------------------------------------


def test_a_broadcast_reaches_all_and_is_encoded_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    links = [Link(server.address, key=KEY) for _ in range(6)]
    far = [server.accept(timeout=5) for _ in links]
    calls = []
    encode = values.encode
    monkeypatch.setattr(values, "encode", lambda *args, **kwargs: calls.append(1) or encode(*args, **kwargs))
    for value in ("small", {"table": [{"n": n, "text": "again " * 20} for n in range(3000)]}):
        calls.clear()
        done = server.broadcast(value)

        assert len(calls) == 1
        assert set(done.sent) == set(far)
        assert done.skipped == ()
        assert [link.recv(timeout=PATIENCE_SECONDS) for link in links] == [value] * 6

    done = server.broadcast("some", exclude={far[0]})
    assert far[0] not in done.sent
    done = server.broadcast("two", to=far[:2], exclude=[far[1]])
    assert done.sent == (far[0],)
    assert links[0].recv(timeout=5) == "two"
    assert links[1].recv(timeout=5) == "some"
    for link in links:
        link.abort()


def test_a_broadcast_carries_a_blob_to_all(server: Server) -> None:
    links = [Link(server.address, key=KEY) for _ in range(3)]
    for _ in links:
        server.accept(timeout=5)
    body = bytes(range(256)) * 3000
    server.broadcast({"scan": Blob(body), "tags": {"ct"}})
    server.broadcast([Blob.from_iter([b"a" * 70_000, b"b" * 70_000])])

    for link in links:
        found = link.recv(timeout=PATIENCE_SECONDS)
        assert bytes(found["scan"]) == body
        assert bytes(link.recv(timeout=PATIENCE_SECONDS)[0]) == b"a" * 70_000 + b"b" * 70_000
        link.abort()


@pytest.mark.parametrize(("error", "raised"), [(LinkClosed, SourceFailed), (ZeroDivisionError, ZeroDivisionError)])
def test_a_broadcast_whose_source_fails_reaches_nobody_and_says_so(
    server: Server, error: type[Exception], raised: type[Exception]
) -> None:
    def source() -> Iterator[bytes]:
        yield b"first"
        raise error("of the source")

    links = [Link(server.address, key=KEY) for _ in range(2)]
    for _ in links:
        server.accept(timeout=5)
    with pytest.raises(raised):
        server.broadcast([Blob.from_iter(source())])
    server.broadcast("next")

    for link in links:
        assert link.recv(timeout=PATIENCE_SECONDS) == "next"
        link.abort()


def test_a_broadcast_of_what_does_not_travel_reaches_nobody(server: Server) -> None:
    with Link(server.address, key=KEY) as link:
        server.accept(timeout=5)
        with pytest.raises(UnsendableValue):
            server.broadcast([object()])
        server.broadcast("next")

        assert link.recv(timeout=5) == "next"


def test_a_slow_link_does_not_delay_the_others_and_gets_it_later(server: Server) -> None:
    with Relay(server.address) as relay:
        slow = Link(relay.address, key=KEY)
        slow_far = server.accept(timeout=5)
        fast = [Link(server.address, key=KEY) for _ in range(3)]
        for _ in fast:
            server.accept(timeout=5)
        relay.held.set()
        body = bytes(6 << 20)
        began = time.monotonic()
        for _ in range(2):
            done = server.broadcast({"body": body}, exclude=())
            assert slow_far in done.sent
            assert [len(link.recv(timeout=PATIENCE_SECONDS)["body"]) for link in fast] == [len(body)] * 3
        took = time.monotonic() - began
        relay.held.clear()

        assert took < 10
        assert [len(slow.recv(timeout=PATIENCE_SECONDS)["body"]) for _ in range(2)] == [len(body)] * 2
        for link in (slow, *fast):
            link.abort()


def test_a_link_with_too_much_waiting_is_passed_over() -> None:
    limits = Limits(backlog_bytes=4 << 20)
    with Server(key=KEY, compress=False, limits=limits) as server, Relay(server.address) as relay:
        link = Link(relay.address, key=KEY)
        far = server.accept(timeout=5)
        relay.held.set()
        sent = 0
        while far in server.broadcast(bytes(3 << 20)).sent:
            sent += 1
            assert sent < 30
        relay.held.clear()

        assert [len(link.recv(timeout=PATIENCE_SECONDS)) for _ in range(sent)] == [3 << 20] * sent
        link.abort()


def test_a_link_that_is_closed_or_takes_no_value_of_this_size_is_passed_over(server: Server) -> None:
    small = Link(server.address, key=KEY, limits=Limits(value_bytes=2048))
    large = Link(server.address, key=KEY)
    gone = Link(server.address, key=KEY)
    far = [server.accept(timeout=5) for _ in range(3)]
    gone.abort()
    eventually(lambda: far[2].closed)
    done = server.broadcast(bytes(5000), to=far)

    assert done.sent == (far[1],)
    assert set(done.skipped) == {far[0], far[2]}
    assert large.recv(timeout=5) == bytes(5000)
    small.abort()
    large.abort()


# --- the end ----------------------------------------------------------------------------------------------------------


def test_close_says_farewell_to_all_and_may_be_called_twice(server: Server) -> None:
    links = [Link(server.address, key=KEY) for _ in range(10)]
    far = [server.accept(timeout=5) for _ in links]
    for link in far:
        link.send(bytes(100_000))
    receiving = [Task(list, link) for link in links]
    server.close()
    server.close()

    assert [task.result() for task in receiving] == [[bytes(100_000)]] * 10
    assert all(link.closed for link in far)
    assert "closed" in repr(server)


def test_close_waits_for_all_links_together_no_longer_than_it_is_told() -> None:
    with Server(key=KEY) as server, Relay(server.address) as relay:
        links = [Link(relay.address, key=KEY) for _ in range(4)]
        for _ in links:
            server.accept(timeout=5)
        relay.held.set()
        began = time.monotonic()
        server.close(drain=0.4)
        took = time.monotonic() - began
        relay.held.clear()

        assert 0.3 < took < 3
        for link in links:
            link.abort()


def test_serve_forever_until_close_from_another_thread() -> None:
    server = Server(key=KEY)
    serving = Task(server.serve_forever)
    eventually(lambda: server.address.port)
    accepting = Task(server.accept)
    with Link(server.address, key=KEY) as link:
        link.send(1)
        assert accepting.result().recv(timeout=5) == 1
    server.close()
    serving.result()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no signals for other processes")
@pytest.mark.parametrize("started", ["with server:\n    server.serve_forever()", "server.serve_forever()"])
def test_ctrl_c_ends_serve_forever_cleanly(started: str) -> None:
    program = (
        "from netstructer import Server\n"
        "server = Server()\n"
        "server.handler(lambda link: [link.send(value) for value in link])\n"
        "server.start()\n"
        "print(server.address.port, flush=True)\n"
        f"{started}\n"
        "print('left', server.count(), flush=True)\n"
    )
    with python("-c", program) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with Link(("127.0.0.1", port), key=KEY) as link:
            link.send(1)
            assert link.recv(timeout=5) == 1
            process.send_signal(signal.SIGINT)
            assert list(link) == []
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert out == "left 0\n"
    assert err == ""


def test_a_server_that_is_shutting_down_refuses_in_words() -> None:
    """Half a hello has come when the server closes: its sender is told why."""
    with (
        Server(key=KEY) as server,
        raw_client(server.address, b"NSTR\1\1\0\0") as silent,
        raw_client(server.address) as mute,
    ):
        eventually(lambda: server._door is not None and len(server._door._visits) == 2)
        eventually(lambda: any(visit.stranger._count for visit in server._door._visits))
        server.close()

        assert read_to_end(silent) == b"NSTR\1\0\0\4"
        assert read_to_end(mute) == b""


def test_closing_leaves_no_descriptor_and_no_thread() -> None:
    with Server(key=KEY) as warm, Link(warm.address, key=KEY):
        pass
    files, threads = open_files(), threading.active_count()
    for _ in range(10):
        with Server(key=KEY) as server:
            link = Link(server.address, key=KEY)
            socket.create_connection(server.address).close()
            with raw_client(server.address, b"NSTR"):
                server.close()
            link.close()
    eventually(lambda: open_files() == files, "every descriptor is closed")

    assert threading.active_count() == threads
    Server(key=KEY).close()


def test_a_link_may_be_lost_while_the_server_closes() -> None:
    for _ in range(10):
        server = Server(key=KEY).start()
        links = [Link(server.address, key=KEY) for _ in range(5)]
        aborting = [Task(link.abort) for link in links]
        server.close()
        for task in aborting:
            task.result()
        for link in links:
            with pytest.raises((LinkClosed, LinkLost)):
                link.recv(timeout=5)
