"""Where the compiled loops let the interpreter do what it does between two lines of Python.  Floor: CODEC."""

from __future__ import annotations

__all__ = ["breathe"]


def breathe() -> None:
    """Do nothing: as a function in Python is entered, signals are handled, other threads run, garbage is collected."""
