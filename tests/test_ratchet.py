"""The ratchet: the known answers, one way only, and nothing shown."""

from __future__ import annotations

import gc
import hashlib
import hmac

import pytest

from netstructer.errors import Misuse
from netstructer.protocol.ratchet import Ratchet

SECRET = bytes.fromhex("477902059844e9bfdce8748011b05dcaaffa1a040cb049531a03ed9032aff3e1")
KEYS = [
    "b395c454c35c636146416c278ef9b15f4d1e977020ba927f68f6e595c25ac2cf",
    "881a9ed7376df05cbdff6981079c8663ec2e6b433c2c7937f62d6c0574f87e29",
]


def test_the_known_answers() -> None:
    ratchet = Ratchet(SECRET)
    keys = [ratchet.key.hex()]
    ratchet.advance()
    keys.append(ratchet.key.hex())

    assert keys == KEYS


def test_many_turns_are_what_hmac_says() -> None:
    """One block of HKDF-Expand is HMAC(secret, info ‖ 01): nothing else is in it."""
    ratchet, secret, seen = Ratchet(SECRET), SECRET, set()
    for _ in range(200):
        assert ratchet.key == hmac.digest(secret, b"ns1 key\x01", hashlib.sha256)
        seen.add(ratchet.key)
        secret = hmac.digest(secret, b"ns1 next\x01", hashlib.sha256)
        ratchet.advance()

    assert len(seen) == 200


def test_a_key_stays_until_it_is_advanced() -> None:
    ratchet = Ratchet(SECRET)

    assert ratchet.key == ratchet.key


def test_the_old_secret_is_not_kept() -> None:
    ratchet = Ratchet(bytearray(SECRET))  # whatever holds it, the ratchet holds its own copy
    first = ratchet.key
    ratchet.advance()
    held = [item for item in gc.get_referents(ratchet) if isinstance(item, (bytes, bytearray))]

    assert len(held) == 1  # the new secret: the test can see what is held
    assert SECRET not in held
    assert first not in held


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_secret_of_another_length_is_misuse(size: int) -> None:
    with pytest.raises(Misuse, match=f"found {size}"):
        Ratchet(bytes(size))


def test_nothing_is_shown() -> None:
    ratchet = Ratchet(SECRET)
    shown = f"{ratchet!r} {ratchet}"

    assert SECRET.hex()[:8] not in shown
    assert KEYS[0][:8] not in shown
    assert repr(SECRET)[2:12] not in shown
