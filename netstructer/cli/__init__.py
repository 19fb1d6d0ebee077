"""The command line, in the extra `cli`.  Floor: ROOF.  Law: no traceback, no key on the screen that nobody asked for.

    main            what the console script calls
    app             the commands and their help
    outcomes        exit codes, and what an error says in one sentence
    screen          two consoles, and how sizes, times and values are written
    literals        text -> value, value -> text
    options         what several commands take: a key file, an address, a timeout
    admitted        whom a server lets in, and as whom it is known
    told            what a server is told: flags, --set, --config
    logged readiness      log files; telling systemd when a server serves
    places          HOST:PORT/PATH, and what is no such place
    remote          an administration at the other end of a link
    administered    a server with accounts, an audit and an administration
    keygen pair send recv serve put get ls doctor demo bench chaos config
                    the commands; what only one of them needs lies beside it, under its name

This file imports neither typer nor rich: it is what says that they are missing.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

INSTALL_COMMAND = "pip install 'netstructer[cli]'"
_OPTIONAL = frozenset({"typer", "rich", "click"})


def main() -> int:
    """Run the command that `sys.argv` names; return its exit code."""
    try:
        from netstructer.cli.app import run

        return run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OPTIONAL:
            raise
        print(f"netstructer: the command line needs the packages typer and rich: {INSTALL_COMMAND}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # outside of any command: while modules were read, or options
        print("interrupted", file=sys.stderr)
        return 130
