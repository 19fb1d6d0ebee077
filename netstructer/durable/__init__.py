"""Durable messages: an outbox that survives its process, an inbox inside the reader's own transaction.  Floor: COMMONS.

Spec: docs/durable.md.  Law: a row that was accepted is delivered, or is named; it is never silently skipped.

    outbox      rows in an SQLite file: appended, read in order, trimmed when the peer's application has taken them
        store       the file: one process at a time, what its errors mean
        state       the one row that says which rows there must be, sealed
        sealing     rows and the file's own key, sealed
        chain       each row's tag is made over the one before
        mark        the last row, once more, beside the file: what was cut off the file is missed
    salvage     what a damaged outbox still has, and what it has not
    inbox       how far a reader has come, in a table of the reader's own database
"""

from netstructer.durable.inbox import Inbox
from netstructer.durable.outbox import Outbox
from netstructer.durable.salvage import Salvage, salvage

__all__ = ["Inbox", "Outbox", "Salvage", "salvage"]
