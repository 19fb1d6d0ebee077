"""Actions: what a peer may call by name.  Floor: COMMONS.  Law: a table; what is not in it is not run.

    actions = Actions()

    @actions.on("add")
    def add(a: int, b: int) -> int:
        return a + b

A table belongs to a server, for all of its links, or to one link, whose own come first.  An action is a plain function,
a coroutine function (in asyncio), a generator, whose items are streamed to the caller, or an object: one that can be
called, or whose `run` can.  An object keeps its state from call to call; `add_object` makes an action of each public
method of one.

A function whose first parameter is named `context` gets the `Context` of the call there; callers do not see it.

Nothing is run that was not registered, by a name or otherwise: a name from the wire is looked up here and nowhere else.
Arguments are bound to the signature before anything runs.  An action with a permission runs for nobody until `permits`
says for whom.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol, TypeVar, get_type_hints, overload

from netstructer.address import Address
from netstructer.errors import BadArguments, CallCancelled, MissingDependency, Misuse, NotPermitted, UnknownAction
from netstructer.protocol.calls import Asked, checked_name

__all__ = ["Action", "Actions", "Call", "Context", "user_of"]

RESERVED = "netstructer."
"""Names that begin like this are the package's own: to take one is warned of."""
MOST_ACTIONS = 4096
"""Of one table: more than a program has functions that a peer should reach."""

F = TypeVar("F", bound=Callable[..., Any])
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Call(Protocol):
    """One call under way, as its façade sees it."""

    @property
    def link(self) -> Any: ...
    @property
    def peer(self) -> Address: ...
    @property
    def seconds_left(self) -> float | None: ...
    @property
    def cancelled(self) -> bool: ...


def user_of(link: Any) -> str | None:
    """Return who a link's peer is: as whom it has logged in, or whose key it proved; None where neither is known."""
    found = link.account or link.user
    return None if found is None else str(found)


class Context:
    """What an action is told of the call that it serves."""

    __slots__ = ("_call", "_table", "action", "house")

    def __init__(self, call: Call, action: Action, table: Actions) -> None:
        self._call, self._table = call, table
        self.action = action.name
        """The name by which it was called."""
        self.house = table.house
        """What the table belongs to: the server, or None at a client."""

    @property
    def link(self) -> Any:
        """The link on which the call came."""
        return self._call.link

    @property
    def peer(self) -> Address:
        """Where the caller is."""
        return self._call.peer

    @property
    def user(self) -> str | None:
        """Whose key the caller proved, or as whom it has logged in; None where neither is known."""
        return user_of(self.link)

    @property
    def state(self) -> dict[str, Any]:
        """What this end keeps with the link, for as long as it lives."""
        state: dict[str, Any] = self.link.state
        return state

    @property
    def seconds_left(self) -> float | None:
        """How long the caller still waits; None where it has not said."""
        return self._call.seconds_left

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: the caller has cancelled, its time is over, or the link is."""
        return self._call.cancelled

    def check(self) -> None:
        """Raise `CallCancelled` where nobody waits any more: for loops that take long."""
        if self.cancelled:
            raise CallCancelled("the caller waits no more")

    def permits(self, permission: str) -> bool:
        """Say whether the caller has a permission."""
        return self._table.permits(self, permission)

    def require(self, permission: str) -> None:
        """Raise `NotPermitted` where the caller lacks a permission."""
        if not self.permits(permission):
            raise NotPermitted(f"expected the permission {permission!r}", permission=permission)

    def names(self) -> list[str]:
        """Return the names of the actions that the caller may call, in order."""
        granted: dict[str | None, bool] = {None: True}
        found = []
        for name in self._table.names():
            action = self._table.find_or_none(name)
            if action is None:  # taken out meanwhile
                continue
            if action.permission not in granted:
                granted[action.permission] = self.permits(action.permission or "")
            if granted[action.permission]:
                found.append(name)
        return found

    def __repr__(self) -> str:
        return f"<Context of {self.action!r} for {self.peer}>"


class Action:
    """One function under one name."""

    __slots__ = (
        "_check",
        "_function",
        "_signature",
        "awaited",
        "is_guarded",
        "is_quick",
        "name",
        "permission",
        "streams",
        "wants_context",
    )

    def __init__(self, name: str, function: Callable[..., Any], permission: str | None, *, check: bool) -> None:
        run = function if callable(function) else getattr(function, "run", None)
        if not callable(run) or inspect.isclass(run):
            raise Misuse(
                "expected a function, an object that can be called, or one with a method `run`; of a class, one"
            )
        self.name, self.permission = name, permission
        # Of an object that can be called, what is called; of a partial, what it is of.
        kinds = (run, type(run).__call__)
        self.awaited = any(map(inspect.iscoroutinefunction, kinds)) or any(map(inspect.isasyncgenfunction, kinds))
        """Whether it has to be run in a loop."""
        self.streams = any(map(inspect.isgeneratorfunction, kinds)) or any(map(inspect.isasyncgenfunction, kinds))
        """Whether to call it runs nothing of it yet."""
        self.is_quick = False
        """Whether it has been seen to return at once."""
        self.is_guarded = check or permission is not None
        """Whether it may take long to find out whether it is to be run."""
        try:
            signature = inspect.signature(run)
        except (TypeError, ValueError):  # some functions written in C do not tell
            signature = None
        first = next(iter(signature.parameters.values()), None) if signature is not None else None
        self.wants_context = first is not None and first.name == "context" and first.kind in _POSITIONAL
        self._signature = signature
        self._check = _checked(run) if check and signature is not None else None
        self._function: Callable[..., Any] = run

    def bind(self, asked: Asked, context: Context) -> Callable[[], Any]:
        """Return the call, ready to be made.  Raises `BadArguments` where the signature has no such call."""
        positional = (context, *asked.positional) if self.wants_context else asked.positional
        named = asked.named
        if self._signature is not None:
            try:
                bound = self._signature.bind(*positional, **named)
            except TypeError as error:
                raise BadArguments(str(error), name="TypeError") from None
            if self._check is not None:
                self._check(bound)
        function = self._function
        return lambda: function(*positional, **named)

    def __repr__(self) -> str:
        needs = "" if self.permission is None else f" needs {self.permission!r}"
        return f"<Action {self.name!r}{needs}>"


class Actions:
    """A table of actions.  Names that are not in it are looked for in `parent`."""

    def __init__(self, parent: Actions | None = None, *, house: Any = None, shown: bool = True) -> None:
        self._actions: dict[str, Action] = {}
        self._shown = shown
        self._parent = parent
        self._house = None if house is None else weakref.ref(house)
        self._permits: Callable[[Context, str], bool] | None = None

    @property
    def house(self) -> Any:
        """What the table belongs to: a server; None where that is a client's link."""
        if self._house is not None:
            return self._house()
        return None if self._parent is None else self._parent.house

    @overload
    def on(self, name: F) -> F: ...
    @overload
    def on(
        self, name: str | None = None, *, permission: str | None = None, check: bool = False
    ) -> Callable[[F], F]: ...
    def on(self, name: Any = None, *, permission: str | None = None, check: bool = False) -> Any:
        """Register the decorated function, under its own name where none is given.

        `permission` is what a caller must have.  With `check` each argument is held to its type hint, which takes the
        extra `check`.  A second function of the same name takes the place of the first; for one of the package's own
        names that is warned of.  Raises `Misuse`, `MissingDependency`.
        """
        if callable(name):
            return self.on(permission=permission, check=check)(name)

        def register(function: F) -> F:
            named = checked_name(name or getattr(function, "__name__", ""))
            self._add(Action(named, function, permission, check=check), stacklevel=3)
            return function

        return register

    def add(
        self, name: str, function: Callable[..., Any] | object, *, permission: str | None = None, check: bool = False
    ) -> Action:
        """Register a function, or an object with a method `run`.  As `on` does."""
        action = Action(checked_name(name), function, permission, check=check)  # type: ignore[arg-type]  # or an object
        self._add(action, stacklevel=3)
        return action

    def _add(self, action: Action, *, stacklevel: int) -> None:
        name = action.name
        if name.startswith(RESERVED) and self.find_or_none(name) not in (None, action):
            text = f"the action {name!r} is netstructer's own, and is replaced"
            warnings.warn(text, RuntimeWarning, stacklevel=stacklevel)
        if len(self._actions) >= MOST_ACTIONS and name not in self._actions:
            raise Misuse(f"expected at most {MOST_ACTIONS} actions in one table")
        self._actions[name] = action

    def add_object(
        self, instance: object, *, prefix: str = "", permission: str | None = None, check: bool = False
    ) -> None:
        """Register each public method of an object, inherited ones too, as `prefix` and its name.  Raises `Misuse`
        where it has none.
        """
        names = [
            name
            for name in dir(type(instance))
            if not name.startswith("_") and inspect.isfunction(inspect.getattr_static(type(instance), name))
        ]
        if not names:
            raise Misuse("expected an object with public methods")
        for name in names:
            self.add(prefix + name, getattr(instance, name), permission=permission, check=check)

    def include(self, table: Actions) -> None:
        """Register all actions of another table, without those that it has behind it."""
        for action in tuple(table._actions.values()):
            self._add(action, stacklevel=3)

    def remove(self, name: str) -> None:
        """Take an action out.  Raises `UnknownAction`."""
        if self._actions.pop(name, None) is None:
            raise UnknownAction(f"there is no action {name!r}", name="UnknownAction")

    def find_or_none(self, name: str) -> Action | None:
        """Return an action, or None."""
        table: Actions | None = self
        while table is not None:
            if (found := table._actions.get(name)) is not None:
                return found
            table = table._parent
        return None

    def find(self, name: str) -> Action:
        """Return an action.  Raises `UnknownAction`."""
        found = self.find_or_none(name)
        if found is None:
            raise UnknownAction(f"there is no action {name!r}", name="UnknownAction")
        return found

    def prepare(self, asked: Asked, call: Call) -> tuple[Action, Callable[[], Any]]:
        """Return the action that is asked for and the call, ready to be made.

        Raises `UnknownAction`, `NotPermitted`, `BadArguments`, in that order: who may not call an action learns nothing
        of its arguments.
        """
        action = self.find(asked.name)
        context = Context(call, action, self)
        if action.permission is not None:
            context.require(action.permission)
        return action, action.bind(asked, context)

    def permit(self, permits: Callable[[Context, str], bool]) -> Callable[[Context, str], bool]:
        """Let `permits(context, permission)` say what a caller may do.  Without, nobody has any permission."""
        self._permits = permits
        return permits

    def permits(self, context: Context, permission: str) -> bool:
        """Say whether a caller has a permission."""
        table: Actions | None = self
        while table is not None:
            if table._permits is not None:
                return bool(table._permits(context, permission))
            table = table._parent
        return False

    def __iter__(self) -> Iterator[str]:
        """The names, the parent's included, in order; without the courtesies, which every link has."""
        return iter(self.names(shown=True))

    def names(self, *, shown: bool = False) -> list[str]:
        """Return all names, the parent's included, in order, or those that are `shown`."""
        found: set[str] = set()
        table: Actions | None = self
        while table is not None:
            if table._shown or not shown:
                found.update(table._actions)
            table = table._parent
        return sorted(found)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find_or_none(name) is not None

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Misuse("a table of actions cannot be copied or pickled")


def _checked(function: Callable[..., Any]) -> Callable[[inspect.BoundArguments], None]:
    """Return what holds bound arguments to the type hints of a function, and raises `BadArguments`.

    Raises `Misuse` for hints that name what is not there.
    """
    try:
        from typeguard import CollectionCheckStrategy, TypeCheckError, check_type
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "to check arguments takes the package typeguard: pip install 'netstructer[check]'"
        ) from error
    try:
        hints = get_type_hints(function if inspect.isroutine(function) else type(function).__call__)
    except NameError as error:
        raise Misuse(f"expected type hints that can be resolved, found one that cannot: {error}") from error

    def check(bound: inspect.BoundArguments) -> None:
        for name, found in bound.arguments.items():
            if name not in hints:
                continue
            kind = bound.signature.parameters[name].kind
            each = (found,)
            if kind is inspect.Parameter.VAR_POSITIONAL:
                each = found
            elif kind is inspect.Parameter.VAR_KEYWORD:
                each = tuple(found.values())
            for value in each:
                try:
                    check_type(value, hints[name], collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
                except TypeCheckError as error:
                    raise BadArguments(f"argument {name!r}: {error}", name="TypeError") from None

    return check
