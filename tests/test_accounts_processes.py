"""Accounts of several processes: whichever is killed loses nothing that it said is there; none counts past another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from accounts_support import PASSWORD, open_accounts
from loopback import PATIENCE_SECONDS, ROOT
from netstructer.services.accounts import Quota

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")

MAKE = """
import sys
from pathlib import Path
from accounts_support import PASSWORD, open_accounts
accounts = open_accounts(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    name = f"user{number}"
    accounts.create(name, PASSWORD)
    print("create", name, flush=True)
    accounts.grant(name, "admin")
    print("grant", name, flush=True)
    accounts.increment(name, "posts", 3)
    print("increment", name, flush=True)
    accounts.login(name, PASSWORD, "192.0.2.7")
    print("login", name, flush=True)
    number += 1
"""
CHARGE = """
import sys
from pathlib import Path
from accounts_support import open_accounts
from netstructer.errors import QuotaReached
from netstructer.services.accounts import Quota
with open_accounts(Path(sys.argv[1]), quotas={"rooms": Quota(100), "messages": Quota(100, seconds=1e9)}) as accounts:
    for quota in ("rooms", "messages"):
        done = 0
        try:
            while True:
                accounts.charge("ada", quota)
                accounts.increment("ada", quota)
                done += 1
        except QuotaReached:
            print(done)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_process_that_is_killed_loses_no_account_that_it_said_is_there(tmp_path: Path) -> None:
    said: set[tuple[str, str]] = set()
    for run in range(3):
        process = start(MAKE, tmp_path, run * 1000)
        assert process.stdout is not None
        with process.stdout as lines:
            # Each is killed at another step of the four.
            for _, line in zip(range(33 + run), lines, strict=False):
                said.add(tuple(line.split()))  # type: ignore[arg-type]
            process.send_signal(signal.SIGKILL)
            said.update(tuple(line.split()) for line in lines if line.endswith("\n"))  # type: ignore[misc]
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL

        with open_accounts(tmp_path) as accounts:
            accounts.check()
            found = {account.name: account for account in accounts.list()}
            statistics = accounts.all_statistics()
            assert len(said) >= 33 * (run + 1)
            for step, name in said:
                account = found[name]
                assert step != "grant" or account.is_admin
                assert step != "increment" or statistics[name]["posts"] == 3
                assert step != "login" or (statistics[name]["logins"], account.last_address) == (1, "192.0.2.7")
            assert all(account.roles >= {"client"} for account in found.values()), "an account is made whole"
            assert len(found) <= len({name for _, name in said}) + run + 1


def test_processes_that_charge_one_quota_never_pass_it(tmp_path: Path) -> None:
    with open_accounts(tmp_path, quotas={"rooms": Quota(100), "messages": Quota(100, seconds=1e9)}) as accounts:
        accounts.create("ada", PASSWORD)
        processes = [start(CHARGE, tmp_path) for _ in range(3)]
        counted = []
        for process in processes:
            out, _ = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0
            counted.append([int(line) for line in out.split()])

        assert [sum(each) for each in zip(*counted, strict=True)] == [100, 100]
        assert accounts.statistics("ada") == {"messages": 100, "rooms": 100}
