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
    OutboxDamaged,
    OutboxFull,
    RemoteError,
    SpoolFull,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreTooNew,
    UnknownAction,
)

__all__ = [
    "STREAM_ITEMS",
    "WORD_BYTES",
    "Answer",
    "Asked",
    "Blame",
    "Window",
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
"""Items of a stream that are sent ahead of who takes them, to begin with: each holds credit of the whole link until it
is taken."""
WINDOW_BYTES = 64 << 10
"""What small items that are sent ahead may hold of that credit together: a hundredth of it, and enough that a stream
over a long way does not wait for it after each few."""
MOST_ITEMS = 1024
"""Items that a caller may ask for at once."""
WORD_BYTES = 64
"""Of what a caller says of a call that is under way, encoded: a word and a count.  What is longer is not looked at."""
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


class Window:
    """How many items of a stream are asked for ahead of who takes them: of small ones more, while they are taken."""

    __slots__ = ("_ahead", "_charge", "_count", "_width")

    def __init__(self) -> None:
        self._ahead = self._width = STREAM_ITEMS
        self._charge = self._count = 0
        """Of the last items that were taken."""

    def took(self, charge: int) -> int:
        """Take in that an item was taken which held so much credit; return how many more to ask for, or 0."""
        self._ahead -= 1
        self._count, self._charge = self._count + 1, self._charge + charge
        if self._ahead > self._width // 2:
            return 0
        by_size = WINDOW_BYTES * self._count // self._charge
        self._width = max(STREAM_ITEMS, min(by_size, 2 * self._width))
        self._count, self._charge = 0, 0
        more = max(0, min(MOST_ITEMS, self._width - self._ahead))
        self._ahead += more
        return more


def checked_name(name: object) -> str:
    """Return an action's name.  Raises `Misuse` for what is none: 1 to 128 printable characters without spaces."""
    exact = str.__str__(name) if isinstance(name, str) else ""  # such as a member of a StrEnum
    if not _is_name(exact):
        raise Misuse(f"expected an action's name, of 1 to {NAME_CHARACTERS} printable characters without spaces")
    return exact


def ask(
    name: str, positional: tuple[Any, ...], named: dict[str, Any], seconds: float | None, *, wants_answer: bool
) -> tuple[Any, ...]:
    """Return the value that asks for an action.  Raises `Misuse` for a name or a time that are none."""
    name = checked_name(name)
    if not wants_answer:
        return (_NOTIFY, name, positional, named)
    if seconds is None:
        return (_CALL, name, positional, named, None)
    if not 0 < seconds <= MOST_SECONDS:
        raise Misuse(f"expected a timeout above zero and of at most {MOST_SECONDS:.0f} seconds, or None")
    return (_CALL, name, positional, named, math.ceil(seconds * 1000))


def asked_in(value: object) -> Asked | None:
    """Return what the first value of a call asks for; None for one that was given up before it was asked.

    Raises `BadValue`.
    """
    # Types come first: what is compared before may be an array, a Decimal, or anything else that says it is 1.
    if type(value) is tuple and value and type(value[0]) is int:
        word, count = value[0], len(value)
        if (word == _CALL and count == 5) or (word == _NOTIFY and count == 4):
            _, name, positional, named, *rest = value
            if _is_name(name) and type(positional) is tuple and type(named) is dict and _are_texts(named):
                if word == _NOTIFY:
                    return Asked(name, positional, named, None, False)
                milliseconds = rest[0]
                if milliseconds is None:
                    return Asked(name, positional, named, None, True)
                if type(milliseconds) is int and 0 < milliseconds <= MOST_SECONDS * 1000:
                    return Asked(name, positional, named, milliseconds / 1000, True)
        elif word == _CANCEL and count == 1:
            return None
    raise BadValue("expected a call: a word, a name, arguments and a time")


def more_in(value: object) -> int:
    """Return how many items more a caller asks for, 0 where it wants no more at all.  Raises `BadValue`."""
    if type(value) is tuple and value and type(value[0]) is int:
        word, count = value[0], len(value)
        if word == _CANCEL and count == 1:
            return 0
        if word == _MORE and count == 2 and type(value[1]) is int and 0 < value[1] <= MOST_ITEMS:
            return value[1]
    raise BadValue("expected what a caller says of a call that is under way")


def answer_in(value: object) -> Answer:
    """Return what the other end of a call says.  Raises `BadValue`."""
    if type(value) is tuple and value and type(value[0]) is int:
        word, count = value[0], len(value)
        if count == 2 and word in (_RESULT, _ITEM):
            return Answer(_WORDS[word], value[1])
        if count == 1 and word in (_STREAM, _END):
            return Answer(_WORDS[word])
        if count == 4 and word == _FAULT and _is_fault(*value[1:]):
            return Answer(Word.FAULT, (Blame(value[1]), value[2], value[3]))
    raise BadValue("expected an answer to a call: a word, and what belongs to it")


def fault(error: BaseException) -> tuple[Any, ...]:
    """Return the value that says why there is no result: the error's type and text, never where it was raised.

    What an action was told by another action, which it has called itself, is a failure of its own: whoever called it
    would look for the fault in the wrong place.
    """
    blame, name = Blame.FAILED, type(error).__name__
    if not (isinstance(error, NetstructerError) and error.action):
        blame = next((blame for kind, blame in _BLAMED if isinstance(error, kind)), Blame.FAILED)
        if isinstance(error, RemoteError) and error.name:
            name = error.name
    if not _is_name(name):
        name = "Exception"
    return (_FAULT, blame.value, name, _tame(_text_of(error)))


def _text_of(error: BaseException) -> str:
    """Return what a caller is told of an error beside its name: of a file that is missing, or a store that is full, not
    which one of this machine's it is.
    """
    if isinstance(error, _AT_HOME):
        return ""
    if isinstance(error, OSError) and not isinstance(error, NetstructerError):
        return error.strerror if isinstance(error.strerror, str) else ""
    try:
        return str.__str__(str(error))
    except Exception:
        return ""  # An error whose text cannot be had is told by its name.


def raise_fault(action: str, answer: Answer) -> NoReturn:
    """Raise what a fault says.  The text is the peer's: characters that steer a terminal are shown, not obeyed."""
    blame, name, text = answer.value
    text = _tame(text)
    said = f": {text}" if text else ""
    if blame == Blame.BUSY:
        raise Busy(f"the peer has no room for {action!r} now{said}", action=action)
    if blame == Blame.CANCELLED:
        raise CallCancelled(f"the peer has given {action!r} up{said}", action=action)
    if blame == Blame.UNKNOWN:
        raise UnknownAction(f"the peer has no action {action!r}", name=name, action=action)
    if blame == Blame.ARGUMENTS:
        raise BadArguments(f"{action!r} takes other arguments{said}", name=name, action=action)
    if blame == Blame.NOT_PERMITTED:
        raise NotPermitted(f"the peer does not permit {action!r}{said}", name=name, action=action)
    raise RemoteError(f"{action!r} failed at the peer: {name}{said}", name=name, action=action)


_BLAMED: tuple[tuple[type[BaseException], Blame], ...] = (
    (UnknownAction, Blame.UNKNOWN),
    (BadArguments, Blame.ARGUMENTS),
    (NotPermitted, Blame.NOT_PERMITTED),
    (Busy, Blame.BUSY),
    (CallCancelled, Blame.CANCELLED),
)
_CALL, _NOTIFY, _MORE, _CANCEL = (word.value for word in (Word.CALL, Word.NOTIFY, Word.MORE, Word.CANCEL))
_RESULT, _FAULT, _STREAM = (word.value for word in (Word.RESULT, Word.FAULT, Word.STREAM))
_ITEM, _END = Word.ITEM.value, Word.END.value
_WORDS = {word.value: word for word in Word}
_AT_HOME = (StoreDamaged, StoreFull, StoreBusy, StoreTooNew, OutboxDamaged, OutboxFull, SpoolFull)
"""Whose texts name places of this machine, for whoever runs it."""
_BLAMES = frozenset(blame.value for blame in Blame)


def _is_name(name: object) -> bool:
    return type(name) is str and 0 < len(name) <= NAME_CHARACTERS and name.isprintable() and " " not in name


def _is_fault(blame: object, name: object, text: object) -> bool:
    if type(blame) is not int or blame not in _BLAMES or not _is_name(name):
        return False
    return type(text) is str and len(text) <= TEXT_CHARACTERS


def _are_texts(named: dict[Any, Any]) -> bool:
    return not named or all(type(key) is str for key in named)


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
