"""The two façades are twins: the same names, in the same order, with the same parameters; only `await` differs.

What differs besides is written down here, with its reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netstructer import Blob, Link, Server, aio
from netstructer.aio.connecting import connect
from netstructer.conversation import Conversation
from netstructer.server import Broadcast

TWINS = [(Link, aio.Link), (Server, aio.Server), (Conversation, aio.Conversation), (Blob, aio.Blob)]

DUNDERS = {
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
}
PLAIN = {
    *(
        "Link.on",
        "Server.on",
        "Link.conversation",
        "Link.abort",
        "Conversation.wire_bytes",
        "Blob.chunks",
        "Blob.open",
        "Blob.named",
    ),
    *("Blob.from_path", "Blob.from_file", "Blob.from_iter"),
    *("Server.handler", "Server.get", "Server.all", "Server.pop", "Server.count", "Server.suspended"),
    *("Server.link_ended", "Server.link_resumed", "Server.link_suspended"),
}
"""Methods that wait for nothing, or hand out what is awaited: plain at both."""
BLOCKING_ONLY = {
    "Link.transaction": "SQLite waits for a disk inside the user's own block, which is no affair of a loop",
    "Link.outbox": "the outbox of such a link",
    "Link.__init__": "opening a link waits, so it is `connect`",
}
AIO_ONLY = {
    "Blob.read": "`bytes(blob)` cannot be awaited",
}
OPTIONS_ONLY_BLOCKING = {"durable": "as `Link.transaction`"}
OTHER_WORDS = {
    "Link.send": "reads blobs in a thread, and says what cancelling does",
    "Server.serve_forever": "is closed from a task",
    "Server.handler": "a task, no thread",
    "Blob.from_iter": "takes asynchronous iterables, too",
    "Blob.chunks": "for `async for`",
    "Blob.open": "a file that is awaited",
}
"""First sentences that say something else."""


def members(cls: type) -> dict[str, Any]:
    """Return what a class shows: its public names and how it is entered, left and iterated, in order."""
    shown = {**{name: item for base in reversed(cls.__mro__[:-1]) for name, item in vars(base).items()}}
    ours = {"__init__", *DUNDERS, *DUNDERS.values(), "__len__", "__contains__"}
    return {name: item for name, item in shown.items() if not name.startswith("_") or name in ours}


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """Give each name of a blocking class, with the blocking and the awaited member."""
    for blocking, awaited in TWINS:
        theirs = members(awaited)
        for name, item in members(blocking).items():
            full = f"{blocking.__name__}.{name}"
            if full not in BLOCKING_ONLY:
                twin = DUNDERS.get(name, name) if name in DUNDERS and DUNDERS[name] in theirs else name
                yield full, item, theirs.get(twin)


def parameters(function: Callable[..., Any], *, without: set[str] = frozenset()) -> list[tuple[str, Any, Any]]:
    return [
        (name, found.kind, found.default)
        for name, found in inspect.signature(function).parameters.items()
        if name not in without and name != "self"
    ]


def unwrapped(item: Any) -> Any:
    return item.__func__ if isinstance(item, (classmethod, staticmethod)) else item


PAIRS = {full: (blocking, awaited) for full, blocking, awaited in pairs()}


def test_every_name_has_its_twin() -> None:
    """Where one has none: write it, or say here why not."""
    assert [full for full, (_, awaited) in PAIRS.items() if awaited is None] == []
    for full, (blocking, awaited) in PAIRS.items():
        assert isinstance(blocking, property) == isinstance(awaited, property), full


def test_methods_have_the_same_parameters_in_the_same_order() -> None:
    for full, pair in PAIRS.items():
        blocking, awaited = map(unwrapped, pair)
        if callable(blocking) and not (full.endswith("__init__") and not inspect.isfunction(awaited)):
            assert parameters(awaited) == parameters(blocking), full


def test_what_waits_is_a_coroutine_and_what_does_not_is_plain() -> None:
    for full, (blocking, awaited) in PAIRS.items():
        name = full.partition(".")[2]
        plain = full in PLAIN or name in ("__init__", "__len__", "__contains__", "__aiter__", "__iter__")
        if inspect.isfunction(blocking):
            assert inspect.iscoroutinefunction(awaited) != plain, full


def test_the_first_sentence_of_each_says_the_same() -> None:
    for full, pair in PAIRS.items():
        blocking, awaited = (inspect.getdoc(unwrapped(item)) or "" for item in pair)
        if not full.partition(".")[2].startswith("__"):
            assert blocking, full
            assert awaited, full
            assert first_sentence(blocking) == first_sentence(awaited) or full in OTHER_WORDS, full


@pytest.mark.parametrize(("blocking", "awaited"), TWINS[:3])
def test_names_come_in_the_same_order(blocking: type, awaited: type) -> None:
    ours = [name for name in vars(blocking) if not name.startswith("_")]
    theirs = [name for name in vars(awaited) if not name.startswith("_")]

    assert [name for name in theirs if name in ours] == [name for name in ours if name in theirs]


@pytest.mark.parametrize(("blocking", "awaited"), TWINS)
def test_the_awaited_one_shows_no_name_of_its_own(blocking: type, awaited: type) -> None:
    more = {
        f"{blocking.__name__}.{name}"
        for name in members(awaited)
        if name not in members(blocking) and name not in DUNDERS.values()
    }

    assert more <= set(AIO_ONLY)


def test_connect_takes_what_a_link_takes() -> None:
    assert parameters(connect) == parameters(Link.__init__, without=set(OPTIONS_ONLY_BLOCKING))


def test_what_they_return_has_the_same_fields() -> None:
    assert aio.Broadcast._fields == Broadcast._fields
    assert {*aio.Link.__annotations__} == {name for name in Link.__annotations__ if not name.startswith("_")}


def test_what_is_listed_here_is_there() -> None:
    known = {f"{blocking.__name__}.{name}" for blocking, _ in TWINS for name in members(blocking)}
    theirs = {f"{blocking.__name__}.{name}" for blocking, awaited in TWINS for name in members(awaited)}

    assert set(BLOCKING_ONLY) <= known
    assert set(AIO_ONLY) <= theirs
    assert set(OTHER_WORDS) | PLAIN <= known & theirs
    assert set(OPTIONS_ONLY_BLOCKING) <= set(inspect.signature(Link.__init__).parameters)


def first_sentence(text: str) -> str:
    """Return the first sentence, with the words of waiting left out."""
    sentence = " ".join(text.partition("\n\n")[0].split())
    return sentence.partition(". ")[0].rstrip(".")
