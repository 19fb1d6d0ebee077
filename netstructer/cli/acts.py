"""The acts of the demonstration: each does one thing on real input, shows it, and returns its facts.  Floor: ROOF.

Law: nothing is shown that was not measured or compared a moment ago.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from netstructer import Key, Link
from netstructer.address import Address
from netstructer.cli.eavesdropper import Eavesdropper, entropy, frames_of, occurrences
from netstructer.cli.exhibits import THE_LIST, largest_file, library_files, outline, pieces, unicode_table
from netstructer.cli.literals import same
from netstructer.cli.partner import digest_of
from netstructer.cli.screen import seconds, size
from netstructer.cli.stage import Stage
from netstructer.codec.compression import compress
from netstructer.codec.values import encode
from netstructer.errors import KeyRefused, LinkClosed

__all__ = ["eavesdropper_act", "file_act", "key_act", "list_act", "registry_act", "table_act"]

TIMEOUT = 15.0
TAPPED_ROWS = 5_000
HEX_BYTES = 20


def list_act(stage: Stage, address: Address, key: Key) -> dict[str, Any]:
    """Send the list there and back; show both sides, type by type."""
    stage.heading("a list, type by type")
    with Link(address, key=key, timeout=TIMEOUT) as link:
        link.send("echo")
        sent = link.send(THE_LIST)
        there = link.recv(timeout=TIMEOUT)
        back = link.recv(timeout=TIMEOUT)
    here = outline(THE_LIST)
    equal = there == here and same(back, THE_LIST)
    stage.code("send", repr(THE_LIST))
    stage.table(
        ("here", "type", "in the other process", "type there"),
        [(ours[1], ours[0], theirs[1], theirs[0]) for ours, theirs in zip(here, there, strict=True)],
    )
    stage.check(equal, f"sent back and compared: {'equal' if equal else 'NOT equal'}, every type the same")
    return {
        "equal": equal,
        "types": [kind for kind, _ in there],
        "arrived": [text for _, text in there],
        "plain_bytes": sent.plain_bytes,
        "wire_bytes": sent.wire_bytes,
    }


def table_act(stage: Stage, address: Address, key: Key) -> dict[str, Any]:
    """Send the Unicode database there and back."""
    stage.heading("a real table: the Unicode characters of this Python")
    table = unicode_table()
    with Link(address, key=key, timeout=TIMEOUT) as link:
        link.send("echo")
        began = time.perf_counter()
        sent = link.send(table)
        link.recv(timeout=TIMEOUT)
        back = link.recv(timeout=TIMEOUT)
        took = time.perf_counter() - began
    rows = table["rows"]
    stage.code("a row", repr(next(row for row in rows if row[5] is not None and row[5].denominator > 1)))
    counts = f"{len(rows):,} such tuples, and {len(table['categories'])} sets of ints"
    stage.say(("value    ", "dim"), f"a dict: {counts}")
    equal = same(back, table)
    stage.check(equal, f"there and back in {seconds(took)}: {'equal' if equal else 'NOT equal'}, every type the same")
    return {
        "equal": equal,
        "rows": len(rows),
        "plain_bytes": sent.plain_bytes,
        "compressed_bytes": _compressed_bytes([table]),
        "wire_bytes": sent.wire_bytes,
        "round_trip_seconds": took,
    }


def file_act(stage: Stage, address: Address, key: Key) -> dict[str, Any]:
    """Send the interpreter in pieces, and the files of the standard library."""
    stage.heading("real files: the interpreter, and the standard library")
    path, library = largest_file(), library_files()
    interpreter = _move(stage, address, key, path.name, path.stat().st_size, lambda: pieces(path))
    interpreter["name"] = path.name
    sources = _move(
        stage,
        address,
        key,
        f"{len(library):,} source files",
        sum(place.stat().st_size for _, place in library),
        lambda: ((inside, place.read_bytes()) for inside, place in library),
    )
    for facts in (interpreter, sources):
        stage.check(facts["equal"], f"{facts['values']:,} values arrived, SHA-256 {facts['sha256'][:16]}… at both ends")
    return {"interpreter": interpreter, "library": sources}


def _move(
    stage: Stage, address: Address, key: Key, name: str, total: int, values: Callable[[], Iterable[Any]]
) -> dict[str, Any]:
    """Send values one after the other, and hold the other end's digest against this one's."""
    plain = wire = 0
    with Link(address, key=key, timeout=TIMEOUT) as link:
        link.send("take")
        with stage.progress(name, total) as moved:
            began = time.perf_counter()
            for value in values():
                sent = link.send(value)
                plain, wire = plain + sent.plain_bytes, wire + sent.wire_bytes
                moved(len(value[1] if isinstance(value, tuple) else value))
            link.send(None)
            there = link.recv(timeout=TIMEOUT)
            took = time.perf_counter() - began
    here = digest_of(iter(values()))
    return {
        "equal": there == here,
        **here,
        "plain_bytes": plain,
        "compressed_bytes": _compressed_bytes(values()),
        "wire_bytes": wire,
        "seconds": took,
        "bytes_per_second": round(plain / took),
    }


def _compressed_bytes(values: Iterable[Any]) -> int:
    """Return what the compression step makes of these values, each by itself, as `send` has it done."""
    total = 0
    for value in values:
        encoded = encode(value)
        total += sum(len(piece) for piece in compress(encoded.buffers, encoded.plain_bytes)[1])
    return total


def eavesdropper_act(stage: Stage, address: Address, key: Key) -> dict[str, Any]:
    """Send a part of the table through a relay that records, uncompressed, and search the recording."""
    stage.heading("what an eavesdropper saw")
    rows = unicode_table()["rows"][:TAPPED_ROWS]
    with Eavesdropper(address) as tap:
        with Link(tap.address, key=key, timeout=TIMEOUT, compress=False) as link:
            link.send("echo")
            for value in (THE_LIST, rows):
                link.send(value)
                link.recv(timeout=TIMEOUT)
                link.recv(timeout=TIMEOUT)
        tap.finish()
        recording = tap.from_client + tap.from_server
        frames = frames_of(tap.from_client)
    plain = b"".join(encode(rows).buffers)
    words = [row[2].encode() for row in rows]
    found, control = occurrences(words, recording), occurrences(words, plain)
    first, biggest = frames[0], max(frames, key=len)
    stage.say(("hello    ", "dim"), _hex(tap.from_client[:HEX_BYTES]), ("  NSTR, version, key id …", "dim"))
    stage.say(("answer   ", "dim"), _hex(tap.from_server[:HEX_BYTES]))
    stage.say(("frame    ", "dim"), _hex(biggest[:HEX_BYTES]), ("  length, token …", "dim"))
    noise = entropy(os.urandom(len(recording)))
    facts = {
        "recorded_bytes": len(recording),
        "frames": len(frames),
        "searched_words": len(words),
        "plaintext_found": found,
        "control_found": control,
        "bits_per_byte": round(entropy(recording), 4),
        "bits_per_byte_plain": round(entropy(plain), 4),
        "bits_per_byte_random": round(noise, 4),
        "hello_hex": tap.from_client[:HEX_BYTES].hex(),
        "frame_hex": biggest[:HEX_BYTES].hex(),
    }
    stage.say(
        ("noise    ", "dim"),
        f"{facts['bits_per_byte']:.3f} bits per byte; the plain text has {facts['bits_per_byte_plain']:.3f}, "
        f"random bytes {facts['bits_per_byte_random']:.3f}",
    )
    stage.check(
        not found and control > 0,
        f"{len(words):,} names searched in his {size(len(recording))}, plaintext found: {'YES' if found else 'no'}",
    )
    stage.say(("  control ", "dim"), f"the same search in the same rows before sealing finds {control:,}")
    clock = datetime.datetime.fromtimestamp(int.from_bytes(first[5:13]), datetime.UTC)
    stage.say(
        ("  learns  ", "dim"),
        f"{len(frames)} frames one way: lengths, times, the clock {clock:%H:%M:%S} UTC, the key id",
    )
    return facts


def _hex(raw: bytes) -> str:
    return raw.hex(" ", 4)


def key_act(stage: Stage, address: Address) -> dict[str, Any]:
    """Knock with another key."""
    stage.heading("another key")
    stranger = Key.generate()
    try:
        Link(address, key=stranger, timeout=TIMEOUT).close()
    except KeyRefused as error:
        stage.check(True, f"KeyRefused: {error} ({stranger.fingerprint})")
        return {"refused": True, "error": type(error).__name__}
    stage.check(False, "the server took a key that is not its own")
    return {"refused": False, "error": None}


def registry_act(stage: Stage, address: Address, key: Key) -> dict[str, Any]:
    """Have the server use its registry on three links, and watch from this end what becomes of them."""
    stage.heading("the server's registry of links by IP")
    with contextlib.ExitStack() as closing:
        guide, second, third = (_entered(closing, address, key, purpose) for purpose in ("registry", "idle", "idle"))
        guide.send("begin")
        steps: list[tuple[str, Any]] = third.recv(timeout=TIMEOUT)
        closed = [_is_closed(link) for link in (guide, second)]
        steps += third.recv(timeout=TIMEOUT)
    stage.table(("in the server", "result"), [(call, _result(result, third.id)) for call, result in steps])
    expected = [3, third.id, third.id, 2, None, 0]
    passed = [result for _, result in steps] == expected and all(closed)
    stage.check(passed, "the popped link stayed open and told this; the two others were closed")
    return {"passed": passed, "steps": [[call, result] for call, result in steps], "closed_by_clear": sum(closed)}


def _entered(closing: contextlib.ExitStack, address: Address, key: Key, purpose: str) -> Link:
    """Open a link, and wait until the server has it in its registry: the order of these is what the tour shows."""
    link = closing.enter_context(Link(address, key=key, timeout=TIMEOUT))
    link.send(purpose)
    link.recv(timeout=TIMEOUT)
    return link


def _is_closed(link: Link) -> bool:
    try:
        link.recv(timeout=TIMEOUT)
    except LinkClosed:
        link.close()
        return True
    return False


def _result(result: object, newest: str) -> str:
    return f"{result}  (the newest of the three)" if result == newest else repr(result)
