"""The handshake: one hello, one answer.  Floor: PROTOCOL.  Law: no key, no word.  Spec: protocol.md, "Handshake".

    client                                             server
    start_client(...) -> hello, ExpectAnswer
                                   hello 128 ->        ExpectHello(...).receive(hello) -> Agreement, with .answer
    ExpectAnswer.receive(answer)   <- answer 120/168
      -> Agreement

A row of moments: each `Expect...` object holds what that moment knows, takes the bytes of the other end once, and
returns the agreement or raises.  There is no socket and no clock in it.

Inside it is a Noise handshake, NNpsk0 (suite 1) or NXpsk0 (suite 2), whose prologue is the clear start of the hello
and whose payloads are the parameters.  Suites 0x11 and 0x12 are the same two, for records under AES-256-GCM in the
place of Fernet.  The suite is in the prologue: nobody between the two can exchange one for another.

The client knows by the answer's tag that the server holds the key (and in suite 2, its identity).  The server knows by
the hello's tag only that somebody once made it with the key: it may be a recording.  So it says nothing and delivers
nothing until the first record under the new keys verifies.

The server's order of checks spends nothing on strangers: length, the clear 16 bytes, one tag (no Diffie-Hellman yet),
the parameters, and only then the answer.  A key id that it does not know goes the same way, with a key that nobody
has: the same code, the same time, the same refusal.

A refusal is 8 bytes that anybody can forge, a hint: the client reports it and never tries anything weaker because of
it.
"""

from __future__ import annotations

import os
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from netstructer.codec.ciphers import AES_256_GCM, FERNET, Cipher
from netstructer.errors import (
    BadFrame,
    BadSeal,
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
from netstructer.keys import NO_KEY_ID, Key
from netstructer.protocol.noise import NN_PSK0, NX_PSK0, Draw, Handshake, KeyPair, Pattern, expand
from netstructer.protocol.parameters import VERSION, Parameters

__all__ = [
    "BANNED",
    "BUSY",
    "CODE_BYTES",
    "HELLO_BYTES",
    "KEY_NOT_ACCEPTED",
    "MAGIC",
    "SHUTTING_DOWN",
    "SUITES",
    "VERSION_NOT_SPOKEN",
    "Agreement",
    "ExpectAnswer",
    "ExpectHello",
    "Suite",
    "identity_fingerprint",
    "refusal",
    "start_client",
    "suite_of",
]

HELLO_BYTES = 128
CODE_BYTES = 8
"""The start of an answer, and the whole of a refusal."""

GO_ON = 0
VERSION_NOT_SPOKEN = 1
KEY_NOT_ACCEPTED = 2
BUSY = 3
SHUTTING_DOWN = 4
BANNED = 5

MAGIC = b"NSTR"
_CLEAR = Struct(">4sBBH")
_CLEAR_BYTES = 16
_STRANGERS_KEY = Key.generate()
"""What a hello with an unknown key id is tried with: drawn when the process starts, told to nobody."""


class Suite(NamedTuple):
    """What a hello asks for by one byte."""

    pattern: Pattern
    answer_bytes: int
    cipher: Cipher

    @property
    def proves_identity(self) -> bool:
        """Whether the server has to prove a static key."""
        return self.pattern is NX_PSK0


SUITES = {
    0x01: Suite(NN_PSK0, 120, FERNET),
    0x02: Suite(NX_PSK0, 168, FERNET),
    0x11: Suite(NN_PSK0, 120, AES_256_GCM),
    0x12: Suite(NX_PSK0, 168, AES_256_GCM),
}
"""By their bytes.  3 is reserved."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Agreement:
    """What both ends know once the handshake is done.  Shows no secret."""

    send_secret: bytes
    """The first traffic secret of what this end sends, 32 bytes: for a `Ratchet`."""
    receive_secret: bytes
    """The first traffic secret of what the peer sends."""
    export_secret: bytes
    binding: bytes
    """32 public bytes that only this handshake has, the same at both ends: the transcript's hash."""
    suite: int
    features: int
    """The features of both ends."""
    peer: Parameters
    key_id: bytes
    user: str | None = None
    """At a server: the user that the key belongs to, if it belongs to one."""
    identity: bytes | None = None
    """In suites 2 and 0x12: the server's static public key, 32 bytes."""
    answer: bytes = b""
    """At a server: what to send now."""

    @property
    def cipher(self) -> Cipher:
        """What seals the records of this transport."""
        return SUITES[self.suite].cipher

    def export(self, label: bytes, length: int) -> bytes:
        """Return secret bytes for another use than this link's records, the same at both ends, apart for each label."""
        return expand(self.export_secret, b"ns1 exp " + label, length)

    def __repr__(self) -> str:
        whose = "" if self.user is None else f" of {self.user!r}"
        return f"<Agreement in suite {self.suite}, key {self.key_id.hex()}{whose}>"


def start_client(
    key: Key,
    parameters: Parameters,
    *,
    server_identity: bytes | str | None = None,
    suite: int = 1,
    anonymous: bool = False,
    draw: Draw = os.urandom,
) -> tuple[bytes, ExpectAnswer]:
    """Return the hello, 128 bytes, and what awaits its answer.

    The hello names its key by `key.key_id`, which lets an eavesdropper tell that two hellos have one key.  `anonymous`
    sends zeros instead, which only a server with a single key can accept.  Suites 2 and 0x12 ask the server to prove
    its identity; `server_identity`, its static public key or the fingerprint of that, says which it must be.  Raises
    `Misuse` for a suite that is none, and for a server identity in suites 1 and 0x11, which could not prove it.
    """
    if suite not in SUITES or (server_identity is not None and not SUITES[suite].proves_identity):
        raise Misuse("expected suite 1 or 0x11, or suite 2 or 0x12 with or without a server identity")
    key_id = NO_KEY_ID if anonymous else key.key_id
    clear = _CLEAR.pack(MAGIC, VERSION, suite, 0) + key_id
    noise = Handshake(SUITES[suite].pattern, initiator=True, prologue=_prologue(clear), psks=[key.psk], draw=draw)
    hello = clear + noise.write(parameters.pack())
    pinned = identity_fingerprint(server_identity) if isinstance(server_identity, bytes) else server_identity
    return hello, ExpectAnswer(noise, parameters, suite=suite, key_id=key_id, pinned=pinned)


class ExpectAnswer:
    """The client, its hello sent.  `start_client` makes it."""

    __slots__ = ("_key_id", "_noise", "_own", "_pinned", "_suite")

    def __init__(self, noise: Handshake, own: Parameters, *, suite: int, key_id: bytes, pinned: str | None) -> None:
        self._noise = noise
        self._own = own
        self._suite = suite
        self._key_id = key_id
        self._pinned = pinned

    def needed(self, received: bytes) -> int:
        """Return how many bytes the answer has, as far as `received`, its start, tells: 8, or 120 or 168.

        Wait for that many, ask again, and give them to `receive` once the figure stays.
        """
        go_on = received[:CODE_BYTES] == _CLEAR.pack(MAGIC, VERSION, self._suite, GO_ON)
        return SUITES[self._suite].answer_bytes if go_on else CODE_BYTES

    def receive(self, answer: bytes) -> Agreement:
        """Return the agreement.

        Raises `NotNetstructer` for what is no answer at all, `BadFrame` for a wrong length, `KeyRefused` where the
        server says that it does not accept the key or cannot prove that it holds it, `VersionMismatch`, `Downgrade`,
        `Busy` (full, or shutting down), `Banned`, `IdentityChanged`, and `IllegalFrame` for parameters or a code that
        make no sense.
        """
        if answer[: len(MAGIC)] != MAGIC:
            raise NotNetstructer("what answered does not speak netstructer")
        if len(answer) != self.needed(answer):
            raise BadFrame(f"expected an answer of {self.needed(answer)} bytes, found {len(answer)}")
        if len(answer) == CODE_BYTES:
            raise self._refused(answer)
        try:
            packed = self._noise.read(answer[CODE_BYTES:])
        except BadSeal:
            raise KeyRefused("the server does not hold this key, or its answer was changed on the way") from None
        identity = self._noise.peer_static
        if self._pinned is not None and (found := identity_fingerprint(identity or b"")) != self._pinned:
            raise IdentityChanged("the server is not the one that was pinned", expected=self._pinned, found=found)
        peer = Parameters.unpack(packed, of_server=True)
        _agree_on_version(self._own, peer)
        secrets = self._noise.secrets()
        return Agreement(
            send_secret=secrets.initiator,
            receive_secret=secrets.responder,
            export_secret=secrets.export,
            binding=secrets.transcript,
            suite=self._suite,
            features=self._own.features & peer.features,
            peer=peer,
            key_id=self._key_id,
            identity=identity,
        )

    def _refused(self, answer: bytes) -> NetstructerError:
        _, version, suite, code = _CLEAR.unpack(answer)
        if version != VERSION or code == VERSION_NOT_SPOKEN:
            spoken = f"version {VERSION} with suite {self._suite}"
            return VersionMismatch(f"the server does not speak {spoken} (it answers in version {version})")
        if suite or code not in _REFUSALS:
            return IllegalFrame(f"expected an answer in suite {self._suite}, found suite {suite} with code {code}")
        return _REFUSALS[code]()


class ExpectHello:
    """The server, a transport accepted.

    `identity` is the server's static key pair, for those clients that ask for its proof; `ciphers` are what they may
    ask for.  `strangers` is the key that unknown key ids are tried with, a random one for the life of the process.
    """

    __slots__ = ("_answer", "_ciphers", "_draw", "_identity", "_own", "_ring", "_strangers")

    def __init__(
        self,
        ring: KeyRing,
        parameters: Parameters,
        *,
        identity: KeyPair | None = None,
        ciphers: tuple[Cipher, ...] = (FERNET,),
        draw: Draw = os.urandom,
        strangers: Key = _STRANGERS_KEY,
    ) -> None:
        self._ring = ring
        self._own = parameters
        self._identity = identity
        self._ciphers = ciphers
        self._draw = draw
        self._strangers = strangers
        self._answer = b""

    @property
    def answer(self) -> bytes:
        """What to send once `receive` has returned or raised: the answer, a refusal of 8 bytes, or nothing."""
        return self._answer

    def receive(self, hello: bytes) -> Agreement:
        """Return the agreement; its `answer` is what to send.

        Raises `BadFrame` for a wrong length, `NotNetstructer`, `VersionMismatch` for a version or suite that is not
        spoken here, `Downgrade`, `IllegalFrame` for a clear field or parameters that make no sense, and `KeyRefused`,
        the same for an unknown key, a wrong tag and a public key of low order.  `self.answer` then holds the refusal
        to send; there is none for what is no hello at all.
        """
        if len(hello) != HELLO_BYTES:
            raise BadFrame(f"expected a hello of {HELLO_BYTES} bytes, found {len(hello)}")
        magic, version, suite, zero = _CLEAR.unpack_from(hello)
        if magic != MAGIC:
            raise NotNetstructer("what connected does not speak netstructer")
        self._answer = refusal(VERSION_NOT_SPOKEN)
        asked = SUITES.get(suite)
        if version != VERSION or asked is None or not self._speaks(asked):
            raise VersionMismatch(f"the client asks for version {version} with suite {suite}, which is not spoken here")
        if zero:
            raise IllegalFrame("expected zero in bytes 6 and 7 of a hello")
        clear, sealed = hello[:_CLEAR_BYTES], hello[_CLEAR_BYTES:]
        found = self._ring.lookup(clear[8:])
        key, user = (self._strangers, None) if found is None else found
        noise = Handshake(
            asked.pattern,
            initiator=False,
            prologue=_prologue(clear),
            psks=[key.psk],
            static=self._identity,
            draw=self._draw,
        )
        try:
            packed = noise.read(sealed)
            if found is None:
                raise BadSeal("nobody holds the key that strangers are tried with")
            peer = Parameters.unpack(packed, of_server=False)
            _agree_on_version(self._own, peer)
            answer = _CLEAR.pack(MAGIC, VERSION, suite, GO_ON) + noise.write(self._own.pack())
        except BadSeal:
            self._answer = refusal(KEY_NOT_ACCEPTED)
            raise KeyRefused(f"the hello does not prove a key of this server (key id {clear[8:].hex()})") from None
        self._answer = answer
        secrets = noise.secrets()
        return Agreement(
            send_secret=secrets.responder,
            receive_secret=secrets.initiator,
            export_secret=secrets.export,
            binding=secrets.transcript,
            suite=suite,
            features=self._own.features & peer.features,
            peer=peer,
            key_id=key.key_id,
            user=user,
            identity=self._identity.public if asked.proves_identity and self._identity is not None else None,
            answer=answer,
        )

    def _speaks(self, suite: Suite) -> bool:
        return suite.cipher in self._ciphers and (self._identity is not None or not suite.proves_identity)


def suite_of(cipher: Cipher, *, identity: bool) -> int:
    """Return the suite with records under that cipher, in which the server proves an identity or does not."""
    return next(byte for byte, suite in SUITES.items() if (suite.cipher, suite.proves_identity) == (cipher, identity))


def refusal(code: int) -> bytes:
    """Return the 8 bytes that say why there will be no link, and no more than that."""
    return _CLEAR.pack(MAGIC, VERSION, 0, code)


def identity_fingerprint(public: bytes) -> str:
    """Return what may be shown and compared of a server's static public key: `ns1:` and 32 letters."""
    return "ns1:" + b32encode(sha256(public).digest()[:20]).decode().lower()


_REFUSALS: dict[int, Callable[[], NetstructerError]] = {
    KEY_NOT_ACCEPTED: lambda: KeyRefused("the server does not accept this key"),
    BUSY: lambda: Busy("the server takes no more links now"),
    SHUTTING_DOWN: lambda: Busy("the server is shutting down"),
    BANNED: lambda: Banned("the server does not talk to this address, or to the holder of this key"),
}


def _prologue(clear: bytes) -> bytes:
    return b"netstructer/1" + clear


def _agree_on_version(own: Parameters, peer: Parameters) -> None:
    """Refuse to speak an older version than both ends could: somebody between them asked for it."""
    best = min(own.max_version, peer.max_version)
    if best > VERSION:
        raise Downgrade(f"both ends speak version {best}, the hello asks for {VERSION}")
