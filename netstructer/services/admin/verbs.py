"""Verbs: the one table of what an administrator may ask for.  Floor: SERVICES.

Law: a verb is a method, and all else is read from it: the action that links may call, the words of the command line,
its help, its completion and its page in the documents.

    @verb("users.ban")
    def ban_user(self, name: Annotated[str, Text("whose")], *, reason: Annotated[str, Text("why")] = "") -> Facts:
        \"\"\"Ban an account, and close its links.\"\"\"

The name is that of the permission, too, with `admin.` before it, so a role may have parts: `admin.users.*`.  Parameters
before the star are words in order, those after it are options.  The first line of the docstring is the help.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, Protocol, TypeVar, get_args, get_origin, get_type_hints

from netstructer.errors import Misuse
from netstructer.services.admin.kinds import Flag, Kind, Secret, Texts

__all__ = ["PREFIX", "Facts", "Parameter", "Table", "Verb", "table_of", "verb"]

PREFIX = "admin."
"""Before the name of each action and of its permission."""
Facts = dict[str, Any]
"""What a verb tells of one thing, by name; times are in seconds since 1970, sizes in bytes."""
_NAME = re.compile(r"[a-z]+(?:-[a-z]+)*(?:\.[a-z]+(?:-[a-z]+)*)?")

P = ParamSpec("P")
R = TypeVar("R")


class Doing(Protocol):
    """What has verbs: it does one when it is asked to, having looked whether it may."""

    def _do(self, wanted: Verb, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Any: ...


D = TypeVar("D", bound=Doing)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a verb."""

    name: str
    kind: Kind
    is_option: bool
    """Whether it is given by name alone: on a command line as `--name`."""
    is_required: bool
    default: Any

    @property
    def option(self) -> str:
        """How it is written on a command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def label(self) -> str:
        """What stands for its value in a usage."""
        return self.kind.label or ("|".join(self.kind.words) if self.kind.words else self.name.upper())

    @property
    def usage(self) -> str:
        """How a usage shows it; nothing, where it is asked for."""
        if isinstance(self.kind, Secret):
            return ""
        if isinstance(self.kind, Flag):
            return f"[{self.option}]"
        shown = f"{self.option} {self.label}" if self.is_option else self.label
        if isinstance(self.kind, Texts):
            shown += " …"
        return shown if self.is_required else f"[{shown}]"


@dataclass(frozen=True, slots=True)
class Verb:
    """One row of the table."""

    name: str
    """`users.ban`: what it is about, and what is done."""
    function: Callable[..., Any]
    help: str
    parameters: tuple[Parameter, ...]
    streams: bool
    """Whether it gives rows one by one, for as long as somebody takes them."""
    aliases: tuple[str, ...]
    """Other words for it on a command line."""
    here_only: bool
    """Whether it is for whoever sits at the machine, and no action that links may call."""

    @property
    def action(self) -> str:
        """The name of the action, and of the permission that it takes."""
        return PREFIX + self.name

    @property
    def words(self) -> str:
        """What is typed for it."""
        return self.name.replace(".", " ")

    @property
    def noun(self) -> str:
        """What it is about; nothing, where that is the server."""
        return self.name.rpartition(".")[0]

    @property
    def usage(self) -> str:
        """How it is typed, with its arguments."""
        return " ".join(filter(None, (self.words, *(parameter.usage for parameter in self.parameters))))

    def bind(self, positional: Iterable[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each parameter, checked.  Raises `Misuse`."""
        values = dict(named)
        places = [parameter.name for parameter in self.parameters if not parameter.is_option]
        given = tuple(positional)
        if len(given) > len(places):
            raise Misuse(f"{self.name}: expected at most {len(places)} arguments without a name, found {len(given)}")
        for name, value in zip(places, given, strict=False):
            if name in values:
                raise Misuse(f"{self.name}: the argument {name} was given twice")
            values[name] = value
        bound = {parameter.name: self._value(parameter, values) for parameter in self.parameters}
        if values:
            raise Misuse(f"{self.name}: expected no such argument as was given beside {', '.join(bound) or 'none'}")
        return bound

    def _value(self, parameter: Parameter, values: dict[str, Any]) -> Any:
        if parameter.name not in values:
            if parameter.is_required:
                raise Misuse(f"{self.name}: the argument {parameter.name} is missing")
            return parameter.default
        value = values.pop(parameter.name)
        if value is None and not parameter.is_required:
            return parameter.default
        try:
            return parameter.kind.check(value)
        except Misuse as error:
            raise Misuse(f"{self.name}: argument {parameter.name}: {error}") from None

    def target_of(self, values: Mapping[str, Any]) -> str:
        """Return whom or what it is done to, as an audit says it: the arguments without names, but for what is said
        and what is secret.
        """
        noted = [one for one in self.parameters if one.kind.is_noted and not one.is_option]
        found = [values.get(parameter.name) for parameter in noted]
        words = [word for value in found for word in (value if isinstance(value, list) else [value])]
        return " ".join(str(word) for word in words if word not in (None, ""))


class Table(Mapping[str, Verb]):
    """All verbs, by name, in the order in which people read them."""

    def __init__(self, verbs: Iterable[Verb]) -> None:
        self._verbs = {found.name: found for found in verbs}
        self.aliases = {alias: found for found in self._verbs.values() for alias in found.aliases}

    def __getitem__(self, name: str) -> Verb:
        return self._verbs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)

    def nouns(self) -> tuple[str, ...]:
        """Return what there are verbs about, the server itself (nothing) first."""
        return tuple(dict.fromkeys(["", *(found.noun for found in self._verbs.values())]))

    def about(self, noun: str) -> tuple[Verb, ...]:
        """Return the verbs about something."""
        return tuple(found for found in self._verbs.values() if found.noun == noun)


def verb(
    name: str, *, aliases: Iterable[str] = (), here_only: bool = False
) -> Callable[[Callable[Concatenate[D, P], R]], Callable[Concatenate[D, P], R]]:
    """Make a verb of the decorated method.  Raises `Misuse` for a row that cannot be right."""

    def decorate(function: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[D, P], R]:
        words = inspect.getdoc(function) or ""
        if not _NAME.fullmatch(name) or not words:
            raise Misuse(f"expected a verb with a name of small letters and a docstring, found {name!r}")
        made = Verb(
            name=name,
            function=function,
            help=words.partition("\n\n")[0].replace("\n", " "),
            parameters=tuple(_parameters_of(name, function)),
            streams=inspect.isgeneratorfunction(function),
            aliases=tuple(aliases),
            here_only=here_only,
        )

        @functools.wraps(function)
        def run(self: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
            found: R = self._do(made, args, kwargs)
            return found

        run.__dict__["verb"] = made
        return run

    return decorate


def table_of(owner: type, nouns: Iterable[str]) -> Table:
    """Return the verbs of a class and its bases, by what they are about in that order."""
    found = [value for base in reversed(owner.__mro__) for value in base.__dict__.values()]
    verbs = [value.verb for value in found if isinstance(getattr(value, "verb", None), Verb)]
    places = {noun: number for number, noun in enumerate(nouns)}
    return Table(sorted(verbs, key=lambda made: places[made.noun]))


def _parameters_of(name: str, function: Callable[..., Any]) -> Iterator[Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint = hints[parameter.name]
        kind = get_args(hint)[1] if get_origin(hint) is Annotated else None
        if not isinstance(kind, Kind) or not kind.help:
            raise Misuse(f"the verb {name}: expected the kind of {parameter.name} in its annotation")
        yield Parameter(
            name=parameter.name,
            kind=kind,
            is_option=parameter.kind is parameter.KEYWORD_ONLY,
            is_required=parameter.default is parameter.empty,
            default=None if parameter.default is parameter.empty else parameter.default,
        )
