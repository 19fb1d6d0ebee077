"""The sections `accounts`, `audit` and `admin`: who is known, what is kept of what they do, and who administers.

Floor: SERVICES.  Law: no password and no key stands here; who may what is in the accounts.
"""

from __future__ import annotations

from collections.abc import Mapping

from netstructer.services.configuration.option import Option, Value
from netstructer.services.configuration.origin import Strength
from netstructer.services.configuration.section import Section

__all__ = ["ACCOUNTS", "ADMIN", "AUDIT"]

REGISTRATIONS = ("closed", "invitation", "approval", "open")
"""As `accounts.REGISTRATIONS`, which a test holds: to read a table, nobody pays for the accounts."""
MOST_ADMINS = 64
"""Users of the key ring who administer: people who know each other."""


def _with_file(values: Mapping[str, Value], strengths: Mapping[str, Strength]) -> Mapping[str, str]:
    if values["anchor"] is not None and values["file"] is None:
        return {"anchor": "expected together with audit.file"}
    return {}


ACCOUNTS = Section(
    name="accounts",
    help="Accounts with names and passwords; netstructer users makes the first admin.",
    options=(
        Option(
            name="file",
            kind="path",
            made=True,
            example="/var/lib/netstructer/accounts.db",
            help="The file of the accounts; unless given, there are none.",
        ),
        Option(
            name="registration",
            kind="choice",
            choices=REGISTRATIONS,
            default="closed",
            help="Who may make an account: nobody, who has an invitation, whom an admin approves of, or everybody.",
        ),
        Option(
            name="duplicates",
            kind="choice",
            choices=("allow", "refuse", "replace"),
            default="allow",
            help="What becomes of a user who signs in while he is here: both stay, the new one is refused, or the old "
            "one has to go.",
        ),
    ),
)

AUDIT = Section(
    name="audit",
    help="A file of who did what, in which no row is changed unseen; netstructer audit verifies it.",
    options=(
        Option(
            name="file",
            kind="path",
            made=True,
            example="/var/lib/netstructer/audit.db",
            help="The file of the audit; its key is made beside it.  Unless given, there is none.",
        ),
        Option(
            name="anchor",
            kind="path",
            made=True,
            example="/mnt/elsewhere/anchors",
            help="A file out of reach of this machine's intruders, to which the newest row is noted now and then.",
        ),
    ),
    check=_with_file,
)

ADMIN = Section(
    name="admin",
    help="Who administers the server, and with what; netstructer admin does it from elsewhere.",
    options=(
        Option(
            name="console",
            kind="flag",
            default=False,
            help="Read commands from the server's own terminal.",
        ),
        Option(
            name="users",
            kind="list",
            most=MOST_ADMINS,
            default=(),
            example=("ada",),
            help="Users of the key ring who may administer everything, without an account; others do by their roles.",
        ),
        Option(
            name="backups_directory",
            kind="path",
            made=True,
            example="/var/lib/netstructer/backups",
            help="Where backups of the accounts and the audit are written; unless given, none are.",
        ),
        Option(
            name="supervised",
            kind="flag",
            default=False,
            help="Whether somebody starts the server again that ends with exit code 75; without, restart is refused.",
        ),
        Option(name="greeting", kind="text", example="Welcome.", help="What new links are told."),
        Option(
            name="maintenance",
            kind="text",
            example="back at noon",
            help="Why nobody but administrators is let in; unless given, everybody is.",
        ),
    ),
)
