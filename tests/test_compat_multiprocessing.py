"""`multiprocessing.connection`'s names over links.

The tests of the first part are adapted from CPython's own, `Lib/test/_test_multiprocessing.py` (`_TestConnection`,
`_TestListener`, `_TestListenerClient`, `_TestPoll`, `TestWait`), as of 3.11 and 3.13: copyright © 2001 Python Software
Foundation, all rights reserved, used under the PSF License Agreement (https://docs.python.org/3/license.html).  Changed
here: pairs come from `Listener` and `Client`, because there is no `Pipe`; times are not measured; waits have an end.
Left out is what needs descriptors (`test_fd_transfer` and its kin), pickling (`_TestPicklingConnections`), one-way
pipes, Unix sockets, and an empty `authkey`, which is refused here.
"""

from __future__ import annotations

import array
import io
import multiprocessing
import os
import pickle
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, finish, linked, python, raw_client
from netstructer import Key
from netstructer.compat import multiprocessing as compat
from netstructer.compat.multiprocessing import (
    AuthenticationError,
    BufferTooShort,
    Client,
    Connection,
    Listener,
    PeerVanished,
    wait,
)
from netstructer.compat.shared import NotCarriedOver
from netstructer.errors import (
    BadValue,
    CannotListen,
    ConnectionCut,
    InvalidKey,
    LinkTimeout,
    MissingKey,
    PortClosed,
    UnsendableValue,
)

AUTHKEY = KEY.reveal().encode()
SENTINEL = b""
Pair = tuple[Connection, Connection]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a connection, in the place of `Pipe()`."""
    with (
        Listener(authkey=AUTHKEY) as listener,
        Client(listener.address, authkey=AUTHKEY) as near,
        listener.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        yield near, far
        near.as_link().abort()


def echo(connection: Connection) -> None:
    for message in iter(connection.recv_bytes, SENTINEL):
        connection.send_bytes(message)
    connection.close()


# --- adapted from CPython ---------------------------------------------------------------------------------------------


def test_connection(pair: Pair) -> None:
    connection, child = pair
    echoing = Task(echo, child)
    message = b"hello world"
    connection.send_bytes(message)

    assert connection.recv_bytes() == message

    numbers = array.array("i", range(4))
    buffer = array.array("i", [0] * 10)
    connection.send_bytes(numbers)

    assert connection.recv_bytes_into(buffer) == len(numbers) * buffer.itemsize
    assert list(buffer) == [*range(4), *[0] * 6]

    buffer = array.array("i", [0] * 10)
    connection.send_bytes(numbers)

    assert connection.recv_bytes_into(buffer, 3 * buffer.itemsize) == len(numbers) * buffer.itemsize
    assert list(buffer) == [0, 0, 0, *range(4), 0, 0, 0]

    short = bytearray(b" " * 40)
    connection.send_bytes(message * 10)
    with pytest.raises(BufferTooShort) as caught:
        connection.recv_bytes_into(short)
    assert caught.value.args == (message * 10,)

    assert [connection.poll(), connection.poll(-1), connection.poll(0.01)] == [False] * 3

    big = b"X" * (1024 * 1024 * 16)
    connection.send_bytes(big)
    assert connection.recv_bytes() == big

    connection.send_bytes(SENTINEL)
    echoing.result()
    assert (connection.readable, connection.writable) == (True, True)
    for receive in (connection.recv, connection.recv_bytes):
        with pytest.raises(EOFError):
            receive()


def test_objects_go_both_ways(pair: Pair) -> None:
    near, far = pair
    for one, other in (pair, (far, near)):
        one.send([1, 2.25, None])
        assert other.poll(PATIENCE_SECONDS) is True
        assert other.recv() == [1, 2.25, None]
        one.send(None)
        assert other.poll(PATIENCE_SECONDS) is True
        assert other.recv() is None


def test_sendbytes(pair: Pair) -> None:
    a, b = pair
    message = b"abcdefghijklmnopqrstuvwxyz"
    for arguments in ((), (5,), (7, 8), (26,), (26, 0)):
        a.send_bytes(message, *arguments)
        offset, size = (*arguments, *(0, 26)[len(arguments) :])[:2]
        assert b.recv_bytes() == message[offset : offset + size]
    for wrong in ((27,), (22, 5), (26, 1), (-1,), (4, -1)):
        with pytest.raises(ValueError, match=r"offset|size"):
            a.send_bytes(message, *wrong)


def test_context_of_connections(pair: Pair) -> None:
    a, b = pair
    with a, b:
        a.send(1729)
        assert b.recv() == 1729
        assert (a.closed, b.closed) == (False, False)

    assert (a.closed, b.closed) == (True, True)
    for act in (a.recv, b.recv, a.poll, a.recv_bytes, lambda: a.send(1), lambda: a.send_bytes(b"1")):
        with pytest.raises(OSError, match="the connection is closed"):
            act()


def test_multiple_bind() -> None:
    with Listener(authkey=AUTHKEY) as listener, pytest.raises(OSError, match="cannot bind") as caught:
        Listener(listener.address, "AF_INET", authkey=AUTHKEY)

    assert isinstance(caught.value, CannotListen)


def test_context_of_a_listener() -> None:
    with Listener(authkey=AUTHKEY) as listener:
        assert listener.last_accepted is None
        with Client(listener.address, authkey=AUTHKEY) as c, listener.accept(timeout=PATIENCE_SECONDS) as d:
            c.send(1729)
            assert d.recv() == 1729
        assert listener.last_accepted is not None
        assert listener.last_accepted[0] == "127.0.0.1"

    with pytest.raises(OSError, match="the listener is closed"):
        listener.accept()


def test_listener_client_and_issue14725() -> None:
    """A client that has connected, sent and closed before anybody accepts it: nothing of that is lost."""
    with Listener(authkey=AUTHKEY) as listener:
        with Client(listener.address, authkey=AUTHKEY) as client:
            client.send("hello")
        with listener.accept(timeout=PATIENCE_SECONDS) as connection:
            assert connection.recv() == "hello"
            with pytest.raises(EOFError):
                connection.recv()


def test_issue16955() -> None:
    listener = Listener(authkey=AUTHKEY)
    c = Client(listener.address, authkey=AUTHKEY)
    a = listener.accept(timeout=PATIENCE_SECONDS)
    a.send_bytes(b"hello")
    assert c.poll(PATIENCE_SECONDS)
    a.close()
    c.close()
    listener.close()


def test_empty_string(pair: Pair) -> None:
    a, b = pair
    assert a.poll() is False
    b.send_bytes(b"")
    assert a.poll(PATIENCE_SECONDS) is True
    assert a.poll() is True
    assert a.recv_bytes() == b""


def test_strings(pair: Pair) -> None:
    strings = (b"hello", b"", b"a", b"b", b"", b"bye", b"", b"lop")
    a, b = pair

    def child() -> None:
        for string in strings:
            b.send_bytes(string)
        b.close()

    sending = Task(child)
    for string in strings:
        assert a.poll(PATIENCE_SECONDS)
        assert a.recv_bytes() == string
    assert a.poll(PATIENCE_SECONDS)  # the end is something to receive, too
    with pytest.raises(EOFError):
        a.recv_bytes()
    sending.result()


def test_dont_merge(pair: Pair) -> None:
    a, b = pair
    assert (a.poll(0.0), a.poll(0.01)) == (False, False)
    for message in (b"a", b"b", b"cd"):
        b.send_bytes(message)

    assert a.recv_bytes() == b"a"
    assert (a.poll(PATIENCE_SECONDS), a.poll(0.0)) == (True, True)
    assert a.recv_bytes() == b"b"
    assert (a.poll(PATIENCE_SECONDS), a.poll(0.0)) == (True, True)
    assert a.recv_bytes() == b"cd"


WAITED_FOR = """
import os, sys
from netstructer.compat.multiprocessing import Client
with Client(("127.0.0.1", int(sys.argv[1]))) as w:
    for i in range(10):
        w.send((i, os.getpid()))
"""


def test_wait() -> None:
    """Two processes, each of which sends ten values and closes."""
    messages: list[tuple[int, int]] = []
    with (
        Listener(authkey=AUTHKEY) as listener,
        python("-c", WAITED_FOR, str(listener.address[1])) as one,
        python("-c", WAITED_FOR, str(listener.address[1])) as two,
    ):
        processes = (one, two)
        readers = [listener.accept(timeout=PATIENCE_SECONDS) for _ in processes]
        while readers:
            ready = wait(readers, PATIENCE_SECONDS)
            assert ready
            for reader in ready:
                try:
                    messages.append(reader.recv())
                except EOFError:
                    readers.remove(reader)
                    reader.close()
        for process in processes:
            assert finish(process) == ("", "")

    assert sorted(messages) == sorted((i, process.pid) for i in range(10) for process in processes)


def test_wait_timeout(pair: Pair) -> None:
    a, b = pair
    assert wait([a, b], 0.05) == []
    b.send(None)
    assert wait([a, b], PATIENCE_SECONDS) == [a]
    a.send(None)
    assert [end for end in wait([a, b], PATIENCE_SECONDS) if end is a] == [a]
    eventually(lambda: wait([a, b], 0) == [a, b])


def test_wait_integer(pair: Pair) -> None:
    """What is no connection may be among them: here a descriptor, as the sentinel of a process is one."""
    a, b = pair
    reader, writer = os.pipe()
    try:
        assert wait([a, reader, b], 0.01) == []
        os.write(writer, b"!")
        assert wait([a, reader, b], PATIENCE_SECONDS) == [reader]
        a.send(None)
        eventually(lambda: wait([a, reader, b], PATIENCE_SECONDS) == [reader, b])
        b.send(None)
        eventually(lambda: wait([a, reader, b], PATIENCE_SECONDS) == [a, reader, b])
    finally:
        os.close(reader)
        os.close(writer)


def test_neg_timeout(pair: Pair) -> None:
    assert wait(pair, timeout=-1) == []
    assert wait([], timeout=0) == []


def test_wait_socket() -> None:
    one, other = socket.socketpair()
    with one, other:
        waiting = Task(wait, [one], PATIENCE_SECONDS)
        other.sendall(b"!")

        assert waiting.result() == [one]


# --- what is not as there ---------------------------------------------------------------------------------------------


def test_wait_wakes_while_it_waits(pair: Pair) -> None:
    a, b = pair
    waiting = Task(wait, [a], None)
    b.send("now")

    assert waiting.result() == [a]
    b.close()
    a.recv()
    assert wait([a], PATIENCE_SECONDS) == [a]
    a.close()
    with pytest.raises(OSError, match="the connection is closed"):
        wait([a], 0)


def test_the_end_of_a_process_is_an_end_of_file_and_a_reset() -> None:
    program = """
import os
from netstructer.compat.multiprocessing import Client
connection = Client(ADDRESS)
connection.send("last words")
os._exit(0)
"""
    with Listener(authkey=AUTHKEY) as listener:
        with python("-c", program.replace("ADDRESS", repr(listener.address))) as process:
            connection = listener.accept(timeout=PATIENCE_SECONDS)
            finish(process)
        assert connection.recv() == "last words"
        assert connection.poll(PATIENCE_SECONDS)
        for kind in (EOFError, ConnectionResetError, PeerVanished, ConnectionCut):
            with pytest.raises(kind):
                connection.recv()
        connection.close()


def test_sending_to_a_peer_that_has_closed_is_a_broken_pipe(pair: Pair) -> None:
    near, far = pair
    far.close()
    assert near.poll(PATIENCE_SECONDS)
    with pytest.raises(BrokenPipeError):
        near.send(1)
    with pytest.raises(EOFError):
        near.recv()


def test_who_waits_is_told_when_this_end_closes(pair: Pair) -> None:
    near, _ = pair
    waiting = Task(near.recv)
    time.sleep(0.02)  # either way it must raise; most times it waits by now
    near.close()
    error = waiting.error()

    assert isinstance(error, OSError)
    assert not isinstance(error, EOFError)


def test_an_accept_that_waits_ends_with_the_listener() -> None:
    listener = Listener(authkey=AUTHKEY)
    waiting = Task(listener.accept)
    listener.close()
    listener.close()

    assert isinstance(waiting.error(), OSError)


def test_an_accept_can_have_an_end() -> None:
    with Listener(authkey=AUTHKEY) as listener, pytest.raises(LinkTimeout):
        listener.accept(timeout=0.01)


def test_connections_outlive_their_listener() -> None:
    with Listener(authkey=AUTHKEY) as listener:
        near = Client(listener.address, authkey=AUTHKEY)
        far = listener.accept(timeout=PATIENCE_SECONDS)
    with near, far:
        near.send("after")
        assert far.recv() == "after"
        with pytest.raises(ConnectionRefusedError) as caught:
            Client(listener.address, authkey=AUTHKEY)
        assert isinstance(caught.value, PortClosed)


def test_what_does_not_travel_is_a_type_error_and_the_connection_lives(pair: Pair) -> None:
    near, far = pair
    for wrong in (float, print, near, object()):
        with pytest.raises(UnsendableValue):
            near.send([wrong])
    near.send("after")

    assert far.recv() == "after"


def test_bytes_over_a_length_are_a_bad_message_length(pair: Pair) -> None:
    near, far = pair
    near.send_bytes(b"x" * 100)
    for maxlength in (0, 10, 80):
        with pytest.raises(OSError, match="bad message length"):
            far.recv_bytes(maxlength)
    assert far.recv_bytes(100) == b"x" * 100
    near.send_bytes(b"x" * 100)
    with pytest.raises(OSError, match="bad message length: 100 bytes, over the 99 allowed here"):
        far.recv_bytes(99)
    with pytest.raises(ValueError, match="negative maxlength"):
        far.recv_bytes(-1)


def test_a_value_that_is_no_bytes_is_told_from_bytes(pair: Pair) -> None:
    near, far = pair
    for value in ([1], "text", bytearray(b"1"), None):
        near.send(value)
        with pytest.raises(BadValue, match=f"expected bytes, found a {type(value).__name__}"):
            far.recv_bytes()
    near.send(b"value")
    near.send_bytes(b"bytes")

    assert far.recv_bytes() == b"value"
    assert far.recv() == b"bytes"


@pytest.mark.parametrize("offset", [-1, 5])
def test_bytes_into_a_place_that_is_none(pair: Pair, offset: int) -> None:
    near, far = pair
    near.send_bytes(b"12")
    with pytest.raises(ValueError, match="offset"):
        far.recv_bytes_into(bytearray(4), offset)
    room = bytearray(4)

    assert far.recv_bytes_into(room, 2) == 2
    assert room == b"\0\x0012"


def test_there_is_no_descriptor_and_no_pickling(pair: Pair) -> None:
    near, _ = pair
    with pytest.raises(io.UnsupportedOperation, match=r"use poll\(\), or wait\(\)"):
        near.fileno()
    with pytest.raises(ValueError, match="file"):
        multiprocessing.connection.wait([near], 0)
    with pytest.raises(NotCarriedOver, match=r"Client\(address\)"):
        pickle.dumps(near)


def test_a_link_of_netstructers_own_can_be_wrapped() -> None:
    with linked() as (near, far):
        Connection(near).send_bytes(b"over a link")

        assert Connection(far).poll(PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == b"over a link"


# --- authkey ----------------------------------------------------------------------------------------------------------


RANDOM = bytes(range(96, 128)) + b""
"""32 bytes of which one is no text."""


@pytest.mark.parametrize(
    "keys",
    [
        (RANDOM, RANDOM),
        (multiprocessing.current_process().authkey, bytes(multiprocessing.current_process().authkey)),
        (AUTHKEY, KEY),
        (KEY, AUTHKEY),
    ],
    ids=["32 bytes", "of the process", "text and key", "key and text"],
)
def test_an_authkey_that_is_random_is_the_key(keys: tuple[Any, Any]) -> None:
    with (
        Listener(authkey=keys[0]) as listener,
        Client(listener.address, authkey=keys[1]) as near,
        listener.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        near.send(1)

        assert far.recv() == 1


@pytest.mark.parametrize(
    "authkey", [b"secret password", b"", b"x" * 31, b"a password of 32 characters, so!", b"\0" * 32]
)
def test_a_password_is_no_key_and_is_not_shown(authkey: bytes) -> None:
    for make in (lambda: Listener(authkey=authkey), lambda: Client(("127.0.0.1", 9), authkey=authkey)):
        with pytest.raises(InvalidKey, match="a password is none") as caught:
            make()
        assert not authkey or authkey.decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize("authkey", ["secret", 5, bytearray(32)])
def test_an_authkey_that_is_no_bytes_is_a_type_error(authkey: Any) -> None:
    for make in (lambda: Listener(authkey=authkey), lambda: Client(("127.0.0.1", 9), authkey=authkey)):
        with pytest.raises(TypeError, match="authkey should be a byte string"):
            make()


def test_another_key_is_an_authentication_error_and_nobody_is_accepted() -> None:
    with Listener(authkey=AUTHKEY) as listener:
        with pytest.raises(multiprocessing.AuthenticationError):
            Client(listener.address, authkey=Key.generate())
        with pytest.raises(LinkTimeout):
            listener.accept(timeout=0.05)

    assert AuthenticationError is multiprocessing.AuthenticationError


def test_without_an_authkey_the_key_is_found_as_a_links(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(authkey=AUTHKEY) as listener:
        with pytest.raises(MissingKey):
            Client(listener.address)
        monkeypatch.setenv("NETSTRUCTER_KEY", KEY.reveal())
        with Client(listener.address) as near, listener.accept(timeout=PATIENCE_SECONDS) as far:
            near.send(1)
            assert far.recv() == 1


@pytest.mark.parametrize(
    "place", [("/tmp/a socket", None), (("127.0.0.1", 0), "AF_UNIX"), (None, "AF_PIPE"), ("\\\\.\\pipe", None)]
)
def test_other_families_are_refused(place: tuple[Any, str | None]) -> None:
    for make in (Listener, Client):
        with pytest.raises(ValueError, match="links are over TCP"):
            make(*place, authkey=AUTHKEY)


# --- hostile peers ----------------------------------------------------------------------------------------------------


def test_a_pickle_is_never_loaded(pair: Pair) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("a pickle was loaded",)

    near, far = pair
    near.send_bytes(pickle.dumps(Bomb()))

    assert isinstance(far.recv(), bytes)


def test_strangers_never_get_as_far_as_accept() -> None:
    with Listener(authkey=AUTHKEY) as listener:
        challenge = b"\0\0\0\x14#CHALLENGE#" + bytes(20)
        with (
            raw_client(listener.address, challenge),
            Client(listener.address, authkey=AUTHKEY) as near,
            listener.accept(timeout=PATIENCE_SECONDS) as far,
        ):
            near.send("in")

            assert far.recv() == "in"


def test_all_is_the_public_face() -> None:
    assert compat.__all__ == sorted(compat.__all__)
    assert not hasattr(compat, "Pipe")
