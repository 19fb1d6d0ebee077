"""What is offered: files, directories and links by their names from the top.  Floor: COMMONS.

Spec: files.md, "Offers".  Law: a list of entries that has passed `entries_of` can be laid out below a directory of any
system without one entry touching another, or anything above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from netstructer.errors import BadValue, LimitReached, UnsafeName
from netstructer.names import PATH_BYTES, PATH_PARTS, check_parts, fold, shown

__all__ = ["Entry", "Taken", "check_target", "entries_of", "entries_value", "is_partial_name"]

MOST_ENTRIES = 1_000_000
"""Entries of one offer, with the directories above them: a home directory has as many, and they cost about 400 bytes
each at both ends."""
TARGET_CHARACTERS = 4096
"""Longest target of a link: PATH_MAX of Linux."""

Kind = Literal["file", "directory", "link"]
_LETTERS: dict[Kind, str] = {"file": "f", "directory": "d", "link": "l"}
_KINDS: dict[str, Kind] = {letter: kind for kind, letter in _LETTERS.items()}
_PARTIAL = re.compile(r"\.netstructer-[0-9a-f]{16}-[0-9a-f]{16}\.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, directory or symbolic link; `name` is relative, with slashes.

    `size` in bytes, None for a stream and for what is no file; `mtime_ns` in nanoseconds since 1970, `mode` the nine
    bits of permission, each None where the system or the kind has none; `target` of a link only.
    """

    name: str
    kind: Kind = "file"
    size: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    target: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.name.split("/"))


def entries_value(entries: list[Entry]) -> dict[str, Any]:
    """Return entries as columns: a twelfth of the bytes of as many records, and they compress together."""
    return {
        "names": [entry.name for entry in entries],
        "kinds": "".join(_LETTERS[entry.kind] for entry in entries),
        "sizes": [entry.size for entry in entries],
        "times": [entry.mtime_ns for entry in entries],
        "modes": [entry.mode for entry in entries],
        "targets": {index: entry.target for index, entry in enumerate(entries) if entry.target is not None},
    }


def entries_of(columns: dict[str, Any], *, listed: bool = False) -> list[Entry]:
    """Return the entries of columns from the other end.

    Raises `BadValue` for columns that no honest end writes and `UnsafeName` for a name or a target that is not taken;
    one is enough to refuse them all, because an honest sender has left it out and said so.  `listed` entries are to be
    shown only.
    """
    names, kinds, sizes, times, modes = (columns[name] for name in ("names", "kinds", "sizes", "times", "modes"))
    targets = columns["targets"]
    if len(names) > MOST_ENTRIES:
        raise BadValue(f"more than {MOST_ENTRIES} entries in one offer")
    if not len(names) == len(kinds) == len(sizes) == len(times) == len(modes):
        raise BadValue("columns of different lengths")
    if len(targets) != kinds.count("l"):
        raise BadValue("as many targets as links were expected")
    taken = Taken(listed=listed)
    entries = []
    for index, (name, letter, size, time, mode) in enumerate(zip(names, kinds, sizes, times, modes, strict=True)):
        kind = _KINDS.get(letter)
        if type(name) is not str or kind is None:
            raise BadValue("an entry without a name or of no known kind")
        _check_number(size, "size", 0, (1 << 63) - 1, here=kind == "file")
        _check_number(time, "time", -(1 << 63), (1 << 63) - 1, here=True)
        _check_number(mode, "mode", 0, 0o777, here=kind != "link")
        target = targets.get(index)
        if (kind == "link") != (index in targets) or (kind == "link" and type(target) is not str):
            raise BadValue("a link without a target, or a target without a link")
        entry = Entry(name=name, kind=kind, size=size, mtime_ns=time, mode=mode, target=target)
        taken.take(entry)
        entries.append(entry)
    return entries


class Taken:
    """The names that are taken already, as every system would compare them.

    A tree in one dict: a directory has a number, and what is in it the key `number/folded name`.  So a long path costs
    its own last name, whatever is above it, and not every path on the way to it.  Of a list that is only to be shown
    (`listed`), the directory that is served is the tree out of which no link leads.
    """

    def __init__(self, *, listed: bool = False) -> None:
        self._listed = listed
        self._found: dict[str, int] = {}  # key -> the number of a directory, 0 for anything else
        self._spelled: dict[str, str] = {}  # key -> the name as it was written, where folding has changed it
        self._above: tuple[str, int] = ("", 0)  # the directory of the last entry
        self._count = 0

    def take(self, entry: Entry) -> None:
        """Take the name of an entry, and those of the directories above it; raises `UnsafeName` where that is not safe.

        Nothing is taken then.  Raises `LimitReached` for one entry too many, the directories above counted.
        """
        if len(entry.name) > PATH_BYTES:  # before it is cut up: each part is an object
            raise UnsafeName(f"{shown(entry.name)} is longer than a path may be", name=entry.name)
        parts = entry.parts
        if len(parts) > PATH_PARTS or 4 * len(entry.name) > PATH_BYTES:
            check_parts(parts)
        if entry.target is not None:
            check_target(("", *parts) if self._listed else parts, entry.target)
        above = entry.name.rpartition("/")[0]
        new: dict[str, tuple[str, bool]] = {}
        inside = self._above[1] if above and above == self._above[0] else self._inside(entry, parts, new)
        key = f"{inside}/{fold(parts[-1])}"
        is_directory = entry.kind == "directory"
        if key not in self._found:
            self._check_new(entry, parts[-1])
            new[key] = parts[-1], is_directory
        elif not (is_directory and self._is(key, parts[-1])):
            # A directory may have been named by what is in it before it is named itself.
            raise UnsafeName(f"{shown(entry.name)} and another name are one on some systems", name=entry.name)
        most = max(self._count + 1, len(self._found) + len(new))
        if most > MOST_ENTRIES:
            raise LimitReached(f"more than {MOST_ENTRIES} files for one transfer", limit=MOST_ENTRIES, found=most)
        for fresh, (name, directory) in new.items():
            self._found[fresh] = len(self._found) + 1 if directory else 0
            if not fresh.endswith(f"/{name}"):
                self._spelled[fresh] = name
        self._count += 1
        self._above = above, inside

    def _inside(self, entry: Entry, parts: tuple[str, ...], new: dict[str, tuple[str, bool]]) -> int:
        """Return the number of the directory that an entry is in; those that nobody has named yet are added to `new`.

        They get the numbers that they will have when the dict has them, one after the other.
        """
        inside = 0
        for name in parts[:-1]:
            key = f"{inside}/{fold(name)}"
            if key in self._found:
                inside = self._found[key]
                if not inside or not self._is(key, name):
                    raise UnsafeName(
                        f"{shown(entry.name)} lies in what is no directory, or in another", name=entry.name
                    )
                continue
            self._check_new(entry, name)
            inside = len(self._found) + len(new) + 1
            new[key] = name, True
        return inside

    def _is(self, key: str, name: str) -> bool:
        """Say whether what was taken under a key is a directory of this very spelling."""
        return self._found[key] > 0 and self._spelled.get(key, key.partition("/")[2]) == name

    def _check_new(self, entry: Entry, name: str) -> None:
        """Raise `UnsafeName` for a name that is none; those that were taken before are not checked again."""
        check_parts((name,))
        if is_partial_name(name):
            raise UnsafeName(f"{shown(entry.name)} is what an unfinished transfer is called", name=entry.name)


def check_target(parts: tuple[str, ...], target: str) -> None:
    """Raise `UnsafeName` unless a link at `parts` that says `target` stays in its tree, which is `parts[0]`.

    Steps up may only stand in front: `name/..` is not where `name` stands if that is a link itself.  What is above the
    link is directories that the receiver made or opened, so in front they mean what they say.  A link that is its whole
    tree would point at what its receiver has beside it, and is refused.
    """
    name = "/".join(parts)
    too_long = len(target) > TARGET_CHARACTERS
    steps = [] if too_long else target.split("/")
    up = next((count for count, step in enumerate(steps) if step != ".."), len(steps))
    down = steps[up:]
    if not target or too_long or up > len(parts) - 2:
        raise UnsafeName(f"the link {shown(name)} points outside", name=name)
    if down:
        try:
            check_parts(down)
        except UnsafeName as error:
            raise UnsafeName(f"the link {shown(name)} points outside, or nowhere for some system", name=name) from error


def is_partial_name(name: str) -> bool:
    """Say whether a name is one that this package gives to what has not fully arrived."""
    return name.startswith(".") and _PARTIAL.fullmatch(fold(name)) is not None


def _check_number(number: object, what: str, least: int, most: int, *, here: bool) -> None:
    if number is None:
        return
    if not here or type(number) is not int or not least <= number <= most:
        raise BadValue(f"an entry whose {what} is none")
