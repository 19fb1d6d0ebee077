"""The section `limits`: what a server accepts and how long it waits.  Floor: SERVICES.

Law: the figures are those of `Limits`, with their bounds; here are the words for whoever writes a file.

What nobody gives is that of the profile.  docs/defaults.md has the reason of each figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from netstructer.address import parse_network
from netstructer.errors import Misuse
from netstructer.limits import Limits
from netstructer.services.configuration.option import Kind, Option, Value
from netstructer.services.configuration.origin import Strength
from netstructer.services.configuration.section import Section

__all__ = ["LIMITS", "limits_of"]

_PROFILES = {"default": Limits.DEFAULT, "small": Limits.SMALL, "bulk": Limits.BULK}
_MOST_WHOLE = 1 << 62
"""What fits into every format of files, and into the protocol's own fields."""
_LEAST_NUMBER = 1e-6
"""A microsecond: below it no clock here can tell."""
_MOST_NUMBER = 1e6
"""Eleven days in seconds: a longer wait is none, for the system cannot express it."""

_WORDS: dict[str, tuple[str, str]] = {
    "value_bytes": ("bytes", "Plain bytes of one value in memory."),
    "value_items": ("items", "Nodes of one value; one costs about 64 bytes of memory."),
    "value_depth": ("levels", "Containers in containers of one value."),
    "int_bits": ("bits", "Bits of one int."),
    "decimal_digits": ("digits", "Digits of one Decimal."),
    "decimal_exponent": ("", "Largest exponent of a Decimal, either way."),
    "unseeded_members": ("members", "Members of one set or dict that may share one hash."),
    "message_bytes": ("bytes", "Bytes of the blobs of one value together; they stream, and take no memory."),
    "body_bytes": ("bytes", "Largest record: the piece in which this end takes what comes."),
    "credit_bytes": ("bytes", "What a peer may send ahead of what was taken."),
    "streams": ("messages", "Unfinished messages of a peer at a time."),
    "unsent_bytes": ("bytes", "What waits for a socket before a sender waits, too."),
    "backlog_bytes": ("bytes", "What may wait for one slow link before a broadcast passes it over."),
    "ack_bytes": ("bytes", "Received bytes after which an acknowledgement is due."),
    "ack_seconds": ("seconds", "Time after which an acknowledgement is due."),
    "spool_memory_bytes": ("bytes", "What one spool holds in memory before it goes to disk."),
    "spool_link_bytes": ("bytes", "What the spools of one link hold on disk."),
    "spool_process_bytes": ("bytes", "What all spools of the process hold on disk."),
    "spool_free_bytes": ("bytes", "Free disk that spools leave to everybody else."),
    "outbox_bytes": ("bytes", "What the outbox of a durable link holds."),
    "outbox_rows": ("messages", "How many messages such an outbox holds."),
    "rekey_records": ("records", "Records under one key."),
    "rekey_bytes": ("bytes", "Bytes under one key."),
    "rekey_seconds": ("seconds", "Age of a key."),
    "ping_seconds": ("seconds", "Silence after which a ping is sent; must be less than dead_seconds."),
    "dead_seconds": ("seconds", "Silence after which a peer is taken for dead."),
    "resume_seconds": ("seconds", "How long a link without its connection waits for the client to come back."),
    "hello_seconds": ("seconds", "From a connection to a whole hello."),
    "open_seconds": ("seconds", "From a connection to the proof of the key."),
    "half_open": ("handshakes", "Handshakes under way."),
    "half_open_early": ("handshakes", "Handshakes under way from which newcomers are dropped at random."),
    "half_open_per_source": ("handshakes", "Handshakes under way from one source."),
    "connects_per_second": ("a second", "New connections from one source that has not proved a key since."),
    "connect_burst": ("connections", "How many of them may come at once."),
    "log_seconds": ("seconds", "At most one line in the log in this time for one source of failed handshakes."),
    "log_lines": ("lines", "And so many in this time for all sources together."),
    "source_ipv4_bits": ("bits", "An IPv4 network of so many bits is one source."),
    "source_ipv6_bits": ("bits", "An IPv6 network of so many bits is one source."),
    "penalty_key_seconds": ("seconds", "Penalty for a handshake that proves no key."),
    "penalty_timeout_seconds": ("seconds", "Penalty for a handshake that is not done in time."),
    "penalty_silence_seconds": ("seconds", "Penalty for a connection that says nothing."),
    "penalty_fault_seconds": ("seconds", "Penalty for breaking the protocol after the proof of the key."),
    "penalty_least_seconds": ("seconds", "A source is turned away when it has gathered so many."),
    "penalty_most_seconds": ("seconds", "And for no longer than this after it stops."),
    "calls": ("calls", "Calls of a peer that run at once on one link; each may hold a thread."),
    "links_per_source": ("links", "Open links from one source."),
    "links_per_user": ("links", "Open links of one user, where keys have users."),
}
"""The unit of each number, and what it bounds."""
_ALIASES = {"body_bytes": ("buffer_size",)}
"""What predecessors read from a socket in one go is the largest record here.  Nothing is cut by it."""


def limits_of(values: Mapping[str, Value]) -> Limits:
    """Return the limits that the values of the section say.  Raises `Misuse`."""
    given = {name: value for name, value in values.items() if name != "profile"}
    return Limits(**given)  # type: ignore[arg-type]  # the table says for each field which type it has


def _options() -> tuple[Option, ...]:
    profile = Option(
        name="profile",
        kind="choice",
        choices=tuple(_PROFILES),
        default="default",
        help="What the other limits are where they are not given: small is for servers that face strangers with keys, "
        "bulk for machines that trust each other and move very large values.",
    )
    others = (
        Option(
            name="spool_directory",
            kind="path",
            example="/var/tmp",
            help="Where bytes that nobody has read yet wait, sealed; unless given, where the system has temporary "
            "files.",
        ),
        Option(
            name="exempt_networks",
            kind="list",
            check=parse_network,
            default=Limits.DEFAULT.exempt_networks,
            help="Networks that no limit for one source applies to: this machine, a proxy, a monitor.",
        ),
    )
    return (profile, *map(_number, _WORDS), *others)


def _number(name: str) -> Option:
    default = getattr(Limits.DEFAULT, name)
    kind: Kind = "whole" if isinstance(default, int) else "number"
    least, most = Limits.bounds(name) or ((1, _MOST_WHOLE) if kind == "whole" else (_LEAST_NUMBER, _MOST_NUMBER))
    unit, words = _WORDS[name]
    return Option(
        name=name,
        kind=kind,
        unit=unit,
        least=least,
        most=most,
        default=default,
        help=words,
        aliases=_ALIASES.get(name, ()),
    )


def _of_profile(given: Mapping[str, Value]) -> tuple[Mapping[str, Value], str]:
    name = str(given.get("profile", "default"))
    limits = _PROFILES[name]
    return {field.name: getattr(limits, field.name) for field in fields(limits)}, f"the profile {name}"


def _together(values: Mapping[str, Value], strengths: Mapping[str, Strength]) -> Mapping[str, str]:
    try:
        limits_of(values)
    except Misuse as error:
        name, _, text = str(error).removeprefix("Limits.").partition(": ")
        return {name: text} if name in values else {"profile": str(error)}
    return {}


LIMITS = Section(
    name="limits",
    help="What the server accepts and how long it waits; the documentation of the defaults has the reasons.",
    options=_options(),
    defaults=_of_profile,
    check=_together,
)
