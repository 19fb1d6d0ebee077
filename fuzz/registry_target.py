"""The registry and what stands at a server's door: any order of comings and goings, held to a list.

An input is a row of steps, four bytes each: what, which link, from where, how much.  Links enter, lose their transport,
come back from elsewhere, end by themselves, are found and taken out; they take places (`Occupancy`), and sources fail
(`Penalties`).  A plain list, a plain count and a sum of seconds say what each must answer.
"""

from __future__ import annotations

from functools import cache

from netstructer.address import Address, Sources, normalise_ip
from netstructer.errors import InvalidAddress
from netstructer.limits import Limits
from netstructer.occupancy import Occupancy
from netstructer.penalties import Fault, Penalties
from netstructer.registry import Registry

LIMITS = Limits(links_per_source=3, links_per_user=2)
MOST = 6
MOST_STEPS = 40
IPS = (
    *("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:DB8:0::1", "2001:db8::2", "2001:db8:1::1"),
    *("127.0.0.1", "::1", "fe80::1%eth0", "no address", ""),
)
FAULTS = tuple(Fault)
ADD, DISCARD, SUSPEND, RESUME, END, GET, POP, ALL, EMPTY, ENTER, LEAVE, FULL, PUNISH, WAIT = range(14)


class Known(Sources):
    """Sources that read each of a dozen addresses once: to read one takes longer than all that the registry does."""

    @cache  # noqa: B019 there is one
    def name(self, ip: str) -> str:
        return super().name(ip)

    @cache  # noqa: B019
    def exempts(self, ip: str) -> bool:
        return super().exempts(ip)


SOURCES = Known()


class Link:
    """A link, as far as the registry looks at one."""

    def __init__(self, number: int) -> None:
        self.id = f"link {number}"
        self.peer = Address("192.0.2.1", 1)
        self.user: str | None = None
        self.closed = False


def seeds() -> list[bytes]:
    """Return rows of steps: links that come and go, one that roams, places that run out, sources that fail."""
    come = b"".join(bytes([ADD, number, number, number]) for number in range(8))
    looks = b"".join(bytes([what, number, number, number]) for number in range(8) for what in (GET, ALL))
    roams = bytes([ADD, 1, 0, 0, SUSPEND, 1, 0, 0, GET, 1, 0, 0, RESUME, 1, 3, 0, GET, 1, 3, 0, POP, 1, 3, 0])
    places = b"".join(bytes([what, number, 0, number]) for number in range(8) for what in (FULL, ENTER))
    fails = b"".join(bytes([what, 0, number, 40]) for number in range(8) for what in (PUNISH, PUNISH, WAIT))
    return [come + looks, come + bytes([END, 3, 0, 0]) + looks + bytes([EMPTY, 0, 0, 0]) + looks, roams, places, fails]


def one(data: bytes) -> None:
    """Do the steps, and hold each answer to the model."""
    play = _Play()
    for at in range(0, min(len(data) - 3, 4 * MOST_STEPS), 4):
        play.step(data[at] % 14, data[at + 1], IPS[data[at + 2] % len(IPS)], data[at + 3])
    play.check_end()


class _Play:
    def __init__(self) -> None:
        self.registry: Registry[Link] = Registry(self._close)
        self.occupancy, self.penalties = Occupancy(LIMITS, MOST, SOURCES), Penalties(LIMITS, SOURCES)
        self.links = [Link(number) for number in range(8)]
        self.live: list[tuple[Link, str]] = []
        """In the registry, oldest first, with the IP under which each is found."""
        self.asleep: list[Link] = []
        self.places: dict[str, tuple[str | None, str | None]] = {}
        self.until: dict[str, tuple[float, bool]] = {}
        self.now = 1000.0

    def step(self, what: int, which: int, ip: str, amount: int) -> None:
        link = self.links[which % 8]
        place = _normal(ip)
        if what <= END:
            self._move(what, link, place, amount)
        elif what in (GET, POP, ALL):
            self._find(what, link, ip, amount)
        elif what == EMPTY and amount & 3 == 0:
            expected = [*(found for found, _ in self.live), *self.asleep]
            assert list(self.registry.empty()) == expected
            self.live, self.asleep = [], []
        elif what in (ENTER, LEAVE, FULL) and place is not None:
            self._occupy(what, link, place, None if amount & 4 else f"user {amount & 3}")
        elif what == PUNISH and place is not None:
            self._punish(place, FAULTS[amount % len(FAULTS)])
        elif what == WAIT:
            self.now += amount

    def _move(self, what: int, link: Link, place: str | None, amount: int) -> None:
        known = any(found is link for found, _ in self.live)
        if what == ADD and place is not None and not known and link not in self.asleep:
            link.peer, link.closed, link.user = Address(place, 1 + amount % 3), False, f"user {amount & 3}"
            self.registry.add(link)
            self.live.append((link, place))
        elif what == DISCARD:
            assert self.registry.discard(link) == (known or link in self.asleep)
            self._out(link)
        elif what == SUSPEND:
            self.registry.suspend(link)
            if known:
                self._out(link)
                self.asleep.append(link)
            assert list(self.registry.suspended()) == self.asleep
        elif what == RESUME and place is not None:
            link.peer = Address(place, 1 + amount % 3)
            self.registry.resume(link)
            if known or link in self.asleep:
                self._out(link)
                self.live.append((link, place))
        elif what == END:
            link.closed = True

    def _find(self, what: int, link: Link, ip: str, amount: int) -> None:
        registry = self.registry
        if what == ALL:
            expected = [found for found, at in self.live if not found.closed and at == _normal(ip)]
            assert list(_or_none(registry.all, ip) or ()) == expected
            assert (ip in registry) == bool(expected)
            listed = list(iter(registry))  # of the registry itself, `list` would ask for the length as well
            assert listed == [found for found, _ in self.live if not found.closed]
            assert len(registry) == len(listed)
            return
        ask = registry.get if what == GET else registry.pop
        by = amount & 3
        if by == 0:
            found, wanted = ask(id=link.id), [other for other, _ in self.live if other.id == link.id]
        elif by == 1:
            found, wanted = (
                ask(user=link.user or ""),
                [other for other, _ in self.live if other.user == (link.user or "")],
            )
        elif by == 2:
            found, wanted = _or_none(ask, ip), [other for other, at in self.live if at == _normal(ip)]
        else:
            port = 1 + (amount >> 2) % 3
            found = _or_none(ask, (ip, port))
            wanted = [other for other, at in self.live if at == _normal(ip) and other.peer.port == port]
        wanted = [other for other in wanted if not other.closed]
        assert found is (wanted[-1] if wanted else None)
        if what == POP and found is not None:
            self._out(found)

    def _occupy(self, what: int, link: Link, place: str, user: str | None) -> None:
        source = _source(place)
        if what == ENTER:
            self.occupancy.enter(link.id, place, user)
            self.places[link.id] = source, user
        elif what == LEAVE:
            self.occupancy.leave(link.id)
            self.places.pop(link.id, None)
        else:
            for without in (None, link.id):
                left = [held for holder, held in self.places.items() if holder != without]
                full = (
                    len(left) >= MOST
                    or (source is not None and sum(held[0] == source for held in left) >= LIMITS.links_per_source)
                    or (user is not None and sum(held[1] == user for held in left) >= LIMITS.links_per_user)
                )
                assert self.occupancy.full(place, user, without=without) == full
        assert len(self.occupancy) == len(self.places)

    def _punish(self, place: str, fault: Fault) -> None:
        source = _source(place)
        self.penalties.punish(place, fault, self.now)
        if source is None:
            assert not self.penalties.turns_away(place, self.now)
            return
        until, enforced = self.until.get(source, (self.now, False))
        if until <= self.now:
            until, enforced = self.now, False
        until = min(until + getattr(LIMITS, fault.value), self.now + LIMITS.penalty_most_seconds)
        enforced = enforced or until - self.now >= LIMITS.penalty_least_seconds
        self.until[source] = until, enforced

    def _out(self, link: Link) -> None:
        self.live = [(found, at) for found, at in self.live if found is not link]
        self.asleep = [found for found in self.asleep if found is not link]

    def _close(self, links: tuple[Link, ...]) -> None:
        for link in links:
            link.closed = True

    def check_end(self) -> None:
        for ip in IPS:
            place = _normal(ip)
            if place is None:
                continue
            source = _source(place)
            until, enforced = self.until.get(source, (0.0, False)) if source is not None else (0.0, False)
            assert self.penalties.turns_away(place, self.now) == (enforced and self.now < until)
        self.registry.clear()
        assert all(link.closed for link, _ in self.live)
        assert all(link.closed for link in self.asleep)
        assert len(self.registry) == len(self.registry._by_ip) == len(self.registry._hosts) == 0
        for link in self.links:
            self.occupancy.leave(link.id)
        assert not self.occupancy._by_source
        assert not self.occupancy._by_user


def _or_none(ask, place):  # type: ignore[no-untyped-def]  # get, pop and all differ in what they return
    try:
        return ask(place)
    except InvalidAddress:
        return None


_NORMAL: dict[str, str | None] = {}
for _ip in IPS:
    try:
        _NORMAL[_ip] = normalise_ip(_ip)
    except InvalidAddress:
        _NORMAL[_ip] = None


def _normal(ip: str) -> str | None:
    return _NORMAL[ip]


def _source(place: str) -> str | None:
    """Return by what a source is counted: an IPv4 address, the /64 of an IPv6 one; None for one that is not counted."""
    return _SOURCES[place]


_SOURCES = {
    place: None if SOURCES.exempts(place) else SOURCES.name(place) for place in _NORMAL.values() if place is not None
}
