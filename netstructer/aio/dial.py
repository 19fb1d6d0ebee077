"""Dialling: from an address and credentials to a handshake that is done, over a fresh transport.  Floor: FAÇADES.

Law: one deadline covers all of it.  Spec: protocol.md, "Handshake" and "States" (the client's side).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar, cast

from netstructer import sockets
from netstructer.address import Address
from netstructer.aio.exchange import Exchange
from netstructer.credentials import Credentials
from netstructer.dial import FEATURES, NO_WORD, no_clock
from netstructer.errors import ConnectionCut, LinkTimeout, Mismatch, PortClosed, Unreachable
from netstructer.limits import Limits
from netstructer.protocol.events import Ended, Event, Opened, Suspended
from netstructer.protocol.handshake import Agreement
from netstructer.protocol.parameters import RESUME, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

__all__ = ["Dialler"]

MOST_ANSWER_BYTES = 168
"""The longest answer to a hello: no byte beyond it is read before there is a session to take it."""

T = TypeVar("T")


class Dialler:
    """One client's way to one server: for the first transport of a link, and for all that follow."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        limits: Limits,
        padding: str | None,
        hide_clock: bool,
        resume: bool,
    ) -> None:
        self.address = address
        self.credentials = credentials
        self._limits, self._padding, self._hide_clock = limits, padding, hide_clock
        self._features = FEATURES | RESUME if resume else FEATURES

    async def open(self, deadline: float | None) -> Exchange:
        """Return the exchange of a new session, which is open.

        The credentials then know who the server is.  Raises as the blocking `Dialler.open` does.
        """

        def begin(transport: asyncio.Transport, agreement: Agreement) -> _Opening:
            return _Opening(self.address, transport, self._session(agreement), agreement)

        async with self._patience(deadline):
            opening = await self._call(begin)
            try:
                exchange = await opening.opened
                if opening.agreement.identity is not None:
                    # A first use is noted in a file: an affair of a disk.
                    note = asyncio.get_running_loop().run_in_executor
                    await note(None, lambda: self.credentials.opened(opening.agreement, now=time.time()))
            except BaseException:
                opening.give_up()
                raise
        return exchange

    async def again(self, exchange: Exchange, deadline: float | None) -> None:
        """Bring a session that is there onto a fresh transport, if it still wants one.  Raises what `open` raises."""

        def begin(transport: asyncio.Transport, agreement: Agreement) -> None:
            if not exchange.board(transport, agreement):
                transport.abort()

        async with self._patience(deadline):
            await self._call(begin)

    async def _call(self, begin: Callable[[asyncio.Transport, Agreement], T]) -> T:
        """Return what `begin` makes of a transport on which the server has answered.

        It is called in the step in which the answer has come: not one byte may be read before.
        """
        transport, caller = await _connect(
            self.address,
            lambda: _Caller(self.address, self.credentials, Parameters.of(self._limits, self._features), begin),
        )
        try:
            return await caller.answered
        except BaseException:
            transport.abort()
            raise

    @contextlib.asynccontextmanager
    async def _patience(self, deadline: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(sockets.remaining(deadline)):
                yield
        except TimeoutError as error:
            if isinstance(error, LinkTimeout):
                raise
            raise LinkTimeout(f"{self.address} did not answer, or did not finish the handshake, in time") from None

    def _session(self, agreement: Agreement) -> Session:
        return Session(
            Role.CLIENT,
            agreement,
            limits=self._limits,
            now=time.monotonic(),
            draw=os.urandom,
            wall=no_clock if self._hide_clock else time.time,
            padding=self._padding,
            clock=time.monotonic,
        )


async def _connect(address: Address, protocol: Callable[[], _Caller[T]]) -> tuple[asyncio.Transport, _Caller[T]]:
    """Return a connected transport.  Raises `Unreachable` (with its stage), `PortClosed`, `LinkTimeout`."""
    loop = asyncio.get_running_loop()
    try:
        places = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the name {address.host!r} leads to no address", stage="name") from error
    failure: OSError | None = None
    for family, _, proto, _, place in places:
        try:
            transport, caller = await loop.create_connection(
                protocol, str(place[0]), int(place[1]), family=family, proto=proto, flags=socket.AI_NUMERICHOST
            )
        except OSError as error:
            failure = error
            continue
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            # Linux connects a socket to itself where the port dialled is the one that it was just given.
            transport.abort()
            failure = ConnectionRefusedError("connected to itself")
            continue
        return transport, caller
    if isinstance(failure, TimeoutError):
        raise LinkTimeout(f"{address} did not answer in time") from failure
    if isinstance(failure, ConnectionRefusedError):
        raise PortClosed(f"nothing listens at {address}", stage="port") from failure
    raise Unreachable(f"{address} cannot be reached", stage="route") from failure


class _Caller(asyncio.BufferedProtocol, Generic[T]):
    """Says hello and hears the answer, on one transport."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        parameters: Parameters,
        begin: Callable[[asyncio.Transport, Agreement], T],
    ) -> None:
        self._address, self._credentials, self._begin = address, credentials, begin
        self._hello, self._expected = credentials.start(parameters)
        self._answer = memoryview(bytearray(MOST_ANSWER_BYTES))
        self._count = 0
        self._transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._hello)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the answer goes, and no more of what comes."""
        # Where it has come, and was refused, a loop may still ask, to hear of the end: never for less than a byte.
        end = self._expected.needed(bytes(self._answer[: self._count]))
        return self._answer[self._count : end] if self._count < end else memoryview(bytearray(1))

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what has come."""
        self._count += nbytes
        answer = bytes(self._answer[: self._count])
        if len(answer) < self._expected.needed(answer) or self.answered.done():
            return
        assert self._transport is not None
        try:
            agreement = self._expected.receive(answer)
            self.answered.set_result(self._begin(self._transport, agreement))
        except Mismatch as error:
            self._fail(self._credentials.explain(error))
        except Exception as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the transport is closed."""
        self._fail(ConnectionCut(f"{self._address} ended the connection in the handshake{NO_WORD}"))

    def _fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)
            self.answered.exception()  # Who was cancelled meanwhile does not ask for it.


class _Opening(asyncio.BufferedProtocol):
    """Waits for the server's first record, which says that the session is open."""

    def __init__(self, address: Address, transport: asyncio.Transport, session: Session, agreement: Agreement) -> None:
        self.agreement = agreement
        self._address, self._transport, self._session = address, transport, session
        self.opened: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        """The exchange of the session; it has the transport by then."""
        transport.set_protocol(self)
        transport.write(b"".join(session.frames_to_send(1, time.monotonic())))

    def give_up(self) -> None:
        """End the session, where it is open already, and let go of the transport."""
        if self.opened.done() and not self.opened.cancelled() and self.opened.exception() is None:
            self.opened.result().abort()
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where received bytes go."""
        return self._session.frames.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what has come."""
        self._session.frames.filled(nbytes)
        self._hear(self._session.receive(time.monotonic()))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the transport is closed."""
        self._hear(self._session.end(time.monotonic()))

    def _hear(self, events: list[Event]) -> None:
        if self.opened.done():
            return
        if events and isinstance(events[0], Opened):
            exchange = Exchange(self._session)
            exchange.begin(self._transport, events[1:])
            self.opened.set_result(exchange)
            return
        for event in events:
            # A session whose ACCEPT never came is not yet one that could be suspended.
            if isinstance(event, (Ended, Suspended)) and event.error is not None:
                self.opened.set_exception(event.error)
                self.opened.exception()
                self._transport.abort()
                return
