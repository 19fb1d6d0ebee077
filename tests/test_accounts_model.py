"""Accounts against a model: whatever is done to them in whatever order, they are what a few dictionaries say.

Two `Accounts` have the same file open, as a server and its command line do, and every step goes through either; now and
then both are closed and opened again.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts_support import Wall, directory_in_memory, open_accounts
from netstructer.errors import (
    AccountExists,
    AccountRefused,
    LastAdmin,
    LoginFailed,
    NetstructerError,
    QuotaReached,
    UnknownAccount,
)
from netstructer.services.accounts import Account, Accounts, Quota
from netstructer.services.accounts.throttling import FORGET_SECONDS, delay_seconds

NAMES = st.sampled_from(["ada", "Ada", "bob", "eve", "root"])
PASSWORDS = st.sampled_from(["first horse", "second horse"])
SOURCES = st.sampled_from(["", "192.0.2.7", "198.51.100.9"])
STATUS = st.sampled_from(["active", "waiting", "rejected", "blocked", "banned"])
MOST = 5


@dataclass
class Person:
    """What the model knows of an account."""

    password: str
    roles: set[str]
    status: str = "active"
    until: float | None = None
    own: set[str] = field(default_factory=set)
    used: int = 0
    posts: int = 0
    proven: set[str] = field(default_factory=set)


class AccountsAreWhatTheModelSays(RuleBasedStateMachine):
    """Every rule does the same to both, and compares what comes of it."""

    @initialize()
    def begin(self) -> None:
        self.memory = ExitStack()
        self.directory = self.memory.enter_context(directory_in_memory())
        self.wall = Wall()
        self.people: dict[str, Person] = {}
        self.counts: dict[tuple[str, ...], tuple[int, float]] = {}
        self.held: list[tuple[str, Account, Person]] = []
        self.opened = [self.open(), self.open()]
        self.turn = 0

    def open(self) -> Accounts:
        return open_accounts(self.directory, wall=self.wall, quotas={"rooms": Quota(MOST)})

    @property
    def accounts(self) -> Accounts:
        self.turn += 1
        return self.opened[self.turn % 2]

    def teardown(self) -> None:
        for accounts in getattr(self, "opened", ()):
            accounts.close()
        if hasattr(self, "memory"):
            self.memory.close()

    # --- the model's own words ---

    def active(self, person: Person) -> bool:
        return self.status(person) == "active"

    def status(self, person: Person) -> str:
        return "active" if person.until is not None and person.until <= self.wall.now else person.status

    def is_last_admin(self, name: str) -> bool:
        person = self.people[name]
        if "admin" not in person.roles or not self.active(person):
            return False
        others = (other for key, other in self.people.items() if key != name)
        return not any("admin" in other.roles and self.active(other) for other in others)

    def expect(
        self, error: type[NetstructerError] | None, call: object, *arguments: object, **options: object
    ) -> object:
        """Call, and hold what is raised, or that nothing is, to what the model expects."""
        found: object
        try:
            found = call(*arguments, **options)  # type: ignore[operator]
        except NetstructerError as raised:
            found = raised
        assert (type(found) if isinstance(found, NetstructerError) else None) is error, found
        return found

    def wait_of(self, key: tuple[str, ...]) -> float:
        failures, last = self.counts.get(key, (0, 0.0))
        since = self.wall.now - last
        return 0.0 if since >= FORGET_SECONDS else max(0.0, delay_seconds(failures) - since)

    def add_failure(self, key: tuple[str, ...]) -> float:
        failures, last = self.counts.get(key, (0, 0.0))
        failures = 1 if self.wall.now - last >= FORGET_SECONDS else failures + 1
        self.counts[key] = (failures, self.wall.now)
        return delay_seconds(failures)

    # --- what can be done ---

    @rule(name=NAMES, password=PASSWORDS, role=st.sampled_from(["client", "admin"]), status=STATUS)
    def create(self, name: str, password: str, role: str, status: str) -> None:
        taken = name.casefold() in self.people
        self.expect(AccountExists if taken else None, self.accounts.create, name, password, roles=[role], status=status)
        if not taken:
            self.people[name.casefold()] = Person(password, {role}, status)
            self.counts.pop(("name", name.casefold(), ""), None)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        key = name.casefold()
        error = UnknownAccount if key not in self.people else LastAdmin if self.is_last_admin(key) else None
        self.expect(error, self.accounts.remove, name)
        if error is None:
            del self.people[key]
            for place in [place for place in self.counts if place[:2] == ("name", key)]:
                del self.counts[place]

    @rule(name=NAMES, password=PASSWORDS, source=SOURCES)
    def log_in(self, name: str, password: str, source: str) -> None:
        key = name.casefold()
        person = self.people.get(key)
        proven = source if person is not None and source in person.proven else ""
        places: list[tuple[str, ...]] = [("name", key, proven)] + ([("source", source)] if source else [])
        wait = max(self.wait_of(place) for place in places)
        right = person is not None and person.password == password
        if wait or not right or person is None:
            raised = self.expect(LoginFailed, self.accounts.login, name, password, source)
            if not wait:
                wait = max(self.add_failure(place) for place in places)
            assert isinstance(raised, LoginFailed)
            assert abs(raised.retry_seconds - wait) < 1e-6
            return
        failures, last = self.counts.pop(places[0], (0, 0.0))
        if source and self.wall.now - last < FORGET_SECONDS and places[1] in self.counts:
            left, when = self.counts.pop(places[1])
            if left > failures:
                self.counts[places[1]] = (left - failures, when)
        if not self.active(person):
            raised = self.expect(AccountRefused, self.accounts.login, name, password, source)
            assert isinstance(raised, AccountRefused)
            assert raised.status == self.status(person)
            return
        account = self.expect(None, self.accounts.login, name, password, source)
        assert isinstance(account, Account)
        person.proven |= {source} - {""}
        self.held.append((key, account, person))

    @rule(name=NAMES, status=STATUS, seconds=st.sampled_from([None, 60.0]))
    def set_status(self, name: str, status: str, seconds: float | None) -> None:
        key = name.casefold()
        seconds = seconds if status in ("blocked", "banned") else None
        error: type[NetstructerError] | None = None
        if key not in self.people:
            error = UnknownAccount
        elif status != "active" and self.is_last_admin(key):
            error = LastAdmin
        self.expect(error, self.accounts.set_status, name, status, seconds=seconds)
        if error is None:
            self.people[key].status = status
            self.people[key].until = None if seconds is None else self.wall.now + seconds

    @rule(name=NAMES, password=PASSWORDS)
    def set_password(self, name: str, password: str) -> None:
        key = name.casefold()
        known = key in self.people
        self.expect(None if known else UnknownAccount, self.accounts.set_password, name, password)
        if known:
            self.people[key].password = password
            self.held = [held for held in self.held if held[2] is not self.people[key]]

    @rule(name=NAMES, role=st.sampled_from(["client", "admin"]), grants=st.booleans())
    def change_role(self, name: str, role: str, grants: bool) -> None:
        key = name.casefold()
        error: type[NetstructerError] | None = None
        if key not in self.people:
            error = UnknownAccount
        elif not grants and role == "admin" and self.is_last_admin(key):
            error = LastAdmin
        accounts = self.accounts
        self.expect(error, accounts.grant if grants else accounts.revoke, name, role)
        if error is None:
            person = self.people[key]
            person.roles = person.roles | {role} if grants else person.roles - {role}

    @rule(name=NAMES, pattern=st.sampled_from(["a.*", "a.b", "*"]), allows=st.booleans())
    def change_permission(self, name: str, pattern: str, allows: bool) -> None:
        key = name.casefold()
        known = key in self.people
        accounts = self.accounts
        self.expect(None if known else UnknownAccount, accounts.allow if allows else accounts.disallow, name, pattern)
        if known:
            person = self.people[key]
            person.own = person.own | {pattern} if allows else person.own - {pattern}

    @rule(name=NAMES, amount=st.integers(-3, 3))
    def charge(self, name: str, amount: int) -> None:
        person = self.people.get(name.casefold())
        error: type[NetstructerError] | None = None
        if person is None:
            error = UnknownAccount
        elif amount > 0 and person.used + amount > MOST:
            error = QuotaReached
        self.expect(error, self.accounts.charge, name, "rooms", amount)
        if error is None and person is not None:
            person.used = max(0, person.used + amount)

    @rule(name=NAMES, amount=st.integers(-3, 3))
    def increment(self, name: str, amount: int) -> None:
        person = self.people.get(name.casefold())
        self.expect(None if person else UnknownAccount, self.accounts.increment, name, "posts", amount)
        if person is not None:
            person.posts += amount

    @rule(name=NAMES)
    def unlock(self, name: str) -> None:
        key = name.casefold()
        self.expect(None if key in self.people else UnknownAccount, self.accounts.unlock, name)
        if key in self.people:
            for place in [place for place in self.counts if place[:2] == ("name", key)]:
                del self.counts[place]

    @rule(seconds=st.sampled_from([0.5, 1.0, 60.0, 1000.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.wall.now += seconds

    @rule()
    def open_again(self) -> None:
        for accounts in self.opened:
            accounts.close()
        self.opened = [self.open(), self.open()]

    # --- what must hold ---

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def an_open_link_looks_again(self, data: st.DataObject) -> None:
        key, account, person = data.draw(st.sampled_from(self.held))
        refused = self.people.get(key) is not person or not self.active(person)
        found = self.expect(AccountRefused if refused else None, self.accounts.recheck, account)
        if not refused:
            assert isinstance(found, Account)
            assert (found.roles, found.own_permissions) == (person.roles, person.own)
            assert found.allows("a.b") == bool("admin" in person.roles or person.own)

    @invariant()
    def the_list_is_the_models(self) -> None:
        if not hasattr(self, "people"):
            return
        found = {a.name: (a.roles, a.status, a.until, a.own_permissions) for a in self.accounts.list()}

        assert found == {
            name: (
                person.roles,
                self.status(person),
                person.until if self.status(person) != "active" or person.status == "active" else None,
                person.own,
            )
            for name, person in self.people.items()
        }

    @invariant()
    def what_is_counted_is_the_models(self) -> None:
        if not hasattr(self, "people"):
            return
        accounts = self.accounts
        for name, person in self.people.items():
            assert accounts.quotas(name)["rooms"].used == person.used
            assert accounts.statistics(name).get("posts", 0) == person.posts


TestAccounts = AccountsAreWhatTheModelSays.TestCase
TestAccounts.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
