"""Calls: every word comes back as it was said, and nothing else is taken for one."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstructer.codec.values import decode, encode
from netstructer.errors import (
    BadArguments,
    BadValue,
    Busy,
    CallCancelled,
    LinkTimeout,
    Misuse,
    NetstructerError,
    NotPermitted,
    RemoteError,
    SpoolFull,
    StoreFull,
    UnknownAction,
)
from netstructer.limits import Limits
from netstructer.protocol.calls import (
    MOST_ITEMS,
    MOST_SECONDS,
    NAME_CHARACTERS,
    STREAM_ITEMS,
    TEXT_CHARACTERS,
    WINDOW_BYTES,
    WORD_BYTES,
    Answer,
    Asked,
    Blame,
    Window,
    Word,
    answer_in,
    ask,
    asked_in,
    checked_name,
    fault,
    more_in,
    raise_fault,
)

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=NAME_CHARACTERS).filter(
    lambda name: name.isprintable() and " " not in name
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=9),
    lambda items: st.lists(items, max_size=3) | st.tuples(items, items) | st.dictionaries(st.text(max_size=4), items),
    max_leaves=6,
)
FIVE = (1, "add", (1, 2), {"c": 3}, 500)
FOUR = (2, "add", (1, 2), {"c": 3})


def travelled(value: object) -> object:
    """Return what a value is at the other end."""
    return decode(b"".join(map(bytes, encode(value, limits=Limits.DEFAULT).buffers)), limits=Limits.DEFAULT)


class Pair(NamedTuple):
    """A tuple that is none of a call's."""

    a: Any
    b: Any


class ActionName(StrEnum):
    ADD = "add"


# --- what is said is heard --------------------------------------------------------------------------------------------


@given(
    name=NAMES,
    positional=st.lists(VALUES, max_size=3).map(tuple),
    named=st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
    seconds=st.none() | st.floats(min_value=1e-9, max_value=MOST_SECONDS),
    wants_answer=st.booleans(),
)
def test_what_is_asked_is_heard(
    name: str, positional: tuple[Any, ...], named: dict[str, Any], seconds: float | None, wants_answer: bool
) -> None:
    asked = asked_in(travelled(ask(name, positional, named, seconds, wants_answer=wants_answer)))

    assert asked is not None
    assert asked[:3] == (name, positional, named)
    assert asked.wants_answer == wants_answer
    if seconds is None or not wants_answer:
        assert asked.seconds is None
    else:
        assert asked.seconds is not None
        assert seconds <= asked.seconds <= seconds + 0.001001  # never less than what the caller waits


@given(VALUES)
def test_what_is_answered_is_heard(value: object) -> None:
    for word in (Word.RESULT, Word.ITEM):
        assert answer_in(travelled((word.value, value))) == Answer(word, value)
    for word in (Word.STREAM, Word.END):
        assert answer_in(travelled((word.value,))) == Answer(word)


@pytest.mark.parametrize("count", [1, 2, MOST_ITEMS])
def test_more_items_are_asked_for(count: int) -> None:
    said = (Word.MORE.value, count)

    assert more_in(travelled(said)) == count
    assert encode(said, limits=Limits.DEFAULT).plain_bytes <= WORD_BYTES


def test_who_wants_no_more_says_so_before_it_was_asked_or_after() -> None:
    assert more_in((Word.CANCEL.value,)) == 0
    assert asked_in((Word.CANCEL.value,)) is None


@given(st.integers(0, 9) | st.integers(), VALUES, VALUES, VALUES, VALUES, st.integers(0, 5))
def test_whatever_comes_is_a_word_or_is_refused(first: int, a: Any, b: Any, c: Any, d: Any, length: int) -> None:
    value = (first, a, b, c, d)[:length]
    for read in (asked_in, more_in, answer_in):
        try:
            read(value)
        except BadValue:
            continue
        # Nothing is read in two ways: what was understood is what would be said.
        assert type(value[0]) is int
        assert value[0] in set(Word)


# --- what is no word is refused ---------------------------------------------------------------------------------------

STRANGE = [
    None,
    1,
    "CALL",
    (),
    [],
    [*FIVE],
    {1: 2},
    (0,),
    (10,),
    (-1, "add", (), {}, None),
    (True, "add", (), {}, None),
    (1.0, "add", (), {}, None),
    (Decimal(1), "add", (), {}, None),
    (Fraction(1), "add", (), {}, None),
    (numpy.int64(1), "add", (), {}, None),
    (numpy.array([1, 1]), "add", (), {}, None),
    ((1,), "add", (), {}, None),
    ("1", "add", (), {}, None),
    (1 << 70, "add", (), {}, None),
    Pair(2, 3),
    Pair(5, "result"),
]
"""Of no word at all."""


@pytest.mark.parametrize("read", [asked_in, more_in, answer_in])
@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_what_begins_with_no_word_is_refused(read: Callable[[object], object], value: object) -> None:
    if isinstance(value, tuple) and type(value) is not tuple:
        with pytest.raises(BadValue):
            read(value)
        return
    with pytest.raises(BadValue):
        read(travelled(value))


def _changed(row: tuple[Any, ...], place: int, *values: Any) -> list[tuple[Any, ...]]:
    return [(*row[:place], value, *row[place + 1 :]) for value in values]


@pytest.mark.parametrize(
    "value",
    [
        *(FIVE[:length] for length in range(5)),
        (*FIVE, None),
        *(FOUR[:length] for length in range(4)),
        (*FOUR, None),
        *_changed(FIVE, 0, 2, 3, 4, 5, 9),
        *_changed(FOUR, 0, 1, 3, 4, 6),
        *_changed(
            FIVE, 1, "", "a b", "a\n", "a\t", "\x7f", "a" * (NAME_CHARACTERS + 1), b"add", None, 1, ("a",), "\u202e"
        ),
        *_changed(FIVE, 2, [], {}, None, "ab", Pair(1, 2)),
        *_changed(FIVE, 3, [], (), None, OrderedDict(a=1), {1: 2}, {b"a": 1}, {None: 1}, {"a": 1, 2: 3}),
        *_changed(FIVE, 4, 0, -1, True, 1.5, "1", Decimal(1), int(MOST_SECONDS * 1000) + 1, 1 << 70, numpy.int64(3)),
        *_changed(FOUR, 1, "", "a b", None),
        *_changed(FOUR, 2, [1, 2]),
        *_changed(FOUR, 3, {1: 2}),
        (Word.CANCEL.value, None),
        (Word.MORE.value, 1),
        (Word.RESULT.value, 1),
    ],
    ids=repr,
)
def test_what_is_no_question_is_refused(value: object) -> None:
    with pytest.raises(BadValue, match="expected a call"):
        asked_in(value)


@pytest.mark.parametrize(
    "value",
    [
        *[
            (3,),
            (3, 1, 1),
            (3, 0),
            (3, -1),
            (3, MOST_ITEMS + 1),
            (3, True),
            (3, 1.0),
            (3, None),
            (3, "1"),
            (3, 1 << 70),
        ],
        *[(4, 1), (4, None), (5, 1), (1,), FIVE, FOUR, (9,), (3, numpy.int64(1)), (3, numpy.array([1]))],
    ],
    ids=repr,
)
def test_what_a_caller_does_not_say_is_refused(value: object) -> None:
    with pytest.raises(BadValue, match="what a caller says"):
        more_in(value)


FAULT = (6, 1, "ValueError", "text")


@pytest.mark.parametrize(
    "value",
    [
        *[(5,), (5, 1, 2), (7, 1), (8,), (8, 1, 2), (9, 1), (9, None), (1,), FIVE, FOUR, (3, 1), (4,), (6,)],
        *(FAULT[:length] for length in range(4)),
        (*FAULT, ""),
        *_changed(FAULT, 1, 0, 7, True, 1.0, None, "1", 1 << 70, numpy.int64(1)),
        *_changed(FAULT, 2, "", "a b", None, b"a", 1, "a" * (NAME_CHARACTERS + 1), "a\x1b"),
        *_changed(FAULT, 3, None, b"text", 1, "a" * (TEXT_CHARACTERS + 1)),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_no_answer_is_refused(value: object) -> None:
    with pytest.raises(BadValue, match="expected an answer"):
        answer_in(value)


# --- names and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "netstructer.ping", "größe", "加", "a" * NAME_CHARACTERS, "<lambda>"])
def test_what_is_a_name(name: str) -> None:
    assert checked_name(name) == name


def test_a_name_may_be_a_member_of_an_enum_and_travels_as_a_text() -> None:
    asked = ask(ActionName.ADD, (), {}, None, wants_answer=True)

    assert type(asked[1]) is str
    assert asked_in(travelled(asked)) == Asked("add", (), {}, None, True)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\n", "\x00", "a" * (NAME_CHARACTERS + 1), None, 1, b"add", "\ud800"]
)
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(Misuse, match="expected an action's name"):
        checked_name(name)
    with pytest.raises(Misuse):
        ask(name, (), {}, None, wants_answer=False)


@pytest.mark.parametrize("seconds", [0, 0.0, -1, math.nan, math.inf, MOST_SECONDS * 1.001])
def test_what_is_no_time_to_wait(seconds: float) -> None:
    with pytest.raises(Misuse, match="expected a timeout"):
        ask("add", (), {}, seconds, wants_answer=True)


# --- faults -----------------------------------------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Subclassed(str):
    pass


class Shouting(Exception):
    def __str__(self) -> str:
        return Subclassed("loud")


Nameless = type("not a name", (Exception,), {})


def raised(error: BaseException) -> NetstructerError:
    """Return what a caller gets where an action raised this."""
    with pytest.raises(NetstructerError) as caught:
        raise_fault("act", answer_in(travelled(fault(error))))
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "name", "text"),
    [
        (ValueError("too small"), RemoteError, "ValueError", "'act' failed at the peer: ValueError: too small"),
        (ValueError(), RemoteError, "ValueError", "'act' failed at the peer: ValueError"),
        (KeyError("k"), RemoteError, "KeyError", "'act' failed at the peer: KeyError: 'k'"),
        (SystemExit(3), RemoteError, "SystemExit", "'act' failed at the peer: SystemExit: 3"),
        (StopIteration(), RemoteError, "StopIteration", "'act' failed at the peer: StopIteration"),
        (LinkTimeout("late"), RemoteError, "LinkTimeout", "'act' failed at the peer: LinkTimeout: late"),
        (Unspeakable(), RemoteError, "Unspeakable", "'act' failed at the peer: Unspeakable"),
        (Shouting(), RemoteError, "Shouting", "'act' failed at the peer: Shouting: loud"),
        (Nameless("x"), RemoteError, "Exception", "'act' failed at the peer: Exception: x"),
        (UnknownAction("none", name="UnknownAction"), UnknownAction, "UnknownAction", "the peer has no action 'act'"),
        (
            BadArguments("b is missing", name="TypeError"),
            BadArguments,
            "TypeError",
            "'act' takes other arguments: b is missing",
        ),
        (NotPermitted("needs it"), NotPermitted, "NotPermitted", "the peer does not permit 'act': needs it"),
        (NotPermitted(), NotPermitted, "NotPermitted", "the peer does not permit 'act'"),
        (Busy("no thread"), Busy, None, "the peer has no room for 'act' now: no thread"),
        (CallCancelled("enough"), CallCancelled, None, "the peer has given 'act' up: enough"),
    ],
    ids=repr,
)
def test_an_error_is_told_by_its_name_and_text(
    error: BaseException, kind: type[NetstructerError], name: str | None, text: str
) -> None:
    found = raised(error)

    assert type(found) is kind
    assert str(found) == text
    assert found.action == "act"
    assert getattr(found, "name", None) == name
    assert found.__cause__ is None


@pytest.mark.parametrize("blame", list(Blame))
def test_a_fault_of_another_action_is_a_failure_of_the_one_that_called_it(blame: Blame) -> None:
    with pytest.raises(NetstructerError) as inner:
        raise_fault("inner", Answer(Word.FAULT, (blame, "Inner", "why")))
    outer = raised(inner.value)

    assert type(outer) is RemoteError
    assert outer.name == type(inner.value).__name__
    assert "'inner'" in str(outer)
    assert "'act'" in str(outer)


def test_a_fault_is_short_and_obeyed_by_no_terminal() -> None:
    word, blame, name, text = fault(ValueError("a\x1b[2J\nb\u202ec\u2028d\ud800" + "x" * 2000))

    assert (word, blame, name) == (Word.FAULT.value, Blame.FAILED.value, "ValueError")
    assert len(text) == TEXT_CHARACTERS
    assert text.startswith("a [2J b\ufffdc d\ufffdxx")
    assert text.endswith("x…")
    assert answer_in(travelled((word, blame, name, text)))


def test_what_a_peer_says_of_a_fault_is_tamed_once_more() -> None:
    with pytest.raises(RemoteError) as caught:
        raise_fault("act", answer_in((6, 1, "Wrong", "\x1b]0;title\x07\r\nroot#")))

    assert str(caught.value) == "'act' failed at the peer: Wrong:  ]0;title   root#"


# --- the window of a stream -------------------------------------------------------------------------------------------


def taken(window: Window, count: int, charge: int) -> list[int]:
    return [window.took(charge) for _ in range(count)]


def test_large_items_are_asked_for_a_few_at_a_time() -> None:
    assert taken(Window(), 16, WINDOW_BYTES) == [0, 0, 0, 4] * 4


def test_small_items_are_asked_for_many_at_a_time_once_they_are_taken() -> None:
    window = Window()
    asked, ahead, widest = taken(window, 3000, 264), STREAM_ITEMS, 0
    for more in asked:
        ahead += more - 1
        assert ahead >= STREAM_ITEMS // 2
        widest = max(widest, ahead)

    assert asked[:3] == [0, 0, 0]
    assert 0 < asked[3] <= 2 * STREAM_ITEMS  # who stops at the third has cost no more than these
    assert widest == WINDOW_BYTES // 264
    assert max(asked) <= MOST_ITEMS


def test_items_that_grow_are_waited_for_until_few_are_ahead() -> None:
    window = Window()
    taken(window, 1000, 264)
    asked = taken(window, 1000, WINDOW_BYTES)

    assert asked[-8:] == [0, 0, 0, 4, 0, 0, 0, 4]
    assert min(asked) == 0


@given(st.lists(st.integers(256, 1 << 20), min_size=1, max_size=400))
def test_a_window_never_closes_for_good(charges: list[int]) -> None:
    window, ahead = Window(), STREAM_ITEMS
    for charge in charges:
        more = window.took(charge)
        assert 0 <= more <= MOST_ITEMS
        ahead += more - 1
        assert ahead > 0


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "/srv/secret/place"), "No such file or directory"),
        (OSError("/srv/secret/place is odd"), ""),
        (StoreFull("/srv/secret/place is full"), ""),
        (SpoolFull("/srv/secret/place is full"), ""),
        (NotPermitted("expected the permission 'a'"), "expected the permission 'a'"),
        (ValueError("expected a number"), "expected a number"),
    ],
)
def test_a_fault_names_no_place_of_the_machine(error: Exception, text: str) -> None:
    found = fault(error)

    assert (found[2], found[3]) == (type(error).__name__, text)
    assert answer_in(found).value[2] == text
