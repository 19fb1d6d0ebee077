"""The eavesdropper of the demonstration: a relay on loopback that passes every byte on and keeps a copy.  Floor: ROOF.

He stands where a router stands: what he has is what anybody on the way has.  He is no part of netstructer; all he
can do is look.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from types import TracebackType

from netstructer.address import Address

__all__ = ["Eavesdropper", "Recording", "entropy", "frames_of", "occurrences"]

READ_BYTES = 1 << 16
LENGTH_BYTES = 4
HELLO_BYTES = 128
WAIT_SECONDS = 5.0

Recording = bytes


class Eavesdropper:
    """Stands between one client and `target`; `address` is where the client must connect to.  `with` ends it."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_SECONDS)
        self.address = Address(*self._listener.getsockname()[:2])
        self._heard = (bytearray(), bytearray())
        self._threads = [threading.Thread(target=self._stand_between, name="eavesdropper", daemon=True)]

    def __enter__(self) -> Eavesdropper:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.finish()

    def finish(self) -> None:
        """Wait until both ends have hung up."""
        for thread in self._threads:
            thread.join(WAIT_SECONDS)

    @property
    def from_client(self) -> Recording:
        """Every byte that the client sent."""
        return bytes(self._heard[0])

    @property
    def from_server(self) -> Recording:
        """Every byte that the server sent."""
        return bytes(self._heard[1])

    def _stand_between(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # nobody came
        with client, socket.create_connection(self._target, WAIT_SECONDS) as server:
            for end in (client, server):
                end.settimeout(None)
            back = threading.Thread(target=_pass_on, args=(server, client, self._heard[1]), daemon=True)
            back.start()
            _pass_on(client, server, self._heard[0])
            back.join(WAIT_SECONDS)


def _pass_on(source: socket.socket, sink: socket.socket, copy: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(READ_BYTES):
            copy += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def entropy(recording: bytes) -> float:
    """Return the bits per byte that the frequencies of the bytes leave open: 8.0 for noise."""
    total = len(recording)
    return -sum(count / total * math.log2(count / total) for count in Counter(recording).values())


def occurrences(words: Iterable[bytes], recording: bytes, *, prefix_bytes: int = 8) -> int:
    """Count the places of a recording where a word of at least `prefix_bytes` could begin.

    Looks at every place for the first 8 bytes of every word: where this finds none, none of the words is there.
    """
    prefixes = {word[:prefix_bytes] for word in words if len(word) >= prefix_bytes}
    return sum(recording[at : at + prefix_bytes] in prefixes for at in range(len(recording) - prefix_bytes + 1))


def frames_of(from_client: Recording) -> list[bytes]:
    """Return the frames behind the hello, as their lengths, which are in the clear, tell them apart."""
    frames = []
    at = HELLO_BYTES
    while at + LENGTH_BYTES <= len(from_client):
        end = at + LENGTH_BYTES + int.from_bytes(from_client[at : at + LENGTH_BYTES])
        frames.append(from_client[at:end])
        at = end
    return frames
