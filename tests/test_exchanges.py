"""Exchanges: what one end hears, does and says, record by record, as files.  What the second reader makes of them is in
test_second_reader.py.

A vector is for one end (`end:`).  After the header each line is a step: `hears` and `says` are records before sealing
(kind, flags and stream in hex, then the body in hex, where `61*100` is a hundred times that byte); the others are what
its application does: `sends` (a list of blobs of so many times `61`, in conversation `in`; without sizes, None),
`reads` and `drops` (the blob whose first record had that number), `leaves`.  When it says ACK and GRANT is its own
choice, so these lines are not compared, but they are legal; the numbered records have to be the same.  Where this
package comes to cut its chunks in another way, `python tests/test_exchanges.py` records anew what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pytest

from netstructer.codec.blob import Blob
from netstructer.errors import LinkClosed
from netstructer.limits import Limits
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.asides import Asides
from netstructer.protocol.assembly import Message, Whole
from netstructer.protocol.states import RELIABLE, CancelCode, Role, State
from pair import Hostile, error_in, feed, messages_in

VECTORS = sorted((Path(__file__).parent / "vectors" / "exchanges").glob("*.vector"))
LIMITS = {
    "default": Limits(body_bytes=64 << 10),
    "cramped": Limits(body_bytes=64 << 10, spool_memory_bytes=64 << 10, spool_link_bytes=300 << 10),
}
"""The limits that a vector may name.  `cramped`: nothing is granted before somebody reads."""


class Player:
    """One end, its application, and a peer that says what the vector says."""

    def __init__(self, role: Role, limits: str) -> None:
        self.peer = Hostile(role, limits=LIMITS[limits])
        self.session = self.peer.session
        self.asides = Asides(role)
        self.values: list[Message | Whole] = []
        self.encoded = b""
        """Of all that was delivered, as it came."""
        self.dropped = 0
        self.blobs: list[tuple[Arrival, bytearray]] = []
        self.error: BaseException | None = None
        self.steps: list[str] = []
        """The lines so far, as a vector has them."""
        self.peer.open()
        self.peer.hear()

    def hears(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        self.steps.append(line("hears", kind, flags, stream, body))
        events = self.peer.say(kind, flags, stream, body)
        for message in messages_in(events):
            if not getattr(message, "conversation", 0):
                self.values.append(message)
            elif not self.asides.put(message):
                self.dropped += 1
                self.session.take(message)
                self.session.forget(message)
                continue
            self.session.take(message)
            self.encoded += b"".join(message.chunks)
            self.blobs += [(self.session.arrival(message, place), bytearray()) for place in range(message.blob_count)]
        self.error = self.error or error_in(events)
        self.speak()

    def speak(self) -> None:
        said = True
        while said:
            feed(self.session)
            said = bool(records := self.peer.hear())
            for record in records:
                self.steps.append(line("says", record.kind, record.flags, record.stream, bytes(record.body)))

    def sends(self, sizes: list[int], conversation: int = 0) -> None:
        self.steps.append(" ".join(["sends", *map(str, sizes), *(["in", str(conversation)] if conversation else [])]))
        if conversation and self.asides.over(conversation):
            assert self.asides.open() == conversation
        payloads = self.session.payloads
        value = [Blob(b"a" * size) for size in sizes] or None
        outgoing = payloads.compose(payloads.encode(value), compress=False)
        outgoing.conversation = conversation
        self.session.queue(outgoing)
        self.speak()

    def reads(self, number: int) -> None:
        self.steps.append(f"reads {number}")
        arrival, got = self.blob(number)
        got += b"".join(arrival.spool)
        self.session.arrivals.consumed(arrival, arrival.spool.start)
        self.speak()

    def drops(self, number: int) -> None:
        self.steps.append(f"drops {number}")
        self.session.arrivals.refuse(self.blob(number)[0], CancelCode.ABANDONED, LinkClosed("dropped"))
        self.speak()

    def leaves(self) -> None:
        self.steps.append("leaves")
        self.session.say_farewell()
        self.speak()

    def blob(self, number: int) -> tuple[Arrival, bytearray]:
        return next(found for found in self.blobs if found[0].number == number)

    def outcome(self) -> dict[str, str]:
        """Return what the header states of how it ended: the error, and of what came how much."""
        for arrival, got in self.blobs:
            got += b"".join(arrival.spool)
        return {
            "expect": "success" if self.error is None else type(self.error).__name__,
            "values": str(len(self.values)),
            "dropped": str(self.dropped),
            "blobs": " ".join(f"{len(got)}{'' if found.whole else '+'}" for found, got in self.blobs) or "none",
            "delivered": sha256(self.encoded + b"".join(got for found, got in self.blobs if found.whole)).hexdigest(),
        }


def line(verb: str, kind: int, flags: int, stream: int, body: bytes) -> str:
    """Return a record as a line."""
    parts, plain = [], b""
    for byte, run in groupby(body):
        count = len(list(run))
        if count < 32:
            plain += bytes([byte]) * count
            continue
        parts += [plain.hex(), f"{byte:02x}*{count}"]
        plain = b""
    return " ".join([verb, f"{kind:02x} {flags:02x} {stream:08x}", *filter(None, [*parts, plain.hex()])])


def record_of(words: list[str]) -> tuple[int, int, int, bytes]:
    """Return kind, flags, stream and body of a line, its verb taken off."""
    kind, flags, stream, *parts = words
    body = b"".join(bytes.fromhex(part[:2]) * int(part[3:]) if "*" in part else bytes.fromhex(part) for part in parts)
    return int(kind, 16), int(flags, 16), int(stream, 16), body


def read(path: Path) -> tuple[dict[str, str], list[str]]:
    head, _, body = path.read_text("utf-8").partition("\n\n")
    return dict(row.split(": ", 1) for row in head.splitlines()), body.splitlines()


def play(fields: dict[str, str], steps: list[str]) -> Player:
    player = Player(Role(fields["end"]), fields["limits"])
    for step in steps:
        verb, *words = step.split()
        if verb == "hears":
            player.hears(*record_of(words))
        if verb == "sends":
            sizes, _, conversation = " ".join(words).partition("in ")
            player.sends([int(size) for size in sizes.split()], int(conversation or 0))
        if verb in ("reads", "drops"):
            getattr(player, verb)(int(words[0]))
        if verb == "leaves":
            player.leaves()
    return player


def numbered(steps: list[str]) -> Iterator[str]:
    """Yield what an end must say as the vector has it, in order: its numbered records."""
    for step in steps:
        if step.startswith("says") and int(step.split()[1], 16) in RELIABLE:
            yield step


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_an_exchange(path: Path) -> None:
    fields, steps = read(path)
    player = play(fields, steps)

    assert {name: fields[name] for name in player.outcome()} == player.outcome()
    assert list(numbered(player.steps)) == list(numbered(steps))
    assert (player.session.state is State.FAILED) == (fields["expect"] != "success")
    assert player.error is None or all(arrival.over for arrival, _ in player.blobs)  # no reader waits for ever


def test_there_are_exchanges_of_every_kind() -> None:
    expected = [read(path)[0]["expect"] for path in VECTORS]

    assert len(VECTORS) >= 20
    assert {"success", "IllegalFrame", "CreditExceeded"} == set(expected)
    assert all(set(read(path)[0]) == FIELDS for path in VECTORS)


FIELDS = {"expect", "comment", "end", "limits", "values", "dropped", "blobs", "delivered"}


def record_anew() -> None:
    """Play every vector and write down what the end says now; what it hears and how it ends stay as they are."""
    for path in VECTORS:
        head, _, _ = path.read_text("utf-8").partition("\n\n")
        path.write_text("\n".join([head, "", *play(*read(path)).steps, ""]), "utf-8")


if __name__ == "__main__":
    record_anew()
