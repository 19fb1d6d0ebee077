"""Administration: an admin at another machine looks after a server; somebody without the role is refused.

    python examples/administration.py

The same verbs are methods (`admin.ban_user("bob")`) and command lines (`admin.obey("users ban bob")`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from netstructer import Key, Link, Server, errors
from netstructer.services.accounts import Accounts
from netstructer.services.admin import Admin
from netstructer.services.hall import Hall
from netstructer.services.notices import notice_in
from netstructer.services.signin import SignIn

WORD = "correct horse battery"


def look_after(admin: Link, noisy: Link) -> None:
    """Be an admin at another machine, while a user is there."""
    admin.call("accounts.login", "ann", WORD, timeout=10)
    status = admin.call("admin.status", timeout=10)
    print(f"server {status['status']}, {status['accounts']} accounts")
    print("admins:", [row["user"] for row in admin.call("admin.users.list", "admins", timeout=10)])
    print("told:", admin.call("admin.message.user", "bob", "be quiet, please", timeout=10))
    print("banned:", admin.call("admin.users.ban", "bob", reason="noise", seconds=3600, timeout=10)["user"])
    print("bob was told:", [notice.text for notice in map(notice_in, noisy) if notice])  # until his link is over


def main() -> None:
    key, audit = Key.generate(), list[tuple[str, ...]]()
    with (
        tempfile.TemporaryDirectory() as directory,
        Accounts(Path(directory) / "accounts.db") as accounts,
        Server(key=key) as server,
        Admin(server, accounts=accounts, note=lambda *row: audit.append(row)),
        Link(server.address, key=key) as first,
        Link(server.address, key=key) as second,
    ):
        SignIn(Hall(server), accounts)
        accounts.create("ann", WORD, roles=("admin", "client"))
        accounts.create("bob", WORD, roles=("client",))
        second.call("accounts.login", "bob", WORD, timeout=10)
        try:
            second.call("admin.shutdown", timeout=10)
        except errors.NotPermitted as error:
            print("refused:", error)
        look_after(first, second)
        for who, _, action, _, result in audit:
            print("noted:", who, action, result)


if __name__ == "__main__":
    main()
