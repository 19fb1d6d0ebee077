"""How long refusals take, by where the fault is: `python tests/timing.py` prints the table of docs/testing.md.

Variants are tried by turns, in a new order each round, so that what else the machine does falls on all of them alike;
one call is one sample, and what is compared are medians of thousands.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable

from netstructer import Key, Limits
from netstructer.codec import gcm
from netstructer.codec.tokens import Opener, Sealer
from netstructer.errors import NetstructerError
from netstructer.keyring import KeyRing
from netstructer.protocol.handshake import HELLO_BYTES, ExpectHello, start_client
from netstructer.protocol.parameters import Parameters

Trial = tuple[Callable[[bytes], object], bytes]


def medians(trials: dict[str, Trial], *, rounds: int) -> dict[str, float]:
    """Return the median time of each trial, in microseconds."""
    samples: dict[str, list[int]] = {name: [] for name in trials}
    order = list(trials)
    draw = random.Random(1)
    for _ in range(rounds):
        draw.shuffle(order)
        for name in order:
            call, wrong = trials[name]
            fresh = bytes(bytearray(wrong))  # where it lies in memory makes a difference of 5 %
            started = time.perf_counter_ns()
            call(fresh)
            samples[name].append(time.perf_counter_ns() - started)
    return {name: statistics.median(found) / 1000 for name, found in samples.items()}


def spread(found: dict[str, float]) -> float:
    """Return by which share of the shortest the longest is longer."""
    return max(found.values()) / min(found.values()) - 1


def refusing(call: Callable[[bytes], object], wrong: bytes) -> Trial:
    """Return a trial of something that refuses these bytes."""

    def trial(fresh: bytes) -> object:
        try:
            return call(fresh)
        except NetstructerError as error:
            return error.with_traceback(None)

    return trial, wrong


def flipped(whole: bytes, place: int) -> bytes:
    changed = bytearray(whole)
    changed[place] ^= 0x40
    return bytes(changed)


def of_tokens(size: int) -> dict[str, Trial]:
    """Return the trials of a record of `size` bytes: a wrong byte in the clock, the text, and all over the tag."""
    key = os.urandom(32)
    token = bytes(Sealer(key).seal(os.urandom(size), 0))
    opener = Opener(key)
    places = {"clock": 3, "text, first": 25, "text, middle": len(token) // 2, "text, last": len(token) - 33}
    places |= {f"tag, byte {place}": len(token) - 32 + place for place in (0, 1, 8, 16, 24, 30, 31)}
    return {name: refusing(opener.open, flipped(token, place)) for name, place in places.items()}


def of_tokens_of_gcm(size: int) -> dict[str, Trial]:
    """Return the same of a record under AES-256-GCM."""
    key = os.urandom(gcm.KEY_BYTES)
    token = bytes(gcm.Sealer(key, 0).seal_parts((os.urandom(size),), 0))
    opener = gcm.Opener(key, 0)
    places = {"text, first": 1, "text, middle": len(token) // 2, "text, last": len(token) - 17}
    places |= {f"tag, byte {place}": len(token) - 16 + place for place in (0, 1, 8, 14, 15)}
    return {name: refusing(opener.open, flipped(token, place)) for name, place in places.items()}


def of_hellos() -> dict[str, Trial]:
    """Return the trials of a server that refuses a hello: it does not know the key, or the tag is wrong somewhere."""
    key, other = Key.generate(), Key.generate()
    own = Parameters.of(Limits.DEFAULT, 0, bytes(16))
    ring = KeyRing(key, wall=time.time)

    def hello(by: Key) -> bytes:
        return start_client(by, own)[0]

    def hear(whole: bytes) -> object:
        return ExpectHello(ring, own).receive(whole)

    known = hello(key)
    places = {"known key, tag, first byte": HELLO_BYTES - 16, "known key, tag, last byte": HELLO_BYTES - 1}
    trials = {name: refusing(hear, flipped(known, place)) for name, place in places.items()}
    return trials | {"unknown key": refusing(hear, hello(other)), "key id changed": refusing(hear, flipped(known, 9))}


GROUPS: dict[str, tuple[Callable[[], dict[str, Trial]], int]] = {
    "a record of 64 bytes": (lambda: of_tokens(64), 40_000),
    "a record of 4 KiB": (lambda: of_tokens(4096), 20_000),
    "a record of 64 KiB": (lambda: of_tokens(65_536), 4_000),
    "a record of 64 bytes under AES-256-GCM": (lambda: of_tokens_of_gcm(64), 40_000),
    "a record of 64 KiB under AES-256-GCM": (lambda: of_tokens_of_gcm(65_536), 4_000),
    "a hello": (of_hellos, 10_000),
}


def main() -> None:
    """Print each group's medians and their spread."""
    for name, (make, rounds) in GROUPS.items():
        found = medians(make(), rounds=rounds)
        sys.stdout.write(f"{name}: {spread(found):.2%} (medians of {rounds:,})\n")
        for place, micros in found.items():
            sys.stdout.write(f"    {place:28} {micros:9.3f} us\n")


if __name__ == "__main__":
    main()
