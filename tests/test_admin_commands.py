"""Command lines of the administration: parsing, help, completion, what is printed, and consoles, in a terminal too."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_support import Terminal, house, terminal
from loopback import PATIENCE_SECONDS, ROOT, eventually
from netstructer.credentials import PASSWORD_VARIABLE
from netstructer.errors import Misuse
from netstructer.services.admin import TABLE, ConsoleThread, console
from netstructer.services.admin.shell import MOST_ROWS, Shell
from netstructer.services.admin.showing import json_lines, lines_of
from netstructer.services.admin.typed import read_secret
from netstructer.services.admin.verbs import Verb, verb
from netstructer.services.admin.wording import complete, help_of, parse

# --- the table --------------------------------------------------------------------------------------------------------


def test_every_row_of_the_table_says_what_it_is() -> None:
    for name, found in TABLE.items():
        assert found.help.endswith("."), name
        assert found.help[0].isupper(), name
        assert len(found.help) <= 110, name
        assert found.action == f"admin.{name}", name
        for parameter in found.parameters:
            assert parameter.kind.help, name
            assert parameter.kind.expected, name
    assert len(set(TABLE.aliases) | set(TABLE)) == len(TABLE.aliases) + len(TABLE)
    assert [found.name for found in TABLE.values() if found.here_only] == ["users.first-admin"]


def test_a_row_that_cannot_be_right_is_refused() -> None:
    def undocumented(self: Any) -> None: ...

    def unannotated(self: Any, name: str) -> None:
        """Do it."""

    for name, function in (("users.ban", undocumented), ("Users.Ban", unannotated), ("users.ban", unannotated)):
        with pytest.raises(Misuse):
            verb(name)(function)


def test_the_page_has_the_commands_of_the_table() -> None:
    spec = importlib.util.spec_from_file_location("draw_admin", ROOT / "docs" / "draw_admin.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "admin.md").read_text("utf-8")

    assert page == script.page(page), "python docs/draw_admin.py draws it anew"
    assert page.count("\n| `") == len(TABLE)


# --- parsing ----------------------------------------------------------------------------------------------------------

LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "status": ("status", {}),
    "users ban ada": ("users.ban", {"name": "ada"}),
    "users.ban ada": ("users.ban", {"name": "ada"}),
    "ban ada --reason 'spam, twice' --seconds 7d": (
        "users.ban",
        {"name": "ada", "reason": "spam, twice", "seconds": 604_800.0},
    ),
    "users ban --reason=x --seconds=90 ada": ("users.ban", {"name": "ada", "reason": "x", "seconds": 90.0}),
    "users ban -- --reason": ("users.ban", {"name": "--reason"}),
    "users add ada --role a --role b --by-key": ("users.add", {"name": "ada", "role": ["a", "b"], "by_key": True}),
    "roles define helper admin.status admin.links.*": (
        "roles.define",
        {"name": "helper", "permissions": ["admin.status", "admin.links.*"]},
    ),
    "users list banned": ("users.list", {"which": "banned"}),
    "users quota ada messages 1_000 --seconds 1h": (
        "users.quota",
        {"name": "ada", "quota": "messages", "most": 1000, "seconds": 3600.0},
    ),
    'links call 0123 add "[1, 2]"': ("links.call", {"link": "0123", "action": "add", "argument": [1, 2]}),
    "config set admin.greeting ''": ("config.set", {"name": "admin.greeting", "value": ""}),
    "maintenance on": ("maintenance", {"state": "on"}),
    "audit": ("users.statistics", {}),
    "users import -x.jsonl": ("users.import", {"rows": "-x.jsonl"}),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_a_verb_and_its_arguments(line: str) -> None:
    command = parse(line, TABLE)

    assert (command.verb.name, command.values) == LINES[line]


WRONG = {
    "": "help lists them",
    "nonsense": "no such command; help lists them",
    "user ban ada": "did you mean user",
    "users bann ada": r"did you mean users ban\?",
    "users xyzzy ada": r"; users list \| show",
    "users": r"; users list \| show",
    "stauts": "did you mean status",
    "users ban": r"NAME is missing; usage: users ban NAME \[--reason REASON\]",
    "users ban ada bob": "too many words; usage: users ban",
    "users ban ada --why x": "no such option; usage",
    "users ban ada --reson x": r"did you mean --reason\?",
    "users ban ada --reason": "--reason takes REASON",
    "users ban ada --seconds soon": "expected a time from",
    "users ban ada --reason a --reason b": "given twice",
    "users add ada --by-key=yes": "takes no value",
    "users list someday": "expected one of all, online",
    "users quota ada x many": "expected a whole number",
    "links call 0123 add {": "expected a value in JSON",
    "users ban 'ada": "quote is opened",
    "logs view --lines -1": "from 1 to 1,000",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_is_wrong_is_told_what_would_be_right(line: str) -> None:
    with pytest.raises(Misuse, match=WRONG[line]) as caught:
        parse(line, TABLE)
    assert str(caught.value).isprintable()


@given(st.text())
def test_any_line_is_a_command_or_a_misuse(line: str) -> None:
    try:
        command = parse(line, TABLE)
    except Misuse:
        return
    if not command.secrets and not command.files:
        command.verb.bind((), command.values)


@given(st.lists(st.sampled_from(sorted({word for name in TABLE for word in name.split(".")} | {"--json", "x", "--"}))))
def test_words_of_the_table_in_any_order_are_a_command_or_a_misuse(words: list[str]) -> None:
    with contextlib.suppress(Misuse):
        command = parse(words, TABLE)
        if not command.secrets and not command.files:
            command.verb.bind((), command.values)
    assert all(word.isprintable() for word in complete(" ".join(words), TABLE))


def test_a_password_is_no_word() -> None:
    command = parse("users first-admin ada", TABLE)

    assert [parameter.name for parameter in command.secrets] == ["password"]
    with pytest.raises(Misuse, match="too many words"):
        parse("users first-admin ada hunter2", TABLE)
    with pytest.raises(Misuse, match="no such option"):
        parse("users first-admin ada --password hunter2", TABLE)


# --- help and completion ----------------------------------------------------------------------------------------------


def test_help_lists_all_and_explains_each() -> None:
    listed = "\n".join(help_of([], TABLE))

    for found in TABLE.values():
        assert f"  {found.words} " in listed
        lines = help_of(found.words.split(), TABLE)
        assert lines[0] == found.help
        assert f"  {found.usage}" in lines
        assert f"permission: {found.action}" in lines
    assert [line.split("  ")[1] for line in help_of(["bans"], TABLE)[1:]] == ["bans list", "bans add", "bans remove"]
    assert help_of(["ban"], TABLE) == help_of(["users", "ban"], TABLE)
    with pytest.raises(Misuse):
        help_of(["nonsense"], TABLE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("us", ["usage", "users"]),
        ("users un", ["unban", "unbind", "unblock", "unlock", "unlock-source"]),
        ("users list b", ["banned", "blocked"]),
        ("users ban ada ", ["--reason", "--seconds"]),
        ("users ban ada --reason x --", ["--seconds"]),
        ("ban ada --se", ["--seconds"]),
        ("maintenance ", ["--reason", "off", "on"]),
        ("bans add ", ["--reason", "--seconds", "key", "network", "user"]),
        ("bans add user x --reason ", []),
        ("help bans a", ["add"]),
        ("ex", ["exit"]),
        ("users ban 'ad", []),
        ("nonsense ", []),
    ],
)
def test_completion_knows_what_may_come(text: str, expected: list[str]) -> None:
    assert complete(text, TABLE) == expected


# --- what is printed --------------------------------------------------------------------------------------------------


def test_rows_are_a_table_and_facts_are_pairs() -> None:
    rows = [
        {"user": "ada", "since": 0.0, "sent_bytes": 2048, "rtt_seconds": 0.0015, "suspended": False},
        {"user": "\x1b[31mbob", "since": None, "sent_bytes": 5, "rtt_seconds": None, "suspended": True},
    ]

    assert lines_of(rows) == [
        "user         since                 sent     rtt     suspended",
        "ada          1970-01-01T00:00:00Z  2.0 KiB  1.5 ms  no",
        "\\x1b[31mbob  -                     5 B      -       yes",
    ]
    facts = {"uptime_seconds": 100_000.0, "sent_bytes_per_second": 5e6, "roles": ["a", "b"], "quotas": [{"most": 5}]}
    assert lines_of(facts) == [
        "uptime     1 d 03:46:40",
        "sent rate  4.8 MiB/s",
        "roles      a, b",
        "quotas:",
        "  most",
        "  5",
    ]
    assert (lines_of(None), lines_of([]), lines_of(["a\nb"]), lines_of(5)) == ([], ["none"], ["a\\nb"], ["5"])


HOSTILE = [
    1 << 40_000,
    {"a": 1 << 40_000},
    "\u202e\x00",
    {"\x1b": {"x": {1, 2}}},
    float("nan"),
    b"\xff",
    [[], [[]]],
    [None],
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_what_a_client_returned_steers_no_terminal(number: int) -> None:
    for lines in (lines_of({"result": HOSTILE[number]}), json_lines({"result": HOSTILE[number]})):
        assert all(line.isprintable() for line in lines)
        assert len("".join(lines)) < 10_000


def test_json_is_one_object_for_each_row() -> None:
    assert json_lines([{"a": 1}, {"a": None}]) == ['{"a": 1}', '{"a": null}']
    assert json_lines({"a": {2, 1}}) == ['{"a": [1, 2]}']


# --- the shell --------------------------------------------------------------------------------------------------------


class Typist:
    """A shell, and what was asked for and printed."""

    def __init__(self, answer: Any = None, *, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.printed: list[str] = []
        self.answer, self.error = answer, error
        self.shell = Shell(TABLE, self.ask, write=self.printed.append, ask_secret=lambda prompt: "hunter2")

    def ask(self, verb: Verb, values: dict[str, Any]) -> Any:
        self.asked.append((verb.name, values))
        if self.error is not None:
            raise self.error
        return self.answer


def test_a_command_that_is_wrong_or_fails_prints_a_sentence_and_the_next_is_read() -> None:
    for error, text in (
        (Misuse("no\nsuch"), "error: no\\nsuch"),
        (OSError(2, "No such file"), "error: No such file"),
        (ZeroDivisionError("secret"), "error: this is a fault in netstructer, please report it: ZeroDivisionError"),
    ):
        typist = Typist(error=error)
        assert typist.shell.obey("status")
        assert typist.printed == [text]
    typist = Typist({"a": 1})
    assert all(typist.shell.obey(line) for line in ("'", "nonsense", "", "# a note", "status", "help nonsense"))
    assert [line for line in typist.printed if not line.startswith("error: ")] == ["a  1"]
    assert not typist.shell.obey("exit")
    assert not typist.shell.obey("quit")


def test_words_of_the_shells_own() -> None:
    typist = Typist({"a": 1})
    for line in ("json", "status", "json off", "status --json", "status", "users ban --help", "clear", "json maybe"):
        typist.shell.obey(line)

    assert typist.printed[:3] == ['{"a": 1}', '{"a": 1}', "a  1"]
    assert "permission: admin.users.ban" in typist.printed
    assert typist.printed[-2:] == ["\x1b[2J\x1b[H", "error: expected json on, or json off"]


def test_a_secret_is_asked_for_and_a_file_is_read_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text("".join(json.dumps({"user": f"u{number}"}) + "\n\n" for number in range(MOST_ROWS + 1)))
    typist = Typist([])
    typist.shell.obey("users first-admin ada")
    typist.shell.obey(f"users import {file}")

    assert typist.asked[0] == ("users.first-admin", {"name": "ada", "password": "hunter2"})
    assert [len(values["rows"]) for _, values in typist.asked[1:]] == [MOST_ROWS, 1]
    for content in ("[1]", "{", "5", "[" * 100_000, "x" * (1 << 21)):
        file.write_text(content)
        typist.shell.obey(f"users import {file}")
        assert typist.printed[-1].startswith("error: line 1: expected")
    typist.shell.obey(f"users import {tmp_path / 'none'}")
    assert typist.printed[-1].endswith("No such file or directory")


def test_what_streams_is_printed_as_it_comes() -> None:
    typist = Typist(iter([{"user": "a"}, {"user": "b"}]))
    typist.shell.obey("users export --json")
    assert typist.printed == ['{"user": "a"}', '{"user": "b"}']


def test_passwords_come_from_a_file_a_variable_or_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    for content, expected in ((b"hunter2\n", "hunter2"), (b"\xef\xbb\xbfp\xc3\xa4ss\r\n", "päss"), (b" x ", " x ")):
        file.write_bytes(content)
        assert read_secret("", file=str(file)) == expected
    for wrong in (b"", b"\n", b"a\nb\n", b"\xff", b"x" * 5000):
        file.write_bytes(wrong)
        with pytest.raises(Misuse, match="one line"):
            read_secret("", file=str(file))
    monkeypatch.setenv(PASSWORD_VARIABLE, "from there")
    assert read_secret("") == "from there"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))
    with pytest.raises(Misuse, match="no terminal"):
        read_secret("")


# --- consoles ---------------------------------------------------------------------------------------------------------


def test_a_console_reads_what_is_piped_to_its_end(tmp_path: Path) -> None:
    with house(tmp_path) as there:
        printed = io.StringIO()
        console(there.admin, stdin=io.StringIO("uptime\nnonsense\nusers list admins\nexit\nstatus\n"), stdout=printed)
        lines = printed.getvalue().splitlines()
        console(there.admin, stdin=io.StringIO("users ban bert"), stdout=printed)

        assert lines[1].startswith("uptime ")
        assert "error: there is no such command; help lists them" in lines
        assert lines[-1].startswith("anna")
        assert not any("status" in line and "running" in line for line in lines)
        assert there.accounts.get("bert").status == "banned"
        assert [row[:3] for row in there.noted] == [
            ("console", "", "admin.uptime"),
            ("console", "", "admin.users.list"),
            ("console", "", "admin.users.ban"),
        ]


def test_a_console_runs_beside_the_program_and_ends_with_it(tmp_path: Path) -> None:
    with house(tmp_path) as there:
        reading, writing = os.pipe()
        with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as typed:
            printed = io.StringIO()
            thread = ConsoleThread(there.admin, stdin=stdin, stdout=printed)
            thread.start()
            typed.write("uptime\nshutdown\n")
            typed.flush()
            eventually(lambda: there.left == [("shutdown", 5.0)])
            thread.join(PATIENCE_SECONDS)
            thread.close()
            assert not thread.is_alive()


PROGRAM = """
import sys
if {missing}:
    sys.modules["prompt_toolkit"] = None
from netstructer import Key, Server
from netstructer.services.admin import Admin, ConsoleThread
server = Server(key=Key.generate())
with server, Admin(server, leave=lambda how, seconds: server.close(drain=seconds)) as admin:
    thread = ConsoleThread(admin)
    thread.start()
    try:
        server.serve_forever()
    finally:
        thread.close()
print("the end", admin.leaving, flush=True)
"""


def program(missing: bool) -> Terminal:
    return Terminal([sys.executable, "-W", "error", "-c", PROGRAM.format(missing=missing)])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize("missing", [False, True], ids=["prompt_toolkit", "input"])
def test_a_console_in_a_terminal(missing: bool) -> None:
    with terminal(program(missing)) as screen:
        screen.expect("netstructer>")
        screen.type("uptime\r")
        screen.expect(r"uptime +\d")
        screen.expect("netstructer>")
        screen.type("nonsense\r")
        screen.expect("error: there is no such command.*")
        screen.expect("netstructer>")
        screen.type("upt\t")
        screen.expect("uptime")
        screen.type("\r")
        screen.expect(r"started +\d")
        screen.expect("netstructer>")
        screen.type("shutdown --seconds 1\r")
        screen.expect("the end shutdown")
        assert screen.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_ctrl_c_at_a_console_ends_the_server_as_without_one() -> None:
    with terminal(program(False)) as screen:
        screen.expect("netstructer>")
        screen.type("\x03")
        screen.expect("the end ")
        assert screen.process.wait(PATIENCE_SECONDS) == 0
