"""The client without a terminal: lines in, lines out.  Floor: ROOF.  Law: stdout has what was said, stderr the rest.

Each line of stdin is said, or is a command; each one is answered before the next is taken, so when stdin has ended all
of it is said.  What others say comes out one message a line.
"""

from __future__ import annotations

import codecs
import os
import sys
import threading
import time
from typing import Any

from netstructer.cli.chat.lines import Line, with_time
from netstructer.cli.chat.mailbox import Mailbox
from netstructer.cli.chat.visit import Visit
from netstructer.cli.screen import print_json, stderr

__all__ = ["Paper", "talk"]

PIECE_BYTES = 64 * 1024
"""What is read at once."""
LINE_CHARACTERS = 1 << 20
"""Of a line: a longer one is refused in pieces of so many, as each piece is more than a message may have."""


class Paper:
    """Shows lines on stdout and stderr; as JSON, each pushed value as it came."""

    def __init__(self, *, json: bool) -> None:
        self._json = json

    def show(self, line: Line, value: dict[str, Any] | None) -> None:
        """Show a line."""
        if line.kind == "own":
            return  # It came from stdin.
        if line.kind == "past" and value is not None:
            line = with_time(value, line, time.time())
        if self._json and value is not None:
            print_json(value)
        elif self._json and line.kind == "answer":
            print_json({"chat": "answer", "text": line.text})
        elif line.kind in ("warning", "notice") or self._json:
            stderr.print(line.text)
        else:
            sys.stdout.write(line.text + "\n")
            sys.stdout.flush()


def talk(visit: Visit, *, stay: bool) -> None:
    """Say what comes from stdin until it ends; with `stay` go on reading what others say.

    Raises what ends the link.
    """
    mailbox = Mailbox()
    visit.on_over = mailbox.close
    visit.start()
    threading.Thread(target=_read, args=(mailbox, stay), name="netstructer-stdin", daemon=True).start()
    try:
        for line in mailbox:
            if not visit.line(line):
                break
    finally:
        mailbox.close()
        visit.leave()


def _read(mailbox: Mailbox, stay: bool) -> None:
    """Put the lines of stdin into the mailbox.

    Read from the descriptor: `sys.stdin` has a lock, and an interpreter that ends while a thread holds it aborts.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while piece := _piece():
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        if len(rest) > LINE_CHARACTERS:
            lines, rest = [*lines, rest], ""
        for line in lines:
            if not mailbox.put(line):
                return
    rest += decoder.decode(b"", True)
    if rest:
        mailbox.put(rest)
    if not stay:
        mailbox.end()


def _piece() -> bytes:
    try:
        return os.read(sys.stdin.fileno(), PIECE_BYTES)
    except (OSError, ValueError):  # closed, as `<&-` does, or a terminal that is gone
        return b""
