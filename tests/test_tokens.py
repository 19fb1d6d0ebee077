"""Tokens: byte for byte what Fernet makes, and nothing that was changed opens.

The strangers are the Fernet specification's own vectors and pyca's `Fernet`; the vectors of `tests/vectors/tokens`
hold one fault each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cases import case
from netstructer.codec import tokens
from netstructer.codec.tokens import TOKEN_OVERHEAD, Opener, Sealer, sealed_bytes
from netstructer.errors import BadSeal, Misuse
from netstructer.protocol.handshake import SUITES

KEY = bytes(range(32))
VECTORS = sorted((Path(__file__).parent / "vectors" / "tokens").glob("*.vector"))
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 100, 255, 256, 1000, 1024)
LARGE = (16_351, 16_352, 16_367, 16_368, 16_369, 16_400, 65_552, 1 << 20)
"""Around the length at which the sealer joins differently, a full record, and the largest that parameters allow."""


# --- byte for byte ----------------------------------------------------------------------------------------------------


def test_the_specification_makes_the_same_token() -> None:
    for vector in _fernet_vectors("generate"):
        key, token = base64.urlsafe_b64decode(vector["secret"]), base64.urlsafe_b64decode(vector["token"])
        sealer = _scripted(key, [bytes(vector["iv"])])

        assert sealer.seal(vector["src"].encode(), int(datetime.fromisoformat(vector["now"]).timestamp())) == token


def test_the_specification_opens() -> None:
    for vector in _fernet_vectors("verify"):
        key, token = base64.urlsafe_b64decode(vector["secret"]), base64.urlsafe_b64decode(vector["token"])

        assert Opener(key).open(token) == vector["src"].encode()


def test_what_the_specification_refuses_is_refused() -> None:
    # A record's freshness is not the clock's business: sequence and session keys see to it.
    clock = {"far-future TS (unacceptable clock skew)", "expired TTL"}
    opened = set()
    for vector in _fernet_vectors("invalid"):
        try:
            Opener(base64.urlsafe_b64decode(vector["secret"])).open(_strict_base64(vector["token"]))
            opened.add(vector["desc"])
        except (BadSeal, binascii.Error):
            pass

    assert opened == clock


def test_tokens_equal_those_of_stock_fernet() -> None:
    _compare_with_stock(random.Random(1), 2_000)


@pytest.mark.long
def test_a_hundred_thousand_tokens_equal_those_of_stock_fernet() -> None:
    _compare_with_stock(random.Random(2), 100_000)


def test_large_tokens_equal_those_of_stock_fernet() -> None:
    draw = random.Random(3)
    ivs = [draw.randbytes(16) for _ in LARGE]
    sealer, stock, opener = _scripted(KEY, ivs), Fernet(base64.urlsafe_b64encode(KEY)), Opener(KEY)
    for size, iv in zip(LARGE, ivs, strict=True):
        record = draw.randbytes(size)
        token = sealer.seal(record, size)

        assert token == base64.urlsafe_b64decode(stock._encrypt_from_parts(record, size, iv))
        assert len(token) == sealed_bytes(size)
        assert opener.open(token) == record


def test_stock_fernet_opens_ours_and_ours_opens_stock_fernets() -> None:
    draw = random.Random(4)
    for _ in range(300):
        key, record = draw.randbytes(32), draw.randbytes(draw.randrange(1200))
        stock = Fernet(base64.urlsafe_b64encode(key))

        assert stock.decrypt(base64.urlsafe_b64encode(Sealer(key).seal(record, int(time.time()))), ttl=60) == record
        assert Opener(key).open(base64.urlsafe_b64decode(stock.encrypt(record))) == record


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_seals_and_opens(kind: Any) -> None:
    for size in (*LENGTHS, *LARGE):
        record = os.urandom(size)
        token = Sealer(KEY).seal(kind(record), 0)

        assert type(token) in (bytes, bytearray)
        assert len(token) == sealed_bytes(size) == TOKEN_OVERHEAD + 16 * (size // 16 + 1)
        opened = Opener(KEY).open(kind(token))
        assert type(opened) in (bytes, memoryview)
        assert opened == record


# --- the long-lived cipher --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "kind"), [(0, bytes), (16_000, bytes), (17_000, memoryview)])
def test_a_large_record_is_handed_out_without_a_further_copy(size: int, kind: type) -> None:
    key = bytes(range(32))

    assert type(Opener(key).open(Sealer(key).seal(bytes(size), 0))) is kind


def test_the_iv_is_the_drawn_block_under_the_cipher() -> None:
    blocks = [os.urandom(16) for _ in range(50)]
    sealer = Sealer(KEY)
    script = iter(blocks)
    sealer._draw = lambda size: next(script)
    before = bytes(16)
    for block in blocks:
        token = sealer.seal(os.urandom(40), 1)

        assert token[9:25] == _encrypt_block(bytes(a ^ b for a, b in zip(block, before, strict=True)))
        before = token[-48:-32]


def test_each_token_draws_a_block_of_its_own() -> None:
    sizes: list[int] = []
    sealer = Sealer(KEY)
    sealer._draw = lambda size: sizes.append(size) or os.urandom(size)
    ivs = {sealer.seal(b"the same", 1)[9:25] for _ in range(1000)}

    assert len(ivs) == 1000
    assert sizes == [16] * 1000
    assert Sealer(KEY)._draw is os.urandom


def test_tokens_open_in_any_order_repeated_and_after_refused_ones() -> None:
    draw = random.Random(5)
    sealer, opener = Sealer(KEY), Opener(KEY)
    sealed = [(record, sealer.seal(record, 1)) for record in (draw.randbytes(draw.randrange(200)) for _ in range(100))]
    for _ in range(1000):
        record, token = draw.choice(sealed)
        if draw.random() < 0.3:
            with pytest.raises(BadSeal):
                opener.open(_flip(token, draw.randrange(len(token) * 8)))

        assert opener.open(token) == record


def test_a_sealer_goes_on_after_misuse() -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    wide, long = memoryview(bytes(40)).cast("H"), memoryview(bytes(100_008)).cast("I")
    for wrong in (-1, 1 << 64):
        with pytest.raises(Misuse, match="seconds"):
            sealer.seal(b"record", wrong)
    for wrong_view in (wide, long):
        with pytest.raises(Misuse, match="single bytes"):
            sealer.seal(wrong_view, 1)

    assert opener.open(sealer.seal(b"record", (1 << 64) - 1)) == b"record"
    assert opener.open(sealer.seal(bytes(100_000), 1)) == bytes(100_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork_the_ivs_part() -> None:
    script = (
        "import os\n"
        "from netstructer.codec.tokens import Sealer\n"
        "sealer = Sealer(bytes(range(32)))\n"
        "sealer.seal(b'before', 1)\n"
        "child = os.fork()\n"
        "os.write(1, sealer.seal(b'after', 1)[9:25])\n"
        "if child: os.waitpid(child, 0)\n"
    )
    both = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout

    assert len(both) == 32
    assert both[:16] != both[16:]


# --- what was changed does not open -----------------------------------------------------------------------------------


def test_every_flipped_bit_is_refused_here_and_by_stock_fernet() -> None:
    stock, opener = Fernet(base64.urlsafe_b64encode(KEY)), Opener(KEY)
    for size in LENGTHS:
        token = Sealer(KEY).seal(os.urandom(size), 1)
        for bit in range(len(token) * 8):
            changed = _flip(token, bit)
            with pytest.raises(BadSeal):
                opener.open(changed)
            if bit % 8 == size % 8:
                with pytest.raises(InvalidToken):
                    stock.decrypt(base64.urlsafe_b64encode(changed))


def test_every_truncation_and_extension_is_refused() -> None:
    opener = Opener(KEY)
    for size in LENGTHS:
        token = Sealer(KEY).seal(os.urandom(size), 1)
        for cut in range(len(token)):
            for changed in (token[:cut], token[cut + 1 :]):
                with pytest.raises(BadSeal):
                    opener.open(changed)
        for extra in range(1, 70):
            for changed in (token + bytes(extra), token + token[-extra:], bytes(extra) + token):
                with pytest.raises(BadSeal):
                    opener.open(changed)


@pytest.mark.parametrize("padding", [b"\x00" * 16, b"\x11" * 17 + b"\x11" * 15, b"\x01\x02", b"\x03\x02\x03", b"\xff"])
def test_wrong_padding_under_a_right_tag_is_the_same_error(padding: bytes) -> None:
    plain = b"x" * (-len(padding) % 16) + padding
    forged = _token(plain)
    with pytest.raises(BadSeal) as bad_padding:
        Opener(KEY).open(forged)
    with pytest.raises(BadSeal) as bad_tag:
        Opener(KEY).open(_flip(forged, 800 % (len(forged) * 8)))

    assert str(bad_padding.value) == str(bad_tag.value)
    assert type(bad_padding.value) is type(bad_tag.value) is BadSeal


def test_every_last_byte_of_padding_but_one_is_refused() -> None:
    for last in range(256):
        forged = _token(b"y" * 15 + bytes([last]))
        if last == 1:
            assert Opener(KEY).open(forged) == b"y" * 15
        else:
            with pytest.raises(BadSeal):
                Opener(KEY).open(forged)


def test_a_token_without_blocks_is_refused_though_its_iv_would_pass_for_padding() -> None:
    iv = _encrypt_block(b"z" * 15 + b"\x01")
    body = b"\x80" + bytes(8) + iv
    with pytest.raises(BadSeal):
        Opener(KEY).open(body + hmac.digest(KEY[:16], body, "sha256"))


def test_another_version_is_refused_though_its_tag_is_right() -> None:
    for version in range(256):
        if version != 0x80:
            with pytest.raises(BadSeal):
                Opener(KEY).open(_token(b"\x10" * 16, version=version))

    assert Opener(KEY).open(_token(b"\x10" * 16)) == b""


def test_nothing_is_decrypted_before_the_tag_is_right() -> None:
    class Spy:
        fed = 0

        def update(self, sealed: bytes) -> bytes:
            self.fed += 1
            return bytes(32)

    opener, spy = Opener(KEY), Spy()
    opener._decryptor = spy  # type: ignore[assignment]
    token = Sealer(KEY).seal(b"record", 1)
    for bit in range(len(token) * 8):
        with pytest.raises(BadSeal):
            opener.open(_flip(token, bit))

    assert spy.fed == 0
    with pytest.raises(BadSeal):  # the twin: what is right gets that far
        opener.open(token)
    assert spy.fed == 1


def test_a_token_of_another_key_is_refused() -> None:
    token = Sealer(KEY).seal(b"record", 1)
    for other in (KEY[:16] + bytes(16), bytes(16) + KEY[16:]):
        try:
            opened: bytes | None = Opener(other).open(token)
        except BadSeal:
            opened = None

        assert opened != b"record"


def test_random_and_mutated_bytes_are_refused_as_stock_fernet_refuses_them() -> None:
    _mutate(random.Random(6), 3_000)


@pytest.mark.long
def test_a_hundred_thousand_mutants_are_refused_as_stock_fernet_refuses_them() -> None:
    _mutate(random.Random(7), 100_000)


@pytest.mark.long
def test_a_wrong_tag_takes_as_long_whatever_byte_differs() -> None:
    opener = Opener(KEY)
    token = Sealer(KEY).seal(os.urandom(64), 1)
    changed = [_flip(token, 8 * (len(token) - back)) for back in (32, 17, 1)]
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


def test_vectors() -> None:
    for path in VECTORS:
        with case(path.stem):
            check_vector(*_read_vector(path))


def check_vector(header: dict[str, str], token: bytes) -> None:
    cipher = SUITES[int(header.get("suite", "1"))].cipher
    opener = cipher.opener(bytes.fromhex(header["key"]), int(header.get("sequence", "0")))
    if header["expect"] == "success":
        assert opener.open(token) == bytes.fromhex(header["record"])
        return
    with pytest.raises(BadSeal) as refused:
        opener.open(token)

    assert type(refused.value).__name__ == header["expect"]


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 15


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_nothing_of_the_key_or_the_record_is_shown() -> None:
    canary = b"canary-canary-canary-canary-cana"
    sealer, opener = Sealer(canary), Opener(canary)
    token = sealer.seal(b"canary", 1)
    with pytest.raises(BadSeal) as refused:
        opener.open(_flip(token, 300))
    shown = f"{sealer!r} {opener!r} {sealer} {opener} {refused.value!r}"

    assert "canary" not in shown
    assert canary.hex()[:12] not in shown


@pytest.mark.parametrize("size", [0, 16, 31, 33, 44])
def test_a_key_of_another_length_is_misuse(size: int) -> None:
    for make in (Sealer, Opener):
        with pytest.raises(Misuse, match=f"found {size}"):
            make(b"k" * size)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _scripted(key: bytes, ivs: list[bytes]) -> Sealer:
    """Return a sealer whose tokens will carry these ivs, drawn as every sealer draws."""
    sealer = Sealer(key)
    encryptor, last, script = sealer._encryptor, [bytes(16)], iter(ivs)

    class Watched:
        def update(self, blocks: bytes) -> bytes:
            sealed = encryptor.update(blocks)
            last[0] = sealed[-16:]
            return sealed

        def update_into(self, blocks: bytes, room: memoryview) -> int:
            written = encryptor.update_into(blocks, room)
            last[0] = bytes(room[written - 16 : written])
            return written

    sealer._encryptor = Watched()  # type: ignore[assignment]
    sealer._draw = lambda size: tokens._draw_for_iv(key, next(script), last[0])
    return sealer


def _compare_with_stock(draw: random.Random, count: int) -> None:
    """Seal `count` random records, a hundred under each sealer, beside stock Fernet."""
    for _ in range(count // 100):
        key, ivs = draw.randbytes(32), [draw.randbytes(16) for _ in range(100)]
        sealer, stock, opener = _scripted(key, ivs), Fernet(base64.urlsafe_b64encode(key)), Opener(key)
        for iv in ivs:
            record, seconds = draw.randbytes(draw.randrange(1200)), draw.randrange(1 << 40)
            token = sealer.seal(record, seconds)

            assert token == base64.urlsafe_b64decode(stock._encrypt_from_parts(record, seconds, iv))
            assert opener.open(token) == record


def _mutate(draw: random.Random, count: int) -> None:
    stock, opener, sealer = Fernet(base64.urlsafe_b64encode(KEY)), Opener(KEY), Sealer(KEY)
    opened = 0
    for number in range(count):
        record = draw.randbytes(draw.randrange(120))
        changed = bytearray(sealer.seal(record, 1) if number % 3 else draw.randbytes(draw.randrange(200)))
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(changed) + 1)
            changed[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        ours: bytes | None = None
        theirs: bytes | None = None
        try:
            ours = opener.open(changed)
        except BadSeal:
            pass
        try:
            theirs = stock.decrypt(base64.urlsafe_b64encode(changed))
        except InvalidToken:
            pass
        opened += ours is not None

        assert ours == theirs
        assert ours in (None, record)
    assert 0 < opened < count


def _token(plain: bytes, *, version: int = 0x80) -> bytes:
    """Return a token with a right tag whose blocks hold `plain`, padding and all."""
    encryptor = Cipher(algorithms.AES(KEY[16:]), modes.CBC(bytes(16))).encryptor()
    body = bytes([version]) + bytes(8) + bytes(16) + encryptor.update(plain) + encryptor.finalize()
    return body + hmac.digest(KEY[:16], body, "sha256")


def _encrypt_block(block: bytes) -> bytes:
    return Cipher(algorithms.AES(KEY[16:]), modes.ECB()).encryptor().update(block)


def _flip(sealed: bytes, bit: int) -> bytes:
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _strict_base64(text: str) -> bytes:
    return binascii.a2b_base64(text.translate(str.maketrans("-_+/", "+/!!")), strict_mode=True)


def _fernet_vectors(name: str) -> Iterator[dict[str, Any]]:
    pytest.importorskip("cryptography_vectors")
    found = json.loads((resources.files("cryptography_vectors") / "fernet" / f"{name}.json").read_text())
    assert found
    yield from found


def _read_vector(path: Path) -> tuple[dict[str, str], bytes]:
    """Return the header of a vector and its input."""
    head, _, body = path.read_text("utf-8").partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()), bytes.fromhex("".join(body.split()))


def test_the_vectors_are_all_different() -> None:
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in VECTORS}

    assert len(digests) == len(VECTORS)
