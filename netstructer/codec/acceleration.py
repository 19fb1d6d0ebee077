"""Which of the two codecs runs: the compiled loops, or those in Python.  Floor: CODEC.

Both give the same bytes and the same errors (tests/test_acceleration.py), so nothing asks but the check-up.  Law: the
compiled ones are never needed.  Where they were not built, are out of date (an editable checkout that has moved on), do
not load, or are not wanted (NETSTRUCTER_PURE=1), those in Python run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

from netstructer.codec.freshness import digest

__all__ = ["CHOICE", "PURE_VARIABLE", "Choice", "choose"]

PURE_VARIABLE = "NETSTRUCTER_PURE"


class Choice(NamedTuple):
    """The compiled module, or `None`; and why, in a few words."""

    compiled: ModuleType | None
    reason: str


def choose(environment: Mapping[str, str], load: Callable[[], ModuleType], read: Callable[[], str] = digest) -> Choice:
    """Choose by the environment and by what is there: `load` imports the compiled module, `read` gives the digest of
    the sources as they are."""
    if environment.get(PURE_VARIABLE, "") not in ("", "0"):
        return Choice(None, f"{PURE_VARIABLE} is set")
    try:
        compiled = load()
    except ModuleNotFoundError:
        return Choice(None, "the accelerator was not built; it takes a C compiler when the package is installed")
    except ImportError as error:
        return Choice(None, f"the accelerator does not load: {error}")
    try:
        fresh = read() == compiled.SOURCES
    except OSError:
        fresh = False
    if not fresh:
        return Choice(None, "the accelerator was built from other sources; install the package again")
    return Choice(compiled, "built when the package was installed")


def _load() -> ModuleType:
    import netstructer.codec._fast as compiled

    return compiled


CHOICE = choose(os.environ, _load)
