"""A second reader of AES-256-GCM tokens, made from docs/protocol.md and NIST SP 800-38D alone, or `Refused`.

Law: nothing of netstructer is imported here, and of the library no more than the block cipher: counter, hash and tag
are spelled out, so that what this reader and the package share is AES.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from reader_structs import expect

REDUCTION = 0xE1 << 120
"""The polynomial of the field, its bits in GCM's order."""


def times(one: int, other: int) -> int:
    """Multiply in the field of 2^128 elements; the first bit of a block is its highest."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= other if one >> bit & 1 else 0
        other = other >> 1 ^ (REDUCTION if other & 1 else 0)
    return product


def digest(subkey: int, beside: bytes, text: bytes) -> int:
    """GHASH of the additional data and the cipher text, each filled up to blocks, and of their lengths in bits."""
    whole = b"".join(part + bytes(-len(part) % 16) for part in (beside, text))
    whole += (8 * len(beside)).to_bytes(8) + (8 * len(text)).to_bytes(8)
    found = 0
    for at in range(0, len(whole), 16):
        found = times(found ^ int.from_bytes(whole[at : at + 16]), subkey)
    return found


def open_gcm_token(key: bytes, sequence: int, token: bytes) -> bytes:
    """Return the record of a token, `sequence` being its place."""
    expect(len(token) >= 17, "a token of GCM has a version and a tag", "BadSeal")
    expect(token[0] == 0x81, "the version of GCM", "BadSeal")
    block = Cipher(algorithms.AES(key[:32]), modes.ECB()).encryptor().update
    nonce = (int.from_bytes(key[32:]) ^ sequence).to_bytes(12)
    text, tag = token[1:-16], token[-16:]
    mask = int.from_bytes(block(nonce + (1).to_bytes(4)))
    found = digest(int.from_bytes(block(bytes(16))), token[:1], text) ^ mask
    expect(hmac.compare_digest(found.to_bytes(16), tag), "the tag of GCM", "BadSeal")
    stream = block(b"".join(nonce + count.to_bytes(4) for count in range(2, 2 + -(-len(text) // 16))))
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))
