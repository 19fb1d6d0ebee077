"""What a crash of this program leaves on the disk.  Floor: ROOF.  Law: no image of the memory, unless it is asked for.

A core file holds keys and values.  The library changes nothing of the process that it is in; this program is its own.
The soft limit is enough: a system that hands cores to a program of its own (systemd-coredump) tells it the limit.
"""

from __future__ import annotations

from contextlib import suppress

__all__ = ["leave_no_cores"]


def leave_no_cores() -> None:
    """Set the soft limit of core files to nothing, where the system has such a limit."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
