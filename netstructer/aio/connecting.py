"""Connecting: a link that is being opened, to be awaited or used in `async with`.  Floor: FAÇADES.

Law: nothing happens before it is awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from netstructer.address import parse_address
from netstructer.aio.dial import Dialler
from netstructer.aio.link import Link
from netstructer.codec.ciphers import CipherName
from netstructer.credentials import ServerIdentity, find_credentials
from netstructer.errors import Misuse
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Connecting", "connect"]


def connect(
    address: tuple[str, int] | str,
    *,
    key: Key | str | bytes | None = None,
    timeout: float | None = 10.0,
    limits: Limits | None = None,
    compress: bool = True,
    resume: bool = True,
    padding: Literal["bucket", "full"] | None = None,
    hide_clock: bool = False,
    server_identity: ServerIdentity | None = None,
    on_new_key: Callable[[Key], object] | None = None,
    cipher: CipherName = "fernet",
) -> Connecting:
    """Open a link: `link = await connect(address)`, or `async with connect(address) as link:`.

    The options, and what it raises, are those of the blocking `Link`.
    """
    if padding not in (None, "bucket", "full"):
        raise Misuse("expected padding=None, 'bucket' or 'full'")
    place = parse_address(address)

    async def begin() -> Link:
        credentials = find_credentials(
            key, place, server_identity=server_identity, on_new_key=on_new_key, cipher=cipher
        )
        dialler = Dialler(
            place,
            credentials,
            limits=limits or Limits.DEFAULT,
            padding=padding,
            hide_clock=hide_clock,
            resume=resume,
        )
        exchange = await dialler.open(deadline_after(timeout))
        return Link._dialled(exchange, dialler, compress=compress)

    return Connecting(begin)


class Connecting(Awaitable["Link"]):
    """A link that is being opened: to be awaited, or used in `async with`."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._link: Link | None = None

    def __await__(self) -> Generator[Any, None, Link]:
        link: Link = yield from self._begin().__await__()
        return link

    async def __aenter__(self) -> Link:
        self._link = await self
        return self._link

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._link is not None
        await self._link.close()
