"""Strategies for Hypothesis: everything that travels, frames, faults and plans.  Floor: FAÇADES.

Law: Hypothesis is imported when a strategy is asked for, and nothing of it is needed for the rest of the kit.

    @given(values())
    def test_my_server_gives_back_what_it_was_given(value):
        assert roundtrip(value) == value

(A nan is equal to nothing: `values([int, str, list])` and the like draw none.)  How each is drawn: `drawing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netstructer.errors import Misuse

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from netstructer.testing.faults import Fault
    from netstructer.testing.framing import FrameStream, Mutation

__all__ = ["INSTALL_COMMAND", "chaos_faults", "chaos_plans", "frames", "hashable_values", "mutated_frames", "values"]

INSTALL_COMMAND = "pip install 'netstructer[testing]'"


def values(
    of: Iterable[type] | None = None,
    *,
    max_leaves: int = 12,
    numpy: bool | None = None,
    leaves: Sequence[SearchStrategy[Any]] = (),
    containers: Callable[[SearchStrategy[Any]], Sequence[SearchStrategy[Any]]] | None = None,
    keys: Callable[[SearchStrategy[Any]], Sequence[SearchStrategy[Any]]] | None = None,
) -> SearchStrategy[Any]:
    """Return a strategy for nested values of every type that travels, but a `Blob`.

    `of` names the types that may occur, `values([int, str, list, dict])`; by default all.  `max_leaves` is about how
    many values that hold no others there are in one.  `numpy` says whether arrays and scalars of numpy are among them;
    by default they are where it is installed.  Types of your own come in by `leaves`, more strategies for values that
    hold no others; by `containers`, a function of a strategy that returns strategies for what holds such values; and by
    `keys`, the same for what may be a key and a member of a set.

    Raises `Misuse` where Hypothesis is not installed, and for a type that does not travel.
    """
    drawn: SearchStrategy[Any] = _drawing().values(
        of, max_leaves=max_leaves, numpy=numpy, leaves=leaves, containers=containers, keys=keys
    )
    return drawn


def hashable_values(
    of: Iterable[type] | None = None,
    *,
    keys: Callable[[SearchStrategy[Any]], Sequence[SearchStrategy[Any]]] | None = None,
) -> SearchStrategy[Any]:
    """Return a strategy for what may be a key of a dict and a member of a set; `of` and `keys` as in `values`."""
    drawn: SearchStrategy[Any] = _drawing().hashable_values(of, keys=keys)
    return drawn


def frames(secret: bytes = bytes(32), *, most: int = 8) -> SearchStrategy[FrameStream]:
    """Return a strategy for streams of whole, well-formed frames, as one end of one transport would send them.

    `secret` is the first traffic secret of that direction, 32 bytes.  The records have kinds, flags, streams and bodies
    of every sort: sealed and numbered rightly, and seldom what a conversation would say.
    """
    drawn: SearchStrategy[FrameStream] = _mishaps().frames(secret, most)
    return drawn


def mutated_frames(secret: bytes = bytes(32), *, most: int = 8) -> SearchStrategy[Mutation]:
    """Return a strategy for such streams and what became of them on the way: changed, cut, doubled, swapped, dropped.

    A reader gives what stands before the first change, and then a `PeerFault`, or waits for more; never a record that
    was not sent at that place.
    """
    drawn: SearchStrategy[Mutation] = _mishaps().mutated_frames(secret, most)
    return drawn


def chaos_faults(*, most_bytes: int = 10_000) -> SearchStrategy[Fault]:
    """Return a strategy for faults of every kind, within so many bytes."""
    drawn: SearchStrategy[Fault] = _mishaps().faults(most_bytes)
    return drawn


def chaos_plans(*, most_bytes: int = 10_000, most_connections: int = 4) -> SearchStrategy[list[list[Fault]]]:
    """Return a strategy for plans: faults for the first connections, which heal; all is well from some number on."""
    drawn: SearchStrategy[list[list[Fault]]] = _mishaps().plans(most_bytes, most_connections)
    return drawn


def _drawing() -> Any:
    try:
        from netstructer.testing import drawing
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return drawing


def _mishaps() -> Any:
    try:
        from netstructer.testing import mishaps
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return mishaps


def _missing(error: ModuleNotFoundError) -> Exception:
    if (error.name or "").partition(".")[0] != "hypothesis":
        return error
    return Misuse(f"strategies need Hypothesis: {INSTALL_COMMAND}")
