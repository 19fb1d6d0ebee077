"""The registry: live links by peer IP.  Floor: COMMONS.  Law: one lock, and nobody else's code is called inside it.

Spec: protocol.md, "Registry".  Keys are IP texts as `address.normalise_ip` writes them, and texts that callers give go
through the same function.  Several links behind one IP are kept apart.  A link enters once and leaves once: by `pop`,
by `clear`, or when it ends.  One that has lost its transport is kept apart from the open ones until it has another,
which may come from another IP: then it is found under that one, from the same step on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from netstructer.address import Address, normalise_ip
from netstructer.errors import InvalidAddress, Misuse

__all__ = ["Registered", "Registry"]


class Registered(Protocol):
    """What a link shows the registry."""

    @property
    def id(self) -> str: ...
    @property
    def peer(self) -> Address: ...
    @property
    def user(self) -> str | None: ...
    @property
    def closed(self) -> bool: ...


L = TypeVar("L", bound=Registered)
Place = str | tuple[str, int]


class Registry(Generic[L]):
    """Live links, oldest first.  Thread-safe; every method is one atomic step.

    `close(links)` closes what `clear` takes out.  `ip` is an IP, or `(ip, port)` for exactly one transport; `id=` and
    `user=` find by those instead.
    """

    def __init__(self, close: Callable[[tuple[L, ...]], None] = lambda links: None) -> None:
        self._close = close
        self._lock = threading.Condition(threading.Lock())
        self._links: dict[str, L] = {}
        self._by_ip: dict[str, dict[str, L]] = {}
        self._hosts: dict[str, str] = {}
        """Under which IP each link is found, by its id: its peer may have another one by now."""
        self._suspended: dict[str, L] = {}
        self._closed = False

    def add(self, link: L) -> None:
        """Enter a link."""
        with self._lock:
            self._enter(link)

    def discard(self, link: L) -> bool:
        """Take a link out; say whether it was in."""
        with self._lock:
            return self._suspended.pop(link.id, None) is not None or self._remove(link)

    def suspend(self, link: L) -> None:
        """Keep a link apart that has no transport; nothing, where it is not in the registry."""
        with self._lock:
            if self._remove(link):
                self._suspended[link.id] = link

    def resume(self, link: L) -> None:
        """Take a link back that has a transport again, under the IP that it comes from now; it is the newest."""
        with self._lock:
            if self._suspended.pop(link.id, None) is not None or self._remove(link):
                self._enter(link)

    def suspended(self) -> tuple[L, ...]:
        """Return the links that have no transport now, the longest suspended first."""
        with self._lock:
            return tuple(self._suspended.values())

    def get(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> L | None:
        """Return the newest open link from there, or None."""
        with self._lock:
            return self._newest(ip, id, user)

    def all(self, ip: str | None = None) -> tuple[L, ...]:
        """Return the open links, oldest first; all of them, or those from one IP."""
        with self._lock:
            return tuple(link for link in self._found(ip, None, None) if not link.closed)

    def pop(self, ip: Place | None = None, *, id: str | None = None, user: str | None = None) -> L | None:
        """Take out and return the newest open link from there, still open; None where there is none."""
        with self._lock:
            link = self._newest(ip, id, user)
            if link is not None:
                self._remove(link)
            return link

    def empty(self) -> tuple[L, ...]:
        """Take out and return all links, still open or suspended."""
        with self._lock:
            links = (*self._links.values(), *self._suspended.values())
            for held in (self._links, self._suspended, self._by_ip, self._hosts):
                held.clear()
            return links

    def close(self) -> tuple[L, ...]:
        """Take out and return all links, still open, and let nobody wait for another."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        return self.empty()

    def renew(self) -> None:
        """Begin anew, closed and empty: in a forked child, where whoever held the lock is not."""
        self._lock = threading.Condition(threading.Lock())
        self.close()

    def clear(self) -> None:
        """Take out and close all links."""
        self._close(self.empty())

    def count(self) -> int:
        """Return how many open links there are."""
        return len(self.all())

    def wait(self, ip: Place, timeout: float | None = None) -> L | None:
        """Return the newest open link from there, as soon as there is one; None where `timeout` seconds passed
        without, or the registry was closed.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._closed or self._newest(ip, None, None) is not None, timeout)
            return self._newest(ip, None, None)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, ip: object) -> bool:
        if isinstance(ip, (str, tuple)):
            with contextlib.suppress(InvalidAddress):
                return self.get(ip) is not None
            return False
        return any(link is ip for link in self.all())

    def __iter__(self) -> Iterator[L]:
        return iter(self.all())

    def _newest(self, ip: Place | None, id: str | None, user: str | None) -> L | None:
        if (ip is not None) + (id is not None) + (user is not None) != 1:
            raise Misuse("expected one of: an ip, (ip, port), id=, user=")
        return next((link for link in reversed(self._found(ip, id, user)) if not link.closed), None)

    def _found(self, ip: Place | None, id: str | None, user: str | None) -> list[L]:
        if ip is None:
            links = self._links.values()
            return [link for link in links if (id is None or link.id == id) and (user is None or link.user == user)]
        ip, port = _place(ip)
        return [link for link in self._by_ip.get(ip, {}).values() if port is None or link.peer.port == port]

    def _enter(self, link: L) -> None:
        host = link.peer.host
        self._links[link.id] = link
        self._hosts[link.id] = host
        self._by_ip.setdefault(host, {})[link.id] = link
        self._lock.notify_all()

    def _remove(self, link: L) -> bool:
        if self._links.pop(link.id, None) is None:
            return False
        host = self._hosts.pop(link.id)
        links = self._by_ip[host]
        del links[link.id]
        if not links:
            del self._by_ip[host]
        return True


def _place(place: Place) -> tuple[str, int | None]:
    ip, port = place if isinstance(place, tuple) else (place, None)
    if not isinstance(ip, str):
        raise InvalidAddress("expected an IP address")
    return normalise_ip(ip), port
