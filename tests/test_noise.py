"""The Noise engine: proved on the published vectors of every pattern, and against two other libraries.

The published vectors are not part of this repository.  They are read from the folder that NETSTRUCTER_VECTORS names, or
from one beside the checkout; without them the tests that need them are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cases import case
from netstructer.errors import BadSeal, Misuse
from netstructer.protocol import noise
from netstructer.protocol.noise import NN_PSK0, NX_PSK0, CipherState, Handshake, KeyPair, Pattern, _Symmetric, expand

NN = Pattern("NN", ("e", "e ee"))
NX = Pattern("NX", ("e", "e ee s es"))

PATTERNS = """
N    <s      e es
K    >s <s   e es ss
X    <s      e es s ss
NN           e | e ee
NK   <s      e es | e ee
NX           e | e ee s es
XN           e | e ee | s se
XK   <s      e es | e ee | s se
XX           e | e ee s es | s se
KN   >s      e | e ee se
KK   >s <s   e es ss | e ee se
KX   >s      e | e ee se s es
IN           e s | e ee se
IK   <s      e es s ss | e ee se
IX           e s | e ee se s es
NK1  <s      e | e ee es
NX1          e | e ee s | es
X1N          e | e ee | s | se
X1K  <s      e es | e ee | s | se
XK1  <s      e | e ee es | s se
X1K1 <s      e | e ee es | s | se
X1X          e | e ee s es | s | se
XX1          e | e ee s | es s se
X1X1         e | e ee s | es s | se
K1N  >s      e | e ee | se
K1K  >s <s   e es | e ee | se
KK1  >s <s   e | e ee se es
K1K1 >s <s   e | e ee es | se
K1X  >s      e | e ee s es | se
KX1  >s      e | e ee se s | es
K1X1 >s      e | e ee s | se es
I1N          e s | e ee | se
I1K  <s      e es s | e ee | se
IK1  <s      e s | e ee se es
I1K1 <s      e s | e ee es | se
I1X          e s | e ee s es | se
IX1          e s | e ee se s | es
I1X1         e s | e ee s | se es
"""
"""Chapters 7.4, 7.5 and 18.1 of the paper: `>s` and `<s` are the pre-messages."""

LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]

RFC_5869 = [
    # PRK, info, OKM of appendices A.1 to A.3
    (
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "".join(f"{byte:02x}" for byte in range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


# --- the published vectors --------------------------------------------------------------------------------------------


def test_every_published_vector() -> None:
    names = set()
    for vector in _published():
        _run_vector(vector)
        names.add(vector["protocol_name"])

    assert len(names) == 59


def test_a_changed_vector_is_refused() -> None:
    """The twin: the comparison above can fail, at every message that has a tag."""
    for vector in _published():
        for message in vector["messages"]:
            sealed = message["ciphertext"]
            message["ciphertext"] = f"{int(sealed, 16) ^ 1:0{len(sealed)}x}"
            with pytest.raises((BadSeal, AssertionError)):
                _run_vector(vector)
            message["ciphertext"] = sealed


def _run_vector(vector: dict[str, Any]) -> None:
    ends = [_end(vector, "init"), _end(vector, "resp")]
    count = len(ends[0]._messages)
    for number, message in enumerate(vector["messages"][:count]):
        payload, sealed = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        writer, reader = ends if number % 2 == 0 else ends[::-1]

        assert writer.write(payload) == sealed
        assert reader.read(sealed) == payload
    first, second = (end.secrets() for end in ends)
    assert first == second
    assert first.transcript.hex() == vector["handshake_hash"]
    sealers = [CipherState(first.initiator), CipherState(first.responder)]
    openers = [CipherState(first.initiator), CipherState(first.responder)]
    for number, message in enumerate(vector["messages"][count:], count):
        way = 0 if count == 1 else number % 2
        payload, sealed = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])

        assert sealers[way].seal(payload) == sealed
        assert openers[way].open(sealed) == payload


def _end(vector: dict[str, Any], side: str) -> Handshake:
    def key(name: str) -> bytes | None:
        return bytes.fromhex(vector[f"{side}_{name}"]) if f"{side}_{name}" in vector else None

    ephemeral, static = key("ephemeral"), key("static")
    return Handshake(
        _pattern(vector["protocol_name"].split("_")[1]),
        initiator=side == "init",
        prologue=bytes.fromhex(vector[f"{side}_prologue"]),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{side}_psks", [])],
        static=None if static is None else KeyPair(static),
        peer_static=key("remote_static"),
        draw=lambda size: ephemeral or b"",
    )


def _pattern(name: str) -> Pattern:
    """Return the pattern of that name, its psk modifier applied (chapter 9.4)."""
    base, _, place = name.partition("psk")
    row = next(line for line in PATTERNS.splitlines() if line.split(" ")[0] == base)
    words = row.split()[1:]
    known = (">s" in words and "s") or "", ("<s" in words and "s") or ""
    messages = [part.strip() for part in " ".join(word for word in words if word[0] not in "<>").split("|")]
    if place == "0":
        messages[0] = f"psk {messages[0]}"
    elif place:
        messages[int(place) - 1] += " psk"
    return Pattern(name, tuple(messages), known)


def _published() -> Iterator[dict[str, Any]]:
    beside = Path(__file__).resolve().parents[2] / "shared" / "vectors"
    path = Path(os.environ.get("NETSTRUCTER_VECTORS", beside)) / "noise-25519-chachapoly-sha256.json"
    if not path.is_file():
        pytest.skip("the published Noise vectors are not here: name their folder by NETSTRUCTER_VECTORS")
    yield from json.loads(path.read_text("utf-8"))["vectors"]


def test_both_ends_of_every_pattern_agree() -> None:
    """What can be seen without the published vectors: every token of every pattern is mixed alike by both ends."""
    for name in [line.split()[0] for line in PATTERNS.split("\n") if line]:
        for place in ("", "psk0", "psk1"):
            with case(name + place):
                check_pattern(_pattern(name + place), secret_first=place != "")


def check_pattern(pattern: Pattern, *, secret_first: bool) -> None:
    statics = KeyPair(b"i" * 32), KeyPair(b"r" * 32)
    ends = [
        Handshake(
            pattern,
            initiator=number == 0,
            prologue=b"prologue",
            psks=[b"p" * 32],
            static=statics[number],
            peer_static=statics[1 - number].public if pattern.known[1 - number] else None,
        )
        for number in (0, 1)
    ]
    for number in range(len(pattern.messages)):
        writer, reader = ends if number % 2 == 0 else ends[::-1]
        payload = b"payload %d" % number
        message = writer.write(payload)

        assert reader.read(message) == payload
        assert not secret_first or payload not in message  # a pre-shared key seals from the first message on
    assert ends[0].secrets() == ends[1].secrets()
    assert len(set(ends[0].secrets())) == 4


def test_our_patterns_are_those_of_the_paper() -> None:
    assert _pattern("NNpsk0") == NN_PSK0
    assert _pattern("NXpsk0") == NX_PSK0


@pytest.mark.parametrize("size", [31, 32, 33])
def test_a_name_begins_the_transcript_filled_up_or_hashed(size: int) -> None:
    """Chapter 5.2 of the paper; `Noise_N_25519_ChaChaPoly_SHA256` has 31 bytes."""
    name = b"Noise_NN_25519_ChaChaPoly_SHA256/"[:size]
    symmetric = _Symmetric(name)

    assert symmetric._hash == symmetric._chaining == (name + bytes(32 - size) if size <= 32 else sha256(name).digest())


@pytest.mark.parametrize("short", [0, 1, 31])
def test_a_message_is_at_least_as_long_as_its_keys(short: int) -> None:
    """Without a pre-shared key no tag tells that a first message is short."""
    message = Handshake(NN, initiator=True, prologue=b"").write(b"")

    assert len(message) == 32
    assert Handshake(NN, initiator=False, prologue=b"").read(message) == b""
    with pytest.raises(BadSeal):
        Handshake(NN, initiator=False, prologue=b"").read(message[:short])


# --- two strangers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [NN_PSK0, NX_PSK0, NN, NX], ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("we_start", [True, False])
def test_noiseprotocol_agrees(pattern: Pattern, we_start: bool) -> None:
    _against_noiseprotocol(pattern, we_start, 5)


@pytest.mark.long
@pytest.mark.parametrize("pattern", [NN_PSK0, NX_PSK0], ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("we_start", [True, False])
def test_noiseprotocol_agrees_two_thousand_times(pattern: Pattern, we_start: bool) -> None:
    _against_noiseprotocol(pattern, we_start, 2_000)


def _against_noiseprotocol(pattern: Pattern, we_start: bool, count: int) -> None:
    connection = pytest.importorskip("noise.connection")
    for _ in range(count):
        psk, prologue, static = os.urandom(32), os.urandom(29), os.urandom(32)
        stranger = connection.NoiseConnection.from_name(f"Noise_{pattern.name}_25519_ChaChaPoly_SHA256".encode())
        if pattern in (NN_PSK0, NX_PSK0):
            stranger.set_psks(psk)
        stranger.set_prologue(prologue)
        if we_start:
            stranger.set_as_responder()
            if pattern in (NX, NX_PSK0):
                stranger.set_keypair_from_private_bytes(connection.Keypair.STATIC, static)
        else:
            stranger.set_as_initiator()
        stranger.start_handshake()
        ours = Handshake(pattern, initiator=we_start, prologue=prologue, psks=[psk], static=KeyPair(static))
        payloads = os.urandom(64), os.urandom(64)
        if we_start:
            assert stranger.read_message(ours.write(payloads[0])) == payloads[0]
            assert ours.read(bytes(stranger.write_message(payloads[1]))) == payloads[1]
        else:
            assert ours.read(bytes(stranger.write_message(payloads[0]))) == payloads[0]
            assert stranger.read_message(ours.write(payloads[1])) == payloads[1]
        secrets = ours.secrets()
        send, receive = secrets[:2] if we_start else secrets[1::-1]

        assert stranger.get_handshake_hash() == secrets.transcript
        assert stranger.decrypt(CipherState(send).seal(b"to the stranger")) == b"to the stranger"
        assert CipherState(receive).open(stranger.encrypt(b"from the stranger")) == b"from the stranger"
        if we_start and pattern in (NX, NX_PSK0):
            assert ours.peer_static == KeyPair(static).public


@pytest.mark.parametrize("pattern", [NN_PSK0, NX_PSK0], ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("we_start", [True, False])
def test_dissononce_agrees(pattern: Pattern, we_start: bool) -> None:
    _against_dissononce(pattern, we_start, 5)


@pytest.mark.long
@pytest.mark.parametrize("pattern", [NN_PSK0, NX_PSK0], ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("we_start", [True, False])
def test_dissononce_agrees_two_thousand_times(pattern: Pattern, we_start: bool) -> None:
    _against_dissononce(pattern, we_start, 2_000)


def _against_dissononce(pattern: Pattern, we_start: bool, count: int) -> None:
    pytest.importorskip("dissononce")
    from dissononce.cipher.chachapoly import ChaChaPolyCipher
    from dissononce.dh.x25519.private import PrivateKey
    from dissononce.dh.x25519.x25519 import X25519DH
    from dissononce.hash.sha256 import SHA256Hash
    from dissononce.processing.handshakepatterns.interactive.NN import NNHandshakePattern
    from dissononce.processing.handshakepatterns.interactive.NX import NXHandshakePattern
    from dissononce.processing.impl.cipherstate import CipherState as StrangeCipher
    from dissononce.processing.impl.handshakestate import HandshakeState
    from dissononce.processing.impl.symmetricstate import SymmetricState
    from dissononce.processing.modifiers.psk import PSKPatternModifier

    theirs = NNHandshakePattern() if pattern is NN_PSK0 else NXHandshakePattern()
    for _ in range(count):
        psk, prologue, static = os.urandom(32), os.urandom(29), os.urandom(32)
        stranger = HandshakeState(SymmetricState(StrangeCipher(ChaChaPolyCipher()), SHA256Hash()), X25519DH())
        keys = X25519DH().generate_keypair(PrivateKey(static))
        stranger.initialize(PSKPatternModifier(0).modify(theirs), not we_start, prologue, s=keys, psks=[psk])
        ours = Handshake(pattern, initiator=we_start, prologue=prologue, psks=[psk], static=KeyPair(static))
        payloads = [os.urandom(64), os.urandom(64)]
        read, written = bytearray(), bytearray()
        if we_start:
            stranger.read_message(ours.write(payloads[0]), read)
            ciphers = stranger.write_message(payloads[1], written)
            came = ours.read(bytes(written))

            assert [bytes(read), came] == payloads
        else:
            stranger.write_message(payloads[0], written)
            came = ours.read(bytes(written))
            ciphers = stranger.read_message(ours.write(payloads[1]), read)

            assert [came, bytes(read)] == payloads
        secrets = ours.secrets()

        assert stranger.symmetricstate.get_handshake_hash() == secrets.transcript
        assert ciphers[0].encrypt_with_ad(b"", b"there") == CipherState(secrets.initiator).seal(b"there")
        assert ciphers[1].encrypt_with_ad(b"", b"back") == CipherState(secrets.responder).seal(b"back")


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_public_key_of_low_order_is_refused_by_its_reader_and_by_who_answers_it(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for top in (0, 0x80):  # the bit that X25519 does not look at
        public = bytes.fromhex(point)
        public = public[:-1] + bytes([public[-1] | top])
        with monkeypatch.context() as patch:
            patch.setattr(noise, "KeyPair", lambda private, public=public: Liar(private, public))
            first, _ = _pair(NN_PSK0)
            hello = first.write(b"")
        _, second = _pair(NN_PSK0)
        assert second.read(hello) == b""  # the tag is right: whoever made it holds the key
        with pytest.raises(BadSeal):
            second.write(b"")

        first, second = _pair(NN_PSK0)
        second.read(first.write(b""))
        answer = second.write(b"")
        with pytest.raises(BadSeal):
            first.read(public + answer[32:])


def test_every_flipped_bit_and_truncation_is_refused() -> None:
    for pattern in (NN_PSK0, NX_PSK0):
        first, second = _pair(pattern)
        hello = first.write(b"hello")
        second.read(hello)
        answer = second.write(b"answer")
        for bit in range(len(hello) * 8):
            with pytest.raises(BadSeal):
                _pair(pattern)[1].read(_flip(hello, bit))
        for bit in range(len(answer) * 8):
            first, _ = _pair(pattern)
            first.write(b"hello")
            with pytest.raises(BadSeal):
                first.read(_flip(answer, bit))
        for size in range(len(hello)):
            with pytest.raises(BadSeal):
                _pair(pattern)[1].read(hello[:size])
        for size in range(len(answer)):
            first, _ = _pair(pattern)
            first.write(b"hello")
            with pytest.raises(BadSeal):
                first.read(answer[:size])


@pytest.mark.parametrize("other", [{"psks": [b"q" * 32]}, {"prologue": b"other"}, {"pattern": NX_PSK0}])
def test_another_key_prologue_or_pattern_is_refused(other: dict[str, Any]) -> None:
    first, _ = _pair(NN_PSK0)
    whole: dict[str, Any] = {"pattern": NN_PSK0, "psks": [b"p" * 32], "prologue": b"prologue"} | other
    second = Handshake(whole.pop("pattern"), initiator=False, **whole)
    with pytest.raises(BadSeal):
        second.read(first.write(b""))


def test_out_of_turn_is_misuse() -> None:
    first, second = _pair(NN_PSK0)
    for wrong in (lambda: first.read(b""), lambda: second.write(b""), first.secrets):
        with pytest.raises(Misuse):
            wrong()
    second.read(first.write(b""))
    for wrong in (lambda: first.write(b""), lambda: second.read(b""), second.secrets):
        with pytest.raises(Misuse):
            wrong()
    first.read(second.write(b""))
    for wrong in (lambda: first.write(b""), lambda: second.read(b"")):
        with pytest.raises(Misuse):
            wrong()

    assert first.secrets() == second.secrets()


def test_a_pattern_with_a_static_key_needs_one() -> None:
    first = Handshake(NX_PSK0, initiator=True, prologue=b"", psks=[bytes(32)])
    second = Handshake(NX_PSK0, initiator=False, prologue=b"", psks=[bytes(32)])
    second.read(first.write(b""))
    with pytest.raises(Misuse, match="static key"):
        second.write(b"")
    mixing = Handshake(Pattern("test", ("e se",)), initiator=True, prologue=b"", peer_static=KeyPair(b"s" * 32).public)
    with pytest.raises(Misuse, match="static key"):
        mixing.write(b"")


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_two_runs_share_nothing() -> None:
    seen: set[bytes] = set()
    for _ in range(20):
        first = Handshake(NN_PSK0, initiator=True, prologue=b"", psks=[bytes(32)])
        second = Handshake(NN_PSK0, initiator=False, prologue=b"", psks=[bytes(32)])
        second.read(first.write(b""))
        first.read(second.write(b""))
        seen.update(first.secrets())

    assert len(seen) == 80


@pytest.mark.parametrize(("secret", "info", "expected"), RFC_5869)
def test_expand_is_that_of_the_rfc(secret: str, info: str, expected: str) -> None:
    for length in range(1, len(expected) // 2 + 1):
        assert expand(bytes.fromhex(secret), bytes.fromhex(info), length).hex() == expected[: 2 * length]


def test_expand_ends_where_the_rfc_ends() -> None:
    assert len(expand(bytes(32), b"", 8160)) == 8160
    for length in (-1, 0, 8161):
        with pytest.raises(Misuse):
            expand(bytes(32), b"", length)


def test_a_cipher_counts() -> None:
    sealer = CipherState(b"k" * 32)
    sealed = [sealer.seal(b"same", b"bound") for _ in range(3)]
    opener = CipherState(b"k" * 32)

    assert all(a != b for a, b in pairwise(sealed))
    assert [opener.open(one, b"bound") for one in sealed] == [b"same"] * 3
    with pytest.raises(BadSeal):
        CipherState(b"k" * 32).open(sealed[1], b"bound")
    with pytest.raises(BadSeal):
        CipherState(b"k" * 32).open(sealed[0], b"other")


def test_the_nonces_of_a_cipher_are_those_of_the_paper() -> None:
    """Chapter 12.3: four zero bytes, and the count from 0, little-endian."""
    cipher, aead = CipherState(b"k" * 32), ChaCha20Poly1305(b"k" * 32)

    for count in range(300):
        nonce = bytes(4) + count.to_bytes(8, "little")
        assert cipher.seal(b"plain", b"bound") == aead.encrypt(nonce, b"plain", b"bound")


def test_nothing_secret_is_shown() -> None:
    first, second = _pair(NX_PSK0)
    second.read(first.write(b""))
    first.read(second.write(b""))
    secrets = first.secrets()
    assert repr(secrets) == str(secrets) == "<Secrets>"
    shown = f"{first!r} {first} {secrets!r} {secrets} {CipherState(secrets.export)!r} {KeyPair(b's' * 32)!r}"

    for secret in (*secrets[:3], b"p" * 32, b"s" * 32):
        assert secret.hex()[:8] not in shown
        assert repr(secret)[2:10] not in shown


class Liar(KeyPair):
    """A key pair that shows the public key it likes."""

    def __init__(self, private: bytes, public: bytes) -> None:
        super().__init__(private)
        self.public = public


# --- helpers ----------------------------------------------------------------------------------------------------------


def _pair(pattern: Pattern) -> tuple[Handshake, Handshake]:
    """Return two ends that make the same bytes each time."""
    first, second = (
        Handshake(
            pattern,
            initiator=initiator,
            prologue=b"prologue",
            psks=[b"p" * 32],
            static=None if initiator else KeyPair(b"s" * 32),
            draw=lambda size, initiator=initiator: (b"i" if initiator else b"r") * size,
        )
        for initiator in (True, False)
    )
    return first, second


def _flip(message: bytes, bit: int) -> bytes:
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
