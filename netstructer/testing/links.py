"""Both ends of a real link, in one line.  Floor: FAÇADES.  Law: nothing is left open behind the block.

with link_pair() as (client, server):
    client.send({1, 2})
    assert server.recv(timeout=5) == {1, 2}

with link_pair(Cuts(mean_bytes=20_000, most=20), seed=7) as pair:
    use(pair.client, pair.server)
    print(pair.proxy.counters)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.link import Link
from netstructer.server import Server
from netstructer.testing.faults import Plan
from netstructer.testing.proxy import ChaosProxy

__all__ = ["PATIENCE_SECONDS", "LinkPair", "link_pair"]

PATIENCE_SECONDS = 30.0
"""How long opening may take, under faults and on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPair:
    """Two ends of one link, to be unpacked: `client, server = pair`."""

    client: Link
    server: Link
    """The server's end, not the `Server`."""
    proxy: ChaosProxy | None
    """What is between them, where a plan was given."""

    def __iter__(self) -> Iterator[Link]:
        return iter((self.client, self.server))


@contextlib.contextmanager
def link_pair(
    plan: Plan | None = None,
    *,
    seed: int = 0,
    key: Key | str | bytes | None = None,
    limits: Limits | None = None,
    server_limits: Limits | None = None,
    **options: Any,
) -> Iterator[LinkPair]:
    """Give both ends of a fresh link over loopback, under a key of its own unless there is one.

    With a `plan`, even an empty one, a `ChaosProxy` is between them.  `options` are those of `Link`; the server offers
    the `cipher` among them.  Both ends are aborted behind the block: what is still under way then is dropped, so have
    what was sent received in it.  Raises what `Link` and `Server.accept` raise, where the plan lets no link come to be.
    """
    found = Key.generate() if key is None else key
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            Server(key=found, limits=server_limits or limits, cipher=options.get("cipher", "fernet"))
        )
        proxy = None if plan is None else stack.enter_context(ChaosProxy(server.address, plan, seed=seed))
        place = server.address if proxy is None else proxy.address
        opening: dict[str, Any] = {"timeout": PATIENCE_SECONDS, "limits": limits} | options
        client = Link(place, key=found, **opening)
        stack.callback(client.abort)
        far = server.accept(timeout=PATIENCE_SECONDS)
        stack.callback(far.abort)
        yield LinkPair(client=client, server=far, proxy=proxy)
