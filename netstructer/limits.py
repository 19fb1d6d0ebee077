"""Every number that bounds something, with its unit and its reason.  Floor: GROUND.

A `Limits` is frozen.  Three profiles: `Limits.DEFAULT` takes real data without a thought, `Limits.SMALL` is for servers
that face strangers with keys, `Limits.BULK` is for machines that trust each other and move very large values.  What an
end states is what it is willing to *receive*; both ends learn each other's figures inside the sealed handshake, so a
value that the peer would refuse fails at the sender, before a byte flows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from netstructer.address import LOOPBACK, Sources, parse_network
from netstructer.errors import InvalidAddress, Misuse

__all__ = ["Limits"]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What this end accepts and how long it waits.  Bytes, seconds, counts; every field can be given by name."""

    # --- values: what one decoded message may cost -------------------------------------------------------------------
    value_bytes: int = GIB + 64 * KIB
    """Plain bytes of one value in memory: 1 GiB of payload, and room for the tags around it."""
    value_items: int = 1 << 24
    """Nodes of one value, bulk items too.  A node costs about 64 bytes of memory, and one that costs more (an empty set
    216, a deque 760) counts as more, so this is `value_bytes / 64`: a table of a million rows of fifteen columns."""
    value_depth: int = 256
    """Containers inside containers.  Real documents stay under 50.  Hashing a nested key recurses in C: built-in types
    hold 1,000 levels on a stack of 256 KiB, but frozen dataclasses, whose hash is Python, take 650 bytes a level
    (CPython 3.13) and end at 380."""
    int_bits: int = 1 << 16
    """Bits of one int: 19,728 decimal digits.  RSA keys and factorials fit; quadratic printing stays under 10 ms."""
    decimal_digits: int = 1 << 14
    """Digits of one Decimal's coefficient."""
    decimal_exponent: int = 1 << 20
    """Largest exponent of a Decimal, either way: `int(Decimal("1E+999999999"))` would take a gigabyte."""
    unseeded_members: int = 64
    """Members or keys of one set or dict that may share one hash.  Hashes of ints, Decimal, UUID and tuples of such are
    not seeded, so anyone can make them collide: 32,768 big ints cost 5.8 s.  At 64 a key costs at most 32 comparisons,
    about what decoding it costs.  Honest keys share a hash only by -1 and -2: a grid of d dimensions, 2**d of them."""

    # --- messages and records ----------------------------------------------------------------------------------------
    message_bytes: int = TIB
    """Stated bytes of the blobs of one value together, and payload bytes of one whose length is not stated.  Blobs
    stream: however long they are, what waits of them is bounded by the spools, so a file of 100 GB is one send."""
    body_bytes: int = 257 * KIB
    """Largest record body: what is sealed in one go anyway (`unsent_bytes`), so nobody waits longer for it than for
    several short ones, and what each record costs beside its bytes is paid a quarter as often.  The last KiB is for
    the heads around a whole number of MiB, which would need a record of their own.  1 KiB to 1 MiB."""
    credit_bytes: int = 8 * MIB
    """What the peer may send ahead of what the application has taken: 80 ms of a 100 MB/s link."""
    calls: int = 32
    """Calls of the peer's that run at once on one link; further ones wait, and its credit with them.  Each may hold a
    thread."""
    streams: int = 64
    """Unfinished messages that the peer may have on one link at a time; blobs hold at most three quarters of them, so
    at least 2: a blob that nobody reads leaves a stream to values."""
    unsent_bytes: int = 256 * KIB
    """Sealed bytes that wait for the socket before `send` waits too: about one socket buffer."""
    backlog_bytes: int = 64 * MIB
    """What may wait for one slow link before a broadcast passes it over; and what a link keeps while it has no
    transport, before `send` waits."""
    ack_bytes: int = MIB
    """Received bytes after which an acknowledgement is due at once: eight of them in a window."""
    ack_seconds: float = 0.2
    """Time after which an acknowledgement is due however little came; who waits for one has it at once."""

    # --- spools: what waits to be read ------------------------------------------------------------------------------
    spool_memory_bytes: int = 8 * MIB
    """What one spool holds in memory before it goes to disk: the credit of its link, which bounds what all of them hold
    together; so who keeps up never touches a disk, nor does a value that is within the credit."""
    spool_link_bytes: int = GIB
    """What the spools of one link hold on disk: one value of the largest size, unread."""
    spool_process_bytes: int = 8 * GIB
    """What all spools of the process hold on disk: eight links at their most."""
    spool_free_bytes: int = 256 * MIB
    """Free disk that spools leave to everybody else: a log, a core, a login."""
    spool_directory: str | None = None
    """Where spools put their files, which have no names; None is where the system has temporary files (`TMPDIR`)."""

    # --- an outbox: what waits on the disk for a peer that may be away ------------------------------------------------
    outbox_bytes: int = GIB
    """Sealed bytes of a durable link's messages that the peer's application has not taken, and 64 for each.  All are
    verified when the outbox is opened: a second or two for this much."""
    outbox_rows: int = 1_000_000
    """How many such messages there may be: ten seconds of verifying."""

    # --- keys --------------------------------------------------------------------------------------------------------
    rekey_records: int = 1 << 20
    """Records under one key: 2^20 of at most 4,096 AES blocks keep CBC's birthday term near 2^-65."""
    rekey_bytes: int = 64 * GIB
    """Bytes under one key, for the same reason."""
    rekey_seconds: float = 3600.0
    """Age of a key: what a stolen memory image tells of the past is at most an hour."""

    # --- time --------------------------------------------------------------------------------------------------------
    ping_seconds: float = 15.0
    """Silence after which a ping is sent; routers drop idle flows after 30 s and more."""
    dead_seconds: float = 45.0
    """Silence after which the peer is taken for dead: three pings."""
    resume_seconds: float = 120.0
    """How long a session waits without a transport: a tunnel, a lift, a router that starts again, a laptop that changes
    its network.  Its server holds its place and what waits for its client as long."""
    hello_seconds: float = 5.0
    """From accept to a whole hello; a stranger can hold a place no longer."""
    open_seconds: float = 10.0
    """From accept to the proof of the key."""

    # --- strangers (a server before the handshake is done) -----------------------------------------------------------
    half_open: int = 256
    """Handshakes under way at one server; beyond it a newcomer is dropped unread, or the oldest of the source that has
    most of them makes way for it."""
    half_open_early: int = 128
    """From here on newcomers are dropped at random, ever more of them (OpenSSH's MaxStartups 128:30:256)."""
    half_open_per_source: int = 16
    """Handshakes under way from one source."""
    connects_per_second: float = 20.0
    """New transports from one source that has not proved a key since."""
    connect_burst: int = 5
    """How many of them may come at once.  A transport that proves its key is given back."""
    log_seconds: float = 1.0
    """At most one log line in this time for one source of failed handshakes; the rest are counted."""
    log_lines: int = 10
    """And so many in this time for all sources together: a page of a terminal in a few seconds, never a full disk."""
    source_ipv4_bits: int = 32
    """An IPv4 network of so many bits is one source: each address is."""
    source_ipv6_bits: int = 64
    """An IPv6 network of so many bits is one source: the least that one subscriber is given."""
    exempt_networks: tuple[str, ...] = LOOPBACK
    """Networks that no figure for one source applies to: this machine itself, where one program that opens a hundred
    links at once is ordinary.  Add a proxy or a monitor of yours here; `()` exempts nobody."""

    # --- penalties: seconds for which a source is turned away, added up; they pass as time does -----------------------
    penalty_key_seconds: float = 5.0
    """A hello or a first record that proves no key: a mistyped key may be tried four times in a row, not five."""
    penalty_timeout_seconds: float = 10.0
    """No whole hello, or no proof of the key, in time: it held a place for as long as that."""
    penalty_silence_seconds: float = 1.0
    """Gone without a hello, or with what is none: a port scan, or the check of a load balancer, which may look once a
    second for ever."""
    penalty_fault_seconds: float = 30.0
    """A peer that proved its key and then broke the protocol, on purpose or broken: at once, and for long enough that
    it is no loop."""
    penalty_least_seconds: float = 15.0
    """A source is turned away from when it has gathered so many (OpenSSH's PerSourcePenalties, all five figures)."""
    penalty_most_seconds: float = 600.0
    """And for no longer than this after it stops: addresses change hands."""

    # --- links of one server -----------------------------------------------------------------------------------------
    links_per_source: int = 64
    """Open links from one source: an office behind one address, and a sixteenth of a server of 1,000."""
    links_per_user: int = 16
    """Open links of one user, where keys have users: every device of a person; one stolen key takes no server."""

    DEFAULT: ClassVar[Limits]
    SMALL: ClassVar[Limits]
    BULK: ClassVar[Limits]

    def __post_init__(self) -> None:
        if self.spool_directory is not None and (type(self.spool_directory) is not str or not self.spool_directory):
            raise Misuse("Limits.spool_directory: expected a path as text, or None")
        if type(self.exempt_networks) is not tuple:
            raise Misuse("Limits.exempt_networks: expected a tuple of networks as text")
        for network in self.exempt_networks:
            try:
                parse_network(network)
            except InvalidAddress as error:
                raise Misuse(f"Limits.exempt_networks: {error}") from None
        for field in fields(self):
            if field.name in ("spool_directory", "exempt_networks"):
                continue
            number = getattr(self, field.name)
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not number > 0:
                raise Misuse(f"Limits.{field.name}: expected a positive number")
            if field.type == "int" and not isinstance(number, int):
                raise Misuse(f"Limits.{field.name}: expected a whole number")
        if self.dead_seconds <= self.ping_seconds:
            raise Misuse(
                "Limits.dead_seconds: expected more than ping_seconds, or an idle peer would be taken for dead"
            )
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise Misuse(f"Limits.{name}: expected a number from {low} to {high}")

    @staticmethod
    def bounds(name: str) -> tuple[float, float] | None:
        """Return the least and the most that a limit can be; None for one that is any number above 0, or no number."""
        return _BOUNDS.get(name)

    def sources(self) -> Sources:
        """Return what counts as one source."""
        return Sources(self.exempt_networks, ipv4_bits=self.source_ipv4_bits, ipv6_bits=self.source_ipv6_bits)


_BOUNDS = {
    "body_bytes": (KIB, MIB),
    "value_bytes": (KIB, 1 << 62),
    "message_bytes": (KIB, 1 << 62),
    "credit_bytes": (64 * KIB, (1 << 32) - 1),
    "value_items": (16, (1 << 32) - 1),
    "value_depth": (1, 1000),
    "unseeded_members": (1, (1 << 16) - 1),
    "int_bits": (64, 1 << 30),
    "decimal_digits": (32, 1 << 30),
    "decimal_exponent": (32, 1 << 30),
    "calls": (1, 4096),
    "streams": (2, 1 << 16),
    "rekey_records": (1024, 1 << 20),
    "rekey_bytes": (2 * GIB, 64 * GIB),
    "rekey_seconds": (2.0, 86400.0),
    "ping_seconds": (0.01, 86400.0),
    "dead_seconds": (0.03, 86400.0),
    "source_ipv4_bits": (8, 32),
    "source_ipv6_bits": (16, 128),
}
"""What a field can hold: what its place in the sealed parameters can state, or what the protocol itself allows."""

Limits.DEFAULT = Limits()
Limits.SMALL = Limits(
    spool_memory_bytes=MIB,
    body_bytes=64 * KIB,
    value_bytes=16 * MIB,
    value_items=1 << 18,
    value_depth=64,
    int_bits=1 << 13,
    decimal_digits=1 << 10,
    decimal_exponent=1 << 13,
    unseeded_members=32,
    message_bytes=16 * MIB,
    credit_bytes=MIB,
    streams=8,
    spool_link_bytes=64 * MIB,
    spool_process_bytes=GIB,
)
Limits.BULK = Limits(
    value_bytes=64 * GIB,
    value_items=1 << 30,
    int_bits=1 << 23,
    decimal_digits=1 << 20,
    decimal_exponent=1 << 30,
    unseeded_members=256,
    credit_bytes=64 * MIB,
    spool_link_bytes=64 * GIB,
    spool_process_bytes=256 * GIB,
)
