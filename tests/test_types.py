"""Application types: who may travel, under which name, and what is refused on either side."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import msgspec
import pytest

from netstructer.codec.blob import Blob
from netstructer.codec.types import REGISTRY, Types, register
from netstructer.codec.values import decode, encode
from netstructer.errors import BadValue, Misuse, UnsendableValue
from strategies import same


@pytest.fixture
def types() -> Types:
    """A registry of the test's own."""
    return Types()


def sent(value: Any, types: Types) -> bytes:
    """Encode to one piece."""
    return b"".join(encode(value, types=types).buffers)


def test_register_is_a_function_and_a_decorator(types: Types) -> None:
    @dataclasses.dataclass
    class Plain:
        x: int

    @types.register
    @dataclasses.dataclass
    class Decorated:
        x: int

    @types.register(name="named")
    @dataclasses.dataclass
    class Named:
        x: int

    assert types.register(Plain, "plain") is Plain
    for item in (Plain(1), Decorated(2), Named(3)):
        assert decode(sent([item], types), types=types) == [item]
    assert b"named" in sent(Named(1), types)
    assert Decorated.__qualname__.encode() in sent(Decorated(1), types)


def test_the_shared_registry_is_the_default() -> None:
    @register(name="test_types.Shared")
    class Shared(NamedTuple):
        x: int

    data = b"".join(encode(Shared(1)).buffers)

    assert same(decode(data), Shared(1))
    assert REGISTRY.of_class(Shared) is REGISTRY.of_name(b"test_types.Shared")


@dataclasses.dataclass
class Thing:
    """One field."""

    x: Any


class Other:
    """No layout of its own."""

    def __init__(self, x: Any) -> None:
        self.x = x


def read_x(item: Any) -> Any:
    """Give the one field."""
    return item.x


@dataclasses.dataclass
class WithInitVar:
    """Cannot be made again from what it keeps."""

    seed: dataclasses.InitVar[int]
    x: int = 0


@dataclasses.dataclass
class WithDefaultInitVar:
    """Can be, with the default."""

    x: int = 0
    seed: dataclasses.InitVar[int] = 5


Many = dataclasses.make_dataclass("Many", [(f"f{number}", int) for number in range(256)])

MISUSES: list[Callable[[Types], Any]] = [
    lambda types: types.register("text"),  # type: ignore[type-var]  # that is the point, here and below
    lambda types: types.register(Thing(1)),  # type: ignore[type-var]
    lambda types: types.register(Other),
    lambda types: types.register(Thing, to=read_x),  # type: ignore[call-overload]
    lambda types: types.register(Thing, make=Thing),  # type: ignore[call-overload]
    lambda types: types.register(Thing, ""),
    lambda types: types.register(Thing, "x" * 256),
    lambda types: types.register(Thing, 5),  # type: ignore[call-overload]
    lambda types: types.register(Thing, "\ud800"),
    lambda types: types.register(WithInitVar),
    lambda types: types.register(Many),
    *(
        lambda types, cls=cls: types.register(cls, "mine", to=str, make=cls)
        for cls in (int, str, dict, type(None), collections.deque, datetime.datetime, Blob)
    ),
    lambda types: (types.register(Thing), types.register(Thing, "again")),
    lambda types: (types.register(Thing, "one"), types.register(Other, "one", to=read_x, make=Other)),
    lambda types: (types.register(Other, to=read_x, make=Other), types.register(Other, to=repr, make=Other)),
    lambda types: (types.register(Thing), types.register(Thing, to=read_x, make=Thing)),
]


@pytest.mark.parametrize("call", MISUSES)
def test_what_cannot_be_registered_is_misuse(call: Callable[[Types], Any], types: Types) -> None:
    with pytest.raises(Misuse):
        call(types)


class Derived(Thing):
    """What it keeps beside x is in no field."""


@dataclasses.dataclass
class Listed(list):  # type: ignore[type-arg]  # any
    """Its items are in no field."""

    x: int


@dataclasses.dataclass
class Spelled(str):
    """Its text is in no field."""

    x: int


@attrs.define(slots=False)
class Keyed(dict):  # type: ignore[type-arg]  # any
    """Its members are in no field."""

    x: int


class Pair(NamedTuple):
    """Two fields."""

    x: Any
    y: Any


class Swapped(Pair):
    """Its constructor takes the fields in another order."""

    __slots__ = ()

    def __new__(cls, y: Any, x: Any) -> Swapped:
        return super().__new__(cls, x, y)


class Swollen(Pair):
    """Its instances may have more than fields."""


class Slim(Pair):
    """Its instances may not."""

    __slots__ = ()


LOSSY = [
    (Derived, "decorate it with @dataclass, or give to= and make="),
    (Listed, "derives from list, whose content is in no field and would be lost; give to= and make="),
    (Spelled, "derives from str"),
    (Keyed, "derives from dict"),
    (Swapped, "has a __new__ of its own"),
    (Swollen, "have a __dict__, which would be lost; add __slots__ = "),
]


@pytest.mark.parametrize(("cls", "text"), LOSSY, ids=[row[0].__name__ for row in LOSSY])
def test_a_class_whose_state_would_be_lost_is_misuse(cls: type, text: str, types: Types) -> None:
    with pytest.raises(Misuse, match=text):
        types.register(cls)

    types.register(cls, to=repr, make=repr)


def test_a_subclass_of_a_named_tuple_that_adds_no_state_travels(types: Types) -> None:
    types.register(Slim)

    assert same(decode(sent([Slim(1, 2)], types), types=types), [Slim(1, 2)])


def test_the_same_call_twice_changes_nothing(types: Types) -> None:
    for _ in range(2):
        types.register(Thing)
        types.register(Other, to=read_x, make=Other)

    assert decode(sent(Thing(1), types), types=types) == Thing(1)


def test_an_init_var_with_a_default_takes_it(types: Types) -> None:
    types.register(WithDefaultInitVar)

    assert decode(sent(WithDefaultInitVar(3), types), types=types) == WithDefaultInitVar(3)


def test_fields_that_the_constructor_does_not_take_are_set_after_it(types: Types) -> None:
    @types.register
    @dataclasses.dataclass(frozen=True, slots=True)
    class Counted:
        x: int
        seen: int = dataclasses.field(init=False, default=0)

    @types.register
    @attrs.frozen
    class Crate:
        _label: str
        weight: int = attrs.field(kw_only=True)
        seen: int = attrs.field(init=False, default=0)

    counted, crate = Counted(1), Crate("a", weight=5)
    object.__setattr__(counted, "seen", 7)
    object.__setattr__(crate, "seen", 8)
    back: Any = decode(sent([counted, crate], types), types=types)

    assert back == [counted, crate]
    assert (back[0].seen, back[1].seen) == (7, 8)


def test_the_constructor_runs_with_the_fields_as_they_came(types: Types) -> None:
    made = []

    @types.register
    @dataclasses.dataclass
    class Loud:
        x: int

        def __post_init__(self) -> None:
            made.append(self.x)

    item = Loud(5)
    decode(sent([item] * 20, types), types=types)

    assert made == [5] + [5] * 20


def test_subclasses_are_not_their_bases(types: Types) -> None:
    class Derived(Thing):
        pass

    types.register(Thing)

    with pytest.raises(UnsendableValue, match="Derived is not registered"):
        encode(Derived(1), types=types)


def test_a_subclass_of_a_builtin_travels_by_to_and_make(types: Types) -> None:
    class Text(str):
        pass

    types.register(Text, to=str, make=Text)
    back = decode(sent({Text("x"): [Text("y")]}, types), types=types)

    assert repr(back) == "{'x': ['y']}"
    assert isinstance(back, dict)
    assert [type(key) for key in back] == [Text]


# --- on arrival -------------------------------------------------------------------------------------------------------


def fails(*arguments: Any, **more: Any) -> Any:
    """Fail, as a constructor may."""
    raise ZeroDivisionError("no")


def registry(*pairs: tuple[Any, dict[str, Any]]) -> Types:
    """A registry with these classes, each under the name T."""
    types = Types()
    for cls, more in pairs:
        types.register(cls, "T", **more)
    return types


class One(enum.Enum):
    """A member, and a second name for it."""

    A = "a"
    B = A
    C = "c"


class Bits(enum.Flag):
    """Two bits."""

    A = 1
    B = 2


class Renamed(NamedTuple):
    """One field by another name than Thing's."""

    y: Any


class FailsToMake(NamedTuple):
    """One field, and a constructor that was replaced."""

    x: Any


FailsToMake.__new__ = fails  # type: ignore[method-assign]  # what an application may do


@dataclasses.dataclass
class Fieldless:
    """Nothing to make a column of."""


THING = registry((Thing, {}))
ARRIVALS: list[tuple[str, bytes, Types, str]] = [
    ("an unknown name", sent(Thing(1), THING), Types(), "the type 'T' is not registered at this end"),
    ("an unknown name in a table", sent([Thing(1)] * 16, THING), Types(), "the type 'T' is not registered"),
    ("other fields", sent(Thing(1), THING), registry((Renamed, {})), "the fields of 'T' are not those"),
    ("other fields in a table", sent([Thing(1)] * 16, THING), registry((Renamed, {})), "the fields of 'T' are not"),
    ("a record for a custom", sent(Thing(1), THING), registry((Other, {"to": read_x, "make": Other})), "another way"),
    ("a custom for a record", b"\xfc\x01T\x01\x01x\x01", THING, "registered in another way"),
    ("a custom for a member", b"\xfc\x01T\x01", registry((One, {})), "registered in another way"),
    ("a member for a custom", b"\xfb\x01T\x01", registry((Other, {"to": read_x, "make": Other})), "in another way"),
    ("a table of members", b"\xf7\x03\x01T", registry((One, {})), "registered in another way"),
    (
        "a table of no fields",
        b"\xf7\x03\x01T\x00",
        registry((dataclasses.make_dataclass("N", []), {})),
        "in another way",
    ),
    ("a constructor that fails", sent(Thing(1), THING), registry((FailsToMake, {})), "not made of what came"),
    ("a table that fails", sent([Thing(1)] * 16, THING), registry((FailsToMake, {})), "not made of the fields"),
    ("a make that fails", b"\xfc\x01T\x01", registry((Other, {"to": read_x, "make": fails})), "not made of what came"),
    ("a make of another type", b"\xfc\x01T\x01", registry((Other, {"to": read_x, "make": str})), "is of another type"),
    ("no such member", b"\xfb\x01T\xa1X", registry((One, {})), "not made of what came"),
    ("a second name", b"\xfb\x01T\xa1B", registry((One, {})), "came by a second name"),
    ("a member by number", b"\xfb\x01T\x01", registry((One, {})), "came as a int"),
    ("a flag by name", b"\xfb\x01T\xa1A", registry((Bits, {})), "came as a str"),
    ("a flag of unknown bits", b"\xfb\x01T\x08", registry((Bits, {})), "not made of what came"),
    ("a flag by bool", b"\xfb\x01T\xec", registry((Bits, {})), "came as a bool"),
    ("a name that is no text", b"\xfa\x01\xff\x00", Types(), "a text is not UTF-8"),
]


@pytest.mark.parametrize(("what", "data", "types", "text"), ARRIVALS, ids=[row[0] for row in ARRIVALS])
def test_what_this_end_cannot_make_is_bad(what: str, data: bytes, types: Types, text: str) -> None:
    with pytest.raises(BadValue, match=text):
        decode(data, types=types)
    with pytest.raises(BadValue, match=text):
        decode((bytes([byte]) for byte in data), types=types)


def test_what_user_code_raised_is_the_cause() -> None:
    with pytest.raises(BadValue) as caught:
        decode(b"\xfc\x01T\x01", types=registry((Other, {"to": read_x, "make": fails})))

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_table_made_of_another_type_is_bad() -> None:
    class Sly(NamedTuple):
        x: Any

    Sly.__new__ = lambda cls, x: Thing(x)  # type: ignore[method-assign,assignment,misc]  # what an application may do

    with pytest.raises(BadValue, match="is of another type"):
        decode(sent([Thing(1)] * 16, THING), types=registry((Sly, {})))


def test_a_key_whose_hash_fails_is_bad(types: Types) -> None:
    @types.register
    @dataclasses.dataclass(frozen=True)
    class Key:
        x: Any

    data = sent(Key([1]), types)

    for container in (b"\x81" + data + b"\x01", b"\xf1\x01" + data, b"\xf3\x01" + data):
        with pytest.raises(BadValue, match="cannot be its"):
            decode(container, types=types)


def test_flags_of_every_combination_travel(types: Types) -> None:
    types.register(Bits, "T")
    combinations = [Bits(number) for number in range(4)]

    assert decode(sent(combinations, types), types=types) == combinations


def test_msgspec_and_attrs_need_no_help(types: Types) -> None:
    @types.register
    class Message(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
        topic_name: str
        body: Any = None

    @types.register
    @attrs.define(slots=False)
    class Plain:
        x: int

    items = [Message(topic_name="a"), Plain(1)]

    assert decode(sent(items, types), types=types) == items


def test_threads_may_register_at_once(types: Types) -> None:
    classes = [dataclasses.make_dataclass(f"C{number}", ["x"]) for number in range(200)]
    outcomes: list[str] = []

    def work(mine: int) -> None:
        for cls in classes:
            types.register(cls)
        try:
            types.register(Thing, f"thing {mine}")
            outcomes.append("first")
        except Misuse:
            outcomes.append("taken")

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["first", "taken", "taken", "taken"]
    assert decode(sent([cls(1) for cls in classes], types), types=types) == [cls(1) for cls in classes]
