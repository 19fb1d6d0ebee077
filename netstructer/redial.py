"""Redialling: a client's link that has lost its transport looks for another one.  Floor: FAÇADES.

Law: never in step with others, never for ever, and never with less proof than the first time.  Spec: protocol.md,
"Resume".

A thread of its own, for as long as the link has no transport: dialling waits for name servers and networks, and nobody
else may wait for that.  The pause before each try is drawn between nothing and a bound that doubles (full jitter: a
thousand clients of a server that starts again do not come back in one wave).  A refusal is not authenticated: anybody
on the way can forge one, so it is a reason to wait longer and not to give up.  Only what the server has proved is
final: that it is another one, or that it does not know the session.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from netstructer.dial import Dialler
from netstructer.errors import IdentityChanged, NetstructerError, SessionLost
from netstructer.keys import Key

if TYPE_CHECKING:
    from netstructer.exchange import Exchange

__all__ = ["Redialler", "pause_seconds"]

logger = logging.getLogger("netstructer")

FIRST_PAUSE_SECONDS = 0.2
"""Bound of the first pause: a transport that was cut is replaced in a blink."""
LONGEST_PAUSE_SECONDS = 30.0
"""Bound of all pauses: four tries within the two minutes that a session waits, and no storm."""
FORGIVING_SECONDS = 60.0
"""A transport that held so long, or that carried a message either way, was a good one: the pauses begin anew."""
TRY_SECONDS = 10.0
"""How long one try may take, as `timeout` of a link has it by default."""


def pause_seconds(tries: int, chance: float) -> float:
    """Return the pause before the next try, after so many; `chance` is a random number from 0 to 1."""
    return chance * min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 20))


class Redialler:
    """Finds one link its transports.  `suspended` and `resumed` are called under the link's lock."""

    def __init__(self, dialler: Dialler, exchange: Exchange) -> None:
        self._dialler, self._exchange = dialler, exchange
        self._tries = 0
        self._resumed = time.monotonic()
        self._running = False

    def suspended(self) -> None:
        """Begin to look for a transport."""
        held_seconds = time.monotonic() - self._resumed
        if held_seconds >= FORGIVING_SECONDS or self._exchange.session.fruitful:
            self._tries = 0
        if self._running:
            return
        name = f"netstructer-redial-{self._exchange.session.id}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
            self._running = True
        except RuntimeError:
            self._exchange.fail(SessionLost("no thread is left to look for another transport"))

    def resumed(self) -> None:
        """Take in that the server has taken the session up again."""
        self._resumed = time.monotonic()

    def new_key(self, key: Key) -> None:
        """Take the key that the server gives: a file may be written and the application told, so not in this thread."""
        try:
            threading.Thread(target=self._learn, args=(key,), name="netstructer-new-key", daemon=True).start()
        except RuntimeError:
            logger.error("no thread is left to take the new key %s", key.fingerprint)

    def _learn(self, key: Key) -> None:
        credentials = self._dialler.credentials
        if credentials.learn(key) and credentials.on_new_key is not None:
            credentials.on_new_key(key)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that was proved last."""
        return self._dialler.credentials.fingerprint

    def _run(self) -> None:
        exchange = self._exchange
        while True:
            wanted = exchange.await_transport(pause_seconds(self._tries, random.random()), self._rest)
            if not wanted:
                return
            self._tries += 1
            try:
                self._try()
            except IdentityChanged as error:
                exchange.fail(error)
            except (NetstructerError, OSError) as error:
                logger.debug("= link %s found no transport: %s", exchange.session.id, type(error).__name__)
                exchange.hindered(error)

    def _try(self) -> None:
        transport, agreement = self._dialler.again(time.monotonic() + TRY_SECONDS)
        boarded = False
        try:
            boarded = self._exchange.board(transport, agreement)
        finally:
            if not boarded:
                with contextlib.suppress(OSError):
                    transport.close()

    def _rest(self) -> None:
        """Take note, under the link's lock, that the thread is about to end."""
        self._running = False
