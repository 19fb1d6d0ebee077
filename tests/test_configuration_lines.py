"""In which line of a document a key stands, held against what tomllib and json say is in it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstructer.services.configuration.lines import MOST_DEPTH, Lines, depth_of_json, find_json, find_toml

TRICKY = """\
# [comment] a = 1
title = "x = 1 # [no]"   # [server]
"quoted.key" = 'lit # eral'
a.b . "c d".'e' = 1
esc\\u0061ped = 1
"""

PLAIN = """\
[server]
host = "a"   # port = 1
port = 5

# [nothing]
  [ limits . "deep" ]
x = [
  1, # y = 2
  { z = 3, w.v = 4 },
  "]",
]
date = 1979-05-27 07:32:00
[[user]]
name = "ada"
[[user]]
name = "bob"
[user.more]
q = 1
[[user.list]]
r = { s = {}, t = [] }
"""


def test_each_key_of_a_document_has_its_line() -> None:
    found = find_toml(PLAIN).at

    assert found["server",] == 1
    assert found["server", "host"] == 2
    assert found["server", "port"] == 3
    assert found["limits", "deep"] == 6
    assert found["limits", "deep", "x"] == 7
    assert found["limits", "deep", "x", 1, "z"] == found["limits", "deep", "x", 1, "w", "v"] == 9
    assert found["limits", "deep", "date"] == 12
    assert found["user", 0, "name"] == 14
    assert found["user", 1, "name"] == 16
    assert found["user", 1, "more", "q"] == 18
    assert found["user", 1, "list", 0, "r", "s"] == 20


LONG = {
    'a = """\nb = 1\n[c]\n"""\nd = 1': ("d", 5),
    "a = '''\nb = \"\"\" \n'''\nd = 1": ("d", 4),
    'a = """""one"""""\nd = 1': ("d", 2),
    "a = '''''one'''''\nd = 1": ("d", 2),
    'a = """\\"""\n"""\nd = 1': ("d", 3),
    'a = """"""\nd = 1': ("d", 2),
    'a = ""\nd = 1': ("d", 2),
    "a = ''\nd = 1": ("d", 2),
    'a = "\\"\\\\"\nd = 1': ("d", 2),
    "a = [[1, 2],\n[3]]\nd = 1": ("d", 3),
    "a = [\n]\nd = 1": ("d", 3),
    "a = {b = [\n1], c = 2}\nd = 1": ("d", 3),
    "a = 07:32:00\nd = 1": ("d", 2),
    "a = 1979-05-27 07:32:00.5 # e = 1\nd = 1": ("d", 2),
    "a = -inf\r\nd = 1\r\n": ("d", 2),
    '"\\u0064" = 1': ("d", 1),
    "d.'e' = 1": ("d", 1),
    "\n\n[d]": ("d", 3),
    "[a.d]\n[d]": ("d", 2),
}
"""Documents, and a key of each with its line."""


@pytest.mark.parametrize("text", LONG)
def test_what_looks_like_a_key_inside_a_value_is_none(text: str) -> None:
    key, line = LONG[text]
    said = tomllib.loads(text)

    found = find_toml(text)

    assert found.of(key) == line
    assert paths_of(said) == set(found.at)


def test_a_key_without_a_line_has_that_of_what_it_is_in() -> None:
    found = Lines({("a",): 3, ("a", "b"): 4})

    assert (found.of("a", "b"), found.of("a", "c"), found.of("x"), found.of()) == (4, 3, 0, 0)


def test_a_document_that_is_none_ends_the_walk_and_nothing_else() -> None:
    for text in (
        "a = 1\n= 2",
        "a = 1\n[b",
        "a = 1\nb = [1",
        'a = 1\nb = "',
        "a = 1\nb =",
        "a = 1\n\0",
        "a = 1\nb = {c",
    ):
        assert find_toml(text).of("a") == 1
    assert find_toml("a = " + "[" * 100_000).at.keys() <= paths_of({"a": [[]] * 2}) | set(
        find_toml("a = " + "[" * 99).at
    )


# --- TOML that was made: each key with the line on which it was written -----------------------------------------------

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True)
ANY_KEY = st.one_of(BARE, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5))
NASTY = st.sampled_from(
    ['"x = 1 # [y]"', "'[z]'", '"""\nq = 1\n[w]\n"""', "'''\n# \"\n'''", '"""a""\\"\n"""', '"\\"]"', '"""""five"""""']
)
SCALARS = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["true", "1.5", "1979-05-27 07:32:00", "1979-05-27T07:32:00Z", "07:32:00", "0xff", "-inf", "1e3"]),
    NASTY,
)
GAPS = st.sampled_from(["", " ", "\t", "  "])
NOTES = st.sampled_from(["", " # c = 1", "\t#[d]", '  # "'])


class Writer:
    """Writes a document in ways that hypothesis chooses, and keeps the line of each key."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.text, self.at = draw, "", {}  # type: ignore[var-annotated]

    def write(self, text: str) -> None:
        self.text += text

    def gap(self) -> None:
        self.write(self.draw(GAPS))

    def key(self, path: tuple[Any, ...], name: str) -> None:
        self.at.setdefault((*path, name), self.text.count("\n") + 1)
        bare = name and all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
        forms = [json.dumps(name), json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")]
        forms += [name] if bare else []
        forms += [f"'{name}'"] if "'" not in name and name.isprintable() else []
        form = self.draw(st.sampled_from(forms))
        # TOML has no pairs of surrogates: what lies beyond 16 bits is written as it is.
        self.write(form if "\\ud" not in form else forms[1])

    def value(self, path: tuple[Any, ...], depth: int, *, inline: bool) -> None:
        kind = self.draw(st.sampled_from(["scalar", "list", "table"] if depth else ["scalar"]))
        if kind == "scalar":
            found = self.draw(SCALARS)
            self.write(found if not inline or "\n" not in found else "0")
        elif kind == "list":
            self.write("[")
            for number in range(self.draw(st.integers(0, 3))):
                self.between(inline)
                self.at[*path, number] = self.text.count("\n") + 1
                self.value((*path, number), depth - 1, inline=inline)
                self.between(inline)
                self.write(",")
            self.between(inline)
            self.write("]")
        else:
            self.write("{")
            names = self.draw(st.lists(ANY_KEY, max_size=3, unique=True))
            for number, name in enumerate(names):
                self.write(", " if number else "")
                self.key(path, name)
                self.write(" = ")
                self.value((*path, name), depth - 1, inline=True)
            self.write("}")

    def between(self, inline: bool) -> None:
        self.write(self.draw(st.sampled_from(["", " "] if inline else ["", "\n", " # e = 1\n", "\n  "])))

    def pairs(self, path: tuple[Any, ...]) -> None:
        for name in self.draw(st.lists(ANY_KEY, max_size=4, unique=True)):
            dotted = self.draw(st.booleans())
            self.gap()
            self.key(path, name)
            inner = (*path, name)
            if dotted:
                self.write(" . ")
                second = self.draw(ANY_KEY)
                self.key(inner, second)
                inner = (*inner, second)
            self.gap()
            self.write("=")
            self.gap()
            self.value(inner, 2, inline=False)
            self.write(self.draw(NOTES) + "\n")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[Any, ...], int]]:
    """Give a document, and the line of each of its keys."""
    writer = Writer(draw)
    writer.pairs(("top",)) if draw(st.booleans()) else None
    top = writer.text
    # Pairs before any header are those of the document itself: their path has no table in front.
    writer.at = {path[1:]: line for path, line in writer.at.items() if path[1:]}
    taken = {path[0] for path in writer.at}
    writer.text = top
    names = [name for name in draw(st.lists(ANY_KEY, max_size=3, unique=True)) if name not in taken]
    for name in names:
        many = draw(st.booleans())
        for number in range(draw(st.integers(1, 3)) if many else 1):
            writer.write(draw(st.sampled_from(["", "\n", "# [f]\n"])))
            line = writer.text.count("\n") + 1
            writer.write("[[" if many else "[")
            writer.gap()
            writer.key((), name)
            writer.gap()
            writer.write(("]]" if many else "]") + draw(NOTES) + "\n")
            path = (name, number) if many else (name,)
            writer.at.setdefault(path, line)
            writer.pairs(path)
    return writer.text, writer.at


@settings(max_examples=40)
@given(documents())
def test_a_document_of_any_shape_has_every_key_where_it_was_written(made: tuple[str, dict[Any, int]]) -> None:
    text, lines = made
    said = tomllib.loads(text)

    found = find_toml(text)

    assert set(lines) == paths_of(said)  # the maker of documents knows what it wrote
    assert found.at == lines
    assert found.repeated == []


@settings(max_examples=100)
@given(st.text(st.sampled_from("a.b=[]{}\"'#\n ,1\\-:T"), max_size=40))
def test_whatever_tomllib_takes_is_walked_to_its_end(text: str) -> None:
    try:
        said = tomllib.loads(text)
    except ValueError:
        find_toml(text)
        return

    assert set(find_toml(text).at) == paths_of(said)


# --- JSON -------------------------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(["{", '"a": 1', "[,", "\\"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=4), st.sampled_from([None, 0, 2]), st.booleans())
def test_every_key_of_json_is_found(said: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(said, indent=indent, ensure_ascii=ascii_only)
    lines = text.split("\n")

    found = find_json(text)

    assert set(found.at) == paths_of(said)
    assert found.repeated == []
    for path, line in found.at.items():
        if isinstance(path[-1], str):
            assert json.dumps(path[-1], ensure_ascii=ascii_only) in lines[line - 1]


def test_a_key_that_stands_twice_in_json_is_told() -> None:
    found = find_json('{"a": 1,\n"b": {"a": 2,\n"c": [{"d": 1}, {"d": 2}]},\n"\\u0061": 3}')

    assert found.repeated == [(("a",), 4)]
    assert found.of("b", "a") == 2
    assert found.of("b", "c", 1, "d") == 3


def test_json_that_is_none_ends_the_walk_and_nothing_else() -> None:
    for text in (
        "",
        "]",
        "}{",
        '{"a": 1}}',
        '{"a": 1 "b"}',
        '"',
        '{"a',
        "{1: 2}",
        "[1, 2",
        '{"a": 1,, "b": 2}',
        "\\" * 9,
    ):
        find_json(text)
    assert depth_of_json("[" * 5 + "]" * 9) == 5
    assert depth_of_json('["[[[", "\\"[[["]') == 1
    assert depth_of_json('"' + "[" * 1000) == 0
    assert len(find_json('{"a":' * 1000).at) <= MOST_DEPTH + 1


def paths_of(said: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Return the path of everything in a document."""
    return set(_paths(said, path))


def _paths(said: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    items = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from _paths(inner, (*path, name))
