"""Lines: what a record of the log looks like in a file.  Floor: SERVICES.

Law: one record is one line, whatever is in it.

    2026-07-25T09:30:00.125Z ⇥ WARNING ⇥ netstructer ⇥ the message ⇥ user=ada rows=3 ⇥ ValueError: its text [at …]

Fields stand between tabs.  Everything in them is escaped (`printing.one_line`), tabs and newlines included, so no text
can end its field or its line: not the message or its arguments, not what `extra=` adds, not the text of an exception.
The fifth field and the sixth are there where there is something to say.

An exception is one field too: type, text, and where it was raised, innermost place first; then what it was raised from.
The source of the lines is not shown: it may hold what should not be in a log.  In JSON a record is an object: `time`,
`level`, `logger`, `text`, and where there are such `extra` and `error`.

How long each part may be is bounded, so a record is a line of at most some 200 KiB, and nearly always of 200 bytes.
"""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Iterator

from netstructer.services.printing import cut, moment, one_line, quoted

__all__ = ["coloured", "json_line", "text_line"]

TEXT_CHARACTERS = 8_192
"""Of a message, and of what is told of an exception: some 60 places of a traceback."""
EXTRA_CHARACTERS = 512
"""Of one value of `extra=`, and with 32 of them, as much again as the message."""
MOST_EXTRAS = 32
NAME_CHARACTERS = 64
MOST_PLACES = 16
"""Of one exception: the innermost, where the fault is."""
MOST_CAUSES = 8
"""Exceptions that are told of one record, those of a group included."""

_OURS = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"])
"""What each record has; the rest of its attributes came by `extra=`."""
_COLOURS = (
    (logging.CRITICAL, "\x1b[1;35m"),  # purple
    (logging.ERROR, "\x1b[31m"),  # red
    (logging.WARNING, "\x1b[38;5;208m"),  # orange
    (logging.INFO, ""),
    (logging.NOTSET, "\x1b[2m"),  # dim
)
_NO_COLOUR = "\x1b[0m"


def text_line(record: logging.LogRecord) -> str:
    """Return a record as a line of fields between tabs, without its newline."""
    fields = [moment(record.created), one_line(record.levelname), one_line(record.name), one_line(_text_of(record))]
    extras, error = _extras_of(record), _error_of(record)
    if extras or error:
        shown = [f"{quoted(name)}={quoted(str(value))}" for name, value in extras.items()]
        fields.append(" ".join(shown))
    if error:
        fields.append(one_line(error))
    return "\t".join(fields)


def json_line(record: logging.LogRecord) -> str:
    """Return a record as one object of JSON in ASCII, without a newline."""
    facts: dict[str, object] = {
        "time": moment(record.created, places=6),
        "level": record.levelname.lower(),
        "logger": record.name,
        "text": _text_of(record),
    }
    if extras := _extras_of(record):
        facts["extra"] = extras
    if error := _error_of(record):
        facts["error"] = error
    return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def coloured(line: str, level: int) -> str:
    """Return a line in the colour of its level, for a terminal."""
    colour = next((colour for least, colour in _COLOURS if level >= least), "")
    return f"{colour}{line}{_NO_COLOUR}" if colour else line


def _text_of(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # the arguments do not fit, or one of them cannot be shown
        text = f"{_shown(record.msg)} (its arguments cannot be shown: {type(error).__name__})"
    return cut(text, TEXT_CHARACTERS)


def _extras_of(record: logging.LogRecord) -> dict[str, object]:
    added = [(name, value) for name, value in vars(record).items() if name not in _OURS]
    return {cut(str(name), NAME_CHARACTERS): _plain(value) for name, value in added[:MOST_EXTRAS]}


def _plain(value: object) -> object:
    """Return what JSON has a word for as it is, and the rest as text."""
    if value is None or type(value) is bool:
        return value
    if type(value) is int and value.bit_length() <= 64:  # a longer one is a long text, and some are too long for str
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return cut(_shown(value), EXTRA_CHARACTERS)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def _error_of(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[1] is not None:
        told = "; ".join(_told(record.exc_info[1]))
    else:
        told = record.exc_text or ""  # of a record that came through a queue
    if record.stack_info:
        told = f"{told}; {record.stack_info}" if told else record.stack_info
    return cut(told, TEXT_CHARACTERS)


def _told(error: BaseException) -> Iterator[str]:
    """Return a sentence for an exception, and one for each that it holds or was raised from."""
    waiting: list[tuple[str, BaseException]] = [("", error)]
    told: set[int] = set()
    while waiting and len(told) < MOST_CAUSES:
        relation, found = waiting.pop(0)
        if id(found) in told:
            continue
        told.add(id(found))
        yield f"{relation}{type(found).__name__}: {_shown(found)}{_places_of(found)}"
        if isinstance(found, BaseExceptionGroup):
            waiting += [("of which ", inner) for inner in found.exceptions[:MOST_CAUSES]]
        if found.__cause__ is not None:
            waiting.append(("from ", found.__cause__))
        elif found.__context__ is not None and not found.__suppress_context__:
            waiting.append(("while handling ", found.__context__))


def _places_of(error: BaseException) -> str:
    found = list(traceback.walk_tb(error.__traceback__))[-MOST_PLACES:]
    places = [f"{frame.f_code.co_filename}:{number} in {frame.f_code.co_name}" for frame, number in reversed(found)]
    return f" [at {' < '.join(places)}]" if places else ""
