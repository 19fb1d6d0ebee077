"""The specification and the code say the same: docs/protocol.md is read, and held to the code line by line.

Each check is a function from the text to a list of what is wrong with it, so that it can be shown to find what it is
for: the text is changed, and the list is no longer empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct

import pytest

from netstructer import errors, keys
from netstructer.codec import compression, frames, gcm, room, slots, tokens
from netstructer.codec.ciphers import AES_256_GCM, FERNET
from netstructer.errors import BadSeal, CreditExceeded, Gap, IllegalFrame, PeerFault
from netstructer.keyring import KeyRing
from netstructer.keys import Key
from netstructer.limits import _BOUNDS, Limits
from netstructer.protocol import (
    bodies,
    delivery,
    endings,
    handshake,
    lanes,
    liveness,
    outgoing,
    parameters,
    records,
    states,
)
from netstructer.protocol.noise import KeyPair
from netstructer.protocol.parameters import Parameters
from netstructer.protocol.ratchet import Ratchet
from netstructer.protocol.records import RecordReader, RecordWriter, padding_bytes
from netstructer.protocol.states import MOVES, RELIABLE, AlertCode, CancelCode, Cause, Flag, Kind, Role, State
from pair import BOTH, data_body, error_in, opened

ROOT = Path(__file__).resolve().parent.parent
SPEC = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
RESERVED = {0x13: "LOGIN", 0x14: "LOGIN-RESULT"}

Row = list[str]
Check = Callable[[str], list[str]]


# --- reading the page -------------------------------------------------------------------------------------------------


def section(text: str, heading: str) -> str:
    """Return what stands under a heading (or a line in bold), up to the next one of its kind."""
    if heading.startswith("**"):
        return re.split(r"\n\*\*[A-Z]+\*\*\n|\n#", text.split(f"\n{heading}\n", 1)[1])[0]
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found is not None, heading
    return re.split(rf"^#{{2,{len(found[1])}}} ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str, *heads: str) -> list[Row]:
    """Return the rows of the table that has these heads, markers of code taken off."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if cells_of(line) == list(heads):
            rows = []
            for further in lines[start + 2 :]:
                if not further.startswith("|"):
                    break
                rows.append(cells_of(further))
            return rows
    raise AssertionError(f"no table {heads}")


def cells_of(line: str) -> Row:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def answers(text: str, heading: str) -> Iterator[tuple[str, str, bytes]]:
    """Return part, name and bytes of every known answer under a heading; a name is at the start of a line."""
    for block in re.findall(r"```\n(.*?)```", section(text, heading), re.DOTALL):
        part, name, digits = "", "", ""
        for line in [*block.splitlines(), ""]:
            found = re.fullmatch(r"([\w-]+)? +([0-9a-f]{2,})(?: +key_id ([0-9a-f]{16}))?", line)
            if name and digits and (found is None or found[1]):
                yield part, name, bytes.fromhex(digits)
                name, digits = "", ""
            if found is None:
                if line and not line.startswith(" "):
                    part = line if re.fullmatch(r"suite (0x1)?\d|record keys .*", line) else part
                    name = line.split()[0] if line.startswith("token ") else ""
                continue
            name, digits = found[1] or name, digits + found[2]
            if found[3]:
                yield part, "key_id", bytes.fromhex(found[3])


def number_of(text: str) -> int:
    """Return the number that a cell states: `65,535`, `2^62`, `2^32 - 1`, `2^30 + 2^16`."""
    signed = re.sub(r"\s", "", text).replace("−", "-").replace(",", "")
    terms = re.findall(r"([+-]?)(\d+)(?:\^(\d+))?", signed)
    return sum((-1 if sign == "-" else 1) * int(base) ** int(power or 1) for sign, base, power in terms)


# --- names ------------------------------------------------------------------------------------------------------------


def sections_cited() -> set[tuple[str, str]]:
    """Return the file and the section of every citation of the page in the code."""
    found = set()
    for path in [*(ROOT / "netstructer").rglob("*.py"), *(ROOT / "tests").glob("*.py"), *(ROOT / "fuzz").rglob("*.py")]:
        source = re.sub(r"\s*\n[#\s]*", " ", path.read_text(encoding="utf-8"))
        for cited in re.findall(r'protocol\.md,? ((?:"[^"]{1,60}"(?:, | and )?)+)', source):
            found |= {(path.name, name) for name in re.findall(r'"([^"]+)"', cited)}
    return found


def sections_missing(text: str) -> list[str]:
    headings = set(re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return sorted(f"{file}: {name}" for file, name in sections_cited() if name not in headings)


def anchors_of(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_broken(page: Path, text: str) -> list[str]:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        read = text if place == page else place.read_text(encoding="utf-8") if anchor and place.is_file() else ""
        if not place.exists() or (anchor and anchor not in anchors_of(read)):
            wrong.append(target)
    return wrong


def errors_unknown(text: str) -> list[str]:
    """Return the names in code type that look like errors and are none, and the faults of a peer that are not named."""
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+|Busy|Gap|Stalled|Downgrade|Banned|Misuse)`", text))
    faults = {name for name in errors.__all__ if issubclass(getattr(errors, name), PeerFault)} - {"PeerFault"}
    return sorted(named - set(errors.__all__)) + sorted(faults - named)


# --- bytes ------------------------------------------------------------------------------------------------------------


def kinds_wrong(text: str) -> list[str]:
    rows = table(section(text, "Kinds and bodies"), "kind", "name", "stream", "numbered", "body")
    stated = {(int(kind, 16), name, numbered == "yes") for kind, name, _, numbered, _ in rows}
    wrong = stated ^ {(int(kind), kind.name, kind in RELIABLE) for kind in Kind}
    named = {(int(kind, 16), name) for kind, name in re.findall(r"`(\w\w)` \(([A-Z-]+)\)", text)}
    return [str(fact) for fact in (*wrong, *(named ^ set(RESERVED.items())), *(set(RESERVED) & set(Kind)))]


def codes_wrong(text: str) -> list[str]:
    flags = {(int(flag), name) for flag, name, _ in table(text, "flag", "name", "")}
    alerts = {(int(code), means.partition(":")[0]) for code, means in table(text, "alert", "means")}
    heads = ("cancel", "means", "error at the other end, if it still sends that value")
    cancels = {(int(code), means.partition(":")[0]) for code, means, _ in table(text, *heads)}
    wrong = flags ^ {(int(flag), flag.name) for flag in Flag if flag}
    wrong |= alerts ^ {(int(code), code.name) for code in AlertCode}
    wrong |= cancels ^ {(int(code), code.name) for code in CancelCode}
    modes = section(text, "Kinds and bodies")
    new, resumed = bodies.STATUS_NEW, bodies.STATUS_RESUMED
    unknown, busy = bodies.STATUS_UNKNOWN, bodies.STATUS_BUSY
    for line in (
        f"| 0 | 1 | mode | {bodies.OPEN_NEW} new, {bodies.OPEN_RESUME} resume |",
        f"| 0 | 1 | status | {new} new, {resumed} resumed, {unknown} unknown session, {busy} busy |",
        f"| 0 | 1 | kind | {bodies.BLOB} blob, {bodies.VALUE} value, {bodies.ASIDE} aside, {bodies.DURABLE} durable |",
        f"| 1 | 1 | codec | {compression.NONE} none, {compression.ZSTD} zstd |",
    ):
        if line not in modes:
            wrong.add((0, line))
    return sorted(map(str, wrong))


LAYOUTS = {
    "OPEN": bodies._OPEN,
    "ACCEPT": bodies._ACCEPT,
    "ACK": bodies._ACK,
    "GRANT": bodies._GRANT,
    "DRAIN": bodies._DRAIN,
    "ALERT": bodies._ALERT,
    "CANCEL": bodies._CANCEL,
    "FAREWELL": bodies._FAREWELL,
    "DATA": Struct(bodies._FIRST.format + bodies._PARENT.format.lstrip(">")),
}


def layouts_wrong(text: str) -> list[str]:
    """Hold each layout's offsets and widths to the `Struct` that packs it."""
    wrong = []
    for name, layout in LAYOUTS.items():
        rows = table(section(text, f"**{name}**"), "at", "bytes", "name", "")
        stated = [(int(at), int(width)) for at, width, *_ in rows if width.isdigit()]
        widths = [Struct(">" + field).size for field in re.findall(r"\d*[a-zA-Z]", layout.format)]
        actual = [(sum(widths[:place]), width) for place, width in enumerate(widths)]
        if stated != actual:
            wrong.append(f"{name}: {stated}, packed as {actual}")
    return wrong


PLACES = {
    0: None,
    1: None,
    2: None,
    4: ("body_bytes", 1),
    8: ("message_bytes", 1),
    16: ("credit_bytes", 1),
    20: ("ping_seconds", 1000),
    24: ("dead_seconds", 1000),
    28: ("value_items", 1),
    32: None,
    48: ("value_bytes", 1),
    56: ("value_depth", 1),
    58: ("unseeded_members", 1),
    60: ("int_bits", 0),
    61: ("decimal_digits", 0),
    62: ("decimal_exponent", 0),
    63: ("streams", 0),
}
"""Offsets in the parameters -> the limit stated there, and by what it is multiplied; 0 for one that is stated as a
width."""


def parameters_wrong(text: str) -> list[str]:
    rows = table(section(text, "Parameters"), "at", "bytes", "name", "may be", "zero stands for")
    widths = [Struct(">" + field).size for field in re.findall(r"\d*[a-zA-Z]", parameters._LAYOUT.format)]
    stated = [(int(at), int(width)) for at, width, *_ in rows]
    actual = [(sum(widths[:place]), width) for place, width in enumerate(widths)]
    wrong = [] if stated == actual and [at for at, _ in actual] == list(PLACES) else [f"{stated}, packed as {actual}"]
    for at, _, name, bounds, default in rows:
        place = PLACES.get(int(at))
        if place is None:
            continue
        limit, scale = place
        low, high = (round(figure * scale) if scale else int(figure).bit_length() for figure in _BOUNDS[limit])
        if [number_of(bound) for bound in bounds.split("…")] != [low, high]:
            wrong.append(f"{name}: {bounds}, in the code {low} to {high}")
        if default != "–" and number_of(default) != getattr(Limits.DEFAULT, limit):
            wrong.append(f"{name}: zero is {default}")
    return wrong


FIGURES = {
    "version": parameters.VERSION,
    "length of a hello": handshake.HELLO_BYTES,
    "length of a refusal": handshake.CODE_BYTES,
    "length of an answer, suite 1": handshake.SUITES[1].answer_bytes,
    "length of an answer, suite 2": handshake.SUITES[2].answer_bytes,
    "length of parameters": parameters.PARAMETERS_BYTES,
    "feature: compression": parameters.COMPRESSION,
    "feature: resume": parameters.RESUME,
    "feature: padding": parameters.PADDING,
    "refusal: version": handshake.VERSION_NOT_SPOKEN,
    "refusal: key": handshake.KEY_NOT_ACCEPTED,
    "refusal: busy": handshake.BUSY,
    "refusal: shutting down": handshake.SHUTTING_DOWN,
    "refusal: banned": handshake.BANNED,
    "token beside its cipher blocks": tokens.TOKEN_OVERHEAD,
    "token beside its record, suites 0x11 and 0x12": gcm.TOKEN_OVERHEAD,
    "least token of a frame": frames.LEAST_TOKEN_BYTES,
    "least token of a frame, suites 0x11 and 0x12": gcm.sealed_bytes(records.HEADER_BYTES),
    "length of a key of records, suites 0x11 and 0x12": gcm.KEY_BYTES,
    "length of a frame beside its token": frames.LENGTH_BYTES,
    "header of a record": records.HEADER_BYTES,
    "body of OPEN": bodies.OPEN_BYTES,
    "body of ACCEPT": bodies._ACCEPT.size,
    "body of ACK": bodies._ACK.size,
    "body of GRANT": bodies.GRANT_BYTES,
    "body of DRAIN": bodies._DRAIN.size,
    "body of NEW_KEY": keys.TEXT_LENGTH,
    "body of CANCEL": bodies.CANCEL_BYTES,
    "body of PING": bodies.PING_BYTES,
    "body of ALERT before its text": bodies._ALERT.size,
    "body of FAREWELL before its text": bodies._FAREWELL.size,
    "longest text": bodies.TEXT_BYTES,
    "head of a value": bodies._FIRST.size,
    "parent of a blob": bodies._PARENT.size,
    "outbox and row of a durable message": bodies.ROW_BYTES,
    "most that a DATA body holds beside its chunk": bodies.OVERHEAD_BYTES,
    "charge of a message": delivery.MESSAGE_CHARGE,
    "credit of a blob before the first GRANT": bodies.FIRST_GRANT,
    "longest chunk of a blob": outgoing.BLOB_CHUNK_BYTES,
    "most records under a key": records.MOST_RECORDS,
    "most bytes under a key": records.MOST_BYTES,
    "least records between rekeys": records.FLOOD_RECORDS,
    "seconds that excuse fewer": int(records.FLOOD_SECONDS),
    "most padding": records.MOST_PADDING,
    "pings a second": int(liveness.PINGS_PER_SECOND),
    "changed bytes that a session outlives": endings.MOST_BAD_SEALS - 1,
    "in that time": int(endings.BAD_SEAL_SECONDS),
    "window of a zstd frame": 1 << compression.WINDOW_LOG,
    "plain bytes of a zstd block": compression.BLOCK_BYTES,
    "empty zstd blocks in a row": compression.MOST_EMPTY_BLOCKS,
}


def figures_wrong(text: str) -> list[str]:
    stated = {name: int(value) for name, value, _ in table(section(text, "Figures"), "figure", "value", "unit")}
    return sorted(str(fact) for fact in set(stated.items()) ^ set(FIGURES.items()))


def budgets_wrong(text: str) -> list[str]:
    """Hold the page's defaults, which it states in prose and tables, to those of `Limits`."""
    default = Limits.DEFAULT
    early, most = default.half_open_early, default.half_open
    opening = tokens.sealed_bytes(records.HEADER_BYTES + bodies.OPEN_BYTES)
    shorter = gcm.sealed_bytes(records.HEADER_BYTES + bodies.OPEN_BYTES)
    budgets, ping = section(text, "Budgets before authentication"), section(text, "Ping")
    expected = {
        f"| time to a whole hello, from accept | {default.hello_seconds:.0f} s |": budgets,
        f"| time to a verified OPEN, from accept | {default.open_seconds:.0f} s |": budgets,
        f"| strangers at a time | {most} |": budgets,
        f"| from {early} strangers on |": budgets,
        f"`0.3 + 0.7 · (n − {early}) / ({most} − {early})`": budgets,
        f"| strangers at a time from one source | {default.half_open_per_source} |": budgets,
        f"| {default.connect_burst} at once, {default.connects_per_second:.0f} a second after that": budgets,
        f"while {early // 4} or more strangers are there": budgets,
        f"| bytes of the frame after it | 4 + {opening}, or 4 + {shorter} under AES-256-GCM |": budgets,
        f"({default.ping_seconds:.0f} seconds, ±10 %": ping,
        f"After {default.dead_seconds:.0f} seconds": ping,
        f"{default.ack_bytes >> 20} MiB, or a quarter of the credit": section(text, "Sending"),
        f"otherwise {default.ack_seconds * 1000:.0f} ms after": section(text, "Sending"),
    }
    return [words for words, place in expected.items() if words not in " ".join(place.split())]


def spools_wrong(text: str) -> list[str]:
    """Hold what the page says of the seal of a spool, and of the streams of blobs, to the code."""
    place, most = section(text, "Spools"), section(text, "Messages and streams")
    stride, kib = slots._STRIDE, f"{slots.SLOT_BYTES:,}"
    expected = {
        f"begins at byte `{stride:,} · n`": place,
        f"less than {kib} bytes of a spool wait": place,
        f"Only less than {room.JOIN_BYTES:,} bytes are not worth it": place,
        f"≤ credit_bytes + credit_bytes / {room._TAILS_SHARE}": place,
        f"| plain text | 1 to {kib} bytes of the row |": place,
        f"tag of {stride - slots.SLOT_BYTES} bytes": place,
        f"looked at every {slots.LOOK_BYTES >> 20} MiB": place,
        **{f"| `{name}` |": place for name in LIMITS_OF_SPOOLS},
        "`max(1, ⌊3n / 4⌋)` streams": most,
    }
    wrong = [words for words, where in expected.items() if words not in " ".join(where.split())]
    blobs = [(n, lanes.Lanes(Role.CLIENT, n)._blobs) for n in (2, 3, 4, 8, 64)]
    return wrong + [str(found) for found in blobs if found[1] != max(1, 3 * found[0] // 4)]


LIMITS_OF_SPOOLS = [name for name in Limits.__dataclass_fields__ if name.startswith("spool_") and "bytes" in name]


def states_wrong(text: str) -> list[str]:
    rows = table(section(text, "States"), "state", "means", "may receive")
    stated = {}
    for name, _, received in rows:
        for clause in filter(None, received.removesuffix("–").split("; ")):
            kinds, _, to = clause.partition(" → ")
            stated |= {(name, kind): to or name for kind in kinds.split(", ")}
    actual = {
        (state.value, cause.name): moves[cause].value
        for state, moves in MOVES.items()
        for cause in moves
        if isinstance(cause, Kind)
    }
    wrong = {str(fact) for fact in set(stated.items()) ^ set(actual.items())}
    return sorted(wrong | ({name for name, *_ in rows} ^ {state.value for state in State}))


# --- known answers ----------------------------------------------------------------------------------------------------

KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CLIENT_PARAMETERS = bytes.fromhex("01010007000100000000000040000000008000000000" + "3a980000afc800000000")
SECONDS = 1_700_000_000


def handshake_answers_wrong(text: str) -> list[str]:
    key = Key(KEY_TEXT)
    actual: dict[tuple[str, str], bytes] = {("", "psk"): key.psk, ("", "key_id"): key.key_id}
    client_packed = CLIENT_PARAMETERS + bytes(32)
    server_packed = CLIENT_PARAMETERS + b"\x44" * 16 + bytes(16)
    client, server = (Parameters.unpack(packed, of_server=packed[32] != 0) for packed in (client_packed, server_packed))
    for suite in handshake.SUITES:
        hello, expected = handshake.start_client(key, client, suite=suite, draw=lambda size: b"\x11" * size)
        identity = KeyPair(b"\x33" * 32)
        served = handshake.ExpectHello(
            KeyRing(key), server, identity=identity, ciphers=(FERNET, AES_256_GCM), draw=lambda size: b"\x22" * size
        )
        agreed = served.receive(hello)
        opened_to = expected.receive(agreed.answer)
        if (opened_to.send_secret, opened_to.binding) != (agreed.receive_secret, agreed.binding):
            return ["the two ends do not agree"]
        facts = {"hello": hello, "answer": agreed.answer, "binding": agreed.binding, "c2s": agreed.receive_secret}
        facts |= {"s2c": agreed.send_secret, "exp": agreed.export_secret}
        part = f"suite {suite}" if suite < 0x10 else f"suite {suite:#x}"
        actual |= {(part, name): fact for name, fact in facts.items()}
    ratchet = Ratchet(actual["suite 1", "c2s"])
    part = "record keys of the client in suite 1"
    actual[part, "first"] = ratchet.key
    sealer = tokens.Sealer(ratchet.key)
    iv = bytes(range(16))
    sealer._draw = lambda size: tokens._draw_for_iv(ratchet.key, iv)
    actual[part, "token"] = sealer.seal(records.HEADER.pack(0, Kind.PING, 0, 0, 0) + b"12345678", SECONDS)
    ratchet.advance()
    actual[part, "second"] = ratchet.key
    ratchet = Ratchet(actual["suite 0x11", "c2s"], AES_256_GCM)
    part = "record keys of the client in suite 0x11"
    actual[part, "first"] = ratchet.key
    record = records.HEADER.pack(0, Kind.PING, 0, 0, 0) + b"12345678"
    actual[part, "token"] = ratchet.sealer(0).seal_parts((record,), SECONDS)
    ratchet.advance()
    actual[part, "second"] = ratchet.key
    stated = {(part, name): found for part, name, found in answers(text, "Handshake and tokens")}
    return sorted(str(place) for place in stated.keys() | actual.keys() if stated.get(place) != actual.get(place))


def known_records() -> dict[str, tuple[Kind, int, int, bytes, int]]:
    """Return kind, flags, stream, body and padding of the records that the page shows, in its order."""
    number, first, total = bodies.number, bodies.First, bodies.total
    return {
        "open": (Kind.OPEN, 0, 0, bodies.Open(1, b"\1" * 16, b"\2" * 32, 1, 1, 8 << 20, bytes(16)).pack(), 0),
        "accept": (Kind.ACCEPT, 0, 0, bodies.Accept(0, b"\1" * 16, b"\x44" * 16, 1, 1, 8 << 20, 0).pack(), 0),
        "rekey": (Kind.REKEY, 0, 0, b"", 0),
        "ping": (Kind.PING, 0, 0, b"12345678", 0),
        "pong": (Kind.PONG, 0, 0, b"12345678", 0),
        "ack": (Kind.ACK, 0, 0, bodies.Ack(7, 9 << 20, 5).pack(), 0),
        "alert": (Kind.ALERT, 0, 0, bodies.Alert(AlertCode.PROTOCOL, "IllegalFrame").pack(), 0),
        "data-whole": (Kind.DATA, BOTH, 1, bodies.single(1, 0, b"\7", 1), 0),
        "data-first": (Kind.DATA, 1, 3, number(2) + first(bodies.VALUE, 0, 1, 3, 0).pack() + b"\xfd\0", 0),
        "data-last": (Kind.DATA, 2 | 4 | 8, 3, number(3) + b"\0" + total(3), 0),
        "data-blob": (
            *(Kind.DATA, BOTH, 5),
            number(4) + first(bodies.BLOB, 0, 0, bodies.UNKNOWN, 2).pack() + b"xyz" + total(3),
            0,
        ),
        "cancel": (Kind.CANCEL, 0, 3, bodies.Cancel(5, 2, CancelCode.ABANDONED).pack(), 0),
        "farewell": (Kind.FAREWELL, 0, 0, bodies.Farewell(6, 0, "bye").pack(), 0),
        "batch": (Kind.BATCH, 0, 0, bodies.batch(7, [b"\0\0\0\1", b"\7", b"\0\0\0\2", b"\xa1h"]), 0),
        "ping-padded": (Kind.PING, 0, 0, b"12345678", 24),
        "data-aside": (
            *(Kind.DATA, BOTH, 7),
            number(8) + first(bodies.ASIDE, 0, 0, 1, 0, 1).pack() + b"\7" + total(1),
            0,
        ),
        "grant": (Kind.GRANT, 0, 0, bodies.Grant(4, 1 << 20).pack(), 0),
        "data-durable": (
            *(Kind.DATA, BOTH, 9),
            number(9) + first(bodies.DURABLE, 0, 0, 25, 0).pack() + bodies.row(b"\3" * 16, 1) + b"\7" + total(25),
            0,
        ),
        "new-key": (Kind.NEW_KEY, 0, 0, b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 0),
    }


def record_answers_wrong(text: str) -> list[str]:
    actual = {
        name: records.HEADER.pack(sequence, kind, flags, padding, stream) + body + bytes(padding)
        for sequence, (name, (kind, flags, stream, body, padding)) in enumerate(known_records().items())
    }
    stated = {name: found for _, name, found in answers(text, "Records of every kind")}
    return sorted(name for name in stated.keys() | actual.keys() if stated.get(name) != actual.get(name))


def frame_answers_wrong(text: str) -> list[str]:
    """Seal the page's four records with the ivs that it states, and open them again."""
    secret = next(
        found for part, name, found in answers(text, "Handshake and tokens") if (part, name) == ("suite 1", "c2s")
    )
    stated = {name: found for _, name, found in answers(text, "Frames of a session")}
    writer, reader, ratchet = RecordWriter(secret, Limits.DEFAULT, 0.0), RecordReader(secret, 0.0), Ratchet(secret)
    before = bytes(16)
    wrong = _gcm_frames_wrong(secret, stated)
    for name in ("open", "data-whole", "rekey", "ping"):
        kind, flags, stream, body, _ = known_records()[name]
        block = tokens._draw_for_iv(ratchet.key, bytes([writer.sequence]) * 16, before)
        writer._sealer._draw = lambda size, block=block: block
        if kind is Kind.REKEY:
            token = writer.rekey(seconds=SECONDS, now=0.0)
            ratchet.advance()
        else:
            token = writer.write(kind, flags, stream, body, seconds=SECONDS)
        before = bytes(16) if kind is Kind.REKEY else token[-48:-32]
        if stated.get(name) != frames.joined(token):
            wrong.append(name)
        record = reader.read(token)
        if kind is Kind.REKEY:
            reader.rekey(0.0)
        if (record.kind, record.flags, record.stream, bytes(record.body)) != (kind, flags, stream, body):
            wrong.append(f"{name}, opened")
    return wrong + sorted(stated.keys() - {f"{cipher}{name}" for cipher in ("", "gcm-") for name in known_records()})


def _gcm_frames_wrong(secret: bytes, stated: dict[str, bytes]) -> list[str]:
    """The same in suite 0x11, where a token follows from its key, its record and its number alone."""
    writer, wrong = RecordWriter(secret, Limits.DEFAULT, 0.0, AES_256_GCM), []
    for name in ("open", "data-whole", "rekey", "ping"):
        kind, flags, stream, body, _ = known_records()[name]
        if kind is Kind.REKEY:
            token = writer.rekey(seconds=0, now=0.0)
        else:
            token = writer.write(kind, flags, stream, body, seconds=0)
        if stated.get(f"gcm-{name}") != frames.joined(token):
            wrong.append(f"gcm-{name}")
    return wrong


def padding_answers_wrong(text: str) -> list[str]:
    place = section(text, "Padding and compression")
    rows = [(int(size), int(padded)) for size, padded in table(place, "n", "becomes")]
    wrong = [str(row) for row in rows if row[0] + padding_bytes("bucket", row[0], 1 << 16) != row[1]]
    packed = {name: found for _, name, found in answers(text, "Padding and compression")}
    plain = b"".join(compression.expand([packed["zstd-600-a"]], plain_bytes=600))
    return wrong + ([] if plain == b"a" * 600 else ["zstd-600-a"])


# --- the tests --------------------------------------------------------------------------------------------------------

CHECKS: dict[Check, tuple[str, str]] = {
    sections_missing: ("## Receiving", "## What comes in"),
    errors_unknown: ("`RekeyOverdue`", "`RekeyLate`"),
    kinds_wrong: ("| `11` | CANCEL |", "| `1f` | CANCEL |"),
    codes_wrong: ("| 2 | NO_ROOM", "| 5 | NO_ROOM"),
    layouts_wrong: ("| 68 | 8 | limit |", "| 68 | 4 | limit |"),
    parameters_wrong: ("| 1 … 1,000 | 256 |", "| 1 … 1,000 | 255 |"),
    figures_wrong: ("| body of ACK | 24 |", "| body of ACK | 16 |"),
    budgets_wrong: ("| strangers at a time | 256 |", "| strangers at a time | 255 |"),
    spools_wrong: ("1 to 65,536 bytes", "1 to 65,535 bytes"),
    states_wrong: ("FAREWELL → parting", "FAREWELL → closed"),
    handshake_answers_wrong: ("c2s      4779", "c2s      4778"),
    record_answers_wrong: ("02a168", "02a169"),
    frame_answers_wrong: ("ea19db2d", "ea19db2e"),
    padding_answers_wrong: ("| 4097 | 4352 |", "| 4097 | 8192 |"),
}
"""Each check, and a change of the page that it must find."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_page_and_the_code_say_the_same(check: Check) -> None:
    assert check(SPEC) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_page_that_says_something_else_is_found(check: Check) -> None:
    here, there = CHECKS[check]
    changed = SPEC.replace(here, there)

    assert changed != SPEC
    assert check(changed) != []


def test_citations_of_the_page_are_seen_at_all() -> None:
    cited = {name for _, name in sections_cited()}

    assert cited >= {"Keys", "Tokens", "Rekey", "Messages and streams", "Kinds and bodies", "Registry and addresses"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert links_broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("target", ["nowhere.md", "#nowhere", "defaults.md#nowhere", "../nowhere"])
def test_a_link_that_leads_nowhere_is_found(target: str) -> None:
    page = ROOT / "docs" / "protocol.md"

    assert links_broken(page, f"{SPEC}\n[there]({target})") == [target]


# --- the order of checks, as the page states it -----------------------------------------------------------------------


def test_data_is_checked_in_the_order_of_the_page() -> None:
    """Each record breaks two rules or more; the error is that of the one that stands first."""
    much = 8 << 20
    wrong_flags = 0x80 | BOTH
    faults = [
        (lambda peer: peer.say(Kind.DATA, wrong_flags, 1, b"short"), IllegalFrame),
        (lambda peer: peer.say(Kind.DATA, wrong_flags, 1, data_body(9, b"\7")), Gap),
        (lambda peer: peer.say(Kind.BATCH, 0, 0, bodies.number(9) + b"\0\0\0\1"), IllegalFrame),
        (lambda peer: peer.say(Kind.FAREWELL, 0, 0, bodies.Farewell(9, 0, "").pack()), Gap),
        (lambda peer: peer.say(Kind.CANCEL, 0, 0, bodies.Cancel(9, 1, 4).pack()), IllegalFrame),
        (lambda peer: peer.say(0x77, 0xFF, 7, b"short", pad=1), IllegalFrame),
    ]
    found = [type(error_in(fault(opened(Role.SERVER)))) for fault, _ in faults]
    spent = opened(Role.SERVER, limits=Limits(credit_bytes=64 << 10))
    for _ in range(64):
        events = spent.first(bytes(1000), much, stream=spent.stream)
        spent.stream += 2
        if events:
            break

    assert found == [expected for _, expected in faults]
    assert type(error_in(events)) is CreditExceeded


def test_a_record_that_was_had_before_is_dropped_unread() -> None:
    peer = opened(Role.SERVER)
    first = peer.data(b"\7")
    again = peer.say(Kind.DATA, 0x80, 0, bodies.number(1) + b"anything")

    assert (len(first), again) == (1, [])
    assert peer.session.state is State.READY


def test_a_broken_seal_is_never_answered() -> None:
    peer = opened(Role.SERVER)
    frame = bytearray(peer.seal(Kind.PING, body=b"12345678"))
    frame[-1] ^= 1
    events = peer.session.receive_data(bytes(frame), 0.0)

    assert type(error_in(events)) is BadSeal
    assert peer.hear() == []


def test_a_broken_rule_is_answered_with_its_name() -> None:
    peer = opened(Role.SERVER)
    peer.say(0x77)
    alerts = [bodies.Alert.unpack(memoryview(record.body)) for record in peer.hear() if record.kind == Kind.ALERT]

    assert alerts == [(AlertCode.PROTOCOL, "IllegalFrame")]


def test_every_state_that_ends_is_left_by_nothing() -> None:
    assert [state.value for state in State if not MOVES[state]] == ["closed", "failed"]
    assert Cause.SETTLED in MOVES[State.LEFT]
    assert states.advance(State.PARTING, Cause.SETTLED) is State.CLOSED
