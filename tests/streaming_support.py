"""Ends of links in processes of their own, moved from the test like puppets; and a watcher of what they write.

`Puppet` is the test's side.  Run as a program, this file is the other side: it takes orders, a JSON object a line, from
its standard input, carries each out in a thread of its own, and answers on its standard output.  Bytes are made,
hashed and measured where they are; the test moves only orders and figures.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import json
import os
import queue
import random
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands import start_python
from loopback import KEY, PATIENCE_SECONDS, ROOT, eventually
from netstructer import Blob, Limits, Link, Server

__all__ = ["CANARY", "KIB", "MIB", "Failed", "Puppet", "Reply", "contents", "make_sparse", "puppet", "still"]

KIB = 1 << 10
MIB = 1 << 20
CANARY = hashlib.sha256(b"what must never lie on a disk in the clear").digest()
"""32 bytes that no compressor makes smaller: where they are stored, sealed by nobody, they can be found."""
PERIOD = 16
"""Pieces of random bytes that differ; no compressor here looks back that far."""
LOOK_SECONDS = 0.05
STILL_LOOKS = 20
STILL_SECONDS = 0.02


# --- the test's side --------------------------------------------------------------------------------------------------


class Failed(Exception):
    """An order ended with an error; `name` is its type's."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Reply:
    """What becomes of one order."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] | None = None
        self._come = threading.Event()

    @property
    def done(self) -> bool:
        return self._come.is_set()

    def set(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._come.set()

    def result(self, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for the answer and return it.  Raises `Failed`."""
        assert self._come.wait(seconds), f"no answer within {seconds:.0f} s"
        assert self._answer is not None
        if "error" in self._answer:
            raise Failed(self._answer["error"], self._answer["text"])
        return self._answer["result"]

    def failure(self, seconds: float = PATIENCE_SECONDS) -> str | None:
        """Wait for the answer and return the type of the error in it, or None."""
        try:
            self.result(seconds)
        except Failed as failed:
            return failed.name
        return None


class Puppet:
    """Another process with one end of a link."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self._replies: dict[int, Reply] = {}
        self._numbers = itertools.count()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, act: str, **arguments: Any) -> Reply:
        """Have an order carried out, and do not wait."""
        number, reply = next(self._numbers), Reply()
        self._replies[number] = reply
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"number": number, "act": act, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        return reply

    def do(self, act: str, seconds: float = PATIENCE_SECONDS, **arguments: Any) -> Any:
        """Have an order carried out, and return what came of it.  Raises `Failed`."""
        return self.start(act, **arguments).result(seconds)

    def end(self) -> None:
        """End the process, by force where it has to be."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            self._replies.pop(answer["number"]).set(answer)
        for reply in list(self._replies.values()):
            reply.set({"error": "ProcessEnded", "text": "the process is over"})


@contextlib.contextmanager
def puppet(folder: Path, *, prefix: tuple[str, ...] = ()) -> Iterator[Puppet]:
    """Run a process whose temporary directory is `folder`; at the end it is gone.

    `prefix` is a command that runs it, as `unshare` does.
    """
    folder.mkdir(exist_ok=True)
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": places, "NETSTRUCTER_KEY": KEY.reveal(), "TMPDIR": str(folder)}
    if prefix:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
    else:
        process = start_python(__file__, environment=environment, stderr=None)
    found = Puppet(process)
    try:
        yield found
    finally:
        found.end()


def still(end: Puppet) -> int:
    """Wait until an end takes nothing more from its sources, and sends nothing; return how many bytes it has taken.

    What is claimed about an end that stands still must hold for a slow one too: a busy machine may let it pass for one.
    """
    found: list[tuple[int, int]] = []

    def unchanged() -> bool:
        found.append(tuple(end.do("progress")))
        time.sleep(STILL_SECONDS)
        return len(found) > STILL_LOOKS and len(set(found[-STILL_LOOKS:])) == 1

    eventually(unchanged, "standing still")
    return found[-1][0]


def make_sparse(path: Path, size: int, *, islands: int = 16) -> None:
    """Make a file of nothing, with islands of random bytes in it and at its end."""
    draw = random.Random(size)
    with open(path, "wb") as file:
        for number in range(islands):
            file.seek((number + 1) * size // islands - 64 * KIB)
            file.write(draw.randbytes(64 * KIB))


def contents(folder: Path) -> list[str]:
    """Return everything below a directory, by name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- the other side ---------------------------------------------------------------------------------------------------


class Actor:
    """What a puppet can do: each public method is an order."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._link: Link | None = None
        self._blobs: list[Any] = []
        self._held: list[Any] = []
        self._resident = 0
        self._pulled = 0
        self._looks = 0
        self._stopped, self._go_on, self._over = threading.Event(), threading.Event(), threading.Event()

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    # --- links ------------------------------------------------------------------------------------------------------

    def serve(self, **limits: Any) -> int:
        """Listen; return the port."""
        self._server = Server(("127.0.0.1", 0), limits=Limits(**limits)).start()
        return self._server.address.port

    def accept(self) -> None:
        assert self._server is not None
        self._link = self._server.accept(timeout=PATIENCE_SECONDS)

    def connect(self, port: int, resume: bool = True, **limits: Any) -> None:
        self._link = Link(("127.0.0.1", port), resume=resume, limits=Limits(**limits))

    def send(self, value: Any) -> None:
        self.link.send(value)

    def recv(self) -> Any:
        """Return the next value; of a dict with a blob, which is kept for `read`, "blob"."""
        value = self.link.recv(timeout=PATIENCE_SECONDS)
        if isinstance(value, dict):
            self._blobs.append(value["scan"])
            return "blob"
        return value

    def close(self) -> None:
        self.link.close()
        if self._server is not None:
            self._server.close()

    # --- memory -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Begin to count the growth of resident memory from here."""
        gc.collect()
        with open("/proc/self/clear_refs", "w") as marks:
            marks.write("5")  # the peak is what is resident now
        self._resident = _resident_bytes("VmRSS:")

    def growth(self) -> int:
        """Return the bytes by which resident memory has grown since, at its peak."""
        return _resident_bytes("VmHWM:") - self._resident

    # --- blobs ------------------------------------------------------------------------------------------------------

    def send_blob(self, kind: str, size: int, compress: bool = True, path: str | None = None) -> str:
        """Send a blob in a dict; return its digest.  `kind`: random, canary, mixed, or file."""
        digest = hashlib.sha256()
        if kind == "file":
            assert path is not None
            blob = Blob.from_path(path)
        else:
            blob = Blob.from_iter(self._pulling(_pieces(kind, size), digest))
        self.link.send({"scan": blob, "n": 1}, compress=compress)
        if kind == "file":
            assert path is not None
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return digest.hexdigest()

    def _pulling(self, pieces: Iterator[bytes], digest: Any) -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            self._pulled += len(piece)
            yield piece

    def progress(self) -> tuple[int, int]:
        """Return the bytes that were taken from iterators, and those that were sent."""
        return self._pulled, self.link.stats.wire_sent

    def read(self, number: int = 0, how: str = "iterate", stop_after: int = -1, path: str = "") -> dict[str, Any]:
        """Read a blob; after `stop_after` bytes wait until `go_on`.  Return its length and digest."""
        digest, length = hashlib.sha256(), 0
        for chunk in _ways_to_read(self._blobs[number], how, path):
            digest.update(chunk)
            length += len(chunk)
            if 0 <= stop_after <= length:
                stop_after = -1
                self._stopped.set()
                assert self._go_on.wait(LONG_SECONDS)
        return {"length": length, "digest": digest.hexdigest()}

    def stopped(self) -> None:
        """Return when a `read` has stopped."""
        assert self._stopped.wait(PATIENCE_SECONDS)

    def go_on(self) -> None:
        self._go_on.set()

    # --- disk -------------------------------------------------------------------------------------------------------

    def limit_files(self, size: int) -> None:
        """Let no file of this process grow beyond `size` bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def leak(self, folder: str, named: bool) -> None:
        """Do what must not be done: leave the canary in a file, between other bytes."""
        path = Path(folder) / "leak"
        file = open(path, "wb+")  # noqa: SIM115 - what is held open is the point
        file.write(bytes(LOOK_BYTES - 16) + CANARY)
        file.flush()
        self._held.append(file)
        if not named:
            path.unlink()

    def watch(self, folders: list[str], pids: list[int]) -> dict[str, Any]:
        """Look at every file below directories, and at every file that processes have open, until `stop_watching`.

        Returns how often that was, where the canary was found, and the most bytes that unlinked files held at a time.
        """
        hits, most = set(), 0
        while True:
            last = self._over.is_set()
            unlinked = 0
            for where in _open_files(folders, pids):
                with contextlib.suppress(OSError), open(where, "rb") as file:
                    if " (deleted)" in os.path.realpath(where):
                        unlinked += os.fstat(file.fileno()).st_size
                    if _holds_canary(file):
                        hits.add(where)
            self._looks += 1
            most = max(most, unlinked)
            if last:
                return {"looks": self._looks, "hits": sorted(hits), "unlinked_bytes": most}
            self._over.wait(LOOK_SECONDS)

    def looks(self) -> int:
        """Return how often `watch` has looked by now."""
        return self._looks

    def stop_watching(self) -> None:
        self._over.set()


LOOK_BYTES = 256 * KIB
LONG_SECONDS = 600.0


def _ways_to_read(blob: Any, how: str, path: str) -> Iterator[bytes]:
    if how == "iterate":
        yield from blob
    elif how == "open":
        with blob.open() as file:
            while chunk := file.read(100_000):
                yield chunk
    else:
        blob.save(path)
        with open(path, "rb") as file:
            while chunk := file.read(MIB):
                yield chunk


def _pieces(kind: str, size: int) -> Iterator[bytes]:
    """Yield `size` bytes in pieces of a mebibyte.

    random: no compressor makes them smaller; canary: again and again; mixed: every 4 KiB, between random bytes.
    """
    draw = random.Random(kind)
    different = []
    for _ in range(PERIOD):
        piece = bytearray(draw.randbytes(MIB) if kind != "canary" else CANARY * (MIB // len(CANARY)))
        for start in range(0, MIB, 4 * KIB) if kind == "mixed" else ():
            piece[start : start + len(CANARY)] = CANARY
        different.append(bytes(piece))
    for piece in itertools.cycle(different):
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return


def _open_files(folders: list[str], pids: list[int]) -> Iterator[str]:
    """Yield the paths of regular files: those below directories, and those that processes have open."""
    for folder in folders:
        for root, _, names in os.walk(folder):
            yield from (os.path.join(root, name) for name in names)
    for pid in pids:
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                where = f"/proc/{pid}/fd/{number}"
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(os.stat(where).st_mode):
                        yield where


def _holds_canary(file: Any) -> bool:
    tail = b""
    while block := file.read(LOOK_BYTES):
        if CANARY in tail + block:
            return True
        tail = block[1 - len(CANARY) :]
    return False


def _resident_bytes(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * KIB for line in status if line.startswith(field))


def _act(actor: Actor, order: dict[str, Any], answers: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        result = getattr(actor, order["act"])(**order["arguments"])
        answers.put({"number": order["number"], "result": result})
    except BaseException as error:
        answers.put({"number": order["number"], "error": type(error).__name__, "text": str(error)})


def main() -> None:
    """Carry out orders until there are no more."""
    actor = Actor()
    answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def answer() -> None:
        while True:
            sys.stdout.write(json.dumps(answers.get()) + "\n")
            sys.stdout.flush()

    threading.Thread(target=answer, daemon=True).start()
    for line in sys.stdin:
        threading.Thread(target=_act, args=(actor, json.loads(line), answers), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
