"""Roles: names for sets of permissions.  Floor: SERVICES.  Law: what is not granted is denied; nothing here is kept.

A permission is dotted words, `users.ban`.  What is granted is a permission, or a pattern that ends in `*` and stands
for all that goes on behind its dot: `users.*` grants `users.ban` and `users.ban.forever`, neither `users` nor
`usersx.ban`; `*` grants everything.  There is no pattern that takes something away, so the order of grants does not
matter, and nobody loses by a further role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from netstructer.errors import InvalidName, UnknownAccount

__all__ = ["ADMIN", "CLIENT", "Roles", "allows", "check_pattern", "check_permission", "check_role"]

ADMIN, CLIENT = "admin", "client"
"""The roles that are always there: who administers accounts, and who was admitted."""
BUILT_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {ADMIN: frozenset({"*"}), CLIENT: frozenset({"account.*", "chat.say", "files.*"})}
)
"""What they grant at first.  `admin` always grants everything; `client` is the application's to change: what is about
one's own account, and what of the bundled applications is meant for everybody."""
MOST_PATTERNS = 256
"""Patterns of one role: each is compared at each call of an action."""
_WORD = r"[a-z0-9_-]{1,32}"
_ROLE = re.compile(_WORD)
_PERMISSION = re.compile(rf"{_WORD}(?:\.{_WORD}){{0,7}}")
_PATTERN = re.compile(rf"\*|{_WORD}(?:\.{_WORD}){{0,7}}(?:\.\*)?")


class Roles(Mapping[str, frozenset[str]]):
    """What each role grants; immutable.

    `admin` and `client` are there whether they are given or not, and `admin` grants everything.  Raises `InvalidName`.
    """

    __slots__ = ("_roles",)

    def __init__(self, roles: Mapping[str, Iterable[str]] = BUILT_IN) -> None:
        checked = {check_role(name): _check_patterns(patterns) for name, patterns in roles.items()}
        if checked.get(ADMIN, BUILT_IN[ADMIN]) != BUILT_IN[ADMIN]:
            raise InvalidName(f"expected the role {ADMIN} to grant everything ('*'): somebody has to")
        self._roles = {**BUILT_IN, **checked}

    def __getitem__(self, name: str) -> frozenset[str]:
        return self._roles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._roles)

    def __len__(self) -> int:
        return len(self._roles)

    def having(self, name: str, patterns: Iterable[str]) -> Roles:
        """Return these roles, with one more, or with another one under that name."""
        return Roles({**self._roles, name: patterns})

    def without(self, name: str) -> Roles:
        """Return these roles without one.  Raises `UnknownAccount`, and `InvalidName` for one that is always there."""
        if name in BUILT_IN:
            raise InvalidName(f"the role {name} is always there")
        if name not in self._roles:
            raise UnknownAccount("there is no such role")
        return Roles({role: patterns for role, patterns in self._roles.items() if role != name})

    def granted(self, roles: Iterable[str]) -> frozenset[str]:
        """Return all that some roles grant together; a role that is not there grants nothing."""
        return frozenset().union(*(self._roles.get(role, ()) for role in roles))

    def allows(self, roles: Iterable[str], permission: str) -> bool:
        """Say whether some roles grant a permission."""
        return allows(self.granted(roles), permission)

    def __repr__(self) -> str:
        return f"<Roles {', '.join(sorted(self._roles))}>"


def allows(granted: Iterable[str], permission: str) -> bool:
    """Say whether one of some patterns grants a permission.  What is no permission, as a pattern, is granted nobody."""
    if not isinstance(permission, str) or not _PERMISSION.fullmatch(permission):
        return False
    return any(
        pattern in ("*", permission) or (pattern.endswith(".*") and permission.startswith(pattern[:-1]))
        for pattern in granted
    )


def check_permission(permission: str) -> str:
    """Return what is a permission: up to eight words of a-z, 0-9, _ and -, with dots between.  Raises `InvalidName`."""
    if not isinstance(permission, str) or not _PERMISSION.fullmatch(permission):
        raise InvalidName("expected a permission of one to eight words (a-z, 0-9, _ and -) with dots between")
    return permission


def check_pattern(pattern: str) -> str:
    """Return what can be granted: a permission, one with `.*` behind it, or `*`.  Raises `InvalidName`."""
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise InvalidName("expected a permission as 'users.ban', one that stands for more as 'users.*', or '*'")
    return pattern


def check_role(name: str) -> str:
    """Return what is the name of a role: one word of at most 32 of a-z, 0-9, _ and -.  Raises `InvalidName`."""
    if not isinstance(name, str) or not _ROLE.fullmatch(name):
        raise InvalidName("expected the name of a role: one word of at most 32 of a-z, 0-9, _ and -")
    return name


def _check_patterns(patterns: Iterable[str]) -> frozenset[str]:
    if isinstance(patterns, str):
        raise InvalidName("expected several permissions, found one text")
    checked = frozenset(check_pattern(pattern) for pattern in patterns)
    if len(checked) > MOST_PATTERNS:
        raise InvalidName(f"expected at most {MOST_PATTERNS} permissions in a role, found {len(checked)}")
    return checked
