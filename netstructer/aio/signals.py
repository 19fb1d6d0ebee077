"""Signals: SIGTERM asks a server to leave.  Floor: FAÇADES.  Law: only in the main thread, and only for a while."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["terminable"]


@contextlib.contextmanager
def terminable(leave: Callable[[], object]) -> Iterator[None]:
    """Call `leave` in the loop where SIGTERM comes; nothing, in another thread than the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(leave)

    # `loop.add_signal_handler` is not there on Windows; a loop that sleeps is woken by what `hear` writes to it.
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        # None stands for a handler that was not installed from Python, and cannot be put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
