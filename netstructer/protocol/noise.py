"""Noise: handshakes of the Noise Protocol Framework, revision 34.  Floor: PROTOCOL.  Law: no pattern of our own.

One suite: 25519, ChaChaPoly, SHA256.  The primitives are cryptography's; what is here is the bookkeeping of the paper,
chapter by chapter: `CipherState` (5.1), the symmetric state (5.2) and the handshake state (5.3).  The two patterns
that netstructer speaks are at the end; the engine reads any pattern written as the paper writes them, and the tests
prove it on the published vectors of fifty-nine, and against two other libraries.

What can go wrong with a message that came in is one error, `BadSeal`: too short, a tag that does not verify, or a
public key of low order (whose shared secret would be zeros, which anybody knows).  After it the handshake must be
dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from netstructer.errors import BadSeal, Misuse

__all__ = ["NN_PSK0", "NX_PSK0", "CipherState", "Handshake", "KeyPair", "Pattern", "Secrets", "expand"]

KEY_BYTES = 32
TAG_BYTES = 16
EXPAND_BYTES = 255 * 32

Draw = Callable[[int], bytes]


class Pattern(NamedTuple):
    """A handshake pattern: its name, and each message's tokens, the initiator's first.

    `known` are the tokens of the pre-messages, initiator's and responder's: the public keys that the other end has
    already.
    """

    name: str
    messages: tuple[str, ...]
    known: tuple[str, str] = ("", "")


class Secrets(NamedTuple):
    """What a finished handshake leaves: one secret per direction, one to export from, and the transcript's hash."""

    initiator: bytes
    responder: bytes
    export: bytes
    transcript: bytes

    def __repr__(self) -> str:
        return "<Secrets>"


class KeyPair:
    """An X25519 key pair, from 32 private bytes.  Shows no private key."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = self._private.public_key().public_bytes_raw()

    def shared(self, public: bytes) -> bytes:
        """Return the secret that the holder of `public` computes too.  Raises `BadSeal` for a point of low order."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # the secret would be all zeros
            raise _bad_seal() from None


class CipherState:
    """A key and its counter (5.1).  Shows no key."""

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def seal(self, plain: bytes, bound: bytes = b"") -> bytes:
        """Return `plain` sealed, 16 bytes longer, with `bound` under the same tag."""
        return self._aead.encrypt(self._nonce(), plain, bound)

    def open(self, sealed: bytes, bound: bytes = b"") -> bytes:
        """Return what `seal` was given.  Raises `BadSeal`."""
        try:
            return self._aead.decrypt(self._nonce(), sealed, bound)
        except InvalidTag:
            raise _bad_seal() from None

    def _nonce(self) -> bytes:
        nonce = bytes(4) + self._count.to_bytes(8, "little")
        self._count += 1
        return nonce


class Handshake:
    """One run of a pattern: `write` and `read` in turn, the initiator writing first, then `secrets()`.

    `psks` are the pre-shared keys in the order of the pattern; `static` is this end's key pair, where the pattern
    has an "s" for it; `peer_static` the peer's public key, where the pattern says it is known.  `draw` gives the
    ephemeral private key: 32 bytes of the operating system's chance, or of a test.  Shows no key.
    """

    __slots__ = (
        "_draw",
        "_initiator",
        "_messages",
        "_own",
        "_peer",
        "_psks",
        "_symmetric",
        "_turn",
        "_with_psk",
    )

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        psks: Iterable[bytes] = (),
        static: KeyPair | None = None,
        peer_static: bytes | None = None,
        draw: Draw = os.urandom,
    ) -> None:
        self._initiator = initiator
        self._messages = pattern.messages
        self._with_psk = any("psk" in message for message in pattern.messages)
        self._psks = list(psks)
        self._own: dict[str, KeyPair] = {} if static is None else {"s": static}
        self._peer: dict[str, bytes] = {} if peer_static is None else {"s": peer_static}
        self._draw = draw
        self._turn = 0
        self._symmetric = _Symmetric(f"Noise_{pattern.name}_25519_ChaChaPoly_SHA256".encode())
        self._symmetric.mix_hash(prologue)
        for end, known in zip((True, False), pattern.known, strict=True):
            if known:
                self._symmetric.mix_hash(self._pair(known).public if end == initiator else self._peer[known])

    @property
    def peer_static(self) -> bytes | None:
        """The peer's static public key, once it is known."""
        return self._peer.get("s")

    def write(self, payload: bytes) -> bytes:
        """Return the next message, carrying `payload`.  Raises `BadSeal` where the peer's public key is of low
        order.
        """
        parts = []
        for token in self._next(writing=True):
            if token == "e":
                self._own["e"] = KeyPair(self._draw(KEY_BYTES))
                parts.append(self._mix_ephemeral(self._own["e"].public))
            elif token == "s":
                parts.append(self._symmetric.seal(self._pair(token).public))
            else:
                self._mix(token)
        parts.append(self._symmetric.seal(payload))
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the peer's next message.  Raises `BadSeal`."""
        at = 0
        for token in self._next(writing=False):
            if token == "e":
                self._peer["e"] = self._mix_ephemeral(_cut(message, at, KEY_BYTES))
                at += KEY_BYTES
            elif token == "s":
                size = KEY_BYTES + self._symmetric.tag_bytes
                self._peer["s"] = self._symmetric.open(_cut(message, at, size))
                at += size
            else:
                self._mix(token)
        return self._symmetric.open(message[at:])

    def secrets(self) -> Secrets:
        """Return what both ends now share.  Raises `Misuse` before the last message."""
        if self._turn != len(self._messages):
            raise Misuse("the handshake is not finished")
        return self._symmetric.secrets()

    def _next(self, *, writing: bool) -> list[str]:
        if self._turn >= len(self._messages) or (self._turn % 2 == 0) != (writing == self._initiator):
            raise Misuse("not this end's turn in the handshake")
        tokens = self._messages[self._turn].split()
        self._turn += 1
        return tokens

    def _mix_ephemeral(self, public: bytes) -> bytes:
        self._symmetric.mix_hash(public)
        if self._with_psk:  # 9.2: with a pre-shared key, the ephemeral randomises every key that comes of it
            self._symmetric.mix_key(public)
        return public

    def _mix(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(self._psks.pop(0))
            return
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        self._symmetric.mix_key(self._pair(ours).shared(self._peer[theirs]))

    def _pair(self, token: str) -> KeyPair:
        if token not in self._own:
            raise Misuse("the pattern needs a static key")
        return self._own[token]


class _Symmetric:
    """The chaining key, the transcript's hash, and the cipher once there is one (5.2)."""

    __slots__ = ("_chaining", "_cipher", "_hash")

    def __init__(self, name: bytes) -> None:
        self._hash = name.ljust(32, b"\0") if len(name) <= 32 else _sha256(name)
        self._chaining = self._hash
        self._cipher: CipherState | None = None

    @property
    def tag_bytes(self) -> int:
        return 0 if self._cipher is None else TAG_BYTES

    def mix_hash(self, public: bytes) -> None:
        self._hash = _sha256(self._hash + public)

    def mix_key(self, secret: bytes) -> None:
        self._chaining, key = _hkdf(self._chaining, secret, 2)
        self._cipher = CipherState(key)

    def mix_key_and_hash(self, psk: bytes) -> None:
        self._chaining, mixed, key = _hkdf(self._chaining, psk, 3)
        self.mix_hash(mixed)
        self._cipher = CipherState(key)

    def seal(self, plain: bytes) -> bytes:
        sealed = plain if self._cipher is None else self._cipher.seal(plain, self._hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plain = sealed if self._cipher is None else self._cipher.open(sealed, self._hash)
        self.mix_hash(sealed)
        return plain

    def secrets(self) -> Secrets:
        # The first two are Split(); the third goes one step further along the same HKDF.
        initiator, responder, export = _hkdf(self._chaining, b"", 3)
        return Secrets(initiator, responder, export, self._hash)


def expand(secret: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-Expand of RFC 5869 with SHA-256: `length` bytes that belong to `info` alone and do not tell `secret`.

    Raises `Misuse` for more than 8,160 bytes, which is where the RFC ends.
    """
    if not 0 < length <= EXPAND_BYTES:
        raise Misuse(f"expected a length from 1 to {EXPAND_BYTES}, found {length}")
    return HKDFExpand(SHA256(), length, info).derive(secret)


def _hkdf(chaining: bytes, secret: bytes, count: int) -> list[bytes]:
    """Return `count` outputs of the paper's HKDF (4.3)."""
    temporary = _hmac(chaining, secret)
    outputs: list[bytes] = []
    last = b""
    for number in range(1, count + 1):
        last = _hmac(temporary, last + bytes([number]))
        outputs.append(last)
    return outputs


def _hmac(key: bytes, message: bytes) -> bytes:
    signer = HMAC(key, SHA256())
    signer.update(message)
    return signer.finalize()


def _sha256(message: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(message)
    return digest.finalize()


def _cut(message: bytes, at: int, size: int) -> bytes:
    if len(message) < at + size:
        raise _bad_seal()
    return message[at : at + size]


def _bad_seal() -> BadSeal:
    return BadSeal("a handshake message does not verify")


NN_PSK0 = Pattern("NNpsk0", ("psk e", "e ee"))
"""A pre-shared key proves both ends.  Suite 1."""
NX_PSK0 = Pattern("NXpsk0", ("psk e", "e ee s es"))
"""The same, and the responder proves a static key of its own.  Suite 2."""
