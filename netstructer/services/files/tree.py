"""The tree that a user sees, and which real directory is meant.  Floor: SERVICES.  Law: what is not his is `missing`.

    notes/a.txt              his own
    @ada/docs/plan.txt       what ada shares with him, or with everybody
    @all/ada/docs/plan.txt   the same, where she shares it with everybody

A request is turned into one for a single real directory, its owner's, before `transfer.serve` sees it: the `@ada` is
taken off and the rest must be a path that is shared, or lie below one.  Whether that rest is a name at all, and that no
step and no link leads out, is decided there as for every directory that is served.  No shared path holds a wildcard
(`verbs.py`), so a pattern that begins with one finds that path alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from netstructer.errors import BadValue, InvalidName, UnknownAccount
from netstructer.services.files.shares import Shares
from netstructer.services.files.visitors import EVERYBODY, Visitor, Visitors
from netstructer.services.usernames import fold_name
from netstructer.transfer.gathering import Gathered, entry_at
from netstructer.transfer.leaving import left_of
from netstructer.transfer.manifest import Entry, Taken
from netstructer.transfer.wording import entries_to_tell, read_get, read_ls, refused, verb_of

__all__ = ["Meant", "VirtualTree", "is_virtual"]

MARK = "@"
"""What the names of others begin with, and no name of one's own at the top."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What a request is about: in the owner's directory, as he would have made it himself."""

    owner: Visitor
    request: Any
    paths: tuple[tuple[str, ...], ...] = ()
    """The shared paths that it goes through; none where they are his own files."""
    prefix: str = ""
    """What was taken off the names, `@ada/`; it is put before those of a listing."""


def is_virtual(path: str) -> bool:
    """Say whether a path is of another user."""
    return path.startswith(MARK)


class VirtualTree:
    """Finds out what is meant.  Thread-safe."""

    def __init__(self, visitors: Visitors, shares: Shares) -> None:
        self._visitors = visitors
        self._shares = shares

    def meant(self, visitor: Visitor, first: object) -> Meant | None:
        """Return what a request is about; None for a listing of shares, which no real directory answers.

        Raises `BadValue` for what is no request, and refusals.
        """
        match verb_of(first):
            case "offer":
                return self._offered(visitor, first)
            case "get":
                return self._asked(visitor, read_get(first))
            case "ls":
                return self._listed(visitor, read_ls(first))
        raise BadValue("a request of no known kind")

    def still(self, meant: Meant, visitor: Visitor, *, writing: bool) -> bool:
        """Say whether all that was meant is shared now: the paths were found when the transfer began."""
        return meant.owner.id == visitor.id or self._shares.cover(meant.owner.id, visitor, meant.paths, writing=writing)

    def place(self, visitor: Visitor, path: str) -> tuple[Visitor, str]:
        """Return whose a path is that is to be changed, and what it is called there.  Raises a refusal.

        Of another user's it must lie below what he shares: that itself is his to remove.
        """
        if not is_virtual(path):
            return visitor, path
        owner, rest, _ = self._split(visitor, path)
        above = tuple(rest.split("/"))[:-1]
        if owner.id != visitor.id and not self._shares.cover(owner.id, visitor, (above,), writing=True):
            raise refused("not-permitted", path)
        return owner, rest

    # --- requests ---------------------------------------------------------------------------------------------------

    def _offered(self, visitor: Visitor, first: Any) -> Meant:
        """Names and `into` are looked at before they are known to be names: what they are is decided where they are
        taken.
        """
        fields = first[1]
        if type(fields) is not dict or type(fields.get("into")) is not str or type(fields.get("names")) is not list:
            raise BadValue("expected an offer")
        into, names = fields["into"], fields["names"]
        if not all(type(name) is str for name in names):
            raise BadValue("expected the names of an offer as texts")
        owner, rest, prefix = self._split(visitor, into) if is_virtual(into) else (visitor, into, "")
        if (wrong := next(filter(is_virtual, [rest] if rest else names), None)) is not None:
            raise refused("unsafe", wrong)
        request = ("offer", {**fields, "into": rest})
        if owner.id == visitor.id:
            return Meant(owner, request)
        shared = _Shared(path for path, writable in self._paths(owner, visitor).items() if writable)
        above = tuple(rest.split("/")) if rest else ()
        if (one := shared.cover(above)) is not None:
            return Meant(owner, request, (one,), prefix)
        found = set()
        for name in names:
            cover = shared.cover((*above, *name.split("/")))
            if cover is None:
                raise refused("not-permitted", name)
            found.add(cover)
        return Meant(owner, request, tuple(found), prefix)

    def _asked(self, visitor: Visitor, patterns: list[str]) -> Meant:
        if not any(map(is_virtual, patterns)):
            return Meant(visitor, ("get", {"patterns": patterns}))
        owner, _, prefix = self._split(visitor, next(filter(is_virtual, patterns)))
        shared = self._readable(owner, visitor, prefix)
        rests, paths = [], set()
        for pattern in patterns:
            if not pattern.startswith(prefix):
                raise refused("missing" if f"{pattern}/" == prefix else "too-many", pattern)  # of one directory each
            rests.append(pattern[len(prefix) :])
            paths.update(self._through(owner, visitor, shared, rests[-1], pattern))
        return Meant(owner, ("get", {"patterns": rests}), tuple(paths), prefix)

    def _listed(self, visitor: Visitor, path: str) -> Meant | None:
        if not is_virtual(path):
            return Meant(visitor, ("ls", {"path": path}))
        if path.rstrip("/") in (MARK, f"{MARK}{EVERYBODY}"):
            return None
        owner, rest, prefix = self._split(visitor, path)
        if owner.id != visitor.id and rest in ("", ".", "*"):
            return None
        paths = self._through(owner, visitor, self._readable(owner, visitor, prefix), rest, path)
        return Meant(owner, ("ls", {"path": rest}), tuple(paths), prefix)

    def _readable(self, owner: Visitor, visitor: Visitor, prefix: str) -> _Shared:
        """Return what a visitor may take of an owner's, seen through a prefix."""
        only_all = prefix.startswith(f"{MARK}{EVERYBODY}/")
        return _Shared(self._paths(owner, visitor, only_all=only_all))

    def _through(
        self, owner: Visitor, visitor: Visitor, shared: _Shared, rest: str, path: str
    ) -> list[tuple[str, ...]]:
        """Return the shared path that a path or pattern goes through.  Raises a refusal where there is none."""
        if owner.id == visitor.id:
            return []
        one = shared.cover(tuple(rest.split("/")))
        if one is None:
            raise refused("missing", path)
        return [one]

    # --- listings of shares -----------------------------------------------------------------------------------------

    def tops(self, visitor: Visitor) -> list[Entry]:
        """Return what stands beside one's own files: a directory for each who shares something with one."""
        found = [Entry(name=f"{MARK}{name}", kind="directory") for name in self._owners(visitor)]
        if self._owners(visitor, only_all=True):
            found.insert(0, Entry(name=f"{MARK}{EVERYBODY}", kind="directory"))
        return found

    def shared(self, visitor: Visitor, path: str, directory_of: Any) -> tuple[str, dict[str, Any]]:
        """Return a listing of what one user shares, or of who shares at all; `directory_of(owner)` is a directory."""
        if path.rstrip("/") == MARK:
            return entries_to_tell(self.tops(visitor), left_of([]))
        if path.rstrip("/") == f"{MARK}{EVERYBODY}":
            owners = self._owners(visitor, only_all=True)
            entries = [Entry(name=f"{MARK}{EVERYBODY}/{name}", kind="directory") for name in owners]
            return entries_to_tell(entries, left_of([]))
        owner, _, prefix = self._split(visitor, path)
        paths = self._paths(owner, visitor, only_all=prefix.startswith(f"{MARK}{EVERYBODY}/"))
        if not paths:
            raise refused("missing", path)
        with Gathered(taken=Taken(listed=True)) as gathered:
            tree = gathered.tree(directory_of(owner))
            for shared in paths:
                with suppress(OSError):  # it was removed on the disk, by hand
                    entry_at(gathered, tree, tuple(shared.split("/")), f"{prefix}{shared}")
            return entries_to_tell(gathered.entries, left_of(gathered.left))

    # --- whose it is ------------------------------------------------------------------------------------------------

    def _split(self, visitor: Visitor, path: str) -> tuple[Visitor, str, str]:
        """Return the owner of a path, the path in his directory, and what was taken off.

        A user who is not there, and one who shares nothing with the visitor, are told by the same words.
        """
        word, _, rest = path[len(MARK) :].partition("/")
        prefix = f"{MARK}{word}/"
        only_all = word == EVERYBODY
        if only_all:
            word, _, rest = rest.partition("/")
            prefix += f"{word}/"
        if word == visitor.name and not only_all:
            return visitor, rest, prefix
        try:
            owner = self._visitors.named(fold_name(word))
        except (InvalidName, UnknownAccount):
            raise refused("missing", path) from None
        if owner.id != visitor.id and not self._paths(owner, visitor, only_all=only_all):
            raise refused("missing", path)
        return owner, rest, prefix

    def _paths(self, owner: Visitor, visitor: Visitor, *, only_all: bool = False) -> dict[str, bool]:
        return self._shares.paths(owner.id, visitor, only_all=only_all)

    def _owners(self, visitor: Visitor, *, only_all: bool = False) -> list[str]:
        owners = self._shares.owners(visitor, only_all=only_all)
        return [name for name, number in owners if self._visitors.known(name, number) is not None]


class _Shared:
    """Paths that are shared, to be found from what lies below them: a request may ask a million times."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {tuple(path.split("/")) for path in paths}
        self._depths = sorted({len(parts) for parts in self._paths})

    def cover(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the path that lies at or above another one, the shortest of several; None where there is none."""
        for depth in self._depths:
            if parts[:depth] in self._paths and depth <= len(parts):
                return parts[:depth]
        return None
