"""Redialling: a client's link that has lost its transport looks for another one.  Floor: FAÇADES.

Law: never in step with others, never for ever, and never with less proof than the first time.  Spec: protocol.md,
"Resume".

A thread of its own, for as long as the link has no transport: dialling waits for name servers and networks, and nobody
else may wait for that.  How long it pauses before each try is said in backoff.py.  A refusal is not authenticated:
anybody on the way can forge one, so it is a reason to wait longer and not to give up.  Only what the server has proved
is final: that it is another one, or that it does not know the session.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from netstructer.backoff import Backoff
from netstructer.dial import Dialler
from netstructer.errors import IdentityChanged, NetstructerError, SessionLost
from netstructer.keys import Key

if TYPE_CHECKING:
    from netstructer.exchange import Exchange

__all__ = ["Redialler", "without_frames"]

logger = logging.getLogger("netstructer")

TRY_SECONDS = 10.0
"""How long one try may take, as `timeout` of a link has it by default."""


class Redialler:
    """Finds one link its transports.  `suspended` and `resumed` are called under the link's lock."""

    def __init__(self, dialler: Dialler, exchange: Exchange) -> None:
        self._dialler, self._exchange = dialler, exchange
        self._backoff = Backoff(exchange.session, time.monotonic())
        self._running = False
        self._handing = threading.Lock()
        self._given: Key | None = None
        self._learning = False

    def suspended(self) -> None:
        """Begin to look for a transport."""
        self._backoff.lost(time.monotonic())
        if self._running:
            return
        name = f"netstructer-redial-{self._exchange.session.id}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
            self._running = True
        except RuntimeError:
            self._exchange.lose(SessionLost("no thread is left to look for another transport"))

    def resumed(self) -> None:
        """Take in that the server has taken the session up again."""
        self._backoff.found(time.monotonic())

    def new_key(self, key: Key) -> None:
        """Take the key that the server gives: a file may be written and the application told, so not in this thread.

        One thread learns at a time, and of keys that come faster than it learns the last one counts.
        """
        with self._handing:
            self._given, busy = key, self._learning
            self._learning = True
        if busy:
            return
        try:
            threading.Thread(target=self._learn, name="netstructer-new-key", daemon=True).start()
        except RuntimeError:
            self._learning = False
            logger.error("no thread is left to take the new key %s", key.fingerprint)

    def _learn(self) -> None:
        credentials, learnt = self._dialler.credentials, None
        while True:
            with self._handing:
                key, self._given = self._given, None
                self._learning = key is not None
            if key is None:
                break
            try:
                learnt = key if credentials.learn(key) else learnt
            except BaseException:
                self._learning = False
                raise
        if learnt is not None and credentials.on_new_key is not None:
            credentials.on_new_key(learnt)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that was proved last."""
        return self._dialler.credentials.fingerprint

    def _run(self) -> None:
        exchange = self._exchange
        while True:
            wanted = exchange.await_transport(self._backoff.next(random.random()), self._rest)
            if not wanted:
                return
            try:
                self._try()
            except IdentityChanged as error:
                exchange.fail(error)
            except (NetstructerError, OSError) as error:
                logger.debug("= link %s found no transport: %s", exchange.session.id, type(error).__name__)
                exchange.hindered(without_frames(error))
            except Exception as error:
                # A fault of ours in one try must not leave the link without anybody who looks.
                logger.error("link %s: a try to find a transport: %s", exchange.session.id, type(error).__name__)
                exchange.hindered(without_frames(error))

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


def without_frames(error: BaseException) -> BaseException:
    """Return an error that can be kept: its frames, and those of what it came from, would keep a handshake, with its
    keys, and the link itself.
    """
    chain: list[BaseException | None] = [error]
    for one in chain:
        if one is not None:
            one.__traceback__ = None
            chain += [other for other in (one.__cause__, one.__context__) if other not in chain]
    return error
