"""What the links of the soak do, written once for both façades, and everything that comes is checked as it comes.

A course is a generator that yields what a call of a link gave it.  With a blocking link that is the result already;
with an asyncio link it is awaited.  So `walk(use(link, ...))` and `await stroll(use(link, ...))` are the same course.

    client: use(link, ...)      one thing of many, by chance, and every answer compared with what it must be
    server: serve(link, ...)    answers until farewell

An answer bears the number of its question, and numbers of one link are asked for in order: an answer that is lost,
comes twice or out of turn is a fault.  Between them comes news, which the server broadcasts: its serial grows, and it
has a digest.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from hashlib import sha256
from inspect import isawaitable
from pathlib import Path
from random import Random
from typing import Any

from netstructer import Blob
from netstructer.errors import LinkClosed, LinkTimeout

Course = Generator[Any, Any, None]

PATIENCE_SECONDS = 60.0
"""How long an answer may take on a machine that has other work, through a proxy that cuts, before that is a fault."""
MOST_FAULTS = 10
"""Faults that are spelled out; the others are counted."""
BLOB_BYTES = 3 << 20
"""The longest blob, and the longest file."""
PIECE_BYTES = 60_000


class Tally:
    """What a process of the soak has done and found.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self.counts[what] += by

    def fault(self, text: str) -> None:
        """Take note that something is wrong."""
        with self._lock:
            self.counts["faults"] += 1
            if len(self.faults) < MOST_FAULTS:
                self.faults.append(text)
                sys.stderr.write(text + "\n")  # for who looks while the soak goes on

    def raised(self, error: BaseException) -> None:
        """Take note of an error that nothing here expects, and where it was raised."""
        # Not by `extract_tb`, which keeps the source of every file that it looks into.
        walked = traceback.walk_tb(error.__traceback__)
        places = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in walked]
        self.fault(f"{type(error).__name__}: {error} ({' '.join(places[-6:])})")

    def compare(self, found: object, expected: object, what: str) -> None:
        """Take note of one thing that came, and whether it is what it must be."""
        self.count("checked")
        if found != expected:
            self.fault(f"{what}: expected {_short(expected)}, found {_short(found)}")


def walk(course: Course) -> None:
    """Walk a course with a blocking link."""
    result = None
    while True:
        try:
            result = course.send(result)
        except StopIteration:
            return


async def stroll(course: Course) -> None:
    """Walk a course with an asyncio link."""
    step: Callable[[Any], Any] = course.send
    result: Any = None
    while True:
        try:
            asked = step(result)
        except StopIteration:
            return
        try:
            result, step = (await asked if isawaitable(asked) else asked), course.send
        except BaseException as error:
            result, step = error, course.throw


# --- the client -------------------------------------------------------------------------------------------------------


class Talk:
    """A client's side of one link: the number of the next question, and how far the news has come."""

    def __init__(self, link: Any, chance: Random, tally: Tally, scratch: Path) -> None:
        self.link, self.chance, self.tally, self.scratch = link, chance, tally, scratch
        self.number = self.serial = 0

    def ask(self, word: str, *rest: object, **options: Any) -> Generator[Any, Any, None]:
        """Send the next question."""
        self.number += 1
        yield self.link.send((word, self.number, *rest), timeout=PATIENCE_SECONDS, **options)

    def answer(self) -> Generator[Any, Any, Any]:
        """Return what comes next that is no news, and compare its number."""
        while True:
            found = yield self.link.recv(timeout=PATIENCE_SECONDS)
            if not self.is_news(found):
                break
        number, value = found
        if number != self.number:
            self.tally.fault(f"expected the answer {self.number}, found {number}")
        return value

    def is_news(self, found: Any) -> bool:
        """Say whether what came is news, and look at it if so."""
        if found[0] != "news":
            return False
        _, serial, digest, content = found
        if serial <= self.serial:
            self.tally.fault(f"news {serial} after {self.serial}")
        self.serial = serial
        self.tally.compare(sha256(content).digest(), digest, f"news {serial}")
        return True

    def glance(self, found: Any) -> None:
        """Take in what came though nothing was asked for: only news may."""
        if not self.is_news(found):
            self.tally.fault(f"nobody has asked, and found {_short(found)}")

    def expect(self, expected: object, what: str) -> Generator[Any, Any, None]:
        self.tally.compare((yield from self.answer()), expected, what)


def use(talk: Talk) -> Course:
    """Do one thing, whichever chance says, and check what comes of it."""
    (act,) = talk.chance.choices(list(ACTS), list(ACTS.values()))
    talk.tally.count(act.__name__)
    yield from act(talk)


def echo(talk: Talk) -> Course:
    """A few small values, one after the other."""
    for _ in range(talk.chance.randrange(1, 6)):
        value = small(talk.chance)
        yield from talk.ask("echo", value)
        yield from talk.expect(value, "echo")


def acked(talk: Talk) -> Course:
    """One that is waited for until the peer's application has taken it."""
    value = talk.chance.randbytes(talk.chance.randrange(300_000))
    yield from talk.ask("echo", value, wait=talk.chance.choice(("acked", "consumed")))
    yield from talk.expect(value, "what was waited for")


def batch(talk: Talk) -> Course:
    """Many at once, and as many back."""
    values = [small(talk.chance) for _ in range(talk.chance.randrange(10, 150))]
    first = talk.number + 1
    questions = [("echo", first + place, value) for place, value in enumerate(values)]
    yield talk.link.send_many(questions, timeout=PATIENCE_SECONDS)
    for value in values:
        talk.number += 1
        yield from talk.expect(value, "one of a batch")


def table(talk: Talk) -> Course:
    """A list of rows, dicts or tuples."""
    rows = [(row, f"row {row}", talk.chance.random(), row % 3 == 0) for row in range(talk.chance.randrange(900))]
    value = rows if talk.chance.random() < 0.5 else [dict(zip(("id", "name", "x", "odd"), row)) for row in rows]  # noqa: B905
    yield from talk.ask("echo", value)
    yield from talk.expect(value, "table")


def blob_out(talk: Talk) -> Course:
    """A blob from memory, a file or a generator; the server says its digest."""
    content = content_of(talk.number + 1, talk.chance.randrange(BLOB_BYTES))
    kind = talk.chance.randrange(3)
    place = talk.scratch / f"blob-{os.getpid()}-{id(talk):x}"
    if kind == 1:
        place.write_bytes(content)
    blob = Blob.from_path(place) if kind == 1 else Blob(content) if kind == 2 else Blob.from_iter(pieces(content))
    try:
        yield from talk.ask("digest", blob)
        yield from talk.expect(sha256(content).digest(), "digest of a blob")
    finally:
        place.unlink(missing_ok=True)


def blob_in(talk: Talk) -> Course:
    """A blob from the server: all of it, or none, or the beginning; it may wait on the disk meanwhile."""
    size, how = talk.chance.randrange(BLOB_BYTES), talk.chance.randrange(4)
    yield from talk.ask("give", size)
    blob = yield from talk.answer()
    if how == 0:
        del blob  # Nobody reads it: the server hears so.
        return
    if how == 1:
        yield from talk.ask("echo", "before the blob is read")
        yield from talk.expect("before the blob is read", "echo before a blob")
        talk.tally.compare(sha256((yield read(blob))).digest(), digest_of(talk.number - 1, size), "a blob read later")
        return
    talk.tally.compare(sha256((yield read(blob))).digest(), digest_of(talk.number, size), "a blob")


def file(talk: Talk) -> Course:
    """A file, by `send_file`; the server says its digest."""
    content = content_of(talk.number + 1, talk.chance.randrange(BLOB_BYTES))
    place = talk.scratch / f"file-{os.getpid()}-{id(talk):x}"
    place.write_bytes(content)
    try:
        yield from talk.ask("file")
        yield talk.link.send_file(place, timeout=PATIENCE_SECONDS)
        yield from talk.expect(sha256(content).digest(), "digest of a file")
    finally:
        place.unlink()


def conversation(talk: Talk) -> Course:
    """A conversation beside the values, which ends by a word of this end's."""
    yield from talk.ask("talk")
    aside = talk.link.conversation()
    for _ in range(talk.chance.randrange(1, 6)):
        value = small(talk.chance)
        yield aside.send(value, timeout=PATIENCE_SECONDS)
        talk.tally.compare((yield aside.recv(timeout=PATIENCE_SECONDS)), value, "a conversation")
    yield aside.close()
    yield from talk.expect("over", "the end of a conversation")


def impatient(talk: Talk) -> Course:
    """Ask for what cannot be there in time; the answer comes all the same, to who asks again."""
    value = small(talk.chance)
    if talk.chance.random() < 0.5:
        try:
            talk.glance((yield talk.link.recv(timeout=0.002)))
        except LinkTimeout:
            pass
    yield talk.link.ping(timeout=PATIENCE_SECONDS)
    yield from talk.ask("echo", value)
    yield from talk.expect(value, "echo after a wait that was too short")


ACTS: dict[Callable[[Talk], Course], int] = {
    echo: 30,
    acked: 8,
    batch: 8,
    table: 8,
    blob_out: 4,
    blob_in: 6,
    file: 3,
    conversation: 8,
    impatient: 5,
}
"""What a link does, and how often beside the others."""


# --- the server -------------------------------------------------------------------------------------------------------


def serve(link: Any, tally: Tally, directory: Path) -> Course:
    """Answer what comes, until farewell."""
    value: Any
    rest: list[Any] | None
    while True:
        value = transfer = aside = rest = None  # Nothing of the last question is held while the next is waited for.
        try:
            word, number, *rest = yield link.recv()
        except LinkClosed:
            return
        value = rest.pop() if rest else None
        match word:
            case "echo":
                pass
            case "digest":
                value = sha256((yield read(value))).digest()
            case "give":
                value = Blob.from_iter(pieces(content_of(number, value)))
            case "file":
                transfer = yield link.recv_file(directory, overwrite="keep", timeout=PATIENCE_SECONDS)
                place = directory / (transfer.outcomes[0].where or transfer.outcomes[0].name)
                value = sha256(place.read_bytes()).digest()
                place.unlink()
            case "talk":
                aside = yield link.accept_conversation(timeout=PATIENCE_SECONDS)
                try:
                    while True:
                        heard = yield aside.recv(timeout=PATIENCE_SECONDS)
                        yield aside.send(heard, timeout=PATIENCE_SECONDS)
                except LinkClosed:
                    pass
                yield aside.close()
                value = "over"
            case _:
                tally.fault(f"expected a question, found {word!r}")
        tally.count("answered")
        yield link.send((number, value), timeout=PATIENCE_SECONDS)


# --- what is sent -----------------------------------------------------------------------------------------------------


def small(chance: Random) -> Any:
    """Return a small value of one of several kinds."""
    number = chance.randrange(1 << 40)
    return chance.choice(
        (
            number,
            None,
            {"number": number, "words": ["small", frozenset({number % 7}), None, number / 3]},
            (number, f"message {number} " * (1 + number % 9)),
            {number % 11, "a", b"b"},
            chance.randbytes(number % 900),
        )
    )


def content_of(number: int, size: int) -> bytes:
    """Return the bytes that go with a number: half of them do not compress."""
    return (Random(number).randbytes(-(-size // 2)) + b"text of a blob " * (size // 30 + 1))[:size]


def digest_of(number: int, size: int) -> bytes:
    return sha256(content_of(number, size)).digest()


def pieces(content: bytes) -> Iterator[bytes]:
    yield from (content[place : place + PIECE_BYTES] for place in range(0, len(content), PIECE_BYTES))


def read(blob: Any) -> Any:
    """Return all bytes of a blob, or what is awaited for them."""
    return blob.read() if hasattr(blob, "read") else bytes(blob)


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) < 60 else f"{text[:56]} …"
