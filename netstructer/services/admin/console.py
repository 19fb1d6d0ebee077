"""The console: an administration at the server's own terminal.  Floor: SERVICES.

Law: a command that is wrong prints a sentence and stops nothing; the end of the input ends the console, not the server.

    with Server(...) as server, Admin(server) as admin:
        console(admin)                          # until `exit`, or the end of the input
        ConsoleThread(admin).start()            # the same beside whatever else the program does
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any, TextIO

from netstructer.services.admin.admin import TABLE, Admin
from netstructer.services.admin.shell import Shell
from netstructer.services.admin.typed import Lines, has_terminal, lines_from, read_secret
from netstructer.services.admin.verbs import Verb
from netstructer.services.admin.wording import complete

__all__ = ["ConsoleThread", "console"]

PROMPT = "netstructer> "
STOP_SECONDS = 2.0
"""How long closing waits for a command that is under way at the console."""


def console(
    admin: Admin,
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    prompt: str = PROMPT,
    name: str = "console",
) -> None:
    """Read commands and do what they say, until somebody leaves, the input ends, or the server does.

    Whoever types here may all there is; it is noted under `name`.  Raises `KeyboardInterrupt` for Ctrl-C.
    """
    _converse(admin, _lines_of(stdin), stdout, prompt, name)


class ConsoleThread(threading.Thread):
    """A console in a thread of its own, which ends with the program, whatever is typed.  `start` has it begin.

    Ctrl-C at its prompt interrupts the main thread, as it does without a console.
    """

    def __init__(
        self,
        admin: Admin,
        *,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        prompt: str = PROMPT,
        name: str = "console",
    ) -> None:
        super().__init__(name="netstructer-console", daemon=True)
        self._lines = _lines_of(stdin)
        self._terminal = _terminal_of(stdin)
        self._converse = partial(_converse, admin, self._lines, stdout, prompt, name)

    def run(self) -> None:
        """Converse, until somebody leaves."""
        try:
            self._converse()
        except KeyboardInterrupt:
            _interrupt_main()

    def close(self) -> None:
        """End the conversation, and let the terminal be as it was.  May be called twice."""
        self._lines.stop()
        if self.ident is not None:
            self.join(STOP_SECONDS)
        if self.is_alive() and self._terminal is not None:  # its thread waits for a line for ever
            descriptor, before = self._terminal
            _restore(descriptor, before)


def _converse(admin: Admin, lines: Lines, stdout: TextIO | None, prompt: str, name: str) -> None:
    desk = admin.acting(name)

    def write(line: str) -> None:
        stream = sys.stdout if stdout is None else stdout
        stream.write(line + "\n")
        stream.flush()

    def ask(verb: Verb, values: dict[str, Any]) -> Any:
        return desk.call(verb.name, **values)

    shell = Shell(TABLE, ask, write=write, ask_secret=read_secret)
    with lines.printing():
        while not admin.leaving:
            line = lines.next(prompt)
            if line is None or not shell.obey(line):
                return


def _lines_of(stdin: TextIO | None) -> Lines:
    return lines_from(sys.stdin if stdin is None else stdin, partial(complete, table=TABLE))


if os.name == "nt":  # pragma: no cover - the other system's half: its consoles have no such state

    def _interrupt_main() -> None:
        _thread.interrupt_main()

    def _terminal_of(stdin: TextIO | None) -> tuple[int, Any] | None:
        return None

    def _restore(descriptor: int, before: Any) -> None:
        pass

else:
    import termios

    def _interrupt_main() -> None:
        """Interrupt the main thread, also where it waits for a lock: only a signal of its own wakes it there."""
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    def _terminal_of(stdin: TextIO | None) -> tuple[int, Any] | None:
        """Return the descriptor of the terminal, and how that is set."""
        source = sys.stdin if stdin is None else stdin
        if not has_terminal(source):
            return None
        return source.fileno(), termios.tcgetattr(source.fileno())

    def _restore(descriptor: int, before: Any) -> None:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
