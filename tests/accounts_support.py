"""What the tests of accounts share: accounts with cheap passwords, by a clock of the test's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from netstructer.address import Sources
from netstructer.services.accounts import Accounts
from netstructer.services.passwords import Parameters

CHEAP = Parameters(8, 1, 1)
"""The least that Argon2id computes: 30 µs."""
PASSWORD = "correct horse"


class Wall:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def directory_in_memory() -> Iterator[Path]:
    """Give a directory, in memory where there is such a place: what a disk takes is tried elsewhere."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        yield Path(directory)


def open_accounts(directory: Path, **options: Any) -> Accounts:
    """Open the accounts in a directory; every address counts as a source, loopback too."""
    options.setdefault("passwords", CHEAP)
    options.setdefault("sources", Sources(exempt=()))
    return Accounts(directory / "accounts.db", **options)
