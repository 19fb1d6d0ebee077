"""What a new password must be, and passwords made by chance.  Floor: SERVICES.  Law: only new ones are looked at.

The defaults are NIST's (SP 800-63B): eight characters at least, nothing that everybody has, not the user's own name,
and no rules about classes of characters, which make people write `Password1!`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from netstructer.errors import Misuse, PasswordRefused
from netstructer.services.passwords import PASSWORD_BYTES, HiddenPassword

__all__ = ["PasswordPolicy", "random_code", "tidy_code"]

LEAST_CHARACTERS = 8
"""NIST's least for passwords that people choose; throttling is what keeps short ones from being guessed."""
CLASSES = {
    "a small letter": str.islower,
    "a capital letter": str.isupper,
    "a digit": str.isdecimal,
    "another character": lambda character: not character.isalnum(),
}
COMMON = frozenset(
    {
        *("12345678", "123456789", "1234567890", "123123123", "987654321", "11223344", "87654321", "147258369"),
        *("123456789a", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "q1w2e3r4", "qwertyui", "qwertyuiop", "qwerty123"),
        *("qwerty12", "qwer1234", "asdfghjk", "asdfghjkl", "zxcvbnm1", "password", "password1", "password12"),
        *("password123", "passw0rd", "p@ssword", "p@ssw0rd", "p@ssword1", "letmein1", "letmein123", "welcome1"),
        *(
            "welcome123",
            "iloveyou",
            "iloveyou1",
            "sunshine",
            "princess",
            "football",
            "baseball",
            "superman",
            "trustno1",
        ),
        *("computer", "internet", "starwars", "whatever", "changeme", "changeme1", "admin123", "administrator"),
        *(
            "adminadmin",
            "abcd1234",
            "abc12345",
            "abcdefgh",
            "aa123456",
            "a1b2c3d4",
            "dragon123",
            "monkey123",
            "michelle",
        ),
        *("jennifer", "passwort", "hallo123", "schalke04", "netstructer", "netstructer1"),
    }
)
"""What is tried first: the most common ones of eight characters and more in the published lists, and this package."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's 32: no letter that looks like another or like a digit."""
_SAME = str.maketrans("oil", "011")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """What is wanted of a new password.

    `least_characters` and `most_characters` count characters after NFC; `classes` is how many of the four classes
    (small letters, capitals, digits, others) it has at least; `common` whether the most common ones are taken;
    `like_name` whether one is that is, or holds, the user's name.  `check(name, password)` is a rule of one's own: it
    returns what is wanted and missing, in words that do not hold the password, or None.
    """

    least_characters: int = LEAST_CHARACTERS
    most_characters: int = PASSWORD_BYTES
    classes: int = 0
    common: bool = False
    like_name: bool = False
    check: Callable[[str, str], str | None] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.least_characters <= self.most_characters <= PASSWORD_BYTES:
            raise Misuse(f"expected passwords of 1 to {PASSWORD_BYTES} characters")
        if not 0 <= self.classes <= len(CLASSES):
            raise Misuse(f"expected at most {len(CLASSES)} classes of characters, found {self.classes}")

    def require(self, name: str, password: str | HiddenPassword) -> None:
        """Raise `PasswordRefused` with all that is missing of a new password."""
        hidden = HiddenPassword.of(password).require()
        del password
        wanted = self._missing(name, hidden.text) + self._missing_by_check(name, hidden)
        if wanted:
            raise PasswordRefused(f"a password is wanted {'; '.join(wanted)}", wanted=tuple(wanted))

    def _missing_by_check(self, name: str, password: HiddenPassword) -> list[str]:
        reason = None if self.check is None else self.check(name, password.text)
        return [] if not reason else ["of another kind" if password.text in reason else reason]

    def _missing(self, name: str, password: str) -> list[str]:
        wanted = []
        if not self.least_characters <= len(password) <= self.most_characters:
            most = "" if self.most_characters == PASSWORD_BYTES else f" and at most {self.most_characters}"
            wanted.append(f"of at least {self.least_characters}{most} characters")
        found = [what for what, is_one in CLASSES.items() if any(map(is_one, password))]
        if len(found) < self.classes:
            others = ", ".join(what for what in CLASSES if what not in found)
            wanted.append(f"with {self.classes - len(found)} more of: {others}")
        folded = unicodedata.normalize("NFKC", password).casefold()
        if not self.common and (folded in COMMON or len(set(folded)) < 4):
            wanted.append("that is not one of the most common")
        own = unicodedata.normalize("NFKC", name).casefold()
        if not self.like_name and own and (folded in (own, own[::-1]) or (len(own) > 3 and own in folded)):
            wanted.append("without the user's name in it")
        return wanted


def random_code(*, groups: int = 4, draw: Callable[[int], bytes] = os.urandom) -> str:
    """Return groups of five letters and digits, 25 bits each: a password to be read out, or an invitation."""
    letters = [_ALPHABET[byte & 31] for byte in draw(5 * groups)]
    return "-".join("".join(letters[at : at + 5]) for at in range(0, len(letters), 5))


def tidy_code(code: str) -> str:
    """Return the one spelling of a code that somebody typed: small, with its dashes, no letter for a digit."""
    letters = "".join(code.casefold().split()).replace("-", "").translate(_SAME)
    return "-".join(letters[at : at + 5] for at in range(0, len(letters), 5))
