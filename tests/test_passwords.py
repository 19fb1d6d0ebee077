"""Passwords: kept as Argon2id, within bounds, behind a gate; what new ones must be; names of one spelling."""

from __future__ import annotations

import sys
import threading
import unicodedata
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopback import PATIENCE_SECONDS, eventually
from netstructer.errors import Busy, InvalidName, MissingDependency, Misuse, PasswordRefused, StoreDamaged
from netstructer.services import passwords as passwords_module
from netstructer.services.gate import Gate
from netstructer.services.password_policy import PasswordPolicy, random_code, tidy_code
from netstructer.services.passwords import DEFAULT, STRONG, HiddenPassword, Parameters, Passwords
from netstructer.services.usernames import check_count_name, fold_name, written_name

SMALL = Parameters(8, 1, 1)


def require(password: str) -> HiddenPassword:
    return HiddenPassword(password).require()


def phc(*, memory: object = 8, passes: object = 1, lanes: object = 1, salt: int = 16, digest: int = 32) -> str:
    words = (b64encode(bytes(length)).decode().rstrip("=") for length in (salt, digest))
    return f"$argon2id$v=19$m={memory},t={passes},p={lanes}${'$'.join(words)}"


# --- Argon2id ---------------------------------------------------------------------------------------------------------


def test_a_published_vector() -> None:
    """From the reference implementation's test.c: version 0x13, argon2id, t=2, m=2^8, p=1."""
    vector = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

    assert Passwords(SMALL).verify(vector, "password")
    assert not Passwords(SMALL).verify(vector, "passwore")


def test_what_was_hashed_is_verified_and_nothing_else_is() -> None:
    passwords = Passwords(SMALL)
    kept = passwords.hash("correct horse")

    assert passwords.verify(kept, "correct horse")
    for other in ("correct horsf", "Correct horse", "correct horse ", "c"):
        assert not passwords.verify(kept, other)
    assert kept != passwords.hash("correct horse"), "the salt is another each time"
    assert kept.startswith("$argon2id$v=19$m=8,t=1,p=1$")


def test_the_profiles_are_those_of_the_specification() -> None:
    assert (DEFAULT.memory_kib, DEFAULT.passes, DEFAULT.lanes) == (19 * 1024, 2, 1)
    assert (STRONG.memory_kib, STRONG.passes, STRONG.lanes) == (64 * 1024, 3, 4)
    assert Passwords().parameters == Passwords("default").parameters == DEFAULT
    assert Passwords("strong").parameters == STRONG
    with pytest.raises(Misuse, match="default, strong"):
        Passwords("weak")


def test_accents_are_one_however_they_are_typed() -> None:
    passwords = Passwords(SMALL)

    assert passwords.verify(passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")
    assert not passwords.verify(passwords.hash("2\u00b2 is four"), "22 is four"), "NFC, which keeps what differs"


@pytest.mark.parametrize("wrong", ["", "x" * 1025, "é" * 513, "\ud800abcdefg", b"bytes", None, 5])
def test_what_cannot_be_a_password_is_refused_before_anything_is_computed(
    wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = Passwords(SMALL)
    kept = passwords.hash("x" * 1024)
    monkeypatch.setattr(passwords_module, "_compute", lambda *_: pytest.fail("computed"))
    for use in (passwords.hash, lambda wrong: passwords.verify(kept, wrong), passwords.verify_nobodys, require):
        with pytest.raises(PasswordRefused) as caught:
            use(wrong)
        assert "xxxx" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        *((256 * 1024 + 1, 1, 1), (4 << 20, 1, 1), (7, 1, 1), (8, 0, 1), (8, 11, 1), (64, 1, 9), (15, 1, 2), (8, 1, 0)),
        (-8, 1, 1),
    ],
)
def test_parameters_out_of_bounds_are_refused(parameters: tuple[int, int, int]) -> None:
    with pytest.raises(Misuse):
        Parameters(*parameters)


@pytest.mark.parametrize(
    "kept",
    [
        *(phc(memory=256 * 1024 + 1), phc(memory=4 << 20), phc(passes=11), phc(lanes=9), phc(lanes=2, memory=15)),
        *(phc(memory=7), phc(passes=0), phc(lanes=0), phc(memory="08"), phc(memory="+8"), phc(memory="٨")),
        *(phc(salt=7), phc(salt=65), phc(digest=11), phc(digest=65), phc() + "=", phc() + "\n", " " + phc()),
        *(phc().replace("argon2id", "argon2i"), phc().replace("v=19", "v=16"), phc().replace("m=8,t=1", "t=1,m=8")),
        *("", "plain text", phc()[:-1] + "B", b"bytes", None),
    ],
)
def test_what_is_no_phc_string_within_bounds_is_refused_before_anything_is_computed(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = Passwords(SMALL)
    monkeypatch.setattr(passwords_module, "_compute", lambda *_: pytest.fail("computed"))
    for use in (
        lambda: passwords.verify(kept, "password"),
        lambda: passwords.is_outdated(kept),
        lambda: passwords.verify_nobodys("password", like=kept or "none"),
    ):
        with pytest.raises(StoreDamaged):
            use()


def test_the_bounds_themselves_are_read() -> None:
    passwords = Passwords(SMALL)

    assert not passwords.is_outdated(phc(memory=256 * 1024, passes=10, lanes=8, salt=64, digest=64))
    assert not passwords.is_outdated(phc(salt=8, digest=12))


def test_what_costs_less_than_is_asked_for_now_is_outdated() -> None:
    now = Passwords(Parameters(64, 2, 1))

    assert now.is_outdated(phc(memory=63, passes=2))
    assert now.is_outdated(phc(memory=64, passes=1))
    assert not now.is_outdated(phc(memory=64, passes=2, lanes=2))
    assert not now.is_outdated(phc(memory=128, passes=3))


def test_nobodys_password_costs_what_somebodys_does(monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[tuple[Parameters, int]] = []
    real = passwords_module._compute

    def counted(password: HiddenPassword, salt: bytes, parameters: Parameters, length: int) -> bytes:
        costs.append((parameters, length))
        return real(password, salt, parameters, length)

    monkeypatch.setattr(passwords_module, "_compute", counted)
    passwords = Passwords(Parameters(32, 2, 1))
    other = phc(memory=16, passes=3, digest=20)

    assert not passwords.verify_nobodys("password")
    assert not passwords.verify_nobodys("password", like=other)
    assert not passwords.verify(other, "password")
    assert costs == [(Parameters(32, 2, 1), 32), (Parameters(16, 3, 1), 20), (Parameters(16, 3, 1), 20)]


def test_without_argon2id_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.argon2", None)
    passwords_module._argon2id.cache_clear()
    try:
        with pytest.raises(MissingDependency, match=r"pip install 'cryptography>=44'"):
            Passwords(SMALL)
    finally:
        passwords_module._argon2id.cache_clear()


def test_nothing_shows_a_password() -> None:
    passwords = Passwords(SMALL)
    with pytest.raises(PasswordRefused) as caught:
        PasswordPolicy(check=lambda _, password: f"other than {password}").require("ada", "hunter2 hunter2")

    assert "hunter2" not in str(caught.value) + repr(caught.value.wanted) + repr(passwords)


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_the_gate_lets_in_as_many_as_it_has_places_and_in_order() -> None:
    gate = Gate(places=2, waiting=3)
    inside: list[int] = []
    most: list[int] = []
    order: list[int] = []
    go = threading.Event()

    def pass_through(number: int) -> None:
        with gate:
            inside.append(number)
            order.append(number)
            most.append(len(inside))
            go.wait(PATIENCE_SECONDS)
            inside.remove(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=pass_through, args=(number,)))
        threads[-1].start()
        eventually(lambda number=number: len(order) + len(gate._queue) == number + 1)
    with pytest.raises(Busy) as caught:
        gate.__enter__()
    go.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert (caught.value.limit, caught.value.found) == (3, 4)
    assert max(most) == 2
    assert order[:2] == [0, 1]
    assert sorted(order) == [0, 1, 2, 3, 4]
    with gate, gate:
        pass


def test_who_waits_at_the_gate_too_long_is_told_and_leaves_no_gap() -> None:
    gate = Gate(places=1, wait_seconds=0.01)
    with gate, pytest.raises(Busy, match="waited"):
        gate.__enter__()
    with gate:
        pass

    assert gate._queue == []


def test_an_error_inside_gives_the_place_back() -> None:
    gate = Gate(places=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate:
            _ = 1 / 0
    with gate, pytest.raises(Busy):
        gate.__enter__()


def test_a_gate_without_a_place_is_refused() -> None:
    with pytest.raises(Misuse):
        Gate(places=0)


def test_passwords_go_through_the_gate() -> None:
    passwords = Passwords(SMALL, gate=Gate(places=1, waiting=0))
    kept = passwords.hash("password")
    with passwords.gate:
        for use in (
            lambda: passwords.hash("password"),
            lambda: passwords.verify(kept, "password"),
            lambda: passwords.verify_nobodys("password"),
        ):
            with pytest.raises(Busy):
                use()

    assert passwords.verify(kept, "password")


# --- what new ones must be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "password", "wanted"),
    [
        (PasswordPolicy(), "seven77", "at least 8"),
        (PasswordPolicy(), "eight888", None),
        (PasswordPolicy(least_characters=12), "eleven 1111", "at least 12"),
        (PasswordPolicy(most_characters=10), "eleven 1111", "at most 10"),
        (PasswordPolicy(), "PassWord123", "most common"),
        (PasswordPolicy(), "abababababab", "most common"),
        (PasswordPolicy(common=True), "password123", None),
        (PasswordPolicy(), "xxADAlovexx", "name"),
        (PasswordPolicy(), "evolada2", None),
        (PasswordPolicy(), "evoladx", "at least 8"),
        (PasswordPolicy(like_name=True), "my adalove", None),
        (PasswordPolicy(classes=2), "only small letters", None),
        (PasswordPolicy(classes=2), "onlysmall", "1 more of: a capital letter, a digit, another character"),
        (PasswordPolicy(classes=4), "Small1and more", None),
        (PasswordPolicy(classes=4), "small1and", "2 more of: a capital letter, another character"),
        (PasswordPolicy(check=lambda name, _: f"that {name} likes"), "anything else", "that AdaLove likes"),
        (PasswordPolicy(check=lambda *_: None), "anything else", None),
    ],
)
def test_the_policy_says_what_is_missing(policy: PasswordPolicy, password: str, wanted: str | None) -> None:
    if wanted is None:
        policy.require("AdaLove", password)
        return
    with pytest.raises(PasswordRefused) as caught:
        policy.require("AdaLove", password)

    assert wanted in str(caught.value)
    assert len(caught.value.wanted) == 1
    assert password not in str(caught.value)


def test_a_policy_that_nobody_can_meet_is_refused() -> None:
    for options in ({"least_characters": 0}, {"least_characters": 9, "most_characters": 8}, {"classes": 5}):
        with pytest.raises(Misuse):
            PasswordPolicy(**options)  # type: ignore[arg-type]
    with pytest.raises(Misuse):
        PasswordPolicy(most_characters=1025)


def test_codes_are_drawn_whole_and_read_however_they_are_typed() -> None:
    code = random_code(draw=lambda count: bytes(range(7, 7 + count)))

    assert code == "789ab-cdefg-hjkmn-pqrst"
    assert len({random_code(groups=5) for _ in range(100)}) == 100
    assert tidy_code(" 789AB cdefg-hjkmn pqrst\n") == code
    assert tidy_code("OIL01") == "01101"


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Ada", "ada"),
        ("Ａｄａ", "ada"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("Ada\u00a0Lovelace", "ada lovelace"),
        ("É", "é"),
        ("e\u0301", "é"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("x" * 64, "x" * 64),
        ("名前", "名前"),
        ("🦜", "🦜"),
    ],
)
def test_names_that_are_written_alike_are_one(written: str, folded: str) -> None:
    assert fold_name(written) == folded


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " ada", "ada ", "a  b", "a\tb", "a\nb", "a\x00b", "a\x1b[2Jb", "a\x7fb", "a\u200bb", "a\u202eb"),
        *(
            "a\u200db",
            "a\ufe0fb",
            "a\u2028b",
            "\ud800",
            "a\u3164",
            "a\u034fb",
            "\ue000",
            "\u0378",
            "\u0301a",
            "a\u00adb",
        ),
        *("x" * 65, "ﷺ" * 4, "ß" * 33, None, 5, b"ada", "x" * 10_000_000),
    ],
)
def test_what_is_no_name_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        fold_name(name)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


@given(st.text(max_size=40))
def test_a_name_has_one_spelling(name: str) -> None:
    try:
        folded = fold_name(name)
    except InvalidName:
        return

    assert folded == fold_name(folded) == fold_name(written_name(name))
    assert fold_name(unicodedata.normalize("NFD", name)) == folded
    assert 0 < len(folded) <= 64
    assert folded.isprintable()


@pytest.mark.parametrize("name", ["", "Logins", "a" * 65, " a", "a ", "a\n", "ä", 5, "_a", "-"])
def test_what_is_counted_has_a_plain_name(name: str) -> None:
    assert [check_count_name(good, "quota") for good in ("a", "bytes stored", "a.b-c_d", "9")]
    with pytest.raises(InvalidName, match="quota"):
        check_count_name(name, "quota")
