"""Many small cases in one test: a test of pytest's takes some milliseconds of a processor, a case next to nothing.

Cells that nobody runs by themselves go through one test, whose error says in which it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SHOWN = 200
"""Characters of one name that are shown."""


@contextmanager
def case(*named: object) -> Iterator[None]:
    """Have what is raised inside say which case it was.  What names it is written only then."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the case of {', '.join(map(_written, named))}")
        raise


def _written(named: object) -> str:
    try:
        return (named if isinstance(named, str) else ascii(named))[:SHOWN]
    except Exception as error:  # an int may be too long to be written
        return f"a {type(named).__name__} that cannot be written: {error}"
