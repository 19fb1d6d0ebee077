"""Calls: what is said in a conversation that is one.  Floor: PROTOCOL.  Law: what is not one of these words is refused.

Spec: protocol.md, "Calls".  A call is a conversation of its own, with a number from `asides.CALLS_FROM` on.  Whoever
opens it asks for an action by name; the other end answers once, or with a stream of items.  Each value is a tuple whose
first item is the word:

    asks      (CALL, name, positional, named, milliseconds or None)      answers  (RESULT, value)
              (NOTIFY, name, positional, named)     no answer                     (FAULT, blame, name, text)
              (MORE, count)                         of a stream                   (STREAM,)    items follow
              (CANCEL,)                                                           (ITEM, value)
                                                                                  (END,)

After RESULT, FAULT, END, NOTIFY and CANCEL the conversation is over at both ends, without a further word.
"""

from __future__ import annotations

import math
import unicodedata
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn

from netstructer.errors import (
    BadArguments,
    BadValue,
    Busy,
    CallCancelled,
    Misuse,
    NetstructerError,
    NotPermitted,
    RemoteError,
    UnknownAction,
)

__all__ = [
    "STREAM_ITEMS",
    "Answer",
    "Asked",
    "Blame",
    "Word",
    "answer_in",
    "ask",
    "asked_in",
    "checked_name",
    "fault",
    "more_in",
    "raise_fault",
]

NAME_CHARACTERS = 128
"""Of an action's name: dotted words, which a person reads in a log."""
MOST_SECONDS = 7 * 86_400.0
"""Of what a caller waits: a week."""
STREAM_ITEMS = 8
"""Items of a stream that are sent ahead of who takes them: each holds credit of the whole link until it is taken."""
MOST_ITEMS = 1024
"""Items that a caller may ask for at once."""
TEXT_CHARACTERS = 1000
"""Of the text of a fault: what a person reads."""


class Word(IntEnum):
    """What a value of a call begins with."""

    CALL, NOTIFY, MORE, CANCEL, RESULT, FAULT, STREAM, ITEM, END = range(1, 10)


class Blame(IntEnum):
    """Why there is no result."""

    FAILED, UNKNOWN, ARGUMENTS, NOT_PERMITTED, BUSY, CANCELLED = range(1, 7)


class Asked(NamedTuple):
    """What a caller asks for."""

    name: str
    positional: tuple[Any, ...]
    named: dict[str, Any]
    seconds: float | None
    """How long the caller waits; None for one that says nothing of it."""
    wants_answer: bool


class Answer(NamedTuple):
    """One value of the other end: its word, and what comes with it."""

    word: Word
    value: Any = None
    """Of RESULT and ITEM the value, of FAULT `(blame, name, text)`."""


def checked_name(name: object) -> str:
    """Return an action's name.  Raises `Misuse` for what is none: 1 to 128 printable characters without spaces."""
    if not _is_name(name):
        raise Misuse(f"expected an action's name, of 1 to {NAME_CHARACTERS} printable characters without spaces")
    assert isinstance(name, str)
    return name


def ask(
    name: str, positional: tuple[Any, ...], named: dict[str, Any], seconds: float | None, *, wants_answer: bool
) -> tuple[Any, ...]:
    """Return the value that asks for an action.  Raises `Misuse` for a name or a time that are none."""
    name = checked_name(name)
    if not wants_answer:
        return (Word.NOTIFY.value, name, positional, named)
    if seconds is None:
        return (Word.CALL.value, name, positional, named, None)
    if not 0 < seconds <= MOST_SECONDS:
        raise Misuse(f"expected a timeout above zero and of at most {MOST_SECONDS:.0f} seconds, or None")
    return (Word.CALL.value, name, positional, named, math.ceil(seconds * 1000))


def asked_in(value: object) -> Asked:
    """Return what the first value of a call asks for.  Raises `BadValue`."""
    match value:
        case (Word.CALL, str() as name, tuple() as positional, dict() as named, None | int() as milliseconds) if type(
            milliseconds
        ) in (int, type(None)) and _is_question(value, name, named):
            if milliseconds is None:
                return Asked(name, positional, named, None, True)
            if 0 < milliseconds <= MOST_SECONDS * 1000:
                return Asked(name, positional, named, milliseconds / 1000, True)
        case (Word.NOTIFY, str() as name, tuple() as positional, dict() as named) if _is_question(value, name, named):
            return Asked(name, positional, named, None, False)
    raise BadValue("expected a call: a word, a name, arguments and a time")


def more_in(value: object) -> int:
    """Return how many items more a caller asks for, 0 where it wants no more at all.  Raises `BadValue`."""
    match value:
        case (Word.CANCEL,) if _begins_with_a_word(value):
            return 0
        case (Word.MORE, int() as count) if _begins_with_a_word(value) and 0 < count <= MOST_ITEMS:
            return int(count)
    raise BadValue("expected what a caller says of a call that is under way")


def answer_in(value: object) -> Answer:
    """Return what the other end of a call says.  Raises `BadValue`."""
    match value:
        case (int() as word, found) if word in (Word.RESULT, Word.ITEM) and _begins_with_a_word(value):
            return Answer(Word(word), found)
        case (int() as word,) if word in (Word.STREAM, Word.END) and _begins_with_a_word(value):
            return Answer(Word(word))
        case (Word.FAULT, int() as blame, str() as name, str() as text) if (
            _begins_with_a_word(value) and blame in _BLAMES and _is_name(name) and len(text) <= TEXT_CHARACTERS
        ):
            return Answer(Word.FAULT, (Blame(blame), name, text))
    raise BadValue("expected an answer to a call: a word, and what belongs to it")


def fault(error: BaseException) -> tuple[Any, ...]:
    """Return the value that says why there is no result: the error's type and text, never where it was raised."""
    blame = next((blame for kind, blame in _BLAMED if isinstance(error, kind)), Blame.FAILED)
    name = error.name if isinstance(error, RemoteError) and error.name else type(error).__name__
    if not _is_name(name):
        name = "Exception"
    try:
        text = str(error)
    except Exception:
        text = ""  # An error whose text cannot be had is told by its name.
    return (Word.FAULT.value, blame.value, name, _tame(text))


def raise_fault(action: str, answer: Answer) -> NoReturn:
    """Raise what a fault says.  The text is the peer's: characters that steer a terminal are shown, not obeyed."""
    blame, name, text = answer.value
    text = _tame(text)
    said = f"{name}: {text}" if text else name
    error: NetstructerError
    if blame == Blame.BUSY:
        error = Busy(f"the peer runs as many calls as it does at once, and not {action!r}")
    elif blame == Blame.CANCELLED:
        error = CallCancelled(f"the peer has cancelled {action!r}")
    else:
        error = _ERRORS[blame](f"{action!r} failed at the peer: {said}", name=name)
    raise error


_ERRORS: dict[Blame, type[RemoteError]] = {
    Blame.FAILED: RemoteError,
    Blame.UNKNOWN: UnknownAction,
    Blame.ARGUMENTS: BadArguments,
    Blame.NOT_PERMITTED: NotPermitted,
}
_BLAMED: tuple[tuple[type[BaseException], Blame], ...] = (
    (UnknownAction, Blame.UNKNOWN),
    (BadArguments, Blame.ARGUMENTS),
    (NotPermitted, Blame.NOT_PERMITTED),
    (Busy, Blame.BUSY),
    (CallCancelled, Blame.CANCELLED),
)
_BLAMES = frozenset(blame.value for blame in Blame)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= NAME_CHARACTERS and name.isprintable() and " " not in name


def _begins_with_a_word(value: object) -> bool:
    """Say whether the word is an int, which True and 1.0 are not."""
    return type(value) is tuple and type(value[0]) is int


def _is_question(value: object, name: object, named: dict[Any, Any]) -> bool:
    return _begins_with_a_word(value) and _is_name(name) and all(type(key) is str for key in named)


def _tame(text: str) -> str:
    """Return a text of one line and bounded length, with nothing in it that a terminal would obey."""
    if len(text) > TEXT_CHARACTERS:
        text = text[: TEXT_CHARACTERS - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else "�"
        for character in text
    )
