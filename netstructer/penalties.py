"""Penalties: sources that failed too often wait.  Floor: COMMONS.  Law: one lock; time is an argument.

Spec: protocol.md, "Budgets before authentication"; the figures and their reasons are in limits.py.  The arithmetic is
that of OpenSSH's PerSourcePenalties.  A penalty is seconds, and a source has one figure: the time when all of its
penalties have passed.  A fault moves it into the future, from now or from where it is, whichever is later; time alone
brings it back.  What has been gathered is enforced once it reaches `penalty_least_seconds`, and then until it has
passed whole: a source that was turned away is not let in for one more try in between.

A penalty keeps out who has no link yet.  Links that are open stay open: many people sit behind one address.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from netstructer.address import Sources
from netstructer.limits import Limits

__all__ = ["Fault", "Penalties"]

MOST_SOURCES = 65_536
"""Sources that are remembered; the one whose last fault is longest ago is forgotten."""


class Fault(Enum):
    """What a source is penalised for: the name of the field of `Limits` that says how much."""

    KEY = "penalty_key_seconds"
    TIMEOUT = "penalty_timeout_seconds"
    SILENCE = "penalty_silence_seconds"
    AUTHENTICATED = "penalty_fault_seconds"


@dataclass(slots=True)
class _Account:
    until: float
    enforced: bool = False


class Penalties:
    """Penalties of one server.  Thread-safe: links report their peers from any thread."""

    def __init__(self, limits: Limits, sources: Sources | None = None) -> None:
        self._limits = limits
        self._sources = sources or Sources()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._lock = threading.Lock()

    def punish(self, ip: str, fault: Fault, now: float) -> None:
        """Add the penalty for one fault to what the source of `ip` has gathered."""
        if self._sources.exempts(ip):
            return
        limits = self._limits
        source = self._sources.name(ip)
        with self._lock:
            account = self._accounts.setdefault(source, _Account(until=now))
            if account.until <= now:
                account.until, account.enforced = now, False
            account.until = min(account.until + getattr(limits, fault.value), now + limits.penalty_most_seconds)
            account.enforced = account.enforced or account.until - now >= limits.penalty_least_seconds
            self._accounts.move_to_end(source)
            while len(self._accounts) > MOST_SOURCES:
                self._accounts.popitem(last=False)

    def turns_away(self, ip: str, now: float) -> bool:
        """Say whether a new transport from `ip` is turned away."""
        if self._sources.exempts(ip):
            return False
        with self._lock:
            account = self._accounts.get(self._sources.name(ip))
            return account is not None and account.enforced and now < account.until

    def gathered(self, ip: str, now: float) -> float:
        """Return the seconds that the source of `ip` has gathered and that have not passed."""
        with self._lock:
            account = self._accounts.get(self._sources.name(ip))
            return 0.0 if account is None else max(0.0, account.until - now)

    def __len__(self) -> int:
        with self._lock:
            return len(self._accounts)
