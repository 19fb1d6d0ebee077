"""Which cipher seals a link's records: what both ends ask for, on all its transports, and nothing weaker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import KEY, PATIENCE_SECONDS, eventually, linked
from netstructer import Blob, Identity, Limits, Link, Server, aio
from netstructer.address import Address
from netstructer.codec import gcm
from netstructer.codec.ciphers import AES_256_GCM, FERNET, Cipher, cipher_named
from netstructer.codec.frames import FrameReader
from netstructer.credentials import Credentials
from netstructer.errors import (
    BadFrame,
    BadSeal,
    FrameTooBig,
    IllegalFrame,
    Misuse,
    OutOfOrder,
    SessionLost,
    VersionMismatch,
)
from netstructer.protocol.events import ResumeAsked, Suspended
from netstructer.protocol.noise import expand
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import HEADER, RecordReader, RecordWriter
from netstructer.protocol.states import Kind, Role, State
from netstructer.testing import ChaosProxy, Cuts, link_pair, session_pair
from pair import C2S, RESUMABLE, Hostile, Pair, agreement, error_in, send, session_of, tokens_of
from roaming import RoamingPair

BOTH = pytest.mark.parametrize("cipher", [FERNET, AES_256_GCM], ids=lambda cipher: cipher.name)
GCM: dict[str, Any] = {"cipher": "aes-256-gcm"}
SUITE = 0x11
VALUES = ["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True), bytes(100_000)]


# --- the two of them --------------------------------------------------------------------------------------------------


def test_a_cipher_has_a_name() -> None:
    assert (cipher_named("fernet"), cipher_named("aes-256-gcm")) == (FERNET, AES_256_GCM)
    for wrong in ("", "aes-128-gcm", "AES-256-GCM", None):
        with pytest.raises(Misuse, match="'fernet' or 'aes-256-gcm'"):
            cipher_named(wrong)  # type: ignore[arg-type]


def test_the_keys_of_the_two_have_nothing_in_common() -> None:
    secret = bytes(range(32))
    fernet, other = Ratchet(secret), Ratchet(secret, AES_256_GCM)
    for _ in range(3):
        assert fernet.key == expand(secret, b"ns1 key", 32)
        assert other.key == expand(secret, b"ns1 gcm", 44)
        assert not {fernet.key[at : at + 8] for at in range(25)} & {other.key[at : at + 8] for at in range(37)}
        fernet.advance()
        other.advance()
        secret = expand(secret, b"ns1 next", 32)


@BOTH
def test_what_a_cipher_says_of_its_lengths_is_so(cipher: Cipher) -> None:
    key = bytes(range(cipher.key_bytes))
    lengths = []
    for size in range(16, 100):
        token = cipher.sealer(key, 7).seal_parts((bytes(size),), 0)
        lengths.append(len(token))
        assert len(token) == cipher.sealed_bytes(size)
        assert bytes(cipher.opener(key, 7).open(token)) == bytes(size)

    assert {later - earlier for earlier, later in itertools.pairwise(lengths)} <= {0, cipher.token_step}


@pytest.mark.parametrize(("cipher", "least"), [(FERNET, 89), (AES_256_GCM, 33)], ids=["fernet", "gcm"])
def test_a_frame_has_a_length_that_its_cipher_makes(cipher: Cipher, least: int) -> None:
    session = session_of(Role.CLIENT, suite=SUITE if cipher is AES_256_GCM else 1)
    frames, most = session.frames, cipher.sealed_bytes(16 + Limits.DEFAULT.body_bytes)
    legal = {cipher.sealed_bytes(size) for size in range(16, 200)}
    for length in range(max(legal) + 1):
        frames = FrameReader(most, least_bytes=least, step_bytes=cipher.token_step)
        session.inflow.frames = frames
        frames.feed(length.to_bytes(4, "big"))
        if length in legal:
            assert frames.next_token() is None
        else:
            with pytest.raises(BadFrame):
                frames.next_token()
    fresh = session_of(Role.CLIENT, suite=SUITE if cipher is AES_256_GCM else 1).frames
    assert (fresh.limit_bytes, fresh._least, fresh._step) == (most, least, cipher.token_step)
    fresh.feed((most + 1).to_bytes(4, "big"))
    with pytest.raises(FrameTooBig):
        fresh.next_token()


@BOTH
def test_until_its_open_a_client_is_read_no_further_than_that(cipher: Cipher) -> None:
    fresh = session_of(Role.SERVER, suite=SUITE if cipher is AES_256_GCM else 1)

    assert fresh.frames.limit_bytes == cipher.sealed_bytes(16 + 92) == {16: 169, 1: 125}[cipher.token_step]


# --- records ----------------------------------------------------------------------------------------------------------


def writer_and_reader() -> tuple[RecordWriter, RecordReader]:
    return RecordWriter(C2S, Limits.DEFAULT, 0.0, AES_256_GCM), RecordReader(C2S, 0.0, AES_256_GCM)


def test_records_go_on_over_rekeys_under_one_count() -> None:
    writer, reader = writer_and_reader()
    ratchet = Ratchet(C2S, AES_256_GCM)
    for sequence in range(12):
        if sequence % 4 == 3:
            token = writer.rekey(seconds=0, now=0.0)
        else:
            token = writer.write(Kind.PING, 0, 0, b"12345678", seconds=0, pad_bytes=sequence)
        plain = gcm.Opener(ratchet.key, sequence).open(token)
        record = reader.read(token)

        assert int.from_bytes(plain[:8], "big") == sequence
        assert len(token) == 17 + len(plain)
        assert record.body == (b"" if sequence % 4 == 3 else b"12345678")
        if sequence % 4 == 3:
            ratchet.advance()
            reader._since = -10.0  # not for sport
            reader.rekey(0.0)


def test_a_record_in_another_place_has_no_good_seal_there() -> None:
    for order in ([1], [0, 0], [0, 2], [0, 1, 0]):
        writer, reader = writer_and_reader()
        made = [bytes(writer.write(Kind.PING, 0, 0, b"12345678", seconds=0)) for _ in range(3)]
        for place in order[:-1]:
            reader.read(made[place])
        with pytest.raises(BadSeal) as refused:
            reader.read(made[order[-1]])
        assert type(refused.value) is BadSeal


def test_a_header_that_states_another_number_than_its_place_is_out_of_order() -> None:
    _, reader = writer_and_reader()
    token = Ratchet(C2S, AES_256_GCM).sealer(0).seal_parts((HEADER.pack(1, Kind.PING, 0, 0, 0), bytes(8)), 0)
    with pytest.raises(OutOfOrder):
        reader.read(bytes(token))


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_token_without_a_header_has_no_good_seal(size: int) -> None:
    _, reader = writer_and_reader()
    with pytest.raises(BadSeal):
        reader.read(bytes(Ratchet(C2S, AES_256_GCM).sealer(0).seal_parts((bytes(size),), 0)))


def test_tokens_of_one_cipher_are_nothing_under_the_other() -> None:
    fernet = bytes(RecordWriter(C2S, Limits.DEFAULT, 0.0).write(Kind.PING, 0, 0, bytes(8), seconds=0))
    other = bytes(writer_and_reader()[0].write(Kind.PING, 0, 0, bytes(8), seconds=0))
    for reader, token in ((RecordReader(C2S, 0.0, AES_256_GCM), fernet), (RecordReader(C2S, 0.0), other)):
        with pytest.raises(BadSeal):
            reader.read(token)


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [None, "bucket", "full"])
def test_sessions_talk_and_what_is_stated_of_the_wire_is_what_was_said(padding: str | None) -> None:
    pair = Pair(suite=SUITE, padding=padding)
    draw = random.Random(3)
    for size in (0, 1, 15, 16, 17, 100, 5000, 65_000, 200_000):
        before, value = len(pair.client.said), draw.randbytes(size)
        outgoing = send(pair.client.session, value)
        pair.seal(pair.client)
        assert outgoing.wire_bytes == len(pair.client.said) - before
        assert pair.exchange() == ([], [value])
    lengths = {len(token) for token in tokens_of(bytes(pair.client.said))}
    if padding == "full":  # OPEN, and all others alike
        assert lengths == {125, 17 + 16 + 65_535}
    else:
        assert len(lengths) >= 5


def test_a_record_is_as_long_as_its_body_and_33_bytes() -> None:
    pair = Pair(suite=SUITE)
    lengths = []
    for size in range(100, 140):
        before = len(pair.client.said)
        send(pair.client.session, random.Random(size).randbytes(size), compress=False)
        pair.seal(pair.client)
        lengths.append(len(pair.client.said) - before)

    assert [later - earlier for earlier, later in itertools.pairwise(lengths)] == [1] * 39


def test_a_session_goes_on_over_many_transports() -> None:
    pair = RoamingPair(suite=SUITE)
    draw = random.Random(5)
    for number in range(60):
        send(pair.client.session, [number, draw.randbytes(draw.randrange(3000))])
        send(pair.server.session, number)
        pair.seal(pair.client)
        pair.seal(pair.server)
        pair.cut(draw.randrange(4000), draw.randrange(400))
        pair.mend()
    pair.pump()

    assert [value[0] for value in pair.server.read()] == list(range(60))
    assert pair.client.read() == list(range(60))
    assert pair.resumes >= 50


def test_a_session_is_not_taken_up_under_another_cipher() -> None:
    for first, then in ((1, SUITE), (SUITE, 1)):
        standing = Hostile(Role.SERVER, features=RESUMABLE, suite=first)
        standing.open()
        standing.session.end(0.0)
        newcomer = Hostile(Role.SERVER, features=RESUMABLE, suite=then)
        events = newcomer.ask(session_id=bytes(16), secret=bytes(32))
        assert isinstance(events[0], ResumeAsked)
        with pytest.raises(SessionLost, match="another cipher"):
            standing.session.adopt(newcomer.session, 1.0)
        assert standing.session.state is State.SUSPENDED
        assert type(error_in(newcomer.session.decline())) is SessionLost


def test_a_client_does_not_take_its_session_to_another_cipher() -> None:
    hostile = Hostile(Role.CLIENT, features=RESUMABLE, suite=SUITE)
    hostile.stand(State.READY)
    assert isinstance(hostile.session.end(0.0)[0], Suspended)
    with pytest.raises(Misuse, match="goes on under aes-256-gcm"):
        hostile.session.rejoin(agreement(Role.CLIENT, Limits.DEFAULT, features=RESUMABLE), 1.0)
    assert hostile.session.state is State.SUSPENDED
    hostile.session.rejoin(agreement(Role.CLIENT, Limits.DEFAULT, features=RESUMABLE, suite=SUITE), 1.0)


def test_a_peer_that_breaks_a_rule_under_it_ends_the_session() -> None:
    hostile = Hostile(Role.SERVER, suite=SUITE).stand(State.READY)

    assert type(error_in(hostile.say(Kind.PING, body=b"short"))) is IllegalFrame


def test_the_kit_has_pairs_under_it() -> None:
    pair = session_pair([[], []], **GCM)
    pair.client.send(VALUES)
    pair.cut()
    pair.settle()

    assert pair.server.received == [VALUES]
    assert pair.client.session is not None
    assert pair.client.session.cipher is AES_256_GCM
    with pytest.raises(Misuse):
        session_pair(cipher="rot13")  # type: ignore[arg-type]


# --- links ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hellos_counted(address: Address) -> Iterator[tuple[Address, list[int]]]:
    """Give an address that relays to that one, and the suite of each hello that passed."""
    suites: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    with near, socket.create_connection(address) as far:
                        hello = near.recv(128, socket.MSG_WAITALL)
                        suites.append(hello[5])
                        far.sendall(hello)
                        near.sendall(far.recv(8, socket.MSG_WAITALL))

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        yield Address(*listener.getsockname()), suites
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_SECONDS)


def test_both_ends_have_what_the_client_asks_for_of_a_server_that_offers_it() -> None:
    with Server(key=KEY, **GCM) as server:
        for options, cipher in (({}, FERNET), (GCM, AES_256_GCM), ({"cipher": "fernet"}, FERNET)):
            with Link(server.address, key=KEY, **options) as near, server.accept(timeout=PATIENCE_SECONDS) as far:
                near.send(VALUES)
                far.send(VALUES)

                assert (near.recv(timeout=5), far.recv(timeout=5)) == (VALUES, VALUES)
                assert near._session.cipher is far._session.cipher is cipher


def test_a_blob_and_a_conversation_go_under_it() -> None:
    data = random.Random(1).randbytes(3 << 20)
    with linked(server_options=GCM, **GCM) as (near, far):
        near.send({"file": Blob(data)})
        near.conversation().send("aside")
        value = far.recv(timeout=PATIENCE_SECONDS)

        assert b"".join(value["file"]) == data


@pytest.mark.parametrize("identity", [False, True])
def test_a_client_that_asks_for_it_is_told_who_does_not_offer_it_and_never_falls_back(identity: bool) -> None:
    proof = Identity.generate()
    asked: dict[str, Any] = {"server_identity": proof.fingerprint} if identity else {}
    with Server(key=KEY, identity=proof) as server, hellos_counted(server.address) as (address, suites):
        for opening in (Link, opened_by_asyncio):
            with pytest.raises(VersionMismatch) as refused:
                opening(address, key=KEY, **asked, **GCM)
            assert "this server does not offer aes-256-gcm" in str(refused.value)
            assert "Server(cipher='aes-256-gcm')" in str(refused.value)
            assert ("or suite 18 is the proof of its identity" in str(refused.value)) is identity

        assert suites == [0x12 if identity else 0x11] * 2
        eventually(lambda: server.stats.handshakes_refused == 2)
        assert server.stats.links_accepted == 0


def opened_by_asyncio(address: Address, **options: Any) -> None:
    async def main() -> None:
        async with aio.connect(address, **options):
            pass

    asyncio.run(main())


def test_the_refusal_tells_a_stranger_what_any_suite_tells_him() -> None:
    """A server that does not offer it says of 0x11 what it says of 0x77: eight bytes, before any key is looked at."""
    answers = {}
    with Server(key=KEY) as server:
        for suite in (0x11, 0x12, 0x77):
            with socket.create_connection(server.address, PATIENCE_SECONDS) as transport:
                transport.sendall(b"NSTR" + bytes([1, suite, 0, 0]) + bytes(120))
                answers[suite] = transport.recv(200)

    assert set(answers.values()) == {b"NSTR\1\0\0\1"}


def test_an_identity_is_proved_under_it() -> None:
    proof = Identity.generate()
    with (
        Server(key=KEY, identity=proof, **GCM) as server,
        Link(server.address, key=KEY, server_identity=proof.fingerprint, **GCM) as near,
    ):
        near.ping()
        assert near.server_identity == proof.fingerprint
        assert near._session.cipher is AES_256_GCM


def test_a_cipher_that_is_none_is_misuse_before_anything_happens() -> None:
    async def connect() -> None:
        await aio.connect(("127.0.0.1", 1), key=KEY, cipher="none")  # type: ignore[arg-type]

    for make in (
        lambda: Link(("127.0.0.1", 1), key=KEY, cipher="none"),  # type: ignore[arg-type]
        lambda: Server(key=KEY, cipher="none"),  # type: ignore[arg-type]
        lambda: aio.Server(key=KEY, cipher="none"),  # type: ignore[arg-type]
        lambda: asyncio.run(connect()),
    ):
        with pytest.raises(Misuse, match="cipher="):
            make()


def test_asyncio_speaks_it_at_both_ends() -> None:
    async def main() -> None:
        async with (
            aio.Server(key=KEY, **GCM) as server,
            aio.connect(server.address, key=KEY, **GCM) as near,
            aio.connect(server.address, key=KEY) as plain,
        ):
            far = await server.accept(timeout=PATIENCE_SECONDS)
            await near.send(VALUES)
            await plain.send("plain")
            assert await far.recv(timeout=PATIENCE_SECONDS) == VALUES
            other = await server.accept(timeout=PATIENCE_SECONDS)
            assert await other.recv(timeout=PATIENCE_SECONDS) == "plain"
            assert near._session.cipher is far._session.cipher is AES_256_GCM
            assert plain._session.cipher is other._session.cipher is FERNET

    asyncio.run(main())


def test_a_link_under_it_survives_cuts() -> None:
    with link_pair(Cuts(mean_bytes=20_000, most=12), seed=11, **GCM) as pair:
        for number in range(200):
            pair.client.send([number, bytes(1000)], compress=False)
        got = [pair.server.recv(timeout=PATIENCE_SECONDS)[0] for _ in range(200)]

        assert got == list(range(200))
        assert pair.client.stats.resumes > 0
        assert pair.client._session.cipher is AES_256_GCM


def test_a_link_of_asyncio_under_it_survives_cuts() -> None:
    async def main() -> None:
        async with aio.Server(key=KEY, **GCM) as server:
            with ChaosProxy(server.address) as proxy:
                async with aio.connect(proxy.address, key=KEY, **GCM) as near:
                    far = await server.accept(timeout=PATIENCE_SECONDS)
                    for number in range(5):
                        await near.send(number)
                        proxy.cut()
                    assert [await far.recv(timeout=PATIENCE_SECONDS) for _ in range(5)] == list(range(5))

    asyncio.run(main())


def test_a_durable_link_under_it_goes_on_at_a_server_that_was_started_anew(tmp_path: Path) -> None:
    outbox = str(tmp_path / "outbox.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as database:
        database.execute("CREATE TABLE effects (what)")
        with Server(key=KEY, **GCM) as server:
            place = server.address
            near = Link(place, key=KEY, durable=outbox, **GCM)
            near.send("first")
            far = server.accept(timeout=PATIENCE_SECONDS)
            with far.transaction(database, timeout=PATIENCE_SECONDS) as message:
                database.execute("INSERT INTO effects VALUES (?)", (message.value,))
            near.send("second")
        with near, Server(place, key=KEY, **GCM) as server:
            far = server.accept(timeout=PATIENCE_SECONDS)
            with far.transaction(database, timeout=PATIENCE_SECONDS) as message:
                database.execute("INSERT INTO effects VALUES (?)", (message.value,))
            assert far._session.cipher is AES_256_GCM
            eventually(lambda: near._session.cipher is AES_256_GCM)

        assert database.execute("SELECT what FROM effects").fetchall() == [("first",), ("second",)]


def test_credentials_keep_the_suite_whatever_is_said() -> None:
    credentials = Credentials(KEY, Address("server.example", 5000), cipher=AES_256_GCM)
    for _ in range(3):
        credentials.explain(VersionMismatch("no"))
        assert credentials._suite == 0x11
