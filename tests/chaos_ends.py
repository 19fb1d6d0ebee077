"""Two programs that send each other numbered messages, both ways at once, and check each one that comes.

    chaos_ends.py '{"role": "server"}'                 prints its port, then one report
    chaos_ends.py '{"role": "client", "port": 5000}'   prints one report
    chaos_ends.py '{"role": "echo"}'                   prints its port, and sends back whatever comes, until farewell

Each end sends the messages 0, 1, 2 … and then says that it is done; message `n` is the same value whoever sends it, so
that the receiver knows what must come: small structures mostly, now and then a large value, or a blob.  A report is a
line of JSON: what was received, what was wrong with it, and what is still kept.  The transport between them is the
caller's business: `test_chaos.py` cuts it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, TextIO

import sabotage
from netstructer import Blob, Limits, Link, Server, backoff
from netstructer.errors import LinkClosed, NetstructerError

MOST_FAULTS = 5
"""Faults that a report spells out; the others are only counted."""
LARGE_BYTES = 300_000
BLOB_BYTES = (200_000, 1_000_000)
TOGETHER = 10
"""Messages of one `send_many`, at every hundredth."""


@dataclass(kw_only=True)
class Course:
    """What an end is to do."""

    role: str
    port: int = 0
    messages: int = 2000
    large_every: int = 500
    blob_every: int = 1000
    patience_seconds: float = 30.0
    """How long nothing may come, or leave, before that is a fault."""
    pause_seconds: float = 0.01
    """Bound of the first pause before dialling again; 0.2 s outside of tests."""
    dead_seconds: float = 5.0
    body_bytes: int = 8 << 10
    """Records are short, so that one comes through where cuts are frequent; a large value has many of them."""
    backlog_bytes: int = 64 << 20
    sabotage: tuple[str, ...] = ()
    progress_seconds: float = 0.0
    """How often to say on stderr how far it is; 0 for never."""


@dataclass(kw_only=True)
class Report:
    """What became of it."""

    role: str
    sent: int = 0
    received: int = 0
    blobs: int = 0
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    resumes: int = 0
    kept_bytes: int = -1
    """What is kept to be sent again, when the peer has confirmed everything."""
    seconds: float = 0.0
    ending: str = ""
    """How the link ended: `closed`, or the error."""

    def fault(self, text: str) -> None:
        """Take note that something is wrong."""
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)


# --- the messages -----------------------------------------------------------------------------------------------------


def value_of(number: int, course: Course) -> Any:
    """Return the message of that number; of one with a blob, a `Blob` of `content_of`."""
    if number % course.blob_every == course.blob_every - 1:
        content = content_of(number)
        blob = Blob(content) if number // course.blob_every % 2 else Blob.from_iter(_pieces(content))
        return {"number": number, "blob": blob}
    if number % course.large_every == course.large_every - 1:
        return (number, Random(number).randbytes(LARGE_BYTES))
    if number % 3 == 0:
        return number
    if number % 3 == 1:
        return {"number": number, "words": ["small", frozenset({number % 7}), None, number / 3]}
    return (number, f"message {number} " * (1 + number % 9))


def content_of(number: int) -> bytes:
    """Return the bytes of the blob of a message."""
    chance = Random(number)
    return chance.randbytes(chance.randrange(*BLOB_BYTES))


def _pieces(content: bytes) -> Iterator[bytes]:
    yield from (content[place : place + 50_000] for place in range(0, len(content), 50_000))


def wire_bytes_of(course: Course) -> int:
    """Return about how many bytes the messages of one end have on the wire, if nothing is sent twice."""
    large = LARGE_BYTES / course.large_every + sum(BLOB_BYTES) / 2 / course.blob_every
    return int(course.messages * (170 + large))


# --- an end -----------------------------------------------------------------------------------------------------------


class End:
    """One end of the link: a thread that sends, and one that receives."""

    def __init__(self, link: Link, course: Course) -> None:
        self.link, self.course = link, course
        self.report = Report(role=course.role)
        self._began = self._told = time.monotonic()

    def run(self) -> Report:
        """Send and receive everything, close, and return the report."""
        sending = threading.Thread(target=self._guarded, args=(self._send_all,), daemon=True)
        sending.start()
        self._guarded(self._receive_all)
        sending.join()  # Each of its steps is bounded by the patience.
        self._end()
        return self.report

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except NetstructerError as error:
            self.report.fault(f"{work.__name__} after {self.report.received} received: {type(error).__name__}: {error}")

    def _send_all(self) -> None:
        course, report, number = self.course, self.report, 0
        while number < course.messages:
            if number % 100 == 50 and number + TOGETHER <= course.messages:
                values = [value_of(each, course) for each in range(number, number + TOGETHER)]
                self.link.send_many(values, timeout=course.patience_seconds)
                number += TOGETHER
            else:
                self.link.send(value_of(number, course), timeout=course.patience_seconds)
                number += 1
            report.sent = number
        self.link.send("done", wait="consumed", timeout=course.patience_seconds)

    def _receive_all(self) -> None:
        course, report = self.course, self.report
        while True:
            value = self.link.recv(timeout=course.patience_seconds)
            number = report.received
            if isinstance(value, str):
                if number != course.messages:
                    report.fault(f"done after {number} of {course.messages} messages")
                return
            self._check(value, number)
            report.received = number + 1
            now = time.monotonic()
            if course.progress_seconds and now - self._told > course.progress_seconds:
                self._told = now
                resumes = self.link.stats.resumes
                _say(f"{course.role}: {number + 1} received, {report.sent} sent, {resumes} resumes", sys.stderr)

    def _check(self, value: Any, number: int) -> None:
        course = self.course
        if isinstance(value, dict) and "blob" in value:
            self.report.blobs += 1
            digest, content = sha256(), content_of(value["number"])
            for piece in value["blob"]:
                digest.update(piece)
            if value["number"] != number or digest.digest() != sha256(content).digest():
                self.report.fault(f"expected message {number}, found the blob of {value['number']}, or not all of it")
        elif value != value_of(number, course):
            found = value["number"] if isinstance(value, dict) else value[0] if isinstance(value, tuple) else value
            self.report.fault(f"expected message {number}, found {found}")

    def _end(self) -> None:
        """Say farewell.  Everything is confirmed by now, so how it ends is told, and is no fault."""
        link, report = self.link, self.report
        session = link._session
        deadline = time.monotonic() + 2.0
        while session.outflow.kept.held_bytes and time.monotonic() < deadline and not report.fault_count:
            time.sleep(0.01)
        report.kept_bytes = session.outflow.kept.held_bytes
        report.resumes = link.stats.resumes
        report.seconds = round(time.monotonic() - self._began, 3)
        try:
            if self.course.role == "client":
                link.close(timeout=2.0)
            else:
                link.recv(timeout=5.0)
                report.fault("something came after the end")
        except LinkClosed:
            pass
        except NetstructerError as error:
            report.ending = type(error).__name__
        report.ending = report.ending or "closed"


def main(arguments: str) -> None:
    """Run one end as the arguments say, and print its report."""
    course = Course(**json.loads(arguments))
    backoff.FIRST_PAUSE_SECONDS = course.pause_seconds
    limits = Limits(
        ping_seconds=course.dead_seconds / 4,
        dead_seconds=course.dead_seconds,
        body_bytes=course.body_bytes,
        backlog_bytes=course.backlog_bytes,
    )
    if course.dead_seconds == Limits.DEFAULT.dead_seconds:
        limits = Limits.DEFAULT
    with sabotage.sabotaged(*course.sabotage):
        if course.role == "client":
            with Link(("127.0.0.1", course.port), limits=limits) as link:
                _say(json.dumps(asdict(End(link, course).run())))
                link.abort()
            return
        with Server(limits=limits) as server:
            _say(str(server.address.port))
            link = server.accept(timeout=course.patience_seconds)
            if course.role == "echo":
                for value in link:
                    link.send(value)
                return
            _say(json.dumps(asdict(End(link, course).run())))
            link.abort()


def _say(line: str, where: TextIO | None = None) -> None:
    (where or sys.stdout).write(line + "\n")
    (where or sys.stdout).flush()


if __name__ == "__main__":
    main(sys.argv[1])
