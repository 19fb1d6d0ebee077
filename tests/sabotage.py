"""Safeguards of delivery, taken away one by one: a test that claims that nothing is lost must turn red for each.

    no dedupe     a record whose number was had before is taken again
    no fencing    what a former transport still brings is taken, after the session went on on another one
    no trim       what the peer has acknowledged is kept, and sent again from the start
    no resend     what a transport that broke may have lost is not sent again

Dedupe and fencing guard the same door, one behind the other: while the former transport is fenced off, and each end
sends again exactly what the other one lacks, no record ever comes twice, and dedupe has nothing to do.  So dedupe alone
is not missed (that is a control here, not a fault).  It is tested against an *eager* peer, which sends a few records
again of those that the other end says it has.  Such a peer is no fault by itself, and that is the other control: dedupe
is what makes it harmless.

Fencing alone is missed even though dedupe drops what came twice: a former transport brings acknowledgements too, which
take back what was said since.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from netstructer import changeover
from netstructer.codec.frames import FrameReader
from netstructer.keeper import current_keeper
from netstructer.protocol.delivery import Inbound
from netstructer.protocol.inflow import Inflow
from netstructer.protocol.kept import Kept
from netstructer.protocol.records import Record, RecordReader
from netstructer.pump import Pump

SABOTAGES: tuple[tuple[str, ...], ...] = (
    ("no_dedupe", "eager"),
    ("no_fencing",),
    ("no_trim",),
    ("no_resend",),
)
"""What has to be found."""
CONTROLS: tuple[tuple[str, ...], ...] = (("eager",), ("no_dedupe",))
"""What has to be harmless: a peer that says too much, and one safeguard where the one before it stands."""

EAGER_RECORDS = 3
"""How many records an eager peer sends again of those that the other end has: it has to get on all the same."""
_admit, _take_over, _next_record = Inbound.admit, Inflow.take_over, Inflow.next_record
_rewind, _give_up_pipe = Kept.rewind, changeover._give_up_pipe
_former: dict[int, tuple[Inflow, list[tuple[FrameReader, RecordReader]]]] = {}
"""By the id of an inflow: what its former transports are read with."""


def _take_it_again(self: Inbound, number: int, charge: int, now: float, body_bytes: int = 0) -> bool:
    return _admit(self, number, charge, now, body_bytes) or number < self.next_number


def _leave_the_door_open(self: Inflow, other: Inflow) -> None:
    _former.setdefault(id(self), (self, []))[1].append((self.frames, self._reader))
    _take_over(self, other)


def _read_the_former_too(self: Inflow) -> Record | None:
    for frames, reader in _former[id(self)][1] if id(self) in _former else ():
        token = frames.next_token()
        if token is not None:
            return reader.read(token)
    return _next_record(self)


def _leave_the_socket_open(pump: Pump) -> None:
    """Go on reading a transport which another one takes the place of, as a façade would that closed it too late."""
    pipe = pump.pipe
    if pump.session.suspended or pipe is None:
        _give_up_pipe(pump)
        return
    current_keeper().forget(pump)
    pump.unsent.clear()
    pump.pipe = None
    frames = _former[id(pump.session.inflow)][1][-1][0]
    threading.Thread(target=_read_on, args=(pump, pipe.transport, frames), daemon=True).start()


def _read_on(pump: Pump, transport: socket.socket, frames: FrameReader) -> None:
    with contextlib.suppress(OSError), transport:
        while not pump.ended:
            if not select.select([transport], [], [], 0.1)[0]:
                continue
            data = transport.recv(65536)
            if not data:
                return
            with pump.lock.in_turn():
                frames.feed(data)
                pump.handle(pump.session.receive(time.monotonic()))
                pump.flush()


def _keep_everything(self: Kept, expected: int) -> None:
    return


def _forget_to_send_again(self: Kept, expected: int) -> None:
    self.trim(expected)
    self._sent, self.waiting = self.first + len(self), 0


def _send_some_again(self: Kept, expected: int) -> None:
    _rewind(self, max(self.first, expected - EAGER_RECORDS))


PATCHES: dict[str, tuple[tuple[type | ModuleType, str, Callable[..., Any]], ...]] = {
    "no_dedupe": ((Inbound, "admit", _take_it_again),),
    "no_fencing": (
        (Inflow, "take_over", _leave_the_door_open),
        (Inflow, "next_record", _read_the_former_too),
        (changeover, "_give_up_pipe", _leave_the_socket_open),
    ),
    "no_trim": ((Kept, "trim", _keep_everything),),
    "no_resend": ((Kept, "rewind", _forget_to_send_again),),
    "eager": ((Kept, "rewind", _send_some_again),),
}


@contextlib.contextmanager
def sabotaged(*names: str) -> Iterator[None]:
    """Take the safeguards of those names away for a while."""
    patches = [patch for name in names for patch in PATCHES[name]]
    kept = [(where, name, where.__dict__[name]) for where, name, _ in patches]
    for where, name, worse in patches:
        setattr(where, name, worse)
    try:
        yield
    finally:
        for where, name, good in kept:
            setattr(where, name, good)
        _former.clear()
