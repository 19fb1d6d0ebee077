"""The end that serves a directory: one request of a conversation, held to its end.  Floor: COMMONS.

Spec: files.md, "Serving".  Law: nothing above or beside the directory is read, written or told of, and no path of this
machine is: a request that fails is answered by a kind and the name that was asked for.
"""

from __future__ import annotations

import contextlib
import os
import stat

from netstructer.errors import BadValue, LimitReached, TransferRefused, UnsafeName
from netstructer.transfer.allowance import Allowance
from netstructer.transfer.channel import Channel, Clock, look, telling
from netstructer.transfer.gathering import Gathered, entry_at, walk
from netstructer.transfer.globs import Pattern
from netstructer.transfer.leaving import left_of, refusal_for
from netstructer.transfer.manifest import Taken, is_partial_name
from netstructer.transfer.outcome import Transfer
from netstructer.transfer.places import Tree
from netstructer.transfer.progress import Report
from netstructer.transfer.receiving import Overwrite, take
from netstructer.transfer.sending import give
from netstructer.transfer.view import View
from netstructer.transfer.wording import (
    REFUSALS,
    Offer,
    entries_to_tell,
    read_get,
    read_ls,
    read_offer,
    refused,
    verb_of,
)

__all__ = ["serve"]


def serve(
    channel: Channel,
    first: object,
    directory: str | os.PathLike[str],
    *,
    writable: bool = True,
    overwrite: Overwrite = "replace",
    allowance: Allowance | None = None,
    progress: Report | None = None,
    timeout: float | None = None,
    clock: Clock,
) -> Transfer | None:
    """Answer one request, whose first value is `first`, from what is below `directory`; of files that are offered take
    what `allowance` allows.

    Returns what became of the files; None for a listing, and for a request that was refused, which the asker sees as
    `TransferRefused`.  Raises what the link raises, and `OSError` where the disk fails while files arrive.
    """
    try:
        with telling(channel, timeout=timeout):
            verb = verb_of(first)
            if verb == "offer":
                if not writable:
                    raise refused("read-only")
                return take(
                    channel,
                    read_offer(first),
                    directory,
                    overwrite=overwrite,
                    allowance=allowance,
                    progress=progress,
                    timeout=timeout,
                    clock=clock,
                )
            if verb == "get":
                return _give(channel, read_get(first), directory, progress, timeout, clock)
            if verb == "ls":
                _list(channel, read_ls(first), directory, timeout)
                return None
            raise BadValue("a request of no known kind")
    except (BadValue, TransferRefused, UnsafeName):
        pass  # the asker has been told, or has told us
    except LimitReached as error:
        if type(error) is not LimitReached:
            raise  # the spool's, say: that is no fault of the request
    return None


def _give(
    channel: Channel,
    patterns: list[str],
    directory: str | os.PathLike[str],
    progress: Report | None,
    timeout: float | None,
    clock: Clock,
) -> Transfer:
    wanted = [Pattern(text) for text in dict.fromkeys(patterns)]
    with Gathered() as gathered:
        tree = gathered.tree(os.fspath(directory))
        view = View(
            tree,
            look=lambda: look(channel),
            unreadable=lambda parts: gathered.leave(
                "/".join(parts) or ".", "failed", "directory", "the directory cannot be read"
            ),
        )
        taken: set[tuple[tuple[str, ...], int]] = set()
        for pattern in wanted:
            _gather(gathered, view, pattern, taken)
        if not gathered.entries and gathered.left:
            raise refusal_for(gathered.left[0])
        offered = Offer(entries=gathered.entries, left=left_of(gathered.left))
        return give(channel, gathered, offered, asked=True, progress=progress, timeout=timeout, clock=clock)


def _gather(gathered: Gathered, view: View, pattern: Pattern, taken: set[tuple[tuple[str, ...], int]]) -> None:
    """Take what a pattern finds, and all that is in it; what it finds inside of that is there already.

    `taken` is what all patterns have found, by path and by how much of the path is left out of the name.
    """
    found = False
    for parts in pattern.find(view):
        found = True
        if any((parts[:count], pattern.fixed) in taken for count in range(1, len(parts) + 1)):
            continue
        name = "/".join(parts[pattern.fixed :])
        try:
            is_directory = entry_at(gathered, view.tree, parts, name)
        except OSError:
            gathered.leave(name, "failed", "other", "it cannot be read")
            continue
        taken.add((parts, pattern.fixed))
        if is_directory:
            walk(gathered, view.tree, parts, name, view.spend)
    if not found:
        gathered.leave(pattern.text, "refused", "other", REFUSALS["missing"])


def _list(channel: Channel, path: str, directory: str | os.PathLike[str], timeout: float | None) -> None:
    with Gathered(taken=Taken(listed=True)) as gathered:
        tree = gathered.tree(os.fspath(directory))
        if not path:
            _list_inside(gathered, tree, ())
        pattern = Pattern(path)
        found = list(pattern.find(View(tree, look=lambda: look(channel)))) if path else []
        if not found and path:
            raise refused("missing", path)
        for parts in found:
            if not pattern.is_wild and stat.S_ISDIR(tree.at(parts[:-1]).status(parts[-1]).st_mode):
                _list_inside(gathered, tree, parts)
            else:
                entry_at(gathered, tree, parts, "/".join(parts))
        channel.send(entries_to_tell(gathered.entries, left_of(gathered.left)), timeout=timeout)


def _list_inside(gathered: Gathered, tree: Tree, parts: tuple[str, ...]) -> None:
    for name in sorted(tree.at(parts).names()):
        if not is_partial_name(name):
            with contextlib.suppress(OSError):  # it has gone meanwhile
                entry_at(gathered, tree, (*parts, name), "/".join((*parts, name)))
