"""The walk of a value, step by step: what each step of its way costs, measured on the real functions.  Floor: ROOF.

Two sessions of one process, joined by a TCP connection over loopback.  A batch of equal values takes one step after
the other, all of them the first, then all of them the second, so that the clock is read twice for each step and not for
each value; the figure is that of the batch in which the step took least.

What has no function of its own is told from what encloses it: the compressor and the cipher run once more, alone, on
the same bytes, and what the session takes beyond them is a step, too.  At last the messages go once more through what
a link does around them, one after the other, in one thread; what that takes beyond the steps is the link's.

    encode       value -> bytes                             payloads.encode
    compress     bytes -> fewer bytes                       alone: payloads.compressed
    compose      -> a message                               payloads.single or compose, without compress
    seal         record -> token                            alone: the sealer
    queue        number, cut, keep, frame                   session.seal_now or queue + frames_to_send, without seal
    write        frame -> socket                            transport.sendmsg

    read         socket -> buffer                           poll and transport.recv_into
    open         token -> record                            alone: the opener
    order        frame, sequence, state, delivery, join     session.receive, without open
    expand       fewer bytes -> bytes                       alone: compression.expand
    decode       bytes -> value                             payloads.read, without expand
    acknowledge  credit back, both ends                     session.take, and the ACK
    link         locks, turns, both ends                    Exchange.submit and next_message, without all of these
"""

from __future__ import annotations

import contextlib
import gc
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from netstructer import sockets
from netstructer.codec import compression
from netstructer.codec.chunks import cut
from netstructer.codec.values import Encoded
from netstructer.errors import NetstructerError
from netstructer.exchange import Exchange
from netstructer.keys import Key
from netstructer.protocol.events import MessageArrived
from netstructer.protocol.outgoing import Outgoing, Single
from netstructer.protocol.payloads import compressed
from netstructer.protocol.session import Session
from netstructer.testing.clock import FakeClock
from netstructer.testing.sessions import session_pair

__all__ = ["STEPS", "Step", "Walk", "measure_steps"]

Buffer = bytes | bytearray | memoryview

HEAD_BYTES = 16 + 8 + 8
"""What a record has before its chunk: header, delivery number, and about what the first one of a message says."""


class Step(NamedTuple):
    """One step of the way: at which end, what it is called, what it does."""

    name: str
    end: str
    words: str


STEPS = (
    Step("encode", "sender", "value to bytes"),
    Step("compress", "sender", "zstd"),
    Step("compose", "sender", "bytes to a message"),
    Step("seal", "sender", "the cipher and its tag"),
    Step("queue", "sender", "numbers, cuts, keeps, frames"),
    Step("write", "sender", "to the socket"),
    Step("read", "receiver", "from the socket"),
    Step("open", "receiver", "the tag and the cipher"),
    Step("order", "receiver", "frames, checks, credit, joins"),
    Step("expand", "receiver", "zstd"),
    Step("decode", "receiver", "bytes to a value"),
    Step("acknowledge", "both", "credit given back"),
    Step("link", "both", "locks and turns"),
)
"""In the order in which a value takes them."""
ENCLOSED = {"compose": "compress", "queue": "seal", "order": "open", "decode": "expand"}
"""What a step was measured with, and what is taken off it."""
GROUP_BYTES = 3 << 10
"""Frames that are written one by one before they are read one by one."""
LINK_BYTES = 128 << 10
"""Longest value on the wire that goes through a link, too: one thread has both its ends, so a socket must hold it."""


def measure_steps(value: object, *, batch: int, seconds: float, cipher: str | None = None) -> dict[str, float]:
    """Return the seconds of each step for one value.  `batch` of them must fit into the credit of a link."""
    with Walk(value, batch=batch, cipher=cipher) as walk:
        return walk.timed(seconds)


class Walk:
    """A batch of one value, on the way from one session to another.  Single owner.

    `stages()` yields (name, function): each to be called once, in this order, for one batch after another.
    """

    def __init__(self, value: object, *, batch: int, cipher: str | None = None) -> None:
        self._value, self._batch = value, batch
        options: dict[str, Any] = {} if cipher is None else {"cipher": cipher}
        pair = session_pair(clock=FakeClock(monotonic=time.monotonic(), wall=time.time()), **options)
        assert pair.client.session is not None
        assert pair.server.session is not None
        self._near: Session = pair.client.session
        self._far: Session = pair.server.session
        self._now = pair.clock()
        self._writer, self._reader = _connected()
        self._readiness = sockets.Readiness(self._reader)
        # Never started, so that no keeper comes between them.
        self._sender = Exchange(self._writer, self._near, _Silence())
        self._receiver = Exchange(self._reader, self._far, _Silence())
        alone = session_pair(**options)
        assert alone.client.session is not None
        assert alone.server.session is not None
        # Of two other sessions, so that tokens which never arrive leave no gap in these.
        self._sealer = alone.client.session.outflow._writer._sealer
        self._opener = alone.server.session.inflow._reader._opener
        self._encoded: list[Encoded] = []
        self._pieces: list[list[Buffer]] = []
        self._messages: list[Single | Outgoing] = []
        self._tokens: list[Buffer] = []
        self._frames: deque[Buffer] = deque()
        self._arrived: list[Any] = []
        self._values: list[object] = []
        self.wire_bytes = self.plain_bytes = 0
        """Of the whole batch."""

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._reader.close()

    def timed(self, seconds: float) -> dict[str, float]:
        """Return the least seconds of each step for one value, of all batches in this time; at least three."""
        least: dict[str, float] = {}
        self._run(lambda name, stage: stage())
        gc.collect()
        gc.freeze()
        end, rounds = time.monotonic() + seconds, 0
        while rounds < 3 or time.monotonic() < end:
            taken = self._timed_batch()
            least = {name: min(least.get(name, spent), spent) for name, spent in taken.items()}
            rounds += 1
            gc.collect()
        gc.unfreeze()
        return apart({name: spent / self._batch for name, spent in least.items()})

    def _timed_batch(self) -> dict[str, float]:
        taken: dict[str, float] = {}

        def timed(name: str, stage: Callable[[], None]) -> None:
            began = time.perf_counter()
            stage()
            taken[name] = taken.get(name, 0.0) + time.perf_counter() - began

        self._run(timed)
        return taken

    def _run(self, stage: Callable[[str, Callable[[], None]], None]) -> None:
        for name, function in self.stages():
            stage(name, function)

    def stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the stages of one batch: what is enclosed in a step comes before it, alone."""
        self._forget()
        yield "encode", self._encode
        yield "compress", self._compress
        yield "compose", self._compose
        yield "seal", self._seal
        yield from self._carry()
        yield "open", self._open
        yield "expand", self._expand
        yield "decode", self._decode
        yield "acknowledge", self._acknowledge
        if len(self._values) != self._batch or self._values[-1] != self._value:
            raise RuntimeError("what arrived is not what was sent")
        if self.wire_bytes <= LINK_BYTES * self._batch:
            yield "link", self._go_by_link
            self._sender._pump.attend(read=True)  # the acknowledgements

    # --- the stages, each for the whole batch -----------------------------------------------------------------------

    def _encode(self) -> None:
        encode, value = self._near.payloads.encode, self._value
        self._encoded = [encode(value) for _ in range(self._batch)]
        self.plain_bytes = self._batch * self._encoded[0].plain_bytes

    def _compress(self) -> None:
        on = self._near.payloads.compressing
        for encoded in self._encoded:
            self._pieces.append(list(compressed(encoded.buffers, encoded.plain_bytes, compress=on)[1]))

    def _compose(self) -> None:
        payloads = self._near.payloads
        for encoded in self._encoded:
            single = payloads.single(encoded)
            if single is None:
                outgoing = payloads.compose(encoded)
                outgoing.prepare()
                self._messages.append(outgoing)
            else:
                self._messages.append(single)

    def _seal(self) -> None:
        seal, head = self._sealer.seal_parts, bytes(HEAD_BYTES)
        for pieces in self._pieces:
            for chunk in cut(pieces, self._near.chunk_bytes):
                self._tokens.append(seal((head, chunk), 0))

    def _carry(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Seal in the session, write, read and join: as many small values at a time as an idle link's buffer holds,
        of others a socket's fill."""
        if isinstance(self._messages[0], Single):
            yield "queue", self._seal_now
            self.wire_bytes += sum(map(len, self._frames))
            while self._frames:
                group = [self._frames.popleft()]
                while self._frames and len(group) < GROUP_BYTES // len(group[0]):
                    group.append(self._frames.popleft())
                yield "write", partial(self._write_each, group)
                yield "read", partial(self._read_each, group)
                yield "order", self._receive
            return
        for message in self._messages:
            assert isinstance(message, Outgoing)
            yield "queue", partial(self._near.queue, message)
            while not message.done:
                yield "queue", self._seal_round
                self.wire_bytes += sum(map(len, self._frames))
                while self._frames:
                    yield "write", self._write
                    while self._readiness.wait(read=True, write=False, seconds=0.0)[0]:
                        yield "read", self._read
                        yield "order", self._receive

    def _seal_now(self) -> None:
        for message in self._messages:
            assert isinstance(message, Single)
            sealed = self._near.seal_now(message, 0, self._now)
            if sealed is None:
                raise RuntimeError("a batch is more than the credit of a link")
            self._frames.append(sealed[0])

    def _seal_round(self) -> None:
        self._frames.extend(self._near.frames_to_send(self._near.limits.unsent_bytes, self._now))

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._frames:
                sockets.write(self._writer, self._frames)

    def _write_each(self, frames: list[Buffer]) -> None:
        send = self._writer.send
        for frame in frames:
            send(frame)

    def _read(self) -> None:
        self._readiness.wait(read=True, write=False, seconds=0.0)
        frames = self._far.frames
        frames.filled(self._reader.recv_into(frames.space()))

    def _read_each(self, group: list[Buffer]) -> None:
        frames, wait, recv_into = self._far.frames, self._readiness.wait, self._reader.recv_into
        for frame in group:
            left = len(frame)
            while left:
                wait(read=True, write=False, seconds=1.0)
                count = recv_into(frames.space()[:left])
                frames.filled(count)
                left -= count

    def _go_by_link(self) -> None:
        payloads, receive = self._near.payloads, self._receiver.next_message
        for encoded in self._encoded:
            single = payloads.single(encoded)
            if single is None or self._sender.submit_now(single, 0) is None:
                outgoing = payloads.compose(encoded) if single is None else single.outgoing()
                self._sender.submit(outgoing, partial(_is_done, outgoing))
            receive(None, None)

    def _receive(self) -> None:
        events = self._far.receive(self._now)
        self._arrived += [event.message for event in events if type(event) is MessageArrived]

    def _open(self) -> None:
        for token in self._tokens:
            self._opener.open(token)

    def _expand(self) -> None:
        for encoded, pieces in zip(self._encoded, self._pieces, strict=True):
            if pieces and bytes(pieces[0][:4]) == compression.MAGIC:
                if len(pieces) == 1 and compression.expand_block(pieces[0], encoded.plain_bytes) is not None:
                    continue
                deque(compression.expand(pieces, plain_bytes=encoded.plain_bytes), maxlen=0)

    def _decode(self) -> None:
        read = self._far.payloads.read
        for message in self._arrived:
            self._values.append(read(message, _no_blobs))

    def _acknowledge(self) -> None:
        for message in self._arrived:
            self._far.take(message)
        if self._far.has_output(self._now):
            for frame in self._far.frames_to_send(self._far.limits.unsent_bytes, self._now):
                self._near.receive_data(frame, self._now)

    def _forget(self) -> None:
        for held in (self._pieces, self._messages, self._tokens, self._frames, self._arrived, self._values):
            held.clear()
        self.wire_bytes = 0


def apart(found: dict[str, float]) -> dict[str, float]:
    """Return each step in the order of the walk, without what it was measured with."""
    rest = {step: found[inner] for step, inner in ENCLOSED.items()}
    rest["link"] = sum(found[step] for step in ("compose", "queue", "write", "read", "order", "acknowledge"))
    steps = [step.name for step in STEPS if step.name in found]
    return {step: max(0.0, found[step] - rest.get(step, 0.0)) for step in steps}


class _Silence:
    """Who is told of what becomes of a link, and does nothing of it."""

    def ended(self) -> None: ...
    def suspended(self, error: NetstructerError) -> None: ...
    def resumed(self) -> None: ...
    def draining(self, seconds: float) -> None: ...
    def new_key(self, key: Key) -> None: ...
    def called(self, number: int) -> None: ...


def _is_done(outgoing: Outgoing) -> bool:
    return outgoing.done


def _no_blobs(*_: object) -> Any:
    raise RuntimeError("a value without blobs has none")


def _connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection over loopback, as a link has them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    return near, far
