"""Counters and facts of a link and of a server, as snapshots.  Floor: COMMONS.  Law: facts only, no contents."""

from __future__ import annotations

from dataclasses import dataclass

from netstructer.address import Address

__all__ = ["LinkStats", "ServerDetails", "ServerStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """What one link has moved so far.  Bytes: plain before compression and sealing, wire as frames; the handshake is
    not in it.
    """

    messages_sent: int
    messages_received: int
    plain_sent: int
    plain_received: int
    wire_sent: int
    wire_received: int
    rtt_seconds: float | None
    """The last measured round trip of a ping, None before the first."""
    resumes: int = 0
    """How often the link was taken up again on another transport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats:
    """What one server has seen since it started."""

    links_accepted: int
    handshakes_refused: int
    strangers_dropped: int
    """Transports closed unread, for want of budget."""
    key_refused: int
    """Of the refused: those that did not hold the key."""
    banned: int
    """Of the refused and dropped: those from a banned source, with a banned key, or of a banned user."""
    penalised: int
    """Of the refused and dropped: those whose source had failed too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDetails:
    """Where one server is, for how long, and who has a link to it."""

    hostname: str
    """What the machine calls itself; no name that others need know."""
    host: str
    port: int
    uptime_seconds: float
    """Since it began to listen."""
    clients: tuple[Address, ...]
    """The peers of the open links, oldest first."""
    suspended: int
    """Links that have lost their transport and may come back."""
