"""Bans: whom a server does not talk to.  Floor: COMMONS.  Law: one lock; the wall clock is an argument.

Spec: protocol.md, "Budgets before authentication".  A ban names a network, a user, or a key (by its fingerprint); it
has a reason, which is for whoever runs the server and never travels, and it may expire.  Expiry is by the wall clock,
because a ban outlives the process: with a path, each change is on the disk before `add` or `remove` returns.

The file is lines of JSON, one ban each, with exactly the fields that are written here.  What else is found in it is an
error when the server is made, and nothing is guessed: a ban that was skipped would be a door left open.  A file is one
server's: it is read once, and two that keep the same one write over each other's changes.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal

from netstructer import private_files
from netstructer.address import Network, parse_network
from netstructer.errors import InvalidAddress, InvalidBan, LimitReached
from netstructer.keys import Key, named_fingerprint

__all__ = ["Ban", "Bans"]

MOST_BANS = 65_536
"""Bans of one server; what would need more is a firewall's work."""
REASON_CHARACTERS = 200
"""Of a reason: two lines of a terminal."""
USER_CHARACTERS = 256
"""Of a banned user's name."""
LINE_BYTES = 4096
"""Of one ban in the file: the longest name and reason, every character escaped, come to 3 KiB."""

_FIELDS = {"kind", "name", "reason", "since", "until"}

Kind = Literal["network", "user", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """One ban.  `since` and `until` are seconds since 1970; without `until` it stands until it is removed."""

    kind: Kind
    name: str
    """A network (`192.0.2.0/24`), a user's name, or a key's fingerprint."""
    reason: str = ""
    since: float
    until: float | None = None


class Bans:
    """The bans of one server.  Thread-safe.

    `wall()` gives seconds since 1970.  `on_add(ban)` is called after each ban was added, in the thread that adds it.
    With a `path`, the bans in that file are read now, and the file is kept (0600, each change whole or not at all); a
    file that is not there holds none.  Raises `InvalidBan` for a file that is not of this form, `OSError` for one that
    cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        wall: Callable[[], float],
        on_add: Callable[[Ban], None] = lambda ban: None,
    ) -> None:
        self._place = None if path is None else os.fspath(path)
        self._wall = wall
        self._on_add = on_add
        self._lock = threading.Lock()
        self._bans: dict[tuple[Kind, str], Ban] = {}
        self._prefixes: dict[tuple[int, int], set[int]] = {}
        if self._place is not None:
            for ban in _load(self._place):
                self._enter(ban)

    def add(
        self,
        network: str | None = None,
        *,
        user: str | None = None,
        key: Key | str | bytes | None = None,
        reason: str = "",
        seconds: float | None = None,
    ) -> Ban:
        """Ban a network (an address, or `"192.0.2.0/24"`), a user, or a key; return the ban, in the place of an earlier
        one of the same.

        A `key` is a `Key`, its fingerprint, or its 8 bytes of key id; not its text, which a list of bans is no place
        for.  `reason` is at most 200 characters.  `seconds` is how long it stands; without, until it is removed.  Open
        links that it names are closed.

        Raises `InvalidBan` for what names nobody, `LimitReached` beyond 65,536 bans, and `OSError` where the file
        cannot be written: the ban stands then for as long as the server runs.
        """
        kind, name = _named(network, user, key)
        if not isinstance(reason, str) or len(reason) > REASON_CHARACTERS or not reason.isprintable():
            raise InvalidBan(f"expected a reason of at most {REASON_CHARACTERS} characters, on one line")
        if seconds is not None and not 0 < seconds < float("inf"):
            raise InvalidBan("expected seconds above zero, or none for a ban that stands until it is removed")
        now = float(self._wall())
        ban = Ban(kind=kind, name=name, reason=reason, since=now, until=None if seconds is None else now + seconds)
        failure: OSError | None = None
        with self._lock:
            self._forget_expired(now)
            if len(self._bans) >= MOST_BANS and (kind, name) not in self._bans:
                raise LimitReached("too many bans", limit=MOST_BANS, found=len(self._bans) + 1)
            self._enter(ban)
            try:
                self._save()
            except OSError as error:
                failure = error
        self._on_add(ban)
        if failure is not None:
            raise failure
        return ban

    def remove(
        self, network: str | None = None, *, user: str | None = None, key: Key | str | bytes | None = None
    ) -> bool:
        """Lift a ban that was added by the same name; say whether there was one.

        An address inside a banned network stays banned: name the network.  Raises as `add` does.
        """
        place = _named(network, user, key)
        with self._lock:
            self._forget_expired(self._wall())
            if place not in self._bans:
                return False
            self._drop(place)
            self._save()
            return True

    def list(self) -> tuple[Ban, ...]:
        """Return the bans that stand, oldest first."""
        now = self._wall()
        with self._lock:
            return tuple(ban for ban in self._bans.values() if _stands(ban, now))

    def of_source(self, ip: str) -> Ban | None:
        """Return the ban that a normalised IP falls under: that of the smallest network; None where there is none."""
        if not self._prefixes:
            return None
        address: Any = parse_network(ip.partition("%")[0]).network_address
        number, now = int(address), self._wall()
        with self._lock:
            for version, prefix in sorted(self._prefixes, reverse=True):
                if version != address.version:
                    continue
                spare = address.max_prefixlen - prefix
                start = number >> spare << spare
                if start not in self._prefixes[version, prefix]:
                    continue
                ban = self._bans["network", str(type(_NETWORKS[version])((start, prefix)))]
                if _stands(ban, now):
                    return ban
        return None

    def of_holder(self, key: bytes | str, user: str | None) -> Ban | None:
        """Return the ban of a key, by its key id or fingerprint, or of its user; None where there is none."""
        place, now = _named(None, None, key), self._wall()
        with self._lock:
            found = self._bans.get(place)
            if (found is None or not _stands(found, now)) and user is not None:
                found = self._bans.get(("user", user))
            return found if found is not None and _stands(found, now) else None

    def __len__(self) -> int:
        return len(self.list())

    def __iter__(self) -> Iterator[Ban]:
        return iter(self.list())

    def __repr__(self) -> str:
        return f"<Bans, {len(self)} that stand>"

    def _enter(self, ban: Ban) -> None:
        self._bans.pop((ban.kind, ban.name), None)
        self._bans[ban.kind, ban.name] = ban
        if ban.kind == "network":
            network = parse_network(ban.name)
            self._prefixes.setdefault((network.version, network.prefixlen), set()).add(int(network.network_address))

    def _drop(self, place: tuple[Kind, str]) -> None:
        ban = self._bans.pop(place)
        if ban.kind == "network":
            network = parse_network(ban.name)
            starts = self._prefixes[network.version, network.prefixlen]
            starts.discard(int(network.network_address))
            if not starts:
                del self._prefixes[network.version, network.prefixlen]

    def _forget_expired(self, now: float) -> None:
        for place in [place for place, ban in self._bans.items() if not _stands(ban, now)]:
            self._drop(place)

    def _save(self) -> None:
        if self._place is not None:
            lines = [json.dumps(asdict(ban), sort_keys=True) for ban in self._bans.values()]
            private_files.replace(self._place, "".join(line + "\n" for line in lines).encode())


_NETWORKS: dict[int, Network] = {4: parse_network("0.0.0.0/0"), 6: parse_network("::/0")}


def _stands(ban: Ban, now: float) -> bool:
    return ban.until is None or now < ban.until


def _named(network: str | None, user: str | None, key: Key | str | bytes | None) -> tuple[Kind, str]:
    """Return what is to be banned in its one spelling.  Raises `InvalidBan`."""
    if (network is not None) + (user is not None) + (key is not None) != 1:
        raise InvalidBan("expected one of: a network, user=, key=")
    if network is not None:
        try:
            return "network", str(parse_network(network))
        except InvalidAddress as error:
            raise InvalidBan(str(error)) from None
    if user is not None:
        if not isinstance(user, str) or not 0 < len(user) <= USER_CHARACTERS:
            raise InvalidBan(f"expected a user's name of at most {USER_CHARACTERS} characters")
        return "user", user
    if (fingerprint := named_fingerprint(key)) is None:
        raise InvalidBan("expected a key, its fingerprint, or the 8 bytes of its key id")
    return "key", fingerprint


def _load(place: str) -> list[Ban]:
    try:
        content = private_files.read(place, MOST_BANS * LINE_BYTES + 1, what="file of bans")
    except FileNotFoundError:
        return []
    if len(content) > MOST_BANS * LINE_BYTES:
        raise InvalidBan(f"{place} is too long to be a file of bans")
    bans: dict[tuple[Kind, str], Ban] = {}
    for number, line in enumerate(BytesIO(content), 1):  # one at a time
        try:
            ban = _parse(line)
        except ValueError as error:  # of JSON and UTF-8 too, whose texts hold what was found
            fault = str(error) if isinstance(error, InvalidBan) else "expected one object of JSON"
            raise InvalidBan(f"{place}, line {number}: {fault}") from None
        if (ban.kind, ban.name) in bans:
            raise InvalidBan(f"{place}, line {number}: banned in an earlier line")
        bans[ban.kind, ban.name] = ban
    if len(bans) > MOST_BANS:
        raise InvalidBan(f"{place} has more than {MOST_BANS} bans")
    return list(bans.values())


def _parse(line: bytes) -> Ban:
    if len(line) > LINE_BYTES or not line.endswith(b"\n"):
        raise InvalidBan(f"expected a whole line of at most {LINE_BYTES} bytes")
    pairs = private_files.parse_line(line)
    found = dict(pairs) if isinstance(pairs, tuple) else {}
    if set(found) != _FIELDS or len(pairs) != len(_FIELDS):
        raise InvalidBan(f"expected the fields {', '.join(sorted(_FIELDS))}")
    kind, name, reason, since, until = (found[field] for field in ("kind", "name", "reason", "since", "until"))
    if kind not in ("network", "user", "key") or not isinstance(name, str):
        raise InvalidBan("expected a kind (network, user or key) and a name")
    if _named(**{"network": None, "user": None, "key": None, kind: name}) != (kind, name):
        raise InvalidBan("expected a name in the spelling that is written here")
    if not isinstance(reason, str) or len(reason) > REASON_CHARACTERS or not reason.isprintable():
        raise InvalidBan("expected a reason on one line")
    for moment in (since,) if until is None else (since, until):
        if not isinstance(moment, float) or not abs(moment) < float("inf"):
            raise InvalidBan("expected the times since and until in seconds, as decimals")
    return Ban(kind=kind, name=name, reason=reason, since=since, until=until)
