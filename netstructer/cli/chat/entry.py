"""The entry: from a place to somebody who talks in a chat there, asked for whatever it takes.  Floor: ROOF.

Law: what is secret is asked for without a trace, or read from a file; it is never typed into a command.
"""

from __future__ import annotations

import dataclasses
import getpass
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from netstructer import Key, Limits, Link
from netstructer.address import Address
from netstructer.cli.chat.lines import Line
from netstructer.cli.chat.piped import Paper
from netstructer.cli.chat.piped import talk as talk_piped
from netstructer.cli.chat.visit import Visit, why
from netstructer.cli.screen import stderr
from netstructer.codec.ciphers import CipherName
from netstructer.errors import LinkClosed, Misuse, NetstructerError, RemoteError, SessionLost
from netstructer.services.chat import shown
from netstructer.services.usernames import written_name
from netstructer.signals import terminable

__all__ = ["Ask", "Wishes", "come_and_talk", "come_in"]

TRIES = 3
"""Names, and passwords, that one is asked for before it ends: who mistypes does so twice."""
PASSWORD_BYTES = 1024
"""Of a file with a password: what a password may have."""
_ASK_AGAIN = ("LoginFailed", "AccountExists", "InvalidName", "PasswordRefused")
"""What is refused and may be typed otherwise."""

Ask = Callable[..., str]
"""`ask(question, hidden=False)` returns what somebody types."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What whoever joins has asked for: see `join --help`."""

    name: str | None = None
    room: str | None = None
    recent: int | None = None
    recent_at_terminal: int = 0
    password_file: str | None = None
    register: bool = False
    invitation: str | None = None
    plain: bool = False
    stay: bool = False
    json: bool = False
    patience: float
    prompt_seconds: float
    connect_seconds: float
    server_identity: str | None = None
    cipher: CipherName = "fernet"


def come_and_talk(place: Address, key: Key, wishes: Wishes) -> None:
    """Connect, come in, and talk until it is over.  Raises what ended it, where it was not whoever talks."""
    if wishes.name is not None:
        written_name(wishes.name)
    password = None if wishes.password_file is None else _password_in(wishes.password_file)
    glass: Any = None
    ask: Ask | None = None
    if sys.stdin.isatty() and sys.stdout.isatty() and not (wishes.plain or wishes.json):
        from netstructer.cli.chat import terminal  # Imported late: it is an extra, and takes a quarter of a second.

        glass = terminal.Glass()
        ask = partial(terminal.ask, seconds=wishes.prompt_seconds)
    show = Paper(json=wishes.json).show if glass is None else glass.show
    recent = wishes.recent if wishes.recent is not None else wishes.recent_at_terminal if glass else 0
    link = Link(
        place,
        key=key,
        timeout=wishes.connect_seconds,
        limits=dataclasses.replace(Limits.SMALL, resume_seconds=wishes.patience),
        server_identity=wishes.server_identity,
        cipher=wishes.cipher,
    )
    with terminable(), link:
        visit = Visit(link, show, patience=wishes.patience, recent=recent)
        about = come_in(visit, wishes, password, ask)
        if about["greeting"]:
            show(Line(shown(about["greeting"]), "notice"), None)
        visit.join(wishes.room or about["room"])
        if glass is None:
            talk_piped(visit, stay=wishes.stay)
        else:
            terminal.talk(visit, glass)
    if visit.error is not None:
        raise _in_words(visit.error)
    if visit.refused and glass is None:
        lines = "line was" if visit.refused == 1 else "lines were"
        raise Misuse(f"{visit.refused} {lines} not said or done, as was told above")


def _in_words(error: Exception) -> Exception:
    """Return what ended a visit as it is told here."""
    if isinstance(error, LinkClosed):
        return LinkClosed("the server has said farewell: the chat is over")
    if isinstance(error, SessionLost):
        return SessionLost(f"the server is lost: {error}", unacknowledged=error.unacknowledged)
    return error


def come_in(visit: Visit, wishes: Wishes, password: str | None, ask: Ask | None) -> dict[str, Any]:
    """Log in where the server wants that, and enter; return what it says of its chat.

    Without `ask` nobody can be asked.  Raises `Misuse` where somebody would have to be, and what the server refuses.
    """
    about = visit.about()
    if about["login"] and about["known_as"] is None:
        _log_in(visit, wishes, password, ask)
        _enter(visit, None, None)
    else:
        _enter(visit, wishes.name, ask if about["known_as"] is None else None)
    return about


def _log_in(visit: Visit, wishes: Wishes, password: str | None, ask: Ask | None) -> None:
    """Log in, in at most three tries where somebody can be asked.  Raises what the server said to the last."""
    name = wishes.name
    if ask is None and (name is None or password is None):
        raise Misuse("this chat wants a login: expected --name and --password-file where nobody can be asked")
    for left in reversed(range(TRIES)):
        user = name if name is not None else _asked(ask, "name: ")
        secret = password if password is not None else _asked(ask, "password: ", hidden=True)
        try:
            if wishes.register:
                _register(visit, user, secret, wishes.invitation)
            else:
                visit.call("accounts.login", user, secret, kind=dict)
            return
        except RemoteError as error:
            if not left or ask is None or password is not None or error.name not in _ASK_AGAIN:
                raise
            stderr.print(why(error))
            name = None


def _asked(ask: Ask | None, question: str, **how: bool) -> str:
    assert ask is not None  # `_log_in` has seen to it
    return ask(question, **how)


def _register(visit: Visit, name: str, password: str | None, invitation: str | None) -> None:
    card = visit.call("accounts.register", name, password, invitation, kind=dict)
    if card.get("status") != "active":
        raise Misuse("the account was made, and has to be approved of before you can log in")


def _enter(visit: Visit, name: str | None, ask: Ask | None) -> None:
    """Enter; where somebody can be asked for a name, as what he says, in at most three tries."""
    for left in reversed(range(TRIES)):
        wish = name
        if wish is None and ask is not None:
            login = _login_name()
            wish = ask(f"name [{login}]: " if login else "name: ").strip() or login or None
        try:
            visit.enter(wish)
            return
        except RemoteError as error:
            if not left or ask is None or error.name not in ("NameTaken", "InvalidName"):
                raise
            stderr.print(why(error))
            name = None


def _login_name() -> str:
    """Return as whom one is logged in here, where that can be a name."""
    try:
        return written_name(getpass.getuser())
    except (NetstructerError, OSError, KeyError, ImportError):
        return ""


def _password_in(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(PASSWORD_BYTES + 2)
    line = content.partition(b"\n")[0].removesuffix(b"\r")
    if not line or len(line) > PASSWORD_BYTES:
        raise Misuse(f"expected a password of 1 to {PASSWORD_BYTES} bytes in the first line of {path}")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Misuse(f"expected a password in UTF-8 in the first line of {path}") from None
