"""The file room: the one directory that `serve --files` answers from.  Floor: ROOF."""

from __future__ import annotations

import os
import time
from typing import Any

from netstructer.services.patience import STALL_SECONDS
from netstructer.services.room import Room
from netstructer.transfer import Channel, Transfer, serve

__all__ = ["FileRoom"]


class FileRoom(Room):
    """A directory that is served.  Raises `OSError` where it is none."""

    def __init__(self, directory: str, *, writable: bool, stall: float = STALL_SECONDS) -> None:
        super().__init__(stall)
        self.path = os.path.realpath(directory)
        self.writable = writable
        with os.scandir(self.path):
            pass  # it is a directory, and may be read

    def _answer(self, link: Any, channel: Channel, first: object) -> Transfer | None:
        return serve(channel, first, self.path, writable=self.writable, clock=time.monotonic)
