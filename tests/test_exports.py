"""The shop window: what `netstructer` shows, that each name is real and documented, and that a look costs nothing.

Every module's `__all__` is held too: it is there, free of strangers, and names only what the module itself makes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import netstructer
from test_floors import read_package, tree_of

PUBLIC = ["Actions", "Blob", "Context", "Identity", "Key", "Limits", "Link", "Server", "errors", "register"]
HEAVY = ("cryptography", "zstandard", "numpy", "asyncio", "typer", "rich", "ssl", "socket", "multiprocessing")
"""What `import netstructer` must not pull in: it is paid for when the first name that needs it is asked for."""
MODULES = sorted(name for name in read_package() if name != "netstructer" and not name.endswith("__main__"))


def test_all_is_the_public_face() -> None:
    assert netstructer.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    shown = getattr(netstructer, name)

    assert inspect.getdoc(shown)
    assert name in dir(netstructer)
    assert getattr(netstructer, name) is shown


def test_star_import_brings_exactly_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from netstructer import *", names)

    assert sorted(name for name in names if not name.startswith("__")) == PUBLIC


def test_a_type_checker_sees_the_names_that_users_see() -> None:
    window = tree_of(read_package()["netstructer"])
    guarded = next(n for n in window.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {
        alias.name: statement.module
        for statement in guarded.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert sorted(seen) == PUBLIC
    assert seen == {**netstructer._HOMES, "errors": "netstructer"}


@pytest.mark.parametrize("name", ["Lnik", "link_", "_Link", "os"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(netstructer, name)


def test_the_import_is_light() -> None:
    script = "import sys; before = set(sys.modules); import netstructer; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "netstructer" in loaded
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    assert [name for name in loaded if name.startswith("netstructer.")] == []


def test_a_command_loads_no_service_that_only_others_need() -> None:
    script = "import sys, netstructer.cli.app; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    services = ("accounts", "admin", "audit", "audit_reader", "chat", "files", "signin", "store")

    assert "netstructer.services.configuration" in loaded
    assert loaded & {"prompt_toolkit", *(f"netstructer.services.{name}" for name in services)} == set()


def test_every_module_says_what_it_exports() -> None:
    for module in MODULES:
        names = _exports_of(module)
        loaded = importlib.import_module(module)

        assert len(names) == len(set(names)), module
        assert [name for name in names if not hasattr(loaded, name)] == [], module
        assert [name for name in names if name.startswith("_")] == [], module
        assert [name for name in names if not _is_made_in(module, getattr(loaded, name))] == [], module
        assert [name for name in names if _wants_words(getattr(loaded, name))] == [], module


def _exports_of(module: str) -> list[str]:
    tree = tree_of(read_package()[module])
    if len(tree.body) <= 1:  # a package that holds a docstring and nothing else
        return []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return list(ast.literal_eval(statement.value))
    pytest.fail(f"{module} has no __all__")


def _is_made_in(module: str, shown: object) -> bool:
    """Say whether a name is the module's own, or its family's: a module stands for its folder, or for its submodules.

    Constants do not say where they live.
    """
    folder = module.rpartition(".")[0]
    home = getattr(shown, "__module__", None) if isinstance(shown, type) or callable(shown) else None
    if not isinstance(home, str) or not home.startswith("netstructer"):
        return True
    if home == folder == "netstructer.errors":
        return True  # the errors show where users import them from
    return home.startswith(module) or (folder != "netstructer" and home.rpartition(".")[0] == folder)


def _wants_words(shown: object) -> bool:
    return (inspect.isclass(shown) or inspect.isfunction(shown)) and not inspect.getdoc(shown)
