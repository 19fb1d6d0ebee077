"""Signing in: who is on which link of a server, and what he may do there.  Floor: SERVICES.

Law: every call asks anew.  An account that is no longer as it was when its user came in has lost what it lost before
the next action runs; nothing is remembered beside it.

    signin = SignIn(Hall(server), Accounts("accounts.db"))

gives the clients the actions `accounts.login(name, password)`, `accounts.logout()`, `accounts.register(name, password,
invitation)`, `accounts.change_password(password, new)` and `accounts.whoami()`, and decides for all actions of the
server who has which permission.  Names and passwords travel inside the sealed link and nowhere else.

A client that proved a key which is bound to an account (`Accounts.bind`) is that user without a password.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from netstructer.actions import Actions, Context
from netstructer.errors import (
    AccountRefused,
    LoginFailed,
    Misuse,
    NetstructerError,
)
from netstructer.services.accounts import Account, AccountEvent, Accounts
from netstructer.services.accounts.logins import TEXT
from netstructer.services.duplicate_logins import DuplicateLogins
from netstructer.services.hall import Hall
from netstructer.services.passwords import HiddenPassword

__all__ = ["SignIn"]

logger = logging.getLogger("netstructer")

STATE, TRIES, KEY_ASKED = "netstructer.account", "netstructer.tries", "netstructer.key_asked"
"""Under which names a link's account, its logins in vain, and whether its key was asked for are kept with it."""
MOST_TRIES = 5
"""Logins in vain on one link, after which it is closed: a person mistypes twice, and the throttle stops the rest."""

_ENDING = {"status", "remove", "set password", "reset password", "change password", "unbind", "restore"}
"""What may end the login of an account that is there; `restore` is of all of them."""


class SignIn:
    """The logins of one server's clients.  Thread-safe.

    `duplicates` says what becomes of a user who is there already.  `on_sign_in(link, account)` is called after each
    login, in the thread of the call.
    """

    def __init__(
        self,
        hall: Hall,
        accounts: Accounts,
        *,
        duplicates: DuplicateLogins | None = None,
        most_tries: int = MOST_TRIES,
        on_sign_in: Callable[[Any, Account], object] = lambda link, account: None,
    ) -> None:
        if most_tries < 1:
            raise Misuse("expected at least one try at a login")
        self._hall = hall
        self.accounts = accounts
        self.duplicates = duplicates or DuplicateLogins("allow")
        self._most_tries = most_tries
        self._on_sign_in = on_sign_in
        self._lock = threading.Lock()
        """Held from when the links of a user are counted until the new one is among them."""
        actions = Actions()
        actions.add("accounts.login", self._login)
        actions.add("accounts.logout", self._logout)
        actions.add("accounts.register", self._register)
        actions.add("accounts.change_password", self._change_password)
        actions.add("accounts.whoami", self._whoami)
        hall.server.actions.include(actions)
        hall.server.actions.permit(self.permits)
        accounts.observe(self._happened)

    # --- who is who -------------------------------------------------------------------------------------------------

    def account_of(self, link: Any) -> Account | None:
        """Return whose link it is, as the account is now; None where nobody has signed in.

        A user whose account was closed, or whose password was changed, since he came is nobody from here on: his link
        is signed out, and closed behind the caller's back.
        """
        known = link.state.get(STATE)
        if known is None:
            return self._by_key(link)
        try:
            now = self.accounts.recheck(known)
        except AccountRefused as error:
            self._sign_out(link)
            self._put_out(link, error.status)
            return None
        link.state[STATE] = now
        return now

    def permits(self, context: Context, permission: str) -> bool:
        """Say whether the caller of an action has a permission: it is what `server.actions.permit` was given."""
        account = self.account_of(context.link)
        return account is not None and account.allows(permission)

    def links_of(self, name: str) -> tuple[Any, ...]:
        """Return the links on which an account is signed in, the longest there first."""
        return self._hall.links_of(name)

    def sign_out(self, name: str) -> int:
        """Close all links of an account; return how many."""
        links = self.links_of(name)
        for link in links:
            self._sign_out(link)
            self._put_out(link, "signed out")
        return len(links)

    def _by_key(self, link: Any) -> Account | None:
        """Return the account that the key opens which the peer proved, and keep it with the link."""
        if KEY_ASKED in link.state:
            return None
        link.state[KEY_ASKED] = True  # once for each link, and again when its user signs in
        try:
            account = self.accounts.identify(key=link.fingerprint, user=link.user, source=link.peer.host)
            self._sign_in(link, account)
        except AccountRefused as error:
            self._put_out(link, error.status)
            return None
        except LoginFailed:
            return None
        return account

    # --- what clients call ------------------------------------------------------------------------------------------

    def _login(self, context: Context, name: str, password: str) -> dict[str, Any]:
        """Sign in on this link; answer as `whoami` does.

        Raises `LoginFailed`, the same for whatever is wrong with name or password, `AccountRefused` for an account that
        does not open now, `Busy`.
        """
        link = context.link
        if not isinstance(name, str) or not isinstance(password, str):
            raise LoginFailed(TEXT)
        hidden = HiddenPassword.of(password)
        del password  # so that no traceback of this frame shows it
        tries = link.state.get(TRIES, 0)
        if tries >= self._most_tries:
            self._put_out(link, "too many tries")
            raise LoginFailed(TEXT)
        try:
            account = self.accounts.login(name, hidden, context.peer.host)
        except LoginFailed:
            link.state[TRIES] = tries + 1
            raise
        link.state.pop(TRIES, None)
        self._sign_in(link, account)
        return _card(account)

    def _logout(self, context: Context) -> None:
        """Be nobody on this link."""
        self._sign_out(context.link)

    def _register(self, context: Context, name: str, password: str, invitation: str | None = None) -> dict[str, Any]:
        """Make an account, as far as the server lets strangers do that; it may have to wait for approval.

        Raises `RegistrationRefused`, `AccountExists`, `InvalidName`, `PasswordRefused`.
        """
        account = self.accounts.register(name, password, context.peer.host, invitation=invitation)
        if account.status == "active":
            self._sign_in(context.link, account)
        return _card(account)

    def _change_password(self, context: Context, password: str, new: str) -> None:
        """Have another password; all other links of the account have to sign in again."""
        account = self.account_of(context.link)
        if account is None:
            raise LoginFailed("nobody has signed in on this link")
        link, kept = context.link, account
        link.state.pop(STATE)  # so that this link is none of those that have to sign in again
        try:
            kept = self.accounts.change_password(account.name, password, new, context.peer.host)
        finally:
            link.state[STATE] = kept

    def _whoami(self, context: Context) -> dict[str, Any] | None:
        """Return who has signed in: name, roles, permissions; None where nobody has."""
        account = self.account_of(context.link)
        return None if account is None else _card(account)

    # --- links ------------------------------------------------------------------------------------------------------

    def _sign_in(self, link: Any, account: Account) -> None:
        """Let a user in on a link, as `duplicates` says.  Raises `AccountRefused`."""
        with self._lock:
            others = [other for other in self._hall.links_of(account.name) if other is not link]
            entry = self.duplicates.decide(len(others))
            if not entry.enters:
                raise AccountRefused("this account has signed in elsewhere", status="signed in")
            leaving = others[: entry.closes]
            for other in leaving:
                self._sign_out(other)
            link.account = account.name
            link.state[STATE] = account
        for other in leaving:
            self._put_out(other, "signed in elsewhere")
        self._on_sign_in(link, account)

    def _sign_out(self, link: Any) -> None:
        link.account = None
        link.state.pop(STATE, None)

    def _put_out(self, link: Any, why: str) -> None:
        """Close a link in a thread of its own: whoever is being answered on it gets the answer first."""
        logger.info("= link %s is closed: %s", link.id, why)

        def close() -> None:
            try:
                self._hall.disconnect(link)
            except NetstructerError as error:
                logger.debug("= link %s was gone: %s", link.id, type(error).__name__)

        threading.Thread(target=close, name="netstructer-farewell", daemon=True).start()

    def _happened(self, event: AccountEvent) -> None:
        """Close the links of an account that is not to be there any more; this hears of what this process does."""
        if event.action in _ENDING and event.result == "done":
            links = self._hall.links_of(event.target) if event.target else self._hall.links()
            for link in links:
                self.account_of(link)


def _card(account: Account) -> dict[str, Any]:
    """Return what a client may know of its account."""
    return {
        "name": account.name,
        "display": account.display,
        "status": account.status,
        "roles": sorted(account.roles),
        "permissions": sorted(account.permissions),
        "must_change": account.must_change,
    }
