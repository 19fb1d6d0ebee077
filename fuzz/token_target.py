"""Tokens: whatever bytes come, they open to nothing unless the key made them; what the key sealed, opens.

Each input is opened as it is, and then serves for one of three: its blocks under a right tag, which is what stands
behind the seal; a record that is sealed and opened; and one in four of those is opened by stock Fernet.  Each is opened
and sealed under AES-256-GCM as well.
"""

from __future__ import annotations

import base64
import hmac
from functools import cache

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fuzz.splits import draw
from netstructer.codec import gcm
from netstructer.codec.tokens import Opener, Sealer, sealed_bytes
from netstructer.errors import BadSeal

KEY = bytes(range(100, 132))
OPENER = Opener(KEY)
SEALER = Sealer(KEY)
GCM_KEY = bytes(range(100, 144))
STOCK = Fernet(base64.urlsafe_b64encode(KEY))
HEAD = b"\x80" + bytes(24)
_zero_cipher = Cipher(algorithms.AES(KEY[16:]), modes.CBC(bytes(16)))


@cache
def seeds() -> list[bytes]:
    """Return tokens of short and long records, made by stock Fernet with fixed times and ivs."""
    lengths = (0, 1, 15, 16, 24, 100, 1000, 5000)
    texts = [STOCK._encrypt_from_parts(b"r" * size, 1_700_000_000, bytes([size % 256]) * 16) for size in lengths]
    return [base64.urlsafe_b64decode(text) for text in texts] + [_gcm_sealed(b"r" * size, size) for size in lengths]


def one(data: bytes) -> None:
    """Read the bytes as a token, and as the blocks of a token with a right tag or as a record."""
    try:
        OPENER.open(data)
    except BadSeal:
        pass
    else:
        assert data in seeds(), "a forged token was opened"
    chance = draw(data)
    _under_gcm(data, chance >> 3)
    if chance & 1:
        _behind_the_tag(data)
    else:
        _sealed(data, stock=chance & 6 == 0)


def _behind_the_tag(data: bytes) -> None:
    blocks = data[: len(data) & ~15] or bytes(16)
    try:
        record = OPENER.open(_tagged(blocks))
    except BadSeal:
        record = None
    count = blocks[-1]
    padded = 1 <= count <= 16 and blocks.endswith(bytes([count]) * count)
    assert record == (blocks[:-count] if padded else None), "padding was read wrongly"


def _sealed(data: bytes, *, stock: bool) -> None:
    token = SEALER.seal(data, 1)
    assert len(token) == sealed_bytes(len(data))
    assert OPENER.open(token) == data
    if stock:
        assert STOCK.decrypt(base64.urlsafe_b64encode(token)) == data


def _under_gcm(data: bytes, sequence: int) -> None:
    for place in (sequence, len(data) - gcm.TOKEN_OVERHEAD):
        try:
            gcm.Opener(GCM_KEY, max(0, place)).open(data)
        except BadSeal:
            pass
        else:
            assert data in seeds(), "a forged token was opened"
    token = _gcm_sealed(data, sequence)
    assert len(token) == gcm.sealed_bytes(len(data))
    assert gcm.Opener(GCM_KEY, sequence).open(token) == data
    try:
        gcm.Opener(GCM_KEY, sequence + 1).open(token)
    except BadSeal:
        return
    raise AssertionError("a token was opened in another place")


def _gcm_sealed(record: bytes, sequence: int) -> bytes:
    return bytes(gcm.Sealer(GCM_KEY, sequence).seal_parts((record,), 0))


def _tagged(blocks: bytes) -> bytes:
    body = HEAD + _zero_cipher.encryptor().update(blocks)
    return body + hmac.digest(KEY[:16], body, "sha256")
