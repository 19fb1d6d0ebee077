"""`Bind`: what is run when a packet arrives.  Floor: ROOF.  Law: it gets as many arguments as it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from netstructer.errors import Misuse

__all__ = ["Bind", "runner_of"]

_GIVEN = 3
"""The data of the packet, the packet, the connection that it came over."""


class Bind:
    """An action of yours: derive from it, keep what you like in it, and give it a `run`, which does what is to be done.

    `run(self, data)` takes the data of the packet; `run(self, data, packet)` and `run(self, data, packet, connection)`
    take more.
    """

    def __init__(self, name: str, *args: Any) -> None:
        self.name = name
        self.args = args

    def test(self, string: str = "this is a test") -> None:
        """Print a text."""
        print(string)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def runner_of(bind: object) -> Callable[[Any, Any, Any], object]:
    """Return a function of data, packet and connection that runs what was bound: its `run`, or itself if it is called.

    Raises `Misuse` for what can be neither, or takes more than there is.
    """
    run = getattr(bind, "run", bind)
    if isinstance(bind, type) or not callable(run):
        raise Misuse(
            f"expected a Bind with a run(), or a function of (data, packet, connection), found {_kind_of(bind)}"
        )
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return lambda data, packet, connection: run(data)  # Something built in, which does not say what it takes.
    needed = [p for p in parameters if p.kind in _BY_PLACE and p.default is Parameter.empty]
    if len(needed) > _GIVEN or any(
        p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty for p in parameters
    ):
        raise Misuse(f"{_kind_of(bind)} takes more than (data, packet, connection)")
    taken = [p for p in parameters if p.kind in _BY_PLACE]
    count = _GIVEN if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters) else min(_GIVEN, len(taken))
    return lambda *given: run(*given[:count])


_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _kind_of(bind: object) -> str:
    return f"the class {bind.__name__}: bind an instance" if isinstance(bind, type) else f"a {type(bind).__name__}"
