"""The values of a conversation about files, and back.  Floor: COMMONS.  Law: a value is of its one shape, or refused.

Spec: files.md, "The conversation".  Each is a pair: what it is, and its fields by name.  Nothing that the other end
writes is shown as it stands: a refusal carries one of our own kinds, and a name.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from netstructer.codec.blob import Blob
from netstructer.errors import BadValue, LimitReached, TransferRefused, UnsafeName
from netstructer.names import shown
from netstructer.transfer.manifest import MOST_ENTRIES, Entry, entries_of, entries_value

__all__ = [
    "REFUSALS",
    "Answer",
    "Done",
    "Left",
    "Offer",
    "Refused",
    "StoppedAt",
    "check_refusal",
    "entries_to_tell",
    "kind_of",
    "read_answer",
    "read_body",
    "read_done",
    "read_entries",
    "read_get",
    "read_ls",
    "read_offer",
    "refusal_of",
    "refused",
    "verb_of",
]

MOST_PATTERNS = 10_000
"""Patterns in one request: more than a shell takes on one line, so that a list of files can be asked for as it is."""
LONGEST_TEXT = 4096
"""Characters of a pattern, of a path in a request, and of a name in a refusal: PATH_MAX of Linux."""
_DIGEST_BYTES = 32
"""SHA-256."""

REFUSALS = {
    "missing": "there is no such file or directory",
    "unsafe": "the name is not safe",
    "forbidden": "the system does not permit it",
    "not-permitted": "its user may not do that there",
    "quota": "it would be more than may be stored there",
    "read-only": "it takes no files",
    "no-files": "this server serves no files: start it with --files DIR",
    "directory": "a directory is in the way",
    "in-the-way": "something that is no directory is in the way",
    "exists": "a file of that name is there",
    "no-file": "it is no file, directory or link that can be sent",
    "busy": "another transfer is writing that file",
    "full": "its disk is full",
    "too-many": "that is too much for one transfer",
    "malformed": "it did not understand",
    "failed": "it failed",
}
"""Why an end refuses, as it travels and as people read it.  No text of the other end is ever shown."""

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What a system says when there is no room."""
_KINDS: dict[type[BaseException], str] = {
    UnsafeName: "unsafe",
    BadValue: "malformed",
    LimitReached: "too-many",
    FileNotFoundError: "missing",
    NotADirectoryError: "in-the-way",
    IsADirectoryError: "directory",
    FileExistsError: "exists",
    BlockingIOError: "busy",
    PermissionError: "forbidden",
}
WANTS = "wpx-"
"""What a receiver says of an entry: wants it, has a prefix, refuses it, needs nothing sent (directories, links)."""
LEFT = "ulofm"
"""Why a sender leaves something out: its name, a link that points outside, no file, unreadable, not there."""
STATES = "sr=cfmx"
"""What became of an entry at the receiver: see `outcome.STATUS_OF`."""


@dataclass(slots=True, kw_only=True)
class Left:
    """What a sender leaves out: names, a letter of `LEFT` for each, and how many more there are.  See `leaving`."""

    names: list[str] = field(default_factory=list)
    kinds: str = ""
    more: int = 0

    def value(self) -> dict[str, Any]:
        return {"left": self.names, "left_kinds": self.kinds, "left_more": self.more}


def _left_of(fields: dict[str, Any]) -> Left:
    names, kinds, more = fields["left"], fields["left_kinds"], fields["left_more"]
    _letters(kinds, LEFT, len(names))
    for name in names:
        _text(name)
    if not 0 <= more <= MOST_ENTRIES or len(names) > MOST_ENTRIES:
        raise BadValue("more left out than there can be")
    return Left(names=names, kinds=kinds, more=more)


@dataclass(slots=True, kw_only=True)
class Offer:
    """What a sender has: where to put it, and the entries in the order in which their bytes would come."""

    entries: list[Entry]
    left: Left = field(default_factory=Left)
    into: str = ""
    resume: bool = True
    dry: bool = False

    def value(self) -> tuple[str, dict[str, Any]]:
        fields = {"into": self.into, "resume": self.resume, "dry": self.dry}
        return "offer", fields | entries_value(self.entries) | self.left.value()


def read_offer(value: object) -> Offer:
    """Return an offer; raises `UnsafeName` for a name that is not taken, `BadValue` for what is none."""
    fields = _fields(value, "offer", into=_text, resume=bool, dry=bool, **_ENTRIES)
    left = _left_of(fields)
    if not fields["names"] and not left.names and not left.more:
        raise BadValue("an offer of nothing")
    how = {name: fields[name] for name in ("into", "resume", "dry")}
    return Offer(entries=entries_of(fields), left=left, **how)


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a receiver wants of an offer, a letter of `WANTS` for each entry; prefixes are (bytes, SHA-256)."""

    wants: bytearray
    prefixes: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    dry: bool = False

    def value(self) -> tuple[str, dict[str, Any]]:
        fields = {"wants": self.wants.decode(), "prefixes": self.prefixes, "reasons": self.reasons}
        return "answer", fields | {"dry": self.dry}


def read_answer(entries: list[Entry]) -> Callable[[object], Answer]:
    """Return what reads the answer to an offer of `entries`."""

    def read(value: object) -> Answer:
        fields = _fields(value, "answer", wants=str, prefixes=dict, reasons=dict, dry=bool)
        wants, prefixes, reasons = fields["wants"], fields["prefixes"], fields["reasons"]
        _letters(wants, WANTS, len(entries))
        _reasons(reasons, wants)
        if len(prefixes) != wants.count("p"):
            raise BadValue("an answer with another number of prefixes than it says")
        for index, prefix in prefixes.items():
            _check_prefix(index, prefix, wants, entries)
        for entry, want in zip(entries, wants, strict=True):
            if entry.kind != "file" and want in "wp":
                raise BadValue("an answer that wants the bytes of what has none")
            if entry.kind == "file" and want == "-":
                raise BadValue("an answer that passes over a file")
        return Answer(wants=bytearray(wants.encode()), prefixes=prefixes, reasons=reasons, dry=fields["dry"])

    return read


@dataclass(slots=True, kw_only=True)
class Done:
    """What became of each entry at the receiver, a letter of `STATES` for each; `renamed` has those of another name."""

    states: bytearray
    reasons: dict[int, str] = field(default_factory=dict)
    renamed: dict[int, str] = field(default_factory=dict)

    def value(self) -> tuple[str, dict[str, Any]]:
        return "done", {"states": self.states.decode(), "reasons": self.reasons, "renamed": self.renamed}


def read_done(entries: list[Entry]) -> Callable[[object], Done]:
    """Return what reads the end of a transfer of `entries`."""

    def read(value: object) -> Done:
        fields = _fields(value, "done", states=str, reasons=dict, renamed=dict)
        _letters(fields["states"], STATES, len(entries))
        _reasons(fields["reasons"], fields["states"])
        for index, name in fields["renamed"].items():
            if type(index) is not int or not 0 <= index < len(entries):
                raise BadValue("a new name of no entry")
            _text(name)
        return Done(states=bytearray(fields["states"].encode()), reasons=fields["reasons"], renamed=fields["renamed"])

    return read


def read_body(value: object) -> Blob:
    """Return the one blob with the bytes of an offer's files."""
    blob: Blob = _fields(value, "body", bytes=_blob)["bytes"]
    return blob


def read_get(value: object) -> list[str]:
    """Return the patterns that are asked for."""
    patterns: list[str] = _fields(value, "get", patterns=list)["patterns"]
    if len(patterns) > MOST_PATTERNS:
        raise BadValue(f"more than {MOST_PATTERNS} patterns in one request")
    for pattern in patterns:
        _text(pattern)
    return patterns


def read_ls(value: object) -> str:
    """Return the path whose entries are asked for."""
    path: str = _fields(value, "ls", path=_text)["path"]
    return path


def entries_to_tell(entries: list[Entry], left: Left) -> tuple[str, dict[str, Any]]:
    """Return a listing, and what is there but not in it."""
    return "entries", entries_value(entries) | left.value()


def read_entries(value: object) -> tuple[list[Entry], Left]:
    """Return the entries of a listing, and what is left out of it."""
    fields = _fields(value, "entries", **_ENTRIES)
    return entries_of(fields, listed=True), _left_of(fields)


def verb_of(value: object) -> str:
    """Return what a value says that it is; anything at all may come after it.  Raises `BadValue`."""
    if type(value) is not tuple or len(value) != 2 or type(value[0]) is not str:
        raise BadValue("expected a pair of a word and its fields")
    return value[0]


def refusal_of(error: BaseException) -> tuple[str, dict[str, str]]:
    """Return an error as the other end may know it: its kind, and a name within the transfer, never a local path."""
    name = error.name if isinstance(error, (UnsafeName, TransferRefused)) else ""
    if isinstance(error, StoppedAt):
        name = str(error.filename)
    return "refused", {"kind": kind_of(error), "name": name[:LONGEST_TEXT] if name.isprintable() else ""}


class StoppedAt(OSError):
    """The disk has failed for good at an entry; `filename` is its name within the transfer, and no path of here."""


class Refused(TransferRefused):
    """A refusal with its kind, one of `REFUSALS`: of this end, or as the other end said it."""

    kind: str = "failed"
    told: bool = False
    """Whether it is the other end's word, which needs not be told it."""


def refused(kind: str, name: str = "") -> Refused:
    """Return the error of an end that refuses for one of the reasons in `REFUSALS`."""
    return Refused(f"{shown(name) if name else 'the transfer'} is refused: {REFUSALS[kind]}", kind=kind, name=name)


def check_refusal(value: object) -> None:
    """Raise `TransferRefused` where a value is the other end's refusal; `BadValue` where it is a malformed one."""
    if verb_of(value) != "refused":
        return
    fields = _fields(value, "refused", kind=str, name=_text)
    if fields["kind"] not in REFUSALS:
        raise BadValue("a refusal of no known kind")
    name = fields["name"]
    text = f"the other end refused{f' {shown(name)}' if name else ''}: {REFUSALS[fields['kind']]}"
    raise Refused(text, kind=fields["kind"], name=name, told=True)


def kind_of(error: BaseException) -> str:
    """Return the kind of refusal that an error is."""
    if isinstance(error, Refused):
        return error.kind
    if isinstance(error, OSError) and error.errno in FULL:
        return "full"
    return next((kind for family, kind in _KINDS.items() if isinstance(error, family)), "failed")


def _fields(value: object, verb: str, **shape: Any) -> dict[str, Any]:
    """Return the fields of a value that is `verb`; each is of the exact type in `shape`, or passes the check there."""
    if verb_of(value) != verb:
        raise BadValue(f"expected {verb!r} at this point of a transfer")
    fields = value[1]  # type: ignore[index]  # verb_of has seen a pair
    if type(fields) is not dict or fields.keys() != shape.keys():
        raise BadValue(f"expected the fields of {verb!r}, no more and no fewer")
    for name, expected in shape.items():
        if isinstance(expected, type):
            if type(fields[name]) is not expected:
                raise BadValue(f"{verb!r}: expected {name} as {expected.__name__}")
        else:
            expected(fields[name])
    return fields


def _text(text: object) -> None:
    if type(text) is not str or len(text) > LONGEST_TEXT:
        raise BadValue(f"expected a text of at most {LONGEST_TEXT} characters")


def _blob(blob: object) -> None:
    if not isinstance(blob, Blob):
        raise BadValue("expected the bytes of the files as a blob")


_ENTRIES: dict[str, Any] = {"names": list, "kinds": str, "sizes": list, "times": list, "modes": list, "targets": dict}
_ENTRIES |= {"left": list, "left_kinds": str, "left_more": int}


def _letters(text: str, allowed: str, count: int) -> None:
    if len(text) != count or set(text) - set(allowed):
        raise BadValue("expected one known letter for each entry")


def _reasons(reasons: dict[Any, Any], letters: str) -> None:
    for index, kind in reasons.items():
        if type(index) is not int or not 0 <= index < len(letters) or letters[index] != "x":
            raise BadValue("a reason for what was not refused")
        if type(kind) is not str or kind not in REFUSALS:
            raise BadValue("a reason of no known kind")


def _check_prefix(index: object, prefix: object, wants: str, entries: list[Entry]) -> None:
    if type(index) is not int or not 0 <= index < len(wants) or wants[index] != "p":
        raise BadValue("a prefix of what has none")
    if type(prefix) is not tuple or len(prefix) != 2 or type(prefix[0]) is not int or type(prefix[1]) is not bytes:
        raise BadValue("expected a prefix as its length and its digest")
    size = entries[index].size
    if size is None or not min(1, size) <= prefix[0] <= size or len(prefix[1]) != _DIGEST_BYTES:
        raise BadValue("a prefix that cannot be one of its file")
