"""`netstructer admin`, `users` and `serve --console`: real processes, real terminals, and what they exit with."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from admin_support import WORD, House, Terminal, house, terminal
from loopback import KEY, PATIENCE_SECONDS, eventually
from netstructer import Key, Link, Server
from netstructer.cli.app import app
from netstructer.cli.outcomes import ExitCode
from netstructer.cli.users import local_table
from netstructer.services.accounts import Accounts
from netstructer.services.admin import RESTART_CODE, TABLE, Admin
from netstructer.services.admin.kinds import Secret
from netstructer.services.audit_reader import AuditReader
from test_cli import finished, listening, run, start

STRONG = "correct-horse-77"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "there") as found:
        tmp_path.joinpath("password").write_text(WORD + "\n")
        yield found


def administer(there: House, *words: str, user: str | None = "anna") -> tuple[int, str, str]:
    """Run one command as a user; the password is in a file."""
    password = str(there.directory.parent / "password")
    who = () if user is None else ("--as", user, "--password-file", password)
    return run("admin", str(there.server.address), *who, *words, key=KEY)


# --- one command ------------------------------------------------------------------------------------------------------


def test_a_command_is_done_and_printed_for_people_or_as_json(there: House) -> None:
    code, out, err = administer(there, "status")
    assert (code, err) == (ExitCode.OK, "")
    assert re.search(r"^status +running$", out, re.MULTILINE)

    code, out, err = administer(there, "users", "list", "--json")
    assert [json.loads(line)["user"] for line in out.splitlines()] == ["anna", "bert", "cleo"]
    code, out, _ = administer(there, "ban", "bert", "--reason", "spam, twice", "--seconds=7d", "--json")
    assert (code, json.loads(out)["reason"]) == (ExitCode.OK, "spam, twice")
    code, out, _ = administer(there, "users", "export", "--json")
    rows = there.directory / "rows.jsonl"
    rows.write_text(out.replace("cleo", "dora"))
    code, out, _ = administer(there, "users", "import", str(rows))
    assert re.search(r"^dora +made$", out, re.MULTILINE)
    assert administer(there, "help", "users", "ban")[1].startswith("Ban an account")


def test_what_went_wrong_has_a_sentence_and_a_code(there: House) -> None:
    cases: list[tuple[str | None, tuple[str, ...], ExitCode, str]] = [
        (None, ("status",), ExitCode.REFUSED, "'admin.status'; sign in as somebody who has it: --as NAME"),
        ("bert", ("status",), ExitCode.REFUSED, "expected the permission 'admin.status'"),
        ("anna", ("users", "ban", "nobody"), ExitCode.USAGE, "there is no such account"),
        ("anna", ("users", "bann", "bert"), ExitCode.USAGE, "did you mean users ban?"),
        ("anna", ("users", "ban"), ExitCode.USAGE, "NAME is missing"),
        ("nobody", ("status",), ExitCode.REFUSED, "the name or the password was not accepted"),
        ("anna", ("links", "show", "0000"), ExitCode.USAGE, "there is no such link"),
        ("anna", ("users", "import", "nowhere"), ExitCode.USAGE, "nowhere: No such file or directory"),
    ]
    for user, words, expected, text in cases:
        code, out, err = administer(there, *words, user=user)
        assert (code, out) == (expected, ""), (words, err)
        assert text in err
        assert len(err.splitlines()) == 1

    code, _, err = run("admin", "127.0.0.1:9", "users", "bann", key=KEY)
    assert (code, "did you mean" in err) == (ExitCode.USAGE, True), "what is mistyped needs no server"


def test_a_password_is_asked_for_where_nobody_can_read_it(there: House) -> None:
    place = str(there.server.address)
    code, out, err = run("admin", place, "--as", "anna", "status", key=KEY)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "there is no terminal to ask for a password" in err
    process = start("admin", place, "--as", "anna", "status", key=KEY)
    assert finished(process)[0] == ExitCode.USAGE
    for command in ("admin", "users"):
        help_text = run(command, "--help")[1]
        assert "--password-file" in help_text
        assert not re.search(r"--password ", help_text)


def test_a_server_without_accounts_goes_by_keys() -> None:
    root = Key.generate()
    with Server(key={"root": root, "guest": KEY}) as server, Admin(server):
        server.actions.permit(lambda context, permission: context.user == "root")
        place = str(server.address)
        assert run("admin", place, "links", "list", key=root)[0] == ExitCode.OK
        assert run("admin", place, "links", "list", key=KEY)[0] == ExitCode.REFUSED
        code, _, err = run("admin", place, "--as", "ada", "status", key=root)
        assert (code, "has no accounts" in err) == (ExitCode.USAGE, True)
    with Server(key=KEY) as server:
        code, _, err = run("admin", str(server.address), "status", key=KEY)
        assert (code, "is not administered" in err) == (ExitCode.PEER, True)


def test_lines_through_a_pipe_are_commands(there: House) -> None:
    password = str(there.directory.parent / "password")
    place = str(there.server.address)
    for lines, expected in (
        ("uptime\nnonsense\nusers list admins\n", ExitCode.USAGE),
        ("uptime\nexit\nx\n", ExitCode.OK),
    ):
        process = start("admin", place, "--as", "anna", "--password-file", password, key=KEY, stdin=-1)
        code, out, err = finished(process, given=lines)
        assert (code, "uptime " in out) == (expected, True)
        assert ("1 of the commands failed" in err) == (expected == ExitCode.USAGE)


def test_no_option_of_the_command_hides_one_of_a_verb() -> None:
    import typer.main

    group = typer.main.get_command(app)
    for name, table in (("admin", TABLE), ("users", local_table())):
        ours = {option for found in group.commands[name].params for option in found.opts}  # type: ignore[attr-defined]
        theirs = {parameter.option for verb in table.values() for parameter in verb.parameters if parameter.is_option}
        assert ours & theirs == set()


# --- accounts in their file -------------------------------------------------------------------------------------------


def test_accounts_are_looked_after_in_their_file_while_it_is_open(tmp_path: Path) -> None:
    path, audit = tmp_path / "kept" / "accounts.db", tmp_path / "kept" / "audit.db"
    password = tmp_path / "password"
    password.write_text(STRONG)
    code, _, err = run("users", str(path), "list")
    assert (code, "first-admin NAME makes it" in err, path.exists()) == (ExitCode.USAGE, True, False)
    code, out, _ = run(
        "users", str(path), "first-admin", "Ada", "--password-file", str(password), "--audit", str(audit)
    )
    assert (code, STRONG in out) == (ExitCode.OK, False)
    code, _, err = run("users", str(path), "first-admin", "Eve", "--password-file", str(password))
    assert (code, "an admin already" in err) == (ExitCode.USAGE, True)

    with Accounts(path) as accounts:
        assert accounts.login("ada", STRONG).is_admin
        code, out, _ = run("users", str(path), "add", "bob", "--json")
        made = json.loads(out)["password"]
        assert accounts.login("bob", made).must_change
        assert run("users", str(path), "ban", "bob", "--reason", "spam", "--seconds", "1h")[0] == ExitCode.OK
        assert accounts.get("bob").status == "banned"
        assert run("users", str(path), "roles", "define", "reader", "admin.users.list")[0] == ExitCode.OK
        assert "reader" in accounts.roles()
        code, _, err = run("users", str(path), "demote", "ada")
        assert (code, "last admin" in err) == (ExitCode.USAGE, True)
        code, _, err = run("users", str(path), "list", "online")
        assert (code, "no server here" in err) == (ExitCode.USAGE, True)
    with AuditReader(str(audit)) as reader:
        rows = [(row.action, row.target, row.result) for row in reader.rows()]
        assert rows == [("account.first-admin", "ada", "ok"), ("admin.users.first-admin", "Ada", "ok")]
        assert reader.verify().sound


def test_the_verbs_of_the_file_are_those_of_the_table() -> None:
    table = local_table()
    secrets = [name for name, verb in table.items() if any(isinstance(one.kind, Secret) for one in verb.parameters)]

    assert {"list", "first-admin", "add", "reset", "ban", "roles.list", "invitations.add"} <= set(table)
    assert secrets == ["first-admin"]
    assert "status" not in table


# --- a whole server ---------------------------------------------------------------------------------------------------


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[tuple[object, str]]:
    """Serve with accounts, an audit and backups."""
    kept = directory / "kept"
    with Accounts(kept / "accounts.db") as accounts:
        accounts.first_admin("ada", STRONG)
    directory.joinpath("password").write_text(STRONG)
    told = ["--accounts", str(kept / "accounts.db"), "--set", f"audit.file={kept / 'audit.db'}"]
    told += ["--set", f"admin.backups_directory={kept / 'backups'}", "--set", "admin.supervised=true"]
    with listening("serve", "127.0.0.1:0", *told, "--log-dir", str(directory / "logs"), *arguments, key=KEY) as found:
        yield found


def test_a_server_is_administered_from_its_start_to_its_next_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--set", "admin.greeting=welcome") as (process, place):
        who = ("admin", place, "--as", "ada", "--password-file", str(tmp_path / "password"), "--json")

        def do(*words: str) -> list[dict[str, object]]:
            code, out, err = run(*who, *words, key=KEY)
            assert (code, err) == (ExitCode.OK, ""), words
            return [json.loads(line) for line in out.splitlines()]

        eventually(lambda: run(*who, "uptime", key=KEY)[0] == ExitCode.OK, "the administration")
        assert do("status")[0]["accounts"] == 1
        assert do("logs", "list")[0]["log"] == "server.log"
        assert do("config", "set", "logs.level", "debug")[0]["value"] == "debug"
        backup = str(do("backups", "make", "accounts")[0]["backup"])
        do("users", "add", "bob")
        do("backups", "restore", backup)
        assert [row["user"] for row in do("users", "list")] == ["ada"]
        assert do("backups", "make", "audit")
        with Link(place, key=KEY) as link:
            assert link.recv(timeout=PATIENCE_SECONDS)["text"] == "welcome"
            assert do("restart", "--seconds", "1", "--reason", "new code")[0]["told"] == 2
            assert [value["kind"] for value in link] == ["restart"]
        assert process.wait(PATIENCE_SECONDS) == RESTART_CODE  # type: ignore[attr-defined]
    code, out, _ = run("audit", "verify", str(tmp_path / "kept" / "audit.db"))
    assert (code, out.split()[0]) == (ExitCode.OK, "sound")
    with AuditReader(str(tmp_path / "kept" / "audit.db")) as reader:
        actions = [row.action for row in reader.rows()]
    assert (actions[0], actions[-1]) == ("server.start", "server.stop")
    assert {"link.open", "login", "admin.backups.restore", "account.restore", "admin.restart"} <= set(actions)


# --- terminals --------------------------------------------------------------------------------------------------------

needs_terminals = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")


def at_a_terminal(*arguments: str) -> Terminal:
    return Terminal([sys.executable, "-W", "error", "-m", "netstructer", *arguments], NETSTRUCTER_KEY=KEY.reveal())


@needs_terminals
def test_a_conversation_with_a_login_completion_and_messages(there: House) -> None:
    with terminal(at_a_terminal("admin", str(there.server.address))) as screen:
        screen.expect("user: ")
        screen.type("anna\r")
        screen.expect("password of anna: ")
        screen.type("wrong\r")
        screen.expect("not accepted")
        screen.expect("password of anna: ")
        screen.type(WORD + "\r")
        screen.expect("anna@")
        there.admin.acting("bert").message_all("tea is ready")
        screen.expect(r"\* message from bert: tea is ready")
        screen.type("users li\t")
        screen.expect("st")
        screen.type(" admins\r")
        screen.expect("anna +active")
        screen.expect("anna@")  # what is typed before the prompt is there is lost
        screen.type("users ban nobody\r")
        screen.expect("error: .*there is no such account")
        screen.expect("anna@")
        screen.type("exit\r")
        assert screen.process.wait(PATIENCE_SECONDS) == ExitCode.OK
        assert WORD not in screen.all
    assert ("anna", "127.0.0.1", "admin.users.list", "admins", "ok") in there.noted


@needs_terminals
def test_a_password_made_by_chance_is_changed_at_the_first_login(there: House) -> None:
    password = there.admin.add_user("dora", role=["admin"])["password"]
    with terminal(at_a_terminal("admin", str(there.server.address), "--as", "dora", "uptime")) as screen:
        for prompt, typed in (
            ("password of dora: ", password),
            ("former password: ", password),
            ("new password: ", STRONG),
            ("again; new password: ", STRONG),
        ):
            screen.expect(prompt)
            screen.type(typed + "\r")
        screen.expect("uptime")
        assert screen.process.wait(PATIENCE_SECONDS) == ExitCode.OK
    assert not there.accounts.login("dora", STRONG).must_change


@needs_terminals
@pytest.mark.parametrize(("typed", "code"), [("shutdown --seconds 1\r", 0), ("\x03", 130)], ids=["shutdown", "Ctrl-C"])
def test_a_server_has_a_console(tmp_path: Path, typed: str, code: int) -> None:
    told = ("serve", "127.0.0.1:0", "--console", "--accounts", str(tmp_path / "accounts.db"))
    with terminal(at_a_terminal(*told)) as screen:
        screen.expect("first-admin NAME")
        screen.expect("netstructer>")
        screen.type("status\r")
        screen.expect("running")
        screen.expect("netstructer>")
        screen.type(typed)
        assert screen.process.wait(PATIENCE_SECONDS) == code
