"""What the caller got wrong, here.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = [
    "CannotListen",
    "InvalidAddress",
    "InvalidBan",
    "InvalidCode",
    "InvalidConfiguration",
    "InvalidIdentity",
    "InvalidKey",
    "InvalidKnownServers",
    "InvalidReport",
    "MissingDependency",
    "MissingKey",
    "Misuse",
    "UnknownServer",
    "UnsendableValue",
]


class Misuse(NetstructerError):
    """The call cannot be right, whatever the peer does."""


class UnsendableValue(Misuse, TypeError):
    """The value holds something that does not travel; `path` says where, as in `value["jobs"][3].owner`."""

    path: str = ""


class MissingKey(Misuse, LookupError):
    """No key was given and none was found in the environment or the default key file."""


class InvalidKey(Misuse, ValueError):
    """The key is malformed, constant, or published; or it is not the one that an outbox was sealed under."""


class InvalidIdentity(Misuse, ValueError):
    """A server's identity, or the file that should hold it, is none."""


class InvalidKnownServers(Misuse, ValueError):
    """The file of known servers is not as it should be; `line` is the first that is not, counted from 1."""

    line: int = 0


class UnknownServer(Misuse, LookupError):
    """The server had to be a known one, and is not in the file of known servers."""


class InvalidAddress(Misuse, ValueError):
    """The address is not `(host, port)`, `"host:port"` or `"[v6]:port"`."""


class InvalidBan(Misuse, ValueError):
    """A ban names nobody, or the file that keeps bans holds something else."""


class InvalidReport(Misuse, ValueError):
    """Rows that cannot stand in a report, or not in the one that they were to be added to."""


class InvalidCode(Misuse, ValueError):
    """What was typed is no pairing code; the text never holds what it was."""


class InvalidConfiguration(Misuse, ValueError):
    """A configuration is not as it should be.  `path` and `line` (from 1, 0 where there is none) say where the first
    problem is, `option` with what (`"server.port"`); `problems` are all that were found, each a sentence as text."""

    path: str = ""
    line: int = 0
    option: str = ""
    problems: tuple[object, ...] = ()


class CannotListen(Misuse, OSError):
    """The server could not bind or listen; `stage` names the step that failed."""

    stage: str = ""


class MissingDependency(Misuse, ImportError):
    """An optional part was used without its extra; the text names the install command."""
