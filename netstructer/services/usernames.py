"""Names of users: one spelling for each.  Floor: SERVICES.  Law: two names that are written alike are one account.

A name is folded (NFKC, casefold) and the folded name is what an account is found by, so `Ada`, `ADA` and `Ａｄａ` are
one.  How it was written is kept to be shown.  What cannot be seen, what steers a terminal, and what a later Unicode may
fold otherwise is refused, never taken out.  Letters of two scripts that look alike (a Latin and a Cyrillic а) are two
names: whether they should be is for an application that knows its users' languages.
"""

from __future__ import annotations

import re
import unicodedata

from netstructer.errors import InvalidName

__all__ = ["check_count_name", "fold_name", "written_name"]

NAME_CHARACTERS = 64
"""Of a folded name: what fits beside a message in one line of a terminal."""
_UNSEEN = frozenset(["Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"])
"""Controls, letters without a width, halves of letters, code points without a letter, line and paragraph ends."""
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Letters and marks that show nothing: fillers of Hangul, vowels of Khmer, joiners and selectors of variants."""
_COUNTED = re.compile(r"[a-z0-9]([a-z0-9 ._-]{0,62}[a-z0-9])?")


def fold_name(name: str) -> str:
    """Return the one spelling of a user's name.  Raises `InvalidName`."""
    written = written_name(name)
    folded = unicodedata.normalize("NFKC", written.casefold())
    again = unicodedata.normalize("NFKC", folded.casefold())
    if again != unicodedata.normalize("NFKC", again.casefold()):
        raise InvalidName("a user's name has no one spelling")
    if not 0 < len(again) <= NAME_CHARACTERS:
        raise InvalidName(f"expected a user's name of 1 to {NAME_CHARACTERS} characters")
    return again


def written_name(name: str) -> str:
    """Return a user's name as it is shown: as it was written, in NFKC.  Raises `InvalidName`."""
    if not isinstance(name, str):
        raise InvalidName(f"expected a user's name as text, found a {type(name).__name__}")
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise InvalidName(f"expected a user's name of 1 to {NAME_CHARACTERS} characters")
    if _BLANK.search(name):
        raise InvalidName("a user's name holds a character that cannot be seen")
    written = unicodedata.normalize("NFKC", name)
    for character in written:
        if unicodedata.category(character) in _UNSEEN or _BLANK.match(character):
            raise InvalidName(f"a user's name holds U+{ord(character):04X}, which cannot be seen")
    if not 0 < len(written) <= NAME_CHARACTERS:
        raise InvalidName(f"expected a user's name of 1 to {NAME_CHARACTERS} characters")
    if written != " ".join(written.split()):
        raise InvalidName("a user's name begins or ends with a blank, or has two beside each other")
    if unicodedata.combining(written[0]):
        raise InvalidName("a user's name begins with a mark that belongs to the letter before it")
    return written


def check_count_name(name: str, what: str) -> str:
    """Return the name of what is counted of a user, a quota or a statistic.  Raises `InvalidName`."""
    if not isinstance(name, str) or not _COUNTED.fullmatch(name):
        raise InvalidName(f"expected the name of a {what}: 1 to 64 of a-z, 0-9, blanks, dots, _ and -")
    return name
