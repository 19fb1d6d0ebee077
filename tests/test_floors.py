"""The floors of the house: a module imports only from floors below its own, and each door is in one place.

Read with `ast`, not by importing, so that imports inside functions and under TYPE_CHECKING count too.  A module that
has no floor in the tables below fails the test: a new file is given its place before it is given its code.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "netstructer"
WINDOW = "netstructer"

FLOORS = ("GROUND", "CODEC", "PROTOCOL", "COMMONS", "FACADES", "SERVICES", "ROOF")
MODULES = {
    "netstructer.limits": "GROUND",
    "netstructer.keys": "GROUND",
    "netstructer.keyring": "GROUND",
    "netstructer.private_files": "GROUND",
    "netstructer.sqlite_faults": "GROUND",
    "netstructer.address": "GROUND",
    "netstructer.names": "GROUND",
    "netstructer.registry": "COMMONS",
    "netstructer.rotation": "FACADES",
    "netstructer.stats": "COMMONS",
    "netstructer.admission": "COMMONS",
    "netstructer.porter": "COMMONS",
    "netstructer.stranger": "COMMONS",
    "netstructer.penalties": "COMMONS",
    "netstructer.logbudget": "COMMONS",
    "netstructer.occupancy": "COMMONS",
    "netstructer.bans": "COMMONS",
    "netstructer.actions": "COMMONS",
    "netstructer.groups": "COMMONS",
    "netstructer.calling": "FACADES",
    "netstructer.answering": "FACADES",
    "netstructer.answerable": "FACADES",
    "netstructer.observers": "FACADES",
    "netstructer.talking": "FACADES",
    "netstructer.crew": "FACADES",
    "netstructer.courtesies": "COMMONS",
    "netstructer.dialogues": "FACADES",
    "netstructer.noting": "FACADES",
    "netstructer.credentials": "COMMONS",
    "netstructer.identity": "COMMONS",
    "netstructer.known_servers": "COMMONS",
    "netstructer.timers": "COMMONS",
    "netstructer.turnstile": "COMMONS",
    "netstructer.descriptors": "FACADES",
    "netstructer.link": "FACADES",
    "netstructer.server": "FACADES",
    "netstructer.keeper": "FACADES",
    "netstructer.door": "FACADES",
    "netstructer.lan": "FACADES",
    "netstructer.listener": "FACADES",
    "netstructer.sockets": "FACADES",
    "netstructer.dial": "FACADES",
    "netstructer.pump": "FACADES",
    "netstructer.mate": "FACADES",
    "netstructer.pipe": "FACADES",
    "netstructer.changeover": "FACADES",
    "netstructer.redial": "FACADES",
    "netstructer.tidings": "FACADES",
    "netstructer.reception": "FACADES",
    "netstructer.serving": "FACADES",
    "netstructer.leaving": "FACADES",
    "netstructer.signals": "FACADES",
    "netstructer.goals": "PROTOCOL",
    "netstructer.backoff": "COMMONS",
    "netstructer.exchange": "FACADES",
    "netstructer.submission": "FACADES",
    "netstructer.incoming": "FACADES",
    "netstructer.receipt": "FACADES",
    "netstructer.beside": "FACADES",
    "netstructer.errands": "FACADES",
    "netstructer.courier": "FACADES",
    "netstructer.conversation": "FACADES",
    "netstructer.fairlock": "FACADES",
    "netstructer.user_keys": "GROUND",
    "netstructer.pairing.hosting": "FACADES",
    "netstructer.pairing.visiting": "FACADES",
    "netstructer.pytest_plugin": "FACADES",
    "netstructer.__main__": "ROOF",
}
"""The floor of each module at the top of the package."""
FOLDERS = {
    "netstructer.errors": "GROUND",
    "netstructer.codec": "CODEC",
    "netstructer.protocol": "PROTOCOL",
    "netstructer.transfer": "COMMONS",
    "netstructer.pairing": "COMMONS",
    "netstructer.durable": "COMMONS",
    "netstructer.aio": "FACADES",
    "netstructer.services": "SERVICES",
    "netstructer.cli": "ROOF",
    "netstructer.compat": "ROOF",
    "netstructer.testing": "FACADES",
    "netstructer.web": "ROOF",
}
"""The floor of everything in a folder."""

DOORS = {
    "cryptography": {
        "netstructer.keys",
        "netstructer.codec.tokens",
        "netstructer.codec.gcm",
        "netstructer.codec.slots",
        "netstructer.durable.sealing",
        "netstructer.protocol.noise",
        "netstructer.services.passwords",
        "netstructer.cli.certificates",
    },
    "zstandard": {"netstructer.codec.compression"},
}
"""The modules through which each dependency comes in."""
EXTRAS: dict[str, str | tuple[str, ...]] = {
    "typer": "netstructer.cli",
    "rich": "netstructer.cli",
    "click": "netstructer.cli",
    "numpy": ("netstructer.codec", "netstructer.testing.drawing"),
    "spake2": "netstructer.pairing",
    "hypothesis": ("netstructer.testing.drawing", "netstructer.testing.mishaps", "netstructer.testing.strategies"),
    "pytest": "netstructer.pytest_plugin",
    "typeguard": "netstructer.actions",
    "prompt_toolkit": ("netstructer.services.admin.typed", "netstructer.cli.chat.terminal"),
}
"""The folders or modules in which an optional package may be imported."""

WORLD = {
    *("socket", "socketserver", "ssl", "select", "selectors", "asyncio", "signal", "subprocess", "multiprocessing"),
    *("threading", "_thread", "concurrent", "queue", "sched", "time", "random"),
}
"""Sockets, threads, loops, clocks and chance: below FACADES they come in by the door, as arguments."""
LOCKS = {
    *("netstructer.codec.types", "netstructer.codec.spool", "netstructer.codec.room", "netstructer.codec.slots"),
    "netstructer.durable.outbox",
    *("netstructer.registry", "netstructer.keyring", "netstructer.penalties", "netstructer.occupancy"),
    *("netstructer.bans", "netstructer.groups"),
    "netstructer.user_keys",
}
"""The modules below FACADES that may import `threading`, for a lock and nothing else: links share their tables."""

STREET = ("compression", "chunks", "tokens", "frames", "spool")
"""The steps of the payload's street beside the value family: each is a stranger to every other module of the codec."""
PARTS = {"room": "spool", "slots": "spool", "gcm": "tokens", "ciphers": "tokens"}
"""The modules of a step that is more than one."""

MEETINGS = {("netstructer.codec.reading", "compression")}
"""Where a module of the codec takes a step itself: what is read of a blob is expanded as far as it is asked for."""


class Import(NamedTuple):
    """One imported module, and the line that imports it."""

    line: int
    target: str


def test_every_module_keeps_to_its_floor() -> None:
    modules = read_package()

    faults = [fault for module, source in modules.items() for fault in faults_of(module, source, modules)]

    assert faults == []
    assert len(modules) > 10


def test_no_two_modules_import_each_other() -> None:
    assert cycle_of(read_package()) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("netstructer.codec.frames", "from netstructer.protocol import session", "PROTOCOL is not below CODEC"),
        ("netstructer.codec.frames", "import netstructer.link", "FACADES is not below CODEC"),
        ("netstructer.codec.frames", "import netstructer.codec.tokens", "steps of the street are strangers"),
        ("netstructer.codec.values", "from netstructer.codec import compression", "steps of the street are strangers"),
        (
            "netstructer.codec.values",
            "from netstructer.codec.room import SpoolRoom",
            "steps of the street are strangers",
        ),
        ("netstructer.codec.slots", "from netstructer.codec import chunks", "steps of the street are strangers"),
        ("netstructer.codec.values", "def f():\n    import netstructer.server", "FACADES is not below CODEC"),
        (
            "netstructer.errors",
            "if TYPE_CHECKING:\n    from netstructer.link import Link",
            "FACADES is not below GROUND",
        ),
        ("netstructer.protocol.session", "import socket", "socket below FACADES"),
        ("netstructer.protocol.session", "from time import monotonic", "time below FACADES"),
        ("netstructer.protocol.states", "def f():\n    from threading import Lock", "threading below FACADES"),
        ("netstructer.codec.values", "import cryptography.fernet", "cryptography has its doors"),
        ("netstructer.link", "import zstandard", "zstandard has its doors"),
        ("netstructer.codec.values", "import msgpack", "msgpack is no dependency"),
        ("netstructer.link", "from rich import print", "rich belongs to netstructer.cli"),
        ("netstructer.link", "from netstructer import Server", "the shop window is for the roof"),
        ("netstructer.link", "from .server import Server", "relative"),
        ("netstructer.link", "from netstructer.services import chat", "SERVICES is not below FACADES"),
        ("netstructer.services.chat", "from netstructer.link import Link", "services never see a façade"),
        ("netstructer.novel", "", "has no floor"),
        ("netstructer.novel.deep", "", "has no floor"),
    ],
)
def test_sabotage_is_reported(module: str, source: str, fault: str) -> None:
    known = dict.fromkeys([*MODULES, *read_package(), "netstructer.protocol.session", "netstructer.services.chat"], "")

    found = faults_of(module, source, known)

    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("netstructer.link", "import socket\nimport threading\nfrom netstructer import errors"),
        ("netstructer.keys", "def f():\n    from cryptography.fernet import Fernet"),
        ("netstructer.codec.values", "from netstructer.codec import types\nfrom netstructer.limits import Limits"),
        ("netstructer.protocol.session", "from netstructer.codec import chunks, compression, frames, tokens, values"),
        ("netstructer.cli.demo", "import rich\nfrom netstructer import Link, Server\nimport time"),
    ],
)
def test_what_is_allowed_is_not_reported(module: str, source: str) -> None:
    known = dict.fromkeys([*MODULES, *read_package(), "netstructer.codec.types", "netstructer.codec.values"], "")

    assert faults_of(module, source, known) == []


def test_a_cycle_is_reported() -> None:
    modules = {
        "netstructer.link": "import netstructer.server",
        "netstructer.server": "def f():\n from netstructer import link",
    }

    assert cycle_of(modules) == ["netstructer.link", "netstructer.server", "netstructer.link"]


# --- the reader -------------------------------------------------------------------------------------------------------


@cache
def read_package() -> dict[str, str]:
    """Return the source of every module of the package, by its dotted name."""
    return {_name_of(path): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree_of(source: str) -> ast.Module:
    """Return the tree of a source, which several tests of a process look at and none changes."""
    return ast.parse(source)


def _name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> str | None:
    """Return the floor of a module, or None where the tables give it none."""
    if module == WINDOW:
        return "ROOF"
    if module in MODULES:
        return MODULES[module]
    return FOLDERS.get(".".join(module.split(".")[:2]))


def imports_of(tree: ast.AST, known: dict[str, str]) -> list[Import]:
    """Return every import of a source; a name taken from a package counts as the submodule, where there is one."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            inside = [f"{base}.{alias.name}" for alias in node.names]
            found += [Import(node.lineno, name if name in known or floor_of(name) else base) for name in inside]
    return sorted(set(found))


def faults_of(module: str, source: str, known: dict[str, str]) -> list[str]:
    """Return one sentence for each import (and for the module itself) that breaks a law of the house."""
    floor = floor_of(module)
    if floor is None:
        return [f"{module} has no floor: give it one in tests/test_floors.py and docs/map.md"]
    faults = []
    for line, target in imports_of(tree_of(source), known):
        reason = _reason_against(module, floor, target)
        if reason:
            faults.append(f"{module}:{line}: imports {target}: {reason}")
    return faults


def cycle_of(modules: dict[str, str]) -> list[str]:
    """Return the modules of one circle of imports, or nothing.  What only a type checker imports closes no circle."""
    graph = {
        module: {found.target for found in imports_of(_without_types(source), modules)} & set(modules) - {module}
        for module, source in modules.items()
        if module != WINDOW
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = list(error.args[1])
        least = circle.index(min(circle))
        return [*circle[least:-1], *circle[:least], circle[least]]
    return []


def _without_types(source: str) -> ast.Module:
    """Return the tree of a source without what only a type checker reads."""
    body = tree_of(source).body
    kept = [node for node in body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))]
    return ast.Module(kept, [])


def _reason_against(module: str, floor: str, target: str) -> str | None:
    root = target.partition(".")[0]
    if target.startswith("."):
        return "imports are absolute, never relative"
    if root == "netstructer":
        return _reason_against_ours(module, floor, target)
    if root in sys.stdlib_module_names:
        held = root == "threading" and module in LOCKS
        if root in WORLD and not held and _rank(floor) < _rank("FACADES"):
            return f"{root} below FACADES: let it come in by the door"
        return None
    if root in DOORS:
        return None if module in DOORS[root] else f"{root} has its doors, and this is none of them"
    if root in EXTRAS:
        homes = EXTRAS[root] if isinstance(EXTRAS[root], tuple) else (EXTRAS[root],)
        return None if any(_within(module, home) for home in homes) else f"{root} belongs to {' and '.join(homes)}"
    return f"{root} is no dependency of netstructer"


def _reason_against_ours(module: str, floor: str, target: str) -> str | None:
    if floor == "ROOF":
        return None
    if target == WINDOW:
        return "the shop window is for the roof and for users; import the name from its home"
    below = floor_of(target)
    if below is None:
        return "it has no floor"
    if floor == "SERVICES" and below == "FACADES":
        return "services never see a façade"
    if floor == below == "CODEC" and _step(module) != _step(target) and (module, _step(target)) not in MEETINGS:
        return "the steps of the street are strangers; only protocol/session.py introduces them"
    return None if _rank(below) <= _rank(floor) else f"{below} is not below {floor}"


def _step(module: str) -> str:
    """Return the step of the street that a codec module is; all that is no other step is of the value family."""
    name = "".join(module.split(".")[2:3])
    return PARTS.get(name, name if name in STREET else "values")


def _within(module: str, folder: str) -> bool:
    return module == folder or module.startswith(folder + ".")


def _rank(floor: str) -> int:
    return FLOORS.index(floor)
