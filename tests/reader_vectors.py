"""What the second reader makes of a vector, from its header and its input alone; tests/vectors/README.md says the form.

Law: nothing of netstructer is imported here.  For each folder there is a function from the facts of the header, and the
input, to what the reader finds: `expect`, and whatever else of the header is an outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from reader import Session, read_session
from reader_direction import Direction
from reader_gcm import open_gcm_token
from reader_handshake import Client, Server, read_key
from reader_parts import Kind, Limits, Part, Stated
from reader_records import Records, open_token
from reader_structs import Refused, Shape
from reader_values import Budget, read_value

Facts = dict[str, str]
LIMITS = {
    "default": Limits(),
    "cramped": Limits(),
    "narrow": Limits(value_bytes=1024),
    "small": Limits(4096, 8192, 1024, 64 << 10, 4),
}
TYPES = {
    "Point": Shape(0xFA, ("x", "y")),
    "Colour": Shape(0xFB, ("RED", "GREEN")),
    "Access": Shape(0xFB, bits=3),
    "Celsius": Shape(0xFC),
    "Empty": Shape(0xFA, hashable=False),
}
"""The application types that vectors of values name: fields, members, all bits of a flag."""


FOLDERS = {
    "values": "of_value",
    "keys": "of_key",
    "tokens": "of_token",
    "records": "of_record",
    "handshakes": "of_handshake",
    "sessions": "of_session",
    "exchanges": "of_exchange",
    "resumptions": "of_resumption",
}
"""For each folder of vectors, what the function is called that reads one: here, and wherever else there is a reader."""


def by_folder(functions: Mapping[str, Any]) -> dict[str, Callable[[Facts, str], Facts]]:
    """Return those functions of a module that read vectors, by the folders that they read."""
    return {folder: functions[name] for folder, name in FOLDERS.items()}


def read_vector(path: Path) -> tuple[Facts, str]:
    """Return the header of a vector, and its input as text."""
    head, _, body = path.read_text("utf-8").partition("\n\n")
    return dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in head.splitlines()), body


def outcome(path: Path) -> Facts:
    """Return what the second reader makes of a vector."""
    facts, body = read_vector(path)
    return READERS[path.parent.name](facts, body)


def raw(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


def of_value(facts: Facts, body: str) -> Facts:
    name, _, figure = facts.get("limits", "").partition("=")
    budget = Budget(**({name: int(figure)} if name else {}))
    try:
        read_value(raw(body), len(facts.get("blobs", "").split()), budget, TYPES)
    except Refused as refused:
        return {"expect": refused.name}
    return {"expect": "success"}


def of_key(facts: Facts, body: str) -> Facts:
    try:
        read_key(raw(body).decode())
    except Refused as refused:
        return {"expect": refused.name}
    return {"expect": "success"}


def of_token(facts: Facts, body: str) -> Facts:
    try:
        if "suite" in facts:
            record = open_gcm_token(raw(facts["key"]), int(facts["sequence"]), raw(body))
        else:
            record = open_token(raw(facts["key"]), raw(body))
        return {"expect": "success", "record": record.hex()}
    except Refused as refused:
        return {"expect": refused.name}


def of_record(facts: Facts, body: str) -> Facts:
    try:
        records = Records(raw(facts["secret"]), sequence=int(facts["sequence"]), suite=int(facts.get("suite", "1")))
        record = records.open(raw(body))
    except Refused as refused:
        return {"expect": refused.name}
    head = f"{record.kind} {record.flags} {record.stream}"
    return {"expect": "success", "record": head, "body": record.body.hex()}


def of_handshake(facts: Facts, body: str) -> Facts:
    own = "server" if facts["read"] == "hello" else "client"
    given = (facts["key"], raw(facts[f"{own}_parameters"]), raw(facts[f"{own}_ephemeral"]))
    identity, pinned = (raw(facts[name]) if name in facts else None for name in ("identity", "pinned"))
    offers = "offers" in facts
    end = Server(*given, identity, gcm=offers) if own == "server" else Client(*given, int(facts["suite"]), pinned)
    found = {"expect": "success"}
    try:
        agreed = end.hear(raw(body))
        found |= {name: secret.hex() for name, secret in agreed._asdict().items()}
    except Refused as refused:
        found["expect"] = refused.name
    return found | ({"answer": end.answer.hex()} if isinstance(end, Server) else {})


def of_session(facts: Facts, body: str) -> Facts:
    session, hears, own = ends_of(facts)
    own.begun, own.stated = True, Stated(limit=LIMITS[facts["limits"]].credit_bytes)
    session.id, session.mode = raw(facts.get("session", "")), 1
    name = "success"
    try:
        read_session(
            session,
            raw(facts["secret-c2s"]),
            raw(facts["secret-s2c"]),
            [(hears.first == Kind.OPEN, raw(body))],
            suite=int(facts.get("suite", "1")),
        )
    except Refused as refused:
        name = refused.name
    return {"expect": name, "delivered": digest_of(hears)}


def digest_of(direction: Direction) -> str:
    """SHA-256 of the encodings of all that was delivered, and then of the bytes of their blobs that are whole."""
    found = sha256(b"".join(message.encoded for message in direction.messages))
    for blob in blobs_of(direction):
        with suppress(Refused):  # what does not expand fails who reads it, and nothing else
            found.update(blob.plain() if blob and blob.whole and not blob.refused else b"")
    return found.hexdigest()


def blobs_of(direction: Direction) -> list[Part | None]:
    """Return the blobs of all that was delivered, by value and place; None where one has not begun."""
    parts = [message.part for message in direction.messages if message.part]
    return [part.blobs.get(place) for part in parts for place in range(part.place)]


def record_of(words: list[str]) -> tuple[int, int, int, bytes]:
    """Return kind, flags, stream and body of a line."""
    kind, flags, stream, *parts = words
    body = b"".join(bytes.fromhex(part[:2]) * int(part[3:]) if "*" in part else bytes.fromhex(part) for part in parts)
    return int(kind, 16), int(flags, 16), int(stream, 16), body


def of_exchange(facts: Facts, body: str) -> Facts:
    limits = LIMITS[facts["limits"]]
    session, hears, own = ends_of(facts)
    for end in (hears, own):
        end.begun, end.stated = True, Stated(limit=limits.credit_bytes)
    name = "success"
    for step in body.splitlines():
        verb, *words = step.split()
        if verb == "drops":
            hears.parts[int(words[0])].refuse()
        if verb == "says" and name == "success":
            session.take(own, *record_of(words))
        if verb == "hears":
            try:
                session.take(hears, *record_of(words))
            except Refused as refused:
                name = refused.name
    blobs = [(len(blob.payload), blob.whole and not blob.refused) if blob else (0, False) for blob in blobs_of(hears)]
    return {
        "expect": name,
        "values": str(sum(not (message.part and message.part.conversation) for message in hears.messages)),
        "dropped": str(len(hears.dropped)),
        "blobs": " ".join(f"{size}{'' if whole else '+'}" for size, whole in blobs) or "none",
        "delivered": digest_of(hears),
    }


def of_resumption(facts: Facts, body: str) -> Facts:
    session, hears, own = ends_of(facts)
    name, resumes, over = "", 0, False
    for step in body.splitlines():
        verb, *words = step.split()
        if verb == "transport":
            session.begin()
            over = False
        if verb == "cut":
            session.cut(own)
        if verb == "aborts":
            name, session.lives = "LinkClosed", False
        if verb == "says" and not over and session.lives | (int(words[0], 16) in (Kind.OPEN, Kind.ACCEPT)):
            session.take(own, *record_of(words))
        if verb == "hears":
            mode, lived = session.mode, session.lives
            try:
                session.take(hears, *record_of(words))
                resumes += int(words[0], 16) in (Kind.OPEN, Kind.ACCEPT) and session.mode == 2
            except Refused as refused:
                over = True
                claim = hears.first == Kind.OPEN and refused.name == "SessionLost"
                if lived and refused.name in ("Stalled", "Busy"):
                    continue  # the transport is over, and nothing else
                name = name or refused.name
                session.lives, session.mode = claim and lived, mode
    return {
        "expect": name or "success",
        "values": str(len(hears.messages)),
        "resumes": str(resumes),
        "delivered": digest_of(hears),
    }


def ends_of(facts: Facts) -> tuple[Session, Direction, Direction]:
    """Return a session, what the end of a vector hears, and what it says itself."""
    limits = LIMITS[facts.get("limits", "default")]
    session = Session(limits, limits, instance=raw(facts.get("instance", "")), binding=raw(facts.get("binding", "")))
    session.client.compression = session.server.compression = bool(int(facts.get("features", "5")) & 1)
    return session, *(
        (session.client, session.server) if facts["end"] == "server" else (session.server, session.client)
    )


READERS = by_folder(globals())
