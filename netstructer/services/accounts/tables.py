"""The tables of accounts.  Floor: SERVICES.  Law: a step that was released is never changed; a new one is added.

Ids of accounts are drawn, never counted: an id that was removed, or that a backup does not know of, is never another's.
What belongs to an account goes with it.  Names that nobody has are kept nowhere, because people type passwords where a
name was asked for: throttles are found by a keyed hash, under a secret of this file's own.
"""

from __future__ import annotations

import os
import sqlite3

from netstructer.services.roles import BUILT_IN
from netstructer.services.schema import Step

__all__ = ["STEPS"]

_OWNED = "account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE"
_FIRST = (
    """CREATE TABLE accounts (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        display TEXT NOT NULL,
        phc TEXT,
        must_change INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        until REAL,
        epoch INTEGER NOT NULL DEFAULT 1,
        login_epoch INTEGER NOT NULL DEFAULT 1,
        created REAL NOT NULL,
        last_login REAL,
        last_address TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX accounts_by_status ON accounts (status)",
    "CREATE INDEX accounts_with_password ON accounts (id) WHERE phc IS NOT NULL",
    "CREATE TABLE roles (name TEXT PRIMARY KEY)",
    """CREATE TABLE role_permissions (
        role TEXT NOT NULL REFERENCES roles ON DELETE CASCADE, pattern TEXT NOT NULL, PRIMARY KEY (role, pattern)
    )""",
    f"CREATE TABLE grants ({_OWNED}, role TEXT NOT NULL REFERENCES roles, PRIMARY KEY (account, role))",
    "CREATE INDEX grants_by_role ON grants (role)",
    f"CREATE TABLE own_permissions ({_OWNED}, pattern TEXT NOT NULL, PRIMARY KEY (account, pattern))",
    f"CREATE TABLE keys (kind TEXT NOT NULL, name TEXT NOT NULL, {_OWNED}, PRIMARY KEY (kind, name))",
    "CREATE INDEX keys_by_account ON keys (account)",
    f"""CREATE TABLE quotas (
        {_OWNED}, name TEXT NOT NULL, most INTEGER, seconds REAL, used INTEGER NOT NULL DEFAULT 0, began REAL NOT NULL,
        PRIMARY KEY (account, name)
    )""",
    f"CREATE TABLE statistics ({_OWNED}, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (account, name))",
    f"""CREATE TABLE ledger (
        {_OWNED}, address TEXT NOT NULL, source TEXT NOT NULL, attempts INTEGER NOT NULL, successes INTEGER NOT NULL,
        last_attempt REAL NOT NULL, last_success REAL, PRIMARY KEY (account, address)
    )""",
    """CREATE TABLE throttles (
        key BLOB PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL, source TEXT,
        account INTEGER REFERENCES accounts ON DELETE CASCADE
    )""",
    "CREATE INDEX throttles_by_time ON throttles (last)",
    "CREATE INDEX throttles_by_account ON throttles (account)",
    """CREATE TABLE invitations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, roles TEXT NOT NULL, made REAL NOT NULL,
        until REAL NOT NULL, maker TEXT NOT NULL
    )""",
    "CREATE TABLE secret (one INTEGER PRIMARY KEY CHECK (one = 1), content BLOB NOT NULL)",
)


def _fill(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO secret VALUES (1, ?)", (os.urandom(32),))
    for role, patterns in BUILT_IN.items():
        db.execute("INSERT INTO roles VALUES (?)", (role,))
        db.executemany("INSERT INTO role_permissions VALUES (?, ?)", [(role, pattern) for pattern in sorted(patterns)])


def _begin(db: sqlite3.Connection) -> None:
    for statement in _FIRST:
        db.execute(statement)
    _fill(db)


STEPS: tuple[Step, ...] = (_begin,)
