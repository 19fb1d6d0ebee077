"""Round trips of the small structure on a link that is idle, and on one that moves a blob as fast as it can.

Idle, during the blob, and idle again: what is called idle is both.  At the other end one thread answers and another one
takes the blob out; at this end one thread sends the blob and another one sends, and waits for, the small structure.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator

from bench.blobs import connected, endless
from bench.inputs import MIB, SMALL, same
from netstructer import Blob, Link

__all__ = ["measure"]

TRIPS = {"smoke": (50, 20), "short": (1000, 300), "full": (2500, 1000)}
"""Round trips on an idle link, before and after; during the blob."""
RUNNING_BYTES = 16 * MIB
"""What a blob has moved when it is taken for running at full speed: twice the credit of a link."""
START_SECONDS = 20.0


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "round trip / state of the link"."""
    idle_count, busy_count = TRIPS[scale]
    with connected() as (link, _):
        link.send(SMALL)
        if not same(link.recv(), SMALL):
            raise RuntimeError("the small structure came back changed")
        _time_trips(link, idle_count // 10)
        idle = _time_trips(link, idle_count)
        with Running(link) as blob:
            moved, began = blob.moved_bytes, time.perf_counter()
            busy = _time_trips(link, busy_count)
            rate = (blob.moved_bytes - moved) / MIB / (time.perf_counter() - began)
        length = link.recv()
        idle += _time_trips(link, idle_count)
    if length != blob.moved_bytes:
        raise RuntimeError(f"expected {blob.moved_bytes} bytes, found {length}")
    return {
        "round trip / idle": _figures(idle),
        "round trip / during a blob": {**_figures(busy), "mebibytes_per_second": rate},
    }


class Running:
    """A blob that is sent, in a thread of its own, from entering to leaving."""

    def __init__(self, link: Link) -> None:
        self.moved_bytes = 0
        self._link = link
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while self.moved_bytes < RUNNING_BYTES:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the blob does not run") from self._error
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _send(self) -> None:
        try:
            self._link.send({"scan": Blob.from_iter(self._pieces())})
        except BaseException as error:
            self._error = error

    def _pieces(self) -> Iterator[bytes]:
        for piece in endless():
            if self._over.is_set():
                return
            self.moved_bytes += len(piece)
            yield piece


def _time_trips(link: Link, count: int) -> list[int]:
    now, taken = time.perf_counter_ns, []
    for _ in range(count):
        began = now()
        link.send(SMALL)
        link.recv()
        taken.append(now() - began)
    return taken


def _figures(taken: list[int]) -> dict[str, float]:
    last = sorted(taken)[len(taken) * 99 // 100]
    return {"median_us": statistics.median(taken) / 1e3, "p99_us": last / 1e3}


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
