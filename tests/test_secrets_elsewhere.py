"""Secrets beside the life of a link: pairing, errors that name what is of unknown fate, files of ours, and commands.

As in test_secrets.py all loggers are heard at every level; whatever is shown is held to every spelling of each secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bombs_of_files import mark
from canary import Watch
from loopback import KEY, PATIENCE_SECONDS, eventually, linked, python
from netstructer import Key, Limits, Link, Server, errors
from netstructer.durable import Outbox, salvage
from netstructer.identity import Identity
from netstructer.known_servers import KnownServers
from netstructer.testing import ChaosProxy
from netstructer.user_keys import UserKeys
from test_secrets import MARKER

WRONG = "10-abbey-acorn"


def know(watch: Watch, name: str, key: Key) -> None:
    """Let a key be among the secrets, in all that it is."""
    watch.secret(f"{name} text", key.reveal())
    watch.secret(f"{name} raw", key._raw)
    watch.secret(f"{name} psk", key.psk)


@pytest.fixture
def watch() -> Iterator[Watch]:
    found = Watch()
    know(found, "key", KEY)
    found.secret("payload", MARKER)
    with found.watching():
        yield found
    assert len(found.seen) > 2, "nothing was looked at"
    # The frames of a program hold what it sends, and the code that it was given: locals may show those.
    assert found.leaks(but=("payload", "code")) == set()


# --- pairing ----------------------------------------------------------------------------------------------------------


def noted(function: Callable[..., Any], watch: Watch, name: str) -> Callable[..., Any]:
    """Return a function whose results, as far as they are bytes, are secrets."""

    def call(*arguments: Any, **options: Any) -> Any:
        found = function(*arguments, **options)
        for at, part in enumerate(found):
            watch.secret(f"{name} {len(watch.secrets)} {at}", part)
        return found

    return call


@pytest.mark.parametrize("wrong", [False, True])
def test_pairing_shows_no_code_and_no_key(
    watch: Watch, wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spake2")
    from netstructer.pairing import ceremony, hosting
    from test_pairing_sockets import Desk, Home

    monkeypatch.setattr(hosting, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(ceremony, "derive", noted(ceremony.derive, watch, "pairing"))
    before = len(watch.secrets)
    home = Home(tmp_path)
    with Desk(tmp_path) as desk:
        watch.secret("code", desk.code())
        watch.secret("identity", desk.identity._private)
        watch.object("pairing server", desk.server)
        if wrong:
            with pytest.raises(errors.WrongCode) as refused:
                home.pair(desk.address, WRONG)
            watch.error("wrong code", refused.value)
            desk.code(2)
        else:
            paired = home.pair(desk.address, desk.code(), user="ada")
            desk.ended()
            know(watch, "paired key", Key.load(home.key_path))
            for thing in (paired, desk.paired, desk.users, list(desk.users), home.known, list(home.known)):
                watch.object(type(thing).__name__, thing)
            watch.see("known servers", (tmp_path / "client" / "known_servers").read_bytes())
    for notice in desk.notices:
        watch.object(type(notice).__name__, notice)
    if desk.error is not None:
        watch.error("desk", desk.error)
    assert len(watch.secrets) >= before + 6, "the secrets of no pairing are known"


# --- errors and files -------------------------------------------------------------------------------------------------


def test_values_of_unknown_fate_are_named_and_not_shown(watch: Watch) -> None:
    with (
        Server(key=KEY) as server,
        Server(key=KEY) as another,
        ChaosProxy(server.address) as proxy,
        Link(proxy.address, key=KEY, limits=Limits(backlog_bytes=256 << 10)) as near,
        server.accept(timeout=PATIENCE_SECONDS) as far,
    ):
        proxy.down()
        eventually(lambda: near.suspended)
        sent = near.send({"secret": MARKER})
        with pytest.raises(errors.BacklogFull) as full:  # noqa: PT012  # one of them
            for _ in range(20):
                near.send(MARKER.encode() * 1500, compress=False, timeout=0.01)
        watch.error("backlog", full.value)
        watch.object("suspended link", near)
        proxy.target = another.address
        proxy.up()
        with pytest.raises(errors.SessionLost) as lost:
            near.recv(timeout=PATIENCE_SECONDS)
        watch.error("lost", lost.value)
        watch.object("unacknowledged", lost.value.unacknowledged)
        assert sent.id in lost.value.unacknowledged
        for thing in (near, near.stats, sent, far, server, another):
            watch.object(type(thing).__name__, thing)
        far.abort()


def test_an_outbox_that_is_damaged_shows_nothing(watch: Watch, tmp_path: Path) -> None:
    place, other = str(tmp_path / "outbox.db"), Key.generate()
    know(watch, "other key", other)
    with linked(durable=place) as (near, _):
        near.send({"secret": MARKER})
        watch.secret("outbox", near.outbox._secret)  # type: ignore[union-attr]
        near.close(timeout=0.1)
    with pytest.raises(errors.InvalidKey) as refused:
        Outbox(place, other)
    watch.error("another key", refused.value)
    with pytest.raises(errors.InvalidKey) as salvaging:
        salvage(place, other)
    watch.error("salvage with another key", salvaging.value)
    saved = salvage(place, KEY)
    assert len(saved.rows) == 1
    watch.object("salvage", saved)
    with Outbox(place, KEY) as outbox:
        watch.object("outbox", outbox)
    with contextlib.closing(sqlite3.connect(place)) as database, database:
        database.execute("UPDATE netstructer_rows SET sealed = substr(sealed, 1, 40)")
    with pytest.raises(errors.OutboxDamaged) as damaged:
        Outbox(place, KEY)
    watch.error("damaged", damaged.value)
    watch.object("salvage of the damaged", salvage(place, KEY))
    with contextlib.closing(sqlite3.connect(place)) as database, database:
        state = database.execute("SELECT state FROM netstructer_outbox").fetchone()[0]
        database.execute("UPDATE netstructer_outbox SET state = ?", (state[:-1] + bytes([state[-1] ^ 1]),))
    with pytest.raises(errors.OutboxDamaged) as rotted:
        Outbox(place, KEY)
    watch.error("rotted", rotted.value)
    Path(place + "-mark").write_bytes(2 * mark(1 << 40))
    with pytest.raises(errors.OutboxDamaged) as claims:
        salvage(place, KEY)
    watch.error("too many rows", claims.value)
    watch.files("outbox", tmp_path)


FILES: list[Callable[[str], object]] = [
    lambda place: list(UserKeys(place)),
    lambda place: Key.load(place),
    lambda place: Identity.load(place),
    lambda place: list(KnownServers(place)),
]


@pytest.mark.parametrize("read", FILES, ids=["users", "key", "identity", "known servers"])
def test_a_file_that_is_none_is_not_quoted(watch: Watch, read: Callable[[str], object], tmp_path: Path) -> None:
    identity = Identity.generate()
    watch.secret("identity", identity._private)
    identity.save(tmp_path / "identity")
    whole = (tmp_path / "identity").read_text().strip()
    texts = (KEY.reveal()[:-3], KEY.reveal() + "!", whole[:-2], whole + "!")
    forms = ("{}", '{{"user": "ann", "key": "{}"}}', "ann {}")
    for number, text in enumerate(form.format(text) for text in texts for form in forms):
        place = tmp_path / f"file{number}"
        place.write_text(text + "\n")
        place.chmod(0o600)
        with pytest.raises(errors.NetstructerError) as refused:
            read(str(place))
        if read is FILES[-1]:  # it holds no secrets: locals may show what a careless hand has put there
            watch.object("refused", refused.value)
        else:
            watch.error("refused", refused.value)


# --- commands ---------------------------------------------------------------------------------------------------------

COMMANDS = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from netstructer.cli.app import run
for command in json.loads(sys.argv[1]):
    sys.argv = ["netstructer", *command]
    code = run()
    sys.stdout.flush()
    print("ended", int(code), file=sys.stderr, flush=True)
"""
"""One command after the other, heard at every level.  Whoever started them sends Ctrl-C where one waits."""
HOSTS_SECRETS = "import logging, os; {}\n"


def command(
    watch: Watch, home: Path, *commands: tuple[str, ...], program: str = COMMANDS, waiting: tuple[int, ...] = ()
) -> list[int]:
    """Run commands in one process, interrupt those that wait for it, and return what they ended with."""
    environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "PYTHONWARNINGS": "error"}
    codes, said, left = [], "", set(waiting)
    with python("-c", program, json.dumps(commands), **environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if line.startswith("listening on") and len(codes) in left:
                # Once: where it is interrupted in the middle of saying so, it says so again.
                left.remove(len(codes))
                process.send_signal(signal.SIGINT)
            if line.startswith("ended"):
                codes.append(int(line.split()[1]))
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    watch.see("stderr", said)
    watch.see("stdout", out)
    assert "Traceback" not in said
    return codes


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows")
def test_no_command_shows_a_secret(watch: Watch, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    other, identity = Key.generate(), Identity.generate()
    know(watch, "other key", other)
    watch.secret("identity", identity._private)
    KEY.save(tmp_path / "key")
    identity.save(tmp_path / "identity")
    bad_key, bad_identity, bad_users = (tmp_path / name for name in ("bad key", "bad identity", "bad users"))
    bad_key.write_text(KEY.reveal()[:-3])
    bad_identity.write_text((tmp_path / "identity").read_text().strip()[:-2])
    bad_users.write_text("ann " + KEY.reveal() + "x\n")
    for place in (bad_key, bad_identity, bad_users):
        place.chmod(0o600)
    value = repr({"secret": MARKER})
    with Server(key=KEY, handler=lambda link: [None for _ in link]) as server, Server(key=other) as refuses:
        right, wrong = str(server.address), str(refuses.address)
        given = ("--key-file", str(bad_key))
        expected: list[tuple[int, tuple[str, ...]]] = [
            (0, ("send", right, value)),
            (3, ("send", wrong, value)),
            (3, ("send", right, value, *given)),
            (4, ("send", "127.0.0.1:1", value)),
            (2, ("send", right, "--file", str(tmp_path / "not there"))),
            (0, ("doctor", right)),
            (3, ("doctor", wrong, "--json")),
            (3, ("doctor", right, *given)),
            (3, ("put", str(tmp_path / "key"), wrong)),
            (3, ("get", wrong + "/x", str(tmp_path))),
            (3, ("ls", wrong, "--json")),
            (3, ("ls", right, *given)),
            (2, ("keygen", str(tmp_path / "key"))),
            (2, ("keygen", "--identity", str(tmp_path / "identity"))),
            (0, ("keygen", str(tmp_path / "new"))),
            (3, ("serve", "127.0.0.1:0", *given)),
            (3, ("serve", "127.0.0.1:0", "--identity", str(bad_identity))),
            (3, ("serve", "127.0.0.1:0", "--users", str(bad_users))),
            (4, ("serve", right)),
            (3, ("recv", "127.0.0.1:0", *given)),
            (5, ("recv", "127.0.0.1:0", "--timeout", "0.05")),
            (2, ("pair", right, "nonsense")),
            (4, ("chaos", right, wrong)),
            (130, ("serve", "127.0.0.1:0")),
            (130, ("recv", "127.0.0.1:0")),
        ]
        waiting = tuple(place for place, (code, _) in enumerate(expected) if code == 130)
        codes = command(watch, tmp_path, *(words for _, words in expected), waiting=waiting)
        know(watch, "new key", Key.load(tmp_path / "new"))
    assert codes == [code for code, _ in expected]


# --- sabotage: a leak that is planted is found ------------------------------------------------------------------------


def planted(watch: Watch) -> set[str]:
    return {channel.partition(":")[0] for _, channel in watch.leaks(but=("payload", "code"))}


@pytest.mark.parametrize(
    ("leak", "channel"),
    [
        ("print(os.environ['NETSTRUCTER_KEY'])", "stdout"),
        ("logging.basicConfig(level=0); logging.getLogger('x').debug(os.environ['NETSTRUCTER_KEY'])", "stderr"),
    ],
)
def test_a_leak_of_a_command_is_found(leak: str, channel: str, tmp_path: Path) -> None:
    watch = Watch()
    know(watch, "key", KEY)
    command(watch, tmp_path, program=HOSTS_SECRETS.format(leak))

    assert planted(watch) == {channel}


@pytest.mark.parametrize("shows", ["code", "key"])
def test_a_leak_of_pairing_is_found(shows: str) -> None:
    watch = Watch()
    know(watch, "key", KEY)
    watch.secret("code", WRONG)
    watch.object("notice", f"<CodeShown {WRONG}>" if shows == "code" else {"key": KEY.psk})

    assert planted(watch) == {"notice"}


@pytest.mark.parametrize("error", [errors.SessionLost, errors.BacklogFull, errors.OutboxDamaged, errors.InvalidKey])
def test_a_leak_of_an_error_is_found(error: type[errors.NetstructerError]) -> None:
    watch = Watch()
    watch.secret("payload", MARKER)
    leaking = error("the session is over")
    leaking.unacknowledged = ({"secret": MARKER},)  # type: ignore[attr-defined]
    watch.error("in the text", error(f"{MARKER} was not taken"))
    watch.object("in a field", vars(leaking))

    assert planted(watch) == {"in the text", "in a field"}
