"""The room: how requests for files are answered, on many links at once.  Floor: SERVICES.

Law: whoever asks is answered, or told why not, and nobody is left waiting.

Each link has a thread for its requests, beside the one that takes its values: neither waits for the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from netstructer.errors import BadValue, LinkClosed, LinkLost, NetstructerError, TransferRefused
from netstructer.names import shown
from netstructer.services.patience import STALL_SECONDS, Patient
from netstructer.transfer import Channel, Transfer
from netstructer.transfer.wording import REFUSALS, refusal_of, refused, verb_of

__all__ = ["Answered", "Room"]

SUBJECTS = 3
"""Names of a request that are told; the rest is counted."""
SUBJECT_CHARACTERS = 100
"""Of all names of a request together that are told: one line of a terminal."""
_COMMANDS = {"offer": "put", "get": "get", "ls": "ls"}
"""What a request is called by the command that makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request is over: `done` says what became of the files, `error` why there are none; a listing has neither."""

    link: Any
    command: str
    subject: str
    """What it was about, in the words of the peer: to be escaped where it is shown."""
    done: Transfer | None
    error: Exception | None


class Room:
    """Where requests for files are answered.  This one has none, and says so at once: nobody is left waiting."""

    def __init__(self, stall: float = STALL_SECONDS) -> None:
        self._stall = stall

    @contextmanager
    def answering(self, link: Any, report: Callable[[Answered], None]) -> Iterator[None]:
        """Answer the requests of a link in a thread of its own; ends with the link, which is over at the end."""
        name = f"netstructer-files-{link.id}"
        thread = threading.Thread(target=self._attend, args=(link, report), name=name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _attend(self, link: Any, report: Callable[[Answered], None]) -> None:
        while True:
            try:
                channel = link.accept_conversation()
            except NetstructerError:
                return  # the link is over; who takes its values says how
            try:
                self.converse(link, channel, report)
            finally:
                channel.close()

    def converse(self, link: Any, channel: Channel, report: Callable[[Answered], None]) -> None:
        """Answer one request.  Raises nothing: what went wrong is told, and the next request is answered."""
        noting = _Noting(Patient(channel, self._stall, serving=True))
        command, subject, done, error = "", "", None, None
        try:
            first = noting.recv()
            command, subject = _COMMANDS.get(_word_of(first), "?"), _subject_of(first)
            done = self._answer(link, noting, first)
        except Exception as fault:
            if isinstance(fault, (LinkClosed, LinkLost)) and not command:
                return  # opened, and nothing was asked
            error = fault
        error = error or noting.refusal
        report(Answered(link=link, command=command or "?", subject=subject, done=done, error=error))

    def _answer(self, link: Any, channel: Channel, first: object) -> Transfer | None:
        channel.send(refusal_of(refused("no-files")))
        return None


class _Noting:
    """A conversation of which the first refusal is noted, whichever end it is of: `serve` does not return it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.refusal: TransferRefused | None = None
        self.wire_bytes = channel.wire_bytes

    def send(self, value: object, *, timeout: float | None = None) -> object:
        if self.refusal is None and isinstance(value, tuple) and _word_of(value) == "refused":
            fields: dict[str, str] = value[1]
            named = f"{shown(fields['name'])}: " if fields["name"] else ""
            self.refusal = TransferRefused(named + REFUSALS[fields["kind"]], name=fields["name"])
        return self._channel.send(value, timeout=timeout)

    def recv(self, *, timeout: float | None = None) -> Any:
        value = self._channel.recv(timeout=timeout)
        if self.refusal is None and _word_of(value) == "refused":
            self.refusal = TransferRefused("the other end gave it up")
        return value


def _word_of(value: object) -> str:
    """Return what a value of the other end says that it is, nothing where it is of another shape."""
    try:
        return verb_of(value)
    except BadValue:
        return ""


def _subject_of(first: object) -> str:
    """Return what a request is about, whatever its shape: it has not been checked yet."""
    fields = first[1] if isinstance(first, tuple) and len(first) == 2 else None
    if not isinstance(fields, dict):
        return ""
    listed = fields.get("patterns") or fields.get("names") or fields.get("path")
    names = [name for name in (listed if isinstance(listed, list) else [listed]) if isinstance(name, str)]
    into = fields.get("into")
    if isinstance(into, str) and "names" in fields:
        names = [f"{into}/{name}" if into else name for name in dict.fromkeys(name.split("/")[0] for name in names)]
    more = f" and {len(names) - SUBJECTS:,} more" if len(names) > SUBJECTS else ""
    return _shortened(", ".join(names[:SUBJECTS])) + more


def _shortened(text: str) -> str:
    return text if len(text) <= SUBJECT_CHARACTERS else text[: SUBJECT_CHARACTERS - 1] + "…"
