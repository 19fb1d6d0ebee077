"""What accounts cost: a login with a known name and with an unknown one in turns, and what a server asks at each call.

The medians of the two logins are to be within 5 % of each other, so that nobody learns from the time which names there
are.  Their accounts lie in a file of the temporary directory; flushes cost what its disk takes.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from netstructer.errors import LoginFailed
from netstructer.services.accounts import Accounts, Quota

__all__ = ["measure"]

TIMES = {"smoke": (4, 20), "short": (100, 1000), "full": (500, 5000)}
"""Logins of each kind, each of somebody else up to a hundred; calls of everything else."""
PASSWORD = "correct horse battery"


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "what / of which kind"."""
    logins, calls = TIMES[scale]
    with tempfile.TemporaryDirectory() as folder:
        quotas = {"messages": Quota(1 << 40, seconds=60), "bytes stored": Quota(1 << 40)}
        with Accounts(Path(folder) / "accounts.db", quotas=quotas) as accounts:
            phc = accounts._passwords.hash(PASSWORD)
            for number in range(min(logins, 100)):
                accounts._set_phc(accounts.create(f"user{number}", None), phc, must_change=False, action="", by="")
            found = _logins(accounts, logins)
            ada = accounts.get("user0")
            found["refusal / that waits"] = _figures(_times(calls, _refused(accounts)))
            found["look again / nothing has changed"] = _figures(_times(calls, lambda: accounts.recheck(ada)))
            found["count / statistic"] = _figures(_times(calls, lambda: accounts.increment(ada, "posts")))
            found["count / quota with a window"] = _figures(_times(calls, lambda: accounts.charge(ada, "messages")))
            found["count / quota, flushed"] = _figures(_times(calls, lambda: accounts.charge(ada, "bytes stored")))
    return found


def _logins(accounts: Accounts, count: int) -> dict[str, dict[str, float]]:
    """Time logins of three kinds in turns; no name is tried so often that it has to wait."""
    kinds: dict[str, Callable[[int], object]] = {
        "right password": lambda number: accounts.login(f"user{number % 100}", PASSWORD),
        "wrong password": lambda number: _fail(accounts, f"user{number % 100}"),
        "unknown name": lambda number: _fail(accounts, f"nobody{number % 100}"),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    order = list(kinds)
    for number in range(count):
        for kind in order:
            times[kind] += _times(1, partial(kinds[kind], number))
        order.append(order.pop(0))  # what came before costs caches, and each kind is to have it from each
        accounts.unlock(f"user{number % 100}")
        with accounts._store.writing(flush=False) as db:
            accounts._throttle.forget_name(db, f"nobody{number % 100}")
    return {f"login / {kind}": _figures(each) for kind, each in times.items()}


def _fail(accounts: Accounts, name: str) -> None:
    with suppress(LoginFailed):
        accounts.login(name, "wrong horse battery")
        raise RuntimeError("a wrong password was taken")


def _refused(accounts: Accounts) -> Callable[[], None]:
    for _ in range(12):
        _fail(accounts, "impatient")
        with accounts._store.writing(flush=False) as db:
            db.execute("UPDATE throttles SET failures = 60")
    return lambda: _fail(accounts, "impatient")


def _times(count: int, call: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"median_us": statistics.median(ordered) * 1e6, "p99_us": ordered[len(ordered) * 99 // 100] * 1e6}


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
