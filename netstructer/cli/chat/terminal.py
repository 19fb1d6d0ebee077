"""The client at a terminal: a line to write in, and what others say above it.  Floor: ROOF.

Law: what comes never mixes with what is being typed, and nothing that came is not shown.

One application runs for the whole visit; what is to be shown waits in a queue, and is written above the application by
its own loop.  What is left when it ends is written after it.  This module is imported late: it takes prompt_toolkit, of
the extra `chat`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from asyncio import Future
from collections import deque
from typing import Any

from netstructer.cli.chat.commands import words_meant
from netstructer.cli.chat.lines import Line, named, with_time
from netstructer.cli.chat.mailbox import Mailbox
from netstructer.cli.chat.visit import Visit
from netstructer.errors import LinkTimeout, MissingDependency, NetstructerError

try:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import Application, run_in_terminal
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.formatted_text import FormattedText
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.layout import Dimension, HSplit, Layout, Window
    from prompt_toolkit.layout.controls import FormattedTextControl
    from prompt_toolkit.output import create_output
    from prompt_toolkit.patch_stdout import patch_stdout
    from prompt_toolkit.renderer import print_formatted_text
    from prompt_toolkit.styles import Style
    from prompt_toolkit.widgets import TextArea
except ModuleNotFoundError as _error:
    raise MissingDependency(
        "a chat at a terminal takes the package prompt_toolkit: pip install 'netstructer[chat]'; "
        "netstructer chat join --plain does without"
    ) from _error

__all__ = ["Glass", "ask", "talk"]

REFRESH_SECONDS = 0.5
"""How often the line at the bottom is drawn anew, which says whether the link has a transport."""
INPUT_LINES = 6
"""Of the terminal, for what is being typed: the longest message fits, with a little scrolling."""
_STYLES = {"told": "ansimagenta", "notice": "ansibrightblack", "warning": "ansiyellow", "answer": "ansicyan"}


class Glass:
    """Shows lines: above the application while it runs, and as they come before and after."""

    def __init__(self) -> None:
        self._plain = bool(os.environ.get("NO_COLOR"))
        self.output = create_output()
        self._tasks: set[Future[None]] = set()
        self._waiting: deque[Line] = deque()
        self._lock = threading.Lock()
        self._application: Application[bool] | None = None

    def show(self, line: Line, value: dict[str, Any] | None = None) -> None:
        """Show a line, with its time where it is of one."""
        if value is not None and "at" in value:
            line = with_time(value, line, time.time())
        with self._lock:
            self._waiting.append(line)
            application = self._application
        loop = None if application is None else application.loop
        if application is None:
            self._write()
        elif loop is not None:
            try:
                loop.call_soon_threadsafe(self.flush)
            except RuntimeError:
                pass  # The loop has ended: `detach` writes what is left.

    def attach(self, application: Application[bool]) -> None:
        """Show what comes above an application from now on."""
        with self._lock:
            self._application = application

    def detach(self) -> None:
        """Show what comes as it comes, and what has come."""
        with self._lock:
            self._application = None
        self._write()

    def flush(self) -> None:
        """Show what waits: in the application's loop."""
        if self._waiting:
            task = asyncio.ensure_future(run_in_terminal(self._write))
            self._tasks.add(task)  # The loop keeps none of them alive.
            task.add_done_callback(self._tasks.discard)

    def _write(self) -> None:
        with self._lock:
            while self._waiting:
                line = self._waiting.popleft()
                style = "" if self._plain else _STYLES.get(line.kind, "")
                print_formatted_text(self.output, FormattedText([(style, line.text), ("", "\n")]), Style([]))


class _Ended(Exception):
    """Somebody has typed Ctrl-C or Ctrl-D in the place of an answer."""


def ask(question: str, seconds: float, *, hidden: bool = False) -> str:
    """Return what somebody types, without a trace of it where it is hidden.

    Raises `LinkTimeout` where nobody does in time, and `KeyboardInterrupt` where somebody ends it, by Ctrl-D too.
    """

    async def asked() -> str:
        # What asyncio makes of a KeyboardInterrupt in a task is not to be seen here.
        session: PromptSession[str] = PromptSession(interrupt_exception=_Ended, eof_exception=_Ended)
        return await asyncio.wait_for(session.prompt_async(question, is_password=hidden), seconds)

    try:
        return asyncio.run(asked())
    except TimeoutError:
        raise LinkTimeout(f"nothing was typed within {seconds:g} seconds") from None
    except _Ended:
        raise KeyboardInterrupt from None


def talk(visit: Visit, glass: Glass) -> None:
    """Let somebody talk until he leaves, or the link ends.  Raises what ends the link."""
    mailbox = Mailbox()
    failed: list[NetstructerError] = []
    application = _application(visit, glass, mailbox)

    def work() -> None:
        try:
            for line in mailbox:
                if not visit.line(line):
                    break
        except NetstructerError as error:
            failed.append(error)
        finally:
            stop()

    def stop() -> None:
        mailbox.close()
        try:
            if application.loop is not None:
                application.loop.call_soon_threadsafe(_end, application)
        except RuntimeError:
            pass  # The loop has ended by itself.

    def begin() -> None:
        glass.flush()
        visit.start()
        worker.start()

    visit.on_over = stop
    worker = threading.Thread(target=work, name="netstructer-lines", daemon=True)
    glass.attach(application)
    try:
        with patch_stdout(raw=True):
            interrupted = application.run(pre_run=begin, set_exception_handler=False)
        if interrupted:
            raise KeyboardInterrupt
        mailbox.end()  # After Ctrl-D, what was typed before is said still.
        worker.join()
    finally:
        mailbox.close()
        glass.detach()
        visit.leave()
    if failed and visit.error is None:
        raise failed[0]


def _application(visit: Visit, glass: Glass, mailbox: Mailbox) -> Application[bool]:
    def accept(buffer: Buffer) -> bool:
        for line in buffer.text.split("\n"):  # more than one was pasted
            if not mailbox.offer(line):
                glass.show(Line("[ WAIT ] too much of what you typed waits to be said", "warning"))
        return False

    area = TextArea(
        multiline=False,
        prompt=lambda: f"{named(visit.room) if visit.room else '(no room)'}> ",
        accept_handler=accept,
        height=Dimension(min=1, max=INPUT_LINES),
        dont_extend_height=True,
    )
    keys = KeyBindings()

    @keys.add("c-c")
    def interrupt(event: KeyPressEvent) -> None:
        event.app.exit(result=True)

    @keys.add("c-d", filter=Condition(lambda: not area.text))
    def end(event: KeyPressEvent) -> None:
        _end(event.app)

    @keys.add("tab")
    def complete(event: KeyPressEvent) -> None:
        typed = area.document.text_before_cursor
        words = words_meant(typed)
        if len(words) == 1:
            area.buffer.insert_text(f"{words[0][len(typed) - 1 :]} ")
        elif words:
            glass.show(Line("  ".join(f"/{word}" for word in words), "answer"))

    bar = Window(FormattedTextControl(lambda: _state(visit)), height=1, style="reverse")
    layout = Layout(HSplit([area, bar]))
    return Application(
        layout, key_bindings=keys, refresh_interval=REFRESH_SECONDS, output=glass.output, erase_when_done=True
    )


def _end(application: Application[bool]) -> None:
    if application.future is not None and not application.future.done():
        application.exit(result=False)


def _state(visit: Visit) -> str:
    state = "looking for the server …" if visit.link.suspended else "connected"
    return f" {named(visit.name)} at {visit.link.peer}: {state}   /help"
