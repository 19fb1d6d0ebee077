"""netstructer: send any Python structure to another machine, encrypted, in two lines.

    from netstructer import Link

    with Link(("192.168.1.5", 5000)) as link:
        link.send(["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])

The shop window.  Law: it shows names and holds nothing.  Each name is fetched when it is first asked for (PEP 562), so
that `import netstructer` costs a few milliseconds and whoever needs only `errors` loads no cipher.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netstructer import errors as errors
    from netstructer.actions import Actions as Actions
    from netstructer.actions import Context as Context
    from netstructer.codec.blob import Blob as Blob
    from netstructer.codec.types import register as register
    from netstructer.identity import Identity as Identity
    from netstructer.keys import Key as Key
    from netstructer.limits import Limits as Limits
    from netstructer.link import Link as Link
    from netstructer.server import Server as Server

__all__ = ["Actions", "Blob", "Context", "Identity", "Key", "Limits", "Link", "Server", "errors", "register"]

__version__ = "3.0.0.dev0"


_HOMES = {
    "Actions": "netstructer.actions",
    "Blob": "netstructer.codec.blob",
    "Context": "netstructer.actions",
    "Identity": "netstructer.identity",
    "Key": "netstructer.keys",
    "Limits": "netstructer.limits",
    "Link": "netstructer.link",
    "Server": "netstructer.server",
    "register": "netstructer.codec.types",
}
"""Where each name is made.  This table is the only thing that decides what is imported: no name comes from outside."""

if not TYPE_CHECKING:  # a type checker reads the imports above, and would take any misspelt name for an Any from here

    def __getattr__(name: str) -> Any:
        """Fetch a public name from its home, and keep it."""
        if name == "errors":
            return import_module("netstructer.errors")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        shown = getattr(import_module(_HOMES[name]), name)
        globals()[name] = shown
        return shown

    def __dir__() -> list[str]:
        return sorted([*__all__, "__doc__", "__version__"])
