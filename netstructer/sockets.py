"""Sockets: open, wait, write; the few calls whose manner differs between systems.  Floor: FAÇADES.

Law: no socket here blocks; who waits, waits in `Readiness.wait`, with a timeout.
"""

from __future__ import annotations

import contextlib
import errno
import math
import queue
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from netstructer.address import Address, normalise_ip
from netstructer.errors import CannotListen, InvalidAddress, LinkTimeout, Misuse, PortClosed, Unreachable

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

__all__ = [
    "Readiness",
    "deadline_after",
    "descriptor_limit",
    "dial_socket",
    "give_up_after",
    "listening_socket",
    "peer_address",
    "prepare",
    "remaining",
    "write",
]

BACKLOG = 4096
"""Connections that the system may hold for us; it caps the figure itself."""
BUFFERS_PER_CALL = 16
_MOST_MILLISECONDS = (1 << 31) - 1
LONGEST_SECONDS = 1e6
"""Eleven days: a longer timeout is none, for the calls of the system cannot express it."""


def dial_socket(address: Address, deadline: float | None, *, dead_seconds: float | None = None) -> socket.socket:
    """Return a connected TCP socket, as `prepare` leaves it.

    Raises `Unreachable` (with its stage), `PortClosed`, `LinkTimeout`.
    """
    failure: OSError | None = None
    for family, kind, protocol, _, place in _look_up(address, deadline):
        try:
            fresh = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            fresh.settimeout(remaining(deadline))
            fresh.connect(place)
            if fresh.getsockname() == fresh.getpeername():
                # Linux connects a socket to itself where the port dialled is the one that it was just given.
                raise ConnectionRefusedError("connected to itself")
            prepare(fresh, dead_seconds=dead_seconds)
        except OSError as error:
            fresh.close()
            failure = error
        except BaseException:
            fresh.close()
            raise
        else:
            return fresh
    if isinstance(failure, TimeoutError):
        raise LinkTimeout(f"{address} did not answer in time") from failure
    if isinstance(failure, ConnectionRefusedError):
        raise PortClosed(f"nothing listens at {address}", stage="port") from failure
    raise Unreachable(f"{address} cannot be reached", stage="route") from failure


def _look_up(address: Address, deadline: float | None) -> list[Any]:
    """Return what `getaddrinfo` finds, within the time allowed.

    The system's call has no timeout, so it has a thread of its own, which ends when the system answers.
    """
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    if deadline is None or _is_ip(address.host):
        ask()
    else:
        threading.Thread(target=ask, name="netstructer-name-service", daemon=True).start()
    try:
        found = answers.get(timeout=remaining(deadline))
    except queue.Empty:
        raise LinkTimeout(f"the name {address.host!r} was not looked up in time") from None
    if isinstance(found, Exception):
        raise Unreachable(f"the name {address.host!r} leads to no address", stage="name") from found
    return found


def _is_ip(host: str) -> bool:
    try:
        normalise_ip(host)
    except InvalidAddress:
        return False
    return True


def listening_socket(address: Address, spare_ports: Sequence[int] = ()) -> socket.socket:
    """Return a bound, listening TCP socket; port 0 picks a free one.

    Where the port is in use it is at the first of `spare_ports` that is not.  Any other fault is one at once.  Raises
    `CannotListen` with the stage that failed: name, socket, bind or listen.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"the name {address.host!r} leads to no address of this machine", stage="name") from error
    for port in (address.port, *spare_ports):
        try:
            return _listening_at(family, (place[0], port, *place[2:]), address)
        except CannotListen as error:
            if not spare_ports or not _is_taken(error):
                raise
            failure = error
    raise CannotListen(
        f"cannot {failure.stage} at {address}: the port is in use, and so are all {len(spare_ports):,} spare ones",
        stage=failure.stage,
    ) from failure


def _listening_at(family: int, place: tuple[Any, ...], address: Address) -> socket.socket:
    stage, listener = "socket", None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            # On Windows SO_REUSEADDR would let another process take the port over.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address.host in ("", "::"):
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        stage = "bind"
        listener.bind(place)
        stage = "listen"
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        asked = Address(address.host, place[1])
        doing = "make a socket to listen" if stage == "socket" else stage
        raise CannotListen(f"cannot {doing} at {asked}: {error.strerror}", stage=stage) from error
    listener.setblocking(False)
    return listener


def _is_taken(error: CannotListen) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def prepare(transport: socket.socket, *, dead_seconds: float | None = None) -> None:
    """Make a fresh TCP socket ours: never blocking, never waiting for more to send; `dead_seconds` as below."""
    transport.setblocking(False)
    transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if dead_seconds is not None:
        give_up_after(transport, dead_seconds)


def give_up_after(transport: socket.socket, dead_seconds: float) -> None:
    """Let the system end a connection whose peer has not taken what was sent for so long, where it can (Linux).

    Left to itself it sends again for fifteen minutes, and keeps what was unsent for as long.  The link's own pings find
    a dead peer as soon, so TCP's keepalive stays off: it would say nothing that they do not.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        # A loop that does not show its sockets, or a system that knows the name and not the option: pings remain.
        with contextlib.suppress(OSError, AttributeError, TypeError, NotImplementedError):
            transport.setsockopt(socket.IPPROTO_TCP, option, min(math.ceil(dead_seconds * 1000), _MOST_MILLISECONDS))


def peer_address(transport: socket.socket, dialled: Address | None = None) -> Address:
    """Return the peer's address, its IP normalised.

    A transport that was reset has none any more: then this is `dialled`, or raises `OSError` without it.
    """
    try:
        host, port = transport.getpeername()[:2]
    except OSError:
        if dialled is None:
            raise
        host, port = dialled
    with contextlib.suppress(InvalidAddress):
        host = normalise_ip(host)
    return Address(host, port)


def deadline_after(timeout: float | None) -> float | None:
    """Return the monotonic time that is `timeout` seconds from now, None for one that never comes.

    Raises `Misuse` for what is no number of seconds.
    """
    if timeout is None:
        return None
    if timeout < LONGEST_SECONDS:
        return time.monotonic() + timeout
    if timeout != timeout:
        raise Misuse("expected a timeout in seconds, found not a number")
    return None


def remaining(deadline: float | None) -> float | None:
    """Return the seconds until a monotonic deadline, None without one.  Raises `LinkTimeout` where it has passed."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise LinkTimeout("the time allowed has passed")
    return left


def write(transport: socket.socket, buffers: deque[bytes | bytearray | memoryview]) -> int:
    """Write what the socket takes now, and take it out of `buffers`; return how many bytes.

    Raises `BlockingIOError` where it takes nothing, `OSError` where it is broken.
    """
    if len(buffers) == 1 or not hasattr(transport, "sendmsg"):
        sent = transport.send(buffers[0])
    else:
        sent = transport.sendmsg([buffers[index] for index in range(min(len(buffers), BUFFERS_PER_CALL))])
    left = sent
    while left:
        head = buffers.popleft()
        if left < len(head):
            buffers.appendleft(memoryview(head)[left:])
            break
        left -= len(head)
    return sent


def descriptor_limit() -> int | None:
    """Return how many descriptors this process may have now; None where the system states no such number."""
    if resource is None:
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


_NEITHER = (False, False)
if hasattr(select, "poll"):
    _EVENTS = {
        (False, False): 0,
        (True, False): select.POLLIN,
        (False, True): select.POLLOUT,
        (True, True): select.POLLIN | select.POLLOUT,
    }
    _NOT_IN, _NOT_OUT = ~select.POLLIN, ~select.POLLOUT


class Readiness:
    """Waits until one socket can be read or written.  For one waiting thread at a time."""

    __slots__ = ("_events", "_poll", "_socket")

    def __init__(self, transport: socket.socket) -> None:
        self._socket = transport
        self._poll: select.poll | None = None
        self._events = 0
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport, 0)

    def wait(self, *, read: bool, write: bool, seconds: float | None) -> tuple[bool, bool]:
        """Wait for at most `seconds`; return whether it can be read and whether it can be written.

        A broken socket is ready for everything.  Raises `OSError` or `ValueError` for a socket that was closed here.
        """
        poll = self._poll
        if poll is None:
            return self._select(read, write, seconds)
        events = _EVENTS[read, write]
        if events != self._events:
            poll.modify(self._socket, events)
            self._events = events
        ready = poll.poll(None if seconds is None else math.ceil(seconds * 1000) if seconds > 0 else 0)
        if not ready:
            return _NEITHER
        found = ready[0][1]
        return found & _NOT_OUT != 0, found & _NOT_IN != 0

    def _select(self, read: bool, write: bool, seconds: float | None) -> tuple[bool, bool]:
        one = [self._socket]
        can_read, can_write, broken = select.select(one if read else [], one if write else [], one, seconds)
        return bool(can_read or broken), bool(can_write or broken)
