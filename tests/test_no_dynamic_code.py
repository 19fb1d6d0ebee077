"""Nothing runs, imports or looks up what it reads, under no alias: read with `ast`, in the package and the examples.

test_house.py bans the plain spellings.  This is the second line: names are followed through their imports, and what
has a good use somewhere (`getattr` by a computed name, `subprocess`, `frombuffer`) is allowed in that place alone, by
the very expression, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from test_floors import ROOT, read_package, tree_of

SOURCES = read_package() | {
    f"examples.{path.stem}": path.read_text("utf-8") for path in sorted((ROOT / "examples").glob("*.py"))
}

MODULES = {
    *("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib", "copyreg", "yaml"),
    *("runpy", "code", "codeop", "pty", "imp", "pkgutil", "xmlrpc", "ctypes", "cffi", "importlib", "logging.config"),
    *("subprocess", "multiprocessing", "fnmatch", "builtins", "types.FunctionType", "types.CodeType"),
}
"""What turns bytes into code or objects, starts programs, or makes expressions of texts."""
NAMES = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "__builtins__", "globals", "vars", "input"),
    *("os.system", "os.popen", "os.posix_spawn", "os.startfile", "string.Formatter", "tempfile.mktemp"),
    *("os.execv", "os.execve", "os.execvp", "os.execvpe", "os.execl", "os.execlp", "os.spawnv", "os.spawnl", "os.fork"),
    *("numpy.load", "np.load", "pandas.read_pickle", "sys.setrecursionlimit", "operator.methodcaller"),
}
ATTRIBUTES = {"create_function", "create_aggregate", "create_window_function", "enable_load_extension"}
ATTRIBUTES |= {"load_extension", "format_map", "frombuffer", "fromregex", "__globals__", "__code__", "__subclasses__"}
EXPRESSIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
REFUSING = {"__reduce__", "__reduce_ex__", "__setstate__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"}

ALLOWED: dict[str, dict[str, str]] = {
    "netstructer": {
        "importlib": "the shop window, by a table of its own",
        "getattr by a name": "of that table",
        "globals": "its own",
    },
    "netstructer.codec.structs": {"importlib.resources": "reads a file of tzdata"},
    "netstructer.cli.checkup": {"importlib.metadata": "tells versions"},
    "netstructer.cli.partner": {"subprocess": "starts this program again, for the demonstration: a list, no shell"},
    "netstructer.cli.rivals": {"subprocess": "starts this program again, to race it: a list, no shell"},
    "netstructer.transfer.globs": {"fnmatch": "patterns of a peer, of at most 255 characters a name: linear in both"},
    "netstructer.codec.arrays": {"frombuffer": "of a dtype from the closed list, never object"},
    "netstructer.codec.types": {"vars": "what a class that the application registers says of itself"},
    "netstructer.codec.walk": {"getattr by a name": "fields of a class that the sender registered; start, stop, step"},
    "netstructer.limits": {"getattr by a name": "the fields of its own class"},
    "netstructer.actions": {"getattr by a name": "public methods of an object that the application registers"},
    "netstructer.errors": {"globals": "its own, by `__all__`"},
    "netstructer.errors.root": {"setattr by a name": "facts that are declared by the error's class"},
    "netstructer.cli.chat.visit": {"getattr by a name": "methods for the words of its own table of commands"},
    "netstructer.services.chat.limits": {"getattr by a name": "the fields of its own class"},
    "netstructer.compat.multiprocessing": {
        "multiprocessing": "its errors, and its `wait` for what is no connection here"
    },
    "netstructer.compat.pnetwork.coretools": {"input": "commands of the operator's, looked up in a closed table"},
    "netstructer.pairing.secret": {"getattr by a name": "one of two constants"},
    "netstructer.protocol.parameters": {"getattr by a name": "the fields of its own class"},
    "netstructer.services.configuration.limit_table": {"getattr by a name": "the fields of Limits"},
    "netstructer.services.admin.state": {"importlib.metadata": "tells a version"},
    "netstructer.services.admin.typed": {"input": "a line of the operator's own terminal, which is only parsed"},
    "netstructer.services.lines": {"vars": "what a log record holds that its caller has added"},
    "netstructer.services.logs": {"getattr by a name": "levels of logging, of a constant tuple"},
    "netstructer.services.ready": {"getattr by a name": "a constant tuple of names"},
    "netstructer.services.reports": {"importlib.metadata": "tells a version"},
    "netstructer.penalties": {"getattr by a name": "the values of its own enum"},
    "netstructer.cli.diagnosis": {"getattr by a name": "a constant tuple of names"},
    "netstructer.testing.drawing": {
        "importlib.metadata": "tells whether numpy is installed",
        "frombuffer": "of a dtype from a list of its own, in what Hypothesis draws",
    },
    "netstructer.testing.endings": {"getattr by a name": "a constant tuple of names"},
    "netstructer.testing.workbench": {"setattr by a name": "a constant tuple of names"},
    "netstructer.testing.spelling": {"getattr by a name": "the fields of its own class"},
}
"""For each module what it may do that others may not, and why."""


def test_nothing_runs_what_it_reads() -> None:
    found = {(module, *danger) for module, source in SOURCES.items() for danger in dangers(source)}

    assert sorted(danger for danger in found if danger[1] not in ALLOWED.get(danger[0], {})) == []


def test_what_is_allowed_is_needed() -> None:
    unused = {
        (module, what)
        for module, reasons in ALLOWED.items()
        for what in reasons
        if module in SOURCES and what not in {found for found, _ in dangers(SOURCES[module])}
    }

    assert unused == set()


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle as p", "pickle"),
        ("from pickle import loads as read", "pickle"),
        ("run = eval", "eval"),
        ("list(map(exec, bodies))", "exec"),
        ("from os import system as say\nsay('ls')", "os.system"),
        ("import os as o\no.popen('ls')", "os.popen"),
        ("import importlib as i\ni.import_module(name)", "importlib"),
        ("from importlib.machinery import SourceFileLoader", "importlib.machinery"),
        ("import yaml\nyaml.load(text)", "yaml"),
        ("import numpy as n\nn.load(file)", "numpy.load"),
        ("read(file, allow_pickle=True)", "allow_pickle"),
        ("numpy.frombuffer(raw, name)", "frombuffer"),
        ("getattr(thing, word)", "getattr by a name"),
        ("getattr(thing, 'a' + word)()", "getattr by a name"),
        ("look = getattr", "getattr by a name"),
        ("setattr(thing, word, 1)", "setattr by a name"),
        ("class A:\n    def __reduce__(self):\n        return make, (1,)", "__reduce__"),
        ("class A:\n    def __setstate__(self, state):\n        self.x = state", "__setstate__"),
        ("class A:\n    __reduce__ = other", "__reduce__"),
        ("database.create_function('f', 1, f)", "create_function"),
        ("database.enable_load_extension(True)", "enable_load_extension"),
        ("import subprocess", "subprocess"),
        ("import subprocess\nsubprocess.run(text, shell=flag)", "shell"),
        ("import logging.config", "logging.config"),
        ("from logging import config", "logging.config"),
        ("import string\nstring.Formatter().format(text)", "string.Formatter"),
        ("text.format_map(facts)", "format_map"),
        ("text.format(1)", "format of a computed text"),
        ("import re\nre.compile(text)", "re of a computed pattern"),
        ("from re import match\nmatch(text, name)", "re of a computed pattern"),
        ("import re as r\nr.sub(f'{text}x', '', name)", "re of a computed pattern"),
        ("from fnmatch import fnmatch", "fnmatch"),
        ("import sys\nsys.modules[name]", "sys.modules by a name"),
        ("thing.__class__.__subclasses__()", "__subclasses__"),
        ("globals()[name]()", "globals"),
        ("type(name, bases, body)", "a class made of parts"),
    ],
)
def test_sabotage_is_found(source: str, danger: str) -> None:
    assert danger in {found for found, _ in dangers(source)}


def test_what_is_harmless_is_not() -> None:
    source = """
import re, os, sys
_PART = "[a-z]"
_WHOLE = re.compile(rf"{_PART}+")
re.split("[ ,]", text)
"{} of {}".format(1, 2)
getattr(os, "O_BINARY", 0)
sys.modules["numpy"]
class Held:
    def __reduce_ex__(self, protocol):
        raise TypeError("it stays here")
"""

    assert list(dangers(source)) == []


# --- the reader -------------------------------------------------------------------------------------------------------


@cache
def dangers(source: str) -> list[tuple[str, int]]:
    """Return each danger of a source by its name, and its line."""
    tree = tree_of(source)
    known = dict(_imports(tree))
    return [(danger, getattr(node, "lineno", 0)) for node in ast.walk(tree) for danger in _in(node, known)]


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Return what each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or whole, whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _in(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (danger for alias in node.names if (danger := _module(alias.name)))
    elif isinstance(node, ast.ImportFrom):
        yield from (danger for alias in node.names if (danger := _module(f"{node.module}.{alias.name}")))
    elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        dotted = _dotted(node, known)
        if dotted in NAMES:
            yield dotted
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield node.attr
        if dotted in ("getattr", "setattr") and not getattr(node, "called", False):
            yield f"{dotted} by a name"
    elif isinstance(node, ast.Call):
        yield from _in_call(node, known)
    elif isinstance(node, ast.Subscript) and _dotted(node.value, known) == "sys.modules":
        if not isinstance(node.slice, ast.Constant):
            yield "sys.modules by a name"
    elif isinstance(node, ast.FunctionDef) and node.name in REFUSING and not _only_refuses(node):
        yield node.name
    elif isinstance(node, ast.ClassDef):
        for line in node.body:
            if isinstance(line, ast.Assign):
                yield from (t.id for t in line.targets if isinstance(t, ast.Name) and t.id in REFUSING)


def _in_call(node: ast.Call, known: dict[str, str]) -> Iterator[str]:
    dotted = _dotted(node.func, known)
    if dotted in ("getattr", "setattr") and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        node.func.called = True  # type: ignore[union-attr]  # `ast.walk` comes to it after its call
    if dotted.startswith("re.") and dotted[3:] in EXPRESSIONS and not (node.args and _constant(node.args[0])):
        yield "re of a computed pattern"
    if isinstance(node.func, ast.Attribute) and node.func.attr == "format" and not _constant(node.func.value):
        yield "format of a computed text"
    if dotted == "type" and len(node.args) == 3:
        yield "a class made of parts"
    for keyword in node.keywords:
        if keyword.arg in ("shell", "allow_pickle") and ast.unparse(keyword.value) != "False":
            yield keyword.arg


def _module(name: str) -> str | None:
    """Return the name under which a module is dangerous."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        if ".".join(parts[:count]) in MODULES:
            return (
                ".".join(parts[:2])
                if parts[0] == "importlib" and parts[1:2] != ["import_module"]
                else ".".join(parts[:count])
            )
    return None


def _dotted(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, known)}.{node.attr}"
    return "?"


def _constant(node: ast.AST) -> bool:
    """Whether a text is written here: alone, or with constants of the module put in."""
    if isinstance(node, ast.JoinedStr):
        return all(_constant(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _only_refuses(node: ast.FunctionDef) -> bool:
    """Whether a method of pickling does nothing but raise, or let the parent refuse or do what it does."""
    last = node.body[-1]
    if node.returns is not None and ast.unparse(node.returns) == "NoReturn":
        return True
    return isinstance(last, ast.Raise) or "super().__reduce_ex__" in ast.unparse(last)
