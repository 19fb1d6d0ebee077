"""Application types: which classes travel, under which names, and how they are made on arrival.  Floor: CODEC.

Law: nothing is ever looked up by a name from the wire but in the table of what this end has registered.

An entry has one of three layouts.  A *record* has named fields in a fixed order (dataclasses, `NamedTuple`, attrs,
msgspec): on arrival its constructor is called with the fields as they came.  A *member* is a member of an `Enum`, by
name (of a `Flag`, by number).  A *custom* type is whatever `to` made of it, and `make` makes of that.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import Any, TypeVar, overload

from netstructer.errors import Misuse

__all__ = ["REGISTRY", "Entry", "Types", "register"]

RECORD_LAYOUT = "record"
MEMBER_LAYOUT = "member"
CUSTOM_LAYOUT = "custom"

C = TypeVar("C", bound=type)


class Entry:
    """One registered class: its name, its layout, how to read an instance and how to make one."""

    __slots__ = ("by_number", "cls", "fields", "head", "layout", "make", "name", "plain", "read")

    cls: type
    name: str
    layout: str
    fields: tuple[str, ...]
    head: bytes
    read: Callable[[Any], Any]
    make: Callable[..., Any]
    plain: bool
    by_number: bool

    def __init__(
        self,
        cls: type,
        name: str,
        layout: str,
        *,
        read: Callable[[Any], Any],
        make: Callable[..., Any],
        fields: Sequence[str] = (),
        plain: bool = False,
        by_number: bool = False,
    ) -> None:
        self.cls = cls
        self.name = name
        self.layout = layout
        self.fields = tuple(fields)
        self.read = read
        self.make = make
        self.plain = plain
        self.by_number = by_number
        self.head = short_text(name)
        if layout == RECORD_LAYOUT:
            self.head += bytes((len(self.fields),)) + b"".join(map(short_text, self.fields))


class Types:
    """A registry of application types.  All methods may be called from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_class: dict[type, Entry] = {}
        self._by_name: dict[bytes, Entry] = {}

    @overload
    def register(self, cls: C, name: str | None = None) -> C: ...

    @overload
    def register(
        self, cls: C, name: str | None = None, *, to: Callable[[Any], Any], make: Callable[[Any], Any]
    ) -> C: ...

    @overload
    def register(self, *, name: str) -> Callable[[C], C]: ...

    def register(
        self,
        cls: Any = None,
        name: str | None = None,
        *,
        to: Callable[[Any], Any] | None = None,
        make: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Let instances of `cls`, exactly, travel from and to this end; returns `cls`, so it is a decorator too.

        `name` (1 to 255 bytes of UTF-8) is what both ends call the type; without it, `cls.__qualname__`.  Dataclasses,
        `NamedTuple`, `Enum`, attrs and msgspec classes need nothing more.  For any other class give both `to`, which
        turns an instance into a value that travels, and `make`, which turns that value into an instance.

        Raises `Misuse` if the name or the class is taken, if the class travels already, or if it cannot be made again
        from its fields.  To register the same class in the same way twice is allowed and changes nothing.
        """
        if cls is None:
            return lambda decorated: self._add(decorated, name, to, make)
        return self._add(cls, name, to, make)

    def _add(
        self, cls: Any, name: str | None, to: Callable[[Any], Any] | None, make: Callable[[Any], Any] | None
    ) -> Any:
        if not isinstance(cls, type):
            raise Misuse(f"register: expected a class, found a {type(cls).__name__}")
        entry = _entry(cls, cls.__qualname__ if name is None else name, to, make)
        key = entry.name.encode()
        with self._lock:
            mine, namesake = self._by_class.get(cls), self._by_name.get(key)
            if mine is not None and mine is namesake and _same(mine, entry):
                return cls
            if mine is not None:
                raise Misuse(f"register: {cls.__qualname__} is registered already, as {mine.name!r}")
            if namesake is not None:
                raise Misuse(f"register: the name {entry.name!r} is taken; give another with name=")
            self._by_class[cls] = entry
            self._by_name[key] = entry
        return cls

    def of_class(self, cls: type) -> Entry | None:
        """Return the entry of exactly this class, or `None`."""
        return self._by_class.get(cls)

    def of_name(self, name: bytes) -> Entry | None:
        """Return the entry registered under this name (UTF-8), or `None`."""
        return self._by_name.get(name)


REGISTRY = Types()
"""The registry that is used when no other is given."""

register = REGISTRY.register


def short_text(text: str) -> bytes:
    """Return one byte of length and the text's UTF-8; raises `Misuse` unless that is 1 to 255 bytes."""
    try:
        raw = text.encode()
    except (UnicodeEncodeError, AttributeError):
        raise Misuse(f"register: {text!r} is no name") from None
    if not 1 <= len(raw) <= 255:
        raise Misuse("register: expected a name of 1 to 255 bytes")
    return bytes((len(raw),)) + raw


def _same(one: Entry, other: Entry) -> bool:
    """Whether two entries were made by the same call; a custom type's functions are compared, a record's follow."""
    if one.head != other.head or one.layout != other.layout:
        return False
    return one.layout != CUSTOM_LAYOUT or (one.read == other.read and one.make == other.make)


def _entry(cls: type, name: str, to: Callable[[Any], Any] | None, make: Callable[[Any], Any] | None) -> Entry:
    if (to is None) != (make is None):
        raise Misuse("register: give both to= and make=, or neither")
    if _travels(cls):
        raise Misuse(f"register: {cls.__qualname__} travels already")
    if to is not None and make is not None:
        return Entry(cls, name, CUSTOM_LAYOUT, read=to, make=make)
    if issubclass(cls, enum.Enum):
        return _enum_entry(cls, name)
    if dataclasses.is_dataclass(cls):
        _refuse_lossy(cls, "__dataclass_fields__" in vars(cls))
        return _dataclass_entry(cls, name)
    names = getattr(cls, "_fields", None)
    if issubclass(cls, tuple) and isinstance(names, tuple):
        _refuse_lossy_tuple(cls)
        return _record(cls, name, names, plain=True, read=tuple)
    if "__attrs_attrs__" in vars(cls):
        _refuse_lossy(cls, True)
        return _attrs_entry(cls, name)
    if isinstance(getattr(cls, "__struct_fields__", None), tuple):
        fields = cls.__struct_fields__  # type: ignore[attr-defined]  # msgspec is never imported here
        return _record(cls, name, fields, make=lambda *values: cls(**dict(zip(fields, values, strict=True))))
    raise Misuse(
        f"register: {cls.__qualname__} is no dataclass, NamedTuple, Enum, attrs or msgspec class; give to= and make="
    )


def _travels(cls: type) -> bool:
    return cls.__qualname__ in _OWN_MODULES.get(cls.__module__, ())


def _refuse_lossy(cls: type, declared: bool) -> None:
    """Raise `Misuse` if instances of a dataclass or attrs class may hold what is in none of its fields."""
    if not declared:
        raise Misuse(
            f"register: {cls.__qualname__} derives from a dataclass and is none itself, so what it adds would be lost; "
            "decorate it with @dataclass, or give to= and make="
        )
    base = next(filter(_travels, cls.__mro__), None)
    if base is not None:
        raise Misuse(
            f"register: {cls.__qualname__} derives from {base.__qualname__}, whose content is in no field and would be "
            "lost; give to= and make="
        )


def _refuse_lossy_tuple(cls: type) -> None:
    """Raise `Misuse` if a class derives from a `NamedTuple` and adds what its fields do not tell."""
    derived = list(takewhile(lambda base: "_fields" not in vars(base), cls.__mro__))
    if any("__new__" in vars(base) for base in derived):
        raise Misuse(
            f"register: {cls.__qualname__} has a __new__ of its own, so it may not be made again from its fields; "
            "give to= and make="
        )
    if cls.__dictoffset__:
        raise Misuse(
            f"register: instances of {cls.__qualname__} have a __dict__, which would be lost; add __slots__ = () to "
            "the class, or give to= and make="
        )


def _enum_entry(cls: type[enum.Enum], name: str) -> Entry:
    if not issubclass(cls, enum.Flag):
        return Entry(cls, name, MEMBER_LAYOUT, read=attrgetter("_name_"), make=cls.__members__.__getitem__)
    return Entry(cls, name, MEMBER_LAYOUT, read=attrgetter("_value_"), make=cls, by_number=True)


def _dataclass_entry(cls: type, name: str) -> Entry:
    fields = dataclasses.fields(cls)
    given = {field.name for field in fields}
    for pseudo in cls.__dataclass_fields__.values():  # type: ignore[attr-defined]  # what is_dataclass looked at
        if pseudo.name in given or pseudo._field_type is not dataclasses._FIELD_INITVAR:  # type: ignore[attr-defined]
            continue
        if pseudo.default is dataclasses.MISSING and pseudo.default_factory is dataclasses.MISSING:
            raise Misuse(
                f"register: {cls.__qualname__}.{pseudo.name} is an InitVar, which an instance does not keep; "
                "give to= and make="
            )
    parts = [(field.name, field.name if field.init else None) for field in fields]
    return _constructed(cls, name, parts, plain=not any(field.kw_only for field in fields))


def _attrs_entry(cls: type, name: str) -> Entry:
    declared = cls.__attrs_attrs__  # type: ignore[attr-defined]  # attrs is never imported here
    # The argument for `_x` is spelled `x`, unless the class says otherwise; newer versions state it as `alias`.
    parts = [
        (field.name, (getattr(field, "alias", None) or field.name.lstrip("_")) if field.init else None)
        for field in declared
    ]
    return _constructed(cls, name, parts, plain=not any(field.kw_only for field in declared))


def _constructed(cls: type, name: str, parts: list[tuple[str, str | None]], *, plain: bool) -> Entry:
    """A class whose constructor takes some fields by the names in `parts`; the others are set on the instance after."""
    fields = [field for field, _argument in parts]
    if plain and all(argument is not None for _field, argument in parts):
        return _record(cls, name, fields, plain=True)

    def make(*values: Any) -> Any:
        made = cls(
            **{argument: value for (_, argument), value in zip(parts, values, strict=True) if argument is not None}
        )
        for (field, argument), value in zip(parts, values, strict=True):
            if argument is None:
                object.__setattr__(made, field, value)
        return made

    return _record(cls, name, fields, make=make)


def _record(
    cls: type,
    name: str,
    fields: Sequence[str],
    *,
    plain: bool = False,
    make: Callable[..., Any] | None = None,
    read: Callable[[Any], Any] | None = None,
) -> Entry:
    if len(fields) > 255:
        raise Misuse(f"register: {cls.__qualname__} has more than 255 fields; give to= and make=")
    if read is None:
        if len(fields) > 1:
            read = attrgetter(*fields)
        elif fields:
            only = attrgetter(fields[0])
            read = lambda item: (only(item),)  # noqa: E731  # one of three spellings of the same reader
        else:
            read = lambda item: ()  # noqa: E731  # likewise
    return Entry(cls, name, RECORD_LAYOUT, read=read, make=make or cls, fields=fields, plain=plain)


_OWN_MODULES = {
    "builtins": {
        "NoneType", "bool", "int", "float", "complex", "str", "bytes", "bytearray", "memoryview", "ellipsis", "range",
        "slice", "list", "tuple", "set", "frozenset", "dict",
    },
    "collections": {"deque", "OrderedDict", "Counter", "defaultdict"},
    "datetime": {"date", "time", "datetime", "timedelta", "timezone"},
    "zoneinfo": {"ZoneInfo"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "uuid": {"UUID"},
    "ipaddress": {"IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "IPv4Interface", "IPv6Interface"},
    "pathlib": {"PurePosixPath", "PureWindowsPath"},
    "pathlib._local": {"PurePosixPath", "PureWindowsPath"},
    "array": {"array"},
    "numpy": {"ndarray"},
    "netstructer.codec.blob": {"Blob"},
}  # fmt: skip
"""What travels without being registered, by module and name, so that no module is imported only to look at it."""
