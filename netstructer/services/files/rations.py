"""Rations: how much each user may store, and how much the disk does.  Floor: SERVICES.

Law: what may be stored is charged before it is written, and what the disk holds decides in the end.

A transfer reserves what its files are said to have, and more in steps while a file of unknown size comes.  When it is
over, whatever became of it, the owner's directory is measured, and what is charged made to be what is there and what
other transfers still hold in reserve.  So a killed server, or a file that was removed by hand, is put right by the next
transfer.  Unfinished files count as what they are: bytes on the disk.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from netstructer.errors import QuotaReached, UnknownAccount
from netstructer.services.accounts import Accounts, QuotaUse
from netstructer.services.files.visitors import Visitor
from netstructer.transfer.wording import Refused, refused

__all__ = ["QUOTA", "Ration", "Rations", "Usage"]

QUOTA = "files.bytes"
"""The quota of an account that holds what it stores."""
MOST_UPLOAD_BYTES = 10 << 30
"""Of one transfer, unless another number is given: an image of a disk."""
MOST_FILES = 100_000
"""Files and directories of one user: to measure as many takes half a second, after each transfer."""
STEP_BYTES = 16 << 20
"""What a file of unknown size reserves at a time: a tenth of a second of a fast disk for each charge."""
FREE_BYTES = 64 << 20
"""What is left free on the disk, for the shares, the accounts and the audit."""


class Usage:
    """What one user has stored, and what he may; `most` is None where nothing bounds it but the disk."""

    __slots__ = ("files", "most", "used")

    def __init__(self, used: int, files: int, most: int | None) -> None:
        self.used, self.files, self.most = used, files, most


class Rations:
    """What all users store.  Thread-safe; of one process, which alone writes into the directory.

    `most_stored` is what each may store who has no quota of his own; `free` says how many bytes a disk has.
    """

    def __init__(
        self,
        accounts: Accounts | None,
        *,
        most_stored: int | None = None,
        most_upload: int = MOST_UPLOAD_BYTES,
        most_files: int = MOST_FILES,
        free: Callable[[str], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self.accounts = accounts
        self.most_stored, self.most_upload, self.most_files = most_stored, most_upload, most_files
        self.free = free
        self._lock = threading.Lock()
        self._ledgers: dict[str, _Ledger] = {}

    @contextmanager
    def ration(self, owner: Visitor, path: str, *, check: Callable[[], object] = lambda: None) -> Iterator[Ration]:
        """Give what a transfer into a user's directory may take; in the end what is there is measured.

        `check` is called before each piece, and raises where no more may come.
        """
        ledger = self._ledger(owner, path)
        found = Ration(self, ledger, check)
        with ledger.lock:
            if not ledger.running:
                ledger.settle()
            ledger.running.append(found)
        try:
            yield found
        finally:
            with ledger.lock:
                ledger.running.remove(found)
                ledger.settle()

    def usage(self, owner: Visitor, path: str) -> Usage:
        """Measure what a user has stored, and charge him as much."""
        ledger = self._ledger(owner, path)
        with ledger.lock:
            ledger.settle()
            return Usage(ledger.held, ledger.files, ledger.most)

    def _ledger(self, owner: Visitor, path: str) -> _Ledger:
        with self._lock:
            ledger = self._ledgers.setdefault(owner.id, _Ledger(self, path))
            ledger.owner = owner
            return ledger


class Ration:
    """What one transfer may take: its `Allowance`.  Single owner."""

    def __init__(self, rations: Rations, ledger: _Ledger, check: Callable[[], object]) -> None:
        self._rations = rations
        self._check = check
        self._ledger = ledger
        self.reserved = self.spent = 0

    def begin(self, entries: int, size: int) -> None:
        """Reserve the bytes of the files whose size is known.  Raises `TransferRefused`, and nothing is reserved."""
        with self._ledger.lock:
            if size > self._rations.most_upload or self._ledger.files + entries > self._rations.most_files:
                raise refused("too-many")
            self._reserve(size)

    def spend(self, count: int) -> None:
        """Use so many bytes, and reserve more where they are spent.  Raises `TransferRefused`."""
        self._check()
        self.spent += count
        if self.spent <= self.reserved:
            return
        if self.spent > self._rations.most_upload:
            raise refused("too-many")
        short = self.spent - self.reserved
        with self._ledger.lock:
            if short < STEP_BYTES:
                with suppress(Refused):  # the last bytes may fit where a whole step does not
                    self._reserve(STEP_BYTES)
                    return
            self._reserve(short)

    def _reserve(self, amount: int) -> None:
        if amount + FREE_BYTES > self._rations.free(self._ledger.path):
            raise refused("full")
        self._ledger.take(amount)
        self.reserved += amount


class _Ledger:
    """What one user holds; its methods under its lock."""

    def __init__(self, rations: Rations, path: str) -> None:
        self.path = path
        self.owner = Visitor("", "")
        self.lock = threading.Lock()
        self.running: list[Ration] = []
        self.held = self.files = 0
        self._rations = rations

    @property
    def most(self) -> int | None:
        use = self._use()
        return self._rations.most_stored if use is None else use.quota.most

    def take(self, amount: int) -> None:
        """Charge bytes.  Raises a refusal."""
        use, accounts = self._use(), self._rations.accounts
        try:
            if use is not None and accounts is not None and self.owner.account is not None:
                accounts.charge(self.owner.account, QUOTA, amount)
            elif self._rations.most_stored is not None and self.held + amount > self._rations.most_stored:
                raise refused("quota")
        except QuotaReached as error:
            raise refused("quota") from error
        except UnknownAccount as error:
            raise refused("not-permitted") from error
        self.held += amount

    def settle(self) -> None:
        """Measure, and charge what is there and what is in reserve: as far as the quota goes, if it was lowered."""
        used, self.files = measured(self.path)
        self.held = used + sum(max(0, each.reserved - each.spent) for each in self.running)
        use, accounts = self._use(), self._rations.accounts
        if use is None or accounts is None or self.owner.account is None or use.quota.seconds is not None:
            return  # of so many bytes in a day nothing is given back
        if more := min(self.held - use.used, use.left):
            with suppress(QuotaReached, UnknownAccount):
                accounts.charge(self.owner.account, QUOTA, more)

    def _use(self) -> QuotaUse | None:
        account, accounts = self.owner.account, self._rations.accounts
        if account is None or accounts is None:
            return None
        try:
            return accounts.quotas(account).get(QUOTA)
        except UnknownAccount:
            return None


def measured(path: str) -> tuple[int, int]:
    """Return the bytes of all files below a directory, and how many files and directories there are.

    No link is followed; what goes away meanwhile, and what cannot be read, counts as nothing.
    """
    size = count = 0
    waiting = [path]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                count += 1
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        size += entry.stat(follow_symlinks=False).st_size
    return size, count
