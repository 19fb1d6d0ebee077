"""Shared files: what the users of a server keep there, give each other, and how much.  Floor: SERVICES.

Law: a request reaches the disk as one of its owner's, in one directory, or not at all.  Docs: docs/shared-files.md.

    with Server(...) as server, SharedFiles(Hall(server), "/srv/files", "/srv/shares.db", signin=signin):
        ...

answers the requests for files (docs/files.md) of every link of the server, and gives clients the actions
`files.share(path, with_, writable=False)`, `files.unshare(path, with_)`, `files.shares()`, `files.remove(path)`,
`files.rename(path, new)` and `files.usage()`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from netstructer.actions import Actions, Context, user_of
from netstructer.errors import BadValue, Misuse, NetstructerError, NotPermitted, TransferRefused, UnsafeName
from netstructer.services.accounts import Accounts
from netstructer.services.files.rations import MOST_FILES, MOST_UPLOAD_BYTES, Rations
from netstructer.services.files.shares import Shares
from netstructer.services.files.spelling import Spelling
from netstructer.services.files.tree import Meant, VirtualTree
from netstructer.services.files.verbs import OK, Note, Verbs
from netstructer.services.files.visitors import RECEIVE, SEND, Visitor, Visitors
from netstructer.services.hall import Hall
from netstructer.services.patience import STALL_SECONDS
from netstructer.services.room import Answered, Room
from netstructer.services.signin import SignIn
from netstructer.transfer import Channel, Entry, Transfer, serve
from netstructer.transfer.channel import telling
from netstructer.transfer.wording import refused, verb_of

__all__ = ["ROLES", "SharedFiles", "define_roles"]

logger = logging.getLogger("netstructer")

ROLES = {
    "sender": frozenset({"account.*", "files.send", "files.share"}),
    "receiver": frozenset({"account.*", "files.receive"}),
}
"""Roles for who only brings files, and who only takes them; `client` and `admin` do both."""
AGAIN_SECONDS = 0.2
"""How often it is asked, while bytes move, whether they still may: as soon as a person can notice, and 5 looks into the
accounts a second."""
_TOLD_SECONDS = 1.0
"""How long a refusal may take to leave."""


def define_roles(accounts: Accounts, *, by: str = "") -> None:
    """Make the roles `sender` and `receiver` where they are missing; those that are there stay as they are."""
    there = accounts.roles()
    for name, permissions in ROLES.items():
        if name not in there:
            accounts.define_role(name, permissions, by=by)


class SharedFiles(Verbs):
    """The files of one server's users, below `directory`, which exists; `with` closes the shares.  Thread-safe.

    `store` is the file of the shares.  With `signin` a user is an account, who may what his roles say, and stores what
    his quota `files.bytes` says; without, a user is whose key was proved, and `most_stored` is what each may store.
    `most_upload` bounds one transfer, `most_files` the files of a user.  `note(actor, source, action, target, result)`
    is told of every transfer and every verb: an audit.  `stall` is how long nothing may move, in seconds.

    Links are answered from when they open, as long as the server lives: the application accepts no conversations of its
    own beside.  For a server of asyncio this is made in its loop.

    Raises `OSError` where the directory is none, and what `Store` raises.
    """

    def __init__(
        self,
        hall: Hall,
        directory: str | os.PathLike[str],
        store: str | os.PathLike[str],
        *,
        signin: SignIn | None = None,
        most_stored: int | None = None,
        most_upload: int = MOST_UPLOAD_BYTES,
        most_files: int = MOST_FILES,
        note: Note | None = None,
        stall: float = STALL_SECONDS,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (most_stored is not None and most_stored < 0) or most_upload < 1 or most_files < 1:
            raise Misuse("expected bounds of files above zero")
        self.path = os.path.realpath(directory)
        with os.scandir(self.path):
            pass  # it is a directory, and may be read
        self._hall = hall
        self._note = note
        self._clock = clock
        self.visitors = Visitors(signin)
        accounts = None if signin is None else signin.accounts
        self.rations = Rations(accounts, most_stored=most_stored, most_upload=most_upload, most_files=most_files)
        self.shares = Shares(store, wall=wall)
        self.tree = VirtualTree(self.visitors, self.shares)
        self._room = _Room(self, stall)
        self._lock = threading.Lock()
        self._attended: set[str] = set()
        hall.server.actions.include(_actions_of(self))
        hall.server.observers.add(self._happened)
        for link in hall.links():
            self._attend(link)

    def directory_of(self, owner: Visitor) -> str:
        """Return the directory of a user, made if it is missing."""
        path = os.path.join(self.path, owner.id)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        return path

    def close(self) -> None:
        """Close the shares, and answer no more links.  May be called twice."""
        self._hall.server.observers.remove(self._happened)
        self.shares.close()

    def __enter__(self) -> SharedFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SharedFiles in {self.path}>"

    # --- requests ---------------------------------------------------------------------------------------------------

    def answer(self, link: Any, channel: Channel, first: object) -> Transfer | None:
        """Answer one request, as `transfer.serve` does."""
        try:
            with telling(channel, timeout=_TOLD_SECONDS):
                visitor = self._visitor_for(link, first)
                meant = self.tree.meant(visitor, first)
                if meant is None:
                    channel.send(self.tree.shared(visitor, first[1]["path"], self.directory_of))  # type: ignore[index]  # a listing
                    return None
        except (BadValue, TransferRefused, UnsafeName):
            return None  # the asker has been told
        return self._serve(link, channel, visitor, meant)

    def _visitor_for(self, link: Any, first: object) -> Visitor:
        try:
            visitor = self.visitors.on(link)
        except NotPermitted as error:
            raise refused("not-permitted") from error
        verb = verb_of(first)
        permitted = visitor.may(SEND if verb == "offer" else RECEIVE) or (verb == "ls" and visitor.may(SEND))
        if not permitted:
            raise refused("not-permitted")
        return visitor

    def _serve(self, link: Any, channel: Channel, visitor: Visitor, meant: Meant) -> Transfer | None:
        verb = verb_of(meant.request)
        writing = verb == "offer"
        asked_at = self._clock()

        def still(_: object = None) -> None:
            """Raise where the share was ended, or the user may no more: a few times a second, while bytes move."""
            nonlocal asked_at
            if self._clock() - asked_at < AGAIN_SECONDS:
                return
            asked_at = self._clock()
            now = self._visitor_for(link, meant.request)
            if now.id != visitor.id or not self.tree.still(meant, now, writing=writing):
                raise refused("not-permitted")

        def more() -> list[Entry]:
            return self.tree.tops(visitor) if verb == "ls" and not meant.request[1]["path"] else []

        directory = self.directory_of(meant.owner)
        if not writing:
            spelling = Spelling(channel, meant.prefix, more)
            return serve(spelling, meant.request, directory, progress=still, clock=self._clock)
        with self.rations.ration(meant.owner, directory, check=still) as ration:
            return serve(channel, meant.request, directory, allowance=ration, progress=still, clock=self._clock)

    # --- links ------------------------------------------------------------------------------------------------------

    def _happened(self, happening: Any) -> None:
        if happening.what == "ended":
            self._attended.discard(happening.link_id)
        elif happening.what == "opened" and (link := self._hall.server.registry.get(id=happening.link_id)) is not None:
            self._attend(link)

    def _attend(self, link: Any) -> None:
        with self._lock:
            is_new = link.id not in self._attended
            self._attended.add(link.id)
        if is_new:
            self._hall.attend(link, lambda channel: self._room.converse(link, channel, self._report))

    def _report(self, answered: Answered) -> None:
        """Note a transfer that is over, and count it.  Raises nothing: the next request is answered."""
        if answered.command not in ("put", "get"):
            return
        done, link = answered.done, answered.link
        arrived = [] if done is None else [each for each in done.outcomes if each.status in ("sent", "resumed", "same")]
        result = _result_of(answered, len(arrived))
        try:
            self.note(user_of(link) or "", str(link.peer.host), f"files.{answered.command}", answered.subject, result)
            signin = self.visitors.signin
            if signin is not None and done is not None and (account := signin.account_of(link)) is not None:
                word = "sent" if answered.command == "put" else "received"
                signin.accounts.increment_all(
                    account, {f"files {word}": len(arrived), f"file bytes {word}": done.moved}
                )
        except Exception as error:
            logger.error("= a transfer of link %s could not be noted: %s", link.id, type(error).__name__)


class _Room(Room):
    """Answers from the files of whoever asks."""

    def __init__(self, files: SharedFiles, stall: float) -> None:
        super().__init__(stall)
        self._files = files

    def _answer(self, link: Any, channel: Channel, first: object) -> Transfer | None:
        return self._files.answer(link, channel, first)


def _result_of(answered: Answered, arrived: int) -> str:
    if answered.error is not None:
        known = isinstance(answered.error, NetstructerError)
        return str(answered.error) if known else type(answered.error).__name__
    done = answered.done
    failed = 0 if done is None else len(done.missing)
    return OK if not failed else f"{arrived} arrived, {failed} did not"


def _actions_of(files: SharedFiles) -> Actions:
    """Return the table of what clients call; each asks anew who calls."""
    actions = Actions()

    def on(context: Context) -> tuple[Visitor, dict[str, str]]:
        return files.visitors.on(context.link), {"source": str(context.peer.host)}

    @actions.on("files.share")
    def share(context: Context, path: str, with_: str, writable: bool = False) -> None:
        visitor, source = on(context)
        files.share(visitor, path, with_, writable=writable is True, **source)

    @actions.on("files.unshare")
    def unshare(context: Context, path: str, with_: str) -> bool:
        visitor, source = on(context)
        return files.unshare(visitor, path, with_, **source)

    @actions.on("files.shares")
    def shares(context: Context) -> list[dict[str, Any]]:
        return files.list_shares(on(context)[0])

    @actions.on("files.remove")
    def remove(context: Context, path: str) -> None:
        visitor, source = on(context)
        files.remove(visitor, path, **source)

    @actions.on("files.rename")
    def rename(context: Context, path: str, new: str) -> None:
        visitor, source = on(context)
        files.rename(visitor, path, new, **source)

    @actions.on("files.usage")
    def usage(context: Context) -> dict[str, Any]:
        return files.usage(on(context)[0])

    return actions
