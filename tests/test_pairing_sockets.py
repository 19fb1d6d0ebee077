"""Pairing over loopback: one who has the code among those who have none, and what is left behind when it breaks off."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netstructer import Key
from netstructer.address import Address
from netstructer.errors import (
    CannotListen,
    ConnectionCut,
    IdentityChanged,
    InvalidCode,
    InvalidKey,
    LinkTimeout,
    MissingDependency,
    Misuse,
    NetstructerError,
    NotNetstructer,
    PairingRefused,
    PairingStopped,
    PortClosed,
    WrongCode,
)
from netstructer.identity import Identity
from netstructer.known_servers import KnownServers
from netstructer.pairing import hosting
from netstructer.pairing.ceremony import Event, Granted, Installed, Visitor
from netstructer.pairing.frames import HEAD_BYTES, Kind, body_bytes, pack_head
from netstructer.pairing.hosting import CodeDied, CodeShown, Notice, PairedHere, PairingServer, Waiting
from netstructer.pairing.keeping import Keeping
from netstructer.pairing.visiting import Paired, pair
from netstructer.user_keys import UserKeys

pytest.importorskip("spake2")

SECONDS = 20.0
WRONG = "10-abbey-acorn"
"""One of six million: no test is unlucky twice in a life."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TICK_SECONDS", 0.02)


class Desk:
    """A pairing server that waits in a thread; what it says is kept."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.users = UserKeys(directory / "server" / "users")
        self.identity = Identity.generate()
        self.server = PairingServer(("127.0.0.1", 0), users=self.users, identity=self.identity, port=5000, **options)  # type: ignore[arg-type]
        self.address = self.server.address
        self.notices: list[Notice] = []
        self.paired: PairedHere | None = None
        self.error: BaseException | None = None
        self._said = threading.Condition()
        self._interrupted = False
        self._thread = threading.Thread(target=self._wait)

    def __enter__(self) -> Desk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()

    def interrupt(self) -> None:
        """Do what Ctrl-C does: the next time that it says something, it is broken off."""
        self._interrupted = True
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _wait(self) -> None:
        try:
            with self.server:
                self.paired = self.server.wait(self._note)
        except BaseException as error:
            self.error = error

    def _note(self, notice: Notice) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        if isinstance(notice, Waiting):
            return
        with self._said:
            self.notices.append(notice)
            self._said.notify_all()

    def code(self, number: int = 1) -> str:
        """Return the code that is shown as the so-manieth, when it is."""
        with self._said:
            assert self._said.wait_for(lambda: len(self._codes()) >= number, SECONDS)
            return self._codes()[number - 1]

    def _codes(self) -> list[str]:
        return [notice.code for notice in self.notices if isinstance(notice, CodeShown)]

    def ended(self) -> Desk:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        return self

    @property
    def names(self) -> list[str]:
        return [line.user for line in self.users]


class Home:
    """Where a client keeps things."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key_path = directory / "client" / "key"
        self.known = KnownServers(directory / "client" / "known_servers")

    def pair(self, address: Address, code: str, **more: object) -> Paired:
        return pair(address, code, key_path=self.key_path, known=self.known, timeout=SECONDS, **more)  # type: ignore[arg-type]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was installed; the lock beside known_servers holds nothing."""
        names = os.listdir(self.directory / "client") if self.key_path.parent.exists() else []
        return [name for name in names if not name.endswith(".lock")] == []


@contextmanager
def talking(address: Address) -> Iterator[socket.socket]:
    with socket.create_connection(address, SECONDS) as transport:
        yield transport


def frame_of(transport: socket.socket, kind: Kind) -> bytes:
    frame = b""
    while len(frame) < HEAD_BYTES + body_bytes(kind):
        data = transport.recv(HEAD_BYTES + body_bytes(kind) - len(frame))
        assert data, "it closed"
        frame += data
    return frame


def ending_of(transport: socket.socket) -> bytes:
    """Return what comes until the other end closes."""
    out = b""
    try:
        while data := transport.recv(4096):
            out += data
    except ConnectionResetError:
        pass
    return out


def step(visitor: Visitor, transport: socket.socket) -> Event | None:
    """Send what is due; take one frame in."""
    transport.sendall(visitor.take())
    event = None
    while event is None and visitor.wanted:
        before = visitor._expected
        data = transport.recv(visitor.wanted)
        assert data, "it closed"
        event = visitor.receive(data)
        if visitor._expected is not before:
            return event
    return event


def test_the_honest_one_gets_a_key_a_name_and_a_pin(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        paired = home.pair(desk.address, desk.code(), user="ada")
        desk.ended()

    key = Key.load(home.key_path)
    assert desk.users.mapping(now=0) == {"ada": key}
    assert desk.paired == PairedHere(user="ada", peer=desk.paired.peer, fingerprint=key.fingerprint)  # type: ignore[union-attr]
    assert paired == Paired(
        user="ada",
        server=Address("127.0.0.1", 5000),
        identity=desk.identity.fingerprint,
        key_path=str(home.key_path),
        fingerprint=key.fingerprint,
    )
    assert [(line.host, line.port, line.fingerprint) for line in home.known] == [
        ("127.0.0.1", 5000, desk.identity.fingerprint)
    ]
    assert sorted(os.listdir(tmp_path / "client")) == ["key", "known_servers", "known_servers.lock"]


def test_the_server_can_name_the_user_and_its_own_place(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Desk(tmp_path, user="lab", host="server.example") as desk:
        paired = home.pair(desk.address, desk.code(), user="ada")

    assert (paired.user, paired.server) == ("lab", Address("server.example", 5000))
    assert home.known.get(Address("server.example", 5000)) is not None


def test_the_second_of_a_name_gets_a_number_and_the_second_key_a_place_beside_the_first(tmp_path: Path) -> None:
    home = Home(tmp_path)
    places = []
    for _ in range(3):
        with Desk(tmp_path) as desk:
            desk.identity = Identity.generate()
            home.known.forget(Address("127.0.0.1", 5000))
            places.append(home.pair(desk.address, desk.code(), user="ada").key_path)
            desk.ended()

    assert desk.names == ["ada", "ada-2", "ada-3"]
    assert places == [str(home.key_path) + behind for behind in ("", "-127.0.0.1", "-127.0.0.1-2")]
    assert len({Key.load(place) for place in places}) == 3


def test_a_wrong_code_is_dead_at_both_ends_and_the_next_one_works(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        first = desk.code()
        with pytest.raises(WrongCode, match="this code is dead"):
            home.pair(desk.address, WRONG)
        second = desk.code(2)
        with pytest.raises(WrongCode):
            home.pair(desk.address, first)
        assert home.is_empty
        home.pair(desk.address, desk.code(3))
        desk.ended()

    assert first != second
    died = [notice for notice in desk.notices if isinstance(notice, CodeDied)]
    assert [type(notice.error) for notice in died] == [WrongCode, WrongCode]
    assert died[0].peer.host == "127.0.0.1"


def test_three_wrong_codes_stop_pairing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        for number in (1, 2, 3):
            desk.code(number)
            with pytest.raises(WrongCode):
                home.pair(desk.address, WRONG)
        desk.ended()

    assert isinstance(desk.error, PairingStopped)
    assert (home.is_empty, desk.names) == (True, [])


def test_a_code_that_is_none_costs_nothing_and_needs_no_server(tmp_path: Path) -> None:
    with pytest.raises(InvalidCode):
        Home(tmp_path).pair(Address("127.0.0.1", 1), "47-guitar-orbitt")
    with pytest.raises(Misuse):
        Home(tmp_path).pair(Address("127.0.0.1", 1), WRONG, user="no name")


def test_nobody_comes(tmp_path: Path) -> None:
    with Desk(tmp_path, code_seconds=0.05) as desk:
        desk.ended()

    assert isinstance(desk.error, LinkTimeout)


def test_strangers_cost_no_code_and_do_not_block_the_honest_one(tmp_path: Path) -> None:
    """Silent, junk, too much, half a frame, a share and nothing more, no element: 32 at once, and then he comes."""
    share = pack_head(Kind.CLIENT_SHARE)
    words = [b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(1 << 16), share[:5], share + os.urandom(31), share + bytes(32)]
    words.append(Visitor(WRONG, os.urandom).take())
    words.append(Visitor(WRONG, os.urandom).take() + os.urandom(1 << 16))
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        code = desk.code()
        strangers = [socket.create_connection(desk.address, SECONDS) for _ in range(32)]
        for number, stranger in enumerate(strangers):
            try:
                stranger.sendall(words[number % len(words)])
            except ConnectionError:
                pass  # it was shown the door already
        home.pair(desk.address, code)
        desk.ended()
        for stranger in strangers:
            stranger.close()

    assert [type(notice) for notice in desk.notices] == [CodeShown]
    assert desk.paired is not None


def test_junk_is_closed_without_a_word(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk, talking(desk.address) as transport:
        desk.code()
        transport.sendall(b"GET / HTTP/1.1\r\n\r\n")

        assert ending_of(transport) == b""


def test_a_silent_stranger_is_closed_when_his_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.pairing.desk.GUEST_SECONDS", 0.05)
    with Desk(tmp_path) as desk, talking(desk.address) as transport:
        desk.code()

        assert ending_of(transport) == b""
        assert desk.error is None
    assert len(desk._codes()) == 1


def test_the_oldest_stranger_makes_way(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.code()
        with talking(desk.address) as first:
            others = [socket.create_connection(desk.address, SECONDS) for _ in range(16)]

            assert ending_of(first) == b""
        for other in others:
            other.close()


def test_a_source_that_asks_without_end_is_told_so_and_burns_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netstructer.pairing.desk.ANSWERS_PER_SOURCE", 1)
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        with talking(desk.address) as transport:
            transport.sendall(Visitor(WRONG, os.urandom).take())
            frame_of(transport, Kind.SERVER_SHARE)
        with pytest.raises(PairingRefused, match="too much"):
            home.pair(desk.address, desk.code())
    assert len(desk._codes()) == 1


def test_of_two_who_race_for_one_code_one_gets_it(tmp_path: Path) -> None:
    outcomes: list[object] = []

    def race(home: Home, address: Address, code: str, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            outcomes.append(home.pair(address, code, user="ada"))
        except Exception as error:
            outcomes.append(error)

    with Desk(tmp_path / "desk") as desk:
        ready = threading.Barrier(2)
        homes = [Home(tmp_path / name) for name in ("one", "two")]
        racers = [threading.Thread(target=race, args=(home, desk.address, desk.code(), ready)) for home in homes]
        for racer in racers:
            racer.start()
        desk.ended()  # who is slow finds the port closed
        for racer in racers:
            racer.join(SECONDS)

    won = [outcome for outcome in outcomes if isinstance(outcome, Paired)]
    lost = [outcome for outcome in outcomes if not isinstance(outcome, Paired)]
    assert (len(won), len(lost)) == (1, 1)
    assert isinstance(lost[0], (PairingRefused, ConnectionCut, PortClosed))
    assert sorted(home.is_empty for home in homes) == [False, True]
    assert desk.names == ["ada"]


def test_who_has_shown_the_code_has_it_alone(tmp_path: Path) -> None:
    """One has confirmed and does nothing more: others, with the right code too, are told that it was used."""
    home = Home(tmp_path)
    with Desk(tmp_path) as desk, talking(desk.address) as transport, talking(desk.address) as halfway:
        late = Visitor(desk.code(), os.urandom)
        step(late, halfway)
        visitor = Visitor(desk.code(), os.urandom)
        step(visitor, transport)
        step(visitor, transport)

        with pytest.raises(PairingRefused, match="used before"):
            home.pair(desk.address, desk.code())
        with pytest.raises(PairingRefused, match="used before"):
            step(late, halfway)
    assert desk.names == []


@pytest.mark.parametrize("steps", [2, 3, 4], ids=["confirmed", "granted", "installed"])
def test_a_client_that_drops_out_behind_the_code_leaves_nothing_at_the_server(tmp_path: Path, steps: int) -> None:
    """Without its last word nobody has the key, and the code is dead."""
    with Desk(tmp_path) as desk:
        with talking(desk.address) as transport:
            visitor, events = Visitor(desk.code(), os.urandom, user="ada"), []
            for _ in range(steps):
                events.append(step(visitor, transport))
                if isinstance(events[-1], Granted):
                    visitor.have()
            assert [type(event) for event in events[2:]] == [Granted, Installed][: steps - 2]
            assert desk.names == (["ada"] if steps == 4 else [])
        desk.code(2)

        assert desk.names == []
        died = [notice for notice in desk.notices if isinstance(notice, CodeDied)]
        assert [type(notice.error) for notice in died] == [ConnectionCut]


def test_a_client_that_stops_behind_the_code_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstructer.pairing.desk.CEREMONY_SECONDS", 0.05)
    with Desk(tmp_path) as desk, talking(desk.address) as transport:
        visitor = Visitor(desk.code(), os.urandom, user="ada")
        step(visitor, transport)
        step(visitor, transport)
        desk.code(2)

    died = [notice for notice in desk.notices if isinstance(notice, CodeDied)]
    assert [type(notice.error) for notice in died] == [LinkTimeout]
    assert desk.names == []


def test_a_connection_that_is_reset_behind_the_code_ends_it_too(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        with talking(desk.address) as transport:
            visitor = Visitor(desk.code(), os.urandom, user="ada")
            step(visitor, transport)
            step(visitor, transport)
            transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        desk.code(2)

    died = [notice for notice in desk.notices if isinstance(notice, CodeDied)]
    assert [type(notice.error) for notice in died] == [ConnectionCut]


def test_an_interrupt_at_the_server_takes_back_what_nobody_has_acknowledged(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk, talking(desk.address) as transport:
        visitor = Visitor(desk.code(), os.urandom, user="ada")
        while not isinstance(event := step(visitor, transport), Installed):
            if isinstance(event, Granted):
                visitor.have()
        assert desk.names == ["ada"]

        desk.interrupt()

        assert desk.names == []
        assert isinstance(desk.error, KeyboardInterrupt)


def test_an_interrupt_behind_the_write_takes_the_key_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = UserKeys.add

    def add_and_break(self: UserKeys, *given: Any, **more: Any) -> None:
        add(self, *given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(UserKeys, "add", add_and_break)
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        with pytest.raises(NetstructerError):
            home.pair(desk.address, desk.code())
        desk.ended()

    assert isinstance(desk.error, KeyboardInterrupt)
    assert (desk.names, home.is_empty) == ([], True)


def test_a_second_wait_knows_nobody_of_the_first(tmp_path: Path) -> None:
    users = UserKeys(tmp_path / "users")
    with (
        PairingServer(("127.0.0.1", 0), users=users, identity=Identity.generate(), port=5000) as server,
        talking(server.address) as transport,
    ):

        def until_answered(notice: Notice) -> None:
            if select.select([transport], [], [], 0)[0]:
                raise KeyboardInterrupt

        def until_done(notice: Notice) -> None:
            if isinstance(notice, Waiting):
                raise KeyboardInterrupt

        visitor = Visitor(WRONG, os.urandom)
        transport.sendall(visitor.take())
        with pytest.raises(KeyboardInterrupt):
            server.wait(until_answered)
        step(visitor, transport)
        transport.sendall(visitor.take())  # a guess at a code that is no more
        with pytest.raises(KeyboardInterrupt):
            server.wait(until_done)

        assert ending_of(transport) == pack_head(Kind.REFUSAL, 2)


@contextmanager
def false_server(*answers: bytes) -> Iterator[Address]:
    """Listen once, answer each frame that comes with the next of `answers`, and close."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            transport, _ = listener.accept()
            with transport:
                for answer in answers:
                    transport.recv(4096)
                    transport.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(*listener.getsockname()[:2])
        thread.join(SECONDS)


def test_what_a_client_meets_that_is_no_server_of_pairing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with false_server(b"HTTP/1.0 400 Bad Request\r\n") as address, pytest.raises(NotNetstructer):
        home.pair(address, WRONG)
    with false_server(b"") as address, pytest.raises(ConnectionCut, match="nothing was installed"):
        home.pair(address, WRONG)
    with pytest.raises(PortClosed):
        home.pair(address, WRONG)
    assert home.is_empty


def test_a_client_in_front_of_a_silent_server_gives_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(LinkTimeout):
        pair(
            listener.getsockname(),
            WRONG,
            key_path=tmp_path / "client" / "key",
            known=KnownServers(tmp_path / "known"),
            timeout=0.1,
        )
    assert Home(tmp_path).is_empty


def test_a_server_that_is_known_by_another_identity_is_refused_and_nobody_has_a_key(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = Identity.generate().fingerprint
    home.known.add(Address("127.0.0.1", 5000), before, now=1)
    with Desk(tmp_path) as desk:
        with pytest.raises(IdentityChanged, match="take its line out") as caught:
            home.pair(desk.address, desk.code())
        desk.code(2)

    assert (caught.value.expected, caught.value.found) == (before, desk.identity.fingerprint)
    assert [line.fingerprint for line in home.known] == [before]
    assert (desk.names, home.key_path.exists()) == ([], False)


def test_a_client_without_room_for_the_key_has_none_made(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.key_path.parent.write_text("a file where the directory should be")
    with Desk(tmp_path) as desk:
        with pytest.raises(OSError, match="client"):
            home.pair(desk.address, desk.code())
        desk.code(2)
    assert desk.names == []


def test_a_client_whose_files_fail_at_the_last_moment_leaves_nothing_at_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Keeping, *, now: float) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Keeping, "commit", fail)
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        with pytest.raises(OSError, match="No space"):
            home.pair(desk.address, desk.code())
        desk.code(2)
    assert (desk.names, home.is_empty) == ([], True)


def test_a_server_whose_file_fails_says_so_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: UserKeys, user: str, key: Key, *, now: float) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hosting.UserKeys, "add", fail)
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        with pytest.raises(PairingRefused, match="screen says why"):
            home.pair(desk.address, desk.code())
        desk.ended()

    assert isinstance(desk.error, OSError)
    assert home.is_empty


def test_a_file_of_users_that_is_none_is_known_before_a_code_is_shown(tmp_path: Path) -> None:
    spoiled = tmp_path / "users"
    spoiled.write_text("spoiled\n")

    with pytest.raises(InvalidKey, match="line 1"):
        PairingServer(("127.0.0.1", 0), users=UserKeys(spoiled), identity=Identity.generate(), port=5000)


def test_a_server_without_spake2_says_so_before_a_code_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spake2", None)

    with pytest.raises(MissingDependency, match=r"netstructer\[pair\]"):
        PairingServer(("127.0.0.1", 0), users=UserKeys(tmp_path / "users"), identity=Identity.generate(), port=5000)


def test_one_in_between_who_only_listens_learns_nothing_and_changes_nothing(tmp_path: Path) -> None:
    home, heard = Home(tmp_path), bytearray()
    with Desk(tmp_path) as desk, tapping(desk.address, heard) as address:
        code = desk.code()
        paired = home.pair(address, code, user="ada")
        desk.ended()

    key = Key.load(home.key_path)
    assert paired.identity == desk.identity.fingerprint
    assert len(heard) == sum(HEAD_BYTES + body_bytes(kind) for kind in Kind if kind is not Kind.REFUSAL)
    assert not any(word.encode() in heard for word in (*code.split("-"), "ada", key.reveal(), paired.identity))
    assert desk.identity.public not in heard


@contextmanager
def tapping(address: Address, heard: bytearray) -> Iterator[Address]:
    """Carry one connection to `address`, and keep all that goes over it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def carry(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):  # whoever is done first closes, whatever the other does
                while data := source.recv(4096):
                    heard.extend(data)
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(address, SECONDS) as server:
                back = threading.Thread(target=carry, args=(server, client))
                back.start()
                carry(client, server)
                back.join(SECONDS)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(*listener.getsockname()[:2])
        thread.join(SECONDS)


def test_sabotage_a_server_that_takes_nothing_back_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the tests above: what they look at does tell the difference."""
    monkeypatch.setattr(PairingServer, "_take_back", lambda self, guest: None)
    with Desk(tmp_path) as desk:
        with talking(desk.address) as transport:
            visitor = Visitor(desk.code(), os.urandom, user="ada")
            while not isinstance(event := step(visitor, transport), Installed):
                if isinstance(event, Granted):
                    visitor.have()
        desk.code(2)

    assert desk.names == ["ada"]


def test_sabotage_a_desk_that_never_claims_lets_two_in_on_one_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting.Desk, "claim", lambda self, guest, now: [])
    with Desk(tmp_path) as desk, talking(desk.address) as one, talking(desk.address) as two:
        visitors = [(Visitor(desk.code(), os.urandom, user="ada"), transport) for transport in (one, two)]
        for _ in range(3):
            events = [step(visitor, transport) for visitor, transport in visitors]

    assert [type(event) for event in events] == [Granted, Granted]


def test_a_place_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(CannotListen):
        PairingServer(
            listener.getsockname(), users=UserKeys(tmp_path / "users"), identity=Identity.generate(), port=5000
        )


def test_a_server_that_became_known_by_another_identity_meanwhile_is_refused(tmp_path: Path) -> None:
    home, place = Home(tmp_path), Address("127.0.0.1", 5000)
    keeping = Keeping(str(home.key_path), home.known)
    keeping.prepare(Key.generate(), place, Identity.generate().fingerprint)
    other = home.known.add(place, Identity.generate().fingerprint, now=1)

    with pytest.raises(IdentityChanged, match="meanwhile"):
        keeping.commit(now=2)
    keeping.drop()

    assert list(home.known) == [other]
    assert not home.key_path.exists()


def test_a_draft_never_outlives_the_pairing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    keeping = Keeping(str(home.key_path), home.known)
    keeping.prepare(Key.generate(), Address("fe80::1%eth0", 5000), Identity.generate().fingerprint)
    assert len([name for name in os.listdir(tmp_path / "client") if ".pairing-" in name]) == 1

    keeping.drop()
    keeping.drop()

    assert home.is_empty
