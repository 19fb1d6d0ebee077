"""NetStructer 2.x's programs over netstructer's links: its README with the import changed, and the rest of its names.

The programs are its README's but for what they need to end: a wait for the client, and the address of this machine.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from ast import literal_eval as from_literal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import netstructer
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, finish, linked, python, raw_client
from netstructer import Blob, Key, Limits
from netstructer.compat.netstructer2 import Bridge, Container, Error, Server, bridge, tools
from netstructer.compat.netstructer2.listening import Accepted, Listening
from netstructer.errors import CannotListen, InvalidAddress, LinkTimeout, MissingKey, Misuse, PortClosed
from test_floors import read_package

PUBLISHED = "Tq_hBOzVozSYvyX8cvvqGZrmzkgaGssB99-azrqCleg="
"""The default key in the source of NetStructer 2.x."""
VALUES = ["hi im haytam", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)]

SERVER = """
from netstructer.compat.netstructer2 import Server
import time
addr = ('127.0.0.1', 0)  # address

server = Server(addr)
server.init()
server.listen()
print(server.port, flush=True)
while server.count() == 0:
    time.sleep(0.01)

session = server.get('127.0.0.1')  # the ip of the session
buff = session.RecvBuffer(size=1024*100, buffer_size=100000)
print(buff)
string = session.RecvBuffer()
print(string)
server.release()
"""
CLIENT = """
from netstructer.compat.netstructer2 import Bridge
addr = ('127.0.0.1', PORT)  # addr of the server thats you want to connect
bridge = Bridge.Link(addr)
bridge.SendBuffer(['hi im haytam',128,{b'gg':'gg'},{1,2,6,4},(False,True)])
bridge.SendBuffer('support us on https://www.buymeacoffee.com/Arcade.m7')
"""
LISTEN_ON = """
from netstructer.compat.netstructer2 import Server , Bridge
import time
addr = ('127.0.0.1', 0)  # address

server = Server(addr)
server.init()
print(server.port, flush=True)

def func(socket,cont):
    while True: # note cont object is a dict
        try:
            soc,addr = socket.accept()
            cont[addr[0]] = Bridge(soc)
        except:
            pass
server.listen_on(func)
while not server.count():
    time.sleep(0.01)
session = server.get('127.0.0.1')
print(session.RecvBuffer())
print(session.RecvBuffer(), flush=True)
"""
SESSIONS = """
from netstructer.compat.netstructer2 import Server , Bridge
import time
sessions = []
server = Server(('127.0.0.1', 0))
server.init()
print(server.port, flush=True)

def func(socket,_):
    while True:
        try:
            soc , addr = socket.accept()
            sessions.append(soc)
        except : pass

server.listen_on(func)
while not sessions:
    time.sleep(0.01)
session = Bridge(sessions[0])
print(session.RecvBuffer())
print(session.RecvBuffer(), flush=True)
"""


@pytest.mark.parametrize("program", [SERVER, LISTEN_ON, SESSIONS], ids=["listen", "listen_on", "a list of its own"])
def test_the_programs_of_the_readme_run_with_the_import_changed(program: str) -> None:
    with python("-c", program) as serving:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        with python("-c", CLIENT.replace("PORT", port)) as client:
            assert finish(client) == ("", "")
        first, second = serving.stdout.readline(), serving.stdout.readline()
        if program is SERVER:
            assert finish(serving) == ("", "")
        else:
            assert serving.poll() is None  # a loop of its own keeps the process alive, as it did

    assert from_literal(first) == VALUES
    assert second == "support us on https://www.buymeacoffee.com/Arcade.m7\n"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that accepts in the background."""
    with Server(("127.0.0.1", 0), enckey=KEY) as server:
        server.init()
        server.listen()
        yield server


@pytest.fixture
def pair(server: Server) -> Iterator[tuple[Bridge, Bridge]]:
    """A client's session, and the server's end of it."""
    with connect(server) as near:
        eventually(server.count)
        far = server.get("127.0.0.1")
        yield near, far
        near.as_link().abort()


def connect(server: Server, timeout: float | None = PATIENCE_SECONDS) -> Bridge:
    return Bridge.Link((server.ip, server.port), enckey=KEY, timeout=timeout)


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_arrive_equal_with_their_types_and_their_bounds(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    for value in (VALUES, "text", b"", None, 0, [], False, ()):
        near.SendBuffer(value)

    for value in (VALUES, "text", b"", None, 0, [], False, ()):
        found = far.RecvBuffer()
        assert (found, type(found)) == (value, type(value))


def test_a_send_tells_the_size_before_and_after_compression(pair: tuple[Bridge, Bridge]) -> None:
    near, _ = pair
    before, after = near.SendBuffer("a" * 100_000)

    assert 100_000 <= before < 100_100
    assert 0 < after < 2_000


def test_sends_with_end_false_are_one_message(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    sizes = [near.SendBuffer(value, end=False) for value in ("one", None, [3])]
    near.SendBuffer({4})
    near.SendBuffer("the next")

    assert all(before > 0 and after > 0 for before, after in sizes)
    assert far.RecvBuffer() == ("one", None, [3], {4})
    assert far.RecvBuffer() == "the next"


def test_what_has_come_of_a_message_outlasts_a_timeout(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    near.SendBuffer("one", end=False)
    far.TimeOut(0.05)
    with pytest.raises(TimeoutError):
        far.RecvBuffer()
    near.SendBuffer("two")
    far.TimeOut(PATIENCE_SECONDS)

    assert far.RecvBuffer() == ("one", "two")


def test_a_reader_takes_one_value_at_a_time(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    for value in ("one", "", None, 4):
        near.SendBuffer(value, end=False)
    reader = far.RecvBuffer(returns=True)

    assert reader.get(1024) == "one"  # the message has not ended yet

    near.SendBuffer("five")
    near.SendBuffer("the next")

    assert list(reader.all()) == ["", None, 4, "five"]
    assert reader.get() is None
    assert list(reader.all()) == []
    assert far.RecvBuffer() == "the next"


def test_a_reader_goes_on_where_a_receive_gave_up(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    near.SendBuffer("one", end=False)
    far.TimeOut(0.05)
    with pytest.raises(TimeoutError):
        far.RecvBuffer()
    near.SendBuffer("two")
    far.TimeOut(PATIENCE_SECONDS)

    assert list(far.RecvBuffer(returns=True).all()) == ["one", "two"]


def test_a_message_over_buffer_size_waits_for_a_larger_one(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    before, _ = near.SendBuffer(b"x" * 5000)
    with pytest.raises(Error.BufferDataError, match="over the 4999 allowed") as caught:
        far.RecvBuffer(buffer_size=4999)

    assert (caught.value.limit, caught.value.found) == (4999, before)
    assert caught.value.er == str(caught.value)
    for size in (0, before - 1):
        with pytest.raises(Error.BufferDataError):
            far.RecvBuffer(buffer_size=size)
    assert far.RecvBuffer(buffer_size=before) == b"x" * 5000


def test_buffer_size_counts_all_values_of_a_message(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    total = sum(near.SendBuffer(b"x" * 100, end=last)[0] for last in (False, False, True))
    for size in (99, total - 1):
        with pytest.raises(Error.BufferDataError):
            far.RecvBuffer(buffer_size=size)

    assert far.RecvBuffer(buffer_size=total) == (b"x" * 100,) * 3


def test_buffer_size_counts_all_values_of_a_reader(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    total = sum(near.SendBuffer(b"x" * 100, end=last)[0] for last in (False, False, True))
    taken = far.RecvBuffer(buffer_size=total - 1, returns=True)

    assert [taken.get(), taken.get()] == [b"x" * 100] * 2
    with pytest.raises(Error.BufferDataError):
        taken.get()
    assert far.RecvBuffer() == b"x" * 100  # what the reader has taken is gone, and this was the last


@pytest.mark.parametrize("option", [{"size": 0}, {"size": "1024"}, {"buffer": -5}, {"buffer_size": -2}, {"size": True}])
def test_sizes_that_are_none_are_refused(pair: tuple[Bridge, Bridge], option: dict[str, Any]) -> None:
    near, far = pair
    near.SendBuffer(1)
    with pytest.raises(ValueError, match=r"expected (size|buffer_size) as a whole number"):
        far.RecvBuffer(**option)

    assert far.RecvBuffer(1024 * 100) == 1


class Person:
    def __init__(self) -> None:
        self.password = "hunter2"


@pytest.mark.parametrize("end", [True, False])
def test_what_does_not_travel_is_a_value_error_and_nothing_is_sent(pair: tuple[Bridge, Bridge], end: bool) -> None:
    near, far = pair
    with pytest.raises(ValueError, match=r"cannot encode this value.*Person") as caught:
        near.SendBuffer({"who": [Person()]}, end=end)
    near.SendBuffer("after")

    assert "hunter2" not in str(caught.value)
    assert far.RecvBuffer() == "after"


def test_blobs_of_any_size_travel(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    sending = Task(near.SendBuffer, {"scan": Blob(b"b" * 1_000_000, name="scan.tiff")})
    scan = far.RecvBuffer(buffer_size=1000)["scan"]

    assert (bytes(scan), scan.name) == (b"b" * 1_000_000, "scan.tiff")
    sending.result()


def test_a_plain_link_understands_a_bridge_and_the_other_way_round(server: Server) -> None:
    with netstructer.Link((server.ip, server.port), key=KEY) as link:
        link.send(VALUES)
        eventually(server.count)
        far = server.pop("127.0.0.1")
        far.SendBuffer("back")

        assert far.RecvBuffer() == VALUES
        assert link.recv(timeout=PATIENCE_SECONDS) == "back"
        far.Close()


def test_threads_that_receive_take_whole_messages(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    tasks = [Task(far.RecvBuffer) for _ in range(4)]
    for number in range(4):
        near.SendBuffer(number, end=False)
        near.SendBuffer(number)

    assert sorted(task.result() for task in tasks) == [(number, number) for number in range(4)]


# --- keys -------------------------------------------------------------------------------------------------------------


def test_without_a_key_a_client_says_what_to_do(server: Server) -> None:
    with pytest.raises(MissingKey, match="give key=, or set NETSTRUCTER_KEY"):
        Bridge.Link((server.ip, server.port))


def test_the_key_is_found_as_a_link_finds_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSTRUCTER_KEY", KEY.reveal())
    with Bridge.Link((server.ip, server.port)) as near:
        near.SendBuffer("found")
        eventually(server.count)

        assert server.get("127.0.0.1").RecvBuffer() == "found"


@pytest.mark.parametrize("key", [b"short", "x" * 44, PUBLISHED, PUBLISHED.encode(), 5, b"A" * 43 + b"="])
def test_a_key_that_is_none_is_a_bad_key_and_is_not_shown(pair: tuple[Bridge, Bridge], key: Any) -> None:
    near, _ = pair
    for use in (near.SetEncKey, lambda key: Bridge.Link(("127.0.0.1", 9), enckey=key)):
        with pytest.raises(KeyError, match="bad key") as caught:
            use(key)
        assert not isinstance(key, bytes | str) or str(key)[:8] not in str(caught.value)
    with pytest.raises(KeyError, match="bad key"):
        Server(("127.0.0.1", 0), enckey=key).init()


def test_no_key_is_built_in() -> None:
    sources = {name: text for name, text in read_package().items() if name.startswith("netstructer.compat")}

    assert len(sources) > 5
    assert [name for name, text in sources.items() if PUBLISHED in text or "DEFAULT_ENC" in text] == []


def test_the_wrong_key_is_a_bad_key_at_the_door(server: Server) -> None:
    with pytest.raises(KeyError, match="bad key"):
        Bridge.Link((server.ip, server.port), enckey=Key.generate(), timeout=PATIENCE_SECONDS)

    assert server.count() == 0


def test_a_session_keeps_the_key_that_it_was_opened_with(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    other = Key.generate()
    for session in pair:
        session.SetEncKey(KEY)
        session.SetEncKey(KEY.reveal())
        session.SetEncKey(KEY.reveal().encode())
        with pytest.raises(KeyError, match=f"bad key: the link was opened with {KEY.fingerprint}") as caught:
            session.SetEncKey(other)
        assert other.reveal() not in str(caught.value)
    near.SendBuffer("still the same")

    assert far.RecvBuffer() == "still the same"
    with pytest.raises(KeyError, match="bad key"):
        Bridge(Accepted(near.as_link()), enckey=other)


def test_the_server_itself_is_at_hand_for_what_this_front_lacks(server: Server) -> None:
    new = Key.generate()
    server.as_server().keys.add(new)
    with Bridge.Link((server.ip, server.port), enckey=new, timeout=PATIENCE_SECONDS) as near:
        near.SendBuffer(1)
        eventually(server.count)

        assert server.get("127.0.0.1").RecvBuffer() == 1


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_peer_that_closes_is_an_aborted_connection_after_what_it_sent(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    near.SendBuffer("last")
    near.Close()
    near.Close()

    assert far.RecvBuffer() == "last"
    for act in (far.RecvBuffer, lambda: far.SendBuffer(1), near.RecvBuffer, lambda: near.SendBuffer(1)):
        with pytest.raises(ConnectionAbortedError, match="the session has closed"):
            act()


def test_a_peer_that_is_gone_is_a_reset_connection(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    near.SendBuffer("last")
    near.as_link().abort()

    assert far.RecvBuffer() == "last"
    eventually(lambda: far.closed)
    for act in (far.RecvBuffer, lambda: far.SendBuffer(1)):
        with pytest.raises(ConnectionResetError, match="the session has closed"):
            act()


def test_a_wait_ends_with_its_timeout(pair: tuple[Bridge, Bridge]) -> None:
    near, _ = pair
    near.TimeOut(0.02)
    with pytest.raises(TimeoutError):
        near.RecvBuffer()
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="expected a timeout"):
            near.TimeOut(wrong)


def test_who_waits_behind_another_receiver_waits_as_long(pair: tuple[Bridge, Bridge]) -> None:
    near, far = pair
    waiting = Task(far.RecvBuffer)
    eventually(lambda: far._receiving.locked())
    far.TimeOut(0.02)
    with pytest.raises(TimeoutError, match="another thread receives"):
        far.RecvBuffer()
    near.SendBuffer("his")

    assert waiting.result() == "his"


def test_nobody_there_is_what_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError) as caught:
        Bridge.Link(("127.0.0.1", port), enckey=KEY, timeout=PATIENCE_SECONDS)

    assert isinstance(caught.value, PortClosed)


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_a_connected_socket_is_refused_with_the_way_out() -> None:
    with socket.socket() as plain, pytest.raises(Misuse, match=r"use Bridge\.Link\(addr\) at a client"):
        Bridge(plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), lambda: 5])
def test_what_is_no_tcp_socket_is_refused(make: Callable[[], Any]) -> None:
    thing = make()
    with pytest.raises(Misuse, match="a bridge is over TCP"):
        Bridge(thing)
    if hasattr(thing, "close"):
        thing.close()


def test_a_link_of_netstructers_own_can_be_wrapped() -> None:
    with linked() as (near, far):
        Bridge(near).SendBuffer("over a link")

        assert Bridge(far, timeout=PATIENCE_SECONDS).RecvBuffer() == "over a link"
        assert Bridge(far).as_link() is far


def test_what_a_loop_accepts_has_no_way_past_the_encryption() -> None:
    with Server(("127.0.0.1", 0), enckey=KEY) as server:
        server.init()
        with connect(server) as near:
            soc, addr = server.bridge.accept()

            assert tools.isTCP(soc)
            assert soc.getpeername() == addr == ("127.0.0.1", addr[1])
            assert server.bridge.getsockname() == (server.ip, server.port)
            for name in ("send", "sendall", "recv", "recv_into", "makefile", "fileno", "detach"):
                with pytest.raises(AttributeError, match=r"use Bridge\(soc\)"):
                    getattr(soc, name)
            with pytest.raises(AttributeError, match="is no socket"):
                server.bridge.setsockopt  # noqa: B018  # the look itself is what is tried
            soc.close()
            with pytest.raises(ConnectionAbortedError):
                near.RecvBuffer()


def test_an_accept_loop_outlives_errors_and_strangers() -> None:
    """S2-22.  A stranger never gets as far as `accept`; what raises there is the loop's own business."""
    with Server(("127.0.0.1", 0), enckey=KEY) as server:
        server.init()
        server.bridge.settimeout(0.01)
        errors: list[type[BaseException]] = []

        def func(listening: Listening, cont: Container, most: int) -> None:
            while cont.count() < most:
                try:
                    soc, addr = listening.accept()
                    cont[addr[0]] = Bridge(soc)
                except Exception as error:
                    errors.append(type(error))

        server.listen_on(func, 1)
        eventually(lambda: len(errors) > 1)
        with raw_client((server.ip, server.port), b"GET / HTTP/1.1\r\n\r\n"), connect(server) as near:
            near.SendBuffer("in")
            eventually(server.count)

            assert server.get("127.0.0.1").RecvBuffer() == "in"
            assert set(errors) == {LinkTimeout}


def test_a_loop_that_swallows_every_error_does_not_spin_after_the_release() -> None:
    with Server(("127.0.0.1", 0), enckey=KEY) as server:
        server.init()
        calls = threading.Semaphore(0)

        def func(listening: Listening, _: object) -> None:
            for _number in range(2):
                try:
                    listening.accept()
                except OSError:
                    calls.release()

        server.listen_on(func)
        server.release()

        assert calls.acquire(timeout=PATIENCE_SECONDS)
        assert not calls.acquire(timeout=0.1)  # the second call has not failed yet
        assert calls.acquire(timeout=PATIENCE_SECONDS)


# --- the server and its container -------------------------------------------------------------------------------------


def test_listening_before_init_is_an_initialize_error() -> None:
    server = Server(("127.0.0.1", 0), enckey=KEY)
    for act in (server.listen, lambda: server.listen_on(print), server.as_server):
        with pytest.raises(Error.ServerInitializeError, match=r"call init\(\) first") as caught:
            act()
        assert caught.value.er == str(caught.value)
    server.release()
    server.init()
    with pytest.raises(Error.ServerInitializeError, match="init was called before"):
        server.init()
    server.release()
    server.release()


@pytest.mark.parametrize("addr", [None, 5000, "127.0.0.1:5000", ("127.0.0.1",), ["127.0.0.1", 5000]])
def test_an_address_that_is_none_is_told_so(addr: Any) -> None:
    with pytest.raises(InvalidAddress, match=r"expected an address \(host, port\)"):
        Server(addr, enckey=KEY)


def test_a_port_that_is_taken_is_an_os_error(server: Server) -> None:
    with pytest.raises(CannotListen):
        Server((server.ip, server.port), enckey=KEY).init()


def test_sessions_are_found_counted_taken_and_cleared(server: Server) -> None:
    assert (server.count(), server.all(), server.get("127.0.0.1"), server.pop("127.0.0.1")) == (0, [], None, None)
    with connect(server) as one, connect(server) as two:
        eventually(lambda: server.count() == 2)
        two.SendBuffer("two")
        one.SendBuffer("one")

        assert [session.RecvBuffer() for session in server.all()] == ["one", "two"]
        assert server["127.0.0.1"] is server.get("127.0.0.1") is server.all()[-1]
        assert server.get("192.0.2.4") is None
        assert "127.0.0.1" in server
        assert list(server) == server.keys() == ["127.0.0.1"]
        assert server.items() == [("127.0.0.1", server.all()[-1])]
        assert server.values() == server.all()

        taken = server.pop("127.0.0.1")

        assert (server.count(), len(server)) == (1, 1)
        server.clear()
        assert server.count() == 0
        assert server
        taken.SendBuffer("still open")
        assert two.RecvBuffer() == "still open"
        with pytest.raises(ConnectionAbortedError):
            one.RecvBuffer()
        taken.Close()


def test_peers_that_do_not_answer_are_waited_for_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    with connect(server) as one, connect(server) as two, connect(server) as three:
        eventually(lambda: server.count() == 3)
        sessions = server.all()
        with monkeypatch.context() as patch:
            moments = iter([100.0, 100.0, 104.0, 108.0])
            patch.setattr("netstructer.compat.netstructer2.server.time", SimpleNamespace(monotonic=moments.__next__))
            patch.setattr(netstructer.Link, "close", lambda _, timeout=None: waits.append(timeout))
            server.clear()
        for session in (one, two, three, *sessions):
            session.as_link().abort()

    assert waits == [5.0, 1.0, 0.0]


def test_a_session_is_found_until_all_that_came_of_it_was_received(server: Server) -> None:
    with connect(server) as near:
        near.SendBuffer("sent and gone")
    eventually(server.count)
    session = server.get("127.0.0.1")
    eventually(lambda: session.closed)

    assert server.count() == 1
    assert session.RecvBuffer() == "sent and gone"
    assert session.over
    assert (server.count(), server.get("127.0.0.1"), server.keys()) == (0, None, [])


def test_so_many_ended_sessions_are_kept_and_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.compat.netstructer2.server.MOST_ENDED", 3)
    for number in range(6):
        before = server.as_server().stats.links_accepted
        with connect(server) as near:
            near.SendBuffer(number)
        eventually(lambda before=before: server.as_server().stats.links_accepted > before)
    eventually(lambda: server.all() and all(session.closed for session in server.all()))
    eventually(lambda: server.count() == 3)

    assert [session.RecvBuffer() for session in server.all()] == [3, 4, 5]


def test_anything_can_be_kept_beside_the_sessions() -> None:
    with Container() as container:
        container["192.0.2.4:name"] = "ann"
        container["192.0.2.4:name"] = "eve"
        container[7] = None

        assert (container["192.0.2.4:name"], container[7], container["other"]) == ("eve", None, None)
        assert container.count() == 2
        for wrong in (None, 1.5, ("127.0.0.1", 5), True):
            for act in (container.get, container.pop, lambda key: container.__setitem__(key, 1)):
                with pytest.raises(ValueError, match="expected a name as str or int"):
                    act(wrong)


def test_each_server_has_sessions_of_its_own(server: Server) -> None:
    with Server(("127.0.0.1", 0), enckey=KEY) as other, connect(server) as near:
        other.init()
        assert other.listen() is other
        near.SendBuffer(1)
        eventually(server.count)

        assert other.count() == 0
        assert server.listen() is server  # twice is once


def test_sessions_outlive_the_release(server: Server) -> None:
    with connect(server) as near:
        eventually(server.count)
        server.release()
        far = server.get("127.0.0.1")
        far.SendBuffer("after the release")

        assert near.RecvBuffer() == "after the release"
        with pytest.raises(ConnectionRefusedError):
            connect(server)


def test_the_same_session_put_in_twice_is_in_once(pair: tuple[Bridge, Bridge], server: Server) -> None:
    _, far = pair
    server["127.0.0.1"] = far

    assert server.all() == [far]


# --- hostile peers ----------------------------------------------------------------------------------------------------


def test_a_pickle_is_bytes_and_nothing_else(pair: tuple[Bridge, Bridge]) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("a pickle was loaded",)

    near, far = pair
    near.SendBuffer(pickle.dumps(Bomb()))

    assert isinstance(far.RecvBuffer(), bytes)


def test_a_message_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "MOST_PARTS", 10)
    with linked(server_limits=Limits(value_bytes=2000)) as (near, far):
        mine, other = Bridge(near), Bridge(far, timeout=PATIENCE_SECONDS)
        for number in range(12):
            mine.SendBuffer(number, end=False)
        with pytest.raises(Error.BufferDataError, match="more than 10 values"):
            other.RecvBuffer()
        reader = other.RecvBuffer(returns=True)
        assert [reader.get() for _ in range(12)] == list(range(12))
        for _ in range(3):
            mine.SendBuffer(b"x" * 900, end=False)
        for _ in range(2):
            with pytest.raises(Error.BufferDataError, match="over the 2000 allowed"):
                other.RecvBuffer()
        reader = other.RecvBuffer(returns=True)
        assert [len(reader.get()) for _ in range(3)] == [900] * 3  # one value at a time there is no such bound


def test_bytes_of_the_old_wire_open_nothing(server: Server) -> None:
    """What NetStructer 2.x sent: zlib, a token, and an end mark in plain bytes."""
    old = b"x\x9c" + struct.pack("!40s", b"") + b"<end_of_enc><end_of_bytes>"
    with raw_client((server.ip, server.port), old), connect(server) as near:
        near.SendBuffer("in")
        eventually(server.count)

        assert server.count() == 1


# --- helpers ----------------------------------------------------------------------------------------------------------


def test_helpers() -> None:
    key = tools.GenerateKey()
    local = tools.LocalIP()

    assert Key(key).reveal().encode() == key
    assert local == "" or socket.inet_aton(local)
    assert not local.startswith("127.")
    assert tools.ServiceName(443) in ("https", "")
    assert [tools.ServiceName(port) for port in (-1, 70000)] == ["", ""]
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        assert [tools.isTCP(thing) for thing in (tcp, udp, None)] == [True, False, False]


@pytest.mark.parametrize("ask", [tools.PublicIP, tools.DetailsIp, lambda: tools.DetailsIp("192.0.2.1")])
def test_no_stranger_is_asked_for_anything(ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    with pytest.raises(Error.NotCarriedOver, match=r"asks nobody|asks no stranger"):
        ask()
