"""Passwords: Argon2id, and how much of it a process does at once.  Floor: SERVICES.  Law: no password is kept or shown.

Docs: docs/accounts.md.  A password is kept as a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`: read
strictly, and its parameters are held to bounds before anything is computed, because a file that was tampered with could
ask for 4 GiB.  Argon2id costs memory on purpose, so a gate lets in as many at once as there are processors; a few more
wait, and the rest is told `Busy` at once.  It comes from `cryptography`, which has it from version 44 on, where OpenSSL
is 3.2 or later; it lets other threads run meanwhile.

A password is text; it is brought to one spelling (NFC), because keyboards differ in how they write é, and then is at
most 1,024 bytes of UTF-8, which is looked at before anything else is done.  From there on it travels as a
`HiddenPassword`, which has no face: a traceback that prints locals finds none in the frames of this package.
"""

from __future__ import annotations

import hmac
import os
import re
import time
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from netstructer.errors import MissingDependency, Misuse, PasswordRefused, StoreDamaged
from netstructer.services.gate import Gate

__all__ = ["DEFAULT", "STRONG", "HiddenPassword", "Parameters", "Passwords"]

PASSWORD_BYTES = 1024
"""Of a password: longer than any phrase that is typed, and nothing to hash for whoever sends megabytes."""
MOST_MEMORY_KIB, MOST_PASSES, MOST_LANES = 256 << 10, 10, 8
"""Of what a PHC string may ask for: 256 MiB, ten times over."""
SALT_BYTES, DIGEST_BYTES = 16, 32
"""What RFC 9106 says to take; others are read, between 8 and 64."""
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9])\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})"
)


class HiddenPassword:
    """A password on its way through here; what cannot be one is told by `require`, where it is not to be seen."""

    __slots__ = ("_fault", "_text", "plain")

    def __init__(self, password: str) -> None:
        self._fault = _fault_of(password)
        self._text = "" if self._fault else unicodedata.normalize("NFC", password)
        self.plain = self._text.encode()
        """What is hashed; nothing where there is a fault."""
        if len(self.plain) > PASSWORD_BYTES:
            self._fault = f"expected a password of 1 to {PASSWORD_BYTES} bytes"

    @classmethod
    def of(cls, password: str | HiddenPassword) -> HiddenPassword:
        """Hide a password, unless it is hidden."""
        return password if isinstance(password, HiddenPassword) else cls(password)

    @property
    def fault(self) -> str:
        """Why it cannot be a password, or nothing."""
        return self._fault

    @property
    def text(self) -> str:
        """The password, in NFC."""
        return self._text

    def require(self) -> HiddenPassword:
        """Return itself, or raise `PasswordRefused` where it cannot be a password."""
        if self._fault:
            raise PasswordRefused(self._fault)
        return self

    def __repr__(self) -> str:
        return "<a password>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a password is not pickled")


def _fault_of(password: object) -> str:
    if not isinstance(password, str):
        return f"expected a password as text, found a {type(password).__name__}"
    if not 0 < len(password) <= PASSWORD_BYTES:  # a character takes a byte at least
        return f"expected a password of 1 to {PASSWORD_BYTES} bytes"
    if any("\ud800" <= character <= "\udfff" for character in password):
        return "expected a password as text, found what is no Unicode"
    return ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one computation costs: memory in KiB, passes over it, and lanes.  Raises `Misuse` beyond the bounds."""

    memory_kib: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        within = (
            8 * self.lanes <= self.memory_kib <= MOST_MEMORY_KIB
            and 1 <= self.passes <= MOST_PASSES
            and 1 <= self.lanes <= MOST_LANES
        )
        if not within:
            raise Misuse(
                f"expected at most {MOST_MEMORY_KIB} KiB, {MOST_PASSES} passes and {MOST_LANES} lanes, "
                f"and 8 KiB for each lane, found {self.memory_kib} KiB, {self.passes} and {self.lanes}"
            )

    def is_weaker_than(self, other: Parameters) -> bool:
        """Say whether the other costs more memory or more passes; lanes only share them out."""
        return self.memory_kib < other.memory_kib or self.passes < other.passes


DEFAULT = Parameters(19 << 10, 2, 1)
"""19 MiB, twice: OWASP's least, about 18 ms of a processor.  A server may have many logins at once."""
STRONG = Parameters(64 << 10, 3, 4)
"""64 MiB, three times, four lanes: RFC 9106's second choice, about 120 ms."""
PROFILES = {"default": DEFAULT, "strong": STRONG}


class Passwords:
    """How passwords are kept, and the gate before it.  Thread-safe.

    `parameters` are for new ones, by a profile's name ("default", "strong") or one's own.  `draw` gives salts.
    """

    def __init__(
        self,
        parameters: Parameters | str = DEFAULT,
        *,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if isinstance(parameters, str):
            if parameters not in PROFILES:
                raise Misuse(f"expected one of the profiles {', '.join(PROFILES)}, or parameters of one's own")
            parameters = PROFILES[parameters]
        self.parameters = parameters
        self.gate = gate or Gate(places=os.cpu_count() or 1, clock=clock)
        self._draw = draw
        self._nobodys_salt = os.urandom(SALT_BYTES)
        _argon2id()  # here, and not at the first login

    def hash(self, password: str | HiddenPassword) -> str:
        """Return the PHC string to keep.  Raises `PasswordRefused` for what cannot be one, `Busy`."""
        hidden, salt = HiddenPassword.of(password), self._draw(SALT_BYTES)
        del password
        digest = self._derive(hidden, salt, self.parameters, DIGEST_BYTES)
        of = self.parameters
        return f"$argon2id$v=19$m={of.memory_kib},t={of.passes},p={of.lanes}${_base64(salt)}${_base64(digest)}"

    def verify(self, phc: str, password: str | HiddenPassword) -> bool:
        """Say whether a PHC string is a password's.

        Raises `PasswordRefused` for what cannot be a password, `StoreDamaged` for what is no PHC string, or asks for
        more than the bounds, and `Busy`.
        """
        hidden = HiddenPassword.of(password)
        del password
        parameters, salt, digest = _parse(phc)
        found = self._derive(hidden, salt, parameters, len(digest))
        return hmac.compare_digest(found, digest)

    def verify_nobodys(self, password: str | HiddenPassword, *, like: str | None = None) -> bool:
        """Do for a name that is nobody's what `verify` does for a name that is somebody's; return False.

        `like` is a PHC string whose parameters it takes.  Raises what `verify` raises.
        """
        hidden = HiddenPassword.of(password)
        del password
        parameters, length = self.parameters, DIGEST_BYTES
        if like is not None:
            parameters, _, digest = _parse(like)
            length = len(digest)
        found = self._derive(hidden, self._nobodys_salt, parameters, length)
        return hmac.compare_digest(found, bytes(length)) and False

    def is_outdated(self, phc: str) -> bool:
        """Say whether a PHC string was made with less than is asked for now."""
        return _parse(phc)[0].is_weaker_than(self.parameters)

    def _derive(self, password: HiddenPassword, salt: bytes, parameters: Parameters, length: int) -> bytes:
        password.require()
        with self.gate:
            return _compute(password, salt, parameters, length)

    def __repr__(self) -> str:
        return f"<Passwords by {self.parameters}>"


def _compute(password: HiddenPassword, salt: bytes, parameters: Parameters, length: int) -> bytes:
    derive: bytes = _argon2id()(
        salt=salt,
        length=length,
        iterations=parameters.passes,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(password.plain)
    return derive


def _parse(phc: str) -> tuple[Parameters, bytes, bytes]:
    found = _PHC.fullmatch(phc) if isinstance(phc, str) else None
    if found is None:
        raise StoreDamaged("a password is not kept as one of Argon2id")
    memory_kib, passes, lanes = (int(number) for number in found.group(1, 2, 3))
    salt, digest = (b64decode(text + "=" * (-len(text) % 4)) for text in found.group(4, 5))
    if _base64(salt) != found[4] or _base64(digest) != found[5]:
        raise StoreDamaged("a password is not kept as one of Argon2id: spare bits are set")
    try:
        return Parameters(memory_kib, passes, lanes), salt, digest
    except Misuse as error:
        raise StoreDamaged(f"a password is kept with parameters out of bounds: {error}") from None


def _base64(content: bytes) -> str:
    return b64encode(content).decode().rstrip("=")


@cache
def _argon2id() -> Any:
    """Return the class, once it is known to work."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ImportError as error:
        raise MissingDependency(
            "passwords need Argon2id, which cryptography has from version 44 on: pip install 'cryptography>=44'"
        ) from error
    try:
        Argon2id(salt=bytes(SALT_BYTES), length=DIGEST_BYTES, iterations=1, lanes=1, memory_cost=8)
    except UnsupportedAlgorithm as error:
        raise MissingDependency(
            "passwords need Argon2id, which the OpenSSL under cryptography lacks (it has it from 3.2 on): "
            "pip install --upgrade --force-reinstall cryptography"
        ) from error
    return Argon2id
