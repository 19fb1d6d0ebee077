"""One blob of random bytes inside a dict, from one process to another, beside what one core seals in memory.

"street" is the way of the same bytes in memory: cut into bodies of 64 KiB, sealed, packed, thrown away; measured in the
sender's process right before and right after each transfer, and what is shown is the mean of the two.  The blob's clock
runs from `send` until the receiver has said how many bytes it took out.  A first, short blob is compared byte by byte,
outside of the clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from bench.cells import memory_holder, spawned
from bench.inputs import MIB, make_random_mebibytes
from bench.memory import resident_kib
from bench.peers import HOST
from netstructer import Blob, Key, Link, Server
from netstructer.codec import chunks, frames, tokens

__all__ = ["connected", "endless", "measure"]

MEBIBYTES = {"smoke": 8, "short": 256, "full": 1024}
HELD = {"smoke": 0, "short": 1, "full": 3}
"""GiB of memory that are touched and given back before the clock starts (see cells.py)."""
SEAL_SECONDS = {"smoke": 0.05, "short": 1.0, "full": 2.0}
START_SECONDS = 20.0
BODY_BYTES = 1 << 16
HEADER = bytes(16)


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "size / way"."""
    mebibytes = MEBIBYTES[scale]
    label = f"{mebibytes // 1024} GiB" if mebibytes % 1024 == 0 else f"{mebibytes} MiB"
    pieces = itertools.islice(endless(), mebibytes)
    with connected() as (link, receiver_pid):
        _check(link)
        before = resident_kib(os.getpid()), resident_kib(receiver_pid)
        street = [_seal_rate(SEAL_SECONDS[scale])]
        with memory_holder(HELD[scale]):
            pass
        began = time.perf_counter()
        link.send({"scan": Blob.from_iter(pieces), "n": 1})
        length = link.recv()
        took = time.perf_counter() - began
        street.append(_seal_rate(SEAL_SECONDS[scale]))
        after = resident_kib(os.getpid(), peak=True), resident_kib(receiver_pid, peak=True)
    if length != mebibytes * MIB:
        raise RuntimeError(f"expected {mebibytes * MIB} bytes, found {length}")
    return {
        f"{label} / netstructer": {
            "mebibytes_per_second": mebibytes / took,
            "sender_extra_mib": (after[0] - before[0]) / 1024,
            "receiver_extra_mib": (after[1] - before[1]) / 1024,
        },
        f"{label} / street": {"mebibytes_per_second": sum(street) / 2},
    }


def endless() -> Iterator[bytes]:
    """Yield mebibytes that no compressor makes smaller, sixteen different ones again and again."""
    return itertools.cycle(make_random_mebibytes(16))


def _check(link: Link) -> None:
    pieces = make_random_mebibytes(4)
    link.send({"scan": Blob.from_iter(pieces), "digest": True})
    if link.recv() != hashlib.sha256(b"".join(pieces)).digest():
        raise RuntimeError("a blob came changed")


def _seal_rate(seconds: float) -> float:
    """Return the mebibytes that this core cuts, seals and packs in a second."""
    sealer = tokens.Sealer(os.urandom(32))
    piece = make_random_mebibytes(1)[0]
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        for chunk in chunks.cut((piece,), BODY_BYTES):
            frames.pack(sealer.seal_parts((HEADER, chunk), 0))
        count += 1
    return count / took


# --- the other process ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected() -> Iterator[tuple[Link, int]]:
    """Give a link to a process that answers, and the number of that process."""
    key = Key.generate()
    with spawned("bench.blobs", "serve") as server:
        server.write(key.reveal() + "\n")
        with Link((HOST, server.wait("READY", START_SECONDS)), key=key) as link:
            yield link, server.pid


def _serve() -> None:
    """Take blobs out and answer with their length, or digest; send back whatever else comes."""
    server = Server((HOST, 0), key=sys.stdin.readline().strip())

    @server.handler
    def answer(link: Link) -> None:
        for value in link:
            if isinstance(value, dict):
                # In a thread of its own: who reads a blob does not keep this one from answering.
                threading.Thread(target=_drain, args=(link, value), daemon=True).start()
            else:
                link.send(value)

    server.start()
    print("READY " + json.dumps(server.address.port), flush=True)
    sys.stdin.read()
    os._exit(0)


def _drain(link: Link, value: dict[str, Any]) -> None:
    digest, length = hashlib.sha256(), 0
    for chunk in value["scan"]:
        length += len(chunk)
        if "digest" in value:
            digest.update(chunk)
    link.send(digest.digest() if "digest" in value else length)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
