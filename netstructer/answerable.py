"""Answerable: what a link of either façade keeps for what its peer calls, and for its application.  Floor: FAÇADES.

Law: a link that nobody calls keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from netstructer.actions import Actions
from netstructer.courtesies import COURTESIES

__all__ = ["Answerable", "Registering"]

F = TypeVar("F", bound=Callable[..., Any])


class Registering:
    """Whoever has a table of actions: a link for its peer, a server for all of its clients."""

    actions: Any

    @overload
    def on(self, name: F) -> F: ...
    @overload
    def on(
        self, name: str | None = None, *, permission: str | None = None, check: bool = False
    ) -> Callable[[F], F]: ...
    def on(self, name: Any = None, *, permission: str | None = None, check: bool = False) -> Any:
        """Register the decorated function as an action that whoever is at the other end may call, under its own name
        where none is given: `actions.on` says how.
        """
        return self.actions.on(name, permission=permission, check=check)


class Answerable(Registering):
    """The actions and the state of a link."""

    _told: Any
    _account: str | None = None
    _actions: Actions | None = None
    _state: dict[str, Any] | None = None

    @property
    def actions(self) -> Actions:
        """What the peer may call on this link; at a server, what it may call on all of them is found behind it."""
        if self._actions is None:
            house = self._told.house
            self._actions = Actions(COURTESIES if house is None else house.actions)
        return self._actions

    @property
    def since(self) -> float:
        """When the link was opened, in seconds since 1970, by this machine's clock."""
        return float(self._told.since)

    @property
    def account(self) -> str | None:
        """At a server with accounts: as whom the peer has logged in on this link; whoever lets it in sets that."""
        return self._account

    @account.setter
    def account(self, name: str | None) -> None:
        self._account = name

    @property
    def state(self) -> dict[str, Any]:
        """What the application keeps with this link: a dict that lives as long as it does, and never travels."""
        if self._state is None:
            self._state = {}
        return self._state
