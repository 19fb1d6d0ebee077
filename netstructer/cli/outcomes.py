"""Outcomes: what a command's exit code means, and what an error says in one sentence.  Floor: ROOF.

Law: whatever happens in a command ends in one line on stderr and a code of this table, never in a traceback.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

import typer

from netstructer import errors
from netstructer.cli.screen import stderr
from netstructer.services.printing import one_line

__all__ = ["DiskFull", "ExitCode", "code_of", "command", "name_of", "sentence_of"]

Parameters = ParamSpec("Parameters")


class ExitCode(IntEnum):
    """What a command's exit code means.  docs/cli.md and every `--help` show this table."""

    OK = 0
    FAULT = 1
    USAGE = 2
    KEY = 3
    UNREACHABLE = 4
    TIMEOUT = 5
    PEER = 6
    LIMIT = 7
    FILE = 8
    REFUSED = 9
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """The code in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAULT: "a fault in netstructer itself, or the output was closed",
    ExitCode.USAGE: "a wrong option, address, value or file",
    ExitCode.KEY: "a key, an identity or a pairing code: none, malformed, or another than the peer's",
    ExitCode.UNREACHABLE: "the name, the network or the port",
    ExitCode.TIMEOUT: "the time allowed has passed",
    ExitCode.PEER: "the peer: not netstructer, another version, a broken rule, or the link was lost",
    ExitCode.LIMIT: "a limit: a value too big, or a server that is full",
    ExitCode.FILE: (
        "a file: not there, refused, damaged, changed while it was read, or with an unsafe name; the others went"
    ),
    ExitCode.REFUSED: "not permitted: a login that failed, or a permission that is missing",
    ExitCode.INTERRUPTED: "Ctrl-C",
}


class DiskFull(OSError):
    """There is no room for a file here: no mistake of who typed the command."""


_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.MissingKey, ExitCode.KEY),
    (errors.InvalidKey, ExitCode.KEY),
    (errors.KeyRefused, ExitCode.KEY),
    (errors.WrongCode, ExitCode.KEY),
    (errors.IdentityChanged, ExitCode.KEY),
    (errors.UnknownServer, ExitCode.KEY),
    (errors.InvalidIdentity, ExitCode.KEY),
    (errors.InvalidKnownServers, ExitCode.KEY),
    (errors.LoginFailed, ExitCode.REFUSED),
    (errors.NotPermitted, ExitCode.REFUSED),
    (errors.BadArguments, ExitCode.USAGE),
    (errors.Unreachable, ExitCode.UNREACHABLE),
    (errors.CannotListen, ExitCode.UNREACHABLE),
    (errors.LinkTimeout, ExitCode.TIMEOUT),
    (errors.LimitReached, ExitCode.LIMIT),
    (errors.UnsafeName, ExitCode.FILE),
    (errors.FileChanged, ExitCode.FILE),
    (errors.DigestMismatch, ExitCode.FILE),
    (errors.TransferRefused, ExitCode.FILE),
    (errors.SourceFailed, ExitCode.FILE),
    (errors.StoreDamaged, ExitCode.FILE),
    (errors.StoreBusy, ExitCode.TIMEOUT),
    (errors.Misuse, ExitCode.USAGE),
    (errors.NetstructerError, ExitCode.PEER),
    (DiskFull, ExitCode.FILE),
    (OSError, ExitCode.USAGE),
)
"""The first row that an error is an instance of gives its code: the special before the general."""


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code that an error ends a command with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAULT)


def name_of(error: BaseException) -> str:
    """Return what an error is called where it can be caught by name: a private kind goes by that of its family."""
    public = ("builtins", errors.__name__)
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ in public), "Exception")


def sentence_of(error: BaseException) -> str:
    """Return what an error says, on one line, without control characters."""
    if isinstance(error, OSError) and not isinstance(error, errors.NetstructerError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return one_line(f"{where}{error.strerror}")
    if isinstance(error, errors.NetstructerError):
        return one_line(str(error) or type(error).__name__)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"
    return one_line(f"this is a fault in netstructer, please report it: {type(error).__name__} at {place}: {error}")


def command(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Wrap a command so that it ends in an exit code and at most one sentence, whatever it raises."""

    @functools.wraps(function)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt as stop:
            stderr.print(str(stop) or "interrupted")  # a command may have said what is to be done now
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError as error:
            if isinstance(error, errors.NetstructerError):
                raise _ended(error) from None
            # Whoever read our output has left: nothing more to say, and nowhere to say it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.FAULT) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            raise _ended(error) from None

    return guarded


def _ended(error: Exception) -> typer.Exit:
    stderr.print(f"netstructer: {sentence_of(error)}")
    return typer.Exit(code_of(error))
