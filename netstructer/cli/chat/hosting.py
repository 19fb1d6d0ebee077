"""Hosting: a chat on a server of the terminal's, until it is ended.  Floor: ROOF.

Law: who comes and goes is shown, what they say is not.

What the operator can type at the server's own terminal is not of this module: `host(operated=)` is entered while the
chat runs, and has both.
"""

from __future__ import annotations

import dataclasses
import os
import queue
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from typing import NamedTuple

from netstructer import Identity, Limits, Server
from netstructer.address import Address
from netstructer.cli.admitted import Admitted
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.codec.ciphers import CipherName
from netstructer.errors import Misuse
from netstructer.lan import ANYWHERE, addresses_for_clients
from netstructer.private_files import config_directory
from netstructer.services.accounts import AccountEvent, Accounts
from netstructer.services.audit import OK, Audit
from netstructer.services.chat import Chat, ChatLimits, History
from netstructer.services.hall import Hall
from netstructer.services.printing import one_line
from netstructer.services.signin import SignIn
from netstructer.signals import terminable

__all__ = ["Operated", "Plan", "default_history_path", "host"]

BACKLOG_BYTES = 1 << 20
"""What waits for one client at most, as while its network is away: a few thousand messages, and 1 GB for a thousand
clients that are all away."""
LOOK_SECONDS = 0.5
"""How often Ctrl-C is looked for where nothing happens."""
MOST_NOTES = 10_000
"""Notes that wait to be shown: a terminal that takes none, as one that was stopped, holds nobody up."""


Operated = Callable[[Server, Chat], AbstractContextManager[object]]
"""What is entered while a chat runs: the place of the operator's console."""


def _by_nobody(server: Server, chat: Chat) -> AbstractContextManager[object]:
    return nullcontext()


class _Note(NamedTuple):
    """What has happened: who did what to whom, and what came of it."""

    actor: str
    source: str
    action: str
    target: str
    result: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What whoever serves has asked for: see `serve --help`."""

    room: str
    greeting: str
    history: str | None
    days: float
    messages: int
    accounts: str | None
    audit: str | None
    json: bool


def host(
    place: Address,
    guests: Admitted,
    identity: Identity | None,
    cipher: CipherName,
    plan: Plan,
    *,
    operated: Operated = _by_nobody,
) -> None:
    """Serve until Ctrl-C or SIGTERM; then tell everybody, and close.

    Raises `CannotListen`, `InvalidName`, `Misuse`, and what opening a `Store` raises.
    """
    limits = ChatLimits(history_messages=plan.messages, history_days=plan.days)
    notes: queue.Queue[_Note] = queue.Queue(MOST_NOTES)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        history = None if plan.history is None else stack.enter_context(History(plan.history, limits))
        accounts = None if plan.accounts is None else stack.enter_context(_accounts(plan.accounts))
        audit = None if plan.audit is None else stack.enter_context(Audit(plan.audit))
        server = Server(
            place,
            key=guests.ring,
            identity=identity,
            cipher=cipher,
            limits=dataclasses.replace(Limits.SMALL, backlog_bytes=BACKLOG_BYTES),
        )
        chat = Chat(
            server,
            history=history,
            account_of=None if accounts is None else SignIn(Hall(server), accounts).account_of,
            count=None if accounts is None else accounts.increment,
            room=plan.room,
            greeting=plan.greeting,
            limits=limits,
            note=partial(_note, notes, audit),
        )
        if accounts is not None and audit is not None:
            accounts.observe(partial(_note_of_account, audit))
        stack.enter_context(chat)
        stack.enter_context(server)
        _print_place(server, str(guests), chat, json=plan.json)
        stack.enter_context(operated(server, chat))
        try:
            while True:
                with suppress(queue.Empty):  # A wait without an end would let no Ctrl-C through on Windows.
                    _print(notes.get(timeout=LOOK_SECONDS), json=plan.json)
        except KeyboardInterrupt:
            if chat.stats.links:
                chat.announce("the server closes")
            server.close()
            while not notes.empty():
                _print(notes.get(), json=plan.json)
            stderr.print("closed")


def default_history_path() -> str:
    """Return where the history is kept unless somebody says so.  Raises `Misuse` where there is no home."""
    directory = config_directory(os.environ)
    if directory is None:
        raise Misuse("there is no home directory to keep the history in: name a file with --history, or --no-history")
    return os.path.join(directory, "chat.db")


def _accounts(path: str) -> Accounts:
    if not os.path.exists(path):
        raise Misuse(f"there are no accounts at {one_line(path)}: netstructer users makes them")
    return Accounts(path)


def _note(
    notes: queue.Queue[_Note], audit: Audit | None, actor: str, source: str, action: str, target: str, result: str
) -> None:
    """Take in what has happened: for the audit, and to be shown."""
    with suppress(queue.Full):  # Nobody looks at them, and the audit has them all.
        notes.put_nowait(_Note(actor, source, action, target, result))
    if audit is not None:
        audit.append(action, actor=actor, source=source, target=target, result=result)


def _note_of_account(audit: Audit, event: AccountEvent) -> None:
    """Take in what was done to an account: `login`, or `account.` and what it was."""
    action = "login" if event.action == "login" else f"account.{event.action.replace(' ', '-')}"
    result = OK if event.result == "done" else event.result
    who = event.target if action == "login" else event.actor
    audit.append(action, actor=who, source=event.source, target=event.target, result=result)


def _print_place(server: Server, keys: str, chat: Chat, *, json: bool) -> None:
    places = [str(place) for place in addresses_for_clients(server.address)]
    identity = server.identity.fingerprint if server.identity is not None else None
    stderr.print(f"listening on {server.address}, {keys}")
    if identity is not None:
        stderr.print(f"identity {identity}")
    if server.address.host.startswith("127.") or server.address.host == "::1":
        stderr.print(f"(this machine only; to be reached from others, listen on {ANYWHERE[1]}:PORT)", style="dim")
    if json:
        host, port = server.address
        facts = {"event": "listening", "host": host, "port": port, "places": places, "identity": identity}
        kept = None if chat.history is None else chat.history.store.path
        print_json(facts | {"login": chat.wants_login, "history": kept})
        return
    for place in places:
        stdout.print(f"clients type: netstructer chat join {place}")


def _print(note: _Note, *, json: bool) -> None:
    if json:
        print_json({"event": "noted", **note._asdict()})
        return
    actor, source, target = one_line(note.actor), note.source, one_line(note.target)
    why = "" if note.result == OK else f" ({one_line(note.result)})"
    match note.action:
        case "chat.enter":
            stdout.print(f"+ {actor} connected from {source}{why}", style="green")
        case "chat.exit":
            stdout.print(f"- {actor} disconnected from {source}{why}", style="yellow" if why else "dim")
        case "chat.rename":
            stdout.print(f"= {actor} is {target} now")
        case action:
            stdout.print(f"= {actor}: {f'{action} {target}'.strip()}{why}", style="cyan")
