"""What goes wrong with files, of transfers, of outboxes and of stores.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.limits import LimitReached
from netstructer.errors.misuse import Misuse
from netstructer.errors.root import NetstructerError

__all__ = [
    "AuditDamaged",
    "DigestMismatch",
    "FileChanged",
    "OutboxDamaged",
    "StoreBusy",
    "StoreDamaged",
    "StoreFull",
    "StoreTooNew",
    "TransferRefused",
    "UnsafeName",
]


class UnsafeName(NetstructerError, ValueError):
    """A name that is not taken from a peer, nor offered to one: somewhere it could mean another place or file."""

    name: str = ""


class FileChanged(NetstructerError, OSError):
    """A file changed while it was read; what arrived of it was dropped."""

    name: str = ""


class DigestMismatch(NetstructerError, OSError):
    """A file arrived with other bytes than its sender read; it was dropped."""

    name: str = ""


class TransferRefused(NetstructerError, PermissionError):
    """The other end does not take, or does not give, what was asked for."""

    name: str = ""


class OutboxDamaged(NetstructerError, OSError):
    """An outbox file is not what was written: `row` is the first row that is missing or has rotted, 0 where it is all
    of them.  Nothing of it is sent until somebody has decided what becomes of it (`netstructer.durable.salvage`)."""

    row: int = 0


class StoreDamaged(NetstructerError, OSError):
    """A store's file is not what was written, or it is no store, or the store of something else."""


class AuditDamaged(StoreDamaged):
    """An audit is not what was written: `row` is the first row that is not, 0 where it is no row that is wrong."""

    row: int = 0


class StoreFull(LimitReached, OSError):
    """The disk takes no more of a store; the change was not made."""


class StoreBusy(NetstructerError, TimeoutError):
    """Others, of this process or another, had a store for longer than a call waits; the change was not made."""


class StoreTooNew(Misuse, OSError):
    """A store was written by a later netstructer, which this one cannot read; `found` and `known` are versions."""

    found: int = 0
    known: int = 0
