"""The seal beside its ingredients: our tokens, raw AES-CBC + HMAC of the same library, and stock Fernet.

"raw" is what one core can do with these primitives and nothing around them: one cipher object, one HMAC copied for each
record, padding made by hand, no header, no version, no check but the tag's.  "street" is the whole way of one value in
memory: encode, compress, cut, seal, pack, and back.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import random
import sys
from collections.abc import Callable
from functools import partial

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from bench import inputs
from bench.inputs import MIB
from bench.measure import interleave
from netstructer.codec import chunks, compression, frames, tokens, values

__all__ = ["measure"]

SIZES = {"64 B": 64, "1 KiB": 1 << 10, "16 KiB": 1 << 14, "64 KiB": 1 << 16}
SCALES = {"smoke": 0.05, "short": 0.7, "full": 2.0}
"""Seconds for each size."""
BATCH_BYTES = 1 << 20
"""One timed call seals this much, so that the clock's own cost does not show."""
BODY_BYTES = 1 << 16
HEADER = bytes(16)
"""A record is a header of one block and a body of at most 64 KiB."""


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "size / way"."""
    figures = {}
    for label, size in SIZES.items():
        count = max(1, min(2000, BATCH_BYTES // size))
        taken = interleave(_seal_tasks(os.urandom(size), count), seconds=SCALES[scale])
        for way in ("netstructer", "raw", "Fernet"):
            seal, opened = taken[f"{way} seal"] / count, taken[f"{way} open"] / count
            figures[f"{label} / {way}"] = {
                "seal_us": seal * 1e6,
                "open_us": opened * 1e6,
                "seal_mib_s": size / MIB / seal,
                "open_mib_s": size / MIB / opened,
            }
    figures.update(_measure_street(SCALES[scale]))
    return figures


def _seal_tasks(record: bytes, count: int) -> dict[str, Callable[[], object]]:
    key = os.urandom(32)
    sealer, opener = tokens.Sealer(key), tokens.Opener(key)
    token = sealer.seal(record, 0)
    raw = Raw(key)
    raw_token = raw.seal(record)
    fernet = Fernet(base64.urlsafe_b64encode(key))
    fernet_token = fernet.encrypt(record)
    if not opener.open(token) == raw.open(raw_token) == fernet.decrypt(fernet_token) == record:
        raise RuntimeError("a record came back changed")

    def times(call: Callable[[], object]) -> Callable[[], None]:
        def task() -> None:
            for _ in range(count):
                call()

        return task

    return {
        "netstructer seal": times(partial(sealer.seal, record, 0)),
        "raw seal": times(partial(raw.seal, record)),
        "Fernet seal": times(partial(fernet.encrypt, record)),
        "netstructer open": times(partial(opener.open, token)),
        "raw open": times(partial(raw.open, raw_token)),
        "Fernet open": times(partial(fernet.decrypt, fernet_token)),
    }


class Raw:
    """AES-128-CBC and HMAC-SHA256 with nothing around them: a measure, never a format."""

    def __init__(self, key: bytes) -> None:
        self._signer = HMAC(key[:16], SHA256())
        self._cipher = algorithms.AES(key[16:])

    def seal(self, record: bytes) -> bytes:
        """Return iv, cipher blocks and tag."""
        count = 16 - len(record) % 16
        iv = os.urandom(16)
        sealed = iv + Cipher(self._cipher, modes.CBC(iv)).encryptor().update(record + bytes([count]) * count)
        signer = self._signer.copy()
        signer.update(sealed)
        return sealed + signer.finalize()

    def open(self, token: bytes) -> bytes:
        """Return the record."""
        signer = self._signer.copy()
        signer.update(token[:-32])
        if not hmac.compare_digest(signer.finalize(), token[-32:]):
            raise ValueError("bad tag")
        plain = Cipher(self._cipher, modes.CBC(token[:16])).decryptor().update(token[16:-32])
        return plain[: -plain[-1]]


def _measure_street(seconds: float) -> dict[str, dict[str, float]]:
    figures = {}
    for label, value in {
        "small structure": inputs.SMALL,
        "1 MiB of log text": inputs.make_text_mebibytes(1)[0],
        "1 MiB of random bytes": random.Random(1).randbytes(MIB),
        "1000 dict rows": inputs.make_rows(1000),
    }.items():
        street = Street(os.urandom(32))
        sent = street.send(value)
        if street.recv(sent) != value:
            raise RuntimeError("a value came back changed")
        taken = interleave({"send": partial(street.send, value), "recv": partial(street.recv, sent)}, seconds=seconds)
        size = values.encode(value).plain_bytes
        figures[f"street: {label} / netstructer"] = {
            "seal_us": taken["send"] * 1e6,
            "open_us": taken["recv"] * 1e6,
            "seal_mib_s": size / MIB / taken["send"],
            "open_mib_s": size / MIB / taken["recv"],
        }
    return figures


class Street:
    """The walk of one payload in memory, without a session around it."""

    def __init__(self, key: bytes) -> None:
        self._sealer, self._opener = tokens.Sealer(key), tokens.Opener(key)

    def send(self, value: object) -> tuple[int, int, bytes]:
        """Return the codec, the plain length, and the bytes of the wire."""
        encoded = values.encode(value)
        codec, payload = compression.compress(encoded.buffers, encoded.plain_bytes)
        sealed: list[bytes | bytearray | memoryview] = []
        for chunk in chunks.cut(payload, BODY_BYTES):
            sealed += frames.pack(self._sealer.seal(b"".join((HEADER, chunk)), 0))
        return codec, encoded.plain_bytes, b"".join(sealed)

    def recv(self, sent: tuple[int, int, bytes]) -> object:
        """Return the value."""
        codec, plain_bytes, wire = sent
        reader = frames.FrameReader(tokens.sealed_bytes(len(HEADER) + BODY_BYTES))
        joined = chunks.Joined()
        reader.feed(wire)
        while (token := reader.next_token()) is not None:
            joined.add(memoryview(self._opener.open(token))[len(HEADER) :])
        plain = compression.expand(joined, plain_bytes=plain_bytes) if codec == compression.ZSTD else joined
        return values.decode(plain)


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
