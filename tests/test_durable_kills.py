"""Exactly once, whichever process dies when: the effects are what was sent, each once, in order."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from commands import start_python
from durable_ends import digest
from loopback import KEY, PATIENCE_SECONDS, ROOT, eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")

PROGRAM = str(Path(__file__).with_name("durable_ends.py"))


class Ends:
    """A sender and a receiver in processes of their own, which are started again whenever they are killed."""

    def __init__(self, directory: Path) -> None:
        self.outbox, self.database = str(directory / "outbox.db"), str(directory / "effects.db")
        self.stop = str(directory / "stop")
        self._errors = directory / "errors"
        # Bound all the time, so that nobody else is given the port while the receiver is dead.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self._port = str(self._place.getsockname()[1])
        self.said: set[int] = set()
        """The numbers that a sender was told are kept."""
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._ears: list[threading.Thread] = []

    def start(self, what: str) -> None:
        places = [self.outbox, self.stop] if what == "send" else [self.database]
        with open(self._errors, "a") as errors:
            process = start_python(
                *(PROGRAM, what, self._port, *places),
                environment={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
                    "NETSTRUCTER_KEY": KEY.reveal(),
                },
                stdin=subprocess.DEVNULL,
                stderr=errors.fileno(),
            )
        self._processes[what] = process
        ear = threading.Thread(target=self._hear, args=(process,), name="test-ear", daemon=True)
        ear.start()
        self._ears.append(ear)

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            self.said.update(int(line) for line in lines if line[:-1].isdigit() and line.endswith("\n"))

    def kill(self, what: str) -> None:
        process = self._processes.pop(what)
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL, self._errors.read_text()

    def finish(self) -> None:
        """Let the sender send what it has, and then stop both."""
        Path(self.stop).touch()
        sender = self._processes["send"]
        assert sender.wait(120) == 0, self._errors.read_text()
        self.kill("take")
        for ear in self._ears:
            ear.join(PATIENCE_SECONDS)

    def close(self) -> None:
        self._place.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
        for ear in self._ears:
            ear.join(PATIENCE_SECONDS)

    def effects(self) -> list[tuple[int, str]]:
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute("SELECT number, digest FROM effects ORDER BY rowid").fetchall()

    def count(self) -> int:
        try:
            with closing(sqlite3.connect(self.database)) as database:
                return int(database.execute("SELECT count(*) FROM effects").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def survive(directory: Path, kills: int, chance: random.Random) -> list[int]:
    """Kill either end so often, at random; return how many effects there were at each kill."""
    ends = Ends(directory)
    counts = []
    try:
        for what in ("take", "send"):
            ends.start(what)
        for _ in range(kills):
            if chance.random() < 0.7:  # Both are at work, however slow the machine is.
                eventually(lambda: ends.count() > max(counts, default=0), "a further effect")
                time.sleep(chance.random() * 0.1)
            else:  # Or one of them is still starting.
                time.sleep(chance.random() * 0.4)
            counts.append(ends.count())
            victim = chance.choice(["send", "take"])
            ends.kill(victim)
            ends.start(victim)
        ends.finish()
        found = ends.effects()
        last = len(found)

        assert found == [(number, digest(number)) for number in range(1, last + 1)]
        assert ends.said <= set(range(1, last + 1))
        assert last in ends.said
        return counts
    finally:
        ends.close()


def test_what_is_sent_has_its_effect_once_whoever_is_killed(tmp_path: Path) -> None:
    counts = survive(tmp_path, 6, random.Random())

    assert len(counts) == 6


@pytest.mark.long
def test_two_hundred_kills(tmp_path: Path) -> None:
    counts = survive(tmp_path, 200, random.Random())

    assert len(set(counts)) > 40  # both were at work between the kills
