"""pnetwork's programs over links: packets with names, what is run when one arrives, tokens, and the console."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import warnings
from ast import literal_eval as from_literal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netstructer
from loopback import KEY, PATIENCE_SECONDS, Task, eventually, finish, python, raw_client
from netstructer import Key
from netstructer.compat.pnetwork import CLI, Bind, Client, Connection, Server, core, coreclient, coreserver
from netstructer.compat.pnetwork.packets import make_packet, read_packet
from netstructer.compat.shared import NotCarriedOver
from netstructer.errors import (
    BadValue,
    CannotListen,
    InvalidKey,
    KeyRefused,
    LinkClosed,
    LoginFailed,
    MissingKey,
    Misuse,
    UnsendableValue,
)

DATA = {"example": "this is a message", "data": "this is also data"}

SERVER = """
from netstructer.compat.pnetwork import coreserver, Bind
s = coreserver.Server(port=0)

class  testAction(Bind):
    def  __init__(self,name,*args):
        super().__init__(name,*args)
        self.test =  "test"

    def  run(self,data="yeet"):
        print(self.test, self.name, data, flush=True)

s.bindAction("[PACKET NAME]",testAction("trigger test"))
s.start()
print(s.port, flush=True)
"""
CLIENT = """
from netstructer.compat.pnetwork import coreclient
c = coreclient.Client(port=PORT)
c.start()
packet = c.createPacket("[PACKET NAME]",{
    'example':"this is a message",
    'data' : "this is also data"
})
c.SendPacketForAll(packet)
c.stop()
"""


STAY = "import threading; threading.Event().wait()"
"""The end of a program on Python 3.12.0 and 3.12.1, where no thread starts after the main one has ended (gh-113964)."""
NO_THREAD_AT_THE_END = (3, 12) <= sys.version_info < (3, 12, 2)


def test_the_programs_of_the_readme_run_with_the_import_changed() -> None:
    with python("-c", SERVER + STAY if NO_THREAD_AT_THE_END else SERVER) as serving:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        with python("-c", CLIENT.replace("PORT", port)) as client:
            assert finish(client) == ("", "")
        line = serving.stdout.readline()

        assert line.startswith("test trigger test ")
        assert from_literal(line.removeprefix("test trigger test ")) == DATA
        assert serving.poll() is None  # it stays, as it did, though its program has come to its end


class Keeping(Bind):
    """Keeps what it was run with."""

    def __init__(self, name: str = "keeping") -> None:
        super().__init__(name)
        self.runs: list[tuple[Any, dict[str, Any], Connection]] = []

    def run(self, data: Any, packet: dict[str, Any], connection: Connection) -> None:
        self.runs.append((data, packet, connection))

    def one(self) -> tuple[Any, dict[str, Any], Connection]:
        eventually(lambda: self.runs, "an action")
        return self.runs.pop(0)


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server(port=0, key=KEY)) as server:
        yield server


@contextlib.contextmanager
def running(instance: Any) -> Iterator[Any]:
    instance.start()
    try:
        yield instance
    finally:
        instance.stop()


def client_of(server: Server, **options: Any) -> Client:
    return Client(server.host, server.port, key=KEY, **options)


@contextlib.contextmanager
def raw_link(server: Server) -> Iterator[netstructer.Link]:
    """A link to the server, by whoever has the key, whose packets are made by hand."""
    with netstructer.Link((server.host, server.port), key=KEY, resume=False) as link:
        yield link


def greeted(link: netstructer.Link, **data: Any) -> str:
    """Do the handshake by hand; return the token."""
    link.send(make_packet("handShake", data, None))
    token: str = link.recv(timeout=PATIENCE_SECONDS)["data"]["uuid"]
    return token


# --- defaults, packets ------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    for made in (Server(), Client(), coreserver.Server(), coreclient.Client()):
        assert (made.host, made.port, made.bufferSize) == ("127.0.0.1", 25565, 1024)
        assert (made.clients, made.actions, made.token, made.connected) == ({}, {}, None, False)
    assert (Server("0.0.0.0", 1).host, Client("192.0.2.1", 2).port) == ("0.0.0.0", 2)


def test_the_envelope_has_four_fields_and_data_under_data() -> None:
    for made in (Server(), Client()):
        packet = made.createPacket("PACKETNAME", DATA)

        assert set(packet) == {"action", "data", "packet-created", "token"}
        assert (packet["action"], packet["data"], packet["token"]) == ("PACKETNAME", DATA, None)
        assert type(packet["packet-created"]) is float
        assert made.decodePacket(packet) == packet
        assert made.createPacket()["action"] == "undefined-packet"
        for wrong in ("", "x" * 257, None, 5, b"name"):
            with pytest.raises(Misuse, match="expected a name"):
                made.createPacket(wrong)


def test_a_packet_runs_what_is_bound_to_it_at_either_end(server: Server) -> None:
    at_server, at_client = Keeping(), Keeping()
    server.bindAction("up", at_server)
    client = client_of(server, username="ann")
    client.bindAction("down", at_client)
    with running(client):
        client.SendPacketForAll(client.createPacket("up", {1: {b"two", 3.0}}))
        data, packet, connection = at_server.one()

        assert data == {1: {b"two", 3.0}}
        assert (packet["action"], packet["token"]) == ("up", client.token)
        assert connection is server.GetConnection(client.token or "")
        assert connection.username == "ann"

        assert connection.sendPacket(server.createPacket("down", DATA)) is True
        data, packet, connection = at_client.one()

        assert (data, packet["token"]) == (DATA, None)
        assert connection is client.GetLatestConnection()


def test_what_is_run_gets_as_much_as_it_takes(server: Server) -> None:
    seen: list[tuple[Any, ...]] = []

    class Alone(Bind):
        def run(self, data: str = "yeet") -> None:
            seen.append((data,))

    class Keyword(Bind):
        def run(self, data: Any, *, later: int = 5) -> None:
            seen.append((data, later))

    server.bindAction("one", Alone("one"))
    server.bindAction("keyword", Keyword("keyword"))
    server.bindAction("none", lambda: seen.append(()))
    server.bindAction("two", lambda data, packet: seen.append((data, packet["action"])))
    server.bindAction("all", lambda *given: seen.append((len(given),)))
    server.bindAction("more", lambda data, packet, connection, more=1: seen.append((data, more)))
    server.bindAction("built in", seen.append)
    for name in ("one", "keyword", "none", "two", "all", "more", "built in"):
        server.trigger(server.createPacket(name, name.upper()))

    assert seen == [("ONE",), ("KEYWORD", 5), (), ("TWO", "two"), (3,), ("MORE", 1), "BUILT IN"]


@pytest.mark.parametrize("wrong", [None, 5, "name", Bind, Bind("none"), lambda a, b, c, d: 1, lambda *, a: 1])
def test_what_cannot_be_run_is_not_bound(wrong: Any) -> None:
    server = Server()
    with pytest.raises(Misuse, match=r"expected a Bind|takes more than"):
        server.bindAction("name", wrong)

    assert server.GetActions() == {}


def test_binding_an_action_of_the_core_warns_and_the_core_does_its_part() -> None:
    server = Server(port=0, key=KEY)
    shaken = Keeping()
    for name in ("handShake", "disconnect", "isAlive"):
        with pytest.warns(UserWarning, match=f"'{name}' is an action of the core"):
            server.bindAction(name, shaken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server.bindAction("mine", shaken)
        server.bindAction("mine", Keeping())
    with running(server):
        client = client_of(server)
        client.start()
        client.stop("enough")

        assert shaken.one()[0] == {"reason": "enough"}
        eventually(lambda: not server.clients)


# --- handshake and tokens ---------------------------------------------------------------------------------------------


def test_a_client_is_registered_and_gets_a_token_of_its_own(server: Server) -> None:
    with running(client_of(server)) as one, running(client_of(server)) as two:
        eventually(lambda: len(server.clients) == 2)

        assert one.token != two.token
        assert list(server.GetAllConnections()) == [one.token, two.token]
        assert server.GetLatestConnection() is server.GetConnection(two.token)
        assert server.GetRandomConnection() in server.clients.values()
        assert list(one.clients) == [one.token]
        assert one.connected
        assert server.GetConnection("none") is None
        info = server.clients[one.token].GetRepersentation()
        assert info == {
            "uuid": one.token,
            "ip": "127.0.0.1",
            "port": server.clients[one.token].port,
            "username": None,
            "connected": server.clients[one.token].firstConnected,
        }
    eventually(lambda: not server.clients)

    assert (server.GetLatestConnection(), server.GetRandomConnection()) == (None, None)


def test_a_packet_is_sent_to_exactly_the_client_with_a_token(server: Server) -> None:
    one, two = client_of(server), client_of(server)
    heard_one, heard_two = Keeping(), Keeping()
    one.bindAction("mine", heard_one)
    two.bindAction("mine", heard_two)
    with running(one), running(two):
        assert server.SendPacket(one.token or "", server.createPacket("mine", "for one")) is True
        assert server.SendPacket("nobody's", server.createPacket("mine")) is False
        assert heard_one.one()[0] == "for one"
        assert server.SendPacketForAll(server.createPacket("mine", "for all")) == 2
        assert [heard_one.one()[0], heard_two.one()[0]] == ["for all"] * 2
        assert (heard_one.runs, heard_two.runs) == ([], [])


def test_no_token_reaches_another_client(server: Server) -> None:
    """S1-13.  A server that passes on what it got, as it got it."""

    def relay(data: Any, packet: dict[str, Any], connection: Connection) -> None:
        server.SendPacketForAll(packet)
        for other in server.GetAllConnections().values():
            other.sendPacket(packet)

    server.bindAction("say", relay)
    with raw_link(server) as one, raw_link(server) as two:
        mine, _ = greeted(one), greeted(two)
        one.send(make_packet("say", "hello", mine))
        for link in (one, two):
            for _ in range(2):
                heard = link.recv(timeout=PATIENCE_SECONDS)
                assert heard["data"] == "hello"
                assert heard["token"] is None


def test_a_token_of_somebody_else_is_worth_nothing(server: Server) -> None:
    kept = Keeping()
    server.bindAction("say", kept)
    with raw_link(server) as one, raw_link(server) as two:
        stolen, own = greeted(one), greeted(two)
        for token in (stolen, None, "guessed"):
            two.send(make_packet("say", "not mine", token))
        two.send(make_packet("say", "mine", own))
        data, _, connection = kept.one()

        assert (data, connection.token, connection.faults) == ("mine", own, 3)
        assert kept.runs == []


def test_a_client_takes_no_token_but_its_own(server: Server) -> None:
    client = client_of(server)
    kept = Keeping()
    client.bindAction("say", kept)
    with running(client):
        link = server.clients[client.token or ""].as_link()
        link.send(make_packet("say", 1, "somebody's"))
        link.send(make_packet("say", 2, client.token))

        assert kept.one()[0] == 2
        assert client.GetLatestConnection().faults == 1


def test_tokens_can_be_made_by_somebody_else() -> None:
    numbers = iter(("first", "first", "second", *["second"] * 5))
    server = Server(port=0, key=KEY, tokenGenerator=lambda: next(numbers))
    with running(server), raw_link(server) as one, raw_link(server) as two, raw_link(server) as three:
        assert greeted(one) == "first"
        assert greeted(two) == "second"
        three.send(make_packet("handShake", {}, None))
        with pytest.raises(LinkClosed):
            three.recv(timeout=PATIENCE_SECONDS)
        assert len(server.clients) == 2


@pytest.mark.parametrize("token", ["", None, 5, "x" * 300])
def test_a_token_that_is_none_registers_nobody(token: Any) -> None:
    with running(Server(port=0, key=KEY, tokenGenerator=lambda: token)) as server, raw_link(server) as link:
        link.send(make_packet("handShake", {}, None))
        with pytest.raises(LinkClosed):
            link.recv(timeout=PATIENCE_SECONDS)

        assert server.clients == {}


def test_tokens_are_in_no_repr_and_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "netstructer")
    client = client_of(server, credentials={"password": "hunter2"})
    with running(client):
        client.SendPacketForAll(client.createPacket("nothing bound"))
        connection = server.clients[client.token or ""]
        eventually(lambda: connection.faults)
        names = [thread.name for thread in threading.enumerate()]
        shown = f"{connection!r} {client!r} {server!r} {client.GetLatestConnection()!r} {names} {caplog.text}"

        assert "nothing is bound to 'nothing bound'" in shown
        assert client.token not in shown
        assert "hunter2" not in shown


def test_credentials_come_sealed_and_the_server_decides() -> None:
    class Choosy(Server):
        def checkCredentials(self, credentials: Any, connection: Connection) -> bool:
            connection.setPermission("admin", credentials == "root")
            return credentials in ("root", "guest")

    with running(Choosy(port=0, key=KEY)) as server:
        with running(client_of(server, username="r", credentials="root")) as root:
            assert server.clients[root.token].checkPermission("admin") is True
            assert server.clients[root.token].checkPermission("other") is None
        refused = client_of(server, credentials="wrong")
        with pytest.raises(LoginFailed, match="the credentials were not accepted"):
            refused.start()

        assert (refused.connected, refused.disconnected) == (False, "the credentials were not accepted")
        with running(client_of(server, credentials="guest")) as guest:
            assert server.clients[guest.token].checkPermission("admin") is False


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_suspended_connection_gets_nothing(server: Server) -> None:
    client = client_of(server)
    kept = Keeping()
    client.bindAction("say", kept)
    with running(client):
        connection = server.clients[client.token or ""]
        connection.suspend()
        assert connection.suspended
        assert connection.sendPacket(server.createPacket("say", 1)) is False
        assert server.SendPacketForAll(server.createPacket("say", 2)) == 0
        connection.resume()
        assert connection.sendPacket(server.createPacket("say", 3)) is True
        assert kept.one()[0] == 3


def test_alive_is_who_answers(server: Server) -> None:
    with running(client_of(server)) as client:
        connection = server.clients[client.token]
        assert connection.isAlive(PATIENCE_SECONDS)
        assert client.GetLatestConnection().isAlive(PATIENCE_SECONDS)
    eventually(lambda: not connection.isAlive(PATIENCE_SECONDS))


def test_a_disconnected_client_knows_why_and_does_not_come_back(server: Server) -> None:
    with running(client_of(server)) as client:
        assert server.DisconnectConnection(client.token, "too loud") is True
        assert server.DisconnectConnection(client.token) is False
        eventually(lambda: not client.connected)

        assert client.disconnected == "too loud"
        assert server.clients == {}
        client.start()  # unless it is told to
        assert (client.connected, client.disconnected) == (True, None)


def test_a_client_that_stops_says_so(server: Server) -> None:
    heard = Keeping()
    with pytest.warns(UserWarning, match="core"):
        server.bindAction("disconnect", heard)
    client = client_of(server)
    client.start()
    client.stop()
    client.stop()

    assert heard.one()[0] == {"reason": "connection disconnected"}
    eventually(lambda: not server.clients)


def test_a_packet_that_is_none_or_does_not_travel_is_refused_before_it_is_sent(server: Server) -> None:
    with running(client_of(server)) as client:
        connection = server.clients[client.token]
        for wrong in (None, b"{}", {}, {**server.createPacket("x"), "more": 1}):
            for send in (connection.sendPacket, server.SendPacketForAll):
                with pytest.raises(Misuse, match="createPacket"):
                    send(wrong)
        for send in (connection.sendPacket, server.SendPacketForAll, client.SendPacketForAll):
            with pytest.raises(UnsendableValue):
                send(server.createPacket("x", object()))

        assert connection.isAlive(PATIENCE_SECONDS)


def test_data_of_any_size_is_sealed(server: Server) -> None:
    kept = Keeping()
    server.bindAction("big", kept)
    with running(client_of(server)) as client:
        client.SendPacketForAll(client.createPacket("big", b"x" * 5_000_000))

        assert kept.one()[0] == b"x" * 5_000_000


# --- life -------------------------------------------------------------------------------------------------------------


def test_a_client_waits_for_its_server_and_finds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreclient, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(coreclient, "LONGEST_PAUSE_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server, client = Server(port=port, key=KEY), Client(port=port, key=KEY)
    kept = Keeping()
    client.bindAction("say", kept)
    with running(client):
        assert not client.connected
        with running(server):
            eventually(lambda: client.connected)
            first = client.token
        eventually(lambda: not client.connected)
        with running(server):
            eventually(lambda: client.connected and server.clients)
            assert client.token != first
            server.clients[client.token or ""].as_link().abort()  # a reset
            eventually(
                lambda: client.token in server.clients and server.SendPacketForAll(server.createPacket("say", 1))
            )
            assert kept.one()[0] == 1
            assert client.error is None


def test_what_no_further_try_would_mend_is_raised(server: Server) -> None:
    for key, kind in ((Key.generate(), KeyRefused), (None, MissingKey), ("short", InvalidKey)):
        client = Client(server.host, server.port, key=key)
        for _ in range(2):  # as often as one likes
            with pytest.raises(kind):
                client.start()
        client.stop()


def test_what_no_further_try_would_mend_ends_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreclient, "FIRST_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(Client(port=port, key=KEY)) as client, running(Server(port=port, key=Key.generate())):
        eventually(lambda: client.error is not None)

        assert isinstance(client.error, KeyRefused)


def test_what_runs_is_not_started_again(server: Server) -> None:
    with pytest.raises(Misuse, match="the server was started before"):
        server.start()
    with running(client_of(server)) as client, pytest.raises(Misuse, match="the client was started before"):
        client.start()
    with pytest.raises(CannotListen):
        Server(server.host, server.port, key=KEY).start()


def test_without_threads_it_stays_until_it_is_stopped() -> None:
    server = Server(port=0, key=KEY)
    serving = Task(server.start, useThreading=False)
    eventually(lambda: server.port)
    client = client_of(server)
    staying = Task(client.start, useThreading=False)
    eventually(lambda: client.connected)
    client.stop()
    staying.result()
    server.stop()
    server.stop()
    serving.result()

    assert (client.connected, server.connected, server.as_server()) == (False, False, None)


def test_an_action_may_stop_its_own_client(server: Server) -> None:
    client = client_of(server)
    client.bindAction("leave", lambda data: client.stop("as told"))
    client.start()
    server.SendPacketForAll(server.createPacket("leave"))
    client._idle.wait(PATIENCE_SECONDS)

    assert not client.connected


def test_threads_and_what_is_not_carried_over(server: Server) -> None:
    info = server.GetThreadInfo()

    assert info["count"] == len(info["names"]) >= 2
    for act in (server.createEncryptKeys, server.encryptPacket, lambda: server.decryptPacket({}, [])):
        with pytest.raises(NotCarriedOver):
            act()


# --- hostile peers ----------------------------------------------------------------------------------------------------

BROKEN = [
    *(None, 5, "text", b"{}", [], {}, {"action": "say"}),
    {"action": "say", "data": 1, "packet-created": 0.0},
    {"action": "say", "data": 1, "packet-created": 0.0, "token": None, "more": 1},
    {"action": b"say", "data": 1, "packet-created": 0.0, "token": None},
    {"action": "", "data": 1, "packet-created": 0.0, "token": None},
    {"action": "x" * 257, "data": 1, "packet-created": 0.0, "token": None},
    {"action": ["say"], "data": 1, "packet-created": 0.0, "token": None},
    {"action": "say", "data": 1, "packet-created": float("nan"), "token": None},
    *({"action": "say", "data": 1, "packet-created": far, "token": None} for far in (float("inf"), 10**400, -(2**40))),
    {"action": "say", "data": 1, "packet-created": "today", "token": None},
    {"action": "say", "data": 1, "packet-created": True, "token": None},
    {"action": "say", "data": 1, "packet-created": 0.0, "token": 5},
    {"action": "say", "data": 1, "packet-created": 0.0, "token": "x" * 257},
]


@pytest.mark.parametrize("value", BROKEN)
def test_what_is_no_packet_is_told_so(value: Any) -> None:
    with pytest.raises(BadValue, match="expected a packet"):
        read_packet(value)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_value_is_a_packet_or_is_refused(value: Any) -> None:
    with contextlib.suppress(BadValue):
        assert read_packet(value) == value


def test_faults_are_reported_and_not_fatal_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    reports: list[str] = []

    class Reporting(Server):
        def report(self, connection: Connection, text: str) -> None:
            reports.append(text)
            super().report(connection, text)

    kept = Keeping()
    with running(Reporting(port=0, key=KEY)) as server, raw_link(server) as link:
        server.bindAction("say", kept)
        token = greeted(link)
        for value in BROKEN:
            link.send(value)
        for _ in range(20):
            link.send(make_packet("\x1b[2Jwipe", "secret payload", token))
        link.send(make_packet("say", "still here", token))
        data, _, connection = kept.one()

        assert data == "still here"
        assert connection.faults == len(BROKEN) + 20
        assert len(reports) == core.MOST_REPORTS
        link.send(make_packet("handShake", {}, token))
        link.send(make_packet("say", "and still", token))
        assert kept.one()[0] == "and still"
    assert "secret payload" not in caplog.text
    assert "\x1b" not in caplog.text


def test_an_unknown_action_is_named_as_its_repr(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with raw_link(server) as link:
        token = greeted(link)
        link.send(make_packet("a\nforged line \x1b[2J", 1, token))
        eventually(lambda: "nothing is bound to 'a\\nforged line \\x1b[2J'" in caplog.text)


def test_an_action_that_raises_ends_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: Any) -> None:
        raise RuntimeError(f"cannot take {data}")

    kept = Keeping()
    server.bindAction("fail", fail)
    server.bindAction("say", kept)
    with running(client_of(server)) as client:
        client.SendPacketForAll(client.createPacket("fail", "secret payload"))
        client.SendPacketForAll(client.createPacket("say", 1))

        assert kept.one()[0] == 1
    assert "the action 'fail' raised RuntimeError" in caplog.text
    assert "secret payload" not in caplog.text


@pytest.mark.parametrize("first", [5, make_packet("say", 1, None), make_packet("disconnect", {}, None)])
def test_who_does_not_begin_with_a_handshake_is_sent_away(server: Server, first: Any) -> None:
    kept = Keeping()
    server.bindAction("say", kept)
    with raw_link(server) as link:
        link.send(first)
        with contextlib.suppress(LinkClosed):
            assert link.recv(timeout=PATIENCE_SECONDS)["data"] == {"reason": "expected a handshake first"}
        with pytest.raises(LinkClosed):
            link.recv(timeout=PATIENCE_SECONDS)

        assert (server.clients, kept.runs) == ({}, [])


def test_who_says_nothing_holds_no_place(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(coreserver, "HAND_SHAKE_SECONDS", 0.05)
    with raw_link(server) as link, pytest.raises(LinkClosed):
        link.recv(timeout=PATIENCE_SECONDS)


def test_who_says_that_it_leaves_is_let_go(server: Server) -> None:
    with raw_link(server) as link:
        token = greeted(link, username="\x1b[2J" * 100)
        assert server.clients[token].username is None
        link.send(make_packet("disconnect", None, token))
        with pytest.raises(LinkClosed):
            link.recv(timeout=PATIENCE_SECONDS)
        assert server.clients == {}


def test_strangers_are_no_clients(server: Server) -> None:
    with raw_client((server.host, server.port), b'{"action":"handShake","data":{}}'), running(client_of(server)):
        assert len(server.clients) == 1


@pytest.mark.parametrize("answer", [5, make_packet("say", 1, None), make_packet("handShake", {"uuid": ""}, None)])
def test_a_server_that_answers_something_else_is_refused(answer: Any) -> None:
    def behave(link: netstructer.Link) -> None:
        link.recv(timeout=PATIENCE_SECONDS)
        link.send(answer)
        for _ in link:
            pass

    with netstructer.Server(key=KEY, handler=behave) as server:
        client = Client(server.address.host, server.address.port, key=KEY)
        with pytest.raises(BadValue):
            client.start()

        assert (client.connected, client.clients) == (False, {})


# --- the console ------------------------------------------------------------------------------------------------------


class Console:
    """A console whose lines are kept."""

    def __init__(self, instance: Any) -> None:
        self.shown: list[str] = []
        self.cli = CLI(instance, "console", lines=(), write=self.shown.append)

    def __call__(self, line: str) -> str:
        self.shown.clear()
        self.cli.processLine(line)
        return "\n".join(self.shown)


def test_every_command_of_the_console(server: Server) -> None:
    console = Console(server)
    kept, heard = Keeping("kept"), Keeping()
    server.bindAction("say", kept)
    client = client_of(server, username="\x1b[31mred")
    client.bindAction("broadcast", heard)
    with running(client):
        connection = server.clients[client.token or ""]
        where = f"127.0.0.1:{connection.port}"

        assert [word for word in COMMANDS if word not in console("help")] == []
        assert f"1  {where}  '\\x1b[31mred'" in console("list")
        assert "1 connections" in console("list")
        assert f"port: {connection.port}" in console("coninfo 1")
        assert "name: '\\x1b[31mred'" in console(f"coninfo {connection.token[:8]}")
        assert client.token not in console("coninfo 1")
        for line in ("ping 1", "pingall"):
            assert console(line).startswith(where)
            assert console(line).endswith(" ms")
        assert console("broadcast good  morning") == "sent to 1"
        assert heard.one()[0] == {"message": "good  morning"}
        assert console("token 1") == client.token
        assert "a server has no token" in console("token")
        assert "'say'  <Keeping 'kept'>" in console("actions")
        assert console("trigger say some text") == ""
        assert kept.one()[0] == "some text"
        assert "MainThread" in console("threads")
        assert console("mode") == f"server 127.0.0.1:{server.port}, connected, 1 connections"
        assert console("clear") == ""
        assert console("start") == "error: the server was started before"
        assert console("disconnect 1 too loud") == f"disconnected {where}"
        eventually(lambda: client.disconnected == "too loud")
        client.start()
        assert console("dropall") == "disconnected 1"
        eventually(lambda: client.disconnected == "connection disconnected")
        assert console("stop") == ""
        assert not server.connected


COMMANDS = (
    *("help", "ping", "pingall", "list", "coninfo", "disconnect", "dropall", "broadcast", "threads", "token"),
    *("actions", "trigger", "start", "clear", "mode", "stop"),
)


def test_a_console_of_a_client(server: Server) -> None:
    with running(client_of(server)) as client:
        console = Console(client)

        assert console("token") == client.token
        assert console("mode") == f"client 127.0.0.1:{server.port}, connected, 1 connections"
        console("stop")
        assert not client.connected


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("dance", "there is no command 'dance'; help lists them"),
        ("ping", "expected a peer"),
        ("ping 0", "expected a peer"),
        ("ping 2", "expected a peer"),
        ("ping ²", "expected a peer"),
        ("ping " + "9" * 5000, "expected a peer"),
        ("coninfo abc", "expected a peer"),
        ("disconnect nobody", "expected a peer"),
        ("broadcast", "expected a text to broadcast"),
        ("trigger nothing", "nothing is bound to 'nothing'"),
        ("trigger fail", "ValueError: not today"),
        ("token 7", "expected a peer"),
    ],
)
def test_a_bad_command_says_what_is_wrong_and_ends_nothing(server: Server, line: str, error: str) -> None:
    def fail() -> None:
        raise ValueError("not today")

    console = Console(server)
    server.bindAction("fail", fail)

    assert console(line).startswith(f"error: {error}")
    assert console("") == console("   ") == ""
    assert "0 connections" in console("list")


def test_a_console_reads_until_stop_or_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    lines = iter(["dance", "list", "stop", "list"])
    reading = CLI(server, lines=lines, write=shown.append).start()
    reading.join(PATIENCE_SECONDS)

    assert (len(shown), next(lines), server.connected) == (2, "list", False)

    typed: Iterator[str] = iter(["mode"])
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", ask)
    CLI(server, "ops", write=shown.append).processCommand()

    assert prompts == ["ops> ", "ops> "]
    assert shown[-1].endswith("not connected, 0 connections")


def test_the_console_of_the_readme_in_a_process() -> None:
    program = """
from netstructer.compat.pnetwork import coreserver, coretools
s = coreserver.Server(port=0)
s.start()
ct = coretools.CLI(s, "my server")
ct.processCommand()
"""
    with python("-c", program) as process:
        out, err = process.communicate("list\nnonsense\nstop\n", timeout=PATIENCE_SECONDS)

    assert "0 connections" in out
    assert "error: there is no command 'nonsense'" in out
    assert (process.returncode, err) == (0, "")
