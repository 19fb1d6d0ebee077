"""`netstructer chaos`: a proxy that breaks what goes through it, as told.  Floor: ROOF."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import asdict
from typing import Annotated

import typer

from netstructer.address import Address
from netstructer.cli.options import Json, listening_place, peer_place
from netstructer.cli.outcomes import command
from netstructer.cli.screen import print_json, size, stderr, stdout
from netstructer.errors import Misuse
from netstructer.signals import terminable
from netstructer.testing.faults import Cuts, Plan
from netstructer.testing.proxy import ChaosProxy, Counters, Happening
from netstructer.testing.spelling import WrittenPlan, parse_fault, read_plan, write_fault

__all__ = ["chaos"]

LOOK_SECONDS = 0.5
"""How often the wait for the next event is left, so that Ctrl-C gets through on every system."""


@command
def chaos(
    listen: Annotated[str, typer.Argument(metavar="LISTEN", help="PORT or HOST:PORT; port 0 for a free one.")],
    upstream: Annotated[str, typer.Argument(metavar="UPSTREAM", help="HOST:PORT, or PORT, to pass everything on to.")],
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[N/]KIND[@BYTE][:out|:in][,NAME=VALUE]",
            help="A fault for each connection, or for connection N, from 0: cut, reset, half-close, stall, throttle, "
            "flip, duplicate, blackhole, hold.  At byte 0 and outwards unless said otherwise.  May be repeated.",
            show_default=False,
        ),
    ] = None,
    cut_at: Annotated[
        int | None,
        typer.Option(metavar="BYTE", min=0, help="The same as --fault cut@BYTE.", show_default=False),
    ] = None,
    mean_bytes: Annotated[
        float | None,
        typer.Option(
            metavar="BYTES",
            min=1,
            help="Cut or reset each connection, by chance, after so many bytes on average.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="With --mean-bytes: from connection N on all is well.", show_default=False
        ),
    ] = None,
    half_open: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="With --mean-bytes: end so many by leaving one end in the dark."
        ),
    ] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(help="Where chance comes from: the same seed, the same faults; 0 by default.", show_default=False),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Take faults, cuts and seed from a TOML or JSON file, too.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="End by itself after so long, with 0.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Pass TCP connections on to UPSTREAM, and break them: any program's, not only netstructer's.

    Runs until Ctrl-C, then says what it has done. Without any fault it only passes on. With --json: one line for each
    event (listening, opened, fault, refused, unreachable, closed), and at the end the counters. docs/testing-kit.md
    says what each fault does, and how a plan is written in a file.
    """
    if mean_bytes is None and (most is not None or half_open):
        raise Misuse("expected --most and --half-open together with --mean-bytes")
    written = _plan_of(fault or [], cut_at, plan)
    if mean_bytes is not None:
        if written.cuts is not None:
            raise Misuse("expected cuts by chance in the file of --plan, or by --mean-bytes, not both")
        cuts = Cuts(mean_bytes=mean_bytes, most=most, half_open=half_open)
        written = WrittenPlan(faults=written.faults, cuts=cuts, seed=written.seed)
    with terminable():
        _run(
            peer_place(upstream),
            written,
            written.seed if seed is None else seed,
            listening_place(listen),
            seconds,
            json,
        )


def _run(target: Address, plan: Plan, seed: int, listen: Address, seconds: float | None, json: bool) -> None:
    teller = _Teller(json)
    try:
        with ChaosProxy(target, plan, seed=seed, listen=listen, on_event=teller.events.put) as proxy:
            try:
                _announce(proxy, json)
                deadline = None if seconds is None else time.monotonic() + seconds
                while deadline is None or time.monotonic() < deadline:
                    left = LOOK_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
                    if teller.done.wait(min(LOOK_SECONDS, left)):
                        break
            finally:
                proxy.close()
                teller.finish()
                _sum_up(proxy.counters, json)
    finally:
        teller.finish()


class _Teller:
    """Prints what happens, in a thread of its own: Ctrl-C, which strikes the main thread anywhere, loses no line."""

    def __init__(self, json: bool) -> None:
        self.events: queue.SimpleQueue[Happening | None] = queue.SimpleQueue()
        self.done = threading.Event()
        """Not `join`: where Ctrl-C strikes in it, CPython takes the thread for one that has ended (3.11, 3.12)."""
        self._json = json
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, name="netstructer-chaos-teller", daemon=True).start()

    def finish(self) -> None:
        """Print what is left.  May be called twice.  Raises what printing raised: a pipe that nobody reads any more."""
        self.events.put(None)
        self.done.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while (event := self.events.get()) is not None:
                _show(event, self._json)
        except BaseException as error:
            self._failure = error
        finally:
            self.done.set()


def _plan_of(faults: list[str], cut_at: int | None, path: str | None) -> WrittenPlan:
    """Return what the options and the file say together."""
    written = WrittenPlan() if path is None else read_plan(path)
    typed = [parse_fault(text) for text in faults]
    if cut_at is not None:
        typed.append(parse_fault(f"cut@{cut_at}"))
    return WrittenPlan(faults=(*written.faults, *typed), cuts=written.cuts, seed=written.seed)


def _announce(proxy: ChaosProxy, json: bool) -> None:
    if json:
        host, port = proxy.address
        print_json({"event": "listening", "host": host, "port": port, "upstream": str(proxy.target)})
    else:
        stderr.print(f"listening on {proxy.address}, passing on to {proxy.target}")


def _show(event: Happening, json: bool) -> None:
    if json:
        facts: dict[str, object] = {"event": event.what, "connection": event.connection}
        if event.peer is not None:
            facts["peer"] = str(event.peer)
        else:
            facts |= {"bytes_out": event.bytes_out, "bytes_in": event.bytes_in}
        if event.fault is not None:
            facts["fault"] = write_fault(event.fault)
        print_json(facts)
        return
    moved = f"{size(event.bytes_out)} out, {size(event.bytes_in)} in"
    match event.what:
        case "opened":
            stdout.print(f"+ {event.connection} from {event.peer}")
        case "fault" if event.fault is not None:
            stdout.print(f"! {event.connection} {write_fault(event.fault)} after {moved}")
        case "closed":
            stdout.print(f"- {event.connection} closed after {moved}")
        case _:
            stdout.print(f"- {event.connection} {event.what}")


def _sum_up(counters: Counters, json: bool) -> None:
    if json:
        print_json({"event": "counters", **asdict(counters)})
        return
    faults = ", ".join(f"{count} {name}" for name, count in sorted(counters.faults.items())) or "no fault"
    moved = f"{size(counters.bytes_out)} out, {size(counters.bytes_in)} in"
    noun = "connection" if counters.connections == 1 else "connections"
    ends = f"{counters.cuts} cut, {counters.unreachable} unreachable"
    stdout.print(f"{counters.connections} {noun}, {ends}; {faults}; {moved}")
