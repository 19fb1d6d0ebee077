"""How a server leaves: what is under way is finished, what is late is cut off, and signals are no exception."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from loopback import KEY, PATIENCE_SECONDS, Task, eventually, linked, python
from netstructer import Blob, Link, Server
from netstructer.errors import ConnectionCut, LinkClosed, Misuse

MEGABYTE = bytes(1 << 20)


def test_a_handler_answers_what_has_come_before_its_server_leaves() -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow_echo(link: Link) -> None:
        for value in link:
            began.set()
            go_on.wait(PATIENCE_SECONDS)
            link.send(["answer to", value])

    with Server(key=KEY, handler=slow_echo) as server, Link(server.address, key=KEY) as link:
        for number in range(3):
            link.send(number, wait="acked")
        assert began.wait(PATIENCE_SECONDS)
        closing = Task(server.close, drain=PATIENCE_SECONDS)
        eventually(lambda: link._exchange._pump.dismissed)

        with pytest.raises(LinkClosed, match="about to leave"):
            link.send("too late")
        go_on.set()
        assert [link.recv(timeout=PATIENCE_SECONDS) for _ in range(3)] == [["answer to", number] for number in range(3)]
        with pytest.raises(LinkClosed):
            link.recv(timeout=PATIENCE_SECONDS)
        closing.result()


def test_what_is_half_sent_arrives() -> None:
    def give(link: Link) -> None:
        link.send({"blob": Blob(MEGABYTE * 4)}, compress=False)

    with Server(key=KEY, handler=give) as server, Link(server.address, key=KEY) as link:
        blob = link.recv(timeout=PATIENCE_SECONDS)["blob"]
        closing = Task(server.close, drain=PATIENCE_SECONDS)

        assert bytes(blob) == MEGABYTE * 4
        closing.result()


def test_a_message_that_is_half_here_is_waited_for() -> None:
    got = []

    def take(link: Link) -> None:
        got.extend(link)

    with Server(key=KEY, handler=take) as server, Link(server.address, key=KEY) as link:
        session = link._session
        payloads = session.payloads
        outgoing = payloads.compose(payloads.encode(MEGABYTE), compress=False)
        with link._exchange._lock.in_turn():
            session.queue(outgoing)
            link._exchange._pump.unsent.extend(session.frames_to_send(100_000, 0.0))
            link._exchange._pump._write(link._exchange._pump.pipe)
        eventually(lambda: server.all() and server.all()[0]._session.receiving)
        closing = Task(server.close, drain=PATIENCE_SECONDS)
        eventually(lambda: link._exchange._pump.dismissed)
        with link._exchange._lock.in_turn():
            link._exchange._pump.flush()
        closing.result()

    assert got == [MEGABYTE]


def test_who_does_not_come_to_an_end_is_cut_off_and_named(caplog: pytest.LogCaptureFixture) -> None:
    stuck = threading.Event()

    def never(link: Link) -> None:
        stuck.wait(PATIENCE_SECONDS)

    with Server(key=KEY, handler=never) as server, Link(server.address, key=KEY) as link:
        eventually(lambda: server.count() == 1)
        with caplog.at_level("INFO", logger="netstructer"):
            server.close(drain=0.2)
        stuck.set()

        assert "not all handlers were done in time" in caplog.text
        with pytest.raises((LinkClosed, ConnectionCut)):
            link.recv(timeout=PATIENCE_SECONDS)


def test_a_client_does_not_drain() -> None:
    from netstructer.protocol import bodies
    from netstructer.protocol.states import Kind

    with linked() as (near, far):
        with near._exchange._lock.in_turn():
            near._session.outflow.control(Kind.DRAIN, bodies.Drain(5).pack())
            near._exchange._pump.flush()
        with pytest.raises(Exception, match="client does not drain"):
            far.recv(timeout=PATIENCE_SECONDS)


def test_a_closed_server_takes_nobody() -> None:
    server = Server(key=KEY).start()
    server.close()
    server.close()
    with pytest.raises(Misuse):
        server.accept(timeout=1)
    with pytest.raises(Misuse):
        server.start()


SERVE = """
import sys, threading
from netstructer import Server
server = Server()
@server.handler
def echo(link):
    for value in link:
        link.send(value)
server.start()
print(server.address.port, flush=True)
server.serve_forever()
print("left", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals go to a whole console there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_a_server(number: int) -> None:
    with python("-c", SERVE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with Link(("127.0.0.1", port), key=KEY) as link:
            link.send("before", wait="acked")
            assert link.recv(timeout=PATIENCE_SECONDS) == "before"
            process.send_signal(number)
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (out, err, process.returncode) == ("left\n", "", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals go to a whole console there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_command(number: int) -> None:
    with python("-m", "netstructer", "serve", "127.0.0.1:0", "--json", "--echo", PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        import json

        port = json.loads(process.stdout.readline())["port"]
        with Link(("127.0.0.1", port), key=KEY) as link:
            link.send([1, 2])
            assert link.recv(timeout=PATIENCE_SECONDS) == [1, 2]
            process.send_signal(number)
            with pytest.raises(LinkClosed):
                link.recv(timeout=PATIENCE_SECONDS)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "Traceback" not in err


FORGET = """
import os, sys, warnings
warnings.simplefilter("ignore", ResourceWarning)
from netstructer import Link
link = Link(("127.0.0.1", int(sys.argv[1])))
link.send("here", wait="consumed")
"""


def test_a_process_that_ends_without_closing_is_not_waited_for() -> None:
    with Server(key=KEY) as server, python("-c", FORGET, str(server.address.port), afresh=True) as process:
        far = server.accept(timeout=PATIENCE_SECONDS)
        assert far.recv(timeout=PATIENCE_SECONDS) == "here"
        with pytest.raises(ConnectionCut, match="abort"):
            far.recv(timeout=PATIENCE_SECONDS)
        process.communicate(timeout=PATIENCE_SECONDS)

        assert server.suspended() == ()
        assert process.returncode == os.EX_OK if hasattr(os, "EX_OK") else 0
