"""AES-256-GCM: byte for byte what the primitive makes, under a nonce of its own each time, and nothing else opens.

The stranger is the library's other way to GCM, a context with nonce, data and tag apart; the package uses the one-shot.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from netstructer.codec import gcm
from netstructer.codec.gcm import KEY_BYTES, TOKEN_OVERHEAD, Opener, Sealer, sealed_bytes
from netstructer.errors import BadSeal, Misuse

KEY = bytes(range(44))
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 100, 255, 256, 1000, 16_383, 16_384, 16_385, 65_552, 1 << 20)
"""Around blocks, and around the length at which the sealer writes in place."""
NUMBERS = (0, 1, 255, 256, (1 << 20) - 1, (1 << 32) - 1, 1 << 32, (1 << 64) - 1)


def made_elsewhere(key: bytes, sequence: int, record: bytes) -> bytes:
    """Return the token that the specification says, by way of a context."""
    nonce = bytes(a ^ b for a, b in zip(key[32:], sequence.to_bytes(12, "big"), strict=True))
    encryptor = Cipher(algorithms.AES(key[:32]), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(b"\x81")
    return b"\x81" + encryptor.update(record) + encryptor.finalize() + encryptor.tag


def sealed(record: bytes, sequence: int = 0, key: bytes = KEY) -> bytes:
    return bytes(Sealer(key, sequence).seal_parts((record,), 0))


def flipped(token: bytes, bit: int) -> bytes:
    changed = bytearray(token)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# --- byte for byte ----------------------------------------------------------------------------------------------------


def test_the_primitive_is_the_one_of_the_specification() -> None:
    """Test case 16 of McGrew and Viega's GCM, with our first byte in the place of its additional data's."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
    iv = bytes.fromhex("cafebabefacedbaddecaf888")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    cipher = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    )

    assert sealed(plain, key=key + iv)[1:-16] == cipher


def test_tokens_equal_those_of_a_context() -> None:
    draw = random.Random(1)
    for size in LENGTHS:
        for sequence in NUMBERS:
            key, record = draw.randbytes(44), draw.randbytes(size)
            token = sealed(record, sequence, key)

            assert token == made_elsewhere(key, sequence, record)
            assert len(token) == sealed_bytes(size) == TOKEN_OVERHEAD + size
            assert Opener(key, sequence).open(token) == record


def test_tokens_are_the_same_where_the_library_cannot_write_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    record = os.urandom(70_000)
    in_place = Sealer(KEY, 5).seal_parts((record,), 0)
    monkeypatch.setattr(gcm, "_IN_PLACE", False)
    copied = Sealer(KEY, 5).seal_parts((record,), 0)

    assert (type(copied), copied) == (bytes, in_place)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_in_parts_seals_and_opens(kind: Any) -> None:
    for size in LENGTHS:
        record = os.urandom(size)
        parts = tuple(kind(part) for part in (record[:7], b"", record[7:20], record[20:]))
        token = Sealer(KEY, 3).seal_parts(parts, 0)

        assert type(token) in (bytes, bytearray)
        opened = Opener(KEY, 3).open(kind(token))
        assert type(opened) is bytes
        assert opened == record


def test_a_token_states_no_clock() -> None:
    assert Sealer(KEY, 0).seal_parts((b"record",), 0) == Sealer(KEY, 0).seal_parts((b"record",), 1 << 40)


# --- a nonce is used once ---------------------------------------------------------------------------------------------


def test_each_record_has_the_nonce_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces: list[bytes] = []
    made = gcm.AESGCM

    class Seen:
        def __init__(self, key: bytes) -> None:
            self._real = made(key)

        def encrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
            nonces.append(nonce)
            return self._real.encrypt(nonce, data, aad)

        def encrypt_into(self, nonce: bytes, data: bytes, aad: bytes, into: memoryview) -> int:
            nonces.append(nonce)
            into[:] = self._real.encrypt(nonce, data, aad)
            return len(into)

    monkeypatch.setattr(gcm, "AESGCM", Seen)
    monkeypatch.setattr(gcm, "_IN_PLACE", True)
    sealer = Sealer(KEY, 1000)
    for size in (0, 20_000) * 500:
        sealer.seal_parts((bytes(size),), 0)

    iv = int.from_bytes(KEY[32:], "big")
    assert nonces == [(iv ^ number).to_bytes(12, "big") for number in range(1000, 2000)]
    assert len(set(nonces)) == 1000


def test_a_number_is_gone_before_anything_is_sealed_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a seal may cost a transport; it may not let a second record have the nonce."""
    sealer = Sealer(KEY, 0)

    class Interrupted:
        def encrypt(self, *_: object) -> bytes:
            raise KeyboardInterrupt

    real, sealer._aead = sealer._aead, Interrupted()
    with pytest.raises(KeyboardInterrupt):
        sealer.seal_parts((b"first",), 0)
    sealer._aead = real

    assert sealer.seal_parts((b"second",), 0) == made_elsewhere(KEY, 1, b"second")


def test_what_is_no_record_takes_no_number() -> None:
    sealer = Sealer(KEY, 0)
    with pytest.raises(TypeError):
        sealer.seal_parts((b"a", "text"), 0)

    assert sealer.seal_parts((b"record",), 0) == made_elsewhere(KEY, 0, b"record")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_seal_under_nonces_of_its_parent() -> None:
    script = (
        "import os, sys\n"
        "from netstructer.codec.gcm import Sealer\n"
        "from netstructer.errors import Misuse\n"
        "sealer = Sealer(bytes(44), 0)\n"
        "child = os.fork()\n"
        "if child:\n"
        "    sealer.seal_parts((b'parent',), 0)\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "try:\n"
        "    sealer.seal_parts((b'child',), 0)\n"
        "except Misuse as error:\n"
        "    fresh = Sealer(bytes(44), 0).seal_parts((b'of its own',), 0)\n"
        "    os._exit(0 if 'forked' in str(error) and fresh else 3)\n"
        "os._exit(2)\n"
    )

    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_what_a_fork_does_ends_the_sealers_before_it_and_none_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcm, "_forks", gcm._forks)
    before = Sealer(KEY, 0)
    gcm._after_fork()
    with pytest.raises(Misuse, match="forked"):
        before.seal_parts((b"record",), 0)

    assert Opener(KEY, 0).open(sealed(b"record")) == b"record"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_token_opens_in_its_place_only() -> None:
    tokens = [sealed(b"the same", number) for number in range(8)]
    opener = Opener(KEY, 0)
    for number, token in enumerate(tokens):
        for other, false in enumerate(tokens):
            if other != number:
                with pytest.raises(BadSeal):
                    opener.open(false)
        assert opener.open(token) == b"the same"  # and still waits for it after all that was refused


@pytest.mark.parametrize("size", [0, 16, 24, 100])
def test_every_flipped_bit_truncation_and_extension_is_refused(size: int) -> None:
    token = sealed(os.urandom(size))
    wrong = [flipped(token, bit) for bit in range(8 * len(token))]
    wrong += [token[:end] for end in range(len(token))] + [token + bytes(extra) for extra in (1, 15, 16, 17)]
    opener = Opener(KEY, 0)
    for changed in wrong:
        with pytest.raises(BadSeal, match=r"^the seal of a record does not verify$"):
            opener.open(changed)
    assert len(opener.open(token)) == size


def test_another_version_is_refused_though_its_tag_is_right() -> None:
    nonce = KEY[32:]
    for version in range(256):
        encryptor = Cipher(algorithms.AES(KEY[:32]), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(bytes([version]))
        token = bytes([version]) + encryptor.update(b"record") + encryptor.finalize() + encryptor.tag
        if version == 0x81:
            assert Opener(KEY, 0).open(token) == b"record"
            continue
        with pytest.raises(BadSeal):
            Opener(KEY, 0).open(token)


def test_the_first_byte_is_under_the_tag() -> None:
    encryptor = Cipher(algorithms.AES(KEY[:32]), modes.GCM(KEY[32:])).encryptor()
    token = b"\x81" + encryptor.update(b"record") + encryptor.finalize() + encryptor.tag
    with pytest.raises(BadSeal):
        Opener(KEY, 0).open(token)


@pytest.mark.parametrize("byte", [0, 31, 32, 43])
def test_a_token_of_another_key_or_iv_is_refused(byte: int) -> None:
    other = bytearray(KEY)
    other[byte] ^= 1
    with pytest.raises(BadSeal):
        Opener(bytes(other), 0).open(sealed(b"record"))


def test_random_and_mutated_bytes_are_refused() -> None:
    draw = random.Random(2)
    token = sealed(draw.randbytes(60))
    opener = Opener(KEY, 0)
    for _ in range(20_000):
        if draw.random() < 0.5:
            changed = bytearray(token)
            for _ in range(draw.randrange(1, 4)):
                changed[draw.randrange(len(changed))] ^= draw.randrange(1, 256)
            false = bytes(changed)
        else:
            false = b"\x81" + draw.randbytes(draw.randrange(100))
        if false != token:
            with pytest.raises(BadSeal):
                opener.open(false)


@pytest.mark.long
def test_a_wrong_tag_takes_as_long_whatever_byte_differs() -> None:
    opener, token = Opener(KEY, 0), sealed(os.urandom(64))
    changed = [flipped(token, 8 * (len(token) - back)) for back in (16, 9, 1)]
    took: list[list[float]] = [[], [], []]
    for _ in range(20_000):
        for wrong, times in zip(changed, took, strict=True):
            began = time.perf_counter_ns()
            try:
                opener.open(wrong)
            except BadSeal:
                times.append(time.perf_counter_ns() - began)
    medians = [statistics.median(times) for times in took]

    assert max(medians) <= 1.05 * min(medians)


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_nothing_of_the_key_or_the_record_is_shown() -> None:
    canary = b"canary-canary-canary-canary-canary-canary-ca"
    sealer, opener = Sealer(canary, 0), Opener(canary, 0)
    token = bytes(sealer.seal_parts((b"canary",), 1))
    with pytest.raises(BadSeal) as refused:
        opener.open(flipped(token, 30))
    shown = f"{sealer!r} {opener!r} {sealer} {opener} {refused.value!r}"

    assert "canary" not in shown
    assert canary.hex()[:12] not in shown


@pytest.mark.parametrize("size", [0, 16, 32, 43, 45])
def test_a_key_of_another_length_is_misuse(size: int) -> None:
    assert KEY_BYTES == 44
    for make in (Sealer, Opener):
        with pytest.raises(Misuse, match=f"found {size}"):
            make(b"k" * size, 0)
