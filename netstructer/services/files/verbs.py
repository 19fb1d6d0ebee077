"""The verbs: sharing, removing, renaming, by their paths.  Floor: SERVICES.

Law: what was done is on the disk when a verb returns, and noted; what may not be done is noted by its error.
"""

from __future__ import annotations

import logging
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from netstructer.errors import InvalidName, NetstructerError, TransferRefused, UnsafeName
from netstructer.names import PATH_BYTES, check_parts
from netstructer.services.files.rations import Rations
from netstructer.services.files.shares import Shares
from netstructer.services.files.tree import VirtualTree, is_virtual
from netstructer.services.files.visitors import EVERYBODY, RECEIVE, SEND, SHARE, Visitor, Visitors, check_owner
from netstructer.transfer.manifest import Entry, is_partial_name
from netstructer.transfer.partial import sweep
from netstructer.transfer.places import Tree
from netstructer.transfer.wording import Refused, kind_of, refused

__all__ = ["Note", "Verbs"]

Note = Callable[[str, str, str, str, str], object]
"""`note(actor, source, action, target, result)`: who did what, from where, to what, and what came of it ("ok")."""
logger = logging.getLogger("netstructer")

OK = "ok"


class Verbs(ABC):
    """What a user may do with files beside transferring them.  Thread-safe."""

    visitors: Visitors
    shares: Shares
    tree: VirtualTree
    rations: Rations
    _note: Note | None

    @abstractmethod
    def directory_of(self, owner: Visitor) -> str:
        """Return the directory of a user, made if it is missing."""

    def share(self, visitor: Visitor, path: str, with_: str, *, writable: bool = False, source: str = "") -> None:
        """Let another user, or with `all` everybody, take what is at a path, or with `writable` also change it.

        Raises `NotPermitted`, `UnknownAccount`, `InvalidName`, `UnsafeName`, `LimitReached`, and `TransferRefused`
        where there is nothing of that name.
        """

        def act() -> str:
            visitor.require(SHARE)
            parts = _own(path)
            if "[" in path:
                raise UnsafeName("expected a path without '[': in a request that begins a pattern", name=path)
            guest = self._guest(with_)
            if guest is not None and guest.id == visitor.id:
                raise InvalidName("expected another user than the owner himself")
            with Tree(self.directory_of(visitor)) as tree:
                tree.at(parts[:-1]).status(parts[-1])
            self.shares.add(check_owner(visitor), path, guest, writable=writable)
            return f"{path} with {EVERYBODY if guest is None else guest.name}{', writable' if writable else ''}"

        self._do(visitor, source, "files.share", path, act)

    def unshare(self, visitor: Visitor, path: str, with_: str, *, source: str = "") -> bool:
        """End a share, also for transfers that run; say whether there was one.  Raises as `share` does."""
        found = False

        def act() -> str:
            nonlocal found
            visitor.require(SHARE)
            guest = self._guest(with_)
            found = self.shares.remove(visitor, path, guest)
            return f"{path} with {EVERYBODY if guest is None else guest.name}"

        self._do(visitor, source, "files.unshare", path, act)
        return found

    def list_shares(self, visitor: Visitor) -> list[dict[str, Any]]:
        """Return what a user shares: path, with whom, whether they may change it, since when."""
        return [
            {"path": found.path, "with": found.guest, "writable": found.writable, "since": found.made}
            for found in self.shares.of(visitor)
        ]

    def remove(self, visitor: Visitor, path: str, *, source: str = "") -> None:
        """Remove a file, or a directory with all that is in it, and what has not fully arrived of it.

        Shares of it end: what comes under its name later is another thing.  Raises `NotPermitted`, `UnsafeName`,
        `TransferRefused`.
        """

        def act() -> str:
            visitor.require(SEND)
            owner, own = self.tree.place(visitor, _text(path))
            parts = _own(own)
            with Tree(self.directory_of(owner)) as tree:
                _remove(tree, parts)
            self.shares.end_below(owner.id, own)
            self.rations.usage(owner, self.directory_of(owner))
            return path

        self._do(visitor, source, "files.remove", path, act)

    def rename(self, visitor: Visitor, path: str, new: str, *, source: str = "") -> None:
        """Give a file or a directory another name, or another place in the same user's files; never over another.

        Shares of it go on under the new name.  Raises as `remove` does.
        """

        def act() -> str:
            visitor.require(SEND)
            owner, old = self.tree.place(visitor, _text(path))
            other, own = self.tree.place(visitor, _text(new))
            if owner.id != other.id:
                raise refused("not-permitted", new)
            parts, where = _own(old), _own(own)
            directory = self.directory_of(owner)
            with Tree(directory) as one, Tree(directory) as two:
                here = one.at(parts[:-1])
                here.status(parts[-1])  # before directories are made for it
                here.move(parts[-1], two.make(where[:-1]), where[-1])
            self.shares.rename_below(owner.id, old, own)
            return f"{path} to {new}"

        self._do(visitor, source, "files.rename", path, act)

    def usage(self, visitor: Visitor) -> dict[str, Any]:
        """Return what a user has stored: bytes, how many may be stored (None: no bound), files and directories."""
        if not visitor.may(SEND):
            visitor.require(RECEIVE)
        found = self.rations.usage(visitor, self.directory_of(visitor))
        return {"bytes": found.used, "most": found.most, "files": found.files}

    def _guest(self, name: str) -> Visitor | None:
        return None if name == EVERYBODY else self.visitors.named(name)

    def _do(self, visitor: Visitor, source: str, action: str, path: str, act: Callable[[], str]) -> None:
        """Do it and note it.  What the disk says against it is a refusal, without a path of this machine."""
        try:
            try:
                target = act()
            except Refused as error:
                raise TransferRefused(str(error), name=error.name) from None
            except OSError as error:
                if isinstance(error, NetstructerError):
                    raise
                raise TransferRefused(str(refused(kind_of(error), path)), name=path) from error
        except NetstructerError as error:
            try:
                self.note(visitor.name, source, action, str(path), type(error).__name__)
            except Exception as fault:  # what was wrong with the verb is more to whoever tried it
                logger.error("= %s could not be noted: %s", action, type(fault).__name__)
            raise
        self.note(visitor.name, source, action, target, OK)

    def note(self, actor: str, source: str, action: str, target: str, result: str) -> None:
        """Tell the audit.  Raises what it raises: who did something must know that nobody will."""
        if self._note is not None:
            self._note(actor, source, action, target, result)


def _text(path: object) -> str:
    """Return a path that came in a call.  Raises `UnsafeName` for what is no text, or is longer than a path may be."""
    if not isinstance(path, str) or len(path) > PATH_BYTES:
        raise UnsafeName(f"expected a path as a text of at most {PATH_BYTES} characters")
    return path


def _own(path: str) -> tuple[str, ...]:
    """Return a path of the owner's own files.  Raises `UnsafeName`."""
    if is_virtual(_text(path)):
        raise UnsafeName("expected a path of one's own files", name=path)
    parts = check_parts(path.split("/"))
    if any(map(is_partial_name, parts)):
        raise UnsafeName("expected a path that is no unfinished file", name=path)
    return parts


def _remove(tree: Tree, parts: tuple[str, ...]) -> None:
    """Remove what has a path, and the partials of it.  `FileNotFoundError` where there is neither."""
    directory, name = tree.at(parts[:-1]), parts[-1]
    left = [found for found in directory.names() if is_partial_name(found)]
    # An entry that cannot be offered: no partial is of it, so all of the name go.
    sweep(directory, Entry(name=name, size=-1), left)
    if not directory.has(name):
        if len(left) != sum(map(is_partial_name, directory.names())):
            return
        raise FileNotFoundError(os.strerror(2))
    if stat.S_ISDIR(directory.status(name).st_mode):
        directory.remove_tree(name)
    else:
        directory.remove(name)
