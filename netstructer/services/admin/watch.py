"""The watch: what an administration does by itself, as time goes by and links come.  Floor: SERVICES.

Law: one thread, which raises nothing; the clock is an argument, and `tick` is all that it does.

Every second: a sample for the rates (meter.py), the backups that are due (backups.py), and in maintenance the links
that came and on which no administrator has signed in in time (leaving.py).  As links come: the greeting, and in
maintenance why they will be closed.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from netstructer.errors import NetstructerError
from netstructer.services.admin.backups import Schedules, run_schedules
from netstructer.services.admin.leaving import LOGIN_SECONDS, may_enter
from netstructer.services.admin.office import Office
from netstructer.services.notices import Notice, NoticeKind

__all__ = ["Watch"]

logger = logging.getLogger("netstructer")

TICK_SECONDS = 1.0
"""Between two looks: nothing here has to be more exact."""
STOP_SECONDS = 10.0
"""How long closing waits for a backup that is being made."""


class Watch:
    """The thread of one administration, from `start` to `close`."""

    def __init__(self, office: Office, schedules: Schedules | None) -> None:
        self._office, self._schedules = office, schedules
        self._newcomers: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="netstructer-admin", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        if self._office.hall is not None:
            self._office.server.observers.add(self._happened)
        self._thread.start()

    def close(self) -> None:
        """Watch no more.  May be called twice."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        try:
            if self._office.hall is not None:
                self._office.server.observers.remove(self._happened)
        except NetstructerError:
            pass  # the server is gone, and its observers with it

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick()
            except Exception as error:
                if self._stop.is_set():
                    return
                logger.error("the watch of the administration failed: %s", type(error).__name__)

    def tick(self) -> None:
        """Do what is due."""
        office = self._office
        if office.hall is not None:
            office.meter.sample(office.hall.links())
            self._look_at_newcomers()
        if self._schedules is not None:
            run_schedules(office, self._schedules)

    # --- links that come ------------------------------------------------------------------------------------------

    def _happened(self, happening: Any) -> None:
        office = self._office
        if happening.what == "ended":
            self._newcomers.pop(happening.link_id, None)
            office.meter.ended(happening.bytes_sent, happening.bytes_received)
        if happening.what != "opened":
            return
        link = office.server.get(id=happening.link_id)
        if link is None:
            return
        reason = office.maintenance
        if reason is not None and office.accounts is not None:
            self._newcomers[link.id] = office.clock() + LOGIN_SECONDS
            self._tell(link, "maintenance", reason)
        elif office.greeting:
            self._tell(link, "greeting", office.greeting)

    def _tell(self, link: Any, kind: NoticeKind, text: str) -> None:
        office = self._office
        office.open_hall.post(Notice(kind=kind, text=text, at=office.wall()).value(), [link])

    def _look_at_newcomers(self) -> None:
        """Close the links that had time to sign in, and on which no administrator is."""
        office, now = self._office, self._office.clock()
        if office.maintenance is None:
            self._newcomers.clear()
            return
        for link_id, until in list(self._newcomers.items()):
            if now < until:
                continue
            self._newcomers.pop(link_id, None)
            link = office.server.get(id=link_id)
            if link is not None and not may_enter(office.open_hall, link):
                self._tell(link, "disconnect", office.maintenance or "")
                try:
                    office.open_hall.disconnect(link)
                except NetstructerError:
                    pass  # it is over
