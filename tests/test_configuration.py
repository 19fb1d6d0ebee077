"""What a server is told: from files, variables and the command line to values, each with where it is from."""

from __future__ import annotations

import inspect
import json
import os
import re
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopback import KEY
from netstructer import Key, Limits, Link, Server
from netstructer.errors import InvalidConfiguration, MissingKey, Misuse
from netstructer.lan import lan_address
from netstructer.services.configuration import (
    SECTIONS,
    Configuration,
    Given,
    Option,
    Section,
    Sections,
    Value,
    listening_places,
    load,
    server_options,
    write_example,
    write_json,
    write_shown,
    write_toml,
)
from netstructer.services.configuration.document import MOST_FILE_BYTES, MOST_LINE_CHARACTERS, parse_document
from netstructer.services.configuration.limit_table import limits_of
from netstructer.services.configuration.option import MOST_ITEMS, MOST_PATH, MOST_TEXT, holds_secret, parse_ports
from netstructer.services.configuration.origin import MOST_PROBLEMS
from netstructer.services.configuration.units import UNITS, parse_amount, shown_amount, write_amount
from netstructer.services.configuration.writing import toml_value

KEY_TEXT = KEY.reveal()
EVERY_KIND = Sections(
    (
        Section(
            name="all",
            help="One option of each kind.",
            options=(
                Option(name="flag", kind="flag", help="A flag."),
                Option(name="whole", kind="whole", least=-(2**62), most=2**62, help="A whole number."),
                Option(name="bytes", kind="whole", unit="bytes", least=0, most=2**62, help="Bytes."),
                Option(name="number", kind="number", unit="seconds", least=-1e9, most=1e9, help="A number."),
                Option(name="text", kind="text", help="A text."),
                Option(name="path", kind="path", help="A path."),
                Option(name="choice", kind="choice", choices=("one", "two"), help="A choice."),
                Option(name="list", kind="list", help="Texts."),
                Option(name="ports", kind="ports", help="Ports."),
            ),
        ),
    )
)


def configured(tmp_path: Path, text: str, *, name: str = "server.toml", **more: Any) -> Configuration:
    """Return what a file says, and nothing else unless it is given."""
    place = tmp_path / name
    place.write_text(text, encoding="utf-8")
    return load(place, **{"environ": {}, **more})


def problems(tmp_path: Path, text: str, **more: Any) -> list[str]:
    """Return what is wrong with a file, without its path."""
    with pytest.raises(InvalidConfiguration) as caught:
        configured(tmp_path, text, **more)
    assert str(caught.value.problems[0]) in str(caught.value)
    return [str(problem).replace(f"{tmp_path}{os.sep}", "") for problem in caught.value.problems]


# --- the order of strength --------------------------------------------------------------------------------------------


def test_the_stronger_origin_counts_and_is_kept(tmp_path: Path) -> None:
    text = "[server]\nport = 1\nmax_links = 1\ncompress = false\n"
    environ = {"NETSTRUCTER_SERVER_PORT": "2", "NETSTRUCTER_SERVER_MAX_LINKS": "2", "HOME": "/"}

    found = configured(tmp_path, text, environ=environ, command_line=[Given("server.port", "3", "--set")])
    origins = {name: str(found.origins[f"server.{name}"]) for name in ("port", "max_links", "compress", "host")}

    assert found.section("server")["port"] == 3
    assert (found["server.max_links"], found["server.compress"], found["server.host"]) == (2, False, "127.0.0.1")
    assert origins == {
        "port": "--set",
        "max_links": "the variable NETSTRUCTER_SERVER_MAX_LINKS",
        "compress": f"{tmp_path / 'server.toml'}, line 4",
        "host": "default",
    }
    assert set(found.given()) == {"server.port", "server.max_links", "server.compress"}
    assert repr(found) == f"<Configuration {tmp_path / 'server.toml'}, 3 options given>"


def test_without_anything_all_is_as_it_is_by_default() -> None:
    found = load(environ={})

    assert found.given() == {}
    assert (found.path, found.notes) == (None, ())
    assert limits_of(found.section("limits")) == Limits.DEFAULT
    assert set(found.values) == set(SECTIONS.options)


def test_an_empty_variable_says_nothing_and_reserved_ones_say_something_else() -> None:
    environ = {"NETSTRUCTER_SERVER_PORT": " ", "NETSTRUCTER_KEY": KEY_TEXT, "NETSTRUCTER_KEY_FILE": "x"}
    environ |= {"NETSTRUCTER_PURE": "1", "NETSTRUCTER_CONFIG": "y", "NETSTRUCTER_OF_A_STRANGER": "z"}

    assert load(environ=environ).given() == {}
    assert load(environ=environ).notes == ()


def test_texts_of_variables_become_what_the_option_is() -> None:
    environ = {
        "NETSTRUCTER_LIMITS_VALUE_BYTES": "64 MiB",
        "NETSTRUCTER_LIMITS_PING_SECONDS": "1.5",
        "NETSTRUCTER_LIMITS_RESUME_SECONDS": "2 min",
        "NETSTRUCTER_LIMITS_EXEMPT_NETWORKS": "10.0.0.0/8, ::1/128",
        "NETSTRUCTER_SERVER_STEALTH": "Yes",
        "NETSTRUCTER_SERVER_COMPRESS": "0",
        "NETSTRUCTER_SERVER_PORT_RANGE": "8000-8500",
    }
    found = load(environ=environ)

    assert [found[SECTIONS.variables[name]] for name in environ] == [
        *(64 << 20, 1.5, 120.0, ("10.0.0.0/8", "::1/128"), True, False, "8000-8500")
    ]


@pytest.mark.parametrize(("name", "variable"), [(name, variable) for variable, name in SECTIONS.variables.items()])
def test_every_option_has_one_variable(name: str, variable: str) -> None:
    assert SECTIONS.variable(name) == variable
    assert variable == "NETSTRUCTER_" + name.replace(".", "_").upper()


# --- files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    values: dict[str, Value] = {
        "server.port": 7,
        "server.identity": "/i",
        "limits.value_bytes": 64 << 20,
        "limits.exempt_networks": ("10.0.0.0/8",),
        "files.stall_seconds": 2.5,
        "logs.json": True,
    }

    assert configured(tmp_path, write_toml(values)).given() == values
    assert configured(tmp_path, write_json(values), name="server.JSON").given() == values
    assert '"64 MiB"' in write_toml(values)
    assert write_toml({"server.port": None}) == ""


def texts() -> st.SearchStrategy[str]:
    printable = st.characters(
        exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"], include_characters=" "
    )
    return st.text(printable, min_size=1, max_size=30).filter(str.isprintable)


PORTS = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda ends: f"{min(ends)}-{max(ends)}")
KINDS: dict[str, st.SearchStrategy[Value]] = {
    "all.flag": st.booleans(),
    "all.whole": st.integers(-(2**62), 2**62),
    "all.bytes": st.one_of(st.integers(0, 2**62), st.integers(0, 2**20).map(lambda n: n << 20)),
    "all.number": st.floats(-1e9, 1e9),
    "all.text": texts(),
    "all.path": texts().map(lambda text: f"{os.sep}{text}"),
    "all.choice": st.sampled_from(["one", "two"]),
    "all.list": st.lists(texts(), max_size=5).map(tuple),
    "all.ports": PORTS,
}
ANY_VALUES = st.fixed_dictionaries({}, optional=KINDS)


@settings(max_examples=60)
@given(ANY_VALUES)
def test_whatever_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Value]) -> None:
    for write, name in ((write_toml, "a.toml"), (write_json, "a.json")):
        text = write(values, sections=EVERY_KIND)
        document = parse_document(text.encode(), name)
        read = {
            f"{section}.{option}": EVERY_KIND.options[f"{section}.{option}"].read(found)
            for section, table in document.tables.items()
            for option, found in table.items()
        }
        lines = text.split("\n")

        assert read == values
        for full in values:
            section, _, option = full.partition(".")
            assert lines[document.lines.of(section, option) - 1].strip(' "').startswith(option)


@settings(max_examples=40)
@given(st.data())
def test_whatever_the_real_tables_take_is_read_again_from_a_file(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(sorted(SECTIONS.options)), unique=True, max_size=8))
    together = {"server.lan", "files.read_only", "limits.dead_seconds", "limits.ping_seconds", "limits.profile"}
    together |= {"audit.anchor"}
    values = {name: data.draw(of_option(SECTIONS.options[name])) for name in chosen if name not in together}
    place = Path(os.environ["HOME"]) / data.draw(st.sampled_from(["c.toml", "c.json"]))
    place.write_text((write_json if place.suffix == ".json" else write_toml)(values), encoding="utf-8")

    assert load(place, environ={}).given() == values
    environ = {SECTIONS.variable(name): as_text(value) for name, value in values.items()}
    assert load(environ=environ).given() == {name: value for name, value in values.items() if value != ()}


def of_option(option: Option) -> st.SearchStrategy[Value]:
    """Give values of a real option."""
    match option.kind:
        case "flag":
            return st.booleans()
        case "whole":
            return st.integers(int(option.least or 0), int(option.most or 0))
        case "number":
            return st.floats(option.least, option.most)
        case "choice":
            return st.sampled_from(option.choices)
        case "ports":
            return PORTS
        case "list":
            return st.lists(st.sampled_from(["10.0.0.0/8", "::1", "192.0.2.0/24"]), max_size=3).map(tuple)
        case "path":
            return st.text("abc/.-", min_size=1, max_size=9).map(lambda text: f"/{text}")
    return st.sampled_from(["localhost", "::1", "10.0.0.1"])


def as_text(value: Value) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_paths_in_a_file_are_taken_from_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    place = tmp_path / "etc" / "server.toml"
    place.write_text(
        '[server]\nkey_file = "key"\nidentity = "default"\nbans_file = "~/bans"\n[files]\ndirectory = "/srv"\n'
    )
    monkeypatch.chdir(tmp_path)

    found = load(os.path.join("etc", "server.toml"), environ={"NETSTRUCTER_SERVER_USERS_FILE": "users"})

    assert found["server.key_file"] == str(tmp_path / "etc" / "key")
    assert found["server.identity"] == "default"
    assert found["server.bans_file"] == os.path.expanduser("~/bans")
    assert found["server.users_file"] == "users"
    assert found["files.directory"] == "/srv"


def test_the_names_of_predecessors_are_understood_and_said_anew(tmp_path: Path) -> None:
    old = {"server_ip": "0.0.0.0", "server_port": 5001, "buffer_size": 4096, "max_clients": 10}

    found = configured(tmp_path, json.dumps(old), name="config.json")

    assert found.given() == {
        "server.host": "0.0.0.0",
        "server.port": 5001,
        "limits.body_bytes": 4096,
        "server.max_links": 10,
    }
    assert [note.partition(": ")[2] for note in found.notes] == [
        "server_ip is called server.host here",
        "server_port is called server.port here",
        "buffer_size is called limits.body_bytes here",
        "max_clients is called server.max_links here",
    ]
    twice = problems(tmp_path, "server_port = 1\nmax_clients = 2\n[server]\nport = 1\n[limits]\n")
    assert twice == ["server.toml, line 4: server.port: was given already, under the name of a predecessor"]
    later = problems(tmp_path, '{"server": {"port": 1},\n"server_port": 2}', name="c.json")
    assert later == ["c.json, line 2: server.port: was given already, and is given again as server_port"]


# --- what is wrong ----------------------------------------------------------------------------------------------------

WRONG = {
    "port = 5": "line 1: port: there is no such option; did you mean server.port?",
    "\n[sever]\nport = 5": "line 2: sever: there is no such section; did you mean server?",
    "[server]\n\nmax_link = 5": "line 3: server.max_link: there is no such option; did you mean max_links?",
    "[server]\nvalue_bytes = 5": "line 2: server.value_bytes: there is no such option; did you mean "
    "limits.value_bytes?",
    "[qqq]\na = 1": "line 1: qqq: there is no such section",
    "server = 5": "line 1: server: expected a section with options, found a value",
    "[[server]]\nport = 5": "line 1: server: expected a section with options, found a value",
    "[server]\nport = 70000": "line 2: server.port: found 70000; expected a whole number from 0 to 65,535",
    "[server]\nport = 5.0": "line 2: server.port: found 5.0; expected a whole number from 0 to 65,535",
    "[server]\nport = true": "line 2: server.port: found true; expected a whole number from 0 to 65,535",
    "[server]\nport = '5 s'": "line 2: server.port: found the unit s; none may follow the number; expected a whole "
    "number from 0 to 65,535",
    "[server]\nport = ''": "line 2: server.port: found an empty text, no number; expected a whole number",
    "[server]\nstealth = 1": "line 2: server.stealth: found 1; expected true or false",
    "[server]\nstealth = 'yes'": "line 2: server.stealth: found the text 'yes'; expected true or false",
    "[server]\nhost = '192.168.1.256'": "line 2: server.host: found the text '192.168.1.256'; expected an IP address",
    "[server]\nhost = '0.0.0.0:5000'": "line 2: server.host: found the text '0.0.0.0:5000'; expected an IP address",
    "server_ip = '1.2.3'": "line 1: server.host: found the text '1.2.3'; expected an IP address",
    "[server]\nhost = 5": "line 2: server.host: found 5; expected a text",
    "[server]\nhost = 'a b'": "line 2: server.host: found the text 'a b'; expected a host without spaces",
    '[server]\nhost = "a\\nb"': "line 2: server.host: found a control character, or one that is no Unicode",
    "[server]\ncipher = 'rot13'": "line 2: server.cipher: found the text 'rot13'; expected fernet or aes-256-gcm",
    "[server]\npadding = 'some'": "line 2: server.padding: found the text 'some'; expected none, bucket or full",
    "[server]\nport_range = '9-8'": "line 2: server.port_range: expected a range of ports from 1 to 65535",
    "[server]\nport_range = 8000": "line 2: server.port_range: found 8000; expected a range of ports, as in 8000-8500",
    "[server]\nmax_links = 2020-01-01": "line 2: server.max_links: found a date or time; expected a whole number",
    "[server]\nmax_links = [1]": "line 2: server.max_links: found a list; expected a whole number",
    "[server]\nmax_links.a = 1": "line 2: server.max_links: found a table; expected a whole number",
    f"[server]\nmax_links = {'9' * 30}": "line 2: server.max_links: found a whole number of more than 20 digits",
    "[limits]\nping_seconds = nan": "line 2: limits.ping_seconds: found no finite number; expected a number of seconds",
    "[limits]\nping_seconds = inf": "line 2: limits.ping_seconds: found no finite number; expected a number of seconds",
    "[limits]\nvalue_bytes = '64 MB'": "line 2: limits.value_bytes: found the unit MB; one of B, KiB, MiB, GiB, TiB, "
    "PiB, EiB may follow the number",
    "[limits]\nvalue_bytes = '2000.3 KiB'": "line 2: limits.value_bytes: found the text '2000.3 KiB', a fraction",
    "[limits]\nvalue_bytes = 1": "line 2: limits.value_bytes: found 1; expected a whole number of bytes from 1 KiB "
    "to 4 EiB",
    "[limits]\nprofile = 'SMALL'": "line 2: limits.profile: found the text 'SMALL'; expected default, small or bulk",
    "[limits]\nexempt_networks = '::1'": "line 2: limits.exempt_networks: found the text '::1'; expected a list",
    "[limits]\nexempt_networks = [\n'::1',\n7]": "line 2: limits.exempt_networks: found 7 as number 2 of the list",
    "[limits]\nexempt_networks = ['::1/64']": "line 2: limits.exempt_networks: number 1 of the list: found the text "
    "'::1/64'; expected a network",
    "[limits]\n[limits.dead_seconds]": "line 2: limits.dead_seconds: found a table; expected a number of seconds",
    "[limits]\ndead_seconds = 5": "line 2: limits.dead_seconds: expected more than ping_seconds",
    "[limits]\nping_seconds = 50": "line 2: limits.dead_seconds: expected more than ping_seconds",
    "[files]\nread_only = true": "line 2: files.read_only: expected together with files.directory (serve --files DIR)",
    "[server]\nlan = true\nhost = '::1'": "line 2: server.lan: expected a host or lan, not both",
    "[server\nport = 1": "line 1: no TOML: expected ']' at the end of a table declaration",
    "a = 1\na = 2": "line 2: no TOML: cannot overwrite a value",
    "a = ": "line 1: no TOML: invalid value",
}
"""Files of TOML, and how the one thing that is wrong with them is told, behind the name of the file."""


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    found = problems(tmp_path, text)

    assert len(found) == 1
    assert found[0].startswith(f"server.toml, {WRONG[text]}")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = '{"server":\n {"port": "x",\n "colour": 1},\n"limits": {"streams": null}}'
    environ = {"NETSTRUCTER_FILES_READ_ONLY": "perhaps", "NETSTRUCTER_LOGS_LEVLE": "info"}

    with pytest.raises(InvalidConfiguration) as caught:
        configured(tmp_path, text, name="c.json", environ=environ, command_line=[Given("server.prot", "1", "--set")])
    error = caught.value

    assert [str(problem).rpartition("c.json")[2].partition(";")[0] for problem in error.problems] == [
        ", line 2: server.port: found the text 'x', no number",
        ", line 3: server.colour: there is no such option",
        ", line 4: limits.streams: found nothing",
        "the variable NETSTRUCTER_FILES_READ_ONLY: files.read_only: found the text 'perhaps'",
        "the variable NETSTRUCTER_LOGS_LEVLE: there is no such option in the section logs",
        "--set: server.prot: there is no such option",
    ]
    assert "did you mean NETSTRUCTER_LOGS_LEVEL?" in str(error.problems[4])
    assert "did you mean port?" in str(error.problems[5])
    assert str(error).endswith("(and 5 more: see netstructer config check)")
    assert (error.path, error.line, error.option) == (str(tmp_path / "c.json"), 2, "server.port")
    assert isinstance(error, Misuse)
    assert isinstance(error, ValueError)


def test_a_variable_of_no_section_is_a_note_where_it_looks_like_a_slip() -> None:
    found = load(environ={"NETSTRUCTER_SEVER_PORT": "5"})

    assert found.notes == (
        "the variable NETSTRUCTER_SEVER_PORT is not read: there is no such section; did you mean "
        "NETSTRUCTER_SERVER_PORT?",
    )


def test_a_key_that_stands_twice_in_json_is_refused(tmp_path: Path) -> None:
    text = '{"server": {"port": 1,\n"port": 2}}'

    assert problems(tmp_path, text, name="c.json") == [
        "c.json, line 2: 'server.port' stands here again: it was given in line 1"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = '\xff'", "line 1: found bytes that are no UTF-8"),
        (b"[server]\nport = 1\n# \xc3", "line 3: found bytes that are no UTF-8"),
        (b"#" * (MOST_FILE_BYTES + 1), "expected at most 131,072 bytes"),
        (b"\n#" + b"a" * MOST_LINE_CHARACTERS, "line 2: expected at most 2,048 characters in a line"),
        (b"a = " + b"[" * 2000, "found lists in lists without end"),
        (b"a" + b".a" * MOST_LINE_CHARACTERS + b" = 1", "line 1: expected at most 2,048 characters in a line"),
        (b"a = 1979-13-01", "line 1: no TOML"),
    ],
)
def test_a_hostile_file_is_refused_before_it_costs_anything(content: bytes, said: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        parse_document(content, "f")

    assert said in str(caught.value)


def test_of_a_file_that_is_too_long_no_more_is_read(tmp_path: Path) -> None:
    place = tmp_path / "long.toml"
    with place.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidConfiguration, match="expected at most 131,072 bytes"):
            load(place, environ={})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * MOST_FILE_BYTES


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "found containers in containers; expected at most 32"),
        (b'{"a":' * 100_000, "at most 131,072 bytes"),
        (b'{"a":' * 20_000, "found containers in containers"),
        (b'"' + b'\\"' * 60_000, "no JSON"),
        (b"[]", "line 1: expected an object of sections"),
        (b"5", "line 1: expected an object of sections"),
        (b"", "line 1: no JSON: expecting value"),
        (b'{"a": 1,\n x}', "line 2: no JSON"),
        (b'{"a": ' + b"9" * 30_000 + b"}", "no JSON"),
        (b"\xef\xbb\xbf{", "no JSON"),
    ],
)
def test_hostile_json_is_refused_before_anything_recurses(content: bytes, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        parse_document(content, "f.json")


def test_a_mark_of_windows_editors_is_no_part_of_the_text() -> None:
    assert parse_document(b"\xef\xbb\xbf[server]\r\nport = 1\r\n", "f").tables == {"server": {"port": 1}}
    assert parse_document(b'\xef\xbb\xbf{"server": {}}', "f.json").tables == {"server": {}}


def test_problems_without_end_are_cut(tmp_path: Path) -> None:
    found = problems(tmp_path, "[server]\n" + "".join(f"no{number} = 1\n" for number in range(3000)))

    assert len(found) == MOST_PROBLEMS


@settings(max_examples=150)
@given(st.binary(max_size=60), st.sampled_from(["f.toml", "f.json"]))
def test_any_bytes_are_a_document_or_refused(content: bytes, name: str) -> None:
    try:
        found = parse_document(content, name)
    except InvalidConfiguration as error:
        refused = error
    else:
        assert isinstance(found.tables, dict)
        return

    assert refused.path == name
    assert str(refused).startswith(name)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(["server", "limits", "files", "server_ip"]), st.text(max_size=6)),
        st.one_of(
            st.integers(),
            st.dictionaries(
                st.one_of(st.sampled_from(["port", "host", "value_bytes", "exempt_networks", "read_only"]), st.text()),
                st.recursive(
                    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50)),
                    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner, max_size=2)),
                ),
                max_size=4,
            ),
        ),
        max_size=4,
    )
)
def test_any_tables_are_a_configuration_or_refused_with_a_line(tables: dict[str, Any]) -> None:
    place = Path(os.environ["HOME"]) / "any.json"
    place.write_text(json.dumps(tables), encoding="utf-8")
    try:
        found = load(place, environ={})
    except InvalidConfiguration as error:
        refused = error
    else:
        assert set(tables) <= {"server", "limits", "files", "server_ip"}
        assert set(found.values) == set(SECTIONS.options)
        return

    assert all(str(problem).startswith(f"{place}, line 1: ") for problem in refused.problems)
    assert all(str(problem).isprintable() for problem in refused.problems)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[server]\nkey = 'KEY'",
        "[server]\nkey_file = 'KEY'",
        "[server]\nhost = 'KEY'",
        "[server]\nport = 'KEY'",
        "[server]\ncipher = 'KEY'",
        "[server]\nstealth = 'KEY'",
        "[limits]\nexempt_networks = ['KEY']",
        "password = 'KEY'",
        "server_ip = ' KEY'",
        "[server]\nkey_file = ['KEY']",
        "[server]\nhost = 'KEY",
        "[server]\nport_range = 'KEY'",
        "[server]\nmax_links = { key = 'KEY' }",
    ],
)
def test_no_key_is_repeated_wherever_it_was_put(text: str, tmp_path: Path) -> None:
    for found in problems(tmp_path, text.replace("KEY", KEY_TEXT)):
        assert KEY_TEXT[:8] not in found
    value = f" {KEY_TEXT}" if " KEY" in text else KEY_TEXT
    for name in ("server.key_file", "server.host", "server.key"):
        with pytest.raises(InvalidConfiguration) as caught:
            load(environ={}, command_line=[Given(name, value)])
        assert KEY_TEXT[:8] not in str(caught.value)
    with pytest.raises(InvalidConfiguration) as caught:
        load(environ={"NETSTRUCTER_SERVER_KEY_FILE": value})
    assert KEY_TEXT[:8] not in str(caught.value)


def test_a_secret_is_told_where_it_belongs(tmp_path: Path) -> None:
    assert "put it into a file of its own" in problems(tmp_path, "[server]\npassword = 'x'")[0]
    assert "found what looks like a key itself" in problems(tmp_path, f"[server]\nkey_file = '{KEY_TEXT}'")[0]
    assert [name for name in ("key", "api-key", "Password", "token") if not holds_secret(name)] == []
    assert [name for name in SECTIONS.options if holds_secret(name.rpartition(".")[2])] == []


# --- the tables -------------------------------------------------------------------------------------------------------


def test_every_limit_is_an_option_with_its_own_bounds() -> None:
    names = {field.name for field in fields(Limits)}
    options = {option.name: option for option in SECTIONS.get("limits").options}  # type: ignore[union-attr]

    assert set(options) == names | {"profile"}, "services/configuration/limit_table.py wants words for each limit"
    for name in names - {"spool_directory", "exempt_networks"}:
        option, bounds = options[name], Limits.bounds(name)
        assert (option.kind == "whole") == isinstance(getattr(Limits.DEFAULT, name), int)
        assert bounds is None or (option.least, option.most) == bounds
        assert option.unit or name == "decimal_exponent"
        for profile in (Limits.DEFAULT, Limits.SMALL, Limits.BULK):
            assert option.read(getattr(profile, name)) == getattr(profile, name)


@pytest.mark.parametrize("profile", ["default", "small", "bulk"])
def test_a_profile_is_what_the_other_limits_are(profile: str, tmp_path: Path) -> None:
    found = configured(tmp_path, f"[limits]\nprofile = '{profile}'\nstreams = 7\n")
    limits = limits_of(found.section("limits"))
    expected = {"default": Limits.DEFAULT, "small": Limits.SMALL, "bulk": Limits.BULK}[profile]

    assert limits.streams == 7
    assert limits.value_bytes == expected.value_bytes
    assert str(found.origins["limits.value_bytes"]) == f"the profile {profile}"
    assert not found.is_given("limits.value_bytes")


def test_every_argument_of_a_server_is_an_option(tmp_path: Path) -> None:
    arguments = set(inspect.signature(Server.__init__).parameters) - {"self", "handler"}
    key, identity = tmp_path / "key", tmp_path / "identity"
    Key.generate().save(key)
    text = f"[server]\nkey_file = '{key}'\npadding = 'bucket'\nstealth = true\nmax_links = 3\n"

    found = server_options(configured(tmp_path, text), lan=lan_address)

    assert set(found) == arguments
    assert (found["padding"], found["stealth"], found["max_links"], found["identity"]) == ("bucket", True, 3, True)
    assert found["key"].fingerprint == Key.load(key).fingerprint
    assert (found["address"], found["spare_ports"], found["limits"]) == (("127.0.0.1", 5000), (), Limits.DEFAULT)
    assert server_options(load(environ={}), lan=lan_address)["key"] is None
    assert not identity.exists()


def test_a_server_is_made_of_a_configuration(tmp_path: Path) -> None:
    key = tmp_path / "key"
    Key.generate().save(key)
    text = "[server]\nport = 0\nkey_file = 'key'\nbans_file = 'bans'\n[limits]\nprofile = 'small'\n"
    options = server_options(configured(tmp_path, text), lan=lan_address)

    with Server(**options) as server, Link(server.address, key=Key.load(key)) as link:
        assert link.peer_limits.value_bytes == Limits.SMALL.value_bytes
        assert server.bans.list() == ()


def test_keys_that_are_not_there_are_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingKey, match=r"nokey cannot be read: No such file"):
        server_options(configured(tmp_path, "[server]\nkey_file = 'nokey'"), lan=lan_address)
    with pytest.raises(Misuse, match="expected at least one key"):
        server_options(configured(tmp_path, "[server]\nusers_file = 'nobody'"), lan=lan_address)


PLACES = [
    ("", [], ("127.0.0.1", 5000), ()),
    ("lan = true", [], ("10.9.9.9", 5000), ()),
    ("host = '::'", [("server.lan", True)], ("10.9.9.9", 5000), ()),
    ("lan = true", [("server.host", "::1")], ("::1", 5000), ()),
    ("port_range = '7-9'", [], ("127.0.0.1", 7), (8, 9)),
    ("port = 5\nport_range = '7-9'", [], ("127.0.0.1", 5), (7, 8, 9)),
    ("port = 8\nport_range = '7-9'", [], ("127.0.0.1", 8), (7, 9)),
    ("port_range = '7-9'", [("server.port", 6)], ("127.0.0.1", 6), (7, 8, 9)),
    ("port_range = '7-7'", [], ("127.0.0.1", 7), ()),
]


@pytest.mark.parametrize(("text", "more", "address", "spare"), PLACES)
def test_where_to_listen(text: str, more: list[Any], address: Any, spare: Any, tmp_path: Path) -> None:
    found = configured(tmp_path, f"[server]\n{text}\n", command_line=[Given(*one) for one in more])

    assert listening_places(found, lan=lambda: "10.9.9.9") == (address, spare)


def test_ports_of_a_range() -> None:
    assert parse_ports("8000-8500") == range(8000, 8501)
    assert parse_ports("1-65535") == range(1, 65536)
    for text in ("0-5", "5-4", "5", "5-", "-5", "5-65536", "5-6-7", "a-b", " 5-6", "٥-٦", "000005-6", "5-6\n"):
        with pytest.raises(Misuse, match="expected a range of ports"):
            parse_ports(text)


def test_an_example_is_a_file_that_changes_nothing(tmp_path: Path) -> None:
    text = write_example()
    every = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.split("\n")
    )
    all_given = configured(tmp_path, every)

    assert configured(tmp_path, text).given() == {}
    assert set(all_given.given()) == set(SECTIONS.options)
    for name, value in load(environ={}).values.items():
        assert all_given[name] == value or value is None
    assert max(map(len, text.split("\n"))) <= 100
    assert len(text) < MOST_FILE_BYTES / 10


def test_what_is_shown_is_a_file_that_says_the_same(tmp_path: Path) -> None:
    found = configured(tmp_path, "[server]\nport = 7\n[files]\ndirectory = 'd'\n", name="odd\u2028name.toml")
    again = configured(tmp_path, write_shown(found))

    assert again.values == found.values
    assert "port = 7" in write_shown(found)
    assert "odd?name.toml, line 2" in write_shown(found)
    assert "#key_file =" in write_shown(found)


# --- options and sections of others -----------------------------------------------------------------------------------


def test_a_section_of_ones_own(tmp_path: Path) -> None:
    chat = Section(
        name="chat",
        help="Rooms.",
        options=(Option(name="rooms", kind="whole", unit="rooms", default=8, least=1, most=64, help="How many."),),
    )
    sections = SECTIONS.plus(chat)

    found = configured(tmp_path, "[chat]\nrooms = 9\n", sections=sections, environ={"NETSTRUCTER_CHAT_ROOMS": "10"})

    assert found["chat.rooms"] == 10
    assert found.section("chat") == {"rooms": 10}
    assert "[chat]" in write_example(sections)
    assert "did you mean rooms?" in problems(tmp_path, "[chat]\nroms = 1", sections=sections)[0]
    with pytest.raises(KeyError):
        found.section("games")
    assert problems(tmp_path, "[chat]\nrooms = 1")[0].startswith("server.toml, line 1: chat: there is no such section")


FLAG = Option(name="on", kind="flag", help="A flag.")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Option(name="Upper", kind="flag", help="x"),
        lambda: Option(name="with-hyphen", kind="flag", help="x"),
        lambda: Option(name="a__b", kind="flag", help="x"),
        lambda: Option(name="password", kind="text", help="x"),
        lambda: Option(name="a", kind="flag", help=" "),
        lambda: Option(name="a", kind="whole", help="x"),
        lambda: Option(name="a", kind="choice", help="x"),
        lambda: Option(name="a", kind="whole", least=0, most=5, default=6, help="x"),
        lambda: Option(name="a", kind="flag", default="yes", help="x"),
        lambda: Section(name="A", help="x", options=()),
        lambda: Section(name="a", help="", options=()),
        lambda: Section(name="a", help="x", options=(FLAG, FLAG)),
        lambda: Sections((Section(name="a", help="x", options=()),) * 2),
        lambda: SECTIONS.plus(Section(name="server", help="x", options=())),
        # One variable for two options, or for something that is no option at all.
        lambda: Sections(
            (
                Section(name="a", help="x", options=(Option(name="b_c", kind="flag", help="x"),)),
                Section(name="a_b", help="x", options=(Option(name="c", kind="flag", help="x"),)),
            )
        ),
        lambda: Sections((Section(name="key", help="x", options=(Option(name="file", kind="path", help="x"),)),)),
        lambda: SECTIONS.plus(
            Section(name="b", help="x", options=(Option(name="c", kind="text", aliases=("server_ip",), help="x"),))
        ),
        lambda: SECTIONS.plus(
            Section(name="b", help="x", options=(Option(name="c", kind="text", aliases=("limits",), help="x"),))
        ),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(Misuse):
        make()


def test_every_option_says_what_it_takes_and_why() -> None:
    for name, option in {**SECTIONS.options, **EVERY_KIND.options}.items():
        assert option.expected, name
        assert option.help.endswith("."), name


def test_lengths_are_bounded() -> None:
    options = EVERY_KIND.options
    edges = [("all.text", MOST_TEXT), ("all.path", MOST_PATH)]
    for name, most in edges:
        assert options[name].read("é" * most) == "é" * most
        for text in ("", "é" * (most + 1)):
            with pytest.raises(Misuse, match=f"expected 1 to {most:,}"):
                options[name].read(text)
    assert options["all.list"].read(["a"] * MOST_ITEMS) == ("a",) * MOST_ITEMS
    assert options["all.list"].parse("") == ()
    with pytest.raises(Misuse, match="found 257 texts; expected from 0 to 256"):
        options["all.list"].parse("a," * MOST_ITEMS + "a")


def test_a_value_of_the_right_type_can_be_wrong_all_the_same() -> None:
    def small(number: int) -> None:
        if number > 3:
            raise Misuse("expected a small one")

    option = Option(name="n", kind="whole", least=0, most=9, check=small, help="x")

    assert option.read(3) == 3
    with pytest.raises(Misuse, match="found 4; expected a small one"):
        option.read(4)


# --- amounts ----------------------------------------------------------------------------------------------------------


def test_amounts() -> None:
    assert parse_amount("64 MiB", "bytes", whole=True) == 64 << 20
    assert parse_amount("64MiB", "bytes", whole=True) == 64 << 20
    assert parse_amount("1.5 KiB", "bytes", whole=True) == 1536
    assert parse_amount("-5", "", whole=True) == -5
    assert parse_amount("250 ms", "seconds", whole=False) == 0.25
    assert parse_amount("0.1", "seconds", whole=False) == 0.1
    assert parse_amount("1e-3", "seconds", whole=False) == 0.001
    for text in ("", "x", "1,000", "0x10", "1_000", "٣", "5  s", "5 s ", "9" * 21, "1e5 s", "--1", "1.", ".5"):
        with pytest.raises(Misuse):
            parse_amount(text, "seconds", whole=False)
    for text in ("1e3", "0.5", "1 kib"):
        with pytest.raises(Misuse):
            parse_amount(text, "bytes", whole=True)


@given(st.integers(0, 2**62))
def test_bytes_are_written_as_they_are_read(count: int) -> None:
    written = write_amount(count, "bytes")

    assert parse_amount(str(written), "bytes", whole=True) == count


def test_amounts_are_shown_as_people_read_them() -> None:
    assert shown_amount(65536, "bytes") == "64 KiB"
    assert shown_amount(1000, "bytes") == "1,000 bytes"
    assert shown_amount(0.2, "seconds") == "0.2 seconds"
    assert shown_amount(1 << 62, "bytes") == "4 EiB"
    assert shown_amount(1048576, "") == "1,048,576"
    assert list(UNITS["bytes"])[-1] == "EiB"


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")


def rows_of(section: Section) -> list[str]:
    """Return the rows that the page must have about a section."""
    return [
        f"| `{option.name}` | {option.expected} | {default_of(option)} | {option.help} |" for option in section.options
    ]


def default_of(option: Option) -> str:
    return "–" if option.default is None else f"`{toml_value(option.write(option.default))}`"


@pytest.mark.parametrize("section", [one for one in SECTIONS if one.name != "limits"], ids=lambda one: one.name)
def test_the_page_has_the_table_of_each_section(section: Section) -> None:
    part = PAGE.partition(f"\n### {section.name}\n")[2].partition("\n#")[0]

    assert [line for line in part.splitlines() if line.startswith("| `")] == rows_of(section)
    assert section.help in part


def test_the_files_of_the_page_are_right(tmp_path: Path) -> None:
    toml, code = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL), re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    found = configured(tmp_path, toml[0])

    assert found["limits.value_bytes"] == 64 << 20
    assert found["limits.resume_seconds"] == 300
    assert found["server.key_file"] == str(tmp_path / "key")
    assert configured(tmp_path, code[0], name="c.json")["server.max_links"] == found["server.max_links"]


def test_what_the_page_says_is_wrong_is_told_so(tmp_path: Path) -> None:
    told = re.findall(r"^server\.toml, line .*$", PAGE, re.MULTILINE)
    text = '# a\n[server]\nprot = 1\nmax_links = 0\n\n[limits]\nvalue_bytes = "64 MB"\n'

    assert told == problems(tmp_path, text)
    aliases = dict(re.findall(r"^\| `(\w+)` \| `(\w+\.\w+)` \|", PAGE, re.MULTILINE))
    assert aliases == SECTIONS.aliases
