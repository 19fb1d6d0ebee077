"""`netstructer pair`: from nothing to a working, pinned link, by a code that is read out.  Floor: ROOF.

Law: the screen says at each moment which end has to do what; what it says last can be typed as it stands.
"""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from typing import Annotated

import typer

from netstructer.address import Address, parse_address
from netstructer.cli.options import DEFAULT_PORT, Json, listening_place
from netstructer.cli.outcomes import command, name_of, sentence_of
from netstructer.cli.screen import print_json, stderr, stdout
from netstructer.credentials import FILE_VARIABLE, KEY_VARIABLE, default_key_path, find_identity
from netstructer.errors import InvalidAddress, LinkTimeout, Misuse, WrongCode
from netstructer.identity import Identity
from netstructer.lan import addresses_for_clients
from netstructer.pairing.desk import CODE_SECONDS
from netstructer.pairing.frames import check_user
from netstructer.pairing.hosting import CodeDied, CodeShown, Notice, PairingServer, Waiting
from netstructer.pairing.visiting import PAIR_SECONDS
from netstructer.pairing.visiting import pair as pair_with
from netstructer.user_keys import UserKeys, default_user_keys_path

__all__ = ["pair"]

PAIRING_PORT = 5001
"""Beside the server's own, which may be running."""
EVERYWHERE = f"0.0.0.0:{PAIRING_PORT}"


@command
def pair(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST[:PORT]",
            help=f"The machine that shows the code; port {PAIRING_PORT} unless you say so.  With --listen: where to "
            f"wait; {EVERYWHERE} unless you say so.",
            show_default=False,
        ),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CODE", help="As in 47-guitar-orbit; asked for where it is left out.", show_default=False
        ),
    ] = None,
    listen: Annotated[bool, typer.Option("--listen", help="At the server: show a code, and wait.")] = False,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the server calls the client; with --listen, whatever the client asks for.  "
            "[default: the client's login name]",
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT",
            help="With --listen: where `serve` can be reached; without a host, the one that the client calls here.",
        ),
    ] = str(DEFAULT_PORT),
    users: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="With --listen: the file of users' keys that the new key goes into.  [default: the one of serve]",
            show_default=False,
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="PATH",
            help="With --listen: the server's identity.  [default: the default identity file, made if it is missing]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help=f"How long to wait: for somebody with the code ({CODE_SECONDS:.0f}), or for the server "
            f"({PAIR_SECONDS:.0f}).",
            show_default=False,
        ),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file",
            metavar="PATH",
            help="At the client: keep the key here, or beside it if it is there.  [default: the default key file]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Give a client a key of its own, and the client the server's fingerprint: by a code that is read out.

    At the server: pair --listen.  It shows a code.  At the client, within two minutes: pair HOST CODE.  Then both have
    what they need: a fresh key here and in the server's file of users, and the server pinned here.  A running `serve`
    takes the new user at once.  A code can be tried once; after three wrong ones it stops.
    """
    if user is not None:
        check_user(user)
    if listen:
        if code or key_file is not None:
            raise Misuse("--listen goes with no CODE and no --key-file: it shows a code, and makes the key")
        _listen(address or EVERYWHERE, user, server, users, identity, timeout or CODE_SECONDS, json)
        return
    if address is None:
        raise Misuse("expected --listen at the server, or at the client: pair HOST CODE")
    if users is not None or identity is not None:
        raise Misuse("--users and --identity go with --listen")
    place = parse_address(address, default_port=PAIRING_PORT)
    if not place.host or not place.port:
        raise InvalidAddress("expected HOST or HOST:PORT, as in 192.168.1.5")
    _visit(place, " ".join(code) if code else _asked(), user, key_file, timeout or PAIR_SECONDS, json)


def _visit(place: Address, code: str, user: str | None, key_file: str | None, timeout: float, json: bool) -> None:
    wanted = default_key_path() if key_file is None else key_file
    paired = pair_with(place, code, user=user or _login(), key_path=wanted, timeout=timeout)
    variable = next((name for name in (KEY_VARIABLE, FILE_VARIABLE) if os.environ.get(name, "").strip()), None)
    found = key_file is None and variable is None and paired.key_path == wanted
    choice = "" if found else f" --key-file {shlex.quote(paired.key_path)}"
    usage = f"netstructer send {paired.server} \"'hello'\"{choice}"
    if json:
        facts = {"user": paired.user, "server": str(paired.server), "identity": paired.identity}
        print_json(facts | {"key_file": paired.key_path, "fingerprint": paired.fingerprint, "usage": usage})
        return
    stdout.print(f"paired      as {paired.user} with {paired.server}")
    stdout.print(f"server      {paired.identity}, pinned")
    stdout.print(f"key         {paired.fingerprint} in {paired.key_path}")
    if paired.key_path != os.path.abspath(wanted):
        stderr.print(f"{wanted} was there already and was left as it is: this key is used with --key-file")
    elif variable is not None and key_file is None:
        stderr.print(f"{variable} is set, and goes before that file: this key is used with --key-file")
    stderr.print(f"now: {usage}")


def _listen(
    address: str,
    user: str | None,
    server: str,
    users: str | None,
    identity: str | None,
    timeout: float,
    json: bool,
) -> None:
    place = _waiting_place(address)
    target = _server_place(server)
    path = users or default_user_keys_path()
    if path is None:
        raise Misuse("no home directory to keep users' keys in: name a file with --users")
    known = find_identity(identity or True)
    assert isinstance(known, Identity)
    with PairingServer(
        place,
        users=UserKeys(path),
        identity=known,
        host=target.host,
        port=target.port,
        user=user,
        code_seconds=timeout,
    ) as waiting:
        if json:
            facts = {"event": "listening", "host": waiting.address.host, "port": waiting.address.port}
            print_json(facts | {"identity": known.fingerprint})
        screen = _Screen(waiting.address, json=json)
        try:
            paired = waiting.wait(screen.show)
        except LinkTimeout as error:
            raise LinkTimeout(f"{error}; begin again for another one") from None
        finally:
            screen.stop()
    options = {"--users": users, "--identity": identity}
    chosen = "".join(f" {name} {shlex.quote(given)}" for name, given in options.items() if given)
    usage = f"netstructer serve 0.0.0.0:{target.port}{chosen}"
    if json:
        facts = {"event": "paired", "user": paired.user, "peer": str(paired.peer)}
        print_json(facts | {"fingerprint": paired.fingerprint, "users": path, "usage": usage})
        return
    stdout.print(f"paired      {paired.user}, at {paired.peer.host}")
    stdout.print(f"key         {paired.fingerprint} in {path}")
    stderr.print(f"now, unless it runs already: {usage}")


class _Screen:
    """What is seen at the server while it waits."""

    def __init__(self, bound: Address, *, json: bool) -> None:
        self._json = json
        place = addresses_for_clients(bound)[0]
        self._place = place.host if place.port == PAIRING_PORT and ":" not in place.host else str(place)
        self._status = stderr.status("") if stderr.is_terminal and not json else None

    def show(self, notice: Notice) -> None:
        """Show what has happened."""
        match notice:
            case Waiting(seconds=seconds):
                if self._status is not None:
                    self._status.update(f"waiting for {int(seconds) // 60}:{int(seconds) % 60:02} more")
                return
            case CodeShown(code=code, seconds=seconds):
                self.stop()
                if self._json:
                    print_json({"event": "code", "code": code, "seconds": seconds})
                else:
                    stdout.print(f"code        {code}")
                    typed = f"netstructer pair {self._place} {code}"
                    stderr.print(f"at the other machine, within {seconds:g} seconds: {typed}")
            case CodeDied(peer=peer, error=error):
                self.stop()
                if self._json:
                    facts = {"event": "failed", "peer": str(peer), "error": name_of(error)}
                    print_json(facts | {"text": sentence_of(error)})
                else:
                    dead = "" if isinstance(error, WrongCode) else ", after the right code; it is dead"
                    stderr.print(f"note: {peer.host}: {sentence_of(error)}{dead}", style="yellow")
        if self._status is not None:
            self._status.start()

    def stop(self) -> None:
        """Take the running line off the screen."""
        if self._status is not None:
            self._status.stop()


def _waiting_place(text: str) -> Address:
    """Read `HOST[:PORT]`, or a port alone for all networks.  Raises `InvalidAddress`."""
    whole = f"0.0.0.0:{text}" if text.isascii() and text.isdigit() else text
    return parse_address(whole, default_port=PAIRING_PORT)


def _server_place(text: str) -> Address:
    """Read `[HOST:]PORT`; no host is the one that the client calls.  Raises `InvalidAddress`."""
    place = Address("", int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else listening_place(text)
    if not 1 <= place.port <= 65535:
        raise InvalidAddress("expected --server as PORT or HOST:PORT, with a port from 1 to 65535")
    return place


def _asked() -> str:
    """Return the code that somebody types now."""
    stderr.print("code: ", end="")
    return sys.stdin.readline().strip()


def _login() -> str | None:
    """Return the login name, where it can be a user's name."""
    try:
        return check_user(getpass.getuser())
    except (Misuse, OSError, KeyError, ImportError):
        return None
