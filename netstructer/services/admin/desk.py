"""The desk: where one administrator asks for things.  Floor: SERVICES.

Law: nothing is done before it was looked whether he may; whatever came of it is noted.

Each part (`ServerVerbs`, `LinkVerbs`, `UserVerbs` …) is a class of verbs over this one; `Admin` is all of them
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from netstructer.errors import Misuse, NotPermitted
from netstructer.services.accounts import Accounts
from netstructer.services.admin.office import Office
from netstructer.services.admin.verbs import Facts, Verb
from netstructer.services.hall import Hall

__all__ = ["ENTER", "OK", "Desk", "covers", "plain"]

ENTER = "admin.enter"
"""The permission of whoever is let in while the server is in maintenance, and is left alone when it drains."""
OK = "ok"
_ALL = "netstructer-all"
"""A word that is in no permission: only who has all there are under a name has this one, too."""


class Desk:
    """What all parts share: the office, who sits here, and what he may do."""

    _office: Office
    _actor: str
    _source: str
    _may: Callable[[str], bool]
    _link: Any = None
    """The link on which the administrator is; None for who sits at the machine."""

    def _do(self, wanted: Verb, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Do what is asked for.

        Raises `NotPermitted`, `Misuse` for arguments that it does not take, and what the verb raises.
        """
        office, who = self._office, (self._actor, self._source, wanted.action)
        if not self._may(wanted.action):
            office.record_refusal(*who)
            raise NotPermitted(f"expected the permission {wanted.action!r}", permission=wanted.action)
        target = ""
        try:
            values = wanted.bind(positional, named)
            target = wanted.target_of(values)
            found = wanted.function(self, **values)
        except NotPermitted:
            office.record_failure(*who, target, "not permitted")
            raise
        except BaseException as error:
            office.record_failure(*who, target, type(error).__name__)
            raise
        office.record(*who, target, OK)
        return found

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def _server(self) -> Any:
        return self._office.server

    @property
    def _hall(self) -> Hall:
        return self._office.open_hall

    @property
    def _accounts(self) -> Accounts:
        if self._office.accounts is None:
            raise Misuse("this server has no accounts")
        return self._office.accounts

    def _links(self) -> tuple[Any, ...]:
        return self._hall.links()

    def _require_reach(self, patterns: Iterable[str]) -> None:
        """Raise `NotPermitted` unless this administrator has himself what he gives, takes or touches."""
        for pattern in sorted(patterns):
            if not covers(self._may, pattern):
                raise NotPermitted(
                    f"expected to have the permission {pattern!r} oneself: nobody gives, takes or touches more than "
                    "he has",
                    permission=pattern,
                )


def covers(may: Callable[[str], bool], pattern: str) -> bool:
    """Say whether whoever has the permissions that `may` knows of has all that a pattern stands for."""
    if may(_ALL):
        return True
    return may(pattern[:-1] + _ALL) if pattern.endswith("*") else may(pattern)


def plain(facts: Mapping[str, object]) -> Facts:
    """Return facts as what travels and prints: sets and tuples as lists, in order."""
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
