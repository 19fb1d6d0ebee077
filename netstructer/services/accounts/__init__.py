"""The accounts of a server: who may come in, as what, and how much.  Floor: SERVICES.  Docs: docs/accounts.md.

Law: every change is one transaction, in one file, which several processes may have open.

    accounts      all of it together: `Accounts`
        tables        what is kept                        book        what all parts share
        members       who has an account, and how it stands
        rights        roles, permissions, and whether an open link still may
        logins        a name and a password               keys        or a key of one's own
            throttling    who fails often waits           turns       tries side by side
            ledger        from which addresses
        registration  accounts that people make for themselves, and invitations
        counts        quotas and statistics
    account       an account as it was at one moment, and what happens to one

    accounts = Accounts("accounts.db", registration="approval")
    accounts.first_admin("ada", password)
    account = accounts.login("ada", password, "192.0.2.7")
    account.require("users.ban")
"""

from netstructer.services.accounts.account import STATUSES, Account, AccountEvent, Status
from netstructer.services.accounts.accounts import Accounts
from netstructer.services.accounts.counts import Quota, QuotaUse
from netstructer.services.accounts.ledger import Addresses
from netstructer.services.accounts.registration import REGISTRATIONS, Invitation, RegistrationPolicy

__all__ = [
    "REGISTRATIONS",
    "STATUSES",
    "Account",
    "AccountEvent",
    "Accounts",
    "Addresses",
    "Invitation",
    "Quota",
    "QuotaUse",
    "RegistrationPolicy",
    "Status",
]
