"""Actions: what is registered is found by its name, called as it was written, and by nobody who may not."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from enum import StrEnum
from typing import Any

import pytest

from netstructer import actions as module
from netstructer.actions import Action, Actions, Context
from netstructer.address import Address
from netstructer.courtesies import COURTESIES, PING_BYTES
from netstructer.errors import (
    BadArguments,
    CallCancelled,
    MissingDependency,
    Misuse,
    NetstructerError,
    NotPermitted,
    UnknownAction,
)
from netstructer.protocol.calls import Asked


class TheLink(str):
    """A link, as far as a table sees one."""

    account: str | None = None
    user: str | None = "ada"

    def __init__(self, text: str) -> None:
        self.state: dict[str, Any] = {}


class Call:
    """A call under way, as far as a table sees one."""

    peer = Address("192.0.2.1", 5)
    seconds_left: float | None = None
    cancelled = False

    def __init__(self) -> None:
        self.link = TheLink("the link")


def run(table: Actions, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call an action as a link does."""
    _, call = table.prepare(Asked(name, args, kwargs, None, True), Call())
    return call()


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_function_is_registered_under_a_name_or_its_own() -> None:
    table = Actions()

    @table.on("plus")
    def add(a: int, b: int = 1) -> int:
        return a + b

    @table.on
    def minus(a: int, b: int) -> int:
        return a - b

    @table.on()
    def times(a: int, b: int) -> int:
        return a * b

    assert add(1, 2) == 3  # it is what it was
    assert run(table, "plus", 1) == 2
    assert run(table, "plus", 1, b=5) == 6
    assert run(table, "minus", b=1, a=3) == 2
    assert run(table, "times", 2, 3) == 6
    assert list(table) == ["minus", "plus", "times"]
    assert "plus" in table
    assert "add" not in table
    assert 3 not in table


def test_a_name_may_be_of_an_enum() -> None:
    class Name(StrEnum):
        ADD = "add"

    table = Actions()
    table.on(Name.ADD)(lambda: 1)

    assert run(table, "add") == 1
    assert type(next(iter(table))) is str


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a" * 129, 5])
def test_what_is_no_name_registers_nothing(name: Any) -> None:
    table = Actions()
    with pytest.raises(Misuse):
        table.add(name, print)
    with pytest.raises(Misuse):
        table.on("")(functools.partial(print))  # without a name of its own

    assert list(table) == []


def test_the_second_of_a_name_takes_the_place_of_the_first() -> None:
    table = Actions()
    table.add("a", lambda: 1)
    found = table.add("a", lambda: 2)

    assert run(table, "a") == 2
    assert repr(found) == "<Action 'a'>"
    assert repr(table.add("b", print, permission="write")) == "<Action 'b' needs 'write'>"


def test_an_action_can_be_taken_out() -> None:
    table = Actions()
    table.add("a", lambda: 1)
    table.remove("a")
    with pytest.raises(UnknownAction, match="no action 'a'"):
        table.remove("a")
    with pytest.raises(UnknownAction):
        run(table, "a")

    assert table.find_or_none("a") is None


def test_a_table_has_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ACTIONS", 2)
    table = Actions()
    table.add("a", print)
    table.add("b", print)
    table.add("b", print)
    with pytest.raises(Misuse, match="at most 2 actions"):
        table.add("c", print)
    more = Actions()
    more.add("c", print)
    with pytest.raises(Misuse, match="at most 2 actions"):
        table.include(more)

    assert list(table) == ["a", "b"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_table_is_not_copied(copied: Callable[[Actions], object]) -> None:
    with pytest.raises(Misuse, match="cannot be copied"):
        copied(Actions())


# --- what can be an action --------------------------------------------------------------------------------------------


class Tally:
    """State from call to call."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def nothing(self, context: Context) -> str:
        return context.action

    def _hidden(self) -> None:
        raise AssertionError

    @property
    def fact(self) -> int:
        raise AssertionError

    @staticmethod
    def static() -> None:
        raise AssertionError


class Successor:
    def __call__(self, a: int) -> int:
        return a + 1


class CallableRunner(Tally):
    def __call__(self) -> str:
        return "called"


def test_an_object_keeps_its_state_from_call_to_call() -> None:
    table, tally = Actions(), Tally()
    table.on("tally")(tally)  # type: ignore[type-var]  # or an object with `run`

    assert [run(table, "tally"), run(table, "tally", 5), tally.count] == [1, 6, 6]


def test_an_object_that_can_be_called_is_called() -> None:
    table = Actions()
    table.add("next", Successor())
    table.add("both", CallableRunner())

    assert run(table, "next", 1) == 2
    assert run(table, "both") == "called"


def test_each_public_method_of_an_object_becomes_an_action() -> None:
    table, tally = Actions(), Tally()
    table.add_object(tally, prefix="tally.", permission=None)

    assert list(table) == ["tally.nothing", "tally.run"]
    assert run(table, "tally.run", 2) == tally.count == 2
    assert run(table, "tally.nothing") == "tally.nothing"
    table.add_object(tally, prefix="mine.", permission="own")
    with pytest.raises(NotPermitted):
        run(table, "mine.run")


@pytest.mark.parametrize("thing", [None, 5, "text", object(), Tally, int])
def test_what_cannot_be_called_is_refused(thing: Any) -> None:
    with pytest.raises(Misuse, match="of a class, one"):
        Actions().add("a", thing)


def test_an_object_without_public_methods_is_refused() -> None:
    with pytest.raises(Misuse, match="with public methods"):
        Actions().add_object(object())


async def awaited() -> None:
    """Nothing."""


async def awaited_items() -> AsyncIterator[int]:
    yield 1


def items() -> Iterator[int]:
    yield 1


class Awaiting:
    async def __call__(self) -> None:
        """Nothing."""

    async def method(self) -> None:
        """Nothing."""

    def each(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (print, (False, False)),
        (Tally(), (False, False)),
        (awaited, (True, False)),
        (functools.partial(awaited), (True, False)),
        (Awaiting(), (True, False)),
        (Awaiting().method, (True, False)),
        (awaited_items, (True, True)),
        (functools.partial(awaited_items), (True, True)),
        (items, (False, True)),
        (functools.partial(items), (False, True)),
        (Awaiting().each, (False, True)),
    ],
)
def test_it_is_known_what_is_awaited_and_what_streams(function: Any, expected: tuple[bool, bool]) -> None:
    action = Action("a", function, None, check=False)

    assert (action.awaited, action.streams) == expected


# --- arguments --------------------------------------------------------------------------------------------------------


def keywords(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> tuple[Any, ...]:
    return a, b, rest, c, more


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing a required"),
        ((1,), {}, "missing a required"),
        ((1, 2), {"b": 3}, "multiple values"),
    ],
)
def test_arguments_are_held_to_the_signature_before_anything_runs(args: Any, kwargs: Any, text: str) -> None:
    table = Actions()
    table.add("keywords", keywords)
    with pytest.raises(BadArguments, match=text) as caught:
        run(table, "keywords", *args, **kwargs)

    assert (caught.value.name, caught.value.action) == ("TypeError", "")
    assert run(table, "keywords", 1, 2, 4, c=5, a=6) == (1, 2, (4,), 5, {"a": 6})


def test_a_function_that_does_not_tell_its_signature_says_itself_what_is_wrong() -> None:
    table = Actions()
    table.add("max", max)  # of several signatures, and so of none

    assert run(table, "max", 1, 3, 2) == 3
    with pytest.raises(TypeError) as caught:
        run(table, "max")
    assert not isinstance(caught.value, NetstructerError)


def test_the_first_parameter_may_be_the_context_and_callers_do_not_see_it() -> None:
    table = Actions()

    @table.on
    def who(context: Context, what: str) -> tuple[Any, ...]:
        return context.user, context.action, context.peer.host, context.link, context.state, what

    assert run(table, "who", "x") == ("ada", "who", "192.0.2.1", "the link", {}, "x")
    for args, kwargs in (((), {}), (("x", "y"), {}), (("x",), {"context": 1}), ((), {"context": 1, "what": "x"})):
        with pytest.raises(BadArguments):
            run(table, "who", *args, **kwargs)


def test_a_parameter_of_that_name_elsewhere_is_an_ordinary_one() -> None:
    table = Actions()
    table.add("second", lambda a, context: (a, context))
    table.add("named", lambda *, context: context)
    table.add("all", lambda *context: context)

    assert run(table, "second", 1, 2) == (1, 2)
    assert run(table, "named", context=3) == 3
    assert run(table, "all", 1, 2) == (1, 2)


# --- the context ------------------------------------------------------------------------------------------------------


def context_of(table: Actions, call: Call) -> Context:
    table.add("own", lambda context: context)
    _, found = table.prepare(Asked("own", (), {}, None, True), call)
    context = found()
    assert isinstance(context, Context)
    return context


def test_a_context_says_whether_anybody_waits() -> None:
    call = Call()
    context = context_of(Actions(), call)
    context.check()
    assert (context.cancelled, context.seconds_left, context.house) == (False, None, None)
    call.cancelled, call.seconds_left = True, 1.5

    assert (context.cancelled, context.seconds_left) == (True, 1.5)
    with pytest.raises(CallCancelled, match="waits no more"):
        context.check()
    assert repr(context) == "<Context of 'own' for 192.0.2.1:5>"


def test_a_table_knows_its_house_as_long_as_that_is_there() -> None:
    class House:
        pass

    house = House()
    of_server = Actions(COURTESIES, house=house)
    of_link = Actions(of_server)

    assert context_of(of_link, Call()).house is house
    del house
    assert of_link.house is of_server.house is None


# --- permissions ------------------------------------------------------------------------------------------------------


def test_an_action_with_a_permission_runs_for_nobody_until_it_is_said_for_whom() -> None:
    table = Actions()
    table.add("wipe", lambda: "done", permission="admin")
    with pytest.raises(NotPermitted, match="expected the permission 'admin'") as caught:
        run(table, "wipe")
    assert caught.value.permission == "admin"
    asked = []

    @table.permit
    def permits(context: Context, permission: str) -> bool:
        asked.append((context.user, context.action, permission))
        return context.user == "ada"

    assert run(table, "wipe") == "done"
    assert asked == [("ada", "wipe", "admin")]


def test_who_may_not_call_learns_nothing_of_the_arguments() -> None:
    table = Actions()
    table.add("wipe", lambda a: None, permission="admin", check=False)
    with pytest.raises(NotPermitted):
        run(table, "wipe")
    with pytest.raises(UnknownAction):
        run(table, "other")


def test_a_permission_can_be_asked_for_inside() -> None:
    table = Actions()
    table.permit(lambda context, permission: permission == "read")

    @table.on
    def both(context: Context) -> str:
        context.require("read")
        assert context.permits("read")
        assert not context.permits("write")
        context.require("write")
        raise AssertionError

    with pytest.raises(NotPermitted, match="'write'"):
        run(table, "both")


def test_what_says_who_may_and_fails_lets_nobody_in() -> None:
    table = Actions()
    table.add("wipe", lambda: "done", permission="admin")
    table.permit(lambda context, permission: bool([][0]))
    with pytest.raises(IndexError):
        run(table, "wipe")


# --- tables behind tables ---------------------------------------------------------------------------------------------


def test_the_own_of_a_link_come_before_those_of_its_server() -> None:
    server = Actions()
    server.add("who", lambda: "server")
    server.add("where", lambda: "there")
    link = Actions(server)
    link.add("who", lambda: "link")

    assert run(link, "who") == "link"
    assert run(link, "where") == "there"
    assert run(server, "who") == "server"
    assert list(link) == ["where", "who"]
    link.remove("who")
    assert run(link, "who") == "server"


def test_who_may_is_said_by_the_nearest_table() -> None:
    server = Actions()
    server.add("wipe", lambda: "done", permission="admin")
    server.permit(lambda context, permission: True)
    link = Actions(server)

    assert run(link, "wipe") == "done"
    link.permit(lambda context, permission: False)
    with pytest.raises(NotPermitted):
        run(link, "wipe")


def test_a_table_can_be_taken_into_another() -> None:
    behind = Actions()
    behind.add("behind", print)
    part = Actions(behind)
    part.add("a", lambda: 1, permission="p")
    whole = Actions()
    whole.include(part)

    assert list(whole) == ["a"]
    with pytest.raises(NotPermitted):
        run(whole, "a")


# --- the package's own ------------------------------------------------------------------------------------------------


def test_everybody_has_the_courtesies() -> None:
    table = Actions(COURTESIES)
    table.add("open", print)
    table.add("shut", print, permission="admin")
    table.add("ajar", print, permission="clerk")
    table.add("left", print, permission="clerk")
    asked: list[str] = []
    table.permit(lambda context, permission: asked.append(permission) or permission == "clerk")

    assert list(table) == ["ajar", "left", "open", "shut"]
    assert run(table, "netstructer.actions") == ["ajar", "left", "netstructer.actions", "netstructer.ping", "open"]
    assert sorted(asked) == ["admin", "clerk"]
    for value in (None, True, 1.5, -7, "ö" * PING_BYTES, b"x" * PING_BYTES, 1 << (PING_BYTES * 8 - 1)):
        assert run(table, "netstructer.ping", value) is value


def test_without_anybody_who_says_only_what_needs_no_permission_is_shown() -> None:
    table = Actions(COURTESIES)
    table.add("shut", print, permission="admin")

    assert run(table, "netstructer.actions") == ["netstructer.actions", "netstructer.ping"]


@pytest.mark.parametrize("value", ["x" * (PING_BYTES + 1), b"x" * (PING_BYTES + 1), 1 << PING_BYTES * 8, [], (1,), {}])
def test_a_ping_does_not_send_everything_back(value: object) -> None:
    with pytest.raises(BadArguments, match="at most 1024"):
        run(COURTESIES, "netstructer.ping", value)


PING = Actions()
PING.add("netstructer.ping", lambda: "mine")


@pytest.mark.parametrize(
    "take",
    [
        lambda table: table.on("netstructer.ping")(lambda: "mine"),
        lambda table: table.add("netstructer.ping", lambda: "mine"),
        lambda table: table.include(PING),
    ],
)
def test_to_take_the_place_of_one_of_the_packages_own_is_warned_of(take: Callable[[Actions], object]) -> None:
    table = Actions(Actions(COURTESIES))
    with pytest.warns(RuntimeWarning, match=r"'netstructer.ping' is netstructer's own, and is replaced") as caught:
        take(table)

    assert [found.filename for found in caught] == [__file__]
    assert run(table, "netstructer.ping") == "mine"
    assert run(COURTESIES, "netstructer.ping") is None


def test_names_of_ones_own_are_not_warned_of() -> None:
    table = Actions(COURTESIES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.add("ping", print)
        table.add("ping", print)
        table.include(table)

    assert "ping" in table


# --- type hints -------------------------------------------------------------------------------------------------------


def checked(a: int, *rest: str, b: list[int] | None = None, **more: bool) -> tuple[Any, ...]:
    return a, rest, b, more


def test_arguments_are_held_to_their_hints_where_that_is_wanted() -> None:
    pytest.importorskip("typeguard")
    table = Actions()
    table.on("checked", check=True)(checked)

    assert run(table, "checked", 1, "x", "y", b=[2], c=True) == (1, ("x", "y"), [2], {"c": True})
    for args, kwargs, name in (
        (("1",), {}, "a"),
        ((1, "x", 5), {}, "rest"),
        ((1,), {"b": (2,)}, "b"),
        ((1,), {"b": [1] * 99 + ["2"]}, "b"),
        ((1,), {"c": "yes"}, "more"),
    ):
        with pytest.raises(BadArguments, match=f"argument '{name}'") as caught:
            run(table, "checked", *args, **kwargs)
        assert caught.value.__cause__ is None


def test_the_hint_of_a_context_is_one_and_what_has_none_is_not_held_to_any() -> None:
    pytest.importorskip("typeguard")
    table = Actions()

    @table.on(check=True)
    def loose(context: Context, free, tight: int = 1):  # type: ignore[no-untyped-def]  # that is the case under test
        return free, tight

    assert run(table, "loose", object, 2)[1] == 2
    with pytest.raises(BadArguments, match="'tight'"):
        run(table, "loose", object, None)


def test_the_hints_of_methods_and_objects_are_found() -> None:
    pytest.importorskip("typeguard")
    table = Actions()
    table.add("call", Successor(), check=True)
    table.add_object(Tally(), check=True)
    for name in ("call", "run"):
        with pytest.raises(BadArguments):
            run(table, name, "1")

    assert run(table, "call", 1) == 2


def test_a_hint_that_names_nothing_is_refused_when_it_is_registered() -> None:
    pytest.importorskip("typeguard")

    def lost(a: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821 - that is the case under test
        raise AssertionError

    with pytest.raises(Misuse, match="hints that can be resolved"):
        Actions().add("lost", lost, check=True)


def test_without_the_package_that_checks_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typeguard", None)
    with pytest.raises(MissingDependency, match=r"pip install 'netstructer\[check\]'"):
        Actions().add("checked", checked, check=True)
    Actions().add("checked", checked)


def test_what_has_to_be_asked_first_is_known() -> None:
    pytest.importorskip("typeguard")
    found = [Action("a", checked, permission, check=check) for permission in (None, "p") for check in (False, True)]

    assert [action.is_guarded for action in found] == [False, True, True, True]
