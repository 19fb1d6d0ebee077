"""The chain of the audit: rows, the tag of each, and whether they are the ones that were written.  Floor: SERVICES.

Law: no row can be changed, go, come or move unseen by whoever has the key; pure, no I/O.

Spec: docs/audit.md, "The file".

    tag(0) = HMAC-SHA256(key, "netstructer audit 1" ‖ id)
    tag(n) = HMAC-SHA256(key, tag(n - 1) ‖ row n)
    row n  = n u64 ‖ time i64 ‖ length u32 ‖ actor ‖ … source ‖ … action ‖ … target ‖ … result

The `id` is 16 random bytes of the file, so rows of another file under the same key fit nowhere.  The time is in
microseconds since 1970, the texts are UTF-8 with their lengths, so no two rows are the same bytes.

What the chain cannot show by itself: that its end was cut off, or that all of it was put back to an earlier day.  What
is left is then a sound chain.  A *head*, the number and tag of a row, that was noted elsewhere shows it: the row must
be there, with that tag.
"""

from __future__ import annotations

import hmac
import re
import sqlite3
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netstructer.errors import AuditDamaged, Misuse
from netstructer.services.printing import moment, quoted

__all__ = ["FIELDS", "AuditRow", "Head", "Texts", "Verdict", "check_chain", "first_tag", "next_tag", "row_of"]

Texts = tuple[str, str, str, str, str]
"""Actor, source, action, target and result of a row."""
FIELDS = ("n", "time", "actor", "source", "action", "target", "result")
"""What a row says, in this order; its tag is beside it."""
TAG_BYTES = 32
ID_BYTES = 16
_PURPOSE = b"netstructer audit 1"
_HEAD = re.compile(r"(0|[1-9][0-9]{0,18}):([0-9a-f]{64})")
_NUMBERS = struct.Struct(">Qq")
_LENGTH = struct.Struct(">I")


class Head(NamedTuple):
    """A row's number and tag, which stand for all rows up to it; prints as `1200:5f…`."""

    row: int
    tag: bytes

    def __str__(self) -> str:
        return f"{self.row}:{self.tag.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what `str` gives.  Raises `Misuse`."""
        found = _HEAD.fullmatch(text)
        if found is None:
            raise Misuse("expected a head as ROW:TAG, the tag in 64 hexadecimal digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row: who (`actor`), from where (`source`), did what (`action`) to what (`target`), and what came of it.

    Texts are as they were given, control characters included; `str` of a row is one line that may be printed.
    """

    n: int
    microseconds: int
    actor: str
    source: str
    action: str
    target: str
    result: str
    tag: bytes

    @property
    def time(self) -> float:
        """Seconds since 1970, by the clock of whoever wrote it."""
        return self.microseconds / 1_000_000

    @property
    def head(self) -> Head:
        """What stands for all rows up to this one."""
        return Head(self.n, self.tag)

    def facts(self) -> dict[str, object]:
        """Return the fields as a report or JSON has them, the time in UTC."""
        texts = (self.actor, self.source, self.action, self.target, self.result)
        return dict(zip(FIELDS, (self.n, moment(self.time, places=6), *texts), strict=True))

    def __str__(self) -> str:
        return " ".join(quoted(str(fact)) for fact in self.facts().values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a look at a whole chain."""

    rows: int
    """Rows that are sound: all of them, or those before the first that is not."""
    head: Head
    """The head of these."""
    anchors: int
    """Anchors that were found in them."""
    row: int = 0
    """The first row that is not as it was written; 0 where all are, or where it is no row that is wrong."""
    fault: str = ""
    """What is wrong with it; empty where nothing is."""

    @property
    def sound(self) -> bool:
        return not self.fault


def first_tag(key: bytes, audit_id: bytes) -> bytes:
    """Return what the first row follows."""
    return hmac.digest(key, _PURPOSE + audit_id, "sha256")


def next_tag(key: bytes, before: bytes, n: int, microseconds: int, texts: Texts) -> bytes:
    """Return the tag of a row, `before` being that of the row before it."""
    mac = hmac.new(key, before, "sha256")
    mac.update(_NUMBERS.pack(n, microseconds))
    for text in texts:
        content = text.encode()
        mac.update(_LENGTH.pack(len(content)))
        mac.update(content)
    return mac.digest()


def row_of(found: Sequence[object]) -> AuditRow:
    """Return a row as the store has it, its texts as bytes.

    Raises `AuditDamaged` where it holds something that is never written.
    """
    n, microseconds, *texts, tag = found
    try:
        if type(n) is int and type(microseconds) is int and type(tag) is bytes and len(tag) == TAG_BYTES:
            actor, source, action, target, result = (_text_of(text) for text in texts)
            return AuditRow(n, microseconds, actor, source, action, target, result, tag)
    except ValueError:
        pass
    number = n if isinstance(n, int) else 0
    raise AuditDamaged(f"row {number} of the audit holds what is never written", row=number)


def check_chain(rows: Iterable[Sequence[object]], key: bytes, head: Head, anchors: Iterable[Head] = ()) -> Verdict:
    """Return whether the rows behind a head, as the store has them in order, are those that were written there.

    That none is missing at the end is known as far as the anchors go.
    """
    waiting = deque(sorted(set(anchors)))
    met, fault = _met(waiting, head)
    try:
        for found in rows if not fault else ():
            fault = _fault_of(found, head, key)
            if fault:
                break
            head = row_of(found).head
            more, fault = _met(waiting, head)
            met += more
            if fault:
                return Verdict(rows=head.row, head=head, anchors=met, row=head.row, fault=fault)
    except sqlite3.Error as error:
        fault = f"cannot be read: {error}"
    if waiting and not fault:
        fault = f"is missing with all that follow: an anchor has seen row {waiting[-1].row}"
    return Verdict(rows=head.row, head=head, anchors=met, row=head.row + 1 if fault else 0, fault=fault)


def _fault_of(found: Sequence[object], head: Head, key: bytes) -> str:
    """Return what is wrong with what follows a sound head, and nothing where it is the next row."""
    try:
        row = row_of(found)
    except AuditDamaged:
        return "holds what is never written"
    if row.n != head.row + 1:
        return "is missing" if row.n > head.row else f"has another before it, numbered {row.n}"
    texts = (row.actor, row.source, row.action, row.target, row.result)
    if not hmac.compare_digest(next_tag(key, head.tag, row.n, row.microseconds, texts), row.tag):
        return "is not as it was written"
    return ""


def _met(waiting: deque[Head], head: Head) -> tuple[int, str]:
    """Take the anchors of a row; return how many there are, and what is wrong with one of them."""
    met = 0
    while waiting and waiting[0].row <= head.row:
        if waiting.popleft() != head:
            return met, "is another than an anchor has seen: it, or rows before it, were written anew"
        met += 1
    return met, ""


def _text_of(content: object) -> str:
    if type(content) is not bytes:
        raise ValueError("no text")
    return content.decode()
