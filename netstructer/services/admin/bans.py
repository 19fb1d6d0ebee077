"""Bans of a server: by network, by user of the key ring, by key.  And the keys themselves.  Floor: SERVICES.

Law: nobody bans himself out by a slip of the finger.  Who is banned is turned away at the door, whatever accounts say;
an account is banned by `users.ban`.
"""

from __future__ import annotations

from typing import Annotated

from netstructer.address import parse_network
from netstructer.bans import Ban
from netstructer.errors import InvalidAddress, Misuse
from netstructer.services.admin.desk import Desk
from netstructer.services.admin.kinds import LISTED, Choice, Duration, HowMany, Text
from netstructer.services.admin.verbs import Facts, verb

__all__ = ["BanVerbs"]

What = Annotated[str, Choice("by what", ("network", "user", "key"))]
Whom = Annotated[
    str, Text("an address or a network (192.0.2.0/24), a user of the key ring, or the fingerprint of a key", 256)
]


class BanVerbs(Desk):
    """Whom the server does not talk to, and which keys it takes."""

    @verb("bans.list")
    def list_bans(self, *, limit: HowMany = LISTED) -> list[Facts]:
        """List the bans that stand, the latest last."""
        return [_facts_of(ban) for ban in self._server.bans.list()[-limit:]]

    @verb("bans.add")
    def add_ban(
        self,
        what: What,
        whom: Whom,
        *,
        reason: Annotated[str, Text("why: for whoever administers, it never travels", 200)] = "",
        seconds: Annotated[float | None, Duration("for how long; without, until it is lifted", 0.001)] = None,
    ) -> Facts:
        """Ban a network or address, a user of the key ring, or a key; open links that it names are closed."""
        self._refuse_own(what, whom)
        return _facts_of(self._server.bans.add(**_named(what, whom), reason=reason, seconds=seconds))

    @verb("bans.remove")
    def remove_ban(self, what: What, whom: Whom) -> Facts:
        """Lift a ban, by the words with which it was added."""
        if not self._server.bans.remove(**_named(what, whom)):
            raise Misuse(f"there is no ban of that {what}")
        return {"removed": 1}

    @verb("keys.list", aliases=["token"])
    def list_keys(self) -> list[Facts]:
        """List the keys that open links, by fingerprint: whose, until when, when last used, how many links."""
        return [dict(use._asdict()) for use in self._server.keys.uses()]

    @verb("keys.retire")
    def retire_key(
        self,
        fingerprint: Annotated[str, Text("of the key", 19, 19)],
        *,
        seconds: Annotated[float, Duration("after how long it ends; without, at once")] = 0.0,
    ) -> Facts:
        """Let a key open no more links, now or after a while; open ones stay.  Take it out of its file, too."""
        keys = self._server.keys
        if len({use.fingerprint for use in keys.uses() if use.until is None} - {fingerprint}) == 0:
            raise Misuse("this is the last key that has no end: nobody could come in any more")
        return {"retired": keys.retire(fingerprint, after=seconds or None)}

    def _refuse_own(self, what: str, whom: str) -> None:
        if self._link is None:
            return
        if what == "network":
            try:
                is_own = parse_network(self._link.peer.host.partition("%")[0]).subnet_of(parse_network(whom))  # type: ignore[arg-type]  # two of one version, or a TypeError
            except (InvalidAddress, TypeError):
                is_own = False  # the ban itself says what is wrong with it
        else:
            is_own = whom == (self._link.user if what == "user" else self._link.fingerprint)
        if is_own:
            raise Misuse("this would ban whoever asks for it: do that at the server's own console")


def _named(what: str, whom: str) -> dict[str, str]:
    return {"network" if what == "network" else what: whom}


def _facts_of(ban: Ban) -> Facts:
    return {"what": ban.kind, "whom": ban.name, "reason": ban.reason, "since": ban.since, "until": ban.until}
