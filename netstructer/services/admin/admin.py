"""The administration of a server: all its parts together.  Floor: SERVICES.  Docs: docs/admin.md.

Law: what is asked for over a link, at a console or in Python is the same method, asked the same questions.

    with Server(...) as server, Admin(server, accounts=accounts, note=note) as admin:
        admin.list_links()
        admin.ban_user("mallory", reason="spam", seconds=86400)
        admin.obey("users list banned")
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from netstructer.actions import Context, user_of
from netstructer.errors import BadArguments, Misuse
from netstructer.services.accounts import Accounts
from netstructer.services.admin.backups import BackupVerbs, Schedules
from netstructer.services.admin.bans import BanVerbs
from netstructer.services.admin.leaving import RESTART_CODE, LeavingVerbs
from netstructer.services.admin.logs import LogVerbs
from netstructer.services.admin.membership import MembershipVerbs
from netstructer.services.admin.office import Kept, LogBook, Note, Office
from netstructer.services.admin.settings import Setting, SettingVerbs, usual_settings
from netstructer.services.admin.state import StateVerbs
from netstructer.services.admin.verbs import Table, Verb, table_of
from netstructer.services.admin.watch import Watch
from netstructer.services.admin.wording import parse
from netstructer.services.configuration import Configuration
from netstructer.services.hall import Hall

__all__ = ["TABLE", "Admin"]

NOUNS = ("", "links", "message", "users", "roles", "invitations", "bans", "keys", "logs", "config", "backups")
"""What there are verbs about, in the order in which people read of them; the server itself first."""


class Admin(BackupVerbs, SettingVerbs, LogVerbs, BanVerbs, MembershipVerbs, LeavingVerbs, StateVerbs):
    """What may be asked of a server, as methods; its verbs become actions that links may call.  `with` closes it.

    For a server of asyncio it is made in the loop of that server, and its methods are called from threads.  Without a
    server it has the verbs about accounts and stores alone.

    `accounts` are the server's, where it has some.  `logs` are its log files.  `stores` are what can be backed up, by
    name, into the directory `backups`; the accounts are among them.  `settings` may change live, beside the usual ones;
    `configuration` is what the server was told.  `note(actor, source, action, target, result)` is told of all that was
    done, or tried: an audit.

    `leave(how, seconds)` ends the program, `how` being `"shutdown"` or `"restart"`; without, the server is closed.
    `supervised` says that somebody starts the program again when it ends with `exit_code`.  `wall` is the clock of
    dates, `clock` the one by which is waited.

    Who may what is the business of `server.actions.permit`; who sits at the machine, or calls these methods, may all.
    """

    def __init__(
        self,
        server: Any = None,
        *,
        accounts: Accounts | None = None,
        logs: LogBook | None = None,
        stores: Mapping[str, Kept] | None = None,
        backups: str | os.PathLike[str] | None = None,
        settings: Iterable[Setting] = (),
        configuration: Configuration | None = None,
        note: Note | None = None,
        leave: Callable[[str, float], object] | None = None,
        supervised: bool = False,
        greeting: str = "",
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        named = dict(stores or {})
        if accounts is not None:
            named.setdefault("accounts", accounts)
        if not all(name.replace("-", "").isalnum() for name in named):
            raise Misuse("expected names of stores of letters, digits and hyphens")
        self._office = Office(
            hall=None if server is None else Hall(server),
            accounts=accounts,
            logs=logs,
            stores=named,
            backups=None if backups is None else os.path.abspath(os.fspath(backups)),
            note=note,
            wall=wall,
            clock=clock,
            leave=leave,
            supervised=supervised,
            greeting=greeting,
        )
        self._actor, self._source, self._may = "program", "", _all
        self._configuration = configuration
        self._schedules = None if self._office.backups is None else Schedules(self._office.backups)
        usual = usual_settings(self._office, self._set_maintenance) if server is not None else ()
        self._settings = {setting.name: setting for setting in (*usual, *settings)}
        self._watch = Watch(self._office, self._schedules)
        logging.getLogger("netstructer").addHandler(self._office.errors)
        if server is not None:
            self._offer()
        self._watch.start()

    # --- life -------------------------------------------------------------------------------------------------------

    @property
    def exit_code(self) -> int:
        """With which code the program is to end: 75 where it is to be started again, else 0."""
        return RESTART_CODE if self._office.leaving == "restart" else 0

    @property
    def leaving(self) -> str:
        """`"shutdown"` or `"restart"` once the server was told so; nothing before."""
        return self._office.leaving

    def close(self) -> None:
        """Watch the server no more, let the actions be called no more, and end a maintenance.  May be called twice."""
        self._watch.close()
        logging.getLogger("netstructer").removeHandler(self._office.errors)
        try:
            actions = self._office.server.actions
        except Misuse:
            return  # there is none, or it is gone
        if self._office.maintenance is not None:
            self._set_maintenance(None)
        for verb in TABLE.values():
            if verb.action in actions:
                actions.remove(verb.action)

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Admin for {self._actor}>"

    # --- who asks ---------------------------------------------------------------------------------------------------

    def acting(
        self, actor: str, source: str = "", *, may: Callable[[str], bool] | None = None, link: Any = None
    ) -> Admin:
        """Return the same administration for somebody: what he does is noted under his name.

        `may(permission)` says what he may; without, all.  `link` is the one on which he is.
        """
        other = Admin.__new__(Admin)
        other.__dict__.update(self.__dict__)
        other._actor, other._source, other._may, other._link = actor, source, may or _all, link
        return other

    def call(self, name: str, /, *positional: Any, **named: Any) -> Any:
        """Do what a verb says, by its name (`"users.ban"`).  Raises `Misuse` where there is none such."""
        verb = TABLE.get(name)
        if verb is None:
            raise Misuse("there is no such command")
        return self._do(verb, positional, named)

    def obey(self, line: str) -> Any:
        """Do what a command line says (`"users ban ada --reason spam"`).  Raises `Misuse` where it is none."""
        command = parse(line, TABLE)
        return self._do(command.verb, (), command.values)

    def _offer(self) -> None:
        """Let links call what they have the permission for."""
        for verb in TABLE.values():
            if not verb.here_only:
                self._office.server.actions.add(verb.action, _action_of(self, verb))


def _action_of(admin: Admin, verb: Verb) -> Callable[..., Any]:
    """Return the action of a verb.

    It has no permission in the table of actions: the desk looks, and notes who was refused.
    """

    def acting(context: Context) -> Admin:
        link = context.link
        who = user_of(link) or f"key {link.fingerprint}"
        return admin.acting(who, context.peer.host, may=context.permits, link=link)

    def stream(context: Context, *positional: Any, **named: Any) -> Iterator[Any]:
        for item in _bound(acting(context), verb, positional, named):
            context.check()
            yield item

    def run(context: Context, *positional: Any, **named: Any) -> Any:
        return _bound(acting(context), verb, positional, named)

    return stream if verb.streams else run


def _bound(desk: Admin, verb: Verb, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Do it, and tell a peer whose arguments do not fit so in the words of calls."""
    try:
        return desk._do(verb, positional, named)
    except Misuse as error:
        raise BadArguments(str(error), name=type(error).__name__) from None


def _all(permission: str) -> bool:
    """Say that whoever asks may: he sits at the machine."""
    return True


TABLE: Table = table_of(Admin, NOUNS)
"""All verbs: what may be asked for."""
