"""Access: who is let in, as files and as state: any bytes as users' keys or bans are read strictly, or refused by line.

The first byte of an input chooses.  The rest is the file of users' keys, and a later one that takes its place; or the
file of bans; or a client's file of known servers; or a row of steps (keys added, retired and looked up while time
passes) that a list remembers as well.  A line that was skipped would be a door left open or shut: what is read must be
what is written back.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from functools import cache

from fuzz.targets import scratch
from netstructer.address import Address, parse_network
from netstructer.bans import Bans
from netstructer.errors import InvalidBan, InvalidKey, InvalidKnownServers, Misuse
from netstructer.keyring import KeyRing
from netstructer.keys import NO_KEY_ID, Key
from netstructer.known_servers import KnownServers
from netstructer.user_keys import UserKeys, UserRing

NOW = 1_800_000_000.0
KEYS = tuple(Key(urlsafe_b64encode(bytes(range(number, number + 32))).decode()) for number in range(1, 7))
USERS = (None, "ada", "bob")
MOST_STEPS = 60
ALL_STEPS = 8
"""So often all keys are compared, and not only the one that a step is about."""
ADD, ADD_UNTIL, RETIRE, RETIRE_AFTER, RETIRE_USER, LOOK_UP, OPENED, CLOSED, WAIT = range(9)


@cache
def seeds() -> list[bytes]:
    """Return files as they are written, with one thing wrong, and rows of steps."""
    line = '{"user":"%s","key":"%s","added":1767225600,"until":%s}\n'
    users = [
        "".join(
            line % (user, key.reveal(), until)
            for user, key, until in zip(("ada", "bob", "ada"), KEYS, ends, strict=False)
        )
        for ends in (("null",) * 3, ("1.5", "1900000000", "null"))
    ]
    wrong = [users[0].replace(old, new) for old, new in (("ada", ""), ("null", "1e999"), ("null", "NaN"), ("\n", ""))]
    later = [f"{users[0]}\0{text}" for text in (users[1], users[0][:150], "", wrong[1], users[0].split("\n")[0] + "\n")]
    ban = '{"kind": "%s", "name": "%s", "reason": "%s", "since": 1700000000.0, "until": %s}\n'
    bans = [
        ban % ("network", "192.0.2.0/24", "probing", "null"),
        ban % ("network", "2001:db8::/32", "", "1900000000.0") + ban % ("user", "ada", "left", "null"),
        ban % ("key", "5489-e58b-b48f-e1f8", "lost", "1.0") + ban % ("network", "192.0.2.7/32", "", "null"),
        ban % ("network", "192.0.2.7/24", "not its spelling", "null"),
        ban % ("user", "ada", "", "null") * 2,
    ]
    steps = bytes(
        part for number in range(6) for part in (ADD, number, number, LOOK_UP, number, 0, OPENED, number, number)
    )
    ends = bytes(part for number in range(6) for part in (RETIRE_AFTER, number, 9, WAIT, 0, 5, LOOK_UP, number, 0))
    server = '{"host":"%s","port":%s,"fingerprint":"ns1:%s","first_seen":1767225600}\n'
    servers = [
        server % ("192.0.2.1", 5000, "a" * 32) + server % ("2001:db8::1", 5000, "b" * 32),
        *(
            server % (host, port, "c" * 32)
            for host, port in (("Example.org", 1), ("::ffff:192.0.2.1", 2), ("a", 70000))
        ),
        server % ("example.org", 5000, "d" * 32) * 2,
    ]
    files = [
        *((b"\3", text) for text in servers),
        *((b"\0", text) for text in (*users, *wrong, *later)),
        *((b"\1", text) for text in bans),
    ]
    return [
        *(first + text.encode() for first, text in files),
        b"\2" + steps + ends,
        b"\2" + steps + bytes([RETIRE_USER, 1, 1]),
    ]


def one(data: bytes) -> None:
    """Read the input as what its first byte says."""
    if data:
        _READERS[data[0] % len(_READERS)](data[1:])


# --- users' keys ------------------------------------------------------------------------------------------------------


def _users(data: bytes) -> None:
    content, _, later = data.partition(b"\0")
    users = UserKeys(_write("users", content))
    try:
        lines = list(users)
    except InvalidKey:
        _refused_ring(users)
        return
    if not lines:
        return
    ring = UserRing(users, wall=lambda: NOW)
    _see(ring, lines)
    assert _said(content) == len(lines), "a line was skipped"
    if later:
        _write("users", later)
        ring.follow()
        try:
            lines = list(users)
        except InvalidKey:
            pass  # it stays as it was
        _see(ring, lines)


def _refused_ring(users: UserKeys) -> None:
    try:
        UserRing(users, wall=lambda: NOW)
    except InvalidKey:
        return
    raise AssertionError("a ring took a file that is refused")


def _see(ring: UserRing, lines: list) -> None:  # type: ignore[type-arg]  # of UserKey, whose module has no name for it
    open_now = {line.key.key_id: line.user for line in lines if line.until is None or line.until > NOW}
    for key in (*KEYS, *(line.key for line in lines)):
        found = ring.lookup(key.key_id)
        assert (None if found is None else found[1]) == open_now.get(key.key_id), "a key opens what it should not"
    assert len(ring) == len(open_now)


def _said(content: bytes) -> int:
    return content.count(b"\n") + (not content.endswith(b"\n"))


# --- bans -------------------------------------------------------------------------------------------------------------


def _bans(data: bytes) -> None:
    place = _write("bans", data)
    try:
        bans = Bans(place, wall=lambda: NOW)
    except InvalidBan:
        return
    assert len(bans._bans) == data.count(b"\n"), "a line was skipped"
    for ban in bans:
        if ban.kind == "network":
            network = parse_network(ban.name)
            for address in (network[0], network[-1]):
                found = bans.of_source(str(address))
                assert found is not None, "a banned network is let in"
                assert parse_network(found.name).prefixlen >= network.prefixlen
        else:
            key, user = (ban.name, None) if ban.kind == "key" else (bytes(8), ban.name)
            assert bans.of_holder(key, user) is not None, "a banned holder is let in"
    if len(data) & 7 == 0:  # to write a file and bring it to the disk takes longer than all the rest
        bans.add("198.51.100.7")
        again = Bans(place, wall=lambda: NOW)
        assert again.list() == bans.list(), "what is written is not what was read"


# --- known servers ----------------------------------------------------------------------------------------------------


def _servers(data: bytes) -> None:
    known = KnownServers(_write("known", data))
    try:
        lines = list(known)
    except InvalidKnownServers:
        return
    assert len(lines) == (_said(data) if data else 0), "a line was skipped"
    for line in lines[:4]:
        assert known.get(Address(line.host, line.port)) == line, "a server that is known is not found"
    if len(data) & 7 == 0:
        made = known.add(Address("198.51.100.7", 5000), "ns1:" + "a" * 32, now=NOW)
        assert list(known) == (lines if made in lines else [*lines, made]), "what is written is not what was read"


# --- the ring ---------------------------------------------------------------------------------------------------------


class _Held:
    """A key of the model: whose it is, when it ends, whether it was ended at once."""

    def __init__(self, user: str | None, until: float | None) -> None:
        self.user, self.until, self.revoked = user, until, False

    def opens(self, now: float) -> bool:
        return not self.revoked and (self.until is None or now < self.until)


def _ring(data: bytes) -> None:
    now = [NOW]
    ring = KeyRing({"ada": KEYS[0]}, wall=lambda: now[0])
    held = {KEYS[0]: _Held("ada", None)}
    links: dict[str, Key] = {}
    for at in range(0, min(len(data) - 2, 3 * MOST_STEPS), 3):
        what, key, amount = data[at] % 9, KEYS[data[at + 1] % len(KEYS)], data[at + 2]
        user = USERS[amount % len(USERS)]
        if what in (ADD, ADD_UNTIL):
            until = now[0] + amount - 5 if what == ADD_UNTIL else None
            taken = key in held and held[key].opens(now[0])
            _expect(InvalidKey if taken else None, lambda: ring.add(key, user=user, until=until))  # noqa: B023 called here
            if not taken:
                held[key] = _Held(user, until)
        elif what in (RETIRE, RETIRE_AFTER):
            after = amount if what == RETIRE_AFTER else None
            opens = key in held and held[key].opens(now[0])
            _expect(None if opens else Misuse, lambda: ring.retire(key, after=after))  # noqa: B023 called here
            if opens:
                _end(held[key], now[0], after)
        elif what == RETIRE_USER and user is not None:
            theirs = [entry for entry in held.values() if entry.user == user and entry.opens(now[0])]
            _expect(None if theirs else Misuse, lambda: ring.retire(user=user))  # noqa: B023 called here
            for entry in theirs:
                _end(entry, now[0], None)
        elif what == OPENED:
            ring.opened(f"link {amount % 4}", key.key_id)
            links.pop(f"link {amount % 4}", None)
            if key in held:
                links[f"link {amount % 4}"] = key
        elif what == CLOSED:
            ring.closed(f"link {amount % 4}")
            links.pop(f"link {amount % 4}", None)
        elif what == WAIT:
            now[0] += amount
        if what == RETIRE_USER or at % (3 * ALL_STEPS) == 0:
            _compare(ring, held, links, now[0])
        else:
            _compare_key(ring, held, key, now[0])
    _compare(ring, held, links, now[0])


def _end(entry: _Held, now: float, after: int | None) -> None:
    end = now + (after or 0)
    entry.until = end if entry.until is None else min(entry.until, end)
    entry.revoked = not after


def _compare(ring: KeyRing, held: dict[Key, _Held], links: dict[str, Key], now: float) -> None:
    opening = [key for key in KEYS if _compare_key(ring, held, key, now)]
    sole = ring.lookup(NO_KEY_ID)
    assert (sole is not None) == (len(opening) == 1)
    open_links = {use.fingerprint: use.open_links for use in ring.uses()}
    counts = Counter(links.values())
    assert all(open_links[key.fingerprint] == counts[key] for key in opening)


def _compare_key(ring: KeyRing, held: dict[Key, _Held], key: Key, now: float) -> bool:
    """Look one key up; return whether it opens a link, as the model says."""
    entry, found = held.get(key), ring.lookup(key.key_id)
    opens = entry is not None and entry.opens(now)
    assert (found is not None) == opens, "a key that ended opens a link, or one that has not does not"
    assert found is None or (entry is not None and found == (key, entry.user))
    return opens


def _expect(error: type[Exception] | None, call: Callable[[], object]) -> None:
    try:
        call()
    except (InvalidKey, Misuse) as found:
        assert error is not None, "refused without a reason"
        if not isinstance(found, error):
            raise
    else:
        assert error is None, "accepted against a reason"


_READERS = (_users, _bans, _ring, _servers)


def _write(name: str, content: bytes) -> str:
    """Write a file as another that takes its place would: under a name of its own, and moved."""
    place = os.path.join(scratch(), name)
    with open(os.open(f"{place}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(f"{place}.new", place)
    return place
