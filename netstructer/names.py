"""Names of files: which are taken from a peer, and offered to one.  Floor: GROUND.  Law: one law for every system.

A name that a Linux sends must be one that a Windows and a macOS can take, and must mean there what it means here: that
one new file, in that one directory.  So a name is refused wherever *any* of them reads it as another place (`..`, a
drive, a separator), as another thing (a device, a stream, a fork), or as another file (a short name, a trailing dot
that Windows drops, characters that a file system leaves out when it compares).  Nothing is ever mended: a name that
was changed on the way would be a second name for the same file, and the next law would be broken by it.

What people cannot see.  Controls of direction turn `exe.gpj` around on the screen, and letters without a width make
two names look alike; all of category Cf is refused, and the blanks that Unicode counts as letters.  Two kinds of them
have honest work: joiners (Persian and Indic words, families of emoji) and variation selectors (emoji, kanji of
names).  They are taken in a name that has other characters beyond ASCII.  File systems that skip them when they compare
(HFS+, ext4 with casefold) would take `.g<ZWNJ>it` for `.git`; every name that a program knows is ASCII, so a name that
is ASCII but for such characters is refused, and `fold` leaves them out.

Whether a code point is a control depends on the Unicode of the Python that asks.  Both ends ask.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import unquote

from netstructer.errors import UnsafeName

__all__ = ["check_name", "check_parts", "escaped", "fold", "shown"]

NAME_BYTES = 255
"""UTF-8 bytes of one name: what ext4, XFS and APFS hold; NTFS holds 255 UTF-16 units, which are never more."""
PATH_BYTES = 4096
"""UTF-8 bytes of a relative path with its slashes: PATH_MAX of Linux, beyond which no call takes a path in one."""
PATH_PARTS = 128
"""Names in one path: three times the deepest node_modules.  What removes a tree holds a descriptor open for each level,
and macOS gives a process 256."""
SHOWN_CHARACTERS = 80
"""What an error tells of a name: one line of a terminal."""
ESCAPED_CHARACTERS = 256
"""What another end is told of a name that it could not take."""

_WINDOWS = frozenset('<>:"|?*')
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *(f"{port}{n}" for port in ("COM", "LPT") for n in "123456789")]
)
"""Windows opens the device whatever the case, the directory and the extension; NFKC turns COM¹ into COM1."""
_SHORT = re.compile(r"[^.]{1,6}~[0-9]{1,6}(\.[^.]{0,3})?")
"""What NTFS may have given another file as its name of eight and three characters: `GIT~1` is `.git`."""
_SLASHES = re.compile("[/\\\\⁄∕⧵⧸¥₩]")
"""Separators, and what code pages and eyes take for one (after NFKC, which has brought the wide ones home)."""
_USEFUL = re.compile("[\u200c\u200d\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Joiners and variation selectors: not seen, and not compared by every file system, but people write with them."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing: the grapheme joiner, the fillers of Hangul, the inherent vowels of Khmer."""


def check_name(name: str) -> str:
    """Return `name`, one component of a path, or raise `UnsafeName` (its `name` is what was refused).

    A name of 1 to 255 UTF-8 bytes that no system reads as anything but that file in that directory; see above.
    """
    if not isinstance(name, str):
        raise UnsafeName(f"expected a name as text, found a {type(name).__name__}")
    reason = _reason_against(name)
    if reason:
        raise UnsafeName(f"the name {shown(name)} is not safe: {reason}", name=name)
    return name


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """Return a relative path, given and returned as its names from the top, or raise `UnsafeName`.

    1 to 128 names that `check_name` takes, of 4,096 UTF-8 bytes together with a slash between them.  A text is no path:
    who has one splits it, and knows by which separator.
    """
    if not isinstance(parts, (list, tuple)):
        raise UnsafeName(f"expected a path as a list of names, found a {type(parts).__name__}")
    if not 1 <= len(parts) <= PATH_PARTS:
        raise UnsafeName(f"expected a path of 1 to {PATH_PARTS} names, found {len(parts)}")
    checked = tuple(check_name(part) for part in parts)
    path = "/".join(checked)
    if len(path.encode()) > PATH_BYTES:
        raise UnsafeName(f"the path {shown(path)} is longer than {PATH_BYTES} bytes", name=path)
    return checked


def fold(name: str) -> str:
    """Return what is equal for all names that some file system takes for one: NFC, casefolded, the unseen left out.

    Coarser than any one system on purpose: it may find two names alike that a system keeps apart, never the reverse.
    """
    seen = _USEFUL.sub("", name)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", seen).casefold())


def shown(name: str) -> str:
    """Return a name as an error or a log may print it: quoted, controls escaped, cut to one line."""
    short = name if len(name) <= SHOWN_CHARACTERS else name[: SHOWN_CHARACTERS - 1] + "…"
    return repr(short)


def escaped(name: str) -> str:
    """Return a name that may be none as text that any end can show: what cannot be printed escaped, cut to 256."""
    short = name if len(name) <= ESCAPED_CHARACTERS else name[: ESCAPED_CHARACTERS - 1] + "…"
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return plain if len(plain) <= ESCAPED_CHARACTERS else plain[: ESCAPED_CHARACTERS - 1] + "…"


def _reason_against(name: str) -> str | None:
    """Return why a name is refused, in words that hold nothing of it."""
    if not name:
        return "it is empty"
    if name in (".", ".."):
        return "it is a directory that is there already"
    # A character takes a byte at least, so a name of any length is refused without a look at all of it.
    if len(name) > NAME_BYTES or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        return f"it is longer than {NAME_BYTES} bytes"
    for character in name:
        reason = _reason_against_character(character)
        if reason:
            return reason
    if name != name.strip():
        return "it begins or ends with white space, which people and programs drop"
    if name.endswith("."):
        return "it ends with a dot, which Windows drops"
    seen = _USEFUL.sub("", name)
    if seen != name and seen.isascii():
        return "it hides characters that some systems leave out"
    return _reason_against_meaning(seen)


def _reason_against_character(character: str) -> str | None:
    code, category = ord(character), unicodedata.category(character)
    if character in "/\\":
        return "it holds a separator"
    if category == "Cc":
        return f"it holds the control character U+{code:04X}"
    if character in _WINDOWS:
        return f"it holds {character}, which Windows refuses or reads as a drive, a stream or a pattern"
    if category == "Cs":
        return "it is not Unicode"
    if character in _BLANK or (category in ("Cf", "Zl", "Zp") and not _USEFUL.match(character)):
        return f"it holds the invisible character U+{code:04X}"
    if 0xF000 <= code <= 0xF0FF:
        return f"it holds U+{code:04X}, which some systems read as an ASCII character"
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return f"it holds U+{code:04X}, which is no character"
    return None


def _reason_against_meaning(seen: str) -> str | None:
    """Return what else a name of harmless characters can mean."""
    plain = unicodedata.normalize("NFKC", seen)
    if plain.partition(".")[0].rstrip().upper() in _DEVICES:
        return "it is a device of Windows"
    if _SHORT.fullmatch(plain):
        return "it may be the short name of another file on Windows"
    if plain.casefold() == "..namedfork":
        return "it leads into a file's fork on macOS"
    for spelled in (plain, *_unquoted(plain)):
        if any("." in piece and not piece.strip(". ") for piece in _SLASHES.split(spelled)):
            return "it is a way to another directory in disguise"
    return None


def _unquoted(name: str) -> list[str]:
    """Return what a name is once and twice percent-decoded: somebody will put it into an address."""
    once = unicodedata.normalize("NFKC", unquote(name))
    return [once, unicodedata.normalize("NFKC", unquote(once))]
