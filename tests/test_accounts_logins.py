"""Logins: the same answer and the same work for every wrong one, delays that lock nobody out, and all of it kept."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_support import CHEAP, PASSWORD, Wall, directory_in_memory, open_accounts
from canary import Watch
from loopback import PATIENCE_SECONDS, eventually
from netstructer.address import Sources
from netstructer.errors import AccountRefused, Busy, LoginFailed, Misuse, NetstructerError, StoreFull
from netstructer.services import passwords as passwords_module
from netstructer.services.accounts import Account, AccountEvent, Accounts, ledger, throttling
from netstructer.services.accounts.throttling import delay_seconds
from netstructer.services.accounts.turns import Turns
from netstructer.services.gate import Gate
from netstructer.services.password_policy import PasswordPolicy
from netstructer.services.passwords import HiddenPassword, Parameters

HERE, THERE, ELSEWHERE = "192.0.2.7", "198.51.100.9", "203.0.113.5"
DELAYS = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with directory_in_memory() as directory:
        yield directory


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def accounts(tmp_path: Path, wall: Wall) -> Iterator[Accounts]:
    with open_accounts(tmp_path, wall=wall) as accounts:
        accounts.create("ada", PASSWORD)
        accounts.create("bob", PASSWORD)
        yield accounts


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[Parameters]:
    """What was computed: the parameters of each Argon2id, in order."""
    done: list[Parameters] = []
    real = passwords_module._compute

    def counted(password: HiddenPassword, salt: bytes, parameters: Parameters, length: int) -> bytes:
        done.append(parameters)
        return real(password, salt, parameters, length)

    monkeypatch.setattr(passwords_module, "_compute", counted)
    return done


def fail(accounts: Accounts, name: str = "ada", source: str = "", password: Any = "wrong horse") -> LoginFailed:
    """Log in in vain, and return what is said; its `retry_seconds` is how long the next try waits."""
    with pytest.raises(LoginFailed) as caught:
        accounts.login(name, password, source)
    return caught.value


def said(error: LoginFailed) -> tuple[type, str, dict[str, Any], object]:
    return type(error), str(error), vars(error), error.__cause__


# --- nothing tells a known name from an unknown one ------------------------------------------------------------------


@pytest.mark.parametrize("source", ["", HERE])
def test_an_unknown_name_and_a_wrong_password_are_told_the_same_from_the_first_try_to_the_last(
    tmp_path: Path, wall: Wall, work: list[Parameters], source: str
) -> None:
    """Side by side, with a file for each, so that neither fails into the other's count of the source."""
    answers: dict[str, list[Any]] = {"ada": [], "nobody": []}
    for name, told in answers.items():
        wall.now = 1_800_000_000.0
        with open_accounts(tmp_path / name, wall=wall) as accounts:
            accounts.create("ada", PASSWORD)
            for _ in range(20):
                work.clear()
                error = fail(accounts, name, source)
                told.append((said(error), tuple(work)))
                if len(told) % 3 == 0:
                    wall.now += error.retry_seconds

    assert answers["ada"] == answers["nobody"]
    assert answers["ada"][0][1] == (CHEAP,)
    assert len({text for (_, text, *_), _ in answers["ada"]}) == 1


def test_the_same_work_is_done_for_every_name_while_parameters_change(tmp_path: Path, work: list[Parameters]) -> None:
    """Unknown names take the parameters of somebody's password: which, is always the same for one name."""
    with open_accounts(tmp_path, passwords=CHEAP) as accounts:
        for number in range(6):
            accounts.create(f"old{number}", PASSWORD)
        accounts.create("without", None)
    stronger = Parameters(16, 2, 1)
    with open_accounts(tmp_path, passwords=stronger) as accounts:
        for number in range(6):
            accounts.create(f"new{number}", PASSWORD)
        done: dict[str, list[Parameters]] = {}
        for name in (*(f"nobody{number}" for number in range(40)), "without", *(f"old{number}" for number in range(6))):
            for _ in range(2):
                work.clear()
                fail(accounts, name)
                done.setdefault(name, []).extend(work)

    assert all(len(each) == 2 and each[0] == each[1] for each in done.values())
    assert {each[0] for name, each in done.items() if name.startswith("nobody")} == {CHEAP, stronger}
    assert done["old0"][0] == CHEAP


def test_with_no_account_at_all_a_login_takes_what_a_new_password_takes(tmp_path: Path, work: list[Parameters]) -> None:
    with open_accounts(tmp_path) as accounts:
        fail(accounts, "nobody")

    assert work == [CHEAP]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", "x"),
        ("a\nb", "x"),
        ("x" * 65, "x"),
        (5, "x"),
        ("ada", ""),
        ("ada", "x" * 1025),
        ("ada", None),
        ("bob", "\ud800"),
    ],
)
def test_what_can_be_no_name_or_no_password_is_told_the_same_and_computes_nothing(
    accounts: Accounts, work: list[Parameters], name: Any, password: Any
) -> None:
    expected = said(fail(accounts, "nobody", HERE))
    work.clear()

    assert said(fail(accounts, name, HERE, password)) == expected
    assert work == []


def test_it_counts_for_the_source_all_the_same(accounts: Accounts, wall: Wall) -> None:
    found = [fail(accounts, "", HERE).retry_seconds for _ in range(8)]

    assert found == [0, 0, 0, 0, 1, 1, 1, 1], "a try that comes too early counts for nothing"
    assert fail(accounts, "nobody", HERE).retry_seconds == 1
    wall.now += 1
    assert fail(accounts, "nobody", HERE).retry_seconds == 2


def test_nothing_of_a_password_or_an_unknown_name_is_kept(accounts: Accounts, tmp_path: Path) -> None:
    fail(accounts, "my-secret-typed-as-a-name", HERE, "my-secret-password")
    accounts.backup(tmp_path / "copy.db")
    content = (tmp_path / "copy.db").read_bytes()

    assert b"my-secret" not in content


@pytest.mark.parametrize("source", ["", HERE])
def test_who_has_to_wait_is_asked_the_same_for_every_name(accounts: Accounts, source: str) -> None:
    """He may try without end, and would measure what one more question of the file takes."""
    accounts.login("ada", PASSWORD, THERE)
    asked: dict[str, list[str]] = {"ada": [], "nobody": []}
    for name, questions in asked.items():
        accounts.unlock_source(HERE)
        for _ in range(5):
            fail(accounts, name, source)
        (reader,) = accounts._store._idle
        reader.set_trace_callback(questions.append)
        assert fail(accounts, name, source).retry_seconds
        reader.set_trace_callback(None)
    plain = {name: [re.sub(r"('.*?'|x'.*?'|NULL|\d+)", "?", text) for text in found] for name, found in asked.items()}

    assert [text.replace("x?", "?") for text in plain["ada"]] == [text.replace("x?", "?") for text in plain["nobody"]]
    assert len(plain["ada"]) >= 5


def test_no_error_and_no_traceback_with_locals_shows_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    typed, wish = "typed-" + "q7Zk" * 8, "wish-" + "9xWv" * 8
    watch.secret("typed", typed)
    watch.secret("wish", wish)
    policy = PasswordPolicy(check=lambda name, password: f"other than {password}" if name == "picky" else None)
    with watch.watching(), open_accounts(tmp_path, registration="invitation", policy=policy) as accounts:
        code = accounts.invite()
        watch.secret("code", code)
        watch.object("made", accounts.create("ada", typed))
        accounts.set_status("ada", "active")
        invited = {"invitation": code}
        calls: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = [
            *((accounts.login, (name, wish), {}) for name in ("ada", "nobody", "", "x" * 99)),
            *((accounts.login, ("ada", password, "no address"), {}) for password in (wish, wish * 99)),
            *((accounts.create, (name, wish), {}) for name in ("ada", "picky", "\n")),
            *((call, ("picky", wish), {}) for call in (accounts.first_admin, accounts.set_password, accounts.enter)),
            *((accounts.register, (name, wish), invited) for name in ("ada", "picky")),
            (accounts.register, ("eve", wish), {"invitation": code + "x"}),
            (accounts.change_password, ("ada", wish, typed), {}),
            (accounts.change_password, ("ada", typed, typed), {}),
            (accounts.set_password, ("nobody", wish), {}),
        ]
        gates = [(accounts.login, ("ada", typed), {}), (accounts.create, ("bob", wish), {})]
        for call, arguments, options in calls:
            with pytest.raises(NetstructerError) as caught:
                call(*arguments, **options)
            watch.error(f"{call.__name__}{arguments[0]!r}", caught.value)
        accounts._passwords.gate = Gate(places=1, waiting=0)
        with accounts._passwords.gate:
            for call, arguments, options in gates:
                with pytest.raises(Busy) as caught_busy:
                    call(*arguments, **options)
                watch.error(f"busy {call.__name__}", caught_busy.value)
        monkeypatch.setattr(accounts._store, "writing", lambda **_: (_ for _ in ()).throw(StoreFull("full")))
        for call, arguments, options in (*gates, (accounts.change_password, ("ada", typed, wish), {})):
            with pytest.raises(StoreFull) as caught_full:
                call(*arguments, **options)
            watch.error(f"full {call.__name__}", caught_full.value)
        monkeypatch.undo()
    watch.files("the directory", tmp_path)

    assert watch.leaks() == set()


# --- what the right password is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("waiting", "waits for approval"),
        ("rejected", "was not approved"),
        ("blocked", "is blocked"),
        ("banned", "is banned"),
    ],
)
def test_the_right_password_of_an_account_that_is_not_active(
    accounts: Accounts, wall: Wall, status: Any, words: str
) -> None:
    expected = said(fail(accounts, "nobody"))
    accounts.set_status("ada", status, reason="a secret reason")
    with pytest.raises(AccountRefused, match=words) as caught:
        accounts.login("ada", PASSWORD, HERE)

    assert (caught.value.status, caught.value.until, caught.value.retry_seconds) == (status, None, 0)
    assert "secret" not in str(vars(caught.value)) + str(caught.value)
    assert said(fail(accounts, "ada")) == expected, "a wrong one is told what everybody is told"
    assert accounts.get("ada").last_login is None
    assert [(row.attempts, row.successes) for row in accounts.ledger("ada")] == [(1, 0)]


def test_what_is_over_is_over(accounts: Accounts, wall: Wall) -> None:
    accounts.set_status("ada", "banned", seconds=60)
    with pytest.raises(AccountRefused) as caught:
        accounts.login("ada", PASSWORD)
    wall.now += 60

    assert caught.value.until == wall.now
    assert accounts.login("ada", PASSWORD).status == "active"


# --- delays -----------------------------------------------------------------------------------------------------------


def test_the_delay_doubles_from_the_fifth_failure_to_a_quarter_of_an_hour() -> None:
    assert [delay_seconds(failures) for failures in range(len(DELAYS))] == DELAYS
    assert delay_seconds(10**9) == 900


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_who_fails_waits_longer_each_time_and_no_longer_than_that(accounts: Accounts, wall: Wall, name: str) -> None:
    for failures in range(1, len(DELAYS)):
        assert fail(accounts, name).retry_seconds == DELAYS[failures]
        if DELAYS[failures]:
            wall.now += DELAYS[failures] - 0.5
            for _ in range(3):
                assert fail(accounts, name).retry_seconds == 0.5, "asking again makes it no longer"
            wall.now += 0.5


def test_the_right_password_waits_too_and_then_resets(accounts: Accounts, wall: Wall) -> None:
    for _ in range(5):
        error = fail(accounts)
    assert said(fail(accounts, "ada", "", PASSWORD)) == said(error)
    wall.now += 1
    assert accounts.login("ada", PASSWORD)
    assert [fail(accounts).retry_seconds for _ in range(5)] == [0, 0, 0, 0, 1]


def test_a_restart_forgets_nothing_and_a_day_does(accounts: Accounts, tmp_path: Path, wall: Wall) -> None:
    for _ in range(5):
        fail(accounts, "ada", HERE)
    with open_accounts(tmp_path, wall=wall) as again:
        assert fail(again, "ada", THERE, PASSWORD).retry_seconds == 1
        assert fail(again, "bob", HERE, PASSWORD).retry_seconds == 1
    wall.now += throttling.FORGET_SECONDS
    assert fail(accounts, "ada", HERE).retry_seconds == 0


def test_a_clock_that_was_set_back_keeps_nobody_out(accounts: Accounts, wall: Wall) -> None:
    for _ in range(9):
        wall.now += fail(accounts).retry_seconds
    fail(accounts)
    wall.now -= 1_000_000

    assert fail(accounts).retry_seconds == delay_seconds(11), "one try, and then the delay is known again"
    assert fail(accounts).retry_seconds == delay_seconds(11)
    wall.now += delay_seconds(11)
    assert accounts.login("ada", PASSWORD)


def test_a_source_that_fails_under_many_names_waits_alone(accounts: Accounts, wall: Wall) -> None:
    found = [fail(accounts, f"nobody{number}", HERE).retry_seconds for number in range(6)]

    assert found == [0, 0, 0, 0, 1, 1]
    assert fail(accounts, "ada", HERE, PASSWORD).retry_seconds == 1
    assert accounts.login("ada", PASSWORD, THERE)
    assert accounts.login("ada", PASSWORD, "")
    wall.now += 1
    assert accounts.login("ada", PASSWORD, HERE)


def test_strangers_keep_no_user_from_his_own_desk(accounts: Accounts, wall: Wall) -> None:
    accounts.login("ada", PASSWORD, HERE)
    for number in range(30):
        wall.now += fail(accounts, "ada", f"198.51.100.{number}").retry_seconds
    waits = fail(accounts, "ada", ELSEWHERE).retry_seconds

    assert waits > 800
    assert fail(accounts, "ada", THERE, PASSWORD).retry_seconds == waits, "from where he never was he waits too"
    assert accounts.login("ada", PASSWORD, HERE)
    assert fail(accounts, "ada", THERE, PASSWORD).retry_seconds == waits, "which resets nothing for the strangers"
    found = [fail(accounts, "ada", HERE).retry_seconds for _ in range(6)]
    assert found == [0, 0, 0, 0, 1, 1], "and his own desk has a count of its own"


def test_one_source_is_one_however_its_address_is_spelled(accounts: Accounts) -> None:
    spelled = ["2001:db8::1", "2001:DB8:0::2", "2001:db8::3:4", "2001:db8:0:0:ffff::", "2001:db8::1"]
    found = [fail(accounts, f"nobody{n}", source).retry_seconds for n, source in enumerate(spelled)]
    mapped = [fail(accounts, f"other{n}", f"::ffff:{HERE}" if n % 2 else HERE).retry_seconds for n in range(5)]

    assert found == mapped == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("source", ["nowhere", "192.0.2.7:5000", "fe80::1%" + "z" * 100, 5, b"192.0.2.7"])
def test_what_is_no_address_is_refused(accounts: Accounts, source: Any) -> None:
    for use in (
        lambda: accounts.login("ada", PASSWORD, source),
        lambda: accounts.identify(user="ada", source=source),
        lambda: accounts.register("eve", PASSWORD, source),
        lambda: accounts.unlock_source(source),
    ):
        with pytest.raises(Misuse, match="IP address"):
            use()


def test_networks_that_are_exempt_are_not_counted(tmp_path: Path) -> None:
    with open_accounts(tmp_path, sources=Sources()) as accounts:
        accounts.create("ada", PASSWORD)
        for number in range(20):
            assert fail(accounts, f"nobody{number}", "127.0.0.1").retry_seconds == 0
        accounts.login("ada", PASSWORD, "127.0.0.1")
        assert accounts.ledger("ada")[0].address == "127.0.0.1"


def test_an_account_of_ones_own_buys_no_guesses_at_others(accounts: Accounts) -> None:
    """A success takes from the source what that user had failed, and nothing more."""
    for number in range(4):
        fail(accounts, f"victim{number}", HERE)
        accounts.login("bob", PASSWORD, HERE)
    assert fail(accounts, "victim4", HERE).retry_seconds == 1


def test_who_mistypes_and_then_remembers_leaves_his_neighbours_alone(accounts: Accounts) -> None:
    for _ in range(10):
        for _ in range(3):
            assert fail(accounts, "ada", HERE).retry_seconds == 0
        accounts.login("ada", PASSWORD, HERE)
    assert fail(accounts, "bob", HERE).retry_seconds == 0


def test_what_a_name_had_failed_before_it_was_somebodys_is_forgotten(accounts: Accounts) -> None:
    for _ in range(5):
        fail(accounts, "eve")
    accounts.create("eve", PASSWORD)

    assert accounts.login("eve", PASSWORD)


def test_an_admin_can_unlock(accounts: Accounts, wall: Wall) -> None:
    accounts.login("ada", PASSWORD, HERE)
    for source in (HERE, "", ""):
        for _ in range(5):
            fail(accounts, "ada", source)
    assert accounts.waits("ada") == 1
    accounts.unlock("ada")

    assert accounts.waits("ada") == 0
    assert accounts.login("ada", PASSWORD, "")
    assert fail(accounts, "ada", HERE, PASSWORD).retry_seconds == 1, "the source waits still"
    assert accounts.unlock_source(HERE)
    assert not accounts.unlock_source(HERE)
    assert accounts.login("ada", PASSWORD, HERE)


def test_the_counts_are_bounded_and_the_oldest_goes(
    accounts: Accounts, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "MOST_COUNTS", 10)
    monkeypatch.setattr(throttling, "_SWEEP_EVERY", 1)
    for _ in range(5):
        fail(accounts, "bob")
    for number in range(20):
        wall.now += 0.01
        fail(accounts, f"nobody{number}")
    with accounts._store.reading() as db:
        assert db.execute("SELECT count(*) FROM throttles").fetchone() == (10,)
    assert accounts.waits("bob") == 0


def test_an_audit_is_told_of_failures_and_not_of_tries_that_come_too_early(tmp_path: Path, wall: Wall) -> None:
    told: list[tuple[str, str, str]] = []

    def note(event: AccountEvent) -> None:
        if event.action == "login":
            told.append((event.target, event.result, event.detail))

    with open_accounts(tmp_path, wall=wall, on_event=note) as accounts:
        accounts.create("ada", PASSWORD)
        for name, password in (("ada", "wrong horse"), ("nobody", PASSWORD), ("", PASSWORD)):
            told.clear()
            accounts.unlock_source(HERE)
            for _ in range(50):
                fail(accounts, name, HERE, password)
            result = {"ada": "wrong password", "nobody": "unknown name", "": "no name, or no password"}[name]
            target = name if name == "ada" else ""
            assert told == [(target, result, "")] * 4 + [(target, result, "the next try waits 1 s")]


# --- the ledger and what is written down ------------------------------------------------------------------------------


def test_the_ledger_has_each_address_with_its_tries(accounts: Accounts, wall: Wall) -> None:
    begun = wall.now
    fail(accounts, "ada", HERE)
    accounts.login("ada", PASSWORD, HERE)
    wall.now += 5
    fail(accounts, "ada", THERE)
    wall.now += 5
    accounts.login("ada", PASSWORD, ELSEWHERE)
    accounts.login("ada", PASSWORD)
    rows = [(r.address, r.attempts, r.successes, r.last_attempt, r.last_success) for r in accounts.ledger("Ada")]

    assert rows == [
        (ELSEWHERE, 1, 1, begun + 10, begun + 10),
        (THERE, 1, 0, begun + 5, None),
        (HERE, 2, 1, begun, begun),
    ]
    assert accounts.get("ada").last_login == begun + 10
    latest = accounts.latest_login()
    assert (latest.name if latest else "", accounts.get("ada").last_address) == ("ada", "")
    assert accounts.statistics("ada") == {"failed logins": 2, "logins": 3}
    assert accounts.ledger("bob") == ()


def test_strangers_push_no_address_of_the_users_own_out_of_the_ledger(
    accounts: Accounts, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_ADDRESSES", 4)
    for own in (HERE, THERE):
        accounts.login("ada", PASSWORD, own)
    for number in range(10):
        wall.now += 1000
        fail(accounts, "ada", f"203.0.113.{number}")
    found = [row.address for row in accounts.ledger("ada")]

    assert found == ["203.0.113.9", "203.0.113.8", HERE, THERE]


def test_a_password_comes_to_what_is_stronger_with_the_next_login(tmp_path: Path, work: list[Parameters]) -> None:
    stronger = Parameters(16, 2, 1)
    with open_accounts(tmp_path) as accounts:
        before = accounts.create("ada", PASSWORD)
    with open_accounts(tmp_path, passwords=stronger) as accounts:
        fail(accounts)
        work.clear()
        there = accounts.login("ada", PASSWORD)
        assert work == [CHEAP, stronger]
        work.clear()
        accounts.login("ada", PASSWORD)
        assert work == [stronger]
        assert accounts.recheck(before).epoch == there.epoch == before.epoch, "which nobody has to log in for"
    with open_accounts(tmp_path) as accounts:
        work.clear()
        accounts.login("ada", PASSWORD)
        assert work == [stronger], "and it never comes back to what is weaker"


# --- side by side -----------------------------------------------------------------------------------------------------


class Slow:
    """Argon2id that takes as long as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.is_slow = True
        self.go = threading.Event()
        self._lock = threading.Lock()
        real = passwords_module._compute

        def compute(*what: Any) -> bytes:
            with self._lock:
                self.begun += 1
            if self.is_slow:
                self.go.wait(PATIENCE_SECONDS)
            return real(*what)

        monkeypatch.setattr(passwords_module, "_compute", compute)


def side_by_side(count: int, what: Callable[[int], object]) -> list[object]:
    """Call something in so many threads at once, and return what each returned or raised."""
    found: list[object] = [None] * count

    def run(number: int) -> None:
        try:
            found[number] = what(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return found


@pytest.mark.parametrize("source", ["", HERE])
@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_no_more_guesses_are_free_side_by_side_than_one_after_the_other(
    tmp_path: Path, wall: Wall, work: list[Parameters], name: str, source: str
) -> None:
    with open_accounts(tmp_path, wall=wall) as accounts:
        accounts.create("ada", PASSWORD)
        accounts._passwords.gate.places = 40
        work.clear()
        found = side_by_side(40, lambda _: accounts.login(name, "wrong horse", source))

        assert len(work) == 5
        assert {type(each) for each in found} == {LoginFailed}
        assert fail(accounts, name, source).retry_seconds == 1


def test_a_crowd_behind_one_address_comes_in_after_all(tmp_path: Path) -> None:
    with open_accounts(tmp_path) as accounts:
        for number in range(20):
            accounts.create(f"user{number}", PASSWORD)
        found = side_by_side(60, lambda number: accounts.login(f"user{number % 20}", PASSWORD, HERE).name)

        assert sorted(found) == sorted(f"user{number % 20}" for number in range(60))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda accounts: accounts.set_status("ada", "banned"), AccountRefused),
        (lambda accounts: accounts.unbind(user="ada"), Account),
        (lambda accounts: accounts.set_password("ada", "another horse"), LoginFailed),
        (lambda accounts: accounts.remove("ada"), LoginFailed),
        (lambda accounts: (accounts.remove("ada"), accounts.create("ada", PASSWORD)), LoginFailed),
    ],
)
def test_what_changes_while_a_password_is_looked_at_counts(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Accounts], object], expected: type
) -> None:
    slow = Slow(monkeypatch)
    found: list[type] = []
    thread = threading.Thread(target=lambda: found.extend(attempt(accounts, "ada")))
    thread.start()
    eventually(lambda: slow.begun == 1)
    slow.is_slow = False
    change(accounts)
    slow.go.set()
    thread.join(PATIENCE_SECONDS)

    assert found == [expected]


def attempt(accounts: Accounts, name: str) -> list[type]:
    try:
        return [type(accounts.login(name, PASSWORD))]
    except LoginFailed as error:
        return [type(error)]


def test_a_flood_is_told_at_once_and_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_accounts(tmp_path) as accounts:
        accounts.create("ada", PASSWORD)
        gate = accounts._passwords.gate
        gate.places, gate.waiting = 1, 2
        slow = Slow(monkeypatch)
        threads = [
            threading.Thread(target=attempt, args=(accounts, f"nobody{number}"), daemon=True) for number in range(3)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: slow.begun + len(gate._queue) == 3)
        for _ in range(10):
            with pytest.raises(Busy):
                accounts.login("ada", PASSWORD, HERE)
        slow.go.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

        assert accounts.login("ada", PASSWORD, HERE)
        assert fail(accounts, "ada", HERE).retry_seconds == 0


def test_who_waits_for_a_turn_too_long_is_told(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    for turns in (Turns(waiting=0), Turns(wait_seconds=0.01)):
        accounts._turns = turns
        for _ in range(4):
            fail(accounts)
        with monkeypatch.context() as patch:
            slow = Slow(patch)
            thread = threading.Thread(target=attempt, args=(accounts, "ada"))
            thread.start()
            eventually(lambda slow=slow: slow.begun == 1)
            with pytest.raises(Busy, match="one name, or from one source"):
                accounts.login("ada", PASSWORD)
            slow.go.set()
            thread.join(PATIENCE_SECONDS)

        assert turns._under_way == {}
        assert turns._waiting == 0
