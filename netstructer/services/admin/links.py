"""Links: who is here, how far away, and out with them.  Floor: SERVICES.

Law: a command about all links ends in time, however many there are and whatever they do; the administrator's own link
is closed last, when he has had his answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, TypeVar

from netstructer.actions import user_of
from netstructer.errors import Misuse, NetstructerError
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import LISTED, Duration, HowMany, Message, Plain, Text
from netstructer.services.admin.verbs import Facts, verb
from netstructer.services.notices import Notice, NoticeKind

__all__ = ["LinkVerbs"]

SIDE_BY_SIDE = 16
"""Links that are pinged or closed at once: each takes a thread for a round trip."""
PING_SECONDS = 5.0
"""How long a ping may take: who has not answered by then is not reached in time for anything."""
CLOSE_SECONDS = 2.0
"""How long a farewell may take: one more than the last words of a slow network take."""
CALL_SECONDS = 30.0
"""How long an action of a client's may take."""
ALL_SECONDS = 20.0
"""How long a command about all links takes at most: less than whoever asked waits.  Links whose turn comes after that
are not pinged, and are closed without waiting for their farewell."""
OWN_SECONDS = 0.5
"""How long an administrator's own link outlives the command that closes it: its answer goes out first."""
LEAST_ID = 4
"""Digits that may stand for it, where no other begins so: people type them."""
ID_DIGITS = 16
"""Of a link's id."""

T = TypeVar("T")
LinkId = Annotated[str, Text("the link's id, or how it begins", ID_DIGITS, LEAST_ID)]
Reason = Annotated[str, Text("what its user is told", 200)]


class LinkVerbs(Desk):
    """What may be done with links."""

    @verb("links.list", aliases=["list"])
    def list_links(
        self,
        *,
        user: Annotated[str, Text("only those of this user", 256)] = "",
        ip: Annotated[str, Text("only those from this address", 64)] = "",
        limit: HowMany = LISTED,
    ) -> list[Facts]:
        """List the links: who, from where, since when, how much was moved, how far away."""
        found = [link for link in self._links() if user in ("", user_of(link)) and ip in ("", link.peer.host)]
        return [facts_of(link) for link in found[:limit]]

    @verb("links.show", aliases=["coninfo"])
    def show_link(self, link: LinkId) -> Facts:
        """Show all that is known of one link."""
        found = self._link_of(link)
        stats = found.stats
        facts = facts_of(found) | {"fingerprint": found.fingerprint, "key_user": found.user}
        facts |= {"groups": list(self._server.groups.of(found)), "resumes": stats.resumes}
        return facts | {
            "plain_sent_bytes": stats.plain_sent,
            "plain_received_bytes": stats.plain_received,
            "messages_sent": stats.messages_sent,
            "messages_received": stats.messages_received,
        }

    @verb("links.ping", aliases=["ping"])
    def ping(self, link: LinkId) -> Facts:
        """Measure how long a ping to one link takes, and back."""
        found = self._link_of(link)
        return {"link": found.id, "seconds": round(self._hall.ping(found, seconds=PING_SECONDS), 6)}

    @verb("links.ping-all", aliases=["pingall"])
    def ping_all(self) -> list[Facts]:
        """Measure how long pings to all links take, and back."""

        clock = self._office.clock
        deadline = clock() + ALL_SECONDS

        def ping(link: Any) -> Facts:
            facts: Facts = {"link": link.id, "user": user_of(link), "peer": str(link.peer)}
            try:
                if link.suspended or clock() > deadline:
                    return facts | {"seconds": None, "error": "suspended" if link.suspended else "not asked"}
                return facts | {"seconds": round(self._hall.ping(link, seconds=PING_SECONDS), 6), "error": ""}
            except NetstructerError as error:
                return facts | {"seconds": None, "error": type(error).__name__}

        return _side_by_side(ping, self._links())

    @verb("links.disconnect", aliases=["disconnect", "kick"])
    def disconnect(self, link: LinkId, *, reason: Reason = "") -> Facts:
        """Close one link; its client is told why, and may come again."""
        found = self._link_of(link)
        self._close([found], reason)
        return {"closed": 1, "link": found.id}

    @verb("links.disconnect-user")
    def disconnect_user(self, user: Annotated[str, Text("whose links", 256)], *, reason: Reason = "") -> Facts:
        """Close all links of one user, who may come again."""
        found = self._hall.links_of(user)
        self._close(found, reason)
        return {"closed": len(found)}

    @verb("links.disconnect-all", aliases=["dropall"])
    def disconnect_all(self, *, reason: Reason = "") -> Facts:
        """Close all links, one's own last."""
        found = self._links()
        self._close(found, reason)
        return {"closed": len(found)}

    @verb("links.call", aliases=["trigger"])
    def call_link(
        self,
        link: LinkId,
        action: Annotated[str, Text("the name of an action of the client's", 128)],
        argument: Annotated[object, Plain("its argument, where it takes one", whole=True)] = None,
        *,
        seconds: Annotated[float, Duration("how long it may take", 0.001, 3_600)] = CALL_SECONDS,
    ) -> Facts:
        """Call an action of a client's, and show what it returns."""
        arguments = () if argument is None else (argument,)
        found = self._hall.call(self._link_of(link), action, *arguments, timeout=seconds)
        return {"result": found}

    # --- messages ---------------------------------------------------------------------------------------------------

    @verb("message.all", aliases=["broadcast"])
    def message_all(self, text: Annotated[str, Message("what to say")]) -> Facts:
        """Send a message to all links."""
        return {"sent": self._tell(self._links(), "message", text)}

    @verb("message.user")
    def message_user(
        self, user: Annotated[str, Text("to whom", 256)], text: Annotated[str, Message("what to say")]
    ) -> Facts:
        """Send a message to the links of one user."""
        return {"sent": self._tell(self._hall.links_of(user), "message", text)}

    @verb("message.group")
    def message_group(
        self, group: Annotated[str, Text("to whom", 128)], text: Annotated[str, Message("what to say")]
    ) -> Facts:
        """Send a message to the links of one group."""
        return {"sent": self._tell(self._server.groups.members(group), "message", text)}

    @verb("message.link")
    def message_link(self, link: LinkId, text: Annotated[str, Message("what to say")]) -> Facts:
        """Send a message to one link."""
        return {"sent": self._tell([self._link_of(link)], "message", text)}

    # --- how --------------------------------------------------------------------------------------------------------

    def _link_of(self, start: str) -> Any:
        """Return the one link whose id begins so.  Raises `Misuse`."""
        found = [link for link in self._links() if link.id.startswith(start)]
        if len(found) != 1:
            raise Misuse("there is no such link" if not found else f"{len(found)} links have ids that begin so")
        return found[0]

    def _tell(self, links: Iterable[Any], kind: NoticeKind, text: str, *, sender: str | None = None) -> int:
        """Send a notice to links, and return how many take it; none of them is waited for."""
        who = self._actor if sender is None else sender
        return self._hall.post(Notice(kind=kind, text=text, sender=who, at=self._office.wall()).value(), links)

    def _close(
        self, links: Iterable[Any], reason: str, *, kind: NoticeKind = "disconnect", seconds: float = CLOSE_SECONDS
    ) -> None:
        """Close links, and tell their clients why; one's own a moment later, and behind one's back."""
        found = list(links)
        if reason:
            self._tell(found, kind, reason)
        others = [link for link in found if link is not self._link]
        deadline = self._office.clock() + max(ALL_SECONDS, seconds)
        _side_by_side(partial(self._close_one, deadline=deadline, seconds=seconds), others)
        if len(others) < len(found):
            timer = threading.Timer(OWN_SECONDS, self._close_one, [self._link], {"deadline": deadline})
            timer.name, timer.daemon = "netstructer-admin-leaves", True
            timer.start()

    def _close_one(self, link: Any, *, deadline: float, seconds: float = CLOSE_SECONDS) -> None:
        left = deadline - self._office.clock()
        try:
            self._hall.disconnect(link, seconds=min(seconds, max(0.0, left)))
        except NetstructerError:
            pass  # it is over, or its server is


def facts_of(link: Any) -> Facts:
    """Return what a list tells of a link."""
    stats = link.stats
    return {
        "link": link.id,
        "user": user_of(link),
        "peer": str(link.peer),
        "since": link.since,
        "suspended": link.suspended,
        "sent_bytes": stats.wire_sent,
        "received_bytes": stats.wire_received,
        "rtt_seconds": stats.rtt_seconds,
    }


def _side_by_side(function: Callable[[Any], T], links: Iterable[Any]) -> list[T]:
    """Do the same with each link, a few at once, and return what came of each."""
    found = list(links)
    if len(found) <= 1:
        return [function(link) for link in found]
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(found)), "netstructer-admin") as pool:
        return list(pool.map(function, found))
