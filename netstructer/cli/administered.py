"""Administered: a server of the terminal's with accounts, an audit and an administration, as it was told.  Floor: ROOF.

Law: nothing of it is there unless somebody asked for it; what was opened is closed, in the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from netstructer import Server
from netstructer.cli.screen import stderr
from netstructer.services.configuration import Configuration
from netstructer.services.printing import one_line

if TYPE_CHECKING:
    from netstructer.actions import Context
    from netstructer.services.accounts import Accounts
    from netstructer.services.admin import Admin
    from netstructer.services.logs import LogFiles
    from netstructer.services.signin import SignIn

__all__ = ["administered"]


@contextmanager
def administered(
    configuration: Configuration, server: Server, logs: LogFiles | None, leave: Callable[[str, float], object]
) -> Iterator[Admin | None]:
    """Administer a server as the sections `accounts`, `audit` and `admin` say, for as long as this lasts.

    Gives None where they ask for nothing.  `leave(how, seconds)` ends the command.  Raises what opening the files
    raises.
    """
    accounts_told, audit_told = configuration.section("accounts"), configuration.section("audit")
    told = configuration.section("admin")
    if not any((accounts_told["file"], audit_told["file"], told["console"], told["users"], told["greeting"])):
        yield None
        return
    # Imported late: most servers are administered by nobody.
    from netstructer.services.admin import Admin
    from netstructer.services.audit import Audit
    from netstructer.services.audited import account_note, link_note

    with ExitStack() as stack:
        stores: dict[str, Any] = {}
        note = None
        if audit_told["file"] is not None:
            audit = stack.enter_context(Audit(str(audit_told["file"]), anchor=_path(audit_told["anchor"])))
            note, stores["audit"] = audit.note, audit
            audit.append("server.start", target=str(server.address))
            stack.callback(audit.append, "server.stop", target=str(server.address))
            server.observers.add(link_note(audit))
            stderr.print(f"audit {one_line(audit.path)}")
        accounts = _accounts(configuration, stack)
        if accounts is not None and note is not None:
            accounts.observe(account_note(audit))
        _decide(server, accounts, configuration)
        admin = stack.enter_context(
            Admin(
                server,
                accounts=accounts,
                logs=logs,
                stores=stores,
                backups=_path(told["backups_directory"]),
                configuration=configuration,
                note=note,
                leave=leave,
                supervised=bool(told["supervised"]),
                greeting=str(told["greeting"] or ""),
            )
        )
        if told["maintenance"] is not None:
            admin.acting("configuration").maintain("on", reason=str(told["maintenance"])[:200])
        if told["console"]:
            _open_console(admin, stack)
        yield admin


def _accounts(configuration: Configuration, stack: ExitStack) -> Accounts | None:
    told = configuration.section("accounts")
    if told["file"] is None:
        return None
    from netstructer.services.accounts import Accounts

    accounts = stack.enter_context(Accounts(str(told["file"]), registration=told["registration"]))  # type: ignore[arg-type]  # one of the words of the table
    place, count = one_line(accounts.path), len(accounts)
    stderr.print(f"accounts {place}, {count or f'none yet: netstructer users {place} first-admin NAME'}")
    return accounts


def _decide(server: Server, accounts: Accounts | None, configuration: Configuration) -> None:
    """Let accounts, and the key ring's users that were named, decide who may what."""
    from netstructer.services.duplicate_logins import DuplicateLogins
    from netstructer.services.hall import Hall
    from netstructer.services.signin import SignIn

    named = frozenset(configuration.section("admin")["users"] or ())  # type: ignore[arg-type]  # a list of texts
    signin: SignIn | None = None
    if accounts is not None:
        manner = configuration.section("accounts")["duplicates"]
        signin = SignIn(Hall(server), accounts, duplicates=DuplicateLogins(manner))  # type: ignore[arg-type]  # one of the words of the table

    @server.actions.permit
    def permits(context: Context, permission: str) -> bool:
        if context.link.user is not None and context.link.user in named and permission.startswith("admin."):
            return True
        return signin is not None and signin.permits(context, permission)


def _open_console(admin: Admin, stack: ExitStack) -> None:
    from netstructer.services.admin import ConsoleThread

    console = ConsoleThread(admin)
    stack.callback(console.close)
    console.start()


def _path(value: object) -> str | None:
    return None if value is None else str(value)
