"""The habits of the house, read with `ast`: nothing runs what it reads, nothing prints, every file says what it is."""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Iterator

import pytest

from conftest import threads_of_ours
from test_floors import ROOT, floor_of, read_package, tree_of

PACKAGE = read_package()
LONGEST = 400
"""Lines of one module: one that is longer is two nouns."""
SHORT = 3
"""Statements of a method that may go without a docstring: it is read as fast as one, under its class's."""

BANNED_MODULES = {
    *("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "copyreg", "runpy", "code", "codeop"),
    *("pty", "imp", "pkgutil", "xmlrpc", "ctypes", "cffi"),
}
"""What turns bytes into code or into arbitrary objects, or steps out of the language."""
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint"}
BANNED_ATTRIBUTES = {
    *("os.system", "os.popen", "os.fork", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.startfile"),
    *("builtins.eval", "builtins.exec", "builtins.__import__", "builtins.compile", "sys.setrecursionlimit"),
    *("tempfile.mktemp", "tempfile.SpooledTemporaryFile"),
}
IMPORTERS = {"netstructer"}
"""The one module that may ask `importlib` for a module: the shop window, by a table of its own."""

HARMLESS = {"importlib.metadata", "importlib.resources"}
"""What tells about installed packages and reads their files runs nothing."""


def test_no_module_can_run_what_it_reads() -> None:
    assert [danger for module, source in PACKAGE.items() for danger in dangers_of(module, source)] == []


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle", "pickle"),
        ("from marshal import loads", "marshal"),
        ("def f():\n    import shelve", "shelve"),
        ("eval('1')", "eval"),
        ("exec(body)", "exec"),
        ("compile(body, 'x', 'exec')", "compile"),
        ("__import__(name)", "__import__"),
        ("import importlib\nimportlib.import_module(name)", "importlib"),
        ("from importlib import import_module", "importlib"),
        ("import os\nos.system('ls')", "os.system"),
        ("import builtins\nbuiltins.eval('1')", "builtins.eval"),
        ("import subprocess\nsubprocess.run('ls', shell=True)", "shell=True"),
        ("getattr(__builtins__, 'ev' + 'al')", "__builtins__"),
        ("import sys\nsys.modules[name].loads(body)", "sys.modules"),
        ("print('hello')", "print"),
    ],
)
def test_sabotage_is_reported(source: str, danger: str) -> None:
    found = dangers_of("netstructer.codec.values", source)

    assert any(danger in sentence for sentence in found)


def test_what_is_harmless_is_not_reported() -> None:
    source = """
import os, re, sys
from importlib import resources
re.compile("a")
os.urandom(4)
numpy = sys.modules["numpy"]
page.print()
"""

    assert dangers_of("netstructer.codec.values", source) == []
    assert dangers_of("netstructer.cli.demo", "print('hello')") == []


def test_every_module_says_what_it_is() -> None:
    words = {module: ast.get_docstring(tree_of(source)) or "" for module, source in PACKAGE.items()}
    floors = {module: re.findall(r"\bFloor: (\w+)", said) for module, said in words.items() if module != "netstructer"}

    assert [module for module, said in words.items() if said == ""] == []
    assert [module for module, source in PACKAGE.items() if len(source.splitlines()) > LONGEST] == []
    assert [module for module, said in floors.items() if not said] == []
    assert [module for module, said in floors.items() if said[0].replace("Ç", "C") != floor_of(module)] == []


def test_every_public_function_and_class_has_a_docstring() -> None:
    bare = [
        f"{module}:{node.lineno} {node.name}"
        for module, whole in trees()
        for scope in [whole, *_classes(whole)]
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not _says_so_by_decorator(node)
        and not (scope is not whole and len(node.body) <= SHORT)
    ]

    assert bare == []


def test_no_exception_is_swallowed_bare() -> None:
    bare = [
        f"{module}:{node.lineno}"
        for module, whole in trees()
        for node in ast.walk(whole)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]

    assert bare == []


def test_the_package_ships_its_types() -> None:
    assert (ROOT / "netstructer" / "py.typed").exists()


def test_a_thread_left_behind_is_found() -> None:
    before = set(threading.enumerate())
    done = threading.Event()
    names = ("netstructer-handler-1", "netstructer-keeper", "somebody else")
    threads = [threading.Thread(target=done.wait, name=name) for name in names]
    for thread in threads:
        thread.start()
    found = [thread.name for thread in threads_of_ours(before)]
    done.set()
    for thread in threads:
        thread.join()

    assert found == ["netstructer-handler-1"]
    assert threads_of_ours(before) == []


# --- the reader -------------------------------------------------------------------------------------------------------


def dangers_of(module: str, source: str) -> list[str]:
    """Return one sentence for each place that could run what it reads, or that talks to the terminal."""
    return [
        f"{module}:{getattr(node, 'lineno', 0)}: {danger}"
        for node in ast.walk(tree_of(source))
        for danger in _dangers_in(node, module)
    ]


def _dangers_in(node: ast.AST, module: str) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        base = "" if isinstance(node, ast.Import) else f"{node.module}."
        banned = BANNED_MODULES if module in IMPORTERS else BANNED_MODULES | {"importlib"}
        return [f"imports {base}{alias.name}" for alias in node.names if _is_banned(base + alias.name, banned)]
    if isinstance(node, ast.Call):
        return _dangers_in_call(node, module)
    if isinstance(node, ast.Attribute) and ast.unparse(node) in BANNED_ATTRIBUTES:
        return [f"uses {ast.unparse(node)}"]
    if isinstance(node, ast.Name) and node.id == "__builtins__":
        return ["reaches for __builtins__"]
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
        return [] if isinstance(node.slice, ast.Constant) else ["takes a module out of sys.modules by a computed name"]
    return []


def _dangers_in_call(node: ast.Call, module: str) -> list[str]:
    called = node.func.id if isinstance(node.func, ast.Name) else ""
    found = [f"calls {called}"] if called in BANNED_CALLS else []
    if called == "print" and floor_of(module) != "ROOF":
        found.append("calls print below the roof")
    if any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords):
        found.append("starts a shell with shell=True")
    return found


def _is_banned(name: str, banned: set[str]) -> bool:
    return name.partition(".")[0] in banned and not any(f"{name}.".startswith(f"{fine}.") for fine in HARMLESS)


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Give the tree of each module."""
    return ((module, tree_of(source)) for module, source in PACKAGE.items())


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_public(node)]


def _is_public(node: ast.ClassDef) -> bool:
    """A protocol's members are described by those who have them."""
    return not node.name.startswith("_") and "Protocol" not in [ast.unparse(base) for base in node.bases]


def _says_so_by_decorator(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """An overload, or the setter of a property, stands beside the one that has the words."""
    return any(ast.unparse(d).endswith(("overload", ".setter", ".deleter")) for d in node.decorator_list)
