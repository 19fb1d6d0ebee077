"""Texts: what may be written and named in a chat, and what of it a terminal is shown.  Floor: SERVICES.

Law: a text travels as it was written, and is made harmless where it is read.  Only a reader knows what obeys it: a
terminal obeys escapes, a web page obeys tags.  `shown` is for terminals and for whatever has lines.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from netstructer.errors import InvalidName, InvalidText
from netstructer.services.usernames import fold_name, written_name

__all__ = ["Named", "check_text", "name_of_room", "name_of_user", "shown"]

MARKS = 3
"""Marks in a row that a reader shows as they are: few scripts stack more, and more reach into other lines."""
_JOINERS = "\u200c\u200d"
"""Not seen, and written for an honest reason: Persian and Indic words, families of emoji."""


class Named(NamedTuple):
    """A name: how it was written, and the one spelling by which it is found."""

    written: str
    folded: str


def name_of_user(name: object) -> Named:
    """Return the name of somebody.  Raises `InvalidName`."""
    return Named(written_name(name), fold_name(name))  # type: ignore[arg-type]  # both say what is no text


def name_of_room(name: object) -> Named:
    """Return the name of a room: the same law as for users.  Raises `InvalidName`."""
    try:
        return name_of_user(name)
    except InvalidName as error:
        raise InvalidName(f"this is no name for a room, which is named as users are: {error}") from None


def check_text(text: object, most: int) -> str:
    """Return what somebody says.  Raises `InvalidText` for what is no text of 1 to `most` characters, or blank."""
    if not isinstance(text, str):
        raise InvalidText(f"expected a message as text, found a {type(text).__name__}")
    if len(text) > most:
        raise InvalidText(f"expected a message of at most {most:,} characters, found one of {len(text):,}")
    if not text.strip():
        raise InvalidText("expected a message with something in it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidText("expected a message in Unicode, found half of a character") from None
    return text


def shown(text: str) -> str:
    """Return a text as one line in which nothing steers a terminal, turns around, or hides.

    Controls, ends of lines, marks of direction and the like are spelled out, as are marks beyond three in a row.
    """
    if text.isascii() and text.isprintable():
        return text
    parts = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        harmless = (character.isprintable() and marks <= MARKS) or character in _JOINERS
        parts.append(character if harmless else character.encode("unicode_escape", "backslashreplace").decode())
    return "".join(parts)
