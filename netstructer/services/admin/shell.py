"""The shell: command lines in, lines out, whoever does what they say.  Floor: SERVICES.

Law: a command that is wrong, or fails, prints a sentence, and the next one is read.

At a server's own terminal `ask` is the administration itself, at a client a call over a link: the lines, the help and
what is printed are the same.  A few words are the shell's own: `help`, `exit`, `clear`, and `json on|off`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netstructer.errors import Misuse, NetstructerError
from netstructer.services.admin.kinds import MOST_ROWS
from netstructer.services.admin.showing import json_lines, lines_of
from netstructer.services.admin.verbs import Table, Verb
from netstructer.services.admin.wording import Command, help_of, parse, words_in
from netstructer.services.printing import cut, one_line

__all__ = ["Ask", "Shell", "sentence_of"]

MOST_FILE_BYTES = 256 << 20
"""Of a file of JSON lines: a hundred thousand accounts are 50 MB."""
ROW_BYTES = 1 << 20
"""Of one of its lines: an account has a few hundred."""
SENTENCE_CHARACTERS = 1_000
"""Of an error's text: what one that came over a link has at most."""
CLEAR = "\x1b[2J\x1b[H"
_LEAVING = ("exit", "quit", "bye")

Ask = Callable[[Verb, dict[str, Any]], Any]
"""Does a verb with its arguments; for one that streams, an iterator."""


class Shell:
    """Reads no terminal itself: `run` and `obey` are given what was typed.

    `write(line)` prints a line, `ask_secret(prompt)` reads one that nobody sees.  With `as_json` what comes of commands
    is printed as JSON.
    """

    def __init__(
        self,
        table: Table,
        ask: Ask,
        *,
        write: Callable[[str], object],
        ask_secret: Callable[[str], str],
        as_json: bool = False,
    ) -> None:
        self.table = table
        self._ask, self._write, self._ask_secret = ask, write, ask_secret
        self.as_json = as_json
        self.failed = 0
        """Lines that were no command, or failed."""

    def obey(self, line: str) -> bool:
        """Do what a line says, and print what came of it, or what was wrong; False once somebody leaves."""
        try:
            words = words_in(line)
            if words and words[0].lower() in _LEAVING:
                return False
            self.run(words)
        except Exception as error:  # whatever it was: whoever types next must not pay for it
            self.failed += 1
            self._write(f"error: {sentence_of(error)}")
        return True

    def run(self, words: list[str]) -> None:
        """Do what words say, and print what came of it.  Raises what is wrong with it, and what went wrong."""
        if not words or words[0].startswith("#"):
            return
        if words[0] == "help" or "--help" in words or "-h" in words:
            asked = [word for word in words if word not in ("help", "--help", "-h")]
            self._write_all(help_of(asked, self.table))
        elif words[0] == "clear" and len(words) == 1:
            self._write(CLEAR)
        elif words[0] == "json" and len(words) <= 2:
            self._set_json(words[1:])
        else:
            as_json = self.as_json or "--json" in words
            self._do(parse([word for word in words if word != "--json"], self.table), as_json)

    def _set_json(self, words: list[str]) -> None:
        if words not in ([], ["on"], ["off"]):
            raise Misuse("expected json on, or json off")
        self.as_json = words != ["off"]

    def _do(self, command: Command, as_json: bool) -> None:
        verb, values = command.verb, dict(command.values)
        for parameter in command.secrets:
            values[parameter.name] = self._ask_secret(f"{parameter.kind.help}: ")
        if command.files:
            (parameter,) = command.files
            for batch in _batches(str(values.pop(parameter.name))):
                self._show(self._ask(verb, values | {parameter.name: batch}), as_json)
        elif verb.streams:
            for item in self._ask(verb, values):
                self._show(item, as_json)
        else:
            self._show(self._ask(verb, values), as_json)

    def _show(self, found: Any, as_json: bool) -> None:
        self._write_all(json_lines(found) if as_json else lines_of(found))

    def _write_all(self, lines: list[str]) -> None:
        for line in lines:
            self._write(line)


def sentence_of(error: BaseException) -> str:
    """Return what an error says, on one line."""
    if isinstance(error, NetstructerError):
        return one_line(cut(str(error) or type(error).__name__, SENTENCE_CHARACTERS))
    if isinstance(error, OSError) and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return f"this is a fault in netstructer, please report it: {type(error).__name__}"


def _batches(path: str) -> Iterator[list[dict[str, Any]]]:
    """Return the rows of a file of JSON lines, so many at once as one call takes.  Raises `Misuse`, `OSError`."""
    batch: list[dict[str, Any]] = []
    read = 0
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(ROW_BYTES + 1):
            number, read = number + 1, read + len(line)
            if len(line) > ROW_BYTES or read > MOST_FILE_BYTES:
                raise Misuse(f"line {number}: expected lines of at most {ROW_BYTES:,} bytes, and no more than fit")
            if line.strip():
                batch.append(_row_in(line, number))
            if len(batch) == MOST_ROWS:
                yield batch
                batch = []
    if batch:
        yield batch


def _row_in(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, Mapping):
        raise Misuse(f"line {number}: expected an object of JSON")
    return dict(row)
