"""Resumptions: what one end hears, does and says on one transport after the other, as files.

A vector is for one end (`end:`).  `hears` and `says` are records before sealing, as in test_exchanges.py, OPEN and
ACCEPT among them.  `transport` begins one: the first, or a further one, on which a client asks at once; `cut` says that
the end has noticed that the one before is gone (without it, a server is taken over).  `sends`, `drains`, `leaves`,
`aborts` are what its application does.  `expect` is how the *session* is in the end, or what who asked for it was told
(`SessionLost` for status 2).  Every handshake has the same `binding`, every server the same `instance`.  ACK, GRANT,
PING and PONG are an end's own choice; all else has to be the same.

`python tests/test_resume_vectors.py` records anew what the end says.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cases import case
from netstructer.errors import LinkClosed, SessionLost
from netstructer.limits import Limits
from netstructer.protocol.arrivals import Arrival
from netstructer.protocol.events import Event, ResumeAsked, Resumed
from netstructer.protocol.session import Session
from netstructer.protocol.states import Kind, Role, State
from pair import C2S, INSTANCE, RESUMABLE, Hostile, agreement, error_in, messages_in, send
from test_exchanges import line, read, record_of

VECTORS = sorted((Path(__file__).parent / "vectors" / "resumptions").glob("*.vector"))
CHOSEN = {Kind.ACK, Kind.GRANT, Kind.PING, Kind.PONG}
FIELDS = {"expect", "comment", "instance", "binding", "end", "values", "resumes", "delivered"}


class Player:
    """One end, its application, and a peer on one transport after the other that says what the vector says."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.peer = Hostile(role, features=RESUMABLE)
        self.session: Session = self.peer.session
        self.steps: list[str] = []
        """The lines so far, as a vector has them."""
        self.error: BaseException | None = None
        self.values: list[bytes] = []
        self.blobs: list[tuple[Arrival, bytearray]] = []
        self.resumes = self.transports = 0

    def transport(self) -> None:
        self.steps.append("transport")
        self.transports += 1
        if self.role is Role.SERVER:
            self.peer = self.peer if self.transports == 1 else Hostile(self.role, features=RESUMABLE)
            return
        if self.transports == 1:
            # A Hostile has taken this one already.
            self.peer = Hostile(self.role, features=RESUMABLE)
            self.session = self.peer.session
            asked = self.session.opening
            body = (
                b"\1" + bytes(3) + asked.session_id + asked._secret + bytes(7) + b"\1" + bytes(7) + b"\1"
                + self.session.inflow.inbound.limit.to_bytes(8, "big") + bytes(16)
            )  # fmt: skip
            self.steps.append(line("says", Kind.OPEN, 0, 0, body))
            return
        self.session.rejoin(agreement(self.role, Limits.DEFAULT, features=RESUMABLE), self.peer.now)
        self.peer.renew()
        self.speak()

    def hears(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        self.steps.append(line("hears", kind, flags, stream, body))
        self._happened(self.peer.say(kind, flags, stream, body))
        self.speak()

    def _happened(self, events: list[Event]) -> None:
        for event in list(events):
            if isinstance(event, ResumeAsked):
                try:
                    events = self.session.adopt(self.peer.session, self.peer.now)
                    self.peer.session = self.session
                except SessionLost:
                    events = self.peer.session.decline()
        for message in messages_in(events):
            self.session.take(message)
            self.values.append(b"".join(message.chunks))
            self.blobs += [(self.session.arrival(message, place), bytearray()) for place in range(message.blob_count)]
        self.resumes += sum(isinstance(event, Resumed) for event in events)
        self.error = self.error or error_in(events)

    def speak(self) -> None:
        while records := self.peer.hear():
            for record in records:
                self.steps.append(line("says", record.kind, record.flags, record.stream, bytes(record.body)))

    def cut(self) -> None:
        self.steps.append("cut")
        self._happened(self.session.end(self.peer.now))

    def sends(self, value: int) -> None:
        self.steps.append(f"sends {value}")
        send(self.session, value)
        self.speak()

    def drains(self, seconds: int) -> None:
        self.steps.append(f"drains {seconds}")
        self.session.drain(seconds)
        self.speak()

    def leaves(self) -> None:
        self.steps.append("leaves")
        self.session.say_farewell()
        self.speak()

    def aborts(self) -> None:
        self.steps.append("aborts")
        self._happened(self.session.abort(LinkClosed("aborted")))
        self.speak()

    def outcome(self) -> dict[str, str]:
        for arrival, got in self.blobs:
            got += b"".join(arrival.spool)
        whole = b"".join(got for arrival, got in self.blobs if arrival.whole)
        return {
            "expect": "success" if self.error is None else type(self.error).__name__,
            "values": str(len(self.values)),
            "resumes": str(self.resumes),
            "delivered": sha256(b"".join(self.values) + whole).hexdigest(),
        }


def play(fields: dict[str, str], steps: list[str]) -> Player:
    player = Player(Role(fields["end"]))
    for step in steps:
        verb, *words = step.split()
        if verb == "hears":
            player.hears(*record_of(words))
        elif verb != "says":
            getattr(player, verb)(*map(int, words))
    return player


def told(steps: list[str]) -> list[str]:
    """Return what an end must say as the vector has it, and on which transport."""
    return [
        step for step in steps if step == "transport" or (step[:4] == "says" and int(step.split()[1], 16) not in CHOSEN)
    ]


def test_a_resumption() -> None:
    for path in VECTORS:
        with case(path.stem):
            fields, steps = read(path)
            player = play(fields, steps)

            assert {name: fields[name] for name in player.outcome()} == player.outcome()
            assert told(player.steps) == told(steps)
            refused = (fields["end"], fields["expect"]) == ("server", "SessionLost")  # it is the claim that has failed
            assert (player.session.state is State.FAILED) == (fields["expect"] != "success" and not refused)


def test_there_are_resumptions_of_every_kind() -> None:
    fields = [read(path)[0] for path in VECTORS]

    assert len(VECTORS) >= 35
    assert {found["expect"] for found in fields} >= {"success", "IllegalFrame", "SessionLost", "Gap", "ConnectionCut"}
    assert {found["end"] for found in fields} == {"client", "server"}
    assert all(set(found) == FIELDS for found in fields)
    assert {(found["instance"], found["binding"]) for found in fields} == {(INSTANCE.hex(), sha256(C2S).hexdigest())}


def record_anew() -> None:
    """Play every vector and write down what the end says now; what it hears and how it ends stay as they are."""
    for path in VECTORS:
        head, _, _ = path.read_text("utf-8").partition("\n\n")
        path.write_text("\n".join([head, "", *play(*read(path)).steps, ""]), "utf-8")


if __name__ == "__main__":
    record_anew()
