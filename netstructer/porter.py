"""The porter: decides who is let in at the door.  Floor: COMMONS.  Law: no socket here; time and chance are arguments.

Spec: protocol.md, "Budgets before authentication".  What a server knows about strangers meets here: places and tries
(admission.py), penalties, bans, whether there is room for a link, and what of it may be logged.  The door asks, and
does what it is told.

Who is banned, or has failed too often, is heard out and then told: what is closed while bytes of it are unread looks
like a broken network to its client.  That costs a place and 128 bytes, no cryptography; while places are short it is
closed unread like others.
"""

from __future__ import annotations

from collections.abc import Callable

from netstructer.admission import Admission, Verdict
from netstructer.bans import Bans
from netstructer.errors import (
    BadCompression,
    BadFrame,
    BadSeal,
    BadValue,
    Banned,
    Busy,
    ConnectionCut,
    IllegalFrame,
    KeyRefused,
    LinkTimeout,
    NetstructerError,
)
from netstructer.limits import Limits
from netstructer.logbudget import LogBudget
from netstructer.penalties import Fault, Penalties

__all__ = ["OurFault", "Porter"]

NOBODY = "0.0.0.0"
"""The source of lines that are about no source."""


class OurFault(ConnectionCut):
    """A handshake failed because of a fault in this process: nobody is penalised for it.  Its text goes into the log;
    that is the type of an error, never what one says.
    """


class Porter:
    """What one server decides about strangers, and counts of them.  Single owner: the thread of its door; `report` may
    be called from any.

    `full(ip, user)` says whether there is no room for one more link from there, and of that user.
    """

    def __init__(self, limits: Limits, bans: Bans, full: Callable[[str, str | None], bool]) -> None:
        self._bans, self.full = bans, full
        self._sources = limits.sources()
        self._admission = Admission(limits, self._sources)
        self._penalties = Penalties(limits, self._sources)
        self._log = LogBudget(limits, self._sources)
        self.refused = self.dropped = self.key_refused = self.banned = self.penalised = 0

    def meet(self, ip: str, now: float, chance: float) -> tuple[Verdict, NetstructerError | None]:
        """Return what becomes of a new transport, and why its hello will be refused whatever it says, if it will."""
        unwelcome = self._unwelcome(ip, now)
        crowded_out = unwelcome is not None and self._admission.crowded
        verdict = Verdict.UNREAD if crowded_out else self._admission.admit(ip, now, chance)
        self.dropped += verdict is not Verdict.ENTER
        return verdict, unwelcome

    def makes_way(self, ip: str) -> bool:
        """Say whether a stranger from `ip` is one of those who hold most places."""
        return self._sources.name(ip) == self._admission.greediest

    @property
    def greed(self) -> int:
        """The most places that strangers from one source hold."""
        return self._admission.greed

    def leave(self, ip: str, now: float, *, proved: bool) -> None:
        """Take in that a stranger holds its place no longer."""
        self._admission.leave(ip, now, proved=proved)

    def check_source(self, ip: str, unwelcome: NetstructerError | None) -> None:
        """Raise `Banned` or `Busy` where the address alone is enough to refuse a hello, before any key is looked for.

        Whether there is room for a link is asked here only while places are short, to spare both ends the handshake.
        At other times it is asked when the key is proved, because a hello does not say that it goes on with a session
        that has its place.
        """
        if unwelcome is not None:
            raise unwelcome
        if self._admission.crowded and self.full(ip, None):
            raise Busy("there is no room for another link")

    def check_holder(self, key_id: bytes, user: str | None) -> None:
        """Raise `Banned` for the holder of a key that is banned, or whose user is."""
        if self._bans.of_holder(key_id, user) is not None:
            self.banned += 1
            raise Banned("its key or its user is banned")

    def failed(self, ip: str, error: NetstructerError, now: float, *, answered: bool) -> str | None:
        """Take in that a stranger is refused, its hello `answered` or not; return what to log, if anything."""
        self.refused += 1
        self.key_refused += isinstance(error, KeyRefused)
        fault = _fault_of(error, answered=answered)
        if fault is not None:
            self._penalties.punish(ip, fault, now)
        kept_back = self._log.may_log(ip, now)
        if kept_back is None:
            return None
        reason = f"a fault here, {error}" if isinstance(error, OurFault) else type(error).__name__
        more = f" (and {kept_back} more before)" if kept_back else ""
        return f"< no link from {ip}: {reason}{more}"

    def short(self, text: str, now: float, *, closed: bool) -> str | None:
        """Take in that there was no descriptor for a transport; return what to log, if anything."""
        self.dropped += closed
        return text if self._log.may_log(NOBODY, now) is not None else None

    @property
    def owes_summary(self) -> bool:
        """Whether there will be a line to ask `summary` for, without another stranger coming."""
        return self._log.owes_summary

    def summary(self, now: float) -> str | None:
        """Return a line about all that could not have a line of its own, when it is time for it."""
        kept_back = self._log.summary(now)
        return f"< {kept_back} more lines about failed handshakes were kept back" if kept_back else None

    def report(self, ip: str, error: NetstructerError | None, now: float) -> None:
        """Take in how a link ended: a peer that proved its key and broke the protocol is penalised.

        A broken seal or a broken order is no such fault, because whoever sits between the ends can bring it about.
        """
        if isinstance(error, (IllegalFrame, BadValue, BadCompression)):
            self._penalties.punish(ip, Fault.AUTHENTICATED, now)

    def _unwelcome(self, ip: str, now: float) -> NetstructerError | None:
        if self._bans.of_source(ip) is not None:
            self.banned += 1
            return Banned("its source is banned")
        if self._penalties.turns_away(ip, now):
            self.penalised += 1
            return Busy("its source has failed too often")
        return None


def _fault_of(error: NetstructerError, *, answered: bool) -> Fault | None:
    """Return what a stranger that failed is penalised for; None for what is no doing of its own."""
    if isinstance(error, (Busy, Banned, OurFault)):
        return None
    if isinstance(error, LinkTimeout):
        return Fault.TIMEOUT
    if isinstance(error, (KeyRefused, BadSeal)) or (isinstance(error, BadFrame) and answered):
        return Fault.KEY
    if isinstance(error, IllegalFrame) and answered:
        return Fault.AUTHENTICATED
    return Fault.SILENCE
