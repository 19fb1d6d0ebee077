"""A second reader of hello and answer, made from docs/protocol.md alone: what comes of them, or `Refused`.

Law: nothing of netstructer is imported here.  Noise is spelled out below, as far as two patterns of one message each
way need it.  What a server would send back is part of what came: an answer, a refusal, or nothing.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from struct import unpack
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from reader_structs import Refused, expect

HELLO, REFUSAL, ANSWERS = 128, 8, {0: 120, 1: 168}
PATTERNS = {0: b"Noise_NNpsk0_25519_ChaChaPoly_SHA256", 1: b"Noise_NXpsk0_25519_ChaChaPoly_SHA256"}
SUITES = {0x01: 0, 0x02: 1, 0x11: 0, 0x12: 1}
"""Whether the server proves its identity."""
PUBLISHED = "Tq_hBOzVozSYvyX8cvvqGZrmzkgaGssB99-azrqCleg="
BOUNDS = {  # of the parameters: where, how many bytes, from, to, and whether zero stands for a default
    "body_bytes": (4, 4, 1 << 10, 1 << 20, False),
    "message_bytes": (8, 8, 1 << 10, 1 << 62, False),
    "credit_bytes": (16, 4, 1 << 16, (1 << 32) - 1, False),
    "ping": (20, 4, 10, 86_400_000, False),
    "dead": (24, 4, 30, 86_400_000, False),
    "value_items": (28, 4, 16, (1 << 32) - 1, True),
    "value_bytes": (48, 8, 1 << 10, 1 << 62, True),
    "value_depth": (56, 2, 1, 1000, True),
    "unseeded_members": (58, 2, 1, (1 << 16) - 1, True),
    "int_bits": (60, 1, 7, 31, True),
    "decimal_digits": (61, 1, 6, 31, True),
    "decimal_exponent": (62, 1, 6, 31, True),
    "streams": (63, 1, 2, 17, True),
}


class Agreed(NamedTuple):
    """What both ends have after a handshake."""

    c2s: bytes
    s2c: bytes
    export: bytes
    binding: bytes


def digest(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, sha256)


def read_key(text: str) -> bytes:
    """Return the 32 bytes of a key."""
    expect(len(text) == 44 and text.isascii(), "44 characters", "InvalidKey")
    try:
        raw = urlsafe_b64decode(text)
    except ValueError:
        raise Refused("InvalidKey", "base64") from None
    expect(urlsafe_b64encode(raw).decode() == text, "one spelling", "InvalidKey")
    expect(len({*raw}) > 1 and text != PUBLISHED, "a key is random, and secret", "InvalidKey")
    return raw


def derived(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 without salt, for at most 32 bytes."""
    return digest(digest(bytes(32), key), info + b"\1")[:size]


def read_parameters(parameters: bytes, own: bytes, *, of_server: bool) -> None:
    """Check what the other end states, `own` being what this end does."""
    least, greatest = parameters[0], parameters[1]
    expect(least <= 1 <= greatest, "versions that include 1", "VersionMismatch")
    for name, (at, size, low, high, default) in BOUNDS.items():
        figure = int.from_bytes(parameters[at : at + size])
        expect(low <= figure <= high or (default and not figure), f"the bounds of {name}", "IllegalFrame")
    expect(parameters[24:28] > parameters[20:24], "who is dead was pinged before", "IllegalFrame")
    expect(any(parameters[32:48]) == of_server, "a server has an instance, and a client none", "IllegalFrame")
    expect(min(greatest, own[1]) == 1, "version 1 is the best that both speak", "Downgrade")


class Noise:
    """Both ends' view of the handshake: a chaining key, a transcript, and the key of the next seal."""

    def __init__(self, psk: bytes, start: bytes) -> None:
        self.chain = self.transcript = sha256(PATTERNS[SUITES[start[5]]]).digest()
        self.mix_hash(b"netstructer/1" + start[:16])
        mixed = self.mix(psk, 3)
        self.mix_hash(mixed[0])
        self.key, self.count = mixed[1], 0

    def mix_hash(self, data: bytes) -> None:
        self.transcript = sha256(self.transcript + data).digest()

    def mix(self, material: bytes, outputs: int) -> list[bytes]:
        """HKDF of Noise: the first output is the next chaining key, the others are returned."""
        secret, found = digest(self.chain, material), [b""]
        for number in range(1, outputs + 1):
            found.append(digest(secret, found[-1] + bytes([number])))
        self.chain = found[1]
        return found[2:]

    def mix_key(self, material: bytes) -> None:
        self.key, self.count = self.mix(material, 2)[0], 0

    def ephemeral(self, public: bytes) -> None:
        self.mix_hash(public)
        self.mix_key(public)

    def exchange(self, private: bytes, public: bytes) -> None:
        try:
            self.mix_key(
                X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
            )
        except ValueError:
            raise Refused("KeyRefused", "a public key of low order") from None

    def seal(self, plain: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self.key).encrypt(self._nonce(), plain, self.transcript)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(self._nonce(), sealed, self.transcript)
        except InvalidTag:
            raise Refused("KeyRefused", "a tag") from None
        self.mix_hash(sealed)
        return plain

    def _nonce(self) -> bytes:
        self.count += 1
        return bytes(4) + (self.count - 1).to_bytes(8, "little")

    def agreed(self) -> Agreed:
        found, secret = [b""], digest(self.chain, b"")
        for number in (1, 2, 3):
            found.append(digest(secret, found[-1] + bytes([number])))
        return Agreed(found[1], found[2], found[3], self.transcript)


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


class Server:
    """Who hears a hello: `answer` is what it sends back."""

    def __init__(
        self, key: str, parameters: bytes, ephemeral: bytes, identity: bytes | None = None, *, gcm: bool = False
    ) -> None:
        self.suites = {suite for suite in SUITES if (gcm or suite < 0x10) and (identity or not SUITES[suite])}
        self.key, self.parameters, self.ephemeral, self.identity = read_key(key), parameters, ephemeral, identity
        self.answer = b""

    def hear(self, hello: bytes) -> Agreed:
        expect(len(hello) == HELLO, "128 bytes", "BadFrame")
        expect(hello[:4] == b"NSTR", "the magic", "NotNetstructer")
        try:
            return self._hear(hello)
        except Refused as refused:
            self.answer = b"NSTR\1\0\0" + (b"\2" if refused.name == "KeyRefused" else b"\1")
            raise

    def _hear(self, hello: bytes) -> Agreed:
        expect(hello[4] == 1 and hello[5] in self.suites, "version, suite", "VersionMismatch")
        expect(hello[6:8] == bytes(2), "the spare bytes are zero", "IllegalFrame")
        known = (derived(self.key, b"netstructer/1 key id", 8), bytes(8))
        expect(hello[8:16] in known, "the key is known", "KeyRefused")
        noise = Noise(derived(self.key, b"netstructer/1 psk", 32), hello[:16])
        noise.ephemeral(hello[16:48])
        read_parameters(noise.open(hello[48:]), self.parameters, of_server=False)
        answer = b"NSTR\1" + hello[5:6] + bytes(2) + public_of(self.ephemeral)
        noise.ephemeral(answer[8:])
        noise.exchange(self.ephemeral, hello[16:48])
        if SUITES[hello[5]] and self.identity:
            answer += noise.seal(public_of(self.identity))
            noise.exchange(self.identity, hello[16:48])
        self.answer = answer + noise.seal(self.parameters)
        return noise.agreed()


class Client:
    """Who says a hello, and hears what comes back."""

    def __init__(self, key: str, parameters: bytes, ephemeral: bytes, suite: int, pinned: bytes | None = None) -> None:
        secret = read_key(key)
        self.parameters, self.ephemeral, self.suite, self.pinned = parameters, ephemeral, suite, pinned
        start = b"NSTR\1" + bytes([suite, 0, 0]) + derived(secret, b"netstructer/1 key id", 8)
        self.noise = Noise(derived(secret, b"netstructer/1 psk", 32), start)
        self.noise.ephemeral(public_of(ephemeral))
        self.hello = start + public_of(ephemeral) + self.noise.seal(parameters)

    def hear(self, answer: bytes) -> Agreed:
        expect(answer[:4] == b"NSTR", "the magic", "NotNetstructer")
        goes_on = answer[4:8] == bytes([1, self.suite, 0, 0])
        expect(len(answer) == (ANSWERS[SUITES[self.suite]] if goes_on else REFUSAL), "its length", "BadFrame")
        if not goes_on:
            version, suite, code = unpack(">BBH", answer[4:])
            expect(version == 1 and code != 1, "version 1", "VersionMismatch")
            expect(suite == 0 and code in (2, 3, 4, 5), "a refusal with a known code", "IllegalFrame")
            raise Refused({2: "KeyRefused", 5: "Banned"}.get(code, "Busy"), "the server refuses")
        self.noise.ephemeral(answer[8:40])
        self.noise.exchange(self.ephemeral, answer[8:40])
        if SUITES[self.suite]:
            identity = self.noise.open(answer[40:88])
            self.noise.exchange(self.ephemeral, identity)
        parameters = self.noise.open(answer[-80:])
        expect(not SUITES[self.suite] or self.pinned in (None, identity), "the pinned identity", "IdentityChanged")
        read_parameters(parameters, self.parameters, of_server=True)
        return self.noise.agreed()
