"""The root of all errors.  Floor: GROUND.  Law: no text holds a key, a password or a payload."""

from __future__ import annotations

from typing import Any, Self

__all__ = ["NetstructerError"]


class NetstructerError(Exception):
    """The root: catch this to catch all that netstructer raises."""

    action: str = ""
    """What was called at the peer, where that is what failed; of an error of this end's own nothing."""

    def __init__(self, text: str = "", **facts: Any) -> None:
        super().__init__(text)
        for name, fact in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no fact named {name!r}")
            setattr(self, name, fact)

    def again(self) -> Self:
        """Return a fresh error that says the same: what is kept is raised in many threads, and tracebacks pile up."""
        fresh = type(self)(*self.args)
        fresh.__dict__.update(self.__dict__)
        fresh.__cause__ = self.__cause__
        return fresh
