"""Maintenance, draining, shutting down, starting again.  Floor: SERVICES.

Law: clients are told before anything is closed, and what is under way is finished in a stated time.

*Maintenance.*  New links of others than administrators (permission `admin.enter`) are not served; those that are open
stay, and come back when they have lost their transport.  Where keys tell who comes, others are refused at the door
with `Busy`.  Where accounts do, nobody knows yet who comes: a new link is told (a notice), and closed unless an
administrator has signed in on it within `LOGIN_SECONDS`.

*A new start* is a process of its own: this one ends with the exit code `RESTART_CODE`, and whoever started it starts it
again, as systemd does with `RestartForceExitStatus=75`.  So new code, new options and new files count, nothing is left
of the old process, and nothing is run here that came over a link.  Where nobody has said that somebody will start it
again (`supervised`), it is refused: a server that only ends would be a trap.
"""

from __future__ import annotations

import logging
import threading
from typing import Annotated, Any

from netstructer.actions import Context
from netstructer.address import Address
from netstructer.errors import Misuse
from netstructer.services.admin.desk import ENTER
from netstructer.services.admin.kinds import Choice, Duration, Text
from netstructer.services.admin.links import OWN_SECONDS, LinkVerbs
from netstructer.services.admin.office import Admits
from netstructer.services.admin.verbs import Facts, verb
from netstructer.services.hall import Hall

__all__ = ["RESTART_CODE", "LeavingVerbs", "may_enter"]

logger = logging.getLogger("netstructer")

RESTART_CODE = 75
"""With which a process ends that wants to be started again: `EX_TEMPFAIL`, "try again", of sysexits.h."""
LOGIN_SECONDS = 30.0
"""How long a new link has in maintenance until an administrator has signed in on it: he types a password."""
DRAIN_SECONDS = 5.0
"""How long what is under way may take unless it is said otherwise: as for `Server.close`."""
MOST_DRAIN_SECONDS = 3_600.0
"""The most that may be said: an hour, after which a shutdown is no shutdown."""
DEFAULT_REASON = "the server is in maintenance"

Reason = Annotated[str, Text("what clients are told", 200)]
Drain = Annotated[float, Duration("how long what is under way may take", 0, MOST_DRAIN_SECONDS)]


class LeavingVerbs(LinkVerbs):
    """How a server is closed, to some or to all."""

    @verb("maintenance", aliases=["mode"])
    def maintain(
        self,
        state: Annotated[str, Choice("on lets administrators alone in; without, it is told", ("on", "off"))] = "",
        *,
        reason: Reason = "",
    ) -> Facts:
        """Let no new links in but those of administrators, or let everybody in again."""
        if state == "on":
            self._set_maintenance(reason or DEFAULT_REASON)
        elif state == "off":
            self._set_maintenance(None)
        now = self._office.maintenance
        return {"maintenance": "off" if now is None else "on", "reason": now or ""}

    @verb("drain")
    def drain(self, *, reason: Reason = "", seconds: Drain = DRAIN_SECONDS) -> Facts:
        """Go into maintenance, and say farewell on all links but those of administrators."""
        self._set_maintenance(reason or DEFAULT_REASON)
        leaving = [link for link in self._links() if link is not self._link and not may_enter(self._hall, link)]
        self._close(leaving, self._office.maintenance or "", kind="maintenance", seconds=seconds)
        return {"closed": len(leaving), "links": len(self._links())}

    @verb("shutdown", aliases=["stop"])
    def shutdown(self, *, reason: Reason = "", seconds: Drain = DRAIN_SECONDS) -> Facts:
        """Tell all clients, let what is under way finish, close all links, and end the server."""
        return self._leave("shutdown", reason, seconds)

    @verb("restart")
    def restart(self, *, reason: Reason = "", seconds: Drain = DRAIN_SECONDS) -> Facts:
        """Shut down, and be started again by whoever started the server, where somebody will."""
        if not self._office.supervised:
            raise Misuse("nobody has said that this server is started again when it ends: shutdown ends it")
        return self._leave("restart", reason, seconds)

    def _set_maintenance(self, reason: str | None) -> None:
        office, server = self._office, self._server
        with office.lock:
            was, office.maintenance = office.maintenance, reason
            if office.accounts is None and was is None and reason is not None:
                office.admitted = server.admits
                server.admits = _admits(self._hall, office.admitted)
            elif office.accounts is None and was is not None and reason is None:
                server.admits = office.admitted
        logger.warning("= maintenance %s", "off" if reason is None else "on")

    def _leave(self, how: str, reason: str, seconds: float) -> Facts:
        office = self._office
        with office.lock:
            if office.leaving:
                raise Misuse(f"the server leaves already: {office.leaving}")
            office.leaving = how
        said = reason or ("the server shuts down" if how == "shutdown" else "the server starts again")
        told = self._tell(self._links(), "shutdown" if how == "shutdown" else "restart", said)
        logger.warning("= %s, asked for by %s", how, self._actor)
        # Not in this thread: it has an answer to give, which goes out before the server does.
        timer = threading.Timer(OWN_SECONDS, self._end, [how, seconds])
        timer.name = "netstructer-admin-leaves"
        timer.start()
        return {"told": told, "seconds": seconds}

    def _end(self, how: str, seconds: float) -> None:
        try:
            if self._office.leave is not None:
                self._office.leave(how, seconds)
            else:
                self._hall.leave(seconds)
        except Exception as error:  # whatever it was: there is nobody above who could be told
            logger.error("= the server did not end as it should: %s", type(error).__name__)
            self._office.leaving = ""


class _Caller:
    """Somebody of whom it is asked what he may, without a call of his.  As `actions.Call` wants one."""

    seconds_left: float | None = None
    cancelled = False

    def __init__(self, link: Any) -> None:
        self.link = link
        self.peer: Address = link.peer


class _Stranger:
    """Who has proved a key and has no link yet."""

    account: str | None = None
    peer = Address("0.0.0.0", 0)

    def __init__(self, user: str | None, fingerprint: str) -> None:
        self.user, self.fingerprint = user, fingerprint
        self.state: dict[str, Any] = {}


def may_enter(hall: Hall, link: Any) -> bool:
    """Say whether whoever is on a link is let in while the server is in maintenance."""
    actions = hall.server.actions
    action = actions.find_or_none("admin.status")
    return action is not None and bool(actions.permits(Context(_Caller(link), action, actions), ENTER))


def _admits(hall: Hall, before: Admits | None) -> Admits:
    """Return what says whether a client with this key is let in; whom it was not before, it is not now."""

    def admits(user: str | None, fingerprint: str) -> bool:
        try:
            is_welcome = before is None or before(user, fingerprint)
            return is_welcome and may_enter(hall, _Stranger(user, fingerprint))
        except Exception as error:  # the application's own decision, which failed: nobody is let in by a fault
            logger.error("whether somebody may enter could not be decided: %s", type(error).__name__)
            return False

    return admits
