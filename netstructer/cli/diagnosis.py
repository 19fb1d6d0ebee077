"""The diagnosis of one server, step by step, for `doctor HOST:PORT`.  Floor: ROOF.

name -> port -> protocol -> version -> key -> limits -> clock -> ping -> identity.  A step that fails is the last one:
what lies behind it cannot be seen.
"""

from __future__ import annotations

import ipaddress
import socket
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any

from netstructer.address import Address
from netstructer.cli.checkup import Step
from netstructer.cli.options import find
from netstructer.cli.outcomes import ExitCode, code_of, sentence_of
from netstructer.cli.probe import Probe, name_of_stranger
from netstructer.cli.screen import seconds, size
from netstructer.errors import (
    Banned,
    Busy,
    InvalidKey,
    InvalidKnownServers,
    KeyRefused,
    LinkLost,
    LinkTimeout,
    MissingKey,
    NetstructerError,
    VersionMismatch,
)
from netstructer.keys import Key
from netstructer.known_servers import KnownServers, default_known_servers_path
from netstructer.limits import Limits
from netstructer.protocol.handshake import identity_fingerprint
from netstructer.protocol.parameters import VERSION

__all__ = ["diagnose"]

PINGS = 3
CLOCK_SLACK_SECONDS = 60
"""Clocks that are further apart are worth a word, though nothing here depends on them."""
SHOWN_BYTES = 24


def diagnose(place: Address, key_file: str | None, timeout: float) -> Iterator[Step]:
    """Examine the server at `place`; a step that did not pass is the last."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        yield Step(
            "name",
            False,
            f"{place.host} leads to no address",
            advice="check the spelling, or give the IP address; is this machine on the network, and its DNS?",
            code=ExitCode.UNREACHABLE,
        )
        return
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield Step(
        "name", True, f"{place.host} is an address" if hosts == [place.host] else f"{place.host} is {', '.join(hosts)}"
    )
    began = time.monotonic()
    try:
        transport = _connect(found, timeout)
    except OSError as error:
        yield _closed_port(place, error, timeout)
        return
    with transport:
        yield Step("port", True, f"{place} answers in {seconds(time.monotonic() - began)}")
        yield from _examine(transport, place, key_file, timeout)


def _connect(found: Iterable[tuple[Any, ...]], timeout: float) -> socket.socket:
    """Return a connected socket; raise the last failure where no address takes one."""
    failure: OSError = OSError("there is no address")
    for family, kind, protocol, _, where in found:
        transport = socket.socket(family, kind, protocol)
        transport.settimeout(timeout)
        try:
            transport.connect(where)
        except OSError as error:
            transport.close()
            failure = error
        else:
            return transport
    raise failure


def _closed_port(place: Address, error: OSError, timeout: float) -> Step:
    if isinstance(error, ConnectionRefusedError):
        loopback = _is_loopback(place.host)
        advice = "start the server (netstructer serve), or correct the port"
        if not loopback:
            advice += "; a server on 127.0.0.1 is reached from its own machine only: let it listen on 0.0.0.0"
        return Step("port", False, f"nothing listens at {place}", advice=advice, code=ExitCode.UNREACHABLE)
    if isinstance(error, TimeoutError):
        return Step(
            "port",
            False,
            f"{place} does not answer within {timeout:g} seconds",
            advice="the machine is off, the address is another one, or a firewall drops what comes to this port",
            code=ExitCode.UNREACHABLE,
        )
    return Step(
        "port",
        False,
        f"{place} cannot be reached: {error.strerror or type(error).__name__}",
        advice="check the network of this machine and the route to that one",
        code=ExitCode.UNREACHABLE,
    )


def _examine(transport: socket.socket, place: Address, key_file: str | None, timeout: float) -> Iterator[Step]:
    """The steps behind the port.  Without a key of ours we knock with a random one: the rest can still be seen."""
    missing: NetstructerError | None = None
    try:
        key, source = find(key_file)
    except (MissingKey, InvalidKey) as error:
        missing, key, source = error, Key.generate(), ""
    probe = Probe(transport, timeout)
    refused: NetstructerError | None = None
    try:
        probe.shake_hands(key)
    except (VersionMismatch, KeyRefused, Busy, Banned) as error:
        refused = error
    except NetstructerError as error:
        yield _wrong_protocol(error, probe, timeout)
        return
    yield Step("protocol", True, "speaks netstructer")
    if isinstance(refused, VersionMismatch):
        yield Step(
            "version",
            False,
            f"{sentence_of(refused)}; this end speaks version {VERSION}",
            advice="install the same release of netstructer at both ends",
            code=ExitCode.PEER,
        )
        return
    if isinstance(refused, (Busy, Banned)):
        yield _unwelcome(refused)
        return
    yield Step("version", True, f"version {VERSION} at both ends")
    if missing is not None:
        yield Step(
            "key",
            False,
            sentence_of(missing),
            advice="copy the server's key file to this machine",
            code=code_of(missing),
        )
        return
    if refused is not None:
        yield Step(
            "key",
            False,
            f"{sentence_of(refused)}: {key.fingerprint}, from {source}",
            advice="compare with the fingerprint at the server (netstructer doctor, there) and copy the right key file",
            code=ExitCode.KEY,
        )
        return
    yield from _talk(probe, key, source, place, timeout)


def _talk(probe: Probe, key: Key, source: str, place: Address, timeout: float) -> Iterator[Step]:
    """The steps behind the handshake."""
    try:
        peer = probe.open()
        yield Step(
            "key",
            True,
            f"{key.fingerprint}, from {source}; proved by both ends",
            facts={"fingerprint": key.fingerprint},
        )
        yield _limits(peer)
        yield _clock(probe.clock or 0)
        trips = [probe.ping() for _ in range(PINGS)]
        yield Step(
            "ping",
            True,
            f"{seconds(min(trips))} to {seconds(max(trips))}, median {seconds(statistics.median(trips))} of {PINGS}",
            facts={"median_seconds": statistics.median(trips)},
        )
        probe.leave()
        yield _identity(place, key, timeout)
    except Busy as error:  # A server that is full says so to those who have proved the key.
        yield _unwelcome(error)
    except NetstructerError as error:
        yield Step(
            "link",
            False,
            f"it opened and then failed: {sentence_of(error)}",
            advice="look into the server's log; try again",
            code=code_of(error),
        )


def _unwelcome(error: NetstructerError) -> Step:
    banned = isinstance(error, Banned)
    return Step(
        "limits",
        False,
        sentence_of(error),
        advice="ask whoever runs the server" if banned else "try again later, or raise the server's max_links",
        code=ExitCode.LIMIT,
    )


def _identity(place: Address, key: Key, timeout: float) -> Step:
    """Ask, on a transport of its own, which server it is, and compare with what is known of it.

    Raises what the handshake raises.
    """
    path = default_known_servers_path()
    try:
        line = KnownServers(path).get(place) if path is not None else None
        with socket.create_connection(place, timeout) as transport:
            probe = Probe(transport, timeout)
            found = identity_fingerprint(probe.shake_hands(key, suite=2).identity or b"")
            probe.open()
            probe.leave()
    except VersionMismatch:
        found = ""
    except Busy:  # The link that has just left may have had the last place.
        return Step("identity", None, "not asked: the server takes no more links now")
    except (InvalidKnownServers, OSError) as error:
        return Step(
            "identity", False, sentence_of(error), advice="correct that line, or try again", code=code_of(error)
        )
    facts = {"fingerprint": found or None, "known": line.fingerprint if line is not None else None}
    if line is not None and found != line.fingerprint:
        return Step(
            "identity",
            False,
            f"{found or 'none'}, where {path} says {line.fingerprint}",
            advice="somebody who has the key may be posing as the server, or it was set up anew: compare with "
            "netstructer doctor at the server, and only if it shows the same there take the line out of the file",
            code=ExitCode.KEY,
            facts=facts,
        )
    if line is not None:
        return Step("identity", True, f"{found}, as in {path}", facts=facts)
    if not found:
        return Step("identity", None, "the server proves none: whoever has the key can pose as it", facts=facts)
    return Step(
        "identity",
        None,
        f"{found}, which is not known here",
        advice="compare with netstructer doctor at the server; --server-identity tofu notes it, for good",
        facts=facts,
    )


def _wrong_protocol(error: NetstructerError, probe: Probe, timeout: float) -> Step:
    """What to say of something that listens and does not answer a hello as a server does."""
    answer = probe.answer
    stranger = name_of_stranger(answer)
    if isinstance(error, LinkTimeout) and not answer:
        answer = probe.nudge()
        stranger = name_of_stranger(answer)
        if not answer:
            return Step(
                "protocol",
                False,
                f"the port was opened, and nothing was said within {timeout:g} seconds",
                advice="something else listens there, or the server hangs: check the port, restart the server",
                code=ExitCode.TIMEOUT,
            )
    elif isinstance(error, LinkLost) and not answer:
        return Step(
            "protocol",
            False,
            "the port was opened, and closed without a word",
            advice="something else listens there, or the server has too many new connections (wait, try again), or is "
            "in stealth and does not know the key",
            code=ExitCode.PEER,
        )
    shown = f" (it began with {answer[:SHOWN_BYTES]!r})" if answer else ""
    what = f"{stranger} answers" if stranger else f"what answers does not speak netstructer: {sentence_of(error)}"
    return Step("protocol", False, what + shown, advice="correct the port", code=ExitCode.PEER)


def _limits(peer: Limits) -> Step:
    """Say what the peer accepts, and where that is less than the defaults."""
    own = Limits.DEFAULT
    facts = {name: getattr(peer, name) for name in _STATED}
    less = [
        f"{name} {facts[name]:,} (default {getattr(own, name):,})"
        for name in _STATED
        if facts[name] < getattr(own, name)
    ]
    return Step(
        "limits",
        True,
        f"takes values of up to {size(peer.value_bytes)}, {peer.value_items:,} items, {peer.value_depth} deep",
        advice=f"less than the defaults: {', '.join(less)}" if less else "",
        facts=facts,
    )


_STATED = ("value_bytes", "value_items", "value_depth", "message_bytes", "unseeded_members", "int_bits", "credit_bytes")


def _clock(stated: int) -> Step:
    """Compare the clock that the server's first token shows; never a failure, as no link depends on it."""
    if not stated:
        return Step("clock", None, "the server does not show its clock (hide_clock); no link depends on it")
    apart = stated - time.time()
    facts = {"server_ahead_seconds": round(apart)}
    if abs(apart) <= CLOCK_SLACK_SECONDS:
        return Step("clock", True, "both ends agree to the minute (no link depends on it)", facts=facts)
    way = "ahead of" if apart > 0 else "behind"
    return Step(
        "clock",
        None,
        f"the server's is {abs(apart):,.0f} s {way} this one; no link depends on it",
        advice="links work all the same; logs of both ends will not match until one clock is set",
        facts=facts,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
