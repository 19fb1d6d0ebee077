"""The handshake: the known answers, both ends at once, and every bit of it that can be changed.

The vectors of `tests/vectors/handshakes` hold one fault each.  Their input is a hello (`read: hello`, for a server) or
an answer (`read: answer`, for the client whose hello the header tells how to make).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases import case
from netstructer import errors
from netstructer.codec.ciphers import AES_256_GCM, FERNET, cipher_named
from netstructer.errors import (
    BadFrame,
    Banned,
    Busy,
    Downgrade,
    IdentityChanged,
    IllegalFrame,
    KeyRefused,
    Misuse,
    NetstructerError,
    NotNetstructer,
    VersionMismatch,
)
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.protocol import handshake, noise
from netstructer.protocol.handshake import (
    Agreement,
    ExpectAnswer,
    ExpectHello,
    identity_fingerprint,
    refusal,
    start_client,
    suite_of,
)
from netstructer.protocol.noise import NN_PSK0, Handshake, KeyPair
from netstructer.protocol.parameters import COMPRESSION, PADDING, RESUME, Parameters

VECTORS = sorted((Path(__file__).parent / "vectors" / "handshakes").glob("*.vector"))
KEY = Key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER = Key("ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")
IDENTITY = KeyPair(b"\x33" * 32)
CLIENT = Parameters.of(Limits.DEFAULT, COMPRESSION | RESUME)
SERVER = Parameters.of(Limits.SMALL, RESUME | PADDING, b"D" * 16)
SUITES = pytest.mark.parametrize("suite", [0x01, 0x02, 0x11, 0x12])
CIPHERS = (FERNET, AES_256_GCM)
DOCUMENTED = (BadFrame, NotNetstructer, VersionMismatch, IllegalFrame, KeyRefused, Busy, Banned)


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_vectors() -> None:
    for path in VECTORS:
        with case(path.stem):
            check_vector(*_read_vector(path))


def check_vector(header: dict[str, str], message: bytes) -> None:
    read = _read_hello if header["read"] == "hello" else _read_answer
    if header["expect"] != "success":
        with pytest.raises(NetstructerError) as refused:
            read(header, message)
        assert type(refused.value).__name__ == header["expect"]
        return
    agreed = read(header, message)

    assert agreed.binding.hex() == header["binding"]
    assert agreed.export_secret.hex() == header["export"]
    assert sorted([agreed.send_secret.hex(), agreed.receive_secret.hex()]) == sorted([header["c2s"], header["s2c"]])


def _read_hello(header: dict[str, str], message: bytes) -> Agreement:
    server = ExpectHello(
        KeyRing(Key(header["key"])),
        Parameters.unpack(bytes.fromhex(header["server_parameters"]), of_server=True),
        identity=KeyPair(bytes.fromhex(header["identity"])) if "identity" in header else None,
        ciphers=(FERNET, *map(cipher_named, header.get("offers", "").split())),
        draw=lambda size: bytes.fromhex(header["server_ephemeral"]),
    )
    try:
        agreed = server.receive(message)
    finally:
        assert server.answer.hex() == header["answer"]
    assert agreed.receive_secret.hex() == header["c2s"]
    return agreed


def _read_answer(header: dict[str, str], message: bytes) -> Agreement:
    _, client = start_client(
        Key(header["key"]),
        Parameters.unpack(bytes.fromhex(header["client_parameters"]), of_server=False),
        suite=int(header["suite"]),
        server_identity=bytes.fromhex(header["pinned"]) if "pinned" in header else None,
        draw=lambda size: bytes.fromhex(header["client_ephemeral"]),
    )
    agreed = client.receive(message)
    assert agreed.send_secret.hex() == header["c2s"]
    return agreed


def test_there_are_vectors_of_every_documented_error() -> None:
    expected = {_read_vector(path)[0]["expect"] for path in VECTORS}

    assert len(VECTORS) >= 15
    assert expected == {*(error.__name__ for error in DOCUMENTED), "IdentityChanged", "Downgrade", "success"}
    assert all(hasattr(errors, name) for name in expected - {"success"})


# --- both ends --------------------------------------------------------------------------------------------------------


@SUITES
@pytest.mark.parametrize("anonymous", [False, True])
def test_both_ends_agree(suite: int, anonymous: bool) -> None:
    for _ in range(20):
        hello, client = start_client(KEY, CLIENT, suite=suite, anonymous=anonymous)
        theirs = _server().receive(hello)
        ours = client.receive(theirs.answer)

        assert len(hello) == handshake.HELLO_BYTES
        assert len(theirs.answer) == {1: 120, 2: 168}[suite & 15]
        assert (ours.send_secret, ours.receive_secret) == (theirs.receive_secret, theirs.send_secret)
        assert ours.binding == theirs.binding
        assert ours.export(b"label", 100) == theirs.export(b"label", 100)
        assert ours.features == theirs.features == RESUME
        assert (ours.peer, theirs.peer) == (SERVER, CLIENT)
        assert (ours.suite, theirs.suite) == (suite, suite)
        assert ours.identity == theirs.identity == (IDENTITY.public if suite & 15 == 2 else None)
        assert ours.cipher is theirs.cipher is (AES_256_GCM if suite & 0x10 else FERNET)
        assert ours.answer == b""
        assert hello[8:16] == ours.key_id == (bytes(8) if anonymous else KEY.key_id)
        assert theirs.key_id == KEY.key_id
        assert len({ours.send_secret, ours.receive_secret, ours.export_secret, ours.binding}) == 4


def test_exports_are_apart_for_each_label() -> None:
    agreed, _ = _agree()

    assert agreed.export(b"one", 32) == noise.expand(agreed.export_secret, b"ns1 exp one", 32)
    assert len({agreed.export(label, 32) for label in (b"", b"one", b"two", b"one two")}) == 4
    assert agreed.export(b"one", 32) not in (agreed.send_secret, agreed.receive_secret, agreed.binding)


def test_a_server_with_several_keys_knows_whose_it_is() -> None:
    ring = KeyRing({"ann": KEY, "bob": OTHER})
    for key, user in ((KEY, "ann"), (OTHER, "bob")):
        hello, client = start_client(key, CLIENT)
        theirs = ExpectHello(ring, SERVER).receive(hello)

        assert (theirs.user, theirs.key_id) == (user, key.key_id)
        assert client.receive(theirs.answer).user is None


@SUITES
def test_a_replayed_hello_agrees_on_nothing_that_its_sender_knew(suite: int) -> None:
    hello, client = start_client(KEY, CLIENT, suite=suite)
    first, second = _server().receive(hello), _server().receive(hello)
    client.receive(first.answer)
    theirs = (first.send_secret, first.receive_secret, first.export_secret, first.binding)

    assert {*theirs}.isdisjoint((second.send_secret, second.receive_secret, second.export_secret, second.binding))


@SUITES
def test_an_answer_to_another_hello_is_refused(suite: int) -> None:
    _, client = start_client(KEY, CLIENT, suite=suite)
    hello, _ = start_client(KEY, CLIENT, suite=suite)
    with pytest.raises(KeyRefused):
        client.receive(_server().receive(hello).answer)


def test_a_reflected_hello_is_refused() -> None:
    hello, client = start_client(KEY, CLIENT)
    for reflected in (hello, hello[:120], hello[:8]):
        with pytest.raises(DOCUMENTED):
            client.receive(reflected)


# --- the key ----------------------------------------------------------------------------------------------------------


@SUITES
@pytest.mark.parametrize("anonymous", [False, True])
@pytest.mark.parametrize("ring", [OTHER, {"bob": OTHER}, {"bob": OTHER, "cat": Key.generate()}])
def test_another_key_is_refused_at_both_ends(suite: int, anonymous: bool, ring: Any) -> None:
    hello, client = start_client(KEY, CLIENT, suite=suite, anonymous=anonymous)
    server = ExpectHello(KeyRing(ring), SERVER, identity=IDENTITY, ciphers=CIPHERS)
    with pytest.raises(KeyRefused):
        server.receive(hello)
    with pytest.raises(KeyRefused):
        client.receive(server.answer)

    assert server.answer == refusal(handshake.KEY_NOT_ACCEPTED)


def test_zeros_name_the_only_key_and_none_of_several() -> None:
    hello, _ = start_client(KEY, CLIENT, anonymous=True)

    assert ExpectHello(KeyRing({"ann": KEY}), SERVER).receive(hello).user == "ann"
    server = ExpectHello(KeyRing({"ann": KEY, "bob": OTHER}), SERVER)
    with pytest.raises(KeyRefused):
        server.receive(hello)
    assert server.answer == refusal(2)


def test_the_right_key_id_without_the_key_is_refused() -> None:
    hello, _ = start_client(OTHER, CLIENT)
    server = _server()
    with pytest.raises(KeyRefused):
        server.receive(hello[:8] + KEY.key_id + hello[16:])

    assert server.answer == refusal(2)


def test_an_unknown_key_goes_the_way_of_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same calls, same order, same error, same refusal: only the tag tells, and it tells only who holds the key."""
    calls: list[str] = []
    for owner, name in ((noise, "_hkdf"), (noise, "_sha256"), (KeyPair, "shared")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, name=name, real=real: calls.append(name) or real(*a))
    outcomes = []
    for hello in (start_client(OTHER, CLIENT)[0], _flip(start_client(KEY, CLIENT)[0], 1000)):
        calls.clear()
        server = _server()
        with pytest.raises(KeyRefused) as refused:
            server.receive(hello)
        outcomes.append((list(calls), server.answer, str(refused.value).split("(")[0]))

    assert outcomes[0] == outcomes[1]
    assert "shared" not in calls  # no Diffie-Hellman for a stranger


def test_who_knows_the_key_of_strangers_is_a_stranger_still() -> None:
    hello, _ = start_client(KEY, CLIENT)
    server = ExpectHello(KeyRing(OTHER), SERVER, strangers=KEY)
    with pytest.raises(KeyRefused):
        server.receive(hello)

    assert server.answer == refusal(2)


def test_strangers_are_tried_with_a_key_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    real = handshake.Handshake
    monkeypatch.setattr(handshake, "Handshake", lambda *a, psks, **k: tried.extend(psks) or real(*a, psks=psks, **k))
    hello = start_client(KEY, CLIENT)[0]
    tried.clear()
    nobodys = Key.generate()
    for server in (
        ExpectHello(KeyRing(OTHER), SERVER, strangers=nobodys),
        ExpectHello(KeyRing(OTHER), SERVER),
        ExpectHello(KeyRing(OTHER), SERVER),
    ):
        with pytest.raises(KeyRefused):
            server.receive(hello)

    assert tried[0] == nobodys.psk
    assert tried[1] == tried[2]  # one for the life of the process, so that a second try tells nothing
    assert len(tried[1]) == 32
    assert len(set(tried[1])) > 8


@SUITES
def test_a_public_key_of_low_order_is_a_refused_key(suite: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(noise, "KeyPair", _LowOrder)
        hello, _ = start_client(KEY, CLIENT, suite=suite)
    server = _server()
    with pytest.raises(KeyRefused):
        server.receive(hello)
    assert server.answer == refusal(2)

    hello, client = start_client(KEY, CLIENT, suite=suite)
    answer = _server().receive(hello).answer
    with pytest.raises(KeyRefused):
        client.receive(answer[:8] + bytes(32) + answer[40:])


class _LowOrder(KeyPair):
    def __init__(self, private: bytes) -> None:
        super().__init__(private)
        self.public = bytes(32)


# --- the identity -----------------------------------------------------------------------------------------------------


def test_a_pinned_identity_is_proved() -> None:
    hello, client = start_client(KEY, CLIENT, suite=2, server_identity=IDENTITY.public)

    assert client.receive(_server().receive(hello).answer).identity == IDENTITY.public


def test_another_identity_is_told_from_the_pinned_one() -> None:
    pinned = KeyPair(b"\x44" * 32).public
    hello, client = start_client(KEY, CLIENT, suite=2, server_identity=pinned)
    with pytest.raises(IdentityChanged) as changed:
        client.receive(_server().receive(hello).answer)

    assert changed.value.expected == identity_fingerprint(pinned)
    assert changed.value.found == identity_fingerprint(IDENTITY.public)


def test_a_fingerprint_of_an_identity() -> None:
    assert identity_fingerprint(bytes(32)) == "ns1:mzuhvlpymk6xo3epygfy5h4oeaejofef"


@pytest.mark.parametrize("suite", [0x11, 0x12])
def test_a_server_that_does_not_offer_a_cipher_refuses_it_like_a_version(suite: int) -> None:
    hello, client = start_client(KEY, CLIENT, suite=suite)
    server = ExpectHello(KeyRing(KEY), SERVER, identity=IDENTITY)
    with pytest.raises(VersionMismatch, match=f"suite {suite}"):
        server.receive(hello)
    assert server.answer == refusal(1)
    with pytest.raises(VersionMismatch, match=f"suite {suite}"):
        client.receive(server.answer)


def test_a_server_without_identity_speaks_no_suite_0x12() -> None:
    offering = ExpectHello(KeyRing(KEY), SERVER, ciphers=(FERNET, AES_256_GCM))
    with pytest.raises(VersionMismatch, match="suite 18"):
        offering.receive(start_client(KEY, CLIENT, suite=0x12)[0])
    assert offering.receive(start_client(KEY, CLIENT, suite=0x11)[0]).cipher is AES_256_GCM


def test_the_suites_by_what_they_are() -> None:
    found = {(cipher.name, proof): suite_of(cipher, identity=proof) for cipher in CIPHERS for proof in (False, True)}

    assert found == {
        ("fernet", False): 0x01,
        ("fernet", True): 0x02,
        ("aes-256-gcm", False): 0x11,
        ("aes-256-gcm", True): 0x12,
    }


def test_a_server_without_identity_speaks_no_suite_2() -> None:
    hello, client = start_client(KEY, CLIENT, suite=2)
    server = ExpectHello(KeyRing(KEY), SERVER)
    with pytest.raises(VersionMismatch, match="suite 2"):
        server.receive(hello)
    with pytest.raises(VersionMismatch, match="suite 2"):
        client.receive(server.answer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"suite": 0},
        {"suite": 3},
        {"suite": 0x10},
        {"suite": 0x13},
        {"suite": 0x21},
        {"server_identity": bytes(32)},
        {"suite": 0x11, "server_identity": bytes(32)},
    ],
)
def test_a_suite_that_is_none_is_misuse(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        start_client(KEY, CLIENT, **wrong)


# --- versions and parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "peer"), [(2, 2), (2, 5), (200, 3)])
def test_a_lower_version_than_both_could_speak_is_a_downgrade(own: int, peer: int) -> None:
    hello, _ = start_client(KEY, _speaking(CLIENT, peer))
    server = ExpectHello(KeyRing(KEY), _speaking(SERVER, own))
    with pytest.raises(Downgrade, match=f"version {min(own, peer)}"):
        server.receive(hello)
    assert server.answer == refusal(handshake.VERSION_NOT_SPOKEN)

    hello, client = start_client(KEY, _speaking(CLIENT, own))
    answer = _hostile_answer(hello, _speaking(SERVER, peer).pack())
    with pytest.raises(Downgrade):
        client.receive(answer)


@pytest.mark.parametrize(("own", "peer"), [(1, 1), (1, 2), (2, 1), (1, 255)])
def test_the_best_version_of_both_is_no_downgrade(own: int, peer: int) -> None:
    hello, client = start_client(KEY, _speaking(CLIENT, peer))
    agreed = ExpectHello(KeyRing(KEY), _speaking(SERVER, own)).receive(hello)

    assert client.receive(agreed.answer).peer.max_version == own


@pytest.mark.parametrize(
    ("at", "changed", "error"),
    [
        (0, b"\2\2", VersionMismatch),
        (0, b"\0\0", VersionMismatch),
        (4, b"\0\0\3\xff", IllegalFrame),
        (4, b"\0\x10\0\1", IllegalFrame),
        (16, bytes(4), IllegalFrame),
        (62, b"\xff", IllegalFrame),
    ],
)
def test_parameters_that_make_no_sense_are_refused_though_the_key_is_right(
    at: int, changed: bytes, error: type[NetstructerError]
) -> None:
    def change(parameters: Parameters) -> bytes:
        packed = bytearray(parameters.pack())
        packed[at : at + len(changed)] = changed
        return bytes(packed)

    with pytest.raises(error):
        _server().receive(_hostile_hello(change(CLIENT)))
    hello, client = start_client(KEY, CLIENT)
    with pytest.raises(error):
        client.receive(_hostile_answer(hello, change(SERVER)))


def test_parameters_that_make_no_sense_are_answered_by_code_1() -> None:
    server = _server()
    with pytest.raises(IllegalFrame):
        server.receive(_hostile_hello(bytes([1, 1]) + bytes(62)))

    assert server.answer == refusal(1)


def test_a_client_that_states_an_instance_and_a_server_that_states_none_are_refused() -> None:
    with pytest.raises(IllegalFrame, match="instance"):
        _server().receive(_hostile_hello(SERVER.pack()))
    hello, client = start_client(KEY, CLIENT)
    with pytest.raises(IllegalFrame, match="instance"):
        client.receive(_hostile_answer(hello, CLIENT.pack()))


def _hostile_hello(packed: bytes) -> bytes:
    """Return the hello of somebody who holds the key and states what he likes."""
    clear = b"NSTR\1\1\0\0" + KEY.key_id
    return clear + Handshake(NN_PSK0, initiator=True, prologue=b"netstructer/1" + clear, psks=[KEY.psk]).write(packed)


def _hostile_answer(hello: bytes, packed: bytes) -> bytes:
    ours = Handshake(NN_PSK0, initiator=False, prologue=b"netstructer/1" + hello[:16], psks=[KEY.psk])
    ours.read(hello[16:])
    return hello[:8] + ours.write(packed)


def _speaking(parameters: Parameters, version: int) -> Parameters:
    return Parameters(**{**_fields(parameters), "max_version": version})


def _fields(parameters: Parameters) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in parameters.__slots__}


# --- every change -----------------------------------------------------------------------------------------------------


@SUITES
def test_every_flipped_bit_of_a_hello_is_refused(suite: int) -> None:
    hello, _ = _recorded(suite)
    for bit in range(len(hello) * 8):
        byte = bit // 8
        expected = (
            NotNetstructer if byte < 4 else VersionMismatch if byte < 6 else IllegalFrame if byte < 8 else KeyRefused
        )
        changed = _flip(hello, bit)
        if byte == 5 and changed[5] in handshake.SUITES:  # another suite that is spoken here: the tag is made over it
            expected = KeyRefused
        server = _server()
        with pytest.raises(expected) as refused:
            server.receive(changed)

        assert type(refused.value) is expected
        assert server.answer == (b"" if byte < 4 else refusal(2) if expected is KeyRefused else refusal(1))


@SUITES
def test_every_flipped_bit_of_an_answer_is_refused(suite: int) -> None:
    _, answer = _recorded(suite)
    for bit in range(len(answer) * 8):
        byte = bit // 8
        expected: tuple[type[NetstructerError], ...] = (
            (NotNetstructer,) if byte < 4 else (BadFrame,) if byte < 8 else (KeyRefused,)
        )
        with pytest.raises(expected):
            _client(suite).receive(_flip(answer, bit))
        if 4 <= byte < 8:  # as it is read from a transport: no more than these 8 bytes are waited for
            assert _client(suite).needed(_flip(answer, bit)) == 8
            with pytest.raises((VersionMismatch, IllegalFrame, KeyRefused, Busy, Banned)):
                _client(suite).receive(_flip(answer, bit)[:8])

    assert _client(suite).receive(answer).suite == suite


@SUITES
def test_the_other_suite_is_no_way_around(suite: int) -> None:
    hello, answer = _recorded(suite)
    for other in {0x01, 0x02, 0x11, 0x12} - {suite}:
        with pytest.raises(KeyRefused):
            _server().receive(hello[:5] + bytes([other]) + hello[6:])
        with pytest.raises(BadFrame):
            _client(suite).receive(answer[:5] + bytes([other]) + answer[6:])


@SUITES
def test_every_truncation_and_extension_is_refused(suite: int) -> None:
    hello, answer = _recorded(suite)
    for size in range(len(hello)):
        with pytest.raises(BadFrame):
            _server().receive(hello[:size])
    for size in range(len(answer)):
        with pytest.raises((BadFrame, NotNetstructer, IllegalFrame)):
            _client(suite).receive(answer[:size])
    for extra in (1, 2, 16, 128):
        with pytest.raises(BadFrame):
            _server().receive(hello + bytes(extra))
        with pytest.raises(BadFrame):
            _client(suite).receive(answer + bytes(extra))


def test_mutated_and_random_hellos_and_answers_raise_documented_errors() -> None:
    _mutate(random.Random(1), 3_000)


@pytest.mark.long
def test_a_hundred_thousand_mutated_hellos_and_answers_raise_documented_errors() -> None:
    _mutate(random.Random(2), 100_000)


def _mutate(draw: random.Random, count: int) -> None:
    for number in range(count):
        suite = (0x01, 0x02, 0x11, 0x12)[number % 4]
        recorded = _recorded(suite)
        side = number // 2 % 2
        changed = bytearray(recorded[side] if draw.random() < 0.8 else draw.randbytes(draw.choice((8, 120, 128, 168))))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(changed))
            changed[at : at + draw.randrange(1, 3)] = draw.randbytes(draw.choice((1, 1, 2)))
        read: Callable[[bytes], Agreement] = (_server().receive, _client(suite).receive)[side]
        if bytes(changed) == recorded[side]:
            continue
        with pytest.raises(DOCUMENTED):
            read(bytes(changed))


# --- refusals and lengths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((1, VersionMismatch), (2, KeyRefused), (3, Busy), (4, Busy), (5, Banned)),
        *((6, IllegalFrame), (0xFFFF, IllegalFrame)),
    ],
)
@SUITES
def test_a_refusal_is_told_by_its_code(suite: int, code: int, error: type[NetstructerError]) -> None:
    client = _client(suite)

    assert len(refusal(code)) == client.needed(refusal(code)) == 8
    with pytest.raises(error) as refused:
        client.receive(refusal(code))
    assert type(refused.value) is error


def test_a_refusal_of_a_later_version_is_a_mismatch_whatever_its_code() -> None:
    for code in range(6):
        with pytest.raises(VersionMismatch, match="version 2"):
            _client(1).receive(b"NSTR\2\0\0" + bytes([code]))


def test_a_refusal_names_no_suite() -> None:
    for code in (2, 3, 4, 5):
        with pytest.raises(IllegalFrame, match="suite 1"):
            _client(1).receive(b"NSTR\1\1\0" + bytes([code]))
    with pytest.raises(IllegalFrame, match="suite 0"):
        _client(1).receive(refusal(0))


@pytest.mark.parametrize("found", [b"HTTP/1.1 400 Bad Request", b"SSH-2.0-", b"", b"NST", b"nstr\1\1\0\0"])
def test_what_does_not_speak_netstructer_is_told(found: bytes) -> None:
    client = _client(1)
    assert client.needed(found) == 8
    with pytest.raises(NotNetstructer):
        client.receive(found)


def test_a_stranger_hears_nothing() -> None:
    for wrong in (b"GET / HTTP/1.1\r\n".ljust(128), bytes(128), b"", b"NSTR"):
        server = _server()
        with pytest.raises((NotNetstructer, BadFrame)):
            server.receive(wrong)

        assert server.answer == b""


@SUITES
def test_an_answer_is_read_whole_byte_by_byte_and_with_a_tail(suite: int) -> None:
    _, answer = _recorded(suite)
    client = _client(suite)
    for size in range(len(answer) + 1):
        assert client.needed(answer[:size]) == (8 if size < 8 else len(answer))
    assert client.needed(answer + b"tail") == len(answer)
    assert client.receive(answer).suite == suite
    for size in range(9):
        assert client.needed(refusal(2)[:size]) == 8


# --- what is shown ----------------------------------------------------------------------------------------------------


@SUITES
def test_no_secret_is_shown(suite: int) -> None:
    hello, client = start_client(KEY, CLIENT, suite=suite)
    server = _server()
    agreed = server.receive(hello)
    shown = [agreed, client, server, client.receive(agreed.answer)]
    for wrong in range(len(hello)):
        for read, message in ((_server().receive, hello), (_client(suite).receive, agreed.answer)):
            with pytest.raises(NetstructerError) as refused:
                read(_flip(message, 8 * (wrong % len(message))))
            shown.append(refused.value)
    secrets = agreed.send_secret, agreed.receive_secret, agreed.export_secret
    text = " ".join(f"{item!r} {item} {vars(item) if isinstance(item, Exception) else ''}" for item in shown)

    assert (
        f"<Agreement in suite {suite}, key {KEY.key_id.hex()} of 'ann'>" in text
    )  # at the server, which knows its users
    assert f"<Agreement in suite {suite}, key {KEY.key_id.hex()}>" in text
    for secret in (*secrets, KEY.psk, bytes(range(32)), b"\x33" * 32):
        assert secret.hex()[:12] not in text
        assert repr(secret)[2:14] not in text
    assert KEY.reveal()[:10] not in text


# --- helpers ----------------------------------------------------------------------------------------------------------


def _server() -> ExpectHello:
    return ExpectHello(KeyRing({"ann": KEY}), SERVER, identity=IDENTITY, ciphers=CIPHERS)


def _agree() -> tuple[Agreement, Agreement]:
    hello, client = start_client(KEY, CLIENT)
    theirs = _server().receive(hello)
    return client.receive(theirs.answer), theirs


def _client(suite: int) -> ExpectAnswer:
    """Return the client that awaits the recorded answer."""
    return start_client(KEY, CLIENT, suite=suite, draw=lambda size: b"\x11" * size)[1]


_RECORDED: dict[int, tuple[bytes, bytes]] = {}


def _recorded(suite: int) -> tuple[bytes, bytes]:
    """Return a hello and its answer, the same each time."""
    if suite not in _RECORDED:
        hello, _ = start_client(KEY, CLIENT, suite=suite, draw=lambda size: b"\x11" * size)
        _RECORDED[suite] = hello, _server().receive(hello).answer
    return _RECORDED[suite]


def _flip(message: bytes, bit: int) -> bytes:
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _read_vector(path: Path) -> tuple[dict[str, str], bytes]:
    """Return the header of a vector and its input."""
    head, _, body = path.read_text("utf-8").partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()), bytes.fromhex("".join(body.split()))
