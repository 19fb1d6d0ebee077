"""A small stack: what is run on it has no more than the threads of a small C library, or of many servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["STACK_BYTES", "on_a_small_stack"]

STACK_BYTES = 256 * 1024

T = TypeVar("T")


def on_a_small_stack(work: Callable[[], T]) -> T:
    """Run on a thread of its own; return what it returns, raise what it raises."""
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(work())
        except BaseException as error:
            raised.append(error)

    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]
