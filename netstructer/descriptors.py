"""Descriptors: as many as a server's links need, where the system lets us have them.  Floor: FAÇADES.

Law: the limit is raised, never lowered, and never beyond what is needed.

A process begins with a soft limit of 1,024 on most systems, for the sake of programs that use `select`; up to the hard
limit it may raise that itself.  Each link is a descriptor, each stranger too, and nine tenths of all are for them
(listener.py).
"""

from __future__ import annotations

import logging
import math
from types import ModuleType

from netstructer.listener import DESCRIPTOR_SHARE

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None

__all__ = ["allow", "needed"]

logger = logging.getLogger("netstructer")

OWN_DESCRIPTORS = 32
"""What the process has besides, when it is young: standard streams, selectors, a listener, a log."""


def needed(most_links: int, half_open: int) -> int:
    """Return how many descriptors a server of so many links and strangers needs."""
    return math.ceil((most_links + half_open + OWN_DESCRIPTORS) / DESCRIPTOR_SHARE)


def allow(most_links: int, half_open: int) -> bool:
    """Let this process have the descriptors for a server of so many links and strangers at a time.

    False, with a warning in the log, where the system does not: then strangers are turned away before `most_links` are
    reached.
    """
    if resource is None:
        return True
    wanted = needed(most_links, half_open)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinity = resource.RLIM_INFINITY
    if soft == infinity or soft >= wanted:
        return True
    aim = wanted if hard == infinity or hard >= wanted else hard
    if aim > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
        except (OSError, ValueError):
            aim = soft  # Some systems have a limit for all processes below the hard one.
        else:
            logger.info("= raised the limit of descriptors from %d to %d", soft, aim)
    if aim == wanted:
        return True
    logger.warning(
        "max_links=%d needs %d descriptors, and this process may have %d, enough for some %d links: raise its hard "
        "limit (ulimit -Hn, LimitNOFILE= of systemd) or lower max_links",
        most_links,
        wanted,
        aim,
        max(0, int(aim * DESCRIPTOR_SHARE) - half_open - OWN_DESCRIPTORS),
    )
    return False
